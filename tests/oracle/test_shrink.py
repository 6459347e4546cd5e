"""The shortest failing part of a script."""
from __future__ import annotations

import asyncio

import pytest

from tests.oracle.shrink import shrunk


@pytest.mark.parametrize("needed", [{0}, {99}, {3, 50}, {0, 33, 66, 99}, set(range(40, 60)), set(range(100))])
def test_what_is_left_is_what_is_needed(needed: set[int]) -> None:
    tried = 0

    async def fails(part: list[int]) -> bool:
        nonlocal tried
        tried += 1
        return needed <= set(part)

    assert asyncio.run(shrunk(list(range(100)), fails)) == sorted(needed)
    assert tried < 600


def test_of_two_ways_to_fail_one_is_left() -> None:
    async def fails(part: list[int]) -> bool:
        return 1 in part or {5, 6} <= set(part)
    assert asyncio.run(shrunk(list(range(10)), fails)) in ([1], [5, 6])
