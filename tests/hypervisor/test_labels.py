from math import inf

import pytest

from hvproxy.errors import Exhausted
from hvproxy.hypervisor.labels import DRAIN, Labels


def test_every_key_has_one_label_of_the_range_and_keeps_it() -> None:
    labels: Labels[str] = Labels(5, 7)
    taken = [labels.take(key) for key in "abc"]
    assert sorted(taken) == [5, 6, 7]
    assert [labels.take(key) for key in "abc"] == taken


def test_the_keys_of_one_owner_are_those_that_have_a_label() -> None:
    labels: Labels[tuple[int, str]] = Labels(5, 15, whose=lambda key: key[0])
    labels.restore((1, "a"), 7)
    for key in ((1, "b"), (2, "a")):
        labels.take(key)
    assert list(labels.of(1)) == [(1, "a"), (1, "b")] and list(labels.of(2)) == [(2, "a")]
    labels.give_back((1, "a"), 0.0)
    labels.give_back((2, "a"), 0.0)
    assert list(labels.of(1)) == [(1, "b")] and not labels.of(2)


def test_when_all_are_in_use_nobody_gets_one() -> None:
    labels: Labels[str] = Labels(5, 5)
    labels.take("a")
    with pytest.raises(Exhausted):
        labels.take("b")
    assert labels.used == {"a": 5}


def test_a_label_given_back_rests_before_it_is_used_again() -> None:
    labels: Labels[str] = Labels(5, 5)
    labels.take("a")
    labels.give_back("a", 10.0)
    assert labels.deadline == 10.0 + DRAIN
    assert not labels.tick(10.0 + DRAIN - 0.001)
    with pytest.raises(Exhausted):
        labels.take("b")
    assert labels.tick(10.0 + DRAIN)
    assert labels.take("b") == 5
    assert labels.deadline == inf


def test_the_longest_unused_label_is_used_last() -> None:
    labels: Labels[str] = Labels(5, 7)
    first = labels.take("a")
    labels.give_back("a", 0.0)
    labels.tick(DRAIN)
    assert first not in (labels.take("b"), labels.take("c"))


def test_room_counts_what_keys_have_already() -> None:
    labels: Labels[str] = Labels(5, 6)
    labels.take("a")
    assert labels.room(["a", "b"])
    assert not labels.room(["b", "c"])


def test_giving_back_what_was_never_taken_does_nothing() -> None:
    labels: Labels[str] = Labels(5, 6)
    labels.give_back("a", 0.0)
    assert not labels.tick(100.0)
    assert labels.room(["a", "b"])


def test_a_long_range_costs_nothing_and_is_handed_out_from_its_start() -> None:
    labels: Labels[str] = Labels(4096, (1 << 23) - 1, "labels of tunnels", 4096)
    assert labels.size == labels.free == (1 << 23) - 4096
    first = labels.take("a")
    assert labels.take("b") == first + 1 and labels.free == labels.size - 2 and first % 4096 == 0


def test_running_out_says_of_what() -> None:
    labels: Labels[str] = Labels(1, 1, "labels of tunnels")
    labels.take("a")
    with pytest.raises(Exhausted, match="all 1 labels of tunnels are in use or at rest"):
        labels.take("b")


def test_labels_that_lead_to_one_edge_are_of_blocks_of_that_edge() -> None:
    labels: Labels[str] = Labels(16, 127, block=16)
    lent: list[tuple[int, int | None]] = []
    labels.lent = lambda first, owner: lent.append((first, owner))
    for n in range(20):
        labels.take(f"a{n}", 1)
        labels.take(f"b{n}", 2)
    assert all(labels.blocks.owner(label) == (1 if key[0] == "a" else 2) for key, label in labels.used.items())
    assert len(lent) == 4 and labels.changed == {1, 2}


def test_what_is_in_no_block_is_taken_first_and_any_label_in_the_end() -> None:
    labels: Labels[str] = Labels(14, 50, block=16)
    assert [labels.take(f"a{n}", 1) for n in range(5)] == [14, 15, 48, 49, 50]
    taken = [labels.take(f"b{n}", n % 2) for n in range(32)]
    assert sorted(taken) == list(range(16, 48)) and not labels.free
    strangers: Labels[str] = Labels(16, 31, block=16)
    strangers.take("a", 1)
    assert strangers.take("b", 2) == 17 and strangers.blocks.owner(17) == 1


def test_a_block_of_which_nothing_is_used_is_lent_anew_when_there_is_no_other() -> None:
    labels: Labels[str] = Labels(16, 47, block=16)
    one, other = labels.take("a", 1), labels.take("b", 2)
    labels.give_back("a", 0.0)
    labels.changed.clear()
    labels.tick(DRAIN)
    assert labels.blocks.owner(labels.take("c", 3)) == 3 == labels.blocks.owner(one)
    assert labels.changed == {1, 3} and labels.used["b"] == other


def test_after_a_restart_blocks_and_labels_are_whose_they_were() -> None:
    before: Labels[str] = Labels(16, 4079, block=16)
    lent: dict[int, int | None] = {}
    before.lent = lambda first, owner: lent.update({first: owner})
    for n in range(50):
        before.take(f"{n}", n % 3)
    after: Labels[str] = Labels(16, 4079, block=16)
    for first, owner in lent.items():
        after.restore_block(first, owner)
    for key, label in sorted(before.used.items(), key=lambda each: -each[1]):
        after.restore(key, label)
    assert after.used == before.used and after.free == before.free
    assert all(after.blocks.runs(owner) == before.blocks.runs(owner) for owner in range(3))
    assert [after.take("x", 1), after.take("y", 7)] == [before.take("x", 1), before.take("y", 7)]
    with pytest.raises(ValueError, match="another's"):
        after.restore("z", after.used["x"])


def test_labels_of_before_there_were_blocks_are_in_nobodys() -> None:
    labels: Labels[str] = Labels(16, 4079, block=16)
    labels.restore("a", 20)
    assert labels.blocks.owner(20) is None and labels.blocks.owned(None) == [1]
    assert labels.take("b", 1) == 16, "which are used up first"
