"""What the fabric does with a frame: a walk through the rules that the datapaths are to hold, along the links.

Only reads, and asks no switch. Knows the tables of logical switches only where it is told whose a packet-in is.
"""
from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from hvproxy.hypervisor.arrivals import OWN_COOKIES
from hvproxy.hypervisor.datapath import Datapath
from hvproxy.hypervisor.hypervisor import Hypervisor
from hvproxy.hypervisor.logical_walk import MOST_HOPS, Upward
from hvproxy.hypervisor.packets import attribute
from hvproxy.model.layout import HIDDEN, GroupKind, is_kind, read_cookie
from hvproxy.model.rules import Rule
from hvproxy.model.view import Dpid, PortNo, Vif
from hvproxy.openflow.constants import NO_BUFFER, of13
from hvproxy.openflow.instructions import decode
from hvproxy.openflow.messages import PacketIn
from hvproxy.openflow.oxm import Match
from hvproxy.openflow.oxm_fields import VLAN_ETH_TYPES, VLAN_ID
from hvproxy.trace.steps import Told, Walk
from hvproxy.trace.switch import Flow, Port, Switch
from hvproxy.trace.walk import walk

_TAG: Final = b"\x81\x00"


@dataclass(frozen=True, slots=True)
class Left:
    """A frame that leaves the fabric."""

    dpid: Dpid
    port_no: PortNo
    wire: bytes
    """As it leaves the physical port."""
    logical_switch: str | None
    """None: nothing is bound there, nor is there a link that works."""
    lport: int
    data: bytes
    """As the logical port sends it: without the tag of a sub-port."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A frame that leaves a datapath."""

    port_no: PortNo
    wire: bytes
    key: int | None
    """Of the tunnel that it goes into."""
    end: tuple[Dpid, PortNo] | Left
    """The other end of the link, or what leaves the fabric."""


@dataclass(slots=True)
class Hop:
    """What one datapath does with a frame."""

    dpid: Dpid
    in_port: PortNo
    data: bytes
    over_link: bool
    """It came from another datapath, under a label."""
    walk: Walk
    key: int | None = None
    """Of the tunnel that it came through."""
    sent: list[Sent] = field(default_factory=list)


@dataclass(slots=True)
class Carried:
    """What the fabric does with a frame."""

    hops: list[Hop] = field(default_factory=list)
    upward: list[tuple[str, Upward]] = field(default_factory=list)
    """(logical switch, packet-in)."""
    cut: bool = False
    """The frame goes on, and what comes after is not told."""

    @property
    def left(self) -> list[Left]:
        return [sent.end for hop in self.hops for sent in hop.sent if isinstance(sent.end, Left)]


def datapath_switch(dp: Datapath) -> Switch:
    """A datapath for a walk, with the rules it is to hold."""
    flows = (Flow(rule.table, rule.priority, Match.from_tlvs(rule.match), decode(rule.instructions), rule)
             for rule in dp.desired.rules.values())
    ports = {number: Port() if dp.port_up(number) else Port("is down", live=False) for number in dp.ports}
    return Switch(flows, dp.desired.groups, ports, takes_up_anew=lambda group: is_kind(group.group_id, GroupKind.AGAIN))


def carry(hv: Hypervisor, vif: Vif, data: bytes) -> Carried:
    """What becomes of a frame that a host sends at a VIF."""
    carried = Carried()
    owners = _owners(hv)
    switches: dict[Dpid, Switch] = {}
    tunnels = hv.fabric.topology.tunnels
    first: tuple[Dpid, PortNo, bytes, bool, int | None] = (vif.dpid, vif.port_no, _tagged(data, vif.vlan), False, None)
    moving = deque([first])
    while moving:
        dpid, in_port, arrived, over_link, key = moving.popleft()
        if len(carried.hops) == MOST_HOPS:
            carried.cut = True
            break
        if dpid not in switches:
            switches[dpid] = datapath_switch(hv.switches.datapaths[dpid])
        walked = walk(switches[dpid], arrived, in_port, tunnel_id=key or 0)
        hop = Hop(dpid, in_port, arrived, over_link, walked, key)
        carried.hops.append(hop)
        carried.upward += [up for told in hop.walk.told if (up := _physical_upward(hv, in_port, told)) is not None]
        for (port_no, wire), tunnel_id in zip(walked.sent, walked.keys, strict=True):
            end = hv.fabric.topology.peers.get((dpid, port_no))
            if end is None:
                hop.sent.append(Sent(port_no, wire, None, _left(owners, dpid, port_no, wire)))
            else:
                under = tunnel_id if (dpid, port_no) in tunnels else None
                hop.sent.append(Sent(port_no, wire, under, end))
                moving.append((*end, wire, True, under))
    return carried


def _owners(hv: Hypervisor) -> dict[Vif, tuple[str, int]]:
    return {vif: (ls.spec.name, lport.number) for ls in hv.logical_switches.values()
            for lport in ls.view.lports for vif in lport.vifs}


def _left(owners: dict[Vif, tuple[str, int]], dpid: Dpid, port_no: PortNo, wire: bytes) -> Left:
    """Whose a frame is that leaves by a port without a link: the sub-port of its tag, else the whole port."""
    vid = label_of(wire)
    sub_port = None if vid is None else owners.get(Vif(dpid, port_no, vid))
    if sub_port is not None:
        return Left(dpid, port_no, wire, *sub_port, wire[:12] + wire[16:])
    name, number = owners.get(Vif(dpid, port_no), (None, 0))
    return Left(dpid, port_no, wire, name, number, wire)


def label_of(data: bytes) -> int | None:
    """The VLAN id of a frame's outermost tag."""
    tagged = int.from_bytes(data[12:14], "big") in VLAN_ETH_TYPES and len(data) >= 18
    return int.from_bytes(data[14:16], "big") & VLAN_ID if tagged else None


def _tagged(data: bytes, vid: int | None) -> bytes:
    return data if vid is None else data[:12] + _TAG + vid.to_bytes(2, "big") + data[12:]


def _physical_upward(hv: Hypervisor, in_port: PortNo, told: Told) -> tuple[str, Upward] | None:
    """Whose controllers get a packet-in, and how they read it; None where nobody's do."""
    if told.flow is None or told.reason == of13.OFPR_INVALID_TTL:
        return None
    rule = told.flow.origin
    assert isinstance(rule, Rule)
    ls = hv.by_id.get(hv.settings.layout.read(told.metadata)[0])
    owner = read_cookie(rule.cookie)
    if rule.cookie in OWN_COOKIES or ls is None or owner is not None and owner[1] & HIDDEN == HIDDEN:
        return None  # hvproxy's own, as what NORMAL learns from
    found = attribute(ls, PacketIn(0, NO_BUFFER, len(told.data), told.reason, rule.table, rule.cookie, in_port,
                                   told.metadata, told.others, told.data))
    if isinstance(found, bool):
        return None
    number = of13.OFPP_CONTROLLER if found.port is None else found.port.number
    table = 0 if found.entry is None else found.entry.table_id
    return ls.spec.name, Upward(number, table, found.cookie, ls.layout.read(told.metadata)[2], found.parts.others,
                                told.data)
