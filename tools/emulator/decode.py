"""Actions, instructions and buckets from the wire, refused exactly as Open vSwitch 3.1 refuses them.

An action becomes a tuple that begins with its number, so the pipeline can walk a list without looking at bytes.
Whether groups exist and ports are there is not decided here.
"""
from __future__ import annotations

from struct import Struct
from typing import Any, NamedTuple

from tools.emulator import oxm
from tools.emulator.oxm import OFError

Action = tuple[Any, ...]

OUTPUT, SET_MPLS_TTL, DEC_MPLS_TTL, PUSH_VLAN, POP_VLAN, PUSH_MPLS, POP_MPLS = 0, 15, 16, 17, 18, 19, 20
SET_QUEUE, GROUP, SET_NW_TTL, DEC_NW_TTL, SET_FIELD = 21, 22, 23, 24, 25
EXPERIMENTER = 0xffff
RESUBMIT = 0x1000e
"""Open vSwitch's action 14, NXAST_RESUBMIT_TABLE; beyond all numbers of the standard."""
MOVE = 0x10006
"""Open vSwitch's action 6, NXAST_REG_MOVE."""
LOAD = 0x10007
"""Open vSwitch's action 7, NXAST_REG_LOAD."""
CLONE = 0x1002a
"""Open vSwitch's action 42, NXAST_CLONE."""
CT_CLEAR = 0x1002b
"""Open vSwitch's action 43, NXAST_CT_CLEAR. No switch here tracks connections."""
CUT_OUTPUT = 0x10027
"""Open vSwitch's action 39, NXAST_OUTPUT_TRUNC."""
_CLONE_HEAD, _CUT_SIZE = 16, 16
_MOVE = Struct("!HHHII")
_LOAD = Struct("!HIQ")
_NXM_IN_PORT = 0x00000002
"""The header of in_port where it can be written: it has 16 bits there."""
_NXM_TUNNEL_ID = 0x00012008
"""How Open vSwitch names tunnel_id in its own actions, whatever it was named in."""
NICIRA = 0x2320
NX_IN_PORT = 0xfff8
SIZES = {OUTPUT: 16, SET_MPLS_TTL: 8, DEC_MPLS_TTL: 8, PUSH_VLAN: 8, POP_VLAN: 8, PUSH_MPLS: 8, POP_MPLS: 8,
         SET_QUEUE: 8, GROUP: 8, SET_NW_TTL: 8, DEC_NW_TTL: 8}

BAD_TYPE, BAD_LEN, BAD_EXPERIMENTER, BAD_OUT_PORT, BAD_ARGUMENT = 0, 1, 2, 4, 5
BAD_OUT_GROUP, INCONSISTENT, BAD_SET_TYPE, BAD_SET_LEN, BAD_SET_ARGUMENT = 9, 10, 13, 14, 15
BAD_TAG = 12
UNKNOWN_INST, UNSUP_INST, BAD_TABLE_ID, BIC_BAD_EXPERIMENTER, BIC_BAD_LEN = 0, 1, 2, 5, 7
ONF_BAD_SET_MASK, ONF_DUP_INST = 4250, 2600

PORT_MAX, PORT_IN_PORT, PORT_TABLE, PORT_NORMAL = 0xffffff00, 0xfffffff8, 0xfffffff9, 0xfffffffa
PORT_FLOOD, PORT_ALL, PORT_CONTROLLER, PORT_LOCAL, PORT_ANY = 0xfffffffb, 0xfffffffc, 0xfffffffd, 0xfffffffe, 0xffffffff
GROUP_MAX, GROUP_ALL, GROUP_ANY = 0xffffff00, 0xfffffffc, 0xffffffff
LAST_METER = 0xffff0000


class Instructions(NamedTuple):
    """What an entry does."""

    apply: tuple[Action, ...] = ()
    clear: bool = False
    write: tuple[Action, ...] | None = None
    metadata: tuple[int, int] | None = None
    goto: int | None = None
    raw: bytes = b""
    """Its instructions as they are reported."""
    ports: frozenset[int] = frozenset()
    """Ports in output actions, for the out_port filter."""
    groups: frozenset[int] = frozenset()
    """Groups in group actions, for the out_group filter and for deletion with the group."""
    meter: int | None = None


def bad_action(code: int) -> OFError:
    """The refusal of an action."""
    return OFError(oxm.OFPET_BAD_ACTION, code)


def bad_instruction(code: int) -> OFError:
    """The refusal of an instruction."""
    return OFError(3, code)


def _set_field(data: bytes, start: int, end: int) -> Action:
    """A set-field; whatever the field, a length that does not suit it counts first."""
    header = int.from_bytes(data[start:start + 4], "big")
    known = oxm.field_number(header)
    if known is None or header & 0xff != oxm.FIELDS[known].size << (header >> 8 & 1):
        raise bad_action(BAD_SET_LEN if header & 0xff else BAD_SET_TYPE)
    number, value, mask, stop = oxm.pull(data, start, end)
    assert number is not None
    if mask is not None:
        raise OFError(oxm.OFPET_EXPERIMENTER, ONF_BAD_SET_MASK, oxm.ONF)
    field = oxm.FIELDS[number]
    if any(data[stop:end]) or not field.writable or not oxm.valid_value(number, value):
        raise bad_action(BAD_SET_ARGUMENT)
    if number == oxm.VLAN_VID and not value & oxm.VID_PRESENT:
        raise bad_action(BAD_SET_ARGUMENT)
    return (SET_FIELD, number, value)


def _action(kind: int, data: bytes, start: int, end: int) -> Action:
    """One action whose length has been found right."""
    word = int.from_bytes(data[start + 4:start + 8], "big")
    half = word >> 16
    if kind == OUTPUT:
        if 0xff00 <= word < PORT_IN_PORT or word == PORT_ANY:
            raise bad_action(BAD_OUT_PORT)
        return (OUTPUT, word, int.from_bytes(data[start + 8:start + 10], "big"))
    if kind in (GROUP, SET_QUEUE):
        return (kind, word)
    if kind == PUSH_VLAN:
        if half not in (0x8100, 0x88a8):
            raise bad_action(BAD_ARGUMENT)
        return (kind, half)
    if kind == PUSH_MPLS:
        if half not in (0x8847, 0x8848):
            raise bad_action(BAD_ARGUMENT)
        return (kind, half)
    if kind == POP_MPLS:
        return (kind, half)
    if kind in (SET_NW_TTL, SET_MPLS_TTL):
        return (kind, word >> 24)
    return (kind,)


def _nicira(data: bytes, start: int, length: int) -> Action:
    """An action of Open vSwitch's own whose length has been found right: a resubmit that keeps the port, a move between
    fields that are no part of the packet or a load of one, a clone, or an output of the beginning of the packet to the
    port it came from."""
    if int.from_bytes(data[start + 4:start + 8], "big") != NICIRA or length < 16:
        raise bad_action(BAD_EXPERIMENTER)
    kind = int.from_bytes(data[start + 8:start + 10], "big")
    if kind == MOVE & 0xffff and length == 24:
        return _move(*_MOVE.unpack_from(data, start + 10))
    if kind == LOAD & 0xffff and length == 24:
        return _load(*_LOAD.unpack_from(data, start + 10))
    if kind == CT_CLEAR & 0xffff and length == 16:
        return (CT_CLEAR,)
    if kind == CLONE & 0xffff:
        return (CLONE, *parse_actions(data, start + _CLONE_HEAD, start + length))
    in_port = int.from_bytes(data[start + 10:start + 12], "big")
    if kind == CUT_OUTPUT & 0xffff and length == _CUT_SIZE and in_port == NX_IN_PORT:
        return (CUT_OUTPUT, data[start:start + length])
    if kind != RESUBMIT & 0xffff or in_port != NX_IN_PORT:
        raise bad_action(BAD_EXPERIMENTER)
    return (RESUBMIT, data[start + 12])


def _field_of(header: int) -> int | None:
    return oxm.TUNNEL_ID if header == _NXM_TUNNEL_ID else oxm.field_number(header)


def _header_of(number: int) -> int:
    return _NXM_TUNNEL_ID if number == oxm.TUNNEL_ID else oxm.field_header(number)


def _move(bits: int, source_first: int, target_first: int, source: int, target: int) -> Action:
    numbers = _field_of(source), _field_of(target)
    for number, first in zip(numbers, (source_first, target_first), strict=True):
        if number not in oxm.PIPELINE:
            raise bad_action(BAD_EXPERIMENTER)
        if not bits or first + bits > oxm.FIELDS[number].bits:
            raise bad_action(BAD_SET_LEN)
    return (MOVE, bits, source_first, target_first, *numbers)


def _load(place: int, header: int, value: int) -> Action:
    first, bits = place >> 6, (place & 0x3f) + 1
    number = oxm.IN_PORT if header == _NXM_IN_PORT else _field_of(header)
    if number != oxm.IN_PORT and number not in oxm.PIPELINE:
        raise bad_action(BAD_EXPERIMENTER)
    if first + bits > (16 if number == oxm.IN_PORT else oxm.FIELDS[number].bits):
        raise bad_action(BAD_SET_LEN)
    if value >> bits:
        raise bad_action(BAD_ARGUMENT)
    return (LOAD, first, bits, value, number)


def parse_actions(data: bytes, start: int, end: int) -> tuple[tuple[Action, ...], bytes]:
    """The actions in data[start:end], and the bytes that report them."""
    if (end - start) % 8 or end > len(data):
        raise OFError(1, 6)
    actions: list[Action] = []
    raw: list[bytes] = []
    while start < end:
        kind = int.from_bytes(data[start:start + 2], "big")
        length = int.from_bytes(data[start + 2:start + 4], "big")
        if kind not in SIZES and kind not in (SET_FIELD, EXPERIMENTER):
            raise bad_action(BAD_TYPE)
        if length > end - start or length % 8 or length < 8 or length != SIZES.get(kind, length):
            raise bad_action(BAD_EXPERIMENTER if kind == EXPERIMENTER else BAD_LEN)
        if kind == SET_FIELD:
            action = _set_field(data, start + 4, start + length)
        elif kind == EXPERIMENTER:
            action = _nicira(data, start, length)
        else:
            action = _action(kind, data, start, start + length)
        actions.append(action)
        raw.append(_encode(action))
        start += length
    return tuple(actions), b"".join(raw)


def _encode(action: Action) -> bytes:
    """An action as Open vSwitch reports it."""
    kind: int = action[0]
    argument: int = action[1] if len(action) > 1 else 0
    if kind == SET_FIELD:
        body = oxm.tlv(argument, action[2])
        length = (4 + len(body) + 7) // 8 * 8
        return b"\x00\x19" + length.to_bytes(2, "big") + body + bytes(length - 4 - len(body))
    if kind == RESUBMIT:
        return (b"\xff\xff\x00\x10" + NICIRA.to_bytes(4, "big") + b"\x00\x0e" + NX_IN_PORT.to_bytes(2, "big")
                + bytes((argument, 0, 0, 0)))
    if kind == MOVE:
        bits, source_first, target_first, source, target = action[1:]
        return b"\xff\xff\x00\x18" + NICIRA.to_bytes(4, "big") + b"\x00\x06" + _MOVE.pack(
            bits, source_first, target_first, _header_of(source), _header_of(target))
    if kind == LOAD:
        first, bits, value, number = action[1:]
        header = _NXM_IN_PORT if number == oxm.IN_PORT else _header_of(number)
        return b"\xff\xff\x00\x18" + NICIRA.to_bytes(4, "big") + b"\x00\x07" + _LOAD.pack(
            first << 6 | bits - 1, header, value)
    if kind == CLONE:
        body = action[2]
        return (b"\xff\xff" + (_CLONE_HEAD + len(body)).to_bytes(2, "big") + NICIRA.to_bytes(4, "big") + b"\x00\x2a"
                + bytes(6) + body)
    if kind == CT_CLEAR:
        return b"\xff\xff\x00\x10" + NICIRA.to_bytes(4, "big") + b"\x00\x2b" + bytes(6)
    if kind == CUT_OUTPUT:
        cut: bytes = action[1]
        return cut
    head = kind.to_bytes(2, "big") + SIZES[kind].to_bytes(2, "big")
    if kind == OUTPUT:
        max_len: int = action[2]
        return head + argument.to_bytes(4, "big") + max_len.to_bytes(2, "big") + bytes(6)
    if kind in (GROUP, SET_QUEUE):
        return head + argument.to_bytes(4, "big")
    if kind in (PUSH_VLAN, PUSH_MPLS, POP_MPLS):
        return head + argument.to_bytes(2, "big") + bytes(2)
    if kind in (SET_NW_TTL, SET_MPLS_TTL):
        return head + bytes((argument, 0, 0, 0))
    return head + bytes(4)


def check_actions(actions: tuple[Action, ...], context: oxm.Context, strict: bool = True) -> bool:
    """Whether every action suits packets of this context, which is changed as the actions change the packet.

    A set-field that does not suit is refused at once; other inconsistencies are told by the result, and only
    where `strict`: those of an action set are not looked at.
    """
    consistent = True
    for action in actions:
        kind = action[0]
        if kind == SET_FIELD:
            if not context.allows(oxm.FIELDS[action[1]].prereq) or (action[1] == oxm.VLAN_VID and not context.tags):
                raise bad_action(INCONSISTENT)
        elif kind == PUSH_VLAN:
            if context.tags >= 2:
                raise bad_action(BAD_TAG)
            context.tags += 1
        elif kind == POP_VLAN:
            consistent &= context.tags > 0
            context.tags = max(0, context.tags - 1)
        elif kind == PUSH_MPLS:
            context.eth_type, context.ip_proto = action[1], 0
        elif kind == POP_MPLS:
            consistent &= context.allows("mpls")
            context.eth_type = action[1]
        elif kind in (SET_NW_TTL, DEC_NW_TTL):
            consistent &= context.allows("ip")
        elif kind in (SET_MPLS_TTL, DEC_MPLS_TTL):
            consistent &= context.allows("mpls")
    return consistent or not strict


def _split(data: bytes, offset: int) -> dict[int, tuple[int, int]]:
    """Instruction type to (start, end) for the rest of a message, each at most once."""
    found: dict[int, tuple[int, int]] = {}
    end = len(data)
    if (end - offset) % 8:
        raise bad_instruction(BIC_BAD_LEN)
    while offset < end:
        kind = int.from_bytes(data[offset:offset + 2], "big")
        length = int.from_bytes(data[offset + 2:offset + 4], "big")
        if length < 8 or length % 8 or offset + length > end:
            raise bad_instruction(BIC_BAD_LEN)
        if kind == EXPERIMENTER:
            raise bad_instruction(BIC_BAD_EXPERIMENTER)
        if kind not in (1, 2, 3, 4, 5, 6):
            raise bad_instruction(UNKNOWN_INST)
        fixed = {1: 8, 2: 24, 5: 8, 6: 8}.get(kind)
        if fixed is not None and length != fixed:
            raise bad_instruction(BIC_BAD_LEN)
        if kind in found:
            raise OFError(oxm.OFPET_EXPERIMENTER, ONF_DUP_INST, oxm.ONF)
        found[kind] = (offset, offset + length)
        offset += length
    return found


def parse_instructions(data: bytes, offset: int) -> Instructions:
    """The instructions that fill data from offset on."""
    found = _split(data, offset)
    apply: tuple[Action, ...] = ()
    write: tuple[Action, ...] | None = None
    metadata: tuple[int, int] | None = None
    goto: int | None = None
    meter: int | None = None
    raw: list[bytes] = []
    if 6 in found:
        meter = int.from_bytes(data[found[6][0] + 4:found[6][1]], "big")
        raw.append(b"\x00\x06\x00\x08" + meter.to_bytes(4, "big"))
    if 4 in found:
        start, end = found[4]
        apply, body = parse_actions(data, start + 8, end)
        if body:
            raw.append(b"\x00\x04" + (8 + len(body)).to_bytes(2, "big") + bytes(4) + body)
    if 5 in found:
        raw.append(b"\x00\x05\x00\x08" + bytes(4))
    if 3 in found:
        start, end = found[3]
        write, body = parse_actions(data, start + 8, end)
        if body:
            raw.append(b"\x00\x03" + (8 + len(body)).to_bytes(2, "big") + bytes(4) + body)
    if 2 in found:
        start = found[2][0]
        value = int.from_bytes(data[start + 8:start + 16], "big")
        mask = int.from_bytes(data[start + 16:start + 24], "big")
        metadata = (value & mask, mask)
        raw.append(b"\x00\x02\x00\x18" + bytes(4) + data[start + 8:start + 24])
    if 1 in found:
        goto = data[found[1][0] + 4]
        raw.append(b"\x00\x01\x00\x08" + bytes((goto, 0, 0, 0)))
    if meter is not None and not 0 < meter <= LAST_METER:
        raise OFError(12, 2)
    everything = apply + (write or ())
    ports = frozenset(action[1] for action in everything if action[0] == OUTPUT)
    groups = frozenset(action[1] for action in everything if action[0] == GROUP)
    return Instructions(apply, 5 in found, write, metadata, goto, b"".join(raw), ports, groups, meter)


def check_instructions(instructions: Instructions, context: oxm.Context, table_id: int) -> None:
    """Refuse what does not suit packets of this context in this table."""
    context = context.copy()
    consistent = check_actions(instructions.apply, context)
    if instructions.write:
        check_actions(instructions.write, context.copy(), strict=False)
    goto = instructions.goto
    if goto is not None and table_id != 255 and goto <= table_id:
        raise bad_instruction(BAD_TABLE_ID)
    if not consistent:
        raise bad_action(INCONSISTENT)


class Bucket(NamedTuple):
    """One bucket of a group as it was sent."""

    weight: int
    watch_port: int
    watch_group: int
    actions: tuple[Action, ...]
    raw: bytes
    """The bucket as it is reported."""


def parse_buckets(data: bytes, offset: int) -> list[Bucket]:
    """The buckets that fill data from offset on."""
    buckets: list[Bucket] = []
    while offset < len(data):
        left = len(data) - offset
        length = int.from_bytes(data[offset:offset + 2], "big")
        if left < 16 or length < 16 or length > left:
            raise OFError(6, 12)
        actions, raw = parse_actions(data, offset + 16, offset + length)
        weight = int.from_bytes(data[offset + 2:offset + 4], "big")
        watch_port = int.from_bytes(data[offset + 4:offset + 8], "big")
        if 0xff00 <= watch_port < PORT_MAX:
            raise OFError(6, 13)
        watch_group = int.from_bytes(data[offset + 8:offset + 12], "big")
        report = (16 + len(raw)).to_bytes(2, "big") + data[offset + 2:offset + 12] + bytes(4) + raw
        buckets.append(Bucket(weight, watch_port, watch_group, actions, report))
        offset += length
    return buckets
