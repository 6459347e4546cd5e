"""Tenants' FAST_FAILOVER and SELECT groups over two real Open vSwitch, driven with ovs-ofctl as a tenant's tool."""
from __future__ import annotations

import json
import re
import struct
from collections import Counter
from collections.abc import Iterable, Iterator
from socket import socket

import pytest
import yaml

from tests.packets import tagged
from tests.system.network import wait_until
from tests.system.ovs import PrivateOvs, received, require
from tools.emulator.host import ipv4

API, SWITCHES, TENANT = 8080, 6633, 16653
PORTS = {1: (1, 1, None), 2: (1, 2, None), 3: (2, 1, None), 4: (2, 2, None), 5: (1, 3, 20), 6: (2, 3, None)}
"""Logical port -> (datapath, port, VLAN)."""
LINK = 9
EVERY_PORT = {number for number in PORTS if number != 5}
FLOWS = 1000
BATCH = 50
"""Frames sent before what came out is waited for: a socket holds some hundreds."""


def tcp(source_port: int) -> bytes:
    """A frame of one of many TCP connections between two hosts."""
    segment = struct.pack("!HHIIBBHHH", source_port, 80, 0, 0, 0x50, 0x10, 1024, 0, 0)
    packet = ipv4(b"\x0a\0\0\1", b"\x0a\0\0\2", 6, segment)
    return b"\x02\0\0\0\0\2\x02\0\0\0\0\1\x08\x00" + packet + bytes(60 - 14 - len(packet))


PROBE = tcp(FLOWS + 1)


def source_port(frame: bytes) -> int:
    return int.from_bytes(frame[34:36], "big")


class Fabric:
    """Two edges, a link, a tenant with a port on each of six places; everything up."""

    def __init__(self, ovs: PrivateOvs) -> None:
        self.ovs = ovs
        self.interfaces: dict[int, str] = {}
        self.sockets: dict[int, socket] = {}
        path = ovs.directory / "net.yaml"
        path.write_text(yaml.safe_dump(self.config()))
        ovs.serve(path, "--log-format", "json")
        for dpid in (1, 2):
            ovs.add_bridge(f"s{dpid}", dpid)
        for number, (dpid, port, _) in PORTS.items():
            self.interfaces[number] = ovs.add_port(f"s{dpid}", port)
            self.sockets[number] = ovs.raw(self.interfaces[number])
        self.link = ovs.add_link("s1", LINK, "s2", LINK)
        for dpid in (1, 2):
            self.connect(dpid)
        wait_until(self.served, "the ports come up and the logical switch is served")

    def config(self) -> dict[str, object]:
        return {
            "switches": {"listen": [f"ptcp:{SWITCHES}:127.0.0.1"]},
            "fabric": {"discovery": False, "links": [f"0x1:{LINK} - 0x2:{LINK}"]},
            "api": {"listen": f"ptcp:{API}:127.0.0.1"},
            "store": "memory:",
            "tenants": [{"name": "red", "logical_switches": [{
                "name": "red", "datapath_id": 0xA1, "listen": [f"ptcp:{TENANT}:127.0.0.1"],
                "ports": [{"number": number, "name": f"red{number}",
                           "attach": {"datapath": dpid, "port": port, **({"vlan": vlan} if vlan else {})}}
                          for number, (dpid, port, vlan) in PORTS.items()],
            }]}],
        }

    def connect(self, dpid: int) -> None:
        self.ovs.set_controllers(f"s{dpid}", f"tcp:127.0.0.1:{SWITCHES}")

    def disconnect(self, dpid: int) -> None:
        """A bridge without any controller would lose its rules: it dials where nobody listens."""
        self.ovs.set_controllers(f"s{dpid}", "tcp:127.0.0.1:1")

    def served(self) -> bool:
        """Whether all logical ports are up, and the logical switch listens: that may be later."""
        try:
            rows = json.loads(self.ovs.fetch(f"http://127.0.0.1:{API}/v1/logical-switches/red/ports"))
            self.ovs.fetch(f"http://127.0.0.1:{API}/readyz")
        except OSError:
            return False
        return {row["number"] for row in rows if row["state"] == "up"} == set(PORTS)

    def reconciled(self) -> list[dict[str, object]]:
        """What hvproxy has said of each time that it had read a switch and put right what that holds."""
        # Of a line that is being written there is no end yet.
        lines = self.ovs.said.rpartition("\n")[0].splitlines()
        return [event for event in map(json.loads, lines) if event.get("event") == "reconciled"]

    def returned(self, before: int) -> None:
        """Wait until one more switch has been reconciled than so many, and all ports are up."""
        wait_until(lambda: len(self.reconciled()) > before and self.served(), "the switch is reconciled and all is up")

    def tenant(self, command: str, *arguments: str) -> str:
        """ovs-ofctl on the logical switch; its output, and its errors."""
        done = self.ovs.run("ovs-ofctl", "-O", "OpenFlow13", command, f"tcp:127.0.0.1:{TENANT}", *arguments,
                            check=False)
        return done.stdout + done.stderr

    def install(self, groups: Iterable[str], flows: Iterable[str]) -> None:
        """Nothing but these, and nothing of earlier frames is counted for them."""
        self.ovs.carry_on()
        self.ovs.forget_flows()
        assert self.tenant("del-flows") == "" and self.tenant("del-groups") == ""
        for group in groups:
            assert self.tenant("add-group", group) == ""
        for flow in flows:
            assert self.tenant("add-flow", flow) == ""
        self.ovs.forget_flows()

    def send(self, number: int, frames: Iterable[bytes]) -> None:
        for frame in frames:
            self.sockets[number].send(tagged(frame, PORTS[number][2]))

    def came(self) -> Counter[tuple[int, int]]:
        """(logical port, TCP source port) of our frames that came out since the last call."""
        return Counter((number, source_port(frame)) for number in EVERY_PORT for frame in received(self.sockets[number])
                       if frame[12:14] == b"\x08\x00" and len(frame) >= 54)

    def where(self, number: int, frame: bytes) -> set[int]:
        """The logical ports out of which a frame comes that enters at this one; sent until something comes out."""
        self.ovs.carry_on()  # one that was sent before comes out of where that was to go
        self.came()
        found: set[int] = set()

        def seen() -> bool:
            self.send(number, [frame])
            found.update(port for port, _ in self.came())
            return bool(found)

        wait_until(seen, "a frame comes out")
        return found

    def reaches(self, number: int, wanted: int) -> None:
        """Wait until frames of one port come out of that other one and no other."""
        wait_until(lambda: self.where(number, PROBE) == {wanted}, f"frames of port {number} come out of {wanted}")

    def healthy(self) -> bool:
        """Both bridges answer, and the switch was never started anew."""
        shown = [self.ovs.ofctl("show", f"s{dpid}") for dpid in (1, 2)]
        return all("OFPT_FEATURES_REPLY" in text for text in shown)


@pytest.fixture(scope="module")
def fabric() -> Iterator[Fabric]:
    require()
    with PrivateOvs() as ovs:
        yield Fabric(ovs)


@pytest.mark.parametrize("how", ["actions={}", "actions=write_actions({})"])
def test_a_failover_group_follows_ports_on_other_switches_and_on_its_own(fabric: Fabric, how: str) -> None:
    group = "group_id=1,type=ff," + ",".join(f"bucket=watch_port:{n},output:{n}" for n in (3, 2, 4))
    nested = "group_id=2,type=ff,bucket=watch_group:1,group:1"
    fabric.install([group, nested], [how.format("group:2")])
    for number in (1, 5):
        fabric.reaches(number, 3)
    for down, wanted in ((3, 2), (2, 4)):
        fabric.ovs.set_interface(fabric.interfaces[down], False)
        for number in (1, 5, 6):
            fabric.reaches(number, wanted)
    for up in (2, 3):
        fabric.ovs.set_interface(fabric.interfaces[up], True)
        for number in (1, 5, 6):
            fabric.reaches(number, up)
    assert fabric.healthy()


def test_a_failover_group_does_not_wait_for_hvproxy_when_the_fabric_is_lost(fabric: Fabric) -> None:
    fabric.install(["group_id=1,type=ff,bucket=watch_port:3,output:3,bucket=watch_port:2,output:2"],
                   ["in_port=1,actions=group:1"])
    fabric.reaches(1, 3)
    before = len(fabric.reconciled())
    fabric.disconnect(1)
    fabric.ovs.set_interface(fabric.link[0], False)
    fabric.reaches(1, 2)
    fabric.ovs.set_interface(fabric.link[0], True)
    fabric.reaches(1, 3)
    fabric.connect(1)
    fabric.returned(before)


def shares(fabric: Fabric, ingress: int) -> dict[int, int]:
    """Which port each of many connections comes out of."""
    found: dict[int, int] = {}
    fabric.came()
    for first in range(1, FLOWS + 1, BATCH):
        batch = range(first, first + BATCH)
        fabric.send(ingress, map(tcp, batch))

        def all_came() -> bool:
            for (number, flow), count in fabric.came().items():
                if flow in batch:
                    assert flow not in found and count == 1, "a frame came out twice"
                    found[flow] = number
            return set(batch) <= found.keys()

        wait_until(all_came, f"frames {batch} of port {ingress} come out")
    return found


def test_connections_choose_the_same_bucket_wherever_they_enter_and_by_weight(fabric: Fabric) -> None:
    """Trap 21."""
    buckets = ((2, 1), (3, 1), (4, 2))
    fabric.install(
        ["group_id=1,type=select," + ",".join(f"bucket=weight:{weight},output:{port}" for port, weight in buckets)],
        [f"in_port={number},actions=group:1" for number in (1, 5, 6)])
    first, *others = [shares(fabric, ingress) for ingress in (1, 5, 6)]
    assert all(other == first for other in others)
    count = Counter(first.values())
    for port, weight in buckets:
        assert abs(count[port] / FLOWS - weight / 4) < 0.06, count

    def counted() -> bool:
        told = fabric.tenant("dump-group-stats")
        numbers = [int(number) for number in re.findall(r"packet_count=(\d+)", told)]
        assert "ref_count=3" in told
        return numbers == [3 * FLOWS, *(3 * count[port] for port, _ in buckets)]

    wait_until(counted, "every packet is counted once")


def test_a_dead_bucket_gives_its_connections_away_and_the_others_keep_theirs(fabric: Fabric) -> None:
    fabric.install(["group_id=1,type=select," + ",".join(
        f"bucket=weight:5,watch_port:{port},output:{port}" for port in (2, 3, 4))], ["actions=group:1"])
    before = shares(fabric, 1)
    dying = next(flow for flow in range(FLOWS + 1, 1 << 16) if fabric.where(1, tcp(flow)) == {4})
    fabric.ovs.set_interface(fabric.interfaces[4], False)
    wait_until(lambda: fabric.where(1, tcp(dying)) & {2, 3}, "its connections come out elsewhere")
    fabric.ovs.forget_flows()
    after = shares(fabric, 1)
    fabric.ovs.set_interface(fabric.interfaces[4], True)
    assert set(after.values()) == {2, 3}
    assert all(after[flow] == port for flow, port in before.items() if port != 4)


def test_what_aborts_an_open_vswitch_does_not_abort_one_that_tenants_share(fabric: Fabric) -> None:
    """An action set and a SELECT group in a later table, and a group deleted that an entry names twice."""
    fabric.install(
        ["group_id=1,type=select,bucket=weight:1,output:2,bucket=weight:100,output:3",
         "group_id=2,type=indirect,bucket=group:1", "group_id=3,type=select,bucket=weight:1,group:1",
         "group_id=4,type=select,bucket=weight:0,output:2", "group_id=5,type=select"],
        ["table=0,actions=write_actions(output:4),goto_table:1", "table=1,actions=group:1,goto_table:2",
         "table=2,actions=group:2,group:2,goto_table:3", "table=3,actions=group:3,group:4,group:5"])
    for number in (1, 5, 6):
        fabric.send(number, map(tcp, range(1, BATCH)))
        while fabric.where(number, PROBE) != {3, 4}:
            assert fabric.healthy()
    assert fabric.tenant("del-groups", "group_id=2") == "" and fabric.tenant("del-groups") == ""
    assert "OFPGMFC_LOOP" in fabric.tenant("add-group", "group_id=7,type=ff,bucket=watch_group:7,output:2,"
                                           "bucket=watch_group:7,output:3")
    assert fabric.healthy()


def test_a_switch_that_returns_is_sent_no_group_that_it_holds(fabric: Fabric) -> None:
    fabric.install(["group_id=1,type=select,bucket=weight:1,watch_port:3,output:3,bucket=weight:2,output:2",
                    "group_id=2,type=ff,bucket=watch_port:4,output:4,bucket=watch_group:1,group:1"],
                   ["actions=group:2"])
    before = len(fabric.reconciled())
    fabric.disconnect(1)
    fabric.connect(1)
    fabric.returned(before)
    event = fabric.reconciled()[before]
    assert (event["groups_put"], event["groups_dropped"], event["rules_put"], event["rules_dropped"]) == (0, 0, 0, 0)
