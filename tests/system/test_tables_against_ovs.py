"""A logical switch over real Open vSwitch with as many tables as a plain bridge, also those that hold nothing."""
from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from hvproxy.model.layout import HOLDING_TABLES
from tests.system import ovs
from tests.system.network import wait_until
from tests.system.side_by_side import LOGICAL, MARK, PLAIN, SideBySide
from tests.tools.controller import apply, bucket, flow_mod, goto, group, group_mod, match, output, write
from tools.emulator import wire

TABLE_FULL, EPERM = (5, 1), (1, 5)
FRAME = b"\2\0\0\0\0\2" + MARK + b"\x88\xb5" + bytes(46)
LAST = b"\2\0\0\0\0\1" + MARK + b"\x88\xb6" + bytes(46)
ADD, MODIFY, MODIFY_STRICT, DELETE, DELETE_STRICT = range(5)


@pytest.fixture(scope="module")
def both() -> Iterator[SideBySide]:
    ovs.require()
    with SideBySide(tables=254) as started:
        yield started


def refused(both: SideBySide, kind: int, body: bytes) -> Callable[[str], object]:
    return lambda side: both.sessions[side].refusal(kind, body)


def counts(both: SideBySide, side: str) -> list[tuple[int, int, int, int]]:
    """(table, active, looked up, matched) of every table."""
    body = both.sessions[side].ask(wire.MULTIPART_REQUEST, b"\0\3" + bytes(6))[16:]
    return [(body[at], int.from_bytes(body[at + 4:at + 8], "big"), int.from_bytes(body[at + 8:at + 16], "big"),
             int.from_bytes(body[at + 16:at + 24], "big")) for at in range(0, len(body), 24)]


def came(both: SideBySide, side: str, frame: bytes) -> list[int]:
    """The ports that a frame into port 1 comes out of."""
    both.out(side)
    both.send(side, 1, frame)
    both.ovs.carry_on()  # of frames that it takes together Open vSwitch may carry a later one first
    both.send(side, 1, LAST)
    found: list[tuple[int, bytes]] = []
    wait_until(lambda: found.extend(both.out(side)) or (3, LAST) in found, "the last frame has not come")
    return sorted(port for port, data in found if data == frame)


def test_a_packet_ends_alike_in_every_table_where_nothing_is(both: SideBySide) -> None:
    """Open vSwitch carries out the action set of a packet that no entry matches."""
    for side in (PLAIN, LOGICAL):
        assert both.sessions[side].request(wire.GROUP_MOD, group_mod(0, 0, 7, bucket(output(3)))) == []
        last = flow_mod(match(ETH_TYPE=0x88B6), apply(output(3)), priority=9)
        assert both.sessions[side].request(wire.FLOW_MOD, last) == []
    ways: set[tuple[int, ...]] = set()
    for table in (5, HOLDING_TABLES - 1, HOLDING_TABLES, 253, 254, 255):
        for doing in ((apply(output(2)),), (write(output(2)),), (apply(output(2)), write(group(7))),
                      (apply(output(2)), write(output(3)))):
            entry = flow_mod(match(), b"".join(doing) + goto(table), priority=1)
            both.same(refused(both, wire.FLOW_MOD, entry), f"goto {table}")
            both.ovs.forget_flows()
            both.same(lambda side: came(both, side, FRAME), f"goto {table}: {entry.hex()}")
            ways.add(tuple(came(both, PLAIN, FRAME)))
            came(both, LOGICAL, FRAME)
    assert ways == {(2,), (2, 3)}


def test_packets_are_looked_up_in_tables_that_hold_nothing(both: SideBySide) -> None:
    both.ovs.carry_on()
    both.ovs.forget_flows()  # what came before is counted
    for side in (PLAIN, LOGICAL):
        assert both.sessions[side].refusal(wire.FLOW_MOD, flow_mod(command=DELETE, table=255)) is None
        assert both.sessions[side].refusal(wire.FLOW_MOD, flow_mod(match(ETH_TYPE=0x88B6), apply(output(3)))) is None
        assert both.sessions[side].refusal(wire.FLOW_MOD, flow_mod(match(ETH_TYPE=0x88B5), goto(250))) is None
    before = {side: {table: seen for table, _, seen, _ in counts(both, side)} for side in (PLAIN, LOGICAL)}
    for side in (PLAIN, LOGICAL):
        for _ in range(3):
            assert came(both, side, FRAME) == []

    def more(side: str) -> list[tuple[int, ...]]:
        rows = ((table, active, seen - before[side][table]) for table, active, seen, _ in counts(both, side))
        return [row for row in rows if row[1] or row[2]]

    both.ovs.carry_on()
    both.ovs.forget_flows()
    assert both.same(more) == [(0, 2, 6), (250, 0, 3)]
    assert len(counts(both, PLAIN)) == len(counts(both, LOGICAL)) == 254


def test_the_last_tables_take_no_entries_and_all_else(both: SideBySide) -> None:
    for table in (HOLDING_TABLES, 253):
        session = both.sessions[LOGICAL]
        assert session.refusal(wire.FLOW_MOD, flow_mod(match(IN_PORT=1), table=table)) == TABLE_FULL
        for command in (MODIFY, MODIFY_STRICT, DELETE, DELETE_STRICT):
            both.same(refused(both, wire.FLOW_MOD, flow_mod(match(IN_PORT=1), table=table, command=command)))
        both.same(refused(both, wire.TABLE_MOD, bytes((table, 0, 0, 0)) + bytes(4)))
        body = b"\0\1" + bytes(6) + bytes((table, 0, 0, 0)) + b"\xff" * 8 + bytes(20) + b"\0\1\0\4" + bytes(4)
        both.same(lambda side: both.sessions[side].ask(wire.MULTIPART_REQUEST, body)[8:])
    last = flow_mod(match(IN_PORT=1), table=HOLDING_TABLES - 1)
    assert both.sessions[LOGICAL].refusal(wire.FLOW_MOD, last) is None


def test_the_hidden_table_is_refused_alike(both: SideBySide) -> None:
    told = set()
    for command in (ADD, MODIFY, MODIFY_STRICT, DELETE, DELETE_STRICT, 5):
        for where in (match(), match(IN_PORT=1)):
            for doing in ((), (apply(output(2)),), (apply(group(77)),), (goto(3),)):
                asked = flow_mod(where, b"".join(doing), table=254, command=command)
                told.add(both.same(refused(both, wire.FLOW_MOD, asked), f"{command} {where.hex()} {doing!r}"))
    assert {EPERM, None} < told
    both.same(refused(both, wire.TABLE_MOD, b"\xfe\0\0\0" + bytes(4)))
