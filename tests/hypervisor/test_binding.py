from hvproxy.hypervisor import intent
from hvproxy.hypervisor.binding import leaves, resolve
from hvproxy.model.intent import LogicalSwitchSpec, PortSpec, parse
from hvproxy.model.view import Vif
from hvproxy.openflow import build
from hvproxy.openflow.constants import of13
from hvproxy.openflow.ports import PortDesc
from tests.harness import Controller, World, spec
from tests.hypervisor.worlds import assert_equal_to_recompute, port_spec


def by_name(name: str, port: str, number: int = 1, dpid: int = 9) -> LogicalSwitchSpec:
    return parse(LogicalSwitchSpec, {"name": name, "datapath_id": dpid, "ports": [
        {"number": number, "name": f"{name}{number}", "attach": {"datapath": 1, "port": port}}]}, tenant=name)


def vif(world: World, name: str, number: int = 1) -> Vif | None:
    return world.hv.logical_switches[name].ports[number].vif


def renumbered(world: World, name: str, number: int) -> None:
    """The physical port of that name has another number now."""
    switch = world.switches[1]
    old = next(port for port in switch.ports.values() if port.name == name)
    switch.send(build.port_status(of13.OFPPR_DELETE, switch.ports.pop(old.number)))
    switch.ports[number] = PortDesc(number, old.hw_addr, name)
    switch.send(build.port_status(of13.OFPPR_ADD, switch.ports[number]))
    world.pass_time(1.0)


def test_a_port_is_found_by_number_or_name_once_its_switch_is_there() -> None:
    world = World(spec("red", {1: (1, 2)}), by_name("white", "s1-4"))
    assert (vif(world, "red"), vif(world, "white")) == (None, None)
    world.add_switches(1)
    assert (vif(world, "red"), vif(world, "white")) == (Vif(1, 2), Vif(1, 4))


def test_a_port_named_follows_its_name_to_another_number() -> None:
    world = World(by_name("white", "s1-4"))
    world.add_switches(1)
    renumbered(world, "s1-4", 9)
    assert vif(world, "white") == Vif(1, 9)
    assert_equal_to_recompute(world)


def test_a_port_that_the_switch_has_not_is_nowhere() -> None:
    world = World(spec("red", {1: (1, 200)}))
    world.add_switches(1)
    world.pass_time(1.0)
    assert vif(world, "red") is None
    (port,) = Controller(world, "red").ask(build.port_desc_request(3)).body
    assert port.state == of13.OFPPS_LINK_DOWN


def test_a_port_stays_where_it_was_while_its_switch_is_away() -> None:
    world = World(by_name("white", "s1-4"))
    world.add_switches(1)
    world.switches[1].disconnect()
    assert resolve(world.hv, world.hv.logical_switches["white"], world.now) == []
    assert vif(world, "white") == Vif(1, 4)


def test_of_two_ports_that_turn_out_to_be_on_one_vif_the_later_stays_down() -> None:
    world = World(spec("red", {1: (1, 4)}), by_name("white", "s1-4"))  # nobody can tell before the switch is there
    world.add_switches(1)
    world.pass_time(1.0)
    assert (vif(world, "red"), vif(world, "white")) == (Vif(1, 4), None)
    assert world.hv.switches.alarms["two logical ports on one VIF: the later one stays down"] >= 1
    assert_equal_to_recompute(world)


def test_only_what_has_moved_is_told() -> None:
    world = World(spec("red", {1: (1, 2), 2: (1, 3)}))
    world.add_switches(1)
    red = world.hv.logical_switches["red"]
    red.ports[2].spec = port_spec(2, "red2", 1, 5, 9)
    assert resolve(world.hv, red, world.now) == [2]
    assert not red.ports[2].placed and red.ports[1].placed


def test_a_vlan_is_part_of_the_vif() -> None:
    world = World(spec("red", {1: (1, 2, 7)}))
    world.add_switches(1)
    assert vif(world, "red") == Vif(1, 2, 7)
    intent.put_port(world.hv, "red", port_spec(1, "red1", 1, 2, 8), world.now)
    assert vif(world, "red") == Vif(1, 2, 8)


def test_the_carrier_is_what_the_switch_reports() -> None:
    world = World(spec("red", {1: (1, 2)}))
    world.add_switches(1)
    assert world.hv.logical_switches["red"].ports[1].carrier == world.switches[1].ports[2]


def test_a_port_whose_vif_is_elsewhere_by_now_leaves() -> None:
    world = World(spec("red", {1: (1, 2)}))
    world.add_switches(1)
    port = world.hv.logical_switches["red"].ports[1]
    places, there = world.hv.places, world.hv.databases.there
    assert not leaves(port, places)
    port.spec = parse(PortSpec, {"number": 1, "name": "red1", "attach": {"iface_id": "a"}})
    assert leaves(port, places)
    there["a"] = frozenset({(1, 3)})
    assert leaves(port, places)
    there["a"] = frozenset({(1, 3), (1, 2)})
    assert not leaves(port, places)
    port.vif = None
    assert not leaves(port, places)
