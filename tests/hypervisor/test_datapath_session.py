"""What is sent in a session with a switch, and when a barrier follows it although nobody asked."""
from __future__ import annotations

from math import inf

from hvproxy.hypervisor.datapath_session import CONFIRM_WITHIN, DatapathSession
from hvproxy.hypervisor.requests import SILENCE
from hvproxy.openflow.constants import of13
from hvproxy.openflow.messages import xid_of
from hvproxy.openflow.multipart import Kind, decode_multipart
from tests.hypervisor.contents import brief, put, rule
from tests.hypervisor.switch import Switch


class Bench:
    """A session, and the switch at its other end."""

    def __init__(self) -> None:
        self.switch = Switch(1)
        self.session = DatapathSession(self.switch.receive)
        self.told: list[object] = []

    def put(self, number: int, now: float) -> None:
        self.session.apply(put(rule(number)), lambda key: None, now)

    def ask(self, now: float) -> None:
        self.session.ask(Kind.FLOW, b"", self.told.append, lambda complete, at: self.told.append((complete, at)), now)

    def log(self) -> list[str]:
        return brief(self.switch.take_log())


def test_what_was_sent_is_followed_by_one_barrier_in_time() -> None:
    bench = Bench()
    assert bench.session.deadline == inf
    bench.put(1, 5.0)
    bench.put(2, 5.1)
    assert bench.session.deadline == 5.0 + CONFIRM_WITHIN
    bench.session.tick(5.0 + CONFIRM_WITHIN - 0.01)
    assert bench.log() == ["add 1", "add 2"]
    bench.session.tick(5.0 + CONFIRM_WITHIN)
    bench.session.tick(99.0)
    assert bench.log() == ["barrier"] and bench.session.deadline == inf


def test_a_barrier_that_somebody_asked_for_is_enough() -> None:
    bench = Bench()
    bench.put(1, 5.0)
    assert bench.session.barrier([bench.told.append]) == xid_of(bench.switch.replies[-1])
    assert bench.session.deadline == inf
    bench.session.confirm_sent()
    bench.session.tick(99.0)
    assert bench.log() == ["add 1", "barrier"]
    bench.put(2, 99.0)
    bench.session.confirm_sent()
    assert bench.log() == ["add 2", "barrier"]


def test_a_session_that_is_given_up_sends_no_barrier_by_itself() -> None:
    bench = Bench()
    bench.put(1, 5.0)
    assert not bench.session.given_up
    bench.session.give_up()
    bench.session.tick(99.0)
    assert bench.session.given_up and bench.log() == ["add 1"]


def test_a_question_is_answered_or_fails_after_a_silence() -> None:
    bench = Bench()
    bench.ask(5.0)
    assert bench.session.deadline == 5.0 + SILENCE
    (reply,) = (each for each in bench.switch.replies if each[1] == of13.OFPT_MULTIPART_REPLY)
    assert bench.session.requests.answered(decode_multipart(reply), 6.0)
    assert bench.told == [b"", (True, 6.0)]
    bench.ask(7.0)
    bench.session.tick(7.0 + SILENCE)
    assert bench.told[2:] == [(False, 7.0 + SILENCE)]


def test_without_a_switch_nothing_is_due() -> None:
    session = DatapathSession()
    assert not session.connected and DatapathSession(lambda data: None).connected
    session.tick(99.0)
    assert session.deadline == inf and not session.installed.unconfirmed
