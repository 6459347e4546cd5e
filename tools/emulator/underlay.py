"""The IP network between switches: where tunnels end, which addresses reach each other, and what BFD hears.

A frame is not encapsulated: it is handed, with its key, to the port at the other end whose addresses are the same the
other way about. Knows no database.
"""
from __future__ import annotations

import asyncio
from typing import NamedTuple

from tools.emulator.ports import TunnelPort
from tools.emulator.switch import Switch

DETECTION = 0.3
"""Seconds after which BFD has heard the other end, or misses it: three of its packets, which are sent every 100 ms."""
KEY_BITS = {"gre": 32, "vxlan": 24, "geneve": 24}


class Route(NamedTuple):
    """What tells one tunnel of a switch from another."""

    kind: str
    local: str
    remote: str

    @property
    def back(self) -> Route:
        return Route(self.kind, self.remote, self.local)


class Underlay:
    """All ends of tunnels."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._ends: dict[Route, tuple[Switch, TunnelPort]] = {}
        self._cut: set[frozenset[str]] = set()
        """Pairs of addresses, and single addresses, that no packet gets to."""

    @property
    def heard(self) -> int:
        """How many ends of tunnels BFD hears the other end at."""
        return sum(port.heard for _, port in self._ends.values())

    def taken(self, route: Route) -> bool:
        """Whether some port has that route already."""
        return route in self._ends

    def attach(self, route: Route, switch: Switch, port: TunnelPort) -> None:
        """A port leads along this route from now on."""
        self._ends[route] = switch, port
        port.into = lambda frame, key: self._carry(route, frame, key)
        self._listen(route)

    def detach(self, route: Route) -> None:
        """The port of a route is gone."""
        _, port = self._ends.pop(route)
        port.into = None
        self._listen(route)

    def set_path(self, first: str, second: str, up: bool) -> None:
        """Packets between two addresses arrive, or vanish."""
        self._set(frozenset((first, second)), up)

    def set_endpoint(self, address: str, up: bool) -> None:
        """Packets from and to an address arrive, or vanish."""
        self._set(frozenset((address,)), up)

    def _set(self, which: frozenset[str], up: bool) -> None:
        (self._cut.discard if up else self._cut.add)(which)
        for route in self._ends:
            if which <= {route.local, route.remote}:
                self._listen(route)

    def _reaches(self, route: Route) -> bool:
        return route.back in self._ends and self._cut.isdisjoint(
            (frozenset((route.local, route.remote)), frozenset((route.local,)), frozenset((route.remote,))))

    def _carry(self, route: Route, frame: bytes, key: int) -> None:
        if self._reaches(route):
            switch, port = self._ends[route.back]
            self._loop.call_soon(switch.receive, port.number, frame, key & (1 << KEY_BITS[route.kind]) - 1)

    def _listen(self, route: Route) -> None:
        for each in (route, route.back):
            self._loop.call_later(DETECTION, self._hear, each)

    def _hear(self, route: Route) -> None:
        if route in self._ends:
            switch, port = self._ends[route]
            switch.set_heard(port, self._reaches(route))
