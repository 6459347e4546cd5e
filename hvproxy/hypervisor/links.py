"""What is known of the links between switches: which there may be, which are in use, how fast, and which are silent.

There may be those that are configured, those that discovery has proven, and tunnels. Of these each is in use whose ends
are up, bound to no logical port, and for a tunnel LIVE. What discovery would have proven cannot be known of a switch
that is away or says nothing: its links stay until it is given up. One that lets nothing through stays too, as silent.
Hears from its owner what happens to switches, and speaks to them; which paths lead over links is not its business.
"""
from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from math import inf
from typing import Protocol

from hvproxy.hypervisor.datapath import Datapath
from hvproxy.hypervisor.datapath_state import State
from hvproxy.hypervisor.discovery import Discovery, End
from hvproxy.hypervisor.doubts import Doubts
from hvproxy.hypervisor.fabric import links_between
from hvproxy.hypervisor.switches import Switches
from hvproxy.model.layout import RuleKind, cookie
from hvproxy.model.view import Carriage, Dpid, Link, PortNo
from hvproxy.openflow.constants import of13
from hvproxy.openflow.messages import PacketIn

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


class LinksOwner(Protocol):
    """Who hears that links have changed, and knows what else is at the ports."""

    def links_changed(self, now: float) -> None:
        """Other links are in use, or they are faster, slower or silent."""

    def is_bound(self, dpid: Dpid, port_no: PortNo) -> bool:
        """Whether a port is a logical port's."""

    def tunnel_links(self) -> frozenset[Link]:
        """The tunnels that are there, whether frames get through or not."""


class Links:
    """All of them. Is the owner of doubts (doubts.DoubtsOwner)."""

    def __init__(
        self, owner: LinksOwner, switches: Switches, named: Iterable[NamedLink], discovery: Discovery | None, now: float
    ) -> None:
        self.named = tuple(named)
        """The configured ones."""
        self.in_use: frozenset[Link] = frozenset()
        self.vlan: frozenset[Link] = frozenset()
        """Those of them that are no tunnels."""
        self.speeds: dict[Link, int] = {}
        """Mb/s of those in use whose ends tell theirs: what the slower one says."""
        self.silent: frozenset[Link] = frozenset()
        """Those in use that let nothing through: frames cross them only where no other way leads."""
        self.discovery = discovery
        self.refused_frames = 0
        """Discovery frames that proved nothing."""
        self._owner = owner
        self._switches = switches
        self._doubts = None if discovery is None else Doubts(discovery, switches, self)
        self._ends: frozenset[End] = frozenset()
        """Of those in use."""
        self._due = inf
        """When they are looked at."""
        self._explored_at = -inf
        """When the last round of discovery began."""
        self._known_in_round: int | None = None
        """The round of discovery in which the last datapath became known."""
        self._hubs: frozenset[End] = frozenset()
        """Ports with several switches that an operator was told of."""
        self._expect(now)

    # Configured ones

    def configure(self, named: Iterable[NamedLink], now: float) -> None:
        """These links are configured from now on."""
        self.named = tuple(named)
        self._expect(now)
        self.look_soon(now)

    def _expect(self, now: float) -> None:
        for link in self.named:
            for dpid, _ in (link.a, link.b):
                self._switches.expect(dpid, now)

    def configured(self, at: Dpid | None = None) -> list[tuple[NamedLink, Link | None]]:
        """Each configured link (of one datapath), with its ends by number once both are known."""
        found = []
        for named in self.named:
            if at is not None and at not in (named.a[0], named.b[0]):
                continue
            ends = [(dpid, self._switches.port_number(dpid, port)) for dpid, port in (named.a, named.b)]
            numbered = sorted((dpid, port) for dpid, port in ends if port is not None)
            found.append((named, Link(*numbered[0], *numbered[1]) if len(numbered) == 2 else None))
        return found

    # Questions

    @property
    def settled(self) -> bool:
        """Nothing has changed that they depend on since they were looked at."""
        return self._due == inf

    @property
    def explored(self) -> bool:
        """All datapaths are known, and discovery has had its time to find the links between them: before that a
        tenant would see ports come up late that were never down."""
        if not self._switches.all_known:
            self._known_in_round = None
            return False
        if self.discovery is None:
            return True
        if self._known_in_round is None:
            self._known_in_round = self.discovery.round
        return self.settled and self.discovery.round >= self._known_in_round + ROUNDS_TO_EXPLORE

    def is_fabric_port(self, dpid: Dpid, port_no: PortNo) -> bool:
        """Whether a port is an end of a link, in use or configured, or of a tunnel."""
        return (dpid, port_no) in self._ends or self._switches.is_tunnel_port(dpid, port_no) or any(
            (dpid, port_no) in link.ends for _, link in self.configured(dpid) if link is not None)

    def answers(self, dpid: Dpid) -> bool:
        """Whether a switch is connected, and neither it nor its links are dead."""
        return self._switches.datapaths[dpid].connected and (self._doubts is None or dpid not in self._doubts.hung)

    # What happens to switches

    def ports_changed(self, dp: Datapath, numbers: Collection[PortNo], now: float) -> None:
        """Ports of a switch are others now."""
        if self.discovery is not None:
            for number in dp.ports:
                if not dp.port_up(number):
                    self.discovery.forget(dp.dpid, number)
        self.look_soon(now, new=all((dp.dpid, number) not in self._ends
                                    and self._switches.is_tunnel_port(dp.dpid, number) for number in numbers))

    def datapath_ready(self, dp: Datapath, now: float) -> None:
        """A switch holds everything it should."""
        if self.discovery is not None:
            for link in self.vlan:
                if dp.dpid in (link.a_dpid, link.b_dpid):
                    # It could not be proven while the switch was away, and stays until it can have been.
                    self.discovery.believe(link)
        self.look_soon(now)

    def datapath_lost(self, now: float) -> None:
        """The connection of a switch is lost."""
        if self._doubts is not None:
            self._doubts.suspect(now)

    def datapath_absent(self, dp: Datapath, now: float) -> None:
        """A switch stayed away too long."""
        if self.discovery is not None:
            self.discovery.forget(dp.dpid)
        self.look_soon(now)

    def discovered(self, dp: Datapath, arrived: PacketIn, now: float) -> None:
        """A discovery frame arrived at a port."""
        if self.discovery is None or self._doubts is None:
            return
        if arrived.cookie == REFLECTION_COOKIE:
            self.refused_frames += not self._doubts.answered((dp.dpid, arrived.in_port), arrived.data)
            return
        verdict = self.discovery.arrived(dp.dpid, arrived.in_port, arrived.data)
        if not verdict.accepted or self._switches.is_tunnel_port(dp.dpid, arrived.in_port):
            self.refused_frames += 1
            return
        if self._owner.is_bound(dp.dpid, arrived.in_port):
            self._switches.alarm("discovery frame at a bound port: it is cabled to the fabric",
                                 dpid=f"{dp.dpid:016x}", port=arrived.in_port)
            self.discovery.forget(dp.dpid, arrived.in_port)
            return
        self.look_soon(now)

    def doubts_changed(self, now: float) -> None:
        self.look_soon(now)

    # Looking

    def look_soon(self, now: float, *, new: bool = False) -> None:
        """Something that links depend on has changed; nothing but tunnels that are `new` and may be used now."""
        delay = LINK_DELAY if self._switches.all_known else START_DELAY
        delay += len(self._owner.tunnel_links()) * DELAY_PER_TUNNEL if new else len(self.in_use) * DELAY_PER_LINK
        self._due = min(self._due, now + delay)

    def restore(self, links: Iterable[Link], speeds: dict[Link, int]) -> None:
        """Those in use before a restart: they stay until their switches say otherwise."""
        self._use(frozenset(links))
        self.speeds = speeds

    def _use(self, links: frozenset[Link]) -> None:
        self.in_use = links
        self.vlan = frozenset(link for link in links if link.carriage is Carriage.VLAN)
        self._ends = frozenset(end for link in links for end in link.ends)

    def _look(self, now: float) -> None:
        switches = self._switches
        up: dict[End, bool] = {}
        for dp in switches.datapaths.values():
            if dp.state is not State.ABSENT:
                up.update({(dp.dpid, number): dp.port_up(number) and not self._owner.is_bound(dp.dpid, number)
                           for number in dp.ports})
        candidates = {link for _, link in self.configured() if link is not None}
        for link in self.in_use:
            for end in link.ends:
                if switches.untold(end[0]):
                    up[end] = True
                    if link.carriage is Carriage.VLAN:
                        candidates.add(link)
        if self.discovery is not None:
            candidates |= self.discovery.links
            for dpid, port_no in self.discovery.ambiguous - self._hubs:
                switches.alarm("several switches at one port: it is no link until one remains", dpid=f"{dpid:016x}",
                               port=port_no)
            self._hubs = self.discovery.ambiguous
            # A switch whose connection is lost cannot report frames: its links stay until it is given up (design 6).
            candidates |= {link for link in self.vlan if not all(switches.ready(dpid) for dpid, _ in link.ends)}
        links = links_between(candidates, up)
        tunnels = self._owner.tunnel_links()
        links |= links_between(tunnels, {end: up.get(end, False) and self._is_live(*end)
                                         for tunnel in tunnels for end in tunnel.ends})
        speeds = {link: speed for link in links if (speed := self._speed(link))}
        silent = frozenset() if self._doubts is None else self._doubts.links & links
        if (links, speeds, silent) != (self.in_use, self.speeds, self.silent):
            self._use(links)
            self.speeds, self.silent = speeds, silent
            if self._doubts is not None:
                self._doubts.links_changed(now)
            self._owner.links_changed(now)

    def _is_live(self, dpid: Dpid, port_no: PortNo) -> bool:
        """Whether a port says LIVE: by that Open vSwitch tells whether BFD hears the other end."""
        return self._switches.untold(dpid) or bool(
            self._switches.datapaths[dpid].ports[port_no].state & of13.OFPPS_LIVE)

    def _speed(self, link: Link) -> int:
        """In Mb/s; 0: neither end tells."""
        if any(self._switches.untold(dpid) for dpid, _ in link.ends):
            return self.speeds.get(link, 0)
        ports = (self._switches.datapaths[dpid].ports[port_no] for dpid, port_no in link.ends)
        return min(filter(None, (port.speed for port in ports)), default=0)

    # Time

    @property
    def deadline(self) -> float:
        """When `tick` must be called next."""
        if self.discovery is None or self._doubts is None:
            return self._due
        return min(self._due, self.discovery.deadline, self._doubts.deadline)

    def stood_still(self) -> None:
        """Nothing of what switches said was read for some time."""
        if self._doubts is not None:
            self._doubts.excuse()

    def tick(self, now: float) -> None:
        """Ask, look and discover, if it is time."""
        if self._doubts is not None:
            self._doubts.tick(now)
        if now >= self._due:
            self._due = inf
            self._look(now)
        if self.discovery is not None and self._doubts is not None and now >= self.discovery.deadline:
            self._believe_the_silent(self.discovery, now)
            ends = [(dp.dpid, number) for dp in self._switches.datapaths.values() if dp.state is State.READY
                    for number in dp.ports if dp.port_up(number) and not self._owner.is_bound(dp.dpid, number)
                    and not self._switches.is_tunnel_port(dp.dpid, number)]
            for dpid, port_no, frame in self.discovery.probe(now, ends):
                self._switches.send_frame((dpid, port_no), frame, now)
            self._doubts.round_begun(now)
            self.look_soon(now)

    def _believe_the_silent(self, discovery: Discovery, now: float) -> None:
        """What a switch that has said nothing at all since the last round would have heard is unknown: its links stay
        until it is given up. One that is there says so in each round."""
        talking = self._switches.talking
        silent = {dpid for dpid in talking if self._switches.heard(dpid) < self._explored_at}
        for link in self.vlan:
            if not silent.isdisjoint((link.a_dpid, link.b_dpid)):
                discovery.believe(link)
        self._explored_at = now
        for dpid in talking:
            self._switches.ask(dpid)
