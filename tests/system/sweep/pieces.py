"""Matches, actions, instructions, buckets, bands and properties of OpenFlow 1.3, laid out field by field."""
from __future__ import annotations

from tests.openflow.error_cases import SIZES
from tests.system.sweep.layout import Block, Length, Number, Pad, Part, block

PORTS = (1, 2, 3, 0xfeff, 0xff00, 0xffff, 0x10000, 0xfffffeff, 0xffffff00, 0xffffff01, 0xfffffff7, 0xfffffff8,
         0xfffffff9, 0xfffffffa, 0xfffffffb, 0xfffffffc, 0xfffffffd)
"""Of which there are 1 and 2; the reserved ones."""
GROUPS = (1, 2, 3, 4, 0xffffff00, 0xffffff01, 0xfffffffc)
TABLES = (2, 9, 10, 127, 243, 253)
MAC = int.from_bytes(b"\2\0\0\0\0\1", "big")

IP, IP6, ARP, MPLS = ((5, 0x800),), ((5, 0x86dd),), ((5, 0x806),), ((5, 0x8847),)
VLAN = ((6, 0x1005),)
TCP, UDP, SCTP, ICMP = ((*IP, (10, number)) for number in (6, 17, 132, 1))
ICMP6 = (*IP6, (10, 58))
SOLICIT, ADVERT = (*ICMP6, (29, 135)), (*ICMP6, (29, 136))
NEEDS: dict[int, tuple[tuple[int, int], ...]] = {
    7: VLAN, 8: IP, 9: IP, 10: IP, 11: IP, 12: IP, 13: TCP, 14: TCP, 15: UDP, 16: UDP, 17: SCTP, 18: SCTP, 19: ICMP,
    20: ICMP, 21: ARP, 22: ARP, 23: ARP, 24: ARP, 25: ARP, 26: IP6, 27: IP6, 28: IP6, 29: ICMP6, 30: ICMP6,
    31: SOLICIT, 32: SOLICIT, 33: ADVERT, 34: MPLS, 35: MPLS, 36: MPLS, 39: IP6,
}
"""What a field needs in front of it (OF 1.3.5 table 12)."""
USUAL = {0: 1, 1: 1, 2: 5, 3: MAC, 4: MAC, 5: 0x800, 6: 0x1005, 7: 3, 8: 10, 9: 2, 10: 6, 21: 1, 29: 135, 34: 16, 36: 1,
         38: 5}
NAMES = ("in_port in_phy_port metadata eth_dst eth_src eth_type vlan_vid vlan_pcp ip_dscp ip_ecn ip_proto ipv4_src "
         "ipv4_dst tcp_src tcp_dst udp_src udp_dst sctp_src sctp_dst icmpv4_type icmpv4_code arp_op arp_spa arp_tpa "
         "arp_sha arp_tha ipv6_src ipv6_dst ipv6_flabel icmpv6_type icmpv6_code ipv6_nd_target ipv6_nd_sll ipv6_nd_tll "
         "mpls_label mpls_tc mpls_bos pbb_isid tunnel_id ipv6_exthdr").split()
ALSO = {0: PORTS, 2: (1 << 32, (1 << 32) - 1), 5: (0x5ff, 0x600, 0x806, 0x8035, 0x8100, 0x86dd, 0x8847, 0x8848, 0x88a8),
        6: (0x0fff, 0x1000, 0x1001, 0x1fff, 0x2000, 0x2005, 5), 7: (7, 8), 8: (63, 64), 9: (3, 4), 10: (17, 58, 132),
        21: (255, 256), 28: (0xfffff, 0x100000, 0x1fffff), 29: (133, 136, 256), 34: (0xfffff, 0x100000), 35: (7, 8)}
MASKED = (0, 2, 3, 4, 5, 6, 7, 11, 12, 13, 21, 22, 24, 26, 28, 31, 32, 34, 37, 38, 39)
"""Swept with a mask too: all that may have one, and some that may not."""


def oxm(number: int, value: int | None = None, mask: int | None = None) -> Block:
    """One match field."""
    size = SIZES[number]
    worth = (USUAL.get(number, 7) if value is None else value) & (1 << 8 * size) - 1
    top = (1 << 8 * size) - 1
    parts: list[Part] = [
        Number("class", 2, 0x8000, (3, 0x1000, 0x8001, 0xfffe)),
        Number("field", 1, number << 1 | (mask is not None), ((number << 1 | 1) ^ (mask is not None), 80, 88)),
        Number("payload", 1, size * (1 if mask is None else 2), (size, 2 * size, size + 1, size - 1, 3 * size)),
        Number("value", size, worth, ALSO.get(number, ()))]
    if mask is not None:
        parts.append(Number("mask", size, mask, (top >> 1, 0x5a5a5a5a5a5a5a5a & top, worth)))
    return block(NAMES[number], *parts)


def match(*fields: Block) -> Block:
    return block("match", Number("type", 2, 1), Length(), *fields, align=8)


def needed(number: int) -> tuple[Block, ...]:
    return tuple(oxm(each, value) for each, value in NEEDS.get(number, ()))


def action(name: str, kind: int, *parts: Part) -> Block:
    return block(name, Number("type", 2, kind, (11, 12, 26, 27, 25, 28, 29)), Length(), *parts)


def output(port: int = 1, max_len: int = 0) -> Block:
    return action("output", 0, Number("port", 4, port, PORTS), Number("max_len", 2, max_len, (0xffe5, 0xffe6)), Pad(6))


def set_field(number: int, mask: int | None = None) -> Block:
    field = oxm(number, mask=mask)
    size = 4 + SIZES[number] * (1 if mask is None else 2)
    padding = -(4 + size) % 8
    return action("set_field", 25, field, *([Pad(padding)] if padding else []))


PLAIN_ACTIONS: dict[str, tuple[Block, tuple[Block, ...]]] = {
    "output": (output(), ()),
    "output to the controller": (output(0xfffffffd, 128), ()),
    "group": (action("group", 22, Number("group_id", 4, 1, GROUPS)), ()),
    "set_queue": (action("set_queue", 21, Number("queue_id", 4, 0)), ()),
    "push_vlan": (action("push_vlan", 17, Number("ethertype", 2, 0x8100, (0x88a8, 0x9100, 0x800)), Pad(2)), ()),
    "pop_vlan": (action("pop_vlan", 18, Pad(4)), (oxm(6),)),
    "push_mpls": (action("push_mpls", 19, Number("ethertype", 2, 0x8847, (0x8848, 0x800, 0x8100)), Pad(2)), ()),
    "pop_mpls": (action("pop_mpls", 20, Number("ethertype", 2, 0x800, (0x8847, 0x8848, 0x86dd, 0x8100)), Pad(2)),
                 needed(34)),
    "set_nw_ttl": (action("set_nw_ttl", 23, Number("ttl", 1, 64), Pad(3)), needed(11)),
    "dec_nw_ttl": (action("dec_nw_ttl", 24, Pad(4)), needed(11)),
    "set_mpls_ttl": (action("set_mpls_ttl", 15, Number("ttl", 1, 64), Pad(3)), needed(34)),
    "dec_mpls_ttl": (action("dec_mpls_ttl", 16, Pad(4)), needed(34)),
    "experimenter": (action("experimenter", 0xffff, Number("experimenter", 4, 0x4f4e4600), Number("subtype", 2, 3200),
                            Pad(6)), ()),
    "unknown experimenter": (action("experimenter", 0xffff, Number("experimenter", 4, 0x00c0ffee)), ()),
}
"""Every action but set_field, with the match it needs."""


def instruction(name: str, kind: int, *parts: Part) -> Block:
    return block(name, Number("type", 2, kind, (3, 4, 5, 6, 7)), Length(), *parts)


def apply(*actions: Block) -> Block:
    return instruction("apply", 4, Pad(4), *actions)


def write(*actions: Block) -> Block:
    return instruction("write", 3, Pad(4), *actions)


def goto(table: int) -> Block:
    return instruction("goto", 1, Number("table", 1, table, TABLES), Pad(3))


def write_metadata(value: int, mask: int) -> Block:
    return instruction("write_metadata", 2, Pad(4), Number("metadata", 8, value, (1 << 32, (1 << 32) - 1)),
                       Number("mask", 8, mask, (1 << 32, (1 << 32) - 1)))


CLEAR = instruction("clear", 5, Pad(4))


def meter(number: int) -> Block:
    return instruction("meter", 6, Number("meter_id", 4, number, (1, 2, 0xffff0000, 0xffff0001, 0xfffffffd)))


def bucket(*actions: Block, weight: int = 0, port: int = 0xffffffff, group: int = 0xffffffff) -> Block:
    return block("bucket", Length(), Number("weight", 2, weight), Number("watch_port", 4, port, PORTS),
                 Number("watch_group", 4, group, GROUPS), Pad(4), *actions)


def drop_band() -> Block:
    return block("drop", Number("type", 2, 1, (1, 2, 3)), Length(), Number("rate", 4, 1000), Number("burst", 4, 100),
                 Pad(4))


def remark_band() -> Block:
    return block("remark", Number("type", 2, 2, (1, 2, 3)), Length(), Number("rate", 4, 1000), Number("burst", 4, 100),
                 Number("prec_level", 1, 1), Pad(3))


def experimenter_band() -> Block:
    return block("experimenter", Number("type", 2, 0xffff), Length(), Number("rate", 4, 1000),
                 Number("burst", 4, 100), Number("experimenter", 4, 0x2320))


def property_of(name: str, kind: int, *parts: Part) -> Block:
    """Of a table's features."""
    return block(name, Number("type", 2, kind, (*range(16), 0xfffe)), Length(), *parts, align=8)


def an_id(name: str, kind: int) -> Block:
    return block(name, Number("type", 2, kind), Length())


def oxm_id(number: int, mask: bool = False) -> Block:
    size = SIZES[number] << mask
    return block(NAMES[number], Number("class", 2, 0x8000), Number("field", 1, number << 1 | mask, (80, 88)),
                 Number("payload", 1, size))
