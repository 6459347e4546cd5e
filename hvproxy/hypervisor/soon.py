"""Work that was begun and goes on in turns of its own, between which everybody else has theirs (trap 41)."""
from __future__ import annotations

from collections.abc import Callable
from math import inf

Call = Callable[[float], None]


class Soon:
    """What is to be called next."""

    def __init__(self) -> None:
        self._calls: list[Call] = []

    def add(self, call: Call) -> None:
        """Have it called with the time, in a later turn."""
        self._calls.append(call)

    @property
    def deadline(self) -> float:
        """When `tick` has something to do next."""
        return -inf if self._calls else inf

    def tick(self, now: float) -> None:
        """The turn of what was added before; what that adds comes in the next."""
        calls, self._calls = self._calls, []
        for call in calls:
            call(now)
