"""What logical switches do with a frame: a walk through the tables of one, and on along its wires.

Only reads. Knows nothing of the fabric but where a flood matters, which a logical switch looks up.
"""
from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from hvproxy.compiler import broadcast
from hvproxy.compiler.normal import is_reserved
from hvproxy.hypervisor.hypervisor import Hypervisor
from hvproxy.hypervisor.logical_port import LogicalPort
from hvproxy.hypervisor.logical_switch import LogicalSwitch
from hvproxy.hypervisor.packets import is_spanning_tree
from hvproxy.hypervisor.report import why_down
from hvproxy.model.layout import MOST_CROSSINGS
from hvproxy.openflow.constants import of13
from hvproxy.openflow.oxm import Match
from hvproxy.openflow.oxm_fields import VLAN_ID
from hvproxy.trace.frame import ETH_DST, IN_PORT, VLAN_VID, Frame
from hvproxy.trace.steps import Kind, Step, Told, Walk
from hvproxy.trace.switch import Flow, Port, Switch
from hvproxy.trace.walk import walk

MOST_HOPS: Final = 1000
"""Logical switches, or datapaths, that a frame and its copies come to; more is a loop."""


class Upward(NamedTuple):
    """A packet-in as its tenant reads it; its reason is left to the tests (README, deviations)."""

    in_port: int
    table: int
    cookie: int
    metadata: int
    others: bytes
    """The TLVs of the tunnel id and registers."""
    data: bytes


@dataclass(slots=True)
class Crossed:
    """What a logical switch does with a frame that has come to one of its ports."""

    ls: LogicalSwitch
    port: LogicalPort
    walk: Walk
    upward: list[Upward]
    """Packet-ins of the walk."""

    @property
    def sent(self) -> Iterator[tuple[LogicalPort, bytes]]:
        """The frames that leave by its ports."""
        for number, data in self.walk.sent:
            yield self.ls.ports[number], data


def decided(hv: Hypervisor, ls: LogicalSwitch, port: LogicalPort, data: bytes) -> list[Crossed]:
    """What logical switches do with a frame at a port, one after another along their wires."""
    found: list[Crossed] = []
    switches: dict[LogicalSwitch, Switch] = {}
    ahead = deque([(ls, port, data, 0)])
    while ahead and len(found) < MOST_HOPS:
        ls, port, data, crossings = ahead.popleft()
        if ls not in switches:
            switches[ls] = logical_switch(hv, ls)
        shut = _shut(port, data)
        if not shut and ls.frag_flags == of13.OFPC_FRAG_DROP and Frame(data, port.number).fragment:
            shut = f"{ls.spec.name} is configured to drop fragments (FRAG_DROP): the frame is dropped"
        walked = Walk([Step(0, Kind.DROP, shut)]) if shut else walk(switches[ls], data, port.number)
        found.append(Crossed(ls, port, walked, [_logical_upward(port.number, told) for told in walked.told
                                                if told.reason != of13.OFPR_INVALID_TTL]))
        for out, sent in found[-1].sent:
            if out.wire is not None and crossings < MOST_CROSSINGS:
                ahead.append((out.wire.ls, out.wire.port, sent, crossings + 1))
    return found


def logical_switch(hv: Hypervisor, ls: LogicalSwitch) -> Switch:
    """A logical switch for a walk."""
    flows = (Flow(entry.table_id, entry.priority, entry.match, entry.instructions, entry)
             for entry in ls.tables.entries())
    return Switch(flows, ls.groups.groups, {number: _state(hv, ls, port) for number, port in ls.ports.items()},
                  normal=lambda frame: _switched(ls, frame), matters=lambda frame: _matters(ls, frame))


def _matters(ls: LogicalSwitch, frame: Frame) -> set[int] | None:
    """The ports where a flood matters, where it is looked up that it does not everywhere."""
    in_port = frame.fields[IN_PORT]
    vif = ls.ports[in_port].vif
    if vif is None or vif.dpid in ls.view.plain:
        return None
    for each in broadcast.known(ls.view):
        if _is_among(frame, each.match):
            numbers = {lport.number for lport in each.lports}
            everywhere = each.told is not None and (in_port in numbers or _is_among(frame, each.told))
            return None if everywhere else numbers
    return None


def _is_among(frame: Frame, tlvs: bytes) -> bool:
    match = Match.from_tlvs(tlvs)
    return not (frame.value ^ match.value) & match.mask


def _switched(ls: LogicalSwitch, frame: Frame) -> int | None:
    """Where output to NORMAL sends a frame."""
    address = frame.fields[ETH_DST]
    if is_reserved(address):
        return None
    known = ls.hosts.where(address, frame.fields[VLAN_VID] & VLAN_ID)
    flood: int = of13.OFPP_FLOOD
    return flood if known is None else known


def _state(hv: Hypervisor, ls: LogicalSwitch, port: LogicalPort) -> Port:
    if not port.up:
        return Port(f"is down ({why_down(hv, ls, port)})", live=False)
    return Port("is configured to send nothing (NO_FWD)" if port.config & of13.OFPPC_NO_FWD else "",
                claimed=ls.claimed.get(port.number, frozenset()))


def _shut(port: LogicalPort, data: bytes) -> str:
    """Why a port does not take a frame in, as its tenant has configured it; empty where it does."""
    if port.config & of13.OFPPC_PORT_DOWN:
        return f"port {port.number} is configured to be down (PORT_DOWN): the frame is dropped"
    if port.config & of13.OFPPC_NO_RECV and not is_spanning_tree(data):
        return f"port {port.number} is configured to take nothing in (NO_RECV): the frame is dropped"
    return ""


def _logical_upward(in_port: int, told: Told) -> Upward:
    flow = told.writer or told.flow
    assert flow is not None
    return Upward(in_port, flow.table, getattr(flow.origin, "cookie"), told.metadata, told.others, told.data)
