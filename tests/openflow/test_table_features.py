from __future__ import annotations

import struct
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from ryu.ofproto import ofproto_v1_3 as of13  # type: ignore[import-untyped]
from ryu.ofproto import ofproto_v1_3_parser as ryu13
from ryu.ofproto.ofproto_protocol import ProtocolDesc  # type: ignore[import-untyped]

from hvproxy.openflow import table_features as tf
from hvproxy.openflow.multipart import Kind, decode_multipart, multipart_replies

DATAPATH = ProtocolDesc(4)
U8 = st.integers(0, 2**8 - 1)
U32 = st.integers(0, 2**32 - 1)
U64 = st.integers(0, 2**64 - 1)
NAME = st.text(st.characters(codec="ascii", exclude_characters="\0"), max_size=31)
TYPES = st.lists(st.integers(0, 0xfffe), max_size=20)
TABLES = st.lists(U8, max_size=20)
OXM_NAMES = ("in_port", "metadata", "eth_dst", "eth_type", "vlan_vid", "ipv4_src", "ipv6_dst", "arp_op", "tcp_src")
OXMS = st.lists(st.tuples(st.sampled_from(OXM_NAMES), st.booleans()), max_size=20)


def header(name: str, masked: bool) -> int:
    """The OXM header as ryu writes one in a property: of payload length 0."""
    number, _, _ = of13.oxm_from_user(name, None)
    whole: int = number << 9 | masked << 8
    return whole


def headers(oxms: list[tuple[str, bool]]) -> tuple[int, ...]:
    return tuple(header(*oxm) for oxm in oxms)


def property_of_ryu(kind: int, value: list[Any]) -> Any:
    if kind in (0, 1):
        made = ryu13.OFPTableFeaturePropInstructions(
            kind, instruction_ids=[ryu13.OFPInstructionId(number) for number in value])
    elif kind in (2, 3):
        made = ryu13.OFPTableFeaturePropNextTables(kind, table_ids=value)
    elif kind in (4, 5, 6, 7):
        made = ryu13.OFPTableFeaturePropActions(kind, action_ids=[ryu13.OFPActionId(number) for number in value])
    else:
        made = ryu13.OFPTableFeaturePropOxm(
            kind, oxm_ids=[ryu13.OFPOxmId(name, hasmask=masked) for name, masked in value])
    return made


OXM_KINDS = (8, 10, 12, 13, 14, 15)
PROPERTIES = st.fixed_dictionaries({}, optional={
    **{kind: TYPES for kind in (0, 1, 4, 5, 6, 7)}, 2: TABLES, 3: TABLES, **{kind: OXMS for kind in OXM_KINDS}})


def plain(kind: int, value: list[Any]) -> tuple[int, ...]:
    return headers(value) if kind in OXM_KINDS else tuple(value)


@given(st.lists(st.tuples(U8, NAME, U64, U64, U32, U32, PROPERTIES), max_size=3))
def test_features_of_ryu_are_read_and_written_the_same(tables: list[Any]) -> None:
    body = b"".join(bytes(ryu13.OFPTableFeaturesStats(
        table_id, name.encode(), match, write, config, entries,
        [property_of_ryu(kind, value) for kind, value in sorted(properties.items())]).serialize())
        for table_id, name, match, write, config, entries, properties in tables)
    ours = tf.decode_table_features(body)
    assert ours == [tf.TableFeatures(
        table_id, name, match, write, config, entries,
        {kind: plain(kind, value) for kind, value in properties.items()})
        for table_id, name, match, write, config, entries, properties in tables]
    assert b"".join(table.encode() for table in ours) == body


@given(U8, NAME, TYPES, TABLES, TYPES, TYPES, OXMS, OXMS, OXMS, OXMS, U64, U64, U32)
def test_ryu_reads_a_table_written_from_plain_lists(
    table_id: int, name: str, instructions: list[int], next_tables: list[int], write_actions: list[int],
    apply_actions: list[int], match: list[Any], wildcards: list[Any], write_set: list[Any], apply_set: list[Any],
    metadata_match: int, metadata_write: int, max_entries: int,
) -> None:
    table = tf.table_features(
        table_id, name, instructions=instructions, next_tables=next_tables, write_actions=write_actions,
        apply_actions=apply_actions, match=headers(match), wildcards=headers(wildcards),
        write_setfield=headers(write_set), apply_setfield=headers(apply_set), metadata_match=metadata_match,
        metadata_write=metadata_write, max_entries=max_entries)
    wire, = multipart_replies(1, Kind.TABLE_FEATURES, [table.encode()])
    theirs, = ryu13.OFPMultipartReply.parser(DATAPATH, 4, wire[1], len(wire), 1, wire).body
    assert (theirs.table_id, theirs.name.decode(), theirs.metadata_match, theirs.metadata_write, theirs.config,
            theirs.max_entries) == (table_id, name, metadata_match, metadata_write, 0, max_entries)
    read: dict[int, list[Any]] = {}
    for each in theirs.properties:
        if each.type in (2, 3):
            read[each.type] = each.table_ids
        elif each.type in OXM_KINDS:
            read[each.type] = [(oxm.type, bool(oxm.hasmask)) for oxm in each.oxm_ids]
        else:
            read[each.type] = [number.type for number in getattr(each, "instruction_ids", None)
                               or getattr(each, "action_ids", [])]
    assert read == {
        0: instructions, 1: instructions, 2: next_tables, 3: next_tables, 4: write_actions, 5: write_actions,
        6: apply_actions, 7: apply_actions, 8: match, 10: wildcards, 12: write_set, 13: write_set, 14: apply_set,
        15: apply_set}
    assert tf.decode_table_features(decode_multipart(wire).body) == [table]


def table_with(properties: dict[int, bytes | tuple[int, ...]]) -> tf.TableFeatures:
    return tf.TableFeatures(0, "t", 0, 0, 0, 0, properties)


def test_identifiers_of_experimenters_keep_their_experimenter() -> None:
    properties: dict[int, bytes | tuple[int, ...]] = {
        tf.INSTRUCTIONS: (1, 0xffff << 32 | 0x2320, 6),
        tf.APPLY_ACTIONS: (0xffff << 32 | 0x4f4e4600, 0),
        tf.MATCH: (0x80000004, 0xffff5402 << 32 | 0x4f4e4600, 0x80000a02),
    }
    wire = table_with(properties).encode()
    assert wire[64:] == bytes.fromhex(
        "00000014" "00010004" "ffff0008" "00002320" "00060004" "00000000"
        "00060010" "ffff0008" "4f4e4600" "00000004"
        "00080014" "80000004" "ffff5402" "4f4e4600" "80000a02" "00000000")
    assert tf.decode_table_features(wire) == [table_with(properties)]


def test_action_types_sent_with_the_padding_of_an_action_header_are_read() -> None:
    wire = struct.pack("!HB5x32sQQII", 64 + 24, 0, b"t", 0, 0, 0, 0) + bytes.fromhex(
        "00040014" "0000000800000000" "0016000800000000" "00000000")
    assert tf.decode_table_features(wire) == [table_with({tf.WRITE_ACTIONS: (0, 22)})]


def test_properties_of_experimenters_stay_bytes() -> None:
    properties: dict[int, bytes | tuple[int, ...]] = {
        tf.NEXT_TABLES: (1, 2), of13.OFPTFPT_EXPERIMENTER: bytes.fromhex("00002320" "00000001" "aabb")}
    wire = table_with(properties).encode()
    assert wire[64:] == bytes.fromhex("0002000601020000" "fffe000e00002320" "00000001aabb0000")
    assert tf.decode_table_features(wire) == [table_with(properties)]


def test_an_empty_list_is_written_and_is_not_the_same_as_none() -> None:
    wire = table_with({tf.NEXT_TABLES: ()}).encode()
    assert wire[64:] == bytes.fromhex("0002000400000000")
    assert tf.decode_table_features(wire)[0].properties == {tf.NEXT_TABLES: ()}
