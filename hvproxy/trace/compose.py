"""A frame from one line of text: its bytes in hexadecimal, or fields as Open vSwitch writes them in flows.

    tcp,dl_src=02:00:00:00:00:01,dl_dst=02:00:00:00:00:02,nw_dst=10.0.0.2,tp_dst=80,dl_vlan=5

Takes the names of ovs-ofctl and those of OpenFlow's fields. What is not said is zero, but a TTL is 64, an ARP packet
and an ICMP message are requests, and checksums and lengths are right. Must not know ports or switches.
"""
from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final

from hvproxy.openflow.oxm_fields import BY_NUMBER, FIELDS, MPLS_ETH_TYPES, VLAN_PRESENT, Field, Headers
from hvproxy.openflow.text import MATCH_NAMES
from hvproxy.trace import edits
from hvproxy.trace import frame as f
from hvproxy.trace.frame import Frame

LONGEST = 9216
"""Bytes: more than any Ethernet carries."""
SHORTEST_COMPOSED = 60
"""Bytes of the shortest frame of Ethernet without its check sequence."""
PROTOCOLS: Final[dict[str, tuple[int, int | None]]] = {
    "ip": (f.IPV4, None), "ipv6": (f.IPV6, None), "arp": (f.ARP, None), "rarp": (f.RARP, None),
    "icmp": (f.IPV4, f.ICMP), "tcp": (f.IPV4, f.TCP), "udp": (f.IPV4, f.UDP), "sctp": (f.IPV4, f.SCTP),
    "icmp6": (f.IPV6, f.ICMPV6), "tcp6": (f.IPV6, f.TCP), "udp6": (f.IPV6, f.UDP), "sctp6": (f.IPV6, f.SCTP),
    "mpls": (0x8847, None), "mplsm": (0x8848, None),
}
"""Word -> (Ethernet type, IP protocol)."""
NOT_OF_FRAMES: Final = frozenset(("in_port", "metadata", "tun_id", "tunnel_id"))
ADDRESSES: Final = frozenset((f.ETH_DST, f.ETH_SRC, f.ARP_SHA, f.ARP_THA, f.ND_SLL, f.ND_TLL))
ADDRESSES_4: Final = frozenset((f.IPV4_SRC, f.IPV4_DST, f.ARP_SPA, f.ARP_TPA))
ADDRESSES_6: Final = frozenset((f.IPV6_SRC, f.IPV6_DST, f.ND_TARGET))
_HEXADECIMAL = re.compile(r"(0[xX])?([0-9a-fA-F]+)")
_MAC = re.compile(r"[0-9a-fA-F]{1,2}(:[0-9a-fA-F]{1,2}){5}")
_NUMBER = re.compile(r"0[xX][0-9a-fA-F]{1,16}|[0-9]{1,20}")
_TTL, _MPLS_TTL, _TOS, _TCI = "nw_ttl", "mpls_ttl", "nw_tos", "vlan_tci"
_WIDTHS: Final = {_TTL: 0xFF, _MPLS_TTL: 0xFF, _TOS: 0xFC, _TCI: 0xFFFF}
"""What is no field of OpenFlow 1.3, and its largest value."""
_ECHO: Final = {f.ICMP: 8, f.ICMPV6: 128}
_OPTION: Final = {f.SOLICITATION: 1, f.ADVERTISEMENT: 2}
_DEFAULT_TTL = 64


def _names() -> dict[str, tuple[Field, ...]]:
    """Name -> the fields it may stand for: which one, the protocol decides."""
    names: dict[str, tuple[Field, ...]] = {
        "dl_type": (BY_NUMBER[f.ETH_TYPE],), "dl_vlan": (BY_NUMBER[f.VLAN_VID],),
        "nw_src": (BY_NUMBER[f.IPV4_SRC], BY_NUMBER[f.ARP_SPA]),
        "nw_dst": (BY_NUMBER[f.IPV4_DST], BY_NUMBER[f.ARP_TPA]),
        "icmp_type": (BY_NUMBER[f.ICMPV4_TYPE], BY_NUMBER[f.ICMPV6_TYPE]),
        "icmp_code": (BY_NUMBER[f.ICMPV4_CODE], BY_NUMBER[f.ICMPV6_CODE]),
        "ip_src": (BY_NUMBER[f.IPV4_SRC],), "ip_dst": (BY_NUMBER[f.IPV4_DST],),
        "tp_src": tuple(BY_NUMBER[first] for first in (f.TCP_SRC, f.UDP_SRC, f.SCTP_SRC)),
        "tp_dst": tuple(BY_NUMBER[first + 1] for first in (f.TCP_SRC, f.UDP_SRC, f.SCTP_SRC)),
    }
    for field in FIELDS:
        names.setdefault(field.name, (field,))
        names.setdefault(MATCH_NAMES.get(field.name, field.name), (field,))
    return names


_NAMES: Final = _names()


def compose(text: str) -> bytes:
    """The frame that a line describes. Raises ValueError with what is wrong, in words for the operator."""
    digits = _HEXADECIMAL.fullmatch("".join(text.split()).replace(":", ""))
    return _from_digits(digits[2]) if digits is not None else _from_fields(text)


def _from_digits(digits: str) -> bytes:
    if len(digits) % 2:
        raise ValueError(f"{len(digits)} hexadecimal digits are not whole bytes")
    if not 2 * f.SHORTEST <= len(digits) <= 2 * LONGEST:
        raise ValueError(f"a frame has {f.SHORTEST} to {LONGEST} bytes, not {len(digits) // 2}")
    return bytes.fromhex(digits)


def _from_fields(text: str) -> bytes:
    words, said = _split(text)
    headers = _headers(words, said)
    values = {name: _read_plain(name, said[name]) for name in _WIDTHS if name in said}
    wanted: dict[int, int] = {}
    for name, value in said.items():
        if name not in _WIDTHS:
            field = _chosen(name, headers)
            if field.number in wanted:
                raise ValueError(f"{name} says once more what {_name_of(said, field, name)} says")
            wanted[field.number] = _read(name, field, value)
    if _TOS in values:
        if headers.eth_type not in (f.IPV4, f.IPV6) or f.IP_DSCP in wanted:
            raise ValueError("nw_tos needs ip or ipv6, and no ip_dscp beside it")
        wanted[f.IP_DSCP] = values[_TOS] >> 2
    frame = Frame(_template(headers, wanted), 0)
    _set(frame, wanted, values)
    return frame.data


# Reading

def _split(text: str) -> tuple[list[str], dict[str, str]]:
    """(protocols, field -> its text)."""
    words: list[str] = []
    said: dict[str, str] = {}
    for part in re.split(r"[,\s]+", text.strip(", \t\n")):
        name, equals, value = part.partition("=")
        if not equals and name in PROTOCOLS:
            words.append(name)
        elif name in NOT_OF_FRAMES:
            raise ValueError(f"{name} is no part of a frame; the port it arrives at is given beside it")
        elif name not in _NAMES and name not in _WIDTHS:
            close = get_close_matches(name, [*PROTOCOLS, *_NAMES, *_WIDTHS], n=1)
            hint = f"; did you mean {close[0]}?" if close else "; write hexadecimal digits, or fields as tcp,tp_dst=80"
            raise ValueError(f"{name!r} is no field{hint}")
        elif not value:
            raise ValueError(f"{name} has no value; write {name}=VALUE")
        elif name in said:
            raise ValueError(f"{name} stands there twice")
        elif "/" in value:
            raise ValueError(f"{name}={value} is many values; a frame has one, without a mask")
        else:
            said[name] = value
    if len(words) > 1:
        raise ValueError(f"{words[0]} and {words[1]}: a frame is of one protocol")
    return words, said


def _headers(words: list[str], said: Mapping[str, str]) -> Headers:
    """What the frame is, which decides which fields it has."""
    eth_type, protocol = PROTOCOLS[words[0]] if words else (None, None)
    for names, number in ((("dl_type", "eth_type"), f.ETH_TYPE), (("nw_proto", "ip_proto"), f.IP_PROTO)):
        for name in names:
            if name in said:
                value = _read(name, BY_NUMBER[number], said[name])
                known = eth_type if number == f.ETH_TYPE else protocol
                if known not in (None, value):
                    raise ValueError(f"{name}={said[name]} contradicts {words[0]}")
                if number == f.ETH_TYPE:
                    eth_type = value
                else:
                    protocol = value
    icmp_type = icmp_code = 0
    if (eth_type, protocol) == (f.IPV6, f.ICMPV6):
        types = [name for name in ("icmp_type", "icmpv6_type") if name in said]
        codes = [name for name in ("icmp_code", "icmpv6_code") if name in said]
        icmp_type = _read(types[0], BY_NUMBER[f.ICMPV6_TYPE], said[types[0]]) if types else _ECHO[f.ICMPV6]
        icmp_code = _read(codes[0], BY_NUMBER[f.ICMPV6_CODE], said[codes[0]]) if codes else 0
    tags = any(name in said for name in ("dl_vlan", "vlan_vid", _TCI))
    return Headers(f.NO_TYPE if eth_type is None else eth_type, protocol or 0, icmp_type, icmp_code, int(tags))


def _chosen(name: str, headers: Headers) -> Field:
    """The field that a name stands for in a frame of these headers."""
    fields = _NAMES[name]
    found = next((field for field in fields if field.allows(headers)), None)
    if found is None:
        raise ValueError(f"{name} needs {' or '.join(dict.fromkeys(_needed(field) for field in fields))}")
    return found


def _needed(field: Field) -> str:
    if field.vlan:
        return "dl_vlan"
    if field.icmp_types:
        types = " or ".join(str(kind) for kind in sorted(field.icmp_types))
        return f"icmp6 with icmp_type {types} and icmp_code 0"
    return " or ".join(word for word, (eth_type, protocol) in PROTOCOLS.items()
                       if eth_type in field.eth_types and (protocol or 0) == field.ip_proto)


def _name_of(said: Mapping[str, str], field: Field, besides: str) -> str:
    return next(name for name in said if name != besides and field in _NAMES.get(name, ()))


def _read(name: str, field: Field, text: str) -> int:
    number = field.number
    try:
        if number in ADDRESSES:
            if not _MAC.fullmatch(text):
                raise ValueError(f"{name}={text} is not an Ethernet address")
            return int.from_bytes(bytes(int(part, 16) for part in text.split(":")), "big")
        if number in ADDRESSES_4:
            return int(IPv4Address(text))
        if number in ADDRESSES_6:
            return int(IPv6Address(text))
    except AddressValueError as error:
        raise ValueError(f"{name}={text} is not an IP{'v6' * (number in ADDRESSES_6)} address") from error
    value = _number(name, text, 0xFFF | VLAN_PRESENT if name == "vlan_vid" else 0xFFF if number == f.VLAN_VID
                    else field.full)
    return value | VLAN_PRESENT if number == f.VLAN_VID else value


def _read_plain(name: str, text: str) -> int:
    return _number(name, text, _WIDTHS[name])


def _number(name: str, text: str, largest: int) -> int:
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"{name}={text} is not a number")
    value = int(text, 16) if text[:2] in ("0x", "0X") else int(text)
    if value > largest:
        raise ValueError(f"{name}={text} is larger than {largest:#x}")
    return value


# Building

def _template(headers: Headers, wanted: Mapping[int, int]) -> bytes:
    """A frame of these headers whose fields are zero and whose lengths and checksums are right."""
    kind, protocol = headers.eth_type, headers.ip_proto
    if kind in (f.IPV4, f.IPV6):
        build = _TRANSPORTS.get((kind, protocol))
        payload = _ip(kind, protocol, b"" if build is None else build(headers))
    elif kind in (f.ARP, f.RARP):
        payload = b"\x00\x01\x08\x00\x06\x04\x00\x01" + bytes(20)
    elif kind in MPLS_ETH_TYPES:
        payload = (wanted.get(f.MPLS_BOS, 1) << 8 | _DEFAULT_TTL).to_bytes(4, "big") + bytes(40)
    else:
        payload = bytes(SHORTEST_COMPOSED - f.SHORTEST)
    written = kind if kind >= 0x600 else len(payload)
    return (bytes(12) + written.to_bytes(2, "big") + payload).ljust(SHORTEST_COMPOSED, b"\0")


def _ip(kind: int, protocol: int, body: bytes) -> bytes:
    if kind == f.IPV6:
        return b"\x60\0\0\0" + len(body).to_bytes(2, "big") + bytes((protocol, _DEFAULT_TTL)) + bytes(32) + body
    head = b"\x45\0" + (20 + len(body)).to_bytes(2, "big") + bytes(4) + bytes((_DEFAULT_TTL, protocol))
    return head + checksum(head).to_bytes(2, "big") + bytes(8) + body


def _tcp(headers: Headers) -> bytes:
    body = bytes(12) + b"\x50\x02" + bytes(6)  # five words of header, SYN
    return _summed(body, 16, _pseudo(f.TCP, body))


def _udp(headers: Headers) -> bytes:
    body = bytes(4) + b"\x00\x08" + bytes(2)
    return _summed(body, 6, _pseudo(f.UDP, body))


def _sctp(headers: Headers) -> bytes:
    return bytes(8) + edits.crc32c(bytes(12)).to_bytes(4, "little")


def _icmp(headers: Headers) -> bytes:
    return _summed(bytes((_ECHO[f.ICMP],)) + bytes(7), 2, b"")


def _icmpv6(headers: Headers) -> bytes:
    body = bytes((headers.icmp_type, headers.icmp_code)) + bytes(6)
    if headers.icmp_type in _OPTION and not headers.icmp_code:
        body += bytes(16) + bytes((_OPTION[headers.icmp_type], 1)) + bytes(6)
    return _summed(body, 2, _pseudo(f.ICMPV6, body))


_TRANSPORTS: Final[dict[tuple[int, int], Callable[[Headers], bytes]]] = {
    (f.IPV4, f.ICMP): _icmp, (f.IPV6, f.ICMPV6): _icmpv6,
    **{(kind, protocol): build for kind in (f.IPV4, f.IPV6)
       for protocol, build in ((f.TCP, _tcp), (f.UDP, _udp), (f.SCTP, _sctp))},
}


def _pseudo(protocol: int, body: bytes) -> bytes:
    """What the transport's checksum covers besides the body, the addresses being zero (RFC 8200 section 8.1)."""
    return len(body).to_bytes(2, "big") + bytes((0, protocol))


def _summed(body: bytes, at: int, pseudo: bytes) -> bytes:
    return body[:at] + (checksum(pseudo + body) or 0xFFFF).to_bytes(2, "big") + body[at + 2:]


def checksum(data: bytes) -> int:
    """The Internet checksum of bytes of even length (RFC 1071)."""
    total = sum(int.from_bytes(data[at:at + 2], "big") for at in range(0, len(data), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _set(frame: Frame, wanted: Mapping[int, int], values: Mapping[str, int]) -> None:
    """Put what was said into the template, as actions would."""
    tci = values.get(_TCI, 0)
    if tci & VLAN_PRESENT:
        edits.set_field(frame, f.VLAN_VID, tci & 0x1FFF)
        edits.set_field(frame, f.VLAN_PCP, tci >> 13)
    elif tci:
        raise ValueError(f"vlan_tci={tci:#x} lacks 0x1000, which says that there is a tag")
    for number, value in sorted(wanted.items()):  # the tag before its priority
        edits.set_field(frame, number, value)
    for name, change, there in ((_TTL, edits.set_ttl, frame.ttl_at), (_MPLS_TTL, edits.set_mpls_ttl,
                                                                      frame.mpls_ttl_at)):
        if name in values:
            if there is None:
                raise ValueError(f"{name} needs {'ip or ipv6' if name == _TTL else 'mpls or mplsm'}")
            change(frame, values[name])
