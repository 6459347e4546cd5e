"""Connection tracking on a logical switch over four edges of Open vSwitch, beside one plain bridge of it.

Ports 1 to 4 are on an edge each, so what one edge's datapath knows of a connection must decide about frames that enter
at the others. A second tenant uses the same zones.
"""
from __future__ import annotations

import re
import socket
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.system import ovs as system
from tests.system.network import wait_until
from tests.system.ovs import PrivateOvs, received
from tests.system.test_corpus import ENCAPSULATIONS, FRAMES, LEAST_UNDER_TAG, OUT, Carrier
from tools.emulator.host import ipv4

PORTS = (1, 2, 3, 4)
EDGES, CORE, UPLINK = (1, 2, 3, 4), 0x10, 9
RED, BLUE, PLAIN = "red", "blue", "plain"
SWITCH_PORT, API_PORT = 6633, 8080
LISTEN = {RED: 16653, BLUE: 16654}
FIRST_PORT = {RED: 1, BLUE: 11}
SYN, ACK, SYN_ACK = 0x02, 0x10, 0x12
TCP, UDP = 6, 17
FIREWALL = (
    "table=0,priority=5,tcp,ct_state=-trk,actions=ct(table=1,zone=5)",
    "table=1,priority=9,tcp,in_port=2,ct_state=+trk+new,actions=ct(commit,zone=5,exec(set_field:7->ct_mark)),output:4",
    "table=1,priority=8,tcp,ct_state=+trk+est+rpl,ct_mark=7,ct_zone=5,actions=output:2,output:4",
    "table=1,priority=7,tcp,ct_state=+trk+est-rpl,ct_mark=7,actions=flood",
    "table=1,priority=1,actions=drop",
)


def tcp(source: int, destination: int, flags: int, sequence: int, acknowledged: int = 0, *,
        ports: tuple[int, int] = (1000, 80)) -> bytes:
    """A segment from the host of one port to that of another."""
    addresses = bytes((10, 0, 0, source)), bytes((10, 0, 0, destination))
    segment = bytearray(b"".join(number.to_bytes(2, "big") for number in ports))
    segment += sequence.to_bytes(4, "big") + acknowledged.to_bytes(4, "big")
    segment += bytes((0x50, flags)) + b"\xff\xff" + bytes(4)
    pseudo = b"".join(addresses) + bytes((0, TCP)) + len(segment).to_bytes(2, "big")
    segment[16:18] = checksum(pseudo + bytes(segment)).to_bytes(2, "big")
    return (bytes((2, 0, 0, 0, 0, destination, 2, 0, 0, 0, 0, source)) + b"\x08\x00"
            + ipv4(*addresses, TCP, bytes(segment)))


def udp(source: int, destination: int, port: int) -> bytes:
    """A datagram from the host of a port."""
    payload = bytes(18)
    packet = b"".join(number.to_bytes(2, "big") for number in (1000, port, 8 + len(payload), 0)) + payload
    return (bytes((2, 0, 0, 0, 0, destination, 2, 0, 0, 0, 0, source)) + b"\x08\x00"
            + ipv4(bytes((10, 0, 0, source)), bytes((10, 0, 0, destination)), UDP, packet))


def stripped(dump: str) -> str:
    """Flows without what differs from one switch to another."""
    return re.sub(r"(duration|idle_age)=[^,]*, |\(xid=[^)]*\)", "", dump)


def handshake(client: int, server: int) -> tuple[bytes, bytes, bytes]:
    """How a connection begins."""
    return (tcp(client, server, SYN, 1000), tcp(server, client, SYN_ACK, 5000, 1001, ports=(80, 1000)),
            tcp(client, server, ACK, 1001, 5001))


def checksum(data: bytes) -> int:
    total = sum(int.from_bytes(data[at:at + 2].ljust(2, b"\0"), "big") for at in range(0, len(data), 2))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return total ^ 0xffff


class Switches:
    """The plain bridge and both tenants' logical switches, by name."""

    def __init__(self, ovs: PrivateOvs) -> None:
        self.ovs = ovs
        self._raw: dict[tuple[str, int], socket.socket] = {}
        self._interfaces: dict[tuple[str, int], str] = {}

    def start(self) -> None:
        ovs = self.ovs
        for edge in (*EDGES, CORE):
            ovs.add_bridge(f"s{edge:x}", edge)
            ovs.vsctl("set", "bridge", f"s{edge:x}", "other_config:vlan-limit=1")
        for edge in EDGES:
            ovs.add_link(f"s{edge:x}", UPLINK, f"s{CORE:x}", edge)
        ovs.add_bridge(PLAIN, 0xC0FFEE)
        for port in PORTS:
            self._interfaces[PLAIN, port] = ovs.add_port(PLAIN, port)
            for name in (RED, BLUE):
                self._interfaces[name, port] = ovs.add_port(f"s{port:x}", FIRST_PORT[name])
        path = ovs.directory / "hvproxy.yaml"
        path.write_text(yaml.safe_dump({
            "switches": {"listen": [f"ptcp:{SWITCH_PORT}:127.0.0.1"]},
            "fabric": {"discovery": False, "links": [f"{edge:#x}:{UPLINK} - {CORE:#x}:{edge}" for edge in EDGES]},
            "api": {"listen": f"ptcp:{API_PORT}:127.0.0.1"},
            "store": "memory:",
            "tenants": [{"name": name, "logical_switches": [{
                "name": name, "datapath_id": 0xA0 + FIRST_PORT[name], "listen": [f"ptcp:{LISTEN[name]}:127.0.0.1"],
                "ports": [{"number": port, "name": f"{name}{port}",
                           "attach": {"datapath": port, "port": FIRST_PORT[name]}} for port in PORTS],
            }]} for name in (RED, BLUE)]}))
        ovs.serve(path)
        for edge in (*EDGES, CORE):
            ovs.set_controllers(f"s{edge:x}", f"tcp:127.0.0.1:{SWITCH_PORT}")
        for name in (RED, BLUE):
            wait_until(lambda: self._up(name), f"{name} is up", 40)
        for place, interface in self._interfaces.items():
            self._raw[place] = ovs.raw(interface)

    def _up(self, name: str) -> bool:
        shown = self.ovs.run("ovs-ofctl", "-O", "OpenFlow13", "show", self.target(name), check=False)
        return shown.returncode == 0 and shown.stdout.count("state:      0") + shown.stdout.count("LIVE") >= len(PORTS)

    def target(self, name: str) -> str:
        return f"unix:{self.ovs.management(PLAIN)}" if name == PLAIN else f"tcp:127.0.0.1:{LISTEN[name]}"

    def ofctl(self, name: str, command: str, *arguments: str, check: bool = True) -> str:
        done = self.ovs.run("ovs-ofctl", "-O", "OpenFlow13", command, self.target(name), *arguments, check=False)
        assert not check or not done.returncode, done.stderr
        return done.stdout + done.stderr

    def flows(self, names: tuple[str, ...], *flows: str) -> None:
        for name in names:
            for flow in flows:
                self.ofctl(name, "add-flow", flow)
        self.ovs.forget_flows()

    def send(self, name: str, port: int, frame: bytes) -> None:
        self._raw[name, port].send(frame)

    def rest(self) -> None:
        """Wait until every frame that is on its way has come through or has been dropped."""
        self.ovs.carry_on()

    def out(self, name: str) -> Counter[tuple[int, bytes]]:
        return Counter((port, frame) for port in PORTS for frame in received(self._raw[name, port])
                       if frame[6:11] == b"\2\0\0\0\0")

    def arrive(self, name: str, *wanted: tuple[int, bytes]) -> None:
        """Wait until all of these and nothing else has come out."""
        found: Counter[tuple[int, bytes]] = Counter()
        deadline = time.monotonic() + system.PATIENCE
        while found != Counter(wanted) and time.monotonic() < deadline:
            found += self.out(name)
            time.sleep(0.01)
        assert found == Counter(wanted), f"{name}: {[(p, f.hex()) for p, f in found]}"


ROOT = Path(__file__).resolve().parents[2]


class Homeward(Carrier):
    """A logical switch whose frames enter at another switch than the one that tracks connections."""

    places = {1: (2, 1), 2: (1, 1), 3: (1, 2)}


@pytest.mark.parametrize("encapsulation", ENCAPSULATIONS)
def test_frames_that_come_home_are_as_behind_one_plain_bridge(encapsulation: str) -> None:
    system.require()
    with Homeward(encapsulation) as carrier:
        plain, logical = carrier.carry(
            "priority=5,udp,ip_frag=no,vlan_tci=0,actions=ct(table=1,zone=9)", f"table=1,ct_state=+trk,actions={OUT}",
            f"priority=4,vlan_tci=0x1000/0x1000,actions=set_field:0x1009->vlan_vid,{OUT}", f"priority=1,actions={OUT}")
        lost = {name for name, frame in FRAMES.items() if len(frame) < LEAST_UNDER_TAG and encapsulation == "vlan"}
        assert {key: frames for key, frames in plain.items() if key[1] not in lost} == logical
        assert len(plain) > len(FRAMES) * 1.8


@pytest.fixture(scope="module")
def switches() -> Iterator[Switches]:
    system.require()
    with PrivateOvs() as ovs:
        made = Switches(ovs)
        made.start()
        yield made
        assert "Traceback" not in ovs.said, ovs.said


def test_a_connection_is_known_wherever_its_frames_enter(switches: Switches) -> None:
    names = (PLAIN, RED)
    switches.flows(names, *FIREWALL)
    for name in names:
        first, second, third = handshake(2, 4)
        switches.send(name, 4, tcp(4, 2, SYN, 1))
        switches.send(name, 4, second)
        switches.rest()
        switches.send(name, 2, first)
        switches.arrive(name, (4, first))
        switches.send(name, 4, second)
        switches.arrive(name, (2, second))
        switches.send(name, 2, third)
        switches.arrive(name, (1, third), (3, third), (4, third))


def test_the_tables_tell_what_the_tenant_has_set_and_count_what_its_frames_are(switches: Switches) -> None:
    switches.ovs.forget_flows()  # Open vSwitch counts late
    told = {name: stripped(switches.ofctl(name, "dump-flows", "--sort")) for name in (PLAIN, RED)}
    assert told[RED] == told[PLAIN] and "ct(table=1,zone=5)" in told[RED]


def test_another_tenant_with_the_same_zone_knows_nothing_of_it(switches: Switches) -> None:
    switches.flows((BLUE,), *FIREWALL)
    first, second, _ = handshake(2, 4)
    switches.send(BLUE, 4, second)
    switches.rest()
    switches.send(RED, 4, second)
    switches.arrive(RED, (2, second))
    switches.send(BLUE, 2, first)
    switches.arrive(BLUE, (4, first))
    switches.send(BLUE, 4, second)
    switches.arrive(BLUE, (2, second))


def test_frames_go_back_only_where_they_are_sent_back(switches: Switches) -> None:
    """Whichever port they come in at, over a fabric port that they leave by as well."""
    names = (PLAIN, RED)
    for name in names:
        switches.ofctl(name, "del-flows")
    switches.flows(
        names, "table=0,udp,actions=ct(table=1,zone=7)", "table=1,udp,udp_dst=1,actions=in_port",
        "table=1,udp,udp_dst=2,actions=output:1,output:2,output:3,output:4", "table=1,udp,udp_dst=3,actions=flood",
        "table=1,udp,udp_dst=4,actions=normal", "table=1,udp,udp_dst=5,actions=write_actions(output:3)",
        "table=1,udp,udp_dst=6,actions=push_vlan:0x8100,set_field:4196->vlan_vid,output:4,output:1")
    for port in PORTS:
        others = [other for other in PORTS if other != port]
        for case, to in ((1, [port]), (2, others), (3, others), (4, others), (5, [3] if port != 3 else []),
                         (6, [other for other in (4, 1) if other != port])):
            frame = udp(port, 9, case)
            out = frame[:12] + b"\x81\x00\x00\x64" + frame[12:] if case == 6 else frame
            for name in names:
                switches.send(name, port, frame)
                switches.arrive(name, *((each, out) for each in to))


def test_a_tag_that_a_host_has_put_on_is_matched_behind_the_label(switches: Switches) -> None:
    names = (PLAIN, RED)
    for name in names:
        switches.ofctl(name, "del-flows")
    switches.flows(names, "table=0,udp,dl_vlan=33,actions=ct(table=1,zone=7)",
                   "table=1,udp,dl_vlan=33,ct_state=+trk,actions=strip_vlan,output:1,output:4")
    for port in (2, 3):
        frame = udp(port, 9, 1)
        for name in names:
            switches.send(name, port, frame[:12] + b"\x81\x00\x00\x21" + frame[12:])
            switches.arrive(name, (1, frame), (4, frame))


def test_a_waiting_action_set_does_not_stop_the_switch(switches: Switches) -> None:
    """A plain bridge of Open vSwitch 3.1 it does stop, and with it every tenant."""
    switches.ofctl(RED, "del-flows")
    switches.flows((RED,), "table=0,udp,actions=write_actions(output:1),goto_table:1",
                   "table=1,udp,actions=ct(table=2,zone=7)", "table=2,udp,actions=output:4")
    for port in (2, 3):
        frame = udp(port, 9, 1)
        switches.send(RED, port, frame)
        switches.arrive(RED, (4, frame))
    assert switches.ovs.control("version")
