"""The table of errors is what Open vSwitch 3.1 answered to the same flow-mods, but for what stands in `OURS`."""
from __future__ import annotations

from struct import pack

import pytest

from hvproxy.errors import Refused
from hvproxy.openflow import actions, instructions, nicira, nicira_ct
from hvproxy.openflow.action_checks import check_each
from hvproxy.openflow.constants import NICIRA_ID, of13
from hvproxy.openflow.instructions import Instructions, build
from hvproxy.openflow.oxm import Match, ofp_match, tlv
from hvproxy.openflow.oxm_fields import CT_LABEL, CT_MARK, CT_STATE, CT_ZONE, NX, BY_NUMBER
from hvproxy.openflow.text import actions_text

IP, IP6, ARP = (tlv(of13.OFPXMT_OFB_ETH_TYPE, number) for number in (0x800, 0x86DD, 0x806))
REG0, MARK, STATE, ZONE, LABEL = (BY_NUMBER[number].header for number in (NX, CT_MARK, CT_STATE, CT_ZONE, CT_LABEL))
V4, V6 = bytes((1, 2, 3, 4)), bytes(15) + b"\1"
BAD_ACTION = of13.OFPET_BAD_ACTION


def ct(flags: int = 0, nested: bytes = b"", *, zone: int = 5, table: int = 255, source: int = 0, alg: int = 0,
       padding: bytes = bytes(3)) -> bytes:
    return pack("!HHIHHIHB3sH", 0xFFFF, 24 + len(nested), NICIRA_ID, 35, flags, source, zone, table, padding,
                alg) + nested


def nat(flags: int = 0, present: int = 0, ranges: bytes = b"", padding: bytes = bytes(2)) -> bytes:
    length = 16 + len(ranges) + (-len(ranges) & 7)
    return pack("!HHIH2sHH", 0xFFFF, length, NICIRA_ID, 36, padding, flags, present) + ranges.ljust(length - 16, b"\0")


def own(kind: int) -> bytes:
    return pack("!HHIH6x", 0xFFFF, 16, NICIRA_ID, kind)


def mark(header: int = MARK, value: bytes = b"\0\0\0\5") -> bytes:
    return actions.set_field(header.to_bytes(4, "big") + value)


def load(first: int, bits: int, header: int) -> bytes:
    return nicira.load(first, bits, header, 5)


COMMIT = 1
TAKEN = {
    "plain": (IP, ct()), "force": (IP, ct(3)), "unknown flag": (IP, ct(8)), "table 0": (IP, ct(table=0)),
    "table 254": (IP, ct(table=254)), "a mark": (IP, ct(1, mark())), "a loaded mark": (IP, ct(1, load(0, 32, MARK))),
    "a part of a label": (IP, ct(1, load(64, 64, LABEL))), "moved": (IP, ct(1, nicira.move(0, REG0, 0, MARK, 32))),
    "nat": (IP, ct(0, nat())), "nat from": (IP, ct(1, nat(1, 1, V4))), "persistent": (IP, ct(1, nat(5, 1, V4))),
    "a range without a direction": (IP, ct(1, nat(0, 1, V4))), "two": (IP, ct(1, nat(1, 3, V4 + b"\1\2\3\x09"))),
    "of IPv6": (IP6, ct(1, nat(1, 4, V6))), "with ports": (IP, ct(1, nat(1, 0x31, V4 + b"\0\5\0\7"))),
    "twice": (IP, ct(1, nat() + nat())), "a mark is read": (b"", nicira.move(0, MARK, 0, REG0, 32)),
    "a state is read": (b"", nicira.move(0, STATE, 0, REG0, 32)), "clear": (b"", own(43)),
}
REFUSED = {
    "no IP": (b"", ct(), of13.OFPBAC_MATCH_INCONSISTENT), "ARP": (ARP, ct(), of13.OFPBAC_MATCH_INCONSISTENT),
    "another type meanwhile": (IP, pack("!HHH2x", of13.OFPAT_PUSH_MPLS, 8, 0x8847) + ct(),
                               of13.OFPBAC_MATCH_INCONSISTENT),
    "what is invalid": (IP + tlv(CT_STATE, 0x30, 0x30), ct(1), of13.OFPBAC_MATCH_INCONSISTENT),
    "force alone": (IP, ct(2), of13.OFPBAC_BAD_ARGUMENT), "too short": (IP, own(35), of13.OFPBAC_BAD_LEN),
    "mark without commit": (IP, ct(0, mark()), of13.OFPBAC_BAD_ARGUMENT),
    "load without commit": (IP, ct(0, load(0, 32, MARK)), of13.OFPBAC_BAD_ARGUMENT),
    "beyond the label": (IP, ct(1, load(100, 64, LABEL)), of13.OFPBAC_BAD_SET_LEN),
    "move of a mark": (IP, ct(1, nicira.move(0, MARK, 0, REG0, 32)), of13.OFPBAC_BAD_ARGUMENT),
    "load of a register": (IP, ct(1, load(0, 32, REG0)), of13.OFPBAC_BAD_ARGUMENT),
    "output": (IP, ct(1, actions.output(2)), of13.OFPBAC_BAD_ARGUMENT),
    "within itself": (IP, ct(1, ct()), of13.OFPBAC_BAD_ARGUMENT),
    "cut short": (IP, ct(1, b"\0\0\0\4\0\0\0\0"), of13.OFPBAC_BAD_LEN),
    "a state": (IP, ct(1, mark(STATE)), of13.OFPBAC_BAD_SET_ARGUMENT),
    "padding that is not zero": (IP, ct(1, mark()[:8] + b"\0\0\0\5"[:4] + b"\1" * 4),
                                 of13.OFPBAC_BAD_SET_ARGUMENT),
    "ct_clear within": (IP, ct(1, own(43)), of13.OFPBAC_BAD_ARGUMENT),
    "what is not known": (IP, ct(1, own(99)), of13.OFPBAC_BAD_EXP_TYPE),
    "a choice that is none": (IP, ct(1, own(12)), of13.OFPBAC_BAD_LEN),
    "a note": (IP, ct(1, own(8)), of13.OFPBAC_BAD_ARGUMENT),
    "a load of too much": (IP, ct(1, nicira.load(0, 2, MARK, 5)), of13.OFPBAC_BAD_ARGUMENT),
    "nat without commit": (IP, ct(0, nat(1, 1, V4)), of13.OFPBAC_BAD_ARGUMENT),
    "flags without commit": (IP, ct(0, nat(1)), of13.OFPBAC_BAD_ARGUMENT),
    "both directions": (IP, ct(1, nat(3, 1, V4)), of13.OFPBAC_BAD_ARGUMENT),
    "flags that there are not": (IP, ct(1, nat(0x21, 1, V4)), of13.OFPBAC_BAD_ARGUMENT),
    "both ways of choosing": (IP, ct(1, nat(0x19, 1, V4)), of13.OFPBAC_BAD_ARGUMENT),
    "an end alone": (IP, ct(1, nat(1, 2, V4)), of13.OFPBAC_BAD_ARGUMENT),
    "backwards": (IP, ct(1, nat(1, 3, V4 + bytes((1, 2, 3, 3)))), of13.OFPBAC_BAD_ARGUMENT),
    "nothing": (IP, ct(1, nat(1, 1, bytes(4))), of13.OFPBAC_BAD_ARGUMENT),
    "a range cut short": (IP, ct(1, nat(1, 3, V4)), of13.OFPBAC_BAD_ARGUMENT),
    "both kinds": (IP, ct(1, nat(1, 5, V4 + V6)), of13.OFPBAC_BAD_ARGUMENT),
    "ports alone": (IP, ct(1, nat(1, 0x10, b"\0\5")), of13.OFPBAC_BAD_ARGUMENT),
    "IPv6 of IPv4": (IP, ct(1, nat(1, 4, V6)), of13.OFPBAC_MATCH_INCONSISTENT),
    "IPv4 of IPv6": (IP6, ct(1, nat(1, 1, V4)), of13.OFPBAC_MATCH_INCONSISTENT),
    "nat outside": (IP, nat(), of13.OFPBAC_BAD_SET_ARGUMENT),
    "mark outside": (IP, mark(), of13.OFPBAC_BAD_SET_ARGUMENT),
    "load outside": (IP, load(0, 32, MARK), of13.OFPBAC_BAD_SET_ARGUMENT),
    "zone of a part": (IP, ct(source=REG0, zone=7), of13.OFPBAC_BAD_SET_LEN),
    "zone of no field": (IP, ct(source=0x00011234, zone=15), of13.OFPBAC_BAD_SET_TYPE),
}
OURS = {
    "zone of a field": (IP, ct(source=REG0, zone=15), of13.OFPBAC_BAD_ARGUMENT),
    "helper": (IP, ct(1, alg=21), of13.OFPBAC_BAD_ARGUMENT),
    "a zone is read": (b"", nicira.move(0, ZONE, 0, REG0, 16), of13.OFPBAC_BAD_SET_ARGUMENT),
}


def judged(match: bytes, data: bytes) -> Instructions:
    """Instructions that passed."""
    read = instructions.parse(build(Instructions(apply=data)))
    instructions.check(read, Match.parse(ofp_match(match)))
    return read


@pytest.mark.parametrize("name", TAKEN)
def test_what_is_taken_is_told_as_it_came(name: str) -> None:
    match, data = TAKEN[name]
    assert judged(match, data).apply == data


@pytest.mark.parametrize("name", [*REFUSED, *OURS])
def test_errors_are_those_of_the_table(name: str) -> None:
    match, data, code = {**REFUSED, **OURS}[name]
    with pytest.raises(Refused) as refused:
        judged(match, data)
    assert (refused.value.error_type, refused.value.code) == (BAD_ACTION, code)


def test_a_mask_has_the_error_of_masks() -> None:
    with pytest.raises(Refused) as refused:
        judged(IP, ct(1, mark(MARK + 4 | 0x100, bytes((0, 0, 0, 5, 0, 0, 0, 255)))))
    assert (refused.value.error_type, refused.value.code) == (of13.OFPET_EXPERIMENTER, 4250)


def test_no_action_set_holds_it() -> None:
    with pytest.raises(Refused) as refused:
        check_each(ct(), in_set=True)
    assert refused.value.code == of13.OFPBAC_BAD_TYPE


def test_what_means_nothing_is_not_told() -> None:
    assert actions.canonical(ct(padding=b"\1\2\3")) == ct()
    assert actions.canonical(ct(1, nat(1, 0x41, V4, b"\1\1"))) == ct(1, nat(1, 1, V4))
    assert actions.canonical(ct(1, nat(1, 1, V4 + b"\7" * 12))) == ct(1, nat(1, 1, V4))


def test_what_a_switch_says_that_no_length_proves_stays_as_it_is() -> None:
    broken = ct(1, b"\xff\xff\0\x40\0\0\x23\x20")
    assert actions.canonical(broken) == broken


def test_a_list_tells_whether_and_where_it_tracks() -> None:
    data = actions.output(1) + ct(zone=7) + ct(zone=9, table=3)
    assert actions.tracks(data) and actions.zones(data) == {7, 9} and actions.resubmits(data)
    assert actions.tracks(ct()) and not actions.resubmits(ct())
    assert not actions.tracks(own(43)) and not actions.zones(actions.output(1))
    assert [nicira_ct.table(ct(table=number)) for number in (0, 254, 255)] == [0, 254, None]


def test_only_zone_and_table_are_others_below() -> None:
    data = ct(1, mark() + nat(1, 1, V4), zone=7, table=3)
    assert nicira_ct.lowered(data, 40000, 13) == ct(1, mark() + nat(1, 1, V4), zone=40000, table=13)


@pytest.mark.parametrize("data, said", [
    (ct(zone=0), "ct()"), (ct(3, table=1), "ct(commit,force,table=1,zone=5)"),
    (ct(0, nat(), table=0), "ct(table=0,zone=5,nat)"),
    (ct(1, nat(1, 0x31, V4 + b"\0\5\0\7")), "ct(commit,zone=5,nat(src=1.2.3.4:5-7))"),
    (ct(1, nat(6, 0x14, V6 + b"\0\5")), "ct(commit,zone=5,nat(dst=[::1]:5,persistent))"),
    (ct(1, nat(9, 3, V4 + b"\1\2\3\x09")), "ct(commit,zone=5,nat(src=1.2.3.4-1.2.3.9,hash))"),
    (ct(1, nat(17) + mark(), zone=0), "ct(commit,nat(src,random),exec(set_field:0x5->ct_mark))"),
    (ct(1, load(64, 64, LABEL)), "ct(commit,zone=5,exec(load:0x5->ct_label[64..127]))"),
])
def test_it_is_told_in_words(data: bytes, said: str) -> None:
    assert actions_text(data) == said
