"""Links that are configured, and links that discovery finds: when they are in use, and when they are no more."""
from __future__ import annotations

from dataclasses import replace

import pytest

from hvproxy.compiler.paths import UNKNOWN_SPEED
from hvproxy.hypervisor.links import LINK_DELAY, NamedLink
from hvproxy.hypervisor.settings import Settings
from hvproxy.model.layout import RuleKind, cookie
from hvproxy.model.view import Link
from hvproxy.openflow import actions, build
from hvproxy.openflow.constants import of13
from hvproxy.openflow.messages import decode_packet_out
from tests.harness import Controller, World, spec
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


# Configured links

def test_a_configured_link_may_name_ports_and_is_there_once_both_ends_are_up() -> None:
    link = NamedLink((2, "s2-7"), (1, 7))
    world = World(settings=Settings(links=(link,)))
    world.add_switches(1)
    world.pass_time(1.0)
    assert world.hv.links.configured() == [(link, None)] and not world.hv.links.in_use
    world.add_switches(2)
    world.pass_time(1.0)
    assert world.hv.links.in_use == {Link(1, 7, 2, 7)}
    world.switches[1].set_port(7, False)
    world.pass_time(1.0)
    assert not world.hv.links.in_use


def test_the_ports_of_a_configured_link_are_the_fabrics_though_they_are_down() -> None:
    world = World(settings=Settings(links=(NamedLink((1, "s1-7"), (2, 7)),)))
    world.add_switches(1, 2)
    world.switches[1].set_port(7, False)
    world.pass_time(1.0)
    assert not world.hv.links.in_use
    assert world.hv.links.is_fabric_port(1, 7) and not world.hv.links.is_fabric_port(1, 6)
    world.hv.links.configure([NamedLink((1, 6), (2, 7))], world.now)
    assert world.hv.links.is_fabric_port(1, 6) and not world.hv.links.is_fabric_port(1, 7)


def test_a_link_is_as_fast_as_its_slower_end_says() -> None:
    world = a_world()
    link = min(world.hv.links.in_use)
    near, far = link.a_dpid, link.b_dpid

    def told(dpid: int, **speed: int) -> int | None:
        switch, port_no = world.switches[dpid], dict(link.ends)[dpid]
        switch.ports[port_no] = replace(switch.ports[port_no], **speed)
        switch.send(build.port_status(of13.OFPPR_MODIFY, switch.ports[port_no]))
        world.pass_time(1.0)
        assert world.hv.fabric.topology.speeds[world.hv.fabric.topology.links.index(link)] == (
            world.hv.links.speeds.get(link, UNKNOWN_SPEED))
        return world.hv.links.speeds.get(link)

    assert link not in world.hv.links.speeds
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
    assert len(world.hv.links.in_use) == 6
    world.pass_time(LINK_DELAY)
    assert not world.hv.links.in_use


# Discovery

def test_a_cable_becomes_a_link_and_carries_the_logical_switch() -> None:
    world = cabled()
    explore(world, CABLE)
    assert world.hv.links.in_use == {Link(1, 7, 2, 7)}
    assert_equal_to_recompute(world)
    states = [port.state for port in Controller(world, "red").ask(build.port_desc_request(3)).body]
    assert states == [of13.OFPPS_LIVE, of13.OFPPS_LIVE]


def test_a_link_goes_with_its_port_and_with_its_frames() -> None:
    world = cabled()
    explore(world, CABLE)
    world.switches[2].set_port(7, False)
    world.pass_time(0.1)
    assert not world.hv.links.in_use
    world.switches[2].set_port(7, True)
    explore(world, CABLE)
    assert world.hv.links.in_use
    explore(world, rounds=6)
    assert not world.hv.links.in_use


def test_a_port_where_several_switches_are_heard_is_no_link_until_one_remains() -> None:
    world = cabled()
    world.add_switches(3)
    for _ in range(3):
        explore(world, CABLE, rounds=1)
        explore(world, ((1, 7), (3, 7)), rounds=1)
    assert not world.hv.links.in_use
    assert world.hv.switches.alarms["several switches at one port: it is no link until one remains"]
    explore(world, CABLE)
    assert world.hv.links.in_use == {Link(1, 7, 2, 7)}


def test_without_a_secret_nothing_is_discovered() -> None:
    world = cabled(secret=None)
    explore(world, CABLE)
    assert not world.hv.links.in_use
    assert not any(switch.packet_outs for switch in world.switches.values())
    world.switches[1].packet_in(bytes(200), table=0, in_port=7, cookie=cookie(0, RuleKind.DISCOVERY))
    world.run()
    assert not world.hv.links.refused_frames


def test_frames_leave_fabric_ports_only() -> None:
    world = cabled()
    world.pass_time(1.5)
    ports = {port for message in world.switches[1].packet_outs
             for port in actions.outputs(decode_packet_out(message).actions)}
    assert ports == {2, 3, 4, 5, 6, 7, 8}


def test_a_frame_at_a_bound_port_is_an_alarm_and_no_link() -> None:
    world = cabled()
    explore(world, ((1, 7), (2, 1)))
    assert not world.hv.links.in_use
    assert any("bound port" in what for what in world.hv.switches.alarms)


def test_a_forged_frame_proves_nothing() -> None:
    world = cabled()
    world.pass_time(1.5)
    world.switches[1].packet_in(bytes(200), table=0, in_port=7, cookie=cookie(0, RuleKind.DISCOVERY))
    world.pass_time(0.5)
    assert world.hv.links.refused_frames == 1 and not world.hv.links.in_use


def test_no_tenant_ever_sees_a_discovery_frame() -> None:
    world = cabled()
    controller = Controller(world, "red")
    explore(world, CABLE, ((1, 6), (2, 1)), rounds=6)
    world.switches[1].packet_in(bytes(200), table=0, in_port=7, cookie=cookie(0, RuleKind.DISCOVERY))
    world.run()
    assert world.hv.links.refused_frames and world.hv.links.in_use
    assert [m for m in controller.messages if m[1] == of13.OFPT_PACKET_IN] == []


def test_the_links_of_a_switch_that_says_nothing_at_all_stay_until_it_is_given_up(
        monkeypatch: pytest.MonkeyPatch) -> None:
    world = cabled()
    explore(world, CABLE)
    monkeypatch.setattr(world.switches[2], "send", lambda data: None)
    explore(world, rounds=8)
    assert world.hv.links.in_use
    monkeypatch.undo()
    explore(world, CABLE)
    assert world.hv.links.in_use
    explore(world, rounds=6)
    assert not world.hv.links.in_use, "it is there and hears nothing"


def test_the_links_of_a_switch_whose_connection_is_lost_stay_until_it_is_given_up() -> None:
    world = cabled()
    explore(world, CABLE)
    world.switches[2].disconnect()
    explore(world, rounds=5)
    assert world.hv.links.in_use and not world.hv.links.answers(2)
    explore(world, rounds=8)
    assert not world.hv.links.in_use


def test_the_links_of_a_switch_that_is_back_stay_until_they_can_have_been_proven() -> None:
    world = cabled()
    explore(world, CABLE)
    world.switches[2].disconnect()
    explore(world, rounds=6)
    world.switches[2].connect()
    explore(world, rounds=1)
    assert world.hv.links.in_use and world.hv.links.answers(2)
    explore(world, rounds=4)
    assert not world.hv.links.in_use
