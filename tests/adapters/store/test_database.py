"""The file of a store, and everything that can be wrong with it, by real causes."""
from __future__ import annotations

import os
import re
import resource
import signal
import sqlite3
import subprocess
import sys
import tempfile
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
_NOBODY = 65534
_MAY_NOT_WRITE = """
import os, sys
from pathlib import Path
from hvproxy.adapters.store.database import Database
from hvproxy.errors import StoreError
folder, path = Path(sys.argv[1]), Path(sys.argv[1]) / "store.db"
if os.getuid() == 0:
    os.setuid(int(sys.argv[2]))
def refused():
    try:
        database.commit([({"b": b"1"}, ())])
    except StoreError as error:
        print(error)
database = Database(path)
database.lock()
database.load("")
database.commit([({"a": b"1"}, ())])
path.chmod(0o400)
os.utime(path)  # so that it is opened again
refused()
for file in folder.iterdir():
    file.chmod(0o600)  # also what SQLite has made beside it, as it found the file
assert database.commit([({"b": b"1"}, ())]) == 2 and not database.renewals
path.unlink()
folder.chmod(0o500)
refused()
folder.chmod(0o700)
assert database.commit([({"c": b"1"}, ())]) == 3 and database.renewals
assert database.load("") == (3, {"a": b"1", "b": b"1", "c": b"1"})
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


def kept(path: Path) -> dict[str, bytes]:
    """What was put aside, by what its name has more than the file's."""
    return {each.name.removeprefix(path.name): each.read_bytes() for each in path.parent.iterdir()
            if ".lost-" in each.name}


def renewed(database: Database, path: Path, why: str, *, looked_for: bool = False) -> None:
    """All of it is there again after the next commit, or when it is looked for, and hvproxy can start with it."""
    if looked_for:
        database.commit(())
    before = database.load("")[1] if looked_for else None
    revision = database.commit([({"new": b"1"}, ())])
    renewal, = database.renewals
    assert renewal.why.startswith(f"{path}: {why}"), renewal.why
    database.renewals.clear()
    for number in range(3):
        assert database.commit([({"more": b"%d" % number}, ())]) == revision + number + 1
    stored = database.load("")
    if before is not None:
        assert stored[1] == {**before, "new": b"1", "more": b"2"}
    assert stored[0] == revision + 3 and path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(StoreHeld):
        Database(path).lock()
    assert not path.with_name(f"{path.name}-new").exists()
    database.close()
    again = opened(path)
    assert again.load("") == stored
    again.close()


@pytest.mark.parametrize("looked_for", [False, True])
@pytest.mark.parametrize("what", ["file", "all", "log"])
def test_a_file_that_is_deleted_is_written_anew(path: Path, what: str, looked_for: bool) -> None:
    closed(path, **LARGE)
    database = opened(path)
    database.commit([({"a": b"1"}, ("key 3",))])
    for file in (path, path.with_name("store.db-wal"), path.with_name("store.db-shm")):
        if what == "all" or file.name.endswith("wal") == (what == "log"):
            file.unlink(missing_ok=True)
    if what == "log":  # SQLite still has what was in it
        assert database.commit([({"b": b"1"}, ())]) == 3
        assert database.renewals == []
        expected = {**LARGE, "a": b"1", "b": b"1"}
        del expected["key 3"]
        database.close()
        assert opened(path).load("") == (3, expected)
    else:
        renewed(database, path, "it is gone", looked_for=looked_for)
        assert kept(path).keys() <= {".lost-1-wal", ".lost-1-shm"}


def test_what_took_the_place_of_the_file_is_kept(path: Path) -> None:
    database = opened(path)
    database.commit([({"a": b"1"}, ())])
    path.rename(path.with_name("away"))
    path.write_bytes(b"what somebody wrote")
    renewed(database, path, "another file is in its place", looked_for=True)
    assert kept(path)[".lost-1"] == b"what somebody wrote"


def test_a_file_that_is_another_hvproxys_by_now_is_left_to_it(path: Path) -> None:
    database = opened(path)
    database.commit([({"a": b"1"}, ())])
    for file in path.parent.iterdir():
        file.unlink()
    other = opened(path)
    other.commit([({"theirs": b"1"}, ())])
    assert "another hvproxy works with it" in refused(database)
    assert other.commit([({"theirs": b"2"}, ())]) == 2
    other.close()
    renewed(database, path, "another file is in its place", looked_for=True)


@pytest.mark.parametrize("what, said", [
    ("another", "another database is in its place"),
    ("older", "changes that were stored are missing"),
    ("nothing", "it has been emptied"),
    ("text", "it is no SQLite database, or damaged"),
    ("another program's", "not a database of hvproxy"),
    ("half", "it is damaged"),
])
def test_other_contents_are_not_taken_for_ours_and_are_kept(path: Path, what: str, said: str) -> None:
    closed(path, **LARGE)
    older = path.read_bytes()
    other, theirs = path.with_name("other.db"), path.with_name("theirs.db")
    closed(other)
    with closing(sqlite3.connect(theirs)) as foreign:
        foreign.execute("CREATE TABLE theirs (what)")
    database = opened(path)
    database.commit([({"a": b"2"}, ())])
    database.commit([({"a": b"3"}, ())])
    written = {"another": other.read_bytes(), "older": older, "nothing": b"", "text": b"what somebody wrote\n" * 1000,
               "another program's": theirs.read_bytes(), "half": older[:len(older) // 2]}[what]
    path.with_name("store.db-wal").write_bytes(b"")
    path.write_bytes(written)
    renewed(database, path, said, looked_for=True)
    assert ".lost-1" in kept(path)


def test_a_file_that_is_damaged_meanwhile_is_written_anew_time_and_again(path: Path) -> None:
    closed(path, **LARGE)
    database = opened(path)
    for number in range(3):
        with path.open("r+b") as file:
            for page in range(2, path.stat().st_size // 4096):
                file.seek(4096 * page)
                file.write(DAMAGE)
        database.commit([({f"a{number}": b"1"}, ())])
        assert database.load("")[1] == {**LARGE, **{f"a{each}": b"1" for each in range(number + 1)}}
    assert [renewal.kept for renewal in database.renewals] == [
        path.with_name(f"store.db.lost-{number}") for number in (1, 2, 3)]
    assert all("it is damaged" in renewal.why and "put back" not in renewal.why for renewal in database.renewals)


def test_a_lost_file_is_written_anew_when_the_disk_has_room(path: Path) -> None:
    for size in range(0, 1_000_000, 40_000):
        for file in path.parent.iterdir():
            file.unlink()
        closed(path, **{f"key {number}": bytes(1000) for number in range(100)})
        database = opened(path)
        with path.open("r+b") as damaged:
            damaged.write(DAMAGE)
        before = path.read_bytes()
        with no_file_larger_than(size):
            try:
                database.commit([({"a": b"1"}, ())])
            except StoreError as error:
                assert "it cannot be written anew: " in str(error)
            else:
                break
        assert path.read_bytes() == before and not kept(path)
        assert [each.name for each in path.parent.iterdir() if "-new" in each.name] == []
        database.commit([({"a": b"1"}, ())])
        assert len(database.load("")[1]) == 101
        database.close()
    else:
        raise AssertionError("no size is enough")
    assert size > 100_000


def test_a_folder_in_which_nothing_can_be_made_is_waited_for(path: Path) -> None:
    database = opened(path)
    database.commit([({"a": b"1"}, ())])
    path.parent.rename(path.parent.with_name("away"))
    assert refused(database) == (
        f"{path}: it is gone; it cannot be written anew: {path}-new: cannot be opened: No such file or directory")
    path.parent.mkdir()
    renewed(database, path, "it is gone", looked_for=True)


def test_what_may_not_be_written_is_waited_for(path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chown(folder, _NOBODY if os.getuid() == 0 else -1, -1)
        done = subprocess.run([sys.executable, "-c", _MAY_NOT_WRITE, folder, str(_NOBODY)], capture_output=True,
                              text=True, cwd=Path(__file__).parents[3])
        first, second = done.stdout.splitlines()
        file = f"{os.path.realpath(folder)}/store.db"
        assert first == f"{file}: it is read-only (attempt to write a readonly database)"
        assert second == (f"{file}: it is gone; it cannot be written anew: "
                          f"{file}-new: cannot be opened: Permission denied")
        assert (done.returncode, done.stderr) == (0, "")


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
