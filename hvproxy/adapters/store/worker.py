"""One thread for what would block: work is done in the order it was given, its result comes back as a Deferred.

The thread does not keep the process from ending: a disk that never answers would do so for ever.
"""
from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.failure import Failure

T = TypeVar("T")


class Worker:
    """The thread, and what waits for it."""

    def __init__(self, reactor: IReactorFromThreads, name: str) -> None:
        self._reactor = reactor
        self._waiting: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        Thread(target=self._work, name=name, daemon=True).start()

    def run(self, work: Callable[[], T]) -> Deferred[T]:
        """Do it in the thread, after everything before."""
        done: Deferred[T] = Deferred()

        def do() -> None:
            try:
                result: T | Failure = work()
            except Exception:
                result = Failure()
            self._reactor.callFromThread(done.callback, result)

        self._waiting.put(do)
        return done

    def stop(self) -> None:
        """End the thread after everything before."""
        self._waiting.put(None)

    def _work(self) -> None:
        while (do := self._waiting.get()) is not None:
            do()
