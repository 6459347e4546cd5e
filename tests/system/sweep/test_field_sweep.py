"""Each request with each field out of range gets the error that Open vSwitch gives, and does what it does there.

Every part of every request of `requests` is replaced by boundary values and wrong lengths (`layout`), and a plain
bridge and a logical switch are asked the same. What they answer otherwise must be a line of the README's table
(`deviations`); a line that explains nothing any more is a fault too.

Without FIELD_SWEEP=all, of the actions in action sets, buckets and packet-outs only every fourth mutant is asked: the
same actions in apply-actions are swept whole. With it, numbers are replaced by every power of two too.
"""
from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.pair import Pair
from tests.system.private_ovs import require
from tests.system.sweep.asking import Asker, Case, awake
from tests.system.sweep.deviations import DEVIATIONS, Difference, Sorted
from tests.system.sweep.layout import Mutant, mutants, render
from tests.system.sweep.requests import requests

TABLES = 254
TOLD = 30
"""So many faults are told in full."""
AGAIN = re.compile(r"^(write|bucket|packet-out) ")
PORTION = 50
README = Path(__file__).parents[3] / "README.md"


def cases() -> Iterator[Case]:
    everything = os.environ.get("FIELD_SWEEP") == "all"
    for name, request in requests():
        made = [Mutant(name, render(request.layout))] if request.alone else list(
            mutants(name, request.layout, request.only, everything))
        for mutant in made[::4] if AGAIN.match(name) and not everything else made:
            yield Case(mutant.name, mutant.data, request.after, request.undo)


def test_every_deviation_is_a_line_of_the_readme() -> None:
    text = README.read_text()
    table = text[text.index("## Deviations"):text.index("## Measured")]
    assert [each.words for each in DEVIATIONS if each.words not in table] == []


@pytest.mark.timeout(600)
def test_each_field_out_of_range_is_answered_as_by_open_vswitch() -> None:
    require()
    asked, found = list(cases()), Sorted()
    assert len({case.name for case in asked}) > 10_000
    with Pair(tables=TABLES, ports=[{"number": "LOCAL", "name": "plain"}]) as pair, awake(pair.sides):
        askers = [Asker(side) for side in pair.sides]
        for start in range(0, len(asked), PORTION):
            part = asked[start:start + PORTION]
            for case, plain, logical in zip(part, *(asker.ask(part) for asker in askers), strict=True):
                if plain != logical:
                    found.take(Difference(case, plain, logical))
        for asker in askers:
            asker.close()
    assert found.unexplained == [], "\n".join(
        [f"{len(found.unexplained)} of {len(asked)}:", *map(str, found.unexplained[:TOLD])])
    assert found.stale == []
