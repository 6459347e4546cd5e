"""Frames as match fields, and changes to frames with their checksums."""
from __future__ import annotations

import pytest

from tools.emulator import edits, oxm
from tools.emulator.frames import Packet
from tools.emulator.host import checksum, ipv4

MACS = bytes.fromhex("0200000000020200000000aa")


def udp(payload: bytes = b"hello") -> bytes:
    """A UDP packet in IPv4 with right checksums."""
    source, destination = b"\x0a\0\0\1", b"\x0a\0\0\2"
    data = b"\x04\xd2\x00\x35" + (8 + len(payload)).to_bytes(2, "big") + bytes(2) + payload
    pseudo = source + destination + b"\0\x11" + len(data).to_bytes(2, "big")
    return ipv4(source, destination, 17, data[:6] + checksum(pseudo + data).to_bytes(2, "big") + data[8:])


def sums_to_zero(frame: bytes, offset: int = 14) -> bool:
    """Whether both checksums of a UDP packet are right."""
    packet = frame[offset:]
    data = packet[20:]
    pseudo = packet[12:20] + b"\0\x11" + len(data).to_bytes(2, "big")
    return checksum(packet[:20]) == 0 and checksum(pseudo + data) == 0


def test_a_tagged_udp_packet_shows_its_fields() -> None:
    fields = Packet(MACS + b"\x81\x00\x60\x05\x08\x00" + udp(), 3, 7).fields
    assert fields[oxm.IN_PORT] == 3 and fields[oxm.METADATA] == 7
    assert fields[oxm.VLAN_VID] == 0x1005 and fields[oxm.VLAN_PCP] == 3
    assert fields[oxm.ETH_TYPE] == 0x0800 and fields[oxm.IPV4_DST] == 0x0a000002
    assert (fields[oxm.UDP_SRC], fields[oxm.UDP_DST]) == (1234, 53)
    assert oxm.TCP_SRC not in fields and oxm.ARP_OP not in fields


def test_behind_one_tag_a_second_is_the_ethernet_type() -> None:
    fields = Packet(MACS + b"\x88\xa8\x00\x05\x81\x00\x00\x07\x08\x00" + udp(), 1).fields
    assert (fields[oxm.VLAN_VID], fields[oxm.ETH_TYPE]) == (0x1005, 0x8100)
    assert oxm.IPV4_DST not in fields


@pytest.mark.parametrize("flags", [b"\x20\x00", b"\x00\x05"])
def test_the_ports_of_a_fragment_are_zero(flags: bytes) -> None:
    packet = udp()
    fields = Packet(MACS + b"\x08\x00" + packet[:6] + flags + packet[8:], 1).fields
    assert fields[oxm.IP_PROTO] == 17 and fields[oxm.UDP_SRC] == fields[oxm.UDP_DST] == 0


def test_extension_headers_are_skipped_to_the_upper_layer() -> None:
    inner = b"\x3a\x00\x01\x04" + bytes(4) + b"\x80\x00" + bytes(6)
    frame = MACS + b"\x86\xdd\x60\x00\x00\x07" + len(inner).to_bytes(2, "big") + b"\x00\x40" + bytes(32) + inner
    fields = Packet(frame, 1).fields
    assert fields[oxm.IP_PROTO] == 58 and fields[oxm.ICMPV6_TYPE] == 128 and fields[oxm.IPV6_FLABEL] == 7


@pytest.mark.parametrize("length", range(0, 47))
def test_a_frame_cut_anywhere_is_parsed_and_edited_without_growing(length: int) -> None:
    frame = (MACS + b"\x08\x00" + udp())[:length]
    packet = Packet(frame, 1)
    for field, value in ((oxm.IPV4_DST, 1), (oxm.UDP_DST, 2), (oxm.IP_DSCP, 3), (oxm.ETH_SRC, 4)):
        edits.set_field(packet, field, value)
    edits.set_ttl(packet, 9)
    assert len(packet.data) == length


@pytest.mark.parametrize(("field", "value"), [(oxm.IPV4_SRC, 0xc0a80001), (oxm.IPV4_DST, 1), (oxm.UDP_SRC, 99),
                                              (oxm.UDP_DST, 0), (oxm.IP_DSCP, 46), (oxm.IP_ECN, 1)])
def test_set_field_mends_checksums(field: int, value: int) -> None:
    packet = Packet(MACS + b"\x08\x00" + udp(), 1)
    edits.set_field(packet, field, value)
    assert sums_to_zero(packet.data) and Packet(packet.data, 1).fields == packet.fields
    assert packet.fields[field] == value


@pytest.mark.parametrize("padding", [b"", b"\xaa" * 6])
def test_the_checksum_of_sctp_covers_no_padding(padding: bytes) -> None:
    data = b"\x03\xe8\x00\x50" + bytes(4)
    right = edits.crc32c(data + bytes(4) + b"payload").to_bytes(4, "little")
    packet = Packet(MACS + b"\x08\x00" + ipv4(bytes(4), bytes(4), 132, data + right + b"payload") + padding, 1)
    edits.set_field(packet, oxm.SCTP_DST, 99)
    changed = packet.data[34:len(packet.data) - len(padding)]
    assert changed[2:4] == b"\0\x63"
    assert edits.crc32c(changed[:8] + bytes(4) + changed[12:]).to_bytes(4, "little") == changed[8:12]


@pytest.mark.parametrize(("flags", "sets", "wanted"), [
    (b"\0\0", [(oxm.ICMPV4_TYPE, 2)], b"\2\x08"), (b"\0\0", [(oxm.ICMPV4_CODE, 3)], b"\x08\3"),
    (b"\0\5", [(oxm.ICMPV4_TYPE, 2)], b"\2\0"), (b"\0\5", [(oxm.ICMPV4_CODE, 3)], b"\0\3"),
    (b"\0\5", [(oxm.ICMPV4_TYPE, 2), (oxm.ICMPV4_CODE, 3)], b"\2\3"), (b"\0\5", [(oxm.ICMPV4_TYPE, 0)], b"\x08\x08"),
])
def test_of_a_later_fragment_type_and_code_are_set_together(
        flags: bytes, sets: list[tuple[int, int]], wanted: bytes) -> None:
    """As ofproto/trace of Open vSwitch 3.1 says: set(icmp(type=2,code=0)) where nw_frag=later."""
    data = ipv4(bytes(4), bytes(4), 1, b"\x08\x08\x03\xdd" + bytes(8))
    packet = Packet(MACS + b"\x08\0" + data[:6] + flags + data[8:], 1)
    for field, value in sets:
        edits.set_field(packet, field, value)
    assert packet.data[34:36] == wanted


def test_a_ttl_changes_with_its_checksum() -> None:
    packet = Packet(MACS + b"\x08\x00" + udp(), 1)
    edits.set_ttl(packet, 5)
    assert edits.current_ttl(packet) == 5 and sums_to_zero(packet.data)


def test_push_and_pop_of_tags_restores_the_frame() -> None:
    frame = MACS + b"\x81\x00\x00\x07\x08\x00" + udp()
    packet = Packet(frame, 1)
    edits.push_vlan(packet, 0x8100)
    edits.set_field(packet, oxm.VLAN_VID, 0x1063)
    edits.set_field(packet, oxm.VLAN_PCP, 5)
    assert packet.data == MACS + b"\x81\x00\xa0\x63" + frame[12:] and packet.fields[oxm.ETH_TYPE] == 0x0800
    edits.pop_vlan(packet)
    assert packet.data == frame and packet.fields[oxm.VLAN_VID] == 0x1007
    edits.pop_vlan(packet)
    assert packet.fields[oxm.VLAN_VID] == 0 and oxm.VLAN_PCP not in packet.fields
    edits.pop_vlan(packet)
    assert packet.data == MACS + frame[16:]


def test_mpls_takes_over_the_ttl_and_leaves_the_packet_readable() -> None:
    frame = MACS + b"\x08\x00" + udp()
    packet = Packet(frame, 1)
    edits.push_mpls(packet, 0x8847)
    edits.set_field(packet, oxm.MPLS_LABEL, 77)
    assert packet.data[12:18] == b"\x88\x47" + (77 << 12 | 0x100 | 64).to_bytes(4, "big")
    assert oxm.IPV4_DST not in packet.fields and packet.fields[oxm.MPLS_BOS] == 1
    edits.pop_mpls(packet, 0x0800)
    assert packet.data == frame and packet.fields[oxm.UDP_DST] == 53


def test_a_clone_changes_on_its_own() -> None:
    packet = Packet(MACS + b"\x08\x00" + udp(), 1)
    other = packet.clone()
    edits.push_vlan(other, 0x8100)
    edits.set_field(other, oxm.METADATA, 5)
    assert packet.fields[oxm.VLAN_VID] == 0 and packet.fields[oxm.METADATA] == 0 and packet.data[12:14] == b"\x08\x00"
