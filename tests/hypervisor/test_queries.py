"""Every question a tenant may ask is answered: with the logical state, or with the exact error."""
from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hvproxy.hypervisor import intent
from hvproxy.hypervisor.links import NamedLink
from hvproxy.hypervisor.settings import Settings
from hvproxy.hypervisor.table_offer import features_of
from hvproxy.model.layout import ContextLayout
from hvproxy.openflow import actions, build
from hvproxy.openflow.constants import of13
from hvproxy.openflow.groups import bucket
from hvproxy.openflow.multipart import FlowStatsRequest, Kind, encode_id_request, multipart_request
from hvproxy.openflow.oxm import ofp_match, tlv
from hvproxy.openflow.oxm_fields import OWN_REGISTER
from hvproxy.openflow.table_features import MATCH, WRITE_ACTIONS, TableFeatures
from tests.harness import TYPES, Controller, EndSwitch, World, described_tables, parsed, spec
from tests.hypervisor.worlds import a_world, add, count_everywhere, flow_mod, in_port, port_spec, red

BAD_REQUEST = of13.OFPET_BAD_REQUEST
BAD_TYPE = (BAD_REQUEST, of13.OFPBRC_BAD_TYPE)
BAD_MULTIPART = (BAD_REQUEST, of13.OFPBRC_BAD_MULTIPART)
REQUESTS: dict[int, tuple[bytes, object]] = {
    # what is sent: the type of the reply, or the error
    of13.OFPT_ERROR: (bytes(4), (BAD_REQUEST, of13.OFPBRC_BAD_TYPE)),
    of13.OFPT_ECHO_REQUEST: (b"", "ECHO_REPLY"),
    of13.OFPT_EXPERIMENTER: (bytes(8), (BAD_REQUEST, of13.OFPBRC_BAD_EXPERIMENTER)),
    of13.OFPT_FEATURES_REQUEST: (b"", "FEATURES_REPLY"),
    of13.OFPT_FEATURES_REPLY: (bytes(24), BAD_TYPE),
    of13.OFPT_GET_CONFIG_REQUEST: (b"", "GET_CONFIG_REPLY"),
    of13.OFPT_GET_CONFIG_REPLY: (bytes(4), BAD_TYPE),
    of13.OFPT_PACKET_IN: (bytes(34), BAD_TYPE),
    of13.OFPT_FLOW_REMOVED: (bytes(48), BAD_TYPE),
    of13.OFPT_PORT_STATUS: (bytes(72), BAD_TYPE),
    of13.OFPT_PORT_MOD: (bytes(32), (of13.OFPET_PORT_MOD_FAILED, of13.OFPPMFC_BAD_PORT)),
    of13.OFPT_MULTIPART_REPLY: (b"\0\3" + bytes(6), BAD_TYPE),
    of13.OFPT_BARRIER_REQUEST: (b"", "BARRIER_REPLY"),
    of13.OFPT_BARRIER_REPLY: (b"", BAD_TYPE),
    of13.OFPT_QUEUE_GET_CONFIG_REQUEST: (bytes(8), (of13.OFPET_QUEUE_OP_FAILED, of13.OFPQOFC_BAD_PORT)),
    of13.OFPT_QUEUE_GET_CONFIG_REPLY: (bytes(8), BAD_TYPE),
    of13.OFPT_ROLE_REQUEST: (bytes(16), "ROLE_REPLY"),
    of13.OFPT_ROLE_REPLY: (bytes(16), BAD_TYPE),
    of13.OFPT_GET_ASYNC_REQUEST: (b"", "GET_ASYNC_REPLY"),
    of13.OFPT_GET_ASYNC_REPLY: (bytes(24), BAD_TYPE),
    of13.OFPT_METER_MOD: (bytes(8), (of13.OFPET_METER_MOD_FAILED, of13.OFPMMFC_INVALID_METER)),
}
TESTED_ELSEWHERE = {of13.OFPT_HELLO, of13.OFPT_FLOW_MOD, of13.OFPT_GROUP_MOD, of13.OFPT_PACKET_OUT,
                    of13.OFPT_MULTIPART_REQUEST}
UNANSWERED = {of13.OFPT_ECHO_REPLY: b"", of13.OFPT_SET_CONFIG: b"\0\0\0\0",
              of13.OFPT_TABLE_MOD: bytes(8), of13.OFPT_SET_ASYNC: bytes(24)}
"""Messages that have no reply when all is well."""
MULTIPARTS: dict[int, tuple[bytes, object]] = {
    Kind.DESC: (b"", "ok"),
    Kind.FLOW: (FlowStatsRequest().encode(), "ok"),
    Kind.AGGREGATE: (FlowStatsRequest().encode(), "ok"),
    Kind.TABLE: (b"", "ok"),
    Kind.PORT_STATS: (encode_id_request(of13.OFPP_ANY), "ok"),
    Kind.QUEUE: (b"\xff" * 8, "ok"),
    Kind.GROUP: (encode_id_request(of13.OFPG_ALL), "ok"),
    Kind.GROUP_DESC: (b"", "ok"),
    Kind.GROUP_FEATURES: (b"", "ok"),
    Kind.METER: (encode_id_request(of13.OFPM_ALL), "ok"),
    Kind.METER_CONFIG: (encode_id_request(of13.OFPM_ALL), "ok"),
    Kind.METER_FEATURES: (b"", "ok"),
    Kind.TABLE_FEATURES: (b"", "ok"),
    Kind.PORT_DESC: (b"", "ok"),
    Kind.EXPERIMENTER: (bytes(8), (BAD_REQUEST, of13.OFPBRC_BAD_EXPERIMENTER)),
}


def stats(controller: Controller, kind: Kind, body: bytes = b"", xid: int = 3) -> Any:
    """The records of the one reply."""
    reply = controller.ask(multipart_request(xid, kind, body))
    assert (TYPES[reply.msg_type], reply.xid, reply.flags) == ("MULTIPART_REPLY", xid, 0)
    return reply.body


def flows(controller: Controller, **request: Any) -> Any:
    return stats(controller, Kind.FLOW, FlowStatsRequest(**request).encode())


@pytest.mark.parametrize("kind", sorted(set(range(30)) - TESTED_ELSEWHERE))
def test_every_type_of_message_is_answered(kind: int) -> None:
    _, controller = red()
    if kind in UNANSWERED:
        controller.send(build.message(kind, 5, UNANSWERED[kind]) + build.echo_request(6))
        controller.take("ECHO_REPLY")
        return
    body, wanted = REQUESTS[kind]
    message = build.message(kind, 5, body)
    if isinstance(wanted, str):
        reply = controller.ask(message)
        assert (TYPES[reply.msg_type], reply.xid) == (wanted, 5)
    else:
        assert controller.refused(message) == wanted


@pytest.mark.parametrize("kind", [30, 31, 35, 255])
def test_types_of_other_versions_are_refused(kind: int) -> None:
    assert red()[1].refused(build.message(kind, 5, bytes(8))) == BAD_TYPE


@pytest.mark.parametrize("kind", list(Kind))
def test_every_kind_of_multipart_request_is_answered(kind: Kind) -> None:
    _, controller = red()
    body, wanted = MULTIPARTS[kind]
    message = multipart_request(5, kind, body)
    if wanted == "ok":
        reply = controller.ask(message)
        assert (TYPES[reply.msg_type], reply.xid, reply.type) == ("MULTIPART_REPLY", 5, kind)
    else:
        assert controller.refused(message) == wanted


def test_kinds_of_other_versions_are_refused_in_parts_too() -> None:
    _, controller = red()
    for flags in (0, of13.OFPMPF_REQ_MORE):
        assert controller.refused(multipart_request(5, 16, b"", flags)) == BAD_MULTIPART


def test_a_request_may_come_in_parts_and_must_ask_something() -> None:
    _, controller = red()
    bad_length = (BAD_REQUEST, of13.OFPBRC_BAD_LEN)
    for kind in (Kind.PORT_STATS, Kind.FLOW, Kind.AGGREGATE, Kind.QUEUE, Kind.GROUP):
        assert controller.refused(multipart_request(5, kind)) == bad_length
    controller.send(multipart_request(5, Kind.PORT_STATS, encode_id_request(2), of13.OFPMPF_REQ_MORE))
    reply = controller.ask(multipart_request(5, Kind.PORT_STATS))
    assert [port.port_no for port in reply.body] == [2]


def test_features_are_those_of_the_logical_switch() -> None:
    world = a_world(spec("red", {1: (1, 1)}, dpid=0xABC))
    features = Controller(world, "red").ask(build.features_request(3))
    assert (features.datapath_id, features.n_buffers, features.n_tables, features.auxiliary_id) == (0xABC, 0, 8, 0)
    assert features.capabilities == (of13.OFPC_FLOW_STATS | of13.OFPC_TABLE_STATS | of13.OFPC_PORT_STATS
                                     | of13.OFPC_GROUP_STATS | of13.OFPC_QUEUE_STATS)


def test_the_configuration_is_kept_per_connection() -> None:
    world, one = red()
    other = Controller(world, "red")
    one.send(build.set_config(1, of13.OFPC_FRAG_NORMAL, 99))
    config = one.ask(build.get_config_request(2))
    assert (config.flags, config.miss_send_len) == (of13.OFPC_FRAG_NORMAL, 99)
    assert other.ask(build.get_config_request(2)).miss_send_len == 128


@pytest.mark.parametrize("flags", [3, 4, 0x10])
def test_fragments_cannot_be_handled_otherwise(flags: int) -> None:
    _, controller = red()
    assert controller.refused(build.set_config(1, flags, 5)) == (
        of13.OFPET_SWITCH_CONFIG_FAILED, of13.OFPSCFC_BAD_FLAGS)
    assert controller.ask(build.get_config_request(2)).miss_send_len == 128


def test_fragments_to_be_put_together_are_passed_over_as_open_vswitch_does() -> None:
    _, controller = red()
    controller.send(build.set_config(1, of13.OFPC_FRAG_REASM, 5))
    config = controller.ask(build.get_config_request(2))
    assert (config.flags, config.miss_send_len) == (of13.OFPC_FRAG_NORMAL, 5)


def test_the_description_names_the_logical_switch_only() -> None:
    _, controller = red()
    desc = stats(controller, Kind.DESC)
    assert (desc.mfr_desc, desc.dp_desc) == (b"hvproxy", b"red")


def test_flow_statistics_tell_what_the_tenant_installed() -> None:
    world, controller = red()
    add(controller, flow_mod(match=in_port(5) + tlv(of13.OFPXMT_OFB_METADATA, 1, 3), table=1, cookie=9, priority=7,
                             apply=actions.output(of13.OFPP_CONTROLLER, 70), write=actions.output(2), goto=3,
                             metadata=(4, 12), idle_timeout=50, hard_timeout=60, flags=of13.OFPFF_SEND_FLOW_REM))
    world.pass_time(2.5)
    (flow,) = flows(controller)
    assert (flow.table_id, flow.cookie, flow.priority, flow.idle_timeout, flow.hard_timeout) == (1, 9, 7, 50, 60)
    assert (flow.duration_sec, flow.flags, flow.packet_count) == (2, of13.OFPFF_SEND_FLOW_REM, 0)
    assert dict(flow.match.items()) == {"in_port": 5, "metadata": (1, 3)}
    apply, write, metadata, goto = flow.instructions
    assert [(a.port, a.max_len) for a in apply.actions + write.actions] == [(of13.OFPP_CONTROLLER, 70), (2, 0)]
    assert (metadata.metadata, metadata.metadata_mask, goto.table_id) == (4, 12, 3)


@pytest.mark.parametrize("request_, cookies", [
    ({}, [1, 2, 3]), ({"table_id": 0}, [1, 2]), ({"table_id": 1}, [3]), ({"out_port": 2}, [1]),
    ({"cookie": 1, "cookie_mask": 1}, [1, 3]), ({"match": ofp_match(in_port(4))}, [2]), ({"out_group": 5}, []),
])
def test_flow_statistics_are_filtered_by_what_the_tenant_sent(request_: dict[str, Any], cookies: list[int]) -> None:
    _, controller = red()
    add(controller, flow_mod(apply=actions.output(2), cookie=1, goto=1),
        flow_mod(match=in_port(4), apply=actions.output(3), cookie=2), flow_mod(table=1, cookie=3))
    assert [flow.cookie for flow in flows(controller, **request_)] == cookies
    aggregate = stats(controller, Kind.AGGREGATE, FlowStatsRequest(**request_).encode())
    assert aggregate.flow_count == len(cookies)


def test_a_table_that_is_not_there_has_no_statistics() -> None:
    _, controller = red()
    assert controller.refused(multipart_request(5, Kind.FLOW, FlowStatsRequest(table_id=8).encode())) == (
        BAD_REQUEST, of13.OFPBRC_BAD_TABLE_ID)


def test_counters_are_summed_over_edges() -> None:
    world, controller = red()
    add(controller, flow_mod(apply=actions.output(2)))
    for dpid, packets in ((1, 3), (2, 4), (3, 5)):
        key = next(key for key in world.switches[dpid].rules if key[0] == 10)
        world.switches[dpid].counted[key] = (packets, packets * 100)
    (flow,) = flows(controller)
    assert (flow.packet_count, flow.byte_count) == (12, 1200)
    aggregate = stats(controller, Kind.AGGREGATE, FlowStatsRequest().encode())
    assert (aggregate.packet_count, aggregate.byte_count) == (12, 1200)


def test_counters_do_not_decrease_when_a_switch_reboots_a_port_moves_or_a_switch_is_away() -> None:
    world, controller = red()
    add(controller, flow_mod(match=in_port(3), apply=actions.output(2)))
    world.switches[3].count(10, 5, 500)
    assert flows(controller)[0].packet_count == 5
    world.switches[3].reboot()
    world.switches[3].count(10, 2, 200)
    assert flows(controller)[0].packet_count == 7
    intent.put_port(world.hv, "red", port_spec(3, "red3", 2, 5), world.now)
    world.pass_time(3.0)
    controller.messages.clear()
    assert flows(controller)[0].packet_count == 7
    world.switches[2].count(10, 1, 100)
    assert flows(controller)[0].packet_count == 8
    world.switches[2].disconnect()
    controller.messages.clear()
    assert (flows(controller)[0].packet_count, flows(controller)[0].byte_count) == (8, 800)


def test_a_moved_port_takes_along_what_was_counted_since_the_last_look() -> None:
    world, controller = red()
    add(controller, flow_mod(match=in_port(3), apply=actions.output(2)))
    world.switches[3].count(10, 5, 500)
    intent.put_port(world.hv, "red", port_spec(3, "red3", 2, 5), world.now)
    world.pass_time(3.0)
    controller.messages.clear()
    assert flows(controller)[0].packet_count == 5


def test_an_add_over_an_entry_keeps_its_counters_unless_it_resets_them() -> None:
    world, controller = red()
    add(controller, flow_mod(match=in_port(3), apply=actions.output(2)))
    world.switches[3].count(10, 5, 500)
    add(controller, flow_mod(match=in_port(3), apply=actions.output(1)))
    assert flows(controller)[0].packet_count == 5
    add(controller, flow_mod(match=in_port(3), apply=actions.output(1), flags=of13.OFPFF_RESET_COUNTS))
    assert flows(controller)[0].packet_count == 0
    world.switches[3].count(10, 2, 200)
    assert flows(controller)[0].packet_count == 2


def test_no_switch_that_answers_no_statistics_keeps_the_tenant_waiting_for_ever() -> None:
    world, controller = red()
    add(controller, flow_mod(apply=actions.output(2)))
    world.switches[2].silent = True
    world.switches[1].count(10, 2, 200)
    controller.send(multipart_request(3, Kind.FLOW, FlowStatsRequest().encode()))
    assert controller.take() == []
    world.pass_time(60.0)
    (reply,) = [m for m in map(parsed, controller.messages) if m.msg_type == of13.OFPT_MULTIPART_REPLY]
    assert reply.body[0].packet_count > 0


def test_table_statistics_count_what_entries_and_ports_count() -> None:
    world, controller = red()
    add(controller, flow_mod(match=in_port(3), goto=1), flow_mod(table=1, apply=actions.output(2)))
    world.switches[3].count(10, 5, 500)
    world.switches[3].count(11, 4, 400)
    world.switches[3].count(0, 6, 600, in_port(1))
    tables = stats(controller, Kind.TABLE)
    assert [(t.table_id, t.active_count, t.lookup_count, t.matched_count) for t in tables[:3]] == [
        (0, 1, 6, 5), (1, 1, 5, 4), (2, 0, 0, 0)]
    add(controller, flow_mod(command=of13.OFPFC_DELETE, table=of13.OFPTT_ALL))
    intent.delete_port(world.hv, "red", 3, lambda at: None, world.now)
    world.pass_time(3.0)
    controller.messages.clear()
    tables = stats(controller, Kind.TABLE)
    assert [(t.active_count, t.lookup_count, t.matched_count) for t in tables[:2]] == [(0, 6, 5), (0, 5, 4)]


def test_what_a_switch_has_said_counts_once_when_another_answers_after_the_entry_is_gone() -> None:
    world, controller = red()
    add(controller, flow_mod(apply=actions.output(2)))
    count_everywhere(world, 2)
    rules = sum(len(switch.cookies()) for switch in world.switches.values())
    world.switches[3].silent = world.switches[3].hold_removals = True
    controller.send(multipart_request(4, Kind.FLOW, FlowStatsRequest(of13.OFPTT_ALL).encode()))
    Controller(world, "red").send(flow_mod(command=of13.OFPFC_DELETE))
    world.run()
    world.switches[3].answer()
    world.switches[3].release()
    controller.take("MULTIPART_REPLY")
    controller.send(multipart_request(3, Kind.TABLE))
    (reply,) = controller.take("MULTIPART_REPLY")
    assert reply.body[0].matched_count == 2 * rules


def test_port_descriptions_are_split_over_messages() -> None:
    ports = {number: (1 + number % 3, number // 3 + 10) for number in range(1, 2001)}
    world = World(spec("red", ports))
    controller = Controller(world, "red")
    controller.send(build.port_desc_request(3))
    replies = controller.take("MULTIPART_REPLY", "MULTIPART_REPLY")
    assert [reply.flags for reply in replies] == [of13.OFPMPF_REPLY_MORE, 0]
    assert [port.port_no for reply in replies for port in reply.body] == list(range(1, 2001))


@pytest.mark.parametrize("number", [0, 9, 0xFFFFFF00, of13.OFPP_LOCAL, of13.OFPP_CONTROLLER])
def test_statistics_of_a_port_that_is_not_there_are_empty(number: int) -> None:
    assert stats(red()[1], Kind.PORT_STATS, encode_id_request(number)) == []


def test_statistics_of_a_port_that_cannot_be_are_refused() -> None:
    _, controller = red()
    for kind, body in ((Kind.PORT_STATS, encode_id_request(0xFF00)), (Kind.QUEUE, b"\0\0\xff\0" + bytes(4))):
        assert controller.refused(multipart_request(5, kind, body)) == (
            of13.OFPET_BAD_ACTION, of13.OFPBAC_BAD_OUT_PORT)


BAD_PORT = (of13.OFPET_QUEUE_OP_FAILED, of13.OFPQOFC_BAD_PORT)
BAD_QUEUE = (of13.OFPET_QUEUE_OP_FAILED, of13.OFPQOFC_BAD_QUEUE)


@pytest.mark.parametrize("port, queue, answer", [
    (2, of13.OFPQ_ALL, []), (of13.OFPP_ANY, of13.OFPQ_ALL, []), (2, 0, BAD_QUEUE), (of13.OFPP_ANY, 7, BAD_QUEUE),
    (9, of13.OFPQ_ALL, BAD_PORT), (9, 0, BAD_PORT), (0, 0, BAD_PORT), (of13.OFPP_CONTROLLER, 0, BAD_PORT)])
def test_no_port_has_queues(port: int, queue: int, answer: object) -> None:
    _, controller = red()
    body = port.to_bytes(4, "big") + queue.to_bytes(4, "big")
    if isinstance(answer, list):
        assert stats(controller, Kind.QUEUE, body) == answer
        reply = controller.ask(build.message(of13.OFPT_QUEUE_GET_CONFIG_REQUEST, 5, body[:4] + bytes(4)))
        assert (reply.xid, reply.port, reply.queues) == (5, port, [])
    else:
        assert controller.refused(multipart_request(5, Kind.QUEUE, body)) == answer


@pytest.mark.parametrize("table, config, code", [
    (0, 0, None), (7, 3, None), (of13.OFPTT_ALL, 0xFFFFFFFF, None), (8, 0, of13.OFPTMFC_BAD_TABLE),
    (254, 0, of13.OFPTMFC_EPERM)])
def test_a_table_mod_is_taken_for_the_tables_there_are_and_changes_nothing(
    table: int, config: int, code: int | None,
) -> None:
    _, controller = red()
    before = [str(each) for each in stats(controller, Kind.TABLE_FEATURES)]
    message = build.message(of13.OFPT_TABLE_MOD, 5, bytes((table, 0, 0, 0)) + config.to_bytes(4, "big"))
    if code is None:
        add(controller, message)
        assert [str(each) for each in stats(controller, Kind.TABLE_FEATURES)] == before
    else:
        assert controller.refused(message) == (of13.OFPET_TABLE_MOD_FAILED, code)


def features_message(*tables: TableFeatures) -> bytes:
    return multipart_request(5, Kind.TABLE_FEATURES, b"".join(each.encode() for each in tables))


def test_tables_can_be_named_and_nothing_else_of_them_can_be_changed() -> None:
    world, controller = red()
    ls = world.hv.logical_switches["red"]
    offered = [features_of(ls.spec, table, "", ls.abilities(table), extended=True) for table in range(8)]
    assert [(each.table_id, each.name) for each in stats(controller, Kind.TABLE_FEATURES)] == [
        (table, b"") for table in range(8)]
    named = [replace(each, name=f"t{each.table_id}") for each in offered]
    reply = controller.ask(features_message(*named))
    assert [each.name for each in reply.body] == [b"t%d" % table for table in range(8)]
    eperm = (of13.OFPET_TABLE_FEATURES_FAILED, of13.OFPTFFC_EPERM)
    for wrong in (offered[:7], [replace(offered[0], max_entries=10), *offered[1:]],
                  [replace(offered[0], config=3), *offered[1:]],
                  [replace(offered[0], properties={**offered[0].properties, WRITE_ACTIONS: (0,)}), *offered[1:]]):
        assert controller.refused(features_message(*wrong)) == eperm
    assert [each.name for each in stats(Controller(world, "red"), Kind.TABLE_FEATURES)] == [
        b"t%d" % table for table in range(8)]


PUSH_MPLS = actions.push_vlan(0x8847).replace(b"\0\x11", b"\0\x13", 1)


def offers(controller: Controller, action: int) -> bool:
    """Table 0 is told to apply an action."""
    lists = {each.type: each for each in stats(controller, Kind.TABLE_FEATURES)[0].properties}
    return action in [each.type for each in lists[of13.OFPTFPT_APPLY_ACTIONS].action_ids]


def test_table_features_follow_the_switches_that_ports_are_bound_to() -> None:
    world = World(spec("red", {1: (1, 1), 2: (2, 1)}))
    world.add_switches(1, 2)
    world.switches[3] = EndSwitch(world, 3, 8)
    world.switches[3].tables = described_tables(without_actions=(of13.OFPAT_PUSH_MPLS,))
    world.switches[3].connect()
    world.pass_time(2.0)
    controller = Controller(world, "red")
    push = flow_mod(apply=PUSH_MPLS)
    assert offers(controller, of13.OFPAT_PUSH_MPLS)
    add(controller, push)

    def bind(dpid: int) -> None:
        intent.put_port(world.hv, "red", port_spec(2, "red2", dpid, 1), world.now)
        world.pass_time(3.0)
        controller.messages.clear()

    bind(3)
    assert not offers(controller, of13.OFPAT_PUSH_MPLS)
    before = world.switches[1].flow_mods, world.switches[3].flow_mods
    other = flow_mod(priority=7, apply=PUSH_MPLS)
    assert controller.refused(other) == (of13.OFPET_BAD_ACTION, of13.OFPBAC_BAD_TYPE)
    assert (world.switches[1].flow_mods, world.switches[3].flow_mods) == before
    bind(2)
    assert offers(controller, of13.OFPAT_PUSH_MPLS)
    add(controller, other)
    bind(3)
    add(controller, flow_mod(command=of13.OFPFC_DELETE))
    assert not flows(controller)


def test_nothing_needs_to_lead_to_the_tables_that_hold_nothing() -> None:
    world = World(spec("red", {1: (1, 1)}))
    world.switches[1] = EndSwitch(world, 1, 8)
    world.switches[1].tables = described_tables(254, without_instructions=(of13.OFPIT_GOTO_TABLE,))
    world.switches[1].connect()
    world.pass_time(2.0)
    ls = world.hv.logical_switches["red"]
    leads = {table: {of13.OFPIT_GOTO_TABLE in each.instructions for each in ls.abilities(table)}
             for table in (0, 242, 243, 244, 253)}
    assert leads == {0: {False}, 242: {False}, 243: {True}, 244: {True}, 253: {True}}


def test_table_features_that_cannot_be_are_refused_as_open_vswitch_does() -> None:
    _, controller = red()
    one = features_of(spec("red", {}), 0)
    without = replace(one, properties={k: v for k, v in one.properties.items() if k != MATCH})
    for wrong, error in (
            ([replace(one, table_id=255)], (of13.OFPET_TABLE_FEATURES_FAILED, of13.OFPTFFC_BAD_TABLE)),
            ([replace(one, properties={**one.properties, 99: b""})],
             (of13.OFPET_TABLE_FEATURES_FAILED, of13.OFPTFFC_BAD_TYPE)),
            ([without], (0xFFFF, 10)), ([one, one], (0xFFFF, 44))):
        message = features_message(*wrong)
        controller.send(message)
        controller.world.run()
        answer, = controller.messages
        controller.messages.clear()
        assert (int.from_bytes(answer[8:10], "big"), int.from_bytes(answer[10:12], "big")) == error


def test_groups_are_described_as_the_tenant_made_them() -> None:
    _, controller = red()
    add(controller, build.group_mod(1, of13.OFPGC_ADD, of13.OFPGT_ALL, 9,
                                    bucket(actions.output(5)) + bucket(actions.output(of13.OFPP_IN_PORT))))
    (group,) = stats(controller, Kind.GROUP_DESC)
    assert (group.group_id, group.type) == (9, of13.OFPGT_ALL)
    assert [a.port for b in group.buckets for a in b.actions] == [5, of13.OFPP_IN_PORT]


def test_group_features_offer_what_can_be_had() -> None:
    _, controller = red()
    features = stats(controller, Kind.GROUP_FEATURES)
    assert features.types == 0b1111
    assert features.capabilities == (of13.OFPGFC_SELECT_WEIGHT | of13.OFPGFC_SELECT_LIVENESS | of13.OFPGFC_CHAINING
                                     | of13.OFPGFC_CHAINING_CHECKS)
    assert 0 not in features.max_groups and len(set(features.actions)) == 1


def test_nothing_of_ours_is_ever_told() -> None:
    """Trap 31: no cookie, no label, no physical name or datapath id in any byte a tenant gets."""
    one, other = 0xD0D1D2D3D4D50001, 0xD0D1D2D3D4D50002
    world = World(spec("red", {1: (one, 1), 2: (other, 1), 5: (one, 3, 20), 6: (one, 3, 30)}, dpid=0xFEEDFACECAFEBEEF),
                  settings=Settings(links=(NamedLink((one, 7), (other, 7)),)))
    world.add_switches(one, other)
    world.pass_time(1.0)
    controller = Controller(world, "red")
    add(controller, build.group_mod(1, of13.OFPGC_ADD, of13.OFPGT_ALL, 9, bucket(actions.output(5))),
        flow_mod(write=actions.group(9), flags=of13.OFPFF_SEND_FLOW_REM, goto=1, metadata=(3, 3)),
        flow_mod(table=1, priority=0, apply=actions.output(of13.OFPP_CONTROLLER)))
    for kind, (body, wanted) in MULTIPARTS.items():
        if wanted == "ok":
            controller.ask(multipart_request(5, kind, body))
    first = world.switches[one]
    context = ContextLayout().context(1, 1)
    for cookie in first.cookies(10) + first.cookies(11):
        first.packet_in(b"frame", table=11, cookie=cookie, metadata=context | 1 << 33 | 3,
                        others=tlv(OWN_REGISTER.number, 0x4711), in_port=0x01010101)
    world.switches[other].refuse = (of13.OFPET_FLOW_MOD_FAILED, of13.OFPFMFC_TABLE_FULL)
    controller.send(flow_mod(priority=77))
    controller.send(build.packet_out(3, 1, actions.output(of13.OFPP_TABLE) + actions.output(5), b"frame"))
    first.set_port(1, False)
    controller.send(flow_mod(command=of13.OFPFC_DELETE, table=of13.OFPTT_ALL))
    world.pass_time(5.0)
    seen = {TYPES[message[1]] for message in controller.messages}
    assert {"PACKET_IN", "ERROR", "PORT_STATUS", "FLOW_REMOVED"} <= seen
    labels = [(0x1000 | label).to_bytes(2, "big") for label in world.hv.fabric.labels.used.values()]
    assert labels
    hidden = [b"\xa7\x01", b"sd0d1d2", one.to_bytes(8, "big"), other.to_bytes(8, "big"),
              (0x4711).to_bytes(4, "big"), OWN_REGISTER.header.to_bytes(4, "big"),
              (0x01010101).to_bytes(4, "big"), context.to_bytes(8, "big"),
              *(b"\x80\x00\x0c\x02" + label for label in labels)]
    for secret in hidden:
        assert secret not in controller.history, secret


def test_an_entry_that_goes_while_it_is_asked_for_is_told_with_all_it_had_counted() -> None:
    world, controller = red()
    add(controller, flow_mod(match=in_port(1), apply=actions.output(2)), flow_mod(match=in_port(2)))
    world.switches[1].count(10, 5, 500)
    world.switches[2].silent = True
    for kind in (Kind.FLOW, Kind.AGGREGATE):
        controller.send(multipart_request(3, kind, FlowStatsRequest().encode()))
    world.run()
    controller.send(flow_mod(command=of13.OFPFC_DELETE, match=in_port(1)))
    world.run()
    world.switches[2].answer()
    entries, all_together = controller.take("MULTIPART_REPLY", "MULTIPART_REPLY")
    assert [(each.packet_count, each.byte_count) for each in entries.body] == [(5, 500), (0, 0)]
    assert (all_together.body.packet_count, all_together.body.flow_count) == (5, 2)
    left, = controller.ask(build.flow_stats_request(3)).body
    assert left.packet_count == 0
