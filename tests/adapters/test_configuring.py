"""A configuration applied while hvproxy runs: over the API, planned and carried out, one at a time."""
from __future__ import annotations

from typing import Any

from tests.adapters.client import Client
from tests.harness import World


def a_client() -> Client:
    world = World()
    world.add_switches(1, 2)
    world.pass_time(1.0)
    return Client(world)


def a_file(*ports: int, tenant: str = "red", **more: Any) -> dict[str, Any]:
    """A tenant with one logical switch, whose ports are those of switch 1."""
    return {"tenants": [{"name": tenant, "logical_switches": [{
        "name": tenant, "datapath_id": 0xA0 + len(tenant), **more,
        "ports": [{"number": n, "name": f"p{n}", "attach": {"datapath": 1, "port": n}} for n in ports]}]}]}


def apply(client: Client, document: object) -> Any:
    reply = client.ask("PUT", "/v1/configuration", document)
    client.clock.advance(0)
    client.world.pass_time(1.0)
    assert reply.status == 200, reply.raw
    return reply.json


def test_a_plan_tells_and_changes_nothing_and_an_apply_does_it_once() -> None:
    client = a_client()
    plan = client.ask("POST", "/v1/configuration/plan", a_file(1, 2)).json
    assert plan == {"restart": [], "changes": [
        {"kind": "tenant", "name": "red", "action": "create", "changes": []},
        {"kind": "logical switch", "name": "red", "action": "create", "changes": ["tenant red", "2 ports"]}]}
    assert client.get("/v1/tenants") == []
    assert apply(client, a_file(1, 2)) == plan
    assert [port["state"] for port in client.get("/v1/logical-switches/red/ports")] == ["up", "up"]
    assert apply(client, a_file(1, 2)) == {"restart": [], "changes": []}


def test_what_the_file_names_no_more_is_gone_and_what_the_api_made_stays() -> None:
    client = a_client()
    apply(client, a_file(1, 2))
    client.ask("POST", "/v1/tenants", {"name": "green"})
    told = apply(client, a_file(1, tenant="blue"))
    assert [(row["kind"], row["name"], row["action"]) for row in told["changes"]] == [
        ("tenant", "blue", "create"), ("logical switch", "red", "delete"), ("logical switch", "blue", "create"),
        ("tenant", "red", "delete")]
    assert [tenant["name"] for tenant in client.get("/v1/tenants")] == ["blue", "green"]


def test_keys_that_take_a_restart_are_named_each_time_until_it() -> None:
    client = a_client()
    document = {**a_file(1), "switches": {"grace": 3}, "api": {"listen": "ptcp:1:127.0.0.1"}}
    assert apply(client, document)["restart"] == ["api.listen", "switches.grace"]
    assert apply(client, document) == {"restart": ["api.listen", "switches.grace"], "changes": []}
    assert client.world.hv.settings.grace == 10.0


def test_a_bad_configuration_is_refused_with_every_mistake_and_changes_nothing() -> None:
    client = a_client()
    apply(client, a_file(1))
    bad = a_file(1, 1, description="é")
    for method, path in (("PUT", "/v1/configuration"), ("POST", "/v1/configuration/plan")):
        reply = client.ask(method, path, bad)
        assert reply.status == 400
        assert [mistake["path"] for mistake in reply.json["mistakes"]] == [
            f"tenants[0].logical_switches[0].{key}"
            for key in ("description", "ports[1].number", "ports[1].name", "ports[1].attach")]
    assert len(client.get("/v1/logical-switches/red/ports")) == 1


def test_what_contradicts_the_apis_is_refused_with_its_place() -> None:
    client = a_client()
    client.ask("POST", "/v1/tenants", a_file(1, tenant="green")["tenants"][0])
    reply = client.ask("PUT", "/v1/configuration", a_file(1))
    assert reply.status == 409 and reply.json["path"] == "tenants[0].logical_switches[0].ports[0].attach"
    assert [tenant["name"] for tenant in client.get("/v1/tenants")] == ["green"]


def test_one_is_applied_after_the_other() -> None:
    client = a_client()
    apply(client, a_file(1, 2))
    held = client.world.switches[1]
    held.hold_barriers = True
    first = client.ask("PUT", "/v1/configuration", a_file(3, tenant="blue"))
    second = client.ask("PUT", "/v1/configuration", a_file(1, 2))
    assert not first.arrived and not second.arrived
    held.release()
    client.world.run()
    for _ in range(2):
        client.clock.advance(0)
        client.world.pass_time(1.0)
    assert first.status == second.status == 200
    assert [tenant["name"] for tenant in client.get("/v1/tenants")] == ["red"]


def test_how_often_bfd_looks_changes_at_once() -> None:
    client = a_client()
    document = {**a_file(1), "fabric": {"bfd_interval": 0.02}}
    told = apply(client, document)
    assert told["restart"] == [] and told["changes"][0]["name"] == "fabric.bfd_interval"
    assert client.world.hv.tunnels.bfd_interval == 0.02
    assert apply(client, document) == {"restart": [], "changes": []}
    assert apply(client, a_file(1))["changes"][0]["changes"] == ["0.02 -> 0.1"]
