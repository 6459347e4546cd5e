"""Whole ports beside VLAN sub-ports of other tenants: who gets what, what is counted, and where it cannot be."""
from __future__ import annotations

import pytest

from hvproxy.compiler.pipeline import GUARDED_PRIORITY
from hvproxy.errors import ModelError
from hvproxy.hypervisor import intent
from hvproxy.hypervisor.report import why_down
from hvproxy.hypervisor.settings import Settings
from hvproxy.hypervisor.sharing import NO_ROOM, NOT_ALONE
from hvproxy.hypervisor.tracing import TraceSpec, trace
from hvproxy.model.intent import LogicalSwitchSpec
from hvproxy.model.layout import ContextLayout, GroupKind, Table
from hvproxy.model.view import Vif
from hvproxy.openflow import actions, build
from hvproxy.openflow.constants import of13
from hvproxy.openflow.groups import bucket
from tests.harness import Controller, EndSwitch, World, spec
from tests.hypervisor.test_port_counters import counts, shown
from tests.hypervisor.worlds import (
    LINKS, a_stored_world, a_world, add, assert_equal_to_recompute, flow_mod, in_port, port_spec)
from tests.hypervisor.tunnel_world import TunnelWorld
from tests.packets import tagged

LAYOUT = ContextLayout()
FRAME = bytes.fromhex("020000000002" "020000000001" "88b5") + bytes(46)
RED = spec("red", {1: (1, 1), 2: (2, 1), 3: (1, 2)})
BLUE = spec("blue", {1: (1, 1, 7), 2: (3, 1)})
GUARDED = LAYOUT.group_id(GroupKind.LPORT, 1, LAYOUT.second(1))


def up(world: World, name: str, number: int) -> bool:
    return world.hv.logical_switches[name].ports[number].up


def delivered(world: World, port: int, frame: bytes) -> list[tuple[str | None, int]]:
    """Where a frame of red's comes out; the trace finds that the fabric does as the logical switch."""
    found = trace(world.hv, "red", TraceSpec(port=port, frame=frame.hex()))
    assert found.carried is not None and found.agree, found.differences
    return [(left.logical_switch, left.lport) for left in found.carried.left]


def switching(world: World) -> Controller:
    """Red sends what comes in at port 2 or 3 out of port 1, and the rest everywhere."""
    red = Controller(world, "red")
    add(red, flow_mod(match=in_port(2), apply=actions.output(1)), flow_mod(match=in_port(3), apply=actions.output(1)),
        flow_mod(priority=1, apply=actions.output(of13.OFPP_FLOOD)))
    return red


@pytest.mark.parametrize("port", (2, 3))
def test_no_frame_of_the_whole_ports_tenant_comes_to_the_sub_port(port: int) -> None:
    world = a_world(RED, BLUE)
    switching(world)
    assert delivered(world, port, tagged(FRAME, 8)) == [("red", 1)]
    assert delivered(world, port, FRAME) == [("red", 1)]
    assert delivered(world, port, tagged(FRAME, 7)) == []
    assert_equal_to_recompute(world)


def test_the_guard_stands_before_tunnels_too() -> None:
    world = TunnelWorld(1, 2).start()
    intent.create_logical_switch(world.hv, spec("blue", {1: (1, 1, 7), 2: (2, 2)}), world.now)
    world.pass_time(3.0)
    assert world.tunnels == {(1, 2)} and up(world, "blue", 1)
    red = Controller(world, "red")
    add(red, flow_mod(match=in_port(2), apply=actions.output(1) + actions.output(of13.OFPP_FLOOD)))
    assert delivered(world, 2, tagged(FRAME, 8)) == [("red", 1)] * 2
    assert delivered(world, 2, tagged(FRAME, 7)) == []
    assert_equal_to_recompute(world)


def test_a_frame_at_the_whole_port_under_the_sub_ports_tag_is_not_its_own() -> None:
    world = a_world(RED, BLUE)
    with pytest.raises(ModelError, match="VLAN 7 is another logical port's, which blue has"):
        delivered(world, 1, tagged(FRAME, 7))


def test_the_guard_comes_and_goes_with_the_sub_port_before_that_is_up() -> None:
    world = a_world(RED)
    switching(world)
    assert delivered(world, 2, tagged(FRAME, 7)) == [("red", 1)]
    assert not any(key[0] == Table.EGRESS for key in world.switches[2].rules)
    world.switches[2].hold_barriers = True
    intent.create_logical_switch(world.hv, BLUE, world.now)
    world.pass_time(0.1)
    assert not up(world, "blue", 1)
    world.switches[2].release()
    world.pass_time(1.0)
    assert up(world, "blue", 1) and any(key[0] == Table.EGRESS for key in world.switches[2].rules)
    assert delivered(world, 2, tagged(FRAME, 7)) == []
    assert_equal_to_recompute(world)
    intent.delete_logical_switch(world.hv, "blue", lambda at: None, world.now)
    world.pass_time(3.0)
    assert delivered(world, 2, tagged(FRAME, 7)) == [("red", 1)]
    assert not any(key[0] == Table.EGRESS for key in world.switches[2].rules)
    assert_equal_to_recompute(world)


def test_more_sub_ports_cost_rules_of_the_guard_and_no_entry() -> None:
    world = a_world(RED, BLUE)
    switching(world)
    compiled = world.hv.logical_switches["red"].entries_compiled
    intent.put_port(world.hv, "blue", port_spec(3, "blue3", 1, 1, 9), world.now)
    world.pass_time(1.0)
    assert delivered(world, 2, tagged(FRAME, 9)) == []
    assert world.hv.logical_switches["red"].entries_compiled == compiled
    assert_equal_to_recompute(world)


def test_statistics_of_the_whole_port_are_what_it_has_received_and_sent_itself() -> None:
    world = a_world(RED, BLUE)
    red = Controller(world, "red")
    shown(world, 1, 1, 5000, 5000)  # with the sub-port's
    received(world, 3)
    world.switches[1].group_counts[GUARDED] = (4, 400)
    assert counts(red, 1) == (3, 300, 4, 400)


def test_statistics_go_on_when_a_sub_port_comes_and_when_it_goes() -> None:
    world = a_world(RED)
    red = Controller(world, "red")
    received(world, 10)
    shown(world, 1, 1, 10, 20)
    intent.create_logical_switch(world.hv, BLUE, world.now)
    world.pass_time(1.0)
    shown(world, 1, 1, 1000, 1000)
    assert counts(red, 1) == (10, 1000, 20, 2000)
    received(world, 11)
    world.switches[1].group_counts[GUARDED] = (2, 200)
    assert counts(red, 1) == (11, 1100, 22, 2200)
    intent.delete_logical_switch(world.hv, "blue", lambda at: None, world.now)
    world.pass_time(3.0)
    assert counts(red, 1) == (11, 1100, 22, 2200)
    shown(world, 1, 1, 1001, 1005)
    assert counts(red, 1) == (12, 1200, 27, 2700)


def received(world: World, frames: int) -> None:
    """The whole port's classification has counted so many; packet-outs are none of them."""
    world.switches[1].counted[Table.CLASSIFY, 200, in_port(1)] = (frames, frames * 100)
    for key in world.switches[1].rules:
        if key[:2] == (Table.CLASSIFY, GUARDED_PRIORITY):
            world.switches[1].counted[key] = (9, 900)


def test_a_packet_out_cannot_get_into_the_sub_ports_logical_switch() -> None:
    world = a_world(RED, BLUE)
    red = switching(world)
    red.send(build.packet_out(5, 1, actions.output(of13.OFPP_TABLE), tagged(FRAME, 7)))
    world.run()
    out = world.switches[1].packet_outs[-1]
    context = LAYOUT.context(1, 1).to_bytes(8, "big")[:3]
    rules = [key for key in world.switches[1].rules if key[:2] == (Table.CLASSIFY, GUARDED_PRIORITY)]
    assert len(rules) == 1 and context in rules[0][2] and context in out


@pytest.mark.parametrize("first", ("red", "blue"))
def test_where_a_switch_cannot_look_the_later_port_stays_down_until_the_first_one_leaves(first: str) -> None:
    specs = {"red": RED, "blue": BLUE}
    later = "blue" if first == "red" else "red"
    world = _with_a_plain_switch(specs[first])
    assert up(world, first, 1)
    intent.create_logical_switch(world.hv, specs[later], world.now)
    world.pass_time(1.0)
    assert up(world, first, 1) and not up(world, later, 1) and up(world, later, 2)
    assert any("a physical port cannot be shared" in alarm for alarm in world.hv.switches.alarms)
    behind = world.hv.logical_switches[later]
    assert why_down(world.hv, behind, behind.ports[1]) == NOT_ALONE
    assert_equal_to_recompute(world)
    intent.put_port(world.hv, first, port_spec(1, f"{first}1", 1, 4), world.now)
    world.pass_time(3.0)
    assert up(world, first, 1) and up(world, later, 1)
    assert_equal_to_recompute(world)


def test_a_whole_port_goes_down_when_its_logical_switch_gets_onto_a_switch_that_cannot_look() -> None:
    world = _with_a_plain_switch(spec("red", {1: (1, 1), 3: (1, 2)}), BLUE)
    assert up(world, "red", 1) and up(world, "blue", 1)
    intent.put_port(world.hv, "red", port_spec(2, "red2", 2, 1), world.now)
    world.pass_time(1.0)
    assert not up(world, "red", 1) and up(world, "red", 2) and up(world, "blue", 1)
    intent.delete_port(world.hv, "red", 2, lambda at: None, world.now)
    world.pass_time(3.0)
    assert up(world, "red", 1)
    assert_equal_to_recompute(world)


def _with_a_plain_switch(*specs: LogicalSwitchSpec) -> World:
    """Of the edges the second is no Open vSwitch."""
    world = World(*specs, settings=Settings(links=LINKS, grace=10.0))
    world.switches[2] = EndSwitch(world, 2, 8)
    world.switches[2].hardware = "other"
    world.switches[2].connect()
    world.add_switches(1, 3, 0x11, 0x12)
    world.pass_time(1.0)
    return world


def test_a_sub_port_waits_while_groups_of_the_whole_ports_tenant_leave_no_room_for_variants() -> None:
    world = a_world(RED, layout=ContextLayout(4, 2))
    red = Controller(world, "red")
    add(red, *(build.group_mod(9, of13.OFPGC_ADD, of13.OFPGT_ALL, number, bucket(actions.output(1)))
               for number in (1, 2)))
    intent.create_logical_switch(world.hv, BLUE, world.now)
    world.pass_time(1.0)
    assert not up(world, "blue", 1) and up(world, "red", 1)
    assert world.hv.sharing.why_not(world.hv.logical_switches["blue"], Vif(1, 1, 7)) == NO_ROOM
    assert_equal_to_recompute(world)


def test_after_a_restart_nothing_changes() -> None:
    world, red = a_stored_world(RED, BLUE)
    add(red, flow_mod(apply=actions.output(1)))
    shown(world, 1, 1, 5000, 5000)
    world.switches[1].group_counts[GUARDED] = (4, 400)
    assert counts(red, 1)[2:] == (4, 400)
    before = {dpid: (s.flow_mods, s.group_mods) for dpid, s in world.switches.items()}
    world.restart()
    assert {dpid: (s.flow_mods, s.group_mods) for dpid, s in world.switches.items()} == before
    assert_equal_to_recompute(world)
    assert counts(Controller(world, "red"), 1)[2:] == (4, 400)


def test_a_place_that_is_left_and_not_over_is_guarded_too() -> None:
    world = a_world(RED)
    switching(world)
    intent.put_port(world.hv, "red", port_spec(1, "red1", 3, 2), world.now)
    world.run()
    intent.create_logical_switch(world.hv, BLUE, world.now)
    world.run()
    assert world.hv.logical_switches["red"].claimed == {1: frozenset((7,))}
    assert_equal_to_recompute(world)
    world.pass_time(5.0)
    assert world.hv.logical_switches["red"].claimed == {}
    assert delivered(world, 2, tagged(FRAME, 7)) == [("red", 1)]
    assert_equal_to_recompute(world)
