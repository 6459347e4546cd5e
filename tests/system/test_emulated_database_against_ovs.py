"""The emulated database and a real Open vSwitch are asked the same: what each refuses, and what hvproxy then reads."""
from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hvproxy.ovsdb.session import Session
from hvproxy.ovsdb.transact import Operation, delete_from, insert_into, set_key, update
from hvproxy.ovsdb.tunnels import ENDPOINT, TunnelPort, correction, creation, removal
from hvproxy.ovsdb.vswitch import DATABASE, TABLES, SeenBridge, observe
from tests.system import ovs
from tools.emulator import Fabric

NOBODY = "00000000-0000-0000-0000-000000000001"
FIRST = 0x8000
SHOWN = 48
"""Characters of a refusal that are compared: what follows names rows, and of several tables any."""
TUNNEL = TunnelPort(1, 2, "gre", "127.0.0.1", "192.0.2.2")
RIVAL = TunnelPort(1, 3, "vxlan", "127.0.0.1", "192.0.2.2")
"""In the way of the first one, once that is of its kind."""


class Client:
    """hvproxy's end of a connection to a database that has one bridge."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._socket.settimeout(ovs.PATIENCE)
        self._session = Session(DATABASE, TABLES, 0.0)
        self.until(lambda bridge: True)

    def close(self) -> None:
        self._socket.close()

    @property
    def bridge(self) -> SeenBridge:
        (bridge,) = observe(self._session.replica.tables).bridges
        return bridge

    def ask(self, operations: list[Operation]) -> str | None:
        """Why a transaction was refused, if it was."""
        told: list[str | None] = []
        self._session.transact(operations, lambda refusal, at: told.append(refusal))
        self._go_on(lambda: bool(told))
        return told[0] and told[0][:SHOWN]

    def until(self, true: Callable[[SeenBridge], object]) -> SeenBridge:
        """What it reads as soon as that is so."""
        self._go_on(lambda: self._session.complete and bool(true(self.bridge)))
        return self.bridge

    def _go_on(self, over: Callable[[], bool]) -> None:
        deadline = time.monotonic() + ovs.PATIENCE
        while not over():
            assert time.monotonic() < deadline and self._session.closed is None, self._session.closed
            for data in self._session.send:
                self._socket.sendall(data)
            self._session.send.clear()
            if not over():
                self._session.receive(self._socket.recv(65536), 0.0)


class Emulated:
    """A database of the emulator, in a thread with a loop of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        _, host, port = self._run(self._start()).split(":")
        self.client = Client(socket.create_connection((host, int(port))))

    def close(self) -> None:
        self.client.close()
        self._run(self._fabric.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _start(self) -> str:
        self._fabric = Fabric()
        self._fabric.add_switch(1, "s1")
        return await self._fabric.add_database(1)

    def _run(self, what: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(ovs.PATIENCE)


@pytest.fixture
def both() -> Iterator[list[Client]]:
    """A bridge `s1` of Open vSwitch, and of the emulator."""
    ovs.require()
    with ovs.PrivateOvs() as real:
        real.add_bridge("s1", 1)
        real.vsctl("set", "bridge", "s1", "protocols=OpenFlow13", "fail_mode=secure")
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(str(Path(real.directory) / "db.sock"))
        emulated = Emulated()
        clients = [Client(connection), emulated.client]
        yield clients
        clients[0].close()
        emulated.close()


def test_transactions_of_hvproxys_come_to_the_same(both: list[Client]) -> None:
    def asked(made: Callable[[SeenBridge], list[Operation]]) -> str | None:
        first, second = (client.ask(made(client.bridge)) for client in both)
        assert first == second
        return first

    def seen(true: Callable[[SeenBridge], object]) -> SeenBridge:
        """What both read as soon as that is so, but for what names rows and what the machine says of interfaces."""
        first, second = (client.until(true) for client in both)
        plain = [replace(each, uuid="", root="", mtus=(), tunnels=tuple(
            replace(tunnel, bridge="", port="", interface="") for tunnel in each.tunnels)) for each in (first, second)]
        assert plain[0] == plain[1] and first.ofports == second.ofports
        return first

    assert seen(lambda bridge: bridge.dpid).tunnels == ()
    for value in ("127.0.0.1", "127.0.0.2"):
        assert asked(lambda bridge: set_key("Bridge", bridge.uuid, "external_ids", ENDPOINT, value)) is None
        assert seen(lambda bridge: bridge.endpoint).endpoint == value
    asked(lambda bridge: [insert_into("Bridge", bridge.uuid, "external_ids", ["map", [[ENDPOINT, "x"], ["k", "v"]]])])
    assert seen(lambda bridge: True).endpoint == "127.0.0.2"
    asked(lambda bridge: [delete_from("Bridge", bridge.uuid, "external_ids", ["set", [ENDPOINT, "k"]])])
    seen(lambda bridge: bridge.endpoint is None)

    assert asked(lambda bridge: creation(bridge.uuid, TUNNEL, FIRST)) is None
    assert seen(lambda bridge: bridge.tunnels and bridge.tunnels[0].ofport).tunnels[0].ofport == FIRST
    assert "constraint violation" in (asked(lambda bridge: creation(bridge.uuid, TUNNEL, FIRST + 1)) or "")
    changed = replace(TUNNEL, kind="vxlan")
    assert asked(lambda bridge: correction(bridge.tunnels[0], changed)) is None
    assert seen(lambda bridge: bridge.tunnels[0].ofport and bridge.tunnels[0].right(changed)).ofports

    assert asked(lambda bridge: creation(bridge.uuid, RIVAL, FIRST + 1)) is None
    failed = seen(lambda bridge: any(tunnel.error for tunnel in bridge.tunnels))
    assert {tunnel.ofport for tunnel in failed.tunnels} == {FIRST, -1}
    for name in (RIVAL.name, TUNNEL.name):
        assert asked(lambda bridge: removal(next(each for each in bridge.tunnels if each.name == name))) is None
    seen(lambda bridge: bridge.ofports == {65534} and not bridge.tunnels)


def test_what_is_wrong_is_refused_in_the_same_words(both: list[Client]) -> None:
    for wrong in (
            lambda bridge: [update("Bridge", NOBODY, {"fail_mode": "secure"})],
            lambda bridge: [update("Bridge", bridge.uuid, {"colour": "red"})],
            lambda bridge: [update("Bridge", bridge.uuid, {"fail_mode": 3})],
            lambda bridge: [update("Bridges", bridge.uuid, {})],
            lambda bridge: [{"op": "steal"}],
            lambda bridge: [insert_into("Bridge", bridge.uuid, "ports", ["named-uuid", "x"])],
            lambda bridge: [insert_into("Bridge", bridge.uuid, "ports", ["uuid", NOBODY])]):
        first, second = (client.ask(wrong(client.bridge)) for client in both)
        assert first is not None and second is not None
        assert first == second
