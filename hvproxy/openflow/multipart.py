"""Multipart messages of OpenFlow 1.3: their kinds, their splitting, and the statistics they carry, read and written.

A request or reply body is bytes; each record is a frozen dataclass with `encode`, and each body has a decoder that
trusts the lengths the guard has proven. Table features stand in table_features, port descriptions in ports.
Knows nothing of who asks or of what is counted.
"""
from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass
from enum import IntEnum
from struct import Struct
from typing import TypeAlias

from hvproxy.openflow.constants import MAX_MESSAGE, OFP_VERSION, of13
from hvproxy.openflow.ports import read_text, write_text

Wire: TypeAlias = bytes
"""For annotations next to a field that OpenFlow calls `bytes`."""

_MULTIPART = Struct("!BBHIHH4x")
_ROOM = MAX_MESSAGE - _MULTIPART.size
_FLOW_REQUEST = Struct("!B3xII4xQQ2xH")
_FLOW_REQUEST_FIXED = Struct("!B3xII4xQQ")
_FLOW_STATS = Struct("!HBxIIHHHH4xQQQ2xH")
_FLOW_STATS_FIXED = Struct("!HBxIIHHHH4xQQQ")
_AGGREGATE_STATS = Struct("!QQI4x")
_TABLE_STATS = Struct("!B3xIQQ")
_PORT_STATS = Struct("!I4xQQQQQQQQQQQQII")
_ONE_ID = Struct("!I4x")
_QUEUE_STATS_REQUEST = Struct("!II")
_GROUP_STATS = Struct("!H2xII4xQQII")
_BUCKET_COUNTER = Struct("!QQ")
_GROUP_DESC = Struct("!HBxI")
_GROUP_FEATURES = Struct("!10I")
_DESC = Struct("!256s256s256s32s256s")

_ANY_PORT: int = of13.OFPP_ANY
_ANY_GROUP: int = of13.OFPG_ANY
_ALL_TABLES: int = of13.OFPTT_ALL
_REQUEST: int = of13.OFPT_MULTIPART_REQUEST
_REPLY: int = of13.OFPT_MULTIPART_REPLY
_MORE: int = of13.OFPMPF_REPLY_MORE
EMPTY_MATCH = b"\0\1\0\4"
"""struct ofp_match that every packet matches, without its padding."""


class Kind(IntEnum):
    """OFPMP_* (OF 1.3.5 section 7.3.5)."""

    DESC = of13.OFPMP_DESC
    FLOW = of13.OFPMP_FLOW
    AGGREGATE = of13.OFPMP_AGGREGATE
    TABLE = of13.OFPMP_TABLE
    PORT_STATS = of13.OFPMP_PORT_STATS
    QUEUE = of13.OFPMP_QUEUE
    GROUP = of13.OFPMP_GROUP
    GROUP_DESC = of13.OFPMP_GROUP_DESC
    GROUP_FEATURES = of13.OFPMP_GROUP_FEATURES
    METER = of13.OFPMP_METER
    METER_CONFIG = of13.OFPMP_METER_CONFIG
    METER_FEATURES = of13.OFPMP_METER_FEATURES
    TABLE_FEATURES = of13.OFPMP_TABLE_FEATURES
    PORT_DESC = of13.OFPMP_PORT_DESC
    EXPERIMENTER = of13.OFPMP_EXPERIMENTER


@dataclass(frozen=True, slots=True)
class Multipart:
    """struct ofp_multipart_request or _reply, of which one answer may take several (OF 1.3.5 section 7.3.5)."""

    xid: int
    kind: int
    """OFPMP_*; an int, for a peer may send kinds of its own."""
    flags: int
    body: bytes

    @property
    def more(self) -> bool:
        """Further messages of the same xid belong to it."""
        return bool(self.flags & _MORE)


def decode_multipart(message: bytes) -> Multipart:
    """MULTIPART_REQUEST and MULTIPART_REPLY."""
    _, _, _, xid, kind, flags = _MULTIPART.unpack_from(message)
    return Multipart(xid, kind, flags, message[_MULTIPART.size:])


def multipart_request(xid: int, kind: int, body: bytes = b"", flags: int = 0) -> bytes:
    return _MULTIPART.pack(OFP_VERSION, _REQUEST, _MULTIPART.size + len(body), xid, kind, flags) + body


def multipart_replies(xid: int, kind: int, records: Iterable[bytes], prefix: bytes = b"") -> Iterator[bytes]:
    """The reply as the fewest messages that hold whole records, each behind `prefix`, all but the last marked MORE.

    They are made as they are taken. No record makes one empty reply: a request is always answered (OF 1.3.5 section
    7.3.5).
    """
    room = _ROOM - len(prefix)
    parts = [prefix]
    size = 0
    for record in records:
        if len(record) > room:
            raise ValueError(f"a record of {len(record)} bytes fits no message")
        if size + len(record) > room:
            yield _reply(xid, kind, _MORE, parts)
            parts, size = [prefix], 0
        parts.append(record)
        size += len(record)
    yield _reply(xid, kind, 0, parts)


def _reply(xid: int, kind: int, flags: int, parts: list[bytes]) -> bytes:
    body = b"".join(parts)
    return _MULTIPART.pack(OFP_VERSION, _REPLY, _MULTIPART.size + len(body), xid, kind, flags) + body


def _padded(match: bytes) -> bytes:
    return match + bytes(-len(match) & 7)


def fits_flow_stats(match: bytes, instructions: bytes) -> bool:
    """Whether one reply can hold the statistics of an entry with this struct ofp_match."""
    return _FLOW_STATS_FIXED.size + len(_padded(match)) + len(instructions) <= _ROOM


def fits_group_replies(buckets: bytes, count: int) -> bool:
    """Whether one reply can hold the description of a group with these buckets, and one its statistics."""
    return (_GROUP_DESC.size + len(buckets) <= _ROOM
            and _GROUP_STATS.size + _BUCKET_COUNTER.size * count <= _ROOM)


@dataclass(frozen=True, slots=True)
class FlowStatsRequest:
    """struct ofp_flow_stats_request, which is also that of AGGREGATE (OF 1.3.5 sections 7.3.5.2, 7.3.5.3)."""

    table_id: int = _ALL_TABLES
    out_port: int = _ANY_PORT
    out_group: int = _ANY_GROUP
    cookie: int = 0
    cookie_mask: int = 0
    match: bytes = EMPTY_MATCH
    """struct ofp_match with its header, without its padding."""

    def encode(self) -> bytes:
        return _FLOW_REQUEST_FIXED.pack(
            self.table_id, self.out_port, self.out_group, self.cookie, self.cookie_mask) + _padded(self.match)


def decode_flow_stats_request(body: bytes) -> FlowStatsRequest:
    """The body of a FLOW or AGGREGATE request."""
    table_id, out_port, out_group, cookie, cookie_mask, length = _FLOW_REQUEST.unpack_from(body)
    start = _FLOW_REQUEST_FIXED.size
    return FlowStatsRequest(table_id, out_port, out_group, cookie, cookie_mask, body[start:start + length])


@dataclass(frozen=True, slots=True)
class FlowStats:
    """struct ofp_flow_stats (OF 1.3.5 section 7.3.5.2)."""

    table_id: int
    duration_sec: int
    duration_nsec: int
    priority: int
    idle: int
    hard: int
    flags: int
    cookie: int
    packets: int
    bytes: int
    match: Wire
    """struct ofp_match with its header, without its padding."""
    instructions: Wire

    def encode(self) -> Wire:
        match = _padded(self.match)
        return _FLOW_STATS_FIXED.pack(
            _FLOW_STATS_FIXED.size + len(match) + len(self.instructions), self.table_id, self.duration_sec,
            self.duration_nsec, self.priority, self.idle, self.hard, self.flags, self.cookie, self.packets,
            self.bytes) + match + self.instructions


def decode_flow_stats(body: bytes) -> list[FlowStats]:
    records = []
    unpack, to_match = _FLOW_STATS.unpack_from, _FLOW_STATS_FIXED.size
    offset, end = 0, len(body)
    while offset < end:
        (length, table_id, seconds, nanoseconds, priority, idle, hard, flags, cookie, packets, octets,
         match_length) = unpack(body, offset)
        start = offset + to_match
        instructions = start + (match_length + 7 & -8)
        offset += length
        records.append(FlowStats(
            table_id, seconds, nanoseconds, priority, idle, hard, flags, cookie, packets, octets,
            body[start:start + match_length], body[instructions:offset]))
    return records


@dataclass(frozen=True, slots=True)
class AggregateStats:
    """struct ofp_aggregate_stats_reply (OF 1.3.5 section 7.3.5.3)."""

    packets: int
    bytes: int
    flows: int

    def encode(self) -> Wire:
        return _AGGREGATE_STATS.pack(self.packets, self.bytes, self.flows)


@dataclass(frozen=True, slots=True)
class TableStats:
    """struct ofp_table_stats (OF 1.3.5 section 7.3.5.4)."""

    table_id: int
    active: int
    looked_up: int
    matched: int

    def encode(self) -> bytes:
        return _TABLE_STATS.pack(self.table_id, self.active, self.looked_up, self.matched)


@dataclass(frozen=True, slots=True)
class PortStats:
    """struct ofp_port_stats; a counter the switch does not keep is 2**64 - 1 (OF 1.3.5 section 7.3.5.6)."""

    port_no: int
    rx_packets: int = 0
    tx_packets: int = 0
    rx_bytes: int = 0
    tx_bytes: int = 0
    rx_dropped: int = 0
    tx_dropped: int = 0
    rx_errors: int = 0
    tx_errors: int = 0
    rx_frame_errors: int = 0
    rx_overruns: int = 0
    rx_crc_errors: int = 0
    collisions: int = 0
    duration_sec: int = 0
    duration_nsec: int = 0

    def encode(self) -> bytes:
        return _PORT_STATS.pack(*astuple(self))


def decode_port_stats(body: bytes) -> list[PortStats]:
    return [PortStats(*record) for record in _PORT_STATS.iter_unpack(body)]


def encode_id_request(number: int) -> bytes:
    """The body of a PORT_STATS or GROUP request."""
    return _ONE_ID.pack(number)


def decode_id_request(body: bytes) -> int:
    """The port of a PORT_STATS request (OFPP_ANY: all) or the group of a GROUP request (OFPG_ALL: all)."""
    number: int = _ONE_ID.unpack_from(body)[0]
    return number


def decode_queue_stats_request(body: bytes) -> tuple[int, int]:
    """(port, queue) asked about, either of which may be the all-value (OF 1.3.5 section 7.3.5.8)."""
    port_no, queue_id = _QUEUE_STATS_REQUEST.unpack_from(body)
    return port_no, queue_id


@dataclass(frozen=True, slots=True)
class GroupStats:
    """struct ofp_group_stats (OF 1.3.5 section 7.3.5.9)."""

    group_id: int
    references: int
    packets: int
    bytes: int
    duration_sec: int
    duration_nsec: int
    buckets: tuple[tuple[int, int], ...]
    """(packets, bytes) of each bucket, in order."""

    def encode(self) -> Wire:
        return _GROUP_STATS.pack(
            _GROUP_STATS.size + _BUCKET_COUNTER.size * len(self.buckets), self.group_id, self.references,
            self.packets, self.bytes, self.duration_sec, self.duration_nsec,
        ) + b"".join(_BUCKET_COUNTER.pack(*counters) for counters in self.buckets)


def decode_group_stats(body: bytes) -> list[GroupStats]:
    records = []
    offset, end = 0, len(body)
    while offset < end:
        (length, group_id, references, packets, octets, seconds,
         nanoseconds) = _GROUP_STATS.unpack_from(body, offset)
        counters = tuple(_BUCKET_COUNTER.iter_unpack(body[offset + _GROUP_STATS.size:offset + length]))
        records.append(GroupStats(group_id, references, packets, octets, seconds, nanoseconds, counters))
        offset += length
    return records


@dataclass(frozen=True, slots=True)
class GroupDesc:
    """struct ofp_group_desc (OF 1.3.5 section 7.3.5.10)."""

    type: int
    """OFPGT_*."""
    group_id: int
    buckets: bytes
    """Wire bytes of all buckets, in order."""

    def encode(self) -> bytes:
        return _GROUP_DESC.pack(_GROUP_DESC.size + len(self.buckets), self.type, self.group_id) + self.buckets


def decode_group_desc(body: bytes) -> list[GroupDesc]:
    records = []
    offset, end = 0, len(body)
    while offset < end:
        length, group_type, group_id = _GROUP_DESC.unpack_from(body, offset)
        records.append(GroupDesc(group_type, group_id, body[offset + _GROUP_DESC.size:offset + length]))
        offset += length
    return records


@dataclass(frozen=True, slots=True)
class GroupFeatures:
    """struct ofp_group_features; the tuples are indexed by OFPGT_* (OF 1.3.5 section 7.3.5.11)."""

    types: int
    """Bit n: groups of type n are offered."""
    capabilities: int
    """OFPGFC_*."""
    max_groups: tuple[int, int, int, int]
    actions: tuple[int, int, int, int]
    """Bit n: actions of type n are offered."""

    def encode(self) -> bytes:
        return _GROUP_FEATURES.pack(self.types, self.capabilities, *self.max_groups, *self.actions)


def decode_group_features(body: bytes) -> GroupFeatures:
    types, capabilities, g0, g1, g2, g3, a0, a1, a2, a3 = _GROUP_FEATURES.unpack_from(body)
    return GroupFeatures(types, capabilities, (g0, g1, g2, g3), (a0, a1, a2, a3))


@dataclass(frozen=True, slots=True)
class Desc:
    """struct ofp_desc: who made the switch (OF 1.3.5 section 7.3.5.1)."""

    manufacturer: str
    hardware: str
    software: str
    serial_number: str
    datapath: str

    def encode(self) -> bytes:
        return _DESC.pack(
            write_text(self.manufacturer, 256), write_text(self.hardware, 256), write_text(self.software, 256),
            write_text(self.serial_number, 32), write_text(self.datapath, 256))


def decode_desc(body: bytes) -> Desc:
    return Desc(*map(read_text, _DESC.unpack_from(body)))
