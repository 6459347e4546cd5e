"""hvproxy, whose store's writes take as long as somebody wants: `python -m tests.crash.held_writes FILE serve CONFIG`.

While FILE is there, whatever SQLite is to write to the disk waits.
"""
from __future__ import annotations

import sys
import time
from pathlib import Path

from hvproxy.cli import main
from tests.crash.failing_writes import install


class Held:
    """A write fails never, and waits for its turn."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def fails(self) -> None:
        while self._file.exists():
            time.sleep(0.005)


if __name__ == "__main__":
    replaced = install(Held(Path(sys.argv.pop(1))))
    sys.argv[0] = "hvproxy"
    main()
