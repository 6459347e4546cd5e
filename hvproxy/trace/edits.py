"""What actions change in one frame: tags, labels, TTLs and fields, with the checksums mended (OF 1.3.5 section 5.12).

As in Open vSwitch, an action on a header that the frame lacks does nothing, and a checksum is adjusted by the
difference, so that a wrong one stays wrong. Bytes and fields change together. Must not know lists of actions.
"""
from __future__ import annotations

from typing import Final

from hvproxy.openflow.oxm_fields import MPLS_ETH_TYPES, VLAN_PRESENT
from hvproxy.trace.frame import (
    ARP_OP, ARP_SHA, ARP_SPA, ARP_THA, ARP_TPA, ETH_DST, ETH_SRC, ETH_TYPE, ICMPV4_CODE, ICMPV4_TYPE, ICMPV6,
    ICMPV6_CODE, ICMPV6_TYPE, IN_PORT, IP_DSCP, IP_ECN, IP_PROTO, IPV4, IPV4_DST, IPV4_SRC, IPV6, IPV6_DST, IPV6_FLABEL,
    IPV6_SRC, MPLS_LABEL, MPLS_TC, ND_SLL, ND_TARGET, ND_TLL, PIPELINE, SCTP, SCTP_SRC, TCP, TCP_SRC, UDP,
    UDP_SRC, VLAN_PCP, VLAN_VID, Frame,
)

MOST_LABELS = 3
"""MPLS labels that Open vSwitch looks at."""
MOST_TAGS = 2
"""VLAN tags that Open vSwitch keeps track of."""
_TAG_TYPE = 0x8100
_DEFAULT_TTL = 64
_EXPLICIT_NULL_IPV6 = 2
"""The label of RFC 3032 section 2.1."""

_NETWORK: Final[dict[int, tuple[int, int, int, int]]] = {
    IPV4_SRC: (12, 4, 0, 32), IPV4_DST: (16, 4, 0, 32), IPV6_SRC: (8, 16, 0, 128), IPV6_DST: (24, 16, 0, 128),
    IPV6_FLABEL: (0, 4, 0, 20), ARP_OP: (6, 2, 0, 16), ARP_SHA: (8, 6, 0, 48), ARP_SPA: (14, 4, 0, 32),
    ARP_THA: (18, 6, 0, 48), ARP_TPA: (24, 4, 0, 32), MPLS_LABEL: (0, 4, 12, 20), MPLS_TC: (0, 4, 9, 3),
}
"""Field -> (offset in the network header, bytes, shift, bits)."""
_CLASS_IPV4: Final = {IP_DSCP: (0, 2, 2, 6), IP_ECN: (0, 2, 0, 2)}
_CLASS_IPV6: Final = {IP_DSCP: (0, 4, 22, 6), IP_ECN: (0, 4, 20, 2)}
_PORT_FIELDS: Final = frozenset(first + side for first in (TCP_SRC, UDP_SRC, SCTP_SRC) for side in (0, 1))
_ICMP_FIELDS: Final = frozenset((ICMPV4_TYPE, ICMPV4_CODE, ICMPV6_TYPE, ICMPV6_CODE))
_IPV4_CHECKSUM = 10
_CHECKSUMS: Final = {TCP: (16, 20), UDP: (6, 8), ICMPV6: (2, 4)}
"""Protocol -> (offset of the checksum, bytes the header must have)."""
_ICMP_CHECKSUM = 2
_SCTP_CHECKSUM = 8
_SCTP_HEADER = 12
_TARGET_AT = 8


class TooManyLabels(Exception):
    """A push onto, or pop from, more MPLS labels than Open vSwitch looks at: the frame is dropped."""


def push_vlan(frame: Frame, ethertype: int) -> None:
    """Put on a tag of VLAN 0; of the tags it keeps track of, Open vSwitch loses the innermost."""
    del frame.tags[MOST_TAGS - 1:]
    frame.tags.insert(0, (ethertype, 0))
    frame.see_tags()


def pop_vlan(frame: Frame) -> None:
    """Take the outermost tag off."""
    del frame.tags[:1]
    frame.see_tags()


def push_mpls(frame: Frame, ethertype: int) -> None:
    """Put a label in front of the network header, with class and TTL of what it covers. Raises TooManyLabels."""
    labels = _labels(frame)
    if labels >= MOST_LABELS:
        raise TooManyLabels
    if labels:
        entry = int.from_bytes(frame.rest[frame.l3:frame.l3 + 4], "big") & ~0x100
    else:
        label = _EXPLICIT_NULL_IPV6 if frame.fields[ETH_TYPE] == IPV6 else 0
        entry = label << 12 | (frame.fields.get(IP_DSCP, 0) & 7) << 9 | 0x100 | (ttl(frame) or _DEFAULT_TTL)
    _replace_type(frame, ethertype, entry.to_bytes(4, "big") + frame.rest[frame.l3:])


def pop_mpls(frame: Frame, ethertype: int) -> None:
    """Take the outermost label off; all of them where what is below is to be read as something else.

    Raises TooManyLabels.
    """
    labels = _labels(frame)
    if not labels:
        return
    if labels == MOST_LABELS and not frame.rest[frame.l3 + 4 * labels - 2] & 1:
        raise TooManyLabels
    gone = 1 if ethertype in MPLS_ETH_TYPES else labels
    _replace_type(frame, ethertype, frame.rest[frame.l3 + 4 * gone:])


def ttl(frame: Frame) -> int | None:
    """The TTL or hop limit; None without an IP header."""
    return None if frame.ttl_at is None else frame.rest[frame.ttl_at]


def set_ttl(frame: Frame, value: int) -> None:
    at = frame.ttl_at
    if at is not None:
        old = frame.rest
        _put(frame, at, bytes((value,)))
        if IPV4_SRC in frame.fields:
            _mend(frame, frame.l3 + _IPV4_CHECKSUM, old[at:at + 2], frame.rest[at:at + 2])


def mpls_ttl(frame: Frame) -> int | None:
    """The TTL of the outermost label; None without one."""
    return None if frame.mpls_ttl_at is None else frame.rest[frame.mpls_ttl_at]


def set_mpls_ttl(frame: Frame, value: int) -> None:
    if frame.mpls_ttl_at is not None:
        _put(frame, frame.mpls_ttl_at, bytes((value,)))


def set_field(frame: Frame, field: int, value: int) -> None:
    """Overwrite one field by its OXM number."""
    fields = frame.fields
    if field in PIPELINE or field == IN_PORT:
        fields[field] = value
    elif field == ETH_DST:
        frame.addresses = value.to_bytes(6, "big") + frame.addresses[6:]
        fields[field] = value
    elif field == ETH_SRC:
        frame.addresses = frame.addresses[:6] + value.to_bytes(6, "big")
        fields[field] = value
    elif field == VLAN_VID:
        if not frame.tags:
            push_vlan(frame, _TAG_TYPE)
        _set_tag(frame, fields[VLAN_PCP] << 13 | value & ~VLAN_PRESENT)
    elif field not in fields:
        return
    elif field == VLAN_PCP:
        _set_tag(frame, value << 13 | fields[VLAN_VID] & ~VLAN_PRESENT)
    elif frame.fragment and (field in _PORT_FIELDS or field in _ICMP_FIELDS):
        _set_transport(frame, field, value)  # the field stays zero: nothing may match it in a fragment
    elif fields[field] != value:
        _set_inner(frame, field, value)
        fields[field] = value


def _set_tag(frame: Frame, tci: int) -> None:
    frame.tags[0] = (frame.tags[0][0], tci)
    frame.see_tags()


def set_tci(frame: Frame, value: int) -> None:
    """Overwrite the whole outermost tag, or take it off: bit 12 says whether it is there."""
    if not value & VLAN_PRESENT:
        pop_vlan(frame)
        return
    if not frame.tags:
        push_vlan(frame, _TAG_TYPE)
    _set_tag(frame, value & ~VLAN_PRESENT)


def _set_inner(frame: Frame, field: int, value: int) -> None:
    classes = _CLASS_IPV4 if IPV4_SRC in frame.fields else _CLASS_IPV6
    place = _NETWORK.get(field) or classes.get(field)
    if place is None:
        _set_transport(frame, field, value)
        return
    offset, size, shift, bits = place
    at = frame.l3 + offset
    old = frame.rest[at:at + size]
    kept = int.from_bytes(old, "big") & ~((1 << bits) - 1 << shift)
    new = (kept | value << shift).to_bytes(size, "big")
    _put(frame, at, new)
    if frame.fields[ETH_TYPE] == IPV4:
        _mend(frame, frame.l3 + _IPV4_CHECKSUM, old, new)
    if field in (IPV4_SRC, IPV4_DST, IPV6_SRC, IPV6_DST) and not frame.routed:
        _mend_transport(frame, old, new)


def _set_transport(frame: Frame, field: int, value: int) -> None:
    if field in _ICMP_FIELDS:
        if frame.l4 + 4 <= len(frame.rest):
            old = frame.rest[frame.l4:frame.l4 + 2]
            _put(frame, frame.l4 + (field in (ICMPV4_CODE, ICMPV6_CODE)), bytes((value,)))
            _mend(frame, frame.l4 + _ICMP_CHECKSUM, old, frame.rest[frame.l4:frame.l4 + 2])
    elif frame.later_fragment:
        return
    elif field in _PORT_FIELDS:
        at = frame.l4 + 2 * (field not in (TCP_SRC, UDP_SRC, SCTP_SRC))
        _put_covered(frame, at, value.to_bytes(2, "big"))
    elif field == ND_TARGET:
        _put_covered(frame, frame.l4 + _TARGET_AT, value.to_bytes(16, "big"))
    else:
        assert field in (ND_SLL, ND_TLL)
        option = 1 if field == ND_SLL else 2
        place = next((at for kind, at in frame.neighbour_options() if kind == option), None)
        if place is not None:
            _put_covered(frame, place + 2, value.to_bytes(6, "big"))


# Bytes and checksums

def _replace_type(frame: Frame, ethertype: int, payload: bytes) -> None:
    tags = frame.data[12:-len(frame.rest)]
    frame.read(frame.addresses + tags + frame.rest[:frame.l3 - 2] + ethertype.to_bytes(2, "big") + payload)


def _labels(frame: Frame) -> int:
    """How many MPLS labels there are, counted no further than Open vSwitch does."""
    if frame.fields[ETH_TYPE] not in MPLS_ETH_TYPES:
        return 0
    at, count = frame.l3, 0
    while at + 4 <= len(frame.rest) and count < MOST_LABELS:
        count += 1
        if frame.rest[at + 2] & 1:
            break
        at += 4
    return count


def _put(frame: Frame, at: int, new: bytes) -> None:
    """Overwrite bytes that are there; what a frame lacks is not made up."""
    if at + len(new) <= len(frame.rest):
        frame.rest = frame.rest[:at] + new + frame.rest[at + len(new):]


def _put_covered(frame: Frame, at: int, new: bytes) -> None:
    """Overwrite bytes that the transport's checksum covers."""
    if at + len(new) > len(frame.rest):
        return
    old = frame.rest[at:at + len(new)]
    if frame.fields[IP_PROTO] == SCTP:
        _put_sctp(frame, at, new)
    else:
        _put(frame, at, new)
        _mend_transport(frame, old, new)


def _mend_transport(frame: Frame, old: bytes, new: bytes) -> None:
    """Adjust the checksum of TCP, UDP or ICMPv6; Open vSwitch does so in later fragments too, where it is none."""
    protocol = frame.fields.get(IP_PROTO, 0)
    if protocol not in _CHECKSUMS or not frame.l4 or protocol == ICMPV6 and frame.fields[ETH_TYPE] != IPV6:
        return
    offset, least = _CHECKSUMS[protocol]
    if frame.network_end - frame.l4 >= least:
        _mend(frame, frame.l4 + offset, old, new, may_be_absent=protocol == UDP)


def _mend(frame: Frame, at: int, old: bytes, new: bytes, *, may_be_absent: bool = False) -> None:
    """Adjust the Internet checksum at `at` for what became of bytes of even length (RFC 1624, equation 3).

    UDP's may be absent, which is written as zero and stays (RFC 768).
    """
    if at + 2 > len(frame.rest):
        return
    checksum = int.from_bytes(frame.rest[at:at + 2], "big")
    if may_be_absent and not checksum:
        return
    total = ~checksum & 0xFFFF
    for place in range(0, len(old), 2):
        total += ~int.from_bytes(old[place:place + 2], "big") & 0xFFFF
        total += int.from_bytes(new[place:place + 2], "big")
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    checksum = ~total & 0xFFFF
    _put(frame, at, (checksum or 0xFFFF * may_be_absent).to_bytes(2, "big"))


def _put_sctp(frame: Frame, at: int, new: bytes) -> None:
    """Overwrite bytes of an SCTP packet; its checksum changes by the difference of the right ones."""
    if frame.network_end - frame.l4 < _SCTP_HEADER:
        return
    place = frame.l4 + _SCTP_CHECKSUM
    had = int.from_bytes(frame.rest[place:place + 4], "little")
    before = _sctp_checksum(frame)
    _put(frame, at, new)
    _put(frame, place, (had ^ before ^ _sctp_checksum(frame)).to_bytes(4, "little"))


def _sctp_checksum(frame: Frame) -> int:
    start, place = frame.l4, frame.l4 + _SCTP_CHECKSUM
    return crc32c(frame.rest[start:place] + bytes(4) + frame.rest[place + 4:frame.network_end])


def crc32c(data: bytes) -> int:
    """The checksum of SCTP (RFC 9260 appendix A)."""
    register = 0xFFFFFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ 0x82F63B78 * (register & 1)
    return register ^ 0xFFFFFFFF
