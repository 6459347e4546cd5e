"""What system tests build on a private Open vSwitch, with hvproxy over it: up inside the block, gone behind it."""
from __future__ import annotations

import json
import re
from collections.abc import Iterable
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Final, Self

from tests.system.ovs import PrivateOvs

API_PORT: Final = 8080
CHANGES: Final = ("flow_mod", "group_mod", "meter_mod", "port_mod")
"""Messages that change a switch."""


class OnOvs:
    """Context manager: what `_build` makes is there inside."""

    host: str | None = None
    """Where hvproxy runs: beside the switches, or on a host."""

    def __init__(self) -> None:
        self.ovs = PrivateOvs()
        """Where hvproxy is."""

    def __enter__(self) -> Self:
        with ExitStack() as started:
            for each in self._every_ovs():
                started.enter_context(each)
            self._build()
            self._started = started.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._started.close()

    def _every_ovs(self) -> Iterable[PrivateOvs]:
        return [self.ovs]

    def _build(self) -> None:
        raise NotImplementedError

    # What hvproxy says

    def get(self, path: str, method: str = "GET") -> Any:
        """What the API answers."""
        return json.loads(self.text(path, method))

    def text(self, path: str, method: str = "GET") -> str:
        """The same, as it stands."""
        return self.ovs.fetch(f"http://127.0.0.1:{API_PORT}{path}", self.host, method)

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the samples of a metric that carry these labels."""
        return metric(self.text("/metrics"), name, **labels)

    def changes_sent(self) -> float:
        """Messages that changed a switch since hvproxy was started."""
        return changes_sent(self.text("/metrics"))


def metric(text: str, name: str, **labels: str) -> float:
    """The sum of the samples of a metric that carry these labels."""
    wanted = [f'{key}="{value}"' for key, value in labels.items()]
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines()
               if re.split("[{ ]", line, maxsplit=1)[0] == name and all(label in line for label in wanted))


def changes_sent(text: str) -> float:
    """Of metrics: messages that changed a switch since hvproxy was started. Something at all was sent by then."""
    assert metric(text, "hvproxy_messages_total", direction="to_switch")
    return sum(metric(text, "hvproxy_messages_total", direction="to_switch", type=kind) for kind in CHANGES)
