"""Frames are read as the emulated switch, which is compared with a real Open vSwitch, reads them."""
from __future__ import annotations

from hypothesis import given

from hvproxy.openflow.constants import of13
from hvproxy.openflow.oxm import Match, tlv
from hvproxy.openflow.oxm_fields import BY_NUMBER, NW_FRAG
from hvproxy.trace import frame as f
from hvproxy.trace.frame import Frame
from tests.packets import tagged
from tests.trace.frames import IPS, MACS, frames
from tools.emulator import oxm
from tools.emulator.frames import FRAGMENT, LATER, Packet
from tools.emulator.host import echo, ipv4
from tools.emulator.oxm import REGISTERS

PING = MACS[1] + MACS[0] + b"\x08\0" + ipv4(IPS[0], IPS[1], 1, echo(8, 1, 1, bytes(20)))


@given(frames())
def test_every_field_is_read_as_the_emulated_switch_reads_it(data: bytes) -> None:
    frame, expected = Frame(data, 3, 0x77), Packet(data, 3, 0x77).fields
    nw_frag = expected.pop(oxm.NW_FRAG, 0)
    assert (frame.fragment, frame.later_fragment) == (bool(nw_frag & FRAGMENT), bool(nw_frag & LATER))
    field = BY_NUMBER[NW_FRAG]
    assert frame.value >> field.shift & field.full == nw_frag
    assert frame.fields == {field: value for field, value in expected.items() if field not in REGISTERS}
    assert frame.data == data


def test_the_fields_of_a_ping() -> None:
    fields = Frame(tagged(PING, 20, 5), 4).fields
    assert fields == {
        f.IN_PORT: 4, f.METADATA: 0, f.TUNNEL_ID: 0, f.ETH_DST: 0x020000000002, f.ETH_SRC: 0x020000000001,
        f.VLAN_VID: 0x1014, f.VLAN_PCP: 5, f.ETH_TYPE: 0x0800, f.IP_DSCP: 0, f.IP_ECN: 0, f.IP_PROTO: 1,
        f.IPV4_SRC: 0x0A000001, f.IPV4_DST: 0x0A000002, f.ICMPV4_TYPE: 8, f.ICMPV4_CODE: 0}


def test_its_value_stands_in_the_layout_of_matches() -> None:
    value = Frame(PING, 4, 9).value
    for field, number, other in ((of13.OFPXMT_OFB_IN_PORT, 4, 5), (of13.OFPXMT_OFB_METADATA, 9, 8),
                                 (of13.OFPXMT_OFB_IPV4_DST, 0x0A000002, 1), (of13.OFPXMT_OFB_VLAN_VID, 0, 0x1000)):
        right, wrong = Match.from_tlvs(tlv(field, number)), Match.from_tlvs(tlv(field, other))
        assert not (value ^ right.value) & right.mask and (value ^ wrong.value) & wrong.mask


def test_a_copy_is_changed_on_its_own() -> None:
    frame = Frame(tagged(PING, 20), 4)
    other = frame.copy()
    other.tags.clear()
    other.see_tags()
    other.fields[f.METADATA] = 5
    assert frame.data == tagged(PING, 20) and frame.fields[f.VLAN_VID] == 0x1014 and not frame.fields[f.METADATA]
    assert other.data == PING and other.fields[f.VLAN_VID] == 0


def test_where_the_ttl_stands_is_known_for_ip_only() -> None:
    assert Frame(PING, 1).ttl_at == 2 + 8 and Frame(PING, 1).mpls_ttl_at is None
    assert Frame(MACS[0] * 2 + b"\x88\xb5" + bytes(46), 1).ttl_at is None
