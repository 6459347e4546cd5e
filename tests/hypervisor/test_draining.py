"""What is left on a switch that is drained, and when nothing is any more."""
from __future__ import annotations

from hvproxy.hypervisor import draining
from hvproxy.hypervisor.drain_orders import DrainSpec, begin, end
from hvproxy.hypervisor.drains import ALL
from hvproxy.hypervisor.labels import DRAIN
from tests.harness import World, spec
from tests.hypervisor.databases_end import EndDatabase, logged
from tests.hypervisor.databases_end import a_world as a_world_with_databases
from tests.hypervisor.worlds import a_world, assert_equal_to_recompute
from tests.ovsdb.rows import Contents, Vif


def left(world: World, dpid: int, name: str = ALL) -> tuple[list[int], list[int], list[int], list[tuple[int, int]]]:
    found = draining.remains(world.hv, (dpid, name))
    return ([port.number for _, port in found.staying], [port.number for _, port in found.moving],
            [port.number for _, port in found.down], found.paths)


def test_paths_lead_round_a_drained_switch_and_back() -> None:
    world = a_world(spec("red", {1: (1, 1), 2: (2, 1), 3: (3, 1)}))
    crossed = {spine: world.hv.fabric.crossing(spine) for spine in (0x11, 0x12)}
    assert sum(map(len, crossed.values())) == 6
    begin(world.hv, 0x11, DrainSpec(), world.now)
    world.pass_time(0.5)
    assert left(world, 0x11) == ([], [], [], []) and len(world.hv.fabric.crossing(0x12)) == 6
    assert_equal_to_recompute(world)
    assert (0x11, ALL) not in world.hv.drains.over
    world.pass_time(DRAIN + 1.5)
    assert (0x11, ALL) in world.hv.drains.over
    assert logged(world, "switch drained") == [{"dpid": "0000000000000011", "logical_switch": None}]
    end(world.hv, 0x11, None, world.now)
    world.pass_time(0.5)
    assert {spine: world.hv.fabric.crossing(spine) for spine in crossed} == crossed
    assert_equal_to_recompute(world)


def test_where_there_is_no_other_way_it_is_told_and_kept() -> None:
    world = a_world(spec("red", {1: (1, 1), 2: (2, 1), 3: (3, 1)}))
    world.disconnect(world.switches[0x12].conn)
    world.pass_time(11.0)
    begin(world.hv, 0x11, DrainSpec(force=True), world.now)
    world.pass_time(DRAIN + 2.0)
    assert left(world, 0x11)[3] == [(1, 2), (1, 3), (2, 1), (2, 3), (3, 1), (3, 2)]
    assert not world.hv.drains.over and all(p.up for p in world.hv.logical_switches["red"].ports.values())


def test_ports_move_stay_or_are_forced_down() -> None:
    world = a_world_with_databases()
    database = EndDatabase(world, "unix:/db", Contents(
        [Vif("a", 3), Vif("a", 5, "br2"), Vif("b", 4)], {"br": 1, "br2": 2})).connect()
    world.pass_time(1.0)
    begin(world.hv, 1, DrainSpec(logical_switch="red"), world.now)
    assert left(world, 1, "red") == ([2], [1], [], [])
    world.pass_time(DRAIN + 1.5)
    assert left(world, 1, "red") == ([2], [], [], []) and not world.hv.drains.over
    begin(world.hv, 1, DrainSpec(logical_switch="red", force=True), world.now)
    world.pass_time(DRAIN + 1.5)
    assert left(world, 1, "red") == ([], [], [2], []) and world.hv.drains.over == {(1, "red")}
    assert [port.up for port in world.hv.logical_switches["red"].ports.values()] == [True, False]
    assert_equal_to_recompute(world)
    database.vifs(Vif("a", 3))
    assert not world.hv.logical_switches["red"].ports[1].up, "nothing may come back"
    end(world.hv, 1, "red", world.now)
    world.pass_time(1.0)
    assert world.hv.logical_switches["red"].ports[1].up
    assert_equal_to_recompute(world)
