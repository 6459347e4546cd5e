"""tools/neighbours: what a tenant who sends messages of 65 535 bytes and maximal nesting costs another tenant.

Two tenants on two switches behind one hvproxy. The quiet one sends a flow-mod and a barrier at a time and measures
until the barrier is answered; the noisy one, a process of its own together with its switch, sends its messages as fast
as they are taken. Round trips with and without noise alternate in one run; their ratio carries over to other machines.
"""
from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Iterator
from itertools import count
from statistics import median, quantiles

import yaml
from rich.console import Console
from rich.table import Table

from tools.bench_ends import ADD, ANY, APPLY_ACTIONS, Controller, Switch, struct_match
from tools.emulator import oxm, wire
from tools.ports import free_port
from tools.programs import HVPROXY, Failed, Programs, measured

PATIENCE = 60.0
GAP = 0.005
"""Seconds between two round trips."""
LONGEST = 65535
WRITE_ACTIONS = 3
MODIFY = 1
QUIET, NOISY = 2, 1
"""The tenants' switches."""
console = Console(highlight=False)


def filled(start: bytes, piece: bytes, number: int) -> bytes:
    """`start` and as many of `piece` as fit in a message; `number` is in the first, so that no two are the same."""
    room = (LONGEST - 8 - len(start)) // len(piece)
    return start + piece[:-4] + number.to_bytes(4, "big") + piece * (room - 1)


def outputs(number: int, kind: int = APPLY_ACTIONS) -> bytes:
    """A flow-mod of 4 000 outputs."""
    head = wire.FLOW_MOD_BODY.pack(0, 0, 0, ADD, 0, 0, 7, ANY, ANY, ANY, 0) + struct_match(b"")
    output = b"\x00\x00\x00\x10" + (2).to_bytes(4, "big") + bytes(8)
    actions = b"\x00\x00\x00\x10" + (number % 2 + 1).to_bytes(4, "big") + bytes(8)
    actions += output * ((LONGEST - 8 - len(head) - 8) // 16 - 1 - number % 7)
    return wire.message(wire.FLOW_MOD, number, head + kind.to_bytes(2, "big") + (8 + len(actions)).to_bytes(2, "big")
                        + bytes(4) + actions)


def set_fields(number: int) -> bytes:
    """A flow-mod of 4 000 set-field actions, no two alike."""
    head = wire.FLOW_MOD_BODY.pack(0, 0, 0, ADD, 0, 0, 7, ANY, ANY, ANY, 0) + struct_match(b"")
    actions = b"".join(b"\x00\x19\x00\x10" + oxm.tlv(oxm.ETH_DST, number << 16 | at) + bytes(2) for at in range(4080))
    return wire.message(wire.FLOW_MOD, number, head + APPLY_ACTIONS.to_bytes(2, "big")
                        + (8 + len(actions)).to_bytes(2, "big") + bytes(4) + actions)


def buckets(number: int) -> bytes:
    """A group-mod of 4 000 buckets: the group is added once, then changed."""
    head = (ADD if number == 1 else MODIFY).to_bytes(2, "big") + bytes(2) + (7).to_bytes(4, "big")
    each = (16).to_bytes(2, "big") + bytes(2) + b"\xff" * 8 + bytes(4)
    return wire.message(wire.GROUP_MOD, number, head + each * (4090 - number % 7))


def select_buckets(number: int) -> bytes:
    """The same of a group whose buckets all differ in weight."""
    head = (ADD if number == 1 else MODIFY).to_bytes(2, "big") + b"\x01\0" + (7).to_bytes(4, "big")
    each = (b"\0\x10" + (1 + (at * 7 + number) % 60000).to_bytes(2, "big") + b"\xff" * 8 + bytes(4)
            for at in range(4000))
    return wire.message(wire.GROUP_MOD, number, head + b"".join(each))


def packet_outs(number: int) -> bytes:
    """A packet-out of 4 000 outputs and a short frame."""
    frame = number.to_bytes(8, "big") * 8
    output = b"\x00\x00\x00\x10" + (2).to_bytes(4, "big") + bytes(8)
    actions = output * ((LONGEST - 24 - len(frame)) // 16 - number % 7)
    return wire.message(wire.PACKET_OUT, number, ANY.to_bytes(4, "big") + (1).to_bytes(4, "big")
                        + len(actions).to_bytes(2, "big") + bytes(6) + actions + frame)


def broken(number: int) -> bytes:
    """A flow-mod of 4 000 actions of which the last is of no known type."""
    message = bytearray(outputs(number))
    message[-16:-14] = b"\x12\x34"
    return bytes(message)


KINDS = {"outputs": outputs, "written outputs": lambda number: outputs(number, WRITE_ACTIONS),
         "set-fields": set_fields, "buckets": buckets, "select buckets": select_buckets,
         "packet-outs": packet_outs, "broken at the end": broken}


def noise(kind: str) -> Iterator[bytes]:
    """Messages of one kind without end."""
    return map(KINDS[kind], count(1))


async def make_noise(kind: str, controller_port: int, switch_port: int) -> None:
    """The noisy tenant and its switch. Says "ready", waits for a line, then prints a dot for every message taken."""
    loop = asyncio.get_running_loop()
    await loop.create_connection(lambda: Switch(NOISY), "127.0.0.1", switch_port)
    controller = Controller()
    while not controller.ready or controller.closed:
        controller = Controller()
        await loop.create_connection(lambda: controller, "127.0.0.1", controller_port)  # noqa: B023
        for _ in range(20):
            await asyncio.sleep(0.05)
            if controller.ready:
                break
    print("ready", flush=True)
    for message in noise(kind):
        await controller.flood([message])
        print(".", end="", flush=True)
        if controller.closed:
            raise SystemExit("the noisy controller was cut off")


class QuietController(Controller):
    """A controller that can be waited for."""

    answered: asyncio.Event | None = None
    """Set when a barrier is answered."""

    def take(self, kind: int, message: bytes) -> None:
        super().take(kind, message)
        if kind == wire.BARRIER_REPLY and self.answered is not None:
            self.answered.set()


class Neighbours:
    """One hvproxy, the quiet tenant and its switch."""

    def __init__(self, programs: Programs) -> None:
        self.programs = programs
        self.switch_port, self.noisy_port, self.quiet_port = free_port(), free_port(), free_port()
        self.controller = QuietController()
        self.switch = Switch(QUIET)

    def configuration(self) -> dict[str, object]:
        """hvproxy's."""
        return {
            "switches": {"listen": [f"ptcp:{self.switch_port}:127.0.0.1"]},
            "fabric": {"discovery": False},
            "api": {"listen": f"ptcp:{free_port()}:127.0.0.1"},
            "store": "memory:",
            "tenants": [{"name": name, "logical_switches": [{
                "name": name, "datapath_id": 0xb0 + dpid, "listen": [f"ptcp:{port}:127.0.0.1"],
                "ports": [{"number": each, "name": f"{name}{each}", "attach": {"datapath": dpid, "port": each}}
                          for each in (1, 2)],
            }]} for name, dpid, port in (("noisy", NOISY, self.noisy_port), ("quiet", QUIET, self.quiet_port))],
        }

    async def start(self, program: str) -> None:
        """Start hvproxy, the quiet tenant and its switch."""
        path = self.programs.directory / "neighbours.yaml"
        path.write_text(yaml.safe_dump(self.configuration(), sort_keys=False))
        self.programs.spawn("hvproxy", program, "serve", str(path))
        await self._connect(self.switch, self.switch_port)
        await self._connect(self.controller, self.quiet_port)
        await self.programs.wait_until(lambda: self.controller.ready and self.switch.miss, "the quiet tenant", PATIENCE)

    async def _connect(self, end: Switch | Controller, port: int) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PATIENCE
        while True:
            self.programs.check()
            try:
                await loop.create_connection(lambda: end, "127.0.0.1", port)
                return
            except OSError:
                if loop.time() > deadline:
                    raise Failed(f"nobody listens at port {port}") from None
                await asyncio.sleep(0.05)

    async def round_trips(self, number: int) -> list[float]:
        """Milliseconds of each of so many barriers behind a flow-mod."""
        times = []
        for _ in range(number):
            answered = self.controller.answered = asyncio.Event()
            start = time.perf_counter()
            self.controller.transport.write(self.controller.flow_mod() + wire.message(wire.BARRIER_REQUEST, 6))
            try:
                await asyncio.wait_for(answered.wait(), PATIENCE)
            except TimeoutError:
                raise Failed("a barrier of the quiet tenant is not answered") from None
            times.append((time.perf_counter() - start) * 1000)
            await asyncio.sleep(GAP)
        return times

    async def beside(self, kind: str, number: int, rounds: int) -> tuple[list[float], list[float], int]:
        """Round trips without and with noise of a kind, and how many noisy messages were taken."""
        alone: list[float] = []
        together: list[float] = []
        taken = 0
        for _ in range(rounds):
            alone += await self.round_trips(number)
            program = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tools.noisy_neighbour", "--noise", kind, str(self.noisy_port),
                str(self.switch_port), stdout=asyncio.subprocess.PIPE)
            assert program.stdout is not None
            await asyncio.wait_for(program.stdout.readuntil(b"ready\n"), PATIENCE)
            await asyncio.wait_for(program.stdout.readexactly(3), PATIENCE)
            together += await self.round_trips(number)
            if program.returncode is not None:
                raise Failed(f"noise of {kind} ended with status {program.returncode}")
            program.terminate()
            taken += 3 + len(await program.stdout.read())
            await program.wait()
        return alone, together, taken


async def measure(arguments: argparse.Namespace, programs: Programs) -> bool:
    """Print the figures; whether every median at most doubles."""
    table = Table("noise", "taken", "alone p50", "beside p50", "ratio", "alone p95", "beside p95",
                  title="barrier round trips of the quiet tenant, milliseconds")
    good = True
    for kind in KINDS:
        console.print(f"noise of {kind} …")
        neighbours = Neighbours(programs)
        await neighbours.start(arguments.hvproxy)
        alone, together, taken = await neighbours.beside(kind, arguments.round_trips, arguments.rounds)
        ratio = median(together) / median(alone)
        good &= ratio <= 2
        table.add_row(kind, str(taken), f"{median(alone):.2f}", f"{median(together):.2f}", f"{ratio:.2f}",
                      f"{quantiles(alone, n=20)[-1]:.2f}", f"{quantiles(together, n=20)[-1]:.2f}")
        programs.stop()
    console.print(table)
    return good


def main() -> int:
    parser = argparse.ArgumentParser(prog="tools/neighbours", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="with and without noise (default 5)")
    parser.add_argument("--round-trips", type=int, default=100, metavar="N", help="per round (default 100)")
    parser.add_argument("--hvproxy", default=str(HVPROXY), metavar="PROGRAM", help="the hvproxy to measure")
    parser.add_argument("--noise", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.noise:
        kind, controller_port, switch_port = arguments.noise
        asyncio.run(make_noise(kind, int(controller_port), int(switch_port)))
        return 0
    return measured("neighbours", lambda programs: measure(arguments, programs), console)


if __name__ == "__main__":
    sys.exit(main())
