"""Fabrics in which labels are tags on some links and keys of tunnels on others: frames arrive as they were sent."""
from __future__ import annotations

from random import Random

import networkx as nx
import pytest

from hvproxy.errors import Exhausted
from hvproxy.model.layout import LAST_VID, GroupKind, Table
from hvproxy.model.view import Carriage, Link, LogicalSwitchView, Lport, Vif
from hvproxy.openflow import actions
from hvproxy.openflow.constants import of13
from hvproxy.openflow.groups import walk_buckets
from tests.compiler.test_paths import links_of
from tests.hypervisor.mixed import FRAME, HOST_PORT, LS_ID, Mixed, edge_of
from tests.packets import tagged

VLAN, TUNNEL = Carriage.VLAN, Carriage.TUNNEL
ISLANDS = [Link(1, 1, 9, 1), Link(2, 1, 9, 2), Link(3, 1, 4, 1), Link(2, 50, 3, 50, TUNNEL), Link(1, 50, 4, 50, TUNNEL)]
"""1 - 9 - 2 and 3 - 4 are joined by VLAN links, with tunnels 2 = 3 and 1 = 4 between them."""


def mixed(links: list[Link], random: Random) -> list[Link]:
    return [Link(each.a_dpid, each.a_port, each.b_dpid, each.b_port, random.choice((VLAN, TUNNEL))) for each in links]


@pytest.mark.parametrize("seed", range(40))
def test_whatever_single_link_fails_frames_arrive_once_and_unchanged_while_a_way_is_left(seed: int) -> None:
    random = Random(seed)
    size = 3 + seed % 5
    graph = nx.MultiGraph(nx.gnm_random_graph(size, size - 1 + random.randrange(size), seed=seed))
    graph.add_edges_from(list(graph.edges())[::4])
    links = mixed(links_of(graph), random)
    edges = sorted({dpid for link in links for dpid in (link.a_dpid, link.b_dpid)})
    made = Mixed(links, edges)
    destination = random.choice(edges)
    # A tenant's tag may be the number of any label, and its frame have two.
    inner = made.label(random.choice(edges))
    frames = [FRAME, tagged(FRAME, inner), tagged(tagged(FRAME, 9), inner)]
    for failed in [None, *links]:
        rest = nx.MultiGraph([(link.a_dpid, link.b_dpid) for link in links if link != failed])
        dead = frozenset(() if failed is None else failed.ends)
        for source in set(edges) - {destination}:
            joined = source in rest and destination in rest and nx.has_path(rest, source, destination)
            out, _ = made.send(source, destination, random.choice(frames), dead)
            assert out == ([(destination, HOST_PORT)] if joined else [])


@pytest.mark.parametrize("seed", range(20))
def test_no_two_failures_make_a_frame_circle(seed: int) -> None:
    random = Random(seed)
    links = mixed(links_of(nx.gnm_random_graph(6, 9, seed=seed)), random)
    edges = sorted({dpid for link in links for dpid in (link.a_dpid, link.b_dpid)})
    made = Mixed(links, edges)
    for _ in range(20):
        dead = frozenset(end for link in random.sample(links, 2) for end in link.ends)
        source, destination = random.sample(edges, 2)
        assert len(made.send(source, destination, dead=dead)[0]) <= 1


def test_tunnels_are_used_where_no_vlan_link_leads_and_a_path_may_cross_both() -> None:
    made = Mixed(ISLANDS, [1, 2, 3, 4])

    def ends(source: int, destination: int) -> list[tuple[tuple[int, int], bool]]:
        return [(each.end, each.key is not None) for each in made.send(source, destination)[1]]

    assert ends(1, 2) == [((1, 1), False), ((9, 2), False)]
    assert ends(2, 3) == [((2, 50), True)]
    assert ends(1, 4) == [((1, 50), True)]
    assert {tunnel for _, tunnel in ends(2, 4)} == {False, True}


def test_the_loss_of_a_tunnel_is_mended_over_the_other_and_the_island_between() -> None:
    made = Mixed(ISLANDS, [1, 2, 3, 4])
    out, crossings = made.send(2, 3, dead=frozenset(((2, 50), (3, 50))))
    assert out == [(3, HOST_PORT)]
    assert [each.end for each in crossings] == [(2, 1), (9, 1), (1, 50), (4, 1)]


def test_a_flood_crosses_islands_once_per_edge() -> None:
    made = Mixed(ISLANDS, [1, 2, 3, 4])
    flood = made.contents[1].groups[made.fabric.layout.group_id(GroupKind.FLOOD, LS_ID)]
    keys = []
    for each in walk_buckets(flood.buckets):
        for kind, action in actions.walk(each.actions):
            if kind == of13.OFPAT_SET_FIELD:
                keys.append(int.from_bytes(action[8:], "big"))
    assert sorted(keys) == sorted(made.fabric.labels.used["flood", LS_ID, dpid] for dpid in (2, 3, 4))


def test_a_datapath_without_tunnels_holds_what_it_would_if_there_were_none() -> None:
    made, without = Mixed(ISLANDS, [1, 2, 3, 4]), Mixed(ISLANDS[:3], [1, 2, 3, 4])
    on_core = made.contents[9]
    assert {rule.table for rule in on_core.rules.values()} == {Table.CLASSIFY, Table.LABEL, Table.TRANSIT}
    assert without.contents[9].rules.items() <= on_core.rules.items()


def test_a_datapath_with_tunnels_alone_looks_for_no_tag() -> None:
    made = Mixed([Link(1, 50, 2, 50, TUNNEL)], [1, 2])
    held = made.contents[1].rules.values()
    assert made.fabric.tunnel_ports(1) == {50} and Table.TRANSIT not in {rule.table for rule in held}
    assert [rule.instructions for rule in held if rule.table == Table.LABEL] == [b""], "it drops"


def test_frames_that_only_tunnels_carry_get_longer_labels() -> None:
    made = Mixed([Link(1, 50, 2, 50, TUNNEL)], [1, 2], endpoints=frozenset((1, 2)))
    assert made.label(1) > LAST_VID
    assert made.send(1, 2)[0] == [(2, HOST_PORT)] and made.send(2, 1)[0] == [(1, HOST_PORT)]
    assert Mixed(ISLANDS, [1, 4], endpoints=frozenset((1, 4))).label(1) <= LAST_VID


def test_a_vlan_link_on_the_way_takes_the_longer_labels_away() -> None:
    made = Mixed(ISLANDS[3:], [2, 3], endpoints=frozenset((1, 2, 3, 4)))
    before = made.label(3)
    assert before > LAST_VID
    parts = made.fabric.set_links(ISLANDS, 1.0)[0]
    assert made.label(3) <= LAST_VID and ("place", LS_ID) in parts
    assert not made.fabric.keys.used and made.fabric.keys.deadline == 3.0
    made.fabric.set_links(ISLANDS[3:], 2.0)
    assert made.label(3) <= LAST_VID, "a label of VLANs will do for tunnels"


def test_without_labels_for_a_new_vlan_link_the_edges_are_apart_until_there_are_some() -> None:
    made = Mixed(ISLANDS[3:], [2, 3], endpoints=frozenset((1, 2, 3, 4)))
    fabric = made.fabric
    other = LogicalSwitchView(2, (Lport(1, 1, Vif(5, 1)), Lport(2, 2, Vif(6, 1))))
    taken = [("deliver", 7, number) for number in range(fabric.labels.free - 4)]
    for key in taken:
        fabric.labels.take(key)
    fabric.place(other, 0.0)
    fabric.set_links(ISLANDS, 1.0)
    assert fabric.starved == {LS_ID} and not fabric.joined(LS_ID, 2, 3) and fabric.reaches(2, 3)
    assert made.label(3) > LAST_VID
    held = fabric.set_links(ISLANDS[:-1], 2.0)[0]["place", LS_ID]
    assert held.keys() == {2, 3}
    with pytest.raises(Exhausted):
        fabric.place(LogicalSwitchView(3, (edge_of(1), edge_of(2))), 2.0)
    fabric.place(LogicalSwitchView(2, ()), 3.0)
    assert fabric.feed(3.0) == {}
    assert fabric.labels.tick(5.0)
    parts = fabric.feed(5.0)
    assert ("place", LS_ID) in parts and not fabric.starved and made.label(3) <= LAST_VID
