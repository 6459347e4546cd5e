"""What is installed in a datapath: rules, groups, meters, and the difference between two sets of them.

Plain values with the exact bytes that go on the wire. Knows nothing of tenants or of why a rule exists.
"""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

RuleKey: TypeAlias = tuple[int, int, bytes]
"""(table, priority, canonical OXM bytes): what a switch calls the identity of a flow (OF 1.3.5 section 5.2)."""
MeterKey: TypeAlias = tuple[int]
"""(meter id,): unlike a RuleKey and unlike a group id."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One flow entry of a physical switch."""

    table: int
    priority: int
    match: bytes
    """Canonical OXM TLVs: sorted by field, full masks dropped, no ofp_match header, no padding."""
    instructions: bytes
    """Wire bytes of the instructions in canonical order (openflow.instructions)."""
    cookie: int

    @property
    def key(self) -> RuleKey:
        return (self.table, self.priority, self.match)


@dataclass(frozen=True, slots=True)
class Group:
    """One group entry of a physical switch."""

    group_id: int
    type: int
    """OFPGT_*."""
    buckets: bytes
    """Wire bytes of all buckets, in order (OF 1.3.5 section 7.3.4.2)."""
    serial: int = 0
    """How often its tenant has modified it: a group-mod resets its counters even where it changes nothing else, so it
    must be sent."""


@dataclass(frozen=True, slots=True)
class Meter:
    """One meter of a physical switch."""

    meter_id: int
    flags: int
    """OFPMF_*."""
    bands: bytes
    """Wire bytes of all bands, in order (OF 1.3.5 section 7.3.4.4)."""
    revision: int = 0
    """Another one makes another meter of the same content, to be sent again: a switch then fills its buckets and
    counts from zero. Not on the wire: what is read from a switch has any."""

    @property
    def key(self) -> MeterKey:
        return (self.meter_id,)

    def reads_as(self, other: Meter) -> bool:
        """Whether they are the same on a switch."""
        return (self.meter_id, self.flags, self.bands) == (other.meter_id, other.flags, other.bands)


Item: TypeAlias = Rule | Group | Meter
"""One thing that a switch holds."""


@dataclass(slots=True)
class Change:
    """What to send to one datapath, in the order it must be sent: groups, rules, then removals; meters around all."""

    put_groups: list[Group] = field(default_factory=list)
    """Added or modified; a group comes after those its buckets name."""
    put_rules: list[Rule] = field(default_factory=list)
    drop_rules: list[Rule] = field(default_factory=list)
    drop_groups: list[int] = field(default_factory=list)
    put_meters: list[Meter] = field(default_factory=list)
    """Added or modified, before all else."""
    drop_meters: list[int] = field(default_factory=list)
    """Removed after all else: a switch removes the rules that use a meter with it."""

    def __bool__(self) -> bool:
        return bool(self.put_groups or self.put_rules or self.drop_rules or self.drop_groups
                    or self.put_meters or self.drop_meters)


@dataclass(slots=True)
class Content:
    """Rules, groups and meters that one datapath is to hold for one purpose."""

    rules: dict[RuleKey, Rule] = field(default_factory=dict)
    groups: dict[int, Group] = field(default_factory=dict)
    meters: dict[int, Meter] = field(default_factory=dict)

    def add_rule(self, rule: Rule) -> None:
        self.rules[rule.key] = rule

    def add_group(self, group: Group) -> None:
        self.groups[group.group_id] = group

    def add_meter(self, meter: Meter) -> None:
        self.meters[meter.meter_id] = meter

    def apply(self, change: Change) -> None:
        """Carry out a change. A drop concerns the rule it names: one that took over its key since then stays."""
        for group_id in change.drop_groups:
            self.groups.pop(group_id, None)
        for meter_id in change.drop_meters:
            self.meters.pop(meter_id, None)
        for rule in change.drop_rules:
            there = self.rules.get(rule.key)
            if there is not None and there.cookie == rule.cookie:
                del self.rules[rule.key]
        for group in change.put_groups:
            self.groups[group.group_id] = group
        for meter in change.put_meters:
            self.meters[meter.meter_id] = meter
        for rule in change.put_rules:
            self.rules[rule.key] = rule


def rule_difference(old: Iterable[Rule], new: Iterable[Rule]) -> Change:
    """What turns `old` into `new`. A key whose cookie changes is both dropped and put: its counters start anew."""
    if not old:
        return Change(put_rules=list(new))
    before = {rule.key: rule for rule in old}
    after = {rule.key: rule for rule in new}
    change = Change()
    for key, rule in after.items():
        was = before.get(key)
        if was != rule:
            change.put_rules.append(rule)
            if was is not None and was.cookie != rule.cookie:
                change.drop_rules.append(was)
    change.drop_rules += [rule for key, rule in before.items() if key not in after]
    return change


def difference(old: Content, new: Content) -> Change:
    """What turns `old` into `new`, groups in ascending order of id so that a bucket's group is there before it."""
    change = rule_difference(old.rules.values(), new.rules.values())
    change.put_groups = [new.groups[i] for i in sorted(new.groups) if old.groups.get(i) != new.groups[i]]
    change.drop_groups = sorted((i for i in old.groups if i not in new.groups), reverse=True)
    change.put_meters = [new.meters[i] for i in sorted(new.meters) if old.meters.get(i) != new.meters[i]]
    change.drop_meters = sorted(i for i in old.meters if i not in new.meters)
    return change


def merged(changes: Iterable[Change]) -> Change:
    """One change that does what all of them do, which concern different keys and ids."""
    total = Change()
    for change in changes:
        total.put_groups += change.put_groups
        total.put_rules += change.put_rules
        total.drop_rules += change.drop_rules
        total.drop_groups += change.drop_groups
        total.put_meters += change.put_meters
        total.drop_meters += change.drop_meters
    total.put_groups.sort(key=lambda group: group.group_id)
    total.drop_groups.sort(reverse=True)
    return total


def all_differences(old: Mapping[int, Content], new: Mapping[int, Content]) -> dict[int, Change]:
    """Per datapath what turns `old` into `new`; datapaths without a difference are left out."""
    nothing = Content()
    changes = {dpid: difference(old.get(dpid, nothing), new.get(dpid, nothing)) for dpid in sorted({*old, *new})}
    return {dpid: change for dpid, change in changes.items() if change}
