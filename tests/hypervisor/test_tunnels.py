"""Tunnels come and go with the pairs that need them, and are made, adopted, mended and removed in the databases."""
from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hvproxy.hypervisor import intent, report
from hvproxy.hypervisor.journal import Durability
from hvproxy.hypervisor.tunnels import FAILED, MIXED, NO_ADDRESS, OVERLAP, REFUSED
from hvproxy.model.layout import LAST_VID
from hvproxy.model.view import Vif
from hvproxy.openflow import build
from hvproxy.openflow.constants import of13
from tests.hypervisor.databases_end import logged
from tests.hypervisor.tunnel_world import ADDRESS, TunnelDatabase, TunnelWorld
from tests.hypervisor.worlds import assert_equal_to_recompute, changes, port_spec
from tests.ovsdb.rows import messages


def alarms(world: TunnelWorld, what: str) -> int:
    return world.hv.switches.alarms.get(what, 0)


def test_pairs_that_no_vlan_link_joins_get_a_tunnel_and_their_ports_come_up() -> None:
    world = TunnelWorld(1, 2, 3).start()
    assert world.tunnels == {(1, 2), (1, 3), (2, 3)} and world.up() == [True] * 3
    assert {tunnel.options["remote_ip"] for tunnel in world.ports(1)} == {ADDRESS.format(2), ADDRESS.format(3)}
    assert {tunnel.kind for tunnel in world.ports(1)} == {"gre"}
    assert_equal_to_recompute(world)


def test_where_tunnels_are_the_only_links_labels_do_not_run_out() -> None:
    world = TunnelWorld(1, 2, 3, first_vid=2, last_vid=5).start()
    assert world.up() == [True] * 3
    used = world.hv.fabric.keys.used.values()
    assert len(used) == 6 and min(used) > LAST_VID
    assert not world.hv.switches.alarms, "nobody was bound before it was known where tunnels end"
    assert_equal_to_recompute(world)


def test_what_vlan_links_join_gets_none_and_others_go_by_the_nearest_endpoint() -> None:
    world = TunnelWorld(1, 2, 3, endpoints=(2, 3), links=(((1, 8), (2, 8)),)).start()
    assert world.tunnels == {(2, 3)} and world.up() == [True] * 3
    assert not world.hv.fabric.keys.used, "frames cross a VLAN link as well"
    assert_equal_to_recompute(world)


def test_a_vlan_fabric_with_endpoints_has_no_tunnel_until_it_is_cut() -> None:
    world = TunnelWorld(1, 2, links=(((1, 8), (2, 8)),)).start()
    assert world.tunnels == set() and not world.ports(1)
    world.switches[1].set_port(8, False)
    world.pass_time(3.0)
    assert world.tunnels == {(1, 2)} and world.up() == [True, True]
    assert_equal_to_recompute(world)
    world.switches[1].set_port(8, True)
    world.pass_time(3.0)
    assert world.tunnels == {(1, 2)}, "it is kept for a while"
    world.pass_time(12.0)
    assert world.tunnels == set() and not world.ports(1) and not world.ports(2)
    assert_equal_to_recompute(world)


@pytest.mark.parametrize("kind", ["gre", "vxlan", "geneve"])
def test_forced_every_pair_has_a_tunnel_and_vlan_links_between_endpoints_are_not_used(kind: str) -> None:
    world = TunnelWorld(1, 2, links=(((1, 8), (2, 8)),), encapsulation=kind).start()
    assert world.tunnels == {(1, 2)} and len(world.hv.fabric.topology.links) == 1 and world.up() == [True, True]
    assert {tunnel.kind for tunnel in (*world.ports(1), *world.ports(2))} == {kind}
    assert_equal_to_recompute(world)


def test_vlan_alone_makes_none_and_removes_what_there_is() -> None:
    made = TunnelWorld(1, 2).start()
    world = TunnelWorld(1, 2, encapsulation="vlan")
    inherit(made, world)
    ready(world, made)
    world.pass_time(20.0)
    assert not world.ports(1) and not world.ports(2) and world.tunnels == set()


def inherit(before: TunnelWorld, after: TunnelWorld) -> None:
    """The ports that an earlier hvproxy has had made are there."""
    for dpid, database in after.databases.items():
        database.contents = before.databases[dpid].contents
        database.transactions = 0


def ready(world: TunnelWorld, before: TunnelWorld) -> None:
    """Switches connect with the ports they had."""
    for database in world.databases.values():
        database.connect()
    world.add_switches(*world.databases)
    for dpid, switch in world.switches.items():
        for tunnel in before.ports(dpid):
            assert tunnel.ofport is not None
            switch.add_port(tunnel.ofport, tunnel.name)
    world.run()


def test_tunnels_of_an_earlier_hvproxy_are_adopted_and_not_touched() -> None:
    before = TunnelWorld(1, 2).start()
    world = TunnelWorld(1, 2)
    inherit(before, world)
    ready(world, before)
    world.pass_time(20.0)
    assert world.tunnels == {(1, 2)} and world.up() == [True, True]
    assert [database.transactions for database in world.databases.values()] == [0, 0]
    assert_equal_to_recompute(world)


def test_what_others_change_is_mended_and_what_they_delete_is_made_again() -> None:
    world = TunnelWorld(1, 2).start()
    database = world.databases[1]
    (right,) = world.ports(1)
    database.say_soon([replace(right, options={**right.options, "remote_ip": "203.0.113.1"})])
    world.pass_time(0.05)
    assert world.hv.tunnels.links == frozenset(), "a tunnel to somebody else is none"
    world.pass_time(2.0)
    assert world.ports(1) == [right] and world.tunnels == {(1, 2)}
    database.say_soon([])
    world.switches[1].remove_port(right.ofport or 0)
    world.pass_time(3.0)
    assert world.ports(1) == [right] and world.tunnels == {(1, 2)}
    assert logged(world, "tunnel port corrected") and len(logged(world, "tunnel port made")) == 3


def intervals(world: TunnelWorld) -> set[tuple[str, str]]:
    return {(tunnel.bfd["min_rx"], tunnel.bfd["min_tx"]) for dpid in world.databases for tunnel in world.ports(dpid)}


def watched(world: TunnelWorld) -> list[object]:
    """What the tunnels in use become, which they are not yet when this is called."""
    seen: list[object] = []
    aim = world.hv.rollout.aim

    def told(parts: Any, now: float, extra: Any = None) -> None:
        seen.append(world.tunnels)
        aim(parts, now, extra)

    world.hv.rollout.aim = told  # type: ignore[method-assign]
    return seen


def test_bfd_looks_as_often_as_is_said_and_tunnels_carry_on_while_that_changes() -> None:
    world = TunnelWorld(1, 2, 3, bfd_interval=0.02).start()
    assert intervals(world) == {("20", "20")} and world.up() == [True] * 3
    changed = watched(world)
    world.hv.tunnels.set_bfd_interval(0.3, world.now)
    world.pass_time(2.0)
    assert intervals(world) == {("300", "300")} and not changed
    assert world.tunnels == {(1, 2), (1, 3), (2, 3)} and len(logged(world, "tunnel port corrected")) == 6


def test_tunnels_of_an_earlier_hvproxy_with_another_interval_are_adopted_and_corrected() -> None:
    before = TunnelWorld(1, 2).start()
    world = TunnelWorld(1, 2, bfd_interval=0.5)
    inherit(before, world)
    ready(world, before)
    world.pass_time(1.0)
    changed = watched(world)
    world.pass_time(19.0)
    assert intervals(world) == {("500", "500")} and not changed
    assert world.tunnels == {(1, 2)} and world.up() == [True, True]
    assert [database.transactions for database in world.databases.values()] == [1, 1]


def test_who_keeps_changing_a_port_keeps_us_busy_once_a_second_at_most() -> None:
    world = TunnelWorld(1, 2).start()
    database, (right,) = world.databases[1], world.ports(1)
    before = database.transactions
    for _ in range(50):
        database.say_soon([replace(right, bfd={})])
        world.pass_time(0.1)
    assert database.transactions - before <= 6


def test_only_ports_of_hvproxys_own_are_removed_and_not_before_frames_go_elsewhere() -> None:
    world = TunnelWorld(1, 2).start()
    database = world.databases[1]
    (ours,) = world.ports(1)
    theirs = replace(ours, name="gre0", external_ids={"x": "y"}, ofport=77)
    stray = replace(ours, name="hv0123456789ab", external_ids={"hv-tunnel": "nonsense"}, ofport=78)
    database.say_soon([ours, theirs, stray])
    world.switches[1].add_port(78, stray.name)
    world.pass_time(2.0)
    assert world.ports(1) == [ours, theirs]
    intent.delete_port(world.hv, "red", 2, lambda at: None, world.now)
    world.pass_time(5.0)
    assert ours in world.ports(1)
    world.pass_time(8.0)
    assert world.ports(1) == [theirs] and not world.ports(2)


def test_a_dead_tunnel_is_no_link_and_comes_back() -> None:
    world = TunnelWorld(1, 2, 3).start()
    world.set_live(3, False)
    assert world.tunnels == {(1, 2)} and world.up() == [True, True, False]
    assert_equal_to_recompute(world)
    world.set_live(3, True)
    assert world.tunnels == {(1, 2), (1, 3), (2, 3)} and world.up() == [True] * 3


def test_a_tunnel_that_is_lost_is_looked_at_sooner_than_one_that_is_new() -> None:
    world = TunnelWorld(*range(1, 9)).start()
    port = world.ports(1)[0].ofport
    assert port is not None
    waits = []
    for state in (0, of13.OFPPS_LIVE):
        desc = world.switches[1].ports[port] = replace(world.switches[1].ports[port], state=state)
        world.switches[1].send(build.port_status(of13.OFPPR_MODIFY, desc))
        began, count = world.now, len(world.tunnels)
        while len(world.tunnels) == count:
            world.pass_time(0.001)
        waits.append(world.now - began)
    assert waits[0] < waits[1] < 0.1


def test_of_several_switches_with_one_endpoint_none_is_used_but_one_that_works_already() -> None:
    world = TunnelWorld(1, 2, 3)
    world.databases[3].contents.endpoint = ADDRESS.format(2)
    world.start()
    assert world.tunnels == set() and alarms(world, OVERLAP) == 1
    assert world.up() == [True, False, False]
    database = world.databases[3]
    database.become(replace(database.contents, endpoint=ADDRESS.format(3)))
    world.pass_time(3.0)
    assert world.tunnels == {(1, 2), (1, 3), (2, 3)}
    database.become(replace(database.contents, endpoint=ADDRESS.format(2)))
    world.pass_time(3.0)
    assert world.tunnels == {(1, 2)} and alarms(world, OVERLAP) == 2


def test_the_operator_has_the_last_word_on_endpoints() -> None:
    world = TunnelWorld(1, 2, endpoints=(1,), tunnel_endpoints={1: "203.0.113.9", 2: "2001:db8::2"}).start()
    assert world.hv.tunnels.endpoints == {1: "203.0.113.9", 2: "2001:db8::2"}
    assert world.tunnels == set() and not world.ports(1), "one speaks IPv4 and the other IPv6"


def test_endpoints_of_two_kinds_are_an_alarm_and_stop_nothing() -> None:
    world = TunnelWorld(1, 2, 3)
    world.databases[3].contents.endpoint = "2001:db8::3"
    world.start()
    assert world.tunnels == {(1, 2)} and world.up() == [True, True, False]
    assert alarms(world, MIXED) == 2 and logged(world, MIXED)[0] == {
        "seen": 1, "dpids": ["0000000000000001", "0000000000000003"],
        "addresses": [ADDRESS.format(1), "2001:db8::3"]}
    database = world.databases[3]
    database.become(replace(database.contents, endpoint=ADDRESS.format(3)))
    world.pass_time(3.0)
    assert world.tunnels == {(1, 2), (1, 3), (2, 3)} and world.up() == [True] * 3
    database.become(replace(database.contents, endpoint="2001:db8::3"))
    world.pass_time(3.0)
    assert world.tunnels == {(1, 2)} and alarms(world, MIXED) == 4


def test_an_endpoint_that_is_no_address_is_an_alarm() -> None:
    world = TunnelWorld(1, 2)
    world.databases[2].contents.endpoint = "a.b.c.d" * 99
    world.start()
    assert alarms(world, NO_ADDRESS) == 1 and world.tunnels == set()


def test_a_database_that_refuses_is_an_alarm_and_asked_again() -> None:
    world = TunnelWorld(1, 2)
    world.databases[2].refuse = "no permission"
    world.start()
    assert alarms(world, REFUSED) >= 1 and world.tunnels == set()
    assert logged(world, REFUSED)[0]["reason"] == "no permission"
    world.databases[2].refuse = None
    world.pass_time(3.0)
    assert world.tunnels == {(1, 2)}


def test_of_several_ports_one_that_is_refused_stops_no_other() -> None:
    world = TunnelWorld(1, 2, 3)
    world.databases[2].refuse, world.databases[2].refuses = "constraint violation", ADDRESS.format(3)
    world.start()
    assert world.tunnels == {(1, 2), (1, 3)} and world.up() == [True] * 3
    assert {alarm["remote_ip"] for alarm in logged(world, REFUSED)} == {ADDRESS.format(3)}
    world.databases[2].refuse = None
    world.pass_time(3.0)
    assert world.tunnels == {(1, 2), (1, 3), (2, 3)}
    assert_equal_to_recompute(world)


def test_a_port_that_open_vswitch_cannot_make_is_an_alarm() -> None:
    world = TunnelWorld(1, 2).start()
    (right,) = world.ports(1)
    world.databases[1].say_soon([replace(right, ofport=-1, error="no such device")])
    world.pass_time(2.0)
    assert alarms(world, FAILED) == 1 and world.tunnels == set()


def test_a_tunnel_carries_on_without_its_database() -> None:
    world = TunnelWorld(1, 2).start()
    world.databases[1].disconnect()
    world.pass_time(30.0)
    assert world.tunnels == {(1, 2)} and world.up() == [True, True]


@pytest.mark.parametrize("dpid", [None, 1])
def test_a_database_that_was_started_anew_and_has_forgotten_numbers_costs_nothing(dpid: int | None) -> None:
    world = TunnelWorld(1, 2).start()
    before, database, used = changes(world), world.databases[1], world.hv.fabric.topology.links
    whole, transactions = database.contents, database.transactions
    database.disconnect()
    database.contents = replace(whole, dpids={"br": dpid}, tunnels=[
        replace(tunnel, ofport=None) for tunnel in whole.tunnels])
    database.connect()
    world.pass_time(3.0)
    assert world.hv.fabric.topology.links == used and changes(world) == before
    database.become(whole)
    world.pass_time(3.0)
    assert world.hv.fabric.topology.links == used and changes(world) == before and world.up() == [True, True]
    assert database.transactions == transactions


def test_a_tunnel_is_not_taken_for_a_discovered_link_when_its_switch_comes_back() -> None:
    world = TunnelWorld(1, 2, secret=b"s" * 32).start()
    before, used = changes(world), world.hv.fabric.topology.links
    world.switches[2].disconnect()
    world.pass_time(1.0)
    world.switches[2].connect()
    world.pass_time(5.0)
    assert changes(world) == before and world.hv.fabric.topology.links == used and not world.hv.switches.alarms


def test_a_new_switch_gets_its_tunnels_when_a_port_is_bound_there() -> None:
    world = TunnelWorld(1, 2, 3)
    intent.delete_port(world.hv, "red", 3, lambda at: None, world.now)
    world.start()
    assert world.tunnels == {(1, 2)}
    intent.put_port(world.hv, "red", port_spec(3, "red3", 3, 1), world.now)
    world.pass_time(3.0)
    assert world.tunnels == {(1, 2), (1, 3), (2, 3)} and world.up() == [True] * 3
    assert_equal_to_recompute(world)


def test_nobody_is_bound_to_a_tunnel_and_no_discovery_frame_leaves_by_one() -> None:
    world = TunnelWorld(1, 2, secret=b"0123456789abcdef").start()
    (tunnel,) = world.ports(1)
    assert tunnel.ofport is not None and world.hv.links.is_fabric_port(1, tunnel.ofport)
    world.switches[1].packet_outs.clear()
    world.pass_time(3.0)
    assert world.switches[1].packet_outs
    assert not any(tunnel.ofport.to_bytes(4, "big") in message for message in world.switches[1].packet_outs)
    intent.put_port(world.hv, "red", port_spec(9, "red9", 1, tunnel.ofport), world.now)
    world.pass_time(3.0)
    assert world.hv.logical_switches["red"].ports[9].vif is None and world.tunnels == {(1, 2)}
    assert world.hv.logical_switches["red"].ports[1].vif == Vif(1, 1)


def test_links_tell_what_kind_they_are() -> None:
    world = TunnelWorld(1, 2, encapsulation="geneve").start()
    number = world.ports(1)[0].ofport
    assert [(row["a"], row["kind"], row["source"], row["state"]) for row in report.links(world.hv)] == [
        ({"dpid": "0000000000000001", "port": number}, "geneve", "made", "up")]
    world.set_live(1, False)
    assert [row["state"] for row in report.links(world.hv)] == ["down"]
    intent.put_port(world.hv, "red", port_spec(9, "red9", 1, number or 0), world.now)
    assert report.port(world.hv, "red", 9)["why_down"] == "its port is a tunnel of hvproxy's own"


def test_what_transacts_has_told_is_not_asked_for_twice() -> None:
    world = TunnelWorld(1, 2, 3).start()
    world.pass_time(30.0)
    assert [database.transactions for database in world.databases.values()] == [1, 1, 1]
    assert isinstance(world.databases[1], TunnelDatabase)


MIXES: tuple[dict[str, Any], ...] = (
    {}, {"encapsulation": "geneve"}, {"encapsulation": "vxlan"}, {"links": (((1, 8), (2, 8)),)},
    {"links": (((1, 8), (2, 8)), ((2, 7), (3, 8))), "encapsulation": "vlan"},
    {"links": (((1, 8), (2, 8)),), "encapsulation": "gre", "secret": b"s" * 32}, {"secret": b"s" * 32})


@pytest.mark.parametrize("first", ["switches", "databases", "one of each"])
@pytest.mark.parametrize("mix", MIXES)
def test_a_restart_changes_no_switch_and_no_database_whoever_answers_first(mix: dict[str, Any], first: str) -> None:
    world = TunnelWorld(1, 2, 3, durability=Durability.BARRIER, **mix).start()
    world.pass_time(12.0)  # what was wanted before the links were found is gone
    before, used = changes(world), world.hv.fabric.topology.links
    made = {dpid: database.transactions for dpid, database in world.databases.items()}
    early = {"switches": {*world.switches}, "databases": set(), "one of each": {1}}[first]
    for dpid in world.switches.keys() - early:
        world.switches[dpid].disconnect()
    world.restart()
    for dpid, database in world.databases.items():
        if first == "databases" or dpid == 3 and first != "switches":
            database.connect()
    world.pass_time(4.0)
    assert changes(world) == before and world.hv.fabric.topology.links == used
    for dpid in world.switches:
        if dpid not in early:
            world.switches[dpid].connect()
        if not world.databases[dpid].connected:
            world.databases[dpid].connect()
        world.pass_time(0.7)
    world.pass_time(20.0)
    assert changes(world) == before and world.hv.fabric.topology.links == used and world.up() == [True] * 3
    assert {dpid: database.transactions for dpid, database in world.databases.items()} == made
    assert_equal_to_recompute(world)


@pytest.mark.parametrize("mix", MIXES)
def test_tunnels_carry_on_after_a_restart_without_their_databases(mix: dict[str, Any]) -> None:
    world = TunnelWorld(1, 2, 3, durability=Durability.BARRIER, **mix).start()
    world.pass_time(12.0)
    before, used = changes(world), world.hv.fabric.topology.links
    world.restart()
    world.databases[3].connect()
    world.pass_time(30.0)
    assert changes(world) == before and world.hv.fabric.topology.links == used and world.up() == [True] * 3
    assert_equal_to_recompute(world)


def test_what_has_changed_while_hvproxy_was_away_counts_as_soon_as_it_is_told() -> None:
    world = TunnelWorld(1, 2, 3, durability=Durability.BARRIER).start()
    world.restart()
    contents = world.databases[1].contents
    world.databases[1].contents = replace(contents, endpoint="203.0.113.9")
    (gone,) = (tunnel for tunnel in world.ports(2) if tunnel.options["remote_ip"] == ADDRESS.format(3))
    world.databases[2].contents = replace(world.databases[2].contents, tunnels=[
        tunnel for tunnel in world.ports(2) if tunnel is not gone])
    assert gone.ofport is not None
    world.switches[2].remove_port(gone.ofport)
    for database in world.databases.values():
        database.connect()
    world.pass_time(5.0)
    assert world.tunnels == {(1, 2), (1, 3), (2, 3)}
    assert {tunnel.options["local_ip"] for tunnel in world.ports(1)} == {"203.0.113.9"}
    assert_equal_to_recompute(world)


def test_a_database_that_has_not_answered_yet_is_not_asked_again() -> None:
    world = TunnelWorld(1, 2)
    slow = world.databases[1]
    held: list[bytes] = []
    take, slow.received = slow.received, held.append  # type: ignore[method-assign]
    world.start()
    world.pass_time(4.0)
    asked = [message for message in messages(held) if message.get("method") == "transact"]
    assert len(asked) == 1
    slow.received = take  # type: ignore[method-assign]
    for data in held:
        slow.received(data)
    world.pass_time(2.0)
    assert world.tunnels == {(1, 2)} and slow.transactions == 1
    slow.say_soon([])
    world.pass_time(2.0)
    assert world.tunnels == {(1, 2)} and slow.transactions == 2
