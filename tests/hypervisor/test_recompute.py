"""The oracle reads the logical tables, the bindings and the fabric, and nothing that was computed before."""
from __future__ import annotations

from typing import Any

from hvproxy.hypervisor.recompute import recompute
from hvproxy.model.layout import Table
from hvproxy.openflow import actions, build
from hvproxy.openflow.constants import of13
from hvproxy.openflow.groups import bucket
from tests.harness import Controller, World
from tests.hypervisor.worlds import a_world, assert_equal_to_recompute, flow_mod


def busy() -> World:
    world = a_world()
    controller = Controller(world, "red")
    controller.send(build.group_mod(1, of13.OFPGC_ADD, of13.OFPGT_ALL, 7, bucket(actions.output(2)))
                    + flow_mod(apply=actions.group(7), goto=1) + flow_mod(table=1, write=actions.output(3)))
    world.run()
    return world


def contents(world: World) -> Any:
    return {dpid: (content.rules, content.groups) for dpid, content in recompute(world.hv).items()}


def test_it_computes_what_the_switches_hold() -> None:
    world = busy()
    assert_equal_to_recompute(world)
    held = contents(world)
    assert {key[0] for key in held[1][0]} == {Table.CLASSIFY, Table.LABEL, Table.TRANSIT, 10, 11}
    assert {key[0] for key in held[0x11][0]} == {Table.CLASSIFY, Table.LABEL, Table.TRANSIT}


def test_it_does_not_look_at_what_was_computed_before() -> None:
    world = busy()
    before = contents(world)
    ls = world.hv.logical_switches["red"]
    for entry in ls.tables.entries():
        entry.rules = {}
    for dp in world.hv.switches.datapaths.values():
        dp.desired.rules.clear()
        dp.desired.groups.clear()
    world.hv.rollout.target.clear()
    assert contents(world) == before


def test_it_changes_nothing() -> None:
    world = busy()
    sent = len(world.commands)
    recompute(world.hv)
    world.run()
    assert len(world.commands) == sent
    assert_equal_to_recompute(world)


def test_it_notices_a_rule_too_many_and_one_too_few() -> None:
    world = busy()
    dp = world.hv.switches.datapaths[1]
    key = next(key for key in dp.desired.rules if key[0] == 10)
    rule = dp.desired.rules.pop(key)
    assert recompute(world.hv)[1].rules != dp.desired.rules
    dp.desired.rules[key] = rule
    assert recompute(world.hv)[1].rules == dp.desired.rules


def test_every_known_datapath_has_its_base_content() -> None:
    world = a_world()
    world.hv.switches.expect(0x77, world.now)
    assert {key[0] for key in recompute(world.hv)[0x77].rules} == {Table.CLASSIFY, Table.LABEL}
