"""The database of one Open vSwitch as far as hvproxy asks for it (RFC 7047): rows, transactions, monitors.

Values are kept as tuples of atoms, sorted and each once, or as dicts; a column of one value is a tuple of one. What a
transaction changes is worked on in a copy and becomes true as a whole, with what no row refers to any more gone, as in
ovsdb-server, with which tests/system/test_emulated_database_against_ovs.py compares it. Knows no socket and no switch.
"""
from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from uuid import uuid4

NAME = "Open_vSwitch"
ROOT = "Open_vSwitch"
MANY = 1 << 32
Value = tuple[Any, ...] | dict[str, str]
Row = dict[str, Value]
Changes = dict[tuple[str, str], tuple[Row | None, Row | None]]
"""(table, UUID) -> the row before and after."""


class Column(NamedTuple):
    """What a column may hold: so many atoms of a kind; a map from strings to strings has any number of pairs."""

    atom: type
    least: int = 1
    most: int = 1
    to: str = ""
    """The table whose rows it refers to: its atoms are their UUIDs."""

    @property
    def default(self) -> Value:
        return {} if self.atom is dict else (self.atom(),) * self.least


TEXT, MAYBE_TEXT, NUMBER, TEXTS, MAP = Column(str), Column(str, 0), Column(int, 0), Column(str, 0, MANY), Column(dict)
SCHEMA: dict[str, dict[str, Column]] = {
    ROOT: {"bridges": Column(str, 0, MANY, "Bridge"), "other_config": MAP, "external_ids": MAP},
    "Bridge": {"name": TEXT, "datapath_id": MAYBE_TEXT, "ports": Column(str, 0, MANY, "Port"), "fail_mode": MAYBE_TEXT,
               "protocols": TEXTS, "other_config": MAP, "external_ids": MAP},
    "Port": {"name": TEXT, "interfaces": Column(str, 1, MANY, "Interface"), "external_ids": MAP},
    "Interface": {"name": TEXT, "type": TEXT, "options": MAP, "ofport": NUMBER, "ofport_request": NUMBER,
                  "error": MAYBE_TEXT, "admin_state": MAYBE_TEXT, "link_state": MAYBE_TEXT, "mtu": NUMBER, "bfd": MAP,
                  "bfd_status": MAP, "status": MAP, "external_ids": MAP},
}


class Refused(Exception):
    """An operation that is not carried out, and why, as a reply tells it."""

    def __init__(self, error: str, details: str, syntax: object = None) -> None:
        super().__init__(details)
        self.reply = {"error": error, "details": details}
        if syntax is not None:
            self.reply["syntax"] = json.dumps(syntax, separators=(",", ":"), sort_keys=True)


def told(column: Column, value: Value) -> object:
    """A value as RFC 7047 section 5.1 writes it."""
    if isinstance(value, dict):
        return ["map", [[key, value[key]] for key in sorted(value)]]
    atoms = [["uuid", atom] if column.to else atom for atom in value]
    return atoms[0] if len(atoms) == 1 else ["set", atoms]


class Database:
    """Rows by table and UUID, and who is told when they change."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[str, Row]] = {name: {} for name in SCHEMA}
        self.watchers: list[Callable[[Changes], None]] = []
        """Called with what every transaction has changed, before it is answered."""
        self.root = self.insert(ROOT, {})

    def insert(self, table: str, row: Row) -> str:
        """A row that is there from the beginning."""
        identifier = str(uuid4())
        self.tables[table][identifier] = {
            **{name: column.default for name, column in SCHEMA[table].items()}, **row}
        return identifier

    def change(self, table: str, identifier: str, columns: Row) -> None:
        """Give a row other values, which refer to no rows, as the switch does that it is about."""
        before = self.tables[table][identifier]
        after = {**before, **columns}
        if after != before:
            self._apply({(table, identifier): (before, after)})

    def transact(self, operations: list[Any]) -> list[object]:
        """Carry out a client's operations, all or none (RFC 7047 section 4.1.3); what became of each."""
        transaction = Transaction(self)
        results: list[object] = []
        try:
            for place, operation in enumerate(operations, 1):
                results.append(transaction.carry_out(operation, f"{place} of {len(operations)}"))
        except Refused as refusal:
            return [*results, refusal.reply, *[None] * (len(operations) - len(results) - 1)]
        try:
            self._apply(transaction.changes())
        except Refused as refusal:
            results.append(refusal.reply)
        return results

    def _apply(self, changes: Changes) -> None:
        for (table, identifier), (_, after) in changes.items():
            if after is None:
                del self.tables[table][identifier]
            else:
                self.tables[table][identifier] = after
        if changes:
            for watcher in list(self.watchers):
                watcher(changes)


class Transaction:
    """What a database may become."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._rows: dict[tuple[str, str], Row] = {}
        self._named: dict[str, str] = {}
        """The names that inserted rows have in this transaction -> their UUIDs."""

    def put(self, table: str, identifier: str, row: Row) -> None:
        self._rows[table, identifier] = row

    def row(self, table: str, identifier: str) -> Row | None:
        found = self._rows.get((table, identifier))
        return self._database.tables[table].get(identifier) if found is None else found

    def carry_out(self, operation: Mapping[str, Any], which: str) -> object:
        """One operation; its result, or Refused."""
        kinds = {"insert": self._insert, "update": self._update, "mutate": self._mutate}
        kind, table = operation.get("op"), operation.get("table")
        if kind not in kinds:
            raise _malformed(operation, f'Parsing ovsdb operation {which} failed: No operation "{kind}"')
        if table not in SCHEMA:
            raise _malformed(operation, f"Parsing ovsdb operation {which} failed: No table named {table}.")
        return kinds[kind](table, operation)

    def changes(self) -> Changes:
        """What becomes of which rows when this is true: rows that none refers to go. Raises Refused."""
        kept: dict[str, set[str]] = {table: set() for table in SCHEMA}
        ahead = [(ROOT, identifier) for identifier in self._database.tables[ROOT]]
        while ahead:
            table, identifier = ahead.pop()
            kept[table].add(identifier)
            row = self.row(table, identifier)
            assert row is not None
            for name, column in SCHEMA[table].items():
                for referred in row[name] if column.to else ():
                    if self.row(column.to, referred) is None:
                        raise Refused("referential integrity violation", f"Table {table} column {name} row {identifier}"
                                      f" references nonexistent row {referred} in table {column.to}.")
                    if referred not in kept[column.to]:
                        ahead.append((column.to, referred))
        self._check_names(kept)
        found: Changes = {}
        for table, rows in self._database.tables.items():
            for identifier, before in rows.items():
                after = self._rows.get((table, identifier), before)
                if identifier not in kept[table]:
                    found[table, identifier] = before, None
                elif after != before:
                    found[table, identifier] = before, after
        for (table, identifier), row in self._rows.items():
            if identifier in kept[table] and identifier not in self._database.tables[table]:
                found[table, identifier] = None, row
        return found

    def _check_names(self, kept: Mapping[str, set[str]]) -> None:
        for table in ("Bridge", "Port", "Interface"):
            seen: dict[object, str] = {}
            for identifier in kept[table]:
                row = self.row(table, identifier)
                assert row is not None
                (name,) = row["name"]
                if name in seen:
                    raise Refused("constraint violation", f'Transaction causes multiple rows in "{table}" table to '
                                  f'have identical values ({name}) for index on column "name".')
                seen[name] = identifier

    def _insert(self, table: str, operation: Mapping[str, Any]) -> object:
        identifier = str(uuid4())
        if "uuid-name" in operation:
            identifier = self._named.setdefault(operation["uuid-name"], identifier)
        row = {name: column.default for name, column in SCHEMA[table].items()}
        self.put(table, identifier, {**row, **self._columns(table, operation["row"])})
        return {"uuid": ["uuid", identifier]}

    def _update(self, table: str, operation: Mapping[str, Any]) -> object:
        columns = self._columns(table, operation["row"])
        return self._each(table, operation, lambda row: {**row, **columns})

    def _mutate(self, table: str, operation: Mapping[str, Any]) -> object:
        def mutated(row: Row) -> Row:
            for name, mutator, value in operation["mutations"]:
                column = _column(table, name, operation["mutations"])
                row = {**row, name: self._mutated(column, row[name], mutator, value)}
            return row
        return self._each(table, operation, mutated)

    def _mutated(self, column: Column, value: Value, mutator: str, argument: Any) -> Value:
        if mutator not in ("insert", "delete"):
            raise _malformed(mutator, f'No mutator named "{mutator}".')
        if isinstance(value, dict):
            if mutator == "insert":
                return {**self._value(column, argument), **value}  # type: ignore[dict-item]
            gone = self._value(TEXTS if argument[0] == "set" else column, argument)
            return {key: part for key, part in value.items()
                    if (gone.get(key) != part if isinstance(gone, dict) else key not in gone)}
        atoms = set(self._value(column._replace(least=0, most=MANY), argument))
        return tuple(sorted({*value} | atoms if mutator == "insert" else {*value} - atoms))

    def _each(self, table: str, operation: Mapping[str, Any], made: Callable[[Row], Row]) -> object:
        """Change the rows that an operation is about: all, or the one that has a UUID."""
        where = operation["where"]
        identifiers = list(self._database.tables[table])
        for name, function, value in where:
            if (name, function) != ("_uuid", "=="):
                raise _malformed(where, "only rows of a UUID can be chosen")
            identifiers = [self._reference(value)]
        found = [(identifier, row) for identifier in identifiers if (row := self.row(table, identifier)) is not None]
        for identifier, row in found:
            self.put(table, identifier, made(row))
        return {"count": len(found)}

    def _columns(self, table: str, row: Mapping[str, Any]) -> Row:
        return {name: self._value(_column(table, name, row), value) for name, value in row.items()}

    def _value(self, column: Column, value: Any) -> Value:
        """A value that a client has written."""
        if column.atom is dict:
            if not isinstance(value, list) or value[0] != "map":
                raise _malformed(value, "array expected" if not isinstance(value, list) else "map expected")
            return dict(value[1])
        atoms = value[1] if isinstance(value, list) and value[0] == "set" else [value]
        if not column.least <= len(atoms) <= column.most:
            raise _malformed(value, f"set must have {column.least} to {min(column.most, MANY - 1)} members but "
                             f"{len(atoms)} are present")
        read = [self._reference(atom) if column.to else atom for atom in atoms]
        if not all(type(atom) is column.atom for atom in read):
            raise _malformed(value, "expected string" if column.atom is str else "expected integer")
        return tuple(sorted(set(read)))

    def _reference(self, value: Any) -> str:
        match value:
            case ["uuid", str(identifier)]:
                return identifier
            case ["named-uuid", str(name)]:
                return self._named.setdefault(name, str(uuid4()))
        raise _malformed(value, "expected a reference to a row")


def _column(table: str, name: str, syntax: object) -> Column:
    column = SCHEMA[table].get(name)
    if column is None:
        raise Refused("unknown column", f"No column {name} in table {table}.", syntax)
    return column


def _malformed(syntax: object, details: str) -> Refused:
    return Refused("syntax error", details, syntax)


class Monitor:
    """What a client wants to know of the rows (RFC 7047 section 4.1.5)."""

    def __init__(self, database: Database, requests: Mapping[str, Any]) -> None:
        self._database = database
        self._columns: dict[str, dict[str, Column]] = {}
        for table, request in requests.items():
            if table not in SCHEMA:
                raise _malformed(requests, f"no table named {table}")
            self._columns[table] = {name: _column(table, name, request) for name in request["columns"]}

    def contents(self) -> object:
        """All there is."""
        return self.updates({(table, identifier): (None, row) for table in self._columns
                             for identifier, row in self._database.tables[table].items()})

    def updates(self, changes: Changes) -> dict[str, dict[str, object]]:
        """<table-updates>, empty when nothing of it concerns the client."""
        found: dict[str, dict[str, object]] = {}
        for (table, identifier), (before, after) in changes.items():
            columns = self._columns.get(table, {})
            changed = [name for name in columns if before is None or after is None or before[name] != after[name]]
            if not changed:
                continue
            update: dict[str, object] = {}
            if before is not None:
                update["old"] = {name: told(columns[name], before[name]) for name in changed}
            if after is not None:
                update["new"] = {name: told(column, after[name]) for name, column in columns.items()}
            found.setdefault(table, {})[identifier] = update
        return found
