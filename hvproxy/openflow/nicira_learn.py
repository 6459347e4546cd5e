"""Open vSwitch's action learn: a packet adds a flow entry, of which fields of the packet are parts.

An action is a head, and specifications of what the new entry matches, loads and outputs to, each with a source, which
is a part of a field of the packet or a value. Not offered: an action fin_timeout in the new entry and the id of a
conjunction as a source (BAD_ARGUMENT), and the form with a limit, which is another action. Must not know tables, nor
what a packet is.
"""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct
from typing import Final, NamedTuple

from hvproxy.errors import Refused
from hvproxy.openflow.constants import NICIRA_ID, of13
from hvproxy.openflow.memo import remembered
from hvproxy.openflow.nicira_parts import (
    METADATA, TARGETS, Part, check_bits, check_part, check_settable, part_text, refuse, told, write,
)
from hvproxy.openflow.oxm import headers_of
from hvproxy.openflow.oxm_fields import BY_NUMBER, NX, TENANT_BITS, Headers

LEARN: Final = 16
MOST_LEARNS: Final = 8
"""Actions learn in one list."""
SEND_FLOW_REM: Final = 1
DELETE_LEARNED: Final = 2
"""Flags: of the new entry; when the last action with its table and cookie goes, what has been learnt goes too."""
MATCH, LOAD, OUTPUT = 0, 1, 2
"""What a specification is about."""
_HEAD: Final = Struct("!HHIHHHHQHBBHH")
_PART: Final = Struct("!IH")
_DEFAULT_PRIORITY: Final = 0x8000
_BITS: Final = 0x3ff
_FROM_VALUE: Final = 1 << 13
_ABOUT: Final = 3 << 11
_NO_TABLE: Final = 255
_CONJ_ID: Final = BY_NUMBER[NX + 37]


class Spec(NamedTuple):
    """One of the specifications."""

    about: int
    source: Part | None
    """None: `value` it is."""
    value: int
    target: Part | None
    """None of an output."""


@dataclass(frozen=True, slots=True)
class Learn:
    """What an action says."""

    table_id: int
    priority: int
    cookie: int
    idle_timeout: int
    hard_timeout: int
    flags: int
    specs: tuple[Spec, ...]


def is_learn(action: bytes) -> bool:
    """Whether an action of OFPAT_EXPERIMENTER learns."""
    return action[4:8] == NICIRA_ID.to_bytes(4, "big") and int.from_bytes(action[8:10], "big") == LEARN


@remembered(1 << 12)
def read(action: bytes) -> Learn:
    """An action that was accepted."""
    _, _, _, _, idle, hard, priority, cookie, flags, table_id, *_ = _HEAD.unpack_from(action)
    return Learn(table_id, priority, cookie, idle, hard, flags, tuple(_specs(action)))


def check(action: bytes) -> None:
    """Raises Refused for an action that is wrong in itself."""
    if len(action) < _HEAD.size:
        refuse(of13.OFPBAC_BAD_LEN, "learn without its arguments")
    *_, flags, table_id, padding, fin_idle, fin_hard = _HEAD.unpack_from(action)
    if padding or table_id == _NO_TABLE or flags & ~(SEND_FLOW_REM | DELETE_LEARNED):
        refuse(of13.OFPBAC_BAD_ARGUMENT, "learn")
    specs = list(_specs(action))
    if fin_idle or fin_hard:
        refuse(of13.OFPBAC_BAD_ARGUMENT, "entries that are learnt have no fin_timeout")
    for spec in specs:
        if spec.source is not None:
            if TARGETS[spec.source.header].field is _CONJ_ID:
                refuse(of13.OFPBAC_BAD_ARGUMENT, "nobody tells the id of a conjunction")
            check_bits(spec.source)
            _check_metadata(spec.source)
        if spec.target is not None and spec.about == MATCH:
            check_bits(spec.target)
            _check_metadata(spec.target)
            _check_mask(spec.target)
        elif spec.target is not None:
            check_part(spec.target, written=True)


def check_order(action: bytes, headers: Headers) -> None:
    """Raises Refused unless a packet with those headers has what is read, and the new entry's what is matched."""
    layout = 0
    for spec in read(action).specs:
        for part, known in ((spec.source, headers), (spec.target, headers_of(layout))):
            field = None if part is None else TARGETS[part.header].field
            if field is not None and not field.allows(known):
                refuse(of13.OFPBAC_MATCH_INCONSISTENT, f"{field.name} where the packet may not have it")
        if spec.about == MATCH and spec.source is None and spec.target is not None:
            layout |= write(spec.target, spec.value)[0]


def canonical(action: bytes) -> bytes:
    """The action as Open vSwitch tells it; what is none stays as it is."""
    try:
        check(action)
    except Refused:
        return action
    data = action[:_HEAD.size - 4] + bytes(4)
    for spec in read(action).specs:
        bits = _bits(spec)
        data += (bits | spec.about << 11 | (0 if spec.source else _FROM_VALUE)).to_bytes(2, "big")
        data += _told(spec.source) if spec.source else spec.value.to_bytes(2 * (bits + 15 >> 4), "big")
        data += _told(spec.target) if spec.target else b""
    data += bytes(-len(data) & 7)
    return data[:2] + len(data).to_bytes(2, "big") + data[4:]


def text(action: bytes) -> str | None:
    """The action in words that ovs-ofctl takes; None of what is none."""
    try:
        check(action)
    except Refused:
        return None
    learn = read(action)
    words = [f"table={learn.table_id}"]
    words += [f"{name}={value}" for name, value, usual in (
        ("idle_timeout", learn.idle_timeout, 0), ("hard_timeout", learn.hard_timeout, 0),
        ("priority", learn.priority, _DEFAULT_PRIORITY)) if value != usual]
    words += [name for name, flag in (("send_flow_rem", SEND_FLOW_REM), ("delete_learned", DELETE_LEARNED))
              if learn.flags & flag]
    words += [f"cookie={learn.cookie:#x}"] if learn.cookie else []
    return f"learn({','.join([*words, *map(_spec_text, learn.specs)])})"


def _spec_text(spec: Spec) -> str:
    source = part_text(spec.source) if spec.source else f"{spec.value:#x}"
    if spec.target is None:
        return f"output:{source}"
    target = part_text(spec.target)
    return f"load:{source}->{target}" if spec.about == LOAD else f"{target}={source}"


def _bits(spec: Spec) -> int:
    part = spec.source or spec.target
    assert part is not None
    return part.bits


def _told(part: Part) -> bytes:
    return told(part.header) + part.first.to_bytes(2, "big")


def _specs(action: bytes) -> Iterator[Spec]:
    """Raises Refused for what are none."""
    at = _HEAD.size
    while at < len(action):
        head = int.from_bytes(action[at:at + 2], "big")
        at += 2
        if not head:
            break
        bits, about, by_value = head & _BITS, (head & _ABOUT) >> 11, bool(head & _FROM_VALUE)
        if about > OUTPUT or about == OUTPUT and by_value:
            refuse(of13.OFPBAC_BAD_ARGUMENT, "learn")
        source_size = 2 * (bits + 15 >> 4) if by_value else _PART.size
        if at + source_size + (0 if about == OUTPUT else _PART.size) > len(action):
            refuse(of13.OFPBAC_BAD_LEN, "learn cut short")
        source, value, target = None, 0, None
        if by_value:
            value = int.from_bytes(action[at:at + source_size], "big") & (1 << (bits + 7 & ~7)) - 1
        else:
            source = _part(action, at, bits)
        at += source_size
        if about != OUTPUT:
            target = _part(action, at, bits)
            at += _PART.size
        yield Spec(about, source, value, target)
    if any(action[at:]):
        refuse(of13.OFPBAC_BAD_ARGUMENT, "something behind the end of learn")


def _part(action: bytes, at: int, bits: int) -> Part:
    header, first = _PART.unpack_from(action, at)
    check_settable(header)
    return Part(header, first, bits)


def _check_metadata(part: Part) -> None:
    if TARGETS[part.header].field is METADATA and part.first + part.bits > TENANT_BITS:
        refuse(of13.OFPBAC_BAD_SET_ARGUMENT, "metadata outside the low 32 bits")


def _check_mask(part: Part) -> None:
    """No entry can match a part of the field where the field cannot be masked."""
    _, mask = write(part, 0)
    for field, _ in TARGETS[part.header].pieces:
        asked = mask >> field.shift & field.full
        if asked not in (0, field.full) and not field.maskable:
            raise Refused(of13.OFPET_BAD_MATCH, of13.OFPBMC_BAD_MASK, f"{field.name} cannot be masked")
