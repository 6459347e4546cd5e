"""The group table: group-mods, liveness of buckets, counters (OF 1.3.5 sections 5.6.1 and 6.4 onwards).

Knows buckets as decoded actions; what they do to a packet is the pipeline's business.
"""
from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from zlib import crc32

from tools.emulator.decode import GROUP_ALL, GROUP_ANY, GROUP_MAX, PORT_ANY, Action, Bucket
from tools.emulator.oxm import OFError

ALL, SELECT, INDIRECT, FAST_FAILOVER = 0, 1, 2, 3
ADD, MODIFY, DELETE = 0, 1, 2
GROUP_MOD_FAILED = 6
GROUP_EXISTS, INVALID_GROUP, WATCH_UNSUPPORTED, UNKNOWN_GROUP, BAD_TYPE, BAD_COMMAND = 0, 1, 6, 8, 10, 11
MAX_LIVENESS_DEPTH = 128
SCATTER = 0x9e3779b1
STATISTICS = Struct("!H2xII4xQQII")


def refused(code: int) -> OFError:
    """The refusal of a group-mod."""
    return OFError(GROUP_MOD_FAILED, code)


class Group:
    """One group."""

    __slots__ = ("group_id", "kind", "buckets", "created", "packets", "bytes", "counters", "plans")

    def __init__(self, group_id: int, kind: int, buckets: list[Bucket], now: float) -> None:
        self.group_id = group_id
        self.kind = kind
        self.buckets = buckets
        self.created = now
        self.packets = 0
        self.bytes = 0
        self.counters = [[0, 0] for _ in buckets]
        """Packets and bytes of each bucket."""
        self.plans: list[tuple[Action, ...]] = []
        """The buckets' actions in the order of execution, filled in by the pipeline."""

    def credit(self, size: int, bucket: int | None = None) -> None:
        """Count one packet for the group and for one bucket, or for all."""
        self.packets += 1
        self.bytes += size
        for counters in self.counters if bucket is None else (self.counters[bucket],):
            counters[0] += 1
            counters[1] += size

    def describe(self) -> bytes:
        """struct ofp_group_desc."""
        buckets = b"".join(bucket.raw for bucket in self.buckets)
        head = (8 + len(buckets)).to_bytes(2, "big") + bytes((self.kind, 0)) + self.group_id.to_bytes(4, "big")
        return head + buckets

    def statistics(self, references: int, now: float) -> bytes:
        """struct ofp_group_stats."""
        age = max(0.0, now - self.created)
        length = STATISTICS.size + 16 * len(self.counters)
        head = STATISTICS.pack(length, self.group_id, references, self.packets, self.bytes, int(age),
                               int(age % 1 * 1e9))
        return head + b"".join(packets.to_bytes(8, "big") + size.to_bytes(8, "big") for packets, size in self.counters)


class GroupTable:
    """All groups of a switch."""

    def __init__(self, clock: Callable[[], float], port_alive: Callable[[int], bool]) -> None:
        self._clock = clock
        self._port_alive = port_alive
        self.groups: dict[int, Group] = {}

    def modify(self, command: int, kind: int, group_id: int, buckets: list[Bucket]) -> list[int]:
        """Carry out a group-mod; the ids of groups deleted by it."""
        if command == DELETE and buckets:
            raise refused(INVALID_GROUP)
        self._check(command, kind, buckets)
        if command == DELETE:
            gone = list(self.groups) if group_id == GROUP_ALL else [group_id] if group_id in self.groups else []
            for number in gone:
                del self.groups[number]
            return gone
        if command == ADD and group_id in self.groups:
            raise refused(GROUP_EXISTS)
        if command == MODIFY and group_id not in self.groups:
            raise refused(UNKNOWN_GROUP)
        if group_id > GROUP_MAX:
            raise refused(INVALID_GROUP)
        group = Group(group_id, kind, buckets, self._clock())
        if command == MODIFY:
            group.created = self.groups[group_id].created
        self.groups[group_id] = group
        return []

    @staticmethod
    def _check(command: int, kind: int, buckets: list[Bucket]) -> None:
        if kind > FAST_FAILOVER:
            raise refused(BAD_TYPE)
        if kind == INDIRECT and command != DELETE and len(buckets) != 1:
            raise refused(INVALID_GROUP)
        if command > DELETE:
            raise refused(BAD_COMMAND)
        for bucket in buckets:
            watched = bucket.watch_port != PORT_ANY or bucket.watch_group != GROUP_ANY
            if bucket.weight and kind != SELECT:
                raise refused(INVALID_GROUP)
            if kind in (ALL, INDIRECT) and watched:
                raise refused(WATCH_UNSUPPORTED)
            if kind == FAST_FAILOVER and not watched:
                raise refused(INVALID_GROUP)

    def alive(self, group: Group, bucket: Bucket, depth: int = 0) -> bool:
        """Whether a bucket can be used."""
        if depth >= MAX_LIVENESS_DEPTH or (group.kind == SELECT and bucket.weight == 0):
            return False
        if bucket.watch_port == PORT_ANY and bucket.watch_group == GROUP_ANY:
            return True
        if bucket.watch_port != PORT_ANY and self._port_alive(bucket.watch_port):
            return True
        watched = self.groups.get(bucket.watch_group)
        return watched is not None and any(self.alive(watched, inner, depth + 1) for inner in watched.buckets)

    def first_live(self, group: Group) -> int | None:
        """Index of the first live bucket."""
        for index, bucket in enumerate(group.buckets):
            if self.alive(group, bucket):
                return index
        return None

    def hashed(self, group: Group, flow: bytes) -> int | None:
        """Index of the live bucket with the highest score for a flow: its weight times a 16-bit hash of flow and place.

        Open vSwitch's method where the weights are far apart, with a hash of our own; the same on every switch.
        """
        best, chosen = -1, None
        for index, bucket in enumerate(group.buckets):
            if self.alive(group, bucket):
                score = (crc32(index.to_bytes(4, "big"), crc32(flow)) * SCATTER >> 16 & 0xffff) * bucket.weight
                if score > best:
                    best, chosen = score, index
        return chosen
