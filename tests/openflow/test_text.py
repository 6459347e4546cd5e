"""The texts are those that ovs-ofctl prints and takes; tests/system holds them against it."""
from __future__ import annotations

from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvproxy.openflow import actions, nicira
from hvproxy.openflow.constants import of13
from hvproxy.openflow.groups import bucket
from hvproxy.openflow.instructions import Instructions, build
from hvproxy.openflow.meters import Band
from hvproxy.openflow.oxm import Match, tlv
from hvproxy.openflow.oxm_fields import FIELDS
from hvproxy.openflow.text import (
    actions_text, band_texts, bucket_texts, group_number, group_type, instructions_text, match_text, message_type,
    port_text,
)

IPV4, IPV6, ARP = tlv(5, 0x0800), tlv(5, 0x86DD), tlv(5, 0x0806)


@pytest.mark.parametrize("tlvs, text", [
    (b"", ""),
    (tlv(0, 1) + tlv(6, 0x1014), "in_port=1,dl_vlan=20"),
    (tlv(0, of13.OFPP_CONTROLLER), "in_port=CONTROLLER"),
    (tlv(2, 0x10010000000000, 0xFFFFFF0000000000), "metadata=0x10010000000000/0xffffff0000000000"),
    (tlv(3, 0x0A0000000001), "dl_dst=0a:00:00:00:00:01"),
    (tlv(4, 1 << 40, 1 << 40), "dl_src=01:00:00:00:00:00/01:00:00:00:00:00"),
    (tlv(6, 0), "vlan_tci=0x0000/0x1fff"),
    (tlv(6, 0x1000, 0x1000) + tlv(7, 5), "vlan_tci=0x1000/0x1000,dl_vlan_pcp=5"),
    (IPV4 + tlv(8, 46) + tlv(9, 1), "eth_type=0x0800,ip_dscp=46,nw_ecn=1"),
    (IPV4 + tlv(11, 0x0A000000, 0xFF000000), "eth_type=0x0800,nw_src=10.0.0.0/8"),
    (IPV4 + tlv(12, 0x0A000001, 0xFF0000FF), "eth_type=0x0800,nw_dst=10.0.0.1/255.0.0.255"),
    (IPV4 + tlv(10, 6) + tlv(14, 80), "eth_type=0x0800,nw_proto=6,tcp_dst=80"),
    (IPV4 + tlv(10, 17) + tlv(15, 0x10, 0xFFF0), "eth_type=0x0800,nw_proto=17,udp_src=0x10/0xfff0"),
    (IPV4 + tlv(10, 1) + tlv(19, 8) + tlv(20, 0), "eth_type=0x0800,nw_proto=1,icmp_type=8,icmp_code=0"),
    (ARP + tlv(21, 1) + tlv(23, 0x0A000001), "eth_type=0x0806,arp_op=1,arp_tpa=10.0.0.1"),
    (IPV6 + tlv(26, 1 << 125, 7 << 125), "eth_type=0x86dd,ipv6_src=2000::/3"),
    (IPV6 + tlv(10, 58) + tlv(29, 135) + tlv(31, 1), "eth_type=0x86dd,nw_proto=58,icmpv6_type=135,nd_target=::1"),
    (tlv(5, 0x8847) + tlv(34, 100) + tlv(36, 1), "eth_type=0x8847,mpls_label=100,mpls_bos=1"),
    (bytes.fromhex("0003020400000007"), "unknown(0x00030204:00000007)"),
])
def test_a_match_is_written_as_ovs_ofctl_writes_it(tlvs: bytes, text: str) -> None:
    assert match_text(tlvs) == text


@pytest.mark.parametrize("data, text", [
    (b"", "drop"),
    (actions.output(3), "output:3"),
    (actions.output(of13.OFPP_CONTROLLER, 128), "CONTROLLER:128"),
    (actions.output(of13.OFPP_IN_PORT) + actions.output(of13.OFPP_FLOOD), "IN_PORT,FLOOD"),
    (actions.group(5) + actions.group(0x50001002), "group:5,group:0x50001002"),
    (actions.push_vlan() + actions.set_vlan_vid(20) + actions.pop_vlan(),
     "push_vlan:0x8100,set_field:4116->vlan_vid,pop_vlan"),
    (actions.set_field(tlv(3, 2)), "set_field:00:00:00:00:00:02->eth_dst"),
    (actions.set_field(tlv(11, 0x0A000001)), "set_field:10.0.0.1->ip_src"),
    (actions.set_field(tlv(27, 1)), "set_field:::1->ipv6_dst"),
    (pack("!HHI", of13.OFPAT_SET_QUEUE, 8, 7), "set_queue:7"),
    (pack("!HHH2x", of13.OFPAT_PUSH_MPLS, 8, 0x8847), "push_mpls:0x8847"),
    (pack("!HHH2x", of13.OFPAT_POP_MPLS, 8, 0x0800), "pop_mpls:0x0800"),
    (pack("!HHB3x", of13.OFPAT_SET_MPLS_TTL, 8, 9), "set_mpls_ttl(9)"),
    (pack("!HH4x", of13.OFPAT_DEC_MPLS_TTL, 8), "dec_mpls_ttl"),
    (pack("!HHB3x", of13.OFPAT_SET_NW_TTL, 8, 9), "mod_nw_ttl:9"),
    (pack("!HH4x", of13.OFPAT_DEC_NW_TTL, 8), "dec_ttl"),
    (nicira.clone(actions.output(3) + nicira.clone(b"")) + nicira.cut_output(nicira.SAME_PORT),
     "clone(output:3,clone()),output(port=IN_PORT,max_len=64)"),
    (pack("!HHI", of13.OFPAT_EXPERIMENTER, 8, 0x2320), "unknown(ffff000800002320)"),
    (actions.set_field(bytes.fromhex("0003020400000007")), "unknown(001900100003020400000007" + "00" * 4 + ")"),
])
def test_actions_are_written_as_ovs_ofctl_writes_them(data: bytes, text: str) -> None:
    assert actions_text(data) == text


def test_instructions_are_written_in_the_order_in_which_they_are_carried_out() -> None:
    everything = Instructions(goto=10, metadata=(5, 0xFF), apply=actions.output(1), meter=4, clear=True,
                              write=actions.output(2) + actions.group(3))
    assert instructions_text(build(everything)) == (
        "meter:4,output:1,clear_actions,write_actions(output:2,group:3),write_metadata:0x5/0xff,goto_table:10")
    assert instructions_text(build(Instructions(metadata=(7, 0xFFFFFFFFFFFFFFFF)))) == "write_metadata:0x7"
    assert instructions_text(b"") == "drop"


def test_an_instruction_that_nobody_knows_is_shown_as_it_is() -> None:
    assert instructions_text(bytes.fromhex("00ff000800000000")) == "unknown(00ff000800000000)"


def test_buckets_tell_weight_and_what_they_watch() -> None:
    assert bucket_texts(bucket(actions.output(3), watch_port=3) + bucket(b"", weight=5, watch_group=0x50000001)) == [
        "watch_port:3,actions=output:3", "weight:5,watch_group:0x50000001,actions=drop"]


def test_numbers_have_names_where_openflow_gives_them() -> None:
    assert [message_type(kind) for kind in (of13.OFPT_FLOW_MOD, of13.OFPT_PACKET_IN, 200)] == [
        "flow_mod", "packet_in", "200"]
    assert [group_type(kind) for kind in (0, 1, 2, 3, 9)] == ["all", "select", "indirect", "ff", "9"]
    assert [port_text(port) for port in (7, of13.OFPP_LOCAL, of13.OFPP_ANY)] == ["7", "LOCAL", "ANY"]
    assert [group_number(number) for number in (5, 0xFFFF, 0x10000)] == ["5", "65535", "0x10000"]


@given(st.lists(st.tuples(st.sampled_from(FIELDS), st.integers(0, 2**128 - 1), st.integers(0, 2**128 - 1)),
                max_size=6, unique_by=lambda each: each[0].number))
def test_different_matches_have_different_texts(fields: list[tuple[object, int, int]]) -> None:
    def tlvs(change: int) -> bytes:
        parts = [tlv(f.number, (value ^ change) & mask & f.full, mask & f.full if f.maskable else None)  # type: ignore
                 for f, value, mask in fields]
        return Match.from_tlvs(b"".join(parts)).tlvs

    one, other = tlvs(0), tlvs(1)
    assert (match_text(one) == match_text(other)) == (one == other)


def test_bands_are_told_as_ovs_ofctl_takes_them() -> None:
    bands = [Band(of13.OFPMBT_DROP, 100, 20), Band(of13.OFPMBT_DSCP_REMARK, 7, 8, b"\2\0\0\0"), Band(9, 1, 2)]
    assert band_texts(bands) == [
        "type=drop,rate=100,burst_size=20", "type=dscp_remark,rate=7,burst_size=8,prec_level=2",
        "type=9,rate=1,burst_size=2"]
