"""What the groups of a logical switch have counted: sums over edges and over the variants on each, never decreasing."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from hvproxy.hypervisor.counters import Counters
from hvproxy.openflow import actions
from hvproxy.openflow.groups import count_buckets
from hvproxy.openflow.multipart import GroupStats

if TYPE_CHECKING:
    from hvproxy.hypervisor.logical_switch import LogicalSwitch


def read(ls: LogicalSwitch, group_ids: Iterable[int], done: Callable[[float], None], now: float) -> None:
    """Bring the counters of these groups up to date, then call `done`."""
    # A modification on the way begins to count anew; what was counted before does not count for it.
    places = {
        (dpid, edge.tenant_group_id(ls.groups.groups[group_id], ingress)): (group_id, ls.groups.counters[group_id])
        for group_id in group_ids for dpid, edge in ls.edges.items() for ingress in (None, *edge.shared)
    }

    def counted(counts: Mapping[tuple[int, int], GroupStats], at: float) -> None:
        for place, stats in counts.items():
            _count(places[place][1], place, stats)
        for group_id, counters in places.values():
            ls.ledger.group_based(group_id, counters)
        done(at)

    ls.down.group_counts(places, counted, now)


def _count(counters: Counters, place: tuple[int, int], stats: GroupStats) -> None:
    for name, count in (("all", (stats.packets, stats.bytes)), *enumerate(stats.buckets)):
        counters.watch(name)
        counters.report(place, name, count)


def record(ls: LogicalSwitch, group_id: int, now: float) -> GroupStats:
    """A group as its statistics tell it (OF 1.3.5 section 7.3.5.9)."""
    lived = max(0.0, now - ls.groups.created[group_id])
    counters = ls.groups.counters[group_id]
    buckets = tuple(counters.total(n) for n in range(count_buckets(ls.groups.groups[group_id].buckets)))
    naming = [entry.instructions for entry in ls.tables.entries_with_group(group_id)]
    references = sum((actions.groups(each.apply) + actions.groups(each.write)).count(group_id) for each in naming)
    return GroupStats(group_id, references, *counters.total("all"), int(lived),
                      int(lived % 1 * 1e9), buckets)
