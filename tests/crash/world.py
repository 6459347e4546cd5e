"""The switches, hvproxy and its store, started, killed and started again.

Three leaves and two spines of real Open vSwitch; two tenants with five ports each; a plain bridge for each tenant, in
an Open vSwitch of its own, that nobody kills.
"""
from __future__ import annotations

import json
import shutil
import socket
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml

from tests.crash.state import Rules
from tests.crash.tenant import Tenant
from tests.crash.traffic import Traffic
from tests.oracle.script import PORTS
from tests.system.network import wait_until
from tests.system.on_ovs import API_PORT, changes_sent
from tests.system.ovs import HVPROXY as PROGRAM, PrivateOvs
from tests.system.private_ovs import Session

LEAVES, SPINES = (1, 2, 3), (0x11, 0x12)
DPIDS = (*LEAVES, *SPINES)
TENANTS = ("red", "blue")
SWITCH_PORT, FIRST_LISTEN = 6633, 16653
LOGS_KEPT = 5
HVPROXY = (PROGRAM,)
ANSWERING = 120
"""Seconds that hvproxy may take over an answer on a busy machine."""
PATIENCE = 60
"""Seconds of silence after which a switch asks whether hvproxy is there."""
RECEIVE_BUFFER_FORCED = 33
"""The socket option, which Python does not name."""


def place(tenant: str, port: int) -> tuple[int, int]:
    """The leaf of a logical port, and the port there."""
    leaf, there = {1: (1, 1), 2: (1, 2), 3: (2, 1), 4: (3, 1), 5: (3, 2)}[port]
    return leaf, there + 2 * TENANTS.index(tenant)


class World:
    """Context manager: everything up, the lanes made, nothing sent yet."""

    def __init__(self, seed: int) -> None:
        self.ovs, self.plain = PrivateOvs(), PrivateOvs()
        self.tenants: list[Tenant] = []
        self.links: dict[tuple[int, int], tuple[str, str]] = {}
        """(leaf, spine) -> the interfaces of the link."""
        self._seed = seed
        self._starts = 0
        self._hvproxy: subprocess.Popen[bytes] | None = None
        self.program = HVPROXY
        """What is started as hvproxy; one whose writes can fail is told by which file."""
        self.traffic: Traffic

    def __enter__(self) -> World:
        try:
            self.ovs.__enter__()
            self.plain.__enter__()
            self._build()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """End everything."""
        if hasattr(self, "traffic"):
            self.traffic.stop()
        self.plain.stop()
        subprocess.run(["umount", "-l", str(self.store)], check=False, stderr=subprocess.DEVNULL)
        self.ovs.stop()

    @property
    def store(self) -> Path:
        """The folder of the store, on a file system of its own, which may be full."""
        return self.ovs.directory / "store"

    # hvproxy

    def serve(self) -> None:
        """Start hvproxy."""
        self._starts += 1
        (self.ovs.directory / f"hvproxy{self._starts - LOGS_KEPT}.log").unlink(missing_ok=True)
        told = () if self.program is HVPROXY else (str(self.store / "failing"),)
        self._hvproxy = self.ovs.spawn(*self.program, *told, "serve", str(self.ovs.directory / "net.yaml"),
                                       log=f"hvproxy{self._starts}.log")

    def kill(self) -> None:
        """Kill it."""
        assert self._hvproxy is not None
        assert self._hvproxy.poll() is None, f"hvproxy has ended by itself:\n{self.log[-2000:]}"
        self._hvproxy.kill()
        self._hvproxy.wait()

    @property
    def log(self) -> str:
        """What the last one has said."""
        return (self.ovs.directory / f"hvproxy{self._starts}.log").read_text()

    def ask(self, path: str, method: str = "GET") -> Any:
        """Something of the API."""
        return json.loads(self._fetch(path, method))

    def _fetch(self, path: str, method: str = "GET") -> str:
        return self.ovs.fetch(f"http://127.0.0.1:{API_PORT}{path}", method=method, timeout=ANSWERING)

    def is_ready(self) -> bool:
        """Whether it has read all switches and adopted what they hold, and all links and ports are up."""
        try:
            self.ask("/readyz")
            return len(self.ask("/v1/links")) == len(LEAVES) * len(SPINES) and all(
                row["state"] == "up" for name in TENANTS for row in self.ask(f"/v1/logical-switches/{name}/ports"))
        except OSError:
            return False

    def goes_on(self) -> bool:
        """Whether something is there that goes by itself later: an entry that expires, or a rule of one that has left
        its edge, which is in the store as long."""
        with closing(sqlite3.connect(f"file:{self.store / 'net.db'}?mode=ro", uri=True, timeout=ANSWERING)) as store:
            (retired,) = store.execute("SELECT count(*) FROM record WHERE key LIKE 'ls/%/retired/%'").fetchone()
        return bool(retired) or any(tenant.expires() for tenant in self.tenants)

    def changes_sent(self) -> int:
        """Messages sent to switches since its start that change something."""
        return int(changes_sent(self._fetch("/metrics")))

    # The switches

    def rules(self) -> Rules:
        """What the physical switches hold."""
        sessions = {dpid: Session(self.ovs.management(f"s{dpid:x}")) for dpid in DPIDS}
        try:
            return Rules.of(sessions)
        finally:
            for each in sessions.values():
                each.close()

    def evidence(self, folder: Path) -> None:
        """Copy what may tell what went wrong."""
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(self.plain.directory / "ovs-vswitchd.log", folder / "plain-vswitchd.log")
        here = self.ovs.directory
        for file in (*here.glob("*.log"), *here.glob("*.yaml"), *self.store.glob("net.db*")):
            shutil.copy(file, folder)
        for dpid in DPIDS:
            for what in ("dump-flows", "dump-groups", "dump-meters"):
                (folder / f"s{dpid:x}.{what}").write_text(self.ovs.ofctl(what, f"s{dpid:x}", check=False))

    def _build(self) -> None:
        ovs = self.ovs
        self.store.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "store", str(self.store)], check=True)
        (ovs.directory / "net.yaml").write_text(yaml.safe_dump(self._config()))
        self.serve()
        for dpid in DPIDS:
            ovs.add_bridge(f"s{dpid:x}", dpid)
        for leaf in LEAVES:
            for spine in SPINES:
                self.links[leaf, spine] = ovs.add_link(f"s{leaf:x}", spine, f"s{spine:x}", leaf)
        interfaces = {}
        for name in TENANTS:
            self.plain.add_bridge(name, 0xA0)
            for port in PORTS:
                leaf, there = place(name, port)
                interfaces[name, port] = ovs.add_port(f"s{leaf:x}", there)
                self.plain.add_port(name, port)
        sockets = {at: ovs.raw(interface) for at, interface in interfaces.items()}
        for each in sockets.values():
            each.setsockopt(socket.SOL_SOCKET, RECEIVE_BUFFER_FORCED, 1 << 23)
        self.traffic = Traffic(sockets)
        for dpid in DPIDS:
            ovs.set_controllers(f"s{dpid:x}", f"tcp:127.0.0.1:{SWITCH_PORT}")
        wait_until(self.is_ready, "hvproxy is not ready")
        # A busy machine may leave hvproxy without a turn for longer than Open vSwitch would wait for an answer, which
        # keeps to the greatest pause between attempts from the next change of its configuration on, too.
        ovs.vsctl(*(word for dpid in DPIDS for word in (
            "--", "set", "controller", f"s{dpid:x}", f"inactivity_probe={PATIENCE * 1000}")))
        for index, name in enumerate(TENANTS):
            tenant = Tenant(name, self._seed, lambda port=FIRST_LISTEN + index: ovs.connection(port),
                            self.plain.management(name))
            tenant.prepare()
            tenant.connect()
            self.tenants.append(tenant)

    def _config(self) -> dict[str, object]:
        return {
            "switches": {"listen": [f"ptcp:{SWITCH_PORT}:127.0.0.1"]},
            "store": "sqlite:store/net.db",
            "fabric": {"discovery": False,
                       "links": [f"{leaf:#x}:{spine} - {spine:#x}:{leaf}" for leaf in LEAVES for spine in SPINES]},
            "api": {"listen": f"ptcp:{API_PORT}:127.0.0.1"},
            "tenants": [{"name": name, "logical_switches": [{
                "name": name, "datapath_id": 0xA0 + index, "listen": [f"ptcp:{FIRST_LISTEN + index}:127.0.0.1"],
                "tables": 40, "ports": [
                    {"number": port, "name": f"{name}{port}",
                     "attach": dict(zip(("datapath", "port"), place(name, port)))} for port in PORTS]}]}
                for index, name in enumerate(TENANTS)]}


def reconnected(tenant: Tenant, deadline: float) -> None:
    """Begin a session as soon as hvproxy listens again."""
    while True:
        try:
            tenant.connect()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
