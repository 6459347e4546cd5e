"""The parts of the fabric: who holds what for which placement, and where paths and labels come from."""
from __future__ import annotations

from dataclasses import replace

import pytest

from hvproxy.errors import Exhausted
from hvproxy.hypervisor.fabric import RESUME, Fabric, labels_needed, links_between
from hvproxy.hypervisor.labels import DRAIN
from hvproxy.model.layout import ContextLayout, Table
from hvproxy.model.view import Link, LogicalSwitchView, Lport, Vif
from hvproxy.openflow.constants import of13
from hvproxy.openflow.oxm import tlv

RING = [Link(1, 1, 2, 1), Link(2, 2, 3, 1), Link(3, 2, 4, 1), Link(1, 2, 4, 2)]


def a_fabric(links: list[Link] | None = None, last_vid: int = 100) -> Fabric:
    fabric = Fabric(ContextLayout(), 2, last_vid, None)
    fabric.set_links(RING if links is None else links)
    return fabric


def view(*dpids: int, ls_id: int = 1) -> LogicalSwitchView:
    """One lport on each of the datapaths, on port 10 and further."""
    return LogicalSwitchView(ls_id, tuple(
        Lport(number, number, Vif(dpid, 10 + 100 * ls_id + number)) for number, dpid in enumerate(dpids, 1)))


def test_paths_are_known_both_ways_and_where_there_are_none() -> None:
    fabric = a_fabric([*RING, Link(8, 1, 9, 1)])
    assert fabric.reaches(1, 3) and fabric.reaches(3, 1) and fabric.reaches(7, 7)
    assert not fabric.reaches(1, 8) and not fabric.reaches(8, 1)


def test_a_frame_may_cross_what_one_failure_makes_it_cross() -> None:
    assert a_fabric().crossed(1, 2) == {1, 2, 3, 4}
    assert a_fabric(RING[:3]).crossed(1, 2) == {1, 2}


def test_an_edge_keeps_its_index_for_good() -> None:
    fabric = a_fabric()
    indexes = [fabric.destination_index(dpid) for dpid in (3, 1, 3)]
    fabric.set_links([])
    assert [fabric.destination_index(dpid) for dpid in (3, 1, 3)] == indexes
    assert indexes[0] == indexes[2] != indexes[1]


def test_the_ends_of_links_are_fabric_ports() -> None:
    fabric = a_fabric()
    assert fabric.fabric_ports(4) == {1, 2} and fabric.fabric_ports(9) == frozenset()


def test_base_content_is_a_part_of_its_own_for_each_datapath() -> None:
    parts = a_fabric().base([1, 9])
    assert parts.keys() == {("base", 1), ("base", 9)}
    assert parts["base", 1].keys() == {1}


def test_a_placement_is_on_its_edges_and_on_the_way_between_them_only() -> None:
    fabric = a_fabric(RING[:3])  # a line 1 2 3 4
    parts = fabric.place(view(1, 3), 0.0)
    assert parts["place", 1].keys() == {1, 2, 3}
    assert {key[0] for key in parts["place", 1][2].rules} == {Table.LABEL}
    assert parts["uplink", 3].keys() == {1, 2} and parts["uplink", 1].keys() == {2, 3}


def test_a_logical_switch_on_one_edge_needs_no_label_and_no_way() -> None:
    fabric = a_fabric()
    parts = fabric.place(view(1, 1, 1), 0.0)
    assert parts.keys() == {("place", 1)} and parts["place", 1].keys() == {1}
    assert not fabric.labels.used


def test_labels_are_one_for_each_port_and_one_for_each_edge() -> None:
    fabric = a_fabric()
    fabric.place(view(1, 1, 3), 0.0)
    assert len(fabric.labels.used) == 3 + 2 == labels_needed([1, 1, 3])
    assert labels_needed([1, 1, 1]) == labels_needed([]) == 0


def test_a_port_that_moves_keeps_its_label() -> None:
    fabric = a_fabric()
    fabric.place(view(1, 3), 0.0)
    before = fabric.labels.used["deliver", 1, 2]
    fabric.place(view(1, 4), 1.0)
    assert fabric.labels.used["deliver", 1, 2] == before
    assert ("flood", 1, 3) not in fabric.labels.used and ("flood", 1, 4) in fabric.labels.used


def rules_on_the_way(fabric: Fabric, switches: int) -> int:
    """How many rules datapath 2 holds in table 1, between the edges of so many logical switches."""
    held: dict[object, int] = {}
    for ls_id in range(1, switches + 1):
        for part, contents in fabric.place(view(1, 3, 3, ls_id=ls_id), 0.0).items():
            held[part] = sum(key[0] == Table.LABEL for key in contents[2].rules) if 2 in contents else 0
    return sum(held.values())


def test_what_is_on_the_way_has_one_rule_for_all_labels_of_a_block() -> None:
    def line() -> Fabric:
        fabric = Fabric(ContextLayout(), 16, 4079, None)
        fabric.set_links(RING[:3])
        return fabric

    assert rules_on_the_way(line(), 1) == rules_on_the_way(line(), 3) == 2
    assert rules_on_the_way(line(), 300) <= 2 * 7, "1 500 labels in a few runs of blocks"
    assert rules_on_the_way(a_fabric(RING[:3], 20), 2) == 10, "of labels that are in no block each has its own"


def test_a_label_that_leads_elsewhere_than_its_block_has_a_rule_above() -> None:
    fabric = Fabric(ContextLayout(), 16, 4079, None)
    fabric.set_links(RING)
    fabric.place(view(1, 3), 0.0)
    label = fabric.labels.used["deliver", 1, 2]
    parts = fabric.place(view(1, 4), 1.0)
    assert fabric.labels.used["deliver", 1, 2] == label and fabric.labels.blocks.owner(label) == 3
    (rule,) = [rule for rule in parts["place", 1][2].rules.values() if rule.table == Table.LABEL]
    (run,) = [rule for rule in parts["uplink", 4][2].rules.values() if rule.table == Table.LABEL]
    assert rule.instructions == run.instructions and rule.priority > run.priority


def test_two_logical_switches_never_share_a_label() -> None:
    fabric = a_fabric()
    fabric.place(view(1, 3), 0.0)
    fabric.place(view(1, 3, ls_id=2), 0.0)
    assert len(set(fabric.labels.used.values())) == len(fabric.labels.used) == 8


def test_without_room_nothing_changes() -> None:
    fabric = a_fabric(last_vid=6)
    fabric.place(view(1, 3), 0.0)
    used, placed = dict(fabric.labels.used), dict(fabric.placed)
    assert not fabric.room(view(2, 4, ls_id=2))
    with pytest.raises(Exhausted) as error:
        fabric.place(view(2, 4, ls_id=2), 0.0)
    assert error.value.status == 507
    assert (fabric.labels.used, fabric.placed) == (used, placed)
    assert fabric.room(view(1, 3))


def test_labels_given_back_rest_before_they_make_room() -> None:
    fabric = a_fabric(last_vid=5)
    fabric.place(view(1, 3), 0.0)
    fabric.place(view(), 10.0)
    assert not fabric.room(view(2, 4, ls_id=2))
    fabric.labels.tick(10.0 + DRAIN)
    assert fabric.room(view(2, 4, ls_id=2))


def test_removing_a_placement_removes_ways_that_nobody_else_needs() -> None:
    fabric = a_fabric()
    fabric.place(view(1, 3), 0.0)
    fabric.place(view(2, 3, ls_id=2), 0.0)
    parts = fabric.place(view(), 1.0)
    assert parts["place", 1] == {}
    assert parts["uplink", 1] == {}
    assert ("uplink", 3) not in parts, "the other one needs just the same"


def test_equal_links_change_nothing() -> None:
    fabric = a_fabric()
    fabric.place(view(1, 3), 0.0)
    assert fabric.set_links(reversed(RING)) == ({}, set())


def test_a_lost_link_changes_base_ways_and_placements() -> None:
    fabric = a_fabric()
    fabric.place(view(1, 3), 0.0)
    parts = fabric.set_links(RING[:3])[0]
    assert {("base", 1), ("base", 4), ("place", 1), ("uplink", 1), ("uplink", 3)} <= parts.keys()
    assert parts["uplink", 3].keys() == {1, 2}
    assert 4 not in parts["place", 1]


def test_a_lost_link_shakes_only_the_logical_switches_whose_edges_it_parts() -> None:
    fabric = Fabric(ContextLayout(), 16, 4079, None)
    fabric.set_links(RING + [Link(5, 1, 6, 1)])
    for ls_id, edges in enumerate(((1, 3), (2, 4), (5, 6)), 1):
        fabric.place(view(*edges, ls_id=ls_id), 0.0)
    parts, shaken = fabric.set_links(RING[1:] + [Link(5, 1, 6, 1)])
    assert shaken == set() and not [part for part in parts if part[0] == "place"]  # type: ignore[index]
    parts, shaken = fabric.set_links(RING[1:])
    assert shaken == {3} and ("place", 3) in parts and ("base", 1) not in parts


def test_links_between_have_both_ends_up() -> None:
    up = {(1, 1): True, (2, 1): True, (2, 2): True, (3, 1): False}
    assert links_between(RING[:2], up) == {RING[0]}


def test_what_comes_to_a_home_has_labels_of_its_own_for_each_port_elsewhere() -> None:
    fabric = a_fabric()
    fabric.place(view(1, 2, 2), 0.0)
    assert not any(key[0] == RESUME for key in fabric.labels.used)
    at_home = replace(view(1, 2, 2), home=1)
    parts = fabric.place(at_home, 0.0)
    labels = fabric.transport(at_home).resume
    assert labels.keys() == {(1, 2), (1, 3)} and len({*labels.values(), *fabric.labels.used.values()}) == len(
        fabric.labels.used)
    taken = {key[2] for key in parts["place", 1][1].rules if key[0] == Table.LABEL}
    assert taken >= {tlv(of13.OFPXMT_OFB_VLAN_VID, label | 0x1000) for label in labels.values()}
    moved = fabric.transport(replace(view(1, 2, 2), home=2))
    assert not moved.resume, "what leads to one home never comes to another under the same label"
