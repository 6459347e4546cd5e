"""Frames walked through rules and groups as built: which failures they survive, and that they never circle."""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networkx.generators.atlas import graph_atlas_g

from hvproxy.compiler.paths import End, Topology, Tree, tree, visited
from hvproxy.compiler.transit import label_rule_on_the_way, transit_rules, uplink_groups
from hvproxy.model.layout import GroupKind, RuleKind, Table, destination_group_id, read_cookie
from hvproxy.model.rules import Rule
from hvproxy.model.view import Link
from hvproxy.openflow import actions
from hvproxy.openflow.constants import of13
from hvproxy.openflow.groups import walk_buckets
from hvproxy.openflow.instructions import Instructions, decode
from hvproxy.openflow.oxm import Match
from tests.compiler.test_paths import fabrics, leaf_spine, links_of

VID = 77
HOST_PORT = 0xFE00
"""Where frames enter an edge: no link's port."""
Dead = frozenset[End]
NOTHING: Dead = frozenset()


@dataclass
class Frame:
    """A labelled frame and what a datapath's pipeline knows of it."""

    in_port: int
    pcp: int = 0
    metadata: int = 0


class Datapath:
    """Tables 1 and 2 and the groups of one datapath, as a switch would carry them out."""

    def __init__(self, towards: Tree, dpid: int, index: int) -> None:
        self.dpid = dpid
        rules = [label_rule_on_the_way(VID, index), *transit_rules(towards, dpid, index)]
        self.rules = sorted(((rule.table, -rule.priority, Match.from_tlvs(rule.match), decode(rule.instructions))
                             for rule in rules), key=lambda rule: rule[:2])
        self.groups = {group.group_id: (group.type, walk_buckets(group.buckets))
                       for group in uplink_groups(towards, dpid, index)}

    def carry(self, frame: Frame, dead: Dead) -> int | None:
        """The port a frame leaves by after arriving on a fabric port; None when it is dropped."""
        table: int | None = Table.LABEL
        while table is not None:
            instructions = self._look_up(table, frame)
            if instructions.metadata is not None:
                value, mask = instructions.metadata
                frame.metadata = frame.metadata & ~mask | value & mask
            if instructions.apply:
                return self.act(instructions.apply, frame, dead)
            table = instructions.goto
        return None

    def act(self, data: bytes, frame: Frame, dead: Dead) -> int | None:
        """Carry out actions, of which an output or a group must be the last."""
        *first, (kind, last) = actions.walk(data)
        for earlier_kind, action in first:
            assert earlier_kind == of13.OFPAT_SET_FIELD
            frame.pcp = Match.from_tlvs(action[4:9]).get(of13.OFPXMT_OFB_VLAN_PCP)[0]  # type: ignore[index]
        if kind == of13.OFPAT_GROUP:
            (group_id,) = actions.groups(last)
            group_type, buckets = self.groups[group_id]
            assert group_type == of13.OFPGT_FF
            for one in buckets:
                if (self.dpid, one.watch_port) not in dead:
                    return self.act(one.actions, frame, dead)
            return None
        assert kind == of13.OFPAT_OUTPUT
        (port,) = actions.outputs(last)
        if port == frame.in_port:
            return None
        if port == of13.OFPP_IN_PORT:
            port = frame.in_port
        return None if (self.dpid, port) in dead else port

    def _look_up(self, table: int, frame: Frame) -> Instructions:
        fields = {of13.OFPXMT_OFB_IN_PORT: frame.in_port, of13.OFPXMT_OFB_METADATA: frame.metadata,
                  of13.OFPXMT_OFB_VLAN_VID: VID | of13.OFPVID_PRESENT, of13.OFPXMT_OFB_VLAN_PCP: frame.pcp}
        for rule_table, _, match, instructions in self.rules:
            if rule_table == table and all(
                    wanted is None or value & (-1 if wanted[1] is None else wanted[1]) == wanted[0]
                    for wanted, value in ((match.get(field), value) for field, value in fields.items())):
                return instructions
        return Instructions()


class Fabric:
    """Everything that carries frames to one destination, and where its ports lead."""

    INDEX = 5

    def __init__(self, topology: Topology, destination: int) -> None:
        self.tree = tree(topology, destination)
        self.destination = destination
        self.deepest = max(self.tree.hops.values())
        self.datapaths = {dpid: Datapath(self.tree, dpid, self.INDEX) for dpid in topology.dpids}
        self._steps: dict[tuple[int, int, int, Dead], tuple[int, int] | None] = {}

    def walk(self, source: int, dead: Dead) -> list[int]:
        """The datapaths a frame visits that an edge has labelled and handed to its uplink group."""
        way, in_port, pcp = [source], HOST_PORT, 0
        while way[-1] != self.destination:
            step = self._step(way[-1], in_port, pcp, dead)
            if step is None:
                return way
            port, pcp = step
            following, in_port = self.tree.peers[way[-1], port]
            way.append(following)
            assert len(way) <= 3 * self.deepest + 2, f"goes round with {sorted(dead)} dead: {way}"
        return way

    def _step(self, dpid: int, in_port: int, pcp: int, dead: Dead) -> tuple[int, int] | None:
        key = dpid, in_port, pcp, frozenset(end for end in dead if end[0] == dpid)
        if key not in self._steps:
            datapath, frame = self.datapaths[dpid], Frame(in_port, pcp)
            if in_port == HOST_PORT:
                uplink = actions.group(destination_group_id(GroupKind.UPLINK, self.INDEX))
                port = datapath.act(uplink, frame, key[3])
            else:
                port = datapath.carry(frame, key[3])
            self._steps[key] = None if port is None else (port, frame.pcp)
        return self._steps[key]


def ends(*links: Link) -> Dead:
    return frozenset(end for link in links for end in ((link.a_dpid, link.a_port), (link.b_dpid, link.b_port)))


def reaching(links: tuple[Link, ...], destination: int, *failed: Link) -> set[int]:
    """What the graph still joins to the destination."""
    graph = nx.MultiGraph([(link.a_dpid, link.b_dpid) for link in links if link not in failed])
    return set(nx.node_connected_component(graph, destination)) if destination in graph else {destination}


def verify_without_failure(fabric: Fabric) -> None:
    for source in fabric.datapaths:
        way = fabric.walk(source, NOTHING)
        if source in fabric.tree.hops:
            assert way[-1] == fabric.destination and len(way) == fabric.tree.hops[source] + 1
        else:
            assert way == [source]


def verify_single_failures(topology: Topology, fabric: Fabric) -> None:
    """Nothing is lost that the graph still joins, and `visited` is exactly where frames go."""
    can_visit = {source: visited(fabric.tree, source) for source in fabric.datapaths}
    seen: dict[int, set[int]] = {source: set(fabric.walk(source, NOTHING)) for source in fabric.datapaths}
    for failed in topology.links:
        left = reaching(topology.links, fabric.destination, failed)
        for source in fabric.datapaths:
            way = fabric.walk(source, ends(failed))
            assert (way[-1] == fabric.destination) == (source in left), f"{failed} fails: {way}"
            seen[source].update(way)
    for source in fabric.datapaths:
        assert seen[source] == can_visit[source]


def verify_failures(topology: Topology, fabric: Fabric, failures: Iterator[tuple[Link, ...]]) -> None:
    """Walks are bounded whatever fails, and stay where `visited` says; Fabric.walk asserts the bound."""
    for failed in failures:
        dead = ends(*failed)
        for source in fabric.datapaths:
            assert visited(fabric.tree, source) >= set(fabric.walk(source, dead))


def test_every_small_connected_graph_survives_every_link_failure() -> None:
    """All connected graphs of 2 to 6 datapaths towards every destination; of 7 towards one."""
    count = 0
    for number, graph in enumerate(graph_atlas_g()):
        if len(graph) < 2 or not nx.is_connected(graph):
            continue
        topology = Topology.of(links_of(graph))
        for destination in topology.dpids if len(graph) < 7 else [1 + number % 7]:
            fabric = Fabric(topology, destination)
            verify_without_failure(fabric)
            verify_single_failures(topology, fabric)
        count += 1
    assert count == 995


def test_in_every_small_connected_graph_two_failures_never_make_a_frame_circle() -> None:
    for number, graph in enumerate(graph_atlas_g()[:209]):
        if len(graph) >= 2 and nx.is_connected(graph):
            topology = Topology.of(links_of(graph))
            fabric = Fabric(topology, 1 + number % len(graph))
            verify_failures(topology, fabric, combinations(topology.links, 2))


NAMED = {
    "two parallel links": links_of(nx.MultiGraph([(0, 1), (0, 1)])),
    "a line of doubled links": links_of(nx.MultiGraph([(n, n + 1) for n in range(5) for _ in "ab"])),
    "a ring with one doubled link": links_of(nx.MultiGraph([(0, 1), (0, 1), (1, 2), (2, 3), (3, 4), (4, 0)])),
    "two rings and a bridge": links_of(nx.Graph([(0, 1), (1, 2), (2, 0), (2, 3), (3, 4), (4, 5), (5, 3)])),
    "a ring of 12": links_of(nx.cycle_graph(12)),
    "a ring of 13": links_of(nx.cycle_graph(13)),
    "2 spines, 6 leaves": leaf_spine(2, 6),
    "4 spines, 8 leaves": leaf_spine(4, 8),
    "a ladder": links_of(nx.ladder_graph(7)),
    "a grid": links_of(nx.convert_node_labels_to_integers(nx.grid_2d_graph(4, 5))),
    "a torus": links_of(nx.convert_node_labels_to_integers(nx.grid_2d_graph(4, 4, periodic=True))),
    "Petersen": links_of(nx.petersen_graph()),
    "a tree": links_of(nx.balanced_tree(2, 3)),
    "a hypercube": links_of(nx.convert_node_labels_to_integers(nx.hypercube_graph(4))),
}


@pytest.mark.parametrize("name", NAMED)
def test_common_fabrics_survive_every_link_failure_towards_every_destination(name: str) -> None:
    topology = Topology.of(NAMED[name])
    for destination in topology.dpids:
        fabric = Fabric(topology, destination)
        verify_without_failure(fabric)
        verify_single_failures(topology, fabric)


@pytest.mark.parametrize("name", NAMED)
def test_in_common_fabrics_two_failures_never_make_a_frame_circle(name: str) -> None:
    topology = Topology.of(NAMED[name])
    fabric = Fabric(topology, topology.dpids[len(topology.dpids) // 2])
    verify_failures(topology, fabric, combinations(topology.links, 2))


@pytest.mark.parametrize("seed", range(300))
def test_random_multigraphs_survive_every_link_failure(seed: int) -> None:
    """From trees to dense ones, of 8 to 24 datapaths, every fourth link doubled; single and some multiple failures."""
    size = 8 + seed % 17
    graph = nx.MultiGraph(nx.gnm_random_graph(size, size - 1 + seed % (2 * size), seed=seed))
    graph.add_edges_from(list(graph.edges())[::4])
    topology = Topology.of(links_of(graph))
    fabric = Fabric(topology, topology.dpids[seed % len(topology.dpids)])
    verify_without_failure(fabric)
    verify_single_failures(topology, fabric)
    links = topology.links
    verify_failures(topology, fabric, ((links[n], links[n * 7 % len(links)], links[n * n % len(links)])
                                       for n in range(len(links))))


@given(fabrics(), st.data())
@settings(max_examples=200, deadline=None)
def test_any_set_of_failures_is_walked_in_bounds(links: list[Link], data: st.DataObject) -> None:
    topology = Topology.of(links)
    failed = data.draw(st.lists(st.sampled_from(topology.links), max_size=6, unique=True))
    for destination in topology.dpids:
        fabric = Fabric(topology, destination)
        verify_single_failures(topology, fabric)
        verify_failures(topology, fabric, iter([tuple(failed)]))


def test_losing_every_link_of_the_destination_drops_and_does_not_circle() -> None:
    """Each neighbour of a stopped switch would hand its frames to another for ever."""
    for links in (links_of(nx.cycle_graph(5)), leaf_spine(2, 4), leaf_spine(4, 8)):
        topology = Topology.of(links)
        for destination in topology.dpids:
            fabric = Fabric(topology, destination)
            lost = [link for link in links if destination in (link.a_dpid, link.b_dpid)]
            for source in set(topology.dpids) - {destination}:
                assert fabric.walk(source, ends(*lost))[-1] != destination


def test_leaf_spine_survives_the_loss_of_any_spine() -> None:
    links = leaf_spine(3, 8)
    topology, spines = Topology.of(links), {1, 2, 3}
    for destination in set(topology.dpids) - spines:
        fabric = Fabric(topology, destination)
        for spine in spines:
            dead = ends(*(link for link in links if spine in (link.a_dpid, link.b_dpid)))
            for source in set(topology.dpids) - {spine}:
                assert fabric.walk(source, dead)[-1] == destination


def test_a_frame_that_starts_with_the_mark_arrives_while_nothing_fails() -> None:
    fabric = Fabric(Topology.of(leaf_spine(3, 5)), 4)
    for dpid, port in fabric.tree.parent.items():
        for in_port in {end[1] for end in fabric.tree.peers if end[0] == dpid} - {port}:
            assert fabric.datapaths[dpid].carry(Frame(in_port, pcp=1), NOTHING) == port


def ring() -> tuple[Tree, int, int]:
    """A ring of 5 towards 1: its tree, a neighbour of 1, which turns frames round, and a datapath across."""
    return tree(Topology.of(links_of(nx.cycle_graph(5))), 1), 2, 3


def test_groups_are_fast_failover_with_ascending_ids_and_watch_what_they_use() -> None:
    towards, near, _ = ring()
    groups = uplink_groups(towards, near, 9)
    assert [group.group_id for group in groups] == [
        destination_group_id(GroupKind.UPLINK, 9), destination_group_id(GroupKind.RETURN, 9)]
    for group in groups:
        assert group.type == of13.OFPGT_FF
        up, back = walk_buckets(group.buckets)
        assert up.watch_port == towards.parent[near] and up.actions == actions.output(towards.parent[near])
        assert back.watch_port == towards.backup[near]


def test_only_a_datapath_that_turns_frames_has_a_return_group() -> None:
    towards, _, across = ring()
    assert [group.group_id >> 28 for group in uplink_groups(towards, across, 9)] == [GroupKind.UPLINK]


def test_the_destination_needs_neither_rules_nor_groups() -> None:
    towards, _, _ = ring()
    assert transit_rules(towards, 1, 9) == [] and uplink_groups(towards, 1, 9) == []


def test_what_cannot_reach_the_destination_has_an_uplink_that_drops() -> None:
    towards, _, _ = ring()
    assert transit_rules(towards, 99, 9) == []
    (group,) = uplink_groups(towards, 99, 9)
    assert (group.group_id, group.type, group.buckets) == (
        destination_group_id(GroupKind.UPLINK, 9), of13.OFPGT_FF, b"")


def test_a_bridge_has_one_bucket() -> None:
    towards = tree(Topology.of([Link(1, 1, 2, 1)]), 1)
    (group,) = uplink_groups(towards, 2, 9)
    assert len(walk_buckets(group.buckets)) == 1
    assert len(transit_rules(towards, 2, 9)) == 2


def test_rules_are_canonical_distinct_and_the_fabrics_own() -> None:
    towards, near, _ = ring()
    rules = transit_rules(towards, near, 9)
    assert [rule.priority for rule in rules] == [10, 20, 30, 40]
    for rule in rules:
        assert rule.table == Table.TRANSIT and read_cookie(rule.cookie) == (0, RuleKind.TRANSIT)
        match = Match.from_tlvs(rule.match)
        assert match.tlvs == rule.match
        assert match.get(of13.OFPXMT_OFB_METADATA) == (9, None)


def test_a_label_on_the_way_leads_to_its_destination() -> None:
    rule: Rule = label_rule_on_the_way(VID, 9)
    assert rule.table == Table.LABEL and read_cookie(rule.cookie) == (0, RuleKind.LABEL)
    assert Match.from_tlvs(rule.match).get(of13.OFPXMT_OFB_VLAN_VID) == (VID | of13.OFPVID_PRESENT, None)
    assert decode(rule.instructions) == Instructions(goto=Table.TRANSIT, metadata=(9, 0xFFFFFFFFFFFFFFFF))
