"""Opens what the configuration names: listeners, dialled controllers with back-off, TLS."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from OpenSSL import SSL, crypto
from twisted.application.internet import ClientService, backoffPolicy
from twisted.internet import defer, ssl
from twisted.internet.endpoints import (
    HostnameEndpoint, SSL4ServerEndpoint, TCP4ServerEndpoint, TCP6ServerEndpoint, UNIXClientEndpoint, wrapClientTLS,
)
from twisted.internet.interfaces import (
    IListeningPort, IOpenSSLClientConnectionCreator, IStreamClientEndpoint, IStreamServerEndpoint,
)
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from zope.interface import implementer

from hvproxy.adapters.runtime import Connection, Runtime
from hvproxy.model.address import Address
from hvproxy.model.intent import TlsSpec

FROM_CONTROLLER = "from_controller"
FROM_SWITCH = "from_switch"


class Sockets:
    """The listeners and dialled connections of one runtime."""

    log = Logger()

    def __init__(self, reactor: Any, runtime: Runtime) -> None:
        self._reactor = reactor
        self._runtime = runtime
        self._services: dict[str, ClientService] = {}
        self._ports: dict[str, IListeningPort] = {}

    # Switches: from the configuration

    async def listen_for_switches(self, address: Address, tls: TlsSpec | None) -> None:
        """Accept switches. Raises CannotListenError."""
        endpoint = server_endpoint(self._reactor, address, tls)
        self._ports[f"switches {address}"] = await endpoint.listen(self._factory(
            FROM_SWITCH, lambda conn, peer: self._runtime.hv.switch_connected(conn, peer, self._runtime.now())))

    # Controllers: on the core's command; the key is "LOGICAL_SWITCH ADDRESS"

    def dial(self, key: str, address: str) -> None:
        """Keep a connection to a controller."""
        name = key.split(" ")[0]
        try:
            endpoint = client_endpoint(self._reactor, Address.parse(address), self._tls(name))
        except OSError as error:
            self.log.error("cannot dial: {reason}", reason=str(error), logical_switch=name, address=address)
            return
        service = self._services[key] = ClientService(
            endpoint, self._factory(FROM_CONTROLLER, self._controller(name, address, passive=False), name),
            retryPolicy=backoffPolicy(initialDelay=0.5, maxDelay=8.0, factor=1.5), clock=self._reactor)
        service.startService()

    def stop_dialing(self, key: str) -> None:
        service = self._services.pop(key, None)
        if service is not None:
            service.stopService()

    def listen(self, key: str, address: str) -> None:
        """Accept controllers and tools for a logical switch."""
        name = key.split(" ")[0]
        try:
            endpoint = server_endpoint(self._reactor, Address.parse(address), self._tls(name))
        except OSError as error:
            self.log.error("cannot listen: {reason}", reason=str(error), logical_switch=name, address=address)
            return
        listening = endpoint.listen(self._factory(FROM_CONTROLLER, self._controller(name, None, passive=True), name))

        def listens(port: IListeningPort) -> None:
            self._ports[key] = port

        def fails(failure: Any) -> None:
            self.log.error("cannot listen: {reason}", reason=failure.getErrorMessage(), logical_switch=name,
                           address=address)

        listening.addCallbacks(listens, fails)

    def stop_listening(self, key: str) -> None:
        port = self._ports.pop(key, None)
        if port is not None:
            defer.maybeDeferred(port.stopListening)

    async def stop(self) -> None:
        """Close everything."""
        for service in self._services.values():
            await defer.maybeDeferred(service.stopService)
        for port in self._ports.values():
            await defer.maybeDeferred(port.stopListening)
        self._services.clear()
        self._ports.clear()

    def _controller(self, name: str, address: str | None, *, passive: bool) -> Callable[[int, str], None]:
        def made(conn: int, peer: str) -> None:
            self._runtime.hv.controller_connected(conn, name, address or peer, passive, self._runtime.now())
        return made

    def _tls(self, name: str) -> TlsSpec | None:
        ls = self._runtime.hv.logical_switches.get(name)
        return None if ls is None else ls.spec.tls

    def _factory(self, direction: str, made: Callable[[int, str], None], owner: str | None = None) -> Factory:
        factory = Factory.forProtocol(
            lambda: Connection(self._runtime, direction, made, owner))  # type: ignore[arg-type]
        factory.noisy = False
        return factory


def server_endpoint(reactor: Any, address: Address, tls: TlsSpec | None) -> IStreamServerEndpoint:
    """An endpoint that listens at a ptcp: or pssl: address."""
    if address.is_tls:
        assert tls is not None
        return SSL4ServerEndpoint(reactor, address.port, tls_options(tls), interface=address.host)
    kind = TCP6ServerEndpoint if ":" in address.host else TCP4ServerEndpoint
    return kind(reactor, address.port, interface=address.host)


def client_endpoint(reactor: Any, address: Address, tls: TlsSpec | None) -> IStreamClientEndpoint:
    """An endpoint that connects to a tcp:, ssl: or unix: address."""
    if address.kind == "unix":
        return UNIXClientEndpoint(reactor, address.path)
    endpoint = HostnameEndpoint(reactor, address.host, address.port)
    if not address.is_tls:
        return endpoint
    assert tls is not None
    return wrapClientTLS(_ClientTls(tls), endpoint)


def tls_options(tls: TlsSpec) -> ssl.CertificateOptions:
    """Our certificate, and whose certificates we take (TLS 1.2 and later). Raises OSError, also for bad contents."""
    try:
        with open(tls.private_key, "rb") as key, open(tls.certificate, "rb") as certificate:
            own = ssl.PrivateCertificate.loadPEM(key.read() + b"\n" + certificate.read())
        if tls.ca is None:
            options = own.options()
        else:
            with open(tls.ca, "rb") as ca:
                options = own.options(ssl.Certificate.loadPEM(ca.read()))
        options.getContext()  # finds out now whether key and certificate belong together
    except (SSL.Error, crypto.Error, ValueError) as error:
        names = ", ".join(filter(None, (tls.private_key, tls.certificate, tls.ca)))
        raise OSError(f"no usable key and certificates in {names}: {error}") from error
    return options


@implementer(IOpenSSLClientConnectionCreator)
class _ClientTls:
    """Creates client connections as Open vSwitch's peers expect them: by certificate authority, without host names."""

    def __init__(self, tls: TlsSpec) -> None:
        self._options = tls_options(tls)

    def clientConnectionForTLS(self, protocol: Any) -> Any:
        connection = SSL.Connection(self._options.getContext(), None)
        connection.set_connect_state()
        return connection
