"""A tenant's controller, which sends operations without waiting and knows what barriers have confirmed."""
from __future__ import annotations

import socket
import threading
from collections import Counter
from struct import Struct, pack

from tests.crash.operations import Operation
from tests.oracle.operations import Step
from tools.emulator import wire

HEADER = Struct("!BBHI")
FLOW_REMOVED = 11
REFUSED = pack("!HH", wire.BAD_REQUEST, wire.BRC_EPERM)
"""What a barrier is answered with whose promise cannot be given."""
MOST_AHEAD = 60
"""Operations that may be on their way unconfirmed."""


class Line:
    """One session, from its beginning until hvproxy is killed or it is closed."""

    def __init__(self, connection: socket.socket, addresses: dict[int, bytes]) -> None:
        self.sent: list[Operation] = []
        """In order; the last may have been sent in part."""
        self.confirmed = 0
        """How many of them are promised."""
        self.refusals = 0
        """Barriers that were refused since one was not."""
        self.refused = 0
        """Barriers that were refused."""
        self.wrong: list[bytes] = []
        """Errors that barriers were answered with and that say something else."""
        self.errors: dict[int, bytes] = {}
        """Operation -> type and code of the last error that it was answered with."""
        self.answered = 0
        """Barriers answered either way."""
        self.removed: Counter[int] = Counter()
        """Cookie -> how often it was told that its entry is gone."""
        self._socket = connection
        self._addresses = addresses
        self._barriers: dict[int, int] = {}
        self._xid = 0
        self._of: dict[int, int] = {}
        """The xid of each message -> its operation."""
        self._writing = threading.Lock()
        self._news = threading.Condition()
        self._over = False
        self._socket.settimeout(None)
        self._socket.sendall(HEADER.pack(4, wire.HELLO, 8, 0))
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def send(self, operation: Operation, barrier: bool) -> bool:
        """Send it, and perhaps a barrier; whether the session goes on."""
        with self._news:
            self._news.wait_for(lambda: self._over or len(self.sent) - self.confirmed < MOST_AHEAD or self.refusals)
            if self._over:
                return False
            self.sent.append(operation)
        return self._write(b"".join(self._message(kind, body) for kind, body in operation.on(self._addresses))
                           + (self._barrier() if barrier else b""))

    def settle(self, seconds: float) -> bool:
        """Wait until a barrier behind all that was sent is answered; whether all is promised."""
        with self._news:  # an answer that comes between these two would be counted on neither side
            others = self.answered + len(self._barriers)
        self._write(self._barrier())
        with self._news:
            self._news.wait_for(lambda: self._over or self.answered > others, seconds)
        return self.confirmed == len(self.sent)

    def end(self) -> None:
        """Take what hvproxy has said before it was killed, and end the session."""
        self._reader.join(0.5)
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the other side has ended it
        self._reader.join()
        self._socket.close()

    def _barrier(self) -> bytes:
        self._xid += 1
        self._barriers[self._xid] = len(self.sent)
        return HEADER.pack(4, wire.BARRIER_REQUEST, 8, self._xid)

    def _message(self, kind: int, body: bytes) -> bytes:
        self._xid += 1
        self._of[self._xid] = len(self.sent) - 1
        return HEADER.pack(4, kind, 8 + len(body), self._xid) + Step("", kind, body).message(self._xid)

    def _write(self, messages: bytes) -> bool:
        try:
            with self._writing:
                self._socket.sendall(messages)
        except OSError:
            self._end()
        return not self._over

    def _end(self) -> None:
        with self._news:
            self._over = True
            self._news.notify_all()

    def _read(self) -> None:
        buffer = b""
        while True:
            try:
                chunk = self._socket.recv(65536)
            except OSError:
                chunk = b""
            if not chunk:
                self._end()
                return
            buffer += chunk
            while len(buffer) >= 8 and len(buffer) >= (length := int.from_bytes(buffer[2:4], "big")):
                self._message_came(buffer[:length])
                buffer = buffer[length:]

    def _message_came(self, message: bytes) -> None:
        _, kind, length, xid = HEADER.unpack_from(message)
        if kind == wire.ECHO_REQUEST:
            self._write(HEADER.pack(4, wire.ECHO_REPLY, length, xid) + message[8:])
        elif kind == FLOW_REMOVED:
            self.removed[int.from_bytes(message[8:16], "big")] += 1
        elif kind == wire.ERROR and xid in self._of:
            self.errors[self._of[xid]] = message[8:12]
        elif kind in (wire.BARRIER_REPLY, wire.ERROR) and xid in self._barriers:
            with self._news:
                upto = self._barriers.pop(xid)
                self.answered += 1
                if kind == wire.BARRIER_REPLY:
                    self.confirmed, self.refusals = upto, 0
                else:
                    self.refusals += 1
                    self.refused += 1
                    self.wrong += [message] if message[8:12] != REFUSED else []
                self._news.notify_all()
