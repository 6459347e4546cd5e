"""What one switch is believed to hold, and what was sent to it that it has not confirmed.

Turns changes into messages, least first: only what differs from what is believed there is sent, in the order that
never lets a packet meet half of what it needs. Remembers every message by its xid until a barrier behind it is
answered, so that an error always finds its cause and the belief is put right (traps 19, 22). Writes bytes but sends
none; knows no session and no time.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from struct import error as StructError
from typing import Final, TypeAlias

from hvproxy.hypervisor.reconcile import HeldKey, rule_flags
from hvproxy.model.layout import Table
from hvproxy.model.rules import Change, Group, Item, Meter, MeterKey, Rule
from hvproxy.openflow import build
from hvproxy.openflow.constants import of13
from hvproxy.openflow.groups import count_buckets
from hvproxy.openflow.messages import ErrorMsg
from hvproxy.openflow.multipart import fits_flow_stats, fits_group_replies
from hvproxy.openflow.oxm import ofp_match
from hvproxy.openflow.xids import Xids

_SURELY_TOLD: Final = 0x4000
"""So many bytes of instructions or buckets fit into statistics."""
Confirmed: TypeAlias = Callable[[float], None]
"""Called with the time when a promise is kept."""


@dataclass(slots=True)
class Sent:
    """A message that may still be refused."""

    origin: object | None
    key: HeldKey | None = None
    """What it is about; None for a packet-out."""
    before: Item | None = None
    """What stood there when it was sent, and stands there again if it is refused."""
    after: Item | None = None
    """What it makes of it; None when it removes."""

    @property
    def content(self) -> Item | None:
        """What the message was to put or remove; None for a packet-out."""
        return self.after or self.before


@dataclass(slots=True)
class Barrier:
    """A barrier request without its reply."""

    callbacks: list[Confirmed]


class Installed:
    """The belief about one session's switch; begin a new one with every session."""

    def __init__(self) -> None:
        self.held: dict[HeldKey, Item] = {}
        """Installed, as far as all that was sent is accepted."""
        self.oversize: list[ErrorMsg] = []
        """Refusals of our own: messages that no length field can describe were not sent (OF 1.3.5 section 7.1). The
        caller takes them out and treats them as if the switch had answered so."""
        self._outstanding: Xids[Sent | Barrier] = Xids()
        self._unsure: dict[HeldKey, list[Sent]] = {}
        """Unconfirmed messages about each rule, group or meter, in order."""
        self._leaving: dict[tuple[HeldKey, int], int] = {}
        """By key and cookie, how many removals we asked for whose FLOW_REMOVED has not come. It may come after the
        barrier's reply, and after a rule that is the same again was put there."""
        self._last: Barrier | None = None
        """The barrier that nothing was sent after."""
        self._watched: set[HeldKey] | None = None
        """What something was sent about since `watch`; None while nobody wants to know."""
        self._changed = False
        """Something else than packet-outs was sent since the last barrier."""

    @property
    def next_xid(self) -> int:
        """An xid for a message that needs no remembering here."""
        return self._outstanding.next()

    @property
    def unconfirmed(self) -> bool:
        """Something was sent that no barrier reply covers yet."""
        return len(self._outstanding) > 0

    @property
    def needs_barrier(self) -> bool:
        """Something was sent that no barrier request follows yet."""
        return self.unconfirmed and self._last is None

    def awaits(self, barrier: int) -> bool:
        """The barrier with this xid is not answered, and none behind it."""
        return isinstance(self._outstanding.peek(barrier), Barrier)

    def is_sure(self, key: HeldKey) -> bool:
        """No unconfirmed message concerns it."""
        return key not in self._unsure

    def watch(self) -> set[HeldKey]:
        """A set that grows with everything that something is sent about, until `correct`."""
        self._watched = set()
        return self._watched

    def correct(self, truth: Mapping[HeldKey, Item | None]) -> None:
        """The switch was read to hold these, or not to (None)."""
        self._watched = None
        for key, item in truth.items():
            if item is None:
                self.held.pop(key, None)
            else:
                self.held[key] = item

    # Sending

    def apply(self, change: Change, origin_of: Callable[[HeldKey], object | None]) -> list[bytes]:
        """The messages that carry out a change, none for what is so already.

        Meters, groups and rules come first, then, behind a barrier, table 0, which lets packets in (design 1.3) or no
        longer does, then, behind another if packets are shut out, what no packet needs any more.
        """
        if len(change.put_rules) == 1 and not (change.drop_rules or change.put_groups or change.drop_groups
                                               or change.put_meters or change.drop_meters):
            return self._apply_one(change.put_rules[0], origin_of)
        puts = {rule.key: rule for rule in change.put_rules}
        wanted = [rule for key, rule in puts.items() if self.held.get(key) != rule]
        unwanted = self._unwanted(rule for rule in change.drop_rules if rule.key not in puts)
        groups = {group.group_id: group for group in change.put_groups}
        messages: list[bytes] = []
        meters = {meter.key: meter for meter in change.put_meters}
        for key, meter in sorted(meters.items()):
            if self.held.get(key) != meter:
                self._put_meter(messages, meter, origin_of(key))
        for group_id in sorted(groups):
            if self.held.get(group_id) != groups[group_id]:
                self._put_group(messages, groups[group_id], origin_of(group_id))
        for rule in wanted:
            if rule.table != Table.CLASSIFY:
                self._put_rule(messages, rule, origin_of(rule.key))
        entrances = [rule for rule in wanted if rule.table == Table.CLASSIFY]
        if entrances and messages:
            messages.append(self.barrier([]))
        for rule in entrances:
            self._put_rule(messages, rule, origin_of(rule.key))
        closed = [rule for rule in unwanted if rule.table == Table.CLASSIFY]
        for rule in closed:
            self._drop_rule(messages, rule, origin_of(rule.key))
        leftover = [rule for rule in unwanted if rule.table != Table.CLASSIFY]
        if closed and leftover:
            messages.append(self.barrier([]))
        for rule in leftover:
            self._drop_rule(messages, rule, origin_of(rule.key))
        for group_id in sorted(set(change.drop_groups) - set(groups), reverse=True):
            if group_id in self.held:
                self._drop_group(messages, group_id, origin_of(group_id))
        for key in sorted({(meter_id,) for meter_id in change.drop_meters} - set(meters)):
            if key in self.held:
                self._drop_meter(messages, key, origin_of(key))
        self._changed = self._changed or bool(messages)
        return messages

    def _apply_one(self, rule: Rule, origin_of: Callable[[HeldKey], object | None]) -> list[bytes]:
        """`apply` of the most frequent change, which has nothing to put in order."""
        messages: list[bytes] = []
        if self.held.get(rule.key) != rule:
            self._put_rule(messages, rule, origin_of(rule.key))
            self._changed = True
        return messages

    def packet_out(self, in_port: int, actions: bytes, data: bytes, origin: object) -> bytes:
        """A packet-out whose refusal will find its origin; it does not overtake the rules sent before it (trap 3)."""
        messages = [self.barrier([])] if self._changed else []
        self._write(messages, Sent(origin), lambda xid: build.packet_out(xid, in_port, actions, data))
        return b"".join(messages)

    def barrier(self, callbacks: list[Confirmed]) -> bytes:
        """A barrier request; `confirmed` returns the callbacks."""
        xid = self._outstanding.next()
        self._changed = False
        self._last = Barrier(callbacks)
        self._outstanding.remember(xid, self._last)
        return build.barrier_request(xid)

    def join(self, callback: Confirmed) -> bool:
        """Wait for the last barrier; False when something was sent after it."""
        if self._last is None:
            return False
        self._last.callbacks.append(callback)
        return True

    # What comes back

    def confirmed(self, xid: int) -> list[Confirmed] | None:
        """A barrier reply arrived: whom to tell, in order. None when no such barrier is outstanding."""
        if not self.awaits(xid):
            return None
        callbacks: list[Confirmed] = []
        for _, released in self._outstanding.release(xid):
            if isinstance(released, Barrier):
                callbacks += released.callbacks
                if released is self._last:
                    self._last = None
            else:
                self._settle(released)
        return callbacks

    def refused(self, xid: int) -> Sent | None:
        """An error arrived: what it refused, which is then believed undone. None when it refused nothing of ours."""
        sent = self._outstanding.peek(xid)
        if not isinstance(sent, Sent):
            return None
        self._outstanding.take(xid)
        if sent.key is not None:
            if sent.after is None and isinstance(sent.before, Rule):
                self.left(sent.key, sent.before.cookie)  # it stays
            later = self._settle(sent)
            if later is not None:
                later.before = sent.before
            elif sent.before is None:
                self.held.pop(sent.key, None)
            else:
                self.held[sent.key] = sent.before
        return sent

    def left(self, key: HeldKey, cookie: int) -> bool:
        """A rule is gone; whether we had asked for that. Then what is held now is another, or none."""
        asked = self._leaving.pop((key, cookie), 0)
        if asked > 1:
            self._leaving[key, cookie] = asked - 1
        return asked > 0

    @property
    def leaving(self) -> set[int]:
        """The cookies of rules that we have removed and whose FLOW_REMOVED has not come."""
        return {cookie for _, cookie in self._leaving}

    def lost(self) -> tuple[list[Confirmed], dict[HeldKey, object]]:
        """The session is over: who still waits for a confirmation, and the origins of what may have been lost."""
        waiting: list[Confirmed] = []
        origins: dict[HeldKey, object] = {}
        for xid in self._outstanding.sent:
            value = self._outstanding.take(xid)
            if isinstance(value, Barrier):
                waiting += value.callbacks
            elif value is not None and value.key is not None and value.origin is not None:
                origins[value.key] = value.origin
        return waiting, origins

    # Inside

    def _unwanted(self, drops: Iterable[Rule]) -> list[Rule]:
        """Those that are installed, once each. A rule that took over the key of one to drop stays."""
        found = {}
        for rule in drops:
            held = self.held.get(rule.key)
            if isinstance(held, Rule) and held.cookie == rule.cookie:
                found[rule.key] = held
        return list(found.values())

    def _put_rule(self, messages: list[bytes], rule: Rule, origin: object | None) -> None:
        held = self.held.get(rule.key)
        if isinstance(held, Rule) and held.cookie != rule.cookie:
            # Another rule's counters are not inherited, and its last ones are reported.
            self._drop_rule(messages, held, origin)
        # Without RESET_COUNTS an ADD over a rule keeps its counters (OF 1.3.5 section 6.4).
        sent = Sent(origin, rule.key, self.held.get(rule.key), rule)
        self._write(messages, sent, lambda xid: build.flow_mod_add(
            xid, rule.table, rule.priority, rule.match, rule.instructions, rule.cookie, rule_flags(rule.cookie)))

    def _drop_rule(self, messages: list[bytes], rule: Rule, origin: object | None) -> None:
        if rule_flags(rule.cookie) & of13.OFPFF_SEND_FLOW_REM:
            self._leaving[rule.key, rule.cookie] = self._leaving.get((rule.key, rule.cookie), 0) + 1
        self._write(messages, Sent(origin, rule.key, rule), lambda xid: build.flow_mod_delete_strict(
            xid, rule.table, rule.priority, rule.match))

    def _put_group(self, messages: list[bytes], group: Group, origin: object | None) -> None:
        held = self.held.get(group.group_id)
        command = of13.OFPGC_ADD if held is None else of13.OFPGC_MODIFY
        self._write(messages, Sent(origin, group.group_id, held, group), lambda xid: build.group_mod(
            xid, command, group.type, group.group_id, group.buckets))

    def _drop_group(self, messages: list[bytes], group_id: int, origin: object | None) -> None:
        held = self.held[group_id]
        group_type = held.type if isinstance(held, Group) else of13.OFPGT_ALL
        self._write(messages, Sent(origin, group_id, held), lambda xid: build.group_mod(
            xid, of13.OFPGC_DELETE, group_type, group_id))

    def _put_meter(self, messages: list[bytes], meter: Meter, origin: object | None) -> None:
        held = self.held.get(meter.key)
        command = of13.OFPMC_ADD if held is None else of13.OFPMC_MODIFY
        self._write(messages, Sent(origin, meter.key, held, meter), lambda xid: build.meter_mod(
            xid, command, meter.flags, meter.meter_id, meter.bands))

    def _drop_meter(self, messages: list[bytes], key: MeterKey, origin: object | None) -> None:
        self._write(messages, Sent(origin, key, self.held[key]), lambda xid: build.meter_mod(
            xid, of13.OFPMC_DELETE, 0, key[0]))

    def _write(self, messages: list[bytes], sent: Sent, encode: Callable[[int], bytes]) -> None:
        xid = self._outstanding.next()
        self._outstanding.remember(xid, sent)
        self._last = None
        if sent.key is not None:
            if self._watched is not None:
                self._watched.add(sent.key)
            self._unsure.setdefault(sent.key, []).append(sent)
            if sent.after is None:
                del self.held[sent.key]
            else:
                self.held[sent.key] = sent.after
        try:
            if not _can_be_told(sent.after):
                raise StructError
            messages.append(encode(xid))
        except StructError:
            self.oversize.append(ErrorMsg(xid, *_too_long(sent.content), b""))

    def _settle(self, sent: Sent) -> Sent | None:
        """Its fate is known; the message about the same thing that followed it, if any."""
        if sent.key is None:
            return None
        others = self._unsure[sent.key]
        place = next(index for index, other in enumerate(others) if other is sent)
        del others[place]
        if others:
            return others[place] if place < len(others) else None
        del self._unsure[sent.key]
        return None


def _can_be_told(content: Item | None) -> bool:
    """Whether a switch that holds this can tell of it. Open vSwitch takes what it cannot, and leaves it out of its
    answer: it would be found missing, and not be counted."""
    if isinstance(content, Rule) and len(content.instructions) > _SURELY_TOLD:
        return fits_flow_stats(ofp_match(content.match), content.instructions)
    if isinstance(content, Group) and len(content.buckets) > _SURELY_TOLD:
        return fits_group_replies(content.buckets, count_buckets(content.buckets))
    return True


def _too_long(content: Item | None) -> tuple[int, int]:
    """The error that says best that what a switch is to do fits into no message, of Open vSwitch's for what is too much
    for it. It is the actions that become longer on their way down, of packet-outs too."""
    if isinstance(content, Group):
        return of13.OFPET_GROUP_MOD_FAILED, of13.OFPGMFC_OUT_OF_BUCKETS
    return of13.OFPET_BAD_ACTION, of13.OFPBAC_TOO_MANY
