"""What else goes wrong while hvproxy is killed: links that flap, a store that cannot be written."""
from __future__ import annotations

import random
import time
from contextlib import AbstractContextManager, suppress
from types import TracebackType

from tests.crash.world import World

DETECTING = 1.5
"""Seconds within which switches must have turned away from a link that went down, or back to it."""


class Fault(AbstractContextManager["Fault"]):
    """Nothing. A fault lasts from before the kill until hvproxy is started again, and excuses what it costs."""

    excuses = False
    """Whether frames and rules may suffer for it."""

    def __init__(self, world: World, rng: random.Random) -> None:
        self.world, self.rng = world, rng

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        """It ends."""

    def excused(self, at: float) -> bool:
        """Whether a frame sent then may be lost."""
        return False


class Flap(Fault):
    """A link goes down, and comes back while there is no hvproxy."""

    excuses = True

    def __enter__(self) -> Flap:
        self._link = self.rng.choice(sorted(self.world.links.values()))
        self._changed = [time.monotonic()]
        self.world.ovs.set_interface(self._link[0], False)
        time.sleep(self.rng.choice((0.0, 0.0, self.rng.uniform(0.0, 1.0))))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        time.sleep(self.rng.uniform(0.0, 0.5))
        self.world.ovs.set_interface(self._link[0], True)
        self._changed.append(time.monotonic())

    def excused(self, at: float) -> bool:
        return any(changed - DETECTING < at < changed + DETECTING for changed in self._changed)


class FullStore(Fault):
    """The disk of the store is full for a while; now and then it is well again before the kill."""

    def __enter__(self) -> FullStore:
        self._file = self.world.store / "filler"
        with suppress(OSError), self._file.open("wb", buffering=0) as filler:
            while True:
                filler.write(bytes(1 << 16))
        time.sleep(self.rng.uniform(0.0, 1.0))
        if self.rng.random() < 0.5:
            self._file.unlink()
            time.sleep(self.rng.uniform(0.0, 1.0))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._file.unlink(missing_ok=True)
