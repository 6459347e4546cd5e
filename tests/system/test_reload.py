"""SIGHUP at a running hvproxy: the difference only, and a bad file leaves everything as it was."""
from __future__ import annotations

import asyncio
import json
import urllib.request
from typing import Any

import yaml

from tests.system.served import Served


def ask(served: Served, path: str) -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:{served.api_port}{path}", timeout=30) as reply:
        return json.load(reply)


def sent(served: Served) -> set[str]:
    """The numbers of flow-mods and group-mods that went to the switches."""
    with urllib.request.urlopen(f"http://127.0.0.1:{served.api_port}/metrics", timeout=30) as reply:
        return {line for line in reply.read().decode().splitlines() if line.startswith("hvproxy_messages_total")
                and "to_switch" in line and ("flow_mod" in line or "group_mod" in line)}


def test_a_changed_file_is_taken_over_and_the_good_tenant_notices_nothing() -> None:
    async def check() -> None:
        async with Served() as served:
            document = served.config()
            document["tenants"][0]["logical_switches"][0]["description"] = "said otherwise"
            before = sent(served)
            said = await served.good.during(served.reload(yaml.safe_dump(document)))
            assert [(each["event"], each.get("name")) for each in said] == [
                ("changed by the configuration", "red"), ("configuration reloaded", None)]
            assert ask(served, "/v1/logical-switches/red")["description"] == "said otherwise"
            assert before and sent(served) == before, "a description changed a switch"
            del document["tenants"][1]
            await served.good.during(served.reload(yaml.safe_dump(document)))
            assert [each["name"] for each in ask(served, "/v1/tenants")] == ["red"]

    asyncio.run(check())


def test_a_bad_file_changes_nothing_and_every_mistake_is_logged() -> None:
    async def check() -> None:
        async with Served() as served:
            document = served.config()
            del document["tenants"][1]
            document["tenants"][0]["logical_switches"][0]["ports"] = 5
            document["workers"] = 2
            said = await served.good.during(served.reload(yaml.safe_dump(document)))
            assert [(each["key"], each["what"]) for each in said[:-1]] == [
                ("tenants[0].logical_switches[0].ports", "expected a list, got 5"), ("workers", "not supported yet")]
            assert said[-1]["mistakes"] == 2 and "not reloaded" in said[-1]["event"]
            said = await served.good.during(served.reload("tenants: ["))
            assert [each.get("key") for each in said] == ["line 2, column 1", None]
            assert [each["name"] for each in ask(served, "/v1/tenants")] == ["other", "red"]

    asyncio.run(check())
