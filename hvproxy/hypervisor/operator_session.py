"""A session of the operator's own at a logical switch: no connection, only orders and how they ended.

Orders take the way of a controller's messages, so that what they do, and what is undone when a switch refuses, is the
same.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from hvproxy.errors import Refused
from hvproxy.hypervisor import commits
from hvproxy.hypervisor.bundles import Bundle
from hvproxy.hypervisor.commands import Outbox
from hvproxy.hypervisor.controller_session import ControllerSession
from hvproxy.openflow import bundles
from hvproxy.openflow.bundles import ATOMIC, ControlType
from hvproxy.openflow.constants import of13
from hvproxy.openflow.messages import type_of

if TYPE_CHECKING:
    from hvproxy.hypervisor.logical_switch import LogicalSwitch

PEER = "operator"
COMMIT = bundles.control(0, 0, ControlType.COMMIT_REQUEST, ATOMIC)
Done: TypeAlias = Callable[[Refused | None, float], None]


class OperatorSession(ControllerSession):
    """Gives orders, and hears nothing but how they end. `end` it."""

    def __init__(self, ls: LogicalSwitch, now: float) -> None:
        super().__init__(min([0, *ls.sessions]) - 1, now, Outbox(), peer=PEER, passive=False, tally=[0] * 256)
        self._ls = ls
        self._refused: Refused | None = None
        self._ended: Callable[[], None] = lambda: None
        ls.sessions[self.conn] = self

    def end(self) -> None:
        """It is over."""
        self._ls.closed(self)

    def commit(self, messages: list[bytes], done: Done, now: float) -> None:
        """Carry out flow-mods and group-mods, all or none; `done` hears why none, once the switches have confirmed."""
        from hvproxy.hypervisor.origin import Origin  # which needs the sessions defined

        last = [now]
        self._refused = None
        self._ended = lambda: done(self._refused, last[0])
        bundle = Bundle(COMMIT, ATOMIC, now, closed=True, messages=[(each, each) for each in messages])
        commits.carry_out(Origin(self._ls, self, COMMIT), bundle, now)

    def send(self, message: bytes) -> None:
        """The answer to a commit that was carried out; nothing else is asked for."""
        if type_of(message) == of13.OFPT_EXPERIMENTER:
            self._ended()

    def refuse(self, request: bytes, refused: Refused) -> None:
        """What was refused first says why; the commit's own refusal comes last."""
        self._refused = self._refused or refused
        if request == COMMIT:
            self._ended()
