"""On real Open vSwitch, floods for hosts that are known cross the fabric only where they matter, and others as ever."""
from __future__ import annotations

from typing import Any

from hvproxy.trace.compose import compose
from tests.packets import tagged
from tests.system.edges import LINK, MARK, Edges
from tests.system.network import wait_until
from tests.system.ovs import require

PLACES = {1: (1, 1), 2: (1, 2), 3: (2, 1), 4: (2, 2)}
KNOWN = (1, 2, 3)
SUB_PORT = 700


def ports(vlan: int | None) -> list[dict[str, Any]]:
    """Ports 1 and 2 on the first edge, 3 and 4 on the second; of 4 nothing is known. Port 2 may be a sub-port."""
    return [{"number": number, "name": f"r{number}",
             "attach": {"datapath": dpid, "port": port, **({"vlan": vlan} if vlan and number == 2 else {})},
             **({"macs": [mac(number)], "addresses": [f"10.0.0.{number}", f"2001:db8::{number}"]}
                if number in KNOWN else {})} for number, (dpid, port) in PLACES.items()]


def mac(number: int) -> str:
    return f"02:00:00:00:01:{number:02x}"


def to_host(number: int) -> bytes:
    return compose(f"dl_src={MARK.hex(':')},dl_dst={mac(number)},dl_type=0x88b5")


def asks(number: int, sender: str = "10.0.0.9") -> bytes:
    return compose(f"arp,dl_src={MARK.hex(':')},dl_dst=ff:ff:ff:ff:ff:ff,nw_src={sender},nw_dst=10.0.0.{number}")


def solicits(number: int, sender: str = "2001:db8::9") -> bytes:
    return compose(f"icmp6,dl_src={MARK.hex(':')},dl_dst=33:33:ff:00:00:01,ipv6_src={sender},ipv6_dst=ff02::1:ff00:1,"
                   f"icmp_type=135,nd_target=2001:db8::{number}")


class Link:
    """What crosses the link between the edges."""

    def __init__(self, edges: Edges) -> None:
        self._edges = edges
        self._ends = edges.ovs.vsctl("--bare", "--columns=name", "find", "interface", f"ofport={LINK}").split()
        self._before = self._frames()

    def _frames(self) -> int:
        return sum(int(self._edges.ovs.run("cat", f"/sys/class/net/{end}/statistics/tx_packets").stdout)
                   for end in self._ends)

    def crossed(self) -> int:
        """Frames since the last time."""
        before, self._before = self._before, self._frames()
        return self._before - before


def check(edges: Edges, link: Link, number: int, frame: bytes, to: set[int], vlan: int | None = None) -> None:
    """What that port's host sends comes to these and no others, and over the link if it has to."""
    shown = {each: tagged(frame, vlan) if vlan and each == 2 else frame for each in PLACES}
    found = edges.came(PLACES[number], shown[number], to=[PLACES[each] for each in PLACES if each != number])
    assert found == {PLACES[each]: [shown[each]] for each in to - {number}}
    beyond = any(PLACES[each][0] != PLACES[number][0] for each in to)
    assert link.crossed() == beyond + 1, "and the frame behind, which goes everywhere"


def test_floods_come_where_they_matter_for_as_long_as_the_operator_wants() -> None:
    require()
    everybody = set(PLACES)
    with Edges({"red": ports(None)}, PLACES.values(), red={"less_broadcast": True}) as edges:
        link = Link(edges)
        edges.ofctl("red", "add-flow", "actions=FLOOD")
        for number, others in ((1, (2, 3)), (4, (1, 3))):
            for host in others:
                for frame in (to_host(host), asks(host), solicits(host)):
                    check(edges, link, number, frame, {host})
            for frame in (to_host(4), asks(4), solicits(4), asks(2, "10.0.0.2"), solicits(2, "2001:db8::2")):
                check(edges, link, number, frame, everybody)
        # Whether another has its own address a host asks everybody.
        for frame in (asks(1, "0.0.0.0"), solicits(1, "::")):
            check(edges, link, 1, frame, everybody)
        check(edges, link, 1, to_host(1), set())
        edges.ofctl("red", "mod-flows", "actions=NORMAL")
        check(edges, link, 1, to_host(2), {2})
        edges.count()
        before = {number: edges.port_packets("red", number)[1] for number in PLACES}
        edges.came(PLACES[1], *[to_host(3)] * 5, to=[PLACES[3]])
        edges.count()
        # Of the flood only the last frame has left by the others, as their statistics say.
        assert {number: edges.port_packets("red", number)[1] - before[number] for number in (2, 3, 4)} == {
            2: 1, 3: 6, 4: 1}
        edges.ofctl("red", "mod-flows", "actions=FLOOD")
        edges.apply({"red": ports(None)})
        wait_until(lambda: not any("reg15=0x1" in edges.ovs.ofctl("dump-flows", each) for each in ("s1", "s2")),
                   "floods are still looked up")
        link.crossed()
        for frame in (to_host(2), asks(2)):
            check(edges, link, 1, frame, everybody)


def test_floods_of_groups_from_and_to_sub_ports_come_where_they_matter() -> None:
    require()
    with Edges({"red": ports(SUB_PORT)}, PLACES.values(), red={"less_broadcast": True}) as edges:
        link = Link(edges)
        edges.ofctl("red", "add-group", "group_id=7,type=all,bucket=actions=FLOOD")
        edges.ofctl("red", "add-flow", "actions=write_actions(group:7)")
        for number in (1, 2):
            for host in {1, 2, 3} - {number}:
                for frame in (to_host(host), asks(host)):
                    check(edges, link, number, frame, {host}, SUB_PORT)
            for frame in (to_host(4), asks(2, "10.0.0.2"), asks(number)):
                check(edges, link, number, frame, set(PLACES), SUB_PORT)
