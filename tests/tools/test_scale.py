"""tools/scale, with a fabric small enough for a test: every tenant's hosts reach each other through a real hvproxy."""
from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def scale(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "tools.scaling", *options], cwd=ROOT, text=True, capture_output=True,
                          timeout=120)


def cells(output: str) -> dict[str, str]:
    """The printed table: what -> value."""
    rows = (re.split("[│|]", line) for line in output.splitlines())
    return {row[1].strip(): row[2].strip() for row in rows if len(row) == 4}


def test_a_small_fabric_answers_every_ping_and_is_measured() -> None:
    result = scale("--switches", "6", "--tenants", "3", "--ports", "12")
    assert result.returncode == 0, result.stdout + result.stderr
    found = cells(result.stdout)
    assert found["pings"] == "21, 0 lost"
    assert found["rules on a leaf"] and found["groups on a spine"] and "MiB" in found["hvproxy's memory"]


def test_links_are_found_when_they_are_not_configured() -> None:
    result = scale("--switches", "4", "--tenants", "2", "--ports", "6", "--discovery")
    assert result.returncode == 0, result.stdout + result.stderr
    assert cells(result.stdout)["pings"] == "10, 0 lost"


def test_an_hvproxy_that_does_not_run_is_a_failure_that_is_told() -> None:
    result = scale("--switches", "4", "--tenants", "2", "--ports", "6", "--hvproxy", "false")
    assert result.returncode == 1
    assert "hvproxy ended with status 1" in result.stdout
