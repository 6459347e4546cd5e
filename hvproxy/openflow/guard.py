"""The guard: proves every length in an OpenFlow 1.3 message before anything parses it.

A parser that trusts a nested length of zero never returns, and one peer would stop every tenant. So each whole
message passes `check` first: type known and allowed in this direction, size right for the type, and every element
at every depth within its parent and longer than nothing. What fails is refused with the error Open vSwitch 3.1
gives; what passes may be cut by `struct` without further care. Iterative, one pass, linear time.

Must not judge values, tables, ports or fields: meaning belongs to the decoders and to the logical switch.
"""
from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Final

from hvproxy.errors import MalformedMessage, Refused
from hvproxy.openflow import guard_experimenter, guard_multipart, guard_parts as parts
from hvproxy.openflow.constants import HEADER_SIZE, OFP_VERSION, of13
from hvproxy.openflow.meters import BOTH_UNITS

_VERSION_TYPE_LENGTH: Final = Struct("!BBH").unpack_from
_U16: Final = Struct("!H").unpack_from
_QUEUE: Final = Struct("!8xH").unpack_from
_COMMAND_FLAGS: Final = Struct("!HH").unpack_from
_WITH_BANDS: Final = frozenset((of13.OFPMC_ADD, of13.OFPMC_MODIFY))
"""Bands of other meter-mods are never read, nor those of one that names two units (openflow.meters)."""

Proof = Callable[[bytes, int], None]
"""(message, its length): raises Refused."""


def check(message: bytes, from_switch: bool) -> None:
    """Raise Refused unless every length in this one whole message holds; MalformedMessage if it is not one."""
    if len(message) < HEADER_SIZE:
        raise MalformedMessage("message shorter than its header")
    version, kind, length = _VERSION_TYPE_LENGTH(message)
    if length != len(message):
        raise MalformedMessage("message of another length than its header says")
    # A HELLO carries the highest version its sender speaks, whichever that is (OF 1.3.5 section 6.3.1). An echo is the
    # same in all versions, and Open vSwitch answers it in that of the request.
    if version != OFP_VERSION and kind != of13.OFPT_HELLO and not (
            version and kind in (_ECHOES if from_switch else _OF_ANY_VERSION)):
        raise Refused(of13.OFPET_BAD_REQUEST, of13.OFPBRC_BAD_VERSION, f"version {version}")
    proof = (_FROM_SWITCH if from_switch else _FROM_CONTROLLER).get(kind)
    if proof is None:
        if not from_switch and kind in _ONLY_FROM_SWITCH:
            _ONLY_FROM_SWITCH[kind](message, length)
        raise Refused(of13.OFPET_BAD_REQUEST, of13.OFPBRC_BAD_TYPE, f"message type {kind}")
    proof(message, length)


def _exactly(size: int) -> Proof:
    def proof(data: bytes, length: int) -> None:
        if length != size:
            parts.bad_length("message of another length than its type has")
    return proof


def _at_least(size: int) -> Proof:
    def proof(data: bytes, length: int) -> None:
        if length < size:
            parts.bad_length("message shorter than its type needs")
    return proof


def _steps(least: int, step: int) -> Proof:
    def proof(data: bytes, length: int) -> None:
        if length < least or (length - least) % step:
            parts.bad_length("message of another length than its type has")
    return proof


def _hello(data: bytes, length: int) -> None:
    parts.hello_elements(data, HEADER_SIZE, length)


def begins_whole(message: bytes) -> bool:
    """Whether a message that changes something has all that stands before its parts.

    So far Open vSwitch looks into it before it asks who has sent it.
    """
    least, unit = _BEFORE_PARTS.get(message[1], (len(message) + 1, 1))
    return len(message) >= least and not len(message) % unit


def _flow_mod(data: bytes, length: int) -> None:
    if not begins_whole(data):
        parts.bad_length("flow-mod length")
    parts.instructions(data, parts.match(data, 48, length), length, True)


def _packet_out(data: bytes, length: int) -> None:
    if not begins_whole(data):
        parts.bad_length("packet-out length")
    size = _U16(data, 16)[0]
    if size & 7 or 24 + size > length:
        parts.bad_length("length of a packet-out's actions")
    parts.actions(data, 24, 24 + size, True)


def _group_mod(data: bytes, length: int) -> None:
    if not begins_whole(data):
        parts.bad_length("group-mod length")
    parts.buckets(data, 16, length, True)


def _meter_mod(data: bytes, length: int) -> None:
    if not begins_whole(data):
        parts.bad_length("meter-mod length")
    command, flags = _COMMAND_FLAGS(data, 8)
    if command in _WITH_BANDS and flags & BOTH_UNITS != BOTH_UNITS:
        parts.bands(data, 16, length, True)


def _packet_in(data: bytes, length: int) -> None:
    """The packet starts two bytes behind the match, so that its IP header is aligned (OF 1.3.5 section 7.4.1)."""
    if length < 24:
        parts.bad_length("packet-in length")
    if parts.match(data, 24, length) + 2 > length:
        parts.bad_length("packet-in ends within its padding")


def _flow_removed(data: bytes, length: int) -> None:
    if length < 48:
        parts.bad_length("flow-removed length")
    parts.match(data, 48, length)


def _queue_config(data: bytes, length: int) -> None:
    if length < 16:
        parts.bad_length("queue configuration length")
    at = 16
    while at < length:
        if length - at < 16:
            parts.bad_length("bytes behind the last queue")
        size = _QUEUE(data, at)[0]
        if size < 16 or size & 7 or at + size > length:
            parts.bad_length("length of a queue")
        parts.queue_properties(data, at + 16, at + size)
        at += size


_BEFORE_PARTS: Final = {
    of13.OFPT_FLOW_MOD: (48, 8), of13.OFPT_GROUP_MOD: (16, 8), of13.OFPT_METER_MOD: (16, 8),
    of13.OFPT_PACKET_OUT: (24, 1),
}
"""Message type -> (least bytes, what the length is a multiple of)."""
_SYMMETRIC: Final[dict[int, Proof]] = {
    of13.OFPT_HELLO: _hello,
    of13.OFPT_ECHO_REQUEST: _at_least(HEADER_SIZE),
    of13.OFPT_ECHO_REPLY: _at_least(HEADER_SIZE),
}
_ECHOES: Final = frozenset({of13.OFPT_ECHO_REQUEST, of13.OFPT_ECHO_REPLY})
_OF_ANY_VERSION: Final = _ECHOES | {of13.OFPT_ERROR}
"""A controller may not send an error, of whatever version."""
_FROM_CONTROLLER: Final[dict[int, Proof]] = {
    **_SYMMETRIC,
    of13.OFPT_EXPERIMENTER: guard_experimenter.message,
    of13.OFPT_FEATURES_REQUEST: _exactly(8),
    of13.OFPT_GET_CONFIG_REQUEST: _exactly(8),
    of13.OFPT_SET_CONFIG: _exactly(12),
    of13.OFPT_PACKET_OUT: _packet_out,
    of13.OFPT_FLOW_MOD: _flow_mod,
    of13.OFPT_GROUP_MOD: _group_mod,
    of13.OFPT_PORT_MOD: _exactly(40),
    of13.OFPT_TABLE_MOD: _exactly(16),
    of13.OFPT_MULTIPART_REQUEST: guard_multipart.request,
    of13.OFPT_BARRIER_REQUEST: _exactly(8),
    of13.OFPT_QUEUE_GET_CONFIG_REQUEST: _exactly(16),
    of13.OFPT_ROLE_REQUEST: _exactly(24),
    of13.OFPT_GET_ASYNC_REQUEST: _exactly(8),
    of13.OFPT_SET_ASYNC: _exactly(32),
    of13.OFPT_METER_MOD: _meter_mod,
}
_FROM_SWITCH: Final[dict[int, Proof]] = {
    **_SYMMETRIC,
    of13.OFPT_ERROR: _at_least(12),
    of13.OFPT_EXPERIMENTER: _at_least(16),
    of13.OFPT_FEATURES_REPLY: _exactly(32),
    of13.OFPT_GET_CONFIG_REPLY: _exactly(12),
    of13.OFPT_PACKET_IN: _packet_in,
    of13.OFPT_FLOW_REMOVED: _flow_removed,
    of13.OFPT_PORT_STATUS: _exactly(80),
    of13.OFPT_MULTIPART_REPLY: guard_multipart.reply,
    of13.OFPT_BARRIER_REPLY: _exactly(8),
    of13.OFPT_QUEUE_GET_CONFIG_REPLY: _queue_config,
    of13.OFPT_ROLE_REPLY: _exactly(24),
    of13.OFPT_GET_ASYNC_REPLY: _exactly(32),
}
_ONLY_FROM_SWITCH: Final[dict[int, Proof]] = {
    **{kind: proof for kind, proof in _FROM_SWITCH.items() if kind not in _FROM_CONTROLLER},
    of13.OFPT_PACKET_IN: _at_least(24),
    of13.OFPT_FLOW_REMOVED: _at_least(48),
    of13.OFPT_QUEUE_GET_CONFIG_REPLY: _steps(16, 8),
    of13.OFPT_MULTIPART_REPLY: guard_multipart.reply_from_controller,
}
"""What a controller may not send is still BAD_LEN first, without a look inside, as Open vSwitch judges it."""
