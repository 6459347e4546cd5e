"""A store that cannot be used keeps a real hvproxy from starting, says why, and is left as it is."""
from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.system.served import Served, free_ports


class Stored(Served):
    """hvproxy with a store."""

    def __init__(self, path: Path, durability: str = "barrier") -> None:
        super().__init__()
        self.path = path
        self._durability = durability

    def config(self) -> dict[str, Any]:
        return {**super().config(), "store": f"sqlite:{self.path}", "durability": self._durability}


def start(folder: Path, store: str) -> tuple[int, str]:
    """Exit status and log of an hvproxy that cannot start, whose configuration is in `folder`."""
    switches, api = free_ports(2)
    file = folder / "hvproxy.yaml"
    file.write_text(yaml.safe_dump({
        "switches": {"listen": [f"ptcp:{switches}:127.0.0.1"]}, "api": {"listen": f"ptcp:{api}:127.0.0.1"},
        "store": store}))
    done = subprocess.run([sys.executable, "-c", "from hvproxy.cli import main; main()", "serve", str(file)],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


def test_two_hvproxies_cannot_have_one_store(tmp_path: Path) -> None:
    async def check() -> None:
        path = tmp_path / "store.db"
        async with Stored(path) as served:
            status, said = await served.good.during(asyncio.to_thread(start, tmp_path, "sqlite:store.db"))
            assert status == 1
            assert f"the store cannot be used: {path}: another hvproxy works with it; stop that one" in said
        with closing(sqlite3.connect(path)) as database:
            assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert not path.with_name("store.db-wal").exists(), "it was not closed"
        async with Stored(path) as served:
            await served.good.round()

    asyncio.run(check())


@pytest.mark.parametrize("what, why", [
    ("garbage", "it is no SQLite database, or damaged"),
    ("another program's", "not a database of hvproxy"),
    ("a folder", "cannot be opened: Is a directory"),
])
def test_what_is_no_store_keeps_it_from_starting_and_is_left_as_it_is(tmp_path: Path, what: str, why: str) -> None:
    path = tmp_path / "store.db"
    if what == "garbage":
        path.write_bytes(b"what somebody wrote\n" * 1000)
    elif what == "another program's":
        with closing(sqlite3.connect(path)) as other:
            other.execute("CREATE TABLE theirs (what)")
    else:
        path.mkdir()
    before = path.read_bytes() if path.is_file() else None
    status, said = start(tmp_path, "sqlite:store.db")
    assert status == 1 and f"the store cannot be used: {path}: {why}" in said and "Traceback" not in said
    assert (path.read_bytes() if path.is_file() else None) == before
