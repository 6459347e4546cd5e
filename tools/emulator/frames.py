"""Ethernet frames as match fields, parsed once and only when something looks (OF 1.3.5 section 7.2.3.7).

Follows Open vSwitch with its default vlan-limit of 1: only the outermost tag is looked behind, a second one is
the Ethernet type. Fields that a frame does not have are absent; those of the upper layer are zero where it is cut
off, and in every IP fragment, the first one too (OFPC_FRAG_NORMAL). Nothing here knows tables or OpenFlow messages.
"""
from __future__ import annotations

from struct import Struct

from tools.emulator import oxm

VLAN_TYPES = (0x8100, 0x88a8)
MPLS_TYPES = (0x8847, 0x8848)
FRAGMENT, LATER = 1, 2
"""Bits of nw_frag: it is a fragment, it is one without the upper layer's header."""

PORTS = {6: (oxm.TCP_SRC, oxm.TCP_DST, 20), 17: (oxm.UDP_SRC, oxm.UDP_DST, 8),
         132: (oxm.SCTP_SRC, oxm.SCTP_DST, 12)}
IPV6_SKIPPED = (0, 43, 60, 44, 51)
IPV4 = Struct("!BBHHHBBHII")
PAIR = Struct("!HH")
BLANK = dict.fromkeys(oxm.PIPELINE, 0)


class Packet:
    """One frame on its way through a switch; cloned where actions must not show elsewhere."""

    __slots__ = ("data", "fields", "l3", "l4", "tags", "routed", "told")

    def __init__(self, data: bytes, in_port: int, metadata: int = 0) -> None:
        self.data = data
        self.fields: dict[int, int] = {}
        """OXM field number to value."""
        self.l3 = 0
        """Offset behind the Ethernet type."""
        self.l4 = 0
        """Offset behind the network header, 0 if there is none."""
        self.tags: list[int] = []
        """VLAN TCIs that are visible below the outermost, which pushing has covered."""
        self.routed = False
        """An IPv6 routing header has segments left: the checksum is not about the addresses that it has now."""
        self.told = bytes(2)
        """ICMP's type and code as a later fragment has them, where there are none: zero, until they are set."""
        self.parse({oxm.IN_PORT: in_port, **BLANK, oxm.METADATA: metadata})

    @property
    def pipeline(self) -> dict[int, int]:
        """What goes with the frame and is no part of it."""
        return {number: self.fields[number] for number in oxm.PIPELINE}

    def parse(self, apart: dict[int, int]) -> None:
        """Read every field from the bytes anew; those in `apart` are no part of them."""
        self.l4 = 0
        self.tags = []
        self.routed = False
        self.told = bytes(2)
        fields = self.fields = apart
        data = self.data
        fields[oxm.ETH_DST] = int.from_bytes(data[0:6], "big")
        fields[oxm.ETH_SRC] = int.from_bytes(data[6:12], "big")
        kind = int.from_bytes(data[12:14], "big")
        offset = 14
        if kind in VLAN_TYPES and len(data) >= 18:
            tci, kind = PAIR.unpack_from(data, 14)
            fields[oxm.VLAN_VID] = tci & 0xfff | oxm.VID_PRESENT
            fields[oxm.VLAN_PCP] = tci >> 13
            offset = 18
        else:
            fields[oxm.VLAN_VID] = 0
        self.l3 = offset
        if kind < 0x600:
            kind = self._snap(data, offset)
        fields[oxm.ETH_TYPE] = kind
        if kind == 0x0800:
            self._ipv4(data, offset, fields)
        elif kind == 0x86dd:
            self._ipv6(data, offset, fields)
        elif kind in (0x0806, 0x8035):
            self._arp(data, offset, fields)
        elif kind in MPLS_TYPES and len(data) >= self.l3 + 4:
            entry = int.from_bytes(data[self.l3:self.l3 + 4], "big")
            fields[oxm.MPLS_LABEL] = entry >> 12
            fields[oxm.MPLS_TC] = entry >> 9 & 7
            fields[oxm.MPLS_BOS] = entry >> 8 & 1

    def clone(self) -> Packet:
        """The same frame, to be changed on its own."""
        other = Packet.__new__(Packet)
        other.data = self.data
        other.fields = self.fields.copy()
        other.l3 = self.l3
        other.l4 = self.l4
        other.routed = self.routed
        other.told = self.told
        other.tags = self.tags[:] if self.tags else []
        return other

    def _snap(self, data: bytes, offset: int) -> int:
        """The Ethernet type of an IEEE 802.3 frame: that of its SNAP header, or 0x05ff for none."""
        if data[offset:offset + 6] == b"\xaa\xaa\x03\x00\x00\x00" and len(data) >= offset + 8:
            kind = int.from_bytes(data[offset + 6:offset + 8], "big")
            if kind >= 0x600:
                self.l3 = offset + 8
                return kind
        return 0x05ff

    def _ipv4(self, data: bytes, offset: int, fields: dict[int, int]) -> None:
        offset = self.l3
        if len(data) < offset + 20:
            return
        first, tos, total, _, fragment, _, protocol, _, source, destination = IPV4.unpack_from(data, offset)
        header = (first & 15) * 4
        if first >> 4 != 4 or header < 20 or total < header or offset + total > len(data):
            return
        fields[oxm.NW_FRAG] = 0
        fields[oxm.IPV4_SRC] = source
        fields[oxm.IPV4_DST] = destination
        fields[oxm.IP_PROTO] = protocol
        fields[oxm.IP_DSCP] = tos >> 2
        fields[oxm.IP_ECN] = tos & 3
        self.l4 = offset + header
        fragment &= 0x3fff
        if fragment:
            self._fragment(bool(fragment & 0x1fff), fields)
        self._transport(data, offset + header, offset + total, protocol, not fragment, fields)

    def _ipv6(self, data: bytes, offset: int, fields: dict[int, int]) -> None:
        offset = self.l3
        if len(data) < offset + 40:
            return
        first = int.from_bytes(data[offset:offset + 4], "big")
        payload = int.from_bytes(data[offset + 4:offset + 6], "big")
        end = offset + 40 + payload
        if first >> 28 != 6 or end > len(data):
            return
        protocol = data[offset + 6]
        position = offset + 40
        fragment = 0
        while protocol in IPV6_SKIPPED and position + 8 <= end and not fragment & 0xfff8:
            following = data[position]
            if protocol == 44:
                fragment = int.from_bytes(data[position + 2:position + 4], "big") & 0xfff9
                position += 8
            else:
                size = data[position + 1]
                self.routed |= protocol == 43 and data[position + 3] > 0
                position += (size + 2) * 4 if protocol == 51 else (size + 1) * 8
                if position > end:
                    return
            protocol = following
        fields[oxm.IPV6_SRC] = int.from_bytes(data[offset + 8:offset + 24], "big")
        fields[oxm.IPV6_DST] = int.from_bytes(data[offset + 24:offset + 40], "big")
        fields[oxm.IPV6_FLABEL] = first & 0xfffff
        fields[oxm.IP_PROTO] = protocol
        fields[oxm.NW_FRAG] = 0
        fields[oxm.IP_DSCP] = first >> 22 & 0x3f
        fields[oxm.IP_ECN] = first >> 20 & 3
        self.l4 = position
        if fragment:
            self._fragment(fragment & 0xfff8 != 0, fields)
        self._transport(data, position, end, protocol, not fragment, fields)

    @staticmethod
    def _fragment(later: bool, fields: dict[int, int]) -> None:
        fields[oxm.NW_FRAG] = FRAGMENT | LATER if later else FRAGMENT

    def _transport(self, data: bytes, offset: int, end: int, protocol: int, visible: bool,
                   fields: dict[int, int]) -> None:
        if protocol in PORTS:
            source, destination, size = PORTS[protocol]
            if visible and end - offset >= size:
                fields[source], fields[destination] = PAIR.unpack_from(data, offset)
            else:
                fields[source] = fields[destination] = 0
        elif protocol == 1 and fields[oxm.ETH_TYPE] == 0x0800:
            known = visible and end - offset >= 8
            fields[oxm.ICMPV4_TYPE] = data[offset] if known else 0
            fields[oxm.ICMPV4_CODE] = data[offset + 1] if known else 0
        elif protocol == 58 and fields[oxm.ETH_TYPE] == 0x86dd:
            known = visible and end - offset >= 4
            fields[oxm.ICMPV6_TYPE] = kind = data[offset] if known else 0
            fields[oxm.ICMPV6_CODE] = code = data[offset + 1] if known else 0
            if kind in (135, 136) and code == 0:
                self._discovery(data, offset, end, kind, fields)

    @staticmethod
    def _discovery(data: bytes, offset: int, end: int, kind: int, fields: dict[int, int]) -> None:
        """Neighbour discovery: target and link-layer addresses, zero where invalid (RFC 4861)."""
        fields[oxm.ND_TARGET] = 0
        fields[oxm.ND_SLL if kind == 135 else oxm.ND_TLL] = 0
        if end - offset < 24:
            return
        fields[oxm.ND_TARGET] = int.from_bytes(data[offset + 8:offset + 24], "big")
        for option, place in nd_options(data, offset + 24, end):
            if option == 1 and kind == 135:
                fields[oxm.ND_SLL] = int.from_bytes(data[place + 2:place + 8], "big")
            elif option == 2 and kind == 136:
                fields[oxm.ND_TLL] = int.from_bytes(data[place + 2:place + 8], "big")

    def _arp(self, data: bytes, offset: int, fields: dict[int, int]) -> None:
        offset = self.l3
        known = len(data) >= offset + 28 and data[offset:offset + 6] == b"\x00\x01\x08\x00\x06\x04"
        operation = int.from_bytes(data[offset + 6:offset + 8], "big") if known else 0
        fields[oxm.ARP_OP] = operation if operation < 256 else 0
        known = known and operation < 256
        for field, start, size in ((oxm.ARP_SHA, 8, 6), (oxm.ARP_SPA, 14, 4), (oxm.ARP_THA, 18, 6),
                                   (oxm.ARP_TPA, 24, 4)):
            place = offset + start
            fields[field] = int.from_bytes(data[place:place + size], "big") if known else 0


def nd_options(data: bytes, offset: int, end: int) -> list[tuple[int, int]]:
    """(type, offset) of each neighbour discovery option of 8 bytes, up to the first that is malformed."""
    found: list[tuple[int, int]] = []
    while end - offset >= 8:
        size = data[offset + 1] * 8
        if size == 0 or offset + size > end:
            break
        if size == 8:
            found.append((data[offset], offset))
        offset += size
    return found
