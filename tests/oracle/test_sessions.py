"""Random messages about sessions."""
from __future__ import annotations

import pytest

from tests.oracle.frames import Dice
from tests.oracle.script import DEFAULT, ORDINARY, SPECIAL, random_script
from tests.oracle.sessions import FORGETTING, SETTLED
from tests.oracle.world import rounds
from tools.emulator import wire


@pytest.mark.parametrize("feature", sorted(SPECIAL))
def test_both_controllers_take_part(feature: str) -> None:
    rng = Dice(1, DEFAULT)
    steps = [step for _ in range(50) for step in SPECIAL[feature](rng, ORDINARY)]
    assert {step.by for step in steps if step.kind >= 0} == {0, 1}


def test_masks_and_roles_change_when_all_has_been_told() -> None:
    """The end of an entry is told after the barrier, to those that want it then."""
    steps = random_script(4, 4000)
    for start, end in rounds(steps):
        kinds = [step.kind for step in steps[start:end]]
        changes = [at for at, kind in enumerate(kinds) if kind in (wire.SET_ASYNC, wire.ROLE_REQUEST)
                   and steps[start + at].what in ("masks", "role")]
        assert not any(kind in (wire.FLOW_MOD, wire.GROUP_MOD) for at in changes for kind in kinds[:at])


def test_one_of_the_generation_ids_that_are_tried_is_never_of_the_past() -> None:
    requests = [step.body for step in FORGETTING if step.kind == wire.ROLE_REQUEST]
    tried = [int.from_bytes(body[8:], "big") for body in requests[:-1]]
    for last in (0, 5, 1 << 63, (1 << 64) - 1, 0x5555555555555555, *tried):
        for generation in tried:
            last = generation if (generation - last) & (1 << 63) == 0 else last
        assert last == 0


def test_a_request_ends_a_round() -> None:
    assert SETTLED.kind == wire.MULTIPART_REQUEST
