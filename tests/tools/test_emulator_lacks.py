"""A restricted emulated switch refuses what it lacks, and does not list it."""
from __future__ import annotations

import pytest

from hvproxy.openflow.abilities import TablesReading
from tests.packets import Recorder
from tests.tools import controller as c
from tools.emulator import Switch, handlers, oxm, wire
from tools.emulator.lacks import Lacks
from tools.emulator.oxm import OFError

PUSH_MPLS = c.simple(19, 0x8847)
LACKS = Lacks(frozenset((19,)), frozenset((oxm.ETH_DST,)), frozenset((oxm.ETH_SRC,)), frozenset((5, 6)))
MODIFY, DELETE = 1, 3


def refused(kind: int, body: bytes) -> tuple[int, int] | None:
    switch = Switch(7, lacks=LACKS)
    try:
        handlers.handle(switch, Recorder(switch), wire.message(kind, 1, body))
    except OFError as error:
        return error.error_type, error.code
    return None


@pytest.mark.parametrize(("match", "instructions", "error"), [
    (c.match(), c.apply(PUSH_MPLS), (2, 0)),
    (c.match(), c.write(PUSH_MPLS), (2, 0)),
    (c.match(), c.apply(c.set_field(oxm.ETH_DST, 1)), (2, 13)),
    (c.match(), c.clear(), (3, 1)),
    (c.match(ETH_SRC=1), b"", (4, 6)),
    (c.match(ETH_DST=1), c.apply(c.set_field(oxm.ETH_SRC, 1), c.output(1)), None),
])
def test_an_entry_that_uses_what_is_missing_is_refused(
    match: bytes, instructions: bytes, error: tuple[int, int] | None,
) -> None:
    assert refused(wire.FLOW_MOD, c.flow_mod(match, instructions)) == error
    assert refused(wire.FLOW_MOD, c.flow_mod(match, instructions, command=MODIFY)) == error
    assert refused(wire.FLOW_MOD, c.flow_mod(match, instructions, command=DELETE)) is None


def test_buckets_and_packet_outs_are_refused_too() -> None:
    assert refused(wire.GROUP_MOD, c.group_mod(0, 0, 1, c.bucket(PUSH_MPLS))) == (2, 0)
    assert refused(wire.PACKET_OUT, c.packet_out(bytes(60), PUSH_MPLS)) == (2, 0)


def test_what_is_missing_is_not_listed() -> None:
    found = []
    for lacks in (Lacks(), LACKS):
        switch = Switch(7, lacks=lacks)
        recorder = Recorder(switch)
        handlers.handle(switch, recorder, wire.message(wire.MULTIPART_REQUEST, 1, b"\0\x0c" + bytes(6)))
        reading = TablesReading()
        for message in recorder.take():
            reading.take(message[16:])
        found.append(reading.done().of(9))
    whole, less = found
    assert whole.apply_actions - less.apply_actions == {19} == whole.write_actions - less.write_actions
    assert whole.apply_fields - less.apply_fields == {oxm.ETH_DST} == whole.write_fields - less.write_fields
    assert whole.match - less.match == {oxm.ETH_SRC} and whole.instructions - less.instructions == {5, 6}


def test_actions_that_are_missing_are_not_told_of_groups_either() -> None:
    told = []
    for lacks in (Lacks(), LACKS):
        switch = Switch(7, lacks=lacks)
        recorder = Recorder(switch)
        handlers.handle(switch, recorder, wire.message(wire.MULTIPART_REQUEST, 1, b"\0\x08" + bytes(6)))
        (message,) = recorder.take()
        told.append({int.from_bytes(message[at:at + 4], "big") for at in range(40, 56, 4)})
    (whole,), (less,) = told
    assert whole ^ less == 1 << 19
