"""Everything between hvproxy and the physical switches: sessions, datapaths, links and their discovery.

Tells the hypervisor what changed; knows logical switches not at all.
"""
from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from math import inf
from typing import Protocol

from hvproxy.hypervisor.commands import Outbox
from hvproxy.hypervisor.datapath import Datapath
from hvproxy.hypervisor.datapath_state import State
from hvproxy.hypervisor.discovery import Discovery
from hvproxy.hypervisor.doubts import Doubts
from hvproxy.hypervisor.fabric import links_between
from hvproxy.model.layout import RuleKind, cookie
from hvproxy.model.rules import Item
from hvproxy.model.view import Carriage, Dpid, Link, PortNo
from hvproxy.openflow import actions, build
from hvproxy.openflow.channel import Channel
from hvproxy.openflow.constants import of13
from hvproxy.openflow.messages import ErrorMsg, PacketIn, decode_features_reply, type_of
from hvproxy.ovsdb.tunnels import is_tunnel_name

End = tuple[Dpid, PortNo]
REFLECTION_COOKIE = cookie(0, RuleKind.REFLECTION)
LINK_DELAY = 0.02
"""Seconds in which changes of links are gathered before paths are computed anew; fast failover acts meanwhile."""
DELAY_PER_LINK = 1e-4
"""The same for each link there is: the more there are, the longer the paths take to compute."""
DELAY_PER_TUNNEL = 5e-4
"""The same for each tunnel there is, where there are more of them now: they come one after another, and nothing is lost
meanwhile."""
ROUNDS_TO_EXPLORE = 2
"""Rounds of discovery sent after the last datapath became known, before controllers are dialled."""
START_DELAY = 0.3
"""The same while switches are still coming."""


@dataclass(frozen=True, slots=True)
class NamedLink:
    """A link the operator vouches for; ports by number or by name."""

    a: tuple[Dpid, PortNo | str]
    b: tuple[Dpid, PortNo | str]


class SwitchesOwner(Protocol):
    """Who hears of what happens below."""

    def ports_changed(self, dp: Datapath, numbers: Collection[PortNo], now: float) -> None: ...
    def datapath_ready(self, dp: Datapath, now: float) -> None: ...
    def datapath_absent(self, dp: Datapath, now: float) -> None: ...
    def links_changed(self, now: float) -> None: ...
    def packet_arrived(self, dp: Datapath, message: bytes, now: float) -> None: ...
    def rule_removed(self, dp: Datapath, message: bytes, now: float) -> None: ...
    def is_bound(self, dpid: Dpid, port_no: PortNo) -> bool: ...
    def tunnel_links(self) -> frozenset[Link]: ...

    def rule_refused(
        self, dp: Datapath, origin: object | None, content: Item | None, error: ErrorMsg, now: float
    ) -> None: ...


class Session:
    """One connection from a switch, until and after its dpid is known."""

    def __init__(self, conn: int, peer: str, now: float) -> None:
        self.conn = conn
        self.peer = peer
        self.channel = Channel(frozenset({4}), now, from_switch=True)
        self.asked = False
        self.dp: Datapath | None = None


class Switches:
    """All physical switches. Is the owner of every Datapath (datapath.DatapathOwner)."""

    def __init__(
        self, owner: SwitchesOwner, out: Outbox, grace: float, links: Iterable[NamedLink], discovery: Discovery | None
    ) -> None:
        self.datapaths: dict[Dpid, Datapath] = {}
        self.addresses: dict[Dpid, str] = {}
        """Where a datapath connected from last."""
        self.discovery = discovery
        self.doubts = None if discovery is None else Doubts(discovery, self)
        self.received = [0] * 256
        """Messages from switches by type, for the metrics."""
        self.sent = [0] * 256
        self.refused_frames = 0
        """Discovery frames that proved nothing."""
        self.alarms: dict[str, int] = {}
        """What an operator should look at, and how often it was seen."""
        self._owner = owner
        self._out = out
        self._grace = grace
        self.named_links = tuple(links)
        """The configured ones."""
        self._sessions: dict[int, Session] = {}
        self._session_of: dict[Dpid, Session] = {}
        """Of each datapath that is connected."""
        self._links: frozenset[Link] = frozenset()
        self.vlan_links: frozenset[Link] = frozenset()
        """Those of the links in use that are no tunnels."""
        self._ends: frozenset[End] = frozenset()
        """Of these links."""
        self.speeds: dict[Link, int] = {}
        """Mb/s of those links in use whose ends tell theirs: what the slower one says."""
        self.silent_links: frozenset[Link] = frozenset()
        """Those of them that let nothing through: frames cross them only where no other way leads."""
        self._links_due = inf
        self._explored_at = -inf
        """When the last round of discovery began."""
        self._known_in_round: int | None = None
        self._hubs: frozenset[End] = frozenset()

    # Datapaths

    def expect(self, dpid: Dpid, now: float) -> Datapath:
        """The datapath of that id, known from now on."""
        dp = self.datapaths.get(dpid)
        if dp is None:
            dp = self.datapaths[dpid] = Datapath(dpid, self, self._grace, now)
        return dp

    def listening(self, now: float) -> None:
        """Switches can connect from now on."""
        for dp in self.datapaths.values():
            dp.awaited(now)

    def ready(self, dpid: Dpid) -> bool:
        dp = self.datapaths.get(dpid)
        return dp is not None and dp.state is State.READY

    @property
    def all_known(self) -> bool:
        """Every datapath is reconciled, or given up as absent."""
        return all(dp.state in (State.READY, State.ABSENT) for dp in self.datapaths.values())

    @property
    def explored(self) -> bool:
        """All datapaths are known, and discovery has had its time to find the links between them: before that a
        tenant would see ports come up late that were never down."""
        if not self.all_known:
            self._known_in_round = None
            return False
        if self.discovery is None:
            return True
        if self._known_in_round is None:
            self._known_in_round = self.discovery.round
        return self._links_due == inf and self.discovery.round >= self._known_in_round + ROUNDS_TO_EXPLORE

    def port_number(self, dpid: Dpid, port: PortNo | str) -> PortNo | None:
        """The number of a port named by number or by name; None while the datapath does not have it."""
        dp = self.datapaths.get(dpid)
        if dp is None:
            return None
        if isinstance(port, int):
            return port if port in dp.ports else None
        return next((number for number, desc in dp.ports.items() if desc.name == port), None)

    # Connections

    def connected(self, conn: int, peer: str, now: float) -> None:
        session = self._sessions[conn] = Session(conn, peer, now)
        self._flush(session)

    def received_data(self, conn: int, data: bytes, now: float) -> None:
        """Bytes from a switch."""
        session = self._sessions.get(conn)
        if session is None:
            return
        messages = session.channel.receive(data, now)
        if session.channel.open and not session.asked:
            session.asked = True
            session.channel.send.append(build.features_request(1))
        self._flush(session)
        for message in messages:
            self.received[message[1]] += 1
            if session.dp is not None:
                session.dp.receive(message, now)
            elif type_of(message) == of13.OFPT_FEATURES_REPLY:
                self._introduced(session, message, now)
            if conn not in self._sessions:
                return

    def _introduced(self, session: Session, message: bytes, now: float) -> None:
        features = decode_features_reply(message)
        dpid = features.datapath_id
        if dpid in self._session_of:
            self.alarm("duplicate datapath id", dpid=f"{dpid:016x}", peer=session.peer)
            self._drop(session, f"another switch with datapath id {dpid:016x} is connected")
            return
        if features.auxiliary_id:
            self._drop(session, "auxiliary connections are not used")
            return
        session.dp = self.expect(dpid, now)
        self._session_of[dpid] = session

        def send(data: bytes) -> None:
            at = 0
            while at < len(data):
                self.sent[data[at + 1]] += 1
                at += data[at + 2] << 8 | data[at + 3]
            self._out.send(session.conn, data)

        self.addresses[dpid] = session.peer
        session.dp.attached(send, features, now)

    def lost(self, conn: int, now: float) -> None:
        """A connection is gone."""
        session = self._sessions.pop(conn, None)
        if session is not None and session.dp is not None:
            del self._session_of[session.dp.dpid]
            session.dp.detached(now)

    def owns(self, conn: int) -> bool:
        return conn in self._sessions

    def _flush(self, session: Session) -> None:
        for data in session.channel.send:
            self._out.send(session.conn, data)
        session.channel.send.clear()
        if session.channel.closed is not None:
            self._out.log("warning", "switch session closed", peer=session.peer, reason=session.channel.closed)
            self._out.close(session.conn, session.channel.closed)

    def _drop(self, session: Session, reason: str) -> None:
        self._out.log("warning", "switch refused", peer=session.peer, reason=reason)
        self._out.close(session.conn, reason)

    # What datapaths tell (datapath.DatapathOwner)

    def ports_changed(self, dp: Datapath, numbers: Collection[PortNo], now: float) -> None:
        if self.discovery is not None:
            for number in dp.ports:
                if not dp.port_up(number):
                    self.discovery.forget(dp.dpid, number)
        self._owner.ports_changed(dp, numbers, now)
        self.look_soon(now, new=all((dp.dpid, number) not in self._ends and self.is_tunnel_port(dp.dpid, number)
                                    for number in numbers))

    def datapath_ready(self, dp: Datapath, now: float) -> None:
        if self.discovery is not None:
            for link in self._links:
                if dp.dpid in (link.a_dpid, link.b_dpid) and link.carriage is Carriage.VLAN:
                    # It could not be proven while the switch was away, and stays until it can have been.
                    self.discovery.believe(link)
        self._out.log("info", "switch ready", dpid=f"{dp.dpid:016x}")
        self._owner.datapath_ready(dp, now)
        self.look_soon(now)

    def datapath_lost(self, dp: Datapath, now: float) -> None:
        self._out.log("warning", "switch lost", dpid=f"{dp.dpid:016x}")
        if self.doubts is not None:
            self.doubts.suspect(now)

    def datapath_absent(self, dp: Datapath, now: float) -> None:
        self._out.log("warning", "switch absent", dpid=f"{dp.dpid:016x}")
        if self.discovery is not None:
            self.discovery.forget(dp.dpid)
        self._owner.datapath_absent(dp, now)
        self.look_soon(now)

    def packet_arrived(self, dp: Datapath, message: bytes, now: float) -> None:
        self._owner.packet_arrived(dp, message, now)

    def rule_removed(self, dp: Datapath, message: bytes, now: float) -> None:
        self._owner.rule_removed(dp, message, now)

    def rule_refused(
        self, dp: Datapath, origin: object | None, content: Item | None, error: ErrorMsg, now: float
    ) -> None:
        self._owner.rule_refused(dp, origin, content, error, now)

    def close_datapath(self, dp: Datapath, reason: str) -> None:
        for session in self._sessions.values():
            if session.dp is dp:
                self._drop(session, reason)

    def log(self, level: str, event: str, **fields: object) -> None:
        self._out.log(level, event, **fields)

    def alarm(self, what: str, **fields: object) -> None:
        """Count something the operator must know, and say it the first time and then ever more rarely."""
        seen = self.count_alarm(what)
        if seen & (seen - 1) == 0:
            self._out.log("error", what, seen=seen, **fields)

    def count_alarm(self, what: str) -> int:
        """Only count it: whoever does has said it. How often it was seen."""
        seen = self.alarms[what] = self.alarms.get(what, 0) + 1
        return seen

    # What doubts ask and tell (doubts.DoubtsOwner)

    def heard(self, dpid: Dpid) -> float:
        return self._session_of[dpid].channel.heard

    def ask(self, end: End, frame: bytes, now: float) -> None:
        dpid, port_no = end
        self.datapaths[dpid].send_packet_out(of13.OFPP_CONTROLLER, actions.output(port_no), frame, now, None)
        self._session_of[dpid].channel.ask()
        self._flush(self._session_of[dpid])

    def doubts_changed(self, now: float) -> None:
        self.look_soon(now)

    def answers(self, dpid: Dpid) -> bool:
        """Whether a switch is connected, and neither it nor its links are dead."""
        return self.datapaths[dpid].connected and (self.doubts is None or dpid not in self.doubts.hung)

    # Links

    @property
    def links(self) -> frozenset[Link]:
        """The links in use."""
        return self._links

    def set_links(self, links: Iterable[NamedLink], now: float) -> None:
        """These links are configured from now on."""
        self.named_links = tuple(links)
        for link in self.named_links:
            for dpid, _ in (link.a, link.b):
                self.expect(dpid, now)
        self.look_soon(now)

    @property
    def links_seen(self) -> bool:
        """Nothing has changed since that they depend on."""
        return self._links_due == inf

    def restore_links(self, links: Iterable[Link], speeds: dict[Link, int]) -> None:
        """Those in use before a restart: they stay until their switches say otherwise."""
        self._use(frozenset(links))
        self.speeds = speeds

    def _use(self, links: frozenset[Link]) -> None:
        self._links = links
        self.vlan_links = frozenset(link for link in links if link.carriage is Carriage.VLAN)
        self._ends = frozenset(end for link in links for end in link.ends)

    def configured_links(self, at: Dpid | None = None) -> list[tuple[NamedLink, Link | None]]:
        """Each configured link (of one datapath), with its ends by number once both are known."""
        found = []
        for named in self.named_links:
            if at is not None and at not in (named.a[0], named.b[0]):
                continue
            ends = [(dpid, self.port_number(dpid, port)) for dpid, port in (named.a, named.b)]
            numbered = sorted((dpid, port) for dpid, port in ends if port is not None)
            found.append((named, Link(*numbered[0], *numbered[1]) if len(numbered) == 2 else None))
        return found

    def untold(self, dpid: Dpid) -> bool:
        """A switch has not told its ports since a restart: what was known of its links counts."""
        return not self.datapaths[dpid].ports and self.datapaths[dpid].state is not State.ABSENT

    def _is_live(self, dpid: Dpid, port_no: PortNo) -> bool:
        """Whether a port says LIVE: by that Open vSwitch tells whether BFD hears the other end."""
        return self.untold(dpid) or bool(self.datapaths[dpid].ports[port_no].state & of13.OFPPS_LIVE)

    def is_tunnel_port(self, dpid: Dpid, port_no: PortNo) -> bool:
        """Whether a port is a tunnel's, as its name says: also one of an earlier hvproxy, and before its database
        tells. Nobody is attached there, and no discovery frame goes out or comes in: a tunnel is no VLAN link."""
        dp = self.datapaths.get(dpid)
        return dp is not None and port_no in dp.ports and is_tunnel_name(dp.ports[port_no].name)

    def is_fabric_port(self, dpid: Dpid, port_no: PortNo) -> bool:
        """Whether a port is an end of a link, in use or configured, or of a tunnel."""
        return (dpid, port_no) in self._ends or self.is_tunnel_port(dpid, port_no) or any(
            (dpid, port_no) in link.ends for _, link in self.configured_links(dpid) if link is not None)

    def discovered(self, dp: Datapath, arrived: PacketIn, now: float) -> None:
        """A discovery frame arrived at a port."""
        assert self.discovery is not None and self.doubts is not None
        if arrived.cookie == REFLECTION_COOKIE:
            self.refused_frames += not self.doubts.answered((dp.dpid, arrived.in_port), arrived.data)
            return
        verdict = self.discovery.arrived(dp.dpid, arrived.in_port, arrived.data)
        if not verdict.accepted or self.is_tunnel_port(dp.dpid, arrived.in_port):
            self.refused_frames += 1
            return
        if self._owner.is_bound(dp.dpid, arrived.in_port):
            self.alarm("discovery frame at a bound port: it is cabled to the fabric",
                       dpid=f"{dp.dpid:016x}", port=arrived.in_port)
            self.discovery.forget(dp.dpid, arrived.in_port)
            return
        self.look_soon(now)

    def look_soon(self, now: float, *, new: bool = False) -> None:
        """Something that links depend on has changed; nothing but tunnels that are `new` and may be used now."""
        delay = LINK_DELAY if self.all_known else START_DELAY
        delay += len(self._owner.tunnel_links()) * DELAY_PER_TUNNEL if new else len(self._links) * DELAY_PER_LINK
        self._links_due = min(self._links_due, now + delay)

    def _look_at_links(self, now: float) -> None:
        up: dict[End, bool] = {}
        for dp in self.datapaths.values():
            if dp.state is not State.ABSENT:
                up.update({(dp.dpid, number): dp.port_up(number) and not self._owner.is_bound(dp.dpid, number)
                           for number in dp.ports})
        candidates = {link for _, link in self.configured_links() if link is not None}
        for link in self._links:
            for end in ((link.a_dpid, link.a_port), (link.b_dpid, link.b_port)):
                if self.untold(end[0]):
                    up[end] = True
                    if link.carriage is Carriage.VLAN:
                        candidates.add(link)
        if self.discovery is not None:
            candidates |= self.discovery.links
            for dpid, port_no in self.discovery.ambiguous - self._hubs:
                self.alarm("several switches at one port: it is no link until one remains", dpid=f"{dpid:016x}",
                           port=port_no)
            self._hubs = self.discovery.ambiguous
            # A switch whose connection is lost cannot report frames: its links stay until it is given up (design 6).
            candidates |= {link for link in self._links if link.carriage is Carriage.VLAN
                           and not (self.ready(link.a_dpid) and self.ready(link.b_dpid))}
        links = links_between(candidates, up)
        tunnels = self._owner.tunnel_links()
        links |= links_between(tunnels, {end: up.get(end, False) and self._is_live(*end)
                                         for tunnel in tunnels for end in tunnel.ends})
        speeds = {link: speed for link in links if (speed := self._speed(link))}
        silent = frozenset() if self.doubts is None else self.doubts.links & links
        if (links, speeds, silent) != (self._links, self.speeds, self.silent_links):
            self._use(links)
            self.speeds, self.silent_links = speeds, silent
            if self.doubts is not None:
                self.doubts.links_changed(now)
            self._owner.links_changed(now)

    def _speed(self, link: Link) -> int:
        """In Mb/s; 0: neither end tells."""
        if any(self.untold(dpid) for dpid, _ in link.ends):
            return self.speeds.get(link, 0)
        return min(filter(None, (self.datapaths[dpid].ports[port_no].speed for dpid, port_no in link.ends)), default=0)

    # Time

    @property
    def deadline(self) -> float:
        times = [self._links_due]
        times += [session.channel.deadline for session in self._sessions.values()]
        times += [dp.deadline for dp in self.datapaths.values()]
        if self.discovery is not None and self.doubts is not None:
            times += [self.discovery.deadline, self.doubts.deadline]
        return min(times, default=inf)

    def stood_still(self, seconds: float, now: float) -> None:
        """Nothing of what switches said was read for so long."""
        for session in self._sessions.values():
            session.channel.excuse(now)
        for dp in self.datapaths.values():
            dp.excuse(seconds)
        if self.doubts is not None:
            self.doubts.excuse()

    def _believe_the_silent(self, discovery: Discovery, now: float) -> None:
        """What a switch that has said nothing at all since the last round would have heard is unknown: its links stay
        until it is given up. One that is there says so in each round."""
        sessions = [(session.dp.dpid, session) for session in self._sessions.values()
                    if session.dp is not None and session.channel.open]
        silent = {dpid for dpid, session in sessions if session.channel.heard < self._explored_at}
        for link in self._links:
            if link.carriage is Carriage.VLAN and not silent.isdisjoint((link.a_dpid, link.b_dpid)):
                discovery.believe(link)
        self._explored_at = now
        for _, session in sessions:
            session.channel.ask()
            self._flush(session)

    def tick(self, now: float) -> None:
        """Keep sessions alive, give up datapaths, discover."""
        for session in list(self._sessions.values()):
            if now >= session.channel.deadline:
                session.channel.tick(now)
                self._flush(session)
        for dp in list(self.datapaths.values()):
            if now >= dp.deadline:
                dp.tick(now)
        if self.doubts is not None:
            self.doubts.tick(now)
        if now >= self._links_due:
            self._links_due = inf
            self._look_at_links(now)
        if self.discovery is not None and self.doubts is not None and now >= self.discovery.deadline:
            self._believe_the_silent(self.discovery, now)
            ends = [(dp.dpid, number) for dp in self.datapaths.values() if dp.state is State.READY
                    for number in dp.ports if dp.port_up(number) and not self._owner.is_bound(dp.dpid, number)
                    and not self.is_tunnel_port(dp.dpid, number)]
            for dpid, port_no, frame in self.discovery.probe(now, ends):
                self.datapaths[dpid].send_packet_out(of13.OFPP_CONTROLLER, actions.output(port_no), frame, now, None)
            self.doubts.round_begun(now)
            self.look_soon(now)
