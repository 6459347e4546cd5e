"""Random requests that say what tables shall be able to do."""
from __future__ import annotations

from hvproxy.errors import Refused
from hvproxy.openflow import guard
from hvproxy.openflow.table_features import decode_table_features
from tests.oracle.frames import Dice
from tests.oracle.offers import some_request
from tools.emulator import wire


def test_many_are_well_formed_and_many_are_not() -> None:
    rng, read = Dice(3), 0
    for _ in range(300):
        step = some_request(rng)
        try:
            guard.check(wire.message(step.kind, 1, step.body), from_switch=False)
        except Refused:
            continue
        assert decode_table_features(step.body[8:])
        read += 1
    assert 30 < read < 270
