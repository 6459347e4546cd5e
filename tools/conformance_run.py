"""tools/conformance: the conformance suites on a logical switch over Open vSwitch, compared with plain Open vSwitch.

The suites are not part of this project: --suites names their folder. Each runs in a network namespace of its own, in
which everything it starts lives and which is emptied and removed at the end, whatever happens.
"""
from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hvproxy.model.intent import SUPPORTED_PROTOCOLS
from tests.system.ovs import missing
from tools.conformance_compare import (
    Comparison, answers, cases_left, chosen, compare_answers, compare_verdicts, only, steady, verdicts
)
from tools.conformance_dut import FAILURE

ROOT = Path(__file__).resolve().parents[1]
DUT = ROOT / "tools" / "conformance-dut"
DEFAULT_SUITES = ROOT.parent / "shared" / "conformance"
NEEDED = ("lib.sh", "golden.py", "ofctl_golden.sh", "ofctl_cases.txt", "ryu_tester.sh", "golden", "baseline")
NAMES = ("ofctl-listen", "ofctl-relay", "ryu")
TOLD_EVERY = 10.0
"""Seconds between two lines about how far a suite is."""


class Failed(Exception):
    """A suite could not be run."""


@dataclass(frozen=True)
class Where:
    """The folder of the suites, and what of them is to run."""

    suites: Path
    version: str
    """Of OpenFlow, as the suites write it: 13."""
    filter: str

    def lacks(self) -> list[str]:
        """What should be in the folder and is not."""
        return [name for name in NEEDED if not (self.suites / name).exists()]


@dataclass(frozen=True)
class Suite:
    """A runner with what it needs, how far it is, and how its results are read."""

    command: tuple[str, ...]
    environment: dict[str, str]
    cases: int
    done: Callable[[Path, str], int]
    """Cases that have run, by the folder of the results and what the runner has printed."""
    compared: Callable[[Path], Comparison]
    """What the results in a folder say."""


def ofctl(where: Where, mode: str, place: Path) -> Suite:
    """`ovs-ofctl` as the tenant's controller."""
    plain = answers((where.suites / "golden" / mode / f"of{where.version}.txt").read_text())
    kept = {case: lines for case, lines in plain.items() if case in chosen(plain, where.filter)}
    cases = place / "ofctl_cases.txt"
    cases.write_text(cases_left((where.suites / "ofctl_cases.txt").read_text(), {case.split()[0] for case in kept}))

    def compared(results: Path) -> Comparison:
        return compare_answers(f"ofctl-{mode}", kept, answers(read(results / f"ofctl.of{where.version}.txt")))

    return Suite(
        ("bash", str(where.suites / "ofctl_golden.sh"), "check", where.version),
        {"CF_MODE": mode, "CF_NAME": "ofctl", "CF_CASES": os.path.relpath(cases, where.suites)},
        len(kept), lambda results, printed: printed.count("\r"), compared)


def ryu(where: Where, place: Path) -> Suite:
    """ryu's switch tester; the filter chooses files, as DIRECTORY/NAME."""
    folder = where.suites / "ryu-switch-tests" / f"of{where.version}"
    names = chosen(sorted(str(path.relative_to(folder)) for path in folder.rglob("*.json")), where.filter)
    tests = place / "ryu-tests"
    for name in names:
        (tests / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / name, tests / name)
    runs = sorted((where.suites / "baseline").glob(f"ryu_of{where.version}*.tsv"), key=lambda path: len(path.name))
    plain = only(steady([verdicts(path.read_text()) for path in runs]), (folder / name for name in names))

    def compared(results: Path) -> Comparison:
        return compare_verdicts("ryu", plain, verdicts(read(results / "ryu.tsv")))

    def done(results: Path, printed: str) -> int:
        return len(re.findall(r" (?:OK|ERROR)$", read(results / "ryu.log"), re.MULTILINE))

    return Suite(
        ("bash", str(where.suites / "ryu_tester.sh"), where.version, str(tests)),
        {"CF_PY": sys.executable, "CF_NAME": "ryu"}, len(plain), done, compared)


def read(path: Path) -> str:
    """A file, as it is, that may not be there yet, or not at all."""
    return path.read_bytes().decode(errors="replace") if path.exists() else ""


# Running

@contextmanager
def running(name: str, suite: Suite, where: Where, place: Path, results: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The runner, with everything that it starts ended afterwards."""
    instance = f"{os.getpid()}-{name}"
    namespace = f"cfns{instance}"
    results.mkdir(parents=True, exist_ok=True)
    environment = {
        **os.environ, "PYTHONPATH": str(ROOT), "CF_INST": instance, "CF_NETNS": namespace, "CF_ROOT": str(place),
        "CF_OUT": str(results), "CF_DUT": str(DUT), "CF_SUITES": str(where.suites), **suite.environment,
    }
    subprocess.run(["ip", "netns", "add", namespace], check=True)
    try:
        with open(results / "runner.log", "wb") as log:
            # In a session of its own, so that Ctrl-C reaches this program, which then ends it in good order.
            process = subprocess.Popen(suite.command, cwd=place, env=environment, stdin=subprocess.DEVNULL, stdout=log,
                                       stderr=subprocess.STDOUT, start_new_session=True)
        try:
            yield process
        finally:
            process.terminate()
            process.wait()
    finally:
        empty(namespace)


def empty(namespace: str) -> None:
    """End every process in a network namespace that is ours, and remove it."""
    for kind in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + 5
        told: set[int] = set()
        while (inside := pids_in(namespace)) and time.monotonic() < deadline:
            for pid in inside - told:
                try:
                    os.kill(pid, kind)
                except ProcessLookupError:
                    pass
            told |= inside
            time.sleep(0.05)
    subprocess.run(["ip", "netns", "del", namespace], check=False)


def pids_in(namespace: str) -> set[int]:
    """The processes in a network namespace."""
    listed = subprocess.run(["ip", "netns", "pids", namespace], check=False, capture_output=True, text=True).stdout
    return {int(pid) for pid in listed.split()}


def run(name: str, suite: Suite, where: Where, place: Path, results: Path) -> Comparison:
    """Run a suite to its end, telling how far it is."""
    print(f"{name}: {suite.cases} cases; setting up the logical switch …", flush=True)
    began = told = time.monotonic()
    with running(name, suite, where, place, results) as process:
        while process.poll() is None:
            if (failure := read(results / FAILURE)):
                raise Failed(f"the logical switch could not be set up: {failure}")
            if time.monotonic() - told > TOLD_EVERY:
                told = time.monotonic()
                done = suite.done(results, read(results / "runner.log"))
                print(f"{name}: {done} of {suite.cases} cases after {told - began:.0f} s", flush=True)
            time.sleep(0.1)
    print(f"{name}: ended after {time.monotonic() - began:.0f} s", flush=True)
    return suite.compared(results)


def fault(where: Where) -> str | None:
    """Why nothing can be run."""
    if f"OpenFlow{where.version}" not in SUPPORTED_PROTOCOLS:
        return f"hvproxy does not speak OpenFlow{where.version} yet; it speaks {', '.join(SUPPORTED_PROTOCOLS)}."
    if lacking := where.lacks():
        return (f"The conformance suites are not in {where.suites} ({', '.join(lacking)} missing there). They are no "
                "part of this project: say where they are with --suites FOLDER.")
    if (why := missing()) is not None:
        return f"Not possible here: {why}."
    return None


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="tools/conformance", description=__doc__.splitlines()[0])
    parser.add_argument("suite", nargs="?", choices=(*NAMES, "all"), default="all", help="default: all")
    parser.add_argument("--filter", default="", metavar="REGEX",
                        help="run only cases (ofctl) or test files (ryu, as action/00_OUTPUT.json) that it is found in")
    parser.add_argument("--suites", type=Path, default=DEFAULT_SUITES, metavar="FOLDER",
                        help=f"where the suites are; default: {os.path.relpath(DEFAULT_SUITES, ROOT)}")
    parser.add_argument("--results", type=Path, metavar="FOLDER", help="keep what the suites and hvproxy wrote")
    parser.add_argument("--version", default="13", metavar="NN", help="of OpenFlow, as 10 or 13; default: 13")
    return parser.parse_args()


def main() -> int:
    arguments = parsed()
    where = Where(arguments.suites.resolve(), arguments.version, arguments.filter)
    if (why := fault(where)) is not None:
        print(why, file=sys.stderr)
        return 2
    comparisons = []
    # A shell that starts a program in the background has it ignore SIGINT.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        with tempfile.TemporaryDirectory(prefix="hvproxy-conformance-") as directory:
            for name in NAMES if arguments.suite == "all" else (arguments.suite,):
                place = Path(directory, name)
                place.mkdir()
                results = arguments.results.resolve() / name if arguments.results else place / "results"
                suite = ryu(where, place) if name == "ryu" else ofctl(where, name.partition("-")[2], place)
                if suite.cases:
                    comparisons.append(run(name, suite, where, place, results))
    except Failed as failure:
        print(failure, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    if not comparisons:
        print(f"No case is found by --filter {where.filter}.", file=sys.stderr)
        return 2
    for comparison in comparisons:
        print("", *comparison.lines(), sep="\n")
    return 1 if any(comparison.failed for comparison in comparisons) else 0


if __name__ == "__main__":
    sys.exit(main())
