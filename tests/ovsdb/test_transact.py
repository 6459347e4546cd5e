"""Operations as RFC 7047 section 5.2 writes them, and every way in which a transaction can be refused."""
from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvproxy.ovsdb import transact
from hvproxy.ovsdb.rpc import Reply
from tests.ovsdb.rows import name_of

UUID = name_of("a")
WHERE = [["_uuid", "==", ["uuid", UUID]]]


def test_operations_concern_one_row() -> None:
    assert transact.update("T", UUID, {"c": "v"}) == {"op": "update", "table": "T", "where": WHERE, "row": {"c": "v"}}
    assert transact.insert_into("T", UUID, "c", "v") == {
        "op": "mutate", "table": "T", "where": WHERE, "mutations": [["c", "insert", "v"]]}
    assert [each["mutations"] for each in transact.set_key("T", UUID, "c", "k", "v")] == [
        [["c", "delete", ["set", ["k"]]]], [["c", "insert", ["map", [["k", "v"]]]]]]


@pytest.mark.parametrize(("reply", "why"), [
    (Reply(1, [{"count": 1}, {"count": 1}]), None), (Reply(1, [{"count": 1}, {}]), None),
    (Reply(1, None, "no"), "no"), (Reply(1, None, {"error": "no", "details": "at all"}), "no: at all"),
    (Reply(1, None, 7), "an error that is none"), (Reply(1, {}), "its reply is not a list"),
    (Reply(1, [{"count": 1}, {"error": "constraint violation", "details": "d"}]), "constraint violation: d"),
    (Reply(1, [{"error": "no"}, None]), "no"), (Reply(1, [{}, {}, {"error": "commit failed"}]), "commit failed"),
    (Reply(1, [{"count": 1}]), "its reply has not a result for each operation"),
    (Reply(1, [{"count": 1}, None]), "its reply has not a result for each operation"),
    (Reply(1, [{"count": 1}, {"count": 0}]), "the row is gone"),
])
def test_a_refusal_says_why(reply: Reply, why: str | None) -> None:
    assert transact.refusal(reply, 2) == why


PLAIN: Any = st.recursive(st.none() | st.integers() | st.text(max_size=3), lambda part: st.lists(part, max_size=3)
                          | st.dictionaries(st.sampled_from(["error", "details", "count"]), part), max_leaves=6)


@given(PLAIN, PLAIN)
def test_any_reply_is_carried_out_or_refused_in_short(result: object, error: object) -> None:
    why = transact.refusal(Reply(1, result, error), 1)
    assert why is None or len(why) <= 410
