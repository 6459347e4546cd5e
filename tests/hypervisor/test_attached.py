"""Who is attached where is known without a look at everybody, and is what the ports themselves say."""
from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from hvproxy.hypervisor import intent
from hvproxy.model.intent import AttachSpec, PortSpec
from hvproxy.model.view import Vif
from tests.harness import World, spec
from tests.hypervisor.databases_end import EndDatabase, a_world
from tests.hypervisor.worlds import port_spec
from tests.ovsdb.rows import Contents
from tests.ovsdb.rows import Vif as Row

RED_1, RED_2, BLUE_1 = ("red", 1), ("red", 2), ("blue", 1)


def world_of_two() -> World:
    """Red's ports 1 and 2 are at ports 2 and 3 of switch 1, blue's port 1 at port 2 of switch 2."""
    world = World(spec("red", {1: (1, 2), 2: (1, 3)}), spec("blue", {1: (2, 2)}, 0xB1))
    world.add_switches(1, 2)
    world.pass_time(1.0)
    return world


def names(found: list[object]) -> list[str]:
    return [ls.spec.name for ls in found]  # type: ignore[attr-defined]


def test_logical_switches_are_found_by_datapath_and_by_physical_port() -> None:
    world = world_of_two()
    attached = world.hv.attached
    assert (names(attached.on(1)), names(attached.on(2)), attached.on(3)) == (["red"], ["blue"], [])
    switch = world.hv.switches.datapaths[1]
    assert names(attached.concerned(switch, [2, 9])) == ["red"] and attached.concerned(switch, [9]) == []
    assert (attached.at((1, 2)), attached.at((1, 9))) == ([(Vif(1, 2), "red")], ())
    assert names(attached.beside(AttachSpec(datapath=2, port=77))) == ["blue"]
    assert attached.beside(AttachSpec(iface_id="x")) == []


def test_one_that_is_named_but_not_there_yet_is_concerned_by_that_port_under_either_name() -> None:
    world = world_of_two()
    intent.put_port(world.hv, "blue", PortSpec(number=5, name="blue5", attach=AttachSpec(datapath=1, port="s1-4")),
                    world.now)
    intent.put_port(world.hv, "blue", port_spec(6, "blue6", 1, 200), world.now)
    switch = world.hv.switches.datapaths[1]
    assert names(world.hv.attached.concerned(switch, [4])) == ["blue"]
    assert names(world.hv.attached.concerned(switch, [200])) == ["blue"]
    assert names(world.hv.attached.on(1)) == ["red", "blue"]


def test_what_has_left_is_not_there_any_more() -> None:
    world = world_of_two()
    intent.put_port(world.hv, "red", port_spec(1, "red1", 2, 3), world.now)
    world.pass_time(30.0)
    assert (world.hv.attached.at((1, 2)), world.hv.attached.at((2, 3))) == ((), [(Vif(2, 3), "red")])
    intent.delete_logical_switch(world.hv, "blue", lambda at: None, world.now)
    assert names(world.hv.attached.on(2)) == ["red"] and world.hv.attached.at((2, 2)) == ()


def test_the_holder_of_a_vif_is_another_port() -> None:
    world = world_of_two()
    red, blue = (world.hv.logical_switches[name] for name in ("red", "blue"))
    holder = world.hv.attached.holder
    assert holder(blue.ports[1], Vif(1, 2)) is red.ports[1]
    assert holder(red.ports[1], Vif(1, 2)) is None and holder(red.ports[1], Vif(1, 2, 7)) is None


def test_who_waits_for_a_vif_is_known() -> None:
    world = a_world()
    database = EndDatabase(world, "unix:/db", Contents([], {"br": 1, "br2": 2})).connect()
    attached = world.hv.attached
    assert names(attached.waiting({"b", "c"})) == ["red"] and attached.waiting({"x"}) == []
    assert attached.on(1) == []
    database.vifs(Row("a", 3))
    assert names(attached.on(1)) == ["red"]
    assert names(attached.concerned(world.hv.switches.datapaths[1], [3])) == ["red"]


@given(st.lists(st.tuples(st.sampled_from([RED_1, RED_2, BLUE_1]), st.integers(1, 2), st.integers(2, 5)), max_size=4))
@settings(max_examples=10, deadline=None)
def test_it_says_what_the_ports_say(moves: list[tuple[tuple[str, int], int, int]]) -> None:
    world = world_of_two()
    for (name, number), dpid, port_no in moves:
        taken = {port.spec.attach.place for ls in world.hv.logical_switches.values() for port in ls.ports.values()
                 if port.spec.attach is not None}
        if (dpid, port_no) not in taken:
            intent.put_port(world.hv, name, port_spec(number, f"{name}{number}", dpid, port_no), world.now)
            world.pass_time(3.0)
    for dpid in (1, 2):
        for port_no in range(1, 7):
            there = [(vif, name) for name, ls in world.hv.logical_switches.items() for port in ls.ports.values()
                     for vif in (port.vif, port.former) if vif == Vif(dpid, port_no)]
            assert sorted(world.hv.attached.at((dpid, port_no))) == sorted(there)


def test_a_look_tells_which_physical_ports_others_have_now() -> None:
    world = world_of_two()
    red = world.hv.logical_switches["red"]
    assert world.hv.attached.see(red) == set()
    red.ports[1].vif, red.ports[2].former = Vif(2, 5), Vif(2, 2)
    assert world.hv.attached.see(red) == {(1, 2), (2, 5), (2, 2)}
    assert world.hv.attached.at((2, 2)) == [(Vif(2, 2), "blue"), (Vif(2, 2), "red")]
    red.ports[2].former = Vif(2, 5)
    assert world.hv.attached.see(red) == {(2, 2)} and len(world.hv.attached.at((2, 5))) == 2
