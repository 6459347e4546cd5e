"""Differences between what two systems gave."""
from __future__ import annotations

from tests.oracle.comparing import BRIDGE, unlike
from tests.oracle.telling import Item

FRAME: Item = {"is": "frame", "port": 1, "data": "00"}
FLOW: Item = {"is": "flow", "table": 0, "priority": 5, "packets": 3, "age": 1.0}


def test_the_same_in_another_order_at_almost_the_same_time_is_no_difference() -> None:
    assert not list(unlike("logical", 0, {"answer 3": [FLOW, FRAME]}, {"answer 3": [FRAME, {**FLOW, "age": 2.0}]}, ()))


def test_a_difference_names_the_step_and_what_differs() -> None:
    given = {"answer 3": [{**FLOW, "packets": 4}], "frames": [FRAME, FRAME], "messages": []}
    found = list(unlike("logical", 2, {"answer 3": [FLOW], "frames": [FRAME], "messages": [FRAME]}, given, ()))
    assert [(each.number, each.kind) for each in found] == [
        (3, ("logical", "answer")), (2, ("logical", "frames")), (2, ("logical", "messages"))]
    assert "packets: 4 instead of 3" in found[0].detail
    assert "only logical" in found[1].detail and f"only {BRIDGE}" in found[2].detail


def test_ages_may_differ_a_little_only() -> None:
    def differ(waited: float) -> bool:
        return any(unlike("logical", 0, {"answer 3": [FLOW]}, {"answer 3": [{**FLOW, "age": 3.0}]}, (), waited))

    assert differ(0.0) and differ(0.1) and not differ(0.5)  # as a switch that was slow may have done it then
