"""A VIF moves between IP subnets while its host is pinged over tunnels of real Open vSwitch.

The host is a bridge with a port at each of two sites, which passes nothing from one to the other: so both places can be
there at once, as in a live migration. Which of them counts, databases say, or the operator does.
"""
from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

from hvproxy.hypervisor.labels import DRAIN
from tests.system.network import HostSpec, wait_until
from tests.system.ovs import HVPROXY, require
from tests.system.pings import INTERVAL, Pings
from tests.system.sites import ROUTER, Site, Sites
from tests.system.starvation import holds

ASKING, MOVING = HostSpec("red", 1, 1, 1), HostSpec("red", 2, 2, 1)
VIF = "vm-2"
NAMES = {2: "here", 3: "there"}


class Moving(Sites):
    """Red with a host that has a way in at site 2 and one at site 3."""

    bfd_interval = 1

    def __init__(self) -> None:
        super().__init__([Site(1, (1,), 1), Site(2, (2,), 2), Site(3, (3,), 3)], (ASKING, MOVING))

    def config(self) -> dict[str, Any]:
        config = super().config()
        del config["switches"]["grace"]
        config["tenants"][0]["logical_switches"][0]["ports"][1]["attach"] = {"iface_id": VIF}
        return config

    def _add_host(self, site: Site, host: HostSpec) -> None:
        if host is not MOVING:
            super()._add_host(site, host)
            return
        name = host.name
        site.ovs.add_bare_host(name)
        for dpid, interface in ((2, "eth1"), (3, "eth2")):
            subprocess.run(["ip", "link", "add", NAMES[dpid], "netns", self.sites[dpid - 1].ovs.namespace, "type",
                            "veth", "peer", "name", interface, "netns", site.ovs.namespace_of(name)], check=True)
            self.sites[dpid - 1].ovs.run("ip", "link", "set", NAMES[dpid], "up")
        for command in (
                f"ip link add br0 address {host.mac} type bridge", "ip link set eth1 master br0",
                "ip link set eth2 master br0", "bridge link set dev eth1 isolated on",
                "bridge link set dev eth2 isolated on", "ip link set eth1 up", "ip link set eth2 up",
                "ip link set br0 up", f"ip address add {host.address}/24 dev br0"):
            site.ovs.run(*command.split(), host=name)
        for interface in ("br0", "eth1", "eth2"):
            site.ovs.run("ethtool", "-K", interface, "tx", "off", host=name, check=False)
        self.add(2)

    # Where the VIF is said to be

    def add(self, dpid: int, status: str = "active") -> None:
        self.sites[dpid - 1].ovs.vsctl(
            "add-port", f"s{dpid:x}", NAMES[dpid], "--", "set", "interface", NAMES[dpid],
            f"external_ids:iface-id={VIF}", f"external_ids:iface-status={status}")

    def mark(self, dpid: int, status: str) -> None:
        self.sites[dpid - 1].ovs.vsctl("set", "interface", NAMES[dpid], f"external_ids:iface-status={status}")

    def remove(self, dpid: int) -> None:
        self.sites[dpid - 1].ovs.vsctl("del-port", f"s{dpid:x}", NAMES[dpid])

    @property
    def place(self) -> tuple[str, str]:
        port = self.get("/v1/logical-switches/red/ports/2")
        return port["state"], port["datapath"][-1] if port["datapath"] else ""

    def active(self) -> set[int]:
        """The datapaths where it is said to be, and not marked inactive."""
        return {int(vif["dpid"], 16) for row in self.get("/v1/databases") for vif in row["vifs"]
                if vif["iface_id"] == VIF and vif["active"]}

    def taken_in_at(self, dpid: int) -> bool:
        """Whether frames of the VIF enter there."""
        ovs = self.sites[dpid - 1].ovs
        number = ovs.vsctl("get", "interface", NAMES[dpid], "ofport").strip()
        flows = ovs.ofctl("dump-flows", f"s{dpid:x}", "table=0").replace(" ", ",")
        return f"in_port={number}," in flows or f'in_port="{NAMES[dpid]}",' in flows

    def run_hvproxy(self, *command: str) -> subprocess.CompletedProcess[str]:
        return self.ovs.run(HVPROXY, *command, host=ROUTER, check=False)


@pytest.fixture(scope="module")
def sites() -> Iterator[Moving]:
    require()
    with Moving() as sites:
        wait_until(lambda: sites.ping(ASKING, MOVING) == 1, "the hosts do not reach each other")
        yield sites


def wait_for_drain(sites: Moving, left: int) -> None:
    wait_until(lambda: not sites.taken_in_at(left), "the former place is not left")


def test_a_vif_at_two_places_moves_without_loss_when_the_old_one_is_marked_inactive(sites: Moving) -> None:
    sites.add(3, "inactive")
    with Pings(sites.at(ASKING), ASKING, MOVING) as pings:
        for new, old in ((3, 2), (2, 3), (3, 2)):
            sites.mark(new, "active")
            sites.mark(old, "inactive")
            wait_until(lambda each=new: sites.place == ("up", str(each)), "it does not move")
            wait_for_drain(sites, old)
    assert pings.lost == [] and len(pings.answered) == len(set(pings.answered)) > 3 * DRAIN / INTERVAL / 10


@pytest.mark.alone
def test_when_the_old_one_goes_it_moves_at_once(sites: Moving) -> None:
    def good() -> bool:
        if sites.place == ("up", "2"):
            sites.mark(2, "inactive")
            sites.add(3)
            wait_until(lambda: sites.place == ("up", "3"), "it does not move back")
            wait_for_drain(sites, 2)
        sites.mark(2, "active")
        wait_until(lambda: sites.active() == {2, 3}, "nobody hears of the other")
        assert sites.place == ("up", "3")
        with Pings(sites.at(ASKING), ASKING, MOVING) as pings:
            sites.remove(3)
            wait_until(lambda: sites.place == ("up", "2"), "it does not move")
        print(f"the first one goes, the other counts: {len(pings.lost)} of {max(pings.answered)} lost")
        return len(pings.lost) * INTERVAL < 1.0

    assert holds(good)


@pytest.mark.alone
def test_break_before_make_loses_no_more_than_its_own_absence_and_a_second(sites: Moving) -> None:
    def good() -> bool:
        if sites.place[1] == "3":
            sites.remove(3)
            sites.add(2)
            wait_until(lambda: sites.place == ("up", "2"), "it does not move back")
        with Pings(sites.at(ASKING), ASKING, MOVING) as pings:
            before = time.monotonic()
            sites.remove(2)
            wait_until(lambda: sites.place[0] == "down", "nobody misses it")
            sites.add(3)
            absent = time.monotonic() - before
            wait_until(lambda: sites.place == ("up", "3"), "it does not come up")
        print(f"absent for {absent:.2f} s: {len(pings.lost)} of {max(pings.answered)} lost")
        assert pings.lost
        return len(pings.lost) * INTERVAL < absent + 1.0

    assert holds(good)


def test_a_switch_is_drained_and_taken_away_without_loss(sites: Moving) -> None:
    sites.add(2)
    wait_until(lambda: sum(vif["iface_id"] == VIF for row in sites.get("/v1/databases") for vif in row["vifs"]) == 2,
               "no database has it at both")
    assert sites.place == ("up", "3")
    with Pings(sites.at(ASKING), ASKING, MOVING) as pings:
        done = sites.run_hvproxy("drain", "0x3")
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.splitlines()[-1] == "datapath 0000000000000003 carries nothing and may be taken away"
        assert sites.place == ("up", "2")
        sites.sites[2].ovs.vsctl("del-br", "s3")
        wait_until(lambda: sites.get("/v1/datapaths/0000000000000003")["state"] != "ready", "it is still there")
    assert pings.lost == []
