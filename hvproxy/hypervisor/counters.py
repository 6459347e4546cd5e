"""The counters of a logical switch: sums over edges that never decrease (trap 7). The one owner of what was counted.

Fed with what switches report and what removed rules counted last. Pure bookkeeping; knows no message. Only what is
watched is counted: a switch may speak late of what is gone.
"""
from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

Count: TypeAlias = tuple[int, int]
"""(packets, bytes)"""


@dataclass(slots=True)
class _Sum:
    base: Count = (0, 0)
    """From rules that exist no more."""
    last: dict[Hashable, Count] = field(default_factory=dict)
    """Edge -> what its rules counted when last asked."""
    carried: tuple[Hashable, ...] = ()
    """Other numbers under which the same was counted."""


class Counters:
    """Per entry number (or whatever else is counted): counts of removed rules plus the last report of every edge."""

    def __init__(self) -> None:
        self._sums: dict[Hashable, _Sum] = {}

    def __len__(self) -> int:
        return len(self._sums)

    def watch(self, number: Hashable) -> None:
        """Count this from now on."""
        if number not in self._sums:
            self._sums[number] = _Sum()

    def reported(self, dpid: int, counts: Mapping[int, Count]) -> set[int]:
        """Take one edge's complete report (entry number -> count); returns the numbers whose count grew."""
        return {number for number, count in counts.items() if self.report(dpid, number, count)}

    def report(self, edge: Hashable, number: Hashable, count: Count) -> bool:
        """Take what one edge (or one place on it) has counted of one number; whether it grew."""
        known = self._sums.get(number)
        if known is None:
            return False
        last = known.last.get(edge, (0, 0))
        if count[0] < last[0] or count[1] < last[1]:
            # The switch started anew: what it counted before is kept.
            known.base = _plus(known.base, last)
            last = (0, 0)
        known.last[edge] = count
        return count[0] > last[0]

    def rule_removed(self, dpid: int, number: int, count: Count) -> None:
        """A rule of the entry is gone from `dpid` and had counted this much."""
        known = self._sums.get(number)
        if known is not None:
            known.base = _plus(known.base, count)
            last = known.last.get(dpid, (0, 0))
            known.last[dpid] = (max(0, last[0] - count[0]), max(0, last[1] - count[1]))

    def settle(self, edge: Hashable) -> None:
        """Nothing more is reported from there: what it counted last is final."""
        for known in self._sums.values():
            known.base = _plus(known.base, known.last.pop(edge, (0, 0)))

    def total(self, number: Hashable) -> Count:
        """Packets and bytes counted anywhere."""
        known = self._sums.get(number)
        if known is None:
            return (0, 0)
        total = known.base
        for count in known.last.values():
            total = _plus(total, count)
        for other in known.carried:
            total = _plus(total, self.total(other))
        return total

    def carry(self, number: Hashable, into: Hashable) -> None:
        """What was and still will be counted under `number` counts for `into` too; both are forgotten together."""
        if number != into:
            self.watch(into)
            self._sums[into].carried += (number,)

    def forget(self, number: Hashable) -> None:
        """It is gone for good."""
        known = self._sums.pop(number, None)
        if known is not None:
            for other in known.carried:
                self.forget(other)


@dataclass(slots=True)
class _TableSum:
    matched: int = 0
    sent_on: dict[int, int] = field(default_factory=dict)
    """Table -> packets that entries of this one sent there."""


class TableCounters:
    """Per logical table: packets that entered it and that matched in it, those of entries that are gone included."""

    def __init__(self, tables: int) -> None:
        self._gone = [_TableSum() for _ in range(tables)]
        self._entered_gone = 0
        self._told = [0] * tables
        """Lookups told last."""

    def entry_gone(self, table_id: int, goto: int | None, packets: int) -> None:
        """An entry will not be counted any more and had matched this much."""
        _add(self._gone[table_id], goto, packets)

    def port_gone(self, packets: int) -> None:
        """A port will not be counted any more; this much had come in there."""
        self._entered_gone += packets

    def totals(self, entries: Iterable[tuple[int, int | None, int]], entered: int) -> tuple[list[int], list[int]]:
        """(looked up, matched) per table, of the entries that are there, as (table, goto, packets), and those gone.

        A packet is looked up in table 0 when it enters, in another when an entry sends it there; packet-outs to
        TABLE that match nothing are not seen.
        """
        sums = [_TableSum(gone.matched, dict(gone.sent_on)) for gone in self._gone]
        for table_id, goto, packets in entries:
            _add(sums[table_id], goto, packets)
        matched = [each.matched for each in sums]
        looked_up = [sum(each.sent_on.get(table_id, 0) for each in sums) for table_id in range(len(sums))]
        looked_up[0] = max(matched[0], entered + self._entered_gone)
        # What an entry counted before a modification is taken to have gone where it sends packets now.
        self._told = [max(told, count) for told, count in zip(self._told, looked_up, strict=True)]
        return list(self._told), matched


def _add(table: _TableSum, goto: int | None, packets: int) -> None:
    table.matched += packets
    if goto is not None:
        table.sent_on[goto] = table.sent_on.get(goto, 0) + packets


def _plus(a: Count, b: Count) -> Count:
    return (a[0] + b[0], a[1] + b[1])
