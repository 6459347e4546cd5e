"""What the table ASIDE holds, and which answers hold."""
from __future__ import annotations

import pytest

from hvproxy.compiler.connections import EMPTYING
from hvproxy.compiler.learning import UNKNOWN
from hvproxy.compiler.members import ENDINGS, SPECIAL, port_of
from hvproxy.hypervisor import aside, intent
from hvproxy.hypervisor.aside import Aside
from hvproxy.hypervisor.entries import Entry
from hvproxy.model.layout import OUTLET
from hvproxy.openflow import actions
from hvproxy.openflow.instructions import Instructions
from hvproxy.openflow.oxm import Match
from tests.hypervisor.worlds import add, assert_equal_to_recompute, flow_mod, port_spec, red
from tests.openflow.learn_cases import bundle


def entry(number: int, cookie: int = 0, hard_timeout: int = 0) -> Entry:
    return Entry(number, 0, 5, Match.EMPTY, Instructions(apply=actions.output(1)), cookie, 0, hard_timeout, 0, 0.0)


def test_it_begins_once_and_is_emptied() -> None:
    table = Aside()
    assert list(table.entries()) == []
    first = table.learn()
    assert [each.number for each in first] == [UNKNOWN] and table.learn() == []
    new, gone = table.choose((1, 2))
    assert len(new) == 2 + len(SPECIAL) and gone == []
    written, gone = table.write((1, 2))
    assert len(written) == 2 + len(ENDINGS) and gone == []
    emptying = table.track()
    assert [each.number for each in emptying] == [EMPTYING] and table.track() == []
    answer, _ = table.know(entry(1), 0, 5, 0xff, entry(2))
    assert list(table.entries()) == [*first, *emptying, *new, *written, answer]
    assert table.emptied() == [*first, *emptying, *new, *written, answer] and list(table.entries()) == []
    assert not (table.learning or table.choosing or table.writing or table.tracking)


def test_outlets_follow_the_ports() -> None:
    table = Aside()
    table.choose((1, 2))
    new, gone = table.choose((2, 3))
    assert ([each.number for each in new], [each.number for each in gone]) == ([OUTLET | 3], [OUTLET | 1])


def test_an_answer_holds_while_both_entries_are_as_they_were() -> None:
    for change in ("number", "instructions", "cookie"):
        table, teacher, learnt = Aside(), entry(1), entry(2)
        answer, _ = table.know(teacher, 0, 5, 0xff, learnt)
        assert table.knows(teacher, 0, 5, 0xff) is not None and table.knows(teacher, 1, 5, 0xff) is None
        assert table.outdated(teacher, present=True) == table.outdated(learnt, present=True) == []
        if change == "number":
            teacher.number = 9
            assert table.outdated(teacher, present=True) == [answer]
        elif change == "cookie":
            learnt.cookie = 9
            assert table.outdated(learnt, present=True) == [answer]
        else:
            learnt.instructions = Instructions()
            assert table.outdated(learnt, present=True) == [answer]
        assert len(table) == 0 and table.outdated(teacher, present=False) == []


def test_an_answer_goes_with_either_entry() -> None:
    table, teacher, learnt = Aside(), entry(1), entry(2)
    for gone in (teacher, learnt):
        answer, _ = table.know(teacher, 0, 5, 0xff, learnt)
        assert table.of(learnt) == [answer] and table.of(teacher) == []
        assert table.outdated(gone, present=False) == [answer] and table.of(learnt) == []
    itself, _ = table.know(teacher, 0, 5, 0xff, teacher)
    assert table.outdated(teacher, present=False) == [itself]


def test_counted_packets_have_taught_an_entry() -> None:
    table, learnt = Aside(), entry(2, hard_timeout=5)
    assert not table.refreshes
    answer, _ = table.know(entry(1), 0, 5, 0xff, learnt)
    assert table.learnt_again(answer.number) is learnt and table.learnt_again(UNKNOWN) is None
    assert table.refreshes
    nothing, _ = table.know(entry(3), 0, 5, 0xff, None)
    assert table.learnt_again(nothing.number) is None


def test_the_oldest_answer_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aside, "MOST_KNOWN", 2)
    monkeypatch.setattr(aside, "LAST_KNOWN", 3)
    table, teacher = Aside(), entry(1)
    answers, gone = [], []
    for value in range(4):
        answer, old = table.know(teacher, 0, value, 0xff, None)
        answers.append(answer)
        gone += old
    assert gone == answers[:2] and len(table) == 2
    assert answers[3].number not in {answers[2].number}


def test_a_port_that_comes_or_goes_has_an_outlet_or_none() -> None:
    world, controller = red()
    add(controller, flow_mod(apply=bundle(1, 2)))
    assert_equal_to_recompute(world)
    ls = world.hv.logical_switches["red"]
    intent.put_port(world.hv, "red", port_spec(9, "p9", 3, 2), world.now)
    world.pass_time(1.0)
    assert OUTLET | 9 in {each.number for each in ls.aside.entries()}
    assert_equal_to_recompute(world)


def test_what_entries_that_resubmit_write_is_looked_up_for_each_port() -> None:
    world, controller = red()
    add(controller, flow_mod(apply=actions.resubmit(1), write=actions.output(2)))
    ls = world.hv.logical_switches["red"]
    assert {port_of(each.number)[0] for each in ls.aside.entries()} >= {1, 2, 0xfffd} and not ls.aside.choosing
    assert all(port_of(each.number)[1] for each in ls.aside.entries())
    assert_equal_to_recompute(world)
    intent.put_port(world.hv, "red", port_spec(9, "p9", 3, 2), world.now)
    world.pass_time(1.0)
    assert (9, True) in {port_of(each.number) for each in ls.aside.entries()}
    assert_equal_to_recompute(world)


def test_what_is_chosen_follows_the_ports_that_are_up() -> None:
    world, controller = red()
    add(controller, flow_mod(apply=bundle(1, 2, algorithm=0)))
    before = {dpid: dict(world.switches[dpid].rules) for dpid in (1, 2, 3)}
    world.switches[1].set_port(1, up=False)
    world.pass_time(1.0)
    assert before[2] != world.switches[2].rules
    assert_equal_to_recompute(world)
    world.switches[1].set_port(1, up=True)
    world.pass_time(1.0)
    assert before[2] == world.switches[2].rules
    assert_equal_to_recompute(world)
