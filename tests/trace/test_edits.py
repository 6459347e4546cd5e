"""Actions change frames as they do in the emulated switch, which is compared with a real Open vSwitch."""
from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvproxy.openflow.oxm_fields import BY_NUMBER, NX
from hvproxy.trace import edits
from hvproxy.trace import frame as f
from hvproxy.trace.frame import Frame
from tests.packets import tagged
from tests.trace.frames import IPS, MACS, frames, ipv6
from tools.emulator import edits as oracle
from tools.emulator import oxm
from tools.emulator.frames import Packet
from tools.emulator.host import checksum, echo, ipv4
from tools.emulator.oxm import REGISTERS

PING = MACS[1] + MACS[0] + b"\x08\0" + ipv4(IPS[0], IPS[1], 1, echo(8, 1, 1, bytes(20)))
WRITABLE = [field for field in BY_NUMBER.values() if field.number in f.PIPELINE or field.writable and field.number < NX]


@st.composite
def changes(draw: Any) -> tuple[str, tuple[int, ...]]:
    """(name of the function in both modules, arguments behind the frame)."""
    kind = draw(st.sampled_from(("set_field",) * 6 + ("push_vlan", "pop_vlan", "push_mpls", "pop_mpls", "set_ttl",
                                                      "set_mpls_ttl")))
    if kind == "set_field":
        field = draw(st.sampled_from(WRITABLE))
        value = draw(st.one_of(st.sampled_from((0, 1, field.full)), st.integers(0, field.full)))
        return kind, (field.number, value | 0x1000 if field.number == f.VLAN_VID else value)
    arguments = {"push_vlan": (0x8100, 0x88A8), "push_mpls": (0x8847, 0x8848), "pop_mpls": (0x0800, 0x8847, 0x88B5),
                 "set_ttl": (0, 1, 63), "set_mpls_ttl": (0, 1, 63)}
    return kind, (draw(st.sampled_from(arguments[kind])),) if kind in arguments else ()


@given(frames(), st.lists(changes(), max_size=6))
def test_every_change_is_made_as_the_emulated_switch_makes_it(data: bytes, wanted: list[Any]) -> None:
    frame, packet = Frame(data, 3), Packet(data, 3)
    for name, arguments in wanted:
        refused = False
        try:
            getattr(oracle, name)(packet, *arguments)
        except oracle.TooManyLabels:
            refused = True
        if refused:
            with pytest.raises(edits.TooManyLabels):
                getattr(edits, name)(frame, *arguments)
            return
        getattr(edits, name)(frame, *arguments)
        assert frame.data == packet.data
        expected = {field: value for field, value in packet.fields.items() if field != oxm.NW_FRAG}
        unwritten = {field: 0 for field in REGISTERS if field not in frame.fields}
        assert {**frame.fields, **unwritten} == expected


def test_a_tag_is_put_on_and_taken_off() -> None:
    frame = Frame(PING, 1)
    edits.push_vlan(frame, 0x8100)
    edits.set_field(frame, f.VLAN_VID, 0x1000 | 20)
    edits.set_field(frame, f.VLAN_PCP, 3)
    assert frame.data == tagged(PING, 20, 3)
    edits.pop_vlan(frame)
    assert frame.data == PING


def test_a_third_tag_costs_the_innermost() -> None:
    frame = Frame(tagged(PING, 7), 1)
    for vid in (8, 9):
        edits.push_vlan(frame, 0x8100)
        edits.set_field(frame, f.VLAN_VID, 0x1000 | vid)
    assert frame.data == tagged(tagged(PING, 8), 9)


def test_checksums_stay_right() -> None:
    frame = Frame(PING, 1)
    edits.set_field(frame, f.IPV4_DST, 0xC0A80101)
    edits.set_field(frame, f.ICMPV4_CODE, 9)
    edits.set_field(frame, f.IP_DSCP, 46)
    edits.set_ttl(frame, edits.ttl(frame) or 0)
    assert frame.data != PING
    assert checksum(frame.data[14:34]) == 0 and checksum(frame.data[34:]) == 0


@pytest.mark.parametrize("padding", [b"", b"\xaa" * 6])
def test_a_checksum_of_sctp_stays_right(padding: bytes) -> None:
    body = b"\0\x50\0\x51" + bytes(4)
    right = edits.crc32c(body + bytes(4) + b"data").to_bytes(4, "little")
    frame = Frame(MACS[1] + MACS[0] + b"\x08\0" + ipv4(IPS[0], IPS[1], 132, body + right + b"data") + padding, 1)
    edits.set_field(frame, f.SCTP_SRC, 99)
    packet = frame.data[34:len(frame.data) - len(padding)]
    assert packet[8:12] == edits.crc32c(packet[:8] + bytes(4) + packet[12:]).to_bytes(4, "little")


@pytest.mark.parametrize("left", [0, 4])
def test_what_is_still_to_be_routed_keeps_its_checksum(left: int) -> None:
    ping = b"\x80\0\xab\xcd" + bytes(4)
    packet = ipv6(43, bytes((58, 0, 1, left)) + bytes(4) + ping)
    frame = Frame(MACS[1] + MACS[0] + b"\x86\xdd" + packet, 1)
    edits.set_field(frame, f.IPV6_DST, 5)
    assert (frame.data[-8:] == ping) is bool(left)


def test_the_checksum_of_sctp_is_the_castagnoli_one() -> None:
    assert edits.crc32c(b"123456789") == 0xE3069283


def test_ttls_are_read_where_they_are() -> None:
    frame = Frame(PING, 1)
    assert edits.ttl(frame) == 64 and edits.mpls_ttl(frame) is None
    edits.push_mpls(frame, 0x8847)
    assert edits.mpls_ttl(frame) == 64 and edits.ttl(frame) is None
