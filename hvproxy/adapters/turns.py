"""Whose bytes are worked on next: no controller may make the others wait for what it sends (trap 41).

While the controllers of one logical switch alone are active, everything is worked on as it comes. When those of
several are, what comes is cut in pieces, and the pieces of whoever has used least of the time lately come first.
Nothing can be interrupted: whoever has sent something expensive, such as a message of 64 KiB of actions, rests for a
multiple of the time it took, and the others find the process idle most of the time. Nothing is dropped: a connection
whose bytes wait is not read.

Knows neither OpenFlow nor the core: connections are numbers, owners are names, work is a function.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf

from twisted.internet.interfaces import IDelayedCall, IReactorTime

PIECE = 2048
"""Bytes that are worked on at a time when there are others."""
LATELY = 1.0
"""Seconds that a controller counts as active after it has sent something, and in which half of what somebody has used
is forgotten."""
EXPENSIVE = 0.002
"""Seconds of work on one piece after which its owner rests when there are others."""
REST = 9
"""Times what it took: an owner of nothing but expensive messages gets a tenth of the time."""


@dataclass(slots=True)
class Account:
    """What an owner has used of the time."""

    used: float = 0.0
    """Seconds, of which half is forgotten every LATELY."""
    at: float = 0.0
    """When that was so."""
    rests_until: float = -inf

    def charge(self, seconds: float, now: float) -> None:
        self.used = self.lately(now) + seconds
        self.at = now

    def lately(self, now: float) -> float:
        """Seconds used, the recent ones counting most."""
        return float(self.used * 0.5 ** ((now - self.at) / LATELY))


@dataclass(slots=True)
class Waiting:
    """Bytes of one connection whose turn has not come."""

    account: Account
    is_controller: bool
    data: bytearray = field(default_factory=bytearray)
    """Empty when there is something else to do for it."""


class Turns:
    """`work(conn, data)` is called for all that `arrived`, in the order of each connection; `hold` and `release` stop
    and resume the reading of a connection, and may be called more than once."""

    def __init__(self, clock: IReactorTime, work: Callable[[int, bytes], None], hold: Callable[[int], None],
                 release: Callable[[int], None]) -> None:
        self._clock = clock
        self._work = work
        self._hold = hold
        self._release = release
        self._waiting: dict[int, Waiting] = {}
        self._controllers: dict[str, Account] = {}
        """By logical switch: many connections of one tenant are one owner."""
        self._switches: dict[int, Account] = {}
        self._latest: tuple[str | None, float] = (None, -inf)
        """Whose controller sent something last, and when."""
        self._other: tuple[str | None, float] = (None, -inf)
        """The same of the last one before that was another's."""
        self._call: IDelayedCall | None = None

    def arrived(self, conn: int, owner: str | None, data: bytes) -> None:
        """Bytes came from a controller of logical switch `owner`, or (None) from a switch."""
        now = self._clock.seconds()
        if owner is not None:
            self._active(owner, now)
        waiting = self._waiting.get(conn)
        if waiting is not None:
            waiting.data += data
            return
        account = self._account(conn, owner)
        crowded = self._crowded(owner, now)
        if crowded and (len(data) > PIECE or account.rests_until > now):
            self._wait(conn, owner, data)
        else:
            self._do(conn, account, data, rests=crowded and owner is not None)

    def more(self, conn: int, owner: str | None) -> None:
        """There is more to do for a connection without any bytes: `work` is called when its turn comes."""
        if conn not in self._waiting:
            self._wait(conn, owner, b"")

    def gone(self, conn: int) -> None:
        """The connection is closed: what waits of it is nobody's."""
        self._waiting.pop(conn, None)
        self._switches.pop(conn, None)

    def stop(self) -> None:
        """Work on nothing any more."""
        self._waiting.clear()
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _active(self, owner: str, now: float) -> None:
        if self._latest[0] != owner:
            self._other = self._latest
        self._latest = (owner, now)

    def _crowded(self, owner: str | None, now: float) -> bool:
        """Whether somebody else's controller is active; for a switch, whether those of two logical switches are."""
        other = self._latest if owner is not None and owner != self._latest[0] else self._other
        return now - other[1] < LATELY

    def _account(self, conn: int, owner: str | None) -> Account:
        if owner is None:
            return self._switches.setdefault(conn, Account())
        return self._controllers.setdefault(owner, Account())

    def _wait(self, conn: int, owner: str | None, data: bytes) -> None:
        self._waiting[conn] = Waiting(self._account(conn, owner), owner is not None, bytearray(data))
        self._hold(conn)
        self._go_on_in(0)

    def _do(self, conn: int, account: Account, data: bytes, *, rests: bool) -> None:
        start = self._clock.seconds()
        try:
            self._work(conn, data)
        finally:
            now = self._clock.seconds()
            account.charge(now - start, now)
            if rests and now - start > EXPENSIVE:
                account.rests_until = now + REST * (now - start)

    def _next(self) -> None:
        """Work on one piece of whoever has used least, then let the reactor see what else has come."""
        self._call = None
        now = self._clock.seconds()
        ready = [conn for conn, waiting in self._waiting.items() if waiting.account.rests_until <= now]
        if ready:
            conn = min(ready, key=lambda each: self._waiting[each].account.lately(now))
            waiting = self._waiting[conn]
            piece = bytes(waiting.data[:PIECE])
            del waiting.data[:PIECE]
            if not waiting.data:
                del self._waiting[conn]
            try:
                self._do(conn, waiting.account, piece, rests=waiting.is_controller)
            finally:
                if conn not in self._waiting:
                    self._release(conn)
                self._plan(now)
        else:
            self._plan(now)

    def _plan(self, now: float) -> None:
        if self._waiting:
            self._go_on_in(max(0.0, min(waiting.account.rests_until for waiting in self._waiting.values()) - now))

    def _go_on_in(self, seconds: float) -> None:
        if self._call is not None:
            if self._call.getTime() <= self._clock.seconds() + seconds:
                return
            self._call.cancel()
        self._call = self._clock.callLater(seconds, self._next)
