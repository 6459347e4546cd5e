"""What two systems gave in a round, held against each other, and their differences in words."""
from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tests.oracle import deviations
from tests.oracle.telling import Item

BRIDGE = "bridge"
TOLERANCE = 1.6
"""Seconds by which ages may differ, besides those for which a switch has not answered: it does what it is told at any
time until it confirms that."""
Part = dict[str, list[Item]]
"""What one system gave, by what it was: `answer 7`, `messages`, `frames`."""


class Difference(NamedTuple):
    """Where two systems differ."""

    number: int
    """Of the step, or of the first of its round."""
    system: str
    """Which was unlike the bridge."""
    about: str
    detail: str

    @property
    def kind(self) -> tuple[str, str]:
        """What stays when the script is made shorter."""
        return self.system, self.about

    def __str__(self) -> str:
        return f"step {self.number}, {self.system} switch against the bridge, {self.about}:\n{self.detail}"


def unlike(name: str, start: int, expected: Part, given: Part, table: tuple[deviations.Deviation, ...],
           waited: float = 0) -> Iterator[Difference]:
    """The differences between what the bridge gave and what another system gave; `waited`: the longest that a switch
    has taken to answer."""
    tolerance = TOLERANCE + 2 * waited  # what has an age was made in one round, and told of or removed in another
    for about in expected:
        ours, theirs = (sorted(filter(None, (deviations.normal(item, table) for item in part[about])), key=key)
                        for part in (given, expected))
        if len(ours) == len(theirs):
            ours = [deviations.excused(one, other, table) for one, other in zip(ours, theirs)]
            if all(alike(one, other, tolerance) for one, other in zip(ours, theirs)):
                continue
        number, what = (int(about.split()[1]), about.split()[0]) if about[-1].isdigit() else (start, about)
        yield Difference(number, name, what, difference_text(name, ours, theirs, tolerance))


def key(item: Item) -> str:
    return repr([(name, value) for name, value in item.items() if name != "age"])


def alike(one: Item, other: Item, tolerance: float) -> bool:
    return key(one) == key(other) and abs(one.get("age", 0) - other.get("age", 0)) <= tolerance


def difference_text(name: str, ours: list[Item], theirs: list[Item], tolerance: float) -> str:
    """What only one of the two has; records that differ in few parts only with these."""
    left = list(theirs)
    extra = []
    for item in ours:
        same = next((each for each in left if alike(item, each, tolerance)), None)
        if same is None:
            extra.append(item)
        else:
            left.remove(same)
    lines = []
    for item in extra:
        near = max(left, key=lambda each: likeness(item, each), default=None)
        if near is None or likeness(item, near) * 2 < len(item):
            lines.append(f"  only {name}: {item}")
            continue
        left.remove(near)
        parts = ", ".join(f"{part}: {item.get(part)!r} instead of {near.get(part)!r}"
                          for part in {**item, **near} if item.get(part) != near.get(part))
        lines.append(f"  {' '.join(f'{part}={value}' for part, value in [*item.items()][:4])} has {parts}")
    return "\n".join(lines + [f"  only {BRIDGE}: {item}" for item in left])


def likeness(one: Item, other: Item) -> int:
    """How many parts two records share; none if they are not of one kind."""
    return sum(other.get(part) == value for part, value in one.items()) if one["is"] == other["is"] else 0
