"""Messages are laid out whole, and what is made wrong of them is one part each."""
from __future__ import annotations

import pytest

from hvproxy.errors import Refused
from hvproxy.openflow import guard
from tests.oracle.faults import faulty, laid_out, replaced
from tests.oracle.frames import Dice
from tests.oracle.operations import Step
from tests.oracle.script import DEFAULT, random_script
from tests.oracle.tracking import ct, nat
from tests.oracle.watching import added
from tests.tools.controller import apply, bucket, flow_mod, goto, group, group_mod, match, output, packet_out, set_field
from tools.emulator import oxm, wire

ENTRY = flow_mod(match(ETH_TYPE=0x0800, IPV4_DST=(0x0a000000, 0xffffff00)), apply(
    output(1), set_field(oxm.IPV4_DST, 5), ct(1, 7, 20, nat(1, 9))) + goto(3))
MESSAGES = [
    Step("entry", wire.FLOW_MOD, ENTRY), added(1, wire.FLOW_MOD, ENTRY),
    Step("group", wire.GROUP_MOD, group_mod(0, 0, 7, bucket(output(1), group(9)), bucket(output(2)))),
    Step("packet", wire.PACKET_OUT, packet_out(bytes(60), output(1), group(3))),
]


def is_framed(step: Step, body: bytes) -> bool:
    """Whether all lengths in the message are right."""
    try:
        guard.check(wire.message(step.kind, 0, body), from_switch=False)
    except Refused:
        return False
    return True


@pytest.mark.parametrize("step", MESSAGES, ids=lambda step: step.what)
def test_every_byte_is_in_one_part_at_most_and_most_are_in_one(step: Step) -> None:
    parts = laid_out(step.kind, step.body).parts
    told = [place for part in parts for place in range(part.start, part.start + part.size)]
    beside = 60 if step.kind == wire.PACKET_OUT else 14  # a frame; whose bundle it is
    assert len(told) == len(set(told)) >= len(step.body) - beside


@pytest.mark.parametrize("step", MESSAGES, ids=lambda step: step.what)
def test_what_is_missing_or_there_twice_is_not_counted_or_counted_twice(step: Step) -> None:
    layout = laid_out(step.kind, step.body)
    assert len({block.sort for block in layout.blocks}) > (step.kind != wire.PACKET_OUT)
    for block in layout.blocks:
        inside = step.body[block.start:block.end]
        for data in (b"",) if block.sort == "instruction" else (b"", inside * 2):  # where it may be
            changed = replaced(layout, block.start, block.end, data)
            assert is_framed(step, changed) and len(laid_out(step.kind, changed).blocks) != len(layout.blocks)


def test_what_is_cut_is_not_laid_out() -> None:
    for body in (ENTRY[:60], ENTRY[:-4], ENTRY[:42] + b"\xff\xff" + ENTRY[44:]):
        with pytest.raises(ValueError):
            laid_out(wire.FLOW_MOD, body)
        assert faulty(Dice(1), wire.FLOW_MOD, body)


def test_a_fault_makes_another_message_of_every_kind_and_few_of_them_are_about_lengths() -> None:
    rng, lengths, found = Dice(2, DEFAULT), 0, set()
    steps = [step for step in random_script(8, 4000) if step.kind >= 0 and step.body]
    for step in steps:
        made = faulty(rng, step.kind, step.body)
        if made is not None:
            assert made[1] != step.body or "exchanged" in made[0]
            found.add(made[0].split()[0])
            lengths += not is_framed(step, made[1])
    assert len(found) > 20 and lengths < len(steps) / 2
