from __future__ import annotations

import pytest

from hvproxy.errors import Refused
from hvproxy.openflow.action_checks import check, check_each, check_order, inconsistent
from hvproxy.openflow.oxm import Match
from hvproxy.openflow.oxm_fields import Headers
from tests.openflow.error_cases import (
    ACTION, ACTIONS, IP, POP_VLAN, PUSH_MPLS, PUSH_VLAN, VLAN, Case, action, judge, out, pop_mpls, sf, t,
)


@pytest.mark.parametrize("case", ACTIONS, ids=lambda case: case.name)
def test_errors_are_those_of_the_table(case: Case) -> None:
    assert judge(case) == case.ours


def refusal(data: bytes, match: Match | None = None, packet_out: bool = False) -> tuple[int, int] | None:
    try:
        check(data, match=match, packet_out=packet_out)
    except Refused as refused:
        return refused.error_type, refused.code
    return None


def test_without_a_match_only_the_actions_themselves_are_judged() -> None:
    assert refusal(POP_VLAN + sf(t(11, 1)) + PUSH_VLAN * 3) is None
    assert refusal(POP_VLAN, Match.EMPTY) == (ACTION, 10)
    assert refusal(POP_VLAN, Match.from_tlvs(VLAN)) is None
    assert refusal(out(0)) == (ACTION, 4)


def test_the_pipeline_is_an_output_of_packet_outs_only() -> None:
    assert refusal(out(0xfffffff9), packet_out=True) is None
    assert refusal(out(0xfffffff9)) == (ACTION, 4)


def test_order_tells_what_is_known_behind_the_actions() -> None:
    assert check_order(PUSH_VLAN, Headers()) == (Headers(vlans=1), False)
    assert check_order(POP_VLAN, Headers()) == (Headers(), True)
    assert check_order(POP_VLAN, Headers(0x800, 6, vlans=1)) == (Headers(0x800, 6), False)
    assert check_order(PUSH_MPLS, Headers(0x800, 6)) == (Headers(0x8847), False)
    assert check_order(pop_mpls(0x800), Headers(0x8847)) == (Headers(0x800), False)


def test_misfits_are_the_callers_to_refuse() -> None:
    check_each(POP_VLAN)
    with pytest.raises(Refused) as caught:
        inconsistent()
    assert (caught.value.error_type, caught.value.code) == (ACTION, 10)


def test_the_same_faulty_list_is_refused_each_time() -> None:
    match = Match.from_tlvs(IP)
    assert [refusal(sf(t(26, 1)), match) for _ in range(2)] == [(ACTION, 10)] * 2


def test_types_and_lengths_the_guard_would_find_are_refused_here_too() -> None:
    assert refusal(action(29, bytes(4))) == (ACTION, 0)
    assert refusal(sf(t(3, 1, size=4))) == (ACTION, 14)
    assert refusal(sf(t(3, 0, size=0))) == (ACTION, 13)
