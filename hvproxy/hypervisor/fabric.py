"""The fabric as one thing: links, paths, labels, and what every datapath holds for them and for each placement.

It has one owner (design 1.7). Knows logical switches only as views; entries are none of its business.
"""
from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from hvproxy.compiler import pipeline
from hvproxy.compiler.paths import Topology, Tree, tree, visited
from hvproxy.compiler.transit import transit_rules, uplink_groups
from hvproxy.errors import Exhausted
from hvproxy.hypervisor.labels import Labels
from hvproxy.hypervisor.rollout import Part
from hvproxy.model.layout import ContextLayout
from hvproxy.model.rules import Content
from hvproxy.model.view import Dpid, Link, LogicalSwitchView, Transport

LabelKey = tuple[str, int, int]


class Fabric:
    """Computes the parts that Rollout brings about."""

    def __init__(self, layout: ContextLayout, first_vid: int, last_vid: int, discovery_mac: int | None) -> None:
        self.layout = layout
        self.topology = Topology.of(())
        self.labels: Labels[LabelKey] = Labels(first_vid, last_vid)
        self.placed: dict[int, LogicalSwitchView] = {}
        self._discovery_mac = discovery_mac
        self.destinations: dict[Dpid, int] = {}
        """What names each edge (destination_index)."""
        self._trees: dict[Dpid, Tree] = {}
        self._visited: dict[tuple[Dpid, Dpid], frozenset[Dpid]] = {}
        self._needs: dict[int, dict[Dpid, frozenset[Dpid]]] = {}
        """Logical switch -> destination edge -> the datapaths its frames may cross."""

    # Facts

    def tree_to(self, destination: Dpid) -> Tree:
        """The paths to an edge."""
        found = self._trees.get(destination)
        if found is None:
            found = self._trees[destination] = tree(self.topology, destination)
        return found

    def crossed(self, source: Dpid, destination: Dpid) -> frozenset[Dpid]:
        """Every datapath a frame from `source` to `destination` may visit, also when one link fails."""
        key = (source, destination)
        found = self._visited.get(key)
        if found is None:
            found = self._visited[key] = visited(self.tree_to(destination), source)
        return found

    def reaches(self, source: Dpid, destination: Dpid) -> bool:
        return source == destination or source in self.tree_to(destination).parent

    def destination_index(self, dpid: Dpid) -> int:
        """What names an edge in uplink groups and in the metadata of frames on their way; the same for good."""
        return self.destinations.setdefault(dpid, len(self.destinations) + 1)

    def fabric_ports(self, dpid: Dpid) -> frozenset[int]:
        """The ports of a datapath that are ends of links."""
        return frozenset(port for owner, port in self.topology.peers if owner == dpid)

    # Parts

    def base(self, dpids: Iterable[Dpid]) -> dict[Part, dict[Dpid, Content]]:
        """What each datapath holds in any case."""
        return {("base", dpid): {dpid: pipeline.base(self.fabric_ports(dpid), self._discovery_mac)} for dpid in dpids}

    def set_links(self, links: Iterable[Link]) -> dict[Part, dict[Dpid, Content]]:
        """The links are these now: every part that this changes."""
        before = self.topology
        self.topology = Topology.of(links)
        if self.topology == before:
            return {}
        self._trees.clear()
        self._visited.clear()
        changed = self.base({*before.dpids, *self.topology.dpids})
        for view in list(self.placed.values()):
            changed.update(self._placement(view))
        changed.update(self._uplinks({d for needs in self._needs.values() for d in needs}))
        return changed

    def room(self, view: LogicalSwitchView) -> bool:
        """Whether there are labels to place it."""
        return self.labels.room(self._label_keys(view))

    def place(self, view: LogicalSwitchView, now: float) -> dict[Part, dict[Dpid, Content]]:
        """A logical switch is like this now: the parts that changes. Raises Exhausted with nothing changed."""
        wanted = self._label_keys(view)
        if not self.labels.room(wanted):
            raise Exhausted("fabric.vlan_range", f"not enough VLAN labels left for {len(wanted)} more destinations")
        for key in wanted:
            self.labels.take(key)
        kept = set(wanted)
        for key in [k for k in self.labels.used if k[1] == view.ls_id and k not in kept]:
            self.labels.give_back(key, now)
        before = self._needs.get(view.ls_id, {})
        if view.lports:
            self.placed[view.ls_id] = view
        else:
            self.placed.pop(view.ls_id, None)
        changed = self._placement(view)
        concerned = {d for d in {*before, *self._needs.get(view.ls_id, {})}
                     if before.get(d) != self._needs.get(view.ls_id, {}).get(d)}
        changed.update(self._uplinks(concerned))
        return changed

    def _label_keys(self, view: LogicalSwitchView) -> list[LabelKey]:
        edges = view.edges
        if len(edges) < 2:
            return []
        return ([("deliver", view.ls_id, lport.index) for lport in view.lports if lport.vif is not None]
                + [("flood", view.ls_id, dpid) for dpid in edges])

    def transport(self, view: LogicalSwitchView) -> Transport:
        """What the fabric offers one logical switch."""
        edges = view.edges
        used = self.labels.used
        keys = self._label_keys(view)
        return Transport(
            destinations={dpid: self.destination_index(dpid) for dpid in edges},
            reachable={a: frozenset(b for b in edges if self.reaches(a, b)) for a in edges},
            visited=self.crossed,
            deliver={(ls_id, n): used[kind, ls_id, n] for kind, ls_id, n in keys if kind == "deliver"},
            flood={(ls_id, n): used[kind, ls_id, n] for kind, ls_id, n in keys if kind == "flood"},
        )

    def _placement(self, view: LogicalSwitchView) -> dict[Part, dict[Dpid, Content]]:
        edges = view.edges
        transport = self.transport(view)
        self._needs[view.ls_id] = {
            destination: frozenset().union(*(
                {source} | self.crossed(source, destination) for source in edges
                if source != destination and self.reaches(source, destination)))
            for destination in edges if len(edges) > 1
        }
        if not view.lports:
            del self._needs[view.ls_id]
            return {("place", view.ls_id): {}}
        return {("place", view.ls_id): pipeline.placement(self.layout, view, transport)}

    def _uplinks(self, destinations: Iterable[Dpid]) -> dict[Part, dict[Dpid, Content]]:
        changed: dict[Part, dict[Dpid, Content]] = {}
        for destination in destinations:
            needed = frozenset().union(*(needs.get(destination, frozenset()) for needs in self._needs.values()))
            contents = {}
            paths = self.tree_to(destination)
            index = self.destination_index(destination)
            for dpid in sorted(needed - {destination}):
                content = contents[dpid] = Content()
                for group in uplink_groups(paths, dpid, index):
                    content.add_group(group)
                for rule in transit_rules(paths, dpid, index):
                    content.add_rule(rule)
            changed["uplink", destination] = contents
        return changed


def labels_needed(edges: Collection[Dpid]) -> int:
    """How many labels a logical switch takes whose ports are on these edges, one for each port."""
    others = len(set(edges))
    return 0 if others < 2 else len(edges) + others


def links_between(links: Iterable[Link], up: Mapping[tuple[Dpid, int], bool]) -> frozenset[Link]:
    """Those of the links both of whose ends are up."""
    return frozenset(link for link in links
                     if up.get((link.a_dpid, link.a_port)) and up.get((link.b_dpid, link.b_port)))
