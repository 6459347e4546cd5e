"""The labels of the fabric: one per logical port sent to from afar, one per edge a flood goes to (design 3).

There are two ranges: what a VLAN tag can carry, and what only a tunnel's key can. A label given back rests before it is
used again: a switch may still send under it for a moment (dataplane section 4).
"""
from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable
from math import inf
from typing import Generic, TypeVar

from hvproxy.errors import Exhausted

DRAIN = 2.0
"""Seconds after the last sender's barrier: Open vSwitch renews cached flows late."""

K = TypeVar("K", bound=Hashable)


class Labels(Generic[K]):
    """Keys -> labels out of a range, with a rest between two uses."""

    def __init__(self, first: int, last: int, kind: str = "VLAN labels") -> None:
        self._kind = kind
        self._fresh = first
        """It and all behind it up to the last were never used."""
        self._last = last
        self._rested: deque[int] = deque()
        self.size = last - first + 1
        self.used: dict[K, int] = {}
        self._resting: list[tuple[float, int]] = []
        self.noted: Callable[[K, int | None], None] = lambda key, label: None
        """Told of every key that has a new label, or (None) none any more."""
        self.rests: Callable[[int, float | None], None] = lambda label, until: None
        """Told of every label that rests, or (None) rests no more."""

    def restore(self, key: K, label: int) -> None:
        """The label that a key had before a restart; outside the range it has none any more. Call it in ascending order
        of labels, with `restore_rest`. Raises ValueError where the label is another's."""
        if self._claim(label):
            self.used[key] = label

    def restore_rest(self, label: int, until: float) -> None:
        """A label that rested before a restart."""
        if self._claim(label):
            self._resting.append((until, label))
            self._resting.sort()

    def _claim(self, label: int) -> bool:
        if not self._last - self.size < label <= self._last:
            return False
        if label < self._fresh:
            raise ValueError(f"label {label} is another's")
        self._rested.extend(range(self._fresh, label))
        self._fresh = label + 1
        return True

    def take(self, key: K) -> int:
        """The label of `key`, a new one if it has none. Raises Exhausted."""
        label = self.used.get(key)
        if label is None:
            if not self.free:
                raise Exhausted("fabric.vlan_range", f"all {self.size} {self._kind} are in use or at rest")
            if self._fresh <= self._last:
                label = self._fresh
                self._fresh += 1
            else:
                label = self._rested.popleft()
            self.used[key] = label
            self.noted(key, label)
        return label

    @property
    def free(self) -> int:
        """How many can be taken now."""
        return self._last + 1 - self._fresh + len(self._rested)

    def room(self, keys: Iterable[K]) -> bool:
        """Whether all of `keys` can have a label."""
        return sum(key not in self.used for key in keys) <= self.free

    def give_back(self, key: K, now: float) -> None:
        """Nothing sends under the label of `key` any more."""
        label = self.used.pop(key, None)
        if label is not None:
            self._resting.append((now + DRAIN, label))
            self.noted(key, None)
            self.rests(label, now + DRAIN)

    @property
    def deadline(self) -> float:
        return self._resting[0][0] if self._resting else inf

    def tick(self, now: float) -> bool:
        """Make rested labels available, the longest rested first; whether there were any."""
        resting = len(self._resting)
        while self._resting and self._resting[0][0] <= now:
            label = self._resting.pop(0)[1]
            self._rested.append(label)
            self.rests(label, None)
        return len(self._resting) < resting
