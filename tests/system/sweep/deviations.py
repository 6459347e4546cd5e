"""In what a logical switch answers wrong requests otherwise than Open vSwitch, on purpose: the README's words for each.

A deviation says which mutants it is about, by their names, which say the layout, field and value that was put there,
and which answers it explains: (Open vSwitch's, the logical switch's), each of them the type and code of an error or OK.
"""
from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.system.sweep.asking import Answer, Case

BARRIER_REPLY = 21
ANY = "any"
OK = "ok"
CLOSED = "closed"
Answers = tuple[Answer, ...] | None


@dataclass(frozen=True, slots=True)
class Difference:
    """One request that both sides did not answer alike."""

    case: Case
    plain: Answers
    logical: Answers

    @property
    def outcomes(self) -> tuple[str, str]:
        return outcome(self.plain), outcome(self.logical)

    @property
    def effects_differ(self) -> bool:
        """What was asked after the request was answered differently."""
        return effects(self.plain) != effects(self.logical)

    def __str__(self) -> str:
        said = "Open vSwitch {}, the logical switch {}".format(*self.outcomes)
        if len(set(self.outcomes)) == 1:
            said += f": {self.plain} and {self.logical}"
        return f"{self.case.name}: {said} ({self.case.message.hex()})"


def outcome(answers: Answers) -> str:
    """What a request came to: its first error as "type.code", or OK."""
    if answers is None:
        return CLOSED
    errors = [f"{answer[2]}.{answer[3]}" for answer in _before_barrier(answers) if answer[1] == "error"]
    return errors[0] if errors else OK


def effects(answers: Answers) -> Answers:
    """What was answered from the barrier on."""
    return answers if answers is None else answers[len(_before_barrier(answers)):]


def _before_barrier(answers: Sequence[Answer]) -> Sequence[Answer]:
    end = next((at for at, answer in enumerate(answers) if answer[1] == BARRIER_REPLY), len(answers))
    return answers[:end]


@dataclass(frozen=True, slots=True)
class Deviation:
    """One line of the README's table, or a part of it."""

    words: str
    """A part of that line."""
    names: re.Pattern[str]
    plain: frozenset[str]
    """Answers of Open vSwitch that this explains; ANY for whatever it is."""
    logical: frozenset[str]

    def explains(self, difference: Difference) -> bool:
        plain, logical = difference.outcomes
        if plain != OK != logical and difference.effects_differ:
            return False  # what both have refused has changed nothing
        return (bool(self.names.search(difference.case.name))
                and _among(plain, self.plain) and _among(logical, self.logical))


def _among(one: str, expected: frozenset[str]) -> bool:
    return one in expected or ANY in expected and one != CLOSED


def deviation(words: str, names: str, plain: str, logical: str) -> Deviation:
    return Deviation(words, re.compile(names), frozenset(plain.split()), frozenset(logical.split()))


@dataclass(slots=True)
class Sorted:
    """Differences by what explains them."""

    explained: dict[Deviation, int] = field(default_factory=dict)
    unexplained: list[Difference] = field(default_factory=list)

    def take(self, difference: Difference) -> None:
        known = [each for each in DEVIATIONS if each.explains(difference)]
        for each in known:
            self.explained[each] = self.explained.get(each, 0) + 1
        if not known:
            self.unexplained.append(difference)

    @property
    def stale(self) -> list[str]:
        """Deviations that explained nothing."""
        return [f"{each.words} ({each.names.pattern})" for each in DEVIATIONS if each not in self.explained]


SET_FIELD = r"set_field|type=0x19$"
DEVIATIONS = (
    deviation("output to port 0: BAD_OUT_PORT", r"output[^/]*/port=0x0$", "ok 6.1", "2.4"),
    deviation("output TABLE outside a packet-out: BAD_OUT_PORT", r"output[^/]*/port=0xfffffff9$", "ok 6.1", "2.4"),
    deviation("the actions of OpenFlow 1.1 that 1.2 took back: BAD_TYPE",
              r"/type=0x[1-9ade]$|add/apply(/length1=|: cut to 8 )", "ok 2.1 2.5 2.10 6.1", "2.0"),
    deviation("set-field of an unknown field: BAD_SET_TYPE; of another length than the field has: BAD_SET_LEN",
              SET_FIELD, "2.13 2.14", "2.13 2.14"),
    deviation("set-field, load, move, push and pop of in_port", r"output/type=0x19$", "ok", "2.13"),
    deviation("metadata beyond its low 32 bits: BAD_SET_ARGUMENT", r"set_field metadata/metadata/value=|field=0x4$",
              "ok", "2.15"),
    deviation("tenant metadata is 32 bits wide", r"write_metadata(/mask=|: cut to 16 )", "ok", "3.4"),
    deviation("tenant metadata is 32 bits wide", r"match metadata( masked)?/(value|mask)=|^match .*field=0x4$",
              "ok", "4.8"),
    deviation("set-fields of them: BAD_SET_TYPE", r"set_field in_phy_port/in_phy_port/class=0x1000$",
              "ok 2.10", "2.13"),
    deviation("of options of neighbour discovery", r"^match in_phy_port/class=0x1000$", "4.9", "4.6"),
    deviation("the ONF's copy-field: BAD_EXPERIMENTER", r"(apply|write|bucket|packet-out) experimenter",
              "2.1 4.1 4.6", "2.2"),
    deviation("GROUP_MOD of the commands 3 and 5 of OpenFlow 1.5 and 0x8000 of Open vSwitch: BAD_COMMAND",
              r"^group .*/command=0x(3|5|8000)$", "ok 6.8 6.12 65535.10", "6.11"),
    deviation("groups that name or watch themselves in the end: LOOP", r"^group .*/watch_group=0x1$", "ok", "6.7"),
    deviation("the virtual meters SLOWPATH and CONTROLLER: INVALID_METER", r"^meter .*/meter_id=0xfffffff[de]$",
              "ok 12.3 12.8 12.11", "12.2"),
    deviation("SET_CONFIG: fragments NX_MATCH (3) refused: BAD_FLAGS", r"^set config/flags=0x3$", "ok", "10.0"),
    deviation("a faulty request for a flow monitor", r"^multipart flow monitor", "ok 1.6", ANY),
    deviation("of Nicira's messages only roles, packet-in formats, async masks, controller ids and the flush of a zone",
              r"^nicira .*/exp_type=0x(d|e|18|19|1a|20)$", ANY, "1.4"),
    deviation("tables 244 to 253 hold no entries: TABLE_FULL", r"^add .*/table=0xfd$", "ok", "5.1"),
    deviation("table 254, which is hidden, is told as empty",
              r"^multipart (flows|aggregate)/(table=0xfe|cookie_mask=0xffffffffffffffff)$", "ok", "ok"),
    deviation("fields of Open vSwitch's own stand last in matches", r"^match icmpv6_type/class=0x1$", "ok", "ok"),
    deviation("a match of packets that are no Ethernet frames", r"^add/match/in_port/field=0x58$", "2.10", "ok"),
    deviation("a part of a request for TABLE_FEATURES is judged when it comes",
              r"^table features set.*/flags=0x(1|7fff|ffff)$", "ok", "13.2 65535.10"),
    deviation("a message with two faults may get the error of the other", SET_FIELD,
              "2.13 2.14 2.15 65535.4250", "2.1 2.2 4.1"),
    deviation("a message with two faults may get the error of the other", r"^(unknown|experimenter) instruction/",
              "2.4 5.2 5.6", "3.0 3.5"),
    deviation("a message with two faults may get the error of the other", r"unknown experimenter: ", "2.2", "2.1"),
    deviation("a message with two faults may get the error of the other", r"match", "4.6 4.7 4.9", "3.0 4.1 4.6"),
)
