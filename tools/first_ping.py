"""tools/firstping: what hosts feel on real Open vSwitch.

Without --pings: the first ping of a pair for which there are no entries, through hvproxy over two spines and four
leaves, as a ratio to the same ryu simple_switch_13 driving one plain bridge, alternating in one run. The hosts forget
each other's MAC address before each, so three packets ask the controller. With --pings: that many pings within the
tenants of the demonstration network, all at once, and what arrived of them at hosts of other tenants.
"""
from __future__ import annotations

import argparse
import re
import struct
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from tests.system.network import CONTROLLER_PORT, LISTEN_PORT, PATTERN, HostSpec, Network, wait_until
from tests.system.ovs import missing

TENANT = "blue"
LEAF_PORT = 2
PLAIN = "plain"
PATIENCE = 5
INTERVAL = 0.002
LEARNT = "dl_dst=02:00:00:00:00:00/ff:ff:00:00:00:00"
"""Matches the entries for the hosts' addresses, not the table-miss entry."""
console = Console(highlight=False)


def learnt_hosts() -> tuple[HostSpec, ...]:
    """One host of the tenant that ryu drives on each leaf."""
    return tuple(HostSpec(TENANT, number, number, LEAF_PORT) for number in (1, 2, 3, 4))


class FirstPing:
    """The network, with a plain bridge and its hosts beside it."""

    def __init__(self, network: Network) -> None:
        self.network = network
        ovs = network.ovs
        ovs.add_bridge(PLAIN, 0x99)
        for host in network.hosts:
            ovs.add_host(f"{PLAIN}{host.number}", PLAIN, host.number, host.mac, f"{host.address}/24")
        ovs.set_controllers(PLAIN, f"tcp:127.0.0.1:{CONTROLLER_PORT[TENANT]}")
        wait_until(lambda: "CONTROLLER" in ovs.ofctl("dump-flows", PLAIN), "the controller set up the plain bridge")
        self.targets = {
            "hvproxy": (f"tcp:127.0.0.1:{LISTEN_PORT[TENANT]}", TENANT),
            "plain bridge": (f"unix:{ovs.management(PLAIN)}", PLAIN),
        }

    def ping(self, target: str, a: HostSpec, b: HostSpec) -> tuple[float, float]:
        """Milliseconds of the first ping of a pair without entries, and of the one after it."""
        ovs = self.network.ovs
        address, prefix = self.targets[target]
        ovs.run("ovs-ofctl", "-O", "OpenFlow13", "del-flows", address, LEARNT)
        for host in (a, b):
            ovs.run("ip", "neighbour", "flush", "dev", "eth0", host=f"{prefix}{host.number}")
        output = ovs.run("ping", "-n", "-c", "2", "-i", "0.2", "-W", str(PATIENCE), b.address,
                         host=f"{prefix}{a.number}", check=False).stdout
        times = [float(text) for text in re.findall(r"time=([0-9.]+) ms", output)]
        if len(times) != 2:
            raise RuntimeError(f"a ping through the {target} was lost:\n{output}")
        return times[0], times[1]

    def run(self, rounds: int) -> None:
        """Measure and print."""
        first: dict[str, list[float]] = {target: [] for target in self.targets}
        later: dict[str, list[float]] = {target: [] for target in self.targets}
        hosts = self.network.hosts
        pairs = [(a, b) for a in hosts for b in hosts if a is not b]
        for number in range(-len(pairs), rounds):  # once through all pairs to warm up
            for target in self.targets:
                times = self.ping(target, *pairs[number % len(pairs)])
                if number >= 0:
                    first[target].append(times[0])
                    later[target].append(times[1])
            if number % 10 == 0:
                console.print(f"round {number} of {rounds} …" if number >= 0 else "warming up …")
        table = Table("milliseconds", *self.targets, "ratio", title=f"medians of {rounds} rounds")
        for name, figures in (("first ping", first), ("next ping", later)):
            through, plain = (median(figures[target]) for target in self.targets)
            table.add_row(name, f"{through:.2f}", f"{plain:.2f}", f"{through / plain:.2f}")
        console.print(table)


def listens(log: Path) -> bool:
    """Whether the tcpdump that writes this log is at work."""
    return "listening on" in log.read_text()


class Captures:
    """What arrives at every host."""

    def __init__(self, network: Network) -> None:
        self._files: dict[str, tuple[str, Path, subprocess.Popen[bytes]]] = {}
        for host in network.hosts:
            name = f"trunk{host.leaf}-{host.port}" if host.vlan is not None else host.name
            if name not in self._files:
                path, log = network.ovs.directory / f"{name}.pcap", f"{name}.tcpdump.log"
                process = network.ovs.spawn("tcpdump", "-i", "eth0", "-Q", "in", "-U", "-B", "65536", "-w", str(path),
                                            host=name, log=log)
                self._files[name] = host.tenant, path, process
                wait_until(partial(listens, network.ovs.directory / log), "tcpdump")

    def count(self) -> tuple[int, int]:
        """(frames with the pattern of the host's own tenant, with that of another)."""
        own = strange = 0
        for tenant, path, process in self._files.values():
            process.terminate()
            process.wait(10)
            data, at = path.read_bytes(), 24
            while at + 16 <= len(data):
                length = struct.unpack_from("<I", data, at + 8)[0]
                frame = data[at + 16:at + 16 + length]
                own += bytes.fromhex(PATTERN[tenant] * 16) in frame
                strange += any(bytes.fromhex(pattern * 16) in frame
                               for other, pattern in PATTERN.items() if other != tenant)
                at += 16 + length
        return own, strange


def ping_tenants(network: Network, count: int) -> bool:
    """Ping all pairs of all tenants at once; whether none was lost and none seen by strangers."""
    tenants = sorted({host.tenant for host in network.hosts})
    pairs = {t: [(a, b) for a in network.of(t) for b in network.of(t) if a is not b] for t in tenants}
    each = max(1, -(-count // sum(len(each) for each in pairs.values())))
    captures = Captures(network)
    answered: list[tuple[HostSpec, HostSpec, int]] = []

    def ping(tenant: str) -> None:
        for a, b in pairs[tenant]:
            answered.append((a, b, network.ping(a, b, count=each, interval=INTERVAL)))
            console.print(f"{a.name} -> {b.name}: {answered[-1][2]} of {each}")

    threads = [threading.Thread(target=ping, args=(tenant,)) for tenant in tenants]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    own, strange = captures.count()
    table = Table("tenant", "pings", "lost")
    for tenant in tenants:
        got = [n for a, _, n in answered if a.tenant == tenant]
        table.add_row(tenant, str(each * len(pairs[tenant])), str(each * len(pairs[tenant]) - sum(got)))
    console.print(table)
    lost = each * sum(len(each) for each in pairs.values()) - sum(n for _, _, n in answered)
    console.print(f"{lost} pings lost; {own} frames seen by hosts of their own tenant, {strange} by others")
    return not lost and bool(own) and not strange


def main() -> int:
    parser = argparse.ArgumentParser(prog="tools/firstping", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=40, metavar="N", help="default 40")
    parser.add_argument("--pings", type=int, nargs="?", const=10000, metavar="N",
                        help="send N pings (default 10000) within tenants and count lost and strange ones instead")
    arguments = parser.parse_args()
    why = missing()
    if why is not None:
        console.print(f"Failed: {why}")
        return 1
    try:
        if arguments.pings is not None:
            console.print("setting up 2 spines, 4 leaves and 3 tenants on Open vSwitch …")
            with Network() as network:
                return 0 if ping_tenants(network, arguments.pings) else 1
        console.print("setting up 2 spines, 4 leaves and a plain bridge on Open vSwitch …")
        with Network(learnt_hosts()) as network:
            FirstPing(network).run(arguments.rounds)
    except (RuntimeError, TimeoutError, OSError, subprocess.SubprocessError) as failure:
        console.print(f"Failed: {failure}")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
