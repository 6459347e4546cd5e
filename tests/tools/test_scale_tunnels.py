"""tools/scale-tunnels, small enough for a test: a real hvproxy makes the tunnels, and frames go where they should."""
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.tools.test_scale import ROOT, cells


def test_six_edges_are_joined_by_tunnels_and_lose_and_find_one(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "tools.scaling_tunnels", "--edges", "6", "--logical-switches", "10", "--ports", "40",
         "--pings", "20"], cwd=ROOT, text=True, capture_output=True, timeout=280,
        env={**os.environ, "TMPDIR": str(tmp_path)})
    assert result.returncode == 0, result.stdout + result.stderr
    assert not list(tmp_path.iterdir()), "nothing is left behind"
    found = cells(result.stdout)
    assert found["tunnels"] == "15" and found["tunnel ports of an edge"] == "5 / 5 / 5"
    assert found["pings between pairs by chance"] == "20, 0 lost"
    assert found["copies of marked frames delivered"] == "50, 0 too many"
    assert int(found["an endpoint is lost: messages that change switches"]) > int(
        found["a tunnel is lost: messages that change switches"]) > 0
