"""What tools/bench runs, in small: what it measures it says, and nothing is lost."""
from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_each_ratio_is_told_and_no_packet_in_is_lost() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tools.benchmark", "--rounds", "1", "--packet-ins", "100", "--flow-mods", "50",
         "--round-trips", "10"], cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    for what in ("CPU per packet-in", "CPU per flow-mod", "packet-in to flow-mod, p50"):
        assert what in done.stdout
    assert "packet-ins lost: 0 by the relay, 0 by hvproxy" in done.stdout
