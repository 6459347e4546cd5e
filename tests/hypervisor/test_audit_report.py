"""An audit on demand, as operators are told of it."""
from __future__ import annotations

from typing import Any

import pytest

from hvproxy.errors import Conflict, NotFound
from hvproxy.hypervisor import audit_report
from tests.harness import Controller, World
from tests.hypervisor.worlds import a_world, add, flow_mod


def audit(world: World, dpid: int) -> Any:
    found: list[Any] = []
    audit_report.audit(world.hv, dpid, found.append, world.now)
    world.run()
    (row,) = found
    return row


def test_what_differed_is_told_with_whose_it_is() -> None:
    world = a_world()
    add(Controller(world, "red"), flow_mod())
    assert audit(world, 1) == {"dpid": "0000000000000001", "repaired": 0, "foreign": 0, "drift": []}
    switch = world.switches[1]
    del switch.rules[next(key for key in switch.rules if key[0] == 10)]
    number = next(iter(switch.groups))
    del switch.groups[number]
    row = audit(world, 1)
    assert row["repaired"] == 2
    assert [(each["kind"], each["tenant"], each["logical_switch"]) for each in row["drift"]][0] == (
        "missing", "red", "red")
    assert row["drift"][1]["what"].startswith("group 0x")
    assert audit(world, 1)["repaired"] == 0


def test_a_switch_that_is_not_there_or_not_in_use_cannot_be_compared() -> None:
    world = a_world()
    with pytest.raises(NotFound):
        audit_report.audit(world.hv, 99, lambda row: None, world.now)
    world.switches[1].disconnect()
    with pytest.raises(Conflict, match="is lost"):
        audit_report.audit(world.hv, 1, lambda row: None, world.now)


def test_there_is_no_outcome_when_the_session_ends_meanwhile() -> None:
    world = a_world()
    found: list[Any] = []
    world.switches[1].silent = True
    audit_report.audit(world.hv, 1, found.append, world.now)
    world.run()
    world.switches[1].disconnect()
    assert found == [None]
