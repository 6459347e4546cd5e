"""FLOW_REMOVED to the tenant: exactly once, with the sum of what every edge counted last (trap 6).

An entry that is gone waits here until its rules have told their last counts, or a datapath has stayed silent too long.
"""
from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

from hvproxy.hypervisor.entries import Entry
from hvproxy.model.view import Dpid
from hvproxy.openflow import build
from hvproxy.openflow.constants import of13

if TYPE_CHECKING:
    from hvproxy.hypervisor.logical_switch import LogicalSwitch

PATIENCE = 2.0
"""Seconds a datapath has to report the last counts of a rule it was told to remove."""


@dataclass(slots=True)
class _Farewell:
    entry: Entry
    number: int
    """The entry's when it was removed, in the cookies of its rules."""
    reason: int | None
    removed: float
    awaited: int


class Farewells:
    """The entries that are gone but not yet accounted for."""

    def __init__(self) -> None:
        self._waiting: dict[int, _Farewell] = {}

    @property
    def deadline(self) -> float:
        for oldest in self._waiting.values():
            return oldest.removed + PATIENCE
        return inf

    def expect(self, logical_switch: LogicalSwitch, entry: Entry, reason: int | None, now: float) -> None:
        """`entry` was removed; `reason` is an OFPRR_*, or None where no tenant shall hear."""
        awaited = sum(len(rules) for dpid, rules in entry.rules.items() if logical_switch.down.ready(dpid))
        farewell = _Farewell(entry, entry.number, reason, now, awaited)
        self._waiting[entry.number] = farewell
        if not awaited:
            self._finish(logical_switch, farewell)

    def awaits(self, number: int) -> bool:
        """Whether the last counts of that entry number are still to come."""
        return number in self._waiting

    def withdraw(self, number: int) -> None:
        """The removal was undone."""
        self._waiting.pop(number, None)

    def counted(self, logical_switch: LogicalSwitch, dpid: Dpid, number: int) -> None:
        """A rule of that entry number was removed from `dpid`, its counts are in the counters."""
        farewell = self._waiting.get(number)
        if farewell is not None:
            farewell.awaited -= 1
            if farewell.awaited <= 0:
                self._finish(logical_switch, farewell)

    def tick(self, logical_switch: LogicalSwitch, now: float) -> None:
        """Let go of those that have waited long enough."""
        if now >= self.deadline:
            for farewell in list(self._waiting.values()):
                if now >= farewell.removed + PATIENCE:
                    self._finish(logical_switch, farewell)

    def _finish(self, logical_switch: LogicalSwitch, farewell: _Farewell) -> None:
        entry = farewell.entry
        del self._waiting[farewell.number]
        packets, octets = logical_switch.counters.total(farewell.number)
        logical_switch.retire(entry, farewell.number)
        if farewell.reason is None or not entry.flags & of13.OFPFF_SEND_FLOW_REM:
            return
        lived = max(0.0, farewell.removed - entry.created)
        message = build.flow_removed(
            0, entry.cookie, entry.priority, farewell.reason, entry.table_id, int(lived), int(lived % 1 * 1e9),
            entry.idle_timeout, entry.hard_timeout, packets, octets, entry.match.tlvs)
        for session in logical_switch.sessions.values():
            if session.wants_packets:
                session.send(message)
