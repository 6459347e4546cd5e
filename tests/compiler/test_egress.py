"""No frame leaves a whole port under a tag that is a sub-port's beside it, wherever from and by whatever way."""
from __future__ import annotations

from dataclasses import replace

import pytest

from hvproxy.compiler import egress
from hvproxy.compiler.lowering import TenantGroup
from hvproxy.compiler.pipeline import GUARDED_PRIORITY, placement
from hvproxy.model.layout import GUARD, PACKET_OUT_FLAG, GroupKind, Table, cookie
from hvproxy.model.rules import Rule
from hvproxy.openflow import actions, build
from hvproxy.openflow.constants import of13
from hvproxy.openflow.groups import bucket
from hvproxy.openflow.instructions import Instructions
from hvproxy.openflow.oxm import Match, tlv
from tests.compiler.placed import (
    FRAME, LAYOUT, LS_ID, TRANSPORT, VIEW, VIFS, AnEntry, edge, plane, sent)
from tests.packets import Plane, tagged

SIBLING, OTHER = 700, 701
GUARDED = (1, 5)
"""On each of the edges one of the whole ports has a VIF of somebody else's beside it, under tag 700."""
GUARDED_VIEW = replace(VIEW, lports=tuple(
    replace(lport, claimed=frozenset((SIBLING,)), shared=True) if lport.number in GUARDED else lport
    for lport in VIEW.lports))
PLACES = {0: 40, **{lport.index: 40 + lport.number for lport in GUARDED_VIEW.lports if lport.shared}}
"""Of the variants of a group."""
HIDDEN_TAG = tagged(tagged(FRAME, SIBLING), OTHER)
"""Under a tag that can be taken off."""


def everywhere(port: int) -> dict[str, tuple[Instructions, tuple[TenantGroup, ...]]]:
    """All ways of sending to a port."""
    out = actions.output(port)
    return {"apply": (Instructions(apply=out), ()), "write": (Instructions(write=out), ()),
            "group": (Instructions(apply=actions.group(4)), (TenantGroup(4, of13.OFPGT_ALL, bucket(out), PLACES),))}


def made(instructions: Instructions, *groups: TenantGroup) -> Plane:
    return plane(AnEntry(instructions=instructions), groups=groups, view=GUARDED_VIEW)


@pytest.mark.parametrize("how", ("apply", "write", "group"))
@pytest.mark.parametrize("to", GUARDED)
@pytest.mark.parametrize("number", VIFS)
def test_a_guarded_port_sends_what_is_its_own_and_nothing_under_the_tag_of_another(
        how: str, to: int, number: int) -> None:
    if number == to:
        return
    instructions, groups = everywhere(to)[how]
    switches = made(instructions, *groups)
    if VIFS[number].vlan is None:
        assert sent(switches, number, tagged(FRAME, SIBLING)) == {}
        assert sent(switches, number, tagged(FRAME, OTHER)) == {to: tagged(FRAME, OTHER)}
        assert sent(switches, number, HIDDEN_TAG) == {to: HIDDEN_TAG}
    else:
        # The sub-port's own tag hides the tenant's.
        assert sent(switches, number, tagged(FRAME, SIBLING)) == {}
    assert sent(switches, number) == {to: FRAME}


@pytest.mark.parametrize("number", VIFS)
def test_a_flood_comes_to_all_others_once_and_to_guarded_ports_if_it_is_theirs(number: int) -> None:
    switches = made(Instructions(apply=actions.output(of13.OFPP_FLOOD)))
    assert set(sent(switches, number)) == set(VIFS) - {number}
    if VIFS[number].vlan is None:
        assert set(sent(switches, number, tagged(FRAME, OTHER))) == set(VIFS) - {number}
        assert set(sent(switches, number, tagged(FRAME, SIBLING))) == set(VIFS) - {number, *GUARDED}


@pytest.mark.parametrize("how", ("apply", "write"))
@pytest.mark.parametrize("number", GUARDED)
def test_what_is_sent_back_is_looked_at_too(number: int, how: str) -> None:
    back = actions.output(of13.OFPP_IN_PORT)
    push = actions.push_vlan() + actions.set_vlan_vid(SIBLING)
    made_back = made(Instructions(apply=back) if how == "apply" else Instructions(write=back))
    assert sent(made_back, number) == {number: FRAME}
    pushed = made(Instructions(apply=push + back) if how == "apply" else Instructions(write=push + back))
    assert sent(pushed, number) == {}


def test_a_tag_that_is_pushed_or_that_comes_to_light_is_looked_at() -> None:
    push = actions.push_vlan() + actions.set_vlan_vid(SIBLING)
    assert sent(made(Instructions(apply=push + actions.output(1))), 2) == {}
    assert sent(made(Instructions(apply=push + actions.output(5))), 2) == {}
    pop = AnEntry(match=Match.from_tlvs(tlv(of13.OFPXMT_OFB_VLAN_VID, 0x1000 | OTHER)),
                  instructions=Instructions(apply=actions.pop_vlan() + actions.output(5)))
    assert sent(plane(pop, view=GUARDED_VIEW), 2, HIDDEN_TAG) == {}


def test_the_copies_that_follow_have_what_the_tenant_set_and_nothing_of_the_guard() -> None:
    switches = made(Instructions(apply=actions.output(1) + actions.output(2)))
    assert sent(switches, 6) == {1: FRAME, 2: FRAME}


def test_a_packet_out_as_from_a_guarded_port_enters_there_under_any_tag() -> None:
    switches = made(Instructions(apply=actions.output(2)))
    content = placement(LAYOUT, GUARDED_VIEW, TRANSPORT)[1]
    (rule,) = [rule for (table, priority, _), rule in content.rules.items() if (table, priority) == (
        Table.CLASSIFY, GUARDED_PRIORITY)]
    assert rule.cookie == cookie(LS_ID, GUARD | 11)
    siblings = tlv(of13.OFPXMT_OFB_IN_PORT, 1) + tlv(of13.OFPXMT_OFB_VLAN_VID, 0x1000 | SIBLING)
    switches.load(1, [Rule(Table.CLASSIFY, 300, siblings, b"", 0)], [])  # and leads to nothing here
    assert switches.send(1, 1, tagged(FRAME, SIBLING)) == []
    context = LAYOUT.context(LS_ID, 11) | PACKET_OUT_FLAG
    through_tables = actions.set_field(tlv(of13.OFPXMT_OFB_METADATA, context)) + actions.output(of13.OFPP_TABLE)
    switches.request(1, build.packet_out(1, 1, through_tables, tagged(FRAME, SIBLING)))
    assert [place for place, _ in switches.take_out()] == [(1, 2)]


def test_a_switch_that_cannot_look_sends_nothing_there() -> None:
    plain = replace(GUARDED_VIEW, plain=frozenset((1,)))
    content = placement(LAYOUT, plain, TRANSPORT)[1]
    for index in (11, 15):
        assert content.groups[LAYOUT.group_id(GroupKind.LPORT, LS_ID, index)].buckets == b""
    assert not [key for key in content.rules if key[0] == Table.EGRESS]


def test_the_rules_are_the_guards_own() -> None:
    guarded = edge(view=GUARDED_VIEW)
    rules = egress.rules(guarded, guarded.lports[1])
    assert {rule.cookie for rule in rules} == {cookie(LS_ID, GUARD | 11)}
    assert {rule.table for rule in rules} == {Table.EGRESS}
