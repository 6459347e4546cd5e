"""Which physical meter ids are in use: one allocation for all logical switches.

The lowest free one is always handed out, because a switch has its ids from 1 to a number of its own. Knows no switch.
"""
from __future__ import annotations

from heapq import heapify, heappop, heappush

from hvproxy.model.layout import LAST_METER


class MeterIds:
    """Physical meter ids."""

    def __init__(self) -> None:
        self._next = 1
        self._free: list[int] = []

    def allot(self, most: int) -> int | None:
        """An id that is free and not above `most`; None when there is none."""
        lowest = self._free[0] if self._free else self._next
        if lowest > min(most, LAST_METER):
            return None
        if self._free:
            return heappop(self._free)
        self._next += 1
        return lowest

    def take(self, meter_id: int) -> None:
        """It is in use since before a restart. Raises ValueError where it is in use already."""
        while self._next <= min(meter_id, LAST_METER):
            heappush(self._free, self._next)
            self._next += 1
        self._free.remove(meter_id)
        heapify(self._free)

    def release(self, meter_id: int) -> None:
        """It is in use no more."""
        heappush(self._free, meter_id)
