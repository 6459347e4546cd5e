"""Connections from switches, their links, and what an operator is warned of."""
from __future__ import annotations

from dataclasses import replace

import pytest

from hvproxy.compiler.paths import UNKNOWN_SPEED
from hvproxy.hypervisor.commands import Close, Log
from hvproxy.hypervisor.settings import Settings
from hvproxy.hypervisor.switches import LINK_DELAY, NamedLink
from hvproxy.model.layout import RuleKind, cookie
from hvproxy.model.view import Link
from hvproxy.openflow import actions, build
from hvproxy.openflow.constants import of13
from hvproxy.openflow.messages import decode_packet_out
from tests.harness import Controller, EndSwitch, World, spec
from tests.hypervisor.worlds import a_world, assert_equal_to_recompute

SECRET = b"0123456789abcdef"


def cabled(secret: bytes | None = SECRET) -> World:
    """Two switches, whose ports 7 are joined by a cable that carries discovery frames."""
    world = World(spec("red", {1: (1, 1), 2: (2, 1)}), settings=Settings(secret=secret, grace=10.0))
    world.add_switches(1, 2)
    return world


def carry(world: World, *cables: tuple[tuple[int, int], tuple[int, int]]) -> None:
    """Discovery frames sent since the last time arrive at the other ends of cables."""
    ends = {**dict(cables), **{b: a for a, b in cables}}
    frames = []
    for dpid, switch in world.switches.items():
        for message in switch.packet_outs:
            out = decode_packet_out(message)
            for port in actions.outputs(out.actions):
                if (dpid, port) in ends:
                    frames.append((ends[dpid, port], out.data))
        switch.packet_outs.clear()
    for (dpid, port), frame in frames:
        world.switches[dpid].packet_in(frame, table=0, in_port=port, cookie=cookie(0, RuleKind.DISCOVERY))
    world.run()


def explore(world: World, *cables: tuple[tuple[int, int], tuple[int, int]], rounds: int = 3) -> None:
    for _ in range(rounds):
        world.pass_time(1.0)
        carry(world, *cables)
    world.pass_time(0.5)


CABLE = ((1, 7), (2, 7))


# Sessions

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
    switch.message = lambda message: None  # type: ignore[method-assign]
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
    world.switches[2].message = lambda message: None  # type: ignore[method-assign]
    world.pass_time(100.0)
    assert [c for c in world.commands if isinstance(c, Close) and c.conn == world.switches[2].conn]
    assert not world.hv.switches.ready(2) and world.hv.switches.all_known


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


# Configured links

def test_a_configured_link_may_name_ports_and_is_there_once_both_ends_are_up() -> None:
    link = NamedLink((2, "s2-7"), (1, 7))
    world = World(settings=Settings(links=(link,)))
    world.add_switches(1)
    world.pass_time(1.0)
    assert world.hv.switches.configured_links() == [(link, None)] and not world.hv.switches.links
    world.add_switches(2)
    world.pass_time(1.0)
    assert world.hv.switches.links == {Link(1, 7, 2, 7)}
    world.switches[1].set_port(7, False)
    world.pass_time(1.0)
    assert not world.hv.switches.links


def test_a_link_is_as_fast_as_its_slower_end_says() -> None:
    world = a_world()
    link = min(world.hv.switches.links)
    near, far = link.a_dpid, link.b_dpid

    def told(dpid: int, **speed: int) -> int | None:
        switch, port_no = world.switches[dpid], dict(link.ends)[dpid]
        switch.ports[port_no] = replace(switch.ports[port_no], **speed)
        switch.send(build.port_status(of13.OFPPR_MODIFY, switch.ports[port_no]))
        world.pass_time(1.0)
        assert world.hv.fabric.topology.speeds[world.hv.fabric.topology.links.index(link)] == (
            world.hv.switches.speeds.get(link, UNKNOWN_SPEED))
        return world.hv.switches.speeds.get(link)

    assert link not in world.hv.switches.speeds
    assert told(near, curr_speed=40_000_000) == 40_000
    assert told(far, curr=of13.OFPPF_1GB_FD) == 1000
    assert told(far, curr=of13.OFPPF_OTHER) == 40_000
    assert told(near, curr_speed=0) is None
    assert_equal_to_recompute(world)


def test_changes_of_links_are_gathered_for_a_moment() -> None:
    world = a_world()
    for port in (7, 8):
        for dpid in (1, 2, 3):
            world.switches[dpid].set_port(port, False)
            world.pass_time(LINK_DELAY / 10)
    assert len(world.hv.switches.links) == 6
    world.pass_time(LINK_DELAY)
    assert not world.hv.switches.links


# Discovery

def test_a_cable_becomes_a_link_and_carries_the_logical_switch() -> None:
    world = cabled()
    explore(world, CABLE)
    assert world.hv.switches.links == {Link(1, 7, 2, 7)}
    assert_equal_to_recompute(world)
    states = [port.state for port in Controller(world, "red").ask(build.port_desc_request(3)).body]
    assert states == [of13.OFPPS_LIVE, of13.OFPPS_LIVE]


def test_a_link_goes_with_its_port_and_with_its_frames() -> None:
    world = cabled()
    explore(world, CABLE)
    world.switches[2].set_port(7, False)
    world.pass_time(0.1)
    assert not world.hv.switches.links
    world.switches[2].set_port(7, True)
    explore(world, CABLE)
    assert world.hv.switches.links
    explore(world, rounds=6)
    assert not world.hv.switches.links


def test_without_a_secret_nothing_is_discovered() -> None:
    world = cabled(secret=None)
    explore(world, CABLE)
    assert not world.hv.switches.links
    assert not any(switch.packet_outs for switch in world.switches.values())


def test_frames_leave_fabric_ports_only() -> None:
    world = cabled()
    world.pass_time(1.5)
    ports = {port for message in world.switches[1].packet_outs
             for port in actions.outputs(decode_packet_out(message).actions)}
    assert ports == {2, 3, 4, 5, 6, 7, 8}


def test_a_frame_at_a_bound_port_is_an_alarm_and_no_link() -> None:
    world = cabled()
    explore(world, ((1, 7), (2, 1)))
    assert not world.hv.switches.links
    assert any("bound port" in what for what in world.hv.switches.alarms)


def test_a_forged_frame_proves_nothing() -> None:
    world = cabled()
    world.pass_time(1.5)
    world.switches[1].packet_in(bytes(200), table=0, in_port=7, cookie=cookie(0, RuleKind.DISCOVERY))
    world.pass_time(0.5)
    assert world.hv.switches.refused_frames == 1 and not world.hv.switches.links


def test_no_tenant_ever_sees_a_discovery_frame() -> None:
    world = cabled()
    controller = Controller(world, "red")
    explore(world, CABLE, ((1, 6), (2, 1)), rounds=6)
    world.switches[1].packet_in(bytes(200), table=0, in_port=7, cookie=cookie(0, RuleKind.DISCOVERY))
    world.run()
    assert world.hv.switches.refused_frames and world.hv.switches.links
    assert [m for m in controller.messages if m[1] == of13.OFPT_PACKET_IN] == []


def test_the_links_of_a_switch_that_says_nothing_at_all_stay_until_it_is_given_up(
        monkeypatch: pytest.MonkeyPatch) -> None:
    world = cabled()
    explore(world, CABLE)
    monkeypatch.setattr(world.switches[2], "send", lambda data: None)
    explore(world, rounds=8)
    assert world.hv.switches.links
    monkeypatch.undo()
    explore(world, CABLE)
    assert world.hv.switches.links
    explore(world, rounds=6)
    assert not world.hv.switches.links, "it is there and hears nothing"


def test_the_links_of_a_switch_whose_connection_is_lost_stay_until_it_is_given_up() -> None:
    world = cabled()
    explore(world, CABLE)
    world.switches[2].disconnect()
    explore(world, rounds=5)
    assert world.hv.switches.links
    explore(world, rounds=8)
    assert not world.hv.switches.links
