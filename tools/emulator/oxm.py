"""OXM match fields of OpenFlow 1.3: what exists, how it is written, what is refused (OF 1.3.5 section 7.2.3).

A match is a dict {field number: (value, mask)} in which every field is really constrained: a zero mask is no
field, and an exact field has the full mask of its width. This module knows nothing of frames or tables.
"""
from __future__ import annotations

from typing import NamedTuple

IN_PORT, METADATA, ETH_DST, ETH_SRC, ETH_TYPE, VLAN_VID, VLAN_PCP = 0, 2, 3, 4, 5, 6, 7
IP_DSCP, IP_ECN, IP_PROTO, IPV4_SRC, IPV4_DST = 8, 9, 10, 11, 12
TCP_SRC, TCP_DST, UDP_SRC, UDP_DST, SCTP_SRC, SCTP_DST = 13, 14, 15, 16, 17, 18
ICMPV4_TYPE, ICMPV4_CODE, ARP_OP, ARP_SPA, ARP_TPA, ARP_SHA, ARP_THA = 19, 20, 21, 22, 23, 24, 25
IPV6_SRC, IPV6_DST, IPV6_FLABEL, ICMPV6_TYPE, ICMPV6_CODE = 26, 27, 28, 29, 30
ND_TARGET, ND_SLL, ND_TLL, MPLS_LABEL, MPLS_TC, MPLS_BOS, TUNNEL_ID = 31, 32, 33, 34, 35, 36, 38

OFPET_BAD_ACTION, OFPET_BAD_MATCH, OFPET_EXPERIMENTER = 2, 4, 0xffff
ONF = 0x4f4e4600
BMC_BAD_TYPE, BMC_BAD_LEN, BMC_BAD_WILDCARDS, BMC_BAD_FIELD = 0, 1, 5, 6
BMC_BAD_VALUE, BMC_BAD_MASK, BMC_BAD_PREREQ, BMC_DUP_FIELD = 7, 8, 9, 10

BASIC, NXM_NX = 0x8000, 1
REG0 = 0x100
"""Open vSwitch's registers, of the class NXM_NX: numbered from here on, beyond all numbers of the standard."""
REGISTERS = range(REG0, REG0 + 16)
NW_FRAG = REG0 + 26
"""Of the same class: what part of an IP packet it is."""
PIPELINE = (METADATA, TUNNEL_ID, *REGISTERS)
"""Fields that go with a packet and are no part of it."""

VID_PRESENT = 0x1000
Match = dict[int, tuple[int, int]]


class OFError(Exception):
    """A message refused: answered with this type and code, and the session goes on."""

    def __init__(self, error_type: int, code: int, experimenter: int | None = None) -> None:
        super().__init__(f"error type {error_type} code {code}")
        self.error_type = error_type
        self.code = code
        self.experimenter = experimenter
        """Whose error it is when the type is OFPET_EXPERIMENTER; OpenFlow 1.3 lacks some that 1.4 and 1.5 have."""


class Field(NamedTuple):
    """One match field: its width, and what Open vSwitch allows with it."""

    size: int
    bits: int
    maskable: bool
    prereq: str
    writable: bool = True

    @property
    def full(self) -> int:
        """The mask of an exact match."""
        return (1 << self.bits) - 1


FIELDS: dict[int, Field] = {
    IN_PORT: Field(4, 32, False, "", False),
    METADATA: Field(8, 64, True, ""),
    ETH_DST: Field(6, 48, True, ""), ETH_SRC: Field(6, 48, True, ""),
    ETH_TYPE: Field(2, 16, False, "", False),
    VLAN_VID: Field(2, 13, True, ""), VLAN_PCP: Field(1, 3, False, "vlan"),
    IP_DSCP: Field(1, 6, False, "ip"), IP_ECN: Field(1, 2, False, "ip"), IP_PROTO: Field(1, 8, False, "ip", False),
    IPV4_SRC: Field(4, 32, True, "ipv4"), IPV4_DST: Field(4, 32, True, "ipv4"),
    TCP_SRC: Field(2, 16, True, "tcp"), TCP_DST: Field(2, 16, True, "tcp"),
    UDP_SRC: Field(2, 16, True, "udp"), UDP_DST: Field(2, 16, True, "udp"),
    SCTP_SRC: Field(2, 16, True, "sctp"), SCTP_DST: Field(2, 16, True, "sctp"),
    ICMPV4_TYPE: Field(1, 8, False, "icmp"), ICMPV4_CODE: Field(1, 8, False, "icmp"),
    ARP_OP: Field(2, 16, False, "arp"), ARP_SPA: Field(4, 32, True, "arp"), ARP_TPA: Field(4, 32, True, "arp"),
    ARP_SHA: Field(6, 48, True, "arp"), ARP_THA: Field(6, 48, True, "arp"),
    IPV6_SRC: Field(16, 128, True, "ipv6"), IPV6_DST: Field(16, 128, True, "ipv6"),
    IPV6_FLABEL: Field(4, 20, True, "ipv6"),
    ICMPV6_TYPE: Field(1, 8, False, "icmpv6"), ICMPV6_CODE: Field(1, 8, False, "icmpv6"),
    ND_TARGET: Field(16, 128, True, "nd"), ND_SLL: Field(6, 48, True, "nd_sol"),
    ND_TLL: Field(6, 48, True, "nd_adv"),
    MPLS_LABEL: Field(4, 20, False, "mpls"), MPLS_TC: Field(1, 3, False, "mpls"),
    MPLS_BOS: Field(1, 1, False, "mpls", False),
    TUNNEL_ID: Field(8, 64, True, ""),
    **{REG0 + number: Field(4, 32, True, "") for number in range(16)},
    NW_FRAG: Field(1, 2, True, "ip", False),
}
FULL: dict[int, int] = {number: field.full for number, field in FIELDS.items()}


class Context:
    """What is known of a packet where a field or an action stands: enough to decide prerequisites."""

    __slots__ = ("eth_type", "ip_proto", "icmp_type", "icmp_code", "tags")

    def __init__(self, eth_type: int = 0, ip_proto: int = 0, icmp: tuple[int, int] = (0, 0), tags: int = 0) -> None:
        self.eth_type = eth_type
        self.ip_proto = ip_proto
        self.icmp_type, self.icmp_code = icmp
        self.tags = tags

    def copy(self) -> Context:
        """The same, to be changed on its own."""
        return Context(self.eth_type, self.ip_proto, (self.icmp_type, self.icmp_code), self.tags)

    def note(self, field: int, value: int, mask: int) -> None:
        """Take one match field into account."""
        if field == ETH_TYPE:
            self.eth_type = value
        elif field == VLAN_VID:
            self.tags = 1 if value & VID_PRESENT else 0
        elif field == IP_PROTO:
            self.ip_proto = value
        elif field == ICMPV6_TYPE:
            self.icmp_type = value
        elif field == ICMPV6_CODE:
            self.icmp_code = value

    @classmethod
    def of_fields(cls, fields: dict[int, int]) -> Context:
        """The context of one packet, given by its fields."""
        icmp = (fields.get(ICMPV6_TYPE, 0), fields.get(ICMPV6_CODE, 0))
        return cls(fields.get(ETH_TYPE, 0), fields.get(IP_PROTO, 0), icmp, 1 if fields.get(VLAN_VID, 0) else 0)

    def allows(self, prereq: str) -> bool:
        """Whether a field with this prerequisite exists in such packets."""
        if not prereq:
            return True
        if prereq == "vlan":
            return self.tags > 0
        eth = self.eth_type
        if prereq == "ipv4":
            return eth == 0x0800
        if prereq == "ipv6":
            return eth == 0x86dd
        if prereq == "ip":
            return eth in (0x0800, 0x86dd)
        if prereq == "arp":
            return eth in (0x0806, 0x8035)
        if prereq == "mpls":
            return eth in (0x8847, 0x8848)
        if prereq in ("tcp", "udp", "sctp"):
            return eth in (0x0800, 0x86dd) and self.ip_proto == {"tcp": 6, "udp": 17, "sctp": 132}[prereq]
        if prereq == "icmp":
            return eth == 0x0800 and self.ip_proto == 1
        if eth != 0x86dd or self.ip_proto != 58:
            return False
        kinds = {"icmpv6": (), "nd": (135, 136), "nd_sol": (135,), "nd_adv": (136,)}[prereq]
        return not kinds or (self.icmp_type in kinds and self.icmp_code == 0)


def bad_match(code: int) -> OFError:
    """The refusal of a match."""
    return OFError(OFPET_BAD_MATCH, code)


def field_number(header: int) -> int | None:
    """The number of the field that an OXM header names, if it is known."""
    number = header >> 9 & 0x7f
    if header >> 16 == NXM_NX:
        number += REG0
    elif header >> 16 != BASIC:
        return None
    return number if number in FIELDS else None


def field_header(number: int) -> int:
    """The OXM header of a field without a mask."""
    if number >= REG0:
        return NXM_NX << 16 | number - REG0 << 9 | FIELDS[number].size
    return BASIC << 16 | number << 9 | FIELDS[number].size


def pull(data: bytes, offset: int, end: int) -> tuple[int | None, int, int | None, int]:
    """One TLV at offset as (field number or None if unknown, value, mask or None, offset behind it)."""
    if end - offset < 4:
        raise bad_match(BMC_BAD_LEN)
    header = int.from_bytes(data[offset:offset + 4], "big")
    length = header & 0xff
    experimenter = header >> 16 == 0xffff
    if experimenter and length < 4:
        raise bad_match(BMC_BAD_LEN)
    start, stop = offset + 4, offset + 4 + length
    number = field_number(header)
    has_mask = bool(header & 0x100)
    width = length // 2 if has_mask else length
    if stop > end:
        raise bad_match(BMC_BAD_LEN)
    value = int.from_bytes(data[start:start + width], "big")
    mask = int.from_bytes(data[start + width:start + 2 * width], "big") if has_mask else None
    if mask is not None and value & ~mask:
        raise bad_match(BMC_BAD_WILDCARDS)
    if number is not None and length != FIELDS[number].size * (2 if has_mask else 1):
        number = None
    return number, value, mask, stop


def valid_value(number: int, value: int) -> bool:
    """Whether the field can have this value at all."""
    field = FIELDS[number]
    if number == IN_PORT:
        return value < 0xff00 or value >= 0xffffff00
    if number == ARP_OP:
        return value < 0x100
    return value >> field.bits == 0


def parse_tlvs(data: bytes, offset: int, end: int) -> tuple[Match, Context]:
    """The match in data[offset:end], and what it says about its packets; OFError as Open vSwitch refuses it."""
    match: Match = {}
    context = Context()
    while offset < end:
        number, value, mask, offset = pull(data, offset, end)
        if number is None:
            raise bad_match(BMC_BAD_FIELD)
        field = FIELDS[number]
        full = field.full
        if mask is None:
            mask = full
        else:
            if not field.maskable and mask not in (0, (1 << 8 * field.size) - 1):
                raise bad_match(BMC_BAD_MASK)
            mask &= full
        if not valid_value(number, value):
            raise bad_match(BMC_BAD_VALUE)
        if not context.allows(field.prereq):
            raise bad_match(BMC_BAD_PREREQ)
        if number in match:
            raise bad_match(BMC_DUP_FIELD)
        if mask:
            match[number] = (value & mask, mask)
            context.note(number, value & mask, mask)
    return match, context


def parse_match(data: bytes, offset: int) -> tuple[Match, Context, int]:
    """struct ofp_match at offset: the match, its context and the offset behind its padding."""
    if len(data) - offset < 4:
        raise bad_match(BMC_BAD_LEN)
    kind = int.from_bytes(data[offset:offset + 2], "big")
    length = int.from_bytes(data[offset + 2:offset + 4], "big")
    if length < 4:
        raise bad_match(BMC_BAD_LEN)
    if kind != 1:
        raise bad_match(BMC_BAD_TYPE if kind or length == 88 else BMC_BAD_LEN)
    padded = (length + 7) // 8 * 8
    if offset + padded > len(data):
        raise bad_match(BMC_BAD_LEN)
    match, context = parse_tlvs(data, offset + 4, offset + length)
    return match, context, offset + padded


def tlv(number: int, value: int, mask: int | None = None) -> bytes:
    """One field on the wire."""
    field = FIELDS[number]
    size = field.size
    header = field_header(number)
    if mask is None or mask == field.full:
        return header.to_bytes(4, "big") + value.to_bytes(size, "big")
    return (header + size | 0x100).to_bytes(4, "big") + value.to_bytes(size, "big") + mask.to_bytes(size, "big")


def encode_match(match: Match) -> bytes:
    """struct ofp_match with its padding, fields in ascending order."""
    body = b"".join(tlv(number, *match[number]) for number in sorted(match))
    length = 4 + len(body)
    return b"\x00\x01" + length.to_bytes(2, "big") + body + bytes(-length % 8)
