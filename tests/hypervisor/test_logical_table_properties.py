"""The logical tables against a naive model that decides with packets, and undo against what was before."""
from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from hvproxy.errors import Refused
from hvproxy.hypervisor.entries import Edit
from hvproxy.hypervisor.flow_mods import (
    ADD, CHECK_OVERLAP, DELETE, DELETE_STRICT, MODIFY, MODIFY_STRICT, RESET_COUNTS, SEND_FLOW_REM,
)
from hvproxy.hypervisor.logical_table import LogicalTables
from hvproxy.openflow.constants import of13
from tests.hypervisor.flow_mod_messages import ALL_TABLES, apply_actions, group, in_port, message, metadata, output
from tests.hypervisor.test_logical_table import dump

PACKETS = [(port, meta) for port in (1, 2, 3) for meta in range(4)]
Pattern = tuple[int | None, int, int]
"""in_port or any, metadata value, metadata mask."""

patterns = st.builds(
    lambda port, value, mask: (port, value & mask, mask),
    st.sampled_from([None, 1, 2]), st.integers(0, 3), st.integers(0, 3),
)
mods = st.fixed_dictionaries({
    "command": st.sampled_from([ADD, ADD, ADD, MODIFY, MODIFY_STRICT, DELETE, DELETE_STRICT]),
    "pattern": patterns,
    "table_id": st.sampled_from([0, 0, 1, ALL_TABLES]),
    "priority": st.integers(0, 1),
    "cookie": st.integers(0, 3),
    "cookie_mask": st.sampled_from([0, 0, 1, 3]),
    "idle_timeout": st.sampled_from([0, 20]),
    "hard_timeout": st.sampled_from([0, 30]),
    "flags": st.sampled_from([0, 0, SEND_FLOW_REM, CHECK_OVERLAP, RESET_COUNTS]),
    "out": st.sampled_from([1, 2]),
    "out_port": st.sampled_from([of13.OFPP_ANY, of13.OFPP_ANY, 1]),
})


def packets_of(pattern: Pattern) -> set[tuple[int, int]]:
    port, value, mask = pattern
    return {packet for packet in PACKETS if port in (None, packet[0]) and packet[1] & mask == value}


class Naive:
    """A list of dictionaries; what covers what is decided by trying every packet."""

    def __init__(self, max_entries: int) -> None:
        self.max_entries = max_entries
        self.rows: list[dict[str, Any]] = []

    def flow_mod(self, mod: dict[str, Any], now: float) -> tuple[int, int] | None:
        command = mod["command"]
        deletes = command in (DELETE, DELETE_STRICT)
        if mod["table_id"] == ALL_TABLES and not deletes:
            return (5, of13.OFPFMFC_BAD_TABLE_ID)
        if command == ADD:
            return self.add(mod, now)
        hit = [row for row in self.rows if self.hits(row, mod, deletes)]
        if deletes:
            self.rows = [row for row in self.rows if row not in hit]
        for row in hit:
            row.update(out=mod["out"], modified=now)
            if mod["flags"] & RESET_COUNTS:
                row["packets"] = 0
        return None

    def add(self, mod: dict[str, Any], now: float) -> tuple[int, int] | None:
        same = [row for row in self.rows if self.key(row) == self.key(mod)]
        in_table = [row for row in self.rows if row["table_id"] == mod["table_id"]]
        if not same:
            if mod["flags"] & CHECK_OVERLAP and any(
                    row["priority"] == mod["priority"]
                    and packets_of(row["pattern"]) & packets_of(mod["pattern"]) for row in in_table):
                return (5, of13.OFPFMFC_OVERLAP)
            if len(in_table) >= self.max_entries:
                return (5, of13.OFPFMFC_TABLE_FULL)
        keeps = same and not mod["flags"] & RESET_COUNTS
        self.rows = [row for row in self.rows if row not in same]
        self.rows.append({**mod, "created": now, "modified": now, "packets": same[0]["packets"] if keeps else 0})
        return None

    @staticmethod
    def key(row: dict[str, Any]) -> tuple[Any, ...]:
        return (row["table_id"], row["priority"], row["pattern"])

    @staticmethod
    def hits(row: dict[str, Any], mod: dict[str, Any], deletes: bool) -> bool:
        if mod["table_id"] not in (ALL_TABLES, row["table_id"]):
            return False
        if mod["command"] in (MODIFY_STRICT, DELETE_STRICT):
            covered = (row["priority"], row["pattern"]) == (mod["priority"], mod["pattern"])
        else:
            covered = packets_of(row["pattern"]) <= packets_of(mod["pattern"])
        output_fits = not deletes or mod["out_port"] in (of13.OFPP_ANY, row["out"])
        return covered and output_fits and not (row["cookie"] ^ mod["cookie"]) & mod["cookie_mask"]


def wire(pattern: Pattern) -> bytes:
    port, value, mask = pattern
    return (b"" if port is None else in_port(port)) + (metadata(value, mask) if mask else b"")


def to_message(mod: dict[str, Any]) -> Any:
    fields = {name: value for name, value in mod.items() if name not in ("pattern", "out", "command")}
    return message(mod["command"], wire(mod["pattern"]), apply_actions(output(mod["out"]), group(mod["out"])), **fields)


@settings(max_examples=150, deadline=None)
@given(st.lists(mods, max_size=25))
def test_behaves_as_the_naive_model(script: list[dict[str, Any]]) -> None:
    logical, naive = LogicalTables(n_tables=2, max_entries=4), Naive(4)
    packets: dict[int, int] = {}
    for now, mod in enumerate(script):
        error = None
        try:
            logical.flow_mod(to_message(mod), float(now), groups=(1, 2))
        except Refused as refused:
            error = (refused.error_type, refused.code)
        assert error == naive.flow_mod(mod, float(now))
        for entry in logical.entries():
            packets[entry.number] = packets.get(entry.number, 0) + 1
        for row in naive.rows:
            row["packets"] += 1
        assert sorted(
            (e.table_id, e.priority, e.match.tlvs, e.cookie, e.idle_timeout, e.hard_timeout, e.flags, e.created,
             e.modified, packets[e.number], list(e.output_ports)) for e in logical.entries()
        ) == sorted(
            (r["table_id"], r["priority"], wire(r["pattern"]), r["cookie"], r["idle_timeout"], r["hard_timeout"],
             r["flags"], r["created"], r["modified"], r["packets"], [r["out"]]) for r in naive.rows)


def restorable(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """What undo promises to restore exactly: all but the number."""
    return [(*row[:3], row[3].instructions, row[3].cookie, row[3].idle_timeout, row[3].hard_timeout, row[3].flags,
             row[3].created, row[3].modified) for row in rows]


@settings(max_examples=150, deadline=None)
@given(st.lists(mods, max_size=12), st.lists(mods, min_size=1, max_size=6))
def test_undo_restores_what_was_before(setup: list[dict[str, Any]], script: list[dict[str, Any]]) -> None:
    logical = LogicalTables(n_tables=2, max_entries=4)

    def run(steps: list[dict[str, Any]], start: float) -> list[Edit]:
        edits = []
        for now, mod in enumerate(steps):
            try:
                edits += logical.flow_mod(to_message(mod), start + now, groups=(1, 2))
            except Refused:
                continue
        return edits

    def indexes() -> Any:
        return ([{id(e) for e in logical.entries_with_group(number)} for number in (1, 2)], logical.next_expiry(),
                {id(e) for e in logical.idle_entries()}, {id(e) for e, _ in logical.expired(1e9)})

    run(setup, 0.0)
    before, indexed = dump(logical), indexes()
    edits = run(script, 50.0)
    after, indexed_after = dump(logical), indexes()
    opposite = logical.undo(edits)
    assert restorable(dump(logical)) == restorable(before)
    assert indexes() == indexed
    logical.undo(opposite)
    assert restorable(dump(logical)) == restorable(after)
    assert indexes() == indexed_after
