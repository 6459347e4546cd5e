"""An HTTP client at the other end of a real Site's connection, in memory: no socket, no reactor."""
from __future__ import annotations

import json
from email.parser import BytesParser
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from hvproxy.adapters.http import make_site
from hvproxy.hypervisor.hypervisor import Hypervisor
from hvproxy.model.address import Address
from tests.harness import World


class Loop:
    """Runs a World as runtime.Runtime runs sockets (api.RuntimeLike)."""

    def __init__(self, world: World) -> None:
        self.world = world

    @property
    def hv(self) -> Hypervisor:
        return self.world.hv

    def now(self) -> float:
        return self.world.now

    def flush(self) -> None:
        self.world.run()


class Reply:
    """What came back, once it is there."""

    def __init__(self, transport: StringTransport) -> None:
        self._transport = transport

    @property
    def raw(self) -> bytes:
        data: bytes = self._transport.value()
        return data

    @property
    def arrived(self) -> bool:
        return b"\r\n\r\n" in self.raw

    @property
    def status(self) -> int:
        return int(self.raw.split(b" ", 2)[1])

    @property
    def headers(self) -> Any:
        return BytesParser().parsebytes(self.raw.partition(b"\r\n\r\n")[0].partition(b"\r\n")[2])

    @property
    def body(self) -> bytes:
        return self.raw.partition(b"\r\n\r\n")[2]

    @property
    def json(self) -> Any:
        assert self.headers["Content-Type"] == "application/json", self.raw
        return json.loads(self.body)


class Client:
    """Asks the pages of a World."""

    def __init__(self, world: World, taken: tuple[Address, ...] = ()) -> None:
        self.world = world
        self.clock = Clock()
        self.site = make_site(Loop(world), taken=taken, clock=self.clock)
        self.transport = StringTransport()

    def send(self, data: bytes) -> Reply:
        """Raw bytes on a connection of their own."""
        channel = self.site.buildProtocol(IPv4Address("TCP", "127.0.0.1", 40000))
        assert channel is not None
        self.transport = StringTransport(peerAddress=IPv4Address("TCP", "127.0.0.1", 40000))
        self.channel = channel
        channel.makeConnection(self.transport)
        channel.dataReceived(data)
        return Reply(self.transport)

    def hang_up(self) -> None:
        """End the connection of the last request."""
        from twisted.internet.error import ConnectionDone
        from twisted.python.failure import Failure

        self.channel.connectionLost(Failure(ConnectionDone()))

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> Reply:
        """One request; `body` is sent as JSON unless it is bytes."""
        lines = {"Host": "127.0.0.1:8080", "Connection": "close"}
        data = b""
        if body is not None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            lines["Content-Type"] = "application/json"
        if data or method in ("POST", "PUT"):
            lines["Content-Length"] = str(len(data))
        lines.update({name.replace("_", "-").title(): value for name, value in headers.items()})
        head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        return self.send(head.encode("latin-1") + b"\r\n" + data)

    def get(self, path: str) -> Any:
        """The JSON of a page that must be there."""
        reply = self.ask("GET", path)
        assert reply.status == 200, reply.raw
        return reply.json
