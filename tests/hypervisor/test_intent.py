"""What operators make, change and delete at run time: checked first, then whole, and verifiably gone."""
from __future__ import annotations

import pytest

from hvproxy.errors import Conflict, NotFound
from hvproxy.hypervisor import intent
from hvproxy.model.intent import PortSpec, parse
from hvproxy.openflow import actions
from hvproxy.openflow.constants import of13
from tests.harness import Controller, World, spec
from tests.hypervisor.worlds import a_world, assert_equal_to_recompute, flow_mod


def port(number: int, dpid: int, port_no: int | str, name: str = "") -> PortSpec:
    return parse(PortSpec, {"number": number, "name": name or f"red{number}",
                            "attach": {"datapath": dpid, "port": port_no}})


def state(world: World) -> object:
    return {dpid: (dict(s.rules), dict(s.groups)) for dpid, s in world.switches.items()}


def test_a_port_made_at_run_time_is_announced_and_comes_up() -> None:
    world = a_world()
    controller = Controller(world, "red")
    assert intent.put_port(world.hv, "red", port(9, 3, 5), world.now)
    world.pass_time(0.5)
    messages = controller.take(*["PORT_STATUS"] * len(controller.messages))
    assert messages[0].reason == of13.OFPPR_ADD
    assert messages[-1].desc.port_no == 9 and messages[-1].desc.state == of13.OFPPS_LIVE
    assert_equal_to_recompute(world)


def test_entries_that_name_a_port_before_it_exists_work_once_it_does() -> None:
    world = a_world()
    controller = Controller(world, "red")
    controller.send(flow_mod(apply=actions.output(9)))
    world.run()
    intent.put_port(world.hv, "red", port(9, 3, 5), world.now)
    world.pass_time(0.5)
    assert_equal_to_recompute(world)


def test_a_port_named_by_name_is_down_until_the_switch_has_it() -> None:
    world = a_world()
    intent.put_port(world.hv, "red", port(9, 3, "s3-77"), world.now)
    world.pass_time(0.5)
    assert not world.hv.logical_switches["red"].ports[9].up
    intent.put_port(world.hv, "red", port(9, 3, "s3-6"), world.now)
    world.pass_time(0.5)
    assert world.hv.logical_switches["red"].ports[9].up


def test_a_vif_in_use_is_refused_and_nothing_changes() -> None:
    world = a_world()
    before = state(world)
    for attempt in (port(9, 2, 1), port(9, 2, "s2-1")):
        with pytest.raises(Conflict):
            intent.put_port(world.hv, "red", attempt, world.now)
    with pytest.raises(Conflict):
        intent.create_logical_switch(world.hv, spec("white", {1: (2, 1)}), world.now)
    world.run()
    assert state(world) == before and "white" not in world.hv.logical_switches


def test_the_end_of_a_configured_link_cannot_be_bound() -> None:
    world = a_world()
    with pytest.raises(Conflict):
        intent.put_port(world.hv, "red", port(9, 1, 7), world.now)


def test_names_and_datapath_ids_are_unique() -> None:
    world = a_world()
    with pytest.raises(Conflict):
        intent.create_logical_switch(world.hv, spec("red", {}, dpid=0x77), world.now)
    with pytest.raises(Conflict):
        intent.create_logical_switch(world.hv, spec("white", {}, dpid=0xA3), world.now)
    with pytest.raises(Conflict):
        intent.put_port(world.hv, "red", port(9, 3, 5, name="red1"), world.now)


def test_a_deleted_port_is_announced_and_gone_from_every_datapath_when_done_is_called() -> None:
    world = a_world()
    controller = Controller(world, "red")
    done: list[float] = []
    world.switches[1].hold_barriers = True
    intent.delete_port(world.hv, "red", 2, done.append, world.now)
    world.run()
    assert not done
    world.switches[1].release()
    world.pass_time(0.5)
    assert done
    assert controller.take("PORT_STATUS")[0].reason == of13.OFPPR_DELETE
    assert_equal_to_recompute(world)


def test_what_does_not_exist_cannot_be_changed_or_deleted() -> None:
    world = a_world()
    for act in (lambda: intent.delete_port(world.hv, "red", 99, lambda at: None, world.now),
                lambda: intent.delete_logical_switch(world.hv, "white", lambda at: None, world.now),
                lambda: intent.put_port(world.hv, "white", port(1, 1, 5), world.now)):
        with pytest.raises(NotFound):
            act()
