"""The two ends of a measured connection: a switch that only pretends, and a controller that counts.

Both speak as much OpenFlow 1.3 as a session needs. The switch learns from the rules it is given what a packet-in must
carry: the context that the rule of its access port writes, and the table and cookie of the table-miss entry.
"""
from __future__ import annotations

import asyncio
from collections.abc import Callable

from tools.emulator import oxm, wire
from tools.emulator.ports import DESCRIPTION

IN_PORT, OUT_PORT = 1, 2
ANY = 0xffffffff
CONTROLLER = 0xfffffffd
ADD, DELETE, DELETE_STRICT = 0, 3, 4
FLOW, PORT_STATS, GROUP, GROUP_DESC, PORT_DESC = 1, 4, 6, 7, 13
WRITE_METADATA, APPLY_ACTIONS = 2, 4
BENCH_COOKIE = 0xbe
CHUNK = 1 << 18
FRAME = bytes.fromhex("020000000002 020000000001 0800 4500005400004000401126a6 0a000001 0a000002") + bytes(64)


class End(asyncio.Protocol):
    """One end of a connection."""

    def __init__(self) -> None:
        self.closed = False
        self._partial = b""
        self._writable = asyncio.Event()
        self._writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.set_write_buffer_limits(CHUNK)
        transport.write(wire.hello(1))

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        data = self._partial + data
        at, size = 0, len(data)
        while size - at >= 8:
            length = data[at + 2] << 8 | data[at + 3]
            if size - at < length:
                break
            self.take(data[at + 1], data[at:at + length])
            at += max(length, 8)
        self._partial = data[at:]

    def take(self, kind: int, message: bytes) -> None:
        """A message has come."""
        raise NotImplementedError

    def answer(self, kind: int, request: bytes, body: bytes = b"") -> None:
        """Answer a request under its xid."""
        self.transport.write(wire.message(kind, int.from_bytes(request[4:8], "big"), body))

    async def flood(self, messages: list[bytes]) -> None:
        """Send messages as fast as the connection takes them."""
        data = b"".join(messages)
        for at in range(0, len(data), CHUNK):
            await self._writable.wait()
            self.transport.write(data[at:at + CHUNK])
        await self._writable.wait()


class Switch(End):
    """The switch's end."""

    def __init__(self, dpid: int = 1) -> None:
        super().__init__()
        self.dpid = dpid
        self.flow_mods = 0
        self.context = 0
        self.miss: tuple[int, int] | None = None
        """(table, cookie) of the table-miss entry."""
        self.on_flow_mod: Callable[[], None] | None = None
        self.echoed = 0
        self._rules: dict[bytes, bytes] = {}
        """(table, priority, match) to cookie, for the flow-removed of a rule that goes."""

    def take(self, kind: int, message: bytes) -> None:
        if kind == wire.FLOW_MOD:
            self.flow_mods += 1
            self._flow_mod(message)
            if self.on_flow_mod is not None:
                self.on_flow_mod()
        elif kind == wire.BARRIER_REQUEST:
            self.answer(wire.BARRIER_REPLY, message)
        elif kind == wire.ECHO_REQUEST:
            self.answer(wire.ECHO_REPLY, message, message[8:])
        elif kind == wire.ECHO_REPLY:
            self.echoed += 1
        elif kind == wire.FEATURES_REQUEST:
            self.answer(wire.FEATURES_REPLY, message, wire.FEATURES_BODY.pack(self.dpid, 0, 254, 0, 0x4f, 0))
        elif kind == wire.MULTIPART_REQUEST:
            self._multipart(message)

    def _multipart(self, message: bytes) -> None:
        kind = int.from_bytes(message[8:10], "big")
        body = b""
        if kind == PORT_DESC:
            for number in (IN_PORT, OUT_PORT):
                mac = bytes((2, 0, 0, 0, self.dpid, number))
                body += DESCRIPTION.pack(number, mac, f"p{number}".encode(), 0, 4, 0, 0, 0, 0, 0, 0)
        elif kind not in (FLOW, PORT_STATS, GROUP, GROUP_DESC):
            self.transport.write(wire.error(message, wire.BAD_REQUEST, wire.BRC_BAD_MULTIPART))
            return
        self.answer(wire.MULTIPART_REPLY, message, message[8:10] + bytes(6) + body)

    def _flow_mod(self, message: bytes) -> None:
        key = message[24:25] + message[30:32] + message[48:48 + int.from_bytes(message[50:52], "big")]
        command = message[25]
        if command == ADD:
            self._rules[key] = message[8:16]
            if self.miss is None:
                self._learn(message)
        elif command == DELETE_STRICT:
            cookie = self._rules.pop(key, None)
            if cookie is not None:
                body = cookie + message[30:32] + bytes((2, message[24])) + bytes(28) + message[48:]
                self.transport.write(wire.message(wire.FLOW_REMOVED, 0, body))

    def _learn(self, message: bytes) -> None:
        cookie, _, table, _, _, _, priority, *_ = wire.FLOW_MOD_BODY.unpack_from(message, 8)
        length = int.from_bytes(message[50:52], "big")
        match, instructions = message[52:48 + length], message[48 + (length + 7) // 8 * 8:]
        if priority == 0:
            self.miss = table, cookie
        elif match == oxm.tlv(oxm.IN_PORT, IN_PORT) and int.from_bytes(instructions[:2], "big") == WRITE_METADATA:
            self.context = int.from_bytes(instructions[8:16], "big")

    def packet_in(self) -> bytes:
        """The packet-in of a frame that only the table-miss entry matched."""
        assert self.miss is not None
        tlvs = wire.packet_in_tlvs(IN_PORT, {oxm.METADATA: self.context})
        return wire.packet_in(0, 0 if self.context == 0 else 1, *self.miss, tlvs, FRAME)


class Controller(End):
    """The controller's end."""

    def __init__(self) -> None:
        super().__init__()
        self.packet_ins = 0
        self.barriers = 0
        self.refusals = 0
        self.ready = False
        self.on_packet_in: Callable[[], None] | None = None
        self._serial = 0

    def take(self, kind: int, message: bytes) -> None:
        if kind == wire.PACKET_IN:
            self.packet_ins += 1
            if self.on_packet_in is not None:
                self.on_packet_in()
        elif kind == wire.BARRIER_REPLY:
            self.barriers += 1
            self.ready = True
        elif kind == wire.ECHO_REQUEST:
            self.answer(wire.ECHO_REPLY, message, message[8:])
        elif kind == wire.ERROR:
            self.refusals += 1
        elif kind == wire.HELLO:
            self.transport.write(wire.message(wire.FEATURES_REQUEST, 2))
        elif kind == wire.FEATURES_REPLY:
            self.transport.write(self.flow_mod(priority=0, match=b"", out=CONTROLLER)
                                 + wire.message(wire.BARRIER_REQUEST, 3))

    def flow_mod(self, *, priority: int = 100, match: bytes | None = None, out: int = OUT_PORT) -> bytes:
        """A flow-mod that adds an entry; without a match one for a UDP flow that had none before."""
        cookie = 0
        if match is None:
            self._serial += 1
            cookie = BENCH_COOKIE
            match = b"".join(oxm.tlv(field, value) for field, value in (
                (oxm.IN_PORT, IN_PORT), (oxm.ETH_TYPE, 0x800), (oxm.IP_PROTO, 17), (oxm.IPV4_SRC, 0x0a000001),
                (oxm.IPV4_DST, 0x0a000002), (oxm.UDP_SRC, self._serial >> 16), (oxm.UDP_DST, self._serial & 0xffff)))
        action = b"\x00\x00\x00\x10" + out.to_bytes(4, "big") + b"\xff\xff" + bytes(6)
        return wire.message(wire.FLOW_MOD, 4, wire.FLOW_MOD_BODY.pack(
            cookie, 0, 0, ADD, 0, 0, priority, ANY, ANY, ANY, 0) + struct_match(match)
            + APPLY_ACTIONS.to_bytes(2, "big") + (8 + len(action)).to_bytes(2, "big") + bytes(4) + action)

    def clean(self) -> bytes:
        """A flow-mod that deletes all entries but the table-miss entry, and a barrier."""
        return wire.message(wire.FLOW_MOD, 4, wire.FLOW_MOD_BODY.pack(
            BENCH_COOKIE, 0xffffffffffffffff, 0xff, DELETE, 0, 0, 0, ANY, ANY, ANY, 0) + struct_match(b"")
        ) + wire.message(wire.BARRIER_REQUEST, 5)


def struct_match(tlvs: bytes) -> bytes:
    """struct ofp_match."""
    length = 4 + len(tlvs)
    return b"\x00\x01" + length.to_bytes(2, "big") + tlvs + bytes(-length % 8)
