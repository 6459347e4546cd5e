"""tools/scale, with a fabric small enough for a test: every tenant's hosts reach each other through a real hvproxy."""
from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def scale(directory: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "tools.scaling", *options], cwd=ROOT, text=True, capture_output=True,
                          timeout=280, env={**os.environ, "TMPDIR": str(directory)})


def cells(output: str) -> dict[str, str]:
    """The printed table: what -> value."""
    rows = (re.split("[│|]", line) for line in output.splitlines())
    return {row[1].strip(): row[2].strip() for row in rows if len(row) == 4}


def test_a_small_fabric_answers_every_ping_and_is_measured(tmp_path: Path) -> None:
    result = scale(tmp_path, "--switches", "6", "--tenants", "3", "--ports", "12")
    assert result.returncode == 0, result.stdout + result.stderr
    assert not list(tmp_path.iterdir()), "nothing is left behind"
    found = cells(result.stdout)
    assert found["pings"] == "21, 0 lost"
    assert found["rules on a leaf"] and found["groups on a spine"] and "MiB" in found["hvproxy's memory"]


def test_links_are_found_when_they_are_not_configured(tmp_path: Path) -> None:
    result = scale(tmp_path, "--switches", "4", "--tenants", "2", "--ports", "6", "--discovery")
    assert result.returncode == 0, result.stdout + result.stderr
    assert cells(result.stdout)["pings"] == "10, 0 lost"


def test_an_hvproxy_that_does_not_run_is_a_failure_that_is_told(tmp_path: Path) -> None:
    result = scale(tmp_path, "--switches", "4", "--tenants", "2", "--ports", "6", "--hvproxy", "false")
    assert result.returncode == 1
    assert "hvproxy ended with status 1" in result.stdout
    assert list(tmp_path.glob("hvproxy-scale-*/hvproxy.log")), "the logs stay"
