from dataclasses import replace

from hvproxy.hypervisor import intent
from hvproxy.hypervisor.logical_port import LogicalPort, hardware_address
from hvproxy.model.intent import LOCAL, PortSpec, parse
from hvproxy.model.layout import GroupKind
from hvproxy.model.view import Vif
from hvproxy.openflow import actions, build
from hvproxy.openflow.constants import of13
from hvproxy.openflow.groups import bucket
from hvproxy.openflow.messages import decode_packet_out
from hvproxy.openflow.multipart import Kind, encode_id_request, multipart_request
from hvproxy.openflow.ports import PortDesc
from tests.harness import PORT_LOST, Controller, World
from tests.hypervisor.worlds import add, assert_equal_to_recompute, flow_mod, in_port, port_spec, red


def test_addresses_are_local_unicast_and_differ_by_switch_and_number() -> None:
    addresses = {hardware_address(name, number) for name in ("red", "white") for number in range(1, 500)}
    assert len(addresses) == 2 * 499
    assert all(len(address) == 6 and address[0] & 3 == 2 for address in addresses)


def test_the_address_does_not_depend_on_where_the_port_is() -> None:
    one = LogicalPort("red", port_spec(4, "a", 1, 2), 9, 0.0)
    other = LogicalPort("red", port_spec(4, "b", 3, 4, 5), 2, 7.0)
    assert one.hw_addr == other.hw_addr


def test_a_port_is_told_down_until_it_is_up() -> None:
    port = LogicalPort("red", port_spec(4, "eth4", 1, 2), 9, 0.0)
    assert (port.desc().number, port.desc().name, port.desc().state) == (4, "eth4", of13.OFPPS_LINK_DOWN)
    assert [desc.state for desc, _ in port.news(True)] == [of13.OFPPS_LIVE]
    assert port.desc().state == of13.OFPPS_LIVE


def test_news_come_in_the_order_of_open_vswitch() -> None:
    port = LogicalPort("red", port_spec(4, "eth4", 1, 2), 9, 0.0)
    lost, live = of13.OFPPS_LINK_DOWN, of13.OFPPS_LIVE
    for config, up, told in (
            (0, None, []), (0, False, []), (4, None, [lost]), (4, True, [live]), (4, True, []), (4, False, [0, lost]),
            (0, True, [lost, live]), (4, None, [live]), (5, False, [0, lost]), (1, False, [lost]), (0, False, [lost])):
        by = {7} if port.config != config else set()
        port.configured_by, port.config = set(by), config
        news = port.news(up)
        assert [(desc.config, desc.state) for desc, _ in news] == [(config, state) for state in told]
        assert [whose for _, whose in news] == [by if index == 0 else set() for index in range(len(told))]
        assert not port.configured_by


def test_speed_is_that_of_what_carries_it_and_all_else_its_own() -> None:
    port = LogicalPort("red", port_spec(4, "eth4", 1, 2), 9, 0.0)
    port.vif, port.carrier = Vif(1, 2), PortDesc(77, b"secret", "physical", config=1, state=1, curr=2, advertised=3,
                                                 supported=4, peer=5, curr_speed=6, max_speed=7)
    desc = port.desc()
    assert (desc.curr, desc.advertised, desc.supported, desc.peer) == (2, 3, 4, 5)
    assert (desc.curr_speed, desc.max_speed) == (6, 7)
    assert (desc.number, desc.hw_addr, desc.name, desc.config) == (4, port.hw_addr, "eth4", 0)


def set_speed(world: World, speed: int) -> None:
    """The physical port of red's port 2 gets another speed."""
    switch = world.switches[2]
    switch.ports[1] = replace(switch.ports[1], state=of13.OFPPS_LIVE, curr=of13.OFPPF_OTHER, curr_speed=speed)
    switch.send(build.port_status(of13.OFPPR_MODIFY, switch.ports[1]))
    world.run()


def speeds(controller: Controller) -> list[tuple[int, int, int]]:
    """(number, state, speed) that PORT_STATUS has told."""
    return [(each.desc.port_no, each.desc.state, each.desc.curr_speed)
            for each in controller.take(*["PORT_STATUS"] * len(controller.messages))]


def test_another_speed_of_the_physical_port_is_told_once() -> None:
    world, controller = red()
    for speed, told in ((1000, [(2, of13.OFPPS_LIVE, 1000)]), (1000, []), (2000, [(2, of13.OFPPS_LIVE, 2000)])):
        set_speed(world, speed)
        assert speeds(controller) == told


def test_a_port_has_the_speed_of_where_it_is_and_none_where_it_is_not() -> None:
    world, controller = red()
    set_speed(world, 1000)
    controller.messages.clear()
    intent.put_port(world.hv, "red", port_spec(2, "red2", 3, 4), world.now)
    world.pass_time(3.0)
    assert speeds(controller) == [(2, of13.OFPPS_LIVE, 0)]
    intent.put_port(world.hv, "red", port_spec(2, "red2", 2, 1), world.now)
    world.pass_time(3.0)
    assert speeds(controller) == [(2, of13.OFPPS_LIVE, 1000)]
    intent.put_port(world.hv, "red", port_spec(2, "red2"), world.now)
    world.pass_time(3.0)
    assert [desc.curr_speed for desc in (each.desc for each in controller.take(*PORT_LOST))] == [0, 0]


def test_a_declared_speed_is_told_wherever_the_port_is_and_when_it_is_changed() -> None:
    world, controller = red()
    fast = parse(PortSpec, {"number": 2, "name": "red2", "speed": 10_000, "attach": {"datapath": 2, "port": 1}})
    intent.put_port(world.hv, "red", fast, world.now)
    world.run()
    told, = controller.take("PORT_STATUS")
    assert (told.desc.curr, told.desc.curr_speed, told.desc.max_speed) == (of13.OFPPF_10GB_FD, 10**7, 10**7)
    set_speed(world, 1000)
    assert speeds(controller) == []
    unbound = parse(PortSpec, {"number": 9, "name": "red9", "speed": 30})
    intent.put_port(world.hv, "red", unbound, world.now)
    world.run()
    told, = controller.take("PORT_STATUS")
    assert (told.desc.port_no, told.desc.curr, told.desc.curr_speed) == (9, of13.OFPPF_OTHER, 30_000)


BAD_OUT_PORT = (of13.OFPET_BAD_ACTION, of13.OFPBAC_BAD_OUT_PORT)
TO_LOCAL = actions.output(LOCAL)


def local(attached: bool) -> tuple[World, Controller]:
    """red with a local port, at port 2 of switch 3 or at nothing."""
    world, controller = red()
    attach = {"attach": {"datapath": 3, "port": 2}} if attached else {}
    intent.put_port(world.hv, "red", parse(PortSpec, {"number": "LOCAL", "name": "own", **attach}), world.now)
    world.pass_time(3.0)
    controller.messages.clear()
    return world, controller


def test_without_a_local_port_nothing_can_be_sent_to_it() -> None:
    _, controller = red()
    for message in (flow_mod(apply=TO_LOCAL), flow_mod(write=TO_LOCAL),
                    build.group_mod(3, of13.OFPGC_ADD, of13.OFPGT_ALL, 9, bucket(TO_LOCAL)),
                    build.packet_out(3, of13.OFPP_CONTROLLER, TO_LOCAL, b"frame")):
        assert controller.refused(message) == BAD_OUT_PORT
    controller.send(flow_mod(match=in_port(LOCAL), apply=actions.output(2)) + build.barrier_request(1))
    controller.take("BARRIER_REPLY")


def test_an_entry_refused_for_another_reason_too_is_refused_for_it() -> None:
    instruction = (99).to_bytes(2, "big") + b"\0\x08" + LOCAL.to_bytes(4, "big")
    assert red()[1].refused(build.flow_mod(3, of13.OFPFC_ADD, table_id=0, instructions=instruction)) == (
        of13.OFPET_BAD_INSTRUCTION, of13.OFPBIC_UNKNOWN_INST)


def test_a_local_port_attached_to_nothing_is_there_and_down() -> None:
    world, controller = local(attached=False)
    port = {p.port_no: p for p in controller.ask(multipart_request(3, Kind.PORT_DESC)).body}[LOCAL]
    assert (port.name, port.config, port.state) == (b"own", of13.OFPPC_PORT_DOWN, of13.OFPPS_LINK_DOWN)
    add(controller, flow_mod(apply=TO_LOCAL), flow_mod(priority=6, match=in_port(LOCAL), apply=actions.output(2)),
        build.group_mod(3, of13.OFPGC_ADD, of13.OFPGT_ALL, 9, bucket(TO_LOCAL)),
        build.packet_out(3, of13.OFPP_CONTROLLER, TO_LOCAL, b"frame"),
        build.packet_out(3, LOCAL, actions.output(2), b"frame"))
    assert_equal_to_recompute(world)
    assert controller.refused(build.message(of13.OFPT_QUEUE_GET_CONFIG_REQUEST, 5, LOCAL.to_bytes(4, "big") + bytes(4))
                              ) == (of13.OFPET_QUEUE_OP_FAILED, of13.OFPQOFC_BAD_PORT)
    stats = controller.ask(multipart_request(3, Kind.PORT_STATS, encode_id_request(LOCAL))).body
    assert [(p.port_no, p.tx_packets) for p in stats] == [(LOCAL, 0)]


def test_a_local_port_is_a_port_like_any_other_where_it_is_attached() -> None:
    world, controller = local(attached=True)
    ls = world.hv.logical_switches["red"]
    port = {p.port_no: p for p in controller.ask(multipart_request(3, Kind.PORT_DESC)).body}[LOCAL]
    assert (port.config, port.state) == (0, of13.OFPPS_LIVE)
    group_id = ls.layout.group_id(GroupKind.LPORT, ls.ls_id, ls.ports[LOCAL].index)
    assert all(group_id in world.switches[dpid].groups for dpid in (1, 2, 3))
    add(controller, flow_mod(apply=TO_LOCAL), flow_mod(priority=6, match=in_port(LOCAL), apply=actions.output(2)))
    assert [len(world.switches[dpid].cookies()) for dpid in (2, 3)] == [1, 2]
    assert_equal_to_recompute(world)
    controller.send(build.packet_out(3, LOCAL, actions.output(2), b"frame"))
    world.run()
    assert decode_packet_out(world.switches[3].packet_outs[-1]).in_port == 2
    world.switches[3].packet_in(b"up", metadata=ls.layout.context(ls.ls_id, ls.ports[LOCAL].index),
                                cookie=world.switches[3].cookies()[0])
    told, = controller.take("PACKET_IN")
    assert told.match["in_port"] == LOCAL
    intent.delete_port(world.hv, "red", LOCAL, lambda at: None, world.now)
    world.pass_time(3.0)
    assert_equal_to_recompute(world)
