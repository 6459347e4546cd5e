"""Reconciliation: what a dump is taken for, and what is sent because of it."""
from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvproxy.hypervisor.reconcile import Found, difference, is_our_group, is_ours, rule_flags
from hvproxy.model.layout import LAST_METER, GroupKind, cookie
from hvproxy.model.rules import Change, Content, Group, Rule
from hvproxy.openflow import actions, oxm
from hvproxy.openflow.constants import of13
from hvproxy.openflow.instructions import Instructions, build
from hvproxy.openflow.meters import MeterConfig
from hvproxy.openflow.multipart import FlowStats, GroupDesc
from tests.hypervisor.contents import group, meter, put, rule

IN_PORT = oxm.tlv(of13.OFPXMT_OFB_IN_PORT, 3)
METADATA = oxm.metadata_tlv(1 << 52, 0xFFF << 52)
ETH_DST = oxm.tlv(of13.OFPXMT_OFB_ETH_DST, 0xAB)
SOME = Rule(10, 7, IN_PORT + METADATA + ETH_DST, build(Instructions(
    goto=11, metadata=(5, 0xff), apply=actions.set_field(oxm.tlv(of13.OFPXMT_OFB_ETH_DST, 1)) + actions.output(2),
)), cookie(1, 1))


def stats(of: Rule, match: bytes | None = None, instructions: bytes | None = None, idle: int = 0, hard: int = 0,
          flags: int | None = None) -> FlowStats:
    """A record of the flow dump; `match` are TLVs."""
    tlvs = of.match if match is None else match
    return FlowStats(
        of.table, 1, 0, of.priority, idle, hard, rule_flags(of.cookie) if flags is None else flags, of.cookie, 9, 900,
        oxm.ofp_match(tlvs)[:4 + len(tlvs)], of.instructions if instructions is None else instructions)


def found(*records: FlowStats | GroupDesc, wanted: Change | None = None) -> Found:
    wanted = wanted or Change()
    result = Found()
    for record in records:
        if isinstance(record, FlowStats):
            result.add_rule(record, {r.key: r for r in wanted.put_rules})
        else:
            result.add_group(record, {g.group_id: g for g in wanted.put_groups})
    return result


def compare(wanted: Change, *records: FlowStats | GroupDesc) -> Change:
    desired = Content()
    desired.apply(wanted)
    return difference(desired, found(*records, wanted=wanted)).change


def described(of: Group) -> GroupDesc:
    return GroupDesc(of.type, of.group_id, of.buckets)


def reversed_instructions(data: bytes) -> bytes:
    parts = []
    while data:
        length = int.from_bytes(data[2:4], "big")
        parts.append(data[:length])
        data = data[length:]
    return b"".join(reversed(parts))


def test_equal_content_is_no_difference() -> None:
    wanted = put(SOME, rule(1), group(1))
    assert not compare(wanted, stats(SOME), stats(rule(1)), described(group(1)))


def test_order_of_fields_and_instructions_is_no_difference() -> None:
    record = stats(SOME, ETH_DST + METADATA + IN_PORT, reversed_instructions(SOME.instructions))
    assert record.match != stats(SOME).match and record.instructions != SOME.instructions
    assert not compare(put(SOME), record)
    assert found(record).rules == {SOME.key: SOME}


def test_padding_in_buckets_is_no_difference() -> None:
    padded = bytearray(group(1).buckets)
    padded[-1] = 0xff
    assert not compare(put(group(1)), GroupDesc(of13.OFPGT_INDIRECT, group(1).group_id, bytes(padded)))


def test_other_content_is_put_and_missing_too() -> None:
    wanted = put(rule(1), rule(2), rule(3), group(1), group(2), group(3))
    change = compare(wanted, stats(rule(1)), stats(rule(2, port=9)), described(group(1)), described(group(2, port=9)))
    assert change == put(rule(2), rule(3), group(2), group(3))


def test_other_type_of_group_is_put() -> None:
    assert compare(put(group(1)), GroupDesc(of13.OFPGT_ALL, group(1).group_id, group(1).buckets)) == put(group(1))


def test_ours_beyond_what_is_desired_is_dropped_of_whatever_epoch() -> None:
    older = replace(rule(1), cookie=0xA7 << 56 | 0x63 << 48 | 5)
    change = compare(Change(), stats(older), stats(rule(2)), described(group(4)))
    assert change == Change(drop_rules=[older, rule(2)], drop_groups=[group(4).group_id])


def test_rule_of_an_older_epoch_is_replaced() -> None:
    older = replace(rule(1), cookie=rule(1).cookie ^ 1 << 48)
    assert compare(put(rule(1)), stats(older)) == put(rule(1))


def test_rule_of_ours_with_fields_unknown_to_us_is_dropped_as_it_stands() -> None:
    nxm = bytes.fromhex("00010004deadbeef")
    change = compare(Change(), stats(replace(rule(1), match=nxm)))
    assert [dropped.match for dropped in change.drop_rules] == [nxm]


@pytest.mark.parametrize("value", [0, 0xA600 << 48, 0xFF << 56, 0xA7])
def test_foreign_rules_are_counted_and_left_alone(value: int) -> None:
    foreign = Rule(10, 1, IN_PORT, b"", value)
    assert not is_ours(value) and not compare(Change(), stats(foreign))
    assert found(stats(foreign)).foreign_rules == [foreign]


def test_foreign_rule_where_ours_must_be_gives_way() -> None:
    foreign = replace(rule(1), cookie=5)
    wanted = Content({rule(1).key: rule(1)})
    read = found(stats(foreign), wanted=put(rule(1)))
    assert difference(wanted, read).change == put(rule(1))
    assert difference(wanted, read).held == {rule(1).key: foreign}, "so that it is deleted before"


@pytest.mark.parametrize("group_id, ours", [
    (0, False), (77, False), (0x0FFFFFFF, False), (GroupKind.UPLINK << 28, True), (GroupKind.TENANT << 28 | 5, True),
    (max(GroupKind) + 1 << 28, False), (0xFFFFFF00, False)])
def test_groups_are_ours_by_their_kind(group_id: int, ours: bool) -> None:
    read = found(GroupDesc(of13.OFPGT_ALL, group_id, b""))
    assert is_our_group(group_id) is ours
    assert (list(read.groups), read.foreign_total) == (([group_id], 0) if ours else ([], 1))


@pytest.mark.parametrize("record", [stats(rule(1), idle=5), stats(rule(1), hard=5), stats(rule(1), flags=0)])
def test_rule_with_timeouts_or_without_its_flag_is_put_again(record: FlowStats) -> None:
    read = found(record)
    result = difference(Content({rule(1).key: rule(1)}), read)
    assert result.change == put(rule(1)) and result.held == {}
    assert difference(Content(), read).change == Change(drop_rules=[rule(1)])


def test_flags_a_switch_adds_of_its_own_are_no_difference() -> None:
    assert not compare(put(rule(1)), stats(rule(1), flags=of13.OFPFF_SEND_FLOW_REM | of13.OFPFF_NO_BYT_COUNTS))


def test_summary_counts_what_is_right_already_and_what_is_not() -> None:
    wanted = put(rule(1), rule(2), group(1))
    read = found(stats(rule(1)), described(group(1)), stats(rule(9)), wanted=wanted)
    assert difference(Content({r.key: r for r in wanted.put_rules}, {group(1).group_id: group(1)}), read).summary == {
        "kept": 2, "rules_put": 1, "groups_put": 0, "meters_put": 0, "rules_dropped": 1, "groups_dropped": 0,
        "meters_dropped": 0}


RULES = st.builds(rule, st.integers(1, 4), st.integers(1, 2), st.sampled_from([0, 10]), st.integers(0, 2),
                  st.integers(1, 4))
GROUPS = st.builds(group, st.integers(1, 4), st.integers(1, 2))


@given(st.lists(RULES), st.lists(RULES), st.lists(GROUPS), st.lists(GROUPS))
def test_found_plus_difference_is_desired_and_nothing_equal_is_touched(
    there_rules: list[Rule], wanted_rules: list[Rule], there_groups: list[Group], wanted_groups: list[Group],
) -> None:
    there = {r.key: r for r in there_rules}
    wanted = {r.key: r for r in wanted_rules}
    there_by_id = {g.group_id: g for g in there_groups}
    wanted_by_id = {g.group_id: g for g in wanted_groups}
    read = Found()
    for one in there.values():
        read.add_rule(stats(one), wanted)
    for other in there_by_id.values():
        read.add_group(described(other), wanted_by_id)
    change = difference(Content(wanted, wanted_by_id), read).change
    assert not set(change.put_rules) & set(there.values()) and not set(change.put_groups) & set(there_by_id.values())
    for dropped in change.drop_rules:
        del there[dropped.key]
    for group_id in change.drop_groups:
        del there_by_id[group_id]
    assert there | {r.key: r for r in change.put_rules} == wanted
    assert there_by_id | {g.group_id: g for g in change.put_groups} == wanted_by_id


def test_meters_are_ours_by_id_and_equal_by_content() -> None:
    read = Found()
    wanted = {number: meter(number, revision=5) for number in (1, 2, 3)}
    for there in (meter(1), meter(2, 77), meter(8), meter(LAST_METER + 1)):
        read.add_meter(MeterConfig(there.flags, there.meter_id, there.bands), wanted)
    result = difference(Content(meters=wanted), read)
    assert result.change == Change(put_meters=[wanted[2], wanted[3]], drop_meters=[8])
    assert result.held == {(1,): wanted[1], (2,): meter(2, 77), (8,): meter(8)}
    assert (result.kept, read.foreign_total) == (1, 1)
