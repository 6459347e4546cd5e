"""When a tenant's barrier is answered: what came before it is confirmed by the switches, answered and stored.

The session waits meanwhile, and with it all that comes after (trap 2). A barrier that cannot be promised to be stored,
because the store has failed, is answered with an error; what came before it stays carried out (design 1.4).
"""
from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from hvproxy.errors import Refused
from hvproxy.hypervisor.controller_session import ControllerSession
from hvproxy.model.view import Dpid
from hvproxy.openflow import build
from hvproxy.openflow.constants import of13
from hvproxy.openflow.messages import xid_of

if TYPE_CHECKING:
    from hvproxy.hypervisor.logical_switch import LogicalSwitch


def unkept() -> Refused:
    """The error for a barrier whose promise cannot be given."""
    return Refused(of13.OFPET_BAD_REQUEST, of13.OFPBRC_EPERM, "not confirmed or not stored")


def barrier(ls: LogicalSwitch, session: ControllerSession, message: bytes, now: float) -> None:
    """A controller asks for a barrier."""
    touched, session.touched = session.touched, set()
    settled, session.unsettled = session.unsettled, False

    def reply(at: float) -> None:
        session.send(build.barrier_reply(xid_of(message)))
        ls.down.barrier_answered(at - now)

    settled |= ls.tracking.is_changing
    when_confirmed(ls, session, message, touched, reply, now, settled=settled, stored=True)


def behind_settings(ls: LogicalSwitch, session: ControllerSession, message: bytes, now: float) -> None:
    """A controller sends a packet that must not overtake what it has set of ports and fragments, which the rules of the
    fabric carry out step by step."""
    def carry_out(at: float) -> None:
        session.unsettled = False
        try:
            ls.carry_out(session, message, at)
        except Refused as refused:
            session.refuse(message, refused)

    when_confirmed(ls, session, message, set(), carry_out, now, settled=True)


def when_confirmed(ls: LogicalSwitch, session: ControllerSession, message: bytes, dpids: set[Dpid],
                   reply: Callable[[float], None], now: float, *, settled: bool = False, stored: bool = False) -> None:
    """Have `reply` answer `message` once these datapaths have confirmed all that was sent to them, and, with
    `settled`, nothing of the fabric is on its way, and, with `stored`, what has been noted is stored. The session
    waits until then."""
    answered = blocked = False
    journal = ls.down.journal
    revision = journal.revision

    def confirmed(at: float) -> None:
        session.once_answered(store if stored else answer, at)

    def store(at: float) -> None:
        # What a datapath has refused is taken back, which must be stored too: a restart brings no such entry back.
        journal.promise(max(revision, session.taken_back), answer, lambda later: answer(later, unkept()), at)

    def answer(at: float, refused: Refused | None = None) -> None:
        nonlocal answered
        if ls.sessions.get(session.conn) is not session or answered or blocked and session.overdue is not message:
            return
        answered = True
        if refused is None:
            reply(at)
        else:
            session.refuse(message, refused)
        if blocked:
            ls.unblock(session, at)

    if settled:
        ls.down.when_settled(lambda at: ls.down.confirm(dpids, confirmed, at), now)
    else:
        ls.down.confirm(dpids, confirmed, now)
    if not answered:
        blocked = True
        session.block(message, now)
