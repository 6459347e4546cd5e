"""A tenant's meter as the meter of one edge: whole where all it meters enters at one edge, else that edge's share.

A switch counts only what passes through it, so a rate that several switches are to keep together is split between them
(trap 20): in proportion to what each was offered while that is more than the rate, as one bucket for all would have it;
else everyone's offer and an equal part of what is left. Every edge has a floor, so that one where traffic begins passes
some of it until its demand is known. Shares are whole units and add up to the rate, unless that is less than a unit for
each edge; then each has one unit. Pure; who measures demand, and when, is hypervisor.metering's.
"""
from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from hvproxy.model.rules import Meter
from hvproxy.model.view import Dpid
from hvproxy.openflow.constants import of13
from hvproxy.openflow.meters import Band, encode_bands

FLOOR_PARTS = 20
"""One part in so many of the rate is kept for the floors of all edges together."""
LEAST_BURST = {of13.OFPMF_KBPS: 73, of13.OFPMF_PKTPS: 1}
"""The bucket of a share holds one packet at least, of up to 9 000 bytes, or it would never let one through."""


class MeterLike(Protocol):
    """What the compiler reads of a tenant's meter."""

    @property
    def place(self) -> int: ...
    @property
    def flags(self) -> int: ...
    @property
    def bands(self) -> tuple[Band, ...]: ...
    @property
    def revision(self) -> int: ...
    @property
    def demand(self) -> Mapping[Dpid, int]: ...


def split(rate: int, demands: Sequence[int]) -> list[int]:
    """The share of each edge, by what it is offered in the rate's unit."""
    edges = len(demands)
    if rate <= edges:
        return [1 if edges > 1 else rate] * edges
    offered = sum(demands)
    if offered > rate:
        wanted, unit = [rate * demand for demand in demands], offered
    else:
        wanted, unit = [edges * demand + rate - offered for demand in demands], edges
    floor = max(1, rate // (FLOOR_PARTS * edges))
    # All have their floor; what is beyond the floors is divided by what each wants beyond its own.
    beyond = [max(0, want - floor * unit) for want in wanted]
    total, left = sum(beyond), rate - floor * edges
    if not total:
        beyond, total = [1] * edges, edges
    shares = [floor + left * part // total for part in beyond]
    remainders = sorted(range(edges), key=lambda edge: (-(left * beyond[edge] % total), edge))
    for edge in remainders[:rate - sum(shares)]:
        shares[edge] += 1
    return shares


def shares_of(rate: int, demand: Mapping[Dpid, int], entered: Iterable[Dpid]) -> dict[Dpid, int]:
    """`split` by datapath, in the order of their ids; of datapaths that are not in `demand` nothing is known."""
    edges = sorted(entered)
    return dict(zip(edges, split(rate, [demand.get(dpid, 0) for dpid in edges]), strict=True))


def meter_on(meter: MeterLike, dpid: Dpid, entered: Iterable[Dpid]) -> Meter:
    """The meter of an edge; `entered` are those where packets that it meters can enter, which may leave this one out:
    it is whole there, for it meters nothing."""
    edges = sorted(entered)
    bands = meter.bands
    if len(edges) > 1 and dpid in edges:
        least = min(size for unit, size in LEAST_BURST.items() if meter.flags & unit)
        bands = tuple(_share(band, shares_of(band.rate, meter.demand, edges)[dpid], least) for band in bands)
    return Meter(meter.place, meter.flags, encode_bands(bands), meter.revision)


def _share(band: Band, rate: int, least: int) -> Band:
    burst = max(band.burst * rate // band.rate, min(band.burst, least))
    return Band(band.type, rate, min(band.burst, burst), band.rest)
