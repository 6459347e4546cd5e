"""Changes to one packet: tags, labels, TTLs and set-field, with the checksums mended (OF 1.3.5 section 5.12).

Every function changes the bytes and the parsed fields together. As in Open vSwitch, an action on a header that
the packet lacks does nothing, and a checksum is adjusted by the difference, so a wrong one stays wrong.
"""
from __future__ import annotations

from tools.emulator import oxm
from tools.emulator.frames import LATER, MPLS_TYPES, PORTS, Packet, nd_options

MAX_LABELS = 3
SIMPLE = {oxm.ARP_OP: (6, 2), oxm.ARP_SHA: (8, 6), oxm.ARP_SPA: (14, 4), oxm.ARP_THA: (18, 6), oxm.ARP_TPA: (24, 4)}
ADDRESSES = {oxm.IPV4_SRC: (12, 4), oxm.IPV4_DST: (16, 4), oxm.IPV6_SRC: (8, 16), oxm.IPV6_DST: (24, 16)}
CHECKSUM_AT = {6: 16, 17: 6, 58: 2}
LEAST_HEADER = {6: 20, 17: 8, 58: 4}
SCTP_HEADER = 12
ICMP = (oxm.ICMPV4_TYPE, oxm.ICMPV4_CODE, oxm.ICMPV6_TYPE, oxm.ICMPV6_CODE)
TRANSPORT = (oxm.TCP_SRC, oxm.TCP_DST, oxm.UDP_SRC, oxm.UDP_DST, oxm.SCTP_SRC, oxm.SCTP_DST, *ICMP)
MPLS_BITS = {oxm.MPLS_LABEL: (12, 20), oxm.MPLS_TC: (9, 3)}


class TooManyLabels(Exception):
    """A push onto, or pop from, more MPLS labels than Open vSwitch looks at: the packet is dropped."""


def adjusted(checksum: int, old: bytes, new: bytes) -> int:
    """The Internet checksum after old became new, both of even length (RFC 1624, equation 3)."""
    total = ~checksum & 0xffff
    for place in range(0, len(old), 2):
        total += (~int.from_bytes(old[place:place + 2], "big") & 0xffff) + int.from_bytes(new[place:place + 2], "big")
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def put(packet: Packet, offset: int, new: bytes) -> None:
    """Overwrite bytes of the frame; those that a truncated one lacks are not made up."""
    data = packet.data
    if offset + len(new) > len(data):
        return
    packet.data = data[:offset] + new + data[offset + len(new):]


def mend(packet: Packet, offset: int, old: bytes, new: bytes, udp: bool = False) -> None:
    """Adjust the checksum at offset; a UDP checksum of zero means none and stays."""
    if offset + 2 > len(packet.data):
        return
    checksum = int.from_bytes(packet.data[offset:offset + 2], "big")
    if udp and checksum == 0:
        return
    checksum = adjusted(checksum, old, new)
    if udp and checksum == 0:
        checksum = 0xffff
    put(packet, offset, checksum.to_bytes(2, "big"))


def mend_transport(packet: Packet, old: bytes, new: bytes) -> None:
    """Adjust the checksum of TCP, UDP or ICMPv6; Open vSwitch does so in later fragments too, where it is none."""
    protocol = packet.fields.get(oxm.IP_PROTO, 0)
    place = CHECKSUM_AT.get(protocol)
    if place is None or not packet.l4 or network_end(packet) - packet.l4 < LEAST_HEADER[protocol]:
        return
    if protocol == 58 and packet.fields[oxm.ETH_TYPE] != 0x86dd:
        return
    mend(packet, packet.l4 + place, old, new, protocol == 17)


def move(packet: Packet, bits: int, source_first: int, target_first: int, source: int, target: int) -> None:
    """Copy some bits of a field that is no part of the packet into another such field."""
    mask = (1 << bits) - 1
    value = packet.fields.get(source, 0) >> source_first & mask
    packet.fields[target] = packet.fields.get(target, 0) & ~(mask << target_first) | value << target_first


def load(packet: Packet, first: int, bits: int, value: int, target: int) -> None:
    """Write a value into some bits of a field that is no part of the packet."""
    mask = (1 << bits) - 1
    packet.fields[target] = packet.fields.get(target, 0) & ~(mask << first) | value << first


def push_vlan(packet: Packet, tpid: int) -> None:
    """Put a tag with VID and priority 0 outermost; of the tags known, Open vSwitch keeps two and loses the third."""
    fields = packet.fields
    vid = fields[oxm.VLAN_VID]
    data = packet.data
    if vid:
        if packet.tags:
            del packet.tags[0]
            data = data[:16] + data[20:]
            packet.l3 -= 4
            if packet.l4:
                packet.l4 -= 4
        packet.tags.append((fields[oxm.VLAN_PCP] << 13) | (vid & 0xfff))
    packet.data = data[:12] + tpid.to_bytes(2, "big") + b"\0\0" + data[12:]
    packet.l3 += 4
    if packet.l4:
        packet.l4 += 4
    fields[oxm.VLAN_VID] = oxm.VID_PRESENT
    fields[oxm.VLAN_PCP] = 0


def pop_vlan(packet: Packet) -> None:
    """Take the outermost tag off; one that was not looked behind stays invisible."""
    fields = packet.fields
    if not fields[oxm.VLAN_VID]:
        return
    data = packet.data
    packet.data = data[:12] + data[16:]
    packet.l3 -= 4
    if packet.l4:
        packet.l4 -= 4
    if packet.tags:
        tci = packet.tags.pop()
        fields[oxm.VLAN_VID] = tci & 0xfff | oxm.VID_PRESENT
        fields[oxm.VLAN_PCP] = tci >> 13
    else:
        fields[oxm.VLAN_VID] = 0
        fields.pop(oxm.VLAN_PCP, None)


def labels(packet: Packet) -> int:
    """How many MPLS labels there are, counted no further than Open vSwitch counts."""
    if packet.fields[oxm.ETH_TYPE] not in MPLS_TYPES:
        return 0
    place, count = packet.l3, 0
    while place + 4 <= len(packet.data) and count < MAX_LABELS:
        count += 1
        if packet.data[place + 2] & 1:
            break
        place += 4
    return count


def push_mpls(packet: Packet, kind: int) -> None:
    """Put a label entry in front of the network header, TTL and class taken over from it."""
    count = labels(packet)
    data, l3, fields = packet.data, packet.l3, packet.fields
    if count >= MAX_LABELS:
        raise TooManyLabels
    if count:
        entry = int.from_bytes(data[l3:l3 + 4], "big") & ~0x100
    else:
        label, tc, ttl = 0, 0, 64
        if fields[oxm.ETH_TYPE] == 0x86dd:
            label = 2
        if oxm.IP_PROTO in fields:
            tc = fields[oxm.IP_DSCP] & 7
            ttl = current_ttl(packet) or 64
        entry = label << 12 | tc << 9 | 0x100 | ttl
    packet.data = data[:l3 - 2] + kind.to_bytes(2, "big") + entry.to_bytes(4, "big") + data[l3:]
    packet.parse({oxm.IN_PORT: fields[oxm.IN_PORT], **packet.pipeline})


def pop_mpls(packet: Packet, kind: int) -> bool:
    """Take the outermost label entry off, or all of them if what is behind is to be read as something else.

    Whether what is behind the labels has come to light by that.
    """
    count = labels(packet)
    if not count:
        return False
    data, l3, fields = packet.data, packet.l3, packet.fields
    if count == MAX_LABELS and not data[l3 + 4 * count - 2] & 1:
        raise TooManyLabels
    gone = 4 if kind in MPLS_TYPES else 4 * count
    packet.data = data[:l3 - 2] + kind.to_bytes(2, "big") + data[l3 + gone:]
    packet.parse({oxm.IN_PORT: fields[oxm.IN_PORT], **packet.pipeline})
    return kind not in MPLS_TYPES


def current_ttl(packet: Packet) -> int:
    """TTL or hop limit of the network header."""
    return packet.data[packet.l3 + (8 if packet.fields[oxm.ETH_TYPE] == 0x0800 else 7)]


def is_ip(packet: Packet) -> bool:
    """Whether there is a network header with a TTL."""
    return oxm.IPV4_SRC in packet.fields or oxm.IPV6_SRC in packet.fields


def set_ttl(packet: Packet, ttl: int) -> None:
    """Overwrite TTL or hop limit."""
    if oxm.IPV4_SRC in packet.fields:
        offset = packet.l3 + 8
        old = packet.data[offset:offset + 2]
        new = bytes((ttl, old[1]))
        put(packet, offset, new)
        mend(packet, packet.l3 + 10, old, new)
    elif oxm.IPV6_SRC in packet.fields:
        put(packet, packet.l3 + 7, bytes((ttl,)))


def mpls_ttl(packet: Packet) -> int | None:
    """TTL of the outermost label entry, or None without one."""
    return packet.data[packet.l3 + 3] if oxm.MPLS_LABEL in packet.fields else None


def set_mpls_ttl(packet: Packet, ttl: int) -> None:
    """Overwrite the TTL of the outermost label entry."""
    if oxm.MPLS_LABEL in packet.fields:
        put(packet, packet.l3 + 3, bytes((ttl,)))


def set_field(packet: Packet, field: int, value: int) -> None:
    """Overwrite one field; nothing happens where the packet does not have it."""
    fields = packet.fields
    if field in oxm.PIPELINE:
        fields[field] = value
    elif field == oxm.ETH_DST:
        packet.data = value.to_bytes(6, "big") + packet.data[6:]
        fields[field] = value
    elif field == oxm.ETH_SRC:
        put(packet, 6, value.to_bytes(6, "big"))
        fields[field] = value
    elif field == oxm.VLAN_VID:
        if not fields[oxm.VLAN_VID]:
            push_vlan(packet, 0x8100)
        fields[field] = value & 0xfff | oxm.VID_PRESENT
        put(packet, 14, (fields[oxm.VLAN_PCP] << 13 | value & 0xfff).to_bytes(2, "big"))
    elif fields.get(field) is None:
        return
    elif field == oxm.VLAN_PCP:
        fields[field] = value
        put(packet, 14, (value << 13 | fields[oxm.VLAN_VID] & 0xfff).to_bytes(2, "big"))
    elif fields.get(oxm.NW_FRAG) and field in TRANSPORT:
        _set_inner(packet, field, value)
    elif fields[field] != value:
        _set_inner(packet, field, value)
        fields[field] = value


def _set_inner(packet: Packet, field: int, value: int) -> None:
    """Overwrite a field behind the Ethernet header that the packet has with another value."""
    data, l3 = packet.data, packet.l3
    if field in ADDRESSES:
        start, size = ADDRESSES[field]
        old, new = data[l3 + start:l3 + start + size], value.to_bytes(size, "big")
        put(packet, l3 + start, new)
        if size == 4:
            mend(packet, l3 + 10, old, new)
        if not packet.routed:
            mend_transport(packet, old, new)
    elif field in (oxm.IP_DSCP, oxm.IP_ECN):
        _set_tos(packet, field, value)
    elif field == oxm.IPV6_FLABEL:
        first = int.from_bytes(data[l3:l3 + 4], "big") & ~0xfffff | value
        put(packet, l3, first.to_bytes(4, "big"))
    elif field in SIMPLE:
        start, size = SIMPLE[field]
        put(packet, l3 + start, value.to_bytes(size, "big"))
    elif field in MPLS_BITS:
        shift, bits = MPLS_BITS[field]
        entry = int.from_bytes(data[l3:l3 + 4], "big") & ~((1 << bits) - 1 << shift) | value << shift
        put(packet, l3, entry.to_bytes(4, "big"))
    elif packet.l4 and (field in ICMP or not packet.fields.get(oxm.NW_FRAG, 0) & LATER):
        _set_transport(packet, field, value)


def _set_tos(packet: Packet, field: int, value: int) -> None:
    data, l3 = packet.data, packet.l3
    shift, mask = (2, 0xfc) if field == oxm.IP_DSCP else (0, 0x03)
    if oxm.IPV4_SRC in packet.fields:
        old = data[l3:l3 + 2]
        new = bytes((old[0], old[1] & ~mask & 0xff | value << shift))
        put(packet, l3, new)
        mend(packet, l3 + 10, old, new)
    else:
        first = int.from_bytes(data[l3:l3 + 4], "big") & ~(mask << 20) | value << shift + 20
        put(packet, l3, first.to_bytes(4, "big"))


def _set_transport(packet: Packet, field: int, value: int) -> None:
    data, l4 = packet.data, packet.l4
    protocol = packet.fields[oxm.IP_PROTO]
    if protocol in PORTS:
        offset = l4 if field == PORTS[protocol][0] else l4 + 2
        new = value.to_bytes(2, "big")
        if offset + 2 > len(data):
            return
        if protocol == 132:
            _set_sctp(packet, offset, new)
            return
        old = data[offset:offset + 2]
        put(packet, offset, new)
        mend_transport(packet, old, new)
    elif field in ICMP:
        if l4 + 4 > len(data):
            return
        old = data[l4:l4 + 2]
        later = packet.fields.get(oxm.NW_FRAG, 0) & LATER
        # Open vSwitch writes both when one is set to something else.
        known = packet.told if later else old
        new = bytes((value, known[1])) if field in (oxm.ICMPV4_TYPE, oxm.ICMPV6_TYPE) else bytes((known[0], value))
        if new == known:
            return
        packet.told = new
        put(packet, l4, new)
        mend(packet, l4 + 2, old, new)
    elif field == oxm.ND_TARGET:
        new = value.to_bytes(16, "big")
        put(packet, l4 + 8, new)
        mend_transport(packet, data[l4 + 8:l4 + 24], new)
    else:
        wanted = 1 if field == oxm.ND_SLL else 2
        for option, place in nd_options(data, l4 + 24, len(data)):
            if option == wanted:
                new = value.to_bytes(6, "big")
                put(packet, place + 2, new)
                mend_transport(packet, data[place + 2:place + 8], new)
                return


def _set_sctp(packet: Packet, offset: int, new: bytes) -> None:
    """Overwrite an SCTP port; the CRC-32c changes by the difference of the right ones, so a wrong one stays wrong."""
    start, end = packet.l4, network_end(packet)
    if start + SCTP_HEADER > end:
        return
    had = int.from_bytes(packet.data[start + 8:start + 12], "little")
    before = crc32c(packet.data[start:start + 8] + bytes(4) + packet.data[start + 12:end])
    put(packet, offset, new)
    after = crc32c(packet.data[start:start + 8] + bytes(4) + packet.data[start + 12:end])
    put(packet, start + 8, (had ^ before ^ after).to_bytes(4, "little"))


def network_end(packet: Packet) -> int:
    """Where the IP packet ends; what a frame holds behind that is padding."""
    at, more = (2, 0) if packet.fields[oxm.ETH_TYPE] == 0x0800 else (4, 40)
    return packet.l3 + int.from_bytes(packet.data[packet.l3 + at:packet.l3 + at + 2], "big") + more


def crc32c(data: bytes) -> int:
    """The checksum of SCTP (RFC 9260 appendix A)."""
    register = 0xffffffff
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0x82f63b78 if register & 1 else 0)
    return register ^ 0xffffffff
