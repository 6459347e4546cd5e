"""What else goes wrong while hvproxy is killed: links that flap, a store that cannot be written, or now and then."""
from __future__ import annotations

import random
import sys
import time
from contextlib import AbstractContextManager, suppress
from types import TracebackType

from tests.crash.tenant import BARRIERS
from tests.crash.world import HVPROXY, World
from tests.system.network import wait_until

DETECTING = 1.5
"""Seconds within which switches must have turned away from a link that went down, or back to it."""

RECOVERING = 30.0
"""Seconds within which hvproxy tries its store again."""


class Fault(AbstractContextManager["Fault"]):
    """Nothing. A fault lasts from before the kill until hvproxy is started again, and excuses what it costs."""

    excuses = False
    """Whether frames and rules may suffer for it."""
    program: tuple[str, ...] = HVPROXY
    """What is started as hvproxy."""
    starts = True
    """Whether hvproxy can start while it lasts."""
    silent = False
    """No frame is sent from before the kill until counters are read again: none makes up for a count that is lost."""
    met = 0
    """How often it was met."""

    def __init__(self, world: World, rng: random.Random) -> None:
        self.world, self.rng = world, rng

    def prepare(self) -> None:
        """What must be before counters are read for the last time."""

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


class FailingWrites(Fault):
    """Writes of the store fail in turn, the first, the second and so on; half of the time all is well again before the
    kill."""

    program = (sys.executable, "-m", "tests.crash.failing_writes")
    starts = False

    def __enter__(self) -> FailingWrites:
        self._file = self.world.store / "failing"
        self._file.touch()
        time.sleep(self.rng.uniform(0.5, 3.0))
        if self.rng.random() < 0.5:
            self._end()
            wait_until(self.world.is_ready, "the store does not recover", RECOVERING)
            time.sleep(self.rng.uniform(0.0, 0.5))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._end()

    def _end(self) -> None:
        if self._file.exists():
            self.met = int(self._file.read_text() or 0)
            self._file.unlink()


class HeldStore(Fault):
    """The store takes long over its last batch: tenants change what the switches do, and nothing of it is stored."""

    program = (sys.executable, "-m", "tests.crash.held_writes")
    starts = False
    silent = True

    def prepare(self) -> None:
        self._working = [tenant for tenant in self.world.tenants if tenant.works]
        for tenant in self._working:
            tenant.rest()
            assert tenant.line.settle(RECOVERING), f"{tenant.name}: a barrier is not answered"

    def __enter__(self) -> HeldStore:
        self._file = self.world.store / "failing"
        self._file.touch()
        for tenant in self._working:
            tenant.barriers = 0  # what is behind one would wait for the store
            tenant.work()
        time.sleep(self.rng.uniform(0.1, 1.0))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._file.unlink()
        for tenant in self.world.tenants:
            tenant.barriers = BARRIERS
