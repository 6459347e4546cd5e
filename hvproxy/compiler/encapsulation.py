"""Which tunnels there are to be, and which VLAN links are used: a function of who shares logical switches with whom.

Tunnels number pairs of edges that share a logical switch, never tenants: their keys are the same labels as the tags of
VLAN links. An *island* is what VLAN links join. With `auto` a pair of edges in two islands has a tunnel; forced, every
pair has one. A switch with no endpoint is stood in for by the nearest of its island that has one.

Every decision is taken at the edge where a frame enters, or at its logical switch's home, and nothing but its label
travels: so one tunnel for a pair is enough. At the home a frame has come in at no port, and may go back where it came
from.

Pure; knows neither ports nor databases.
"""
from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import combinations
from typing import TypeAlias

from hvproxy.model.view import Carriage, Dpid, Link

Pair: TypeAlias = tuple[Dpid, Dpid]
"""Two datapaths, the smaller first."""


def links_used(links: Iterable[Link], endpoints: Collection[Dpid], *, forced: bool) -> list[Link]:
    """The links that frames may cross. Where tunnels are forced, VLAN links are for switches without an endpoint."""
    return [link for link in links if not forced or link.carriage is Carriage.TUNNEL
            or not (link.a_dpid in endpoints and link.b_dpid in endpoints)]


def tunnels_wanted(
    shared: Iterable[Collection[Dpid]], links: Iterable[Link], endpoints: Collection[Dpid], *, forced: bool,
    shunned: Collection[Dpid] = (),
) -> frozenset[Pair]:
    """The tunnels for logical switches with these edges, between datapaths that have endpoints; the links that are
    tunnels do not count. One that is `shunned` stands in for others only where nobody else can."""
    islands = Islands(links_used(links, endpoints, forced=forced))
    pairs = {pair for edges in {frozenset(edges) for edges in shared} for pair in combinations(sorted(edges), 2)}
    preferred = Islands(links_used(links, endpoints, forced=forced))
    others = [dpid for dpid in endpoints if dpid not in shunned]
    found: set[Pair] = set()

    def stand_in(dpid: Dpid) -> Dpid | None:
        found = None if dpid in endpoints else preferred.nearest(dpid, others)
        return islands.nearest(dpid, endpoints) if found is None else found

    for a, b in pairs:
        if forced or not islands.together(a, b):
            near, far = (stand_in(each) for each in (a, b))
            if near is not None and far is not None and near != far:
                found.add((min(near, far), max(near, far)))
    return frozenset(found)


class Islands:
    """What VLAN links join."""

    def __init__(self, links: Iterable[Link]) -> None:
        self._beyond: dict[Dpid, set[Dpid]] = {}
        for link in links:
            if link.carriage is Carriage.VLAN:
                self._beyond.setdefault(link.a_dpid, set()).add(link.b_dpid)
                self._beyond.setdefault(link.b_dpid, set()).add(link.a_dpid)
        self._island: dict[Dpid, Dpid] = {}
        """Datapath -> the smallest of its island."""
        self._nearest: dict[Dpid, Dpid | None] = {}
        for dpid in sorted(self._beyond):
            if dpid not in self._island:
                for each in self._outward(dpid):
                    self._island.update(dict.fromkeys(each, dpid))

    def together(self, a: Dpid, b: Dpid) -> bool:
        """Whether two datapaths are in one island."""
        return self._island.get(a, a) == self._island.get(b, b)

    def nearest(self, dpid: Dpid, endpoints: Collection[Dpid]) -> Dpid | None:
        """Of these, which must be the same at every call, the datapath that is the nearest in the island; of several,
        the one with the smallest id."""
        if dpid not in self._nearest:
            self._nearest[dpid] = next((min(found) for each in self._outward(dpid)
                                        if (found := [other for other in each if other in endpoints])), None)
        return self._nearest[dpid]

    def _outward(self, dpid: Dpid) -> Iterable[set[Dpid]]:
        """The datapaths of its island by how far they are."""
        here, seen = {dpid}, {dpid}
        while here:
            yield here
            here = set().union(*(self._beyond.get(each, set()) for each in here)) - seen
            seen |= here
