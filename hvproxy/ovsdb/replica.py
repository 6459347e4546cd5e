"""The rows a database has told: what a monitor asked for, kept current by its updates (RFC 7047 section 4.1.6).

An update that contradicts what was told before is refused: a replica that is wrong in one place is trusted in none.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

import msgspec

from hvproxy.errors import DatabaseError
from hvproxy.ovsdb.values import row_name

Columns: TypeAlias = Mapping[str, Callable[[Any], object]]
"""The columns wanted of a table, and how each is read."""
Row: TypeAlias = Mapping[str, Any]
"""Column -> what its reader made of it."""

MAX_SIZE: Final = 16 * 1024 * 1024
"""Bytes of all rows as JSON: no database may fill the memory, however small its updates."""


class Replica:
    """Tables of rows by UUID."""

    def __init__(self, tables: Mapping[str, Columns]) -> None:
        self.tables: dict[str, dict[str, Row]] = {name: {} for name in tables}
        self.rows = 0
        """How many there are in all tables."""
        self._columns = tables
        self._sizes: dict[tuple[str, str], int] = {}
        self._size = 0

    def requests(self) -> dict[str, object]:
        """What to ask of a monitor."""
        return {name: {"columns": sorted(columns)} for name, columns in self._columns.items()}

    def update(self, tables: object) -> None:
        """Take <table-updates>. Raises DatabaseError; then the replica is good for nothing."""
        for name, rows in _object(tables, "table updates").items():
            if name not in self.tables:
                raise DatabaseError(f"an update of table {name:.80}, which was not asked for")
            for uuid, change in _object(rows, "a table update").items():
                self._update(name, row_name(uuid), _object(change, "a row update"))
        self.rows = sum(map(len, self.tables.values()))

    def _update(self, table: str, uuid: str, change: dict[str, Any]) -> None:
        if not change.keys() <= {"old", "new"} or not change:
            raise DatabaseError(f"an update of a row of {table} that says neither old nor new")
        rows = self.tables[table]
        if (uuid in rows) != ("old" in change):
            was = "known already" if uuid in rows else "not known"
            raise DatabaseError(f"an update of a row of {table} that is {was}: {uuid}")
        self._size -= self._sizes.pop((table, uuid), 0)
        if "new" not in change:
            del rows[uuid]
            return
        new = _object(change["new"], "a row")
        columns = self._columns[table]
        if new.keys() != columns.keys():
            raise DatabaseError(f"a row of {table} with other columns than those asked for: {uuid}")
        size = self._sizes[table, uuid] = len(msgspec.json.encode(new))
        self._size += size
        if self._size > MAX_SIZE:
            raise DatabaseError(f"it holds more than {MAX_SIZE // 2**20} MiB of what was asked for")
        try:
            rows[uuid] = {name: read(new[name]) for name, read in columns.items()}
        except DatabaseError as error:
            raise DatabaseError(f"table {table}, row {uuid}: {error}") from error


def _object(value: object, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise DatabaseError(f"{what} expected, got {type(value).__name__}")
    return value
