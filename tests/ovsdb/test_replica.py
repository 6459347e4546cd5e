"""A replica is what the updates say, in every order in which a database can send them, or it is refused."""
from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvproxy.errors import DatabaseError
from hvproxy.ovsdb import replica
from hvproxy.ovsdb.replica import Replica
from hvproxy.ovsdb.values import integer, text
from tests.ovsdb.rows import name_of

A, B = name_of("a"), name_of("b")
COLUMNS = {"T": {"name": text, "number": integer}, "U": {"name": text}}


def row(name: str = "x", number: int = 1) -> dict[str, Any]:
    return {"name": name, "number": number}


def test_it_asks_for_what_it_can_read() -> None:
    assert Replica(COLUMNS).requests() == {"T": {"columns": ["name", "number"]}, "U": {"columns": ["name"]}}


def test_rows_come_change_and_go() -> None:
    found = Replica(COLUMNS)
    found.update({"T": {A: {"new": row()}, B: {"new": row("y")}}})
    found.update({"T": {A: {"old": {"number": 1}, "new": row(number=2)}, B: {"old": row("y")}}})
    assert found.tables == {"T": {A: row(number=2)}, "U": {}} and found.rows == 1


@given(st.lists(st.dictionaries(st.sampled_from([A, B, name_of("c")]), st.integers(), max_size=3), max_size=6))
def test_it_equals_what_the_database_holds_after_every_change(states: list[dict[str, int]]) -> None:
    found, before = Replica(COLUMNS), dict[str, int]()
    for state in states:
        found.update({"T": {
            uuid: {**({"old": row(number=before[uuid])} if uuid in before else {}),
                   **({"new": row(number=state[uuid])} if uuid in state else {})} for uuid in {**before, **state}}})
        before = state
        assert found.tables["T"] == {uuid: row(number=number) for uuid, number in state.items()}


@pytest.mark.parametrize(("updates", "what"), [
    ([], "table updates expected, got list"), ({"T": 1}, "a table update expected, got int"),
    ({"V": {}}, "table V, which was not asked for"), ({"T": {"x": {"new": row()}}}, "a UUID expected"),
    ({"T": {A: {}}}, "neither old nor new"), ({"T": {A: {"new": row(), "more": 1}}}, "neither old nor new"),
    ({"T": {A: {"old": row()}}}, "not known"), ({"T": {B: {"new": row()}}}, "known already"),
    ({"T": {A: {"new": 1}}}, "a row expected, got int"), ({"T": {A: {"new": {"name": "x"}}}}, "other columns"),
    ({"T": {A: {"new": row() | {"extra": 1}}}}, "other columns"),
    ({"T": {A: {"new": row(number="1")}}}, f"table T, row {A}: an integer expected, got '1'"),
])
def test_what_contradicts_is_refused(updates: object, what: str) -> None:
    found = Replica(COLUMNS)
    found.update({"T": {B: {"new": row()}}})
    with pytest.raises(DatabaseError, match=what):
        found.update(updates)


def test_it_does_not_grow_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replica, "MAX_SIZE", 1000)
    found = Replica(COLUMNS)
    for _ in range(5):  # what goes makes room
        found.update({"T": {A: {"new": row("x" * 900)}}})
        found.update({"T": {A: {"old": row("x" * 900)}}})
    found.update({"T": {A: {"new": row("x" * 500)}}})
    with pytest.raises(DatabaseError, match="holds more than"):
        found.update({"T": {B: {"new": row("x" * 500)}}})


PLAIN: Any = st.recursive(
    st.none() | st.integers() | st.text(max_size=3), lambda part: st.lists(part, max_size=2) | st.dictionaries(
        st.sampled_from(["T", "U", A, B, "old", "new", "name", "number"]), part, max_size=3), max_leaves=12)


@given(PLAIN)
def test_anything_is_taken_or_the_named_error(updates: object) -> None:
    try:
        Replica(COLUMNS).update(updates)
    except DatabaseError:
        pass
