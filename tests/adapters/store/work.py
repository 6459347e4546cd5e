"""Who does a store's work in tests: in the same thread, at once or when the test says so."""
from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from twisted.internet.defer import Deferred, execute

T = TypeVar("T")


class AtOnce:
    """Work is done when it is given."""

    def run(self, work: Callable[[], T]) -> Deferred[T]:
        return execute(work)

    def stop(self) -> None:
        """There is nothing to end."""


class WhenTold:
    """Work waits, as that of a thread does, until the test has it done."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], object]] = []
        self.stopped = False

    def run(self, work: Callable[[], T]) -> Deferred[T]:
        done: Deferred[T] = Deferred()

        def do() -> None:
            execute(work).addBoth(done.callback)

        self.waiting.append(do)
        return done

    def do(self, count: int = 1) -> None:
        """The work that waits longest."""
        for _ in range(count):
            self.waiting.pop(0)()

    def stop(self) -> None:
        self.stopped = True
