"""What datapaths send up by themselves, and whose it is: found by metadata and cookie, without parsing bodies.

Nothing is guessed: a packet whose context is unknown, or contradicts itself, is dropped and counted (design 6).
"""
from __future__ import annotations

from typing import TYPE_CHECKING

from hvproxy.hypervisor import packets, refusals
from hvproxy.hypervisor.datapath import Datapath
from hvproxy.hypervisor.learning import Lesson
from hvproxy.hypervisor.links import REFLECTION_COOKIE
from hvproxy.hypervisor.origin import Origin
from hvproxy.model.layout import HIDDEN, RuleKind, cookie, read_cookie
from hvproxy.model.rules import Item
from hvproxy.openflow.messages import PACKET_IN_MATCH, ErrorMsg, decode_flow_removed, decode_packet_in

if TYPE_CHECKING:
    from hvproxy.hypervisor.hypervisor import Hypervisor

DISCOVERY_COOKIE = cookie(0, RuleKind.DISCOVERY)
OWN_COOKIES = frozenset((DISCOVERY_COOKIE, REFLECTION_COOKIE))
"""Of the rules that hand hvproxy its own frames."""
PACKET_IN_REASON = 14
"""Where the reason stands in a PACKET_IN (OF 1.3.5 section 7.4.1)."""
SHOWN = 200
"""Characters of a refused rule that the operator is told."""
ATTRIBUTIONS = 4096
"""Different kinds of packet-ins remembered."""


class Arrivals:
    """Passes what has come to its owner."""

    def __init__(self, hv: Hypervisor) -> None:
        self._hv = hv
        self._attributions: dict[bytes, packets.Attribution] = {}
        self.unattributed = 0
        """Packet-ins whose context is unknown or contradicts itself: dropped."""

    def packet(self, dp: Datapath, message: bytes, now: float) -> None:
        """A PACKET_IN."""
        # From the reason to the end of the match: what decides whose the packet is, and all it will be told but itself.
        end = PACKET_IN_MATCH + ((message[PACKET_IN_MATCH + 2] << 8 | message[PACKET_IN_MATCH + 3]) + 7 & ~7)
        key = message[PACKET_IN_REASON:end]
        known = self._attributions.get(key)
        if known is not None and self._hv.by_id.get(known.ls.ls_id) is known.ls and known.holds():
            known.send(message[end + 2:], message[PACKET_IN_REASON - 2] << 8 | message[PACKET_IN_REASON - 1], now)
            return
        arrived = decode_packet_in(message)
        if arrived.cookie in OWN_COOKIES:
            self._hv.links.discovered(dp, arrived, now)
            return
        ls = self._hv.by_id.get(self._hv.settings.layout.read(arrived.metadata)[0])
        owner = read_cookie(arrived.cookie)
        if ls is not None and owner is not None and owner[1] & HIDDEN == HIDDEN:
            if owner[0] == ls.ls_id:
                ls.heard(arrived, owner[1], now)
            return
        found = False if ls is None else packets.attribute(ls, arrived)
        if isinstance(found, packets.Attribution):
            if len(self._attributions) >= ATTRIBUTIONS:
                self._attributions.clear()
            self._attributions[key] = found
            found.send(arrived.data, arrived.total_len, now)
        elif not found:
            self.unattributed += 1

    def removal(self, dp: Datapath, message: bytes, now: float) -> None:
        """A FLOW_REMOVED."""
        removed = decode_flow_removed(message)
        owner = read_cookie(removed.cookie)
        ls = None if owner is None else self._hv.by_id.get(owner[0])
        if ls is not None and owner is not None:
            ls.rule_removed(dp.dpid, owner[1], (removed.packets, removed.bytes), now)

    def refusal(
        self, dp: Datapath, origin: object | None, content: Item | None, error: ErrorMsg, now: float
    ) -> None:
        """An ERROR about what `origin` caused."""
        if isinstance(origin, Lesson):
            origin.take_back(now)
        elif isinstance(origin, Origin):
            refusals.take_back(origin.logical_switch, origin, error, now, content)
        else:
            self._hv.switches.alarm("a switch refused a rule of the fabric", dpid=f"{dp.dpid:016x}", type=error.type,
                                    code=error.code, content=repr(content)[:SHOWN])
