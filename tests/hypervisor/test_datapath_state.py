"""The states of a datapath: every pair of state and input is either in the table or impossible."""
from __future__ import annotations

from itertools import product

import pytest

from hvproxy.hypervisor.datapath_state import TRANSITIONS, Input, State

CONNECTED = {State.READING, State.SETTLING, State.READY}


@pytest.mark.parametrize("state, event", list(product(State, Input)))
def test_session_begins_only_without_one_and_ends_only_with_one(state: State, event: Input) -> None:
    after = TRANSITIONS.get((state, event))
    if event is Input.ATTACHED:
        assert after is (None if state in CONNECTED else State.READING)
    elif event is Input.DETACHED:
        assert after is (State.LOST if state in CONNECTED else None)
    elif event is Input.GRACE_OVER:
        assert after is (State.ABSENT if state is State.LOST else None)
    else:
        assert after is None or state in CONNECTED and after in CONNECTED


def test_ready_is_reached_only_by_reading_and_confirming() -> None:
    assert [pair for pair, after in TRANSITIONS.items() if after is State.READY] == [(State.SETTLING, Input.CONFIRMED)]
    assert [pair for pair, after in TRANSITIONS.items() if after is State.SETTLING] == [(State.READING, Input.READ)]


def test_every_state_is_left_and_entered_and_every_input_leads_somewhere() -> None:
    assert {state for state, _ in TRANSITIONS} == set(TRANSITIONS.values()) == set(State)
    assert {event for _, event in TRANSITIONS} == set(Input)
