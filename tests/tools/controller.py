"""A small OpenFlow 1.3 controller for tests, over real TCP: sends bytes, waits for answers, can learn addresses."""
from __future__ import annotations

import asyncio
from collections.abc import Callable

from tools.emulator import oxm, wire

SAFETY_NET = 60.0
"""Seconds after which an answer is given up; nothing is measured with it."""
ANY = 0xffffffff
CONTROLLER, FLOOD, IN_PORT, TABLE, ALL = 0xfffffffd, 0xfffffffb, 0xfffffff8, 0xfffffff9, 0xfffffffc


def output(port: int, max_len: int = 0xffff) -> bytes:
    """An output action."""
    return b"\x00\x00\x00\x10" + port.to_bytes(4, "big") + max_len.to_bytes(2, "big") + bytes(6)


def group(group_id: int) -> bytes:
    """A group action."""
    return b"\x00\x16\x00\x08" + group_id.to_bytes(4, "big")


def simple(kind: int, half: int = 0) -> bytes:
    """An action of eight bytes."""
    return kind.to_bytes(2, "big") + b"\x00\x08" + half.to_bytes(2, "big") + bytes(2)


def set_field(field: int, value: int) -> bytes:
    """A set-field action."""
    body = oxm.tlv(field, value)
    length = (4 + len(body) + 7) // 8 * 8
    return b"\x00\x19" + length.to_bytes(2, "big") + body + bytes(length - 4 - len(body))


def apply(*actions: bytes) -> bytes:
    """An apply-actions instruction."""
    body = b"".join(actions)
    return b"\x00\x04" + (8 + len(body)).to_bytes(2, "big") + bytes(4) + body


def write(*actions: bytes) -> bytes:
    """A write-actions instruction."""
    return b"\x00\x03" + apply(*actions)[2:]


def clear() -> bytes:
    """A clear-actions instruction."""
    return b"\x00\x05\x00\x08" + bytes(4)


def goto(table_id: int) -> bytes:
    """A goto-table instruction."""
    return b"\x00\x01\x00\x08" + bytes((table_id, 0, 0, 0))


def metadata(value: int, mask: int = (1 << 64) - 1) -> bytes:
    """A write-metadata instruction."""
    return b"\x00\x02\x00\x18" + bytes(4) + value.to_bytes(8, "big") + mask.to_bytes(8, "big")


def match(**fields: int | tuple[int, int]) -> bytes:
    """struct ofp_match with the named fields, as match(ETH_TYPE=0x0800, IPV4_DST=(value, mask)), in field order."""
    numbers = {getattr(oxm, name): value for name, value in fields.items()}
    body = b"".join(oxm.tlv(number, *(value if isinstance(value, tuple) else (value,)))
                    for number, value in sorted(numbers.items()))
    length = 4 + len(body)
    return b"\x00\x01" + length.to_bytes(2, "big") + body + bytes(-length % 8)


def flow_mod(match_bytes: bytes = match(), instructions: bytes = b"", *, command: int = 0, table: int = 0,
             priority: int = 100, cookie: int = 0, mask: int = 0, idle: int = 0, hard: int = 0, flags: int = 0,
             out_port: int = ANY, out_group: int = ANY, buffer_id: int = ANY) -> bytes:
    """The body of a flow-mod."""
    return wire.FLOW_MOD_BODY.pack(cookie, mask, table, command, idle, hard, priority, buffer_id, out_port, out_group,
                                   flags) + match_bytes + instructions


def bucket(*actions: bytes, weight: int = 0, watch_port: int = ANY, watch_group: int = ANY) -> bytes:
    """struct ofp_bucket."""
    body = b"".join(actions)
    return ((16 + len(body)).to_bytes(2, "big") + weight.to_bytes(2, "big") + watch_port.to_bytes(4, "big")
            + watch_group.to_bytes(4, "big") + bytes(4) + body)


def group_mod(command: int, kind: int, group_id: int, *buckets: bytes) -> bytes:
    """The body of a group-mod."""
    return command.to_bytes(2, "big") + bytes((kind, 0)) + group_id.to_bytes(4, "big") + b"".join(buckets)


def packet_out(data: bytes, *actions: bytes, in_port: int = CONTROLLER) -> bytes:
    """The body of a packet-out."""
    body = b"".join(actions)
    return wire.PACKET_OUT_BODY.pack(ANY, in_port, len(body)) + body + data


def flow_request(match_bytes: bytes = match(), *, table: int = 0xff, out_port: int = ANY, out_group: int = ANY,
                 cookie: int = 0, mask: int = 0) -> bytes:
    """The body of a flow or aggregate request behind its multipart header."""
    return (bytes((table, 0, 0, 0)) + out_port.to_bytes(4, "big") + out_group.to_bytes(4, "big") + bytes(4)
            + cookie.to_bytes(8, "big") + mask.to_bytes(8, "big") + match_bytes)


class Channel:
    """The controller's side of one session."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.dpid = 0
        self.inbox: asyncio.Queue[bytes] = asyncio.Queue()
        """Everything received that was not an answer somebody waited for."""
        self.on_message: Callable[[Channel, bytes], None] | None = None
        self._xid = 1000

    def send(self, kind: int, body: bytes = b"") -> int:
        """Send a message; its xid."""
        self._xid += 1
        self.writer.write(wire.message(kind, self._xid, body))
        return self._xid

    async def ask(self, kind: int, body: bytes = b"") -> list[bytes]:
        """Send a message and a barrier; every message received with the first xid until the barrier's reply."""
        xid = self.send(kind, body)
        barrier = self.send(wire.BARRIER_REQUEST)
        answers: list[bytes] = []
        while True:
            message = await asyncio.wait_for(self.receive(), SAFETY_NET)
            found = int.from_bytes(message[4:8], "big")
            if message[1] == wire.BARRIER_REPLY and found == barrier:
                return answers
            if found == xid and message[1] not in (wire.PACKET_IN, wire.PORT_STATUS, wire.FLOW_REMOVED):
                answers.append(message)
            else:
                self.inbox.put_nowait(message)

    async def refusal(self, kind: int, body: bytes = b"") -> tuple[int, int] | None:
        """(type, code) of the error a message is answered with, or None."""
        for message in await self.ask(kind, body):
            if message[1] == wire.ERROR:
                return int.from_bytes(message[8:10], "big"), int.from_bytes(message[10:12], "big")
        return None

    async def multipart(self, kind: int, body: bytes = b"") -> bytes:
        """The joined bodies of the replies to a multipart request."""
        answers = await self.ask(wire.MULTIPART_REQUEST, kind.to_bytes(2, "big") + bytes(6) + body)
        assert answers and all(message[1] == wire.MULTIPART_REPLY for message in answers), answers
        return b"".join(message[16:] for message in answers)

    async def receive(self) -> bytes:
        """The next message."""
        head = await self.reader.readexactly(8)
        return head + await self.reader.readexactly(int.from_bytes(head[2:4], "big") - 8)

    async def serve(self) -> None:
        """Give every message to on_message until the connection ends."""
        try:
            while True:
                message = await self.receive()
                if self.on_message is not None:
                    self.on_message(self, message)
        except (asyncio.IncompleteReadError, ConnectionError):
            self.writer.close()


class Controller:
    """Listens on a port of its own; `channels` by datapath id."""

    def __init__(self) -> None:
        self.channels: dict[int, Channel] = {}
        self.address = ""
        self.arrivals = 0
        self._server: asyncio.Server | None = None
        self.on_connect: Callable[[Channel], None] | None = None

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", 0)
        self.address = f"tcp:127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        """Stop listening and cut everything."""
        if self._server is not None:
            self._server.close()
        for channel in self.channels.values():
            channel.writer.close()

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._opened(Channel(reader, writer), writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()  # gone before its session was open; whoever wants one comes again

    async def _opened(self, channel: Channel, writer: asyncio.StreamWriter) -> None:
        writer.write(wire.hello(1))
        hello = await channel.receive()
        assert hello[1] == wire.HELLO
        channel.send(wire.FEATURES_REQUEST)
        while True:
            message = await channel.receive()
            if message[1] == wire.FEATURES_REPLY:
                break
        channel.dpid = int.from_bytes(message[8:16], "big")
        self.channels[channel.dpid] = channel
        self.arrivals += 1
        if self.on_connect is not None:
            self.on_connect(channel)


def match_fields(message: bytes, offset: int) -> tuple[dict[int, bytes], int]:
    """struct ofp_match at offset as {OXM header: value and mask}, and the offset behind it."""
    length = int.from_bytes(message[offset + 2:offset + 4], "big")
    end, place = offset + length, offset + 4
    fields: dict[int, bytes] = {}
    while place < end:
        header, stop = int.from_bytes(message[place:place + 4], "big"), place + 4 + message[place + 3]
        fields[header] = message[place + 4:stop]
        place = stop
    return fields, offset + (length + 7) // 8 * 8


def packet_in_parts(message: bytes) -> dict[str, int | bytes]:
    """The parts of a packet-in; pipeline fields other than port and metadata together as `others`."""
    _, total, reason, table, cookie = wire.PACKET_IN_BODY.unpack_from(message, 8)
    fields, offset = match_fields(message, 24)
    in_port = int.from_bytes(fields.pop(0x80000004), "big")
    metadata_value = int.from_bytes(fields.pop(0x80000408, b""), "big")
    others = b"".join(header.to_bytes(4, "big") + fields[header] for header in sorted(fields))
    return {"total": total, "reason": reason, "table": table, "cookie": cookie, "in_port": in_port,
            "metadata": metadata_value, "others": others, "data": message[offset + 2:]}


class LearningController(Controller):
    """An ordinary learning switch: packet-ins teach it addresses, known destinations get entries."""

    def __init__(self) -> None:
        super().__init__()
        self.on_connect = self._connected
        self.tables: dict[int, dict[bytes, int]] = {}
        self.packet_ins = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def _connected(self, channel: Channel) -> None:
        channel.send(wire.FLOW_MOD, flow_mod(match(), apply(output(CONTROLLER)), priority=0))
        channel.on_message = self._message
        task = asyncio.get_running_loop().create_task(channel.serve())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _message(self, channel: Channel, message: bytes) -> None:
        if message[1] != wire.PACKET_IN:
            return
        self.packet_ins += 1
        parts = packet_in_parts(message)
        data, in_port = parts["data"], parts["in_port"]
        assert isinstance(data, bytes) and isinstance(in_port, int)
        known = self.tables.setdefault(channel.dpid, {})
        known[data[6:12]] = in_port
        out = known.get(data[0:6], FLOOD)
        if out != FLOOD:
            channel.send(wire.FLOW_MOD, flow_mod(
                match(IN_PORT=in_port, ETH_DST=int.from_bytes(data[0:6], "big")), apply(output(out)), priority=10))
        channel.send(wire.PACKET_OUT, packet_out(data, output(out), in_port=in_port))
