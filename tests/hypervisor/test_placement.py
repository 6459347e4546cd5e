"""What the ports of logical switches cost when they move, and when they are up."""
from __future__ import annotations

from hvproxy.hypervisor import intent
from hvproxy.hypervisor.labels import DRAIN
from hvproxy.model.intent import PortSpec, parse
from hvproxy.model.layout import ContextLayout, GroupKind, Table
from hvproxy.openflow import actions, build
from hvproxy.openflow.constants import of13
from hvproxy.openflow.oxm import tlv
from tests.harness import Controller, spec
from tests.hypervisor.worlds import a_world, assert_equal_to_recompute, flow_mod


def test_ports_are_up_once_placed_and_carry_their_own_addresses() -> None:
    world = a_world()
    controller = Controller(world, "red")
    controller.send(build.port_desc_request(4))
    (reply,) = controller.take("MULTIPART_REPLY")
    assert [(p.port_no, p.name, p.state) for p in reply.body] == [
        (n, b"red%d" % n, of13.OFPPS_LIVE) for n in range(1, 7)]
    assert len({p.hw_addr for p in reply.body}) == 6


def test_a_port_that_moves_costs_groups_and_not_entries() -> None:
    world = a_world(spec("red", {1: (1, 1), 2: (2, 1), 3: (3, 1)}))
    controller = Controller(world, "red")
    for number in range(100):
        controller.send(flow_mod(match=tlv(of13.OFPXMT_OFB_ETH_DST, number), apply=actions.output(2)))
    world.run()
    before = sum(s.flow_mods for s in world.switches.values())
    intent.put_port(world.hv, "red", parse(PortSpec, {
        "number": 2, "name": "red2", "attach": {"datapath": 2, "port": 5}}), world.now)
    world.pass_time(3.0)
    assert sum(s.flow_mods for s in world.switches.values()) - before <= 4
    assert_equal_to_recompute(world)


def test_where_a_port_moves_to_is_ready_before_anything_is_sent_there() -> None:
    world = a_world(spec("red", {1: (1, 1), 2: (2, 1), 3: (3, 1)}))
    controller = Controller(world, "red")
    lport = ContextLayout().group_id(GroupKind.LPORT, 1, 2)
    before = world.switches[1].groups[lport]
    world.switches[3].hold_barriers = True
    intent.put_port(world.hv, "red", parse(PortSpec, {
        "number": 2, "name": "red2", "attach": {"datapath": 3, "port": 5}}), world.now)
    world.pass_time(1.0)
    assert world.switches[1].groups[lport] == before
    assert [key for key in world.switches[2].rules if key[0] == Table.CLASSIFY and key[1] == 200]
    world.switches[3].release()
    world.pass_time(1.0)
    assert world.switches[1].groups[lport] != before
    assert [key for key in world.switches[2].rules if key[0] == Table.CLASSIFY and key[1] == 200]
    world.pass_time(DRAIN)
    assert not [key for key in world.switches[2].rules if key[0] == Table.CLASSIFY and key[1] == 200]
    controller.take()
