"""Trees and detours on graphs; what frames do with the rules made of them is test_transit's."""
from __future__ import annotations

from collections import Counter

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hvproxy.compiler.paths import Topology, Tree, lost, still, tree, visited
from hvproxy.model.view import Carriage, Link


def links_of(graph: nx.MultiGraph | nx.Graph) -> list[Link]:
    """Links for the edges of a graph over integers; ports are numbered as the edges come, from 1."""
    used: Counter[int] = Counter()
    links = []
    for a, b in graph.edges():
        a, b = sorted((a + 1, b + 1))
        used[a] += 1
        used[b] += 1
        links.append(Link(a, used[a], b, used[b]))
    return links


def graph_of(links: list[Link]) -> nx.MultiGraph:
    graph = nx.MultiGraph()
    for link in links:
        graph.add_edge(link.a_dpid, link.b_dpid, key=link)
    return graph


@st.composite
def fabrics(draw: st.DrawFn) -> list[Link]:
    """Multigraphs of up to 9 datapaths: not always connected, parallel links included."""
    count = draw(st.integers(2, 9))
    pairs = st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)).filter(lambda pair: pair[0] != pair[1])
    return links_of(nx.MultiGraph(draw(st.lists(pairs, min_size=1, max_size=20))))


def leaf_spine(spines: int, leaves: int) -> list[Link]:
    return links_of(nx.complete_bipartite_graph(spines, leaves))


def link_of_port(links: list[Link], dpid: int, port: int) -> Link:
    (found,) = [link for link in links if (dpid, port) in ((link.a_dpid, link.a_port), (link.b_dpid, link.b_port))]
    return found


@given(fabrics())
@settings(max_examples=200, deadline=None)
def test_parents_lie_on_shortest_paths(links: list[Link]) -> None:
    topology, graph = Topology.of(links), graph_of(links)
    for destination in graph:
        towards = tree(topology, destination)
        assert towards.hops == nx.single_source_shortest_path_length(graph, destination)
        assert towards.parent.keys() == towards.hops.keys() - {destination}
        for dpid, port in towards.parent.items():
            above, _ = towards.peers[dpid, port]
            assert towards.hops[above] == towards.hops[dpid] - 1


@given(fabrics())
@settings(max_examples=200, deadline=None)
def test_a_backup_is_missing_exactly_where_the_parent_link_is_a_bridge(links: list[Link]) -> None:
    topology, graph = Topology.of(links), graph_of(links)
    for destination in graph:
        towards = tree(topology, destination)
        for dpid, port in towards.parent.items():
            rest = graph.copy()
            link = link_of_port(links, dpid, port)
            rest.remove_edge(link.a_dpid, link.b_dpid, key=link)
            assert (dpid in towards.backup) == nx.has_path(rest, dpid, destination)
            assert towards.backup.get(dpid) != port


@given(fabrics())
@settings(max_examples=100, deadline=None)
def test_turn_says_which_backups_lead_to_tree_children(links: list[Link]) -> None:
    topology = Topology.of(links)
    for destination in topology.dpids:
        towards = tree(topology, destination)
        children = {dpid for dpid, port in towards.backup.items()
                    if towards.parent.get(towards.peers[dpid, port][0]) == towards.peers[dpid, port][1]}
        assert towards.turn == children


@given(fabrics(), st.randoms())
@settings(max_examples=50, deadline=None)
def test_the_order_of_links_does_not_matter(links: list[Link], random: object) -> None:
    shuffled = list(links)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = Topology.of(links), Topology.of(shuffled + links[:1])
    assert one == other and hash(one) == hash(other)
    for destination in one.dpids:
        first, second = tree(one, destination), tree(other, destination)
        assert first == second
        assert list(first.parent.items()) == sorted(second.parent.items())


def test_ties_are_the_same_in_every_release() -> None:
    """A change of the tie-break would move every path of a running fabric at an upgrade."""
    towards = tree(Topology.of(leaf_spine(4, 6)), 5)
    assert towards.parent == {1: 1, 2: 1, 3: 1, 4: 1, 6: 4, 7: 2, 8: 3, 9: 3, 10: 3}


def test_destinations_spread_over_the_spines() -> None:
    topology = Topology.of(leaf_spine(4, 64))
    leaves = range(5, 69)
    used: Counter[int] = Counter()
    backups: Counter[int] = Counter()
    for destination in leaves:
        towards = tree(topology, destination)
        used.update(towards.parent[leaf] for leaf in leaves if leaf != destination)
        backups.update(towards.backup[leaf] for leaf in leaves if leaf != destination)
    fair = 64 * 63 / 4
    for port in range(1, 5):
        assert 0.8 * fair < used[port] < 1.2 * fair
        assert 0.8 * fair < backups[port] < 1.2 * fair


def test_destinations_spread_as_the_slowest_links_of_their_paths_carry() -> None:
    """Spines 1 to 4: the links of 1 have 40 Gb/s, those of 2 don't say, 3 has 10 where leaf 5 hangs on it, 4 has 1."""
    links = leaf_spine(4, 200)
    speeds = {link: {1: 40_000, 3: 40_000, 4: 1_000}[link.a_dpid] for link in links if link.a_dpid != 2}
    speeds[next(link for link in links if (link.a_dpid, link.b_dpid) == (3, 5))] = 10_000
    topology = Topology.of(links, speeds=speeds)
    assert topology != Topology.of(links)
    used = Counter(tree(topology, destination).parent[5] for destination in range(6, 205))
    for port, share in ((1, 40), (2, 10), (3, 10), (4, 1)):
        assert abs(used[port] - 199 * share / 61) < 15


def test_equal_speeds_spread_as_unknown_ones() -> None:
    links = leaf_spine(4, 20)
    for destination in range(5, 25):
        assert tree(Topology.of(links, speeds=dict.fromkeys(links, 100)), destination) == tree(
            Topology.of(links), destination)


def test_a_fast_path_of_more_links_is_not_taken() -> None:
    slow, *fast = links = [Link(1, 1, 2, 1), Link(1, 2, 3, 1), Link(2, 2, 3, 2)]
    assert tree(Topology.of(links, speeds={slow: 10, fast[0]: 100_000, fast[1]: 100_000}), 2).parent[1] == 1


def test_destinations_spread_over_the_children_they_detour_by() -> None:
    """2 hangs on 1, and so does 4, one hop longer by way of 3; 8 children of 2 have a link to 4 each."""
    links = [Link(1, 1, 2, 1), Link(1, 2, 3, 1), Link(3, 2, 4, 1)]
    links += [Link(2, 10 + n, 10 + n, 1) for n in range(8)] + [Link(4, 10 + n, 10 + n, 2) for n in range(8)]
    topology = Topology.of(links + [Link(1, 100 + n, 100 + n, 1) for n in range(160)])
    used: Counter[int] = Counter()
    for destination in range(100, 260):
        towards = tree(topology, destination)
        assert 2 in towards.turn
        used[towards.backup[2]] += 1
    assert len(used) == 8 and max(used.values()) <= 40


def test_parallel_links_back_each_other_up_and_share_the_destinations() -> None:
    topology = Topology.of([Link(1, 1, 2, 1), Link(1, 2, 2, 2)] + [Link(2, 10 + n, 100 + n, 1) for n in range(40)])
    used = Counter(tree(topology, 100 + n).parent[1] for n in range(40))
    assert used[1] + used[2] == 40 and min(used.values()) >= 10
    towards = tree(topology, 100)
    assert {towards.parent[1], towards.backup[1]} == {1, 2}
    assert towards.turn == frozenset()


def test_a_backup_avoids_the_parent_where_it_can() -> None:
    """4 reaches 1 through 2, with a second link to 2 and a longer way through 5 and 3 that 2's loss does not cut."""
    links = [Link(1, 1, 2, 1), Link(2, 2, 4, 1), Link(2, 3, 4, 2), Link(4, 3, 5, 1), Link(3, 1, 5, 2), Link(1, 2, 3, 2)]
    assert tree(Topology.of(links), 1).backup[4] == 3


def test_an_own_link_is_preferred_to_a_child() -> None:
    """2 could detour by its child 4 as well as by its own link to 3."""
    links = [Link(1, 1, 2, 1), Link(1, 2, 3, 1), Link(2, 2, 3, 2), Link(2, 3, 4, 1), Link(3, 3, 4, 2)]
    towards = tree(Topology.of(links), 1)
    assert towards.backup[2] == 2 and towards.turn == frozenset()


def test_a_destination_without_links_has_an_empty_tree() -> None:
    assert tree(Topology.of([Link(1, 1, 2, 1)]), 3) == Tree(
        3, {}, {}, {}, frozenset(), {3: 0}, {(1, 1): (2, 1), (2, 1): (1, 1)},
        frozenset(), {1: frozenset((Carriage.VLAN,)), 2: frozenset((Carriage.VLAN,))})


def test_a_link_to_itself_is_not_used() -> None:
    topology = Topology.of([Link(1, 1, 1, 2), Link(1, 3, 2, 1)])
    assert topology.links == (Link(1, 3, 2, 1),)
    assert topology.ambiguous == ()


def test_links_that_share_a_port_are_left_out_and_told() -> None:
    shared = (Link(1, 1, 2, 1), Link(1, 1, 3, 1))
    topology = Topology.of([*shared, Link(2, 2, 3, 2)])
    assert topology.links == (Link(2, 2, 3, 2),)
    assert topology.ambiguous == shared
    assert topology.dpids == (2, 3)


@pytest.mark.parametrize("length", [3, 4, 5, 8, 9])
def test_on_a_ring_a_frame_can_visit_everything(length: int) -> None:
    topology = Topology.of(links_of(nx.cycle_graph(length)))
    towards = tree(topology, 1)
    for source in range(2, length + 1):
        assert visited(towards, source) == frozenset(range(1, length + 1))


def test_on_a_line_a_frame_visits_the_way_alone() -> None:
    towards = tree(Topology.of(links_of(nx.path_graph(5))), 2)
    assert visited(towards, 4) == {4, 3, 2}
    assert visited(towards, 2) == {2}


def test_on_leaf_spine_a_frame_visits_few_others() -> None:
    """One detour each at the leaf and at the spine."""
    towards = tree(Topology.of(leaf_spine(4, 30)), 5)
    assert max(len(visited(towards, leaf)) for leaf in range(6, 35)) <= 6


def test_where_the_destination_is_out_of_reach_a_frame_stays() -> None:
    towards = tree(Topology.of([Link(1, 1, 2, 1), Link(3, 1, 4, 1)]), 1)
    assert visited(towards, 3) == {3}
    assert visited(towards, 9) == {9}


def test_paths_lead_round_a_shunned_datapath_wherever_they_can() -> None:
    links = leaf_spine(4, 6)
    spine = max(links[0].a_dpid, links[0].b_dpid)
    topology = Topology.of(links, shunned={spine})
    assert topology != Topology.of(links)
    leaves = [dpid for dpid in topology.dpids if dpid != spine]
    for destination in topology.dpids:
        towards = tree(topology, destination)
        assert towards.parent.keys() == set(topology.dpids) - {destination}
        assert all(spine not in towards.way(source)[1:-1] for source in leaves)


def test_a_shunned_datapath_is_crossed_where_there_is_no_other_way_only() -> None:
    line = [Link(1, 1, 2, 1), Link(2, 2, 3, 1)]
    assert tree(Topology.of(line, shunned={2}), 3).way(1) == [1, 2, 3]
    assert tree(Topology.of(line, shunned={1}), 3).way(1) == [1, 2, 3]
    around = [*line, Link(1, 9, 3, 9, Carriage.TUNNEL)]
    assert tree(Topology.of(around), 3).way(1) == [1, 2, 3]
    assert tree(Topology.of(around, shunned={2}), 3).way(1) == [1, 3]
    assert tree(Topology.of([]), 3).way(1) == [1]


@given(fabrics(), st.data())
@settings(max_examples=200, deadline=None)
def test_links_in_doubt_are_crossed_where_no_other_way_leads_only_and_no_detour_leads_over_them(
        links: list[Link], data: st.DataObject) -> None:
    doubted = data.draw(st.sets(st.sampled_from(links)))
    topology = Topology.of(links, doubted=doubted)
    without = Topology.of([link for link in links if link not in doubted])
    ends = {end for link in doubted for end in link.ends}
    for destination in topology.dpids:
        towards, known = tree(topology, destination), tree(without, destination)
        assert towards.parent.keys() == tree(Topology.of(links), destination).parent.keys()
        assert known.parent.keys() <= {source for source, port in towards.parent.items() if (source, port) not in ends}
        assert all(towards.way(source) == known.way(source) for source in known.parent)
        sent = {**towards.backup, **towards.descend}.items()
        in_tree = {end for child in towards.parent.items() for end in (child, topology.peers[child])}
        assert not (ends - in_tree) & {(dpid, port) for dpid, port in sent}


def test_what_is_in_doubt_makes_trees_anew() -> None:
    line = [Link(1, 1, 2, 1), Link(2, 2, 3, 1)]
    before = Topology.of(line, doubted=line[:1])
    assert before.doubted == {line[0]} and before != Topology.of(line)
    assert Topology.of(line[1:], doubted=line[:1]).doubted == frozenset()
    assert lost(before, Topology.of(line[1:])) is None and lost(Topology.of(line), before) is None
    assert tree(before, 3).way(1) == [1, 2, 3]


@given(fabrics(), st.data())
@settings(max_examples=200, deadline=None)
def test_a_tree_that_uses_no_lost_link_stays_as_it_is(links: list[Link], data: st.DataObject) -> None:
    before = Topology.of(links, speeds={link: 1000 for link in data.draw(st.sets(st.sampled_from(links)))})
    gone = data.draw(st.sets(st.sampled_from(links), max_size=3))
    topology = Topology.of([link for link in links if link not in gone],
                           speeds=dict(zip(before.links, before.speeds, strict=True)))
    ends = lost(before, topology)
    assert ends == {end for link in gone for end in link.ends}
    for destination in before.dpids:
        made = still(tree(before, destination), ends, topology)
        assert made in (None, tree(topology, destination))
        assert gone or made is not None


def test_only_a_tree_that_uses_a_lost_link_is_made_anew() -> None:
    mesh = links_of(nx.complete_graph(8))
    before = Topology.of(mesh)
    topology = Topology.of(mesh[1:])
    ends = lost(before, topology)
    assert ends is not None
    kept = [destination for destination in before.dpids
            if still(tree(before, destination), ends, topology) is not None]
    assert len(kept) >= 3 and not {mesh[0].a_dpid, mesh[0].b_dpid} & set(kept)
    assert lost(topology, before) is None, "a new link may be a better one"
    assert lost(before, Topology.of(mesh, shunned=[3])) is None
    assert lost(before, Topology.of(mesh[1:], speeds={mesh[1]: 5})) is None


@given(fabrics())
def test_what_is_joined_is_what_trees_reach(links: list[Link]) -> None:
    topology = Topology.of(links)
    for destination in topology.dpids:
        reaching = {destination, *tree(topology, destination).parent}
        assert {dpid for dpid in topology.dpids if topology.joined(dpid, destination)} == reaching
    assert not topology.joined(99, 99)
