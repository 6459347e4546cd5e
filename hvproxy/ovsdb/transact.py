"""Operations that change a database (RFC 7047 section 5.2), and what its reply says became of them.

Operations are plain objects, ready for JSON. A transaction is carried out whole or not at all.
"""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from hvproxy.ovsdb.rpc import Reply

Operation: TypeAlias = dict[str, object]


def update(table: str, uuid: str, columns: Mapping[str, object]) -> Operation:
    """Give columns of one row other values."""
    return {"op": "update", "table": table, "where": _row(uuid), "row": dict(columns)}


def insert(table: str, name: str, columns: Mapping[str, object]) -> Operation:
    """Add a row, which later operations of the transaction refer to as ["named-uuid", name]."""
    return {"op": "insert", "table": table, "uuid-name": name, "row": dict(columns)}


def insert_into(table: str, uuid: str, column: str, value: object) -> Operation:
    """Add to a set or map of one row; a key that a map has keeps its value."""
    return {"op": "mutate", "table": table, "where": _row(uuid), "mutations": [[column, "insert", value]]}


def delete_from(table: str, uuid: str, column: str, value: object) -> Operation:
    """Take elements from a set, or keys from a map, of one row."""
    return {"op": "mutate", "table": table, "where": _row(uuid), "mutations": [[column, "delete", value]]}


def set_key(table: str, uuid: str, column: str, key: str, value: str) -> list[Operation]:
    """Give one key of a map a value, whatever it had."""
    return [delete_from(table, uuid, column, ["set", [key]]), insert_into(table, uuid, column, ["map", [[key, value]]])]


def refusal(reply: Reply, operations: int) -> str | None:
    """Why a transaction of so many operations was not carried out; None when it was, on a row for each."""
    if reply.error is not None:
        return _error(reply.error)
    if not isinstance(reply.result, list):
        return "its reply is not a list"
    for result in reply.result:
        if isinstance(result, dict) and "error" in result:
            return _error(result)
    # Operations behind one that failed have no result (null); a commit that failed adds one.
    if len(reply.result) != operations or not all(isinstance(result, dict) for result in reply.result):
        return "its reply has not a result for each operation"
    if any(result.get("count") == 0 for result in reply.result):
        return "the row is gone"
    return None


def _row(uuid: str) -> list[object]:
    return [["_uuid", "==", ["uuid", uuid]]]


def _error(error: Any) -> str:
    if isinstance(error, dict):
        error = ": ".join(str(error[key])[:200] for key in ("error", "details") if error.get(key) is not None)
    return str(error)[:400] if isinstance(error, str) else "an error that is none"
