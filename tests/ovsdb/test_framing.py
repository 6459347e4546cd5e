"""Objects come out as they went in, however the stream is cut, and whatever is in it ends in the one error."""
from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvproxy.errors import DatabaseError
from hvproxy.ovsdb import framing
from hvproxy.ovsdb.framing import MAX_DEPTH, MAX_MESSAGE, MAX_PARTS, Framer

JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda part: st.lists(part, max_size=4)
                    | st.dictionaries(st.text(), part, max_size=4), max_leaves=12)
OBJECTS = st.lists(st.dictionaries(st.text(), JSON, max_size=4), max_size=5)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    at = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[a:b] for a, b in zip(at, at[1:])]


def outcome(parts: list[bytes]) -> tuple[list[bytes], str | None]:
    framer, texts = Framer(), []
    try:
        for part in parts:
            texts += framer.feed(part)
    except DatabaseError as error:
        return texts, str(error)
    return texts, None


@given(OBJECTS, st.lists(st.integers(0, 1 << 16)), st.sampled_from(["", " ", "\n\t "]), st.booleans())
def test_objects_are_found_wherever_the_stream_is_cut(
    objects: list[dict[str, object]], cuts: list[int], space: str, ascii_only: bool,
) -> None:
    stream = "".join(space + json.dumps(each, ensure_ascii=ascii_only) for each in objects).encode("utf-8", "replace")
    texts, fault = outcome(pieces(stream, cuts))
    assert fault is None and len(texts) == len(objects)
    assert b"".join(texts) == stream.rstrip() or not objects


@given(st.binary() | st.text('{}[]"\\ a', max_size=200).map(str.encode), st.lists(st.integers(0, 1 << 16)))
def test_arbitrary_bytes_raise_only_the_named_error_and_the_same_in_pieces(data: bytes, cuts: list[int]) -> None:
    assert outcome(pieces(data, cuts))[1] == outcome([data])[1]


@pytest.mark.parametrize("size", [1, 4096])
def test_a_message_may_be_so_large_and_no_larger(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(framing, "MAX_MESSAGE", 5000)

    def message(length: int) -> list[bytes]:
        text = b'{"a":"' + b"x" * (length - 8) + b'"}'
        return [text[at:at + size] for at in range(0, length, size)]

    assert outcome(message(5000)) == ([b"".join(message(5000))], None)
    assert outcome(message(5001))[1] == "a message is larger than 0 MiB"


def test_what_never_ends_is_not_kept() -> None:
    framer = Framer()
    framer.feed(b'{"')
    with pytest.raises(DatabaseError, match="larger than 4 MiB"):
        for _ in range(MAX_MESSAGE // 65536):
            framer.feed(b"x" * 65536)


def test_depth_and_parts_are_bounded() -> None:
    fits = b'{"a":' + b"[" * (MAX_DEPTH - 1) + b"]" * (MAX_DEPTH - 1) + b"}"
    assert Framer().feed(fits) == [fits]
    with pytest.raises(DatabaseError, match="nested"):
        Framer().feed(b'{"a":' + b"[" * MAX_DEPTH)
    fits = b'{"a":[' + b"[]," * (MAX_PARTS - 3) + b"[]]}"
    assert Framer().feed(fits) == [fits]
    with pytest.raises(DatabaseError, match="objects and lists"):
        Framer().feed(fits[:-2] + b",[]]}")


def test_what_is_no_object_is_refused_at_its_first_byte() -> None:
    for data in (b"[", b'"', b"1", b"\x16\x03\x01", b"GET / HTTP/1.1", b" }"):
        with pytest.raises(DatabaseError, match="does not send JSON objects"):
            Framer().feed(data)
