from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ryu.ofproto import ofproto_v1_3 as of13  # type: ignore[import-untyped]
from ryu.ofproto import ofproto_v1_3_parser as ryu13
from ryu.ofproto.ofproto_protocol import ProtocolDesc  # type: ignore[import-untyped]

from hvproxy.openflow import build, messages
from hvproxy.openflow.groups import GroupMod
from hvproxy.openflow.ports import PortDesc

DATAPATH = ProtocolDesc(4)
U8 = st.integers(0, 2**8 - 1)
U16 = st.integers(0, 2**16 - 1)
U32 = st.integers(0, 2**32 - 1)
U64 = st.integers(0, 2**64 - 1)
MAC = st.binary(min_size=6, max_size=6).map(lambda raw: raw.hex(":"))
MATCH = st.fixed_dictionaries({}, optional={
    "in_port": U32, "metadata": U64, "eth_dst": MAC, "eth_type": st.just(0x800),
    "vlan_vid": st.integers(0x1000, 0x1fff), "ip_proto": U8, "ipv4_src": st.just(("10.0.0.0", "255.0.0.0")),
}).map(lambda fields: ryu13.OFPMatch(**fields))
ACTION = st.one_of(
    st.builds(ryu13.OFPActionOutput, U32, U16), st.builds(ryu13.OFPActionGroup, U32),
    st.builds(lambda mac: ryu13.OFPActionSetField(eth_src=mac), MAC),
)
INSTRUCTION = st.one_of(
    st.builds(ryu13.OFPInstructionGotoTable, U8), st.builds(ryu13.OFPInstructionWriteMetadata, U64, U64),
    st.builds(ryu13.OFPInstructionActions, st.sampled_from([of13.OFPIT_APPLY_ACTIONS, of13.OFPIT_WRITE_ACTIONS]),
              st.lists(ACTION, max_size=3)),
    st.builds(ryu13.OFPInstructionMeter, U32),
)


def sent_by_ryu(message: Any, xid: int) -> bytes:
    message.set_xid(xid)
    message.serialize()
    return bytes(message.buf)


def wire_of(*parts: Any) -> bytes:
    whole = b""
    for part in parts:
        buffer = bytearray()
        part.serialize(buffer, 0)
        whole += bytes(buffer)
    return whole


def unpadded(match: ryu13.OFPMatch) -> bytes:
    buffer = bytearray()
    match.serialize(buffer, 0)
    return bytes(buffer[:match.length])


@given(U32, st.tuples(U64, U64, U8, U8, U16, U16, U16, U32, U32, U32, U16), MATCH, st.lists(INSTRUCTION, max_size=3))
def test_flow_mod_of_ryu_is_read(xid: int, fields: Any, match: Any, instructions: list[Any]) -> None:
    wire = sent_by_ryu(ryu13.OFPFlowMod(DATAPATH, *fields, match, instructions), xid)
    assert messages.decode_flow_mod(wire) == messages.FlowMod(
        *(xid, *fields, unpadded(match), wire_of(*instructions)))


@given(U32, U32, U32, st.lists(ACTION, min_size=1, max_size=3), st.binary(max_size=100))
def test_packet_out_of_ryu_is_read(xid: int, buffer_id: int, port: int, actions: list[Any], data: bytes) -> None:
    # Ryu sends data only with OFP_NO_BUFFER, and loses its first bytes when there is no action.
    theirs = ryu13.OFPPacketOut(DATAPATH, of13.OFP_NO_BUFFER if data else buffer_id, port, actions, data or None)
    assert messages.decode_packet_out(sent_by_ryu(theirs, xid)) == messages.PacketOut(
        xid, theirs.buffer_id, port, wire_of(*actions), data)


def test_packet_out_without_actions_is_read() -> None:
    wire = bytes.fromhex("040d001b" "00000001" "ffffffff" "00000007" "0000" "000000000000") + b"abc"
    assert messages.decode_packet_out(wire) == messages.PacketOut(1, of13.OFP_NO_BUFFER, 7, b"", b"abc")


def packet_in(tlvs: bytes, data: bytes = b"payload") -> messages.PacketIn:
    return messages.decode_packet_in(build.packet_in(1, 2, 3, 4, 5, 6, tlvs, data))


@given(st.tuples(U32, U32, U16, U8, U8, U64), MATCH, st.binary(max_size=100))
def test_packet_in_is_read_as_ryu_reads_it(fields: Any, match: Any, data: bytes) -> None:
    tlvs = unpadded(match)[4:]
    wire = build.packet_in(*(*fields, tlvs, data))
    theirs = ryu13.OFPPacketIn.parser(DATAPATH, 4, wire[1], len(wire), fields[0], wire)
    ours = messages.decode_packet_in(wire)
    assert (ours.buffer_id, ours.total_len, ours.reason, ours.table_id, ours.cookie) == (
        theirs.buffer_id, theirs.total_len, theirs.reason, theirs.table_id, theirs.cookie)
    assert ours.in_port == theirs.match.get("in_port", 0)
    assert ours.metadata == theirs.match.get("metadata", 0)
    assert (ours.xid, ours.match_tlvs, ours.data) == (fields[0], tlvs, data)


def test_packet_in_finds_in_port_and_metadata_in_any_order_and_under_a_mask() -> None:
    metadata = bytes.fromhex("80000510" "0102030405060708" "ffffffffffffffff")
    in_port = bytes.fromhex("80000004" "00000009")
    eth_type = bytes.fromhex("80000a02" "0800")
    for tlvs in (metadata + eth_type + in_port, in_port + eth_type + metadata):
        read = packet_in(tlvs)
        assert (read.in_port, read.metadata, read.match_tlvs) == (9, 0x0102030405060708, tlvs)


def test_packet_in_does_not_take_fields_of_another_class_for_in_port_or_metadata() -> None:
    # NXM_OF_IN_PORT is field 0 of class 0 and two bytes long; NXM_NX_REG2 is field 2 of class 1.
    read = packet_in(bytes.fromhex("00000002" "0007" "00010404" "00000008" "80000004" "00000009"))
    assert (read.in_port, read.metadata, read.data) == (9, 0, b"payload")


def test_packet_in_without_in_port_names_no_port() -> None:
    read = packet_in(b"")
    assert (read.in_port, read.metadata, read.match_tlvs, read.data) == (0, 0, b"", b"payload")


@given(st.tuples(U32, U64, U16, U8, U8, U32, U32, U16, U16, U64, U64), MATCH)
def test_flow_removed_is_read_as_ryu_reads_it(fields: Any, match: Any) -> None:
    wire = build.flow_removed(*(*fields, unpadded(match)[4:]))
    theirs = ryu13.OFPFlowRemoved.parser(DATAPATH, 4, wire[1], len(wire), fields[0], wire)
    assert messages.decode_flow_removed(wire) == messages.FlowRemoved(
        theirs.xid, theirs.cookie, theirs.priority, theirs.reason, theirs.table_id, theirs.duration_sec,
        theirs.duration_nsec, theirs.idle_timeout, theirs.hard_timeout, theirs.packet_count, theirs.byte_count,
        unpadded(theirs.match))


@given(U8, U32, U32)
def test_port_status_is_read_as_ryu_reads_it(reason: int, number: int, config: int) -> None:
    port = PortDesc(number, b"\2\0\0\0\0\1", "eth0", config)
    wire = build.port_status(reason, port, 5)
    theirs = ryu13.OFPPortStatus.parser(DATAPATH, 4, wire[1], len(wire), 5, wire)
    assert messages.decode_port_status(wire) == messages.PortStatus(theirs.reason, port)
    assert (theirs.desc.port_no, theirs.desc.config) == (number, config)


@given(U32, U64, U32, U8, U8, U32)
def test_features_reply_is_read_as_ryu_reads_it(
    xid: int, dpid: int, buffers: int, tables: int, auxiliary: int, capabilities: int,
) -> None:
    wire = build.features_reply(xid, dpid, buffers, tables, auxiliary, capabilities)
    theirs = ryu13.OFPSwitchFeatures.parser(DATAPATH, 4, wire[1], len(wire), xid, wire)
    assert messages.decode_features_reply(wire) == messages.FeaturesReply(
        xid, theirs.datapath_id, theirs.n_buffers, theirs.n_tables, theirs.auxiliary_id, theirs.capabilities)


@given(U32, U16.filter(lambda kind: kind != of13.OFPET_EXPERIMENTER), U16, st.binary(min_size=1, max_size=90))
def test_error_of_ryu_is_read(xid: int, kind: int, code: int, data: bytes) -> None:
    wire = sent_by_ryu(ryu13.OFPErrorMsg(DATAPATH, kind, code, data), xid)
    assert messages.decode_error(wire) == messages.ErrorMsg(xid, kind, code, data)


@given(U32, U32, U64)
def test_role_request_of_ryu_is_read(xid: int, role: int, generation: int) -> None:
    wire = sent_by_ryu(ryu13.OFPRoleRequest(DATAPATH, role, generation), xid)
    assert messages.decode_role(wire) == messages.Role(xid, role, generation)


@given(U32, U16, U16)
def test_set_config_of_ryu_is_read(xid: int, flags: int, length: int) -> None:
    wire = sent_by_ryu(ryu13.OFPSetConfig(DATAPATH, flags, length), xid)
    assert messages.decode_set_config(wire) == messages.SwitchConfig(xid, flags, length)


@given(U32, U16, U8, U32, st.lists(st.lists(ACTION, max_size=2), max_size=3))
def test_group_mod_of_ryu_is_read(xid: int, command: int, kind: int, group_id: int, lists: list[list[Any]]) -> None:
    buckets = [ryu13.OFPBucket(actions=actions) for actions in lists]
    wire = sent_by_ryu(ryu13.OFPGroupMod(DATAPATH, command, kind, group_id, buckets), xid)
    assert messages.decode_group_mod(wire) == GroupMod(xid, command, kind, group_id, wire_of(*buckets))


@given(U32, U32, MAC, U32, U32, U32)
def test_port_mod_of_ryu_is_read(xid: int, port: int, mac: str, config: int, mask: int, advertise: int) -> None:
    wire = sent_by_ryu(ryu13.OFPPortMod(DATAPATH, port, mac, config, mask, advertise), xid)
    assert messages.decode_port_mod(wire) == messages.PortMod(
        xid, port, bytes.fromhex(mac.replace(":", "")), config, mask, advertise)


@given(U32, U8, U32)
def test_table_mod_of_ryu_is_read(xid: int, table: int, config: int) -> None:
    wire = sent_by_ryu(ryu13.OFPTableMod(DATAPATH, table, config), xid)
    assert messages.decode_table_mod(wire) == messages.TableMod(xid, table, config)


@given(U32, *[st.tuples(U32, U32)] * 3)
def test_set_async_of_ryu_is_read(xid: int, first: tuple[int, int], second: tuple[int, int], third: tuple[int, int],
                                  ) -> None:
    wire = sent_by_ryu(ryu13.OFPSetAsync(DATAPATH, first, second, third), xid)
    assert messages.decode_async(wire) == messages.AsyncConfig(xid, first, second, third)


@given(U32, U32)
def test_queue_get_config_request_of_ryu_is_read(xid: int, port: int) -> None:
    wire = sent_by_ryu(ryu13.OFPQueueGetConfigRequest(DATAPATH, port), xid)
    assert messages.decode_queue_get_config_request(wire) == port


@given(U8, U32)
def test_type_and_xid_stand_in_every_header(kind: int, xid: int) -> None:
    wire = struct.pack("!BBHI", 4, kind, 8, xid)
    assert (messages.type_of(wire), messages.xid_of(wire)) == (kind, xid)


def test_values_cannot_be_changed() -> None:
    role = messages.Role(1, 2, 3)
    with pytest.raises(AttributeError):
        role.role = 4  # type: ignore[misc]
