"""Whether the machine gave processes their turn while something was measured.

A switch that gets no processor forwards as before for as long: what is lost by that says nothing about hvproxy. So a
witness wants to run every millisecond meanwhile, and tells for how long it could not. A measure that is bad with an
undisturbed witness is bad.
"""
from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from types import TracebackType

TRIES = 5
STARVED = 0.01
"""Seconds; of more than that a switch that was seen to lose 50 ms of frames may have lost several."""
_PROGRAM = """
import select, sys, time
longest, before = 0.0, time.monotonic()
print(flush=True)
while not select.select([sys.stdin], [], [], 0.001)[0]:
    now = time.monotonic()
    longest, before = max(longest, now - before), now
print(longest)
"""


class Witness:
    """Context manager: `longest`, in seconds, is known behind it."""

    def __init__(self) -> None:
        self.longest = 0.0

    def __enter__(self) -> Witness:
        self._process = subprocess.Popen([sys.executable, "-c", _PROGRAM], stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self._process.stdout.readline()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        said, _ = self._process.communicate()
        self.longest = float(said)


def holds(good: Callable[[], bool | None], or_busy: bool = False) -> bool:
    """Whether a measure is good; one that is not while a witness was starved tells nothing and is made again, as is one
    that has a witness of its own and says nothing (None). One that needs more of a machine than others do may find no
    time when it can be made (`or_busy`)."""
    for _ in range(TRIES):
        with Witness() as witness:
            found = good()
        if found:
            return True
        print(f"not good; a witness was without a turn for {witness.longest:.3f} s")
        if found is not None and witness.longest < STARVED:
            return False
    if or_busy:
        return True
    raise AssertionError("the machine is too busy to measure this")
