"""How hard random tests try: HYPOTHESIS_PROFILE=deep for a long night, quick while at work, else enough for each push.

With CI=true nothing may be skipped: a skip, of a test or of a whole module, is a failure that says its reason.

With several processes (-n 2) a test that measures is marked `alone`: it waits until no other runs, and none begins.
"""
from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Generator
from pathlib import Path
from typing import IO, TypeVar

import pytest
from hypothesis import HealthCheck, settings

from tests.system.connection import answer_echoes

WAIT = 0.05
SLOW = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much)

settings.register_profile("fast", max_examples=60, deadline=None, suppress_health_check=SLOW)
settings.register_profile("quick", max_examples=8, deadline=None, suppress_health_check=SLOW)
settings.register_profile("deep", max_examples=5000, deadline=None, suppress_health_check=SLOW)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """First of all hooks, so that no test's time limit counts what it has waited here."""
    if not hasattr(item.config, "workerinput"):
        return (yield)
    assert item.config.cache is not None
    folder = Path(item.config.cache.mkdir("turns"))
    with open(folder / "gate", "w") as gate, open(folder / "room", "w") as room:
        # Who waits for the room stands in the gate: so nobody slips in again and again before one that wants it alone.
        _lock(gate, fcntl.LOCK_EX)
        _lock(room, fcntl.LOCK_EX if item.get_closest_marker("alone") else fcntl.LOCK_SH)
        fcntl.flock(gate, fcntl.LOCK_UN)
        return (yield)


def _lock(file: IO[str], how: int) -> None:
    """Wait for a lock, and answer meanwhile the switches that fixtures are connected to."""
    while True:
        try:
            fcntl.flock(file, how | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            answer_echoes()
            time.sleep(WAIT)


R = TypeVar("R", pytest.TestReport, pytest.CollectReport)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return nothing_skipped((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return nothing_skipped((yield))


def nothing_skipped(report: R) -> R:
    """An expected failure (xfail) is reported as a skip too, and stays what it is."""
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("CI") == "true":
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"CI=true skips nothing, and this was skipped: {reason}"
    return report
