"""A logical switch compiled for the edges it is on, as ports come, are shared and go."""
from __future__ import annotations

from msgspec.structs import replace

from hvproxy.hypervisor import intent, replacing
from hvproxy.model.hosts import HostAddress, Mac
from hvproxy.model.layout import GroupKind, Table
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


def test_what_is_known_of_hosts_costs_nothing_where_floods_go_everywhere_and_no_entry_elsewhere() -> None:
    wide = spec("red", {1: (1, 1), 2: (2, 1), 3: (1, 3, 20), 4: (1, 3, 30)})
    ports = tuple(replace(port, macs=(Mac(0x020000000000 | port.number),),
                          addresses=(HostAddress(4, 0x0A000000 | port.number),)) for port in wide.ports)
    world, plain = a_world(replace(wide, ports=ports)), a_world(wide)
    for each in (world, plain):
        add(Controller(each, "red"), flow_mod(apply=actions.output(of13.OFPP_FLOOD)))
    assert all(world.switches[dpid].rules == plain.switches[dpid].rules
               and world.switches[dpid].groups == plain.switches[dpid].groups for dpid in world.switches)
    ls = world.hv.logical_switches["red"]
    compiled, before = ls.entries_compiled, {dpid: dict(switch.rules) for dpid, switch in world.switches.items()}
    replacing.adjust(world.hv, [replace(wide, ports=ports, less_broadcast=True)], world.now)
    world.pass_time(3.0)
    assert ls.entries_compiled == compiled
    assert_equal_to_recompute(world)
    for dpid in (1, 2):
        assert {key[0] for key in world.switches[dpid].rules.keys() - before[dpid].keys()} == {Table.ASIDE}
    intent.put_port(world.hv, "red", replace(ports[1], macs=(Mac(0x020000000099),)), world.now)
    world.pass_time(3.0)
    assert_equal_to_recompute(world)
    replacing.adjust(world.hv, [replace(wide, ports=ports)], world.now)
    world.pass_time(3.0)
    assert_equal_to_recompute(world)
    assert {dpid: switch.rules for dpid, switch in world.switches.items()} == before


def test_floods_are_looked_up_once_all_rules_for_that_are_there() -> None:
    wide = spec("red", {1: (1, 1), 2: (2, 1)})
    world = a_world(wide)
    add(Controller(world, "red"), flow_mod(apply=actions.output(of13.OFPP_FLOOD)))
    flood = world.hv.settings.layout.group_id(GroupKind.FLOOD, 1)
    world.switches[1].hold_barriers = True
    known = tuple(replace(port, macs=(Mac(0x020000000000 | port.number),)) for port in wide.ports)
    replacing.adjust(world.hv, [replace(wide, ports=known, less_broadcast=True)], world.now)
    world.pass_time(0.1)
    assert any(key[0] == Table.ASIDE for key in world.switches[1].rules)
    assert world.switches[1].groups[flood][0] == of13.OFPGT_ALL
    world.switches[1].release()
    world.pass_time(1.0)
    assert world.switches[1].groups[flood][0] == of13.OFPGT_INDIRECT
    assert_equal_to_recompute(world)
