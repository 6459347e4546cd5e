"""Programs that a measurement runs: started in a directory of their own, watched through /proc, ended with it."""
from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console

ROOT = Path(__file__).resolve().parents[1]
HVPROXY = Path(sys.executable).parent / "hvproxy"
_TICK = os.sysconf("SC_CLK_TCK")


class Failed(Exception):
    """The measurement could not be made, or showed something that must not be."""


def measured(name: str, measure: Callable[[Programs], Coroutine[Any, Any, bool | None]], console: Console) -> int:
    """The exit status of a measurement: 1 where it says False or is Failed, 130 where the user has ended it."""
    try:
        with Programs(name) as programs:
            return 1 if asyncio.run(measure(programs)) is False else 0
    except Failed as failure:
        console.print(f"Failed: {failure}")
        return 1
    except KeyboardInterrupt:
        return 130


class Programs:
    """Context manager: the programs started inside end with it. Their logs stay when the block fails."""

    def __init__(self, name: str) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix=f"hvproxy-{name}-"))
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Programs:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.stop()
        if kind is None:
            shutil.rmtree(self.directory)
        else:
            print(f"The logs are in {self.directory}.", file=sys.stderr)

    def spawn(self, name: str, *command: str) -> subprocess.Popen[bytes]:
        """Start a program; its standard error goes to NAME.log, its standard output can be read."""
        with open(self.directory / f"{name}.log", "wb") as log:
            program = self._running[name] = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, cwd=ROOT)
        return program

    def check(self) -> None:
        """Raise Failed when one of them has ended."""
        for name, program in self._running.items():
            if program.poll() is not None:
                raise Failed(f"{name} ended with status {program.returncode}")

    async def wait_until(self, true: Callable[[], object], what: str, seconds: float) -> None:
        """Wait for a condition while the programs run."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while not true():
            self.check()
            if loop.time() > deadline:
                raise Failed(f"{what}: not after {seconds:g} s")
            await asyncio.sleep(0.01)

    def stop(self) -> None:
        """End all of them."""
        for program in self._running.values():
            if program.poll() is None:
                program.send_signal(signal.SIGTERM)
        for program in self._running.values():
            try:
                program.wait(10)
            except subprocess.TimeoutExpired:
                program.kill()
                program.wait()
            if program.stdout is not None:
                program.stdout.close()
        self._running.clear()


def cpu_seconds(pid: int) -> float:
    """CPU time a process has used: in nanoseconds where the kernel tells, else in clock ticks (10 ms)."""
    try:
        spent = [int(path.read_text().split()[0]) for path in Path(f"/proc/{pid}/task").glob("*/schedstat")]
    except OSError:
        spent = []
    if any(spent):
        return sum(spent) / 1e9
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def memory_mib(pid: int) -> tuple[float, float]:
    """(resident memory of a process now, at most so far), in MiB."""
    lines = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line)
    return int(lines["VmRSS"].split()[0]) / 1024, int(lines["VmHWM"].split()[0]) / 1024
