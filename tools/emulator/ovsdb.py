"""Serves an emulated database over TCP, as ovsdb-server does (RFC 7047 section 4): JSON-RPC, monitors, updates."""
from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from tools.emulator.database import NAME, Changes, Database, Monitor, Refused

UNKNOWN_METHOD, UNKNOWN_DATABASE = "unknown method", "unknown database"


class DatabaseSession(asyncio.Protocol):
    """One client's connection."""

    def __init__(self, server: DatabaseServer) -> None:
        self._server = server
        self._monitors: dict[str, tuple[object, Monitor]] = {}
        self._methods: dict[str, Callable[[list[Any]], object]] = {
            "list_dbs": lambda params: [NAME], "echo": lambda params: params, "monitor": self._monitor,
            "transact": self._transact}
        self._decoder = json.JSONDecoder()
        self._buffer = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._server.sessions.add(self)
        self._server.database.watchers.append(self._changed)

    def connection_lost(self, error: Exception | None) -> None:
        self._server.sessions.discard(self)
        self._server.database.watchers.remove(self._changed)

    def data_received(self, data: bytes) -> None:
        buffer, at = self._buffer + data.decode(), 0
        while at < len(buffer):
            try:
                message, at = self._decoder.raw_decode(buffer, at)
            except json.JSONDecodeError:
                break  # the rest of it is to come
            self._take(message)
        self._buffer = buffer[at:]

    def abort(self) -> None:
        """Cut the connection."""
        self._transport.abort()

    def _take(self, message: dict[str, Any]) -> None:
        if "method" not in message:
            return  # an answer to an echo, which is never sent
        answer: dict[str, object] = {"id": message["id"], "error": None}
        method = self._methods.get(message["method"])
        if method is None:
            answer["error"] = UNKNOWN_METHOD
        else:
            try:
                answer["result"] = method(message["params"])
            except Refused as refusal:
                answer["error"] = refusal.reply
        self._write(answer)

    def _database(self, method: str, params: list[Any]) -> Database:
        if params[0] != NAME:
            raise Refused(UNKNOWN_DATABASE, f"{method} request specifies unknown database {params[0]}", params)
        return self._server.database

    def _monitor(self, params: list[Any]) -> object:
        database = self._database("monitor", params)
        monitor = Monitor(database, params[2])
        self._monitors[json.dumps(params[1])] = (params[1], monitor)
        return monitor.contents()

    def _transact(self, params: list[Any]) -> object:
        return self._database("transact", params).transact(params[1:])

    def _changed(self, changes: Changes) -> None:
        for name, monitor in self._monitors.values():
            updates = monitor.updates(changes)
            if updates:
                self._write({"id": None, "method": "update", "params": [name, updates]})

    def _write(self, message: dict[str, object]) -> None:
        self._transport.write(json.dumps(message).encode())


class DatabaseServer:
    """A listener for a database."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.sessions: set[DatabaseSession] = set()
        self._server: asyncio.Server | None = None

    async def listen(self) -> str:
        """Serve on a free port of the loopback interface; its address as Open vSwitch writes it."""
        self._server = await asyncio.get_running_loop().create_server(lambda: DatabaseSession(self), "127.0.0.1", 0)
        return f"tcp:127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def close(self) -> None:
        """Serve no more."""
        if self._server is not None:
            self._server.close()
            for session in list(self.sessions):
                session.abort()
            await self._server.wait_closed()
