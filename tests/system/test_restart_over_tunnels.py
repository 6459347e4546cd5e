"""hvproxy is killed while hosts ping each other across tunnels of real Open vSwitch: nobody notices.

TUNNEL_KILLS says how many times in each fabric, and has every encapsulation tried, VLAN links without tunnels too.
"""
from __future__ import annotations

import os
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import yaml

from tests.system.network import LISTEN_PORT, LONG, HostSpec, rest, wait_until
from tests.system.ovs import require
from tests.system.sites import Site, Sites

KILLS = int(os.environ.get("TUNNEL_KILLS", "1"))
ENCAPSULATIONS = ("auto", "vlan", "gre", "vxlan", "geneve") if "TUNNEL_KILLS" in os.environ else ("auto",)
PINGS, INTERVAL = 400, 0.01
TRIES = 15
HOSTS = tuple(HostSpec("red", number, number, 1) for number in (1, 2, 3))
BY_NAME = HOSTS[2]
"""The host whose port is attached by its iface-id."""
FLOWS = ("priority=10,arp,actions=FLOOD",
         *(f"priority=5,ip,nw_dst={host.address},actions=output:{host.number}" for host in HOSTS))


class Stored(Sites):
    """Red alone, without a controller, with a store; one of its ports is found by the databases."""

    def config(self) -> dict[str, Any]:
        config = {**super().config(), "store": "sqlite:net.db"}
        switch = config["tenants"][0]["logical_switches"][0]
        switch["controllers"], switch["listen"] = [], [f"ptcp:{LISTEN_PORT['red']}:127.0.0.1"]
        switch["ports"][BY_NAME.number - 1]["attach"] = {"iface_id": "vm"}
        return config

    def _start_controllers(self) -> None:
        """There are none."""

    def _add_datapaths(self, site: Site) -> None:
        super()._add_datapaths(site)
        if BY_NAME.leaf in site.dpids:
            (name,) = site.ovs.vsctl("--bare", "--columns=name", "find", "interface",
                                     f"ofport_request={BY_NAME.port}").split()
            site.ovs.vsctl("set", "interface", name, "external_ids:iface-id=vm")

    def _finish(self) -> None:
        for flow in FLOWS:
            self.on_router("ovs-ofctl", "-O", "OpenFlow13", "add-flow", f"tcp:127.0.0.1:{LISTEN_PORT['red']}", flow)

    def without(self, site: Site) -> None:
        """From its next start hvproxy does not reach the database of a site."""
        path = self.ovs.directory / "sites.yaml"
        config = yaml.safe_load(path.read_text())
        config["switches"]["ovsdb"] = [
            address + ".away" if str(site.ovs.directory) in address else address
            for address in config["switches"]["ovsdb"]]
        path.write_text(yaml.safe_dump(config))

    def held(self) -> dict[int, list[str]]:
        """What each switch holds, and which tunnel ports its database has, without what is counted."""
        return {dpid: sorted(re.sub(r"(duration|n_packets|n_bytes|idle_age|hard_age)=[^ ,]*,? ?", "", line)
                             for command in ("dump-flows", "dump-groups")
                             for line in site.ovs.ofctl(command, f"s{dpid:x}").splitlines()[1:])
                + sorted(site.ovs.vsctl("--columns=_uuid,name,options,external_ids", "find", "interface",
                                        "options:key=flow").split())
                for site in self.sites for dpid in site.dpids}

    def ready(self) -> bool:
        """Everything is there, and controllers are served."""
        return self.settled() and self.on_router("ovs-ofctl", "-O", "OpenFlow13", "show",
                                                 f"tcp:127.0.0.1:{LISTEN_PORT['red']}", check=False) != ""


def fabric(encapsulation: str) -> Stored:
    """Three sites; or one with a VLAN link, and another, which hosts are at or, without tunnels, none."""
    if encapsulation == "auto":
        return Stored([Site(1, (1, 2), 1, ((1, 8, 2, 8),)), Site(3, (3,), 3)], HOSTS, links=2)
    if encapsulation == "vlan":
        return Stored([Site(4, (4,), 4), Site(1, (1, 2, 3), 1, ((1, 8, 2, 8), (2, 9, 3, 8)))], HOSTS, "vlan", links=2)
    return Stored([Site(number, (number,), number) for number in (1, 2, 3)], HOSTS, encapsulation, links=3)


@pytest.mark.timeout(300 + 30 * KILLS)
@pytest.mark.parametrize("encapsulation", ENCAPSULATIONS)
@pytest.mark.alone
def test_no_ping_across_a_tunnel_is_lost_and_nothing_changes_when_hvproxy_is_killed(encapsulation: str) -> None:
    require()
    with fabric(encapsulation) as sites, ThreadPoolExecutor(2) as pool:
        pairs = [(HOSTS[0], HOSTS[2]), (HOSTS[1], HOSTS[0])]
        for a, b in pairs:
            wait_until(lambda a=a, b=b: sites.ping(a, b), "the hosts do not reach each other")  # type: ignore[misc]
        rest(sites)
        before, done, tries = sites.held(), 0, 0
        while done <= KILLS:
            flaps = sites.flaps()
            answers = [pool.submit(sites.ping, a, b, PINGS, INTERVAL, LONG) for a, b in pairs]
            sites.hvproxy.kill()
            sites.hvproxy.wait()
            if done == KILLS:
                sites.without(sites.sites[0])
            sites.serve()
            wait_until(sites.ready, "hvproxy did not come back")
            came = [each.result() for each in answers]
            if sites.flaps() == flaps:
                assert came == [PINGS] * len(pairs)
                assert sites.held() == before and sites.changes_sent() == 0
                done, tries = done + 1, 0
            else:
                # The machine has starved Open vSwitch, which has taken tunnels for dead: that tells nothing.
                tries += 1
                assert tries < TRIES, "the machine is too busy for BFD"
                wait_until(lambda: sites.held() == before, "what the switches held is not there again")
