"""The emulated switch's meters: errors, token buckets, remarking."""
from __future__ import annotations

from struct import pack

import pytest

from tests.openflow.meter_cases import CASES, MeterCase, band, message_of
from tools.emulator import oxm
from tools.emulator.frames import Packet
from tools.emulator.host import ipv4
from tools.emulator.meters import MeterTable
from tools.emulator.oxm import OFError

MACS = bytes.fromhex("020000000002020000000001")
FRAME = MACS + b"\x88\xb5" + bytes(86)


def message(command: int, flags: int, meter_id: int, bands: bytes = b"") -> bytes:
    return bytes(8) + pack("!HHI", command, flags, meter_id) + bands


class Bench:
    """A meter table and its clock."""

    def __init__(self, **options: bool) -> None:
        self.now = 50.0
        self.table = MeterTable(lambda: self.now, **options)

    def add(self, flags: int, *bands: bytes) -> None:
        self.table.modify(message(0, flags, 1, b"".join(bands)))

    def passed(self, count: int, data: bytes = FRAME) -> int:
        return sum(self.table.passes(1, Packet(data, 1)) for _ in range(count))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_meter_mod_gets_the_error_in_the_table(case: MeterCase) -> None:
    bench = Bench()
    bench.add(2, band())
    error = None
    try:
        bench.table.modify(message_of(case))
    except OFError as refused:
        error = (refused.error_type, refused.code)
    assert error == case.error


def test_a_bucket_is_full_at_first_and_fills_with_the_rate() -> None:
    bench = Bench()
    bench.add(2, band(10, burst=3))
    assert bench.passed(20) == 3
    bench.now += 0.2
    assert bench.passed(20) == 2
    bench.now += 60
    assert bench.passed(20) == 3
    meter = bench.table.meters[1]
    assert (meter.packets, meter.bytes, meter.bands[0].packets, meter.bands[0].bytes) == (60, 6000, 52, 5200)


def test_kilobits_are_counted_in_bits() -> None:
    bench = Bench()
    bench.add(1, band(1))
    assert bench.passed(5) == 1
    bench.now += 0.7
    assert bench.passed(5) == 1


def test_of_several_bands_the_one_with_the_highest_rate_counts() -> None:
    bench = Bench()
    bench.add(2, band(5), band(2))
    assert bench.passed(20) == 2
    assert [each.packets for each in bench.table.meters[1].bands] == [15, 3]


def test_modification_fills_the_bucket_and_counts_anew_but_keeps_the_age() -> None:
    bench = Bench()
    bench.add(2, band(2))
    assert bench.passed(5) == 2
    bench.now += 0.1
    bench.table.modify(message(1, 2, 1, band(3)))
    assert bench.passed(5) == 3
    assert (bench.table.meters[1].packets, bench.table.meters[1].created) == (5, 50.0)


@pytest.mark.parametrize(("dscp", "wanted"), [(10, 12), (12, 14), (14, 14), (34, 36), (0, 0), (46, 46), (8, 8)])
def test_a_remarking_band_lets_pass_with_a_higher_drop_precedence(dscp: int, wanted: int) -> None:
    bench = Bench(remarks=True)
    bench.add(2, pack("!HHIIB3x", 2, 16, 1, 1, 1))
    data = bytearray(MACS + b"\x08\x00" + ipv4(b"\x0a\0\0\1", b"\x0a\0\0\2", 200, bytes(30)))
    data[15] = dscp << 2 | 1
    first, second = Packet(bytes(data), 1), Packet(bytes(data), 1)
    assert bench.table.passes(1, first) and bench.table.passes(1, second)
    assert (first.fields[oxm.IP_DSCP], second.fields[oxm.IP_DSCP]) == (dscp, wanted)
    assert second.data[15] == wanted << 2 | 1


def test_what_is_offered_is_told() -> None:
    assert Bench().table.features() == pack("!IIIBB2x", 1 << 18, 2, 15, 8, 0)
    assert Bench(remarks=True).table.features()[7] == 6
    none = MeterTable(lambda: 0.0, 0)
    assert none.features() == bytes(16)
    with pytest.raises(OFError):
        none.modify(message(0, 1, 1, band()))
