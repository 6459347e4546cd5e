"""Proofs for messages and multipart requests of experimenters, for `guard` alone: as Open vSwitch 3.1 judges them.

Unknown experimenters are BAD_EXPERIMENTER, unknown types BAD_EXP_TYPE, those that only a switch sends BAD_TYPE; an
experimenter's header comes before everything else. Must not judge values.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator
from struct import Struct
from typing import Final, NoReturn

from hvproxy.errors import Refused
from hvproxy.openflow import guard_parts as parts
from hvproxy.openflow.constants import HEADER_SIZE, NICIRA_ID, ONF_ID, of13
from hvproxy.openflow.experimenters import BODY, Nicira, NiciraError, Onf

_EXPERIMENTER: Final = Struct("!II").unpack_from
_TYPE_LENGTH: Final = Struct("!HH").unpack_from
_MULTIPART_BODY: Final = 16

Proof = Callable[[bytes, int], None]
"""(message, its length): raises Refused."""


def message(data: bytes, length: int) -> None:
    """Prove an EXPERIMENTER message of a controller (OF 1.3.5 section 7.5.4)."""
    if length < BODY:
        parts.bad_length("experimenter message without its header")
    _prove(_MESSAGES, data, HEADER_SIZE, length)


def multipart(data: bytes, length: int) -> None:
    """Prove an EXPERIMENTER multipart request (OF 1.3.5 section 7.3.5.17)."""
    if length < _MULTIPART_BODY + 8:
        parts.bad_length("experimenter multipart without its header")
    _prove(_MULTIPARTS, data, _MULTIPART_BODY, length)


def multipart_reply(data: bytes, length: int) -> None:
    """Judge the header of an EXPERIMENTER multipart reply of a controller, which sends none."""
    if length < _MULTIPART_BODY + 8:
        parts.bad_length("experimenter multipart without its header")
    _prove(_MULTIPART_REPLIES, data, _MULTIPART_BODY, length)


def _prove(proofs: dict[int, dict[int, Proof]], data: bytes, at: int, length: int) -> None:
    experimenter, exp_type = _EXPERIMENTER(data, at)
    types = proofs.get(experimenter)
    if types is None:
        raise Refused(of13.OFPET_BAD_REQUEST, of13.OFPBRC_BAD_EXPERIMENTER, f"experimenter {experimenter:#x}")
    proof = types.get(exp_type)
    if proof is None:
        raise Refused(of13.OFPET_BAD_REQUEST, of13.OFPBRC_BAD_EXP_TYPE, f"type {exp_type} of {experimenter:#x}")
    proof(data, length)


def _exactly(size: int) -> Proof:
    def proof(data: bytes, length: int) -> None:
        if length != size:
            parts.bad_length("experimenter message of another length than its type has")
    return proof


def _at_least(size: int) -> Proof:
    def proof(data: bytes, length: int) -> None:
        if length < size:
            parts.bad_length("experimenter message shorter than its type needs")
    return proof


def _from_switch(least: int, step: int = 1) -> Proof:
    def proof(data: bytes, length: int) -> None:
        if length < least or (length - least) % step:
            parts.bad_length("experimenter message of another length than its type has")
        raise Refused(of13.OFPET_BAD_REQUEST, of13.OFPBRC_BAD_TYPE, "only a switch sends that")
    return proof


def _properties(data: bytes, length: int) -> Iterator[tuple[int, int, int]]:
    """(type, length, place) of each of the properties, proven as it comes, for Open vSwitch stops at the first fault.

    They are as OpenFlow 1.4 has them, each padded to a multiple of 8, the padding not counted in its length.
    """
    if length & 7:
        parts.bad_length("properties are no multiple of 8")
    at = BODY
    while at < length:
        kind, size = _TYPE_LENGTH(data, at)
        if size < 4 or at + (size + 7 & ~7) > length:
            bad_property(_PROPERTY_BAD_LEN, "property length")
        yield kind, size, at
        at += size + 7 & ~7


_PROPERTY_BAD_TYPE: Final = 2
_PROPERTY_BAD_LEN: Final = 3


def bad_property(code: int, why: str) -> NoReturn:
    """Open vSwitch's errors for properties are over 1.3 those of table features (OF 1.3.5 section 7.4.4.14)."""
    raise Refused(of13.OFPET_TABLE_FEATURES_FAILED, code, why)


def _experimenter_property(data: bytes, at: int, size: int) -> NoReturn:
    """Refuse an experimenter's property: none is known (OF extension 444)."""
    if size < 12:
        bad_property(_PROPERTY_BAD_LEN, "experimenter property without its header")
    code = _BAD_EXP_TYPE if any(data[at + 4:at + 8]) else _BAD_EXPERIMENTER
    raise Refused(of13.OFPET_EXPERIMENTER, code, "an experimenter's property", ONF_ID)


_BAD_EXPERIMENTER, _BAD_EXP_TYPE = 4445, 4446


def _async_properties(data: bytes, length: int) -> None:
    for kind, size, at in _properties(data, length):
        if kind >= _FIRST_EXPERIMENTER:
            _experimenter_property(data, at, size)
        if kind <= _LAST_MASK and size != 8:
            bad_property(_PROPERTY_BAD_LEN, "a mask is of 32 bits")


_LAST_MASK: Final = 11
"""Of the masks in a SET_ASYNC_CONFIG2."""
_FIRST_EXPERIMENTER: Final = 0xfffe
"""Of its types."""


def _resume(data: bytes, length: int) -> None:
    """What it may hold is in no packet-in of a logical switch, so that nothing can ever be resumed."""
    if length == BODY:
        parts.bad_length("nothing to resume")
    packet = False
    for kind, size, at in _properties(data, length):
        if kind == _EXPERIMENTER_PROPERTY:
            _experimenter_property(data, at, size)
        if kind not in _PACKET_IN_PROPERTIES:
            bad_property(_PROPERTY_BAD_TYPE, "unknown property of a packet-in")
        least, most = _PACKET_IN_PROPERTIES[kind]
        if not least <= size <= most:
            bad_property(_PROPERTY_BAD_LEN, "property of a packet-in of another length than its type has")
        packet |= not kind and size > 4
    if not packet:
        parts.bad_length("no packet to resume")


_ANY: Final = 1 << 16
_PACKET_IN_PROPERTIES: Final = {
    0: (4, _ANY), 1: (8, 8), 2: (8, 8), 3: (5, _ANY), 4: (16, 16), 5: (5, _ANY), 6: (4, _ANY), 7: (4, _ANY),
    8: (8, _ANY)}
"""Least and greatest length by type: the packet, its length, buffer, table, cookie, reason, metadata, what the
controller wants to find again, and what the switch does."""
_EXPERIMENTER_PROPERTY: Final = 0xffff


def _flow_monitor(data: bytes, length: int) -> None:
    """Any number of monitors, each a fixed part and a match."""
    at = _MULTIPART_BODY + 8
    while at < length:
        if length - at < _MONITOR_FIXED + 8:
            parts.bad_length("flow monitor cut short")
        at = parts.match(data, at + _MONITOR_FIXED, length)


_MONITOR_FIXED: Final = 16
"""Bytes of a flow monitor in front of its match."""


def _not_configured(data: bytes, length: int) -> None:
    """Statistics of IPFIX, which no logical switch has configured."""
    if length != _MULTIPART_BODY + 8:
        parts.bad_length("request for IPFIX statistics")
    raise Refused(of13.OFPET_EXPERIMENTER, NiciraError.NOT_CONFIGURED, "no IPFIX", NICIRA_ID)


_MESSAGES: Final[dict[int, dict[int, Proof]]] = {
    NICIRA_ID: {
        Nicira.ROLE_REQUEST: _exactly(BODY + 4),
        Nicira.ROLE_REPLY: _from_switch(BODY + 4, 1 << 16),
        Nicira.FLOW_REMOVED: _from_switch(BODY + 40, 8),
        Nicira.FLOW_MOD_TABLE_ID: _exactly(BODY + 8),
        Nicira.SET_PACKET_IN_FORMAT: _exactly(BODY + 4),
        Nicira.PACKET_IN: _from_switch(BODY + 24),
        Nicira.FLOW_AGE: _exactly(BODY),
        Nicira.SET_ASYNC_CONFIG: _exactly(BODY + 24),
        Nicira.SET_CONTROLLER_ID: _exactly(BODY + 8),
        Nicira.TLV_TABLE_REPLY: _from_switch(BODY + 16, 8),
        Nicira.SET_ASYNC_CONFIG2: _async_properties,
        Nicira.RESUME: _resume,
        Nicira.CT_FLUSH_ZONE: _exactly(BODY + 8),
        Nicira.PACKET_IN2: _from_switch(BODY, 8),
    },
    ONF_ID: {
        Onf.FLOW_MONITOR: _exactly(BODY + 4),
        Onf.FLOW_MONITOR_PAUSED: _from_switch(BODY, 1 << 16),
        Onf.FLOW_MONITOR_RESUMED: _from_switch(BODY, 1 << 16),
        Onf.ROLE_STATUS: _from_switch(BODY + 16, 8),
        Onf.BUNDLE_CONTROL: _at_least(BODY + 8),
        Onf.BUNDLE_ADD: _at_least(BODY + 8),
    },
}
_IPFIX_BRIDGE, _IPFIX_FLOW = 3, 4
_MULTIPARTS: Final[dict[int, dict[int, Proof]]] = {
    NICIRA_ID: {_IPFIX_BRIDGE: _not_configured, _IPFIX_FLOW: _not_configured},
    ONF_ID: {Onf.FLOW_MONITOR: _flow_monitor},
}
_MULTIPART_REPLIES: Final = {
    experimenter: {exp_type: _at_least(_MULTIPART_BODY + 8) for exp_type in types}
    for experimenter, types in _MULTIPARTS.items()
}
