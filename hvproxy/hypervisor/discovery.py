"""Finding the fabric's links with LLDP frames that only this hypervisor can have made.

A round sends one frame out of every fabric port. A frame that comes in elsewhere proves half a link; a link exists
while both halves are fresh. Frames carry an HMAC over all of their content, including the round, so a workload that
forges, alters or stores them proves nothing. Relaying a fresh frame unaltered cannot be told from a longer cable;
what it can do is limited by letting only fabric ports take part, which is the caller's business.
Questions are frames of the same make, which come back to the port that sent them (compiler.reflection).
Knows no switches and no rules: ports and times in, frames and links out.
"""
from __future__ import annotations

import hashlib
import hmac
import math
from dataclasses import dataclass
from typing import Iterable, TypeAlias

from construct import Bytes, Const, Container, Int16ub, Int64ub, Struct

from hvproxy.compiler import reflection
from hvproxy.model.view import Dpid, Link, PortNo
from hvproxy.openflow.oxm_fields import ETH_TYPE_LLDP

End: TypeAlias = tuple[Dpid, PortNo]

_LOCALLY_ASSIGNED = b"\x07"
_ORGANISATION = bytes.fromhex("0a6876")
"""A locally administered identifier, so it can be nobody's registered one."""
_PROBE_SUBTYPE = b"\x01"


def _tlv_header(kind: int, length: int) -> Const[bytes, bytes]:
    """Seven bits of type and nine of length (IEEE 802.1AB clause 8.4)."""
    return Const((kind << 9 | length).to_bytes(2, "big"))


FRAME = Struct(
    "destination" / Bytes(6),
    "source" / Bytes(6),
    Const(ETH_TYPE_LLDP.to_bytes(2, "big")),
    _tlv_header(1, 1 + 21),
    Const(_LOCALLY_ASSIGNED),
    "chassis" / Bytes(21),
    _tlv_header(2, 1 + 8),
    Const(_LOCALLY_ASSIGNED),
    "port" / Bytes(8),
    _tlv_header(3, 2),
    "ttl" / Int16ub,
    _tlv_header(127, 3 + 1 + 8 + 16 + 32),
    Const(_ORGANISATION),
    Const(_PROBE_SUBTYPE),
    "round" / Int64ub,
    "nonce" / Bytes(16),
    "digest" / Bytes(32),
    _tlv_header(0, 0),
).compile()
"""The mandatory TLVs in the mandatory order, then ours, then the end: other LLDP speakers can read it."""
FRAME_SIZE = FRAME.sizeof()
_SIGNED_SIZE = FRAME_SIZE - 2 - 32

_SUPERSEDED_AFTER = 2
"""Rounds by which a sender must lead all others at a port. Behind a hub every sender is at most one round old, so no
one leads; after a cable was moved without the port going down the new sender leads in its second round."""


def _sender(parts: Container) -> End:
    return int(parts.chassis[5:], 16), int(parts.port, 16)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a frame that arrived."""

    accepted: bool
    reason: str
    """"accepted", or why not: "foreign" (not a discovery frame of ours), "forged" (the HMAC is wrong), "expired" (its
    round is over), "self" (it left from the same datapath)."""
    sender: End | None = None
    """Known once the HMAC was right."""


class Discovery:
    """Sends rounds of frames, judges those that come back, keeps the links they prove.

    `secret` must be fresh random bytes at every start: rounds count from zero again, and the secret is what makes
    frames of an earlier start, or of another hypervisor, forged ones. Rounds, not seconds, are the measure of age:
    when this process stalls nothing is sent, and links must not die of that.
    """

    def __init__(self, secret: bytes, interval: float = 1.0, lifetime: int = 3, address: bytes | None = None) -> None:
        """`address`: where frames were addressed to before a restart, which rules of the switches match; it proves
        nothing."""
        self._secret = secret
        self._interval = interval
        self._lifetime = lifetime
        self._ttl = min(0xFFFF, math.ceil(interval * (lifetime + 1)))
        seed = bytearray(self._digest(b"address")[:6])
        seed[0] = seed[0] & 0xFC | 0x03
        self.destination = bytes(seed) if address is None else address
        """Where frames are addressed to: locally administered multicast, which no bridge treats as its own
        (01:80:c2:00:00:0e would be eaten by the first switch that runs LLDP) and no workload can guess."""
        self._source = bytes([self.destination[0] & 0xFE]) + self.destination[1:]
        self._mac = int.from_bytes(self.destination, "big")
        self._question_address = reflection.address(self._mac).to_bytes(6, "big")
        self.round = 0
        """The newest round; 0 before the first."""
        self._nonces: dict[int, bytes] = {}
        """Of the rounds that are not over."""
        self.deadline = -math.inf
        """When the next round is due."""
        self._heard: dict[End, dict[End, int]] = {}
        """By port a frame came in: who sent it, and the newest round of theirs."""
        self._links: frozenset[Link] = frozenset()
        self._ambiguous: frozenset[End] = frozenset()
        self._stale = False

    def frame(self, dpid: Dpid, port_no: PortNo, round_: int) -> bytes:
        """The frame that `port_no` of `dpid` sends in a round."""
        nonce = self._nonces.get(round_) or self._nonce(round_)
        return self._signed(self.destination, self._source, dpid, port_no, round_, nonce)

    def question(self, dpid: Dpid, port_no: PortNo, of: Dpid, number: int) -> bytes:
        """The frame that `port_no` of `dpid` sends and that datapath `of`, at the other end, sends back."""
        return self._signed(self._question_address, reflection.name(self._mac, of).to_bytes(6, "big"), dpid, port_no,
                            number, bytes(16))

    def answered(self, frame: bytes) -> tuple[End, int] | None:
        """Who had sent that question, and its number; None where it is none of ours."""
        if len(frame) < FRAME_SIZE or frame[:6] != self._question_address or not self._is_ours(frame):
            return None
        parts = FRAME.parse(frame)
        return _sender(parts), parts.round

    def _signed(self, destination: bytes, source: bytes, dpid: Dpid, port_no: PortNo, round_: int,
                nonce: bytes) -> bytes:
        unsigned: bytes = FRAME.build({
            "destination": destination, "source": source, "chassis": b"dpid:%016x" % dpid,
            "port": b"%08x" % port_no, "ttl": self._ttl, "round": round_, "nonce": nonce, "digest": bytes(32),
        })
        return unsigned[:_SIGNED_SIZE] + self._digest(unsigned[:_SIGNED_SIZE]) + unsigned[-2:]

    def _is_ours(self, frame: bytes) -> bool:
        return hmac.compare_digest(self._digest(frame[:_SIGNED_SIZE]), frame[_SIGNED_SIZE:_SIGNED_SIZE + 32])

    def probe(self, now: float, ports: Iterable[End]) -> list[tuple[Dpid, PortNo, bytes]]:
        """Start a round if one is due: what to send out of which port. Empty when none is due."""
        if now < self.deadline:
            return []
        self.deadline = now + self._interval
        self.round += 1
        self._nonces[self.round] = self._nonce(self.round)
        self._nonces.pop(self.round - self._lifetime - 1, None)
        self._stale = True
        return [(dpid, port_no, self.frame(dpid, port_no, self.round)) for dpid, port_no in ports]

    def arrived(self, dpid: Dpid, port_no: PortNo, frame: bytes) -> Verdict:
        """A frame came in at a port."""
        if len(frame) < FRAME_SIZE or frame[:6] != self.destination:
            return Verdict(False, "foreign")
        if not self._is_ours(frame):
            return Verdict(False, "forged")
        parts = FRAME.parse(frame)  # cannot fail: the layout is what we signed
        sender = _sender(parts)
        nonce = self._nonces.get(parts.round)
        if nonce is None or not hmac.compare_digest(nonce, parts.nonce):
            return Verdict(False, "expired", sender)
        if sender[0] == dpid:
            return Verdict(False, "self", sender)
        senders = self._heard.setdefault((dpid, port_no), {})
        senders[sender] = max(parts.round, senders.get(sender, 0))
        self._stale = True
        return Verdict(True, "accepted", sender)

    def believe(self, link: Link) -> None:
        """Take a link as just proven: it was in use when its ends could last be asked. Where somebody else is heard, it
        is not believed."""
        a, b = (link.a_dpid, link.a_port), (link.b_dpid, link.b_port)
        for receiver, sender in ((a, b), (b, a)):
            if self._heard.get(receiver, {}).keys() <= {sender}:
                self._heard[receiver] = {sender: self.round}
        self._stale = True

    def forget(self, dpid: Dpid, port_no: PortNo | None = None) -> None:
        """A port went down (`port_no` None: the whole datapath left): its links are gone at once."""
        def gone(end: End) -> bool:
            return end[0] == dpid and port_no in (None, end[1])

        self._heard = {
            receiver: {sender: heard for sender, heard in senders.items() if not gone(sender)}
            for receiver, senders in self._heard.items() if not gone(receiver)
        }
        self._stale = True

    def hears(self, link: Link) -> bool:
        """Whether frames of this round have come through a link, both ways."""
        return all(self._heard.get(receiver, {}).get(sender) == self.round
                   for receiver, sender in (link.ends, link.ends[::-1]))

    @property
    def links(self) -> frozenset[Link]:
        """What is proven in both directions now."""
        self._refresh()
        return self._links

    @property
    def ambiguous(self) -> frozenset[End]:
        """Ports that hear several senders at once (a hub or a relay): they have no link until one remains."""
        self._refresh()
        return self._ambiguous

    def _refresh(self) -> None:
        if not self._stale:
            return
        self._stale = False
        oldest = self.round - self._lifetime
        chosen: dict[End, End] = {}
        ambiguous = set()
        for receiver in list(self._heard):
            fresh = {sender: heard for sender, heard in self._heard[receiver].items() if heard >= oldest}
            if not fresh:
                del self._heard[receiver]
                continue
            self._heard[receiver] = fresh
            newest = max(fresh, key=lambda sender: fresh[sender])
            if all(fresh[newest] - heard >= _SUPERSEDED_AFTER for sender, heard in fresh.items() if sender != newest):
                chosen[receiver] = newest
            else:
                ambiguous.add(receiver)
        self._ambiguous = frozenset(ambiguous)
        self._links = frozenset(Link(*one, *other) for one, other in chosen.items()
                                if one < other and chosen.get(other) == one)

    def _nonce(self, round_: int) -> bytes:
        return self._digest(b"round" + round_.to_bytes(8, "big"))[:16]

    def _digest(self, data: bytes) -> bytes:
        return hmac.digest(self._secret, data, hashlib.sha256)
