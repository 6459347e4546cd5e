"""Brings what the core leaves to be stored into a store, and tries again, ever more slowly, when that fails.

The core leaves one batch at a time, and is told what becomes of it: stored, or failed for now, for a reason. While
there is none, the store is checked: what fails then must not be found at the next start only.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from hvproxy.adapters.store import Store
from hvproxy.errors import StoreError
from hvproxy.hypervisor.commands import Commit

FIRST_PAUSE = 0.1
"""Seconds after a failure until it is tried again, twice as many after each further one."""
LONGEST_PAUSE = 5.0
PATIENCE = 10.0
"""Seconds without an answer after which the store counts as failed, until it answers."""
CHECK_EVERY = 5.0


class Told(Protocol):
    """Who is told (runtime.Runtime)."""

    def stored(self, revision: int) -> None: ...
    def store_failed(self, reason: str) -> None: ...
    def store_recovered(self) -> None: ...


class Committer:
    """One store, and the batch on its way there."""

    log = Logger()

    def __init__(self, store: Store, clock: IReactorTime, told: Told) -> None:
        self._store = store
        self._clock = clock
        self._told = told
        self.observe: Callable[[float, int], None] | None = None
        """Told how long a commit took, in seconds, and how many records it changed."""
        self.observe_failure: Callable[[], None] | None = None
        """Called when a try has failed."""
        self._batch: Commit | None = None
        self._failure: str | None = None
        self._pause = FIRST_PAUSE
        self._timer: IDelayedCall | None = None
        self._check_timer: IDelayedCall | None = None
        self._stopped = False
        self._idle: list[Deferred[None]] = []

    def start(self) -> None:
        """Check the store from now on."""
        self._check_timer = self._clock.callLater(CHECK_EVERY, self._check)

    def commit(self, batch: Commit) -> None:
        """Store a batch; there is no other one on its way."""
        assert self._batch is None
        self._batch = batch
        self._write()

    def idle(self) -> Deferred[None]:
        """Called back when nothing is on its way to the store, or it has failed."""
        if self._batch is None or self._failure is not None:
            return succeed(None)
        waiting: Deferred[None] = Deferred()
        self._idle.append(waiting)
        return waiting

    def stop(self) -> None:
        """Try nothing again."""
        self._stopped = True
        self._stop_waiting()
        if self._check_timer is not None and self._check_timer.active():
            self._check_timer.cancel()

    def _write(self) -> None:
        assert self._batch is not None
        self._timer = self._clock.callLater(PATIENCE, self._failed, f"no answer for {PATIENCE:g} seconds")
        self._store.commit(self._batch.puts, self._batch.deletes).addCallbacks(
            self._written, self._not_written, callbackArgs=(self._clock.seconds(),))

    def _stop_waiting(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def _written(self, revision: int, started: float) -> None:
        self._stop_waiting()
        batch, self._batch = self._batch, None
        assert batch is not None
        if self.observe is not None:
            self.observe(self._clock.seconds() - started, len(batch.puts) + len(batch.deletes))
        self._pause = FIRST_PAUSE
        self._recovered()
        self._told.stored(batch.revision)
        if self._batch is None:
            self._tell_idle()

    def _not_written(self, failure: Failure) -> None:
        self._stop_waiting()
        self._see_whose_fault(failure)
        if self.observe_failure is not None:
            self.observe_failure()
        self._timer = self._clock.callLater(self._pause, self._write)
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
        self._failed(failure.getErrorMessage())

    def _see_whose_fault(self, failure: Failure) -> None:
        if failure.check(StoreError) is None:
            self.log.failure("a fault in hvproxy itself; please report it", failure)

    def _check(self) -> None:
        if self._batch is None:
            self._store.check().addBoth(self._checked)
        else:
            self.start()  # that batch finds out

    def _checked(self, result: None | Failure) -> None:
        if isinstance(result, Failure):
            self._see_whose_fault(result)
            if self._batch is None:
                self._failed(result.getErrorMessage())
        elif self._batch is None:
            self._recovered()
        if not self._stopped:
            self.start()

    def _recovered(self) -> None:
        if self._failure is not None:
            self._failure = None
            self._told.store_recovered()

    def _failed(self, reason: str) -> None:
        if reason != self._failure:
            self._failure = reason
            self._told.store_failed(reason)
        self._tell_idle()

    def _tell_idle(self) -> None:
        waiting, self._idle = self._idle, []
        for each in waiting:
            each.callback(None)
