"""The store in a file keeps the contract, and commits that wait share a transaction."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hvproxy.adapters.store import Change, Store
from hvproxy.adapters.store.database import Database
from hvproxy.adapters.store.sqlite import Runs, SqliteStore
from hvproxy.errors import StoreError
from tests.adapters.store.contract import StoreContract
from tests.adapters.store.work import AtOnce, WhenTold


class TestSqliteStore(StoreContract):
    """With work done at once."""

    @pytest.fixture(autouse=True)
    def space(self, tmp_path: Path) -> None:
        self._path = tmp_path / "store.db"
        self._databases: dict[Store, Database] = {}

    def made(self, worker: Runs) -> Store:
        database = Database(self._path)
        store = SqliteStore(database, worker)
        self._databases[store] = database
        return store

    def open(self) -> Store:
        return self.made(AtOnce())

    def die(self, store: Store) -> None:
        """As far as a process can do that to itself: what it has open is closed."""
        self._databases[store].close()


class TestSqliteStoreInAThread(TestSqliteStore):
    """With work that waits until somebody wants its result."""

    @pytest.fixture(autouse=True)
    def workers(self) -> None:
        self._workers: list[WhenTold] = []

    def open(self) -> Store:
        self._workers.append(WhenTold())
        return self.made(self._workers[-1])

    def turn(self, results: list[Any]) -> None:
        while any(worker.waiting for worker in self._workers):
            for worker in self._workers:
                worker.do(len(worker.waiting))


class Counted(Database):
    """Keeps how many commits each transaction had."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.transactions: list[int] = []

    def commit(self, batches: Any) -> int:
        self.transactions.append(len(batches))
        return super().commit(batches)


@pytest.fixture
def database(tmp_path: Path) -> Counted:
    database = Counted(tmp_path / "store.db")
    database.lock()
    database.load("")
    return database


def test_commits_asked_for_while_one_is_written_share_the_next_transaction(database: Counted) -> None:
    worker = WhenTold()
    store = SqliteStore(database, worker)
    told: list[Change] = []
    store.watch("", told.append)
    worker.do()
    revisions: list[int] = []
    for number in range(5):
        store.commit({"key": b"%d" % number}, ()).addCallback(revisions.append)
    worker.do()
    assert (database.transactions, revisions) == ([1], [1])
    worker.do()
    assert (database.transactions, revisions) == ([1, 4], [1, 2, 3, 4, 5])
    assert [(change.revision, change.puts["key"]) for change in told] == [
        (number + 1, b"%d" % number) for number in range(5)]
    assert worker.waiting == []


def test_commits_that_share_a_transaction_fail_together(database: Counted) -> None:
    worker = WhenTold()
    store = SqliteStore(database, worker)
    told: list[Change] = []
    store.watch("", told.append)
    failures: list[object] = []
    results: list[int] = []
    for number in range(3):
        store.commit({"key": b"%d" % number}, ()).addCallbacks(results.append, failures.append)
    worker.do(2)
    database.close()
    worker.do()
    assert results == [1] and len(told) == 1
    assert [failure.type for failure in failures] == [StoreError, StoreError]  # type: ignore[attr-defined]


def test_closing_writes_what_was_asked_for_and_ends_the_worker(database: Counted) -> None:
    worker = WhenTold()
    store = SqliteStore(database, worker)
    results: list[object] = []
    for number in range(3):
        store.commit({"key": b"%d" % number}, ()).addBoth(results.append)
    store.close().addBoth(results.append)
    while worker.waiting:
        worker.do()
    assert results == [1, 2, 3, None]
    assert worker.stopped
