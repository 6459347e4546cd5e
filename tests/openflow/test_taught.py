"""What a packet teaches, as values in the fixed layout."""
from __future__ import annotations

from hvproxy.openflow import actions
from hvproxy.openflow.nicira_learn import read
from hvproxy.openflow.oxm import Match, of_layout, tlv
from hvproxy.openflow.oxm_fields import BY_NUMBER
from hvproxy.openflow.taught import decided_by, learns, taught
from tests.openflow.learn_cases import (
    BACK, ETH_DST, ETH_SRC, ETH_TYPE, IN_PORT, IP_PROTO, LOAD, MATCH, OUTPUT, REG0, REG1, TCI, TO_PORT, UDP_SRC, XXREG1,
    bundle, field, learn, value,
)

MAC, UDP = 0x020000000001, 17


def packet(**fields: int) -> int:
    named = {each.name: each for each in BY_NUMBER.values()}
    return sum(value << named[name].shift for name, value in fields.items())


def test_a_match_has_the_packets_values_and_those_that_are_given() -> None:
    action = learn(BACK, value(MATCH, 16, 0x800, ETH_TYPE), field(MATCH, 12, TCI, TCI),
                   field(MATCH, 16, IN_PORT, IN_PORT))
    match, apply = taught(read(action), packet(eth_src=MAC, vlan_vid=0x1007, vlan_pcp=3, in_port=0xfffffffe))
    assert match == Match.from_tlvs(tlv(0, 0xfffffffe) + tlv(3, MAC) + tlv(5, 0x800) + tlv(6, 7, 0xfff))
    assert apply == b""


def test_loads_are_cut_at_64_bits_from_below() -> None:
    action = learn(value(LOAD, 80, 5 << 64 | 6, XXREG1), field(LOAD, 8, ETH_SRC, REG0, first=4, to=8))
    apply = taught(read(action), packet(eth_src=0x123))[1]
    assert [(kind, data[10:]) for kind, data in actions.walk(apply)] == [
        (0xffff, (63).to_bytes(2, "big") + XXREG1.to_bytes(4, "big") + (6).to_bytes(8, "big")),
        (0xffff, (64 << 6 | 15).to_bytes(2, "big") + XXREG1.to_bytes(4, "big") + (5).to_bytes(8, "big")),
        (0xffff, (8 << 6 | 7).to_bytes(2, "big") + REG0.to_bytes(4, "big") + (0x12).to_bytes(8, "big"))]


def test_outputs_go_to_ports_that_can_be() -> None:
    def output(number: int) -> bytes:
        return taught(read(learn(field(OUTPUT, 32, REG1, None))), packet(reg1=number))[1]

    assert output(5) == actions.output(5) and output(0xfffb) == actions.output(0xfffffffb)
    assert [output(number) for number in (0xff00, 0xfffd, 0xfffa, 0xffff, 0x10001)] == [b""] * 5
    assert taught(read(learn(TO_PORT)), packet(in_port=0xfffffffe))[1] == actions.output(0xfffffffe)


def test_only_sources_decide_with_what_a_match_of_them_needs() -> None:
    action = learn(value(MATCH, 16, 0x800, ETH_TYPE), value(MATCH, 8, UDP, IP_PROTO),
                   field(MATCH, 16, UDP_SRC, UDP_SRC))
    whole = packet(eth_type=0x800, ip_proto=UDP, udp_src=53, udp_dst=99, eth_dst=MAC)
    assert of_layout(*decided_by(read(action), whole)) == tlv(5, 0x800) + tlv(10, UDP) + tlv(15, 53)
    assert decided_by(read(learn(value(LOAD, 4, 1, REG0))), whole) == (0, 0)


def test_parts_decide_where_a_field_can_be_masked() -> None:
    action = learn(field(LOAD, 8, ETH_DST, REG0), field(OUTPUT, 8, IN_PORT, None))
    assert of_layout(*decided_by(read(action), packet(eth_dst=0x1234, in_port=5))) == tlv(0, 5) + tlv(3, 0x34, 0xff)


def test_a_tag_that_is_not_there_decides_too() -> None:
    action = read(learn(field(LOAD, 16, TCI, REG0)))
    assert of_layout(*decided_by(action, packet(vlan_vid=0))) == tlv(6, 0)
    tagged = packet(vlan_vid=0x1007, vlan_pcp=3)
    assert of_layout(*decided_by(action, tagged)) == tlv(6, 0x1007) + tlv(7, 3)


def test_fields_that_are_always_0_decide_nothing() -> None:
    tun_src = 0x00013e04
    assert decided_by(read(learn(field(LOAD, 32, tun_src, REG0))), 0) == (0, 0)


def test_a_list_may_learn_several_times() -> None:
    data = learn(BACK) + bundle(1) + learn(TO_PORT) + actions.output(1)
    assert learns(data) == [read(learn(BACK)), read(learn(TO_PORT))]
    assert actions.learns(data) and not actions.learns(bundle(1)) and len(actions.choices(data)) == 1
