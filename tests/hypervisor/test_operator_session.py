"""The operator's own session: it gives orders, hears how they end, and nothing else."""
from __future__ import annotations

from hvproxy.errors import Refused
from hvproxy.hypervisor import report
from hvproxy.hypervisor.operator_session import PEER, OperatorSession
from tests.harness import Controller
from tests.hypervisor.worlds import flow_mod, red


def test_it_hears_when_the_switches_have_confirmed_and_nobody_else_does() -> None:
    world, controller = red()
    ls = world.hv.logical_switches["red"]
    ended: list[Refused | None] = []
    session = OperatorSession(ls, world.now)
    world.switches[1].hold_barriers = True
    session.commit([flow_mod()], lambda refused, at: ended.append(refused), world.now)
    world.run()
    assert ended == []
    world.switches[1].release()
    world.run()
    assert ended == [None] and len(ls.tables) == 1
    session.end()
    assert list(ls.sessions) == [controller.conn] and not controller.messages


def test_it_hears_the_first_reason_why_nothing_was_done() -> None:
    world, _ = red()
    ls = world.hv.logical_switches["red"]
    ended: list[Refused | None] = []
    session = OperatorSession(ls, world.now)
    session.commit([flow_mod(), flow_mod(table=99)], lambda refused, at: ended.append(refused), world.now)
    world.run()
    (refused,) = ended
    assert refused is not None and refused.experimenter is None and len(ls.tables) == 0


def test_it_is_no_controller_to_operators_and_gets_no_news() -> None:
    world, _ = red()
    ls = world.hv.logical_switches["red"]
    session = OperatorSession(ls, world.now)
    assert all(row["address"] != PEER for row in report.controllers(world.hv, "red"))
    Controller(world, "red").send(flow_mod())
    world.switches[1].set_port(1, False)
    world.pass_time(60.0)
    assert ls.sessions[session.conn] is session
