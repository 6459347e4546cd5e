"""A logical switch compiled for the edges it is on, as ports come, are shared and go."""
from __future__ import annotations

from hvproxy.hypervisor import intent
from hvproxy.openflow import actions, build
from hvproxy.openflow.constants import of13
from hvproxy.openflow.groups import bucket
from tests.harness import Controller, spec
from tests.hypervisor.worlds import a_world, add, assert_equal_to_recompute, flow_mod, port_spec, red


def test_sub_ports_have_rules_of_their_own_only_where_they_matter() -> None:
    world, controller = red()
    add(controller, flow_mod(apply=actions.output(of13.OFPP_CONTROLLER)))
    assert {dpid: len(world.switches[dpid].cookies()) for dpid in (1, 2, 3)} == {1: 2, 2: 1, 3: 1}
    add(controller, flow_mod(apply=actions.output(2)))
    assert {dpid: len(world.switches[dpid].cookies()) for dpid in (1, 2, 3)} == {1: 3, 2: 1, 3: 1}
    assert_equal_to_recompute(world)


def test_a_port_that_becomes_shared_gets_variants_and_loses_them() -> None:
    world = a_world(spec("red", {1: (1, 1), 2: (2, 1)}))
    controller = Controller(world, "red")
    add(controller, build.group_mod(1, of13.OFPGC_ADD, of13.OFPGT_ALL, 7, bucket(actions.output(of13.OFPP_FLOOD))),
        flow_mod(apply=actions.group(7)))
    before = {dpid: (dict(s.rules), dict(s.groups)) for dpid, s in world.switches.items()}
    intent.put_port(world.hv, "red", port_spec(3, "red3", 1, 1, 9), world.now)
    world.pass_time(3.0)
    assert_equal_to_recompute(world)
    assert len(world.switches[1].cookies()) > 1
    intent.delete_port(world.hv, "red", 3, lambda at: None, world.now)
    world.pass_time(3.0)
    assert_equal_to_recompute(world)
    after = {dpid: (dict(s.rules), dict(s.groups)) for dpid, s in world.switches.items()}
    assert {dpid: set(held[0]) for dpid, held in after.items()} == {dpid: set(held[0]) for dpid, held in before.items()}


def test_a_lost_port_is_an_output_to_nowhere() -> None:
    world, controller = red()
    add(controller, flow_mod(apply=actions.output(2)))
    intent.put_port(world.hv, "red", port_spec(2, "red2"), world.now)
    world.pass_time(3.0)
    assert_equal_to_recompute(world)
    assert not world.switches[2].cookies()


def test_indexes_and_ports_agree() -> None:
    world, _ = red()
    ls = world.hv.logical_switches["red"]
    assert {port.index: port for port in ls.ports.values()} == ls.port_at
    removed = ls.remove_port(3)
    assert removed is not None and removed.index not in ls.port_at
    assert ls.remove_port(3) is None


def test_the_first_resubmit_makes_entries_ready_for_tables_in_any_order() -> None:
    world, controller = red()
    write = flow_mod(priority=6, write=actions.output(2))
    add(controller, write, build.group_mod(1, of13.OFPGC_ADD, of13.OFPGT_ALL, 7, bucket(actions.output(3))),
        flow_mod(table=2, write=actions.group(7)))
    before = {dpid: len(world.switches[dpid].cookies(10)) for dpid in (2, 3)}
    add(controller, flow_mod(priority=7, apply=actions.resubmit(2)))
    assert_equal_to_recompute(world)
    assert world.hv.logical_switches["red"].view.resubmits
    # Where a set may hold a group by now, the entry that writes an output has two rules; the resubmit has one.
    assert {dpid: len(world.switches[dpid].cookies(10)) for dpid in (2, 3)} == {
        dpid: count + 2 for dpid, count in before.items()}
    add(controller, flow_mod(command=of13.OFPFC_DELETE))
    assert_equal_to_recompute(world)


def test_a_resubmit_in_a_group_counts_too() -> None:
    world, controller = red()
    add(controller, build.group_mod(1, of13.OFPGC_ADD, of13.OFPGT_ALL, 7, bucket(actions.resubmit(2))))
    assert world.hv.logical_switches["red"].view.resubmits
    assert_equal_to_recompute(world)
    wanted = actions.resubmit(12)
    assert any(wanted in buckets for _, buckets in world.switches[1].groups.values())
