"""What a datapath refuses is taken back everywhere, told once, and costs no counts (traps 19, 45)."""
from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hvproxy.hypervisor.origin import Origin
from hvproxy.hypervisor.refusals import take_back
from hvproxy.openflow import actions, build
from hvproxy.openflow.constants import of13
from hvproxy.openflow.groups import bucket
from hvproxy.openflow.messages import ErrorMsg
from hvproxy.openflow.multipart import (
    FlowStatsRequest, Kind, decode_group_desc, decode_group_stats, decode_multipart, multipart_request,
)
from tests.harness import TYPES, Controller, EndSwitch, World, parsed
from tests.hypervisor.worlds import add, assert_equal_to_recompute, count_everywhere, flow_mod, in_port, red

ALL_GROUPS = of13.OFPG_ALL.to_bytes(4, "big") + bytes(4)
FULL = (of13.OFPET_FLOW_MOD_FAILED, of13.OFPFMFC_TABLE_FULL)
OUT_OF_GROUPS = (of13.OFPET_GROUP_MOD_FAILED, of13.OFPGMFC_OUT_OF_GROUPS)
RESET = of13.OFPFF_RESET_COUNTS


MAX_MESSAGE = 0xFFFF
IN_LISTS = (actions.group(7), actions.output(2), *map(actions.output, (
    of13.OFPP_CONTROLLER, of13.OFPP_IN_PORT, of13.OFPP_FLOOD, of13.OFPP_NORMAL)))
NARROW = st.one_of(st.integers(0, 16), st.integers(0, 0xF000))
"""Bytes that a request leaves of the longest message."""


@pytest.mark.parametrize("how", ["apply", "write"])
@given(action=st.sampled_from(IN_LISTS), left=NARROW, table=st.integers(0, 1), goto=st.sampled_from((None, 2)),
       port=st.sampled_from((0, 1, 5)), reset=st.booleans())
@settings(max_examples=8, deadline=None)
def test_an_entry_of_any_length_is_there_and_told_or_refused_and_nowhere(
    how: str, action: bytes, left: int, table: int, goto: int | None, port: int, reset: bool,
) -> None:
    world, controller = red()
    other = Controller(world, "red")
    add(controller, build.group_mod(7, of13.OFPGC_ADD, of13.OFPGT_ALL, 7, bucket(actions.output(4))))
    match = in_port(port) if port else b""
    add(controller, flow_mod(table=table, match=match, apply=actions.output(3)))
    before = flows(controller)

    def asked(count: int) -> bytes:
        doing: Any = {how: action * count}
        return flow_mod(xid=5, table=table, match=match, goto=goto, flags=RESET if reset else 0, **doing)

    message = asked((MAX_MESSAGE - left - len(asked(0)) - 8) // len(action))
    controller.send(message + build.barrier_request(6))
    *errors, barrier = controller.take(*["ERROR", "BARRIER_REPLY"][-len(told_types(world, controller)):])
    assert barrier.xid == 6
    for error in errors:
        assert (error.xid, error.type, error.code) == (5, of13.OFPET_BAD_ACTION, of13.OFPBAC_TOO_MANY)
    after = flows(controller)
    assert len(after) == 1
    changed = (after[0].instructions[0].len if after[0].instructions else 0) != before[0].instructions[0].len
    assert changed is not bool(errors)
    assert other.take() == []
    assert_equal_to_recompute(world)


@given(kind=st.sampled_from((of13.OFPGT_ALL, of13.OFPGT_SELECT, of13.OFPGT_FF, of13.OFPGT_INDIRECT)),
       action=st.sampled_from((b"", *IN_LISTS)), each=st.sampled_from((0, 1, 100)), left=NARROW)
@settings(max_examples=15, deadline=None)
def test_a_group_of_any_length_is_there_and_told_or_refused_and_nowhere(
    kind: int, action: bytes, each: int, left: int,
) -> None:
    world, controller = red()
    add(controller, build.group_mod(7, of13.OFPGC_ADD, of13.OFPGT_ALL, 7, bucket(actions.output(4))))
    room = MAX_MESSAGE - left - 16
    if kind == of13.OFPGT_INDIRECT:
        buckets = bucket(action * ((room - 24) // len(action) if action else 0))
    else:
        one = bucket(action * each, weight=kind == of13.OFPGT_SELECT,
                     watch_port=2 if kind == of13.OFPGT_FF else of13.OFPP_ANY)
        buckets = one * (room // len(one))
    controller.send(build.group_mod(5, of13.OFPGC_ADD, kind, 8, buckets) + build.barrier_request(6))
    *errors, barrier = controller.take(*["ERROR", "BARRIER_REPLY"][-len(told_types(world, controller)):])
    assert barrier.xid == 6
    for error in errors:
        assert (error.xid, error.type, error.code) == (5, of13.OFPET_GROUP_MOD_FAILED, of13.OFPGMFC_OUT_OF_BUCKETS)
    for request in (multipart_request(3, Kind.GROUP_DESC), multipart_request(3, Kind.GROUP, ALL_GROUPS)):
        controller.send(request)
        world.run()
        parts = [decode_multipart(message) for message in controller.messages]
        controller.messages.clear()
        assert not parts[-1].more
        found = (decode_group_desc if request[9] == Kind.GROUP_DESC else decode_group_stats)(
            b"".join(part.body for part in parts))
        assert [each.group_id for each in found] == ([7] if errors else [7, 8])
    assert_equal_to_recompute(world)


@given(action=st.sampled_from((*IN_LISTS, actions.output(of13.OFPP_TABLE))), left=NARROW,
       port=st.sampled_from((1, 2, 5, of13.OFPP_CONTROLLER)))
@settings(max_examples=15, deadline=None)
def test_a_packet_out_of_any_length_is_sent_or_refused(action: bytes, left: int, port: int) -> None:
    world, controller = red()
    add(controller, build.group_mod(7, of13.OFPGC_ADD, of13.OFPGT_ALL, 7, bucket(actions.output(4))))
    frame = bytes(60)
    controller.send(build.packet_out(5, port, action * ((MAX_MESSAGE - left - 24 - len(frame)) // len(action)), frame)
                    + build.barrier_request(6))
    *errors, barrier = controller.take(*["ERROR", "BARRIER_REPLY"][-len(told_types(world, controller)):])
    assert barrier.xid == 6
    assert sum(len(switch.packet_outs) for switch in world.switches.values()) == 1 - len(errors)
    for error in errors:
        assert (error.xid, error.type, error.code) == (5, of13.OFPET_BAD_ACTION, of13.OFPBAC_TOO_MANY)


def test_an_entry_that_becomes_too_long_for_the_switches_stays_and_the_operator_is_told() -> None:
    """The first resubmit has what is written into action sets marked in every table, which takes more room."""
    world, controller = red()
    add(controller, build.group_mod(7, of13.OFPGC_ADD, of13.OFPGT_ALL, 7, bucket(actions.output(4))))
    longest = next(count for count in range(8180, 0, -1) if accepted(controller, flow_mod(
        priority=9, match=in_port(1), write=actions.group(7) * count)))
    assert longest > 8000
    alarms = sum(world.hv.switches.alarms.values())
    resubmit = actions.resubmit(2)
    add(controller, flow_mod(table=1, apply=resubmit))
    world.pass_time(0.1)
    assert controller.ask(multipart_request(3, Kind.AGGREGATE, FlowStatsRequest().encode())).body.flow_count == 2
    assert sum(world.hv.switches.alarms.values()) > alarms
    add(controller, flow_mod(command=of13.OFPFC_DELETE, table=255))
    assert_equal_to_recompute(world)


def accepted(controller: Controller, message: bytes) -> bool:
    controller.send(message + build.barrier_request(6))
    controller.world.run()
    kinds, controller.messages = [TYPES[each[1]] for each in controller.messages], []
    return kinds == ["BARRIER_REPLY"]


def told_types(world: World, controller: Controller) -> list[str]:
    """The types of the messages that have come, which stay."""
    world.run()
    return [TYPES[message[1]] for message in controller.messages]


def told(world: World, controller: Controller) -> list[str]:
    world.run()
    messages, controller.messages = controller.messages, []
    return [TYPES[message[1]] for message in messages]


def flows(controller: Controller) -> list[Any]:
    return list(controller.ask(multipart_request(3, Kind.FLOW, FlowStatsRequest().encode())).body)


def contents(world: World) -> Any:
    return {dpid: (dict(s.rules), dict(s.groups)) for dpid, s in world.switches.items()}


def hold_back(switch: EndSwitch) -> list[bytes]:
    """From now on, what the switch says stays on its way."""
    replies: list[bytes] = []
    switch.send = replies.append  # type: ignore[method-assign]
    return replies


def release(switch: EndSwitch, replies: list[bytes]) -> None:
    del switch.send
    for reply in replies:
        switch.send(reply)


@pytest.mark.parametrize("kind", ["add", "replace", "modify"])
def test_a_refused_flow_mod_leaves_everything_as_it_was(kind: str) -> None:
    world, controller = red()
    add(controller, flow_mod(apply=actions.output(2), cookie=1))
    before, entries = contents(world), [flow.to_jsondict() for flow in flows(controller)]
    world.switches[2].refuse = world.switches[3].refuse = FULL
    message = {
        "add": flow_mod(xid=55, priority=9, apply=actions.output(3)),
        "replace": flow_mod(xid=55, apply=actions.output(3), cookie=2, idle_timeout=9),
        "modify": flow_mod(xid=55, command=of13.OFPFC_MODIFY, apply=actions.output(3)),
    }[kind]
    controller.send(message + build.barrier_request(56))
    error, _ = controller.take("ERROR", "BARRIER_REPLY")
    assert (error.xid, error.type, error.code) == (55, *FULL)
    assert [flow.to_jsondict() for flow in flows(controller)] == entries
    assert contents(world) == before
    assert_equal_to_recompute(world)


def test_a_refused_reset_returns_the_counts_with_all_that_was_counted_since() -> None:
    world, controller = red()
    add(controller, flow_mod(apply=actions.output(of13.OFPP_CONTROLLER)))
    rules = len(world.switches[1].cookies()), len(world.switches[2].cookies()), len(world.switches[3].cookies())
    count_everywhere(world, 5)
    (before,) = flows(controller)
    assert before.packet_count == 5 * sum(rules)
    count_everywhere(world, 1)
    world.switches[2].refuse = FULL
    controller.send(flow_mod(apply=actions.output(of13.OFPP_CONTROLLER), flags=RESET))
    assert told(world, controller) == ["ERROR"]
    world.switches[2].refuse = None
    assert flows(controller)[0].packet_count == 6 * sum(rules)
    world.switches[1].count(10, 2)
    assert flows(controller)[0].packet_count == 6 * sum(rules) + 2 * rules[0]


def test_two_resets_both_refused_lose_no_count() -> None:
    world, controller = red()
    add(controller, flow_mod(match=in_port(2), apply=actions.output(1)))
    world.switches[2].count(10, 5)
    world.switches[2].refuse = FULL
    controller.send(flow_mod(match=in_port(2), apply=actions.output(1), flags=RESET)
                    + flow_mod(match=in_port(2), apply=actions.output(1), flags=RESET))
    assert told(world, controller) == ["ERROR", "ERROR"]
    assert flows(controller)[0].packet_count == 5


def test_a_refused_reset_of_an_entry_deleted_since_still_says_farewell_with_all_counts() -> None:
    world, controller = red()
    add(controller, flow_mod(match=in_port(2), flags=of13.OFPFF_SEND_FLOW_REM))
    world.switches[2].count(10, 5)
    world.switches[2].refuse = FULL
    controller.send(flow_mod(match=in_port(2), flags=RESET | of13.OFPFF_SEND_FLOW_REM)
                    + flow_mod(command=of13.OFPFC_DELETE))
    world.pass_time(5.0)
    messages = [parsed(m) for m in controller.messages]
    assert sorted(TYPES[m.msg_type] for m in messages) == ["ERROR", "FLOW_REMOVED"]
    assert_equal_to_recompute(world)
    # What enters at each port, the fragments that are dropped there, and those of other packet-outs.
    assert len(world.hv.logical_switches["red"].counters) == 2 * len(world.hv.logical_switches["red"].ports) + 1


def test_a_refused_entry_that_was_added_leaves_no_counter() -> None:
    world, controller = red()
    before = len(world.hv.logical_switches["red"].counters)
    world.switches[2].refuse = FULL
    controller.send(flow_mod(apply=actions.output(2), flags=of13.OFPFF_SEND_FLOW_REM))
    assert told(world, controller) == ["ERROR"]
    assert len(world.hv.logical_switches["red"].counters) == before


def test_a_refused_delete_brings_the_entry_back_with_its_counts_and_without_a_farewell() -> None:
    world, controller = red()
    add(controller, flow_mod(apply=actions.output(of13.OFPP_CONTROLLER), flags=of13.OFPFF_SEND_FLOW_REM))
    count_everywhere(world, 5)
    counted = flows(controller)[0].packet_count
    world.switches[2].refuse_deletes = (of13.OFPET_BAD_REQUEST, of13.OFPBRC_EPERM)
    assert controller.refused(flow_mod(xid=8, command=of13.OFPFC_DELETE)) == (of13.OFPET_BAD_REQUEST, of13.OFPBRC_EPERM)
    world.pass_time(5.0)
    assert told(world, controller) == []
    assert flows(controller)[0].packet_count == counted
    world.switches[2].refuse_deletes = None
    controller.send(flow_mod(command=of13.OFPFC_DELETE))
    assert told(world, controller) == ["FLOW_REMOVED"]
    assert_equal_to_recompute(world)


def test_a_refused_group_is_gone_everywhere() -> None:
    world, controller = red()
    before = contents(world)
    world.switches[3].refuse_groups = OUT_OF_GROUPS
    message = build.group_mod(8, of13.OFPGC_ADD, of13.OFPGT_ALL, 7, bucket(actions.output(2)))
    assert controller.refused(message) == OUT_OF_GROUPS
    assert controller.ask(multipart_request(3, Kind.GROUP_DESC)).body == []
    assert contents(world) == before


def test_entries_that_named_a_refused_group_go_with_it() -> None:
    """They are at the edge of port 2 only, which has taken the group; switch 3 refuses it."""
    world, controller = red()
    world.switches[3].refuse_groups = OUT_OF_GROUPS
    controller.send(build.group_mod(8, of13.OFPGC_ADD, of13.OFPGT_ALL, 7, bucket(actions.output(2)))
                    + flow_mod(match=in_port(2), apply=actions.group(7), flags=of13.OFPFF_SEND_FLOW_REM))
    assert sorted(told(world, controller)) == ["ERROR", "FLOW_REMOVED"]
    world.switches[3].refuse_groups = None
    assert flows(controller) == []
    world.switches[2].set_port(5, False)
    assert_equal_to_recompute(world)


def test_a_refused_modification_of_a_group_is_taken_back() -> None:
    world, controller = red()
    add(controller, build.group_mod(8, of13.OFPGC_ADD, of13.OFPGT_ALL, 7, bucket(actions.output(2))),
        flow_mod(apply=actions.group(7)))
    before = contents(world)
    world.switches[3].refuse_groups = OUT_OF_GROUPS
    modified = build.group_mod(9, of13.OFPGC_MODIFY, of13.OFPGT_ALL, 7, bucket(actions.output(3)))
    assert controller.refused(modified) == OUT_OF_GROUPS
    assert contents(world) == before


def test_a_later_modification_is_not_taken_back_with_an_earlier_one() -> None:
    world, controller = red()
    add(controller, build.group_mod(8, of13.OFPGC_ADD, of13.OFPGT_ALL, 7, bucket(actions.output(2))))
    switch = world.switches[3]
    switch.refuse_groups = OUT_OF_GROUPS
    replies = hold_back(switch)
    controller.send(build.group_mod(9, of13.OFPGC_MODIFY, of13.OFPGT_ALL, 7, bucket(actions.output(3))))
    world.run()
    switch.refuse_groups = None
    controller.send(build.group_mod(10, of13.OFPGC_MODIFY, of13.OFPGT_ALL, 7, bucket(actions.output(1))))
    world.run()
    release(switch, replies)
    (error,) = controller.take("ERROR")
    assert error.xid == 9
    (group,) = controller.ask(multipart_request(3, Kind.GROUP_DESC)).body
    assert group.buckets[0].actions[0].port == 1


def test_a_switch_that_cannot_delete_a_group_does_not_bring_it_back() -> None:
    world, controller = red()
    add(controller, build.group_mod(8, of13.OFPGC_ADD, of13.OFPGT_ALL, 7, bucket(actions.output(2))),
        flow_mod(apply=actions.group(7)))
    world.switches[3].refuse_groups = OUT_OF_GROUPS
    controller.send(build.group_mod(9, of13.OFPGC_DELETE, of13.OFPGT_ALL, 7))
    assert told(world, controller) == []
    assert controller.ask(multipart_request(3, Kind.GROUP_DESC)).body == []
    world.switches[3].refuse_groups = None
    world.switches[3].disconnect()
    world.switches[3].connect()
    world.pass_time(1.0)
    assert_equal_to_recompute(world)


def test_a_refusal_for_a_controller_that_has_left_is_taken_back_all_the_same() -> None:
    world, controller = red()
    before = contents(world)
    other = Controller(world, "red")
    switch = world.switches[2]
    switch.refuse = FULL
    replies = hold_back(switch)
    controller.send(flow_mod(apply=actions.output(2)))
    world.run()
    assert contents(world) != before
    controller.disconnect()
    release(switch, replies)
    world.run()
    assert contents(world) == before
    assert other.messages == []


def test_the_error_of_another_experimenter_reaches_the_tenant_as_it_came() -> None:
    world, controller = red()
    message = flow_mod(xid=55, apply=actions.output(3))
    origin = Origin(world.hv.logical_switches["red"], next(iter(world.hv.logical_switches["red"].sessions.values())),
                    message)
    take_back(origin.logical_switch, origin, ErrorMsg(1, 0xFFFF, 2600, b"ONF\0theirs"), world.now)
    world.run()
    assert controller.messages == [build.error(55, 0xFFFF, 2600, b"ONF\0" + message)]
