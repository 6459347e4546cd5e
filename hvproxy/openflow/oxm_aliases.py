"""Other ways to write a match field than the one hvproxy keeps: Open vSwitch's older headers and wider registers.

Open vSwitch takes all of these over OpenFlow 1.3 and tells a match in one way of its own; a few of those are not the
way hvproxy keeps and installs a field (`telling`). Lengths were proven by `guard`. Must not know what a match is.
"""
from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple, NoReturn

from hvproxy.errors import Refused
from hvproxy.openflow.constants import FIRST_BAD_PORT, ONF_ID, of13
from hvproxy.openflow.oxm_fields import (
    BY_NUMBER, CT_STATE, OWN_REGISTER, REGISTERS, TCP_FLAGS, TUN_FLAGS, VLAN_PRESENT, Field,
)

_NXM_OF: Final = 0
_NXM_NX: Final = 1
_PACKET_REGISTERS: Final = 0x8001
_BASIC: Final[int] = of13.OFPXMC_OPENFLOW_BASIC
_EXPERIMENTER: Final[int] = of13.OFPXMC_EXPERIMENTER
_XXREG0: Final = 111
_IN_PORT, _VLAN_VID, _VLAN_PCP, _IP_DSCP = (BY_NUMBER[number] for number in (0, 6, 7, 8))
_VLAN_TCI, _IP_TOS = (_NXM_OF, 4), (_NXM_OF, 5)
VLAN_TCI: Final = 0x00000802
"""The header of a whole VLAN tag."""
IP_TOS: Final = 0x00000a01
_TELLING_TCP_FLAGS: Final = _EXPERIMENTER << 16 | 42 << 9

_SAME: Final[Mapping[tuple[int, int], Field]] = {
    (oxm_class, code): BY_NUMBER[number] for oxm_class, code, number in (
        (_NXM_OF, 0, 0), (_NXM_OF, 1, 3), (_NXM_OF, 2, 4), (_NXM_OF, 3, 5), (_NXM_OF, 6, 10), (_NXM_OF, 7, 11),
        (_NXM_OF, 8, 12), (_NXM_OF, 9, 13), (_NXM_OF, 10, 14), (_NXM_OF, 11, 15), (_NXM_OF, 12, 16),
        (_NXM_OF, 13, 19), (_NXM_OF, 14, 20), (_NXM_OF, 15, 21), (_NXM_OF, 16, 22), (_NXM_OF, 17, 23),
        (_NXM_NX, 16, 38), (_NXM_NX, 17, 24), (_NXM_NX, 18, 25), (_NXM_NX, 19, 26), (_NXM_NX, 20, 27),
        (_NXM_NX, 21, 29), (_NXM_NX, 22, 30), (_NXM_NX, 23, 31), (_NXM_NX, 24, 32), (_NXM_NX, 25, 33),
        (_NXM_NX, 27, 28), (_NXM_NX, 28, 9), (_BASIC, 42, TCP_FLAGS),
    )
}
"""(class, field) -> the field that it is another header of."""

_OTHER_SIZES: Final[Mapping[tuple[int, int], int]] = {(_NXM_OF, 0): 2, _VLAN_TCI: 2, _IP_TOS: 1}

ALIASES: Final[Mapping[int, int]] = {
    oxm_class << 16 | code << 9 | _OTHER_SIZES.get((oxm_class, code), field.size): field.number
    for (oxm_class, code), field in _SAME.items()
}
"""Header without a mask -> the number of the field that it is another header of."""
OLD_HEADERS: Final[Mapping[int, int]] = {
    number: header for header, number in ALIASES.items() if header >> 16 in (_NXM_OF, _NXM_NX)
}
"""The number of a field -> its older header."""
WIDE_REGISTERS: Final[Mapping[int, tuple[Field, ...]]] = {
    **{_PACKET_REGISTERS << 16 | n << 9 | 8: REGISTERS[2 * n:2 * n + 2] for n in range(8)},
    **{_NXM_NX << 16 | _XXREG0 + n << 9 | 16: REGISTERS[4 * n:4 * n + 4] for n in range(4)},
}
"""Header without a mask -> the registers that a wider one is made of."""
_OWN: Final = (OWN_REGISTER.header, *(header for header, each in WIDE_REGISTERS.items() if OWN_REGISTER in each))
OWN_HEADERS: Final = frozenset((*_OWN, *(header + (header & 0xff) | 0x100 for header in _OWN)))
"""Headers with a mask and without that name the register which is hvproxy's own, or more than it."""
_DP_HASH, _RECIRC_ID = 35, 36


class Part(NamedTuple):
    """What a TLV says of one field."""

    field: Field
    value: int
    mask: int


def read(data: bytes, at: int) -> tuple[list[Part], int]:
    """(what the TLV at that place says, where it ends). Raises Refused for a field that is not known."""
    header = int.from_bytes(data[at:at + 4], "big")
    oxm_class, code, masked, length = header >> 16, header >> 9 & 0x7f, header >> 8 & 1, header & 0xff
    at += 4
    end = at + length
    if oxm_class == _EXPERIMENTER:
        if int.from_bytes(data[at:at + 4], "big") != ONF_ID or code != 42:
            _unknown(header)
        oxm_class, at, length = _BASIC, at + 4, length - 4
    size = length >> masked
    value = int.from_bytes(data[at:at + size], "big")
    mask = int.from_bytes(data[at + size:end], "big") if masked else (1 << 8 * size) - 1
    if length != size << masked:
        _unknown(header)
    parts = _parts(oxm_class, code, size, value, mask)
    if parts is None:
        _unknown(header)
    if value & ~mask:
        raise Refused(of13.OFPET_BAD_MATCH, of13.OFPBMC_BAD_WILDCARDS, "value bits outside the mask")
    return parts, end


def telling(field: Field, value: int, mask: int) -> bytes | None:
    """The TLV with which Open vSwitch tells a field that hvproxy keeps in another way; None for all others."""
    if field.number == TCP_FLAGS:
        exact = mask == field.full
        header = _TELLING_TCP_FLAGS | (6 if exact else 0x108)
        data = header.to_bytes(4, "big") + ONF_ID.to_bytes(4, "big") + value.to_bytes(2, "big")
        return data if exact else data + mask.to_bytes(2, "big")
    if field.number in (CT_STATE, TUN_FLAGS):
        size = field.size
        return ((field.header + size | 0x100).to_bytes(4, "big") + value.to_bytes(size, "big")
                + mask.to_bytes(size, "big"))
    return None


def _parts(oxm_class: int, code: int, size: int, value: int, mask: int) -> list[Part] | None:
    place = (oxm_class, code)
    if oxm_class == _PACKET_REGISTERS and code < len(REGISTERS) // 2 and size == 8:
        return _registers(2 * code, 2, value, mask)
    if oxm_class == _NXM_NX and _XXREG0 <= code < _XXREG0 + 4 and size == 16:
        return _registers(4 * (code - _XXREG0), 4, value, mask)
    if oxm_class == _NXM_NX and code in (_DP_HASH, _RECIRC_ID) and size == 4:
        raise Refused(of13.OFPET_BAD_REQUEST, of13.OFPBRC_EPERM, "a field of Open vSwitch's own")
    field = _SAME.get(place)
    if size != _OTHER_SIZES.get(place, 0 if field is None else field.size):
        return None
    everything = (1 << 8 * size) - 1
    if place == _VLAN_TCI:
        return _vlan_tci(value, mask)
    if place == _IP_TOS:
        if value & 3:
            raise Refused(of13.OFPET_BAD_MATCH, of13.OFPBMC_BAD_VALUE, "ip_tos with ECN bits")
        return [Part(_IP_DSCP, value >> 2, mask >> 2)]
    if field is None:
        return None
    if field is _IN_PORT:
        return [Part(field, long_port(value), field.full if mask == everything else mask)]
    if not field.maskable and mask not in (0, everything):
        raise Refused(of13.OFPET_BAD_MATCH, of13.OFPBMC_BAD_MASK, f"{field.name} cannot be masked")
    return [Part(field, value, mask & field.full)]


def long_port(number: int) -> int:
    """A port number of 16 bits, of which the reserved ones are the last, as OpenFlow 1.3 has it."""
    return number | 0xffff0000 if number >= FIRST_BAD_PORT else number


def _registers(first: int, count: int, value: int, mask: int) -> list[Part]:
    """A wide register as the registers it is made of, the most significant first."""
    return [Part(REGISTERS[first + index], value >> 32 * (count - 1 - index) & 0xffffffff,
                 mask >> 32 * (count - 1 - index) & 0xffffffff) for index in range(count)]


def _vlan_tci(value: int, mask: int) -> list[Part]:
    """A whole tag, whose presence is told by its bit 12; a priority is kept of a tag that is there."""
    pcp_mask = mask >> 13
    if pcp_mask not in (0, 7) or pcp_mask and not mask & 0x1fff:
        raise Refused(of13.OFPET_BAD_MATCH, of13.OFPBMC_BAD_MASK, "vlan_tci with a part of a priority")
    parts = [Part(_VLAN_VID, value & 0x1fff, mask & 0x1fff)]
    if pcp_mask and value & VLAN_PRESENT:
        parts.append(Part(_VLAN_PCP, value >> 13, 7))
    return parts


def _unknown(header: int) -> NoReturn:
    raise Refused(of13.OFPET_BAD_MATCH, of13.OFPBMC_BAD_FIELD, f"unknown match field {header:#010x}")
