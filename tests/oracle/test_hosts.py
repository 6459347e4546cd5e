"""Frames between hosts that NORMAL learns, and frames that a meter drops."""
from __future__ import annotations

from tests.oracle.frames import Dice
from tests.oracle.hosts import FIRST_METER, HOSTS, METERED, SMALL, some_drops, some_hosts
from tests.oracle.operations import FRAME, PORTS, Step
from tests.oracle.script import DEFAULT, ORDINARY
from tools.emulator import wire


def frames_of(steps: list[Step], eth_type: int) -> list[Step]:
    return [step for step in steps if step.kind == FRAME and eth_type.to_bytes(2, "big") in step.body[12:18]]


def test_each_frame_between_hosts_has_a_round_to_itself() -> None:
    rng, known = Dice(1, DEFAULT), 0
    for _ in range(50):
        steps = some_hosts(rng, ORDINARY)
        sent = frames_of(steps, HOSTS)
        assert all(steps[steps.index(step) + 1].kind == wire.MULTIPART_REQUEST for step in sent)
        sources: set[bytes] = set()
        for step in sent:
            known += step.body[:6] in sources
            sources.add(step.body[6:12])
        assert b"\xff" * 6 not in sources
    assert known > 20


def test_what_meets_a_dropping_meter_is_larger_than_its_least_burst_and_comes_from_one_port() -> None:
    rng, found = Dice(2, DEFAULT - {"local"}), 0
    for _ in range(50):
        steps = some_drops(rng, ORDINARY)
        numbers = {int.from_bytes(step.body[4:8], "big") for step in steps if step.what == "meter"}
        for step in frames_of(steps, METERED):
            found += 1
            assert 8 * len(step.body) > 1000 * SMALL and numbers == {FIRST_METER + PORTS.index(step.port)}
    assert found > 20
