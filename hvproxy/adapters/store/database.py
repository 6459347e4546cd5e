"""The file of a SQLite store: opened, proven to be ours and whole, written in transactions that survive a power cut.

Blocks; sqlite.py calls it in a thread. Nothing that is not ours or not whole is ever written to. After any failure the
file is opened and checked anew before the next try, for nobody knows what the failure has left.
"""
from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path
from urllib.parse import quote

from hvproxy.errors import StoreError, StoreHeld

APPLICATION = int.from_bytes(b"hvpx", "big")
"""What SQLite's header says whose file it is."""
FORMAT = 1
"""The version of what is in the tables. The records have versions of their own."""
BUSY = 1.0
"""Seconds to wait for another program that has the file locked, such as a backup."""
_KEEP = "keep this file, and put back a copy of it that was made before, or start with another path"
_WHY = {
    "SQLITE_FULL": "the disk is full",
    "SQLITE_READONLY": "it is read-only",
    "SQLITE_CORRUPT": "it is damaged",
    "SQLITE_NOTADB": "it is no SQLite database, or damaged",
    "SQLITE_BUSY": "another program has locked it",
    "SQLITE_LOCKED": "another program has locked it",
    "SQLITE_CANTOPEN": "it cannot be opened",
    "SQLITE_IOERR": "the disk cannot be read or written",
}
"""Primary error codes of SQLite in an operator's words."""
_TABLES = """
BEGIN IMMEDIATE;
CREATE TABLE record (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE state (revision INTEGER NOT NULL, identity BLOB NOT NULL);
INSERT INTO state VALUES (0, randomblob(16));
PRAGMA application_id = %d;
PRAGMA user_version = %d;
COMMIT;
""" % (APPLICATION, FORMAT)

Batch = tuple[Mapping[str, bytes], tuple[str, ...]]
"""Records to be put, keys to be deleted."""


class Database:
    """One file, whether it can be used at the moment or not."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._locked: int | None = None
        """The file as a descriptor that holds the lock. The kernel frees it when the process ends in any way."""
        self._connection: sqlite3.Connection | None = None
        self._known: tuple[int, bytes] | None = None
        """Revision and identity when it was last seen well."""

    def lock(self) -> None:
        """Make the file if there is none, and have it alone. Raises StoreError, StoreHeld."""
        if self._locked is not None:
            return
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(f"{self._path}: cannot be opened: {error.strerror}") from error
        try:
            flock(descriptor, LOCK_EX | LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            if isinstance(error, BlockingIOError):
                raise StoreHeld(f"{self._path}: another hvproxy works with it; stop that one, or configure another "
                                "store for this one") from error
            raise StoreError(f"{self._path}: cannot be locked: {error.strerror}") from error
        self._locked = descriptor

    def load(self, prefix: str) -> tuple[int, dict[str, bytes]]:
        """The revision, and the records whose keys begin with `prefix`. Raises StoreError."""
        with self._opened() as connection:
            connection.execute("BEGIN")
            (revision,), = connection.execute("SELECT revision FROM state")
            records = dict(connection.execute(
                "SELECT key, value FROM record WHERE substr(key, 1, length(?1)) = ?1", (prefix,)))
            connection.execute("COMMIT")
        return revision, records

    def commit(self, batches: Sequence[Batch]) -> int:
        """Store them in one transaction; the revision of the last. Raises StoreError."""
        with self._opened() as connection:
            assert self._known is not None
            revision, identity = self._known[0] + len(batches), self._known[1]
            connection.execute("BEGIN IMMEDIATE")
            for puts, deletes in batches:
                connection.executemany("INSERT OR REPLACE INTO record VALUES (?, ?)", puts.items())
                connection.executemany("DELETE FROM record WHERE key = ?", ((key,) for key in deletes))
            connection.execute("UPDATE state SET revision = ?", (revision,))
            connection.execute("COMMIT")
            self._known = revision, identity
        return revision

    def close(self) -> None:
        """Let go of the file, then of the lock: closing any descriptor of a file loses SQLite's own locks on it."""
        self._forget()
        if self._locked is not None:
            os.close(self._locked)
            self._locked = None

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        """The connection; whatever goes wrong with it is told as StoreError, and it is given up."""
        if self._locked is None:
            raise StoreError(f"{self._path}: the lease is not held")
        try:
            self._see_that_it_is_there()
            if self._connection is None:
                self._connection = self._open()
            yield self._connection
        except BaseException as error:
            self._forget()
            if isinstance(error, sqlite3.Error):
                raise StoreError(f"{self._path}: {_reason(error)}") from error
            raise

    def _see_that_it_is_there(self) -> None:
        """SQLite would go on writing to a file that has no name any more."""
        assert self._locked is not None
        try:
            same = os.path.samestat(os.stat(self._path), os.fstat(self._locked))
        except OSError as error:
            raise StoreError(f"{self._path}: {error.strerror}; put the file back") from error
        if not same:
            raise StoreError(f"{self._path}: another file is in its place; put the first one back")

    def _open(self) -> sqlite3.Connection:
        """Raises StoreError, sqlite3.Error."""
        with closing(self._connect("ro")) as connection:  # closing one that may write would write what is in the log
            new = self._prove(connection)
        connection = self._connect("rw")
        try:
            self._prepare(connection, new)
        except BaseException:
            connection.close()
            raise
        return connection

    def _connect(self, mode: str) -> sqlite3.Connection:
        # The worker's thread uses it, whichever that is.
        return sqlite3.connect(f"file:{quote(str(self._path))}?mode={mode}", uri=True, timeout=BUSY,
                               isolation_level=None, check_same_thread=False)

    def _prove(self, connection: sqlite3.Connection) -> bool:
        """Whether nothing is in it yet; what is, is proven to be ours, known and whole."""
        application, = connection.execute("PRAGMA application_id").fetchone()
        version, = connection.execute("PRAGMA user_version").fetchone()
        tables, = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if (application, version, tables) == (0, 0, 0):
            if self._known is not None:
                raise StoreError(f"{self._path}: it has been emptied; put its contents back")
            return True
        if application != APPLICATION:
            raise StoreError(f"{self._path}: not a database of hvproxy; it is left as it is")
        if version > FORMAT:
            raise StoreError(f"{self._path}: written by a newer hvproxy: its format is {version}, and this one knows "
                             f"those up to {FORMAT}; run the newer one")
        found, = connection.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise StoreError(f"{self._path}: it is damaged ({' '.join(found.split())}); {_KEEP}")
        return False

    def _prepare(self, connection: sqlite3.Connection, new: bool) -> None:
        mode, = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise StoreError(f"{self._path}: no write-ahead log can be kept beside it; is that a local disk?")
        connection.execute("PRAGMA synchronous = FULL")
        if new:
            with closing(connection.cursor()) as cursor:
                cursor.executescript(_TABLES)
        revision, identity = connection.execute("SELECT revision, identity FROM state").fetchone()
        if self._known is not None:
            if identity != self._known[1]:
                raise StoreError(f"{self._path}: another database is in its place; put the first one back")
            if revision < self._known[0]:
                raise StoreError(f"{self._path}: changes that were stored are missing; put the file back that had them")
            # What a failed try has left in the log may be in the page cache only, and later frames are worth nothing
            # without it: it is written to the file itself.
            busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if busy:
                raise StoreError(f"{self._path}: {_WHY['SQLITE_BUSY']}")
        self._known = revision, identity

    def _forget(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except sqlite3.Error:
                pass  # what made it fail has been told, and what it held is checked when it is opened again


def _reason(error: sqlite3.Error) -> str:
    name = str(getattr(error, "sqlite_errorname", ""))
    why = next((words for code, words in _WHY.items() if name.startswith(code)), None)
    if why is None:
        return str(error)
    remedy = f"; {_KEEP}" if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")) else ""
    return f"{why} ({error}){remedy}"
