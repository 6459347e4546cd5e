"""hvproxy on hvproxy: what runs on leaves and spines of Open vSwitch runs on another one's logical switches.

The outer hvproxy, with conf/outer.yaml, has two edges of real Open vSwitch; its logical switches are the inner one's
physical switches, and its wires the links between these. Hosts, tenants, controllers and tests are those of the main
job, without what looks at cables that are not there.
"""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.system.network import LEAVES, ROOT, SPINES, SWITCH_PORT, HostSpec, Network, wait_until
from tests.system.ovs import require
from tests.system.pings import INTERVAL, Pings
from tests.system.starvation import holds
from tests.system.test_two_tenants import (  # noqa: F401
    Capture, pairs, tags, test_all_pairs_within_a_tenant_answer_and_no_frame_crosses,
    test_every_frame_comes_out_byte_for_byte_as_it_went_in,
    test_logical_counters_equal_what_the_hosts_sent_and_received,
    test_two_tables_write_actions_and_groups_do_what_they_say,
)

INNER_PORT = 6634
EDGES = (0xE1, 0xE2)
MANAGED = {0x11: 17011, 0x12: 17012}
"""Spine -> where the outer hvproxy listens for tools."""


OUTAGE = 0.5
"""Seconds that may be lost until the inner one goes another way."""


class Recursive(Network):
    """The main job's network whose switches are logical ones."""

    between: str
    """The interface of the first edge towards the other."""

    def config(self) -> dict[str, object]:
        return {**super().config(), "switches": {"listen": [f"ptcp:{INNER_PORT}:127.0.0.1"]}}

    def _build(self) -> None:
        ovs = self.ovs
        outer: dict[str, Any] = yaml.safe_load((ROOT / "conf/outer.yaml").read_text())
        (ovs.directory / "outer.yaml").write_text(yaml.safe_dump({**outer, "store": "memory:"}))
        (ovs.directory / "net.yaml").write_text(yaml.safe_dump(self.config()))
        ovs.serve(ovs.directory / "outer.yaml", log="outer.log")
        tenants = sorted({host.tenant for host in self.hosts})
        for tenant in tenants:
            self._start_controller(tenant)
        self.serve()
        for edge in EDGES:
            ovs.add_bridge(f"s{edge:x}", edge)
        self.between, _ = ovs.add_link(f"s{EDGES[0]:x}", 1, f"s{EDGES[1]:x}", 1)
        for host in self.hosts:
            self._add_host(host)
        for edge in EDGES:
            ovs.set_controllers(f"s{edge:x}", f"tcp:127.0.0.1:{SWITCH_PORT}")
        self.links = {(leaf, spine): ("", "") for leaf in LEAVES for spine in SPINES}
        wait_until(self.settled, "not all links are discovered, all switches ready and all ports up", 60)
        for tenant in tenants:
            wait_until(lambda t=tenant: self.ready(t), f"the controller of {tenant} did not set up its switch")

    def place(self, host: HostSpec) -> tuple[str, int]:
        return f"s{EDGES[(host.leaf - 1) // 2]:x}", 10 * host.leaf + host.port

    def audit(self, dpid: int) -> dict[str, Any]:
        """How one of the inner one's switches differs from what it should hold."""
        found: dict[str, Any] = self.get(f"/v1/datapaths/{dpid:#x}/audit", "POST")
        return found

    def set_uplink(self, leaf: int, spine: int, up: bool) -> None:
        """The link between two of the inner one's switches."""
        self.ovs.run("ovs-ofctl", "-O", "OpenFlow13", "mod-port", f"tcp:127.0.0.1:{MANAGED[spine]}", str(leaf),
                     "up" if up else "down")


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    require()
    with Recursive() as started:
        yield started


def test_what_the_inner_ones_switches_hold_is_read_back_as_it_was_sent(network: Recursive) -> None:
    for dpid in (*LEAVES, *SPINES):
        assert network.audit(dpid)["drift"] == []


def test_between_the_edges_frames_are_under_one_label_of_the_outer_one(network: Recursive) -> None:
    capture = Capture(network, network.between)
    for a, b in pairs(network, "red"):
        assert network.ping(a, b) == 1
    pattern = bytes.fromhex("aa" * 16)
    wait_until(lambda: any(pattern in frame for frame in capture.seen()), "frames between the edges")
    assert all(len(tags(frame)) == 1 for frame in capture.frames() if pattern in frame)


@pytest.mark.alone
def test_a_link_that_the_outer_one_takes_away_is_bypassed_by_the_inner_one(network: Recursive) -> None:
    a, b = network.of("red")[0], network.of("red")[3]
    assert network.ping(a, b) == 1
    told = network.metric("hvproxy_messages_total", direction="to_controller", type="port_status")

    def survives(spine: int) -> bool:
        with Pings(network.ovs, a, b) as pings:
            network.set_uplink(1, spine, False)
            wait_until(lambda: (1, spine) not in network.joined(), "the link is down")
        network.set_uplink(1, spine, True)
        wait_until(network.settled, "the link is back")
        print(f"link to {spine:#x}: {len(pings.lost)} of {max(pings.answered)} lost")
        return len(pings.lost) * INTERVAL <= OUTAGE

    for spine in SPINES:
        assert holds(lambda: survives(spine)), spine
    assert network.metric("hvproxy_messages_total", direction="to_controller", type="port_status") == told
