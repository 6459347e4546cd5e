"""The MTU of logical ports on real Open vSwitch: what is told is what gets through, and too small an underlay is told.

Two subnets with a GRE tunnel between; the underlay carries 100 bytes more than hosts send, until it is made smaller.
"""
from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from hvproxy.hypervisor.mtu import TOO_SMALL
from tests.system.network import HostSpec, wait_until
from tests.system.ovs import require
from tests.system.sites import Site, Sites

HOSTS = (HostSpec("red", 1, 1, 1), HostSpec("red", 2, 2, 1))
HEADERS = 28
"""Of IPv4 and ICMP."""


class Lasting(Sites):
    """A tunnel that seems dead carries nothing, and has no MTU for as long."""

    bfd_interval = 1


@pytest.fixture(scope="module")
def sites() -> Iterator[Sites]:
    require()
    with Lasting([Site(1, (1,), 1), Site(2, (2,), 2)], HOSTS, links=1) as sites:
        yield sites


def mtus(sites: Sites) -> list[int]:
    return [port["mtu"] for port in sites.get("/v1/logical-switches/red/ports")]


def passes(sites: Sites, size: int) -> bool:
    """Whether an IP packet of that size gets through and is answered."""
    near, far = HOSTS
    return sites.at(near).run("ping", "-n", "-c", "1", "-W", "1", "-M", "do", "-s", str(size - HEADERS), far.address,
                              host=near.name, check=False).returncode == 0


def test_what_is_told_is_what_gets_through(sites: Sites) -> None:
    wait_until(lambda: mtus(sites) == [1500, 1500], "the databases have told")
    wait_until(lambda: passes(sites, 1500), "what the hosts may send gets through")
    assert not re.search(re.escape(TOO_SMALL), sites.ovs.said)


def test_too_small_an_underlay_is_told_with_what_to_do(sites: Sites) -> None:
    site = sites.sites[1]
    for interface in ("br-phys", "under"):
        site.ovs.run("ip", "link", "set", interface, "mtu", "1500")
    wait_until(lambda: mtus(sites) == [1458, 1458], "the MTU is told")
    wait_until(lambda: passes(sites, 1458), "as much as is told gets through")
    assert not passes(sites, 1459)
    (advice,) = {port["mtu_advice"] for port in sites.get("/v1/logical-switches/red/ports")}
    assert advice == "br-phys of 0000000000000002 has an MTU of 1500: give it 1542, or the host 1458 instead of 1500"
    assert sites.ovs.said.count(TOO_SMALL) == 1
    said = sites.text("/metrics")
    assert 'hvproxy_logical_port_mtu{logical_switch="red",port="1"} 1458.0' in said
    assert f"hvproxy_alarms_total{{alarm={json.dumps(TOO_SMALL)}}} 1.0" in said


def test_as_much_as_is_advised_is_enough(sites: Sites) -> None:
    for interface in ("br-phys", "under"):
        sites.sites[1].ovs.run("ip", "link", "set", interface, "mtu", "1542")
    wait_until(lambda: mtus(sites) == [1500, 1500], "the MTU is told")
    wait_until(lambda: passes(sites, 1500), "as much as is told gets through")
    assert sites.get("/v1/logical-switches/red/ports")[0]["mtu_advice"] is None
