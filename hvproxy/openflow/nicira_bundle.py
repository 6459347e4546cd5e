"""Open vSwitch's actions bundle and bundle_load: one live port of several is chosen, by order or by hash.

Must not know which ports there are, nor how the choice is carried out.
"""
from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import Final

from hvproxy.errors import Refused
from hvproxy.openflow.constants import FIRST_BAD_PORT, NICIRA_ID, of13
from hvproxy.openflow.memo import remembered
from hvproxy.openflow.nicira_parts import (
    NXM_IN_PORT, TARGETS, Part, check_part, check_settable, part_text, refuse, told,
)
from hvproxy.openflow.oxm_aliases import long_port
from hvproxy.openflow.oxm_fields import Headers

BUNDLE, BUNDLE_LOAD = 12, 13
HRW: Final = 1
"""By the highest hash of a port's place in the list and of the packet's fields; the other way takes the first."""
NO_PORT: Final = 0xffff
"""What is chosen where no port is alive."""
_SHORT_IN_PORT, _SHORT_TABLE, _SHORT_NORMAL, _SHORT_CONTROLLER = 0xfff8, 0xfff9, 0xfffa, 0xfffd
_HEAD: Final = Struct("!HHIHHHHIHHI4x")
_MEMBERS_AT: Final = _HEAD.size
_MOST: Final = 2048
_FIELDS: Final = ("eth_src", "symmetric_l4", "symmetric_l3l4", "symmetric_l3l4+udp", "nw_src", "nw_dst")
_ALGORITHMS: Final = ("active_backup", "hrw")
_LEAST_BITS: Final = 16


@dataclass(frozen=True, slots=True)
class Choice:
    """What one of the actions says."""

    algorithm: int
    fields: int
    """What is hashed."""
    basis: int
    members: tuple[int, ...]
    """Port numbers of 16 bits, in the order they are written in."""
    into: Part | None
    """What the number of the chosen port is written into; None: the packet is sent out of it."""

    @property
    def by_hash(self) -> bool:
        return self.algorithm == HRW

    @property
    def ports(self) -> frozenset[int]:
        """The members with port numbers as OpenFlow 1.3 has them."""
        return frozenset(long_port(member) for member in self.members)


def is_bundle(action: bytes) -> bool:
    """Whether an action of OFPAT_EXPERIMENTER chooses among ports."""
    return action[4:8] == NICIRA_ID.to_bytes(4, "big") and int.from_bytes(action[8:10], "big") in (BUNDLE, BUNDLE_LOAD)


@remembered(1 << 12)
def read(action: bytes) -> Choice:
    """An action that was accepted."""
    _, _, _, kind, algorithm, fields, basis, _, count, place, header = _HEAD.unpack_from(action)
    members = Struct(f"!{count}H").unpack_from(action, _MEMBERS_AT)
    into = Part(header, place >> 6, (place & 0x3f) + 1) if kind == BUNDLE_LOAD else None
    return Choice(algorithm, fields, basis, members, into)


def build(choice: Choice) -> bytes:
    """The action with its one form, as Open vSwitch tells it."""
    size = _MEMBERS_AT + 2 * len(choice.members) + 7 & ~7
    into = choice.into
    kind, place, header = (BUNDLE, 0, 0) if into is None else (
        BUNDLE_LOAD, into.first << 6 | into.bits - 1, int.from_bytes(told(into.header), "big"))
    data = _HEAD.pack(of13.OFPAT_EXPERIMENTER, size, NICIRA_ID, kind, choice.algorithm, choice.fields, choice.basis,
                      NXM_IN_PORT, len(choice.members), place, header)
    data += b"".join(member.to_bytes(2, "big") for member in choice.members)
    return data + bytes(size - len(data))


def check(action: bytes) -> None:
    """Raises Refused for an action that is wrong in itself."""
    if len(action) < _MEMBERS_AT:
        refuse(of13.OFPBAC_BAD_LEN, "bundle without its arguments")
    _, _, _, kind, algorithm, fields, _, member_type, count, place, header = _HEAD.unpack_from(action)
    if kind == BUNDLE_LOAD:
        check_settable(header)
    wrong = (fields >= len(_FIELDS) or count > _MOST or algorithm >= len(_ALGORITHMS) or member_type != NXM_IN_PORT
             or any(action[_MEMBERS_AT - 4:_MEMBERS_AT])
             or ((place & 0x3f) + 1 < _LEAST_BITS if kind == BUNDLE_LOAD else bool(place or header)))
    if len(action) < _MEMBERS_AT + 2 * count:
        refuse(of13.OFPBAC_BAD_LEN, "members cut short")
    if wrong:
        refuse(of13.OFPBAC_BAD_ARGUMENT, "bundle")
    choice = read(action)
    if choice.into is not None:
        check_part(choice.into, written=True)
    for member in choice.members:
        if (FIRST_BAD_PORT <= member < _SHORT_IN_PORT
                or member in (_SHORT_TABLE, _SHORT_NORMAL, _SHORT_CONTROLLER)):
            refuse(of13.OFPBAC_BAD_OUT_PORT, f"no member {member:#x}")


def check_order(action: bytes, headers: Headers) -> None:
    """Raises Refused unless a packet with those headers has what is written."""
    into = read(action).into
    field = None if into is None else TARGETS[into.header].field
    if field is not None and not field.allows(headers):
        refuse(of13.OFPBAC_MATCH_INCONSISTENT, f"{field.name} where the packet may not have it")


def canonical(action: bytes) -> bytes:
    """The action as Open vSwitch tells it; what is none stays as it is."""
    try:
        check(action)
    except Refused:
        return action
    return build(read(action))


def text(action: bytes) -> str | None:
    """The action in words that ovs-ofctl takes; None of what is none."""
    try:
        check(action)
    except Refused:
        return None
    choice = read(action)
    into = "" if choice.into is None else f"{part_text(choice.into)},"
    members = ",".join(_NAMES.get(member, str(member)) for member in choice.members)
    return (f"bundle{'_load' if into else ''}({_FIELDS[choice.fields]},{choice.basis},"
            f"{_ALGORITHMS[choice.algorithm]},ofport,{into}members:{members})")


_NAMES: Final = {0xfff8: "IN_PORT", 0xfffb: "FLOOD", 0xfffc: "ALL", 0xfffe: "LOCAL", 0xffff: "ANY"}
