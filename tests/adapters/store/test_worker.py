"""Work is done in another thread, in order, and its results come back in this one."""
from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Queue
from typing import Any

import pytest
from twisted.python.failure import Failure

from hvproxy.adapters.store.worker import Worker


class Reactor:
    """What a thread asks to be called in this one."""

    def __init__(self) -> None:
        self.calls: Queue[tuple[Callable[..., None], Any]] = Queue()

    def callFromThread(self, call: Callable[..., None], argument: Any) -> None:
        self.calls.put((call, argument))

    def turn(self) -> None:
        call, argument = self.calls.get(timeout=20)
        call(argument)


@pytest.fixture
def reactor() -> Reactor:
    return Reactor()


def test_work_is_done_in_one_other_thread_in_order(reactor: Reactor) -> None:
    worker = Worker(reactor, "at work")
    results: list[tuple[int, str]] = []
    for number in range(3):
        worker.run(lambda number=number: (number, threading.current_thread().name)).addCallback(results.append)
    for _ in range(3):
        assert len(results) < 3
        reactor.turn()
    assert results == [(number, "at work") for number in range(3)]
    worker.stop()


def test_what_fails_comes_back_too_and_the_rest_goes_on(reactor: Reactor) -> None:
    worker = Worker(reactor, "at work")
    failures: list[Failure] = []
    results: list[int] = []
    worker.run(lambda: 1 // 0).addErrback(failures.append)
    worker.run(lambda: 7).addCallback(results.append)
    reactor.turn()
    reactor.turn()
    assert [failure.type for failure in failures] == [ZeroDivisionError]
    assert results == [7]
    worker.stop()


def test_stopping_lets_what_was_given_be_done_and_ends_the_thread(reactor: Reactor) -> None:
    worker = Worker(reactor, "to be stopped")
    gate = threading.Event()
    threads: list[threading.Thread] = []
    worker.run(lambda: (gate.wait(20), threads.append(threading.current_thread())))
    worker.stop()
    gate.set()
    reactor.turn()
    threads[0].join(20)
    assert not threads[0].is_alive() and threads[0].daemon
