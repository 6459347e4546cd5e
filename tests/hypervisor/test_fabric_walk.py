"""A frame goes through the rules of datapath after datapath, and it is told whose it is that leaves."""
from __future__ import annotations

from hvproxy.hypervisor.fabric_walk import label_of
from hvproxy.openflow import actions
from hvproxy.openflow.constants import of13
from hvproxy.trace.compose import compose
from tests.harness import Controller, spec
from tests.hypervisor.traces import FRAME, traced
from tests.hypervisor.worlds import a_world, add, flow_mod, in_port, red
from tests.packets import tagged


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
