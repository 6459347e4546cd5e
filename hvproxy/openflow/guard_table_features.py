"""Proof for the body of a TABLE_FEATURES request, for `guard_multipart` alone, as Open vSwitch 3.1 judges it.

Unlike other proofs it judges values too, for Open vSwitch reads property by property and stops at the first that is
wrong, in its length or in what it names. Whether what they say is so is left to those who know the tables.
(OF 1.3.5 section 7.3.5.5.)
"""
from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import Final, NoReturn

from hvproxy.errors import Refused
from hvproxy.openflow.constants import NICIRA_ID, ONF_ID, of13
from hvproxy.openflow.memo import remembered
from hvproxy.openflow.oxm_aliases import ALIASES, IP_TOS, OWN_HEADERS, VLAN_TCI, WIDE_REGISTERS
from hvproxy.openflow.oxm_fields import HEADERS_EXACT

_TYPE_LENGTH: Final = Struct("!HH").unpack_from
_TABLE: Final = Struct("!HB").unpack_from
_U32: Final = Struct("!I").unpack_from
_TWO: Final = Struct("!4xII").unpack_from
_TABLE_SIZE: Final = 64
_EXPERIMENTER: Final = 0xffff
"""Only that type of property has an experimenter's header: Open vSwitch does not know the other one, 0xfffe."""
_EXPERIMENTER_SIZE: Final = 12
_MOST_EXP_TYPE: Final = 0xffff
_NO_TABLE: Final = 0xff
_BAD_EXPERIMENTER, _BAD_EXP_TYPE = 4445, 4446
"""The ONF's errors for properties (OF extension 444)."""

_BAD_FEATURES: Final = 10
"""Open vSwitch's own error, of Nicira's."""

_INSTRUCTIONS: Final = frozenset({of13.OFPTFPT_INSTRUCTIONS, of13.OFPTFPT_INSTRUCTIONS_MISS})
_NEXT_TABLES: Final = frozenset({of13.OFPTFPT_NEXT_TABLES, of13.OFPTFPT_NEXT_TABLES_MISS})
_ACTIONS: Final = frozenset({of13.OFPTFPT_WRITE_ACTIONS, of13.OFPTFPT_WRITE_ACTIONS_MISS,
                             of13.OFPTFPT_APPLY_ACTIONS, of13.OFPTFPT_APPLY_ACTIONS_MISS})
_FIELDS: Final = frozenset({of13.OFPTFPT_MATCH, of13.OFPTFPT_WILDCARDS,
                            of13.OFPTFPT_WRITE_SETFIELD, of13.OFPTFPT_WRITE_SETFIELD_MISS,
                            of13.OFPTFPT_APPLY_SETFIELD, of13.OFPTFPT_APPLY_SETFIELD_MISS})
REQUIRED: Final = frozenset((
    of13.OFPTFPT_INSTRUCTIONS, of13.OFPTFPT_NEXT_TABLES, of13.OFPTFPT_WRITE_ACTIONS, of13.OFPTFPT_APPLY_ACTIONS,
    of13.OFPTFPT_MATCH, of13.OFPTFPT_WILDCARDS, of13.OFPTFPT_WRITE_SETFIELD, of13.OFPTFPT_APPLY_SETFIELD))
_KNOWN_INSTRUCTIONS: Final = frozenset(range(of13.OFPIT_GOTO_TABLE, of13.OFPIT_METER + 1))
_KNOWN_FIELDS: Final = frozenset((
    *HEADERS_EXACT.keys() | ALIASES.keys() | WIDE_REGISTERS.keys(), VLAN_TCI, IP_TOS)) - OWN_HEADERS
"""Headers without a mask."""
_ONF_FIELDS: Final = frozenset({0xffff << 16 | 42 << 9 | 6})
"""The same of the ONF's own: TCP flags."""


def request(data: bytes, at: int, length: int) -> None:
    """Prove the tables from `at` to the end of the message."""
    while at < length:
        if length - at < _TABLE_SIZE:
            _refuse(of13.OFPTFFC_BAD_LEN, "bytes behind the last table")
        size, table_id = _TABLE(data, at)
        end = at + size
        if size < _TABLE_SIZE or size & 7 or end > length:
            _refuse(of13.OFPTFFC_BAD_LEN, "length of a table's features")
        if table_id == of13.OFPTT_ALL:
            _refuse(of13.OFPTFFC_BAD_TABLE, "all tables are no table")
        at = _properties(data, at + _TABLE_SIZE, end)


def _properties(data: bytes, at: int, end: int) -> int:
    seen: set[int] = set()
    while at < end:
        size = _TYPE_LENGTH(data, at)[1]
        after = at + (size + 7 & ~7)
        if size < 4 or after > end:
            _refuse(of13.OFPTFFC_BAD_LEN, "property length")
        kind, start = _kind(data[at:at + size])
        if kind in seen:
            _bad_features("a property for the second time")
        seen.add(kind)
        _property(data[at + start:at + size], kind)
        at = after
    if not seen >= REQUIRED:
        _bad_features("a property is missing")
    return at


@remembered(1 << 10)
def _property(data: bytes, kind: int) -> None:
    """Prove what one property lists. A controller says the same of most tables."""
    if kind in _INSTRUCTIONS:
        if any(each not in _KNOWN_INSTRUCTIONS for each in _ids(data)):
            raise Refused(of13.OFPET_BAD_INSTRUCTION, of13.OFPBIC_UNKNOWN_INST, "unknown instruction")
    elif kind in _NEXT_TABLES:
        if _NO_TABLE in data:
            _refuse(of13.OFPTFFC_BAD_ARGUMENT, "all tables are no next table")
    elif kind in _ACTIONS:
        for _ in _ids(data):
            pass  # of actions nothing but the lengths is judged
    elif kind in _FIELDS:
        _fields(data, kind == of13.OFPTFPT_MATCH)
    else:
        _refuse(of13.OFPTFFC_BAD_TYPE, "a property that is none")


def _kind(data: bytes) -> tuple[int, int]:
    """(the type of a property, the size of its header). Open vSwitch takes an experimenter's for one of the
    standard's."""
    kind: int = _TYPE_LENGTH(data, 0)[0]
    if kind != _EXPERIMENTER:
        return kind, 4
    if len(data) < _EXPERIMENTER_SIZE:
        _refuse(of13.OFPTFFC_BAD_LEN, "experimenter property without its header")
    experimenter, kind = _TWO(data)
    if not experimenter or kind > _MOST_EXP_TYPE:
        raise Refused(of13.OFPET_EXPERIMENTER, _BAD_EXP_TYPE if experimenter else _BAD_EXPERIMENTER,
                      "an experimenter's property", ONF_ID)
    return kind, _EXPERIMENTER_SIZE


def _ids(data: bytes) -> Iterator[int]:
    """The types in a list of instruction or action ids, each proven as it comes."""
    at = 0
    while at < len(data):
        if len(data) - at < 4:
            _refuse(of13.OFPTFFC_BAD_LEN, "bytes behind the last id")
        kind, size = _TYPE_LENGTH(data, at)
        if size < 4 or at + size > len(data):
            _refuse(of13.OFPTFFC_BAD_LEN, "length of an id")
        yield kind
        at += size


def _fields(data: bytes, may_mask: bool) -> None:
    """Field ids: headers alone, 8 bytes for an experimenter's."""
    at = 0
    while at < len(data):
        if len(data) - at < 4:
            _bad_match(of13.OFPBMC_BAD_LEN, "bytes behind the last field id")
        header, known = _U32(data, at)[0], _KNOWN_FIELDS
        at += 4
        masked = header & 0x100
        if header >> 16 == of13.OFPXMC_EXPERIMENTER:
            if len(data) - at < 4:
                _bad_match(of13.OFPBMC_BAD_LEN, "a field id is cut short")
            known = _ONF_FIELDS if _U32(data, at)[0] == ONF_ID else frozenset()
            at += 4
        if (_without_mask(header) if masked else header) not in known:
            _bad_match(of13.OFPBMC_BAD_FIELD, f"unknown field {header:#010x}")
        if masked and not may_mask:
            _bad_match(of13.OFPBMC_BAD_MASK, "only of a match are masks told")


def _without_mask(header: int) -> int:
    own = 4 if header >> 16 == of13.OFPXMC_EXPERIMENTER else 0
    size = (header & 0xff) - own
    return header & ~0x1ff | own + (size >> 1) if size >= 0 else 0


def _bad_features(why: str) -> NoReturn:
    raise Refused(of13.OFPET_EXPERIMENTER, _BAD_FEATURES, why, NICIRA_ID)


def _refuse(code: int, why: str) -> NoReturn:
    raise Refused(of13.OFPET_TABLE_FEATURES_FAILED, code, why)


def _bad_match(code: int, why: str) -> NoReturn:
    raise Refused(of13.OFPET_BAD_MATCH, code, why)
