"""The numbers of a logical switch's entries, by which rules and counters are told apart (model.layout, the cookie).

They are handed out by blocks, of which the store knows the newest: no number of before a restart comes again soon after
it. Number 0 and those from PLACE on are never an entry's. Knows no entry, only which numbers are in use.
"""
from __future__ import annotations

from collections.abc import Callable, Container
from typing import Final

from hvproxy.model.layout import PLACE

LAST: Final = PLACE - 1
BLOCK: Final = 1 << 16


class EntryNumbers:
    """One after another, and from 1 on again behind the last."""

    def __init__(self, in_use: Container[int], first: int = 1) -> None:
        self._in_use = in_use
        self._next = first
        self.block_begun: Callable[[], None] = lambda: None
        """Told when a block of numbers is begun."""

    @property
    def block(self) -> int:
        """The block of numbers that new entries have."""
        return self._next // BLOCK

    def skip_blocks(self, stored: int) -> None:
        """Begin after the blocks that may have been begun when `stored` was noted as the newest."""
        number = (stored + 2) * BLOCK
        self._next = number if number < LAST else 1

    def take(self) -> int:
        """The next number that is not in use."""
        number = self._next
        while number in self._in_use:
            number = _after(number)
        block = self.block
        self._next = _after(number)
        if self.block != block:
            self.block_begun()
        return number


def _after(number: int) -> int:
    return number + 1 if number < LAST else 1
