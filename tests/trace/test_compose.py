"""A line of text becomes the frame it describes, or a sentence that says what is wrong with it."""
from __future__ import annotations

import pytest

from hvproxy.trace import frame as f
from hvproxy.trace.compose import PROTOCOLS, compose
from hvproxy.trace.frame import Frame
from tests.packets import tagged
from tools.emulator.frames import Packet
from tools.emulator.host import checksum


def fields(text: str) -> dict[int, int]:
    """As the emulated switch reads the composed frame."""
    return Packet(compose(text), 0).fields


def test_fields_are_put_where_a_switch_finds_them() -> None:
    found = fields("tcp,dl_src=02:00:00:00:00:01,dl_dst=2:0:0:0:0:2,nw_dst=10.0.0.2,tp_dst=80,dl_vlan=5,nw_tos=0xb8")
    assert {number: value for number, value in found.items() if value} == {
        f.ETH_SRC: 0x020000000001, f.ETH_DST: 0x020000000002, f.ETH_TYPE: 0x0800, f.IPV4_DST: 0x0A000002,
        f.IP_PROTO: 6, f.TCP_SRC + 1: 80, f.VLAN_VID: 0x1005, f.IP_DSCP: 46}


@pytest.mark.parametrize("word", PROTOCOLS)
def test_every_protocol_gives_a_frame_of_it(word: str) -> None:
    eth_type, protocol = PROTOCOLS[word]
    found = fields(word)
    assert found[f.ETH_TYPE] == eth_type and protocol in (None, found.get(f.IP_PROTO))
    assert len(compose(word)) >= 60


@pytest.mark.parametrize("text", ["tcp", "udp", "icmp", "tcp,tp_dst=80", "udp,nw_src=10.1.2.3,tp_src=9",
                                  "icmp,icmp_type=3"])
def test_checksums_of_ipv4_are_right(text: str) -> None:
    data = compose(text + ",nw_dst=10.0.0.7")
    end = 14 + int.from_bytes(data[16:18], "big")
    assert checksum(data[14:34]) == 0
    pseudo = b"" if data[23] == 1 else data[26:34] + bytes((0, data[23])) + (end - 34).to_bytes(2, "big")
    assert checksum(pseudo + data[34:end]) == 0


@pytest.mark.parametrize("text", ["tcp6", "udp6", "icmp6", "icmp6,icmp_type=135,nd_target=fe80::9,nd_sll=2:0:0:0:0:7"])
def test_checksums_of_ipv6_are_right(text: str) -> None:
    data = compose(text + ",ipv6_src=fe80::1,ipv6_dst=fe80::2")
    end = 54 + int.from_bytes(data[18:20], "big")
    pseudo = data[22:54] + (end - 54).to_bytes(4, "big") + bytes((0, 0, 0, data[20]))
    assert checksum(pseudo + data[54:end]) == 0


def test_requests_are_the_default_and_a_ttl_lives() -> None:
    assert fields("icmp")[f.ICMPV4_TYPE] == 8 and fields("icmp6")[f.ICMPV6_TYPE] == 128
    assert fields("arp")[f.ARP_OP] == 1 and fields("mpls")[f.MPLS_BOS] == 1
    assert compose("ip")[22] == 64 and compose("ip,nw_ttl=3")[22] == 3
    assert compose("mpls,mpls_ttl=9")[17] == 9


def test_names_of_ovs_ofctl_and_of_openflow_mean_the_same() -> None:
    assert compose("udp,nw_src=10.0.0.1,tp_src=7,dl_vlan=9,dl_vlan_pcp=3") == compose(
        "eth_type=0x800 ip_proto=17 ipv4_src=10.0.0.1 udp_src=7 vlan_tci=0x7009")
    assert compose("arp,nw_src=10.0.0.1") == compose("arp,arp_spa=10.0.0.1")
    assert compose("icmp6,icmp_type=136,nd_tll=2:0:0:0:0:1") == compose("icmp6,icmpv6_type=136,nd_tll=2:0:0:0:0:1")
    assert compose("dl_type=0x88cc,vlan_vid=0x1009") == compose("dl_type=0x88cc,dl_vlan=9")


def test_neighbour_discovery_has_its_fields() -> None:
    found = fields("icmp6,icmp_type=135,nd_target=fe80::9,nd_sll=2:0:0:0:0:7")
    assert (found[f.ND_TARGET], found[f.ND_SLL]) == (0xFE80 << 112 | 9, 0x020000000007)


def test_a_frame_without_a_type_is_one_of_ieee_802_3() -> None:
    data = compose("dl_src=02:00:00:00:00:01")
    assert Frame(data, 0).fields[f.ETH_TYPE] == f.NO_TYPE and int.from_bytes(data[12:14], "big") == len(data) - 14


def test_bytes_are_taken_as_they_are() -> None:
    data = tagged(compose("udp,tp_dst=53"), 20)
    assert compose(data.hex()) == compose("0x" + data.hex().upper()) == compose(data.hex(":")) == data
    assert compose(f" {data.hex(' ')}\n") == data


@pytest.mark.parametrize(("text", "what"), [
    ("", "'' is no field; write hexadecimal digits, or fields as tcp,tp_dst=80"),
    ("tpc", "'tpc' is no field; did you mean tp_src?"),
    ("tcp,nw_dst=10.0.0.2/8", "nw_dst=10.0.0.2/8 is many values; a frame has one, without a mask"),
    ("tcp,udp", "tcp and udp: a frame is of one protocol"),
    ("tcp,tp_dst", "tp_dst has no value; write tp_dst=VALUE"),
    ("tcp,tp_dst=1,tp_dst=1", "tp_dst stands there twice"),
    ("tcp,tp_dst=1,tcp_dst=1", "tcp_dst says once more what tp_dst says"),
    ("tcp,dl_type=0x86dd", "dl_type=0x86dd contradicts tcp"),
    ("tcp,nw_proto=17", "nw_proto=17 contradicts tcp"),
    ("in_port=3", "in_port is no part of a frame; the port it arrives at is given beside it"),
    ("nw_src=1.2.3.4", "nw_src needs ip or arp or rarp"),
    ("tp_dst=80", "tp_dst needs tcp or tcp6 or udp or udp6 or sctp or sctp6"),
    ("icmp,nd_target=::1", "nd_target needs icmp6 with icmp_type 135 or 136 and icmp_code 0"),
    ("tcp,dl_vlan_pcp=3", "dl_vlan_pcp needs dl_vlan"),
    ("arp,nw_ttl=3", "nw_ttl needs ip or ipv6"),
    ("ip,mpls_ttl=3", "mpls_ttl needs mpls or mplsm"),
    ("arp,nw_tos=4", "nw_tos needs ip or ipv6, and no ip_dscp beside it"),
    ("ip,nw_src=1.2.3", "nw_src=1.2.3 is not an IP address"),
    ("ipv6,ipv6_src=1.2.3.4", "ipv6_src=1.2.3.4 is not an IPv6 address"),
    ("dl_src=zz", "dl_src=zz is not an Ethernet address"),
    ("tcp,tp_dst=http", "tp_dst=http is not a number"),
    ("tcp,tp_dst=70000", "tp_dst=70000 is larger than 0xffff"),
    ("dl_vlan=4096", "dl_vlan=4096 is larger than 0xfff"),
    ("vlan_tci=5", "vlan_tci=0x5 lacks 0x1000, which says that there is a tag"),
    ("abc", "3 hexadecimal digits are not whole bytes"),
    ("ab", "a frame has 14 to 9216 bytes, not 1"),
    ("ab" * 9217, "a frame has 14 to 9216 bytes, not 9217"),
])
def test_what_is_wrong_is_said(text: str, what: str) -> None:
    with pytest.raises(ValueError) as caught:
        compose(text)
    assert str(caught.value) == what
