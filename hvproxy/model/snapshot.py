"""A logical switch in a file: what tenants have set of it, and what had been counted, at one moment.

A header of fixed layout, with a digest of what follows, before a compressed body in MessagePack. Times are left out but
for when it was taken: what comes back out of a snapshot begins anew. Knows nothing of what is done with it.
"""
from __future__ import annotations

from hashlib import sha256
from typing import Final
from zlib import compress, decompressobj
from zlib import error as ZlibError

import msgspec
from construct import Bytes, Int16ub, Int64ub, Struct

from hvproxy.errors import ModelError
from hvproxy.model.records import Count, Record

MAGIC: Final = b"hvproxy\nsnapshot\r\n\x00"
"""Broken by whatever takes a file for a text."""
VERSION: Final = 1
HEADER: Final = Struct(
    "magic" / Bytes(len(MAGIC)), "version" / Int16ub, "length" / Int64ub, "digest" / Bytes(32)).compile()
_HEADER_SIZE: Final = HEADER.sizeof()
MOST_BYTES: Final = 1 << 28
"""Of a body once it is unpacked: a million entries and more."""


class EntryShot(Record, frozen=True):
    """An entry."""

    table_id: int
    priority: int
    match: bytes
    """TLVs."""
    instructions: bytes
    """As on the wire."""
    cookie: int
    idle_timeout: int
    hard_timeout: int
    flags: int
    counted: Count


class GroupShot(Record, frozen=True):
    """A group."""

    group_id: int
    type: int
    buckets: bytes
    counted: Count
    of_buckets: list[Count]


class MeterShot(Record, frozen=True):
    """A meter."""

    meter_id: int
    flags: int
    bands: bytes
    counted: Count
    of_bands: list[Count]


class Snapshot(Record, frozen=True):
    """A logical switch."""

    name: str
    taken: float
    """Unix time."""
    spec: bytes
    """JSON, as the API tells it, without the files of keys."""
    frag_flags: int
    table_names: dict[int, str]
    ports: dict[int, int]
    """Number -> OFPPC_* as tenants have set them."""
    entries: list[EntryShot]
    groups: list[GroupShot]
    meters: list[MeterShot]


def encode(snapshot: Snapshot) -> bytes:
    """The file of a snapshot."""
    body = compress(msgspec.msgpack.encode(snapshot), 6)
    header: bytes = HEADER.build({
        "magic": MAGIC, "version": VERSION, "length": len(body), "digest": sha256(body).digest()})
    return header + body


def decode(data: bytes) -> Snapshot:
    """Read the file of a snapshot. Raises ModelError with what is wrong with it."""
    if data[:len(MAGIC)] != MAGIC:
        raise ModelError("", "this is no snapshot of a logical switch" if data else "there is nothing in it")
    if len(data) < _HEADER_SIZE:
        raise ModelError("", f"the snapshot is damaged: it ends after {len(data)} bytes")
    header, body = HEADER.parse(data), data[_HEADER_SIZE:]
    if header.version != VERSION:
        raise ModelError("", f"the snapshot is of format version {header.version}; this hvproxy reads version {VERSION}"
                             + ("; use the hvproxy that wrote it, or a newer one" if header.version > VERSION else ""))
    if len(body) != header.length:
        raise ModelError("", f"the snapshot is damaged: {header.length} bytes were written, {len(body)} are there")
    if sha256(body).digest() != header.digest:
        raise ModelError("", "the snapshot is damaged: its digest is wrong")
    try:
        unpacking = decompressobj()
        plain = unpacking.decompress(body, MOST_BYTES)
        if not unpacking.eof:
            raise ModelError("", f"the snapshot holds more than {MOST_BYTES >> 20} MiB")
        return msgspec.msgpack.decode(plain, type=Snapshot)
    except (ZlibError, msgspec.DecodeError) as error:
        raise ModelError("", f"the snapshot is damaged: {error}") from error
