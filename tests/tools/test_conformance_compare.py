"""What is read out of the results of the conformance suites."""
from __future__ import annotations

from pathlib import Path

from tools.conformance_compare import (
    MOST_LINES, Comparison, Verdict, Verdicts, answers, cases_left, chosen, compare_answers, compare_verdicts,
    description, only, steady, verdicts
)

GOLDEN = """\
== desc identity
$ $O dump-desc $T
Hardware: Open vSwitch
== frags
$ $O get-frags $T
normal
== groups only=13,14
added
== meters
"""
LINES = "action: 00\ta\tOK\t\naction: 00\tb\tERROR\twrong\ngroup: 00\ta\tOK\t\n"


def told(comparison: Comparison) -> list[str]:
    return [line.strip() for line in comparison.lines()]


def test_answers_are_cut_into_cases() -> None:
    found = answers(GOLDEN)
    assert list(found) == ["desc identity", "frags", "groups only=13,14", "meters"]
    assert found["frags"] == ["$ $O get-frags $T", "normal"] and found["meters"] == []
    assert answers("") == {}


def test_equal_answers_pass() -> None:
    same = compare_answers("ofctl", answers(GOLDEN), answers(GOLDEN))
    assert (same.cases, same.plain, same.logical, same.failed, same.apart) == (4, 4, 4, [], {})
    assert told(same)[-1] == "Nothing that plain Open vSwitch passes fails on the logical switch."


def test_another_answer_is_a_failure_and_one_about_identity_is_told_apart() -> None:
    logical = answers(GOLDEN.replace("Open vSwitch", "hvproxy").replace("normal", "drop").replace("== meters\n", ""))
    result = compare_answers("ofctl", answers(GOLDEN), logical)
    assert result.logical == 1
    assert [(each.case, each.lines) for each in result.failed] == [
        ("frags", ("plain Open vSwitch: normal", "logical switch:     drop")), ("meters", ("did not run",))]
    assert {reason: [each.case for each in cases] for reason, cases in result.apart.items()} == {
        "about who the switch says it is": ["desc"]}
    assert told(result)[0] == "ofctl: 4 cases; plain Open vSwitch passes 4, the logical switch 1 of these"
    assert "passed by plain Open vSwitch and not by the logical switch: 2" in told(result)


def test_a_long_difference_is_cut() -> None:
    plain = {"long": [str(n) for n in range(40)]}
    (difference,) = compare_answers("ofctl", plain, {"long": []}).failed
    assert len(difference.lines) == MOST_LINES + 1 and difference.lines[-1] == f"… and {40 - MOST_LINES} lines more"


def test_lines_that_begin_as_a_difference_does_are_kept() -> None:
    (difference,) = compare_answers("ofctl", {"diff": ["-priority=1", "+priority=2"]}, {"diff": []}).failed
    assert difference.lines == ("plain Open vSwitch: -priority=1", "plain Open vSwitch: +priority=2")


def test_verdicts_are_read_and_compared() -> None:
    plain = verdicts(LINES)
    assert plain == {("action: 00", "a"): Verdict(True, ""), ("action: 00", "b"): Verdict(False, "wrong"),
                     ("group: 00", "a"): Verdict(True, "")}
    slow = Verdict(False, "Received unexpected throughput: 1 kbps")
    logical: Verdicts = {("action: 00", "b"): Verdict(True, ""), ("group: 00", "a"): slow}
    result = compare_verdicts("ryu", plain, logical)
    assert (result.cases, result.plain, result.logical) == (3, 2, 0)
    assert [(each.case, each.lines) for each in result.failed] == [
        ("action: 00: a", ("logical switch: did not run",))]
    assert [each.case for cases in result.apart.values() for each in cases] == ["group: 00: a"]
    assert result.gained == ["action: 00: b"] and "passed by the logical switch only: 1" in told(result)


def test_a_group_that_is_refused_is_a_failure_however_it_would_be_measured() -> None:
    refused: Verdicts = {("group: 00", "a"): Verdict(False, "Failed to add groups: OFPErrorMsg")}
    result = compare_verdicts("ryu", {("group: 00", "a"): Verdict(True, "")}, refused)
    assert [each.case for each in result.failed] == ["group: 00: a"] and not result.apart


def test_only_what_passes_always_counts_as_passed() -> None:
    key = ("group: 00", "a")
    good, slow, other = (Verdict(True, ""), Verdict(False, "slow"), Verdict(False, "other"))
    assert steady([{key: good}, {key: good}]) == {key: good}
    assert steady([{key: good}, {}, {key: slow}]) == {key: slow}
    assert steady([{key: other}, {key: good}]) == {key: other}


def test_a_filter_leaves_cases_and_files(tmp_path: Path) -> None:
    assert chosen(["action/00.json", "match/00.json"], "^action") == ["action/00.json"]
    assert chosen(["a", "b"], "") == ["a", "b"]
    text = "# said before\n== frags\n$ one\n== groups only=13\n$ two\n# said between\n== meters\n$ three\n"
    assert cases_left(text, {"groups"}) == "== groups only=13\n$ two\n# said between\n"
    path = tmp_path / "00.json"
    path.write_text('["action: 00", {"description": "a"}]')
    assert description(path) == "action: 00"
    assert list(only(verdicts(LINES), [path])) == [("action: 00", "a"), ("action: 00", "b")]
