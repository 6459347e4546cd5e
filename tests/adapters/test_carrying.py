"""What an operator orders is carried out, and waited for where that is promised."""
from __future__ import annotations

import pytest
from msgspec.structs import replace
from twisted.internet.defer import ensureDeferred
from twisted.internet.task import Clock

from hvproxy.adapters.carrying import Carrying
from hvproxy.errors import Conflict, NotStored
from hvproxy.hypervisor import intent, replacing, tenants
from hvproxy.hypervisor.journal import Durability
from hvproxy.hypervisor.settings import Settings
from hvproxy.model.address import Address
from hvproxy.model.intent import TenantSpec, parse
from tests.adapters.client import Loop
from tests.harness import World, spec


def test_what_waits_for_the_switches_ends_when_they_have_confirmed() -> None:
    world = World(spec("red", {1: (1, 1), 2: (2, 1)}))
    world.add_switches(1, 2)
    world.pass_time(1.0)
    carrying = Carrying(Loop(world), Clock())
    silent = world.switches[1]
    silent.hold_barriers = True
    job = ensureDeferred(carrying.confirmed(lambda done, now: intent.delete_logical_switch(world.hv, "red", done, now)))
    assert not job.called
    silent.release()
    world.run()
    assert job.called and "red" not in world.hv.logical_switches


def test_what_is_to_be_stored_is_waited_for_until_it_is_or_the_store_has_failed() -> None:
    world = World(settings=Settings(durability=Durability.BARRIER))
    carrying = Carrying(Loop(world), Clock())
    world.hold_commits = True
    carrying.carry_out(lambda now: tenants.create_tenant(world.hv, parse(TenantSpec, {"name": "red"}), now))
    jobs = [ensureDeferred(carrying.stored()), ensureDeferred(carrying.stored())]
    assert not any(job.called for job in jobs)
    world.commit()
    world.run()
    assert [job.result for job in jobs] == [None, None]
    carrying.carry_out(lambda now: tenants.create_tenant(world.hv, parse(TenantSpec, {"name": "blue"}), now))
    job = ensureDeferred(carrying.stored())
    world.hv.store_failed("the disk is full", world.now)
    why: list[Exception] = []
    job.addErrback(lambda failure: why.append(failure.value))
    assert isinstance(why[0], NotStored) and why[0].what == "carried out, but not stored: the disk is full"


def test_a_plan_deletes_changes_and_creates() -> None:
    red, blue = spec("red", {1: (1, 1)}), spec("blue", {1: (1, 1)}, dpid=0xB0)
    world = World(red)
    world.add_switches(1)
    world.pass_time(1.0)
    clock = Clock()
    plan = replacing.plan(world.hv, [blue], ["red"])
    job = ensureDeferred(Carrying(Loop(world), clock).replace(plan))
    clock.advance(0)
    assert job.called and set(world.hv.logical_switches) == {"blue"}


def test_a_listener_of_our_own_is_in_the_way() -> None:
    ours = Address("ptcp", "127.0.0.1", 8080)
    world = World()
    carrying = Carrying(Loop(world), Clock(), taken=(ours,))
    theirs = spec("red", {})
    with pytest.raises(Conflict, match="in use by hvproxy itself") as raised:
        carrying.check([theirs, replace(theirs, listen=(ours,))], "tenants[{}].".format)
    assert raised.value.path == "tenants[1].listen[0]"
