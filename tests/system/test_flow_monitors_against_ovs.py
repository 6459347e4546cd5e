"""Flow monitors of a logical switch tell byte for byte what those of plain Open vSwitch 3.1 tell."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from struct import pack

import pytest

from tests.system.ovs import require
from tests.system.pair import Client, Pair, Side
from tests.tools.controller import apply, flow_mod, goto, group, group_mod, bucket, match, metadata, output, write

ONF, FLOW_MONITOR = 0x4F4E4600, 1870
EXPERIMENTER, FLOW_MOD, GROUP_MOD, MULTIPART = 4, 14, 15, 18
MODIFY, DELETE, ANY = 1, 3, 0xFFFFFFFF


def monitor(number: int, flags: int, matched: bytes = match(), table: int = 255, out_port: int = ANY) -> bytes:
    return pack("!IHHIB3x", number, flags, int.from_bytes(matched[2:4], "big"), out_port, table) + matched


def request(*monitors: bytes) -> bytes:
    return pack("!HH4xII", 0xFFFF, 0, ONF, FLOW_MONITOR) + b"".join(monitors)


@pytest.fixture(scope="module")
def both() -> Iterator[Pair]:
    require()
    with Pair() as pair:
        yield pair


def compare(both: Pair, run: Callable[[Side], list[list[bytes]]]) -> None:
    plain, logical = (run(side) for side in both.sides)
    assert logical == plain


def emptied(side: Side) -> tuple[Client, Client]:
    """The switch without entries, and two connections."""
    one, other = side.service(), side.service()
    one.ask(FLOW_MOD, flow_mod(command=DELETE, table=255))
    return one, other


def test_everything_that_happens_is_told_to_everyone(both: Pair) -> None:
    def run(side: Side) -> list[list[bytes]]:
        one, other = emptied(side)
        one.ask(FLOW_MOD, flow_mod(match(IN_PORT=1), apply(output(2)), cookie=7))
        found = [one.ask(MULTIPART, request(monitor(1, 0x3F))),
                 other.ask(MULTIPART, request(monitor(1, 0x1F, table=0)))]
        found += [one.ask(MULTIPART, request(monitor(3, 0x3F, out_port=2))), one.ask(MULTIPART, request())]
        for kind, body in (
            (FLOW_MOD, flow_mod(match(IN_PORT=2), apply(output(1)) + goto(5), cookie=8, priority=5)),
            (FLOW_MOD, flow_mod(match(IN_PORT=2), apply(output(1)) + goto(5), cookie=9, priority=5)),
            (FLOW_MOD, flow_mod(match(IN_PORT=2), apply(output(2)), command=MODIFY)),
            (FLOW_MOD, flow_mod(match(IN_PORT=2), apply(output(2)), command=MODIFY)),
            (FLOW_MOD, flow_mod(match(), write(output(2)) + metadata(5, 7), table=5)),
            (GROUP_MOD, group_mod(0, 0, 1, bucket(output(1)))),
            (FLOW_MOD, flow_mod(match(IN_PORT=1), apply(group(1)), table=3)),
            (GROUP_MOD, group_mod(2, 0, 1)),
            (FLOW_MOD, flow_mod(match(IN_PORT=2), command=DELETE, table=255)),
        ):
            for who, watcher in ((one, other), (other, one)):
                assert who.ask(kind, body) == [] or kind == GROUP_MOD
                watcher.ask(2)
                found += [who.news, watcher.news]
                who.news, watcher.news = [], []
        found.append(one.ask(EXPERIMENTER, pack("!III", ONF, FLOW_MONITOR, 1)))
        found.append(one.ask(EXPERIMENTER, pack("!III", ONF, FLOW_MONITOR, 1)))
        one.close()
        other.close()
        return [[message for message in each if message[1] != 12] for each in found]
    compare(both, run)


def test_ovs_ofctl_watches_alike(both: Pair) -> None:
    said = []
    for side in both.sides:
        one, other = emptied(side)
        one.ask(FLOW_MOD, flow_mod(match(IN_PORT=1), apply(output(2)), cookie=7))
        watching = side.monitor("watch:")
        watching.text(lambda text: "cookie=0x7" in text)
        one.ask(FLOW_MOD, flow_mod(match(IN_PORT=2), apply(output(1)), cookie=8))
        one.ask(FLOW_MOD, flow_mod(match(IN_PORT=2), apply(output(2)), command=MODIFY))
        one.ask(FLOW_MOD, flow_mod(command=DELETE, table=255))
        said.append(watching.text(lambda text: text.count("event=DELETED") == 2))
        watching.stop()
        one.close()
        other.close()
    assert "\n".join(sorted(said[1].splitlines())) == "\n".join(sorted(said[0].splitlines()))
