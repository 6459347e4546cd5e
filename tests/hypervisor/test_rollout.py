"""Make, turn, break: in that order, each confirmed everywhere before the next (dataplane Q7)."""
from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

from hvproxy.hypervisor.rollout import Part, Rollout
from hvproxy.model.rules import Change, Content, Group, Rule
from hvproxy.model.view import Dpid

Held: TypeAlias = dict[Dpid, Content]


class Fabric:
    """Datapaths that hold what they are sent, and confirm when the test says so."""

    def __init__(self) -> None:
        self.held: Held = {}
        self.sent: list[tuple[Dpid, Change]] = []
        self.asked: list[tuple[frozenset[Dpid], Callable[[float], None]]] = []
        self.rollout = Rollout(self.send, self.confirm, self.holds)

    def send(self, dpid: Dpid, change: Change, now: float) -> None:
        self.sent.append((dpid, change))
        content = self.held.setdefault(dpid, Content())
        for group_id in change.drop_groups:
            del content.groups[group_id]
        for rule in change.drop_rules:
            del content.rules[rule.key]
        for group in change.put_groups:
            content.add_group(group)
        for rule in change.put_rules:
            content.add_rule(rule)

    def confirm(self, dpids: Iterable[Dpid], done: Callable[[float], None], now: float) -> None:
        asked = frozenset(dpids)
        if asked:
            self.asked.append((asked, done))
        else:
            done(now)

    def holds(self, dpid: Dpid, rule: object) -> bool:
        assert isinstance(rule, Rule)
        return self.held[dpid].rules.get(rule.key) == rule

    def answer(self) -> frozenset[Dpid]:
        """The barriers asked for last are answered."""
        dpids, done = self.asked.pop(0)
        done(0.0)
        return dpids

    def settle(self) -> None:
        while self.asked:
            self.answer()
        assert self.rollout.settled

    def aim(self, parts: dict[Part, dict[Dpid, Content]], extra: dict[Dpid, Change] | None = None) -> None:
        self.rollout.aim(parts, 0.0, extra)


def rule(number: int, to: int = 0) -> Rule:
    return Rule(1, 1, bytes((number,)), bytes((to,)), 5)


def content(rules: Iterable[Rule] = (), groups: dict[int, int] | None = None) -> Content:
    """Groups as number -> where it leads."""
    made = Content()
    for each in rules:
        made.add_rule(each)
    for number, to in (groups or {}).items():
        made.add_group(Group(number, 0, bytes((to,))))
    return made


def leads(fabric: Fabric, dpid: Dpid) -> dict[int, int]:
    return {number: group.buckets[0] for number, group in fabric.held[dpid].groups.items()}


def test_what_is_new_goes_everywhere_before_anything_turns_there() -> None:
    """Edge 1 sends to 2; then to 3, whose rule must be there before the group of edge 1 turns."""
    fabric = Fabric()
    fabric.aim({"place": {1: content(groups={7: 2}), 2: content([rule(2)])}})
    fabric.settle()
    fabric.aim({"place": {1: content(groups={7: 3}), 3: content([rule(3)])}})
    assert (leads(fabric, 1), list(fabric.held[3].rules)) == ({7: 2}, [rule(3).key])
    assert fabric.held[2].rules  # still delivers what is on its way
    assert fabric.answer() == {3}
    assert leads(fabric, 1) == {7: 3} and fabric.held[2].rules
    fabric.answer()
    assert not fabric.held[2].rules
    fabric.settle()


def test_settled_means_confirmed() -> None:
    fabric = Fabric()
    done: list[float] = []
    fabric.aim({"base": {1: content([rule(1)])}})
    fabric.rollout.when_settled(done.append, 0.0)
    assert not fabric.rollout.settled and done == []
    fabric.settle()
    assert done == [0.0]
    fabric.rollout.when_settled(done.append, 5.0)
    assert done == [0.0, 5.0]


def test_an_equal_target_sends_nothing() -> None:
    fabric = Fabric()
    fabric.aim({"base": {1: content([rule(1)])}})
    fabric.settle()
    fabric.sent.clear()
    fabric.aim({"base": {1: content([rule(1)])}})
    assert fabric.sent == [] and fabric.rollout.settled


def test_a_newer_target_starts_over_and_the_old_confirmation_means_nothing() -> None:
    fabric = Fabric()
    fabric.aim({"place": {1: content(groups={7: 2}), 2: content([rule(2)])}})
    fabric.settle()
    fabric.aim({"place": {1: content(groups={7: 3}), 3: content([rule(3)])}})
    fabric.aim({"place": {1: content(groups={7: 4}), 4: content([rule(4)])}})
    fabric.answer()  # that of the first aim
    assert leads(fabric, 1) == {7: 2}
    assert fabric.answer() >= {3, 4}
    assert leads(fabric, 1) == {7: 4}
    fabric.settle()
    assert not fabric.held[2].rules and not fabric.held[3].rules and fabric.held[4].rules


def test_going_back_half_way_ends_where_it_began() -> None:
    fabric = Fabric()
    first = {"place": {1: content(groups={7: 2}), 2: content([rule(2)])}}
    fabric.aim(dict(first))
    fabric.settle()
    fabric.aim({"place": {1: content(groups={7: 3}), 3: content([rule(3)])}})
    fabric.answer()  # turned already
    fabric.aim(dict(first))
    fabric.settle()
    assert leads(fabric, 1) == {7: 2} and fabric.held[2].rules and not fabric.held[3].rules


def test_a_part_that_is_gone_is_taken_away_whole() -> None:
    fabric = Fabric()
    fabric.aim({"place": {1: content([rule(1)], {7: 2, 8: 7})}})
    fabric.settle()
    fabric.aim({"place": {}})
    fabric.settle()
    assert not fabric.held[1].rules and not fabric.held[1].groups
    assert fabric.sent[-1][1].drop_groups == [8, 7]  # what names others goes first
    assert "place" not in fabric.rollout.target


def test_a_rule_that_another_part_has_taken_over_is_not_taken_away() -> None:
    fabric = Fabric()
    fabric.aim({"one": {1: content([rule(1, to=1)])}})
    fabric.settle()
    fabric.aim({"one": {}, "other": {1: content([rule(1, to=2)])}})
    fabric.settle()
    assert fabric.held[1].rules == {rule(1).key: rule(1, to=2)}


def test_a_changed_rule_is_put_before_anything_turns() -> None:
    fabric = Fabric()
    fabric.aim({"base": {1: content([rule(1, to=1)])}})
    fabric.settle()
    fabric.aim({"base": {1: content([rule(1, to=2)])}})
    assert fabric.held[1].rules[rule(1).key] == rule(1, to=2)
    fabric.settle()


def test_entries_travel_with_the_first_step() -> None:
    fabric = Fabric()
    fabric.aim({"place": {1: content(groups={7: 2})}}, {1: Change(put_rules=[rule(9)]), 2: Change(put_rules=[rule(8)])})
    assert rule(9).key in fabric.held[1].rules and rule(8).key in fabric.held[2].rules
    assert not fabric.rollout.settled
    fabric.settle()


def test_what_a_round_that_was_given_up_has_sent_is_waited_for() -> None:
    fabric = Fabric()
    fabric.aim({"one": {1: content([rule(1)])}})
    fabric.aim({"other": {2: content([rule(2)])}})
    fabric.answer()
    assert fabric.answer() == {1, 2}


def test_parts_do_not_disturb_each_other() -> None:
    fabric = Fabric()
    fabric.aim({"one": {1: content([rule(1)])}, "other": {1: content([rule(2)])}})
    fabric.settle()
    fabric.aim({"one": {}})
    fabric.settle()
    assert list(fabric.held[1].rules) == [rule(2).key]
