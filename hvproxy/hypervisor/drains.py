"""Which physical switches are drained, of all logical switches or of some: what the operator has ordered, and no more.

Where ports find another place is places' business, paths are the fabric's, and how far it is, draining tells.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from hvproxy.model.view import Dpid

ALL: Final = ""
"""Stands for all logical switches: none has this name."""
Key: TypeAlias = tuple[Dpid, str]
"""A datapath, and the name of the logical switch that leaves it, or ALL."""


class Drains:
    """Those in force."""

    def __init__(self, noted: Callable[[Key, bool | None], None]) -> None:
        """`noted` is told of each that begins, with whether it is forced, and (None) that ends."""
        self._forced: dict[Key, bool] = {}
        self._noted = noted
        self.quiet_since: dict[Key, float] = {}
        """Those of which nothing is on the switch any more, and since when."""
        self.over: set[Key] = set()
        """Those that have been quiet long enough."""

    def __bool__(self) -> bool:
        return bool(self._forced)

    @property
    def keys(self) -> list[Key]:
        """All of them."""
        return sorted(self._forced)

    def begin(self, key: Key, force: bool) -> None:
        """From now on; again with another `force`: so it is then."""
        if self._forced.get(key) != force:
            self._forced[key] = force
            self._noted(key, force)
            self.changed(key)

    def end(self, key: Key) -> bool:
        """No longer; whether it was in force."""
        there = self._forced.pop(key, None) is not None
        if there:
            self._noted(key, None)
            self.changed(key)
        return there

    def changed(self, key: Key) -> None:
        """Something is on the switch, or may be."""
        self.quiet_since.pop(key, None)
        self.over.discard(key)

    def force(self, key: Key) -> bool | None:
        """Whether it is forced; None: it is not in force."""
        return self._forced.get(key)

    def leaves(self, logical_switch: str, dpid: Dpid) -> bool:
        """Whether the ports of a logical switch are to leave a datapath."""
        return (dpid, ALL) in self._forced or (dpid, logical_switch) in self._forced

    def banned(self, logical_switch: str, dpid: Dpid) -> bool:
        """Whether they must, and are down if they have nowhere to go."""
        return self._forced.get((dpid, ALL), False) or self._forced.get((dpid, logical_switch), False)

    @property
    def shunned(self) -> frozenset[Dpid]:
        """The datapaths that no path leads through if there is another."""
        return frozenset(dpid for dpid, name in self._forced if name == ALL)
