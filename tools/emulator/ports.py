"""The ports of a switch: configuration, liveness and counters. What is at the other end is the fabric's business."""
from __future__ import annotations

from collections.abc import Callable
from struct import Struct

PORT_DOWN, NO_RECV, NO_FWD, NO_PACKET_IN = 1, 4, 32, 64
CONFIGURABLE = PORT_DOWN | NO_RECV | NO_FWD | NO_PACKET_IN
SPANNING_TREE, FIRST_ETHER_TYPE = bytes.fromhex("0180c2000000"), 0x600
LINK_DOWN, LIVE = 1, 4
COPPER_10G, SPEED = 0x840, 10_000_000
DESCRIPTION = Struct("!I4x6s2x16sIIIIIIII")
STATISTICS = Struct("!I4xQQQQQQQQQQQQII")


class Port:
    """One port of a switch."""

    __slots__ = ("number", "mac", "name", "config", "carrier", "send", "taps", "created", "rx_packets", "rx_bytes",
                 "tx_packets", "tx_bytes", "rx_dropped", "tx_dropped", "mtu")

    def __init__(self, number: int, mac: bytes, name: str, created: float) -> None:
        self.number = number
        self.mac = mac
        self.name = name
        self.config = 0
        self.carrier = False
        """Whether there is a live peer."""
        self.send: Callable[[bytes], None] | None = None
        """Puts a frame on the wire."""
        self.taps: list[list[tuple[str, bytes]]] = []
        """Lists to which every frame is added as ("in" or "out", frame)."""
        self.created = created
        self.mtu = 1500
        self.reset()

    def reset(self) -> None:
        """Counters to zero."""
        self.rx_packets = self.rx_bytes = self.tx_packets = self.tx_bytes = 0
        self.rx_dropped = self.tx_dropped = 0

    @property
    def up(self) -> bool:
        """Whether frames pass."""
        return self.carrier and not self.config & PORT_DOWN

    @property
    def attached(self) -> bool:
        """Whether there is anything to put frames on."""
        return self.send is not None

    @property
    def live(self) -> bool:
        """Whether groups that watch it use it."""
        return self.up

    @property
    def state(self) -> int:
        """OFPPS_* bits."""
        return LIVE * self.live | LINK_DOWN * (not self.up)

    def transmit(self, data: bytes, key: int = 0) -> None:
        """Count a frame and put it on the wire, if the link is up; to a port that is configured down none gets. The
        key is what tun_id says, which only a tunnel carries."""
        if self.config & PORT_DOWN:
            return
        if not self.up or not self.attached or len(data) > self.mtu + 22:
            self.tx_dropped += 1
            return
        self.tx_packets += 1
        self.tx_bytes += len(data)
        for tap in self.taps:
            tap.append(("out", data))
        self.put(data, key)

    def put(self, data: bytes, key: int) -> None:
        """Hand over a frame."""
        assert self.send is not None
        self.send(data)

    def accept(self, data: bytes) -> bool:
        """Count a frame from the wire; whether it is one that the switch may look at."""
        if not self.up:
            return False
        self.rx_packets += 1
        self.rx_bytes += len(data)
        for tap in self.taps:
            tap.append(("in", data))
        if len(data) < 14:
            self.rx_dropped += 1
            return False
        return True

    def takes(self, data: bytes) -> bool:
        """Whether the configuration lets a frame in: NO_RECV shuts out all but those of spanning tree."""
        spanning_tree = data[:6] == SPANNING_TREE and int.from_bytes(data[12:14], "big") < FIRST_ETHER_TYPE
        return not self.config & NO_RECV or spanning_tree

    def describe(self) -> bytes:
        """struct ofp_port."""
        name = self.name.encode()[:15]
        return DESCRIPTION.pack(self.number, self.mac, name, self.config, self.state, COPPER_10G, 0, 0, 0, SPEED, 0)

    def statistics(self, now: float) -> bytes:
        """struct ofp_port_stats."""
        age = max(0.0, now - self.created)
        return STATISTICS.pack(self.number, self.rx_packets, self.tx_packets, self.rx_bytes, self.tx_bytes,
                               self.rx_dropped, self.tx_dropped, 0, 0, 0, 0, 0, 0, int(age), int(age % 1 * 1e9))


class TunnelPort(Port):
    """A port behind which is another switch somewhere in an IP network, watched over by BFD."""

    __slots__ = ("heard", "into")

    def __init__(self, number: int, mac: bytes, name: str, created: float) -> None:
        super().__init__(number, mac, name, created)
        self.carrier = True
        self.heard = False
        """Whether BFD hears the other end."""
        self.into: Callable[[bytes, int], None] | None = None
        """Puts a frame into the tunnel under a key."""

    @property
    def attached(self) -> bool:
        return self.into is not None

    @property
    def live(self) -> bool:
        return self.up and self.heard

    def put(self, data: bytes, key: int) -> None:
        assert self.into is not None
        self.into(data, key)
