"""Which lists of actions are refused, with the codes of Open vSwitch 3.1 over OpenFlow 1.3.

Open vSwitch judges twice: each action by itself while it reads them (`check_each`), then whether they fit the headers
that the match and the actions before them promise (`check_order`). Some misfits are errors at once, others only count
when nothing else is wrong and not within an action set, hence its second result. `check` does both for one list.
Whether there is a group is asked last, where entries and packets are, and not of what a deletion says.

Refused although Open vSwitch takes them: outputs to port 0, to TABLE outside a packet-out (BAD_OUT_PORT);
the actions of OpenFlow 1.1 that 1.2 removed (BAD_TYPE); some of its own (see nicira).
Refused with another code: set-field of tunnels' addresses, of whole VLAN tags, of the register that is hvproxy's own,
and of what is no field (BAD_SET_TYPE).
`refuse_extensions` refuses what needs switches with Open vSwitch's extensions.

Lengths were proven by `guard`. Must not know which ports, groups and queues exist.
"""
from __future__ import annotations

from struct import Struct
from typing import Final, NoReturn

from hvproxy.errors import Refused
from hvproxy.openflow import nicira, nicira_checks, nicira_ct, nicira_learn
from hvproxy.openflow.constants import FIRST_BAD_PORT, ONF_ID, of13
from hvproxy.openflow.memo import remembered
from hvproxy.openflow.oxm import Match
from hvproxy.openflow.oxm_aliases import ALIASES, OWN_HEADERS, WIDE_REGISTERS
from hvproxy.openflow.oxm_fields import (
    BY_NUMBER, EXTENSIONS, HEADERS_EXACT, HEADERS_MASKED, IP_ETH_TYPES, MPLS_ETH_TYPES, PACKET_TYPE,
    TENANT_METADATA, TRACKED, VLAN_ETH_TYPES, VLAN_PRESENT, Field, Headers,
)

_ACTION: Final = Struct("!HHI").unpack_from
_OUTPUT: Final[int] = of13.OFPAT_OUTPUT
_SET_FIELD: Final[int] = of13.OFPAT_SET_FIELD
_KNOWN: Final = frozenset((
    of13.OFPAT_SET_MPLS_TTL, of13.OFPAT_DEC_MPLS_TTL, of13.OFPAT_POP_VLAN, of13.OFPAT_SET_QUEUE, of13.OFPAT_SET_NW_TTL,
    of13.OFPAT_DEC_NW_TTL, of13.OFPAT_POP_MPLS, of13.OFPAT_GROUP,
))
"""Types that are right whatever they hold."""

_FIRST_OUTPUT: Final[int] = of13.OFPP_IN_PORT
"""Of the numbers that stand for more than a port."""
_NO_OUTPUT: Final = frozenset((0, of13.OFPP_ANY))
_METADATA: Final[int] = of13.OFPXMT_OFB_METADATA
_VLAN_VID: Final[int] = of13.OFPXMT_OFB_VLAN_VID
_BAD_SET_MASK: Final = 4250
"""The ONF's error for a masked set-field (OF extension 425): OpenFlow 1.3 has none."""
_EXTENDED: Final = frozenset((
    _METADATA, of13.OFPXMT_OFB_TUNNEL_ID, *(field.number for field in EXTENSIONS)))
"""Fields that are set only where all switches are Open vSwitch."""
_MAX_TAGS: Final = 2
"""Open vSwitch keeps track of this many VLAN tags."""


def check(data: bytes, *, match: Match | None = None, packet_out: bool = False) -> None:
    """Raises Refused unless `data` is a list of actions to be had.

    Without `match` (buckets, packet-outs) nothing is known of the packet and only the actions themselves are judged.
    For the two lists of a flow entry see `instructions.check`, where the first list changes what the second may do.
    """
    check_each(data, packet_out)
    if match is not None and check_order(data, match.headers)[1]:
        inconsistent()


def inconsistent(why: str = "an action that the match does not allow") -> NoReturn:
    _refuse(of13.OFPBAC_MATCH_INCONSISTENT, why)


@remembered(1 << 13)
def check_each(data: bytes, packet_out: bool = False, in_set: bool = False) -> None:
    """Raises Refused for the first action that is wrong in itself, or (`in_set`) may not be written."""
    at = others = learns = 0
    conjunction = False
    controllers: set[int | None] = set()
    while at < len(data):
        kind, length, argument = _ACTION(data, at)
        if kind == _OUTPUT:
            _check_output(argument, packet_out)
            if argument == of13.OFPP_CONTROLLER:
                controllers.add(0)
        elif kind == _SET_FIELD:
            _check_set_field(data[at + 4:at + length], argument)
        elif kind == of13.OFPAT_PUSH_VLAN:
            if argument >> 16 not in VLAN_ETH_TYPES:
                _refuse(of13.OFPBAC_BAD_ARGUMENT, "push_vlan of another ethertype than VLAN's")
        elif kind == of13.OFPAT_PUSH_MPLS:
            if argument >> 16 not in MPLS_ETH_TYPES:
                _refuse(of13.OFPBAC_BAD_ARGUMENT, "push_mpls of another ethertype than MPLS's")
        elif kind == of13.OFPAT_EXPERIMENTER:
            nicira_checks.check(data[at:at + length], in_set=in_set)
            if nicira_ct.is_ct(data[at:at + length]):
                _check_within(data[at:at + length])
            controllers.add(nicira.controller_id(data[at:at + length]))
            learns += nicira_learn.is_learn(data[at:at + length])
            if nicira.is_conjunction(data[at:at + length]):
                conjunction = True
            elif not nicira.is_note(data[at:at + length]):
                others += 1
            at += length
            continue
        elif kind not in _KNOWN:
            _refuse(of13.OFPBAC_BAD_TYPE, f"action type {kind}")
        others += 1
        at += length
    if learns > nicira_learn.MOST_LEARNS:
        _refuse(of13.OFPBAC_TOO_MANY, "a list that learns more entries than hvproxy can tell apart")
    if len(controllers - {None}) > 1:
        _refuse(of13.OFPBAC_BAD_ARGUMENT, "a list that sends to controllers of several ids")
    if conjunction and others:
        nicira_checks.bad_conjunction()


@remembered(1 << 13)
def check_order(data: bytes, headers: Headers) -> tuple[Headers, bool]:
    """(what is known of the headers behind these actions, whether one did not fit); raises Refused for hard misfits."""
    at = 0
    misfit = False
    while at < len(data):
        kind, length, argument = _ACTION(data, at)
        if kind == of13.OFPAT_EXPERIMENTER:
            misfit |= nicira_checks.check_order(data[at:at + length], headers)
            if nicira_ct.is_ct(data[at:at + length]):
                check_order(data[at + nicira_ct.SIZE:at + length], headers)
        elif kind == _SET_FIELD and argument not in WIDE_REGISTERS:
            field = _settable(argument)
            if not field.allows(headers) or field.number == _VLAN_VID and not headers.vlans:
                inconsistent(f"set-field of {field.name} where the packet may not have it")
        elif kind == of13.OFPAT_PUSH_VLAN:
            if headers.vlans == _MAX_TAGS:
                _refuse(of13.OFPBAC_BAD_TAG, "too many VLAN tags")
            headers = headers._replace(vlans=headers.vlans + 1)
        elif kind == of13.OFPAT_POP_VLAN:
            misfit |= not headers.vlans
            headers = headers._replace(vlans=max(headers.vlans - 1, 0))
        elif kind == of13.OFPAT_PUSH_MPLS:
            headers = headers._replace(eth_type=argument >> 16, ip_proto=0)
        elif kind == of13.OFPAT_POP_MPLS:
            misfit |= headers.eth_type not in MPLS_ETH_TYPES
            headers = headers._replace(eth_type=argument >> 16)
        elif kind in (of13.OFPAT_SET_MPLS_TTL, of13.OFPAT_DEC_MPLS_TTL):
            misfit |= headers.eth_type not in MPLS_ETH_TYPES
        elif kind in (of13.OFPAT_SET_NW_TTL, of13.OFPAT_DEC_NW_TTL):
            misfit |= headers.eth_type not in IP_ETH_TYPES
        at += length
    return headers, misfit


@remembered(1 << 13)
def conjoins(data: bytes) -> bool:
    """Whether actions that were accepted are a part of a conjunctive match."""
    at = 0
    while at < len(data):
        kind, length, _ = _ACTION(data, at)
        if kind == of13.OFPAT_EXPERIMENTER and nicira.is_conjunction(data[at:at + length]):
            return True
        at += length
    return False


@remembered(1 << 13)
def refuse_extensions(data: bytes) -> None:
    """Raises Refused for what only switches with Open vSwitch's extensions carry out."""
    at = 0
    while at < len(data):
        kind, length, argument = _ACTION(data, at)
        if kind == _OUTPUT and argument == of13.OFPP_NORMAL:
            _refuse(of13.OFPBAC_BAD_OUT_PORT, "NORMAL is not offered over these switches")
        if kind == _SET_FIELD and (argument in WIDE_REGISTERS or _settable(argument).number in _EXTENDED):
            _refuse(of13.OFPBAC_BAD_SET_TYPE, "the switches cannot set the field")
        if kind == of13.OFPAT_EXPERIMENTER:
            _refuse(of13.OFPBAC_BAD_EXPERIMENTER, "the switches do not know the action")
        at += length


def _refuse(code: int, why: str) -> NoReturn:
    raise Refused(of13.OFPET_BAD_ACTION, code, why)


def _check_within(action: bytes) -> None:
    """Raises Refused for what stands in an action ct and may not."""
    at, committed = nicira_ct.SIZE, nicira_ct.commits(action)
    while at < len(action):
        kind, length, argument = _ACTION(action, at)
        one = action[at:at + length]
        if kind == of13.OFPAT_EXPERIMENTER:
            nicira_checks.check(one, within=True, committed=committed)
        elif kind == _SET_FIELD and HEADERS_EXACT.get(argument) in nicira_ct.WRITABLE:
            if any(one[8 + (argument & 0xff):]):
                _refuse(of13.OFPBAC_BAD_SET_ARGUMENT, "padding of a set-field is not zero")
            if not committed:
                _refuse(of13.OFPBAC_BAD_ARGUMENT, "ct without commit sets what is kept with the connection")
        else:
            check_each(one)
            _refuse(of13.OFPBAC_BAD_ARGUMENT, "ct executes what it may not")
        at += length


def _check_output(port: int, packet_out: bool) -> None:
    refused = (FIRST_BAD_PORT <= port < _FIRST_OUTPUT or port in _NO_OUTPUT
               or port == of13.OFPP_TABLE and not packet_out)
    if refused:
        _refuse(of13.OFPBAC_BAD_OUT_PORT, f"no output to port {port:#x}")


def _check_set_field(tlv: bytes, header: int) -> None:
    """`tlv` is the field with the padding behind it."""
    if header in OWN_HEADERS:
        _refuse(of13.OFPBAC_BAD_SET_TYPE, "a register that is not the tenant's")
    field = HEADERS_EXACT.get(header)
    if field is None and header in ALIASES and BY_NUMBER[ALIASES[header]].size == header & 0xff:
        field = BY_NUMBER[ALIASES[header]]
    if header in WIDE_REGISTERS:
        if any(tlv[4 + (header & 0xff):]):
            _refuse(of13.OFPBAC_BAD_SET_ARGUMENT, "padding of a set-field is not zero")
        return
    if field is None:
        _refuse_set_field(tlv, header)
    value = int.from_bytes(tlv[4:4 + field.size], "big")
    if any(tlv[4 + field.size:]):
        _refuse(of13.OFPBAC_BAD_SET_ARGUMENT, "padding of a set-field is not zero")
    if field in TRACKED:
        _refuse(of13.OFPBAC_BAD_SET_ARGUMENT, f"{field.name} belongs to the connection")
    if field.zero and field.number != PACKET_TYPE:
        _refuse(of13.OFPBAC_BAD_SET_TYPE, f"{field.name} cannot be set")
    if field.number == _METADATA:
        if value > TENANT_METADATA:
            _refuse(of13.OFPBAC_BAD_SET_ARGUMENT, "metadata outside the low 32 bits")
        return
    if not field.writable or not field.holds(value) or field.number == _VLAN_VID and not value & VLAN_PRESENT:
        _refuse(of13.OFPBAC_BAD_SET_ARGUMENT, f"{field.name} cannot be set to {value:#x}")


def _settable(header: int) -> Field:
    """The field that a set-field which was accepted names."""
    field = HEADERS_EXACT.get(header)
    return BY_NUMBER[ALIASES[header]] if field is None else field


def _refuse_set_field(tlv: bytes, header: int) -> NoReturn:
    """A set-field of no field we know, of a wrong length, or with a mask."""
    size = (header & 0xff) >> 1
    exact = header & ~0x1ff | size
    if header & 0x100 and exact not in OWN_HEADERS and (
            header & ~1 in HEADERS_MASKED or exact in WIDE_REGISTERS):
        value, mask = tlv[4:4 + size], tlv[4 + size:4 + 2 * size]
        if int.from_bytes(value, "big") & ~int.from_bytes(mask, "big"):
            raise Refused(of13.OFPET_BAD_MATCH, of13.OFPBMC_BAD_WILDCARDS, "value bits outside the mask")
        raise Refused(of13.OFPET_EXPERIMENTER, _BAD_SET_MASK, "set-field with a mask", ONF_ID)
    known = header >> 16 == of13.OFPXMC_OPENFLOW_BASIC and header >> 9 & 0x7f in BY_NUMBER
    if known and header & 0xff:
        _refuse(of13.OFPBAC_BAD_SET_LEN, "set-field value of a length its field does not have")
    _refuse(of13.OFPBAC_BAD_SET_TYPE, f"set-field of unknown field {header:#010x}")
