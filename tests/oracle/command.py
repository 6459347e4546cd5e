"""tools/oracle: random scripts on three switches until so many operations are done; the first difference ends it."""
from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tests.oracle.comparing import BRIDGE, Difference
from tests.oracle.operations import CARRIER, EXPIRE, FRAME, Step, read, written
from tests.oracle.script import DEFAULT, FEATURES, LASTING, features_of, random_script
from tests.oracle.shrink import shrunk
from tests.oracle.world import EMULATED, LOGICAL, SESSION, World

LENGTH = 500
"""Operations in one script."""
TRIES = 3
"""How often a script is done again before its difference counts as one that does not come again."""

ENDING = (signal.SIGINT, signal.SIGTERM)
"""Signals upon which everything is ended and removed."""
HASTE = 0.3
"""Seconds that suffice for most differences to be known for one, while a script is made shorter."""


class Finding(NamedTuple):
    """A difference, and the shortest script that shows it."""

    steps: list[Step]
    difference: Difference
    again: bool
    """Whether it came again; else the script is the whole one."""

    def __str__(self) -> str:
        if not self.again:
            return f"it did not come again in {TRIES} tries of the same script of {len(self.steps)} steps"
        return f"{len(self.steps)} steps are enough:\n{written(self.steps)}\n{self.difference}"


async def looked_into(world: World, steps: list[Step], found: Difference, names: Sequence[str]) -> Finding:
    """Make a failing script as short as it can be."""
    last = found

    async def fails(part: list[Step]) -> bool:
        nonlocal last
        again = next((each for each in await world.run(part, names) if each.kind == found.kind), None)
        last = again or last
        return again is not None

    patience = world.patience
    try:
        for world.patience in [HASTE] + [patience] * TRIES:
            if await fails(steps):
                break
        else:
            return Finding(steps, found, False)
        cut = steps[:last.number + 1]
        short = cut if await fails(cut) else steps
        for slow in (EXPIRE, CARRIER, FRAME):  # first what takes long, and then in bulk
            without = [step for step in short if step.kind != slow]
            short = without if without and await fails(without) else short
        short = await shrunk(short, fails)
    finally:
        world.patience = patience
    return Finding(short, last, True)


def blip(differences: list[Difference], systems: int) -> bool:
    """Whether all others are unlike the bridge: then it is Open vSwitch itself that did what it does not do again.

    Its counters do: a thread of it that is busy with a cached flow makes others pass over its count for a while.
    """
    return systems > 2 and len({difference.system for difference in differences}) == systems - 1


@dataclass(slots=True)
class Tally:
    """How much was done."""

    seed: int
    """Of the first script."""
    begun: float
    scripts: int = 0
    operations: int = 0
    differences: int = 0
    whims: int = 0

    @property
    def next_seed(self) -> int:
        return self.seed + self.scripts

    def wants(self, arguments: argparse.Namespace) -> bool:
        """Whether there is more to do."""
        return self.operations < arguments.operations and not self.differences

    def progress(self, now: float) -> str:
        """What can be said behind each script."""
        a_minute = 60 * self.operations / max(now - self.begun, 0.001)
        return (f"{self.operations} operations done, {a_minute:.0f} a minute, {self.differences} differences, "
                f"{self.whims} whims of Open vSwitch")

    def __str__(self) -> str:
        seeds = f"seeds {self.seed} to {self.seed + self.scripts - 1}" if self.scripts else "no seed"
        return (f"in all: {self.operations} operations, {self.scripts} scripts ({seeds}), "
                f"{self.differences} differences, {self.whims} whims of Open vSwitch")


async def run(arguments: argparse.Namespace) -> int:
    """Do what the command line says; the exit status."""
    task = asyncio.current_task()
    assert task is not None
    for number in ENDING:
        asyncio.get_running_loop().add_signal_handler(number, task.cancel, number.name)
    if arguments.replay:
        async with World(arguments.systems) as world:
            steps = read(Path(arguments.replay).read_text())
            found = await world.run(steps)
            print("\n".join(map(str, found)) or f"{len(steps)} steps, no difference")
            return bool(found)
    tally = Tally(arguments.seed, time.monotonic())
    try:
        while tally.wants(arguments):
            async with World(arguments.systems) as world:
                await some_scripts(world, arguments, tally)
    finally:
        print(tally, flush=True)
    return bool(tally.differences)


async def some_scripts(world: World, arguments: argparse.Namespace, tally: Tally) -> None:
    """Do as many scripts as one world is good for: a switch that is otherwise for good does none without that."""
    lasting: frozenset[str] = frozenset()
    while tally.wants(arguments) and lasting <= (features := features_of(tally.next_seed, arguments.features)):
        lasting |= features & LASTING
        await one_script(world, arguments, tally)


async def one_script(world: World, arguments: argparse.Namespace, tally: Tally) -> None:
    """Do the next script, look into what it finds, and tell how far we are."""
    seed = tally.next_seed
    features = features_of(seed, arguments.features)
    steps, names = random_script(seed, LENGTH, features), world.able(features)
    found = await world.run(steps, names)
    tally.scripts += 1
    tally.operations += len(steps)
    if found:
        print(f"\nDIFFERENCE, seed {seed}:", *found, sep="\n", flush=True)
        finding = Finding(steps, found[0], False)
        if found[0].about != SESSION:  # with a session its switch is gone
            print("looking for the shortest script …", flush=True)
            finding = await looked_into(world, steps, found[0], names)
        Path(arguments.keep).write_text(written(finding.steps))
        print(f"{finding}\nagain: tools/oracle --systems {','.join(names)} --replay {arguments.keep}", flush=True)
        if finding.again or not blip(found, len(names)):
            tally.differences += 1
        else:
            tally.whims += 1
    seen = ", ".join(f"{count} {what}" for what, count in world.seen.items())
    print(f"seed {seed}: {tally.progress(time.monotonic())}; compared: {seen}", flush=True)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="tools/oracle", description="Do the same on one Open vSwitch bridge, a logical switch over five "
        "of them and the emulated switch, and tell the first difference.",
        epilog="features: " + "; ".join(f"{name}: {what}" for name, what in FEATURES.items()))
    parser.add_argument("--seed", type=int, default=1, metavar="N")
    parser.add_argument("--operations", type=int, default=5000, metavar="N")
    parser.add_argument("--features", type=named, default=DEFAULT, metavar="A,B|all|-A",
                        help=f"default: {','.join(sorted(DEFAULT))}; +A and -A change the default")
    parser.add_argument("--replay", metavar="FILE", help="do the script in this file instead of random ones")
    parser.add_argument("--keep", default="oracle.script", metavar="FILE", help="where the failing script is written")
    parser.add_argument("--systems", type=lambda text: text.split(","), default=[BRIDGE, LOGICAL, EMULATED],
                        metavar="A,B", help=f"of {BRIDGE},{LOGICAL},{EMULATED}; the bridge must be among them")
    arguments = parser.parse_args()
    try:
        sys.exit(asyncio.run(run(arguments)))
    except asyncio.CancelledError as cancelled:
        sys.exit(f"ended by {cancelled}")


def named(text: str) -> frozenset[str]:
    """The features that a text names."""
    if text == "all":
        return frozenset(FEATURES)
    words = text.split(",")
    found = set(DEFAULT) if words[0][:1] in "+-" else set()
    for word in words:
        name = word.lstrip("+-")
        if name not in FEATURES:
            raise argparse.ArgumentTypeError(f"{name} is no feature")
        (found.discard if word[0] == "-" else found.add)(name)
    return frozenset(found)


if __name__ == "__main__":
    main()
