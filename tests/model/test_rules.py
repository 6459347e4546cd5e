"""What turns one content of a datapath into another."""
from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hvproxy.model.rules import (
    Change, Content, Group, Meter, Rule, all_differences, difference, merged, rule_difference,
)

rules = st.builds(Rule, st.integers(0, 2), st.integers(1, 2), st.sampled_from((b"", b"a")),
                  st.sampled_from((b"x", b"y")), st.integers(1, 2))
groups = st.builds(Group, st.integers(1, 5), st.sampled_from((0, 2)), st.sampled_from((b"", b"bucket")))


@st.composite
def contents(draw: st.DrawFn) -> Content:
    content = Content()
    for rule in draw(st.lists(rules, max_size=6)):
        content.add_rule(rule)
    for group in draw(st.lists(groups, max_size=4)):
        content.add_group(group)
    return content


def carried_out(change: Change, content: Content) -> Content:
    """A switch with this content after it was sent the change, in the order of sending."""
    held, known = dict(content.rules), dict(content.groups)
    for group in change.put_groups:
        known[group.group_id] = group
    for rule in change.put_rules:
        held[rule.key] = rule
    for rule in change.drop_rules:
        if rule.key in held and held[rule.key].cookie == rule.cookie:
            del held[rule.key]
    for group_id in change.drop_groups:
        del known[group_id]
    return Content(held, known)


@given(contents(), contents())
def test_a_difference_carried_out_turns_one_into_the_other(old: Content, new: Content) -> None:
    assert carried_out(difference(old, new), old) == new


@given(contents(), contents())
def test_so_does_a_content_that_applies_it(old: Content, new: Content) -> None:
    held = Content(dict(old.rules), dict(old.groups))
    held.apply(difference(old, new))
    assert held == new


def test_a_drop_leaves_a_rule_that_has_taken_over_the_key_and_what_is_not_there() -> None:
    before, after = Rule(10, 5, b"", b"x", 1), Rule(10, 5, b"", b"x", 2)
    held = Content()
    held.apply(Change(put_rules=[after], put_meters=[Meter(3, 0, b"")]))
    held.apply(Change(drop_rules=[before], drop_groups=[7]))
    assert held == Content({after.key: after}, meters={3: Meter(3, 0, b"")})
    held.apply(Change(drop_rules=[after], drop_meters=[3]))
    assert held == Content()


@given(contents(), contents())
def test_a_difference_touches_nothing_that_stays(old: Content, new: Content) -> None:
    change = difference(old, new)
    stays = [key for key, rule in old.rules.items() if new.rules.get(key) == rule]
    assert not any(rule.key in stays for rule in change.put_rules + change.drop_rules)
    kept = [number for number, group in old.groups.items() if new.groups.get(number) == group]
    assert not any(group.group_id in kept for group in change.put_groups)
    assert not set(kept) & set(change.drop_groups)


@given(contents())
def test_there_is_no_difference_to_itself(content: Content) -> None:
    assert not difference(content, content)
    assert all_differences({1: content}, {1: content}) == {}


@given(contents(), contents())
def test_groups_are_put_in_rising_and_dropped_in_falling_order(old: Content, new: Content) -> None:
    change = difference(old, new)
    put = [group.group_id for group in change.put_groups]
    assert put == sorted(put)
    assert change.drop_groups == sorted(change.drop_groups, reverse=True)


def test_a_rule_that_is_another_entrys_now_is_dropped_as_well_so_that_its_counters_start_anew() -> None:
    before, after = Rule(10, 5, b"", b"x", 1), Rule(10, 5, b"", b"x", 2)
    change = rule_difference([before], [after])
    assert (change.put_rules, change.drop_rules) == ([after], [before])
    same_cookie = rule_difference([before], [Rule(10, 5, b"", b"y", 1)])
    assert not same_cookie.drop_rules and len(same_cookie.put_rules) == 1


@given(st.lists(contents(), min_size=4, max_size=4))
def test_differences_of_several_datapaths_are_kept_apart(made: list[Content]) -> None:
    old, new = {1: made[0], 2: made[1]}, {2: made[2], 3: made[3]}
    changes = all_differences(old, new)
    for dpid in (1, 2, 3):
        change = changes.get(dpid, Change())
        assert carried_out(change, old.get(dpid, Content())) == new.get(dpid, Content())
    assert all(changes.values())


def test_merged_changes_keep_the_order_of_groups() -> None:
    def change(*numbers: int) -> Change:
        return Change(put_groups=[Group(n, 0, b"") for n in numbers], drop_groups=list(reversed(numbers)))

    total = merged([change(4, 6), change(1, 5), Change(put_rules=[Rule(0, 1, b"", b"", 1)])])
    assert [group.group_id for group in total.put_groups] == [1, 4, 5, 6]
    assert total.drop_groups == [6, 5, 4, 1]
    assert len(total.put_rules) == 1 and total
    assert not merged([]) and not merged([Change()])


def test_content_holds_one_rule_per_key_and_one_group_per_id() -> None:
    content = Content()
    content.add_rule(Rule(0, 1, b"", b"x", 1))
    content.add_rule(Rule(0, 1, b"", b"y", 2))
    content.add_group(Group(1, 0, b""))
    content.add_group(Group(1, 2, b"bucket"))
    assert [rule.cookie for rule in content.rules.values()] == [2]
    assert list(content.groups.values()) == [Group(1, 2, b"bucket")]


def test_meters_are_put_where_they_differ_and_dropped_where_they_are_gone() -> None:
    old, new = Content(), Content()
    for number in (1, 2, 3):
        old.add_meter(Meter(number, 1, b""))
    for meter in (Meter(4, 1, b""), Meter(1, 1, b""), Meter(2, 1, b"", 1)):
        new.add_meter(meter)
    change = difference(old, new)
    assert change == Change(put_meters=[new.meters[2], new.meters[4]], drop_meters=[3])
    assert change and merged([change, Change(drop_meters=[9])]).drop_meters == [3, 9]
