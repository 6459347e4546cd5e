"""A few kills of hvproxy and of the switches, as tools/crash does many: nothing that was promised is lost."""
from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.crash.faults import FailingWrites, Fault, Flap, FullStore, HeldStore
from tests.crash.trial import Trial
from tests.crash.world import World
from tests.system import ovs

SEED = 1
KILLS = 5
HELD_KILLS = 3


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    ovs.require()
    with World(SEED) as started:
        yield started


@pytest.mark.parametrize("fault, kills", [(Fault, KILLS), (Flap, 1), (FullStore, 1)])
def test_what_was_promised_outlives_kills_of_hvproxy(world: World, fault: type[Fault], kills: int) -> None:
    trial = Trial(world, SEED, fault)
    while trial.tally.kills < kills:
        trial.kill()
    assert trial.tally.promised and trial.tally.frames


def test_no_counter_goes_back_when_hvproxy_is_killed_between_a_change_of_the_switches_and_its_commit(
    world: World,
) -> None:
    trial = Trial(world, SEED, HeldStore)
    while trial.tally.kills < HELD_KILLS:
        trial.kill()
    assert trial.tally.counted and trial.tally.frames


def test_no_barrier_lies_while_each_write_of_the_store_fails_in_turn(world: World) -> None:
    trial = Trial(world, SEED, FailingWrites)
    while not trial.tally.refused:
        trial.kill()
    assert trial.tally.promised and trial.tally.frames and trial.tally.failures


def test_what_was_promised_is_in_the_switches_again_when_they_were_killed(world: World) -> None:
    trial = Trial(world, SEED)
    trial.kill_switches()
    assert trial.tally.promised and trial.tally.frames


def test_what_was_promised_is_there_when_hvproxy_and_the_switches_were_killed_at_once(world: World) -> None:
    trial = Trial(world, SEED)
    trial.kill_both()
    assert trial.tally.promised and trial.tally.frames
