"""Groups on the wire: the group-mod as a value, buckets walked and built.

Knows nothing of what a bucket's actions mean; every length is assumed proven by the guard.
"""
from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from struct import Struct

from hvproxy.openflow.constants import of13

_BUCKET = Struct("!HHII4x")
_ANY_PORT: int = of13.OFPP_ANY
_ANY_GROUP: int = of13.OFPG_ANY


@dataclass(frozen=True, slots=True)
class GroupMod:
    """struct ofp_group_mod (OF 1.3.5 section 7.3.4.2)."""

    xid: int
    command: int
    """OFPGC_*."""
    type: int
    """OFPGT_*."""
    group_id: int
    buckets: bytes
    """Wire bytes of all buckets, in order."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """struct ofp_bucket (OF 1.3.5 section 7.3.4.2)."""

    weight: int
    """Of SELECT groups only, else 0."""
    watch_port: int
    watch_group: int
    actions: bytes

    def encode(self) -> bytes:
        return bucket(self.actions, self.weight, self.watch_port, self.watch_group)


@lru_cache(4)
def walk_buckets(data: bytes) -> tuple[Bucket, ...]:
    """The buckets of a group-mod or of a group description, in order.

    There may be 4 000, and one group-mod is looked at from many sides: what was asked last is remembered, and no more,
    for the values are many times as large as the bytes.
    """
    buckets = []
    offset, end = 0, len(data)
    while offset < end:
        length, weight, watch_port, watch_group = _BUCKET.unpack_from(data, offset)
        buckets.append(Bucket(weight, watch_port, watch_group, data[offset + _BUCKET.size:offset + length]))
        offset += length
    return tuple(buckets)


def count_buckets(data: bytes) -> int:
    """How many buckets there are."""
    count = offset = 0
    while offset < len(data):
        offset += data[offset] << 8 | data[offset + 1]
        count += 1
    return count


def action_lists(data: bytes) -> tuple[bytes, ...]:
    """The actions of buckets, each list once, in order."""
    return tuple(dict.fromkeys([each.actions for each in walk_buckets(data)]))


def bucket(actions: bytes, weight: int = 0, watch_port: int = _ANY_PORT, watch_group: int = _ANY_GROUP) -> bytes:
    """One bucket. Actions are multiples of 8 bytes, so a bucket never needs padding."""
    return _BUCKET.pack(_BUCKET.size + len(actions), weight, watch_port, watch_group) + actions
