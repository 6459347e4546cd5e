"""What a run of the conformance suites says of the logical switch beside plain Open vSwitch. Reads files, runs nothing.

Two kinds of results: answers of `ovs-ofctl`, recorded case by case as text, and verdicts of ryu's switch tester, one
line a case. Either becomes a Comparison, whose cases are sorted by what they mean: passed; failed though plain Open
vSwitch passes; and those that are told apart because nobody expects them of a logical switch.
"""
from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

MOST_LINES, MOST_COLUMNS = 12, 200
"""Of a case's difference that are shown."""
THROUGHPUT = "Received unexpected throughput"
"""So begins the reason when a case of ryu's fails for the host's speed, and not for what the switch refuses."""


@dataclass(frozen=True)
class Difference:
    """A case that plain Open vSwitch passes and the logical switch does not."""

    case: str
    lines: tuple[str, ...]
    """What the two say."""


@dataclass
class Comparison:
    """One suite."""

    suite: str
    cases: int = 0
    plain: int = 0
    """Cases that plain Open vSwitch passes."""
    logical: int = 0
    """Cases of those that the logical switch passes."""
    failed: list[Difference] = field(default_factory=list)
    apart: dict[str, list[Difference]] = field(default_factory=dict)
    """Why not expected -> cases."""
    gained: list[str] = field(default_factory=list)
    """Cases that only the logical switch passes."""

    def lines(self) -> Iterator[str]:
        """The report, for people."""
        yield (f"{self.suite}: {self.cases} cases; plain Open vSwitch passes {self.plain}, the logical switch "
               f"{self.logical} of these")
        if self.gained:
            yield f"  passed by the logical switch only: {len(self.gained)}"
        for reason, differences in self.apart.items():
            yield f"  different, but {reason}: {len(differences)}"
            yield from (f"    {difference.case}" for difference in differences)
        if not self.failed:
            yield "  Nothing that plain Open vSwitch passes fails on the logical switch."
            return
        yield f"  passed by plain Open vSwitch and not by the logical switch: {len(self.failed)}"
        for difference in self.failed:
            yield f"    {difference.case}"
            yield from (f"      {line}" for line in difference.lines)


def answers(text: str) -> dict[str, list[str]]:
    """The recorded answers: case (its name with what is said of it) -> lines."""
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith("== "):
            lines = found[line[3:].strip()] = []
        else:
            lines.append(line)
    return found


def compare_answers(suite: str, plain: dict[str, list[str]], logical: dict[str, list[str]]) -> Comparison:
    """Of `ovs-ofctl`'s cases; plain Open vSwitch passes all by definition."""
    result = Comparison(suite, len(plain), len(plain))
    for case, lines in plain.items():
        if logical.get(case) == lines:
            result.logical += 1
            continue
        name, *said = case.split()
        difference = Difference(name, tuple(_told(lines, logical.get(case))))
        if "identity" in said:
            result.apart.setdefault("about who the switch says it is", []).append(difference)
        else:
            result.failed.append(difference)
    return result


def _told(plain: list[str], logical: list[str] | None) -> list[str]:
    """How the logical switch's lines differ."""
    if logical is None:
        return ["did not run"]
    said = [("plain Open vSwitch: " if line[0] == "-" else "logical switch:     ") + line[1:MOST_COLUMNS]
            for line in difflib.unified_diff(plain, logical, n=0, lineterm="")
            if line[0] in "+-" and line[:3] not in ("+++", "---")]
    more = len(said) - MOST_LINES
    return said if more <= 0 else [*said[:MOST_LINES], f"… and {more} lines more"]


@dataclass(frozen=True)
class Verdict:
    """Of ryu's switch tester on a case."""

    passed: bool
    reason: str


Verdicts = dict[tuple[str, str], Verdict]
"""(the file's description, the case's) -> verdict."""


def verdicts(text: str) -> Verdicts:
    """From the tester's table: description of the file, of the case, OK or ERROR, reason."""
    found: Verdicts = {}
    for line in text.splitlines():
        group, case, result, reason = line.split("\t")
        found[group, case] = Verdict(result == "OK", reason)
    return found


def steady(runs: list[Verdicts]) -> Verdicts:
    """Several runs of the same switch as one, in which passes what passed always."""
    first, *others = runs
    return {case: next((run[case] for run in others if case in run and not run[case].passed), verdict)
            if verdict.passed else verdict for case, verdict in first.items()}


def compare_verdicts(suite: str, plain: Verdicts, logical: Verdicts) -> Comparison:
    """Of ryu's cases; `plain` names those that were to run."""
    result = Comparison(suite, len(plain))
    for (group, case), expected in plain.items():
        got = logical.get((group, case), Verdict(False, "did not run"))
        result.plain += expected.passed
        result.logical += expected.passed and got.passed
        if expected.passed and not got.passed:
            difference = Difference(f"{group}: {case}", (f"logical switch: {got.reason[:MOST_COLUMNS]}",))
            if got.reason.startswith(THROUGHPUT):
                result.apart.setdefault("about throughput, which is the host's", []).append(difference)
            else:
                result.failed.append(difference)
        elif got.passed and not expected.passed:
            result.gained.append(f"{group}: {case}")
    return result


# What a filter leaves

def chosen(names: Iterable[str], pattern: str) -> list[str]:
    """The names in which the regular expression is found."""
    return [name for name in names if re.search(pattern, name)]


def cases_left(text: str, keep: Collection[str]) -> str:
    """ofctl_cases.txt without the cases that are not named in `keep`."""
    left: list[str] = []
    kept = False
    for line in text.splitlines(keepends=True):
        if line.startswith("== "):
            kept = line.split()[1] in keep
        if kept:
            left.append(line)
    return "".join(left)


def description(test_file: Path) -> str:
    """What a file of ryu's suite calls itself: its first string."""
    first = json.loads(test_file.read_text())[0]
    return str(first)


def only(plain: Verdicts, test_files: Iterable[Path], describe: Callable[[Path], str] = description) -> Verdicts:
    """The verdicts on cases of these files."""
    groups = {describe(path) for path in test_files}
    return {case: verdict for case, verdict in plain.items() if case[0] in groups}
