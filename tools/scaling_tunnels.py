"""tools/scale-tunnels: many logical switches over edges in IP subnets, joined by tunnels, behind one hvproxy.

The edges are emulated switches with emulated databases, in which hvproxy makes the tunnels; ports are VIFs named there.
All logical switches use the same addresses and have an ordinary learning switch as their controller. What is lost, and
what arrives where it should not, is a failure.
"""
from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
import urllib.request
from collections.abc import Callable, Collection
from itertools import combinations

import yaml
from rich.console import Console
from rich.table import Table

from tools.emulator import Fabric, Host, wire
from tools.ports import free_port
from tools.programs import HVPROXY, Failed, Programs, cpu_seconds, measured, memory_mib
from tools.scaling import Ready, accepts, rules_by_table, spread

PING_TIMEOUT = 60.0
AT_ONCE = 20
QUIET = 1.0
"""Seconds without a change after which everything is done."""
CHANGES = (wire.FLOW_MOD, wire.GROUP_MOD, wire.METER_MOD)
MARKED = b"\x88\xb5"
"""The Ethernet type of frames that say whose they are."""
console = Console(highlight=False)


class Heard:
    """Which marked frames hosts have heard."""

    def __init__(self, hosts: Collection[Host]) -> None:
        self.frames: list[tuple[str, bytes]] = []
        """(host, mark)"""
        for host in hosts:
            host.on_frame = lambda frame, name=host.name: self._hear(name, frame)

    def _hear(self, name: str, frame: bytes) -> None:
        if frame[12:14] == MARKED:
            self.frames.append((name, frame[14:]))


class TunnelScale:
    """One run."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.chance = random.Random(arguments.seed)
        self.edges = range(1, arguments.edges + 1)
        self.controllers = free_port()
        self.switches = free_port()
        self.api = free_port()
        self.table = Table("what", "value", title=f"{arguments.edges} edges in IP subnets, "
                           f"{arguments.logical_switches} logical switches, {arguments.ports} ports, "
                           f"{arguments.encapsulation}")
        self.places: list[list[int]] = []
        """Logical switch -> the edge of each of its ports."""
        self.hosts: list[list[Host]] = []

    @property
    def pairs(self) -> set[tuple[int, int]]:
        """The edges that share a logical switch."""
        return {pair for places in self.places for pair in combinations(sorted(set(places)), 2)}

    def row(self, what: str, value: str) -> None:
        self.table.add_row(what, value)

    def place(self) -> None:
        """Every logical switch is on edges chosen by chance, each of which has as many of its ports as any other."""
        n_switches, n_ports = self.arguments.logical_switches, self.arguments.ports
        for number in range(n_switches):
            edges = self.chance.sample(self.edges, len(self.edges))
            size = n_ports // n_switches + (number < n_ports % n_switches)
            self.places.append([edges[index % len(edges)] for index in range(size)])

    async def build(self) -> tuple[Fabric, list[str]]:
        """The fabric, and the addresses of its databases."""
        fabric = Fabric()
        for dpid in self.edges:
            fabric.add_switch(dpid, f"s{dpid}")
        used = dict.fromkeys(self.edges, 0)
        for number, places in enumerate(self.places):
            self.hosts.append([])
            for index, dpid in enumerate(places, 1):
                used[dpid] += 1
                self.hosts[-1].append(fabric.add_host(f"ls{number}-{index}", dpid, used[dpid],
                                                      b"\x02\0\0\0" + index.to_bytes(2, "big"),
                                                      b"\x0a\0" + index.to_bytes(2, "big")))
        return fabric, [await fabric.add_database(dpid, endpoint(dpid)) for dpid in self.edges]

    def configuration(self, databases: list[str]) -> dict[str, object]:
        """hvproxy's configuration."""
        return {
            "switches": {"listen": [f"ptcp:{self.switches}:127.0.0.1"], "ovsdb": databases},
            "fabric": {"discovery": False, "encapsulation": self.arguments.encapsulation},
            "api": {"listen": f"ptcp:{self.api}:127.0.0.1"},
            "store": "memory:",
            "tenants": [{
                "name": f"ls{number}",
                "logical_switches": [{
                    "name": f"ls{number}", "datapath_id": 0x10001 + number,
                    "controllers": [f"tcp:127.0.0.1:{self.controllers}"],
                    "ports": [{"number": index, "name": f"p{index}", "attach": {"iface_id": f"ls{number}-{index}"}}
                              for index in range(1, len(places) + 1)],
                }],
            } for number, places in enumerate(self.places)],
        }

    async def run(self, programs: Programs) -> None:
        """Start everything, measure, print. Raises Failed where frames are lost or go astray."""
        self.place()
        console.print("building the fabric …")
        fabric, databases = await self.build()
        try:
            path = programs.directory / "scale.yaml"
            path.write_text(yaml.safe_dump(self.configuration(databases), sort_keys=False))
            controller = programs.spawn("controller", sys.executable, "-m", "tools.learning_controller",
                                        str(self.controllers))
            assert controller.stdout is not None
            ready = Ready(controller.stdout)
            hvproxy = programs.spawn("hvproxy", self.arguments.hvproxy, "serve", str(path))
            await programs.wait_until(lambda: accepts(self.switches), "hvproxy listens", self.arguments.timeout)
            run = Run(programs, fabric, ready, hvproxy.pid, self.api, self.arguments.timeout)
            telling = asyncio.create_task(self.tell(run))
            try:
                await self.start(run)
                self.sizes(fabric)
                await self.reach(run)
                await self.fail(run)
            finally:
                telling.cancel()
                ready.close()
        finally:
            await fabric.close()
            console.print(self.table)

    async def tell(self, run: Run) -> None:
        """Say each second how far things have come: in place on a terminal, elsewhere in a line if there is news."""
        n_ends, said = 2 * len(self.pairs), ""
        with console.status("waiting …") as status:
            while True:
                await asyncio.sleep(1)
                text = (f"{run.ready.ports} of {self.arguments.ports} ports up, {run.fabric.underlay.heard} of {n_ends}"
                        f" ends of tunnels hear the other, {run.changes} changes sent to switches, "
                        f"{cpu_seconds(run.pid):.0f} s of CPU")
                if console.is_terminal:
                    status.update(text)
                elif text != said:
                    console.print(f"  {text}")
                said = text

    async def start(self, run: Run) -> None:
        """From the first connection of a switch until nothing changes any more."""
        arguments = self.arguments
        console.print("connecting the switches …")
        start, cpu = time.monotonic(), cpu_seconds(run.pid)
        run.fabric.connect_all(f"tcp:127.0.0.1:{self.switches}")
        wanted = (arguments.logical_switches, arguments.ports)
        await run.until(lambda: (run.ready.switches, run.ready.ports) == wanted, "the controllers see all ports up")
        self.row("until controllers see all ports up", f"{time.monotonic() - start:.1f} s")
        n_ends = 2 * len(self.pairs)
        await run.until(lambda: run.fabric.underlay.heard == n_ends, "all tunnels are up")
        last = await run.quiet()
        self.row("until all tunnels are up and nothing changes", f"{last - start:.1f} s")
        self.row("hvproxy's CPU time to start", f"{cpu_seconds(run.pid) - cpu:.1f} s")
        self.row("hvproxy's memory then", f"{memory_mib(run.pid)[0]:.0f} MiB")
        self.row("messages that change switches", f"{run.changes}")

    def sizes(self, fabric: Fabric) -> None:
        """Tunnels, rules and groups, of the edges the least, the median and the most."""
        switches = fabric.switches.values()
        self.row("tunnels", f"{len(self.pairs)}")
        self.row("tunnel ports of an edge", spread(
            [sum(dpid in pair for pair in self.pairs) for dpid in self.edges]))
        for table, counts in rules_by_table(switches).items():
            self.row(f"rules in {table}", spread(counts))
        self.row("rules of an edge", spread([switch.tables.count for switch in switches]))
        self.row("groups of an edge", spread([len(switch.groups.groups) for switch in switches]))

    async def reach(self, run: Run) -> None:
        """Hosts of one logical switch reach each other, and no others: a flood in each comes to all others of it once,
        pairs chosen by chance ping each other, and then what one sends to the other comes there only."""
        console.print("flooding and pinging …")
        start, cpu = time.monotonic(), cpu_seconds(run.pid)
        heard = Heard(run.fabric.hosts.values())
        turns = asyncio.Semaphore(AT_ONCE)
        expected: list[tuple[str, bytes]] = []
        lost: list[str] = []

        def marked(one: Host, destination: bytes, others: Collection[Host]) -> None:
            mark = one.name.encode().ljust(48, b"\0") + len(expected).to_bytes(4, "big")
            expected.extend((other.name, mark) for other in others)
            one.send_packet(destination, int.from_bytes(MARKED, "big"), mark)

        async def flood(hosts: list[Host]) -> None:
            async with turns:
                one = self.chance.choice(hosts)
                before = len(heard.frames)
                marked(one, b"\xff" * 6, [other for other in hosts if other is not one])
                await run.until(lambda: len(heard.frames) > before, "a flood arrives")

        async def ping(hosts: list[Host]) -> None:
            async with turns:
                one, other = self.chance.sample(hosts, 2)
                if await one.ping(other.ip, PING_TIMEOUT) is None:
                    lost.append(f"{one.name} -> {other.name}")
                else:
                    marked(one, other.mac, [other])

        await asyncio.gather(*map(flood, self.hosts))
        await asyncio.gather(*(ping(self.chance.choice(self.hosts)) for _ in range(self.arguments.pings)))
        await run.until(lambda: len(heard.frames) >= len(expected), "all frames arrive")
        await run.quiet()
        self.row("until floods and pings were answered", f"{time.monotonic() - start:.1f} s")
        self.row("hvproxy's CPU time for them", f"{cpu_seconds(run.pid) - cpu:.1f} s")
        self.row("pings between pairs by chance", f"{self.arguments.pings}, {len(lost)} lost")
        astray = len(heard.frames) - len(expected)
        self.row("copies of marked frames delivered", f"{len(heard.frames)}, {astray} too many")
        if lost or sorted(heard.frames) != sorted(expected):
            raise Failed(f"pings lost: {lost[:10]}; or frames came elsewhere than they should")

    async def fail(self, run: Run) -> None:
        """The loss of one tunnel, then of an endpoint, which takes all its tunnels; and their return."""
        arguments, underlay = self.arguments, run.fabric.underlay
        one, other = self.chance.choice(sorted(self.pairs))
        isolated = sum(places.count(one) for places in self.places)
        all_ports = arguments.ports
        without = all_ports - isolated
        for what, act, ports in (
                ("a tunnel is lost", lambda: underlay.set_path(endpoint(one), endpoint(other), False), all_ports),
                ("the tunnel is back", lambda: underlay.set_path(endpoint(one), endpoint(other), True), all_ports),
                ("an endpoint is lost", lambda: underlay.set_endpoint(endpoint(one), False), without),
                ("the endpoint is back", lambda: underlay.set_endpoint(endpoint(one), True), all_ports)):
            await self.event(run, what, act, ports)

    async def event(self, run: Run, what: str, act: Callable[[], None], ports: int) -> None:
        """What it costs that something happens, after which so many logical ports are up."""
        console.print(f"{what} …")
        cpu, changes = cpu_seconds(run.pid), run.changes
        start = time.monotonic()
        act()
        await run.until(lambda: run.changes != changes, f"{what}: hvproxy acts")
        await run.until(lambda: run.ready.ports == ports, f"{what}: the controllers see {ports} ports")
        last = await run.quiet()
        self.row(f"{what}: until nothing changes", f"{max(0.0, last - start):.2f} s")
        self.row(f"{what}: hvproxy's CPU time", f"{cpu_seconds(run.pid) - cpu:.2f} s")
        self.row(f"{what}: messages that change switches", f"{run.changes - changes}")


class Run:
    """What is running."""

    def __init__(self, programs: Programs, fabric: Fabric, ready: Ready, pid: int, api: int, timeout: float) -> None:
        self.programs = programs
        self.fabric = fabric
        self.ready = ready
        self.pid = pid
        self.api = api
        self.timeout = timeout

    @property
    def changes(self) -> int:
        """Messages that the switches have got to change rules and groups."""
        return sum(switch.received[kind] for switch in self.fabric.switches.values() for kind in CHANGES)

    async def until(self, true: Callable[[], object], what: str) -> None:
        """Wait for a condition."""
        await self.programs.wait_until(true, what, self.timeout)

    async def quiet(self) -> float:
        """Wait until nothing has changed for a while and hvproxy is idle; when something did last. One that gets no
        processor looks idle: so it must answer, be quiet for a while from then on, and answer again."""
        changes, last, since, spent, answers = -1, 0.0, 0.0, 0.0, 0
        while True:
            self.programs.check()
            now, cpu = time.monotonic(), cpu_seconds(self.pid)
            if self.changes != changes:
                changes, last, since, spent, answers = self.changes, now, now, cpu, 0
            elif answers == 2:
                return last
            elif now > since + QUIET:
                idle = cpu - spent < QUIET / 2
                await asyncio.to_thread(self._answers)
                since, spent, answers = time.monotonic(), cpu_seconds(self.pid), answers + 1 if idle else 0
            await asyncio.sleep(0.02)

    def _answers(self) -> None:
        """Return when hvproxy has answered."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.api}/healthz", timeout=self.timeout) as reply:
            reply.read()


def endpoint(dpid: int) -> str:
    """Where the tunnels of an edge end."""
    return f"192.0.2.{dpid}" if dpid < 256 else f"198.18.{dpid >> 8}.{dpid & 255}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="tools/scale-tunnels", description=__doc__.splitlines()[0])
    parser.add_argument("--edges", type=int, default=64, metavar="N", help="default 64")
    parser.add_argument("--logical-switches", type=int, default=500, metavar="N", help="default 500")
    parser.add_argument("--ports", type=int, default=5000, metavar="N", help="of all together (default 5000)")
    parser.add_argument("--encapsulation", default="auto", choices=("auto", "gre", "vxlan", "geneve"))
    parser.add_argument("--pings", type=int, default=2000, metavar="N", help="default 2000")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="what is by chance is the same for a seed")
    parser.add_argument("--timeout", type=float, default=900, metavar="S", help="for each phase")
    parser.add_argument("--hvproxy", default=str(HVPROXY), metavar="PROGRAM", help="the hvproxy to measure")
    arguments = parser.parse_args()
    if arguments.edges < 3 or arguments.logical_switches < 1 or arguments.ports < 2 * arguments.logical_switches:
        parser.error("at least 3 edges, a logical switch, and 2 ports for each")
    return measured("scale", TunnelScale(arguments).run, console)


if __name__ == "__main__":
    sys.exit(main())
