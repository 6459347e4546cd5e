"""What a logical switch needs on every datapath besides its entries: classification, its ports' groups, its labels.

Pure: (logical switch view, transport) -> content per datapath. Knows nothing of sessions.
"""
from __future__ import annotations

from hvproxy.compiler import broadcast, egress, reflection
from hvproxy.compiler.lowering import Edge, on_one_port
from hvproxy.compiler.transit import fits, has_label, label_rule_on_the_way, put_label, ways
from hvproxy.compiler.wires import SPANNING_TREE, crossing, entering
from hvproxy.model.layout import (
    FRAGMENT, GUARD, PACKET_OUT_FLAG, PLACE, SHARED_FLAG, TENANT_MASK, ContextLayout, GroupKind, RuleKind,
    Table, cookie, destination_group_id,
)
from hvproxy.model.rules import Content, Group, Rule
from hvproxy.model.view import Carriage, Dpid, LogicalSwitchView, Lport, Transport, Vif
from hvproxy.openflow import actions, nicira
from hvproxy.openflow.constants import of13
from hvproxy.openflow.groups import bucket
from hvproxy.openflow.instructions import Instructions, build
from hvproxy.openflow.nicira_parts import NXM_IN_PORT
from hvproxy.openflow.oxm import metadata_tlv, tlv
from hvproxy.openflow.oxm_fields import ETH_TYPE_LLDP, IP_ETH_TYPES, NW_FRAG

DISCOVERY_PRIORITY = 400
GUARDED_PRIORITY = 350
SUBPORT_PRIORITY = 300
ACCESS_PRIORITY = 200
FABRIC_PRIORITY = 100
DROP_PRIORITY = 1
"""Above a switch's own priority 0 rule, such as Open vSwitch's NORMAL: unknown frames must never be switched."""
_IS_FRAGMENT = tlv(NW_FRAG, 1, 1)
CLASSIFIED = 0xFFFFFFFFFFFFFFFF & ~TENANT_MASK & ~PACKET_OUT_FLAG
"""The bits of the metadata that classification writes. The tenant's are 0 in what a port has received, and in a
packet-out to TABLE they are what its actions before that have written."""


def instructions(*, apply: bytes = b"", goto: int | None = None, metadata: tuple[int, int] | None = None) -> bytes:
    """Wire bytes of the instructions of an infrastructure rule."""
    return build(Instructions(goto=goto, metadata=metadata, apply=apply, write=b"", clear=False, meter=None))


def base(
    dpid: Dpid, fabric_ports: frozenset[int], discovery_mac: int | None, tunnel_ports: frozenset[int] = frozenset(),
) -> Content:
    """What a datapath holds whatever the tenants do: the frame of table 0 and the ends of tables 1 and 5. The tunnel
    ports are among the fabric ports."""
    content = Content()
    if discovery_mac is not None:
        # Of every port: a discovery frame at a bound port is an alarm, and never tenant traffic.
        content.add_rule(Rule(
            Table.CLASSIFY, DISCOVERY_PRIORITY,
            tlv(of13.OFPXMT_OFB_ETH_DST, discovery_mac) + tlv(of13.OFPXMT_OFB_ETH_TYPE, ETH_TYPE_LLDP),
            instructions(apply=actions.output(of13.OFPP_CONTROLLER, of13.OFPCML_NO_BUFFER)),
            cookie(0, RuleKind.DISCOVERY)))
        if fabric_ports - tunnel_ports:
            for rule in reflection.rules(dpid, discovery_mac):
                content.add_rule(rule)
    for port_no in sorted(fabric_ports):
        content.add_rule(Rule(Table.CLASSIFY, FABRIC_PRIORITY, tlv(of13.OFPXMT_OFB_IN_PORT, port_no),
                              instructions(goto=Table.TUNNEL if port_no in tunnel_ports else Table.LABEL),
                              cookie(0, RuleKind.FABRIC_PORT)))
    # A packet-out of ours that runs the pipeline has its context in the metadata already.
    content.add_rule(Rule(Table.CLASSIFY, FABRIC_PRIORITY, tlv(of13.OFPXMT_OFB_IN_PORT, of13.OFPP_CONTROLLER),
                          instructions(goto=Table.LOGICAL), cookie(0, RuleKind.INJECT)))
    for table in (Table.CLASSIFY, Table.LABEL, *((Table.TUNNEL,) if tunnel_ports else ())):
        content.add_rule(Rule(table, DROP_PRIORITY, b"", b"", cookie(0, RuleKind.FOREIGN)))
    return content


def placement(
    layout: ContextLayout,
    logical_switch: LogicalSwitchView,
    transport: Transport,
) -> dict[Dpid, Content]:
    """What places one logical switch on the fabric: on its edges, and on the datapaths between them."""
    edges = logical_switch.edges
    contents = {dpid: Content() for dpid in edges}
    for dpid in edges:
        edge = Edge(layout, logical_switch, dpid, {})
        _classify(contents[dpid], edge, transport)
        for rule in entering(edge):
            contents[dpid].add_rule(rule)
        if logical_switch.drops_fragments and not edge.plain:
            _drop_fragments(contents[dpid], edge)
        _groups(contents[dpid], edge, transport)
        _arriving_labels(contents[dpid], edge, transport)
        if edge.is_home:
            _come_home(contents[dpid], edge, transport)
    if len(edges) > 1:
        _labels_on_the_way(contents, logical_switch, transport)
    return contents


def _classify(content: Content, edge: Edge, transport: Transport) -> None:
    layout, ls_id = edge.layout, edge.logical_switch.ls_id
    for lport, vif in edge.logical_switch.entering(edge.dpid):
        context = layout.context(ls_id, lport.index) | (SHARED_FLAG if lport.number in edge.apart else 0)
        arriving = tlv(of13.OFPXMT_OFB_IN_PORT, vif.port_no)
        tagged, priority, pop = b"", ACCESS_PRIORITY, b""
        if vif.vlan is not None:
            tagged = tlv(of13.OFPXMT_OFB_VLAN_VID, of13.OFPVID_PRESENT | vif.vlan)
            priority, pop = SUBPORT_PRIORITY, actions.pop_vlan()
        if vif == lport.former and lport.vif is not None and not lport.crosses:
            # As if it had come in at the new place, so that the switch itself sends it to neither.
            pop += nicira.load(0, 16, NXM_IN_PORT, lport.vif.port_no)
        enter = instructions(apply=pop, metadata=(context, CLASSIFIED), goto=Table.LOGICAL)
        if edge.logical_switch.resumes and not edge.is_home:
            enter = instructions(apply=pop + _sent_home(edge, lport, transport))
        owner = cookie(ls_id, PLACE | lport.index)
        taken = lport.receives and not lport.down
        # A rule that drops: without one, the frames of a sub-port would pass for those of the whole port.
        content.add_rule(Rule(Table.CLASSIFY, priority, arriving + tagged, enter if taken else b"", owner))
        if not taken and (lport.shared or not lport.down):
            # Packet-outs enter through a port that is down. Of one that is not shared they do not come from its
            # physical port, where the switch would carry out an IN_PORT (hypervisor.packets).
            but = metadata_tlv(PACKET_OUT_FLAG, PACKET_OUT_FLAG) if lport.down else SPANNING_TREE
            content.add_rule(Rule(Table.CLASSIFY, priority + 1, arriving + but + tagged, enter, owner))
        if lport.claimed and vif == lport.vif:
            # A packet-out as from there is its own under any tag, and is never taken for another VIF's.
            # It is not among what has been received there.
            content.add_rule(Rule(Table.CLASSIFY, GUARDED_PRIORITY, arriving + _packet_out_of(edge, lport), enter,
                                  cookie(ls_id, GUARD | lport.index)))


def _packet_out_of(edge: Edge, lport: Lport) -> bytes:
    layout = edge.layout
    return metadata_tlv(layout.context(edge.logical_switch.ls_id, lport.index) | PACKET_OUT_FLAG,
                        layout.logical_switch_mask | layout.lport_mask | PACKET_OUT_FLAG)


def _drop_fragments(content: Content, edge: Edge) -> None:
    """What Open vSwitch does by its own setting, which tenants share, before it looks a packet up in any table."""
    layout, ls_id = edge.layout, edge.logical_switch.ls_id

    def drop(priority: int, where: bytes, vlan: bytes, metadata: bytes, index: int) -> None:
        for eth_type in sorted(IP_ETH_TYPES):
            match = where + metadata + tlv(of13.OFPXMT_OFB_ETH_TYPE, eth_type) + vlan + _IS_FRAGMENT
            content.add_rule(Rule(Table.CLASSIFY, priority, match, b"", cookie(ls_id, FRAGMENT | index)))

    for lport, vif in edge.logical_switch.entering(edge.dpid):
        # Above the rules that classify; those of a port that is down drop without counting a look-up.
        vlan = b"" if vif.vlan is None else tlv(
            of13.OFPXMT_OFB_VLAN_VID, of13.OFPVID_PRESENT | vif.vlan)
        if not lport.down or lport.shared:
            drop((SUBPORT_PRIORITY if vlan else ACCESS_PRIORITY) + 2,
                 tlv(of13.OFPXMT_OFB_IN_PORT, vif.port_no), vlan,
                 metadata_tlv(PACKET_OUT_FLAG, PACKET_OUT_FLAG) if lport.down else b"", lport.index)
        if lport.claimed and vif == lport.vif:
            drop(GUARDED_PRIORITY + 1, tlv(of13.OFPXMT_OFB_IN_PORT, vif.port_no), b"", _packet_out_of(edge, lport), 0)
    # Packet-outs that do not come from the physical port of their in_port.
    drop(FABRIC_PRIORITY + 1, tlv(of13.OFPXMT_OFB_IN_PORT, of13.OFPP_CONTROLLER), b"",
         metadata_tlv(layout.context(ls_id), layout.logical_switch_mask), 0)


def _groups(content: Content, edge: Edge, transport: Transport) -> None:
    lports = edge.logical_switch.lports
    local = edge.logical_switch.at(edge.dpid)
    content.add_group(_nowhere(edge.group_id(GroupKind.NOWHERE)))
    content.add_group(_indirect(edge.group_id(GroupKind.CONTROLLER),
                                actions.output(of13.OFPP_CONTROLLER, of13.OFPCML_NO_BUFFER)))
    content.add_group(_indirect(edge.group_id(GroupKind.HAIRPIN), actions.output(of13.OFPP_IN_PORT)))
    if not edge.plain:
        content.add_group(_indirect(edge.group_id(GroupKind.NORMAL), actions.resubmit(Table.LEARN)))
    for lport in lports:
        if not lport.claimed:
            content.add_group(_lport_group(edge.group_id(GroupKind.LPORT, lport.index), lport, edge, transport))
            continue
        guarded = edge.group_id(GroupKind.LPORT, lport.index)
        content.add_group(_nowhere(guarded) if edge.plain else _indirect(guarded, egress.look(edge, lport)))
        content.add_group(_lport_group(egress.passed(edge, lport), lport, edge, transport))
        if not edge.plain:
            for rule in egress.rules(edge, lport):
                content.add_rule(rule)
    for lport in edge.shared:
        content.add_group(_hairpin_group(lport, edge, transport))
    remote = {dpid: _copies(dpid, edge, transport) for dpid in sorted(edge.logical_switch.bound)
              if dpid != edge.dpid and dpid in transport.reachable[edge.dpid]}
    here = [bucket(_to_lport(edge, lport, None)) for lport in local]
    across = {lport.index: bucket(crossing(lport, edge.layout)) for lport in edge.logical_switch.peers if lport.sends}
    floods = broadcast.groups(edge, None, b"".join([*here, *remote.values(), *across.values()]))
    now = [bucket(_arrived(edge, lport, lport.vif)) for lport in local]
    content.add_group(Group(_flood_arrived(edge), of13.OFPGT_ALL, b"".join(now)))
    if edge.dpid in edge.logical_switch.in_motion:
        before = [bucket(_arrived(edge, lport, vif)) for lport, vif in edge.logical_switch.entering(edge.dpid)
                  if not lport.crosses or vif == lport.former]
        content.add_group(Group(_flood_arrived(edge, former=True), of13.OFPGT_ALL, b"".join(before)))
    for ingress in edge.shared:
        others = [lport for lport in local if lport != ingress]
        away = dict(remote)
        if ingress.vif is not None and away.pop(ingress.vif.dpid, None) is not None:
            # It has moved there: a flood under the edge's label would come back to its host.
            others += [lport for lport in edge.logical_switch.at(ingress.vif.dpid) if lport != ingress]
        floods += broadcast.groups(edge, ingress, b"".join(
            [*(bucket(_to_lport(edge, lport, ingress)) for lport in others), *away.values(),
             *(each for index, each in across.items() if index != ingress.index)]))
    for group in floods:
        content.add_group(group)
    for rule in broadcast.rules(edge):
        content.add_rule(rule)


def _copies(dpid: Dpid, edge: Edge, transport: Transport) -> bytes:
    """The buckets that flood to another edge: one, for that edge to replicate; one for each lport there where one of
    them is guarded, for that edge could not see the tenant's tag."""
    there = edge.logical_switch.at(dpid)
    if any(lport.claimed for lport in there):
        return b"".join(bucket(_to_lport(edge, lport, None)) for lport in there)
    return bucket(_labelled(transport.flood[edge.logical_switch.ls_id, dpid], dpid, edge, transport))


def _hairpin_group(lport: Lport, edge: Edge, transport: Transport) -> Group:
    """What sends a frame of a shared ingress lport back, or to another lport of its physical port."""
    group_id = edge.group_id(GroupKind.HAIRPIN, lport.index)
    if lport.peer is not None:
        return _across(group_id, lport, edge)
    if not lport.sends or lport.claimed and edge.plain:
        return _nowhere(group_id)
    if lport.claimed:
        return _indirect(group_id, egress.look(edge, lport, back=True))
    if lport not in edge.logical_switch.away:
        assert lport.vif is not None
        return _indirect(group_id, tag(lport.vif) + actions.output(of13.OFPP_IN_PORT))
    # At home: the frame has come from another edge, or from either place of an lport that moves.
    return _lport_group(group_id, lport, edge, transport, nicira.load(0, 16, NXM_IN_PORT, 0))


def _lport_group(group_id: int, lport: Lport, edge: Edge, transport: Transport, before: bytes = b"") -> Group:
    if lport.peer is not None:
        return _across(group_id, lport, edge)
    if lport.vif is None or not lport.sends:
        return _nowhere(group_id)
    if lport.vif.dpid == edge.dpid:
        return _indirect(group_id, before + tag(lport.vif) + actions.output(lport.vif.port_no))
    if lport.vif.dpid not in transport.reachable[edge.dpid]:
        return _nowhere(group_id)
    label = transport.deliver[edge.logical_switch.ls_id, lport.index]
    return _indirect(group_id, _labelled(label, lport.vif.dpid, edge, transport))


def _arriving_labels(content: Content, edge: Edge, transport: Transport) -> None:
    ls_id = edge.logical_switch.ls_id
    for carriage in ways(transport.carriages, edge.dpid):
        for floods, former in ((transport.flood, False), (transport.former_flood, True)):
            flood = floods.get((ls_id, edge.dpid))
            if flood is not None and fits(flood, carriage):
                content.add_rule(_arriving(flood, carriage, actions.group(_flood_arrived(edge, former)),
                                           cookie(ls_id, PLACE)))
        for lport, vif in edge.logical_switch.entering(edge.dpid):
            if vif != lport.vif and not lport.crosses:
                continue
            delivers = transport.deliver if vif == lport.vif else transport.former_deliver
            label = delivers.get((ls_id, lport.index))
            if label is not None and fits(label, carriage):
                content.add_rule(_arriving(label, carriage, _arrived(edge, lport, vif),
                                           cookie(ls_id, PLACE | lport.index)))


def _sent_home(edge: Edge, lport: Lport, transport: Transport) -> bytes:
    """What sends a frame that has entered here to the home; none where there is no way."""
    view = edge.logical_switch
    label = transport.resume.get((view.ls_id, lport.index))
    if label is None or view.home is None or view.home not in transport.reachable[edge.dpid]:
        return b""
    return _labelled(label, view.home, edge, transport)


def _come_home(content: Content, edge: Edge, transport: Transport) -> None:
    """Where frames that have entered elsewhere go on, as if they had come in here.

    Nothing is to come back to the physical port for that alone. A frame whose label was a tag is taken up anew without
    it: now its own can be read, and it is counted without ours.
    """
    view = edge.logical_switch
    again = edge.group_id(GroupKind.AGAIN)
    nowhere = nicira.load(0, 16, NXM_IN_PORT, 0)
    content.add_group(Group(again, of13.OFPGT_SELECT, bucket(nowhere, 1)))
    unlabelled = {
        Carriage.VLAN: actions.pop_vlan() + nowhere + actions.group(again),
        Carriage.TUNNEL: actions.set_field(tlv(of13.OFPXMT_OFB_TUNNEL_ID, 0)) + nowhere,
    }
    for lport in view.away:
        context = edge.layout.context(view.ls_id, lport.index) | SHARED_FLAG
        label = transport.resume.get((view.ls_id, lport.index))
        for carriage in ways(transport.carriages, edge.dpid):
            if label is not None and fits(label, carriage):
                content.add_rule(Rule(
                    Table.LABEL if carriage is Carriage.VLAN else Table.TUNNEL, FABRIC_PRIORITY,
                    has_label(label, carriage),
                    instructions(apply=unlabelled[carriage], metadata=(context, CLASSIFIED), goto=Table.LOGICAL),
                    cookie(view.ls_id, PLACE | lport.index)))


def _flood_arrived(edge: Edge, former: bool = False) -> int:
    """The group of floods under one of the two labels of an edge; another one while the edge is in motion, so that a
    group changes its meaning only while no rule leads to it."""
    view = edge.logical_switch
    turned = (edge.dpid in view.turned) != former
    return edge.group_id(GroupKind.FLOOD_ARRIVED, turned | (edge.dpid in view.in_motion) << 1)


def _arrived(edge: Edge, lport: Lport, vif: Vif | None) -> bytes:
    """What delivers a frame that has come from another edge. Of an lport that moves this is not its group, which may
    lead to the other place already, or still."""
    if lport.crosses and lport.sends and vif is not None:
        return actions.output(vif.port_no)
    # What is guarded has been looked at where it was sent; its tag is not to be seen any more.
    return actions.group(egress.passed(edge, lport)) if lport.claimed else _to_lport(edge, lport, None)


def _arriving(label: int, carriage: Carriage, deliver: bytes, rule_cookie: int) -> Rule:
    table, pop = (Table.LABEL, actions.pop_vlan()) if carriage is Carriage.VLAN else (Table.TUNNEL, b"")
    return Rule(table, FABRIC_PRIORITY, has_label(label, carriage), instructions(apply=pop + deliver),
                rule_cookie)


def _labels_on_the_way(
    contents: dict[Dpid, Content], logical_switch: LogicalSwitchView, transport: Transport
) -> None:
    ls_id, edges = logical_switch.ls_id, logical_switch.edges
    for destination in sorted(logical_switch.reached):
        labels = [transport.flood[ls_id, destination]] if destination in logical_switch.bound else []
        labels += [transport.deliver[ls_id, lport.index] for lport in logical_switch.at(destination)]
        if destination == logical_switch.home:
            labels += [label for lport in logical_switch.away
                       if (label := transport.resume.get((ls_id, lport.index))) is not None]
        if destination in logical_switch.in_motion:
            labels.append(transport.former_flood[ls_id, destination])
            labels += [transport.former_deliver[ls_id, lport.index] for lport, vif in
                       logical_switch.entering(destination) if lport.crosses and vif == lport.former]
        rules = {carriage: [label_rule_on_the_way(label, transport.destinations[destination], carriage)
                            for label in labels if fits(label, carriage) and not transport.led(label, destination)]
                 for carriage in Carriage}
        if not any(rules.values()):
            continue
        crossed: set[Dpid] = set()
        for source in edges:
            if source != destination and destination in transport.reachable[source]:
                crossed |= transport.visited(source, destination)
        for dpid in crossed - {destination}:
            content = contents.setdefault(dpid, Content())
            for carriage in ways(transport.carriages, dpid):
                for rule in rules[carriage]:
                    content.add_rule(rule)


def tag(vif: Vif) -> bytes:
    """The actions that put on the VLAN tag of a sub-port, none for a whole port."""
    if vif.vlan is None:
        return b""
    return actions.push_vlan() + actions.set_vlan_vid(vif.vlan)


def _labelled(label: int, destination: Dpid, edge: Edge, transport: Transport) -> bytes:
    # An edge with tunnels sends all its frames the tunnels' way: those that go over none get their tag at last.
    carriage = ways(transport.carriages, edge.dpid)[-1]
    return put_label(label, carriage) + actions.group(
        destination_group_id(GroupKind.UPLINK, transport.destinations[destination], carriage))


def _to_lport(edge: Edge, lport: Lport, ingress: Lport | None) -> bytes:
    kind = GroupKind.HAIRPIN if ingress is not None and on_one_port(ingress, lport) else GroupKind.LPORT
    return actions.group(edge.group_id(kind, lport.index))


def _across(group_id: int, lport: Lport, edge: Edge) -> Group:
    """The group of an lport that is wired to another."""
    return _indirect(group_id, crossing(lport, edge.layout)) if lport.sends else _nowhere(group_id)


def _indirect(group_id: int, bucket_actions: bytes) -> Group:
    return Group(group_id, of13.OFPGT_INDIRECT, bucket(bucket_actions))


def _nowhere(group_id: int) -> Group:
    """A group that drops: Open vSwitch wants a bucket in INDIRECT, none in ALL."""
    return Group(group_id, of13.OFPGT_ALL, b"")
