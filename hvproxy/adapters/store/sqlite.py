"""The store in one SQLite file, of one process at a time.

Commits that are asked for while another is written share the next transaction, and with it the wait for the disk.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from hvproxy.adapters.store import Change, Snapshot, Watch
from hvproxy.adapters.store.database import Database

T = TypeVar("T")


class Runs(Protocol):
    """Who does what would block, in order (worker.Worker)."""

    def run(self, work: Callable[[], T]) -> Deferred[T]: ...
    def stop(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Asked:
    """A commit that is not written yet."""

    puts: Mapping[str, bytes]
    deletes: tuple[str, ...]
    done: Deferred[int]


class SqliteStore:
    """A database, used through a worker."""

    log = Logger()

    def __init__(self, database: Database, worker: Runs) -> None:
        self._database = database
        self._worker = worker
        self._watches: list[Watch] = []
        self._asked: list[Asked] = []
        self._writing = False

    def lease(self) -> Deferred[None]:
        return self._worker.run(self._database.lock)

    def load(self, prefix: str = "") -> Deferred[Snapshot]:
        return self._worker.run(lambda: Snapshot(*self._database.load(prefix)))

    def watch(self, prefix: str, told: Callable[[Change], None]) -> Deferred[Snapshot]:
        def loaded(snapshot: Snapshot) -> Snapshot:
            # Results come in the order of the work: what was written before is told, what is after is not yet.
            self._watches.append(Watch(prefix, told))
            return snapshot

        return self.load(prefix).addCallback(loaded)

    def commit(self, puts: Mapping[str, bytes], deletes: tuple[str, ...]) -> Deferred[int]:
        asked = Asked(puts, deletes, Deferred())
        self._asked.append(asked)
        if not self._writing:
            self._write()
        return asked.done

    def check(self) -> Deferred[None]:
        def checked(revision: int) -> None:
            self._tell_renewals()

        return self._worker.run(lambda: self._database.commit(())).addCallback(checked)

    def close(self) -> Deferred[None]:
        def closed(result: None) -> None:
            self._worker.stop()

        self._write()
        return self._worker.run(self._database.close).addCallback(closed)

    def _write(self) -> None:
        if self._asked:
            asked, self._asked = self._asked, []
            self._writing = True
            self._worker.run(lambda: self._database.commit([(each.puts, each.deletes) for each in asked])).addBoth(
                self._written, asked)

    def _written(self, result: int | Failure, asked: list[Asked]) -> None:
        self._writing = False
        self._tell_renewals()
        if isinstance(result, Failure):
            for each in asked:
                each.done.errback(result)
        else:
            first = result - len(asked) + 1
            for revision, each in enumerate(asked, first):
                for watch in list(self._watches):
                    watch.tell(Change(revision, each.puts, each.deletes))
                each.done.callback(revision)
        self._write()

    def _tell_renewals(self) -> None:
        while self._database.renewals:
            renewal = self._database.renewals.pop(0)
            self.log.error("the store was lost: it is written anew from memory, and what stood there is kept",
                           why=renewal.why, kept="nothing" if renewal.kept is None else str(renewal.kept))
