"""Restarts with a configuration file: who wins where file and store name the same."""
from __future__ import annotations

import pytest

from hvproxy.errors import Conflict
from hvproxy.hypervisor import configured, intent, tenants
from hvproxy.hypervisor.reconfigure import Wanted
from hvproxy.model.intent import LogicalSwitchSpec, TenantSpec
from hvproxy.openflow import actions
from tests.harness import Controller, World, spec
from tests.hypervisor.worlds import a_stored_world, add, assert_equal_to_recompute, flow_mod, port_spec

RED = spec("red", {1: (1, 1), 2: (2, 1)})
BLUE = spec("blue", {1: (1, 2), 2: (3, 1)})


def file(*specs: LogicalSwitchSpec) -> Wanted:
    return Wanted(tuple(TenantSpec(name=each.name, logical_switches=(each,)) for each in specs))


def started(*specs: LogicalSwitchSpec) -> tuple[World, Controller]:
    """A world that was started with these in its file, with an entry in red."""
    world, controller = a_stored_world(*specs)
    world.hv.tenants.update(each.tenant for each in specs)
    configured.applied(world.hv, file(*specs))
    add(controller, flow_mod(apply=actions.output(2)))
    return world, controller


def restart(world: World, *specs: LogicalSwitchSpec) -> set[str]:
    """Restart with a file that names these; the logical switches there are."""
    world.restart()
    configured.begin(world.hv, file(*specs), world.now)
    world.pass_time(3.0)
    assert_equal_to_recompute(world)
    return set(world.hv.logical_switches)


def ports(world: World, name: str = "red") -> set[int]:
    return set(world.hv.logical_switches[name].ports)


def test_the_first_start_makes_what_the_file_names() -> None:
    world = World()
    configured.begin(world.hv, file(RED, BLUE), world.now)
    assert set(world.hv.logical_switches) == {"red", "blue"} == world.hv.tenants


def test_the_same_file_changes_nothing_that_the_api_has_changed() -> None:
    world, _ = started(RED, BLUE)
    intent.put_port(world.hv, "red", port_spec(9, "late", 3, 4), world.now)
    intent.delete_logical_switch(world.hv, "blue", lambda at: None, world.now)
    world.pass_time(3.0)
    before = {dpid: switch.flow_mods for dpid, switch in world.switches.items()}
    assert restart(world, RED, BLUE) == {"red"}
    assert ports(world) == {1, 2, 9} and len(world.hv.logical_switches["red"].tables) == 1
    assert {dpid: switch.flow_mods for dpid, switch in world.switches.items()} == before


def test_a_changed_description_wins_and_entries_stay() -> None:
    world, _ = started(RED)
    intent.put_port(world.hv, "red", port_spec(9, "late", 3, 4), world.now)
    world.run()
    assert restart(world, spec("red", {1: (1, 1), 2: (2, 2), 3: (3, 3)})) == {"red"}
    assert ports(world) == {1, 2, 3} and len(world.hv.logical_switches["red"].tables) == 1
    assert restart(world, spec("red", {1: (1, 1), 2: (2, 2), 3: (3, 3)})) == {"red"}


def test_what_the_file_names_no_more_goes_and_what_the_api_made_stays() -> None:
    world, _ = started(RED, BLUE)
    green = spec("green", {1: (2, 5)}, 0xB9)
    tenants.create_tenant(world.hv, TenantSpec(name="green", logical_switches=(green,)), world.now)
    world.run()
    assert restart(world, RED) == {"red", "green"}
    assert world.hv.tenants == {"red", "green"}
    assert restart(world, RED) == {"red", "green"}
    assert restart(world, RED, BLUE) == {"red", "green", "blue"}


def test_another_datapath_id_makes_another_logical_switch() -> None:
    world, _ = started(RED)
    assert restart(world, spec("red", {1: (1, 1), 2: (2, 1)}, 0xC1)) == {"red"}
    assert len(world.hv.logical_switches["red"].tables) == 0


def test_a_file_that_contradicts_what_the_api_made_is_refused_with_its_path() -> None:
    world, _ = started(RED)
    tenants.create_tenant(world.hv, TenantSpec(name="green", logical_switches=(
        spec("green", {1: (2, 5)}, 0xB9),)), world.now)
    world.run()
    world.restart()
    with pytest.raises(Conflict) as caught:
        configured.begin(world.hv, file(RED, spec("blue", {1: (2, 5)})), world.now)
    assert caught.value.path == "tenants[1].logical_switches[0].ports[0].attach"
    assert set(world.hv.logical_switches) == {"red", "green"}
