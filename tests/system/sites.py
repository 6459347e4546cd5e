"""Sites in IP subnets of their own, joined by a Linux router: each is a real Open vSwitch with its hosts.

A site has a bridge of its own to the router (`br-phys`, a switch like any other machine's, which hvproxy has nothing to
do with) whose internal port is the endpoint of its tunnels, and one or more datapaths of hvproxy's. Datapaths of one
site may be joined by VLAN links. hvproxy and the tenants' controllers run on the router. Red and blue use the same
addresses, as in network.py.
"""
from __future__ import annotations

import re
import subprocess
import sys
import urllib.error
from collections.abc import Iterable
from typing import Any

import yaml

from tests.system.echoes import answered
from tests.system.network import CONTROLLER_PORT, LONG, PATTERN, ROOT, SWITCH_PORT, HostSpec, wait_until
from tests.system.on_ovs import API_PORT, OnOvs
from tests.system.ovs import PrivateOvs

ROUTER = "router"
ENCAPSULATED = 100
"""Bytes that an underlay must carry beyond a host's frame."""


class Site:
    """One Open vSwitch and its datapaths."""

    def __init__(self, number: int, dpids: tuple[int, ...], endpoint: int,
                 links: tuple[tuple[int, int, int, int], ...] = ()) -> None:
        """`endpoint` is the datapath whose tunnels end here; `links` are (dpid, port, dpid, port)."""
        self.number, self.dpids, self.endpoint, self.links = number, dpids, endpoint, links
        self.ovs = PrivateOvs()
        self.address = f"10.9.{number}.1"
        self.gateway = f"10.9.{number}.254"
        self.fabric: list[str] = []
        """An interface of each VLAN link."""


class Sites(OnOvs):
    """Context manager: everything up and settled inside."""

    host = ROUTER
    mtu = 1500
    """Of the hosts."""
    bfd_interval = 0.1
    """Seconds. With 1 no switch is taken for dead that a busy machine leaves without a processor for a moment."""

    def __init__(self, sites: list[Site], hosts: tuple[HostSpec, ...], encapsulation: str = "auto",
                 links: int | None = None) -> None:
        """`links` is how many there are to be; not awaited when it is None."""
        self.sites, self.hosts, self.encapsulation, self.links = sites, hosts, encapsulation, links
        self.ovs = sites[0].ovs
        self.hvproxy: subprocess.Popen[bytes]

    def _every_ovs(self) -> Iterable[PrivateOvs]:
        return [site.ovs for site in self.sites]

    def config(self) -> dict[str, Any]:
        """hvproxy's configuration."""
        return {
            "switches": {"listen": [f"ptcp:{SWITCH_PORT}:0.0.0.0"], "grace": 3,
                         "ovsdb": [f"unix:{site.ovs.directory}/db.sock" for site in self.sites]},
            "fabric": {"discovery": True, "encapsulation": self.encapsulation, "bfd_interval": self.bfd_interval},
            "api": {"listen": f"ptcp:{API_PORT}:127.0.0.1"},
            "store": "memory:",
            "tenants": [{"name": tenant, "logical_switches": [{
                "name": tenant, "datapath_id": 0xA0 + index,
                "controllers": [f"tcp:127.0.0.1:{CONTROLLER_PORT[tenant]}"],
                "ports": [{"number": h.number, "name": h.name, "attach": {"datapath": h.leaf, "port": h.port}}
                          for h in self.hosts if h.tenant == tenant],
            }]} for index, tenant in enumerate(self.tenants)],
        }

    @property
    def tenants(self) -> list[str]:
        return sorted({host.tenant for host in self.hosts})

    def _build(self) -> None:
        self.ovs.add_bare_host(ROUTER)
        self.on_router("ip", "link", "set", "lo", "up")
        self.on_router("sysctl", "-qw", "net.ipv4.ip_forward=1")
        for site in self.sites:
            self._add_underlay(site)
        (self.ovs.directory / "sites.yaml").write_text(yaml.safe_dump(self.config()))
        self._start_controllers()
        self.serve()
        for site in self.sites:
            self._add_datapaths(site)
        wait_until(self.settled, "not all links are there and all ports up")
        wait_until(self.served, "not all switches are ready and all logical switches served")
        self._finish()

    def serve(self) -> None:
        """Start hvproxy."""
        self.hvproxy = self.ovs.serve(self.ovs.directory / "sites.yaml", host=ROUTER)

    def _finish(self) -> None:
        for tenant in self.tenants:
            wait_until(lambda t=tenant: self.get(f"/v1/logical-switches/{t}/flows"), f"{tenant} is set up")

    def _start_controllers(self) -> None:
        self.ovs.spawn("ovs-testcontroller", f"ptcp:{CONTROLLER_PORT['red']}:127.0.0.1", "-O", "OpenFlow13",
                       host=ROUTER, log="red.log")
        self.ovs.spawn(sys.executable, str(ROOT / "tools/ryu-run"), "--ofp-tcp-listen-port",
                       str(CONTROLLER_PORT["blue"]), "--ofp-listen-host", "127.0.0.1", "ryu.app.simple_switch_13",
                       host=ROUTER, log="blue.log")

    def _add_underlay(self, site: Site) -> None:
        ovs, far = site.ovs, f"r{site.number}"
        subprocess.run(["ip", "link", "add", "under", "netns", ovs.namespace, "type", "veth", "peer", "name", far,
                        "netns", self.ovs.namespace_of(ROUTER)], check=True)
        mtu = str(self.mtu + ENCAPSULATED)
        # The address is that of br-phys, and who asks for it is not to get the address of the interface below.
        ovs.run("sysctl", "-qw", "net.ipv4.conf.all.arp_ignore=1")
        ovs.run("ip", "link", "set", "under", "mtu", mtu, "up")
        ovs.run("ethtool", "-K", "under", "tx", "off", check=False)
        self.on_router("ip", "link", "set", far, "mtu", mtu, "up")
        self.on_router("ethtool", "-K", far, "tx", "off", check=False)
        self.on_router("ip", "address", "add", f"{site.gateway}/24", "dev", far)
        ovs.vsctl("add-br", "br-phys", "--", "set", "bridge", "br-phys", "datapath_type=netdev",
                  "--", "add-port", "br-phys", "under")
        ovs.note_port("under")
        ovs.run("ip", "address", "add", f"{site.address}/24", "dev", "br-phys")
        ovs.run("ip", "link", "set", "br-phys", "mtu", mtu, "up")
        ovs.run("ip", "route", "add", "default", "via", site.gateway)

    def _add_datapaths(self, site: Site) -> None:
        ovs = site.ovs
        for dpid in site.dpids:
            ovs.add_bridge(f"s{dpid:x}", dpid)
        ovs.vsctl("set", "bridge", f"s{site.endpoint:x}", f"external_ids:hv-tunnel-ip={site.address}")
        for a, port_a, b, port_b in site.links:
            site.fabric.append(ovs.add_link(f"s{a:x}", port_a, f"s{b:x}", port_b)[0])
        for host in self.hosts:
            if host.leaf in site.dpids:
                self._add_host(site, host)
        for dpid in site.dpids:
            ovs.set_controllers(f"s{dpid:x}", f"tcp:{site.gateway}:{SWITCH_PORT}")

    def _add_host(self, site: Site, host: HostSpec) -> None:
        site.ovs.add_host(host.name, f"s{host.leaf:x}", host.port, host.mac, f"{host.address}/24")

    # What it says

    def on_router(self, *command: str, check: bool = True) -> str:
        return self.ovs.run(*command, host=ROUTER, check=check).stdout

    def flaps(self) -> int:
        """How often the switches have taken a tunnel for dead, or for well again."""
        for site in self.sites * 2:
            site.ovs.control("version")  # behind the second answer what came before the first is on its way to them
        return sum(int(each) for site in self.sites for each in re.findall(
            r'flap_count="(\d+)"', site.ovs.vsctl("--columns=bfd_status", "list", "interface")))

    def served(self) -> bool:
        """All switches and databases are known, and controllers are served."""
        try:
            self.text("/readyz")
        except OSError:
            return False
        return True

    def settled(self) -> bool:
        """All links are there, all ports up."""
        try:
            links = self.get("/v1/links")
            ports = [port for tenant in self.tenants for port in self.get(f"/v1/logical-switches/{tenant}/ports")]
        except (OSError, urllib.error.URLError):
            return False
        up = sum(link["state"] == "up" for link in links)
        return self.links in (None, up) and all(port["state"] == "up" for port in ports)

    # What hosts do

    def at(self, host: HostSpec) -> PrivateOvs:
        return next(site.ovs for site in self.sites if host.leaf in site.dpids)

    def ping(self, a: HostSpec, b: HostSpec, count: int = 1, interval: float = 0.2, wait: float = 5) -> int:
        """Ping with the tenant's pattern; how many answers came."""
        return answered(self.at(a), a.name, b.address, count, interval, wait, PATTERN[a.tenant])

    def reaches(self, a: HostSpec, b: HostSpec, count: int = 1, interval: float = 0.2) -> bool:
        """Whether all pings are answered. A switch that gets no processor for 0.3 s is taken for dead by BFD: what is
        lost then tells nothing, and is tried again."""
        while True:
            wait_until(self.settled, "not all links are there and all ports up")
            before = self.flaps()
            if self.ping(a, b, count, interval, LONG) == count:
                return True
            if self.flaps() == before:
                return False

    def pairs(self, tenant: str) -> list[tuple[HostSpec, HostSpec]]:
        own = [host for host in self.hosts if host.tenant == tenant]
        return [(a, b) for a in own for b in own if a is not b]
