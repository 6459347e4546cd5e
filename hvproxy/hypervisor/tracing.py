"""What a logical switch does with a frame, and how the fabric carries it out: two walks that must come to the same.

The first goes through the logical tables, the second through the rules that the datapaths are to hold, from switch to
switch along the links. Only reads; nothing is decided by it, and no switch is asked. How it is told is in trace_report.
"""
from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, NamedTuple

import msgspec

from hvproxy.compiler import broadcast
from hvproxy.compiler.normal import is_reserved
from hvproxy.errors import ModelError, NotFound
from hvproxy.hypervisor.datapath import Datapath
from hvproxy.hypervisor.arrivals import DISCOVERY_COOKIE
from hvproxy.hypervisor.hypervisor import Hypervisor
from hvproxy.hypervisor.intent import logical_switch as find
from hvproxy.hypervisor.logical_port import LogicalPort
from hvproxy.hypervisor.logical_switch import LogicalSwitch
from hvproxy.hypervisor.packets import attribute, is_spanning_tree
from hvproxy.hypervisor.report import why_down
from hvproxy.model.intent import PortRef
from hvproxy.model.layout import HIDDEN, MOST_CROSSINGS, GroupKind, is_kind, read_cookie
from hvproxy.model.rules import Rule
from hvproxy.model.schema import format_dpid
from hvproxy.model.view import Dpid, PortNo, Vif
from hvproxy.openflow.constants import NO_BUFFER, of13
from hvproxy.openflow.instructions import decode
from hvproxy.openflow.messages import PacketIn
from hvproxy.openflow.oxm import Match
from hvproxy.openflow.oxm_fields import VLAN_ETH_TYPES, VLAN_ID
from hvproxy.trace.compose import compose
from hvproxy.trace.frame import ETH_DST, IN_PORT, VLAN_VID, Frame
from hvproxy.trace.switch import Flow, Port, Switch
from hvproxy.trace.steps import Kind, Step, Told, Walk
from hvproxy.trace.walk import walk

MOST_HOPS = 1000
"""Datapaths that a frame and its copies come to; more is a loop."""
LONGEST_TEXT = 40000
_PORT_DIGITS = 5
_TAG = b"\x81\x00"


class TraceSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be traced."""

    port: PortRef
    """The logical port, by number or by name."""
    frame: Annotated[str, msgspec.Meta(max_length=LONGEST_TEXT)]
    """Hexadecimal digits, or fields as Open vSwitch writes them."""


class Upward(NamedTuple):
    """A packet-in as its tenant reads it; its reason is left to the tests (README, deviations)."""

    in_port: int
    table: int
    cookie: int
    metadata: int
    others: bytes
    """The TLVs of the tunnel id and registers."""
    data: bytes


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


@dataclass(slots=True)
class Trace:
    """Both walks and what they differ in."""

    ls: LogicalSwitch
    port: LogicalPort
    data: bytes
    decided: list[Crossed]
    """At first what its own logical switch does, then what those do that wires lead to."""
    carried: Carried | None
    """None where the port has no place in the fabric."""
    differences: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What to know when reading it."""

    @property
    def logical(self) -> Walk:
        """What its own logical switch does."""
        return self.decided[0].walk

    @property
    def agree(self) -> bool | None:
        """None where there is nothing to compare with."""
        return None if self.carried is None else not self.differences


def trace(hv: Hypervisor, name: str, spec: TraceSpec) -> Trace:
    """Trace a frame that arrives at a port of a logical switch. Raises ModelError."""
    ls = find(hv, name)
    port = _port(ls, spec.port)
    try:
        data = compose(spec.frame)
    except ValueError as error:
        raise ModelError("frame", str(error)) from error
    vid = label_of(data)
    if vid is not None and port.vif is not None and vid in ls.claimed.get(port.number, ()):
        raise ModelError("frame", f"what arrives at that physical port under VLAN {vid} is another logical port's, "
                                  f"which {hv.sharing.owner((port.vif.dpid, port.vif.port_no), vid)} has")
    carried = None if port.vif is None else carry(hv, port.vif, data)
    found = Trace(ls, port, data, _decided(hv, ls, port, data), carried)
    if carried is not None:
        found.differences = _differences(found, carried)
    found.notes = _notes(hv, found)
    return found


def _decided(hv: Hypervisor, ls: LogicalSwitch, port: LogicalPort, data: bytes) -> list[Crossed]:
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


def _port(ls: LogicalSwitch, wanted: int | str) -> LogicalPort:
    """A port by its number, which may be written as text, or else by its name."""
    is_number = isinstance(wanted, int) or wanted.isascii() and wanted.isdigit() and len(wanted) <= _PORT_DIGITS
    found = ls.ports.get(int(wanted)) if is_number else None
    found = found or next((port for port in ls.ports.values() if port.spec.name == wanted), None)
    if found is None:
        raise NotFound("port", f"logical switch {ls.spec.name} has no port {wanted}")
    return found


# The logical switch

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


# The fabric

def datapath_switch(dp: Datapath) -> Switch:
    """A datapath for a walk, with the rules it is to hold."""
    flows = (Flow(rule.table, rule.priority, Match.from_tlvs(rule.match), decode(rule.instructions), rule)
             for rule in dp.desired_rules.values())
    ports = {number: Port() if dp.port_up(number) else Port("is down", live=False) for number in dp.ports}
    return Switch(flows, dp.desired_groups, ports, takes_up_anew=lambda group: is_kind(group.group_id, GroupKind.AGAIN))


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
    if rule.cookie == DISCOVERY_COOKIE or ls is None or owner is not None and owner[1] & HIDDEN == HIDDEN:
        return None  # hvproxy's own, as what NORMAL learns from
    found = attribute(ls, PacketIn(0, NO_BUFFER, len(told.data), told.reason, rule.table, rule.cookie, in_port,
                                   told.metadata, told.others, told.data))
    if isinstance(found, bool):
        return None
    number = of13.OFPP_CONTROLLER if found.port is None else found.port.number
    table = 0 if found.entry is None else found.entry.table_id
    return ls.spec.name, Upward(number, table, found.cookie, ls.layout.read(told.metadata)[2], found.parts.others,
                                told.data)


# Comparing

def _differences(found: Trace, carried: Carried) -> list[str]:
    """What the fabric does otherwise than the logical switch, in sentences."""
    said: list[str] = []
    wanted = Counter((each.ls.spec.name, port.number, data) for each in found.decided for port, data in each.sent
                     if port.wire is None)
    delivered = Counter((left.logical_switch, left.lport, left.data) for left in carried.left
                        if left.logical_switch is not None)
    for (owner, number, data), count in (wanted - delivered).items():
        said.append(f"{_whose(found, owner)} sends {_times(count)} out of port {number} what the fabric does not "
                    f"deliver there: {data.hex()}")
    for (owner, number, data), count in (delivered - wanted).items():
        said.append(f"the fabric delivers {_times(count)} at {owner}/{number} what the logical switch does not send "
                    f"there: {data.hex()}")
    for left in carried.left:
        if left.logical_switch is None:
            said.append(f"a frame leaves datapath {format_dpid(left.dpid)} by port {left.port_no}, where neither a "
                        "logical port nor a working link is")
    told, expected = Counter(carried.upward), Counter(
        (each.ls.spec.name, up) for each in found.decided for up in each.upward)
    for kind, packets in (("the logical switch sends its controllers {} a packet-in that the fabric does not",
                           expected - told),
                          ("the fabric sends controllers {} a packet-in that the logical switch does not",
                           told - expected)):
        for (owner, up), count in packets.items():
            said.append(f"{kind.format(_times(count))}: {owner}, table {up.table}, cookie {up.cookie:#x}, in_port "
                        f"{up.in_port}, {up.data.hex()}")
    if carried.cut or len(found.decided) == MOST_HOPS:
        said.append(f"the frame and its copies come to more than {MOST_HOPS} datapaths: they go round")
    return said


def _whose(found: Trace, owner: str) -> str:
    return "the logical switch" if owner == found.ls.spec.name else f"logical switch {owner}"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _notes(hv: Hypervisor, found: Trace) -> list[str]:
    notes = []
    if not found.port.up:
        notes.append(f"port {found.port.number} is down: {why_down(hv, found.ls, found.port)}; this is what became of "
                     "a frame that arrived there all the same")
    for table in dict.fromkeys(table for each in found.decided for table in each.walk.tracked):
        notes.append(f"what is known of the connection decides in table {table}, and only the datapath knows it: what "
                     "becomes of the copy that goes there is not told")
    if found.port.spec.attach is not None and found.port.spec.attach.peer is not None:
        notes.append("the port is wired to another one; what the fabric does is told of frames that come from outside")
        return notes
    if found.carried is None:
        notes.append("nothing in the fabric is bound to the port, so there is nothing to compare with")
        return notes
    if not hv.rollout.settled:
        notes.append("the fabric is being changed: some datapaths may hold other rules yet")
    for dpid in dict.fromkeys(hop.dpid for hop in found.carried.hops):
        dp = hv.switches.datapaths[dpid]
        if not dp.ready:
            notes.append(f"datapath {format_dpid(dpid)} is {dp.state.value}: this is what it is to hold")
        elif dp.unconfirmed:
            notes.append(f"datapath {format_dpid(dpid)} has not confirmed all its rules yet")
    return notes
