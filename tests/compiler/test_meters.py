"""A rate is split between edges exactly, fairly and never to nothing."""
from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvproxy.compiler.meters import FLOOR_PARTS, meter_on, shares_of, split
from hvproxy.openflow.constants import of13
from hvproxy.openflow.meters import Band, walk_bands

RATES = st.integers(1, (1 << 32) - 1)
DEMANDS = st.lists(st.integers(0, 1 << 33), min_size=1, max_size=12)


@dataclass
class AMeter:
    place: int = 7
    flags: int = of13.OFPMF_KBPS
    bands: tuple[Band, ...] = (Band(1, 1000, 1000),)
    revision: int = 3
    demand: dict[int, int] = field(default_factory=dict)


@given(RATES, DEMANDS)
def test_shares_add_up_to_the_rate_and_all_have_the_floor(rate: int, demands: list[int]) -> None:
    shares = split(rate, demands)
    edges = len(demands)
    assert sum(shares) == max(rate, edges)
    assert min(shares) >= max(1, rate // (FLOOR_PARTS * edges))


@given(RATES, DEMANDS)
def test_what_is_let_through_is_what_one_meter_would_let_through_but_the_floors(rate: int, demands: list[int]) -> None:
    shares = split(rate, demands)
    through = sum(map(min, shares, demands))
    assert through >= min(rate, sum(demands)) - rate // FLOOR_PARTS - 2 * len(demands)


@given(RATES, DEMANDS)
def test_who_is_offered_more_has_no_less(rate: int, demands: list[int]) -> None:
    order = sorted(range(len(demands)), key=lambda edge: demands[edge])
    shares = [split(rate, demands)[edge] for edge in order]
    assert all(a <= b + 1 for a, b in zip(shares, shares[1:]))


@pytest.mark.parametrize(("rate", "demands", "shares"), [
    (100, [7], [100]),
    (1, [5], [1]),
    (100, [0, 0, 0], [34, 33, 33]),
    (200, [300, 100], [150, 50]),
    (200, [400, 0], [195, 5]),
    (100, [20, 30], [45, 55]),
    (3, [9, 9, 9], [1, 1, 1]),
    (1, [9, 9, 9], [1, 1, 1]),
])
def test_examples(rate: int, demands: list[int], shares: list[int]) -> None:
    assert split(rate, demands) == shares


def test_shares_are_by_datapath_and_of_the_unknown_there_is_no_demand() -> None:
    assert shares_of(200, {5: 400, 9: 400}, [5, 2]) == {2: 5, 5: 195}


def test_a_meter_entered_at_one_edge_is_whole_there_and_where_it_meters_nothing() -> None:
    meter = AMeter(demand={1: 5, 2: 900})
    for dpid, entered in ((1, [1]), (2, [1]), (1, []), (3, [1, 2])):
        assert walk_bands(meter_on(meter, dpid, entered).bands) == meter.bands
    assert meter_on(meter, 1, [1]).reads_as(meter_on(meter, 2, []))
    assert (meter_on(meter, 1, [1]).meter_id, meter_on(meter, 1, [1]).revision) == (7, 3)


def test_every_band_is_split_and_its_burst_with_it() -> None:
    meter = AMeter(bands=(Band(1, 1000, 2000), Band(2, 400, 400, b"\2\0\0\0")), demand={1: 3000, 2: 1000})
    parts = [walk_bands(meter_on(meter, dpid, {1, 2}).bands) for dpid in (1, 2)]
    for band, one, other in zip(meter.bands, *parts):
        assert one.rate + other.rate == band.rate and one.rate > 2 * other.rate
        assert abs(one.burst + other.burst - band.burst) <= 1
        assert one.rest == other.rest == band.rest


@pytest.mark.parametrize(("flags", "rate", "burst", "wanted"), [
    (of13.OFPMF_KBPS, 1000, 100, 73),
    (of13.OFPMF_KBPS, 1000, 20, 20),
    (of13.OFPMF_PKTPS, 1000, 1, 1),
    (of13.OFPMF_PKTPS, 2, 2, 1),
])
def test_the_bucket_of_a_share_holds_a_packet_if_the_whole_one_does(
    flags: int, rate: int, burst: int, wanted: int,
) -> None:
    band, = walk_bands(meter_on(AMeter(flags=flags, bands=(Band(1, rate, burst),)), 1, [1, 2]).bands)
    assert (band.rate, band.burst) == (rate // 2, wanted)
