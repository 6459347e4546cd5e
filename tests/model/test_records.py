"""Records are what was written under their key, or they are refused by it."""
from __future__ import annotations

import pytest

from hvproxy.errors import DamagedRecord
from hvproxy.model import records

ENTRY = records.EntryRecord(3, 65535, (1 << 64) - 1, 1, 65535, 1, 1.5, -2.5, 1e9, b"match", b"")


def sealed(key: str, body: bytes, version: int = records.VERSION) -> bytes:
    """A record with a seal that fits its body."""
    right = records.encode(key, records.Rest(1.0))
    assert records.decode(key, records.Rest, right).until == 1.0
    seal: bytes = records.SEAL.build({"version": version, "checksum": records.checksum(key, body)})
    return seal + body


def test_a_record_is_read_as_it_was_written() -> None:
    assert records.decode("k", records.EntryRecord, records.encode("k", ENTRY)) == ENTRY


def test_every_byte_is_covered() -> None:
    data = records.encode("k", ENTRY)
    for place in range(len(data)):
        changed = data[:place] + bytes([data[place] ^ 1]) + data[place + 1:]
        with pytest.raises(DamagedRecord, match="stored record k: "):
            records.decode("k", records.EntryRecord, changed)
        with pytest.raises(DamagedRecord, match="stored record k: "):
            records.decode("k", records.EntryRecord, data[:place])
    with pytest.raises(DamagedRecord, match="its checksum is wrong"):
        records.decode("k", records.EntryRecord, data + b"x")


def test_a_record_under_another_key_is_found() -> None:
    with pytest.raises(DamagedRecord, match="stored record other: its checksum is wrong"):
        records.decode("other", records.EntryRecord, records.encode("k", ENTRY))


def test_a_later_version_is_refused() -> None:
    with pytest.raises(DamagedRecord, match="is of version 2; this hvproxy reads version 1"):
        records.decode("k", records.EntryRecord, sealed("k", b"", 2))


@pytest.mark.parametrize("body", [b"", b"\x91\xa1x", b"\x92\x01\x02", b"\x90", b"\xc1"])
def test_a_body_that_is_no_such_record_is_refused(body: bytes) -> None:
    with pytest.raises(DamagedRecord, match="stored record k: is no Rest: "):
        records.decode("k", records.Rest, sealed("k", body))
