"""The notation of RFC 7047 section 5.1 in the forms that a database may choose, and everything that is not it."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvproxy.errors import DatabaseError
from hvproxy.ovsdb.values import integer, optional, row_name, set_of, text, texts_by_text, uuid

UUID = "2f77b348-9768-4866-b761-89d5177ecda0"
READERS: list[Callable[[Any], object]] = [
    text, integer, uuid, row_name, set_of(text), set_of(uuid), optional(integer), optional(text), texts_by_text]


@pytest.mark.parametrize(("read", "value", "expected"), [
    (text, "a", "a"), (integer, -1, -1), (uuid, ["uuid", UUID], UUID), (row_name, UUID, UUID),
    (set_of(text), "a", {"a"}), (set_of(text), ["set", []], set()), (set_of(text), ["set", ["a", "b"]], {"a", "b"}),
    (set_of(uuid), ["uuid", UUID], {UUID}), (set_of(uuid), ["set", [["uuid", UUID]]], {UUID}),
    (optional(integer), 3, 3), (optional(integer), ["set", [3]], 3), (optional(integer), ["set", []], None),
    (texts_by_text, ["map", []], {}), (texts_by_text, ["map", [["a", "b"], ["c", "d"]]], {"a": "b", "c": "d"}),
])
def test_columns_are_read(read: Callable[[Any], object], value: object, expected: object) -> None:
    assert read(value) == expected


@pytest.mark.parametrize(("read", "value", "what"), [
    (text, 1, "a string expected, got 1"), (text, ["x"], "a string expected, got list"),
    (integer, True, "an integer expected, got True"), (integer, 1.0, "an integer expected, got 1.0"),
    (uuid, UUID, "a reference"), (uuid, ["named-uuid", UUID], "a reference"), (uuid, ["uuid", "x"], "a UUID expected"),
    (row_name, UUID.upper(), "a UUID expected"), (set_of(text), ["set", "ab"], "a string expected"),
    (set_of(text), ["set", [1]], "a string expected"), (optional(text), ["set", ["a", "b"]], "one value at most"),
    (texts_by_text, ["map", [["a"]]], "a pair of strings"), (texts_by_text, ["map", [["a", 1]]], "a pair of strings"),
    (texts_by_text, {"a": "b"}, "a map expected, got dict"), (text, None, "a string expected, got NoneType"),
])
def test_other_types_are_refused(read: Callable[[Any], object], value: object, what: str) -> None:
    with pytest.raises(DatabaseError, match=what.replace("[", r"\[")):
        read(value)


def test_a_refusal_is_short_however_large_the_value() -> None:
    with pytest.raises(DatabaseError) as caught:
        integer("x" * 1_000_000)
    assert len(str(caught.value)) < 200


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.just(UUID),
    lambda part: st.lists(part, max_size=3) | st.dictionaries(st.text(max_size=3), part, max_size=3)
    | st.tuples(st.sampled_from(["set", "map", "uuid"]), part).map(list), max_leaves=6)


@given(st.sampled_from(READERS), PLAIN)
def test_anything_is_read_or_the_named_error(read: Callable[[Any], object], value: object) -> None:
    try:
        read(value)
    except DatabaseError:
        pass
