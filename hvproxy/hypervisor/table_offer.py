"""What the tables of a logical switch offer, told by TABLE_FEATURES (OF 1.3.5 section 7.3.5.5, trap 37)."""
from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import reduce
from operator import and_
from typing import Final

from hvproxy.errors import Refused
from hvproxy.model.intent import LogicalSwitchSpec
from hvproxy.model.layout import HOLDING_TABLES, TENANT_MASK
from hvproxy.openflow.abilities import Ability, named
from hvproxy.openflow.constants import NICIRA_ID, ONF_ID, of13
from hvproxy.openflow.guard_table_features import REQUIRED
from hvproxy.openflow.oxm_aliases import IP_TOS, OWN_HEADERS, VLAN_TCI, WIDE_REGISTERS
from hvproxy.openflow.oxm_fields import BY_NUMBER, EXTENSIONS, FIELDS, TCP_FLAGS
from hvproxy.openflow.table_features import (
    MATCH, MISS, WILDCARDS, TableFeatures, table_features,
)

INSTRUCTIONS = (of13.OFPIT_GOTO_TABLE, of13.OFPIT_WRITE_METADATA, of13.OFPIT_WRITE_ACTIONS, of13.OFPIT_APPLY_ACTIONS,
                of13.OFPIT_CLEAR_ACTIONS, of13.OFPIT_METER)
ACTIONS = (of13.OFPAT_OUTPUT, of13.OFPAT_SET_MPLS_TTL, of13.OFPAT_DEC_MPLS_TTL, of13.OFPAT_PUSH_VLAN,
           of13.OFPAT_POP_VLAN, of13.OFPAT_PUSH_MPLS, of13.OFPAT_POP_MPLS, of13.OFPAT_SET_QUEUE, of13.OFPAT_GROUP,
           of13.OFPAT_SET_NW_TTL, of13.OFPAT_DEC_NW_TTL, of13.OFPAT_SET_FIELD)

KNOWN = REQUIRED | {kind + MISS for kind in REQUIRED - {MATCH, WILDCARDS}}
DUP_TABLE = 44
"""Open vSwitch's own error, of Nicira's."""
_ONF_TCP_FLAGS: Final = (0xFFFF << 16 | 42 << 9) << 32 | ONF_ID


@dataclass(frozen=True, slots=True)
class _Offered:
    """A field as it is told."""

    number: int
    """As abilities.named has it."""
    header: int
    masked: int
    """The header with a mask; the one without where there is none."""
    writable: bool = False


def _standard() -> Iterator[_Offered]:
    for field in FIELDS:
        if field.number != of13.OFPXMT_OFB_TUNNEL_ID:  # which needs registers
            yield _Offered(field.number, field.header, _with_mask(field.header, field.maskable), field.writable)


def _extensions() -> Iterator[_Offered]:
    """What needs Open vSwitch, under the headers that it tells them with."""
    for field in (BY_NUMBER[of13.OFPXMT_OFB_TUNNEL_ID], *EXTENSIONS):
        if field.number == TCP_FLAGS:
            yield _Offered(field.number, _ONF_TCP_FLAGS | 6 << 32, _ONF_TCP_FLAGS | 0x108 << 32)
        elif not field.zero and field.header not in OWN_HEADERS:  # what is 0 in every packet is the hypervisor's
            yield _Offered(field.number, field.header, _with_mask(field.header, field.maskable), field.writable)
    for header in sorted(WIDE_REGISTERS.keys() - OWN_HEADERS):
        yield _Offered(named(header), header, _with_mask(header, True), True)
    yield _Offered(named(VLAN_TCI), VLAN_TCI, _with_mask(VLAN_TCI, True))
    yield _Offered(named(IP_TOS), IP_TOS, IP_TOS)


def features_of(
    spec: LogicalSwitchSpec, table_id: int, name: str = "", below: Collection[Ability] = (), *, extended: bool = False,
) -> TableFeatures:
    """The features of one logical table: what all of the tables `below`, which carry it, can do of what hvproxy offers.

    `extended`: the switches have Open vSwitch's extensions, of which is offered what they list.
    """
    last = spec.tables - 1
    offered = _STANDARD + _EXTENSIONS if extended else _STANDARD

    def common(kinds: Iterable[int], which: Callable[[Ability], frozenset[int]]) -> list[int]:
        return [kind for kind in kinds if all(kind in which(ability) for ability in below)]

    def actions(which: Callable[[Ability], frozenset[int]]) -> list[int]:
        known = common(ACTIONS, which)
        return [kind for kind in ACTIONS if kind in known or kind == of13.OFPAT_SET_QUEUE]  # which reaches no switch

    def settable(which: Callable[[Ability], frozenset[int]]) -> list[int]:
        known = common((each.number for each in offered), which)
        return [each.header for each in offered if each.number in known and (
            each.writable or extended and each.number == of13.OFPXMT_OFB_METADATA)]

    matched = common((each.number for each in offered), lambda one: one.match)
    masked = common(matched, lambda one: one.masked)
    omitted = common((each.number for each in offered), lambda one: one.wildcards)
    return table_features(
        table_id, name, next_tables=range(table_id + 1, last + 1),
        instructions=common(INSTRUCTIONS if table_id < last else INSTRUCTIONS[1:], lambda one: one.instructions),
        write_actions=actions(lambda one: one.write_actions), apply_actions=actions(lambda one: one.apply_actions),
        match=[each.masked if each.number in masked else each.header for each in offered if each.number in matched],
        wildcards=[each.header for each in offered if each.number in omitted],
        write_setfield=settable(lambda one: one.write_fields), apply_setfield=settable(lambda one: one.apply_fields),
        metadata_match=_all(TENANT_MASK, (one.metadata_match for one in below)),
        metadata_write=_all(TENANT_MASK, (one.metadata_write for one in below)),
        max_entries=0 if table_id >= HOLDING_TABLES else min(
            [spec.most_entries, *(one.max_entries for one in below if one.max_entries)]))


def told_of(wanted: list[TableFeatures]) -> dict[int, TableFeatures]:
    """TABLE_FEATURES with a body by table, of which none may be told of twice. Raises Refused."""
    found: dict[int, TableFeatures] = {}
    for each in wanted:
        if each.table_id in found:
            raise Refused(of13.OFPET_EXPERIMENTER, DUP_TABLE, "a table for the second time", NICIRA_ID)
        found[each.table_id] = each
    return found


def renamed(offered: list[TableFeatures], found: dict[int, TableFeatures]) -> dict[int, str]:
    """The names that TABLE_FEATURES with a body gives the tables, the only thing that Open vSwitch lets it change: it
    must tell of every table, and of each what is so. Raises Refused."""
    if {table_id: _rest(each) for table_id, each in found.items()} != {each.table_id: _rest(each) for each in offered}:
        raise Refused(of13.OFPET_TABLE_FEATURES_FAILED, of13.OFPTFFC_EPERM, "of a table only the name can be changed")
    return {table_id: each.name for table_id, each in found.items()}


def _rest(features: TableFeatures) -> object:
    """All but the name, lists in whatever order, and the twins for the table-miss left out where they say the same."""
    lists = {kind: frozenset(value) for kind, value in features.properties.items()}
    told = {kind: lists.get(kind, lists.get(kind - MISS)) for kind in KNOWN}
    return (features.metadata_match, features.metadata_write, features.config, features.max_entries, told)


def _all(bits: int, others: Iterable[int]) -> int:
    return reduce(and_, others, bits)


def _with_mask(header: int, maskable: bool) -> int:
    return header & ~0x1FF | 0x100 | (header & 0xFF) * 2 if maskable else header


_STANDARD: Final = tuple(_standard())
_EXTENSIONS: Final = tuple(_extensions())
