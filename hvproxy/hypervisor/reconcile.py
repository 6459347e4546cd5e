"""What separates a switch as it was read from what it should hold.

Pure functions. Rules are told ours from foreign by the mark in the cookie, of whatever epoch; groups and meters, which
carry no cookie, by their id. Equality is decided on content after both sides are brought to one canonical form, since a
switch reports its rules in an order and with padding of its own choice. Nothing foreign is touched, except a rule
that stands exactly where one of ours must be.
"""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias, TypeVar

from hvproxy.model.layout import GROUP_KIND_BIT, LAST_METER, MARK, GroupKind
from hvproxy.model.rules import Change, Content, Group, Item, Meter, MeterKey, Rule, RuleKey
from hvproxy.openflow import instructions
from hvproxy.openflow.actions import canonical_buckets
from hvproxy.openflow.constants import of13
from hvproxy.openflow.meters import MeterConfig
from hvproxy.openflow.multipart import FlowStats, GroupDesc
from hvproxy.openflow.oxm import Match

HeldKey: TypeAlias = RuleKey | MeterKey | int
"""A rule's key, a meter's key or a group's id."""

SEND_FLOW_REM: Final[int] = of13.OFPFF_SEND_FLOW_REM
_MATCH_HEADER: Final = 4
MOST_FOREIGN: Final = 1000
"""Of what is not ours so much is kept, to be shown or removed."""
T = TypeVar("T", Rule, Group, Meter)


def rule_flags(cookie: int) -> int:
    """The OFPFF_* of a rule: those of logical switches report their last counters when they go."""
    return SEND_FLOW_REM if cookie >> 32 & 0xFFFF else 0


def is_ours(cookie: int) -> bool:
    """The mark is there, whatever the epoch."""
    return cookie >> 56 == MARK


def is_our_group(group_id: int) -> bool:
    """The id is of a range that belongs to hvproxy."""
    return min(GroupKind) <= group_id >> GROUP_KIND_BIT <= max(GroupKind)


def canonical_match(match: bytes) -> bytes:
    """The TLVs of a struct ofp_match as they stand in a RuleKey."""
    return Match.from_tlvs(match[_MATCH_HEADER:]).identity


@dataclass(slots=True)
class Found:
    """What a switch was read to hold."""

    rules: dict[RuleKey, Rule] = field(default_factory=dict)
    """Ours, and foreign ones that stand where one of ours must be."""
    groups: dict[int, Group] = field(default_factory=dict)
    """Ours."""
    meters: dict[int, Meter] = field(default_factory=dict)
    """Ours."""
    flawed: set[RuleKey] = field(default_factory=set)
    """Rules with timeouts or flags that we never send."""
    foreign_rules: list[Rule] = field(default_factory=list)
    foreign_groups: list[Group] = field(default_factory=list)
    foreign_meters: list[Meter] = field(default_factory=list)
    """Not ours; of each the first MOST_FOREIGN."""
    foreign_total: int = 0

    def add_rule(self, stats: FlowStats, desired: Mapping[RuleKey, Rule]) -> None:
        """Take one record of the flow dump."""
        raw = stats.match[_MATCH_HEADER:]
        rule = desired.get((stats.table_id, stats.priority, raw))
        if rule is None or rule.cookie != stats.cookie or rule.instructions != stats.instructions:
            rule = Rule(stats.table_id, stats.priority, canonical_match(stats.match),
                        instructions.canonical(stats.instructions), stats.cookie)
        if not is_ours(stats.cookie) and rule.key not in desired:
            self._add_foreign(self.foreign_rules, rule)
            return
        self.rules[rule.key] = rule
        if stats.idle or stats.hard or stats.flags & SEND_FLOW_REM != rule_flags(stats.cookie):
            self.flawed.add(rule.key)

    def add_group(self, desc: GroupDesc, desired: Mapping[int, Group]) -> None:
        """Take one record of the group dump."""
        if not is_our_group(desc.group_id):
            self._add_foreign(self.foreign_groups, Group(desc.group_id, desc.type, desc.buckets))
            return
        wanted = desired.get(desc.group_id)
        alike = wanted is not None and wanted.type == desc.type and (
            wanted.buckets == desc.buckets or canonical_buckets(wanted.buckets) == canonical_buckets(desc.buckets))
        self.groups[desc.group_id] = wanted if wanted is not None and alike else Group(
            desc.group_id, desc.type, canonical_buckets(desc.buckets))

    def add_meter(self, config: MeterConfig, desired: Mapping[int, Meter]) -> None:
        """Take one record of the meter dump."""
        meter = Meter(config.meter_id, config.flags, config.bands)
        if config.meter_id > LAST_METER:
            self._add_foreign(self.foreign_meters, meter)
            return
        wanted = desired.get(config.meter_id)
        self.meters[config.meter_id] = wanted if wanted is not None and wanted.reads_as(meter) else meter

    def _add_foreign(self, items: list[T], item: T) -> None:
        self.foreign_total += 1
        if len(items) < MOST_FOREIGN:
            items.append(item)


@dataclass(frozen=True, slots=True)
class Difference:
    """How to get from what was found to what is desired."""

    change: Change
    held: dict[HeldKey, Item]
    """What the change starts from: what was found, without rules that must be sent although they look equal."""
    kept: int
    """Rules, groups and meters that are right already."""

    @property
    def summary(self) -> dict[str, int]:
        """For the log: how much there was to do."""
        change = self.change
        return {"kept": self.kept, "rules_put": len(change.put_rules), "groups_put": len(change.put_groups),
                "meters_put": len(change.put_meters), "rules_dropped": len(change.drop_rules),
                "groups_dropped": len(change.drop_groups), "meters_dropped": len(change.drop_meters)}


def difference(desired: Content, found: Found) -> Difference:
    """Everything desired that was not found with the same content is put; everything of ours beyond it is dropped."""
    held: dict[HeldKey, Item] = {
        key: rule for key, rule in found.rules.items()
        if not (key in found.flawed and desired.rules.get(key) == rule)
    }
    for number, group in found.groups.items():
        held[number] = group
    for meter in found.meters.values():
        held[meter.key] = meter
    change = Change(
        put_meters=[meter for meter in desired.meters.values() if held.get(meter.key) != meter],
        put_groups=[group for number, group in desired.groups.items() if held.get(number) != group],
        put_rules=[rule for key, rule in desired.rules.items() if held.get(key) != rule],
        drop_rules=[rule for key, rule in found.rules.items() if key not in desired.rules],
        drop_groups=[number for number in found.groups if number not in desired.groups],
        drop_meters=[number for number in found.meters if number not in desired.meters],
    )
    put = len(change.put_rules) + len(change.put_groups) + len(change.put_meters)
    kept = len(desired.rules) + len(desired.groups) + len(desired.meters) - put
    return Difference(change, held, kept)
