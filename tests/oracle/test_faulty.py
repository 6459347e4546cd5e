"""Bursts of faults leave nothing behind."""
from __future__ import annotations

from tests.oracle.faulty import BACK, PORTS, is_certain, is_right, some_fault, some_faults
from tests.oracle.frames import Dice
from tests.oracle.operations import Step
from tests.oracle.script import DEFAULT, ORDINARY, some_flow_mod
from tests.oracle.tracking import LEARNING, TRACKING
from tests.oracle.watching import added
from tests.tools.controller import TABLE, apply, flow_mod, group, match, output, packet_out
from tools.emulator import wire


def cookie(step: Step) -> int:
    """Of a flow-mod, 0 of all else."""
    return int.from_bytes(step.body[:8], "big") if step.kind == wire.FLOW_MOD else 0


def test_everything_goes_before_anything_else_comes() -> None:
    rng, seen = Dice(1, DEFAULT), set()
    for _ in range(30):
        steps = some_faults(rng, ORDINARY)
        assert len({step.by for step in steps}) == 1 and all(step.kind >= 0 for step in steps)
        last = max(number for number, step in enumerate(steps) if "with a fault" in step.what)
        behind = [step.body for step in steps[last:]]
        ends = [behind.index(step.body) for step in BACK]
        assert behind[max(ends) + 1:max(ends) + 1 + len(PORTS)] == [
            step.body for step in steps if step.what == "port-mod"][-len(PORTS):]
        assert not any(cookie(step) in (LEARNING, TRACKING) for step in steps[last + 1:])
        packets = [number for number, step in enumerate(steps) if step.kind == wire.PACKET_OUT]
        entries = [number for number, step in enumerate(steps) if step.kind == wire.FLOW_MOD]
        assert max(packets, default=0) < min(entries)
        seen |= {step.kind for step in steps if "with a fault" in step.what}
    assert seen >= {wire.FLOW_MOD, wire.GROUP_MOD, wire.PACKET_OUT, wire.METER_MOD, wire.PORT_MOD, wire.SET_CONFIG,
                    wire.TABLE_MOD, wire.MULTIPART_REQUEST, wire.QUEUE_REQUEST, wire.ROLE_REQUEST, wire.EXPERIMENTER}


def test_what_is_wrong_already_gets_no_second_fault() -> None:
    wrong = flow_mod(match(), apply(output(0xffffffff)))
    assert not is_right(Step("entry", wire.FLOW_MOD, wrong)) and not is_right(added(1, wire.FLOW_MOD, wrong))
    assert is_right(Step("entry", wire.FLOW_MOD, flow_mod(match(), apply(output(1)))))
    assert not is_right(Step("packet", wire.PACKET_OUT, packet_out(bytes(60), output(0xffffffff))))
    assert is_right(Step("packet", wire.PACKET_OUT, packet_out(bytes(60), output(TABLE))))
    rng = Dice(3, DEFAULT)
    assert all("with a fault" in some_fault(rng, (some_flow_mod,)).what for _ in range(50))


def test_no_group_is_named_twice_and_no_packet_comes_to_the_tables() -> None:
    assert not is_certain(wire.FLOW_MOD, flow_mod(match(), apply(group(7), output(1), group(7))))
    assert is_certain(wire.FLOW_MOD, flow_mod(match(), apply(group(7), output(1), group(8))))
    assert not is_certain(wire.PACKET_OUT, packet_out(bytes(60), output(TABLE)))
    assert is_certain(wire.PACKET_OUT, packet_out(bytes(60), output(1)))
