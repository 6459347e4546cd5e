"""tools/restart, with few entries: hvproxy is killed and started again, and no switch is changed."""
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.tools.test_scale import ROOT, cells


def test_a_killed_hvproxy_adopts_what_the_switches_hold(tmp_path: Path) -> None:
    result = subprocess.run([sys.executable, "-m", "tools.restarting", "--entries", "300", "--switches", "3"], cwd=ROOT,
                            text=True, capture_output=True, timeout=280, env={**os.environ, "TMPDIR": str(tmp_path)})
    assert result.returncode == 0, result.stdout + result.stderr
    found = cells(result.stdout)
    assert (found["entries told"], found["messages that changed a switch"]) == ("300", "0")
    assert not list(tmp_path.iterdir()), "nothing is left behind"
