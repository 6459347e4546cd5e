"""Many messages at a switch, pipelined, and its answers in a form in which two switches' can be compared.

Every message of a case has an xid of its own, so what comes is told apart; what a switch may choose (addresses, names,
times, how much traffic has passed) is left out of the answers, all else must be the same, byte for byte.
"""
from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from threading import Event, Thread

from tests.system.pair import Side
from tests.system.sweep.requests import BARRIER, BASE, HARDWARE, MULTIPART_REPLY, PORTS, wire

TOGETHER = 50
"""Cases sent before their answers are read."""
VERSION, ERROR, FEATURES_REPLY = 4, 1, 6
GIVEN_UP = bytes.fromhex("ffff0a504f4e4600")
"""The error for a request in parts, of which the next has not come for a second: it may come at any time."""
PLACEHOLDER = HARDWARE.to_bytes(6, "big")
Answer = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Case:
    """A message, what is asked after it, and what undoes it."""

    name: str
    message: bytes
    after: tuple[bytes, ...] = ()
    undo: tuple[bytes, ...] = ()


@contextmanager
def awake(sides: Iterable[Side]) -> Iterator[None]:
    """Inside, the connections that the switches made are read, or they would be taken for dead."""
    over = Event()

    def read() -> None:
        while not over.wait(1):
            for side in sides:
                side.primary.exchange([])
                side.primary.news.clear()

    reader = Thread(target=read)
    reader.start()
    try:
        yield
    finally:
        over.set()
        reader.join()


class Asker:
    """One connection to a switch, made again if the switch ends it."""

    def __init__(self, side: Side) -> None:
        self._side = side
        self._client = side.service()
        self._address = b""
        self._prepare()

    def ask(self, cases: Sequence[Case]) -> list[tuple[Answer, ...] | None]:
        """What was answered to each case, in that order, barriers with it; None where the connection ended.

        Messages of another version are asked by themselves: Open vSwitch does not refuse them while it has anything
        else to say that the connection does not take.
        """
        found: list[tuple[Answer, ...] | None] = []
        for _, group in groupby(cases, lambda case: case.message[0] == VERSION):
            some = list(group)
            for start in range(0, len(some), TOGETHER):
                found += self._together(some[start:start + TOGETHER])
        return found

    def close(self) -> None:
        self._client.close()

    def _prepare(self) -> None:
        ports = b"".join(message[16:] for message in self._client.exchange([PORTS])[0])
        self._address = next(ports[at + 8:at + 14] for at in range(0, len(ports), 64)
                             if ports[at:at + 4] == b"\0\0\0\1")
        errors = [message for answers in self._client.exchange(BASE) for message in answers if message[1] == ERROR]
        assert not errors, errors

    def _together(self, cases: Sequence[Case]) -> list[tuple[Answer, ...] | None]:
        try:
            answers = self._client.exchange([message for case in cases for message in self._messages(case)])
        except (ConnectionError, socket.timeout):
            self._client.close()
            self._client = self._side.service()
            self._prepare()
            if len(cases) == 1:
                return [None]
            middle = len(cases) // 2
            return self._together(cases[:middle]) + self._together(cases[middle:])
        found: list[tuple[Answer, ...] | None] = []
        at = 0
        for case in cases:
            asked = 2 + len(case.after)
            found.append(tuple(comparable(message.replace(self._address, PLACEHOLDER))
                               for each in answers[at:at + asked] for message in each
                               if message[8:16] != GIVEN_UP and not _goes_on(message)))
            at += asked + len(case.undo)
        return found

    def _messages(self, case: Case) -> list[bytes]:
        return [message.replace(PLACEHOLDER, self._address)
                for message in (case.message, wire(BARRIER), *case.after, *case.undo)]


def _goes_on(message: bytes) -> bool:
    """It is a part of table features, of which each switch has its own, and not the last."""
    return message[1] == MULTIPART_REPLY and message[8:10] == b"\0\x0c" and bool(message[11] & 1)


def comparable(message: bytes) -> Answer:
    """An answer without xid, and without what a switch may choose."""
    version, kind = message[:2]
    body = message[8:]
    if kind == MULTIPART_REPLY:
        return (version, "multipart", int.from_bytes(body[:2], "big"), body[2:4].hex(),
                *_statistics(int.from_bytes(body[:2], "big"), body[8:]))
    if kind == FEATURES_REPLY:
        return version, "features", body[:12].hex(), body[13:].hex()
    if kind == ERROR:
        return version, "error", int.from_bytes(body[:2], "big"), int.from_bytes(body[2:4], "big"), body[4:].hex()
    return version, kind, body.hex()


def _statistics(kind: int, body: bytes) -> Iterable[object]:
    match kind:
        case 0:
            return ()
        case 1:
            return _without(body, 0, 4, 12)
        case 3:
            return tuple(body[at:at + 8].hex() for at in range(0, min(len(body), 24 * 240), 24))
        case 4:
            return tuple(sorted(body[at:at + 4].hex() for at in range(0, len(body), 112)))
        case 6:
            return _without(body, 0, 32, 40)
        case 7 | 10:
            return _without(body, 0, 0, 0)
        case 9:
            return _without(body, 4, 32, 40)
        case 12:
            return ()
        case 8:
            return (body[:4].hex(),)
        case 13:
            return tuple(sorted(body[at:at + 4].hex() + " " + body[at + 32:at + 36].hex()
                                for at in range(0, len(body), 64)))
    return (body.hex(),)


def _without(body: bytes, length_at: int, start: int, end: int) -> tuple[str, ...]:
    """Records that say their length, without some bytes of each, in an order of our own."""
    found = []
    while body:
        length = int.from_bytes(body[length_at:length_at + 2], "big")
        found.append((body[:start] + body[end:length]).hex())
        body = body[length:]
    return tuple(sorted(found))
