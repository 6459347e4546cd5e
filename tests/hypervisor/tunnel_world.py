"""Switches with databases that carry out what hvproxy has done about tunnels, as Open vSwitch does."""
from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from hvproxy.hypervisor.links import NamedLink
from hvproxy.hypervisor.settings import Settings
from hvproxy.model.view import Carriage
from hvproxy.openflow import build
from hvproxy.openflow.constants import of13
from tests.harness import World, spec
from tests.hypervisor.databases_end import EndDatabase
from tests.ovsdb.rows import Contents, Tunnel, messages, name_of, update

ADDRESS = "192.0.2.{}"


class TunnelDatabase(EndDatabase):
    """The database of one switch, whose bridge is `br`."""

    def __init__(self, world: World, dpid: int, endpoint: str | None = None, **contents: Any) -> None:
        super().__init__(world, f"unix:/{dpid:x}", Contents([], {"br": dpid}, endpoint=endpoint, **contents))
        self.dpid = dpid
        self.refuse: str | None = None
        self.refuses = ""
        """What it refuses, by something that stands in it."""
        self.transactions = 0

    def received(self, data: bytes) -> None:
        super().received(data)
        for message in messages([data]):
            if message.get("method") == "transact":
                self.transactions += 1
                self._carry_out(message["id"], message["params"][1:])

    def _carry_out(self, identifier: int, operations: list[dict[str, Any]]) -> None:
        results: list[object] = [{"count": 1} for _ in operations]
        if self.refuse is not None and self.refuses in json.dumps(operations):
            results[0] = {"error": self.refuse}
            self._reply(identifier, results)
            return
        tunnels = list(self.contents.tunnels)
        first = operations[0]
        if first["op"] == "insert":
            for row in (operation["row"] for operation in operations if operation["table"] == "Interface"):
                assert row["name"] not in {tunnel.name for tunnel in tunnels}, "Open vSwitch would refuse it"
                tunnels.append(Tunnel(row["name"], row["type"], dict(row["options"][1]), dict(row["bfd"][1]),
                                      dict(row["external_ids"][1]), row["ofport_request"]))
                self.world.switches[self.dpid].add_port(row["ofport_request"], row["name"])
        elif first["op"] == "update":
            at = next(n for n, each in enumerate(tunnels)
                      if name_of("interface", each.name) == first["where"][0][2][1])
            tunnels[at] = replace(tunnels[at], kind=first["row"]["type"], options=dict(first["row"]["options"][1]),
                                  bfd=dict(first["row"]["bfd"][1]))
        else:
            gone = first["mutations"][0][2][1]
            for each in [each for each in tunnels if name_of("port", each.name) == gone]:
                tunnels.remove(each)
                assert each.ofport is not None
                self.world.switches[self.dpid].remove_port(each.ofport)
        self.say_soon(tunnels)
        self._reply(identifier, results)

    def say_soon(self, tunnels: list[Tunnel]) -> None:
        """The database is so now, which is told at once."""
        before, self.contents = self.contents, replace(self.contents, tunnels=tunnels)
        self.world.to_core(self.conn, update(before, self.contents))

    def _reply(self, identifier: int, results: list[object]) -> None:
        self.world.to_core(self.conn, json.dumps({"id": identifier, "error": None, "result": results}).encode())


class TunnelWorld(World):
    """Red has a port on each of the switches; those in `endpoints` have one. `links` are VLAN links."""

    def __init__(self, *dpids: int, endpoints: tuple[int, ...] | None = None,
                 links: tuple[tuple[tuple[int, int], tuple[int, int]], ...] = (), **settings: Any) -> None:
        super().__init__(spec("red", {dpid: (dpid, 1) for dpid in dpids}), settings=Settings(
            links=tuple(NamedLink(a, b) for a, b in links),
            databases=tuple(f"unix:/{dpid:x}" for dpid in dpids), **settings))
        self.databases = {
            dpid: TunnelDatabase(self, dpid, ADDRESS.format(dpid) if endpoints is None or dpid in endpoints else None)
            for dpid in dpids}

    def start(self) -> TunnelWorld:
        for database in self.databases.values():
            database.connect()
        self.add_switches(*self.databases)
        self.pass_time(3.0)
        return self

    @property
    def tunnels(self) -> set[tuple[int, int]]:
        """The pairs of datapaths between which a tunnel is in use."""
        return {(link.a_dpid, link.b_dpid) for link in self.hv.fabric.topology.links
                if link.carriage is Carriage.TUNNEL}

    def ports(self, dpid: int) -> list[Tunnel]:
        return self.databases[dpid].contents.tunnels

    def up(self) -> list[bool]:
        return [port.up for port in self.hv.logical_switches["red"].ports.values()]

    def set_live(self, dpid: int, live: bool) -> None:
        """BFD has the other ends of a switch's tunnels, or not."""
        switch = self.switches[dpid]
        for tunnel in self.ports(dpid):
            assert tunnel.ofport is not None
            port = switch.ports[tunnel.ofport] = replace(
                switch.ports[tunnel.ofport], state=of13.OFPPS_LIVE if live else 0)
            switch.send(build.port_status(of13.OFPPR_MODIFY, port))
        self.pass_time(1.0)
