"""Between which edges frames of logical switches go: pairs of edges, counted, whatever the number of logical switches.

So what the switches on the way hold for an edge is looked at again only when another edge sends to it, or none any more
of those that did. Knows neither links nor labels.
"""
from __future__ import annotations

from collections.abc import Collection, Iterable

from hvproxy.model.view import Dpid


class Needs:
    """Who sends to whom."""

    def __init__(self) -> None:
        self._between: dict[int, tuple[Collection[Dpid], Collection[Dpid]]] = {}
        """Logical switch -> the edges that send, and those that they send to."""
        self._sources: dict[Dpid, dict[Dpid, int]] = {}
        """Edge that is sent to -> each edge that sends there -> for how many logical switches."""

    def become(self, ls_id: int, sources: Collection[Dpid], destinations: Collection[Dpid]) -> set[Dpid]:
        """Each of these edges sends frames of a logical switch to each of those now; the edges that others send to than
        before."""
        before = self._between.pop(ls_id, ((), ()))
        if sources and destinations:
            self._between[ls_id] = sources, destinations
        changed: set[Dpid] = set()
        if before != (sources, destinations):
            # First what is new: what stays is always there.
            self._count(sources, destinations, 1, changed)
            self._count(*before, -1, changed)
        return changed

    def _count(self, sources: Iterable[Dpid], destinations: Iterable[Dpid], by: int, changed: set[Dpid]) -> None:
        for destination in destinations:
            counts = self._sources.setdefault(destination, {})
            for source in sources:
                if source != destination:
                    count = counts.get(source, 0) + by
                    if count == 0:
                        del counts[source]
                    else:
                        counts[source] = count
                    if count == max(by, 0):
                        changed.add(destination)
            if not counts:
                del self._sources[destination]

    def sources(self, destination: Dpid) -> Collection[Dpid]:
        """The edges that send to one."""
        return self._sources.get(destination, {}).keys()

    @property
    def destinations(self) -> Collection[Dpid]:
        """The edges that others send to."""
        return self._sources.keys()
