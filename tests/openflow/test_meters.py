"""Meters on the wire: what ryu writes is read, what is written ryu reads."""
from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from ryu.ofproto import ofproto_v1_3_parser as ryu13

from hvproxy.openflow import build, guard
from hvproxy.openflow.constants import of13
from hvproxy.openflow.meters import (
    Band, MeterConfig, MeterFeatures, MeterMod, MeterStats, decode_meter_config, decode_meter_features,
    decode_meter_mod, decode_meter_stats, encode_bands, walk_bands,
)
from hvproxy.openflow.multipart import Kind, multipart_replies
from tests.harness import parsed
from tests.openflow.samples import DATAPATH, wire

U32, U64 = st.integers(0, (1 << 32) - 1), st.integers(0, (1 << 64) - 1)
BANDS = st.lists(st.one_of(
    st.builds(Band, st.just(of13.OFPMBT_DROP), U32, U32),
    st.builds(Band, st.just(of13.OFPMBT_DSCP_REMARK), U32, U32, st.integers(0, 255).map(lambda p: bytes((p, 0, 0, 0)))),
), max_size=8).map(tuple)
COUNTS = st.tuples(U64, U64)


def test_a_meter_mod_of_ryu_is_read() -> None:
    bands = [ryu13.OFPMeterBandDrop(100, 10), ryu13.OFPMeterBandDscpRemark(200, 20, 1)]
    message = wire(ryu13.OFPMeterMod(DATAPATH, of13.OFPMC_MODIFY, of13.OFPMF_KBPS, 7, bands))
    mod = decode_meter_mod(message)
    assert (mod.command, mod.flags, mod.meter_id) == (of13.OFPMC_MODIFY, of13.OFPMF_KBPS, 7)
    assert walk_bands(mod.bands) == (Band(1, 100, 10), Band(2, 200, 20, b"\1\0\0\0"))


@given(st.integers(0, 2), st.integers(0, 0xffff), U32, BANDS)
def test_a_meter_mod_is_what_it_was(command: int, flags: int, meter_id: int, bands: tuple[Band, ...]) -> None:
    message = build.meter_mod(3, command, flags, meter_id, encode_bands(bands))
    guard.check(message, False)
    assert decode_meter_mod(message) == MeterMod(3, command, flags, meter_id, encode_bands(bands))
    assert walk_bands(encode_bands(bands)) == bands


@given(st.lists(st.builds(MeterStats, U32, U32, U64, U64, U32, U32, st.lists(COUNTS, max_size=3).map(tuple))))
def test_statistics_are_what_they_were(records: list[MeterStats]) -> None:
    reply, = multipart_replies(1, Kind.METER, [record.encode() for record in records])
    guard.check(reply, True)
    assert decode_meter_stats(reply[16:]) == records
    assert [each.meter_id for each in parsed(reply).body] == [record.meter_id for record in records]


@given(st.lists(st.builds(MeterConfig, st.integers(0, 0xf), U32, BANDS.map(encode_bands)), max_size=5))
def test_configurations_are_what_they_were(records: list[MeterConfig]) -> None:
    reply, = multipart_replies(1, Kind.METER_CONFIG, [record.encode() for record in records])
    guard.check(reply, True)
    assert decode_meter_config(reply[16:]) == records


def test_features_are_what_they_were_and_two_switches_share_the_less() -> None:
    one, other = MeterFeatures(9, 0b110, 0b1111, 8, 3), MeterFeatures(20, 0b010, 0b0011, 4, 9)
    assert decode_meter_features(one.encode()) == one
    assert one.both(other) == other.both(one) == MeterFeatures(9, 0b010, 0b0011, 4, 3)
