"""Matches: parsed as Open vSwitch 3.1 parses them over OpenFlow 1.3, kept as canonical bytes, compared as integers.

A match is held twice: as its canonical TLVs (sorted by field number, full masks dropped, empty masks left out), which
are its identity, and as value and mask in one fixed layout of all fields, where `covers` and `overlaps` are single
expressions. What a switch reports in flow statistics becomes the same bytes by `Match.from_tlvs`.

Error codes are Open vSwitch's, except on purpose:
- fields of tunnels' options, of the original direction of tracked connections, of NSH and of the action set, and the
  register that is hvproxy's own, also within wider ones: BAD_FIELD (as in_phy_port is there too);
- metadata outside the low 32 bits: BAD_MASK, as a tenant's table features promise. A match of all 64 bits whose upper
  bits are 0 is taken as one of the low 32 and told as it came: the others are 0 to a tenant, and most controllers
  match metadata so;
- a neighbour discovery field with another icmpv6_code than 0: BAD_PREREQ in any order of the fields. Open vSwitch
  refuses it only when the code comes first, and forgets the field otherwise.

Lengths inside the match were proven by `guard`. Must not know what a metadata bit means, nor any rule.
"""
from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field as dataclass_field
from struct import Struct
from typing import ClassVar, Final, NoReturn

from hvproxy.errors import Refused
from hvproxy.openflow.constants import of13
from hvproxy.openflow.memo import remembered
from hvproxy.openflow.oxm_aliases import Part, read, telling
from hvproxy.openflow.oxm_fields import (
    BY_NUMBER, CT_STATE, EXTENSIONS, HEADERS_EXACT, HEADERS_MASKED, NX, OWN_REGISTER, PACKET_TYPE,
    TENANT_METADATA, VLAN_PRESENT, ZEROS, ZEROS_TRACKED, Field, Headers,
)

_MATCH_HEADER: Final = Struct("!HH")
_IN_PORT: Final = BY_NUMBER[of13.OFPXMT_OFB_IN_PORT]
_METADATA: Final = BY_NUMBER[of13.OFPXMT_OFB_METADATA]
_ETH_TYPE: Final = BY_NUMBER[of13.OFPXMT_OFB_ETH_TYPE]
_IP_PROTO: Final = BY_NUMBER[of13.OFPXMT_OFB_IP_PROTO]
_VLAN_VID: Final = BY_NUMBER[of13.OFPXMT_OFB_VLAN_VID]
_ICMPV6_TYPE: Final = BY_NUMBER[of13.OFPXMT_OFB_ICMPV6_TYPE]
_ICMPV6_CODE: Final = BY_NUMBER[of13.OFPXMT_OFB_ICMPV6_CODE]
_PACKET_TYPE: Final = BY_NUMBER[PACKET_TYPE]
_NO_FRAME: Final = _PACKET_TYPE.full << _PACKET_TYPE.shift
_ALONGSIDE: Final = sum(field.full << field.shift for field in BY_NUMBER.values() if field not in (
    _PACKET_TYPE, *(BY_NUMBER[number] for number in range(3, 8))) and not field.conditional)
"""The bits of the fields that are no headers of a frame."""
_ICMPV6: Final = 58
_CT_STATE: Final = BY_NUMBER[CT_STATE]
_INVALID: Final = 0x10
_ND_FIELDS: Final = sum(BY_NUMBER[number].full << BY_NUMBER[number].shift for number in (31, 32, 33))
_UNKNOWN: Final = 0x1000
"""Sorts TLVs of fields we do not know behind those we do."""
_NOTHING: Final[Mapping[int, bytes]] = {}
_EXTENDED: Final = 1 << min(field.shift for field in EXTENSIONS)


@dataclass(frozen=True, slots=True)
class Match:
    """A set of packets; equal when OpenFlow calls two matches identical (OF 1.3.5 section 6.4)."""

    identity: bytes
    """Canonical TLVs: what identifies the match."""
    tlvs: bytes = dataclass_field(compare=False, repr=False)
    """The same as it is told: metadata matched as a whole stays so."""
    body: bytes = dataclass_field(compare=False, repr=False)
    """The TLVs without in_port, metadata and the fields that are 0 in every packet."""
    value: int = dataclass_field(compare=False, repr=False)
    """The values of all fields in the fixed layout."""
    mask: int = dataclass_field(compare=False, repr=False)
    """The masks of all fields in the fixed layout."""

    EMPTY: ClassVar[Match]
    """The match of every packet."""

    @staticmethod
    def parse(ofp_match: bytes) -> Match:
        """Read a tenant's struct ofp_match (padding optional); raises Refused."""
        return _parse(ofp_match)

    @staticmethod
    def from_tlvs(tlvs: bytes) -> Match:
        """Read TLVs that were accepted before, ours or a switch's. Unknown fields stay, behind those we know."""
        return _from_tlvs(tlvs)

    @property
    def in_port(self) -> int | None:
        return self.value & _IN_PORT.full if self.mask & _IN_PORT.full else None

    @property
    def metadata(self) -> tuple[int, int] | None:
        """(value, mask) of the metadata, or None where it is not matched."""
        mask = self.mask >> _METADATA.shift & _METADATA.full
        return (self.value >> _METADATA.shift & _METADATA.full, mask) if mask else None

    @property
    def never(self) -> bool:
        """It asks for what no packet has whose connection is not tracked, such as a tunnel."""
        return bool(self.value & ZEROS)

    @property
    def never_tracked(self) -> bool:
        """It asks for what no packet of a logical switch has."""
        return bool(self.value & ZEROS_TRACKED)

    @property
    def connection(self) -> bool:
        """It looks at what tells of a connection."""
        return bool(self.mask & (ZEROS ^ ZEROS_TRACKED))

    @property
    def extended(self) -> bool:
        """It looks at fields that only switches with Open vSwitch's extensions have."""
        return self.mask & ~ZEROS >= _EXTENDED

    @property
    def headers(self) -> Headers:
        """What the match tells about the headers of its packets."""
        return headers_of(self.value)

    def get(self, field_number: int) -> tuple[int, int | None] | None:
        """(value, mask) of a field, mask None when the match is exact; None where the field is not matched."""
        field = BY_NUMBER.get(field_number)
        if field is None:
            return None
        mask = self.mask >> field.shift & field.full
        if not mask:
            return None
        return self.value >> field.shift & field.full, None if mask == field.full else mask

    def covers(self, other: Match) -> bool:
        """Every packet that matches `other` matches this: what a non-strict filter asks (OF 1.3.5 section 6.4)."""
        mask = self.mask
        return not mask & ~other.mask and not (self.value ^ other.value) & mask

    def overlaps(self, other: Match) -> bool:
        """Some packet can match both (OF 1.3.5 section 6.4, OFPFF_CHECK_OVERLAP)."""
        return not (self.value ^ other.value) & self.mask & other.mask


def tlv(field: int, value: int, mask: int | None = None) -> bytes:
    """The canonical TLV of one field: nothing for an empty mask, no mask for a full one."""
    known = BY_NUMBER[field]
    if mask is None:
        return (known.header << 8 * known.size | value).to_bytes(4 + known.size, "big")
    return _masked_tlv(known, value, mask)


def metadata_tlv(value: int, mask: int) -> bytes:
    """The canonical TLV of the metadata."""
    return _masked_tlv(_METADATA, value, mask)


def of_layout(value: int, mask: int) -> bytes:
    """The canonical TLVs of values and masks in the fixed layout of all fields."""
    return b"".join(_masked_tlv(field, value >> field.shift & field.full, mask >> field.shift)
                    for field in BY_NUMBER.values())


def without(tlvs: bytes, field: int) -> bytes:
    """Canonical TLVs but that of one field."""
    header = BY_NUMBER[field].header >> 9
    return b"".join(one for one in each_tlv(tlvs) if int.from_bytes(one[:4], "big") >> 9 != header)


def each_tlv(tlvs: bytes) -> Iterator[bytes]:
    """TLVs that were accepted before, ours or a switch's, one by one."""
    at = 0
    while at < len(tlvs):
        after = at + 4 + tlvs[at + 3]
        yield tlvs[at:after]
        at = after


def ofp_match(tlvs: bytes) -> bytes:
    """The struct ofp_match of some TLVs, padded to a multiple of 8 (OF 1.3.5 section 7.2.3.1)."""
    length = 4 + len(tlvs)
    return _MATCH_HEADER.pack(of13.OFPMT_OXM, length) + tlvs + bytes(-length & 7)


def _masked_tlv(field: Field, value: int, mask: int) -> bytes:
    mask &= field.full
    if not mask:
        return b""
    if mask == field.full:
        return (field.header << 8 * field.size | value).to_bytes(4 + field.size, "big")
    header = field.header + field.size | 0x100
    return ((header << 8 * field.size | value & mask) << 8 * field.size | mask).to_bytes(4 + 2 * field.size, "big")


def _assemble(parts: list[tuple[int, bytes]], value: int, mask: int, told: Mapping[int, bytes] = _NOTHING) -> Match:
    """`told` are the TLVs that are told otherwise, by field number."""
    parts.sort()
    tlvs = b"".join([part for _, part in parts])
    start = 0
    for number, part in parts[:2]:
        if number <= _METADATA.number:
            start += len(part)
    body = tlvs[start:]
    if mask & ZEROS:
        body = b"".join([part for number, part in parts if number > _METADATA.number
                         and (number == _UNKNOWN or not BY_NUMBER[number].zero)])
    as_told = b"".join([told.get(number, part) for number, part in parts]) if told else tlvs
    return Match(tlvs, as_told, body, value, mask)


def _refuse(code: int, why: str) -> NoReturn:
    raise Refused(of13.OFPET_BAD_MATCH, code, why)


def headers_of(values: int) -> Headers:
    """What values in the fixed layout of all fields tell about the headers of a packet."""
    eth_type = values >> _ETH_TYPE.shift & 0xffff
    ip_proto = values >> _IP_PROTO.shift & 0xff
    vlans = 1 if values >> _VLAN_VID.shift & VLAN_PRESENT else 0
    invalid = bool(values >> _CT_STATE.shift & _INVALID)
    if ip_proto != _ICMPV6:
        return Headers(eth_type, ip_proto, vlans=vlans, invalid=invalid)
    return Headers(eth_type, ip_proto, values >> _ICMPV6_TYPE.shift & 0xff, values >> _ICMPV6_CODE.shift & 0xff, vlans,
                   invalid)


@remembered(1 << 14)
def _parse(data: bytes) -> Match:
    kind, end = _MATCH_HEADER.unpack_from(data)
    if kind != of13.OFPMT_OXM:
        _refuse(of13.OFPBMC_BAD_TYPE, "match type")
    at = 4
    values = masks = 0
    parts: list[tuple[int, bytes]] = []
    told: dict[int, bytes] = {}
    while at < end:
        header = int.from_bytes(data[at:at + 4], "big")
        exact = HEADERS_EXACT.get(header)
        if exact is not None:
            after = at + 4 + exact.size
            found = [Part(exact, int.from_bytes(data[at + 4:after], "big"), exact.full)]
        else:
            found, after = _other_field(data, at, header)
        if found[-1].field is OWN_REGISTER:
            _refuse(of13.OFPBMC_BAD_FIELD, "a register that is not the tenant's")
        for field, value, mask in found:
            if not field.holds(value):
                _refuse(of13.OFPBMC_BAD_VALUE, f"{field.name} cannot be {value:#x}")
            if field.conditional and not field.allows(headers_of(values)):
                _refuse(of13.OFPBMC_BAD_PREREQ, f"{field.name} without its prerequisites")
            if masks >> field.shift & field.full:
                _refuse(of13.OFPBMC_DUP_FIELD, f"{field.name} twice")
            if field is _PACKET_TYPE:
                if masks & ~_ALONGSIDE:  # which has already said that it is an Ethernet frame
                    _refuse(of13.OFPBMC_DUP_FIELD, "packet_type behind a field of Ethernet frames")
                if not value:
                    masks, mask = masks | _NO_FRAME, 0  # an Ethernet frame, as every other
            elif values & _NO_FRAME and not _ALONGSIDE >> field.shift & 1:
                _refuse(of13.OFPBMC_BAD_PREREQ, f"{field.name} of what is no Ethernet frame")
            elif field is _METADATA:
                if mask == field.full:
                    told[field.number] = _masked_tlv(field, value, mask)
                mask = _tenant_mask(value, mask)
            elif field is _ICMPV6_CODE and value and masks & _ND_FIELDS:
                _refuse(of13.OFPBMC_BAD_PREREQ, "neighbour discovery fields with another icmpv6_code than 0")
            if mask:
                parts.append((field.number, data[at:after] if field is exact and mask == field.full
                              else _masked_tlv(field, value, mask)))
                values |= value << field.shift
                masks |= mask << field.shift
                if field.number >= NX and (form := telling(field, value, mask)) is not None:
                    told[field.number] = form
        at = after
    return _assemble(parts, values, masks if values & _NO_FRAME else masks & ~_NO_FRAME, told)


def _other_field(data: bytes, at: int, header: int) -> tuple[list[Part], int]:
    """(what a TLV with a mask, or in another form, says; where it ends). Faults are found in Open vSwitch's order."""
    width = (header & 0xff) >> 1 if header & 0x100 else 0
    value = int.from_bytes(data[at + 4:at + 4 + width], "big")
    mask = int.from_bytes(data[at + 4 + width:at + 4 + 2 * width], "big")
    if value & ~mask and header >> 16 != of13.OFPXMC_EXPERIMENTER:
        _refuse(of13.OFPBMC_BAD_WILDCARDS, "value bits outside the mask")
    field = HEADERS_MASKED.get(header)
    if field is None:
        return read(data, at)
    if not field.maskable and mask and mask != (1 << 8 * field.size) - 1:
        _refuse(of13.OFPBMC_BAD_MASK, f"{field.name} cannot be masked")
    return [Part(field, value, mask & field.full)], at + 4 + 2 * field.size


def _tenant_mask(value: int, mask: int) -> int:
    """The mask of a tenant's match of metadata, which may not reach beyond the tenant's bits."""
    if not mask & ~TENANT_METADATA:
        return mask
    if mask != _METADATA.full or value & ~TENANT_METADATA:
        _refuse(of13.OFPBMC_BAD_MASK, "metadata outside the low 32 bits")
    return TENANT_METADATA


@remembered(1 << 14)
def _from_tlvs(tlvs: bytes) -> Match:
    at = values = masks = 0
    parts: list[tuple[int, bytes]] = []
    told: dict[int, bytes] = {}
    while at < len(tlvs):
        header = int.from_bytes(tlvs[at:at + 4], "big")
        payload = at + 4
        end = payload + (header & 0xff)
        exact, masked = HEADERS_EXACT.get(header), HEADERS_MASKED.get(header)
        field = exact or masked
        if field is None:
            found = _known_otherwise(tlvs[at:end])
            if not found:
                parts.append((_UNKNOWN, tlvs[at:end]))
        else:
            mask = int.from_bytes(tlvs[payload + field.size:end], "big") & field.full if masked else field.full
            found = [Part(field, int.from_bytes(tlvs[payload:payload + field.size], "big") & mask, mask)]
        for field, value, mask in found:
            if mask and (value or field is not _PACKET_TYPE):
                parts.append((field.number, _masked_tlv(field, value, mask)))
                values |= value << field.shift
                masks |= mask << field.shift
                if field.number >= NX and (form := telling(field, value, mask)) is not None:
                    told[field.number] = form
        at = end
    return _assemble(parts, values, masks, told)


def _known_otherwise(tlv: bytes) -> list[Part]:
    try:
        return read(tlv, 0)[0]
    except Refused:
        return []


Match.EMPTY = Match(b"", b"", b"", 0, 0)
