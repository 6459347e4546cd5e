"""A whole port of red's has sub-ports of blue's beside it, on real Open vSwitch: no frame of either comes to the other.

Red has hosts 1 (whole port 1 of s1, which blue's VLAN 7 is at), 2 (port 2 of s1), 3 (port 1 of s2) and 4 (VLAN 30 of
port 3 of s1); blue has its sub-port and a host at port 2 of s2.
"""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.packets import tagged
from tests.system.edges import FIRST_LISTEN_PORT, LAST, MARK, Edges, Place
from tests.system.network import wait_until
from tests.system.ovs import require
from tests.system.private_ovs import Session
from tests.tools.controller import TABLE, output
from tools.emulator import wire

WHOLE, NEAR, FAR, TRUNK, BLUE_FAR = (1, 1), (1, 2), (2, 1), (1, 3), (2, 2)
BLUE = [{"number": 1, "name": "b1", "attach": {"datapath": 1, "port": 1, "vlan": 7}},
        {"number": 2, "name": "b2", "attach": {"datapath": 2, "port": 2}}]
RED: list[dict[str, Any]] = [
    {"number": 1, "name": "r1", "attach": {"datapath": 1, "port": 1}},
    {"number": 2, "name": "r2", "attach": {"datapath": 1, "port": 2}},
    {"number": 3, "name": "r3", "attach": {"datapath": 2, "port": 1}},
    {"number": 4, "name": "r4", "attach": {"datapath": 1, "port": 3, "vlan": 30}}]
UNICAST = b"\2\0\0\0\0\1" + MARK + b"\x08\0" + bytes(46)
FLOOD = b"\xff" * 6 + MARK + b"\x08\0" + bytes(46)
BEHIND = b"\xff" * 6 + MARK + LAST


@pytest.fixture(scope="module")
def edges() -> Iterator[Edges]:
    require()
    with Edges({"red": RED, "blue": BLUE}, (WHOLE, NEAR, FAR, TRUNK, BLUE_FAR)) as edges:
        for flow in ("priority=5,dl_dst=02:00:00:00:00:01,actions=output:1", "priority=1,actions=FLOOD",
                     "priority=9,dl_dst=02:00:00:00:00:02,actions=push_vlan:0x8100,set_field:4103->vlan_vid,output:1",
                     "priority=9,dl_dst=02:00:00:00:00:03,dl_vlan=5,actions=pop_vlan,output:1",
                     "priority=9,in_port=1,dl_dst=02:00:00:00:00:04,actions=push_vlan:0x8100,"
                     "set_field:4103->vlan_vid,IN_PORT",
                     "priority=9,in_port=1,dl_dst=02:00:00:00:00:05,actions=IN_PORT"):
            edges.ofctl("red", "add-flow", flow)
        edges.ofctl("blue", "add-flow", "actions=FLOOD")
        yield edges


@pytest.mark.parametrize("place", (NEAR, FAR))
@pytest.mark.parametrize("tpid", (0x8100, 0x88A8))
def test_nothing_leaves_the_whole_port_under_the_sub_ports_tag(edges: Edges, place: Place, tpid: int) -> None:
    ours, theirs = (tagged(UNICAST, vid, tpid=tpid) for vid in (8, 7))
    twice = tagged(theirs, 8, tpid=tpid)
    assert edges.came(place, UNICAST, theirs, twice, ours, UNICAST, to=[WHOLE]) == {
        WHOLE: [UNICAST, UNICAST, ours, twice]}


@pytest.mark.parametrize("place", (NEAR, FAR))
def test_a_flood_leaves_it_only_if_it_is_its_own(edges: Edges, place: Place) -> None:
    theirs, ours = tagged(FLOOD, 7), tagged(FLOOD, 8)
    others = {NEAR, FAR} - {place}
    came = edges.came(place, theirs, ours, FLOOD, to=[WHOLE, TRUNK, *others])
    assert came == {WHOLE: [FLOOD, ours], **{other: [FLOOD, theirs, ours] for other in others},
                    # To the sub-port of red's own, with its tag in front.
                    TRUNK: [tagged(FLOOD, 30), tagged(theirs, 30), tagged(ours, 30)]}


def test_a_tag_that_is_pushed_uncovered_or_behind_a_sub_ports_does_not_get_by(edges: Edges) -> None:
    pushed = b"\2\0\0\0\0\2" + UNICAST[6:]
    uncovered = tagged(tagged(b"\2\0\0\0\0\3" + UNICAST[6:], 7), 5)
    for place in (NEAR, FAR):
        assert edges.came(place, pushed, uncovered, UNICAST, to=[WHOLE]) == {WHOLE: [UNICAST]}
    assert edges.came(TRUNK, tagged(tagged(UNICAST, 7), 30), tagged(UNICAST, 30), to=[WHOLE]) == {WHOLE: [UNICAST]}


def test_what_goes_back_is_looked_at_too(edges: Edges) -> None:
    pushed, back = b"\2\0\0\0\0\4" + UNICAST[6:], b"\2\0\0\0\0\5" + UNICAST[6:]
    assert edges.came(WHOLE, pushed, back, to=[NEAR]) == {WHOLE: [back]}


def test_frames_of_both_are_kept_apart_where_they_enter(edges: Edges) -> None:
    assert edges.came(WHOLE, tagged(FLOOD, 7), to=[BLUE_FAR]) == {BLUE_FAR: [FLOOD]}
    assert edges.came(BLUE_FAR, FLOOD, to=[WHOLE]) == {WHOLE: [tagged(FLOOD, 7)]}


def test_a_packet_out_as_from_the_whole_port_does_not_get_into_the_sub_ports_logical_switch(edges: Edges) -> None:
    session = Session(edges.ovs.connection(FIRST_LISTEN_PORT))
    frames = [tagged(FLOOD, 7), tagged(FLOOD, 8)]
    edges.count()
    edges.hear()
    for frame in frames:
        session.request(wire.PACKET_OUT, wire.PACKET_OUT_BODY.pack(0xFFFFFFFF, 1, 16) + output(TABLE) + frame)
    came = edges.heard([NEAR, FAR, TRUNK, BLUE_FAR], lambda: (
        session.request(wire.PACKET_OUT, wire.PACKET_OUT_BODY.pack(0xFFFFFFFF, 1, 16) + output(TABLE) + BEHIND),
        edges.send(WHOLE, tagged(BEHIND, 7))))
    assert came == {NEAR: frames, FAR: frames, TRUNK: [tagged(frame, 30) for frame in frames]}
    session.close()


def test_statistics_of_the_whole_port_are_its_own(edges: Edges) -> None:
    _settle(edges)
    before, physical = edges.port_packets("red", 1), _physical(edges)
    for _ in range(5):
        edges.send(WHOLE, tagged(FLOOD, 7))
        edges.send(BLUE_FAR, FLOOD)
    for _ in range(3):
        edges.send(WHOLE, FLOOD)
    for _ in range(2):
        edges.send(NEAR, UNICAST)
        edges.send(FAR, UNICAST)
        edges.send(NEAR, tagged(UNICAST, 7))
        edges.send(FAR, tagged(UNICAST, 7))
    wait_until(lambda: _physical(edges) == (physical[0] + 8, physical[1] + 9), "the switch has not counted all")
    _settle(edges)
    assert edges.port_packets("red", 1) == (before[0] + 3, before[1] + 4)


def _settle(edges: Edges) -> None:
    """Until the rules and groups of both tell what the physical port has received and sent."""
    edges.count()
    wait_until(lambda: tuple(map(sum, zip(edges.port_packets("red", 1), edges.port_packets("blue", 1), strict=True)))
               == _physical(edges), "the counters of both do not come to those of the port")


def _physical(edges: Edges) -> tuple[int, int]:
    text = edges.ovs.ofctl("dump-ports", "s1", "1").split()
    counts = [int(word.removeprefix("pkts=").rstrip(",")) for word in text if word.startswith("pkts=")]
    return counts[0], counts[1]
