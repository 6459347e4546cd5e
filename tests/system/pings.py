"""A host pings another a hundred times a second, and which of the pings were not answered is told in the end."""
from __future__ import annotations

import itertools
import re
import signal

from tests.system.network import PATTERN, HostSpec, wait_until
from tests.system.ovs import PrivateOvs

INTERVAL = 0.01
SERIAL = itertools.count(1)


class Pings:
    """Pings as long as the block lasts; then which were not answered."""

    def __init__(self, ovs: PrivateOvs, a: HostSpec, b: HostSpec) -> None:
        log = f"pings{next(SERIAL)}.log"
        self.path = ovs.directory / log
        self.process = ovs.spawn("ping", "-n", "-i", str(INTERVAL), "-p", PATTERN[a.tenant], b.address, host=a.name,
                                 log=log)
        self.lost: list[int] = []
        self.answered: list[int] = []

    def __enter__(self) -> Pings:
        wait_until(lambda: self.count > 20, "nothing is answered")
        return self

    @property
    def count(self) -> int:
        return self.path.read_text().count("bytes from")

    def go_on(self) -> None:
        """Until some more are answered."""
        before = self.count
        wait_until(lambda: self.count > before + 20, "nothing is answered any more")

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if kind is None:
            self.go_on()
        self.process.send_signal(signal.SIGINT)
        self.process.wait()
        self.answered = sorted(int(each) for each in re.findall(r"bytes from .*icmp_seq=(\d+)", self.path.read_text()))
        self.lost = sorted(set(range(1, max(self.answered, default=0) + 1)) - set(self.answered))
