"""The states of a physical switch as its owner counts them, and what leads from one to the next.

What is not in the table cannot happen. Knows no messages and no time.
"""
from __future__ import annotations

from enum import Enum
from typing import Final


class State(Enum):
    """How far a datapath is known."""

    LOST = "lost"
    """Not connected; within the grace it counts as if it were. Also how a configured datapath begins."""
    ABSENT = "absent"
    """Not connected, and no longer counted."""
    READING = "reading"
    """Connected; what it holds is being read."""
    SETTLING = "settling"
    """The difference was sent and is not confirmed yet."""
    READY = "ready"
    """It held all that was desired when it was read; since then it is sent everything at once."""


class Input(Enum):
    """What changes the state."""

    ATTACHED = "a session was opened"
    DETACHED = "the session ended"
    READ = "all that must be read has been read"
    CONFIRMED = "the difference is confirmed"
    DISTURBED = "another hand removed a rule of ours"
    GRACE_OVER = "it stayed away too long"


TRANSITIONS: Final[dict[tuple[State, Input], State]] = {
    (State.LOST, Input.ATTACHED): State.READING,
    (State.ABSENT, Input.ATTACHED): State.READING,
    (State.READING, Input.READ): State.SETTLING,
    (State.SETTLING, Input.CONFIRMED): State.READY,
    (State.READY, Input.DISTURBED): State.READING,
    (State.READING, Input.DETACHED): State.LOST,
    (State.SETTLING, Input.DETACHED): State.LOST,
    (State.READY, Input.DETACHED): State.LOST,
    (State.LOST, Input.GRACE_OVER): State.ABSENT,
}
