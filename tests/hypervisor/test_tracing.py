"""A trace predicts what the emulated fabric really does with a frame, and says when the fabric does otherwise."""
from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from hvproxy.compiler.normal import UNTAGGED_SOURCE
from hvproxy.errors import ModelError, NotFound
from hvproxy.hypervisor import intent
from hvproxy.hypervisor.settings import Settings
from hvproxy.hypervisor.tracing import Trace, TraceSpec, label_of, trace
from hvproxy.model.hosts import HostAddress, Mac
from hvproxy.model.layout import Table
from hvproxy.model.rules import Change, Rule
from hvproxy.openflow import actions, build
from hvproxy.openflow.constants import of13
from hvproxy.openflow.groups import bucket
from hvproxy.openflow.oxm import tlv
from hvproxy.openflow.oxm_fields import REGISTERS
from hvproxy.trace.compose import compose
from tests.harness import Controller, EndSwitch, World, spec
from tests.hypervisor.worlds import LINKS as WORLD_LINKS
from tests.hypervisor.worlds import a_world, add, flow_mod, in_port, port_spec, red
from tests.openflow.learn_cases import BACK, REG0, TO_PORT, bundle, learn
from tests.openflow.test_nicira_ct import ct
from tests.packets import Plane, tagged
from tests.test_packets_agree import BLUE, BPDU, LINKS, RED, Both, Program, frames, programs
from tools.emulator import wire
from tools.emulator.ports import CONFIGURABLE, NO_FWD, NO_RECV, PORT_DOWN

GROUP_TYPE = 2
"""Where a GROUP_MOD without its header has it."""
FRAME = "tcp,dl_dst=2:0:0:0:0:2,tp_dst=80"
BOTH = Both()
PROGRAMS = programs().filter(
    lambda program: not any(group[GROUP_TYPE] == of13.OFPGT_SELECT for group in program.groups))
"""Without SELECT: which bucket a hash picks is the switch's affair, and a trace follows the heaviest."""


def traced(world: World, port: int | str = 1, frame: str = FRAME, name: str = "red") -> Trace:
    return trace(world.hv, name, TraceSpec(port=port, frame=frame))


def assert_predicted(number: int, frame: bytes) -> None:
    """What a trace says comes out, and goes up, is what the emulated fabric does, and both walks agree."""
    for name, ports in (("red", RED), ("blue", BLUE)):
        dpid, port, vid = ports[number]
        out = Counter(BOTH.fabric.send(dpid, port, tagged(frame, vid)))
        told = BOTH.told_by_fabric()
        found = traced(BOTH.world, number, frame.hex(), name)
        assert found.carried is not None
        assert Counter(((left.dpid, left.port_no), left.wire) for left in found.carried.left) == out
        assert Counter((owner, up.in_port, up.table, up.cookie, up.metadata, up.data)
                       for owner, up in found.carried.upward) == Counter(
            {(owner, packet.in_port, packet.table, packet.cookie, packet.metadata, packet.data): count
             for owner, packets in told.items() for packet, count in merged(packets).items()})
        assert found.agree, found.differences


def merged(packets: Counter[Any]) -> Counter[Any]:
    """Packet-ins that differ in their reason only, which a trace does not compare, counted together."""
    found: Counter[Any] = Counter()
    for packet, count in packets.items():
        found[packet._replace(reason=0)] += count
    return found


@given(PROGRAMS, st.data())
def test_a_trace_predicts_what_the_fabric_does(program: Program, data: Any) -> None:
    BOTH.install(program)
    for number in RED:
        assert_predicted(number, data.draw(frames(program, number)))


@given(PROGRAMS, st.sampled_from(LINKS), st.data())
def test_it_does_so_when_a_link_is_lost_and_nothing_is_computed_anew_yet(
    program: Program, link: Any, data: Any,
) -> None:
    BOTH.install(program)
    world, plane = BOTH.world, BOTH.fabric
    try:
        for switch in world.switches.values():
            switch.hold_barriers = True
        plane.cut(link[0])
        for dpid, port in link:
            world.switches[dpid].set_port(port, up=False)
        world.run()
        reload(plane, world)
        plane.cut(link[0])
        assert_predicted(*data.draw(st.sampled_from(tuple(RED)).flatmap(
            lambda number: st.tuples(st.just(number), frames(program, number)))))
    finally:
        for switch in world.switches.values():
            switch.release()
        for dpid, port in link:
            world.switches[dpid].set_port(port, up=True)
        world.pass_time(1.0)


@given(PROGRAMS, st.dictionaries(st.sampled_from(tuple(RED)), st.sampled_from(
    (PORT_DOWN, NO_RECV, NO_FWD, NO_RECV | NO_FWD)), min_size=1), st.data())
def test_it_does_so_whatever_their_tenant_configures_ports_to(
    program: Program, configured: dict[int, int], data: Any,
) -> None:
    BOTH.install(program)
    for number, config in configured.items():
        BOTH.configure(number, config)
    BOTH.load()
    try:
        for number in configured:
            assert_predicted(number, data.draw(st.one_of(frames(program, number), st.just(BPDU))))
        other = data.draw(st.sampled_from(tuple(RED)))
        assert_predicted(other, data.draw(frames(program, other)))
    finally:
        for number in configured:
            BOTH.configure(number, 0)


def reload(plane: Plane, world: World) -> None:
    """Put what the datapaths are to hold now into the emulated ones."""
    for dpid, switch in plane.switches.items():
        plane.request(dpid, wire.message(wire.FLOW_MOD, 1, bytes(16) + b"\xff\x03" + bytes(6) + b"\xff" * 12
                                         + bytes(4) + b"\0\x01\0\x04" + bytes(4)))
        plane.request(dpid, wire.message(wire.GROUP_MOD, 1, b"\0\x02\0\0\xff\xff\xff\xfc"))
        datapath = world.hv.switches.datapaths[dpid]
        plane.load(dpid, datapath.desired_rules.values(), datapath.desired_groups.values())


def test_a_port_goes_by_its_number_or_its_name() -> None:
    world, _ = red()
    assert traced(world, 4).port is traced(world, "4").port is traced(world, "red4").port


def test_what_is_wrong_is_told_with_its_place() -> None:
    world, _ = red()
    for port, frame, path, kind in ((99, FRAME, "port", NotFound), ("x", FRAME, "port", NotFound),
                                    (1, "tpc", "frame", ModelError)):
        with pytest.raises(kind) as caught:
            traced(world, port, frame)
        assert caught.value.path == path
    with pytest.raises(NotFound):
        traced(world, name="pink")


def test_the_way_is_told_hop_by_hop() -> None:
    world, controller = red()
    add(controller, flow_mod(match=in_port(1), apply=actions.output(2)))
    found = traced(world)
    assert found.carried is not None and found.agree
    assert [(hop.dpid, hop.in_port, hop.over_link) for hop in found.carried.hops] == [
        (1, 1, False), (0x12, 1, True), (2, 8, True)]
    label = world.hv.fabric.labels.used["deliver", found.ls.ls_id, found.ls.ports[2].index]
    assert [label_of(hop.data) for hop in found.carried.hops] == [None, label, label]
    (left,) = found.carried.left
    assert (left.dpid, left.port_no, left.logical_switch, left.lport, left.data) == (2, 1, "red", 2, compose(FRAME))
    assert not found.notes


def test_a_sub_port_is_entered_and_left_under_its_tag() -> None:
    world, controller = red()
    add(controller, flow_mod(match=in_port(5), apply=actions.output(6)))
    found = traced(world, 5)
    assert found.carried is not None and found.agree
    assert label_of(found.carried.hops[0].data) == 20
    (left,) = found.carried.left
    assert label_of(left.wire) == 30 and (left.lport, left.data) == (6, compose(FRAME))


def test_a_rule_that_another_hand_changed_is_found_out() -> None:
    world, controller = red()
    add(controller, flow_mod(match=in_port(1), apply=actions.output(4) + actions.output(of13.OFPP_CONTROLLER)))
    datapath = world.hv.switches.datapaths[1]
    rule = next(rule for rule in datapath.desired_rules.values() if rule.table == Table.LOGICAL)
    datapath.change(Change(put_rules=[Rule(rule.table, rule.priority, rule.match, b"", rule.cookie)]), world.now)
    found = traced(world)
    assert found.agree is False
    assert [text.partition(":")[0] for text in found.differences] == [
        "the logical switch sends once out of port 4 what the fabric does not deliver there",
        "the logical switch sends its controllers once a packet-in that the fabric does not"]


def test_a_frame_that_goes_astray_is_told() -> None:
    world, controller = red()
    add(controller, flow_mod(match=in_port(1), apply=actions.output(4)))
    datapath = world.hv.switches.datapaths[1]
    rule = next(rule for rule in datapath.desired_rules.values() if rule.table == Table.LOGICAL)
    astray = flow_mod(apply=actions.output(6) + actions.output(2) + actions.output(2))[-56:]
    datapath.change(Change(put_rules=[Rule(rule.table, rule.priority, rule.match, astray, rule.cookie)]), world.now)
    said = traced(world).differences
    assert any("the fabric delivers once at red/4" in text for text in said)
    assert ("a frame leaves datapath 0000000000000001 by port 6, where neither a logical port nor a working link is"
            in said)


def test_a_port_that_is_down_is_a_note_and_one_that_is_nowhere_has_nothing_to_compare() -> None:
    world, controller = red()
    add(controller, flow_mod(apply=actions.output(2)))
    world.switches[1].set_port(1, up=False)
    world.run()
    found = traced(world)
    assert found.agree and found.notes == [
        "port 1 is down: the physical port is down; this is what became of a frame that arrived there all the same"]
    intent.put_port(world.hv, "red", port_spec(9, "late"), world.now)
    found = traced(world, 9)
    assert (found.agree, found.carried, len(found.notes)) == (None, None, 2) and found.logical.sent


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
            found = trace(world.hv, "red", TraceSpec(port=name, frame=data))
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


def test_what_is_not_confirmed_is_noted() -> None:
    world, controller = red()
    world.switches[1].hold_barriers = True
    controller.send(flow_mod(apply=actions.output(2)))
    world.pass_time(0.5)
    assert traced(world).notes == ["datapath 0000000000000001 has not confirmed all its rules yet"]
    world.switches[1].disconnect()
    assert traced(world).notes == ["datapath 0000000000000001 is lost: this is what it is to hold"]


def test_frames_of_two_tenants_are_kept_apart() -> None:
    world = a_world(spec("red", {1: (1, 1), 2: (2, 1)}), spec("blue", {1: (1, 2), 2: (2, 2)}))
    for name in ("red", "blue"):
        add(Controller(world, name), flow_mod(apply=actions.output(of13.OFPP_FLOOD)))
    for name in ("red", "blue"):
        found = traced(world, name=name)
        assert found.carried is not None and found.agree
        assert [(left.logical_switch, left.lport) for left in found.carried.left] == [(name, 2)]


def test_a_label_is_the_vlan_of_the_outermost_tag() -> None:
    data = compose(FRAME)
    assert label_of(data) is None and label_of(tagged(tagged(data, 5), 7)) == 7
    assert label_of(data[:12] + b"\x81\0") is None


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


def test_what_only_the_datapath_knows_of_a_connection_is_noted() -> None:
    world, controller = red()
    add(controller, flow_mod(match=tlv(of13.OFPXMT_OFB_ETH_TYPE, 0x800), apply=ct(table=1) + actions.output(2)))
    for number in (1, 4):
        found = traced(world, number)
        assert found.agree and [sent.port for sent in found.logical.sent] == [2]
        assert found.notes == ["what is known of the connection decides in table 1, and only the datapath knows it: "
                               "what becomes of the copy that goes there is not told"]


@pytest.mark.parametrize("plain", ((), (2,)))
def test_a_flood_comes_where_it_matters_as_is_known(plain: tuple[int, ...]) -> None:
    """From a switch that cannot look frames up it comes to all ports, and that is what the logical switch does then."""
    wide = spec("red", {1: (1, 1), 2: (2, 1), 3: (3, 1), 5: (1, 3, 20), 6: (1, 3, 30)})
    ports = tuple(replace(port, macs=(Mac(0x020000000000 | port.number),),
                          addresses=(HostAddress(4, 0x0A000000 | port.number),))
                  if port.number in (1, 5) else port for port in wide.ports)
    world = World(replace(wide, ports=ports, less_broadcast=True),
                  settings=Settings(links=WORLD_LINKS, grace=10.0))
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
