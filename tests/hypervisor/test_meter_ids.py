"""The allocation of physical meter ids."""
from __future__ import annotations

from hvproxy.hypervisor.meter_ids import MeterIds
from hvproxy.model.layout import LAST_METER


def test_the_lowest_free_id_is_handed_out() -> None:
    ids = MeterIds()
    assert [ids.allot(LAST_METER) for _ in range(4)] == [1, 2, 3, 4]
    for number in (3, 1):
        ids.release(number)
    assert [ids.allot(LAST_METER) for _ in range(3)] == [1, 3, 5]


def test_no_id_is_above_what_a_switch_has() -> None:
    ids = MeterIds()
    assert [ids.allot(2) for _ in range(3)] == [1, 2, None]
    assert ids.allot(3) == 3 and ids.allot(3) is None
    ids.release(2)
    assert ids.allot(1) is None and ids.allot(2) == 2


def test_no_id_is_outside_the_range_that_is_ours() -> None:
    ids = MeterIds()
    last = [ids.allot(1 << 32) for _ in range(LAST_METER)][-1]
    assert last == LAST_METER and ids.allot(1 << 32) is None
