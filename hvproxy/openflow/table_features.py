"""Table features of OpenFlow 1.3: what a table can match, write and do, read from a switch and written for a tenant.

A property is a list of identifiers; here it is a tuple of ints. An identifier that belongs to an experimenter is
followed by the experimenter's number on the wire and is written here as (identifier << 32 | experimenter).
Knows nothing of what hvproxy's own pipeline offers. (OF 1.3.5 section 7.3.5.5.)
"""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from struct import Struct

from hvproxy.openflow.constants import of13
from hvproxy.openflow.ports import read_text, write_text

_FEATURES = Struct("!HB5x32sQQII")
_HEADER = Struct("!HH")
_NUMBER = Struct("!I")
_NUMBERS = Struct("!II")
_EXPERIMENTER = 0xffff
_NAME_SIZE = 32

INSTRUCTIONS: int = of13.OFPTFPT_INSTRUCTIONS
NEXT_TABLES: int = of13.OFPTFPT_NEXT_TABLES
WRITE_ACTIONS: int = of13.OFPTFPT_WRITE_ACTIONS
APPLY_ACTIONS: int = of13.OFPTFPT_APPLY_ACTIONS
MATCH: int = of13.OFPTFPT_MATCH
WILDCARDS: int = of13.OFPTFPT_WILDCARDS
WRITE_SETFIELD: int = of13.OFPTFPT_WRITE_SETFIELD
APPLY_SETFIELD: int = of13.OFPTFPT_APPLY_SETFIELD
MISS = 1
"""Added to a property that has a table-miss twin (all but MATCH and WILDCARDS), it names that twin."""

_TYPE_LISTS = {first + miss for first in (INSTRUCTIONS, WRITE_ACTIONS, APPLY_ACTIONS) for miss in (0, MISS)}
_TABLE_LISTS = {NEXT_TABLES, NEXT_TABLES + MISS}
_OXM_LISTS = {MATCH, WILDCARDS} | {first + miss for first in (WRITE_SETFIELD, APPLY_SETFIELD) for miss in (0, MISS)}
_LISTS = _TYPE_LISTS | _TABLE_LISTS | _OXM_LISTS


@dataclass(frozen=True, slots=True)
class TableFeatures:
    """struct ofp_table_features."""

    table_id: int
    name: str
    metadata_match: int
    metadata_write: int
    config: int
    max_entries: int
    properties: Mapping[int, bytes | tuple[int, ...]]
    """OFPTFPT_* to a tuple of identifiers: instruction or action types, table numbers, or OXM headers as sent.
    Bytes after the property's header for kinds that are no list of identifiers (the experimenters')."""

    def encode(self) -> bytes:
        """The record, its properties in the order of their numbers."""
        properties = b"".join(_property(kind, value) for kind, value in sorted(self.properties.items()))
        return _FEATURES.pack(
            _FEATURES.size + len(properties), self.table_id, write_text(self.name, _NAME_SIZE), self.metadata_match,
            self.metadata_write, self.config, self.max_entries) + properties


def table_features(
    table_id: int,
    name: str,
    *,
    instructions: Iterable[int],
    next_tables: Iterable[int],
    write_actions: Iterable[int],
    apply_actions: Iterable[int],
    match: Iterable[int],
    wildcards: Iterable[int],
    write_setfield: Iterable[int],
    apply_setfield: Iterable[int],
    metadata_match: int,
    metadata_write: int,
    max_entries: int,
    config: int = 0,
) -> TableFeatures:
    """The features of a table whose table-miss entry may do all that its other entries may.

    The twins for the table-miss are written out although equal ones may be left out, as Open vSwitch does:
    controllers read them.
    """
    properties: dict[int, bytes | tuple[int, ...]] = {MATCH: tuple(match), WILDCARDS: tuple(wildcards)}
    for kind, identifiers in (
        (INSTRUCTIONS, tuple(instructions)), (NEXT_TABLES, tuple(next_tables)),
        (WRITE_ACTIONS, tuple(write_actions)), (APPLY_ACTIONS, tuple(apply_actions)),
        (WRITE_SETFIELD, tuple(write_setfield)), (APPLY_SETFIELD, tuple(apply_setfield)),
    ):
        properties[kind] = properties[kind + MISS] = identifiers
    return TableFeatures(table_id, name, metadata_match, metadata_write, config, max_entries, properties)


def decode_table_features(body: bytes) -> list[TableFeatures]:
    """The records of one table features message, request or reply."""
    tables = []
    offset, end = 0, len(body)
    while offset < end:
        length, table_id, name, match, write, config, entries = _FEATURES.unpack_from(body, offset)
        properties = _read_properties(body[offset + _FEATURES.size:offset + length])
        tables.append(TableFeatures(table_id, read_text(name), match, write, config, entries, properties))
        offset += length
    return tables


def _read_properties(data: bytes) -> dict[int, bytes | tuple[int, ...]]:
    properties: dict[int, bytes | tuple[int, ...]] = {}
    offset, end = 0, len(data)
    while offset < end:
        kind, length = _HEADER.unpack_from(data, offset)
        value = data[offset + _HEADER.size:offset + length]
        properties[kind] = read_list(kind, value) if kind in _LISTS else value
        # A property's length leaves out the padding that follows it (OF 1.3.5 section 7.3.5.5.2).
        offset += length + 7 & -8
    return properties


def read_list(kind: int, value: bytes) -> tuple[int, ...]:
    """The identifiers in a property of such a kind, given the bytes behind its header."""
    if kind in _TYPE_LISTS:
        return _read_types(value)
    return _read_oxms(value) if kind in _OXM_LISTS else tuple(value)


def _read_types(data: bytes) -> tuple[int, ...]:
    types = []
    offset, end = 0, len(data)
    while offset < end:
        number, length = _HEADER.unpack_from(data, offset)
        if number == _EXPERIMENTER and length >= 8:
            number = number << 32 | _NUMBER.unpack_from(data, offset + 4)[0]
        types.append(number)
        offset += length
    return tuple(types)


def _read_oxms(data: bytes) -> tuple[int, ...]:
    headers = []
    offset, end = 0, len(data)
    while offset < end:
        header, = _NUMBER.unpack_from(data, offset)
        offset += 4
        if header >> 16 == _EXPERIMENTER:
            header = header << 32 | _NUMBER.unpack_from(data, offset)[0]
            offset += 4
        headers.append(header)
    return tuple(headers)


def _property(kind: int, value: bytes | tuple[int, ...]) -> bytes:
    if isinstance(value, bytes):
        body = value
    elif kind in _TYPE_LISTS:
        body = b"".join(map(_type, value))
    elif kind in _OXM_LISTS:
        body = b"".join(map(_oxm, value))
    else:
        body = bytes(value)
    length = _HEADER.size + len(body)
    return _HEADER.pack(kind, length) + body + bytes(-length & 7)


def _type(identifier: int) -> bytes:
    """An instruction or action type: 4 bytes, for the padding of struct ofp_action_header is not sent here."""
    if identifier >> 32:
        return _HEADER.pack(identifier >> 32, 8) + _NUMBER.pack(identifier & 0xffffffff)
    return _HEADER.pack(identifier, 4)


def _oxm(header: int) -> bytes:
    if header >> 32:
        return _NUMBERS.pack(header >> 32, header & 0xffffffff)
    return _NUMBER.pack(header)
