"""An end station: one interface with a MAC and an IPv4 address that answers ARP and ping and can ping others.

With a VLAN it tags all it sends and hears only that tag. It knows nothing of switches.
"""
from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from struct import Struct

BROADCAST = b"\xff" * 6
ARP = Struct("!HHBBH6s4s6s4s")
IP = Struct("!BBHHHBBH4s4s")
ICMP = Struct("!BBHHH")
REQUEST, REPLY = 1, 2


def mac_bytes(text: str | bytes) -> bytes:
    """A MAC address given as text or as bytes."""
    return text if isinstance(text, bytes) else bytes(int(part, 16) for part in text.split(":"))


def ip_bytes(text: str | bytes) -> bytes:
    """An IPv4 address given as text or as bytes."""
    return text if isinstance(text, bytes) else bytes(int(part) for part in text.split("."))


def checksum(data: bytes) -> int:
    """The Internet checksum."""
    if len(data) & 1:
        data += b"\0"
    total = sum(int.from_bytes(data[place:place + 2], "big") for place in range(0, len(data), 2))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def ipv4(source: bytes, destination: bytes, protocol: int, payload: bytes, ttl: int = 64) -> bytes:
    """An IPv4 packet."""
    head = IP.pack(0x45, 0, 20 + len(payload), 0, 0x4000, ttl, protocol, 0, source, destination)
    return head[:10] + checksum(head).to_bytes(2, "big") + head[12:] + payload


def echo(kind: int, identifier: int, sequence: int, payload: bytes) -> bytes:
    """An ICMP echo request (8) or reply (0)."""
    message = ICMP.pack(kind, 0, 0, identifier, sequence) + payload
    return message[:2] + checksum(message).to_bytes(2, "big") + message[4:]


def arp(operation: int, mac: bytes, ip: bytes, target_mac: bytes, target_ip: bytes) -> bytes:
    """An ARP packet for IPv4 over Ethernet."""
    return ARP.pack(1, 0x0800, 6, 4, operation, mac, ip, target_mac, target_ip)


class Host:
    """One end station."""

    def __init__(self, name: str, mac: str | bytes, ip: str | bytes, vlan: int | None = None, mtu: int = 1500) -> None:
        self.name = name
        self.mac = mac_bytes(mac)
        self.ip = ip_bytes(ip)
        self.vlan = vlan
        self.mtu = mtu
        self.received: list[bytes] = []
        """Every frame heard, tag and all, the newest last; see keep."""
        self.keep = 1000
        """How many frames `received` holds at most."""
        self.on_frame: Callable[[bytes], None] | None = None
        """Called with every frame heard, before the host itself acts on it."""
        self.arp_table: dict[bytes, bytes] = {}
        self.up = True
        self.sent_count = self.received_count = self.oversize = 0
        self.send: Callable[[bytes], None] | None = None
        """Puts a frame on the wire."""
        self._waiting_arp: dict[bytes, list[asyncio.Future[bytes]]] = {}
        self._waiting_echo: dict[tuple[int, int], asyncio.Future[None]] = {}
        self._sequence = 0

    def send_frame(self, frame: bytes) -> None:
        """Send a raw frame as it is."""
        if not self.up or self.send is None:
            return
        if len(frame) > self.mtu + 14 + (4 if frame[12:14] == b"\x81\x00" else 0):
            self.oversize += 1
            return
        self.sent_count += 1
        self.send(frame)

    def send_packet(self, destination: bytes, kind: int, payload: bytes) -> None:
        """Send a payload in an Ethernet frame of this host, tagged if it has a VLAN."""
        tag = b"" if self.vlan is None else b"\x81\x00" + self.vlan.to_bytes(2, "big")
        self.send_frame(destination + self.mac + tag + kind.to_bytes(2, "big") + payload)

    async def resolve(self, ip: str | bytes, timeout: float = 1.0) -> bytes | None:
        """The MAC address of a neighbour, asked by ARP unless known; None if nobody answers."""
        ip = ip_bytes(ip)
        known = self.arp_table.get(ip)
        if known is not None:
            return known
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting_arp.setdefault(ip, []).append(future)
        self.send_packet(BROADCAST, 0x0806, arp(REQUEST, self.mac, self.ip, bytes(6), ip))
        try:
            return await asyncio.wait_for(future, timeout)
        except asyncio.TimeoutError:
            return None
        finally:
            waiting = self._waiting_arp.get(ip, [])
            if future in waiting:
                waiting.remove(future)

    async def ping(self, ip: str | bytes, timeout: float = 1.0, size: int = 56) -> float | None:
        """Round-trip time of one ICMP echo in seconds, after ARP where needed; None if there is no answer."""
        ip = ip_bytes(ip)
        start = time.monotonic()
        mac = await self.resolve(ip, timeout)
        if mac is None:
            return None
        self._sequence = self._sequence + 1 & 0xffff
        key = (id(self) & 0xffff, self._sequence)
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting_echo[key] = future
        begin = time.monotonic()
        self.send_packet(mac, 0x0800, ipv4(self.ip, ip, 1, echo(8, *key, bytes(size))))
        try:
            await asyncio.wait_for(future, max(0.001, timeout - (begin - start)))
        except asyncio.TimeoutError:
            return None
        finally:
            self._waiting_echo.pop(key, None)
        return time.monotonic() - begin

    def receive(self, frame: bytes) -> None:
        """A frame arrives."""
        if not self.up:
            return
        self.received_count += 1
        self.received.append(frame)
        if len(self.received) > self.keep:
            del self.received[:-self.keep]
        if self.on_frame is not None:
            self.on_frame(frame)
        if frame[0:6] not in (self.mac, BROADCAST):
            return
        kind, start = frame[12:14], 14
        if self.vlan is not None:
            if kind != b"\x81\x00" or int.from_bytes(frame[14:16], "big") & 0xfff != self.vlan:
                return
            kind, start = frame[16:18], 18
        if kind == b"\x08\x06" and len(frame) >= start + 28:
            self._arp(frame[start:start + 28])
        elif kind == b"\x08\x00" and len(frame) >= start + 28:
            self._ip(frame[6:12], frame[start:])

    def _arp(self, packet: bytes) -> None:
        _, _, _, _, operation, mac, ip, _, target = ARP.unpack(packet)
        if target != self.ip:
            return
        if operation == REQUEST:
            self.arp_table[ip] = mac
            self.send_packet(mac, 0x0806, arp(REPLY, self.mac, self.ip, mac, ip))
        elif operation == REPLY:
            self.arp_table[ip] = mac
            for future in self._waiting_arp.pop(ip, ()):
                if not future.done():
                    future.set_result(mac)

    def _ip(self, mac: bytes, packet: bytes) -> None:
        size = (packet[0] & 15) * 4
        total = int.from_bytes(packet[2:4], "big")
        if packet[16:20] != self.ip or packet[9] != 1 or checksum(packet[:size]) or total > len(packet):
            return
        message = packet[size:total]
        if len(message) < 8 or checksum(message):
            return
        kind, _, _, identifier, sequence = ICMP.unpack_from(message)
        if kind == 8:
            self.send_packet(mac, 0x0800, ipv4(self.ip, packet[12:16], 1, echo(0, identifier, sequence, message[8:])))
        elif kind == 0:
            future = self._waiting_echo.get((identifier, sequence))
            if future is not None and not future.done():
                future.set_result(None)
