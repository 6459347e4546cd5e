"""Numbered frames between hosts: each must come once to each port it is for, and nowhere else."""
from __future__ import annotations

import selectors
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tests.crash.operations import LANE_TYPE, LANES, Lane
from tests.system.ovs import received

RATE = 1000
MOST_UNDERWAY = 200
"""Frames that are sent before the others have come: a starved machine must not overflow sockets and call it loss."""
PATIENCE = 3.0
"""Seconds after which a frame is not waited for any more: more than a starved machine stands still."""
NAP = 0.01
NAPS = round(PATIENCE / NAP)
"""So many that the other threads get a turn in, however long this process has none."""
PASSING = 0.25
"""Seconds in which a frame comes where it should, if nothing is wrong."""
LENGTH = 64
Place = tuple[str, int]
"""A tenant and its logical port."""
Frame = tuple[str, int, int]
"""A tenant, a lane of it, a serial number."""


@dataclass(slots=True)
class Tally:
    """What has become of the frames since somebody asked last."""

    sent: int = 0
    seconds: float = 0.0
    """In which they were sent."""
    lost: list[tuple[float, Frame, set[int]]] = field(default_factory=list)
    """When they were sent, and the ports to which they have not come."""
    doubled: list[tuple[Frame, int]] = field(default_factory=list)
    """Those that came again, and where."""
    strange: list[tuple[Place, bytes]] = field(default_factory=list)
    """What came to a port for which it is not."""


class Traffic:
    """Sends and receives in threads of its own."""

    def __init__(self, sockets: Mapping[Place, socket.socket],
                 receive: Callable[[socket.socket], list[bytes]] = received) -> None:
        self.sent = {(tenant, lane.number): 0 for tenant in {name for name, _ in sockets} for lane in LANES}
        """(tenant, lane) -> frames sent."""
        self._sockets = sockets
        self._frames_at = receive
        self._tenants = sorted({name for name, _ in sockets})
        self._underway: dict[Frame, tuple[float, set[int]]] = {}
        self._late: dict[Frame, tuple[float, set[int]]] = {}
        """Those that others do not wait for any more: lost, unless they come before what has become of all is asked."""
        self._tally = Tally()
        self._passed: dict[tuple[str, int], int] = {}
        """(tenant, lane) -> the last frame that has come wherever it should."""
        self._lock = threading.Lock()
        self._began = 0.0
        self._going = threading.Event()
        self._stopped = False
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._send, self._receive)]
        for thread in self._threads:
            thread.start()

    def go(self) -> None:
        """Send from now on."""
        self._began = time.monotonic()
        self._going.set()

    def passes(self) -> bool:
        """Whether every lane carries a frame that is sent from now on, within a moment."""
        with self._lock:
            since = dict(self.sent)
            self._passed.clear()
            self._late.update(self._underway)  # nor do those that are sent now wait for what may be lost
            self._underway.clear()
        deadline = time.monotonic() + PASSING
        while time.monotonic() < deadline:
            with self._lock:
                if all(self._passed.get(lane, 0) > number for lane, number in since.items()):
                    return True
            time.sleep(0.01)
        return False

    def caught_up(self) -> float:
        """Wait until every frame that was sent before now has come, or is lost; when that was."""
        now = time.monotonic()
        for _ in range(NAPS):
            with self._lock:
                if all(at > now for waiting in (self._late, self._underway) for at, _ in waiting.values()):
                    break
            time.sleep(NAP)
        return now

    def pause(self, through: Callable[[], object] = lambda: None) -> Tally:
        """Send no more, wait for what is underway, which is in our sockets or lost once `through` returns, and tell
        what has become of all."""
        self._going.clear()
        seconds = time.monotonic() - self._began
        through()
        for _ in range(NAPS):
            if not self._underway and not self._late:
                break
            time.sleep(NAP)
        with self._lock:
            tally, self._tally = self._tally, Tally()
            tally.seconds = seconds
            for missing in (self._late, self._underway):
                tally.lost += [(at, frame, ports) for frame, (at, ports) in missing.items()]
                missing.clear()
        return tally

    def stop(self) -> None:
        """End the threads."""
        self._stopped = True
        self._going.set()
        for thread in self._threads:
            thread.join(5)

    def _send(self) -> None:
        due = time.monotonic()
        while not self._stopped:
            if not self._going.is_set():
                self._going.wait()
                due = time.monotonic()
            now = time.monotonic()
            self._give_up(now)
            if now < due or len(self._underway) >= MOST_UNDERWAY:
                time.sleep(0.001)
                due = max(due, now - 0.1)
                continue
            due += len(self._tenants) * len(LANES) / RATE
            for tenant in self._tenants:
                for lane in LANES:
                    self._send_one(tenant, lane)

    def _send_one(self, tenant: str, lane: Lane) -> None:
        with self._lock:
            number = self.sent[tenant, lane.number] = self.sent[tenant, lane.number] + 1
            self._underway[tenant, lane.number, number] = time.monotonic(), set(lane.out)
            self._tally.sent += 1
        head = lane.address.to_bytes(6, "big") + b"\2\0\0\0\0\xaa" + LANE_TYPE.to_bytes(2, "big")
        body = bytes((self._tenants.index(tenant), lane.number)) + number.to_bytes(8, "big")
        try:
            self._sockets[tenant, lane.port].send((head + body).ljust(LENGTH, b"\0"))
        except OSError:
            pass  # the interface is down: then it counts as lost

    def _give_up(self, now: float) -> None:
        with self._lock:
            while self._underway:
                frame = next(iter(self._underway))
                at, _ = self._underway[frame]
                if at > now - PATIENCE:
                    return
                self._late[frame] = self._underway.pop(frame)

    def _receive(self) -> None:
        selector = selectors.DefaultSelector()
        for place, each in self._sockets.items():
            selector.register(each, selectors.EVENT_READ, place)
        while not self._stopped:
            for key, _ in selector.select(0.2):
                for frame in self._frames_at(key.fileobj):  # type: ignore[arg-type]
                    self._came(key.data, frame)

    def _came(self, place: Place, data: bytes) -> None:
        tenant, port = place
        with self._lock:
            lane = next((lane for lane in LANES if lane.number == data[15]), None)
            if data[12:14] != LANE_TYPE.to_bytes(2, "big") or self._tenants[data[14]] != tenant or lane is None \
                    or port not in lane.out:
                self._tally.strange.append((place, data))
                return
            frame = tenant, lane.number, int.from_bytes(data[16:24], "big")
            waiting = self._late if frame in self._late else self._underway
            _, ports = waiting.get(frame, (0.0, set[int]()))
            if port not in ports:
                self._tally.doubled.append((frame, port))
                return
            ports.remove(port)
            if not ports:
                del waiting[frame]
                self._passed[frame[:2]] = frame[2]
