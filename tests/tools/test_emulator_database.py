"""The emulated database: what transactions do to rows, and who is told. tests/system compares it with ovsdb-server."""
from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from hvproxy.ovsdb.transact import delete_from, insert, insert_into, set_key, update
from tests.tools.controller import SAFETY_NET
from tools.emulator.database import Changes, Database, Monitor
from tools.emulator.ovsdb import DatabaseServer

NOBODY = "00000000-0000-0000-0000-000000000001"


def with_bridge() -> tuple[Database, str]:
    database = Database()
    bridge = database.insert("Bridge", {"name": ("br",)})
    database.tables["Open_vSwitch"][database.root]["bridges"] = (bridge,)
    return database, bridge


def port(bridge: str, name: str) -> list[dict[str, object]]:
    return [insert("Interface", "i", {"name": name}), insert("Port", "p", {
        "name": name, "interfaces": ["named-uuid", "i"]}), insert_into("Bridge", bridge, "ports", ["named-uuid", "p"])]


def test_rows_are_inserted_with_those_they_refer_to_and_go_with_them() -> None:
    database, bridge = with_bridge()
    results: list[Any] = database.transact(port(bridge, "a"))
    (made,) = database.tables["Port"]
    assert results[1] == {"uuid": ["uuid", made]} and results[2] == {"count": 1}
    assert [row["name"] for row in database.tables["Interface"].values()] == [("a",)]
    assert database.transact([delete_from("Bridge", bridge, "ports", ["uuid", made])]) == [{"count": 1}]
    assert not database.tables["Port"] and not database.tables["Interface"]


def test_a_transaction_that_fails_changes_nothing() -> None:
    database, bridge = with_bridge()
    told: list[Changes] = []
    database.watchers.append(told.append)
    database.transact(port(bridge, "a"))
    before = {table: dict(rows) for table, rows in database.tables.items()}
    for operations in (port(bridge, "a"), [insert_into("Bridge", bridge, "ports", ["uuid", NOBODY])],
                       [*port(bridge, "b"), {"op": "steal"}], [*port(bridge, "b"), {"op": "update", "table": "X"}],
                       [update("Bridge", bridge, {"colour": 1})], [update("Bridge", bridge, {"fail_mode": 3})],
                       [insert("Port", "p", {"name": "c", "interfaces": ["set", []]})]):
        results: list[Any] = database.transact(operations)
        assert [result for result in results if result is not None and "error" in result]
        assert database.tables == before
    assert len(told) == 1


def test_maps_and_sets_are_changed_in_part() -> None:
    database, bridge = with_bridge()
    for value in ("v", "w"):
        database.transact(set_key("Bridge", bridge, "external_ids", "k", value))
    database.transact([insert_into("Bridge", bridge, "external_ids", ["map", [["k", "x"], ["l", "y"]]])])
    assert database.tables["Bridge"][bridge]["external_ids"] == {"k": "w", "l": "y"}
    database.transact([insert_into("Bridge", bridge, "protocols", "OpenFlow13")] * 2)
    assert database.tables["Bridge"][bridge]["protocols"] == ("OpenFlow13",)
    assert database.transact([update("Bridge", NOBODY, {"fail_mode": "secure"})]) == [{"count": 0}]


def test_a_monitor_tells_what_was_asked_for_and_has_changed() -> None:
    database, bridge = with_bridge()
    monitor = Monitor(database, {"Bridge": {"columns": ["name", "fail_mode"]}})
    assert monitor.contents() == {"Bridge": {bridge: {"new": {"name": "br", "fail_mode": ["set", []]}}}}
    told: list[object] = []
    database.watchers.append(lambda changes: told.append(monitor.updates(changes)))
    database.transact([update("Bridge", bridge, {"fail_mode": "secure"})])
    database.transact([update("Bridge", bridge, {"protocols": "OpenFlow13"})])
    database.transact([update("Bridge", bridge, {"fail_mode": "secure"})])
    assert told == [{"Bridge": {bridge: {"old": {"fail_mode": ["set", []]},
                                         "new": {"name": "br", "fail_mode": "secure"}}}}, {}]


def talk(scenario: Callable[[asyncio.StreamReader, asyncio.StreamWriter, str], Awaitable[None]]) -> None:
    async def main() -> None:
        database, bridge = with_bridge()
        server = DatabaseServer(database)
        _, host, number = (await server.listen()).split(":")
        reader, writer = await asyncio.open_connection(host, int(number))
        try:
            await asyncio.wait_for(scenario(reader, writer, bridge), SAFETY_NET)
        finally:
            writer.close()
            await server.close()
    asyncio.run(main())


async def answers(reader: asyncio.StreamReader, count: int) -> list[Any]:
    found: list[Any] = []
    buffer, decoder = "", json.JSONDecoder()
    while len(found) < count:
        buffer += (await reader.read(65536)).decode()
        while buffer:
            try:
                message, end = decoder.raw_decode(buffer)
            except ValueError:
                break
            found.append(message)
            buffer = buffer[end:]
    return found


def test_over_a_connection_updates_come_before_the_reply_and_requests_may_come_in_pieces() -> None:
    async def scenario(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, bridge: str) -> None:
        wanted = {"Bridge": {"columns": ["fail_mode"]}}
        requests = "".join(json.dumps({"method": method, "params": params, "id": number}) for number, (method, params)
                           in enumerate((("list_dbs", []), ("echo", [1]), ("steal", []),
                                         ("monitor", ["Open_vSwitch", None, wanted]), ("transact", ["Other"]),
                                         ("transact", ["Open_vSwitch", update("Bridge", bridge, {"fail_mode": "s"})]))))
        for at in range(0, len(requests), 50):
            writer.write(requests[at:at + 50].encode())
            await writer.drain()
        found = await answers(reader, 7)
        assert [message.get("result") for message in found[:2]] == [["Open_vSwitch"], [1]]
        assert found[2]["error"] == "unknown method"
        assert found[3]["result"] == {"Bridge": {bridge: {"new": {"fail_mode": ["set", []]}}}}
        assert found[4]["error"]["error"] == "unknown database"
        assert found[5]["method"] == "update" and found[6] == {"id": 5, "result": [{"count": 1}], "error": None}
    talk(scenario)
