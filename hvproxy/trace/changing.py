"""What one action changes in a frame, of OpenFlow's and of Open vSwitch's own, which work on parts of fields.

Bits are written through `edits`, so that checksums are mended. What depends on a hash that only the switch knows is
said to be taken for 0. Must not know tables, groups or ports; what names them is carried out by walk.
"""
from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Final

from hvproxy.openflow import nicira, nicira_bundle, nicira_ct, nicira_learn
from hvproxy.openflow.constants import of13
from hvproxy.openflow.nicira_parts import Part, field_of, part_text
from hvproxy.openflow.oxm_aliases import VLAN_TCI, WIDE_REGISTERS, long_port
from hvproxy.openflow.oxm_fields import HEADERS_EXACT, MPLS_TTL, NW_TTL, VLAN_PRESENT
from hvproxy.openflow.text import actions_text, port_text
from hvproxy.trace import edits
from hvproxy.trace.frame import Frame

_ARGUMENT: Final = Struct("!4xI").unpack_from
_ETH_TYPE: Final = Struct("!4xH").unpack_from
_TTL: Final = Struct("!4xB").unpack_from
_REGISTER_BITS: Final = 32
_WITHOUT_EFFECT: Final = {
    nicira.NOTE: "it only says something", nicira.POP_QUEUE: "there are no queues",
    nicira_learn.LEARN: "what it has taught is in the tables", nicira_ct.CT_CLEAR: "no connection is tracked",
    nicira.CONJUNCTION: "it is a part of a match"}


def carry_out(frame: Frame, kind: int, action: bytes, stack: list[int]) -> str:
    """Change a frame as an action says, and tell what that came to. Raises TooManyLabels."""
    if kind not in _EDITS:
        return _extension(frame, action, stack)
    before = frame.data, frame.value
    _EDITS[kind](frame, action)
    return actions_text(action) + ("" if before != (frame.data, frame.value) else ": changes nothing")


def _extension(frame: Frame, action: bytes, stack: list[int]) -> str:
    kind, said = nicira.kind_of(action), actions_text(action)
    if kind in _WITHOUT_EFFECT:
        return f"{said}: changes nothing, {_WITHOUT_EFFECT[kind]}"
    if kind == nicira.LOAD:
        part, value = nicira.load_of(action)
        _write(frame, part, value)
    elif kind == nicira.MOVE:
        source, part = nicira.move_of(action)
        _write(frame, part, _read(frame, source))
    elif kind == nicira.PUSH:
        value = _read(frame, nicira.stack_of(action))
        stack.append(value)
        return f"{said}: {value:#x}"
    elif kind == nicira.POP:
        if not stack:
            return f"{said}: nothing was pushed, and nothing is changed"
        part = nicira.stack_of(action)
        _write(frame, part, stack.pop() & (1 << part.bits) - 1)
    elif kind == nicira.MULTIPATH:
        part = nicira.multipath_of(action)
        _write(frame, part, 0)
        return f"multipath: the switch's hash, taken to be 0, into {part_text(part)}"
    else:
        return f"{said}: what this action does is not known here, and nothing is changed"
    return f"{said}: now {_read(frame, part):#x}"


def choose(frame: Frame, action: bytes, chosen: int) -> str:
    """Write into a frame the port that a bundle_load has chosen."""
    part = nicira_bundle.read(action).into
    assert part is not None
    _write(frame, part, chosen)
    return f"bundle_load: {port_text(long_port(chosen))} into {part_text(part)}"


def _read(frame: Frame, part: Part) -> int:
    return _whole(frame, part.header) >> part.first & (1 << part.bits) - 1


def _write(frame: Frame, part: Part, value: int) -> None:
    mask = (1 << part.bits) - 1 << part.first
    whole = _whole(frame, part.header) & ~mask | value << part.first & mask
    if part.header in WIDE_REGISTERS:
        registers = WIDE_REGISTERS[part.header]
        for index, register in enumerate(reversed(registers)):
            edits.set_field(frame, register.number, whole >> _REGISTER_BITS * index & register.full)
    elif part.header == VLAN_TCI:
        edits.set_tci(frame, whole)
    else:
        field = field_of(part.header)
        if field.number == NW_TTL:
            edits.set_ttl(frame, whole)
        elif field.number == MPLS_TTL:
            edits.set_mpls_ttl(frame, whole)
        else:
            edits.set_field(frame, field.number, whole)


def _whole(frame: Frame, header: int) -> int:
    """The field that a header names; 0 where the frame has none."""
    if header in WIDE_REGISTERS:
        whole = 0
        for register in WIDE_REGISTERS[header]:
            whole = whole << _REGISTER_BITS | frame.fields.get(register.number, 0)
        return whole
    if header == VLAN_TCI:
        return frame.tags[0][1] & ~VLAN_PRESENT | VLAN_PRESENT if frame.tags else 0
    field = field_of(header)
    return frame.value >> field.shift & field.full


def _set_field(frame: Frame, action: bytes) -> None:
    header, at = _ARGUMENT(action)[0], 8
    for known in WIDE_REGISTERS.get(header) or (HEADERS_EXACT[header],):
        edits.set_field(frame, known.number, int.from_bytes(action[at:at + known.size], "big"))
        at += known.size


_EDITS: Final[dict[int, Callable[[Frame, bytes], None]]] = {
    of13.OFPAT_SET_FIELD: _set_field,
    of13.OFPAT_PUSH_VLAN: lambda frame, action: edits.push_vlan(frame, _ETH_TYPE(action)[0]),
    of13.OFPAT_POP_VLAN: lambda frame, action: edits.pop_vlan(frame),
    of13.OFPAT_PUSH_MPLS: lambda frame, action: edits.push_mpls(frame, _ETH_TYPE(action)[0]),
    of13.OFPAT_POP_MPLS: lambda frame, action: edits.pop_mpls(frame, _ETH_TYPE(action)[0]),
    of13.OFPAT_SET_NW_TTL: lambda frame, action: edits.set_ttl(frame, _TTL(action)[0]),
    of13.OFPAT_SET_MPLS_TTL: lambda frame, action: edits.set_mpls_ttl(frame, _TTL(action)[0]),
    of13.OFPAT_SET_QUEUE: lambda frame, action: None,
}
