"""Cuts a byte stream into the texts of JSON objects (RFC 7047 section 4 puts nothing between them).

Keeps at most one unfinished object, which may be neither large nor deeply nested. Looks at strings and brackets only:
whether the text is JSON is for rpc to find out.
"""
from __future__ import annotations

import re
from typing import Final

from hvproxy.errors import DatabaseError

MAX_MESSAGE: Final = 4 * 1024 * 1024
"""Bytes: what is monitored of some 10 000 interfaces."""
MAX_DEPTH: Final = 24
"""RFC 7047's deepest message is a reply with maps in rows of tables: 9."""
MAX_PARTS: Final = 250_000
"""Objects and lists in a message, which cost more to decode than their bytes say."""
_QUOTE, _BACKSLASH, _OPENING = b'"'[0], b"\\"[0], b"[{"
# Possessive: what was passed over is never looked at again.
_TO_BRACKET_OR_STRING = re.compile(rb'[^"\[\]{}]*+')
_IN_STRING = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
_SPACE = re.compile(rb"[ \t\r\n]*+")


class Framer:
    """The receiving end of one stream."""

    __slots__ = ("_partial", "_at", "_depth", "_parts", "_in_string")

    def __init__(self) -> None:
        self._partial = bytearray()
        self._at = 0
        """How far it was looked through."""
        self._depth = 0
        self._parts = 0
        self._in_string = False

    def feed(self, data: bytes) -> list[bytes]:
        """Take what came; return the objects it completes, in order. Raises DatabaseError."""
        self._partial += data
        buffer, texts, start = self._partial, [], 0
        while (end := self._object_end(start)) is not None:
            _check_size(end - start)
            texts.append(bytes(buffer[start:end]))
            start = end
        if start:
            del buffer[:start]
            self._at -= start
        _check_size(len(buffer))
        return texts

    def _object_end(self, start: int) -> int | None:
        """Where the object ends that begins at `start`, space before it included; None when it has not ended."""
        buffer, at, size = self._partial, self._at, len(self._partial)
        if not self._depth:
            found = _SPACE.match(buffer, at)
            at = size if found is None else found.end()
            if at < size:
                if buffer[at] != _OPENING[1]:
                    raise DatabaseError("it does not send JSON objects")
                self._depth = self._parts = 1
                at += 1
        while at < size:
            found = (_IN_STRING if self._in_string else _TO_BRACKET_OR_STRING).match(buffer, at)
            assert found is not None  # both match nothing at all, too
            at = found.end()
            if at == size or buffer[at] == _BACKSLASH and self._in_string:
                break
            if buffer[at] == _QUOTE:
                self._in_string = not self._in_string
            elif buffer[at] in _OPENING:
                self._depth += 1
                self._parts += 1
                if self._depth > MAX_DEPTH:
                    raise DatabaseError(f"a message is nested more than {MAX_DEPTH} levels deep")
                if self._parts > MAX_PARTS:
                    raise DatabaseError(f"a message has more than {MAX_PARTS} objects and lists")
            else:
                self._depth -= 1
                if not self._depth:
                    self._at = at + 1
                    return at + 1
            at += 1
        self._at = at
        return None


def _check_size(size: int) -> None:
    if size > MAX_MESSAGE:
        raise DatabaseError(f"a message is larger than {MAX_MESSAGE // 2**20} MiB")
