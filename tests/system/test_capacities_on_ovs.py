"""What is declared of a logical switch is what its tenant is told and gets, on real Open vSwitch, after `apply` too."""
from __future__ import annotations

import re
from typing import Any

from tests.system.edges import Edges
from tests.system.network import wait_until
from tests.system.ovs import require


def ports(speed: int | None) -> list[dict[str, Any]]:
    declared = {} if speed is None else {"speed": speed}
    return [{"number": 1, "name": "r1", "attach": {"datapath": 1, "port": 1}, **declared},
            {"number": 2, "name": "r2", "attach": {"datapath": 2, "port": 1}}]


def speeds(text: str) -> list[int]:
    """In Mb/s, of the ports that are described, by port."""
    return [int(found) for found in re.findall(r"speed: (\d+) Mbps now", text)]


def test_speed_and_room_are_as_declared_and_else_those_of_the_switches() -> None:
    require()
    with Edges({"red": ports(100)}, [(1, 1), (2, 1)], red={"table_size": 2}) as edges:
        physical = set(speeds(edges.ovs.ofctl("dump-ports-desc", "s2"))).difference([0]).pop()  # veth all of them
        assert speeds(edges.ofctl("red", "dump-ports-desc")) == [100, physical]
        assert "max_entries=2\n" in edges.ofctl("red", "dump-table-features")
        for priority in (1, 2):
            edges.ofctl("red", "add-flow", f"priority={priority},actions=drop")
        assert "OFPFMFC_TABLE_FULL" in _refusal(edges, "priority=3,actions=drop")
        edges.apply({"red": ports(None)}, red={"table_size": 3})
        wait_until(lambda: speeds(edges.ofctl("red", "dump-ports-desc")) == [physical] * 2, "the speed stays")
        edges.ofctl("red", "add-flow", "priority=3,actions=drop")
        assert "OFPFMFC_TABLE_FULL" in _refusal(edges, "priority=4,actions=drop")


def _refusal(edges: Edges, flow: str) -> str:
    return edges.ovs.run("ovs-ofctl", "-O", "OpenFlow13", "add-flow", edges.target("red"), flow, check=False).stderr
