"""Draining a physical switch, so that it can be taken away without loss: what the operator orders, and is told of it.

Paths lead round a switch that is drained of all logical switches, wherever there is another way; ports leave it that
have another place. What stays is told, with what to do.
"""
from __future__ import annotations

from collections.abc import Iterator

import msgspec

from hvproxy.errors import NotFound
from hvproxy.hypervisor import draining
from hvproxy.hypervisor.drains import ALL, Key
from hvproxy.hypervisor.hypervisor import Hypervisor
from hvproxy.hypervisor.intent import logical_switch
from hvproxy.hypervisor.logical_port import LogicalPort
from hvproxy.hypervisor.logical_switch import LogicalSwitch
from hvproxy.hypervisor.report import Row, find_datapath
from hvproxy.model.intent import Name
from hvproxy.model.schema import format_dpid
from hvproxy.model.view import Dpid


class DrainSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What leaves a physical switch."""

    logical_switch: Name | None = None
    """None: all of them, and the frames that only cross it."""
    force: bool = False
    """Take down the ports that cannot leave."""


def begin(hv: Hypervisor, dpid: Dpid, spec: DrainSpec, now: float) -> Key:
    """Have a switch drained. Raises NotFound."""
    find_datapath(hv, dpid)
    key = dpid, ALL if spec.logical_switch is None else logical_switch(hv, spec.logical_switch).spec.name
    hv.drains.begin(key, spec.force)
    _carry_out(hv, now)
    return key


def end(hv: Hypervisor, dpid: Dpid, name: str | None, now: float) -> None:
    """Have it used again, by that logical switch or all of them. Raises NotFound."""
    keys = [key for key in hv.drains.keys if key[0] == dpid and name in (None, key[1])]
    if not keys:
        raise NotFound("", f"datapath {format_dpid(dpid)} is not drained" + (f" of {name}" if name else ""))
    for key in keys:
        hv.drains.end(key)
    _carry_out(hv, now)


def _carry_out(hv: Hypervisor, now: float) -> None:
    if hv.fabric.shunned != hv.drains.shunned:
        hv.fabric.shunned = hv.drains.shunned
        hv.links_changed(now)
    for ls in list(hv.logical_switches.values()):
        hv.bind(ls, now)
    draining.look(hv, now)


# What is told

def drains(hv: Hypervisor, dpid: Dpid) -> list[Row]:
    """How far the drains of a switch are. Raises NotFound."""
    keys = [key for key in hv.drains.keys if key[0] == dpid]
    if not keys:
        find_datapath(hv, dpid)
    return [drain(hv, key) for key in keys]


def drain(hv: Hypervisor, key: Key) -> Row:
    """How far one is."""
    left = draining.remains(hv, key)
    busy = not hv.rollout.settled or bool(left.moving) or left.nothing
    return {
        "dpid": format_dpid(key[0]),
        "logical_switch": key[1] or None,
        "force": bool(hv.drains.force(key)),
        "state": "drained" if key in hv.drains.over else "draining" if busy else "stuck",
        "staying": [_port(*each) for each in left.staying],
        "moving": [_port(*each) for each in left.moving],
        "down": [_port(*each) for each in left.down],
        "paths": [{"from": format_dpid(a), "to": format_dpid(b)} for a, b in left.paths],
        "text": list(_text(hv, key, left)),
    }


def _port(ls: LogicalSwitch, port: LogicalPort) -> Row:
    return {"logical_switch": ls.spec.name, "number": port.number, "name": port.spec.name,
            "port_no": None if port.vif is None else port.vif.port_no}


def _text(hv: Hypervisor, key: Key, left: draining.Remains) -> Iterator[str]:
    dpid = format_dpid(key[0])
    for ls, port in left.moving:
        place = hv.place(ls, port)
        where = "nowhere" if place is None else f"datapath {format_dpid(place[0])}, port {place[1]}"
        yield f"port {port.number} ({port.spec.name}) of {ls.spec.name} moves to {where}"
    for ls, port in left.staying:
        attach, vif = port.spec.attach, port.vif
        assert attach is not None and vif is not None
        if attach.iface_id is None:
            yield (f"port {port.number} ({port.spec.name}) of {ls.spec.name} stays: it is attached to port "
                   f"{vif.port_no} there; attach it elsewhere, or take it down with --force")
        else:
            yield (f"port {port.number} ({port.spec.name}) of {ls.spec.name} stays: its VIF {attach.iface_id} is on no "
                   "other switch; migrate it, or take it down with --force")
    for ls, port in left.down:
        yield f"port {port.number} ({port.spec.name}) of {ls.spec.name} is down by force: it is attached there"
    for a, b in left.paths:
        yield f"frames from {format_dpid(a)} to {format_dpid(b)} have no other way; add a link or a tunnel endpoint"
    if key in hv.drains.over:
        yield (f"datapath {dpid} carries nothing and may be taken away" if key[1] == ALL else
               f"no port of {key[1]} is on datapath {dpid}; its frames take the paths of all logical switches")
