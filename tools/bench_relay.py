"""The floor for a proxy in Python: finds the OpenFlow messages in each read and passes them on, and nothing else.

`python -m tools.bench_relay LISTEN_PORT CONTROLLER_PORT`
"""
from __future__ import annotations

import asyncio
import sys

HEADER_SIZE = 8
HIGH_WATER = 1 << 20


class Relay(asyncio.Protocol):
    """One end of a relayed connection; `peer` is the other."""

    def __init__(self, controller_port: int, peer: Relay | None = None) -> None:
        self.peer = peer
        self._controller_port = controller_port
        self._partial = b""
        self._held: list[bytes] = []
        """What came before there was a peer."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.set_write_buffer_limits(HIGH_WATER)
        if self.peer is None:
            self._dialling = asyncio.ensure_future(self._dial())

    async def _dial(self) -> None:
        other = Relay(self._controller_port, self)
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: other, "127.0.0.1", self._controller_port)
        self.peer = other
        for data in self._held:
            other.transport.write(data)
        self._held.clear()

    def data_received(self, data: bytes) -> None:
        data = self._partial + data
        at, size, messages = 0, len(data), []
        while size - at >= HEADER_SIZE:
            length = max(HEADER_SIZE, data[at + 2] << 8 | data[at + 3])
            if size - at < length:
                break
            messages.append(data[at:at + length])
            at += length
        self._partial = data[at:]
        joined = b"".join(messages)
        if self.peer is None:
            self._held.append(joined)
        else:
            self.peer.transport.write(joined)

    def pause_writing(self) -> None:
        if self.peer is not None:
            self.peer.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.peer is not None:
            self.peer.transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        if self.peer is not None:
            self.peer.transport.close()


async def serve(listen_port: int, controller_port: int) -> None:
    """Relay until the process is ended."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Relay(controller_port), "127.0.0.1", listen_port)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2])))
