"""When switches are compared, and what is said of it."""
from __future__ import annotations

from typing import Any

from hvproxy.hypervisor.audit import Drift
from hvproxy.hypervisor.commands import Log
from hvproxy.openflow.oxm import ofp_match
from tests.harness import Controller, World
from tests.hypervisor.worlds import a_world, add, flow_mod


def logged(world: World, event: str) -> list[dict[str, Any]]:
    return [each.fields for each in world.commands if isinstance(each, Log) and each.event == event]


def rounds(world: World) -> int:
    return min(world.hv.auditing.audits.get(dpid, 0) for dpid in world.hv.switches.datapaths)


def test_all_switches_are_compared_every_period_and_nothing_is_sent_to_good_ones() -> None:
    world = a_world(audit=60.0)
    sent = [each.flow_mods + each.group_mods for each in world.switches.values()]
    world.pass_time(61.0)
    assert rounds(world) == 1
    world.pass_time(60.0)
    assert rounds(world) == 2 and world.hv.auditing.found == {} and logged(world, "drift") == []
    assert [each.flow_mods + each.group_mods for each in world.switches.values()] == sent


def test_without_a_period_none_is_compared_unless_asked() -> None:
    world = a_world()
    world.pass_time(1000.0)
    assert world.hv.auditing.audits == {}


def test_drift_is_repaired_counted_and_logged_with_its_owner() -> None:
    world = a_world(audit=60.0)
    add(Controller(world, "red"), flow_mod(cookie=7))
    switch = world.switches[1]
    key = next(key for key in switch.rules if key[0] == 10)
    del switch.rules[key]
    foreign = (9, 1, ofp_match(b"")[4:4])
    switch.rules[foreign] = (5, b"", 0)
    world.pass_time(61.0)
    assert key in switch.rules and foreign in switch.rules
    assert world.hv.auditing.found == {(1, "missing"): 1} and world.hv.auditing.foreign[1] == 1
    assert world.hv.switches.alarms["a switch did not hold what it should"] == 1
    missing, other = logged(world, "drift")
    assert missing["kind"] == "missing" and missing["logical_switch"] == "red" and "entry" in missing["why"]
    assert other["kind"] == "foreign" and other["what"].startswith("table=9,priority=1")


def test_what_is_foreign_goes_where_that_is_configured() -> None:
    world = a_world(audit=60.0, remove_foreign=True)
    world.switches[2].rules[9, 1, b""] = (5, b"", 0)
    world.pass_time(61.0)
    assert (9, 1, b"") not in world.switches[2].rules
    world.pass_time(60.0)
    assert world.hv.auditing.foreign[2] == 0


def test_who_asks_while_a_switch_is_compared_gets_the_same_answer() -> None:
    world = a_world()
    dp = world.hv.switches.datapaths[1]
    found: list[Drift | None] = []
    world.switches[1].silent = True
    for _ in range(2):
        world.hv.auditing.audit(world.hv, dp, lambda drift, now: found.append(drift), world.now)
    world.run()
    assert found == []
    world.switches[1].answer()
    world.run()
    assert len(found) == 2 and found[0] is found[1] is not None


def test_a_switch_that_goes_does_not_keep_the_others_from_being_compared() -> None:
    world = a_world(audit=60.0)
    world.switches[1].silent = True
    world.pass_time(61.0)
    assert rounds(world) == 0
    world.switches[1].disconnect()
    world.pass_time(1.0)
    assert all(world.hv.auditing.audits[dpid] == 1 for dpid in (2, 3, 0x11, 0x12))


def test_much_drift_is_summed_up() -> None:
    world = a_world(audit=60.0)
    for number in range(30):
        world.switches[1].rules[9, number, b""] = (5, b"", 0)
    world.pass_time(61.0)
    assert len(logged(world, "drift")) == 20 and logged(world, "more drift")[0]["number"] == 10
