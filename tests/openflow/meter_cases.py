"""Meter-mods and the errors Open vSwitch 3.1 gives them; meter 1 exists. tests/system compares them with a real one."""
from __future__ import annotations

from dataclasses import dataclass
from struct import pack

from hvproxy.openflow import build

ADD, MODIFY, DELETE = range(3)
EXISTS, INVALID, UNKNOWN, COMMAND, FLAGS, RATE, BAND, BANDS = 1, 2, 3, 4, 5, 6, 8, 11
KBPS, PKTPS, BURST, STATS, OTHER = 1, 2, 4, 8, 0x20
BAD_LENGTH = (1, 6)


@dataclass(frozen=True)
class MeterCase:
    name: str
    body: bytes
    error: tuple[int, int] | None


def band(rate: int = 10, kind: int = 1, burst: int = 0, length: int = 16) -> bytes:
    return pack("!HHII4x", kind, length, rate, burst) + bytes(max(0, length - 16))


def message_of(case: MeterCase) -> bytes:
    return build.message(29, 9, case.body)


def _case(name: str, command: int, flags: int, meter_id: int, bands: bytes,
          error: int | tuple[int, int] | None) -> MeterCase:
    return MeterCase(name, pack("!HHI", command, flags, meter_id) + bands,
                     (12, error) if isinstance(error, int) else error)


_NINE = band() * 9
CASES: tuple[MeterCase, ...] = (
    *(_case(f"flags {flags:#x}", ADD, flags, 2, band(), error) for flags, error in (
        (0, FLAGS), (KBPS, None), (PKTPS, None), (KBPS | PKTPS, FLAGS), (KBPS | BURST | STATS, None),
        (PKTPS | STATS, None), (BURST, FLAGS), (STATS, FLAGS), (KBPS | OTHER, FLAGS), (OTHER, FLAGS))),
    *(_case(f"id {number:#x}", ADD, KBPS, number, band(), error) for number, error in (
        (0, INVALID), (1, EXISTS), (2, None), (0xffff0000, None), (0xffff0001, INVALID), (0xfffffffc, INVALID),
        (0xffffffff, INVALID))),
    *(_case(f"modify id {number:#x}", MODIFY, KBPS, number, band(), error) for number, error in (
        (0, INVALID), (1, None), (2, UNKNOWN), (0xffff0000, UNKNOWN), (0xffffffff, INVALID))),
    *(_case(f"delete id {number:#x}", DELETE, 0, number, b"", None) for number in (
        0, 1, 2, 0xffff0001, 0xfffffffe, 0xffffffff)),
    *(_case(f"command {command}", command, KBPS, 1, band(), COMMAND) for command in (3, 0xffff)),
    *(_case(f"{count} bands", ADD, KBPS, 2, band() * count, error) for count, error in (
        (0, BANDS), (2, None), (8, None), (9, BANDS), (200, BANDS))),
    *(_case(f"band of type {kind}", ADD, KBPS, 2, band(kind=kind), BAND) for kind in (0, 2, 3, 0xffff)),
    _case("rate 0", ADD, KBPS, 2, band(0), RATE),
    _case("the second rate 0", ADD, KBPS, 2, band() + band(0), RATE),
    _case("the largest rate and burst", ADD, KBPS, 2, band(0xffffffff, burst=0xffffffff), None),
    _case("band of length 0", ADD, KBPS, 2, band(length=16)[:2] + bytes(14), BAD_LENGTH),
    _case("half a band", ADD, KBPS, 2, bytes(8), BAD_LENGTH),
    _case("band of length 24", ADD, KBPS, 2, band(length=24), BAD_LENGTH),
    _case("unknown band of length 24", ADD, KBPS, 2, band(kind=9, length=24), BAD_LENGTH),
    _case("unknown band before one of length 0", ADD, KBPS, 2, band(kind=9) + bytes(16), BAND),
    # Which of two faults counts.
    _case("delete with a band of length 0", DELETE, 0, 1, bytes(16), None),
    _case("unknown command with a band of length 0", 7, KBPS, 1, bytes(16), COMMAND),
    _case("both units with an unknown band", ADD, KBPS | PKTPS, 2, band(kind=9), FLAGS),
    _case("both units with half a band", ADD, KBPS | PKTPS, 2, bytes(8), FLAGS),
    _case("both units, no id", ADD, KBPS | PKTPS, 0, band(), FLAGS),
    _case("no id, unknown band", ADD, KBPS, 0, band(kind=9), BAND),
    _case("no id, unknown flags", ADD, OTHER, 0, band(), INVALID),
    _case("no id, nine bands", ADD, KBPS, 0, _NINE, INVALID),
    _case("exists, nine bands", ADD, KBPS, 1, _NINE, BANDS),
    _case("not there, nine bands", MODIFY, KBPS, 2, _NINE, BANDS),
    _case("exists, unknown flags", ADD, KBPS | OTHER, 1, band(), EXISTS),
    _case("not there, no bands", MODIFY, KBPS, 2, b"", UNKNOWN),
    _case("not there, unknown band", MODIFY, KBPS, 2, band(kind=9), BAND),
    _case("no unit, no bands", ADD, 0, 2, b"", FLAGS),
    _case("unknown flags, no bands", ADD, KBPS | OTHER, 2, b"", BANDS),
    _case("unknown flags, rate 0", ADD, KBPS | OTHER, 2, band(0), RATE),
    _case("unknown flags, remark", ADD, KBPS | OTHER, 2, band(kind=2), FLAGS),
    _case("remark, then rate 0", ADD, KBPS, 2, band(kind=2) + band(0), RATE),
)
