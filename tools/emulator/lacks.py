"""What a restricted switch cannot do: hardware has fewer actions and fields than Open vSwitch.

The errors are those that OpenFlow 1.3 has for it (OF 1.3.5 section 7.4.4); the same is left out of the table features.
"""
from __future__ import annotations

from collections.abc import Container, Iterable
from typing import NamedTuple

from tools.emulator import oxm
from tools.emulator.decode import (
    BAD_SET_TYPE, BAD_TYPE, SET_FIELD, UNSUP_INST, Action, Instructions, bad_action, bad_instruction,
)

BAD_FIELD = 6
WRITE, APPLY, CLEAR, METER = 3, 4, 5, 6


class Lacks(NamedTuple):
    """What is missing, by the numbers of OpenFlow 1.3."""

    actions: frozenset[int] = frozenset()
    set_fields: frozenset[int] = frozenset()
    match_fields: frozenset[int] = frozenset()
    instructions: frozenset[int] = frozenset()

    def refuse_match(self, fields: Iterable[int]) -> None:
        """Refuse fields that cannot be matched."""
        if not self.match_fields.isdisjoint(fields):
            raise oxm.OFError(oxm.OFPET_BAD_MATCH, BAD_FIELD)

    def refuse_instructions(self, wanted: Instructions) -> None:
        """Refuse instructions that there are not, or that hold such actions."""
        there = {kind for kind, used in ((WRITE, wanted.write is not None), (APPLY, bool(wanted.apply)),
                                         (CLEAR, wanted.clear), (METER, wanted.meter is not None)) if used}
        if there & self.instructions:
            raise bad_instruction(UNSUP_INST)
        self.refuse_actions(wanted.apply + (wanted.write or ()))

    def refuse_actions(self, wanted: Iterable[Action]) -> None:
        """Refuse actions that there are not."""
        for action in wanted:
            if action[0] in self.actions:
                raise bad_action(BAD_TYPE)
            if action[0] == SET_FIELD and action[1] in self.set_fields:
                raise bad_action(BAD_SET_TYPE)


def left(numbers: Iterable[int], lacking: Container[int]) -> list[int]:
    """Those that are not lacking."""
    return [number for number in numbers if number not in lacking]
