"""tools/conformance with suites that are not the real ones: what it asks of them, what it says, what it leaves."""
from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.system.network import wait_until
from tests.system.ovs import require
from tools.conformance_run import empty as clear, pids_in

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = "== desc identity\nOpen vSwitch\n== frags\nnormal\n== probe only=13\n0\n"
RUNNER = """\
printf 'desc identity\\rfrags\\rprobe only=13\\r'
echo "$1 $2 $CF_MODE $CF_NETNS" >"$CF_OUT/asked"
grep -h ^== "$(dirname "$0")/$CF_CASES" >"$CF_OUT/cases"
printf '== desc identity\\nhvproxy\\n== frags\\n%s\\n== probe only=13\\n0\\n' ANSWER >"$CF_OUT/$CF_NAME.of$2.txt"
"""
TESTER = """\
echo "$1" "$(cd "$2"; echo */*)" >"$CF_OUT/asked"
printf 'action: 00\\ta\\tERROR\\twrong\\n' >"$CF_OUT/$CF_NAME.tsv"
"""


def make_suites(folder: Path, answer: str = "normal", runner: str = RUNNER) -> Path:
    """A folder as tools/conformance expects it, with runners that answer at once."""
    for name in ("golden/listen", "golden/relay", "baseline", "ryu-switch-tests/of13/action",
                 "ryu-switch-tests/of13/group"):
        (folder / name).mkdir(parents=True)
    for name, text in (
            ("lib.sh", ""), ("golden.py", ""), ("ofctl_cases.txt", "== desc identity\n== frags\n== probe only=13\n"),
            ("ofctl_golden.sh", runner.replace("ANSWER", answer)), ("ryu_tester.sh", TESTER),
            ("golden/listen/of13.txt", GOLDEN), ("golden/relay/of13.txt", GOLDEN),
            ("baseline/ryu_of13.tsv", "action: 00\ta\tOK\t\ngroup: 00\tg\tOK\t\n"),
            ("baseline/ryu_of13.rep.tsv", "action: 00\ta\tOK\t\ngroup: 00\tg\tERROR\tslow\n"),
            ("ryu-switch-tests/of13/action/00.json", '["action: 00"]'),
            ("ryu-switch-tests/of13/group/00.json", '["group: 00"]')):
        (folder / name).write_text(text)
    return folder


def inside(command: list[str], directory: Path) -> tuple[list[str], dict[str, str]]:
    """(the command line of tools/conformance, its environment)."""
    return [sys.executable, "-m", "tools.conformance_run", *command], {**os.environ, "TMPDIR": str(directory)}


def conformance(directory: Path, *command: str) -> subprocess.CompletedProcess[str]:
    line, environment = inside(list(command), directory)
    return subprocess.run(line, cwd=ROOT, env=environment, text=True, capture_output=True, timeout=280)


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """Where temporary files go."""
    path = tmp_path / "temporary"
    path.mkdir()
    return path


def test_missing_suites_are_told_with_what_to_do(tmp_path: Path, empty: Path) -> None:
    result = conformance(empty, "--suites", str(tmp_path / "nowhere"))
    assert result.returncode == 2 and result.stdout == ""
    assert "nowhere (lib.sh, " in result.stderr and "--suites FOLDER" in result.stderr


def test_versions_that_hvproxy_does_not_speak_are_told(tmp_path: Path, empty: Path) -> None:
    result = conformance(empty, "ofctl-listen", "--version", "11", "--suites", str(make_suites(tmp_path / "suites")))
    assert result.returncode == 2 and "hvproxy does not speak OpenFlow11 yet" in result.stderr


def test_all_answers_as_recorded(tmp_path: Path, empty: Path) -> None:
    require()
    suites, results = make_suites(tmp_path / "suites"), tmp_path / "results"
    result = conformance(empty, "ofctl-relay", "--suites", str(suites), "--results", str(results))
    assert result.returncode == 0, result.stdout + result.stderr
    assert "ofctl-relay: 3 cases; plain Open vSwitch passes 3, the logical switch 2 of these" in result.stdout
    assert "who the switch says it is: 1\n    desc" in result.stdout
    asked = (results / "ofctl-relay" / "asked").read_text().split()
    assert asked[:3] == ["check", "13", "relay"]
    assert (results / "ofctl-relay" / "cases").read_text() == "== desc identity\n== frags\n== probe only=13\n"
    assert not list(empty.iterdir()) and asked[3] not in os.listdir("/run/netns")


def test_another_answer_is_a_failure(tmp_path: Path, empty: Path) -> None:
    require()
    suites, results = make_suites(tmp_path / "suites", answer="drop"), tmp_path / "results"
    result = conformance(empty, "ofctl-listen", "--suites", str(suites), "--results", str(results), "--filter", "fr")
    assert result.returncode == 1
    assert "1 cases; plain Open vSwitch passes 1, the logical switch 0" in result.stdout
    assert "frags\n      plain Open vSwitch: normal\n      logical switch:     drop" in result.stdout
    assert (results / "ofctl-listen" / "cases").read_text() == "== frags\n"


def test_ryus_files_are_chosen_and_only_steady_verdicts_expected(tmp_path: Path, empty: Path) -> None:
    require()
    suites, results = make_suites(tmp_path / "suites"), tmp_path / "results"
    result = conformance(empty, "ryu", "--suites", str(suites), "--results", str(results))
    assert result.returncode == 1 and "action: 00: a\n      logical switch: wrong" in result.stdout
    assert (results / "ryu" / "asked").read_text() == "13 action/00.json group/00.json\n"
    result = conformance(empty, "ryu", "--suites", str(suites), "--results", str(results), "--filter", "^group/")
    assert result.returncode == 0 and "1 cases; plain Open vSwitch passes 0" in result.stdout
    assert (results / "ryu" / "asked").read_text() == "13 group/00.json\n"


def test_a_filter_that_finds_nothing_is_bad_usage(tmp_path: Path, empty: Path) -> None:
    require()
    result = conformance(empty, "--suites", str(make_suites(tmp_path / "suites")), "--filter", "no such case")
    assert result.returncode == 2 and "No case is found" in result.stderr


def test_a_logical_switch_that_does_not_come_up_ends_the_run(tmp_path: Path, empty: Path) -> None:
    require()
    runner = 'echo no edge >"$CF_OUT/dut-failed"; ip netns exec "$CF_NETNS" sleep 1000'
    result = conformance(empty, "ofctl-listen", "--suites", str(make_suites(tmp_path / "suites", runner=runner)))
    assert result.returncode == 1 and "the logical switch could not be set up: no edge" in result.stderr
    assert not list(empty.iterdir())


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_leaves_nothing(tmp_path: Path, empty: Path, number: signal.Signals, status: int) -> None:
    require()
    runner = ('ip netns exec "$CF_NETNS" setsid sleep 1000 &\n'
              'until [ "$(ip netns pids "$CF_NETNS")" ]; do :; done; touch "$CF_OUT/begun"; wait\n')
    suites, results = make_suites(tmp_path / "suites", runner=runner), tmp_path / "results"
    line, environment = inside(["ofctl-listen", "--suites", str(suites), "--results", str(results)], empty)
    # As a shell without job control starts what runs in the background.
    process = subprocess.Popen(line, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL,
                               preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
    namespace = f"cfns{process.pid}-ofctl-listen"
    try:
        wait_until((results / "ofctl-listen" / "begun").exists, "the runner has begun")
        sleeping = pids_in(namespace)
        process.send_signal(number)
        assert process.wait(280) == status
        assert sleeping and not any(Path("/proc", str(pid), "exe").exists() for pid in sleeping)
        assert not Path("/run/netns", namespace).exists() and not list(empty.iterdir())
    finally:
        process.kill()
        process.wait()
        if Path("/run/netns", namespace).exists():
            clear(namespace)
