"""What operators are shown of databases."""
from __future__ import annotations

import json
from typing import Any

from hvproxy.hypervisor import report
from hvproxy.hypervisor.database_report import databases
from tests.hypervisor.databases_end import EndDatabase, a_world
from tests.ovsdb.rows import Contents, Vif


def test_databases_tell_their_bridges_and_vifs() -> None:
    world = a_world("unix:/a", "unix:/b")
    EndDatabase(world, "unix:/a", Contents(
        [Vif("a", 3, mac="02:00:00:00:00:09")], {"br": 1, "no": None}, fail_mode=None)).connect()
    EndDatabase(world, "unix:/b", Contents([Vif("a", 5), Vif("x", 4)], {"br": 2})).connect()
    rows = databases(world.hv)
    assert json.loads(json.dumps(rows)) == rows
    assert rows[0] == {
        "address": "unix:/a", "state": "connected", "fault": None,
        "bridges": [
            {"name": "br", "dpid": "0000000000000001", "ours": True,
             "settings": [{"name": "fail_mode", "has": "standalone", "needs": "secure"}]},
            {"name": "no", "dpid": None, "ours": False,
             "settings": [{"name": "fail_mode", "has": "standalone", "needs": "secure"}]}],
        "vifs": [{"iface_id": "a", "dpid": "0000000000000001", "port_no": 3, "interface": "tap0",
                  "mac": "02:00:00:00:00:09", "admin": "up", "link": None, "active": True, "counts": True,
                  "bound": ["red/1"]}]}
    others: Any = rows[1]["vifs"]
    assert [(vif["iface_id"], vif["counts"], vif["bound"]) for vif in others] == [("a", False, []), ("x", True, [])]
    settings = {row["dpid"]: row["settings"] for row in report.datapaths(world.hv)}
    assert settings["0000000000000001"] == ["fail_mode=standalone (needs secure)"]
    assert settings["0000000000000002"] == []


def test_a_database_is_connected_lost_or_not_there() -> None:
    world = a_world()
    assert [row["state"] for row in databases(world.hv)] == ["connecting"]
    assert "database unix:/db has not answered" in report.reasons_unready(world.hv)
    database = EndDatabase(world, "unix:/db", Contents([Vif("a", 3)])).connect()
    world.pass_time(2.0)
    assert report.reasons_unready(world.hv) == []
    database.say(b"garbage")
    (row,) = databases(world.hv)
    assert (row["state"], row["fault"], len(row["vifs"])) == (  # type: ignore[arg-type]
        "lost", "it does not send JSON objects", 1)
    world.pass_time(11.0)
    (row,) = databases(world.hv)
    assert (row["state"], row["vifs"]) == ("connecting", [])


def test_a_port_says_what_its_vif_lacks() -> None:
    world = a_world(iface_ids=("a", "b", "c", "d"))
    database = EndDatabase(world, "unix:/db", Contents([Vif("b", 3, "other"), Vif("c", 99), Vif("d", 7)], {
        "br": 1, "other": 0x77})).connect()
    assert database.connected
    assert [row["why_down"] for row in report.ports(world.hv, "red")] == [
        "no database has an interface with iface-id a", "its switch is unknown", "its switch has no port 99",
        "its VIF is said to be at an end of a link"]
    assert [row["datapath"] for row in report.ports(world.hv, "red")] == [
        None, "0000000000000077", "0000000000000001", "0000000000000001"]
