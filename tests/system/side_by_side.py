"""A logical switch over real Open vSwitch beside one plain bridge of it, for messages and frames that must be the same.

Both have ports 1, 2 and 3, whose other ends are interfaces here. The logical switch's ports are on two edges: 1 is
alone on its physical port, 2 and 3 too, 3 on the second edge. Its second tenant has a port on each edge, with no more
to do than not to be disturbed.
"""
from __future__ import annotations

import time
from collections.abc import Callable

import yaml

from tests.system.network import wait_until
from tests.system.on_ovs import API_PORT, OnOvs
from tests.system.ovs import PATIENCE, received
from tests.system.private_ovs import Session

PORTS = (1, 2, 3)
PLAIN, LOGICAL = "plain", "logical"
SWITCH_PORT, LISTEN_PORT, OTHER_PORT = 6633, 16653, 16654
DPID = 0xA1
MARK = b"\2\0\0\0\0\xaa"
"""The source address of every frame that counts."""
AT = {1: (1, 1), 2: (1, 2), 3: (2, 1)}
"""Logical port -> (edge, port)."""


class SideBySide(OnOvs):
    """Context manager: both are up inside. Everything is asked by side: PLAIN or LOGICAL."""

    def __init__(self, **keys: object) -> None:
        super().__init__()
        self.sessions: dict[str, Session] = {}
        self.watching: dict[str, Session] = {}
        """A second controller of each, that asks for everything asynchronous and nothing else."""
        self._keys = keys
        self._raw: dict[tuple[str, int], object] = {}
        self._outside: dict[tuple[str, int], str] = {}
        """The interface at the other end of each port."""

    def session(self, side: str, port: int = LISTEN_PORT) -> Session:
        """One more controller."""
        if side == PLAIN:
            return Session(self.ovs.management("plain"))
        return Session(self.ovs.connection(port))

    def send(self, side: str, port: int, frame: bytes) -> None:
        """A frame from outside into a port."""
        self._raw[side, port].send(frame)  # type: ignore[attr-defined]

    def set_carrier(self, side: str, port: int, up: bool) -> None:
        """Set the interface at the other end of a port up or down."""
        self.ovs.set_interface(self._outside[side, port], up)

    def carries(self, side: str, port: int) -> bool:
        """Whether the interface at the other end of a port sends frames: the kernel throws them away until it has
        worked off that the carrier has come back."""
        return " state UP " in self.ovs.run("ip", "-o", "link", "show", self._outside[side, port]).stdout

    def out(self, side: str) -> list[tuple[int, bytes]]:
        """(port, frame) of the marked frames that have come out, since the last time."""
        return [(port, frame) for (at, port), raw in self._raw.items() if at == side
                for frame in received(raw) if frame[6:12] == MARK]  # type: ignore[arg-type]

    def same(self, ask: Callable[[str], object], what: str = "") -> object:
        """What `ask` says of the logical switch, which must be, or soon become, what it says of the plain one."""
        plain, found = ask(PLAIN), ask(LOGICAL)
        deadline = time.monotonic() + PATIENCE
        while plain != found and time.monotonic() < deadline:
            time.sleep(0.1)
            plain, found = ask(PLAIN), ask(LOGICAL)
        assert found == plain, f"{what}: {found} instead of {plain}"
        return plain

    def config(self) -> dict[str, object]:
        """hvproxy's configuration."""
        ports = [{"number": n, "name": f"p{n}", "attach": {"datapath": at[0], "port": at[1]}} for n, at in AT.items()]
        others = [{"number": n, "name": f"o{n}", "attach": {"datapath": n, "port": 5}} for n in (1, 2)]
        extra = self._keys.get("ports", [])
        assert isinstance(extra, list)
        tables = self._keys.get("tables", 8)
        return {
            "switches": {"listen": [f"ptcp:{SWITCH_PORT}:127.0.0.1"]},
            "fabric": {"discovery": False, "links": ["0x1:9 - 0x2:9"]},
            "api": {"listen": f"ptcp:{API_PORT}:127.0.0.1"},
            "store": "memory:",
            "tenants": [{"name": name, "logical_switches": [{
                "name": name, "datapath_id": dpid, "listen": [f"ptcp:{listen}:127.0.0.1"], "tables": tables,
                "ports": has}]}
                for name, dpid, listen, has in (("red", DPID, LISTEN_PORT, ports + extra),
                                                ("other", DPID + 1, OTHER_PORT, others))],
        }

    def _build(self) -> None:
        ovs = self.ovs
        (ovs.directory / "net.yaml").write_text(yaml.safe_dump(self.config()))
        ovs.serve(ovs.directory / "net.yaml")
        ovs.add_bridge("plain", dpid=DPID)
        for dpid in (1, 2):
            ovs.add_bridge(f"s{dpid}", dpid=dpid)
            ovs.add_port(f"s{dpid}", 5)
        ovs.add_link("s1", 9, "s2", 9)
        for number, (dpid, port) in AT.items():
            self._outside[PLAIN, number] = ovs.add_port("plain", number)
            self._outside[LOGICAL, number] = ovs.add_port(f"s{dpid}", port)
        for place, interface in self._outside.items():
            self._raw[place] = ovs.raw(interface)
        for dpid in (1, 2):
            ovs.set_controllers(f"s{dpid}", f"tcp:127.0.0.1:{SWITCH_PORT}")
        wait_until(self._ready, "the logical switch is not ready with all ports up")
        for side in (PLAIN, LOGICAL):
            self.sessions[side] = self.session(side)
            self.watching[side] = self.session(side)
            self.watching[side].request(9, b"\0\0\xff\xff")

    def _ready(self) -> bool:
        try:
            rows = self.get("/v1/logical-switches/red/ports")
            self.get("/readyz")
        except OSError:
            return False
        return all(row["state"] == "up" for row in rows if row["number"] in AT)
