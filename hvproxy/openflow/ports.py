"""Ports as OpenFlow 1.3 describes them: struct ofp_port as a value, read and written.

Knows nothing of logical or physical ports, nor of the messages a description travels in.
"""
from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import Final

from hvproxy.openflow.constants import of13

FULL_DUPLEX: Final[dict[int, int]] = {
    10: of13.OFPPF_10MB_FD, 100: of13.OFPPF_100MB_FD, 1000: of13.OFPPF_1GB_FD, 10_000: of13.OFPPF_10GB_FD,
    40_000: of13.OFPPF_40GB_FD, 100_000: of13.OFPPF_100GB_FD, 1_000_000: of13.OFPPF_1TB_FD}
"""Mb/s -> what says so in the features of a port."""
_RATES: Final = [(bit, rate) for rate, bit in FULL_DUPLEX.items()] + [
    (of13.OFPPF_10MB_HD, 10), (of13.OFPPF_100MB_HD, 100), (of13.OFPPF_1GB_HD, 1000)]
_PORT = Struct("!I4x6s2x16sIIIIIIII")
PORT_SIZE = _PORT.size


def read_text(field: bytes) -> str:
    """The text of a fixed-size field: up to its first NUL; bytes that are not UTF-8 become U+FFFD."""
    return field.partition(b"\0")[0].decode("utf-8", "replace")


def write_text(text: str, size: int) -> bytes:
    """The text as the content of a field of `size` bytes: cut between characters so that a NUL still follows
    (OF 1.3.5 section 7.2.1: names are null-terminated). The padding is left to the struct's format."""
    encoded = text.encode("utf-8", "replace")
    if len(encoded) < size:
        return encoded
    return encoded[:size - 1].decode("utf-8", "ignore").encode("utf-8")


@dataclass(frozen=True, slots=True)
class PortDesc:
    """struct ofp_port (OF 1.3.5 section 7.2.1)."""

    number: int
    hw_addr: bytes
    """Six bytes."""
    name: str
    config: int = 0
    """OFPPC_*."""
    state: int = 0
    """OFPPS_*."""
    curr: int = 0
    """OFPPF_*, as the three that follow."""
    advertised: int = 0
    supported: int = 0
    peer: int = 0
    curr_speed: int = 0
    """In kbit/s, as max_speed."""
    max_speed: int = 0

    @property
    def speed(self) -> int:
        """In Mb/s, as `curr_speed` says or else the fastest rate in `curr`; 0 where neither says."""
        return self.curr_speed // 1000 or max((rate for bit, rate in _RATES if self.curr & bit), default=0)

    @staticmethod
    def decode(data: bytes, offset: int = 0) -> PortDesc:
        number, hw_addr, name, *rest = _PORT.unpack_from(data, offset)
        return PortDesc(number, hw_addr, read_text(name), *rest)

    def encode(self) -> bytes:
        return _PORT.pack(
            self.number, self.hw_addr, write_text(self.name, 16), self.config, self.state, self.curr,
            self.advertised, self.supported, self.peer, self.curr_speed, self.max_speed,
        )


def decode_ports(body: bytes) -> list[PortDesc]:
    """The records of one port description reply (OF 1.3.5 section 7.3.5.7)."""
    return [PortDesc.decode(body, offset) for offset in range(0, len(body), PORT_SIZE)]
