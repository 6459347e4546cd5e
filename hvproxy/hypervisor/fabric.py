"""The fabric as one thing: links, paths, labels, and what every datapath holds for them and for each placement.

It has one owner (design 1.7). Knows logical switches only as views; entries are none of its business.
"""
from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from itertools import permutations
from types import MappingProxyType

from hvproxy.compiler import pipeline
from hvproxy.compiler.paths import Topology, Tree, lost, still, tree, visited
from hvproxy.compiler.transit import label_rules, transit_rules, uplink_groups, ways
from hvproxy.compiler.wires import crossings
from hvproxy.errors import Exhausted
from hvproxy.hypervisor.labels import Labels
from hvproxy.hypervisor.needs import Needs
from hvproxy.hypervisor.rollout import Part
from hvproxy.model.layout import LAST_KEY, LAST_VID, ContextLayout
from hvproxy.model.rules import Content
from hvproxy.model.view import Carriage, Dpid, Link, LogicalSwitchView, Transport

LabelKey = tuple[str, int, int]
DELIVER, FLOOD = ("deliver", "deliver-turned"), ("flood", "flood-turned")
"""The kinds of labels: each lport and each edge has one of two, and for a while both when lports move."""
RESUME = "resume"
"""The kind of those under which frames of an lport come to the home of its logical switch; named by both."""
_LPORT_BITS = 24
LAST_INDEX = (1 << _LPORT_BITS) - 1
"""The bits of a label's name that say which lport."""


class Fabric:
    """Computes the parts that Rollout brings about."""

    def __init__(self, layout: ContextLayout, first_vid: int, last_vid: int, discovery_mac: int | None,
                 avoided: Carriage = Carriage.TUNNEL) -> None:
        self.layout = layout
        self.topology = Topology.of((), avoided)
        self.labels: Labels[LabelKey] = Labels(first_vid, last_vid, whose=_logical_switch)
        self.keys: Labels[LabelKey] = Labels(LAST_VID + 2, LAST_KEY, "labels of tunnels", LAST_VID + 2, _logical_switch)
        """For logical switches none of whose frames can come to a VLAN link; a label of the others will do, too."""
        self.starved: set[int] = set()
        """Logical switches that would need labels for VLAN links and find none: their edges are apart."""
        self.endpoints: frozenset[Dpid] = frozenset()
        """Datapaths that tunnels may end at: what no VLAN link leads to gets its labels out of the longer range."""
        self.placed: dict[int, LogicalSwitchView] = {}
        self.shunned: frozenset[Dpid] = frozenset()
        """Datapaths that no path leads through if there is another."""
        self._discovery_mac = discovery_mac
        self._beside_vlan: frozenset[Dpid] = frozenset()
        self.destinations: dict[Dpid, int] = {}
        """What names each edge (destination_index)."""
        self._trees: dict[Dpid, Tree] = {}
        self._visited: dict[Dpid, dict[Dpid, frozenset[Dpid]]] = {}
        """By destination and source."""
        self._peered: dict[int, tuple[Dpid, ...]] = {}
        """Logical switches that are wired to others -> their edges."""
        self._wired: frozenset[Dpid] = frozenset()
        """Where packets cross from one logical switch to another."""
        self._loose: set[int] = set()
        """Logical switches some of whose labels the datapaths on the way must know one by one."""
        self._needs = Needs()
        self._needed: dict[Dpid, frozenset[Dpid]] = {}
        """Destination edge -> the datapaths that frames of any logical switch may cross on the way."""
        self._made: dict[Part, tuple[object, dict[Dpid, Content]]] = {}
        """What was made last of each part, and of what: most of it stays as it is when a link goes."""

    # Facts

    def tree_to(self, destination: Dpid) -> Tree:
        """The paths to an edge."""
        found = self._trees.get(destination)
        if found is None:
            found = self._trees[destination] = tree(self.topology, destination)
        return found

    def crossed(self, source: Dpid, destination: Dpid) -> frozenset[Dpid]:
        """Every datapath a frame from `source` to `destination` may visit, also when one link fails."""
        known = self._visited.setdefault(destination, {})
        found = known.get(source)
        if found is None:
            found = known[source] = visited(self.tree_to(destination), source)
        return found

    @property
    def label_spaces(self) -> tuple[Labels[LabelKey], Labels[LabelKey]]:
        """Both ranges of labels."""
        return self.labels, self.keys

    def joined(self, ls_id: int, source: Dpid, destination: Dpid) -> bool:
        """Whether frames of a logical switch get from one edge to another."""
        return source == destination or ls_id not in self.starved and self.reaches(source, destination)

    def reaches(self, source: Dpid, destination: Dpid) -> bool:
        return source == destination or self.topology.joined(source, destination)

    def destination_index(self, dpid: Dpid) -> int:
        """What names an edge in uplink groups and in the metadata of frames on their way; the same for good."""
        return self.destinations.setdefault(dpid, len(self.destinations) + 1)

    def fabric_ports(self, dpid: Dpid) -> frozenset[int]:
        """The ports of a datapath that are ends of links."""
        return self.topology.ports.get(dpid, frozenset())

    def tunnel_ports(self, dpid: Dpid) -> frozenset[int]:
        """Those of them that are ends of tunnels."""
        return frozenset(port for port in self.fabric_ports(dpid) if (dpid, port) in self.topology.tunnels)

    def meets_vlan(self, edges: Iterable[Dpid]) -> bool:
        """Whether frames between these edges can come to a VLAN link, whatever else fails."""
        return not self._beside_vlan.isdisjoint(edges)

    def runs(self, destination: Dpid) -> list[range]:
        """The labels that all lead to an edge, as runs that each match under one mask."""
        return [run for space in self.label_spaces for run in space.blocks.runs(destination)]

    def label(self, key: LabelKey) -> int | None:
        """The label of a key, in either range."""
        found = self.labels.used.get(key)
        return self.keys.used.get(key) if found is None else found

    def crossing(self, dpid: Dpid) -> list[tuple[Dpid, Dpid]]:
        """The pairs of other edges whose frames cross a datapath while nothing fails, from where to where."""
        pairs = {pair for edges in {view.edges for view in self.placed.values()} for pair in permutations(edges, 2)}
        return sorted((a, b) for a, b in pairs if dpid not in (a, b) and dpid in self.tree_to(b).way(a))

    # Parts

    def base(self, dpids: Iterable[Dpid]) -> dict[Part, dict[Dpid, Content]]:
        """What each datapath holds in any case."""
        return {("base", dpid): {dpid: pipeline.base(dpid, self.fabric_ports(dpid), self._discovery_mac,
                                                     self.tunnel_ports(dpid))} for dpid in dpids}

    def set_links(self, links: Iterable[Link], now: float = 0.0, speeds: Mapping[Link, int] = MappingProxyType({}),
                  doubted: Collection[Link] = ()) -> tuple[dict[Part, dict[Dpid, Content]], set[int]]:
        """The links are these now: every part that this changes, and the logical switches whose edges may be joined
        otherwise. `speeds` in Mb/s, of those that tell them; those of them that are `doubted` are used where no other
        way leads."""
        before = self.topology
        self.topology = Topology.of(links, before.avoided, self.shunned, speeds, doubted)
        if self.topology == before:
            return {}, set()
        beside = self._beside_vlan
        self._beside_vlan = beside_vlan(self.topology)
        ends = lost(before, self.topology)
        trees = {} if ends is None else {
            destination: still(made, ends, self.topology) for destination, made in self._trees.items()}
        self._trees = {destination: made for destination, made in trees.items() if made is not None}
        self._visited = {destination: known for destination, known in self._visited.items()
                         if destination in self._trees}
        changed = self.base({end[0] for link in {*before.links} ^ {*self.topology.links} for end in link.ends})
        known = {*before.dpids, *self.topology.dpids}
        others = {dpid for dpid in known if ways(before.carriages, dpid) != ways(self.topology.carriages, dpid)}
        moved = others | (beside ^ self._beside_vlan) | {
            dpid for dpid in known if before.parts.get(dpid) != self.topology.parts.get(dpid)}
        shaken = [view for ls_id, view in self.placed.items() if ls_id in self.starved
                  or ls_id in self._loose or not moved.isdisjoint(view.edges)]
        concerned = {destination for destination in self._needs.destinations if destination not in self._trees
                     or not others.isdisjoint(self._needed.get(destination, ()))}
        for view in shaken:
            self._label(view, now)
            changed.update(self._placement(view))
            concerned |= self._send(view)
        self._look_needed(concerned)
        changed.update(self._uplinks(concerned | self._lent()))
        return changed, {view.ls_id for view in shaken}

    def feed(self, now: float) -> dict[Part, dict[Dpid, Content]]:
        """Labels may be free again for those that had found none: every part that this changes."""
        changed: dict[Part, dict[Dpid, Content]] = {}
        for ls_id in sorted(self.starved):
            view = self.placed[ls_id]
            if self.room(view):
                changed.update(self.place(view, now))
        return changed

    def room(self, *views: LogicalSwitchView) -> bool:
        """Whether there are labels to place them, all together."""
        missing: dict[int, list[LabelKey]] = {}
        for view in views:
            missing.setdefault(self.label_spaces.index(self._space(view)), []).extend(self._missing(view))
        return all(self.label_spaces[number].room(keys) for number, keys in missing.items())

    def place(self, view: LogicalSwitchView, now: float) -> dict[Part, dict[Dpid, Content]]:
        """A logical switch is like this now: the parts that changes. Raises Exhausted with nothing changed."""
        if not self.room(view):
            raise Exhausted("fabric.vlan_range",
                            f"not enough labels left for {len(self._missing(view))} more destinations")
        kept = set(self._label_keys(view))
        for space in self.label_spaces:
            for key in [key for key in space.of(view.ls_id) if key not in kept]:
                space.give_back(key, now)
        self._label(view, now)
        if view.lports:
            self.placed[view.ls_id] = view
        else:
            self.placed.pop(view.ls_id, None)
            self.starved.discard(view.ls_id)
        changed = self._placement(view)
        changed.update(self._crossings(view))
        concerned = self._look_needed(self._send(view))
        changed.update(self._uplinks(concerned | self._lent()))
        return changed

    def _send(self, view: LogicalSwitchView) -> set[Dpid]:
        """Note between which edges frames of a logical switch go; the edges that this may matter to."""
        edges = view.edges
        apart = len(edges) < 2 or view.ls_id in self.starved
        return self._needs.become(view.ls_id, () if apart else edges, () if apart else view.reached)

    def _look_needed(self, destinations: Iterable[Dpid]) -> set[Dpid]:
        """See which datapaths frames to these edges may cross; those of the edges for which these are others."""
        changed = set()
        for destination in destinations:
            needed = frozenset[Dpid]().union(*(
                self.crossed(source, destination) for source in self._needs.sources(destination)
                if self.reaches(source, destination)))
            if needed != self._needed.get(destination, frozenset()):
                changed.add(destination)
                self._needed[destination] = needed
        return changed

    def _lent(self) -> set[Dpid]:
        """The edges whose blocks of labels have changed since this was asked last."""
        found: set[Dpid] = set()
        for space in self.label_spaces:
            found |= space.changed
            space.changed.clear()
        return found

    def _space(self, view: LogicalSwitchView) -> Labels[LabelKey]:
        """Where its labels come from."""
        edges = view.edges
        if self.endpoints.issuperset(edges) and not self.meets_vlan(edges):
            return self.keys
        return self.labels

    def _missing(self, view: LogicalSwitchView) -> list[LabelKey]:
        """Its keys that have no label, or one that a link they can come to does not carry."""
        enough = self.label_spaces[:1] if self.meets_vlan(view.edges) else self.label_spaces
        return [key for key in self._label_keys(view) if not any(key in space.used for space in enough)]

    def _label(self, view: LogicalSwitchView, now: float) -> None:
        """Label what has no label that will do; where there are not enough, its edges are apart."""
        space, missing, keys = self._space(view), self._missing(view), self._label_keys(view)
        if not space.room(missing):
            self.starved.add(view.ls_id)
            return
        self.starved.discard(view.ls_id)
        for key in missing:
            space.take(key, keys[key])
            if space is self.labels:
                self.keys.give_back(key, now)

    def _label_keys(self, view: LogicalSwitchView) -> dict[LabelKey, Dpid]:
        """What needs a label, and the edge that it leads to."""
        edges = sorted(view.bound)
        if len(view.edges) < 2:
            return {}
        keys = {(DELIVER[lport.turned], view.ls_id, lport.index): lport.vif.dpid
                for lport in view.lports if lport.vif is not None}
        keys.update({(FLOOD[dpid in view.turned], view.ls_id, dpid): dpid for dpid in edges})
        keys.update({(DELIVER[not lport.turned], view.ls_id, lport.index): lport.former.dpid
                     for lport in view.lports if lport.crosses and lport.former is not None})
        keys.update({(FLOOD[dpid not in view.turned], view.ls_id, dpid): dpid for dpid in sorted(view.in_motion)})
        if view.home is not None:
            keys.update(dict.fromkeys((self._resume_key(view, lport.index) for lport in view.away), view.home))
        return keys

    def _resume_key(self, view: LogicalSwitchView, index: int) -> LabelKey:
        assert view.home is not None
        return RESUME, view.ls_id, self.destination_index(view.home) << _LPORT_BITS | index

    def transport(self, view: LogicalSwitchView) -> Transport:
        """What the fabric offers one logical switch."""
        edges = view.edges
        indexes = [lport.index for lport in view.lports]
        turned = {lport.index for lport in view.lports if lport.turned}
        crossing = {lport.index for lport in view.lports if lport.crosses}

        def found(kinds: tuple[str, str], which: Iterable[int], turned: Collection[int]) -> dict[tuple[int, int], int]:
            return {(view.ls_id, n): label for n in which
                    if (label := self.label((kinds[n in turned], view.ls_id, n))) is not None}

        return Transport(
            destinations={dpid: self.destination_index(dpid) for dpid in edges},
            reachable={a: frozenset(b for b in edges if self.joined(view.ls_id, a, b)) for a in edges},
            visited=self.crossed,
            deliver=found(DELIVER, indexes, turned),
            flood=found(FLOOD, view.bound, view.turned),
            former_deliver=found(DELIVER, crossing, {n for n in crossing if n not in turned}),
            former_flood=found(FLOOD, view.in_motion, view.in_motion - view.turned),
            carriages=self.topology.carriages,
            led=lambda label, destination: any(space.blocks.owner(label) == destination for space in self.label_spaces),
            resume={(view.ls_id, lport.index): label for lport in view.away
                    if (label := self.label(self._resume_key(view, lport.index))) is not None},
        )

    def _placement(self, view: LogicalSwitchView) -> dict[Part, dict[Dpid, Content]]:
        edges = view.edges
        transport = self.transport(view)
        part = ("place", view.ls_id)
        self._loose.discard(view.ls_id)
        if not view.lports:
            self._made.pop(part, None)
            return {part: {}}
        crossed: dict[Dpid, frozenset[Dpid]] | None = None
        if not all(transport.led(label, destination) for label, destination in self._labels_of(view)):
            self._loose.add(view.ls_id)
            crossed = {destination: frozenset[Dpid]().union(*(
                self.crossed(source, destination) for source in edges
                if source != destination and self.joined(view.ls_id, source, destination)))
                for destination in view.reached if len(edges) > 1}
        made_of = (view, transport.destinations, transport.reachable, transport.deliver, transport.flood,
                   transport.former_deliver, transport.former_flood, transport.resume,
                   self._ways(frozenset(edges).union(*(crossed or {}).values())), crossed)
        return {part: self._make(part, made_of, lambda: pipeline.placement(self.layout, view, transport))}

    def _labels_of(self, view: LogicalSwitchView) -> list[tuple[int, Dpid]]:
        """The labels of a logical switch, and where each leads."""
        return [(label, destination) for key, destination in self._label_keys(view).items()
                if (label := self.label(key)) is not None]

    def _crossings(self, view: LogicalSwitchView) -> dict[Part, dict[Dpid, Content]]:
        before = self._wired
        self._peered.pop(view.ls_id, None)
        if view.peers:
            self._peered[view.ls_id] = view.edges
        self._wired = frozenset(dpid for edges in self._peered.values() for dpid in edges)
        return {} if self._wired == before else {("crossings",): dict.fromkeys(self._wired, crossings())}

    def _uplinks(self, destinations: Iterable[Dpid]) -> dict[Part, dict[Dpid, Content]]:
        changed: dict[Part, dict[Dpid, Content]] = {}
        for destination in destinations:
            needed = self._needed.get(destination, frozenset())
            if not needed:
                self._made.pop(("uplink", destination), None)
                changed["uplink", destination] = {}
                continue
            paths, index, runs = self.tree_to(destination), self.destination_index(destination), self.runs(destination)
            made_of = (paths.choices, self._ways(needed), index, runs)
            changed["uplink", destination] = self._make(
                ("uplink", destination), made_of,
                partial(self._uplinks_of, paths, needed - {destination}, index, runs))
        return changed

    def _uplinks_of(self, paths: Tree, needed: Iterable[Dpid], index: int, runs: list[range]) -> dict[Dpid, Content]:
        contents = {}
        for dpid in sorted(needed):
            content = contents[dpid] = Content()
            for group in uplink_groups(paths, dpid, index):
                content.add_group(group)
            for rule in transit_rules(paths, dpid, index):
                content.add_rule(rule)
            for rule in label_rules(runs, index, ways(paths.carriages, dpid)):
                content.add_rule(rule)
        return contents

    def _ways(self, dpids: Iterable[Dpid]) -> dict[Dpid, list[Carriage]]:
        return {dpid: ways(self.topology.carriages, dpid) for dpid in dpids}

    def _make(self, part: Part, made_of: object, make: Callable[[], dict[Dpid, Content]]) -> dict[Dpid, Content]:
        """A part, made anew if what it is made of is otherwise than the last time."""
        found = self._made.get(part)
        if found is None or found[0] != made_of:
            found = self._made[part] = made_of, make()
        return found[1]


def _logical_switch(key: LabelKey) -> int:
    return key[1]


def beside_vlan(topology: Topology) -> frozenset[Dpid]:
    """The datapaths from which any way leads to a VLAN link."""
    beyond: dict[Dpid, set[Dpid]] = {}
    for (dpid, _), (peer, _) in topology.peers.items():
        beyond.setdefault(dpid, set()).add(peer)
    seen = {dpid for dpid, kinds in topology.carriages.items() if Carriage.VLAN in kinds}
    ahead = list(seen)
    while ahead:
        fresh = beyond[ahead.pop()] - seen
        seen |= fresh
        ahead += fresh
    return frozenset(seen)


def labels_needed(edges: Collection[Dpid], beside: Collection[Dpid] = ()) -> int:
    """How many labels a logical switch takes whose ports are on these edges, one for each port, and whose packets may
    come from those `beside` too."""
    return 0 if len({*edges, *beside}) < 2 else len(edges) + len(set(edges))


def links_between(links: Iterable[Link], up: Mapping[tuple[Dpid, int], bool]) -> frozenset[Link]:
    """Those of the links both of whose ends are up."""
    return frozenset(link for link in links if all(up.get(end) for end in link.ends))
