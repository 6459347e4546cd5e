"""tools/bench: what hvproxy costs per message, as a ratio to a relay that only finds the message boundaries.

One switch and one controller, both of them bench_ends, through hvproxy and through bench_relay, in alternating rounds
of one run. CPU time is that of the process in the middle alone. Ratios carry over to other machines and days, the
times beside them do not.
"""
from __future__ import annotations

import argparse
import asyncio
import sys
import time
from statistics import median

import yaml
from rich.console import Console
from rich.table import Table

from tools.bench_ends import IN_PORT, OUT_PORT, Controller, Switch
from tools.emulator import wire
from tools.ports import free_port
from tools.programs import HVPROXY, Failed, Programs, cpu_seconds, measured

PATIENCE = 60.0
PACKET_IN, FLOW_MOD, ROUND_TRIP = "CPU per packet-in", "CPU per flow-mod", "packet-in to flow-mod, p50"
console = Console(highlight=False)


class Middle:
    """A program between a switch and a controller, and both of them."""

    def __init__(self, name: str, programs: Programs) -> None:
        self.name = name
        self.programs = programs
        self.switch_port = free_port()
        self.controller_port = free_port()
        self.controller: Controller | None = None
        self.switch = Switch()
        self.pid = 0
        self.figures: dict[str, list[float]] = {PACKET_IN: [], FLOW_MOD: [], ROUND_TRIP: []}
        """Microseconds, one figure per round."""
        self.lost = 0

    def _accept(self) -> Controller:
        self.controller = Controller()
        return self.controller

    async def start(self, *command: str) -> None:
        """Start the program, connect both ends, and wait until the controller has set up its switch."""
        loop = asyncio.get_running_loop()
        self.server = await loop.create_server(self._accept, "127.0.0.1", self.controller_port)
        self.pid = self.programs.spawn(self.name, *command).pid
        deadline = loop.time() + PATIENCE
        while True:
            self.programs.check()
            try:
                await loop.create_connection(lambda: self.switch, "127.0.0.1", self.switch_port)
                break
            except OSError:
                if loop.time() > deadline:
                    raise Failed(f"{self.name} does not listen") from None
                await asyncio.sleep(0.05)
        await self.programs.wait_until(lambda: self.controller and self.controller.ready and self.switch.miss,
                                       f"the controller behind {self.name} is ready", PATIENCE)

    @property
    def ends(self) -> tuple[Switch, Controller]:
        assert self.controller is not None
        if self.controller.closed or self.switch.closed:
            raise Failed(f"{self.name} closed a connection")
        return self.switch, self.controller

    async def measure_packet_ins(self, count: int) -> None:
        """The switch sends packet-ins as fast as TCP takes them; until the last has arrived."""
        switch, controller = self.ends
        messages = [switch.packet_in()] * count
        before, cpu, echoed = controller.packet_ins, cpu_seconds(self.pid), switch.echoed
        await switch.flood(messages)
        # What answers an echo has taken everything that was sent before it, and has all of it before the answer to a
        # barrier on its way to the controller.
        switch.transport.write(wire.message(wire.ECHO_REQUEST, 7))
        await self.programs.wait_until(lambda: switch.echoed > echoed, f"an echo through {self.name}", PATIENCE)
        barriers = controller.barriers
        controller.transport.write(wire.message(wire.BARRIER_REQUEST, 6))
        await self._answered(barriers)
        self.figures[PACKET_IN].append((cpu_seconds(self.pid) - cpu) / count * 1e6)
        self.lost += count - (controller.packet_ins - before)

    async def measure_flow_mods(self, count: int) -> None:
        """The controller sends flow-mods and a barrier; until that is answered."""
        switch, controller = self.ends
        messages = [controller.flow_mod() for _ in range(count)] + [wire.message(wire.BARRIER_REQUEST, 6)]
        barriers, before, cpu = controller.barriers, switch.flow_mods, cpu_seconds(self.pid)
        await controller.flood(messages)
        await self._answered(barriers)
        self.figures[FLOW_MOD].append((cpu_seconds(self.pid) - cpu) / count * 1e6)
        if switch.flow_mods - before != count or controller.refusals:
            raise Failed(f"{self.name}: {switch.flow_mods - before} of {count} flow-mods arrived, "
                         f"{controller.refusals} errors")
        await self._clean()

    async def measure_round_trips(self, count: int) -> None:
        """One packet-in at a time, answered with a flow-mod; until that is at the switch."""
        switch, controller = self.ends
        packet_in = switch.packet_in()
        arrived = asyncio.Event()
        controller.on_packet_in = lambda: controller.transport.write(controller.flow_mod())
        switch.on_flow_mod = arrived.set
        times = []
        for _ in range(count):
            start = time.perf_counter()
            switch.transport.write(packet_in)
            await asyncio.wait_for(arrived.wait(), PATIENCE)
            times.append(time.perf_counter() - start)
            arrived.clear()
        controller.on_packet_in = switch.on_flow_mod = None
        self.figures[ROUND_TRIP].append(median(times) * 1e6)
        await self._clean()

    async def _clean(self) -> None:
        _, controller = self.ends
        barriers = controller.barriers
        controller.transport.write(controller.clean())
        await self._answered(barriers)

    async def _answered(self, barriers: int) -> None:
        _, controller = self.ends
        await self.programs.wait_until(lambda: controller.barriers > barriers, f"a barrier through {self.name}",
                                       PATIENCE)

    def close(self) -> None:
        """Close both ends."""
        for end in (self.switch, self.controller):
            if end is not None and hasattr(end, "transport"):
                end.transport.abort()
        self.server.close()


def configuration(middle: Middle) -> dict[str, object]:
    """hvproxy's, with one logical switch on the one switch."""
    return {
        "switches": {"listen": [f"ptcp:{middle.switch_port}:127.0.0.1"]},
        "fabric": {"discovery": False},
        "api": {"listen": f"ptcp:{free_port()}:127.0.0.1"},
        "store": "memory:",
        "tenants": [{"name": "bench", "logical_switches": [{
            "name": "bench", "datapath_id": 0xbe, "controllers": [f"tcp:127.0.0.1:{middle.controller_port}"],
            "ports": [{"number": port, "name": f"bench{port}", "attach": {"datapath": 1, "port": port}}
                      for port in (IN_PORT, OUT_PORT)],
        }]}],
    }


async def measure(arguments: argparse.Namespace, programs: Programs) -> bool:
    """Print the figures; whether nothing was lost."""
    relay, hvproxy = Middle("relay", programs), Middle("hvproxy", programs)
    path = programs.directory / "bench.yaml"
    path.write_text(yaml.safe_dump(configuration(hvproxy), sort_keys=False))
    try:
        await relay.start(sys.executable, "-m", "tools.bench_relay", str(relay.switch_port),
                          str(relay.controller_port))
        await hvproxy.start(arguments.hvproxy, "serve", str(path))
        for number in range(-1, arguments.rounds):
            console.print("warming up …" if number < 0 else f"round {number + 1} of {arguments.rounds} …")
            for middle in (relay, hvproxy):
                await middle.measure_packet_ins(arguments.packet_ins)
                await middle.measure_flow_mods(arguments.flow_mods)
                await middle.measure_round_trips(arguments.round_trips)
                if number < 0:
                    middle.figures = {name: [] for name in middle.figures}
                    middle.lost = 0
    finally:
        for middle in (relay, hvproxy):
            middle.close()
    table = Table("", "relay", "hvproxy", "ratio", title=f"medians of {arguments.rounds} rounds, microseconds")
    for name in relay.figures:
        floor, cost = median(relay.figures[name]), median(hvproxy.figures[name])
        table.add_row(name, f"{floor:.2f}", f"{cost:.2f}", f"{cost / floor:.1f}")
    console.print(table)
    console.print(f"packet-ins lost: {relay.lost} by the relay, {hvproxy.lost} by hvproxy")
    return not relay.lost and not hvproxy.lost


def main() -> int:
    parser = argparse.ArgumentParser(prog="tools/bench", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, metavar="N", help="after one to warm up (default 7)")
    parser.add_argument("--packet-ins", type=int, default=20000, metavar="N", help="per round (default 20000)")
    parser.add_argument("--flow-mods", type=int, default=20000, metavar="N", help="per round (default 20000)")
    parser.add_argument("--round-trips", type=int, default=1000, metavar="N", help="per round (default 1000)")
    parser.add_argument("--hvproxy", default=str(HVPROXY), metavar="PROGRAM", help="the hvproxy to measure")
    arguments = parser.parse_args()
    if min(arguments.rounds, arguments.packet_ins, arguments.flow_mods, arguments.round_trips) < 1:
        parser.error("one of each at least")
    return measured("bench", lambda programs: measure(arguments, programs), console)


if __name__ == "__main__":
    sys.exit(main())
