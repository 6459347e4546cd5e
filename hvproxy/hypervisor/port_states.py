"""Whether a logical port is up, as its tenant is told: by its binding, or its wire, and by the fabric (trap 36)."""
from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from hvproxy.hypervisor.datapath_state import State
from hvproxy.hypervisor.logical_port import LogicalPort
from hvproxy.hypervisor.logical_switch import LogicalSwitch
from hvproxy.model.view import Dpid
from hvproxy.openflow.constants import of13

if TYPE_CHECKING:
    from hvproxy.hypervisor.hypervisor import Hypervisor


def is_up(hv: Hypervisor, ls: LogicalSwitch, port: LogicalPort, part: Collection[Dpid] | None = None) -> bool | None:
    """Whether a logical port is up; None while that cannot be said and nothing is told (design 6). `part` is the
    `largest_part`, where that is known."""
    datapaths = hv.switches.datapaths
    if port.config & of13.OFPPC_PORT_DOWN:
        return False
    if port.wire is not None:
        return _is_wire_up(hv, ls, port, port.wire.port)
    if port.vif is None:
        place = hv.place(ls, port)
        dp = None if place is None else datapaths.get(place[0])
        return None if dp is not None and dp.state not in (State.READY, State.ABSENT) else False
    dp = datapaths[port.vif.dpid]
    if dp.state is State.ABSENT:
        return False
    if dp.state is not State.READY:
        return None
    return port.placed and dp.port_up(port.vif.port_no) and port.vif.dpid in (
        largest_part(hv, ls) if part is None else part)


def _is_wire_up(hv: Hypervisor, ls: LogicalSwitch, port: LogicalPort, other: LogicalPort) -> bool | None:
    """A wire is up while both ends are, and a switch is there that carries it."""
    states = {hv.switches.datapaths[dpid].state for dpid in ls.wired}
    if State.READY not in states and states - {State.ABSENT}:
        return None
    return (State.READY in states and port.placed and other.placed
            and not other.config & of13.OFPPC_PORT_DOWN)


def is_cut_off(hv: Hypervisor, ls: LogicalSwitch, dpid: Dpid) -> bool:
    """Whether the ports of a logical switch at an edge are down because of where the fabric is partitioned."""
    return dpid not in largest_part(hv, ls)


def largest_part(hv: Hypervisor, ls: LogicalSwitch) -> Collection[Dpid]:
    """In a partitioned fabric the ports outside the largest part are down (trap 36); of equal parts the one with the
    smallest dpid counts as the largest. Of logical switches that are wired together all ports count."""
    edges = ls.view.edges
    if len(edges) < 2:
        return hv.switches.datapaths
    together = hv.wiring.together(ls)
    ports = {edge: sum(len(each.view.at(edge)) for each in together) for edge in edges}
    parts = (frozenset(other for other in edges if hv.fabric.joined(ls.ls_id, edge, other)) for edge in edges)
    return max(parts, key=lambda part: (sum(ports[other] for other in part), -min(part)))
