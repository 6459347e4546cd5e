"""Flow monitors as Open vSwitch 3.1 offers them over OpenFlow 1.3: OpenFlow 1.4's, as an extension of the ONF's.

Requests, updates and what stops them, as bytes; lengths were proven by `guard_experimenter`. Knows no entry.
"""
from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from struct import Struct
from typing import Final

from hvproxy.openflow.constants import ONF_ID
from hvproxy.openflow.experimenters import Onf, onf
from hvproxy.openflow.multipart import Kind, multipart_replies

_REQUEST: Final = Struct("!IH2xIB3sHH")
REQUEST_FIXED: Final = 16
"""Bytes of a request in front of its match."""
_UPDATE: Final = Struct("!HHHHHHHBxQ")
_ABBREVIATED: Final = Struct("!HHI")
_HEADER: Final = Struct("!II")
_PREFIX: Final = _HEADER.pack(ONF_ID, Onf.FLOW_MONITOR)


class Flag(IntFlag):
    """What a monitor wants."""

    INITIAL = 1
    """What there is already."""
    ADD = 2
    DELETE = 4
    MODIFY = 8
    ACTIONS = 16
    """Instructions too."""
    OWN = 32
    """What the connection itself has changed told in full."""


class Event(IntEnum):
    """What an update tells."""

    ADDED = 0
    DELETED = 1
    MODIFIED = 2
    ABBREVIATED = 3


@dataclass(frozen=True, slots=True)
class MonitorRequest:
    """One monitor that is asked for."""

    monitor_id: int
    flags: int
    out_port: int
    table_id: int
    must_be_zero: bytes
    match: bytes
    """struct ofp_match with its header, without its padding."""


@dataclass(frozen=True, slots=True)
class Update:
    """An entry that was added, modified or removed."""

    event: Event
    reason: int
    """OFPRR_* of a removal, else 0."""
    priority: int
    idle_timeout: int
    hard_timeout: int
    table_id: int
    cookie: int
    match: bytes
    """struct ofp_match, padded."""
    match_len: int
    instructions: bytes

    def encode(self) -> bytes:
        length = _UPDATE.size + len(self.match) + len(self.instructions)
        return _UPDATE.pack(length, self.event, self.reason, self.priority, self.idle_timeout, self.hard_timeout,
                            self.match_len, self.table_id, self.cookie) + self.match + self.instructions


def decode_requests(body: bytes) -> list[MonitorRequest]:
    """The body of a multipart request, behind the multipart header."""
    requests, at = [], _HEADER.size
    while at < len(body):
        monitor_id, flags, out_port, table_id, zeros, _, match_len = _REQUEST.unpack_from(body, at)
        at += REQUEST_FIXED
        requests.append(MonitorRequest(monitor_id, flags, out_port, table_id, zeros, body[at:at + match_len]))
        at += match_len + 7 & ~7
    return requests


def abbreviated(xid: int) -> bytes:
    """Stands for all that the receiver's own message of that xid has changed."""
    return _ABBREVIATED.pack(_ABBREVIATED.size, Event.ABBREVIATED, xid)


def replies(xid: int, updates: Iterable[bytes]) -> Iterator[bytes]:
    """Updates as messages: the answer to a request, or of xid 0 when something has changed."""
    return multipart_replies(xid, Kind.EXPERIMENTER, updates, _PREFIX)


def paused() -> bytes:
    """No additions and modifications are told until RESUMED, for the receiver does not take them."""
    return onf(0, Onf.FLOW_MONITOR_PAUSED)


def resumed() -> bytes:
    """All is told again, and what was held back has been."""
    return onf(0, Onf.FLOW_MONITOR_RESUMED)
