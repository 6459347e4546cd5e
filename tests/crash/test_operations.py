"""The random operations are the same for the same seed, and none touches what carries the traffic."""
from __future__ import annotations

from tests.crash.operations import GROUP_ACTION, LANE_GROUPS, LANES, Operations, lane_messages
from tools.emulator import wire


def test_the_same_seed_gives_the_same_operations_of_every_kind() -> None:
    first, again = Operations("red 1"), Operations("red 1")
    made = [first.next() for _ in range(500)]
    assert made == [again.next() for _ in range(500)]
    assert {each.name for each in made} == {
        "flow-mod", "group-mod", "meter-mod", "port-mod", "bundle", "expiring", "shift"}


def test_no_operation_names_a_group_of_the_traffic() -> None:
    operations = Operations("red 2")
    for each in (operations.next() for _ in range(1000)):
        for kind, body in each.messages:
            if kind == wire.GROUP_MOD:
                assert int.from_bytes(body[4:8], "big") not in LANE_GROUPS.values()
            if each.name == "bundle":
                assert GROUP_ACTION not in body


def test_a_port_mod_names_the_address_that_the_port_has() -> None:
    operations = Operations("red 3")
    made = next(each for each in iter(operations.next, None) if each.port)
    (_, body), = made.on({made.port: b"\2\0\0\0\0\7"})
    assert body[8:14] == b"\2\0\0\0\0\7" and len(body) == len(made.messages[0][1])


def test_every_lane_has_an_entry_of_its_own_cookie() -> None:
    cookies = [int.from_bytes(body[:8], "big") for kind, body in lane_messages() if kind == wire.FLOW_MOD]
    assert len(set(cookies)) == len(cookies) and {lane.cookie for lane in LANES} <= set(cookies)
