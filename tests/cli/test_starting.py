from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.answering import run

EXAMPLE = str(Path(__file__).parents[2] / "conf" / "example.yaml")


def test_check_sums_up_a_good_configuration() -> None:
    result = run("check", EXAMPLE)
    assert result.exit_code == 0
    assert result.stdout == (
        f"{EXAMPLE}: good: 2 tenants, 2 logical switches, 7 logical ports, 4 configured links, "
        f"stored in {Path(EXAMPLE).parent}/hvproxy.db\n")
    assert result.stderr == ""


def test_check_counts_one_as_one(tmp_path: Path) -> None:
    path = tmp_path / "one.yaml"
    path.write_text("""
fabric: {links: ["0x1:5 - 0x2:5"]}
tenants: [{name: a, logical_switches: [{name: a, datapath_id: 1, ports: [{number: 1, name: a}]}]}]
""")
    assert run("check", str(path)).stdout == (
        f"{path}: good: 1 tenant, 1 logical switch, 1 logical port, 1 configured link, "
        f"stored in {tmp_path}/hvproxy.db\n")
    path.write_text("store: 'memory:'")
    assert run("check", str(path)).stdout == (
        f"{path}: good: 0 tenants, 0 logical switches, 0 logical ports, 0 configured links, nothing is stored\n")


@pytest.mark.parametrize("command", ["check", "serve"])
def test_every_mistake_goes_to_stderr_and_the_exit_status_is_2(command: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("store: ram\ntenants:\n  - name: a\n    logical_switches: [{name: 5}]\nworkers: 2\n")
    result = run(command, str(path))
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr == (
        f"{path}: store: 'ram' is not a store; write memory: or sqlite:PATH\n"
        f"{path}: tenants[0].logical_switches[0].name: expected str, got int; put it in quotes\n"
        f"{path}: tenants[0].logical_switches[0].datapath_id: is missing\n"
        f"{path}: workers: not supported yet\n")


def test_a_file_that_is_not_there_is_bad_configuration() -> None:
    result = run("check", "/nonexistent.yaml")
    assert (result.exit_code, result.stderr) == (2, "/nonexistent.yaml: cannot be read: No such file or directory\n")


@pytest.mark.parametrize("arguments", [
    [], ["check"], ["check", EXAMPLE, "more"], ["fly"], ["serve"], ["serve", EXAMPLE, "--log-format", "xml"],
    ["serve", EXAMPLE, "--log-level", "loud"], ["show", "ports"], ["show", "rules", "one"],
])
def test_bad_usage_has_exit_status_2(arguments: list[str]) -> None:
    assert run(*arguments).exit_code == 2


def test_help_names_every_command() -> None:
    assert {"check", "serve", "show"} <= set(run("--help").stdout.split())
    shown = run("show", "-h")
    assert shown.exit_code == 0
    assert {"switches", "links", "logical-switches", "ports", "flows", "groups", "meters", "rules"} <= set(
        shown.stdout.split())


def test_version_is_told() -> None:
    assert run("--version").stdout == "hvproxy, version 0.1.0\n"
