"""Random rules for one switch, and their two readings: the interpreter's, and an emulated switch that took them."""
from __future__ import annotations

from typing import Any, NamedTuple

from hypothesis import strategies as st

from hvproxy.model.rules import Group
from hvproxy.openflow import actions
from hvproxy.openflow.constants import of13
from hvproxy.openflow.groups import bucket
from hvproxy.openflow.instructions import Instructions, build, decode
from hvproxy.openflow.oxm import Match, tlv
from hvproxy.openflow.oxm_fields import BY_NUMBER, FIELDS
from hvproxy.openflow import build as messages
from hvproxy.trace import frame as f
from hvproxy.trace.switch import Flow, Port, Switch
from tests.packets import Plane
from tests.tools import controller as c
from tools.emulator import wire
from tools.emulator.frames import Packet
from tools.emulator.oxm import OFError
from tools.emulator.pipeline import HASHED

TABLES = 3
PORTS = (1, 2, 3, 4)
DOWN = 4
PREREQUISITES = {
    "arp": {f.ETH_TYPE: 0x0806}, "ipv4": {f.ETH_TYPE: 0x0800}, "ipv6": {f.ETH_TYPE: 0x86DD},
    "tcp": {f.ETH_TYPE: 0x0800, f.IP_PROTO: 6}, "udp": {f.ETH_TYPE: 0x86DD, f.IP_PROTO: 17},
    "icmp": {f.ETH_TYPE: 0x0800, f.IP_PROTO: 1}, "icmpv6": {f.ETH_TYPE: 0x86DD, f.IP_PROTO: 58},
    "mpls": {f.ETH_TYPE: 0x8847}, "none": {}}


Fields = dict[int, int]
"""OXM field number -> value."""


def fields_of(frame: bytes, in_port: int) -> Fields:
    """The fields of a frame that a match may name."""
    return {field: value for field, value in Packet(frame, in_port).fields.items()
            if field in BY_NUMBER}


class Rules(NamedTuple):
    """What a switch holds."""

    flows: list[Flow]
    """The origin of each is its cookie."""
    groups: dict[int, Group]


@st.composite
def action_lists(draw: Any, groups: int, fields: Fields) -> bytes:
    """Actions, most of which have something to do with a frame of these fields."""
    parts = []
    settable = [each for each in FIELDS if each.writable]
    settable = [each for each in settable if each.number in fields] if draw(st.integers(0, 5)) else settable
    kinds = ("output", "output", "output", "group", "group", "set", "set", "header", "type")
    for kind in draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=6)):
        if kind == "output":
            parts.append(actions.output(draw(st.sampled_from((*PORTS, 9, c.FLOOD, c.ALL, c.IN_PORT, c.CONTROLLER)))))
        elif kind == "group" and groups:
            parts.append(actions.group(draw(st.integers(1, groups))))
        elif kind == "set":
            field = draw(st.sampled_from(settable))
            value = draw(st.one_of(st.sampled_from((1, field.full)), st.integers(0, field.full)))
            parts.append(actions.set_field(tlv(field.number, value | 0x1000 if field.number == f.VLAN_VID else value)))
        elif kind == "header":
            parts.append(draw(st.sampled_from(_fitting(fields))))
        elif kind == "type":
            parts.append(c.simple(*draw(st.sampled_from((
                (of13.OFPAT_PUSH_VLAN, 0x8100), (of13.OFPAT_PUSH_MPLS, 0x8847))))))
    return b"".join(parts)


def _fitting(fields: Fields) -> list[bytes]:
    """Actions on headers that a frame of these fields has; on all where it has none."""
    of_tag = [c.simple(of13.OFPAT_POP_VLAN)]
    of_ip = [c.simple(of13.OFPAT_DEC_NW_TTL), *(c.simple(of13.OFPAT_SET_NW_TTL, ttl << 8) for ttl in (1, 2, 64))]
    of_label = [c.simple(of13.OFPAT_DEC_MPLS_TTL), c.simple(of13.OFPAT_POP_MPLS, 0x0800),
                c.simple(of13.OFPAT_POP_MPLS, 0x8847), c.simple(of13.OFPAT_SET_MPLS_TTL, 1 << 8)]
    found = of_tag * bool(fields[f.VLAN_VID]) + of_ip * (f.IP_PROTO in fields) + of_label * (f.MPLS_LABEL in fields)
    return found or of_tag + of_ip + of_label


@st.composite
def matches(draw: Any, fields: Fields) -> bytes:
    """TLVs of fields that a frame has, mostly with the frame's values."""
    chosen: dict[int, int | tuple[int, int]] = dict(PREREQUISITES[draw(st.sampled_from(tuple(PREREQUISITES)))])
    if draw(st.integers(0, 5)):
        headers = (f.ETH_TYPE, f.IP_PROTO, f.ICMPV6_TYPE, f.ICMPV6_CODE, f.VLAN_VID)
        chosen = {field: fields[field] for field in headers if field in fields}
    for field in draw(st.lists(st.sampled_from(sorted(fields)), max_size=2)):
        value = fields[field] if draw(st.integers(0, 5)) else draw(st.integers(0, BY_NUMBER[field].full))
        if BY_NUMBER[field].maskable and draw(st.booleans()):
            mask = draw(st.integers(0, BY_NUMBER[field].full))
            chosen[field] = (value & mask, mask)
        elif field != f.METADATA:
            chosen[field] = value
    return b"".join(tlv(field, *(value if isinstance(value, tuple) else (value,)))
                    for field, value in sorted(chosen.items()))


@st.composite
def group_lists(draw: Any, fields: Fields) -> list[Group]:
    groups = []
    for number in range(1, draw(st.integers(0, 4)) + 1):
        kind = draw(st.sampled_from((of13.OFPGT_ALL, of13.OFPGT_SELECT, of13.OFPGT_INDIRECT, of13.OFPGT_FF)))
        buckets = []
        for _ in range(1 if kind == of13.OFPGT_INDIRECT else draw(st.integers(0, 3))):
            weight, port, group = 0, c.ANY, c.ANY
            if kind == of13.OFPGT_SELECT:
                weight = draw(st.integers(0, 2))
            if kind in (of13.OFPGT_SELECT, of13.OFPGT_FF):
                port = draw(st.sampled_from((*PORTS, DOWN, 9, *((c.ANY,) if kind == of13.OFPGT_SELECT else ()))))
                group = draw(st.sampled_from((c.ANY, *range(1, number))))
            buckets.append(bucket(draw(action_lists(number - 1, fields)), weight, port, group))
        groups.append(Group(number, kind, b"".join(buckets)))
    return groups


@st.composite
def flows(draw: Any, groups: int, fields: Fields) -> list[Flow]:
    found = []
    for table in range(TABLES):
        for priority in range(draw(st.integers(2 if table == 0 else 0, 4))):
            match = b"" if priority == 0 and draw(st.booleans()) else draw(matches(fields))
            metadata = draw(st.sampled_from((None, None, (1, 3), (0x80000002, 0xFFFFFFFF))))
            found.append(Flow(table, priority, Match.from_tlvs(match), Instructions(
                goto=draw(st.sampled_from((None, *range(table + 1, TABLES)))),
                metadata=metadata, apply=draw(action_lists(groups, fields)) if draw(st.integers(0, 2)) else b"",
                write=draw(action_lists(groups, fields)) if draw(st.booleans()) else b"",
                clear=draw(st.integers(0, 5)) == 0), 100 * table + priority))
    return found


def loaded(wanted: list[Flow], groups: list[Group]) -> tuple[Plane, Switch]:
    """An emulated switch with what it takes of these rules, and the same for the interpreter."""
    plane = Plane()
    plane.add_switch(1, PORTS).ports[DOWN].carrier = False
    plane.control[1].masks[wire.PACKET_IN] = [7, 0]  # every reason, used-up TTLs too
    taken = Rules([], {})
    for group in groups:
        try:
            plane.load(1, (), (group,))
        except OFError:
            continue
        taken.groups[group.group_id] = group
    for flow in wanted:
        instructions = build(flow.instructions)
        assert isinstance(flow.origin, int)
        try:
            plane.request(1, messages.flow_mod_add(1, flow.table, flow.priority, flow.match.tlvs, instructions,
                                                   flow.origin))
        except OFError:
            continue
        taken.flows.append(flow._replace(instructions=decode(instructions)))
    table = plane.switches[1].groups

    def choose(group: Any, buckets: Any, usable: Any, frame: f.Frame) -> int:
        index = table.hashed(table.groups[group.group_id], repr([frame.fields.get(field) for field in HASHED]).encode())
        assert index is not None and index in usable
        return index

    ports = {number: Port() if number != DOWN else Port("is down", live=False) for number in PORTS}
    return plane, Switch(taken.flows, taken.groups, ports, choose)
