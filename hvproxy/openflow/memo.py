"""Remembering what was computed from bytes, where tenants repeat themselves: never much, whatever they send (trap 41).

A cache that counts its items only could be filled by one tenant with messages of 64 KiB: a gigabyte each.
"""
from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Concatenate, ParamSpec, TypeVar

LONGEST = 1024
"""Bytes. What is longer is rare and computed anew."""

P = ParamSpec("P")
T = TypeVar("T")


def remembered(most: int) -> Callable[[Callable[Concatenate[bytes, P], T]], Callable[Concatenate[bytes, P], T]]:
    """A decorator for pure functions of short bytes and hashable values: the results of the last `most` are kept."""
    def decorate(function: Callable[Concatenate[bytes, P], T]) -> Callable[Concatenate[bytes, P], T]:
        known: Callable[Concatenate[bytes, P], T] = lru_cache(most)(function)  # type: ignore[assignment]

        @wraps(function)
        def call(data: bytes, /, *args: P.args, **kwargs: P.kwargs) -> T:
            return (known if len(data) <= LONGEST else function)(data, *args, **kwargs)

        return call
    return decorate
