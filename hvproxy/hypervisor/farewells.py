"""FLOW_REMOVED to the tenant: exactly once, with the sum of what every edge counted last (trap 6).

An entry that is gone waits here until its rules have told their last counts, or a datapath has stayed silent too long.
So does the number an entry had until its counters were reset, of which a tenant hears in the tables' counters only.
Whoever needs these counts waits too: see `settled`.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

from hvproxy.hypervisor.counters import LATEST
from hvproxy.hypervisor.entries import Entry
from hvproxy.openflow import build
from hvproxy.openflow.constants import of13

if TYPE_CHECKING:
    from hvproxy.hypervisor.logical_switch import LogicalSwitch

PATIENCE = LATEST
LATE = 1.0
"""Seconds that packets of an entry may come after all else has been told of it: Open vSwitch tells of a removed rule at
once, but of packets when the thread that met them has handed them over."""
METER_DELETE = 4
"""The reason of OpenFlow 1.4 for entries that went with their meter. As Open vSwitch, a controller is told of them only
if it asked for that bit, and then that they were deleted, for OpenFlow 1.3 lacks the reason."""


@dataclass(slots=True)
class _Farewell:
    entry: Entry
    number: int
    """The entry's when it was removed or reset, in the cookies of its rules."""
    reason: int | None
    removed: float
    awaited: int
    serial: int


@dataclass(slots=True)
class _Curious:
    """Wants to know once the farewells with a serial below `before` are over; `left` of them are not."""

    before: int
    left: int
    done: Callable[[float], None]


class Farewells:
    """The entries that are gone but not yet accounted for."""

    def __init__(self) -> None:
        self._waiting: dict[int, _Farewell] = {}
        self._parted: dict[int, tuple[Entry, float]] = {}
        """By number the entries that are accounted for, and until when they are remembered; the oldest first."""
        self._curious: list[_Curious] = []
        self._serial = 0

    @property
    def deadline(self) -> float:
        if not self._waiting and not self._parted:
            return inf
        removed = next((oldest.removed for oldest in self._waiting.values()), inf)
        forgotten = next((until for _, until in self._parted.values()), inf)
        return min(removed + PATIENCE, forgotten)

    def expect(self, logical_switch: LogicalSwitch, entry: Entry, reason: int | None, now: float) -> None:
        """`entry` was removed; `reason` is an OFPRR_*, or None where no tenant shall hear."""
        logical_switch.take_back(entry)
        awaited = sum(len(rules) for dpid, rules in entry.rules.items() if logical_switch.down.ready(dpid))
        self._part(logical_switch, _Farewell(entry, entry.number, reason, now, awaited, self._serial), now)

    def expect_reset(self, logical_switch: LogicalSwitch, entry: Entry, number: int, awaited: int, now: float) -> None:
        """`number` stands for the counters of `entry` no more, and so many of its rules have not told theirs."""
        self._part(logical_switch, _Farewell(entry, number, None, now, awaited, self._serial), now)

    def awaits(self, number: int) -> bool:
        """Whether the last counts of that entry number are still to come."""
        return number in self._waiting

    def entry(self, number: int) -> Entry | None:
        """The entry that had that number until lately, so that packets may still be its."""
        farewell = self._waiting.get(number)
        if farewell is not None:
            return farewell.entry
        return self._parted[number][0] if number in self._parted else None

    def remember(self, entry: Entry, number: int, now: float) -> None:
        """`entry` has that number no more, and packets that carry it may still come."""
        self._parted.pop(number, None)
        self._parted[number] = (entry, now + LATE)

    def settled(self, done: Callable[[float], None], now: float) -> None:
        """Call `done` once every entry that is gone by now is accounted for: at the latest after PATIENCE."""
        if self._waiting:
            self._curious.append(_Curious(self._serial, len(self._waiting), done))
        else:
            done(now)

    def withdraw(self, number: int, now: float) -> None:
        """The removal was undone."""
        farewell = self._waiting.pop(number, None)
        if farewell is not None:
            self._over(farewell, now)

    def counted(self, logical_switch: LogicalSwitch, number: int, now: float) -> None:
        """A rule of that entry number was removed, its counts are in the counters."""
        farewell = self._waiting.get(number)
        if farewell is not None:
            farewell.awaited -= 1
            if farewell.awaited <= 0:
                self._finish(logical_switch, farewell, now)

    def tick(self, logical_switch: LogicalSwitch, now: float) -> None:
        """Let go of those that have waited long enough."""
        for number, (_, until) in list(self._parted.items()):
            if now < until:
                break
            del self._parted[number]
        if now >= self.deadline:
            for farewell in list(self._waiting.values()):
                if now >= farewell.removed + PATIENCE:
                    self._finish(logical_switch, farewell, now)

    def _part(self, logical_switch: LogicalSwitch, farewell: _Farewell, now: float) -> None:
        self._serial += 1
        self._waiting[farewell.number] = farewell
        if farewell.awaited <= 0:
            self._finish(logical_switch, farewell, now)

    def _over(self, farewell: _Farewell, now: float) -> None:
        for each in self._curious:
            each.left -= farewell.serial < each.before
        satisfied = [each for each in self._curious if not each.left]
        self._curious = [each for each in self._curious if each.left]
        for each in satisfied:
            each.done(now)

    def _finish(self, logical_switch: LogicalSwitch, farewell: _Farewell, now: float) -> None:
        entry = farewell.entry
        del self._waiting[farewell.number]
        self.remember(entry, farewell.number, now)
        packets, octets = logical_switch.counters.total(farewell.number)
        logical_switch.retire(entry, farewell.number)
        self._tell(logical_switch, farewell, packets, octets, now)
        self._over(farewell, now)

    @staticmethod
    def _tell(logical_switch: LogicalSwitch, farewell: _Farewell, packets: int, octets: int, now: float) -> None:
        entry, why = farewell.entry, farewell.reason
        if why is None or not entry.flags & of13.OFPFF_SEND_FLOW_REM:
            return
        lived = max(0.0, farewell.removed - entry.created)
        reason = of13.OFPRR_DELETE if why == METER_DELETE else why
        message = build.flow_removed(
            0, entry.cookie, entry.priority, reason, entry.table_id, int(lived), int(lived % 1 * 1e9),
            entry.idle_timeout, entry.hard_timeout, packets, octets, entry.match.tlvs)

        def stored(at: float) -> None:
            for session in logical_switch.sessions.values():
                if session.wants_flow_removed(why):
                    session.send(message)

        # What is told to be gone does not come back, and is not told again, after a restart.
        logical_switch.ledger.told_gone(stored, now)
