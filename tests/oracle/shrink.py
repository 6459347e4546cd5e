"""The shortest part of a list that still fails, by delta debugging: cut away ever smaller pieces while it fails."""
from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def shrunk(items: list[T], fails: Callable[[list[T]], Awaitable[bool]]) -> list[T]:
    """A part of `items`, in order, which fails and of which no single item can be left out."""
    size = max(1, len(items) // 2)
    while True:
        start, cut = 0, False
        while start < len(items):
            without = items[:start] + items[start + size:]
            if without and await fails(without):
                items, cut = without, True
            else:
                start += size
        if size == 1 and not cut:
            return items
        if not cut or size > len(items):
            size = max(1, min(size, len(items)) // 2)
