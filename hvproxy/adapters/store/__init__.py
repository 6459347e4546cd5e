"""Where state is kept: what a store is, to all who use one. An engine is a module here.

Every engine passes tests/adapters/store/contract.py. Nothing blocks: everything returns a Deferred. What cannot be
done fails with StoreError, and may be tried again.

    engine      what it keeps
    sqlite      records in one file, of one process at a time; database is that file
    memory      records for as long as the process lives: it promises nothing
    committer   brings what the core leaves to be stored into a store, however often that takes
    worker      a thread for what would block
"""
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from twisted.internet.defer import Deferred


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The records under a prefix as they were at one moment."""

    revision: int
    """Of the last commit that is in it."""
    records: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Change:
    """What one commit has changed under a prefix."""

    revision: int
    puts: Mapping[str, bytes]
    deletes: tuple[str, ...]


@dataclass(eq=False, slots=True)
class Watch:
    """A prefix whose changes are told."""

    prefix: str
    told: Callable[[Change], None]

    def tell(self, change: Change) -> None:
        """Tell a commit if it changes anything under the prefix."""
        puts = {key: value for key, value in change.puts.items() if key.startswith(self.prefix)}
        deletes = tuple(key for key in change.deletes if key.startswith(self.prefix))
        if puts or deletes:
            self.told(Change(change.revision, puts, deletes))


class Store(Protocol):
    """Records, which are bytes under keys, for those who share a store."""

    def lease(self) -> Deferred[None]:
        """Become the one who may commit. It lasts until `close`, or until this process dies or cannot say any more
        that it lives; commits fail from then on. Fails with StoreHeld while another has it."""

    def load(self, prefix: str = "") -> Deferred[Snapshot]:
        """The records whose keys begin with `prefix`."""

    def watch(self, prefix: str, told: Callable[[Change], None]) -> Deferred[Snapshot]:
        """The same, and from then on `told` is called with every commit that changes them, in order, none left out."""

    def commit(self, puts: Mapping[str, bytes], deletes: tuple[str, ...]) -> Deferred[int]:
        """Store and delete records, all or none; its revision, which is higher than any before it, once it is safe.
        No key is in both. Commits take effect in the order they were asked for. One that has failed may have taken
        effect all the same."""

    def check(self) -> Deferred[None]:
        """Fails unless all that was committed is there and more can be; a store that can mends what it finds."""

    def close(self) -> Deferred[None]:
        """Give up the lease and everything else, after what was asked for before."""
