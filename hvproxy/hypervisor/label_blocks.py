"""Aligned blocks of labels, lent to the edges that the labels lead to: a switch on the way needs a rule for each
aligned run of blocks, however many labels, and tenants, are behind it.

Knows which block is whose, not which labels are in use. An owner's blocks are chosen next to each other where there is
room, and those of different owners far apart.
"""
from __future__ import annotations

from collections.abc import Iterator

Owner = int | None
"""A datapath id; None: nobody's, as labels of before there were blocks."""


class LabelBlocks:
    """The blocks of a range of labels."""

    def __init__(self, first: int, last: int, size: int) -> None:
        """`size`: labels in a block, a power of two. What of the range makes no whole block is in none."""
        self.size = size
        self._whole = range(-(-first // size), (last + 1) // size)
        self._levels = range(self._whole.stop.bit_length() + 1)
        self._owners: dict[int, Owner] = {}
        self._owned: dict[Owner, set[int]] = {}

    def of(self, label: int) -> int | None:
        """The block that a label is in, if any."""
        number = label // self.size
        return number if number in self._whole else None

    def owner(self, label: int) -> Owner:
        """Whom the block of a label is lent to."""
        return self._owners.get(label // self.size)

    def owned(self, owner: Owner) -> list[int]:
        """The blocks of an owner, ascending."""
        return sorted(self._owned.get(owner, ()))

    def labels(self, number: int) -> range:
        """The labels of a block."""
        return range(number * self.size, (number + 1) * self.size)

    def lent(self, number: int) -> bool:
        return number in self._owners

    def lend(self, number: int, owner: Owner) -> None:
        """A block is the owner's now, and nobody else's."""
        if number in self._owners:
            self._owned[self._owners[number]].discard(number)
        self._owners[number] = owner
        self._owned.setdefault(owner, set()).add(number)

    def runs(self, owner: int) -> list[range]:
        """The labels of all blocks of an owner, as the fewest runs that each match under one mask."""
        found = []
        now, size = set(self._owned.get(owner, ())), self.size
        while now:
            pairs = {number >> 1 for number in now if number ^ 1 in now}
            found += [range(number * size, (number + 1) * size) for number in now if number >> 1 not in pairs]
            now, size = pairs, size * 2
        return sorted(found, key=lambda run: run.start)

    def best(self, owner: Owner) -> int | None:
        """The block to lend to an owner next: beside its own where nobody else is, else far from everybody's. None when
        all are lent."""
        own = self._owned.get(owner, set())
        for level in self._levels:
            for region in sorted({number >> level for number in own}):
                free = self._free(region, level, own)
                if free is not None:
                    return free
        for level in reversed(self._levels):
            for region in range(self._whole.start >> level, (self._whole.stop >> level) + 1):
                free = self._free(region, level, set())
                if free is not None:
                    return free
        return None

    def _free(self, region: int, level: int, own: set[int]) -> int | None:
        """The first block that is not lent in a region that has whole blocks only, and none of anybody but `own`."""
        members = range(region << level, (region + 1) << level)
        if members.start < self._whole.start or members.stop > self._whole.stop:
            return None
        others: Iterator[int] = (number for number in members if number not in own)
        found: int | None = None
        for number in others:
            if number in self._owners:
                return None
            found = number if found is None else found
        return found
