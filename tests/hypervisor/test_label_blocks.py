"""Blocks of labels: an owner's are next to each other, and match as few runs."""
from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hvproxy.hypervisor.label_blocks import LabelBlocks


def lend(blocks: LabelBlocks, owner: int, times: int = 1) -> None:
    for _ in range(times):
        number = blocks.best(owner)
        assert number is not None and not blocks.lent(number)
        blocks.lend(number, owner)


def test_only_whole_blocks_are_lent() -> None:
    blocks = LabelBlocks(2, 50, 16)
    assert [blocks.of(label) for label in (2, 15, 16, 47, 48)] == [None, None, 1, 2, None]
    lend(blocks, 7, 2)
    assert blocks.best(7) is None and blocks.owned(7) == [1, 2] and blocks.owner(31) == 7
    assert blocks.owner(15) is blocks.owner(48) is None


def test_a_range_too_short_for_a_block_has_none() -> None:
    blocks = LabelBlocks(2, 20, 16)
    assert blocks.best(1) is None and blocks.runs(1) == []


def test_owners_that_take_turns_have_few_runs_each() -> None:
    blocks = LabelBlocks(0, 4095, 16)
    for _ in range(16):
        for owner in range(8):
            lend(blocks, owner)
    assert all(len(blocks.owned(owner)) == 16 and len(blocks.runs(owner)) == 1 for owner in range(8))


def test_when_its_neighbours_are_lent_an_owner_gets_one_elsewhere() -> None:
    blocks = LabelBlocks(0, 63, 16)
    for number, owner in enumerate((1, 2, 3)):
        blocks.lend(number, owner)
    lend(blocks, 1)
    assert blocks.owned(1) == [0, 3] and blocks.runs(1) == [range(0, 16), range(48, 64)]
    assert blocks.best(1) is None


def test_a_block_that_is_lent_to_another_is_the_first_ones_no_more() -> None:
    blocks = LabelBlocks(0, 63, 16)
    blocks.lend(2, 1)
    blocks.lend(2, None)
    assert blocks.owned(1) == [] and blocks.owned(None) == [2] and blocks.runs(1) == []


@given(st.lists(st.integers(0, 4), max_size=70))
def test_the_runs_of_an_owner_are_its_blocks_and_each_matches_under_one_mask(owners: list[int]) -> None:
    blocks = LabelBlocks(5, 1000, 16)
    for owner in owners:
        number = blocks.best(owner)
        if number is None:
            assert sum(len(blocks.owned(each)) for each in range(5)) == 61
            continue
        blocks.lend(number, owner)
    for owner in range(5):
        runs = blocks.runs(owner)
        assert [label for run in runs for label in run] == [
            label for number in blocks.owned(owner) for label in blocks.labels(number)]
        assert all(len(run) & len(run) - 1 == 0 and run.start % len(run) == 0 for run in runs)
