"""Meters on real Open vSwitch 3.1: the errors the table says it gives, and rates kept as one bridge keeps them."""
from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from struct import pack

import pytest
import yaml

from tests.openflow.meter_cases import CASES, MeterCase
from tests.system.network import wait_until
from tests.system.ovs import PrivateOvs as Switches
from tests.system.ovs import received, require
from tests.system.private_ovs import PrivateOvs, Session
from tests.system.starvation import holds

METER_MOD, METER_STATS, METER_CONFIG = 29, 9, 10
LISTEN, SWITCH_PORT, API_PORT = 16653, 6633, 8080
SINK = b"\2\0\0\0\0\x99"
RATE = 200
OFFERED = {1: 300, 2: 100}
"""Packets a second at logical ports 1 and 2, which are on different edges."""


@pytest.fixture(scope="module")
def bridge() -> Iterator[Session]:
    require()
    with PrivateOvs() as ovs:
        session = ovs.session()
        yield session
        session.close()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_meter_mod_gets_the_error_in_the_table(bridge: Session, case: MeterCase) -> None:
    everything, one = pack("!HHI", 2, 0, 0xffffffff), pack("!HHIHHII4x", 0, 2, 1, 1, 16, 10, 0)
    assert bridge.refusal(METER_MOD, everything) is None and bridge.refusal(METER_MOD, one) is None
    assert bridge.refusal(METER_MOD, case.body) == case.error


def test_a_modification_counts_anew_and_an_unnamed_burst_is_a_second_s_worth(bridge: Session) -> None:
    bridge.request(METER_MOD, pack("!HHI", 2, 0, 0xffffffff))
    assert bridge.refusal(METER_MOD, pack("!HHIHHII4x", 0, 2, 1, 1, 16, 10, 0)) is None
    assert bridge.multipart(METER_CONFIG, pack("!I4x", 1)) == pack("!HHIHHII4x", 24, 2, 1, 1, 16, 10, 10)
    match, instruction = pack("!HH4x", 1, 4), pack("!HHI", 6, 8, 1)
    assert bridge.refusal(14, pack("!QQBBHHHIIIH2x", 0, 0, 0, 0, 0, 0, 1, *[0xffffffff] * 3, 0) + match
                          + instruction) is None
    to_table = pack("!HHIH6x", 0, 16, 0xfffffff9, 0)
    out = pack("!IIH6x", 0xffffffff, 0xfffffffd, len(to_table)) + to_table + bytes(12) + b"\x88\xb5" + bytes(86)
    for _ in range(3):
        bridge.request(13, out)
    assert bridge.multipart(METER_STATS, pack("!I4x", 1))[12:32] == pack("!IQQ", 1, 3, 300)
    assert bridge.refusal(METER_MOD, pack("!HHIHHII4x", 1, 2, 1, 1, 16, 10, 0)) is None
    assert bridge.multipart(METER_STATS, pack("!I4x", 1))[12:32] == pack("!IQQ", 1, 0, 0)


class Load:
    """Senders at several ports, each at its own rate, from one thread; late packets are made up for."""

    def __init__(self, senders: dict[int, socket.socket], sink: socket.socket) -> None:
        self.senders, self.sink = senders, sink

    def burst(self, port: int, count: int) -> None:
        for _ in range(count):
            self.senders[port].send(SINK + bytes((2, 0, 0, 0, 0, port)) + b"\x88\xb5" + bytes(86))

    def run(self, seconds: float) -> tuple[dict[int, int], float]:
        """Offer the load; (how many packets of each port arrived, in how many seconds)."""
        arrived = dict.fromkeys(self.senders, 0)
        received(self.sink)
        began, sent = time.monotonic(), dict.fromkeys(self.senders, 0)
        while (elapsed := time.monotonic() - began) < seconds:
            for port, rate in OFFERED.items():
                due = int(elapsed * rate) - sent[port]
                self.burst(port, due)
                sent[port] += due
            time.sleep(0.005)
            for frame in received(self.sink):
                if frame[:6] == SINK:
                    arrived[frame[11]] += 1
        return arrived, elapsed


@pytest.fixture(scope="module")
def net() -> Iterator[tuple[Switches, Load, Load]]:
    """hvproxy over two bridges, the tenant's ports 1 and 3 on the first and 2 on the second; a plain bridge beside."""
    require()
    with Switches() as ovs:
        config = {
            "switches": {"listen": [f"ptcp:{SWITCH_PORT}:127.0.0.1"]}, "fabric": {"links": ["0x1:9 - 0x2:9"]},
            "api": {"listen": f"ptcp:{API_PORT}:127.0.0.1"}, "store": "memory:",
            "tenants": [{"name": "red", "logical_switches": [{
                "name": "red", "datapath_id": 0xA1, "listen": [f"ptcp:{LISTEN}:127.0.0.1"],
                "ports": [{"number": number, "name": f"red{number}", "attach": {"datapath": dpid, "port": port}}
                          for number, dpid, port in ((1, 1, 1), (2, 2, 1), (3, 1, 3))]}]}]}
        (ovs.directory / "net.yaml").write_text(yaml.safe_dump(config))
        ovs.serve(ovs.directory / "net.yaml")
        ends = {}
        for name, dpid in (("s1", 1), ("s2", 2), ("plain", 3)):
            ovs.add_bridge(name, dpid)
        ovs.add_link("s1", 9, "s2", 9)
        for bridge, port in (("s1", 1), ("s2", 1), ("s1", 3), ("plain", 1), ("plain", 2), ("plain", 3)):
            ends[bridge, port] = ovs.raw(ovs.add_port(bridge, port))
        for name in ("s1", "s2"):
            ovs.set_controllers(name, f"tcp:127.0.0.1:{SWITCH_PORT}")
        wait_until(lambda: tenant(ovs, "show", check=False).count("LIVE") == 3, "not all ports are up")
        yield (ovs, Load({1: ends["s1", 1], 2: ends["s2", 1]}, ends["s1", 3]),
               Load({1: ends["plain", 1], 2: ends["plain", 2]}, ends["plain", 3]))


def tenant(ovs: Switches, command: str, *arguments: str, check: bool = True) -> str:
    return ovs.run("ovs-ofctl", "-O", "OpenFlow13", command, f"tcp:127.0.0.1:{LISTEN}", *arguments,
                   check=check).stdout


def both(ovs: Switches, command: str, *arguments: str) -> tuple[str, str]:
    """What the logical switch and the plain bridge say."""
    return tenant(ovs, command, *arguments), ovs.ofctl(command, "plain", *arguments)


def test_the_tenant_sees_the_meters_of_one_bridge(net: tuple[Switches, Load, Load]) -> None:
    ovs, _, _ = net
    both(ovs, "add-meter", "meter=7,kbps,burst,stats,band=type=drop,rate=1000,burst_size=100")
    both(ovs, "add-meter", "meter=70000,pktps,band=type=drop,rate=10")
    both(ovs, "add-flow", "priority=9,in_port=1,udp,actions=meter:7,output:3")
    for command, *arguments in (("meter-features",), ("dump-meters",), ("dump-meters", "meter=70000")):
        logical, plain = both(ovs, command, *arguments)
        assert sorted(logical.splitlines()[1:]) == sorted(plain.splitlines()[1:])
    assert "actions=meter:7,output:3" in tenant(ovs, "dump-flows")
    both(ovs, "del-meters")
    for said in both(ovs, "dump-flows"):
        assert "meter" not in said


@pytest.mark.alone
def test_what_enters_at_one_edge_is_metered_as_by_one_bridge(net: tuple[Switches, Load, Load]) -> None:
    ovs, logical, plain = net
    both(ovs, "add-meter", "meter=1,pktps,burst,stats,band=type=drop,rate=1,burst_size=5")
    both(ovs, "add-flow", "in_port=1,actions=meter:1,output:3")
    arrived = []
    for load in (logical, plain):
        received(load.sink)
        began = time.monotonic()
        load.burst(1, 20)
        ovs.carry_on()
        arrived.append(sum(frame[:6] == SINK for frame in received(load.sink)))
        assert 5 <= arrived[-1] <= 5 + (time.monotonic() - began), "and one more for each second that it has taken"
    for said, passed in zip(both(ovs, "meter-stats", "meter=1"), arrived, strict=True):
        assert "flow_count:1 packet_in_count:20 byte_in_count:2000" in said
        assert f"0: packet_count:{20 - passed} byte_count:{2000 - 100 * passed}" in said
    both(ovs, "del-meters")


@pytest.mark.alone
def test_two_edges_keep_one_rate_and_share_it_as_one_bucket_does(net: tuple[Switches, Load, Load]) -> None:
    ovs, logical, plain = net
    both(ovs, "add-meter", f"meter=1,pktps,stats,band=type=drop,rate={RATE}")
    both(ovs, "add-flow", "actions=meter:1,output:3")

    def shared() -> bool:
        logical.run(5.0)
        arrived, seconds = logical.run(5.0)
        ratio = sum(arrived.values()) / (RATE * seconds)
        shares = {port: count / sum(arrived.values()) for port, count in arrived.items()}
        print(f"delivered {ratio:.3f} of the rate, shares {shares}")
        return 0.9 <= ratio <= 1.1 and abs(shares[1] - 0.75) < 0.1

    def alone() -> bool:
        plain.run(5.0)
        arrived, seconds = plain.run(3.0)
        ratio = sum(arrived.values()) / (RATE * seconds)
        print(f"a plain bridge: {ratio:.3f}")
        return 0.9 <= ratio <= 1.1

    before = taken(ovs)
    assert holds(shared)
    ovs.carry_on()
    told = tenant(ovs, "meter-stats", "meter=1")
    counted, offered = int(told.split("packet_in_count:")[1].split()[0]), taken(ovs) - before
    assert 0.97 * offered <= counted <= offered, "what comes in while shares change is not counted"
    assert holds(alone)


def taken(ovs: Switches) -> int:
    """Packets that the switches have taken at the tenant's ports: a busy one leaves some lying until they are lost."""
    return sum(int(ovs.ofctl("dump-ports", bridge, "1").split("rx pkts=")[1].split(",")[0]) for bridge in ("s1", "s2"))
