from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.answering import POSTED, SNAPSHOT, TRACE, run


def test_a_snapshot_is_written_whole_and_goes_back(api: str, tmp_path: Path) -> None:
    file = tmp_path / "red.snapshot"
    result = run("snapshot", "red", str(file), "--api", api)
    assert result.exit_code == 0 and file.read_bytes() == SNAPSHOT and not list(tmp_path.glob("*.part"))
    result = run("rollback", "red", str(file), "--api", api)
    assert (result.exit_code, result.stdout) == (
        0, "2 entries, 1 groups, 0 meters, 0 ports put right; the rest was so already\n")


def test_a_rollback_that_cannot_be_says_why(api: str, tmp_path: Path) -> None:
    file = tmp_path / "bad"
    file.write_bytes(b"bad")
    result = run("rollback", "red", str(file), "--api", api)
    assert result.exit_code == 2 and "this is no snapshot" in result.stderr
    result = run("rollback", "red", str(tmp_path / "none"), "--api", api)
    assert result.exit_code == 2 and "cannot be read" in result.stderr
    result = run("snapshot", "red", str(tmp_path / "none" / "x"), "--api", api)
    assert result.exit_code == 2 and "cannot be written" in result.stderr


def test_a_clone_is_told_with_what_to_do_next(api: str) -> None:
    POSTED.clear()
    result = run("clone", "red", "copy", "--tenant", "acme", "--api", api)
    assert result.exit_code == 0 and result.stdout.startswith("copy: datapath id 00000000000000a4, 2 entries;")
    assert POSTED == [("/v1/logical-switches/red/clone", {"name": "copy", "tenant": "acme"})]


def test_a_trace_is_told_step_by_step(api: str) -> None:
    result = run("trace", "red", "web1", "arp,dl_vlan=5", "--api", api)
    assert POSTED[-1] == ("/v1/logical-switches/red/trace", {"port": "web1", "frame": "arp,dl_vlan=5"})
    assert result.stdout == """\
arp,dl_vlan=5 at port 1 (web1) of red
note: it rains

logical switch red
  table 0: no entry matches
  => nowhere

datapath 0000000000000001, in at port 4 (s1-4), under label 7, frames for red/2
  table 0: no entry matches
    out of port 2
  => delivered to red/2 out of port 2 (s1-2)

fabric
  => out of port 2 (web2): dl_vlan=5 removed
     cafe
  => out of port 3 (web3): unchanged
     00
  => packet-in: table 3, cookie 0x5
     beef

THE FABRIC DOES NOT DO WHAT THE LOGICAL SWITCH DOES
  the fabric delivers too much
"""


@pytest.mark.parametrize(("name", "status"), [("red", 1), ("good", 0), ("unbound", 0)])
def test_the_exit_status_of_a_trace_says_whether_both_agree(api: str, name: str, status: int) -> None:
    for more in ((), ("--json",)):
        assert run("trace", name, "1", "arp", "--api", api, *more).exit_code == status


def test_what_agrees_is_said_to_and_what_cannot_be_compared_is_not(api: str) -> None:
    assert run("trace", "good", "1", "arp", "--api", api).stdout.endswith(
        "\nthe fabric does what the logical switch does\n")
    assert "fabric" not in run("trace", "unbound", "1", "arp", "--api", api).stdout


def test_a_trace_as_json_is_what_the_api_answers(api: str) -> None:
    assert json.loads(run("trace", "red", "1", "arp", "--json", "--api", api).stdout) == TRACE


@pytest.mark.parametrize(("name", "status", "what"), [
    ("wrong", 2, "frame: 'tpc' is no field (HTTP status 400)"),
    ("pink", 2, "there is no logical switch (HTTP status 404"),
    ("broken", 1, "a fault (HTTP status 500)"), ("odd", 1, "answered something else than a trace"),
])
def test_a_trace_that_is_refused_says_why(api: str, name: str, status: int, what: str) -> None:
    result = run("trace", name, "1", "tpc", "--api", api)
    assert (result.exit_code, result.stdout) == (status, "") and what in result.stderr
