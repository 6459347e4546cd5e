"""Committing a bundle: all its messages change the logical tables at once, or none does.

First everything is done in the logical state alone, where it can be rolled back exactly; then the datapaths get what
has become of it as one change each. The answer waits for their confirmation, so that a refusal by one of them undoes
the whole bundle and is told as the failure of the message that caused it.
"""
from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hvproxy.compiler.lowering import TenantGroup
from hvproxy.errors import Refused
from hvproxy.hypervisor import barriers, overheard, packets, resets
from hvproxy.hypervisor.bundles import Bundle, bad
from hvproxy.hypervisor.compiled_switch import joined
from hvproxy.hypervisor.controller_session import ControllerSession
from hvproxy.hypervisor.entries import Edit, EditKind, Entry
from hvproxy.hypervisor.flow_mods import names_buffer
from hvproxy.model.rules import Change, Item, Rule, merged
from hvproxy.model.view import Dpid
from hvproxy.openflow import bundles
from hvproxy.openflow.bundles import ATOMIC, BundleError
from hvproxy.openflow.constants import NO_BUFFER, of13
from hvproxy.openflow.groups import action_lists
from hvproxy.openflow.messages import decode_flow_mod, decode_group_mod, decode_packet_out, type_of

if TYPE_CHECKING:
    from hvproxy.hypervisor.logical_switch import LogicalSwitch
    from hvproxy.hypervisor.origin import Origin


@dataclass(slots=True)
class Commit:
    """What a bundle has changed, in order, and by which of its messages."""

    edits: list[tuple[Edit, bytes, bytes]] = field(default_factory=list)
    """(edit, the message, the BUNDLE_ADD it came in)."""
    groups: dict[int, TenantGroup | None] = field(default_factory=dict)
    """Group id -> what was there before the bundle."""
    left: dict[int, TenantGroup | None] = field(default_factory=dict)
    """The same as the bundle has left it."""
    adds: dict[int, bytes] = field(default_factory=dict)
    """Group id -> the BUNDLE_ADD that changed it last."""
    failure: tuple[bytes, Refused] | None = None
    """The BUNDLE_ADD that a datapath refused to carry out, and why."""
    answered: bool = False

    def cause(self, ls: LogicalSwitch, content: Item | None, commit: bytes) -> bytes:
        """The message whose part a datapath refused; where that cannot be told, the commit itself."""
        if isinstance(content, Rule):
            number = content.cookie & 0xFFFFFFFF
            return next((added for edit, _, added in reversed(self.edits) if edit.entry.number == number), commit)
        return next(iter(self.adds.values()), commit)


def apply(ls: LogicalSwitch, bundle: Bundle, now: float) -> tuple[Commit, list[tuple[bytes, bytes]]]:
    """Change the logical state; (what has changed, messages that send packets). Raises Failed with nothing changed."""
    commit = Commit()
    saved = ls.groups.snapshot()
    later = []
    spent = set[int]()
    for message, added in bundle.messages:
        try:
            kind = type_of(message)
            if kind == of13.OFPT_FLOW_MOD:
                mod = decode_flow_mod(message)
                commit.edits += [(edit, message, added) for edit in ls.change_entries(mod, now)]
                if names_buffer(mod):
                    _spend(ls, spent, mod.buffer_id)
                    later.append((message, added))
            elif kind == of13.OFPT_GROUP_MOD:
                _group_mod(ls, commit, message, added, now)
            elif kind == of13.OFPT_PACKET_OUT:
                out = decode_packet_out(message)
                packets.check_here(ls, out)
                if out.buffer_id != NO_BUFFER:
                    _spend(ls, spent, out.buffer_id)
                later.append((message, added))
            elif bundle.flags & ATOMIC:
                raise bad(BundleError.MSG_FAILED, "ports cannot be changed together with tables")
            else:
                later.append((message, added))
        except Refused as refused:
            ls.tables.roll_back(edit for edit, *_ in commit.edits)
            ls.groups.go_back(saved)
            raise Failed(added, refused) from refused
    commit.left = {group_id: ls.groups.groups.get(group_id) for group_id in commit.groups}
    return commit, later


class Failed(Exception):
    """One message of a bundle is refused."""

    def __init__(self, added: bytes, refused: Refused) -> None:
        super().__init__(str(refused))
        self.added = added
        self.refused = refused


def _spend(ls: LogicalSwitch, spent: set[int], number: int) -> None:
    """Raises Refused unless a packet is kept under that number which no message before has used."""
    ls.buffers.check(number)
    if number in spent:
        raise Refused(of13.OFPET_BAD_REQUEST, of13.OFPBRC_BUFFER_EMPTY, "a buffer for the second time in one bundle")
    spent.add(number)


def _group_mod(ls: LogicalSwitch, commit: Commit, message: bytes, added: bytes, now: float) -> None:
    mod = decode_group_mod(message)
    standing = dict(ls.groups.groups)
    _, deleted = ls.change_groups(mod, now)
    touched = [mod.group_id]
    if deleted:
        doomed = [entry for group_id in deleted for entry in ls.tables.entries_with_group(group_id)]
        edits = ls.tables.remove(list(dict.fromkeys(doomed)), of13.OFPRR_GROUP_DELETE)
        commit.edits += [(edit, message, added) for edit in edits]
        ls.groups.remove(deleted)
        touched = deleted
    for group_id in touched:
        if group_id in standing or group_id in ls.groups.groups:
            commit.groups.setdefault(group_id, standing.get(group_id))
            commit.adds[group_id] = added


def carry_out(origin: Origin, bundle: Bundle, now: float) -> None:
    """Commit a bundle; `origin` is the commit. It is answered once all datapaths have confirmed what it changes."""
    ls, session = origin.logical_switch, origin.session
    try:
        commit, later = apply(ls, bundle, now)
    except Failed as failed:
        fail(session, origin.request, failed.added, failed.refused)
        return
    for message, _ in bundle.messages:
        if type_of(message) == of13.OFPT_GROUP_MOD:
            overheard.carried_out(ls.sessions.values(), session, message)
    origin.edits, origin.commit = [edit for edit, *_ in commit.edits], commit
    prepare(ls, commit, now)
    ls.see_edges()
    for edit, cause, _ in commit.edits:
        ls.monitors.report([edit], session, cause)
    steps = changes(ls, commit, now)
    dpids: set[Dpid] = set()
    for step in steps:
        ls.down.change(step, now, origin)
        dpids.update(step)
    session.touched.update(dpids)
    resets.confirm(ls, origin, steps, now)
    for message, added in later:
        try:
            if type_of(message) == of13.OFPT_FLOW_MOD:
                ls.release(session, message, now)
            else:
                ls.carry_out(session, message, now)
        except Refused as refused:
            commit.failure = commit.failure or (added, refused)
    barriers.when_confirmed(ls, session, origin.request, dpids, lambda at: answer(session, origin.request, commit), now,
                            settled=ls.tracking.is_changing)


def prepare(ls: LogicalSwitch, commit: Commit, now: float) -> None:
    """Have the datapaths ready for what the bundle does."""
    ls.prepare_entries((edit for edit, *_ in commit.edits), now)
    for group in commit.left.values():
        for data in () if group is None else action_lists(group.buckets):
            ls.prepare(data, now)


def changes(ls: LogicalSwitch, commit: Commit, now: float) -> list[dict[Dpid, Change]]:
    """What the datapaths must be told, in steps: a rule that makes room for one with the same match goes first, or
    the counts of both would be one's."""
    removals: dict[Dpid, list[Change]] = {}
    others: dict[Dpid, list[Change]] = {}
    present: dict[Entry, bool] = {}
    for edit, *_ in commit.edits:
        present[edit.entry] = edit.kind is not EditKind.REMOVED
        if edit.kind is EditKind.REMOVED:
            ls.farewells.expect(ls, edit.entry, edit.reason, now)
    for entry, stays in present.items():
        for dpid, change in ls.compiled(entry, present=stays).items():
            (others if stays else removals).setdefault(dpid, []).append(change)
    group_ids = dict.fromkeys([*commit.groups, *ls.groups.referring(commit.groups)])
    meter_ids = {meter for edit, *_ in commit.edits for meter in edit.meters}
    metered = ls.shares_changed(meter_ids, now)
    for dpid, change in joined(ls.watch_changes(), ls.group_changes(group_ids), metered).items():
        others.setdefault(dpid, []).append(change)
    put = {dpid: {rule.key for change in several for rule in change.put_rules} for dpid, several in others.items()}
    first: dict[Dpid, Change] = {}
    for dpid, several in removals.items():
        gone = merged(several)
        clearing = [rule for rule in gone.drop_rules if rule.key in put.get(dpid, ())]
        if clearing:
            first[dpid] = Change(drop_rules=clearing)
            gone.drop_rules = [rule for rule in gone.drop_rules if rule.key not in put[dpid]]
        others.setdefault(dpid, []).append(gone)
    return [first, {dpid: merged(several) for dpid, several in others.items()}]


def answer(session: ControllerSession, request: bytes, commit: Commit) -> None:
    """Tell how the commit has ended."""
    commit.answered = True
    if commit.failure is None:
        session.send(bundles.reply(request))
    else:
        fail(session, request, *commit.failure)


def fail(session: ControllerSession, request: bytes, added: bytes, refused: Refused) -> None:
    """Tell which message of the bundle is refused, and that the commit is."""
    session.refuse(added, refused)
    session.refuse(request, bad(BundleError.MSG_FAILED, "a message of the bundle was refused"))


def take_back_groups(ls: LogicalSwitch, commit: Commit, now: float) -> Iterable[int]:
    """Bring back groups as they were, where nothing has changed them since; those to be deleted are returned."""
    restored, deleted = [], []
    for group_id, before in commit.groups.items():
        if ls.groups.groups.get(group_id) is not commit.left[group_id]:
            continue  # a later group-mod decides
        if before is None:
            deleted.append(group_id)
        else:
            ls.groups.bring_back(before, now)
            restored.append(group_id)
    ls.see_edges()
    ls.send_groups(restored, now, None)
    return [group_id for group_id in deleted if group_id in ls.groups.groups]
