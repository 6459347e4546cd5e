"""Group-mods as a tenant sends them, with the errors of a switch."""
from __future__ import annotations

from typing import Any

import pytest

from hvproxy.compiler.lowering import lower
from hvproxy.errors import Refused
from hvproxy.hypervisor import intent
from hvproxy.hypervisor.tenant_groups import LONGEST_CHAIN, TenantGroups
from hvproxy.model.layout import GroupKind
from hvproxy.openflow import actions, build
from hvproxy.openflow.constants import of13
from hvproxy.openflow.groups import Bucket, GroupMod, bucket, walk_buckets
from hvproxy.openflow.messages import decode_group_mod
from hvproxy.openflow.multipart import GroupFeatures, Kind, multipart_request
from tests.harness import PORT_LOST, Controller, World
from tests.hypervisor.worlds import add, assert_equal_to_recompute, flow_mod, port_spec, red

ADD, MODIFY, DELETE = of13.OFPGC_ADD, of13.OFPGC_MODIFY, of13.OFPGC_DELETE
ALL, SELECT, INDIRECT, FF = of13.OFPGT_ALL, of13.OFPGT_SELECT, of13.OFPGT_INDIRECT, of13.OFPGT_FF
FAILED = of13.OFPET_GROUP_MOD_FAILED
TO_2 = bucket(actions.output(2))


def names(*group_ids: int) -> bytes:
    return b"".join(bucket(actions.group(group_id)) for group_id in group_ids)


def watching(*group_ids: int) -> bytes:
    return b"".join(bucket(actions.output(2), watch_group=group_id) for group_id in group_ids)


def mod(group_id: int, buckets: bytes = TO_2, command: int = ADD, kind: int = ALL, xid: int = 3) -> bytes:
    return build.group_mod(xid, command, kind, group_id, buckets)


def held(controller: Controller) -> list[int]:
    return [each.group_id for each in controller.ask(multipart_request(3, Kind.GROUP_DESC)).body]


@pytest.mark.parametrize("message, wanted", [
    (mod(1), (FAILED, of13.OFPGMFC_GROUP_EXISTS)),
    (mod(2, command=MODIFY), (FAILED, of13.OFPGMFC_UNKNOWN_GROUP)),
    (mod(of13.OFPG_MAX + 1), (FAILED, of13.OFPGMFC_INVALID_GROUP)),
    (mod(of13.OFPG_ALL), (FAILED, of13.OFPGMFC_INVALID_GROUP)),
    (mod(2, kind=FF), (FAILED, of13.OFPGMFC_INVALID_GROUP)),
    (mod(2, bucket(TO_2[16:], 1), kind=FF), (FAILED, of13.OFPGMFC_INVALID_GROUP)),
    (mod(2, bucket(TO_2[16:], 1, 3), kind=FF), (FAILED, of13.OFPGMFC_INVALID_GROUP)),
    (mod(2, bucket(TO_2[16:], 1)), (FAILED, of13.OFPGMFC_INVALID_GROUP)),
    (mod(2, bucket(TO_2[16:], 0, 3)), (FAILED, of13.OFPGMFC_WATCH_UNSUPPORTED)),
    (mod(2, watching(3), kind=INDIRECT), (FAILED, of13.OFPGMFC_WATCH_UNSUPPORTED)),
    (mod(2, bucket(TO_2[16:], 0, 0xFF00), kind=FF), (FAILED, of13.OFPGMFC_BAD_WATCH)),
    (mod(2, bucket(TO_2[16:], 0, 0xFFFFFEFF), kind=SELECT), (FAILED, of13.OFPGMFC_BAD_WATCH)),
    (mod(2, bucket(actions.output(0xFFFFFFFF), 0, 0xFF00), kind=FF), (of13.OFPET_BAD_ACTION, of13.OFPBAC_BAD_OUT_PORT)),
    (mod(1, TO_2, DELETE), (FAILED, of13.OFPGMFC_INVALID_GROUP)),
    (mod(2, watching(2), kind=FF), (FAILED, of13.OFPGMFC_LOOP)),
    (mod(2, kind=77), (FAILED, of13.OFPGMFC_BAD_TYPE)),
    (mod(2, command=9), (FAILED, of13.OFPGMFC_BAD_COMMAND)),
    (mod(2, TO_2 + TO_2, kind=INDIRECT), (FAILED, of13.OFPGMFC_INVALID_GROUP)),
    (mod(2, b"", kind=INDIRECT), (FAILED, of13.OFPGMFC_INVALID_GROUP)),
    (mod(2, names(2)), (FAILED, of13.OFPGMFC_LOOP)),
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
    add(controller, mod(5, b"", DELETE), mod(of13.OFPG_MAX + 1, b"", DELETE))


def physical(world: World, group_id: int, dpid: int = 1) -> list[Bucket]:
    """The buckets of a tenant's group on a switch."""
    ls = world.hv.logical_switches["red"]
    place = ls.layout.group_id(GroupKind.TENANT, ls.ls_id, ls.groups.groups[group_id].indexes[0])
    return walk_buckets(world.switches[dpid].groups[place][1])


def alive(world: World, number: int, dpid: int = 1) -> list[tuple[int, int]]:
    """(watch port, watch group) of the buckets of the group that is alive while a port is."""
    ls = world.hv.logical_switches["red"]
    group_id = ls.layout.group_id(GroupKind.ALIVE, ls.ls_id, ls.ports[number].index)
    return [(each.watch_port, each.watch_group) for each in walk_buckets(world.switches[dpid].groups[group_id][1])]


def place(world: World, group_id: int) -> int:
    """The physical id of a tenant's group, or of what stands in for it."""
    ls = world.hv.logical_switches["red"]
    return ls.layout.group_id(GroupKind.TENANT, ls.ls_id, ls.groups.held[group_id].indexes[0])


def variants(world: World, group_id: int) -> int:
    """How many groups of switch 1 carry out one of the tenant's: two lports share a port there."""
    return len(world.hv.logical_switches["red"].groups.held[group_id].indexes)


def test_a_bucket_may_name_a_group_that_is_not_there_any_more_or_not_yet() -> None:
    """An empty group stands in for it, so that the group of the bucket need not be changed, which would reset it."""
    world, controller = red()
    switch = world.switches[1]
    add(controller, mod(2, names(1) + TO_2))
    there, sent = place(world, 1), switch.group_mods
    assert physical(world, 2)[0].actions == actions.group(there) and switch.groups[there][1] == b""
    assert_equal_to_recompute(world)
    add(controller, mod(1))
    assert place(world, 1) == there and switch.groups[there][1] != b""
    assert_equal_to_recompute(world)
    add(controller, mod(1, b"", DELETE))
    assert place(world, 1) == there and switch.groups[there][1] == b""
    assert switch.group_mods == sent + 2 * variants(world, 1)
    (group,) = controller.ask(multipart_request(3, Kind.GROUP_DESC)).body
    assert [a.group_id for a in group.buckets[0].actions] == [1]
    assert_equal_to_recompute(world)
    add(controller, mod(2, b"", DELETE))
    assert there not in switch.groups and world.hv.logical_switches["red"].groups.held == {}
    assert_equal_to_recompute(world)


def test_an_empty_group_that_takes_the_place_of_its_stand_in_counts_anew() -> None:
    world, controller = red()
    add(controller, mod(2, names(1)))
    sent = world.switches[1].group_mods
    add(controller, mod(1, b""))
    assert world.switches[1].group_mods == sent + variants(world, 1)
    assert_equal_to_recompute(world)


def test_stand_ins_take_places_and_are_refused_when_there_are_none() -> None:
    groups = TenantGroups(3)
    groups.apply(decode_group_mod(mod(1, names(7))), (), 0.0)
    with pytest.raises(Refused) as caught:
        groups.apply(decode_group_mod(mod(2, names(8))), (), 0.0)
    assert caught.value.code == of13.OFPGMFC_OUT_OF_GROUPS and groups.held.keys() == {1, 7}
    groups.apply(decode_group_mod(mod(7)), (), 0.0)
    groups.apply(decode_group_mod(mod(2, names(7))), (), 0.0)
    assert groups.held.keys() == {1, 2, 7}


def test_a_watched_group_may_come_and_go() -> None:
    world, controller = red()
    add(controller, mod(2, watching(1), kind=FF))
    there = place(world, 1)
    assert physical(world, 2)[0].watch_group == there and world.switches[1].groups[there][1] == b""
    add(controller, mod(1, TO_2, kind=SELECT))
    assert physical(world, 2)[0].watch_group == there == place(world, 1)
    assert_equal_to_recompute(world)
    add(controller, mod(of13.OFPG_ALL, b"", DELETE))
    assert_equal_to_recompute(world)
    assert there not in world.switches[1].groups


def test_a_change_of_liveness_touches_the_port_of_a_group_and_nothing_else() -> None:
    world, controller = red()
    add(controller, mod(1, bucket(actions.output(2), watch_port=2) + bucket(actions.output(3), watch_port=3), kind=FF),
        mod(2, bucket(actions.output(3), 1, 3), kind=SELECT), flow_mod(apply=actions.group(1)))
    compiled = world.hv.logical_switches["red"].entries_compiled
    assert alive(world, 2, 2) == [(1, of13.OFPG_ANY)]
    assert [group >> 28 for _, group in alive(world, 2, 1)] == [GroupKind.UPLINK]
    assert_equal_to_recompute(world)
    sent = {dpid: (switch.flow_mods, switch.group_mods) for dpid, switch in world.switches.items()}
    for up, wanted in ((False, []), (True, [GroupKind.UPLINK])):
        world.switches[2].set_port(1, up)
        world.run()
        controller.take(*["PORT_STATUS"] if up else PORT_LOST)
        assert [group >> 28 for _, group in alive(world, 2, 1)] == wanted
        assert_equal_to_recompute(world)
    assert {dpid: (switch.flow_mods, switch.group_mods) for dpid, switch in world.switches.items()} == {
        dpid: (flows, groups + 2 * (dpid < 4)) for dpid, (flows, groups) in sent.items()}
    assert world.hv.logical_switches["red"].entries_compiled == compiled


def test_a_port_that_its_tenant_sets_down_is_not_alive_anywhere() -> None:
    world, controller = red()
    add(controller, mod(1, bucket(actions.output(2), watch_port=2), kind=FF))
    hw_addr = world.hv.logical_switches["red"].ports[2].hw_addr
    for config, count in ((of13.OFPPC_PORT_DOWN, 0), (0, 1)):
        controller.send(build.port_mod(1, 2, hw_addr, config, of13.OFPPC_PORT_DOWN))
        world.pass_time(3.0)
        controller.messages.clear()
        assert [len(alive(world, 2, dpid)) for dpid in (1, 2, 3)] == [count] * 3
        assert_equal_to_recompute(world)


def test_an_absent_switch_takes_its_ports_liveness_along_and_brings_it_back() -> None:
    world, controller = red()
    add(controller, mod(1, bucket(actions.output(2), watch_port=2), kind=FF))
    world.switches[2].disconnect()
    assert len(alive(world, 2)) == 1, "within the grace nothing changes"
    world.pass_time(11.0)
    assert alive(world, 2) == []
    world.switches[2].connect()
    world.pass_time(3.0)
    assert len(alive(world, 2)) == 1
    assert_equal_to_recompute(world)


def test_ports_are_told_apart_only_while_a_group_watches_them() -> None:
    world, controller = red()
    before = set(world.switches[1].groups)
    add(controller, mod(1, bucket(actions.output(2), watch_port=2) + bucket(b"", watch_port=99), kind=FF))
    add(controller, mod(1, bucket(actions.output(2), watch_port=3), MODIFY, kind=FF))
    assert len(alive(world, 3)) == 1
    assert_equal_to_recompute(world)
    controller.send(mod(2, bucket(b"", watch_port=99), kind=FF))
    intent.put_port(world.hv, "red", port_spec(99, "red99", 3, 5), world.now)
    world.pass_time(3.0)
    controller.take("PORT_STATUS", "PORT_STATUS")
    assert len(alive(world, 99)) == 1
    assert_equal_to_recompute(world)
    intent.delete_port(world.hv, "red", 99, lambda at: None, world.now)
    world.pass_time(3.0)
    controller.take("PORT_STATUS")
    assert_equal_to_recompute(world)
    add(controller, mod(of13.OFPG_ALL, b"", DELETE))
    assert set(world.switches[1].groups) == before


def test_a_bucket_that_watches_a_port_and_a_group_follows_the_port_while_it_is_up() -> None:
    world, controller = red()
    add(controller, mod(1), mod(2, bucket(b"", 0, 2, 1) + bucket(b"", 0, 1, 1), kind=FF))
    kinds = [(each.watch_port, each.watch_group >> 28) for each in physical(world, 2)]
    assert kinds == [(of13.OFPP_ANY, GroupKind.ALIVE), (1, GroupKind.TENANT)]
    world.switches[2].set_port(1, False)
    world.switches[1].set_port(1, False)
    world.run()
    kinds = [(each.watch_port, each.watch_group >> 28) for each in physical(world, 2)]
    assert kinds == [(of13.OFPP_ANY, GroupKind.TENANT)] * 2
    controller.messages.clear()
    assert_equal_to_recompute(world)


def test_a_modification_that_changes_nothing_is_sent_all_the_same_and_resets_the_counters() -> None:
    world, controller = red()
    add(controller, mod(1))
    sent = world.switches[1].group_mods
    add(controller, mod(1, command=MODIFY))
    variants = 3
    assert world.switches[1].group_mods == sent + variants
    assert_equal_to_recompute(world)
    world.switches[1].disconnect()
    world.switches[1].connect()
    world.pass_time(1.0)
    assert world.switches[1].group_mods == sent + variants, "but not again when the switch is read"


def test_select_is_refused_where_a_switch_lacks_it() -> None:
    world, controller = red()
    world.hv.switches.datapaths[2].offer.group_features = GroupFeatures(0b1101, 0, (1, 0, 1, 1), (0, 0, 0, 0))
    assert controller.refused(mod(1, kind=SELECT)) == (FAILED, of13.OFPGMFC_BAD_TYPE)
    features = controller.ask(multipart_request(3, Kind.GROUP_FEATURES)).body
    assert features.types == 0b1101 and features.max_groups[SELECT] == 0
    add(controller, mod(1), mod(1, b"", DELETE, kind=SELECT))


def test_what_a_switch_lacks_is_refused_before_any_switch_hears_of_it() -> None:
    world, controller = red()
    sent = [switch.group_mods for switch in world.switches.values()]
    push_mpls = bytes((0, of13.OFPAT_PUSH_MPLS, 0, 8, 0x88, 0x47, 0, 0))
    offered = ((1 << 26) - 1) & ~(1 << of13.OFPAT_PUSH_MPLS)
    world.hv.switches.datapaths[2].offer.group_features = GroupFeatures(0xF, 0xF, (9,) * 4, (offered,) * 4)
    refused = (of13.OFPET_BAD_ACTION, of13.OFPBAC_BAD_TYPE)
    assert controller.refused(mod(1, TO_2 + bucket(push_mpls + actions.output(2)))) == refused
    assert held(controller) == [] and [switch.group_mods for switch in world.switches.values()] == sent
    features = controller.ask(multipart_request(3, Kind.GROUP_FEATURES)).body
    assert {bits >> of13.OFPAT_PUSH_MPLS & 1 for bits in features.actions} == {0}
    assert {bits >> of13.OFPAT_SET_QUEUE & 1 for bits in features.actions} == {1}
    add(controller, mod(1))
    assert controller.refused(mod(1, bucket(push_mpls), MODIFY)) == refused
    assert_equal_to_recompute(world)


@pytest.mark.parametrize("kind, each", [(ALL, bucket(b"")), (SELECT, bucket(actions.output(2), 1))])
def test_each_bucket_of_a_group_mod_is_walked_a_bounded_number_of_times(
    kind: int, each: bytes, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Trap 41: on three edges, one of them with two variants of every group, and by whoever looks at it."""
    world, controller = red()
    count = 60000 // len(each)
    add(controller, mod(1, kind=kind, buckets=bucket(b"", 1) * 2 if kind == SELECT else b""))
    walked, lowered = [0], [0]

    def counted(*fields: Any) -> Bucket:
        walked[0] += 1
        return Bucket(*fields)

    def counted_lower(*args: Any, **kwargs: Any) -> bytes:
        lowered[0] += 1
        return lower(*args, **kwargs)

    monkeypatch.setattr("hvproxy.openflow.groups.Bucket", counted)
    monkeypatch.setattr("hvproxy.compiler.buckets.lower", counted_lower)
    add(controller, mod(1, each * count, MODIFY, kind))
    assert walked == [count], "once for all"
    assert lowered == [5], "equal ones once on each edge, and for each of two sub-ports"
    assert_equal_to_recompute(world)


def test_watching_is_limited_since_a_switch_looks_along_every_way() -> None:
    groups = TenantGroups(1000)

    def apply(group_id: int, buckets: bytes, command: int = ADD) -> None:
        groups.apply(GroupMod(1, command, FF, group_id, buckets), (), 0.0)

    apply(1, bucket(b"", watch_port=1) * 30)
    apply(2, watching(*[1] * 30))
    with pytest.raises(Refused) as refused:
        apply(3, watching(2, 2))
    assert refused.value.code == of13.OFPGMFC_CHAINING_UNSUPPORTED
    apply(3, watching(2))
    with pytest.raises(Refused):
        apply(1, bucket(b"", watch_port=1) * 40, MODIFY)
    with pytest.raises(Refused) as refused:
        apply(1, watching(3), MODIFY)
    assert refused.value.code == of13.OFPGMFC_LOOP
    assert not groups.watched.keys() - {1}


def test_watching_goes_no_further_than_naming() -> None:
    groups = TenantGroups(1000)
    for number in range(1, LONGEST_CHAIN):
        groups.apply(GroupMod(1, ADD, FF, number, watching(number + 1)), (), 0.0)
    with pytest.raises(Refused) as refused:
        groups.apply(GroupMod(1, ADD, FF, LONGEST_CHAIN, watching(LONGEST_CHAIN + 1)), (), 0.0)
    assert refused.value.code == of13.OFPGMFC_CHAINING_UNSUPPORTED


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


def changing(command: int, group_id: int, buckets: bytes = TO_2, kind: int = INDIRECT) -> GroupMod:
    return GroupMod(1, command, kind, group_id, buckets)


def test_going_back_undoes_everything() -> None:
    groups = TenantGroups(100)
    for group_id in (1, 2):
        groups.apply(changing(ADD, group_id), (5,), 1.0)
    before, saved = {name: repr(value) for name, value in vars(groups).items()}, groups.snapshot()
    groups.apply(changing(MODIFY, 1, bucket(actions.output(9), watch_port=3), FF), (5,), 2.0)
    groups.apply(changing(ADD, 3), (5,), 2.0)
    groups.remove([2])
    groups.go_back(saved)
    assert {name: repr(value) for name, value in vars(groups).items()} == before


def test_what_was_modified_or_deleted_is_brought_back() -> None:
    groups = TenantGroups(100)
    for group_id in (1, 2):
        groups.apply(changing(ADD, group_id), (5,), 1.0)
    was = dict(groups.groups)
    groups.apply(changing(MODIFY, 1, bucket(actions.output(9))), (5,), 2.0)
    groups.remove([2])
    for group_id in (1, 2):
        groups.bring_back(was[group_id], 3.0)
        assert groups.groups[group_id].buckets == was[group_id].buckets
        assert set(groups.groups[group_id].indexes) == {0, 5}
    groups.remove([1, 2])
    assert not groups.created and not groups.counters
