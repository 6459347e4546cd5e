"""The labels of the fabric: one per logical port sent to from afar, one per edge a flood goes to (design 3).

There are two ranges: what a VLAN tag can carry, and what only a tunnel's key can. A label given back rests before it is
used again: a switch may still send under it for a moment (dataplane section 4). A label comes out of a block of the
edge that it leads to while there is one (label_blocks); else it is any that is free.
"""
from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable, Iterable
from math import inf
from typing import Generic, TypeVar

from hvproxy.errors import Exhausted
from hvproxy.hypervisor.label_blocks import LabelBlocks, Owner

DRAIN = 2.0
"""Seconds after the last sender's barrier: Open vSwitch renews cached flows late."""
_LOOSE = -1
"""Stands for the block of the labels that are in none."""

K = TypeVar("K", bound=Hashable)


class Labels(Generic[K]):
    """Keys -> labels out of a range, with a rest between two uses."""

    def __init__(self, first: int, last: int, kind: str = "VLAN labels", block: int = 16,
                 whose: Callable[[K], Hashable] = lambda key: None) -> None:
        """`block`: how many labels are in a block, a power of two. `whose`: what has a key, see `of`."""
        self._kind = kind
        self._range = range(first, last + 1)
        self.size = len(self._range)
        self.blocks = LabelBlocks(first, last, block)
        self._free: dict[int, OrderedDict[int, None]] = {_LOOSE: OrderedDict.fromkeys(
            label for end in (self._range[:block], self._range[-block:]) for label in end
            if self.blocks.of(label) is None)}
        """Block -> its labels that can be taken now: what was never used first, then the longest rested. A block that
        has never been lent is not there."""
        self.used: dict[K, int] = {}
        """Changed by `_give` and `_take_away` only."""
        self._whose = whose
        self._of: dict[Hashable, dict[K, None]] = {}
        self._resting: list[tuple[float, int]] = []
        self.changed: set[int] = set()
        """Owners whose blocks have changed since this was emptied."""
        self.noted: Callable[[K, int | None], None] = lambda key, label: None
        """Told of every key that has a new label, or (None) none any more."""
        self.rests: Callable[[int, float | None], None] = lambda label, until: None
        """Told of every label that rests, or (None) rests no more."""
        self.lent: Callable[[int, Owner], None] = lambda first, owner: None
        """Told of every block that is lent, by its first label."""

    def restore_block(self, first: int, owner: Owner) -> None:
        """Whose a block was before a restart. Call it before `restore` and `restore_rest`."""
        number = self.blocks.of(first)
        if number is not None and not self.blocks.lent(number):
            self._lend(number, owner)

    def restore(self, key: K, label: int) -> None:
        """The label that a key had before a restart; outside the range it has none any more. Raises ValueError where
        the label is another's."""
        if self._claim(label):
            self._give(key, label)

    def restore_rest(self, label: int, until: float) -> None:
        """A label that rested before a restart."""
        if self._claim(label):
            self._resting.append((until, label))
            self._resting.sort()

    def _claim(self, label: int) -> bool:
        if label not in self._range:
            return False
        number = self.blocks.of(label)
        if number is not None and not self.blocks.lent(number):
            self._lend(number, None)
        free = self._free[_LOOSE if number is None else number]
        if label not in free:
            raise ValueError(f"label {label} is another's")
        del free[label]
        return True

    def take(self, key: K, owner: Owner = None) -> int:
        """The label of `key`, a new one if it has none. Raises Exhausted."""
        label = self.used.get(key)
        if label is None:
            free = self._pool(owner)
            if free is None:
                raise Exhausted("fabric.vlan_range", f"all {self.size} {self._kind} are in use or at rest")
            label, _ = free.popitem(last=False)
            self._give(key, label)
            self.noted(key, label)
        return label

    def of(self, owner: Hashable) -> Collection[K]:
        """The keys of one owner that have a label."""
        return self._of.get(owner, {}).keys()

    def _give(self, key: K, label: int) -> None:
        self.used[key] = label
        self._of.setdefault(self._whose(key), {})[key] = None

    def _take_away(self, key: K) -> int | None:
        label = self.used.pop(key, None)
        if label is not None:
            owner = self._whose(key)
            del self._of[owner][key]
            if not self._of[owner]:
                del self._of[owner]
        return label

    def _pool(self, owner: Owner) -> OrderedDict[int, None] | None:
        """Where the owner's next label comes from."""
        for number in (_LOOSE, *self.blocks.owned(None), *self.blocks.owned(owner)):
            if self._free[number]:
                return self._free[number]
        found = self.blocks.best(owner)
        if found is None:  # then one of which nothing is used
            found = next((number for number, free in self._free.items() if len(free) == self.blocks.size), None)
        if found is not None:
            self._lend(found, owner)
            return self._free[found]
        return next((free for free in self._free.values() if free), None)

    def _lend(self, number: int, owner: Owner) -> None:
        labels = self.blocks.labels(number)
        before = self.blocks.owner(labels.start)
        self.blocks.lend(number, owner)
        self._free[number] = OrderedDict.fromkeys(labels)
        self.changed.update(each for each in (before, owner) if each is not None)
        self.lent(labels.start, owner)

    @property
    def free(self) -> int:
        """How many can be taken now."""
        return self.size - len(self.used) - len(self._resting)

    def room(self, keys: Iterable[K]) -> bool:
        """Whether all of `keys` can have a label."""
        return sum(key not in self.used for key in keys) <= self.free

    def give_back(self, key: K, now: float) -> None:
        """Nothing sends under the label of `key` any more."""
        label = self._take_away(key)
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
            number = self.blocks.of(label)
            self._free[_LOOSE if number is None else number][label] = None
            self.rests(label, None)
        return len(self._resting) < resting
