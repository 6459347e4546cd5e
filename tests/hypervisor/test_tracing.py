"""A trace predicts what the emulated fabric really does with a frame, and says when the fabric does otherwise."""
from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvproxy.errors import ModelError, NotFound
from hvproxy.hypervisor import intent
from hvproxy.model.layout import Table
from hvproxy.model.rules import Change, Rule
from hvproxy.openflow import actions
from hvproxy.openflow.constants import of13
from hvproxy.openflow.oxm import tlv
from tests.harness import World
from tests.hypervisor.traces import FRAME, traced
from tests.hypervisor.worlds import add, flow_mod, in_port, port_spec, red
from tests.openflow.test_nicira_ct import ct
from tests.packets import Plane, tagged
from tests.test_packets_agree import BLUE, BPDU, LINKS, RED, Both, Program, frames, programs
from tools.emulator import wire
from tools.emulator.ports import NO_FWD, NO_RECV, PORT_DOWN

GROUP_TYPE = 2
"""Where a GROUP_MOD without its header has it."""
BOTH = Both()
PROGRAMS = programs().filter(
    lambda program: not any(group[GROUP_TYPE] == of13.OFPGT_SELECT for group in program.groups))
"""Without SELECT: which bucket a hash picks is the switch's affair, and a trace follows the heaviest."""


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
        plane.load(dpid, datapath.desired.rules.values(), datapath.desired.groups.values())


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


def test_a_rule_that_another_hand_changed_is_found_out() -> None:
    world, controller = red()
    add(controller, flow_mod(match=in_port(1), apply=actions.output(4) + actions.output(of13.OFPP_CONTROLLER)))
    datapath = world.hv.switches.datapaths[1]
    rule = next(rule for rule in datapath.desired.rules.values() if rule.table == Table.LOGICAL)
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
    rule = next(rule for rule in datapath.desired.rules.values() if rule.table == Table.LOGICAL)
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


def test_what_is_not_confirmed_is_noted() -> None:
    world, controller = red()
    world.switches[1].hold_barriers = True
    controller.send(flow_mod(apply=actions.output(2)))
    world.pass_time(0.5)
    assert traced(world).notes == ["datapath 0000000000000001 has not confirmed all its rules yet"]
    world.switches[1].disconnect()
    assert traced(world).notes == ["datapath 0000000000000001 is lost: this is what it is to hold"]


def test_what_only_the_datapath_knows_of_a_connection_is_noted() -> None:
    world, controller = red()
    add(controller, flow_mod(match=tlv(of13.OFPXMT_OFB_ETH_TYPE, 0x800), apply=ct(table=1) + actions.output(2)))
    for number in (1, 4):
        found = traced(world, number)
        assert found.agree and [sent.port for sent in found.logical.sent] == [2]
        assert found.notes == ["what is known of the connection decides in table 1, and only the datapath knows it: "
                               "what becomes of the copy that goes there is not told"]
