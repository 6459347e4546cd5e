"""Comparing what switches hold with what they should: now and then, and when an operator asks (design 1.5).

Drift is repaired, counted, and logged with whose it is. What is not ours is told, and taken away only where that is
configured. One switch after the other is read, so that not all answer at once.
"""
from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, TypeAlias

from hvproxy.hypervisor.audit import Drift
from hvproxy.hypervisor.datapath import Datapath
from hvproxy.hypervisor.explain import Explanations, Why
from hvproxy.model.rules import Group, Item, Rule
from hvproxy.model.schema import format_dpid
from hvproxy.model.view import Dpid
from hvproxy.openflow.meters import walk_bands
from hvproxy.openflow.text import band_texts, bucket_texts, group_number, instructions_text, match_text

if TYPE_CHECKING:
    from hvproxy.hypervisor.hypervisor import Hypervisor

Done: TypeAlias = Callable[[Drift | None, float], None]
LOGGED = 20
"""So much of the drift of a switch is logged one by one."""


class Auditing:
    """When the switches were compared last, and what was found."""

    def __init__(self, period: float, remove_foreign: bool, now: float) -> None:
        self.found: dict[tuple[Dpid, str], int] = {}
        """(datapath, "missing", "changed" or "extra") -> how many were put right so far."""
        self.foreign: dict[Dpid, int] = {}
        """What is not ours, as last seen."""
        self.audits: dict[Dpid, int] = {}
        """How often each was compared."""
        self._period = period
        self._remove_foreign = remove_foreign
        self._next = now + period if period else inf
        self._round: list[Dpid] = []
        """Those that are still to be compared in this round."""
        self._running: dict[Dpid, list[Done]] = {}

    @property
    def deadline(self) -> float:
        return self._next

    def tick(self, hv: Hypervisor, now: float) -> None:
        """Begin a round when it is time."""
        if now >= self._next:
            self._next = now + self._period
            if not self._round:
                self._round = sorted(dpid for dpid, dp in hv.switches.datapaths.items() if dp.ready)
                self._go_on(hv, now)

    def audit(self, hv: Hypervisor, dp: Datapath, done: Done, now: float) -> None:
        """Compare one switch; `done` gets what differed and is put right, or None where that cannot be known now."""
        waiting = self._running.get(dp.dpid)
        if waiting is not None:
            waiting.append(done)
            return
        self._running[dp.dpid] = [done]
        dp.audit(self._remove_foreign, lambda drift, at: self._over(hv, dp, drift, at), now)

    def _go_on(self, hv: Hypervisor, now: float) -> None:
        while self._round:
            dp = hv.switches.datapaths.get(self._round.pop(0))
            if dp is not None and dp.ready:
                self.audit(hv, dp, lambda drift, at: self._go_on(hv, at), now)
                return

    def _over(self, hv: Hypervisor, dp: Datapath, drift: Drift | None, now: float) -> None:
        if drift is not None:
            self.audits[dp.dpid] = self.audits.get(dp.dpid, 0) + 1
            for kind, items in kinds(drift).items():
                if items and kind != "foreign":
                    self.found[dp.dpid, kind] = self.found.get((dp.dpid, kind), 0) + len(items)
            self.foreign[dp.dpid] = drift.foreign_total
            if drift.repaired or drift.foreign_total:
                self._say(hv, dp, drift)
        for done in self._running.pop(dp.dpid):
            done(drift, now)

    def _say(self, hv: Hypervisor, dp: Datapath, drift: Drift) -> None:
        dpid = format_dpid(dp.dpid)
        if drift.repaired:
            hv.switches.alarm("a switch did not hold what it should", dpid=dpid, missing=len(drift.missing),
                              changed=len(drift.changed), extra=len(drift.extra))
        if drift.foreign_total:
            hv.log("warning", "a switch holds what is not ours", dpid=dpid, number=drift.foreign_total,
                   removed=self._remove_foreign)
        why = Explanations(hv)
        listed = [(kind, item) for kind, items in kinds(drift).items() for item in items]
        for kind, item in listed[:LOGGED]:
            reason = explained(why, kind, item)
            hv.log("warning", "drift", dpid=dpid, kind=kind, what=described(item), why=reason.text,
                   logical_switch=reason.logical_switch)
        if len(listed) > LOGGED:
            hv.log("warning", "more drift", dpid=dpid, number=len(listed) - LOGGED)


def kinds(drift: Drift) -> dict[str, list[Item]]:
    """What differed, by how."""
    return {"missing": drift.missing, "changed": drift.changed, "extra": drift.extra, "foreign": drift.foreign}


def explained(why: Explanations, kind: str, item: Item) -> Why:
    """Whose something is, and what for."""
    if kind == "foreign":
        return Why("was put there by another hand")
    if isinstance(item, Rule):
        return why.rule(item)
    return why.group(item) if isinstance(item, Group) else Why("limits the rate of a tenant")


def described(item: Item) -> str:
    """A rule, group or meter in a line."""
    if isinstance(item, Rule):
        return (f"table={item.table},priority={item.priority},{match_text(item.match)} cookie={item.cookie:#x} "
                f"{instructions_text(item.instructions)}")
    if isinstance(item, Group):
        return f"group {group_number(item.group_id)}: {'; '.join(bucket_texts(item.buckets))}"
    return f"meter {item.meter_id}: {'; '.join(band_texts(walk_bands(item.bands)))}"
