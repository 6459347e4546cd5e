"""hvproxy's own facts in metadata, cookies and group ids: nothing overlaps, everything can be read back."""
from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvproxy.model.layout import (
    BARE, DETOURED_KEY, EPOCH, GROUP_FLAG, HOLDING_TABLES, LAST_KEY, LAST_VID, LOGICAL_SWITCH_MASK, MARK, OURS_MASK,
    PLACE, SHARED_FLAG, TABLES, TENANT_MASK, ContextLayout, GroupKind, RuleKind, Table, cookie, describe_cookie,
    destination_group_id, read_cookie,
)
from hvproxy.model.view import Carriage
from hvproxy.openflow.constants import of13
from hvproxy.openflow.oxm_fields import TENANT_METADATA

WIDTHS = st.tuples(st.integers(1, 23), st.integers(1, 23)).filter(lambda widths: sum(widths) <= 24)


@given(WIDTHS, st.data())
def test_a_context_is_read_back_whatever_the_flags_and_the_tenants_metadata(
    widths: tuple[int, int], data: st.DataObject,
) -> None:
    layout = ContextLayout(*widths)
    ls_id = data.draw(st.integers(1, layout.last_logical_switch))
    lport = data.draw(st.integers(0, layout.last_lport))
    rest = data.draw(st.integers(0, (1 << 40) - 1))
    context = layout.context(ls_id, lport)
    assert context >> 64 == 0
    assert layout.read(context | rest) == (ls_id, lport, rest & TENANT_MASK)


@given(WIDTHS)
def test_the_parts_of_the_metadata_do_not_overlap(widths: tuple[int, int]) -> None:
    layout = ContextLayout(*widths)
    parts = (layout.logical_switch_mask, layout.lport_mask, SHARED_FLAG, GROUP_FLAG, TENANT_MASK)
    assert all(a & b == 0 for a, b in combinations(parts, 2))
    assert all(0 < part < 1 << 64 for part in parts)


def test_tenants_have_the_bits_of_the_metadata_that_their_messages_may_name() -> None:
    assert TENANT_MASK == TENANT_METADATA


@pytest.mark.parametrize("widths", [(0, 12), (12, 0), (13, 12), (24, 1), (-1, 4)])
def test_widths_that_do_not_fit_are_refused(widths: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="at most 24"):
        ContextLayout(*widths)


@given(WIDTHS.filter(lambda widths: widths[0] < 24), st.data())
def test_group_ids_differ_by_kind_logical_switch_and_index_and_are_ids_a_switch_takes(
    widths: tuple[int, int], data: st.DataObject,
) -> None:
    layout = ContextLayout(*widths)
    whose = st.tuples(st.sampled_from(GroupKind), st.integers(1, layout.last_logical_switch),
                      st.integers(0, min(layout.last_lport, (1 << 28 - widths[0]) - 1)))
    a, b = data.draw(whose), data.draw(whose)
    assert (layout.group_id(*a) == layout.group_id(*b)) == (a == b)
    assert 0 < layout.group_id(*a) <= of13.OFPG_MAX
    assert layout.group_id(*a) >> 28 == a[0]


@given(st.sampled_from(GroupKind), st.integers(1, (1 << 28) - 1))
def test_a_destinations_groups_are_found_by_kind_and_index(kind: GroupKind, index: int) -> None:
    group_id = destination_group_id(kind, index)
    assert (group_id >> 28, group_id & 0xFFFFFFF) == (kind, index)


@given(st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF))
def test_a_cookie_is_read_back_and_is_ours(ls_id: int, number: int) -> None:
    value = cookie(ls_id, number)
    assert value >> 56 == MARK and value < 1 << 64
    assert read_cookie(value) == (ls_id, number)
    assert value & LOGICAL_SWITCH_MASK == cookie(ls_id, 0) & LOGICAL_SWITCH_MASK
    described = describe_cookie(value)
    assert described is not None
    assert (described.epoch, described.logical_switch, described.number) == (EPOCH, ls_id, number)


@pytest.mark.parametrize("value", [0, 0xFFFFFFFFFFFFFFFF, cookie(1, 1) ^ 1 << 63, 0xA6 << 56])
def test_a_cookie_without_the_mark_is_not_ours(value: int) -> None:
    assert read_cookie(value) is None and describe_cookie(value) is None


def test_a_cookie_of_another_epoch_is_not_read_but_can_be_described() -> None:
    other = cookie(3, 4) ^ 1 << 48
    assert read_cookie(other) is None and other & OURS_MASK != cookie(3, 4) & OURS_MASK
    described = describe_cookie(other)
    assert described is not None and described.epoch != EPOCH


def test_numbers_of_entries_and_places_do_not_meet() -> None:
    layout = ContextLayout()
    assert PLACE > layout.last_lport and PLACE | layout.last_lport < 1 << 32


def test_logical_tables_come_after_all_others() -> None:
    assert max(Table) == Table.LOGICAL
    assert Table.LOGICAL + HOLDING_TABLES == TABLES == 254
    assert len(set(RuleKind)) == len({int(kind) for kind in RuleKind})


@pytest.mark.parametrize("kind", [GroupKind.UPLINK, GroupKind.RETURN])
def test_uplinks_for_tags_and_for_tunnels_are_apart(kind: GroupKind) -> None:
    ids = {destination_group_id(kind, index, carriage) for index in (0, 1, BARE - 1) for carriage in Carriage}
    assert len(ids) == 6 and {group_id >> 28 for group_id in ids} == {kind}


def test_a_label_and_its_mark_fit_into_a_key_of_24_bits() -> None:
    assert LAST_VID < LAST_KEY and LAST_KEY | DETOURED_KEY == (1 << 24) - 1 and not LAST_KEY & DETOURED_KEY
