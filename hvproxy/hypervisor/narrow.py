"""The metadata of switches that have only 32 bits of it, such as logical switches of another hvproxy.

Rules are made for 64 bits, and are the same wherever they stand. Of these bits those that plain OpenFlow uses fit into
32 (model.layout): the context, three flags, and as many as are left for the tenant, who is told so. What goes down to
such a switch is brought to that form here, and what it tells of packets is brought back; what it is believed to hold
stays as it is there. A mask of all bits means the index of an edge, of which the low 32 are enough.

Pure. Only for switches without Open vSwitch's extensions: hvproxy's rules for these use more bits.
"""
from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from struct import Struct
from typing import Final

from hvproxy.model.layout import CONTEXT_BIT, FIRST_FLAG_BIT, TENANT_MASK, Table
from hvproxy.model.rules import Change, Rule, RuleKey
from hvproxy.openflow import actions, instructions
from hvproxy.openflow.abilities import SwitchTables, with_metadata
from hvproxy.openflow.constants import of13
from hvproxy.openflow.memo import remembered
from hvproxy.openflow.messages import PACKET_IN_MATCH
from hvproxy.openflow.oxm import metadata_tlv, tlv

BITS: Final = 0xFFFFFFFF
"""What such a switch matches and writes."""
_WHOLE: Final = 0xFFFFFFFFFFFFFFFF
_FLAGS, _FLAG_HERE, _CONTEXT_HERE = 3, 5, 8
_FLAG_MASK: Final = (1 << _FLAGS) - 1
TENANT: Final = (1 << _FLAG_HERE) - 1
"""The tenant's bits of metadata that are left."""
_LOST_FLAGS: Final = (1 << CONTEXT_BIT) - (1 << FIRST_FLAG_BIT + _FLAGS)
"""Those that only rules for Open vSwitch set; elsewhere they are 0 in every packet."""
_LOST: Final = TENANT_MASK & ~TENANT
_OXM: Final = Struct("!HBB")
_BASIC: Final[int] = of13.OFPXMC_OPENFLOW_BASIC
_VALUE: Final = Struct("!Q")


def offers(tables: SwitchTables) -> bool:
    """Whether these are the tables of such a switch."""
    return bool(tables.tables) and all(one.metadata_match == one.metadata_write == BITS for one in tables.tables)


def offered(tables: SwitchTables) -> SwitchTables:
    """What rules can do that are made for 64 bits, on such a switch."""
    return with_metadata(tables, Table.LOGICAL, _WHOLE & ~_LOST)


def change(wide: Change) -> Change:
    """The same change as it is carried out there."""
    return replace(wide, put_rules=[rule(each) for each in wide.put_rules],
                   drop_rules=[rule(each) for each in wide.drop_rules])


def rules(wide: Iterable[Rule]) -> dict[RuleKey, Rule]:
    """These rules as they stand there."""
    return {each.key: each for each in map(rule, wide)}


def rule(wide: Rule) -> Rule:
    """A rule as it stands there. One that asks for bits that are not there is left as it is: the switch refuses it."""
    match, done = _match(wide.match), _instructions(wide.instructions)
    if match == wide.match and done == wide.instructions:
        return wide
    return Rule(wide.table, wide.priority, match, done, wide.cookie)


@remembered(1 << 13)
def packet_out(data: bytes) -> bytes:
    """The actions of a packet-out as they are carried out there."""
    out = []
    for kind, action in actions.walk(data):
        if kind == of13.OFPAT_SET_FIELD and _is_metadata(action, 4):
            value, = _VALUE.unpack_from(action, 8)
            action = actions.set_field(tlv(of13.OFPXMT_OFB_METADATA, _narrow(value)))
        out.append(action)
    return b"".join(out)


def packet_in(message: bytes) -> bytes:
    """What such a switch tells of a packet, with the metadata that the packet would have elsewhere."""
    at = PACKET_IN_MATCH + 4
    end = PACKET_IN_MATCH + int.from_bytes(message[PACKET_IN_MATCH + 2:at], "big")
    while at < end:
        if _is_metadata(message, at):
            value, = _VALUE.unpack_from(message, at + 4)
            return message[:at + 4] + _VALUE.pack(_wide(value)) + message[at + 12:]
        at += 4 + message[at + 3]
    return message


@remembered(1 << 13)
def _match(tlvs: bytes) -> bytes:
    at, out = 0, b""
    while at < len(tlvs):
        after = at + 4 + tlvs[at + 3]
        if _is_metadata(tlvs, at):
            value, = _VALUE.unpack_from(tlvs, at + 4)
            mask = _VALUE.unpack_from(tlvs, at + 12)[0] if tlvs[at + 2] & 1 else _WHOLE
            out += metadata_tlv(*_masked(value, mask))
        else:
            out += tlvs[at:after]
        at = after
    return out


@remembered(1 << 13)
def _instructions(data: bytes) -> bytes:
    found = instructions.decode(data)
    if found.metadata is None:
        return data
    return instructions.build(replace(found, metadata=_masked(*found.metadata)))


def _masked(value: int, mask: int) -> tuple[int, int]:
    if mask == _WHOLE and value <= BITS:
        return value, BITS
    if mask & _LOST or value & mask & _LOST_FLAGS:
        return value, mask
    return _narrow(value), _narrow(mask)


def _narrow(wide: int) -> int:
    return (wide >> CONTEXT_BIT) << _CONTEXT_HERE | (wide >> FIRST_FLAG_BIT & _FLAG_MASK) << _FLAG_HERE | wide & TENANT


def _wide(narrow: int) -> int:
    return (narrow >> _CONTEXT_HERE) << CONTEXT_BIT | (narrow >> _FLAG_HERE & _FLAG_MASK) << FIRST_FLAG_BIT | (
        narrow & TENANT)


def _is_metadata(data: bytes, at: int) -> bool:
    oxm_class, field, _ = _OXM.unpack_from(data, at)
    return bool(oxm_class == _BASIC and field >> 1 == of13.OFPXMT_OFB_METADATA)
