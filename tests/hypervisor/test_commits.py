"""A bundle is carried out whole or not at all; tests/system/test_bundles_against_ovs compares it with Open vSwitch."""
from __future__ import annotations

from typing import Any

from msgspec import structs

from hvproxy.model.layout import ContextLayout
from hvproxy.openflow import actions, build, bundles
from hvproxy.openflow.bundles import BundleError, ControlType
from hvproxy.openflow.constants import ONF_ID, of13
from hvproxy.openflow.groups import bucket
from hvproxy.openflow.messages import decode_packet_out
from hvproxy.openflow.multipart import FlowStatsRequest, Kind, multipart_request
from tests.harness import Controller, World, spec
from tests.hypervisor.worlds import a_world, add, assert_equal_to_recompute, flow_mod, in_port, red

ADD, MODIFY, DELETE = of13.OFPGC_ADD, of13.OFPGC_MODIFY, of13.OFPGC_DELETE
FULL = (of13.OFPET_FLOW_MOD_FAILED, of13.OFPFMFC_TABLE_FULL)
COMMIT = bundles.control(99, 1, ControlType.COMMIT_REQUEST, 1)


def group(xid: int, command: int, group_id: int, port: int = 2) -> bytes:
    return build.group_mod(xid, command, of13.OFPGT_INDIRECT, group_id,
                           b"" if command == DELETE else bucket(actions.output(port)))


def commit(controller: Controller, *messages: bytes) -> list[tuple[int, ...]]:
    """(xid, type, code) of the errors a bundle of these ends with; none when it is carried out."""
    for message in messages:
        controller.send(bundles.add(int.from_bytes(message[4:8], "big"), 1, 1, message))
    controller.send(COMMIT)
    controller.world.run()
    return ended(controller)


def ended(controller: Controller) -> list[tuple[int, ...]]:
    answers, controller.messages = controller.messages, []
    if [answer[1] for answer in answers] == [of13.OFPT_EXPERIMENTER]:
        assert answers == [bundles.reply(COMMIT)]
        return []
    assert {answer[1] for answer in answers} == {of13.OFPT_ERROR}, answers
    return [tuple(int.from_bytes(part, "big") for part in (e[4:8], e[8:10], e[10:12])) for e in answers]


def flows(controller: Controller) -> Any:
    found = controller.ask(multipart_request(3, Kind.FLOW, FlowStatsRequest().encode())).body
    return sorted((
        (flow.cookie, flow.priority, flow.packet_count, flow.to_jsondict()["OFPFlowStats"]["instructions"])
        for flow in found), key=lambda flow: flow[:2])


def groups(controller: Controller) -> Any:
    return [desc.to_jsondict() for desc in controller.ask(multipart_request(3, Kind.GROUP_DESC)).body]


def state(world: World, controller: Controller) -> Any:
    return flows(controller), groups(controller), {
        dpid: (dict(s.rules), dict(s.groups)) for dpid, s in world.switches.items()}


FAILED = (99, 0xFFFF, BundleError.MSG_FAILED)


def test_everything_is_carried_out_in_order() -> None:
    world, controller = red()
    add(controller, flow_mod(cookie=1, priority=1, apply=actions.output(2)))
    assert commit(
        controller, group(11, ADD, 5), flow_mod(xid=12, cookie=2, priority=2, apply=actions.group(5)),
        flow_mod(xid=13, command=of13.OFPFC_DELETE_STRICT, priority=1), group(14, MODIFY, 5, 3),
        flow_mod(xid=15, cookie=3, priority=3), flow_mod(xid=16, cookie=4, priority=3, apply=actions.output(3)),
        flow_mod(xid=17, cookie=5, priority=9), flow_mod(xid=18, command=of13.OFPFC_DELETE_STRICT, priority=9),
        group(19, ADD, 6), group(20, DELETE, 6)) == []
    assert [flow[:2] for flow in flows(controller)] == [(2, 2), (4, 3)]
    assert [desc["OFPGroupDescStats"]["group_id"] for desc in groups(controller)] == [5]
    assert_equal_to_recompute(world)


def test_nothing_is_sent_before_the_commit_and_all_of_it_behind_one_barrier() -> None:
    world, controller = red()
    before = {dpid: s.flow_mods for dpid, s in world.switches.items()}
    controller.send(bundles.add(11, 1, 1, flow_mod(xid=11, apply=actions.output(2))))
    world.run()
    assert {dpid: s.flow_mods for dpid, s in world.switches.items()} == before
    world.switches[2].hold_barriers = True
    controller.send(COMMIT + build.echo_request(1) + build.get_config_request(2))
    assert [m.msg_type for m in controller.take("ECHO_REPLY")]
    world.switches[2].release()
    controller.take("EXPERIMENTER", "GET_CONFIG_REPLY")


def test_a_message_the_tables_forbid_fails_all_and_leaves_no_trace() -> None:
    world, controller = red()
    add(controller, group(1, ADD, 7), flow_mod(cookie=1, priority=1, apply=actions.output(2)),
        flow_mod(cookie=2, priority=2, apply=actions.group(7)))
    world.switches[1].count(10, 5, 500)
    before = state(world, controller)
    created = dict(world.hv.logical_switches["red"].groups.created)
    assert commit(
        controller, flow_mod(xid=11, cookie=3, priority=3), group(12, ADD, 8), group(13, MODIFY, 7, 3),
        flow_mod(xid=14, cookie=9, priority=1, flags=of13.OFPFF_RESET_COUNTS, apply=actions.output(4)),
        flow_mod(xid=15, command=of13.OFPFC_MODIFY, apply=actions.output(3)), group(16, DELETE, 7),
        flow_mod(xid=17, command=of13.OFPFC_DELETE),
        flow_mod(xid=18, apply=actions.group(99))) == [
            (18, of13.OFPET_BAD_ACTION, of13.OFPBAC_BAD_OUT_GROUP), FAILED]
    assert state(world, controller) == before
    assert world.hv.logical_switches["red"].groups.created == created
    assert_equal_to_recompute(world)


def test_a_datapath_that_refuses_fails_all_of_it_everywhere() -> None:
    world, controller = red()
    add(controller, group(1, ADD, 7), flow_mod(cookie=1, priority=1, apply=actions.output(2)),
        flow_mod(cookie=2, priority=2, apply=actions.group(7)))
    before = flows(controller), groups(controller)
    world.switches[2].refuse = FULL
    refused = commit(
        controller, group(11, ADD, 8), group(12, MODIFY, 7, 3),
        flow_mod(xid=14, cookie=3, priority=3, apply=actions.group(8)))
    assert refused == [(14, *FULL), FAILED]
    world.switches[2].refuse = None
    world.pass_time(5)
    assert (flows(controller), groups(controller)) == before
    assert_equal_to_recompute(world)


def test_deleted_groups_and_their_entries_come_back_when_a_datapath_refuses() -> None:
    world, controller = red()
    add(controller, group(1, ADD, 7), flow_mod(cookie=2, priority=2, apply=actions.group(7)))
    before = flows(controller), groups(controller)
    world.switches[3].refuse_groups = (of13.OFPET_GROUP_MOD_FAILED, of13.OFPGMFC_OUT_OF_GROUPS)
    refused = commit(controller, group(11, DELETE, 7), group(12, ADD, 8))
    world.switches[3].refuse_groups = None
    assert refused[-1] == FAILED and len(refused) == 2
    world.pass_time(5)
    assert (flows(controller), groups(controller)) == before


def test_ports_cannot_be_changed_atomically() -> None:
    world, controller = red()
    before = state(world, controller)
    mod = build.port_mod(12, 1, bytes(6), 0, 0)
    assert commit(controller, flow_mod(xid=11), mod) == [(12, 0xFFFF, BundleError.MSG_FAILED), FAILED]
    assert state(world, controller) == before


def test_packets_go_out_behind_what_the_bundle_installs() -> None:
    world, controller = red()
    assert commit(controller, build.packet_out(11, of13.OFPP_CONTROLLER, actions.output(2), b"data"),
                  flow_mod(xid=12, apply=actions.output(2))) == []
    assert sum(len(s.packet_outs) for s in world.switches.values()) == 1
    assert commit(controller, build.packet_out(11, of13.OFPP_CONTROLLER, actions.group(9), b"data")) == [
        (11, of13.OFPET_BAD_ACTION, of13.OFPBAC_BAD_OUT_GROUP), FAILED]


def test_an_entry_replaced_by_delete_and_add_counts_from_zero_and_is_told_as_removed() -> None:
    world, controller = red()
    add(controller, flow_mod(cookie=1, match=in_port(1), flags=of13.OFPFF_SEND_FLOW_REM, apply=actions.output(2)))
    world.switches[1].count(10, 5, 500)
    for message in (flow_mod(xid=11, command=of13.OFPFC_DELETE, match=in_port(1)),
                    flow_mod(xid=12, cookie=2, match=in_port(1), apply=actions.output(2))):
        controller.send(bundles.add(int.from_bytes(message[4:8], "big"), 1, 1, message))
    controller.send(COMMIT)
    removed = [m for m in controller.take("FLOW_REMOVED", "EXPERIMENTER") if m.msg_type == of13.OFPT_FLOW_REMOVED]
    assert [(m.cookie, m.packet_count) for m in removed] == [(1, 5)]
    assert [flow[:3] for flow in flows(controller)] == [(2, 5, 0)]
    assert_equal_to_recompute(world)


def test_what_a_bundle_has_added_is_found_by_what_follows_in_it() -> None:
    world, controller = red()
    flags = of13.OFPFF_SEND_FLOW_REM
    add(controller, flow_mod(cookie=1, priority=1, match=in_port(1), flags=flags))
    for message in (flow_mod(xid=11, cookie=2, priority=9, flags=flags), flow_mod(xid=12, command=of13.OFPFC_DELETE)):
        controller.send(bundles.add(int.from_bytes(message[4:8], "big"), 1, 1, message))
    controller.send(COMMIT)
    removed = [m for m in controller.take("FLOW_REMOVED", "FLOW_REMOVED", "EXPERIMENTER")
               if m.msg_type == of13.OFPT_FLOW_REMOVED]
    assert sorted(m.cookie for m in removed) == [1, 2]
    assert flows(controller) == []
    assert_equal_to_recompute(world)


def test_errors_are_the_onfs() -> None:
    _, controller = red()
    controller.send(bundles.add(11, 1, 1, flow_mod(xid=11, apply=actions.group(9))) + COMMIT)
    first, second = controller.take("ERROR", "ERROR")
    assert (first.xid, second.xid, second.experimenter) == (11, 99, ONF_ID)


def test_a_packet_that_is_kept_is_sent_once_when_the_bundle_is_committed() -> None:
    world = a_world(structs.replace(spec("red", {1: (1, 1), 2: (2, 1)}), buffers=4))
    controller = Controller(world, "red")
    add(controller, flow_mod(priority=0, apply=actions.output(of13.OFPP_CONTROLLER, 0)))
    switch = world.switches[1]
    numbers = []
    for frame in (b"\1" * 60, b"\2" * 60):
        switch.packet_in(frame, cookie=switch.cookies()[0], metadata=ContextLayout().context(1, 1))
        numbers += [packet.buffer_id for packet in controller.take("PACKET_IN")]
    entry = flow_mod(5, apply=actions.output(2), buffer_id=numbers[0])
    again = build.packet_out(6, 1, actions.output(2), b"", buffer_id=numbers[0])
    empty = of13.OFPET_BAD_REQUEST, of13.OFPBRC_BUFFER_EMPTY
    before = state(world, controller)
    assert commit(controller, entry, again) == [(6, *empty), FAILED]
    assert state(world, controller) == before and switch.packet_outs == []
    assert commit(controller, entry, build.packet_out(6, 1, actions.output(2), b"", buffer_id=numbers[1])) == []
    assert [decode_packet_out(out).data for out in switch.packet_outs] == [b"\1" * 60, b"\2" * 60]
    assert commit(controller, flow_mod(7, buffer_id=numbers[0])) == [(7, *empty), (99, 0xFFFF, BundleError.BAD_ID)], (
        "what is wrong already is not even added")
    assert_equal_to_recompute(world)
