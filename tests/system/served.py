"""A real hvproxy over loopback sockets, an emulated fabric, and a tenant who must never notice what others do.

The fabric is two leaves and a spine in the test's own event loop. The good tenant has a host on each leaf and a
controller that hvproxy dials; `Good.watch` sends barriers, echoes and pings all the time, and every one must be
answered.
"""
from __future__ import annotations

import asyncio
import json
import os
import signal
import ssl
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml

from tests.tools.controller import Channel, Controller, apply, flow_mod, match, output, FLOOD
from tools.emulator import leaf_spine, wire
from tools.ports import free_ports

SAFETY_NET = 60.0
"""Seconds after which a condition that should have come counts as failed; nothing is measured with it."""


async def until(condition: Callable[[], object], what: str) -> None:
    """Wait for a condition."""
    deadline = asyncio.get_running_loop().time() + SAFETY_NET
    while not condition():
        if asyncio.get_running_loop().time() > deadline:
            raise TimeoutError(what)
        await asyncio.sleep(0.01)


class Good:
    """The tenant who must not notice: rounds of barrier, echo and pings, each of which must be answered."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self.rounds = 0
        self.channel: Channel | None = None

    async def start(self, controller: Controller) -> None:
        """Wait for the session, flood by one entry, and see the first ping through."""
        await until(lambda: controller.channels, "hvproxy dials the good controller")
        self.channel = next(iter(controller.channels.values()))
        assert await self.channel.ask(wire.FLOW_MOD, flow_mod(match(), apply(output(FLOOD)))) == []
        hosts = self._served.fabric.hosts
        while await hosts["h1-1"].ping("10.0.2.1") is None:
            assert self._served.process.poll() is None
        self._sessions = self._now()

    async def round(self) -> None:
        """One of everything."""
        assert self.channel is not None
        answers = await self.channel.ask(wire.ECHO_REQUEST, b"still there?")
        assert [(answer[1], answer[8:]) for answer in answers] == [(wire.ECHO_REPLY, b"still there?")]
        hosts = self._served.fabric.hosts
        assert await hosts["h1-1"].ping("10.0.2.1", SAFETY_NET) is not None
        assert await hosts["h2-1"].ping("10.0.1.1", SAFETY_NET) is not None
        assert self._now() == self._sessions, "a good session was lost"
        self.rounds += 1

    async def during(self, what: Awaitable[Any]) -> Any:
        """Do something while the rounds go on, and see one whole round begin and end after it."""
        going_on = True

        async def keep_on() -> None:
            while going_on:
                await self.round()
                await asyncio.sleep(0)

        rounds = asyncio.ensure_future(keep_on())
        try:
            result = await what
        finally:
            going_on = False
            await rounds
        await self.round()
        return result

    def _now(self) -> list[object]:
        return [session for switch in self._served.fabric.switches.values() for session in switch.sessions]


class Served:
    """Async context manager: hvproxy serves, the good tenant is up.

    `tls` are the paths of key, certificate and CA, with which everything that can be is a TLS connection; then
    `context` is what the switches dial with and `controller_tls` what the good controller listens with.
    """

    def __init__(self, tls: dict[str, str] | None = None, context: ssl.SSLContext | None = None,
                 controller_tls: ssl.SSLContext | None = None) -> None:
        self.fabric = leaf_spine(1, 2, 2)
        self.switch_port, self.red_port, self.other_port, self.api_port, self.controller_port = free_ports(5)
        self.good = Good(self)
        self._tls, self._context, self._controller_tls = tls, context, controller_tls
        self.said = b""
        """What hvproxy has logged, once it is ended."""
        self._directory = tempfile.TemporaryDirectory(prefix="hvserved")
        self.log = Path(self._directory.name) / "hvproxy.log"
        self._controller = TlsController(self.controller_port, controller_tls)

    def config(self) -> dict[str, Any]:
        """hvproxy's configuration."""
        passive, active = ("pssl", "ssl") if self._tls else ("ptcp", "tcp")
        tls = {"tls": self._tls} if self._tls else {}
        return {
            "switches": {"listen": [f"{passive}:{self.switch_port}:127.0.0.1"], **tls},
            "fabric": {"discovery": False, "links": [f"{leaf:#x}:1001 - 0x101:{leaf}" for leaf in (1, 2)]},
            "api": {"listen": f"ptcp:{self.api_port}:127.0.0.1"},
            "store": "memory:",
            "tenants": [{"name": name, "logical_switches": [{
                "name": name, "datapath_id": dpid, "listen": [f"{passive}:{listen}:127.0.0.1"], **tls,
                "controllers": [f"{active}:127.0.0.1:{self.controller_port}"] if name == "red" else [],
                "ports": [{"number": leaf, "name": f"{name}{leaf}", "attach": {"datapath": leaf, "port": port}}
                          for leaf in (1, 2)],
            }]} for name, dpid, listen, port in (("red", 0xA1, self.red_port, 1), ("other", 0xA2, self.other_port, 2))],
        }

    async def __aenter__(self) -> Served:
        directory = Path(self._directory.name)
        self.file = directory / "hvproxy.yaml"
        self.file.write_text(yaml.safe_dump(self.config()))
        await self._controller.start()
        with open(self.log, "wb") as log:
            command = "from hvproxy.cli import main; main()"
            self.process = subprocess.Popen(
                [sys.executable, "-c", command, "serve", "--log-format", "json", str(self.file)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        try:
            self.fabric.connect_all(f"{'ssl' if self._tls else 'tcp'}:127.0.0.1:{self.switch_port}", self._context)
            await self.good.start(self._controller)
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None,
                        trace: TracebackType | None) -> None:
        died = self.process.poll()
        await self.stop()
        assert died is None, "hvproxy died"
        assert b"Traceback" not in self.said, self.said.decode()

    async def stop(self) -> None:
        """End everything."""
        await self.fabric.close()
        await self._controller.stop()
        self.process.terminate()
        try:
            await asyncio.to_thread(self.process.wait, 20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.said = self.log.read_bytes()
        if sys.exc_info()[0] is not None:
            print(self.said.decode())
        self._directory.cleanup()

    async def reload(self, text: str) -> list[dict[str, Any]]:
        """Have hvproxy read that text as its configuration; what it has logged of it."""
        self.file.write_text(text)
        before = len(self._lines())
        self.process.send_signal(signal.SIGHUP)

        def logged() -> list[dict[str, Any]]:
            lines = self._lines()[before:]
            found = [json.loads(line) for line in lines]
            return [each for each in found if "configuration" in each["event"]]

        await until(lambda: any("reloaded" in each["event"] for each in logged()), "the configuration is read")
        return logged()

    def _lines(self) -> list[str]:
        """What is logged so far, without a line that is not whole yet."""
        return self.log.read_bytes().decode(errors="replace").split("\n")[:-1]

    def delete_other(self) -> None:
        """Delete the other tenant's logical switch through the API."""
        with urllib.request.urlopen(urllib.request.Request(
                f"http://127.0.0.1:{self.api_port}/v1/logical-switches/other", method="DELETE"), timeout=30) as reply:
            reply.read()

    @property
    def controllers(self) -> dict[int, Channel]:
        """The good controller's sessions."""
        return self._controller.channels

    @property
    def memory(self) -> int:
        """Bytes of memory that hvproxy uses."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    @property
    def descriptors(self) -> int:
        """How many file descriptors hvproxy has open."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))


class TlsController(Controller):
    """The good controller, at a port known beforehand, over TLS if there is a context."""

    def __init__(self, port: int, context: ssl.SSLContext | None) -> None:
        super().__init__()
        self._port, self._context = port, context

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", self._port, ssl=self._context)
        self.address = f"tcp:127.0.0.1:{self._port}"


class Peer:
    """A connection to hvproxy that sends what it likes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def connect(cls, port: int, *, hello: bool = True, context: ssl.SSLContext | None = None) -> Peer:
        """With `hello` the session is open afterwards."""
        peer = cls(*await asyncio.open_connection("127.0.0.1", port, ssl=context))
        if hello:
            peer.write(wire.hello(1))
            await peer.message_of(wire.HELLO)
        return peer

    def write(self, data: bytes) -> None:
        """Send, when the connection takes it."""
        self._writer.write(data)

    async def drain(self) -> None:
        """Wait until most of what was written is taken."""
        await self._writer.drain()

    async def message(self) -> bytes | None:
        """The next message; None at the end of the connection."""
        try:
            head = await asyncio.wait_for(self._reader.readexactly(8), SAFETY_NET)
            return head + await asyncio.wait_for(
                self._reader.readexactly(int.from_bytes(head[2:4], "big") - 8), SAFETY_NET)
        except (asyncio.IncompleteReadError, ConnectionError):
            return None

    async def message_of(self, kind: int) -> bytes:
        """The next message of that type."""
        while True:
            message = await self.message()
            assert message is not None, "hvproxy has closed the connection"
            if message[1] == kind:
                return message

    async def answers(self, data: bytes) -> list[bytes] | None:
        """What comes back before the answer to an echo that follows the data; None if the connection is closed."""
        self.write(data + wire.message(wire.ECHO_REQUEST, 0xEC40, b"ping"))
        found = []
        while True:
            message = await self.message()
            if message is None:
                return None
            if message == wire.message(wire.ECHO_REPLY, 0xEC40, b"ping"):
                return found
            found.append(message)

    async def rest(self) -> list[bytes]:
        """Every message until hvproxy closes the connection."""
        found = []
        while (message := await self.message()) is not None:
            found.append(message)
        return found

    def close(self) -> None:
        """End the connection, whatever is still to be sent."""
        self._writer.transport.abort()
