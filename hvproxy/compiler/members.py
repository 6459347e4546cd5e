"""Outputs that are looked up on the way: of a bundle or bundle_load, and of what an entry writes into the action set.

Of a bundle's ports one is chosen, of those that are alive.

Liveness is the logical ports', which is known when an entry is compiled; so the first live one is just named. The
choice by hash is Open vSwitch's own, member for member and so the same as one bridge's: but below, the members are
not ports. A switch takes some reserved numbers for always alive, and 0 for never; of two of these, which differ in
the last bit, each member has the one that says how a bit of its port's number is, and the choice is made for each bit
in which live ports differ. It is the same one every time, so the bits are those of one port. They are gathered beside
in the register that is hvproxy's own, for what is written to may be among what is hashed; its value waits on the
stack. A packet that is to be sent out looks the port up in the table ASIDE, where each port has an `outlet`.

An output that is written must not displace a group that the action set holds. Where the same entry resubmits, what the
set holds then is not known before: each port has an `ending` in that table too, which looks and writes.

Pure. Knows one edge; where ports are is said in lowering.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import reduce
from operator import and_, or_
from typing import Final

from hvproxy.compiler.normal import HiddenEntry
from hvproxy.model.layout import LEARNS_FLAG, OUTLET, Table
from hvproxy.model.view import LogicalSwitchView
from hvproxy.openflow import actions, nicira, nicira_bundle
from hvproxy.openflow.constants import of13
from hvproxy.openflow.instructions import Instructions
from hvproxy.openflow.nicira_bundle import NO_PORT, Choice
from hvproxy.openflow.nicira_parts import Part, told
from hvproxy.openflow.oxm import Match, metadata_tlv, tlv
from hvproxy.openflow.oxm_aliases import long_port
from hvproxy.openflow.oxm_fields import OWN_REGISTER

ASIDE: Final = Table.ASIDE - Table.LOGICAL
OWN: Final = OWN_REGISTER.header
_NEVER, _ZERO, _ONE = 0, 0xfff8, 0xfff9
"""Members below: never alive, and always with that last bit."""
_PORT_BITS: Final = 16
_ALWAYS: Final = frozenset((of13.OFPP_IN_PORT, of13.OFPP_FLOOD, of13.OFPP_ALL))
SPECIAL: Final = (*sorted(_ALWAYS), of13.OFPP_LOCAL)
ENDINGS: Final = (0, *SPECIAL, of13.OFPP_CONTROLLER, of13.OFPP_NORMAL)
"""What an output may name besides ports; 0 stands for any port that there is not."""
_WRITES: Final = 1 << 16
"""In the register, and in the cookie's number: the port is written into the action set."""
_PRIORITY: Final = 100


def alive(choice: Choice, view: LogicalSwitchView) -> tuple[int | None, ...]:
    """The members, those that are not alive as None."""
    live = {lport.number for lport in view.lports if lport.index in view.live} | _ALWAYS
    return tuple(member if member == NO_PORT or long_port(member) in live else None for member in choice.members)


def alive_in(data: bytes, view: LogicalSwitchView) -> tuple[tuple[int | None, ...], ...]:
    """The same of every choice in a list of actions: all that the list depends on besides ports."""
    return tuple(alive(choice, view) for choice in actions.choices(data))


def lowered(choice: Choice, view: LogicalSwitchView, output: Callable[[int], bytes]) -> bytes:
    """What carries out a choice; `output` is what sends a packet out of a port."""
    members = alive(choice, view)
    live = [member for member in members if member is not None]
    if choice.by_hash and len(set(live)) > 1:
        return _by_hash(choice, members, live)
    chosen = live[0] if live else NO_PORT
    if choice.into is not None:
        return nicira.canonical(nicira.load(choice.into.first, choice.into.bits, choice.into.header, chosen))
    return b"" if chosen == NO_PORT else output(long_port(chosen))


def outlet(port: int) -> HiddenEntry:
    """What a packet is sent out by that has looked a port up."""
    short = port & 0xffff
    match = metadata_tlv(0, LEARNS_FLAG) + tlv(OWN_REGISTER.number, short)
    return HiddenEntry(OUTLET | short, ASIDE, _PRIORITY, Match.from_tlvs(match),
                       Instructions(apply=actions.output(port)))


def written_behind(instructions: Instructions) -> bool:
    """Whether what resubmits bring may decide about an output that these instructions write."""
    return (actions.resubmits(instructions.apply) and not instructions.clear
            and not actions.groups(instructions.write) and bool(actions.outputs(instructions.write)))


def write(port: int) -> bytes:
    """What writes an output into the action set unless that holds a group by now."""
    return actions.canonical(
        nicira.stack(nicira.PUSH, Part(OWN, 0, 32)) + nicira.load(0, 32, OWN, _WRITES | port & 0xffff)
        + actions.resubmit(Table.ASIDE) + nicira.stack(nicira.POP, Part(OWN, 0, 32)))


def ending(port: int) -> HiddenEntry:
    """What is found then."""
    number = _WRITES | port & 0xffff
    match = metadata_tlv(0, LEARNS_FLAG) + tlv(OWN_REGISTER.number, number)
    return HiddenEntry(OUTLET | number, ASIDE, _PRIORITY, Match.from_tlvs(match),
                       Instructions(write=actions.output(port)))


def port_of(number: int) -> tuple[int, bool]:
    """(the port, or the last 16 bits of its number, whether it is written) that a rule of such a number is for."""
    return number & 0xffff, bool(number & _WRITES)


def _by_hash(choice: Choice, members: tuple[int | None, ...], live: list[int]) -> bytes:
    same, some = reduce(and_, live), reduce(or_, live)
    native = replace(choice, into=Part(OWN, 0, _PORT_BITS))
    found = nicira.stack(nicira.PUSH, Part(OWN, 0, 32)) + nicira.load(0, 32, OWN, same << _PORT_BITS)
    for bit in range(_PORT_BITS):
        if (same ^ some) >> bit & 1:
            ends = tuple(_NEVER if member is None else _ONE if member >> bit & 1 else _ZERO for member in members)
            found += nicira_bundle.build(replace(native, members=ends))
            found += nicira.move(0, OWN, _PORT_BITS + bit, OWN, 1)
    into = choice.into
    if into is None:
        found += nicira.move(_PORT_BITS, OWN, 0, OWN, _PORT_BITS) + nicira.load(_PORT_BITS, _PORT_BITS, OWN, 0)
        found += actions.resubmit(Table.ASIDE)
    else:
        header = int.from_bytes(told(into.header), "big")
        if into.bits > _PORT_BITS:
            found += nicira.load(into.first + _PORT_BITS, into.bits - _PORT_BITS, header, 0)
        found += nicira.move(_PORT_BITS, OWN, into.first, header, _PORT_BITS)
    return actions.canonical(found + nicira.stack(nicira.POP, Part(OWN, 0, 32)))
