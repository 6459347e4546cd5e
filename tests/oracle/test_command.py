"""The command goes through one script after another, and says in the end what it has done."""
from __future__ import annotations

import asyncio
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from tests.oracle.command import Tally, one_script, some_scripts
from tests.oracle.comparing import Difference
from tests.oracle.operations import Step, read
from tests.oracle.world import SESSION, World


class Told:
    """In the place of a World: finds what it is told to, script after script."""

    patience = 3.0
    seen = {"frames": 3}

    def __init__(self, *found: list[Difference]) -> None:
        self._found = iter(found)
        self.done: list[list[Step]] = []

    def able(self, features: frozenset[str]) -> tuple[str, ...]:
        return "bridge", "logical", "emulated"

    async def run(self, steps: list[Step], names: Sequence[str]) -> list[Difference]:
        self.done.append(steps)
        return next(self._found, [])


def tallied(told: Told, path: Path, scripts: int) -> Tally:
    """After so many scripts."""
    tally = Tally(7, 0.0)
    arguments = Namespace(features=frozenset(("queries",)), keep=str(path))

    async def main() -> None:
        for _ in range(scripts):
            await one_script(cast(World, told), arguments, tally)
    asyncio.run(main())
    return tally


def test_every_script_has_a_seed_of_its_own_and_the_last_line_tells_all(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = Told()
    tally = tallied(told, tmp_path / "kept", 3)
    length = sum(map(len, told.done))
    assert len({str(steps) for steps in told.done}) == 3
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines()] == ["seed 7", "seed 8", "seed 9"]
    assert str(tally) == (
        f"in all: {length} operations, 3 scripts (seeds 7 to 9), 0 differences, 0 whims of Open vSwitch")


def test_what_stays_for_good_ends_the_scripts_of_a_world(tmp_path: Path) -> None:
    tally = Tally(1, 0.0)
    arguments = Namespace(features=frozenset(("queries", "connections")), keep=str(tmp_path / "kept"),
                          operations=1 << 30)

    async def main() -> None:
        for scripts in (4, 8):
            await some_scripts(cast(World, Told()), arguments, tally)
            assert tally.scripts == scripts
        arguments.operations = tally.operations + 1
        await some_scripts(cast(World, Told()), arguments, tally)
        assert tally.scripts == 9
    asyncio.run(main())


@pytest.mark.parametrize(("systems", "differences"), [(("logical",), 1), (("logical", "emulated"), 0)])
def test_what_open_vswitch_itself_does_once_is_its_whim(
        tmp_path: Path, systems: tuple[str, ...], differences: int) -> None:
    told = Told([Difference(1, system, "frames", "") for system in systems])
    tally = tallied(told, tmp_path / "kept", 1)
    assert (tally.differences, tally.whims) == (differences, 1 - differences)
    assert len(told.done) > 1 and tally.operations == len(told.done[0])


def test_a_session_that_ends_is_a_difference_and_its_script_is_kept_whole(tmp_path: Path) -> None:
    differences: Any = [Difference(1, "logical", SESSION, "")]
    told = Told(differences)
    assert tallied(told, tmp_path / "kept", 1).differences == 1
    (steps,) = told.done
    assert [step[1:] for step in read((tmp_path / "kept").read_text())] == [step[1:] for step in steps]
