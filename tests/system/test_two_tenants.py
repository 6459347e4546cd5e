"""The main job on real Open vSwitch: tenants with the same addresses reach their own hosts, and no one else's."""
from __future__ import annotations

import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.network import HOSTS, LONG, PATTERN, HostSpec, Network, wait_until
from tests.system.ovs import PATIENCE, require
from tests.system.starvation import holds

DISCOVERY = 0x88CC


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    require()
    with Network() as network:
        yield network


class Capture:
    """tcpdump on an interface of a host, or (host None) beside the switches."""

    def __init__(self, network: Network, interface: str, host: str | None = None) -> None:
        self.path = network.ovs.directory / f"{host or 'fabric'}-{interface}-{time.monotonic_ns()}.pcap"
        log = f"{self.path.name}.log"
        self.process = network.ovs.spawn("tcpdump", "-i", interface, "-U", "-B", "16384", "-s", "0", "-w",
                                         str(self.path), host=host, log=log)
        wait_until(lambda: "listening on" in (network.ovs.directory / log).read_text(), f"tcpdump on {interface}")

    def frames(self) -> list[bytes]:
        """End the capture; what was seen."""
        self.process.terminate()
        self.process.wait(PATIENCE)
        return read_pcap(self.path)

    def seen(self) -> list[bytes]:
        """What was seen so far."""
        return read_pcap(self.path)


def read_pcap(path: Path) -> list[bytes]:
    data = path.read_bytes()
    frames, at = [], 24
    while at + 16 <= len(data):
        length = struct.unpack_from("<I", data, at + 8)[0]
        if at + 16 + length > len(data):
            break
        frames.append(data[at + 16:at + 16 + length])
        at += 16 + length
    return frames


def tags(frame: bytes) -> list[int]:
    """The VLAN ids of a frame, outermost first."""
    found, at = [], 12
    while frame[at:at + 2] in (b"\x81\x00", b"\x88\xa8"):
        found.append(struct.unpack_from("!H", frame, at + 2)[0] & 0xFFF)
        at += 4
    return found


def send_raw(network: Network, host: HostSpec, frame: bytes) -> None:
    """Send a frame as it is out of a host's interface."""
    code = ("import socket,sys; s=socket.socket(socket.AF_PACKET, socket.SOCK_RAW); s.bind(('eth0', 0));"
            " s.send(bytes.fromhex(sys.argv[1]))")
    network.ovs.run("python3", "-c", code, frame.hex(), host=host.name)


def pairs(network: Network, tenant: str) -> list[tuple[HostSpec, HostSpec]]:
    hosts = network.of(tenant)
    return [(a, b) for a in hosts for b in hosts if a is not b]


def test_all_pairs_within_a_tenant_answer_and_no_frame_crosses(network: Network) -> None:
    captures = {h.name: Capture(network, "eth0", h.name) for h in HOSTS if h.vlan is None}
    captures |= {trunk: Capture(network, "eth0", trunk) for trunk in network.trunks}
    lost = [(a.name, b.name) for tenant in PATTERN for a, b in pairs(network, tenant)
            if network.ping(a, b, count=2, interval=0.01, wait=LONG) != 2]
    assert not lost
    patterns = {tenant: bytes.fromhex(text) * 16 for tenant, text in PATTERN.items()}
    own = 0
    for name, capture in captures.items():
        frames = capture.frames()
        for tenant, pattern in patterns.items():
            count = sum(pattern in frame for frame in frames)
            if name.startswith(tenant) or name.startswith("trunk") and tenant == "blue":
                own += count
            else:
                assert count == 0, f"{count} frames of {tenant} at {name}"
        for frame in frames:
            assert tags(frame) == [] or name.startswith("trunk") and tags(frame) in ([20], [30])
            assert frame[12:14] != DISCOVERY.to_bytes(2, "big")
    assert own > 0


def test_the_spines_carry_tagged_frames_only(network: Network) -> None:
    captures = [Capture(network, interfaces[1]) for (leaf, spine), interfaces in network.links.items()]
    for a, b in pairs(network, "red"):
        assert network.ping(a, b) == 1
    wait_until(lambda: any(tags(f) for c in captures for f in c.seen()), "frames on the spines")
    frames = [frame for capture in captures for frame in capture.frames()]
    untagged = [frame for frame in frames if not tags(frame) and frame[12:14] != DISCOVERY.to_bytes(2, "big")]
    assert any(tags(frame) for frame in frames) and not untagged


TRANSPARENT = {
    "experimental ethertype": bytes.fromhex("88b5") + bytes(range(60)),
    "LLC STP": bytes.fromhex("0026") + bytes.fromhex("424203") + bytes(60),
    "LLDP": bytes.fromhex("88cc") + bytes.fromhex("0207040200000000010403020005") + bytes(60),
    "LACP": bytes.fromhex("8809") + b"\x01\x01" + bytes(60),
    "EAPOL": bytes.fromhex("888e") + bytes(60),
    "MPLS": bytes.fromhex("8847") + bytes.fromhex("00064140") + bytes(60),
    "PTP": bytes.fromhex("88f7") + bytes(60),
    "tenant VLAN 5": bytes.fromhex("81000005") + bytes.fromhex("88b5") + bytes(60),
    "tenant VLAN like a label": bytes.fromhex("81000002") + bytes.fromhex("88b5") + bytes(60),
    "tenant VLAN 4095": bytes.fromhex("81006fff") + bytes.fromhex("88b5") + bytes(60),
    "tenant priority tag": bytes.fromhex("8100e000") + bytes.fromhex("88b5") + bytes(60),
    "full size": bytes.fromhex("88b5") + bytes(1500),
}


@pytest.mark.parametrize("what", TRANSPARENT)
def test_every_frame_comes_out_byte_for_byte_as_it_went_in(network: Network, what: str) -> None:
    near, far = network.of("green")[0], network.of("green")[2]
    multicast = what in ("LLC STP", "LLDP", "LACP", "EAPOL", "PTP")
    destination = bytes.fromhex("0180c200000e") if multicast else bytes.fromhex(far.mac.replace(":", ""))
    frame = destination + bytes.fromhex(near.mac.replace(":", "")) + TRANSPARENT[what]
    capture = Capture(network, "eth0", far.name)
    send_raw(network, near, frame)
    wait_until(lambda: frame in capture.seen(), "the frame arrives as it was sent")


def test_two_tables_write_actions_and_groups_do_what_they_say(network: Network) -> None:
    near, far = network.of("green")[0], network.of("green")[1]
    capture = Capture(network, "eth0", far.name)
    code = ("import socket,sys; s=socket.socket(socket.AF_INET, socket.SOCK_DGRAM);"
            " [s.sendto(b'marked datagram %d' % p, (sys.argv[1], p)) for p in (666, 667)]")
    network.ovs.run("python3", "-c", code, far.address, host=near.name)
    wait_until(lambda: any(b"marked datagram 667" in f for f in capture.seen()), "the datagram arrives")
    assert not any(b"marked datagram 666" in f for f in capture.frames())


def test_logical_counters_equal_what_the_hosts_sent_and_received(network: Network) -> None:
    near, far = network.of("green")[0], network.of("green")[2]
    for one, other in ((near, far), (far, near)):  # so that pings are all that goes from one to the other
        network.ovs.run("ip", "neigh", "replace", other.address, "lladdr", other.mac, "nud", "permanent", "dev", "eth0",
                        host=one.name)
    assert network.ping(near, far) == 1

    def counters() -> list[int]:
        network.ovs.forget_flows()  # Open vSwitch counts late
        flows = network.get("/v1/logical-switches/green/flows")
        to_far = [f for f in flows if "02:00:00:00:00:03" in f["match"]]  # type: ignore[union-attr,index]
        ports = network.ovs.run("ovs-ofctl", "-O", "OpenFlow13", "dump-ports", "tcp:127.0.0.1:16655").stdout
        told = [int(line.split("pkts=")[1].split(",")[0]) for line in ports.splitlines() if "pkts=" in line]
        # Hosts also answer the others who ask whether they are still there.
        hosts = [int(network.ovs.run("cat", f"/sys/class/net/eth0/statistics/{what}_packets", host=host.name).stdout)
                 for host, what in ((near, "tx"), (far, "rx"))]
        return [to_far[0]["packets"], told[0], told[5], *hosts]

    def settled() -> list[int]:
        before = counters()
        time.sleep(1.5)  # Open vSwitch brings its port counters up to date once a second: this is its period
        return before if counters() == before else settled()

    before = settled()
    assert network.ping(near, far, count=200, interval=0.002, wait=LONG) == 200
    entry, received, transmitted, sent, came = [b - a for a, b in zip(before, settled())]
    assert (entry, received, transmitted) == (200, sent, came) and min(sent, came) >= 200


@pytest.mark.alone
def test_a_spine_link_failure_loses_at_most_five_pings_and_no_tenant_hears_of_it(network: Network) -> None:
    a, b = network.of("red")[0], network.of("red")[3]
    assert network.ping(a, b) == 1
    captures = {spine: Capture(network, network.links[1, spine][0]) for spine in (0x11, 0x12)}
    assert network.ping(a, b, count=20, interval=0.01) == 20

    def carried() -> dict[int, int]:
        return {spine: sum(bytes.fromhex("aa" * 16) in frame for frame in capture.seen())
                for spine, capture in captures.items()}

    wait_until(lambda: sum(carried().values()) >= 40, "the captures do not show pings and answers")
    used = max(captures, key=carried().__getitem__)
    for capture in captures.values():
        capture.frames()
    told = network.metric("hvproxy_messages_total", direction="to_controller", type="port_status")

    def survives(interface: str) -> bool:
        pings = subprocess.Popen(
            ["ip", "netns", "exec", network.ovs.namespace_of(a.name), "ping", "-n", "-q", "-c", "300", "-i", "0.01",
             "-W", "1", b.address], stdout=subprocess.PIPE, text=True)
        time.sleep(1.0)  # the pings run at their own pace: the failure shall come in the middle of them
        network.ovs.set_interface(interface, False)
        output = pings.communicate(timeout=PATIENCE)[0]
        received = int(output.split(" received")[0].rsplit(",", 1)[1])
        network.ovs.set_interface(interface, True)
        wait_until(network.settled, "the link is back")
        return received >= 295

    for interface in network.links[1, used][:1] + network.links[4, used][:1]:
        assert holds(lambda: survives(interface)), interface
    assert network.metric("hvproxy_messages_total", direction="to_controller", type="port_status") == told
