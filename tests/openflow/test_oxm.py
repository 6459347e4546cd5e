from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
import pytest

from hvproxy.errors import Refused
from hvproxy.openflow.constants import of13
from hvproxy.openflow.oxm import Match, each_tlv, metadata_tlv, ofp_match, tlv
from hvproxy.openflow.oxm_fields import Headers
from tests.openflow import error_cases
from tests.openflow.error_cases import FULL64, IP, MATCHES, VLAN, Case, judge, t

SMALL = (tlv(0, 1), tlv(0, 2), tlv(3, 1 << 40, 1 << 40), tlv(3, 1 << 40), tlv(3, 2), tlv(5, 0x800), tlv(5, 0x806),
         tlv(6, 0), tlv(6, 0x1000, 0x1000), tlv(6, 0x1005), metadata_tlv(1, 1), metadata_tlv(3, 0xff),
         metadata_tlv(2, 0xff), tlv(12, 0x0a000000, 0xff000000), tlv(12, 0x0a010000, 0xffff0000), tlv(12, 0x0a010101))


def parse(tlvs: bytes) -> Match:
    return Match.parse(error_cases.ofp_match(tlvs))


@pytest.mark.parametrize("case", MATCHES, ids=lambda case: case.name)
def test_errors_are_those_of_the_table(case: Case) -> None:
    assert judge(case) == case.ours


def test_a_match_of_openflow_1_1_is_refused() -> None:
    with pytest.raises(Refused) as caught:
        Match.parse(b"\x00\x00\x00\x58" + bytes(84))
    assert (caught.value.error_type, caught.value.code) == (of13.OFPET_BAD_MATCH, of13.OFPBMC_BAD_TYPE)


def test_fields_are_sorted() -> None:
    assert parse(IP + t(3, 1) + t(0, 7) + t(11, 5)).tlvs == t(0, 7) + t(3, 1) + IP + t(11, 5)


def test_full_masks_are_dropped_and_empty_ones_leave_no_field() -> None:
    assert parse(t(3, 5, (1 << 48) - 1) + t(6, 0x1005, 0x1fff) + t(4, 0, 0)).tlvs == t(3, 5) + VLAN
    assert parse(t(0, 0, 0)) == Match.EMPTY


def test_mask_bits_that_mean_nothing_are_dropped() -> None:
    assert parse(t(6, 0x1000, 0xf000)).tlvs == t(6, 0x1000, 0x1000)
    assert parse(t(5, 0x86dd) + t(28, 1, 0xfff00001)).tlvs == t(5, 0x86dd) + t(28, 1, 1)


def test_padding_behind_the_match_is_optional() -> None:
    padded = error_cases.ofp_match(t(0, 7) + IP)
    assert Match.parse(padded) == Match.parse(padded[:4 + len(t(0, 7) + IP)])


def test_body_leaves_out_in_port_and_metadata() -> None:
    match = parse(t(0, 7) + t(2, 1, 3) + t(3, 1) + IP)
    assert match.body == t(3, 1) + IP
    assert parse(t(2, 1, 3) + IP).body == IP
    assert parse(t(0, 1)).body == b""
    assert parse(IP).body == IP


def test_in_port_and_metadata() -> None:
    match = parse(t(0, 7) + t(2, 1, 3))
    assert (match.in_port, match.metadata) == (7, (1, 3))
    assert (Match.EMPTY.in_port, Match.EMPTY.metadata) == (None, None)
    assert parse(t(0, 0)).in_port == 0


def test_a_match_of_all_metadata_bits_is_one_of_the_tenants_bits() -> None:
    assert parse(t(2, 5)) == parse(t(2, 5, 0xffffffff)) == parse(t(2, 5, FULL64))
    assert parse(t(2, 5)).metadata == (5, 0xffffffff)
    assert parse(t(2, 5)).identity == t(2, 5, 0xffffffff)


def test_metadata_is_told_as_it_came() -> None:
    assert parse(t(3, 1) + t(2, 5) + t(0, 7)).tlvs == t(0, 7) + t(2, 5) + t(3, 1)
    assert parse(t(2, 5, FULL64)).tlvs == t(2, 5)
    assert parse(t(2, 5, 0xffffffff)).tlvs == t(2, 5, 0xffffffff)
    assert parse(t(2, 5, 0xff)).tlvs == t(2, 5, 0xff)


def test_get() -> None:
    match = parse(t(0, 7) + t(6, 0x1000, 0x1000) + IP + t(11, 0x0a000000, 0xff000000))
    assert match.get(0) == (7, None)
    assert match.get(5) == (0x800, None)
    assert match.get(6) == (0x1000, 0x1000)
    assert match.get(11) == (0x0a000000, 0xff000000)
    assert match.get(12) is None
    assert match.get(99) is None


def test_headers_tell_what_prerequisites_ask() -> None:
    assert parse(IP + t(10, 6)).headers == Headers(0x800, 6)
    assert parse(VLAN).headers == Headers(vlans=1)
    assert parse(t(6, 0)).headers == Headers()
    assert parse(error_cases.SOLICIT).headers == Headers(0x86dd, 58, 135)


def test_equality_is_of_canonical_bytes() -> None:
    assert parse(IP + t(3, 1)) == parse(t(3, 1) + IP)
    assert hash(parse(IP + t(3, 1))) == hash(parse(t(3, 1) + IP))
    assert parse(t(3, 1)) != parse(t(3, 2))


def test_tlvs_we_wrote_may_hold_more_than_a_tenants() -> None:
    tlvs = metadata_tlv(0xa << 60, 0xf << 60) + tlv(38, 9)
    assert Match.from_tlvs(tlvs).tlvs == tlvs
    assert Match.from_tlvs(tlvs).metadata == (0xa << 60, 0xf << 60)
    assert Match.from_tlvs(tlvs).get(38) == (9, None)


def test_that_a_packet_is_an_ethernet_frame_is_not_told() -> None:
    ethernet, destination = tlv(44, 0), tlv(3, 1)
    assert Match.from_tlvs(ethernet) == Match.parse(ofp_match(ethernet)) == Match.EMPTY
    both = Match.parse(ofp_match(ethernet + destination))
    assert both.tlvs == both.body == Match.from_tlvs(ethernet + destination).tlvs == destination
    assert (both.value, both.mask) == (Match.from_tlvs(destination).value, Match.from_tlvs(destination).mask)


def test_unknown_fields_of_a_switch_stay_behind_the_known() -> None:
    register = t(0, 1, size=4, oxm_class=1)
    assert Match.from_tlvs(register + t(0, 7)).tlvs == t(0, 7) + register


@pytest.mark.parametrize("case", [case for case in MATCHES if case.ours is None], ids=lambda case: case.name)
def test_canonical_bytes_read_as_themselves(case: Case) -> None:
    match = parse(case.match)
    assert Match.from_tlvs(match.identity) == match == Match.parse(ofp_match(match.identity))
    assert Match.parse(ofp_match(match.tlvs)) == match


def test_ofp_match_is_padded_to_8_bytes() -> None:
    assert ofp_match(b"") == b"\x00\x01\x00\x04\x00\x00\x00\x00"
    assert ofp_match(tlv(5, 0x800)) == b"\x00\x01\x00\x0a\x80\x00\x0a\x02\x08\x00" + bytes(6)


def test_tlv_builders_give_canonical_bytes() -> None:
    assert tlv(12, 5, 0xffffffff) == tlv(12, 5) == t(12, 5)
    assert tlv(12, 0xffff, 0xff00) == t(12, 0xff00, 0xff00)
    assert tlv(12, 5, 0) == b""
    assert metadata_tlv(1, FULL64) == t(2, 1)
    assert metadata_tlv(1, 1) == t(2, 1, 1)


@st.composite
def matches(draw: st.DrawFn) -> Match:
    """Matches of few fields and values, so that they meet."""
    chosen = draw(st.lists(st.sampled_from(SMALL), max_size=4))
    by_header = {part[2] >> 1: part for part in chosen}
    return Match.from_tlvs(b"".join(by_header.values()))


def as_dictionary(match: Match) -> dict[int, tuple[int, int]]:
    found = {}
    for number in (0, 2, 3, 5, 6, 12):
        entry = match.get(number)
        if entry is not None:
            found[number] = (entry[0], -1 if entry[1] is None else entry[1])
    return found


@given(matches(), matches())
def test_covers_compares_field_by_field(left: Match, right: Match) -> None:
    ours, other = as_dictionary(left), as_dictionary(right)
    expected = all(
        number in other and not mask & ~other[number][1] and not (value ^ other[number][0]) & mask
        for number, (value, mask) in ours.items())
    assert left.covers(right) is expected


@given(matches(), matches())
def test_overlaps_unless_a_field_differs(left: Match, right: Match) -> None:
    ours, other = as_dictionary(left), as_dictionary(right)
    expected = all(not (value ^ other[number][0]) & mask & other[number][1]
                   for number, (value, mask) in ours.items() if number in other)
    assert left.overlaps(right) is right.overlaps(left) is expected


@given(matches(), matches())
def test_what_covers_overlaps_and_mutual_cover_is_equality(left: Match, right: Match) -> None:
    assert left.covers(left) and Match.EMPTY.covers(left)
    if left.covers(right):
        assert left.overlaps(right)
        assert right.covers(left) is (left == right)


def test_tlvs_are_told_apart_whether_they_are_known_or_not() -> None:
    parts = [tlv(of13.OFPXMT_OFB_ETH_TYPE, 0x800), bytes.fromhex("0001ee0106"), tlv(of13.OFPXMT_OFB_VLAN_VID, 0, 5)]
    assert list(each_tlv(b"".join(parts))) == parts and list(each_tlv(b"")) == []
