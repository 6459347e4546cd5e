"""The core's root: it joins the switches, the fabric and the logical switches, and passes messages between them.

Pure: connections are numbers, time is an argument, what is to be done is left in the outbox (design 1.6).
What operators want to exist comes in through Intent (intent.py); what they can look at is in report.py.
"""
from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from functools import partial

from hvproxy.compiler.encapsulation import links_used
from hvproxy.hypervisor import aging, draining, homes, metering, placement, vifs
from hvproxy.hypervisor.arrivals import Arrivals
from hvproxy.hypervisor.attached import Attached
from hvproxy.hypervisor.auditing import Auditing
from hvproxy.hypervisor.commands import Command, Outbox
from hvproxy.hypervisor.controller_session import ControllerSession
from hvproxy.hypervisor.databases import Databases
from hvproxy.hypervisor.datapath import Datapath
from hvproxy.hypervisor.discovery import Discovery
from hvproxy.hypervisor.drains import Drains
from hvproxy.hypervisor.fabric import Fabric
from hvproxy.hypervisor.fabric_ledger import FabricLedger
from hvproxy.hypervisor.journal import Journal
from hvproxy.hypervisor.links import Links
from hvproxy.hypervisor.logical_port import LogicalPort
from hvproxy.hypervisor.logical_switch import LogicalSwitch
from hvproxy.hypervisor.meter_ids import MeterIds
from hvproxy.hypervisor.moves import Moves
from hvproxy.hypervisor.mtu import Mtus
from hvproxy.hypervisor.places import Places
from hvproxy.hypervisor.rollout import Rollout
from hvproxy.hypervisor.serving import Serving
from hvproxy.hypervisor.settings import Settings
from hvproxy.hypervisor.sharing import Sharing
from hvproxy.hypervisor.shortcomings import Shortcomings
from hvproxy.hypervisor.soon import Soon
from hvproxy.hypervisor.switches import Switches
from hvproxy.hypervisor.to_switches import ToSwitches
from hvproxy.hypervisor.tracking import Zones
from hvproxy.hypervisor.tunnels import Tunnels
from hvproxy.hypervisor.wiring import Wiring
from hvproxy.model.rules import Item
from hvproxy.model.view import Carriage, Dpid, Link, PortNo
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
        self.switches = Switches(self, self.out, settings.grace)
        self.links = Links(self, self.switches, settings.links, discovery, now)
        self.databases = Databases(self, self.switches, self.out, settings.grace, settings.databases,
                                   settings.configure_bridges, now)
        self.drains = Drains(self.ledger.drain)
        self.places = Places(self.databases, self.switches, self.links, self.drains)
        self.fabric = Fabric(settings.layout, settings.first_vid, settings.last_vid,
                             None if discovery is None else int.from_bytes(discovery.destination, "big"),
                             Carriage.VLAN if settings.encapsulation not in ("auto", "vlan") else Carriage.TUNNEL)
        for space, kind in zip(self.fabric.label_spaces, ("label", "key"), strict=True):
            space.noted, space.rests = partial(self.ledger.label, kind), self.ledger.rest
            space.lent = self.ledger.block
        self.tunnels = Tunnels(self, self.switches, self.links, self.databases, self.out, settings.encapsulation,
                               settings.tunnel_endpoints, settings.grace, settings.bfd_interval)
        self.mtus = Mtus(self.switches, self.databases, self.tunnels, self.fabric)
        self.rollout = Rollout(self.send_change, self.confirm_connected, self.holds)
        self.moves = Moves(self)
        self.sharing = Sharing(self)
        self.shortcomings = Shortcomings(self)
        self.meter_ids = MeterIds()
        self.soon = Soon()
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
        self.attached = Attached(self)
        self.arrivals = Arrivals(self)
        self.serving = Serving(self)
        self.barrier_times: list[float] = []
        """Seconds that tenants' barriers took, for the metrics, which take them out."""
        self.without_identifiers: set[str] = set()
        """Logical switches that have not found room for all their ports."""
        self._next_poll = now + IDLE_POLL

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

    def unread(self, conn: int, waits: bool, now: float) -> None:
        """What came over a connection waits for its turn (or does no more): until then its peer is not silent."""
        if self.databases.owns(conn):
            self.databases.unread(conn, waits, now)

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
        times = [self.switches.deadline, self.links.deadline, self.databases.deadline, self.tunnels.deadline,
                 self._next_poll, self.auditing.deadline, self.moves.deadline, self.soon.deadline]
        times += [space.deadline for space in self.fabric.label_spaces]
        times += [ls.deadline for ls in self.logical_switches.values()]
        return min(times)

    def stood_still(self, seconds: float, now: float) -> None:
        """Nothing that switches and databases have said was read for so long: that was not their silence."""
        self.switches.stood_still(seconds, now)
        self.links.stood_still()
        self.databases.stood_still(seconds)

    def tick(self, now: float) -> None:
        """Let time pass."""
        self.switches.tick(now)
        self.links.tick(now)
        self.databases.tick(now)
        self.auditing.tick(self, now)
        self.tunnels.tick(now)
        self.moves.tick(now)
        self.soon.tick(now)
        if any([space.tick(now) for space in self.fabric.label_spaces]):
            self.rollout.aim(self.fabric.feed(now), now)
            placement.find_room(self, now)
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
        self.serving.look(now)

    # What the switches tell

    def ports_changed(self, dp: Datapath, numbers: Collection[PortNo], now: float) -> None:
        if ("base", dp.dpid) not in self.rollout.target:
            self.rollout.aim(self.fabric.base([dp.dpid]), now)
        concerned = self.attached.concerned(dp, numbers)
        if concerned:
            self.tunnels.see_endpoints(now)
        for ls in concerned:
            self.bind(ls, now)
        self.tunnels.look_soon(now)
        self.links.ports_changed(dp, numbers, now)

    def datapath_ready(self, dp: Datapath, now: float) -> None:
        self.serving.heard(dp.dpid)
        self.shortcomings.look(dp)
        self.note_datapath(dp.dpid)
        for ls in self.attached.on(dp.dpid):
            self.bind(ls, now)
        self.databases.check(now)
        self.serving.look(now)
        self.links.datapath_ready(dp, now)

    def datapath_lost(self, dp: Datapath, now: float) -> None:
        self.links.datapath_lost(now)

    def datapath_absent(self, dp: Datapath, now: float) -> None:
        self.serving.heard(dp.dpid)
        for ls in self.attached.on(dp.dpid):
            self.bind(ls, now)
        self.serving.look(now)
        self.links.datapath_absent(dp, now)

    def note_datapath(self, dpid: Dpid) -> None:
        """Have the store know what hvproxy must know of a switch before it is heard again."""
        dp = self.switches.datapaths.get(dpid)
        self.ledger.datapath(dpid, self.fabric.destinations.get(dpid), None if dp is None else dp.offer.extended,
                             self.tunnels.endpoints.get(dpid))

    def links_changed(self, now: float) -> None:
        self.ledger.links(self.links.in_use, self.links.speeds)
        starved = set(self.fabric.starved)
        used = links_used(self.links.in_use, self.fabric.endpoints, forced=self.tunnels.forced)
        changed, shaken = self.fabric.set_links(used, now, self.links.speeds, self.links.silent)
        self.rollout.aim(changed, now)
        self.tunnels.look_soon(now)
        for ls_id in sorted(self.fabric.starved - starved):
            self.switches.alarm("a VLAN link is on the way now, and no VLAN labels are left: the edges are apart; "
                                "widen fabric.vlan_range",
                                logical_switch=self.by_id[ls_id].spec.name)
        placement.find_room(self, now)
        self.moves.ways_changed(now)
        for ls in self.logical_switches.values():
            if ls.tracking.in_use or ls.tracking.home is not None:
                homes.settle(self, ls, now, links_changed=True)
                self.bind(ls, now)
        for link in self.fabric.topology.ambiguous:
            self.switches.alarm("a port is an end of two links: neither is used", link=repr(link))
        for ls_id in sorted(shaken & self.by_id.keys()):
            self.rollout.when_settled(partial(placement.tell_ports, self, self.by_id[ls_id]), now)

    def packet_arrived(self, dp: Datapath, message: bytes, now: float) -> None:
        self.arrivals.packet(dp, message, now)

    def rule_removed(self, dp: Datapath, message: bytes, now: float) -> None:
        self.arrivals.removal(dp, message, now)

    def rule_refused(
        self, dp: Datapath, origin: object | None, content: Item | None, error: ErrorMsg, now: float
    ) -> None:
        self.arrivals.refusal(dp, origin, content, error, now)

    def vifs_moved(self, iface_ids: Collection[str], now: float) -> None:
        self.tunnels.see_endpoints(now)
        vifs.moved(self, iface_ids, now)

    def waits_for(self, iface_ids: Collection[str]) -> bool:
        return bool(self.attached.waiting(iface_ids))

    def databases_changed(self, now: float) -> None:
        self.tunnels.look_soon(now)

    def tunnel_links(self) -> frozenset[Link]:
        return self.tunnels.links

    # What tunnels are for

    def shared_edges(self) -> list[Collection[Dpid]]:
        return [{*view.edges, *self.moves.edges_to_be(self.by_id[ls_id])} for ls_id, view in self.fabric.placed.items()]

    @property
    def fabric_known(self) -> bool:
        return self.links.explored and self.links.settled and self.databases.known

    @property
    def shunned(self) -> frozenset[Dpid]:
        return self.fabric.shunned

    def is_used(self, dpid: Dpid, port_no: PortNo) -> bool:
        return not self.rollout.settled or (dpid, port_no) in self.fabric.topology.peers

    def tunnels_changed(self, now: float) -> None:
        for dpid in self.fabric.endpoints | self.tunnels.endpoints.keys():
            self.note_datapath(dpid)
        self.fabric.endpoints = frozenset(self.tunnels.endpoints)
        used = {link for link in self.links.in_use if link.carriage is Carriage.TUNNEL}
        self.links.look_soon(now, new=used <= self.tunnels.links)
        if self.tunnels.forced:
            self.links_changed(now)  # which of them are used depends on who has an endpoint
        else:
            placement.find_room(self, now)

    def is_bound(self, dpid: Dpid, port_no: PortNo) -> bool:
        return bool(self.attached.at((dpid, port_no)))

    # Binding

    def place(self, ls: LogicalSwitch, port: LogicalPort) -> tuple[Dpid, PortNo | str] | None:
        """The datapath and port that a logical port belongs to, whether they are there or not."""
        return self.places.of(ls.spec.name, port.spec.attach)

    def bind(self, ls: LogicalSwitch, now: float, risen: Iterable[int] = ()) -> None:
        """See placement.bind."""
        placement.bind(self, ls, now, risen)

    def _why_not_joined(self, switches: list[LogicalSwitch]) -> str:
        """What keeps logical switches from being wired together as they would be now; empty where nothing does."""
        plain = sorted(dpid for dpid in switches[0].wired if self.switches.datapaths[dpid].offer.extended is False)
        if plain:
            return f"switch {plain[0]:016x} is no Open vSwitch"
        return "" if homes.room_for_wired(self, switches) else "there are not enough labels, or identifiers for groups"

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
