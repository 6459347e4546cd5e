"""What a logical switch needs besides its entries, and what it keeps out."""
from __future__ import annotations

from dataclasses import replace

import pytest

from hvproxy.compiler.buckets import tenant_groups
from hvproxy.compiler.entries import rules_for
from hvproxy.compiler.lowering import Edge
from hvproxy.compiler.pipeline import base, placement, tag
from hvproxy.model.layout import (
    PACKET_OUT_FLAG, TENANT_MASK, GroupKind, RuleKind, Table, cookie, read_cookie,
)
from hvproxy.model.rules import Content, Group
from hvproxy.model.view import LogicalSwitchView, Lport, Transport, Vif
from hvproxy.openflow import actions
from hvproxy.openflow.constants import of13
from hvproxy.openflow.groups import bucket, walk_buckets
from hvproxy.openflow.instructions import Instructions, decode
from hvproxy.openflow.oxm import Match, tlv
from hvproxy.openflow.oxm_fields import NW_FRAG
from tests.compiler.placed import (
    CUT, DELIVER, FABRIC_PORT, FLOOD, FRAME, LAYOUT, LS_ID, TRANSPORT, VIEW, VIFS, AnEntry, a_group, edge, plane,
    sent, told,
)
from tests.packets import Plane, tagged

ALL_OUT = AnEntry(instructions=Instructions(apply=actions.output(of13.OFPP_FLOOD)))
TO_CONTROLLER = AnEntry(instructions=Instructions(apply=actions.output(of13.OFPP_CONTROLLER)))
DISCOVERY_MAC = 0x0180C2000055


def bare(content: Content) -> Plane:
    made = Plane()
    made.add_switch(1, (1, 2, 3))
    made.load(1, content.rules.values(), content.groups.values())
    return made


def test_a_datapath_of_no_logical_switch_passes_nothing_on_but_discovery_frames_to_the_controller() -> None:
    made = bare(base(1, frozenset((3,)), DISCOVERY_MAC))
    lldp = DISCOVERY_MAC.to_bytes(6, "big") + bytes(6) + b"\x88\xcc" + bytes(46)
    for port in (1, 2, 3):
        for vid in (None, 5):
            assert made.send(1, port, tagged(FRAME, vid)) == []
        assert told(made) == []
        assert made.send(1, port, lldp) == []
        packet, = told(made)
        assert (packet["in_port"], packet["cookie"], packet["data"]) == (port, cookie(0, RuleKind.DISCOVERY), lldp)


def test_classification_keeps_the_tenants_metadata_which_a_packet_out_to_the_tables_may_have_written() -> None:
    contents = placement(LAYOUT, VIEW, TRANSPORT)
    masks = [found.metadata[1] for content in contents.values() for rule in content.rules.values()
             if rule.table == Table.CLASSIFY and (found := decode(rule.instructions)).metadata is not None]
    assert masks and not any(mask & (TENANT_MASK | PACKET_OUT_FLAG) for mask in masks)
    assert all(mask | TENANT_MASK | PACKET_OUT_FLAG == (1 << 64) - 1 for mask in masks)


def test_without_discovery_nothing_is_sent_to_the_controller() -> None:
    made = bare(base(1, frozenset(), None))
    made.send(1, 1, DISCOVERY_MAC.to_bytes(6, "big") + bytes(6) + b"\x88\xcc" + bytes(46))
    assert told(made) == []


def test_every_rule_of_the_base_is_the_fabrics_own() -> None:
    for rule in base(1, frozenset((1, 2)), DISCOVERY_MAC).rules.values():
        owner = read_cookie(rule.cookie)
        assert owner is not None and owner[0] == 0


@pytest.mark.parametrize("number", VIFS)
def test_a_frame_is_known_by_its_port_and_tag_and_loses_the_tag_of_a_sub_port(number: int) -> None:
    made = plane(TO_CONTROLLER)
    assert sent(made, number) == {}
    packet, = told(made)
    assert isinstance(packet["metadata"], int)
    assert LAYOUT.read(packet["metadata"]) == (LS_ID, 10 + number, 0)
    assert packet["data"] == FRAME


@pytest.mark.parametrize("number", VIFS)
def test_fragments_are_dropped_where_they_enter_if_that_is_wanted(number: int) -> None:
    view = replace(VIEW, drops_fragments=True)
    others = set(VIFS) - {number}
    for dropped, kind, packet in ((False, 0x0800, ipv4(0)), (False, 0x0800, ipv4(0x4000)), (True, 0x0800, ipv4(0x2000)),
                                  (True, 0x0800, ipv4(5)), (False, 0x86DD, ipv6(0)), (True, 0x86DD, ipv6(1)),
                                  (True, 0x86DD, ipv6(0x28)), (False, 0x88B5, ipv4(5))):
        frame = FRAME[:12] + kind.to_bytes(2, "big") + packet
        assert sent(plane(ALL_OUT), number, frame) == dict.fromkeys(others, frame)
        assert sent(plane(ALL_OUT, view=view), number, frame) == ({} if dropped else dict.fromkeys(others, frame))
    assert view.shape == VIEW.shape


def test_a_switch_that_is_not_open_vswitch_is_not_told_of_fragments() -> None:
    plain = replace(VIEW, drops_fragments=True, plain=frozenset((1,)))
    held = {dpid: sum(tlv(NW_FRAG, 1, 1) in rule.match for rule in content.rules.values())
            for dpid, content in placement(LAYOUT, plain, TRANSPORT).items()}
    assert held == {1: 0, 2: 6}


def ipv4(fragment: int) -> bytes:
    return (bytes.fromhex("4500002e0001") + fragment.to_bytes(2, "big")
            + bytes.fromhex("401100000a0000010a000002") + bytes(26))


def ipv6(fragment: int) -> bytes:
    return (b"\x60\0\0\0\0\x22\x2c\x40" + bytes(32) + b"\x11\0" + fragment.to_bytes(2, "big") + bytes(4) + bytes(26))


@pytest.mark.parametrize("vid", [None, 0, 11, 30, *DELIVER.values(), *FLOOD.values()])
def test_on_a_port_of_sub_ports_other_tags_and_no_tag_belong_to_nobody(vid: int | None) -> None:
    made = plane(ALL_OUT)
    assert made.send(1, 3, tagged(FRAME, vid)) == []


@pytest.mark.parametrize("vid", [5, *DELIVER.values(), *FLOOD.values()])
def test_on_a_whole_port_a_tag_is_the_tenants_even_if_it_is_the_number_of_a_label(vid: int) -> None:
    frame = tagged(FRAME, vid, 3)
    assert sent(plane(ALL_OUT), 1, frame) == dict.fromkeys(set(VIFS) - {1}, frame)


def test_on_a_fabric_port_only_labels_of_the_fabric_are_taken() -> None:
    made = plane(ALL_OUT)
    made.peers.clear()
    for vid in (None, 0, 1, 10, 20, 99, 203, 4095):
        assert made.send(1, FABRIC_PORT, tagged(FRAME, vid)) == []
    assert made.send(1, FABRIC_PORT, tagged(FRAME, DELIVER[LS_ID, 12])) == [((1, 2), FRAME)]
    assert made.send(1, FABRIC_PORT, tagged(FRAME, DELIVER[LS_ID, 13])) == [((1, 3), tagged(FRAME, 10))]


def test_a_frame_for_another_edge_leaves_under_the_label_of_its_port_and_does_not_come_back_in() -> None:
    made = plane(AnEntry(instructions=Instructions(apply=actions.output(5))))
    made.peers.clear()
    labelled = tagged(FRAME, DELIVER[LS_ID, 15])
    assert made.send(1, 1, FRAME) == [((1, FABRIC_PORT), labelled)]
    assert made.send(1, FABRIC_PORT, labelled) == []


def test_a_flood_crosses_the_fabric_once_per_edge() -> None:
    made = plane(ALL_OUT)
    made.peers.clear()
    crossing = [frame for place, frame in made.send(1, 1, FRAME) if place[1] == FABRIC_PORT]
    assert crossing == [tagged(FRAME, FLOOD[LS_ID, 2])]
    arrived = made.send(2, FABRIC_PORT, crossing[0])
    assert sorted(arrived) == [((2, 1), FRAME), ((2, 2), tagged(FRAME, 10))]


@pytest.mark.parametrize("ingress", VIFS)
def test_an_edge_that_cannot_be_reached_gets_nothing_and_the_others_all(ingress: int) -> None:
    made = plane(ALL_OUT, transport=CUT)
    here = {number for number, vif in VIFS.items() if vif.dpid == VIFS[ingress].dpid}
    assert sent(made, ingress) == dict.fromkeys(here - {ingress}, FRAME)
    for number, vif in VIFS.items():
        made = plane(AnEntry(instructions=Instructions(apply=actions.output(number))), transport=CUT)
        reached = number != ingress and number in here
        assert sent(made, ingress) == ({number: FRAME} if reached else {})


def test_an_unbound_port_has_a_group_that_drops_so_that_entries_may_name_it() -> None:
    assert sent(plane(AnEntry(instructions=Instructions(apply=actions.output(7) + actions.output(2)))), 1) == {2: FRAME}


@pytest.mark.parametrize("ingress", VIFS)
@pytest.mark.parametrize("kind", [of13.OFPGT_ALL, of13.OFPGT_INDIRECT])
def test_a_tenants_group_sends_each_buckets_copy_with_its_own_changes(ingress: int, kind: int) -> None:
    rewrite = actions.set_field(tlv(of13.OFPXMT_OFB_ETH_DST, 0x0200000000FF))
    buckets = bucket(rewrite + actions.output(4))
    if kind == of13.OFPGT_ALL:
        buckets += bucket(actions.output(5)) + bucket(actions.push_vlan())
    made = plane(AnEntry(instructions=Instructions(apply=actions.group(3))), groups=[a_group(3, kind, buckets)])
    expected = {4: b"\x02\0\0\0\0\xff" + FRAME[6:]}
    if kind == of13.OFPGT_ALL:
        expected[5] = FRAME
    expected.pop(ingress, None)
    assert sent(made, ingress) == expected


def test_a_group_may_name_a_group_and_keeps_the_ingress_in_mind() -> None:
    groups = [a_group(1, of13.OFPGT_ALL, bucket(actions.output(of13.OFPP_FLOOD))),
              a_group(2, of13.OFPGT_INDIRECT, bucket(actions.group(1)))]
    made = plane(AnEntry(instructions=Instructions(write=actions.group(2))), groups=groups)
    for ingress in VIFS:
        assert sent(made, ingress) == dict.fromkeys(set(VIFS) - {ingress}, FRAME)


def all_groups() -> list[Group]:
    return [group for content in placement(LAYOUT, VIEW, TRANSPORT).values() for group in content.groups.values()]


def test_the_buckets_of_a_group_name_groups_of_smaller_ids_only() -> None:
    tenants = [a_group(1, of13.OFPGT_ALL, bucket(actions.output(of13.OFPP_FLOOD)) + bucket(actions.output(99)))]
    for group in all_groups() + [lowered for one in tenants for lowered in tenant_groups(one, edge(1, tenants))]:
        for each in walk_buckets(group.buckets):
            assert all(named < group.group_id for named in actions.groups(each.actions))


def test_every_group_is_of_a_kind_and_of_this_logical_switch() -> None:
    for group in all_groups():
        assert GroupKind(group.group_id >> 28) and group.group_id >> 16 & 0xFFF == LS_ID


def test_an_indirect_group_has_one_bucket_and_one_that_drops_is_of_type_all() -> None:
    for group in all_groups():
        buckets = len(walk_buckets(group.buckets))
        assert (group.type == of13.OFPGT_INDIRECT) == (buckets == 1) or group.type == of13.OFPGT_ALL


def test_a_logical_switch_on_one_edge_needs_no_label() -> None:
    view = LogicalSwitchView(LS_ID, (Lport(1, 1, Vif(1, 1)), Lport(2, 2, Vif(1, 2))))
    alone = Transport({1: 1}, {1: frozenset((1,))}, lambda a, b: frozenset((a,)), {}, {})
    contents = placement(LAYOUT, view, alone)
    assert set(contents) == {1}
    assert {rule.table for rule in contents[1].rules.values()} == {Table.CLASSIFY}


def test_datapaths_between_the_edges_hold_the_labels_and_nothing_else() -> None:
    between = Transport(TRANSPORT.destinations, TRANSPORT.reachable, lambda a, b: frozenset((a, 9, b)), DELIVER, FLOOD)
    content = placement(LAYOUT, VIEW, between)[9]
    assert not content.groups
    seen = {Match.from_tlvs(rule.match).get(of13.OFPXMT_OFB_VLAN_VID) for rule in content.rules.values()}
    bound = {DELIVER[LS_ID, lport.index] for lport in VIEW.lports if lport.vif is not None}
    assert seen == {(0x1000 | vid, None) for vid in bound | set(FLOOD.values())}
    assert {rule.table for rule in content.rules.values()} == {Table.LABEL}


def test_the_tag_of_a_sub_port_is_pushed_and_a_whole_port_has_none() -> None:
    assert tag(Vif(1, 1)) == b""
    assert tag(Vif(1, 1, 7)) == actions.push_vlan() + actions.set_vlan_vid(7)


@pytest.mark.parametrize("config", [{"receives": False}, {"down": True}])
def test_frames_that_a_sub_port_does_not_take_are_not_the_whole_ports(config: dict[str, bool]) -> None:
    view = LogicalSwitchView(LS_ID, (Lport(1, 1, Vif(1, 3), True), Lport(2, 2, Vif(1, 3, 10), True, **config)))
    content = placement(LAYOUT, view, Transport({1: 1}, {1: frozenset((1,))}, lambda a, b: frozenset(), {}, {}))[1]
    for rule in rules_for(TO_CONTROLLER, Edge(LAYOUT, view, 1, {})):
        content.add_rule(rule)
    made = bare(content)
    made.send(1, 3, tagged(FRAME, 10))
    assert told(made) == []
    made.send(1, 3, FRAME)
    packet, = told(made)
    assert isinstance(packet["metadata"], int) and LAYOUT.read(packet["metadata"])[1] == 1


AT_HOME = replace(VIEW, home=1, resubmits=True)
HOMEWARD = replace(TRANSPORT, resume={(LS_ID, lport.index): 300 + lport.number for lport in AT_HOME.away})


@pytest.mark.parametrize("port", [of13.OFPP_FLOOD, of13.OFPP_IN_PORT, 1, 3, 5, 6])
@pytest.mark.parametrize("number", VIFS)
def test_what_is_decided_at_home_goes_where_it_would_go_from_the_edge_where_it_entered(port: int, number: int) -> None:
    entry = AnEntry(instructions=Instructions(apply=actions.output(port)))
    before = sent(plane(entry), number)
    assert sent(plane(entry, view=AT_HOME, transport=HOMEWARD), number) == before, "the home is being made ready"
    made = plane(entry, view=replace(AT_HOME, resumes=True), transport=HOMEWARD)
    assert sent(made, number) == before


def test_frames_are_decided_upon_at_home_alone_once_they_come_there() -> None:
    told_at_home = plane(TO_CONTROLLER, view=replace(AT_HOME, resumes=True), transport=HOMEWARD)
    ready = plane(TO_CONTROLLER, view=AT_HOME, transport=HOMEWARD)
    for number, vif in VIFS.items():
        for made, dpid in ((told_at_home, 1), (ready, vif.dpid)):
            assert sent(made, number) == {}
            assert [where for where, _ in made.packet_ins()] == [dpid]


def test_without_a_label_or_a_way_nothing_comes_home() -> None:
    away = replace(AT_HOME, resumes=True)
    for transport in (TRANSPORT, replace(HOMEWARD, reachable=CUT.reachable)):
        made = plane(ALL_OUT, view=away, transport=transport)
        for number in (5, 6):
            assert sent(made, number) == {}


def test_without_a_home_a_logical_switch_has_what_it_would_have_if_there_were_no_homes() -> None:
    for content in placement(LAYOUT, VIEW, TRANSPORT).values():
        assert GroupKind.AGAIN not in {group_id >> 28 for group_id in content.groups}
        assert {rule.table for rule in content.rules.values()} <= {Table.CLASSIFY, Table.LABEL, Table.EGRESS}
