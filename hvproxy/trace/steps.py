"""What became of one frame at one switch, as `walk` tells it: steps for people, and what has left the switch.

Must not know how a switch decides.
"""
from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from hvproxy.trace.switch import Flow, GroupLike


class Kind(Enum):
    """What a step tells of."""

    TABLE = "table"
    """An entry was hit, or none."""
    METER = "meter"
    APPLY = "apply"
    """An action that changed the frame."""
    CLEAR = "clear"
    WRITE = "write"
    METADATA = "metadata"
    ACTION_SET = "action_set"
    """The action set is carried out."""
    GROUP = "group"
    BUCKET = "bucket"
    OUTPUT = "output"
    PACKET_IN = "packet_in"
    DROP = "drop"
    """Something goes nowhere."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happens to the frame."""

    depth: int
    kind: Kind
    text: str
    table: int | None = None
    flow: Flow | None = None
    group: GroupLike | None = None
    bucket: int | None = None
    port: int | None = None


class Sent(NamedTuple):
    """A frame that leaves by a port."""

    port: int
    data: bytes


class Told(NamedTuple):
    """A frame for the controllers."""

    reason: int
    """OFPR_*."""
    flow: Flow | None
    """The entry it names: with the action set the first that was hit, as Open vSwitch has it."""
    writer: Flow | None
    """The entry that wrote what sends it into the action set; None where no action set sends it."""
    metadata: int
    others: bytes
    """The TLVs of what else goes with it and is not 0: tunnel id, registers."""
    data: bytes


@dataclass(slots=True)
class Walk:
    """What became of a frame."""

    steps: list[Step] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)
    keys: list[int] = field(default_factory=list)
    """The tunnel id that goes with each of them: its key, where the port is a tunnel's."""
    told: list[Told] = field(default_factory=list)
    tracked: list[int] = field(default_factory=list)
    """Tables in which copies are looked up with what is known of their connection: these are not followed."""
    failed: str = ""
    """Why the frame leaves nowhere all the same."""

    def fail(self, why: str) -> None:
        """The frame leaves nowhere although the steps say so."""
        self.failed = why
        self.steps.append(Step(0, Kind.DROP, f"the frame leaves nowhere: {why}"))
        for gone in (self.sent, self.keys, self.told):
            gone.clear()

    @property
    def is_silent(self) -> bool:
        """No step says where the frame or a copy of it goes, or that it goes nowhere."""
        ends = Kind.OUTPUT, Kind.PACKET_IN, Kind.DROP
        return not self.tracked and not any(step.kind in ends for step in self.steps)
