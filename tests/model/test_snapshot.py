"""A snapshot's file: what is written is read, and damage or another version is said clearly."""
from __future__ import annotations

from zlib import compress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvproxy.errors import ModelError
from hvproxy.model import snapshot
from hvproxy.model.snapshot import HEADER, MAGIC, VERSION, EntryShot, GroupShot, MeterShot, Snapshot, decode, encode

SHOT = Snapshot("red", 1.5, b"{}", 1, {0: "first"}, {1: 4, 2: 0},
                [EntryShot(0, 5, b"\x80\0\0\4\0\0\0\1", bytes(8), 1 << 63, 0, 9, 1, (3, 300))],
                [GroupShot(7, 1, b"", (1, 2), [(1, 2)])], [MeterShot(1, 4, bytes(16), (0, 0), [(0, 0)])])


def test_what_is_written_is_read() -> None:
    assert decode(encode(SHOT)) == SHOT


@given(st.integers(0, len(encode(SHOT)) - 1), st.integers(1, 255))
def test_every_changed_byte_is_found(place: int, change: int) -> None:
    data = bytearray(encode(SHOT))
    data[place] ^= change
    with pytest.raises(ModelError):
        decode(bytes(data))


@given(st.integers(0, len(encode(SHOT)) - 1))
def test_a_file_cut_short_is_found(length: int) -> None:
    with pytest.raises(ModelError):
        decode(encode(SHOT)[:length])


def sealed(body: bytes, version: int = VERSION) -> bytes:
    from hashlib import sha256
    header: bytes = HEADER.build({"magic": MAGIC, "version": version, "length": len(body),
                                  "digest": sha256(body).digest()})
    return header + body


@pytest.mark.parametrize("data, what", [
    (b"", "nothing in it"), (b"x" * 200, "no snapshot"), (sealed(b"", VERSION + 1), "newer one"),
    (encode(SHOT) + b"x", "are there"), (sealed(b"nonsense"), "damaged"), (sealed(compress(b"\x81\1\2")), "damaged")])
def test_what_is_wrong_is_said(data: bytes, what: str) -> None:
    with pytest.raises(ModelError, match=what) as raised:
        decode(data)
    assert raised.value.status == 400


def test_a_bomb_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "MOST_BYTES", 1000)
    with pytest.raises(ModelError, match="holds more"):
        decode(sealed(compress(bytes(100_000))))
