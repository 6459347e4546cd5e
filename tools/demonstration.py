"""tools/demo: two tenants, the same addresses, a controller each that was never told its switch is virtual.

Runs hvproxy and the controllers as programs of their own; the fabric is emulated in this process, or real Open vSwitch
(--ovs). Exits 0 when everything shown is as it should be.
"""
from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable
from pathlib import Path

import yaml
from rich.console import Console
from rich.table import Table

from tools.emulator import Fabric, Host, leaf_spine
from tools.ports import free_port

ROOT = Path(__file__).resolve().parents[1]
BINARIES = Path(sys.executable).parent
TENANTS = {"red": (1, 2, 3, 4), "blue": (1, 2, 3, 4)}
"""Tenant -> the leaf of each of its ports, in order of port number."""
PORT_ON_LEAF = {"red": 1, "blue": 2}
console = Console(highlight=False)


PATIENCE = 20.0
"""Seconds after which an answer counts as lost: a busy machine may need long for the first one."""


class Failed(Exception):
    """The demonstration did not show what it should."""


def say(text: str) -> None:
    console.print(f"[bold cyan]·[/] {text}")


async def wait_until(true: Callable[[], Awaitable[object]], what: str, programs: list[subprocess.Popen[bytes]]) -> None:
    """Wait for a condition while the programs run; 60 s at most."""
    for _ in range(600):
        if await true():
            return
        for program in programs:
            if program.poll() is not None:
                raise Failed(f"{program.args[-1]} ended with status {program.returncode}")  # type: ignore[index]
        await asyncio.sleep(0.1)
    raise Failed(f"{what}: not after 60 s")


class Demonstration:
    """The programs and the fabric."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.programs: list[subprocess.Popen[bytes]] = []
        self.api = free_port()
        self.switches = free_port()
        self.controllers = {tenant: free_port() for tenant in TENANTS}
        self.listeners = {tenant: free_port() for tenant in TENANTS}
        self.fabric: Fabric | None = None
        self.hosts: dict[str, list[Host]] = {}

    def spawn(self, name: str, *command: str) -> None:
        with open(self.directory / f"{name}.log", "wb") as log:
            self.programs.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=ROOT))

    def stop(self) -> None:
        for program in self.programs:
            program.terminate()
        for program in self.programs:
            try:
                program.wait(10)
            except subprocess.TimeoutExpired:
                program.kill()

    def configuration(self) -> dict[str, object]:
        return {
            "switches": {"listen": [f"ptcp:{self.switches}:127.0.0.1"]},
            "fabric": {"discovery": True},
            "api": {"listen": f"ptcp:{self.api}:127.0.0.1"},
            "store": "memory:",
            "tenants": [{
                "name": tenant,
                "logical_switches": [{
                    "name": tenant, "datapath_id": 0xA1 + index,
                    "controllers": [f"tcp:127.0.0.1:{self.controllers[tenant]}"],
                    "listen": [f"ptcp:{self.listeners[tenant]}:127.0.0.1"],
                    "ports": [
                        {"number": number, "name": f"{tenant}{number}",
                         "attach": {"datapath": leaf, "port": PORT_ON_LEAF[tenant]}}
                        for number, leaf in enumerate(leaves, 1)],
                }],
            } for index, (tenant, leaves) in enumerate(TENANTS.items())],
        }

    async def get(self, path: str) -> object:
        """GET from the API, in a thread: the switches that hvproxy may have to ask live in this one."""
        return await asyncio.to_thread(self._get, path)

    def _get(self, path: str) -> object:
        """GET from the API; None while it does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.api}{path}", timeout=PATIENCE) as reply:
                text = reply.read().decode()
                is_json = reply.headers.get_content_type() == "application/json"
        except (urllib.error.URLError, OSError):
            return None
        return json.loads(text) if is_json else text

    async def told(self, tenant: str) -> int:
        """How many port-status messages the tenant's controller was sent."""
        text = await self.get("/metrics")
        assert isinstance(text, str)
        return sum(int(float(line.rsplit(" ", 1)[1])) for line in text.splitlines()
                   if line.startswith("hvproxy_messages_total{") and 'direction="to_controller"' in line
                   and 'type="port_status"' in line and f'logical_switch="{tenant}"' in line)

    async def start(self) -> None:
        path = self.directory / "demo.yaml"
        path.write_text(yaml.safe_dump(self.configuration(), sort_keys=False))
        say("starting two controllers: ryu's own simple_switch_13, unmodified, one per tenant")
        for tenant, port in self.controllers.items():
            self.spawn(f"controller-{tenant}", sys.executable, str(ROOT / "tools/ryu-run"), "--ofp-listen-host",
                       "127.0.0.1", "--ofp-tcp-listen-port", str(port), "ryu.app.simple_switch_13")
        say(f"starting hvproxy serve {path}")
        self.spawn("hvproxy", str(BINARIES / "hvproxy"), "serve", str(path))
        await wait_until(lambda: self.get("/healthz"), "hvproxy answers", self.programs)
        say("connecting 2 spines and 4 leaves (emulated switches, real OpenFlow 1.3 over TCP)")
        self.fabric = leaf_spine(2, 4)
        for tenant, leaves in TENANTS.items():
            self.hosts[tenant] = [
                self.fabric.add_host(f"{tenant}{number}", leaf, PORT_ON_LEAF[tenant],
                                     f"02:00:00:00:00:{number:02x}", f"10.0.0.{number}")
                for number, leaf in enumerate(leaves, 1)]
        self.fabric.connect_all(f"tcp:127.0.0.1:{self.switches}")
        await wait_until(self.settled, "all switches ready, links found, ports up, controllers at work", self.programs)

    async def settled(self) -> bool:
        if not await self.get("/readyz") or len(await self.get("/v1/links") or ()) < 8:  # type: ignore[arg-type]
            return False
        for tenant in TENANTS:
            ports = await self.get(f"/v1/logical-switches/{tenant}/ports") or []
            if not ports or any(port["state"] != "up" for port in ports):  # type: ignore[attr-defined]
                return False
            if not await self.get(f"/v1/logical-switches/{tenant}/flows"):
                return False
        return True

    # What is shown

    async def show_views(self) -> None:
        table = Table("switch", "seen by", "what it is")
        for dp in await self.get("/v1/datapaths") or ():  # type: ignore[attr-defined]
            table.add_row(dp["dpid"], "the operator", f"{dp['role']}, {dp['rules']} rules, {dp['groups']} groups")
        for ls in await self.get("/v1/logical-switches") or ():  # type: ignore[attr-defined]
            table.add_row(str(ls["datapath_id"]), f"{ls['tenant']}'s controller",
                          f"one OpenFlow 1.3 switch with {len(TENANTS[ls['name']])} ports")
        console.print(table)

    async def ping_all(self, rounds: int) -> tuple[int, int]:
        """Every pair within each tenant; (sent, lost)."""
        sent = lost = 0
        for _ in range(rounds):
            for hosts in self.hosts.values():
                for a in hosts:
                    for b in hosts:
                        if a is not b:
                            sent += 1
                            lost += await a.ping(b.ip, PATIENCE) is None
        return sent, lost

    async def strangers(self) -> int:
        """How many frames of one tenant arrive at the other's hosts; every host floods and unicasts with a mark."""
        arrived = 0
        assert self.fabric is not None
        taps = {tenant: [self.fabric.capture(leaf, PORT_ON_LEAF[tenant]) for leaf in leaves]
                for tenant, leaves in TENANTS.items()}
        for tenant, hosts in self.hosts.items():
            mark = f"only for {tenant} ".encode() * 4
            for host in hosts:
                for destination in [b"\xff" * 6, *(other.mac for other in hosts if other is not host)]:
                    host.send_frame(destination + host.mac + b"\x88\xb5" + mark)
        await self.ping_all(1)
        own = 0
        for tenant, frames in taps.items():
            for tap in frames:
                for direction, frame in tap:
                    if direction == "out":
                        own += f"only for {tenant}".encode() in frame
                        arrived += any(f"only for {other}".encode() in frame for other in TENANTS if other != tenant)
                self.fabric.stop_capture(tap)
        if not own:
            raise Failed("the marked frames did not even reach their own tenant")
        return arrived

    async def fail_link(self) -> tuple[int, int, int]:
        """Ping red1 -> red4 at 100/s while the spine link in use goes down and up; (sent, lost, told)."""
        assert self.fabric is not None
        a, b = self.hosts["red"][0], self.hosts["red"][3]
        told = sum([await self.told(tenant) for tenant in TENANTS])
        before = {port: self.fabric.switches[1].ports[port].tx_packets for port in (1001, 1002)}
        for _ in range(5):
            await a.ping(b.ip, PATIENCE)
        used = max(before, key=lambda port: self.fabric.switches[1].ports[port].tx_packets - before[port])
        pings = []
        for number in range(400):
            if number in (100, 300):
                self.fabric.set_link(1, used, up=number == 300)
            pings.append(asyncio.ensure_future(a.ping(b.ip, timeout=2.0)))
            await asyncio.sleep(0.01)
        answers = await asyncio.gather(*pings)
        return len(answers), answers.count(None), sum([await self.told(tenant) for tenant in TENANTS]) - told


async def demonstrate(keep: bool, pings: int) -> None:
    directory = Path(tempfile.mkdtemp(prefix="hvproxy-demo-"))
    demo = Demonstration(directory)
    try:
        await demo.start()
        await demo.show_views()
        per_round = sum(len(leaves) * (len(leaves) - 1) for leaves in TENANTS.values())
        say(f"both tenants use 10.0.0.0/24 and the same MAC addresses; pinging all pairs, {pings} pings …")
        sent, lost = await demo.ping_all(max(1, -(-pings // per_round)))
        console.print(f"  within tenants: {sent} pings, {lost} lost")
        crossed = await demo.strangers()
        console.print(f"  across tenants: {crossed} frames seen")
        say("taking down the spine link in use, and up again, while pinging at 100/s …")
        n, missing, told = await demo.fail_link()
        console.print(f"  {n} pings, {missing} lost, {told} messages to tenants")
        if lost or crossed or missing > 5 or told:
            raise Failed("the numbers above are not what they should be")
        console.print("[bold green]All as it should be.[/]")
        api = f"http://127.0.0.1:{demo.api}"
        if not keep:
            console.print(f"The API and dashboard were at {api}/ . tools/demo --keep leaves everything running.")
        else:
            console.print(f"API and dashboard: {api}/   metrics: {api}/metrics")
            console.print(f"Logs and configuration: {directory}")
            console.print(f"Try: .venv/bin/hvproxy show switches --api {api}")
            console.print(f"     ovs-ofctl -O OpenFlow13 dump-flows tcp:127.0.0.1:{demo.listeners['red']}")
            console.print("Running until Ctrl-C.")
            stopped = asyncio.Event()
            for number in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(number, stopped.set)
            await stopped.wait()
    except Failed as failure:
        console.print(f"[bold red]Failed:[/] {failure}. The logs are in {directory}.")
        raise
    else:
        if not keep:
            shutil.rmtree(directory)
    finally:
        if demo.fabric is not None:
            await demo.fabric.close()
        demo.stop()


def main() -> int:
    parser = argparse.ArgumentParser(prog="tools/demo", description=__doc__.splitlines()[0])
    parser.add_argument("--keep", action="store_true", help="leave it running until Ctrl-C")
    parser.add_argument("--ovs", action="store_true", help="real Open vSwitch instead of the emulated fabric")
    parser.add_argument("--pings", type=int, default=600, metavar="N", help="pings to send in all (default 600)")
    arguments = parser.parse_args()
    if arguments.ovs:
        from tools.demonstration_ovs import demonstrate_ovs
        return demonstrate_ovs(arguments.keep, arguments.pings)
    try:
        asyncio.run(demonstrate(arguments.keep, arguments.pings))
    except Failed:
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
