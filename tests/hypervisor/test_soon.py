"""What is added has its turn once, and what that adds the next."""
from __future__ import annotations

from math import inf

from hvproxy.hypervisor.soon import Soon


def test_each_is_called_once_and_what_it_adds_in_the_turn_after() -> None:
    soon = Soon()
    called: list[tuple[str, float]] = []

    def first(now: float) -> None:
        called.append(("first", now))
        soon.add(lambda at: called.append(("second", at)))

    soon.add(first)
    assert soon.deadline == -inf and not called
    soon.tick(1.0)
    assert called == [("first", 1.0)] and soon.deadline == -inf
    soon.tick(2.0)
    assert called == [("first", 1.0), ("second", 2.0)] and soon.deadline == inf
