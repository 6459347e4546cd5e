"""The bytes of one OpenFlow connection, cut into messages.

A switch asks by ECHO_REQUEST whether its controller lives, and gives up one that does not answer. A connection may be
held by a fixture while its tests wait for their turn (see conftest.py), so whoever waits there calls `answer_echoes`.
"""
from __future__ import annotations

import select
import socket
from struct import Struct
from weakref import WeakSet

HEADER = Struct("!BBHI")
ECHO_REQUEST, ECHO_REPLY = 2, 3


class Connection:
    """Messages out and in; echo requests are answered and left out."""

    def __init__(self, made: socket.socket, patience: float) -> None:
        """`patience` is how long a message is waited for, in seconds."""
        self._socket = made
        self._socket.settimeout(patience)
        self._buffer = b""
        _open.add(self)

    def close(self) -> None:
        _open.discard(self)
        self._socket.close()

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def message(self) -> bytes:
        """The next message. Raises ConnectionError at the end, and TimeoutError."""
        while (found := self._taken()) is None:
            self._hear()
        return found

    def answer_echoes(self) -> None:
        """Answer what the switch has asked by now; all else that has come is kept, and whoever reads next is told of
        the end."""
        kept = b""
        try:
            while select.select([self._socket], [], [], 0)[0]:
                self._hear()
                while (found := self._taken()) is not None:
                    kept += found
        except ConnectionError:
            pass
        finally:
            self._buffer = kept + self._buffer

    def _hear(self) -> None:
        chunk = self._socket.recv(65536)
        if not chunk:
            raise ConnectionError("the switch closed the connection")
        self._buffer += chunk

    def _taken(self) -> bytes | None:
        """The first message that is there as a whole."""
        while len(self._buffer) >= HEADER.size:
            _, kind, length, xid = HEADER.unpack_from(self._buffer)
            if len(self._buffer) < length:
                break
            message, self._buffer = self._buffer[:length], self._buffer[length:]
            if kind != ECHO_REQUEST:
                return message
            self.send(HEADER.pack(4, ECHO_REPLY, length, xid) + message[HEADER.size:])
        return None


_open: WeakSet[Connection] = WeakSet()


def answer_echoes() -> None:
    """Answer the switches of all connections that are open."""
    for each in list(_open):
        each.answer_echoes()
