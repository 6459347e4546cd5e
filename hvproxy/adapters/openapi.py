"""The OpenAPI description of the HTTP API, made from its routes and from the objects it takes."""
from __future__ import annotations

from typing import Any

from hvproxy.adapters.api import Api, Route
from hvproxy.config import Config
from hvproxy.hypervisor.drain_orders import DrainSpec
from hvproxy.hypervisor.snapshots import CloneSpec
from hvproxy.hypervisor.tracing import TraceSpec
from hvproxy.model.intent import LogicalSwitchSpec, PortSpec, TenantSpec
from hvproxy.model.schema import json_schemas
from hvproxy.trace.steps import Kind

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_NUMBER: Schema = {"type": "integer"}
_TEXTS: Schema = {"type": "array", "items": _TEXT}
_DPID: Schema = {"type": "string", "pattern": "^[0-9a-f]{16}$"}
_HEXADECIMAL: Schema = {"type": "string", "pattern": "^0x[0-9a-f]+$"}
_BYTES: Schema = {"type": "string", "pattern": "^([0-9a-f]{2})+$"}
_UP: Schema = {"enum": ["up", "down"]}
_TUNNEL: Schema = {"enum": ["gre", "vxlan", "geneve"]}
_FILE = "application/octet-stream"
_MISTAKE = "what is wrong, and at which key of the body"


def _nullable(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _object(**properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": sorted(properties)}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _list(schema: Schema) -> Schema:
    return {"type": "array", "items": schema}


_DATAPATH: dict[str, Schema] = {
    "dpid": _DPID,
    "state": {"enum": ["lost", "absent", "reading", "settling", "ready"]},
    "role": {"enum": ["edge", "transit", "none"]},
    "address": _nullable(_TEXT),
    "description": _nullable(_TEXT),
    "ports": _NUMBER,
    "rules": _NUMBER,
    "groups": _NUMBER,
    "settings": _TEXTS,
    "missing": _TEXTS,
}
_EXPLAINED: dict[str, Schema] = {
    "tenant": _nullable(_TEXT),
    "logical_switch": _nullable(_TEXT),
    "packets": _nullable(_NUMBER),
    "bytes": _nullable(_NUMBER),
    "names": _TEXTS,
    "why": _TEXT,
}
"""Of a rule or group of a physical switch."""
_COUNTS = _object(packets=_NUMBER, bytes=_NUMBER)
_HELD: dict[str, Schema] = {
    "packets": _NUMBER,
    "bytes": _NUMBER,
    "references": _NUMBER,
    "duration": {"type": "number"},
    "datapaths": _list(_DPID),
}
"""Of a group or meter of a tenant."""
_LINK_END = _object(dpid=_DPID, port={"type": ["integer", "string"]})


def _answers(specs: Schema) -> dict[str, Schema]:
    """The schemas of what is answered and is not just what was written."""
    switch, port = specs["LogicalSwitchSpec"], specs["PortSpec"]
    controller = _object(address=_TEXT, state={"enum": ["connected", "connecting", "waiting"]},
                         role=_nullable({"enum": ["equal", "master", "slave"]}), dialled={"type": "boolean"})
    state = _object(controllers=_list(controller), ports_up=_NUMBER, entries=_NUMBER, groups=_NUMBER,
                    meters=_NUMBER)
    return {
        "Datapath": _object(**_DATAPATH),
        "DatapathDetails": _object(**_DATAPATH, confirmed={"type": "boolean"}, port_list=_list(_object(
            number=_NUMBER, name=_TEXT, hw_addr=_TEXT, state=_UP, use={"enum": ["access", "fabric", "none"]},
            bound=_TEXTS))),
        "Rule": _object(
            table=_NUMBER, priority=_NUMBER, cookie=_HEXADECIMAL, match=_TEXT, instructions=_TEXT,
            entry=_nullable(_NUMBER), tenant_cookie=_nullable(_HEXADECIMAL), tenant_table=_nullable(_NUMBER),
            tenant_priority=_nullable(_NUMBER), tenant_match=_nullable(_TEXT), **_EXPLAINED),
        "RuleGroup": _object(group_id=_HEXADECIMAL, type=_TEXT, buckets=_TEXTS, **_EXPLAINED),
        "Audit": _object(dpid=_DPID, repaired=_NUMBER, foreign=_NUMBER, drift=_list(_object(
            kind={"enum": ["missing", "changed", "extra", "foreign"]}, what=_TEXT, why=_TEXT,
            logical_switch=_nullable(_TEXT), tenant=_nullable(_TEXT)))),
        "Drain": _object(
            dpid=_DPID, logical_switch=_nullable(_TEXT), force={"type": "boolean"},
            state={"enum": ["draining", "stuck", "drained"]}, text=_TEXTS,
            paths=_list(_object(**{"from": _DPID, "to": _DPID})),
            **{each: _list(_object(logical_switch=_TEXT, number=_NUMBER, name=_TEXT, port_no=_nullable(_NUMBER)))
               for each in ("staying", "moving", "down")}),
        "Database": _object(
            address=_TEXT, state={"enum": ["connected", "connecting", "lost"]}, fault=_nullable(_TEXT),
            bridges=_list(_object(name=_TEXT, dpid=_nullable(_DPID), ours={"type": "boolean"}, settings=_list(
                _object(name=_TEXT, has=_TEXT, needs=_TEXT)))),
            vifs=_list(_object(
                iface_id=_TEXT, dpid=_DPID, port_no=_NUMBER, interface=_TEXT, mac=_nullable(_TEXT),
                admin=_nullable(_TEXT), link=_nullable(_TEXT), active={"type": "boolean"},
                counts={"type": "boolean"}, bound=_TEXTS))),
        "Link": _object(a=_LINK_END, b=_LINK_END, source={"enum": ["configured", "discovered", "made"]},
                        kind={"enum": ["vlan", *_TUNNEL["enum"]]}, state={"enum": ["up", "down", "silent"]},
                        speed=_nullable(_NUMBER)),
        "Fabric": _object(
            edges=_list(_object(dpid=_DPID, endpoint=_nullable(_TEXT), logical_switches=_TEXTS)),
            endpoints=_list(_object(dpid=_DPID, address=_TEXT)),
            overlapping=_list(_object(address=_TEXT, dpids=_list(_DPID))),
            links=_list(_ref("Link")),
            tunnels=_list(_object(
                dpids=_list(_DPID), kind=_TUNNEL, state={"enum": ["up", "down", "missing"]}, ends=_list(_object(
                    dpid=_DPID, name=_TEXT, address=_TEXT, port_no=_nullable(_NUMBER), error=_nullable(_TEXT))))),
            labels=_list(_object(kind={"enum": ["vlan", "tunnel"]}, used=_NUMBER, free=_NUMBER, size=_NUMBER))),
        "Hop": _object(**{"from": _LINK_END, "to": _LINK_END, "kind": {"enum": ["vlan", *_TUNNEL["enum"]]},
                          "backup_port": _nullable(_NUMBER)}),
        "LogicalSwitch": {**switch, "title": "LogicalSwitch",
                          "properties": {**switch["properties"], "entries": _NUMBER, "state": state}},
        "Port": {**port, "title": "Port", "properties": {
            **port["properties"], "hw_addr": _TEXT, "state": _UP, "why_down": _nullable(_TEXT),
            "config": _list({"enum": ["PORT_DOWN", "NO_RECV", "NO_FWD", "NO_PACKET_IN"]}),
            "datapath": _nullable(_DPID), "port_no": _nullable(_NUMBER), "mtu": _nullable(_NUMBER),
            "mtu_advice": _nullable(_TEXT)}},
        "Flow": _object(
            table_id=_NUMBER, priority=_NUMBER, cookie=_HEXADECIMAL, match=_TEXT, instructions=_TEXT, packets=_NUMBER,
            bytes=_NUMBER, duration={"type": "number"}, idle_timeout=_NUMBER, hard_timeout=_NUMBER, entry=_NUMBER,
            datapaths=_list(_DPID)),
        "TenantGroup": _object(group_id=_NUMBER, type=_TEXT, buckets=_TEXTS, bucket_counts=_list(_COUNTS), **_HELD),
        "Meter": _object(meter_id=_NUMBER, unit={"enum": ["kbps", "pktps"]}, bands=_TEXTS, band_counts=_list(_COUNTS),
                         **_HELD),
        "Outcome": _object(restart=_TEXTS, changes=_list(_object(
            kind={"enum": ["links", "setting", "tenant", "logical switch"]}, name=_TEXT,
            action={"enum": ["create", "change", "rebuild", "delete"]}, changes=_TEXTS))),
        "RolledBack": _object(entries=_NUMBER, groups=_NUMBER, meters=_NUMBER, ports=_NUMBER),
        "Trace": _trace(),
        "Readiness": _object(ready={"type": "boolean"}, reasons=_TEXTS),
        "Error": {
            "type": "object",
            "properties": {"error": _TEXT, "path": _TEXT, "mistakes": _list(_object(path=_TEXT, error=_TEXT))},
            "required": ["error", "path"],
        },
    }


def _trace() -> Schema:
    """What becomes of a frame: steps in the order in which they happen, each with a sentence of its own."""
    step = _object(
        depth=_NUMBER, kind={"enum": [kind.value for kind in Kind]}, text=_TEXT, why=_nullable(_TEXT),
        cookie=_nullable(_HEXADECIMAL), logical_switch=_nullable(_TEXT),
        **{name: _nullable(_NUMBER) for name in ("table", "priority", "entry", "group", "bucket", "port")},
        **{name: _nullable(_TEXT) for name in ("match", "instructions")})
    out = _list(_object(logical_switch=_TEXT, port=_NUMBER, name=_TEXT, frame=_BYTES, changes=_TEXTS))
    packet_ins = _list(_object(logical_switch=_TEXT, in_port=_NUMBER, table=_NUMBER, cookie=_HEXADECIMAL,
                               metadata=_HEXADECIMAL, frame=_BYTES))
    label = _nullable(_object(vlan=_nullable(_NUMBER), key=_nullable(_NUMBER), means=_TEXT))
    sent = _object(port=_NUMBER, name=_TEXT, frame=_BYTES, label=label, to=_nullable(_object(dpid=_DPID, port=_NUMBER)),
                   delivers=_nullable(_TEXT), text=_TEXT)
    hop = _object(datapath=_DPID, in_port=_NUMBER, in_port_name=_TEXT, label=label, frame=_BYTES, steps=_list(step),
                  sent=_list(sent))
    return _object(
        logical_switch=_TEXT, port=_NUMBER, name=_TEXT, frame=_BYTES, fields=_TEXT,
        logical=_object(steps=_list(step), out=out, packet_ins=packet_ins),
        beyond=_list(_object(logical_switch=_TEXT, port=_NUMBER, name=_TEXT, steps=_list(step), out=out,
                             packet_ins=packet_ins)),
        physical=_nullable(_object(hops=_list(hop), out=out, packet_ins=packet_ins)),
        agree={"type": ["boolean", "null"]}, differences=_TEXTS, notes=_TEXTS)


def document(version: str) -> Schema:
    """The whole description (OpenAPI 3.1)."""
    specs = json_schemas([Config, TenantSpec, LogicalSwitchSpec, PortSpec, TraceSpec, CloneSpec, DrainSpec])
    paths: dict[str, Schema] = {
        "/healthz": {"get": _plain_page("Whether the process answers.")},
        "/readyz": {"get": {
            "summary": "Whether the store works, every switch is known and all controllers have been dialled.",
            "responses": {"200": _json("ready", _ref("Readiness")), "503": _json("not yet", _ref("Readiness"))},
        }},
        "/metrics": {"get": _plain_page("Metrics in the text format of Prometheus.")},
    }
    for route in Api.ROUTES:
        path = route.path.replace("<", "{").replace(">", "}")
        paths.setdefault(path, {})[route.method.lower()] = _operation(route, path)
    return {
        "openapi": "3.1.0",
        "info": {"title": "hvproxy", "version": version, "license": {"name": "Apache-2.0"},
                 "description": "A network hypervisor: tenants' logical switches over shared OpenFlow switches."},
        "paths": paths,
        "components": {"schemas": {**specs, **_answers(specs)}},
    }


def _operation(route: Route, path: str) -> Schema:
    summary, _, more = " ".join((route.handler.__doc__ or "").split()).partition(". ")
    operation: Schema = {
        "operationId": route.handler.__name__,
        "summary": summary.rstrip("."),
        "responses": {str(status): _answer(route, status) for status in route.statuses},
    }
    if more:
        operation["description"] = more
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    if names:
        operation["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": _TEXT} for name in names]
        operation["responses"]["404"] = _json("there is no such thing", _ref("Error"))
    if route.binary and route.method == "POST":
        operation["requestBody"] = {"required": True, "content": {_FILE: {}}}
        for status, what in (("400", "no snapshot, or a damaged one"), ("413", "more than 128 MiB"),
                             ("415", f"not {_FILE}")):
            operation["responses"][status] = _json(what, _ref("Error"))
    if route.takes is None and route.method == "POST":
        operation["responses"]["409"] = _json("it cannot be done as things are", _ref("Error"))
    if route.takes is not None:
        operation["requestBody"] = {
            "required": True, "content": {"application/json": {"schema": _ref(route.takes.__name__)}}}
        for status, what in (("400", _MISTAKE), ("409", "it contradicts what exists"), ("413", "more than 1 MiB"),
                             ("415", "not application/json"), ("507", "identifiers have run out")):
            operation["responses"][status] = _json(what, _ref("Error"))
    if route.changes:
        operation["responses"]["503"] = _json("carried out, and not stored: the store has failed", _ref("Error"))
    return operation


def _answer(route: Route, status: int) -> Schema:
    if route.binary and route.method == "GET":
        return {"description": "good", "content": {_FILE: {}}}
    if not route.answers:
        return {"description": "done"}
    name = route.answers.removesuffix("[]")
    answer = _json("created" if status == 201 else "good", _list(_ref(name)) if name != route.answers else _ref(name))
    if status == 201:
        answer["headers"] = {"Location": {"schema": _TEXT}}
    return answer


def _json(description: str, schema: Schema) -> Schema:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _plain_page(summary: str) -> Schema:
    return {"summary": summary, "responses": {"200": {"description": "good", "content": {"text/plain": {}}}}}
