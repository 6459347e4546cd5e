"""Wires between logical ports: what is up, what crosses, what it takes, and that increments equal the recompute."""
from __future__ import annotations

from collections import Counter

import pytest

from hvproxy.errors import Conflict, ModelError
from hvproxy.hypervisor import intent
from hvproxy.hypervisor.explain import Explanations
from hvproxy.hypervisor.journal import Durability
from hvproxy.hypervisor.replacing import adjust, plan
from hvproxy.hypervisor.report import why_down
from hvproxy.model.intent import LogicalSwitchSpec
from hvproxy.model.layout import GroupKind, Table, read_cookie
from hvproxy.openflow import actions, build, nicira
from hvproxy.openflow.constants import of13
from hvproxy.openflow.groups import bucket
from hvproxy.openflow.messages import decode_packet_out
from hvproxy.openflow.oxm import tlv
from hvproxy.openflow.oxm_fields import REGISTERS
from tests.harness import Controller, World, spec
from tests.hypervisor.wired import (
    HOST, LAST, NEXT, RING, delivered, peer_spec, peered, ring, ring_spec, told, traced, up,
)
from tests.hypervisor.worlds import (
    a_world, add, assert_equal_to_recompute, changes, flow_mod, in_port, meter_mod, port_spec,
)
from tests.openflow.learn_cases import BACK, TO_PORT, learn
from tests.openflow.test_nicira_ct import IP, ct

DOWN, NO_RECV, NO_FWD = of13.OFPPC_PORT_DOWN, of13.OFPPC_NO_RECV, of13.OFPPC_NO_FWD


def configure(world: World, controllers: dict[str, Controller], name: str, number: int, config: int) -> None:
    port = world.hv.logical_switches[name].ports[number]
    controllers[name].send(build.port_mod(5, number, port.hw_addr, config, 0x7F))
    world.pass_time(0.5)


def test_both_ends_are_up_and_the_increments_equal_the_recompute() -> None:
    world, controllers = ring()
    assert all(up(world, name) == {HOST: True, NEXT: True, LAST: True} for name in RING)
    assert {ls.view.edges for ls in world.hv.logical_switches.values()} == {(1, 2, 3)}
    for number, controller in enumerate(controllers.values()):
        add(controller, flow_mod(apply=actions.output(of13.OFPP_FLOOD), cookie=number),
            flow_mod(match=in_port(NEXT), write=actions.output(HOST)))
    assert_equal_to_recompute(world)


def test_a_frame_goes_round_the_ring_and_back_to_its_own_switch() -> None:
    world, controllers = ring()
    for controller in controllers.values():
        add(controller, flow_mod(priority=1, apply=actions.output(NEXT)))
    add(controllers["a"], flow_mod(match=in_port(LAST), apply=actions.output(HOST)))
    assert delivered(traced(world, "a")) == [("a", HOST)]
    assert delivered(traced(world, "c")) == [("a", HOST)]
    assert len(traced(world, "a").decided) == 4


def test_a_frame_in_a_loop_ends_and_goes_to_each_host_as_often_as_it_passed() -> None:
    world, controllers = ring()
    for controller in controllers.values():
        add(controller, flow_mod(apply=actions.output(of13.OFPP_FLOOD)))
    found = traced(world, "a")
    assert [port.walk.failed for port in found.decided] == [""] * len(found.decided)
    # Twelve crossings each way round, every third of which leads to the same logical switch.
    assert delivered(found) == [("a", HOST)] * 8 + [("b", HOST)] * 8 + [("c", HOST)] * 8


def test_what_belongs_to_one_side_stays_there() -> None:
    world, controllers = ring()
    register = actions.set_field(tlv(REGISTERS[3].number, 7))
    add(controllers["a"], flow_mod(
        apply=register + nicira.load(0, 32, 0x80000408, 5) + actions.output(NEXT), write=actions.output(LAST)))
    add(controllers["b"], flow_mod(apply=actions.output(of13.OFPP_CONTROLLER), cookie=0xB),
        flow_mod(match=in_port(HOST)))
    add(controllers["c"], flow_mod(
        write=actions.output(of13.OFPP_CONTROLLER) + actions.set_field(tlv(REGISTERS[3].number, 9)), cookie=0xC))
    found = traced(world, "a")
    assert told(found) == [("b", LAST, 0xB), ("c", NEXT, 0xC)]
    assert found.carried is not None
    said = {name: upward for name, upward in found.carried.upward}
    assert (said["b"].metadata, said["b"].others) == (0, b"")
    assert delivered(found) == []


def test_nothing_goes_back_by_the_wire_it_came_but_what_says_so() -> None:
    world, controllers = ring()
    add(controllers["a"], flow_mod(match=in_port(HOST), apply=actions.output(NEXT)),
        flow_mod(match=in_port(NEXT), apply=actions.output(HOST)))
    add(controllers["b"], flow_mod(apply=actions.output(LAST)))
    assert delivered(traced(world, "a")) == []
    add(controllers["b"], flow_mod(apply=actions.output(of13.OFPP_IN_PORT)))
    assert delivered(traced(world, "a")) == [("a", HOST)]


@pytest.mark.parametrize("kind", [of13.OFPGT_ALL, of13.OFPGT_FF])
def test_a_tenants_groups_see_that_a_packet_came_by_a_wire(kind: int) -> None:
    world, controllers = ring()
    watch = {"watch_port": NEXT} if kind == of13.OFPGT_FF else {}
    add(controllers["b"], build.group_mod(4, of13.OFPGC_ADD, kind, 1, bucket(actions.output(NEXT), **watch)),
        flow_mod(apply=actions.group(1)))
    add(controllers["a"], flow_mod(apply=actions.output(NEXT)))
    add(controllers["c"], flow_mod(apply=actions.output(HOST)))
    assert delivered(traced(world, "a")) == [("c", HOST)]
    assert_equal_to_recompute(world)
    configure(world, controllers, "c", LAST, DOWN)
    assert delivered(traced(world, "a")) == []
    assert_equal_to_recompute(world)


def test_an_end_that_is_down_takes_the_other_one_down() -> None:
    world, controllers = ring()
    controllers["b"].take()
    configure(world, controllers, "a", NEXT, DOWN)
    assert up(world, "a") == {HOST: True, NEXT: False, LAST: True}
    assert up(world, "b") == {HOST: True, NEXT: True, LAST: False}
    last = [each.desc for each in controllers["b"].take("PORT_STATUS", "PORT_STATUS")][-1]
    assert (last.port_no, last.config, last.state) == (LAST, 0, of13.OFPPS_LINK_DOWN)
    assert_equal_to_recompute(world)
    configure(world, controllers, "a", NEXT, 0)
    assert up(world, "b")[LAST] and up(world, "a")[NEXT]
    assert_equal_to_recompute(world)


def test_ports_that_receive_or_send_nothing_do_so_by_wires_too() -> None:
    world, controllers = ring()
    add(controllers["a"], flow_mod(apply=actions.output(NEXT)))
    add(controllers["b"], flow_mod(apply=actions.output(HOST)))
    stp = "0180c2000000020000000001002642420300" + "00" * 40
    for name, number, config in (("a", NEXT, NO_FWD), ("b", LAST, NO_RECV)):
        configure(world, controllers, name, number, config)
        assert delivered(traced(world, "a")) == []
        assert_equal_to_recompute(world)
        assert bool(delivered(traced(world, "a", frame=stp))) == (config == NO_RECV)
        configure(world, controllers, name, number, 0)
        assert delivered(traced(world, "a")) == [("b", HOST)]


def test_ends_are_wired_when_both_name_each_other_and_apart_when_one_does_no_more() -> None:
    world, controllers = ring()
    add(controllers["a"], flow_mod(apply=actions.output(NEXT)))
    add(controllers["b"], flow_mod(apply=actions.output(HOST)))
    intent.put_port(world.hv, "b", peer_spec(LAST, "elsewhere/1"), world.now)
    world.pass_time(0.5)
    assert not up(world, "a")[NEXT] and not up(world, "b")[LAST]
    assert delivered(traced(world, "a")) == []
    assert_equal_to_recompute(world)
    intent.put_port(world.hv, "b", peer_spec(LAST, "a/2"), world.now)
    world.pass_time(0.5)
    assert delivered(traced(world, "a")) == [("b", HOST)]
    gone: list[float] = []
    intent.delete_logical_switch(world.hv, "c", gone.append, world.now)
    world.pass_time(0.5)
    assert gone
    assert up(world, "a") == {HOST: True, NEXT: True, LAST: False}
    assert world.hv.logical_switches["a"].view.edges == (1, 2)
    assert_equal_to_recompute(world)
    intent.delete_port(world.hv, "b", LAST, lambda at: None, world.now)
    world.pass_time(0.5)
    assert world.hv.logical_switches["a"].view.edges == (1,)
    assert_equal_to_recompute(world)


def test_ports_of_those_wired_together_move_with_all_that_is_decided_there() -> None:
    world, controllers = ring()
    for controller in controllers.values():
        add(controller, flow_mod(priority=1, apply=actions.output(of13.OFPP_FLOOD)),
            flow_mod(match=in_port(NEXT)), flow_mod(match=in_port(LAST), apply=actions.output(HOST)))
    intent.put_port(world.hv, "a", port_spec(HOST, "host", 2, 4), world.now)
    world.pass_time(0.5)
    assert_equal_to_recompute(world)
    assert delivered(traced(world, "a")) == [("b", HOST)]
    world.pass_time(4.0)
    assert {ls.view.edges for ls in world.hv.logical_switches.values()} == {(2, 3)}
    assert_equal_to_recompute(world)
    assert delivered(traced(world, "a")) == [("b", HOST)]


def test_a_first_meter_is_known_beyond_the_wires() -> None:
    world, controllers = ring()
    add(controllers["b"], meter_mod(1, 100))
    world.pass_time(0.5)
    assert_equal_to_recompute(world)
    lport = next(p for p in world.hv.logical_switches["a"].view.lports if p.number == NEXT)
    assert lport.peer is not None and lport.peer.irrevocable


def homes(world: World) -> set[tuple[int | None, bool]]:
    """Where all logical switches are decided upon, and whether frames go there."""
    return {(ls.view.home, ls.view.resumes) for ls in world.hv.logical_switches.values()}


def test_where_one_tracks_connections_all_that_are_wired_have_one_home() -> None:
    world, controllers = ring(durability=Durability.BARRIER)
    for name in "ac":
        add(controllers[name], flow_mod(apply=actions.output(of13.OFPP_FLOOD)))
    assert homes(world) == {(None, False)}
    add(controllers["b"], flow_mod(match=IP, apply=ct(table=1)), flow_mod(apply=actions.output(NEXT), priority=1),
        flow_mod(table=1, match=in_port(LAST) + IP, apply=ct(1) + actions.output(NEXT)))
    world.pass_time(0.5)
    assert homes(world) == {(1, True)}
    assert_equal_to_recompute(world)
    for name in RING:
        traced(world, name)
    before = changes(world)
    world.restart()
    world.pass_time(3.0)
    assert changes(world) == before and homes(world) == {(1, True)}
    world.switches[1].disconnect()
    world.pass_time(15.0)
    assert homes(world) == {(2, True)}
    assert_equal_to_recompute(world)
    lport = next(p for p in world.hv.logical_switches["a"].view.lports if p.number == NEXT)
    assert lport.peer is not None and lport.peer.irrevocable


def test_what_is_wired_no_more_to_one_that_tracks_connections_has_no_home() -> None:
    world, controllers = ring()
    add(controllers["b"], flow_mod(match=IP, apply=ct(table=1)))
    world.pass_time(0.5)
    for number in (NEXT, LAST):
        intent.put_port(world.hv, "b", peer_spec(number, f"elsewhere/{number}"), world.now)
    world.pass_time(0.5)
    views = {name: ls.view for name, ls in world.hv.logical_switches.items()}
    assert {name: (view.home, view.resumes) for name, view in views.items()} == {
        "a": (None, False), "b": (2, True), "c": (None, False)}
    assert_equal_to_recompute(world)
    for number, peer in ((NEXT, "c/3"), (LAST, "a/2")):
        intent.put_port(world.hv, "b", peer_spec(number, peer), world.now)
        world.pass_time(0.5)
        assert_equal_to_recompute(world)
    assert homes(world) == {(2, True)}


def test_where_a_switch_is_no_open_vswitch_nothing_is_wired_and_the_operator_hears_why() -> None:
    world = a_world(*map(ring_spec, RING))
    world.switches[2].hardware = "another switch"
    world.switches[2].reboot()
    world.pass_time(2.0)
    assert not any(up(world, name)[number] for name in RING for number in (NEXT, LAST))
    assert world.hv.wiring.cut == dict.fromkeys(RING, "switch 0000000000000002 is no Open vSwitch")
    assert_equal_to_recompute(world)


def test_after_a_restart_wires_are_as_they_were_and_no_switch_is_sent_anything() -> None:
    world, controllers = ring(durability=Durability.BARRIER)
    for controller in controllers.values():
        add(controller, flow_mod(apply=actions.output(of13.OFPP_FLOOD)))
    before = changes(world)
    world.restart()
    world.pass_time(3.0)
    assert changes(world) == before
    assert all(up(world, name) == {HOST: True, NEXT: True, LAST: True} for name in RING)
    assert_equal_to_recompute(world)


def test_every_rule_of_a_wire_says_why_it_is_there() -> None:
    world, controllers = ring()
    configure(world, controllers, "a", NEXT, NO_RECV)
    why = Explanations(world.hv)
    said = {why.rule(rule).text for rule in world.hv.switches.datapaths[1].desired.rules.values()
            if rule.table == Table.HOP}
    assert said == {
        "lets packets cross to other logical switches",
        "drops packets that have crossed to other logical switches too often",
        "drops what comes to a/2 from its peer as that is configured",
        "takes spanning tree in at a/2 from its peer",
        *(f"takes packets in at {name}/{number} from its peer" for name in RING for number in (NEXT, LAST)
          if (name, number) != ("a", NEXT))}


def test_a_port_that_is_not_wired_says_why() -> None:
    world, controllers = ring()
    ls = world.hv.logical_switches["a"]

    def why(number: int = NEXT) -> str:
        return why_down(world.hv, ls, ls.ports[number])

    configure(world, controllers, "b", LAST, DOWN)
    assert why() == "the tenant of b/3 has set that down"
    for dpid in (1, 2, 3):
        world.switches[dpid].disconnect()
    world.pass_time(11.0)
    assert why(LAST) == "no switch is there that carries its logical switch or those it is wired to"
    assert not any(port.up for port in ls.ports.values())
    intent.put_port(world.hv, "b", peer_spec(LAST, "elsewhere/1"), world.now)
    assert why() == "b/3 does not name it as its peer"
    with pytest.raises(ModelError, match="is this port itself"):
        intent.put_port(world.hv, "b", peer_spec(LAST, "b/3"), world.now)


def test_where_a_logical_switch_has_no_peer_port_nothing_is_other_than_without_any() -> None:
    def alone(*others: LogicalSwitchSpec) -> dict[int, tuple[object, object]]:
        """Red's rules and groups on each datapath."""
        world = a_world(spec("red", {1: (1, 5), 2: (2, 5), 3: (2, 6, 20), 4: (2, 6, 30)}), *others)
        add(Controller(world, "red"), flow_mod(apply=actions.output(of13.OFPP_FLOOD), write=actions.output(3)),
            flow_mod(match=in_port(3), apply=learn(BACK, TO_PORT) + actions.output(2)))
        assert_equal_to_recompute(world)
        number = world.hv.logical_switches["red"].ls_id
        return {dpid: ({key: rule for key, rule in dp.desired.rules.items()
                        if (read_cookie(rule.cookie) or (0,))[0] == number},
                       {key: group for key, group in dp.desired.groups.items() if key >> 16 & 0xFFF == number})
                for dpid, dp in world.hv.switches.datapaths.items()}

    without, beside = alone(), alone(*map(ring_spec, RING))
    assert beside == without and all(without[dpid][0] and without[dpid][1] for dpid in (1, 2))


def test_what_a_packet_teaches_on_its_way_does_not_hide_how_often_it_has_crossed() -> None:
    world, controllers = ring()
    for controller in controllers.values():
        add(controller, flow_mod(apply=learn(BACK, TO_PORT) + actions.output(NEXT) + actions.output(HOST)))
    assert Counter(delivered(traced(world, "a"))) == {(name, HOST): 4 for name in RING}
    assert_equal_to_recompute(world)


def test_nobody_is_wired_to_another_tenants_logical_switch() -> None:
    world = a_world(peered("a", "b/1", "c/1"), peered("c", "a/2"))
    with pytest.raises(ModelError, match=r"ports\[0\].attach.peer: logical switch a is another tenant's"):
        intent.create_logical_switch(world.hv, peered("b", "a/1", tenant="blue"), world.now)
    intent.create_logical_switch(world.hv, peered("b", tenant="blue"), world.now)
    with pytest.raises(ModelError, match="attach.peer: logical switch a is another tenant's"):
        intent.put_port(world.hv, "b", peer_spec(1, "a/1"), world.now)
    ls = world.hv.logical_switches["a"]
    assert why_down(world.hv, ls, ls.ports[1]) == "logical switch b is another tenant's"


def test_two_ports_cannot_have_one_peer() -> None:
    world = a_world(peered("a", "b/1"), peered("b", "a/1"))
    with pytest.raises(Conflict, match="peer b/1 is bound to port 1 of logical switch a"):
        intent.create_logical_switch(world.hv, peered("c", "b/1"), world.now)
    with pytest.raises(Conflict, match=r"ports\[0\].attach: peer b/1 is bound to a/1"):
        plan(world.hv, [peered("c", "b/1")])


def test_with_a_tenants_logical_switches_another_ones_becomes_the_owner_of_their_wires() -> None:
    world = a_world(peered("a", "b/1"), peered("b", "a/1"), spec("red", {1: (1, 5)}))
    wanted = [peered("a", "b/1", tenant="blue"), peered("b", "a/1", tenant="blue")]
    found = plan(world.hv, wanted, ["a", "b"])
    assert found.adjust == tuple(wanted)
    adjust(world.hv, found.adjust[:1], world.now)
    assert world.hv.logical_switches["a"].ports[1].wire is None
    adjust(world.hv, found.adjust[1:], world.now)
    assert world.hv.logical_switches["a"].ports[1].wire is not None
    assert_equal_to_recompute(world)


def test_a_packet_out_through_the_tables_from_a_wire_is_taken_for_what_came_by_it() -> None:
    world, controllers = ring()
    controllers["a"].send(build.packet_out(
        7, NEXT, actions.output(of13.OFPP_FLOOD) + actions.output(of13.OFPP_TABLE), bytes(60)))
    world.run()
    sent = [message for switch in world.switches.values() for message in switch.packet_outs]
    assert len(sent) == 1
    ls = world.hv.logical_switches["a"]
    group_id = world.hv.settings.layout.group_id
    port = ls.ports[NEXT]
    assert list(actions.groups(decode_packet_out(sent[0]).actions)) == [
        group_id(GroupKind.FLOOD_FROM, ls.ls_id, port.index)]
    assert decode_packet_out(sent[0]).in_port == of13.OFPP_CONTROLLER
