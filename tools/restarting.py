"""tools/restart: hvproxy is killed with many entries on its switches, and started again: what does that take?

A tenant has a logical switch over as many emulated switches as are asked for, each with one of its ports, and installs
entries for each port. When a barrier has confirmed them, hvproxy is killed (SIGKILL) and started on the same store.
Printed are the times until it serves, until the switches are adopted, and every message that changed a switch: there
should be none. Exits 0 when there is none and every entry is told again.
"""
from __future__ import annotations

import argparse
import asyncio
import re
import signal
import sys
import time
import urllib.request
from struct import Struct

import yaml
from rich.console import Console
from rich.table import Table

from tools.bench_ends import End
from tools.emulator import leaf_spine, wire
from tools.ports import free_port
from tools.programs import HVPROXY, Failed, Programs, cpu_seconds, measured, memory_mib
from tools.scaling import accepts

FLOW_MOD, MULTIPART_REQUEST, MULTIPART_REPLY, BARRIER_REQUEST, BARRIER_REPLY = 14, 18, 19, 20, 21
PORT_DESC, AGGREGATE = 13, 2
CHANGING = ("flow_mod", "group_mod", "meter_mod", "port_mod", "table_mod")
FLOWS = Struct("!QQBBHHHIIIH2x")
BATCH = 2000
console = Console(highlight=False)


class Tenant(End):
    """A controller that connects to the logical switch."""

    def __init__(self) -> None:
        super().__init__()
        self.replies: dict[int, asyncio.Future[bytes]] = {}
        self.errors = 0
        self._xid = 1

    def take(self, kind: int, message: bytes) -> None:
        if kind == wire.ECHO_REQUEST:
            self.answer(wire.ECHO_REPLY, message, message[8:])
        elif kind == wire.ERROR:
            self.errors += 1
        waiting = self.replies.pop(int.from_bytes(message[4:8], "big"), None)
        if waiting is not None and not waiting.done():
            waiting.set_result(message)

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        for waiting in self.replies.values():
            if not waiting.done():
                waiting.set_exception(Failed("hvproxy closed the controller's connection"))

    async def ask(self, kind: int, body: bytes = b"", before: list[bytes] = []) -> bytes:
        """The answer to a request that follows these messages."""
        self._xid += 1
        reply = self.replies[self._xid] = asyncio.get_running_loop().create_future()
        await self.flood([*before, wire.message(kind, self._xid, body)])
        return await reply

    async def ports_up(self) -> int:
        """How many ports are up."""
        body = (await self.ask(MULTIPART_REQUEST, PORT_DESC.to_bytes(2, "big") + bytes(6)))[16:]
        return sum(not body[at + 39] & 1 for at in range(0, len(body), 64))

    async def entries(self) -> int:
        """How many entries there are."""
        everything = b"\xff\0\0\0" + b"\xff" * 8 + bytes(20) + b"\0\1\0\4" + bytes(4)
        request = AGGREGATE.to_bytes(2, "big") + bytes(6) + everything
        return int.from_bytes((await self.ask(MULTIPART_REQUEST, request))[32:36], "big")


def entry(port: int, number: int, cookie: int) -> bytes:
    """A flow-mod for frames from a port to an address of its own, which go to the next port."""
    tlvs = b"\x80\0\0\4" + port.to_bytes(4, "big") + b"\x80\0\6\6\2\0" + number.to_bytes(4, "big")
    match = b"\0\1" + (4 + len(tlvs)).to_bytes(2, "big") + tlvs
    match += bytes(-len(match) % 8)
    output = b"\0\0\0\x10" + (port % 4 + 1).to_bytes(4, "big") + b"\xff\xff" + bytes(6)
    apply = b"\0\4" + (8 + len(output)).to_bytes(2, "big") + bytes(4) + output
    body = FLOWS.pack(cookie, 0, 0, 0, 0, 0, 5, 0xffffffff, 0xffffffff, 0xffffffff, 0) + match + apply
    return wire.message(FLOW_MOD, 0, body)


class Restart:
    """One run."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.switches, self.listen, self.api = free_port(), free_port(), free_port()
        self.table = Table("what", "value", title=f"{arguments.entries} entries over {arguments.switches} switches")

    def configuration(self) -> dict[str, object]:
        """hvproxy's configuration."""
        leaves = range(1, self.arguments.switches + 1)
        return {
            "switches": {"listen": [f"ptcp:{self.switches}:127.0.0.1"], "audit": 0},
            "fabric": {"discovery": False, "links": [f"{leaf:#x}:1001 - 0x101:{leaf}" for leaf in leaves]},
            "api": {"listen": f"ptcp:{self.api}:127.0.0.1"},
            "store": "sqlite:restart.db",
            "tenants": [{"name": "red", "logical_switches": [{
                "name": "red", "datapath_id": 0xA1, "listen": [f"ptcp:{self.listen}:127.0.0.1"],
                "ports": [{"number": leaf, "name": f"red{leaf}", "attach": {"datapath": leaf, "port": 1}}
                          for leaf in leaves]}]}],
        }

    def row(self, what: str, value: str) -> None:
        self.table.add_row(what, value)

    async def run(self, programs: Programs) -> None:
        """Start, fill, kill, start again, print. Raises Failed when something was changed or is missing."""
        path = programs.directory / "restart.yaml"
        path.write_text(yaml.safe_dump(self.configuration(), sort_keys=False))
        fabric = leaf_spine(1, self.arguments.switches)
        hosts = [fabric.add_host(f"h{leaf}", leaf, 1, b"\x02\0\0\1\0" + bytes([leaf]), b"\x0a\0\0" + bytes([leaf]))
                 for leaf in range(1, self.arguments.switches + 1)]
        assert hosts
        console.print("starting hvproxy …")
        first = programs.spawn("hvproxy", self.arguments.hvproxy, "serve", str(path))
        try:
            await programs.wait_until(lambda: accepts(self.switches), "hvproxy listens", self.arguments.timeout)
            fabric.connect_all(f"tcp:127.0.0.1:{self.switches}")
            tenant = await self.connect(programs)
            await self.fill(programs, tenant)
            self.row("hvproxy's memory then", f"{memory_mib(first.pid)[0]:.0f} MiB")
            held = sum(switch.tables.count for switch in fabric.switches.values())
            console.print("killing hvproxy, and starting it again …")
            first.send_signal(signal.SIGKILL)
            first.wait()
            begun = time.monotonic()
            second = programs.spawn("hvproxy", self.arguments.hvproxy, "serve", str(path))
            await programs.wait_until(lambda: accepts(self.switches), "hvproxy listens", self.arguments.timeout)
            self.row("until it serves", f"{time.monotonic() - begun:.1f} s")
            tenant = await self.connect(programs)
            self.row("until all switches are adopted, controllers served", f"{time.monotonic() - begun:.1f} s")
            self.row("hvproxy's CPU time for it", f"{cpu_seconds(second.pid):.1f} s")
            told, changed = await tenant.entries(), self.changed()
            self.row("entries told", str(told))
            self.row("messages that changed a switch", str(changed))
            tenant.transport.close()
        finally:
            await fabric.close()
            console.print(self.table)
        if told != self.arguments.entries or changed or held != sum(s.tables.count for s in fabric.switches.values()):
            raise Failed("something was changed, or is missing")

    async def connect(self, programs: Programs) -> Tenant:
        """A controller, once the logical switch listens and its ports are up: then all switches are adopted."""
        await programs.wait_until(lambda: accepts(self.listen), "the logical switch listens", self.arguments.timeout)
        _, tenant = await asyncio.get_running_loop().create_connection(Tenant, "127.0.0.1", self.listen)
        while await tenant.ports_up() < self.arguments.switches:
            programs.check()
        return tenant

    async def fill(self, programs: Programs, tenant: Tenant) -> None:
        """Install the entries, some thousand to a barrier, and see all of them told."""
        begun = time.monotonic()
        count = self.arguments.entries
        for start in range(0, count, BATCH):
            batch = [entry(number % self.arguments.switches + 1, number, number) for number in
                     range(start, min(count, start + BATCH))]
            await tenant.ask(BARRIER_REQUEST, before=batch)
            programs.check()
            if start % (BATCH * 10) == 0:
                console.print(f"  {start + len(batch)} entries confirmed")
        if tenant.errors or await tenant.entries() != count:
            raise Failed(f"{tenant.errors} entries were refused")
        self.row("until all entries were confirmed and stored", f"{time.monotonic() - begun:.1f} s")
        tenant.transport.close()

    def changed(self) -> int:
        """How many messages that change something went to the switches."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.api}/metrics", timeout=60) as reply:
            text = reply.read().decode()
        found = re.findall(r'^hvproxy_messages_total\{direction="to_switch".*type="(\w+)"\} (\d+)', text, re.MULTILINE)
        return sum(int(float(count)) for kind, count in found if kind in CHANGING)


def main() -> int:
    parser = argparse.ArgumentParser(prog="tools/restart", description=__doc__.splitlines()[0])
    parser.add_argument("--entries", type=int, default=100_000, metavar="N", help="default 100000")
    parser.add_argument("--switches", type=int, default=4, metavar="N", help="edges (default 4)")
    parser.add_argument("--timeout", type=float, default=600, metavar="S", help="for each phase")
    parser.add_argument("--hvproxy", default=str(HVPROXY), metavar="PROGRAM", help="the hvproxy to measure")
    arguments = parser.parse_args()
    if arguments.entries < 1 or not 2 <= arguments.switches <= 250:
        parser.error("at least 1 entry, and 2 to 250 switches")
    return measured("restart", Restart(arguments).run, console)


if __name__ == "__main__":
    sys.exit(main())
