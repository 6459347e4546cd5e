"""How frames reach each edge: a shortest-path tree per destination, and detours that survive a failure locally.

Pure graph work on datapaths, ports and links. Knows nothing of rules, labels or tenants; transit.py turns a Tree
into rules.

Theory of operation. T is a tree of shortest paths to the destination d; depth is the cost of
the path to d, which is the number of its links, of which one of the kind to avoid counts as many, one at a shunned
datapath as more of these than there can be, and one in doubt as more than all of those. A link that is not in
T *reaches* to depth(LCA of its ends): it leaves the subtree of x exactly when that is less than depth(x). So when the
link x - parent(x) fails and anything is left of the graph between x and d, some link with an end in subtree(x)
reaches above x (one in doubt is not counted as left), and a frame at x can go

    down    from x by tree children to the end w of such a link,
    across  it to y, which is outside subtree(x),
    up      from y by tree parents, which are all outside subtree(x), hence never over the failed link.

Down, every datapath sees the frame arrive from its parent, which it does in no other phase. It cannot know which
ancestor failed, so it follows the link of least reach in its subtree: if any link leaves subtree(x), the one of
least reach does, whichever ancestor x is. Only x itself knows what failed, and may choose the shortest detour among
all that reach above it; it prefers those that reach above its parent too, and so survive the loss of the parent as a
whole.

Of several shortest paths each destination has one, chosen by chance that is the same in every run and in proportion
to what the slowest link of each path carries: destinations, and with them labels, spread over paths as speeds do.

A frame that is detoured at most once goes up, down, across and up, each strictly: at most three times the longest
path and one hop, whatever has failed. Arrival ports alone cannot enforce "once": on a ring, surviving either link
of d obliges every datapath to hand a frame on in the direction it came, so the loss of both would keep it going round
for ever. transit.py therefore marks a detoured frame.
"""
from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Mapping
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush
from math import inf, log1p
from types import MappingProxyType
from typing import TypeAlias

from hvproxy.model.view import Carriage, Dpid, Link, PortNo

End: TypeAlias = tuple[Dpid, PortNo]
"""One end of a link."""

AVOIDED = 1 << 16
"""What a link of the kind to avoid costs: more than any way over others."""
SHUNNED = AVOIDED << 32
"""What a link at a shunned datapath costs besides."""
DOUBTED = SHUNNED << 32
"""What a link in doubt costs besides."""
_FAR = DOUBTED << 32
"""More than any way costs."""
UNKNOWN_SPEED = 10_000
"""What a link counts as that does not tell its speed, in Mb/s; virtual interfaces of Linux say so too."""
_HASH = 0x9E3779B97F4A7C15
_HASH_MASK = (1 << 64) - 1


def _scatter(value: int) -> int:
    """A 64-bit number that depends on every bit of `value` and is the same in every run."""
    value = (value ^ value >> 32) * _HASH & _HASH_MASK
    value = (value ^ value >> 29) * _HASH & _HASH_MASK
    return value ^ value >> 32


@dataclass(frozen=True, slots=True)
class _Hop:
    """A link as seen from one of its ends; datapaths are places in Topology.dpids."""

    to: int
    port: PortNo
    far_port: PortNo
    link: int
    salt: int
    cost: int
    speed: int


@dataclass(frozen=True, slots=True)
class Topology:
    """The links of the fabric, indexed; equal and hashed by its links and what they cost. Made by `Topology.of`."""

    links: tuple[Link, ...]
    """Sorted."""
    avoided: Carriage
    """The kind of links that is used only where no other leads."""
    shunned: frozenset[Dpid]
    """Datapaths that frames for others cross only where no other way leads."""
    doubted: frozenset[Link]
    """Those of the links that may let nothing through: frames cross them only where no other way leads."""
    speeds: tuple[int, ...]
    """Of each link, in Mb/s."""
    ambiguous: tuple[Link, ...] = field(compare=False)
    """Links left out, because a port of theirs is in another link too: frames sent there would reach both."""
    peers: Mapping[End, End] = field(compare=False, repr=False)
    """Both directions of every link."""
    ports: Mapping[Dpid, frozenset[PortNo]] = field(compare=False, repr=False)
    """The ports of each datapath that are ends of links."""
    dpids: tuple[Dpid, ...] = field(compare=False, repr=False)
    """Every datapath with a link, sorted."""
    tunnels: frozenset[End] = field(compare=False, repr=False)
    """The ends of tunnels."""
    carriages: Mapping[Dpid, frozenset[Carriage]] = field(compare=False, repr=False)
    """The kinds of links that each datapath has."""
    parts: Mapping[Dpid, Dpid] = field(compare=False, repr=False)
    """Every datapath with a link -> the smallest of those that links join it with, over others too."""
    _hops: tuple[tuple[_Hop, ...], ...] = field(compare=False, repr=False)

    @classmethod
    def of(cls, links: Iterable[Link], avoided: Carriage = Carriage.TUNNEL,
           shunned: Iterable[Dpid] = (), speeds: Mapping[Link, int] = MappingProxyType({}),
           doubted: Collection[Link] = ()) -> Topology:
        """The topology of these links; a link from a datapath to itself leads nowhere and is not used. `speeds` in
        Mb/s, of links that tell them."""
        shunned = frozenset(shunned)
        listed = sorted({link for link in links if link.a_dpid != link.b_dpid})
        uses: dict[End, int] = {}
        for link in listed:
            for end in link.ends:
                uses[end] = uses.get(end, 0) + 1
        usable: list[Link] = []
        ambiguous: list[Link] = []
        for link in listed:
            alone = uses[link.a_dpid, link.a_port] == uses[link.b_dpid, link.b_port] == 1
            (usable if alone else ambiguous).append(link)
        dpids = sorted({dpid for link in usable for dpid in (link.a_dpid, link.b_dpid)})
        place = {dpid: number for number, dpid in enumerate(dpids)}
        hops: list[list[_Hop]] = [[] for _ in dpids]
        peers: dict[End, End] = {}
        ports: dict[Dpid, set[PortNo]] = {dpid: set() for dpid in dpids}
        carriages: dict[Dpid, set[Carriage]] = {dpid: set() for dpid in dpids}
        fast = tuple(speeds.get(link, UNKNOWN_SPEED) for link in usable)
        for number, link in enumerate(usable):
            a, b = link.ends
            cost = ((AVOIDED if link.carriage is avoided else 1) + SHUNNED * (not shunned.isdisjoint((a[0], b[0])))
                    + DOUBTED * (link in doubted))
            for near, far in ((a, b), (b, a)):
                peers[near] = far
                ports[near[0]].add(near[1])
                carriages[near[0]].add(link.carriage)
                salt = _scatter(_scatter(near[0]) ^ near[1])
                hops[place[near[0]]].append(_Hop(place[far[0]], near[1], far[1], number, salt, cost, fast[number]))
        return cls(tuple(usable), avoided, shunned, frozenset(usable).intersection(doubted), fast, tuple(ambiguous),
                   peers, {dpid: frozenset(own) for dpid, own in ports.items()}, tuple(dpids),
                   frozenset(end for link in usable if link.carriage is Carriage.TUNNEL for end in link.ends),
                   {dpid: frozenset(kinds) for dpid, kinds in carriages.items()}, _parts(dpids, peers, ports),
                   tuple(tuple(sorted(own, key=lambda hop: hop.port)) for own in hops))

    def joined(self, one: Dpid, other: Dpid) -> bool:
        """Whether links lead from one to the other of two datapaths."""
        return one in self.parts and self.parts[one] == self.parts.get(other)


def _parts(dpids: Iterable[Dpid], peers: Mapping[End, End], ports: Mapping[Dpid, Iterable[PortNo]]) -> dict[Dpid, Dpid]:
    """What each datapath belongs to; `dpids` ascending."""
    parts: dict[Dpid, Dpid] = {}
    for first in dpids:
        ahead = [] if first in parts else [first]
        while ahead:
            here = ahead.pop()
            if here not in parts:
                parts[here] = first
                ahead += [peers[here, port][0] for port in ports[here]]
    return parts


@dataclass(frozen=True, slots=True)
class Tree:
    """How every datapath that can reach `destination` forwards towards it. Each mapping is by datapath."""

    destination: Dpid
    parent: Mapping[Dpid, PortNo]
    """The port on a shortest path; every datapath that reaches the destination has one, except itself."""
    backup: Mapping[Dpid, PortNo]
    """The port to use while the parent port is dead; none where the link to the parent is a bridge."""
    descend: Mapping[Dpid, PortNo]
    """Where a detoured frame that arrives from the parent goes; none where it had better be dropped."""
    turn: frozenset[Dpid]
    """Where the backup port leads to a tree child, whose frames must be turned round when the parent port is dead."""
    hops: Mapping[Dpid, int]
    """How many links the path without failures has; the destination has 0."""
    peers: Mapping[End, End]
    """Both directions of every link of the topology: where a frame sent out of a port arrives."""
    tunnels: frozenset[End]
    """The ends of tunnels in the topology."""
    carriages: Mapping[Dpid, frozenset[Carriage]]
    """The kinds of links that each datapath of the topology has."""

    @property
    def choices(self) -> tuple[object, ...]:
        """All of it that says where frames go, and into what."""
        ways = (self.parent, self.backup, self.descend)
        return (*ways, self.turn, {end for way in ways for end in way.items() if end in self.tunnels})

    def way(self, source: Dpid) -> list[Dpid]:
        """The datapaths from there to the destination while nothing fails; only the first where no way leads."""
        return _climb(self, source, frozenset())


def tree(topology: Topology, destination: Dpid) -> Tree:
    """The tree and detours to `destination`; equal topologies give equal trees, and ties fall differently for
    different destinations, so that load spreads."""
    count = len(topology.dpids)
    dpids, all_hops = topology.dpids, topology._hops
    try:
        root = dpids.index(destination)
    except ValueError:
        return Tree(destination, {}, {}, {}, frozenset(), {destination: 0}, topology.peers,
                    topology.tunnels, topology.carriages)
    seed = _scatter(destination)

    depth = [_FAR] * count
    depth[root] = 0
    order: list[int] = []
    reached = [(0, root)]
    while reached:
        level, here = heappop(reached)
        if level > depth[here]:
            continue  # a shorter way was found since
        order.append(here)
        for hop in all_hops[here]:
            if level + hop.cost < depth[hop.to]:
                depth[hop.to] = level + hop.cost
                heappush(reached, (depth[hop.to], hop.to))

    up: list[_Hop | None] = [None] * count
    above = [root] * count
    hops = [0] * count
    speed: list[float] = [inf] * count
    for here in order[1:]:
        shortest = [hop for hop in all_hops[here] if depth[hop.to] + hop.cost == depth[here]]
        chosen = shortest[0] if len(shortest) == 1 else min(
            shortest, key=lambda hop: (_chance(hop, seed, min(hop.speed, speed[hop.to])), hop.port))
        up[here] = chosen
        speed[here] = min(chosen.speed, speed[chosen.to])
        above[here] = chosen.to
        hops[here] = hops[chosen.to] + 1
    in_tree = {hop.link for hop in up if hop is not None}

    # Those of the tree, and those in doubt, lead out of nothing.
    reach = dict.fromkeys(in_tree, _FAR)
    for here in order:
        for hop in all_hops[here]:
            if hop.link not in reach:
                a, b = here, hop.to
                while a != b and hop.cost < DOUBTED:
                    if depth[a] >= depth[b]:
                        a = above[a]
                    else:
                        b = above[b]
                reach[hop.link] = depth[a] if a == b else _FAR

    parent: dict[Dpid, PortNo] = {}
    backup: dict[Dpid, PortNo] = {}
    descend: dict[Dpid, PortNo] = {}
    turn: set[Dpid] = set()
    # (reach, length of the detour, 1 if it starts at a child, spread, port) of every way out of a subtree that
    # starts at this datapath; children, being deeper, have added theirs before their parent is looked at.
    ways: list[list[tuple[int, int, int, int, PortNo]]] = [[] for _ in range(count)]
    for here in reversed(order):
        uplink = up[here]
        if uplink is None:
            continue
        dpid, level, level_above = dpids[here], depth[here], depth[above[here]]
        parent[dpid] = uplink.port
        own = ways[here]
        own += [(reach[hop.link], hop.cost + depth[hop.to], 0, (hop.salt ^ seed) * _HASH & _HASH_MASK, hop.port)
                for hop in all_hops[here] if reach[hop.link] < level]
        if not own:
            continue
        least = min(own)
        # Of those that reach above the parent, or where there is none, of all, the shortest.
        above_parent = [way[1:] for way in own if way[0] < level_above]
        _, child, _, backup[dpid] = min(above_parent or [way[1:] for way in own])
        if child:
            turn.add(dpid)
        if above_parent:
            # Useful to the parent or to one further up; otherwise the frame would come back to who sent it down.
            descend[dpid] = least[4]
            ways[uplink.to].append((least[0], uplink.cost + least[1], 1, _spread(uplink, seed), uplink.far_port))
    return Tree(
        destination, _sorted(parent), _sorted(backup), _sorted(descend), frozenset(turn),
        {dpids[here]: hops[here] for here in sorted(order)}, topology.peers, topology.tunnels, topology.carriages,
    )


def lost(before: Topology, topology: Topology) -> frozenset[End] | None:
    """The ends of links that are in the first and not in the second; None where anything else is otherwise too."""
    if (before.avoided, before.shunned, before.doubted) != (
            topology.avoided, topology.shunned, topology.doubted) or not (
            topology.peers.items() <= before.peers.items() and topology.tunnels <= before.tunnels):
        return None
    speeds = dict(zip(before.links, before.speeds, strict=True))
    if any(speeds[link] != speed for link, speed in zip(topology.links, topology.speeds, strict=True)):
        return None
    return frozenset(before.peers.keys() - topology.peers.keys())


def still(made: Tree, ends: Iterable[End], topology: Topology) -> Tree | None:
    """A tree as it is once the links with these ends are gone: the same, if it sends nothing over them, since each
    choice in it was the least of several. None where it must be made anew."""
    if any(port in (made.parent.get(dpid), made.backup.get(dpid), made.descend.get(dpid)) for dpid, port in ends):
        return None
    return replace(made, peers=topology.peers, tunnels=topology.tunnels, carriages=topology.carriages)


def _chance(hop: _Hop, seed: int, speed: float) -> float:
    """Who has the least of several is the one in proportion to `speed` (weighted rendezvous hashing: the least of
    exponential variates of these rates), and for equal speeds the one whose _spread is least."""
    return -log1p(-(_spread(hop, seed) >> 11) / (1 << 53)) / speed


def _spread(hop: _Hop, seed: int) -> int:
    """Breaks a tie between links, differently for each destination."""
    return (hop.salt ^ seed) * _HASH & _HASH_MASK


def _sorted(ports: dict[Dpid, PortNo]) -> dict[Dpid, PortNo]:
    return dict(sorted(ports.items()))


def visited(tree: Tree, source: Dpid) -> frozenset[Dpid]:
    """Every datapath a frame from `source` can visit, whatever fails, both ends included; just `source` when it
    cannot reach the destination. The same for one failure as for many, since a frame is detoured only once."""
    climbed = dict.fromkeys(_climb(tree, source, frozenset()))
    seen = set(climbed)
    for failed in list(climbed):
        here, port = failed, tree.backup.get(failed)
        while port is not None:
            here, arrival = tree.peers[here, port]
            seen.add(here)
            # From its parent: still going down. From anywhere else: across, and now up.
            port = tree.descend[here] if tree.parent.get(here) == arrival else None
        climbed.update(dict.fromkeys(_climb(tree, here, climbed.keys())))
    return frozenset(seen | climbed.keys())


def _climb(tree: Tree, source: Dpid, known: Container[Dpid]) -> list[Dpid]:
    """The datapaths from `source` up to the destination, or up to the first that is `known`."""
    way: list[Dpid] = []
    here = source
    while here not in known:
        way.append(here)
        port = tree.parent.get(here)
        if port is None:
            break
        here, _ = tree.peers[here, port]
    return way
