"""Random bundles and flow monitors."""
from __future__ import annotations

from tests.oracle.frames import Dice
from tests.oracle.script import DEFAULT, ORDINARY
from tests.oracle.sessions import ONF, words
from tests.oracle.watching import (
    BUNDLE_ADD, COMMIT, DISCARD, NUMBERS, added, control, looks_round, monitor, sends, some_bundles,
    some_monitors,
)
from tests.tools.controller import ANY, flow_mod, match
from tools.emulator import wire


def test_a_message_in_a_bundle_has_the_xid_of_the_one_around_it() -> None:
    step = added(2, wire.FLOW_MOD, b"body" * 10)
    assert step.message(77) == words(ONF, BUNDLE_ADD, 2, 1) + wire.message(wire.FLOW_MOD, 77, b"body" * 10)
    assert added(2, wire.FLOW_MOD, b"body" * 10, xid=5).message(77)[20:24] == words(5)
    assert control(1, DISCARD).message(77) == control(1, DISCARD).body


def test_no_bundle_is_left_open() -> None:
    for seed in range(30):
        steps = some_bundles(Dice(seed, DEFAULT), ORDINARY)
        assert [step.body for step in steps[-4:-1]] == [control(number, DISCARD).body for number in NUMBERS]
        assert len({step.by for step in steps}) == 1


def test_what_looks_round_in_a_bundle_comes_before_what_it_may_not_find() -> None:
    assert [looks_round(added(1, wire.FLOW_MOD, flow_mod(command=command, flags=flags))) for command, flags in (
        (0, 0), (0, 2), (1, 0), (2, 2), (3, 0), (4, 2))] == [False, True, True, False, True, False]
    assert not looks_round(control(1, COMMIT)) and not looks_round(added(1, wire.GROUP_MOD, bytes(90)))
    for seed in range(30):
        found = [looks_round(step) for step in some_bundles(Dice(seed, DEFAULT), ORDINARY)
                 if step.what == "bundle add" and step.body[8:12] == words(1)]
        assert found == sorted(found, reverse=True)


def test_packets_in_a_bundle_come_last() -> None:
    seen = 0
    for seed in range(60):
        steps = some_bundles(Dice(seed, DEFAULT), ORDINARY)
        for number in NUMBERS:
            found = [sends(step) for step in steps
                     if step.what == "bundle add" and step.body[8:12] == words(number)]
            assert found == sorted(found)
            seen += any(found)
    assert seen > 10


def test_no_monitor_is_left_and_all_requests_are_right() -> None:
    for seed in range(30):
        steps = some_monitors(Dice(seed, DEFAULT), ORDINARY)
        assert sum(step.what == "no monitor" for step in steps[-7:]) == 6
        for step in steps:
            if step.kind == wire.MULTIPART_REQUEST and step.body[:2] == b"\xff\xff":
                numbers = monitors(step.body[16:])
                assert len(set(numbers)) == len(numbers)


def monitors(body: bytes) -> list[int]:
    """The ids in a request whose flags are all known and want something."""
    found = []
    while body:
        flags, length = (int.from_bytes(body[at:at + 2], "big") for at in (4, 6))
        assert flags & 0xe and flags < 0x40
        found.append(int.from_bytes(body[:4], "big"))
        body = body[16 + (length + 7) // 8 * 8:]
    return found


def test_a_monitor_says_how_long_its_match_is_without_padding() -> None:
    matched = match(IN_PORT=1)
    assert monitor(5, 0xe, matched, 3, ANY) == words(5) + b"\0\x0e\0\x0c" + words(ANY) + b"\3\0\0\0" + matched
