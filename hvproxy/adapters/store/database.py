"""The file of a SQLite store: opened, proven to be ours and whole, written in transactions that survive a power cut.

Blocks; sqlite.py calls it in a thread. Nothing that is not ours or not whole is ever written to. After any failure, and
when somebody else has written to the file, it is opened and checked anew before the next try, for nobody knows what
that has left.

All that is stored is in memory too. When the file is found damaged, gone or replaced, one with what is in memory takes
its place, and what stood there is kept under another name. Not so at the start, when memory has nothing: see load.
"""
from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from fcntl import LOCK_EX, LOCK_NB, flock
from itertools import count
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
_DAMAGED = ("SQLITE_CORRUPT", "SQLITE_NOTADB")
_BESIDE = ("-wal", "-shm")
"""What SQLite keeps beside a file while it is open."""
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
Looks = tuple[tuple[int, int, int] | None, ...]
"""What tells the file and its log from what others make of them: which file each is, its size and time; None: none."""


class StoreLost(StoreError):
    """What was committed is not where it was."""


@dataclass(frozen=True, slots=True)
class Renewal:
    """The file was written anew from memory."""

    why: str
    kept: Path | None
    """What stood there, under its new name, with its log beside it."""


class Database:
    """One file, whether it can be used at the moment or not."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._locked: int | None = None
        """The file as a descriptor that holds the lock. The kernel frees it when the process ends in any way."""
        self._connection: sqlite3.Connection | None = None
        self._known: tuple[int, bytes] | None = None
        """Revision and identity when it was last seen well."""
        self._copy = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        """All that is stored, once there is something `_known`."""
        self._left: Looks = ()
        """How the last transaction left it."""
        self.renewals: list[Renewal] = []
        """What was done besides what was asked for; whoever tells it takes it out."""

    def lock(self) -> None:
        """Make the file if there is none, and have it alone. Raises StoreError, StoreHeld."""
        if self._locked is None:
            self._path = Path(os.path.realpath(self._path))
            self._locked = _locked(self._path, os.O_CREAT)

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
        """Store them in one transaction; the revision of the last. Without any, see that all is there that was stored.
        Raises StoreError."""
        try:
            with self._opened() as connection:
                if batches:
                    self._write(connection, batches)
        except StoreLost as lost:
            self._renew(batches, str(lost))
        assert self._known is not None
        if batches:
            self._write(self._copy, batches)
            self._known = self._known[0] + len(batches), self._known[1]
        return self._known[0]

    def _write(self, connection: sqlite3.Connection, batches: Sequence[Batch]) -> None:
        assert self._known is not None
        connection.execute("BEGIN IMMEDIATE")
        for puts, deletes in batches:
            connection.executemany("INSERT OR REPLACE INTO record VALUES (?, ?)", puts.items())
            connection.executemany("DELETE FROM record WHERE key = ?", ((key,) for key in deletes))
        connection.execute("UPDATE state SET revision = ?", (self._known[0] + len(batches),))
        connection.execute("COMMIT")

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
            if self._connection is not None and self._looks() != self._left:
                self._forget()  # SQLite would not see what others have written before it reads that, if it ever does
            if self._connection is None:
                self._connection = self._open()
            yield self._connection
            self._left = self._looks()
        except BaseException as error:
            self._forget()
            if isinstance(error, sqlite3.Error):
                if _name(error).startswith(_DAMAGED):
                    raise self._fault(_reason(error), f"; {_KEEP}") from error
                raise StoreError(f"{self._path}: {_reason(error)}") from error
            raise

    def _see_that_it_is_there(self) -> None:
        """SQLite would go on writing to a file that has no name any more."""
        assert self._locked is not None
        try:
            same = os.path.samestat(os.stat(self._path), os.fstat(self._locked))
        except FileNotFoundError as error:
            raise self._fault("it is gone") from error
        except OSError as error:
            raise StoreError(f"{self._path}: {error.strerror}") from error
        if not same:
            raise self._fault("another file is in its place")

    def _looks(self) -> Looks:
        return _look(self._path), _look(_beside(self._path, "-wal"))

    def _fault(self, what: str, remedy: str = "") -> StoreError:
        """What is wrong with the file; `remedy` is for its operator while nothing is known here."""
        said = f"{self._path}: {what}"
        return StoreError(said + remedy) if self._known is None else StoreLost(said)

    def _renew(self, batches: Sequence[Batch], why: str) -> None:
        """Put a file with all that is known and these batches where the lost one was. Raises StoreError.

        At every moment there is a whole file there, or the one that is damaged: never none, which a restart would take
        for a store that is new.
        """
        assert self._locked is not None
        fresh = self._path.with_name(f"{self._path.name}-new")
        try:
            if self._path.exists() and not os.path.samestat(os.stat(self._path), os.fstat(self._locked)):
                os.close(_locked(self._path))  # it is not another hvproxy's
            _remove(fresh)
            locked = _locked(fresh, os.O_CREAT)
            try:
                self._write_anew(fresh, batches)
                kept = self._put_aside()
                os.replace(fresh, self._path)
                _sync_folder(self._path.parent)
            except BaseException:
                _remove(fresh)
                os.close(locked)
                raise
        except (OSError, StoreError, sqlite3.Error) as error:
            reason = _reason(error) if isinstance(error, sqlite3.Error) else error
            raise StoreError(f"{why}; it cannot be written anew: {reason}") from error
        os.close(self._locked)
        self._locked = locked
        self.renewals.append(Renewal(why, kept))

    def _write_anew(self, fresh: Path, batches: Sequence[Batch]) -> None:
        with closing(self._connect("rw", fresh)) as connection:
            connection.execute("PRAGMA synchronous = FULL")
            self._copy.backup(connection)
            connection.execute("PRAGMA journal_mode = DELETE")  # what is in a log would not come along
            self._write(connection, batches)

    def _put_aside(self) -> Path | None:
        """Give what is there another name, and take its log away, which a file in its place must not have."""
        names = (_beside(self._path, f".lost-{number}") for number in count(1))
        kept = next(name for name in names if not any(_beside(name, suffix).exists() for suffix in ("", *_BESIDE)))
        there = self._path.exists()
        if there:
            os.link(self._path, kept)
        for suffix in _BESIDE:
            if _beside(self._path, suffix).exists():
                os.replace(_beside(self._path, suffix), _beside(kept, suffix))
                there = True
        return kept if there else None

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

    def _connect(self, mode: str, path: Path | None = None) -> sqlite3.Connection:
        # The worker's thread uses it, whichever that is.
        return sqlite3.connect(f"file:{quote(str(path or self._path))}?mode={mode}", uri=True, timeout=BUSY,
                               isolation_level=None, check_same_thread=False)

    def _prove(self, connection: sqlite3.Connection) -> bool:
        """Whether nothing is in it yet; what is, is proven to be ours, known and whole."""
        application, = connection.execute("PRAGMA application_id").fetchone()
        version, = connection.execute("PRAGMA user_version").fetchone()
        tables, = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if (application, version, tables) == (0, 0, 0):
            if self._known is not None:
                raise self._fault("it has been emptied")
            return True
        if application != APPLICATION:
            raise self._fault("not a database of hvproxy", "; it is left as it is")
        if version > FORMAT:
            raise self._fault(f"written by a newer hvproxy: its format is {version}, and this one knows those up to "
                              f"{FORMAT}", "; run the newer one")
        found, = connection.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise self._fault(f"it is damaged ({' '.join(found.split())})", f"; {_KEEP}")
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
        if self._known is None:
            connection.backup(self._copy)
        else:
            if identity != self._known[1]:
                raise self._fault("another database is in its place")
            if revision < self._known[0]:
                raise self._fault("changes that were stored are missing")
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
    why = next((words for code, words in _WHY.items() if _name(error).startswith(code)), None)
    return str(error) if why is None else f"{why} ({error})"


def _name(error: sqlite3.Error) -> str:
    return str(getattr(error, "sqlite_errorname", ""))


def _locked(path: Path, how: int = 0) -> int:
    """The file, had alone. Raises StoreError, StoreHeld."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | how, 0o600)
    except OSError as error:
        raise StoreError(f"{path}: cannot be opened: {error.strerror}") from error
    try:
        flock(descriptor, LOCK_EX | LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            raise StoreHeld(f"{path}: another hvproxy works with it; stop that one, or configure another store for "
                            "this one") from error
        raise StoreError(f"{path}: cannot be locked: {error.strerror}") from error
    return descriptor


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _look(path: Path) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _remove(path: Path) -> None:
    for suffix in ("", "-journal", *_BESIDE):
        _beside(path, suffix).unlink(missing_ok=True)


def _sync_folder(path: Path) -> None:
    """What has which name there is safe from a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
