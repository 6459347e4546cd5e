"""Bringing the fabric's own rules and groups from what they are to what they should be, without a gap on the way.

First what is new everywhere, then, when that is confirmed, what changes direction, and when that is confirmed, what
goes (design 3, dataplane Q7). Each step is computed against the newest target, so changes may come in at any time.
Tenants' entries do not pass here: they are on the ingress edge only and need no order between switches.
"""
from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from enum import IntEnum

from hvproxy.model.rules import Change, Content, merged
from hvproxy.model.view import Dpid

Part = Hashable
"""Names a piece of the fabric's content that is computed as a whole."""


class Step(IntEnum):
    """How far the parts in motion have come."""

    MAKE = 0
    TURN = 1
    BREAK = 2


class Rollout:
    """Target and sent content by part, and the steps between them."""

    def __init__(
        self,
        send: Callable[[Dpid, Change, float], None],
        confirm: Callable[[Iterable[Dpid], Callable[[float], None], float], None],
        holds: Callable[[Dpid, object], bool],
    ) -> None:
        self._send = send
        self._confirm = confirm
        self._holds = holds
        """Whether a rule is still what is desired under its key: another part may have taken the key over."""
        self.target: dict[Part, dict[Dpid, Content]] = {}
        self._sent: dict[Part, dict[Dpid, Content]] = {}
        self._moving: set[Part] = set()
        self._touched: set[Dpid] = set()
        """What was sent to since all was settled last."""
        self._round = 0
        self._waiting: list[Callable[[float], None]] = []

    @property
    def settled(self) -> bool:
        """Nothing is on its way."""
        return not self._moving

    def when_settled(self, done: Callable[[float], None], now: float) -> None:
        """Call `done` once everything aimed at is confirmed."""
        if self.settled:
            done(now)
        else:
            self._waiting.append(done)

    def aim(
        self, parts: Mapping[Part, dict[Dpid, Content]], now: float, extra: Mapping[Dpid, Change] | None = None
    ) -> None:
        """Set new targets and start moving; an empty mapping removes a part.

        `extra` is sent along with the first step: entries of an edge, which must be there before packets enter.
        """
        fresh = []
        for part, contents in parts.items():
            if contents != self.target.get(part, {}):
                fresh.append(part)
                self.target[part] = contents
                if not contents:
                    del self.target[part]
        self._moving.update(fresh)
        if fresh or extra:
            self._round += 1
            # What moves already was made by an earlier round: only what is new has anything to make.
            self._step(Step.MAKE, self._round, now, fresh, extra or {})

    def _step(
        self, step: Step, round_: int, now: float, parts: Iterable[Part], extra: Mapping[Dpid, Change]
    ) -> None:
        changes: dict[Dpid, list[Change]] = {dpid: [change] for dpid, change in extra.items()}
        for part in sorted(parts, key=repr):
            sent, target = self._sent.setdefault(part, {}), self.target.get(part, {})
            for dpid in sorted({*sent, *target}):
                change = self._difference(step, dpid, sent.setdefault(dpid, Content()), target.get(dpid, Content()))
                if change:
                    changes.setdefault(dpid, []).append(change)
        for dpid, several in changes.items():
            self._send(dpid, merged(several), now)
        self._touched.update(changes)
        self._confirm(self._touched, lambda at: self._confirmed(step, round_, at), now)

    def _confirmed(self, step: Step, round_: int, now: float) -> None:
        if round_ != self._round:
            return  # a newer target has started over
        if step is not Step.BREAK:
            self._step(Step(step + 1), round_, now, tuple(self._moving), {})
            return
        self._touched.clear()
        for part in self._moving:
            if part not in self.target:
                self._sent.pop(part, None)
        self._moving.clear()
        waiting, self._waiting = self._waiting, []
        for done in waiting:
            done(now)

    def _difference(self, step: Step, dpid: Dpid, sent: Content, target: Content) -> Change:
        """The part of the way from `sent` to `target` that this step goes; `sent` is brought up to date."""
        change = Change()
        if step is Step.MAKE:
            change.put_groups = [g for i, g in sorted(target.groups.items()) if i not in sent.groups]
            change.put_rules = [r for key, r in target.rules.items() if sent.rules.get(key) != r]
        elif step is Step.TURN:
            change.put_groups = [g for i, g in sorted(target.groups.items()) if sent.groups.get(i) != g]
        else:
            gone = [r for key, r in sent.rules.items() if key not in target.rules]
            change.drop_rules = [r for r in gone if self._holds(dpid, r)]
            change.drop_groups = sorted((i for i in sent.groups if i not in target.groups), reverse=True)
            for rule in gone:
                del sent.rules[rule.key]
            for group_id in change.drop_groups:
                del sent.groups[group_id]
        for group in change.put_groups:
            sent.add_group(group)
        for rule in change.put_rules:
            sent.add_rule(rule)
        return change
