"""What the groups of a logical switch have counted: sums over edges and over the variants on each, never decreasing.

A variant, or all of a group on an edge, goes while the tenant's group stays: when a port is no longer compiled apart,
or the last port leaves the edge. What it has counted is read when no packet meets it any more, and then it is removed.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, TypeAlias

from hvproxy.hypervisor.counters import Counters
from hvproxy.model.layout import GroupKind
from hvproxy.model.rules import Change
from hvproxy.model.view import Dpid
from hvproxy.openflow import actions
from hvproxy.openflow.groups import count_buckets
from hvproxy.openflow.multipart import GroupStats

if TYPE_CHECKING:
    from hvproxy.hypervisor.logical_switch import LogicalSwitch

Place: TypeAlias = tuple[Dpid, int]
"""A physical group of a datapath."""
Parting: TypeAlias = dict[Place, tuple[int, Counters]]
"""What is to be read before it goes -> the tenant's group that it belongs to, and its counters."""


def read(ls: LogicalSwitch, group_ids: Iterable[int], done: Callable[[float], None], now: float) -> None:
    """Bring the counters of these groups up to date, then call `done`."""
    # A modification on the way begins to count anew; what was counted before does not count for it.
    places = {
        (dpid, edge.tenant_group_id(ls.groups.groups[group_id], ingress)): (group_id, ls.groups.counters[group_id])
        for group_id in group_ids for dpid, edge in ls.edges.items() for ingress in (None, *edge.shared)
    }

    def counted(counts: Mapping[Place, GroupStats], at: float) -> None:
        for place, stats in counts.items():
            _count(places[place][1], place, stats)
        for group_id, counters in places.values():
            ls.ledger.group_counted(group_id, counters)
        done(at)

    ls.down.group_counts(places, counted, now)


def parting(ls: LogicalSwitch, changes: Mapping[Dpid, Change]) -> Parting:
    """Takes out of `changes` the removal of what belongs to groups that stay; that is for `part` to remove."""
    owners = {ls.layout.group_id(GroupKind.TENANT, ls.ls_id, place): group_id
              for group_id, group in ls.groups.groups.items() for place in group.indexes.values()}
    found: Parting = {}
    for dpid, change in changes.items():
        if not ls.down.ready(dpid):
            continue  # it cannot be asked
        found.update({(dpid, each): (owners[each], ls.groups.counters[owners[each]])
                      for each in change.drop_groups if each in owners})
        change.drop_groups = [each for each in change.drop_groups if each not in owners]
    return found


def part(ls: LogicalSwitch, places: Parting, now: float) -> None:
    """No packet meets these any more: note what they have counted, and remove them, but those that are back."""
    def counted(counts: Mapping[Place, GroupStats], at: float) -> None:
        gone: dict[Dpid, Change] = {}
        for place, (group_id, counters) in places.items():
            if ls.holds_group(*place):
                continue
            if place in counts:
                _count(counters, place, counts[place])
            counters.settle(place)
            ls.ledger.group_counted(group_id, counters)
            gone.setdefault(place[0], Change()).drop_groups.append(place[1])
        ls.down.change(gone, at)

    ls.down.group_counts(places, counted, now)


def _count(counters: Counters, place: Place, stats: GroupStats) -> None:
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
