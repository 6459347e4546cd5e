"""Switches with 32 bits of metadata: what they hold, what tenants over them get, and that nothing else differs."""
from __future__ import annotations

from struct import unpack_from

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvproxy.hypervisor import audit_report, narrow
from hvproxy.hypervisor.report import Row
from hvproxy.model.layout import (
    GROUP_FLAG, LEARNS_FLAG, PACKET_OUT_FLAG, SHARED_FLAG, ContextLayout, Table, cookie,
)
from hvproxy.model.rules import Change, Group, Rule
from hvproxy.openflow import actions, build, instructions
from hvproxy.openflow.constants import of13
from hvproxy.openflow.instructions import Instructions, decode
from hvproxy.openflow.messages import decode_packet_in, decode_packet_out
from hvproxy.openflow.multipart import Kind, multipart_request
from hvproxy.openflow.oxm import Match, metadata_tlv, tlv
from tests.harness import Controller, World, described_tables
from tests.hypervisor.worlds import a_world, add, changes, flow_mod, in_port

LAYOUT = ContextLayout()
CONTEXT, HERE = LAYOUT.context(0xABC, 0x123), 0xABC123 << 8
WHOLE = 0xFFFFFFFFFFFFFFFF
METADATA = of13.OFPXMT_OFB_METADATA
LEAVES = (1, 2, 3)


def a_rule(value: int, mask: int, written: tuple[int, int] | None) -> Rule:
    return Rule(Table.LOGICAL, 7, metadata_tlv(value, mask) + tlv(of13.OFPXMT_OFB_ETH_TYPE, 0x800),
                instructions.build(Instructions(goto=12, metadata=written, apply=actions.output(1))), cookie(1, 2))


@pytest.mark.parametrize(("wide", "below"), [
    ((CONTEXT & LAYOUT.logical_switch_mask, LAYOUT.logical_switch_mask), (0xABC00000, 0xFFF00000)),
    ((CONTEXT | SHARED_FLAG | 3, WHOLE & ~0xFFFFFFE0), (HERE | 0x23, 0xFFFFFFFF)),
    ((GROUP_FLAG, GROUP_FLAG), (0x40, 0x40)),
    ((PACKET_OUT_FLAG | 0x1F, PACKET_OUT_FLAG | 0x1F), (0x9F, 0x9F)),
    ((0x1234567, WHOLE), (0x1234567, 0xFFFFFFFF)),
    ((0x20, 0x20), (0x20, 0x20)),
    ((LEARNS_FLAG, LEARNS_FLAG), (LEARNS_FLAG, LEARNS_FLAG)),
])
def test_metadata_as_it_is_matched_and_written_there(wide: tuple[int, int], below: tuple[int, int]) -> None:
    """The index of an edge stays, and so does what is not there: the switch refuses it."""
    assert narrow.rule(a_rule(*wide, wide)) == a_rule(*below, below)


def test_what_has_no_metadata_stays_as_it_is() -> None:
    rule = Rule(0, 1, tlv(of13.OFPXMT_OFB_IN_PORT, 3), b"", 0)
    assert narrow.rule(rule) is rule
    group = Group(1, 0, b"")
    wide = Change(put_rules=[a_rule(GROUP_FLAG, GROUP_FLAG, None)], put_groups=[group], drop_rules=[rule])
    below = narrow.change(wide)
    assert (below.put_rules, below.put_groups, below.drop_rules) == (
        [a_rule(0x40, 0x40, None)], [group], [rule])
    assert narrow.rules(wide.put_rules) == {each.key: each for each in below.put_rules}


@given(st.integers(0, 0xFFFFFF), st.integers(0, 7), st.integers(0, narrow.TENANT), st.booleans())
def test_what_is_told_of_packets_is_as_it_was_written(context: int, flags: int, tenant: int, after: bool) -> None:
    value = context << 40 | flags << 32 | tenant
    out = narrow.packet_out(actions.output(3) + actions.set_field(tlv(METADATA, value)))
    below, = unpack_from("!Q", out, 16 + 8)
    assert out[:16] == actions.output(3) and below <= narrow.BITS
    before, behind = tlv(of13.OFPXMT_OFB_IN_PORT, 7), tlv(of13.OFPXMT_OFB_TUNNEL_ID, 5) if after else b""
    told = narrow.packet_in(build.packet_in(1, 2, 3, 1, 5, 6, before + tlv(METADATA, below) + behind, b"frame"))
    read = decode_packet_in(told)
    assert (read.metadata, read.in_port, read.data) == (value, 7, b"frame")
    nothing = build.packet_in(1, 2, 3, 1, 5, 6, before + behind, b"frame")
    assert narrow.packet_in(nothing) == nothing


def a_narrow_world() -> tuple[World, Controller]:
    world = a_world()
    for dpid in (*LEAVES, 0x11, 0x12):
        world.switches[dpid].hardware = "logical switch"
        world.switches[dpid].tables = described_tables(20, metadata=narrow.BITS)
        world.switches[dpid].reboot()
    world.pass_time(1.0)
    return world, Controller(world, "red")


def assert_held(world: World) -> None:
    """The switches hold what is desired, in their form, and nothing beyond 32 bits."""
    world.run()
    for dpid, dp in world.hv.switches.datapaths.items():
        held = world.switches[dpid].rules
        assert {key: rule[:2] for key, rule in held.items()} == {
            key: (rule.cookie, rule.instructions) for key, rule in narrow.rules(dp.desired.rules.values()).items()}
        for (_, _, match), rule in held.items():
            asked, written = Match.from_tlvs(match).metadata, decode(rule[1]).metadata
            assert asked is None or asked[1] <= narrow.BITS
            assert written is None or written[1] <= narrow.BITS


def test_such_switches_are_used_and_hold_no_more_than_they_can() -> None:
    world, controller = a_narrow_world()
    add(controller, flow_mod(match=in_port(5) + metadata_tlv(3, 7), apply=actions.output(2), goto=1),
        flow_mod(write=actions.output(6), metadata=(1, 0x1F), priority=4), flow_mod(table=1, apply=actions.output(4)))
    assert all(dp.ready and dp.offer.narrow and not world.hv.shortcomings.of(dp)
               for dp in world.hv.switches.datapaths.values())
    assert all(port.up for port in world.hv.logical_switches["red"].ports.values())
    assert_held(world)
    before = changes(world)
    for dpid in LEAVES:
        world.switches[dpid].disconnect()
        world.switches[dpid].connect()
    world.pass_time(2.0)
    assert changes(world) == before, "what is there is adopted"
    rows: list[Row | None] = []
    audit_report.audit(world.hv, 1, rows.append, world.now)
    world.run()
    assert rows[0] is not None and rows[0]["drift"] == []


def test_a_tenant_is_told_how_much_metadata_there_is_and_gets_no_more() -> None:
    world, controller = a_narrow_world()
    features = controller.ask(multipart_request(3, Kind.TABLE_FEATURES, b"")).body
    assert {(table.metadata_match, table.metadata_write) for table in features} == {(narrow.TENANT, narrow.TENANT)}
    controller.send(flow_mod(metadata=(0x20, 0x20), apply=actions.output(2)))
    error, = controller.take("ERROR")
    assert (error.type, error.code) == (of13.OFPET_BAD_INSTRUCTION, of13.OFPBIC_UNSUP_METADATA_MASK)
    controller.send(flow_mod(match=metadata_tlv(0x20, 0x20), apply=actions.output(2)))
    error, = controller.take("ERROR")
    assert (error.type, error.code) == (of13.OFPET_BAD_MATCH, of13.OFPBMC_BAD_MASK)


def test_packets_are_whose_they_are() -> None:
    world, controller = a_narrow_world()
    add(controller, flow_mod(apply=actions.output(of13.OFPP_CONTROLLER), cookie=0xC))
    ls = world.hv.logical_switches["red"]
    number = next(iter(ls.tables.entries())).number
    metadata = (LAYOUT.context(ls.ls_id, ls.ports[2].index) >> 40) << 8 | 0x15
    world.switches[2].packet_in(bytes(60), cookie=cookie(ls.ls_id, number), metadata=metadata)
    told, = controller.take("PACKET_IN")
    assert (told.match["in_port"], told.match["metadata"], told.cookie) == (2, 0x15, 0xC)
    controller.send(build.packet_out(7, 2, actions.output(of13.OFPP_TABLE), bytes(60)))
    world.run()
    sent, = (message for switch in world.switches.values() for message in switch.packet_outs)
    value, = (unpack_from("!Q", action, 8)[0] for kind, action in actions.walk(decode_packet_out(sent).actions)
              if kind == of13.OFPAT_SET_FIELD)
    assert value == metadata & ~0xFF | 1 << 7


def test_a_switch_with_half_of_it_or_with_extensions_is_none_of_these() -> None:
    world = a_world()
    for dpid, hardware, metadata in ((1, "logical switch", 0xFFFF), (2, "Open vSwitch", narrow.BITS)):
        world.switches[dpid].hardware = hardware
        world.switches[dpid].tables = described_tables(20, metadata=metadata)
        world.switches[dpid].reboot()
        dp = world.hv.switches.datapaths[dpid]
        assert not dp.offer.narrow and world.hv.shortcomings.of(dp)
