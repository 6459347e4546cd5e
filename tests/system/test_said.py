"""The report of a test that fails ends with what hvproxy has said, whether that is still there or not."""
from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system import said
from tests.system.network import ROOT

A_MODULE = """
from pathlib import Path
import pytest
from tests.system import said

@pytest.fixture(scope="module")
def serving():
    log = Path(__file__).with_name("hvproxy.log")
    log.write_text("".join(f"line {number}\\n" for number in range(1, 201)))
    said.noted(log)
    yield
    said.forgotten(log.parent)
    log.unlink()

def test_passes(serving):
    pass

def test_fails(serving):
    assert False

def test_fails_when_its_own_is_gone():
    log = Path(__file__).parent / "own" / "hvproxy.log"
    log.parent.mkdir()
    log.write_text("its own")
    said.noted(log)
    said.forgotten(log.parent)
    assert False

def test_fails_beside_it():
    assert False
"""


@pytest.fixture(autouse=True)
def nothing_else(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(said, "_there", {})
    monkeypatch.setattr(said, "_gone", {})
    yield


def test_what_has_gone_is_kept_until_the_next_test(tmp_path: Path) -> None:
    here, there = tmp_path / "here.log", tmp_path / "a" / "there.log"
    there.parent.mkdir()
    for log in (here, there):
        log.write_text("begun\n")
        said.noted(log)
    there.write_text("".join(f"{number}\n" for number in range(2 * said.LINES)))
    said.forgotten(there.parent)
    there.unlink()
    text = "\n".join(map(str, range(said.LINES, 2 * said.LINES)))
    assert said.ends() == [(str(there), text), (str(here), "begun")]
    said.cleared()
    assert said.ends() == [(str(here), "begun")]
    here.unlink()
    assert said.ends() == [(str(here), "")]


def test_a_report_of_a_failure_has_the_last_lines(tmp_path: Path) -> None:
    module = tmp_path / "test_it.py"
    module.write_text(A_MODULE)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.system.conftest", "-p", "no:cacheprovider", "-c", "/dev/null",
         f"--rootdir={tmp_path}", str(module)], cwd=ROOT, capture_output=True, text=True, timeout=280,
        check=False)
    assert "3 failed, 1 passed" in done.stdout, done.stdout + done.stderr
    parts = done.stdout.split("End of ")[1:]
    assert [(part.startswith(f"{tmp_path}/own/"), "line 101\n" in part, "line 200\n" in part, "line 100\n" in part)
            for part in parts] == [(False, True, True, False), (True, False, False, False), (False, True, True, False),
                                   (False, True, True, False)]
