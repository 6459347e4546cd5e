"""Numbers of entries come by blocks, and none comes twice while it is in use."""
from __future__ import annotations

from hvproxy.hypervisor.entry_numbers import BLOCK, LAST, EntryNumbers
from hvproxy.model.layout import PLACE


def test_numbers_wrap_past_those_in_use() -> None:
    numbers = EntryNumbers((), PLACE - 2)
    assert [numbers.take() for _ in range(3)] == [PLACE - 2, PLACE - 1, 1]
    again = EntryNumbers({1}, PLACE - 1)
    assert [again.take() for _ in range(2)] == [PLACE - 1, 2]


def test_it_is_told_when_a_block_is_begun() -> None:
    numbers = EntryNumbers((), BLOCK - 2)
    begun: list[int] = []
    numbers.block_begun = lambda: begun.append(numbers.block)
    assert (numbers.take(), begun, numbers.block) == (BLOCK - 2, [], 0)
    assert (numbers.take(), begun, numbers.block) == (BLOCK - 1, [1], 1)
    assert (numbers.take(), begun) == (BLOCK, [1])


def test_after_a_restart_no_number_of_the_newest_block_or_the_one_behind_it_comes() -> None:
    numbers = EntryNumbers(())
    numbers.skip_blocks(7)
    assert numbers.take() == 9 * BLOCK
    for stored in (LAST // BLOCK, LAST // BLOCK - 1):
        numbers.skip_blocks(stored)
        assert numbers.take() == 1
