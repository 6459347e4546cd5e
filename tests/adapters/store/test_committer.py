"""What the core leaves comes into the store in the end, and the core knows how it is about it."""
from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogEvent, globalLogPublisher

from hvproxy.adapters.store import Change, Snapshot
from hvproxy.adapters.store.committer import CHECK_EVERY, FIRST_PAUSE, LONGEST_PAUSE, PATIENCE, Committer
from hvproxy.errors import StoreError
from hvproxy.hypervisor.commands import Commit


class Slow:
    """A store that answers when the test says what."""

    def __init__(self) -> None:
        self.asked: list[tuple[Mapping[str, bytes], tuple[str, ...], Deferred[int]]] = []
        self.checks: list[Deferred[None]] = []

    def commit(self, puts: Mapping[str, bytes], deletes: tuple[str, ...]) -> Deferred[int]:
        done: Deferred[int] = Deferred()
        self.asked.append((puts, deletes, done))
        return done

    def check(self) -> Deferred[None]:
        self.checks.append(Deferred())
        return self.checks[-1]

    def answer(self) -> None:
        self.asked.pop(0)[2].callback(1)

    def fail(self, error: Exception | None = None) -> None:
        self.asked.pop(0)[2].errback(error or StoreError("the disk is full"))

    def lease(self) -> Deferred[None]:
        raise AssertionError("the committer needs none")

    def load(self, prefix: str = "") -> Deferred[Snapshot]:
        raise AssertionError("the committer does not read")

    def watch(self, prefix: str, told: Callable[[Change], None]) -> Deferred[Snapshot]:
        raise AssertionError("the committer does not read")

    def close(self) -> Deferred[None]:
        raise AssertionError("the store is not the committer's")


class Core:
    """Keeps what it is told, and leaves the next batch when the test wants that."""

    def __init__(self) -> None:
        self.told: list[object] = []
        self.next: Callable[[], None] = lambda: None

    def stored(self, revision: int) -> None:
        self.told.append(revision)
        self.next()

    def store_failed(self, reason: str) -> None:
        self.told.append(reason)

    def store_recovered(self) -> None:
        self.told.append("recovered")


BATCH = Commit(7, {"a": b"1"}, ("b",))


class Office:
    """A committer and all it has to do with."""

    def __init__(self) -> None:
        self.store = Slow()
        self.core = Core()
        self.clock = Clock()
        self.committer = Committer(self.store, self.clock, self.core)
        self.seconds: list[tuple[float, int]] = []
        self.failures = 0
        self.committer.observe = lambda seconds, records: self.seconds.append((seconds, records))
        self.committer.observe_failure = self.failed

    def failed(self) -> None:
        self.failures += 1


@pytest.fixture
def office() -> Office:
    return Office()


def test_a_batch_is_stored_and_told_with_the_time_it_took(office: Office) -> None:
    office.committer.commit(BATCH)
    (puts, deletes, _), = office.store.asked
    assert (puts, deletes) == ({"a": b"1"}, ("b",))
    office.clock.advance(0.5)
    assert office.core.told == []
    office.store.answer()
    assert (office.core.told, office.seconds, office.failures) == ([7], [(0.5, 2)], 0)
    assert office.clock.getDelayedCalls() == []


def test_the_next_batch_may_come_while_the_last_one_is_told(office: Office) -> None:
    office.core.next = lambda: office.committer.commit(Commit(8, {}, ("a",)))
    office.committer.commit(BATCH)
    office.store.answer()
    assert [asked[1] for asked in office.store.asked] == [("a",)]


def test_what_fails_is_tried_again_ever_more_slowly_until_it_is_stored(office: Office) -> None:
    office.committer.commit(BATCH)
    pause = FIRST_PAUSE
    for _ in range(10):
        office.store.fail()
        office.clock.advance(pause * 0.99)
        assert office.store.asked == []
        office.clock.advance(pause * 0.02)
        assert [asked[:2] for asked in office.store.asked] == [({"a": b"1"}, ("b",))]
        pause = min(pause * 2, LONGEST_PAUSE)
    assert (office.core.told, office.failures, office.seconds) == (["the disk is full"], 10, [])
    office.store.answer()
    assert office.core.told == ["the disk is full", "recovered", 7]
    office.committer.commit(BATCH)
    office.store.fail()
    office.clock.advance(FIRST_PAUSE)
    assert len(office.store.asked) == 1


def test_another_reason_is_told_too(office: Office) -> None:
    office.committer.commit(BATCH)
    office.store.fail()
    office.clock.advance(FIRST_PAUSE)
    office.store.fail(StoreError("it is read-only"))
    assert office.core.told == ["the disk is full", "it is read-only"]


def test_a_store_that_does_not_answer_has_failed_until_it_does(office: Office) -> None:
    office.committer.commit(BATCH)
    office.clock.advance(PATIENCE)
    assert office.core.told == ["no answer for 10 seconds"]
    office.clock.advance(10 * PATIENCE)
    assert len(office.store.asked) == 1
    office.store.answer()
    assert office.core.told[1:] == ["recovered", 7]


def test_a_fault_of_ours_is_logged_and_does_not_stop_the_trying(office: Office) -> None:
    events: list[LogEvent] = []
    globalLogPublisher.addObserver(events.append)
    try:
        office.committer.commit(BATCH)
        office.store.fail(TypeError("a value is no bytes"))
    finally:
        globalLogPublisher.removeObserver(events.append)
    assert ["a fault in hvproxy itself" in event["log_format"] for event in events] == [True]
    assert office.core.told == ["a value is no bytes"]
    office.clock.advance(FIRST_PAUSE)
    assert len(office.store.asked) == 1


def test_idle_waits_for_all_that_follows_and_not_for_a_store_that_has_failed(office: Office) -> None:
    results: list[str] = []

    def ask(name: str) -> None:
        office.committer.idle().addCallback(lambda result: results.append(name))

    ask("nothing to do")
    assert results == ["nothing to do"]
    office.committer.commit(BATCH)
    office.core.next = lambda: office.committer.commit(BATCH)
    ask("two batches")
    office.store.answer()
    office.core.next = lambda: None
    assert results[1:] == []
    office.store.answer()
    assert results[1:] == ["two batches"]
    office.committer.commit(BATCH)
    ask("fails")
    office.store.fail()
    ask("has failed")
    assert results[2:] == ["fails", "has failed"]


def test_stopped_it_tries_nothing_again(office: Office) -> None:
    office.committer.stop()
    office.committer.commit(BATCH)
    office.store.fail()
    office.committer.stop()
    office.clock.advance(10 * LONGEST_PAUSE)
    assert office.store.asked == [] and office.clock.getDelayedCalls() == []


def test_a_store_in_which_nothing_is_to_be_stored_is_checked(office: Office) -> None:
    office.committer.start()
    office.clock.advance(CHECK_EVERY)
    office.clock.advance(CHECK_EVERY)
    assert len(office.store.checks) == 1, "one after the other"
    office.store.checks.pop().errback(StoreError("it is gone"))
    assert office.core.told == ["it is gone"]
    office.clock.advance(CHECK_EVERY)
    office.store.checks.pop().callback(None)
    assert office.core.told == ["it is gone", "recovered"]


def test_a_batch_on_its_way_says_more_than_a_check(office: Office) -> None:
    office.committer.start()
    office.clock.advance(CHECK_EVERY)
    office.committer.commit(BATCH)
    office.store.checks.pop().errback(StoreError("it is gone"))
    office.clock.advance(CHECK_EVERY)
    assert (office.core.told, office.store.checks) == ([], [])
    office.store.fail()
    office.clock.advance(CHECK_EVERY)
    assert office.store.checks == []
    office.store.answer()
    assert office.core.told == ["the disk is full", "recovered", 7]
    office.clock.advance(CHECK_EVERY)
    assert len(office.store.checks) == 1


def test_stopped_it_checks_nothing_more(office: Office) -> None:
    office.committer.start()
    office.clock.advance(CHECK_EVERY)
    office.committer.stop()
    office.store.checks.pop().callback(None)
    assert office.clock.getDelayedCalls() == []
    office.committer.start()
    office.committer.stop()
    assert office.clock.getDelayedCalls() == []
