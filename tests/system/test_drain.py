"""A spine of real Open vSwitch is drained by the command, and then killed, under pings of every pair across it."""
from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.system.network import LEAVES, HostSpec, Network, wait_until
from tests.system.ovs import HVPROXY, require
from tests.system.pings import Pings

HOSTS = tuple(HostSpec("red", leaf, leaf, 1) for leaf in LEAVES)


@pytest.fixture
def network() -> Iterator[Network]:
    require()
    with Network(HOSTS) as network:
        yield network


def hvproxy(network: Network, *command: str) -> tuple[int, list[str]]:
    done = network.ovs.run(HVPROXY, *command, check=False)
    assert not done.stderr, done.stderr
    return done.returncode, done.stdout.splitlines()


def test_a_spine_that_is_drained_and_killed_is_not_missed(network: Network) -> None:
    pairs = [(a, b) for a in HOSTS for b in HOSTS if a.number < b.number]
    for a, b in pairs:
        wait_until(lambda a=a, b=b: network.ping(a, b) == 1, "the hosts do not reach each other")
    told = network.metric("hvproxy_messages_total", direction="to_controller", type="port_status")
    everybody = [Pings(network.ovs, a, b) for a, b in pairs]
    for pings in everybody:
        pings.__enter__()
    assert hvproxy(network, "drain", "0x11") == (0, ["datapath 0000000000000011 carries nothing and may be taken away"])
    for leaf in LEAVES:
        network.ovs.set_interface(network.links[leaf, 0x11][1], False)
    network.ovs.vsctl("del-br", "s11")
    wait_until(lambda: len(network.get("/v1/links")) == 4, "its links are still there")
    for pings in everybody:
        pings.__exit__(None, None, None)
    assert [len(pings.lost) for pings in everybody] == [0] * len(pairs)
    assert network.metric("hvproxy_messages_total", direction="to_controller", type="port_status") == told


def test_what_stays_is_told_and_the_switch_is_used_again(network: Network) -> None:
    status, lines = hvproxy(network, "drain", "0x2")
    assert (status, lines) == (1, ["port 2 (red2) of red stays: it is attached to port 1 there; attach it elsewhere, "
                                   "or take it down with --force"])
    assert network.settled()
    status, lines = hvproxy(network, "drain", "0x2", "--force")
    assert (status, lines[-1]) == (0, "datapath 0000000000000002 carries nothing and may be taken away")
    assert network.get("/v1/logical-switches/red/ports/2")["state"] == "down"
    assert hvproxy(network, "drain", "0x2", "--undo") == (0, ["datapath 0000000000000002 is used again"])
    wait_until(network.settled, "the port does not come up again")
