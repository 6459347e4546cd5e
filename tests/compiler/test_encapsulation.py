"""Which pairs of datapaths get a tunnel, and which links stay in use."""
from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hvproxy.compiler.encapsulation import Islands, links_used, tunnels_wanted
from hvproxy.model.view import Carriage, Link

LEAF_SPINE = [Link(1, 1, 9, 1), Link(2, 1, 9, 2)]
OTHER = [Link(3, 1, 4, 1)]
TUNNEL = Link(1, 50, 3, 50, Carriage.TUNNEL)


def wanted(*shared: tuple[int, ...], links: list[Link] = LEAF_SPINE + OTHER, endpoints: tuple[int, ...] = (1, 2, 3, 4),
           forced: bool = False) -> set[tuple[int, int]]:
    return set(tunnels_wanted(shared, links, endpoints, forced=forced))


def test_within_an_island_there_is_no_tunnel_unless_it_is_forced() -> None:
    assert wanted((1, 2)) == set() and wanted((1, 2), forced=True) == {(1, 2)}
    assert wanted((3, 4, 1)) == {(1, 3), (1, 4)}
    assert wanted((3, 4, 1), forced=True) == {(1, 3), (1, 4), (3, 4)}


def test_tunnels_are_for_pairs_that_share_a_logical_switch_and_never_for_tenants() -> None:
    assert wanted((1, 3), (1, 3), (2, 4)) == {(1, 3), (2, 4)}
    assert wanted((1,), ()) == set()


def test_a_tunnel_joins_no_islands() -> None:
    assert wanted((1, 3), links=[*LEAF_SPINE, *OTHER, TUNNEL]) == {(1, 3)}


def test_the_nearest_switch_of_the_island_stands_in_for_one_without_an_endpoint() -> None:
    assert wanted((1, 3), endpoints=(2, 3, 9)) == {(3, 9)}
    assert wanted((1, 3), endpoints=(2, 3)) == {(2, 3)}
    assert wanted((9, 3), endpoints=(1, 2, 3)) == {(1, 3)}
    assert wanted((1, 3), (2, 3), endpoints=(9, 3)) == {(3, 9)}
    assert wanted((1, 3), endpoints=(3, 4)) == wanted((1, 3), endpoints=()) == set()
    assert wanted((1, 2), endpoints=(9,), forced=True) == set(), "one switch stands in for both"


def test_where_tunnels_are_forced_vlan_links_are_for_switches_without_endpoints() -> None:
    links = [*LEAF_SPINE, *OTHER, TUNNEL]
    assert links_used(links, (1, 2, 3, 4), forced=False) == links
    assert links_used(links, (1, 2, 3, 4), forced=True) == [*LEAF_SPINE, TUNNEL]
    assert links_used(links, (1, 9, 3, 4), forced=True) == [LEAF_SPINE[1], TUNNEL]


@given(st.lists(st.tuples(st.integers(1, 8), st.integers(1, 8)).filter(lambda pair: pair[0] < pair[1]), max_size=10),
       st.sets(st.integers(1, 8)), st.lists(st.sets(st.integers(1, 8)), max_size=4))
def test_every_pair_that_can_be_joined_is(joined: list[tuple[int, int]], endpoints: set[int],
                                          shared: list[set[int]]) -> None:
    links = [Link(a, 10 + n, b, 10 + n) for n, (a, b) in enumerate(joined)]
    tunnels = tunnels_wanted(shared, links, endpoints, forced=False)
    islands = Islands(links)
    for a, b in tunnels:
        assert a < b and {a, b} <= endpoints and not islands.together(a, b)
    whole = Islands([*links, *(Link(a, 99, b, 99) for a, b in tunnels)])
    for edges in shared:
        for a in edges:
            for b in edges:
                if None not in (islands.nearest(a, endpoints), islands.nearest(b, endpoints)):
                    assert whole.together(a, b)


def test_another_stands_in_for_a_switch_without_an_endpoint_where_the_nearest_is_shunned() -> None:
    def pairs(*shared: tuple[int, ...], endpoints: tuple[int, ...], shunned: tuple[int, ...]) -> set[tuple[int, int]]:
        return set(tunnels_wanted(shared, LEAF_SPINE + OTHER, endpoints, forced=False, shunned=shunned))

    assert pairs((1, 3), endpoints=(2, 3, 9), shunned=()) == {(3, 9)}
    assert pairs((1, 3), endpoints=(2, 3, 9), shunned=(9,)) == {(2, 3)}
    assert pairs((1, 3), endpoints=(3, 9), shunned=(9,)) == {(3, 9)}, "nobody else can"
    assert pairs((1, 3), endpoints=(1, 2, 3), shunned=(1, 3)) == {(1, 3)}, "it has ports of its own"
