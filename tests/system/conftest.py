"""The report of a test that fails shows what hvproxy has said: of the test's own, and of its module's."""
from __future__ import annotations

from collections.abc import Generator

import pytest

from tests.system import said


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    said.cleared()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        report.sections += [(f"End of {name}", text) for name, text in said.ends()]
    return report
