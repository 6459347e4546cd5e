"""VIFs bring logical ports up, down and elsewhere as the databases tell; whatever else these send harms nothing."""
from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from hvproxy.hypervisor import databases as module
from hvproxy.hypervisor import intent, replacing, report
from hvproxy.hypervisor.databases import DUPLICATE, FAULTY, WRONG
from hvproxy.hypervisor.journal import Durability
from hvproxy.model.hosts import Mac
from hvproxy.model.intent import PortSpec, parse
from hvproxy.model.view import Vif as Bound
from hvproxy.openflow import build
from hvproxy.openflow.constants import of13
from tests.harness import Controller, World
from tests.hypervisor.databases_end import EndDatabase, a_world, logged
from tests.hypervisor.worlds import assert_equal_to_recompute, changes, flow_mod, in_port, port_spec
from tests.ovsdb.rows import Contents, Vif, initial, messages, update

NOT_CONNECTED = 77
DPIDS: dict[str, int | None] = {"br": 1, "br2": 2}


def bound(world: World, number: int = 1) -> Bound | None:
    return world.hv.logical_switches["red"].ports[number].vif


def up(world: World) -> list[bool]:
    world.pass_time(1.0)
    return [port.up for port in world.hv.logical_switches["red"].ports.values()]


def one(*vifs: Vif) -> tuple[World, EndDatabase]:
    world = a_world()
    return world, EndDatabase(world, "unix:/db", Contents(list(vifs), DPIDS)).connect()


def two(a: Contents, b: Contents) -> tuple[World, EndDatabase, EndDatabase]:
    """Two databases, not connected."""
    world = a_world("unix:/a", "unix:/b")
    return world, EndDatabase(world, "unix:/a", a), EndDatabase(world, "unix:/b", b)


# Where VIFs are

def test_a_port_is_up_where_its_vif_is_and_as_long_as_it_is_there() -> None:
    world, database = one()
    assert bound(world) is None and up(world) == [False, False]
    database.vifs(Vif("a", 3), Vif("b", 4, "br2"))
    assert (bound(world), bound(world, 2)) == (Bound(1, 3), Bound(2, 4)) and up(world) == [True, True]
    assert_equal_to_recompute(world)
    database.vifs(Vif("b", 4, "br2"))
    assert bound(world) is None and up(world) == [False, True]
    assert_equal_to_recompute(world)


def test_a_port_follows_its_vif_and_keeps_what_is_its_own() -> None:
    world, database = one(Vif("a", 3), Vif("b", 4))
    controller = Controller(world, "red")
    controller.send(flow_mod(match=in_port(1)))
    world.pass_time(1.0)
    controller.messages.clear()

    def told() -> tuple[object, int]:
        (desc,) = [p for p in controller.ask(build.port_desc_request(3)).body if p.port_no == 1]
        (stats,) = controller.ask(build.port_stats_request(4, 1)).body
        return (desc.name, desc.hw_addr, desc.state), stats.rx_packets

    world.switches[1].port_counts[3] = {"rx_packets": 5}
    before = told()
    assert before[1] == 5
    database.vifs(Vif("a", 6, "br2"), Vif("b", 4))
    assert up(world) == [True, True] and bound(world) == Bound(2, 6)
    assert {message[1] for message in controller.messages} == {of13.OFPT_PORT_STATUS}
    controller.messages.clear()
    world.switches[2].port_counts[6] = {"rx_packets": 3}
    assert told() == (before[0], 8)
    assert len(world.hv.logical_switches["red"].tables) == 1
    assert_equal_to_recompute(world)


def test_a_vlan_of_a_vif_moves_with_it() -> None:
    world, database = one(Vif("a", 3))
    intent.put_port(world.hv, "red", parse(PortSpec, {
        "number": 3, "name": "sub", "attach": {"iface_id": "a", "vlan": 20}}), world.now)
    assert bound(world, 3) == Bound(1, 3, 20)
    database.vifs(Vif("a", 5, "br2"))
    assert (bound(world), bound(world, 3)) == (Bound(2, 5), Bound(2, 5, 20))
    assert_equal_to_recompute(world)


def test_a_vif_on_a_switch_that_is_not_there_waits_for_it() -> None:
    world = a_world()
    EndDatabase(world, "unix:/db", Contents([Vif("a", 3)], {"br": 9})).connect()
    assert bound(world) is None
    world.add_switches(9)
    world.pass_time(1.0)
    assert bound(world) == Bound(9, 3)
    assert 77 not in world.hv.switches.datapaths


def test_a_vif_at_an_end_of_a_link_is_not_bound() -> None:
    world, database = one(Vif("a", 7), Vif("b", 2))
    assert bound(world) is None and up(world) == [False, True]
    assert world.hv.switches.alarms["a VIF is said to be at an end of a link: its logical port stays down"]
    assert len(world.hv.links.in_use) == 6
    assert_equal_to_recompute(world)


def test_a_vif_on_a_port_that_another_logical_port_has_stays_down() -> None:
    world, database = one()
    intent.put_port(world.hv, "red", port_spec(5, "five", 1, 3), world.now)
    database.vifs(Vif("a", 3))
    assert bound(world) is None and bound(world, 5) == Bound(1, 3)
    intent.delete_port(world.hv, "red", 5, lambda at: None, world.now)
    world.pass_time(1.5)
    assert bound(world) == Bound(1, 3) and up(world)[0]
    assert_equal_to_recompute(world)


# One iface-id, several VIFs

@pytest.mark.parametrize("order", ["ab", "ba"])
def test_of_vifs_that_were_there_at_the_start_the_same_one_counts_in_any_order_of_connecting(order: str) -> None:
    world, a, b = two(Contents([Vif("a", 3)], {"br": 2}), Contents([Vif("a", 5)], {"br": 1}))
    ends = {"a": a, "b": b}
    ends[order[0]].connect()
    assert bound(world) is None and not world.hv.databases.known
    ends[order[1]].connect()
    assert bound(world) == Bound(1, 5) and world.hv.switches.alarms[DUPLICATE] == 1


def test_the_vif_that_was_there_first_counts_until_it_goes() -> None:
    world, a, b = two(Contents([Vif("a", 3)], {"br": 2}), Contents(dpids={"br": 1}))
    a.connect()
    b.connect()
    b.vifs(Vif("a", 5))
    assert bound(world) == Bound(2, 3)
    (line,) = logged(world, DUPLICATE)
    assert line["iface_id"] == "a" and {line["at"], line["and_at"]} == {"0000000000000002:3", "0000000000000001:5"}
    b.vifs(Vif("a", 5), Vif("x", 6))
    assert world.hv.switches.alarms[DUPLICATE] == 1
    a.disconnect()
    a.connect()
    assert bound(world) == Bound(2, 3)
    a.vifs()
    assert bound(world) == Bound(1, 5) and up(world)[0]
    a.vifs(Vif("a", 3))
    assert bound(world) == Bound(1, 5) and world.hv.switches.alarms[DUPLICATE] == 2
    assert_equal_to_recompute(world)


def test_one_database_at_two_addresses_has_no_doubles() -> None:
    world, a, b = two(Contents([Vif("a", 3)]), Contents([Vif("a", 3)]))
    a.connect()
    b.connect()
    assert bound(world) == Bound(1, 3) and DUPLICATE not in world.hv.switches.alarms


STATES = st.lists(st.tuples(st.booleans(), st.lists(st.tuples(
    st.sampled_from("ab"), st.integers(1, 6), st.sampled_from(["br", "br2"])), max_size=4, unique_by=lambda v: v[1:])),
    max_size=6)


@settings(max_examples=25, deadline=None)
@given(STATES)
def test_every_change_ends_where_the_recompute_does(states: list[tuple[bool, list[tuple[str, int, str]]]]) -> None:
    world, a, b = two(Contents(dpids=DPIDS), Contents(dpids={"br": 3, "br2": NOT_CONNECTED}))
    a.connect()
    b.connect()
    for first, vifs in states:
        (a if first else b).vifs(*(Vif(*vif) for vif in vifs))
        there = {(vif.iface_id, end.contents.dpids[vif.bridge], vif.port_no) for end in (a, b)
                 for vif in end.contents.vifs}
        places = world.hv.databases.places
        assert places.keys() == {iface_id for iface_id, _, _ in there}
        assert {(iface_id, *place) for iface_id, several in places.items() for place in several} == there
        world.pass_time(1.0)
        for number, iface_id in ((1, "a"), (2, "b")):
            vif, place = bound(world, number), next(iter(places.get(iface_id, ())), None)
            there_too = place is not None and place[0] != NOT_CONNECTED
            assert (None if vif is None else (vif.dpid, vif.port_no)) == (place if there_too else None)
        assert_equal_to_recompute(world)


# Sessions that end

def test_what_a_lost_database_said_stays_for_the_grace() -> None:
    world, database = one(Vif("a", 3), Vif("b", 4))
    database.disconnect()
    world.pass_time(8.0)
    assert up(world) == [True, True] and logged(world, "database lost")
    world.pass_time(2.0)
    assert up(world) == [False, False] and bound(world) is None
    assert logged(world, "database absent") == [{"database": "unix:/db", "vifs": 2}]
    database.connect()
    assert up(world) == [True, True]
    assert_equal_to_recompute(world)


def test_a_database_that_is_back_within_the_grace_changes_only_what_has_changed() -> None:
    world, database = one(Vif("a", 3), Vif("b", 4))
    assert up(world) == [True, True]
    flow_mods = world.switches[1].flow_mods
    database.disconnect()
    world.pass_time(5.0)
    database.connect()
    world.pass_time(20.0)
    assert up(world) == [True, True] and world.switches[1].flow_mods == flow_mods
    database.disconnect()
    database.contents = Contents([Vif("b", 4)], DPIDS)
    database.connect()
    assert up(world) == [False, True]


def test_a_database_started_anew_has_forgotten_datapath_ids_and_nothing_moves() -> None:
    world, database = one(Vif("a", 3), Vif("b", 4))
    whole = database.contents
    database.disconnect()
    database.contents = Contents(whole.vifs, {"br": None, "br2": None})
    database.connect()
    assert up(world) == [True, True]
    database.become(Contents([Vif("a", 3), Vif("b", 5)], DPIDS))
    assert up(world) == [True, True] and bound(world, 2) == Bound(1, 5)


def test_datapath_ids_that_stay_forgotten_are_believed_after_the_grace() -> None:
    world, database = one(Vif("a", 3))
    database.disconnect()
    database.contents = Contents(database.contents.vifs, {"br": None, "br2": None})
    database.connect()
    world.pass_time(5.0)
    assert bound(world) == Bound(1, 3)
    world.pass_time(6.0)
    assert bound(world) is None


@pytest.mark.parametrize("forgotten", [False, True])
def test_after_a_restart_vifs_are_where_they_were_until_their_database_tells_otherwise(forgotten: bool) -> None:
    world = a_world("unix:/a", "unix:/b", durability=Durability.BARRIER)
    other = EndDatabase(world, "unix:/b", Contents(dpids={"br": 3})).connect()
    database = EndDatabase(world, "unix:/a", Contents([Vif("a", 3), Vif("b", 4)], DPIDS)).connect()
    assert up(world) == [True, True]
    before, whole = changes(world), database.contents
    world.restart()
    if forgotten:
        database.contents = Contents(whole.vifs, {"br": None, "br2": None})
    database.connect()
    world.pass_time(5.0)
    other.connect()
    assert up(world) == [True, True] and bound(world) == Bound(1, 3)
    database.become(whole)
    assert up(world) == [True, True] and changes(world) == before
    assert_equal_to_recompute(world)
    database.vifs(Vif("a", 3), Vif("b", 5))
    assert up(world) == [True, True] and bound(world, 2) == Bound(1, 5)


def test_after_a_restart_vifs_of_a_database_that_stays_away_are_gone_with_the_grace() -> None:
    world = a_world(durability=Durability.BARRIER)
    EndDatabase(world, "unix:/db", Contents([Vif("a", 3)], DPIDS)).connect()
    assert up(world) == [True, False]
    world.restart(starting=60.0)
    world.pass_time(5.0)
    assert bound(world) == Bound(1, 3)
    world.pass_time(6.0)
    assert bound(world) is None


def test_controllers_are_dialled_when_the_databases_have_answered_or_are_given_up() -> None:
    world = a_world("unix:/a", "unix:/b")
    EndDatabase(world, "unix:/a", Contents([Vif("a", 3)])).connect()
    world.pass_time(5.0)
    assert world.hv.serving.waiting == {"red"} and bound(world) is None
    EndDatabase(world, "unix:/b").connect(silent=True)
    world.pass_time(6.0)
    assert not world.hv.serving.waiting and up(world) == [True, False]


GARBAGE = [
    b"\x00\xff", b"GET / HTTP/1.1\r\n\r\n", b"{" * 100, b'{"method":"update","params":[null,{"Interface":{"x":{}}}]}',
    b'{"method":"update","params":[null,{"Manager":{}}]}', b'{"id":1,"result":[],"error":null}',
    update(Contents(), Contents([Vif("a", 3)])).replace(b'"ofport": 3', b'"ofport": "3"'),
]


@pytest.mark.parametrize("garbage", GARBAGE)
def test_a_database_that_lies_ends_its_own_session_and_nothing_else(garbage: bytes) -> None:
    world, a, b = two(Contents([Vif("a", 3)]), Contents(dpids={"br": 2}))
    a.connect()
    b.connect()
    b.say(garbage + initial(Contents([Vif("a", 4)])))
    assert not b.connected and a.connected and up(world) == [True, False]
    (line,) = logged(world, FAULTY)
    assert line["database"] == "unix:/b" and world.hv.databases.all["unix:/b"].fault == line["reason"]
    b.connect()
    b.say(garbage)
    b.connect()
    b.vifs(Vif("b", 5))
    assert up(world) == [True, True] and world.hv.switches.alarms[FAULTY] == 2
    assert world.hv.databases.all["unix:/b"].fault is None


def test_the_same_fault_is_said_once() -> None:
    world = a_world()
    database = EndDatabase(world, "unix:/db")
    for _ in range(5):
        database.connect(silent=True).say(b"garbage")
    assert len(logged(world, FAULTY)) == 1 and world.hv.switches.alarms[FAULTY] == 5


@settings(max_examples=40, deadline=None)
@given(st.lists(st.binary(max_size=40) | st.sampled_from(GARBAGE), max_size=4), st.booleans())
def test_random_bytes_leave_what_works_working(parts: list[bytes], told: bool) -> None:
    world, a, b = two(Contents([Vif("a", 3)]), Contents(dpids={"br": 2}))
    a.connect()
    b.connect(silent=not told)
    for part in parts:
        b.say(part)
    b.disconnect()
    world.pass_time(11.0)
    assert a.connected and bound(world) == Bound(1, 3)


def test_a_silent_database_is_probed_and_left() -> None:
    world, database = one(Vif("a", 3))
    database.mute = True
    world.pass_time(5.5)
    assert messages([database.written])[-1]["method"] == "echo"
    world.pass_time(5.0)
    assert not database.connected
    assert [line["reason"] for line in logged(world, FAULTY)] == ["it was silent for 10 s"]
    assert bound(world) == Bound(1, 3)


def test_many_updates_are_looked_at_together(monkeypatch: pytest.MonkeyPatch) -> None:
    world, database = one()
    looks = []
    monkeypatch.setattr(module, "observe", lambda tables, observe=module.observe: looks.append(1) or observe(tables))
    states = [Contents([Vif("a", number % 6 + 1)], DPIDS) for number in range(50)]
    stream = update(database.contents, states[0]) + b"".join(update(x, y) for x, y in zip(states, states[1:]))
    database.say(stream, 1.0)
    assert len(looks) == 1 and bound(world) == Bound(1, 49 % 6 + 1)


# Settings of bridges

def test_wrong_settings_are_told_once_for_each_bridge_of_ours() -> None:
    world = a_world()
    database = EndDatabase(world, "unix:/db", Contents(
        dpids={"br": 1, "foreign": 77}, fail_mode=None, other_config={"vlan-limit": "0"})).connect()
    told = [(line["bridge"], line["setting"]) for line in logged(world, WRONG)]
    assert told == [("br", "fail_mode"), ("br", "other_config:vlan-limit")] and world.hv.switches.alarms[WRONG] == 2
    database.vifs(fail_mode="secure")
    database.vifs(fail_mode=None)
    database.disconnect()
    database.connect()
    assert len(logged(world, WRONG)) == 2
    world.add_switches(77)
    world.pass_time(1.0)
    assert ("foreign", "fail_mode") in [(line["bridge"], line["setting"]) for line in logged(world, WRONG)]
    assert b"transact" not in database.written


def test_a_bridge_with_a_vif_that_is_waited_for_is_ours_though_it_cannot_connect() -> None:
    world = a_world()
    EndDatabase(world, "unix:/db", Contents([Vif("b", 1)], {"br": 77}, protocols=("OpenFlow10",))).connect()
    assert [line["setting"] for line in logged(world, WRONG)] == ["protocols"]


def test_settings_are_corrected_only_on_demand_and_once_a_session() -> None:
    world = a_world(configure_bridges=True)
    database = EndDatabase(world, "unix:/db", Contents(fail_mode=None)).connect()
    (transaction,) = [m for m in messages([database.written]) if m["method"] == "transact"]
    assert transaction["params"][1]["row"] == {"fail_mode": "secure"}
    database.vifs(fail_mode="secure")
    database.say(json.dumps({"id": transaction["id"], "result": [{"count": 1}], "error": None}).encode())
    assert logged(world, "a bridge was set as hvproxy needs it") == [
        {"database": "unix:/db", "bridge": "br", "setting": "fail_mode"}]
    database.vifs(fail_mode="standalone")
    assert database.written.count(b"transact") == 1


def test_a_refused_correction_is_said() -> None:
    world = a_world(configure_bridges=True)
    database = EndDatabase(world, "unix:/db", Contents(fail_mode=None)).connect()
    (transaction,) = [m for m in messages([database.written]) if m["method"] == "transact"]
    database.say(json.dumps({"id": transaction["id"], "result": [{"error": "not allowed"}], "error": None}).encode())
    (line,) = logged(world, "a database refused to set a bridge")
    assert line["reason"] == "not allowed" and database.connected


def test_warnings_are_remembered_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REMEMBERED", 2)
    world = a_world()
    database = EndDatabase(world, "unix:/db", Contents(dpids={"x1": 1, "x2": 2, "x3": 3}, fail_mode=None)).connect()
    assert len(logged(world, WRONG)) == 3 and database.connected


def test_a_deleted_logical_switch_waits_for_nothing() -> None:
    world, database = one(Vif("a", 3))
    intent.delete_logical_switch(world.hv, "red", lambda at: None, world.now)
    world.pass_time(1.0)
    database.vifs(Vif("a", 4))
    assert_equal_to_recompute(world)


def test_what_a_vifs_workload_uses_is_known_while_a_database_says_it() -> None:
    world, database = one(Vif("a", 5, mac="02:00:00:00:00:0a"), Vif("b", 6, "br2", mac="none"))
    ls = world.hv.logical_switches["red"]
    replacing.adjust(world.hv, [replace(report.spec_of(ls), less_broadcast=True)], world.now)

    def known() -> list[set[str]]:
        world.pass_time(3.0)
        assert_equal_to_recompute(world)
        return [set(map(str, lport.macs)) for lport in ls.view.lports]

    assert known() == [{"02:00:00:00:00:0a"}, set()]
    assert world.hv.databases.macs == {("a", 1, 5): Mac(0x02000000000A)}
    database.vifs(Vif("a", 5, mac="02:00:00:00:00:0b"), Vif("b", 6, "br2", mac="02:00:00:00:00:0c"))
    assert known() == [{"02:00:00:00:00:0b"}, {"02:00:00:00:00:0c"}]
    database.vifs(Vif("a", 5, "br2", mac="02:00:00:00:00:0b"), Vif("b", 6, "br2"))
    assert known() == [{"02:00:00:00:00:0b"}, set()]
    database.vifs(Vif("b", 6, "br2"))
    assert known() == [set(), set()]


def test_time_in_which_nothing_was_read_is_nobodys_silence_and_no_grace() -> None:
    world, database = one(Vif("a", 3), Vif("b", 4))
    assert up(world) == [True, True]
    database.disconnect()
    world.hv.stood_still(100.0, world.now)
    world.pass_time(100.0)
    assert up(world) == [True, True]
    world.pass_time(11.0)
    assert up(world) == [False, False]


def test_what_waits_to_be_worked_on_is_no_silence() -> None:
    world = a_world("unix:/db")
    database = EndDatabase(world, "unix:/db").connect(silent=True)
    world.hv.unread(database.conn, True, world.now)
    world.pass_time(60.0)
    world.hv.unread(database.conn, False, world.now)
    assert database.connected and not world.hv.databases.known, "nor is it given up"
    database.say(initial(database.contents))
    assert world.hv.databases.known and not logged(world, FAULTY)
    database.mute = True
    world.hv.unread(database.conn, True, world.now)
    world.pass_time(60.0)
    world.hv.unread(database.conn, False, world.now)
    assert database.connected
    world.pass_time(11.0)
    assert not database.connected, "now it is silent"
