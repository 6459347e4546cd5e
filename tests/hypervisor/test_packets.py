"""What becomes of packets on their way to a tenant's controllers and back (traps 8 to 13)."""
from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from hvproxy.hypervisor import intent
from hvproxy.hypervisor.buffers import LIFETIME
from hvproxy.hypervisor.farewells import LATE
from hvproxy.model.layout import PACKET_OUT_FLAG, PLACE, SHARED_FLAG, ContextLayout, GroupKind, cookie
from hvproxy.openflow import actions, build
from hvproxy.openflow import nicira as nicira_actions
from hvproxy.openflow.constants import of13
from hvproxy.openflow.experimenters import Nicira, nicira
from hvproxy.openflow.groups import bucket
from hvproxy.openflow.instructions import decode
from hvproxy.openflow.messages import AsyncConfig, decode_packet_out
from hvproxy.openflow.oxm import Match, tlv
from hvproxy.openflow.oxm_fields import NX, OWN_REGISTER
from hvproxy.openflow.packet_ins import Format, PacketInParts
from tests.harness import NO_COOKIE, Controller, World, described_tables, spec
from tests.hypervisor.worlds import a_world, add, assert_equal_to_recompute, flow_mod, in_port, red
from tests.openflow.learn_cases import BACK, ETH_TYPE, IP_PROTO, MATCH, UDP_SRC, field, learn, value
from tests.openflow.test_nicira_ct import ct
from tools.emulator.host import ipv4

LAYOUT = ContextLayout()
RED, WHITE = 1, 2
CONTROLLER = of13.OFPP_CONTROLLER
TUNNEL_ID, REGISTER_15 = of13.OFPXMT_OFB_TUNNEL_ID, OWN_REGISTER.number
FRAME = bytes(range(200))
UDP_PACKET = bytes(12) + b"\x08\0" + ipv4(bytes(4), bytes(4), 17, bytes(26))
DEC_TTL = bytes((0, of13.OFPAT_DEC_NW_TTL, 0, 8, 0, 0, 0, 0))


def at(port_index: int, metadata: int = 0, ls_id: int = RED) -> int:
    """The metadata of a packet that entered there."""
    return LAYOUT.context(ls_id, port_index) | metadata


# Packet-ins

def test_a_packet_in_tells_the_tenants_own_port_table_cookie_and_metadata() -> None:
    world, controller = red()
    add(controller, flow_mod(table=2, cookie=0xC0FFEE, priority=3, apply=actions.output(CONTROLLER, 0xFFFF)))
    world.switches[2].packet_in(FRAME, table=12, cookie=world.switches[2].cookies(12)[0], in_port=7,
                                metadata=at(2, 0xBEEF) | SHARED_FLAG)
    (packet,) = controller.take("PACKET_IN")
    assert (packet.table_id, packet.cookie, packet.reason, packet.buffer_id) == (
        2, 0xC0FFEE, of13.OFPR_ACTION, of13.OFP_NO_BUFFER)
    assert dict(packet.match.items()) == {"in_port": 2, "metadata": 0xBEEF}
    assert (packet.data, packet.total_len) == (FRAME, len(FRAME))


def test_without_tenant_metadata_none_is_told() -> None:
    world, controller = red()
    world.switches[2].packet_in(FRAME, metadata=at(2))
    assert dict(controller.take("PACKET_IN")[0].match.items()) == {"in_port": 2}


def test_what_the_table_miss_entry_sends_up_is_a_miss() -> None:
    world, controller = red()
    add(controller, flow_mod(priority=0, cookie=5, apply=actions.output(CONTROLLER)))
    world.switches[1].packet_in(FRAME, cookie=world.switches[1].cookies()[0], metadata=at(1))
    (packet,) = controller.take("PACKET_IN")
    assert (packet.reason, packet.cookie) == (of13.OFPR_NO_MATCH, 5)


@pytest.mark.parametrize("entry", [{"priority": 1}, {"priority": 0, "match": in_port(1)}])
def test_what_any_other_entry_sends_up_is_an_action(entry: dict[str, Any]) -> None:
    world, controller = red()
    add(controller, flow_mod(**entry, apply=actions.output(CONTROLLER)))
    world.switches[1].packet_in(FRAME, cookie=world.switches[1].cookies()[0], metadata=at(1))
    assert controller.take("PACKET_IN")[0].reason == of13.OFPR_ACTION


def test_an_expired_ttl_is_told_as_such() -> None:
    world, controller = red()
    add(controller, flow_mod(priority=0, apply=actions.output(CONTROLLER)))
    world.switches[1].packet_in(FRAME, cookie=world.switches[1].cookies()[0], metadata=at(1),
                                reason=of13.OFPR_INVALID_TTL)
    assert controller.take() == []
    controller.send(build.set_async(AsyncConfig(1, (7, 0), (7, 7), (15, 0))))
    world.switches[1].packet_in(FRAME, cookie=world.switches[1].cookies()[0], metadata=at(1),
                                reason=of13.OFPR_INVALID_TTL)
    assert controller.take("PACKET_IN")[0].reason == of13.OFPR_INVALID_TTL


def test_what_the_action_set_sends_up_is_of_the_entry_that_wrote_it() -> None:
    world, controller = red()
    add(controller, flow_mod(cookie=5, table=1, priority=0, write=actions.output(CONTROLLER, 60)))
    number = world.switches[1].cookies(11)[0] & 0xFFFFFFFF
    for name in (REGISTER_15, TUNNEL_ID):  # also what the rules sent that were made for other switches
        world.switches[1].packet_in(FRAME, table=0, cookie=cookie(RED, PLACE | 1), metadata=at(1),
                                    others=tlv(name, number))
        (packet,) = controller.take("PACKET_IN")
        assert (packet.cookie, packet.table_id, packet.reason) == (5, 1, of13.OFPR_ACTION)
        assert dict(packet.match.items()) == {"in_port": 1}
    world.switches[1].packet_in(FRAME, table=0, cookie=cookie(RED, PLACE | 1), metadata=at(1),
                                others=tlv(TUNNEL_ID, 7) + tlv(REGISTER_15, number))
    (packet,) = controller.take("PACKET_IN")
    assert (packet.cookie, dict(packet.match.items())) == (5, {"in_port": 1, "tunnel_id": 7})


def test_the_tunnel_id_and_registers_are_told_in_every_format_but_not_ours() -> None:
    world, controller = red()
    others = Controller(world, "red"), Controller(world, "red")
    for form, other in enumerate(others, start=1):
        other.send(nicira(1, Nicira.SET_PACKET_IN_FORMAT, form.to_bytes(4, "big")))
    theirs = tlv(TUNNEL_ID, 1 << 63) + tlv(NX, 5) + tlv(NX + 14, 6)
    world.switches[1].packet_in(FRAME, metadata=at(1, 0xBEEF), others=theirs + tlv(REGISTER_15, 9))
    world.run()
    parts = PacketInParts(of13.OFPR_ACTION, 0, NO_COOKIE, 1, 0xBEEF, theirs)
    for form, each in zip(Format, (controller, *others), strict=True):
        assert each.messages == [parts.message(form, FRAME, len(FRAME))]


def test_over_other_switches_the_tunnel_id_is_not_told_and_not_taken() -> None:
    world, controller = red()
    apply = actions.set_field(tlv(TUNNEL_ID, 5))
    add(controller, flow_mod(table=1, apply=apply), flow_mod(match=tlv(TUNNEL_ID, 7), apply=actions.output(2)),
        flow_mod(match=tlv(TUNNEL_ID, 0), apply=actions.output(2)), flow_mod(write=actions.output(CONTROLLER)))
    assert_equal_to_recompute(world)
    extended = {dpid: dict(switch.rules) for dpid, switch in world.switches.items()}
    assert names(world) == {REGISTER_15} and matched(world) == [0, 7]
    world.hv.switches.datapaths[1].offer.extended = False
    bind(world)
    assert names(world) == {TUNNEL_ID} and matched(world) == []
    assert_equal_to_recompute(world)
    refusal = controller.ask(flow_mod(table=2, apply=apply))
    assert (refusal.type, refusal.code) == (of13.OFPET_BAD_ACTION, of13.OFPBAC_BAD_SET_TYPE)
    world.switches[1].packet_in(FRAME, metadata=at(1), others=tlv(TUNNEL_ID, 5))
    assert dict(controller.take("PACKET_IN")[0].match.items()) == {"in_port": 1}
    world.hv.switches.datapaths[1].offer.extended = True
    bind(world)
    assert {dpid: dict(switch.rules) for dpid, switch in world.switches.items()} == extended


def bind(world: World) -> None:
    """Look again what the switches of the logical switch can do."""
    world.hv.bind(world.hv.logical_switches["red"], world.now)
    world.run()


def names(world: World) -> set[int]:
    """The fields that rules of the first logical table write their names into."""
    return {number for (table, _, _), (_, instructions, _) in world.switches[1].rules.items() if table == 10
            for _, action in actions.walk(decode(instructions).write)
            for number in (REGISTER_15, TUNNEL_ID) if action[4:8] == tlv(number, 0)[:4]}


def matched(world: World) -> list[int]:
    """The tunnel ids that rules ask for."""
    found = {Match.from_tlvs(match).get(TUNNEL_ID) for _, _, match in world.switches[1].rules}
    return sorted(each[0] for each in found if each is not None)


def test_a_ttl_that_expires_in_the_action_set_is_of_the_entry_that_wrote_the_decrement() -> None:
    world, controller = red()
    controller.send(build.set_async(AsyncConfig(1, (7, 0), (7, 7), (15, 0))))
    add(controller, flow_mod(cookie=5, table=1, priority=3, match=tlv(of13.OFPXMT_OFB_ETH_TYPE, 0x800),
                             write=DEC_TTL + actions.output(2)))
    number = world.switches[1].cookies(11)[0] & 0xFFFFFFFF
    rules = [instructions for (table, _, _), (_, instructions, _) in world.switches[1].rules.items() if table == 11]
    assert {decode(rule).apply for rule in rules} == {actions.set_field(tlv(REGISTER_15, number))}
    world.switches[1].packet_in(FRAME, table=0, cookie=cookie(RED, PLACE | 1), metadata=at(1),
                                others=tlv(REGISTER_15, number), reason=of13.OFPR_INVALID_TTL)
    (packet,) = controller.take("PACKET_IN")
    assert (packet.cookie, packet.table_id, packet.reason) == (5, 1, of13.OFPR_INVALID_TTL)


@pytest.mark.parametrize("max_len", [0, 64, 500, of13.OFPCML_NO_BUFFER])
def test_what_is_not_buffered_is_sent_whole_whatever_the_action_asks_for(max_len: int) -> None:
    world, controller = red()
    add(controller, flow_mod(apply=actions.output(CONTROLLER, max_len)))
    for _ in range(2):
        world.switches[1].packet_in(FRAME, cookie=world.switches[1].cookies()[0], metadata=at(1))
    for packet in controller.take("PACKET_IN", "PACKET_IN"):
        assert (packet.data, packet.total_len) == (FRAME, 200)


def test_each_connection_gets_packets_in_its_own_format() -> None:
    world, controller = red()
    others = Controller(world, "red"), Controller(world, "red")
    for form, other in enumerate(others, start=1):
        other.send(nicira(1, Nicira.SET_PACKET_IN_FORMAT, form.to_bytes(4, "big")))
    world.switches[1].packet_in(FRAME, metadata=at(1, 0xBEEF))
    world.run()
    parts = PacketInParts(of13.OFPR_ACTION, 0, NO_COOKIE, 1, 0xBEEF)
    for form, each in zip(Format, (controller, *others), strict=True):
        assert each.messages == [parts.message(form, FRAME, len(FRAME))]


def test_only_connections_of_the_controller_id_zero_get_what_ordinary_outputs_send() -> None:
    world, controller = red()
    other = Controller(world, "red")
    other.send(nicira(1, Nicira.SET_CONTROLLER_ID, bytes(6) + b"\0\5"))
    world.switches[1].packet_in(FRAME, metadata=at(1))
    controller.take("PACKET_IN")
    assert other.take() == []


@pytest.mark.parametrize("lowers, number", [(b"", 7), (DEC_TTL, 0)])
def test_a_reason_that_an_action_gives_is_for_the_controllers_of_its_id(lowers: bytes, number: int) -> None:
    world, controller = red()
    other = Controller(world, "red")
    other.send(nicira(1, Nicira.SET_CONTROLLER_ID, bytes(6) + b"\0\7"))
    for each in (controller, other):
        each.send(build.set_async(AsyncConfig(1, (7, 0), (7, 7), (15, 0))))
    used_up = bytes.fromhex("ffff0010000023200014ffff00070200")
    add(controller, flow_mod(match=tlv(of13.OFPXMT_OFB_ETH_TYPE, 0x800), apply=lowers + used_up))
    world.switches[1].packet_in(FRAME, cookie=world.switches[1].cookies()[0], metadata=at(1),
                                reason=of13.OFPR_INVALID_TTL)
    told, untold = (other, controller) if number else (controller, other)
    (packet,) = told.take("PACKET_IN")
    assert (packet.reason, untold.take()) == (of13.OFPR_INVALID_TTL, [])


def test_what_a_packet_out_sends_to_controllers_of_an_id_goes_to_those_only() -> None:
    world, controller = red()
    other = Controller(world, "red")
    other.send(nicira(1, Nicira.SET_CONTROLLER_ID, bytes(6) + b"\0\5"))
    to_five = bytes.fromhex("ffff0010000023200014ffff00050100")
    controller.send(build.packet_out(1, 1, to_five + actions.output(2), FRAME))
    world.run()
    sent = [action for _, action in actions.walk(decode_packet_out(world.switches[1].packet_outs[-1]).actions)]
    assert sent[1:4] == [actions.set_field(tlv(REGISTER_15, PLACE | 5)), to_five[:12] + b"\0\0" + to_five[14:],
                         actions.set_field(tlv(REGISTER_15, 0))]
    # An action set that it met in the tables has an entry's number there.
    for register, who, nobody in ((PLACE | 5, other, controller), (5, controller, other)):
        world.switches[1].packet_in(FRAME, metadata=at(1) | PACKET_OUT_FLAG, others=tlv(REGISTER_15, register))
        assert dict(who.take("PACKET_IN")[0].match.items()) == {"in_port": 1}
        assert nobody.take() == []


def test_a_packet_out_that_the_port_does_not_take_in_is_judged_and_not_carried_out() -> None:
    world, controller = red()
    port = world.hv.logical_switches["red"].ports[1]
    controller.send(build.port_mod(1, 1, port.hw_addr, of13.OFPPC_NO_RECV, of13.OFPPC_NO_RECV))
    controller.send(build.packet_out(1, 1, actions.output(2), FRAME))
    world.run()
    sent = [action for _, action in actions.walk(decode_packet_out(world.switches[1].packet_outs[-1]).actions)]
    assert sent[1] == nicira_actions.leave() and len(sent) == 3
    before = len(world.switches[1].packet_outs)
    world.switches[1].hardware = "another switch"
    world.switches[1].reboot()
    world.pass_time(1.0)
    controller.send(build.packet_out(1, 1, actions.output(2), FRAME))
    world.run()
    assert len(world.switches[1].packet_outs) == before


def test_a_packet_out_is_taken_up_anew_behind_the_last_label() -> None:
    world, controller = red()
    popped = bytes.fromhex("0014000808000000")
    controller.send(build.packet_out(1, 1, popped + actions.output(2), FRAME))
    world.run()
    kinds = [kind for kind, _ in actions.walk(decode_packet_out(world.switches[1].packet_outs[-1]).actions)]
    assert kinds[1:] == [of13.OFPAT_POP_MPLS, of13.OFPAT_EXPERIMENTER, of13.OFPAT_GROUP]


@pytest.mark.parametrize("reason", [of13.OFPR_NO_MATCH, of13.OFPR_ACTION, of13.OFPR_INVALID_TTL])
def test_a_connection_gets_the_packets_of_the_reasons_it_asks_for(reason: int) -> None:
    world, controller = red()
    other = Controller(world, "red")
    controller.send(build.set_async(AsyncConfig(1, (1 << reason, 0), (0, 0), (0, 0))))
    other.send(build.set_async(AsyncConfig(1, (7 & ~(1 << reason), 0), (0, 0), (0, 0))))
    world.switches[1].packet_in(FRAME, metadata=at(1), reason=reason)
    assert controller.take("PACKET_IN")[0].reason == reason
    assert other.take() == []


def test_a_modified_entry_is_told_with_what_it_is_now() -> None:
    world, controller = red()
    add(controller, flow_mod(cookie=1, apply=actions.output(CONTROLLER, 20)))
    world.switches[1].packet_in(FRAME, cookie=world.switches[1].cookies()[0], metadata=at(1))
    controller.take("PACKET_IN")
    add(controller, flow_mod(cookie=2, apply=actions.output(CONTROLLER, 30)))
    world.switches[1].packet_in(FRAME, cookie=world.switches[1].cookies()[0], metadata=at(1))
    (packet,) = controller.take("PACKET_IN")
    assert packet.cookie == 2


def test_packets_of_every_context_reach_their_own_tenant_only() -> None:
    world = a_world(spec("red", {1: (1, 1)}), spec("white", {7: (1, 2)}))
    red_one, white = Controller(world, "red"), Controller(world, "white")
    world.switches[1].packet_in(FRAME, metadata=at(1, ls_id=WHITE))
    assert dict(white.take("PACKET_IN")[0].match.items()) == {"in_port": 7}
    world.switches[1].packet_in(FRAME, metadata=at(1, ls_id=RED))
    assert dict(red_one.take("PACKET_IN")[0].match.items()) == {"in_port": 1}
    assert white.take() == []


@pytest.mark.parametrize("contradiction", [
    {"metadata": 0},
    {"metadata": at(1, ls_id=9)},
    {"metadata": at(99)},
    {"metadata": at(1), "cookie": cookie(WHITE, 1)},
    {"metadata": at(1, ls_id=WHITE), "cookie": cookie(RED, 1)},
])
def test_packets_whose_context_is_unknown_or_contradicts_itself_are_counted_and_dropped(
    contradiction: dict[str, int],
) -> None:
    world = a_world(spec("red", {1: (1, 1)}), spec("white", {1: (1, 2)}))
    controllers = Controller(world, "red"), Controller(world, "white")
    for number in (1, 2):
        world.switches[1].packet_in(FRAME, **contradiction)
        world.run()
        assert world.hv.arrivals.unattributed == number
    assert [controller.take() for controller in controllers] == [[], []]


def test_packets_of_a_port_or_a_logical_switch_that_is_gone_are_dropped() -> None:
    world, controller = red()
    world.switches[1].packet_in(FRAME, metadata=at(1))
    controller.take("PACKET_IN")
    intent.delete_port(world.hv, "red", 1, lambda when: None, world.now)
    controller.take("PORT_STATUS")
    world.switches[1].packet_in(FRAME, metadata=at(1))
    assert controller.take() == []
    world.switches[1].packet_in(FRAME, metadata=at(2))
    controller.take("PACKET_IN")
    intent.delete_logical_switch(world.hv, "red", lambda when: None, world.now)
    world.pass_time(3.0)
    intent.create_logical_switch(world.hv, spec("white", {1: (1, 1), 2: (1, 2)}), world.now)
    world.pass_time(1.0)
    white = Controller(world, "white")
    assert world.hv.logical_switches["white"].ls_id == RED
    world.switches[1].packet_in(FRAME, metadata=at(2))
    assert dict(white.take("PACKET_IN")[0].match.items()) == {"in_port": 2}


def test_a_packet_of_an_entry_that_is_gone_is_dropped_without_alarm() -> None:
    world, controller = red()
    add(controller, flow_mod(apply=actions.output(CONTROLLER)))
    old = world.switches[1].cookies()[0]
    for _ in range(2):
        world.switches[1].packet_in(FRAME, cookie=old, metadata=at(1))
    controller.take("PACKET_IN", "PACKET_IN")
    add(controller, flow_mod(command=of13.OFPFC_DELETE))
    world.pass_time(LATE)
    world.switches[1].packet_in(FRAME, cookie=old, metadata=at(1))
    assert controller.take() == []
    assert world.hv.arrivals.unattributed == 0


def test_a_packet_that_comes_after_the_last_counts_of_its_entry_is_told_for_a_while() -> None:
    """Open vSwitch tells of a removed rule at once, of packets when they are handed over."""
    world, controller = red()
    add(controller, flow_mod(cookie=5, apply=actions.output(CONTROLLER)))
    old = world.switches[1].cookies()[0]
    add(controller, flow_mod(command=of13.OFPFC_DELETE))
    world.pass_time(LATE / 2)
    world.switches[1].packet_in(FRAME, cookie=old, metadata=at(1))
    assert controller.take("PACKET_IN")[0].cookie == 5


def test_a_packet_that_an_entry_sent_before_it_was_removed_is_told() -> None:
    world, controller = red()
    add(controller, flow_mod(cookie=5, apply=actions.output(CONTROLLER)))
    old = world.switches[1].cookies()[0]
    rules = world.switches[1].rules
    rules.update({key: (cookie, instructions, 0) for key, (cookie, instructions, _) in rules.items()})
    add(controller, flow_mod(command=of13.OFPFC_DELETE))
    world.switches[1].packet_in(FRAME, cookie=old, metadata=at(1))
    assert controller.take("PACKET_IN")[0].cookie == 5


def test_a_packet_from_before_a_reset_of_its_entrys_counters_is_told() -> None:
    world, controller = red()
    add(controller, flow_mod(cookie=5, apply=actions.output(CONTROLLER)))
    old = world.switches[1].cookies()[0]
    add(controller, flow_mod(cookie=5, apply=actions.output(CONTROLLER), flags=of13.OFPFF_RESET_COUNTS))
    assert world.switches[1].cookies()[0] != old
    world.switches[1].packet_in(FRAME, cookie=old, metadata=at(1))
    assert controller.take("PACKET_IN")[0].cookie == 5


def test_all_controllers_but_slaves_get_every_packet() -> None:
    world, one = red()
    other, slave = Controller(world, "red"), Controller(world, "red")
    slave.ask(build.role_request(1, of13.OFPCR_ROLE_SLAVE, 1))
    world.switches[1].packet_in(FRAME, metadata=at(1))
    one.take("PACKET_IN")
    other.take("PACKET_IN")
    assert slave.take() == []


# Packet-outs

def sent(world: World) -> list[tuple[int, int, list[bytes], bytes]]:
    """(dpid, in_port, actions, data) of every packet-out since the last time."""
    found = []
    for dpid, switch in world.switches.items():
        for message in switch.packet_outs:
            out = decode_packet_out(message)
            found.append((dpid, out.in_port, [action for _, action in actions.walk(out.actions)], out.data))
        switch.packet_outs.clear()
    return found


def lowered(world: World, controller: Controller, port: int, ingress: int = 1) -> tuple[int, int, list[bytes]]:
    """Where one output goes and what becomes of it, without the context set before it."""
    controller.send(build.packet_out(3, ingress, actions.output(port), FRAME))
    assert controller.take() == []
    ((dpid, physical, acts, data),) = sent(world)
    assert data == FRAME
    return dpid, physical, acts[1:]


def group(kind: GroupKind, index: int = 0) -> list[bytes]:
    return [actions.group(LAYOUT.group_id(kind, RED, index))]


@pytest.mark.parametrize("port, wanted", [
    (2, group(GroupKind.LPORT, 2)),
    (4, group(GroupKind.LPORT, 4)),
    (1, group(GroupKind.LPORT, 1)),  # an output to in_port, which the switch suppresses
    (99, []),
    (of13.OFPP_IN_PORT, [actions.output(of13.OFPP_IN_PORT)]),
    (of13.OFPP_ALL, group(GroupKind.FLOOD)),
    (of13.OFPP_FLOOD, group(GroupKind.FLOOD)),
    (CONTROLLER, [actions.output(CONTROLLER, of13.OFPCML_NO_BUFFER)]),
    (of13.OFPP_TABLE, [actions.output(of13.OFPP_TABLE)]),
])
def test_outputs_from_a_port_leave_at_its_edge_with_its_physical_port_as_in_port(
    port: int, wanted: list[bytes],
) -> None:
    assert lowered(*red(), port) == (1, 1, wanted)


@pytest.mark.parametrize("port, wanted", [
    (1, group(GroupKind.LPORT, 1)),
    (5, []),
    (6, group(GroupKind.HAIRPIN, 6)),
    (of13.OFPP_IN_PORT, group(GroupKind.HAIRPIN, 5)),
    (of13.OFPP_ALL, group(GroupKind.FLOOD_FROM, 5)),
    (of13.OFPP_FLOOD, group(GroupKind.FLOOD_FROM, 5)),
    (of13.OFPP_TABLE, [actions.push_vlan(), actions.set_vlan_vid(20), actions.output(of13.OFPP_TABLE),
                       actions.pop_vlan()]),
])
def test_outputs_from_a_sub_port_know_their_siblings_on_the_same_port(port: int, wanted: list[bytes]) -> None:
    assert lowered(*red(), port, ingress=5) == (1, 3, wanted)


@pytest.mark.parametrize("ingress", [CONTROLLER, of13.OFPP_ANY, 77])
@pytest.mark.parametrize("port, wanted", [
    (2, group(GroupKind.LPORT, 2)),
    (of13.OFPP_FLOOD, group(GroupKind.FLOOD)),
    (of13.OFPP_TABLE, [actions.output(of13.OFPP_TABLE)]),
])
def test_outputs_of_the_controller_itself_leave_anywhere(ingress: int, port: int, wanted: list[bytes]) -> None:
    assert lowered(*red(), port, ingress=ingress) == (1, CONTROLLER, wanted)


@pytest.mark.parametrize("port, wanted", [
    (1, group(GroupKind.LPORT, 1)),
    (2, []),
    (of13.OFPP_IN_PORT, group(GroupKind.LPORT, 2)),
    (of13.OFPP_FLOOD, [each for index in (1, 3, 4, 5, 6) for each in group(GroupKind.LPORT, index)]),
    (of13.OFPP_ALL, [each for index in (1, 3, 4, 5, 6) for each in group(GroupKind.LPORT, index)]),
    (of13.OFPP_TABLE, [actions.output(of13.OFPP_TABLE)]),
])
def test_outputs_from_a_port_whose_edge_is_away_leave_elsewhere_with_its_suppression_spelled_out(
    port: int, wanted: list[bytes],
) -> None:
    world, controller = red()
    world.switches[2].disconnect()
    assert lowered(world, controller, port, ingress=2) == (1, CONTROLLER, wanted)


@pytest.mark.parametrize("ingress, context", [
    (1, at(1)), (5, at(5) | SHARED_FLAG), (CONTROLLER, at(0)), (77, at(0)),
])
def test_the_context_of_a_packet_out_is_set_before_anything_else(ingress: int, context: int) -> None:
    world, controller = red()
    controller.send(build.packet_out(3, ingress, actions.output(of13.OFPP_TABLE), FRAME))
    world.run()
    ((_, _, acts, _),) = sent(world)
    assert acts[0] == actions.set_field(tlv(of13.OFPXMT_OFB_METADATA, context | PACKET_OUT_FLAG))


def test_other_actions_are_passed_on_in_their_order() -> None:
    world, controller = red()
    new = actions.set_field(tlv(of13.OFPXMT_OFB_ETH_DST, 7))
    controller.send(build.packet_out(3, 1, actions.output(2) + new + actions.output(4) + actions.push_vlan(), FRAME))
    world.run()
    ((_, _, acts, _),) = sent(world)
    assert acts[1:] == [*group(GroupKind.LPORT, 2), new, *group(GroupKind.LPORT, 4), actions.push_vlan()]


def test_a_tenants_group_is_its_variant_for_the_ingress_port() -> None:
    world, controller = red()
    add(controller, build.group_mod(1, of13.OFPGC_ADD, of13.OFPGT_ALL, 9, bucket(actions.output(5))))
    places = world.hv.logical_switches["red"].groups.groups[9].indexes
    for ingress, index in ((1, 0), (5, 5), (6, 6)):
        controller.send(build.packet_out(3, ingress, actions.group(9), FRAME))
        world.run()
        ((_, _, acts, _),) = sent(world)
        assert acts[1:] == group(GroupKind.TENANT, places[index])


@pytest.mark.parametrize("port", [of13.OFPP_LOCAL, of13.OFPP_ANY, 0, 0xFF00, 0xFFFFFF00])
def test_ports_that_no_logical_switch_has_are_bad(port: int) -> None:
    world, controller = red()
    assert controller.refused(build.packet_out(3, 1, actions.output(port), FRAME)) == (
        of13.OFPET_BAD_ACTION, of13.OFPBAC_BAD_OUT_PORT)
    assert sent(world) == []


@pytest.mark.parametrize("ingress, wanted", [
    *((ingress, (of13.OFPET_BAD_REQUEST, of13.OFPBRC_BAD_PORT))
      for ingress in (of13.OFPP_ALL, of13.OFPP_TABLE, of13.OFPP_IN_PORT, 0xFFFFFF00)),
    *((ingress, (of13.OFPET_BAD_ACTION, of13.OFPBAC_BAD_OUT_PORT)) for ingress in (0xFF00, 0xFFFFFEFF)),
])
def test_an_in_port_that_no_packet_has_is_bad(ingress: int, wanted: tuple[int, int]) -> None:
    world, controller = red()
    assert controller.refused(build.packet_out(3, ingress, actions.output(2), FRAME)) == wanted


def test_a_buffer_is_unknown_every_time() -> None:
    world, controller = red()
    for _ in range(2):
        assert controller.refused(build.packet_out(3, 1, actions.output(2), b"", buffer_id=5)) == (
            of13.OFPET_BAD_REQUEST, of13.OFPBRC_BUFFER_UNKNOWN)
    assert sent(world) == []


def test_a_group_that_is_not_there_is_bad() -> None:
    _, controller = red()
    assert controller.refused(build.packet_out(3, 1, actions.group(9), FRAME)) == (
        of13.OFPET_BAD_ACTION, of13.OFPBAC_BAD_OUT_GROUP)


@pytest.mark.parametrize("number", [9, of13.OFPG_MAX + 1])
@pytest.mark.parametrize("wrong", [actions.dec_nw_ttl(), actions.set_field(tlv(of13.OFPXMT_OFB_ARP_OP, 2))])
def test_what_the_packet_does_not_allow_is_told_before_a_group_that_is_not_there(wrong: bytes, number: int) -> None:
    _, controller = red()
    assert controller.refused(build.packet_out(3, 1, actions.group(number) + wrong, bytes(60))) == (
        of13.OFPET_BAD_ACTION, of13.OFPBAC_MATCH_INCONSISTENT)


def test_an_empty_packet_goes_nowhere() -> None:
    world, controller = red()
    controller.send(build.packet_out(3, 1, actions.output(2), b"") + build.barrier_request(4))
    controller.take("BARRIER_REPLY")
    assert sent(world) == []


def test_a_packet_out_does_not_overtake_the_rules_before_it() -> None:
    world, controller = red()
    switch = world.switches[1]
    switch.received_types.clear()
    controller.send(flow_mod(apply=actions.output(2)) + build.packet_out(3, 1, actions.output(of13.OFPP_TABLE), FRAME))
    world.run()
    seen = [kind for kind in switch.received_types if kind != "MULTIPART_REQUEST"]
    last_rule = max(place for place, kind in enumerate(seen) if kind == "FLOW_MOD")
    assert seen[last_rule + 1:last_rule + 3] == ["BARRIER_REQUEST", "PACKET_OUT"]


def test_a_barrier_covers_packet_outs() -> None:
    world, controller = red()
    world.switches[1].hold_barriers = True
    controller.send(build.packet_out(3, 1, actions.output(2), FRAME) + build.barrier_request(4))
    assert controller.take() == []
    world.switches[1].release()
    controller.take("BARRIER_REPLY")


def test_a_packet_out_that_a_switch_refuses_is_refused_with_the_tenants_bytes() -> None:
    world, controller = red()
    message = build.packet_out(3, 1, actions.output(2), FRAME)
    controller.send(message)
    world.run()
    (physical,) = world.switches[1].packet_outs
    world.switches[1].send(build.error(int.from_bytes(physical[4:8], "big"), of13.OFPET_BAD_ACTION,
                                       of13.OFPBAC_BAD_OUT_PORT, physical[:64]))
    (error,) = controller.take("ERROR")
    assert (error.xid, error.type, error.code) == (3, of13.OFPET_BAD_ACTION, of13.OFPBAC_BAD_OUT_PORT)
    assert error.data == message[:len(error.data)]


def test_with_all_edges_away_a_packet_out_is_lost() -> None:
    world = a_world(spec("red", {1: (1, 1)}))
    controller = Controller(world, "red")
    world.switches[1].disconnect()
    controller.send(build.packet_out(3, 1, actions.output(1), FRAME) + build.echo_request(4))
    controller.take("ECHO_REPLY")
    assert sent(world) == []


def test_packets_without_an_entry_have_no_cookie() -> None:
    world, controller = red()
    world.switches[1].packet_in(FRAME, metadata=at(0))
    (packet,) = controller.take("PACKET_IN")
    assert (packet.cookie, dict(packet.match.items())) == (NO_COOKIE, {"in_port": CONTROLLER})


def test_a_packet_out_that_needs_what_a_switch_lacks_reaches_none() -> None:
    world = a_world()
    push_mpls = bytes((0, of13.OFPAT_PUSH_MPLS, 0, 8, 0x88, 0x47, 0, 0))
    world.switches[3].tables = described_tables(without_actions=(of13.OFPAT_PUSH_MPLS,))
    world.switches[3].disconnect()
    world.switches[3].connect()
    world.pass_time(1.0)
    controller = Controller(world, "red")
    message = build.packet_out(5, 1, push_mpls + actions.output(2), FRAME)
    assert controller.refused(message) == (of13.OFPET_BAD_ACTION, of13.OFPBAC_BAD_TYPE)
    assert world.switches[1].packet_outs == []
    add(controller, build.packet_out(5, 1, actions.push_vlan() + actions.output(2), FRAME))
    assert len(world.switches[1].packet_outs) == 1


# Packets that are kept for controllers (trap 13)

UNKNOWN = of13.OFPET_BAD_REQUEST, of13.OFPBRC_BUFFER_UNKNOWN
EMPTY = of13.OFPET_BAD_REQUEST, of13.OFPBRC_BUFFER_EMPTY


def buffering(number: int = 4) -> tuple[World, Controller]:
    """Red keeps packets, white does too."""
    places = {"red": {1: (1, 1), 2: (2, 1)}, "white": {1: (1, 2), 2: (2, 2)}}
    world = a_world(*(structs.replace(spec(name, ports, dpid=at), buffers=number)
                      for at, (name, ports) in enumerate(places.items(), start=0xA0)))
    return world, Controller(world, "red")


def up(world: World, controller: Controller, **fields: Any) -> Any:
    """The packet-in that a controller gets of a frame which the entry installed last sends up."""
    world.switches[1].packet_in(FRAME, cookie=world.switches[1].cookies()[-1], metadata=at(1), **fields)
    world.run()
    (packet,) = controller.take("PACKET_IN")
    assert packet.total_len == len(FRAME)
    return packet


@pytest.mark.parametrize("max_len, told", [(0, b""), (64, FRAME[:64]), (500, FRAME)])
def test_a_packet_that_is_kept_is_cut_to_what_the_action_asks_for(max_len: int, told: bytes) -> None:
    world, controller = buffering()
    add(controller, flow_mod(priority=0, apply=actions.output(CONTROLLER, max_len)))
    packet = up(world, controller)
    assert packet.data == told and packet.buffer_id != of13.OFP_NO_BUFFER
    assert controller.ask(build.features_request(3)).n_buffers == 4


def test_what_is_asked_for_whole_is_not_kept() -> None:
    world, controller = buffering()
    add(controller, flow_mod(priority=0, apply=actions.output(CONTROLLER, of13.OFPCML_NO_BUFFER)))
    packet = up(world, controller)
    assert (packet.data, packet.buffer_id) == (FRAME, of13.OFP_NO_BUFFER)
    world.switches[1].packet_in(FRAME, metadata=at(1))  # a packet-out's
    assert controller.take("PACKET_IN")[0].data == FRAME


@pytest.mark.parametrize("sends, controller_id, told", [
    (actions.output(CONTROLLER, 10) + actions.output(CONTROLLER, 30), 0, 30),
    (actions.group(1), 0, 50), (actions.group(2), 0, 50),
    (actions.output(CONTROLLER, 10) + actions.group(1), 0, 50),
    (bytes.fromhex("ffff001000002320001400280007 0000"), 7, 40),
])
def test_the_greatest_of_what_may_have_sent_it_counts(sends: bytes, controller_id: int, told: int) -> None:
    world, controller = buffering()
    controller.send(nicira(1, Nicira.SET_CONTROLLER_ID, controller_id.to_bytes(8, "big")))
    add(controller, build.group_mod(1, 0, 0, 1, bucket(actions.output(CONTROLLER, 50))),
        build.group_mod(1, 0, 0, 2, bucket(actions.group(1)) + bucket(actions.output(2))),
        flow_mod(apply=sends))
    assert len(up(world, controller).data) == told


def test_the_action_set_and_expired_ttls_have_their_own_lengths() -> None:
    world, controller = buffering()
    controller.send(build.set_async(AsyncConfig(1, (7, 0), (7, 7), (15, 0))) + build.set_config(1, 0, 20))
    add(controller, flow_mod(apply=actions.output(CONTROLLER, 100), write=actions.output(CONTROLLER, 60)))
    number = world.switches[1].cookies()[-1] & 0xFFFFFFFF
    assert len(up(world, controller).data) == 100
    assert len(up(world, controller, reason=of13.OFPR_INVALID_TTL).data) == 20
    world.switches[1].packet_in(FRAME, table=0, cookie=cookie(RED, PLACE | 1), metadata=at(1),
                                others=tlv(REGISTER_15, number))
    assert len(controller.take("PACKET_IN")[0].data) == 60


def test_all_controllers_are_told_one_number_in_their_formats() -> None:
    world, controller = buffering()
    other = Controller(world, "red")
    other.send(nicira(1, Nicira.SET_PACKET_IN_FORMAT, b"\0\0\0\1"))
    add(controller, flow_mod(apply=actions.output(CONTROLLER, 8)))
    packet = up(world, controller)
    (theirs,) = other.messages
    assert theirs[16:20] == packet.buffer_id.to_bytes(4, "big") and theirs.endswith(FRAME[:8])
    other.messages.clear()
    add(other, build.packet_out(3, 1, actions.output(2), b"", buffer_id=packet.buffer_id))
    assert controller.refused(build.packet_out(3, 1, actions.output(2), b"", buffer_id=packet.buffer_id)) == EMPTY


def test_a_packet_out_sends_the_packet_that_is_kept_once() -> None:
    world, controller = buffering()
    add(controller, flow_mod(apply=actions.output(CONTROLLER, 0)))
    number = up(world, controller).buffer_id
    white = Controller(world, "white")
    message = build.packet_out(3, 1, actions.output(2), b"", buffer_id=number)
    assert white.refused(message) == UNKNOWN, "a number means nothing to another tenant"
    assert controller.refused(build.packet_out(3, 1, actions.group(9), b"", buffer_id=number)) == (
        of13.OFPET_BAD_ACTION, of13.OFPBAC_BAD_OUT_GROUP)
    add(controller, message)
    assert [decode_packet_out(out).data for out in world.switches[1].packet_outs] == [FRAME]
    assert decode_packet_out(world.switches[1].packet_outs[0]).buffer_id == of13.OFP_NO_BUFFER
    assert controller.refused(message) == EMPTY
    number = up(world, controller).buffer_id
    world.pass_time(LIFETIME + 1)
    controller.messages.clear()
    assert controller.refused(build.packet_out(3, 1, actions.output(2), b"", buffer_id=number)) == UNKNOWN


def test_a_flow_mod_sends_the_packet_through_the_tables_after_itself() -> None:
    world, controller = buffering()
    add(controller, flow_mod(priority=0, apply=actions.output(CONTROLLER, 0)))
    first, second = (up(world, controller).buffer_id for _ in range(2))
    assert controller.refused(flow_mod(table=99, buffer_id=first)) == (of13.OFPET_BAD_REQUEST, of13.OFPBRC_BAD_TABLE_ID)
    add(controller, flow_mod(apply=actions.output(2), buffer_id=first))
    (out,) = map(decode_packet_out, world.switches[1].packet_outs)
    assert (out.data, out.in_port) == (FRAME, 1), "the physical port of port 1"
    assert out.actions.endswith(actions.output(of13.OFPP_TABLE))
    held = dict(world.switches[1].rules)
    assert controller.refused(flow_mod(priority=7, buffer_id=first)) == EMPTY
    assert controller.refused(flow_mod(priority=7, buffer_id=999)) == UNKNOWN
    assert world.switches[1].rules == held, "nothing is changed by a flow-mod that is refused"
    add(controller, flow_mod(command=of13.OFPFC_DELETE, buffer_id=second))
    assert len(world.switches[1].packet_outs) == 1, "a deletion has no packet"
    add(controller, flow_mod(command=of13.OFPFC_MODIFY, buffer_id=second))
    assert len(world.switches[1].packet_outs) == 2
    assert_equal_to_recompute(world)


def test_what_a_packet_out_teaches_or_tracks_must_be_in_the_packet() -> None:
    world, controller = red()
    udp = learn(value(MATCH, 16, 0x800, ETH_TYPE), value(MATCH, 8, 17, IP_PROTO), field(MATCH, 16, UDP_SRC, UDP_SRC))
    later = bytearray(UDP_PACKET)
    later[14 + 7] = 5
    for data, taken in ((UDP_PACKET, True), (bytes(60), False), (bytes(later), False), (b"", False)):
        message = build.packet_out(9, 1, udp + actions.output(2), data)
        if not taken:
            assert controller.refused(message) == (of13.OFPET_BAD_ACTION, of13.OFPBAC_MATCH_INCONSISTENT)
            continue
        controller.send(message)
        world.run()
        controller.take()
    for action, data in ((ct(), bytes(60)), (actions.dec_nw_ttl() + learn(BACK), bytes(60))):
        assert controller.refused(build.packet_out(9, 1, action, data)) == (
            of13.OFPET_BAD_ACTION, of13.OFPBAC_MATCH_INCONSISTENT)
    assert len(world.switches[1].packet_outs) == 1
