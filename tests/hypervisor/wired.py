"""Logical switches wired together in a ring over three leaves, each with one host port."""
from __future__ import annotations

from typing import Any

from hvproxy.hypervisor.tracing import Trace, TraceSpec, trace
from hvproxy.model.intent import LogicalSwitchSpec, PortSpec, parse
from tests.harness import Controller, World
from tests.hypervisor.worlds import a_world

HOST, NEXT, LAST = 1, 2, 3
"""The ports of each: its host's, and those towards the next and the last one in the ring."""
RING = ("a", "b", "c")
FRAME = "02000000000202000000000188b5" + "00" * 46


def peered(name: str, *peers: str, tenant: str = "red") -> LogicalSwitchSpec:
    """A logical switch with a port, from 1 on, for each of these peers."""
    return parse(LogicalSwitchSpec, {
        "name": name, "tenant": tenant, "datapath_id": int.from_bytes(name.encode(), "big"),
        "ports": [{"number": number, "name": f"p{number}", "attach": {"peer": peer}}
                  for number, peer in enumerate(peers, 1)]})


def peer_spec(number: int, peer: str) -> PortSpec:
    return parse(PortSpec, {"number": number, "name": f"p{number}", "attach": {"peer": peer}})


def ring_spec(name: str, tenant: str = "red") -> LogicalSwitchSpec:
    here = RING.index(name)
    after, before = RING[(here + 1) % 3], RING[here - 1]
    return parse(LogicalSwitchSpec, {
        "name": name, "tenant": tenant, "datapath_id": here + 1, "ports": [
            {"number": HOST, "name": "host", "attach": {"datapath": here + 1, "port": 1}},
            {"number": NEXT, "name": "next", "attach": {"peer": f"{after}/{LAST}"}},
            {"number": LAST, "name": "last", "attach": {"peer": f"{before}/{NEXT}"}}]})


def ring(**settings: Any) -> tuple[World, dict[str, Controller]]:
    """The ring, and a controller of each of its logical switches."""
    world = a_world(*map(ring_spec, RING), **settings)
    return world, {name: Controller(world, name) for name in RING}


def up(world: World, name: str) -> dict[int, bool]:
    return {number: port.up for number, port in world.hv.logical_switches[name].ports.items()}


def traced(world: World, name: str, port: int = HOST, frame: str = FRAME) -> Trace:
    world.run()
    found = trace(world.hv, name, TraceSpec(port=port, frame=frame))
    assert found.agree is not False, found.differences
    return found


def delivered(found: Trace) -> list[tuple[str, int]]:
    """Where the fabric delivers a traced frame."""
    assert found.carried is not None
    return sorted((left.logical_switch or "", left.lport) for left in found.carried.left)


def told(found: Trace) -> list[tuple[str, int, int]]:
    """(logical switch, in_port, cookie) of the packet-ins that a traced frame causes."""
    assert found.carried is not None
    return sorted((name, up.in_port, up.cookie) for name, up in found.carried.upward)
