"""Lists of actions as bytes: walked, searched, spliced and built without objects in between (OF 1.3.5 section 7.2.5).

Every list that leaves a builder or `canonical` has one form: padding zero, a set-field no longer than it must be. Open
vSwitch reports such a list back as it got it, so what is installed can be compared with what should be as bytes. Which
lists are refused is said by `check` (action_checks).

Lengths were proven by `guard`. Must not know what a port or a group stands for.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator
from struct import Struct
from typing import Final

from hvproxy.errors import Refused
from hvproxy.openflow.action_checks import check, refuse_extensions
from hvproxy.openflow import guard_parts, nicira, nicira_bundle, nicira_ct, nicira_learn
from hvproxy.openflow.constants import of13
from hvproxy.openflow.groups import bucket, walk_buckets
from hvproxy.openflow.memo import remembered
from hvproxy.openflow.nicira import resubmit
from hvproxy.openflow.nicira_bundle import Choice
from hvproxy.openflow.oxm import tlv
from hvproxy.openflow.oxm_aliases import ALIASES
from hvproxy.openflow.oxm_fields import BY_NUMBER, VLAN_PRESENT

__all__ = [
    "canonical", "canonical_buckets", "check", "choices", "controller_ids", "controllers", "dec_nw_ttl", "group",
    "groups", "learns", "load_bit", "move", "named", "output", "outputs", "pop_vlan", "push_vlan",
    "refuse_extensions", "resubmit", "resubmits", "resubmits_here", "rewrite", "set_field", "set_vlan_vid", "tracks",
    "walk", "zones",
]

_HEADER: Final = Struct("!HH")
_OUTPUT: Final = Struct("!HHIH6x")
_GROUP: Final = Struct("!HHI")
_ETH_TYPE: Final = Struct("!HHH2x")
_TTL: Final = Struct("!HHB3x")
_PLAIN: Final = Struct("!HH4x")

_IS_OUTPUT: Final[int] = of13.OFPAT_OUTPUT
_IS_GROUP: Final[int] = of13.OFPAT_GROUP
_WITH_ETH_TYPE: Final = frozenset((of13.OFPAT_PUSH_VLAN, of13.OFPAT_PUSH_MPLS, of13.OFPAT_POP_MPLS))
_WITH_TTL: Final = frozenset((of13.OFPAT_SET_MPLS_TTL, of13.OFPAT_SET_NW_TTL))
_WITHOUT_ARGUMENT: Final = frozenset((of13.OFPAT_DEC_MPLS_TTL, of13.OFPAT_POP_VLAN, of13.OFPAT_DEC_NW_TTL))


def walk(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(type, the whole action) of each action in turn."""
    at = 0
    while at < len(data):
        kind, length = _HEADER.unpack_from(data, at)
        yield kind, data[at:at + length]
        at += length


def outputs(data: bytes) -> tuple[int, ...]:
    """The ports of all output actions, in order."""
    return tuple(number for is_output, number, _, _ in _pieces(data)[1] if is_output)


def groups(data: bytes) -> tuple[int, ...]:
    """The ids of all group actions, in order."""
    return tuple(number for is_output, number, _, _ in _pieces(data)[1] if not is_output)


def rewrite(data: bytes, output: Callable[[int, int], bytes], group: Callable[[int], bytes],
            other: Callable[[bytes], bytes] | None = None) -> bytes:
    """Replace each output by output(port, max_len) and each group by group(id), and copy everything else.

    With `other` the actions in between are each replaced by other(action).
    """
    tail, places = _pieces(data)
    parts = []
    for is_output, number, max_len, before in places:
        parts.append(before if other is None else _each(before, other))
        parts.append(output(number, max_len) if is_output else group(number))
    parts.append(tail if other is None else _each(tail, other))
    return b"".join(parts)


@remembered(1 << 13)
def named(data: bytes) -> tuple[frozenset[int], frozenset[int]]:
    """(the ports that a list sends to, with CONTROLLER for controllers named by their ids; the groups)."""
    ports = frozenset(outputs(data))
    return ports | {of13.OFPP_CONTROLLER} if controller_ids(data) else ports, frozenset(groups(data))


@remembered(1 << 13)
def resubmits(data: bytes) -> bool:
    """Whether a list looks up other tables on its way, or has a copy of the packet look up one."""
    return any(kind == of13.OFPAT_EXPERIMENTER and (
        nicira.resubmits(action) or nicira_ct.is_ct(action) and nicira_ct.table(action) is not None)
        for kind, action in walk(data))


@remembered(1 << 13)
def tracks(data: bytes) -> bool:
    """Whether a list tracks connections."""
    return any(kind == of13.OFPAT_EXPERIMENTER and nicira_ct.is_ct(action) for kind, action in walk(data))


@remembered(1 << 13)
def translates(data: bytes) -> bool:
    """Whether a list gives connections other addresses."""
    return any(kind == of13.OFPAT_EXPERIMENTER and nicira_ct.is_ct(action) and any(
        is_nat(within, each) and nicira_ct.may_translate(each) for within, each in walk(nicira_ct.within(action)))
        for kind, action in walk(data))


def is_nat(kind: int, action: bytes) -> bool:
    """Whether an action within a ct translates addresses."""
    return kind == of13.OFPAT_EXPERIMENTER and nicira.kind_of(action) == nicira_ct.NAT


@remembered(1 << 13)
def zones(data: bytes) -> frozenset[int]:
    """The zones in which a list tracks connections."""
    return frozenset(nicira_ct.zone(action) for kind, action in walk(data)
                     if kind == of13.OFPAT_EXPERIMENTER and nicira_ct.is_ct(action))


@remembered(1 << 13)
def decrements(data: bytes) -> bool:
    """Whether a list can send the packet to the controller because its TTL is used up. An action set does so before
    it sets fields."""
    return any(kind in (of13.OFPAT_DEC_NW_TTL, of13.OFPAT_DEC_MPLS_TTL)
               or kind == of13.OFPAT_EXPERIMENTER and nicira.decrements(action) for kind, action in walk(data))


@remembered(1 << 13)
def learns(data: bytes) -> bool:
    """Whether packets add entries by a list."""
    return any(kind == of13.OFPAT_EXPERIMENTER and nicira_learn.is_learn(action) for kind, action in walk(data))


@remembered(1 << 13)
def choices(data: bytes) -> tuple[Choice, ...]:
    """What a list chooses ports by, in order."""
    return tuple(nicira_bundle.read(action) for kind, action in walk(data)
                 if kind == of13.OFPAT_EXPERIMENTER and nicira_bundle.is_bundle(action))


def resubmits_here(data: bytes) -> bool:
    """Whether a list looks up the table it stands in once more."""
    return any(kind == of13.OFPAT_EXPERIMENTER and nicira.names_no_table(action) for kind, action in walk(data))


@remembered(1 << 13)
def controller_ids(data: bytes) -> frozenset[int]:
    """The ids of the controllers that actions of Open vSwitch's own send to."""
    found = {nicira.controller_id(action) for kind, action in walk(data) if kind == of13.OFPAT_EXPERIMENTER}
    return frozenset(number for number in found if number is not None)


def controllers(data: bytes) -> list[tuple[int, int]]:
    """(id of the controllers, max_len) of each action that sends to some; outputs send to those of id 0."""
    found = []
    for kind, action in walk(data):
        if kind == _IS_OUTPUT:
            _, _, port, max_len = _OUTPUT.unpack(action)
            if port == of13.OFPP_CONTROLLER:
                found.append((0, max_len))
        elif kind == of13.OFPAT_EXPERIMENTER:
            to = nicira.controller(action)
            if to is not None:
                found.append(to)
    return found


@remembered(1 << 13)
def canonical(data: bytes) -> bytes:
    """The one form of a list of actions, which is Open vSwitch's; others' actions stay as they are."""
    return b"".join(_canonical_action(kind, action) for kind, action in walk(data))


@remembered(1 << 12)
def canonical_buckets(data: bytes) -> bytes:
    """The one form of a group's buckets, as Open vSwitch describes the group (OF 1.3.5 section 7.3.4.2)."""
    return b"".join([bucket(canonical(each.actions), each.weight, each.watch_port, each.watch_group)
                     for each in walk_buckets(data)])


def output(port: int, max_len: int | None = None) -> bytes:
    """An output; to the controller it sends whole packets unless max_len is said, elsewhere max_len means nothing."""
    if max_len is None:
        max_len = of13.OFPCML_NO_BUFFER if port == of13.OFPP_CONTROLLER else 0
    return _OUTPUT.pack(of13.OFPAT_OUTPUT, _OUTPUT.size, port, max_len)


def group(group_id: int) -> bytes:
    return _GROUP.pack(of13.OFPAT_GROUP, _GROUP.size, group_id)


def push_vlan(ethertype: int = 0x8100) -> bytes:
    return _ETH_TYPE.pack(of13.OFPAT_PUSH_VLAN, _ETH_TYPE.size, ethertype)


def pop_vlan() -> bytes:
    return _PLAIN.pack(of13.OFPAT_POP_VLAN, _PLAIN.size)


def dec_nw_ttl() -> bytes:
    return _PLAIN.pack(of13.OFPAT_DEC_NW_TTL, _PLAIN.size)


def move(source: int, first: int, target: int, target_first: int, bits: int) -> bytes:
    """Copy some bits of a field into another (Open vSwitch only)."""
    return nicira.canonical(nicira.move(first, BY_NUMBER[source].header, target_first, BY_NUMBER[target].header, bits))


def load_bit(field: int, bit: int) -> bytes:
    """Set one bit of a field (Open vSwitch only)."""
    return nicira.canonical(nicira.load(bit, 1, BY_NUMBER[field].header, 1))


def set_field(tlv: bytes) -> bytes:
    """A set-field of the field and value in `tlv` (OF 1.3.5 section 7.2.5)."""
    padding = -(_HEADER.size + len(tlv)) & 7
    return _HEADER.pack(of13.OFPAT_SET_FIELD, _HEADER.size + len(tlv) + padding) + tlv + bytes(padding)


def set_vlan_vid(vid: int) -> bytes:
    """A set-field of the outermost tag's 12-bit VLAN id."""
    return set_field(tlv(of13.OFPXMT_OFB_VLAN_VID, VLAN_PRESENT | vid))


@remembered(1 << 13)
def _pieces(data: bytes) -> tuple[bytes, tuple[tuple[bool, int, int, bytes], ...]]:
    """The bytes behind the last output or group; for each of them: is it an output, number, max_len, bytes before."""
    places = []
    at = start = 0
    while at < len(data):
        kind, length, number = _GROUP.unpack_from(data, at)
        if kind == _IS_OUTPUT:
            places.append((True, number, _OUTPUT.unpack_from(data, at)[3], data[start:at]))
            start = at + length
        elif kind == _IS_GROUP:
            places.append((False, number, 0, data[start:at]))
            start = at + length
        at += length
    return data[start:], tuple(places)


def _canonical_action(kind: int, action: bytes) -> bytes:
    if kind == of13.OFPAT_OUTPUT:
        return output(*_OUTPUT.unpack(action)[2:])
    if kind == of13.OFPAT_SET_FIELD:
        return set_field(_usual(action[4:8 + action[7]]))
    if kind == of13.OFPAT_EXPERIMENTER:
        return _canonical_ct(action) if nicira_ct.is_ct(action) else nicira.canonical(action)
    if kind in _WITH_ETH_TYPE:
        return _ETH_TYPE.pack(*_ETH_TYPE.unpack(action))
    if kind in _WITH_TTL:
        return _TTL.pack(*_TTL.unpack(action))
    if kind in _WITHOUT_ARGUMENT:
        return _PLAIN.pack(*_PLAIN.unpack(action))
    return action


def _canonical_ct(action: bytes) -> bytes:
    try:
        guard_parts.actions(action, nicira_ct.SIZE, len(action), False)
    except Refused:
        return action  # a switch's: nothing proves what is in it
    return nicira_ct.canonical(action, canonical(nicira_ct.within(action)))


def _usual(tlv: bytes) -> bytes:
    """The TLV of a set-field with the header that Open vSwitch tells it with."""
    number = ALIASES.get(int.from_bytes(tlv[:4], "big"))
    if number is None or BY_NUMBER[number].size != tlv[3]:
        return tlv
    return BY_NUMBER[number].header.to_bytes(4, "big") + tlv[4:]


def _each(data: bytes, other: Callable[[bytes], bytes]) -> bytes:
    return b"".join(other(action) for _, action in walk(data)) if data else data
