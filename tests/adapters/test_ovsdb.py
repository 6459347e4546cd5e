"""Databases are dialled, left alone when they cannot be reached, and dialled again, all in memory."""
from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.error import ConnectionDone, ConnectionRefusedError
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.logger import globalLogPublisher
from twisted.python.failure import Failure

from hvproxy.adapters.ovsdb import FIRST_DELAY, LASTING, LONGEST_DELAY, Databases
from hvproxy.adapters.runtime import Runtime
from hvproxy.hypervisor.hypervisor import Hypervisor
from hvproxy.hypervisor.settings import Settings
from hvproxy.model.address import DatabaseAddress
from hvproxy.model.intent import TlsSpec
from tests.ovsdb.rows import Contents, Vif, initial, messages

ADDRESS = "unix:/run/db.sock"


class Net:
    """A runtime in a reactor of memory, and the attempts made in it."""

    def __init__(self, address: str = ADDRESS) -> None:
        self.reactor = MemoryReactorClock()
        self.hv = Hypervisor(Settings(databases=(address,), grace=30.0), self.reactor.seconds())
        self.runtime = Runtime(self.hv, self.reactor)
        self.runtime.sockets = object()  # type: ignore[assignment]  # nothing is dialled for tenants here
        self.databases = Databases(self.reactor, self.runtime, [DatabaseAddress.parse(address)], None)
        self.databases.start()

    @property
    def attempts(self) -> list[Any]:
        return list(self.reactor.unixClients)

    def refuse(self) -> None:
        """The last attempt fails."""
        *_, factory, _, _ = self.attempts[-1]
        factory.clientConnectionFailed(None, Failure(ConnectionRefusedError()))

    def accept(self) -> Peer:
        """The last attempt succeeds."""
        *_, factory, _, _ = self.attempts[-1]
        return Peer(factory.buildProtocol(None))


class Peer:
    """The database's end of a connection."""

    def __init__(self, protocol: Any) -> None:
        self.protocol = protocol
        self.transport = StringTransport()
        self.transport.abortConnection = self.transport.loseConnection  # type: ignore[method-assign]
        protocol.makeConnection(self.transport)

    def lose(self) -> None:
        self.protocol.connectionLost(Failure(ConnectionDone()))


@pytest.fixture
def told() -> Any:
    """What is logged."""
    events: list[dict[str, Any]] = []
    globalLogPublisher.addObserver(events.append)
    yield events
    globalLogPublisher.removeObserver(events.append)


def test_a_database_is_asked_and_its_answer_taken() -> None:
    net = Net()
    assert net.attempts[0][0] == "/run/db.sock"
    peer = net.accept()
    (request,) = messages([peer.transport.value()])
    assert request["method"] == "monitor"
    peer.protocol.dataReceived(initial(Contents([Vif("a", 3)])))
    net.reactor.advance(0.1)
    net.hv.tick(net.runtime.now())
    assert net.hv.databases.places == {"a": ((1, 3),)}


def test_one_that_cannot_be_reached_is_dialled_ever_more_rarely_and_told_once(told: list[dict[str, Any]]) -> None:
    net = Net()
    delay = FIRST_DELAY
    for number in range(1, 8):
        net.refuse()
        net.reactor.advance(delay - 0.01)
        assert len(net.attempts) == number
        net.reactor.advance(0.01)
        assert len(net.attempts) == number + 1
        delay = min(LONGEST_DELAY, delay * 2)
    assert delay == LONGEST_DELAY
    assert [event["address" if "address" in event else "database"] for event in told
            if event.get("log_format") == "database not reached"] == [ADDRESS]


def test_sessions_that_end_soon_are_made_ever_more_rarely_and_after_a_lasting_one_soon() -> None:
    net = Net()
    for delay in (FIRST_DELAY, 2 * FIRST_DELAY, 4 * FIRST_DELAY):
        peer = net.accept()
        peer.protocol.dataReceived(b"garbage")
        assert peer.transport.disconnecting
        peer.lose()
        count = len(net.attempts)
        net.reactor.advance(delay - 0.01)
        assert len(net.attempts) == count
        net.reactor.advance(0.01)
        assert len(net.attempts) == count + 1
    peer = net.accept()
    net.reactor.advance(LASTING)
    peer.lose()
    count = len(net.attempts)
    net.reactor.advance(FIRST_DELAY)
    assert len(net.attempts) == count + 1


def test_when_all_ends_nothing_is_dialled_any_more() -> None:
    for state in ("dialling", "waiting", "connected"):
        net = Net()
        if state == "waiting":
            net.refuse()
        peer = net.accept() if state == "connected" else None
        net.databases.stop()
        if peer is not None:
            assert peer.transport.disconnecting
            peer.lose()
        net.reactor.advance(60.0)
        assert len(net.attempts) == 1 and not net.reactor.getDelayedCalls()


def test_key_files_that_cannot_be_used_are_found_at_the_start() -> None:
    reactor = MemoryReactorClock()
    runtime = Runtime(Hypervisor(Settings(databases=("ssl:127.0.0.1:6640",)), 0.0), reactor)
    tls = TlsSpec(private_key="/nowhere/key", certificate="/nowhere/certificate")
    with pytest.raises(OSError):
        Databases(reactor, runtime, [DatabaseAddress.parse("ssl:127.0.0.1")], tls)


def test_a_database_is_not_silent_while_hvproxy_does_not_listen() -> None:
    net = Net()
    peer = net.accept()
    peer.protocol.dataReceived(initial(Contents([Vif("a", 3)])))
    net.runtime.start()
    net.reactor.pump([0.1] * 10)
    for _ in range(5):
        net.reactor.advance(60.0)  # hvproxy stood still: all that is due comes late, and at once
        assert not peer.transport.disconnecting
    net.reactor.pump([0.1] * 110)
    assert peer.transport.disconnecting, "it is silent now"
    net.runtime.stop()


def test_what_a_database_has_said_and_waits_for_its_turn_is_no_silence() -> None:
    net = Net()
    peer = net.accept()
    for owner in ("red", "blue"):  # the controllers of two logical switches are active
        net.runtime.received(99, owner, b"")
    long = Contents([Vif(f"iface-{number}", number) for number in range(1, 20)])
    peer.protocol.dataReceived(initial(long))
    assert net.hv.databases.all[ADDRESS].unread_since == net.runtime.now()
    net.reactor.pump([0.1] * 50)
    assert net.hv.databases.all[ADDRESS].unread_since is None
    net.hv.tick(net.runtime.now())
    assert len(net.hv.databases.places) == 19
