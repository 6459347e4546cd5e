"""The counters of a logical switch: sums over edges that never decrease (trap 7). The one owner of what was counted.

Fed with what switches report and what removed rules counted last. Pure bookkeeping; knows no message. Only what is
watched is counted: a switch may speak late of what is gone.
"""
from __future__ import annotations

from collections.abc import Callable, Container, Hashable, Iterable, Mapping
from itertools import islice
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Count: TypeAlias = tuple[int, int]
"""(packets, bytes)"""


LATEST = 2.0
"""Seconds that a datapath may take to tell of a rule that it has removed."""


@dataclass(slots=True)
class _Sum:
    base: Count = (0, 0)
    """From rules that exist no more."""
    last: dict[Hashable, Count] = field(default_factory=dict)
    """Edge -> what its rules counted when last asked."""
    carried: tuple[Hashable, ...] = ()
    """Other numbers under which the same was counted."""
    kept: bool = False
    """Somebody has noted it, and must hear when it goes."""


class Counters:
    """Per entry number (or whatever else is counted): counts of removed rules plus the last report of every edge."""

    def __init__(self) -> None:
        self._sums: dict[Hashable, _Sum] = {}
        self.noted: Callable[[Hashable, bool], None] = lambda number, there: None
        """Told of a number whose base has changed, so that what edges show no longer tells it all; and, when not
        `there`, of one that is forgotten."""
        self._based_anew = False
        """Some base has changed."""
        self._changed: dict[Hashable, None] = {}
        self._asking: dict[int, dict[Hashable, Count]] = {}
        """What is forgotten while somebody asks, for each who does."""
        self._late: dict[tuple[int, int], float] = {}
        """Edge and number whose reports are passed over -> since when."""

    # Keeping over a restart

    @property
    def numbers(self) -> list[Any]:
        """All that are counted."""
        return list(self._sums)

    def changed(self, numbers: Iterable[Hashable] | None = None) -> list[Hashable]:
        """Of these numbers and those they carry, or of all, those that have counted since they were taken last."""
        if numbers is None or not self._changed:
            return list(self._changed)
        found = []
        for number in numbers:
            if number in self._changed:
                found.append(number)
            known = self._sums.get(number)
            if known is not None and known.carried:
                found += self.changed(known.carried)
        return found

    def take(self, number: Hashable) -> bool:
        """Whether it has counted since it was taken last: what is counted by now is being noted."""
        return self._changed.pop(number, self) is None

    def take_changed(self, most: int) -> list[Hashable]:
        """Numbers that have counted since they were taken last, up to so many."""
        taken = list(islice(self._changed, most))
        for number in taken:
            del self._changed[number]
        return taken

    def take_any(self) -> bool:
        """Whether anything has counted, or has another base, since this was asked last: all is being noted."""
        taken = self._based_anew or bool(self._changed)
        self._based_anew = False
        self._changed.clear()
        return taken

    def keep(self, number: Hashable) -> None:
        """It is being noted."""
        self._sums[number].kept = True

    def state(self, number: Hashable) -> tuple[Count, dict[Hashable, Count], tuple[Hashable, ...]]:
        """(base, what each edge counted last, numbers carried) of one number."""
        known = self._sums.get(number) or _Sum()
        return known.base, known.last, known.carried

    def restore(self, number: Hashable, base: Count, last: Mapping[Any, Count], carried: Iterable[Hashable]) -> None:
        """What `state` told before a restart: edges go on from what they counted last, or have begun anew."""
        self._sums[number] = _Sum(base, dict(last), tuple(carried), kept=True)

    # Counting

    def __len__(self) -> int:
        return len(self._sums)

    def watch(self, number: Hashable) -> None:
        """Count this from now on."""
        if number not in self._sums:
            self._sums[number] = _Sum()

    def reported(self, dpid: int, counts: Mapping[int, Count], leaving: Container[int] = (), now: float = 0.0,
                 ) -> set[int]:
        """Take one edge's complete report (entry number -> count); returns the numbers whose count grew.

        Of a number in `leaving` a rule has been removed that has not told its last counts, which come to the last
        report and are in this one, or not: it is passed over, unless they have not come for a long time.
        """
        for number in [number for at, number in self._late if at == dpid and number not in leaving]:
            del self._late[dpid, number]
        return {number for number, count in counts.items()
                if (number not in leaving or now - self._late.setdefault((dpid, number), now) >= LATEST)
                and self.report(dpid, number, count)}

    def report(self, edge: Hashable, number: Hashable, count: Count) -> bool:
        """Take what one edge (or one place on it) has counted of one number; whether it grew."""
        known = self._sums.get(number)
        if known is None:
            return False
        last = known.last.get(edge, (0, 0))
        if count[0] < last[0] or count[1] < last[1]:
            # The switch started anew: what it counted before is kept.
            known.base, known.last[edge] = _plus(known.base, last), count
            self._based(number)
            return count[0] > 0
        if count != last:
            known.last[edge] = count
            self._changed[number] = None
        return count[0] > last[0]

    def rule_removed(self, dpid: int, number: int, count: Count) -> None:
        """A rule of the entry is gone from `dpid` and had counted this much."""
        known = self._sums.get(number)
        if known is not None:
            known.base = _plus(known.base, count)
            last = known.last.get(dpid, (0, 0))
            known.last[dpid] = (max(0, last[0] - count[0]), max(0, last[1] - count[1]))
            self._based(number)

    def settle(self, edge: Hashable) -> None:
        """Nothing more is reported from there: what it counted last is final."""
        for number, known in self._sums.items():
            if edge in known.last:
                known.base = _plus(known.base, known.last.pop(edge))
                self._based(number)

    def goes(self, number: Hashable) -> None:
        """A rule of it is about to go, and with it what still shows what it has counted."""
        if number in self._sums:
            self._based(number)

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

    def ask(self) -> dict[Hashable, Count]:
        """A question begins: until it is `answered`, totals of what is forgotten are put in here."""
        final: dict[Hashable, Count] = {}
        self._asking[id(final)] = final
        return final

    def answered(self, final: dict[Hashable, Count]) -> None:
        """The question that got this is answered."""
        del self._asking[id(final)]

    def carry(self, number: Hashable, into: Hashable) -> None:
        """What was and still will be counted under `number` counts for `into` too; both are forgotten together."""
        if number != into:
            self.watch(into)
            self._sums[into].carried += (number,)
            self._based(number)
            self._based(into)

    def add(self, number: Hashable, count: Count) -> None:
        """This much was counted of it before, elsewhere."""
        self.watch(number)
        known = self._sums[number]
        known.base = _plus(known.base, count)
        self._based(number)

    def forget(self, number: Hashable) -> None:
        """It is gone for good."""
        for final in self._asking.values():
            final[number] = self.total(number)
        known = self._sums.pop(number, None)
        self._changed.pop(number, None)
        if known is not None:
            if known.kept:
                self.noted(number, False)
            for other in known.carried:
                self.forget(other)

    def _based(self, number: Hashable) -> None:
        self._based_anew = True
        self.noted(number, True)


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
        self.noted: Callable[[], None] = lambda: None
        """Told when something has changed that is found nowhere else."""

    def state(self) -> tuple[list[tuple[int, dict[int, int]]], int, list[int]]:
        """(per table of entries gone: matched, sent on to which table), entered by ports gone, lookups told last."""
        return [(gone.matched, gone.sent_on) for gone in self._gone], self._entered_gone, self._told

    def restore(self, gone: Iterable[tuple[int, Mapping[int, int]]], entered: int, told: Iterable[int]) -> None:
        """What `state` told before a restart. Raises ValueError where that had other tables."""
        self._gone = [_TableSum(matched, dict(sent_on)) for (matched, sent_on), _ in zip(
            gone, self._gone, strict=True)]
        self._entered_gone = entered
        self._told = [told for told, _ in zip(told, self._told, strict=True)]

    def entry_gone(self, table_id: int, goto: int | None, packets: int) -> None:
        """An entry will not be counted any more and had matched this much."""
        if packets:
            _add(self._gone[table_id], goto, packets)
            self.noted()

    def entry_back(self, table_id: int, goto: int | None, packets: int) -> None:
        """An entry that was gone, as far as is known, is counted as its own again, and not as gone."""
        gone = self._gone[table_id]
        matched = min(packets, gone.matched)
        gone.matched -= matched
        if goto is not None:
            sent = gone.sent_on.get(goto, 0)
            gone.sent_on[goto] = sent - min(sent, matched)
        if matched:
            self.noted()

    def port_gone(self, packets: int) -> None:
        """A port will not be counted any more; this much had come in there."""
        if packets:
            self._entered_gone += packets
            self.noted()

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
        told = [max(told, count) for told, count in zip(self._told, looked_up, strict=True)]
        if told != self._told:
            self._told = told
            self.noted()
        return list(told), matched


def _add(table: _TableSum, goto: int | None, packets: int) -> None:
    table.matched += packets
    if goto is not None:
        table.sent_on[goto] = table.sent_on.get(goto, 0) + packets


def _plus(a: Count, b: Count) -> Count:
    return (a[0] + b[0], a[1] + b[1])
