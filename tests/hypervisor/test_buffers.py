"""Packets are kept for their controllers, given out once, and forgotten when they are too many or too old."""
from __future__ import annotations

from math import inf

import pytest

from hvproxy.errors import Refused
from hvproxy.hypervisor.buffers import LIFETIME, NONE, Buffers
from hvproxy.openflow.constants import NO_BUFFER, of13

EMPTY, UNKNOWN = of13.OFPBRC_BUFFER_EMPTY, of13.OFPBRC_BUFFER_UNKNOWN


def refused(buffers: Buffers, number: int) -> int | None:
    """The code of the error that a number gets, the same however it is asked for."""
    with pytest.raises(Refused) as checked:
        buffers.check(number)
    with pytest.raises(Refused) as taken:
        buffers.take(number)
    assert (checked.value.error_type, checked.value.code) == (taken.value.error_type, taken.value.code)
    assert checked.value.error_type == of13.OFPET_BAD_REQUEST
    return checked.value.code


def test_a_packet_is_given_out_once() -> None:
    buffers = Buffers(4)
    number = buffers.keep(3, b"packet", 0.0)
    buffers.check(number)
    assert buffers.take(number)[:2] == (3, b"packet")
    assert refused(buffers, number) == EMPTY
    assert refused(buffers, number + 1) == UNKNOWN == refused(buffers, NO_BUFFER)


def test_the_oldest_gives_way_where_all_are_held() -> None:
    buffers = Buffers(2)
    first, second = buffers.keep(1, b"1", 0.0), buffers.keep(1, b"2", 0.0)
    buffers.take(second)
    third = buffers.keep(1, b"3", 0.0)
    buffers.check(first)
    buffers.keep(1, b"4", 0.0)
    assert refused(buffers, first) == UNKNOWN
    assert buffers.take(third).data == b"3"


def test_what_was_used_is_not_remembered_for_ever() -> None:
    buffers = Buffers(2)
    used = [buffers.keep(1, b"", 0.0) for _ in range(2)]
    for number in used:
        buffers.take(number)
    third = buffers.keep(1, b"", 0.0)
    buffers.take(third)
    assert [refused(buffers, number) for number in (*used, third)] == [UNKNOWN, EMPTY, EMPTY]


def test_what_is_too_old_is_forgotten() -> None:
    buffers = Buffers(4)
    assert buffers.deadline == inf
    first, second = buffers.keep(1, b"1", 5.0), buffers.keep(1, b"2", 6.0)
    assert buffers.deadline == 5.0 + LIFETIME
    buffers.tick(5.0 + LIFETIME)
    assert refused(buffers, first) == UNKNOWN and buffers.take(second).data == b"2"
    assert buffers.deadline == inf


def test_numbers_never_say_that_there_is_none() -> None:
    buffers = Buffers(2)
    buffers._last = NO_BUFFER - 2
    assert [buffers.keep(1, b"", 0.0) for _ in range(3)] == [NO_BUFFER - 1, 1, 2]


def test_without_buffers_every_number_is_unknown() -> None:
    assert {refused(NONE, number) for number in (0, 1, 5)} == {UNKNOWN}
