"""Switches, links and hosts put together: the only module that knows more than one switch.

A frame travels by one turn of the event loop per hop, so no depth of forwarding is a depth of calls. All of it
runs in the asyncio loop that is running when the fabric is built.
"""
from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import NamedTuple

from tools.emulator.host import Host
from tools.emulator.ovsdb import DatabaseServer
from tools.emulator.ports import PORT_DOWN, Port
from tools.emulator.switch import Switch
from tools.emulator.underlay import Underlay
from tools.emulator.vswitch import VSwitch


class End(NamedTuple):
    """A port of a switch at the end of a link."""

    switch: Switch
    port: Port

    def deliver(self, frame: bytes) -> None:
        """A frame comes out of the wire here."""
        self.switch.receive(self.port.number, frame)


class Wire:
    """A link between two ports, or between a port and a host."""

    def __init__(self, first: End, second: End | Host) -> None:
        self.first = first
        self.second = second
        self.up = True
        self.silent = False
        """Whether frames vanish although both ends see the link up."""

    def refresh(self) -> None:
        """Tell both ends what they see of each other."""
        if isinstance(self.second, Host):
            self.first.switch.set_carrier(self.first.port.number, self.up)
            self.second.up = self.up and not self.first.port.config & PORT_DOWN
            return
        first, second = self.first, self.second
        first.switch.set_carrier(first.port.number, self.up and not second.port.config & PORT_DOWN)
        second.switch.set_carrier(second.port.number, self.up and not first.port.config & PORT_DOWN)

    def carry(self, deliver: Callable[[bytes], None], loop: asyncio.AbstractEventLoop) -> Callable[[bytes], None]:
        """A function that puts a frame on this wire towards one end."""
        def send(frame: bytes) -> None:
            if self.up and not self.silent:
                loop.call_soon(deliver, frame)
        return send


class Fabric:
    """An emulated network."""

    def __init__(self) -> None:
        self.switches: dict[int, Switch] = {}
        self.hosts: dict[str, Host] = {}
        self.attached: dict[str, tuple[int, int]] = {}
        """Host to (dpid, port)."""
        self.underlay = Underlay()
        """What is between the endpoints of tunnels."""
        self.vswitches: dict[int, VSwitch] = {}
        """Switches that have a database."""
        self._servers: list[DatabaseServer] = []
        self._wires: dict[tuple[int, int], Wire] = {}
        self._loop = asyncio.get_running_loop()

    def add_switch(self, dpid: int, name: str | None = None, table_limit: int | None = None) -> Switch:
        """A switch without links, not connected to a controller yet."""
        if dpid in self.switches:
            raise ValueError(f"there is a switch {dpid:#x} already")
        switch = self.switches[dpid] = Switch(dpid, name, table_limit)
        switch.reconfigured = self._reconfigured
        return switch

    def add_link(self, dpid_a: int, port_a: int, dpid_b: int, port_b: int) -> None:
        """A link between two new ports."""
        ends = [End(self.switches[dpid], self._port(dpid, port)) for dpid, port in ((dpid_a, port_a), (dpid_b, port_b))]
        wire = Wire(*ends)
        for here, there in (ends, reversed(ends)):
            here.port.send = wire.carry(there.deliver, self._loop)
            self._wires[here.switch.dpid, here.port.number] = wire
        wire.refresh()

    def add_host(self, name: str, dpid: int, port: int, mac: str | bytes, ip: str | bytes,
                 vlan: int | None = None) -> Host:
        """A host at a port, new or already used by hosts with other VLANs; every host there hears every frame."""
        if name in self.hosts:
            raise ValueError(f"there is a host {name} already")
        host = self.hosts[name] = Host(name, mac, ip, vlan)
        self.attached[name] = (dpid, port)
        switch = self.switches[dpid]
        known = port in switch.ports
        wire = self._wires.get((dpid, port))
        if wire is not None and not isinstance(wire.second, Host):
            raise ValueError(f"port {port} of switch {dpid:#x} has a link already")
        if wire is None:
            end = End(switch, switch.ports[port] if known else self._port(dpid, port))
            wire = self._wires[dpid, port] = Wire(end, host)
            end.port.send = wire.carry(host.receive, self._loop)
        else:
            send_before, deliver = wire.first.port.send, wire.carry(host.receive, self._loop)
            assert send_before is not None
            wire.first.port.send = lambda frame: (send_before(frame), deliver(frame))[0]
        host.send = wire.carry(wire.first.deliver, self._loop)
        wire.refresh()
        return host

    async def add_database(self, dpid: int, endpoint: str | None = None) -> str:
        """Give a switch, whose hosts are all there, a database; its address. Tunnels may end at `endpoint`. The name of
        the host at a port is the port's iface-id."""
        vifs = {port: name for name, (where, port) in self.attached.items() if where == dpid}
        vswitch = self.vswitches[dpid] = VSwitch(self.switches[dpid], self.underlay, endpoint, vifs)
        server = DatabaseServer(vswitch.database)
        self._servers.append(server)
        return await server.listen()

    def set_link(self, dpid: int, port: int, up: bool, silent: bool = False) -> None:
        """Bring the link at a port up or down, for both ends; `silent` leaves it up but loses every frame."""
        wire = self._wires[dpid, port]
        wire.silent = silent and not up
        wire.up = up or silent
        wire.refresh()

    def drop_connection(self, dpid: int) -> None:
        """Cut a switch's control connections; it dials again."""
        self.switches[dpid].drop_connections()

    def refuse(self, dpid: int, refused: bool = True) -> None:
        """Keep a switch away from its controllers, or let it dial again."""
        self.switches[dpid].refuse(refused)

    def reboot(self, dpid: int) -> None:
        """A switch loses its tables, groups, counters and connections."""
        self.switches[dpid].reboot()

    def connect_all(self, address: str, tls: ssl.SSLContext | None = None) -> None:
        """Every switch dials this controller, `tcp:HOST:PORT` or `ssl:HOST:PORT`."""
        for switch in self.switches.values():
            switch.connect(address, tls)

    async def all_connected(self, timeout: float = 10.0) -> None:
        """Wait until every switch has a session; TimeoutError if that takes too long."""
        deadline = self._loop.time() + timeout
        while not all(switch.connected for switch in self.switches.values()):
            if self._loop.time() > deadline:
                away = [f"{dpid:#x}" for dpid, switch in self.switches.items() if not switch.connected]
                raise TimeoutError(f"not connected: {', '.join(away)}")
            await asyncio.sleep(0.01)

    def capture(self, dpid: int, port: int) -> list[tuple[str, bytes]]:
        """A list to which ("in" or "out", frame) is added for every frame at this port from now on."""
        frames: list[tuple[str, bytes]] = []
        self.switches[dpid].ports[port].taps.append(frames)
        return frames

    def stop_capture(self, frames: list[tuple[str, bytes]]) -> None:
        """Add nothing more to a capture."""
        for switch in self.switches.values():
            for port in switch.ports.values():
                port.taps = [tap for tap in port.taps if tap is not frames]

    async def close(self) -> None:
        """Stop every switch and database."""
        await asyncio.gather(*(switch.close() for switch in self.switches.values()),
                             *(server.close() for server in self._servers))

    def _port(self, dpid: int, number: int) -> Port:
        return self.switches[dpid].add_port(number)

    def _reconfigured(self, switch: Switch, port: Port) -> None:
        wire = self._wires.get((switch.dpid, port.number))
        if wire is not None:
            wire.refresh()
