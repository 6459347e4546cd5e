"""The core as its peers see it, and the oracle: whatever happened, the increments equal the full recompute."""
from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hvproxy.hypervisor import intent
from hvproxy.model.intent import PortSpec, parse
from hvproxy.openflow import actions, build
from hvproxy.openflow.constants import of13
from hvproxy.openflow.groups import bucket
from hvproxy.openflow.oxm import tlv
from tests.harness import Controller, spec
from tests.hypervisor.worlds import a_world, assert_equal_to_recompute, flow_mod


def test_a_new_controller_gets_the_logical_features() -> None:
    world = a_world()
    controller = Controller(world, "red")
    controller.send(build.features_request(3))
    (features,) = controller.take("FEATURES_REPLY")
    assert (features.datapath_id, features.n_tables, features.n_buffers, features.xid) == (0xA3, 8, 0, 3)


def test_ports_are_up_once_placed_and_carry_their_own_addresses() -> None:
    world = a_world()
    controller = Controller(world, "red")
    controller.send(build.port_desc_request(4))
    (reply,) = controller.take("MULTIPART_REPLY")
    assert [(p.port_no, p.name, p.state) for p in reply.body] == [
        (n, b"red%d" % n, of13.OFPPS_LIVE) for n in range(1, 7)]
    assert len({p.hw_addr for p in reply.body}) == 6


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


def test_a_port_that_moves_costs_groups_and_not_entries() -> None:
    world = a_world(spec("red", {1: (1, 1), 2: (2, 1), 3: (3, 1)}))
    controller = Controller(world, "red")
    for number in range(100):
        controller.send(flow_mod(match=tlv(of13.OFPXMT_OFB_ETH_DST, number), apply=actions.output(2)))
    world.run()
    before = sum(s.flow_mods for s in world.switches.values())
    intent.put_port(world.hv, "red", parse(PortSpec, {
        "number": 2, "name": "red2", "attach": {"datapath": 2, "port": 5}}), world.now)
    world.pass_time(3.0)
    assert sum(s.flow_mods for s in world.switches.values()) - before <= 4
    assert_equal_to_recompute(world)


def test_a_switch_that_comes_back_unchanged_is_sent_nothing() -> None:
    world = a_world()
    controller = Controller(world, "red")
    controller.send(flow_mod(apply=actions.output(2), write=actions.output(3), goto=1))
    world.run()
    switch = world.switches[1]
    before = (switch.flow_mods, switch.group_mods)
    switch.disconnect()
    world.pass_time(2.0)
    switch.connect()
    world.pass_time(1.0)
    assert (switch.flow_mods, switch.group_mods) == before
    assert_equal_to_recompute(world)
    assert not controller.messages


def test_a_lost_switch_changes_nothing_upward_until_it_is_absent() -> None:
    world = a_world()
    controller = Controller(world, "red")
    world.switches[2].disconnect()
    world.pass_time(9.0)
    assert not [m for m in controller.messages if m[1] == of13.OFPT_PORT_STATUS]
    controller.send(flow_mod(apply=actions.output(2)) + build.barrier_request(5))
    world.pass_time(0.5)
    assert not controller.messages
    world.pass_time(1.0)
    world.run()
    status, reply = controller.take("BARRIER_REPLY", "PORT_STATUS")[::-1]
    assert reply.xid == 5
    assert status.desc.port_no == 2 and status.desc.state & of13.OFPPS_LINK_DOWN
    assert_equal_to_recompute(world)


def test_a_link_failure_with_a_path_left_tells_no_tenant() -> None:
    world = a_world()
    controller = Controller(world, "red")
    world.switches[1].set_port(7, False)
    world.switches[0x11].set_port(1, False)
    world.pass_time(1.0)
    assert not controller.messages
    assert_equal_to_recompute(world)


def test_a_partition_takes_down_the_ports_of_the_smaller_side_and_they_come_back() -> None:
    world = a_world()
    controller = Controller(world, "red")
    for port in (7, 8):
        world.switches[3].set_port(port, False)
    world.pass_time(1.0)
    assert [m.desc.port_no for m in controller.take("PORT_STATUS")] == [3]
    for port in (7, 8):
        world.switches[3].set_port(port, True)
    world.pass_time(1.0)
    (status,) = controller.take("PORT_STATUS")
    assert status.desc.port_no == 3 and status.desc.state == of13.OFPPS_LIVE


def test_deleting_a_logical_switch_purges_every_datapath() -> None:
    world = a_world(spec("red", {1: (1, 1), 2: (2, 1)}), spec("white", {1: (1, 2), 2: (2, 2)}))
    bare = {dpid: (dict(s.rules), dict(s.groups)) for dpid, s in world.switches.items()}
    intent.delete_logical_switch(world.hv, "white", lambda at: None, world.now)
    world.run()
    only_red = {dpid: (dict(s.rules), dict(s.groups)) for dpid, s in world.switches.items()}
    assert only_red != bare
    done: list[float] = []
    controller = Controller(world, "red")
    controller.send(build.group_mod(1, of13.OFPGC_ADD, of13.OFPGT_ALL, 7, bucket(actions.output(2))))
    controller.send(flow_mod(apply=actions.group(7)))
    world.run()
    intent.delete_logical_switch(world.hv, "red", done.append, world.now)
    world.run()
    assert done and controller.closed
    for switch in world.switches.values():
        assert all(cookie >> 32 & 0xFFFF == 0 for cookie, _, _ in switch.rules.values())
        assert not switch.groups
    assert_equal_to_recompute(world)


def test_two_switches_with_one_dpid_leave_the_first_one_served() -> None:
    world = a_world()
    twin = type(world.switches[1])(world, 1, 8)
    twin.connect()
    world.run()
    assert twin.conn not in world.ends
    assert world.hv.switches.alarms["duplicate datapath id"] == 1
    assert world.hv.switches.ready(1)


MACS = st.integers(1, 4)
PORTS = st.sampled_from([1, 2, 3, 4, 5, 6, 9, of13.OFPP_FLOOD, of13.OFPP_ALL, of13.OFPP_IN_PORT,
                         of13.OFPP_CONTROLLER])


@st.composite
def operation(draw: st.DrawFn) -> tuple[str, Any]:
    kind = draw(st.sampled_from(["flow", "flow", "flow", "flow", "group", "link", "bounce", "port", "switch"]))
    if kind == "flow":
        match = b""
        if draw(st.booleans()):
            match += tlv(of13.OFPXMT_OFB_IN_PORT, draw(st.sampled_from([1, 2, 5, 9, of13.OFPP_CONTROLLER])))
        if draw(st.booleans()):
            match += tlv(of13.OFPXMT_OFB_METADATA, 1, 3)
        if draw(st.booleans()):
            match += tlv(of13.OFPXMT_OFB_ETH_DST, draw(MACS))

        def some() -> bytes:
            data = b"".join(actions.output(p) for p in draw(st.lists(PORTS, max_size=2)))
            return data + (actions.group(draw(st.sampled_from([1, 2]))) if draw(st.integers(0, 3)) == 0 else b"")
        table = draw(st.integers(0, 2))
        return kind, flow_mod(
            command=draw(st.sampled_from([of13.OFPFC_ADD, of13.OFPFC_ADD, of13.OFPFC_MODIFY, of13.OFPFC_DELETE])),
            table=table, priority=draw(st.integers(0, 2)), match=match, apply=some(), write=some(),
            goto=draw(st.sampled_from([None, table + 1])), clear=draw(st.booleans()))
    if kind == "group":
        command = draw(st.sampled_from([of13.OFPGC_ADD, of13.OFPGC_ADD, of13.OFPGC_MODIFY, of13.OFPGC_DELETE]))
        buckets = b"".join(bucket(actions.output(p)) for p in draw(st.lists(PORTS, max_size=3)))
        return kind, build.group_mod(3, command, of13.OFPGT_ALL, draw(st.sampled_from([1, 2])),
                                     b"" if command == of13.OFPGC_DELETE else buckets)
    if kind == "link":
        return kind, (draw(st.sampled_from([1, 2, 3])), draw(st.sampled_from([7, 8])), draw(st.booleans()))
    if kind == "bounce":
        return kind, (draw(st.sampled_from([1, 2, 3, 0x11])), draw(st.sampled_from([0.5, 12.0])))
    if kind == "port":
        return kind, (draw(st.integers(1, 7)), draw(st.sampled_from([1, 2, 3])), draw(st.integers(1, 4)),
                      draw(st.sampled_from([None, 20, 40])))
    return kind, draw(st.booleans())


@given(st.lists(operation(), min_size=1, max_size=12))
@settings(deadline=None)
def test_increments_equal_the_full_recompute(operations: list[tuple[str, Any]]) -> None:
    world = a_world()
    controller = Controller(world, "red")
    for kind, what in operations:
        if kind in ("flow", "group"):
            controller.send(what)
        elif kind == "link":
            world.switches[what[0]].set_port(what[1], what[2])
        elif kind == "bounce":
            switch = world.switches[what[0]]
            switch.disconnect()
            world.pass_time(what[1])
            switch.connect()
        elif kind == "port":
            number, dpid, port, vlan = what
            attach = {"datapath": dpid, "port": port, **({} if vlan is None else {"vlan": vlan})}
            try:
                intent.put_port(world.hv, "red", parse(PortSpec, {
                    "number": number, "name": f"red{number}", "attach": attach}), world.now)
            except intent.Conflict:
                continue
        elif "white" in world.hv.logical_switches:
            intent.delete_logical_switch(world.hv, "white", lambda at: None, world.now)
        else:
            intent.create_logical_switch(world.hv, spec("white", {1: (1, 5), 2: (2, 5), 3: (3, 5)}), world.now)
        world.pass_time(0.5)
        assert_equal_to_recompute(world)


def test_random_bytes_of_one_peer_leave_the_others_served() -> None:
    world = a_world(spec("red", {1: (1, 1), 2: (2, 1)}), spec("white", {1: (1, 2), 2: (2, 2)}))
    good = Controller(world, "white")
    rng = random.Random(4)
    for _ in range(100):
        bad = Controller(world, "red")
        bad.send(bytes(rng.randrange(256) for _ in range(rng.randrange(1, 200))))
        world.run()
        good.send(flow_mod(apply=actions.output(2)) + build.barrier_request(5))
        good.take("BARRIER_REPLY")
        bad.disconnect()
