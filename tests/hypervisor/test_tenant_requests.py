"""What becomes of each type of message that a controller sends: carried out, answered, or refused with the error."""
from __future__ import annotations

from typing import Any

import pytest

from hvproxy.errors import Refused
from hvproxy.hypervisor.port_config import CONFIGURABLE
from hvproxy.hypervisor.tenant_requests import carry_out, take
from hvproxy.openflow import actions, build, bundles
from hvproxy.openflow.bundles import ControlType
from hvproxy.openflow.constants import NICIRA_ID, of13
from hvproxy.openflow.experimenters import Nicira, forget_connections, nicira
from hvproxy.openflow.groups import bucket
from hvproxy.openflow.multipart import FlowStatsRequest, Kind, multipart_request
from hvproxy.openflow.oxm import tlv
from tests.harness import Controller, World
from tests.hypervisor.worlds import assert_equal_to_recompute, flow_mod, in_port, meter_mod, red

SLAVE = (of13.OFPET_BAD_REQUEST, of13.OFPBRC_IS_SLAVE)
FLOW = flow_mod(apply=actions.output(2))


def flows(controller: Controller) -> list[Any]:
    return list(controller.ask(multipart_request(3, Kind.FLOW, FlowStatsRequest().encode())).body)


def port_mod(world: World, config: int) -> bytes:
    desc = world.hv.logical_switches["red"].ports[1].desc()
    return build.port_mod(8, 1, desc.hw_addr, config, CONFIGURABLE)


def become_slave(controller: Controller) -> None:
    assert controller.ask(build.role_request(7, of13.OFPCR_ROLE_SLAVE, 1)).role == of13.OFPCR_ROLE_SLAVE


@pytest.mark.parametrize("message, wanted", [
    (flow_mod(table=8), (of13.OFPET_BAD_REQUEST, of13.OFPBRC_BAD_TABLE_ID)),
    (flow_mod(goto=0, table=1), (of13.OFPET_BAD_INSTRUCTION, of13.OFPBIC_BAD_TABLE_ID)),
    (flow_mod(apply=actions.output(of13.OFPP_TABLE)), (of13.OFPET_BAD_ACTION, of13.OFPBAC_BAD_OUT_PORT)),
    (flow_mod(apply=actions.group(5)), (of13.OFPET_BAD_ACTION, of13.OFPBAC_BAD_OUT_GROUP)),
    (flow_mod(match=tlv(of13.OFPXMT_OFB_TCP_DST, 5)), (of13.OFPET_BAD_MATCH, of13.OFPBMC_BAD_PREREQ)),
    (flow_mod(buffer_id=5), (of13.OFPET_BAD_REQUEST, of13.OFPBRC_BUFFER_UNKNOWN)),
    (flow_mod(command=9), (of13.OFPET_FLOW_MOD_FAILED, of13.OFPFMFC_BAD_COMMAND)),
])
def test_a_bad_flow_mod_is_refused_and_reaches_no_switch(message: bytes, wanted: tuple[int, int]) -> None:
    world, controller = red()
    before = {dpid: switch.flow_mods for dpid, switch in world.switches.items()}
    assert controller.refused(message) == wanted
    assert flows(controller) == []
    assert {dpid: switch.flow_mods for dpid, switch in world.switches.items()} == before


def test_what_has_no_answer_is_carried_out_in_the_order_it_came() -> None:
    world, controller = red()
    controller.send(build.group_mod(8, of13.OFPGC_ADD, of13.OFPGT_ALL, 7, bucket(actions.output(2)))
                    + meter_mod(3, 100) + flow_mod(meter=3, apply=actions.group(7))
                    + build.set_config(8, of13.OFPC_FRAG_DROP, 64))
    world.pass_time(1.0)
    assert controller.take() == [] and len(flows(controller)) == 1
    assert_equal_to_recompute(world)
    controller.send(meter_mod(3, command=of13.OFPMC_DELETE))
    world.pass_time(1.0)
    assert flows(controller) == []
    controller.send(FLOW + flow_mod(apply=actions.group(7), match=in_port(2))
                    + build.group_mod(8, of13.OFPGC_DELETE, of13.OFPGT_ALL, 7))
    assert len(flows(controller)) == 1
    assert_equal_to_recompute(world)


def test_settings_are_answered_with_what_was_set() -> None:
    _, controller = red()
    controller.send(build.set_config(8, of13.OFPC_FRAG_NORMAL, 64))
    asked = controller.ask(build.get_config_request(9))
    assert (asked.xid, asked.flags, asked.miss_send_len) == (9, of13.OFPC_FRAG_NORMAL, 64)
    assert controller.ask(build.get_async_request(4)).msg_type == of13.OFPT_GET_ASYNC_REPLY


def test_a_packet_does_not_overtake_what_its_controller_has_set_of_a_port() -> None:
    world, controller = red()
    ls = world.hv.logical_switches["red"]
    for switch in world.switches.values():
        switch.hold_barriers = True
    controller.send(port_mod(world, of13.OFPPC_NO_FWD)
                    + build.packet_out(8, of13.OFPP_CONTROLLER, actions.output(2), b"frame"))
    world.pass_time(1.0)
    assert not any(switch.packet_outs for switch in world.switches.values())
    for switch in world.switches.values():
        switch.release()
    world.pass_time(1.0)
    assert sum(len(switch.packet_outs) for switch in world.switches.values()) == 1
    assert ls.ports[1].config == of13.OFPPC_NO_FWD


def test_a_port_that_goes_down_is_counted_to_the_end_and_carries_nothing() -> None:
    world, controller = red()
    for config in (of13.OFPPC_PORT_DOWN, 0):
        controller.send(port_mod(world, config))
        world.pass_time(1.0)
        controller.messages.clear()
        assert world.hv.logical_switches["red"].ports[1].config == config
        assert_equal_to_recompute(world)
    controller.send(port_mod(world, 0))
    controller.take()


def test_messages_are_counted_by_type_also_those_that_are_refused() -> None:
    world, controller = red()
    controller.send(FLOW)
    controller.refused(flow_mod(table=8))
    assert world.hv.logical_switches["red"].received[of13.OFPT_FLOW_MOD] == 2


def test_a_slave_changes_nothing_by_a_bundle_either() -> None:
    world, controller = red()
    become_slave(controller)
    assert controller.refused(FLOW) == SLAVE
    for message in (bundles.control(5, 1, ControlType.OPEN_REQUEST, 0), bundles.add(9, 1, 0, FLOW)):
        assert controller.refused(message) == SLAVE
    assert len(flows(controller)) == 0
    assert world.hv.logical_switches["red"].bundles.deadline == float("inf")


def test_a_bundle_is_carried_out_at_its_commit() -> None:
    _, controller = red()
    controller.send(bundles.control(5, 1, ControlType.OPEN_REQUEST, 0) + bundles.add(9, 1, 0, FLOW))
    controller.take("EXPERIMENTER")
    assert flows(controller) == []
    controller.send(bundles.control(5, 1, ControlType.COMMIT_REQUEST, 0))
    controller.take("EXPERIMENTER")
    assert len(flows(controller)) == 1


def test_experimenters_requests_are_seen_to_by_who_knows_them() -> None:
    _, controller = red()
    reply = controller.ask(nicira(7, Nicira.ROLE_REQUEST, bytes(4)))
    assert (reply.experimenter, reply.exp_type) == (NICIRA_ID, Nicira.ROLE_REPLY)
    controller.send(forget_connections(3, 5))
    controller.take()


def test_what_a_controllers_message_is_answered_with_whoever_else_brings_one_must_catch() -> None:
    world, controller = red()
    ls = world.hv.logical_switches["red"]
    session, = ls.sessions.values()
    with pytest.raises(Refused):
        carry_out(ls, session, flow_mod(table=8), world.now)
    controller.take()
    take(ls, session, flow_mod(table=8), world.now)
    controller.take("ERROR")
