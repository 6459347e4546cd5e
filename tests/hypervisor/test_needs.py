"""Which edges send to which, counted over logical switches."""
from __future__ import annotations

from hvproxy.hypervisor.needs import Needs


def test_an_edge_is_changed_when_the_first_sends_to_it_and_when_the_last_does_no_more() -> None:
    needs = Needs()
    assert needs.become(1, (1, 2, 3), (1, 2, 3)) == {1, 2, 3}
    assert needs.become(2, (2, 3), (2, 3)) == set(), "they send to each other already"
    assert needs.become(3, (1, 4), (1, 4)) == {1, 4}
    assert set(needs.sources(1)) == {2, 3, 4} and set(needs.destinations) == {1, 2, 3, 4}
    assert needs.become(1, (), ()) == {1, 2, 3}, "2 and 3 are sent to by each other only"
    assert set(needs.sources(1)) == {4} and set(needs.sources(2)) == {3}
    assert needs.become(3, (), ()) == {1, 4}
    assert set(needs.destinations) == {2, 3} and not needs.sources(4)


def test_what_stays_changes_nothing() -> None:
    needs = Needs()
    needs.become(1, (1, 2, 3), (1, 2))
    assert needs.become(1, (1, 2, 3), (1, 2)) == set()
    assert needs.become(1, (1, 2, 4), (1, 2)) == {1, 2}
    assert needs.become(1, (1, 2, 4), (1, 4)) == {2, 4}
    assert set(needs.sources(4)) == {1, 2} and not needs.sources(2)
