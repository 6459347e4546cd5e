"""The file of a store, and everything that can be wrong with it, by real causes."""
from __future__ import annotations

import re
import resource
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from hvproxy.adapters.store import database as module
from hvproxy.adapters.store.database import FORMAT, Database
from hvproxy.errors import StoreError, StoreHeld

_DIES = """
import os, signal, sys
from pathlib import Path
from hvproxy.adapters.store.database import Database
database = Database(Path(sys.argv[1]))
database.lock()
database.commit([({"a": b"1"}, ())])
os.kill(os.getpid(), signal.SIGKILL)
"""
DAMAGE = b"\xa5" * 4096
LARGE = {f"key {number}": bytes(4000) for number in range(1500)}
"""More than SQLite keeps in memory."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


def opened(path: Path) -> Database:
    database = Database(path)
    database.lock()
    database.load("")
    return database


def closed(path: Path, **records: bytes) -> None:
    """A store with these records that nobody has open."""
    database = opened(path)
    database.commit([(records, ())])
    database.close()


def fault(path: Path) -> str:
    """What is said of a file that cannot be a store, which is left as it is."""
    before = path.read_bytes()
    database = Database(path)
    try:
        database.lock()
        with pytest.raises(StoreError) as caught:
            database.load("")
        with pytest.raises(StoreError, match=re.escape(str(caught.value))):
            database.commit([({"a": b"1"}, ())])
    finally:
        database.close()
    assert path.read_bytes() == before
    return str(caught.value)


def refused(database: Database) -> str:
    """What is said of a commit that fails."""
    with pytest.raises(StoreError) as caught:
        database.commit([({"refused": b"1"}, ())])
    return str(caught.value)


@contextmanager
def no_file_larger_than(size: int) -> Iterator[None]:
    """As a disk that is full: nobody writes beyond that, in any file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


# At the start

def test_a_store_is_made_where_there_is_none_and_nobody_else_may_read_it(path: Path) -> None:
    database = opened(path)
    assert database.load("") == (0, {})
    assert path.stat().st_mode & 0o777 == 0o600
    database.close()
    assert opened(path).load("") == (0, {})


def test_a_store_whose_making_was_interrupted_is_made(path: Path) -> None:
    path.touch()
    assert opened(path).load("") == (0, {})


@pytest.mark.parametrize("name, why", [("none/store.db", "No such file or directory"), ("", "Is a directory")])
def test_a_path_that_cannot_be_opened_is_told(tmp_path: Path, name: str, why: str) -> None:
    with pytest.raises(StoreError, match=f"{re.escape(str(tmp_path / name))}: cannot be opened: {why}"):
        Database(tmp_path / name).lock()


def test_two_cannot_have_one_file_whatever_they_call_it(path: Path) -> None:
    database = opened(path)
    link = path.with_name("link")
    link.symlink_to(path)
    with pytest.raises(StoreHeld, match="another hvproxy works with it"):
        Database(link).lock()
    database.lock()
    database.close()
    opened(link)


def test_what_is_no_database_is_left_as_it_is(path: Path) -> None:
    path.write_bytes(b"what somebody wrote\n" * 1000)
    assert "it is no SQLite database, or damaged" in fault(path)


def test_the_database_of_another_program_is_left_as_it_is(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE theirs (what)")
    assert "not a database of hvproxy" in fault(path)


def test_a_database_of_a_newer_hvproxy_is_left_as_it_is(path: Path) -> None:
    closed(path, a=b"1")
    with closing(sqlite3.connect(path)) as newer:
        newer.execute(f"PRAGMA user_version = {FORMAT + 1}")
    assert (f"written by a newer hvproxy: its format is {FORMAT + 1}, and this one knows those up to {FORMAT}"
            in fault(path))


def test_a_damaged_database_is_left_as_it_is_and_said_what_to_do_with(path: Path) -> None:
    closed(path, **LARGE)
    with path.open("r+b") as file:
        for page in range(2, path.stat().st_size // 4096, 5):
            file.seek(4096 * page)
            file.write(DAMAGE)
    said = fault(path)
    assert "it is damaged" in said and "put back a copy of it" in said


def test_a_damaged_database_keeps_its_log_too(path: Path) -> None:
    closed(path, **LARGE)
    database = opened(path)
    database.commit([({"a": b"1"}, ())])
    log = path.with_name("store.db-wal")
    kept, pages = log.read_bytes(), bytearray(path.read_bytes())
    database.close()
    for at in range(4096 * 10, len(pages) - 4096, 4096 * 7):
        pages[at:at + 4096] = DAMAGE
    path.write_bytes(pages)
    log.write_bytes(kept)
    assert "it is damaged" in fault(path)
    assert log.read_bytes() == kept


# While it runs

def test_the_lease_is_needed_for_everything(path: Path) -> None:
    closed(path)
    database = Database(path)
    assert "the lease is not held" in refused(database)
    with pytest.raises(StoreError, match="the lease is not held"):
        database.load("")


def test_a_disk_that_is_full_at_any_write_leaves_whole_commits_and_is_got_over(path: Path) -> None:
    batch = {f"new {number}": b"%d" % number * 3000 for number in range(8)}
    said = set()
    for size in range(0, 100_000, 1_000):
        path.unlink(missing_ok=True)
        closed(path, old=b"1")
        database = opened(path)
        known = {"old": b"1"}
        try:
            with no_file_larger_than(size):
                try:
                    database.commit([(batch, ()), ({}, ("old",))])
                except StoreError as error:
                    said.add(str(error).partition(": ")[2].partition(" (")[0])
                else:
                    break
            with closing(sqlite3.connect(path)) as reader:
                assert dict(reader.execute("SELECT key, value FROM record")) == known
            assert database.commit([(batch, ()), ({}, ("old",))]) == 3
            assert database.load("") == (3, batch)
        finally:
            database.close()
    else:
        raise AssertionError("no size is enough")
    assert size > 40_000
    assert said <= {"the disk is full", "the disk cannot be read or written", "it cannot be opened"}, said


def test_a_store_that_cannot_be_made_on_a_full_disk_is_made_when_there_is_room(path: Path) -> None:
    for size in range(0, 100_000, 1_000):
        path.unlink(missing_ok=True)
        database = Database(path)
        try:
            with no_file_larger_than(size):
                database.lock()
                try:
                    database.load("")
                except StoreError:
                    pass
                else:
                    break
            assert database.load("") == (0, {})
        finally:
            database.close()
    else:
        raise AssertionError("no size is enough")
    assert size > 10_000


def test_a_file_that_another_program_has_locked_is_written_when_it_lets_go(
        path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BUSY", 0.0)
    database = opened(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert "another program has locked it" in refused(database)
        assert "another program has locked it" in refused(database)
    assert database.commit([({"a": b"1"}, ())]) == 1


def test_after_a_failure_the_log_is_written_to_the_file_before_anything_else(
        path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BUSY", 0.0)
    database = opened(path)
    database.commit([({"a": b"1"}, ())])
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM record").fetchall()
        database.commit([({"a": b"2"}, ())])
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            refused(database)
        assert "another program has locked it" in refused(database)  # the reader needs the file as it was
    assert database.commit([({"a": b"3"}, ())]) == 3
    with closing(sqlite3.connect(f"file:{path}?immutable=1", uri=True)) as without_log:
        assert dict(without_log.execute("SELECT key, value FROM record")) == {"a": b"2"}


def test_a_file_that_is_moved_away_is_missed_until_it_is_back(path: Path) -> None:
    database = opened(path)
    database.commit([({"a": b"1"}, ())])
    away = path.with_name("away")
    path.rename(away)
    assert "No such file or directory; put the file back" in refused(database)
    path.write_bytes(away.read_bytes())
    assert "another file is in its place" in refused(database)
    path.unlink()
    away.rename(path)
    assert database.commit([({"b": b"2"}, ())]) == 2
    assert database.load("") == (2, {"a": b"1", "b": b"2"})


@pytest.mark.parametrize("what, said", [
    ("another", "another database is in its place"),
    ("older", "changes that were stored are missing"),
    ("nothing", "it has been emptied"),
])
def test_other_contents_are_not_taken_for_ours(
        path: Path, monkeypatch: pytest.MonkeyPatch, what: str, said: str) -> None:
    monkeypatch.setattr(module, "BUSY", 0.0)
    closed(path, a=b"1")
    older = path.read_bytes()
    other = path.with_name("other.db")
    closed(other)
    database = opened(path)
    database.commit([({"a": b"2"}, ())])
    with closing(sqlite3.connect(path, isolation_level=None)) as busy:
        busy.execute("BEGIN IMMEDIATE")
        refused(database)
    ours = path.read_bytes()
    path.write_bytes({"another": other.read_bytes(), "older": older, "nothing": b""}[what])
    assert said in refused(database)
    path.write_bytes(ours)
    assert database.commit([({"b": b"3"}, ())]) == 3
    assert database.load("") == (3, {"a": b"2", "b": b"3"})


def test_a_file_that_is_damaged_meanwhile_is_written_again_when_it_is_mended(path: Path) -> None:
    closed(path, **LARGE)
    whole = path.read_bytes()
    database = opened(path)
    with path.open("r+b") as file:
        for page in range(2, len(whole) // 4096):
            file.seek(4096 * page)
            file.write(DAMAGE)
    with pytest.raises(StoreError, match="it is damaged"):
        for key in LARGE:
            database.commit([({key: b"changed"}, ())])
    assert "it is damaged" in refused(database)
    log = path.with_name("store.db-wal")
    if log.exists():
        log.unlink()
    path.write_bytes(whole)
    assert database.commit([({"a": b"1"}, ())]) > 1


def test_a_fault_of_ours_leaves_no_half_commit(path: Path) -> None:
    database = opened(path)
    with pytest.raises(AttributeError):
        database.commit([({"a": b"1"}, ()), (None, ())])  # type: ignore[list-item]
    assert database.commit([({"b": b"1"}, ())]) == 1
    assert database.load("") == (1, {"b": b"1"})


def test_a_commit_is_written_to_the_disk_before_it_is_told(path: Path) -> None:
    """The process dies at once, and what it had in memory with it."""
    killed = subprocess.run([sys.executable, "-c", _DIES, str(path)], cwd=Path(__file__).parents[3])
    assert killed.returncode == -signal.SIGKILL
    assert opened(path).load("") == (1, {"a": b"1"})
