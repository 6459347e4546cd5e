"""What hvproxy has said: kept for the report of a test that fails, also when it and its files are gone by then.

PrivateOvs notes each log that hvproxy writes; conftest.py puts the ends of these logs into the report.
"""
from __future__ import annotations

from pathlib import Path
from typing import Final

LINES: Final = 100
"""So many of each log, the last ones."""
_there: dict[Path, None] = {}
_gone: dict[Path, str] = {}


def noted(log: Path) -> None:
    """An hvproxy writes there from now on."""
    _there[log] = None


def forgotten(directory: Path) -> None:
    """The logs of a directory go: what stands in them now is kept until the next test."""
    for log in [log for log in _there if log.parent == directory]:
        del _there[log]
        _gone[log] = _end(log)


def cleared() -> None:
    """What went before is not of this test."""
    _gone.clear()


def ends() -> list[tuple[str, str]]:
    """(name, last lines) of every log that is there, or has gone since the test began."""
    return [(str(log), text) for log, text in (*_gone.items(), *((log, _end(log)) for log in _there))]


def _end(log: Path) -> str:
    if not log.exists():
        return ""
    return "\n".join(log.read_text(errors="replace").splitlines()[-LINES:])
