"""Orders to drain a switch, what is told of them, and that a restart forgets none."""
from __future__ import annotations

from typing import Any

import pytest

from hvproxy.errors import NotFound
from hvproxy.hypervisor import intent
from hvproxy.hypervisor.drain_orders import DrainSpec, begin, drain, drains, end
from hvproxy.hypervisor.drains import ALL
from hvproxy.hypervisor.labels import DRAIN
from hvproxy.hypervisor.report import port
from tests.harness import World, spec
from tests.hypervisor.databases_end import EndDatabase
from tests.hypervisor.databases_end import a_world as a_world_with_databases
from tests.hypervisor.worlds import a_stored_world, assert_equal_to_recompute
from tests.ovsdb.rows import Contents, Vif

PORTS: dict[int, tuple[int, int] | tuple[int, int, int]] = {1: (1, 1), 2: (2, 1), 3: (3, 1)}


def ordered(world: World, dpid: int, **what: Any) -> dict[str, Any]:
    return drain(world.hv, begin(world.hv, dpid, DrainSpec(**what), world.now))


def told(world: World, dpid: int) -> list[Any]:
    return [(row["state"], row["text"]) for row in drains(world.hv, dpid)]


def test_a_transit_switch_is_drained_and_the_order_outlives_a_restart() -> None:
    world, _ = a_stored_world(spec("red", PORTS))
    row = ordered(world, 0x11)
    assert (row["dpid"], row["logical_switch"], row["force"], row["state"]) == (
        "0000000000000011", None, False, "draining")
    world.pass_time(DRAIN + 2.0)
    over = [("drained", ["datapath 0000000000000011 carries nothing and may be taken away"])]
    assert told(world, 0x11) == over
    world.restart()
    world.pass_time(DRAIN + 2.0)
    assert told(world, 0x11) == over and len(world.hv.fabric.crossing(0x12)) == 6
    assert_equal_to_recompute(world)
    end(world.hv, 0x11, None, world.now)
    world.pass_time(0.5)
    world.restart()
    world.pass_time(2.0)
    assert drains(world.hv, 0x11) == [] and world.hv.fabric.crossing(0x11)


def test_what_cannot_leave_is_told_with_what_to_do() -> None:
    world, controller = a_stored_world(spec("red", PORTS))
    ordered(world, 2)
    world.pass_time(1.0)
    assert told(world, 2) == [("stuck", ["port 2 (red2) of red stays: it is attached to port 1 there; attach it "
                                         "elsewhere, or take it down with --force"])]
    controller.take()
    ordered(world, 2, force=True)
    world.pass_time(DRAIN + 2.0)
    assert told(world, 2) == [("drained", [
        "port 2 (red2) of red is down by force: it is attached there",
        "datapath 0000000000000002 carries nothing and may be taken away"])]
    assert "hvproxy drain 0000000000000002 --undo" in why_down(world)
    world.restart()
    world.pass_time(2.0)
    assert not world.hv.logical_switches["red"].ports[2].up
    end(world.hv, 2, None, world.now)
    world.pass_time(1.0)
    assert world.hv.logical_switches["red"].ports[2].up
    assert_equal_to_recompute(world)


def why_down(world: World) -> str:
    return str(port(world.hv, "red", 2)["why_down"])


def test_vifs_that_move_and_that_cannot_are_told() -> None:
    world = a_world_with_databases()
    EndDatabase(world, "unix:/db", Contents(
        [Vif("a", 3), Vif("a", 5, "br2"), Vif("b", 4)], {"br": 1, "br2": 2})).connect()
    world.pass_time(1.0)
    row = ordered(world, 1, logical_switch="red")
    assert row["state"] == "draining" and row["text"] == [
        "port 1 (red1) of red moves to datapath 0000000000000002, port 5",
        "port 2 (red2) of red stays: its VIF b is on no other switch; migrate it, or take it down with --force"]
    assert row["moving"] == [{"logical_switch": "red", "number": 1, "name": "red1", "port_no": 5}]
    ordered(world, 1, logical_switch="red", force=True)
    world.pass_time(2 * DRAIN + 2.0)
    assert told(world, 1)[0][1][-1] == (
        "no port of red is on datapath 0000000000000001; its frames take the paths of all logical switches")
    intent.delete_logical_switch(world.hv, "red", lambda at: None, world.now)
    assert drains(world.hv, 1) == [] and not world.hv.drains


def test_frames_without_another_way_are_told() -> None:
    world, _ = a_stored_world(spec("red", {1: (1, 1), 2: (2, 1)}))
    world.disconnect(world.switches[0x12].conn)
    world.pass_time(11.0)
    ordered(world, 0x11)
    world.pass_time(1.0)
    assert told(world, 0x11) == [("stuck", [
        f"frames from 000000000000000{a} to 000000000000000{b} have no other way; add a link or a tunnel endpoint"
        for a, b in ((1, 2), (2, 1))])]


def test_what_is_not_there_is_not_drained() -> None:
    world, _ = a_stored_world(spec("red", PORTS))
    for call in (lambda: ordered(world, 0x77), lambda: ordered(world, 1, logical_switch="blue"),
                 lambda: drains(world.hv, 0x77), lambda: end(world.hv, 1, None, world.now)):
        with pytest.raises(NotFound):
            call()
    ordered(world, 1, logical_switch="red")
    with pytest.raises(NotFound):
        end(world.hv, 1, "blue", world.now)
    assert drains(world.hv, 0x11) == [] and world.hv.drains.keys == [(1, "red")] and not world.hv.drains.force((1, ALL))
