"""Whose bytes are worked on next, with work that takes as long as the test says."""
from __future__ import annotations

from collections.abc import Iterator

import pytest
from twisted.internet.task import Clock

from hvproxy.adapters.turns import EXPENSIVE, LATELY, PIECE, REST, Turns

RED, BLUE, SWITCH = 1, 2, 3
OWNERS = {RED: "red", BLUE: "blue", SWITCH: None}
CHEAP = EXPENSIVE / 10


class Office:
    """Turns whose work takes `cost` seconds a piece, and what was done when."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.cost: dict[int, float] = {}
        self.done: list[tuple[int, bytes]] = []
        self.held: set[int] = set()
        self.ever_held: set[int] = set()
        self.turns = Turns(self.clock, self.work, self.hold, self.held.discard)

    def work(self, conn: int, data: bytes) -> None:
        self.done.append((conn, data))
        self.clock.rightNow += self.cost.get(conn, CHEAP)

    def hold(self, conn: int) -> None:
        self.held.add(conn)
        self.ever_held.add(conn)

    def arrive(self, conn: int, data: bytes) -> None:
        self.turns.arrived(conn, OWNERS[conn], data)

    def of(self, conn: int) -> bytes:
        return b"".join(data for at, data in self.done if at == conn)

    def quiet(self) -> None:
        """Until nothing waits."""
        for call in self.calls():
            self.clock.advance(max(0.0, call - self.clock.seconds()))

    def calls(self) -> Iterator[float]:
        while self.clock.getDelayedCalls():
            yield self.clock.getDelayedCalls()[0].getTime()


@pytest.fixture
def office() -> Office:
    return Office()


def test_alone_everything_is_worked_on_as_it_comes(office: Office) -> None:
    office.cost[RED] = 1.0
    for _ in range(3):
        office.arrive(RED, bytes(PIECE * 5))
        office.arrive(SWITCH, bytes(PIECE * 5))
    assert [len(data) for _, data in office.done] == [PIECE * 5] * 6
    assert not office.ever_held


def test_beside_another_much_is_worked_on_in_pieces_and_in_order(office: Office) -> None:
    office.arrive(BLUE, b"b")
    data = bytes(range(256)) * (PIECE // 64)
    office.arrive(RED, data)
    assert office.held == {RED} and office.of(RED) == b""
    office.quiet()
    assert office.of(RED) == data and not office.held
    assert all(len(piece) <= PIECE for _, piece in office.done)


def test_what_arrives_of_a_held_connection_comes_after_what_waits(office: Office) -> None:
    office.arrive(BLUE, b"b")
    office.arrive(RED, b"1" * PIECE * 2)
    office.arrive(RED, b"2")
    office.quiet()
    assert office.of(RED) == b"1" * PIECE * 2 + b"2"


def test_little_of_one_passes_by_much_of_another(office: Office) -> None:
    office.arrive(BLUE, b"b")
    office.arrive(RED, bytes(PIECE * 10))
    office.clock.callLater(CHEAP / 2, office.arrive, BLUE, b"barrier")  # while the first piece is worked on
    office.quiet()
    assert [conn for conn, _ in office.done] == [BLUE, RED, BLUE] + [RED] * 9


def test_much_of_two_is_worked_on_in_turn(office: Office) -> None:
    office.arrive(BLUE, b"b")
    office.arrive(RED, bytes(PIECE * 8))
    office.arrive(BLUE, bytes(PIECE * 8))
    office.quiet()
    order = [conn for conn, data in office.done if len(data) == PIECE]
    assert all({first, second} == {RED, BLUE} for first, second in zip(order[2:12:2], order[3:12:2]))


def test_who_has_used_less_lately_comes_first(office: Office) -> None:
    office.cost[RED] = 5.0
    office.arrive(RED, b"r")  # alone, and long
    office.arrive(BLUE, b"b")
    office.arrive(RED, bytes(PIECE * 2))
    office.arrive(BLUE, bytes(PIECE * 2))
    office.quiet()
    assert [conn for conn, data in office.done if len(data) == PIECE] == [BLUE, BLUE, RED, RED]


def test_after_something_expensive_a_controller_rests_and_the_others_do_not(office: Office) -> None:
    office.cost[RED] = 10 * EXPENSIVE
    office.arrive(BLUE, b"b")
    office.arrive(RED, b"1")  # at once, as it is little
    over = office.clock.seconds() + REST * office.cost[RED]
    office.arrive(RED, b"2")
    assert office.held == {RED}
    office.arrive(BLUE, b"c")
    office.clock.advance(over - office.clock.seconds() - 1e-6)
    assert office.of(RED) == b"1" and office.of(BLUE) == b"bc"
    office.clock.advance(2e-6)
    assert office.of(RED) == b"12" and not office.held


def test_an_owner_of_nothing_but_expensive_messages_gets_a_tenth_of_the_time(office: Office) -> None:
    office.cost[RED] = 10 * EXPENSIVE
    pieces, start = 50, office.clock.seconds()
    office.arrive(BLUE, b"b")
    office.arrive(RED, bytes(PIECE * pieces))
    while office.held:
        office.arrive(BLUE, b"b")
        office.clock.advance(LATELY / 100)
    busy = pieces * office.cost[RED]
    assert busy / (office.clock.seconds() - start) == pytest.approx(1 / (1 + REST), rel=0.25)


def test_many_connections_of_one_owner_are_one(office: Office) -> None:
    office.cost[RED] = 10 * EXPENSIVE
    office.arrive(BLUE, b"b")
    office.arrive(RED, b"1")
    office.turns.arrived(99, "red", b"2")
    assert office.held == {99} and office.of(99) == b""


def test_a_switch_does_not_rest(office: Office) -> None:
    office.cost[SWITCH] = 10 * EXPENSIVE
    office.arrive(BLUE, b"b")
    office.arrive(RED, b"r")
    start = office.clock.seconds()
    office.arrive(SWITCH, bytes(PIECE * 4))
    office.quiet()
    assert office.clock.seconds() - start == pytest.approx(4 * office.cost[SWITCH])


def test_an_active_neighbour_is_forgotten(office: Office) -> None:
    office.arrive(BLUE, b"b")
    office.clock.advance(LATELY)
    office.arrive(RED, bytes(PIECE * 3))
    assert office.of(RED) == bytes(PIECE * 3) and not office.ever_held


def test_nothing_is_worked_on_of_a_closed_connection(office: Office) -> None:
    office.arrive(BLUE, b"b")
    office.arrive(RED, bytes(PIECE * 3))
    office.turns.gone(RED)
    office.quiet()
    assert office.of(RED) == b""


def test_a_fault_in_the_work_stops_nobody_elses(office: Office) -> None:
    def fails(conn: int, data: bytes) -> None:
        if conn == RED:
            raise ValueError(data)
        office.work(conn, data)
    turns = Turns(office.clock, fails, office.hold, office.held.discard)
    turns.arrived(BLUE, "blue", b"b")
    turns.arrived(RED, "red", bytes(PIECE * 2))
    turns.arrived(BLUE, "blue", bytes(PIECE * 2))
    for _ in range(4):
        try:
            office.clock.advance(0)
        except ValueError:
            continue
    assert len(office.of(BLUE)) == 1 + PIECE * 2 and not office.held


def test_more_to_do_without_bytes_has_its_turn_too(office: Office) -> None:
    office.turns.more(RED, "red")
    office.turns.more(RED, "red")
    assert office.done == [] and office.held == {RED}
    office.arrive(BLUE, b"b")
    office.quiet()
    assert office.done == [(BLUE, b"b"), (RED, b"")] and not office.held


def test_who_asks_for_more_while_it_works_is_not_read_until_it_asks_no_more(office: Office) -> None:
    left = 3

    def work(conn: int, data: bytes) -> None:
        nonlocal left
        office.work(conn, data)
        left -= 1
        if left:
            turns.more(conn, "red")
            assert conn in office.held
    turns = Turns(office.clock, work, office.hold, office.held.discard)
    turns.arrived(RED, "red", b"long")
    assert office.held == {RED}
    office.quiet()
    assert office.done == [(RED, b"long"), (RED, b""), (RED, b"")] and not office.held


def test_when_stopped_nothing_more_is_done(office: Office) -> None:
    office.arrive(BLUE, b"b")
    office.arrive(RED, bytes(PIECE * 3))
    office.turns.stop()
    assert office.of(RED) == b"" and not office.clock.getDelayedCalls()
