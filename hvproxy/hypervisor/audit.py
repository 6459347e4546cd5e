"""One comparison of what a switch holds with what it should, while it is in use and both may change.

Everything that is written to the switch meanwhile is left out: of that the messages' own answers tell. Knows no
session and no time; who asks the switch, and when, is datapath's.
"""
from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from hvproxy.hypervisor.reading import CONTENT, OPTIONAL, take_content
from hvproxy.hypervisor.reconcile import Found, HeldKey, difference
from hvproxy.model.rules import Change, Content, Item
from hvproxy.openflow.multipart import Kind


@dataclass(slots=True)
class Drift:
    """How a switch differs from what it should hold, and what puts that right."""

    missing: list[Item] = field(default_factory=list)
    """Not there."""
    changed: list[Item] = field(default_factory=list)
    """There with another content; as they should be."""
    extra: list[Item] = field(default_factory=list)
    """Marked as ours, and nothing that should be there."""
    foreign: list[Item] = field(default_factory=list)
    """Not ours: as many as Found keeps."""
    foreign_total: int = 0
    change: Change = field(default_factory=Change)
    """What puts it right."""
    held: dict[HeldKey, Item | None] = field(default_factory=dict)
    """What is there in truth, of all that the change concerns."""

    @property
    def repaired(self) -> int:
        """How many things are put right."""
        return len(self.missing) + len(self.changed) + len(self.extra)


class Audit:
    """What has been read so far, of the questions about the CONTENT."""

    def __init__(self, desired: Content, touched: Collection[HeldKey]) -> None:
        self._desired = desired
        self._touched = touched
        """What was written since the audit began; grows meanwhile."""
        self._found = Found()
        self._missing = {kind for kind, _ in CONTENT}

    def take(self, kind: Kind, body: bytes) -> None:
        """One part of an answer."""
        take_content(self._found, kind, body, self._desired)

    def answered(self, kind: Kind, finish: Callable[[bool, float], None], complete: bool, now: float) -> None:
        """An answer has come or will not: `finish` is called once, with whether all is known."""
        if not self._missing:
            return  # it was over already
        if complete or kind in OPTIONAL:
            self._missing.discard(kind)
            if not self._missing:
                finish(True, now)
        else:
            self._missing.clear()
            finish(False, now)

    def drift(self, is_sure: Callable[[HeldKey], bool], remove_foreign: bool) -> Drift:
        """What differs, of all that was not written meanwhile."""
        needed = difference(self._desired, self._found)
        drift = Drift(foreign_total=self._found.foreign_total)

        def stands(key: HeldKey) -> bool:
            return key not in self._touched and is_sure(key)

        def put(key: HeldKey, item: Item) -> bool:
            if not stands(key):
                return False
            there = needed.held.get(key)
            drift.held[key] = there
            (drift.missing if there is None else drift.changed).append(item)
            return True

        change = drift.change
        change.put_rules = [rule for rule in needed.change.put_rules if put(rule.key, rule)]
        change.put_groups = [group for group in needed.change.put_groups if put(group.group_id, group)]
        change.put_meters = [meter for meter in needed.change.put_meters if put(meter.key, meter)]

        def drop(key: HeldKey, item: Item, listed: list[Item]) -> bool:
            if not stands(key):
                return False
            drift.held[key] = item
            listed.append(item)
            return True

        found = self._found
        change.drop_rules = [rule for rule in needed.change.drop_rules if drop(rule.key, rule, drift.extra)]
        change.drop_groups = [number for number in needed.change.drop_groups
                              if drop(number, found.groups[number], drift.extra)]
        change.drop_meters = [number for number in needed.change.drop_meters
                              if drop((number,), found.meters[number], drift.extra)]
        if not remove_foreign:
            drift.foreign = [*found.foreign_rules, *found.foreign_groups, *found.foreign_meters]
            return drift
        change.drop_rules += [rule for rule in found.foreign_rules if drop(rule.key, rule, drift.foreign)]
        change.drop_groups += [group.group_id for group in found.foreign_groups
                               if drop(group.group_id, group, drift.foreign)]
        change.drop_meters += [meter.meter_id for meter in found.foreign_meters
                               if drop(meter.key, meter, drift.foreign)]
        return drift
