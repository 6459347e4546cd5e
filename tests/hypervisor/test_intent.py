"""What the operator wants to exist: all of it or nothing changed."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from hvproxy.errors import Conflict, Exhausted, ModelError, NotFound
from hvproxy.hypervisor import intent
from hvproxy.hypervisor.commands import Dial, Listen, StopDialing, StopListening
from hvproxy.hypervisor.settings import Settings
from hvproxy.model.address import Address
from hvproxy.model.intent import LogicalSwitchSpec, parse
from hvproxy.model.layout import ContextLayout
from hvproxy.openflow import actions, build
from hvproxy.openflow.constants import of13
from tests.harness import Controller, World, parsed, spec
from tests.hypervisor.worlds import a_world, assert_equal_to_recompute, flow_mod, in_port, port_spec

PORTS: dict[int, Any] = {1: (1, 1), 2: (2, 1)}


def state(world: World) -> Any:
    """All that a refused request must leave alone."""
    hv = world.hv
    return (
        {name: {n: (p.spec, p.index, p.vif) for n, p in ls.ports.items()} for name, ls in hv.logical_switches.items()},
        dict(hv.by_id), dict(hv.fabric.labels.used), set(hv.serving.waiting), set(hv.switches.datapaths),
        {dpid: (dict(dp.desired.rules), dict(dp.desired.groups)) for dpid, dp in hv.switches.datapaths.items()},
    )


def refused(world: World, ask: Callable[[], object], kind: type[ModelError]) -> str:
    """The path that a refused request names; nothing has changed."""
    before = state(world)
    with pytest.raises(kind) as error:
        ask()
    world.run()
    assert state(world) == before
    return error.value.path


def create(world: World, wanted: LogicalSwitchSpec) -> None:
    intent.create_logical_switch(world.hv, wanted, world.now)
    world.pass_time(1.0)


def statuses(controller: Controller) -> list[tuple[int, int, int]]:
    """(reason, port, state) of the PORT_STATUS that have come."""
    controller.world.run()
    messages, controller.messages = controller.messages, []
    return [(m.reason, m.desc.port_no, m.desc.state) for m in map(parsed, messages)]


DOWN, LIVE = of13.OFPPS_LINK_DOWN, of13.OFPPS_LIVE
LOST = [(of13.OFPPR_MODIFY, 2, 0), (of13.OFPPR_MODIFY, 2, DOWN)]


# Creating

@pytest.mark.parametrize("wanted, path", [
    (spec("red", {}, dpid=9), "name"),
    (spec("white", {}, dpid=0xA3), "datapath_id"),
    (spec("white", {5: (3, 1), 7: (1, 1)}, dpid=9), "ports[1].attach"),
    (spec("white", {7: (1, 7)}, dpid=9), "ports[0].attach"),
])
def test_what_contradicts_what_exists_is_refused(wanted: LogicalSwitchSpec, path: str) -> None:
    world = a_world(spec("red", PORTS))
    assert refused(world, lambda: intent.create_logical_switch(world.hv, wanted, world.now), Conflict) == path


def test_a_vif_is_the_same_by_name_and_by_number() -> None:
    world = a_world(spec("red", PORTS))
    wanted = parse(LogicalSwitchSpec, {"name": "white", "datapath_id": 9, "ports": [
        {"number": 1, "name": "w1", "attach": {"datapath": 1, "port": "s1-1"}}]}, tenant="white")
    assert refused(world, lambda: intent.create_logical_switch(world.hv, wanted, world.now), Conflict)


def test_another_vlan_of_a_port_is_another_vif() -> None:
    world = a_world(spec("red", {1: (1, 1)}))
    create(world, spec("white", {1: (1, 1, 5)}, dpid=9))
    assert_equal_to_recompute(world)


def test_more_logical_switches_or_ports_than_the_layout_holds_are_refused() -> None:
    world = a_world(spec("red", PORTS), layout=ContextLayout(1, 2))
    assert refused(world, lambda: intent.create_logical_switch(world.hv, spec("white", {}, dpid=9), world.now),
                   Exhausted) == ""
    wide = a_world(spec("red", PORTS), layout=ContextLayout(4, 2))
    four = spec("white", {number: (3, number) for number in range(1, 5)}, dpid=9)
    assert refused(wide, lambda: intent.create_logical_switch(wide.hv, four, wide.now), Exhausted) == "ports"


def test_controllers_are_dialled_once_all_switches_are_known() -> None:
    world = World(msgspec.structs.replace(
        spec("red", PORTS), controllers=(Address.parse("tcp:127.0.0.1:6653"),), listen=(Address.parse("ptcp:6654"),)))
    assert not [c for c in world.hv.commands() if isinstance(c, Dial | Listen)]
    world.add_switches(1, 2)
    world.pass_time(3.0)
    assert [type(c) for c in world.commands if isinstance(c, Dial | Listen)] == [Dial, Listen]
    intent.delete_logical_switch(world.hv, "red", lambda at: None, world.now)
    world.run()
    assert [type(c) for c in world.commands if isinstance(c, StopDialing | StopListening)] == [
        StopDialing, StopListening]


# Labels

def test_a_logical_switch_for_which_there_are_no_labels_is_refused() -> None:
    world = a_world(spec("red", PORTS), first_vid=2, last_vid=6)  # red needs four of these five
    wanted = spec("white", {1: (1, 2), 2: (2, 2)}, dpid=9)
    assert refused(world, lambda: intent.create_logical_switch(world.hv, wanted, world.now), Exhausted) == "ports"
    create(world, spec("white", {1: (1, 2), 2: (1, 3)}, dpid=9))  # on one edge it needs none


def test_labels_are_promised_before_the_switches_are_there() -> None:
    world = World(spec("red", PORTS), settings=Settings(first_vid=2, last_vid=6))
    assert not world.hv.fabric.labels.used
    wanted = spec("white", {1: (1, 2), 2: (2, 2)}, dpid=9)
    assert refused(world, lambda: intent.create_logical_switch(world.hv, wanted, world.now), Exhausted) == "ports"


def test_a_port_for_which_there_is_no_label_is_refused() -> None:
    world = a_world(spec("red", PORTS), first_vid=2, last_vid=6)
    assert refused(world, lambda: intent.put_port(world.hv, "red", port_spec(3, "red3", 3, 1), world.now),
                   Exhausted) == "attach"
    assert intent.put_port(world.hv, "red", port_spec(3, "red3", 1, 5), world.now)  # one more label is there
    world.pass_time(1.0)
    assert_equal_to_recompute(world)


def test_labels_that_still_rest_keep_ports_down_a_moment_and_disturb_nothing_else() -> None:
    world = a_world(spec("red", PORTS), spec("black", {1: (1, 5), 2: (1, 6)}), first_vid=2, last_vid=5)
    black = Controller(world, "black")
    intent.delete_logical_switch(world.hv, "red", lambda at: None, world.now)
    intent.create_logical_switch(world.hv, spec("white", PORTS, dpid=9), world.now)
    controller = Controller(world, "white")
    world.pass_time(0.5)
    ports = controller.ask(build.port_desc_request(3)).body
    assert [port.state for port in ports] == [DOWN, DOWN]
    assert world.hv.switches.alarms[
        "no identifiers left: logical ports stay down; widen fabric.vlan_range, or delete ports"] >= 1
    assert_equal_to_recompute(world)
    controller.send(flow_mod(apply=actions.output(2)) + build.barrier_request(4))
    controller.take("BARRIER_REPLY")
    black.send(flow_mod(apply=actions.output(2)) + build.barrier_request(4))
    black.take("BARRIER_REPLY")
    world.pass_time(5.0)
    assert sorted(statuses(controller)) == [(of13.OFPPR_MODIFY, 1, LIVE), (of13.OFPPR_MODIFY, 2, LIVE)]
    assert_equal_to_recompute(world)


# Ports

def test_a_new_port_is_told_and_comes_up_when_it_is_carried() -> None:
    world = a_world(spec("red", PORTS))
    controller = Controller(world, "red")
    assert intent.put_port(world.hv, "red", port_spec(3, "red3", 3, 1), world.now)
    world.pass_time(1.0)
    assert statuses(controller) == [(of13.OFPPR_ADD, 3, DOWN), (of13.OFPPR_MODIFY, 3, LIVE)]
    assert_equal_to_recompute(world)


def test_an_unbound_port_stays_down() -> None:
    world = a_world(spec("red", PORTS))
    controller = Controller(world, "red")
    intent.put_port(world.hv, "red", port_spec(3, "red3"), world.now)
    world.pass_time(1.0)
    assert statuses(controller) == [(of13.OFPPR_ADD, 3, DOWN)]


def test_a_port_can_be_renamed_without_moving() -> None:
    world = a_world(spec("red", PORTS))
    controller = Controller(world, "red")
    mods = sum(s.flow_mods + s.group_mods for s in world.switches.values())
    assert not intent.put_port(world.hv, "red", port_spec(2, "other", 2, 1), world.now)
    (status,) = controller.take("PORT_STATUS")
    assert (status.reason, status.desc.name, status.desc.state) == (of13.OFPPR_MODIFY, b"other", LIVE)
    assert sum(s.flow_mods + s.group_mods for s in world.switches.values()) == mods


def test_a_port_that_moves_to_a_part_of_a_physical_port_is_down_in_between() -> None:
    world = a_world(spec("red", PORTS))
    controller = Controller(world, "red")
    intent.put_port(world.hv, "red", port_spec(2, "red2", 3, 1, 9), world.now)
    world.pass_time(1.0)
    assert statuses(controller) == [*LOST, (of13.OFPPR_MODIFY, 2, LIVE)]


def test_a_port_that_moves_twice_at_once_is_up_only_where_it_ends() -> None:
    world = a_world(spec("red", PORTS))
    controller = Controller(world, "red")
    world.switches[3].hold_barriers = True
    intent.put_port(world.hv, "red", port_spec(2, "red2", 3, 1, 9), world.now)
    world.run()
    intent.put_port(world.hv, "red", port_spec(2, "red2", 3, 2), world.now)
    world.pass_time(0.1)
    assert statuses(controller) == LOST
    world.switches[3].release()
    world.pass_time(1.0)
    assert statuses(controller) == [(of13.OFPPR_MODIFY, 2, LIVE)]
    assert_equal_to_recompute(world)


def test_late_counters_of_a_place_that_was_left_do_not_bring_a_port_up() -> None:
    world = a_world(spec("red", PORTS))
    controller = Controller(world, "red")
    switch = world.switches[3]
    switch.silent = True
    intent.put_port(world.hv, "red", port_spec(2, "red2", 3, 1, 9), world.now)
    world.run()
    assert switch.unanswered
    switch.hold_barriers = True
    intent.put_port(world.hv, "red", port_spec(2, "red2", 3, 2), world.now)
    world.run()
    switch.answer()
    assert statuses(controller) == LOST
    switch.release()
    assert statuses(controller) == [(of13.OFPPR_MODIFY, 2, LIVE)]


def test_ports_in_the_way_of_others_are_refused() -> None:
    world = a_world(spec("red", PORTS))

    def put(*at: int, number: int = 3, name: str = "red3") -> Callable[[], object]:
        return lambda: intent.put_port(world.hv, "red", port_spec(number, name, *at), world.now)

    assert refused(world, put(1, 1), Conflict) == "attach"
    assert refused(world, put(1, 7), Conflict) == "attach"
    assert refused(world, put(3, 1, name="red1"), Conflict) == "name"
    with pytest.raises(NotFound):
        intent.put_port(world.hv, "blue", port_spec(1, "b"), world.now)


def test_a_deleted_port_is_told_and_nothing_of_it_stays() -> None:
    world = a_world(spec("red", {**PORTS, 3: (3, 1)}))
    controller = Controller(world, "red")
    controller.send(flow_mod(match=in_port(3), apply=actions.output(2)) + flow_mod(apply=actions.output(3)))
    world.run()
    done: list[float] = []
    intent.delete_port(world.hv, "red", 3, done.append, world.now)
    world.run()
    assert [status[:2] for status in statuses(controller)] == [(of13.OFPPR_DELETE, 3)]
    assert done
    assert {rule[1] for key, rule in world.switches[3].rules.items() if key[0] == 10} == {b""}, "they do nothing"
    world.pass_time(3.0)
    assert not world.switches[3].cookies()
    assert_equal_to_recompute(world)
    with pytest.raises(NotFound):
        intent.delete_port(world.hv, "red", 3, done.append, world.now)


def test_an_entry_comes_to_life_with_its_port() -> None:
    world = a_world(spec("red", PORTS))
    controller = Controller(world, "red")
    controller.send(flow_mod(match=in_port(3), apply=actions.output(2)) + flow_mod(apply=actions.output(3)))
    world.run()
    assert not world.switches[3].cookies()
    intent.put_port(world.hv, "red", port_spec(3, "red3", 3, 1), world.now)
    world.pass_time(1.0)
    assert len(world.switches[3].cookies()) == 2
    assert_equal_to_recompute(world)


def test_an_index_is_not_used_again_as_long_as_there_are_others() -> None:
    world = a_world(spec("red", PORTS))
    seen = set()
    for _ in range(5):
        intent.put_port(world.hv, "red", port_spec(3, "red3", 3, 1), world.now)
        seen.add(world.hv.logical_switches["red"].ports[3].index)
        intent.delete_port(world.hv, "red", 3, lambda at: None, world.now)
        world.pass_time(0.1)
    assert len(seen) == 5


# Deleting

def test_the_number_of_a_deleted_logical_switch_is_free_only_when_nothing_of_it_is_left() -> None:
    world = a_world(spec("red", PORTS))
    world.switches[2].hold_barriers = True
    done: list[float] = []
    intent.delete_logical_switch(world.hv, "red", done.append, world.now)
    intent.create_logical_switch(world.hv, spec("white", {1: (3, 1)}, dpid=9), world.now)
    world.pass_time(0.1)
    assert not done and set(world.hv.by_id) == {1, 2}
    world.switches[2].release()
    world.pass_time(1.0)
    assert done and set(world.hv.by_id) == {2}
    assert_equal_to_recompute(world)


def test_what_is_not_there_cannot_be_deleted() -> None:
    world = a_world(spec("red", PORTS))
    with pytest.raises(NotFound):
        intent.delete_logical_switch(world.hv, "blue", lambda at: None, world.now)
