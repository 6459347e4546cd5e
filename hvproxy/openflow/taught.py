"""What a packet teaches by an action learn: the match and actions of the new entry, and which fields decide that.

Packets are values of all fields in the fixed layout (oxm.Match). As Open vSwitch 3.1 does it. Must not know tables.
"""
from __future__ import annotations

from typing import Final

from hvproxy.openflow import actions, nicira, nicira_learn
from hvproxy.openflow.constants import FIRST_BAD_PORT, of13
from hvproxy.openflow.nicira_learn import LOAD, MATCH, Learn, Spec
from hvproxy.openflow.nicira_parts import read, write
from hvproxy.openflow.oxm import Match, of_layout
from hvproxy.openflow.oxm_aliases import long_port
from hvproxy.openflow.oxm_fields import BY_NUMBER, TRACKED, VLAN_PRESENT

_OTHER_PORTS: Final = frozenset((of13.OFPP_IN_PORT, of13.OFPP_FLOOD, of13.OFPP_LOCAL, of13.OFPP_ALL))
_LOAD_BITS: Final = 64
"""An action load writes so many at most."""
_ETH_TYPE, _VLAN_VID, _IP_PROTO = (BY_NUMBER[number] for number in (
    of13.OFPXMT_OFB_ETH_TYPE, of13.OFPXMT_OFB_VLAN_VID, of13.OFPXMT_OFB_IP_PROTO))
_ICMPV6: Final = tuple(BY_NUMBER[number] for number in (of13.OFPXMT_OFB_ICMPV6_TYPE, of13.OFPXMT_OFB_ICMPV6_CODE))


def taught(learn: Learn, packet: int) -> tuple[Match, bytes]:
    """(match, actions) of the entry that a packet teaches."""
    value = mask = 0
    apply = b""
    for spec in learn.specs:
        found = spec.value if spec.source is None else read(spec.source, packet)
        if spec.about == MATCH:
            assert spec.target is not None
            more, bits = write(spec.target, found)
            value, mask = value & ~bits | more & bits, mask | bits
        elif spec.about == LOAD:
            apply += _loads(spec, found)
        else:
            apply += _output(found)
    return Match.from_tlvs(of_layout(value, mask)), actions.canonical(apply)


def decided_by(learn: Learn, packet: int) -> tuple[int, int]:
    """(value, mask) of the fields of a packet that say what it teaches, with what a match of them needs."""
    mask = 0
    for spec in learn.specs:
        if spec.source is not None:
            mask |= write(spec.source, 0)[1]
    for field in BY_NUMBER.values():
        asked = mask >> field.shift & field.full
        if not asked:
            continue
        if field.zero and field not in TRACKED or field.vlan and not packet >> _VLAN_VID.shift & VLAN_PRESENT:
            mask &= ~(field.full << field.shift)  # it says nothing
            if field.vlan:
                mask |= VLAN_PRESENT << _VLAN_VID.shift
            continue
        if not field.maskable:
            mask |= field.full << field.shift
        needed = [_ETH_TYPE] * bool(field.eth_types) + [_IP_PROTO] * bool(field.ip_proto)
        for each in (*needed, *(_ICMPV6 if field.icmp_types else ())):
            mask |= each.full << each.shift
        if field.vlan:
            mask |= VLAN_PRESENT << _VLAN_VID.shift
    if mask >> _IP_PROTO.shift & _IP_PROTO.full:
        mask |= _ETH_TYPE.full << _ETH_TYPE.shift
    return packet & mask, mask


def learns(data: bytes) -> list[Learn]:
    """The actions learn of a list, in order."""
    return [nicira_learn.read(action) for kind, action in actions.walk(data)
            if kind == of13.OFPAT_EXPERIMENTER and nicira_learn.is_learn(action)]


def _loads(spec: Spec, value: int) -> bytes:
    assert spec.target is not None
    header, first, bits = spec.target
    found = b""
    for at in range(0, bits, _LOAD_BITS):
        some = min(_LOAD_BITS, bits - at)
        found += nicira.load(first + at, some, header, value >> at & (1 << some) - 1)
    return found


def _output(number: int) -> bytes:
    """Nothing where that is the number of no port that can be learnt."""
    if number >= 1 << 16:
        return b""
    port = long_port(number)
    return actions.output(port) if port < FIRST_BAD_PORT or port in _OTHER_PORTS else b""
