"""Two spines and four leaves of real Open vSwitch, hosts of three tenants, their unmodified controllers, and hvproxy.

All tenants use 10.0.0.0/24 and the same MAC addresses. Red is driven by ovs-testcontroller, blue by ryu's
simple_switch_13, green by pipeline_app.py (two tables, write-actions, groups). Blue has two ports on one leaf and a
pair of VLAN sub-ports on one physical port.
"""
from __future__ import annotations

import socket
import sys
import time
import urllib.error
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import yaml

from hvproxy.hypervisor.labels import DRAIN
from tests.system.echoes import answered
from tests.system.on_ovs import API_PORT, OnOvs

ROOT = Path(__file__).resolve().parents[2]
LEAVES = (1, 2, 3, 4)
SPINES = (0x11, 0x12)
UPLINKS = {0x11: 11, 0x12: 12}
SWITCH_PORT = 6633
PATTERN = {"red": "aa", "blue": "bb", "green": "cc"}
CONTROLLER_PORT = {"red": 7001, "blue": 7002, "green": 7003}
LISTEN_PORT = {"red": 16653, "blue": 16654, "green": 16655}

LONG = 30.0
"""Seconds to wait for answers to pings that will come."""
DRAINED = DRAIN + 0.5
"""Seconds after which frames that were under way have drained."""


@dataclass(frozen=True)
class HostSpec:
    """A host: its tenant, number there (last byte of MAC and address), leaf, port and VLAN."""

    tenant: str
    number: int
    leaf: int
    port: int
    vlan: int | None = None

    @property
    def name(self) -> str:
        return f"{self.tenant}{self.number}"

    @property
    def address(self) -> str:
        return f"10.0.0.{self.number}"

    @property
    def mac(self) -> str:
        return f"02:00:00:00:00:{self.number:02x}"


HOSTS = tuple(HostSpec(*row) for row in (
    ("red", 1, 1, 1), ("red", 2, 2, 1), ("red", 3, 3, 1), ("red", 4, 4, 1),
    ("blue", 1, 1, 2), ("blue", 2, 1, 3), ("blue", 3, 2, 2), ("blue", 4, 3, 4, 20), ("blue", 5, 3, 4, 30),
    ("green", 1, 1, 5), ("green", 2, 2, 5), ("green", 3, 4, 5),
))


def wait_until(true: Callable[[], object], what: str, seconds: float = 120.0) -> None:
    """Wait for a condition; the time is only a safety net."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(0.05)


def rest(fabric: OnOvs) -> None:
    """Wait until hvproxy changes nothing on the switches any more: they have told what they hold behind what they were
    sent, and what drains from then on has drained."""
    def still() -> bool:
        sent = fabric.changes_sent()
        try:
            for row in fabric.get("/v1/datapaths"):
                fabric.get(f"/v1/datapaths/{row['dpid']}/audit", "POST")
        except urllib.error.HTTPError:  # its session has ended meanwhile
            return False
        time.sleep(DRAINED)
        return fabric.changes_sent() == sent

    wait_until(still, "hvproxy goes on changing the switches")


class Network(OnOvs):
    """Context manager: everything up and settled inside."""

    def __init__(self, hosts: tuple[HostSpec, ...] = HOSTS) -> None:
        super().__init__()
        self.hosts = hosts
        self.links: dict[tuple[int, int], tuple[str, str]] = {}
        """(leaf, spine) -> the two interfaces of the link."""
        self.trunks: dict[str, str] = {}
        """Host with VLAN sub-ports -> the control socket of tagged_hosts.py there."""

    def config(self) -> dict[str, object]:
        """hvproxy's configuration for it."""
        return {
            "switches": {"listen": [f"ptcp:{SWITCH_PORT}:127.0.0.1"]},
            "fabric": {"discovery": True, "vlan_range": "16-4079"},  # all labels are in blocks
            "api": {"listen": f"ptcp:{API_PORT}:127.0.0.1"},
            "store": "memory:",
            "tenants": [
                {"name": tenant, "logical_switches": [{
                    "name": tenant, "datapath_id": 0xA0 + index,
                    "controllers": [f"tcp:127.0.0.1:{CONTROLLER_PORT[tenant]}"],
                    "listen": [f"ptcp:{LISTEN_PORT[tenant]}:127.0.0.1"],
                    "ports": [
                        {"number": h.number, "name": h.name,
                         "attach": {"datapath": h.leaf, "port": h.port, **({"vlan": h.vlan} if h.vlan else {})}}
                        for h in self.hosts if h.tenant == tenant],
                }]} for index, tenant in enumerate(sorted({h.tenant for h in self.hosts}))],
        }

    def _build(self) -> None:
        ovs = self.ovs
        target = [f"tcp:127.0.0.1:{SWITCH_PORT}"]
        path = ovs.directory / "net.yaml"
        path.write_text(yaml.safe_dump(self.config()))
        for tenant in sorted({h.tenant for h in self.hosts}):
            self._start_controller(tenant)
        self.serve()
        for dpid in (*LEAVES, *SPINES):
            ovs.add_bridge(f"s{dpid:x}", dpid)
        for spine in SPINES:
            for leaf in LEAVES:
                self.links[leaf, spine] = ovs.add_link(f"s{leaf:x}", UPLINKS[spine], f"s{spine:x}", leaf)
        for host in self.hosts:
            self._add_host(host)
        for dpid in (*LEAVES, *SPINES):
            ovs.set_controllers(f"s{dpid:x}", *target)
        wait_until(self.settled, "not all links are discovered, all switches ready and all ports up")
        for tenant in sorted({h.tenant for h in self.hosts}):
            wait_until(lambda t=tenant: self.ready(t), f"the controller of {tenant} did not set up its switch")
        for path in self.trunks.values():
            wait_until(lambda each=path: self._listens(each), "the hosts on VLANs do not listen")
        rest(self)

    def serve(self) -> None:
        """Start hvproxy."""
        self.hvproxy = self.ovs.serve(self.ovs.directory / "net.yaml")

    def _start_controller(self, tenant: str) -> None:
        port = str(CONTROLLER_PORT[tenant])
        if tenant == "red":
            self.ovs.spawn("ovs-testcontroller", f"ptcp:{port}:127.0.0.1", "-O", "OpenFlow13", log="red.log")
            return
        app = "ryu.app.simple_switch_13" if tenant == "blue" else str(ROOT / "tests/system/pipeline_app.py")
        self.ovs.spawn(sys.executable, str(ROOT / "tools/ryu-run"), "--ofp-tcp-listen-port", port,
                       "--ofp-listen-host", "127.0.0.1", app, log=f"{tenant}.log")

    def _add_host(self, host: HostSpec) -> None:
        ovs = self.ovs
        bridge, port = self.place(host)
        if host.vlan is None:
            ovs.add_host(host.name, bridge, port, host.mac, f"{host.address}/24")
            return
        trunk = f"trunk{host.leaf}-{host.port}"
        if trunk in self.trunks:
            return
        ovs.add_host(trunk, bridge, port, "02:00:00:00:ff:01", "192.0.2.1/24")
        ovs.run("ip", "address", "flush", "dev", "eth0", host=trunk)
        ovs.run("ip", "link", "set", "eth0", "promisc", "on", host=trunk)
        path = self.trunks[trunk] = str(ovs.directory / f"{trunk}.sock")
        ovs.spawn(sys.executable, str(ROOT / "tests/system/tagged_hosts.py"), "eth0", path,
                  *(f"{h.vlan}:{h.mac.replace(':', '')}:{h.address}" for h in self.hosts
                    if (h.leaf, h.port) == (host.leaf, host.port)), host=trunk)

    def place(self, host: HostSpec) -> tuple[str, int]:
        """The bridge and the port that a host is at."""
        return f"s{host.leaf:x}", host.port

    # What it says

    def settled(self) -> bool:
        """All switches ready, all links found, all ports up."""
        try:
            self.text("/readyz")
            joined = self.joined()
            tenants = sorted({h.tenant for h in self.hosts})
            ports = [port for t in tenants for port in self.get(f"/v1/logical-switches/{t}/ports")]
        except (OSError, urllib.error.URLError):
            return False
        return joined == self.links.keys() and all(p["state"] == "up" for p in ports)

    def joined(self) -> set[tuple[int, int]]:
        """The leaf and the spine of every link that is up."""
        ends = [[int(link[end]["dpid"], 16) for end in ("a", "b")] for link in self.get("/v1/links")
                if link["state"] == "up"]
        return {(min(pair), max(pair)) for pair in ends}

    def ready(self, tenant: str) -> bool:
        """Its controller has installed its first entries: one to learn by, or all of pipeline_app.py."""
        entries = len(self.of(tenant)) + 3 if tenant == "green" else 1
        return len(self.get(f"/v1/logical-switches/{tenant}/flows")) >= entries

    @staticmethod
    def _listens(path: str) -> bool:
        with socket.socket(socket.AF_UNIX) as control:
            return control.connect_ex(path) == 0

    # What hosts do

    def ping(self, a: HostSpec, b: HostSpec, count: int = 1, interval: float = 0.2, wait: float = 5) -> int:
        """Ping; how many answers came. The payload is the tenant's pattern (zeros from hosts on VLANs)."""
        if a.vlan is not None:
            with socket.socket(socket.AF_UNIX) as control:
                control.connect(self.trunks[f"trunk{a.leaf}-{a.port}"])
                control.sendall(f"{a.vlan} {b.address} {count}\n".encode())
                return int(control.makefile().readline())
        return answered(self.ovs, a.name, b.address, count, interval, wait, PATTERN[a.tenant])

    def of(self, tenant: str) -> list[HostSpec]:
        return [h for h in self.hosts if h.tenant == tenant]
