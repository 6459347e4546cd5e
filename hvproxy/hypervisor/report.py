"""What exists and how it is, as plain objects: what the HTTP API and the command line show.

Only reads. Datapath ids are 16 hexadecimal digits, cookies are hexadecimal text (JSON's numbers end at 2**53), what
the operator wrote stands as he would write it again.
"""
from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import TypeAlias

import msgspec

from hvproxy.errors import NotFound
from hvproxy.hypervisor import group_counters, metering
from hvproxy.hypervisor.controller_session import ControllerSession
from hvproxy.hypervisor.datapath import Datapath
from hvproxy.hypervisor.datapath_state import State
from hvproxy.hypervisor.hypervisor import Hypervisor
from hvproxy.hypervisor.intent import logical_switch as find
from hvproxy.hypervisor.logical_port import LogicalPort
from hvproxy.hypervisor.logical_switch import LogicalSwitch
from hvproxy.hypervisor.tenant_meters import TenantMeter
from hvproxy.model.intent import LogicalSwitchSpec, PortSpec, TenantSpec
from hvproxy.model.schema import format_dpid, plain
from hvproxy.model.view import Carriage, Dpid, Vif
from hvproxy.openflow.constants import of13
from hvproxy.openflow.instructions import build as build_instructions
from hvproxy.openflow.text import band_texts, bucket_texts, group_type, instructions_text, match_text

Row: TypeAlias = dict[str, object]
"""One object, fit for JSON."""

STATE_OF_LOGICAL_SWITCH = frozenset(("entries", "state"))
STATE_OF_PORT = frozenset(("hw_addr", "state", "why_down", "config", "datapath", "port_no", "mtu", "mtu_advice"))
"""The keys that are not the operator's."""
CONFIG = {
    of13.OFPPC_PORT_DOWN: "PORT_DOWN", of13.OFPPC_NO_RECV: "NO_RECV", of13.OFPPC_NO_FWD: "NO_FWD",
    of13.OFPPC_NO_PACKET_IN: "NO_PACKET_IN",
}
ROLES = {
    of13.OFPCR_ROLE_EQUAL: "equal", of13.OFPCR_ROLE_MASTER: "master", of13.OFPCR_ROLE_SLAVE: "slave",
}


# Switches

def datapaths(hv: Hypervisor) -> list[Row]:
    """Every physical switch, configured or seen."""
    return [_summary(hv, dp) for _, dp in sorted(hv.switches.datapaths.items())]


def datapath(hv: Hypervisor, dpid: Dpid) -> Row:
    """One physical switch with its ports. Raises NotFound."""
    dp = find_datapath(hv, dpid)
    fabric = hv.fabric.fabric_ports(dpid)
    bound: dict[int, list[str]] = {}
    for ls in hv.logical_switches.values():
        for lport in ls.view.at(dpid):
            assert lport.vif is not None
            bound.setdefault(lport.vif.port_no, []).append(f"{ls.spec.name}/{lport.number}")
    ports = [{
        "number": number,
        "name": desc.name,
        "hw_addr": desc.hw_addr.hex(":"),
        "state": _up(dp.port_up(number)),
        "use": "access" if number in bound else "fabric" if number in fabric else "none",
        "bound": bound.get(number, []),
    } for number, desc in sorted(dp.ports.items())]
    return {**_summary(hv, dp), "confirmed": not dp.unconfirmed, "port_list": ports}


def _summary(hv: Hypervisor, dp: Datapath) -> Row:
    return {
        "dpid": format_dpid(dp.dpid),
        "state": dp.state.value,
        "role": _role(hv, dp.dpid),
        "address": hv.switches.addresses.get(dp.dpid),
        "description": _description(dp),
        "ports": len(dp.ports),
        "rules": len(dp.desired.rules),
        "groups": len(dp.desired.groups),
        "settings": settings(hv, dp.dpid),
        "missing": hv.shortcomings.of(dp),
    }


def settings(hv: Hypervisor, dpid: Dpid) -> list[str]:
    """What of the bridge with this datapath id is not as hvproxy needs it, as far as a database says so."""
    return sorted({f"{wrong.name}={wrong.has} (needs {wrong.needs})" for database in hv.databases.all.values()
                   for bridge in database.seen.bridges if bridge.dpid == dpid for wrong in bridge.wrong})


def _role(hv: Hypervisor, dpid: Dpid) -> str:
    if any(dpid in ls.view.edges for ls in hv.logical_switches.values()):
        return "edge"
    return "transit" if hv.fabric.fabric_ports(dpid) else "none"


def _description(dp: Datapath) -> str | None:
    desc = dp.offer.desc
    if desc is None:
        return None
    return " ".join(part for part in (desc.manufacturer, desc.hardware, desc.software) if part)


def links(hv: Hypervisor) -> list[Row]:
    """The configured links, those found, and the tunnels; up, down, or silent: up, and nothing gets through. Speeds are
    in Mb/s."""
    working, silent = hv.links.in_use, hv.links.silent
    configured = hv.links.configured()
    found = []
    for named, link in configured:
        ends = sorted((named.a, named.b), key=lambda end: end[0])
        if link is not None:
            ends = list(link.ends)
        found.append((ends, "configured", "vlan", link))
    known = {link for _, link in configured}
    for link in sorted((working | hv.tunnels.links) - known):
        tunnel = link.carriage is Carriage.TUNNEL
        found.append((list(link.ends), "made" if tunnel else "discovered", hv.tunnels.kind if tunnel else "vlan", link))
    found.sort(key=lambda each: [(dpid, port if isinstance(port, int) else inf, str(port)) for dpid, port in each[0]])
    return [{
        "a": {"dpid": format_dpid(a[0]), "port": a[1]},
        "b": {"dpid": format_dpid(b[0]), "port": b[1]},
        "source": source,
        "kind": kind,
        "state": "silent" if link in silent else _up(link in working),
        "speed": None if link is None else hv.links.speeds.get(link),
    } for (a, b), source, kind, link in found]


def find_datapath(hv: Hypervisor, dpid: Dpid) -> Datapath:
    """A datapath by its id. Raises NotFound."""
    found = hv.switches.datapaths.get(dpid)
    if found is None:
        raise NotFound("", f"there is no datapath {format_dpid(dpid)}")
    return found


# Tenants and their logical switches

def tenants(hv: Hypervisor) -> list[Row]:
    """Every tenant with its logical switches, as in the configuration file."""
    return [tenant(hv, name) for name in sorted(hv.tenants)]


def tenant(hv: Hypervisor, name: str) -> Row:
    """One tenant. Raises NotFound."""
    if name not in hv.tenants:
        raise NotFound("", f"there is no tenant {name}")
    return _plain(tenant_spec(hv, name))


def tenant_spec(hv: Hypervisor, name: str) -> TenantSpec:
    """A tenant as the operator could have written it."""
    return TenantSpec(name=name, logical_switches=tuple(
        spec_of(ls) for _, ls in sorted(hv.logical_switches.items()) if ls.spec.tenant == name))


def spec_of(ls: LogicalSwitch) -> LogicalSwitchSpec:
    """A logical switch as the operator could have written it, with the ports it has now."""
    ports: tuple[PortSpec, ...] = tuple(port.spec for _, port in sorted(ls.ports.items()))
    return msgspec.structs.replace(ls.spec, ports=ports)


def logical_switches(hv: Hypervisor) -> list[Row]:
    """Every logical switch: its YAML object and its state."""
    return [logical_switch(hv, name) for name in sorted(hv.logical_switches)]


def logical_switch(hv: Hypervisor, name: str) -> Row:
    """One logical switch. Raises NotFound."""
    ls = find(hv, name)
    return {**_plain(spec_of(ls)), "entries": len(ls.tables), "state": {
        "controllers": controllers(hv, name),
        "ports_up": sum(port.up for port in ls.ports.values()),
        "entries": len(ls.tables),
        "groups": len(ls.groups.groups),
        "meters": len(ls.meters.meters),
    }}


def controllers(hv: Hypervisor, name: str) -> list[Row]:
    """The configured controllers of a logical switch, connected or not, then those that came by themselves."""
    ls = find(hv, name)
    sessions = [session for _, session in sorted(ls.sessions.items())]
    dialled = {session.peer: session for session in sessions if not session.passive}
    idle = "waiting" if name in hv.serving.waiting else "connecting"
    rows = []
    for address in ls.spec.controllers:
        rows.append(_controller(str(address), dialled.get(str(address)), idle))
    rows += [_controller(session.peer, session, idle) for session in sessions if session.passive]
    return rows


def _controller(address: str, session: ControllerSession | None, idle: str) -> Row:
    connected = session is not None and session.open
    return {
        "address": address,
        "state": "connected" if connected else idle,
        "role": ROLES.get(session.role, "equal") if session is not None and connected else None,
        "dialled": session is None or not session.passive,
    }


def ports(hv: Hypervisor, name: str) -> list[Row]:
    """The ports of a logical switch."""
    ls = find(hv, name)
    return [_port(hv, ls, port) for _, port in sorted(ls.ports.items())]


def port(hv: Hypervisor, name: str, number: int) -> Row:
    """One port of a logical switch. Raises NotFound."""
    ls = find(hv, name)
    found = ls.ports.get(number)
    if found is None:
        raise NotFound("", f"logical switch {name} has no port {number}")
    return _port(hv, ls, found)


def _port(hv: Hypervisor, ls: LogicalSwitch, port: LogicalPort) -> Row:
    place = hv.place(ls, port)
    mtu = hv.mtus.of(ls.spec.name, port.number)
    return {
        **_plain(port.spec),
        "hw_addr": port.hw_addr.hex(":"),
        "state": _up(port.up),
        "why_down": None if port.up else why_down(hv, ls, port),
        "config": [name for bit, name in CONFIG.items() if port.config & bit],
        "datapath": None if place is None else format_dpid(place[0]),
        "port_no": None if port.vif is None else port.vif.port_no,
        "mtu": mtu.mtu,
        "mtu_advice": mtu.advice,
    }


def why_down(hv: Hypervisor, ls: LogicalSwitch, port: LogicalPort) -> str:
    """What keeps a logical port from being up."""
    if port.config & of13.OFPPC_PORT_DOWN:
        return "its tenant has set it down"
    attach = port.spec.attach
    if attach is None:
        return "it is not attached"
    if attach.peer is not None:
        return _why_not_wired(hv, ls, port, attach.peer)
    place = hv.place(ls, port)
    if place is None and (said := hv.places.said(attach)) is not None and hv.drains.banned(ls.spec.name, said[0]):
        return f"its switch is drained by force: hvproxy drain {format_dpid(said[0])} --undo"
    if place is None:
        return f"no database has an interface with iface-id {attach.iface_id}"
    dp = hv.switches.datapaths.get(place[0])
    if dp is None or dp.state is not State.READY:
        return f"its switch is {'unknown' if dp is None else dp.state.value}"
    port_no = hv.switches.port_number(*place)
    if port_no is None:
        return f"its switch has no port {place[1]}"
    if port.vif is None and attach.iface_id is not None and hv.links.is_fabric_port(place[0], port_no):
        return "its VIF is said to be at an end of a link"
    if port.vif is None and hv.switches.is_tunnel_port(place[0], port_no):
        return "its port is a tunnel of hvproxy's own"
    if port.vif is None:
        return hv.sharing.why_not(ls, Vif(place[0], port_no, attach.vlan)) or "another logical port has its VIF"
    if not dp.port_up(port_no):
        return "the physical port is down"
    if not port.placed:
        return "the switches have not confirmed its rules yet"
    return "its switch is cut off from the larger part of the fabric"


def _why_not_wired(hv: Hypervisor, ls: LogicalSwitch, port: LogicalPort, peer: str) -> str:
    if port.wire is None:
        cut = hv.wiring.cut.get(ls.spec.name)
        other = hv.logical_switches.get(peer.partition("/")[0])
        if other is not None and other.tenant != ls.tenant:
            return f"logical switch {other.spec.name} is another tenant's"
        return f"{peer} does not name it as its peer" if cut is None else f"it is not wired: {cut}"
    if port.wire.port.config & of13.OFPPC_PORT_DOWN:
        return f"the tenant of {peer} has set that down"
    if not any(hv.switches.ready(dpid) for dpid in ls.wired):
        return "no switch is there that carries its logical switch or those it is wired to"
    return "the switches have not confirmed its rules yet"


def flows(hv: Hypervisor, name: str, done: Callable[[list[Row]], None], now: float) -> None:
    """The entries of a logical switch with counters that are up to date; `done` gets them."""
    ls = find(hv, name)
    ls.read_counters(lambda at: done(_flows(ls, at)), now)


def _flows(ls: LogicalSwitch, now: float) -> list[Row]:
    rows: list[Row] = []
    ordered = sorted(ls.tables.entries(), key=lambda entry: (entry.table_id, -entry.priority, entry.match.tlvs))
    for entry in ordered:
        packets, octets = ls.counters.total(entry.number)
        rows.append({
            "table_id": entry.table_id,
            "priority": entry.priority,
            "cookie": _hexadecimal(entry.cookie),
            "match": match_text(entry.match.tlvs),
            "instructions": instructions_text(build_instructions(entry.instructions)),
            "packets": packets,
            "bytes": octets,
            "duration": round(max(0.0, now - entry.created), 3),
            "idle_timeout": entry.idle_timeout,
            "hard_timeout": entry.hard_timeout,
            "entry": entry.number,
            "datapaths": [format_dpid(dpid) for dpid in sorted(entry.rules)],
        })
    return rows


def groups(hv: Hypervisor, name: str, done: Callable[[list[Row]], None], now: float) -> None:
    """The groups of a logical switch with counters that are up to date; `done` gets them."""
    ls = find(hv, name)
    group_counters.read(ls, ls.groups.groups,
                        lambda at: done([_group(ls, group_id, at) for group_id in sorted(ls.groups.groups)]), now)


def _group(ls: LogicalSwitch, group_id: int, now: float) -> Row:
    group = ls.groups.groups[group_id]
    counted = group_counters.record(ls, group_id, now)
    return {
        "group_id": group_id,
        "type": group_type(group.type),
        "buckets": bucket_texts(group.buckets),
        **_counts(counted.packets, counted.bytes),
        "bucket_counts": [_counts(*count) for count in counted.buckets],
        **_held(ls, counted.references, now - ls.groups.created[group_id]),
    }


def meters(hv: Hypervisor, name: str, done: Callable[[list[Row]], None], now: float) -> None:
    """The meters of a logical switch with counters that are up to date; `done` gets them."""
    ls = find(hv, name)
    metering.read(ls, list(ls.meters.meters.values()),
                  lambda at: done([_meter(ls, meter, at) for _, meter in sorted(ls.meters.meters.items())]), now)


def _meter(ls: LogicalSwitch, meter: TenantMeter, now: float) -> Row:
    counted = metering.record(ls, meter, now)
    return {
        "meter_id": meter.meter_id,
        "unit": "pktps" if meter.in_packets else "kbps",
        "bands": band_texts(meter.bands),
        **_counts(counted.packets, counted.bytes),
        "band_counts": [_counts(*count) for count in counted.bands],
        **_held(ls, counted.flows, now - meter.created),
    }


def _counts(packets: int, octets: int) -> Row:
    return {"packets": packets, "bytes": octets}


def _held(ls: LogicalSwitch, references: int, lived: float) -> Row:
    """Of a group or meter: how often entries name it, how old it is, and the edges, all of which hold it."""
    return {
        "references": references,
        "duration": round(max(0.0, lived), 3),
        "datapaths": [format_dpid(dpid) for dpid in sorted(ls.edges)],
    }


# Readiness

def reasons_unready(hv: Hypervisor) -> list[str]:
    """What hvproxy still waits for; nothing when it serves."""
    waits = [f"switch {format_dpid(dpid)} is {dp.state.value}"
             for dpid, dp in sorted(hv.switches.datapaths.items()) if dp.state not in (State.READY, State.ABSENT)]
    if hv.journal.failure is not None:
        waits.append(f"the store has failed: {hv.journal.failure}")
    waits += [f"database {each.address} has not answered" for each in hv.databases.all.values() if not each.answered]
    return waits + [f"the controllers of logical switch {name} are not dialled yet"
                    for name in sorted(hv.serving.waiting)]


def _plain(spec: msgspec.Struct) -> Row:
    value = plain(spec)
    assert isinstance(value, dict)
    return value


def _hexadecimal(number: int) -> str:
    return f"{number:#x}"


def _up(is_up: bool) -> str:
    return "up" if is_up else "down"
