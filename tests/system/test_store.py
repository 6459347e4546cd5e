"""The store of a real hvproxy: what keeps it from starting, and what happens when it fails and gets well again."""
from __future__ import annotations

import asyncio
import json
import resource
import sqlite3
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.system.served import SAFETY_NET, Peer, Served
from tests.tools.controller import apply, flow_mod, match, output
from tools.emulator import wire
from tools.ports import free_ports

UNKEPT = (wire.BAD_REQUEST, wire.BRC_EPERM)


class Stored(Served):
    """hvproxy with a store."""

    def __init__(self, path: Path, durability: str = "barrier") -> None:
        super().__init__()
        self.path = path
        self._durability = durability

    def config(self) -> dict[str, Any]:
        return {**super().config(), "store": f"sqlite:{self.path}", "durability": self._durability}

    async def page(self, path: str) -> tuple[int, str]:
        """Status and text of a page."""
        def ask() -> tuple[int, str]:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.api_port}{path}", timeout=SAFETY_NET) as reply:
                    return reply.status, reply.read().decode()
            except urllib.error.HTTPError as error:
                return error.code, error.read().decode()

        return await asyncio.to_thread(ask)

    async def metric(self, name: str) -> float:
        """Its value."""
        _, text = await self.page("/metrics")
        return next(float(line.split()[1]) for line in text.splitlines() if line.startswith(f"{name} "))

    async def unready(self) -> list[str]:
        """Why it is not ready."""
        status, text = await self.page("/readyz")
        reasons: list[str] = json.loads(text)["reasons"]
        assert status == (503 if reasons else 200)
        return reasons

    @contextmanager
    def full(self) -> Iterator[None]:
        """It can write nothing to any file, as on a disk that is full."""
        soft, hard = resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (self.log.stat().st_size + 65536, hard))
        try:
            yield
        finally:
            resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (soft, hard))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Another program has the file."""
        with closing(sqlite3.connect(self.path, isolation_level=None, timeout=SAFETY_NET)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield

    @contextmanager
    def moved(self) -> Iterator[None]:
        """Its folder is not there."""
        away = self.path.parent.with_name("away")
        self.path.parent.rename(away)
        yield
        away.rename(self.path.parent)

    def deleted(self) -> None:
        """Somebody deletes all of it."""
        for file in self.path.parent.iterdir():
            file.unlink()

    def damaged(self) -> None:
        """Somebody writes into it, and into its log, from which it would be mended."""
        for file in (self.path, self.path.with_name(f"{self.path.name}-wal")):
            file.write_bytes(b"what somebody wrote" * (file.stat().st_size // 19 + 1))

    async def says(self, what: str) -> None:
        """Wait until it is in the log."""
        end = asyncio.get_running_loop().time() + 2 * SAFETY_NET
        while what not in self.log.read_text():
            assert asyncio.get_running_loop().time() < end
            await asyncio.sleep(0.02)


class Tenant:
    """The other tenant, who changes an entry before each barrier."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self.priority = 100

    async def barrier(self) -> tuple[int, int] | None:
        """Add an entry and ask for a barrier: the error it is answered with, None if it is a reply."""
        self.priority += 1
        entry = flow_mod(match(), apply(output(1)), priority=self.priority)
        self._peer.write(wire.message(wire.FLOW_MOD, 1, entry) + wire.message(wire.BARRIER_REQUEST, self.priority))
        while True:
            answer = await self._peer.message()
            assert answer is not None
            if answer[1] == wire.ECHO_REQUEST:
                self._peer.write(wire.message(wire.ECHO_REPLY, int.from_bytes(answer[4:8], "big"), answer[8:]))
            elif answer[1] in (wire.BARRIER_REPLY, wire.ERROR):
                assert int.from_bytes(answer[4:8], "big") == self.priority
                error = int.from_bytes(answer[8:10], "big"), int.from_bytes(answer[10:12], "big")
                return None if answer[1] == wire.BARRIER_REPLY else error

    async def asks_until(self, expected: tuple[int, int] | None) -> None:
        """Ask until that is the answer."""
        end = asyncio.get_running_loop().time() + 2 * SAFETY_NET
        while await self.barrier() != expected:
            assert asyncio.get_running_loop().time() < end
            await asyncio.sleep(0.02)


async def priorities(served: Stored) -> set[int]:
    """Of the other tenant's entries."""
    _, text = await served.page("/v1/logical-switches/other/flows")
    return {row["priority"] for row in json.loads(text)}


def start(folder: Path, store: str) -> tuple[int, str]:
    """Exit status and log of an hvproxy that cannot start, whose configuration is in `folder`."""
    switches, api = free_ports(2)
    file = folder / "hvproxy.yaml"
    file.write_text(yaml.safe_dump({
        "switches": {"listen": [f"ptcp:{switches}:127.0.0.1"]}, "api": {"listen": f"ptcp:{api}:127.0.0.1"},
        "store": store}))
    done = subprocess.run([sys.executable, "-c", "from hvproxy.cli import main; main()", "serve", str(file)],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=280)
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


@pytest.mark.parametrize("fault, reason", [
    ("full", "the disk"), ("locked", "another program has locked it"), ("moved", "it is gone")])
def test_a_store_that_fails_stops_promises_and_nothing_else_until_it_is_well(
        tmp_path: Path, fault: str, reason: str) -> None:
    async def check() -> None:
        folder = tmp_path / "store"
        folder.mkdir()
        async with Stored(folder / "store.db") as served:
            tenant = Tenant(await Peer.connect(served.other_port))
            assert await tenant.barrier() is None
            assert await served.unready() == [] and await served.metric("hvproxy_store_failed") == 0
            with getattr(served, fault)():
                await tenant.asks_until(UNKEPT)
                assert await served.fabric.hosts["h1-1"].ping("10.0.2.1", SAFETY_NET) is not None
                why, = await served.unready()
                assert why.startswith("the store has failed: ") and reason in why
                assert await served.metric("hvproxy_store_failed") == 1
                assert await served.metric("hvproxy_store_failed_commits_total") >= 1
                assert tenant.priority in await priorities(served), "what cannot be promised is carried out"
            await tenant.asks_until(None)
            assert await served.unready() == [] and await served.metric("hvproxy_store_failed") == 0
            assert await served.fabric.hosts["h1-1"].ping("10.0.2.1", SAFETY_NET) is not None
            promised = set(range(101, tenant.priority + 1))
            assert await priorities(served) == promised
        assert b"the store has failed" in served.said and b"the store works again" in served.said
        async with Stored(served.path) as again:
            assert await priorities(again) == promised

    asyncio.run(check())


@pytest.mark.parametrize("idle", [False, True])
@pytest.mark.parametrize("fault, why", [("deleted", "it is gone"), ("damaged", "it is no SQLite database, or damaged")])
def test_a_store_that_is_lost_is_written_anew_by_itself(tmp_path: Path, fault: str, why: str, idle: bool) -> None:
    async def check() -> None:
        async with Stored(tmp_path / "store.db") as served:
            tenant = Tenant(await Peer.connect(served.other_port))
            for _ in range(3):
                assert await tenant.barrier() is None
            getattr(served, fault)()
            if not idle:
                assert await tenant.barrier() is None, "nothing of it is lost"
            await served.says("the store was lost: it is written anew from memory")
            assert await served.unready() == [] and await served.metric("hvproxy_store_failed") == 0
            assert why in served.log.read_text()
            assert await tenant.barrier() is None
            promised = set(range(101, tenant.priority + 1))
            copied = tmp_path / "copied"
            copied.mkdir()
            for file in [each for each in tmp_path.glob("store.db*") if each.is_file()]:
                (copied / file.name).write_bytes(file.read_bytes())  # as a kill would leave them
        assert [file.name for file in tmp_path.iterdir() if "lost-1" in file.name] or fault == "deleted"
        for path in (served.path, copied / "store.db"):
            async with Stored(path) as again:
                assert await priorities(again) == promised

    asyncio.run(check())
