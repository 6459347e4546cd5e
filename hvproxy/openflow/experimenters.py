"""Messages of experimenters that Open vSwitch 3.1 understands over OpenFlow 1.3: Nicira's own, and the ONF's.

Numbers, decoders and encoders; lengths were proven by `guard_experimenter`. Knows nothing of what the messages do.
"""
from __future__ import annotations

from enum import IntEnum
from struct import Struct
from typing import Final

from hvproxy.openflow.build import message
from hvproxy.openflow.constants import HEADER_SIZE, NICIRA_ID, ONF_ID, of13
from hvproxy.openflow.messages import AsyncConfig

BODY: Final = HEADER_SIZE + 8
"""Where the body starts: behind the header, the experimenter and its type."""

_EXPERIMENTER: Final = Struct("!II")
_U32: Final = Struct("!I")
_CONTROLLER_ID: Final = Struct("!6sH")
_MASKS: Final = Struct("!6I")
_PROPERTY: Final = Struct("!HH")
_ROLE_STATUS: Final = Struct("!IB3xQ")


class Nicira(IntEnum):
    """NXT_*: types of Nicira's messages."""

    ROLE_REQUEST = 10
    ROLE_REPLY = 11
    FLOW_REMOVED = 14
    FLOW_MOD_TABLE_ID = 15
    SET_PACKET_IN_FORMAT = 16
    PACKET_IN = 17
    FLOW_AGE = 18
    SET_ASYNC_CONFIG = 19
    SET_CONTROLLER_ID = 20
    TLV_TABLE_REPLY = 26
    SET_ASYNC_CONFIG2 = 27
    RESUME = 28
    CT_FLUSH_ZONE = 29
    PACKET_IN2 = 30


class Onf(IntEnum):
    """Types of the ONF's messages."""

    FLOW_MONITOR = 1870
    """A multipart request and its replies; as a message, that a monitor is not wanted any more."""
    FLOW_MONITOR_PAUSED = 1871
    FLOW_MONITOR_RESUMED = 1872
    ROLE_STATUS = 1911
    BUNDLE_CONTROL = 2300
    BUNDLE_ADD = 2301
    REQUEST_FORWARD = 2350


class NiciraRole(IntEnum):
    """NX_ROLE_*."""

    OTHER = 0
    MASTER = 1
    SLAVE = 2


class NiciraError(IntEnum):
    """Codes of errors that are Nicira's own (OFPET_EXPERIMENTER with NICIRA_ID)."""

    MUST_BE_ZERO = 4
    MONITOR_EXISTS = 6
    BAD_MONITOR_FLAGS = 7
    UNKNOWN_MONITOR = 8
    BAD_BUNDLED_VERSION = 10
    RESUME_NOT_SUPPORTED = 34
    RESUME_STALE = 35
    NOT_CONFIGURED = 36
    CT_DATAPATH_SUPPORT = 42


def kind_of(data: bytes) -> tuple[int, int]:
    """(experimenter, its type) of an EXPERIMENTER message."""
    experimenter, exp_type = _EXPERIMENTER.unpack_from(data, HEADER_SIZE)
    return experimenter, exp_type


def nicira(xid: int, exp_type: int, body: bytes = b"") -> bytes:
    """A message of Nicira's."""
    return message(of13.OFPT_EXPERIMENTER, xid, _EXPERIMENTER.pack(NICIRA_ID, exp_type) + body)


def onf(xid: int, exp_type: int, body: bytes = b"") -> bytes:
    """A message of the ONF's."""
    return message(of13.OFPT_EXPERIMENTER, xid, _EXPERIMENTER.pack(ONF_ID, exp_type) + body)


def forget_connections(xid: int, zone: int) -> bytes:
    """Have a switch forget the connections that it has tracked in a zone."""
    return nicira(xid, Nicira.CT_FLUSH_ZONE, bytes(6) + zone.to_bytes(2, "big"))


def decode_word(data: bytes) -> int:
    """The body of a ROLE_REQUEST or SET_PACKET_IN_FORMAT: one number."""
    word: int = _U32.unpack_from(data, BODY)[0]
    return word


def nicira_role_reply(xid: int, role: int) -> bytes:
    return nicira(xid, Nicira.ROLE_REPLY, _U32.pack(role))


def request_forward(request: bytes) -> bytes:
    """What another controller has sent and was carried out."""
    return onf(0, Onf.REQUEST_FORWARD, request)


def decode_controller_id(data: bytes) -> tuple[bytes, int]:
    """(what must be zero, the controller id) of a SET_CONTROLLER_ID."""
    padding, number = _CONTROLLER_ID.unpack_from(data, BODY)
    return padding, number


def decode_zone(data: bytes) -> tuple[bytes, int]:
    """(what must be zero, the zone) of a CT_FLUSH_ZONE."""
    return decode_controller_id(data)  # of the same form


def decode_async_config(data: bytes) -> AsyncConfig:
    """SET_ASYNC_CONFIG: the masks in OpenFlow 1.3's order."""
    masks = _MASKS.unpack_from(data, BODY)
    return AsyncConfig(0, (masks[0], masks[1]), (masks[2], masks[3]), (masks[4], masks[5]))


def properties(data: bytes, at: int) -> list[tuple[int, bytes]]:
    """(type, value) of each property from `at` on, as OpenFlow 1.4 writes properties; lengths were proven."""
    found = []
    while at < len(data):
        kind, length = _PROPERTY.unpack_from(data, at)
        found.append((kind, data[at + 4:at + length]))
        at += length + 7 & ~7
    return found


def role_status(role: int, reason: int, generation_id: int) -> bytes:
    """OpenFlow 1.4's ROLE_STATUS as the ONF's extension of 1.3: somebody else has changed the receiver's role."""
    return onf(0, Onf.ROLE_STATUS, _ROLE_STATUS.pack(role, reason, generation_id))
