"""What operators are shown, against cores in known states."""
from __future__ import annotations

import json
from typing import Any

import pytest

from hvproxy.errors import NotFound
from hvproxy.hypervisor import intent, report
from hvproxy.hypervisor.arrivals import DISCOVERY_COOKIE
from hvproxy.hypervisor.links import NamedLink
from hvproxy.hypervisor.settings import Settings
from hvproxy.model.intent import LogicalSwitchSpec, PortSpec, TenantSpec, parse
from hvproxy.model.layout import GroupKind
from hvproxy.openflow import actions, build
from hvproxy.openflow.constants import of13
from hvproxy.openflow.groups import bucket
from hvproxy.openflow.instructions import Instructions
from hvproxy.openflow.instructions import build as build_instructions
from hvproxy.openflow.messages import decode_packet_out
from hvproxy.openflow.oxm import tlv
from tests.harness import Controller, World, spec
from tests.hypervisor.worlds import add, flow_mod, meter_mod

LINKS = (NamedLink((2, 8), (1, 8)), NamedLink((1, "s1-7"), (3, 7)))


def a_world(**more: Any) -> World:
    world = World(spec("red", {1: (1, 1), 2: (2, 1), 3: (9, 1)}), settings=Settings(links=LINKS, grace=1.0, **more))
    world.hv.tenants.update(("red", "none"))
    world.add_switches(1, 2, 4)
    world.pass_time(2.0)
    return world


def test_datapaths_tell_state_role_and_contents() -> None:
    world = a_world()
    rows = report.datapaths(world.hv)
    assert [(row["dpid"], row["state"], row["role"], row["ports"]) for row in rows] == [
        ("0000000000000001", "ready", "edge", 8), ("0000000000000002", "ready", "edge", 8),
        ("0000000000000003", "absent", "none", 0), ("0000000000000004", "ready", "none", 8),
        ("0000000000000009", "absent", "none", 0)]
    assert (rows[0]["address"], rows[0]["description"]) == ("tcp:127.0.0.1:1", "emulated Open vSwitch 1")
    assert (rows[2]["address"], rows[2]["description"]) == (None, None)
    assert rows[0]["rules"] == len(world.switches[1].rules) and rows[0]["groups"] == len(world.switches[1].groups)


def test_a_datapath_that_only_carries_is_transit() -> None:
    world = World(spec("red", {1: (1, 1), 2: (2, 1)}),
                  settings=Settings(links=(NamedLink((1, 8), (7, 1)), NamedLink((2, 8), (7, 2)))))
    world.add_switches(1, 2, 7)
    world.pass_time(2.0)
    assert [row["role"] for row in report.datapaths(world.hv)] == ["edge", "edge", "transit"]


def test_a_datapath_tells_what_its_ports_are_used_for() -> None:
    world = a_world()
    world.switches[1].set_port(2, up=False)
    world.run()
    ports: Any = report.datapath(world.hv, 1)["port_list"]
    assert [(row["number"], row["name"], row["state"], row["use"], row["bound"]) for row in ports if row["number"] in (
        1, 2, 8)] == [(1, "s1-1", "up", "access", ["red/1"]), (2, "s1-2", "down", "none", []),
                      (8, "s1-8", "up", "fabric", [])]


def test_links_tell_where_they_are_known_from_and_whether_they_work() -> None:
    world = a_world()
    assert report.links(world.hv) == [
        {"a": {"dpid": "0000000000000001", "port": 8}, "b": {"dpid": "0000000000000002", "port": 8},
         "source": "configured", "kind": "vlan", "state": "up", "speed": None},
        {"a": {"dpid": "0000000000000001", "port": "s1-7"}, "b": {"dpid": "0000000000000003", "port": 7},
         "source": "configured", "kind": "vlan", "state": "down", "speed": None}]
    world.switches[2].set_port(8, up=False)
    world.pass_time(2.0)
    assert [row["state"] for row in report.links(world.hv)] == ["down", "down"]


def test_found_links_are_told_apart_from_configured_ones() -> None:
    world = a_world(secret=b"0123456789abcdef", discovery_interval=0.5)
    world.pass_time(1.0)
    for sender, out_port, receiver, in_port in ((1, 5, 4, 6), (4, 6, 1, 5)):
        sent = [decode_packet_out(message) for message in world.switches[sender].packet_outs]
        frame = [out.data for out in sent if actions.outputs(out.actions) == (out_port,)][-1]
        world.switches[receiver].send(build.packet_in(
            0, of13.OFP_NO_BUFFER, len(frame), 0, 0, DISCOVERY_COOKIE, tlv(0, in_port), frame))
    world.pass_time(0.5)
    assert {"a": {"dpid": "0000000000000001", "port": 5}, "b": {"dpid": "0000000000000004", "port": 6},
            "source": "discovered", "kind": "vlan", "state": "up", "speed": None} in report.links(world.hv)


def test_a_tenants_object_reads_as_the_tenant_it_was_made_from() -> None:
    world = a_world()
    intent.put_port(world.hv, "red", parse(PortSpec, {"number": 7, "name": "late"}), world.now)
    rows = report.tenants(world.hv)
    assert [row["name"] for row in rows] == ["none", "red"]
    assert parse(TenantSpec, rows[1]) == report.tenant_spec(world.hv, "red")
    assert [port.number for port in report.tenant_spec(world.hv, "red").logical_switches[0].ports] == [1, 2, 3, 7]


def test_a_logical_switch_is_its_object_and_its_state() -> None:
    world = a_world()
    Controller(world, "red")
    row = report.logical_switch(world.hv, "red")
    assert row["state"] == {"controllers": [], "ports_up": 2, "entries": 0, "groups": 0, "meters": 0}
    written = {key: value for key, value in row.items() if key not in report.STATE_OF_LOGICAL_SWITCH}
    assert parse(LogicalSwitchSpec, written) == report.spec_of(world.hv.logical_switches["red"])


def test_controllers_that_came_by_themselves_are_told_too() -> None:
    world = a_world()
    conn = 99
    world.hv.controller_connected(conn, "red", "tcp:127.0.0.1:40000", True, world.now)
    assert report.controllers(world.hv, "red") == [
        {"address": "tcp:127.0.0.1:40000", "state": "connecting", "role": None, "dialled": False}]
    world.hv.received(conn, build.hello(0), world.now)
    world.hv.received(conn, build.role_request(1, of13.OFPCR_ROLE_MASTER, 1), world.now)
    assert report.controllers(world.hv, "red")[0] == {
        "address": "tcp:127.0.0.1:40000", "state": "connected", "role": "master", "dialled": False}


def test_a_port_that_is_down_says_why() -> None:
    world = a_world()

    def reasons() -> dict[Any, Any]:
        return {row["number"]: row["why_down"] for row in report.ports(world.hv, "red")}

    for number, attach in ((4, None), (5, {"datapath": 1, "port": 99}), (6, {"datapath": 4, "port": 1}),
                           (7, {"datapath": 1, "port": 3})):
        intent.put_port(world.hv, "red", parse(
            PortSpec, {"number": number, "name": f"p{number}", "attach": attach}), world.now)
    world.switches[1].set_port(3, up=False)
    world.pass_time(1.0)
    assert reasons() == {
        1: None, 2: None, 3: "its switch is absent", 4: "it is not attached", 5: "its switch has no port 99",
        6: "its switch is cut off from the larger part of the fabric", 7: "the physical port is down"}
    world.switches[2].hold_barriers = True
    intent.put_port(world.hv, "red", parse(
        PortSpec, {"number": 8, "name": "p8", "attach": {"datapath": 2, "port": 5}}), world.now)
    world.run()
    assert reasons()[8] == "the switches have not confirmed its rules yet"


def test_a_port_tells_its_place_and_its_address() -> None:
    row = report.port(a_world().hv, "red", 1)
    assert row == {"number": 1, "name": "red1", "attach": {"datapath": "0000000000000001", "port": 1}, "state": "up",
                   "why_down": None, "config": [], "datapath": "0000000000000001", "port_no": 1, "mtu": None,
                   "mtu_advice": None, "hw_addr": row["hw_addr"]}
    assert len(bytes.fromhex(str(row["hw_addr"]).replace(":", ""))) == 6


def test_entries_are_told_once_every_edge_has_counted() -> None:
    world = a_world()
    controller = Controller(world, "red")
    for priority, table in ((5, 1), (9, 0), (7, 0)):
        controller.send(build.flow_mod(
            9, of13.OFPFC_ADD, table_id=table, priority=priority, match_tlvs=tlv(5, 0x0800), cookie=priority,
            idle_timeout=30, instructions=build_instructions(Instructions(apply=actions.output(2)))))
    world.pass_time(1.5)
    told: list[list[report.Row]] = []
    report.flows(world.hv, "red", told.append, world.now)
    assert not told
    world.run()
    (rows,) = told
    assert [(row["table_id"], row["priority"], row["cookie"]) for row in rows] == [
        (0, 9, "0x9"), (0, 7, "0x7"), (1, 5, "0x5")]
    assert rows[0]["match"] == "eth_type=0x0800" and rows[0]["instructions"] == "output:2"
    assert rows[0]["duration"] == 1.5 and rows[0]["idle_timeout"] == 30
    assert rows[0]["datapaths"] == ["0000000000000001", "0000000000000002"]


def test_groups_are_told_with_what_all_edges_have_counted() -> None:
    world = a_world()
    controller = Controller(world, "red")
    add(controller, build.group_mod(8, of13.OFPGC_ADD, of13.OFPGT_INDIRECT, 5, bucket(actions.output(1))),
        flow_mod(apply=actions.group(5)))
    for dpid in (1, 2):
        for group_id in [group for group in world.switches[dpid].groups if group >> 28 == GroupKind.TENANT]:
            world.switches[dpid].group_counts[group_id] = (dpid, 100 * dpid)
    world.pass_time(2.0)
    told: list[list[report.Row]] = []
    report.groups(world.hv, "red", told.append, world.now)
    world.run()
    assert told == [[{
        "group_id": 5, "type": "indirect", "buckets": ["actions=output:1"], "packets": 3, "bytes": 300,
        "bucket_counts": [{"packets": 3, "bytes": 300}], "references": 1, "duration": 2.0,
        "datapaths": ["0000000000000001", "0000000000000002"]}]]


def test_meters_are_told_with_what_all_edges_have_counted() -> None:
    world = a_world()
    controller = Controller(world, "red")
    add(controller, meter_mod(7, 100, 200), meter_mod(8, 5, flags=of13.OFPMF_KBPS), flow_mod(meter=7))
    for dpid in (1, 2):
        world.switches[dpid].meter_counts[1] = (2 * dpid, 200 * dpid)
    told: list[list[report.Row]] = []
    report.meters(world.hv, "red", told.append, world.now)
    world.run()
    (rows,) = told
    assert rows[0] == {
        "meter_id": 7, "unit": "pktps",
        "bands": ["type=drop,rate=100,burst_size=100", "type=drop,rate=200,burst_size=200"],
        "packets": 6, "bytes": 600, "band_counts": [{"packets": 3, "bytes": 300}] * 2, "references": 1, "duration": 0.0,
        "datapaths": ["0000000000000001", "0000000000000002"]}
    assert (rows[1]["meter_id"], rows[1]["unit"], rows[1]["packets"]) == (8, "kbps", 0)


def test_it_says_what_it_waits_for() -> None:
    world = World(spec("red", {1: (1, 1)}), settings=Settings(grace=5.0))
    assert report.reasons_unready(world.hv) == [
        "switch 0000000000000001 is lost", "the controllers of logical switch red are not dialled yet"]
    world.pass_time(6.0)
    assert report.reasons_unready(world.hv) == []


def test_what_is_not_there_is_not_found() -> None:
    hv = a_world().hv
    for ask in (lambda: report.datapath(hv, 77),
                lambda: report.tenant(hv, "x"), lambda: report.logical_switch(hv, "x"), lambda: report.ports(hv, "x"),
                lambda: report.port(hv, "red", 77), lambda: report.groups(hv, "x", print, 0.0),
                lambda: report.meters(hv, "x", print, 0.0),
                lambda: report.flows(hv, "x", print, 0.0)):
        with pytest.raises(NotFound):
            ask()


def test_everything_fits_json() -> None:
    hv = a_world().hv
    for rows in (report.datapaths(hv), report.datapath(hv, 1),
                 report.links(hv), report.tenants(hv), report.logical_switches(hv), report.ports(hv, "red")):
        assert json.loads(json.dumps(rows)) == rows


def test_a_port_tells_its_configuration_and_that_its_tenant_has_set_it_down() -> None:
    world = a_world()
    controller = Controller(world, "red")
    assert report.port(world.hv, "red", 1)["config"] == []
    address = world.hv.logical_switches["red"].ports[1].hw_addr
    controller.send(build.port_mod(3, 1, address, of13.OFPPC_PORT_DOWN | of13.OFPPC_NO_PACKET_IN, 0xFFFFFFFF))
    world.run()
    row = report.port(world.hv, "red", 1)
    assert (row["config"], row["state"], row["why_down"]) == (
        ["PORT_DOWN", "NO_PACKET_IN"], "down", "its tenant has set it down")
