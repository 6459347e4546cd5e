"""A fixture's connection lives on while nobody reads it."""
from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.system.connection import HEADER, Connection, answer_echoes

ECHO = HEADER.pack(4, 2, 11, 7) + b"abc"
ANSWER = HEADER.pack(4, 3, 11, 7) + b"abc"
NEWS = HEADER.pack(4, 12, 10, 0) + b"xy"
Ends = tuple[Connection, socket.socket]


@pytest.fixture
def ends() -> Iterator[Ends]:
    """A connection, and what the switch has of it."""
    ours, theirs = socket.socketpair()
    with closing(Connection(ours, 10.0)) as connection, theirs:
        theirs.settimeout(10.0)
        yield connection, theirs


def test_echo_requests_are_answered_and_all_else_is_kept_in_order(ends: Ends) -> None:
    connection, switch = ends
    switch.sendall(NEWS + ECHO + NEWS[:9])
    answer_echoes()
    assert switch.recv(100) == ANSWER
    switch.sendall(NEWS[9:] + ECHO + ANSWER)
    assert [connection.message() for _ in range(3)] == [NEWS, NEWS, ANSWER]
    assert switch.recv(100) == ANSWER


def test_nothing_is_waited_for(ends: Ends) -> None:
    answer_echoes()
    ends[1].sendall(ECHO[:5])
    answer_echoes()
    ends[1].sendall(ECHO[5:])
    answer_echoes()
    assert ends[1].recv(100) == ANSWER


def test_the_end_is_told_to_who_reads(ends: Ends) -> None:
    connection, switch = ends
    switch.sendall(NEWS + ECHO)
    switch.close()
    answer_echoes()
    answer_echoes()
    assert connection.message() == NEWS
    with pytest.raises(ConnectionError):
        connection.message()
