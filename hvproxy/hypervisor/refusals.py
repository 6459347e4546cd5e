"""Taking back a tenant's message that a datapath refused, everywhere and with one error to the tenant (traps 19, 45).

What was counted is not lost with it: counters go on under the number that an entry ends up with.
"""
from __future__ import annotations

from typing import TYPE_CHECKING

from hvproxy.errors import Refused
from hvproxy.hypervisor import commits
from hvproxy.hypervisor.commits import Commit
from hvproxy.hypervisor.entries import EditKind
from hvproxy.hypervisor.farewells import METER_DELETE
from hvproxy.model.rules import Item
from hvproxy.openflow.constants import of13
from hvproxy.openflow.messages import ErrorMsg

if TYPE_CHECKING:
    from hvproxy.hypervisor.logical_switch import LogicalSwitch
    from hvproxy.hypervisor.origin import Origin


def take_back(ls: LogicalSwitch, origin: Origin, error: ErrorMsg, now: float,
              content: Item | None = None) -> None:
    """A datapath refused `content`, part of what `origin` caused. Further refusals of the same change nothing."""
    if origin.refused:
        return
    origin.refused = True
    if origin.group is not None and origin.group[0].command == of13.OFPGC_DELETE:
        # Nothing stands in the way of a deletion but a fault of the datapath, which is mended when it is read again.
        ls.down.log("error", "a datapath refused to delete a group", logical_switch=ls.spec.name, type=error.type,
                    code=error.code)
        return
    if origin.meter is not None and origin.meter[0].command == of13.OFPMC_DELETE:
        ls.down.log("error", "a datapath refused to delete a meter", logical_switch=ls.spec.name, type=error.type,
                    code=error.code)
        return
    undo(ls, origin, now)
    commit = origin.commit
    if commit is not None:
        _fail_commit(ls, origin, commit, content, error)
    elif origin.session.conn in ls.sessions:
        origin.session.refuse(origin.request, _as_sent(error))


def undo(ls: LogicalSwitch, origin: Origin, now: float) -> None:
    """Have everything as it was before, but for what has changed since. Later refusals of the same change nothing."""
    origin.refused = True
    commit = origin.commit
    added = () if commit is None else commits.take_back_groups(ls, commit, now)
    _undo_edits(ls, origin, now)
    for group_id in added:
        ls.delete_groups([group_id], now, None)
    if origin.group is not None:
        _undo_group(ls, origin, now)
    if origin.meter is not None:
        _undo_meter(ls, origin, now)
    origin.session.taken_back = ls.down.journal.revision


def _fail_commit(ls: LogicalSwitch, origin: Origin, commit: Commit, content: Item | None,
                 error: ErrorMsg) -> None:
    """The answer to the commit tells it, if that has not been given yet."""
    commit.failure = commit.cause(ls, content, origin.request), _as_sent(error)
    if commit.answered and origin.session.conn in ls.sessions:
        origin.session.refuse(*commit.failure)


def _as_sent(error: ErrorMsg) -> Refused:
    whose = int.from_bytes(error.data[:4], "big") if error.type == of13.OFPET_EXPERIMENTER else None
    return Refused(error.type, error.code, experimenter=whose)


def _undo_edits(ls: LogicalSwitch, origin: Origin, now: float) -> None:
    resets = [(edit.entry, number, edit.entry.number)
              for edit in origin.edits if (number := edit.reset_number) is not None]
    inverse = ls.tables.undo(origin.edits)
    # What comes back may use a meter that is deleted meanwhile, and would have been deleted with it.
    doomed = [edit.entry for edit in inverse if edit.kind is not EditKind.REMOVED
              and edit.entry.instructions.meter not in (None, *ls.meters.meters)]
    inverse = [edit for edit in inverse if edit.entry not in doomed] + ls.tables.remove(doomed, METER_DELETE)
    ls.monitors.report(inverse)
    for entry, *numbers in resets:
        for number in numbers:
            ls.resetting.pop(number, None)
            if number != entry.number:
                ls.farewells.withdraw(number, now)
            if ls.tables.by_number(entry.number) is entry or ls.farewells.awaits(entry.number):
                ls.counters.carry(number, entry.number)
            else:
                ls.counters.forget(number)
    for edit in inverse:
        if edit.kind is EditKind.ADDED:
            ls.farewells.withdraw(edit.entry.number, now)
    ls.down.change(ls.edited(inverse, now, farewell=False), now)
    for edit in inverse:
        if edit.kind is EditKind.REMOVED:
            ls.counters.forget(edit.entry.number)


def _undo_group(ls: LogicalSwitch, origin: Origin, now: float) -> None:
    assert origin.group is not None
    mod, before = origin.group
    group = ls.groups.groups.get(mod.group_id)
    if group is None or group.buckets != mod.buckets:
        return  # a later group-mod decides
    if before is not None:
        ls.groups.restore(before)
        ls.see_edges()
        ls.send_groups([mod.group_id], now, None)
    else:
        ls.delete_groups([mod.group_id], now, None)


def _undo_meter(ls: LogicalSwitch, origin: Origin, now: float) -> None:
    assert origin.meter is not None
    mod, replaced, revision = origin.meter
    meter = ls.meters.meters.get(mod.meter_id)
    if meter is None or meter.revision != revision:
        return  # a later meter-mod decides
    if replaced is not None:
        ls.meters.restore(mod.meter_id, replaced)
        ls.send_meters([mod.meter_id], now, None)
    else:
        ls.delete_meters([mod.meter_id], now, None)
