"""Meters on the wire: the meter-mod as a value, bands walked and built, and what multipart messages say of meters.

Knows nothing of what a meter does to a packet; every length is assumed proven by the guard. A DELETE's bands, and those
of a meter-mod with both units or an unknown command, are not proven: they must not be walked.
"""
from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from struct import Struct
from typing import Final, TypeAlias

from hvproxy.openflow.constants import of13

Wire: TypeAlias = bytes
"""For annotations next to a field that OpenFlow calls `bytes`."""

_METER_MOD = Struct("!4xIHHI")
_BAND = Struct("!HHII")
_STATS = Struct("!IH6xIQQII")
_BAND_STATS = Struct("!QQ")
_CONFIG = Struct("!HHI")
_FEATURES = Struct("!IIIBB2x")

BOTH_UNITS: Final[int] = of13.OFPMF_KBPS | of13.OFPMF_PKTPS


@dataclass(frozen=True, slots=True)
class MeterMod:
    """struct ofp_meter_mod (OF 1.3.5 section 7.3.4.4)."""

    xid: int
    command: int
    """OFPMC_*."""
    flags: int
    """OFPMF_*."""
    meter_id: int
    bands: bytes
    """Wire bytes of all bands, in order."""


@dataclass(frozen=True, slots=True)
class Band:
    """struct ofp_meter_band_header and what follows it (OF 1.3.5 section 7.3.4.4)."""

    type: int
    """OFPMBT_*."""
    rate: int
    """Kilobits or packets a second."""
    burst: int
    """Kilobits or packets; 0 stands for what the rate lets through in a second."""
    rest: bytes = bytes(4)
    """Of DSCP_REMARK the precedence level and padding; of DROP padding."""

    def encode(self) -> bytes:
        return _BAND.pack(self.type, _BAND.size + len(self.rest), self.rate, self.burst) + self.rest


def walk_bands(data: bytes) -> tuple[Band, ...]:
    """The bands of a meter-mod or of a meter's configuration, in order."""
    bands = []
    offset, end = 0, len(data)
    while offset < end:
        kind, length, rate, burst = _BAND.unpack_from(data, offset)
        bands.append(Band(kind, rate, burst, data[offset + _BAND.size:offset + length]))
        offset += length
    return tuple(bands)


def encode_bands(bands: Iterable[Band]) -> bytes:
    return b"".join(band.encode() for band in bands)


def decode_meter_mod(message: bytes) -> MeterMod:
    xid, command, flags, meter_id = _METER_MOD.unpack_from(message)
    return MeterMod(xid, command, flags, meter_id, message[_METER_MOD.size:])


@dataclass(frozen=True, slots=True)
class MeterStats:
    """struct ofp_meter_stats (OF 1.3.5 section 7.3.5.12)."""

    meter_id: int
    flows: int
    packets: int
    bytes: int
    duration_sec: int
    duration_nsec: int
    bands: tuple[tuple[int, int], ...]
    """(packets, bytes) that each band acted on, in order."""

    def encode(self) -> Wire:
        return _STATS.pack(
            self.meter_id, _STATS.size + _BAND_STATS.size * len(self.bands), self.flows, self.packets, self.bytes,
            self.duration_sec, self.duration_nsec) + b"".join(_BAND_STATS.pack(*counts) for counts in self.bands)


def decode_meter_stats(body: bytes) -> list[MeterStats]:
    records = []
    offset, end = 0, len(body)
    while offset < end:
        meter_id, length, flows, packets, octets, seconds, nanoseconds = _STATS.unpack_from(body, offset)
        bands = tuple(_BAND_STATS.iter_unpack(body[offset + _STATS.size:offset + length]))
        records.append(MeterStats(meter_id, flows, packets, octets, seconds, nanoseconds, bands))
        offset += length
    return records


@dataclass(frozen=True, slots=True)
class MeterConfig:
    """struct ofp_meter_config (OF 1.3.5 section 7.3.5.13)."""

    flags: int
    """OFPMF_*."""
    meter_id: int
    bands: bytes
    """Wire bytes of all bands, in order."""

    def encode(self) -> bytes:
        return _CONFIG.pack(_CONFIG.size + len(self.bands), self.flags, self.meter_id) + self.bands


def decode_meter_config(body: bytes) -> list[MeterConfig]:
    records = []
    offset, end = 0, len(body)
    while offset < end:
        length, flags, meter_id = _CONFIG.unpack_from(body, offset)
        records.append(MeterConfig(flags, meter_id, body[offset + _CONFIG.size:offset + length]))
        offset += length
    return records


@dataclass(frozen=True, slots=True)
class MeterFeatures:
    """struct ofp_meter_features (OF 1.3.5 section 7.3.5.14)."""

    max_meter: int
    """How many meters there may be."""
    band_types: int
    """Bit n: bands of type n are offered."""
    capabilities: int
    """OFPMF_* that are offered."""
    max_bands: int
    """Of one meter."""
    max_color: int

    def encode(self) -> bytes:
        return _FEATURES.pack(self.max_meter, self.band_types, self.capabilities, self.max_bands, self.max_color)

    def both(self, other: MeterFeatures) -> MeterFeatures:
        """What two switches can do alike."""
        return MeterFeatures(
            min(self.max_meter, other.max_meter), self.band_types & other.band_types,
            self.capabilities & other.capabilities, min(self.max_bands, other.max_bands),
            min(self.max_color, other.max_color))


NO_METERS: Final = MeterFeatures(0, 0, 0, 0, 0)


def decode_meter_features(body: bytes) -> MeterFeatures:
    return MeterFeatures(*_FEATURES.unpack_from(body))
