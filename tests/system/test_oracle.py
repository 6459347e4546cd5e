"""A bridge, a logical switch over five bridges and the emulated switch do the same random scripts alike.

tools/oracle does the same for as long as one likes, and finds the shortest script where this fails.
"""
from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.oracle.command import blip, looked_into
from tests.oracle.operations import Step, written
from tests.oracle.refusals import invalid_messages
from tests.oracle.deviations import answered_alike
from tests.oracle.script import DEFAULT, EVERYTHING_ASKED, features_of, random_script
from tests.oracle.world import World
from tests.system import ovs

SEEDS, LENGTH = range(1, 7), 500


def test_three_switches_do_the_same(tmp_path: Path) -> None:
    ovs.require()

    async def main() -> None:
        async with World() as world:
            refusals = [Step(*way) for way in invalid_messages() if answered_alike(way[0])] + EVERYTHING_ASKED
            scripts = [(refusals, world.names)]
            for seed in SEEDS:
                features = features_of(seed, DEFAULT)
                scripts.append((random_script(seed, LENGTH, features), world.able(features)))
            for steps, names in scripts:
                found = await world.run(steps, names)
                if found:
                    finding = await looked_into(world, steps, found[0], names)
                    path = tmp_path / "oracle.script"
                    path.write_text(written(finding.steps))
                    if finding.again or not blip(found, len(names)):
                        pytest.fail("\n".join([*map(str, found), str(finding), f"tools/oracle --replay {path}"]))
            assert world.done > 2500 and all(world.seen.values())
    asyncio.run(main())
