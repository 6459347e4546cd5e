"""Does the same steps on the emulated switch and on a real Open vSwitch and tells every difference."""
from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.system import ovs
from tests.system.script import PORTS, Step
from tests.tools.controller import (
    ANY, Channel, Controller, flow_mod, flow_request, group_mod, match_fields, packet_in_parts)
from tools.emulator import wire
from tools.emulator.switch import Switch

DPID = 0xc0ffee
LOCAL = 0xfffffffe
GRACE, PATIENCE = 0.004, 0.4
Private = tuple[ovs.PrivateOvs, dict[int, str], socket.socket]
"""A real switch, its interfaces by port, and a listening socket beside it for it to dial."""


def flow_records(body: bytes) -> list[tuple[Any, ...]]:
    """Flow statistics without durations, in an order of their own."""
    records = []
    while body:
        length, table, _, _, priority, idle, hard, flags, cookie, packets, size = wire.FLOW_STATS_BODY.unpack_from(body)
        fields, offset = match_fields(body, 48)
        records.append((table, priority, sorted(fields.items()), idle, hard, flags, cookie, packets, size,
                        body[offset:length].hex()))
        body = body[length:]
    return sorted(records)


def port_records(body: bytes) -> list[tuple[int, ...]]:
    """Packets and bytes of the real ports."""
    found = []
    for start in range(0, len(body), 112):
        numbers = [int.from_bytes(body[start + 8 + place:start + 16 + place], "big") for place in (0, 8, 16, 24)]
        number = int.from_bytes(body[start:start + 4], "big")
        if number != LOCAL:
            found.append((number, *numbers))
    return sorted(found)


def group_records(body: bytes, description: bool) -> list[str]:
    """Group statistics without durations, or descriptions."""
    records = []
    while body:
        length = int.from_bytes(body[0:2], "big")
        record = body[:length] if description else body[:32] + bytes(8) + body[40:length]
        records.append(record.hex())
        body = body[length:]
    return sorted(records)


def comparable(messages: list[bytes]) -> list[Any]:
    """Answers without what may differ: times, names, the order of records."""
    out: list[Any] = []
    for message in messages:
        if message[1] != wire.MULTIPART_REPLY:
            out.append(message.hex())
            continue
        kind, body = int.from_bytes(message[8:10], "big"), message[16:]
        if kind == 1:
            out.append((kind, flow_records(body)))
        elif kind == 3:
            out.append((kind, [body[start:start + 24].hex() for start in range(0, len(body), 24)
                               if any(body[start + 4:start + 24])]))
        elif kind == 4:
            out.append((kind, port_records(body)))
        elif kind == 9:
            out.append((kind, body[:32].hex(), body[40:].hex()))
        elif kind in (6, 7):
            out.append((kind, group_records(body, kind == 7)))
        elif kind == 13:
            numbers = (int.from_bytes(body[start:start + 4], "big") for start in range(0, len(body), 64))
            out.append((kind, sorted(numbers)))
        elif kind == 0:
            out.append((kind, len(body)))
        else:
            out.append((kind, body.hex()))
    return out


def removed_parts(message: bytes) -> tuple[Any, ...]:
    """A flow-removed without its duration."""
    cookie, priority, reason, table, _, _, idle, hard, packets, size = wire.FLOW_REMOVED_BODY.unpack_from(message, 8)
    fields, _ = match_fields(message, 48)
    return (table, priority, sorted(fields.items()), cookie, reason, idle, hard, packets, size)


class Side:
    """One of the two switches, with what came out of it since it was last asked."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.out: dict[int, list[bytes]] = {port: [] for port in PORTS}
        self.told: list[Any] = []

    def take(self) -> None:
        """Collect asynchronous messages."""
        while not self.channel.inbox.empty():
            message = self.channel.inbox.get_nowait()
            if message[1] == wire.PACKET_IN:
                self.told.append(("packet-in", *sorted(packet_in_parts(message).items())))
            elif message[1] == wire.FLOW_REMOVED:
                self.told.append(("removed", *removed_parts(message)))
            elif message[1] == wire.PORT_STATUS:
                self.told.append(("port", message[8], message[16:20].hex(), message[48:56].hex()))

    def count(self) -> int:
        """How much has come out."""
        return len(self.told) + sum(map(len, self.out.values()))

    def drain(self) -> tuple[list[Any], dict[int, list[bytes]]]:
        """What has come out, in an order of its own."""
        result = (sorted(self.told, key=repr), {port: sorted(frames) for port, frames in self.out.items()})
        self.told, self.out = [], {port: [] for port in PORTS}
        return result

    async def inject(self, port: int, frame: bytes) -> None:
        raise NotImplementedError

    async def settle(self, wanted: int) -> None:
        """Wait until as much has come out as is wanted, and a moment longer."""
        raise NotImplementedError

    async def flush(self) -> None:
        """Let no earlier decision live on in a cache, and counters be exact."""


class Emulated(Side):
    """The emulated switch."""

    def __init__(self, channel: Channel, switch: Switch) -> None:
        super().__init__(channel)
        self.switch = switch
        for number in PORTS:
            port = switch.ports.get(number) or switch.add_port(number)
            port.send = self._collector(number)
            port.carrier = True

    def _collector(self, number: int) -> Any:
        return lambda frame: self.out[number].append(frame)

    async def inject(self, port: int, frame: bytes) -> None:
        self.switch.receive(port, frame)

    async def settle(self, wanted: int) -> None:
        await self.channel.ask(wire.BARRIER_REQUEST)
        self.take()


class Real(Side):
    """The bridge of a real Open vSwitch, behind veth pairs."""

    def __init__(self, channel: Channel, private: ovs.PrivateOvs, interfaces: dict[int, str]) -> None:
        super().__init__(channel)
        self.private = private
        self.interfaces = interfaces
        self.sockets: dict[int, socket.socket] = {
            port: private.raw(interface) for port, interface in interfaces.items()}

    async def inject(self, port: int, frame: bytes) -> None:
        self.sockets[port].send(frame)

    async def settle(self, wanted: int) -> None:
        loop = asyncio.get_running_loop()
        deadline, quiet = loop.time() + PATIENCE, loop.time() + GRACE
        while loop.time() < (quiet if self.count() >= wanted else deadline):
            before = self.count()
            self._read()
            await self.channel.ask(wire.BARRIER_REQUEST)
            self.take()
            if self.count() != before:
                quiet = loop.time() + GRACE
            await asyncio.sleep(0.0005)

    def _read(self) -> None:
        for port, raw in self.sockets.items():
            self.out[port].extend(ovs.received(raw))

    async def flush(self) -> None:
        self.private.control("revalidator/purge")

    def close(self) -> None:
        for raw in self.sockets.values():
            raw.close()


@asynccontextmanager
async def both(private: Private) -> AsyncIterator[tuple[Real, Emulated]]:
    """Sessions with both switches, both empty."""
    started, interfaces, listener = private
    controller, beside = Controller(), Controller()
    await controller.start()
    switch = Switch(DPID, "s1")
    for port in PORTS:
        switch.add_port(port)
    link = switch.connect(controller.address)
    assert link is switch.links[0]
    server = await asyncio.start_server(beside._accepted, sock=listener.dup())
    for controllers in ((), (f"tcp:127.0.0.1:{listener.getsockname()[1]}",)):
        started.set_controllers("s1", *controllers)  # forgotten and set anew, it dials at once
    deadline = asyncio.get_running_loop().time() + 20
    while not (controller.channels and beside.channels):
        assert asyncio.get_running_loop().time() < deadline, "a switch did not connect"
        await asyncio.sleep(0.01)
    real, emulated = Real(beside.channels[DPID], started, interfaces), Emulated(controller.channels[DPID], switch)
    try:
        for side in (real, emulated):
            side.channel._xid = 5000
            await side.channel.ask(wire.FLOW_MOD, flow_mod(command=3, table=0xff))
            await side.channel.ask(wire.GROUP_MOD, group_mod(2, 0, 0xfffffffc))
            await side.channel.ask(wire.METER_MOD, b"\0\2\0\0" + b"\xff" * 4)
            await side.flush()
            await side.settle(0)
            side.drain()
            side.channel._xid = 10000
        yield real, emulated
    finally:
        real.close()
        server.close()
        beside.channels[DPID].writer.close()
        await switch.close()
        await controller.stop()


async def ports_before(side: Side) -> dict[int, tuple[int, ...]]:
    """Port counters, of which only the growth is compared."""
    body = await side.channel.multipart(4, ANY.to_bytes(4, "big") + bytes(4))
    return {number: tuple(rest) for number, *rest in port_records(body)}


def growth(answers: list[Any], before: dict[int, tuple[int, ...]]) -> list[Any]:
    """Port statistics relative to those at the start."""
    out = []
    for answer in answers:
        if isinstance(answer, tuple) and answer[0] == 4:
            answer = (4, [(number, *(now - then for now, then in zip(rest, before[number], strict=True)))
                          for number, *rest in answer[1]])
        out.append(answer)
    return out


def unlike(what: str, real: list[Any], emulated: list[Any]) -> str:
    """Two lists that differ, without what they share."""
    if len(real) == len(emulated) == 1 and isinstance(real[0], tuple) and isinstance(real[0][1], list):
        return unlike(f"{what} {real[0][0]}", real[0][1], emulated[0][1])
    return (f"{what}\n  only real     {[item for item in real if item not in emulated]}"
            f"\n  only emulated {[item for item in emulated if item not in real]}")


class Comparison:
    """Does steps on both sides and compares."""

    def __init__(self, real: Real, emulated: Emulated) -> None:
        self.sides: tuple[Side, Side] = (real, emulated)
        self.number = 0
        self.seen = {"messages": 0, "frames": 0, "refusals": 0}
        """How much there was to compare."""
        self.before: list[dict[int, tuple[int, ...]]] = []
        self.tables: list[dict[int, tuple[int, int]]] = []

    async def begin(self) -> None:
        """Note where counters stand that cannot be reset."""
        self.before = [await ports_before(side) for side in self.sides]
        self.tables = [await self._table_counts(side) for side in self.sides]

    async def step(self, step: Step) -> list[str]:
        """Do one step; the differences."""
        real, emulated = self.sides
        self.number += 1
        answers: list[list[Any]] = []
        for side in self.sides:
            if step.what == "frame" or step.kind in (wire.PACKET_OUT, wire.MULTIPART_REQUEST):
                await side.flush()
            if step.what == "frame":
                await side.inject(step.port, step.body)
                answers.append([])
            else:
                side.channel._xid = 10000 + 100 * self.number
                answers.append(comparable(await side.channel.ask(step.kind, step.body)))
        await emulated.settle(0)
        await real.settle(emulated.count())
        answers = [self._relative(answer, index) for index, answer in enumerate(answers)]
        differences = []
        if answers[0] != answers[1]:
            differences.append(unlike("answers", *answers))
        (told, frames), (other_told, other_frames) = real.drain(), emulated.drain()
        self.seen["messages"] += len(told)
        self.seen["frames"] += sum(map(len, frames.values()))
        self.seen["refusals"] += sum(isinstance(answer, str) and answer[2:4] == "01" for answer in answers[0])
        if told != other_told:
            differences.append(unlike("messages", told, other_told))
        if frames != other_frames:
            shown = [{port: [frame.hex() for frame in got] for port, got in side.items()}
                     for side in (frames, other_frames)]
            differences.append(unlike("frames", [*shown[0].items()], [*shown[1].items()]))
        return differences

    def _relative(self, answers: list[Any], index: int) -> list[Any]:
        out = []
        for answer in growth(answers, self.before[index]):
            if isinstance(answer, tuple) and answer[0] == 3:
                answer = (3, self._growth_of_tables(answer[1], index))
            out.append(answer)
        return out

    def _growth_of_tables(self, records: list[str], index: int) -> list[tuple[int, ...]]:
        found: list[tuple[int, ...]] = []
        for record in map(bytes.fromhex, records):
            looked, matched = self.tables[index].get(record[0], (0, 0))
            numbers = (record[0], int.from_bytes(record[4:8], "big"),
                       int.from_bytes(record[8:16], "big") - looked, int.from_bytes(record[16:24], "big") - matched)
            if any(numbers[1:]):
                found.append(numbers)
        return found

    @staticmethod
    async def _table_counts(side: Side) -> dict[int, tuple[int, int]]:
        body = await side.channel.multipart(3)
        return {body[start]: (int.from_bytes(body[start + 8:start + 16], "big"),
                              int.from_bytes(body[start + 16:start + 24], "big")) for start in range(0, len(body), 24)}


def compare(private: Private, steps: list[Step]) -> dict[str, int]:
    """Fail with the first differences between the two switches; how much was compared."""
    seen: dict[str, int] = {}

    async def main() -> list[str]:
        found: list[str] = []
        async with both(private) as (real, emulated):
            comparison = Comparison(real, emulated)
            await comparison.begin()
            for number, step in enumerate(steps):
                try:
                    differences = await comparison.step(step)
                except (asyncio.IncompleteReadError, ConnectionError, StopIteration) as lost:
                    found.append(f"step {number} {step.what} {step.body.hex()}: connection lost, {lost!r}")
                    break
                for difference in differences:
                    found.append(f"step {number} {step.what} port {step.port} {step.body.hex()}: {difference}")
                if len(found) >= int(os.environ.get("DIFFERENCES", "3")):
                    break
            seen.update(comparison.seen)
        return found
    found = asyncio.run(main())
    assert not found, "\n".join(found)
    print(len(steps), seen)
    return seen


ALL_GROUPS = (0xfffffffc).to_bytes(4, "big") + bytes(4)
EVERYTHING = [Step(f"multipart {kind}", wire.MULTIPART_REQUEST, kind.to_bytes(2, "big") + bytes(6) + body)
              for kind, body in ((1, flow_request()), (2, flow_request()), (3, b""),
                                 (4, ANY.to_bytes(4, "big") + bytes(4)), (6, ALL_GROUPS), (7, b""), (8, b""))]
"""Requests for all that a switch tells about itself and is compared."""
