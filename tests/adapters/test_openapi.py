"""The description says what the pages do: every route, and answers of the described form."""
from __future__ import annotations

from typing import Any

from hvproxy.adapters.api import Api
from hvproxy.adapters.openapi import document
from hvproxy.hypervisor.links import NamedLink
from hvproxy.hypervisor.settings import Settings
from hvproxy.openflow import actions, build
from hvproxy.openflow.constants import of13
from hvproxy.openflow.groups import bucket
from hvproxy.openflow.instructions import Instructions
from hvproxy.openflow.instructions import build as build_instructions
from tests.adapters.client import Client
from tests.harness import Controller, World, spec
from tests.hypervisor.databases_end import EndDatabase
from tests.ovsdb.rows import Contents, Vif
from tests.hypervisor.worlds import meter_mod

TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,), "array": (list,), "string": (str,), "integer": (int,), "number": (int, float),
    "boolean": (bool,), "null": (type(None),)}


def mismatch(value: Any, schema: dict[str, Any], schemas: dict[str, Any], path: str = "") -> str | None:
    """Where a value is not what the schema says; also keys that the schema does not know."""
    if "$ref" in schema:
        return mismatch(value, schemas[schema["$ref"].removeprefix("#/components/schemas/")], schemas, path)
    if "anyOf" in schema:
        found = [mismatch(value, each, schemas, path) for each in schema["anyOf"]]
        return None if None in found else f"{path}: {value!r} is none of {schema['anyOf']}"
    if "enum" in schema:
        return None if value in schema["enum"] else f"{path}: {value!r} is not in {schema['enum']}"
    kinds = schema.get("type", list(TYPES))
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if not any(type(value) in TYPES[kind] for kind in kinds):
        return f"{path}: {value!r} is not {kinds}"
    if isinstance(value, list):
        found = [mismatch(each, schema["items"], schemas, f"{path}[{n}]") for n, each in enumerate(value)]
        return next((each for each in found if each), None)
    if isinstance(value, dict):
        missing = set(schema.get("required", ())) - set(value)
        unknown = set(value) - set(schema.get("properties", {}))
        if missing or unknown:
            return f"{path}: missing {missing}, unknown {unknown}"
        found = [mismatch(each, schema["properties"][key], schemas, f"{path}.{key}") for key, each in value.items()]
        return next((each for each in found if each), None)
    return None


def a_full_world() -> World:
    """Something of everything."""
    world = World(spec("red", {1: (1, 1), 2: (2, 1, 20), 3: (3, 1)}),
                  settings=Settings(links=(NamedLink((1, 8), (2, 8)), NamedLink((1, "x"), (9, 1))), grace=0.0,
                                    databases=("unix:/db",)))
    world.hv.tenants.update(("red", "none"))
    world.add_switches(1, 2)
    world.pass_time(1.0)
    EndDatabase(world, "unix:/db", Contents([Vif("x", 5)], fail_mode=None)).connect()
    world.hv.drains.begin((1, "red"), False)
    controller = Controller(world, "red")
    controller.send(build.group_mod(8, of13.OFPGC_ADD, of13.OFPGT_ALL, 5, bucket(actions.output(1))))
    controller.send(meter_mod(7, 100))
    controller.send(build.flow_mod(9, of13.OFPFC_ADD, table_id=0, priority=5, match_tlvs=b"", cookie=0xABC,
                                   instructions=build_instructions(Instructions(apply=actions.group(5)))))
    world.run()
    return world


def test_every_page_that_is_read_has_the_described_form() -> None:
    client = Client(a_full_world())
    page = client.get("/openapi.json")
    schemas = page["components"]["schemas"]
    seen = 0
    for path, operations in page["paths"].items():
        if "get" not in operations or "application/json" not in operations["get"]["responses"]["200"]["content"]:
            continue
        for name, value in (("name", "red"), ("dpid", "0x1"), ("number", "2"), ("source", "0x1"),
                            ("destination", "0x2")):
            path = path.replace(f"{{{name}}}", value)
        schema = operations["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        answer = client.get(path)
        assert mismatch(answer, schema, schemas) is None, path
        assert answer, f"{path}: nothing there to be looked at"
        seen += 1
    assert seen == 1 + sum(route.method == "GET" and not route.binary for route in Api.ROUTES)


def test_every_order_is_described_with_its_body_and_its_refusals() -> None:
    page = document("1.0")
    for route in Api.ROUTES:
        operation = page["paths"][route.path.replace("<", "{").replace(">", "}")][route.method.lower()]
        assert operation["summary"] and {str(status) for status in route.statuses} <= set(operation["responses"])
        if route.takes is not None:
            assert {"400", "409", "413", "415"} <= set(operation["responses"])
            schema = operation["requestBody"]["content"]["application/json"]["schema"]
            assert schema["$ref"].endswith(("Spec", "Config"))
    assert page["openapi"] == "3.1.0" and page["info"]["version"] == "1.0"


def test_every_reference_leads_somewhere_and_every_operation_has_its_own_id() -> None:
    page = document("1.0")
    ids = [operation["operationId"] for operations in page["paths"].values() for operation in operations.values()
           if "operationId" in operation]
    assert len(ids) == len(set(ids)) == len(Api.ROUTES)

    def references(part: Any) -> list[str]:
        if isinstance(part, dict):
            own = [part["$ref"]] if "$ref" in part else []
            return own + [each for value in part.values() for each in references(value)]
        return [each for value in part for each in references(value)] if isinstance(part, list) else []

    found = set(references(page))
    assert found and all(each.removeprefix("#/components/schemas/") in page["components"]["schemas"] for each in found)


def test_a_trace_has_the_described_form() -> None:
    client = Client(a_full_world())
    schemas = document("1.0")["components"]["schemas"]
    for frame in ("arp,dl_vlan=5", "tcp"):
        answer = client.ask("POST", "/v1/logical-switches/red/trace", {"port": 1, "frame": frame}).json
        assert answer["physical"]["hops"] and mismatch(answer, schemas["Trace"], schemas) is None
    answer = client.ask("POST", "/v1/logical-switches/red/trace", {"port": "red3", "frame": "arp"}).json
    assert answer["physical"] is None and mismatch(answer, schemas["Trace"], schemas) is None


def test_a_refusal_has_the_described_form() -> None:
    client = Client(a_full_world())
    schemas = document("1.0")["components"]["schemas"]
    for reply in (client.ask("POST", "/v1/tenants", {}), client.ask("POST", "/v1/tenants", {"name": "red"}),
                  client.ask("GET", "/v1/tenants/x"), client.ask("PUT", "/v1/tenants"), client.ask("GET", "/x")):
        assert reply.status >= 400 and mismatch(reply.json, schemas["Error"], schemas) is None
