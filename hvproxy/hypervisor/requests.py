"""Multipart requests to one switch that are not answered yet: their parts are gathered until the last has come.

Knows the xids and kinds of what was asked, not what the answers mean. Every request ends exactly once: complete, or
failed because of an error, a lost session, too long a silence, or more data than any switch can have to say.
"""
from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from hvproxy.openflow.multipart import Multipart

SILENCE = 30.0
"""Seconds without a part after which a request has failed; the session itself is the keepalive's business."""
MOST = 1 << 28
"""Bytes of one answer: a million rules and more. Beyond it the switch is not telling the truth."""


@dataclass(slots=True)
class _Request:
    kind: int
    each: Callable[[bytes], None]
    done: Callable[[bool, float], None]
    expires: float
    size: int = 0


class Requests:
    """Outstanding requests of one session."""

    def __init__(self) -> None:
        self._outstanding: dict[int, _Request] = {}

    def begin(
        self, xid: int, kind: int, each: Callable[[bytes], None], done: Callable[[bool, float], None], now: float,
    ) -> None:
        """A request was sent: `each` gets the body of every part as it comes, then `done` (all came?, now)."""
        self._outstanding[xid] = _Request(kind, each, done, now + SILENCE)

    @property
    def deadline(self) -> float:
        """When the next request has been silent for too long."""
        return min((request.expires for request in self._outstanding.values()), default=math.inf)

    def answered(self, reply: Multipart, now: float) -> bool:
        """A reply arrived; False when nothing like it was asked for."""
        request = self._outstanding.get(reply.xid)
        if request is None or request.kind != reply.kind:
            return False
        request.expires = now + SILENCE
        request.size += len(reply.body)
        if request.size > MOST:
            return self.failed(reply.xid, now)
        request.each(reply.body)
        # `each` may have ended the session, and this request with it.
        if not reply.more and self._outstanding.pop(reply.xid, None) is not None:
            request.done(True, now)
        return True

    def failed(self, xid: int, now: float) -> bool:
        """An error came instead; False when `xid` is no request."""
        request = self._outstanding.pop(xid, None)
        if request is None:
            return False
        request.done(False, now)
        return True

    def lost(self, now: float) -> None:
        """The session is over: all fail, in the order they were sent."""
        lost, self._outstanding = self._outstanding, {}
        for request in lost.values():
            request.done(False, now)

    def excuse(self, seconds: float) -> None:
        """Answers were not read for so long."""
        for request in self._outstanding.values():
            request.expires += seconds

    def tick(self, now: float) -> None:
        """Fail what was silent for too long."""
        for xid in [xid for xid, request in self._outstanding.items() if request.expires <= now]:
            self.failed(xid, now)
