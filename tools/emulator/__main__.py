"""Run a leaf-spine fabric until interrupted: `python -m tools.emulator --leaves 4 --spines 2 --controller …`."""
from __future__ import annotations

import argparse
import asyncio
import signal

from tools.emulator.fabric import Fabric
from tools.emulator.switch import parse_address
from tools.emulator.topology import leaf_spine


def described(fabric: Fabric) -> str:
    """Where things are, for a person."""
    lines = []
    for dpid, switch in fabric.switches.items():
        ports = ", ".join(str(number) for number in sorted(switch.ports) if number < 0xff00)
        lines.append(f"{switch.name}: datapath {dpid:#x}, ports {ports}")
    for name, (dpid, port) in fabric.attached.items():
        host = fabric.hosts[name]
        lines.append(f"{name}: {fabric.switches[dpid].name} port {port}, {'.'.join(map(str, host.ip))}, "
                     f"{host.mac.hex(':')}")
    return "\n".join(lines)


async def run(arguments: argparse.Namespace) -> None:
    """Build the fabric and keep it until a signal arrives."""
    fabric = leaf_spine(arguments.spines, arguments.leaves, arguments.hosts_per_leaf)
    print(described(fabric), flush=True)
    for address in arguments.controller:
        fabric.connect_all(address)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    print(f"{len(fabric.switches)} switches dial {', '.join(arguments.controller)}; interrupt to stop", flush=True)
    await stop.wait()
    await fabric.close()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.emulator", description="Run an emulated leaf-spine fabric.")
    parser.add_argument("--leaves", type=int, default=4, metavar="N")
    parser.add_argument("--spines", type=int, default=2, metavar="N")
    parser.add_argument("--hosts-per-leaf", type=int, default=2, metavar="N")
    parser.add_argument("--controller", action="append", metavar="tcp:HOST:PORT",
                        help="what the switches dial; may be repeated (default tcp:127.0.0.1:6633)")
    arguments = parser.parse_args()
    arguments.controller = arguments.controller or ["tcp:127.0.0.1:6633"]
    for address in arguments.controller:
        try:
            scheme, _, _ = parse_address(address)
        except ValueError as error:
            parser.error(str(error))
        if scheme != "tcp":
            parser.error(f"{address}: the command line offers tcp: only")
    if arguments.leaves < 1 or arguments.spines < 0 or not 0 <= arguments.hosts_per_leaf <= 254:
        parser.error("at least one leaf, no negative numbers, at most 254 hosts per leaf")
    asyncio.run(run(arguments))


if __name__ == "__main__":
    main()
