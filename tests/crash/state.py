"""What a switch holds and counts, read in one session of OpenFlow 1.3, as values that can be compared."""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct
from typing import NamedTuple

from tests.crash.operations import EXPIRING_TABLE, LANE_METER
from tests.system.private_ovs import Session
from tests.tools.controller import flow_request

FLOW, TABLE, PORT_STATS, GROUP, GROUP_DESC, METER, METER_CONFIG, PORT_DESC = 1, 3, 4, 6, 7, 9, 10, 13
EVERY = b"\xff\xff\xff\xff\0\0\0\0"
ALL_GROUPS = b"\xff\xff\xff\xfc\0\0\0\0"
FLOW_STATS = Struct("!HBxIIHHHH4xQQQ")


class Entry(NamedTuple):
    """One row of flow statistics."""

    key: tuple[int, int, tuple[bytes, ...]]
    """Table, priority, match."""
    content: tuple[int, int, int, int, bytes]
    """Cookie, idle and hard timeout, flags, instructions."""
    age: float
    packets: int
    octets: int

    @property
    def cookie(self) -> int:
        return self.content[0]


def entries(session: Session) -> list[Entry]:
    """All of a switch."""
    body, found = session.multipart(FLOW, flow_request()), []
    while body:
        (length, table, seconds, nanoseconds, priority, idle, hard, flags, cookie, packets,
         octets) = FLOW_STATS.unpack_from(body)
        matched = int.from_bytes(body[50:52], "big")
        end = 48 + (matched + 7) // 8 * 8
        found.append(Entry((table, priority, _fields(body[52:48 + matched])),
                           (cookie, idle, hard, flags, body[end:length]), seconds + nanoseconds / 1e9, packets, octets))
        body = body[length:]
    return found


def _fields(match: bytes) -> tuple[bytes, ...]:
    """The fields of a match in an order of their own: switches tell them in theirs."""
    found = []
    while match:
        found.append(match[:4 + match[3]])
        match = match[4 + match[3]:]
    return tuple(sorted(found))


def _numbered(body: bytes, at: int, size: int | None = None) -> Iterator[tuple[int, bytes]]:
    """(number, row) of rows that begin with their length, or are of one size, and have a number at `at`."""
    while body:
        length = size or int.from_bytes(body[:2], "big")
        yield int.from_bytes(body[at:at + 4], "big"), body[:length]
        body = body[length:]


def _lengthy(body: bytes) -> Iterator[tuple[int, bytes]]:
    """(number, row) of statistics of meters, whose length is behind their number."""
    while body:
        length = int.from_bytes(body[4:6], "big")
        yield int.from_bytes(body[:4], "big"), body[:length]
        body = body[length:]


def addresses(session: Session) -> dict[int, bytes]:
    """Port -> its address."""
    return {number: row[8:14] for number, row in _numbered(session.multipart(PORT_DESC), 0, 64)}


@dataclass(frozen=True, slots=True)
class Held:
    """What a tenant has made of a switch, by kind and key."""

    rows: dict[tuple[object, ...], object]

    @classmethod
    def of(cls, session: Session) -> Held:
        """What a switch holds, without what expires."""
        rows: dict[tuple[object, ...], object] = {
            ("entry", *each.key): each.content for each in entries(session) if each.key[0] != EXPIRING_TABLE}
        rows.update((("group", number), row) for number, row in _numbered(session.multipart(GROUP_DESC, b""), 4))
        rows.update((("meter", number), row) for number, row in _numbered(session.multipart(METER_CONFIG, EVERY), 4))
        rows.update((("port", number), int.from_bytes(row[32:36], "big"))
                    for number, row in _numbered(session.multipart(PORT_DESC), 0, 64) if number < 0xffffff00)
        return cls(rows)

    def unlike(self, other: Held) -> list[str]:
        """What differs from what it should be."""
        both = sorted({*self.rows, *other.rows}, key=repr)
        return [f"{key}: {self.rows.get(key)} instead of {other.rows.get(key)}" for key in both
                if self.rows.get(key) != other.rows.get(key)]


def counters(session: Session) -> dict[tuple[object, ...], tuple[int, ...]]:
    """All that a switch counts that must not go back: an entry's cookie and place tell it from others; of groups and
    meters those of the traffic, for others may be made anew."""
    found: dict[tuple[object, ...], tuple[int, ...]] = {
        ("entry", each.cookie, *(() if each.cookie >> 61 else each.key)): (each.packets, each.octets)
        for each in entries(session)}
    for number, row in _numbered(session.multipart(GROUP, ALL_GROUPS), 4):
        if number >= 50 and number < 100:
            found["group", number] = int.from_bytes(row[16:24], "big"), int.from_bytes(row[24:32], "big")
    for number, row in _lengthy(session.multipart(METER, EVERY)):
        if number == LANE_METER:
            found["meter", number] = int.from_bytes(row[16:24], "big"), int.from_bytes(row[24:32], "big")
    for number, row in _numbered(session.multipart(PORT_STATS, EVERY), 0, 112):
        found["port", number] = tuple(int.from_bytes(row[at:at + 8], "big") for at in range(8, 40, 8))
    body = session.multipart(TABLE)
    for at in range(0, len(body), 24):
        found["table", body[at]] = tuple(int.from_bytes(body[at + to:at + to + 8], "big") for to in (8, 16))
    return found


@dataclass(frozen=True, slots=True)
class Rules:
    """What physical switches hold, without what they count, and since when."""

    rules: dict[tuple[object, ...], float]
    """Rule, group or meter of a datapath -> its age."""

    @classmethod
    def of(cls, sessions: dict[int, Session]) -> Rules:
        """What these datapaths hold."""
        found: dict[tuple[object, ...], float] = {}
        for dpid, session in sessions.items():
            for each in entries(session):
                found[dpid, "rule", each.key, each.content] = each.age
            for kind, body in (("group", session.multipart(GROUP_DESC)),
                               ("meter", session.multipart(METER_CONFIG, EVERY))):
                found.update(((dpid, kind, number, row), 0.0) for number, row in _numbered(body, 4))
        return cls(found)

    def changes_to(self, later: Rules) -> list[tuple[object, ...]]:
        """What is not the same any more, or was installed anew without need."""
        kept = self.rules.keys() & later.rules.keys()
        return [*(self.rules.keys() ^ later.rules.keys()),
                *(("anew", *key) for key in kept if later.rules[key] < self.rules[key])]
