"""Floods for hosts that are known come where these are, from everywhere and once, and all other floods everywhere."""
from __future__ import annotations

from dataclasses import replace

import pytest

from hvproxy.compiler import broadcast
from hvproxy.compiler.pipeline import placement
from hvproxy.model.hosts import HostAddress, Mac
from hvproxy.model.layout import FLOODED, GroupKind, Table, cookie
from hvproxy.model.view import LogicalSwitchView
from hvproxy.openflow import actions
from hvproxy.openflow.constants import of13
from hvproxy.openflow.groups import bucket
from hvproxy.openflow.instructions import Instructions
from hvproxy.openflow.oxm import tlv
from hvproxy.trace.compose import compose
from tests.compiler import test_wires
from tests.compiler.placed import LAYOUT, LS_ID, TRANSPORT, VIEW, VIFS, AnEntry, a_group, edge, plane, sent
from tests.packets import Plane, tagged

FLOOD = actions.output(of13.OFPP_FLOOD)
WAYS = {"apply": Instructions(apply=FLOOD), "write": Instructions(write=actions.output(of13.OFPP_ALL)),
        "group": Instructions(apply=actions.group(4))}


def mac(number: int) -> str:
    return f"02:00:00:00:00:{number:02x}"


def a_view(*numbers: int, view: LogicalSwitchView = VIEW) -> LogicalSwitchView:
    """The hosts of these ports are known."""
    return replace(view, lports=tuple(
        replace(lport, macs=frozenset((Mac.parse(mac(lport.number)),)),
                addresses=frozenset((HostAddress.parse(f"10.0.0.{lport.number}"),
                                     HostAddress.parse(f"2001:db8::{lport.number}"))))
        if lport.number in numbers else lport for lport in view.lports))


KNOWN = a_view(1, 3, 5, 6)
"""On both edges a whole port and a sub-port."""


def flooding(view: LogicalSwitchView, how: str = "apply") -> Plane:
    groups = (a_group(4, of13.OFPGT_ALL, bucket(FLOOD)),)
    return plane(AnEntry(instructions=WAYS[how]), groups=groups, view=view)


def for_host(number: int, source: int = 9) -> bytes:
    return compose(f"dl_src={mac(source)},dl_dst={mac(number)},dl_type=0x88b5")


def asks(sender: str, target: str, operation: int = 1) -> bytes:
    return compose(f"arp,dl_src={mac(9)},dl_dst=ff:ff:ff:ff:ff:ff,nw_src={sender},nw_dst={target},arp_op={operation}")


def solicits(sender: str, target: str) -> bytes:
    return compose(f"icmp6,dl_src={mac(9)},dl_dst=33:33:ff:00:00:01,ipv6_src={sender},ipv6_dst=ff02::1:ff00:1,"
                   f"icmp_type=135,nd_target={target}")


def others(number: int) -> set[int]:
    return set(VIFS) - {number}


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("number", VIFS)
def test_a_frame_for_a_known_host_comes_to_its_port_only_and_one_for_another_to_all(number: int, how: str) -> None:
    switches = flooding(KNOWN, how)
    for to in (1, 3, 5, 6):
        frame = for_host(to)
        assert sent(switches, number, frame) == ({} if to == number else {to: frame})
    for frame in (for_host(2), for_host(4), for_host(77), asks("10.0.0.9", "10.0.0.2"), solicits("fe80::9", "fe80::2")):
        assert set(sent(switches, number, frame)) == others(number)


@pytest.mark.parametrize("number", VIFS)
def test_a_request_for_a_known_address_comes_to_its_port_only(number: int) -> None:
    switches = flooding(KNOWN)
    for to in {1, 3, 5, 6} - {number}:
        for frame in (asks("10.0.0.9", f"10.0.0.{to}"), asks("0.0.0.0", f"10.0.0.{to}"),
                      solicits("fe80::9", f"2001:db8::{to}"), solicits("::", f"2001:db8::{to}")):
            assert sent(switches, number, frame) == {to: frame}
        answer = asks("10.0.0.9", f"10.0.0.{to}", operation=2)
        assert set(sent(switches, number, answer)) == others(number)


@pytest.mark.parametrize("number", VIFS)
def test_what_tells_an_address_comes_to_all(number: int) -> None:
    switches = flooding(KNOWN)
    for to in (1, 3, 5, 6):
        assert set(sent(switches, number, asks(f"10.0.0.{to}", f"10.0.0.{to}"))) == others(number)
        assert set(sent(switches, number, solicits(f"2001:db8::{to}", f"2001:db8::{to}"))) == others(number)
    if number in (1, 3, 5, 6):
        # A host looks whether another has its address.
        assert set(sent(switches, number, asks("0.0.0.0", f"10.0.0.{number}"))) == others(number)
        assert set(sent(switches, number, solicits("::", f"2001:db8::{number}"))) == others(number)


def test_the_tenants_own_tag_makes_no_difference() -> None:
    switches = flooding(KNOWN)
    for frame in (for_host(5), asks("10.0.0.9", "10.0.0.5")):
        assert sent(switches, 1, tagged(frame, 700)) == {5: tagged(frame, 700)}


def test_what_is_flooded_is_looked_up_as_the_tenant_has_made_it() -> None:
    rewrite = actions.set_field(tlv(of13.OFPXMT_OFB_ETH_DST, Mac.parse(mac(5)).value))
    switches = plane(AnEntry(instructions=Instructions(apply=FLOOD + rewrite + FLOOD + actions.output(2))), view=KNOWN)
    came = switches.send(1, 1, for_host(6))
    assert sorted(frame[:6] for _, frame in came) == [bytes.fromhex(f"02000000000{to}") for to in (5, 5, 6)]
    assert [place for place, _ in came].count((1, 2)) == 1


@pytest.mark.parametrize("number", VIFS)
def test_hosts_that_are_at_several_ports_get_it_at_all_of_them(number: int) -> None:
    both = replace(KNOWN, lports=tuple(
        replace(lport, macs=frozenset((Mac.parse(mac(8)),)), addresses=frozenset((HostAddress.parse("10.0.0.8"),)))
        if lport.number in (2, 4, 6) else lport for lport in KNOWN.lports))
    switches = flooding(both)
    assert set(sent(switches, number, for_host(8))) == {2, 4, 6} - {number}
    everybody = others(number) if number in (2, 4, 6) else {2, 4, 6}
    assert set(sent(switches, number, asks("10.0.0.9", "10.0.0.8"))) == everybody


def test_hosts_of_ports_that_are_bound_nowhere_are_not_known() -> None:
    assert broadcast.known(a_view(7)) == []
    assert placement(LAYOUT, a_view(7), TRANSPORT) == placement(LAYOUT, VIEW, TRANSPORT)


def test_what_is_sent_to_hosts_behind_a_port_that_is_down_comes_nowhere() -> None:
    down = replace(KNOWN, lports=tuple(replace(lport, down=lport.number == 5) for lport in KNOWN.lports))
    assert sent(flooding(down), 1, for_host(5)) == {}


def test_a_switch_that_cannot_look_floods_everywhere() -> None:
    plain = replace(KNOWN, plain=frozenset((1, 2)))
    assert set(sent(flooding(plain), 1, for_host(5))) == others(1)
    content = placement(LAYOUT, plain, TRANSPORT)[1]
    assert content == placement(LAYOUT, replace(VIEW, plain=frozenset((1, 2))), TRANSPORT)[1]


def test_entries_do_not_depend_on_what_is_known_and_the_groups_they_name_stay() -> None:
    assert KNOWN.shape == VIEW.shape
    before, after = placement(LAYOUT, VIEW, TRANSPORT)[1], placement(LAYOUT, KNOWN, TRANSPORT)[1]
    assert before.groups.keys() < after.groups.keys()
    assert {rule.cookie for key, rule in after.rules.items() if key not in before.rules} == {cookie(LS_ID, FLOODED)}
    assert {key[0] for key in after.rules.keys() - before.rules.keys()} == {Table.ASIDE}
    flood = LAYOUT.group_id(GroupKind.FLOOD, LS_ID)
    assert after.groups[flood].type == of13.OFPGT_INDIRECT


def test_sub_ports_cost_rules_of_their_own_only_where_it_matters_where_frames_come_from() -> None:
    count = len(broadcast.rules(edge(1, view=KNOWN)))
    more = replace(KNOWN, lports=(*KNOWN.lports, replace(
        KNOWN.lports[1], number=30, index=30, vif=replace(VIFS[2], port_no=9, vlan=5), shared=True)))
    assert len(broadcast.rules(edge(1, view=more))) == count + 1


@pytest.mark.parametrize("at, left", ((test_wires.WIRE, [2]), (test_wires.HOST, []), (None, [2])))
def test_a_wire_to_another_logical_switch_is_crossed_where_it_matters(at: int | None, left: list[int]) -> None:
    view = replace(test_wires.ls(1), lports=tuple(
        replace(lport, macs=frozenset((Mac.parse(mac(5)),)) if lport.number == at else frozenset())
        for lport in test_wires.ls(1).lports))
    switches = test_wires.plane({1: [test_wires.does(FLOOD)], 2: [test_wires.does(FLOOD)]}, (view, test_wires.ls(2)))
    assert test_wires.out(switches, for_host(5)) == left
