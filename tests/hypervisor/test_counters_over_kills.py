"""hvproxy is killed after a change was sent to switches and before it is stored: no counter tells less than it told."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hvproxy.hypervisor import intent
from hvproxy.hypervisor.journal import Durability
from hvproxy.openflow import actions, build
from hvproxy.openflow.constants import of13
from hvproxy.openflow.groups import bucket
from hvproxy.openflow.multipart import FlowStatsRequest, Kind, encode_id_request, multipart_request
from tests.harness import Controller, World, parsed
from tests.hypervisor.worlds import a_world, add, assert_equal_to_recompute, flow_mod, in_port, meter_mod, port_spec

QUESTIONS = ((Kind.FLOW, FlowStatsRequest().encode()), (Kind.TABLE, b""),
             (Kind.GROUP, encode_id_request(of13.OFPG_ALL)), (Kind.METER, encode_id_request(of13.OFPM_ALL)),
             (Kind.PORT_STATS, encode_id_request(of13.OFPP_ANY)))
NAMES = ("table_id", "priority", "match", "group_id", "meter_id", "port_no")
FAILOVER = bucket(actions.output(2), watch_port=2, watch_group=8) + bucket(actions.output(3), watch_port=3)
EXPIRING = repr(parsed(flow_mod(match=in_port(5))).match)
Counts = dict[tuple[object, ...], int]


def a_counting_world(durability: Durability = Durability.BARRIER) -> tuple[World, Controller]:
    """Entries, groups, meters and ports of all kinds, stored, that have counted something since."""
    world = a_world(durability=durability)
    controller = Controller(world, "red")
    add(controller, build.group_mod(1, of13.OFPGC_ADD, of13.OFPGT_ALL, 8, bucket(actions.output(2))),
        build.group_mod(1, of13.OFPGC_ADD, of13.OFPGT_FF, 9, FAILOVER), meter_mod(4, 100),
        flow_mod(match=in_port(1), apply=actions.group(9), goto=1), flow_mod(match=in_port(2), meter=4, goto=1),
        flow_mod(match=in_port(5), apply=actions.output(6), goto=1, hard_timeout=2),
        flow_mod(table=1, priority=0, apply=actions.output(4)))
    world.pass_time(0.5)
    count(world, 5)
    return world, controller


def count(world: World, packets: int) -> None:
    """All that can count, counts."""
    for dpid in (1, 2, 3):
        switch = world.switches[dpid]
        for table in {key[0] for key in switch.rules}:
            switch.count(table, packets, 100 * packets)
        for number in switch.groups:
            switch.group_counts[number] = _more(switch.group_counts.get(number, (0, 0)), packets)
        for number in switch.meters:
            switch.meter_counts[number] = _more(switch.meter_counts.get(number, (0, 0)), packets)
        for number in switch.ports:
            before = switch.port_counts.get(number, {})
            switch.port_counts[number] = {
                name: before.get(name, 0) + packets for name in ("rx_packets", "tx_packets", "rx_bytes", "tx_bytes")}


def _more(counted: tuple[int, int], packets: int) -> tuple[int, int]:
    return counted[0] + packets, counted[1] + 100 * packets


def told(controller: Controller) -> Counts:
    """All counters that a controller is told now, if it is told any."""
    controller.world.run()
    controller.messages.clear()
    found: Counts = {}
    for kind, body in QUESTIONS:
        controller.send(multipart_request(3, kind, body))
        controller.world.run()
        replies, controller.messages = controller.messages, []
        for each in replies:
            for row in parsed(each).body:
                found.update(_counters(kind, row))
    return found


def _counters(kind: Kind, row: Any) -> Counts:
    fields = dict(row.stringify_attrs())
    key = (kind.name, *(repr(fields[name]) for name in NAMES if name in fields))
    found = {(*key, name): value for name, value in fields.items()
             if isinstance(value, int) and name.endswith(("packets", "bytes", "_count")) and name not in (
                 "active_count", "ref_count", "flow_count")}
    if "duration_sec" in fields:
        found[*key, "duration"] = fields["duration_sec"] * 10 ** 9 + fields["duration_nsec"]
    for name in ("bucket_stats", "band_stats"):
        for number, part in enumerate(fields.get(name, ())):
            found.update(((*key, name, number, what), value) for what, value in part.stringify_attrs())
    return found


def less(before: Counts, after: Counts) -> list[str]:
    """Which counters tell less; an entry that expires may be gone."""
    return [f"{key}: {was}, then {after.get(key)}" for key, was in before.items()
            if after.get(key, was if EXPIRING in key else -1) < was]


# What happens while nothing is stored

def delete_all(world: World, controller: Controller) -> None:
    controller.send(flow_mod(command=of13.OFPFC_DELETE, table=of13.OFPTT_ALL))


def modify(world: World, controller: Controller) -> None:
    """Other rules under other keys."""
    controller.send(flow_mod(command=of13.OFPFC_MODIFY, table=1, write=actions.output(3)))


def depend_on_the_port(world: World, controller: Controller) -> None:
    controller.send(flow_mod(command=of13.OFPFC_MODIFY, table=1, apply=actions.output(of13.OFPP_FLOOD)))


def reset(world: World, controller: Controller) -> None:
    controller.send(flow_mod(match=in_port(1), apply=actions.group(9), goto=1, flags=of13.OFPFF_RESET_COUNTS))


def expire(world: World, controller: Controller) -> None:
    world.pass_time(3.0)


def delete_groups(world: World, controller: Controller) -> None:
    controller.send(build.group_mod(1, of13.OFPGC_DELETE, of13.OFPGT_ALL, of13.OFPG_ALL))


def modify_group(world: World, controller: Controller) -> None:
    controller.send(build.group_mod(1, of13.OFPGC_MODIFY, of13.OFPGT_ALL, 8, bucket(actions.output(3))))


def lose_a_watched_port(world: World, controller: Controller) -> None:
    world.switches[2].set_port(1, False)


def delete_meters(world: World, controller: Controller) -> None:
    controller.send(meter_mod(of13.OFPM_ALL, command=of13.OFPMC_DELETE))


def modify_meter(world: World, controller: Controller) -> None:
    controller.send(meter_mod(4, 200, command=of13.OFPMC_MODIFY))


def meter_elsewhere(world: World, controller: Controller) -> None:
    """Its shares change."""
    controller.send(flow_mod(match=in_port(3), meter=4, goto=1))


def move_a_port(world: World, controller: Controller) -> None:
    intent.put_port(world.hv, "red", port_spec(2, "red2", 3, 4), world.now)


def move_a_port_that_is_gone(world: World, controller: Controller) -> None:
    world.switches[2].remove_port(1)
    intent.put_port(world.hv, "red", port_spec(2, "red2", 3, 4), world.now)


def move_a_sub_port(world: World, controller: Controller) -> None:
    intent.put_port(world.hv, "red", port_spec(5, "red5", 2, 5, 20), world.now)


def close_ports(world: World, controller: Controller) -> None:
    for number in (1, 5):
        port = world.hv.logical_switches["red"].ports[number]
        controller.send(build.port_mod(1, number, port.hw_addr, of13.OFPPC_PORT_DOWN, of13.OFPPC_PORT_DOWN))


def compile_a_port_apart(world: World, controller: Controller) -> None:
    port = world.hv.logical_switches["red"].ports[2]
    controller.send(build.port_mod(1, 2, port.hw_addr, of13.OFPPC_NO_FWD, of13.OFPPC_NO_FWD))


def reboot(world: World, controller: Controller) -> None:
    world.switches[1].reboot()


def die_too(world: World, controller: Controller) -> None:
    """All switches, at the same time."""
    for switch in world.switches.values():
        switch.rules, switch.groups, switch.counted, switch.group_counts, switch.port_counts = {}, {}, {}, {}, {}
        switch.meters, switch.meter_counts = {}, {}


CHANGES = (delete_all, modify, depend_on_the_port, reset, expire, delete_groups, modify_group, lose_a_watched_port,
           delete_meters, modify_meter, meter_elsewhere, move_a_port, move_a_port_that_is_gone, move_a_sub_port,
           close_ports, compile_a_port_apart, reboot, die_too)


@pytest.mark.parametrize("change, silent, durability", [
    *((change, False, Durability.BARRIER) for change in CHANGES), (delete_all, True, Durability.BARRIER),
    (modify, True, Durability.BARRIER), (move_a_port, True, Durability.BARRIER), (reboot, True, Durability.BARRIER),
    (delete_all, False, Durability.RELAXED), (reset, True, Durability.RELAXED)])
def test_no_counter_tells_less_than_before_the_kill(
    change: Callable[[World, Controller], None], silent: bool, durability: Durability
) -> None:
    """`silent`: what switches tell of rules that go is lost in the kill."""
    world, controller = a_counting_world(durability)
    before = told(controller)
    assert {key[0] for key in before} == {kind.name for kind, _ in QUESTIONS}
    for switch in world.switches.values():
        switch.hold_removals = silent
    world.hold_commits = True
    change(world, controller)
    world.run()
    world.hold_commits = False
    for switch in world.switches.values():
        switch.hold_removals = False
    world.restart()
    world.pass_time(5.0)
    again = Controller(world, "red")
    after = told(again)
    assert less(before, after) == []
    count(world, 1)
    later = told(again)
    assert less(after, later) == [] and later != after
    assert_equal_to_recompute(world)


def test_what_is_not_stored_yet_is_not_told() -> None:
    """An entry that is not promised may be gone after a kill, and with it what the tables have counted."""
    world, controller = a_counting_world()
    told(controller)
    world.hold_commits = True
    controller.send(flow_mod(table=1, match=in_port(1)))
    world.run()
    count(world, 1)
    assert told(controller) == {}
    while world.uncommitted is not None:
        world.commit()
    world.run()
    assert sum(each[1] == of13.OFPT_MULTIPART_REPLY for each in controller.messages) == len(QUESTIONS)


def test_what_has_not_counted_since_it_was_told_is_told_at_once() -> None:
    world, controller = a_counting_world()
    before = told(controller)
    world.hold_commits = True
    assert told(controller) == before
    assert world.uncommitted is None
