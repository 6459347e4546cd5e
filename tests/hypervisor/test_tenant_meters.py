"""The logical meter table: what tests/system/test_meters_against_ovs.py finds Open vSwitch to do."""
from __future__ import annotations

from struct import pack

import pytest

from hvproxy.errors import Refused
from hvproxy.hypervisor.meter_ids import MeterIds
from hvproxy.hypervisor.tenant_meters import OFFERED, Replaced, TenantMeters
from hvproxy.openflow import guard
from hvproxy.openflow.constants import of13
from hvproxy.openflow.messages import xid_of
from hvproxy.openflow.meters import NO_METERS, Band, MeterFeatures, decode_meter_mod
from tests.hypervisor.worlds import meter_mod
from tests.openflow.meter_cases import CASES, MeterCase, message_of

ADD, MODIFY, DELETE = of13.OFPMC_ADD, of13.OFPMC_MODIFY, of13.OFPMC_DELETE


class Bench:
    """A table, its physical ids, and the features below."""

    def __init__(self, features: MeterFeatures = OFFERED) -> None:
        self.meters = TenantMeters()
        self.ids = MeterIds()
        self.features = features

    def send(self, message: bytes, now: float = 5.0) -> tuple[Replaced | None, list[int]]:
        guard.check(message, False)
        assert xid_of(message) == 9
        return self.meters.apply(decode_meter_mod(message), self.features, self.ids.allot, now)

    def refusal(self, message: bytes) -> tuple[int, int] | None:
        try:
            self.send(message)
        except Refused as refused:
            return refused.error_type, refused.code
        return None


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_meter_mod_gets_the_error_in_the_table(case: MeterCase) -> None:
    bench = Bench()
    bench.send(meter_mod(1, 10))
    assert bench.refusal(message_of(case)) == case.error
    if case.error is not None:
        assert list(bench.meters.meters) == [1] and bench.meters.meters[1].revision == 0
        assert bench.ids.allot(99) == 2


def test_a_burst_that_is_not_named_is_what_the_rate_lets_through_in_a_second() -> None:
    bench = Bench()
    bench.send(meter_mod(1, 10, 20))
    bench.send(meter_mod(2, 10, burst=3))
    assert bench.meters.meters[1].bands == (Band(1, 10, 10), Band(1, 20, 20))
    assert bench.meters.meters[2].bands == (Band(1, 10, 3),)
    assert bench.meters.places == {1: 1, 2: 2}


def test_the_padding_of_bands_is_kept_as_zero() -> None:
    bench = Bench(MeterFeatures(9, 0b110, 0xf, 9, 0))
    drop, remark = pack("!HHIII", 1, 16, 10, 5, 0xffffffff), pack("!HHIII", 2, 16, 10, 5, 0x01ffffff)
    message = meter_mod(1)
    bench.send(message[:2] + (len(message) + 32).to_bytes(2, "big") + message[4:] + drop + remark)
    assert [band.rest for band in bench.meters.meters[1].bands] == [bytes(4), b"\1\0\0\0"]


def test_a_modification_counts_anew_and_is_as_old_and_can_be_taken_back() -> None:
    bench = Bench()
    bench.send(meter_mod(1, 10), 5.0)
    meter = bench.meters.meters[1]
    meter.demand = {1: 5}
    meter.counters.watch("in")
    meter.counters.report((1, 0), "in", (5, 50))
    replaced, _ = bench.send(meter_mod(1, 20, command=MODIFY), 7.0)
    assert replaced == Replaced(of13.OFPMF_PKTPS, (Band(1, 10, 10),))
    assert (meter.bands, meter.created, meter.revision) == ((Band(1, 20, 20),), 5.0, 1)
    assert meter.counters.total("in") == (0, 0) and meter.demand == {1: 5}
    bench.meters.restore(1, replaced)
    assert (meter.bands, meter.revision) == ((Band(1, 10, 10),), 2)
    bench.send(meter_mod(1, 20, command=MODIFY, flags=of13.OFPMF_KBPS))
    assert meter.demand == {}, "what was measured in packets says nothing of kilobits"


def test_deletion_names_what_is_there() -> None:
    bench = Bench()
    for number in (3, 1):
        bench.send(meter_mod(number, 10))
    assert bench.send(meter_mod(7, command=DELETE)) == (None, [])
    assert bench.send(meter_mod(3, command=DELETE)) == (None, [3])
    assert bench.send(meter_mod(of13.OFPM_ALL, command=DELETE)) == (None, [1, 3])
    assert bench.meters.remove([1, 3]) == [2, 1] and not bench.meters.meters


def test_what_a_switch_below_cannot_do_is_refused() -> None:
    code = {name: (12, getattr(of13, f"OFPMMFC_{name}")) for name in (
        "OUT_OF_METERS", "BAD_FLAGS", "OUT_OF_BANDS", "BAD_BAND")}
    assert Bench(NO_METERS).refusal(meter_mod(1, 10)) == code["OUT_OF_METERS"]
    few = Bench(MeterFeatures(1, 1 << of13.OFPMBT_DROP, of13.OFPMF_PKTPS, 1, 0))
    assert few.refusal(meter_mod(1, 10, flags=of13.OFPMF_KBPS)) == code["BAD_FLAGS"]
    assert few.refusal(meter_mod(1, 10, 20)) == code["OUT_OF_BANDS"]
    assert few.refusal(meter_mod(1, 10)) is None
    assert few.refusal(meter_mod(2, 10)) == code["OUT_OF_METERS"]


def test_remarking_is_offered_where_all_switches_can_do_it() -> None:
    remark = meter_mod(1, 10)[:16] + pack("!HHIIB3x", of13.OFPMBT_DSCP_REMARK, 16, 10, 0, 2)
    assert Bench().refusal(remark) == (12, of13.OFPMMFC_BAD_BAND)
    able = Bench(MeterFeatures(9, 0b110, 0xF, 8, 0))
    able.send(remark)
    assert able.meters.meters[1].bands == (Band(of13.OFPMBT_DSCP_REMARK, 10, 10, b"\2\0\0\0"),)
