from __future__ import annotations

import time

import pytest

from hvproxy.document import MAX_DEPTH, MAX_NODES, decode
from hvproxy.errors import ConfigError


def refused(text: str | bytes) -> list[tuple[str, str]]:
    with pytest.raises(ConfigError) as caught:
        decode(text)
    return caught.value.mistakes


def test_plain_values_are_decoded() -> None:
    document = decode("{a: [1, -2, 0x1f, 1_000], b: 1.5, c: true, d: null, e: text, f: '5', g: \"on\", h: }")
    assert document.value == {
        "a": [1, -2, 31, 1000], "b": 1.5, "c": True, "d": None, "e": "text", "f": "5", "g": "on", "h": None}
    assert document.faults == []


@pytest.mark.parametrize("text", ["0000000000000010", "12:30:45", "2026-01-01", "1e5", "0o17", "a1"])
def test_what_yaml_1_1_makes_surprising_values_of_is_text(text: str) -> None:
    assert decode(text).value == text


def test_anchors_may_be_used() -> None:
    assert decode("a: &x [1]\nb: *x").value == {"a": [1], "b": [1]}


def test_an_empty_text_is_nothing() -> None:
    assert decode("# nothing\n").value is None


def test_each_key_that_stands_twice_is_a_fault_with_its_lines() -> None:
    document = decode("a: 1\nb:\n  - {c: 1, c: 2}\na: 2\n")
    assert document.faults == [
        (("b", 0, "c"), "line 3: the key stands already on line 3"),
        (("a",), "line 4: the key stands already on line 1"),
    ]
    assert document.value == {"a": 1, "b": [{"c": 1}]}


def test_only_plain_keys_and_values_are_made() -> None:
    document = decode("a: !!python/object:os.system {}\nb: !mine 1\n[c]: 1\n<<: {d: 1}\n")
    assert document.faults == [
        (("a",), "tag tag:yaml.org,2002:python/object:os.system is not supported"),
        (("b",), "tag !mine is not supported"),
        ((), "line 3: not a key"),
        ((), "line 4: merge keys (<<) are not supported"),
    ]


@pytest.mark.parametrize(("text", "place", "what"), [
    ("a: 1\n  b: 2", "line 2, column 4", "not YAML: mapping values are not allowed in this context"),
    ("a: [1, 2", "line 2, column 1", "not YAML: did not find expected ',' or ']'"),
    ("a: *x", "line 1, column 4", "not YAML: found undefined alias"),
    ("\ta: 1", "line 1, column 1", "not YAML: found character that cannot start any token"),
    ("a: 1\n---\nb: 2", "line 2, column 1",
     "not YAML: expected a single document in the stream, but found another document"),
])
def test_what_is_no_yaml_is_refused_with_line_and_column(text: str, place: str, what: str) -> None:
    assert refused(text) == [(place, what)]


@pytest.mark.parametrize("text", ["a: \0", b"\xff\xfe\xfd", b"a: \xc3\x28"])
def test_what_is_no_text_is_refused(text: str | bytes) -> None:
    [(_, what)] = refused(text)
    assert what.startswith("not YAML: ")


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 100_000, "- " * 50_000])
def test_deep_nesting_is_refused_and_does_not_exhaust_the_stack(text: str) -> None:
    [(place, what)] = refused(text)
    assert place.startswith("line 1, column ") and what == f"nested more than {MAX_DEPTH} levels deep"


def test_nesting_up_to_the_limit_is_decoded() -> None:
    assert decode("[" * MAX_DEPTH + "]" * MAX_DEPTH).faults == []


def test_a_small_text_cannot_unfold_into_a_huge_document() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 30)]
    began = time.process_time()
    [(path, what)] = refused("\n".join(lines))
    assert what == f"the document unfolds to more than {MAX_NODES} values" and path.startswith("a")
    assert time.process_time() - began < 30


def test_an_alias_within_what_it_names_is_refused() -> None:
    assert refused("a: &x [*x]") == [("a[0]", "an alias stands within what it names")]
    assert refused("a: &x {b: {c: *x}}") == [("a.b.c", "an alias stands within what it names")]
