"""A barrier reply says that what came before is confirmed and stored; an error, that it may not be."""
from __future__ import annotations

import pytest

from hvproxy.hypervisor.commands import Log
from hvproxy.hypervisor.controller_session import BARRIER_DEADLINE
from hvproxy.hypervisor.journal import Durability
from hvproxy.openflow import actions, build
from hvproxy.openflow.constants import of13
from tests.harness import Controller, World
from tests.hypervisor.worlds import a_world, flow_mod

UNKEPT = (of13.OFPET_BAD_REQUEST, of13.OFPBRC_EPERM)
TO_2 = actions.output(2)


def held(durability: Durability = Durability.BARRIER) -> tuple[World, Controller]:
    """A world in which one record has been noted whose batch is held."""
    world = a_world(durability=durability)
    world.hold_commits = True
    controller = Controller(world, "red")
    world.hv.journal.put("key", b"1")
    world.run()
    assert world.uncommitted is not None
    return world, controller


def commit_all(world: World) -> None:
    while world.uncommitted is not None:
        world.commit()


def test_a_barrier_waits_for_what_was_noted_before_it_and_is_answered_once() -> None:
    world, controller = held()
    controller.send(flow_mod(apply=TO_2) + build.barrier_request(5) + build.barrier_request(6))
    assert controller.take() == []
    world.pass_time(1.0)
    assert controller.take() == []
    commit_all(world)
    assert [reply.xid for reply in controller.take("BARRIER_REPLY", "BARRIER_REPLY")] == [5, 6]
    assert world.records["key"] == b"1"


def test_a_barrier_does_not_wait_for_what_is_noted_after_it() -> None:
    world, controller = held()
    world.switches[2].hold_barriers = True
    controller.send(flow_mod(apply=TO_2) + build.barrier_request(5))
    world.run()
    world.commit()  # the entry is in the next batch
    world.hv.journal.put("key", b"2")
    world.commit()
    assert controller.take() == []
    world.switches[2].release()
    controller.take("BARRIER_REPLY")
    assert world.uncommitted is not None and world.uncommitted.puts == {"key": b"2"}


def test_a_barrier_waits_until_what_a_switch_refused_is_taken_back_in_the_store_too() -> None:
    world, controller = held()
    world.commit()
    world.switches[2].disconnect()
    controller.send(flow_mod(apply=TO_2) + build.barrier_request(5))
    world.run()
    world.hv.journal.put("what the switch will refuse, taken back", b"1")
    world.switches[2].refuse = (of13.OFPET_FLOW_MOD_FAILED, of13.OFPFMFC_TABLE_FULL)
    world.switches[2].connect()
    world.pass_time(1.0)
    controller.take("ERROR")
    commit_all(world)
    controller.take("BARRIER_REPLY")


def test_a_barrier_that_waits_when_the_store_fails_is_refused_and_what_follows_goes_on() -> None:
    world, controller = held()
    controller.send(build.barrier_request(5) + build.get_config_request(6))
    assert controller.take() == []
    world.hv.store_failed("disk full", world.now)
    error, config = controller.take("ERROR", "GET_CONFIG_REPLY")
    assert (error.xid, error.type, error.code, config.xid) == (5, *UNKEPT, 6)
    world.commit()
    assert controller.take() == []


def test_while_the_store_has_failed_flow_mods_are_carried_out_and_barriers_refused() -> None:
    world, controller = held()
    world.hv.store_failed("disk full", world.now)
    controller.send(flow_mod(apply=TO_2))
    assert controller.refused(build.barrier_request(5)) == UNKEPT
    assert world.switches[1].cookies()
    assert [c.fields for c in world.commands if isinstance(c, Log) and c.level == "error"] == [{"reason": "disk full"}]


def test_barriers_are_promised_again_when_the_store_has_recovered() -> None:
    world, controller = held()
    world.hv.store_failed("disk full", world.now)
    assert controller.refused(build.barrier_request(5)) == UNKEPT
    world.hv.journal.put("key", b"2")
    world.hv.store_recovered(world.now)
    controller.send(build.barrier_request(6))
    assert controller.take() == []
    world.commit()
    assert controller.take() == []
    world.commit()
    assert [reply.xid for reply in controller.take("BARRIER_REPLY")] == [6]
    assert world.records["key"] == b"2"


def test_a_store_that_says_nothing_lets_a_barrier_end_at_its_deadline() -> None:
    world, controller = held()
    controller.send(build.barrier_request(5))
    for _ in range(6):  # keeps the session alive meanwhile
        world.pass_time(BARRIER_DEADLINE / 6)
        controller.messages = [m for m in controller.messages if m[1] != of13.OFPT_ECHO_REQUEST]
        controller.send(build.echo_request(1, b""))
        world.run()
        controller.messages = [m for m in controller.messages if m[1] != of13.OFPT_ECHO_REPLY]
    error, = controller.take("ERROR")
    assert (error.xid, error.type, error.code) == (5, *UNKEPT)
    world.commit()
    assert controller.take() == []


@pytest.mark.parametrize("durability", [Durability.RELAXED, Durability.NONE])
def test_without_the_promise_barriers_wait_for_switches_only(durability: Durability) -> None:
    world = a_world(durability=durability)
    world.hold_commits = True
    controller = Controller(world, "red")
    world.hv.journal.put("key", b"1")
    world.run()
    assert (world.uncommitted is not None) == (durability is Durability.RELAXED)
    controller.send(build.barrier_request(5))
    controller.take("BARRIER_REPLY")
    world.hv.store_failed("disk full", world.now)
    controller.send(build.barrier_request(6))
    controller.take("BARRIER_REPLY")


def test_the_controller_that_has_gone_is_told_nothing() -> None:
    world, controller = held()
    controller.send(build.barrier_request(5))
    world.run()
    controller.disconnect()
    world.commit()
    world.hv.store_failed("disk full", world.now)
    assert controller.take() == []


def test_a_packet_does_not_overtake_what_its_sender_has_set_before() -> None:
    world = a_world()
    controller = Controller(world, "red")
    controller.send(build.set_config(1, of13.OFPC_FRAG_DROP, 128) + build.barrier_request(2))
    controller.take("BARRIER_REPLY")
    switch = world.switches[1]
    switch.hold_barriers = True
    packet = build.packet_out(4, 1, TO_2, bytes(60))
    before = len(switch.packet_outs)
    controller.send(build.set_config(3, of13.OFPC_FRAG_NORMAL, 128) + packet + packet + build.barrier_request(5))
    assert controller.take() == []
    assert len(switch.packet_outs) == before
    switch.release()
    controller.take("BARRIER_REPLY")
    assert len(switch.packet_outs) == before + 2
    controller.send(packet)
    assert controller.take() == []
    assert len(switch.packet_outs) == before + 3
    controller.send(build.set_config(6, of13.OFPC_FRAG_DROP, 128)
                    + build.packet_out(7, 1, actions.group(99), bytes(60)))
    switch.release()
    (error,) = controller.take("ERROR")
    assert (error.xid, error.type, error.code) == (7, of13.OFPET_BAD_ACTION, of13.OFPBAC_BAD_OUT_GROUP)
