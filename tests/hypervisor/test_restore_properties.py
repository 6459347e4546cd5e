"""Random requests of a tenant and of the operator, traffic, and kills at random points of all that.

Everything that a barrier has confirmed is there after a restart, whatever was on its way; the switches hold what the
full recompute says; and a restart in quiet sends them nothing.
"""
from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hvproxy.hypervisor import intent
from hvproxy.openflow import actions, build
from hvproxy.openflow.constants import of13
from hvproxy.openflow.groups import bucket
from hvproxy.openflow.oxm import tlv
from tests.harness import Controller, World
from tests.hypervisor.worlds import (
    a_stored_world, add, assert_equal_to_recompute, changes, flow_mod, in_port, meter_mod, port_spec,
)

MATCHES = (b"", in_port(1), in_port(5), tlv(of13.OFPXMT_OFB_ETH_TYPE, 0x800), tlv(of13.OFPXMT_OFB_METADATA, 3))
ACTIONS = (b"", actions.output(2), actions.output(5), actions.output(of13.OFPP_FLOOD), actions.group(1))
BEGIN = (meter_mod(1, 10), build.group_mod(9, of13.OFPGC_ADD, of13.OFPGT_ALL, 1, bucket(actions.output(2))),
         flow_mod(apply=ACTIONS[2], match=MATCHES[1]), flow_mod(table=1, write=ACTIONS[4], meter=1))
COMMANDS = (of13.OFPFC_ADD, of13.OFPFC_ADD, of13.OFPFC_MODIFY, of13.OFPFC_DELETE_STRICT, of13.OFPFC_DELETE)

flow_mods = st.builds(
    lambda command, table, match, apply, write, flags, cookie, meter: flow_mod(
        command=command, table=table, match=match, apply=apply, write=write, cookie=cookie, meter=meter,
        flags=0 if command in (of13.OFPFC_DELETE, of13.OFPFC_DELETE_STRICT) else flags),
    st.sampled_from(COMMANDS), st.integers(0, 2), st.sampled_from(MATCHES), st.sampled_from(ACTIONS),
    st.sampled_from(ACTIONS), st.sampled_from((0, of13.OFPFF_SEND_FLOW_REM, of13.OFPFF_RESET_COUNTS)),
    st.integers(0, 3), st.sampled_from((None, None, 1)))
group_mods = st.builds(
    lambda command, number, named: build.group_mod(
        9, command, of13.OFPGT_ALL, number, b"" if command == of13.OFPGC_DELETE else bucket(named)),
    st.sampled_from((of13.OFPGC_ADD, of13.OFPGC_MODIFY, of13.OFPGC_DELETE)), st.integers(1, 3),
    st.sampled_from((actions.output(2), actions.output(5), actions.group(3))))
meter_mods = st.builds(
    lambda command, rate: meter_mod(1, rate, command=command) if command != of13.OFPMC_DELETE else meter_mod(
        1, command=command),
    st.sampled_from((of13.OFPMC_ADD, of13.OFPMC_MODIFY, of13.OFPMC_DELETE)), st.integers(1, 1000))
tenants = st.tuples(st.just("tenant"), st.one_of(flow_mods, flow_mods, flow_mods, group_mods, meter_mods))
steps = st.lists(st.one_of(
    tenants, tenants, tenants, tenants,
    st.tuples(st.just("barrier"), st.none()),
    st.tuples(st.just("port"), st.tuples(st.sampled_from((1, 2, 9)), st.sampled_from(((1, 1), (2, 4), (3, 5), ())))),
    st.tuples(st.just("traffic"), st.tuples(st.sampled_from((1, 2, 3)), st.integers(1, 9))),
    st.tuples(st.just("reboot"), st.sampled_from((1, 2))),
    st.tuples(st.just("time"), st.sampled_from((0.1, 1.5))),
    st.tuples(st.just("hold"), st.booleans()),
    st.tuples(st.just("restart"), st.none()),
), min_size=5, max_size=25)


class Tenant:
    """A controller that remembers what there was since its last barrier was answered."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.controller = Controller(world, "red")
        self.since = [self.entries()]

    def entries(self) -> set[tuple[Any, ...]]:
        return {(e.table_id, e.priority, e.match.identity, e.instructions, e.cookie, e.flags)
                for e in self.world.hv.logical_switches["red"].tables.entries()}

    def barrier(self) -> None:
        self.controller.messages.clear()
        self.controller.send(build.barrier_request(77))
        self.world.run()
        if any(message[1] == of13.OFPT_BARRIER_REPLY for message in self.controller.messages):
            self.since.clear()


def carry_out(world: World, tenant: Tenant, kind: str, what: Any) -> None:
    if kind == "tenant":
        tenant.controller.send(what)
    elif kind == "barrier":
        tenant.barrier()
    elif kind == "port":
        number, place = what
        ls = world.hv.logical_switches["red"]
        if not any(p.spec.attach and p.spec.attach.place == place for p in ls.ports.values() if p.number != number):
            intent.put_port(world.hv, "red", port_spec(number, f"red{number}", *place), world.now)
    elif kind == "traffic":
        dpid, count = what
        if any(key[0] == 10 for key in world.switches[dpid].rules):
            world.switches[dpid].count(10, count, count * 100)
    elif kind == "reboot":
        world.switches[what].reboot()
    elif kind == "time":
        world.pass_time(what)
    elif kind == "hold":
        world.hold_commits = what
        while not what and world.uncommitted is not None:
            world.commit()
    world.run()
    tenant.since.append(tenant.entries())


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps)
def test_what_a_barrier_confirmed_outlives_any_kill(script: list[tuple[str, Any]]) -> None:
    world, first = a_stored_world()
    add(first, *BEGIN)
    first.disconnect()
    tenant = Tenant(world)
    for kind, what in [*script, ("hold", False), ("time", 6.0), ("barrier", None)]:
        if kind != "restart":
            carry_out(world, tenant, kind, what)
            continue
        world.hold_commits = False
        world.restart()
        world.pass_time(2.0)
        assert_equal_to_recompute(world)
        assert tenant.entries() in tenant.since
        tenant = Tenant(world)
    before, there = changes(world), tenant.entries()
    assert len(tenant.since) == 1
    world.restart()
    world.pass_time(2.0)
    assert_equal_to_recompute(world)
    assert tenant.entries() == there and changes(world) == before
