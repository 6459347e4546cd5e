"""Random flow-mods with Open vSwitch's own fields and actions."""
from __future__ import annotations

from hvproxy.errors import Refused
from hvproxy.openflow import actions, guard
from hvproxy.openflow.messages import decode_flow_mod
from hvproxy.openflow.oxm import Match
from tests.oracle.extensions import (
    TABLES, load, register, resubmit, sends_up, some_actions, some_extensions, some_flow_mod)
from tests.oracle.frames import Dice
from tests.oracle.script import DEFAULT, ORDINARY
from tools.emulator import wire


def test_actions_are_as_hvproxy_reads_them() -> None:
    actions.check(load(register(3), 4, 4, 9) + resubmit(2), match=None)


def test_most_flow_mods_are_valid() -> None:
    rng, taken = Dice(1, DEFAULT), 0
    for _ in range(300):
        step = some_flow_mod(rng)
        message = wire.message(step.kind, 1, step.body)
        try:
            guard.check(message, from_switch=False)
            Match.parse(decode_flow_mod(message).match)
            taken += 1
        except Refused:
            pass
    assert 230 < taken < 300


def test_resubmits_lead_to_later_tables() -> None:
    rng = Dice(2, DEFAULT)
    steps = [step for _ in range(60) for step in some_extensions(rng, ORDINARY) if step.kind == wire.FLOW_MOD]
    found = 0
    for step in steps:
        for table in TABLES:
            if resubmit(table) in step.body:
                found += 1
                assert step.body[16] < table
    assert found > 20


def test_a_list_sends_to_controllers_of_one_id() -> None:
    rng, several = Dice(3, DEFAULT), 0
    for _ in range(9000):
        own_ones = [action[12:14] for action in some_actions(rng, 1) if sends_up(action)]
        assert len(set(own_ones)) < 2
        several += len(own_ones) > 1
    assert several
