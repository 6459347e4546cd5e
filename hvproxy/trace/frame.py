"""An Ethernet frame as match fields (OF 1.3.5 section 7.2.3.7), read as Open vSwitch 3.1 reads it with vlan-limit=1.

Only the outermost tag is looked behind; a second one is the Ethernet type. A field that a frame does not have is
absent, and counts as zero where it is matched. Upper-layer fields are zero where the frame is cut off and in every IP
fragment (OFPC_FRAG_NORMAL). Must not know tables, actions or checksums.
"""
from __future__ import annotations

from struct import Struct
from typing import Final

from hvproxy.openflow.constants import of13
from hvproxy.openflow.oxm_fields import (
    BY_NUMBER, MPLS_ETH_TYPES, MPLS_TTL, NW_FRAG, NW_TTL, REGISTERS, TCP_FLAGS, VLAN_ETH_TYPES, VLAN_ID,
    VLAN_PRESENT,
)

IN_PORT: Final[int] = of13.OFPXMT_OFB_IN_PORT
METADATA: Final[int] = of13.OFPXMT_OFB_METADATA
TUNNEL_ID: Final[int] = of13.OFPXMT_OFB_TUNNEL_ID
ETH_DST: Final[int] = of13.OFPXMT_OFB_ETH_DST
ETH_SRC: Final[int] = of13.OFPXMT_OFB_ETH_SRC
ETH_TYPE: Final[int] = of13.OFPXMT_OFB_ETH_TYPE
VLAN_VID: Final[int] = of13.OFPXMT_OFB_VLAN_VID
VLAN_PCP: Final[int] = of13.OFPXMT_OFB_VLAN_PCP
IP_DSCP: Final[int] = of13.OFPXMT_OFB_IP_DSCP
IP_ECN: Final[int] = of13.OFPXMT_OFB_IP_ECN
IP_PROTO: Final[int] = of13.OFPXMT_OFB_IP_PROTO
IPV4_SRC: Final[int] = of13.OFPXMT_OFB_IPV4_SRC
IPV4_DST: Final[int] = of13.OFPXMT_OFB_IPV4_DST
TCP_SRC: Final[int] = of13.OFPXMT_OFB_TCP_SRC
UDP_SRC: Final[int] = of13.OFPXMT_OFB_UDP_SRC
SCTP_SRC: Final[int] = of13.OFPXMT_OFB_SCTP_SRC
ICMPV4_TYPE: Final[int] = of13.OFPXMT_OFB_ICMPV4_TYPE
ICMPV4_CODE: Final[int] = of13.OFPXMT_OFB_ICMPV4_CODE
ARP_OP: Final[int] = of13.OFPXMT_OFB_ARP_OP
ARP_SPA: Final[int] = of13.OFPXMT_OFB_ARP_SPA
ARP_TPA: Final[int] = of13.OFPXMT_OFB_ARP_TPA
ARP_SHA: Final[int] = of13.OFPXMT_OFB_ARP_SHA
ARP_THA: Final[int] = of13.OFPXMT_OFB_ARP_THA
IPV6_SRC: Final[int] = of13.OFPXMT_OFB_IPV6_SRC
IPV6_DST: Final[int] = of13.OFPXMT_OFB_IPV6_DST
IPV6_FLABEL: Final[int] = of13.OFPXMT_OFB_IPV6_FLABEL
ICMPV6_TYPE: Final[int] = of13.OFPXMT_OFB_ICMPV6_TYPE
ICMPV6_CODE: Final[int] = of13.OFPXMT_OFB_ICMPV6_CODE
ND_TARGET: Final[int] = of13.OFPXMT_OFB_IPV6_ND_TARGET
ND_SLL: Final[int] = of13.OFPXMT_OFB_IPV6_ND_SLL
ND_TLL: Final[int] = of13.OFPXMT_OFB_IPV6_ND_TLL
MPLS_LABEL: Final[int] = of13.OFPXMT_OFB_MPLS_LABEL
MPLS_TC: Final[int] = of13.OFPXMT_OFB_MPLS_TC
MPLS_BOS: Final[int] = of13.OFPXMT_OFB_MPLS_BOS

PIPELINE: Final = frozenset((METADATA, TUNNEL_ID, *(register.number for register in REGISTERS)))
"""Fields that go with a frame through tables and are no part of it."""

IPV4, IPV6, ARP, RARP = 0x0800, 0x86DD, 0x0806, 0x8035
NO_TYPE = 0x05FF
"""The Ethernet type of an IEEE 802.3 frame without one (OF 1.3.5 section 7.2.3.8)."""
ICMP, TCP, UDP, ICMPV6, SCTP = 1, 6, 17, 58, 132
PORTS: Final = {TCP: (TCP_SRC, 20), UDP: (UDP_SRC, 8), SCTP: (SCTP_SRC, 12)}
"""Protocol -> (field of the source port, bytes of the header); the destination's field is the next."""
SOLICITATION, ADVERTISEMENT = 135, 136
SHORTEST = 14
"""Bytes of the Ethernet header: a frame with fewer is none."""
_LEAST_TYPE = 0x600
_SNAP = b"\xaa\xaa\x03\x00\x00\x00"
_ROUTING, _FRAGMENT_HEADER, _AUTHENTICATION = 43, 44, 51
_EXTENSIONS: Final = frozenset((0, _ROUTING, 60, _FRAGMENT_HEADER, _AUTHENTICATION))
_ARP_FIELDS: Final = ((ARP_SHA, 8, 6), (ARP_SPA, 14, 4), (ARP_THA, 18, 6), (ARP_TPA, 24, 4))
_PAIR: Final = Struct("!HH")


class Frame:
    """One frame on its way, changed in place by `edits`; `copy` where a change must not show elsewhere."""

    __slots__ = ("addresses", "tags", "rest", "fields", "l3", "l4", "fragment", "later_fragment", "routed")

    def __init__(self, data: bytes, in_port: int, metadata: int = 0, tunnel_id: int = 0) -> None:
        self.fields: dict[int, int] = {IN_PORT: in_port, METADATA: metadata, TUNNEL_ID: tunnel_id}
        """OXM field number -> value."""
        self.read(data)

    def read(self, data: bytes) -> None:
        """Take these bytes, and every field anew but those that are no part of the frame."""
        self.fields = {IN_PORT: self.fields[IN_PORT], **self.pipeline}
        self.addresses = data[:12]
        self.tags: list[tuple[int, int]] = []
        """(TPID, TCI) of the tags that can be seen, outermost first."""
        self.rest = data[12:]
        """From the Ethernet type on, without the tags that can be seen."""
        self.l3 = 2
        """Where in `rest` the network header begins."""
        self.l4 = 0
        """Where in `rest` the transport header begins, 0 where there is none."""
        self.fragment = self.later_fragment = False
        """It is an IP fragment; one without the upper layer's header."""
        self.routed = False
        """An IPv6 routing header has segments left: the checksum is not about the addresses that it has now."""
        if _u16(self.rest, 0) in VLAN_ETH_TYPES and len(data) >= SHORTEST + 4:
            self.tags.append(_PAIR.unpack_from(self.rest))
            self.rest = self.rest[4:]
        self.fields[ETH_DST] = int.from_bytes(data[:6], "big")
        self.fields[ETH_SRC] = int.from_bytes(data[6:12], "big")
        self.see_tags()
        kind = self.fields[ETH_TYPE] = self._type()
        if kind == IPV4:
            self._read_ipv4()
        elif kind == IPV6:
            self._read_ipv6()
        elif kind in (ARP, RARP):
            self._read_arp()
        elif kind in MPLS_ETH_TYPES and len(self.rest) >= self.l3 + 4:
            entry = int.from_bytes(self.rest[self.l3:self.l3 + 4], "big")
            self.fields[MPLS_LABEL], self.fields[MPLS_TC], self.fields[MPLS_BOS] = (
                entry >> 12, entry >> 9 & 7, entry >> 8 & 1)

    @property
    def data(self) -> bytes:
        """The bytes as they would leave now."""
        return self.addresses + b"".join(_PAIR.pack(*tag) for tag in self.tags) + self.rest

    @property
    def pipeline(self) -> dict[int, int]:
        """What goes with the frame: metadata, tunnel id and what has been written into registers."""
        return {number: value for number, value in self.fields.items() if number in PIPELINE}

    @property
    def value(self) -> int:
        """All fields in the fixed layout of oxm.Match."""
        fragment = self.fragment | self.later_fragment << 1
        found = fragment << BY_NUMBER[NW_FRAG].shift | sum(
            value << BY_NUMBER[number].shift for number, value in self.fields.items())
        for number, at in ((NW_TTL, self.ttl_at), (MPLS_TTL, self.mpls_ttl_at)):
            if at is not None:
                found |= self.rest[at] << BY_NUMBER[number].shift
        if TCP_SRC in self.fields and not self.fragment and self.l4 + PORTS[TCP][1] <= len(self.rest):
            found |= (_u16(self.rest, self.l4 + 12) & 0xFFF) << BY_NUMBER[TCP_FLAGS].shift
        return found

    def copy(self) -> Frame:
        other = Frame.__new__(Frame)
        other.addresses, other.rest, other.tags = self.addresses, self.rest, self.tags.copy()
        other.fields = self.fields.copy()
        other.l3, other.l4 = self.l3, self.l4
        other.fragment, other.later_fragment, other.routed = self.fragment, self.later_fragment, self.routed
        return other

    def see_tags(self) -> None:
        """Bring the VLAN fields up to date with `tags`."""
        self.fields.pop(VLAN_PCP, None)
        self.fields[VLAN_VID] = 0
        if self.tags:
            tci = self.tags[0][1]
            self.fields[VLAN_VID], self.fields[VLAN_PCP] = VLAN_PRESENT | tci & VLAN_ID, tci >> 13

    @property
    def network_end(self) -> int:
        """Where in `rest` the IP packet ends; what follows is padding."""
        if self.fields[ETH_TYPE] == IPV4:
            return self.l3 + _u16(self.rest, self.l3 + 2)
        return self.l3 + 40 + _u16(self.rest, self.l3 + 4)

    @property
    def ttl_at(self) -> int | None:
        """Where in `rest` the TTL or hop limit stands; None where there is none."""
        if IPV4_SRC in self.fields:
            return self.l3 + 8
        return self.l3 + 7 if IPV6_SRC in self.fields else None

    @property
    def mpls_ttl_at(self) -> int | None:
        """Where in `rest` the TTL of the outermost label stands; None where there is none."""
        return self.l3 + 3 if MPLS_LABEL in self.fields else None

    def neighbour_options(self, end: int | None = None) -> list[tuple[int, int]]:
        """(type, place in `rest`) of each neighbour discovery option of 8 bytes, up to the first that is malformed."""
        found = []
        at, end = self.l4 + 24, len(self.rest) if end is None else end
        while end - at >= 8:
            size = 8 * self.rest[at + 1]
            if not size or at + size > end:
                break
            if size == 8:
                found.append((self.rest[at], at))
            at += size
        return found

    def _type(self) -> int:
        kind = _u16(self.rest, 0)
        if kind >= _LEAST_TYPE:
            return kind
        if self.rest[2:8] == _SNAP and len(self.rest) >= 10 and _u16(self.rest, 8) >= _LEAST_TYPE:
            self.l3 = 10
            return _u16(self.rest, 8)
        return NO_TYPE

    def _read_ipv4(self) -> None:
        data, at, fields = self.rest, self.l3, self.fields
        if len(data) < at + 20:
            return
        header, total = (data[at] & 15) * 4, _u16(data, at + 2)
        if data[at] >> 4 != 4 or header < 20 or total < header or at + total > len(data):
            return
        self._take_class(data[at + 1])
        fields[IP_PROTO] = data[at + 9]
        fields[IPV4_SRC] = int.from_bytes(data[at + 12:at + 16], "big")
        fields[IPV4_DST] = int.from_bytes(data[at + 16:at + 20], "big")
        offset = _u16(data, at + 6)
        self.fragment, self.later_fragment = bool(offset & 0x3FFF), bool(offset & 0x1FFF)
        self.l4 = at + header
        self._read_transport(at + total)

    def _read_ipv6(self) -> None:
        data, at, fields = self.rest, self.l3, self.fields
        if len(data) < at + 40:
            return
        first, end = int.from_bytes(data[at:at + 4], "big"), at + 40 + _u16(data, at + 4)
        if first >> 28 != 6 or end > len(data):
            return
        protocol, place, fragment = data[at + 6], at + 40, 0
        while protocol in _EXTENSIONS and place + 8 <= end and not fragment & 0xFFF8:
            following = data[place]
            if protocol == _FRAGMENT_HEADER:
                fragment = _u16(data, place + 2) & 0xFFF9
                place += 8
            else:
                length = data[place + 1]
                self.routed |= protocol == _ROUTING and data[place + 3] > 0
                place += 4 * (length + 2) if protocol == _AUTHENTICATION else 8 * (length + 1)
                if place > end:
                    return
            protocol = following
        self._take_class(first >> 20 & 0xFF)
        fields[IPV6_FLABEL] = first & 0xFFFFF
        fields[IP_PROTO] = protocol
        fields[IPV6_SRC] = int.from_bytes(data[at + 8:at + 24], "big")
        fields[IPV6_DST] = int.from_bytes(data[at + 24:at + 40], "big")
        self.fragment, self.later_fragment = bool(fragment), bool(fragment & 0xFFF8)
        self.l4 = place
        self._read_transport(end)

    def _take_class(self, traffic_class: int) -> None:
        self.fields[IP_DSCP], self.fields[IP_ECN] = traffic_class >> 2, traffic_class & 3

    def _read_transport(self, end: int) -> None:
        data, at, fields, kind = self.rest, self.l4, self.fields, self.fields[ETH_TYPE]
        protocol, size = fields[IP_PROTO], 0 if self.fragment else end - at
        if protocol in PORTS:
            source, needed = PORTS[protocol]
            fields[source], fields[source + 1] = _PAIR.unpack_from(data, at) if size >= needed else (0, 0)
        elif protocol == ICMP and kind == IPV4:
            fields[ICMPV4_TYPE], fields[ICMPV4_CODE] = (data[at], data[at + 1]) if size >= 8 else (0, 0)
        elif protocol == ICMPV6 and kind == IPV6:
            message = fields[ICMPV6_TYPE], fields[ICMPV6_CODE] = (data[at], data[at + 1]) if size >= 4 else (0, 0)
            if message == (SOLICITATION, 0):
                self._read_discovery(end, ND_SLL, option=1)
            elif message == (ADVERTISEMENT, 0):
                self._read_discovery(end, ND_TLL, option=2)

    def _read_discovery(self, end: int, link_layer: int, option: int) -> None:
        """Neighbour discovery (RFC 4861): target and link-layer address, zero where there is none."""
        self.fields[ND_TARGET] = self.fields[link_layer] = 0
        if end - self.l4 < 24:
            return
        self.fields[ND_TARGET] = int.from_bytes(self.rest[self.l4 + 8:self.l4 + 24], "big")
        for kind, place in self.neighbour_options(end):
            if kind == option:
                self.fields[link_layer] = int.from_bytes(self.rest[place + 2:place + 8], "big")

    def _read_arp(self) -> None:
        data = self.rest[self.l3:]
        operation = _u16(data, 6)
        known = len(data) >= 28 and data[:6] == b"\x00\x01\x08\x00\x06\x04" and operation < 0x100
        self.fields[ARP_OP] = operation if known else 0
        for field, at, size in _ARP_FIELDS:
            self.fields[field] = int.from_bytes(data[at:at + size], "big") if known else 0


def _u16(data: bytes, at: int) -> int:
    return int.from_bytes(data[at:at + 2], "big")
