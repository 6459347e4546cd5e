"""Rules of entries that stay, on edges that these have left: each is kept until its last count is known and stored.

What a rule has counted since it was noted last is in its switch only, and a kill while it is being removed would lose
that. So a rule that no packet needs any more first becomes one that does nothing, under the same key, which keeps its
counters. It goes when it has counted nothing for a second, for Open vSwitch counts late, and its count is stored. It is
stored itself too: after a restart it is as desired as before.

Rules of entries that go, or that others take the place of on the same edge, cannot wait: they would meet packets.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hvproxy.hypervisor.counters import Count
from hvproxy.hypervisor.entries import Entry
from hvproxy.model.layout import read_cookie
from hvproxy.model.rules import Change, Rule
from hvproxy.model.view import Dpid

if TYPE_CHECKING:
    from hvproxy.hypervisor.logical_switch import LogicalSwitch


@dataclass(eq=False, slots=True)
class Retired:
    """A rule on its way out."""

    dpid: Dpid
    rule: Rule
    serial: int
    """What its record is called by."""
    seen: Count | None = None
    """What its entry had counted there when that was looked at last."""
    over: bool = False
    """It goes as soon as its count is stored."""


def number_of(rule: Rule) -> int:
    """Of the entry whose rule it is."""
    owner = read_cookie(rule.cookie)
    assert owner is not None
    return owner[1]


class Retiring:
    """Those of one logical switch."""

    def __init__(self) -> None:
        self.noted: Callable[[int, Retired | None], None] = lambda serial, retired: None
        """Told of each that begins, and, with None, of each that is no more."""
        self._of: dict[Entry, list[Retired]] = {}
        self._last = 0

    def __iter__(self) -> Iterator[Retired]:
        return (each for several in self._of.values() for each in several)

    def begin(self, entry: Entry, dpid: Dpid, rules: Iterable[Rule]) -> Change:
        """The entry has left that edge, where it had these rules."""
        change = Change()
        for rule in rules:
            self._last += 1
            retired = Retired(dpid, replace(rule, instructions=b""), self._last)
            self._of.setdefault(entry, []).append(retired)
            self.noted(retired.serial, retired)
            change.put_rules.append(retired.rule)
        return change

    def restore(self, entry: Entry, retired: Retired) -> None:
        """One that had begun before a restart."""
        self._of.setdefault(entry, []).append(retired)
        self._last = max(self._last, retired.serial)

    def end(self, entry: Entry, kept: Callable[[Retired], bool] = lambda retired: False) -> list[Retired]:
        """They retire no more; whoever asks for that knows what is to become of them."""
        several = self._of.get(entry)
        if several is None:
            return []
        left = [each for each in several if kept(each)]
        if left:
            self._of[entry] = left
        else:
            del self._of[entry]
        ended = [each for each in several if each not in left]
        for each in ended:
            self.noted(each.serial, None)
        return ended

    def poll(self, ls: LogicalSwitch, now: float) -> None:
        """Look at what they have counted, and let go of those that have counted no more since the last look."""
        dpids = {each.dpid for each in self if not each.over and ls.down.ready(each.dpid)}
        if dpids:
            ls.read_counters(lambda at: self._looked(ls, dpids, at), now, dpids)

    def _looked(self, ls: LogicalSwitch, dpids: set[Dpid], now: float) -> None:
        still = []
        for entry, several in self._of.items():
            for each in several:
                if each.dpid in dpids and not each.over and ls.down.ready(each.dpid):
                    count = ls.counters.state(entry.number)[1].get(each.dpid, (0, 0))
                    each.over, each.seen = count == each.seen, count
                    if each.over:
                        still.append((entry, each))
        for entry in {entry: None for entry, _ in still}:
            ls.ledger.final(entry.number)
        if still:
            ls.ledger.once_stored(lambda at: self._leave(ls, still, at), now)

    def _leave(self, ls: LogicalSwitch, those: list[tuple[Entry, Retired]], now: float) -> None:
        gone = {each for entry, each in those if each in self._of.get(entry, ())}
        changes: dict[Dpid, Change] = {}
        for entry in {entry: None for entry, _ in those}:
            for each in self.end(entry, lambda retired: retired not in gone):
                changes.setdefault(each.dpid, Change()).drop_rules.append(each.rule)
        ls.down.change(changes, now)
