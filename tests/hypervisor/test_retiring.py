"""What a rule has counted on an edge that its entry has left outlives any kill, to the last packet."""
from __future__ import annotations

import pytest

from hvproxy.hypervisor import intent
from hvproxy.openflow import actions, build
from hvproxy.openflow.constants import of13
from hvproxy.openflow.multipart import multipart_request
from tests.harness import Controller, World
from tests.hypervisor.worlds import (
    a_stored_world, add, assert_equal_to_recompute, flow_mod, in_port, port_spec, removed,
)

GONE = 4.0
"""Seconds after which nothing retires any more."""
ENTRY = flow_mod(match=in_port(1), apply=actions.output(2), flags=of13.OFPFF_SEND_FLOW_REM)


def counting() -> tuple[World, Controller]:
    """An entry that has counted 5 packets on switch 1, of which nobody has heard."""
    world, controller = a_stored_world()
    add(controller, ENTRY)
    world.pass_time(2.0)
    world.switches[1].count(10, 5, 500)
    return world, controller


def move(world: World, *at: int, at_once: bool = True) -> None:
    """The port whose frames the entry matches is elsewhere: at once if the place it was at is down."""
    if at_once:
        world.switches[1].set_port(1, False)
        world.run()
    intent.put_port(world.hv, "red", port_spec(1, "red1", *at), world.now)
    world.run()


def retiring(world: World) -> list[bytes]:
    """The instructions of the rules of tenants' entries on switch 1."""
    return [rule[1] for key, rule in world.switches[1].rules.items() if key[0] == 10]


def packets(controller: Controller) -> int:
    """What the entry has counted."""
    controller.world.run()
    controller.messages.clear()
    count, = controller.ask(build.flow_stats_request(3)).body
    return int(count.packet_count)


def records(world: World) -> list[str]:
    return [key for key in world.records if key.startswith("ls/red/retired/")]


def test_a_rule_goes_when_its_count_is_final_and_stored() -> None:
    world, controller = counting()
    move(world, 3, 4)
    assert retiring(world) == [b""] and len(records(world)) == 1
    assert_equal_to_recompute(world)
    world.pass_time(1.0)
    world.switches[1].count(10, 3, 300)  # that had been met before, and is counted late
    world.pass_time(1.0)
    assert retiring(world) == [b""]
    world.pass_time(GONE)
    assert retiring(world) == [] and records(world) == []
    assert packets(controller) == 8
    assert_equal_to_recompute(world)


def test_a_rule_stays_as_long_as_its_count_cannot_be_stored() -> None:
    world, controller = counting()
    move(world, 3, 4)
    world.hold_commits = True
    world.hv.store_failed("the disk is full", world.now)
    world.pass_time(2 * GONE)
    assert retiring(world) == [b""]
    world.hold_commits = False
    world.restart()
    assert retiring(world) == [b""] and packets(Controller(world, "red")) == 5
    world.pass_time(GONE)
    assert retiring(world) == [] and packets(Controller(world, "red")) == 5


@pytest.mark.parametrize("silent", [False, True])
@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("after", [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0])
def test_every_packet_counts_whenever_hvproxy_is_killed(after: float, at_once: bool, silent: bool) -> None:
    """`silent`: what switches tell of rules that go is lost in the kill."""
    world, controller = counting()
    world.switches[1].hold_removals = silent
    told = []
    move(world, 3, 4, at_once=at_once)
    world.pass_time(after)
    told.append(packets(controller))
    for seconds in (0.0, 0.3, 1.2, 2 * GONE):
        world.restart()
        world.pass_time(seconds)
        told.append(packets(Controller(world, "red")))
        assert_equal_to_recompute(world)
    assert told == [5] * len(told)
    assert retiring(world) == [] and records(world) == []


def test_a_kill_before_the_move_is_stored_leaves_the_rule_as_it_was_or_retired() -> None:
    world, controller = counting()
    world.hold_commits = True
    move(world, 3, 4)
    world.hold_commits = False
    world.restart()
    world.pass_time(GONE)
    assert packets(Controller(world, "red")) == 5
    assert_equal_to_recompute(world)


def test_an_entry_that_comes_back_goes_on_counting_with_the_rule_it_had() -> None:
    world, controller = counting()
    move(world, 3, 4)
    intent.put_port(world.hv, "red", port_spec(1, "red1", 1, 4), world.now)
    world.run()
    assert len(retiring(world)) == 1 and retiring(world) != [b""] and records(world) == []
    world.switches[1].count(10, 2, 200)
    world.pass_time(GONE)
    assert packets(controller) == 7
    assert_equal_to_recompute(world)


def test_an_entry_that_goes_meanwhile_tells_what_its_rule_counted() -> None:
    world, controller = counting()
    move(world, 3, 4)
    controller.send(flow_mod(command=of13.OFPFC_DELETE))
    assert [each.packet_count for each in removed(world, controller)] == [5]
    assert retiring(world) == [] and records(world) == []
    assert_equal_to_recompute(world)


def test_counters_that_are_reset_meanwhile_begin_at_zero() -> None:
    world, controller = counting()
    move(world, 3, 4)
    controller.send(flow_mod(match=in_port(1), apply=actions.output(2), flags=of13.OFPFF_RESET_COUNTS))
    world.run()
    assert retiring(world) == [] and records(world) == []
    world.pass_time(GONE)
    assert packets(controller) == 0
    table = controller.ask(multipart_request(3, of13.OFPMP_TABLE, b"")).body[0]
    assert table.matched_count == 5
    assert_equal_to_recompute(world)


def test_a_switch_that_begins_anew_meanwhile_is_rid_of_it() -> None:
    world, controller = counting()
    assert packets(controller) == 5
    move(world, 3, 4)
    world.switches[1].reboot()
    world.pass_time(3 * GONE)
    assert retiring(world) == [] and records(world) == [] and packets(controller) == 5
    assert_equal_to_recompute(world)


def test_a_switch_that_is_away_keeps_it_until_it_is_back() -> None:
    world, controller = counting()
    world.switches[1].disconnect()
    intent.put_port(world.hv, "red", port_spec(1, "red1", 3, 4), world.now)
    world.pass_time(5 * GONE)
    assert len(records(world)) == 1
    world.switches[1].connect()
    world.pass_time(GONE)
    assert retiring(world) == [] and records(world) == [] and packets(controller) == 5


def test_a_logical_switch_that_is_deleted_meanwhile_leaves_nothing() -> None:
    world, controller = counting()
    move(world, 3, 4)
    intent.delete_logical_switch(world.hv, "red", lambda at: None, world.now)
    world.pass_time(GONE)
    assert retiring(world) == [] and [key for key in world.records if key.startswith("ls/")] == []
    assert_equal_to_recompute(world)
