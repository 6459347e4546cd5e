"""Which logical ports are wired together, and what follows for the logical switches they belong to.

Two ports of one tenant are wired while each names the other as its peer. All logical switches that wires join, one
after another, share their edges: a packet that crosses a wire goes on in the other's tables on the same datapath
(compiler.wires). That takes the extensions of Open vSwitch on every one of these edges, and labels and identifiers for
all of them: where something lacks, none of their wires is there, an alarm says why, and their ports stay down.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from hvproxy.hypervisor.logical_port import LogicalPort, Wire
from hvproxy.hypervisor.logical_switch import LogicalSwitch
from hvproxy.model.view import Dpid


WhyNot = Callable[[list[LogicalSwitch]], str]
"""What logical switches lack to be joined, as they would be; empty where nothing lacks."""


@dataclass(slots=True)
class Found:
    """What looking has found."""

    members: list[LogicalSwitch]
    """The logical switches that wires join now, or have until now: those looked from first."""
    rewired: dict[LogicalSwitch, list[int]] = field(default_factory=dict)
    """Their ports that are wired now, and were not, or to another one."""


class Wiring:
    """Finds the wires, and keeps what they mean in the logical ports and switches."""

    def __init__(self, switches: Mapping[str, LogicalSwitch], why_not: WhyNot, alarm: Callable[..., None]) -> None:
        self._switches = switches
        self._why_not = why_not
        self._alarm = alarm
        self._members: dict[LogicalSwitch, list[LogicalSwitch]] = {}
        """Of each logical switch that is wired, or would be, those that wires join."""
        self.cut: dict[str, str] = {}
        """Logical switch -> why its wires are not there although both ends are named."""

    def members(self, ls: LogicalSwitch) -> list[LogicalSwitch]:
        """The logical switches that wires join to one, itself among them, as they were found last."""
        return self._members.get(ls, [ls])

    def together(self, ls: LogicalSwitch) -> list[LogicalSwitch]:
        """The logical switches that share their edges with one, itself among them."""
        return self.members(ls) if ls.wired else [ls]

    def look(self, ls: LogicalSwitch) -> Found:
        """Wire what is to be wired to `ls`, and cut what is not any more."""
        found = Found(list(dict.fromkeys([ls, *self._joined(ls), *self.members(ls)])))
        seen: set[LogicalSwitch] = set()
        for each in found.members:
            if each not in seen:
                part = self._joined(each)
                seen.update(part)
                self._join(part, found)
        return found

    def _join(self, part: list[LogicalSwitch], found: Found) -> None:
        wires = {each: dict(self._wires(each)) for each in part}
        wanted = any(wires.values())
        edges = frozenset(dpid for each in part for port in each.ports.values() for dpid in port.dpids)
        before = {each: {port: port.wire for port in each.ports.values()} for each in part}
        for each in part:
            self._members.pop(each, None)
            if wanted:
                self._members[each] = part
            _wire(each, wires[each], edges if wanted else frozenset())
        reason = self._why_not(part) if wanted else ""
        if reason:
            for each in part:
                _wire(each, {}, frozenset())
        self._say(part, reason)
        for each in part:
            for port, wire in before[each].items():
                if port.wire != wire:
                    # What is restored was wired, and is placed already.
                    port.placed = port.placed and wire is None and port.wire is not None
                    if port.wire is not None:
                        port.tally.wired_to((port.wire.ls.ls_id, port.wire.port.index))
                        found.rewired.setdefault(each, []).append(port.number)

    def _say(self, part: list[LogicalSwitch], reason: str) -> None:
        names = sorted(each.spec.name for each in part)
        if reason and any(self.cut.get(name) != reason for name in names):
            self._alarm(f"logical switches are not wired together: {reason}", logical_switches=names)
        for name in names:
            self.cut.pop(name, None)
            if reason:
                self.cut[name] = reason

    def _joined(self, ls: LogicalSwitch) -> list[LogicalSwitch]:
        """All that wires would lead to from a logical switch, itself first."""
        found, ahead = {ls: None}, [ls]
        while ahead:
            for _, wire in self._wires(ahead.pop()):
                if wire.ls not in found:
                    found[wire.ls] = None
                    ahead.append(wire.ls)
        return list(found)

    def _wires(self, ls: LogicalSwitch) -> Iterator[tuple[LogicalPort, Wire]]:
        """The ports of a logical switch that name another one which names them, each with that."""
        for port in ls.ports.values():
            attach = port.spec.attach
            if attach is None or attach.peer is None:
                continue
            name, _, number = attach.peer.partition("/")
            other = self._switches.get(name)
            there = None if other is None else other.ports.get(int(number))
            if other is not None and there is not None and there is not port and there.spec.attach is not None and (
                    other.tenant == ls.tenant and there.spec.attach.peer == f"{ls.spec.name}/{port.number}"):
                yield port, Wire(other, there)


def _wire(ls: LogicalSwitch, wires: Mapping[LogicalPort, Wire], edges: frozenset[Dpid]) -> None:
    ls.wired = edges
    for port in ls.ports.values():
        port.wire = wires.get(port)


def neighbours(ls: LogicalSwitch) -> list[LogicalSwitch]:
    """The other logical switches at the other ends of its wires."""
    wired = dict.fromkeys(port.wire.ls for port in ls.ports.values() if port.wire is not None)
    return [each for each in wired if each is not ls]
