from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cli.answering import answering


@pytest.fixture(scope="module")
def api() -> Iterator[str]:
    with answering() as url:
        yield url
