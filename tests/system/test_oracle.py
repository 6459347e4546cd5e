"""A bridge, a logical switch over five bridges and the emulated switch do the same random scripts alike.

tools/oracle does the same for as long as one likes, and finds the shortest script where this fails.
"""
from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.oracle.command import blip, looked_into
from tests.oracle.operations import Step, written
from tests.oracle.refusals import invalid_messages
from tests.oracle.deviations import answered_alike
from tests.oracle.script import DEFAULT, EVERYTHING_ASKED, features_of, random_script
from tests.oracle.world import World
from tests.system import ovs

SEEDS, LENGTH = (range(1, 5), range(5, 9)), 500
"""Only the last of each tracks connections, of which a logical switch stays another one."""
ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 300
"""Seconds in which a busy machine has got somewhere."""


@pytest.mark.timeout(3 * PATIENCE)
@pytest.mark.parametrize("seeds", SEEDS)
def test_three_switches_do_the_same(tmp_path: Path, seeds: range) -> None:
    ovs.require()

    async def main() -> None:
        async with World() as world:
            if seeds is SEEDS[0]:
                refusals = [Step(*way) for way in invalid_messages() if answered_alike(way[0])] + EVERYTHING_ASKED
                await same(world, refusals, world.names, tmp_path)
            for seed in seeds:
                features = features_of(seed, DEFAULT)
                await same(world, random_script(seed, LENGTH, features), world.able(features), tmp_path)
            assert world.done > 1900 and all(world.seen.values())
    asyncio.run(main())


async def same(world: World, steps: list[Step], names: Sequence[str], place: Path) -> None:
    """Do a script; fail where the systems of these names differ."""
    found = await world.run(steps, names)
    if found:
        finding = await looked_into(world, steps, found[0], names)
        path = place / "oracle.script"
        path.write_text(written(finding.steps))
        if finding.again or not blip(found, len(names)):
            pytest.fail("\n".join([*map(str, found), str(finding), f"tools/oracle --replay {path}"]))


def left_behind(pid: int, place: Path) -> list[str]:
    """Namespaces, processes and files of an oracle that was `pid` and had `place` for its files."""
    names = [name for name in os.listdir("/run/netns") if name.startswith(f"hvo{pid}-")]
    for entry in Path("/proc").iterdir():
        try:
            command = (entry / "cmdline").read_bytes() if entry.name.isdigit() else b""
        except OSError:
            continue  # it has ended meanwhile
        if str(place).encode() in command:
            names.append(command.decode())
    return names + [path.name for path in place.iterdir()]


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder of a short name: that of a socket in it must be shorter than 108 bytes (unix(7))."""
    with TemporaryDirectory(prefix="hv") as name:
        yield Path(name)


@pytest.mark.timeout(3 * PATIENCE)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("early", [True, False])
def test_the_command_leaves_nothing_behind_when_it_is_ended(
        tmp_path: Path, place: Path, number: signal.Signals, early: bool) -> None:
    ovs.require()
    said = tmp_path / "said"
    with said.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.oracle.command", "--operations", "1000000", "--keep", str(tmp_path / "kept")],
            cwd=ROOT, env={**os.environ, "TMPDIR": str(place)}, stdout=output, stderr=subprocess.STDOUT)
    deadline = time.monotonic() + PATIENCE
    while not (any(place.glob("*/db.sock")) if early else b"seed 1:" in said.read_bytes()):
        assert process.poll() is None and time.monotonic() < deadline, said.read_text()
        time.sleep(0.01)
    assert left_behind(process.pid, place)
    process.send_signal(number)
    assert process.wait(PATIENCE) == 1
    assert f"ended by {number.name}" in said.read_text()
    assert left_behind(process.pid, place) == []
