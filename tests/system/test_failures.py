"""Links and switches fail one by one where tunnels meet VLAN links, under pings of every pair, on real Open vSwitch.

Leaves 1 and 2 have a subnet each, and two spines with VLAN links between them; 3 and 4 have a subnet each and tunnels
only. So between 1 and 2 frames go by the one spine or the other, or by 3 or 4; to 3 and 4 directly, or by any other.
Where a switch sees a failure itself, what it knows of another way loses 5 frames at most. A tunnel that gets nothing
through is seen by BFD, after three frames of it that are missing: that takes 0.3 s and some more; a VLAN link is asked
by hvproxy, which takes up to 2.4 s. 3 s at most are lost. On the fabric of VLAN links alone that is seen in
test_two_tenants.
"""
from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest
import yaml

from tests.system.network import CONTROLLER_PORT, SWITCH_PORT, HostSpec, wait_until
from tests.system.on_ovs import API_PORT
from tests.system.ovs import HVPROXY, PrivateOvs, require
from tests.system.pings import INTERVAL, Pings
from tests.system.sites import ROUTER, Site, Sites
from tests.system.starvation import holds

pytestmark = [pytest.mark.alone, pytest.mark.timeout(900)]  # what a busy machine spoils is measured again
HOSTS = tuple(HostSpec("red", number, number, 1) for number in (1, 2, 3, 4))
SPINES = (9, 10)
VLAN_LINKS = "7"
"""The group that their interfaces are in, so that all of a switch can fail in one moment."""
AT_ONCE = 5
"""Frames that may be lost where a switch sees a failure itself and knows another way."""
UNSEEN = 3.0
"""Seconds that may be lost where it does not."""
FOUND_OUT = 1.5
"""Seconds in which hvproxy finds out that a switch forwards nothing that it has lost, while the grace is not over."""
Pair = tuple[int, int]
PAIRS: tuple[Pair, ...] = ((1, 2), (1, 3), (2, 3), (3, 4))
LINKS: frozenset[Pair] = frozenset({(1, 9), (1, 10), (2, 9), (2, 10), (1, 3), (1, 4), (2, 3), (2, 4), (3, 4)})
"""Of datapaths, when nothing fails: between 1 and 2 there is no tunnel."""


class Fabric(Sites):
    """Four sites, and the spines, each a machine of its own."""

    def __init__(self) -> None:
        super().__init__([Site(number, (number,), number) for number in (1, 2, 3, 4)], HOSTS)
        self.spines = {spine: PrivateOvs() for spine in SPINES}

    def _every_ovs(self) -> Iterable[PrivateOvs]:
        return [*self.spines.values(), *super()._every_ovs()]

    def config(self) -> dict[str, Any]:
        config = super().config()
        del config["switches"]["grace"]  # whatever a busy machine takes for what is to happen before it is over
        return config

    def _start_controllers(self) -> None:
        self.ovs.spawn("ovs-testcontroller", f"ptcp:{CONTROLLER_PORT['red']}:127.0.0.1", "-O", "OpenFlow13",
                       host=ROUTER, log="red.log")

    def _add_underlay(self, site: Site) -> None:
        super()._add_underlay(site)
        self._add_management(site.number, site.ovs)
        if site is self.sites[-1]:
            for number, spine in self.spines.items():
                self._add_management(number, spine)

    def _add_management(self, number: int, ovs: PrivateOvs) -> None:
        """What fails is the fabric only: hvproxy reaches every switch by another way."""
        far = f"m{number}"
        subprocess.run(["ip", "link", "add", "manage", "netns", ovs.namespace, "type", "veth", "peer", "name", far,
                        "netns", self.ovs.namespace_of(ROUTER)], check=True)
        ovs.run("ip", "address", "add", f"10.8.{number}.1/24", "dev", "manage")
        ovs.run("ip", "link", "set", "manage", "up")
        self.on_router("ip", "address", "add", f"10.8.{number}.254/24", "dev", far)
        self.on_router("ip", "link", "set", far, "up")

    def _add_datapaths(self, site: Site) -> None:
        super()._add_datapaths(site)
        site.ovs.set_controllers(f"s{site.number}", self.controller(site.number))
        if site is not self.sites[-1]:
            return
        for number, spine in self.spines.items():
            spine.add_bridge(f"s{number:x}", number)
            for leaf in (1, 2):
                self._join(spine, f"s{number:x}", leaf, leaf, number)
            spine.set_controllers(f"s{number:x}", self.controller(number))

    @staticmethod
    def controller(number: int) -> str:
        """How a switch reaches hvproxy."""
        return f"tcp:10.8.{number}.254:{SWITCH_PORT}"

    def _join(self, spine: PrivateOvs, bridge: str, port: int, leaf: int, leaf_port: int) -> None:
        """A VLAN link of a spine and a leaf; the interfaces are `down1` at the spine, and `up9` at the leaf."""
        below = self.sites[leaf - 1].ovs
        near, far = f"down{leaf}", f"up{leaf_port}"
        subprocess.run(["ip", "link", "add", near, "netns", spine.namespace, "type", "veth", "peer", "name", far,
                        "netns", below.namespace], check=True)
        for ovs, interface, bridge, number in ((spine, near, bridge, port), (below, far, f"s{leaf}", leaf_port)):
            ovs.run("ip", "link", "set", interface, "mtu", "1600", "group", VLAN_LINKS, "up")
            ovs.vsctl("add-port", bridge, interface, "--", "set", "interface", interface, f"ofport_request={number}")

    def _finish(self) -> None:
        super()._finish()
        wait_until(lambda: self.joined() == LINKS, "not all links are there, or more")
        wait_until(lambda: all(self.ping(a, b) == 1 for a, b in self.pairs("red")), "the hosts do not reach each other")

    # What fails

    @contextmanager
    def down(self, *interfaces: tuple[PrivateOvs, str], host: str | None = None) -> Iterator[None]:
        """These are down as long as the block lasts."""
        for ovs, interface in interfaces:
            ovs.run("ip", "link", "set", interface, "down", host=host)
        yield
        for ovs, interface in interfaces:
            ovs.run("ip", "link", "set", interface, "up", host=host)

    @contextmanager
    def without_endpoint(self, site: Site) -> Iterator[None]:
        """The interface with the address of its tunnels is down, and its routes are gone."""
        with self.down((site.ovs, "br-phys")):
            yield
        site.ovs.run("ip", "route", "add", "default", "via", site.gateway)

    @contextmanager
    def parted(self, a: int, b: int) -> Iterator[None]:
        """Nothing gets through between two sites, either way at once, and no interface shows it."""
        def rules(what: str) -> None:
            lines = (f"rule {what} from 10.9.{x}.1 to 10.9.{y}.1 blackhole" for x, y in ((a, b), (b, a)))
            self.on_router("sh", "-c", f"echo '{chr(10).join(lines)}' | ip -batch -")

        rules("add")
        yield
        rules("del")

    @contextmanager
    def watched_each(self, seconds: float) -> Iterator[None]:
        """BFD looks so often."""
        quick = self.ovs.directory / "quick.yaml"
        quick.write_text(yaml.safe_dump({**(config := self.config()),
                                         "fabric": {**config["fabric"], "bfd_interval": seconds}}))
        self.apply(quick)
        wait_until(lambda: self.intervals() == {str(round(seconds * 1000))}, "BFD looks as often as it is to")
        try:
            yield
        finally:
            self.apply(self.ovs.directory / "sites.yaml")
            wait_until(lambda: self.intervals() == {"100"}, "BFD looks as often as before")

    def apply(self, config: Path) -> None:
        """Have hvproxy do what a file says."""
        self.on_router(HVPROXY, "apply", "--api", f"http://127.0.0.1:{API_PORT}", str(config))

    def intervals(self) -> set[str]:
        """How often the ends of tunnels are seen to, in milliseconds."""
        return {found for site in self.sites for found in re.findall(
            r'min_[rt]x="?(\d+)', site.ovs.vsctl("--columns=bfd", "list", "interface"))}

    @contextmanager
    def dead(self, spine: int) -> Iterator[None]:
        """A spine is without power: its links are down, and nothing of it is left."""
        ovs = self.spines[spine]
        ovs.run("ip", "link", "set", "group", VLAN_LINKS, "down")
        ovs.kill_switches()
        yield
        ovs.start_switches()
        ovs.run("ip", "link", "set", "group", VLAN_LINKS, "up")

    @contextmanager
    def killed(self, spine: int) -> Iterator[None]:
        """A spine forwards nothing, and its links stay up."""
        self.spines[spine].kill_switches()
        yield
        self.spines[spine].start_switches()

    @contextmanager
    def deaf(self, spine: int) -> Iterator[None]:
        """The links of a spine let nothing through, and stay up; it itself is well."""
        for leaf in (1, 2):
            self.spines[spine].ofctl("mod-port", f"s{spine:x}", f"down{leaf}", "no-receive")
        yield
        for leaf in (1, 2):
            self.spines[spine].ofctl("mod-port", f"s{spine:x}", f"down{leaf}", "receive")

    @contextmanager
    def unled(self, spine: int) -> Iterator[None]:
        """A spine does not reach hvproxy, and forwards as ever. Without any controller it would forget its rules."""
        self.spines[spine].set_controllers(f"s{spine:x}", f"tcp:10.8.{spine}.254:1")
        yield
        self.spines[spine].set_controllers(f"s{spine:x}", self.controller(spine))

    def state(self, dpid: int) -> str:
        """Of a switch, as hvproxy sees it."""
        row: dict[str, str] = next(row for row in self.get("/v1/datapaths") if int(row["dpid"], 16) == dpid)
        return row["state"]

    def way(self) -> int:
        """The datapath that frames from 1 to 2 cross first; 0 while there is no way."""
        try:
            return int(self.get("/v1/fabric/paths/0x1/0x2")[0]["to"]["dpid"], 16)
        except HTTPError as error:
            if error.code != 404:
                raise
            return 0

    def spine(self) -> int:
        """The spine that they cross, once it is one."""
        found = 0

        def crossed() -> bool:
            nonlocal found
            found = self.way()
            return found in SPINES

        wait_until(crossed, "no spine is on the way")
        return found

    def joined(self) -> set[Pair]:
        """The datapaths that a link joins which is up."""
        ends = [[int(link[end]["dpid"], 16) for end in ("a", "b")] for link in self.get("/v1/links")
                if link["state"] == "up"]
        return {(min(pair), max(pair)) for pair in ends}

    def flaps_of_each(self) -> dict[str, int]:
        """The same as `flaps`, by the interface of the tunnel."""
        return {name: int(count) for site in self.sites for name, count in re.findall(
            r'name +: (\S+)\nbfd_status +: .*flap_count="(\d+)"',
            site.ovs.vsctl("--columns=name,bfd_status", "list", "interface"))}

    def told(self) -> float:
        """How many PORT_STATUS the tenant was sent."""
        return self.metric("hvproxy_messages_total", direction="to_controller", type="port_status")


@pytest.fixture(scope="module")
def fabric() -> Iterator[Fabric]:
    require()
    with Fabric() as fabric:
        yield fabric


def lost(fabric: Fabric, happens: Callable[[], object]) -> dict[Pair, int]:
    """How many pings of each pair are not answered, of those that are sent until after something has happened."""
    with ExitStack() as stack:
        everybody = {(a, b): stack.enter_context(Pings(fabric.at(HOSTS[a - 1]), HOSTS[a - 1], HOSTS[b - 1]))
                     for a, b in PAIRS}
        happens()
        for pings in everybody.values():
            pings.go_on()
    return {pair: len(pings.lost) for pair, pings in everybody.items()}


def survives(fabric: Fabric, what: str, failure: Callable[[], AbstractContextManager[None]], links: int,
             by_bfd: Pair | None = None, by_hvproxy: Pair | None = None) -> None:
    """A failure takes some links, and hvproxy has other ways; then all is as before. No pair loses more than a switch
    needs that sees it, but the one that BFD, or hvproxy, sees it for. The tenant hears nothing."""
    assert holds(lambda: _survives(fabric, what, failure(), links, by_bfd, by_hvproxy)), what


def _survives(fabric: Fabric, what: str, failure: AbstractContextManager[None], links: int,
              by_bfd: Pair | None, by_hvproxy: Pair | None) -> bool | None:
    good, once_starved = True, False
    flaps = 0 if by_bfd is None else 2 * links

    def fails() -> None:
        failure.__enter__()
        wait_until(lambda: len(LINKS - fabric.joined()) == links, f"{what}: {links} links are down")

    def ends() -> None:
        failure.__exit__(None, None, None)
        wait_until(lambda: fabric.joined() == LINKS and fabric.settled(), f"{what}: the links are back")

    for happens, concerned in ((fails, by_bfd or by_hvproxy), (ends, None)):
        before, told = fabric.flaps(), fabric.told()
        found = lost(fabric, happens)
        print(f"{what} {happens.__name__}: lost {found}")
        quiet = fabric.told() == told
        # On a machine that is busy for too long BFD takes a tunnel for dead that is not, or all that a site has.
        starved = fabric.flaps() != before + flaps
        once_starved |= starved
        good &= starved or quiet
        good &= all(count <= (UNSEEN / INTERVAL if pair == concerned or starved else AT_ONCE)
                    for pair, count in found.items())
    return good or (None if once_starved else False)


def test_vlan_links_and_a_spine_fail_and_frames_go_by_the_other(fabric: Fabric) -> None:
    survives(fabric, "a link", lambda: fabric.down((fabric.sites[0].ovs, f"up{fabric.spine()}")), 1)
    survives(fabric, "a spine", lambda: fabric.dead(fabric.spine()), 2)


def test_a_spine_that_forwards_nothing_while_its_links_are_up_is_found_out_by_hvproxy(fabric: Fabric) -> None:
    survives(fabric, "a spine is killed", lambda: fabric.killed(fabric.spine()), 2, by_hvproxy=(1, 2))
    survives(fabric, "a spine hangs", lambda: fabric.spines[fabric.spine()].hung_switches(), 2, by_hvproxy=(1, 2))
    survives(fabric, "links of a spine drop", lambda: fabric.deaf(fabric.spine()), 2, by_hvproxy=(1, 2))


def test_a_spine_whose_control_connection_alone_is_lost_carries_on(fabric: Fabric) -> None:
    def good() -> bool | None:
        way, told, flaps = fabric.spine(), fabric.told(), fabric.flaps()
        with fabric.unled(way), Pings(fabric.at(HOSTS[0]), HOSTS[0], HOSTS[1]) as pings:
            wait_until(lambda: fabric.state(way) == "lost", "the control connection is lost")
            before = pings.count
            wait_until(lambda: pings.count > before + FOUND_OUT / INTERVAL, "frames go on")
            carries_on = fabric.way() == way and fabric.joined() == LINKS
        wait_until(lambda: fabric.state(way) == "ready" and fabric.joined() == LINKS, "it is back")
        print(f"lost {len(pings.lost)} of {max(pings.answered)}")
        found = carries_on and len(pings.lost) <= AT_ONCE and fabric.told() == told
        return found or (False if fabric.flaps() == flaps else None)

    assert holds(good)


def test_without_vlan_links_frames_go_through_tunnels(fabric: Fabric) -> None:
    """By that of 3 or 4 at once; then there is one between the two."""
    leaf = fabric.sites[0].ovs

    def good() -> bool | None:
        first, told, before = fabric.spine(), fabric.told(), fabric.flaps_of_each()
        with fabric.down((leaf, f"up{first}")):
            other, = set(SPINES) - {first}
            wait_until(lambda: fabric.way() == other, "the other spine is on the way")
            with ExitStack() as stack:
                found = lost(fabric, lambda: stack.enter_context(fabric.down((leaf, f"up{other}"))))
                print(f"the last VLAN link: lost {found}")
                wait_until(lambda: fabric.joined() == {*LINKS, (1, 2)} - {(1, 9), (1, 10)}, "a tunnel joins the two")
            fabric.spine()
        wait_until(lambda: fabric.joined() == LINKS, "all links are there, and the tunnel is gone")
        quiet, flaps = fabric.told() == told, fabric.flaps_of_each()
        starved = any(flaps[name] != count for name, count in before.items())
        few = all(count <= (UNSEEN / INTERVAL if starved else AT_ONCE) for count in found.values())
        return few and (quiet or starved) or (None if starved else False)

    assert holds(good)


def test_what_no_switch_sees_is_seen_by_bfd(fabric: Fabric) -> None:
    survives(fabric, "one tunnel", lambda: fabric.parted(3, 4), 1, (3, 4))
    survives(fabric, "the router's interface", lambda: fabric.down((fabric.ovs, "r1"), host=ROUTER), 2, (1, 3))
    survives(fabric, "the underlay of an edge", lambda: fabric.down((fabric.sites[1].ovs, "under")), 2, (2, 3))
    survives(fabric, "the interface of an endpoint", lambda: fabric.without_endpoint(fabric.sites[1]), 2, (2, 3))


def test_bfd_that_looks_each_15_ms_loses_no_more_than_a_switch_that_sees_a_failure(fabric: Fabric) -> None:
    """Where switches are not without a processor for three of these: else they take tunnels for dead that are not, as
    this setting costs on a busy machine, and nothing can be said."""
    def good() -> bool:
        wait_until(lambda: (3, 4) in fabric.joined(), "the tunnel is up")
        with ExitStack() as stack:
            before = fabric.flaps()

            def fails() -> None:
                stack.enter_context(fabric.parted(3, 4))
                wait_until(lambda: (3, 4) not in fabric.joined(), "the tunnel is down")

            found = lost(fabric, fails)
            starved = fabric.flaps() != before + 2
            print(f"one tunnel, BFD each 15 ms: lost {found}", "while others seemed dead" if starved else "")
        return starved or all(count <= AT_ONCE for count in found.values())

    with fabric.watched_each(0.015):
        assert holds(good, or_busy=True)
    wait_until(lambda: fabric.settled() and fabric.joined() == LINKS, "all is as before")


def test_a_site_without_any_way_is_told_and_comes_back(fabric: Fabric) -> None:
    def state() -> str:
        port: dict[str, str] = fabric.get("/v1/logical-switches/red/ports/4")
        return port["state"]

    told = fabric.told()
    with fabric.down((fabric.sites[3].ovs, "under")):
        wait_until(lambda: state() == "down", "port 4 goes down")
        wait_until(lambda: fabric.ping(HOSTS[0], HOSTS[1]) == fabric.ping(HOSTS[0], HOSTS[2]) == 1, "others carry on")
    wait_until(lambda: state() == "up" and fabric.joined() == LINKS, "it comes back")
    wait_until(lambda: fabric.ping(HOSTS[2], HOSTS[3]) == 1, "the hosts reach each other again")
    assert fabric.told() > told
