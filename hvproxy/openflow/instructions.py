"""The instructions of a flow entry, as a value and as canonical bytes (OF 1.3.5 section 7.2.4).

`parse` reads a tenant's with the errors of Open vSwitch 3.1, `decode` a list that was accepted before. An empty list of
actions does nothing, so it reads as absent, as Open vSwitch reports it; a write-metadata stays as it came. The action
lists are kept in their canonical form.

Refused although Open vSwitch takes it: metadata outside the low 32 bits (UNSUP_METADATA_MASK).

Lengths were proven by `guard`. Must not know what the metadata or a table is for.
"""
from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import Final, NoReturn

from hvproxy.errors import Refused
from hvproxy.openflow.action_checks import check_each, check_order, conjoins, inconsistent
from hvproxy.openflow.actions import canonical as canonical_actions
from hvproxy.openflow.constants import of13
from hvproxy.openflow.memo import remembered
from hvproxy.openflow.nicira_checks import bad_conjunction
from hvproxy.openflow.guard_parts import duplicate_instruction
from hvproxy.openflow.oxm import Match
from hvproxy.openflow.oxm_fields import TENANT_METADATA

_HEADER: Final = Struct("!HH")
_ACTIONS: Final = Struct("!HH4x")
_METADATA: Final = Struct("!HH4xQQ")
_GOTO: Final = Struct("!HHB3x")
_METER: Final = Struct("!HHI")
_KNOWN: Final = frozenset((
    of13.OFPIT_GOTO_TABLE, of13.OFPIT_WRITE_METADATA, of13.OFPIT_WRITE_ACTIONS, of13.OFPIT_APPLY_ACTIONS,
    of13.OFPIT_CLEAR_ACTIONS, of13.OFPIT_METER,
))
_ANY_TABLE: Final = 255
"""No limit to a goto: the number of tables or the entry's own table is not known."""


@dataclass(frozen=True, slots=True)
class Instructions:
    """What a flow entry does with a packet."""

    goto: int | None = None
    metadata: tuple[int, int] | None = None
    """(value, mask) of a write-metadata, as Open vSwitch tells it: bits of the value may lie outside the mask."""
    apply: bytes = b""
    """Actions carried out at once; none is the same as no such instruction."""
    write: bytes = b""
    """Actions put into the action set."""
    clear: bool = False
    meter: int | None = None


def parse(data: bytes, n_tables: int = _ANY_TABLE, table_id: int = _ANY_TABLE) -> Instructions:
    """Read a tenant's instructions for an entry of `table_id`; raises Refused. Call `check` with the match next."""
    instructions = _parse(data)
    _check_goto(instructions.goto, n_tables, table_id)
    return instructions


def check(instructions: Instructions, match: Match, n_tables: int = _ANY_TABLE, table_id: int = _ANY_TABLE) -> None:
    """Raises Refused unless the actions fit the match and the actions before them, and the goto goes forward."""
    misfit = False
    headers = match.headers
    if instructions.apply:
        headers, misfit = check_order(instructions.apply, headers)
    if instructions.write:
        check_order(instructions.write, headers)  # its order is not the packet's: soft misfits do not count
    _check_goto(instructions.goto, n_tables, table_id)
    if misfit:
        inconsistent()


def build(instructions: Instructions) -> bytes:
    """The wire bytes: meter, apply, clear, write, metadata, goto, the order in which they are carried out."""
    data = b""
    if instructions.meter is not None:
        data = _METER.pack(of13.OFPIT_METER, _METER.size, instructions.meter)
    if instructions.apply:
        data += _ACTIONS.pack(of13.OFPIT_APPLY_ACTIONS, _ACTIONS.size + len(instructions.apply)) + instructions.apply
    if instructions.clear:
        data += _ACTIONS.pack(of13.OFPIT_CLEAR_ACTIONS, _ACTIONS.size)
    if instructions.write:
        data += _ACTIONS.pack(of13.OFPIT_WRITE_ACTIONS, _ACTIONS.size + len(instructions.write)) + instructions.write
    if instructions.metadata is not None:
        data += _METADATA.pack(of13.OFPIT_WRITE_METADATA, _METADATA.size, *instructions.metadata)
    if instructions.goto is not None:
        data += _GOTO.pack(of13.OFPIT_GOTO_TABLE, _GOTO.size, instructions.goto)
    return data


@remembered(1 << 13)
def decode(data: bytes) -> Instructions:
    """Read instructions that were accepted before: ours, or a switch's of kinds we know."""
    goto: int | None = None
    metadata: tuple[int, int] | None = None
    apply = write = b""
    clear = False
    meter: int | None = None
    at = 0
    while at < len(data):
        kind, length = _HEADER.unpack_from(data, at)
        if kind == of13.OFPIT_APPLY_ACTIONS:
            apply = canonical_actions(data[at + _ACTIONS.size:at + length])
        elif kind == of13.OFPIT_WRITE_ACTIONS:
            write = canonical_actions(data[at + _ACTIONS.size:at + length])
        elif kind == of13.OFPIT_CLEAR_ACTIONS:
            clear = True
        elif kind == of13.OFPIT_WRITE_METADATA:
            value, mask = _METADATA.unpack_from(data, at)[2:]
            metadata = (value, mask)
        elif kind == of13.OFPIT_GOTO_TABLE:
            goto = _GOTO.unpack_from(data, at)[2]
        elif kind == of13.OFPIT_METER:
            meter = _METER.unpack_from(data, at)[2]
        else:
            _refuse(of13.OFPBIC_UNKNOWN_INST, f"instruction type {kind}")
        at += length
    return Instructions(goto, metadata, apply, write, clear, meter)


def canonical(data: bytes) -> bytes:
    """The bytes `build` gives for the same instructions; what holds an instruction we do not know stays as it is."""
    try:
        return build(decode(data))
    except Refused:
        return data


@remembered(1 << 13)
def _parse(data: bytes) -> Instructions:
    found: dict[int, bytes] = {}
    at = 0
    while at < len(data):
        kind, length = _HEADER.unpack_from(data, at)
        if kind == of13.OFPIT_EXPERIMENTER:
            _refuse(of13.OFPBIC_BAD_EXPERIMENTER, "experimenter instruction")
        if kind not in _KNOWN:
            _refuse(of13.OFPBIC_UNKNOWN_INST, f"instruction type {kind}")
        if kind in found:
            duplicate_instruction(kind)
        found[kind] = data[at:at + length]
        at += length
    for kind in (of13.OFPIT_APPLY_ACTIONS, of13.OFPIT_WRITE_ACTIONS):
        if kind in found:
            check_each(found[kind][_ACTIONS.size:], in_set=kind == of13.OFPIT_WRITE_ACTIONS)
    if of13.OFPIT_WRITE_METADATA in found:
        mask = _METADATA.unpack(found[of13.OFPIT_WRITE_METADATA])[3]
        if mask & ~TENANT_METADATA:
            _refuse(of13.OFPBIC_UNSUP_METADATA_MASK, "metadata outside the low 32 bits")
    instructions = decode(data)
    if len(found) > 1 and conjoins(instructions.apply):
        bad_conjunction()
    if instructions.meter is not None and not 0 < instructions.meter <= of13.OFPM_MAX:
        raise Refused(of13.OFPET_METER_MOD_FAILED, of13.OFPMMFC_INVALID_METER, f"no meter {instructions.meter:#x}")
    return instructions


def _check_goto(goto: int | None, n_tables: int, table_id: int) -> None:
    if goto is None:
        return
    if table_id != _ANY_TABLE and goto <= table_id or n_tables != _ANY_TABLE and goto >= n_tables:
        _refuse(of13.OFPBIC_BAD_TABLE_ID, f"cannot go on to table {goto}")


def _refuse(code: int, why: str) -> NoReturn:
    raise Refused(of13.OFPET_BAD_INSTRUCTION, code, why)
