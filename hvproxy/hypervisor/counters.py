"""The counters of a logical switch's entries: sums over edges that never decrease (trap 7).

Fed with what switches report and what removed rules counted last. Pure bookkeeping; knows no message.
"""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

Count: TypeAlias = tuple[int, int]
"""(packets, bytes)"""


@dataclass(slots=True)
class _Sum:
    base: Count = (0, 0)
    """From rules that exist no more."""
    last: dict[int, Count] = field(default_factory=dict)
    """dpid -> what its rules counted when last asked."""


class Counters:
    """Per entry number: counts of removed rules plus the last report of every edge."""

    def __init__(self) -> None:
        self._sums: dict[int, _Sum] = {}

    def reported(self, dpid: int, counts: Mapping[int, Count]) -> set[int]:
        """Take one edge's complete report (entry number -> count); returns the numbers whose count grew."""
        grown = set()
        for number, count in counts.items():
            known = self._sums.setdefault(number, _Sum())
            last = known.last.get(dpid, (0, 0))
            if count[0] < last[0] or count[1] < last[1]:
                # The switch started anew: what it counted before is kept.
                known.base = _plus(known.base, last)
                last = (0, 0)
            if count[0] > last[0]:
                grown.add(number)
            known.last[dpid] = count
        return grown

    def rule_removed(self, dpid: int, number: int, count: Count) -> None:
        """A rule of the entry is gone from `dpid` and had counted this much."""
        known = self._sums.setdefault(number, _Sum())
        known.base = _plus(known.base, count)
        last = known.last.get(dpid, (0, 0))
        known.last[dpid] = (max(0, last[0] - count[0]), max(0, last[1] - count[1]))

    def total(self, number: int) -> Count:
        """Packets and bytes the entry has matched anywhere."""
        known = self._sums.get(number)
        if known is None:
            return (0, 0)
        packets, octets = known.base
        for count in known.last.values():
            packets += count[0]
            octets += count[1]
        return (packets, octets)

    def forget(self, number: int) -> None:
        """The entry is gone for good."""
        self._sums.pop(number, None)


def _plus(a: Count, b: Count) -> Count:
    return (a[0] + b[0], a[1] + b[1])
