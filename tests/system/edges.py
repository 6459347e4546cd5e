"""Logical switches over two real bridges with a VLAN link, or two with tunnels, and the hosts' ends of all ports.

A host is a packet socket here: it sends any frame, and sees every frame that comes to it with its tags.
"""
from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterable
from typing import Any

import yaml

from tests.packets import tagged, tags
from tests.system.network import wait_until
from tests.system.on_ovs import API_PORT, OnOvs
from tests.system.ovs import HVPROXY, received

SWITCH_PORT, FIRST_LISTEN_PORT = 6633, 16700
LINK = 9
MARK = b"\2\0\0\0\0\xaa"
"""The source address of every frame that counts."""
LAST = b"\x88\xb7" + bytes(46)
"""From the Ethernet type on: behind the frames that are waited for."""
Place = tuple[int, int]


class Edges(OnOvs):
    """Context manager: everything up and settled inside."""

    def __init__(self, switches: dict[str, list[dict[str, Any]]], places: Iterable[Place],
                 **options: dict[str, Any]) -> None:
        """`switches`: the ports of each logical switch; `options`: more of its configuration, by its name."""
        super().__init__()
        self._ports = switches
        self._places = tuple(places)
        self._options = options
        self._raw: dict[Place, socket.socket] = {}
        self.outside: dict[Place, str] = {}
        """The interface at the other end of each port."""

    def config(self) -> dict[str, Any]:
        """hvproxy's configuration."""
        return {
            "switches": {"listen": [f"ptcp:{SWITCH_PORT}:127.0.0.1"]},
            "fabric": {"discovery": False, "links": [f"0x1:{LINK} - 0x2:{LINK}"]},
            "api": {"listen": f"ptcp:{API_PORT}:127.0.0.1"},
            "tenants": [{"name": name, "logical_switches": [{
                "name": name, "datapath_id": 0xA1 + index, "listen": [f"ptcp:{FIRST_LISTEN_PORT + index}:127.0.0.1"],
                "ports": ports, **self._options.get(name, {})}]} for index, (name, ports) in enumerate(
                    self._ports.items())],
        }

    def _build(self) -> None:
        ovs = self.ovs
        self._path = ovs.directory / "edges.yaml"
        self._path.write_text(yaml.safe_dump(self.config()))
        ovs.serve(self._path)
        for dpid in (1, 2):
            ovs.add_bridge(f"s{dpid}", dpid=dpid)
        ovs.add_link("s1", LINK, "s2", LINK)
        for dpid, port in self._places:
            self.outside[dpid, port] = ovs.add_port(f"s{dpid}", port)
            self._raw[dpid, port] = ovs.raw(self.outside[dpid, port])
        for dpid in (1, 2):
            ovs.set_controllers(f"s{dpid}", f"tcp:127.0.0.1:{SWITCH_PORT}")
        for name in self._ports:
            wait_until(lambda each=name: self._all_up(each), f"the ports of {name} are not up")

    def _all_up(self, name: str) -> bool:
        try:
            rows = self.get(f"/v1/logical-switches/{name}/ports")
            self.get("/readyz")
        except OSError:
            return False
        return all(row["state"] == "up" for row in rows)

    def apply(self, switches: dict[str, list[dict[str, Any]]], **options: dict[str, Any]) -> str:
        """Have these be the logical switches' ports and options from now on, by `hvproxy apply`; what that says."""
        self._ports, self._options = switches, options
        self._path.write_text(yaml.safe_dump(self.config()))
        return self.ovs.run(HVPROXY, "apply", "--api", f"http://127.0.0.1:{API_PORT}", str(self._path)).stdout

    def ofctl(self, name: str, command: str, *arguments: str) -> str:
        """Ask or tell a logical switch."""
        return self.ovs.run("ovs-ofctl", "-O", "OpenFlow13", command, self.target(name), *arguments).stdout

    def target(self, name: str) -> str:
        """Where a logical switch listens, for ovs-ofctl."""
        return f"tcp:127.0.0.1:{FIRST_LISTEN_PORT + list(self._ports).index(name)}"

    def port_packets(self, name: str, number: int) -> tuple[int, int]:
        """(received, sent) as the statistics of a logical port tell."""
        text = self.ofctl(name, "dump-ports", str(number))
        found = [int(value) for value in re.findall(r"[rt]x pkts=(\d+)", text)]
        return found[0], found[1]

    def count(self) -> None:
        """Have Open vSwitch carry on all frames, and count them for the entries of now."""
        self.ovs.carry_on()
        self.ovs.forget_flows()

    def send(self, at: Place, frame: bytes) -> None:
        """A host's frame."""
        self._raw[at].send(frame)

    def came(self, at: Place, *frames: bytes, to: Iterable[Place]) -> dict[Place, list[bytes]]:
        """Which frames come to which hosts when that host has sent some. One more behind them, under the same tags as
        the last of them, must come to the hosts `to`, and is left out."""
        self.count()
        self.hear()
        for frame in frames:
            self.send(at, frame)
        # Open vSwitch takes up what it knows from earlier frames before the rest of what has come.
        wait_until(lambda: not self.ovs.frames_waiting(), "the switches do not take up the frames")
        return self.heard(to, lambda: self.send(at, _behind(frames[-1])))

    def heard(self, to: Iterable[Place], close: Callable[[], object]) -> dict[Place, list[bytes]]:
        """What comes to the hosts, in the order of its bytes, until a last frame is there that `close` sends."""
        found: dict[Place, list[bytes]] = {}
        awaited, ended = set(to), set[Place]()
        close()

        def all_there() -> bool:
            for place, frames in self.hear().items():
                ended.update([place] if any(frame.endswith(LAST) for frame in frames) else ())
                found.setdefault(place, []).extend(frame for frame in frames if not frame.endswith(LAST))
            return ended >= awaited

        wait_until(all_there, "the last frame has not come")
        return {place: sorted(frames) for place, frames in found.items() if frames}

    def hear(self) -> dict[Place, list[bytes]]:
        """What has come to the hosts since the last time."""
        return {place: frames for place, raw in self._raw.items()
                if (frames := [frame for frame in received(raw) if frame[6:12] == MARK])}


def _behind(frame: bytes) -> bytes:
    """A frame to all that goes the way of another one's flood."""
    return b"\xff" * 6 + MARK + b"".join(tagged(bytes(12), vid)[12:] for vid in tags(frame)) + LAST
