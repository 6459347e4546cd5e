"""Scripts as text."""
from __future__ import annotations

import pytest

from tests.oracle.operations import CARRIER, EXPIRE, Step, multipart, read, sent, written
from tests.oracle.refusals import invalid_messages
from tests.oracle.script import FEATURES, random_script
from tests.tools.controller import apply, flow_mod, match, output
from tools.emulator import wire

EVERY_FEATURE = frozenset(FEATURES)


@pytest.mark.parametrize("steps", [
    random_script(2, 400, EVERY_FEATURE), [Step(*way) for way in invalid_messages()],
    [sent(3, b"abc"), Step("carrier", CARRIER, port=2), Step("carrier", CARRIER, port=2, up=True),
     Step("expire", EXPIRE), multipart(3), Step("barrier", wire.BARRIER_REQUEST)],
])
def test_a_script_that_is_written_and_read_is_the_same(steps: list[Step]) -> None:
    assert [step[1:] for step in read(written(steps))] == [step[1:] for step in steps]


def test_a_line_says_in_words_what_a_message_is() -> None:
    step = Step("x", wire.FLOW_MOD, flow_mod(match(IN_PORT=2), apply(output(1)), command=3, table=7, cookie=5))
    assert step.line().endswith(
        "# x: flow_mod delete table=7 priority=100 cookie=0x5 in_port=2 actions=output:1")


def test_a_malformed_message_is_described_too() -> None:
    assert "malformed" in Step("short", wire.FLOW_MOD, bytes(20)).line()


@pytest.mark.parametrize("line", ["frame 3", "carrier 3 sideways", "message 5", "expire now", "what"])
def test_a_line_that_says_nothing_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="not a step"):
        read(line)
