"""A Hypervisor made of stored records is like the one that noted them: no switch needs a message, no tenant sees it."""
from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hvproxy.errors import DamagedRecord
from hvproxy.hypervisor import intent
from hvproxy.hypervisor.settings import Settings
from hvproxy.hypervisor.journal import Durability
from hvproxy.hypervisor.restore import restored
from hvproxy.openflow import actions, build
from hvproxy.openflow.constants import of13
from hvproxy.openflow.groups import bucket
from hvproxy.openflow.multipart import FlowStatsRequest, Kind, encode_id_request, multipart_request
from hvproxy.openflow.oxm import tlv
from tests.harness import Controller, World
from tests.hypervisor.worlds import (
    a_stored_world, add, assert_equal_to_recompute, changes, flow_mod, in_port, meter_mod, packets, port_spec,
)

IP = tlv(of13.OFPXMT_OFB_ETH_TYPE, 0x800)


def told(controller: Controller) -> list[tuple[Any, ...]]:
    """What a logical switch tells of itself: everything but durations."""
    found: list[tuple[Any, ...]] = []
    for kind, body in ((Kind.FLOW, FlowStatsRequest().encode()), (Kind.GROUP_DESC, b""),
                       (Kind.GROUP, encode_id_request(of13.OFPG_ALL)), (Kind.PORT_DESC, b""),
                       (Kind.METER_CONFIG, encode_id_request(of13.OFPM_ALL)), (Kind.TABLE, b""),
                       (Kind.METER, encode_id_request(of13.OFPM_ALL)), (Kind.DESC, b""),
                       (Kind.PORT_STATS, encode_id_request(of13.OFPP_ANY))):
        reply = controller.ask(multipart_request(7, kind, body))
        body_ = reply.body if isinstance(reply.body, list) else [reply.body]
        for each in body_:
            parts = each.to_jsondict()
            (name, fields), = parts.items()
            fields = {k: v for k, v in fields.items() if not k.startswith("duration")}
            found.append((kind.name, name, repr(sorted(fields.items()))))
    found.append(("FEATURES", controller.ask(build.features_request(8)).datapath_id))
    return sorted(found, key=repr)


def restart_unseen(world: World, controller: Controller, down: float = 0.0) -> Controller:
    """A restart that costs no switch a message and no tenant a difference."""
    before, said = changes(world), told(controller)
    world.restart(down)
    world.pass_time(1.5)
    assert changes(world) == before
    assert_equal_to_recompute(world)
    again = Controller(world, "red")
    assert told(again) == said
    return again


def test_nothing_stored_is_a_new_hypervisor() -> None:
    assert restored(Settings(), 1.0, {}).logical_switches == {}


def test_entries_are_there_after_a_restart_and_no_switch_is_sent_anything() -> None:
    world, controller = a_stored_world()
    add(controller,
        flow_mod(match=in_port(1), apply=actions.output(2), cookie=1),
        flow_mod(match=IP, apply=actions.output(of13.OFPP_FLOOD), goto=1, priority=7, cookie=0xFFFFFFFFFFFFFFFE),
        flow_mod(match=tlv(of13.OFPXMT_OFB_METADATA, 5), write=actions.output(5), table=1, metadata=(1, 3),
                 flags=of13.OFPFF_SEND_FLOW_REM),
        flow_mod(table=1, priority=0, apply=actions.output(of13.OFPP_CONTROLLER)))
    again = restart_unseen(world, controller)
    add(again, flow_mod(match=in_port(2), apply=actions.output(1)))
    assert_equal_to_recompute(world)
    restart_unseen(world, again)


def test_groups_meters_and_their_places_are_there_after_a_restart() -> None:
    world, controller = a_stored_world()
    to_2 = bucket(actions.output(2))
    add(controller,
        build.group_mod(1, of13.OFPGC_ADD, of13.OFPGT_ALL, 7, to_2 + bucket(actions.group(99))),
        build.group_mod(1, of13.OFPGC_ADD, of13.OFPGT_FF, 8, bucket(actions.output(3), watch_port=3)),
        build.group_mod(1, of13.OFPGC_MODIFY, of13.OFPGT_ALL, 7, bucket(actions.group(99))),
        meter_mod(4, 100), meter_mod(5, 10), meter_mod(4, command=of13.OFPMC_DELETE),
        flow_mod(apply=actions.group(7), meter=5), flow_mod(match=IP, write=actions.group(8)))
    world.pass_time(3.0)
    again = restart_unseen(world, controller)
    add(again, build.group_mod(1, of13.OFPGC_ADD, of13.OFPGT_ALL, 99, to_2), meter_mod(6, 5))
    assert_equal_to_recompute(world)
    restart_unseen(world, again)


def test_what_was_deleted_does_not_come_back() -> None:
    world, controller = a_stored_world()
    add(controller, flow_mod(apply=actions.output(2)), flow_mod(match=IP), meter_mod(1, 5),
        build.group_mod(1, of13.OFPGC_ADD, of13.OFPGT_ALL, 7, bucket(actions.output(2))))
    add(controller, flow_mod(command=of13.OFPFC_DELETE_STRICT), meter_mod(1, command=of13.OFPMC_DELETE),
        build.group_mod(1, of13.OFPGC_DELETE, of13.OFPGT_ALL, 7))
    world.pass_time(3.0)
    restart_unseen(world, controller)
    ls = world.hv.logical_switches["red"]
    assert (len(ls.tables), ls.groups.held, ls.meters.meters) == (1, {}, {})


def test_ports_their_configuration_and_what_tenants_set_are_there_after_a_restart() -> None:
    world, controller = a_stored_world()
    ls = world.hv.logical_switches["red"]
    intent.put_port(world.hv, "red", port_spec(9, "late", 2, 2), world.now)
    intent.put_port(world.hv, "red", port_spec(8, "unbound"), world.now)
    intent.delete_port(world.hv, "red", 4, lambda at: None, world.now)
    world.pass_time(1.0)
    Controller(world, "red")
    controller.messages.clear()
    controller.send(
        build.port_mod(1, 3, ls.ports[3].hw_addr, of13.OFPPC_NO_FWD, of13.OFPPC_NO_FWD)
        + build.port_mod(1, 2, ls.ports[2].hw_addr, of13.OFPPC_PORT_DOWN, of13.OFPPC_PORT_DOWN)
        + build.set_config(1, of13.OFPC_FRAG_DROP, 128) + build.role_request(1, of13.OFPCR_ROLE_MASTER, 77)
        + flow_mod(apply=actions.output(of13.OFPP_NORMAL)) + build.barrier_request(1))
    world.pass_time(1.0)
    controller.messages.clear()
    again = restart_unseen(world, controller)
    ls = world.hv.logical_switches["red"]
    assert (ls.frag_flags, ls.roles.generation_id) == (of13.OFPC_FRAG_DROP, 77)
    assert sorted(ls.ports) == [1, 2, 3, 5, 6, 8, 9]
    assert [ls.ports[n].up for n in (1, 2, 3, 8, 9)] == [True, False, True, False, True]
    assert again.refused(build.role_request(2, of13.OFPCR_ROLE_MASTER, 76))[1] == of13.OFPRRFC_STALE


def test_switches_that_come_one_by_one_are_not_changed_for_those_that_are_still_away() -> None:
    world, controller = a_stored_world()
    add(controller, flow_mod(apply=actions.output(3)))
    before = changes(world)
    world.switches[2].disconnect()
    world.switches[0x11].disconnect()
    world.restart()
    world.pass_time(5.0)
    assert changes(world) == before
    world.switches[0x11].connect()
    world.pass_time(1.0)
    world.switches[2].connect()
    world.pass_time(1.0)
    assert changes(world) == before
    assert_equal_to_recompute(world)


def test_a_start_that_takes_longer_than_the_grace_takes_nothing_off_it() -> None:
    world, controller = a_stored_world()
    add(controller, flow_mod(apply=actions.output(3)))
    before, ports = changes(world), world.hv.logical_switches["red"].ports
    world.switches[2].disconnect()
    world.restart(starting=60.0)
    world.pass_time(9.0)
    world.switches[2].connect()
    world.pass_time(1.0)
    assert changes(world) == before
    assert {n: p.vif for n, p in world.hv.logical_switches["red"].ports.items()} == {n: p.vif for n, p in ports.items()}
    assert_equal_to_recompute(world)


def test_links_that_were_discovered_stay_until_they_could_be_found_again() -> None:
    world, controller = a_stored_world(secret=b"s" * 32)
    add(controller, flow_mod(apply=actions.output(3)))
    world.settings = Settings(**{**{f: getattr(world.settings, f) for f in world.settings.__slots__},
                                 "secret": b"another secret of this start 123"})
    before = changes(world)
    world.restart()
    world.pass_time(2.0)
    assert changes(world) == before
    assert_equal_to_recompute(world)


def test_speeds_of_links_are_known_again_before_their_switches_are() -> None:
    world, controller = a_stored_world()
    add(controller, flow_mod(apply=actions.output(3)))
    link = min(world.hv.links.in_use)
    for dpid, port_no in link.ends:
        switch = world.switches[dpid]
        switch.ports[port_no] = replace(switch.ports[port_no], curr_speed=1_000_000)
        switch.send(build.port_status(of13.OFPPR_MODIFY, switch.ports[port_no]))
    world.pass_time(2.0)
    before = changes(world)
    world.restart()
    assert world.hv.links.speeds == {link: 1000}
    world.pass_time(2.0)
    assert world.hv.links.speeds == {link: 1000} and changes(world) == before
    assert_equal_to_recompute(world)


def test_a_switch_that_rebooted_meanwhile_is_filled_again() -> None:
    world, controller = a_stored_world()
    add(controller, flow_mod(apply=actions.output(3)))
    switch = world.switches[2]
    switch.rules.clear()
    switch.groups.clear()
    world.restart()
    world.pass_time(1.5)
    assert_equal_to_recompute(world)
    assert switch.rules


def test_what_was_sent_but_not_stored_is_taken_off_the_switches_and_what_was_stored_but_not_sent_is_put() -> None:
    world, controller = a_stored_world()
    add(controller, flow_mod(apply=actions.output(3)))
    world.hold_commits = True
    controller.send(flow_mod(match=IP, apply=actions.output(2)))
    world.run()
    world.uncommitted = None
    world.hold_commits = False
    world.switches[1].disconnect()
    key = next(k for k in world.switches[2].rules if k[0] == 10)
    del world.switches[2].rules[key]
    world.restart()
    world.switches[1].connect()
    world.pass_time(1.5)
    assert len(world.hv.logical_switches["red"].tables) == 1
    assert_equal_to_recompute(world)


def test_time_goes_on_while_hvproxy_is_away() -> None:
    world, controller = a_stored_world()
    add(controller, flow_mod(apply=actions.output(2), hard_timeout=10, flags=of13.OFPFF_SEND_FLOW_REM),
        flow_mod(match=IP, hard_timeout=100))
    world.pass_time(5.0)
    world.settings = Settings(links=world.settings.links, durability=Durability.BARRIER, wall=1000.0)
    world.now -= 1000.0  # another clock
    world.restart(2.0)
    world.pass_time(2.5)
    ls = world.hv.logical_switches["red"]
    assert len(ls.tables) == 2
    again = Controller(world, "red")
    assert {each.duration_sec for each in again.ask(build.flow_stats_request(3)).body} == {9}
    world.pass_time(1.0)
    again.take("FLOW_REMOVED")
    assert [entry.hard_timeout for entry in ls.tables.entries()] == [100]


def test_what_timed_out_meanwhile_expires_when_its_counters_have_been_read() -> None:
    world, controller = a_stored_world()
    add(controller, flow_mod(match=in_port(1), hard_timeout=5), flow_mod(match=in_port(2), idle_timeout=5),
        flow_mod(match=in_port(3), idle_timeout=5, flags=of13.OFPFF_SEND_FLOW_REM))
    world.switches[2].disconnect()
    world.restart(20.0)
    world.switches[2].connect()
    world.switches[2].silent = True
    world.switches[2].count(10, 4)
    world.pass_time(1.0)
    ls = world.hv.logical_switches["red"]
    assert len(ls.tables) == 3
    world.switches[2].answer()
    world.pass_time(0.5)
    assert [entry.match.in_port for entry in ls.tables.entries()] == [2]
    assert_equal_to_recompute(world)


def test_counters_go_on_after_a_restart() -> None:
    world, controller = a_stored_world()
    add(controller, flow_mod(match=in_port(1), apply=actions.output(2)), meter_mod(3, 100),
        build.group_mod(1, of13.OFPGC_ADD, of13.OFPGT_ALL, 7, bucket(actions.output(2))))
    world.switches[1].count(10, 5, 500)
    assert packets(controller) == 5
    again = restart_unseen(world, controller)
    world.switches[1].count(10, 2, 200)
    assert packets(again) == 7
    world.switches[1].reboot()
    assert packets(again) == 7
    world.switches[1].count(10, 1, 100)
    assert packets(again) == 8
    world.restart()
    world.pass_time(1.5)
    assert packets(Controller(world, "red")) == 8


@pytest.mark.parametrize("key", ["format", "ls/red", "ls/red/state"])
def test_a_record_that_must_be_there_is_missed_by_its_key(key: str) -> None:
    world, _ = a_stored_world()
    del world.records[key]
    with pytest.raises(DamagedRecord, match=f"{key}: is missing"):
        restored(world.settings, world.now, world.records)


@pytest.mark.parametrize("key", ["x", "ls/red/entry", "ls/red/entry/x", "ls/red/things/1", "tenant"])
def test_an_unknown_record_is_refused(key: str) -> None:
    world, _ = a_stored_world()
    with pytest.raises(DamagedRecord, match="no record that this hvproxy knows"):
        restored(world.settings, world.now, {**world.records, key: b"1234567890"})
