"""Databases at the other ends of a World's connections."""
from __future__ import annotations

import json
from typing import Any

from hvproxy.hypervisor.commands import Log
from hvproxy.hypervisor.settings import Settings
from hvproxy.model.intent import LogicalSwitchSpec, parse
from tests.harness import World
from tests.hypervisor.worlds import LINKS
from tests.ovsdb.rows import Contents, Vif, initial, messages, update


class EndDatabase:
    """The database end of a connection."""

    def __init__(self, world: World, address: str, contents: Contents | None = None) -> None:
        self.world = world
        self.address = address
        self.contents = contents or Contents()
        self.conn = 0
        self.mute = False
        """It answers no echo."""
        self.written = b""

    def connect(self, *, silent: bool = False) -> EndDatabase:
        """Connect and, unless `silent`, tell everything."""
        self.conn = self.world.connect(self)  # type: ignore[arg-type]
        self.written = b""
        self.world.hv.database_connected(self.conn, self.address, self.world.now)
        self.world.run()
        if not silent:
            self.say(initial(self.contents))
        return self

    def say(self, data: bytes, seconds: float = 0.1) -> None:
        self.world.to_core(self.conn, data)
        self.world.pass_time(seconds)

    def become(self, contents: Contents) -> None:
        """Change, and tell it."""
        before, self.contents = self.contents, contents
        self.say(update(before, contents))

    def vifs(self, *vifs: Vif, **contents: Any) -> None:
        self.become(Contents(list(vifs), self.contents.dpids, **contents))

    def disconnect(self) -> None:
        self.world.disconnect(self.conn)

    @property
    def connected(self) -> bool:
        return self.conn in self.world.ends

    def received(self, data: bytes) -> None:
        self.written += data
        if not self.mute:
            for message in messages([data]):
                if message.get("method") == "echo":
                    self.world.to_core(self.conn, json.dumps(
                        {"id": message["id"], "result": message["params"], "error": None}).encode())


def red_by_iface_id(*iface_ids: str) -> LogicalSwitchSpec:
    """A logical switch whose ports are VIFs, in this order."""
    return parse(LogicalSwitchSpec, {"name": "red", "datapath_id": 0xA3, "ports": [
        {"number": number, "name": f"red{number}", "attach": {"iface_id": iface_id}}
        for number, iface_id in enumerate(iface_ids, 1)]}, tenant="red")


def a_world(*databases: str, iface_ids: tuple[str, ...] = ("a", "b"), **settings: Any) -> World:
    """Three leaves and two spines; red's ports are the VIFs `iface_ids`; no database is connected yet."""
    world = World(red_by_iface_id(*iface_ids), settings=Settings(
        links=LINKS, grace=10.0, databases=databases or ("unix:/db",), **settings))
    world.add_switches(1, 2, 3, 0x11, 0x12)
    return world


def logged(world: World, event: str) -> list[dict[str, object]]:
    """The fields of the log lines of an event."""
    return [command.fields for command in world.commands if isinstance(command, Log) and command.event == event]
