"""What is ordered: drains of one logical switch and of all, told to the ledger as they begin and end."""
from __future__ import annotations

from hvproxy.hypervisor.drains import ALL, Drains


def test_a_drain_holds_for_all_or_for_one_logical_switch() -> None:
    drains = Drains(lambda key, force: None)
    assert not drains and not drains.shunned
    drains.begin((1, "red"), False)
    drains.begin((2, ALL), True)
    assert drains and drains.keys == [(1, "red"), (2, ALL)] and drains.shunned == {2}
    assert drains.leaves("red", 1) and not drains.leaves("blue", 1) and drains.leaves("blue", 2)
    assert not drains.banned("red", 1) and drains.banned("red", 2)
    assert (drains.force((1, "red")), drains.force((2, ALL)), drains.force((1, ALL))) == (False, True, None)


def test_what_changes_is_noted_once_and_counts_as_not_over() -> None:
    noted: list[object] = []
    drains = Drains(lambda key, force: noted.append((key, force)))
    key = 1, ALL
    drains.begin(key, False)
    drains.quiet_since[key] = 5.0
    drains.over.add(key)
    drains.begin(key, False)
    assert key in drains.over and noted == [(key, False)]
    drains.begin(key, True)
    assert not drains.over and not drains.quiet_since
    assert drains.end(key) and not drains.end(key)
    assert noted == [(key, False), (key, True), (key, None)] and not drains
