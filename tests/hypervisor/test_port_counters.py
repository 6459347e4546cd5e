"""Port statistics: logical, of this binding, and never less than before (trap 7)."""
from __future__ import annotations

from typing import Any

from hvproxy.hypervisor import intent
from hvproxy.hypervisor.port_counters import NOT_KEPT, Tally
from hvproxy.model.layout import ContextLayout, GroupKind
from hvproxy.openflow.constants import of13
from hvproxy.openflow.multipart import Kind, encode_id_request, multipart_request
from tests.harness import Controller, World, spec
from tests.hypervisor.worlds import in_port, port_spec, red

LAYOUT = ContextLayout()


def ports(controller: Controller, number: int = of13.OFPP_ANY) -> dict[int, Any]:
    controller.world.run()
    controller.messages.clear()
    reply = controller.ask(multipart_request(3, Kind.PORT_STATS, encode_id_request(number)))
    return {each.port_no: each for each in reply.body}


def counts(controller: Controller, number: int) -> tuple[int, int, int, int]:
    port = ports(controller, number)[number]
    return port.rx_packets, port.rx_bytes, port.tx_packets, port.tx_bytes


def shown(world: World, dpid: int, port: int, rx: int, tx: int) -> None:
    world.switches[dpid].port_counts[port] = {
        "rx_packets": rx, "rx_bytes": rx * 100, "tx_packets": tx, "tx_bytes": tx * 100}


def test_statistics_are_of_the_physical_port_under_the_logical_number() -> None:
    world, controller = red()
    shown(world, 1, 2, 3, 4)
    world.switches[1].port_counts[2]["rx_dropped"] = 6
    assert counts(controller, 4) == (3, 300, 4, 400)
    assert ports(controller)[4].rx_dropped == 6
    assert sorted(ports(controller)) == [1, 2, 3, 4, 5, 6]


def test_what_was_counted_before_the_binding_is_not_told() -> None:
    world = World(spec("red", {1: (1, 1)}))
    world.add_switches(2)
    controller = Controller(world, "red")
    switch = type(world.switches[2])(world, 1, 4)
    world.switches[1] = switch
    shown(world, 1, 1, 1000, 2000)
    switch.connect()
    world.pass_time(1.0)
    shown(world, 1, 1, 1003, 2004)
    assert counts(controller, 1) == (3, 300, 4, 400)


def test_they_do_not_decrease_when_the_switch_reboots_or_is_away() -> None:
    world, controller = red()
    shown(world, 2, 1, 5, 5)
    assert counts(controller, 2) == (5, 500, 5, 500)
    world.switches[2].reboot()
    assert counts(controller, 2) == (5, 500, 5, 500)
    shown(world, 2, 1, 2, 2)
    assert counts(controller, 2) == (7, 700, 7, 700)
    world.switches[2].disconnect()
    assert counts(controller, 2) == (7, 700, 7, 700)


def test_a_moved_port_goes_on_from_what_it_had_and_leaves_the_past_of_its_new_place() -> None:
    world, controller = red()
    shown(world, 2, 1, 5, 5)
    assert counts(controller, 2)[0] == 5
    shown(world, 3, 4, 1000, 1000)
    intent.put_port(world.hv, "red", port_spec(2, "red2", 3, 4), world.now)
    world.pass_time(1.0)
    assert counts(controller, 2)[0] == 5
    shown(world, 3, 4, 1001, 1001)
    assert counts(controller, 2)[0] == 6
    shown(world, 2, 1, 7, 7)  # while it moves both places count
    assert counts(controller, 2)[0] == 8
    shown(world, 2, 1, 8, 8)  # and to the end
    world.pass_time(3.0)
    assert counts(controller, 2)[0] == 9
    shown(world, 2, 1, 900, 900)  # somebody else's by now
    intent.put_port(world.hv, "red", port_spec(2, "red2", 2, 1), world.now)
    world.pass_time(3.0)
    assert counts(controller, 2)[0] == 9


def test_a_sub_port_is_counted_by_its_own_rule_and_groups() -> None:
    world, controller = red()
    shown(world, 1, 3, 1000, 1000)  # of the whole physical port
    vlan = next(key[2] for key in world.switches[1].rules if key[:2] == (0, 300) and key[2].endswith(b"\x10\x14"))
    world.switches[1].count(0, 3, 300, vlan)
    world.switches[1].group_counts = {LAYOUT.group_id(GroupKind.LPORT, 1, 5): (4, 400),
                                      LAYOUT.group_id(GroupKind.HAIRPIN, 1, 5): (1, 100)}
    assert counts(controller, 5) == (3, 300, 5, 500)
    assert counts(controller, 6) == (0, 0, 0, 0)
    world.switches[1].reboot()
    assert counts(controller, 5) == (3, 300, 5, 500)


def test_a_sub_port_that_moves_keeps_what_it_had_and_takes_its_last_packets_along() -> None:
    world, controller = red()
    vlan = next(key[2] for key in world.switches[1].rules if key[:2] == (0, 300) and key[2].endswith(b"\x10\x14"))
    world.switches[1].count(0, 3, 300, vlan)
    world.switches[1].group_counts[LAYOUT.group_id(GroupKind.LPORT, 1, 5)] = (4, 400)
    assert counts(controller, 5) == (3, 300, 4, 400)
    world.switches[1].count(0, 2, 200, vlan)
    world.switches[2].group_counts[LAYOUT.group_id(GroupKind.LPORT, 1, 5)] = (50, 5000)  # sent there from afar
    intent.put_port(world.hv, "red", port_spec(5, "red5", 2, 4, 9), world.now)
    world.pass_time(3.0)
    assert counts(controller, 5) == (5, 500, 4, 400)
    world.switches[2].group_counts[LAYOUT.group_id(GroupKind.LPORT, 1, 5)] = (1, 100)  # it became another group
    world.switches[2].count(0, 1, 100, in_port(4))
    assert counts(controller, 5) == (6, 600, 5, 500)


def test_a_port_made_after_another_one_begins_at_nothing() -> None:
    world, controller = red()
    world.switches[1].count(0, 3, 300, next(
        key[2] for key in world.switches[1].rules if key[:2] == (0, 300) and key[2].endswith(b"\x10\x14")))
    assert counts(controller, 5)[0] == 3
    intent.delete_port(world.hv, "red", 5, lambda at: None, world.now)
    intent.put_port(world.hv, "red", port_spec(5, "red5", 1, 3, 20), world.now)
    world.pass_time(3.0)
    assert counts(controller, 5) == (0, 0, 0, 0)


def test_duration_is_the_ports_own() -> None:
    world, controller = red()
    world.pass_time(7.0)
    controller.messages.clear()
    intent.put_port(world.hv, "red", port_spec(9, "red9"), world.now)
    world.pass_time(2.5)
    assert ports(controller)[9].duration_sec == 2
    assert ports(controller)[1].duration_sec >= 9


def test_a_counter_that_a_switch_does_not_keep_is_left_alone() -> None:
    tally = Tally()
    tally.begin("port", {"rx_errors": NOT_KEPT, "tx_packets": 5})
    tally.add("port", {"rx_errors": NOT_KEPT, "tx_packets": 6})
    assert (tally.totals["rx_errors"], tally.totals["tx_packets"]) == (0, 1)


def test_the_first_reading_of_another_source_only_says_where_it_begins() -> None:
    tally = Tally()
    tally.add("one", {"tx_packets": 5})
    tally.add("one", {"tx_packets": 8})
    tally.add("other", {"tx_packets": 100})
    tally.add("other", {"tx_packets": 101})
    assert tally.totals["tx_packets"] == 4
