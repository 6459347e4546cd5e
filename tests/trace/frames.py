"""Random frames of every kind that a switch looks into, whole, in fragments and cut off."""
from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.packets import tagged
from tools.emulator.host import arp, checksum, echo, ipv4

MACS = (b"\x02\0\0\0\0\x01", b"\x02\0\0\0\0\x02", b"\xff" * 6)
IPS = (b"\x0a\0\0\x01", b"\x0a\0\0\x02", b"\xc0\xa8\x07\x09")
IP6S = (bytes(15) + b"\x01", b"\xfe\x80" + bytes(13) + b"\x02", b"\x20\x01\x0d\xb8" + bytes(12))
numbers = st.sampled_from((0, 1, 80, 443, 0xFFFF))
options = st.lists(st.sampled_from((b"\x01\x01" + MACS[0], b"\x02\x01" + MACS[1], b"\x05\x02" + bytes(14), b"\x01\0")),
                   max_size=3).map(b"".join)


def _two(number: int) -> bytes:
    return number.to_bytes(2, "big")


@st.composite
def transports(draw: Any) -> tuple[int, bytes]:
    """(protocol, an upper-layer packet); checksums are whatever they are."""
    kind = draw(st.sampled_from(("tcp", "udp", "sctp", "icmp", "icmp6", "nd", "other", "short")))
    ports = _two(draw(numbers)) + _two(draw(numbers))
    filler = draw(st.binary(max_size=9))
    if kind == "tcp":
        return 6, ports + draw(st.binary(min_size=16, max_size=16)) + filler
    if kind == "udp":
        return 17, ports + _two(8 + len(filler)) + draw(st.sampled_from((b"\0\0", b"\x12\x34", b"\xff\xff"))) + filler
    if kind == "sctp":
        return 132, ports + draw(st.binary(min_size=8, max_size=8)) + filler
    if kind == "icmp":
        return 1, echo(draw(st.sampled_from((0, 8, 3))), 1, 2, filler)
    if kind == "icmp6":
        return 58, bytes((draw(st.sampled_from((128, 129))), 0)) + b"\xab\xcd" + bytes(4) + filler
    if kind == "nd":
        head = bytes((draw(st.sampled_from((135, 136))), draw(st.sampled_from((0, 0, 0, 1))))) + b"\xab\xcd" + bytes(4)
        return 58, head + draw(st.sampled_from(IP6S)) + draw(options)
    return (draw(st.sampled_from((6, 17, 1, 58, 132))), filler) if kind == "short" else (47, filler)


def ipv6(protocol: int, payload: bytes, source: bytes = IP6S[1], destination: bytes = IP6S[2],
         first: int = 6 << 28, hops: int = 64) -> bytes:
    """An IPv6 packet."""
    head = first.to_bytes(4, "big") + _two(len(payload)) + bytes((protocol, hops))
    return head + source + destination + payload


@st.composite
def packets(draw: Any) -> tuple[int, bytes]:
    """(Ethernet type, payload)."""
    kind = draw(st.sampled_from(("ipv4", "ipv4", "ipv6", "ipv6", "arp", "mpls", "snap", "llc", "other")))
    if kind == "ipv4":
        protocol, payload = draw(transports())
        packet = bytearray(ipv4(draw(st.sampled_from(IPS)), draw(st.sampled_from(IPS)), protocol, payload,
                                draw(st.sampled_from((0, 1, 2, 64)))))
        packet[1] = draw(st.sampled_from((0, 0x2E, 0xFF)))
        packet[6:8] = draw(st.sampled_from((b"\x40\0", b"\0\0", b"\0\0", b"\x20\0", b"\x20\x05", b"\0\x09")))
        packet[10:12] = b"\0\0"
        packet[10:12] = _two(checksum(bytes(packet[:20])))
        return 0x0800, bytes(packet)
    if kind == "ipv6":
        protocol, payload = draw(transports())
        for _ in range(draw(st.integers(0, 2))):
            extension = draw(st.sampled_from((0, 43, 60, 51, 44)))
            fragment = _two(draw(st.sampled_from((0, 1, 8, 9)))) if extension in (43, 44) else b"\0\0"
            payload = bytes((protocol, 0)) + fragment + bytes(4) + payload
            protocol = extension
        first = 6 << 28 | draw(st.sampled_from((0, 0x2E, 0xFF))) << 20 | draw(st.sampled_from((0, 0xABCDE)))
        return 0x86DD, ipv6(protocol, payload, draw(st.sampled_from(IP6S)), draw(st.sampled_from(IP6S)), first,
                            draw(st.sampled_from((0, 1, 2, 64))))
    if kind == "arp":
        operation = draw(st.sampled_from((1, 2, 0x101)))
        return draw(st.sampled_from((0x0806, 0x8035))), arp(operation, MACS[0], IPS[0], MACS[1], IPS[1])
    if kind == "mpls":
        count = draw(st.integers(1, 5))
        labels = b"".join((draw(st.sampled_from((0, 2, 700))) << 12 | draw(st.integers(0, 7)) << 9
                           | (index == count - 1) << 8 | draw(st.sampled_from((0, 1, 2, 64)))).to_bytes(4, "big")
                          for index in range(count))
        return draw(st.sampled_from((0x8847, 0x8848))), labels + ipv4(IPS[0], IPS[1], 1, echo(8, 1, 1, b""))
    if kind == "snap":
        return 0x0026, b"\xaa\xaa\x03\0\0\0\x08\0" + ipv4(IPS[0], IPS[1], *draw(transports()))
    return (0x0026, bytes(40)) if kind == "llc" else (0x88B5, draw(st.binary(max_size=50)))


@st.composite
def frames(draw: Any) -> bytes:
    """A frame of at least 14 bytes."""
    kind, payload = draw(packets())
    frame = draw(st.sampled_from(MACS)) + draw(st.sampled_from(MACS)) + _two(kind) + payload
    for _ in range(draw(st.sampled_from((0, 0, 1, 1, 2, 3)))):
        frame = tagged(frame, draw(st.sampled_from((0, 5, 20, 4095))), draw(st.integers(0, 7)),
                       draw(st.sampled_from((0x8100, 0x88A8))))
    if draw(st.integers(0, 5)) == 0:
        frame = frame[:draw(st.integers(14, max(14, len(frame))))]
    return bytes(frame + bytes(draw(st.sampled_from((0, 0, 7)))))
