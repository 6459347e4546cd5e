"""Writes of SQLite fail in turn, the first, the second and so on, and a database outlives it."""
from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.crash.failing_writes import LONGEST, Turns

WRITER = """
import sqlite3, sys
from pathlib import Path
from tests.crash.failing_writes import Turns, install
kept = install(Turns(Path(sys.argv[1])))
connection = sqlite3.connect(sys.argv[2], isolation_level=None)
connection.execute("PRAGMA journal_mode = WAL")
connection.execute("CREATE TABLE t (n INTEGER)")
Path(sys.argv[1]).touch()
said = set()
for number in range(30):
    try:
        connection.execute("INSERT INTO t VALUES (?)", (number,))
        print(number)
    except sqlite3.Error as error:
        said.add(error.sqlite_errorname.split("_WRITE")[0])
connection.close()
print(*sorted(said))
"""


def test_each_of_a_row_fails_once(tmp_path: Path) -> None:
    file = tmp_path / "failing"
    turns = Turns(file)
    assert [turns.fails() for _ in range(5)] == [None] * 5
    file.touch()
    failed = [number for number in range(sum(range(LONGEST + 1)) + 1) if turns.fails() is not None]
    assert failed[:4] == [0, 2, 5, 9] and failed[-1] - failed[-2] == 1, "it begins anew in the end"
    assert int(file.read_text()) == len(failed) == LONGEST + 1


def test_whoever_takes_the_file_away_ends_it_even_between_two_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    turns = Turns(tmp_path / "failing")
    monkeypatch.setattr(Path, "exists", lambda path: True)
    assert turns.fails() is None and not list(tmp_path.iterdir())


def test_sqlite_is_told_that_the_disk_is_full_or_broken_and_keeps_the_rest(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", WRITER, str(tmp_path / "failing"), str(tmp_path / "a.db")],
                          capture_output=True, text=True, check=True)
    *written, said = done.stdout.splitlines()
    assert said == "SQLITE_FULL SQLITE_IOERR" and 0 < len(written) < 30
    with sqlite3.connect(tmp_path / "a.db") as connection:
        assert [str(number) for number, in connection.execute("SELECT n FROM t")] == written
