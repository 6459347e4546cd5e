"""What must be stored, until it is: which records have changed, in which batch they are, and who waits for that.

Records are bytes under keys; what they mean is the business of whoever notes them. At most one batch is on its way to
the store. What is noted meanwhile gathers for the next one, once per key however often it changes, and is encoded
when that batch is made: what a store that fails leaves behind is bounded by what there is, not by what happens.

Knows no store: Hypervisor.commands() hands the batches out, and what has become of them is told here.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

Value = bytes | Callable[[], bytes]
Told = Callable[[float], None]
"""Called with the time."""


class Durability(Enum):
    """What a barrier reply says about the store."""

    BARRIER = "barrier"
    """Everything before the barrier is stored."""
    RELAXED = "relaxed"
    """Nothing: what is not stored yet when hvproxy is killed is lost, barrier or not."""
    NONE = "none"
    """Nothing, and nothing is stored."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Changes that are stored all or not at all."""

    revision: int
    puts: Mapping[str, bytes]
    deletes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Waiting:
    """Somebody who is told when a revision is stored."""

    revision: int
    done: Told
    lost: Told | None
    """Called instead when the store fails first."""


class Journal:
    """The changes of one core, numbered."""

    def __init__(self, durability: Durability = Durability.NONE) -> None:
        self.durability = durability
        self.committed = 0
        """The last revision that is stored."""
        self.failure: str | None = None
        """Why the store cannot store anything now."""
        self._noted: dict[str, Value | None] = {}
        """What is in no batch yet; None: deleted."""
        self._taken = 0
        """The revision of the last batch."""
        self._waiting: list[Waiting] = []

    def put(self, key: str, value: Value) -> None:
        """Note a record, or how it is encoded when its batch is made."""
        if self.durability is not Durability.NONE:
            self._noted[key] = value

    def delete(self, key: str) -> None:
        """Note that there is no such record any more."""
        if self.durability is not Durability.NONE:
            self._noted[key] = None

    @property
    def revision(self) -> int:
        """What must be committed for everything noted so far to be stored."""
        return self._taken + bool(self._noted)

    def take(self) -> Batch | None:
        """The next batch; None when there is nothing to store, or the last one is not stored yet."""
        if not self._noted or self._taken > self.committed:
            return None
        noted, self._noted = self._noted, {}
        self._taken += 1
        puts = {key: value if isinstance(value, bytes) else value()
                for key, value in noted.items() if value is not None}
        return Batch(self._taken, puts, tuple(key for key, value in noted.items() if value is None))

    def when_committed(self, revision: int, done: Told, now: float, lost: Told | None = None) -> None:
        """Call `done` when a revision is stored, at once if it is. If the store has failed or fails before that, call
        `lost` instead; without `lost`, wait until the store is well again."""
        if revision <= self.committed:
            done(now)
        elif lost is not None and self.failure is not None:
            lost(now)
        else:
            self._waiting.append(Waiting(revision, done, lost))

    def promise(self, revision: int, kept: Told, broken: Told, now: float) -> None:
        """Call `kept` when what a barrier says is true of a revision, or `broken` if that cannot be said: while the
        store has failed nothing is promised, not even what was stored before, for another may hold the store."""
        if self.durability is not Durability.BARRIER:
            kept(now)
        elif self.failure is not None:
            broken(now)
        else:
            self.when_committed(revision, kept, now, broken)

    # What has become of the batches

    def stored(self, revision: int, now: float) -> None:
        """Everything up to a revision is stored."""
        self.committed = max(self.committed, revision)
        self._tell(lambda each: each.revision <= self.committed, now)

    def failed(self, reason: str, now: float) -> None:
        """The store cannot store; it goes on trying what it was given."""
        self.failure = reason
        self._tell(lambda each: each.lost is not None, now)

    def recovered(self) -> None:
        """The store stores again."""
        self.failure = None

    def _tell(self, told: Callable[[Waiting], bool], now: float) -> None:
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            if not told(each):
                self._waiting.append(each)
            elif each.revision <= self.committed:
                each.done(now)
            elif each.lost is not None:
                each.lost(now)
