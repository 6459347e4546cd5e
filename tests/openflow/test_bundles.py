"""The bytes are those of Open vSwitch 3.1; tests/system/test_bundles_against_ovs compares them."""
from __future__ import annotations

import pytest

from hvproxy.openflow import bundles
from hvproxy.openflow.build import barrier_request
from hvproxy.openflow.bundles import Add, Control, ControlType


def test_a_control_message() -> None:
    message = bundles.control(7, 11, ControlType.COMMIT_REQUEST, 3)
    assert message == bytes.fromhex("04040018" "00000007" "4f4e4600" "000008fc" "0000000b" "0004" "0003")
    assert bundles.decode_control(message) == Control(11, 4, 3)


def test_an_added_message_is_kept_with_what_follows_it() -> None:
    message = bundles.add(7, 11, 1, barrier_request(7) + b"more")
    assert message[:24] == bytes.fromhex("04040024" "00000007" "4f4e4600" "000008fd" "0000000b" "0000" "0001")
    assert bundles.decode_add(message) == Add(11, 1, barrier_request(7) + b"more")


@pytest.mark.parametrize(("asked", "answered"), [(0, 1), (2, 3), (4, 5), (6, 7), (8, 0), (99, 0)])
def test_replies_are_of_the_next_type_without_flags(asked: int, answered: int) -> None:
    assert bundles.reply(bundles.control(7, 11, asked, 3)) == bundles.control(7, 11, answered, 0)
