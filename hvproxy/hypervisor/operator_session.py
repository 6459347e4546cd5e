"""A session of the operator's own at a logical switch: no connection, only orders and how they ended.

Orders take the way of a controller's messages, so that what they do, and what is undone when a switch refuses, is the
same. Many are carried out in portions, each in a turn of its own: the next when the switches have confirmed the last.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final, TypeAlias

from hvproxy.errors import Refused
from hvproxy.hypervisor import commits, refusals
from hvproxy.hypervisor.bundles import Bundle
from hvproxy.hypervisor.commands import Outbox
from hvproxy.hypervisor.controller_session import ControllerSession
from hvproxy.hypervisor.origin import Origin
from hvproxy.openflow import bundles
from hvproxy.openflow.bundles import ATOMIC, ControlType
from hvproxy.openflow.constants import of13

if TYPE_CHECKING:
    from hvproxy.hypervisor.logical_switch import LogicalSwitch

PEER = "operator"
WORK: Final = 300
"""Orders in a portion times the edges that carry them out: some milliseconds."""
COMMIT: Final = bundles.control(0, 0, ControlType.COMMIT_REQUEST, ATOMIC)
Done: TypeAlias = Callable[[Refused | None, float], None]


@dataclass(frozen=True, slots=True)
class Order:
    """A flow-mod or group-mod, and what is to be done when the tables have it."""

    message: bytes
    then: Callable[[], None] | None = None


class OperatorSession(ControllerSession):
    """Gives orders, and hears nothing but how they end. `end` it."""

    def __init__(self, ls: LogicalSwitch, now: float) -> None:
        super().__init__(min([0, *ls.sessions]) - 1, now, Outbox(), peer=PEER, passive=False, tally=[0] * 256)
        self._ls = ls
        self._refused: Refused | None = None
        self._orders: Iterator[Order | None] = iter(())
        self._given: list[Origin] = []
        """The portions that were carried out."""
        self._done: Done = lambda refused, at: None
        ls.sessions[self.conn] = self

    def end(self) -> None:
        """It is over."""
        self._ls.closed(self)

    def commit(self, orders: Iterable[Order | None], done: Done, now: float) -> None:
        """Carry out flow-mods and group-mods, all or none; `done` hears why none, once the switches have confirmed.
        Orders are taken when it is their turn; None is what turned out to be none."""
        self._refused, self._done, self._given, self._orders = None, done, [], iter(orders)
        self._next(now)

    def abandon(self, why: str, now: float) -> None:
        """Carry out no more, and take nothing back."""
        self._orders, self._given = iter(()), []
        self._done(Refused(of13.OFPET_BAD_REQUEST, of13.OFPBRC_EPERM, why), now)

    def send(self, message: bytes) -> None:
        """Nothing is asked for."""

    def refuse(self, request: bytes, refused: Refused) -> None:
        """What was refused first says why."""
        self._refused = self._refused or refused

    def _next(self, now: float) -> None:
        """Carry out one portion."""
        ls = self._ls
        if ls.sessions.get(self.conn) is not self:
            return
        if self._refused is not None:
            self._take_back(now)
            return
        turn = list(islice(self._orders, max(1, WORK // max(1, len(ls.edges)))))
        if not turn:
            self._done(None, now)
            return
        portion = [each for each in turn if each is not None]
        if not portion:
            ls.down.soon.add(self._next)
            return
        origin = Origin(ls, self, COMMIT)
        self._given.append(origin)
        commits.carry_out(origin, Bundle(COMMIT, ATOMIC, now, closed=True,
                                         messages=[(each.message, each.message) for each in portion]), now)
        if self._refused is None:
            for order in portion:
                if order.then is not None:
                    order.then()
        at_once = True

        def confirmed(at: float) -> None:
            if at_once:
                ls.down.soon.add(self._next)
            else:
                self._next(at)

        ls.down.confirm(ls.edges, confirmed, now)
        at_once = False

    def _take_back(self, now: float) -> None:
        """Undo the portions, the last first."""
        if self._ls.sessions.get(self.conn) is not self:
            return
        while self._given and self._given[-1].refused:
            self._given.pop()
        if not self._given:
            self._done(self._refused, now)
            return
        refusals.undo(self._ls, self._given.pop(), now)
        self._ls.down.soon.add(self._take_back)
