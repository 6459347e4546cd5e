"""Random scripts: reproducible, and with what their features say."""
from __future__ import annotations

from itertools import combinations

import pytest

from tests.oracle.frames import Dice
from tests.oracle.operations import CARRIER, EXPIRE, FRAME, Step
from tests.oracle.script import (
    DEFAULT, EMULATED_FEATURES, EVERYTHING_ASKED, FEATURES, LASTING, SETTINGS, SPECIAL, decrements, features_of,
    no_group_uncovered, random_script, some_actions)
from tests.oracle.world import rounds, together
from tests.tools.controller import group, output, simple
from tools.emulator import oxm, wire


def kinds(steps: list[Step]) -> set[int]:
    return {step.kind for step in steps}


def test_a_seed_is_a_script() -> None:
    assert random_script(5, 300) == random_script(5, 300) != random_script(6, 300)


def test_scripts_are_as_long_as_asked_and_do_everything() -> None:
    scripts = [random_script(seed, 10000) for seed in (1, 2, 3)]  # waiting for an entry to expire is rare
    assert all(10000 <= len(steps) < 10100 for steps in scripts)
    assert set().union(*map(kinds, scripts)) >= {
        wire.FLOW_MOD, wire.GROUP_MOD, wire.PACKET_OUT, wire.MULTIPART_REQUEST, FRAME, CARRIER, EXPIRE}


@pytest.mark.parametrize(("feature", "kind"), [
    ("traffic", wire.PACKET_OUT), ("queries", wire.MULTIPART_REQUEST), ("timeouts", EXPIRE), ("carriers", CARRIER),
    ("meters", wire.METER_MOD), ("port-mods", wire.PORT_MOD), ("settings", wire.TABLE_MOD)])
def test_a_feature_that_is_off_does_not_come(feature: str, kind: int) -> None:
    others = {"carriers", "settings"} if feature == "queries" else set()
    features = DEFAULT - {feature, "refusals", "queries", *SPECIAL} - others
    assert kind not in kinds(random_script(1, 5000, features)[:-len(EVERYTHING_ASKED)])
    assert kind in kinds(random_script(2, 8000, features | {feature}))


def test_every_other_script_is_for_the_emulated_switch_and_of_the_rest_every_other_leaves_a_switch_as_it_was() -> None:
    lasting = [seed for seed in range(1, 9) if features_of(seed, DEFAULT) & LASTING]
    emulated = [seed for seed in range(1, 9) if features_of(seed, DEFAULT) <= EMULATED_FEATURES]
    assert (lasting, emulated) == ([4, 8], [1, 3, 5, 7])
    assert features_of(2, LASTING) == features_of(4, LASTING) == LASTING


def test_every_default_is_a_feature() -> None:
    assert DEFAULT <= FEATURES.keys() and SETTINGS.keys() <= FEATURES.keys()


@pytest.mark.parametrize("tags", [False, True])
def test_a_second_tag_is_pushed_where_tags_are_asked_for_only(tags: bool) -> None:
    features = DEFAULT - {"refusals"} | ({"tags"} if tags else set())
    twice = 0
    for step in random_script(2, 8000, features):
        if step.kind == wire.FLOW_MOD:
            twice += sum(step.body.count(b"\0\x11\0\x08" + kind + b"\0\0") for kind in (b"\x81\0", b"\x88\xa8")) > 1
    assert bool(twice) is tags


def test_no_two_frames_are_alike() -> None:
    frames = [step.body for step in random_script(3, 2000) if step.kind == FRAME]
    assert len(set(frames)) == len(frames) > 200


def test_rounds_hold_every_step_once_and_one_sort_each() -> None:
    steps = random_script(1, 2000)
    found = list(rounds(steps))
    assert [number for start, end in found for number in range(start, end)] == list(range(len(steps)))
    assert all(len({together(step) for step in steps[start:end]}) == 1 for start, end in found)


def test_entries_of_one_priority_are_the_same_or_meet_no_packet_in_common() -> None:
    """Which of two overlapping entries of one priority a packet hits is undefined; 100 is added with CHECK_OVERLAP."""
    for seed in (1, 2):
        found: dict[tuple[int, int], set[frozenset[tuple[int, bytes]]]] = {}
        for step in random_script(seed, 8000, DEFAULT - {"faults"}):  # which are gone before a packet comes
            if step.kind == wire.FLOW_MOD and len(step.body) >= 48:
                fields = wire.FLOW_MOD_BODY.unpack_from(step.body)
                try:
                    match, _, _ = oxm.parse_match(step.body, wire.FLOW_MOD_BODY.size)
                except oxm.OFError:
                    continue
                if fields[3] == 0 and fields[6] not in (0, 100):
                    found.setdefault((fields[2], fields[6]), set()).add(frozenset(match.items()))
        for matches in found.values():
            assert not any(overlap(dict(one), dict(other)) for one, other in combinations(matches, 2))


def overlap(one: oxm.Match, other: oxm.Match) -> bool:
    return all((one[name][0] ^ other[name][0]) & one[name][1] & other[name][1] == 0 for name in one.keys() & other)


def test_no_group_stands_behind_what_takes_a_label_off_in_the_same_list() -> None:
    pop, other = simple(20, 0x0800), group(3)
    assert no_group_uncovered([pop, output(1), other, pop]) == [output(1), other, pop]
    assert no_group_uncovered([pop, output(1)]) == [pop, output(1)]


def test_what_cannot_tell_of_itself_decrements_no_ttl() -> None:
    rng, fields = Dice(1, DEFAULT), {"ETH_TYPE": 0x0800}
    found = {telling: [action for _ in range(200) for action in some_actions(rng, fields, telling=telling)]
             for telling in (False, True)}
    assert any(map(decrements, found[True])) and not any(map(decrements, found[False]))
