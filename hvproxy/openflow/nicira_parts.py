"""Parts of fields, as Open vSwitch's own actions name them: an NXM or OXM header, the first bit and how many bits.

Which headers tenants may use, what they name, how they are told, and the errors of wrong ones. Fields that say where a
packet came from below (in_port, tunnels' addresses) are refused, and so is the metadata beyond the tenant's bits: they
hold what is hvproxy's. The register which is hvproxy's own, and wider ones that it is a part of, are no fields at all.
`read` and `write` are about the fixed layout of all fields (oxm.Match), and take in_port too. Must not know any action.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple, NoReturn

from hvproxy.errors import Refused
from hvproxy.openflow.constants import NICIRA_ID, of13
from hvproxy.openflow.oxm_aliases import ALIASES, OLD_HEADERS, OWN_HEADERS, VLAN_TCI, WIDE_REGISTERS, long_port
from hvproxy.openflow.oxm_fields import BY_NUMBER, CT_LABEL, CT_MARK, CT_STATE, OWN_REGISTER, TENANT_BITS, Field

METADATA: Final = BY_NUMBER[of13.OFPXMT_OFB_METADATA]
IN_PORT: Final = BY_NUMBER[of13.OFPXMT_OFB_IN_PORT]
NXM_IN_PORT: Final = 0x00000002
"""The header of in_port with 16 bits, which Open vSwitch lets be written."""
UNKNOWN_OPTION, BAD_CONJUNCTION, NOT_ZERO = 37, 15, 4
"""Errors of Open vSwitch's own (type OFPET_EXPERIMENTER, experimenter Nicira)."""
_NXM_NX: Final = 1
_EXPERIMENTER_SIZE: Final = 4
"""Bytes of a field of an experimenter that say whose it is."""
_TUNNEL_OPTIONS: Final = range(40, 104)
"""Fields of Open vSwitch's class to which an operator gives a meaning; without one, their error is one of their own."""
_OF_CONNECTIONS: Final = tuple(BY_NUMBER[number] for number in (CT_STATE, CT_MARK, CT_LABEL))
"""What is known of a packet's connection, and may be read; not its zone, whose number below is another."""
_NEW_REGISTERS: Final = {header: len(registers) * 32 for header, registers in WIDE_REGISTERS.items()}


@dataclass(frozen=True, slots=True)
class Target:
    """The field that a header names."""

    field: Field | None
    """None of a wide register and of a whole VLAN tag."""
    bits: int
    header: int
    """As Open vSwitch tells it: the older one where there are two."""
    pieces: tuple[tuple[Field, int], ...]
    """(field, bits) of what it is made of, the most significant first."""


class Part(NamedTuple):
    """Some bits of what a header names."""

    header: int
    first: int
    bits: int

    @property
    def mask(self) -> int:
        """Of its bits, within what the header names."""
        return (1 << self.bits) - 1 << self.first


def target(header: int) -> Target:
    """What a header that is known names. Raises Refused for what is not the tenant's."""
    found = TARGETS[header]
    field = found.field
    if field is not None and (field.zero and field not in _OF_CONNECTIONS or field is IN_PORT):
        refuse(of13.OFPBAC_BAD_SET_ARGUMENT, f"{field.name} says where a packet came from")
    return found


def field_of(header: int) -> Field:
    """The field that a header names which is no wide register and no whole tag."""
    field = ALL[header].field
    assert field is not None
    return field


def told(header: int) -> bytes:
    """A known header, also hvproxy's own, as Open vSwitch tells it."""
    return ALL[header].header.to_bytes(4, "big")


def part_text(part: Part) -> str:
    """A part of a field in words that ovs-ofctl takes: reg0[4..7]."""
    header, first, bits = part
    what = ALL[header]
    name = _WIDE_NAMES.get(what.header) or field_of(header).name
    if (first, bits) == (0, what.bits):
        return f"{name}[]"
    return f"{name}[{first}]" if bits == 1 else f"{name}[{first}..{first + bits - 1}]"


def check_settable(header: int) -> None:
    """Raises Refused unless the header is one that an action which takes masked ones may have."""
    _refuse_options(header)
    if header not in TARGETS:
        refuse(of13.OFPBAC_BAD_SET_TYPE, f"unknown field {header:#010x}")


def check_named(header: int, last: bool = False) -> None:
    """Raises Refused unless the header is one that an action which takes none with a mask may have. `last`: nothing is
    behind it."""
    _refuse_options(header)
    if header >> 16 == of13.OFPXMC_EXPERIMENTER and (last or header & 0xff < _EXPERIMENTER_SIZE):
        raise Refused(of13.OFPET_BAD_MATCH, of13.OFPBMC_BAD_LEN, "a field of an experimenter that is not named")
    if header not in TARGETS or header in _MASKED:
        code = of13.OFPBMC_BAD_MASK if header in _MASKED else of13.OFPBMC_BAD_FIELD
        raise Refused(of13.OFPET_BAD_MATCH, code, f"field {header:#010x} in an action")


def check_part(part: Part, *, written: bool) -> None:
    """Raises Refused unless such bits can be read, or written."""
    what = target(part.header)
    check_bits(part)
    if what.field is METADATA and part.first + part.bits > TENANT_BITS:
        refuse(of13.OFPBAC_BAD_SET_ARGUMENT, "metadata outside the low 32 bits")
    if written and what.field is not None and not what.field.writable and what.field is not METADATA:
        refuse(of13.OFPBAC_BAD_SET_ARGUMENT, f"{what.field.name} cannot be written")


def check_bits(part: Part) -> None:
    """Raises Refused unless the field has such bits."""
    if not part.bits or part.first + part.bits > TARGETS[part.header].bits:
        refuse(of13.OFPBAC_BAD_SET_LEN, "bits that the field does not have")


def read(part: Part, layout: int) -> int:
    """The bits in the fixed layout of all fields."""
    whole = 0
    for field, bits in TARGETS[part.header].pieces:
        whole = whole << bits | layout >> field.shift & (1 << bits) - 1
    return (whole & part.mask) >> part.first


def write(part: Part, value: int) -> tuple[int, int]:
    """(value, mask) of the bits in the fixed layout of all fields."""
    whole, mask = value << part.first & part.mask, part.mask
    if part.header == NXM_IN_PORT and mask == (1 << 16) - 1:
        return long_port(whole) << IN_PORT.shift, IN_PORT.full << IN_PORT.shift
    layout = layout_mask = 0
    for field, bits in reversed(TARGETS[part.header].pieces):
        full = (1 << bits) - 1
        layout |= (whole & full) << field.shift
        layout_mask |= (mask & full) << field.shift
        whole, mask = whole >> bits, mask >> bits
    return layout, layout_mask


def refuse(code: int, why: str) -> NoReturn:
    """An action that OpenFlow has an error for."""
    raise Refused(of13.OFPET_BAD_ACTION, code, why)


def error(code: int, why: str) -> NoReturn:
    """An action that only Open vSwitch has an error for."""
    raise Refused(of13.OFPET_EXPERIMENTER, code, why, NICIRA_ID)


def _refuse_options(header: int) -> None:
    if header >> 16 == _NXM_NX and header >> 9 & 0x7f in _TUNNEL_OPTIONS:
        error(UNKNOWN_OPTION, f"field {header:#010x} is no tunnel option")


def _target(field: Field, header: int) -> Target:
    bits = field.full.bit_length()
    return Target(field, bits, header, ((field, bits),))


def _targets() -> dict[int, Target]:
    """By every header that tenants may use in an action; one with a mask is as good as the other where one is taken."""
    found = {field.header: _target(field, OLD_HEADERS.get(field.number, field.header)) for field in BY_NUMBER.values()}
    for header, number in ALIASES.items():
        found[header] = _target(BY_NUMBER[number], OLD_HEADERS.get(number, BY_NUMBER[number].header))
    state = BY_NUMBER[CT_STATE]
    found[state.header] = Target(state, 8 * state.size, state.header, ((state, state.full.bit_length()),))
    # Of different widths, and so each told as itself.
    found[IN_PORT.header] = _target(IN_PORT, IN_PORT.header)
    found[NXM_IN_PORT] = Target(IN_PORT, 16, NXM_IN_PORT, ((IN_PORT, 16),))
    found.update((header, Target(None, bits, header, tuple((each, 32) for each in WIDE_REGISTERS[header])))
                 for header, bits in _NEW_REGISTERS.items())
    vid, pcp = BY_NUMBER[of13.OFPXMT_OFB_VLAN_VID], BY_NUMBER[of13.OFPXMT_OFB_VLAN_PCP]
    found[VLAN_TCI] = Target(None, 16, VLAN_TCI, ((pcp, 3), (vid, 13)))
    found.update([(_masked(header), target) for header, target in found.items()])
    return {header: target for header, target in found.items() if header not in OWN_HEADERS}


def _masked(header: int) -> int:
    """The header of the same field with a mask."""
    return header + (header & 0xff) | 0x100


TARGETS: Final = _targets()
ALL: Final = {**TARGETS, OWN_REGISTER.header: _target(OWN_REGISTER, OWN_REGISTER.header)}
"""Those, and the register that is hvproxy's own, which stands in rules only."""
_MASKED: Final = frozenset(header for header in TARGETS if header & 0x100)
_WIDE_NAMES: Final = {VLAN_TCI: "vlan_tci", **{
    header: f"xreg{index}" if len(registers) == 2 else f"xxreg{index - 8}"
    for index, (header, registers) in enumerate(WIDE_REGISTERS.items())}}
