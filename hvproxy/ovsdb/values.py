"""Columns as RFC 7047 section 5.1 writes them in JSON, read as what they are expected to be.

Each function takes whatever was decoded and returns a value of its type, or raises DatabaseError.
"""
from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

from hvproxy.errors import DatabaseError

T = TypeVar("T")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_SHOWN = 80


def text(value: Any) -> str:
    if not isinstance(value, str):
        raise _unexpected(value, "a string")
    return value


def integer(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _unexpected(value, "an integer")
    return value


def row_name(value: Any) -> str:
    """A bare UUID, as it names a row in updates."""
    if not isinstance(value, str) or not _UUID.fullmatch(value):
        raise _unexpected(value, "a UUID")
    return value


def uuid(value: Any) -> str:
    """A reference to a row."""
    match value:
        case ["uuid", name]:
            return row_name(name)
    raise _unexpected(value, "a reference to a row")


def set_of(atom: Callable[[Any], T]) -> Callable[[Any], frozenset[T]]:
    """A set; one of one element may stand as that element."""
    def read(value: Any) -> frozenset[T]:
        match value:
            case ["set", list(parts)]:
                return frozenset(map(atom, parts))
        return frozenset((atom(value),))
    return read


def optional(atom: Callable[[Any], T]) -> Callable[[Any], T | None]:
    """A set of one element or none."""
    elements = set_of(atom)

    def read(value: Any) -> T | None:
        found = elements(value)
        if len(found) > 1:
            raise _unexpected(value, "one value at most")
        return next(iter(found), None)
    return read


def texts_by_text(value: Any) -> dict[str, str]:
    """A map from strings to strings."""
    match value:
        case ["map", list(pairs)]:
            found = {}
            for pair in pairs:
                match pair:
                    case [str(key), str(part)]:
                        found[key] = part
                    case _:
                        raise _unexpected(pair, "a pair of strings")
            return found
    raise _unexpected(value, "a map")


def _unexpected(value: Any, wanted: str) -> DatabaseError:
    """Says what stands there, however large that is."""
    told = f"{value!r:.{_SHOWN}}" if isinstance(value, (str, int, float, bool)) else type(value).__name__
    return DatabaseError(f"{wanted} expected, got {told}")
