"""FLOW_REMOVED: exactly once, with the sum of what every edge counted last (traps 4 to 6)."""
from __future__ import annotations

import pytest

from hvproxy.hypervisor.farewells import PATIENCE
from hvproxy.openflow import actions, build
from hvproxy.openflow.constants import of13
from hvproxy.openflow.groups import bucket
from hvproxy.openflow.multipart import Kind, multipart_request
from tests.harness import Controller, parsed
from tests.hypervisor.worlds import a_world, delete, edges, flow_mod, in_port, removed, with_entry

REM = of13.OFPFF_SEND_FLOW_REM


def test_a_deleted_entry_says_farewell_once_with_everything_it_was() -> None:
    world, controller = with_entry(table=0, priority=7, match=b"", idle_timeout=100, hard_timeout=200)
    rules = edges(world)
    world.pass_time(3.5)
    delete(controller)
    (told,) = removed(world, controller)
    assert (told.cookie, told.priority, told.reason, told.table_id) == (5, 7, of13.OFPRR_DELETE, 0)
    assert (told.idle_timeout, told.hard_timeout, told.duration_sec) == (100, 200, 3)
    assert rules >= 3 and told.packet_count == 15 and told.byte_count == 1500
    assert dict(told.match.items()) == {}
    world.pass_time(10.0)
    assert removed(world, controller) == []


def test_every_controller_but_slaves_hears() -> None:
    world, controller = with_entry()
    other, slave, passive = Controller(world, "red"), Controller(world, "red"), Controller(world, "red", passive=True)
    slave.ask(build.role_request(1, of13.OFPCR_ROLE_SLAVE, 1))
    delete(controller)
    assert [len(removed(world, each)) for each in (controller, other, slave, passive)] == [1, 1, 0, 0]


def test_without_the_flag_nobody_hears() -> None:
    world, controller = with_entry(flags=0)
    delete(controller)
    assert removed(world, controller) == []


def test_an_entry_that_is_replaced_says_nothing() -> None:
    world, controller = with_entry()
    controller.send(flow_mod(apply=actions.output(2), flags=REM))
    assert removed(world, controller) == []


def test_the_hard_timeout_ends_an_entry_everywhere_at_once() -> None:
    world, controller = with_entry(hard_timeout=5)
    world.pass_time(4.9)
    assert removed(world, controller) == [] and edges(world) >= 3
    world.pass_time(0.2)
    (told,) = removed(world, controller)
    assert (told.reason, told.packet_count, told.duration_sec) == (of13.OFPRR_HARD_TIMEOUT, 15, 5)
    assert edges(world) == 0


def test_the_entries_of_a_deleted_group_say_so() -> None:
    world = a_world()
    controller = Controller(world, "red")
    controller.send(build.group_mod(1, of13.OFPGC_ADD, of13.OFPGT_ALL, 7, bucket(actions.output(2)))
                    + flow_mod(apply=actions.group(7), flags=REM, cookie=1)
                    + flow_mod(match=in_port(2), write=actions.group(7), flags=REM, cookie=2)
                    + flow_mod(table=1, flags=REM, cookie=3))
    world.run()
    controller.send(build.group_mod(1, of13.OFPGC_DELETE, of13.OFPGT_ALL, 7))
    told = removed(world, controller)
    assert sorted((m.cookie, m.reason) for m in told) == [
        (1, of13.OFPRR_GROUP_DELETE), (2, of13.OFPRR_GROUP_DELETE)]


def test_a_switch_that_is_away_is_not_waited_for_and_what_it_last_reported_counts() -> None:
    world, controller = with_entry(idle_timeout=1000)
    world.pass_time(1.5)  # a poll
    world.switches[3].disconnect()
    delete(controller)
    (told,) = removed(world, controller)
    assert told.packet_count == 15


@pytest.mark.parametrize("flags", [REM, 0])
def test_a_switch_that_does_not_say_what_it_removed_is_waited_for_only_so_long(flags: int) -> None:
    world, controller = with_entry(flags=flags)
    for key, (cookie, instructions, _) in list(world.switches[3].rules.items()):
        world.switches[3].rules[key] = (cookie, instructions, 0)
    delete(controller)
    assert removed(world, controller) == []
    world.pass_time(PATIENCE + 0.1)
    assert [m.packet_count for m in removed(world, controller)] == ([10] if flags else [])


def test_table_statistics_wait_for_the_last_counts_and_for_no_entry_that_went_later() -> None:
    world, controller = with_entry(table=0)
    controller.send(flow_mod(table=1))
    world.run()
    controller.messages.clear()
    silent = world.switches[3].rules
    for key, (cookie, instructions, _) in list(silent.items()):
        silent[key] = (cookie, instructions, 0)
    controller.send(flow_mod(command=of13.OFPFC_DELETE, table=0) + multipart_request(3, Kind.TABLE))
    world.pass_time(PATIENCE - 0.1)
    controller.send(flow_mod(command=of13.OFPFC_DELETE, table=1))
    assert not [m for m in map(parsed, controller.messages) if m.msg_type == of13.OFPT_MULTIPART_REPLY]
    world.pass_time(0.2)
    (reply,) = [m for m in map(parsed, controller.messages) if m.msg_type == of13.OFPT_MULTIPART_REPLY]
    assert [table.matched_count for table in reply.body[:2]] == [10, 0]


def test_table_statistics_after_an_undone_removal_wait_no_longer() -> None:
    world, controller = with_entry(table=0)
    for dpid in (1, 2, 3):
        world.switches[dpid].refuse_deletes = (of13.OFPET_BAD_REQUEST, of13.OFPBRC_EPERM)
    controller.messages.clear()
    controller.send(flow_mod(command=of13.OFPFC_DELETE, table=0) + multipart_request(3, Kind.TABLE))
    world.run()
    (reply,) = [m for m in map(parsed, controller.messages) if m.msg_type == of13.OFPT_MULTIPART_REPLY]
    assert (reply.body[0].active_count, reply.body[0].matched_count) == (1, 15)


def test_what_comes_late_is_not_counted_nor_kept() -> None:
    world, controller = with_entry()
    cookie = world.switches[3].cookies()[0]
    delete(controller)
    removed(world, controller)
    counted = len(world.hv.logical_switches["red"].counters)
    world.switches[3].send(build.flow_removed(0, cookie, 5, of13.OFPRR_DELETE, 10, 1, 0, 0, 0, 9, 900, b""))
    assert removed(world, controller) == []
    assert len(world.hv.logical_switches["red"].counters) == counted
