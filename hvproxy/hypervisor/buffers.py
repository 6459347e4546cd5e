"""Packets that a logical switch keeps for its controllers, who are told their beginning and a number (trap 13).

Only where the operator wants it (`buffers`), for Open vSwitch keeps none since 2.7. As OpenFlow 1.3.5 has it (sections
7.3.4.1, 7.3.7 and 7.4.1) a number is good for one use: then it is empty. It is unknown once its packet was too old, or
the oldest when there was no room for another. All controllers of the logical switch are told the same number, and no
number means anything on another one. Knows neither sessions nor actions.
"""
from __future__ import annotations

from math import inf
from typing import Final, NamedTuple

from hvproxy.errors import Refused
from hvproxy.openflow.constants import NO_BUFFER, of13

LIFETIME: Final = 30.0
"""Seconds: a controller that has not answered by then will not."""


class Packet(NamedTuple):
    """A packet that waits."""

    in_port: int
    data: bytes
    until: float


class Buffers:
    """At most so many packets."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._held: dict[int, Packet] = {}
        """By number, the oldest first."""
        self._used: dict[int, None] = {}
        """Numbers that were used lately, the first one first."""
        self._last = 0

    def keep(self, in_port: int, data: bytes, now: float) -> int:
        """The number under which a packet is kept from now on."""
        if len(self._held) == self.most:
            del self._held[next(iter(self._held))]
        self._last = self._last % (NO_BUFFER - 1) + 1
        self._held[self._last] = Packet(in_port, data, now + LIFETIME)
        return self._last

    def check(self, number: int) -> None:
        """Raises Refused unless a packet is kept under that number."""
        if number in self._used:
            raise Refused(of13.OFPET_BAD_REQUEST, of13.OFPBRC_BUFFER_EMPTY, "the buffer has been used")
        if number not in self._held:
            raise Refused(of13.OFPET_BAD_REQUEST, of13.OFPBRC_BUFFER_UNKNOWN, "no such buffer")

    def take(self, number: int) -> Packet:
        """The packet under that number, which is not kept any more. Raises Refused as `check`."""
        self.check(number)
        if len(self._used) == self.most:
            del self._used[next(iter(self._used))]
        self._used[number] = None
        return self._held.pop(number)

    @property
    def deadline(self) -> float:
        """When `tick` has something to do next."""
        return next(packet.until for packet in self._held.values()) if self._held else inf

    def tick(self, now: float) -> None:
        """Forget packets that are too old."""
        while self.deadline <= now:
            del self._held[next(iter(self._held))]


NONE: Final = Buffers(0)
"""Of a switch that keeps no packets: every number is unknown."""
