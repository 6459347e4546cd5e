"""A trace of a frame: what logical switches do with it, how the fabric carries that out, and whether it is the same.

Only reads; nothing is decided by it, and no switch is asked. How it is told is in trace_report.
"""
from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Annotated

import msgspec

from hvproxy.errors import ModelError, NotFound
from hvproxy.hypervisor.fabric_walk import Carried, carry, label_of
from hvproxy.hypervisor.hypervisor import Hypervisor
from hvproxy.hypervisor.intent import logical_switch as find
from hvproxy.hypervisor.logical_port import LogicalPort
from hvproxy.hypervisor.logical_switch import LogicalSwitch
from hvproxy.hypervisor.logical_walk import MOST_HOPS, Crossed, decided
from hvproxy.hypervisor.report import why_down
from hvproxy.model.intent import PortRef
from hvproxy.model.schema import format_dpid
from hvproxy.trace.compose import compose
from hvproxy.trace.steps import Walk

LONGEST_TEXT = 40000
_PORT_DIGITS = 5


class TraceSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be traced."""

    port: PortRef
    """The logical port, by number or by name."""
    frame: Annotated[str, msgspec.Meta(max_length=LONGEST_TEXT)]
    """Hexadecimal digits, or fields as Open vSwitch writes them."""


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
    found = Trace(ls, port, data, decided(hv, ls, port, data), carried)
    if carried is not None:
        found.differences = _differences(found, carried)
    found.notes = _notes(hv, found)
    return found


def _port(ls: LogicalSwitch, wanted: int | str) -> LogicalPort:
    """A port by its number, which may be written as text, or else by its name."""
    is_number = isinstance(wanted, int) or wanted.isascii() and wanted.isdigit() and len(wanted) <= _PORT_DIGITS
    found = ls.ports.get(int(wanted)) if is_number else None
    found = found or next((port for port in ls.ports.values() if port.spec.name == wanted), None)
    if found is None:
        raise NotFound("port", f"logical switch {ls.spec.name} has no port {wanted}")
    return found


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
