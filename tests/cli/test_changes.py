from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.answering import CHANGES, DELETED, DRAINS, POSTED, drained, rows, run


def a_file(tmp_path: Path, text: str) -> str:
    path = tmp_path / "file.yaml"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize("options, done", [
    ((), "3 changes, carried out"), (("--plan",), "3 changes, none carried out")])
def test_apply_tells_what_changes(api: str, tmp_path: Path, options: tuple[str, ...], done: str) -> None:
    POSTED.clear()
    result = run("apply", *options, a_file(tmp_path, "store: 'memory:'"), "--api", api)
    assert (result.exit_code, result.stdout.splitlines()) == (0, [
        "+ tenant blue: create",
        "! logical switch red: rebuild (made anew: its entries are lost)",
        "    tables: 8 -> 9",
        "- logical switch old: delete",
        "? api.listen: is taken over at the next start only",
        done])
    assert POSTED == [("/v1/configuration" + ("/plan" if options else ""), {"store": "memory:"})]


def test_a_file_that_changes_nothing_is_said_to(api: str, tmp_path: Path) -> None:
    assert run("apply", "--plan", a_file(tmp_path, "tenants: []"), "--api", api).stdout == "nothing to change\n"


def test_apply_of_what_cannot_be_names_the_place_in_the_file(api: str, tmp_path: Path) -> None:
    path = a_file(tmp_path, "")
    result = run("apply", path, "--api", api)
    assert (result.exit_code, result.stderr) == (2, f"{path}: tenants[0].name: is in use\n")


def test_a_bad_file_is_not_sent(api: str, tmp_path: Path) -> None:
    POSTED.clear()
    path = a_file(tmp_path, "tenants: 5")
    result = run("apply", path, "--api", api)
    assert (result.exit_code, result.stderr) == (2, f"{path}: tenants: expected a list, got 5\n") and not POSTED


def test_changes_as_json_are_what_the_api_answers(api: str, tmp_path: Path) -> None:
    assert json.loads(run("apply", "--json", a_file(tmp_path, "store: 'memory:'"), "--api", api).stdout) == CHANGES


def test_an_audit_tells_what_differed_and_whose_it_is(api: str) -> None:
    result = run("audit", "0x1", "--api", api)
    assert result.exit_code == 1
    assert rows(result.stdout)[0] == ["kind", "logical switch", "why", "what"]
    assert rows(result.stdout)[1:3] == [["missing", "red", "entry 4 of red", "table=10,priority=5"],
                                        ["foreign", "-", "another hand", "group 77:"]]
    assert result.stdout.splitlines()[-1] == "1 put right, 1 not hvproxy's"


def test_an_audit_of_a_good_switch_says_so(api: str) -> None:
    result = run("audit", "0x2", "--api", api)
    assert (result.exit_code, result.stdout) == (0, "it holds what it should\n0 put right, 0 not hvproxy's\n")
    assert json.loads(run("audit", "0x2", "--json", "--api", api).stdout)["drift"] == []


def test_an_audit_that_cannot_be_has_its_reason(api: str) -> None:
    result = run("audit", "0x3", "--api", api)
    assert result.exit_code == 2 and "it is lost" in result.stderr
    assert run("audit", "nonsense", "--api", api).exit_code == 2


def test_a_drain_tells_how_far_it_is_until_nothing_is_left(api: str) -> None:
    path = "/v1/datapaths/0000000000000001/drain"
    DRAINS[path] = [drained("draining", "port 1 moves"), drained("draining", "port 1 moves", "port 2 moves"),
                    drained("drained", "it carries nothing")]
    result = run("drain", "0x1", "--api", api)
    assert (result.exit_code, result.stdout) == (0, "port 1 moves\nport 2 moves\nit carries nothing\n")
    assert POSTED[-1] == (path, {"logical_switch": None, "force": False})


def test_a_drain_that_something_stops_says_so(api: str) -> None:
    path = "/v1/datapaths/0000000000000002/drain"
    DRAINS[path] = [drained("stuck", "port 1 stays", logical_switch="red")]
    result = run("drain", "0x2", "--switch", "red", "--force", "--api", api)
    assert (result.exit_code, result.stdout) == (1, "port 1 stays\n")
    assert POSTED[-1] == (path, {"logical_switch": "red", "force": True})
    DRAINS[path] = [drained("drained", "nothing")]
    assert json.loads(run("drain", "0x2", "--json", "--api", api).stdout) == drained("drained", "nothing")
    DRAINS[path] = [drained("draining"), drained("draining", logical_switch="blue")]
    result = run("drain", "0x2", "--api", api)
    assert (result.exit_code, result.stderr) == (1, "hvproxy: the drain was undone meanwhile\n")
    assert run("drain", "0x9", "--api", api).exit_code == 2
    DRAINS[path] = [{}]
    assert "something else than a drain" in run("drain", "0x2", "--api", api).stderr


def test_a_drain_is_undone(api: str) -> None:
    result = run("drain", "0x1", "--undo", "--api", api)
    assert (result.exit_code, result.stdout) == (0, "datapath 0000000000000001 is used again\n")
    assert DELETED[-1] == "/v1/datapaths/0000000000000001/drain"
    run("drain", "0x1", "--undo", "--switch", "a/b", "--api", api)
    assert DELETED[-1] == "/v1/datapaths/0000000000000001/drain/a%2Fb"
    assert run("drain", "0x1", "--undo", "--force", "--api", api).exit_code == 2
