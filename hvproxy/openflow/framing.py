"""Cuts a byte stream into OpenFlow messages, of any version, by the length in each header.

Keeps at most one unfinished message, which a 16-bit length holds below 64 KiB. Looks at nothing but that length:
whether a message makes sense is the guard's business.
"""
from __future__ import annotations

from struct import Struct
from typing import Final

from hvproxy.errors import MalformedMessage
from hvproxy.openflow.constants import HEADER_SIZE

_LENGTH: Final = Struct("!2xH").unpack_from
_LENGTH_END: Final = 4
"""Bytes needed to read the length."""


class Framer:
    """The receiving end of one stream."""

    __slots__ = ("_partial", "_needed")

    def __init__(self) -> None:
        # A bytearray grows in place: a peer that sends byte by byte costs no copy of the message for each.
        self._partial = bytearray()
        self._needed = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Take what came from the peer; return the messages it completes, in order.

        Raises MalformedMessage on a length below that of the header; messages completed before it in the same data
        are returned first, and the next call raises.
        """
        if self._partial:
            self._partial += data
            if len(self._partial) < self._needed:
                return []
            data = bytes(self._partial)
        messages: list[bytes] = []
        at, end, length = 0, len(data), _LENGTH_END
        while end - at >= _LENGTH_END:
            length = _LENGTH(data, at)[0]
            if length < HEADER_SIZE:
                if not messages:
                    raise MalformedMessage(f"header says a length of {length}")
                length = 0
                break
            if end - at < length:
                break
            messages.append(data[at:at + length])
            at += length
            length = _LENGTH_END
        self._partial = bytearray(data[at:])
        self._needed = length
        return messages

    @property
    def start(self) -> bytes:
        """What has come of the header of the unfinished message, to tell OpenFlow from other protocols early."""
        return bytes(self._partial[:HEADER_SIZE])
