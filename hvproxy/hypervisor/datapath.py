"""One physical switch: its session, its ports, what it should hold and what it is believed to hold.

Theory of operation: `change` alters what is desired, at any time. While the switch is connected and read, the
difference to what is believed installed is sent at once; else it waits. A switch that connects is read first (ports,
rules, groups), then only what differs is sent, and a barrier makes it READY: nothing right is touched (design 1.5).
A lost session changes nothing upward until the grace is over.

Knows no logical switch: an origin is handed back as it was given, packets are passed on as they came. Whether another
datapath claims the same id is its owner's business.
"""
from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import replace
from functools import partial
from typing import Final, Protocol

from hvproxy.hypervisor import narrow
from hvproxy.hypervisor.audit import Audit, Drift
from hvproxy.hypervisor.datapath_offer import QUESTIONS, DatapathOffer
from hvproxy.hypervisor.datapath_session import DatapathSession
from hvproxy.hypervisor.datapath_state import TRANSITIONS, Input, State
from hvproxy.hypervisor.installed import Confirmed
from hvproxy.hypervisor.reading import CONTENT, OPTIONAL, REQUIRED, Reading, is_physical
from hvproxy.hypervisor.reconcile import Found, HeldKey, canonical_match, difference
from hvproxy.model.rules import Change, Content, Item, Rule
from hvproxy.openflow import build
from hvproxy.openflow.constants import of13
from hvproxy.openflow.experimenters import forget_connections
from hvproxy.openflow.messages import (
    AsyncConfig, ErrorMsg, FeaturesReply, decode_error, decode_flow_removed, decode_port_status, type_of, xid_of,
)
from hvproxy.openflow.multipart import Kind, decode_multipart
from hvproxy.openflow.ports import PortDesc

READ_WITHIN: Final = 30.0
"""Seconds a connected switch has to be read in; barriers wait for it meanwhile."""
READ_AGAIN_AFTER: Final = 1.0
"""Seconds between the loss of a rule by another's hand and the reading that mends it."""

ALL_PACKETS: Final = 0x7
"""Packets without a match, by an action, and with an invalid TTL (OFPR_*)."""


class DatapathOwner(Protocol):
    """Whom a datapath tells what happens to it."""

    def ports_changed(self, dp: Datapath, numbers: Collection[int], now: float) -> None:
        """`dp.ports` differs from before in these."""

    def datapath_ready(self, dp: Datapath, now: float) -> None:
        """It holds everything desired; also after it had to be read again."""

    def datapath_lost(self, dp: Datapath, now: float) -> None:
        """Its session ended; within the grace nothing else changes."""

    def datapath_absent(self, dp: Datapath, now: float) -> None:
        """It stayed away too long."""

    def packet_arrived(self, dp: Datapath, message: bytes, now: float) -> None:
        """A PACKET_IN."""

    def rule_removed(self, dp: Datapath, message: bytes, now: float) -> None:
        """A FLOW_REMOVED."""

    def rule_refused(
        self, dp: Datapath, origin: object | None, content: Item | None, error: ErrorMsg, now: float,
    ) -> None:
        """The switch refused what `origin` caused: putting or dropping something, or a packet-out (None)."""

    def close_datapath(self, dp: Datapath, reason: str) -> None:
        """Its session cannot go on: close the connection, then call `detached`, now or later."""

    def log(self, level: str, event: str, **fields: object) -> None:
        """Tell the operator."""


class Datapath:
    """A physical switch, connected or not."""

    def __init__(self, dpid: int, owner: DatapathOwner, grace: float, now: float) -> None:
        self.dpid = dpid
        self.state = State.LOST
        self.offer = DatapathOffer()
        self.ports: dict[int, PortDesc] = {}
        """Physical ports by number, as last heard of; without LOCAL."""
        self.desired = Content()
        self._owner = owner
        self._grace = grace
        self._grace_ends = now + grace
        """Infinite while it is connected and was READY: a switch that never gets so far does not renew its grace."""
        self._session = DatapathSession()
        self._settles = 0
        """The xid of the barrier that makes it READY."""
        self._to_forget: set[int] = set()
        """Zones whose connections are another's."""
        self._waiting: list[Confirmed] = []
        """Who waits until the switch is back and settled."""
        self._origins: dict[HeldKey, object] = {}
        """Who caused what could not be sent yet, or may not have arrived."""
        self._read_due = math.inf
        """When reading must be done, or must begin again."""

    # Questions

    @property
    def connected(self) -> bool:
        return self._session.connected

    @property
    def ready(self) -> bool:
        return self.state is State.READY

    @property
    def unconfirmed(self) -> bool:
        """Something desired is not confirmed by the switch; an absent one is not waited for."""
        if self.state in (State.SETTLING, State.READY):
            return self._session.installed.unconfirmed
        return self.state is not State.ABSENT

    @property
    def leaving(self) -> set[int]:
        """The cookies of rules that were removed and whose last counts have not come."""
        return self._session.installed.leaving

    def port_up(self, port_no: int) -> bool:
        """The port exists and can carry frames (OF 1.3.5 section 7.2.1)."""
        port = self.ports.get(port_no)
        return port is not None and not port.config & of13.OFPPC_PORT_DOWN and not port.state & of13.OFPPS_LINK_DOWN

    @property
    def deadline(self) -> float:
        """When `tick` must be called next if nothing else happens."""
        if self._session.installed.oversize:
            return -math.inf
        if self.connected:
            return min(self._read_due, self._session.deadline)
        return self._grace_ends if self.state is State.LOST else math.inf

    # What its owner wants

    def change(self, change: Change, now: float, origin: object | None = None) -> None:
        """Alter what is desired."""
        self.desired.apply(change)
        if self.offer.narrow:
            change = narrow.change(change)
        if self.state in (State.SETTLING, State.READY):
            self._session.apply(change, lambda key: origin, now)
        elif self.state is not State.ABSENT and origin is not None:
            self._origins.update((rule.key, origin) for rule in change.put_rules)
            self._origins.update((group.group_id, origin) for group in change.put_groups)
            self._origins.update((meter.key, origin) for meter in change.put_meters)

    def confirm(self, callback: Confirmed, now: float) -> None:
        """Call back once the switch has confirmed all that was changed before, or no longer counts."""
        if not self.unconfirmed:
            callback(now)
        elif self.state in (State.LOST, State.READING):
            self._waiting.append(callback)
        elif not self._session.installed.join(callback):
            self._session.barrier([callback])

    def request(self, kind: int, body: bytes, callback: Callable[[list[bytes] | None, float], None],
                now: float) -> None:
        """Ask for statistics: the bodies of all parts, or None when the switch cannot or did not answer."""
        parts: list[bytes] = []
        if self.connected:
            self._session.ask(kind, body, parts.append,
                              lambda complete, at: callback(parts if complete else None, at), now)
        else:
            callback(None, now)

    def audit(self, remove_foreign: bool, done: Callable[[Drift | None, float], None], now: float) -> None:
        """Compare what it holds with what it should, and put right what differs: that, once it is confirmed, or None
        where it cannot be known now, as the switch is not in use."""
        if not self.ready:
            done(None, now)
            return
        self._session.confirm_sent()
        audit = Audit(self._expected, self._session.installed.watch())
        finish = partial(self._audited, audit, self._session, remove_foreign, done)
        for kind, body in CONTENT:
            self._session.ask(kind, body, partial(audit.take, kind), partial(audit.answered, kind, finish), now)

    def send_packet_out(self, in_port: int, actions: bytes, data: bytes, now: float, origin: object) -> None:
        """Send a frame into the pipeline; it is lost when the switch is not connected."""
        if self.connected:
            if self.offer.narrow:
                actions = narrow.packet_out(actions)
            self._session.write(self._session.installed.packet_out(in_port, actions, data, origin), now)

    def forget_connections(self, zone: int, now: float) -> None:
        """Have what is known of a zone forgotten; a switch that is away does it before it is used again."""
        if self.connected:
            self._session.write(forget_connections(self._session.installed.next_xid, zone), now)
        else:
            self._to_forget.add(zone)

    # What happens to it

    def awaited(self, now: float) -> None:
        """It can connect from now on: one that is awaited has its whole grace from here."""
        if self.state is State.LOST:
            self._grace_ends = now + self._grace

    def attached(self, send: Callable[[bytes], None], features: FeaturesReply, now: float) -> None:
        """A session is open and has told its features."""
        self._step(Input.ATTACHED)
        self.offer.begin(features)
        self._session = DatapathSession(send)
        installed = self._session.installed
        # Packets sent up by our rules are cut to what a tenant wants by us, not by the switch.
        send(build.set_config(installed.next_xid, of13.OFPC_FRAG_NORMAL, of13.OFPCML_NO_BUFFER))
        # Open vSwitch leaves out packets with an invalid TTL, which a tenant may want, unless it is asked for them.
        send(build.set_async(AsyncConfig(installed.next_xid, (ALL_PACKETS, 0), (0x7, 0x7), (0xf, 0))))
        for zone in sorted(self._to_forget):
            send(forget_connections(installed.next_xid, zone))
        self._to_forget.clear()
        for kind in QUESTIONS:
            self._session.ask(kind, b"", partial(self.offer.take, kind), partial(self._offer_known, kind), now)
        self._read(now)

    def detached(self, now: float) -> None:
        """The session is over. Nothing to do when there was none."""
        if not self.connected:
            return
        if math.isinf(self._grace_ends):
            self._grace_ends = now + self._grace
        self._step(Input.DETACHED)
        self._read_due = math.inf
        ended, self._session = self._session, DatapathSession()
        ended.give_up()
        waiting, origins = ended.installed.lost()
        self._waiting = waiting + self._waiting
        self._origins = {**origins, **self._origins}
        ended.requests.lost(now)
        self._owner.datapath_lost(self, now)
        self.tick(now)

    def receive(self, message: bytes, now: float) -> None:
        """A message of the open session, its lengths proven."""
        self._refuse_oversize(now)
        kind = type_of(message)
        if not self.connected or self._session.given_up:
            return  # it was on its way when we gave the session up
        if kind == of13.OFPT_PACKET_IN:
            self._owner.packet_arrived(self, narrow.packet_in(message) if self.offer.narrow else message, now)
        elif kind == of13.OFPT_FLOW_REMOVED:
            self._check_removed(message, now)
            self._owner.rule_removed(self, message, now)
        elif kind == of13.OFPT_BARRIER_REPLY:
            self._confirmed(xid_of(message), now)
        elif kind == of13.OFPT_MULTIPART_REPLY:
            reply = decode_multipart(message)
            if not self._session.requests.answered(reply, now):
                self._owner.log("debug", "unexpected statistics", dpid=self.dpid, kind=reply.kind, xid=reply.xid)
        elif kind == of13.OFPT_ERROR:
            self._refused(decode_error(message), now)
        elif kind == of13.OFPT_PORT_STATUS:
            self._take_port_status(message, now)
        else:
            self._owner.log("debug", "unexpected message", dpid=self.dpid, type=kind)

    def excuse(self, seconds: float) -> None:
        """Nothing of what it said was read for so long, nor could it connect: it has as much time left as before."""
        self._grace_ends += seconds
        self._read_due += seconds
        self._session.requests.excuse(seconds)

    def tick(self, now: float) -> None:
        """Do what is due."""
        self._refuse_oversize(now)
        if self.state is State.LOST and now >= self._grace_ends:
            self._step(Input.GRACE_OVER)
            self._origins.clear()
            waiting, self._waiting = self._waiting, []
            for callback in waiting:
                callback(now)
            self._owner.datapath_absent(self, now)
        if not self.connected:
            return
        self._session.tick(now)
        if now >= self._read_due:
            self._read_is_due(now)

    @property
    def _expected(self) -> Content:
        """What is desired, as it stands there."""
        if not self.offer.narrow:
            return self.desired
        return replace(self.desired, rules=narrow.rules(self.desired.rules.values()))

    # Reading

    def _read(self, now: float) -> None:
        """Ask for everything that must be known before anything is sent."""
        self._read_due = now + READ_WITHIN
        reading = Reading(self.desired)
        for kind, body in REQUIRED:
            self._session.ask(kind, body, partial(reading.take, kind), partial(self._was_read, reading, kind), now)

    def _was_read(self, reading: Reading, kind: Kind, complete: bool, now: float) -> None:
        if not complete and kind not in OPTIONAL:
            self._close(f"it did not answer when asked for {kind.name}")
            return
        if kind is Kind.PORT_DESC and reading.ports != self.ports:
            before, self.ports = self.ports, reading.ports
            self._owner.ports_changed(self, [number for number in sorted(before.keys() | self.ports.keys())
                                             if before.get(number) != self.ports.get(number)], now)
        if reading.complete(kind) and self.state is State.READING:
            self._reconcile(reading.found, now)

    def _read_is_due(self, now: float) -> None:
        if self.state is State.READING:
            self._close("it could not be read in time")
        elif self.state is State.READY:
            self._step(Input.DISTURBED)
            self._session.confirm_sent()
            self._read(now)
        else:
            self._read_due = now + READ_AGAIN_AFTER

    def _offer_known(self, kind: Kind, complete: bool, now: float) -> None:
        if self.connected and not self.offer.answered(kind, complete):
            self._owner.log("info", "the switch does not describe itself fully", dpid=self.dpid)

    def _reconcile(self, found: Found, now: float) -> None:
        """All is read: send what differs, and a barrier even if nothing does."""
        self._step(Input.READ)
        self._read_due = math.inf
        needed = difference(self._expected, found)
        if found.foreign_total:
            self._owner.log("warning", "the switch holds rules, groups or meters that are not ours", dpid=self.dpid,
                            number=found.foreign_total)
        self._owner.log("info", "reconciled", dpid=self.dpid, **needed.summary)
        self._session.installed.held = needed.held
        origins, self._origins = self._origins, {}
        self._session.apply(needed.change, origins.get, now)
        waiting, self._waiting = self._waiting, []
        self._settles = self._session.barrier(waiting)

    def _audited(self, audit: Audit, session: DatapathSession, remove_foreign: bool,
                 done: Callable[[Drift | None, float], None], complete: bool, now: float) -> None:
        if not complete or session is not self._session or not self.ready:
            session.installed.correct({})
            done(None, now)
            return
        drift = audit.drift(session.installed.is_sure, remove_foreign)
        session.installed.correct(drift.held)
        session.apply(drift.change, lambda key: None, now)
        self.confirm(lambda at: done(drift, at), now)

    # Answers

    def _confirmed(self, xid: int, now: float) -> None:
        callbacks = self._session.installed.confirmed(xid)
        if callbacks is None:
            self._owner.log("debug", "unexpected barrier reply", dpid=self.dpid, xid=xid)
            return
        settled = self.state is State.SETTLING and not self._session.installed.awaits(self._settles)
        if settled:
            self._grace_ends = math.inf
            self._step(Input.CONFIRMED)
        for callback in callbacks:
            callback(now)
        if settled and self.ready:
            self._owner.datapath_ready(self, now)

    def _refused(self, error: ErrorMsg, now: float) -> None:
        sent = self._session.installed.refused(error.xid)
        if sent is not None:
            self._owner.rule_refused(self, sent.origin, sent.content, error, now)
        elif self._session.installed.awaits(error.xid):
            self._close("it refuses barriers")
        elif not self._session.requests.failed(error.xid, now):
            self._owner.log("warning", "the switch refused something unknown", dpid=self.dpid, xid=error.xid,
                            type=error.type, code=error.code)

    def _refuse_oversize(self, now: float) -> None:
        while self._session.installed.oversize:
            self._refused(self._session.installed.oversize.pop(0), now)

    def _check_removed(self, message: bytes, now: float) -> None:
        """Notice a rule that goes although we did not remove it: read everything again soon."""
        removed = decode_flow_removed(message)
        key = (removed.table_id, removed.priority, canonical_match(removed.match))
        installed = self._session.installed
        ours, held = installed.left(key, removed.cookie), installed.held.get(key)
        if not ours and isinstance(held, Rule) and held.cookie == removed.cookie and installed.is_sure(key):
            del installed.held[key]
            if math.isinf(self._read_due) and self.state is not State.READING:
                self._owner.log("warning", "another hand removed rules of ours", dpid=self.dpid)
                self._read_due = now + READ_AGAIN_AFTER

    def _take_port_status(self, message: bytes, now: float) -> None:
        status = decode_port_status(message)
        number = status.port.number
        if not is_physical(number):
            return
        if status.reason == of13.OFPPR_DELETE:
            changed = self.ports.pop(number, None) is not None
        else:
            changed = self.ports.get(number) != status.port
            self.ports[number] = status.port
        if changed:
            self._owner.ports_changed(self, (number,), now)

    def _close(self, reason: str) -> None:
        if self.connected and not self._session.given_up:
            self._session.give_up()
            self._read_due = math.inf
            self._owner.close_datapath(self, reason)

    def _step(self, event: Input) -> None:
        self.state = TRANSITIONS[self.state, event]
