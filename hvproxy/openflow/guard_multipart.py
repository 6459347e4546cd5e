"""Proofs for the bodies of multipart messages, one per kind and direction.

A request's body is one struct or nothing, except table features (guard_table_features); a reply's is a list of
structs of one size, or of structs that state their own length. The length of the whole message has been proven by
`guard`, which alone calls this module; the words of a nested part are proven by `guard_parts`. Knows nothing of what
the statistics mean.
"""
from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Final, NoReturn

from hvproxy.errors import Refused
from hvproxy.openflow import guard_experimenter, guard_parts as parts, guard_table_features
from hvproxy.openflow.constants import of13
from hvproxy.openflow.memo import remembered

_TYPE_LENGTH: Final = Struct("!HH").unpack_from
_U16: Final = Struct("!H").unpack_from

_BODY: Final = 16
"""Where the body starts: behind the header, the kind, the flags and four bytes of padding."""

Proof = Callable[[bytes, int], None]
"""(message, its length): raises Refused."""


def request(data: bytes, length: int) -> None:
    """Prove a MULTIPART_REQUEST, which only a controller sends (OF 1.3.5 section 7.3.5).

    Any may be empty: another part of the same request may say what is asked.
    """
    if length != _BODY or _U16(data, 8)[0] not in _MAY_BE_EMPTY:
        _prove(_REQUESTS, data, length)


def reply(data: bytes, length: int) -> None:
    """Prove a MULTIPART_REPLY, which only a switch sends."""
    _prove(_REPLIES, data, length)


def reply_from_controller(data: bytes, length: int) -> None:
    """What Open vSwitch judges of a MULTIPART_REPLY before it says that a controller sends none: sizes only."""
    _prove(_REPLY_SIZES, data, length)


def _prove(proofs: dict[int, Proof], data: bytes, length: int) -> None:
    if length < _BODY:
        parts.bad_length("multipart message without its header")
    proof = proofs.get(_U16(data, 8)[0])
    if proof is None:
        raise Refused(of13.OFPET_BAD_REQUEST, of13.OFPBRC_BAD_MULTIPART, "unknown multipart kind")
    proof(data, length)


def _exactly(size: int) -> Proof:
    def proof(data: bytes, length: int) -> None:
        if length != _BODY + size:
            parts.bad_length("multipart body of another length than its kind has")
    return proof


def _records(size: int) -> Proof:
    def proof(data: bytes, length: int) -> None:
        if (length - _BODY) % size:
            parts.bad_length("multipart body ends within a record")
    return proof


def _steps(least: int, step: int) -> Proof:
    def proof(data: bytes, length: int) -> None:
        if length < _BODY + least or (length - _BODY - least) % step:
            parts.bad_length("multipart body of another length than its kind has")
    return proof


def _flow_request(data: bytes, length: int) -> None:
    """Flow and aggregate: 32 bytes, then a match; what follows is ignored as Open vSwitch does."""
    if length < _BODY + 32 or length & 7:
        parts.bad_length("flow statistics request")
    parts.match(data, _BODY + 32, length)


def _experimenter_reply(data: bytes, length: int) -> None:
    if length < _BODY + 8:
        parts.bad_length("experimenter multipart without its header")


def _flow_reply(data: bytes, length: int) -> None:
    at = _BODY
    while at < length:
        end = _record_end(data, at, length, 0, 56)
        parts.instructions(data, parts.match(data, at + 48, end), end, False)
        at = end


def _group_reply(data: bytes, length: int) -> None:
    at = _BODY
    while at < length:
        end = _record_end(data, at, length, 0, 40)
        if (end - at - 40) % 16:
            parts.bad_length("group statistics end within a bucket counter")
        at = end


def _group_desc_reply(data: bytes, length: int) -> None:
    at = _BODY
    while at < length:
        end = _record_end(data, at, length, 0, 8)
        parts.buckets(data, at + 8, end, False)
        at = end


def _meter_reply(data: bytes, length: int) -> None:
    at = _BODY
    while at < length:
        end = _record_end(data, at, length, 4, 40)
        if (end - at - 40) % 16:
            parts.bad_length("meter statistics end within a band counter")
        at = end


def _meter_config_reply(data: bytes, length: int) -> None:
    at = _BODY
    while at < length:
        end = _record_end(data, at, length, 0, 8)
        parts.bands(data, at + 8, end, False)
        at = end


def _record_end(data: bytes, at: int, end: int, offset: int, least: int) -> int:
    """End of the record at `at`, which states its length `offset` bytes on and has at least `least`."""
    if end - at < least:
        parts.bad_length("multipart body ends within a record")
    length: int = _U16(data, at + offset)[0]
    if length < least or length & 7 or at + length > end:
        parts.bad_length("length of a multipart record")
    return at + length


def _table_features_request(data: bytes, length: int) -> None:
    if length & 7:
        parts.bad_length("table features are no multiple of 8")
    guard_table_features.request(data, _BODY, length)


def _table_features(data: bytes, length: int) -> None:
    """A switch's: struct ofp_table_features with properties each padded to 8 (OF 1.3.5 section 7.3.5.5)."""
    if length & 7:
        parts.bad_length("table features are no multiple of 8")
    at = _BODY
    while at < length:
        if length - at < 64:
            _bad_features("bytes behind the last table")
        size = _U16(data, at)[0]
        end = at + size
        if size < 64 or size & 7 or end > length:
            _bad_features("length of a table's features")
        _table_properties(data, at + 64, end)
        at = end


def _table_properties(data: bytes, at: int, end: int) -> None:
    """The list is a multiple of 8 long, as is each property with its padding."""
    while at < end:
        kind, length = _TYPE_LENGTH(data, at)
        after = at + (length + 7 & ~7)
        if length < 4 or after > end:
            _bad_features("property length")
        if kind not in _NEXT_TABLES:
            _table_property(data[at:at + length])
        at = after


@remembered(1 << 10)
def _table_property(data: bytes) -> None:
    """Prove one property. A switch says the same of each of 254 tables."""
    kind, length = _TYPE_LENGTH(data, 0)
    if kind in _ID_PROPERTIES:
        _ids(data, 4, length)
    elif kind in _FIELD_PROPERTIES:
        parts.oxm_headers(data, 4, length)
    elif kind in _EXPERIMENTER_PROPERTIES and length < 12:
        _bad_features("experimenter property without its header")


def _ids(data: bytes, at: int, end: int) -> None:
    """Prove a list of instruction or action ids: type and length, 8 bytes at least for an experimenter's."""
    while at < end:
        if end - at < 4:
            _bad_features("bytes behind the last id")
        kind, length = _TYPE_LENGTH(data, at)
        if length < (8 if kind == 0xffff else 4) or at + length > end:
            _bad_features("length of an id")
        at += length


def _bad_features(why: str) -> NoReturn:
    raise Refused(of13.OFPET_TABLE_FEATURES_FAILED, of13.OFPTFFC_BAD_LEN, why)


_NEXT_TABLES: Final = frozenset({of13.OFPTFPT_NEXT_TABLES, of13.OFPTFPT_NEXT_TABLES_MISS})
_ID_PROPERTIES: Final = frozenset({
    of13.OFPTFPT_INSTRUCTIONS, of13.OFPTFPT_INSTRUCTIONS_MISS,
    of13.OFPTFPT_WRITE_ACTIONS, of13.OFPTFPT_WRITE_ACTIONS_MISS,
    of13.OFPTFPT_APPLY_ACTIONS, of13.OFPTFPT_APPLY_ACTIONS_MISS,
})
_FIELD_PROPERTIES: Final = frozenset({
    of13.OFPTFPT_MATCH, of13.OFPTFPT_WILDCARDS,
    of13.OFPTFPT_WRITE_SETFIELD, of13.OFPTFPT_WRITE_SETFIELD_MISS,
    of13.OFPTFPT_APPLY_SETFIELD, of13.OFPTFPT_APPLY_SETFIELD_MISS,
})
_EXPERIMENTER_PROPERTIES: Final = frozenset({of13.OFPTFPT_EXPERIMENTER, of13.OFPTFPT_EXPERIMENTER_MISS})

_REQUESTS: Final[dict[int, Proof]] = {
    of13.OFPMP_DESC: _exactly(0),
    of13.OFPMP_FLOW: _flow_request,
    of13.OFPMP_AGGREGATE: _flow_request,
    of13.OFPMP_TABLE: _exactly(0),
    of13.OFPMP_PORT_STATS: _exactly(8),
    of13.OFPMP_QUEUE: _exactly(8),
    of13.OFPMP_GROUP: _exactly(8),
    of13.OFPMP_GROUP_DESC: _exactly(0),
    of13.OFPMP_GROUP_FEATURES: _exactly(0),
    of13.OFPMP_METER: _exactly(8),
    of13.OFPMP_METER_CONFIG: _exactly(8),
    of13.OFPMP_METER_FEATURES: _exactly(0),
    of13.OFPMP_TABLE_FEATURES: _table_features_request,
    of13.OFPMP_PORT_DESC: _exactly(0),
    of13.OFPMP_EXPERIMENTER: guard_experimenter.multipart,
}
_REPLIES: Final[dict[int, Proof]] = {
    of13.OFPMP_DESC: _exactly(1056),
    of13.OFPMP_FLOW: _flow_reply,
    of13.OFPMP_AGGREGATE: _exactly(24),
    of13.OFPMP_TABLE: _records(24),
    of13.OFPMP_PORT_STATS: _records(112),
    of13.OFPMP_QUEUE: _records(40),
    of13.OFPMP_GROUP: _group_reply,
    of13.OFPMP_GROUP_DESC: _group_desc_reply,
    of13.OFPMP_GROUP_FEATURES: _exactly(40),
    of13.OFPMP_METER: _meter_reply,
    of13.OFPMP_METER_CONFIG: _meter_config_reply,
    of13.OFPMP_METER_FEATURES: _exactly(16),
    of13.OFPMP_TABLE_FEATURES: _table_features,
    of13.OFPMP_PORT_DESC: _records(64),
    of13.OFPMP_EXPERIMENTER: _experimenter_reply,
}
_MAY_BE_EMPTY: Final = frozenset(_REQUESTS) - {of13.OFPMP_EXPERIMENTER}
_REPLY_SIZES: Final[dict[int, Proof]] = {
    **_REPLIES,
    of13.OFPMP_FLOW: _steps(0, 1),
    of13.OFPMP_GROUP: _steps(0, 8),
    of13.OFPMP_GROUP_DESC: _steps(0, 8),
    of13.OFPMP_METER: _steps(0, 8),
    of13.OFPMP_METER_CONFIG: _steps(0, 8),
    of13.OFPMP_TABLE_FEATURES: _steps(64, 8),
    of13.OFPMP_EXPERIMENTER: guard_experimenter.multipart_reply,
}
