"""So many pings from a host, each of which may be answered late: what is not answered is lost.

ping(8) waits behind its last packet no longer than twice the longest round trip so far, once anything was answered: an
answer that a busy machine holds for some milliseconds counts as lost then.
"""
from __future__ import annotations

import itertools
import select
import socket
import struct
import time
from contextlib import suppress

from tests.system.ovs import PrivateOvs

HEADER = struct.Struct("!BBHHH")
REQUEST, REPLY = 8, 0
LENGTH = 56
"""Bytes behind the header, as ping sends them."""
SERIAL = itertools.count(1)


def answered(ovs: PrivateOvs, host: str, address: str, count: int, interval: float, wait: float,
             pattern: str = "00", length: int = LENGTH) -> int:
    """How many pings of so many are answered, within `wait` seconds from the last one."""
    identity = next(SERIAL) & 0xffff
    payload = bytes.fromhex(pattern) * (length * 2 // len(pattern))
    found: set[int] = set()
    with ovs.inside(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP), host) as raw:
        raw.setblocking(False)

        def hear(until: float) -> None:
            while len(found) < count and select.select([raw], [], [], max(0.0, until - time.monotonic()))[0]:
                packet = raw.recv(65536)
                kind, _, _, identity_there, number = HEADER.unpack_from(packet, 4 * (packet[0] & 15))
                found.update([number] if (kind, identity_there) == (REPLY, identity) else ())

        begun = time.monotonic()
        for number in range(count):
            with suppress(OSError):  # nobody has told the address
                raw.sendto(request(identity, number, payload), (address, 0))
            hear(begun + (number + 1) * interval if number < count - 1 else time.monotonic() + wait)
    return len(found)


def request(identity: int, number: int, payload: bytes) -> bytes:
    """An echo request with its checksum."""
    message = HEADER.pack(REQUEST, 0, 0, identity, number) + payload
    total = sum(struct.unpack(f"!{len(message) // 2}H", message))
    total = (total & 0xffff) + (total >> 16)
    checksum = ~((total & 0xffff) + (total >> 16)) & 0xffff
    return HEADER.pack(REQUEST, 0, checksum, identity, number) + payload
