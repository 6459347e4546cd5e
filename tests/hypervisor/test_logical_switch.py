"""What a tenant's changes do to a logical switch and its datapaths: barriers, refusals, and what each costs."""
from __future__ import annotations


import pytest

from hvproxy.openflow import actions, build
from hvproxy.openflow.constants import of13
from hvproxy.openflow.oxm import tlv
from tests.harness import Controller, spec
from tests.hypervisor.worlds import a_world, assert_equal_to_recompute, flow_mod


def test_the_barrier_reply_waits_for_every_switch_concerned() -> None:
    world = a_world()
    controller = Controller(world, "red")
    world.switches[2].hold_barriers = True
    controller.send(flow_mod(apply=actions.output(2)) + build.barrier_request(21) + build.echo_request(22))
    assert controller.take("ECHO_REPLY")
    world.switches[2].release()
    assert [m.xid for m in controller.take("BARRIER_REPLY")] == [21]


def test_what_follows_a_barrier_is_not_sent_before_it_is_answered() -> None:
    world = a_world()
    controller = Controller(world, "red")
    world.switches[2].hold_barriers = True
    controller.send(flow_mod(apply=actions.output(2)) + build.barrier_request(21))
    world.run()
    before = world.switches[1].flow_mods
    controller.send(flow_mod(priority=6, match=tlv(of13.OFPXMT_OFB_IN_PORT, 1)) + build.barrier_request(22))
    world.run()
    assert world.switches[1].flow_mods == before
    world.switches[2].release()
    assert [m.xid for m in controller.take("BARRIER_REPLY", "BARRIER_REPLY")] == [21, 22]
    assert world.switches[1].flow_mods > before


def test_a_barrier_that_cannot_be_confirmed_is_answered_with_an_error_never_a_reply() -> None:
    world = a_world()
    controller = Controller(world, "red")
    world.switches[2].hold_barriers = True
    controller.send(flow_mod(apply=actions.output(2)) + build.barrier_request(21))
    world.pass_time(31.0)
    errors = [m for m in controller.messages if m[1] == of13.OFPT_ERROR]
    assert len(errors) == 1 and errors[0][4:8] == (21).to_bytes(4, "big")
    controller.messages.clear()
    world.switches[2].release()
    assert not [m for m in controller.messages if m[1] == of13.OFPT_BARRIER_REPLY]


def test_a_refusal_by_one_switch_is_undone_everywhere_and_told_once_before_the_barrier() -> None:
    world = a_world()
    controller = Controller(world, "red")
    controller.send(flow_mod(apply=actions.output(2), cookie=1) + build.barrier_request(1))
    controller.take("BARRIER_REPLY")
    held = {dpid: dict(switch.rules) for dpid, switch in world.switches.items()}
    for dpid in (2, 3):
        world.switches[dpid].refuse = (of13.OFPET_FLOW_MOD_FAILED, of13.OFPFMFC_TABLE_FULL)
    request = flow_mod(xid=55, priority=9, apply=actions.output(3))
    controller.send(request + build.barrier_request(56))
    error, _ = controller.take("ERROR", "BARRIER_REPLY")
    assert (error.xid, error.type, error.code) == (55, of13.OFPET_FLOW_MOD_FAILED, of13.OFPFMFC_TABLE_FULL)
    assert error.data == request[:len(error.data)] and len(error.data) >= 64
    assert {dpid: dict(switch.rules) for dpid, switch in world.switches.items()} == held
    assert_equal_to_recompute(world)


def test_an_entry_that_fixes_in_port_is_installed_on_its_edge_only() -> None:
    world = a_world()
    controller = Controller(world, "red")
    before = {dpid: switch.flow_mods for dpid, switch in world.switches.items()}
    controller.send(flow_mod(match=tlv(of13.OFPXMT_OFB_IN_PORT, 2), apply=actions.output(1)))
    world.run()
    assert {d for d, s in world.switches.items() if s.flow_mods > before[d]} == {2}


@pytest.mark.parametrize("entries", [10, 10_000])
def test_a_flow_mod_costs_its_own_edges_whatever_the_size_of_the_table(entries: int) -> None:
    world = a_world(spec("red", {1: (1, 1), 2: (2, 1), 3: (3, 1)}))
    ls = world.hv.logical_switches["red"]
    controller = Controller(world, "red")
    for number in range(entries):
        controller.send(flow_mod(match=tlv(of13.OFPXMT_OFB_ETH_DST, number), apply=actions.output(2)))
    world.run()
    before, sent = ls.entries_compiled, sum(s.flow_mods for s in world.switches.values())
    controller.send(flow_mod(match=tlv(of13.OFPXMT_OFB_ETH_DST, 1 << 40), apply=actions.output(3)))
    world.run()
    assert ls.entries_compiled - before == 3
    assert sum(s.flow_mods for s in world.switches.values()) - sent == 3
