"""What an emulated switch chooses among the buckets of a group."""
from __future__ import annotations

from collections import Counter

import pytest

from tools.emulator.decode import Bucket
from tools.emulator.groups import ADD, FAST_FAILOVER, SELECT, GroupTable
from tests.tools.controller import ANY

FLOWS = [number.to_bytes(4, "big") for number in range(2000)]


def choices(*buckets: tuple[int, int], down: tuple[int, ...] = ()) -> list[int | None]:
    """The bucket of every flow in a SELECT group of buckets of (weight, port to watch)."""
    table = GroupTable(lambda: 0.0, lambda port: port not in down)
    table.modify(ADD, SELECT, 1, [Bucket(weight, watch, ANY, (), b"") for weight, watch in buckets])
    return [table.hashed(table.groups[1], flow) for flow in FLOWS]


def test_every_switch_chooses_alike_and_equal_weights_get_equal_shares() -> None:
    chosen = choices((1, ANY), (1, ANY), (1, ANY))
    assert chosen == choices((9, ANY), (9, ANY), (9, ANY))
    assert {index: round(3 * count / len(FLOWS), 1) for index, count in Counter(chosen).items()} == {0: 1, 1: 1, 2: 1}


def test_only_the_flows_of_a_dead_bucket_move() -> None:
    before, after = (choices((1, 1), (1, 2), (1, 3), down=down) for down in ((), (2,)))
    assert set(after) == {0, 2}
    assert all(now == was for was, now in zip(before, after, strict=True) if was != 1)


@pytest.mark.parametrize("buckets", [(), ((0, ANY),), ((5, 2), (0, ANY))])
def test_there_may_be_none_to_choose(buckets: tuple[tuple[int, int], ...]) -> None:
    assert set(choices(*buckets, down=(2,))) == {None}


def test_the_first_live_bucket_is_used_where_a_group_fails_over() -> None:
    table = GroupTable(lambda: 0.0, lambda port: port == 3)
    table.modify(ADD, FAST_FAILOVER, 1, [Bucket(0, port, ANY, (), b"") for port in (2, 3, 3)])
    table.modify(ADD, FAST_FAILOVER, 2, [Bucket(0, ANY, group, (), b"") for group in (9, 1)])
    assert [table.first_live(table.groups[number]) for number in (1, 2)] == [1, 1]
