"""Group-mods as a tenant sends them, with the errors of a switch."""
from __future__ import annotations

from typing import Any

import pytest

from hvproxy.errors import Refused
from hvproxy.hypervisor.tenant_groups import LONGEST_CHAIN, TenantGroups
from hvproxy.openflow import actions, build
from hvproxy.openflow.constants import of13
from hvproxy.openflow.groups import GroupMod, bucket, walk_buckets
from hvproxy.openflow.multipart import Kind, multipart_request
from tests.harness import Controller
from tests.hypervisor.worlds import add, assert_equal_to_recompute, flow_mod, red

ADD, MODIFY, DELETE = of13.OFPGC_ADD, of13.OFPGC_MODIFY, of13.OFPGC_DELETE
ALL, INDIRECT = of13.OFPGT_ALL, of13.OFPGT_INDIRECT
FAILED = of13.OFPET_GROUP_MOD_FAILED
TO_2 = bucket(actions.output(2))


def names(*group_ids: int) -> bytes:
    return b"".join(bucket(actions.group(group_id)) for group_id in group_ids)


def mod(group_id: int, buckets: bytes = TO_2, command: int = ADD, kind: int = ALL, xid: int = 3) -> bytes:
    return build.group_mod(xid, command, kind, group_id, buckets)


def held(controller: Controller) -> list[int]:
    return [each.group_id for each in controller.ask(multipart_request(3, Kind.GROUP_DESC)).body]


@pytest.mark.parametrize("message, wanted", [
    (mod(1), (FAILED, of13.OFPGMFC_GROUP_EXISTS)),
    (mod(2, command=MODIFY), (FAILED, of13.OFPGMFC_UNKNOWN_GROUP)),
    (mod(of13.OFPG_MAX + 1), (FAILED, of13.OFPGMFC_INVALID_GROUP)),
    (mod(of13.OFPG_ALL), (FAILED, of13.OFPGMFC_INVALID_GROUP)),
    (mod(2, kind=of13.OFPGT_SELECT), (FAILED, of13.OFPGMFC_BAD_TYPE)),
    (mod(2, kind=of13.OFPGT_FF), (FAILED, of13.OFPGMFC_BAD_TYPE)),
    (mod(2, kind=77), (FAILED, of13.OFPGMFC_BAD_TYPE)),
    (mod(2, command=9), (FAILED, of13.OFPGMFC_BAD_COMMAND)),
    (mod(2, TO_2 + TO_2, kind=INDIRECT), (FAILED, of13.OFPGMFC_INVALID_GROUP)),
    (mod(2, b"", kind=INDIRECT), (FAILED, of13.OFPGMFC_INVALID_GROUP)),
    (mod(2, names(9)), (of13.OFPET_BAD_ACTION, of13.OFPBAC_BAD_OUT_GROUP)),
    (mod(2, bucket(actions.output(of13.OFPP_NORMAL))), (of13.OFPET_BAD_ACTION, of13.OFPBAC_BAD_OUT_PORT)),
    (mod(2, names(2)), (FAILED, of13.OFPGMFC_LOOP)),
    (mod(of13.OFPG_MAX + 1, b"", DELETE), (FAILED, of13.OFPGMFC_INVALID_GROUP)),
])
def test_a_bad_group_mod_is_refused_and_changes_nothing(message: bytes, wanted: tuple[int, int]) -> None:
    world, controller = red()
    add(controller, mod(1))
    before = [switch.group_mods for switch in world.switches.values()]
    assert controller.refused(message) == wanted
    assert held(controller) == [1]
    assert [switch.group_mods for switch in world.switches.values()] == before


def test_groups_may_name_groups_but_never_in_a_circle() -> None:
    world, controller = red()
    add(controller, mod(1), mod(2, names(1)), mod(3, names(2, 1)))
    assert controller.refused(mod(1, names(3), MODIFY)) == (FAILED, of13.OFPGMFC_LOOP)
    assert_equal_to_recompute(world)


def chain(groups: TenantGroups, order: list[int]) -> None:
    """Link 1 -> 2 -> ... in the given order of linking."""
    for number in range(1, LONGEST_CHAIN + 2):
        groups.apply(GroupMod(1, ADD, ALL, number, b""), (), 0.0)
    for number in order:
        groups.apply(GroupMod(1, MODIFY, ALL, number, names(number + 1)), (), 0.0)


@pytest.mark.parametrize("order", [
    list(range(LONGEST_CHAIN - 1, 0, -1)), list(range(1, LONGEST_CHAIN)),
    [*range(1, LONGEST_CHAIN, 2), *range(2, LONGEST_CHAIN, 2)],
])
def test_a_chain_has_the_same_limit_at_whichever_end_it_grows(order: list[int]) -> None:
    groups = TenantGroups(1000)
    chain(groups, order)
    with pytest.raises(Refused) as refused:
        groups.apply(GroupMod(1, MODIFY, ALL, LONGEST_CHAIN, names(LONGEST_CHAIN + 1)), (), 0.0)
    assert (refused.value.error_type, refused.value.code) == (FAILED, of13.OFPGMFC_CHAINING_UNSUPPORTED)


def test_deleting_a_group_deletes_the_entries_that_name_it_and_no_others() -> None:
    world, controller = red()
    add(controller, mod(1), mod(2), flow_mod(priority=1, apply=actions.group(1)),
        flow_mod(priority=2, write=actions.group(1)), flow_mod(priority=3, apply=actions.group(2)))
    add(controller, mod(1, b"", DELETE))
    assert {priority for _, priority, _ in (key for key in world.switches[1].rules if key[0] == 10)} == {3}
    assert held(controller) == [2]
    assert_equal_to_recompute(world)


def test_deleting_all_groups_leaves_none() -> None:
    world, controller = red()
    add(controller, mod(1), mod(2, names(1)), flow_mod(apply=actions.group(2)))
    add(controller, mod(of13.OFPG_ALL, b"", DELETE))
    assert held(controller) == [] and world.switches[1].cookies() == []
    assert_equal_to_recompute(world)


def test_deleting_a_group_that_is_not_there_is_no_error() -> None:
    _, controller = red()
    add(controller, mod(5, b"", DELETE))


def test_a_bucket_that_named_a_deleted_group_drops() -> None:
    world, controller = red()
    add(controller, mod(1), mod(2, names(1) + TO_2))
    add(controller, mod(1, b"", DELETE))
    (group,) = controller.ask(multipart_request(3, Kind.GROUP_DESC)).body
    assert [[a.port for a in b.actions] for b in group.buckets] == [[], [2]]
    assert_equal_to_recompute(world)


def test_a_modified_group_is_modified_at_every_edge_without_touching_entries() -> None:
    world, controller = red()
    add(controller, mod(1), flow_mod(apply=actions.group(1)))
    rules = {dpid: switch.flow_mods for dpid, switch in world.switches.items()}
    groups = {dpid: switch.group_mods for dpid, switch in world.switches.items()}
    add(controller, mod(1, bucket(actions.output(3)), MODIFY))
    assert {dpid: switch.flow_mods for dpid, switch in world.switches.items()} == rules
    assert {dpid for dpid, switch in world.switches.items() if switch.group_mods > groups[dpid]} == {1, 2, 3}
    assert_equal_to_recompute(world)


# Places in physical group ids

def group_mod(group_id: int, command: int = ADD, buckets: bytes = b"") -> GroupMod:
    return GroupMod(1, command, ALL, group_id, buckets)


def places(groups: TenantGroups) -> list[int]:
    return [place for group in groups.groups.values() for place in group.indexes.values()]


def test_every_variant_of_every_group_has_a_place_of_its_own() -> None:
    groups = TenantGroups(100)
    for number in range(10):
        groups.apply(group_mod(number), [4, 7], 0.0)
    assert len(set(places(groups))) == 30 and min(places(groups)) >= 1


def test_when_places_run_out_a_group_is_refused_and_takes_none() -> None:
    groups = TenantGroups(5)
    groups.apply(group_mod(1), [4], 0.0)
    with pytest.raises(Refused) as refused:
        groups.apply(group_mod(2), [4, 5, 6], 0.0)
    assert refused.value.code == of13.OFPGMFC_OUT_OF_GROUPS
    groups.apply(group_mod(3), [4, 5], 0.0)
    assert sorted(places(groups)) == [1, 2, 3, 4, 5]


def test_the_places_of_a_deleted_group_are_used_last() -> None:
    groups = TenantGroups(4)
    groups.apply(group_mod(1), [], 0.0)
    groups.remove([1])
    for number in (2, 3, 4):
        groups.apply(group_mod(number), [], 0.0)
    assert places(groups) == [2, 3, 4]
    groups.apply(group_mod(5), [], 0.0)
    assert places(groups)[-1] == 1


def test_a_new_shared_port_widens_groups_if_there_is_room() -> None:
    groups = TenantGroups(4)
    groups.apply(group_mod(1), [], 0.0)
    groups.apply(group_mod(2), [3], 0.0)
    assert groups.room([3]) and not groups.room([3, 4])
    groups.widen([3])
    assert sorted(places(groups)) == [1, 2, 3, 4]
    assert groups.groups[1].indexes.keys() == groups.groups[2].indexes.keys() == {0, 3}


def test_what_a_refused_modification_replaced_returns_with_the_places_of_now() -> None:
    groups = TenantGroups(10)
    groups.apply(group_mod(1, buckets=TO_2), [], 0.0)
    before, _ = groups.apply(group_mod(1, MODIFY), [], 0.0)
    groups.widen([3])
    assert before is not None
    groups.restore(before)
    assert groups.groups[1].buckets == TO_2 and groups.groups[1].indexes.keys() == {0, 3}


def test_the_revision_grows_with_every_change() -> None:
    groups = TenantGroups(10)
    seen = [groups.revision]
    steps: list[Any] = [
        lambda: groups.apply(group_mod(1, buckets=TO_2), [], 0.0), lambda: groups.apply(group_mod(1, MODIFY), [], 0.0),
        lambda: groups.remove([1])]
    for step in steps:
        step()
        seen.append(groups.revision)
    assert seen == sorted(set(seen))


def test_a_bucket_keeps_its_watches_when_it_loses_a_group() -> None:
    groups = TenantGroups(10)
    groups.apply(group_mod(1), [], 0.0)
    groups.apply(group_mod(2, buckets=bucket(actions.output(4) + actions.group(1), 0, 7, 8)), [], 0.0)
    assert groups.remove([1]) == [2]
    (left,) = walk_buckets(groups.groups[2].buckets)
    assert (left.watch_port, left.watch_group, left.actions) == (7, 8, actions.output(4))
