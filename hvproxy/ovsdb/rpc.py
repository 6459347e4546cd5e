"""JSON-RPC 1.0 as RFC 7047 section 4 uses it: requests, notifications and replies as values and as bytes.

The objects' own keys are checked here; what params and results hold is the business of those who asked.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import msgspec

from hvproxy.errors import DatabaseError

_KEYS = frozenset(("method", "params", "id", "result", "error"))


@dataclass(frozen=True, slots=True)
class Request:
    """To be answered with a reply of the same id."""

    method: str
    params: list[Any]
    id: object


@dataclass(frozen=True, slots=True)
class Notification:
    """To be answered with nothing."""

    method: str
    params: list[Any]


@dataclass(frozen=True, slots=True)
class Reply:
    """What a request came to: `error` is None when it succeeded."""

    id: object
    result: Any
    error: Any = None


Message: TypeAlias = Request | Notification | Reply


def decode(text: bytes) -> Message:
    """Read one object. Raises DatabaseError."""
    try:
        found = msgspec.json.decode(text)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise DatabaseError(f"not JSON: {error}") from error
    if not isinstance(found, dict) or not found.keys() <= _KEYS:
        raise DatabaseError("neither a request nor a reply")
    if "method" in found:
        method, params = found["method"], found.get("params")
        if not isinstance(method, str) or not isinstance(params, list) or "result" in found or "error" in found:
            raise DatabaseError("a request that is none")
        return Notification(method, params) if found.get("id") is None else Request(method, params, found["id"])
    if found.get("id") is None or "params" in found or "result" not in found and found.get("error") is None:
        raise DatabaseError("a reply that is none")
    return Reply(found["id"], found.get("result"), found.get("error"))


def encode(message: Message) -> bytes:
    """One object, as decode reads it."""
    match message:
        case Request(method, params, identifier):
            return msgspec.json.encode({"method": method, "params": params, "id": identifier})
        case Notification(method, params):
            return msgspec.json.encode({"method": method, "params": params, "id": None})
        case Reply(identifier, result, error):
            return msgspec.json.encode({"id": identifier, "result": result, "error": error})
