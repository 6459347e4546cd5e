"""The match fields that hvproxy knows, as data: widths, prerequisites, which can be masked or set.

`FIELDS` are those of OF 1.3.5 section 7.2.3.7 (table 12) as Open vSwitch 3.1 carries it out: no in_phy_port, PBB or
IPv6 extension header. `EXTENSIONS` are fields of its own that it takes over OpenFlow 1.3 too. `Headers` is what a
match, or the actions before some action, tell about a packet's headers: all that prerequisites ask for. Must not know
the form of a match or of an action.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from hvproxy.openflow.constants import FIRST_BAD_PORT, FIRST_RESERVED_PORT, of13

ETH_TYPE_IPV4: Final = 0x0800
ETH_TYPE_IPV6: Final = 0x86dd
ETH_TYPE_LLDP: Final = 0x88cc
MPLS_ETH_TYPES: Final = frozenset((0x8847, 0x8848))
VLAN_ETH_TYPES: Final = frozenset((0x8100, 0x88a8))
VLAN_PRESENT: Final[int] = of13.OFPVID_PRESENT
VLAN_ID: Final = 0xfff
"""The bits of a tag, and of the field vlan_vid, that number the VLAN."""
TENANT_BITS: Final = 32
TENANT_METADATA: Final = (1 << TENANT_BITS) - 1
"""The bits of the metadata that tenants have; those above are hvproxy's."""

_BASIC: Final[int] = of13.OFPXMC_OPENFLOW_BASIC
_NXM_NX: Final = 1
NX: Final = 0x100
"""Added to the number of a field of Open vSwitch's class NXM_NX, so that numbers stay unique and sort behind."""
NW_FRAG: Final = NX + 26
NW_TTL: Final = NX + 29
MPLS_TTL: Final = NX + 30
TCP_FLAGS: Final = NX + 34
TUN_FLAGS: Final = NX + 104
CT_STATE: Final = NX + 105
CT_ZONE: Final = NX + 106
CT_MARK: Final = NX + 107
CT_LABEL: Final = NX + 108
PACKET_TYPE: Final = 44
_IPV4: Final = frozenset((ETH_TYPE_IPV4,))
_IPV6: Final = frozenset((ETH_TYPE_IPV6,))
IP_ETH_TYPES: Final = _IPV4 | _IPV6
_ARP: Final = frozenset((0x0806, 0x8035))
"""ARP and, as Open vSwitch has it, RARP."""
_ND: Final = frozenset((135, 136))


class Headers(NamedTuple):
    """What is known of a packet's headers; 0 where nothing is known."""

    eth_type: int = 0
    ip_proto: int = 0
    icmp_type: int = 0
    """Of ICMPv6 only."""
    icmp_code: int = 0
    """Of ICMPv6 only."""
    vlans: int = 0
    """VLAN tags that are there for certain."""
    invalid: bool = False
    """It is known to belong to no connection that there can be."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field, of the class OFPXMC_OPENFLOW_BASIC or (numbers from NX on) of Open vSwitch's."""

    number: int
    name: str
    size: int
    """Bytes of the value on the wire."""
    full: int
    """The mask of the bits that mean something."""
    shift: int
    """Where the field stands in the fixed layout of all fields (see oxm.Match)."""
    maskable: bool = False
    writable: bool = False
    """Open vSwitch lets set-field write it."""
    eth_types: frozenset[int] = frozenset()
    ip_proto: int = 0
    icmp_types: frozenset[int] = frozenset()
    vlan: bool = False
    zero: bool = False
    """A packet that came in at a port of a bridge without tunnels has 0 there, always, unless its connection is
    tracked (`TRACKED`)."""

    @property
    def header(self) -> int:
        """The OXM header of the field without a mask."""
        if self.number >= NX:
            return _NXM_NX << 16 | self.number - NX << 9 | self.size
        return _BASIC << 16 | self.number << 9 | self.size

    @property
    def conditional(self) -> bool:
        """The field has prerequisites."""
        return bool(self.eth_types) or self.vlan

    def allows(self, headers: Headers) -> bool:
        """The prerequisites hold (OF 1.3.5 section 7.2.3.6)."""
        return not (
            self.eth_types and headers.eth_type not in self.eth_types
            or self.ip_proto and headers.ip_proto != self.ip_proto
            or self.icmp_types and (headers.icmp_type not in self.icmp_types or headers.icmp_code)
            or self.vlan and not headers.vlans
        )

    def holds(self, value: int) -> bool:
        """`value` can stand in the field."""
        if self.number == of13.OFPXMT_OFB_IN_PORT:
            return not FIRST_BAD_PORT <= value < FIRST_RESERVED_PORT
        return not value & ~self.full


def _fields() -> tuple[tuple[Field, ...], tuple[Field, ...]]:
    fields: list[Field] = []
    shift = 0

    def add(number: int, name: str, bits: int, size: int = 0, *, maskable: bool = False, writable: bool = True,
            eth_types: frozenset[int] = frozenset(), ip_proto: int = 0,
            icmp_types: frozenset[int] = frozenset(), vlan: bool = False, zero: bool = False) -> None:
        nonlocal shift
        fields.append(Field(number, name, size or (bits + 7) // 8, (1 << bits) - 1, shift, maskable, writable,
                            eth_types, ip_proto, icmp_types, vlan, zero))
        shift += bits

    add(0, "in_port", 32, writable=False)
    add(2, "metadata", 64, maskable=True, writable=False)
    add(3, "eth_dst", 48, maskable=True)
    add(4, "eth_src", 48, maskable=True)
    add(5, "eth_type", 16, writable=False)
    add(6, "vlan_vid", 13, maskable=True)
    add(7, "vlan_pcp", 3, vlan=True)
    add(8, "ip_dscp", 6, eth_types=IP_ETH_TYPES)
    add(9, "ip_ecn", 2, eth_types=IP_ETH_TYPES)
    add(10, "ip_proto", 8, writable=False, eth_types=IP_ETH_TYPES)
    add(11, "ipv4_src", 32, maskable=True, eth_types=_IPV4)
    add(12, "ipv4_dst", 32, maskable=True, eth_types=_IPV4)
    for number, protocol, ip_proto in ((13, "tcp", 6), (15, "udp", 17), (17, "sctp", 132)):
        add(number, f"{protocol}_src", 16, maskable=True, eth_types=IP_ETH_TYPES, ip_proto=ip_proto)
        add(number + 1, f"{protocol}_dst", 16, maskable=True, eth_types=IP_ETH_TYPES, ip_proto=ip_proto)
    add(19, "icmpv4_type", 8, eth_types=_IPV4, ip_proto=1)
    add(20, "icmpv4_code", 8, eth_types=_IPV4, ip_proto=1)
    add(21, "arp_op", 8, 2, eth_types=_ARP)
    add(22, "arp_spa", 32, maskable=True, eth_types=_ARP)
    add(23, "arp_tpa", 32, maskable=True, eth_types=_ARP)
    add(24, "arp_sha", 48, maskable=True, eth_types=_ARP)
    add(25, "arp_tha", 48, maskable=True, eth_types=_ARP)
    add(26, "ipv6_src", 128, maskable=True, eth_types=_IPV6)
    add(27, "ipv6_dst", 128, maskable=True, eth_types=_IPV6)
    add(28, "ipv6_flabel", 20, 4, maskable=True, eth_types=_IPV6)
    add(29, "icmpv6_type", 8, eth_types=_IPV6, ip_proto=58)
    add(30, "icmpv6_code", 8, eth_types=_IPV6, ip_proto=58)
    add(31, "ipv6_nd_target", 128, maskable=True, eth_types=_IPV6, ip_proto=58, icmp_types=_ND)
    add(32, "ipv6_nd_sll", 48, maskable=True, eth_types=_IPV6, ip_proto=58, icmp_types=frozenset((135,)))
    add(33, "ipv6_nd_tll", 48, maskable=True, eth_types=_IPV6, ip_proto=58, icmp_types=frozenset((136,)))
    add(34, "mpls_label", 20, 4, eth_types=MPLS_ETH_TYPES)
    add(35, "mpls_tc", 3, eth_types=MPLS_ETH_TYPES)
    add(36, "mpls_bos", 1, writable=False, eth_types=MPLS_ETH_TYPES)
    add(38, "tunnel_id", 64, maskable=True)
    standard = tuple(fields)
    fields.clear()
    add(PACKET_TYPE, "packet_type", 32, writable=False, zero=True)
    for register in range(16):
        add(NX + register, f"reg{register}", 32, maskable=True)
    add(NW_FRAG, "nw_frag", 2, maskable=True, writable=False, eth_types=IP_ETH_TYPES)
    add(NW_TTL, "nw_ttl", 8, eth_types=IP_ETH_TYPES)
    add(MPLS_TTL, "mpls_ttl", 8, eth_types=MPLS_ETH_TYPES)
    add(NX + 31, "tun_src", 32, maskable=True, writable=False, zero=True)
    add(NX + 32, "tun_dst", 32, maskable=True, writable=False, zero=True)
    add(NX + 33, "pkt_mark", 32, maskable=True, writable=False, zero=True)
    add(TCP_FLAGS, "tcp_flags", 12, maskable=True, writable=False, eth_types=IP_ETH_TYPES, ip_proto=6)
    add(NX + 37, "conj_id", 32, writable=False)
    add(NX + 38, "tun_gbp_id", 16, maskable=True, writable=False, zero=True)
    add(NX + 39, "tun_gbp_flags", 8, maskable=True, writable=False, zero=True)
    add(TUN_FLAGS, "tun_flags", 1, 2, maskable=True, writable=False, zero=True)
    add(CT_STATE, "ct_state", 8, 4, maskable=True, writable=False, zero=True)
    add(CT_ZONE, "ct_zone", 16, writable=False, zero=True)
    add(CT_MARK, "ct_mark", 32, maskable=True, writable=False, zero=True)
    add(CT_LABEL, "ct_label", 128, maskable=True, writable=False, zero=True)
    add(NX + 109, "tun_ipv6_src", 128, maskable=True, writable=False, zero=True)
    add(NX + 110, "tun_ipv6_dst", 128, maskable=True, writable=False, zero=True)
    return standard, tuple(fields)


FIELDS, EXTENSIONS = _fields()
"""Every field, by ascending number."""

BY_NUMBER: Final[dict[int, Field]] = {field.number: field for field in (*FIELDS, *EXTENSIONS)}

REGISTERS: Final = tuple(BY_NUMBER[NX + register] for register in range(16))

OWN_REGISTER: Final = REGISTERS[-1]
"""hvproxy's own: to tenants it is no field, nor are the wider registers that it is a part of."""

TRACKED: Final = tuple(BY_NUMBER[number] for number in (CT_STATE, CT_ZONE, CT_MARK, CT_LABEL))
"""What tells of a packet's connection, once it is tracked."""

ZEROS: Final = sum(field.full << field.shift for field in BY_NUMBER.values() if field.zero)
"""The bits of the layout that are 0 in every packet whose connection is not tracked."""

ZEROS_TRACKED: Final = ZEROS & ~sum(field.full << field.shift for field in TRACKED)
"""Those that are 0 in every packet."""

HEADERS_EXACT: Final[dict[int, Field]] = {field.header: field for field in BY_NUMBER.values()}
"""By the OXM header without a mask."""

HEADERS_MASKED: Final[dict[int, Field]] = {field.header + field.size | 0x100: field for field in BY_NUMBER.values()}
"""By the OXM header with a mask, which doubles the length (OF 1.3.5 section 7.2.3.2)."""
