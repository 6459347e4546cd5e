"""One connection to a database: it is asked to monitor, its updates are taken, its silence and its faults end it.

Pure: what came is an argument, what is to be written is left in `send`, and `closed` says why the connection is to end.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import Final

from hvproxy.errors import DatabaseError
from hvproxy.ovsdb.framing import Framer
from hvproxy.ovsdb.replica import Columns, Replica
from hvproxy.ovsdb.rpc import Message, Notification, Reply, Request, decode, encode
from hvproxy.ovsdb.transact import Operation, refusal

ANSWER: Final = 15.0
"""Seconds a database has to tell what the monitor asked for."""
PROBE: Final = 5.0
"""Seconds of silence after which it is asked for an echo, and has as long to say anything."""
_MONITOR: Final = "monitor"
_ECHO: Final = "echo"
Done = Callable[[str | None, float], None]
"""Told why a transaction was refused (None: it was carried out), and when."""


class Session:
    """The client's end."""

    def __init__(self, database: str, tables: Mapping[str, Columns], now: float) -> None:
        self.send: list[bytes] = []
        self.closed: str | None = None
        self.replica = Replica(tables)
        self.complete = False
        """The replica has all that the database holds."""
        self.changed = False
        """The replica has changed; whoever looks at it sets it back."""
        self._database = database
        self._framer = Framer()
        self._transactions: dict[int, tuple[int, Done]] = {}
        self._next_id = 1
        self._probed = False
        self._echoes = 0
        """Echoes asked for and not answered: what was under way before an answer proves life first."""
        self.deadline = now + ANSWER
        """When `tick` must be called next at the latest."""
        self._write(Request("monitor", [database, None, self.replica.requests()], _MONITOR))

    def receive(self, data: bytes, now: float) -> None:
        """Take what came."""
        if self.closed is not None:
            return
        try:
            for text in self._framer.feed(data):
                self._take(decode(text), now)
                if self.complete:
                    self._probed = False
                    self.deadline = now + PROBE
        except DatabaseError as error:
            self._close(str(error))

    def tick(self, now: float) -> None:
        """Let time pass."""
        if self.closed is not None or now < self.deadline:
            return
        if not self.complete:
            self._close(f"it has not told its contents within {ANSWER:g} s")
        elif self._probed:
            self._close(f"it was silent for {2 * PROBE:g} s")
        else:
            self._probed = True
            self._echoes += 1
            self.deadline = now + PROBE
            self._write(Request("echo", [], _ECHO))

    def transact(self, operations: Sequence[Operation], done: Done) -> None:
        """Have a transaction carried out; `done` hears of it unless the session ends before."""
        self._transactions[self._next_id] = (len(operations), done)
        self._write(Request("transact", [self._database, *operations], self._next_id))
        self._next_id += 1

    def _take(self, message: Message, now: float) -> None:
        match message:
            case Request("echo", params, identifier):
                self._write(Reply(identifier, params))
            case Request(_, _, identifier):
                self._write(Reply(identifier, None, "unknown method"))
            case Notification("update", [None, updates]) if self.complete:
                self.replica.update(updates)
                self.changed = True
            case Notification(method):
                raise DatabaseError(f"a notification that was not asked for: {method:.80}")
            case Reply(str(identifier)):
                self._answered(identifier, message)
            case Reply(int(identifier)) if identifier in self._transactions:
                operations, done = self._transactions.pop(identifier)
                done(refusal(message, operations), now)
            case _:
                raise DatabaseError("a reply to what was not asked")

    def _answered(self, identifier: str, reply: Reply) -> None:
        if identifier == _ECHO and self._echoes:
            self._echoes -= 1
            return
        if identifier != _MONITOR or self.complete:
            raise DatabaseError("a reply to what was not asked")
        if reply.error is not None:
            raise DatabaseError(f"it does not let itself be monitored: {refusal(reply, 0)}")
        self.replica.update(reply.result)
        self.complete = self.changed = True

    def _write(self, message: Message) -> None:
        self.send.append(encode(message))

    def _close(self, reason: str) -> None:
        self.closed = reason
        self.deadline = inf
