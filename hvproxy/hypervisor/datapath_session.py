"""What goes to one switch while it is connected: changes, packets and questions, and the barriers behind them.

Lasts as long as a session: what one believed, asked and awaited is nothing to the next. Knows no desired content, no
state of the datapath, and not what an answer leads to.
"""
from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from hvproxy.hypervisor.installed import Confirmed, Installed
from hvproxy.hypervisor.reconcile import HeldKey
from hvproxy.hypervisor.requests import Requests
from hvproxy.model.rules import Change
from hvproxy.openflow.messages import xid_of
from hvproxy.openflow.multipart import multipart_request

CONFIRM_WITHIN: Final = 0.2
"""Seconds after which what was sent is followed by a barrier although nobody asked, so that it can be forgotten."""


class DatapathSession:
    """One session; without `send` the one that there is while no switch is connected."""

    def __init__(self, send: Callable[[bytes], None] | None = None) -> None:
        self._send = send
        self.connected = send is not None
        self.installed = Installed()
        self.requests = Requests()
        self.given_up = False
        """It is to be closed: nothing that comes counts any more."""
        self._barrier_due = math.inf

    @property
    def deadline(self) -> float:
        """When `tick` must be called next if nothing else happens."""
        return min(self._barrier_due, self.requests.deadline)

    def tick(self, now: float) -> None:
        """Do what is due."""
        self.requests.tick(now)
        if now >= self._barrier_due:
            self._barrier_due = math.inf
            self.confirm_sent()

    def give_up(self) -> None:
        """Send no barrier by itself any more, and listen to nothing."""
        self.given_up = True
        self._barrier_due = math.inf

    def apply(self, change: Change, origin_of: Callable[[HeldKey], object | None], now: float) -> None:
        """Send what makes a change of what is believed installed."""
        self.write(b"".join(self.installed.apply(change, origin_of)), now)

    def write(self, data: bytes, now: float) -> None:
        """Send what a barrier must follow."""
        assert self._send is not None
        if data:
            self._barrier_due = min(self._barrier_due, now + CONFIRM_WITHIN)
            self._send(data)

    def barrier(self, callbacks: list[Confirmed]) -> int:
        """Send a barrier, whose xid that is."""
        assert self._send is not None
        request = self.installed.barrier(callbacks)
        self._barrier_due = math.inf
        self._send(request)
        return xid_of(request)

    def confirm_sent(self) -> None:
        """Send a barrier behind what has none; what is read after it shows what was sent."""
        if self.installed.needs_barrier:
            self.barrier([])

    def ask(self, kind: int, body: bytes, each: Callable[[bytes], None], done: Callable[[bool, float], None],
            now: float) -> None:
        """Ask for statistics: `each` gets the body of every part, then `done` whether all have come."""
        assert self._send is not None
        xid = self.installed.next_xid
        self.requests.begin(xid, kind, each, done, now)
        self._send(multipart_request(xid, kind, body))
