"""Connections from switches, what is asked of them, and what an operator is warned of."""
from __future__ import annotations

import pytest

from hvproxy.hypervisor.commands import Close, Log
from hvproxy.openflow import actions, build
from hvproxy.openflow.constants import of13
from hvproxy.openflow.messages import decode_packet_out
from tests.harness import Controller, EndSwitch, World
from tests.hypervisor.worlds import a_world, assert_equal_to_recompute


def test_a_switch_is_asked_for_its_features_and_then_read() -> None:
    world = World()
    world.add_switches(5)
    assert world.switches[5].received_types[:3] == ["HELLO", "FEATURES_REQUEST", "SET_CONFIG"]
    assert world.hv.switches.ready(5)
    assert world.hv.switches.addresses[5] == "tcp:127.0.0.1:5"


def test_what_a_switch_says_before_its_features_is_ignored() -> None:
    world = World()
    switch = EndSwitch(world, 5, 2)
    world.switches[5] = switch
    switch.connect()
    switch.send(build.barrier_reply(7) + build.port_status(of13.OFPPR_ADD, switch.ports[1]))
    world.run()
    assert world.hv.switches.ready(5)


def test_of_two_switches_with_one_datapath_id_the_first_stays() -> None:
    world = a_world()
    twin = EndSwitch(world, 1, 8)
    twin.connect()
    world.run()
    assert twin.conn not in world.ends and world.hv.switches.ready(1)
    assert world.hv.switches.alarms["duplicate datapath id"] == 1


def test_auxiliary_connections_are_closed() -> None:
    world = World()
    switch = EndSwitch(world, 5, 2)
    switch.conn = world.connect(switch)
    world.hv.switch_connected(switch.conn, "tcp:127.0.0.1:5", world.now)
    switch.hangs = True
    switch.send(build.hello(1) + build.features_reply(1, 5, 0, 254, 1, 0))
    world.run()
    assert switch.conn not in world.ends and 5 not in world.hv.switches.datapaths


def test_a_switch_of_another_version_is_closed_and_said_so() -> None:
    world = World()
    switch = EndSwitch(world, 5, 2)
    switch.conn = world.connect(switch)
    world.hv.switch_connected(switch.conn, "tcp:127.0.0.1:5", world.now)
    switch.send(build.hello(1, {1}))
    world.run()
    assert switch.conn not in world.ends
    assert [c.event for c in world.commands if isinstance(c, Log) and c.level == "warning"]


@pytest.mark.parametrize("nonsense", [b"\4\x13\0\4\0\0\0\0", b"\4\x0a\0\x18" + bytes(20), b"\1\x0a\0\x08" + bytes(4)])
def test_a_switch_that_cannot_be_trusted_is_closed_and_costs_the_tenants_nothing(nonsense: bytes) -> None:
    world = a_world()
    controller = Controller(world, "red")
    world.switches[3].send(nonsense)
    world.run()
    assert world.switches[3].conn not in world.ends
    controller.send(build.barrier_request(1))
    controller.take("BARRIER_REPLY")
    world.switches[3].connect()
    world.pass_time(1.0)
    assert_equal_to_recompute(world)


def test_a_silent_switch_is_given_up_after_the_grace() -> None:
    world = a_world()
    world.switches[2].hangs = True
    world.pass_time(100.0)
    assert [c for c in world.commands if isinstance(c, Close) and c.conn == world.switches[2].conn]
    assert not world.hv.switches.ready(2) and world.hv.switches.all_known


def test_a_switch_that_is_asked_says_something_unless_it_hangs() -> None:
    world = a_world()
    world.switches[2].hangs = True
    world.switches[3].disconnect()
    assert set(world.hv.switches.talking) == world.switches.keys() - {3}
    world.now += 1.0
    for dpid in (1, 2):
        world.hv.switches.ask(dpid)
    world.run()
    assert world.hv.switches.heard(1) == world.now > world.hv.switches.heard(2)


def test_a_frame_of_our_own_leaves_the_port_and_is_no_tenants() -> None:
    world = a_world()
    world.hv.switches.send_frame((1, 7), b"frame", world.now)
    world.run()
    out, = map(decode_packet_out, world.switches[1].packet_outs)
    assert (out.in_port, actions.outputs(out.actions), out.data) == (of13.OFPP_CONTROLLER, (7,), b"frame")


def test_messages_are_counted_by_type() -> None:
    world = a_world()
    assert world.hv.switches.received[of13.OFPT_FEATURES_REPLY] == 5
    assert world.hv.switches.sent[of13.OFPT_FLOW_MOD] == sum(s.flow_mods for s in world.switches.values())


def test_an_alarm_is_said_ever_more_rarely_and_always_counted() -> None:
    world = World()
    for _ in range(100):
        world.hv.switches.alarm("trouble", port=1)
    world.run()
    said = [c.fields["seen"] for c in world.commands if isinstance(c, Log) and c.event == "trouble"]
    assert said == [1, 2, 4, 8, 16, 32, 64]
    assert world.hv.switches.alarms == {"trouble": 100}
