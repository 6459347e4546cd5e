"""Random entries that learn and that track connections, and the packets they meet."""
from __future__ import annotations

from collections.abc import Callable

import pytest

from hvproxy.errors import Refused
from hvproxy.openflow import actions, guard, nicira_ct
from hvproxy.openflow.constants import of13
from hvproxy.openflow.instructions import check, parse
from hvproxy.openflow.messages import decode_flow_mod
from hvproxy.openflow.oxm import Match
from hvproxy.trace.frame import Frame
from tests.oracle.extensions import own
from tests.oracle.frames import ADDRESSES, Dice
from tests.oracle.operations import Step
from tests.oracle.script import DEFAULT
from tests.oracle.tracking import (
    LEARNING, TABLES, TRACKING, ct, nat, removal, some_connections, some_packet, some_pupils, some_teacher,
    some_tracker)
from tests.openflow import test_nicira_ct as forms
from tools.emulator import wire


def taken(make: Callable[[Dice], Step], tries: int = 300) -> int:
    """How many of so many flow-mods hvproxy takes."""
    rng, found = Dice(1, DEFAULT), 0
    for _ in range(tries):
        step = make(rng)
        message = wire.message(step.kind, 1, step.body)
        try:
            guard.check(message, from_switch=False)
            mod = decode_flow_mod(message)
            check(parse(mod.instructions), Match.parse(mod.match))
            found += 1
        except Refused:
            pass
    return found


def test_most_entries_are_valid() -> None:
    assert 200 < taken(some_tracker) < 300
    assert 150 < taken(some_teacher) < 300


def test_actions_are_as_hvproxy_reads_them() -> None:
    assert ct(1, 5, 3, nat(1, 0x01020304)) == forms.ct(1, forms.nat(1, 1, forms.V4), table=3)


@pytest.mark.parametrize("make, cookie", [(some_pupils, LEARNING), (some_connections, TRACKING)])
def test_what_depends_on_the_order_of_packets_goes_before_others_come(
        make: Callable[[Dice, tuple[()]], list[Step]], cookie: int) -> None:
    rng = Dice(2, DEFAULT)
    for _ in range(30):
        steps = make(rng, ())
        assert steps[-2].body == removal(cookie).body and len({step.by for step in steps}) == 1
        assert all(step.kind >= 0 for step in steps)
        for step in steps:
            if step.kind == wire.FLOW_MOD:
                assert decode_flow_mod(wire.message(step.kind, 1, step.body)).cookie == cookie


def test_no_action_set_waits_where_connections_are_tracked() -> None:
    rng, seen = Dice(3, DEFAULT), 0
    for _ in range(300):
        step = some_tracker(rng)
        mod = decode_flow_mod(wire.message(step.kind, 1, step.body))
        try:
            read = parse(mod.instructions)
        except Refused:
            continue
        assert mod.table_id in TABLES and not read.write and (read.goto is None or read.goto in TABLES)
        for kind, action in actions.walk(read.apply):
            if kind == of13.OFPAT_EXPERIMENTER and nicira_ct.is_ct(action):
                table = nicira_ct.table(action)
                assert table is None or mod.table_id < table and table in TABLES
                seen += table is not None
    assert seen > 50


def test_no_packet_has_an_address_that_connections_are_translated_into() -> None:
    rng, rewritten = Dice(5, DEFAULT), []
    for _ in range(2000):
        body = some_tracker(rng).body
        place = body.find(own(36, bytes(4))[4:10])
        while place > 0:
            if body[place + 11] == 1:  # an address
                rewritten.append(int.from_bytes(body[place + 12:place + 16], "big"))
            place = body.find(own(36, bytes(4))[4:10], place + 1)
    assert len(rewritten) > 100 and len(set(rewritten)) > len(rewritten) - 3
    assert not set(rewritten) & set(ADDRESSES)


def test_packets_are_of_few_connections_and_each_is_told_from_the_others() -> None:
    rng = Dice(4, DEFAULT)
    packets = [some_packet(rng) for _ in range(400)]
    assert len(set(packets)) > 300  # of TCP over IPv6 some are alike
    ends = {tuple(sorted(Frame(packet, 1).fields.items())[4:]) for packet in packets}
    assert len(ends) < 300
