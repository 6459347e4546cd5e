"""What switches lack: of what hvproxy itself needs of them, and of what entries, groups and packet-outs of a tenant use
(trap 37).

A switch that does not describe its tables is taken to have what OpenFlow requires and what hvproxy needs; what it then
refuses is undone (refusals). Knows neither sessions nor logical switches.
"""
from __future__ import annotations

from collections.abc import Collection, Iterable, Set
from dataclasses import dataclass
from functools import reduce
from operator import and_
from typing import Final

from hvproxy.errors import Refused
from hvproxy.model.layout import TENANT_MASK, Table
from hvproxy.openflow import actions
from hvproxy.openflow.abilities import Ability, SwitchTables, named
from hvproxy.openflow.constants import of13
from hvproxy.openflow.instructions import Instructions
from hvproxy.openflow.memo import remembered
from hvproxy.openflow.multipart import GroupFeatures
from hvproxy.openflow.oxm import Match
from hvproxy.openflow.oxm_aliases import WIDE_REGISTERS
from hvproxy.openflow.oxm_fields import BY_NUMBER, ZEROS

_WHOLE: Final = 0xFFFFFFFFFFFFFFFF
_METADATA: Final = BY_NUMBER[of13.OFPXMT_OFB_METADATA]
_METADATA_BITS: Final = _METADATA.full << _METADATA.shift
_TUNNEL_ID: Final = BY_NUMBER[of13.OFPXMT_OFB_TUNNEL_ID]
_NOT_MATCHED: Final = ZEROS | _TUNNEL_ID.full << _TUNNEL_ID.shift
"""What no rule below looks at: it is 0 in every packet, at least where a switch may lack it."""
_NOT_BELOW: Final = frozenset((of13.OFPAT_SET_QUEUE, of13.OFPAT_EXPERIMENTER))
"""Actions that reach no switch, or that switches do not list."""
_ALL_KINDS: Final = 0xFFFFFFFF
_LAST_GROUP_TYPE: Final[int] = of13.OFPGT_FF
_GROUP_TYPES: Final = {of13.OFPGT_ALL: "ALL", of13.OFPGT_INDIRECT: "INDIRECT", of13.OFPGT_FF: "FAST_FAILOVER"}


def _need(
    instructions: Iterable[int] = (), apply: Iterable[int] = (), match: Iterable[int] = (), metadata_match: int = 0,
    metadata_write: int = 0, masked: Iterable[int] = (),
) -> Ability:
    return Ability(frozenset((of13.OFPIT_APPLY_ACTIONS, *instructions)), apply_actions=frozenset(
        (of13.OFPAT_OUTPUT, of13.OFPAT_GROUP, *apply)), match=frozenset(match), masked=frozenset(masked),
        metadata_match=metadata_match, metadata_write=metadata_write)


_ONWARD: Final = (of13.OFPIT_GOTO_TABLE, of13.OFPIT_WRITE_METADATA)
_OURS: Final = _WHOLE & ~TENANT_MASK
"""The bits of metadata that are not the tenants'; what they have of theirs they are told."""
_LAST_LOGICAL: Final = _need((of13.OFPIT_WRITE_METADATA,), (),
                             (of13.OFPXMT_OFB_IN_PORT, of13.OFPXMT_OFB_METADATA), _OURS, _OURS)
NEEDED: Final[dict[int, Ability]] = {
    Table.CLASSIFY: _need(_ONWARD, (of13.OFPAT_POP_VLAN,), (of13.OFPXMT_OFB_IN_PORT, of13.OFPXMT_OFB_VLAN_VID),
                          0, _OURS),
    Table.LABEL: _need(_ONWARD, (of13.OFPAT_POP_VLAN,), (of13.OFPXMT_OFB_VLAN_VID,), 0, _WHOLE,
                       (of13.OFPXMT_OFB_VLAN_VID,)),
    Table.TRANSIT: _need((), (), (of13.OFPXMT_OFB_IN_PORT, of13.OFPXMT_OFB_METADATA, of13.OFPXMT_OFB_VLAN_VID,
                                  of13.OFPXMT_OFB_VLAN_PCP), _WHOLE),
}
"""What hvproxy's own rules use in the tables that every datapath has; for the logical tables see `_needed`."""
_PUSHES: Final = (of13.OFPAT_PUSH_VLAN, of13.OFPAT_SET_FIELD)
"""What the buckets of INDIRECT groups use, to label frames."""

_REQUIRED_FIELDS: Final = frozenset((
    of13.OFPXMT_OFB_IN_PORT, of13.OFPXMT_OFB_ETH_DST, of13.OFPXMT_OFB_ETH_SRC, of13.OFPXMT_OFB_ETH_TYPE,
    of13.OFPXMT_OFB_IP_PROTO, of13.OFPXMT_OFB_IPV4_SRC, of13.OFPXMT_OFB_IPV4_DST, of13.OFPXMT_OFB_IPV6_SRC,
    of13.OFPXMT_OFB_IPV6_DST, of13.OFPXMT_OFB_TCP_SRC, of13.OFPXMT_OFB_TCP_DST, of13.OFPXMT_OFB_UDP_SRC,
    of13.OFPXMT_OFB_UDP_DST))
_REQUIRED_MASKS: Final = frozenset((
    of13.OFPXMT_OFB_ETH_DST, of13.OFPXMT_OFB_ETH_SRC, of13.OFPXMT_OFB_IPV4_SRC, of13.OFPXMT_OFB_IPV4_DST,
    of13.OFPXMT_OFB_IPV6_SRC, of13.OFPXMT_OFB_IPV6_DST))
_ALSO: Final = frozenset((of13.OFPXMT_OFB_METADATA, of13.OFPXMT_OFB_VLAN_VID, of13.OFPXMT_OFB_VLAN_PCP))
UNTOLD: Final = SwitchTables((), Ability(
    frozenset((*_ONWARD, of13.OFPIT_WRITE_ACTIONS, of13.OFPIT_APPLY_ACTIONS)),
    *(frozenset((of13.OFPAT_OUTPUT, of13.OFPAT_GROUP, of13.OFPAT_PUSH_VLAN, of13.OFPAT_POP_VLAN)),) * 2,
    _REQUIRED_FIELDS | _ALSO, _REQUIRED_MASKS | {of13.OFPXMT_OFB_METADATA, of13.OFPXMT_OFB_VLAN_VID},
    _REQUIRED_FIELDS | _ALSO,
    *(frozenset((of13.OFPXMT_OFB_VLAN_VID, of13.OFPXMT_OFB_VLAN_PCP)),) * 2, _WHOLE, _WHOLE))
"""The tables of a switch that does not describe them (OF 1.3.5 sections 5.9, 5.12 and 7.2.3.7): what the standard
requires, and what hvproxy needs."""


# What hvproxy needs

def missing(n_tables: int, tables: SwitchTables | None, groups: GroupFeatures | None, logical_tables: int) -> list[str]:
    """What hvproxy needs and a switch says it lacks that carries logical switches of so many tables."""
    found = []
    needed = Table.LOGICAL + logical_tables
    if n_tables < needed:
        found.append(f"{needed} tables (it has {n_tables})")
    if groups is not None:
        found += [f"groups of type {name}" for kind, name in _GROUP_TYPES.items() if not groups.types >> kind & 1]
        offered = groups.actions[of13.OFPGT_INDIRECT]
        found += [f"{_action(kind)} in buckets" for kind in _PUSHES if not offered >> kind & 1]
    if tables is not None:
        places: dict[str, list[int]] = {}
        for table_id, need in _needed(min(logical_tables, n_tables - Table.LOGICAL)):
            for text in _lacks(need, tables.of(table_id)):
                places.setdefault(text, []).append(table_id)
        found += [f"{text} in {_places(numbers)}" for text, numbers in places.items()]
    return found


def _needed(logical_tables: int) -> list[tuple[int, Ability]]:
    last = Table.LOGICAL + logical_tables - 1
    logical = [(table, _LAST_LOGICAL if table == last else _need(
        _ONWARD, (), _LAST_LOGICAL.match, _OURS, _OURS)) for table in range(Table.LOGICAL, last + 1)]
    return [*((int(table), need) for table, need in NEEDED.items()), *logical]


def _lacks(need: Ability, has: Ability) -> list[str]:
    said = [f"instruction {_name('OFPIT_', kind)}" for kind in sorted(need.instructions - has.instructions)]
    said += [f"action {_action(kind)}" for kind in sorted(need.apply_actions - has.apply_actions)]
    said += [f"match of {BY_NUMBER[number].name}" for number in sorted(need.match - has.match)]
    said += [f"match of {BY_NUMBER[number].name} under a mask" for number in sorted(need.masked - has.masked)]
    for what, wanted, offered in (("match", need.metadata_match, has.metadata_match),
                                  ("write", need.metadata_write, has.metadata_write)):
        if wanted & ~offered:
            said.append(f"metadata bits {wanted & ~offered:#x} to {what}")
    return said


def _places(numbers: list[int]) -> str:
    if len(numbers) == 1:
        return f"table {numbers[0]}"
    if numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f"tables {numbers[0]} to {numbers[-1]}"
    return f"tables {', '.join(map(str, numbers))}"


def _name(prefix: str, number: int) -> str:
    names = {value: name for name, value in vars(of13).items() if name.startswith(prefix)}
    return str(names[number]).removeprefix(prefix).lower()


def _action(kind: int) -> str:
    return _name("OFPAT_", kind)


# What a tenant uses

def check(abilities: Iterable[Ability], instructions: Instructions, match: Match | None = None) -> None:
    """Raises Refused, as the switch would, when a table of one of the switches cannot hold an entry. Without `match`
    the instructions alone count, as for a modify."""
    for ability in abilities:
        if match is not None:
            _check_match(match, ability)
        _check_instructions(instructions, ability)


def _check_match(match: Match, ability: Ability) -> None:
    if beyond := match.mask & ~ability.bits & ~_NOT_MATCHED:
        if not beyond & ~_METADATA_BITS and of13.OFPXMT_OFB_METADATA in ability.match:
            _refuse(of13.OFPET_BAD_MATCH, of13.OFPBMC_BAD_MASK, "metadata bits that a switch below does not match")
        _refuse(of13.OFPET_BAD_MATCH, of13.OFPBMC_BAD_FIELD, "a field that a switch below does not match")
    for field in ability.exact:
        if match.mask >> field.shift & field.full not in (0, field.full):
            _refuse(of13.OFPET_BAD_MATCH, of13.OFPBMC_BAD_MASK, f"a switch below does not mask {field.name}")


def _check_instructions(instructions: Instructions, ability: Ability) -> None:
    used = {kind for kind, there in (
        (of13.OFPIT_GOTO_TABLE, instructions.goto is not None), (of13.OFPIT_WRITE_METADATA, instructions.metadata),
        (of13.OFPIT_APPLY_ACTIONS, instructions.apply), (of13.OFPIT_WRITE_ACTIONS, instructions.write),
        (of13.OFPIT_CLEAR_ACTIONS, instructions.clear), (of13.OFPIT_METER, instructions.meter is not None)) if there}
    if not used <= ability.instructions:
        _refuse(of13.OFPET_BAD_INSTRUCTION, of13.OFPBIC_UNSUP_INST, "an instruction that a switch below lacks")
    if instructions.metadata is not None and instructions.metadata[1] & ~ability.metadata_write:
        _refuse(of13.OFPET_BAD_INSTRUCTION, of13.OFPBIC_UNSUP_METADATA_MASK, "bits that a switch below does not write")
    for data, kinds, fields in ((instructions.apply, ability.apply_actions, ability.apply_fields),
                                (instructions.write, ability.write_actions, ability.write_fields)):
        use = _used(data)
        _need_kinds(use, kinds)
        _need_fields(use, fields)


@dataclass(frozen=True, slots=True)
class Below:
    """What groups and packet-outs find on the switches of a logical switch, as far as these say."""

    extended: bool = True
    """None is known to lack Open vSwitch's extensions."""
    groups: Collection[GroupFeatures] = ()
    tables: Collection[SwitchTables] = ()

    @property
    def selects(self) -> bool:
        """None says that it lacks SELECT groups."""
        return all(features.types >> of13.OFPGT_SELECT & 1 for features in self.groups)

    def bucket_actions(self, group_type: int) -> int:
        """The actions in buckets that none says it lacks: bit n for those of type n."""
        # Who names no action at all does not say.
        said = (features.actions[group_type] for features in self.groups)
        return reduce(and_, (offered for offered in said if offered), _ALL_KINDS)

    def check_bucket(self, data: bytes, group_type: int) -> None:
        """Raises Refused, as the switch would, when one of them cannot carry out the actions of a bucket. What fields a
        bucket can set no switch says: those that some table of it can."""
        if not self.extended:
            actions.refuse_extensions(data)
        use = _used(data)
        if group_type <= _LAST_GROUP_TYPE:
            offered = self.bucket_actions(group_type)
            _need_kinds(use, {kind for kind in use.kinds if offered >> kind & 1})
        for each in self.tables:
            _need_fields(use, each.anywhere.write_fields | each.anywhere.apply_fields)

    def check_packet_out(self, data: bytes) -> None:
        """The same of a packet-out's, which stand in no table: a switch can do what some table of it can."""
        if not self.extended:
            actions.refuse_extensions(data)
        use = _used(data)
        for each in self.tables:
            _need_kinds(use, each.anywhere.apply_actions)
            _need_fields(use, each.anywhere.apply_fields)


def _need_kinds(use: _Use, there: Set[int]) -> None:
    if not use.kinds <= there:
        _refuse(of13.OFPET_BAD_ACTION, of13.OFPBAC_BAD_TYPE, "an action that a switch below lacks")


def _need_fields(use: _Use, there: Set[int]) -> None:
    if not use.fields <= there:
        _refuse(of13.OFPET_BAD_ACTION, of13.OFPBAC_BAD_SET_TYPE, "a field that a switch below cannot set")


@dataclass(frozen=True, slots=True)
class _Use:
    kinds: frozenset[int]
    fields: frozenset[int]


@remembered(1 << 12)
def _used(data: bytes) -> _Use:
    """The types of actions in a list, and the fields that it sets."""
    fields: set[int] = set()
    for kind, action in actions.walk(data):
        if kind == of13.OFPAT_SET_FIELD:
            header = int.from_bytes(action[4:8], "big")
            fields.update(field.number for field in WIDE_REGISTERS.get(header, ()))
            if header not in WIDE_REGISTERS:
                fields.add(named(header))
    return _Use(frozenset(kind for kind, _ in actions.walk(data)) - _NOT_BELOW, frozenset(fields))


def _refuse(kind: int, code: int, why: str) -> None:
    raise Refused(kind, code, why)
