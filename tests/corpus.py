"""Frames of every kind, made by hand: what a network must carry byte for byte, and what tenants' actions are tried on.

Each has a source address of its own, so that a frame can be told by it whatever becomes of the rest. Knows no switch.
"""
from __future__ import annotations

from tools.emulator.host import arp, checksum, ipv4

LEAST, MOST = 60, 1514
"""Lengths of frames without their check sequence."""
HOST = b"\2\0\0\0\0\2"
SOURCE = b"\2\0\0\0\1"
"""The first bytes of the source address of every frame."""
ONE, TWO = bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2))
SIX_ONE, SIX_TWO = (bytes.fromhex("fd" + "00" * 14 + last) for last in ("01", "02"))
TTL = 64


def kind(ethertype: int) -> bytes:
    return ethertype.to_bytes(2, "big")


def tag(vid: int, tpid: int = 0x8100, pcp: int = 0, dei: int = 0) -> bytes:
    return kind(tpid) + (pcp << 13 | dei << 12 | vid).to_bytes(2, "big")


def label(value: int, last: bool, tc: int = 0, ttl: int = TTL) -> bytes:
    return (value << 12 | tc << 9 | last << 8 | ttl).to_bytes(4, "big")


def upper(protocol: int, source: bytes, destination: bytes, head: str, payload: bytes, place: int) -> bytes:
    """What is inside IP, with the checksum over the pseudo header at a place."""
    data = bytes.fromhex(head) + payload
    if protocol == 17:
        data = data[:4] + len(data).to_bytes(2, "big") + data[6:]
    pseudo = source + destination + len(data).to_bytes(4, "big") + protocol.to_bytes(4, "big")
    return data[:place] + checksum(pseudo + data).to_bytes(2, "big") + data[place + 2:]


def udp(payload: bytes, source: bytes = ONE, destination: bytes = TWO) -> bytes:
    return upper(17, source, destination, "03e8 0035 0000 0000", payload, 6)


def tcp(payload: bytes, source: bytes = ONE, destination: bytes = TWO) -> bytes:
    return upper(6, source, destination, "03e8 0050 00000001 00000002 5018 2000 0000 0000", payload, 16)


def echo(payload: bytes) -> bytes:
    data = bytes.fromhex("0800 0000 0001 0002") + payload
    return data[:2] + checksum(data).to_bytes(2, "big") + data[4:]


def four(protocol: int, payload: bytes, tos: int = 0, fragment: int = 0x4000, options: bytes = b"") -> bytes:
    """An IPv4 packet with its ethertype."""
    packet = ipv4(ONE, TWO, protocol, payload, TTL)
    head = bytes((0x45 + len(options) // 4, tos)) + (len(packet) + len(options)).to_bytes(2, "big") + packet[4:6] \
        + fragment.to_bytes(2, "big") + packet[8:10] + bytes(2) + packet[12:20] + options
    return kind(0x0800) + head[:10] + checksum(head).to_bytes(2, "big") + head[12:] + payload


def six(following: int, payload: bytes, destination: bytes = SIX_TWO, first: str = "60000000") -> bytes:
    """An IPv6 packet with its ethertype."""
    return kind(0x86dd) + bytes.fromhex(first) + len(payload).to_bytes(2, "big") + bytes((following, TTL)) + SIX_ONE \
        + destination + payload


def llc(payload: bytes) -> bytes:
    return kind(len(payload)) + payload


def stack(*labels: int, inner: bytes, ethertype: int = 0x8847) -> bytes:
    return kind(ethertype) + b"".join(label(each, number == len(labels) - 1, number)
                                      for number, each in enumerate(labels)) + inner


def filler(length: int) -> bytes:
    return bytes(number * 7 & 0xff for number in range(length))


def _packets() -> dict[str, bytes]:
    """What is behind the addresses, of frames to the host; padded to the least length."""
    simple_udp, simple_tcp = four(17, udp(b"hello")), four(6, tcp(b"hello"))
    inner = simple_udp[2:]
    six_udp = udp(b"six", SIX_ONE, SIX_TWO)
    six_tcp = tcp(b"six", SIX_ONE, SIX_TWO)
    six_echo = upper(58, SIX_ONE, SIX_TWO, "8000 0000 0001 0002", filler(16), 2)
    return {
        "UDP": simple_udp,
        "UDP without a checksum": four(17, udp(b"none")[:6] + bytes(2) + b"none"),
        "TCP": simple_tcp,
        "TCP with options": four(6, upper(6, ONE, TWO, "03e8 0050 00000001 00000000 8002 2000 0000 0000"
                                          "020405b4 01030307 0402 0000", b"", 16)),
        "ICMP": four(1, echo(filler(32))),
        "SCTP": four(132, bytes.fromhex("03e8 0035 00000000 00000000") + filler(16)),
        "IGMP": four(2, bytes.fromhex("1600 09fa e0000005")),
        "GRE of a tenant": four(47, bytes.fromhex("2000 6558 00000007") + filler(30)),
        "VXLAN of a tenant": four(17, upper(17, ONE, TWO, "03e8 12b5 0000 0000", bytes.fromhex("0800000000000700")
                                            + filler(30), 6)),
        "Geneve of a tenant": four(17, upper(17, ONE, TWO, "03e8 17c1 0000 0000", bytes.fromhex("0000655800000700")
                                             + filler(30), 6)),
        "ESP": four(50, filler(32)),
        "unknown protocol": four(253, filler(32)),
        "DSCP and ECN": four(17, udp(b"marked"), tos=0xbb),
        "IPv4 options": four(17, udp(b"options"), options=bytes.fromhex("94040000 01010100")),
        "first fragment": four(17, udp(filler(24)), fragment=0x2000),
        "later fragment": four(17, filler(24), fragment=0x2003),
        "last fragment": four(17, filler(11), fragment=0x0006),
        "wrong IPv4 checksum": simple_udp[:12] + b"\x12\x34" + simple_udp[14:],
        "IPv4 of a length it does not have": simple_udp[:4] + b"\x05\x00" + simple_udp[6:],
        "IPv4 with a trailer": simple_udp + filler(40),
        "IPv6 UDP": six(17, six_udp),
        "IPv6 TCP": six(6, six_tcp),
        "ICMPv6": six(58, six_echo),
        "traffic class and flow label": six(17, six_udp, first="6b812345"),
        "hop-by-hop": six(0, bytes.fromhex("1100 0502 0000 0100") + six_udp),
        "routing header": six(43, bytes.fromhex("1100 0000 0000 0000") + six_udp),
        "destination options": six(60, bytes.fromhex("1100 0104 00000000") + six_udp),
        "three extension headers": six(0, bytes.fromhex("2b00 0104 00000000 3c00 0000 00000000 1100 0104 00000000")
                                       + six_udp),
        "IPv6 first fragment": six(44, bytes.fromhex("1100 0001 00000007") + six_udp + filler(5)),
        "IPv6 later fragment": six(44, bytes.fromhex("1100 0011 00000007") + filler(24)),
        "IPv6 without a next header": six(59, b""),
        "MPLS, 1 label": stack(16, inner=inner),
        "MPLS, 2 labels": stack(16, 17, inner=inner),
        "MPLS, 3 labels": stack(16, 17, 18, inner=inner),
        "MPLS around Ethernet": stack(19, inner=bytes(4) + HOST + SOURCE + b"\xee" + simple_udp),
        "MPLS explicit null": stack(0, inner=inner),
        "MPLS of the other ethertype": stack(16, inner=inner, ethertype=0x8848),
        "tag": tag(5) + simple_udp,
        "tag with a priority": tag(100, pcp=5) + simple_udp,
        "tag with DEI": tag(100, dei=1) + simple_udp,
        "tag of VID 0": tag(0, pcp=3) + simple_udp,
        "tag of VID 1": tag(1) + simple_udp,
        "tag of VID 2": tag(2) + simple_udp,
        "tag of VID 4095": tag(4095) + simple_udp,
        "tag 0x88a8": tag(5, 0x88a8) + simple_udp,
        "tagged ARP": tag(5) + kind(0x0806) + arp(1, SOURCE + b"\0", ONE, bytes(6), TWO),
        "tagged IPv6": tag(5) + six(6, six_tcp),
        "tagged MPLS": tag(5) + stack(16, 17, inner=inner),
        "tagged LLC": tag(5) + llc(b"\x42\x42\x03" + filler(35)),
        "tagged unknown type": tag(5) + kind(0x88b5) + filler(46),
        "QinQ": tag(5, 0x88a8) + tag(6) + simple_udp,
        "two tags 0x8100": tag(5) + tag(6) + simple_udp,
        "three tags": tag(5, 0x88a8) + tag(6) + tag(7) + simple_udp,
        "tag 0x9100": tag(5, 0x9100) + simple_udp,
        "ARP reply": kind(0x0806) + arp(2, SOURCE + b"\0", ONE, HOST, TWO),
        "RARP": kind(0x8035) + arp(3, SOURCE + b"\0", bytes(4), SOURCE + b"\0", bytes(4)),
        "PPPoE discovery": kind(0x8863) + bytes.fromhex("1109 0000 0004 0101 0000"),
        "PPPoE session": kind(0x8864) + bytes.fromhex("1100 0001 0024 0021") + inner,
        "MACsec": kind(0x88e5) + bytes.fromhex("2c00 00000001 0200000000010001") + filler(40),
        "NSH": kind(0x894f) + bytes.fromhex("0fc2 0203 00000aff 00000000") + filler(30),
        "FCoE": kind(0x8906) + filler(64),
        "RoCE": kind(0x8915) + filler(60),
        "PTP over Ethernet": kind(0x88f7) + filler(44),
        "loopback": kind(0x9000) + filler(46),
        "unknown type": kind(0x88b5) + filler(46),
        "type 0x0600": kind(0x0600) + filler(46),
        "type 0xffff": kind(0xffff) + filler(46),
        "LLC": llc(b"\x42\x42\x03" + filler(35)),
        "LLC SNAP": llc(bytes.fromhex("aaaa03 00000c 2000") + filler(38)),
        "SNAP around IPv4": llc(bytes.fromhex("aaaa03 000000") + simple_udp),
        "Novell raw 802.3": llc(b"\xff\xff" + filler(44)),
        "LLC of the greatest length": llc(b"\x42\x42\x03" + filler(1497)),
        "maximal": four(17, udp(filler(MOST - 14 - 28))),
        "maximal, tagged": tag(5) + four(17, udp(filler(MOST - 14 - 28))),
        "maximal, of unknown type": kind(0x88b5) + filler(MOST - 14),
        "baby giant with MPLS": stack(16, 17, inner=four(17, udp(filler(MOST - 14 - 28)))[2:]),
        "jumbo": four(17, udp(filler(8900))),
    }


_LLDP = bytes.fromhex("0207 04 020000000001 0402 0731 0602 0078 0000")
_ADDRESSED = {
    "broadcast ARP": ("ffffffffffff", kind(0x0806) + arp(1, SOURCE + b"\0", ONE, bytes(6), TWO)),
    "broadcast": ("ffffffffffff", four(17, udp(b"all"))),
    "IPv4 multicast": ("01005e000005", four(17, udp(b"some"))),
    "IPv6 multicast": ("333300000001", six(17, udp(b"some", SIX_ONE, SIX_TWO))),
    "router solicitation": ("333300000002", six(58, upper(58, SIX_ONE, SIX_TWO, "8500 0000 00000000", b"", 2))),
    "STP": ("0180c2000000", llc(bytes.fromhex(
        "424203 0000000000 8000020000000001 00000000 8000020000000001 8001 0000 1400 0200 0f00"))),
    "PVST": ("01000ccccccd", llc(bytes.fromhex("aaaa03 00000c 010b") + filler(38))),
    "pause": ("0180c2000001", kind(0x8808) + bytes.fromhex("0001 ffff")),
    "priority pause": ("0180c2000001", kind(0x8808) + bytes.fromhex("0101 00ff") + filler(16)),
    "LACP": ("0180c2000002", kind(0x8809) + bytes.fromhex("0101 0114") + filler(106)),
    "OAM": ("0180c2000002", kind(0x8809) + bytes.fromhex("03 0050 00") + filler(42)),
    "802.1X": ("0180c2000003", kind(0x888e) + bytes.fromhex("0101 0000")),
    "LLDP": ("0180c200000e", kind(0x88cc) + _LLDP),
    "LLDP to other bridges": ("0180c2000003", kind(0x88cc) + _LLDP),
    "CDP": ("01000ccccccc", llc(bytes.fromhex("aaaa03 00000c 2000 02b4") + filler(36))),
    "CFM": ("0180c2000035", kind(0x8902) + filler(75)),
    "GVRP": ("0180c2000021", llc(bytes.fromhex("424203 0001 01 02 0400") + filler(20))),
    "VRRP": ("01005e000012", four(112, filler(20))),
    "zero destination": ("000000000000", four(17, udp(b"nobody"))),
}
"""Frames to others: destination, and what is behind the addresses."""

_SHORT = {
    "14 bytes": kind(0x88b5),
    "14 bytes of length 0": kind(0),
    "15 bytes": kind(0x88b5) + b"x",
    "16 bytes": kind(0x88b5) + b"xy",
    "short ARP": kind(0x0806) + arp(1, SOURCE + b"\0", ONE, bytes(6), TWO),
    "short UDP": four(17, udp(b"")),
    "IPv4 cut short": four(17, udp(b"cut"))[:16],
    "IPv6 cut short": six(17, b"")[:20],
    "ARP cut short": kind(0x0806) + b"\0\1\x08\0",
    "a tag and nothing": tag(5),
    "18 bytes with a tag": tag(5) + kind(0x88b5),
    "59 bytes": kind(0x88b5) + filler(45),
}
"""Shorter than Ethernet's least, as virtual interfaces send them."""


def _frames() -> dict[str, bytes]:
    bodies = {name: (HOST, body.ljust(LEAST - 12, b"\0")) for name, body in _packets().items()}
    bodies.update((name, (bytes.fromhex(to), body.ljust(LEAST - 12, b"\0"))) for name, (to, body) in _ADDRESSED.items())
    bodies.update((name, (HOST, body)) for name, body in _SHORT.items())
    return {name: to + SOURCE + bytes((number,)) + body for number, (name, (to, body)) in enumerate(bodies.items())}


FRAMES = _frames()
"""By name."""
NAMES = {frame[6:12]: name for name, frame in FRAMES.items()}
"""By source address."""
