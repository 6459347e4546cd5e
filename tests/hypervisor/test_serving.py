"""A new logical switch is served when all is known; one of before a restart when its own switches are."""
from __future__ import annotations

from hvproxy.hypervisor import intent
from hvproxy.hypervisor.settings import Settings
from hvproxy.openflow import actions
from hvproxy.openflow.constants import of13
from hvproxy.openflow.multipart import Kind, multipart_request
from tests.harness import Controller, World, spec
from tests.hypervisor.worlds import (
    LINKS, a_stored_world, add, assert_equal_to_recompute, changes, flow_mod, in_port, packets,
)

RED, BLUE = spec("red", {1: (1, 1), 2: (3, 1)}), spec("blue", {1: (2, 3)})


def test_a_new_one_waits_until_all_switches_are_known_or_given_up() -> None:
    world = World(RED, settings=Settings(links=LINKS, grace=10.0))
    world.add_switches(1, 3, 0x11, 0x12)
    world.pass_time(9.0)
    assert world.hv.serving.waiting == {"red"}
    world.pass_time(2.0)
    assert not world.hv.serving.waiting


def test_one_that_is_deleted_is_waited_for_no_more() -> None:
    world, _ = a_stored_world(RED, BLUE)
    world.switches[2].disconnect()
    world.restart()
    assert world.hv.serving.waiting == {"blue"}
    intent.delete_logical_switch(world.hv, "blue", lambda at: None, world.now)
    world.pass_time(11.0)
    assert not world.hv.serving.waiting


def test_after_a_restart_it_waits_only_for_switches_that_may_know_more_of_it() -> None:
    world, controller = a_stored_world(RED, BLUE, secret=b"s" * 32)
    add(controller, flow_mod(match=in_port(1), apply=actions.output(2)),
        flow_mod(match=in_port(2), hard_timeout=4, flags=of13.OFPFF_SEND_FLOW_REM))
    world.switches[1].count(10, 5, 500)
    assert packets(controller) == 5
    before = changes(world)
    world.switches[2].disconnect()
    world.switches[3].disconnect()
    world.restart()
    assert world.hv.serving.waiting == {"red", "blue"}
    world.switches[3].connect()
    world.run()
    assert world.hv.serving.waiting == {"blue"} and changes(world) == before
    again = Controller(world, "red")
    assert packets(again) == 5
    world.pass_time(4.0)
    again.take("FLOW_REMOVED")
    world.pass_time(4.0)
    assert world.hv.serving.waiting == {"blue"}
    world.pass_time(4.0)
    assert not world.hv.serving.waiting
    assert [each.state for each in again.ask(multipart_request(7, Kind.PORT_DESC, b"")).body] == [of13.OFPPS_LIVE] * 2
    assert_equal_to_recompute(world)
