"""Random frames, each told from every other by a serial number, and the source of chance."""
from __future__ import annotations

from random import Random

from tests.oracle.operations import LOCAL, PORTS
from tools.emulator.host import arp, checksum, ipv4

MACS = (0x020000000001, 0x020000000002, 0x020000000003, 0xffffffffffff)
ADDRESSES = (0x0a000001, 0x0a000002, 0x0a000102, 0xc0a80001)
SIX = (0xfd000000000000000000000000000001, 0xfd000000000000000000000000000102)
VIDS = (1, 5, 100)


class Dice(Random):
    """The source of chance, and what the script is about."""

    def __init__(self, seed: int | str, features: frozenset[str] = frozenset()) -> None:
        super().__init__(seed)
        self.features = features
        self._serial = self.randrange(1 << 40)
        self._priorities: dict[str, int] = {}
        self.mpls_ttl = self.choice((1, 64))
        """Of all frames: what Open vSwitch caches when it has changed a label, it carries out on frames with another
        TTL too, which get the first one's."""

    @property
    def ports(self) -> tuple[int, ...]:
        """The ports the script is about."""
        return (*PORTS, LOCAL) if "local" in self.features else PORTS

    def serial(self) -> bytes:
        """A number no other frame has."""
        self._serial += 1
        return self._serial.to_bytes(6, "big")

    def priority(self, constrained: str) -> int:
        """A priority that entries share only if they constrain the same bits."""
        known = self._priorities
        while constrained not in known:
            drawn = self.randrange(1000, 61000)
            if drawn not in known.values():
                known[constrained] = drawn
        return known[constrained]


def mac(value: int) -> bytes:
    """A MAC address on the wire."""
    return value.to_bytes(6, "big")


def transport(protocol: int, source: bytes, destination: bytes, rng: Dice) -> bytes:
    """An upper-layer packet with a right checksum."""
    ports = rng.choice((80, 53, 1000)).to_bytes(2, "big") + rng.choice((80, 53)).to_bytes(2, "big")
    payload = rng.serial() + bytes(rng.randrange(256) for _ in range(rng.choice((0, 5, 20))))
    if protocol == 6:
        data, place = ports + bytes(8) + b"\x50\x02\x10\x00" + bytes(4) + payload, 16
    elif protocol == 17:
        data, place = ports + (8 + len(payload)).to_bytes(2, "big") + bytes(2) + payload, 6
    elif protocol == 132:
        return ports + bytes(8) + payload
    elif protocol == 58:
        kind = rng.choice((128, 135, 136))
        target = SIX[0].to_bytes(16, "big")
        option = bytes((1 if kind == 135 else 2, 1)) + mac(MACS[0])
        data, place = bytes((kind, 0, 0, 0)) + bytes(4) + (target + option if kind != 128 else payload), 2
    else:
        data = bytes((rng.choice((0, 8)), 0, 0, 0, 0, 1, 0, 2)) + payload
        return data[:2] + checksum(data).to_bytes(2, "big") + data[4:]
    pseudo = source + destination + len(data).to_bytes(4, "big") + protocol.to_bytes(4, "big")
    value = checksum(pseudo + data)
    return data[:place] + value.to_bytes(2, "big") + data[place + 2:]


def frame(rng: Dice) -> bytes:
    """A frame of some kind."""
    head = mac(rng.choice((*MACS, 0x01005e000001))) + mac(rng.choice(MACS[:3]))
    for _ in range(rng.choice((0, 0, 1, 1, 2))):
        tpid = rng.choice((b"\x81\x00", b"\x81\x00", b"\x88\xa8"))
        head += tpid + (rng.randrange(8) << 13 | rng.choice(VIDS)).to_bytes(2, "big")
    kind = rng.choice(("ipv4", "ipv4", "ipv4", "arp", "ipv6", "ipv6", "mpls", "other", "fragment", "llc", "short"))
    # Bytes behind the packet, as a short Ethernet frame has them.
    trailer = rng.serial() if kind == "arp" or rng.random() < 0.3 else b""
    return head + contents(kind, rng) + trailer


def has_label(data: bytes) -> bool:
    """Whether there is an MPLS label behind the tags of a frame."""
    place = 12
    while data[place:place + 2] in (b"\x81\x00", b"\x88\xa8"):
        place += 4
    return data[place:place + 2] in (b"\x88\x47", b"\x88\x48")


def contents(kind: str, rng: Dice) -> bytes:
    """What is behind the addresses and tags of a frame."""
    source, destination = rng.choice(ADDRESSES).to_bytes(4, "big"), rng.choice(ADDRESSES).to_bytes(4, "big")
    if kind == "arp":
        return b"\x08\x06" + arp(rng.choice((1, 2)), mac(MACS[0]), source, mac(MACS[1]), destination)
    if kind == "ipv6":
        return ipv6(rng)
    if kind == "mpls":
        labels = rng.choice((1, 1, 2))
        stack = b"".join((rng.choice((16, 17)) << 12 | 3 << 9 | (index == labels - 1) << 8 | rng.mpls_ttl)
                         .to_bytes(4, "big") for index in range(labels))
        inner = ipv4(source, destination, 17, transport(17, source, destination, rng))
        return b"\x88\x47" + stack + inner
    if kind == "other":
        return b"\x88\xb5" + rng.serial() + bytes(rng.choice((4, 40)))
    if kind == "llc":
        return (3 + 6 + 29).to_bytes(2, "big") + b"\x42\x42\x03" + rng.serial() + bytes(29)
    if kind == "short":
        cut = (b"\x08\x00", b"\x86\xdd", b"\x08\x06", b"\x88\x47") if "malformed" in rng.features else (b"\x88\xb5",)
        return rng.choice(cut) + rng.serial()
    protocol = rng.choice((1, 6, 17, 132, 200))
    packet = ipv4(source, destination, protocol, transport(protocol, source, destination, rng),
                  rng.choice((1, 2, 64)))
    if kind == "fragment":
        packet = packet[:6] + rng.choice((b"\x20\x00", b"\x00\x05")) + packet[8:10] + bytes(2) + packet[12:]
        packet = packet[:10] + checksum(packet[:20]).to_bytes(2, "big") + packet[12:]
    return b"\x08\x00" + packet


def ipv6(rng: Dice) -> bytes:
    """An IPv6 packet, some with an extension header."""
    first, second = (rng.choice(SIX).to_bytes(16, "big") for _ in range(2))
    protocol = rng.choice((6, 17, 58))
    payload = transport(protocol, first, second, rng)
    if rng.random() < 0.3:
        headers = (0, 43, 60) if "malformed" in rng.features else (0, 60)
        payload, protocol = bytes((protocol, 0)) + b"\x01\x04" + bytes(4) + payload, rng.choice(headers)
    flow = (6 << 28 | rng.choice((0, 0x20)) << 20 | rng.choice((0, 5))).to_bytes(4, "big")
    return (b"\x86\xdd" + flow + len(payload).to_bytes(2, "big") + bytes((protocol, rng.choice((1, 64))))
            + first + second + payload)
