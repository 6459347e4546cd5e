"""Going back to a snapshot: what was is again, what stands is left alone, and tenants are told as of a controller."""
from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from hvproxy.errors import Conflict, NotFound
from hvproxy.hypervisor import intent, snapshots
from hvproxy.hypervisor.snapshots import CloneSpec
from hvproxy.model.snapshot import Snapshot
from hvproxy.openflow import actions, build
from hvproxy.openflow.constants import of13
from hvproxy.openflow.groups import bucket
from hvproxy.openflow.oxm import tlv
from tests.harness import Controller, World
from tests.hypervisor.worlds import a_stored_world, a_world, add, assert_equal_to_recompute, flow_mod, meter_mod

TABLE_FULL = (of13.OFPET_FLOW_MOD_FAILED, of13.OFPFMFC_TABLE_FULL)


def group_mod(group_id: int, *ports: int, command: int = of13.OFPGC_ADD) -> bytes:
    return build.group_mod(9, command, of13.OFPGT_ALL, group_id,
                           b"".join(bucket(actions.output(port)) for port in ports))


def to(port: int, **fields: Any) -> bytes:
    """An entry for frames to that port's host."""
    return flow_mod(match=tlv(of13.OFPXMT_OFB_ETH_DST, port), apply=actions.output(port), **fields)


def shot(world: World, name: str = "red") -> Snapshot:
    found: list[Snapshot] = []
    snapshots.take(world.hv, name, found.append, world.now)
    world.run()
    (snapshot,) = found
    return snapshot


def back(world: World, snapshot: Snapshot, name: str = "red") -> Any:
    """What was changed, or the Conflict."""
    found: list[Any] = []
    snapshots.roll_back(world.hv, name, snapshot, found.append, found.append, world.now)
    world.run()
    world.pass_time(1.0)
    (outcome,) = found
    return outcome


def contents(snapshot: Snapshot) -> Snapshot:
    """Without the time and what was counted."""
    return replace(
        snapshot, taken=0.0, entries=[replace(each, counted=(0, 0)) for each in snapshot.entries],
        groups=[replace(each, counted=(0, 0), of_buckets=[]) for each in snapshot.groups],
        meters=[replace(each, counted=(0, 0), of_bands=[]) for each in snapshot.meters])


def filled() -> tuple[World, Controller]:
    world = a_world()
    world.hv.tenants.add("red")
    controller = Controller(world, "red")
    add(controller, group_mod(7, 1, 2), meter_mod(1, 1000),
        to(1), to(2, cookie=5, flags=of13.OFPFF_SEND_FLOW_REM),
        flow_mod(priority=9, apply=actions.group(7), meter=1, flags=of13.OFPFF_SEND_FLOW_REM))
    return world, controller


def test_what_is_as_it_was_is_left_alone() -> None:
    world, _ = filled()
    before = shot(world)
    sent = [(each.flow_mods, each.group_mods, each.meter_mods) for each in world.switches.values()]
    assert back(world, before) == {"entries": 0, "groups": 0, "meters": 0, "ports": 0}
    assert sent == [(each.flow_mods, each.group_mods, each.meter_mods) for each in world.switches.values()]
    assert len(world.hv.logical_switches["red"].sessions) == 1


def test_everything_is_again_as_it_was_and_tenants_are_told() -> None:
    world, controller = filled()
    before = shot(world)
    port = world.hv.logical_switches["red"].ports[1]
    messages = (
        to(1, command=of13.OFPFC_DELETE), to(3, flags=of13.OFPFF_SEND_FLOW_REM), to(2, cookie=6),
        group_mod(7, 3, command=of13.OFPGC_MODIFY), group_mod(8, 1), meter_mod(1, 5, command=of13.OFPMC_MODIFY),
        meter_mod(2, 5), build.port_mod(9, 1, port.hw_addr, of13.OFPPC_NO_FWD, of13.OFPPC_NO_FWD),
        build.group_mod(9, of13.OFPGC_DELETE, of13.OFPGT_ALL, 7))
    controller.send(b"".join(messages))
    world.pass_time(1.0)
    controller.messages.clear()
    assert back(world, before) == {"entries": 4, "groups": 2, "meters": 2, "ports": 1}
    assert contents(shot(world)) == contents(before)
    assert_equal_to_recompute(world)
    removed, status = controller.take("FLOW_REMOVED", "PORT_STATUS")
    assert (removed.reason, removed.match.get("eth_dst")) == (of13.OFPRR_DELETE, "00:00:00:00:00:03")
    assert status.desc.port_no == 1 and not status.desc.config


def test_what_stands_keeps_counting_and_what_comes_back_goes_on() -> None:
    world, controller = filled()
    for switch in world.switches.values():
        if switch.cookies():
            switch.count(10, 3, 300)
    before = shot(world)
    assert any(each.counted[0] for each in before.entries)
    add(controller, to(1, command=of13.OFPFC_DELETE))
    world.pass_time(3.0)
    back(world, before)
    assert [each.counted for each in shot(world).entries] == [each.counted for each in before.entries]


def test_flags_that_were_an_order_are_told_again() -> None:
    world, controller = filled()
    add(controller, to(9, priority=77, flags=of13.OFPFF_CHECK_OVERLAP | of13.OFPFF_RESET_COUNTS))
    before = shot(world)
    controller.send(build.flow_mod(9, of13.OFPFC_DELETE, table_id=0))
    world.pass_time(1.0)
    back(world, before)
    assert contents(shot(world)) == contents(before) and back(world, before)["entries"] == 0


def test_groups_that_name_each_other_the_other_way_round_change_places() -> None:
    world, controller = filled()
    naming = build.group_mod(9, of13.OFPGC_ADD, of13.OFPGT_ALL, 20, bucket(actions.group(21)))
    add(controller, group_mod(21, 1), naming)
    before = shot(world)
    add(controller, group_mod(20, 1, command=of13.OFPGC_MODIFY),
        build.group_mod(9, of13.OFPGC_MODIFY, of13.OFPGT_ALL, 21, bucket(actions.group(20))))
    assert back(world, before)["groups"] == 2
    assert contents(shot(world)) == contents(before)


def test_a_refusal_of_a_switch_leaves_everything_as_it_was() -> None:
    world, controller = filled()
    before = shot(world)
    controller.send(build.flow_mod(9, of13.OFPFC_DELETE, table_id=0) + meter_mod(1, 5, command=of13.OFPMC_MODIFY))
    world.pass_time(1.0)
    now = shot(world)
    world.switches[2].refuse = TABLE_FULL
    assert isinstance(back(world, before), Conflict)
    world.switches[2].refuse = None
    assert contents(shot(world)) == contents(now)
    assert_equal_to_recompute(world)
    assert back(world, before)["entries"] == 3


def test_what_the_logical_switch_cannot_hold_is_refused_and_nothing_changes() -> None:
    world, _ = filled()
    before = shot(world)
    strange = replace(before.entries[0], table_id=200)
    outcome = back(world, replace(before, entries=[*before.entries, strange]))
    assert isinstance(outcome, Conflict) and "nothing has changed" in outcome.what
    assert contents(shot(world)) == contents(before)


def test_a_clone_has_the_same_and_counts_from_zero() -> None:
    world, _ = filled()
    for switch in world.switches.values():
        if switch.cookies():
            switch.count(10, 3, 300)
    before = shot(world)
    spec = snapshots.clone_spec(world.hv, "red", CloneSpec(name="copy"))
    found: list[Any] = []
    snapshots.clone(world.hv, spec, before, found.append, found.append, world.now)
    world.pass_time(0.1)
    assert found == [{"entries": 3, "groups": 1, "meters": 1, "ports": 0}]
    copy = shot(world, "copy")
    assert contents(replace(copy, name="red", spec=before.spec)) == contents(before)
    assert {each.counted for each in copy.entries} == {(0, 0)}
    assert spec.datapath_id != world.hv.logical_switches["red"].spec.datapath_id
    assert all(port.attach is None for port in spec.ports)


def begun() -> tuple[World, Snapshot, list[Any]]:
    """A rollback of many entries that one of the switches lets nobody finish."""
    world, controller = a_stored_world()
    add(controller, group_mod(7, 1, 2), meter_mod(1, 1000), *(to(number, cookie=number) for number in range(1, 301)))
    before = shot(world)
    controller.send(build.flow_mod(9, of13.OFPFC_DELETE, table_id=0) + to(1, cookie=99) + to(999))
    world.pass_time(1.0)
    world.switches[1].hold_barriers = True
    found: list[Any] = []
    snapshots.roll_back(world.hv, "red", before, found.append, found.append, world.now)
    world.run()
    assert not found and 0 < len(world.hv.logical_switches["red"].tables) < 300
    return world, before, found


def test_one_rollback_at_a_time() -> None:
    world, before, found = begun()
    why = back(world, before)
    assert isinstance(why, Conflict) and "is being rolled back" in why.what
    world.switches[1].hold_barriers = False
    world.switches[1].release()
    world.pass_time(1.0)
    assert [each["entries"] for each in found] == [301] and contents(shot(world)) == contents(before)
    assert_equal_to_recompute(world)


def test_a_restart_carries_a_rollback_on() -> None:
    world, before, _ = begun()
    world.switches[1].hold_barriers = False
    world.restart()
    world.pass_time(3.0)
    assert contents(shot(world)) == contents(before)
    assert_equal_to_recompute(world)
    assert not [key for key in world.records if "/rollback/" in key]
    world.restart()
    world.pass_time(3.0)
    assert contents(shot(world)) == contents(before)


def test_a_logical_switch_that_is_deleted_meanwhile_is_not_filled_any_more() -> None:
    world, _, found = begun()
    done: list[float] = []
    intent.delete_logical_switch(world.hv, "red", done.append, world.now)
    assert isinstance(found[0], Conflict) and "is deleted" in found[0].what
    world.switches[1].hold_barriers = False
    world.switches[1].release()
    world.pass_time(3.0)
    assert done and not any("ls/red" in key for key in world.records)
    assert all(not switch.cookies() for switch in world.switches.values())


def test_there_is_nothing_to_go_back_for_what_does_not_exist() -> None:
    world, _ = filled()
    with pytest.raises(NotFound):
        snapshots.take(world.hv, "grey", lambda snapshot: None, world.now)
    with pytest.raises(NotFound):
        back(world, shot(world), "grey")


@given(st.lists(st.tuples(st.sampled_from(("add", "delete", "modify", "group", "ungroup")), st.integers(1, 4)),
                max_size=12), st.integers(0, 12))
def test_any_way_leads_back(steps: list[tuple[str, int]], at: int) -> None:
    world = a_world()
    controller = Controller(world, "red")
    taken = shot(world)
    for place, (what, number) in enumerate(steps):
        if place == at:
            taken = shot(world)
        message = {
            "add": to(number, cookie=place), "delete": to(number, command=of13.OFPFC_DELETE),
            "modify": flow_mod(match=tlv(of13.OFPXMT_OFB_ETH_DST, number), apply=actions.group(number),
                               command=of13.OFPFC_MODIFY),
            "group": group_mod(number, number), "ungroup": build.group_mod(9, of13.OFPGC_DELETE, 0, number)}[what]
        controller.send(message)
    world.pass_time(1.0)
    assert not isinstance(back(world, taken), Conflict)
    assert contents(shot(world)) == contents(taken)
    assert_equal_to_recompute(world)
