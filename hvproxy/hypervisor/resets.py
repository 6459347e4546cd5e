"""Counters that a flow-mod sets back (OFPFF_RESET_COUNTS): under a new number, until nobody can refuse it any more.

Knows which numbers stood for what an entry counted, not what the counts are.
"""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hvproxy.hypervisor.entries import Entry
from hvproxy.hypervisor.origin import Origin
from hvproxy.model.layout import read_cookie
from hvproxy.model.rules import Change
from hvproxy.model.view import Dpid

if TYPE_CHECKING:
    from hvproxy.hypervisor.logical_switch import LogicalSwitch


@dataclass(eq=False, slots=True)
class Reset:
    """Of an entry's counters, which no datapath has refused yet and not all have confirmed."""

    entry: Entry
    awaited: int = 0
    """How many rules that counted under the former number have not told their last counts."""


def confirm(ls: LogicalSwitch, origin: Origin, steps: Iterable[Mapping[Dpid, Change]], now: float) -> None:
    """Until it is certain that no datapath refuses these changes, counters of entries may have to be given back."""
    resets = {edit.reset_number: Reset(edit.entry) for edit in origin.edits if edit.reset_number is not None}
    if not resets:
        return

    def confirmed(at: float) -> None:
        for number, reset in resets.items():
            if ls.resetting.pop(number, None) is not None:
                ls.farewells.expect_reset(ls, reset.entry, number, reset.awaited, at)

    dpids: set[Dpid] = set()
    for changes in steps:
        dpids.update(changes)
        for dpid, change in changes.items():
            for rule in change.drop_rules if ls.down.ready(dpid) else ():
                owner = read_cookie(rule.cookie)
                if owner is not None and owner[1] in resets:
                    resets[owner[1]].awaited += 1
    for number, reset in resets.items():
        ls.farewells.remember(reset.entry, number, now)
    ls.resetting.update(resets)
    ls.down.confirm(dpids, confirmed, now)
