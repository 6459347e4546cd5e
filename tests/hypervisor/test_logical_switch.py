"""One logical switch: its entries below, what its tenant waits for, and what he is told unasked."""
from __future__ import annotations

from typing import Any

from hvproxy.hypervisor import intent
from hvproxy.model.layout import ContextLayout
from hvproxy.openflow import actions, build
from hvproxy.openflow.constants import of13
from hvproxy.openflow.groups import bucket
from hvproxy.openflow.multipart import FlowStatsRequest, Kind, multipart_request
from hvproxy.openflow.oxm import tlv
from hvproxy.openflow.ports import PortDesc
from tests.harness import PORT_LOST, Controller, spec
from tests.hypervisor.worlds import a_world, add, assert_equal_to_recompute, flow_mod, in_port, port_spec, red


def flows(controller: Controller) -> list[Any]:
    return list(controller.ask(multipart_request(3, Kind.FLOW, FlowStatsRequest().encode())).body)


# Flow-mods

def test_the_upper_metadata_bits_are_nobodys_but_ours() -> None:
    _, controller = red()
    for mine in (flow_mod(match=tlv(of13.OFPXMT_OFB_METADATA, 1 << 40, 1 << 40)),
                 flow_mod(metadata=(1 << 40, 1 << 40), goto=1)):
        kind, _ = controller.refused(mine)
        assert kind in (of13.OFPET_BAD_MATCH, of13.OFPET_BAD_INSTRUCTION)


def test_a_match_of_two_tenants_alike_meets_each_ones_own_packets_only() -> None:
    world = a_world(spec("red", {1: (1, 1)}), spec("white", {1: (1, 2)}))
    one, other = Controller(world, "red"), Controller(world, "white")
    for controller in (one, other):
        add(controller, flow_mod(match=tlv(of13.OFPXMT_OFB_ETH_DST, 5), apply=actions.output(1)))
    matches = [key[2] for key in world.switches[1].rules if key[0] == 10]
    assert len(matches) == len(set(matches)) == 2
    contexts = {match[4:6] for match in matches}  # the twelve bits of the logical switch lead the metadata
    assert len(contexts) == 2
    assert len(flows(one)) == len(flows(other)) == 1


def test_deleting_everything_leaves_the_places_of_ports_alone() -> None:
    world, controller = red()
    before = {dpid: dict(switch.rules) for dpid, switch in world.switches.items()}
    add(controller, flow_mod(apply=actions.output(2), goto=1), flow_mod(table=1, write=actions.output(3)))
    add(controller, flow_mod(command=of13.OFPFC_DELETE, table=of13.OFPTT_ALL))
    assert {dpid: dict(switch.rules) for dpid, switch in world.switches.items()} == before


def test_an_out_port_filter_is_about_the_tenants_actions() -> None:
    world, controller = red()
    add(controller, flow_mod(priority=1, apply=actions.output(3)), flow_mod(priority=2, apply=actions.output(2)),
        flow_mod(priority=3, table=1, write=actions.output(3)))
    add(controller, flow_mod(command=of13.OFPFC_DELETE, table=of13.OFPTT_ALL, out_port=3))
    assert [flow.priority for flow in flows(controller)] == [2]
    assert {key[1] for key in world.switches[1].rules if key[0] >= 10} == {2}


def test_an_entry_for_the_controllers_own_packets_is_at_every_edge() -> None:
    world, controller = red()
    add(controller, flow_mod(match=in_port(of13.OFPP_CONTROLLER), apply=actions.output(2)))
    assert [len(world.switches[dpid].cookies()) for dpid in (1, 2, 3, 0x11)] == [1, 1, 1, 0]


# Barriers and switches that come and go

def test_a_barrier_does_not_wait_for_switches_that_nothing_was_sent_to() -> None:
    world, controller = red()
    world.switches[3].hold_barriers = True
    controller.send(flow_mod(match=in_port(2), apply=actions.output(1)) + build.barrier_request(5))
    controller.take("BARRIER_REPLY")


def test_a_barrier_of_one_controller_does_not_wait_for_another_ones_messages() -> None:
    world, controller = red()
    other = Controller(world, "red")
    world.switches[2].hold_barriers = True
    controller.send(flow_mod(apply=actions.output(1)) + build.barrier_request(5))
    other.send(build.barrier_request(6))
    other.take("BARRIER_REPLY")
    assert controller.take() == []


def test_what_is_asked_for_while_a_switch_is_away_is_there_when_it_is_back() -> None:
    world, controller = red()
    world.switches[2].disconnect()
    controller.send(flow_mod(apply=actions.output(2)) + build.barrier_request(5))
    assert controller.take() == []
    world.switches[2].connect()
    world.pass_time(1.0)
    controller.take("BARRIER_REPLY")
    assert world.switches[2].cookies()
    assert_equal_to_recompute(world)


def test_a_refusal_at_reconnection_reaches_the_tenant_with_his_xid() -> None:
    world, controller = red()
    world.switches[2].disconnect()
    controller.send(flow_mod(xid=77, apply=actions.output(2)) + build.barrier_request(78))
    world.switches[2].refuse = (of13.OFPET_FLOW_MOD_FAILED, of13.OFPFMFC_TABLE_FULL)
    world.switches[2].connect()
    world.pass_time(1.0)
    error, barrier = controller.take("ERROR", "BARRIER_REPLY")
    assert (error.xid, barrier.xid) == (77, 78)
    assert flows(controller) == []
    assert_equal_to_recompute(world)


# What is told unasked

def test_ports_that_are_nobodys_change_without_a_word() -> None:
    world, controller = red()
    world.switches[1].set_port(6, False)
    world.switches[0x11].set_port(5, False)
    world.switches[1].set_port(7, False)
    world.pass_time(1.0)
    assert controller.take() == []


def test_a_port_goes_down_and_up_with_its_carrier_once_each() -> None:
    world, controller = red()
    for up, states in ((False, [0, of13.OFPPS_LINK_DOWN]), (True, [of13.OFPPS_LIVE])):
        world.switches[1].set_port(1, up)
        world.switches[1].set_port(1, up)
        world.pass_time(1.0)
        told = controller.take(*["PORT_STATUS"] * len(states))
        assert [(m.reason, m.desc.port_no, m.desc.state) for m in told] == [
            (of13.OFPPR_MODIFY, 1, state) for state in states]


def test_all_sub_ports_go_down_with_their_carrier() -> None:
    world, controller = red()
    world.switches[1].set_port(3, False)
    assert [s.desc.port_no for s in controller.take(*2 * PORT_LOST)] == [5, 5, 6, 6]


def test_a_carrier_that_is_taken_out_and_put_back_is_a_port_that_was_down() -> None:
    world, controller = red()
    port = world.switches[2].ports.pop(1)
    world.switches[2].send(build.port_status(of13.OFPPR_DELETE, port))
    world.pass_time(1.0)
    assert controller.take(*PORT_LOST)[1].desc.state == of13.OFPPS_LINK_DOWN
    assert_equal_to_recompute(world)
    world.switches[2].ports[1] = PortDesc(1, port.hw_addr, port.name)
    world.switches[2].send(build.port_status(of13.OFPPR_ADD, world.switches[2].ports[1]))
    world.pass_time(1.0)
    assert controller.take("PORT_STATUS")[0].desc.state == of13.OFPPS_LIVE
    assert_equal_to_recompute(world)


def test_two_tenants_on_one_physical_port_both_hear_of_it() -> None:
    world = a_world(spec("red", {1: (1, 1, 5)}), spec("white", {1: (1, 1, 6)}))
    one, other = Controller(world, "red"), Controller(world, "white")
    world.switches[1].set_port(1, False)
    one.take(*PORT_LOST)
    other.take(*PORT_LOST)


# Ports and groups


def test_a_port_that_cannot_have_its_variants_of_groups_stays_down() -> None:
    world = a_world(spec("red", {1: (1, 1), 2: (2, 1)}), layout=ContextLayout(4, 3))  # seven places
    controller = Controller(world, "red")
    for number in range(1, 5):
        add(controller, build.group_mod(1, of13.OFPGC_ADD, of13.OFPGT_ALL, number, bucket(actions.output(2))))
    intent.put_port(world.hv, "red", port_spec(3, "red3", 1, 5, 9), world.now)
    world.pass_time(1.0)
    (status,) = controller.take("PORT_STATUS")
    assert (status.reason, status.desc.state) == (of13.OFPPR_ADD, of13.OFPPS_LINK_DOWN)
    assert_equal_to_recompute(world)
