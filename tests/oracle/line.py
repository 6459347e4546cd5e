"""A controller's session that sends many messages without waiting, and sorts what comes back by what it answers."""
from __future__ import annotations

import asyncio

from tests.tools.controller import Channel
from tools.emulator import wire

SAFETY_NET = 60.0
"""Seconds after which an answer that should have come counts as missing; nothing is measured with it."""
OURS = 0x80000000
"""From here on xids are of the harness, below of the script."""
NEWS = (wire.PACKET_IN, wire.PORT_STATUS, wire.FLOW_REMOVED)
"""What nobody has asked for, whatever its xid is; and so is all else of xid 0."""


class Lost(Exception):
    """The session ended or the switch has fallen silent."""


class Line:
    """One session, past its HELLO."""

    def __init__(self, name: str, channel: Channel) -> None:
        self.name = name
        self.answers: dict[int, list[bytes]] = {}
        """Everything that carried the xid of a message of ours."""
        self.told: list[bytes] = []
        """Asynchronous messages."""
        self.waited = 0.0
        """The longest that an answer has been waited for."""
        self._channel = channel
        self._xid = OURS
        self._waiting: dict[int, asyncio.Future[None]] = {}
        self._reading = asyncio.get_running_loop().create_task(self._read())

    def send(self, kind: int, xid: int, body: bytes) -> None:
        """Send a message; what answers it will be in `answers`."""
        self.answers[xid] = []
        self._channel.writer.write(wire.message(kind, xid, body))

    async def barrier(self) -> None:
        """Return when everything before has been carried out."""
        await self._until_answered(wire.BARRIER_REQUEST, b"")

    async def ask(self, kind: int, body: bytes = b"") -> list[bytes]:
        """The replies to one request of the harness."""
        return self.answers.pop(await self._until_answered(kind, body))

    async def multipart(self, kind: int, body: bytes = b"") -> bytes:
        """The joined bodies of the replies to a multipart request."""
        replies = await self.ask(wire.MULTIPART_REQUEST, kind.to_bytes(2, "big") + bytes(6) + body)
        if replies[0][1] != wire.MULTIPART_REPLY:
            raise Lost(f"{self.name} refuses multipart {kind}: {replies[0].hex()}")
        return b"".join(reply[16:] for reply in replies)

    async def answered(self, xid: int) -> None:
        """Return when the last part of the answer to a request is there."""
        if not self._complete(xid):
            await self._wait(xid)

    def close(self) -> None:
        """End the session."""
        self._reading.cancel()
        self._channel.writer.close()

    async def _until_answered(self, kind: int, body: bytes) -> int:
        self._xid += 1
        xid = self._xid
        self.send(kind, xid, body)
        await self._wait(xid)
        if kind == wire.BARRIER_REQUEST:
            del self.answers[xid]
        return xid

    async def _wait(self, xid: int) -> None:
        if self._reading.done():
            raise Lost(f"{self.name} has closed the session")
        loop = asyncio.get_running_loop()
        future, since = loop.create_future(), loop.time()
        self._waiting[xid] = future
        try:
            async with asyncio.timeout(SAFETY_NET):  # wait_for may swallow a cancellation (Python 3.11)
                await future
        except asyncio.TimeoutError:
            raise Lost(f"{self.name} does not answer") from None
        finally:
            self._waiting.pop(xid, None)
            self.waited = max(self.waited, loop.time() - since)

    def _complete(self, xid: int) -> bool:
        answers = self.answers[xid]
        return bool(answers) and not (answers[-1][1] == wire.MULTIPART_REPLY and answers[-1][11] & 1)

    async def _read(self) -> None:
        try:
            while True:
                message = await self._channel.receive()
                xid = int.from_bytes(message[4:8], "big")
                if message[1] == wire.ECHO_REQUEST:
                    self._channel.writer.write(wire.message(wire.ECHO_REPLY, xid, message[8:]))
                elif message[1] in NEWS or not xid:
                    self.told.append(message)
                else:
                    self.answers.setdefault(xid, []).append(message)
                    if xid in self._waiting and self._complete(xid) and not self._waiting[xid].done():
                        self._waiting[xid].set_result(None)
        except (asyncio.IncompleteReadError, ConnectionError):
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(Lost(f"{self.name} has closed the session"))
