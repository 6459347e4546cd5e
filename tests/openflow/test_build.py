from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ryu.ofproto import ofproto_parser  # type: ignore[import-untyped]
from ryu.ofproto import ofproto_v1_3 as of13
from ryu.ofproto import ofproto_v1_3_parser as ryu13
from ryu.ofproto.ofproto_protocol import ProtocolDesc  # type: ignore[import-untyped]

from hvproxy.errors import Refused
from hvproxy.openflow import build
from hvproxy.openflow.messages import AsyncConfig, decode_error, decode_packet_out, decode_port_mod, decode_role
from hvproxy.openflow.ports import PortDesc

DATAPATH = ProtocolDesc(4)
U8 = st.integers(0, 2**8 - 1)
U16 = st.integers(0, 2**16 - 1)
U32 = st.integers(0, 2**32 - 1)
U64 = st.integers(0, 2**64 - 1)
MAC = st.binary(min_size=6, max_size=6)
REQUEST = build.barrier_request(0x77) + bytes(100)
MATCH = st.fixed_dictionaries({}, optional={
    "in_port": U32, "metadata": U64, "eth_dst": MAC.map(lambda raw: raw.hex(":")), "eth_type": st.just(0x800),
    "vlan_vid": st.integers(0x1000, 0x1fff), "ip_proto": U8,
}).map(lambda fields: ryu13.OFPMatch(**fields))
OUTPUT = st.builds(ryu13.OFPActionOutput, U32, U16)
OUTPUTS = st.lists(OUTPUT, max_size=3)
INSTRUCTIONS = st.lists(st.one_of(
    st.builds(ryu13.OFPInstructionGotoTable, U8),
    st.builds(lambda actions: ryu13.OFPInstructionActions(of13.OFPIT_APPLY_ACTIONS, actions), OUTPUTS),
), max_size=2)


def sent_by_ryu(message: Any, xid: int) -> bytes:
    message.set_xid(xid)
    message.serialize()
    return bytes(message.buf)


def read_by_ryu(wire: bytes) -> Any:
    version, kind, length, xid = struct.unpack_from("!BBHI", wire)
    assert (version, length) == (4, len(wire))
    parsed = ofproto_parser.msg(DATAPATH, version, kind, length, xid, wire)
    assert parsed is not None
    return parsed


def wire_of(parts: list[Any]) -> bytes:
    whole = b""
    for part in parts:
        buffer = bytearray()
        part.serialize(buffer, 0)
        whole += bytes(buffer)
    return whole


def tlvs_of(match: ryu13.OFPMatch) -> bytes:
    buffer = bytearray()
    match.serialize(buffer, 0)
    return bytes(buffer[4:match.length])


@given(U32, st.tuples(U64, U64, U8, U8, U16, U16, U16, U32, U32, U32, U16), MATCH, INSTRUCTIONS)
def test_flow_mod_is_what_ryu_sends(xid: int, fields: Any, match: Any, instructions: list[Any]) -> None:
    cookie, cookie_mask, table, command, idle, hard, priority, buffer_id, out_port, out_group, flags = fields
    assert build.flow_mod(
        xid, command, table_id=table, priority=priority, match_tlvs=tlvs_of(match),
        instructions=wire_of(instructions), cookie=cookie, cookie_mask=cookie_mask, flags=flags, idle_timeout=idle,
        hard_timeout=hard, buffer_id=buffer_id, out_port=out_port, out_group=out_group,
    ) == sent_by_ryu(ryu13.OFPFlowMod(DATAPATH, *fields, match, instructions), xid)


@given(MATCH, INSTRUCTIONS)
def test_flow_mod_is_read_back_by_ryu(match: Any, instructions: list[Any]) -> None:
    theirs = read_by_ryu(build.flow_mod_add(7, 3, 100, tlvs_of(match), wire_of(instructions), 0xa7, 1))
    assert (theirs.xid, theirs.table_id, theirs.priority, theirs.cookie, theirs.flags) == (7, 3, 100, 0xa7, 1)
    assert tlvs_of(theirs.match) == tlvs_of(match)
    assert wire_of(theirs.instructions) == wire_of(instructions)


def test_add_has_no_timeout_no_buffer_and_no_output_filter() -> None:
    theirs = read_by_ryu(build.flow_mod_add(1, 2, 3, b"", b"", 4))
    assert (theirs.command, theirs.idle_timeout, theirs.hard_timeout) == (of13.OFPFC_ADD, 0, 0)
    assert (theirs.buffer_id, theirs.out_port, theirs.out_group) == (
        of13.OFP_NO_BUFFER, of13.OFPP_ANY, of13.OFPG_ANY)


@given(U32, U8, U16, MATCH, U64, U64)
def test_delete_strict_is_what_ryu_sends(
    xid: int, table: int, priority: int, match: Any, cookie: int, mask: int,
) -> None:
    theirs = ryu13.OFPFlowMod(
        DATAPATH, cookie, mask, table, of13.OFPFC_DELETE_STRICT, priority=priority, match=match,
        out_port=of13.OFPP_ANY, out_group=of13.OFPG_ANY)
    ours = build.flow_mod_delete_strict(xid, table, priority, tlvs_of(match), cookie, mask)
    assert ours == sent_by_ryu(theirs, xid)


@pytest.mark.parametrize("size", range(0, 17))
def test_the_match_is_padded_to_eight_bytes_whatever_its_length(size: int) -> None:
    # One unmasked OXM of an unknown class; the padding depends on its length alone.
    tlvs = struct.pack("!HBB", 0xfffe, 2, size) + b"\xff" * size
    padded = -(-(4 + len(tlvs)) // 8) * 8
    for wire, start, after in (
        (build.flow_mod(1, 0, table_id=0, match_tlvs=tlvs, instructions=b"INSTRUCT"), 48, b"INSTRUCT"),
        (build.packet_in(1, 2, 3, 0, 0, 0, tlvs, b"DATA"), 24, b"\0\0DATA"),
        (build.flow_removed(*(*range(11), tlvs)), 48, b""),
        (build.flow_stats_request(1, match_tlvs=tlvs), 48, b""),
    ):
        match = struct.pack("!HH", of13.OFPMT_OXM, 4 + len(tlvs)) + tlvs
        assert wire[start:] == match.ljust(padded, b"\0") + after
        assert struct.unpack_from("!H", wire, 2)[0] == len(wire)


@given(st.tuples(U32, U32, U16, U8, U8, U64), MATCH, st.binary(max_size=100))
def test_packet_in_is_read_by_ryu(fields: Any, match: Any, data: bytes) -> None:
    _, *rest = fields
    rest[1] = max(rest[1], len(data))  # ryu takes data beyond total_len for padding
    theirs = read_by_ryu(build.packet_in(*(fields[0], *rest, tlvs_of(match), data)))
    assert [theirs.buffer_id, theirs.total_len, theirs.reason, theirs.table_id, theirs.cookie] == rest
    assert (theirs.xid, theirs.data, tlvs_of(theirs.match)) == (fields[0], data, tlvs_of(match))


@given(U32, U32, st.lists(OUTPUT, min_size=1, max_size=3), st.binary(max_size=100))
def test_packet_out_is_what_ryu_sends(xid: int, in_port: int, actions: list[Any], data: bytes) -> None:
    theirs = ryu13.OFPPacketOut(DATAPATH, of13.OFP_NO_BUFFER, in_port, actions, data)
    assert build.packet_out(xid, in_port, wire_of(actions), data) == sent_by_ryu(theirs, xid)


def test_packet_out_without_actions_carries_its_data() -> None:
    # Not held against ryu, which loses the first bytes of the data when there is no action.
    assert build.packet_out(1, 7, b"", b"abc") == bytes.fromhex(
        "040d001b" "00000001" "ffffffff" "00000007" "0000" "000000000000") + b"abc"


def test_packet_out_of_a_buffer_names_it() -> None:
    assert decode_packet_out(build.packet_out(1, 2, b"", b"", 9)).buffer_id == 9


@given(st.tuples(U32, U64, U16, U8, U8, U32, U32, U16, U16, U64, U64), MATCH)
def test_flow_removed_is_read_by_ryu(fields: Any, match: Any) -> None:
    theirs = read_by_ryu(build.flow_removed(*(*fields, tlvs_of(match))))
    assert (theirs.xid, theirs.cookie, theirs.priority, theirs.reason, theirs.table_id, theirs.duration_sec,
            theirs.duration_nsec, theirs.idle_timeout, theirs.hard_timeout, theirs.packet_count,
            theirs.byte_count) == fields
    assert tlvs_of(theirs.match) == tlvs_of(match)


@given(U32, U16, U8, U32, st.lists(OUTPUTS, max_size=3))
def test_group_mod_is_what_ryu_sends(xid: int, command: int, kind: int, group: int, lists: list[list[Any]]) -> None:
    buckets = [ryu13.OFPBucket(actions=actions) for actions in lists]
    theirs = sent_by_ryu(ryu13.OFPGroupMod(DATAPATH, command, kind, group, buckets), xid)
    assert build.group_mod(xid, command, kind, group, wire_of(buckets)) == theirs


@given(U32, U32, U64)
def test_role_request_is_what_ryu_sends_and_the_reply_what_it_reads(xid: int, role: int, generation: int) -> None:
    assert build.role_request(xid, role, generation) == sent_by_ryu(
        ryu13.OFPRoleRequest(DATAPATH, role, generation), xid)
    theirs = read_by_ryu(build.role_reply(xid, role, generation))
    assert (theirs.xid, theirs.role, theirs.generation_id) == (xid, role, generation)
    assert decode_role(build.role_reply(xid, role, generation)).generation_id == generation


@given(U32, *[st.tuples(U32, U32)] * 3)
def test_set_async_is_what_ryu_sends_and_the_reply_what_it_reads(
    xid: int, packet_in: tuple[int, int], port_status: tuple[int, int], flow_removed: tuple[int, int],
) -> None:
    config = AsyncConfig(xid, packet_in, port_status, flow_removed)
    assert build.set_async(config) == sent_by_ryu(
        ryu13.OFPSetAsync(DATAPATH, packet_in, port_status, flow_removed), xid)
    theirs = read_by_ryu(build.get_async_reply(config))
    assert (theirs.packet_in_mask, theirs.port_status_mask, theirs.flow_removed_mask) == (
        list(packet_in), list(port_status), list(flow_removed))


@given(U32, U16, U16)
def test_set_config_is_what_ryu_sends_and_the_reply_what_it_reads(xid: int, flags: int, length: int) -> None:
    assert build.set_config(xid, flags, length) == sent_by_ryu(ryu13.OFPSetConfig(DATAPATH, flags, length), xid)
    theirs = read_by_ryu(build.get_config_reply(xid, flags, length))
    assert (theirs.xid, theirs.flags, theirs.miss_send_len) == (xid, flags, length)


@given(U32, U64, U32, U8, U8, U32)
def test_features_reply_is_read_by_ryu(
    xid: int, dpid: int, buffers: int, tables: int, auxiliary: int, capabilities: int,
) -> None:
    theirs = read_by_ryu(build.features_reply(xid, dpid, buffers, tables, auxiliary, capabilities))
    assert (theirs.xid, theirs.datapath_id, theirs.n_buffers, theirs.n_tables, theirs.auxiliary_id,
            theirs.capabilities) == (xid, dpid, buffers, tables, auxiliary, capabilities)


@given(U32, U32, MAC, U32, U32, U32)
def test_port_mod_is_what_ryu_sends(
    xid: int, number: int, mac: bytes, config: int, mask: int, advertise: int,
) -> None:
    wire = build.port_mod(xid, number, mac, config, mask, advertise)
    assert wire == sent_by_ryu(ryu13.OFPPortMod(DATAPATH, number, mac.hex(":"), config, mask, advertise), xid)
    assert decode_port_mod(wire).hw_addr == mac


@given(U32, U8, U32, MAC)
def test_port_status_is_read_by_ryu(xid: int, reason: int, number: int, mac: bytes) -> None:
    theirs = read_by_ryu(build.port_status(reason, PortDesc(number, mac, "veth"), xid))
    assert (theirs.xid, theirs.reason, theirs.desc.port_no, theirs.desc.hw_addr, theirs.desc.name) == (
        xid, reason, number, mac.hex(":"), b"veth")


@given(U32, st.integers(0, 13), U16, st.binary(max_size=90))
def test_error_is_what_ryu_sends(xid: int, kind: int, code: int, data: bytes) -> None:
    wire = build.error(xid, kind, code, data)
    theirs = read_by_ryu(wire)
    assert (theirs.xid, theirs.type, theirs.code, theirs.data) == (xid, kind, code, data)
    if data:  # ryu refuses to send an error without data
        assert wire == sent_by_ryu(ryu13.OFPErrorMsg(DATAPATH, kind, code, data), xid)


def test_an_error_about_the_longest_message_still_fits_one() -> None:
    failed = build.message(of13.OFPT_ECHO_REQUEST, 1, bytes(65527))
    wire = build.error(1, 1, 6, failed)
    assert len(wire) == 65535
    assert failed.startswith(decode_error(wire).data)


def test_an_error_in_another_version_says_so() -> None:
    assert build.error(1, 0, 0, b"no common version", version=1)[0] == 1


@given(st.sets(st.integers(1, 6), min_size=1))
def test_hello_offers_its_versions_in_header_and_bitmap(versions: set[int]) -> None:
    wire = build.hello(9, versions)
    theirs = ryu13.OFPHello.parser(DATAPATH, wire[0], wire[1], len(wire), 9, wire)
    assert wire[0] == max(versions)
    assert [set(element.versions) for element in theirs.elements] == [versions]


@given(st.integers(1, 6), U32, st.binary(max_size=40))
def test_echo_reply_mirrors_the_request(version: int, xid: int, data: bytes) -> None:
    assert build.echo_reply(build.echo_request(xid, data, version)) == build.message(
        of13.OFPT_ECHO_REPLY, xid, data, version)
    assert build.echo_request(xid, data) == sent_by_ryu(ryu13.OFPEchoRequest(DATAPATH, data), xid)


@given(U32)
def test_requests_without_a_body_are_what_ryu_sends(xid: int) -> None:
    for ours, theirs in (
        (build.barrier_request, ryu13.OFPBarrierRequest),
        (build.barrier_reply, ryu13.OFPBarrierReply),
        (build.features_request, ryu13.OFPFeaturesRequest),
        (build.get_config_request, ryu13.OFPGetConfigRequest),
        (build.get_async_request, ryu13.OFPGetAsyncRequest),
        (build.desc_request, ryu13.OFPDescStatsRequest),
        (build.port_desc_request, ryu13.OFPPortDescStatsRequest),
        (build.group_desc_request, ryu13.OFPGroupDescStatsRequest),
        (build.group_features_request, ryu13.OFPGroupFeaturesStatsRequest),
        (build.table_features_request, ryu13.OFPTableFeaturesStatsRequest),
    ):
        assert ours(xid) == sent_by_ryu(theirs(DATAPATH), xid)


@given(U32, U8, U64, U64, MATCH)
def test_flow_stats_request_is_what_ryu_sends(xid: int, table: int, cookie: int, mask: int, match: Any) -> None:
    theirs = ryu13.OFPFlowStatsRequest(
        DATAPATH, 0, table, of13.OFPP_ANY, of13.OFPG_ANY, cookie, mask, match)
    assert build.flow_stats_request(xid, table, cookie, mask, tlvs_of(match)) == sent_by_ryu(theirs, xid)


@given(U32, U32)
def test_port_and_group_stats_requests_are_what_ryu_sends(xid: int, number: int) -> None:
    assert build.port_stats_request(xid, number) == sent_by_ryu(
        ryu13.OFPPortStatsRequest(DATAPATH, 0, number), xid)
    assert build.group_stats_request(xid, number) == sent_by_ryu(
        ryu13.OFPGroupStatsRequest(DATAPATH, 0, number), xid)


def test_statistics_are_asked_of_everything_unless_told() -> None:
    assert build.port_stats_request(1) == build.port_stats_request(1, of13.OFPP_ANY)
    assert build.group_stats_request(1) == build.group_stats_request(1, of13.OFPG_ALL)
    assert build.flow_stats_request(1) == sent_by_ryu(ryu13.OFPFlowStatsRequest(
        DATAPATH, 0, of13.OFPTT_ALL, of13.OFPP_ANY, of13.OFPG_ANY), 1)


@given(U32, U32)
def test_queue_config_of_a_port_without_queues_is_read_by_ryu(xid: int, port: int) -> None:
    theirs = read_by_ryu(build.queue_get_config_reply(xid, port))
    assert (theirs.xid, theirs.port, theirs.queues) == (xid, port, [])


def test_a_message_too_long_for_its_header_is_not_built() -> None:
    assert len(build.message(of13.OFPT_ECHO_REQUEST, 1, bytes(65527))) == 65535
    with pytest.raises(struct.error):
        build.message(of13.OFPT_ECHO_REQUEST, 1, bytes(65528))
    with pytest.raises(struct.error):
        build.packet_out(1, 2, b"", bytes(65536))


def test_a_refusal_carries_the_xid_and_the_whole_request() -> None:
    error = decode_error(build.refusal(REQUEST, Refused(of13.OFPET_BAD_REQUEST, of13.OFPBRC_EPERM)))
    assert (error.xid, error.type, error.code, error.data) == (0x77, 1, 5, REQUEST)


def test_a_refusal_of_another_experimenter_says_whose_it_is() -> None:
    error = decode_error(build.refusal(REQUEST, Refused(of13.OFPET_EXPERIMENTER, 2600, "", 0x4f4e4600)))
    assert (error.type, error.code, error.data) == (0xffff, 2600, b"ONF\0" + REQUEST)
    parsed = ryu13.OFPErrorMsg.parser(DATAPATH, 4, 1, 12, 0x77, build.refusal(
        REQUEST, Refused(of13.OFPET_EXPERIMENTER, 2600, "", 0x4f4e4600)))
    assert (parsed.exp_type, parsed.experimenter) == (2600, 0x4f4e4600)


def test_a_refusal_of_the_longest_message_is_cut_to_what_a_message_holds() -> None:
    assert len(build.refusal(bytes(65535), Refused(1, 6))) == 65535
