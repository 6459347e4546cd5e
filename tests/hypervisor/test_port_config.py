"""A tenant configures its logical port, and nobody else's."""
from __future__ import annotations

import pytest

from hvproxy.hypervisor import intent
from hvproxy.model.layout import GroupKind
from hvproxy.openflow import actions, build
from hvproxy.openflow.constants import of13
from hvproxy.openflow.groups import bucket
from hvproxy.openflow.multipart import Kind, multipart_request
from tests.harness import Controller, World, spec
from tests.hypervisor.worlds import a_world, add, assert_equal_to_recompute, flow_mod, port_spec, red

DOWN, NO_RECV, NO_FWD, NO_PACKET_IN = 1, 4, 32, 64
ALL_BITS = 0xFFFFFFFF
FAILED = of13.OFPET_PORT_MOD_FAILED


def mod(world: World, number: int, config: int, mask: int = ALL_BITS, advertise: int = 0, name: str = "red") -> bytes:
    port = world.hv.logical_switches[name].ports[number]
    return build.port_mod(7, number, port.hw_addr, config, mask, advertise)


def described(controller: Controller, number: int) -> tuple[int, int]:
    ports = controller.ask(multipart_request(3, Kind.PORT_DESC)).body
    return next((port.config, port.state) for port in ports if port.port_no == number)


def told(controller: Controller) -> list[tuple[int, int, int, int]]:
    """(reason, port, config, state) of the PORT_STATUS messages that came, and no other message did."""
    controller.world.run()
    count = len(controller.messages)
    return [(m.reason, m.desc.port_no, m.desc.config, m.desc.state) for m in controller.take(*["PORT_STATUS"] * count)]


def test_every_controller_that_takes_port_status_is_told_as_by_open_vswitch() -> None:
    """Not who asks for a configuration of that configuration, but of what follows from it."""
    world, controller = red()
    other, service = Controller(world, "red"), Controller(world, "red", passive=True)
    lost, live = of13.OFPPS_LINK_DOWN, of13.OFPPS_LIVE
    for config, states in ((NO_RECV, [live]), (DOWN, [0, lost]), (DOWN | NO_FWD | 2 | 8 | 128, [lost]),
                           (NO_PACKET_IN, [lost, live]), (0, [live])):
        controller.send(mod(world, 2, config))
        shown = config & (DOWN | NO_RECV | NO_FWD | NO_PACKET_IN)
        news = told(other)
        assert told(controller) == news[1:] and told(service) == []
        assert news == [(of13.OFPPR_MODIFY, 2, shown, state) for state in states]
        assert described(controller, 2) == (shown, states[-1])
    assert_equal_to_recompute(world)


def test_a_port_comes_up_again_when_the_fabric_carries_it_again() -> None:
    world, controller = red()
    controller.send(mod(world, 2, DOWN))
    assert told(controller) == [(of13.OFPPR_MODIFY, 2, DOWN, of13.OFPPS_LINK_DOWN)]
    world.switches[1].hold_barriers = True
    controller.send(mod(world, 2, 0))
    assert told(controller) == []
    world.switches[1].release()
    world.pass_time(1.0)
    assert told(controller) == [(of13.OFPPR_MODIFY, 2, 0, of13.OFPPS_LIVE)]


@pytest.mark.parametrize("config, mask, advertise", [
    (NO_RECV, 0, 0), (2 | 8 | 16 | 128, ALL_BITS, 0), (0, ALL_BITS, 0), (0, 0, 0x40), (0, 0, 0x80000000)])
def test_what_changes_nothing_is_taken_and_not_told(config: int, mask: int, advertise: int) -> None:
    world, controller = red()
    controller.send(mod(world, 2, config, mask, advertise) + build.echo_request(1))
    controller.take("ECHO_REPLY")


def test_refusals_are_those_of_open_vswitch() -> None:
    world, controller = red()
    own = world.hv.logical_switches["red"].ports[2].hw_addr
    for number, address, error in (
            (2, b"\2\2\2\2\2\2", (FAILED, of13.OFPPMFC_BAD_HW_ADDR)), (9, own, (FAILED, of13.OFPPMFC_BAD_PORT)),
            (0, own, (FAILED, of13.OFPPMFC_BAD_PORT)), (of13.OFPP_ANY, own, (FAILED, of13.OFPPMFC_BAD_PORT)),
            (0xFF00, own, (of13.OFPET_BAD_ACTION, of13.OFPBAC_BAD_OUT_PORT))):
        assert controller.refused(build.port_mod(7, number, address, DOWN, DOWN)) == error
    assert described(controller, 2) == (0, of13.OFPPS_LIVE)


def test_it_costs_groups_and_classification_and_no_entry() -> None:
    world, controller = red()
    add(controller, flow_mod(apply=actions.output(2)), flow_mod(priority=6, apply=actions.output(of13.OFPP_FLOOD)))
    ls = world.hv.logical_switches["red"]
    compiled = ls.entries_compiled
    mods = {dpid: switch.flow_mods for dpid, switch in world.switches.items()}
    for config in (DOWN, NO_RECV, DOWN | NO_FWD, NO_RECV | DOWN, 0):
        controller.send(mod(world, 2, config))
        world.pass_time(3.0)
        assert_equal_to_recompute(world)
    assert ls.entries_compiled == compiled
    assert {dpid for dpid, switch in world.switches.items() if switch.flow_mods != mods[dpid]} == {2}
    nowhere = {dpid: [g for g, (kind, buckets) in s.groups.items() if g >> 28 == GroupKind.LPORT and not buckets]
               for dpid, s in world.switches.items()}
    assert not any(nowhere.values())


def test_a_port_that_takes_in_and_sends_nothing_gets_nothing_back_either() -> None:
    """The switch itself carries out IN_PORT: the entries of that one edge have rules for the port then."""
    world, controller = red()
    add(controller, flow_mod(apply=actions.output(of13.OFPP_IN_PORT)))
    before = {dpid: sorted(switch.cookies()) for dpid, switch in world.switches.items()}
    controller.send(mod(world, 2, NO_FWD))
    world.pass_time(3.0)
    assert_equal_to_recompute(world)
    assert len(world.switches[2].cookies()) == len(before[2]) + 1
    assert {dpid: sorted(switch.cookies()) for dpid, switch in world.switches.items() if dpid != 2} == {
        dpid: cookies for dpid, cookies in before.items() if dpid != 2}
    controller.send(mod(world, 2, 0))
    world.pass_time(3.0)
    assert {dpid: sorted(switch.cookies()) for dpid, switch in world.switches.items()} == before


def test_without_identifiers_for_the_variants_of_groups_it_is_refused() -> None:
    world, controller = red()
    groups = world.hv.logical_switches["red"].groups
    add(controller, build.group_mod(1, of13.OFPGC_ADD, of13.OFPGT_ALL, 9, bucket(actions.output(5))))
    groups._last_index = len(groups._used)
    assert controller.refused(mod(world, 2, NO_FWD)) == (FAILED, of13.OFPPMFC_BAD_CONFIG)
    assert described(controller, 2) == (0, of13.OFPPS_LIVE)


def test_a_configuration_is_told_to_all_but_the_one_that_asked_for_it() -> None:
    world, controller = red()
    other = Controller(world, "red")
    world.switches[1].hold_barriers = True
    controller.send(mod(world, 2, NO_FWD))
    other.send(mod(world, 2, NO_RECV, NO_RECV))
    world.switches[1].release()
    both = (of13.OFPPR_MODIFY, 2, NO_FWD | NO_RECV, of13.OFPPS_LIVE)
    assert both in told(controller) and both not in told(other)


def test_the_configuration_is_the_logical_ports_wherever_it_is_bound() -> None:
    world, controller = red()
    other = Controller(world, "red")
    controller.send(mod(world, 2, NO_FWD))
    assert told(other) == [(of13.OFPPR_MODIFY, 2, NO_FWD, of13.OFPPS_LIVE)]
    intent.put_port(world.hv, "red", port_spec(2, "red2", 3, 2), world.now)
    world.pass_time(3.0)
    controller.messages.clear()
    assert described(controller, 2) == (NO_FWD, of13.OFPPS_LIVE)
    assert_equal_to_recompute(world)


def test_a_barrier_waits_until_the_switches_have_confirmed() -> None:
    world, controller = red()
    world.switches[3].hold_barriers = True
    controller.send(mod(world, 2, DOWN) + build.barrier_request(8))
    controller.take("PORT_STATUS")
    world.switches[3].release()
    world.pass_time(0.5)
    controller.take("BARRIER_REPLY")


def test_no_physical_port_is_configured_and_siblings_and_other_tenants_are_not_disturbed() -> None:
    world = a_world(spec("red", {1: (1, 3, 20), 2: (1, 3, 30), 3: (2, 1)}), spec("blue", {1: (1, 3, 40), 2: (2, 2)}))
    controller, other = Controller(world, "red"), Controller(world, "blue")
    controller.send(mod(world, 1, DOWN))
    world.pass_time(3.0)
    assert [each[1] for each in told(controller)] == [1] and told(other) == []
    assert all("PORT_MOD" not in switch.received_types for switch in world.switches.values())
    assert described(controller, 2) == (0, of13.OFPPS_LIVE)
    assert_equal_to_recompute(world)


def test_what_arrives_at_a_port_that_is_down_is_not_counted() -> None:
    world, controller = red()
    switch = world.switches[1]

    def received() -> tuple[int, int]:
        stats = {p.port_no: p.rx_packets for p in controller.ask(multipart_request(
            3, Kind.PORT_STATS, of13.OFPP_ANY.to_bytes(4, "big") + bytes(4))).body}
        return stats[4], stats[5]

    def arrive(packets: int) -> None:
        seen = switch.port_counts.get(2, {}).get("rx_packets", 0)
        switch.port_counts[2] = {"rx_packets": seen + packets}
        switch.count(0, packets, 60 * packets, (0x1000 | 20).to_bytes(2, "big"))

    def configure(config: int) -> None:
        for number in (4, 5):
            controller.send(mod(world, number, config))
        world.pass_time(3.0)
        controller.messages.clear()

    arrive(3)
    configure(DOWN)
    assert received() == (3, 3)
    arrive(5)
    assert received() == (3, 3)
    configure(0)
    arrive(2)
    assert received() == (5, 5)
