"""A real Open vSwitch of our own: its own network namespace, data base and bridge, gone when the block ends.

Two userspace switches in one network namespace fight over one device, hence the namespace. `Session` is a raw
OpenFlow 1.3 client of the bridge's management socket: bytes in, bytes out, so nothing but the switch judges them.
"""
from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import pytest

from tests.system.connection import HEADER, Connection

BRIDGE = "b"
PATIENCE = 120
"""Seconds that a busy machine may take over what a switch is asked."""
_SCHEMA = Path("/usr/share/openvswitch/vswitch.ovsschema")
_PROGRAMS = ("ovs-vswitchd", "ovsdb-server", "ovsdb-tool", "ovs-vsctl", "ip")


def require() -> None:
    """Skip the tests where no switch can be started; under continuous integration that is a failure."""
    absent = [name for name in _PROGRAMS if shutil.which(name) is None]
    why = f"not installed: {', '.join(absent)}" if absent else "needs root" if os.geteuid() != 0 else ""
    if why and os.environ.get("CI") == "true":
        pytest.fail(why)
    if why:
        pytest.skip(why)


class PrivateOvs:
    """Context manager: a bridge in secure fail mode that speaks OpenFlow 1.3."""

    def __init__(self) -> None:
        self._children: list[subprocess.Popen[bytes]] = []
        self._rundir = Path(tempfile.mkdtemp(prefix="hvovs"))
        self._namespace = self._rundir.name

    def __enter__(self) -> PrivateOvs:
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._stop()

    def session(self) -> Session:
        """A new OpenFlow connection to the bridge, past its HELLO."""
        return Session(self._rundir / f"{BRIDGE}.mgmt")

    def _start(self) -> None:
        database = self._rundir / "conf.db"
        remote = self._rundir / "db.sock"
        subprocess.run(["ip", "netns", "add", self._namespace], check=True)
        self._run("ovsdb-tool", "create", str(database), str(_SCHEMA))
        self._spawn("ovsdb-server", str(database), f"--remote=punix:{remote}", "--log-file=/dev/null")
        self._wait(remote)
        self._vsctl("--no-wait", "init")
        self._spawn("ovs-vswitchd", f"unix:{remote}", "--log-file=/dev/null")
        self._vsctl("add-br", BRIDGE, "--", "set", "bridge", BRIDGE, "datapath_type=netdev", "fail_mode=secure",
                    "protocols=OpenFlow13")
        self._wait(self._rundir / f"{BRIDGE}.mgmt")

    def _stop(self) -> None:
        for child in reversed(self._children):
            child.terminate()
        for child in self._children:
            child.wait(PATIENCE)
        subprocess.run(["ip", "netns", "del", self._namespace], check=False)
        shutil.rmtree(self._rundir, ignore_errors=True)

    def _environment(self) -> dict[str, str]:
        rundir = str(self._rundir)
        return {**os.environ, "OVS_RUNDIR": rundir, "OVS_DBDIR": rundir, "OVS_LOGDIR": rundir}

    def _spawn(self, *command: str) -> None:
        self._children.append(subprocess.Popen(
            ["ip", "netns", "exec", self._namespace, *command], env=self._environment(),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

    def _run(self, *command: str) -> None:
        subprocess.run(["ip", "netns", "exec", self._namespace, *command], env=self._environment(), check=True,
                       stdout=subprocess.DEVNULL, timeout=PATIENCE)

    def _vsctl(self, *arguments: str) -> None:
        place = f"--db=unix:{self._rundir}/db.sock"  # which is there before anybody listens
        self._run("ovs-vsctl", place, "--retry", f"--timeout={PATIENCE}", *arguments)

    @staticmethod
    def _wait(path: Path) -> None:
        deadline = time.monotonic() + PATIENCE
        while not path.exists():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{path} did not appear")
            time.sleep(0.05)


class Session:
    """One OpenFlow 1.3 connection, driven a request at a time."""

    def __init__(self, place: Path | socket.socket) -> None:
        """`place` is the path of a socket to connect to, or a connection."""
        if isinstance(place, Path):
            made = socket.socket(socket.AF_UNIX)
            made.connect(str(place))
        else:
            made = place
        self._connection = Connection(made, PATIENCE)
        self._told: list[bytes] = []
        self._xid = 0
        self._connection.send(HEADER.pack(4, 0, 8, 0))
        kind = self._connection.message()[1]
        if kind != 0:
            raise ConnectionError(f"HELLO expected, not message type {kind}")

    def close(self) -> None:
        self._connection.close()

    def request(self, kind: int, body: bytes) -> list[bytes]:
        """Send one message and return all that is answered until a barrier, echoes and asynchronous news left out."""
        self._xid += 2
        self._connection.send(HEADER.pack(4, kind, 8 + len(body), self._xid) + body
                              + HEADER.pack(4, 20, 8, self._xid + 1))
        answers: list[bytes] = []
        while True:
            message = self._connection.message()
            _, answer, _, xid = HEADER.unpack_from(message)
            if answer == 21 and xid == self._xid + 1:
                return answers
            if xid == self._xid:
                answers.append(message)
            elif xid == 0:
                self._told.append(message)

    def told(self) -> list[bytes]:
        """The asynchronous messages that have come by now, since the last time."""
        self.request(2, b"")
        told, self._told = self._told, []
        return told

    def ask(self, kind: int, body: bytes) -> bytes:
        """Send one message and return the first that is answered, however late."""
        self._xid += 2
        self._connection.send(HEADER.pack(4, kind, 8 + len(body), self._xid) + body)
        while True:
            message = self._connection.message()
            if message[1] != 12 and int.from_bytes(message[4:8], "big") == self._xid:
                return message

    def ask_in_parts(self, parts: Sequence[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
        """Send a multipart request in parts, (kind, body) each; type and first bytes of each answer, one at least."""
        self._xid += 2
        for index, (kind, body) in enumerate(parts):
            more = int(index < len(parts) - 1)
            self._connection.send(HEADER.pack(4, 18, 16 + len(body), self._xid) + kind.to_bytes(2, "big")
                                  + more.to_bytes(2, "big") + bytes(4) + body)
        found = []
        while not found or found[-1][0] != 3:
            message = self._connection.message()
            if message[1] != 12 and int.from_bytes(message[4:8], "big") == self._xid:
                found.append((message[1], message[8:12]))
                self._connection.send(HEADER.pack(4, 2, 8, self._xid))
        return found[:-1]

    def refusal(self, kind: int, body: bytes) -> tuple[int, int] | None:
        """(type, code) of the error that one message is answered with, or None when it is accepted."""
        for message in self.request(kind, body):
            if message[1] == 1:
                return int.from_bytes(message[8:10], "big"), int.from_bytes(message[10:12], "big")
        return None

    def multipart(self, kind: int, body: bytes = b"") -> bytes:
        """The joined bodies of all replies to one multipart request."""
        answers = self.request(18, kind.to_bytes(2, "big") + bytes(6) + body)
        if any(message[1] != 19 for message in answers):
            raise ValueError(f"multipart {kind} refused: {[message.hex() for message in answers]}")
        return b"".join(message[16:] for message in answers)
