"""What the core tells its adapters to do: one value per deed, and the outbox that gathers them in order.

The core never acts. It leaves commands; the adapters carry them out in the order left. A command names connections
and listeners by numbers and keys that both sides agreed on, never by objects of Twisted.
"""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Send:
    """Write bytes to a connection; nothing happens if it is gone."""

    conn: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Close:
    """Close a connection once what was sent before is written."""

    conn: int
    reason: str


@dataclass(frozen=True, slots=True)
class Pause:
    """Stop reading a connection: its peer must wait (backpressure, nothing is dropped)."""

    conn: int


@dataclass(frozen=True, slots=True)
class Resume:
    """Read a paused connection again."""

    conn: int


@dataclass(frozen=True, slots=True)
class GoOn:
    """Call the core with no bytes of this connection when it is its turn again: it has more to do for it."""

    conn: int


@dataclass(frozen=True, slots=True)
class Log:
    """Say something to the operator."""

    level: str
    """"debug", "info", "warning" or "error"."""
    event: str
    """A constant sentence; everything that varies is in the fields."""
    fields: dict[str, object]


@dataclass(frozen=True, slots=True)
class Dial:
    """Keep a connection to an address, with back-off, until told to stop."""

    session_key: str
    address: str
    """As in the configuration: "tcp:HOST:PORT"."""


@dataclass(frozen=True, slots=True)
class StopDialing:
    """Give up a dialled connection, established or not."""

    session_key: str


@dataclass(frozen=True, slots=True)
class Listen:
    """Accept connections at an address until told to stop."""

    key: str
    address: str
    """As in the configuration: "ptcp:PORT:HOST"."""


@dataclass(frozen=True, slots=True)
class StopListening:
    """Stop accepting; connections accepted earlier stay."""

    key: str


@dataclass(frozen=True, slots=True)
class Commit:
    """Store records, all or none, and say when that is done (Hypervisor.committed). There is no next one before."""

    revision: int
    puts: Mapping[str, bytes]
    deletes: tuple[str, ...]


Command: TypeAlias = (
    Send | Close | Pause | Resume | GoOn | Log | Dial | StopDialing | Listen | StopListening | Commit)


class Outbox(list[Command]):
    """Commands in the order they must be carried out."""

    __slots__ = ()

    def send(self, conn: int, data: bytes) -> None:
        self.append(Send(conn, data))

    def close(self, conn: int, reason: str) -> None:
        self.append(Close(conn, reason))

    def pause(self, conn: int) -> None:
        self.append(Pause(conn))

    def resume(self, conn: int) -> None:
        self.append(Resume(conn))

    def go_on(self, conn: int) -> None:
        self.append(GoOn(conn))

    def log(self, level: str, event: str, **fields: object) -> None:
        self.append(Log(level, event, fields))

    def dial(self, session_key: str, address: str) -> None:
        self.append(Dial(session_key, address))

    def stop_dialing(self, session_key: str) -> None:
        self.append(StopDialing(session_key))

    def listen(self, key: str, address: str) -> None:
        self.append(Listen(key, address))

    def stop_listening(self, key: str) -> None:
        self.append(StopListening(key))

    def commit(self, revision: int, puts: Mapping[str, bytes], deletes: tuple[str, ...]) -> None:
        self.append(Commit(revision, puts, deletes))

    def drain(self) -> list[Command]:
        """Take everything out."""
        commands = list(self)
        self.clear()
        return commands
