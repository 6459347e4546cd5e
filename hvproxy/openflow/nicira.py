"""Open vSwitch's own actions: what they say, how they are told, what executes them, and how they are made.

What the actions refer to is a part of a field (nicira_parts); learn, bundle and ct are known to nicira_learn,
nicira_bundle and nicira_ct. Which are taken is judged by nicira_checks: what reads an action here relies on that, but
for `canonical` and `text`, which a switch's own may come to. Must not know any table.
"""
from __future__ import annotations

from struct import Struct
from typing import Final

from hvproxy.openflow import nicira_bundle, nicira_ct, nicira_learn
from hvproxy.openflow.constants import NICIRA_ID, of13
from hvproxy.openflow.memo import remembered
from hvproxy.openflow.nicira_bundle import BUNDLE, BUNDLE_LOAD
from hvproxy.openflow.nicira_ct import CT, CT_CLEAR, NAT
from hvproxy.openflow.nicira_learn import LEARN
from hvproxy.openflow.nicira_parts import ALL, METADATA, TARGETS, Part, part_text, target, told
from hvproxy.openflow.oxm_fields import TENANT_BITS

RESUBMIT, POP_QUEUE, MOVE, LOAD, NOTE, MULTIPATH, RESUBMIT_TABLE, EXIT = 1, 5, 6, 7, 8, 10, 14, 17
CONTROLLER, DEC_TTL_IDS, PUSH, POP, CONJUNCTION, CUT_OUTPUT, CLONE = 20, 21, 27, 28, 34, 39, 42
SAME_PORT: Final = 0xfff8
"""Instead of a port: the one the packet came in at."""
SAME_TABLE: Final = 255

_HEAD: Final = Struct("!HHIH")
_LOAD: Final = Struct("!10xHIQ")
_MOVE: Final = Struct("!10xHHHII")
_RESUBMIT: Final = Struct("!HHIHHB3x")
_MULTIPATH: Final = Struct("!10xHH2xHHI2xHI")
_STACK: Final = Struct("!10xHIH6x")
_CONTROLLER: Final = Struct("!HHIHHHBx")
_CONJUNCTION: Final = Struct("!10xBBI")
_CLONE: Final = Struct("!HHIH6x")
_CUT: Final = Struct("!HHIHHI")
_CUT_LENGTH: Final = 64
FIXED_SIZES: Final = {
    RESUBMIT: 16, POP_QUEUE: 16, MOVE: 24, LOAD: 24, MULTIPATH: 32, RESUBMIT_TABLE: 16, EXIT: 16, CONTROLLER: 16,
    PUSH: 24, POP: 24, CONJUNCTION: 16, CT_CLEAR: 16,
}
"""Of a move: the least."""
_LEAST_SIZES: Final = {MOVE: 24, CT: nicira_ct.SIZE, NAT: 16}
"""Of those that may be longer."""


@remembered(1 << 12)
def canonical(action: bytes) -> bytes:
    """The action as Open vSwitch tells it; one that is not known stays as it is."""
    if len(action) < _HEAD.size or _HEAD.unpack_from(action)[2] != NICIRA_ID:
        return action
    kind = _HEAD.unpack_from(action)[3]
    if kind == LEARN:
        return nicira_learn.canonical(action)
    if kind in (BUNDLE, BUNDLE_LOAD):
        return nicira_bundle.canonical(action)
    if not has_size(kind, len(action)) or any(
            header not in TARGETS for header in headers(kind, action)):
        return action
    if kind == MOVE:
        return action[:2] + _MOVE.size.to_bytes(2, "big") + action[4:16] + b"".join(
            told(header) for header in headers(kind, action))
    places = {LOAD: 12, PUSH: 12, POP: 12, MULTIPATH: 28}
    if kind in places:
        at = places[kind]
        header = told(headers(kind, action)[0])
        tail = action[at + 4:] if kind == LOAD else action[at + 4:at + 6] + bytes(max(0, len(action) - at - 6))
        if kind == MULTIPATH:
            return action[:14] + bytes(2) + action[16:24] + bytes(2) + action[26:at] + header
        return action[:at] + header + tail
    if kind in (POP_QUEUE, EXIT, CT_CLEAR):
        return action[:10] + bytes(6)
    if kind == NAT:
        return nicira_ct.canonical_nat(action)
    if kind == RESUBMIT:
        return action[:12] + bytes(4)
    if kind == CONTROLLER:
        return action[:15] + bytes(1)
    if kind == DEC_TTL_IDS:
        size = 16 + 2 * int.from_bytes(action[10:12], "big")
        return action[:2] + (size + 7 & ~7).to_bytes(2, "big") + action[4:size] + bytes(-size % 8)
    return action


@remembered(1 << 12)
def lowered(action: bytes, first_table: int, same_table: int) -> bytes:
    """What carries out a tenant's action, given what his table 0 is below, and the table that is his current one."""
    kind = _HEAD.unpack_from(action)[3]
    if kind in (NOTE, POP_QUEUE, CT_CLEAR):
        return b""  # they do nothing: there are no queues, and no connection is tracked here
    if kind in (RESUBMIT, RESUBMIT_TABLE):
        table = SAME_TABLE if kind == RESUBMIT else _RESUBMIT.unpack(action)[5]
        if table == SAME_TABLE:
            return resubmit(same_table)
        # Beyond the last table a look-up finds nothing, and the list goes on.
        return resubmit(first_table + table) if first_table + table < SAME_TABLE - 1 else b""
    if kind == LOAD:
        place, header, value = _LOAD.unpack(action)
        if target(header).field is METADATA:
            return load(place >> 6, min(TENANT_BITS - (place >> 6), (place & 0x3f) + 1), header, value)
    if kind == CONTROLLER:
        # The whole packet is asked for; below, hvproxy is the one controller, and has the id 0.
        return _CONTROLLER.pack(of13.OFPAT_EXPERIMENTER, _CONTROLLER.size, NICIRA_ID, kind, 0xffff, 0, action[14])
    if kind == DEC_TTL_IDS:
        return Struct("!HH4x").pack(of13.OFPAT_DEC_NW_TTL, 8)
    return action


def kind_of(action: bytes) -> int | None:
    """Which of Open vSwitch's own actions one of OFPAT_EXPERIMENTER is; None of another's."""
    if len(action) < _HEAD.size:
        return None
    _, _, experimenter, kind = _HEAD.unpack_from(action)
    return int(kind) if experimenter == NICIRA_ID else None


def load_of(action: bytes) -> tuple[Part, int]:
    """(what a load writes, the value)."""
    place, header, value = _LOAD.unpack(action)
    return _placed(place, header), value


def move_of(action: bytes) -> tuple[Part, Part]:
    """(what a move reads, what it writes)."""
    bits, from_first, to_first, source, destination = _MOVE.unpack_from(action)
    return Part(source, from_first, bits), Part(destination, to_first, bits)


def stack_of(action: bytes) -> Part:
    """What a push reads, or a pop writes."""
    first, header, bits = _STACK.unpack(action)
    return Part(header, first, bits)


def multipath_of(action: bytes) -> Part:
    """What a multipath writes."""
    place, header = _MULTIPATH.unpack(action)[5:]
    return _placed(place, header)


def conjunction_of(action: bytes) -> tuple[int, int, int]:
    """(id, clause, how many clauses) of a conjunction."""
    clause, clauses, number = _CONJUNCTION.unpack(action)
    return number, clause, clauses


def table_of(action: bytes) -> int | None:
    """The table that a resubmit looks up; None for the current one."""
    return None if names_no_table(action) else _RESUBMIT.unpack(action)[5]


def resubmit(table_id: int) -> bytes:
    """A look-up in another table, after which the list goes on."""
    return _RESUBMIT.pack(of13.OFPAT_EXPERIMENTER, _RESUBMIT.size, NICIRA_ID, RESUBMIT_TABLE, SAME_PORT, table_id)


def leave() -> bytes:
    """The end of all that is done with a packet: what follows in the list is judged and not carried out."""
    return _HEAD.pack(of13.OFPAT_EXPERIMENTER, 16, NICIRA_ID, EXIT) + bytes(6)


def load(first: int, bits: int, header: int, value: int) -> bytes:
    """Write a value into some bits of a field."""
    return (_HEAD.pack(of13.OFPAT_EXPERIMENTER, 24, NICIRA_ID, LOAD) + (first << 6 | bits - 1).to_bytes(2, "big")
            + header.to_bytes(4, "big") + value.to_bytes(8, "big"))


def clone(data: bytes) -> bytes:
    """Have a copy of the packet, and of the action set, go through actions; both then are as they were."""
    return _CLONE.pack(of13.OFPAT_EXPERIMENTER, _CLONE.size + len(data), NICIRA_ID, CLONE) + data


def cloned(action: bytes) -> bytes | None:
    """The actions that a clone has a copy go through; None of another action."""
    known = len(action) >= _CLONE.size and _HEAD.unpack_from(action)[2:] == (NICIRA_ID, CLONE)
    return action[_CLONE.size:] if known else None


def cut_output(port: int) -> bytes:
    """Output the beginning of the packet only."""
    return _CUT.pack(of13.OFPAT_EXPERIMENTER, _CUT.size, NICIRA_ID, CUT_OUTPUT, port, _CUT_LENGTH)


def move(first: int, source: int, target_first: int, target_header: int, bits: int) -> bytes:
    """Copy some bits of a field, named by its header, into another."""
    return (_HEAD.pack(of13.OFPAT_EXPERIMENTER, FIXED_SIZES[MOVE], NICIRA_ID, MOVE)
            + Struct("!HHHII").pack(bits, first, target_first, source, target_header))


def stack(kind: int, part: Part) -> bytes:
    """Push or pop a part of a field."""
    return (_HEAD.pack(of13.OFPAT_EXPERIMENTER, FIXED_SIZES[kind], NICIRA_ID, kind)
            + Struct("!HIH6x").pack(part.first, part.header, part.bits))


def is_conjunction(action: bytes) -> bool:
    """Whether an action of OFPAT_EXPERIMENTER is a part of a conjunctive match."""
    return _HEAD.unpack_from(action)[2:] == (NICIRA_ID, CONJUNCTION)


def is_note(action: bytes) -> bool:
    """Whether an action of OFPAT_EXPERIMENTER only says something."""
    return _HEAD.unpack_from(action)[2:] == (NICIRA_ID, NOTE)


def decrements(action: bytes) -> bool:
    """Whether an action of OFPAT_EXPERIMENTER lowers a TTL, which may be used up."""
    return _HEAD.unpack_from(action)[2:] == (NICIRA_ID, DEC_TTL_IDS)


def resubmits(action: bytes) -> bool:
    """Whether an action of OFPAT_EXPERIMENTER looks up another table."""
    return _HEAD.unpack_from(action)[2:] in ((NICIRA_ID, RESUBMIT), (NICIRA_ID, RESUBMIT_TABLE))


def names_no_table(action: bytes) -> bool:
    """Whether an action of OFPAT_EXPERIMENTER looks up the table that is the current one."""
    _, _, experimenter, kind = _HEAD.unpack_from(action)
    return experimenter == NICIRA_ID and (
        kind == RESUBMIT or kind == RESUBMIT_TABLE and action[12] == SAME_TABLE)


def controller_id(action: bytes) -> int | None:
    """The id of the controllers to which an action of OFPAT_EXPERIMENTER sends, None if it does not."""
    to = controller(action)
    return None if to is None else to[0]


def controller(action: bytes) -> tuple[int, int] | None:
    """The same with the bytes of a packet that it asks for."""
    if _HEAD.unpack_from(action)[2:] != (NICIRA_ID, CONTROLLER):
        return None
    max_len, number = _CONTROLLER.unpack(action)[4:6]
    return number, max_len


def text(action: bytes) -> str | None:
    """The action in words that ovs-ofctl takes; None of one that is not known."""
    if len(action) < 16 or _HEAD.unpack_from(action)[2] != NICIRA_ID:
        return None
    kind = _HEAD.unpack_from(action)[3]
    if kind == LEARN:
        return nicira_learn.text(action)
    if kind in (BUNDLE, BUNDLE_LOAD):
        return nicira_bundle.text(action)
    if not has_size(kind, len(action)) or any(
            header not in ALL for header in headers(kind, action)):
        return None
    if kind in (RESUBMIT, RESUBMIT_TABLE):
        port, table = _RESUBMIT.unpack(action)[4:]
        return f"resubmit({'' if port == SAME_PORT else port},{SAME_TABLE if kind == RESUBMIT else table})"
    if kind == LOAD:
        place, header, value = _LOAD.unpack(action)
        return f"load:{value:#x}->{part_text(_placed(place, header))}"
    if kind == MOVE:
        bits, from_first, to_first, source, destination = _MOVE.unpack_from(action)
        return f"move:{part_text(Part(source, from_first, bits))}->{part_text(Part(destination, to_first, bits))}"
    if kind in (PUSH, POP):
        first, header, bits = _STACK.unpack(action)
        return f"{'push' if kind == PUSH else 'pop'}:{part_text(Part(header, first, bits))}"
    if kind == CUT_OUTPUT:
        port, length = _CUT.unpack(action)[4:]
        return f"output(port={'IN_PORT' if port == SAME_PORT else port},max_len={length})"
    if kind == NOTE:
        return f"note:{action[10:].hex('.')}"
    return {POP_QUEUE: "pop_queue", EXIT: "exit", CT_CLEAR: "ct_clear"}.get(kind)


def _placed(place: int, header: int) -> Part:
    """A part whose place is in one number."""
    return Part(header, place >> 6, (place & 0x3f) + 1)


def headers(kind: int, action: bytes) -> tuple[int, ...]:
    """Those of the fields that an action of a length its kind may have refers to, but for those of nicira_learn and
    nicira_bundle."""
    if kind == MOVE:
        return _MOVE.unpack_from(action)[3:]
    if kind == LOAD:
        return (_LOAD.unpack(action)[1],)
    if kind in (PUSH, POP):
        return (_STACK.unpack(action)[1],)
    if kind == MULTIPATH:
        return (_MULTIPATH.unpack(action)[6],)
    if kind == CT and (source := nicira_ct.zone_source(action)):
        return (source,)
    return ()


def has_size(kind: int, length: int) -> bool:
    """Whether an action of that kind may be so long: behind a move there may be zeros."""
    least = _LEAST_SIZES.get(kind)
    return length == FIXED_SIZES.get(kind, length) if least is None else length >= least
