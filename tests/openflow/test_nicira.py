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
from tests.openflow.error_cases import IP, TCP, out, sf, t

REG0, REG1, METADATA, ETH_SRC, ETH_DST = 0x00010004, 0x00010204, 0x80000408, 0x00000406, 0x00000206
IN_PORT, TUN_ID, ETH_TYPE, IP_SRC, XREG1 = 0x00000002, 0x00012008, 0x00000602, 0x00000e04, 0x80010208
REG15, XREG7, XXREG3 = 0x00011e04, 0x80010e08, 0x0001e410
BAD_TYPE, BAD_LEN, NO_EXPERIMENTER, BAD_EXP_TYPE, BAD_ARGUMENT = (2, 0), (2, 1), (2, 2), (2, 3), (2, 5)
MISFIT, BAD_SET_LEN, BAD_SET_ARGUMENT = (2, 10), (2, 14), (2, 15)
NX_UNKNOWN_OPTION, NX_CONJUNCTION, NX_NOT_ZERO = (0xffff, 37), (0xffff, 15), (0xffff, 4)
BAD_SET_TYPE, BAD_FIELD = (2, 13), (4, 6)


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
    "controller": (b"", CONTROLLER), "controller, another reason": (b"", nx(20, pack("!HHBx", 128, 0, 9))),
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
    "zeros behind a move": (longer(move(REG0, REG1, 8), bytes(8)), move(REG0, REG1, 8)),
    "header with a mask in a load": (load(0x00010108, 0, 8, 1), load(REG0, 0, 8, 1)),
    "newer tun_id in a load": (load(0x80004c08, 0, 64, 1), load(TUN_ID, 0, 64, 1)),
    "older tun_id in a set-field": (sf(t(16, 5, size=8, oxm_class=1)), sf(t(38, 5))),
    "older header in a set-field": (sf(t(1, 5, size=6, oxm_class=0)), sf(t(3, 5))),
}
"""What Open vSwitch tells in another form."""
REFUSED: dict[str, tuple[bytes, bytes, tuple[int, int]]] = {
    "value too large": (b"", load(REG0, 4, 4, 0x15), BAD_ARGUMENT),
    "bits beyond": (b"", load(REG0, 30, 6, 1), BAD_SET_LEN),
    "load eth_type": (b"", load(ETH_TYPE, 0, 16, 1), BAD_SET_ARGUMENT),
    "load without IP": (b"", load(IP_SRC, 0, 32, 1), MISFIT),
    "short move": (b"", nx(6, bytes(6)), (4, 1)),
    "bytes behind a move": (b"", longer(move(REG0, REG1, 8), b"\0" * 7 + b"\1"), NX_NOT_ZERO),
    "load an option": (b"", load(0x0001c604, 0, 32, 1), NX_UNKNOWN_OPTION),
    "push an option": (b"", stack(27, 0x00015004, 32), NX_UNKNOWN_OPTION),
    "load unknown": (b"", load(0x00010005, 0, 32, 1), BAD_SET_TYPE),
    "multipath to unknown": (b"", multipath(0x12340004, 8), BAD_SET_TYPE),
    "move unknown": (b"", move(0x80005a04, REG0, 32), BAD_FIELD), "push unknown": (b"", stack(27, 0, 32), BAD_FIELD),
    "load masked eth_type": (b"", load(0x80000b04, 0, 16, 1), BAD_SET_ARGUMENT),
    "push masked": (b"", stack(27, 0x00010108, 32), (4, 8)),
    "load fragments": (IP, load(0x00013401, 0, 2, 1), BAD_SET_ARGUMENT),
    "move without IP": (b"", move(IP_SRC, REG0, 32), MISFIT), "move too much": (b"", move(REG0, REG1, 33), BAD_SET_LEN),
    "move nothing": (b"", move(REG0, REG1, 0), BAD_SET_LEN), "move masked": (b"", move(0x00010108, REG1, 32), (4, 8)),
    "move to eth_type": (b"", move(REG0, ETH_TYPE, 16), BAD_SET_ARGUMENT),
    "push beyond": (b"", stack(27, REG0, 32, 10), BAD_SET_LEN),
    "pop eth_type": (b"", stack(28, ETH_TYPE, 16), BAD_SET_ARGUMENT),
    "padding of pop": (b"", stack(28, REG0, 32, padding=b"\1" * 6), NX_NOT_ZERO),
    "too many links": (b"", multipath(REG0, 2, most=5), BAD_ARGUMENT),
    "no such fields": (b"", multipath(REG0, 32, fields=9), BAD_ARGUMENT),
    "no such algorithm": (b"", multipath(REG0, 32, algorithm=9), BAD_ARGUMENT),
    "padding of resubmit": (b"", nx(14, pack("!HB3s", 0xfff8, 1, b"\1\1\1")), BAD_ARGUMENT),
    "conjunction with output": (b"", CONJUNCTION + out(2), NX_CONJUNCTION),
    "conjunction of one": (b"", nx(34, pack("!BBI", 0, 1, 7)), NX_CONJUNCTION),
    "clause beyond": (b"", nx(34, pack("!BBI", 2, 2, 7)), NX_CONJUNCTION),
    "ids cut short": (IP, nx(21, pack("!H4xHH", 9, 0, 1)), BAD_LEN), "ids without IP": (b"", TTL_IDS, MISFIT),
    "long exit": (b"", nx(17, bytes(14)), BAD_LEN), "unknown": (b"", nx(99, bytes(6)), BAD_EXP_TYPE),
    "another's": (b"", nx(1, bytes(6), 0x1234), NO_EXPERIMENTER),
    "another's short one": (b"", bytes.fromhex("ffff000800000001"), NO_EXPERIMENTER),
}
OURS: dict[str, tuple[bytes, bytes, tuple[int, int]]] = {
    "load in_port": (b"", load(IN_PORT, 0, 16, 5), BAD_SET_ARGUMENT),
    "load reg15": (b"", load(REG15, 0, 32, 5), BAD_SET_TYPE),
    "load half of xreg7": (b"", load(XREG7, 32, 32, 5), BAD_SET_TYPE),
    "load the rest of xxreg3": (b"", load(XXREG3, 96, 32, 5), BAD_SET_TYPE),
    "move reg15": (b"", move(REG15, REG0, 32), BAD_FIELD),
    "move masked reg15": (b"", move(0x00011f08, REG0, 32), BAD_FIELD),
    "move into xreg7": (b"", move(REG0, XREG7, 32), BAD_FIELD),
    "push reg15": (b"", stack(27, REG15, 32), BAD_FIELD),
    "pop xxreg3": (b"", stack(28, XXREG3, 32), BAD_FIELD),
    "multipath to reg15": (b"", multipath(REG15, 32), BAD_SET_TYPE),
    "set reg15": (b"", sf(t(15, 5, size=4, oxm_class=1)), BAD_SET_TYPE),
    "set xreg7": (b"", sf(t(7, 5, size=8, oxm_class=0x8001)), BAD_SET_TYPE),
    "set xxreg3": (b"", sf(t(114, 5, size=16, oxm_class=1)), BAD_SET_TYPE),
    "load tun_src": (b"", load(0x00013e04, 0, 32, 5), BAD_SET_ARGUMENT),
    "load upper metadata": (b"", load(METADATA, 32, 32, 1), BAD_SET_ARGUMENT),
    "load one bit too much": (b"", load(METADATA, 0, 33, 1 << 32), BAD_SET_ARGUMENT),
    "move in_port": (b"", move(IN_PORT, REG0, 16), BAD_SET_ARGUMENT),
    "move upper metadata": (b"", move(METADATA, REG0, 32, first=1), BAD_SET_ARGUMENT),
    "move into metadata": (b"", move(REG0, METADATA, 32, to=8), BAD_SET_ARGUMENT),
    "move tun_src": (b"", move(0x00013e04, REG0, 32), BAD_SET_ARGUMENT),
    "push metadata": (b"", stack(27, METADATA, 64), BAD_SET_ARGUMENT),
    "pop metadata": (b"", stack(28, METADATA, 64), BAD_SET_ARGUMENT),
    "pop in_port": (b"", stack(28, IN_PORT, 16), BAD_SET_ARGUMENT),
    "multipath to metadata": (b"", multipath(METADATA, 33), BAD_SET_ARGUMENT),
    "resubmit with a port": (b"", resubmit(1, 3), BAD_ARGUMENT),
    "resubmit as a port": (b"", nx(1, pack("!HB3x", 3, 0)), BAD_ARGUMENT),
    "controllers of two ids": (b"", CONTROLLER + nx(20, pack("!HHBx", 128, 3, 1)), BAD_ARGUMENT),
    "a controller and another": (b"", out(0xfffffffd) + nx(20, pack("!HHBx", 128, 3, 1)), BAD_ARGUMENT),
    "the ONF's copy": (b"", bytes.fromhex("ffff00204f4e46000c8000000020000000000000000100040001020400000000"),
                       NO_EXPERIMENTER),
    "set upper metadata": (b"", sf(t(2, 1 << 32)), BAD_SET_ARGUMENT),
    **{f"action {kind}": (TCP, nx(kind, bytes(6)), BAD_EXP_TYPE) for kind in (15, 19, 29, 32, 37, 42, 45)},
}
"""Refused although Open vSwitch takes them."""


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


@pytest.mark.parametrize("name", OTHERWISE)
def test_what_open_vswitch_tells_otherwise_is_told_so(name: str) -> None:
    sent, told = OTHERWISE[name]
    assert refusal(b"", sent) is None
    assert actions.canonical(sent) == told == actions.canonical(told)


@pytest.mark.parametrize("name", [*REFUSED, *OURS])
def test_errors_are_those_of_the_table(name: str) -> None:
    match, data, error = {**REFUSED, **OURS}[name]
    assert refusal(match, data) == error


@pytest.mark.parametrize("data, error", [
    (load(REG0, 0, 32, 5), None), (move(REG0, REG1, 32), None), (resubmit(1), None), (CT_CLEAR, None),
    (HERE, BAD_ARGUMENT), (resubmit(255), BAD_ARGUMENT),
    *((data, BAD_TYPE) for data in (NOTE, EXIT, POP_QUEUE, CONTROLLER, CONJUNCTION, multipath(REG0, 32),
                                    stack(27, REG0, 32), stack(28, REG0, 32))),
])
def test_an_action_set_takes_few_of_them(data: bytes, error: tuple[int, int] | None) -> None:
    assert refusal(b"", data, write=True) == error


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
    assert (refused.value.error_type, refused.value.code) == BAD_SET_TYPE


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
