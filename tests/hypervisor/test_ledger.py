"""What is noted of a logical switch, when, and what waits until that is stored."""
from __future__ import annotations

import pytest

from hvproxy.hypervisor import intent, ledger
from hvproxy.openflow import actions, build
from hvproxy.openflow.constants import of13
from hvproxy.openflow.groups import bucket
from hvproxy.openflow.oxm import tlv
from tests.harness import Controller, spec
from tests.hypervisor.worlds import (
    a_stored_world, add, assert_equal_to_recompute, flow_mod, in_port, meter_mod, packets, port_spec,
)

IP = tlv(of13.OFPXMT_OFB_ETH_TYPE, 0x800)


def test_a_logical_switch_that_was_deleted_leaves_no_record() -> None:
    world, controller = a_stored_world(spec("red", {1: (1, 1), 2: (2, 1)}), spec("blue", {1: (1, 2), 2: (3, 1)}))
    add(controller, flow_mod(apply=actions.output(2)), flow_mod(match=IP, apply=actions.output(of13.OFPP_NORMAL)),
        meter_mod(1, 5), build.group_mod(1, of13.OFPGC_ADD, of13.OFPGT_ALL, 7, bucket(actions.output(2))))
    world.switches[1].count(10, 5, 500)
    controller.ask(build.flow_stats_request(3))
    world.pass_time(2.0)
    assert any(key.startswith("ls/red/count/") for key in world.records)
    intent.delete_logical_switch(world.hv, "red", lambda at: None, world.now)
    world.pass_time(5.0)
    assert [key for key in world.records if key.startswith(("ls/red", "rest/"))] == []
    world.restart()
    world.pass_time(1.0)
    assert set(world.hv.logical_switches) == {"blue"}
    assert_equal_to_recompute(world)


def test_what_a_rule_counted_before_it_went_is_stored_before_it_is_told() -> None:
    world, controller = a_stored_world()
    add(controller, flow_mod(match=in_port(1), apply=actions.output(2)))
    world.switches[1].count(10, 5, 500)
    world.hold_commits = True
    intent.put_port(world.hv, "red", port_spec(1, "red1", 3, 4), world.now)
    world.run()
    controller.messages.clear()
    controller.send(build.flow_stats_request(3))
    assert controller.take() == []
    world.pass_time(1.0)
    while world.uncommitted is not None:
        world.commit()
    assert [message[1] for message in controller.messages].count(of13.OFPT_MULTIPART_REPLY) == 1
    controller.messages.clear()
    world.hold_commits = False
    world.restart()
    world.pass_time(1.5)
    assert packets(Controller(world, "red")) == 5


def test_a_removal_is_stored_before_it_is_told() -> None:
    world, controller = a_stored_world()
    add(controller, flow_mod(apply=actions.output(2), flags=of13.OFPFF_SEND_FLOW_REM))
    world.hold_commits = True
    controller.send(flow_mod(command=of13.OFPFC_DELETE))
    world.pass_time(1.0)
    controller.take()
    while world.uncommitted is not None:
        world.commit()
    controller.take("FLOW_REMOVED")


def test_what_nobody_has_asked_for_is_noted_at_checkpoints_and_only_that() -> None:
    world, controller = a_stored_world()
    add(controller, flow_mod(match=in_port(1), apply=actions.output(2)), flow_mod(match=in_port(2)))
    world.pass_time(2.0)
    ls = world.hv.logical_switches["red"]
    number = next(e.number for e in ls.tables.entries() if e.match.in_port == 1)
    world.switches[1].count(10, 5, 500)
    committed = world.hv.journal.revision
    ls.read_counters(lambda at: None, world.now)
    world.run()
    assert world.hv.journal.revision == committed
    before = dict(world.records)
    world.pass_time(1.5)
    assert {key for key in world.records if world.records[key] != before.get(key)} == {f"ls/red/count/{number}"}
    again = world.hv.journal.revision
    assert packets(controller) == 5
    assert world.hv.journal.revision == again


def test_what_is_told_is_stored_in_portions_and_then_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "PORTION", 3)
    world, controller = a_stored_world()
    add(controller, *(flow_mod(match=in_port(1) + tlv(of13.OFPXMT_OFB_ETH_DST, n)) for n in range(8)),
        flow_mod(match=in_port(2)))
    world.switches[1].count(10, 5, 500)
    world.hold_commits = True
    controller.send(build.flow_stats_request(3))
    stored = []
    while not controller.messages:
        world.run()
        assert world.uncommitted is not None
        stored.append([key for key in world.uncommitted.puts if key.startswith("ls/red/count/")])
        world.commit()
    assert [len(each) for each in stored] == [3, 3, 2] and len(set(sum(stored, []))) == 8
    assert [each.packet_count for each in controller.take("MULTIPART_REPLY")[0].body] == [5] * 8 + [0]


def test_who_asks_while_the_same_is_being_stored_for_another_waits_for_it_too() -> None:
    world, controller = a_stored_world()
    other = Controller(world, "red")
    add(controller, flow_mod(match=in_port(1)))
    world.switches[1].count(10, 5, 500)
    world.hold_commits = True
    for each in (controller, other):
        each.send(build.flow_stats_request(3))
        assert each.take() == []
    while world.uncommitted is not None:
        world.commit()
    for each in (controller, other):
        each.take("MULTIPART_REPLY")


def test_while_the_store_has_failed_counters_are_told_all_the_same() -> None:
    world, controller = a_stored_world()
    add(controller, flow_mod(match=in_port(1), apply=actions.output(2)))
    world.switches[1].count(10, 5, 500)
    packets(controller)
    world.hold_commits = True
    world.switches[1].reboot()
    controller.send(build.flow_stats_request(3))
    assert controller.take() == []
    world.hv.store_failed("disk full", world.now)
    reply, = controller.take("MULTIPART_REPLY")
    assert [each.packet_count for each in reply.body] == [5]


def test_a_flow_mod_writes_what_it_changes_and_not_the_table() -> None:
    world, controller = a_stored_world()
    add(controller, *(flow_mod(match=in_port(1) + tlv(of13.OFPXMT_OFB_ETH_DST, n)) for n in range(50)))
    before = dict(world.records)
    add(controller, flow_mod(match=in_port(2)))
    written = {key for key in world.records if world.records[key] != before.get(key)}
    assert len(written) == 1 and written.pop().startswith("ls/red/entry/")
