"""What another hand does to a real Open vSwitch is found and put right, and what is not ours stays."""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.system import ovs
from tests.system.network import wait_until
from tests.system.side_by_side import LOGICAL, MARK, SideBySide
from tests.tools.controller import apply, bucket, flow_mod, group, group_mod, match, output
from tools.emulator import wire

FRAME = b"\2\0\0\0\0\2" + MARK + b"\x88\xb5" + bytes(46)


@pytest.fixture(scope="module")
def both() -> Iterator[SideBySide]:
    ovs.require()
    with SideBySide() as started:
        yield started


def audit(both: SideBySide, dpid: int) -> Any:
    """What comparing a switch finds."""
    return both.get(f"/v1/datapaths/{dpid:#x}/audit", "POST")


def by_hand(both: SideBySide, *arguments: str) -> None:
    """As somebody with ovs-ofctl beside hvproxy does."""
    both.ovs.run("ovs-ofctl", "-O", "OpenFlow13", arguments[0], f"unix:{both.ovs.management('s1')}", *arguments[1:])


def passes(both: SideBySide) -> bool:
    """A frame into port 1 comes out of port 3, on the other edge."""
    both.ovs.forget_flows()
    both.send(LOGICAL, 1, FRAME)
    found: list[tuple[int, bytes]] = []
    wait_until(lambda: found.extend(both.out(LOGICAL)) or (3, FRAME) in found, "the frame has not come")
    return True


def test_what_another_hand_did_is_put_right_and_what_it_added_is_told(both: SideBySide) -> None:
    session = both.sessions[LOGICAL]
    assert session.request(wire.GROUP_MOD, group_mod(0, 0, 7, bucket(output(3)))) == []
    assert session.request(wire.FLOW_MOD, flow_mod(match(IN_PORT=1), apply(group(7)), cookie=0xC0)) == []
    assert passes(both)
    assert audit(both, 1)["drift"] == []
    by_hand(both, "mod-flows", "table=10,actions=drop")
    by_hand(both, "del-groups")  # with every rule that names one
    by_hand(both, "add-flow", "table=77,cookie=5,actions=drop")
    row = audit(both, 1)
    kinds = {each["kind"] for each in row["drift"]}
    assert {"missing", "foreign"} <= kinds and row["foreign"] == 1 and row["repaired"] > 3
    assert any(each["logical_switch"] == "red" and "entry" in each["why"] for each in row["drift"])
    again = audit(both, 1)  # answered behind the repairs of the first, which are there from here on
    assert (again["repaired"], again["foreign"]) == (0, 1)
    assert passes(both)
    assert "cookie=0x5" in both.ovs.run("ovs-ofctl", "-O", "OpenFlow13", "dump-flows",
                                        f"unix:{both.ovs.management('s1')}", "table=77").stdout
