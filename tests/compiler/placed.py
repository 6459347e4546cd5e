"""One logical switch on two edges with a link between them, compiled and carried out by emulated switches.

Logical ports: 1 and 2 have a port each on datapath 1; 3 and 4 share port 3 there as VLANs 10 and 20; 5 has a port on
datapath 2, 6 is VLAN 10 of a port there; 7 is not bound.
"""
from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hvproxy.compiler.buckets import alive_group, tenant_groups
from hvproxy.compiler.entries import rules_for
from hvproxy.compiler.lowering import Edge, TenantGroup
from hvproxy.compiler.paths import Topology, tree
from hvproxy.compiler.pipeline import base, placement
from hvproxy.compiler.transit import transit_rules, uplink_groups
from hvproxy.model.layout import ContextLayout
from hvproxy.model.rules import Content
from hvproxy.model.view import Link, LogicalSwitchView, Lport, Transport, Vif
from hvproxy.openflow.instructions import Instructions
from hvproxy.openflow.oxm import Match
from tests.packets import Plane, tagged
from tests.tools.controller import packet_in_parts

LAYOUT = ContextLayout()
LS_ID = 5
VIFS = {1: Vif(1, 1), 2: Vif(1, 2), 3: Vif(1, 3, 10), 4: Vif(1, 3, 20), 5: Vif(2, 1), 6: Vif(2, 2, 10)}
VIEW = LogicalSwitchView(LS_ID, tuple(
    Lport(number, 10 + number, VIFS.get(number), number in VIFS and VIFS[number].vlan is not None)
    for number in range(1, 8)), live=frozenset(10 + number for number in VIFS), destinations={1: 1, 2: 2})
SHARED = {lport.number: lport for lport in VIEW.lports if lport.shared}
FABRIC_PORT = 8
LINKS = (Link(1, FABRIC_PORT, 2, FABRIC_PORT),)
DELIVER = {(LS_ID, lport.index): 100 + lport.number for lport in VIEW.lports}
FLOOD = {(LS_ID, 1): 201, (LS_ID, 2): 202}
TRANSPORT = Transport({1: 1, 2: 2}, {1: frozenset((1, 2)), 2: frozenset((1, 2))}, lambda a, b: frozenset((a, b)),
                      DELIVER, FLOOD)
CUT = Transport({1: 1, 2: 2}, {1: frozenset((1,)), 2: frozenset((2,))}, lambda a, b: frozenset((a,)), DELIVER, FLOOD)
FRAME = b"\x02\0\0\0\0\x02\x02\0\0\0\0\x01\x88\xb5" + bytes(46)


@dataclass(frozen=True)
class AnEntry:
    """An entry as the compiler reads it."""

    number: int = 1
    table_id: int = 0
    priority: int = 5
    match: Match = Match.EMPTY
    instructions: Instructions = Instructions()


def edge(dpid: int = 1, groups: Iterable[TenantGroup] = (), view: LogicalSwitchView = VIEW) -> Edge:
    return Edge(LAYOUT, view, dpid, {group.group_id: group for group in groups})


def a_group(group_id: int, kind: int, buckets: bytes) -> TenantGroup:
    """A tenant's group, with places for its variants as TenantGroups gives them."""
    places = {0: 10 * group_id, **{lport.index: 10 * group_id + lport.number for lport in SHARED.values()}}
    return TenantGroup(group_id, kind, buckets, places)


def plane(
    *entries: AnEntry, groups: Iterable[TenantGroup] = (), transport: Transport = TRANSPORT,
    view: LogicalSwitchView = VIEW,
) -> Plane:
    """Both datapaths with everything this logical switch needs."""
    groups = tuple(groups)
    topology = Topology.of(LINKS)
    made = Plane()
    placed = placement(LAYOUT, view, transport)
    for dpid in (1, 2):
        made.add_switch(dpid, (1, 2, 3, FABRIC_PORT))
        other = 3 - dpid
        content = Content()
        for part in (base(dpid, frozenset((FABRIC_PORT,)), None), placed[dpid]):
            content.rules.update(part.rules)
            content.groups.update(part.groups)
        for group in uplink_groups(tree(topology, other), dpid, other):
            content.add_group(group)
        for rule in transit_rules(tree(topology, other), dpid, other):
            content.add_rule(rule)
        here = edge(dpid, groups, view)
        for number in {number for group in groups for number in group.watched_ports} & here.lports.keys():
            content.add_group(alive_group(here.lports[number], here))
        for tenant_group in groups:
            for lowered in tenant_groups(tenant_group, here):
                content.add_group(lowered)
        for entry in entries:
            for rule in rules_for(entry, here):
                content.add_rule(rule)
        made.load(dpid, content.rules.values(), content.groups.values())
    made.add_link((1, FABRIC_PORT), (2, FABRIC_PORT))
    return made


def sent(made: Plane, number: int, frame: bytes = FRAME) -> dict[int, bytes]:
    """The frame enters at logical port `number`: what leaves, by logical port, tags of sub-ports taken off.

    Nothing may leave twice, nor at a port or under a tag that is no logical port's."""
    vif = VIFS[number]
    places = {(v.dpid, v.port_no, v.vlan): n for n, v in VIFS.items()}
    found: dict[int, bytes] = {}
    for (dpid, port), left in made.send(vif.dpid, vif.port_no, tagged(frame, vif.vlan)):
        at = places.get((dpid, port, None))
        if at is None:
            assert left[12:14] == b"\x81\x00"
            at, left = places[dpid, port, int.from_bytes(left[14:16], "big")], left[:12] + left[16:]
        assert at not in found, f"twice at {at}"
        found[at] = left
    return found


def told(made: Plane) -> list[dict[str, int | bytes]]:
    """The parts of the packet-ins the datapaths have sent."""
    return [packet_in_parts(message) for _, message in made.packet_ins()]
