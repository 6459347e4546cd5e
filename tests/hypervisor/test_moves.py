"""Ports that move while both places are there: up all the while, at one place for each frame, whole after a kill."""
from __future__ import annotations

import pytest

from hvproxy.hypervisor import intent
from hvproxy.hypervisor.databases import DUPLICATE
from hvproxy.hypervisor.journal import Durability
from hvproxy.hypervisor.labels import DRAIN
from hvproxy.model.intent import PortSpec, parse
from hvproxy.model.layout import PLACE, ContextLayout, GroupKind, Table, read_cookie
from hvproxy.model.view import Vif
from hvproxy.openflow import actions
from hvproxy.openflow.constants import of13
from tests.harness import PORT_LOST, Controller, World, spec
from tests.hypervisor.databases_end import EndDatabase
from tests.hypervisor.databases_end import a_world as a_world_with_databases
from tests.hypervisor.worlds import (
    a_stored_world, a_world, add, assert_equal_to_recompute, changes, flow_mod, in_port, port_spec,
)
from tests.ovsdb.rows import Contents
from tests.ovsdb.rows import Vif as Contained

PORTS: dict[int, tuple[int, int] | tuple[int, int, int]] = {1: (1, 1), 2: (2, 1), 3: (3, 1), 4: (2, 4)}
PLACES = {"another edge": (3, 5), "the same": (2, 5)}
SETTLE = DRAIN + 0.5


def moving_world() -> tuple[World, Controller]:
    world, controller = a_stored_world(spec("red", PORTS))
    add(controller, flow_mod(match=in_port(2), apply=actions.output(1)),
        flow_mod(priority=1, apply=actions.output(of13.OFPP_FLOOD)))
    return world, controller


def move(world: World, *place: int, number: int = 2) -> None:
    intent.put_port(world.hv, "red", port_spec(number, f"red{number}", *place), world.now)


def where(world: World, number: int = 2) -> tuple[Vif | None, Vif | None]:
    port = world.hv.logical_switches["red"].ports[number]
    return port.vif, port.former


def entered(world: World, number: int = 2) -> set[int]:
    """The switches where frames of that port are taken in."""
    index = world.hv.logical_switches["red"].ports[number].index
    return {dpid for dpid, switch in world.switches.items() for cookie in switch.cookies(Table.CLASSIFY)
            if (owner := read_cookie(cookie)) is not None and owner[1] == PLACE | index}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_a_port_is_at_both_places_until_the_drain_is_over_and_its_tenant_is_told_nothing(
        place: tuple[int, int]) -> None:
    world, controller = moving_world()
    move(world, *place)
    world.pass_time(0.5)
    assert where(world) == (Vif(*place), Vif(2, 1))
    assert entered(world) == {2, place[0]}
    assert_equal_to_recompute(world)
    world.pass_time(SETTLE)
    assert where(world) == (Vif(*place), None)
    assert entered(world) == {place[0]}
    assert_equal_to_recompute(world)
    controller.take()


def test_moves_to_and_fro_leave_nothing_behind() -> None:
    world, controller = moving_world()
    labels = set(world.hv.fabric.labels.used)
    rules = {dpid: len(switch.rules) for dpid, switch in world.switches.items()}
    for _ in range(2):
        for place in ((3, 5), (2, 1)):
            move(world, *place)
            world.pass_time(SETTLE)
            assert_equal_to_recompute(world)
    world.pass_time(3.0)  # until what has retired has gone
    assert set(world.hv.fabric.labels.used) == labels
    assert {dpid: len(switch.rules) for dpid, switch in world.switches.items()} == rules
    controller.take()


def test_a_flood_for_the_new_place_comes_under_another_label_than_those_for_the_old() -> None:
    world, _ = moving_world()
    flood = ContextLayout().group_id(GroupKind.FLOOD, 1)
    before = world.switches[1].groups[flood]
    arrived = {key: rule for dpid in (2, 3) for key, rule in world.switches[dpid].rules.items()
               if key[0] == Table.LABEL}
    world.switches[2].hold_barriers = True
    move(world, 3, 5)
    world.run()
    assert world.switches[1].groups[flood] == before
    labels = {key for dpid in (2, 3) for key in world.switches[dpid].rules if key[0] == Table.LABEL}
    assert len(labels - arrived.keys()) >= 3  # two floods and the port
    world.switches[2].release()
    world.pass_time(0.5)
    assert world.switches[1].groups[flood] != before


def test_where_it_enters_first_nothing_comes_back_to_it() -> None:
    world, _ = moving_world()
    move(world, 3, 5)
    world.pass_time(0.5)
    layout, ls = ContextLayout(), world.hv.logical_switches["red"]
    edges = {dpid: world.switches[dpid].groups[layout.group_id(GroupKind.FLOOD_FROM, ls.ls_id, ls.ports[2].index)][1]
             for dpid in (2, 3)}
    port = actions.group(layout.group_id(GroupKind.LPORT, ls.ls_id, ls.ports[2].index))
    other = actions.group(layout.group_id(GroupKind.LPORT, ls.ls_id, ls.ports[3].index))
    assert port not in edges[2] and port not in edges[3]
    assert other in edges[2] and other in edges[3]  # one by one where the other flood would reach it too


def test_another_move_waits_for_the_one_under_way() -> None:
    world, controller = moving_world()
    move(world, 3, 5)
    world.pass_time(0.5)
    move(world, 2, 1)
    move(world, 3, 6, number=1)
    world.pass_time(0.5)
    assert where(world) == (Vif(3, 5), Vif(2, 1)) and where(world, 1) == (Vif(1, 1), None)
    world.pass_time(2 * SETTLE)
    assert where(world) == (Vif(2, 1), None) and where(world, 1) == (Vif(3, 6), None)
    assert_equal_to_recompute(world)
    controller.take()


def test_a_place_that_is_being_left_is_had_afterwards() -> None:
    world, controller = moving_world()
    move(world, 3, 5)
    world.pass_time(0.5)
    move(world, 2, 1, number=1)
    assert where(world, 1) == (Vif(1, 1), None)
    world.pass_time(2 * SETTLE)
    assert where(world, 1) == (Vif(2, 1), None)
    assert_equal_to_recompute(world)
    assert not world.hv.switches.alarms
    controller.take()


def test_a_place_that_goes_away_while_the_port_moves_takes_it_down() -> None:
    world, controller = moving_world()
    move(world, 3, 5)
    world.pass_time(0.5)
    world.switches[3].remove_port(5)
    world.pass_time(SETTLE)
    assert where(world) == (None, None)
    controller.take(*PORT_LOST)
    assert_equal_to_recompute(world)


def test_without_labels_for_both_places_a_port_is_down_while_it_moves() -> None:
    world = a_world(spec("red", {1: (1, 1), 2: (2, 1)}), first_vid=100, last_vid=103)
    controller = Controller(world, "red")
    move(world, 2, 5)
    world.pass_time(SETTLE)
    controller.take()  # on one edge it needs none
    move(world, 3, 5)
    world.pass_time(2 * SETTLE)
    assert world.hv.switches.alarms["not enough labels for a port to be at both places: it is down while it moves"]
    assert len(controller.messages) == 3
    assert_equal_to_recompute(world)


@pytest.mark.parametrize("passed", (0.0, 0.5, 1.5, DRAIN + 0.2))
@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_a_move_that_a_kill_interrupts_ends_at_the_new_place(place: tuple[int, int], passed: float) -> None:
    world, _ = moving_world()
    move(world, *place)
    world.pass_time(passed)
    world.restart()
    world.pass_time(1.0)
    assert_equal_to_recompute(world)
    world.pass_time(2 * SETTLE)
    assert where(world) == (Vif(*place), None)
    assert_equal_to_recompute(world)
    before = changes(world)
    world.restart()
    world.pass_time(SETTLE)
    assert changes(world) == before
    move(world, 1, 6)
    world.pass_time(SETTLE)
    assert where(world) == (Vif(1, 6), None)
    assert_equal_to_recompute(world)


@pytest.mark.parametrize("last", [1, 2, 3])
def test_a_move_that_waits_when_hvproxy_is_killed_comes_about_whichever_switch_is_back_last(last: int) -> None:
    world, controller = moving_world()
    move(world, 3, 5)
    world.pass_time(0.5)
    move(world, 1, 6)
    world.run()
    assert where(world) == (Vif(3, 5), Vif(2, 1))
    world.switches[last].disconnect()
    world.restart()
    world.pass_time(1.0)
    assert where(world) == (Vif(3, 5), Vif(2, 1))
    world.switches[last].connect()
    controller = Controller(world, "red")
    world.pass_time(3 * SETTLE)
    assert where(world) == (Vif(1, 6), None)
    assert_equal_to_recompute(world)
    controller.take()


# VIFs that are found by their iface-id

def of_vifs(*vifs: Contained) -> tuple[World, EndDatabase, Controller]:
    """Red's port 1 is the VIF a, and 2 the VIF b."""
    world = a_world_with_databases(durability=Durability.BARRIER)
    database = EndDatabase(world, "unix:/db", Contents([*vifs, Contained("b", 4)], {"br": 1, "br2": 2})).connect()
    world.pass_time(1.0)
    return world, database, Controller(world, "red")


def turn(database: EndDatabase, *vifs: Contained) -> None:
    database.vifs(*vifs, Contained("b", 4))


def test_a_vif_marked_inactive_moves_to_where_it_is_not_and_nobody_is_told() -> None:
    world, database, controller = of_vifs(Contained("a", 3))
    turn(database, Contained("a", 3), Contained("a", 5, "br2", status="inactive"))
    assert where(world, 1) == (Vif(1, 3), None)
    turn(database, Contained("a", 3, status="inactive"), Contained("a", 5, "br2", status="active"))
    assert where(world, 1) == (Vif(2, 5), Vif(1, 3))
    assert_equal_to_recompute(world)
    world.pass_time(SETTLE)
    assert where(world, 1) == (Vif(2, 5), None)
    assert_equal_to_recompute(world)
    controller.take()
    assert not world.hv.switches.alarms
    before = changes(world)
    turn(database, Contained("a", 5, "br2"))
    world.pass_time(SETTLE)
    assert changes(world) == before


def test_a_vif_stays_where_it_counts_when_the_place_that_it_has_left_is_active_again() -> None:
    world, database, controller = of_vifs(Contained("a", 3))
    turn(database, Contained("a", 3), Contained("a", 5, "br2", status="inactive"))
    turn(database, Contained("a", 3, status="inactive"), Contained("a", 5, "br2"))
    world.pass_time(SETTLE)
    turn(database, Contained("a", 3), Contained("a", 5, "br2"))
    world.pass_time(SETTLE)
    assert where(world, 1) == (Vif(2, 5), None)
    assert world.hv.switches.alarms[DUPLICATE] == 1
    turn(database, Contained("a", 3))
    world.pass_time(SETTLE)
    assert where(world, 1) == (Vif(1, 3), None)
    assert_equal_to_recompute(world)


def test_the_operator_moves_a_vif_that_is_at_two_places() -> None:
    world, database, controller = of_vifs(Contained("a", 3), Contained("a", 5, "br2"))
    for dpid, vifs in ((2, (Vif(2, 5), Vif(1, 3))), (1, (Vif(1, 3), Vif(2, 5)))):
        intent.put_port(world.hv, "red", parse(PortSpec, {
            "number": 1, "name": "red1", "attach": {"iface_id": "a", "datapath": dpid}}), world.now)
        world.pass_time(0.5)
        assert where(world, 1) == vifs
        world.pass_time(SETTLE)
        assert where(world, 1) == (vifs[0], None)
    controller.take()
    assert_equal_to_recompute(world)


def test_a_place_that_a_vif_leaves_while_it_moves_is_left_at_once() -> None:
    world, database, controller = of_vifs(Contained("a", 3), Contained("a", 5, "br2", status="inactive"))
    turn(database, Contained("a", 3, status="inactive"), Contained("a", 5, "br2"))
    assert where(world, 1) == (Vif(2, 5), Vif(1, 3))
    turn(database, Contained("x", 3), Contained("a", 5, "br2"))
    assert where(world, 1) == (Vif(2, 5), None)
    assert entered(world, 1) == {2}
    assert_equal_to_recompute(world)
    controller.take()
    turn(database, Contained("a", 5, "br2", status="inactive"), Contained("a", 6))
    world.pass_time(2 * SETTLE)
    assert where(world, 1) == (Vif(1, 6), None)
    controller.take()
    assert_equal_to_recompute(world)


def test_a_restart_keeps_a_vif_where_it_counted() -> None:
    world, database, _ = of_vifs(Contained("a", 5, "br2"))
    turn(database, Contained("a", 5, "br2"), Contained("a", 3))
    assert where(world, 1) == (Vif(2, 5), None)
    world.restart()
    database.connect()
    world.pass_time(SETTLE)
    assert where(world, 1) == (Vif(2, 5), None) and world.hv.logical_switches["red"].ports[1].up
    assert_equal_to_recompute(world)


# Places to which no way leads yet

def cut_off(world: World, up: bool) -> None:
    """Whether leaf 3 has links."""
    for number in (7, 8):
        world.switches[3].set_port(number, up)
    world.pass_time(0.2)


def a_lonely_leaf() -> tuple[World, Controller]:
    world, controller = a_stored_world(spec("red", {1: (1, 1), 2: (2, 1)}))
    cut_off(world, False)
    move(world, 3, 5)
    world.pass_time(SETTLE)
    assert where(world) == (Vif(2, 1), None)
    assert [3 in edges for edges in world.hv.shared_edges()] == [True], "what it takes is made meanwhile"
    return world, controller


def test_a_port_moves_as_soon_as_a_way_leads_to_its_new_place() -> None:
    world, controller = a_lonely_leaf()
    cut_off(world, True)
    assert where(world) == (Vif(3, 5), Vif(2, 1))
    world.pass_time(SETTLE)
    assert where(world) == (Vif(3, 5), None) and not world.hv.moves.edges_to_be(world.hv.logical_switches["red"])
    assert_equal_to_recompute(world)
    controller.take()


def test_after_the_grace_it_moves_without_a_way() -> None:
    world, controller = a_lonely_leaf()
    world.pass_time(10.0 + SETTLE)
    assert where(world) == (Vif(3, 5), None)
    assert_equal_to_recompute(world)
    controller.take(*PORT_LOST, "ECHO_REQUEST")


def test_a_port_that_stays_after_all_waits_for_nothing() -> None:
    world, controller = a_lonely_leaf()
    move(world, 2, 1)
    world.pass_time(10.0 + SETTLE)
    assert where(world) == (Vif(2, 1), None) and [3 in edges for edges in world.hv.shared_edges()] == [False]
    controller.take("ECHO_REQUEST")
