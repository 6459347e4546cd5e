"""The three switches under comparison, each with its two controllers' sessions and what has come out of its ports.

The two real ones are behind veth pairs in the network namespace of a private Open vSwitch; frames go in and come out
by packet sockets at the far ends. The emulated one is called.
"""
from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable
from contextlib import suppress

from tests.oracle.line import Line
from tests.oracle.operations import OWN_ADDRESS, Step
from tests.oracle.telling import Item, answer, news, records
from tests.system.ovs import PrivateOvs, received
from tools.emulator import Switch, wire

FIRST_XID = 10
"""The xid of a script's first step."""
ANY_PORT = b"\xff" * 4 + bytes(4)
RECEIVE_BUFFER = 1 << 23
Out = list[tuple[int, str]]
"""(port, frame)."""


class System:
    """A switch, its controllers' sessions and what came out of it."""

    def __init__(self, name: str, lines: tuple[Line, Line]) -> None:
        self.name = name
        self.lines = lines
        self.line = lines[0]
        """The one that the harness itself asks through."""
        self.out: Out = []
        self.addresses: dict[int, bytes] = {}
        """The hardware address of each port."""
        self.baseline: dict[tuple[str, int], Item] = {}
        """Counters that cannot be reset, as they were when the script began."""

    def inject(self, port: int, frame: bytes) -> None:
        """A frame arrives at a port."""
        raise NotImplementedError

    def set_carrier(self, port: int, up: bool) -> None:
        """The far end of a port's wire goes down or up."""
        raise NotImplementedError

    def send(self, number: int, step: Step) -> None:
        """Send the message that is a step of a script."""
        body = step.message(FIRST_XID + number)
        if step.kind == wire.PORT_MOD and body[8:14] == OWN_ADDRESS:
            body = body[:8] + self.addresses.get(int.from_bytes(body[:4], "big"), OWN_ADDRESS) + body[14:]
        self.lines[step.by].send(step.kind, FIRST_XID + number, body)

    def answers(self, number: int) -> list[Item]:
        """What a step was answered with; an error about a port-mod as if it had been sent as it stands."""
        items = [item for line in self.lines for item in answer(line.answers.get(FIRST_XID + number, []))]
        for item in items:
            if item["is"] == "error":
                for address in self.addresses.values():
                    item["data"] = item["data"].replace(address.hex(), OWN_ADDRESS.hex())
        return self.grown(items)

    async def ports(self) -> list[Item]:
        """The descriptions of the ports."""
        found = records(13, await self.line.multipart(13))[1:]
        self.addresses = {item["port"]: bytes.fromhex(item["address"]) for item in found}
        return found

    def collect(self) -> None:
        """Take what has come out of the ports."""

    async def drained(self) -> None:
        """Return when what the datapaths said before has come to the sessions."""
        await asyncio.gather(*(line.barrier() for line in self.lines))

    def news(self, to: int = 0) -> list[Item]:
        """What one of the controllers was told without asking."""
        return [item for message in self.lines[to].told for item in news(message)]

    def forget(self) -> None:
        """Begin a new round."""
        for line in self.lines:
            line.told.clear()
        self.out.clear()

    async def take_baseline(self) -> None:
        """Note the counters that cannot be reset."""
        self.baseline = {}
        for kind, body, key in ((3, b"", "table"), (4, ANY_PORT, "port")):
            for item in records(kind, await self.line.multipart(kind, body)):
                if key in item:
                    self.baseline[item["is"], item[key]] = item

    def grown(self, items: Iterable[Item]) -> list[Item]:
        """Counters that cannot be reset as their growth since the baseline."""
        out = []
        for item in items:
            before = self.baseline.get((item["is"], item.get(item["is"], -1)))
            if before is not None:
                item = {name: value - before[name] if isinstance(value, int) and name not in KEPT else value
                        for name, value in item.items()}
            out.append(item)
        return out


KEPT = ("port", "table", "active")


class Wired(System):
    """A switch at veth pairs."""

    def __init__(self, name: str, lines: tuple[Line, Line], ovs: PrivateOvs, interfaces: dict[int, str]) -> None:
        super().__init__(name, lines)
        self._ovs = ovs
        self._interfaces = interfaces
        self._sockets: dict[int, socket.socket] = {}
        self._down: set[int] = set()
        for port, interface in interfaces.items():
            raw = self._sockets[port] = ovs.raw(interface)
            raw.setsockopt(socket.SOL_SOCKET, 33, RECEIVE_BUFFER)  # SO_RCVBUFFORCE

    def inject(self, port: int, frame: bytes) -> None:
        if port not in self._down:
            with suppress(OSError):  # the far end of a port that is configured down takes nothing
                self._sockets[port].send(frame)

    def set_carrier(self, port: int, up: bool) -> None:
        self._ovs.set_interface(self._interfaces[port], up)
        (self._down.discard if up else self._down.add)(port)

    def collect(self) -> None:
        for port, raw in self._sockets.items():
            self.out += [(port, frame.hex()) for frame in received(raw)]

    def close(self) -> None:
        for raw in self._sockets.values():
            raw.close()


class Logical(Wired):
    """A logical switch, whose datapaths answer behind hvproxy."""

    async def drained(self) -> None:
        """The edges of all its ports are asked, and answer after whatever they said before."""
        await self.line.multipart(4, ANY_PORT)
        await super().drained()


class Emulated(System):
    """The emulated switch, in this very process."""

    def __init__(self, name: str, lines: tuple[Line, Line], switch: Switch, ports: Iterable[int]) -> None:
        super().__init__(name, lines)
        self._switch = switch
        for number in ports:
            port = switch.ports[number]
            port.send = lambda frame, number=number: self.out.append((number, frame.hex()))  # type: ignore[misc]
            port.carrier = True
            port.config = 0

    def inject(self, port: int, frame: bytes) -> None:
        if self._switch.ports[port].carrier:
            self._switch.receive(port, frame)

    def set_carrier(self, port: int, up: bool) -> None:
        self._switch.set_carrier(port, up)
