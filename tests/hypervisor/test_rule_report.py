"""What operators are told of a physical switch's rules and groups: whose, why, and how often they were met."""
from __future__ import annotations

import json
from typing import Any

import pytest

from hvproxy.errors import NotFound
from hvproxy.hypervisor import rule_report
from hvproxy.model.layout import GroupKind
from hvproxy.openflow import actions, build
from hvproxy.openflow.constants import of13
from hvproxy.openflow.groups import bucket
from hvproxy.openflow.oxm import tlv
from tests.harness import World
from tests.hypervisor.worlds import add, flow_mod, in_port, red


def told(world: World, dpid: int = 1, groups: bool = False) -> list[dict[str, Any]]:
    """The rows, once the switch has answered."""
    rows: list[list[dict[str, Any]]] = []
    (rule_report.groups if groups else rule_report.rules)(world.hv, dpid, rows.append, world.now)
    world.run()
    (found,) = rows
    assert json.loads(json.dumps(found)) == found
    return found


def test_an_entrys_rule_tells_the_entry_as_its_tenant_knows_it() -> None:
    world, controller = red()
    add(controller, flow_mod(table=1, match=in_port(1), apply=actions.output(2), cookie=0xABC))
    world.switches[1].count(11, 5, 300)
    (row,) = [row for row in told(world) if row["table"] == 11]
    assert {key: row[key] for key in ("tenant", "logical_switch", "entry", "tenant_cookie", "tenant_table",
                                      "tenant_priority", "tenant_match", "packets", "bytes", "why")} == {
        "tenant": "red", "logical_switch": "red", "entry": 1, "tenant_cookie": "0xabc", "tenant_table": 1,
        "tenant_priority": 5, "tenant_match": "in_port=1", "packets": 5, "bytes": 300, "why": "entry 1 of red"}
    assert row["names"] == ["group 0x50010002 sends to red/2"]


def test_rules_are_in_the_order_of_the_pipeline_and_none_is_left_out() -> None:
    world, controller = red()
    add(controller, flow_mod(apply=actions.output(2)))
    rows = told(world)
    assert len(rows) == len(world.switches[1].rules)
    order = [(row["table"], -row["priority"]) for row in rows]
    assert order == sorted(order)
    assert all(row["why"] and row["packets"] == 0 for row in rows)


def test_ports_and_labels_of_the_fabrics_rules_are_named() -> None:
    world, _ = red()
    ls = world.hv.logical_switches["red"]
    label = world.hv.fabric.labels.used["deliver", ls.ls_id, ls.ports[2].index]
    names = {row["match"]: row["names"] for row in told(world, 0x12)}
    assert names["in_port=1"] == ["port 1 is s12-1"]
    assert names[f"dl_vlan={label}"] == [f"label {label}, frames for red/2"]
    row = next(row for row in told(world) if row["match"] == "in_port=1")
    assert (row["tenant"], row["logical_switch"], row["entry"], row["tenant_match"]) == ("red", "red", None, None)
    drop = next(row for row in told(world) if not row["match"] and row["table"] == 0)
    assert (drop["tenant"], drop["logical_switch"], drop["why"]) == (
        None, None, "drops frames of ports that nothing is bound to")


def test_groups_tell_what_they_reach_and_count() -> None:
    world, controller = red()
    add(controller, build.group_mod(8, of13.OFPGC_ADD, of13.OFPGT_ALL, 77, bucket(actions.output(1))))
    number = GroupKind.LPORT << 28 | 1 << 16 | 1
    world.switches[1].group_counts[number] = (7, 420)
    rows = {row["group_id"]: row for row in told(world, groups=True)}
    assert rows[f"{number:#x}"] == {
        "group_id": f"{number:#x}", "type": "indirect", "buckets": ["actions=output:1"], "tenant": "red",
        "logical_switch": "red", "packets": 7, "bytes": 420, "names": ["port 1 is s1-1"], "why": "sends to red/1"}
    (mine,) = [row for row in rows.values() if row["why"] == "group 77 of red"]
    assert mine["names"] == [f"group {number:#x} sends to red/1"]
    assert len(rows) == len(world.switches[1].groups)


def test_what_a_switch_that_is_away_has_counted_is_not_known() -> None:
    world, controller = red()
    add(controller, flow_mod(match=tlv(5, 0x0806), apply=actions.output(2)))
    world.switches[1].disconnect()
    for groups in (False, True):
        rows = told(world, groups=groups)
        assert rows and all(row["packets"] is None and row["bytes"] is None and row["why"] for row in rows)


def test_nothing_is_told_before_the_switch_has_answered() -> None:
    world, _ = red()
    rows: list[Any] = []
    rule_report.rules(world.hv, 1, rows.append, world.now)
    assert not rows
    world.run()
    assert rows


def test_a_datapath_that_is_not_there_is_not_found() -> None:
    world, _ = red()
    for ask in (rule_report.rules, rule_report.groups):
        with pytest.raises(NotFound):
            ask(world.hv, 77, print, world.now)
