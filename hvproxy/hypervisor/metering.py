"""What the meters of a logical switch have counted, summed over edges, and how a rate is shared between them (trap 20).

Once a second the edges of each meter that packets enter at several are asked what they were offered. Shares change only
when that lets noticeably more through or is noticeably fairer: a change fills the buckets of the meters it changes.
A change of a meter makes its datapath count anew, so that is asked, before the change, what it has counted.
"""
from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import TYPE_CHECKING

from hvproxy.compiler.meters import shares_of
from hvproxy.hypervisor.counters import Count, Counters
from hvproxy.hypervisor.tenant_meters import Sample, TenantMeter
from hvproxy.model.rules import Change
from hvproxy.model.view import Dpid
from hvproxy.openflow.meters import MeterStats

if TYPE_CHECKING:
    from hvproxy.hypervisor.logical_switch import LogicalSwitch

SHORT = 50
"""One part in so many of the rate that could be let through and is not makes a change worth while."""
UNFAIR_WHEN_FULL, UNFAIR_WHEN_FREE = 8, 4
"""So does a share that is off by one part in so many of the rate, while more than the rate is offered or not."""
LEAST_TIME = 0.5
"""Seconds over which demand can be measured."""
BYTES_OF_KILOBIT = 125


def worth_changing(rate: int, present: Mapping[Dpid, int], offered: Mapping[Dpid, int]) -> bool:
    """Whether shares decided by the demand `present` should be decided anew by what is `offered` now."""
    edges = sorted(offered)
    old, new = shares_of(rate, present, edges), shares_of(rate, offered, edges)
    total = sum(offered.values())
    short = min(rate, total) - sum(min(old[dpid], offered[dpid]) for dpid in edges)
    off = max(abs(old[dpid] - new[dpid]) for dpid in edges)
    return old != new and (
        short * SHORT > rate or off * (UNFAIR_WHEN_FULL if total > rate else UNFAIR_WHEN_FREE) > rate)


def read(ls: LogicalSwitch, meters: Iterable[TenantMeter], done: Callable[[float], None], now: float) -> None:
    """Bring the counters of these meters up to date, then call `done`."""
    wanted = {}
    for meter in meters:
        for dpid in ls.edges:
            wanted[dpid, meter.place] = (meter, meter.counters, meter.turns.get(dpid, 0))

    def counted(found: Mapping[tuple[Dpid, int], MeterStats], at: float) -> None:
        for (dpid, place), stats in found.items():
            meter, counters, turn = wanted[dpid, place]
            if meter.counters is counters and meter.turns.get(dpid, 0) == turn:  # else it tells of what was before
                _count(meter, (dpid, turn), stats)
                meter.latest[dpid] = Sample(at, stats.packets, stats.bytes)
                ls.ledger.meter_counted(meter)
        done(at)

    ls.down.meter_counts(wanted, counted, now)


def asking(ls: LogicalSwitch, meters: Iterable[TenantMeter], change: Callable[[], dict[Dpid, Change]], now: float,
           ) -> dict[Dpid, Change]:
    """What `change` computes, which may restart some of these meters; what those have counted until they get it, which
    must be after this, is asked for here."""
    before = [(meter, meter.counters, dpid, turn, _known(meter.counters, (dpid, turn)))
              for meter in meters for dpid, turn in meter.turns.items()]
    computed = change()
    wanted = {(dpid, meter.place): (meter, counters, known) for meter, counters, dpid, turn, known in before
              if meter.turns.get(dpid) != turn}

    def counted(found: Mapping[tuple[Dpid, int], MeterStats], at: float) -> None:
        for place, stats in found.items():
            meter, counters, known = wanted[place]
            for name, (packets, octets) in _counts(stats):
                counters.add(name, (max(0, packets - known[name][0]), max(0, octets - known[name][1])))
            if meter.counters is counters:
                ls.ledger.meter_counted(meter)

    if wanted:
        ls.down.meter_counts(wanted, counted, now)
    return computed


def _known(counters: Counters, edge: tuple[Dpid, int]) -> Mapping[Hashable, Count]:
    return defaultdict(lambda: (0, 0), {name: counters.state(name)[1].get(edge, (0, 0)) for name in counters.numbers})


def _counts(stats: MeterStats) -> list[tuple[Hashable, Count]]:
    return [("in", (stats.packets, stats.bytes)), *enumerate(stats.bands)]


def _count(meter: TenantMeter, edge: tuple[Dpid, int], stats: MeterStats) -> None:
    for name, count in _counts(stats):
        meter.counters.watch(name)
        meter.counters.report(edge, name, count)


def record(ls: LogicalSwitch, meter: TenantMeter, now: float) -> MeterStats:
    """A meter as its statistics tell it (OF 1.3.5 section 7.3.5.12)."""
    lived = max(0.0, now - meter.created)
    return MeterStats(
        meter.meter_id, len(ls.tables.entries_with_meter(meter.meter_id)), *meter.counters.total("in"), int(lived),
        int(lived % 1 * 1e9), tuple(meter.counters.total(number) for number in range(len(meter.bands))))


def poll(ls: LogicalSwitch, now: float) -> None:
    """Measure the demand for every meter that is split, and change the shares where that is worth it."""
    split = [meter for meter in ls.meters.meters.values() if len(ls.entered(meter.meter_id)) > 1]
    if not split or ls.measuring:
        return
    ls.measuring = True

    def counted(at: float) -> None:
        ls.measuring = False
        for meter in split:
            if ls.meters.meters.get(meter.meter_id) is meter:
                _rebalance(ls, meter, at)

    read(ls, split, counted, now)


def _rebalance(ls: LogicalSwitch, meter: TenantMeter, now: float) -> None:
    measured = {dpid: _measured(ls, meter, dpid) for dpid in ls.entered(meter.meter_id)}
    offered = {dpid: demand for dpid, demand in measured.items() if demand is not None}
    if len(offered) < max(2, len(measured)):
        return  # an edge is measured from now on
    if worth_changing(min(band.rate for band in meter.bands), meter.demand, offered):
        meter.demand = offered
        ls.send_meters([meter.meter_id], now, None)
        ls.ledger.meter(meter.meter_id)
        for dpid in offered:
            # A datapath whose meter was changed counts from zero, from now on.
            meter.sampled.setdefault(dpid, Sample(now))


def _measured(ls: LogicalSwitch, meter: TenantMeter, dpid: Dpid) -> int | None:
    """What an edge was offered a second between the last two answers; None when there are no two yet."""
    latest, before = meter.latest.pop(dpid, None), meter.sampled.get(dpid)
    if latest is None:
        # No answer: it goes on as it did, or is given up.
        up = any(port.up for port in ls.ports.values() if port.vif is not None and port.vif.dpid == dpid)
        return meter.demand.get(dpid, 0) if up else 0
    if before is None:
        meter.sampled[dpid] = latest
        return None
    elapsed = latest.when - before.when
    if elapsed < LEAST_TIME:
        return None
    meter.sampled[dpid] = latest
    counted = latest if latest.packets < before.packets else Sample(
        latest.when, latest.packets - before.packets, latest.octets - before.octets)
    return round((counted.packets if meter.in_packets else counted.octets / BYTES_OF_KILOBIT) / elapsed)
