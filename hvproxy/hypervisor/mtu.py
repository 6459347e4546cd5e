"""The MTU of every logical port: what its own interface allows and what the fabric carries to the other edges.

The MTUs of interfaces are what the databases of the switches tell; where none tells, nothing is known and nothing is
said. What a frame may cross counts, also while one link fails. Looked at once a second, and computed only if anything
it depends on has changed. An underlay that is too small for what an access port allows is an alarm.
"""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import permutations
from typing import Final

from hvproxy.compiler.mtu import overhead
from hvproxy.hypervisor.databases import Databases
from hvproxy.hypervisor.fabric import Fabric
from hvproxy.hypervisor.logical_switch import LogicalSwitch
from hvproxy.hypervisor.switches import Switches
from hvproxy.hypervisor.tunnels import Tunnels
from hvproxy.model.view import Dpid, PortNo
from hvproxy.ovsdb.vswitch import SeenMtu

TOO_SMALL: Final = ("the underlay is too small for what access ports allow: larger frames are lost; give the "
                    "interface the MTU it needs, or the hosts what it carries")


@dataclass(frozen=True, slots=True, order=True)
class Narrow:
    """An end of a link, and what it carries."""

    carries: int
    dpid: Dpid
    interface: str
    has: int
    """Its MTU."""

    def needs(self, mtu: int) -> int:
        """The MTU it must have to carry as much."""
        return mtu + self.has - self.carries


@dataclass(frozen=True, slots=True)
class PortMtu:
    """What is known of the MTU of a logical port."""

    access: int | None
    """Of its own interface."""
    narrowest: Narrow | None
    """Of the ends of links that its frames may cross."""

    @property
    def mtu(self) -> int | None:
        """How large its host's packets may be so that they reach every other edge."""
        known = [self.access, None if self.narrowest is None else self.narrowest.carries]
        return min((each for each in known if each is not None), default=None)

    @property
    def too_small(self) -> Narrow | None:
        """Where frames are lost that its interface allows."""
        narrowest = self.narrowest
        return narrowest if narrowest is not None and narrowest.carries < (self.access or 0) else None

    @property
    def advice(self) -> str | None:
        """What an operator should do, if anything."""
        narrow = self.too_small
        return None if narrow is None or self.access is None else (
            f"{narrow.interface} of {narrow.dpid:016x} has an MTU of {narrow.has}: "
            f"give it {narrow.needs(self.access)}, or the host {narrow.carries} instead of {self.access}")


UNKNOWN: Final = PortMtu(None, None)


class Mtus:
    """Those of all logical ports, as they were when it was last looked."""

    def __init__(self, switches: Switches, databases: Databases, tunnels: Tunnels, fabric: Fabric) -> None:
        self.ports: dict[tuple[str, int], PortMtu] = {}
        """By logical switch and number."""
        self._switches = switches
        self._databases = databases
        self._tunnels = tunnels
        self._fabric = fabric
        self._looked_at: list[object] = []
        self._told: set[tuple[str, Narrow, int]] = set()
        """What is too small now: (logical switch, where, for which MTU)."""

    def of(self, logical_switch: str, number: int) -> PortMtu:
        return self.ports.get((logical_switch, number), UNKNOWN)

    def look(self, logical_switches: Mapping[str, LogicalSwitch]) -> None:
        """Compute them anew, if anything is otherwise than the last time, and tell what is too small."""
        seen: list[object] = [database.seen for database in self._databases.all.values()]
        if not seen:
            return
        # All of these are values: another one is another object.
        seen += [self._fabric.topology, self._fabric.endpoints, len(self._fabric.starved)]
        seen += [ls.view for ls in logical_switches.values()]
        if len(seen) == len(self._looked_at) and all(a is b for a, b in zip(seen, self._looked_at, strict=True)):
            return
        self._looked_at = seen
        self.ports = self.compute(logical_switches.values())
        self._tell()

    def compute(self, logical_switches: Iterable[LogicalSwitch]) -> dict[tuple[str, int], PortMtu]:
        """From what is known now."""
        interfaces = {(bridge.dpid, each.ofport): each for database in self._databases.all.values()
                      for bridge in database.seen.bridges if bridge.dpid is not None for each in bridge.mtus}
        ends = self._ends(interfaces)
        between: dict[tuple[Dpid, Dpid], Narrow | None] = {}
        found = {}
        for ls in logical_switches:
            edges = ls.view.edges
            from_here: dict[Dpid, Narrow | None] = {}
            for lport in ls.view.lports:
                if lport.vif is None:
                    continue
                here = lport.vif.dpid
                if here not in from_here:
                    narrow = []
                    for there in edges:
                        if there != here and self._fabric.joined(ls.view.ls_id, here, there):
                            if (here, there) not in between:
                                between[here, there] = self._narrowest(here, there, ends)
                            narrow.append(between[here, there])
                    from_here[here] = min((each for each in narrow if each), default=None)
                access = interfaces.get((here, lport.vif.port_no))
                found[ls.spec.name, lport.number] = PortMtu(None if access is None else access.mtu, from_here[here])
        return found

    def _ends(self, interfaces: Mapping[tuple[Dpid, PortNo], SeenMtu]) -> dict[tuple[Dpid, Dpid], Narrow]:
        """The narrowest end of a link on each datapath whose MTU is known, by where the links lead."""
        found: dict[tuple[Dpid, Dpid], Narrow] = {}
        topology = self._fabric.topology
        for (dpid, port_no), (peer, _) in topology.peers.items():
            seen = interfaces.get((dpid, port_no))
            if seen is not None:
                kind = self._tunnels.kind if (dpid, port_no) in topology.tunnels else "vlan"
                carries = seen.mtu - overhead(kind, six=":" in self._tunnels.endpoints.get(dpid, ""))
                narrow = Narrow(carries, dpid, seen.interface, seen.mtu)
                found[dpid, peer] = min(narrow, found.get((dpid, peer), narrow))
        return found

    def _narrowest(self, source: Dpid, destination: Dpid, ends: Mapping[tuple[Dpid, Dpid], Narrow]) -> Narrow | None:
        between = permutations(self._fabric.crossed(source, destination), 2)
        return min((narrow for pair in between if (narrow := ends.get(pair)) is not None), default=None)

    def _tell(self) -> None:
        small: dict[tuple[str, Narrow, int], list[int]] = {}
        for (name, number), port in sorted(self.ports.items()):
            if port.too_small is not None and port.access is not None:
                small.setdefault((name, port.too_small, port.access), []).append(number)
        for (name, narrow, access), numbers in small.items():
            if (name, narrow, access) not in self._told:
                self._switches.alarm(TOO_SMALL, logical_switch=name, ports=numbers, allow=access,
                                     dpid=f"{narrow.dpid:016x}", interface=narrow.interface, has=narrow.has,
                                     needs=narrow.needs(access), carries=narrow.carries)
        self._told = set(small)
