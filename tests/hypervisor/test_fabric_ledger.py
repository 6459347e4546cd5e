"""What is noted of the fabric and of tenants."""
from __future__ import annotations

from hvproxy.hypervisor import intent, tenants
from hvproxy.model.intent import TenantSpec, parse
from tests.hypervisor.worlds import a_stored_world, assert_equal_to_recompute, port_spec


def test_labels_rest_over_a_restart() -> None:
    world, controller = a_stored_world()
    resting = world.hv.fabric.labels.used["deliver", 1, world.hv.logical_switches["red"].ports[2].index]
    intent.delete_port(world.hv, "red", 2, lambda at: None, world.now)
    world.run()
    world.restart()
    world.pass_time(0.5)
    assert f"rest/{resting}" in world.records and resting not in world.hv.fabric.labels.used.values()
    intent.put_port(world.hv, "red", port_spec(2, "red2", 2, 1), world.now)
    assert resting not in world.hv.fabric.labels.used.values()
    world.pass_time(5.0)
    assert f"rest/{resting}" not in world.records


def test_blocks_of_labels_are_whose_they_were_before_a_restart() -> None:
    world, _ = a_stored_world(first_vid=16, last_vid=4079)
    held = {dpid: set(switch.rules) for dpid, switch in world.switches.items()}
    blocks = {name for name in world.records if name.startswith("block/")}
    assert len(blocks) > 1
    world.restart()
    world.pass_time(5.0)
    assert {name for name in world.records if name.startswith("block/")} == blocks
    assert {dpid: set(switch.rules) for dpid, switch in world.switches.items()} == held
    assert_equal_to_recompute(world)


def test_links_and_switches_are_noted_as_they_come_and_go() -> None:
    world, _ = a_stored_world()
    assert "link/1:7-17:1" in world.records and "datapath/1" in world.records
    world.switches[0x11].set_port(1, up=False)
    world.pass_time(1.0)
    assert "link/1:7-17:1" not in world.records and "link/1:8-18:1" in world.records


def test_tenants_are_noted() -> None:
    world, _ = a_stored_world()
    tenants.create_tenant(world.hv, parse(TenantSpec, {"name": "green"}), world.now)
    world.run()
    assert "tenant/green" in world.records
    world.restart()
    assert "green" in world.hv.tenants
    tenants.delete_tenant(world.hv, "green", lambda at: None, world.now)
    world.run()
    assert "tenant/green" not in world.records
