"""Open vSwitch's own actions; what is told of `OVS` was tried on Open vSwitch 3.1 over OpenFlow 1.3."""
from __future__ import annotations

from struct import pack

import pytest

from hvproxy.errors import Refused
from hvproxy.openflow import actions, nicira
from hvproxy.openflow.action_checks import check_each, refuse_extensions
from hvproxy.openflow.constants import of13
from hvproxy.openflow.nicira_parts import field_of, part_text
from hvproxy.openflow.instructions import Instructions, build, check, parse
from hvproxy.openflow.oxm import Match
from hvproxy.openflow.oxm_fields import BY_NUMBER
from hvproxy.openflow.text import actions_text
from tests.openflow.error_cases import IP, out, sf, t

REG0, REG1, METADATA, ETH_SRC, ETH_DST = 0x00010004, 0x00010204, 0x80000408, 0x00000406, 0x00000206
IN_PORT, TUN_ID, ETH_TYPE, IP_SRC, XREG1 = 0x00000002, 0x00012008, 0x00000602, 0x00000e04, 0x80010208
REG15, XREG7, XXREG3 = 0x00011e04, 0x80010e08, 0x0001e410


def nx(kind: int, body: bytes, experimenter: int = 0x2320) -> bytes:
    data = pack("!IH", experimenter, kind) + body
    return pack("!HH", 0xffff, 4 + len(data) + (-4 - len(data) & 7)) + data + bytes(-4 - len(data) & 7)


def longer(action: bytes, more: bytes) -> bytes:
    return action[:2] + (len(action) + len(more)).to_bytes(2, "big") + action[4:] + more


def load(header: int, first: int, bits: int, value: int) -> bytes:
    return nx(7, pack("!HIQ", first << 6 | bits - 1, header, value))


def move(source: int, destination: int, bits: int, first: int = 0, to: int = 0) -> bytes:
    return nx(6, pack("!HHHII", bits, first, to, source, destination))


def resubmit(table: int, port: int = 0xfff8) -> bytes:
    return nx(14, pack("!HB3x", port, table))


def multipath(header: int, bits: int, fields: int = 0, algorithm: int = 0, most: int = 0) -> bytes:
    return nx(10, pack("!HH2xHHI2xHI", fields, 50, algorithm, most, 0, bits - 1, header))


def stack(kind: int, header: int, bits: int, first: int = 0, padding: bytes = bytes(6)) -> bytes:
    return nx(kind, pack("!HIH", first, header, bits) + padding)


NOTE, EXIT, POP_QUEUE, CT_CLEAR = (nx(kind, bytes(6)) for kind in (8, 17, 5, 43))
HERE = nx(1, pack("!HB3x", 0xfff8, 0))
CONJUNCTION = nx(34, pack("!BBI", 0, 2, 7))
TTL_IDS = nx(21, pack("!H4xHH", 2, 0, 1))
CONTROLLER = nx(20, pack("!HHBx", 128, 0, 1))

TAKEN: dict[str, tuple[bytes, bytes]] = {
    "load a register": (b"", load(REG0, 0, 32, 5)), "load a part": (b"", load(REG0, 4, 4, 5)),
    "load metadata": (b"", load(METADATA, 0, 32, 5)), "load an address": (IP, load(IP_SRC, 0, 32, 5)),
    "load a wide register": (b"", load(XREG1, 0, 64, 5)), "load a tag": (b"", load(0x802, 0, 12, 5)),
    "move": (b"", move(REG0, REG1, 32)), "move addresses": (b"", move(ETH_SRC, ETH_DST, 48)),
    "move what cannot be written": (b"", move(ETH_TYPE, REG0, 16)), "move to itself": (b"", move(REG0, REG0, 32)),
    "resubmit": (b"", resubmit(1)), "resubmit here": (b"", HERE), "resubmit to a table here": (b"", resubmit(255)),
    "resubmit to no table": (b"", resubmit(254)), "note": (b"", NOTE), "long note": (b"", nx(8, bytes(14))),
    "multipath": (b"", multipath(REG0, 32)), "push": (b"", stack(27, REG0, 32)), "pop": (b"", stack(28, REG0, 32)),
    "pop_queue": (b"", POP_QUEUE), "exit": (b"", EXIT), "dec_ttl of ids": (IP, TTL_IDS),
    "controller": (b"", CONTROLLER), "controller, another reason": (b"", nx(20, pack("!HHBx", 128, 0, 31))),
    "conjunction": (b"", CONJUNCTION), "conjunction and note": (b"", CONJUNCTION + NOTE), "ct_clear": (b"", CT_CLEAR),
    "set a register": (b"", sf(t(0, 5, size=4, oxm_class=1))),
    "set a wide register": (b"", sf(t(0, 5, size=8, oxm_class=0x8001))), "set metadata": (b"", sf(t(2, 5))),
    "load tun_id": (b"", load(TUN_ID, 8, 16, 5)), "move tun_id": (b"", move(TUN_ID, REG0, 32)),
    "move into tun_id": (b"", move(ETH_SRC, TUN_ID, 48)), "push tun_id": (b"", stack(27, TUN_ID, 64)),
    "pop tun_id": (b"", stack(28, TUN_ID, 64)), "multipath to tun_id": (b"", multipath(TUN_ID, 32)),
    "set tun_id": (b"", sf(t(38, 5))),
}
OTHERWISE: dict[str, tuple[bytes, bytes]] = {
    "newer header in a load": (load(0x80000606, 0, 48, 1), load(ETH_DST, 0, 48, 1)),
    "newer headers in a move": (move(0x80000806, 0x80000606, 48), move(ETH_SRC, ETH_DST, 48)),
    "padding": (nx(17, b"\1" * 6), EXIT), "padding of a queue": (nx(5, b"\1" * 6), POP_QUEUE),
    "resubmit with a table": (nx(1, pack("!HB3s", 0xfff8, 7, b"\1\1\1")), HERE),
    "padding of controller": (nx(20, pack("!HHBB", 128, 0, 1, 1)), CONTROLLER),
    "padding of multipath": (multipath(REG0, 32)[:14] + b"\1\1" + multipath(REG0, 32)[16:24] + b"\1\1"
                             + multipath(REG0, 32)[26:], multipath(REG0, 32)),
    "zeros behind a move": (longer(move(REG0, REG1, 8), bytes(8)), move(REG0, REG1, 8)),
    "header with a mask in a load": (load(0x00010108, 0, 8, 1), load(REG0, 0, 8, 1)),
    "newer tun_id in a load": (load(0x80004c08, 0, 64, 1), load(TUN_ID, 0, 64, 1)),
    "older tun_id in a set-field": (sf(t(16, 5, size=8, oxm_class=1)), sf(t(38, 5))),
    "older header in a set-field": (sf(t(1, 5, size=6, oxm_class=0)), sf(t(3, 5))),
}
"""What Open vSwitch tells in another form."""


def refusal(match: bytes, data: bytes, write: bool = False) -> tuple[int, int] | None:
    try:
        instructions = parse(build(Instructions(write=data) if write else Instructions(apply=data)))
        check(instructions, Match.from_tlvs(match))
    except Refused as refused:
        return refused.error_type, refused.code
    return None


@pytest.mark.parametrize("name", TAKEN)
def test_what_is_taken_is_told_as_it_came(name: str) -> None:
    match, data = TAKEN[name]
    assert refusal(match, data) is None
    assert actions.canonical(data) == data


def test_what_stands_behind_the_ids_of_a_decrement_is_not_told() -> None:
    sent = nx(21, pack("!H4x8H", 2, 0, 1, 7, 7, 7, 7, 7, 7))
    assert refusal(IP, sent) is None and actions.canonical(sent) == TTL_IDS


@pytest.mark.parametrize("name", OTHERWISE)
def test_what_open_vswitch_tells_otherwise_is_told_so(name: str) -> None:
    sent, told = OTHERWISE[name]
    assert refusal(b"", sent) is None
    assert actions.canonical(sent) == told == actions.canonical(told)


def test_without_the_extensions_all_are_refused() -> None:
    wide = sf(t(0, 5, size=8, oxm_class=0x8001))
    for data in (NOTE, resubmit(1), sf(t(2, 5)), sf(t(38, 5)), sf(t(0, 5, size=4, oxm_class=1)), wide):
        check_each(data)
        with pytest.raises(Refused):
            refuse_extensions(data)
    refuse_extensions(sf(t(3, 5)) + sf(t(1, 5, size=6, oxm_class=0)))


@pytest.mark.parametrize("data, wanted", [
    (resubmit(1), resubmit(11)), (resubmit(255), resubmit(12)), (HERE, resubmit(12)), (resubmit(243), resubmit(253)),
    (resubmit(244), b""), (resubmit(250), b""), (NOTE, b""), (POP_QUEUE, b""), (CT_CLEAR, b""),
    (load(REG0, 0, 32, 5), load(REG0, 0, 32, 5)), (load(METADATA, 0, 64, 5), load(METADATA, 0, 32, 5)),
    (load(METADATA, 8, 56, 5), load(METADATA, 8, 24, 5)), (load(METADATA, 4, 4, 5), load(METADATA, 4, 4, 5)),
    (move(ETH_SRC, ETH_DST, 48), move(ETH_SRC, ETH_DST, 48)), (TTL_IDS, bytes.fromhex("0018000800000000")),
    (CONTROLLER, nx(20, pack("!HHBx", 0xffff, 0, 1))),
    (nx(20, pack("!HHBx", 128, 3, 2)), nx(20, pack("!HHBx", 0xffff, 0, 2))), (EXIT, EXIT),
])
def test_what_executes_an_action_of_table_2(data: bytes, wanted: bytes) -> None:
    check_each(data)
    assert nicira.lowered(data, 10, 12) == wanted


def test_lists_tell_what_they_do() -> None:
    assert actions.resubmits(out(1) + resubmit(3)) and actions.resubmits(HERE) and not actions.resubmits(NOTE + out(1))
    assert actions.resubmits_here(HERE) and actions.resubmits_here(resubmit(255))
    assert not actions.resubmits_here(resubmit(1))
    assert actions.controller_ids(CONTROLLER + NOTE + nx(20, pack("!HHBx", 9, 3, 1))) == {0, 3}
    assert actions.controller_ids(out(0xfffffffd)) == set()


@pytest.mark.parametrize("data, text", [
    (load(REG0, 0, 32, 7), "load:0x7->reg0[]"), (load(REG0, 4, 4, 7), "load:0x7->reg0[4..7]"),
    (load(XREG1, 3, 1, 1), "load:0x1->xreg1[3]"), (load(0x0001de10, 0, 64, 1), "load:0x1->xxreg0[0..63]"),
    (load(0x802, 0, 12, 1), "load:0x1->vlan_tci[0..11]"), (move(ETH_SRC, ETH_DST, 48), "move:eth_src[]->eth_dst[]"),
    (resubmit(3), "resubmit(,3)"), (HERE, "resubmit(,255)"), (stack(27, REG0, 32), "push:reg0[]"),
    (stack(28, REG1, 8), "pop:reg1[0..7]"), (NOTE, "note:00.00.00.00.00.00"), (EXIT, "exit"),
    (nx(99, bytes(6)), f"unknown({nx(99, bytes(6)).hex()})"), (nx(7, bytes(6)), f"unknown({nx(7, bytes(6)).hex()})"),
])
def test_text(data: bytes, text: str) -> None:
    assert actions_text(data) == text


@pytest.mark.parametrize("header", [REG15, XREG7, XXREG3])
def test_a_set_field_of_a_part_of_what_is_ours_is_none_of_a_known_field(header: int) -> None:
    masked = header + (header & 0xff) | 0x100
    size = header & 0xff
    with pytest.raises(Refused) as refused:
        check_each(sf(masked.to_bytes(4, "big") + b"\1" * size + b"\1" * size))
    assert (refused.value.error_type, refused.value.code) == (of13.OFPET_BAD_ACTION, of13.OFPBAC_BAD_SET_TYPE)


def test_what_is_no_action_of_the_kind_stays_as_it_is() -> None:
    for data in (nx(7, bytes(6)), nx(99, bytes(6)), load(0x0001c604, 0, 32, 1), bytes.fromhex("ffff000800002320")):
        assert actions.canonical(data) == data


def test_a_move_and_a_load_tell_what_they_copy() -> None:
    moved = actions.move(of13.OFPXMT_OFB_VLAN_VID, 0, of13.OFPXMT_OFB_TUNNEL_ID, 4, 12)
    assert actions_text(moved) == "move:vlan_vid[0..11]->tunnel_id[4..15]" and actions.canonical(moved) == moved
    vid, tunnel = BY_NUMBER[of13.OFPXMT_OFB_VLAN_VID], BY_NUMBER[of13.OFPXMT_OFB_TUNNEL_ID]
    source, target = nicira.move_of(moved)
    assert (field_of(source.header), field_of(target.header)) == (vid, tunnel)
    assert (source[1:], target[1:]) == ((0, 12), (4, 12))
    part, value = nicira.load_of(actions.load_bit(of13.OFPXMT_OFB_TUNNEL_ID, 23))
    assert (field_of(part.header), part[1:], value) == (tunnel, (23, 1), 1)
    assert part_text(part) == "tunnel_id[23]"


def test_actions_are_taken_apart() -> None:
    assert nicira.kind_of(EXIT) == nicira.EXIT
    for other in (bytes.fromhex("ffff000800002320"), nx(7, bytes(14), 0x1234)):
        assert nicira.kind_of(other) is None
    assert nicira.table_of(actions.resubmit(7)) == 7
    assert nicira.table_of(nx(nicira.RESUBMIT, bytes.fromhex("fff8000000000000"))[:16]) is None
    assert nicira.conjunction_of(nx(nicira.CONJUNCTION, bytes.fromhex("010300000007"))) == (7, 1, 3)
    assert nicira.stack_of(nx(nicira.PUSH, bytes.fromhex("0004 00010204 000c") + bytes(6))) == (0x00010204, 4, 12)
    to = nx(nicira.MULTIPATH, bytes(16) + bytes.fromhex("0103 00010204"))
    assert nicira.multipath_of(to) == (0x00010204, 4, 4)
