"""One emulated switch: ports, tables, groups, meters, pipeline and the sessions with its controllers, held together."""
from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from typing import TypeVar

from tools.emulator import wire
from tools.emulator.decode import PORT_LOCAL, Instructions
from tools.emulator.groups import GroupTable
from tools.emulator.lacks import Lacks
from tools.emulator.meters import MOST_METERS, MeterTable
from tools.emulator.pipeline import PacketIn, Pipeline
from tools.emulator.ports import PORT_DOWN, Port, TunnelPort
from tools.emulator.session import Link, Session
from tools.emulator.tables import DELETE, METER_DELETE, SEND_FLOW_REM, Entry, FlowTables

PORT_ADD, PORT_DELETE, PORT_MODIFY = 0, 1, 2
Kind = TypeVar("Kind", bound=Port)


def parse_address(address: str) -> tuple[str, str, int]:
    """(scheme, host, port) of `tcp:HOST:PORT` or `ssl:HOST:PORT`."""
    scheme, _, rest = address.partition(":")
    host, _, port = rest.rpartition(":")
    if scheme not in ("tcp", "ssl") or not host or not port.isdigit():
        raise ValueError(f"{address}: expected tcp:HOST:PORT or ssl:HOST:PORT")
    return scheme, host.strip("[]"), int(port)


class Switch:
    """An OpenFlow 1.3 switch; needs a running asyncio loop."""

    def __init__(self, dpid: int, name: str | None = None, table_limit: int | None = None, meters: int = MOST_METERS,
                 remarks: bool = False, lacks: Lacks = Lacks()) -> None:
        self.dpid = dpid
        self.name = name or f"s{dpid:x}"
        self.table_limit = table_limit
        self.lacks = lacks
        self.generation: int | None = None
        """The highest generation id of a role request so far."""
        self.sessions: list[Session] = []
        self.received = [0] * 256
        """Messages from controllers by type, those that open a session left out."""
        self.links: list[Link] = []
        self.ports: dict[int, Port] = {}
        self.memo: dict[bytes, Instructions] = {}
        """Instructions on the wire to their decoded form."""
        self.tables = FlowTables(time.monotonic, self._removed, table_limit)
        self.groups = GroupTable(time.monotonic, self._port_alive)
        self.meters = MeterTable(time.monotonic, meters, remarks)
        self.pipeline = Pipeline(self.tables, self.groups, self.meters, self.ports)
        self.reconfigured: Callable[[Switch, Port], None] | None = None
        """Called when a controller has changed a port's configuration."""
        self._timer: asyncio.TimerHandle | None = None
        self._base_mac = b"\x0e" + (dpid & 0xffffff).to_bytes(3, "big")
        self.add_port(PORT_LOCAL, self.name).config = PORT_DOWN

    def add_port(self, number: int, name: str | None = None) -> Port:
        """A new port, told to the controllers."""
        return self._add(Port, number, name or f"{self.name}-{number}")

    def add_tunnel_port(self, number: int, name: str) -> TunnelPort:
        """A new port that leads into a tunnel."""
        return self._add(TunnelPort, number, name)

    def _add(self, kind: type[Kind], number: int, name: str) -> Kind:
        if number in self.ports:
            raise ValueError(f"switch {self.dpid:#x} has a port {number} already")
        port = kind(number, self._base_mac + (number & 0xffff).to_bytes(2, "big"), name, time.monotonic())
        self.ports[number] = port
        self._port_status(port, PORT_ADD)
        return port

    def remove_port(self, number: int) -> None:
        """Take a port away and tell the controllers."""
        port = self.ports.pop(number)
        port.carrier = False
        self._port_status(port, PORT_DELETE)

    def set_carrier(self, number: int, carrier: bool) -> None:
        """The link of a port came up or went down."""
        port = self.ports[number]
        before, port.carrier = port.state, carrier
        if port.state != before:
            self.port_changed(port)

    def set_heard(self, port: TunnelPort, heard: bool) -> None:
        """BFD hears the other end of a tunnel, or not any more."""
        before, port.heard = port.state, heard
        if port.state != before:
            self.port_changed(port)

    def port_changed(self, port: Port, by: Session | None = None) -> None:
        """Tell the controllers of a port's configuration or state, but for the one whose configuration it is."""
        self._port_status(port, PORT_MODIFY, by)

    def receive(self, number: int, data: bytes, key: int = 0) -> None:
        """A frame arrives at a port; out of a tunnel, under a key."""
        port = self.ports.get(number)
        if port is not None and port.accept(data):
            told = self.pipeline.receive(data, number, port.takes(data), key)
            if told:
                self.tell_packets(told)

    def tell_packets(self, packets: list[PacketIn]) -> None:
        """Packet-ins to every controller that wants them."""
        for packet in packets:
            tlvs = wire.packet_in_tlvs(packet.in_port, packet.pipeline)
            for session in self.sessions:
                session.tell(wire.PACKET_IN, packet.reason, lambda xid: wire.packet_in(
                    xid, packet.reason, packet.table_id, packet.cookie, tlvs, packet.data))

    def connect(self, address: str, tls: ssl.SSLContext | None = None) -> Link:
        """Dial a controller, and again whenever the connection is lost."""
        scheme, host, port = parse_address(address)
        if scheme == "ssl" and tls is None:
            raise ValueError(f"{address}: needs a TLS context")
        link = Link(self, host, port, tls if scheme == "ssl" else None)
        self.links.append(link)
        return link

    def drop_connections(self) -> None:
        """Cut all control connections; they are dialled again."""
        for link in self.links:
            link.drop()

    def refuse(self, refused: bool) -> None:
        """Cut all control connections and stay away, or dial again."""
        for link in self.links:
            link.refused = refused
            if refused:
                link.drop()

    def reboot(self) -> None:
        """Lose tables, groups, meters, counters and connections."""
        self.tables.clear()
        self.groups.groups.clear()
        self.meters.meters.clear()
        self.pipeline.learnt.clear()
        self.generation = None
        for port in self.ports.values():
            port.reset()
            port.created = time.monotonic()
        self.drop_connections()

    async def close(self) -> None:
        """Stop for good."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        await asyncio.gather(*(link.close() for link in self.links))

    @property
    def connected(self) -> bool:
        """Whether a controller has a session."""
        return bool(self.sessions)

    def session_opened(self, session: Session) -> None:
        """A session passed its HELLO."""
        self.sessions.append(session)

    def session_ended(self, session: Session) -> None:
        """A session is over."""
        if session in self.sessions:
            self.sessions.remove(session)

    def rearm(self) -> None:
        """See to it that the timer fires when the next entry may expire."""
        due = self.tables.next_deadline()
        if due is None or (self._timer is not None and self._timer.when() <= due):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(due, self._expire)

    def _expire(self) -> None:
        self._timer = None
        self.tables.expire()
        self.rearm()

    def _removed(self, entry: Entry, reason: int) -> None:
        if not entry.flags & SEND_FLOW_REM:
            return
        age = max(0.0, self.tables.clock() - entry.created)
        body = wire.FLOW_REMOVED_BODY.pack(
            entry.cookie, entry.priority, DELETE if reason == METER_DELETE else reason, entry.table_id, int(age),
            int(age % 1 * 1e9), entry.idle, entry.hard, entry.packets, entry.bytes) + entry.match_raw
        for session in self.sessions:
            session.tell(wire.FLOW_REMOVED, reason, lambda xid: wire.message(wire.FLOW_REMOVED, xid, body))

    def _port_status(self, port: Port, reason: int, by: Session | None = None) -> None:
        body = bytes((reason, 0, 0, 0, 0, 0, 0, 0)) + port.describe()
        for session in self.sessions:
            if session is not by:
                session.tell(wire.PORT_STATUS, reason, lambda xid: wire.message(wire.PORT_STATUS, xid, body))

    def _port_alive(self, number: int) -> bool:
        port = self.ports.get(number)
        return port is not None and port.live
