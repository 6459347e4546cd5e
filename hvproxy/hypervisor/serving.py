"""When logical switches are served: their controllers are dialled, and their listeners opened.

A new one waits until all switches, databases and links are known: before that its tenant would see ports come up late
that were never down. One that was there before a restart waits only for the switches that may know more of it than what
is stored, as counters; of all others what was so before counts, as it does of a switch that is away for a moment.
Knows what is known of the fabric, and nothing of frames and rules.
"""
from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from hvproxy.hypervisor import aging, placement
from hvproxy.model.view import Dpid

if TYPE_CHECKING:
    from hvproxy.hypervisor.hypervisor import Hypervisor


class Serving:
    """All logical switches that are not served yet."""

    def __init__(self, hv: Hypervisor) -> None:
        self._hv = hv
        self.waiting: set[str] = set()
        """Logical switches whose controllers are not dialled yet."""
        self.settling_in = False
        """After a restart: not all switches have been heard yet."""
        self.interrupted: list[Callable[[float], None]] = []
        """What was under way before a restart goes on when they have."""
        self._unheard: dict[str, set[Dpid]] = {}
        """Logical switches of before a restart -> the switches that may know more of them and have not told it."""
        self._returned: set[str] = set()
        """Those of them that wait, and all of whose switches have told it, or are given up."""

    def wait(self, name: str) -> None:
        """A new logical switch is to be served."""
        self.waiting.add(name)

    def wait_again(self, name: str, dpids: Collection[Dpid]) -> None:
        """One of before a restart, of which these switches may know more, is to be served again."""
        self.waiting.add(name)
        self._unheard[name] = set(dpids)

    def forget(self, name: str) -> None:
        """A logical switch is no more."""
        self.waiting.discard(name)
        self._unheard.pop(name, None)
        self._returned.discard(name)

    def heard(self, dpid: Dpid) -> None:
        """A switch has told everything, or is given up."""
        for unheard in self._unheard.values():
            unheard.discard(dpid)

    def look(self, now: float) -> None:
        """Serve those that need not wait any more."""
        hv = self._hv
        for name in [name for name, unheard in self._unheard.items() if not unheard]:
            del self._unheard[name]
            self._returned.add(name)
            aging.let_expire(hv.logical_switches[name], now)
        if self.settling_in and hv.switches.all_known:
            self.settling_in = False
            for ls in hv.logical_switches.values():
                hv.bind(ls, now)
            while self.interrupted:
                hv.soon.add(self.interrupted.pop())
        if not self.waiting or not hv.rollout.settled:
            return
        known = hv.links.explored and hv.databases.known
        for name in sorted(self.waiting if known else self.waiting & self._returned):
            self._serve(name, now)

    def _serve(self, name: str, now: float) -> None:
        hv, ls = self._hv, self._hv.logical_switches[name]
        self.waiting.discard(name)
        self._returned.discard(name)
        placement.tell_ports(hv, ls, now)
        for address in ls.spec.controllers:
            hv.out.dial(f"{name} {address}", str(address))
        for address in ls.spec.listen:
            hv.out.listen(f"{name} {address}", str(address))
