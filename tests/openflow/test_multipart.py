from __future__ import annotations

import struct
from dataclasses import astuple
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ryu.ofproto import ofproto_parser  # type: ignore[import-untyped]
from ryu.ofproto import ofproto_v1_3 as of13
from ryu.ofproto import ofproto_v1_3_parser as ryu13
from ryu.ofproto.ofproto_protocol import ProtocolDesc  # type: ignore[import-untyped]

from hvproxy.openflow import multipart as mp
from hvproxy.openflow.multipart import Kind
from hvproxy.openflow.ports import PortDesc, decode_ports

DATAPATH = ProtocolDesc(4)
U8 = st.integers(0, 2**8 - 1)
U16 = st.integers(0, 2**16 - 1)
U32 = st.integers(0, 2**32 - 1)
U64 = st.integers(0, 2**64 - 1)
MATCH = st.fixed_dictionaries({}, optional={
    "in_port": U32, "metadata": U64, "eth_type": st.just(0x800), "vlan_vid": st.integers(0x1000, 0x1fff),
    "ip_proto": U8,
}).map(lambda fields: ryu13.OFPMatch(**fields))
OUTPUTS = st.lists(st.builds(ryu13.OFPActionOutput, U32, U16), max_size=3)
INSTRUCTIONS = st.lists(st.one_of(
    st.builds(ryu13.OFPInstructionGotoTable, U8), st.builds(ryu13.OFPInstructionWriteMetadata, U64, U64),
    st.builds(lambda actions: ryu13.OFPInstructionActions(of13.OFPIT_WRITE_ACTIONS, actions), OUTPUTS),
), max_size=3)
BUCKETS = st.lists(st.builds(ryu13.OFPBucket, U16, U32, U32, OUTPUTS), max_size=3)


def wire_of(parts: list[Any]) -> bytes:
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


def replied(kind: int, records: list[Any]) -> tuple[Any, bytes]:
    """What ryu reads in the one reply that holds the records, and that reply's body."""
    wire, = mp.multipart_replies(1, kind, [record.encode() for record in records])
    return read_by_ryu(wire).body, mp.decode_multipart(wire).body


# Framing

@given(U32, U16, U16, st.binary(max_size=50))
def test_a_multipart_message_is_read_as_it_was_built(xid: int, kind: int, flags: int, body: bytes) -> None:
    wire = mp.multipart_request(xid, kind, body, flags)
    assert mp.decode_multipart(wire) == mp.Multipart(xid, kind, flags, body)
    assert mp.decode_multipart(wire).more == bool(flags & of13.OFPMPF_REQ_MORE)


@given(U32, st.sampled_from(Kind), st.lists(st.integers(1, 0xffff - 16), max_size=40))
def test_replies_hold_whole_records_in_order_and_only_the_last_is_final(
    xid: int, kind: Kind, sizes: list[int],
) -> None:
    records = [bytes([index]) * size for index, size in enumerate(sizes)]
    replies = list(mp.multipart_replies(xid, kind, iter(records)))
    parts = [mp.decode_multipart(reply) for reply in replies]
    assert b"".join(part.body for part in parts) == b"".join(records)
    assert [part.more for part in parts] == [True] * (len(parts) - 1) + [False]
    ends = {sum(sizes[:count]) for count in range(len(sizes) + 1)}
    sent = 0
    for reply, part in zip(replies, parts):
        assert len(reply) <= 0xffff
        assert struct.unpack_from("!BBHI", reply) == (4, of13.OFPT_MULTIPART_REPLY, len(reply), xid)
        assert part.kind == kind
        sent += len(part.body)
        assert sent in ends
    # As few as can be without reordering: a message ends only where the next record would not fit.
    for part, after in zip(parts, parts[1:]):
        assert len(part.body) + sizes[after.body[0]] > 0xffff - 16


@settings(max_examples=10)
@given(st.lists(st.tuples(MATCH, INSTRUCTIONS), min_size=1, max_size=5), st.integers(300, 900))
def test_a_set_that_needs_several_messages_is_read_whole_and_as_ryu_reads_it(shapes: list[Any], count: int) -> None:
    records = [flow_stats((1, 2, 3, 4, 5, 6, 7, number, 9, 10), *shapes[number % len(shapes)])
               for number in range(count)]
    replies = list(mp.multipart_replies(3, Kind.FLOW, [record.encode() for record in records] * 4))
    assert len(replies) > 1
    # Ryu is slow: the first and the last message stand for all.
    for reply in (replies[0], replies[-1]):
        theirs = read_by_ryu(reply)
        ours = mp.decode_flow_stats(mp.decode_multipart(reply).body)
        assert [record.cookie for record in theirs.body] == [record.cookie for record in ours]
    assert sum((mp.decode_flow_stats(mp.decode_multipart(reply).body) for reply in replies), []) == records * 4


@pytest.mark.parametrize("kind", [
    Kind.FLOW, Kind.TABLE, Kind.PORT_STATS, Kind.QUEUE, Kind.GROUP, Kind.GROUP_DESC, Kind.METER, Kind.METER_CONFIG,
    Kind.TABLE_FEATURES, Kind.PORT_DESC])
def test_no_record_is_still_one_reply(kind: Kind) -> None:
    wire, = mp.multipart_replies(7, kind, [])
    theirs = read_by_ryu(wire)
    assert (theirs.xid, theirs.type, theirs.flags, theirs.body) == (7, kind, 0, [])


def test_a_record_longer_than_a_message_is_an_error() -> None:
    assert len(list(mp.multipart_replies(1, 1, [bytes(0xffff - 16)]))) == 1
    with pytest.raises(ValueError, match="65520 bytes"):
        list(mp.multipart_replies(1, 1, [b"", bytes(0xffff - 15)]))


# Requests

@given(st.sampled_from([ryu13.OFPFlowStatsRequest, ryu13.OFPAggregateStatsRequest]),
       st.tuples(U8, U32, U32, U64, U64), MATCH)
def test_flow_and_aggregate_requests_of_ryu_are_read_and_written(
    request: Any, fields: Any, match: Any,
) -> None:
    wire = sent_by_ryu(request(DATAPATH, 0, *fields, match), 4)
    body = mp.decode_multipart(wire).body
    ours = mp.decode_flow_stats_request(body)
    assert ours == mp.FlowStatsRequest(*(*fields, unpadded(match)))
    assert ours.encode() == body


def test_a_flow_stats_request_asks_for_everything_unless_told() -> None:
    everything = ryu13.OFPFlowStatsRequest(DATAPATH, 0, of13.OFPTT_ALL, of13.OFPP_ANY, of13.OFPG_ANY)
    assert mp.multipart_request(1, Kind.FLOW, mp.FlowStatsRequest().encode()) == sent_by_ryu(everything, 1)


@given(U32, U32)
def test_port_group_and_queue_requests_of_ryu_are_read(number: int, queue: int) -> None:
    for request in (ryu13.OFPPortStatsRequest, ryu13.OFPGroupStatsRequest):
        body = mp.decode_multipart(sent_by_ryu(request(DATAPATH, 0, number), 1)).body
        assert mp.decode_id_request(body) == number
        assert mp.encode_id_request(number) == body
    body = mp.decode_multipart(sent_by_ryu(ryu13.OFPQueueStatsRequest(DATAPATH, 0, number, queue), 1)).body
    assert mp.decode_queue_stats_request(body) == (number, queue)


# Records

def flow_stats(fields: Any, match: Any, instructions: list[Any]) -> mp.FlowStats:
    return mp.FlowStats(*(*fields, unpadded(match), wire_of(instructions)))


FLOW_STATS = st.builds(
    flow_stats, st.tuples(U8, U32, U32, U16, U16, U16, U16, U64, U64, U64), MATCH, INSTRUCTIONS)


@given(st.lists(FLOW_STATS, min_size=1, max_size=4))
def test_flow_stats_are_read_by_ryu_and_by_us(records: list[mp.FlowStats]) -> None:
    theirs, body = replied(Kind.FLOW, records)
    assert [mp.FlowStats(
        each.table_id, each.duration_sec, each.duration_nsec, each.priority, each.idle_timeout, each.hard_timeout,
        each.flags, each.cookie, each.packet_count, each.byte_count, unpadded(each.match),
        wire_of(each.instructions)) for each in theirs] == records
    assert mp.decode_flow_stats(body) == records


@given(U64, U64, U32)
def test_aggregate_stats_are_read_by_ryu(packets: int, octets: int, flows: int) -> None:
    record = mp.AggregateStats(packets, octets, flows)
    theirs, _ = replied(Kind.AGGREGATE, [record])
    assert (theirs.packet_count, theirs.byte_count, theirs.flow_count) == (packets, octets, flows)


@given(st.lists(st.builds(mp.TableStats, U8, U32, U64, U64), max_size=4))
def test_table_stats_are_read_by_ryu(records: list[mp.TableStats]) -> None:
    theirs, _ = replied(Kind.TABLE, records)
    assert [(each.table_id, each.active_count, each.lookup_count, each.matched_count) for each in theirs] == [
        astuple(record) for record in records]


@given(st.lists(st.builds(mp.PortStats, U32, *[U64] * 12, U32, U32), max_size=4))
def test_port_stats_are_read_by_ryu_and_by_us(records: list[mp.PortStats]) -> None:
    theirs, body = replied(Kind.PORT_STATS, records)
    assert [mp.PortStats(
        each.port_no, each.rx_packets, each.tx_packets, each.rx_bytes, each.tx_bytes, each.rx_dropped,
        each.tx_dropped, each.rx_errors, each.tx_errors, each.rx_frame_err, each.rx_over_err, each.rx_crc_err,
        each.collisions, each.duration_sec, each.duration_nsec) for each in theirs] == records
    assert mp.decode_port_stats(body) == records


@given(st.lists(st.builds(
    mp.GroupStats, U32, U32, U64, U64, U32, U32, st.lists(st.tuples(U64, U64), max_size=4).map(tuple)), max_size=4))
def test_group_stats_are_read_by_ryu_and_by_us(records: list[mp.GroupStats]) -> None:
    theirs, body = replied(Kind.GROUP, records)
    assert [mp.GroupStats(
        each.group_id, each.ref_count, each.packet_count, each.byte_count, each.duration_sec, each.duration_nsec,
        tuple((counter.packet_count, counter.byte_count) for counter in each.bucket_stats),
    ) for each in theirs] == records
    assert mp.decode_group_stats(body) == records


@given(st.lists(st.tuples(U8, U32, BUCKETS), max_size=4))
def test_group_descriptions_are_read_by_ryu_and_by_us(groups: list[tuple[int, int, list[Any]]]) -> None:
    records = [mp.GroupDesc(kind, group_id, wire_of(buckets)) for kind, group_id, buckets in groups]
    theirs, body = replied(Kind.GROUP_DESC, records)
    assert [mp.GroupDesc(each.type, each.group_id, wire_of(each.buckets)) for each in theirs] == records
    assert mp.decode_group_desc(body) == records


@given(st.builds(mp.GroupFeatures, U32, U32, st.tuples(U32, U32, U32, U32), st.tuples(U32, U32, U32, U32)))
def test_group_features_are_read_by_ryu_and_by_us(record: mp.GroupFeatures) -> None:
    theirs, body = replied(Kind.GROUP_FEATURES, [record])
    assert (theirs.types, theirs.capabilities, tuple(theirs.max_groups), tuple(theirs.actions)) == astuple(record)
    assert mp.decode_group_features(body) == record


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=7)


@given(st.builds(mp.Desc, TEXT, TEXT, TEXT, TEXT, TEXT))
def test_the_description_is_read_by_ryu_and_by_us(record: mp.Desc) -> None:
    theirs, body = replied(Kind.DESC, [record])
    assert tuple(text.decode() for text in (
        theirs.mfr_desc, theirs.hw_desc, theirs.sw_desc, theirs.serial_num, theirs.dp_desc)) == astuple(record)
    assert mp.decode_desc(body) == record


def test_a_long_description_is_cut_to_its_fields() -> None:
    cut = mp.decode_desc(mp.Desc(*["x" * 300] * 5).encode())
    assert [len(text) for text in astuple(cut)] == [255, 255, 255, 31, 255]


@given(st.lists(U32, max_size=4))
def test_port_descriptions_travel_as_multipart(numbers: list[int]) -> None:
    ports = [PortDesc(number, b"\2\0\0\0\0\1", "p") for number in numbers]
    theirs, body = replied(Kind.PORT_DESC, ports)
    assert [port.port_no for port in theirs] == numbers
    assert decode_ports(body) == ports
