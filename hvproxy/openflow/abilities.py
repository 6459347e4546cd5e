"""What the tables of a switch can do, read from its TABLE_FEATURES (OF 1.3.5 section 7.3.5.5).

A switch says the same of most of its tables, and most switches say the same: what is said is compared as bytes, read
once, and one value stands for all that are equal. The twins for the table-miss are passed over: a logical switch's
table-miss entries are ordinary rules below. Must not know what hvproxy or a tenant needs.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from struct import Struct
from typing import Final

from hvproxy.openflow.constants import ONF_ID, of13
from hvproxy.openflow.oxm_aliases import ALIASES
from hvproxy.openflow.oxm_fields import BY_NUMBER, TCP_FLAGS, Field
from hvproxy.openflow.table_features import (
    APPLY_ACTIONS, APPLY_SETFIELD, INSTRUCTIONS, MATCH, NEXT_TABLES, WILDCARDS, WRITE_ACTIONS, WRITE_SETFIELD,
    read_list,
)

_FEATURES: Final = Struct("!HB37xQQII")
_HEADER: Final = Struct("!HH")
_METADATA: Final = BY_NUMBER[of13.OFPXMT_OFB_METADATA]
_MASKED: Final = 0x100
_ALL_METADATA: Final = 0xFFFFFFFFFFFFFFFF
_ONF_TCP_FLAGS: Final = 42
_KINDS_READ: Final = (INSTRUCTIONS, WRITE_ACTIONS, APPLY_ACTIONS, MATCH, WILDCARDS, WRITE_SETFIELD, APPLY_SETFIELD)


@dataclass(frozen=True, slots=True)
class Ability:
    """What one table can do."""

    instructions: frozenset[int] = frozenset()
    write_actions: frozenset[int] = frozenset()
    apply_actions: frozenset[int] = frozenset()
    match: frozenset[int] = frozenset()
    """Fields by `named`."""
    masked: frozenset[int] = frozenset()
    """Those that can be matched under a mask."""
    wildcards: frozenset[int] = frozenset()
    write_fields: frozenset[int] = frozenset()
    apply_fields: frozenset[int] = frozenset()
    metadata_match: int = 0
    metadata_write: int = 0
    max_entries: int = 0

    @property
    def bits(self) -> int:
        """The bits that can be matched, in the fixed layout of all fields (oxm.Match)."""
        return _bits(self)[0]

    @property
    def exact(self) -> tuple[Field, ...]:
        """The fields that can be matched but not under a mask, of those that others can."""
        return _bits(self)[1]


@dataclass(frozen=True, eq=False, slots=True)
class SwitchTables:
    """The tables of a switch. Equal ones are one object, and compared by identity."""

    tables: tuple[Ability, ...]
    """From table 0 on, without gaps."""
    rest: Ability = Ability()
    """What all tables beyond those can do."""

    def of(self, table_id: int) -> Ability:
        """What a table can do: nothing where there is none."""
        return self.tables[table_id] if table_id < len(self.tables) else self.rest

    @property
    def anywhere(self) -> Ability:
        """The actions that some table can carry out, and the fields that some table can set."""
        return _anywhere(self)


class TablesReading:
    """TABLE_FEATURES of one switch, part by part."""

    def __init__(self) -> None:
        self._found: dict[int, Ability] = {}
        self._last: tuple[bytes, Ability] = (b"", Ability())

    def take(self, body: bytes) -> None:
        """One part of the answer, its lengths proven."""
        for table_id, said in _records(body):
            if said != self._last[0]:
                self._last = (said, _ability(said))
            self._found[table_id] = self._last[1]

    def done(self) -> SwitchTables:
        """All that was said."""
        last = max(self._found, default=-1)
        return _shared(tuple(self._found.get(table_id, Ability()) for table_id in range(last + 1)))


@lru_cache(64)
def with_metadata(tables: SwitchTables, first: int, bits: int) -> SwitchTables:
    """The tables of a switch as if those from `first` on matched and wrote these bits of metadata, and others all."""
    bits_of = [_ALL_METADATA] * first + [bits] * len(tables.tables)
    return _shared(tuple(replace(one, metadata_match=each, metadata_write=each)
                         for one, each in zip(tables.tables, bits_of, strict=False)))


def named(header: int) -> int:
    """The number of the field that an OXM header means, which may be written in several ways; the header itself,
    without the mask and the length, where hvproxy keeps no such field."""
    return _named(header)


@lru_cache(1 << 10)
def _named(header: int) -> int:
    experimenter, header = (header & 0xffffffff, header >> 32) if header >> 32 else (0, header)
    place = header >> 9
    if experimenter:
        known = experimenter == ONF_ID and place & 0x7f == _ONF_TCP_FLAGS
        return TCP_FLAGS if known else experimenter << 32 | place << 9
    return _PLACES.get(place, place << 9)


_PLACES: Final = {header >> 9: number for number, header in (
    *((field.number, field.header) for field in BY_NUMBER.values()),
    *((number, header) for header, number in ALIASES.items()))}
"""OXM class and field -> number."""


def _records(body: bytes) -> Iterator[tuple[int, bytes]]:
    """(table, all that is said of it but its name and which tables follow) of each record."""
    at = 0
    while at < len(body):
        length, table_id, *_ = _FEATURES.unpack_from(body, at)
        end, place = at + length, at + _FEATURES.size
        parts = [body[at + 40:place]]
        while place < end:
            kind, size = _HEADER.unpack_from(body, place)
            after = place + (size + 7 & ~7)
            if kind & ~1 != NEXT_TABLES:
                parts.append(body[place:after])
            place = after
        yield table_id, b"".join(parts)
        at = end


@lru_cache(64)
def _ability(said: bytes) -> Ability:
    metadata_match, metadata_write, _, max_entries = Struct("!QQII").unpack_from(said)
    lists: dict[int, tuple[int, ...]] = {}
    at = 24
    while at < len(said):
        kind, size = _HEADER.unpack_from(said, at)
        if kind in _KINDS_READ:
            lists[kind] = read_list(kind, said[at + _HEADER.size:at + size])
        at += size + 7 & ~7

    def identifiers(kind: int) -> frozenset[int]:
        return frozenset(lists.get(kind, ()))

    def fields(kind: int) -> frozenset[int]:
        return frozenset(map(named, lists.get(kind, ())))

    masked = frozenset(named(header) for header in lists.get(MATCH, ()) if _is_masked(header))
    return Ability(identifiers(INSTRUCTIONS), identifiers(WRITE_ACTIONS), identifiers(APPLY_ACTIONS), fields(MATCH),
                   masked, fields(WILDCARDS), fields(WRITE_SETFIELD), fields(APPLY_SETFIELD), metadata_match,
                   metadata_write, max_entries)


def _is_masked(header: int) -> bool:
    return bool((header >> 32 or header) & _MASKED)


@lru_cache(64)
def _shared(tables: tuple[Ability, ...]) -> SwitchTables:
    return SwitchTables(tables)


@lru_cache(64)
def _anywhere(tables: SwitchTables) -> Ability:
    several = {*tables.tables, tables.rest}

    def some(which: Callable[[Ability], frozenset[int]]) -> frozenset[int]:
        return frozenset[int]().union(*map(which, several))

    return Ability(write_actions=some(lambda one: one.write_actions), apply_actions=some(lambda one: one.apply_actions),
                   write_fields=some(lambda one: one.write_fields), apply_fields=some(lambda one: one.apply_fields))


@lru_cache(256)
def _bits(ability: Ability) -> tuple[int, tuple[Field, ...]]:
    fields = [field for field in BY_NUMBER.values() if field.number in ability.match]
    bits = sum((field.full if field is not _METADATA else ability.metadata_match) << field.shift for field in fields)
    return bits, tuple(field for field in fields if field.maskable and field.number not in ability.masked)
