"""tools/programs.py: what a measurement returns to the shell, and what becomes of its directory."""
import io
import tempfile
from pathlib import Path

import pytest
from rich.console import Console

from tools.programs import Failed, Programs, measured

HOW_IT_ENDS = [
    (None, 0, ""),
    (True, 0, ""),
    (False, 1, ""),
    (Failed("too slow"), 1, "Failed: too slow\n"),
    (KeyboardInterrupt(), 130, ""),
]


@pytest.fixture
def directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where measurements put their directories."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(("end", "status", "told"), HOW_IT_ENDS)
def test_the_exit_status_tells_how_a_measurement_ended(
        directories: Path, end: bool | BaseException | None, status: int, told: str) -> None:
    async def measure(programs: Programs) -> bool | None:
        assert list(directories.iterdir()) == [programs.directory]
        programs.spawn("sleeper", "sleep", "60")
        if isinstance(end, BaseException):
            raise end
        return end
    said = io.StringIO()
    assert measured("test", measure, Console(file=said)) == status
    assert said.getvalue() == told
    assert [file.name for file in directories.glob("*/*")] == ["sleeper.log"] * isinstance(end, BaseException)


def test_what_else_a_measurement_raises_is_raised(directories: Path) -> None:
    async def measure(programs: Programs) -> None:
        raise ValueError("a bug")
    with pytest.raises(ValueError, match="a bug"):
        measured("test", measure, Console(file=io.StringIO()))
