"""What became of a frame, and what is left of it when it fails."""
from __future__ import annotations

import pytest

from hvproxy.trace.steps import Kind, Sent, Step, Told, Walk


def test_what_fails_has_sent_nothing() -> None:
    done = Walk([Step(1, Kind.OUTPUT, "port 2")], [Sent(2, b"x")], [7], [Told(1, None, None, 0, b"", b"x")])
    done.fail("too deep")
    assert not (done.sent or done.keys or done.told) and done.failed == "too deep"
    assert [(step.depth, step.kind, step.text) for step in done.steps] == [
        (1, Kind.OUTPUT, "port 2"), (0, Kind.DROP, "the frame leaves nowhere: too deep")]


@pytest.mark.parametrize("kind, silent", [(Kind.TABLE, True), (Kind.APPLY, True), (Kind.OUTPUT, False),
                                          (Kind.PACKET_IN, False), (Kind.DROP, False)])
def test_a_walk_is_silent_until_a_step_says_where_the_frame_goes(kind: Kind, silent: bool) -> None:
    assert Walk([Step(0, kind, "")]).is_silent is silent
    assert not Walk([Step(0, kind, "")], tracked=[1]).is_silent, "only the datapath knows"
