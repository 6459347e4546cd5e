"""hvproxy is killed while traffic flows over real Open vSwitch, and begins again with what its store holds."""
from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

from tests.system.network import LEAVES, LISTEN_PORT, LONG, SPINES, HostSpec, Network, rest, wait_until

HOSTS = tuple(HostSpec("red", number, number, 1) for number in LEAVES)
FLOWS = ("table=0,priority=10,arp,actions=FLOOD", "table=0,priority=5,ip,actions=goto_table:1",
         *(f"table=1,priority=7,ip,nw_dst={host.address},actions=output:{host.number}" for host in HOSTS),
         "table=1,priority=1,idle_timeout=3600,actions=group:7")
KILLS = 3
PATIENCE = 200.0
"""Seconds: a busy machine may need long to start it."""


class Stored(Network):
    """Red alone, without a controller, with a store."""

    def config(self) -> dict[str, object]:
        tenant, = super().config()["tenants"]  # type: ignore[misc, attr-defined]
        tenant["logical_switches"][0]["controllers"] = []
        return {**super().config(), "store": "sqlite:net.db", "tenants": [tenant]}

    def _start_controller(self, tenant: str) -> None:
        """There is none."""

    def ready(self, tenant: str) -> bool:
        return True

    def ofctl(self, command: str, *arguments: str) -> str:
        """Ask or tell red's logical switch."""
        return self.ovs.run("ovs-ofctl", "-O", "OpenFlow13", command, f"tcp:127.0.0.1:{LISTEN_PORT['red']}",
                            *arguments).stdout

    def entries(self) -> dict[str, int]:
        """What dump-flows tells without counters and times -> packets."""
        found = {}
        for line in self.ofctl("dump-flows").splitlines():
            packets = re.search(r"n_packets=(\d+)", line)
            if packets is not None:
                found[re.sub(r"(duration|n_packets|n_bytes)=[^ ,]*,? ?", "", line).strip()] = int(packets[1])
        return found

    def rules(self) -> dict[int, list[str]]:
        """What each switch holds, with what says how old it is and without what it has counted."""
        return {dpid: sorted(re.sub(r"(duration|n_packets|n_bytes|idle_age|hard_age)=[^ ,]*,? ?", "", line)
                             for command in ("dump-flows", "dump-groups")
                             for line in self.ovs.ofctl(command, f"s{dpid:x}").splitlines()[1:])
                for dpid in (*LEAVES, *SPINES)}

    def restart(self) -> None:
        """Kill it, and start it again."""
        self.hvproxy.kill()
        self.hvproxy.wait()
        self.serve()
        wait_until(self.settled, "hvproxy did not come back", PATIENCE)
        wait_until(lambda: self.metric("hvproxy_messages_total", direction="from_switch") > 0, "nothing was read")


def test_no_frame_is_lost_no_entry_and_no_count_when_hvproxy_is_killed() -> None:
    with Stored(HOSTS) as network:
        network.ofctl("add-group", "group_id=7,type=all,bucket=output:1")
        for flow in FLOWS:
            network.ofctl("add-flow", flow)
        first, last = HOSTS[0], HOSTS[-1]
        wait_until(lambda: network.ping(first, last), "the hosts do not reach each other")
        rest(network)
        before, rules = network.entries(), network.rules()
        assert len(before) == len(FLOWS)
        with ThreadPoolExecutor(1) as pool:
            for _ in range(KILLS):
                answers = pool.submit(network.ping, first, last, 1000, 0.01, LONG)
                network.restart()
                assert answers.result() == 1000
                after = network.entries()
                assert after.keys() == before.keys()
                assert all(after[entry] >= before[entry] for entry in before)
                assert sum(after.values()) >= sum(before.values()) + 2000
                assert network.rules() == rules
                sent = {kind: network.metric("hvproxy_messages_total", direction="to_switch", type=kind)
                        for kind in ("flow_mod", "group_mod", "meter_mod")}
                assert not any(sent.values()), sent
                before = after
