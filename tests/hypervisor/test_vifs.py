"""VIFs that take each other's places in one moment, and ports that waited for one."""
from __future__ import annotations

from hvproxy.hypervisor import intent
from hvproxy.hypervisor.labels import DRAIN
from hvproxy.model.intent import LogicalSwitchSpec, parse
from hvproxy.model.view import Vif as Bound
from tests.harness import World
from tests.hypervisor.databases_end import EndDatabase, a_world
from tests.hypervisor.worlds import assert_equal_to_recompute, port_spec
from tests.ovsdb.rows import Contents, Vif

TWO_ON_ONE = "two logical ports on one VIF: the later one stays down"


def one(*vifs: Vif) -> tuple[World, EndDatabase]:
    """Red's ports 1 and 2 are the VIFs a and b, blue's port 1 is the VIF c."""
    world = a_world()
    intent.create_logical_switch(world.hv, parse(LogicalSwitchSpec, {
        "name": "blue", "datapath_id": 0xB1, "ports": [{"number": 1, "name": "blue1", "attach": {"iface_id": "c"}}],
    }, tenant="blue"), world.now)
    return world, EndDatabase(world, "unix:/db", Contents(list(vifs), {"br": 1, "br2": 2})).connect()


def bound(world: World) -> list[Bound | None]:
    return [port.vif for ls in world.hv.logical_switches.values() for port in ls.ports.values()]


def test_vifs_change_places_in_one_moment_also_between_logical_switches() -> None:
    world, database = one(Vif("a", 3), Vif("b", 4), Vif("c", 5, "br2"))
    assert bound(world) == [Bound(1, 3), Bound(1, 4), Bound(2, 5)]
    database.vifs(Vif("a", 4), Vif("b", 5, "br2"), Vif("c", 3))
    assert bound(world) == [Bound(1, 4), Bound(2, 5), Bound(1, 3)]
    database.vifs(Vif("a", 3), Vif("b", 4), Vif("c", 5, "br2"))
    assert bound(world) == [Bound(1, 3), Bound(1, 4), Bound(2, 5)]
    world.pass_time(3.0)
    assert all(port.up for ls in world.hv.logical_switches.values() for port in ls.ports.values())
    assert TWO_ON_ONE not in world.hv.switches.alarms
    assert_equal_to_recompute(world)


def test_a_port_waits_for_a_place_that_another_has_and_takes_it_afterwards() -> None:
    world, database = one()
    intent.put_port(world.hv, "blue", port_spec(7, "seven", 1, 3), world.now)
    database.vifs(Vif("a", 3))
    assert bound(world)[0] is None
    world.pass_time(5.0)
    assert world.hv.switches.alarms[TWO_ON_ONE] == 1
    intent.put_port(world.hv, "blue", port_spec(7, "seven", 1, 4), world.now)
    world.pass_time(DRAIN + 1.5)
    assert bound(world)[0] == Bound(1, 3)
    assert_equal_to_recompute(world)


def test_nothing_is_bound_again_for_a_vif_that_has_no_port() -> None:
    world, _ = one(Vif("a", 200), Vif("b", 7))
    settled = world.hv.switches.alarms.copy()
    world.pass_time(5.0)
    assert bound(world) == [None, None, None] and world.hv.switches.alarms == settled
