"""One control connection of an emulated switch: dialling with back-off, HELLO, ECHO, framing, role, async masks.

What the messages mean is told by `handlers`; a session only cuts the stream and knows what concerns it alone.
"""
from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING

from tools.emulator import handlers, wire
from tools.emulator.oxm import OFError

if TYPE_CHECKING:
    from tools.emulator.switch import Switch

EQUAL, MASTER, SLAVE = 1, 2, 3
FIRST_RETRY, LAST_RETRY = 0.05, 1.0
HELLO_INCOMPATIBLE = 0
PIECE = 100
"""Messages that are carried out in one turn of the loop: whoever else has sent something waits no longer than that."""


class Session(asyncio.Protocol):
    """The OpenFlow session over one connection."""

    def __init__(self, switch: Switch, ended: Callable[[], None]) -> None:
        self.switch = switch
        self.role = EQUAL
        self.miss_send_len = 128
        self.ttl_to_controller = False
        self.masks = {wire.PACKET_IN: [3, 0], wire.PORT_STATUS: [7, 7], wire.FLOW_REMOVED: [15, 0]}
        """Kind of asynchronous message to reasons wanted as master or equal, and as slave."""
        self.open = False
        self._ended = ended
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._output: list[bytes] = []
        self._resting = False
        self._xid = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(high=1 << 24)
        transport.write(wire.hello(self.fresh_xid()))

    def connection_lost(self, error: Exception | None) -> None:
        self.open = False
        self._transport = None
        self.switch.session_ended(self)
        self._ended()

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data if self._buffer else data
        offset, size = 0, len(buffer)
        for _ in range(PIECE):
            if size - offset < 8:
                break
            length = int.from_bytes(buffer[offset + 2:offset + 4], "big")
            if length < 8:
                self.abort()
                return
            if size - offset < length:
                break
            message = buffer[offset:offset + length]
            offset += length
            if self.open:
                self.dispatch(message)
            else:
                self._hello(message)
        else:
            self._rest()
        self._buffer = buffer[offset:]
        self._flush()

    def _rest(self) -> None:
        """Go on in the next turn of the loop; until then no more is read."""
        if self._transport is not None and not self._resting:
            self._resting = True
            self._transport.pause_reading()
            asyncio.get_running_loop().call_soon(self._go_on)

    def _go_on(self) -> None:
        self._resting = False
        if self._transport is not None:
            self._transport.resume_reading()
            self.data_received(b"")

    def dispatch(self, message: bytes) -> None:
        """Carry out one message, or refuse it."""
        self.switch.received[message[1]] += 1
        try:
            handlers.handle(self.switch, self, message)
        except OFError as refusal:
            self.send(wire.error(message, refusal.error_type, refusal.code, refusal.experimenter))

    def send(self, message: bytes) -> None:
        """Queue a message; all that one turn of the loop queues is written at once."""
        if not self._output:
            asyncio.get_running_loop().call_soon(self._flush)
        self._output.append(message)

    def tell(self, kind: int, reason: int, body: Callable[[int], bytes]) -> None:
        """Send an asynchronous message, if this connection wants it (OF 1.3.5 section 6.1.2)."""
        wanted = self.masks[kind][1 if self.role == SLAVE else 0]
        if kind == wire.PACKET_IN and reason == 2 and self.ttl_to_controller and self.role != SLAVE:
            wanted |= 4
        if self.open and wanted >> reason & 1:
            self.send(body(self.fresh_xid()))

    def fresh_xid(self) -> int:
        """An xid for a message of our own."""
        self._xid = (self._xid + 1) & 0xffffffff
        return self._xid

    def abort(self) -> None:
        """Cut the connection."""
        if self._transport is not None:
            self._transport.abort()

    def _flush(self) -> None:
        if self._output and self._transport is not None:
            output = b"".join(self._output)
            self._output.clear()
            self._transport.write(output)

    def _hello(self, message: bytes) -> None:
        """Version negotiation (OF 1.3.5 section 6.3.1)."""
        if message[1] != wire.HELLO:
            self.abort()
            return
        versions = hello_versions(message)
        if versions is None and message[0] < wire.VERSION or versions is not None and wire.VERSION not in versions:
            assert self._transport is not None
            self._transport.write(wire.error(message, wire.HELLO_FAILED, HELLO_INCOMPATIBLE))
            self._transport.close()
            return
        self.open = True
        self.switch.session_opened(self)


def hello_versions(message: bytes) -> set[int] | None:
    """The versions in a HELLO's bitmap, or None if it has none."""
    offset = 8
    while offset + 4 <= len(message):
        kind, length = int.from_bytes(message[offset:offset + 2], "big"), message[offset + 2] << 8 | message[offset + 3]
        if length < 4 or offset + length > len(message):
            return None
        if kind == 1 and length >= 8:
            bits = int.from_bytes(message[offset + 4:offset + 8], "big")
            return {version for version in range(32) if bits >> version & 1}
        offset += (length + 7) // 8 * 8
    return None


class Link:
    """A control connection that is wanted: dials until told to stop, again after each loss."""

    def __init__(self, switch: Switch, host: str, port: int, tls: ssl.SSLContext | None = None) -> None:
        self.session: Session | None = None
        self.refused = False
        """Whether dialling is suspended."""
        self._switch = switch
        self._address = (host, port)
        self._tls = tls
        self._lost = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._keep())

    async def _keep(self) -> None:
        wait = FIRST_RETRY
        loop = asyncio.get_running_loop()
        while True:
            if not self.refused:
                self._lost.clear()
                try:
                    _, session = await loop.create_connection(
                        lambda: Session(self._switch, self._lost.set), *self._address, ssl=self._tls)
                except OSError:
                    pass  # nobody listens yet: dialled again below
                else:
                    self.session = session
                    await self._lost.wait()
                    wait = FIRST_RETRY
                    self.session = None
            await asyncio.sleep(wait)
            wait = min(wait * 2, LAST_RETRY)

    def drop(self) -> None:
        """Cut the connection; it is dialled again unless refused."""
        if self.session is not None:
            self.session.abort()

    async def close(self) -> None:
        """Cut the connection for good."""
        self._task.cancel()
        self.drop()
        await asyncio.gather(self._task, return_exceptions=True)
