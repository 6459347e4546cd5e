"""Connections are tracked in zones of the datapath's, and never while an action set waits."""
from __future__ import annotations

from dataclasses import replace

import pytest

from hvproxy.compiler.connections import EMPTYING, bodies, emptying, track
from hvproxy.compiler.entries import rules_for
from hvproxy.model.layout import GROUP_FLAG, HIDDEN, HOLDING_TABLES, Table
from hvproxy.openflow import actions
from hvproxy.openflow.constants import of13
from hvproxy.openflow.instructions import decode
from hvproxy.openflow.oxm import Match, tlv
from hvproxy.openflow.oxm_fields import CT_LABEL, CT_MARK, CT_STATE, CT_ZONE, TUN_FLAGS
from tests.compiler.placed import LS_ID, VIEW, edge
from tests.openflow.test_nicira_ct import ct

IP = tlv(of13.OFPXMT_OFB_ETH_TYPE, 0x800)
EMPTIED = actions.resubmit(Table.HOP)


def test_zone_and_table_are_those_of_the_datapath() -> None:
    assert track(ct(1, zone=5), 77) == ct(1, zone=77)
    assert track(ct(zone=5, table=3), 77) == EMPTIED + ct(zone=77, table=Table.LOGICAL + 3)


def test_in_a_table_that_holds_nothing_a_packet_ends() -> None:
    assert track(ct(table=HOLDING_TABLES), 77) == EMPTIED + ct(zone=77, table=Table.HOP)


@pytest.mark.parametrize("asked, found", [
    (b"", [b""]), (tlv(CT_STATE, 0x21, 0x21), [tlv(CT_STATE, 0x21, 0x21)]),
    (tlv(CT_ZONE, 5), [tlv(CT_ZONE, 77)]), (tlv(CT_ZONE, 6), []), (tlv(CT_ZONE, 0), [tlv(CT_ZONE, 0)]),
    (tlv(CT_LABEL, 1) + tlv(CT_STATE, 0, 0x20) + tlv(CT_MARK, 7, 7),
     [tlv(CT_STATE, 0, 0x20) + tlv(CT_MARK, 7, 7) + tlv(CT_LABEL, 1)]),
    (tlv(TUN_FLAGS, 1), []),
])
def test_a_match_is_met_in_zones_of_the_datapath(asked: bytes, found: list[bytes]) -> None:
    assert bodies(Match.from_tlvs(IP + asked), IP, {5: 77}) == [IP + each for each in found]


def test_zone_0_is_that_of_what_is_tracked_there_and_of_what_is_not() -> None:
    assert bodies(Match.from_tlvs(tlv(CT_ZONE, 0)), b"", {0: 9}) == [tlv(CT_ZONE, 0), tlv(CT_ZONE, 9)]


def test_the_set_is_emptied_of_groups_too_wherever_a_logical_switch_may_track() -> None:
    view = replace(VIEW, home=1, resubmits=True)
    assert EMPTYING & HIDDEN == HIDDEN
    for dpid in (1, 2):
        rules = rules_for(emptying(), edge(dpid, view=view))
        assert rules and {rule.table for rule in rules} == {Table.HOP}
        for rule in rules:
            done = decode(rule.instructions)
            assert done.clear and done.metadata == (0, GROUP_FLAG) and not done.apply and done.goto is None
            metadata = Match.from_tlvs(rule.match).metadata
            assert metadata is not None and metadata[0] >> 52 == LS_ID
    assert not rules_for(emptying(), edge(2, view=replace(view, plain=frozenset({2}))))
