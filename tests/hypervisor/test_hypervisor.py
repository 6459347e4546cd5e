"""The core as its peers see it: what changes below shows above only where it must."""
from __future__ import annotations

import random

from hvproxy.hypervisor import intent
from hvproxy.openflow import actions, build
from hvproxy.openflow.constants import of13
from hvproxy.openflow.groups import bucket
from tests.harness import PORT_LOST, Controller, spec
from tests.hypervisor.worlds import a_world, assert_equal_to_recompute, flow_mod


def test_a_new_controller_gets_the_logical_features() -> None:
    world = a_world()
    controller = Controller(world, "red")
    controller.send(build.features_request(3))
    (features,) = controller.take("FEATURES_REPLY")
    assert (features.datapath_id, features.n_tables, features.n_buffers, features.xid) == (0xA3, 8, 0, 3)


def test_a_switch_that_comes_back_unchanged_is_sent_nothing() -> None:
    world = a_world()
    controller = Controller(world, "red")
    controller.send(flow_mod(apply=actions.output(2), write=actions.output(3), goto=1))
    world.run()
    switch = world.switches[1]
    before = (switch.flow_mods, switch.group_mods)
    switch.disconnect()
    world.pass_time(2.0)
    switch.connect()
    world.pass_time(1.0)
    assert (switch.flow_mods, switch.group_mods) == before
    assert_equal_to_recompute(world)
    assert not controller.messages


def test_a_lost_switch_changes_nothing_upward_until_it_is_absent() -> None:
    world = a_world()
    controller = Controller(world, "red")
    world.switches[2].disconnect()
    world.pass_time(9.0)
    assert not [m for m in controller.messages if m[1] == of13.OFPT_PORT_STATUS]
    controller.send(flow_mod(apply=actions.output(2)) + build.barrier_request(5))
    world.pass_time(0.5)
    assert not controller.messages
    world.pass_time(1.0)
    world.run()
    reply, _, status = controller.take("BARRIER_REPLY", *PORT_LOST)
    assert reply.xid == 5
    assert status.desc.port_no == 2 and status.desc.state & of13.OFPPS_LINK_DOWN
    assert_equal_to_recompute(world)


def test_a_link_failure_with_a_path_left_tells_no_tenant() -> None:
    world = a_world()
    controller = Controller(world, "red")
    world.switches[1].set_port(7, False)
    world.switches[0x11].set_port(1, False)
    world.pass_time(1.0)
    assert not controller.messages
    assert_equal_to_recompute(world)


def test_a_partition_takes_down_the_ports_of_the_smaller_side_and_they_come_back() -> None:
    world = a_world()
    controller = Controller(world, "red")
    for port in (7, 8):
        world.switches[3].set_port(port, False)
    world.pass_time(1.0)
    assert [m.desc.port_no for m in controller.take(*PORT_LOST)] == [3, 3]
    for port in (7, 8):
        world.switches[3].set_port(port, True)
    world.pass_time(1.0)
    (status,) = controller.take("PORT_STATUS")
    assert status.desc.port_no == 3 and status.desc.state == of13.OFPPS_LIVE


def test_deleting_a_logical_switch_purges_every_datapath() -> None:
    world = a_world(spec("red", {1: (1, 1), 2: (2, 1)}), spec("white", {1: (1, 2), 2: (2, 2)}))
    bare = {dpid: (dict(s.rules), dict(s.groups)) for dpid, s in world.switches.items()}
    intent.delete_logical_switch(world.hv, "white", lambda at: None, world.now)
    world.run()
    only_red = {dpid: (dict(s.rules), dict(s.groups)) for dpid, s in world.switches.items()}
    assert only_red != bare
    done: list[float] = []
    controller = Controller(world, "red")
    controller.send(build.group_mod(1, of13.OFPGC_ADD, of13.OFPGT_ALL, 7, bucket(actions.output(2))))
    controller.send(flow_mod(apply=actions.group(7)))
    world.run()
    intent.delete_logical_switch(world.hv, "red", done.append, world.now)
    world.run()
    assert done and controller.closed
    for switch in world.switches.values():
        assert all(cookie >> 32 & 0xFFFF == 0 for cookie, _, _ in switch.rules.values())
        assert not switch.groups
    assert_equal_to_recompute(world)


def test_two_switches_with_one_dpid_leave_the_first_one_served() -> None:
    world = a_world()
    twin = type(world.switches[1])(world, 1, 8)
    twin.connect()
    world.run()
    assert twin.conn not in world.ends
    assert world.hv.switches.alarms["duplicate datapath id"] == 1
    assert world.hv.switches.ready(1)


def test_random_bytes_of_one_peer_leave_the_others_served() -> None:
    world = a_world(spec("red", {1: (1, 1), 2: (2, 1)}), spec("white", {1: (1, 2), 2: (2, 2)}))
    good = Controller(world, "white")
    rng = random.Random(4)
    for _ in range(100):
        bad = Controller(world, "red")
        bad.send(bytes(rng.randrange(256) for _ in range(rng.randrange(1, 200))))
        world.run()
        good.send(flow_mod(apply=actions.output(2)) + build.barrier_request(5))
        good.take("BARRIER_REPLY")
        bad.disconnect()
