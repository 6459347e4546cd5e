"""Tenants with all their logical switches, made and unmade as one."""
from __future__ import annotations

import pytest
from msgspec.structs import replace

from hvproxy.errors import Conflict, Exhausted, ModelError, NotFound
from hvproxy.hypervisor import tenants
from hvproxy.hypervisor.settings import Settings
from hvproxy.hypervisor.replacing import Plan
from hvproxy.model.intent import LogicalSwitchSpec, TenantSpec, owned
from hvproxy.model.layout import ContextLayout
from tests.harness import World, spec

RED = spec("red", {1: (1, 1), 2: (2, 1)})
BLUE = spec("blue", {1: (1, 2)})


def acme(*switches: LogicalSwitchSpec) -> TenantSpec:
    return owned(TenantSpec(name="acme", logical_switches=switches))


def a_world(layout: ContextLayout = ContextLayout()) -> World:
    world = World(settings=Settings(layout=layout, grace=0.0))
    world.add_switches(1, 2)
    return world


def test_a_tenant_owns_the_logical_switches_it_came_with() -> None:
    world = a_world()
    tenants.create_tenant(world.hv, acme(RED, BLUE), world.now)
    assert tenants.owned_by(world.hv, "acme") == ["blue", "red"]
    assert world.hv.logical_switches["red"].tenant == "acme"


def test_a_tenant_may_have_nothing() -> None:
    world = a_world()
    tenants.create_tenant(world.hv, acme(), world.now)
    assert tenants.owned_by(world.hv, "acme") == []


def test_names_are_unique() -> None:
    world = a_world()
    tenants.create_tenant(world.hv, acme(RED), world.now)
    with pytest.raises(Conflict) as caught:
        tenants.create_tenant(world.hv, acme(), world.now)
    assert caught.value.path == "name"
    with pytest.raises(Conflict) as caught:
        tenants.create_tenant(world.hv, owned(TenantSpec(name="else", logical_switches=(BLUE, RED))), world.now)
    assert caught.value.path == "logical_switches[1].name"
    assert world.hv.tenants == {"acme"} and set(world.hv.logical_switches) == {"red"}


def test_when_identifiers_run_out_nothing_of_the_tenant_is_left() -> None:
    world = a_world(ContextLayout(1, 12))
    with pytest.raises(Exhausted):
        tenants.create_tenant(world.hv, acme(RED, BLUE), world.now)
    world.pass_time(1.0)
    assert not world.hv.tenants and not world.hv.logical_switches and not world.hv.by_id
    for switch in world.switches.values():
        assert not switch.groups


def test_a_logical_switch_is_created_for_a_tenant_that_exists() -> None:
    world = a_world()
    with pytest.raises(ModelError) as caught:
        tenants.create_logical_switch(world.hv, replace(RED, tenant="acme"), world.now)
    assert (caught.value.status, caught.value.path) == (400, "tenant")
    tenants.create_tenant(world.hv, acme(), world.now)
    tenants.create_logical_switch(world.hv, replace(RED, tenant="acme"), world.now)
    assert tenants.owned_by(world.hv, "acme") == ["red"]


def test_the_plan_for_a_tenant_is_about_its_own_logical_switches() -> None:
    world = a_world()
    tenants.create_tenant(world.hv, acme(RED), world.now)
    tenants.create_tenant(world.hv, owned(TenantSpec(name="else", logical_switches=(BLUE,))), world.now)
    green = spec("green", {1: (1, 1)}, dpid=0xCC)
    wanted = acme(green)
    assert tenants.plan_tenant(world.hv, wanted) == Plan(("red",), (), wanted.logical_switches)
    with pytest.raises(NotFound):
        tenants.plan_tenant(world.hv, TenantSpec(name="nobody"))


def test_a_deleted_tenant_is_gone_when_every_switch_has_confirmed() -> None:
    world = a_world()
    tenants.create_tenant(world.hv, acme(RED, BLUE), world.now)
    world.pass_time(1.0)
    world.switches[2].hold_barriers = True
    done: list[float] = []
    tenants.delete_tenant(world.hv, "acme", done.append, world.now)
    world.run()
    assert world.hv.tenants == set() and world.hv.logical_switches == {} and not done
    world.switches[2].release()
    world.run()
    assert len(done) == 1 and not world.hv.by_id and not world.switches[1].groups and not world.switches[2].groups


def test_deleting_a_tenant_without_logical_switches_is_done_at_once() -> None:
    world = a_world()
    tenants.create_tenant(world.hv, acme(), world.now)
    done: list[float] = []
    tenants.delete_tenant(world.hv, "acme", done.append, world.now)
    assert done == [world.now]
    with pytest.raises(NotFound):
        tenants.delete_tenant(world.hv, "acme", done.append, world.now)
