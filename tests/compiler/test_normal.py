"""The hidden tables of NORMAL, met by frames."""
from __future__ import annotations

from itertools import combinations

import pytest

from hvproxy.compiler.entries import rules_for
from hvproxy.compiler.lowering import Edge
from hvproxy.compiler.normal import FIRST_HOST, HiddenEntry, destination, fixed, next_host, source
from hvproxy.model.layout import HIDDEN, Table
from hvproxy.model.view import LogicalSwitchView
from hvproxy.openflow import actions
from hvproxy.openflow.constants import of13
from hvproxy.openflow.groups import bucket
from hvproxy.openflow.instructions import Instructions
from hvproxy.openflow.oxm import Match, tlv
from tests.compiler.placed import FRAME, LAYOUT, VIEW, VIFS, AnEntry, a_group, edge, plane, sent, told
from tests.packets import Plane, tagged

NORMAL = actions.output(of13.OFPP_NORMAL)
SOURCE, DESTINATION = 0x020000000001, 0x020000000002
"""Of FRAME."""
ONES = {
    "apply": (Instructions(apply=NORMAL), ()),
    "write": (Instructions(write=NORMAL), ()),
    "bucket": (Instructions(apply=actions.group(4)), (a_group(4, of13.OFPGT_ALL, bucket(NORMAL)),)),
}


def made(how: str, *hosts: HiddenEntry) -> Plane:
    instructions, groups = ONES[how]
    return plane(AnEntry(instructions=instructions), *fixed(), *hosts, groups=groups)


def host(port: int, address: int, vlan: int = 0, number: int = FIRST_HOST) -> tuple[HiddenEntry, HiddenEntry]:
    return source(number, port, address, vlan), destination(number, port, address, vlan)


@pytest.mark.parametrize("how", ONES)
@pytest.mark.parametrize("number", VIFS)
def test_frames_of_unknown_hosts_are_told_and_flooded(how: str, number: int) -> None:
    switches = made(how)
    assert set(sent(switches, number)) == set(VIFS) - {number}
    packets = told(switches)
    assert [(p["table"], int(str(p["cookie"])) & 0xFFFFFFFF, p["data"]) for p in packets] == [
        (Table.LEARN, HIDDEN | 1, FRAME)]


@pytest.mark.parametrize("how", ONES)
@pytest.mark.parametrize("number", VIFS)
@pytest.mark.parametrize("target", VIFS)
def test_frames_for_a_known_host_go_to_its_port_and_not_back(how: str, number: int, target: int) -> None:
    switches = made(how, *host(number, SOURCE), *host(target, DESTINATION, number=FIRST_HOST + 1))
    assert set(sent(switches, number)) == {target} - {number}
    assert told(switches) == []


def test_a_host_is_known_at_its_port_only() -> None:
    switches = made("apply", *host(1, SOURCE))
    assert set(sent(switches, 2)) == set(VIFS) - {2}
    assert len(told(switches)) == 1
    sent(switches, 1)
    assert told(switches) == []


def test_vlans_are_apart_and_priority_tags_are_none() -> None:
    switches = made("apply", *host(5, DESTINATION, 7), *host(2, DESTINATION, 0, FIRST_HOST + 1))
    assert set(sent(switches, 1)) == {2}
    assert set(sent(switches, 1, tagged(FRAME, 0, 5))) == {2}
    assert set(sent(switches, 1, tagged(FRAME, 7, 5))) == {5}
    assert len(sent(switches, 1, tagged(FRAME, 8))) == len(VIFS) - 1
    assert [int(str(p["cookie"])) & 0xFFFFFFFF for p in told(switches)] == [
        HIDDEN | 1, HIDDEN | 1, HIDDEN | 2, HIDDEN | 2]


@pytest.mark.parametrize("address, passes", [
    ("0180c2000000", False), ("0180c200000f", False), ("0180c2000010", True), ("01000ccccccc", False),
    ("01000ccccccd", False), ("01000cccccce", True), ("01000cccccc7", False), ("01000cccccc8", True),
    ("00e02b000004", False), ("00e02b000005", True), ("ffffffffffff", True)])
def test_frames_between_switches_are_not_passed_on(address: str, passes: bool) -> None:
    switches = made("apply")
    assert bool(sent(switches, 1, bytes.fromhex(address) + FRAME[6:])) == passes
    assert bool(told(switches)) == passes


def test_multicast_sources_teach_nothing() -> None:
    switches = made("apply")
    assert set(sent(switches, 1, FRAME[:6] + b"\x03" + FRAME[7:])) == set(VIFS) - {1}
    assert told(switches) == []


@pytest.mark.parametrize("entry", [*fixed(), *host(1, SOURCE), *host(3, SOURCE, 5), *host(5, SOURCE)])
def test_the_rules_of_a_hidden_entry_match_disjoint_packets(entry: HiddenEntry) -> None:
    matches = [Match.from_tlvs(rule.match) for rule in rules_for(entry, edge())]
    assert all(not a.overlaps(b) for a, b in combinations(matches, 2))
    assert all(rule.table in (Table.LEARN, Table.SWITCH) for rule in rules_for(entry, edge()))


def test_a_switch_without_the_extensions_floods_and_has_no_hidden_rules() -> None:
    plain = Edge(LAYOUT, LogicalSwitchView(VIEW.ls_id, VIEW.lports, frozenset((1,))), 1, {})
    assert all(rules_for(entry, plain) == () for entry in (*fixed(), *host(1, SOURCE)))
    normal, flood = (rules_for(AnEntry(instructions=Instructions(apply=actions.output(port))), plain)
                     for port in (of13.OFPP_NORMAL, of13.OFPP_FLOOD))
    assert normal == flood


def test_host_numbers_go_round() -> None:
    assert next_host(FIRST_HOST) == FIRST_HOST + 1
    last = (1 << 29) - 1
    assert next_host(last) == FIRST_HOST
    assert destination(last, 1, SOURCE, 0).number < 1 << 32


@pytest.mark.parametrize("tpid", [0x8100, 0x88A8])
def test_what_stands_behind_a_tag_that_the_switch_does_not_see_goes_nowhere(tpid: int) -> None:
    tag = tlv(of13.OFPXMT_OFB_VLAN_VID, of13.OFPVID_PRESENT, of13.OFPVID_PRESENT)
    switches = plane(AnEntry(match=Match.from_tlvs(tag), instructions=Instructions(apply=actions.pop_vlan() + NORMAL)),
                     *fixed())
    assert set(sent(switches, 1, tagged(FRAME, 8))) == set(VIFS) - {1}
    told(switches)
    assert sent(switches, 1, tagged(tagged(FRAME, 7, tpid=tpid), 8)) == {} and told(switches) == []


@pytest.mark.parametrize("target", [2, None])
@pytest.mark.parametrize("number", [1, 5])
def test_a_tag_that_says_nothing_does_not_leave(target: int | None, number: int) -> None:
    switches = made("apply", *(() if target is None else host(target, DESTINATION)))
    for frame, out in ((tagged(FRAME, 0), FRAME), (tagged(FRAME, 0, 5), tagged(FRAME, 0, 5)),
                       (tagged(FRAME, 0, tpid=0x88A8), FRAME)):
        came = sent(switches, number, frame)
        assert came and set(came.values()) == {out}
