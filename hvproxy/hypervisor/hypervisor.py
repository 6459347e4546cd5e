"""The core's root: it joins the switches, the fabric and the logical switches, and passes messages between them.

Pure: connections are numbers, time is an argument, what is to be done is left in the outbox (design 1.6).
What operators want to exist comes in through Intent (intent.py); what they can look at is in report.py.
"""
from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from functools import partial

from hvproxy.compiler.encapsulation import links_used
from hvproxy.hypervisor import aging, draining, group_counters, homes, metering, port_counters, vifs
from hvproxy.hypervisor.arrivals import Arrivals
from hvproxy.hypervisor.auditing import Auditing
from hvproxy.hypervisor.binding import resolve
from hvproxy.hypervisor.commands import Command, Outbox
from hvproxy.hypervisor.compiled_switch import joined
from hvproxy.hypervisor.controller_session import ControllerSession
from hvproxy.hypervisor.databases import Databases
from hvproxy.hypervisor.datapath import Datapath
from hvproxy.hypervisor.discovery import Discovery
from hvproxy.hypervisor.drains import Drains
from hvproxy.hypervisor.fabric import Fabric
from hvproxy.hypervisor.fabric_ledger import FabricLedger
from hvproxy.hypervisor.journal import Journal
from hvproxy.hypervisor.lacking import missing
from hvproxy.hypervisor.logical_port import LogicalPort
from hvproxy.hypervisor.logical_switch import LogicalSwitch
from hvproxy.hypervisor.meter_ids import MeterIds
from hvproxy.hypervisor.moves import Moves
from hvproxy.hypervisor.mtu import Mtus
from hvproxy.hypervisor.places import Places
from hvproxy.hypervisor.port_states import is_up
from hvproxy.hypervisor.rollout import Part, Rollout
from hvproxy.hypervisor.settings import Settings
from hvproxy.hypervisor.sharing import Sharing
from hvproxy.hypervisor.switches import Switches
from hvproxy.hypervisor.to_switches import ToSwitches
from hvproxy.hypervisor.tracking import Zones
from hvproxy.hypervisor.tunnels import Tunnels
from hvproxy.hypervisor.wiring import Wiring, neighbours
from hvproxy.model.rules import Change, Content, Item
from hvproxy.model.view import Carriage, Dpid, Link, PortNo
from hvproxy.openflow.constants import of13
from hvproxy.openflow.messages import ErrorMsg

IDLE_POLL = 1.0
"""Seconds between two looks at the counters of entries with an idle timeout: that late one may expire (trap 4). At the
same time the demand for meters on several edges is measured (trap 20)."""


class Hypervisor(ToSwitches):
    """All state. Adapters call the methods that take `now`, then carry out `commands()`."""

    def __init__(self, settings: Settings, now: float) -> None:
        """Begin with nothing; see restore for what an earlier core has had stored."""
        self.out = Outbox()
        self.settings = settings
        self.journal = Journal(settings.durability)
        self.wall = settings.wall
        self.ledger = FabricLedger(self.journal, settings.wall)
        discovery = None if settings.secret is None else Discovery(
            settings.secret, settings.discovery_interval, address=settings.discovery_address)
        self.ledger.begin(settings.layout, None if discovery is None else discovery.destination)
        self.switches = Switches(self, self.out, settings.grace, settings.links, discovery)
        self.databases = Databases(self, self.switches, self.out, settings.grace, settings.databases,
                                   settings.configure_bridges, now)
        self.drains = Drains(self.ledger.drain)
        self.places = Places(self.databases, self.switches, self.drains)
        self.fabric = Fabric(settings.layout, settings.first_vid, settings.last_vid,
                             None if discovery is None else int.from_bytes(discovery.destination, "big"),
                             Carriage.VLAN if settings.encapsulation not in ("auto", "vlan") else Carriage.TUNNEL)
        for space, kind in zip(self.fabric.label_spaces, ("label", "key"), strict=True):
            space.noted, space.rests = partial(self.ledger.label, kind), self.ledger.rest
            space.lent = self.ledger.block
        self.tunnels = Tunnels(self, self.switches, self.databases, self.out, settings.encapsulation,
                               settings.tunnel_endpoints, settings.grace)
        self.mtus = Mtus(self.switches, self.databases, self.tunnels, self.fabric)
        self.rollout = Rollout(self.send_change, self.confirm_connected, self.holds)
        self.moves = Moves(self)
        self.sharing = Sharing(self)
        self.meter_ids = MeterIds()
        self.zones = Zones()
        self.auditing = Auditing(settings.audit, settings.remove_foreign, now)
        self.logical_switches: dict[str, LogicalSwitch] = {}
        self.wiring = Wiring(self.logical_switches, self._why_not_joined, self.switches.alarm)
        self.tenants: set[str] = set()
        """Also those that have no logical switch."""
        self.named_tenants: set[str] = set()
        self.named: dict[str, bytes] = {}
        """What the configuration file said: tenants, and logical switches as JSON by name. See configured."""
        self.by_id: dict[int, LogicalSwitch] = {}
        self.sessions: dict[int, tuple[LogicalSwitch, ControllerSession]] = {}
        self.bound: dict[tuple[Dpid, PortNo], int] = {}
        """Physical port -> how many lports are bound to it."""
        self.arrivals = Arrivals(self)
        self.settling_in = False
        """After a restart: not all switches have been heard yet."""
        self.barrier_times: list[float] = []
        """Seconds that tenants' barriers took, for the metrics, which take them out."""
        self.waiting_to_dial: set[str] = set()
        """Logical switches whose controllers are not dialled yet, because not all switches are known."""
        self.without_identifiers: set[str] = set()
        """Logical switches that have not found room for all their ports."""
        self._missing: dict[Dpid, list[str]] = {}
        """What each switch lacked of what hvproxy needs when that was looked at last."""
        self._next_poll = now + IDLE_POLL
        for link in settings.links:
            for dpid, _ in (link.a, link.b):
                self.switches.expect(dpid, now)

    def commands(self) -> list[Command]:
        """What is to be done now, in order."""
        batch = self.journal.take()
        if batch is not None:
            self.out.commit(batch.revision, batch.puts, batch.deletes)
        return self.out.drain()

    # Connections

    def listening(self, now: float) -> None:
        """Only from now on can switches and databases be heard, however long it took to get here: much may have been
        stored. The grace in which nothing changes for those that are away begins."""
        self.switches.listening(now)
        self.databases.listening(now)

    def switch_connected(self, conn: int, peer: str, now: float) -> None:
        self.switches.connected(conn, peer, now)

    def database_connected(self, conn: int, address: str, now: float) -> None:
        self.databases.connected(conn, address, now)

    def controller_connected(self, conn: int, logical_switch: str, peer: str, passive: bool, now: float) -> None:
        """A connection to a controller of that logical switch, dialled or (passive) accepted."""
        ls = self.logical_switches.get(logical_switch)
        if ls is None:
            self.out.close(conn, "the logical switch is gone")
            return
        session = ControllerSession(conn, now, self.out, peer=peer, passive=passive, tally=ls.sent)
        ls.sessions[conn] = session
        self.sessions[conn] = (ls, session)

    def received(self, conn: int, data: bytes, now: float) -> None:
        """Bytes arrived on a connection."""
        found = self.sessions.get(conn)
        if found is not None:
            found[0].receive(found[1], data, now)
        elif self.databases.owns(conn):
            self.databases.received(conn, data, now)
        else:
            self.switches.received_data(conn, data, now)

    def congested(self, conn: int, full: bool, now: float) -> None:
        """A peer does not take what is sent to it (or does again): its packet-ins are dropped, as a switch does."""
        found = self.sessions.get(conn)
        if found is None:
            return
        if full:
            found[1].congested = True
        else:
            found[0].relieved(found[1], now)

    def connection_lost(self, conn: int, now: float) -> None:
        found = self.sessions.pop(conn, None)
        if found is not None:
            found[0].closed(found[1])
        elif self.databases.owns(conn):
            self.databases.lost(conn, now)
        else:
            self.switches.lost(conn, now)

    # The store

    def committed(self, revision: int, now: float) -> None:
        """A Commit is stored."""
        self.journal.stored(revision, now)

    def store_failed(self, reason: str, now: float) -> None:
        """The store cannot store: the Commit is tried again, and barriers are not promised until `store_recovered`."""
        self.out.log("error", "the store has failed: nothing is stored until it works again", reason=reason)
        self.journal.failed(reason, now)

    def store_recovered(self, now: float) -> None:
        """The store stores again."""
        self.out.log("info", "the store works again")
        self.journal.recovered()

    # Time

    @property
    def deadline(self) -> float:
        """When `tick` must be called next at the latest."""
        times = [self.switches.deadline, self.databases.deadline, self.tunnels.deadline, self._next_poll,
                 self.auditing.deadline, self.moves.deadline]
        times += [space.deadline for space in self.fabric.label_spaces]
        times += [ls.deadline for ls in self.logical_switches.values()]
        return min(times)

    def tick(self, now: float) -> None:
        """Let time pass."""
        self.switches.tick(now)
        self.databases.tick(now)
        self.auditing.tick(self, now)
        self.tunnels.tick(now)
        self.moves.tick(now)
        if any([space.tick(now) for space in self.fabric.label_spaces]):
            self.rollout.aim(self.fabric.feed(now), now)
            self._find_room(now)
        for ls in list(self.logical_switches.values()):
            if now >= ls.deadline:
                ls.tick(now)
        if now >= self._next_poll:
            self._next_poll = now + IDLE_POLL
            vifs.take_what_is_free(self, now)
            self.mtus.look(self.logical_switches)
            draining.look(self, now)
            for ls in self.logical_switches.values():
                aging.poll_idle(ls, now)
                ls.retiring.poll(ls, now)
                metering.poll(ls, now)
                ls.ledger.checkpoint()
        if self.settling_in and self.switches.all_known:
            self.settling_in = False
            for ls in self.logical_switches.values():
                aging.let_expire(ls, now)
                self.bind(ls, now)
        self._dial_when_known(now)

    # What the switches tell

    def ports_changed(self, dp: Datapath, now: float) -> None:
        self.rollout.aim(self.fabric.base([dp.dpid]), now)
        for ls in self._on(dp.dpid):
            self.bind(ls, now)
        self.tunnels.look_soon(now)

    def datapath_ready(self, dp: Datapath, now: float) -> None:
        self._see_missing(dp)
        self._note_datapath(dp.dpid)
        for ls in self._on(dp.dpid):
            self.bind(ls, now)
        self.databases.check(now)
        self._dial_when_known(now)

    def missing(self, dp: Datapath) -> list[str]:
        """What a switch lacks of what hvproxy needs for the logical switches there; nothing before it has told."""
        if dp.offer.features is None:
            return []
        decided = [ls for ls in self.logical_switches.values() if dp.dpid in ls.edges or ls in self._on(dp.dpid)]
        tables = max((min(ls.spec.tables, ls.tables.holding) for ls in decided), default=0)
        return missing(dp.offer.features.n_tables, dp.offer.tables, dp.offer.group_features, tables)

    def _see_missing(self, dp: Datapath) -> None:
        lacks = self.missing(dp)
        if lacks and lacks != self._missing.get(dp.dpid):
            self.switches.alarm("a switch lacks what hvproxy needs", dpid=f"{dp.dpid:016x}", missing=lacks)
        self._missing[dp.dpid] = lacks

    def datapath_absent(self, dp: Datapath, now: float) -> None:
        for ls in self._on(dp.dpid):
            self.bind(ls, now)
        self._dial_when_known(now)

    def _note_datapath(self, dpid: Dpid) -> None:
        dp = self.switches.datapaths.get(dpid)
        self.ledger.datapath(dpid, self.fabric.destinations.get(dpid), None if dp is None else dp.offer.extended,
                             self.tunnels.endpoints.get(dpid))

    def links_changed(self, now: float) -> None:
        self.ledger.links(self.switches.links)
        starved = set(self.fabric.starved)
        used = links_used(self.switches.links, self.fabric.endpoints, forced=self.tunnels.forced)
        self.rollout.aim(self.fabric.set_links(used, now), now)
        self.tunnels.look_soon(now)
        for ls_id in sorted(self.fabric.starved - starved):
            self.switches.alarm("a VLAN link is on the way now, and no VLAN labels are left: the edges are apart; "
                                "widen fabric.vlan_range",
                                logical_switch=self.by_id[ls_id].spec.name)
        self._find_room(now)
        self.moves.ways_changed(now)
        for ls in self.logical_switches.values():
            if ls.tracking.in_use or ls.tracking.home is not None:
                homes.settle(self, ls, now, links_changed=True)
                self.bind(ls, now)
        for link in self.fabric.topology.ambiguous:
            self.switches.alarm("a port is an end of two links: neither is used", link=repr(link))
        for ls in self.logical_switches.values():
            self.rollout.when_settled(lambda at, each=ls: self._tell_ports(each, at), now)  # type: ignore[misc]

    def packet_arrived(self, dp: Datapath, message: bytes, now: float) -> None:
        self.arrivals.packet(dp, message, now)

    def rule_removed(self, dp: Datapath, message: bytes, now: float) -> None:
        self.arrivals.removal(dp, message, now)

    def rule_refused(
        self, dp: Datapath, origin: object | None, content: Item | None, error: ErrorMsg, now: float
    ) -> None:
        self.arrivals.refusal(dp, origin, content, error, now)

    def vifs_moved(self, iface_ids: Collection[str], now: float) -> None:
        vifs.moved(self, iface_ids, now)

    def waits_for(self, iface_ids: Collection[str]) -> bool:
        return bool(vifs.waiting(self, iface_ids))

    def databases_changed(self, now: float) -> None:
        self.tunnels.look_soon(now)

    def tunnel_links(self) -> frozenset[Link]:
        return self.tunnels.links

    # What tunnels are for

    def shared_edges(self) -> list[Collection[Dpid]]:
        return [{*view.edges, *self.moves.edges_to_be(self.by_id[ls_id])} for ls_id, view in self.fabric.placed.items()]

    @property
    def fabric_known(self) -> bool:
        return self.switches.explored and self.switches.links_seen and self.databases.known

    @property
    def shunned(self) -> frozenset[Dpid]:
        return self.fabric.shunned

    def is_used(self, dpid: Dpid, port_no: PortNo) -> bool:
        return not self.rollout.settled or (dpid, port_no) in self.fabric.topology.peers

    def tunnels_changed(self, now: float) -> None:
        for dpid in self.fabric.endpoints | self.tunnels.endpoints.keys():
            self._note_datapath(dpid)
        self.fabric.endpoints = frozenset(self.tunnels.endpoints)
        self.switches.look_soon(now)
        if self.tunnels.forced:
            self.links_changed(now)  # which of them are used depends on who has an endpoint
        else:
            self._find_room(now)

    def is_bound(self, dpid: Dpid, port_no: PortNo) -> bool:
        return (dpid, port_no) in self.bound

    # Binding

    def _on(self, dpid: Dpid) -> list[LogicalSwitch]:
        return [ls for ls in self.logical_switches.values()
                if any((place := self.place(ls, p)) is not None and place[0] == dpid for p in ls.ports.values())]

    def place(self, ls: LogicalSwitch, port: LogicalPort) -> tuple[Dpid, PortNo | str] | None:
        """The datapath and port that a logical port belongs to, whether they are there or not."""
        return self.places.of(ls.spec.name, port.spec.attach)

    def bind(self, ls: LogicalSwitch, now: float, risen: Iterable[int] = ()) -> None:
        """Look where the ports of a logical switch are now, and have the datapaths carry that out. Ports in `risen`
        are carried again as those that have moved are."""
        for number in risen:
            ls.ports[number].placed = False
        moved = resolve(ls, self.switches, self.places, self.holder, self.moves, self.sharing, now)
        self.without_identifiers.discard(ls.spec.name)
        others = self.sharing.look(ls)
        turned = self.sharing.turn(ls, moved, now)
        moving = {number for number in moved if ls.ports[number].former is not None}
        if moving and not self.fabric.room(*(each.seen() for each in self.wiring.members(ls))):
            self.switches.alarm("not enough labels for a port to be at both places: it is down while it moves",
                                logical_switch=ls.spec.name, ports=sorted(moving))
            for number in moving:
                ls.ports[number].former, ls.ports[number].placed = None, False
            moving = set()
        found = self.wiring.look(ls)
        for each in found.members:
            self._see_edges(each)
        for each in found.members:
            homes.settle(self, each, now)
        view = ls.seen()
        if moved and not (self.fabric.room(view) and ls.groups.room(p.index for p in view.apart)):
            self.switches.alarm("no identifiers left: logical ports stay down; widen fabric.vlan_range, or "
                                "delete ports", logical_switch=ls.spec.name, ports=moved)
            self.without_identifiers.add(ls.spec.name)
            for number in moved:
                ls.ports[number].vif = ls.ports[number].former = None
            found.members += [each for each in self.wiring.look(ls).members if each not in found.members]
            others |= self.sharing.look(ls)
        if moving:
            # The new place counts from here.
            port_counters.port_stats(ls, sorted(moving), lambda stats, at: None, now)
        changed = [each for each in found.members if each.look_again()]
        if changed:
            self._count_bound()
            parts: dict[Part, dict[Dpid, Content]] = {}
            entries: dict[LogicalSwitch, dict[Dpid, Change]] = {}
            for each in changed:
                parts.update(self.fabric.place(each.view, now))
                if each.reshaped:
                    entries[each] = metering.asking(each, each.meters.meters.values(), each.recompile_all, now)
            parting = {each: gone for each, change in entries.items()
                       if (gone := group_counters.parting(each, change))}
            self.rollout.aim(parts, now, joined(*entries.values()))
            for each, gone in parting.items():
                self.rollout.when_settled(
                    lambda at, each=each, gone=gone: group_counters.part(each, gone, at), now)  # type: ignore[misc]
            self.tunnels.look_soon(now)
        for dpid in {vif.dpid for number in moved if (vif := ls.ports[number].vif) is not None}:
            if self.ready(dpid):
                self._see_missing(self.switches.datapaths[dpid])
        for name in sorted(self.sharing.concerned(others) | (self.sharing.refused if moved else set())):
            if name != ls.spec.name and name in self.logical_switches:
                # What they send must not pass for these ports' before these are up; or there is room for them now.
                self.bind(self.logical_switches[name], now)
        self.sharing.count_anew(ls, turned, now)
        for each in found.members:
            homes.turn(self, each, now)
        self.moves.drain(ls, now)
        placing = [number for number in (*moved, *risen) if number not in moving]
        if placing:
            self.rollout.when_settled(lambda at: self._placed(ls, placing, at), now)
        for each, numbers in found.rewired.items():
            self.rollout.when_settled(
                lambda at, each=each, numbers=numbers: self._placed(each, numbers, at), now)  # type: ignore[misc]
        for each in found.members:
            self._tell_ports(each, now)

    def _see_edges(self, ls: LogicalSwitch) -> None:
        """Take what is known of the edges of a logical switch."""
        ls.plain = frozenset(dp.dpid for dp in self.switches.datapaths.values() if dp.offer.extended is False)
        edges = sorted({*ls.wired, *(dpid for port in ls.ports.values() for dpid in port.dpids)})
        ls.destinations = {dpid: self.fabric.destination_index(dpid) for dpid in edges}
        for dpid in edges:
            self._note_datapath(dpid)

    def _why_not_joined(self, switches: list[LogicalSwitch]) -> str:
        """What keeps logical switches from being wired together as they would be now; empty where nothing does."""
        plain = sorted(dpid for dpid in switches[0].wired if self.switches.datapaths[dpid].offer.extended is False)
        if plain:
            return f"switch {plain[0]:016x} is no Open vSwitch"
        return "" if homes.room_for_wired(self, switches) else "there are not enough labels, or identifiers for groups"

    def _find_room(self, now: float) -> None:
        """There may be labels now for those that had found none."""
        for name in sorted((self.without_identifiers | self.wiring.cut.keys()) & self.logical_switches.keys()):
            self.bind(self.logical_switches[name], now)

    def holder(self, ls: LogicalSwitch, number: int) -> LogicalPort | None:
        """The other port that the VIF of a port belongs to already."""
        vif = ls.ports[number].vif
        return next((p for other in self.logical_switches.values() for p in other.ports.values()
                     if vif in (p.vif, p.former) and p is not ls.ports[number]), None)

    def _count_bound(self) -> None:
        self.bound = {}
        for ls in self.logical_switches.values():
            for lport in ls.view.lports:
                for vif in lport.vifs:
                    place = (vif.dpid, vif.port_no)
                    self.bound[place] = self.bound.get(place, 0) + 1

    def _placed(self, ls: LogicalSwitch, numbers: Iterable[int], now: float) -> None:
        """The fabric carries these ports now; they are up once it is known from where their counters count."""
        ports = [(port, port.vif, port.wire) for number in numbers if (port := ls.ports.get(number)) is not None]

        def counted(at: float) -> None:
            for port, vif, wire in ports:
                port.placed = port.placed or (port.vif, port.wire) == (vif, wire) != (None, None)
            for each in (ls, *neighbours(ls)):
                self._tell_ports(each, at)

        port_counters.begin(ls, [port.number for port, *_ in ports], counted, now)

    def _tell_ports(self, ls: LogicalSwitch, now: float) -> None:
        for port in ls.ports.values():
            for desc, configured_by in port.news(is_up(self, ls, port)):
                ls.tell_port(desc, of13.OFPPR_MODIFY, configured_by)
        ls.ledger.ports()
        self.change(ls.see_liveness(), now)

    # Dialling

    def _dial_when_known(self, now: float) -> None:
        if self.waiting_to_dial and self.switches.explored and self.databases.known and self.rollout.settled:
            waiting, self.waiting_to_dial = self.waiting_to_dial, set()
            for name in sorted(waiting):
                ls = self.logical_switches.get(name)
                if ls is None:
                    continue
                self._tell_ports(ls, now)
                for address in ls.spec.controllers:
                    self.out.dial(f"{name} {address}", str(address))
                for address in ls.spec.listen:
                    self.out.listen(f"{name} {address}", str(address))

    # Downward: what logical switches ask for

    def configured(self, ls: LogicalSwitch, risen: Iterable[int], now: float) -> None:
        self.bind(ls, now, risen)

    def when_settled(self, done: Callable[[float], None], now: float) -> None:
        # Who has waited before may have set something in motion.
        self.rollout.when_settled(
            lambda at: done(at) if self.rollout.settled else self.when_settled(done, at), now)

    def can_track(self, ls: LogicalSwitch) -> bool:
        return homes.has_room(self, ls)

    def barrier_answered(self, seconds: float) -> None:
        self.barrier_times.append(seconds)

    def log(self, level: str, event: str, **fields: object) -> None:
        self.out.log(level, event, **fields)
