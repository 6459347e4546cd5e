"""The belief about a switch: what is sent for a change, in which order, and what an error undoes."""
from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hvproxy.hypervisor.installed import Installed
from hvproxy.hypervisor.reconcile import HeldKey
from hvproxy.model.rules import Change, Group, Item, Rule
from hvproxy.openflow.constants import of13
from hvproxy.openflow.groups import GroupMod
from hvproxy.openflow.messages import FlowMod, xid_of
from tests.hypervisor.contents import brief, group, meter, put, rule
from tests.hypervisor.switch import Switch


class Bench:
    """A belief and the switch it is about, whose replies arrive when the test says so."""

    def __init__(self) -> None:
        self.installed = Installed()
        self.switch = Switch(1)

    def apply(self, change: Change, origin: object | None = None) -> list[str]:
        self.switch.receive(b"".join(self.installed.apply(change, lambda key: origin)))
        return brief(self.switch.take_log())

    def answer(self) -> list[object]:
        """The first reply arrives; the origins it concerns."""
        reply = self.switch.replies.pop(0)
        if reply[1] == of13.OFPT_ERROR:
            sent = self.installed.refused(xid_of(reply))
            return [sent.origin] if sent is not None else []
        if reply[1] == of13.OFPT_BARRIER_REPLY:
            self.installed.confirmed(xid_of(reply))
        return []

    def truth(self) -> dict[HeldKey, Item]:
        truth: dict[HeldKey, Item] = {}
        truth.update(self.switch.rules().items())
        truth.update(self.switch.group_values().items())
        return truth


def test_order_is_groups_rules_entrances_exits_leftovers_groups() -> None:
    bench = Bench()
    bench.apply(put(rule(1), rule(2, table=0), group(1), group(2)))
    change = Change([group(9), group(4), group(1, 7)], [rule(11, table=0), rule(12), rule(1, 7)],
                    [rule(2, table=0)], [group(2).group_id])
    assert bench.apply(change) == [
        "modify 1", "group 4", "group 9", "add 12", "add 1", "barrier", "add 11", "delete", "ungroup 2"]


def test_groups_go_in_descending_order() -> None:
    bench = Bench()
    bench.apply(put(group(1), group(2), group(3)))
    assert bench.apply(Change(drop_groups=[group(n).group_id for n in (1, 3, 2)])) == [
        "ungroup 3", "ungroup 2", "ungroup 1"]


def test_packets_are_shut_out_before_the_rules_they_need_go() -> None:
    bench = Bench()
    bench.apply(put(rule(1), rule(2, table=0)))
    bench.installed.apply(Change(), lambda key: None)
    messages = bench.installed.apply(Change(drop_rules=[rule(1), rule(2, table=0)]), lambda key: None)
    bench.switch.receive(messages[0])
    assert bench.switch.rules() == {rule(1).key: rule(1)}
    bench.switch.receive(b"".join(messages[1:]))
    assert brief(bench.switch.take_log()) == ["delete", "barrier", "delete"] and bench.truth() == {}


def test_table_0_alone_needs_no_barrier() -> None:
    bench = Bench()
    assert bench.apply(put(rule(1, table=0))) == ["add 1"]
    assert bench.apply(Change(drop_rules=[rule(1, table=0)])) == ["delete"]


def test_group_put_and_dropped_in_one_change_stays() -> None:
    bench = Bench()
    bench.apply(put(group(1)))
    assert bench.apply(Change(put_groups=[group(1, 2)], drop_groups=[group(1).group_id])) == ["modify 1"]


def test_later_message_about_the_same_rule_outlives_the_refusal_of_an_earlier() -> None:
    bench = Bench()
    refusals = iter([(5, 1), None])
    bench.switch.refuse = lambda mod: next(refusals)
    bench.apply(put(rule(1, 1)), "first")
    bench.apply(put(rule(1, 2)), "second")
    assert bench.answer() == ["first"]
    assert bench.installed.held == bench.truth() == {rule(1).key: rule(1, 2)}


def test_refusals_of_all_messages_about_a_rule_lead_back_to_the_first_content() -> None:
    bench = Bench()
    bench.apply(put(rule(1, 1)))
    bench.switch.refuse = lambda mod: (5, 1)
    for port in (2, 3, 4):
        bench.apply(put(rule(1, port)), port)
    assert [bench.answer() for _ in range(3)] == [[2], [3], [4]]
    assert bench.installed.held == bench.truth() == {rule(1).key: rule(1, 1)}


def test_refusal_is_found_once() -> None:
    bench = Bench()
    bench.switch.refuse = lambda mod: (5, 1)
    bench.apply(put(rule(1)), "o")
    bench.switch.replies *= 2
    assert [bench.answer(), bench.answer()] == [["o"], []]


def test_messages_are_remembered_until_a_barrier_behind_them_and_no_longer() -> None:
    bench = Bench()
    bench.apply(put(rule(1)), "o")
    assert (bench.installed.unconfirmed, bench.installed.needs_barrier) == (True, True)
    assert not bench.installed.is_sure(rule(1).key)
    bench.switch.receive(bench.installed.barrier([]))
    assert (bench.installed.unconfirmed, bench.installed.needs_barrier) == (True, False)
    bench.apply(put(rule(2)), "later")
    bench.answer()
    assert (bench.installed.is_sure(rule(1).key), bench.installed.is_sure(rule(2).key)) == (True, False)
    assert (bench.installed.unconfirmed, bench.installed.needs_barrier) == (True, True)


def test_reply_to_a_later_barrier_covers_an_earlier() -> None:
    bench = Bench()
    told: list[str] = []
    bench.installed.barrier([lambda now: told.append("first")])
    later = xid_of(bench.installed.barrier([lambda now: told.append("second")]))
    for callback in bench.installed.confirmed(later) or []:
        callback(0.0)
    assert told == ["first", "second"] and not bench.installed.unconfirmed
    assert bench.installed.confirmed(later) is None


def test_lost_session_names_who_waits_and_what_may_be_lost() -> None:
    bench = Bench()
    bench.apply(put(rule(1), group(1)), "a")
    bench.installed.barrier([print])
    bench.apply(put(rule(2)))
    bench.installed.packet_out(1, b"", b"", "packet")
    assert bench.installed.lost() == ([print], {rule(1).key: "a", group(1).group_id: "a"})


CONTENT = st.one_of(
    st.builds(rule, st.integers(1, 3), st.integers(1, 3), st.sampled_from([0, 10]), st.integers(0, 1),
              st.integers(1, 3)),
    st.builds(group, st.integers(1, 3), st.integers(1, 3)),
)


@given(st.lists(st.tuples(st.booleans(), st.lists(CONTENT, max_size=3), st.integers(0, 3))),
       st.lists(st.booleans(), max_size=40))
def test_belief_is_the_truth_once_all_answers_are_in(
    steps: list[tuple[bool, list[Item], int]], refusals: list[bool],
) -> None:
    bench = Bench()
    fate = iter(refusals)

    def refuse(mod: object) -> tuple[int, int] | None:
        # A switch that lacks a group refuses to modify it, and one that has it refuses to add it.
        if isinstance(mod, GroupMod) and mod.command != of13.OFPGC_DELETE:
            if (mod.command == of13.OFPGC_ADD) == (mod.group_id in bench.switch.groups):
                return 6, 0
        return (5, 1) if next(fate, False) else None

    bench.switch.refuse = refuse
    for is_put, contents, answers in steps:
        change = put(*contents) if is_put else Change(
            drop_rules=[c for c in contents if isinstance(c, Rule)],
            drop_groups=[c.group_id for c in contents if isinstance(c, Group)])
        bench.apply(change)
        for _ in range(min(answers, len(bench.switch.replies))):
            bench.answer()
    bench.switch.receive(bench.installed.barrier([]))
    while bench.switch.replies:
        bench.answer()
    assert bench.installed.held == bench.truth() and not bench.installed.unconfirmed


def test_replacing_another_cookies_rule_deletes_whatever_cookie_stands_there() -> None:
    bench = Bench()
    bench.apply(put(rule(1)))
    bench.switch.receive(b"".join(bench.installed.apply(put(rule(2, place=1)), lambda key: None)))
    removal = bench.switch.log[0]
    assert isinstance(removal, FlowMod) and removal.command == of13.OFPFC_DELETE_STRICT
    assert removal.cookie_mask == 0 and bench.truth() == {rule(1).key: rule(2, place=1)}


def test_meters_come_before_all_else_and_go_after_it() -> None:
    bench = Bench()
    bench.apply(put(rule(1), group(1), meter(3), meter(4)))
    change = Change([group(2)], [rule(2)], [rule(1)], [group(1).group_id], [meter(4, 7), meter(2)], [3])
    assert bench.apply(change) == ["meter 2", "remeter 4", "group 2", "add 2", "delete", "ungroup 1", "unmeter 3"]
    assert bench.apply(Change(drop_meters=[3, 9])) == []


def test_a_meter_of_another_revision_is_sent_again() -> None:
    bench = Bench()
    assert bench.apply(put(meter(1))) == ["meter 1"]
    assert bench.apply(put(meter(1))) == []
    assert bench.apply(put(rule(1), meter(1, revision=1))) == ["remeter 1", "add 1"]


def test_a_refused_meter_is_what_it_was() -> None:
    bench = Bench()
    bench.apply(put(meter(1)))
    bench.switch.refuse = lambda mod: (12, 6)
    bench.apply(put(meter(1, 9)), "origin")
    assert bench.answer() == ["origin"] and bench.installed.held == {meter(1).key: meter(1)}


def test_a_removal_we_asked_for_is_known_as_ours_as_often_as_we_asked_and_was_not_refused() -> None:
    bench, it = Bench(), rule(1)
    key, cookie = it.key, it.cookie
    assert not bench.installed.left(key, cookie)
    for _ in range(2):
        bench.apply(put(it))
        bench.apply(Change(drop_rules=[it]))
    bench.apply(put(it))
    assert bench.installed.leaving == {cookie}
    assert [bench.installed.left(key, cookie) for _ in range(3)] == [True, True, False]
    assert not bench.installed.leaving
    xid = bench.installed.next_xid
    message, = bench.installed.apply(Change(drop_rules=[it]), lambda key: None)
    assert bench.installed.refused(xid_of(message)) is not None and xid_of(message) != xid
    assert not bench.installed.left(key, cookie) and bench.installed.held[key] == it
