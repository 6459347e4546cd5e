"""What is no deviation on purpose stays unexplained, and a deviation that explains nothing is told."""
from __future__ import annotations

import pytest

from tests.system.sweep.asking import Case
from tests.system.sweep.deviations import CLOSED, DEVIATIONS, OK, Answers, Difference, Sorted, outcome

BARRIER = (4, 21, "")
TABLE, OTHER_TABLE = (4, "multipart", 1, "0000", "aa"), (4, "multipart", 1, "0000", "bb")


def error(kind: int, code: int) -> tuple[object, ...]:
    return (4, "error", kind, code, "")


def unexplained(name: str, plain: Answers, logical: Answers) -> bool:
    found = Sorted()
    found.take(Difference(Case(name, b""), plain, logical))
    assert len(found.stale) >= len(DEVIATIONS) - len(found.explained)
    return bool(found.unexplained)


def test_the_first_error_before_the_barrier_counts() -> None:
    assert outcome((BARRIER, error(1, 2))) == OK
    assert outcome((TABLE, error(1, 2), error(1, 3), BARRIER)) == "1.2"
    assert outcome(None) == CLOSED


@pytest.mark.parametrize(("name", "plain", "logical", "is_unexplained"), [
    ("add/apply/output/port=0x0", (BARRIER, TABLE), (error(2, 4), BARRIER, OTHER_TABLE), False),
    ("add/apply/output/port=0x1", (BARRIER, TABLE), (error(2, 4), BARRIER, OTHER_TABLE), True),
    ("add/apply/output/port=0x0", (BARRIER, TABLE), (error(2, 5), BARRIER, OTHER_TABLE), True),
    ("add/apply/output/port=0x0", (BARRIER, TABLE), (BARRIER, OTHER_TABLE), True),
    ("write set_field eth_dst", (error(2, 13), BARRIER, TABLE), (error(2, 14), BARRIER, TABLE), False),
    ("write set_field eth_dst", (error(2, 13), BARRIER, TABLE), (error(2, 14), BARRIER, OTHER_TABLE), True),
    ("nicira role/exp_type=0xd", None, (error(1, 4), BARRIER), True),
    ("multipart flow monitor", (BARRIER,), None, True),
])
def test_only_the_answers_of_a_deviation_are_explained(
    name: str, plain: Answers, logical: Answers, is_unexplained: bool,
) -> None:
    assert unexplained(name, plain, logical) is is_unexplained


def test_all_are_stale_while_nothing_differs() -> None:
    assert len(Sorted().stale) == len(DEVIATIONS)
