"""The shell around the core: bytes and time go in, commands come out and are carried out here.

Decides nothing. After every event `Runtime.flush` carries out what the core left; one timer lets time pass.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.internet.interfaces import IDelayedCall, IHandshakeListener, IReactorTime, ISSLTransport, ITransport
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.logger import Logger, LogLevel
from zope.interface import implementer

from hvproxy.adapters.turns import Turns
from hvproxy.hypervisor.commands import (
    Close, Commit, Dial, GoOn, Listen, Log, Pause, Resume, Send, StopDialing, StopListening,
)
from hvproxy.hypervisor.hypervisor import Hypervisor

LONGEST_SLEEP = 0.1
"""Seconds. The core is asked when it wants to be woken only then, not after every message: asking costs a look at
every session."""
SHORTEST_SLEEP = 0.005
STANDSTILL = 0.5
"""Seconds of being late after which nobody is blamed for having been silent meanwhile: what they said was not read."""
FULL = 4 * 1024 * 1024
"""Unsent bytes after which a peer that does not read is not read either."""
HANDSHAKE = 15.0
"""Seconds that TLS may take to find out who a peer is."""
PARTING = 5.0
"""Seconds that a peer has to take what was written before its connection was closed."""


class Sockets(Protocol):
    """Who opens connections and listeners for the core (sockets.Sockets)."""

    def dial(self, key: str, address: str) -> None: ...
    def stop_dialing(self, key: str) -> None: ...
    def listen(self, key: str, address: str) -> None: ...
    def stop_listening(self, key: str) -> None: ...


class Commits(Protocol):
    """Who brings records to the store (store.committer.Committer)."""

    def commit(self, batch: Commit) -> None: ...


class Runtime:
    """One core, its connections and its timer."""

    log = Logger()

    def __init__(self, hv: Hypervisor, clock: IReactorTime) -> None:
        self.hv = hv
        self.sockets: Sockets | None = None
        self.committer: Commits | None = None
        self.observe: Callable[[str, float], None] | None = None
        """Told how long the core worked on what came in: (direction, seconds)."""
        self.observe_barrier: Callable[[float], None] | None = None
        """Told how long tenants' barriers took, in seconds."""
        self._clock = clock
        self._connections: dict[int, Connection] = {}
        self._next_conn = 1
        self._timer: IDelayedCall | None = None
        self._due = 0.0
        """When time was to pass next."""
        self._turns = Turns(clock, self._work, self._hold, self._release)

    def now(self) -> float:
        """Seconds of a clock that does not go back."""
        now: float = self._clock.seconds()
        return now

    def add(self, connection: Connection) -> int:
        """A connection is made; its number from now on."""
        conn = self._next_conn
        self._next_conn += 1
        self._connections[conn] = connection
        return conn

    def remove(self, conn: int) -> None:
        self._turns.gone(conn)
        if self._connections.pop(conn, None) is not None:
            self.hv.connection_lost(conn, self.now())
            self.flush()

    def received(self, conn: int, owner: str | None, data: bytes) -> None:
        """Bytes from a controller of logical switch `owner`, or (None) from a switch."""
        self._turns.arrived(conn, owner, data)

    def _work(self, conn: int, data: bytes) -> None:
        start = self.now()
        self.hv.received(conn, data, start)
        self.flush()
        connection = self._connections.get(conn)
        if self.observe is not None and connection is not None:
            self.observe(connection.direction, self.now() - start)

    def _hold(self, conn: int) -> None:
        self.hv.unread(conn, True, self.now())
        self._connections[conn].pause("turn")

    def _release(self, conn: int) -> None:
        self.hv.unread(conn, False, self.now())
        connection = self._connections.get(conn)
        if connection is not None:
            connection.resume("turn")

    def stored(self, revision: int) -> None:
        """What the core left to be stored is."""
        self.hv.committed(revision, self.now())
        self.flush()

    def store_failed(self, reason: str) -> None:
        """It is not, and is tried again."""
        self.hv.store_failed(reason, self.now())
        self.flush()

    def store_recovered(self) -> None:
        """The store stores again."""
        self.hv.store_recovered(self.now())
        self.flush()

    def flush(self) -> None:
        """Carry out what the core has to have done."""
        while commands := self.hv.commands():
            writes: dict[int, list[bytes]] = {}
            for command in commands:
                if isinstance(command, Send):
                    writes.setdefault(command.conn, []).append(command.data)
                    continue
                if isinstance(command, Close):
                    self._write(writes, command.conn)
                self._perform(command)
            for conn in list(writes):
                self._write(writes, conn)
        while self.hv.barrier_times:
            seconds = self.hv.barrier_times.pop()
            if self.observe_barrier is not None:
                self.observe_barrier(seconds)

    def _write(self, writes: dict[int, list[bytes]], conn: int) -> None:
        data = writes.pop(conn, None)
        connection = self._connections.get(conn)
        if data and connection is not None:
            connection.transport.write(b"".join(data))

    def _perform(self, command: object) -> None:
        sockets = self.sockets
        assert sockets is not None
        match command:
            case Log(level, event, fields):
                self.log.emit(LogLevel.lookupByName(_LEVELS.get(level, level)), "{event}", event=event, fields=fields)
            case Close(conn, reason):
                if conn in self._connections:
                    self._connections[conn].close(reason)
            case Pause(conn):
                if conn in self._connections:
                    self._connections[conn].pause("core")
            case Resume(conn):
                if conn in self._connections:
                    self._connections[conn].resume("core")
            case GoOn(conn):
                if conn in self._connections:
                    self._turns.more(conn, self._connections[conn].owner)
            case Dial(key, address):
                sockets.dial(key, address)
            case StopDialing(key):
                sockets.stop_dialing(key)
            case Listen(key, address):
                sockets.listen(key, address)
            case StopListening(key):
                sockets.stop_listening(key)
            case Commit():
                assert self.committer is not None
                self.committer.commit(command)
            case _:
                raise TypeError(f"unknown command {command!r}")

    def start(self) -> None:
        """Let time pass from now on: all that connections need is there."""
        self.hv.listening(self.now())
        self._due = self.now()
        self._wake()

    def _wake(self) -> None:
        now = self.now()
        if now - self._due > STANDSTILL:
            self.hv.stood_still(now - self._due, now)
        try:
            self.hv.tick(now)
            self.flush()
        finally:  # whatever goes wrong once, time goes on
            delay = min(max(SHORTEST_SLEEP, self.hv.deadline - now), LONGEST_SLEEP)
            self._due = now + delay
            self._timer = self._clock.callLater(max(0.0, self._due - self.now()), self._wake)

    def later(self, delay: float, call: Callable[[], object]) -> IDelayedCall:
        """Call something when the delay is over."""
        return self._clock.callLater(delay, call)

    def stop(self) -> None:
        """No more timers; connections are the sockets' business."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        self._turns.stop()


_LEVELS = {"warning": "warn"}


@implementer(IHandshakeListener)
class Connection(TwistedProtocol):
    """One TCP, TLS or UNIX connection to a switch or a controller.

    A peer that does not take what we send is not read either, until it does; the core drops nothing for it but
    packet-ins, as a switch does.
    """

    transport: ITransport

    def __init__(self, runtime: Runtime, direction: str, made: Callable[[int, str], None], owner: str | None) -> None:
        """`owner`: the logical switch whose controller the peer is, None for a switch."""
        self._runtime = runtime
        self.direction = direction
        self.owner = owner
        self._made = made
        self._conn = 0
        self._pauses: set[str] = set()
        self._cut_off: IDelayedCall | None = None

    def connectionMade(self) -> None:
        if hasattr(self.transport, "setTcpNoDelay"):
            self.transport.setTcpNoDelay(True)
        if ISSLTransport.providedBy(self.transport):
            self._cut_off_in(HANDSHAKE)
        else:
            self._begin()

    def handshakeCompleted(self) -> None:
        """TLS knows who it is. Before, there was nobody to talk to, and to pause reading would have ended it all."""
        self._let_go_on()
        self._begin()

    def _begin(self) -> None:
        # So much may be unsent before we are told to stop: Twisted's own limit is one read's worth.
        self.transport.bufferSize = FULL  # type: ignore[attr-defined]
        self.transport.registerProducer(self, True)  # type: ignore[attr-defined]
        self._conn = self._runtime.add(self)
        self._made(self._conn, peer_name(self.transport))
        self._runtime.flush()

    def dataReceived(self, data: bytes) -> None:
        self._runtime.received(self._conn, self.owner, data)

    def connectionLost(self, reason: object = None) -> None:
        self._let_go_on()
        if not self._conn:
            self._runtime.log.warn("{event}", event="TLS handshake failed", fields={
                "peer": peer_name(self.transport), "reason": getattr(reason, "value", reason)})
        self._runtime.remove(self._conn)

    def close(self, reason: str) -> None:
        """End the connection once what was written before is sent, or soon: a peer may never read."""
        if self._cut_off is None:
            self.transport.unregisterProducer()  # type: ignore[attr-defined]
            self.transport.loseConnection()
            self._cut_off_in(PARTING)

    def _cut_off_in(self, seconds: float) -> None:
        self._cut_off = self._runtime.later(seconds, self.transport.abortConnection)  # type: ignore[attr-defined]

    def _let_go_on(self) -> None:
        if self._cut_off is not None and self._cut_off.active():
            self._cut_off.cancel()
        self._cut_off = None

    # IPushProducer: Twisted tells whether the peer takes what we write

    def pauseProducing(self) -> None:
        self._runtime.hv.congested(self._conn, True, self._runtime.now())
        self.pause("peer")

    def resumeProducing(self) -> None:
        self.resume("peer")
        self._runtime.hv.congested(self._conn, False, self._runtime.now())
        self._runtime.flush()

    def stopProducing(self) -> None:
        self.transport.loseConnection()

    def pause(self, why: str) -> None:
        """Stop reading for one more reason."""
        if not self._pauses:
            self.transport.pauseProducing()  # type: ignore[attr-defined]
        self._pauses.add(why)

    def resume(self, why: str) -> None:
        """Read again once no reason against it is left."""
        if why in self._pauses:
            self._pauses.discard(why)
            if not self._pauses:
                self.transport.resumeProducing()  # type: ignore[attr-defined]


def peer_name(transport: ITransport) -> str:
    """The other end as Open vSwitch writes addresses."""
    peer = transport.getPeer()
    host = getattr(peer, "host", None)
    return "unix" if host is None else f"tcp:{host}:{peer.port}"  # type: ignore[attr-defined]
