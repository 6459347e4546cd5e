"""Bundles of a logical switch over OpenFlow 1.3 are answered byte for byte as plain Open vSwitch 3.1 answers them."""
from __future__ import annotations

from collections.abc import Iterator
from struct import pack

import pytest

from tests.system.ovs import require
from tests.system.pair import HEADER, XID, Pair
from tests.tools.controller import (
    CONTROLLER, apply, bucket, flow_mod, flow_request, group, group_mod, match, output, packet_out,
)

ONF = 0x4F4E4600
EXPERIMENTER, PACKET_OUT, FLOW_MOD, GROUP_MOD, PORT_MOD, MULTIPART = 4, 13, 14, 15, 16, 18
OPEN, CLOSE, COMMIT, DISCARD = 0, 2, 4, 6
DELETE = 3


def control(number: int, kind: int, flags: int = 1, more: bytes = b"") -> bytes:
    return pack("!IIIHH", ONF, 2300, number, kind, flags) + more


def add(number: int, kind: int, body: bytes, *, flags: int = 1, xid: int = XID, version: int = 4,
        more: bytes = b"") -> bytes:
    return pack("!III2xH", ONF, 2301, number, flags) + HEADER.pack(version, kind, 8 + len(body), xid) + body + more


@pytest.fixture(scope="module")
def both() -> Iterator[Pair]:
    require()
    with Pair() as pair:
        yield pair


def same(both: Pair, *bodies: bytes) -> None:
    """The bundle messages one after the other, and what the tables hold then."""
    answers = []
    for side in both.sides:
        client = side.service()
        client.ask(FLOW_MOD, flow_mod(command=DELETE, table=255))
        client.ask(GROUP_MOD, group_mod(2, 0, 0xFFFFFFFC))
        found = []
        for body in bodies:
            found.append(client.ask(EXPERIMENTER, body))
        flows = client.statistics(1, flow_request())
        records = []
        while flows:
            length = int.from_bytes(flows[:2], "big")
            records.append(flows[:4] + flows[12:length])  # without the duration
            flows = flows[length:]
        found += [sorted(records), [client.statistics(7)]]
        answers.append(found)
        client.close()
    for body, plain, logical in zip([*bodies, b"flows", b"groups"], *answers, strict=True):
        assert logical == plain, (body.hex(), [m.hex() for m in logical], [m.hex() for m in plain])


FLOW = flow_mod(match(IN_PORT=1), apply(output(2)))


def test_the_life_of_a_bundle(both: Pair) -> None:
    same(both, control(1, OPEN), control(1, OPEN), control(2, COMMIT), control(2, CLOSE), control(2, DISCARD),
         control(3, 1), control(3, 3), control(3, 8), control(3, 99), control(4, OPEN, 0), control(4, CLOSE, 1),
         control(5, OPEN, 3), control(5, COMMIT, 1), control(5, COMMIT, 3), control(6, OPEN), control(6, CLOSE),
         control(6, CLOSE), control(7, OPEN), control(7, DISCARD), control(7, DISCARD),
         control(8, OPEN, 1, pack("!HHII4x", 0xFFFF, 12, 5, 5)), control(8, COMMIT), control(9, OPEN)[:-4],
         add(9, FLOW_MOD, b"")[:-16])


def test_a_group_mod_that_is_wrong_by_itself_is_not_added_and_the_rest_is_committed(both: Pair) -> None:
    one = bucket(output(1))
    wrong = [group_mod(0, 2, 1, one, one), group_mod(0, 2, 1), group_mod(0, 9, 1, one), group_mod(9, 0, 1, one),
             group_mod(0, 3, 1, one), group_mod(2, 0, 1, one), group_mod(0, 0, 1, bucket(output(1), weight=3)),
             group_mod(0, 0, 1, bucket(output(1), watch_port=1)), group_mod(0, 0, 1, bucket(output(0xFFFFFF01)))]
    same(both, control(1, OPEN, 3), *(add(1, GROUP_MOD, body, flags=3) for body in wrong),
         add(1, FLOW_MOD, FLOW, flags=3), add(1, GROUP_MOD, group_mod(0, 2, 1, one), flags=3), control(1, COMMIT, 3))


def test_what_may_be_added(both: Pair) -> None:
    wrong = [add(1, 20, b""), add(1, 2, b""), add(1, MULTIPART, pack("!HH4x", 0, 0)), add(1, 17, bytes(8)),
             add(1, 24, bytes(16)), add(1, EXPERIMENTER, pack("!III", 0x2320, 16, 0)), add(1, FLOW_MOD, FLOW, xid=5),
             add(1, FLOW_MOD, FLOW, version=1), add(1, FLOW_MOD, FLOW)[:-4], add(1, FLOW_MOD, b"")[:-5],
             add(1, FLOW_MOD, flow_mod(match(), apply(output(0xFF00)))), add(1, FLOW_MOD, flow_mod(command=9)),
             add(1, FLOW_MOD, bytes(4)), add(1, PACKET_OUT, packet_out(bytes(60), output(0xFF00))),
             add(1, FLOW_MOD, FLOW, flags=3)]
    right = [add(1, FLOW_MOD, FLOW), add(1, GROUP_MOD, group_mod(0, 0, 1, bucket(output(1)))),
             add(1, PACKET_OUT, packet_out(bytes(60), output(1))), add(1, FLOW_MOD, FLOW, more=bytes(8))]
    same(both, control(1, OPEN), *wrong[:-1], *right, control(1, CLOSE), control(1, COMMIT),
         control(1, OPEN), wrong[-1], control(1, COMMIT), control(2, OPEN), control(2, CLOSE),
         add(2, FLOW_MOD, FLOW), control(2, COMMIT))


def test_commits(both: Pair) -> None:
    same(both, add(1, FLOW_MOD, FLOW), add(1, GROUP_MOD, group_mod(0, 0, 5, bucket(output(1)))),
         add(1, FLOW_MOD, flow_mod(match(IN_PORT=2), apply(group(5)))),
         add(1, FLOW_MOD, flow_mod(match(IN_PORT=1), command=DELETE)),
         add(1, FLOW_MOD, flow_mod(match(IN_PORT=1), apply(output(CONTROLLER)), cookie=8)), control(1, COMMIT))


@pytest.mark.parametrize("bad", [
    (FLOW_MOD, flow_mod(match(), apply(group(99)))), (GROUP_MOD, group_mod(1, 0, 99, bucket(output(1)))),
    (GROUP_MOD, group_mod(0, 0, 5, bucket(output(1)))), (PORT_MOD, pack("!I4x6s2xIII4x", 1, bytes(6), 0, 0, 0)),
    (FLOW_MOD, flow_mod(match(ETH_TYPE=0x800), apply(output(2)), flags=2)),
], ids=["flow to no group", "modified group that is not there", "group twice", "port", "overlap"])
def test_failures(both: Pair, bad: tuple[int, bytes]) -> None:
    same(both, add(1, FLOW_MOD, FLOW), control(1, COMMIT), add(2, GROUP_MOD, group_mod(0, 0, 5, bucket(output(1)))),
         add(2, FLOW_MOD, flow_mod(match(IN_PORT=1), command=DELETE)), add(2, FLOW_MOD, flow_mod(match())),
         add(2, *bad), add(2, FLOW_MOD, flow_mod(match(IN_PORT=2))), control(2, COMMIT), control(2, DISCARD))


def test_ovs_ofctl_replaces_flows_in_a_bundle(both: Pair) -> None:
    said = []
    for side in both.sides:
        side.ofctl("del-flows", "TARGET")
        text = [side.ofctl("add-flow", "TARGET", "priority=1,in_port=1,actions=2"),
                side.ofctl("--bundle", "add-flow", "TARGET", "priority=5,in_port=1,cookie=3,actions=1"),
                side.ofctl("--bundle", "add-flow", "TARGET", "priority=6,in_port=1,actions=group:77"),
                side.ofctl("--bundle", "mod-flows", "TARGET", "priority=5,in_port=1,actions=2"),
                side.ofctl("--bundle", "del-flows", "TARGET", "cookie=3/-1"),
                side.ofctl("--sort", "dump-flows", "TARGET")]
        said.append(text)
    assert said[1] == said[0]


def test_what_a_bundle_adds_is_deleted_by_what_follows_in_it_also_where_open_vswitch_does_not_find_it(
    both: Pair,
) -> None:
    left = []
    for side in both.sides:
        client = side.service()
        client.ask(FLOW_MOD, flow_mod(command=DELETE, table=255))
        client.ask(FLOW_MOD, flow_mod(match(IN_PORT=1), apply(output(2)), priority=5))
        for body in (add(1, FLOW_MOD, flow_mod(match(ETH_TYPE=0x800), apply(output(2)), priority=9)),
                     add(1, FLOW_MOD, flow_mod(command=DELETE, table=255)), control(1, COMMIT)):
            client.ask(EXPERIMENTER, body)
        left.append(bool(client.statistics(1, flow_request())))
        client.ask(FLOW_MOD, flow_mod(command=DELETE, table=255))
        client.close()
    assert left == [True, False]
