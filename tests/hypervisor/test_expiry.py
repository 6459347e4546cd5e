from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from hvproxy.hypervisor.entries import Entry
from hvproxy.hypervisor.expiry import Expiry
from hvproxy.openflow.constants import of13
from hvproxy.openflow.instructions import parse
from hvproxy.openflow.oxm import Match


def entry(idle: int = 0, hard: int = 0, now: float = 0.0) -> Entry:
    return Entry(1, 0, 1, Match.EMPTY, parse(b""), 0, idle, hard, 0, now)


def test_nothing_expires_without_timeouts() -> None:
    expiry = Expiry()
    expiry.schedule(entry())
    assert (len(expiry), expiry.next_look(), expiry.expired(1e9), list(expiry.idle_entries())) == (0, None, [], [])


def test_expired_is_told_again_until_forgotten() -> None:
    expiry, one = Expiry(), entry(hard=5)
    expiry.schedule(one)
    assert expiry.expired(5.0) == expiry.expired(5.0) == [(one, of13.OFPRR_HARD_TIMEOUT)]
    expiry.forget(one)
    assert expiry.expired(5.0) == []
    assert expiry.next_look() is None


def test_earliest_first() -> None:
    expiry, late, early = Expiry(), entry(hard=9), entry(hard=3)
    expiry.schedule(late)
    expiry.schedule(early)
    assert [found for found, _ in expiry.expired(10.0)] == [early, late]


def test_traffic_puts_the_next_look_off() -> None:
    expiry, one = Expiry(), entry(idle=5)
    expiry.schedule(one)
    one.used = 4.0
    assert expiry.expired(8.9) == []
    assert expiry.next_look() == 9.0


def test_an_entry_that_comes_back_is_told_once() -> None:
    expiry, one = Expiry(), entry(hard=5)
    expiry.schedule(one)
    expiry.forget(one)
    expiry.schedule(one)
    assert expiry.expired(6.0) == [(one, of13.OFPRR_HARD_TIMEOUT)]


def test_entries_that_come_and_go_leave_nothing_behind() -> None:
    expiry = Expiry()
    for _ in range(10_000):
        one = entry(hard=60_000)
        expiry.schedule(one)
        expiry.forget(one)
    assert len(expiry._heap) < 200


class AgainstScan(RuleBasedStateMachine):
    """The queue tells what looking at every entry would tell."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.expiry = Expiry()
        self.held: list[Entry] = []
        self.gone: list[Entry] = []

    @rule(idle=st.integers(0, 4), hard=st.integers(0, 4))
    def add(self, idle: int, hard: int) -> None:
        self.held.append(entry(idle, hard, self.now))
        self.expiry.schedule(self.held[-1])

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def see_traffic(self, data: Any) -> None:
        data.draw(st.sampled_from(self.held)).used = self.now

    @precondition(lambda self: self.held)
    @rule(data=st.data(), idle=st.integers(0, 4), hard=st.integers(0, 4))
    def change(self, data: Any, idle: int, hard: int) -> None:
        one = data.draw(st.sampled_from(self.held))
        one.idle_timeout, one.hard_timeout, one.modified = idle, hard, self.now
        self.expiry.schedule(one)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def forget(self, data: Any) -> None:
        one = data.draw(st.sampled_from(self.held))
        self.held.remove(one)
        self.gone.append(one)
        self.expiry.forget(one)

    @precondition(lambda self: self.gone)
    @rule()
    def bring_back(self) -> None:
        self.held.append(self.gone.pop())
        self.expiry.schedule(self.held[-1])

    @rule(seconds=st.sampled_from([0.0, 0.5, 1.0, 3.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def expire(self) -> None:
        due = self.expiry.expired(self.now)
        for one, _ in due:
            self.expiry.forget(one)
            self.held.remove(one)
        assert all(one.expiry_reason(self.now) is None for one in self.held)

    @invariant()
    def tells_what_a_scan_tells(self) -> None:
        due = self.expiry.expired(self.now)
        assert sorted(map(id, (one for one, _ in due))) == sorted(
            id(one) for one in self.held if one.deadline <= self.now)
        assert all(reason == one.expiry_reason(self.now) for one, reason in due)
        timed = [one.deadline for one in self.held if one.idle_timeout or one.hard_timeout]
        assert self.expiry.next_look() == (min(timed) if timed else None)
        assert set(self.expiry.idle_entries()) == {one for one in self.held if one.idle_timeout}


TestAgainstScan = AgainstScan.TestCase
TestAgainstScan.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
