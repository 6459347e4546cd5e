"""The action learn; what is told of it was tried on Open vSwitch 3.1 (tests/system/test_learning_against_ovs.py)."""
from __future__ import annotations

import pytest

from hvproxy.errors import Refused
from hvproxy.openflow import nicira, nicira_checks, nicira_learn
from hvproxy.openflow.action_checks import check_each
from hvproxy.openflow.nicira_learn import Spec, is_learn, read, text
from hvproxy.openflow.nicira_parts import Part
from hvproxy.openflow.oxm_fields import Headers
from tests.openflow.learn_cases import (
    BACK, BAD_ARGUMENT, BAD_TYPE, CASES, ETH_DST, ETH_SRC, IN_PORT, LOAD, MATCH, OUTPUT, REG0, TCI, TO_PORT, bundle,
    field, learn, value,
)

LEARNS = {name: case for name, case in CASES.items() if name.startswith("learn")}


def refusal(action: bytes, *, in_set: bool = False) -> tuple[int, int] | None:
    try:
        nicira_checks.check(action, in_set=in_set)
        nicira_checks.check_order(action, Headers())
    except Refused as refused:
        return refused.error_type, refused.code
    return None


@pytest.mark.parametrize("name", LEARNS)
def test_errors_are_those_of_open_vswitch(name: str) -> None:
    action, wanted = LEARNS[name]
    assert refusal(action) == wanted


def test_what_is_hvproxys_is_refused() -> None:
    metadata, reg15 = 0x80000408, 0x00011e04
    assert refusal(learn(field(LOAD, 16, metadata, REG0, first=20))) == (2, 15)
    assert refusal(learn(field(MATCH, 16, REG0, metadata, to=20))) == (2, 15)
    assert refusal(learn(field(LOAD, 16, REG0, IN_PORT))) == (2, 15)
    assert refusal(learn(field(MATCH, 16, REG0, reg15))) == (2, 13)
    assert refusal(learn(BACK, fin=(1, 0))) == BAD_ARGUMENT
    assert refusal(learn(field(LOAD, 32, 0x00014a04, REG0))) == BAD_ARGUMENT
    assert refusal(learn(field(MATCH, 8, IN_PORT, IN_PORT))) == (4, 8)
    assert refusal(learn(BACK), in_set=True) == BAD_TYPE


def test_it_is_read_as_it_was_written() -> None:
    action = learn(BACK, value(LOAD, 12, 0x123, REG0, to=4), TO_PORT, table=3, idle=1, hard=2, priority=4, cookie=5,
                   flags=3)
    found = read(action)
    assert (found.table_id, found.idle_timeout, found.hard_timeout, found.priority, found.cookie, found.flags) == (
        3, 1, 2, 4, 5, 3)
    assert found.specs == (
        Spec(MATCH, Part(ETH_SRC, 0, 48), 0, Part(ETH_DST, 0, 48)), Spec(LOAD, None, 0x123, Part(REG0, 4, 12)),
        Spec(OUTPUT, Part(IN_PORT, 0, 16), 0, None))
    assert is_learn(action) and not is_learn(bundle(1))
    assert nicira_learn.canonical(action) == action


def test_it_has_one_form() -> None:
    newer = learn(field(MATCH, 48, 0x80000806, 0x80000606), TO_PORT)
    assert nicira.canonical(newer) == learn(BACK, TO_PORT)
    padded = learn(BACK, TO_PORT, bytes(16))
    assert nicira.canonical(padded) == learn(BACK, TO_PORT)
    wrong = learn(BACK, table=255)
    assert nicira.canonical(wrong) == wrong


def test_it_is_told_in_words() -> None:
    assert text(learn(BACK, field(LOAD, 12, TCI, REG0), value(LOAD, 4, 5, REG0, to=4), TO_PORT, hard=9, flags=1)) == (
        "learn(table=2,hard_timeout=9,priority=9,send_flow_rem,cookie=0x5,eth_dst[]=eth_src[],"
        "load:vlan_tci[0..11]->reg0[0..11],load:0x5->reg0[4..7],output:in_port[])")
    assert text(learn(BACK, table=255)) is None


def test_a_list_learns_so_much_at_most() -> None:
    check_each(learn(BACK) * 8)
    with pytest.raises(Refused) as raised:
        check_each(learn(BACK) * 9)
    assert (raised.value.error_type, raised.value.code) == (2, 7)
