"""What time does to a logical switch: entries and barriers that end, hosts and sessions that have fallen silent.

Knows what is due and asks the edges where only they know (traps 4 to 6); what the answers mean is in counters, and what
follows from them in the tables.
"""
from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from hvproxy.hypervisor import barriers
from hvproxy.hypervisor.entries import Entry
from hvproxy.model.view import Dpid
from hvproxy.openflow.constants import of13

if TYPE_CHECKING:
    from hvproxy.hypervisor.logical_switch import LogicalSwitch


def deadline(ls: LogicalSwitch) -> float:
    """When `tick` has something to do next."""
    expiry = None if ls.asking_idle or ls.expiry_waits else ls.tables.next_expiry()
    times = [ls.farewells.deadline, ls.bundles.deadline, ls.buffers.deadline,
             inf if expiry is None else expiry]
    for session in ls.sessions.values():
        times += (session.channel.deadline, session.barrier_deadline, session.parts.deadline)
    return min(times)


def tick(ls: LogicalSwitch, now: float) -> None:
    """Expire entries and barriers, send what keeps sessions alive."""
    for session in list(ls.sessions.values()):
        if session.busy:
            session.channel.excuse(now)
        session.channel.tick(now)
        session.flush()
        for first, refused in session.parts.overdue(now):
            session.refuse(first, refused)
        if now >= session.barrier_deadline:
            overdue = session.overdue
            assert overdue is not None
            session.refuse(overdue, barriers.unkept())
            ls.unblock(session, now)
    ls.farewells.tick(ls, now)
    ls.bundles.tick(now)
    ls.buffers.tick(now)
    if ls.expiry_waits:
        return
    expired = ls.tables.expired(now)
    asked = {entry: dpids for entry, why in expired if (dpids := _must_be_asked(ls, entry, why)) is not None}
    _expire(ls, [(entry, why) for entry, why in expired if entry not in asked], now)
    if asked and not ls.asking_idle:
        # Nobody says they are idle but the last poll: ask once more before they go (trap 4).
        ls.asking_idle = True
        ls.read_counters(lambda at: _idle_counted(ls, at), now, {dpid for dpids in asked.values() for dpid in dpids})


def _must_be_asked(ls: LogicalSwitch, entry: Entry, why: int) -> set[Dpid] | None:
    """The edges that may know more of an entry that seems to expire: of its packets, or that it has been learnt again;
    None where nobody does."""
    if why == of13.OFPRR_IDLE_TIMEOUT:
        return set(entry.rules)
    answers = ls.aside.of(entry)
    return {dpid for answer in answers for dpid in answer.rules} if answers else None


def _idle_counted(ls: LogicalSwitch, now: float) -> None:
    ls.asking_idle = False
    _expire(ls, ls.tables.expired(now), now)


def _expire(ls: LogicalSwitch, expired: list[tuple[Entry, int]], now: float) -> None:
    for reason in {why for _, why in expired}:
        edits = ls.tables.remove([entry for entry, why in expired if why == reason], reason)
        ls.monitors.report(edits)
        ls.down.change(ls.edited(edits, now), now)


def let_expire(ls: LogicalSwitch, now: float) -> None:
    """All that can be known of the time before a restart is known: expire what is due when it has been read."""
    def counted(at: float) -> None:
        ls.expiry_waits = False

    if ls.expiry_waits:
        ls.read_counters(counted, now)


def poll_idle(ls: LogicalSwitch, now: float) -> None:
    """Ask the edges what entries with an idle timeout have counted: traffic anywhere keeps them (trap 4). What has
    taught entries with a hard timeout once more keeps those. Now and then the same for the hosts that NORMAL knows."""
    if now >= ls.hosts.next_look:
        ls.hosts.next_look = inf
        ls.read_counters(lambda at: _hosts_looked(ls, at), now)
        return
    if ls.aside.refreshes:
        ls.read_counters(lambda at: None, now)
        return
    idle = list(ls.tables.idle_entries())
    if idle:
        ls.read_counters(lambda at: None, now, {dpid for entry in idle for dpid in entry.rules})


def _hosts_looked(ls: LogicalSwitch, now: float) -> None:
    ls.send(ls.hidden_changes((), ls.hosts.looked(now)), now, None)
