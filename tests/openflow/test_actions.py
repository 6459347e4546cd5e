from __future__ import annotations

from struct import pack

import pytest

from hvproxy.errors import Refused
from hvproxy.openflow import actions
from hvproxy.openflow.constants import of13
from hvproxy.openflow.oxm import tlv
from tests.openflow.error_cases import (
    ACTIONS, DEC_MPLS_TTL, DEC_TTL, POP_VLAN, PUSH_MPLS, PUSH_VLAN, Case, action, apply, group_action, out, pop_mpls,
    sf, t,
)

CONTROLLER = 0xfffffffd
LIST = PUSH_VLAN + out(1) + sf(t(6, 0x1005)) + group_action(9) + out(CONTROLLER, 128) + DEC_TTL


@pytest.mark.parametrize("lowers", [
    DEC_TTL, DEC_MPLS_TTL, bytes.fromhex("ffff0018000023200015000100000000") + bytes(8),
])
def test_what_lowers_a_ttl_is_found(lowers: bytes) -> None:
    assert actions.decrements(out(1) + lowers + out(2))
    assert not actions.decrements(LIST[:-len(DEC_TTL)])


def test_walk_cuts_a_list_into_actions() -> None:
    assert list(actions.walk(LIST)) == [
        (17, PUSH_VLAN), (0, out(1)), (25, sf(t(6, 0x1005))), (22, group_action(9)), (0, out(CONTROLLER, 128)),
        (24, DEC_TTL),
    ]
    assert list(actions.walk(b"")) == []


def test_outputs_and_groups_in_order() -> None:
    assert actions.outputs(LIST) == (1, CONTROLLER)
    assert actions.groups(LIST) == (9,)
    assert actions.outputs(DEC_TTL) == actions.groups(b"") == ()


def test_what_a_list_names_counts_controllers_named_by_their_ids_as_the_controller() -> None:
    to_controller_3 = bytes.fromhex("ffff00100000232000140009000300" "00")
    assert actions.named(LIST + group_action(9)) == ({1, CONTROLLER}, {9})
    assert actions.named(out(2) + to_controller_3) == ({2, CONTROLLER}, set())
    assert actions.named(DEC_TTL) == actions.named(b"") == (set(), set())


def test_rewrite_replaces_outputs_and_groups_and_copies_the_rest() -> None:
    seen: list[tuple[int, ...]] = []

    def output(port: int, max_len: int) -> bytes:
        seen.append((port, max_len))
        return b"" if port == 1 else POP_VLAN + POP_VLAN

    def group(group_id: int) -> bytes:
        seen.append((group_id,))
        return out(7)

    assert actions.rewrite(LIST, output, group) == (
        PUSH_VLAN + sf(t(6, 0x1005)) + out(7) + POP_VLAN + POP_VLAN + DEC_TTL)
    assert seen == [(1, 0), (9,), (CONTROLLER, 128)]


@pytest.mark.parametrize("data", [b"", DEC_TTL, LIST, out(1)])
def test_rewrite_with_the_same_actions_changes_nothing(data: bytes) -> None:
    assert actions.rewrite(data, actions.output, actions.group) == data


def test_builders() -> None:
    assert actions.output(5) == out(5)
    assert actions.output(5, 99) == out(5, 99)
    assert actions.output(CONTROLLER) == out(CONTROLLER, 0xffff)
    assert actions.output(CONTROLLER, 128) == out(CONTROLLER, 128)
    assert actions.group(9) == group_action(9)
    assert actions.push_vlan() == PUSH_VLAN
    assert actions.push_vlan(0x88a8) == action(17, b"\x88\xa8\0\0")
    assert actions.pop_vlan() == POP_VLAN
    assert actions.set_field(tlv(3, 5)) == sf(t(3, 5))
    assert actions.set_field(tlv(27, 5)) == sf(t(27, 5))
    assert actions.set_vlan_vid(103) == sf(t(6, 0x1067))
    assert actions.resubmit(3) == action(0xffff, pack("!IHHB3x", 0x2320, 14, 0xfff8, 3))


def test_outputs_to_normal_are_refused_where_switches_lack_the_extensions() -> None:
    actions.refuse_extensions(out(1) + PUSH_VLAN)
    with pytest.raises(Refused) as refused:
        actions.refuse_extensions(out(1) + out(0xfffffffa))
    assert (refused.value.error_type, refused.value.code) == (2, 4)


@pytest.mark.parametrize(("sloppy", "wanted"), [
    (action(0, pack("!IH", 5, 99) + b"\1" * 6), out(5, 99)),
    (action(0, pack("!IH", CONTROLLER, 99) + b"\1" * 6), out(CONTROLLER, 99)),
    (action(17, b"\x81\x00\1\1"), PUSH_VLAN),
    (action(18, b"\1" * 4), POP_VLAN),
    (action(19, b"\x88\x47\1\1"), PUSH_MPLS),
    (action(20, b"\x08\x00\1\1"), pop_mpls(0x800)),
    (action(15, b"\x40\1\1\1"), action(15, b"\x40\0\0\0")),
    (action(23, b"\x40\1\1\1"), action(23, b"\x40\0\0\0")),
    (action(24, b"\1" * 4), DEC_TTL),
    (action(16, b"\1" * 4), DEC_MPLS_TTL),
    (sf(t(3, 5), bytes(10)), sf(t(3, 5))),
    (group_action(5), group_action(5)),
    (action(21, pack("!I", 7)), action(21, pack("!I", 7))),
    (action(0xffff, b"experiment12"), action(0xffff, b"experiment12")),
    (b"", b""),
])
def test_canonical_form(sloppy: bytes, wanted: bytes) -> None:
    assert actions.canonical(sloppy) == wanted
    assert actions.canonical(sloppy + DEC_TTL) == wanted + DEC_TTL
    assert actions.canonical(wanted) == wanted


@pytest.mark.parametrize("case", [case for case in ACTIONS if case.ours is None], ids=lambda case: case.name)
def test_canonical_form_is_stable(case: Case) -> None:
    once = actions.canonical(case.instructions[len(apply()):])
    assert actions.canonical(once) == once


def test_canonical_buckets() -> None:
    def bucket(body: bytes, padding: bytes = bytes(4)) -> bytes:
        return pack("!HHII", 16 + len(body), 3, 4, 0xffffffff) + padding + body

    sloppy = bucket(sf(t(3, 5), bytes(10)), b"\1" * 4) + bucket(b"", b"\1" * 4) + bucket(LIST)
    wanted = bucket(sf(t(3, 5))) + bucket(b"") + bucket(LIST)
    assert actions.canonical_buckets(sloppy) == wanted
    assert actions.canonical_buckets(wanted) == wanted
    assert actions.canonical_buckets(b"") == b""


def test_max_len_of_the_controller_is_whole_packets_unless_said() -> None:
    assert actions.output(of13.OFPP_CONTROLLER) == actions.output(of13.OFPP_CONTROLLER, of13.OFPCML_NO_BUFFER)


def test_what_sends_to_controllers_is_found_with_how_much_it_asks_for() -> None:
    theirs = bytes.fromhex("ffff0010000023200014 0028 0007 0000")
    data = actions.output(2, 9) + actions.output(of13.OFPP_CONTROLLER, 64) + actions.pop_vlan() + theirs
    assert actions.controllers(data) == [(0, 64), (7, 40)]
    assert actions.controllers(actions.output(of13.OFPP_CONTROLLER)) == [(0, of13.OFPCML_NO_BUFFER)]
