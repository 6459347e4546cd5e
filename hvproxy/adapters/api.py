"""The HTTP API under /v1 as calls and answers: what can be asked and ordered, and with which objects.

Bodies are the objects of the configuration file, checked as that is. Routing, headers and bytes are http's business;
what is possible is the core's to say.
"""
from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import msgspec
from twisted.internet.defer import Deferred

from hvproxy import config as configuration
from hvproxy.adapters.carrying import Carrying, unhindered
from hvproxy.adapters.configuring import Configuring
from hvproxy.config import Config
from hvproxy.errors import Conflict, ModelError, NotFound
from hvproxy.hypervisor import (
    audit_report, database_report, drain_orders, fabric_report, intent, replacing, report, rule_report, snapshots,
    tenants, trace_report,
)
from hvproxy.hypervisor.drain_orders import DrainSpec
from hvproxy.hypervisor.hypervisor import Hypervisor
from hvproxy.hypervisor.snapshots import CloneSpec
from hvproxy.hypervisor.tracing import TraceSpec
from hvproxy.model.intent import LAST_LPORT, LOCAL, LogicalSwitchSpec, PortSpec, TenantSpec, parse
from hvproxy.model.schema import parse_dpid
from hvproxy.model import snapshot as snapshot_file
from hvproxy.model.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call is answered with; `body` goes out as JSON, or as it is if it is bytes."""

    status: int = 200
    body: object = None
    headers: Mapping[str, str] = field(default_factory=dict)


Handler = Callable[..., Coroutine[Deferred[Any], Any, Answer]]
"""(Api, decoded body or None, **parts of the path) -> Answer."""


@dataclass(frozen=True, slots=True)
class Route:
    """One call that the API takes."""

    method: str
    path: str
    """As werkzeug writes it: /v1/tenants/<name>."""
    handler: Handler
    takes: type[msgspec.Struct] | None = None
    """What the body is."""
    answers: str = ""
    """The name of the schema of what it answers (openapi); "[]" behind it: a list."""
    statuses: tuple[int, ...] = (200,)
    binary: bool = False
    """It takes (POST) or answers (GET) bytes."""
    asks: bool = False
    """It changes nothing, although it is no GET."""

    @property
    def changes(self) -> bool:
        """It may change something, and is answered when that is stored."""
        return self.method != "GET" and not self.asks


class Api:
    """The calls. Each speaks to the core and then has its commands carried out."""

    ROUTES: ClassVar[tuple[Route, ...]]

    def __init__(self, carrying: Carrying, configuring: Configuring) -> None:
        self._carrying = carrying
        self._configuring = configuring

    @property
    def _hv(self) -> Hypervisor:
        return self._carrying.hv

    async def stored(self) -> None:
        """Wait until what was ordered is stored. Raises NotStored."""
        await self._carrying.stored()

    # The configuration as a whole

    async def put_configuration(self, body: object) -> Answer:
        """Apply a whole configuration file, as JSON: the difference only. What only an earlier one named is deleted;
        what the API made stays. Answered when the switches have confirmed what was taken away."""
        return Answer(body=(await self._configuring.apply(configuration.read_object(body))).plain())

    async def post_plan(self, body: object) -> Answer:
        """What applying a configuration would change. Changes nothing."""
        return Answer(body=self._configuring.plan(configuration.read_object(body)).plain())

    # The fabric

    async def list_datapaths(self, body: object) -> Answer:
        """The physical switches, configured or seen."""
        return Answer(body=report.datapaths(self._hv))

    async def get_datapath(self, body: object, dpid: str) -> Answer:
        """One physical switch with its ports."""
        return Answer(body=report.datapath(self._hv, _dpid(dpid)))

    async def list_rules(self, body: object, dpid: str) -> Answer:
        """Every rule that a physical switch is to hold, whose it is, why it is there and what it counted."""
        rows: Deferred[list[report.Row]] = Deferred()
        self._carrying.carry_out(lambda now: rule_report.rules(self._hv, _dpid(dpid), rows.callback, now))
        return Answer(body=await rows)

    async def list_rule_groups(self, body: object, dpid: str) -> Answer:
        """Every group that a physical switch is to hold, whose it is, why it is there and what it counted."""
        rows: Deferred[list[report.Row]] = Deferred()
        self._carrying.carry_out(lambda now: rule_report.groups(self._hv, _dpid(dpid), rows.callback, now))
        return Answer(body=await rows)

    async def post_audit(self, body: object, dpid: str) -> Answer:
        """Compare what a physical switch holds with what it should, and put right what differs; answered with what
        was found."""
        found: Deferred[report.Row | None] = Deferred()
        self._carrying.carry_out(lambda now: audit_report.audit(self._hv, _dpid(dpid), found.callback, now))
        row = await found
        if row is None:
            raise Conflict("", "the session of the switch ended meanwhile; ask again when it is ready")
        return Answer(body=row)

    async def list_drains(self, body: object, dpid: str) -> Answer:
        """How far the drains of a physical switch are, and what stays on it."""
        return Answer(body=drain_orders.drains(self._hv, _dpid(dpid)))

    async def post_drain(self, body: object, dpid: str) -> Answer:
        """Have all logical switches, or one, leave a physical switch, so that it can be taken away without loss. Ports
        with another place move there, paths lead round it; what cannot leave is told, and stays unless it is forced.
        Answered when that has begun; it is in force, also after a restart, until it is deleted."""
        spec = parse(DrainSpec, body)
        key = self._carrying.carry_out(lambda now: drain_orders.begin(self._hv, _dpid(dpid), spec, now))
        return Answer(body=drain_orders.drain(self._hv, key))

    async def delete_drains(self, body: object, dpid: str) -> Answer:
        """Have a physical switch used again by all logical switches."""
        self._carrying.carry_out(lambda now: drain_orders.end(self._hv, _dpid(dpid), None, now))
        return Answer(204)

    async def delete_drain(self, body: object, dpid: str, name: str) -> Answer:
        """Have a physical switch used again by one logical switch."""
        self._carrying.carry_out(lambda now: drain_orders.end(self._hv, _dpid(dpid), name, now))
        return Answer(204)

    async def list_links(self, body: object) -> Answer:
        """The links between physical switches: the configured ones and those found."""
        return Answer(body=report.links(self._hv))

    async def get_fabric(self, body: object) -> Answer:
        """Edges, links, tunnels and labels."""
        return Answer(body=fabric_report.fabric(self._hv))

    async def get_path(self, body: object, source: str, destination: str) -> Answer:
        """The links between two physical switches that frames cross while nothing fails."""
        return Answer(body=fabric_report.path(self._hv, _dpid(source), _dpid(destination)))

    async def list_databases(self, body: object) -> Answer:
        """The databases of the switches: their connections, and the bridges and VIFs they tell of."""
        return Answer(body=database_report.databases(self._hv))

    # Tenants

    async def list_tenants(self, body: object) -> Answer:
        """The tenants with their logical switches."""
        return Answer(body=report.tenants(self._hv))

    async def get_tenant(self, body: object, name: str) -> Answer:
        """One tenant with its logical switches."""
        return Answer(body=report.tenant(self._hv, name))

    async def post_tenant(self, body: object) -> Answer:
        """Create a tenant, with its logical switches if it has any."""
        spec = parse(TenantSpec, body)
        self._carrying.check(spec.logical_switches, tenants.IN_TENANT)
        self._carrying.carry_out(lambda now: tenants.create_tenant(self._hv, spec, now))
        return self._made(f"/v1/tenants/{spec.name}", report.tenant(self._hv, spec.name))

    async def put_tenant(self, body: object, name: str) -> Answer:
        """Create a tenant, or make it have just these logical switches."""
        spec = parse(TenantSpec, _named(body, "name", name))
        _agree("name", spec.name, name)
        if name not in self._hv.tenants:
            return await self.post_tenant(body=_named(body, "name", name))
        self._carrying.check(spec.logical_switches, tenants.IN_TENANT)
        await unhindered(self._carrying.replace(tenants.plan_tenant(self._hv, spec)))
        return Answer(body=report.tenant(self._hv, name))

    async def delete_tenant(self, body: object, name: str) -> Answer:
        """Delete a tenant and its logical switches; answered when no physical switch holds anything of them."""
        await self._carrying.confirmed(lambda done, now: tenants.delete_tenant(self._hv, name, done, now))
        return Answer(204)

    # Logical switches

    async def list_logical_switches(self, body: object) -> Answer:
        """The logical switches of all tenants, with their state."""
        return Answer(body=report.logical_switches(self._hv))

    async def get_logical_switch(self, body: object, name: str) -> Answer:
        """One logical switch with its state."""
        return Answer(body=report.logical_switch(self._hv, name))

    async def post_logical_switch(self, body: object) -> Answer:
        """Create a logical switch of a tenant that exists."""
        spec = parse(LogicalSwitchSpec, _without_state(body))
        self._carrying.check([spec])
        self._carrying.carry_out(lambda now: tenants.create_logical_switch(self._hv, spec, now))
        return self._made(f"/v1/logical-switches/{spec.name}", report.logical_switch(self._hv, spec.name))

    async def put_logical_switch(self, body: object, name: str) -> Answer:
        """Create or replace a logical switch. It keeps its entries unless its datapath_id, protocols, tables or tls
        change: those make another switch of it, which begins empty."""
        existing = self._hv.logical_switches.get(name)
        spec = parse(LogicalSwitchSpec, _named(_without_state(body), "name", name),
                     tenant="" if existing is None else existing.spec.tenant)
        _agree("name", spec.name, name)
        self._carrying.check([spec])
        tenants.check_tenant(self._hv, spec)
        await unhindered(self._carrying.replace(replacing.plan(self._hv, [spec], () if existing is None else [name])))
        body = report.logical_switch(self._hv, name)
        return self._made(f"/v1/logical-switches/{name}", body) if existing is None else Answer(body=body)

    async def delete_logical_switch(self, body: object, name: str) -> Answer:
        """Delete a logical switch; answered when no physical switch holds anything of it."""
        await self._carrying.confirmed(lambda done, now: intent.delete_logical_switch(self._hv, name, done, now))
        return Answer(204)

    # What is in a logical switch

    async def get_snapshot(self, body: object, name: str) -> Answer:
        """What tenants have set of a logical switch and what it has counted, as a file that it can go back to."""
        taken: Deferred[Snapshot] = Deferred()
        self._carrying.carry_out(lambda now: snapshots.take(self._hv, name, taken.callback, now))
        return Answer(body=snapshot_file.encode(await taken))

    async def post_rollback(self, body: object, name: str) -> Answer:
        """Make a logical switch what a snapshot says: the difference only, all or nothing, of which tenants are told
        as of what a controller does. Answered when the switches have confirmed it."""
        assert isinstance(body, bytes)
        snapshot = snapshot_file.decode(body)
        intent.logical_switch(self._hv, name)
        return Answer(body=await self._rolled_back(
            lambda done, failed, now: snapshots.roll_back(self._hv, name, snapshot, done, failed, now)))

    async def post_clone(self, body: object, name: str) -> Answer:
        """Make another logical switch like one that exists: its tables and ports, attached to nothing, counters at
        zero."""
        spec = snapshots.clone_spec(self._hv, name, parse(CloneSpec, body))
        taken: Deferred[Snapshot] = Deferred()
        self._carrying.carry_out(lambda now: snapshots.take(self._hv, name, taken.callback, now))
        snapshot = await taken
        await self._rolled_back(
            lambda done, failed, now: snapshots.clone(self._hv, spec, snapshot, done, failed, now))
        return self._made(f"/v1/logical-switches/{spec.name}", report.logical_switch(self._hv, spec.name))

    async def _rolled_back(self, call: Callable[[snapshots.Done, snapshots.Failed, float], None]) -> dict[str, int]:
        changed: Deferred[dict[str, int]] = Deferred()
        self._carrying.carry_out(lambda now: call(changed.callback, changed.errback, now))
        return await changed

    async def list_ports(self, body: object, name: str) -> Answer:
        """The ports of a logical switch, and what keeps those that are down from being up."""
        return Answer(body=report.ports(self._hv, name))

    async def get_port(self, body: object, name: str, number: str) -> Answer:
        """One port of a logical switch."""
        return Answer(body=report.port(self._hv, name, _number(number)))

    async def post_port(self, body: object, name: str) -> Answer:
        """Create a port."""
        ls = intent.logical_switch(self._hv, name)
        spec = parse(PortSpec, _without(body, report.STATE_OF_PORT))
        if spec.number in ls.ports:
            raise Conflict("number", f"logical switch {name} has a port {spec.number} already")
        return self._put_port(name, spec)

    async def put_port(self, body: object, name: str, number: str) -> Answer:
        """Create a port, or bind or rename it."""
        intent.logical_switch(self._hv, name)
        named = number if _number(number) == LOCAL else _number(number)
        spec = parse(PortSpec, _named(_without(body, report.STATE_OF_PORT), "number", named))
        _agree("number", spec.number, _number(number))
        return self._put_port(name, spec)

    def _put_port(self, name: str, spec: PortSpec) -> Answer:
        created = self._carrying.carry_out(lambda now: intent.put_port(self._hv, name, spec, now))
        body = report.port(self._hv, name, spec.number)
        return self._made(f"/v1/logical-switches/{name}/ports/{body['number']}", body) if created else Answer(body=body)

    async def delete_port(self, body: object, name: str, number: str) -> Answer:
        """Delete a port; answered when no physical switch holds anything of it."""
        await self._carrying.confirmed(lambda done, now: intent.delete_port(self._hv, name, _number(number), done, now))
        return Answer(204)

    async def list_flows(self, body: object, name: str) -> Answer:
        """The entries that controllers installed in a logical switch; their counters are asked of the switches."""
        rows: Deferred[list[report.Row]] = Deferred()
        self._carrying.carry_out(lambda now: report.flows(self._hv, name, rows.callback, now))
        return Answer(body=await rows)

    async def list_groups(self, body: object, name: str) -> Answer:
        """The groups that controllers installed in a logical switch; their counters are asked of the switches."""
        rows: Deferred[list[report.Row]] = Deferred()
        self._carrying.carry_out(lambda now: report.groups(self._hv, name, rows.callback, now))
        return Answer(body=await rows)

    async def list_meters(self, body: object, name: str) -> Answer:
        """The meters that controllers installed in a logical switch; their counters are asked of the switches."""
        rows: Deferred[list[report.Row]] = Deferred()
        self._carrying.carry_out(lambda now: report.meters(self._hv, name, rows.callback, now))
        return Answer(body=await rows)

    async def post_trace(self, body: object, name: str) -> Answer:
        """What a logical switch does with a frame that arrives at a port, and how the fabric carries it out. Sends
        nothing and changes nothing."""
        intent.logical_switch(self._hv, name)
        return Answer(body=trace_report.report(self._hv, name, parse(TraceSpec, body)))

    # How it is done

    @staticmethod
    def _made(location: str, body: object) -> Answer:
        return Answer(201, body, {"Location": location})


def _dpid(text: str) -> int:
    try:
        return parse_dpid(text)
    except ValueError as error:
        raise NotFound("", str(error)) from error


def _number(text: str) -> int:
    if text == "LOCAL":
        return LOCAL
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= LAST_LPORT):
        raise NotFound("", f"{text!r} is not a port number from 1 to {LAST_LPORT}, nor LOCAL")
    return int(text)


def _named(body: object, key: str, value: object) -> object:
    """The path of a PUT says already what it is about."""
    return {**body, key: body.get(key, value)} if isinstance(body, Mapping) else body


def _agree(key: str, said: object, path: object) -> None:
    if said != path:
        raise ModelError(key, f"{said!r} is not {path!r}, which the path says")


def _without(body: object, keys: frozenset[str]) -> object:
    """The operator's part of an object that came out of the API: what was read can be written back."""
    return {key: value for key, value in body.items() if key not in keys} if isinstance(body, Mapping) else body


def _without_state(body: object) -> object:
    return _without(body, report.STATE_OF_LOGICAL_SWITCH)


_LS = "/v1/logical-switches/<name>"
Api.ROUTES = (
    Route("PUT", "/v1/configuration", Api.put_configuration, Config, "Outcome"),
    Route("POST", "/v1/configuration/plan", Api.post_plan, Config, "Outcome", asks=True),
    Route("GET", "/v1/datapaths", Api.list_datapaths, answers="Datapath[]"),
    Route("GET", "/v1/datapaths/<dpid>", Api.get_datapath, answers="DatapathDetails"),
    Route("GET", "/v1/datapaths/<dpid>/rules", Api.list_rules, answers="Rule[]"),
    Route("GET", "/v1/datapaths/<dpid>/groups", Api.list_rule_groups, answers="RuleGroup[]"),
    Route("POST", "/v1/datapaths/<dpid>/audit", Api.post_audit, answers="Audit", asks=True),
    Route("GET", "/v1/datapaths/<dpid>/drain", Api.list_drains, answers="Drain[]"),
    Route("POST", "/v1/datapaths/<dpid>/drain", Api.post_drain, DrainSpec, "Drain"),
    Route("DELETE", "/v1/datapaths/<dpid>/drain", Api.delete_drains, statuses=(204,)),
    Route("DELETE", "/v1/datapaths/<dpid>/drain/<name>", Api.delete_drain, statuses=(204,)),
    Route("GET", "/v1/links", Api.list_links, answers="Link[]"),
    Route("GET", "/v1/fabric", Api.get_fabric, answers="Fabric"),
    Route("GET", "/v1/fabric/paths/<source>/<destination>", Api.get_path, answers="Hop[]"),
    Route("GET", "/v1/databases", Api.list_databases, answers="Database[]"),
    Route("GET", "/v1/tenants", Api.list_tenants, answers="TenantSpec[]"),
    Route("POST", "/v1/tenants", Api.post_tenant, TenantSpec, "TenantSpec", (201,)),
    Route("GET", "/v1/tenants/<name>", Api.get_tenant, answers="TenantSpec"),
    Route("PUT", "/v1/tenants/<name>", Api.put_tenant, TenantSpec, "TenantSpec", (200, 201)),
    Route("DELETE", "/v1/tenants/<name>", Api.delete_tenant, statuses=(204,)),
    Route("GET", "/v1/logical-switches", Api.list_logical_switches, answers="LogicalSwitch[]"),
    Route("POST", "/v1/logical-switches", Api.post_logical_switch, LogicalSwitchSpec, "LogicalSwitch", (201,)),
    Route("GET", _LS, Api.get_logical_switch, answers="LogicalSwitch"),
    Route("PUT", _LS, Api.put_logical_switch, LogicalSwitchSpec, "LogicalSwitch", (200, 201)),
    Route("DELETE", _LS, Api.delete_logical_switch, statuses=(204,)),
    Route("GET", f"{_LS}/ports", Api.list_ports, answers="Port[]"),
    Route("POST", f"{_LS}/ports", Api.post_port, PortSpec, "Port", (201,)),
    Route("GET", f"{_LS}/ports/<number>", Api.get_port, answers="Port"),
    Route("PUT", f"{_LS}/ports/<number>", Api.put_port, PortSpec, "Port", (200, 201)),
    Route("DELETE", f"{_LS}/ports/<number>", Api.delete_port, statuses=(204,)),
    Route("GET", f"{_LS}/flows", Api.list_flows, answers="Flow[]"),
    Route("GET", f"{_LS}/groups", Api.list_groups, answers="TenantGroup[]"),
    Route("GET", f"{_LS}/meters", Api.list_meters, answers="Meter[]"),
    Route("GET", f"{_LS}/snapshot", Api.get_snapshot, binary=True),
    Route("POST", f"{_LS}/rollback", Api.post_rollback, answers="RolledBack", binary=True),
    Route("POST", f"{_LS}/clone", Api.post_clone, CloneSpec, "LogicalSwitch", (201,)),
    Route("POST", f"{_LS}/trace", Api.post_trace, TraceSpec, "Trace", asks=True),
)
