"""Which entry times out next, without looking at all of them.

A heap of (when to look, entry). Traffic only ever puts an entry's deadline off, so an entry is looked at when its
old deadline has passed and queued again; only flow-mods can bring a deadline forward, and they say so. Knows no clock.
"""
from __future__ import annotations

from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from math import inf

from hvproxy.hypervisor.entries import Entry

_SLACK = 64
"""Dead items in the heap that are not worth a rebuild."""


class Expiry:
    """The entries with timeouts."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Entry]] = []
        self._pushed = 0
        self._timed: dict[Entry, None] = {}
        self._idle: dict[Entry, None] = {}

    def __len__(self) -> int:
        return len(self._timed)

    def schedule(self, entry: Entry) -> None:
        """Call when an entry is new or anything but `used` has changed its deadline."""
        deadline = entry.deadline
        if deadline == inf:
            self.forget(entry)
            return
        self._timed[entry] = None
        if entry.idle_timeout:
            self._idle[entry] = None
        else:
            self._idle.pop(entry, None)
        if entry.queued is None or deadline < entry.queued[0]:
            self._push(deadline, entry)
            self._compact()

    def forget(self, entry: Entry) -> None:
        """Call when an entry is gone."""
        self._timed.pop(entry, None)
        self._idle.pop(entry, None)
        entry.queued = None

    def idle_entries(self) -> Iterator[Entry]:
        """The entries with an idle timeout: those whose traffic must be polled for."""
        return iter(self._idle)

    def next_look(self) -> float | None:
        """The earliest deadline, None when there is none."""
        while self._heap:
            when, index, entry = self._heap[0]
            if (when, index) == entry.queued and when == entry.deadline:
                return when
            self._requeue_first()
        return None

    def expired(self, now: float) -> list[tuple[Entry, int]]:
        """(entry, OFPRR_*) of all whose deadline has passed, earliest first. Those not removed are told again."""
        due: list[tuple[Entry, int]] = []
        while self._heap and self._heap[0][0] <= now:
            when, index, entry = self._heap[0]
            reason = entry.expiry_reason(now) if (when, index) == entry.queued else None
            if reason is None:
                self._requeue_first()
            else:
                heappop(self._heap)
                due.append((entry, reason))
        for entry, _reason in due:
            self._push(entry.deadline, entry)
        return due

    def _requeue_first(self) -> None:
        when, index, entry = heappop(self._heap)
        if (when, index) == entry.queued:
            self._push(entry.deadline, entry)

    def _push(self, deadline: float, entry: Entry) -> None:
        self._pushed += 1
        entry.queued = (deadline, self._pushed)
        heappush(self._heap, (deadline, self._pushed, entry))

    def _compact(self) -> None:
        """Entries added and removed all day long must not pile up until their distant deadlines."""
        if len(self._heap) <= 2 * len(self._timed) + _SLACK:
            return
        self._heap = [(*entry.queued, entry) for entry in self._timed if entry.queued is not None]
        heapify(self._heap)
