"""tools/demo --ovs: the demonstration on real Open vSwitch, with hosts in network namespaces (Debian, as root)."""
from __future__ import annotations

import signal
import time

from rich.console import Console
from rich.table import Table

from tests.system.network import CONTROLLER_PORT, HOSTS, LISTEN_PORT, Network
from tests.system.ovs import missing

CONTROLLERS = {"red": "ovs-testcontroller", "blue": "ryu's simple_switch_13", "green": "a ryu app with two tables"}
console = Console(highlight=False)


def demonstrate_ovs(keep: bool, pings: int) -> int:
    """Run it; the exit status."""
    why = missing()
    if why is not None:
        console.print(f"[bold red]Not possible here:[/] {why}. Without --ovs nothing of this is needed.")
        return 1
    console.print("· starting Open vSwitch, 6 bridges, 12 hosts, 3 controllers and hvproxy in network namespaces …")
    began = time.monotonic()
    with Network() as network:
        console.print(f"· all switches ready, links found, ports up after {time.monotonic() - began:.0f} s")
        table = Table("tenant", "controller", "hosts (all tenants: 10.0.0.0/24, same MACs)")
        for tenant in CONTROLLER_PORT:
            hosts = ", ".join(f"{h.name} on leaf {h.leaf}" + (f" VLAN {h.vlan}" if h.vlan else "")
                              for h in HOSTS if h.tenant == tenant)
            table.add_row(tenant, CONTROLLERS[tenant], hosts)
        console.print(table)
        pairs = [(a, b) for t in CONTROLLER_PORT for a in network.of(t) for b in network.of(t) if a is not b]
        each = max(1, pings // len(pairs))
        answered = 0
        for a, b in pairs:
            answered += network.ping(a, b, count=each, interval=0.002)
        lost = each * len(pairs) - answered
        console.print(f"  within tenants: {each * len(pairs)} pings, {lost} lost")
        if keep:
            console.print(f"Everything runs in the network namespace {network.ovs.namespace}. Try:")
            inside = f"ip netns exec {network.ovs.namespace}"
            console.print(f"  {inside} .venv/bin/hvproxy show switches")
            console.print(f"  {inside} ovs-ofctl -O OpenFlow13 dump-flows tcp:127.0.0.1:{LISTEN_PORT['red']}")
            console.print("Running until Ctrl-C.")
            signal.sigwait({signal.SIGINT, signal.SIGTERM})
    console.print("[bold red]Pings were lost.[/]" if lost else "[bold green]All as it should be.[/]")
    return 1 if lost else 0
