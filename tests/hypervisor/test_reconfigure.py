"""A changed configuration: what it names becomes so, what only an earlier one named goes, the rest stays."""
from __future__ import annotations

import pytest
from msgspec.structs import replace

from hvproxy.errors import Conflict
from hvproxy.hypervisor import reconfigure, replacing
from hvproxy.hypervisor.links import NamedLink
from hvproxy.hypervisor.settings import Settings
from hvproxy.hypervisor.reconfigure import Wanted, difference, differences, rows
from hvproxy.model.intent import AttachSpec, LogicalSwitchSpec, TenantSpec
from tests.harness import World, spec

LINK = NamedLink((1, 8), (2, 8))
RED = spec("red", {1: (1, 1), 2: (2, 1)})
BLUE = spec("blue", {1: (1, 2), 2: (2, 2)})
GREEN = spec("green", {1: (1, 3), 2: (2, 3)})


def wanted(*specs: LogicalSwitchSpec, links: tuple[NamedLink, ...] = (LINK,), **more: float) -> Wanted:
    """Each in the tenant that it names."""
    return Wanted(tuple(TenantSpec(name=each.tenant, logical_switches=(each,)) for each in specs), links, **more)


def a_world(*specs: LogicalSwitchSpec) -> World:
    world = World(*specs, settings=Settings(links=(LINK,), grace=0.0))
    world.hv.tenants.update(each.tenant for each in specs)
    world.add_switches(1, 2)
    world.pass_time(1.0)
    return world


def test_what_is_as_it_was_is_left_alone() -> None:
    world = a_world(RED, BLUE)
    assert not difference(world.hv, wanted(RED), wanted(RED))
    assert rows(world.hv, difference(world.hv, wanted(RED), wanted(RED))) == []


def test_what_the_file_names_no_more_goes_and_what_the_api_made_stays() -> None:
    world = a_world(RED, BLUE, GREEN)
    found = difference(world.hv, wanted(RED, BLUE), wanted(RED))
    assert found.switches == replacing.Plan((BLUE.name,), (), ())
    assert found.tenants_gone == (BLUE.tenant,) and found.tenants_made == ()
    reconfigure.end(world.hv, found)
    assert world.hv.tenants == {RED.tenant, GREEN.tenant}


def test_a_tenant_stays_while_it_has_a_logical_switch_of_the_api() -> None:
    theirs = replace(GREEN, tenant=BLUE.tenant)
    world = a_world(RED, BLUE, theirs)
    found = difference(world.hv, wanted(RED, BLUE), wanted(RED))
    assert found.switches.delete == (BLUE.name,) and found.tenants_gone == ()


def test_what_the_api_changed_of_what_the_file_names_is_changed_back() -> None:
    world = a_world(replace(RED, ports=(*RED.ports[:1],)))
    found = difference(world.hv, wanted(RED), wanted(RED))
    assert found.switches == replacing.Plan((), (RED,), ())
    (row,) = rows(world.hv, found)
    assert (row["kind"], row["name"], row["action"]) == ("logical switch", "red", "change")
    assert row["changes"] == [
        "ports[2]: nothing -> {number: 2, name: red2, attach: {datapath: 0000000000000002, port: 1}}"]


def test_another_datapath_id_makes_it_anew_and_a_new_tenant_is_made_first() -> None:
    world = a_world(RED)
    found = difference(world.hv, wanted(RED), wanted(replace(RED, datapath_id=0x99), BLUE))
    assert [(row["name"], row["action"]) for row in rows(world.hv, found)] == [
        (BLUE.tenant, "create"), ("red", "rebuild"), ("blue", "create")]


def test_a_description_sends_nothing_to_any_switch() -> None:
    world = a_world(RED)
    changed = replace(RED, description="the same in other words")
    found = difference(world.hv, wanted(RED), wanted(changed))
    assert rows(world.hv, found)[0]["changes"] == ["description:  -> the same in other words"]
    before = {dpid: len(dp.desired.rules) for dpid, dp in world.hv.switches.datapaths.items()}
    world.hv.commands()
    reconfigure.begin(world.hv, found, world.now)
    replacing.adjust(world.hv, found.switches.adjust, world.now)
    assert world.hv.commands() == [] and world.hv.logical_switches["red"].spec == changed
    assert before == {dpid: len(dp.desired.rules) for dpid, dp in world.hv.switches.datapaths.items()}


def test_links_come_and_go() -> None:
    world = a_world(RED)
    assert world.hv.fabric.reaches(1, 2)
    other = NamedLink((1, 7), (2, 7))
    found = difference(world.hv, wanted(RED), wanted(RED, links=(other,)))
    assert rows(world.hv, found) == [{"kind": "links", "name": "fabric.links", "action": "change",
                                      "changes": ["- 0x1:8 - 0x2:8", "+ 0x1:7 - 0x2:7"]}]
    reconfigure.begin(world.hv, found, world.now)
    world.pass_time(1.0)
    assert {(link.a_port, link.b_port) for link in world.hv.links.in_use} == {(7, 7)}
    found = difference(world.hv, wanted(RED, links=(other,)), wanted(RED, links=()))
    reconfigure.begin(world.hv, found, world.now)
    world.pass_time(1.0)
    assert not world.hv.fabric.reaches(1, 2)


def test_how_often_bfd_looks_changes() -> None:
    world = a_world(RED)
    assert not difference(world.hv, wanted(RED), wanted(RED, bfd_interval=0.1))
    found = difference(world.hv, wanted(RED), wanted(RED, bfd_interval=0.015))
    assert found and rows(world.hv, found) == [{"kind": "setting", "name": "fabric.bfd_interval", "action": "change",
                                                "changes": ["0.1 -> 0.015"]}]
    reconfigure.begin(world.hv, found, world.now)
    assert world.hv.tunnels.bfd_interval == 0.015


def test_a_port_that_ends_no_link_any_more_can_be_bound_in_the_same_change() -> None:
    world = a_world(RED)
    moved = replace(RED, ports=(replace(RED.ports[0], attach=AttachSpec(datapath=1, port=8)), RED.ports[1]))
    found = difference(world.hv, wanted(RED), wanted(moved, links=()))
    assert found.switches.adjust == (moved,)
    with pytest.raises(Conflict, match="end of a configured link") as raised:
        difference(world.hv, wanted(RED), wanted(moved))
    assert raised.value.path == "tenants[0].logical_switches[0].ports[0].attach"


def test_a_link_cannot_end_at_a_port_that_the_api_has_bound() -> None:
    world = a_world(RED, BLUE)
    with pytest.raises(Conflict, match="port 2 of logical switch blue"):
        difference(world.hv, wanted(RED), wanted(RED, links=(LINK, NamedLink((1, 7), (2, 2)))))


def test_differences_name_their_places() -> None:
    old = {"a": 1, "ports": [{"number": 1, "name": "x"}, {"number": 2}], "listen": ["p", "q"]}
    new = {"a": 1, "ports": [{"number": 2}, {"number": 1, "name": "y"}], "listen": ["q"], "b": True}
    assert list(differences(old, new)) == ["ports[1].name: x -> y", "listen[p]: p -> nothing", "b: nothing -> True"]
