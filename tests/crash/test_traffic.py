"""A frame that does not come, comes again or comes to another port is told."""
from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from tests.crash.operations import LANES
from tests.crash.traffic import Traffic
from tests.crash.trial import lost
from tests.system.network import wait_until

Ends = dict[tuple[str, int], socket.socket]


@pytest.fixture
def ends() -> Iterator[tuple[Traffic, Ends]]:
    """Traffic whose sockets' other ends are here."""
    ours: Ends = {}
    theirs: Ends = {}
    for port in range(1, 6):
        ours["red", port], theirs["red", port] = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        ours["red", port].setblocking(False)
        theirs["red", port].settimeout(10)
    traffic = Traffic(ours, _arrived)
    yield traffic, theirs
    traffic.stop()
    for each in (*ours.values(), *theirs.values()):
        each.close()


def test_what_does_not_come_is_lost_what_comes_twice_is_doubled_and_elsewhere_it_is_strange(
        ends: tuple[Traffic, Ends]) -> None:
    traffic, theirs = ends
    frame = _frame(traffic, theirs)
    for port in (2, 2, 4):
        theirs["red", port].send(frame)
    tally = traffic.pause()
    assert [again for _, again in tally.doubled] == [2] and [place for place, _ in tally.strange] == [("red", 4)]
    assert ("red", 1, 1) not in [which for _, which, _ in tally.lost]
    assert ("red", 4, 1, {1, 2}) in [(*which, ports) for _, which, ports in tally.lost]
    assert tally.sent == len(tally.lost) + 1
    assert len(lost(tally)) >= 3 and len(lost(tally, lambda at: True)) == 2


def test_a_frame_that_comes_late_is_not_lost(ends: tuple[Traffic, Ends]) -> None:
    traffic, theirs = ends
    frame = _frame(traffic, theirs)
    wait_until(lambda: ("red", 1, 1) in traffic._late, "it is not late")
    theirs["red", 2].send(frame)
    tally = traffic.pause()
    assert ("red", 1, 1) not in [which for _, which, _ in tally.lost] and not tally.doubled


def test_what_was_sent_before_a_kill_has_come_or_is_not_excused(ends: tuple[Traffic, Ends]) -> None:
    traffic, theirs = ends
    frame, last = _frame(traffic, theirs), LANES[-1]
    while theirs["red", last.port].recv(2048)[15] != last.number:
        pass
    returned: list[float] = []
    waiting = threading.Thread(target=lambda: returned.append(traffic.caught_up()))
    waiting.start()
    theirs["red", 2].send(frame)
    waiting.join()
    tally = traffic.pause()
    assert ("red", 1, 1) not in [which for _, which, _ in tally.lost]
    assert ("red", last.number, 1) in [which for at, which, _ in tally.lost if at < returned[0]]


def test_what_comes_while_the_switches_come_to_rest_is_not_lost(ends: tuple[Traffic, Ends]) -> None:
    traffic, theirs = ends
    frame = _frame(traffic, theirs)
    tally = traffic.pause(lambda: theirs["red", 2].send(frame))
    assert tally.lost and ("red", 1, 1) not in [which for _, which, _ in tally.lost]


def test_it_passes_when_every_lane_has_carried_a_frame(ends: tuple[Traffic, Ends]) -> None:
    traffic, theirs = ends
    traffic.go()
    assert not traffic.passes()


def _arrived(end: socket.socket) -> list[bytes]:
    """The next datagram."""
    return [end.recv(2048)]


def _frame(traffic: Traffic, theirs: Ends) -> bytes:
    """The first frame of the first lane."""
    traffic.go()
    frame = theirs["red", LANES[0].port].recv(2048)
    assert frame[:6] == LANES[0].address.to_bytes(6, "big")
    return frame
