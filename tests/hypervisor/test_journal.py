"""The journal numbers what must be stored, and tells who waits for it."""
from __future__ import annotations

from collections.abc import Callable

import pytest

from hvproxy.hypervisor.journal import Batch, Durability, Journal


@pytest.fixture
def journal() -> Journal:
    return Journal(Durability.BARRIER)


def told(heard: list[tuple[str, float]], what: str) -> Callable[[float], None]:
    return lambda at: heard.append((what, at))


def test_the_last_word_on_a_key_counts_and_is_encoded_once(journal: Journal) -> None:
    encoded: list[int] = []

    def encode() -> bytes:
        encoded.append(1)
        return b"late"

    journal.put("a", b"early")
    for _ in range(10):
        journal.put("a", encode)
    journal.put("b", b"1")
    journal.delete("b")
    journal.delete("c")
    journal.put("c", b"2")
    assert encoded == []
    assert journal.take() == Batch(1, {"a": b"late", "c": b"2"}, ("b",))
    assert encoded == [1]


def test_one_batch_at_a_time_is_on_its_way(journal: Journal) -> None:
    assert journal.take() is None
    journal.put("a", b"1")
    assert journal.take() == Batch(1, {"a": b"1"}, ())
    journal.put("a", b"2")
    journal.put("b", b"2")
    assert journal.take() is None
    journal.stored(1, 5.0)
    assert journal.take() == Batch(2, {"a": b"2", "b": b"2"}, ())
    journal.stored(2, 5.0)
    assert journal.take() is None


def test_a_revision_covers_what_is_noted_and_nothing_to_come(journal: Journal) -> None:
    assert journal.revision == 0
    journal.put("a", b"1")
    assert journal.revision == 1
    journal.put("b", b"1")
    assert journal.revision == 1
    journal.take()
    assert journal.revision == 1
    journal.put("a", b"2")
    assert journal.revision == 2
    journal.stored(1, 5.0)
    assert (journal.revision, journal.committed) == (2, 1)


def test_who_waits_is_told_when_the_revision_is_stored_and_in_order(journal: Journal) -> None:
    heard: list[tuple[str, float]] = []
    journal.put("a", b"1")
    journal.when_committed(1, told(heard, "first"), 1.0)
    journal.take()
    journal.put("a", b"2")
    journal.when_committed(2, told(heard, "later"), 1.0)
    journal.when_committed(1, told(heard, "second"), 1.0)
    journal.when_committed(0, told(heard, "at once"), 2.0)
    journal.stored(1, 3.0)
    assert heard == [("at once", 2.0), ("first", 3.0), ("second", 3.0)]
    journal.take()
    journal.stored(2, 4.0)
    assert heard[3:] == [("later", 4.0)]


def test_who_waits_without_an_alternative_waits_until_the_store_is_well(journal: Journal) -> None:
    heard: list[tuple[str, float]] = []
    journal.put("a", b"1")
    journal.take()
    journal.when_committed(1, told(heard, "patient"), 1.0)
    journal.when_committed(1, told(heard, "stored"), 1.0, told(heard, "lost"))
    journal.failed("disk full", 2.0)
    journal.when_committed(1, told(heard, "stored"), 3.0, told(heard, "lost too"))
    assert heard == [("lost", 2.0), ("lost too", 3.0)]
    assert journal.failure == "disk full"
    journal.recovered()
    journal.stored(1, 4.0)
    assert journal.failure is None
    assert heard[2:] == [("patient", 4.0)]


def test_who_waits_again_when_told_is_not_lost(journal: Journal) -> None:
    heard: list[tuple[str, float]] = []
    journal.put("a", b"1")
    journal.take()
    journal.put("a", b"2")
    journal.when_committed(1, lambda at: journal.when_committed(2, told(heard, "again"), at), 1.0)
    journal.stored(1, 2.0)
    journal.take()
    journal.stored(2, 3.0)
    assert heard == [("again", 3.0)]


def test_while_the_store_has_failed_a_key_is_kept_once_however_often_it_changes(journal: Journal) -> None:
    journal.put("a", b"0")
    journal.take()
    journal.failed("disk full", 2.0)
    for number in range(1000):
        journal.put("a", b"%d" % number)
        journal.put("b", b"%d" % number)
        assert journal.take() is None
    journal.recovered()
    journal.stored(1, 3.0)
    assert journal.take() == Batch(2, {"a": b"999", "b": b"999"}, ())


def test_a_failed_store_is_promised_nothing_of(journal: Journal) -> None:
    heard: list[tuple[str, float]] = []
    journal.promise(0, told(heard, "kept"), told(heard, "broken"), 1.0)
    journal.failed("disk full", 2.0)
    journal.promise(0, told(heard, "kept"), told(heard, "broken"), 2.0)
    assert heard == [("kept", 1.0), ("broken", 2.0)]


def test_relaxed_stores_and_promises_without_waiting() -> None:
    journal = Journal(Durability.RELAXED)
    heard: list[tuple[str, float]] = []
    journal.put("a", b"1")
    journal.failed("disk full", 1.0)
    journal.promise(journal.revision, told(heard, "kept"), told(heard, "broken"), 2.0)
    assert heard == [("kept", 2.0)]
    assert journal.take() == Batch(1, {"a": b"1"}, ())


def test_without_durability_nothing_is_noted_and_nobody_waits() -> None:
    journal = Journal()
    heard: list[tuple[str, float]] = []
    journal.put("a", b"1")
    journal.delete("b")
    journal.when_committed(journal.revision, told(heard, "done"), 1.0)
    journal.promise(journal.revision, told(heard, "kept"), told(heard, "broken"), 1.0)
    assert heard == [("done", 1.0), ("kept", 1.0)]
    assert journal.take() is None
