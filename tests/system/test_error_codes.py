"""Open vSwitch 3.1 over OpenFlow 1.3 gives the errors that tests/openflow/error_cases says it gives."""
from __future__ import annotations

from collections.abc import Iterator
from struct import pack

import pytest

from tests.openflow.error_cases import (
    ACTION, CASES, POP_VLAN, PUSH_VLAN, Case, Error, action, flow_mod, group_action, out, sf, t,
)
from tests.system.private_ovs import PrivateOvs, Session, require

PACKET_OUT, FLOW_MOD, GROUP_MOD = 13, 14, 15
INDIRECT = 2


@pytest.fixture(scope="module")
def switch() -> Iterator[Session]:
    require()
    with PrivateOvs() as ovs:
        session = ovs.session()
        yield session
        session.close()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_flow_mod_gets_the_error_in_the_table(switch: Session, case: Case) -> None:
    assert switch.refusal(FLOW_MOD, flow_mod(case)) == case.switch


@pytest.mark.parametrize(("actions", "error"), [
    (sf(t(11, 1)), None),
    (POP_VLAN, None),
    (PUSH_VLAN * 3, None),
    (out(0xffffffff), (ACTION, 4)),
    (action(11, bytes(4)), (ACTION, 0)),
    (group_action(0xffffffff), None),
])
def test_buckets_are_not_held_against_a_match(switch: Session, actions: bytes, error: Error | None) -> None:
    bucket = pack("!HHII4x", 16 + len(actions), 0, 0xffffffff, 0xffffffff) + actions
    switch.request(GROUP_MOD, pack("!HBxI", 2, 0, 77))
    assert switch.refusal(GROUP_MOD, pack("!HBxI", 0, INDIRECT, 77) + bucket) == error


@pytest.mark.parametrize(("actions", "error"), [
    (out(0xfffffff9), None),
    (out(0xff00), (ACTION, 4)),
    (sf(t(5, 0x800)), (ACTION, 15)),
    (sf(t(11, 1)), (ACTION, 10)),
])
def test_actions_of_a_packet_out_are_held_against_the_packet(
    switch: Session, actions: bytes, error: Error | None,
) -> None:
    frame = bytes(12) + b"\x88\xb5" + bytes(46)
    body = pack("!IIH6x", 0xffffffff, 0xfffffffd, len(actions)) + actions + frame
    assert switch.refusal(PACKET_OUT, body) == error


def test_the_table_has_both_accepted_and_refused_forms() -> None:
    assert sum(case.switch is None for case in CASES) > 100
    assert sum(case.switch is not None for case in CASES) > 100
