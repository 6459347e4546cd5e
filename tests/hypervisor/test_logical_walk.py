"""A frame goes through the tables of a logical switch as they are, its ports as they are configured, and groups."""
from __future__ import annotations

import pytest
from msgspec.structs import replace

from hvproxy.compiler.normal import UNTAGGED_SOURCE
from hvproxy.hypervisor.settings import Settings
from hvproxy.model.hosts import HostAddress, Mac
from hvproxy.openflow import actions, build
from hvproxy.openflow.constants import of13
from hvproxy.openflow.groups import bucket
from hvproxy.openflow.oxm import tlv
from hvproxy.openflow.oxm_fields import REGISTERS
from hvproxy.trace.compose import compose
from tests.harness import Controller, EndSwitch, World, spec
from tests.hypervisor.traces import traced
from tests.hypervisor.worlds import LINKS, add, flow_mod, red
from tests.openflow.learn_cases import BACK, REG0, TO_PORT, bundle, learn
from tools.emulator import wire
from tools.emulator.ports import CONFIGURABLE, NO_FWD, NO_RECV, PORT_DOWN


def test_an_output_to_a_port_that_is_down_is_dropped_in_both() -> None:
    world, controller = red()
    add(controller, flow_mod(apply=actions.output(2)))
    world.switches[2].set_port(1, up=False)
    world.run()
    found = traced(world)
    assert found.agree and not found.logical.sent
    assert any("port 2 is down (the physical port is down)" in step.text for step in found.logical.steps)


def test_a_fragment_is_dropped_where_its_tenant_wants_that() -> None:
    world, controller = red()
    add(controller, flow_mod(apply=actions.output(4)), build.set_config(1, of13.OFPC_FRAG_DROP, 128))
    for fragment, dropped in (("0000", False), ("2000", True), ("0005", True)):
        data = "ffffffffffff0200000000010800" + "4500002e0001" + fragment + "401100000a0000010a000002" + "00" * 26
        for name in (1, 5):
            found = traced(world, name, data)
            assert found.agree and bool(found.logical.sent) is not dropped


def test_what_its_tenant_shut_a_port_to_is_told() -> None:
    world, controller = red()
    add(controller, flow_mod(apply=actions.output(4)))
    for number, config, what in (
            (1, NO_RECV, "port 1 is configured to take nothing in (NO_RECV): the frame is dropped"),
            (4, NO_FWD, "port 4 is configured to send nothing (NO_FWD): dropped"),
            (1, PORT_DOWN, "port 1 is configured to be down (PORT_DOWN): the frame is dropped")):
        for config_now in (config, 0):
            controller.send(wire.message(wire.PORT_MOD, 6, wire.PORT_MOD_BODY.pack(
                number, world.hv.logical_switches["red"].ports[number].hw_addr, config_now, CONFIGURABLE, 0)))
            world.run()
            found = traced(world)
            assert found.agree and bool(found.logical.sent) is not bool(config_now)
            assert (what in [step.text for step in found.logical.steps]) is bool(config_now)


def test_matches_on_what_an_entry_rewrote_are_followed() -> None:
    world, controller = red()
    add(controller, flow_mod(apply=actions.set_field(tlv(3, 9)), goto=1, metadata=(3, 3)),
        flow_mod(table=1, match=tlv(2, 3, 3) + tlv(3, 9), write=actions.output(3), cookie=0x99))
    found = traced(world)
    assert found.agree and [(port, data[:6]) for port, data in found.logical.sent] == [(3, bytes(5) + b"\x09")]


LOAD = bytes.fromhex("ffff0018000023200007 0007 00000206 0000000000000002")
"""Writes 2 into the last byte of the destination."""
EXIT = bytes.fromhex("ffff0010000023200011") + bytes(6)


@pytest.mark.parametrize("entries", [
    [flow_mod(apply=actions.resubmit(3) + actions.output(4)), flow_mod(table=3, apply=LOAD + actions.output(2))],
    [flow_mod(apply=actions.resubmit(3) + actions.output(4)), flow_mod(table=3, apply=actions.output(2) + EXIT)],
    [flow_mod(write=actions.resubmit(3)), flow_mod(table=3, apply=actions.output(of13.OFPP_CONTROLLER))],
    [flow_mod(apply=actions.resubmit(3)), flow_mod(table=3, write=actions.output(3), metadata=(5, 7)),
     flow_mod(table=3, priority=1, apply=actions.output(2))],
    [build.group_mod(9, 0, of13.OFPGT_ALL, 1, bucket(actions.resubmit(3)) + bucket(LOAD + actions.output(4))),
     flow_mod(apply=actions.group(1)), flow_mod(table=3, apply=LOAD + actions.output(2) + actions.output(5))],
    [flow_mod(apply=LOAD + actions.output(of13.OFPP_NORMAL))],
    [flow_mod(apply=bytes.fromhex("ffff001000002320001400280000 0000") + actions.output(2))],
])
def test_the_fabric_does_what_open_vswitchs_own_actions_say(entries: list[bytes]) -> None:
    world, controller = red()
    add(controller, *entries)
    for port in (1, 5):
        found = traced(world, port, "tcp,dl_dst=2:0:0:0:0:9,dl_src=2:0:0:0:0:1")
        assert found.agree, found.differences
        assert found.logical.sent or found.decided[0].upward


def test_normal_goes_to_where_the_destination_was_heard() -> None:
    world, controller = red()
    add(controller, flow_mod(apply=actions.output(of13.OFPP_NORMAL)))
    frame = "tcp,dl_dst=2:0:0:0:0:2,dl_src=2:0:0:0:0:1"
    flooded = traced(world, 1, frame)
    assert flooded.agree and [port for port, _ in flooded.logical.sent] == [2, 3, 4, 5, 6]
    assert flooded.decided[0].upward == [], "what hvproxy learns from is no tenant's"
    switch = world.switches[2]
    source = next(key for key, rule in switch.rules.items() if rule[0] & 0xFFFFFFFF == UNTAGGED_SOURCE)
    switch.packet_in(compose("tcp,dl_src=2:0:0:0:0:2"), table=source[0], cookie=switch.rules[source][0],
                     metadata=world.hv.settings.layout.context(1, 2))
    world.run()
    known = traced(world, 1, frame)
    assert known.agree and [port for port, _ in known.logical.sent] == [2]
    assert traced(world, 2, frame).agree and not traced(world, 2, frame).logical.sent
    reserved = traced(world, 1, "tcp,dl_dst=1:80:c2:0:0:2")
    assert reserved.agree and not reserved.logical.sent


def test_what_is_learnt_and_chosen_is_followed() -> None:
    world, controller = red()
    add(controller, flow_mod(apply=bundle(2, 3, 1) + bundle(3, 4, into=(REG0, 0, 16)) + learn(BACK, TO_PORT), goto=1),
        flow_mod(table=1, match=tlv(REGISTERS[0].number, 3), apply=actions.output(3)))
    found = traced(world)
    assert found.agree, found.differences
    assert sorted(port for port, _ in found.logical.sent) == [2, 3]
    said = "\n".join(step.text for step in found.logical.steps)
    assert "into reg0[0..15]" in said and "what it has taught is in the tables" in said


@pytest.mark.parametrize("plain", ((), (2,)))
def test_a_flood_comes_where_it_matters_as_is_known(plain: tuple[int, ...]) -> None:
    """From a switch that cannot look frames up it comes to all ports, and that is what the logical switch does then."""
    wide = spec("red", {1: (1, 1), 2: (2, 1), 3: (3, 1), 5: (1, 3, 20), 6: (1, 3, 30)})
    ports = tuple(replace(port, macs=(Mac(0x020000000000 | port.number),),
                          addresses=(HostAddress(4, 0x0A000000 | port.number),))
                  if port.number in (1, 5) else port for port in wide.ports)
    world = World(replace(wide, ports=ports, less_broadcast=True),
                  settings=Settings(links=LINKS, grace=10.0))
    for dpid in (1, 2, 3, 0x11, 0x12):
        world.switches[dpid] = EndSwitch(world, dpid, 8)
        world.switches[dpid].hardware = "other" if dpid in plain else "Open vSwitch"
        world.switches[dpid].connect()
    world.pass_time(2.0)
    add(Controller(world, "red"), flow_mod(apply=actions.output(of13.OFPP_FLOOD)))
    everybody = {1, 2, 3, 5, 6}
    for number in sorted(everybody):
        for frame, to in (("dl_dst=2:0:0:0:0:1,dl_type=0x88b5", {1}), ("dl_dst=2:0:0:0:0:5,dl_type=0x88b5", {5}),
                          ("dl_dst=2:0:0:0:0:3,dl_type=0x88b5", everybody),
                          ("arp,dl_dst=ff:ff:ff:ff:ff:ff,nw_src=10.0.0.9,nw_dst=10.0.0.1",
                           everybody if number == 1 else {1}),
                          ("arp,dl_dst=ff:ff:ff:ff:ff:ff,nw_src=10.0.0.1,nw_dst=10.0.0.1", everybody)):
            found = traced(world, number, frame)
            assert found.carried is not None and found.agree, found.differences
            wanted = everybody if number == 2 and plain else to
            assert {left.lport for left in found.carried.left} == wanted - {number}
