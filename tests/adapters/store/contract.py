"""What every store must do. An engine's test derives from StoreContract and says how its stores are made.

Nothing here says when an answer comes: `wait` does what the engine needs for it, be it nothing, be it turning a loop.
"""
from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from hvproxy.adapters.store import Change, Snapshot, Store
from hvproxy.errors import StoreError, StoreHeld


class StoreContract(ABC):
    """The tests. Each has a space of its own, which all its stores share as processes share a database."""

    @abstractmethod
    def open(self) -> Store:
        """A store of the test's space, as a process has one."""

    @abstractmethod
    def die(self, store: Store) -> None:
        """The process of that store ends without a word, and as much time passes as others need to see it."""

    def wait(self, deferred: Deferred[Any]) -> Any:
        """Its result; raises what it fails with."""
        results: list[Any] = []
        deferred.addBoth(results.append)
        self.turn(results)
        assert len(results) == 1
        if isinstance(results[0], Failure):
            results[0].raiseException()
        return results[0]

    def turn(self, results: list[Any]) -> None:
        """Have done what is to be done until there is a result."""

    def leased(self) -> Store:
        store = self.open()
        self.wait(store.lease())
        self.wait(store.load())
        return store

    # Records

    def test_a_new_store_is_empty(self) -> None:
        assert dict(self.wait(self.leased().load()).records) == {}

    def test_what_is_committed_is_loaded_by_whoever_comes_after(self) -> None:
        store = self.leased()
        self.wait(store.commit({"a": b"1", "b": b"", "ü/\x7f": bytes(range(256)) * 300}, ()))
        revision = self.wait(store.commit({"a": b"2"}, ("b", "never there")))
        self.wait(store.close())
        assert self.wait(self.leased().load()) == Snapshot(revision, {"a": b"2", "ü/\x7f": bytes(range(256)) * 300})

    def test_what_is_committed_outlives_a_process_that_dies(self) -> None:
        store = self.leased()
        revision = self.wait(store.commit({"a": b"1"}, ()))
        self.die(store)
        assert self.wait(self.leased().load()) == Snapshot(revision, {"a": b"1"})

    def test_a_prefix_is_loaded_alone(self) -> None:
        store = self.leased()
        revision = self.wait(store.commit(
            {"a": b"0", "a/": b"1", "a/b": b"2", "a%b": b"3", "A/b": b"4", "b/": b"5"}, ()))
        assert self.wait(store.load("a/")) == Snapshot(revision, {"a/": b"1", "a/b": b"2"})
        assert self.wait(store.load("a%")) == Snapshot(revision, {"a%b": b"3"})

    def test_revisions_increase_and_are_the_order_of_what_was_asked_for(self) -> None:
        store = self.leased()
        asked = [store.commit({"key": b"%d" % number}, ()) for number in range(20)]
        revisions = [self.wait(each) for each in asked]
        assert revisions == sorted(set(revisions))
        assert self.wait(store.load()) == Snapshot(revisions[-1], {"key": b"19"})
        self.wait(store.close())
        assert self.wait(self.leased().commit({}, ("key",))) > revisions[-1]

    def test_a_snapshot_holds_whole_commits(self) -> None:
        store = self.leased()
        asked, loaded = [], []
        for number in range(1, 11):
            asked.append(store.commit({"one": b"%d" % number, "other": b"%d" % number}, ()))
            loaded.append(store.load())
        revisions = [self.wait(each) for each in asked]
        for each in loaded:
            snapshot = self.wait(each)
            assert snapshot.records.get("one") == snapshot.records.get("other")
            expected = b"%d" % (revisions.index(snapshot.revision) + 1) if snapshot.revision in revisions else None
            assert snapshot.records.get("one") == expected

    # Watches

    def test_a_watch_tells_every_change_of_its_prefix_in_order(self) -> None:
        store = self.leased()
        before = self.wait(store.commit({"a/old": b"0", "b": b"0"}, ()))
        told: list[Change] = []
        assert self.wait(store.watch("a/", told.append)) == Snapshot(before, {"a/old": b"0"})
        asked = [store.commit({"a/1": b"1", "b": b"1"}, ("a/old",)), store.commit({"b": b"2"}, ()),
                 store.commit({"a/1": b"2"}, ())]
        first, _, last = [self.wait(each) for each in asked]
        self.seen(told, 2)
        assert told == [Change(first, {"a/1": b"1"}, ("a/old",)), Change(last, {"a/1": b"2"}, ())]

    def test_a_watch_leaves_nothing_out_between_its_snapshot_and_what_it_tells(self) -> None:
        store = self.leased()
        told: list[Change] = []
        asked = [store.commit({"key": b"%d" % number}, ()) for number in range(5)]
        watching = store.watch("", told.append)
        asked += [store.commit({"key": b"%d" % number}, ()) for number in range(5, 10)]
        revisions = [self.wait(each) for each in asked]
        snapshot = self.wait(watching)
        rest = [revision for revision in revisions if revision > snapshot.revision]
        self.seen(told, len(rest))
        assert [change.revision for change in told] == rest

    def seen(self, told: list[Change], count: int) -> None:
        """Wait until so much has been told."""
        if len(told) < count:
            self.turn(told)

    # The lease

    def test_a_store_is_checked_by_whoever_has_it(self) -> None:
        store = self.leased()
        revision = self.wait(store.commit({"a": b"1"}, ()))
        assert self.wait(store.check()) is None
        assert self.wait(store.load()) == Snapshot(revision, {"a": b"1"})
        with pytest.raises(StoreError):
            self.wait(self.open().check())

    def test_nobody_commits_without_the_lease(self) -> None:
        store = self.open()
        with pytest.raises(StoreError):
            self.wait(store.commit({"a": b"1"}, ()))

    def test_the_lease_is_one_holders_until_he_closes(self) -> None:
        first, second = self.leased(), self.open()
        with pytest.raises(StoreHeld):
            self.wait(second.lease())
        self.wait(first.lease())
        self.wait(first.commit({"a": b"1"}, ()))
        self.wait(first.close())
        self.wait(second.lease())
        self.wait(second.load())
        self.wait(second.commit({"a": b"2"}, ()))

    def test_a_lease_is_lost_with_the_process_that_kept_it_alive(self) -> None:
        first = self.leased()
        self.wait(first.commit({"a": b"1"}, ()))
        self.die(first)
        second = self.leased()
        with pytest.raises(StoreError):
            self.wait(first.commit({"a": b"2"}, ()))
        assert self.wait(second.load()).records == {"a": b"1"}

    def test_what_was_asked_for_before_closing_is_stored(self) -> None:
        store = self.leased()
        asked = [store.commit({f"key {number}": b"1"}, ()) for number in range(3)]
        closed = store.close()
        revisions = [self.wait(each) for each in asked]
        self.wait(closed)
        assert self.wait(self.leased().load()) == Snapshot(revisions[-1], {f"key {n}": b"1" for n in range(3)})
