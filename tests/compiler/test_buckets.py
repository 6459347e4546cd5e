"""Tenants' groups that fail over and select, carried out by emulated switches on two edges."""
from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from hvproxy.compiler.buckets import alive_group, tenant_groups
from hvproxy.compiler.choice import NEVER
from hvproxy.compiler.lowering import TenantGroup
from hvproxy.model.layout import GroupKind
from hvproxy.openflow import actions
from hvproxy.openflow.constants import of13
from hvproxy.openflow.groups import bucket, walk_buckets
from hvproxy.openflow.instructions import Instructions
from tests.compiler.placed import FABRIC_PORT, FRAME, VIEW, AnEntry, a_group, edge, plane, sent

ALL, SELECT, FF = of13.OFPGT_ALL, of13.OFPGT_SELECT, of13.OFPGT_FF
ALONG = AnEntry(instructions=Instructions(apply=actions.group(1)))
WRITTEN = AnEntry(instructions=Instructions(write=actions.group(1)))
LPORTS = {lport.number: lport for lport in VIEW.lports}


def failover(*numbers: int) -> TenantGroup:
    """To the first of these ports that is up."""
    return a_group(1, FF, b"".join(bucket(actions.output(number), watch_port=number) for number in numbers))


def without(*numbers: int) -> frozenset[int]:
    return VIEW.live - {LPORTS[number].index for number in numbers}


def test_a_tenants_group_has_one_physical_group_and_one_more_per_shared_port() -> None:
    group = a_group(3, ALL, bucket(actions.output(1)))
    assert [g.group_id & 0xFFFF for g in tenant_groups(group, edge(1))] == [30, 33, 34]
    assert [g.group_id & 0xFFFF for g in tenant_groups(group, edge(2))] == [30, 36]


@pytest.mark.parametrize("entry", [ALONG, WRITTEN])
@pytest.mark.parametrize("down, wanted", [((), 5), ((5,), 2), ((5, 2), 6), ((5, 2, 6), None)])
def test_a_frame_goes_to_the_first_port_that_is_up_wherever_it_is(
    entry: AnEntry, down: tuple[int, ...], wanted: int | None,
) -> None:
    made = plane(entry, groups=[failover(7, 99, 5, 2, 6)], view=replace(VIEW, live=without(*down)))
    for ingress in (1, 3):
        assert list(sent(made, ingress)) == ([] if wanted is None else [wanted])


def test_a_switch_fails_over_by_itself_from_a_port_of_its_own_and_from_a_lost_fabric() -> None:
    made = plane(ALONG, groups=[failover(2, 5, 1)])
    made.switches[1].ports[2].carrier = False
    assert list(sent(made, 3)) == [5]
    made.switches[1].ports[FABRIC_PORT].carrier = False
    assert list(sent(made, 3)) == [1]


def test_a_port_is_alive_by_what_is_watched_on_each_edge() -> None:
    (here,) = walk_buckets(alive_group(LPORTS[5], edge(2)).buckets)
    (away,) = walk_buckets(alive_group(LPORTS[5], edge(1)).buckets)
    assert (here.watch_port, here.watch_group, here.actions) == (1, of13.OFPG_ANY, b"")
    assert (away.watch_port, away.watch_group >> 28, away.actions) == (of13.OFPP_ANY, GroupKind.UPLINK, b"")
    for number, live in ((7, VIEW.live | {LPORTS[7].index}), (5, without(5))):
        assert alive_group(LPORTS[number], edge(1, view=replace(VIEW, live=live))).buckets == b""


def test_what_watches_a_group_follows_it_also_for_sub_ports() -> None:
    watched = a_group(2, FF, bucket(actions.output(1), watch_port=5))
    group = a_group(1, FF, bucket(actions.output(2), watch_group=2) + bucket(actions.output(6), watch_port=6))
    for down, wanted in (((), 2), ((5,), 6)):
        made = plane(ALONG, groups=[group, watched], view=replace(VIEW, live=without(*down)))
        assert [list(sent(made, ingress)) for ingress in (1, 3)] == [[wanted], [wanted]]


def test_what_watches_no_group_does_not_watch_the_one_of_that_number() -> None:
    stand_in = a_group(of13.OFPG_ANY, ALL, b"")
    for dpid in (1, 2):
        assert tenant_groups(failover(2, 5), edge(dpid, [failover(2, 5), stand_in])) == tenant_groups(
            failover(2, 5), edge(dpid, [failover(2, 5)]))


def test_what_watches_a_group_that_is_not_there_is_dead() -> None:
    group = a_group(1, FF, bucket(actions.output(2), watch_group=9) + bucket(actions.output(6), watch_port=6))
    assert list(sent(plane(ALONG, groups=[group]), 1)) == [6]


@pytest.mark.parametrize("port, group, wanted", [(5, 2, 2), (5, 3, 2), (2, 3, 2), (7, 2, 2), (7, 3, 6), (99, 3, 6)])
def test_a_bucket_that_watches_a_port_and_a_group_is_alive_while_one_is(port: int, group: int, wanted: int) -> None:
    groups = [a_group(1, FF, bucket(actions.output(2), 0, port, group) + bucket(actions.output(6), watch_port=6)),
              a_group(2, ALL, bucket(b"")), a_group(3, ALL, b"")]
    assert list(sent(plane(ALONG, groups=groups), 1)) == [wanted]


# SELECT

def selecting(*buckets: tuple[int, int, int]) -> TenantGroup:
    """Buckets of (port, weight, port to watch)."""
    return a_group(1, SELECT, b"".join(bucket(actions.output(port), weight, watch) for port, weight, watch in buckets))


def flows(count: int) -> list[bytes]:
    return [number.to_bytes(6, "big") + FRAME[6:] for number in range(0x020000000100, 0x020000000100 + count)]


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("entry", [ALONG, WRITTEN])
def test_a_flow_goes_to_the_same_port_wherever_it_enters(entry: AnEntry, plain: bool) -> None:
    view = replace(VIEW, plain=frozenset((1, 2) if plain else ()))
    any_port = of13.OFPP_ANY
    made = plane(entry, groups=[selecting((2, 1, any_port), (5, 1, any_port), (6, 2, any_port))], view=view)
    seen: Counter[int] = Counter()
    for frame in flows(300):
        places = [list(sent(made, ingress, frame)) for ingress in (1, 3, 4)]
        assert places[0] == places[1] == places[2] and len(places[0]) == 1
        seen[places[0][0]] += 1
    assert set(seen) == {2, 5, 6} and seen[6] > seen[5] and seen[6] > seen[2]


def test_a_dead_bucket_gives_its_own_flows_to_others_and_nothing_else_moves() -> None:
    group = selecting((1, 1, 1), (2, 1, 2), (5, 1, 5))
    before, after = (plane(ALONG, groups=[group], view=replace(VIEW, live=live)) for live in (VIEW.live, without(5)))
    for frame in flows(100):
        (was,), (now,) = sent(before, 3, frame), sent(after, 3, frame)
        assert now != 5 and was in (now, 5)


@pytest.mark.parametrize("buckets", [(), ((2, 0, of13.OFPP_ANY),), ((2, 0, of13.OFPP_ANY), (5, 3, 7))])
def test_nothing_comes_out_of_a_group_without_a_live_bucket_of_some_weight(
    buckets: tuple[tuple[int, int, int], ...],
) -> None:
    assert sent(plane(ALONG, groups=[selecting(*buckets)]), 1) == {}


def test_an_open_vswitch_is_kept_from_the_method_that_aborts_it_and_another_switch_gets_what_the_tenant_wrote() -> None:
    group = selecting((2, 3, of13.OFPP_ANY), (5, 0, 1))
    nowhere = edge(1).group_id(GroupKind.NOWHERE)
    for lowered in tenant_groups(group, edge(1)):
        buckets = walk_buckets(lowered.buckets)
        assert [each.weight for each in buckets[2:]] == list(NEVER)
        assert {each.watch_group for each in buckets[1:]} == {nowhere}
    for lowered in tenant_groups(group, edge(1, view=replace(VIEW, plain=frozenset((1,))))):
        assert [each.weight for each in walk_buckets(lowered.buckets)] == [3, 0]


def test_groups_that_select_may_be_nested() -> None:
    inner = a_group(2, SELECT, bucket(actions.output(5), 1) + bucket(actions.output(6), 1))
    outer = a_group(1, SELECT, bucket(actions.group(2), 1) + bucket(actions.output(2), 1))
    made = plane(ALONG, groups=[outer, inner])
    left = [list(sent(made, 1, frame)) for frame in flows(50)]
    assert {len(each) for each in left} == {1} and {5, 2} <= {number for each in left for number in each}
