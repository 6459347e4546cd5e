"""A learning switch for any number of OpenFlow 1.3 switches that connect: `python -m tools.learning_controller PORT`.

Ordinary and small: a table-miss entry, packet-ins teach addresses, a known destination gets an entry on (in_port,
eth_dst), all else is flooded. Whenever that has changed it prints a line `READY UP`: how many switches have confirmed
their table-miss entry, and how many of all their ports are up.
"""
from __future__ import annotations

import asyncio
import sys

from tools.emulator import wire

FLOOD, CONTROLLER, ANY = 0xfffffffb, 0xfffffffd, 0xffffffff
PORT_DESC, PORT_DESC_SIZE = 13, 64
TELL_EVERY = 0.02
MATCH_ALL = b"\x00\x01\x00\x04\x00\x00\x00\x00"


def output(port: int) -> bytes:
    """An output action."""
    return b"\x00\x00\x00\x10" + port.to_bytes(4, "big") + b"\xff\xff" + bytes(6)


def flow_mod(priority: int, match: bytes, action: bytes) -> bytes:
    """The body of a flow-mod that adds an entry with one action."""
    return (wire.FLOW_MOD_BODY.pack(0, 0, 0, 0, 0, 0, priority, ANY, ANY, ANY, 0) + match
            + b"\x00\x04" + (8 + len(action)).to_bytes(2, "big") + bytes(4) + action)


class Session(asyncio.Protocol):
    """The controller's end of one connection."""

    def __init__(self, controller: LearningController) -> None:
        self.controller = controller
        self.ready = False
        self.ports: dict[int, bool] = {}
        self.known: dict[bytes, int] = {}
        self._buffer = b""
        self._answers = {
            wire.ECHO_REQUEST: self._echo, wire.FEATURES_REPLY: self._features, wire.MULTIPART_REPLY: self._described,
            wire.BARRIER_REPLY: self._confirmed, wire.PORT_STATUS: self._port_status, wire.PACKET_IN: self._packet_in,
            wire.ERROR: self._error,
        }

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.controller.sessions.add(self)
        transport.write(wire.hello(1) + wire.message(wire.FEATURES_REQUEST, 2))

    def connection_lost(self, error: Exception | None) -> None:
        self.controller.sessions.discard(self)
        self.controller.changed()

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data
        at = 0
        while len(buffer) - at >= 8:
            length = int.from_bytes(buffer[at + 2:at + 4], "big")
            if len(buffer) - at < length:
                break
            answer = self._answers.get(buffer[at + 1])
            if answer is not None:
                answer(buffer[at:at + length])
            at += max(length, 8)
        self._buffer = buffer[at:]

    def _echo(self, message: bytes) -> None:
        self._transport.write(wire.message(wire.ECHO_REPLY, int.from_bytes(message[4:8], "big"), message[8:]))

    def _features(self, message: bytes) -> None:
        self._transport.write(
            wire.message(wire.FLOW_MOD, 3, flow_mod(0, MATCH_ALL, output(CONTROLLER)))
            + wire.message(wire.MULTIPART_REQUEST, 4, PORT_DESC.to_bytes(2, "big") + bytes(6))
            + wire.message(wire.BARRIER_REQUEST, 5))

    def _described(self, message: bytes) -> None:
        for at in range(16, len(message), PORT_DESC_SIZE):
            self._port(message[at:at + PORT_DESC_SIZE])

    def _port_status(self, message: bytes) -> None:
        if message[8] == 1:  # OFPPR_DELETE
            self.ports.pop(int.from_bytes(message[16:20], "big"), None)
            self.controller.changed()
        else:
            self._port(message[16:])

    def _port(self, description: bytes) -> None:
        number = int.from_bytes(description[:4], "big")
        if number < 0xff00:
            self.ports[number] = not description[35] & 1 and not description[39] & 1
            self.controller.changed()

    def _confirmed(self, message: bytes) -> None:
        self.ready = True
        self.controller.changed()

    def _error(self, message: bytes) -> None:
        print(f"refused: {message.hex()}", file=sys.stderr, flush=True)

    def _packet_in(self, message: bytes) -> None:
        end = 24 + (int.from_bytes(message[26:28], "big") + 7) // 8 * 8
        in_port = message[32:36]  # its TLV comes first
        data = message[end + 2:]
        destination = data[0:6]
        self.known[data[6:12]] = int.from_bytes(in_port, "big")
        out = FLOOD if destination[0] & 1 else self.known.get(destination, FLOOD)
        action = output(out)
        answer = b""
        if out != FLOOD:
            tlvs = b"\x80\x00\x00\x04" + in_port + b"\x80\x00\x06\x06" + destination
            match = b"\x00\x01" + (4 + len(tlvs)).to_bytes(2, "big") + tlvs + bytes(-(4 + len(tlvs)) % 8)
            answer = wire.message(wire.FLOW_MOD, 6, flow_mod(10, match, action))
        body = wire.PACKET_OUT_BODY.pack(ANY, int.from_bytes(in_port, "big"), len(action)) + action + data
        self._transport.write(answer + wire.message(wire.PACKET_OUT, 7, body))


class LearningController:
    """All sessions, and what is told about them."""

    def __init__(self) -> None:
        self.sessions: set[Session] = set()
        self._due = False

    def changed(self) -> None:
        """Say so soon, once for many changes."""
        if not self._due:
            self._due = True
            asyncio.get_running_loop().call_later(TELL_EVERY, self._tell)

    def _tell(self) -> None:
        self._due = False
        ready = sum(session.ready for session in self.sessions)
        print(ready, sum(sum(session.ports.values()) for session in self.sessions), flush=True)


async def serve(port: int) -> None:
    """Serve until the process is ended."""
    controller = LearningController()
    server = await asyncio.get_running_loop().create_server(lambda: Session(controller), "127.0.0.1", port,
                                                            backlog=1024)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
