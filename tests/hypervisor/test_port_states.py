"""Which ports are up where the fabric is apart, and where the switches of wires are away."""
from __future__ import annotations

from hvproxy.hypervisor.port_states import is_up
from tests.harness import World
from tests.hypervisor.wired import HOST, LAST, NEXT, RING, ring, up
from tests.hypervisor.worlds import assert_equal_to_recompute, red


def cut(world: World, dpid: int, connected: bool) -> None:
    """Both links of a leaf."""
    for port in (7, 8):
        world.switches[dpid].set_port(port, connected)
    world.pass_time(1.0)


def test_the_ports_of_the_smaller_part_are_down() -> None:
    world, _ = red()
    cut(world, 2, False)
    assert up(world, "red") == {1: True, 2: False, 3: True, 4: True, 5: True, 6: True}
    cut(world, 2, True)
    assert all(up(world, "red").values())


def test_of_logical_switches_wired_together_all_ports_count() -> None:
    world, _ = ring()
    cut(world, 3, False)
    assert [up(world, name) for name in RING] == [
        {HOST: name != "c", NEXT: True, LAST: True} for name in RING]
    assert_equal_to_recompute(world)
    cut(world, 3, True)
    assert all(up(world, "c").values())


def test_nothing_is_said_of_a_wire_before_a_switch_that_carries_it_is_known_to_be_there_or_not() -> None:
    world, _ = ring()
    ls = world.hv.logical_switches["a"]
    for dpid in (1, 2):
        world.switches[dpid].disconnect()
    world.pass_time(11.0)
    assert is_up(world.hv, ls, ls.ports[NEXT])
    world.switches[3].disconnect()
    world.pass_time(0.1)
    assert is_up(world.hv, ls, ls.ports[NEXT]) is None
    world.pass_time(11.0)
    assert is_up(world.hv, ls, ls.ports[NEXT]) is False
