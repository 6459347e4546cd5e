"""Logical switches turned into what is wanted instead: in place where that can be, and the oracle agrees."""
from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from hvproxy.errors import Conflict, Exhausted
from hvproxy.hypervisor import replacing, report
from hvproxy.hypervisor.commands import Dial, Listen, StopDialing
from hvproxy.hypervisor.links import NamedLink
from hvproxy.hypervisor.settings import Settings
from hvproxy.hypervisor.recompute import recompute
from hvproxy.model.address import Address
from hvproxy.model.intent import AttachSpec, LogicalSwitchSpec
from hvproxy.model.layout import ContextLayout
from hvproxy.openflow.constants import of13
from hvproxy.openflow.multipart import Kind, multipart_request
from tests.harness import Controller, World, spec
from tests.hypervisor.worlds import add, flow_mod

LINK = NamedLink((1, 8), (2, "s2-8"))
RED = spec("red", {1: (1, 1), 2: (2, 1), 3: (1, 3, 20)})
BLUE = spec("blue", {1: (1, 2), 2: (2, 2)})


def a_world(**more: Any) -> World:
    world = World(RED, BLUE, settings=Settings(links=(LINK,), grace=0.0, **more))
    world.add_switches(1, 2)
    world.pass_time(1.0)
    return world


def adjust(world: World, *specs: LogicalSwitchSpec) -> None:
    """In place, and equal to a core that never had anything else."""
    planned = replacing.plan(world.hv, specs, [each.name for each in specs])
    assert planned == replacing.Plan((), specs, ())
    replacing.adjust(world.hv, planned.adjust, world.now)
    world.pass_time(1.0)
    for each in specs:
        assert report.spec_of(world.hv.logical_switches[each.name]) == each
    wanted = recompute(world.hv)
    for dpid, dp in world.hv.switches.datapaths.items():
        assert dp.desired.rules == wanted[dpid].rules and dp.desired.groups == wanted[dpid].groups


def up(world: World, name: str) -> set[int]:
    return {port.number for port in world.hv.logical_switches[name].ports.values() if port.up}


def test_ports_swap_their_places() -> None:
    world = a_world()
    one, two, three = RED.ports
    adjust(world, replace(RED, ports=(replace(one, attach=two.attach), replace(two, attach=one.attach), three)))
    assert up(world, "red") == {1, 2, 3} and not world.hv.switches.alarms


def test_ports_swap_their_places_over_logical_switches() -> None:
    world = a_world()
    red, blue = RED.ports[0], BLUE.ports[0]
    adjust(world, replace(RED, ports=(replace(red, attach=blue.attach), *RED.ports[1:])),
           replace(BLUE, ports=(replace(blue, attach=red.attach), *BLUE.ports[1:])))
    assert up(world, "red") == {1, 2, 3} and up(world, "blue") == {1, 2} and not world.hv.switches.alarms


def test_a_port_that_nobody_displaces_moves_without_going_down() -> None:
    world = a_world()
    controller = Controller(world, "red")
    adjust(world, spec("red", {1: (1, 1), 2: (2, 5), 3: (1, 3, 20)}))
    world.pass_time(3.0)
    adjust(world, spec("red", {1: (1, 1), 2: (1, 6), 3: (1, 3, 20)}))
    controller.take()


def test_ports_swap_their_names_and_the_tenant_is_told() -> None:
    world = a_world()
    controller = Controller(world, "red")
    one, two, three = RED.ports
    adjust(world, replace(RED, ports=(replace(one, name=two.name), replace(two, name=one.name), three)))
    told = controller.take("PORT_STATUS", "PORT_STATUS")
    assert [(m.reason, m.desc.port_no, m.desc.name) for m in told] == [
        (of13.OFPPR_MODIFY, 1, b"red2"), (of13.OFPPR_MODIFY, 2, b"red1")]


def test_ports_come_and_go() -> None:
    world = a_world()
    controller = Controller(world, "red")
    late = replace(RED.ports[1], number=9, name="late")
    adjust(world, replace(RED, ports=(RED.ports[0], late)))
    assert up(world, "red") == {1, 9}
    world.run()
    reasons = [(m[8], int.from_bytes(m[16:20], "big")) for m in controller.messages]
    assert reasons[0] == (of13.OFPPR_DELETE, 2) and (of13.OFPPR_ADD, 9) in reasons


def test_nothing_is_sent_for_what_stays() -> None:
    world = a_world()
    before = [(switch.flow_mods, switch.group_mods) for switch in world.switches.values()]
    adjust(world, replace(RED, description="other words", tenant="else"), BLUE)
    assert [(switch.flow_mods, switch.group_mods) for switch in world.switches.values()] == before
    assert world.hv.logical_switches["red"].tenant == "else"


def test_tables_hold_as_many_entries_as_said_and_keep_those_they_have() -> None:
    world = a_world()
    controller = Controller(world, "red")
    full = (of13.OFPET_FLOW_MOD_FAILED, of13.OFPFMFC_TABLE_FULL)
    adjust(world, replace(RED, table_size=2))
    add(controller, flow_mod(priority=1), flow_mod(priority=2), flow_mod(priority=1, table=1))
    assert controller.refused(flow_mod(priority=3)) == full
    add(controller, flow_mod(priority=2, cookie=5))
    features = controller.ask(multipart_request(3, Kind.TABLE_FEATURES)).body
    assert {each.max_entries for each in features} == {2}
    adjust(world, replace(RED, table_size=1))
    assert len(world.hv.logical_switches["red"].tables) == 3
    assert controller.refused(flow_mod(priority=3)) == full
    adjust(world, RED)
    add(controller, flow_mod(priority=3))


def test_controllers_are_left_and_dialled() -> None:
    world = a_world()
    old, new = Address.parse("tcp:127.0.0.1:6653"), Address.parse("tcp:127.0.0.1:6654")
    adjust(world, replace(RED, controllers=(old,)))
    controller = Controller(world, "red")
    world.commands.clear()
    adjust(world, replace(RED, controllers=(new,), listen=(Address.parse("ptcp:7000"),)))
    asked = [each for each in world.commands if isinstance(each, (Dial, Listen, StopDialing))]
    assert asked == [StopDialing(f"red {old}"), Dial(f"red {new}", str(new)),
                     Listen("red ptcp:7000:0.0.0.0", "ptcp:7000:0.0.0.0")]
    assert controller.closed is not None and not world.hv.logical_switches["red"].sessions


def test_while_switches_are_unknown_new_controllers_wait_as_the_others() -> None:
    world = World(RED, settings=Settings(grace=5.0))
    new = Address.parse("tcp:127.0.0.1:6654")
    replacing.adjust(world.hv, [replace(RED, controllers=(new,))], world.now)
    world.run()
    assert not [each for each in world.commands if isinstance(each, Dial)]
    world.pass_time(6.0)
    assert [each for each in world.commands if isinstance(each, Dial)] == [Dial(f"red {new}", str(new))]


@pytest.mark.parametrize("change", [{"datapath_id": 0xFF}, {"tables": 3}])
def test_what_controllers_take_for_the_switch_itself_cannot_change_in_place(change: dict[str, Any]) -> None:
    wanted = replace(RED, **change)
    assert replacing.plan(a_world().hv, [wanted], ["red"]) == replacing.Plan(("red",), (), (wanted,))


def test_a_plan_deletes_what_is_not_wanted_and_creates_what_is_not_there() -> None:
    green = spec("green", {1: (1, 2)}, dpid=BLUE.datapath_id)
    assert replacing.plan(a_world().hv, [RED, green], ["red", "blue"]) == replacing.Plan(("blue",), (RED,), (green,))


@pytest.mark.parametrize("wanted, path", [
    (replace(RED, name="blue", datapath_id=0xCC, ports=()), "name"),
    (replace(RED, datapath_id=BLUE.datapath_id), "datapath_id"),
    (replace(RED, ports=(replace(RED.ports[0], attach=BLUE.ports[0].attach),)), "ports[0].attach"),
    (replace(RED, ports=(RED.ports[0], replace(RED.ports[1], attach=AttachSpec(datapath=1, port="s1-2")))),
     "ports[1].attach"),
    (replace(RED, ports=(replace(RED.ports[0], attach=AttachSpec(datapath=1, port=8, vlan=5)),)), "ports[0].attach"),
    (replace(RED, ports=(replace(RED.ports[0], attach=AttachSpec(datapath=2, port=8)),)), "ports[0].attach"),
])
def test_what_contradicts_others_is_refused(wanted: LogicalSwitchSpec, path: str) -> None:
    world = a_world()
    with pytest.raises(Conflict) as caught:
        replacing.plan(world.hv, [wanted], ["red"])
    assert caught.value.path == path
    with pytest.raises(Conflict) as caught:
        replacing.plan(world.hv, [replace(RED, ports=()), wanted], ["red"], prefix="logical_switches[{}].".format)
    assert caught.value.path == f"logical_switches[1].{path}"


def test_a_listener_in_the_way_of_anothers_is_refused() -> None:
    world = a_world()
    adjust(world, replace(BLUE, listen=(Address.parse("ptcp:7000:127.0.0.1"),)))
    with pytest.raises(Conflict) as caught:
        replacing.plan(world.hv, [replace(RED, listen=(Address.parse("ptcp:7000"),))], ["red"])
    assert caught.value.path == "listen[0]"


def test_more_ports_than_the_metadata_can_name_are_refused() -> None:
    world = World(settings=Settings(layout=ContextLayout(12, 2)))
    ports = {number: (1, number) for number in range(1, 5)}
    with pytest.raises(Exhausted):
        replacing.plan(world.hv, [spec("red", ports)])  # type: ignore[arg-type]
