"""A logical port moves to and fro between two places that are both up, while its host is pinged over real Open vSwitch.

The host is a bridge with a port at each of both places, which passes nothing from one to the other. So it answers where
it was asked last, and sends what it floods into both.

MOVES says how many times, hvproxy's being killed during every other one included.
"""
from __future__ import annotations

import json
import os
import random
import re
import signal
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from struct import pack

import pytest

from hvproxy.hypervisor.labels import DRAIN
from tests.system.network import LISTEN_PORT, HostSpec, wait_until
from tests.system.on_ovs import API_PORT
from tests.system.pair import ECHO_REQUEST, PORT_STATUS, Client
from tests.system.test_restart import Stored

MOVES = int(os.environ.get("MOVES", "10"))
"""How many in each test."""
INTERRUPTED = int(os.environ.get("MOVES", "3"))
"""The same where hvproxy is killed."""
LONGEST = 2 * DRAIN
"""Seconds after which a move is over, and no kill can interrupt it."""
ASKING, MOVING, OTHER = HostSpec("red", 1, 1, 1), HostSpec("red", 2, 2, 1), HostSpec("red", 3, 3, 1)
THERE = {"another switch": (3, 2), "another port": (2, 2)}
INTERVAL = 0.01
HALF = 1 << 15
"""Of the numbers that pings have."""
SET_ASYNC = 28


class Moving(Stored):
    """Red with a host that has a second way in."""

    def __init__(self, there: tuple[int, int]) -> None:
        super().__init__((ASKING, MOVING, OTHER))
        self.places = ((MOVING.leaf, MOVING.port), there)

    def _add_host(self, host: HostSpec) -> None:
        super()._add_host(host)
        if host is not MOVING:
            return
        ovs, name = self.ovs, MOVING.name
        inner, outer = ovs._veth()
        ovs.run("ip", "link", "set", outer, "netns", ovs.namespace_of(name), "name", "eth1")
        for command in (
                "ip address flush dev eth0", "ip link add br0 type bridge", f"ip link set br0 address {host.mac}",
                "ip link set eth0 address 02:00:00:00:ff:02", "ip link set eth0 master br0",
                "ip link set eth1 master br0", "bridge link set dev eth0 isolated on",
                "bridge link set dev eth1 isolated on", "ip link set eth1 up", "ip link set br0 up",
                f"ip address add {host.address}/24 dev br0"):
            ovs.run(*command.split(), host=name)
        ovs.run("ethtool", "-K", "eth1", "tx", "off", host=name, check=False)
        ovs._attach(f"s{self.places[1][0]:x}", self.places[1][1], inner)

    def bind(self, place: tuple[int, int]) -> bool:
        """Bind the port there by the API; whether that was answered."""
        body = json.dumps({"name": MOVING.name, "attach": {"datapath": place[0], "port": place[1]}}).encode()

        url = f"http://127.0.0.1:{API_PORT}/v1/logical-switches/red/ports/{MOVING.number}"
        try:
            self.ovs.fetch(url, method="PUT", body=body)
        except (OSError, HTTPException):
            return False
        return True

    def move(self, place: tuple[int, int]) -> None:
        """Bind the port there, and wait until its former place is left."""
        assert self.bind(place)
        self.wait_until_at(place)

    def at(self) -> tuple[int, int]:
        """Where hvproxy says that the port is."""
        row = next(row for row in self.get("/v1/logical-switches/red/ports") if row["number"] == MOVING.number)
        return int(row["attach"]["datapath"], 16), row["attach"]["port"]

    def wait_until_at(self, place: tuple[int, int]) -> None:
        """Wait until the other place is left."""
        bridge, port = [(f"s{leaf:x}", number) for leaf, number in self.places if (leaf, number) != place][0]
        wait_until(lambda: f"in_port={port}," not in self.ovs.ofctl("dump-flows", bridge, "table=0").replace(
            f"in_port={port} ", f"in_port={port},"), "the former place is not left")


FLOWS = {
    "normal": ("priority=0,actions=NORMAL",),
    "flood": ("priority=0,actions=FLOOD",),
    "output": ("priority=5,arp,actions=FLOOD", *(f"priority=5,ip,nw_dst={host.address},actions=output:{host.number}"
                                                 for host in (ASKING, MOVING, OTHER)))}


def pings(network: Moving) -> list[int]:
    """The numbers of the answers to one ping after the other that has ended, in the order in which they came."""
    said = (network.ovs.directory / "ping.log").read_text()
    return counted_on(map(int, re.findall(r"bytes from .*icmp_seq=(\d+)", said)))


def counted_on(numbers: Iterable[int]) -> list[int]:
    """Numbers of which only the last bits are there, which are near one another, with all of them."""
    found: list[int] = []
    for number in numbers:
        last = found[-1] if found else 0
        found.append(last + (number - last + HALF) % (2 * HALF) - HALF)
    return found


def test_numbers_of_pings_count_on_beyond_the_last() -> None:
    assert counted_on([1, 3, 2, 2]) == [1, 3, 2, 2]
    assert counted_on([*range(1, 2 * HALF), 0, 2, 1, 1]) == [*range(1, 2 * HALF + 1), 2 * HALF + 2, *[2 * HALF + 1] * 2]


@pytest.mark.timeout(300 + 20 * MOVES)
@pytest.mark.parametrize("flows", FLOWS)
@pytest.mark.parametrize("there", THERE)
def test_no_answer_is_lost_or_doubled_and_no_tenant_told(there: str, flows: str) -> None:
    with Moving(THERE[there]) as network:
        for flow in FLOWS[flows]:
            network.ofctl("add-flow", flow)
        wait_until(lambda: network.ping(ASKING, MOVING), "the hosts do not reach each other")
        wait_until(lambda: network.ping(ASKING, OTHER), "the hosts do not reach each other")
        client = Client(network.ovs.connection(LISTEN_PORT["red"]))
        client.ask(SET_ASYNC, pack("!6I", 0, 0, 7, 7, 0, 0))  # else a connection of this kind is told of no port
        process = network.ovs.spawn("ping", "-n", "-i", str(INTERVAL), MOVING.address, host=ASKING.name,
                                    log="ping.log")
        for number in range(MOVES):
            network.move(network.places[1 - number % 2])
            client.ask(ECHO_REQUEST)
            assert [message for message in client.news if message[1] == PORT_STATUS] == []
        process.send_signal(signal.SIGINT)
        process.wait()
        answered = pings(network)
        # All but what was on its way at the end, each once.
        assert sorted(answered) == list(range(1, max(answered) + 1))
        assert len(answered) > MOVES * DRAIN / INTERVAL / 10
        client.close()


@pytest.mark.timeout(600 + 20 * INTERRUPTED)
@pytest.mark.parametrize("there, flows", [(there, flows) for there in THERE for flows in FLOWS]
                         if "MOVES" in os.environ else [("another switch", "normal")])
def test_no_answer_is_lost_or_doubled_when_hvproxy_is_killed_while_a_port_moves(there: str, flows: str) -> None:
    rng = random.Random(f"{there} {flows}")
    with Moving(THERE[there]) as network, ThreadPoolExecutor(1) as pool:
        for flow in FLOWS[flows]:
            network.ofctl("add-flow", flow)
        wait_until(lambda: network.ping(ASKING, MOVING), "the hosts do not reach each other")
        wait_until(lambda: network.ping(ASKING, OTHER), "the hosts do not reach each other")
        process = network.ovs.spawn("ping", "-n", "-i", str(INTERVAL), MOVING.address, host=ASKING.name,
                                    log="ping.log")
        here = network.places[0]
        for number in range(INTERRUPTED):
            former, here = here, network.places[1 - number % 2]
            if number % 2:
                network.move(here)
                continue
            answered = pool.submit(network.bind, here)
            time.sleep(rng.choice((rng.uniform(0, 0.1), rng.uniform(0, LONGEST))))
            network.restart()
            found = network.at()
            assert found == here or found == former and not answered.result()
            network.wait_until_at(found)
            if found != here:
                network.move(here)
        process.send_signal(signal.SIGINT)
        process.wait()
        answers = pings(network)
        lost = set(range(1, max(answers) + 1)) - {*answers}
        print(f"{INTERRUPTED} moves, {len(answers)} answers, {len(lost)} lost, "
              f"{len(answers) - len({*answers})} doubled")
        assert sorted(answers) == list(range(1, max(answers) + 1))
        assert len(answers) > INTERRUPTED * DRAIN / INTERVAL / 10
