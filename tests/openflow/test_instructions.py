from __future__ import annotations

from struct import pack

import pytest

from hvproxy.errors import Refused
from hvproxy.openflow.instructions import Instructions, build, canonical, check, decode, parse
from hvproxy.openflow.oxm import Match
from tests.openflow.error_cases import (
    ACTION, CLEAR, DEC_TTL, FULL64, INSTRUCTION, INSTRUCTIONS, METER, POP_VLAN, Case, apply, goto, judge, metadata, out,
    sf, t, write,
)

CONJUNCTION = pack("!HHIHBBI", 0xffff, 16, 0x2320, 34, 0, 2, 7)
EVERYTHING = Instructions(7, (1, 3), out(1), DEC_TTL + out(2), True, 9)


def meter(number: int) -> bytes:
    return pack("!HHI", 6, 8, number)


@pytest.mark.parametrize("case", INSTRUCTIONS, ids=lambda case: case.name)
def test_errors_are_those_of_the_table(case: Case) -> None:
    assert judge(case) == case.ours


def refusal(data: bytes, n_tables: int, table_id: int) -> tuple[int, int] | None:
    try:
        parse(data, n_tables, table_id)
    except Refused as refused:
        return refused.error_type, refused.code
    return None


def test_built_in_the_order_of_execution() -> None:
    data = meter(9) + apply(out(1)) + CLEAR + write(DEC_TTL, out(2)) + metadata(1, 3) + goto(7)
    assert build(EVERYTHING) == data
    assert build(Instructions()) == b""


def test_any_order_reads_the_same() -> None:
    data = goto(7) + metadata(1, 3) + write(DEC_TTL, out(2)) + CLEAR + apply(out(1)) + meter(9)
    assert parse(data) == decode(data) == EVERYTHING
    assert canonical(data) == build(EVERYTHING)


def test_lists_of_no_actions_read_as_absent() -> None:
    assert decode(apply() + write()) == parse(apply() + write()) == Instructions()


@pytest.mark.parametrize("metadata_and_mask", [(7, 1), (7, 0), (1 << 40, 0xff)])
def test_a_write_metadata_stays_as_it_came(metadata_and_mask: tuple[int, int]) -> None:
    written = metadata(*metadata_and_mask)
    assert parse(written).metadata == metadata_and_mask
    assert build(parse(written)) == written


def test_action_lists_are_canonical() -> None:
    sloppy = apply(sf(t(3, 1), bytes(10))) + write(out(1, 99))
    assert decode(sloppy) == Instructions(apply=sf(t(3, 1)), write=out(1, 99))


@pytest.mark.parametrize("beside", [
    Instructions(goto=3), Instructions(metadata=(1, 1)), Instructions(clear=True), Instructions(meter=1),
    Instructions(write=out(2))])
def test_nothing_stands_beside_a_conjunction(beside: Instructions) -> None:
    alone = build(Instructions(apply=CONJUNCTION))
    assert parse(alone).apply == CONJUNCTION
    for more in (build(beside), pack("!HH4x", 3, 8)):
        with pytest.raises(Refused) as refused:
            parse(alone + more)
        assert (refused.value.error_type, refused.value.code) == (0xffff, 15)


def test_meters_have_numbers_up_to_a_last() -> None:
    for number in (1, 0xffff0000):
        assert parse(meter(number)).meter == number
    for number in (0, 0xffff0001, 0xffffffff):
        with pytest.raises(Refused) as caught:
            parse(meter(number))
        assert (caught.value.error_type, caught.value.code) == (METER, 2)


@pytest.mark.parametrize(("n_tables", "table_id", "error"), [
    (8, 6, None), (7, 6, (INSTRUCTION, 2)), (8, 7, (INSTRUCTION, 2)), (8, 255, None), (255, 0, None),
])
def test_goto_goes_forward_to_a_table_that_exists(n_tables: int, table_id: int, error: tuple[int, int] | None) -> None:
    assert refusal(goto(7), n_tables, table_id) == error


def test_a_switch_may_hold_what_a_tenant_may_not() -> None:
    data = metadata(1 << 63, FULL64) + goto(7)
    assert decode(data) == Instructions(goto=7, metadata=(1 << 63, FULL64))
    assert canonical(data) == data
    assert refusal(data, 8, 0) == (INSTRUCTION, 4)


def test_unknown_instructions_of_a_switch_stay_as_they_are() -> None:
    data = goto(7) + pack("!HH4x", 9, 8)
    assert canonical(data) == data


def test_actions_written_are_judged_behind_those_applied() -> None:
    check(Instructions(apply=POP_VLAN, write=POP_VLAN), Match.from_tlvs(t(6, 0x1005)))
    with pytest.raises(Refused) as caught:
        check(Instructions(apply=POP_VLAN, write=sf(t(6, 0x1005))), Match.from_tlvs(t(6, 0x1005)))
    assert (caught.value.error_type, caught.value.code) == (ACTION, 10)


def test_types_the_guard_would_find_are_refused_here_too() -> None:
    assert refusal(pack("!HHI", 0xffff, 8, 0x2320), 4, 0) == (INSTRUCTION, 5)
    assert refusal(pack("!HH4x", 9, 8), 4, 0) == (INSTRUCTION, 0)
