"""tools/scale: many emulated switches and tenants behind one hvproxy: how long it takes, what it costs, does it work.

Every tenant has one logical switch with ports on different leaves and an ordinary learning switch as its controller;
all use the same addresses. Exits 0 when every ping is answered.
"""
from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Collection
from statistics import median
from typing import IO

import yaml
from rich.console import Console
from rich.table import Table

from tools.emulator import Fabric, Host, leaf_spine
from tools.emulator.switch import Switch
from tools.ports import free_port
from tools.programs import HVPROXY, Failed, Programs, cpu_seconds, measured, memory_mib

LEAVES_PER_SPINE = 19
FIRST_UPLINK = 1001
PING_TIMEOUT = 20.0
TENANTS_AT_ONCE = 10
IDLE_SECONDS = 5.0
TABLES = {0: "classify", 1: "labels", 2: "transit", 5: "labels out of tunnels", 6: "transit of tunnels", 10: "tenants"}
console = Console(highlight=False)


class Ready:
    """What the controllers last said: switches with a confirmed entry, ports that are up."""

    def __init__(self, output: IO[bytes]) -> None:
        self.switches = self.ports = 0
        self.first: float | None = None
        """When the first logical switch was ready."""
        self._output = output
        asyncio.get_running_loop().add_reader(output.fileno(), self._read)

    def _read(self) -> None:
        line = self._output.readline()
        if not line:
            self.close()
            return
        self.switches, self.ports = (int(word) for word in line.split())
        if self.switches and self.first is None:
            self.first = time.monotonic()

    def close(self) -> None:
        """Listen no more."""
        asyncio.get_running_loop().remove_reader(self._output.fileno())


class Scale:
    """One run."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.n_spines = max(1, round(arguments.switches / (LEAVES_PER_SPINE + 1)))
        self.n_leaves = arguments.switches - self.n_spines
        self.controllers = free_port()
        self.switches = free_port()
        self.table = Table("what", "value", title=f"{arguments.switches} switches, {arguments.tenants} tenants, "
                           f"{arguments.ports} ports, discovery {'on' if arguments.discovery else 'off'}")
        self.hosts: list[list[Host]] = []
        self.places: list[list[tuple[int, int]]] = []
        """Tenant -> (leaf, port) of each of its hosts."""

    def place(self) -> None:
        """Spread the ports of every tenant over the leaves, a different leaf for each while there are enough."""
        used = dict.fromkeys(range(1, self.n_leaves + 1), 0)
        n_tenants, n_ports = self.arguments.tenants, self.arguments.ports
        serial = 0
        for tenant in range(n_tenants):
            places = []
            for _ in range(n_ports // n_tenants + (tenant < n_ports % n_tenants)):
                leaf = serial % self.n_leaves + 1
                serial += 1
                used[leaf] += 1
                places.append((leaf, used[leaf]))
            self.places.append(places)

    def configuration(self) -> dict[str, object]:
        """hvproxy's configuration."""
        first_spine = self.fabric_spines()[0]
        links = [f"{leaf:#x}:{FIRST_UPLINK + index} - {first_spine + index:#x}:{leaf}"
                 for index in range(self.n_spines) for leaf in range(1, self.n_leaves + 1)]
        return {
            "switches": {"listen": [f"ptcp:{self.switches}:127.0.0.1"]},
            "fabric": {"discovery": True} if self.arguments.discovery else {"discovery": False, "links": links},
            "api": {"listen": f"ptcp:{free_port()}:127.0.0.1"},
            "store": "memory:",
            "tenants": [{
                "name": f"t{tenant}",
                "logical_switches": [{
                    "name": f"t{tenant}", "datapath_id": 0x10001 + tenant,
                    "controllers": [f"tcp:127.0.0.1:{self.controllers}"],
                    "ports": [{"number": number, "name": f"t{tenant}p{number}",
                               "attach": {"datapath": leaf, "port": port}}
                              for number, (leaf, port) in enumerate(places, 1)],
                }],
            } for tenant, places in enumerate(self.places)],
        }

    def fabric_spines(self) -> range:
        """The datapath ids of the spines, as leaf_spine() numbers them."""
        first = 0x101 if self.n_leaves < 0x101 else self.n_leaves + 1
        return range(first, first + self.n_spines)

    def row(self, what: str, value: str) -> None:
        self.table.add_row(what, value)

    async def run(self, programs: Programs) -> None:
        """Start everything, measure, print. Raises Failed unless every ping was answered."""
        self.place()
        path = programs.directory / "scale.yaml"
        path.write_text(yaml.safe_dump(self.configuration(), sort_keys=False))
        controller = programs.spawn("controller", sys.executable, "-m", "tools.learning_controller",
                                    str(self.controllers))
        assert controller.stdout is not None
        ready = Ready(controller.stdout)
        console.print("starting hvproxy and the controllers …")
        hvproxy = programs.spawn("hvproxy", self.arguments.hvproxy, "serve", str(path))
        await programs.wait_until(lambda: accepts(self.switches), "hvproxy listens", self.arguments.timeout)
        fabric = leaf_spine(self.n_spines, self.n_leaves)
        try:
            for places in self.places:
                self.hosts.append([
                    fabric.add_host(f"t{len(self.hosts)}-{number}", leaf, port,
                                    b"\x02\0\0\0" + number.to_bytes(2, "big"), b"\x0a\0" + number.to_bytes(2, "big"))
                    for number, (leaf, port) in enumerate(places, 1)])
            await self.start(programs, fabric, ready, hvproxy.pid)
            lost = await self.ping(hvproxy.pid)
            await self.cost(fabric, hvproxy.pid)
        finally:
            ready.close()
            await fabric.close()
            console.print(self.table)
        if lost:
            raise Failed(f"pings lost: {', '.join(lost[:10])}{' …' if len(lost) > 10 else ''}")

    async def start(self, programs: Programs, fabric: Fabric, ready: Ready, pid: int) -> None:
        """From the first connection of a switch to the last logical port."""
        console.print("connecting the switches …")
        start, cpu = time.monotonic(), cpu_seconds(pid)
        fabric.connect_all(f"tcp:127.0.0.1:{self.switches}")
        await programs.wait_until(lambda: ready.first is not None, "the switches are ready", self.arguments.timeout)
        assert ready.first is not None
        self.row("until switches ready, controllers dialled", f"{ready.first - start:.1f} s")
        await programs.wait_until(
            lambda: (ready.switches, ready.ports) == (self.arguments.tenants, self.arguments.ports),
            "the controllers see all ports up", self.arguments.timeout)
        self.row("until controllers see all ports up", f"{time.monotonic() - start:.1f} s")
        self.row("hvproxy's CPU time to start", f"{cpu_seconds(pid) - cpu:.1f} s")
        self.row("hvproxy's memory then", f"{memory_mib(pid)[0]:.0f} MiB")

    async def ping(self, pid: int) -> list[str]:
        """Every host pings the next one of its tenant, and one pings all; the pairs without an answer."""
        console.print("pinging …")
        start, cpu = time.monotonic(), cpu_seconds(pid)
        turns = asyncio.Semaphore(TENANTS_AT_ONCE)
        lost: list[str] = []
        sent = 0

        async def tenant(number: int, hosts: list[Host]) -> None:
            nonlocal sent
            pairs = list(zip(hosts, hosts[1:] + hosts[:1])) + [(hosts[0], other) for other in hosts[1:]]
            async with turns:
                for one, other in pairs:
                    if one is other:
                        continue
                    sent += 1
                    if await one.ping(other.ip, PING_TIMEOUT) is None:
                        lost.append(f"{one.name} -> {other.name}")

        await asyncio.gather(*(tenant(number, hosts) for number, hosts in enumerate(self.hosts)))
        self.row("until all pings were answered", f"{time.monotonic() - start:.1f} s")
        self.row("hvproxy's CPU time for the pings", f"{cpu_seconds(pid) - cpu:.1f} s")
        self.row("pings", f"{sent}, {len(lost)} lost")
        return lost

    async def cost(self, fabric: Fabric, pid: int) -> None:
        """Memory, rules and groups, and what it costs to be idle."""
        console.print(f"watching it idle for {IDLE_SECONDS:g} s …")
        start, cpu = time.monotonic(), cpu_seconds(pid)
        await asyncio.sleep(IDLE_SECONDS)
        share = (cpu_seconds(pid) - cpu) / (time.monotonic() - start)
        self.row("hvproxy's share of a CPU while idle", f"{share:.0%}")
        now, most = memory_mib(pid)
        self.row("hvproxy's memory", f"{now:.0f} MiB, at most {most:.0f} MiB")
        spines = self.fabric_spines()
        switches = {"spine": [fabric.switches[dpid] for dpid in spines],
                    "leaf": [switch for dpid, switch in fabric.switches.items() if dpid not in spines]}
        for name, chosen in switches.items():
            rules = [switch.tables.count for switch in chosen]
            groups = [len(switch.groups.groups) for switch in chosen]
            self.row(f"rules on a {name}", f"{median(rules):.0f} (median), {max(rules)} at most")
            for table, counts in rules_by_table(chosen).items():
                self.row(f"rules on a {name} in {table}", spread(counts))
            self.row(f"groups on a {name}", f"{median(groups):.0f} (median), {max(groups)} at most")


def rules_by_table(switches: Collection[Switch]) -> dict[str, list[int]]:
    """How many rules each of these switches has in the tables that hvproxy uses."""
    used = sorted({table_id for switch in switches for table_id, table in switch.tables.tables.items() if table.count})
    return {f"table {table_id} ({TABLES.get(table_id, 'else')})": [
        table.count if (table := switch.tables.tables.get(table_id)) is not None else 0 for switch in switches]
        for table_id in used}


def spread(counts: list[int]) -> str:
    """The least, the median and the most."""
    return f"{min(counts)} / {median(counts):g} / {max(counts)}"


def accepts(port: int) -> bool:
    """Whether somebody listens on a TCP port, found out without connecting."""
    wanted = f"0100007F:{port:04X}"
    with open("/proc/net/tcp") as table:
        return any(line.split()[1] == wanted and line.split()[3] == "0A" for line in table)


def main() -> int:
    parser = argparse.ArgumentParser(prog="tools/scale", description=__doc__.splitlines()[0])
    parser.add_argument("--switches", type=int, default=200, metavar="N", help="one in 20 is a spine (default 200)")
    parser.add_argument("--tenants", type=int, default=100, metavar="N", help="default 100")
    parser.add_argument("--ports", type=int, default=1000, metavar="N", help="of all tenants together (default 1000)")
    parser.add_argument("--discovery", action="store_true", help="let hvproxy find the links; else they are configured")
    parser.add_argument("--timeout", type=float, default=600, metavar="S", help="for each phase of the start")
    parser.add_argument("--hvproxy", default=str(HVPROXY), metavar="PROGRAM", help="the hvproxy to measure")
    arguments = parser.parse_args()
    if arguments.switches < 3 or arguments.tenants < 1 or arguments.ports < 2 * arguments.tenants:
        parser.error("at least 3 switches, a tenant, and 2 ports for each")
    return measured("scale", Scale(arguments).run, console)


if __name__ == "__main__":
    sys.exit(main())
