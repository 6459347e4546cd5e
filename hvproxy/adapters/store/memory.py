"""A store that lives as long as the process, or in tests as long as its space: the contract without a disk."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from twisted.internet.defer import Deferred, fail, succeed

from hvproxy.adapters.store import Change, Snapshot, Watch
from hvproxy.errors import StoreError, StoreHeld


@dataclass(slots=True)
class Space:
    """What stores share that are to be one."""

    revision: int = 0
    records: dict[str, bytes] = field(default_factory=dict)
    holder: MemoryStore | None = None
    """Who has the lease."""
    watches: list[Watch] = field(default_factory=list)


class MemoryStore:
    """One user of a space."""

    def __init__(self, space: Space | None = None) -> None:
        self._space = space or Space()
        self._watches: list[Watch] = []

    def lease(self) -> Deferred[None]:
        if self._space.holder not in (None, self):
            return fail(StoreHeld("another has this memory"))
        self._space.holder = self
        return succeed(None)

    def load(self, prefix: str = "") -> Deferred[Snapshot]:
        records = {key: value for key, value in self._space.records.items() if key.startswith(prefix)}
        return succeed(Snapshot(self._space.revision, records))

    def watch(self, prefix: str, told: Callable[[Change], None]) -> Deferred[Snapshot]:
        watch = Watch(prefix, told)
        self._watches.append(watch)
        self._space.watches.append(watch)
        return self.load(prefix)

    def commit(self, puts: Mapping[str, bytes], deletes: tuple[str, ...]) -> Deferred[int]:
        space = self._space
        if space.holder is not self:
            return fail(StoreError("the lease is not held"))
        space.revision += 1
        space.records.update(puts)
        for key in deletes:
            space.records.pop(key, None)
        for watch in list(space.watches):
            watch.tell(Change(space.revision, puts, deletes))
        return succeed(space.revision)

    def check(self) -> Deferred[None]:
        return succeed(None) if self._space.holder is self else fail(StoreError("the lease is not held"))

    def close(self) -> Deferred[None]:
        space = self._space
        if space.holder is self:
            space.holder = None
        space.watches = [watch for watch in space.watches if watch not in self._watches]
        return succeed(None)
