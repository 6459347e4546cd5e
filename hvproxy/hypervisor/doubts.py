"""Which links let nothing through although the ports at both ends are up: asked of the links themselves.

Discovery finds that only after some rounds, and never while a switch cannot be asked: what one would have heard whose
control connection is lost, or hangs, is unknown, and commonly it forwards as ever. So of a link that is suspected each
end whose switch can be asked sends a frame that the other end's rules send back (compiler.reflection), again and again.
When several in a row stay away the link is in doubt: paths lead round it where another way leads, and nothing else
changes. Suspected are the links of a switch that is not ready, and those through which no frame of a round of discovery
has come some time after it began. One that has never sent a frame back, as no switch does that lacks the rules, is not
put in doubt. One that is in doubt is trusted again when both its switches are ready and it is heard both ways.

A frame that stays away counts only where the switch that was to send it has said something since, and hvproxy itself
was not too busy to listen: else it tells nothing about the link.
"""
from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import inf
from typing import Final, Protocol

from hvproxy.hypervisor.discovery import Discovery, End
from hvproxy.hypervisor.switches import Switches
from hvproxy.model.view import Dpid, Link

WAIT: Final = 0.4
"""Seconds that frames of a round may take before a link is suspected."""
AGAIN: Final = 0.3
"""Seconds in which a frame that was to come back has come, or stays away."""
ENOUGH: Final = 3
"""Frames in a row that stay away when a link is in doubt."""
SETTLED: Final = 0.1
"""Seconds after which both ends of a new link have their rules."""
LATE: Final = 0.1
"""Seconds by which hvproxy may be late and count as listening."""


class DoubtsOwner(Protocol):
    """Who knows the links, and hears of doubts."""

    @property
    def vlan(self) -> frozenset[Link]:
        """The links in use that discovery can see."""

    def doubts_changed(self, now: float) -> None:
        """`links` is another."""


@dataclass(slots=True)
class Asked:
    """What the end of a link was asked last."""

    link: Link
    number: int = 0
    at: float = -inf
    back: bool = False
    """A frame has come back since."""
    missed: int = 0
    """Frames in a row that have stayed away."""
    quiet: int = 0
    """How often in a row the switch at this end has said nothing when it was asked."""


class Doubts:
    """All of them."""

    def __init__(self, discovery: Discovery, switches: Switches, owner: DoubtsOwner) -> None:
        self.links: frozenset[Link] = frozenset()
        """Those in doubt."""
        self.hung: frozenset[Dpid] = frozenset()
        """Switches with such a link that say nothing when they are asked, although they are connected."""
        self._discovery = discovery
        self._switches = switches
        self._owner = owner
        self._able: set[Link] = set()
        """The links that have sent a frame back."""
        self._unheard: frozenset[Link] = frozenset()
        """Those that were not heard both ways in the last round."""
        self._asked: dict[End, Asked] = {}
        self._check_due = inf
        self._turn_due = inf
        self._try_due = inf
        self._turned = -inf
        """When links were asked last because they are suspected."""

    @property
    def deadline(self) -> float:
        """When `tick` must be called next."""
        return min(self._check_due, self._turn_due, self._try_due)

    def round_begun(self, now: float) -> None:
        """Discovery has sent frames through all links."""
        self._check_due = now + WAIT

    def links_changed(self, now: float) -> None:
        """There may be new links."""
        self._try_due = now + SETTLED

    def suspect(self, now: float) -> None:
        """A switch is not ready any more."""
        self._turn_due = now

    def excuse(self) -> None:
        """Nothing that switches have said was read for some time: what was to come back may wait unread."""
        self._asked.clear()

    def answered(self, end: End, frame: bytes) -> bool:
        """A frame has come back to a port. False where it is none of ours, or tells nothing."""
        found = self._discovery.answered(frame)
        asked = self._asked.get(end)
        if found is None or asked is None or found[0] != end or not -ENOUGH < found[1] - asked.number <= 0:
            return False
        asked.back = True
        asked.missed = 0
        self._able.add(asked.link)
        return True

    def tick(self, now: float) -> None:
        """Ask and judge, if it is time."""
        if now >= self._check_due:
            late, self._check_due = now > self._check_due + LATE, inf
            if not late:
                self._check(now)
        if now >= self._try_due:
            self._try(now)
        if now >= self._turn_due:
            late, self._turn_due = now > self._turn_due + LATE, inf
            self._turn(late, now)

    def _check(self, now: float) -> None:
        """See what a round has shown."""
        links = self._owner.vlan
        self._unheard = frozenset(link for link in links if not self._discovery.hears(link))
        self._try(now)
        self._doubt(frozenset(link for link in self.links if link in self._unheard or not self._ready(link)), now)
        if self._able & self._unheard:
            self._turn_due = min(self._turn_due, now)

    def _try(self, now: float) -> None:
        """See whether links can send frames back of which that is not known."""
        self._try_due = inf
        links = self._owner.vlan
        self._able &= links
        for link in sorted(links - self._able):
            for end in link.ends:
                self._ask(link, end, now)

    def _turn(self, late: bool, now: float) -> None:
        """Judge what was asked of the links that are suspected, and ask again."""
        links = self._owner.vlan
        suspects = [link for link in sorted(self._able & links)
                    if link in self._unheard or link in self.links or not self._ready(link)]
        ends = [(link, end) for link in suspects for end in link.ends if self._switches.ready(end[0])]
        if not late:
            for link, end in ends:
                self._judge(link, end)
        known = {end: asked for link, end in ends if (asked := self._asked.get(end)) is not None and asked.link == link}
        self._asked = known | {end: asked for end, asked in self._asked.items() if asked.link in links - self._able}
        missed = {asked.link for asked in known.values() if asked.missed >= ENOUGH}
        quiet = {end[0] for end, asked in known.items() if asked.quiet >= ENOUGH}
        self._doubt(self.links & links | missed, now)
        self.hung = frozenset(quiet & {dpid for link in self.links for dpid, _ in link.ends})
        for link, end in ends:
            self._ask(link, end, now)
        self._turned = now
        if suspects:
            self._turn_due = now + AGAIN

    def _judge(self, link: Link, end: End) -> None:
        asked = self._asked.get(end)
        if asked is None or asked.link != link or asked.at != self._turned:
            return
        if self._switches.heard(end[0]) < asked.at:
            asked.quiet += 1
            return
        asked.quiet = 0
        if not asked.back:
            asked.missed += 1

    def _ask(self, link: Link, end: End, now: float) -> None:
        if not self._switches.ready(end[0]):
            return
        asked = self._asked.get(end)
        if asked is None or asked.link != link:
            asked = self._asked[end] = Asked(link)
        asked.number += 1
        asked.at = now
        asked.back = False
        other = next(dpid for dpid, port_no in link.ends if (dpid, port_no) != end)
        self._switches.send_frame(end, self._discovery.question(*end, other, asked.number), now)
        self._switches.ask(end[0])

    def _ready(self, link: Link) -> bool:
        return all(self._switches.ready(dpid) for dpid, _ in link.ends)

    def _doubt(self, links: frozenset[Link], now: float) -> None:
        """These are in doubt from now on."""
        if links == self.links:
            return
        before, self.links = self.links, links
        self._say(links - before, "warning", "a link lets nothing through: paths lead round it")
        self._say((before - links) & self._owner.vlan, "info", "a link lets frames through again")
        self._owner.doubts_changed(now)

    def _say(self, links: Iterable[Link], level: str, event: str) -> None:
        for link in sorted(links):
            (a_dpid, a_port), (b_dpid, b_port) = link.ends
            self._switches.log(level, event, a=f"{a_dpid:016x}:{a_port}", b=f"{b_dpid:016x}:{b_port}")
