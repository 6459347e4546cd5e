from __future__ import annotations

from typing import Any

import pytest

from hvproxy.errors import Refused
from hvproxy.hypervisor.entries import Edit, EditKind, Entry
from hvproxy.hypervisor.flow_mods import (
    ADD, CHECK_OVERLAP, DELETE, DELETE_STRICT, MODIFY, MODIFY_STRICT, RESET_COUNTS, SEND_FLOW_REM,
)
from hvproxy.hypervisor.logical_table import LogicalTables
from hvproxy.openflow.constants import of13
from hvproxy.openflow.oxm import Match
from tests.hypervisor.flow_mod_messages import (
    ALL_TABLES, apply_actions, goto, group, in_port, message, metadata, output, write_actions,
)


def tables(**fields: Any) -> LogicalTables:
    return LogicalTables(**{"n_tables": 4, "max_entries": 100, **fields})


def only(edits: list[Edit]) -> Edit:
    assert len(edits) == 1
    return edits[0]


def add(logical: LogicalTables, match: bytes = b"", instructions: bytes = b"", now: float = 0.0,
        **fields: Any) -> Entry:
    return only(logical.flow_mod(message(ADD, match, instructions, **fields), now, groups=range(10))).entry


def refusal(logical: LogicalTables, *args: Any, **fields: Any) -> tuple[int, int] | None:
    before = dump(logical)
    try:
        logical.flow_mod(message(*args, **fields), 1.0, groups={1})
    except Refused as refused:
        assert dump(logical) == before
        return refused.error_type, refused.code
    return None


def dump(logical: LogicalTables) -> list[tuple[Any, ...]]:
    """Everything of every entry, by table, priority and match."""
    rows = []
    for entry in logical.select(ALL_TABLES, Match.EMPTY):
        assert logical.by_number(entry.number) is entry
        rows.append((entry.table_id, entry.priority, entry.match, entry.snapshot()))
    assert len(rows) == len(logical) == sum(logical.size(table) for table in range(logical.n_tables))
    assert {entry.number for entry in logical.entries()} == {row[3].number for row in rows}
    return sorted(rows, key=lambda row: (row[0], -row[1], row[2].identity))


# ADD

def test_add_adds() -> None:
    logical = tables()
    edit = only(logical.flow_mod(message(ADD, in_port(1), apply_actions(output(2)), table_id=1, priority=9, cookie=5,
                                         idle_timeout=3, hard_timeout=4, flags=SEND_FLOW_REM), 10.0))
    entry = edit.entry
    assert (edit.kind, edit.before) == (EditKind.ADDED, None)
    assert (entry.number, entry.table_id, entry.priority, entry.cookie) == (1, 1, 9, 5)
    assert (entry.match.in_port, entry.instructions.apply) == (1, output(2))
    assert (entry.idle_timeout, entry.hard_timeout, entry.flags) == (3, 4, SEND_FLOW_REM)
    assert entry.created == entry.modified == entry.used == 10.0
    assert entry.rules == {}


def test_identical_add_replaces_in_place_and_keeps_the_number() -> None:
    logical = tables()
    entry = add(logical, in_port(1), apply_actions(output(2)), cookie=5, hard_timeout=9, flags=SEND_FLOW_REM)
    entry.used = 6.0
    edit = only(logical.flow_mod(message(ADD, in_port(1), goto(2), cookie=8, idle_timeout=60), 10.0))
    assert (edit.kind, edit.entry) == (EditKind.REPLACED, entry)
    assert edit.before is not None and edit.before.instructions.apply == output(2)
    assert (entry.number, entry.used, entry.cookie, edit.reset_number) == (1, 6.0, 8, None)
    assert (entry.idle_timeout, entry.hard_timeout, entry.flags) == (60, 0, 0)
    assert (entry.created, entry.modified) == (10.0, 10.0)
    assert edit.reason is None


def test_identical_add_does_not_restart_the_idle_timer() -> None:
    """Tried on Open vSwitch 3.1: a flow added again expired with the timer of the first."""
    logical = tables()
    entry = add(logical, idle_timeout=4)
    logical.flow_mod(message(ADD, idle_timeout=4), 3.0)
    assert logical.expired(4.0) == [(entry, of13.OFPRR_IDLE_TIMEOUT)]


def test_a_replacing_add_with_the_reserved_cookie_keeps_the_cookie() -> None:
    logical = tables()
    entry = add(logical, cookie=5)
    logical.flow_mod(message(ADD, cookie=(1 << 64) - 1), 1.0)
    assert entry.cookie == 5


def test_reset_counts_gives_a_new_number() -> None:
    logical = tables()
    entry = add(logical)
    for command in (ADD, MODIFY, MODIFY_STRICT):
        number = entry.number
        edit = only(logical.flow_mod(message(command, flags=RESET_COUNTS), 1.0))
        assert edit.reset_number == number != entry.number
        assert logical.by_number(number) is None
        assert logical.by_number(entry.number) is entry


def test_same_match_of_another_priority_or_table_is_another_entry() -> None:
    logical = tables()
    entries = [add(logical, in_port(1)), add(logical, in_port(1), priority=1), add(logical, in_port(1), table_id=1)]
    assert [entry.number for entry in entries] == [1, 2, 3]


def test_the_number_of_an_entry_that_is_there_is_passed_over() -> None:
    first, again = add(tables(), in_port(1)), tables()
    again.restore(first)
    assert [first.number, *(add(again, in_port(port)).number for port in (2, 3))] == [1, 2, 3]


def test_overlap_is_refused_when_asked_for() -> None:
    logical = tables()
    add(logical, in_port(1), priority=5)
    overlap = (of13.OFPET_FLOW_MOD_FAILED, of13.OFPFMFC_OVERLAP)
    crossing = metadata(1, 1)
    assert refusal(logical, ADD, crossing, priority=5, flags=CHECK_OVERLAP) == overlap
    assert refusal(logical, ADD, crossing, priority=6, flags=CHECK_OVERLAP) is None
    assert refusal(logical, ADD, crossing, priority=5, table_id=1, flags=CHECK_OVERLAP) is None
    assert refusal(logical, ADD, in_port(2), priority=5, flags=CHECK_OVERLAP) is None
    assert refusal(logical, ADD, in_port(1), priority=5, flags=CHECK_OVERLAP) is None  # replaces
    assert refusal(logical, ADD, crossing, priority=5) is None


def test_full_table_takes_replacements_only() -> None:
    logical = tables(max_entries=2)
    add(logical, in_port(1))
    add(logical, in_port(2))
    assert refusal(logical, ADD, in_port(3)) == (of13.OFPET_FLOW_MOD_FAILED, of13.OFPFMFC_TABLE_FULL)
    assert refusal(logical, ADD, in_port(2)) is None
    assert refusal(logical, ADD, in_port(3), table_id=1) is None


def test_a_table_that_holds_nothing_is_a_table_otherwise() -> None:
    logical = tables(holding=2)
    full = (of13.OFPET_FLOW_MOD_FAILED, of13.OFPFMFC_TABLE_FULL)
    assert refusal(logical, ADD, table_id=2) == refusal(logical, ADD, table_id=3) == full
    assert refusal(logical, ADD, table_id=1) is None
    for command in (MODIFY, MODIFY_STRICT, DELETE, DELETE_STRICT):
        assert refusal(logical, command, table_id=3) is None
    assert refusal(logical, ADD, in_port(1), goto(3)) is None
    assert logical.select(3, Match.EMPTY) == [] and logical.size(3) == 0


def test_the_hidden_table_is_told_as_empty() -> None:
    logical = tables()
    assert logical.select(254, Match.EMPTY) == []
    assert refusal(logical, DELETE, in_port(1), table_id=254) is None


def test_unknown_group_is_refused_before_overlap_and_full() -> None:
    logical = tables(max_entries=1)
    add(logical, in_port(1))
    bad_group = (of13.OFPET_BAD_ACTION, of13.OFPBAC_BAD_OUT_GROUP)
    assert refusal(logical, ADD, b"", apply_actions(group(2)), flags=CHECK_OVERLAP) == bad_group
    assert refusal(logical, ADD, in_port(1), write_actions(group(2))) == bad_group
    assert refusal(logical, ADD, in_port(1), write_actions(group(1))) is None


# MODIFY

def test_modify_changes_instructions_and_nothing_else() -> None:
    logical = tables()
    first = add(logical, in_port(1), priority=1, cookie=5, idle_timeout=3, hard_timeout=9, flags=SEND_FLOW_REM)
    second = add(logical, in_port(2), priority=2)
    other = add(logical, in_port(1), table_id=1)
    edits = logical.flow_mod(message(MODIFY, b"", apply_actions(output(7)), cookie=77, idle_timeout=50,
                                     hard_timeout=50, flags=CHECK_OVERLAP, priority=12), 5.0)
    assert {edit.entry for edit in edits} == {first, second}
    assert {edit.kind for edit in edits} == {EditKind.MODIFIED}
    assert (first.cookie, first.idle_timeout, first.hard_timeout, first.flags) == (5, 3, 9, SEND_FLOW_REM)
    assert (first.created, first.modified, first.used, first.number) == (0.0, 5.0, 0.0, 1)
    assert first.output_ports == second.output_ports == {7}
    assert other.output_ports == frozenset()


def test_modify_never_adds() -> None:
    logical = tables()
    for command in (MODIFY, MODIFY_STRICT):
        assert logical.flow_mod(message(command, in_port(1)), 0.0) == []
    assert len(logical) == 0


def test_modify_strict_wants_match_and_priority() -> None:
    logical = tables()
    entry = add(logical, in_port(1), priority=3)
    assert logical.flow_mod(message(MODIFY_STRICT, in_port(1), goto(1), priority=4), 0.0) == []
    assert logical.flow_mod(message(MODIFY_STRICT, b"", goto(1), priority=3), 0.0) == []
    assert only(logical.flow_mod(message(MODIFY_STRICT, in_port(1), goto(1), priority=3), 0.0)).entry is entry


def test_modify_filters_by_cookie_but_not_by_output() -> None:
    logical = tables()
    entry = add(logical, cookie=0x15)
    assert logical.flow_mod(message(MODIFY, cookie=0x20, cookie_mask=0xf0), 0.0) == []
    assert only(logical.flow_mod(message(MODIFY, cookie=0x1f, cookie_mask=0xf0, out_port=3, out_group=3), 0.0)
                ).entry is entry


def test_modify_asks_for_the_group_only_when_it_finds_an_entry() -> None:
    logical = tables()
    unknown = apply_actions(group(2))
    assert refusal(logical, MODIFY, b"", unknown) is None
    add(logical)
    assert refusal(logical, MODIFY, b"", unknown) == (of13.OFPET_BAD_ACTION, of13.OFPBAC_BAD_OUT_GROUP)


# DELETE

def test_delete_takes_what_the_match_covers() -> None:
    logical = tables()
    wide, narrow = add(logical, metadata(1, 1)), add(logical, metadata(3, 3))
    other, empty = add(logical, in_port(1)), add(logical)
    edits = logical.flow_mod(message(DELETE, metadata(1, 1)), 0.0)
    assert {edit.entry for edit in edits} == {wide, narrow}
    assert {(edit.kind, edit.reason) for edit in edits} == {(EditKind.REMOVED, of13.OFPRR_DELETE)}
    assert set(logical.entries()) == {other, empty}


def test_delete_of_all_tables() -> None:
    logical = tables()
    for table in range(4):
        add(logical, in_port(1), table_id=table)
    assert len(logical.flow_mod(message(DELETE_STRICT, in_port(1), table_id=ALL_TABLES), 0.0)) == 4
    assert len(logical) == 0


def test_a_delete_that_finds_only_what_open_vswitch_hides_is_refused() -> None:
    logical = tables()
    entry = add(logical, in_port(1), cookie=7)
    whole = {"table_id": ALL_TABLES, "cookie_mask": (1 << 64) - 1}
    assert refusal(logical, DELETE, **whole) == (1, of13.OFPBRC_EPERM)
    for fields in ({"cookie": 6}, {"cookie_mask": 0xff}, {"match": in_port(2)}, {"out_port": 3}, {"table_id": 0}):
        assert refusal(logical, DELETE, **{**whole, **fields}) is None
    assert refusal(logical, DELETE_STRICT, **whole) is None
    other = add(logical, in_port(1), cookie=0, table_id=1)
    assert [edit.entry for edit in logical.flow_mod(message(DELETE, **whole), 1.0)] == [other]
    assert logical.by_number(entry.number) is entry


def test_delete_filters_on_the_tenants_own_actions() -> None:
    logical = tables()
    applied = add(logical, in_port(1), apply_actions(output(3)))
    written = add(logical, in_port(2), write_actions(group(3), output(4)), table_id=2)
    to_controller = add(logical, in_port(3), apply_actions(output(of13.OFPP_CONTROLLER)))

    def found(**fields: Any) -> set[Entry]:
        edits = logical.flow_mod(message(DELETE, table_id=ALL_TABLES, **fields), 0.0)
        logical.undo(edits)
        return {edit.entry for edit in edits}

    assert found(out_port=3) == {applied}
    assert found(out_port=4, out_group=3) == found(out_group=3) == {written}
    assert found(out_port=3, out_group=3) == set()
    assert found(out_port=of13.OFPP_CONTROLLER) == {to_controller}


def test_delete_strict_filters_too() -> None:
    logical = tables()
    add(logical, cookie=5)
    assert logical.flow_mod(message(DELETE_STRICT, cookie=4, cookie_mask=1), 0.0) == []
    assert logical.flow_mod(message(DELETE_STRICT, out_port=1), 0.0) == []
    assert len(logical.flow_mod(message(DELETE_STRICT, cookie=7, cookie_mask=1), 0.0)) == 1


# Asking

def test_select_is_ordered_and_filtered() -> None:
    logical = tables()
    low, high = add(logical, in_port(2), priority=1), add(logical, in_port(2), priority=9)
    later, other = add(logical, table_id=1, cookie=4), add(logical, in_port(1), priority=1)
    assert logical.select(ALL_TABLES, Match.EMPTY) == [low, high, other, later]
    assert logical.select(0, Match.from_tlvs(in_port(2))) == [low, high]
    assert logical.select(ALL_TABLES, Match.EMPTY, cookie=4, cookie_mask=4) == [later]
    assert logical.select(ALL_TABLES, Match.EMPTY, out_port=1) == []


def test_select_refuses_what_cannot_be() -> None:
    for arguments, error in (((4, Match.EMPTY), (1, of13.OFPBRC_BAD_TABLE_ID)),
                             ((0, Match.EMPTY, 0, 0, 0xff00), (2, of13.OFPBAC_BAD_OUT_PORT))):
        with pytest.raises(Refused) as refused:
            tables().select(*arguments)
        assert (refused.value.error_type, refused.value.code) == error


def test_entries_are_found_by_what_they_name() -> None:
    logical = tables()
    entry = add(logical, in_port(1), apply_actions(group(3), output(5)))
    assert logical.entries_with_group(3) == [entry]
    logical.flow_mod(message(MODIFY), 0.0)
    assert logical.entries_with_group(3) == []


def test_remove_tells_the_reason_and_passes_over_the_gone() -> None:
    logical = tables()
    entry = add(logical, flags=SEND_FLOW_REM)
    edit = only(logical.remove([entry, entry], of13.OFPRR_GROUP_DELETE))
    assert (edit.kind, edit.reason) == (EditKind.REMOVED, of13.OFPRR_GROUP_DELETE)
    assert logical.remove([entry], of13.OFPRR_DELETE) == []


def test_timeouts_are_told_until_the_entry_is_removed() -> None:
    logical = tables()
    idle, hard = add(logical, in_port(1), idle_timeout=5), add(logical, in_port(2), hard_timeout=7)
    assert list(logical.idle_entries()) == [idle]
    assert logical.next_expiry() == 5.0
    idle.used = 3.0
    assert logical.next_expiry() == 7.0
    assert logical.expired(7.5) == [(hard, of13.OFPRR_HARD_TIMEOUT)]
    logical.remove([hard], of13.OFPRR_HARD_TIMEOUT)
    assert logical.next_expiry() == 8.0
    logical.flow_mod(message(DELETE), 7.6)
    assert logical.next_expiry() is None


def test_modify_restarts_the_hard_timeout() -> None:
    logical = tables()
    add(logical, hard_timeout=5)
    logical.flow_mod(message(MODIFY), 3.0)
    assert logical.next_expiry() == 8.0


# Undo

def test_undo_of_a_replacement_restores_it() -> None:
    logical = tables()
    entry = add(logical, in_port(1), apply_actions(output(2), group(1)), cookie=5, hard_timeout=9)
    before = dump(logical)
    edits = logical.flow_mod(message(ADD, in_port(1), apply_actions(output(3)), cookie=6, flags=SEND_FLOW_REM), 4.0)
    opposite = only(logical.undo(edits))
    assert dump(logical) == before
    assert (opposite.kind, opposite.entry) == (EditKind.REPLACED, entry)
    assert opposite.before is not None and opposite.before.instructions.apply == output(3)
    assert logical.entries_with_group(1) == [entry]
    assert logical.next_expiry() == 9.0


def test_undo_keeps_the_number_under_which_is_counted() -> None:
    logical = tables()
    entry = add(logical)
    logical.undo(logical.flow_mod(message(MODIFY), 1.0))
    assert entry.number == 1


def test_undo_of_a_reset_gives_a_number_of_its_own() -> None:
    logical = tables()
    entry = add(logical)
    edits = logical.flow_mod(message(ADD, flags=RESET_COUNTS), 1.0)
    opposite = only(logical.undo(edits))
    assert opposite.before is not None and len({1, opposite.before.number, entry.number}) == 3
    assert list(logical.entries()) == [entry] == [logical.by_number(entry.number)]


def test_undo_of_an_addition_has_no_reason_to_tell_of() -> None:
    logical = tables()
    edits = logical.flow_mod(message(ADD, flags=SEND_FLOW_REM), 0.0)
    assert only(logical.undo(edits)).reason is None
    assert len(logical) == 0


def test_undo_may_overfill_a_table() -> None:
    logical = tables(max_entries=1)
    add(logical, in_port(1))
    edits = logical.flow_mod(message(DELETE), 0.0)
    add(logical, in_port(2))
    logical.undo(edits)
    assert logical.size(0) == 2


def test_undo_leaves_what_later_flow_mods_set() -> None:
    logical = tables()
    entry = add(logical, in_port(1), goto(1), cookie=5)
    replaced = logical.flow_mod(message(ADD, in_port(1), goto(2), cookie=6), 1.0)
    logical.flow_mod(message(MODIFY, b"", goto(3)), 2.0)
    logical.undo(replaced)
    assert (entry.instructions.goto, entry.modified, entry.cookie, entry.created) == (3, 2.0, 5, 0.0)


def test_undo_of_a_delete_yields_to_a_later_add() -> None:
    logical = tables()
    add(logical, in_port(1))
    deleted = logical.flow_mod(message(DELETE), 1.0)
    later = add(logical, in_port(1))
    assert logical.undo(deleted) == []
    assert list(logical.entries()) == [later]


def test_undo_of_an_add_deleted_since_does_nothing() -> None:
    logical = tables()
    added = logical.flow_mod(message(ADD), 0.0)
    logical.flow_mod(message(DELETE), 0.0)
    assert logical.undo(added) == []


def test_undo_of_a_modify_reaches_an_entry_deleted_since() -> None:
    logical = tables()
    entry = add(logical, b"", goto(1))
    modified = logical.flow_mod(message(MODIFY, b"", goto(2)), 1.0)
    deleted = logical.flow_mod(message(DELETE), 2.0)
    assert logical.undo(modified) == []
    logical.undo(deleted)
    assert (entry.instructions.goto, list(logical.entries())) == (1, [entry])


def test_undo_of_a_reset_leaves_the_number_of_an_entry_deleted_since() -> None:
    """Its rules are being removed, and report their last counts under that number."""
    logical = tables()
    entry = add(logical)
    reset = logical.flow_mod(message(MODIFY, flags=RESET_COUNTS), 1.0)
    number = entry.number
    logical.flow_mod(message(DELETE), 2.0)
    assert logical.undo(reset) == []
    assert entry.number == number


def test_what_is_rolled_back_is_as_it_was_to_the_last_attribute() -> None:
    logical = tables()
    add(logical, in_port(1), apply_actions(output(2)), cookie=1, hard_timeout=9)
    add(logical, in_port(2), apply_actions(group(1)), cookie=2, priority=7)
    before, expiry = dump(logical), logical.next_expiry()
    edits = []
    for mod in (
        message(ADD, in_port(1), cookie=5, flags=of13.OFPFF_RESET_COUNTS), message(ADD, in_port(3), idle_timeout=1),
        message(of13.OFPFC_MODIFY, b"", apply_actions(output(4)), table_id=0),
        message(of13.OFPFC_DELETE, in_port(2), table_id=0), message(ADD, in_port(2), cookie=6, priority=7),
        message(of13.OFPFC_DELETE, b"", table_id=ALL_TABLES), message(ADD, in_port(1), cookie=8),
    ):
        edits += logical.flow_mod(mod, 5.0, groups=range(10))
    logical.roll_back(edits)
    assert dump(logical) == before
    assert [entry.cookie for entry in logical.entries_with_group(1)] == [2]
    assert [logical.expired(8.9), logical.next_expiry() == expiry] == [[], True]
    assert [entry.cookie for entry, _ in logical.expired(9.0)] == [1]
