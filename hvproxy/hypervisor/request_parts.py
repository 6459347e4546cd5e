"""Multipart requests of a controller that come in several messages (OF 1.3.5 section 7.3.5), put together.

As in Open vSwitch 3.1: the parts of one request have one xid and one kind, only TABLE_FEATURES may have more than one
part that says anything, and a request whose next part does not come within a second is given up. Knows what a part is,
not what is asked.
"""
from __future__ import annotations

from dataclasses import dataclass, field
from math import inf

from hvproxy.errors import Refused
from hvproxy.openflow.constants import ONF_ID, of13
from hvproxy.openflow.multipart import Kind, Multipart, decode_multipart

PATIENCE = 1.0
"""Seconds between two parts."""
MOST = 4 << 20
"""Bytes of all parts that wait, of one controller."""
TIMED_OUT = 2640
"""The error of the ONF's extension 264, which OpenFlow 1.4 took over."""


@dataclass(slots=True)
class _Begun:
    first: bytes
    kind: int
    expires: float
    bodies: list[bytes] = field(default_factory=list)
    size: int = 0


class RequestParts:
    """The parts that wait for more, of one session."""

    def __init__(self) -> None:
        self._begun: dict[int, _Begun] = {}

    def take(self, message: bytes, now: float) -> Multipart | None:
        """The whole request that this message completes, if it does. Raises Refused, and then forgets the request."""
        part = decode_multipart(message)
        begun = self._begun.pop(part.xid, None)
        if begun is None:
            if not part.more:
                return part
            begun = _Begun(message, part.kind, now)
        if part.kind != begun.kind:
            _refuse(of13.OFPBRC_BAD_MULTIPART, "a part of another kind")
        begun.size += len(message)
        if begun.size + sum(other.size for other in self._begun.values()) > MOST:
            _refuse(of13.OFPBRC_MULTIPART_BUFFER_OVERFLOW, "too much to put together")
        if part.body:
            begun.bodies.append(part.body)
        if part.more:
            begun.expires = now + PATIENCE
            self._begun[part.xid] = begun
            return None
        if len(begun.bodies) > 1 and part.kind != Kind.TABLE_FEATURES:
            _refuse(of13.OFPBRC_BAD_MULTIPART, "more than one part that says something")
        return Multipart(part.xid, part.kind, part.flags, b"".join(begun.bodies))

    @property
    def deadline(self) -> float:
        """When the next request is given up."""
        return min(begun.expires for begun in self._begun.values()) if self._begun else inf

    def overdue(self, now: float) -> list[tuple[bytes, Refused]]:
        """The first messages of the requests that are given up now, with their error."""
        late = [xid for xid, begun in self._begun.items() if begun.expires <= now]
        return [(self._begun.pop(xid).first,
                 Refused(of13.OFPET_EXPERIMENTER, TIMED_OUT, "the next part did not come", ONF_ID)) for xid in late]


def _refuse(code: int, why: str) -> None:
    raise Refused(of13.OFPET_BAD_REQUEST, code, why)
