from __future__ import annotations

import pytest

from hvproxy.openflow.memo import LONGEST, remembered


def test_short_inputs_are_computed_once_and_long_ones_are_not_kept() -> None:
    computed: list[bytes] = []

    @remembered(2)
    def size(data: bytes, times: int = 1) -> int:
        """How long."""
        computed.append(data)
        return len(data) * times

    assert [size(b"a"), size(b"a"), size(b"a", times=3)] == [1, 1, 3]
    assert computed == [b"a", b"a"]  # once for each `times`
    computed.clear()
    long = bytes(LONGEST + 1)
    assert size(long) == size(long) == LONGEST + 1 and computed == [long, long]
    assert size.__doc__ == "How long."


def test_the_oldest_is_forgotten() -> None:
    computed: list[bytes] = []

    @remembered(2)
    def note(data: bytes) -> None:
        computed.append(data)

    for data in (b"a", b"b", b"c", b"a"):
        note(data)
    assert computed == [b"a", b"b", b"c", b"a"]


def test_what_is_refused_is_refused_again() -> None:
    @remembered(2)
    def fail(data: bytes) -> None:
        raise ValueError(data)

    for _ in range(2):
        with pytest.raises(ValueError):
            fail(b"x")
