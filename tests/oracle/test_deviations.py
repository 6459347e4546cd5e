"""What is excused is written down for the users, line by line, and nothing else is excused."""
from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.oracle.deviations import (
    LOGICAL, NOT_ALIKE, SHUT_OUT, TWO_FAULTS, answered_alike, excused, normal, without_reason)
from tests.oracle.operations import SELECT_GROUPS
from tests.oracle.refusals import invalid_messages

README = (Path(__file__).resolve().parents[2] / "README.md").read_text()
TABLE = [line[2:] for line in README.partition("## Deviations")[2].partition("\n## ")[0].splitlines()
         if line.startswith("| ")]
WAYS = [name for name, _, _ in invalid_messages()]


@pytest.mark.parametrize("line", sorted(
    {SHUT_OUT, TWO_FAULTS, *NOT_ALIKE, *(deviation.readme for deviation in LOGICAL)}))
def test_every_excuse_is_a_line_of_the_readme(line: str) -> None:
    assert any(row.startswith(line) for row in TABLE)


@pytest.mark.parametrize("pattern", NOT_ALIKE.values())
def test_every_excused_refusal_is_there(pattern: str) -> None:
    assert any(re.fullmatch(pattern, way) for way in WAYS)


def test_most_refusals_are_alike() -> None:
    assert sum(map(answered_alike, WAYS)) > 0.8 * len(WAYS)


def test_only_what_a_line_is_about_is_taken_out() -> None:
    table = {"is": "table", "table": 1, "active": 2, "looked up": 3, "matched": 4}
    assert normal(table, LOGICAL) == {"is": "table", "table": 1, "active": 2, "matched": 4}
    assert normal(table, ()) == table
    assert normal({"is": "frame", "port": 1, "data": "00"}, LOGICAL) == {"is": "frame", "port": 1, "data": "00"}


def test_of_two_faults_either_may_be_told() -> None:
    refused = [{"is": "error", "type": 4, "code": 1, "data": ""}]
    assert without_reason("flow-mod with a fault: length at 44 is 0x7", refused) == [{"is": "error"}]
    for what in ("flow-mod with a fault: port at 44 is 0x7", "match: length", "flow-mod with a fault: cut to 44"):
        assert without_reason(what, refused) == refused


def test_a_meter_may_count_the_labels_of_its_packets_and_no_more() -> None:
    theirs = {"is": "meter", "meter": 1, "packets": 2, "bytes": 120}
    for octets, same in ((120, True), (124, True), (128, True), (132, False), (122, False), (116, False)):
        assert (excused({**theirs, "bytes": octets}, theirs, LOGICAL) == theirs) is same
        assert (excused({**theirs, "bytes": octets}, theirs, ()) == theirs) is (octets == 120)
    assert excused({**theirs, "packets": 3}, theirs, LOGICAL) != theirs


def test_the_buckets_of_a_select_group_are_counted_together() -> None:
    def told(group: int, *counters: int) -> object:
        buckets = "".join(f"{counter:016x}" for counter in counters)
        return normal({"is": "group", "group": group, "buckets": buckets}, ())

    assert told(SELECT_GROUPS[0], 1, 60, 2, 120) == told(SELECT_GROUPS[0], 3, 180, 0, 0)
    assert told(SELECT_GROUPS[0], 1, 60, 2, 120) != told(SELECT_GROUPS[0], 2, 120, 0, 0)
    assert told(1, 1, 60, 2, 120) != told(1, 3, 180, 0, 0)


def test_an_unused_table_is_not_compared() -> None:
    assert normal({"is": "table", "table": 9, "active": 0, "looked up": 0, "matched": 0}, ()) is None
