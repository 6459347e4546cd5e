"""Matches in Open vSwitch's own forms; what is expected was tried on Open vSwitch 3.1 over OpenFlow 1.3."""
from __future__ import annotations

import pytest

from hvproxy.errors import Refused
from hvproxy.openflow.oxm import Match, without
from hvproxy.openflow.oxm_aliases import long_port, read
from hvproxy.openflow.oxm_fields import EXTENSIONS, FIELDS, HEADERS_EXACT, HEADERS_MASKED, NX, OWN_REGISTER
from hvproxy.openflow.text import match_text
from tests.openflow import error_cases
from tests.openflow.error_cases import t

IP, TCP, IP6 = "80000a020800", "80000a020800" "8000140106", "80000a0286dd"
ONF_TCP_FLAGS = "ffff54064f4e4600"

TOLD = [
    ("register", "0001000400000005", "0001000400000005", "reg0=0x5"),
    ("masked register", "00010708000000050000000f", "00010708000000050000000f", "reg3=0x5/0xf"),
    ("register with an empty mask", "000107080000000000000000", "", ""),
    ("wide register", "800100080000000000000005", "00010004000000000001020400000005", "reg0=0x0,reg1=0x5"),
    ("masked wide register", "80010d1000000001000000000000000f00000000", "00011908000000010000000f", "reg12=0x1/0xf"),
    ("widest register", "0001de10" + "00" * 15 + "05",
     "0001000400000000000102040000000000010404000000000001060400000005", "reg0=0x0,reg1=0x0,reg2=0x0,reg3=0x5"),
    ("tunnel id", "000120080000000000000005", "80004c080000000000000005", "tun_id=0x5"),
    ("tunnel source", "00013e0401010101", "00013e0401010101", "tun_src=1.1.1.1"),
    ("masked tunnel destination", "0001410801010000ffff0000", "0001410801010000ffff0000", "tun_dst=1.1.0.0/16"),
    ("tunnel flags", "0001d0020001", "0001d10400010001", "tun_flags=+oam"),
    ("group policy", "00014c020003", "00014c020003", "tun_gbp_id=3"),
    ("packet mark", "000143080000000100000003", "000143080000000100000003", "pkt_mark=0x1/0x3"),
    ("TCP flags", TCP + "000144020002", TCP + ONF_TCP_FLAGS + "0002", "eth_type=0x0800,nw_proto=6,tcp_flags=syn"),
    ("TCP flags of the ONF", TCP + ONF_TCP_FLAGS + "0002", TCP + ONF_TCP_FLAGS + "0002",
     "eth_type=0x0800,nw_proto=6,tcp_flags=syn"),
    ("TCP flags of the ONF, masked", TCP + "ffff55084f4e460000020012", TCP + "ffff55084f4e460000020012",
     "eth_type=0x0800,nw_proto=6,tcp_flags=+syn-ack"),
    ("TCP flags of OpenFlow 1.5", TCP + "800054020000", TCP + ONF_TCP_FLAGS + "0000",
     "eth_type=0x0800,nw_proto=6,tcp_flags=0"),
    ("fragments", IP + "0001340103", IP + "0001340103", "eth_type=0x0800,nw_frag=later"),
    ("masked fragments", IP + "000135020002", IP + "000135020002", "eth_type=0x0800,nw_frag=not_later"),
    ("TTL", IP + "00013a0105", IP + "00013a0105", "eth_type=0x0800,nw_ttl=5"),
    ("MPLS TTL", "80000a028847" "00013c0105", "80000a028847" "00013c0105", "eth_type=0x8847,mpls_ttl=5"),
    ("connection", "0001d3080000002000000021", "0001d3080000002000000021", "ct_state=-new+trk"),
    ("whole connection state", "0001d20400000000", "0001d30800000000000000ff",
     "ct_state=-new-est-rel-rpl-inv-trk-snat-dnat"),
    ("connection mark", "0001d60400000001", "0001d60400000001", "ct_mark=0x1"),
    ("Ethernet packets", "8000580400000000", "", ""),
    ("other packets", "8000580400010800", "8000580400010800", "packet_type=(1,0x800)"),
    ("old in_port", "000000020002", "8000000400000002", "in_port=2"),
    ("old in_port LOCAL", "00000002fffe", "80000004fffffffe", "in_port=LOCAL"),
    ("old destination", "00000206000000000001", "80000606000000000001", "dl_dst=00:00:00:00:00:01"),
    ("old masked source", "0000050c010000000000010000000000", "8000090c010000000000010000000000",
     "dl_src=01:00:00:00:00:00/01:00:00:00:00:00"),
    ("old tag", "000008021005", "80000c021005" "80000e0100", "dl_vlan=5,dl_vlan_pcp=0"),
    ("old no tag", "000008020000", "80000c020000", "vlan_tci=0x0000/0x1fff"),
    ("old tag or none", "0000090410001000", "80000d0410001000", "vlan_tci=0x1000/0x1000"),
    ("old tag with priority", "00000904f005ffff", "80000c021005" "80000e0107", "dl_vlan=5,dl_vlan_pcp=7"),
    ("old address", "000006020800" "00000f0801020300ffffff00", IP + "8000170801020300ffffff00",
     "eth_type=0x0800,nw_src=1.2.3.0/24"),
    ("old type of service", IP + "00000a0120", IP + "8000100108", "eth_type=0x0800,ip_dscp=8"),
    ("old port", "000006020800" "00000c0106" "000012020050", IP + "8000140106" "80001a020050",
     "eth_type=0x0800,nw_proto=6,tcp_src=80"),
    ("old IPv6", "0000060286dd" "00013604000000050" "001380101", IP6 + "8000120101" "8000380400000005",
     "eth_type=0x86dd,nw_ecn=1,ipv6_label=0x5"),
]
REFUSED = [
    ("reg16", "0001200400000005", (4, 6)), ("value beyond its mask", "00010708000000150000000f", (4, 5)),
    ("reg1 and the wide one", "8001000800000000000000050001020400000005", (4, 10)),
    ("the wide one and reg1", "0001020400000005800100080000000000000005", (4, 10)),
    ("xreg8", "800110080000000000000005", (4, 6)),
    ("both tunnel ids", "80004c08" + "00" * 8 + "00012008" + "00" * 8, (4, 10)),
    ("TCP flags of 13 bits", TCP + "000144021002", (4, 7)), ("TCP flags without TCP", "000144020002", (4, 9)),
    ("fragments beyond", IP + "0001340104", (4, 7)), ("fragments without IP", "0001340101", (4, 9)),
    ("type of service with ECN", IP + "00000a0121", (4, 7)), ("connection state", "0001d3080000010000000100", (4, 7)),
    ("masked zone", "0001d50400010001", (4, 8)), ("dp_hash", "0001460400000002", (1, 5)),
    ("recirc_id", "0001480400000002", (1, 5)), ("twice", "800006060000000000000000" "0206000000000000", (4, 10)),
    ("another's experimenter", "ffff5406123456780002", (4, 6)), ("no size of it", "ffff54074f4e4600000200", (4, 6)),
    ("half a register", "000106020005", (4, 6)), ("no such class", "00023c080000000000000000", (4, 6)),
    ("no such number", "0001e60400000000", (4, 6)), ("ONF, beyond its mask", TCP + "ffff55084f4e460000130012", (4, 5)),
]


def parse(data: str) -> Match:
    return Match.parse(error_cases.ofp_match(bytes.fromhex(data)))


@pytest.mark.parametrize("name, sent, told, text", TOLD)
def test_a_match_is_told_as_open_vswitch_tells_it(name: str, sent: str, told: str, text: str) -> None:
    match = parse(sent)
    assert sorted_tlvs(match.tlvs) == sorted_tlvs(bytes.fromhex(told))
    assert match_text(match.tlvs) == text
    assert parse(told) == match
    again = Match.from_tlvs(match.tlvs)
    assert (again, again.tlvs, again.body) == (match, match.tlvs, match.body)


def sorted_tlvs(data: bytes) -> list[bytes]:
    found, at = [], 0
    while at < len(data):
        end = at + 4 + data[at + 3]
        found.append(data[at:end])
        at = end
    return sorted(found)


@pytest.mark.parametrize("name, sent, error", REFUSED)
def test_faults_get_the_errors_of_open_vswitch(name: str, sent: str, error: tuple[int, int]) -> None:
    with pytest.raises(Refused) as refused:
        parse(sent)
    assert (refused.value.error_type, refused.value.code) == error


def test_a_part_of_a_priority_is_not_kept() -> None:
    for sent in ("0000090420002000", "00000904e000e000"):
        with pytest.raises(Refused):
            parse(sent)


@pytest.mark.parametrize("sent, never, body", [
    ("00013e0400000000", False, ""), ("00013e0401010101", True, ""),
    ("80004c080000000000000005", False, "80004c080000000000000005"),
    ("0001d3080000000000000020" + IP, False, IP), ("0001d3080000002000000020" + IP, True, IP),
    ("0001000400000005", False, "0001000400000005"), (TCP + "000144020002", False, TCP + "000144020002"),
])
def test_what_no_packet_has_is_not_asked_of_a_switch(sent: str, never: bool, body: str) -> None:
    match = parse(sent)
    assert (match.never, match.body.hex()) == (never, body)


OURS = ("00011e0400000005", "00011f08000000050000000f", "00011f080000000000000000", "80010e080000000000000005",
        "80010f1000000001000000000000000f00000000",
        "0001e410" + "00" * 16, "0001e520" + "01" + "00" * 15 + "ff" + "00" * 15)


@pytest.mark.parametrize("sent", OURS)
def test_a_register_that_is_ours_is_no_field_also_within_wider_ones(sent: str) -> None:
    with pytest.raises(Refused) as refused:
        parse(sent)
    assert (refused.value.error_type, refused.value.code) == (4, 6)


def test_a_switch_may_tell_of_the_register_that_is_ours() -> None:
    match = Match.from_tlvs(bytes.fromhex("8000000400000003" "00011e0400000005"))
    assert match.get(OWN_REGISTER.number) == (5, None)


def test_one_field_is_left_out_of_tlvs() -> None:
    hidden = IP6 + "8000341080004c080000000000000000" + "00" * 4 + "80004d10" + "00" * 7 + "01" + "00" * 7 + "03"
    assert without(bytes.fromhex(hidden), 38).hex() == hidden[:-40]
    assert without(bytes.fromhex("80004c080000000000000005"), 38) == without(b"", 38) == b""


def test_extended_matches_are_told_from_others() -> None:
    assert parse("0001000400000005").extended and parse(TCP + "000144020002").extended
    assert not parse(TCP).extended and not parse("80004c080000000000000005").extended
    assert not parse("0001d3080000000000000020").extended


def test_headers_of_all_fields_are_unique() -> None:
    fields = (*FIELDS, *EXTENSIONS)
    assert len(HEADERS_EXACT) == len(HEADERS_MASKED) == len(fields)
    assert [field.number for field in fields if field.number < NX][-1] == 44
    assert not HEADERS_EXACT.keys() & HEADERS_MASKED.keys()


def test_reading_tells_where_a_field_ends() -> None:
    data = t(3, 5) + bytes.fromhex("800100080000000000000005") + t(4, 1)
    parts, end = read(data, 10)
    assert [part.field.name for part in parts] == ["reg0", "reg1"] and end == 22


def test_ports_of_16_bits_have_their_reserved_numbers_at_the_end() -> None:
    assert [long_port(number) for number in (5, 0xfeff, 0xfffe)] == [5, 0xfeff, 0xfffffffe]
