"""RESET_COUNTS: what was counted before stays in the tables' sums, and comes back when a switch refuses."""
from __future__ import annotations

import pytest

from hvproxy.hypervisor.farewells import PATIENCE
from hvproxy.openflow import actions
from hvproxy.openflow.constants import of13
from hvproxy.openflow.multipart import FlowStatsRequest, Kind, multipart_request
from tests.harness import parsed
from tests.hypervisor.worlds import add, count_everywhere, delete, flow_mod, in_port, red, removed, with_entry

REM = of13.OFPFF_SEND_FLOW_REM


@pytest.mark.parametrize("refused", [False, True])
def test_table_statistics_keep_what_was_counted_before_a_reset_while_it_is_not_confirmed(refused: bool) -> None:
    world, controller = red()
    add(controller, flow_mod(match=in_port(1), apply=actions.output(2), goto=1))
    switch = world.switches[1]
    switch.count(10, 7, 700)

    def told() -> tuple[int, int]:
        (reply,) = [parsed(m) for m in asked()]
        return reply.body[0].matched_count, reply.body[1].lookup_count

    def asked() -> list[bytes]:
        controller.send(multipart_request(3, Kind.TABLE))
        world.run()
        messages, controller.messages = controller.messages, []
        return [m for m in messages if m[1] == of13.OFPT_MULTIPART_REPLY]

    assert told() == (7, 7)
    switch.hold_barriers = True
    switch.refuse = (of13.OFPET_FLOW_MOD_FAILED, of13.OFPFMFC_TABLE_FULL) if refused else None
    controller.send(flow_mod(match=in_port(1), apply=actions.output(2), goto=1, flags=of13.OFPFF_RESET_COUNTS))
    assert told() == (7, 7)
    switch.refuse = None
    switch.release()
    world.pass_time(1.0)
    assert told() == (7, 7)
    assert not world.hv.logical_switches["red"].resetting


@pytest.mark.parametrize("command", [of13.OFPFC_ADD, of13.OFPFC_MODIFY])
def test_table_statistics_after_a_reset_wait_for_what_the_former_rules_have_counted(command: int) -> None:
    """Open vSwitch tells of removed rules after it has answered the barrier behind their removal."""
    world, controller = red()
    add(controller, flow_mod(apply=actions.output(2)))
    count_everywhere(world, 2)
    for switch in world.switches.values():
        switch.hold_removals = True
    add(controller, flow_mod(command=command, apply=actions.output(3), flags=of13.OFPFF_RESET_COUNTS))
    controller.send(multipart_request(3, Kind.TABLE))
    controller.take()
    count_everywhere(world, 1)
    for switch in world.switches.values():
        switch.release()
    (reply,) = controller.take("MULTIPART_REPLY")
    rules = sum(len(switch.cookies()) for switch in world.switches.values())
    assert reply.body[0].matched_count == 3 * rules
    (entry,) = controller.ask(multipart_request(3, Kind.FLOW, FlowStatsRequest(of13.OFPTT_ALL).encode())).body
    assert entry.packet_count == rules


def test_table_statistics_wait_for_a_reset_only_so_long() -> None:
    world, controller = with_entry(table=0)
    world.switches[3].hold_removals = True
    controller.send(flow_mod(table=0, flags=of13.OFPFF_RESET_COUNTS))
    world.run()
    controller.messages.clear()
    controller.send(multipart_request(3, Kind.TABLE))
    world.pass_time(PATIENCE - 0.1)
    assert not controller.messages
    world.pass_time(0.2)
    (reply,) = [m for m in map(parsed, controller.messages) if m.msg_type == of13.OFPT_MULTIPART_REPLY]
    assert reply.body[0].matched_count == 10


def test_a_reset_entry_says_farewell_with_what_it_counted_since() -> None:
    world, controller = with_entry()
    controller.send(flow_mod(command=of13.OFPFC_MODIFY, apply=actions.output(2), flags=of13.OFPFF_RESET_COUNTS))
    world.run()
    for dpid in (1, 2):
        where = next(key for key in world.switches[dpid].rules if key[0] == 10)[2]
        world.switches[dpid].count(10, 2, 200, where)
    delete(controller)
    (told,) = removed(world, controller)
    assert (told.packet_count, told.byte_count) == (4, 400)


def test_nothing_is_kept_of_entries_that_have_come_and_gone() -> None:
    world, controller = with_entry()
    before = len(world.hv.logical_switches["red"].counters)
    for _ in range(20):
        controller.send(flow_mod(priority=9, flags=REM) + flow_mod(priority=9, flags=of13.OFPFF_RESET_COUNTS)
                        + flow_mod(command=of13.OFPFC_DELETE_STRICT, priority=9))
        world.run()
    world.pass_time(PATIENCE + 0.5)
    assert len(world.hv.logical_switches["red"].counters) == before
