"""What Open vSwitch 3.1 reports of our rules and groups reads as the very bytes that were sent."""
from __future__ import annotations

from collections.abc import Iterator
from struct import pack, unpack_from

import pytest

from hvproxy.openflow import actions, instructions
from hvproxy.openflow.actions import group, output, pop_vlan, push_vlan, set_field, set_vlan_vid
from hvproxy.openflow.constants import of13
from hvproxy.openflow.instructions import Instructions
from hvproxy.openflow.oxm import Match, metadata_tlv, ofp_match, tlv
from hvproxy.openflow.oxm_fields import BY_NUMBER, FIELDS
from tests.openflow.error_cases import CASES, FULL64, Case, flow_mod
from tests.system.private_ovs import PrivateOvs, Session, require

ANY = 0xffffffff
CONTROLLER, IN_PORT, FLOOD, ALL = 0xfffffffd, 0xfffffff8, 0xfffffffb, 0xfffffffc
CONTEXT = metadata_tlv(0x0010010000000007, 0xffffff0f00000fff)
PREREQUISITES = {
    7: tlv(6, 0x1005), 8: tlv(5, 0x800), 9: tlv(5, 0x86dd), 10: tlv(5, 0x800), 11: tlv(5, 0x800), 12: tlv(5, 0x800),
    13: tlv(5, 0x800) + tlv(10, 6), 14: tlv(5, 0x86dd) + tlv(10, 6), 15: tlv(5, 0x800) + tlv(10, 17),
    16: tlv(5, 0x86dd) + tlv(10, 17), 17: tlv(5, 0x800) + tlv(10, 132), 18: tlv(5, 0x800) + tlv(10, 132),
    19: tlv(5, 0x800) + tlv(10, 1), 20: tlv(5, 0x800) + tlv(10, 1), 21: tlv(5, 0x806), 22: tlv(5, 0x806),
    23: tlv(5, 0x8035), 24: tlv(5, 0x806), 25: tlv(5, 0x806), 26: tlv(5, 0x86dd), 27: tlv(5, 0x86dd),
    28: tlv(5, 0x86dd), 29: tlv(5, 0x86dd) + tlv(10, 58), 30: tlv(5, 0x86dd) + tlv(10, 58),
    31: tlv(5, 0x86dd) + tlv(10, 58) + tlv(29, 135), 32: tlv(5, 0x86dd) + tlv(10, 58) + tlv(29, 135),
    33: tlv(5, 0x86dd) + tlv(10, 58) + tlv(29, 136), 34: tlv(5, 0x8847), 35: tlv(5, 0x8847), 36: tlv(5, 0x8848),
}
MPLS_TTL = pack("!HHB3x", of13.OFPAT_SET_MPLS_TTL, 8, 9)
NW_TTL = pack("!HHB3x", of13.OFPAT_SET_NW_TTL, 8, 9)
DEC_NW_TTL = pack("!HH4x", of13.OFPAT_DEC_NW_TTL, 8)
DEC_MPLS_TTL = pack("!HH4x", of13.OFPAT_DEC_MPLS_TTL, 8)
PUSH_MPLS = pack("!HHH2x", of13.OFPAT_PUSH_MPLS, 8, 0x8847)
POP_MPLS = pack("!HHH2x", of13.OFPAT_POP_MPLS, 8, 0x800)
SET_QUEUE = pack("!HHI", of13.OFPAT_SET_QUEUE, 8, 3)


def sample(number: int) -> int:
    """A value every field can hold, with its highest bit set where it can be."""
    full = BY_NUMBER[number].full
    return {0: 7, 6: 0x1abc, 5: 0x800}.get(number, full - full // 3)


def matches() -> list[bytes]:
    """Each field exact and, where it can be, masked, in one logical switch's context."""
    found = []
    for field in FIELDS:
        before = tlv(0, 3) if field.number else b""
        before += CONTEXT if field.number > 2 else b""
        before += PREREQUISITES.get(field.number, b"")
        value = sample(field.number)
        found.append(before + tlv(field.number, value))
        if field.maskable:
            mask = field.full ^ field.full // 5
            found.append(before + tlv(field.number, value & mask, mask))
    return found


def bodies() -> list[tuple[bytes, Instructions]]:
    """(match, instructions) of the kinds that hvproxy installs."""
    tagged, ip, mpls = tlv(6, 0x1005), tlv(5, 0x800), tlv(5, 0x8847)
    plain = [
        Instructions(),
        Instructions(goto=10),
        Instructions(metadata=(0x0010010000000000, FULL64), goto=10),
        Instructions(metadata=(0x300000005, 0xf0000ffff), goto=254),
        Instructions(apply=output(1)),
        Instructions(apply=output(1, 65509) + output(IN_PORT, 1), write=output(2, 7)),
        Instructions(apply=output(CONTROLLER, 128)),
        Instructions(apply=output(CONTROLLER)),
        Instructions(apply=output(IN_PORT) + output(FLOOD) + output(ALL)),
        Instructions(apply=group(1)),
        Instructions(apply=push_vlan() + set_vlan_vid(103) + group(1)),
        Instructions(apply=push_vlan(0x88a8) + set_vlan_vid(103) + set_field(tlv(7, 5)) + output(2)),
        Instructions(apply=SET_QUEUE + output(2)),
        Instructions(write=output(1) + group(1)),
        Instructions(write=push_vlan() + output(1), clear=True),
        Instructions(clear=True),
        Instructions(apply=output(1), write=group(1), clear=True, metadata=(1 << 33, 1 << 33), goto=12),
    ]
    found = [(CONTEXT, instructions) for instructions in plain]
    found += [
        (tagged, Instructions(apply=pop_vlan() + group(1))),
        (tagged, Instructions(apply=pop_vlan(), metadata=(0x0010010000000000, FULL64), goto=10)),
        (ip, Instructions(apply=DEC_NW_TTL + NW_TTL + PUSH_MPLS + MPLS_TTL + set_field(tlv(34, 77)) + output(1))),
        (mpls, Instructions(apply=DEC_MPLS_TTL + POP_MPLS + DEC_NW_TTL + output(1))),
        (ip, Instructions(write=DEC_NW_TTL + set_field(tlv(12, 5)))),
        (mpls, Instructions(write=POP_MPLS + MPLS_TTL + output(1))),
    ]
    for field in FIELDS:
        if field.writable:
            before = tlv(6, 0x1007) if field.number == 6 else PREREQUISITES.get(field.number, b"")
            found.append((before, Instructions(apply=set_field(tlv(field.number, sample(field.number))) + output(1))))
    return found


def bucket(body: bytes, weight: int = 0, port: int = ANY, group_id: int = ANY) -> bytes:
    return pack("!HHII4x", 16 + len(body), weight, port, group_id) + body


def all_groups() -> list[tuple[int, int, bytes]]:
    """(id, type, buckets) of the kinds that hvproxy installs; a group comes after those it names."""
    tag = push_vlan() + set_vlan_vid(4000)
    return [
        (1, of13.OFPGT_INDIRECT, bucket(output(1))),
        (2, of13.OFPGT_INDIRECT, bucket(b"")),
        (3, of13.OFPGT_ALL, b""),
        (4, of13.OFPGT_ALL, bucket(group(1)) + bucket(tag + group(1)) + bucket(output(CONTROLLER, 100))),
        (0x10000001, of13.OFPGT_FF, bucket(output(11), port=11) + bucket(tag + output(12), port=12)),
        (0x20000001, of13.OFPGT_FF, bucket(output(IN_PORT), port=11) + bucket(group(1), group_id=1)),
        (0x30000001, of13.OFPGT_FF, bucket(output(3), port=3, group_id=2)),
        (0x30000002, of13.OFPGT_FF, b""),
        (0x40000001, of13.OFPGT_SELECT, bucket(output(1), weight=1) + bucket(group(1), weight=60000)),
        (0x40000002, of13.OFPGT_SELECT, bucket(DEC_NW_TTL + set_field(tlv(3, 5)) + SET_QUEUE + output(1), weight=0)),
        (0xa0000001, of13.OFPGT_INDIRECT, bucket(output(IN_PORT))),
    ]


@pytest.fixture(scope="module")
def switch() -> Iterator[Session]:
    require()
    with PrivateOvs() as ovs:
        session = ovs.session()
        for group_id, kind, buckets in all_groups():
            assert session.refusal(of13.OFPT_GROUP_MOD, pack("!HBxI", 0, kind, group_id) + buckets) is None
        yield session
        session.close()


def install(switch: Session, match: bytes, data: bytes) -> None:
    body = pack("!QQBBHHHIIIH2x", 0, 0, 1, of13.OFPFC_ADD, 0, 0, 100, ANY, ANY, ANY, 0) + match + data
    assert switch.refusal(of13.OFPT_FLOW_MOD, body) is None


def only_rule(switch: Session) -> tuple[bytes, bytes]:
    """(TLVs, instructions) of the one rule in table 1, which is then removed."""
    filters = pack("!B3xII4xQQ", 1, ANY, ANY, 0, 0) + ofp_match(b"")
    reply = switch.multipart(of13.OFPMP_FLOW, filters)
    (length,) = unpack_from("!H", reply)
    assert length == len(reply), "one rule was installed"
    (match_length,) = unpack_from("!H", reply, 50)
    switch.request(of13.OFPT_FLOW_MOD, pack("!QQBBHHHIIIH2x", 0, 0, 1, of13.OFPFC_DELETE, 0, 0, 0, ANY, ANY, ANY, 0)
                   + ofp_match(b""))
    return reply[52:48 + match_length], reply[48 + (match_length + 7) // 8 * 8:]


@pytest.mark.parametrize("tlvs", matches(), ids=bytes.hex)
def test_a_match_of_ours_is_reported_as_it_was_sent(switch: Session, tlvs: bytes) -> None:
    match = Match.from_tlvs(tlvs)
    assert match.tlvs == tlvs
    install(switch, ofp_match(tlvs), b"")
    assert Match.from_tlvs(only_rule(switch)[0]).tlvs == tlvs


@pytest.mark.parametrize(("tlvs", "value"), bodies())
def test_instructions_of_ours_are_reported_as_they_were_sent(
    switch: Session, tlvs: bytes, value: Instructions,
) -> None:
    data = instructions.build(value)
    assert instructions.canonical(data) == data
    install(switch, ofp_match(tlvs), data)
    assert instructions.canonical(only_rule(switch)[1]) == data


BOTH_ACCEPT = [
    case for case in CASES if case.switch is case.ours is None and case.name != "vlan_vid mask of no meaning"
]
"""Without the case where Open vSwitch reports packet_type, a field of OpenFlow 1.5, for a mask that selects nothing."""


@pytest.mark.parametrize("case", BOTH_ACCEPT, ids=lambda case: case.name)
def test_whatever_both_accept_is_reported_in_the_same_canonical_form(switch: Session, case: Case) -> None:
    assert switch.refusal(of13.OFPT_FLOW_MOD, flow_mod(case)) is None
    tlvs, data = only_rule(switch)
    assert instructions.canonical(data) == instructions.canonical(case.instructions)
    assert Match.from_tlvs(tlvs) == Match.from_tlvs(case.match)


def test_groups_of_ours_are_described_as_they_were_sent(switch: Session) -> None:
    reply = switch.multipart(of13.OFPMP_GROUP_DESC)
    described = []
    at = 0
    while at < len(reply):
        length, kind, group_id = unpack_from("!HBxI", reply, at)
        described.append((group_id, kind, actions.canonical_buckets(reply[at + 8:at + length])))
        at += length
    assert sorted(described) == all_groups()
    assert all(actions.canonical_buckets(buckets) == buckets for _, _, buckets in all_groups())
