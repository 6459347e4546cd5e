"""A logical switch beside a plain bridge, which is given what must be there: the reference."""
from __future__ import annotations

import random
import socket
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from tests.crash.line import Line
from tests.crash.operations import EXPIRING_TABLE, Operation, Operations, lane_messages
from tests.crash.state import FLOW, Held, addresses, counters
from tests.oracle.readable import described
from tests.system.private_ovs import Session
from tests.tools.controller import flow_request

PACE = 0.003
"""Seconds between operations."""
PATIENCE = 120.0
BARRIERS = 0.3


class Tenant:
    """Sends random operations; after a restart it says whether what is there is what it may be."""

    def __init__(self, name: str, seed: int, connect: Callable[[], socket.socket], reference: Path) -> None:
        self.name = name
        self.removed: Counter[int] = Counter()
        """Cookie -> how often the end of its entry was told."""
        self.barriers = BARRIERS
        """Of the operations, behind how many a barrier is sent."""
        self.done = self.promised = self.kept = self.checked = self.refused = 0
        """Operations sent, promised and found after a kill; entries, groups, meters and ports compared; barriers that
        were refused."""
        self._connect = connect
        self._operations = Operations(f"{name} {seed}")
        self._dice = random.Random(f"{name} {seed}")
        self._reference = reference
        with closing(Session(reference)) as session:
            self._to_reference = Line(_local(reference), addresses(session))
        self._line: Line | None = None
        self._own: dict[int, bytes] = {}
        self._worker: threading.Thread | None = None
        self._stopped = threading.Event()
        self._open: list[Operation] = []
        """What was sent in the session that is over."""
        self._promised = 0
        """How many of them a barrier has confirmed."""
        self._errors: dict[int, bytes] = {}
        """How they were refused."""
        self._wrong: list[bytes] = []
        """What barriers were answered with that is neither a promise nor its refusal."""
        self._given: list[int] = []
        """The number of each of them at the reference."""

    def prepare(self) -> None:
        """Make the lanes, on both."""
        with closing(self.session()) as session, closing(Session(self._reference)) as reference:
            self._own = addresses(session)
            for kind, body in lane_messages():
                for each in (session, reference):
                    answers = each.request(kind, body)
                    assert not answers, answers

    def session(self) -> Session:
        """One more session with the logical switch."""
        return Session(self._connect())

    def counters(self) -> dict[tuple[object, ...], tuple[int, ...]]:
        """What the logical switch tells that it has counted."""
        with closing(self.session()) as session:
            return counters(session)

    def expires(self) -> bool:
        """Whether an entry is there that soon is not."""
        with closing(self.session()) as session:
            return bool(session.multipart(FLOW, flow_request(table=EXPIRING_TABLE)))

    def connect(self) -> None:
        """Begin a session for operations."""
        self._line = Line(self._connect(), self._own)

    @property
    def line(self) -> Line:
        assert self._line is not None
        return self._line

    def work(self) -> None:
        """Send operations from now on, in a thread of its own."""
        self._stopped.clear()
        self._worker = threading.Thread(target=self._work, daemon=True)
        self._worker.start()

    @property
    def works(self) -> bool:
        """Whether operations are being sent."""
        return self._worker is not None

    def rest(self) -> None:
        """Send no more."""
        self._stopped.set()
        if self._worker is not None:
            self._worker.join(PATIENCE)
            self._worker = None

    def _work(self) -> None:
        line = self.line
        while not self._stopped.wait(PACE):
            if not line.send(self._operations.next(), self._dice.random() < self.barriers):
                return

    def hang_up(self) -> None:
        """The session is over, or shall be: read what is left of it and note what it has promised."""
        line = self.line
        line.end()
        self.removed += line.removed
        self._open = line.sent
        self._promised = line.confirmed
        self._errors = line.errors
        self._wrong = line.wrong
        self.refused += line.refused
        self._given.clear()

    def faults(self) -> list[str]:
        """What is wrong with what the logical switch holds now, which must be what was promised in the session that is
        over, and after it some of what was sent later, in order and whole."""
        self._give(self._open[:self._promised])
        # A session that says nothing for long is closed by Open vSwitch.
        with closing(self.session()) as session, closing(Session(self._reference)) as reference:
            found = Held.of(session)
            unlike = least = found.unlike(Held.of(reference))
            kept = nearest = self._promised
            while unlike and kept < len(self._open):
                self._give(self._open[kept:kept + 1])
                kept += 1
                unlike = found.unlike(Held.of(reference))
                if len(unlike) < len(least):
                    nearest, least = kept, unlike
        self.done += len(self._open)
        self.promised += self._promised
        self.kept += kept
        self.checked += len(found.rows)
        faults = [f"{self.name}: told {times} times that the entry of cookie {cookie:#x} is gone"
                  for cookie, times in (self.removed + self.line.removed).items() if times > 1]
        faults += [f"{self.name}: a barrier was answered with {message.hex()}" for message in self._wrong]
        if unlike:
            around = [f"{number}: {described(kind, body)}"
                      for number in range(max(0, nearest - 3), min(nearest + 3, len(self._open)))
                      for kind, body in self._open[number].messages]
            theirs = self._to_reference.errors
            around += [f"{number} was answered {ours} instead of {expected}: {described(kind, body)}"
                       for number, at in enumerate(self._given) if not self._open[number].expires
                       for ours, expected in [(self._errors.get(number), theirs.get(at))] if ours != expected
                       for kind, body in self._open[number].messages]
            faults += [f"{self.name}: holds no prefix of the {len(self._open)} operations sent, of which "
                       f"{self._promised} were promised; beside the first {nearest} of them:", *least, *around]
        return faults

    def _give(self, operations: list[Operation]) -> None:
        for each in operations:
            self._given.append(len(self._to_reference.sent))
            if not each.expires:
                assert self._to_reference.send(each, True)
        assert self._to_reference.settle(PATIENCE), "the reference does not answer"


def _local(path: Path) -> socket.socket:
    made = socket.socket(socket.AF_UNIX)
    made.connect(str(path))
    return made
