"""The tunnels between switches: which are to be, the ports that the databases must have for them, the links they make.

A tunnel is wanted as soon as the fabric is known (compiler.encapsulation says for whom), and is let go some time after
nobody wants it any more: first as a link, and its ports only when no frame goes there. A tunnel is a link while both
its ports are there as they should be, under the same names over OpenFlow, so also one that an earlier hvproxy has
made. What a database said of tunnels counts for as long as there is nothing newer: whatever becomes of the database,
the switch carries on. So does what was so before a restart, until the database of the switch has told.
Knows logical switches only by the edges they share.
"""
from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from math import inf
from typing import Final, Protocol

from hvproxy.compiler.encapsulation import Pair, tunnels_wanted
from hvproxy.hypervisor.commands import Outbox
from hvproxy.hypervisor.databases import Database, Databases
from hvproxy.hypervisor.links import Links
from hvproxy.hypervisor.switches import Switches
from hvproxy.model.view import Carriage, Dpid, Link, PortNo
from hvproxy.ovsdb.session import Session
from hvproxy.ovsdb.transact import Operation
from hvproxy.ovsdb.tunnels import FIRST_PORT, SeenTunnel, TunnelPort, correction, creation, removal
from hvproxy.ovsdb.vswitch import SeenBridge

DELAY: Final = 0.02
"""Seconds in which changes are gathered before they are looked at."""
DELAY_PER_TUNNEL: Final = 1e-4
"""The same for each tunnel that will be looked at, so that looking leaves time for the rest."""
NOT_KNOWN_DELAY: Final = 0.5
"""The same while the fabric is not known yet."""
AGAIN: Final = 1.0
"""Seconds before the same port is seen to again: who changes it may have a reason, and must not keep us busy."""
TOGETHER: Final = 64
"""Ports that are made in one transaction."""
OVERLAP: Final = "several switches have one tunnel endpoint: none that is new is used; give each its own"
NO_ADDRESS: Final = "a tunnel endpoint is no IP address: write one"
MIXED: Final = "a tunnel endpoint is IPv4 and the other IPv6: no tunnel is made; give both addresses of one kind"
SHOWN: Final = 80
"""Characters of one that the operator is told."""
REFUSED: Final = "a database refused what a tunnel needs"
FAILED: Final = "Open vSwitch cannot make a tunnel port"
AUTO: Final = "gre"
"""The type where nobody says which."""


class TunnelsOwner(Protocol):
    """Who knows what tunnels are for, and hears of them."""

    def shared_edges(self) -> Iterable[Collection[Dpid]]:
        """The edges of each logical switch."""

    def tunnels_changed(self, now: float) -> None:
        """Endpoints or links are others now."""

    @property
    def fabric_known(self) -> bool:
        """All switches, databases and links are known that are there: what is missing now is missing."""

    @property
    def shunned(self) -> frozenset[Dpid]:
        """The datapaths that had better carry nothing."""

    def is_used(self, dpid: Dpid, port_no: int) -> bool:
        """Whether a switch may still send frames to a port."""


@dataclass(frozen=True, slots=True)
class Place:
    """The bridge of a datapath, and the database that has it."""

    database: Database
    bridge: SeenBridge
    tunnels: Mapping[tuple[str, str], SeenTunnel]
    """The bridge's, by name and mark."""

    @classmethod
    def of(cls, database: Database, bridge: SeenBridge) -> Place:
        return cls(database, bridge, {(tunnel.name, tunnel.mark): tunnel for tunnel in bridge.tunnels})


class Tunnels:
    """All of them."""

    def __init__(self, owner: TunnelsOwner, switches: Switches, links: Links, databases: Databases, out: Outbox,
                 encapsulation: str, configured: Mapping[Dpid, str], linger: float, bfd_interval: float) -> None:
        self.bfd_interval = bfd_interval
        """Seconds between two frames of BFD."""
        self.kind = encapsulation if encapsulation in ("gre", "vxlan", "geneve") else AUTO
        self.forced = encapsulation not in ("auto", "vlan")
        self.endpoints: dict[Dpid, str] = {}
        """Datapaths that tunnels may end at -> the address."""
        self.wanted: frozenset[Pair] = frozenset()
        self.links: frozenset[Link] = frozenset()
        """Those that are there, whether frames get through or not."""
        self.overlapping: dict[str, frozenset[Dpid]] = {}
        """Addresses that several datapaths have."""
        self._mixed: frozenset[Pair] = frozenset()
        """Pairs that are to have a tunnel, and whose endpoints are of two kinds."""
        self.deadline = inf
        self._none = encapsulation == "vlan"
        self._owner = owner
        self._switches = switches
        self._links = links
        self._databases = databases
        self._out = out
        self._configured = dict(configured)
        self._linger = linger
        self._places: dict[Dpid, Place] = {}
        self._former: dict[Dpid, str] = {}
        """Endpoints of before a restart of which no database has said anything since."""
        self._former_links: dict[Pair, Link] = {}
        self._unwanted_since: dict[Pair, float] = {}
        self._not_before: dict[tuple[str, str], float] = {}
        """(database, port) -> when it may be seen to again."""
        self._asked: dict[tuple[str, str], Session] = {}
        """The session in which a database was asked to see to a port, while it has not answered."""
        self._alone: set[tuple[str, str]] = set()
        """Those that are seen to in a transaction of their own, since one for several was refused."""
        self._faulty: set[tuple[Dpid, str]] = set()
        """Endpoints that are none, which were told."""
        self._failed: set[tuple[str, str]] = set()
        """(port, why it could not be made) that were told."""

    @property
    def possible(self) -> bool:
        """Whether there may be any."""
        return bool(self._databases.all) and not self._none

    def restore(self, endpoints: Mapping[Dpid, str], links: Iterable[Link]) -> None:
        """The endpoints and tunnels in use before a restart."""
        if self.possible:
            self.endpoints, self._former = dict(endpoints), dict(endpoints)
            self._former_links = {(link.a_dpid, link.b_dpid): link for link in links}
            self.links = frozenset(self._former_links.values())

    def set_bfd_interval(self, seconds: float, now: float) -> None:
        """BFD looks so often from now on, at tunnels that are there too: they go on meanwhile."""
        self.bfd_interval = seconds
        self.look_soon(now)

    def look_soon(self, now: float, delay: float = DELAY) -> None:
        """Something has changed that may matter."""
        if self._databases.all:
            self.deadline = min(self.deadline, now + delay + len(self.wanted) * DELAY_PER_TUNNEL)

    def tick(self, now: float) -> None:
        """Look, if it is time."""
        if now >= self.deadline:
            self.deadline = inf
            self._look(now)

    def see_endpoints(self, now: float) -> None:
        """Something is about to be bound: labels depend on who has an endpoint, so those that are new count at once."""
        if not self.possible:
            return
        self._see_places()
        fresh = {dpid: address for dpid, address in self._find_endpoints().items() if dpid not in self.endpoints}
        if fresh:
            self.endpoints = {**self.endpoints, **fresh}
            self._owner.tunnels_changed(now)

    def ports(self, pair: Pair) -> tuple[TunnelPort, TunnelPort]:
        """Both ends of a tunnel as they are to be."""
        a, b = pair
        return (TunnelPort(a, b, self.kind, self.endpoints[a], self.endpoints[b], self.bfd_interval),
                TunnelPort(b, a, self.kind, self.endpoints[b], self.endpoints[a], self.bfd_interval))

    def seen(self, port: TunnelPort) -> SeenTunnel | None:
        """The port as its database has it."""
        place = self._places.get(port.local)
        return None if place is None else place.tunnels.get((port.name, port.mark))

    # Looking

    def _look(self, now: float) -> None:
        self._see_places()
        endpoints = self._find_endpoints()
        known = self._owner.fabric_known
        self._see_wanted(known, endpoints, now)
        kept = {*self.wanted, *(pair for pair, since in self._unwanted_since.items() if now < since + self._linger)}
        if not known and not self._none:
            # Tunnels of an earlier hvproxy are used until it is clear which are wanted.
            kept |= self._marked() | self._former_links.keys()
        kept = {pair for pair in kept if set(pair) <= endpoints.keys() and _of_one_kind(pair, endpoints)}
        before, self.endpoints = (self.endpoints, self.links), endpoints
        self.links = frozenset(link for pair in kept if (link := self._link(pair)) is not None)
        if before != (self.endpoints, self.links):
            self._owner.tunnels_changed(now)
        if known:
            self._see_to(frozenset(kept), now)
        else:
            self.look_soon(now, NOT_KNOWN_DELAY)

    def _see_places(self) -> None:
        told: dict[Dpid, Place] = {}
        for database in self._databases.all.values():
            if database.connected or database.seen.bridges:
                # A database that was started anew has forgotten the datapath ids, until Open vSwitch tells them again.
                unsaid = {bridge.uuid for bridge in database.seen.bridges if bridge.dpid is None}
                gone = [dpid for dpid, place in self._places.items()
                        if place.database is database and place.bridge.uuid not in unsaid]
                for dpid in gone:
                    del self._places[dpid]
            for bridge in database.seen.bridges:
                if bridge.dpid is not None and bridge.dpid in self._switches.datapaths:
                    known = self._places.get(bridge.dpid)
                    told.setdefault(bridge.dpid, known if known is not None and known.bridge is bridge and
                                    known.database is database else Place.of(database, bridge))
        self._places.update(told)
        for dpid in told:
            self._former.pop(dpid, None)

    def _find_endpoints(self) -> dict[Dpid, str]:
        """Of the datapaths whose ports we can see to; as they were until all databases have answered, or are given up,
        so that it does not matter which answers first. Where one does not answer, tunnels of before carry on."""
        if not self._databases.known:
            return self.endpoints
        said = {dpid: place.bridge.endpoint for dpid, place in self._places.items()}
        said |= {dpid: self._former[dpid] for pair in self._former_links for dpid in pair if dpid in self._former}
        found = {dpid: address for dpid, endpoint in said.items()
                 if (address := self._configured.get(dpid, endpoint)) is not None}
        for dpid, address in list(found.items()):
            try:
                found[dpid] = str(ip_address(address))
            except ValueError:
                del found[dpid]
                if (dpid, address) not in self._faulty:
                    self._faulty.add((dpid, address))
                    self._switches.alarm(NO_ADDRESS, dpid=f"{dpid:016x}", address=address[:SHOWN])
        owners: dict[str, set[Dpid]] = {}
        for dpid, address in {**found, **self._configured}.items():
            owners.setdefault(address, set()).add(dpid)
        overlapping = {address: frozenset(dpids) for address, dpids in owners.items() if len(dpids) > 1}
        for address, dpids in overlapping.items():
            if self.overlapping.get(address) != dpids:
                self._switches.alarm(OVERLAP, address=address, dpids=[f"{dpid:016x}" for dpid in sorted(dpids)])
        self.overlapping = overlapping
        return {dpid: address for dpid, address in found.items()
                if address not in overlapping or self._had_it_first(dpid, address, overlapping[address])}

    def _had_it_first(self, dpid: Dpid, address: str, others: frozenset[Dpid]) -> bool:
        """Of several switches with one address, whether this is the one that the operator vouches for, or else the
        one whose tunnels work: what somebody writes into a database must not stop them."""
        entitled = others & self._configured.keys() or {each for each in others if self.endpoints.get(each) == address}
        return entitled == {dpid}

    def _see_wanted(self, known: bool, endpoints: Mapping[Dpid, str], now: float) -> None:
        if not known:
            return
        wanted: frozenset[Pair] = frozenset() if self._none else tunnels_wanted(
            self._owner.shared_edges(), self._links.vlan, endpoints, forced=self.forced, shunned=self._owner.shunned)
        mixed = frozenset(pair for pair in wanted if not _of_one_kind(pair, endpoints))
        for a, b in sorted(mixed - self._mixed):
            self._switches.alarm(MIXED, dpids=[f"{a:016x}", f"{b:016x}"], addresses=[endpoints[a], endpoints[b]])
        self._mixed = mixed
        wanted -= mixed
        there = self._marked()
        self._unwanted_since = {pair: self._unwanted_since.get(pair, now) for pair in {*self.wanted, *there} - wanted}
        self.wanted = wanted
        ends = [since + self._linger for since in self._unwanted_since.values()]
        self.deadline = min([self.deadline, *(end for end in ends if end > now)])

    def _marked(self) -> set[Pair]:
        """The pairs that our ports are for."""
        found = set()
        digits = {f"{dpid:016x}": dpid for dpid in self._places}
        for dpid, place in self._places.items():
            for _, mark in place.tunnels:
                local, _, remote = mark.partition("-")
                if local == f"{dpid:016x}" and remote in digits:
                    found.add((min(dpid, digits[remote]), max(dpid, digits[remote])))
        return found

    def _link(self, pair: Pair) -> Link | None:
        """The link that a tunnel makes; None while one of its ports is not there."""
        former = self._former_links.get(pair)
        ends = []
        for port, end in zip(self.ports(pair), (None, None) if former is None else former.ends, strict=True):
            number = self._number(port, None if end is None else end[1])
            if number is None:
                return None
            ends.append((port.local, number))
        return Link(*ends[0], *ends[1], Carriage.TUNNEL)

    def _number(self, port: TunnelPort, former: PortNo | None) -> PortNo | None:
        """The number of a port that is there and carries frames as it is to. After a restart it is where it was, until
        its database and its switch have said otherwise."""
        if port.local in self._former:
            number = former
        else:
            seen = self.seen(port)
            number = None
            if seen is not None and seen.carries(port):
                number = self._switches.port_number(port.local, port.name) if seen.ofport is None else seen.ofport
        if number is None or number == former and self._switches.untold(port.local):
            return number
        desc = self._switches.datapaths[port.local].ports.get(number)
        return number if desc is not None and desc.name == port.name else None

    # Seeing to ports

    def _see_to(self, kept: frozenset[Pair], now: float) -> None:
        """Have the databases make, correct and remove ports."""
        ports: dict[Dpid, dict[str, TunnelPort]] = {}
        for pair in sorted(kept):
            for port in self.ports(pair):
                ports.setdefault(port.local, {})[port.name] = port
        for dpid, place in sorted(self._places.items()):
            if place.database.connected:
                self._see_to_bridge(place, ports.get(dpid, {}), now)

    def _see_to_bridge(self, place: Place, ports: Mapping[str, TunnelPort], now: float) -> None:
        bridge, seen_at = place.bridge, place.bridge.dpid
        assert seen_at is not None
        there: set[str] = set()
        for seen in bridge.tunnels:
            port = ports.get(seen.name)
            if seen.error is not None and (seen.name, seen.error) not in self._failed:
                self._failed.add((seen.name, seen.error))
                self._switches.alarm(FAILED, bridge=bridge.name, port=seen.name, reason=seen.error)
            if port is None or port.mark != seen.mark or seen.name in there:
                if seen.ofport is None or not self._owner.is_used(seen_at, seen.ofport):
                    self._have(place, seen.name, removal(seen), "tunnel port removed", now)
                else:
                    self.look_soon(now, NOT_KNOWN_DELAY)
                continue
            there.add(seen.name)
            if not seen.right(port):
                self._have(place, seen.name, correction(seen, port), "tunnel port corrected", now)
        numbers = (number for number in range(FIRST_PORT, 2 * FIRST_PORT) if number not in bridge.ofports)
        missing = [(ports[name], next(numbers)) for name in sorted(ports.keys() - there)
                   if self._may_ask(place, name, now)]
        together = [each for each in missing if (place.database.address, each[0].name) not in self._alone]
        alone = [[each] for each in missing if each not in together]
        for some in (*(together[at:at + TOGETHER] for at in range(0, len(together), TOGETHER)), *alone):
            operations = [each for port, number in some for each in creation(bridge.uuid, port, number)]
            self._ask(place, operations, "tunnel port made", now, {
                port.name: {"local_ip": port.local_ip, "remote_ip": port.remote_ip} for port, _ in some})

    def _have(self, place: Place, name: str, operations: list[Operation], event: str, now: float) -> None:
        """Have a transaction carried out, unless there was one for this port just now."""
        if self._may_ask(place, name, now):
            self._ask(place, operations, event, now, {name: {}})

    def _may_ask(self, place: Place, name: str, now: float) -> bool:
        """Whether a port can be seen to now; else it is looked again later."""
        key = (place.database.address, name)
        due = self._not_before.get(key, 0.0)
        if now < due:
            self.look_soon(now, due - now)
            return False
        # If it was asked, it is looked again when the answer, or what has become of it, comes.
        return self._asked.get(key) is not place.database.session

    def _ask(self, place: Place, operations: list[Operation], event: str, now: float,
             ports: Mapping[str, Mapping[str, object]]) -> None:
        """Have a transaction carried out for these ports, with what is told of each."""
        database, session = place.database, place.database.session
        assert session is not None
        told = {(database.address, name): {"database": database.address, "bridge": place.bridge.name, "port": name,
                                           **more}
                for name, more in ports.items()}
        for key in told:
            self._not_before[key] = now + AGAIN
            self._asked[key] = session

        def done(refusal: str | None, at: float) -> None:
            for key, fields in told.items():
                self._asked.pop(key, None)
                if refusal is None:
                    self._out.log("info", event, **fields)
                elif len(told) == 1:
                    self._switches.alarm(REFUSED, **fields, reason=refusal)
                else:
                    del self._not_before[key]
            self._alone.difference_update(told)
            if refusal is not None and len(told) > 1:
                self._alone.update(told)  # to find out which of them it is
            self.look_soon(at, AGAIN if refusal is not None and len(told) == 1 else DELAY)

        session.transact(operations, done)
        self._databases.flush(database, now)


def _of_one_kind(pair: Pair, endpoints: Mapping[Dpid, str]) -> bool:
    """Whether both endpoints are IPv4, or both IPv6."""
    return len({":" in endpoints[dpid] for dpid in pair}) == 1
