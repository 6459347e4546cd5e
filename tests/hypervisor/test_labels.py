from math import inf

import pytest

from hvproxy.errors import Exhausted
from hvproxy.hypervisor.labels import DRAIN, Labels


def test_every_key_has_one_label_of_the_range_and_keeps_it() -> None:
    labels: Labels[str] = Labels(5, 7)
    taken = [labels.take(key) for key in "abc"]
    assert sorted(taken) == [5, 6, 7]
    assert [labels.take(key) for key in "abc"] == taken


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
    labels: Labels[str] = Labels(4096, (1 << 23) - 1, "labels of tunnels")
    assert labels.size == labels.free == (1 << 23) - 4096
    assert [labels.take("a"), labels.take("b")] == [4096, 4097] and labels.free == labels.size - 2


def test_running_out_says_of_what() -> None:
    labels: Labels[str] = Labels(1, 1, "labels of tunnels")
    labels.take("a")
    with pytest.raises(Exhausted, match="all 1 labels of tunnels are in use or at rest"):
        labels.take("b")
