"""Keeps connections to the switches' databases: dials, hands the core what comes, and dials again when it ends.

A database that cannot be reached, or whose sessions end soon, is dialled ever more rarely. What is said over a
connection, also the probes of a silent one, is the core's business (hypervisor/databases.py).
"""
from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet import defer
from twisted.internet.interfaces import IDelayedCall, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.logger import Logger

from hvproxy.adapters.runtime import Connection, Runtime
from hvproxy.adapters.sockets import client_endpoint
from hvproxy.model.address import Address
from hvproxy.model.intent import TlsSpec

FROM_DATABASE = "from_database"
FIRST_DELAY = 0.5
"""Seconds before it is dialled again."""
LONGEST_DELAY = 8.0
FACTOR = 2.0
LASTING = 10.0
"""Seconds after which a session counts as good: the next one is dialled as soon as the first was."""


class Databases:
    """All databases of the configuration."""

    def __init__(self, reactor: Any, runtime: Runtime, addresses: Iterable[Address], tls: TlsSpec | None) -> None:
        """Raises OSError when the files of `tls` cannot be used."""
        self._all = [Dialled(reactor, runtime, str(address), client_endpoint(reactor, address, tls))
                     for address in addresses]

    def start(self) -> None:
        for each in self._all:
            each.dial()

    def stop(self) -> None:
        """Close everything and dial no more."""
        for each in self._all:
            each.stop()


class Dialled:
    """The connection to one database, and the wish for it."""

    log = Logger()

    def __init__(self, reactor: Any, runtime: Runtime, address: str, endpoint: IStreamClientEndpoint) -> None:
        self._reactor = reactor
        self._runtime = runtime
        self._address = address
        self._endpoint = endpoint
        self._delay = FIRST_DELAY
        self._since = 0.0
        self._later: IDelayedCall | None = None
        self._dialling: defer.Deferred[Any] | None = None
        self._connection: DatabaseConnection | None = None
        self._stopped = False
        self._told: str | None = None
        """Why it could not be reached, which is said once."""

    def dial(self) -> None:
        """Connect now."""
        self._later = None
        self._since = self._reactor.seconds()
        factory = Factory.forProtocol(self._protocol)
        factory.noisy = False
        self._dialling = self._endpoint.connect(factory)
        self._dialling.addCallbacks(self._reached, self._not_reached)

    def stop(self) -> None:
        self._stopped = True
        if self._later is not None:
            self._later.cancel()
            self._later = None
        if self._dialling is not None:
            self._dialling.cancel()
        if self._connection is not None:
            self._connection.close("hvproxy ends")

    def _protocol(self) -> DatabaseConnection:
        def made(conn: int, peer: str) -> None:
            self._told = None
            self._runtime.hv.database_connected(conn, self._address, self._runtime.now())
        return DatabaseConnection(self._runtime, made, self._address, self._lost)

    def _reached(self, connection: DatabaseConnection) -> None:
        self._dialling = None
        if connection.over:
            self._lost()  # it was over before it was handed out
        else:
            self._connection = connection

    def _not_reached(self, failure: Any) -> None:
        self._dialling = None
        reason = failure.getErrorMessage()
        if reason != self._told and not self._stopped:
            self._told = reason
            self.log.warn("database not reached", database=self._address, reason=reason)
        self._again()

    def _lost(self) -> None:
        if self._dialling is None:
            self._connection = None
            self._again()

    def _again(self) -> None:
        if self._stopped:
            return
        if self._reactor.seconds() - self._since >= LASTING:
            self._delay = FIRST_DELAY
        self._later = self._reactor.callLater(self._delay, self.dial)
        self._delay = min(LONGEST_DELAY, self._delay * FACTOR)


class DatabaseConnection(Connection):
    """A connection that says when it is over."""

    def __init__(self, runtime: Runtime, made: Callable[[int, str], None], address: str,
                 lost: Callable[[], None]) -> None:
        # It takes its turn like a controller; no logical switch has a name with a space.
        super().__init__(runtime, FROM_DATABASE, made, f"ovsdb {address}")
        self.over = False
        self._lost = lost

    def connectionLost(self, reason: object = None) -> None:
        super().connectionLost(reason)
        self.over = True
        self._lost()
