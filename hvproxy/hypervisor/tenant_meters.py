"""The meters of a logical switch, as its tenant installed them (OF 1.3.5 sections 5.7 and 7.3.4.4). Pure.

The checks and their order are Open vSwitch 3.1's, so that a message with several faults gets the same error. What can
be offered is what the switches below can do alike.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from hvproxy.errors import Refused
from hvproxy.hypervisor.counters import Counters
from hvproxy.model.view import Dpid
from hvproxy.openflow.constants import of13
from hvproxy.openflow.meters import BOTH_UNITS, Band, MeterFeatures, MeterMod, walk_bands

OFFERED = MeterFeatures(
    1 << 18, 1 << of13.OFPMBT_DROP,
    of13.OFPMF_KBPS | of13.OFPMF_PKTPS | of13.OFPMF_BURST | of13.OFPMF_STATS, 8, 0)
"""What a logical switch can do that is on no switch yet: what Open vSwitch 3.1 tells."""
MOST_BANDS = 8


def refuse(code: int, why: str) -> Refused:
    return Refused(of13.OFPET_METER_MOD_FAILED, code, why)


@dataclass(frozen=True, slots=True)
class Sample:
    """What an edge had been offered at some time."""

    when: float
    packets: int = 0
    octets: int = 0


@dataclass(eq=False, slots=True)
class TenantMeter:
    """A meter a tenant installed. Compared by identity."""

    meter_id: int
    """The tenant's."""
    place: int
    """The physical id, the same on every edge."""
    flags: int
    bands: tuple[Band, ...]
    """With their burst, which is what the rate lets through in a second where the tenant named none."""
    created: float
    revision: int = 0
    """Grows with each modification, which resets what was counted."""
    demand: dict[Dpid, int] = field(default_factory=dict)
    """What the edges were offered when the shares were last decided, in the unit of the rate."""
    counters: Counters = field(default_factory=Counters)
    """"in" and the number of each band -> what was counted since the last modification."""
    turns: dict[Dpid, int] = field(default_factory=dict)
    """Edge -> how often its switch was made to count anew since the last modification."""
    sampled: dict[Dpid, Sample] = field(default_factory=dict)
    """What the edges had been offered when demand was measured last."""
    latest: dict[Dpid, Sample] = field(default_factory=dict)
    """The same when they answered last."""

    @property
    def in_packets(self) -> bool:
        """The rates are packets a second, not kilobits."""
        return bool(self.flags & of13.OFPMF_PKTPS)

    def restarted(self, dpid: Dpid) -> None:
        """The edge's switch counts from zero: what it counted before is kept."""
        turn = self.turns.get(dpid, 0)
        self.counters.settle((dpid, turn))
        self.turns[dpid] = turn + 1
        self.sampled.pop(dpid, None)
        self.latest.pop(dpid, None)


@dataclass(frozen=True, slots=True)
class Replaced:
    """What a modification took the place of."""

    flags: int
    bands: tuple[Band, ...]


class TenantMeters:
    """Meter id -> meter."""

    def __init__(self) -> None:
        self.meters: dict[int, TenantMeter] = {}
        self.noted: Callable[[int], None] = lambda meter_id: None
        """Told of every meter that is new, changed or gone."""

    @property
    def places(self) -> dict[int, int]:
        """Meter id -> physical id."""
        return {meter.meter_id: meter.place for meter in self.meters.values()}

    def apply(
        self, mod: MeterMod, features: MeterFeatures, allot: Callable[[int], int | None], now: float,
    ) -> tuple[Replaced | None, list[int]]:
        """Carry out a meter-mod; (what a modification replaced, ids to be removed, which are still there).

        `allot` gives a physical id up to some number. Raises Refused with nothing changed.
        """
        if mod.command == of13.OFPMC_DELETE:
            wanted = self.meters if mod.meter_id == of13.OFPM_ALL else {mod.meter_id} & self.meters.keys()
            return None, sorted(wanted)
        if mod.command not in (of13.OFPMC_ADD, of13.OFPMC_MODIFY):
            raise refuse(of13.OFPMMFC_BAD_COMMAND, "unknown command")
        if mod.flags & BOTH_UNITS == BOTH_UNITS:
            raise refuse(of13.OFPMMFC_BAD_FLAGS, "both units")
        bands = walk_bands(mod.bands)
        if not 0 < mod.meter_id <= of13.OFPM_MAX:
            raise refuse(of13.OFPMMFC_INVALID_METER, "not a meter id")
        if len(bands) > MOST_BANDS:
            raise refuse(of13.OFPMMFC_OUT_OF_BANDS, "too many bands")
        before = self.meters.get(mod.meter_id)
        if mod.command == of13.OFPMC_ADD:
            if before is not None:
                raise refuse(of13.OFPMMFC_METER_EXISTS, "the meter exists")
            if not features.max_meter:
                raise refuse(of13.OFPMMFC_OUT_OF_METERS, "a switch below has no meters")
            _check(mod, bands, features)
            place = allot(features.max_meter)
            if place is None:
                raise refuse(of13.OFPMMFC_OUT_OF_METERS, "no meters left")
            self.meters[mod.meter_id] = TenantMeter(mod.meter_id, place, mod.flags, _canonical(bands), now)
            self.noted(mod.meter_id)
            return None, []
        if before is None:
            raise refuse(of13.OFPMMFC_UNKNOWN_METER, "no such meter")
        _check(mod, bands, features)
        replaced = Replaced(before.flags, before.bands)
        self._set(before, mod.flags, _canonical(bands))
        return replaced, []

    def restore(self, meter_id: int, replaced: Replaced) -> None:
        """Put back what a refused modification replaced; what was counted before it is lost."""
        self._set(self.meters[meter_id], replaced.flags, replaced.bands)

    def remove(self, meter_ids: Iterable[int]) -> list[int]:
        """Forget meters whose entries are gone; their physical ids, which are free once nothing is sent of them."""
        places = []
        for meter_id in meter_ids:
            places.append(self.meters.pop(meter_id).place)
            self.noted(meter_id)
        return places

    def _set(self, meter: TenantMeter, flags: int, bands: tuple[Band, ...]) -> None:
        # Open vSwitch makes another meter of it, with full buckets and nothing counted, which is as old as the first.
        if flags & BOTH_UNITS != meter.flags & BOTH_UNITS:
            meter.demand = {}
        meter.flags, meter.bands, meter.revision = flags, bands, meter.revision + 1
        meter.counters, meter.turns, meter.sampled, meter.latest = Counters(), {}, {}, {}
        self.noted(meter.meter_id)


def _check(mod: MeterMod, bands: tuple[Band, ...], features: MeterFeatures) -> None:
    if not mod.flags & BOTH_UNITS:
        raise refuse(of13.OFPMMFC_BAD_FLAGS, "no unit")
    if not bands or len(bands) > features.max_bands:
        raise refuse(of13.OFPMMFC_OUT_OF_BANDS, "no bands, or more than a switch below can do")
    if not all(band.rate for band in bands):
        raise refuse(of13.OFPMMFC_BAD_RATE, "a rate of 0")
    if mod.flags & ~features.capabilities:
        raise refuse(of13.OFPMMFC_BAD_FLAGS, "flags that a switch below does not know")
    if any(not features.band_types >> band.type & 1 for band in bands):
        raise refuse(of13.OFPMMFC_BAD_BAND, "a band that a switch below does not know")


def _canonical(bands: tuple[Band, ...]) -> tuple[Band, ...]:
    """A burst that is not said is the rate's, and padding is zero, as Open vSwitch tells it."""
    return tuple(Band(band.type, band.rate, band.burst or band.rate, _zeros_behind(band)) for band in bands)


def _zeros_behind(band: Band) -> bytes:
    said = 1 if band.type == of13.OFPMBT_DSCP_REMARK else 0
    return band.rest[:said] + bytes(len(band.rest) - said)
