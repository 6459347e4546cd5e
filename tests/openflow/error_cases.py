"""What is refused and with which error: each case as raw bytes, what Open vSwitch 3.1 says and what we say.

`test_oxm`, `test_action_checks` and `test_instructions` hold us to it, `tests/system/test_error_codes` holds Open
vSwitch to it, so the table cannot rot. The bytes are put together here by hand, not by the builders under test.
"""
from __future__ import annotations

from dataclasses import dataclass
from struct import pack

from hvproxy.errors import Refused
from hvproxy.openflow import guard, instructions
from hvproxy.openflow.oxm import Match

Error = tuple[int, int]
ACTION, INSTRUCTION, MATCH, METER, ONF = 2, 3, 4, 12, 0xffff

SIZES = (4, 4, 8, 6, 6, 2, 2, 1, 1, 1, 1, 4, 4, 2, 2, 2, 2, 2, 2, 1, 1, 2, 4, 4, 6, 6, 16, 16, 4, 1, 1, 16, 6, 6, 4, 1,
         1, 3, 8, 2)
"""Bytes of each basic field, OF 1.3.5 table 12."""


def t(number: int, value: int, mask: int | None = None, *, size: int | None = None, oxm_class: int = 0x8000) -> bytes:
    """One OXM TLV."""
    size = SIZES[number] if size is None else size
    data = value.to_bytes(size, "big") + (b"" if mask is None else mask.to_bytes(size, "big"))
    return pack("!HBB", oxm_class, number << 1 | (mask is not None), len(data)) + data


def ofp_match(tlvs: bytes) -> bytes:
    return pack("!HH", 1, 4 + len(tlvs)) + tlvs + bytes(-(4 + len(tlvs)) % 8)


def action(kind: int, body: bytes) -> bytes:
    return pack("!HH", kind, 4 + len(body)) + body


def out(port: int, max_len: int = 0) -> bytes:
    return action(0, pack("!IH6x", port, max_len))


def sf(tlv: bytes, padding: bytes | None = None) -> bytes:
    return action(25, tlv + (bytes(-(4 + len(tlv)) % 8) if padding is None else padding))


def apply(*actions: bytes) -> bytes:
    data = b"".join(actions)
    return pack("!HH4x", 4, 8 + len(data)) + data


def write(*actions: bytes) -> bytes:
    data = b"".join(actions)
    return pack("!HH4x", 3, 8 + len(data)) + data


def goto(table: int) -> bytes:
    return pack("!HHB3x", 1, 8, table)


def metadata(value: int, mask: int) -> bytes:
    return pack("!HH4xQQ", 2, 24, value, mask)


def group_action(number: int) -> bytes:
    return action(22, pack("!I", number))


PUSH_VLAN = action(17, b"\x81\x00\0\0")
POP_VLAN = action(18, bytes(4))
PUSH_MPLS = action(19, b"\x88\x47\0\0")
DEC_TTL = action(24, bytes(4))
DEC_MPLS_TTL = action(16, bytes(4))
CLEAR = pack("!HH4x", 5, 8)


def pop_mpls(eth_type: int) -> bytes:
    return action(20, pack("!H2x", eth_type))


IP, IP6, ARP, RARP, MPLS = t(5, 0x800), t(5, 0x86dd), t(5, 0x806), t(5, 0x8035), t(5, 0x8847)
TCP, UDP, SCTP = IP + t(10, 6), IP + t(10, 17), IP + t(10, 132)
ICMP, ICMP6 = IP + t(10, 1), IP6 + t(10, 58)
SOLICIT, ADVERT = ICMP6 + t(29, 135), ICMP6 + t(29, 136)
VLAN = t(6, 0x1005)
FULL64 = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Case:
    """A flow-mod for table 1, seen by Open vSwitch and by a logical switch of 4 tables."""

    name: str
    match: bytes
    instructions: bytes
    switch: Error | None
    """Open vSwitch's error, None when it accepts."""
    ours: Error | None


def case(name: str, match: bytes, instructions: bytes, switch: Error | None,
         *ours: Error | None) -> Case:
    """`ours` is given where it differs on purpose."""
    return Case(name, match, instructions, switch, ours[0] if ours else switch)


def _matches() -> list[Case]:
    def m(name: str, tlvs: bytes, code: int | None, *ours: int | None) -> Case:
        def error(number: int | None) -> Error | None:
            return None if number is None else (MATCH, number)
        return case(name, tlvs, b"", error(code), *(error(number) for number in ours))

    bad_wildcards, bad_field, bad_value, bad_mask, bad_prereq, dup = 5, 6, 7, 8, 9, 10
    return [
        m("everything", b"", None),
        m("packet_type", t(44, 7, size=4), None),
        m("packet_type and in_port", t(44, 7, size=4) + t(0, 1), None),
        m("packet_type Ethernet and eth_dst", t(44, 0, size=4) + t(3, 1), None),
        m("packet_type and eth_dst", t(44, 7, size=4) + t(3, 1), bad_prereq),
        m("packet_type and ipv4_src", t(44, 7, size=4) + t(11, 1), bad_prereq),
        m("eth_dst and packet_type", t(3, 1) + t(44, 7, size=4), dup),
        m("eth_type and packet_type Ethernet", IP + t(44, 0, size=4), dup),
        m("packet_type twice", t(44, 5, size=4) + t(44, 7, size=4), dup),
        m("packet_type Ethernet and another", t(44, 0, size=4) + t(44, 7, size=4), dup),
        m("in_port", t(0, 1), None),
        m("in_port that does not exist", t(0, 4000), None),
        m("in_port 0", t(0, 0), None),
        m("in_port LOCAL", t(0, 0xfffffffe), None),
        m("in_port CONTROLLER", t(0, 0xfffffffd), None),
        m("in_port ANY", t(0, 0xffffffff), None),
        m("in_port 0xff00", t(0, 0xff00), bad_value),
        m("in_port 0xfffffeff", t(0, 0xfffffeff), bad_value),
        m("in_port OFPP_MAX", t(0, 0xffffff00), None),
        m("in_port full mask", t(0, 1, 0xffffffff), None),
        m("in_port partial mask", t(0, 1, 0xff), bad_mask),
        m("in_port empty mask", t(0, 0, 0), None),
        m("in_port empty mask, value bits", t(0, 1, 0), bad_wildcards),
        m("in_phy_port", t(0, 1) + t(1, 1), bad_field),
        m("metadata low", t(2, 5, 0xffffffff), None),
        m("metadata low, some bits", t(2, 0, 0xf0f), None),
        m("metadata high", t(2, 1 << 40, 0xff << 40), None, bad_mask),
        m("metadata whole, high value", t(2, 1 << 40), None, bad_mask),
        m("metadata whole, low value", t(2, 5), None),
        m("metadata full mask, low value", t(2, 5, FULL64), None),
        m("metadata one bit too many", t(2, 0, 0x1ffffffff), None, bad_mask),
        m("metadata empty mask", t(2, 0, 0), None),
        m("metadata value bits outside the mask", t(2, 3, 1), bad_wildcards),
        m("eth_dst", t(3, 1), None),
        m("eth_dst multicast bit", t(3, 1 << 40, 1 << 40), None),
        m("eth_dst value bits outside the mask", t(3, 3 << 40, 1 << 40), bad_wildcards),
        m("eth_src any mask", t(4, 0x10, 0x30), None),
        m("eth_dst twice", t(3, 1) + t(3, 2), dup),
        m("eth_dst empty mask, then exact", t(3, 0, 0) + t(3, 2), None),
        m("eth_type", IP, None),
        m("eth_type any number", t(5, 0x1234), None),
        m("eth_type partial mask", t(5, 0x800, 0xff00), bad_mask),
        m("eth_type full mask", t(5, 0x800, 0xffff) + t(11, 1), None),
        m("eth_type empty mask is no prerequisite", t(5, 0, 0) + t(11, 1), bad_prereq),
        m("eth_type twice", IP + IP, dup),
        m("vlan_vid", VLAN, None),
        m("vlan_vid none", t(6, 0), None),
        m("vlan_vid present", t(6, 0x1000, 0x1000), None),
        m("vlan_vid without the present bit", t(6, 5), None),
        m("vlan_vid 0x2000", t(6, 0x2000), bad_value),
        m("vlan_vid mask 0x1fff", t(6, 0x1005, 0x1fff), None),
        m("vlan_vid mask 0xffff", t(6, 0x1005, 0xffff), None),
        m("vlan_vid mask of no meaning", t(6, 0, 0xe000), None),
        m("vlan_vid value 0x2000 masked", t(6, 0x2000, 0x2000), bad_value),
        m("vlan_pcp", VLAN + t(7, 7), None),
        m("vlan_pcp of any tag", t(6, 0x1000, 0x1000) + t(7, 7), None),
        m("vlan_pcp alone", t(7, 1), bad_prereq),
        m("vlan_pcp of untagged", t(6, 0) + t(7, 1), bad_prereq),
        m("vlan_pcp before vlan_vid", t(7, 1) + VLAN, bad_prereq),
        m("vlan_pcp 8", VLAN + t(7, 8), bad_value),
        m("vlan_pcp partial mask", VLAN + t(7, 1, 3), bad_mask),
        m("vlan_pcp full byte mask", VLAN + t(7, 1, 255), None),
        m("vlan_pcp full field mask", VLAN + t(7, 1, 7), bad_mask),
        m("ip_dscp", IP + t(8, 63), None),
        m("ip_dscp IPv6", IP6 + t(8, 63), None),
        m("ip_dscp 64", IP + t(8, 64), bad_value),
        m("ip_dscp of ARP", ARP + t(8, 1), bad_prereq),
        m("ip_dscp alone", t(8, 1), bad_prereq),
        m("ip_ecn", IP + t(9, 3), None),
        m("ip_ecn 4", IP + t(9, 4), bad_value),
        m("ip_proto", IP + t(10, 255), None),
        m("ip_proto IPv6", IP6 + t(10, 6), None),
        m("ip_proto alone", t(10, 6), bad_prereq),
        m("ip_proto before eth_type", t(10, 6) + IP, bad_prereq),
        m("ip_proto partial mask", IP + t(10, 6, 7), bad_mask),
        m("ipv4_src", IP + t(11, 0x0a000001), None),
        m("ipv4_src prefix", IP + t(11, 0x0a000000, 0xff000000), None),
        m("ipv4_src any mask", IP + t(11, 1, 0x0f0f0f0f), None),
        m("ipv4_src of IPv6", IP6 + t(11, 1), bad_prereq),
        m("ipv4_src of ARP", ARP + t(11, 1), bad_prereq),
        m("ipv4_dst host bits in a prefix", IP + t(12, 0x0a000001, 0xff000000), bad_wildcards),
        m("ipv4_dst twice", IP + t(12, 1) + t(12, 1), dup),
        m("tcp_src", TCP + t(13, 80), None),
        m("tcp_dst mask", TCP + t(14, 0, 0xff00), None),
        m("tcp_dst IPv6", IP6 + t(10, 6) + t(14, 80), None),
        m("tcp_dst of UDP", UDP + t(14, 80), bad_prereq),
        m("tcp_dst without ip_proto", IP + t(14, 80), bad_prereq),
        m("tcp_dst alone", t(14, 80), bad_prereq),
        m("udp_src", UDP + t(15, 53), None),
        m("udp_dst of TCP", TCP + t(16, 53), bad_prereq),
        m("sctp_src", SCTP + t(17, 1), None),
        m("sctp_dst of UDP", UDP + t(18, 1), bad_prereq),
        m("icmpv4", ICMP + t(19, 8) + t(20, 0), None),
        m("icmpv4_type of IPv6", IP6 + t(10, 1) + t(19, 8), bad_prereq),
        m("icmpv4_code without a type", ICMP + t(20, 0), None),
        m("icmpv4_type partial mask", ICMP + t(19, 8, 8), bad_mask),
        m("arp_op", ARP + t(21, 1), None),
        m("arp_op of RARP", RARP + t(21, 3), None),
        m("arp_op 256", ARP + t(21, 256), bad_value),
        m("arp_op alone", t(21, 1), bad_prereq),
        m("arp_op partial mask", ARP + t(21, 1, 1), bad_mask),
        m("arp_spa", ARP + t(22, 0x0a000001, 0xffffff01), None),
        m("arp_tpa", ARP + t(23, 1), None),
        m("arp_sha", ARP + t(24, 1), None),
        m("arp_tha mask", ARP + t(25, 1, 1), None),
        m("arp_spa of IPv4", IP + t(22, 1), bad_prereq),
        m("ipv6_src", IP6 + t(26, 1), None),
        m("ipv6_dst prefix", IP6 + t(27, 0xfe80 << 112, 0xffc0 << 112), None),
        m("ipv6_dst of IPv4", IP + t(27, 1), bad_prereq),
        m("ipv6_flabel", IP6 + t(28, 0xfffff), None),
        m("ipv6_flabel mask", IP6 + t(28, 1, 0xff), None),
        m("ipv6_flabel 21 bits", IP6 + t(28, 0x100000), bad_value),
        m("ipv6_flabel mask of 32 bits", IP6 + t(28, 1, 0xffffffff), None),
        m("icmpv6", ICMP6 + t(29, 128) + t(30, 0), None),
        m("icmpv6_type of IPv4", IP + t(10, 58) + t(29, 128), bad_prereq),
        m("nd_target", SOLICIT + t(31, 1), None),
        m("nd_target of advertisement", ADVERT + t(31, 1), None),
        m("nd_target of echo", ICMP6 + t(29, 128) + t(31, 1), bad_prereq),
        m("nd_target of any ICMPv6", ICMP6 + t(31, 1), bad_prereq),
        m("nd_target, code 0 before", SOLICIT + t(30, 0) + t(31, 1), None),
        m("nd_target, code 1 before", SOLICIT + t(30, 1) + t(31, 1), bad_prereq),
        m("nd_target, code 1 behind", SOLICIT + t(31, 1) + t(30, 1), None, bad_prereq),
        m("nd_sll", SOLICIT + t(32, 1), None),
        m("nd_sll of advertisement", ADVERT + t(32, 1), bad_prereq),
        m("nd_tll", ADVERT + t(33, 1, 3), None),
        m("nd_tll of solicitation", SOLICIT + t(33, 1), bad_prereq),
        m("mpls", MPLS + t(34, 0xfffff) + t(35, 7) + t(36, 1), None),
        m("mpls multicast", t(5, 0x8848) + t(34, 16), None),
        m("mpls_label 21 bits", MPLS + t(34, 0x100000), bad_value),
        m("mpls_label partial mask", MPLS + t(34, 1, 1), bad_mask),
        m("mpls_label of IPv4", IP + t(34, 1), bad_prereq),
        m("mpls_tc 8", MPLS + t(35, 8), bad_value),
        m("mpls_bos 2", MPLS + t(36, 2), bad_value),
        m("pbb_isid", t(5, 0x88e7) + t(37, 1), bad_field),
        m("tunnel_id", t(38, 1), None),
        m("tunnel_id masked", t(38, 1, 1), None),
        m("tunnel_id masked, value bits outside the mask", t(38, 3, 1), bad_wildcards),
        m("ipv6_exthdr", IP6 + t(39, 1), bad_field),
        m("field 41", t(41, 0, size=2), bad_field),
        m("tcp_flags of OpenFlow 1.5", TCP + t(42, 2, size=2), None),
        m("actset_output of OpenFlow 1.5", t(43, 1, size=4), None, bad_field),
        m("packet_type of OpenFlow 1.5", t(44, 0, size=4), None),
        m("field 100", t(100, 0, size=4), bad_field),
        m("unknown field, value bits outside the mask", t(100, 3, 1, size=4), bad_wildcards),
        m("register 0 of NXM", t(0, 1, size=4, oxm_class=1), None),
        m("unknown class", t(0, 1, size=4, oxm_class=0x1234), bad_field),
        m("unknown experimenter", t(0, 0x12345678_00000001, size=8, oxm_class=0xffff), bad_field),
        m("in_port of 2 bytes", t(0, 1, size=2), bad_field),
        m("eth_type of 4 bytes", t(5, 0x800, size=4), bad_field),
        m("mask faults come before value faults", VLAN + t(7, 8, 8), bad_mask),
        m("value faults come before prerequisites", t(7, 8), bad_value),
        m("prerequisites come before duplicates", IP + t(21, 1) + t(21, 1), bad_prereq),
    ]


def _actions() -> list[Case]:
    def a(name: str, tlvs: bytes, actions: bytes, code: int | None, *ours: int | None) -> Case:
        def error(number: int | None) -> Error | None:
            return None if number is None else (ACTION, number)
        return case(name, tlvs, apply(actions), error(code), *(error(number) for number in ours))

    def s(name: str, tlvs: bytes, field: bytes, code: int | None, *ours: int | None) -> Case:
        return a(f"set {name}", tlvs, sf(field), code, *ours)

    bad_type, bad_len, bad_experimenter, bad_port, bad_argument = 0, 1, 2, 4, 5
    misfit, bad_tag, set_type, set_len, set_argument = 10, 12, 13, 14, 15
    nicira = pack("!I", 0x2320)
    return [
        a("output", b"", out(1), None),
        a("output to a port that does not exist", b"", out(0xfe00), None),
        a("output to 0", b"", out(0), None, bad_port),
        a("output to 0xff00", b"", out(0xff00), bad_port),
        a("output to 0x10000", b"", out(0x10000), bad_port),
        a("output to 0xfffffeff", b"", out(0xfffffeff), bad_port),
        a("output to OFPP_MAX", b"", out(0xffffff00), bad_port),
        a("output to 0xffffff01", b"", out(0xffffff01), bad_port),
        a("output to 0xfffffff7", b"", out(0xfffffff7), bad_port),
        a("output to IN_PORT", b"", out(0xfffffff8), None),
        a("output to TABLE", b"", out(0xfffffff9), None, bad_port),
        a("output to NORMAL", b"", out(0xfffffffa), None),
        a("output to FLOOD", b"", out(0xfffffffb), None),
        a("output to ALL", b"", out(0xfffffffc), None),
        a("output to CONTROLLER", b"", out(0xfffffffd, 128), None),
        a("output to LOCAL", b"", out(0xfffffffe), None),
        a("output to ANY", b"", out(0xffffffff), bad_port),
        a("misfits come before groups", b"", group_action(0xffffffff) + POP_VLAN, misfit),
        a("set_queue", b"", action(21, pack("!I", 7)), None),
        a("copy_ttl_out", MPLS, action(11, bytes(4)), bad_type),
        a("copy_ttl_in", MPLS, action(12, bytes(4)), bad_type),
        a("push_pbb", b"", action(26, b"\x88\xe7\0\0"), bad_type),
        a("pop_pbb", b"", action(27, bytes(4)), bad_type),
        a("action 29", b"", action(29, bytes(4)), bad_type),
        a("action 1 of OpenFlow 1.1", VLAN, action(1, pack("!H2x", 5)), None, bad_type),
        a("experimenter, unknown", b"", action(0xffff, pack("!IHHI", 0x12345678, 1, 0, 0)), bad_experimenter),
        a("experimenter, Nicira's resubmit", b"", action(0xffff, nicira + pack("!HHB3x", 1, 0xfff8, 0)), None),
        a("push_vlan 0x8100", b"", PUSH_VLAN, None),
        a("push_vlan 0x88a8", b"", action(17, b"\x88\xa8\0\0"), None),
        a("push_vlan 0x9100", b"", action(17, b"\x91\x00\0\0"), bad_argument),
        a("push_vlan 0x0800", b"", action(17, b"\x08\x00\0\0"), bad_argument),
        a("push_vlan twice", b"", PUSH_VLAN * 2, None),
        a("push_vlan three times", b"", PUSH_VLAN * 3, bad_tag),
        a("push_vlan on a tag", VLAN, PUSH_VLAN, None),
        a("push_vlan twice on a tag", VLAN, PUSH_VLAN * 2, bad_tag),
        a("pop_vlan", VLAN, POP_VLAN, None),
        a("pop_vlan of any tag", t(6, 0x1000, 0x1000), POP_VLAN, None),
        a("pop_vlan without a match", b"", POP_VLAN, misfit),
        a("pop_vlan of untagged", t(6, 0), POP_VLAN, misfit),
        a("pop_vlan twice of one", VLAN, POP_VLAN * 2, misfit),
        a("push_vlan, pop_vlan", b"", PUSH_VLAN + POP_VLAN, None),
        a("push_mpls", IP, PUSH_MPLS, None),
        a("push_mpls on anything", b"", PUSH_MPLS, None),
        a("push_mpls 0x8848", IP, action(19, b"\x88\x48\0\0"), None),
        a("push_mpls 0x0800", IP, action(19, b"\x08\x00\0\0"), bad_argument),
        a("pop_mpls", MPLS, pop_mpls(0x800), None),
        a("pop_mpls to no ethertype of note", MPLS, pop_mpls(0x1234), None),
        a("pop_mpls of IPv4", IP, pop_mpls(0x800), misfit),
        a("pop_mpls without a match", b"", pop_mpls(0x800), misfit),
        a("pop_mpls, then set ipv4_src", MPLS, pop_mpls(0x800) + sf(t(11, 1)), None),
        a("pop_mpls, then set ipv6_src of IPv4", MPLS, pop_mpls(0x800) + sf(t(26, 1)), misfit),
        a("push_mpls, then set ipv4_src", IP, PUSH_MPLS + sf(t(11, 1)), misfit),
        a("push_mpls, then set mpls_label", IP, PUSH_MPLS + sf(t(34, 1)), None),
        a("push and pop mpls, then set tcp_src", TCP, PUSH_MPLS + pop_mpls(0x800) + sf(t(13, 1)), misfit),
        a("set_mpls_ttl", MPLS, action(15, b"\x40\0\0\0"), None),
        a("set_mpls_ttl of IPv4", IP, action(15, b"\x40\0\0\0"), misfit),
        a("dec_mpls_ttl", MPLS, DEC_MPLS_TTL, None),
        a("dec_mpls_ttl without a match", b"", DEC_MPLS_TTL, misfit),
        a("set_nw_ttl", IP, action(23, b"\x40\0\0\0"), None),
        a("set_nw_ttl of ARP", ARP, action(23, b"\x40\0\0\0"), misfit),
        a("dec_nw_ttl", IP, DEC_TTL, None),
        a("dec_nw_ttl IPv6", IP6, DEC_TTL, None),
        a("dec_nw_ttl without a match", b"", DEC_TTL, misfit),
        a("dec_nw_ttl behind push_mpls", IP, PUSH_MPLS + DEC_TTL, misfit),
        a("hard errors come before misfits", b"", DEC_TTL + out(0xffffffff), bad_port),
        s("in_port", b"", t(0, 1), set_argument),
        s("in_phy_port", b"", t(1, 1), set_len, set_type),
        s("metadata", b"", t(2, 1), None),
        s("eth_dst", b"", t(3, 1), None),
        s("eth_src", b"", t(4, 1), None),
        s("eth_type", b"", t(5, 0x800), set_argument),
        s("vlan_vid", VLAN, t(6, 0x1fff), None),
        s("vlan_vid without a match", b"", t(6, 0x1005), misfit),
        s("vlan_vid of untagged", t(6, 0), t(6, 0x1005), misfit),
        s("vlan_vid without the present bit", VLAN, t(6, 5), set_argument),
        s("vlan_vid 0x3005", VLAN, t(6, 0x3005), set_argument),
        a("push_vlan, then set vlan_vid", b"", PUSH_VLAN + sf(t(6, 0x1005)), None),
        a("push_vlan, then set vlan_pcp", b"", PUSH_VLAN + sf(t(7, 5)), None),
        s("vlan_pcp", VLAN, t(7, 7), None),
        s("vlan_pcp without a match", b"", t(7, 7), misfit),
        s("vlan_pcp 8", VLAN, t(7, 8), set_argument),
        s("ip_dscp", IP, t(8, 63), None),
        s("ip_dscp 64", IP, t(8, 64), set_argument),
        s("ip_dscp without a match", b"", t(8, 1), misfit),
        s("ip_ecn", IP6, t(9, 3), None),
        s("ip_ecn 4", IP, t(9, 4), set_argument),
        s("ip_proto", IP, t(10, 6), set_argument),
        s("ipv4_src", IP, t(11, 1), None),
        s("ipv4_dst", IP, t(12, 1), None),
        s("ipv4_dst of IPv6", IP6, t(12, 1), misfit),
        s("ipv4_dst without a match", b"", t(12, 1), misfit),
        s("tcp_src", TCP, t(13, 1), None),
        s("tcp_dst", TCP, t(14, 1), None),
        s("tcp_dst of UDP", UDP, t(14, 1), misfit),
        s("udp_src", UDP, t(15, 1), None),
        s("udp_dst", UDP, t(16, 1), None),
        s("sctp_src", SCTP, t(17, 1), None),
        s("sctp_dst", SCTP, t(18, 1), None),
        s("icmpv4_type", ICMP, t(19, 1), None),
        s("icmpv4_code", ICMP, t(20, 1), None),
        s("arp_op", ARP, t(21, 2), None),
        s("arp_op of RARP", RARP, t(21, 2), None),
        s("arp_op 256", ARP, t(21, 256), set_argument),
        s("arp_spa", ARP, t(22, 1), None),
        s("arp_tpa", ARP, t(23, 1), None),
        s("arp_sha", ARP, t(24, 1), None),
        s("arp_tha", ARP, t(25, 1), None),
        s("arp_spa of IPv4", IP, t(22, 1), misfit),
        s("ipv6_src", IP6, t(26, 1), None),
        s("ipv6_dst", IP6, t(27, 1), None),
        s("ipv6_flabel", IP6, t(28, 1), None),
        s("ipv6_flabel 21 bits", IP6, t(28, 0x100000), set_argument),
        s("icmpv6_type", ICMP6, t(29, 1), None),
        s("icmpv6_code", ICMP6, t(30, 1), None),
        s("nd_target", SOLICIT, t(31, 1), None),
        s("nd_target of any ICMPv6", ICMP6, t(31, 1), misfit),
        s("nd_target, code 1", SOLICIT + t(30, 1), t(31, 1), misfit),
        s("nd_sll", SOLICIT, t(32, 1), None),
        s("nd_sll of advertisement", ADVERT, t(32, 1), misfit),
        s("nd_tll", ADVERT, t(33, 1), None),
        s("mpls_label", MPLS, t(34, 1), None),
        s("mpls_label 21 bits", MPLS, t(34, 0x100000), set_argument),
        s("mpls_label of IPv4", IP, t(34, 1), misfit),
        s("mpls_tc", MPLS, t(35, 7), None),
        s("mpls_tc 8", MPLS, t(35, 8), set_argument),
        s("mpls_bos", MPLS, t(36, 1), set_argument),
        # for a field it does not know Open vSwitch says BAD_SET_LEN or BAD_SET_TYPE by where a hash puts the field
        s("pbb_isid", b"", t(37, 1), set_len, set_type),
        s("tunnel_id", b"", t(38, 1), None),
        s("register 15 of NXM", b"", t(15, 1, size=4, oxm_class=1), None, set_type),
        s("ipv6_exthdr", IP6, t(39, 1), set_len, set_type),
        s("register 0 of NXM", b"", t(0, 1, size=4, oxm_class=1), None),
        s("unknown class", b"", t(0, 1, size=4, oxm_class=0x1234), set_len, set_type),
        s("unknown field", b"", t(100, 1, size=4), set_len, set_type),
        s("eth_dst of 4 bytes", b"", t(3, 1, size=4), set_len),
        s("eth_dst of 0 bytes", b"", t(3, 0, size=0), set_type),
        s("in_port of 2 bytes", b"", t(0, 1, size=2), set_len),
        s("ip_dscp with a mask and one byte", IP, t(8, 1)[:2] + b"\x11\1\1", set_type),
        case("set eth_type with a mask and a byte more", b"",
             apply(sf(b"\x80\0\x0b\5\x08\0\xff\xff\0")), (ONF, 4250)),
        case("set eth_type with a mask, a byte more, and bits outside the mask", b"",
             apply(sf(b"\x80\0\x0b\5\x08\0\xf0\xff\0")), (MATCH, 5)),
        a("set eth_dst with more padding than needed", b"", sf(t(3, 1), bytes(10)), None),
        a("set eth_dst with padding that is not zero", b"", sf(t(3, 1), b"\0\1"), set_argument),
        a("action of the wrong length", b"", action(18, bytes(12)), bad_len),
    ]


def _instructions() -> list[Case]:
    unknown, bad_table, metadata_mask, experimenter, bad_len = 0, 2, 4, 5, 7
    misfit = (ACTION, 10)

    def i(name: str, tlvs: bytes, data: bytes, code: int | None, *ours: int | None) -> Case:
        def error(number: int | None) -> Error | None:
            return None if number is None else (INSTRUCTION, number)
        return case(name, tlvs, data, error(code), *(error(number) for number in ours))

    dup = (ONF, 2600)
    return [
        i("no instruction", b"", b"", None),
        i("goto the next table", b"", goto(2), None),
        i("goto the last table", b"", goto(3), None),
        i("goto this table", b"", goto(1), bad_table),
        i("goto an earlier table", b"", goto(0), bad_table),
        i("goto a table beyond ours", b"", goto(4), None, bad_table),
        i("goto table 254", b"", goto(254), None, bad_table),
        i("goto table 255", b"", goto(255), None, bad_table),
        i("goto of 16 bytes", b"", pack("!HHB11x", 1, 16, 2), bad_len),
        i("instruction 0", b"", pack("!HH4x", 0, 8), unknown),
        i("instruction 7", b"", pack("!HH4x", 7, 8), unknown),
        i("experimenter", b"", pack("!HHI", 0xffff, 8, 0x2320), experimenter),
        i("clear with bytes behind", b"", pack("!HH12x", 5, 16), bad_len),
        i("clear", b"", CLEAR, None),
        i("empty apply", b"", apply(), None),
        i("empty write", b"", write(), None),
        i("every kind, in another order", IP, goto(2) + metadata(1, 1) + write(DEC_TTL) + CLEAR + apply(out(1)), None),
        i("metadata low", b"", metadata(5, 0xffffffff), None),
        i("metadata of no bit", b"", metadata(0, 0), None),
        i("metadata value outside the mask", b"", metadata(3, 1), None),
        i("metadata high", b"", metadata(1 << 40, 1 << 40), None, metadata_mask),
        i("metadata whole", b"", metadata(5, FULL64), None, metadata_mask),
        case("goto twice", b"", goto(2) + goto(3), dup),
        case("apply twice", b"", apply(out(1)) + apply(out(2)), dup),
        case("unknown instruction behind a duplicate", b"", goto(2) + goto(3) + pack("!HH4x", 7, 8), dup),
        case("a duplicate before a wrong length", b"", goto(2) + goto(3) + pack("!HH4x", 5, 4), dup),
        case("meter that does not exist", b"", pack("!HHI", 6, 8, 1), (METER, 2), None),
        case("write of an unknown action", b"", write(action(11, bytes(4))), (ACTION, 0)),
        case("write of the wrong output", b"", write(out(0xffffffff)), (ACTION, 4)),
        case("write of pop_vlan without a match", b"", write(POP_VLAN), None),
        case("write of dec_nw_ttl without a match", b"", write(DEC_TTL), None),
        case("write of set ipv4_src without a match", b"", write(sf(t(11, 1))), misfit),
        case("write of set vlan_vid without a match", b"", write(sf(t(6, 0x1005))), misfit),
        case("write of set vlan_vid behind push_vlan", b"", write(PUSH_VLAN, sf(t(6, 0x1005))), None),
        case("write of set vlan_vid before push_vlan", b"", write(sf(t(6, 0x1005)), PUSH_VLAN), misfit),
        case("write of set vlan_vid, pushed by apply", b"", apply(PUSH_VLAN) + write(sf(t(6, 0x1005))), None),
        case("write of set vlan_vid, popped by apply", VLAN, apply(POP_VLAN) + write(sf(t(6, 0x1005))), misfit),
        case("write of three tags", b"", write(PUSH_VLAN * 3), (ACTION, 12)),
        case("write of all outputs", b"", write(out(0xfffffffc), out(0xffffffff)), (ACTION, 4)),
        case("actions of apply before those of write", b"", write(out(0xffffffff)) + apply(action(11, bytes(4))),
             (ACTION, 0)),
        case("actions before goto", b"", goto(1) + apply(action(11, bytes(4))), (ACTION, 0)),
        case("goto before misfits", b"", apply(POP_VLAN) + goto(1), (INSTRUCTION, bad_table)),
        case("misfits of set-field before goto", b"", apply(sf(t(11, 1))) + goto(1), misfit),
    ]


def _masked_set_fields() -> list[Case]:
    return [
        case("set packet_type", b"", apply(sf(t(44, 0, size=4))), (ACTION, 15)),
        case("unknown action of the ONF", b"", apply(action(0xffff, pack("!IH6x", 0x4f4e4600, 77))), (ACTION, 3)),
        case("set xreg2 masked", b"", apply(sf(t(2, 1, 1, size=8, oxm_class=0x8001))), (ONF, 4250)),
        case("set xreg2 masked, value bits outside the mask", b"",
             apply(sf(t(2, 3, 1, size=8, oxm_class=0x8001))), (MATCH, 5)),
        case("set eth_dst masked", b"", apply(sf(t(3, 1, 1))), (ONF, 4250)),
        case("set eth_dst masked, value bits outside the mask", b"", apply(sf(t(3, 3, 1))), (MATCH, 5)),
    ]


MATCHES = _matches()
ACTIONS = _actions() + _masked_set_fields()
INSTRUCTIONS = _instructions()
CASES = MATCHES + ACTIONS + INSTRUCTIONS


def flow_mod(case: Case) -> bytes:
    """The body of an ADD to table 1 (OF 1.3.5 section 7.3.4.1)."""
    return (pack("!QQBBHHHIIIH2x", 0, 0, 1, 0, 0, 0, 100, 0xffffffff, 0xffffffff, 0xffffffff, 0)
            + ofp_match(case.match) + case.instructions)


def judge(case: Case) -> Error | None:
    """What we answer: the guard's proofs of length, then the parsers."""
    body = flow_mod(case)
    try:
        guard.check(pack("!BBHI", 4, 14, 8 + len(body), 1) + body, False)
        match = Match.parse(ofp_match(case.match))
        instructions.check(instructions.parse(case.instructions), match, 4, 1)
    except Refused as refused:
        return refused.error_type, refused.code
    return None
