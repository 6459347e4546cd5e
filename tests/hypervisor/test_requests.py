"""Outstanding multipart requests: every one ends exactly once."""
from __future__ import annotations

import math

import pytest

from hvproxy.hypervisor import requests
from hvproxy.hypervisor.requests import SILENCE, Requests
from hvproxy.openflow.constants import of13
from hvproxy.openflow.multipart import Kind, Multipart

MORE = of13.OFPMPF_REPLY_MORE


class Asked:
    """One request with number 7, and what was heard of it."""

    def __init__(self) -> None:
        self.requests = Requests()
        self.parts: list[bytes] = []
        self.ends: list[tuple[bool, float]] = []
        self.requests.begin(7, Kind.FLOW, self.parts.append, lambda ok, now: self.ends.append((ok, now)), 0.0)


def test_parts_are_handed_on_as_they_come_and_the_last_ends_it() -> None:
    asked = Asked()
    assert asked.requests.answered(Multipart(7, Kind.FLOW, MORE, b"a"), 1.0)
    assert (asked.parts, asked.ends) == ([b"a"], [])
    assert asked.requests.answered(Multipart(7, Kind.FLOW, 0, b"b"), 2.0)
    assert (asked.parts, asked.ends) == ([b"a", b"b"], [(True, 2.0)])
    assert not asked.requests.answered(Multipart(7, Kind.FLOW, 0, b"c"), 3.0)
    assert not asked.requests.failed(7, 3.0)
    assert asked.ends == [(True, 2.0)]


@pytest.mark.parametrize("reply", [Multipart(8, Kind.FLOW, 0, b""), Multipart(7, Kind.TABLE, 0, b"")])
def test_reply_that_was_not_asked_for_is_nobodys(reply: Multipart) -> None:
    asked = Asked()
    assert not asked.requests.answered(reply, 1.0)
    assert (asked.parts, asked.ends) == ([], [])


def test_error_ends_it() -> None:
    asked = Asked()
    assert asked.requests.failed(7, 1.0)
    assert asked.ends == [(False, 1.0)]


def test_lost_session_ends_all_in_order() -> None:
    asked = Asked()
    ends: list[str] = []
    asked.requests.begin(3, Kind.TABLE, asked.parts.append, lambda ok, now: ends.append("second"), 0.0)
    asked.requests.lost(1.0)
    asked.requests.lost(2.0)
    assert asked.ends == [(False, 1.0)] and ends == ["second"] and asked.requests.deadline == math.inf


def test_silence_ends_it_and_a_part_prolongs_it() -> None:
    asked = Asked()
    assert asked.requests.deadline == SILENCE
    asked.requests.answered(Multipart(7, Kind.FLOW, MORE, b"a"), 10.0)
    asked.requests.tick(SILENCE)
    assert asked.ends == [] and asked.requests.deadline == 10.0 + SILENCE
    asked.requests.tick(10.0 + SILENCE)
    assert asked.ends == [(False, 10.0 + SILENCE)]


def test_answer_without_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "MOST", 10)
    asked = Asked()
    asked.requests.answered(Multipart(7, Kind.FLOW, MORE, bytes(10)), 1.0)
    assert asked.ends == []
    assert asked.requests.answered(Multipart(7, Kind.FLOW, MORE, b"x"), 2.0)
    assert asked.ends == [(False, 2.0)] and asked.parts == [bytes(10)]


def test_session_that_ends_while_a_part_is_taken_ends_it_once() -> None:
    ends: list[bool] = []
    outstanding = Requests()
    outstanding.begin(1, Kind.FLOW, lambda body: outstanding.lost(0.0), lambda ok, now: ends.append(ok), 0.0)
    outstanding.answered(Multipart(1, Kind.FLOW, 0, b""), 0.0)
    assert ends == [False]


def test_time_in_which_nothing_was_read_is_no_silence() -> None:
    asked = Asked()
    asked.requests.excuse(5.0)
    asked.requests.tick(SILENCE + 4.9)
    assert not asked.ends and asked.requests.deadline == SILENCE + 5.0
    asked.requests.tick(SILENCE + 5.0)
    assert asked.ends == [(False, SILENCE + 5.0)]
