"""Three logical switches wired in a ring over four real Open vSwitch edges: discovery, forwarding, counters, loops.

The controller is ryu with its own discovery, unmodified. Hosts a, b and c are one on each logical switch, d is another
of c's, on an edge of its own. Hosts e and f are another tenant's, on the edges of a and b.
"""
from __future__ import annotations

import json
import re
import subprocess
import sys
import time
import urllib.error
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import yaml

from tests.system.echoes import answered
from tests.system.network import LONG, ROOT, SWITCH_PORT, wait_until
from tests.system.on_ovs import API_PORT, OnOvs
from tests.system.ovs import HVPROXY, PATIENCE, require

HOST, NEXT, LAST, SECOND = 1, 2, 3, 4
"""The ports of each logical switch: its host's, those towards the next and the last in the ring, another host's."""
RING = ("a", "b", "c")
PLACES = {"a": (1, HOST), "b": (2, HOST), "c": (3, HOST), "d": (4, SECOND)}
"""Host -> its edge and logical port."""
OTHERS = {"e": 1, "f": 2}
"""Host of the other tenant -> its edge, and its logical port."""
CORE = 0x11
RYU_PORT, TOPOLOGY_PORT, LISTEN = 7001, 8088, {"a": 16653, "b": 16654, "c": 16655, "other": 16656}


class Ring(OnOvs):
    """Context manager: everything up inside."""

    def _build(self) -> None:
        ovs = self.ovs
        (ovs.directory / "ring.yaml").write_text(yaml.safe_dump(self.config()))
        ovs.spawn(sys.executable, str(ROOT / "tools/ryu-run"), "--observe-links", "--ofp-tcp-listen-port",
                  str(RYU_PORT), "--ofp-listen-host", "127.0.0.1", "--wsapi-host", "127.0.0.1", "--wsapi-port",
                  str(TOPOLOGY_PORT), "ryu.app.rest_topology", log="ryu.log")
        self.serve()
        target = f"tcp:127.0.0.1:{SWITCH_PORT}"
        ovs.add_bridge("core", CORE)
        for dpid in (1, 2, 3, 4):
            ovs.add_bridge(f"s{dpid}", dpid)
            ovs.add_link(f"s{dpid}", 11, "core", dpid)
        for number, (host, (dpid, _)) in enumerate(PLACES.items(), start=1):
            ovs.add_host(host, f"s{dpid}", 1, mac(host), f"10.0.0.{number}/24")
        for host, dpid in OTHERS.items():
            ovs.add_host(host, f"s{dpid}", 2, mac(host), f"10.0.0.{dpid}/24")
        for bridge in ("core", "s1", "s2", "s3", "s4"):
            ovs.set_controllers(bridge, target)
        wait_until(self.up, "not all ports are up")
        self.flows("other", "actions=FLOOD")

    def config(self) -> dict[str, Any]:
        """hvproxy's configuration."""
        def ports(name: str) -> list[dict[str, Any]]:
            here = RING.index(name)
            rows: list[dict[str, Any]] = [
                {"number": number, "name": host, "attach": {"datapath": dpid, "port": 1}}
                for host, (dpid, number) in PLACES.items() if host == name or host == "d" and name == "c"]
            return rows + [
                {"number": NEXT, "name": "next", "attach": {"peer": f"{RING[(here + 1) % 3]}/{LAST}"}},
                {"number": LAST, "name": "last", "attach": {"peer": f"{RING[here - 1]}/{NEXT}"}}]

        return {
            "switches": {"listen": [f"ptcp:{SWITCH_PORT}:127.0.0.1"]},
            "api": {"listen": f"ptcp:{API_PORT}:127.0.0.1"},
            "store": "sqlite:ring.db",
            "tenants": [{"name": "red", "logical_switches": [
                {"name": name, "datapath_id": 0xA0 + number, "controllers": [f"tcp:127.0.0.1:{RYU_PORT}"],
                 "listen": [f"ptcp:{LISTEN[name]}:127.0.0.1"], "ports": ports(name)}
                for number, name in enumerate(RING, start=1)]}, {"name": "blue", "logical_switches": [{
                    "name": "other", "datapath_id": 0xB1, "listen": [f"ptcp:{LISTEN['other']}:127.0.0.1"], "ports": [
                        {"number": dpid, "name": host, "attach": {"datapath": dpid, "port": 2}}
                        for host, dpid in OTHERS.items()]}]}]}

    def serve(self) -> None:
        self.hvproxy = self.ovs.serve(self.ovs.directory / "ring.yaml")

    def topology(self, what: str) -> Any:
        """What the controller has discovered."""
        return json.loads(self.ovs.fetch(f"http://127.0.0.1:{TOPOLOGY_PORT}/v1.0/topology/{what}"))

    def ports(self, name: str) -> dict[int, dict[str, Any]]:
        return {row["number"]: row for row in self.get(f"/v1/logical-switches/{name}/ports")}

    def up(self) -> bool:
        try:
            self.get("/readyz")
            return all(row["state"] == "up" for name in (*RING, "other") for row in self.ports(name).values())
        except (OSError, urllib.error.URLError):
            return False

    def flows(self, name: str, *flows: str) -> None:
        """Add entries as the tenant's tool does; none: take them all off but discovery's."""
        for flow in flows or ("",):
            self.ofctl("add-flow" if flow else "del-flows", name, *([flow] if flow else ["cookie=0x77/-1"]))

    def ofctl(self, command: str, name: str, *arguments: str) -> str:
        return self.ovs.run("ovs-ofctl", "-O", "OpenFlow13", command, f"tcp:127.0.0.1:{LISTEN[name]}",
                            *arguments).stdout

    def counters(self, name: str) -> dict[int, tuple[int, int, int, int]]:
        """Port -> (rx packets, rx bytes, tx packets, tx bytes), as the tenant reads them."""
        found = re.findall(r"port +\"?(\w+)\"?: rx pkts=(\d+), bytes=(\d+).*?tx pkts=(\d+), bytes=(\d+)",
                           self.ofctl("dump-ports", name), re.DOTALL)
        return {int(number): (int(a), int(b), int(c), int(d)) for number, a, b, c, d in found}

    def ping(self, a: str, b: str, count: int = 1, wait: float = LONG) -> int:
        """How many answers come, by what the entries say now: Open vSwitch renews cached flows late."""
        self.ovs.forget_flows()
        number = OTHERS.get(b) or list(PLACES).index(b) + 1
        return answered(self.ovs, a, f"10.0.0.{number}", count, 0.02, wait)


def mac(host: str) -> str:
    return f"02:00:00:00:00:0{[*PLACES, *OTHERS].index(host) + 1}"


SHORT = 2.0
"""Seconds, for pings that are not to be answered."""


def towards(host: str, port: int | str) -> str:
    return f"cookie=0x77,priority=9,dl_dst={mac(host)},actions=output:{port}"


def broadcast(in_port: int, *ports: int) -> str:
    return (f"cookie=0x77,priority=9,in_port={in_port},dl_dst=ff:ff:ff:ff:ff:ff,"
            f"actions={','.join(f'output:{port}' for port in ports)}")


@pytest.fixture(scope="module")
def ring() -> Iterator[Ring]:
    require()
    with Ring() as started:
        yield started


@pytest.fixture
def line(ring: Ring) -> Iterator[Ring]:
    """Entries that make a line of the ring: a, b, c."""
    ring.flows("a", towards("a", HOST), towards("b", NEXT), towards("c", NEXT), towards("d", NEXT),
               broadcast(HOST, NEXT), broadcast(NEXT, HOST))
    ring.flows("b", towards("b", HOST), towards("a", LAST), towards("c", NEXT), towards("d", NEXT),
               broadcast(HOST, LAST, NEXT), broadcast(LAST, HOST, NEXT), broadcast(NEXT, HOST, LAST))
    ring.flows("c", towards("c", HOST), towards("d", SECOND), towards("a", LAST), towards("b", LAST),
               broadcast(HOST, SECOND, LAST), broadcast(SECOND, HOST, LAST), broadcast(LAST, HOST, SECOND))
    yield ring
    for name in RING:
        ring.flows(name)


def test_unmodified_discovery_finds_exactly_the_logical_topology(ring: Ring) -> None:
    def found() -> tuple[list[tuple[int, int, int, int]], dict[int, list[int]]]:
        try:
            links, switches = ring.topology("links"), ring.topology("switches")
        except OSError:
            return [], {}  # it does not listen yet
        return sorted((int(row["src"]["dpid"], 16), int(row["src"]["port_no"], 16),
                       int(row["dst"]["dpid"], 16), int(row["dst"]["port_no"], 16)) for row in links), {
            int(row["dpid"], 16): sorted(int(port["port_no"], 16) for port in row["ports"]) for row in switches}

    wanted = sorted(end for here in range(3) for there in [(here + 1) % 3] for end in (
        (0xA1 + here, NEXT, 0xA1 + there, LAST), (0xA1 + there, LAST, 0xA1 + here, NEXT)))
    switches = {0xA1: [1, 2, 3], 0xA2: [1, 2, 3], 0xA3: [1, 2, 3, 4]}
    wait_until(lambda: found() == (wanted, switches), "discovery does not find exactly the links and switches")


def test_hosts_reach_each_other_through_other_logical_switches_and_everything_is_counted_once(line: Ring) -> None:
    for a in PLACES:
        for b in PLACES:
            assert a == b or line.ping(a, b) == 1
    line.ovs.forget_flows()  # Open vSwitch counts late
    before = {name: line.counters(name) for name in RING}
    count = 100
    """More than discovery sends meanwhile."""
    assert line.ping("a", "d", count=count) == count

    def grown() -> dict[str, dict[int, tuple[int, ...]]]:
        return {name: {port: tuple(y - x for x, y in zip(before[name][port], now, strict=True))
                       for port, now in line.counters(name).items()} for name in RING}

    def agree() -> bool:
        """What one end has sent the other one has received, when no discovery comes between two readings."""
        now = {name: line.counters(name) for name in RING}
        return all(now[one][NEXT][:2] == now[other][LAST][2:] and now[one][NEXT][2:] == now[other][LAST][:2]
                   for one, other in zip(RING, (*RING[1:], RING[0]), strict=True))

    wait_until(lambda: all(min(grown()[name][port][::2]) >= count for name, port in (
        ("a", NEXT), ("b", LAST), ("b", NEXT), ("c", LAST))), "not all is counted")
    wait_until(agree, "the ends of a wire count otherwise")
    found = grown()
    assert found["b"][HOST][0] < count and found["a"][LAST][0] < count
    line.ovs.forget_flows()
    entries = line.ofctl("dump-flows", "b", "cookie=0x77/-1")
    counted = next(int(number) for number, where in re.findall(r"n_packets=(\d+).*?dl_dst=(\S+)", entries)
                   if where.split()[0] == mac("d"))
    assert counted >= count


def test_what_switches_hold_is_read_back_as_it_was_sent(line: Ring) -> None:
    for dpid in (1, 2, 3, 4):
        assert line.get(f"/v1/datapaths/{dpid:#x}/audit", method="POST")["drift"] == []


def test_a_restart_changes_nothing_and_loses_nothing(line: Ring) -> None:
    with ThreadPoolExecutor(1) as pool:
        answers = pool.submit(line.ping, "a", "d", count=300)
        line.hvproxy.kill()
        line.hvproxy.wait()
        line.serve()
        assert answers.result() == 300
    wait_until(line.up, "the ports are not up again")


def test_one_end_down_is_seen_at_the_other_one(line: Ring) -> None:
    line.ofctl("mod-port", "b", "2", "down")
    wait_until(lambda: line.ports("c")[LAST]["state"] == "down", "the other end stays up")
    assert line.ports("b")[NEXT]["state"] == "down" and line.ports("b")[LAST]["state"] == "up"
    assert re.search(r"\(last\):.*?state: +LINK_DOWN", line.ofctl("show", "c"), re.DOTALL)
    assert line.ping("a", "c", wait=SHORT) == 0 and line.ping("a", "b") == 1
    line.ofctl("mod-port", "b", "2", "up")
    wait_until(line.up, "the ports are not up again")
    assert line.ping("a", "c") == 1


def test_action_sets_groups_meters_and_normal_work_for_what_comes_by_a_wire(line: Ring) -> None:
    line.ofctl("add-group", "b", "group_id=1,type=ff,bucket=watch_port:2,actions=output:2")
    line.ofctl("add-meter", "b", "meter=1,pktps,bands=type=drop,rate=1000")
    line.flows("a", f"cookie=0x77,priority=9,dl_dst={mac('c')},"
                    "actions=set_field:7->reg3,output:2,write_actions(output:1)")
    line.flows("b", f"cookie=0x77,priority=20,dl_dst={mac('c')},reg3=0,actions=meter:1,write_actions(group:1)")
    line.flows("c", f"cookie=0x77,priority=9,dl_dst={mac('c')},actions=NORMAL",
               f"cookie=0x77,priority=9,dl_dst={mac('a')},actions=NORMAL")
    assert line.ping("a", "c", count=20) == 20
    line.ovs.forget_flows()
    stats = line.ofctl("meter-stats", "b", "meter=1")
    found = re.search(r"packet_in_count:(\d+)", stats)
    assert found is not None and int(found[1]) >= 20


def test_a_meter_beyond_a_wire_drops_nothing_else(line: Ring) -> None:
    line.ofctl("mod-meter" if "meter=2" in line.ofctl("dump-meters", "b") else "add-meter", "b",
               "meter=2,pktps,burst,bands=type=drop,rate=1,burst_size=1")
    # A copy to b, where hardly any gets through, and then the packet itself to c, the other way round.
    line.flows("a", f"cookie=0x77,priority=9,dl_dst={mac('c')},actions=output:2,output:3")
    line.flows("b", f"cookie=0x77,priority=20,in_port=3,dl_dst={mac('c')},actions=meter:2,output:1")
    assert line.ping("a", "c", count=50) == 50


def test_an_end_that_receives_or_forwards_nothing_does_so(line: Ring) -> None:
    for name, port, there, back in (("b", "3", "no-receive", "receive"), ("a", "2", "no-forward", "forward")):
        line.ofctl("mod-port", name, port, there)
        assert line.ping("a", "b", wait=SHORT) == 0 and line.ping("b", "c") == 1
        line.ofctl("mod-port", name, port, back)
        assert line.ping("a", "b") == 1


SENDING = """
import socket, sys, time
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(("eth0", 0))
for _ in range(int(sys.argv[2])):
    s.send(bytes.fromhex(sys.argv[1]))
    time.sleep(0.05)
"""
"""Twenty frames a second."""


def broadcasts(ring: Ring, count: int) -> subprocess.Popen[bytes]:
    frame = "ffffffffffff" + mac("a").replace(":", "") + "88b5" + "00" * 46
    return ring.ovs.spawn("python3", "-c", SENDING, frame, str(count), host="a", log="sending.log")


def test_a_loop_ends_and_harms_nobody(line: Ring) -> None:
    for name in RING:
        line.flows(name, "cookie=0x77,priority=30,dl_type=0x88b5,actions=FLOOD")
    line.ovs.forget_flows()
    before = line.counters("a")[HOST]
    count = 20
    sending = broadcasts(line, count)
    assert line.ping("e", "f", count=100) == 100
    assert sending.wait(PATIENCE) == 0
    # Twelve crossings lead home four times each way.
    wait_until(lambda: line.counters("a")[HOST][2] - before[2] >= 8 * count, "each comes back eight times")
    time.sleep(1.5)  # counters are brought up to date once a second
    assert line.counters("a")[HOST][2] - before[2] <= 8 * count + 8
    assert line.ping("a", "d", count=5) == 5


def test_a_loop_that_multiplies_is_cut_and_harms_nobody(line: Ring) -> None:
    for name in RING:
        line.flows(name, "cookie=0x77,priority=30,dl_type=0x88b5,actions=output:2,output:2")
    sending = broadcasts(line, 20)
    assert line.ping("e", "f", count=100) == 100
    assert sending.wait(PATIENCE) == 0
    shown = line.ovs.control("ofproto/trace", "s1", "in_port=1,dl_type=0x88b5")
    assert "over 4096 resubmit actions" in shown and "Datapath actions: drop" in shown
    assert line.ping("a", "d", count=5) == 5


def test_a_trace_goes_on_across_wires(line: Ring) -> None:
    found = line.ovs.run(HVPROXY, "trace", "a", "1",
                         f"dl_src={mac('a')},dl_dst={mac('d')},dl_type=0x88b5").stdout
    assert "logical switch b, in at port 3 (last)" in found and "delivered to c/4" in found
    assert "the fabric does what the logical switch does" in found


def test_connections_are_tracked_between_wires_wherever_frames_enter(line: Ring) -> None:
    line.flows("b", "cookie=0x77,priority=20,ip,actions=ct(table=1,zone=1)",
               "cookie=0x77,table=1,priority=9,ip,in_port=3,ct_state=+trk+new,actions=ct(commit,zone=1),output:2",
               "cookie=0x77,table=1,priority=8,ip,in_port=3,ct_state=+trk+est,actions=output:2",
               "cookie=0x77,table=1,priority=8,ip,in_port=2,ct_state=+trk+est,actions=output:3")
    assert line.ping("a", "c", count=20) == line.ping("a", "d", count=20) == 20
    assert line.ping("c", "a", count=2, wait=SHORT) == line.ping("d", "a", count=2, wait=SHORT) == 0
    for dpid in (1, 2, 3, 4):
        assert line.get(f"/v1/datapaths/{dpid:#x}/audit", method="POST")["drift"] == []
