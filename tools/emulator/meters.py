"""The meter table as Open vSwitch 3.1 has it: meter-mods, token buckets, counters (OF 1.3.5 sections 5.7 and 7.3.4.4).

Bands drop; a switch that can may remark too, which Open vSwitch's userspace datapath cannot. Buckets run on the
switch's own clock, in milliseconds as Open vSwitch's do.
"""
from __future__ import annotations

from collections.abc import Callable
from struct import Struct

from tools.emulator import edits, oxm
from tools.emulator.frames import Packet
from tools.emulator.oxm import OFError

METER_MOD_FAILED = 12
EXISTS, INVALID, UNKNOWN, BAD_COMMAND, BAD_FLAGS, BAD_RATE, BAD_BAND, OUT_OF_METERS, OUT_OF_BANDS = (
    1, 2, 3, 4, 5, 6, 8, 10, 11)
ADD, MODIFY, DELETE = 0, 1, 2
KBPS, PKTPS, KNOWN_FLAGS = 1, 2, 0xf
DROP, REMARK = 1, 2
LAST, VIRTUAL, EVERY = 0xffff0000, (0xfffffffd, 0xfffffffe), 0xffffffff
MOST_METERS, MOST_BANDS = 1 << 18, 8
BAND = Struct("!HHIIB3x")
STATISTICS = Struct("!IH6xIQQII")
FEATURES = Struct("!IIIBB2x")


def refused(code: int) -> OFError:
    """The refusal of a meter-mod, or of a question about a meter that is not there."""
    return OFError(METER_MOD_FAILED, code)


class Band:
    """One band with its bucket, in thousandths of a packet or in bits."""

    __slots__ = ("kind", "rate", "burst", "level", "bucket", "packets", "bytes")

    def __init__(self, kind: int, rate: int, burst: int, level: int) -> None:
        self.kind, self.rate, self.burst, self.level = kind, rate, burst or rate, level if kind == REMARK else 0
        self.bucket = self.burst * 1000
        self.packets = self.bytes = 0


class Meter:
    """One meter."""

    __slots__ = ("meter_id", "flags", "bands", "created", "used", "packets", "bytes")

    def __init__(self, meter_id: int, flags: int, bands: list[Band], now: float) -> None:
        self.meter_id = meter_id
        self.flags = flags
        self.bands = bands
        self.created = self.used = now
        self.packets = self.bytes = 0

    def exceeded(self, size: int, now: float) -> Band | None:
        """Let a packet of that size pass the buckets: the band with the highest rate that it exceeds."""
        elapsed = max(0, int(now * 1000) - int(self.used * 1000))
        self.used = now
        self.packets += 1
        self.bytes += size
        cost = 1000 if self.flags & PKTPS else size * 8
        found: Band | None = None
        for band in self.bands:
            band.bucket = min(band.bucket + elapsed * band.rate, band.burst * 1000)
            if band.bucket >= cost:
                band.bucket -= cost
            elif found is None or band.rate > found.rate:
                found = band
        if found is not None:
            found.packets += 1
            found.bytes += size
        return found

    def describe(self) -> bytes:
        """struct ofp_meter_config."""
        bands = b"".join(BAND.pack(band.kind, 16, band.rate, band.burst, band.level) for band in self.bands)
        return ((8 + len(bands)).to_bytes(2, "big") + self.flags.to_bytes(2, "big") + self.meter_id.to_bytes(4, "big")
                + bands)

    def statistics(self, flows: int, now: float) -> bytes:
        """struct ofp_meter_stats."""
        age = max(0.0, now - self.created)
        head = STATISTICS.pack(self.meter_id, STATISTICS.size + 16 * len(self.bands), flows, self.packets, self.bytes,
                               int(age), int(age % 1 * 1e9))
        return head + b"".join(b.packets.to_bytes(8, "big") + b.bytes.to_bytes(8, "big") for b in self.bands)


class MeterTable:
    """All meters of a switch; `most` of them, none for a switch without meters."""

    def __init__(self, clock: Callable[[], float], most: int = MOST_METERS, remarks: bool = False) -> None:
        self._clock = clock
        self._most = most
        self._remarks = remarks
        self.meters: dict[int, Meter] = {}

    def modify(self, message: bytes) -> list[int]:
        """Carry out a whole meter-mod; the ids of meters deleted by it."""
        command, flags = int.from_bytes(message[8:10], "big"), int.from_bytes(message[10:12], "big")
        meter_id = int.from_bytes(message[12:16], "big")
        if command > DELETE:
            raise refused(BAD_COMMAND)
        if command == DELETE:
            gone = list(self.meters) if meter_id == EVERY else [meter_id] if meter_id in self.meters else []
            for number in gone:
                del self.meters[number]
            return gone
        if flags & KBPS and flags & PKTPS:
            raise refused(BAD_FLAGS)
        bands = self._bands(message)
        if not 0 < meter_id <= LAST and meter_id not in VIRTUAL:
            raise refused(INVALID)
        if len(bands) > MOST_BANDS:
            raise refused(OUT_OF_BANDS)
        known = self.meters.get(meter_id)
        if command == ADD and known is not None:
            raise refused(EXISTS)
        if command == MODIFY and known is None:
            raise refused(UNKNOWN)
        if known is None and len(self.meters) >= self._most:
            raise refused(OUT_OF_METERS)
        self._check(flags, bands)
        meter = self.meters[meter_id] = Meter(meter_id, flags, bands, self._clock())
        if known is not None:
            meter.created = known.created
        return []

    def passes(self, meter_id: int, packet: Packet) -> bool:
        """Whether a packet goes on; one beyond a remarking band goes on with a higher drop precedence."""
        meter = self.meters.get(meter_id)
        band = None if meter is None else meter.exceeded(len(packet.data), self._clock())
        if band is None:
            return True
        if band.kind == DROP:
            return False
        remark(packet, band.level)
        return True

    def find(self, meter_id: int) -> list[Meter]:
        """The meter of that id, or all."""
        if meter_id == EVERY:
            return list(self.meters.values())
        if meter_id not in self.meters:
            raise refused(UNKNOWN)
        return [self.meters[meter_id]]

    def features(self) -> bytes:
        """struct ofp_meter_features."""
        if not self._most:
            return bytes(FEATURES.size)
        return FEATURES.pack(self._most, 1 << DROP | (1 << REMARK if self._remarks else 0), KNOWN_FLAGS, MOST_BANDS, 0)

    @staticmethod
    def _bands(message: bytes) -> list[Band]:
        bands = []
        for start in range(16, len(message), 16):
            if len(message) - start < 16 or int.from_bytes(message[start + 2:start + 4], "big") != 16:
                raise OFError(1, 6)
            kind, _, rate, burst, level = BAND.unpack_from(message, start)
            if kind not in (DROP, REMARK):
                raise refused(BAD_BAND)
            bands.append(Band(kind, rate, burst, level))
        return bands

    def _check(self, flags: int, bands: list[Band]) -> None:
        if not flags & (KBPS | PKTPS):
            raise refused(BAD_FLAGS)
        if not bands:
            raise refused(OUT_OF_BANDS)
        if any(band.rate == 0 for band in bands):
            raise refused(BAD_RATE)
        if flags & ~KNOWN_FLAGS:
            raise refused(BAD_FLAGS)
        if not self._remarks and any(band.kind == REMARK for band in bands):
            raise refused(BAD_BAND)


def remark(packet: Packet, level: int) -> None:
    """Raise the drop precedence of an assured forwarding class by that many steps (RFC 2597); others stay."""
    dscp = packet.fields.get(oxm.IP_DSCP)
    if dscp is None:
        return
    group, drop = dscp >> 3, dscp >> 1 & 3
    if 1 <= group <= 4 and 1 <= drop <= 3 and not dscp & 1:
        edits.set_field(packet, oxm.IP_DSCP, group << 3 | min(3, drop + level) << 1)
