"""Emulated switches without sockets or an event loop: loaded with rules, given frames, asked what came out where.

`Plane` is any number of switches and the links between them. Frames travel in a queue, so the plane is quiet when
`send` returns; a frame that travels for ever is an error. What a switch says to its controllers is kept as bytes.
"""
from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from hvproxy.model.rules import Group, Rule
from hvproxy.openflow import build
from hvproxy.openflow.constants import of13
from tools.emulator import Switch, handlers, wire
from tools.emulator.session import Session

MOST_HOPS = 10_000
Place = tuple[int, int]
"""(dpid, port)."""


class Recorder(Session):
    """A control connection that keeps what the switch says."""

    def __init__(self, switch: Switch) -> None:
        super().__init__(switch, lambda: None)
        self.open = True
        self.said: list[bytes] = []
        switch.sessions.append(self)

    def send(self, message: bytes) -> None:
        self.said.append(message)

    def take(self) -> list[bytes]:
        """What was said since the last time."""
        said, self.said = self.said, []
        return said


class Plane:
    """Emulated switches, their links, and the frames that came out of ports without one."""

    def __init__(self) -> None:
        self.switches: dict[int, Switch] = {}
        self.control: dict[int, Recorder] = {}
        self.peers: dict[Place, Place] = {}
        self.out: list[tuple[Place, bytes]] = []
        self._moving: deque[tuple[Place, bytes]] = deque()

    def add_switch(self, dpid: int, ports: Iterable[int]) -> Switch:
        """A switch whose ports all have a carrier."""
        switch = self.switches[dpid] = Switch(dpid)
        self.control[dpid] = Recorder(switch)
        for number in ports:
            port = switch.add_port(number)
            port.carrier = True
            port.send = lambda frame, place=(dpid, number): self._moving.append((place, frame))  # type: ignore[misc]
        self.control[dpid].take()
        return switch

    def add_link(self, a: Place, b: Place) -> None:
        """Join two ports."""
        self.peers[a], self.peers[b] = b, a

    def cut(self, a: Place) -> None:
        """The link at a port goes down, and both ends see it."""
        for dpid, number in (a, self.peers[a]):
            self.switches[dpid].ports[number].carrier = False

    def request(self, dpid: int, message: bytes) -> None:
        """A message of the controller. Raises the emulator's OFError where the switch refuses it."""
        handlers.handle(self.switches[dpid], self.control[dpid], message)
        self._carry()

    def load(self, dpid: int, rules: Iterable[Rule], groups: Iterable[Group]) -> None:
        """Install rules and groups in a switch, groups in the order in which hvproxy sends them."""
        for group in sorted(groups, key=lambda g: g.group_id):
            self.request(dpid, build.group_mod(1, of13.OFPGC_ADD, group.type, group.group_id, group.buckets))
        for rule in rules:
            self.request(dpid, build.flow_mod_add(1, rule.table, rule.priority, rule.match, rule.instructions,
                                                  rule.cookie))

    def send(self, dpid: int, port: int, frame: bytes) -> list[tuple[Place, bytes]]:
        """A frame enters at a port; what came out of ports without a link."""
        self.out.clear()
        self.switches[dpid].receive(port, frame)
        self._carry()
        return list(self.out)

    def take_out(self) -> list[tuple[Place, bytes]]:
        """What came out of ports without a link since the last frame or since this was last called."""
        out, self.out = self.out, []
        return out

    def packet_ins(self) -> list[tuple[int, bytes]]:
        """(dpid, message) of every packet-in since the last time."""
        return [(dpid, message) for dpid, control in self.control.items() for message in control.take()
                if message[1] == wire.PACKET_IN]

    def _carry(self) -> None:
        hops = 0
        while self._moving:
            place, frame = self._moving.popleft()
            peer = self.peers.get(place)
            if peer is None:
                self.out.append((place, frame))
                continue
            hops += 1
            assert hops < MOST_HOPS, "a frame goes round for ever"
            self.switches[peer[0]].receive(peer[1], frame)


def tagged(frame: bytes, vid: int | None, pcp: int = 0, tpid: int = 0x8100) -> bytes:
    """The frame with a VLAN tag outermost; with None as it is."""
    if vid is None:
        return frame
    return frame[:12] + tpid.to_bytes(2, "big") + (pcp << 13 | vid).to_bytes(2, "big") + frame[12:]


def tags(frame: bytes) -> list[int]:
    """The VIDs of a frame's VLAN tags, outermost first."""
    found, at = [], 12
    while frame[at:at + 2] in (b"\x81\x00", b"\x88\xa8"):
        found.append(int.from_bytes(frame[at + 2:at + 4], "big") & 0xFFF)
        at += 4
    return found
