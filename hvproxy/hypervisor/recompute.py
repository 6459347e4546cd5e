"""Everything every datapath should hold, computed from nothing but the logical tables, the bindings and the fabric.

The oracle of all increments (design: "every increment must equal the full recompute"): it uses the compiler's own
functions, and none of the bookkeeping that decides what has to be computed again.
"""
from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

from hvproxy.compiler.buckets import alive_group, tenant_groups
from hvproxy.compiler.entries import EntryLike, rules_for
from hvproxy.compiler.lowering import Edge
from hvproxy.compiler.meters import meter_on
from hvproxy.compiler.pipeline import base, placement
from hvproxy.compiler.transit import label_rules, transit_rules, uplink_groups, ways
from hvproxy.compiler.wires import crossings
from hvproxy.hypervisor.hypervisor import Hypervisor
from hvproxy.hypervisor.logical_switch import LogicalSwitch
from hvproxy.model.rules import Content
from hvproxy.model.view import Dpid
from hvproxy.openflow.constants import of13


def recompute(hv: Hypervisor) -> dict[Dpid, Content]:
    """The full content of every datapath hvproxy knows."""
    fabric = hv.fabric
    mac = None if hv.links.discovery is None else int.from_bytes(hv.links.discovery.destination, "big")
    contents = {dpid: base(dpid, fabric.fabric_ports(dpid), mac, fabric.tunnel_ports(dpid))
                for dpid in hv.switches.datapaths}
    crossed: dict[Dpid, set[Dpid]] = {}
    for ls in hv.logical_switches.values():
        view = ls.view
        if not view.lports:
            continue
        transport = fabric.transport(view)
        for dpid, content in placement(hv.settings.layout, view, transport).items():
            _add(contents, dpid, content)
        for destination in view.reached:
            for source in view.edges:
                if source != destination and fabric.joined(ls.ls_id, source, destination):
                    crossed.setdefault(destination, set()).update({source}, fabric.crossed(source, destination))
        watched = {number for group in ls.groups.groups.values() for number in group.watched_ports}
        for dpid in view.edges:
            edge = Edge(hv.settings.layout, view, dpid, ls.groups.held, ls.meters.places, ls.tracking.zones)
            content = Content()
            for meter in ls.meters.meters.values():
                content.add_meter(meter_on(meter, dpid, _entered(ls, meter.meter_id)))
            entries: Iterable[EntryLike] = chain(ls.tables.entries(), ls.hosts.entries(), ls.aside.entries())
            for entry in entries:
                for rule in rules_for(entry, edge):
                    content.add_rule(rule)
            for group in ls.groups.held.values():
                for lowered in tenant_groups(group, edge):
                    content.add_group(lowered)
            for number in watched & edge.lports.keys():
                content.add_group(alive_group(edge.lports[number], edge))
            _add(contents, dpid, content)
    for ls in hv.logical_switches.values():
        for each in ls.retiring:
            contents[each.dpid].add_rule(each.rule)
    wired = {dpid for ls in hv.logical_switches.values() if ls.view.peers for dpid in ls.view.edges}
    for dpid in wired:
        _add(contents, dpid, crossings())
    for destination, datapaths in crossed.items():
        tree, index = fabric.tree_to(destination), fabric.destination_index(destination)
        for dpid in datapaths - {destination}:
            content = Content()
            for lowered in uplink_groups(tree, dpid, index):
                content.add_group(lowered)
            for rule in transit_rules(tree, dpid, index):
                content.add_rule(rule)
            for rule in label_rules(fabric.runs(destination), index, ways(fabric.topology.carriages, dpid)):
                content.add_rule(rule)
            _add(contents, dpid, content)
    return contents


def _add(contents: dict[Dpid, Content], dpid: Dpid, more: Content) -> None:
    content = contents.setdefault(dpid, Content())
    for rule in more.rules.values():
        content.add_rule(rule)
    for group in more.groups.values():
        content.add_group(group)
    for meter in more.meters.values():
        content.add_meter(meter)


def _entered(ls: LogicalSwitch, meter_id: int) -> set[Dpid]:
    """Where packets are decided upon that entries send through a meter: at home, or else where they can enter, which
    is anywhere, or where the in_port that the entries match is."""
    if ls.view.home is not None:
        return {ls.view.home}
    in_ports = {entry.match.in_port for entry in ls.tables.entries() if entry.instructions.meter == meter_id}
    if in_ports & {None, of13.OFPP_CONTROLLER}:
        return set(ls.view.edges)
    return {dpid for lport in ls.view.lports if lport.number in in_ports
            for dpid in ls.view.edges if ls.view.enters(lport, dpid)}
