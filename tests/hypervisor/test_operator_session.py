"""The operator's own session: it gives orders, hears how they end, and nothing else."""
from __future__ import annotations

from collections.abc import Iterable, Iterator

from hvproxy.errors import Refused
from hvproxy.hypervisor import report
from hvproxy.hypervisor.operator_session import PEER, WORK, OperatorSession, Order
from hvproxy.hypervisor.settings import Settings
from hvproxy.openflow.constants import of13
from tests.harness import Controller, World, spec
from tests.hypervisor.worlds import add, assert_equal_to_recompute, flow_mod, red

TABLE_FULL = (of13.OFPET_FLOW_MOD_FAILED, of13.OFPFMFC_TABLE_FULL)


class Operator:
    """A session with red, and how what was ordered in it ended."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.ls = world.hv.logical_switches["red"]
        self.session = OperatorSession(self.ls, world.now)
        self.ended: list[Refused | None] = []

    def commit(self, orders: Iterable[Order]) -> None:
        self.session.commit(orders, lambda refused, at: self.ended.append(refused), self._world.now)


def test_it_hears_when_the_switches_have_confirmed_and_nobody_else_does() -> None:
    world, controller = red()
    operator = Operator(world)
    world.switches[1].hold_barriers = True
    operator.commit([Order(flow_mod())])
    world.run()
    assert operator.ended == []
    world.switches[1].release()
    world.run()
    assert operator.ended == [None] and len(operator.ls.tables) == 1
    operator.session.end()
    assert list(operator.ls.sessions) == [controller.conn] and not controller.messages


def test_it_hears_the_first_reason_why_nothing_was_done() -> None:
    world, _ = red()
    operator = Operator(world)
    operator.commit(map(Order, (flow_mod(), flow_mod(table=99))))
    world.pass_time(0.1)
    (refused,) = operator.ended
    assert refused is not None and refused.experimenter is None and len(operator.ls.tables) == 0


def many(number: int) -> Iterator[Order]:
    return (Order(flow_mod(priority=each)) for each in range(1, number + 1))


def test_many_are_carried_out_in_portions_each_when_the_switches_have_confirmed_the_last() -> None:
    world, _ = red()
    operator = Operator(world)
    world.switches[1].hold_barriers = True
    operator.commit(many(WORK))
    world.pass_time(1.0)
    assert len(operator.ls.edges) == 3 and len(operator.ls.tables) == WORK // 3
    world.switches[1].hold_barriers = False
    world.switches[1].release()
    world.run()
    assert operator.ended == [None] and len(operator.ls.tables) == WORK
    assert_equal_to_recompute(world)


def test_where_no_switch_is_there_to_confirm_each_portion_has_a_turn_of_its_own() -> None:
    world = World(spec("red", {1: (1, 1)}), settings=Settings(grace=0.0))
    world.pass_time(1.0)
    operator = Operator(world)
    operator.commit(many(2 * WORK))
    world.run()
    assert not operator.ended and len(operator.ls.tables) == WORK
    world.pass_time(0.1)
    assert operator.ended == [None] and len(operator.ls.tables) == 2 * WORK


def test_what_is_refused_late_takes_all_portions_back() -> None:
    world, controller = red()
    add(controller, flow_mod(priority=7, cookie=7))
    operator = Operator(world)
    world.switches[2].hold_barriers = True
    operator.commit(many(WORK))
    world.run()
    world.switches[2].refuse = TABLE_FULL
    world.switches[2].hold_barriers = False
    world.switches[2].release()
    world.run()
    world.switches[2].refuse = None
    world.pass_time(1.0)
    (refused,) = operator.ended
    assert refused is not None and (refused.error_type, refused.code) == TABLE_FULL
    assert [entry.cookie for entry in operator.ls.tables.entries()] == [7]
    assert_equal_to_recompute(world)


def test_who_is_abandoned_carries_out_no_more() -> None:
    world, _ = red()
    operator = Operator(world)
    world.switches[1].hold_barriers = True
    operator.commit(many(WORK))
    operator.session.abandon("it is over", world.now)
    operator.session.end()
    world.switches[1].release()
    world.pass_time(1.0)
    assert [str(each) for each in operator.ended] == ["it is over"] and len(operator.ls.tables) == WORK // 3


def test_it_is_no_controller_to_operators_and_gets_no_news() -> None:
    world, _ = red()
    operator = Operator(world)
    assert all(row["address"] != PEER for row in report.controllers(world.hv, "red"))
    Controller(world, "red").send(flow_mod())
    world.switches[1].set_port(1, False)
    world.pass_time(60.0)
    assert operator.ls.sessions[operator.session.conn] is operator.session
