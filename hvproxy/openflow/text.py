"""Matches, instructions, groups and meters for people to read, in words that ovs-ofctl takes as well.

The text shows everything and names things as Open vSwitch does; it is never read back. Knows nothing of what a port,
a table or a group is for. Lengths were proven by `guard`, or the bytes are ours.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address
from struct import Struct
from typing import Final

from hvproxy.errors import Refused
from hvproxy.openflow import nicira, nicira_ct
from hvproxy.openflow.actions import is_nat, walk
from hvproxy.openflow.constants import of13
from hvproxy.openflow.groups import walk_buckets
from hvproxy.openflow.instructions import decode
from hvproxy.openflow.meters import Band
from hvproxy.openflow.oxm_aliases import read
from hvproxy.openflow.oxm_fields import HEADERS_EXACT, HEADERS_MASKED, VLAN_PRESENT, Field

_PORT_NAMES: Final[dict[int, str]] = {
    of13.OFPP_IN_PORT: "IN_PORT", of13.OFPP_TABLE: "TABLE", of13.OFPP_NORMAL: "NORMAL", of13.OFPP_FLOOD: "FLOOD",
    of13.OFPP_ALL: "ALL", of13.OFPP_CONTROLLER: "CONTROLLER", of13.OFPP_LOCAL: "LOCAL", of13.OFPP_ANY: "ANY",
}
_GROUP_TYPES: Final[dict[int, str]] = {
    of13.OFPGT_ALL: "all", of13.OFPGT_SELECT: "select", of13.OFPGT_INDIRECT: "indirect", of13.OFPGT_FF: "ff",
}
_BAND_TYPES: Final[dict[int, str]] = {of13.OFPMBT_DROP: "drop", of13.OFPMBT_DSCP_REMARK: "dscp_remark"}
_MESSAGE_TYPES: Final[dict[int, str]] = {
    number: name.removeprefix("OFPT_").lower()
    for name, number in vars(of13).items() if name.startswith("OFPT_") and isinstance(number, int)
}
MATCH_NAMES: Final[dict[str, str]] = {
    "eth_dst": "dl_dst", "eth_src": "dl_src", "vlan_pcp": "dl_vlan_pcp", "ip_ecn": "nw_ecn", "ip_proto": "nw_proto",
    "ipv4_src": "nw_src", "ipv4_dst": "nw_dst", "icmpv4_type": "icmp_type", "icmpv4_code": "icmp_code",
    "ipv6_flabel": "ipv6_label", "ipv6_nd_target": "nd_target", "ipv6_nd_sll": "nd_sll", "ipv6_nd_tll": "nd_tll",
    "tunnel_id": "tun_id",
}
_SET_NAMES: Final[dict[str, str]] = {
    "ipv4_src": "ip_src", "ipv4_dst": "ip_dst", "ip_ecn": "nw_ecn", "icmpv4_type": "icmp_type",
    "icmpv4_code": "icmp_code", "ipv6_flabel": "ipv6_label", "ipv6_nd_target": "nd_target", "ipv6_nd_sll": "nd_sll",
    "ipv6_nd_tll": "nd_tll", "tunnel_id": "tun_id",
}
"""In a set-field Open vSwitch has other names."""
_DECIMAL: Final = frozenset((
    "vlan_pcp", "ip_dscp", "ip_ecn", "ip_proto", "icmpv4_type", "icmpv4_code", "icmpv6_type", "icmpv6_code", "arp_op",
    "mpls_label", "mpls_tc", "mpls_bos", "tcp_src", "tcp_dst", "udp_src", "udp_dst", "sctp_src", "sctp_dst", "nw_ttl",
    "mpls_ttl", "conj_id", "tun_gbp_id", "ct_zone",
))
_ETHERNET: Final = frozenset(("eth_dst", "eth_src", "arp_sha", "arp_tha", "ipv6_nd_sll", "ipv6_nd_tll"))
_IPV4: Final = frozenset(("ipv4_src", "ipv4_dst", "arp_spa", "arp_tpa", "tun_src", "tun_dst"))
_IPV6: Final = frozenset(("ipv6_src", "ipv6_dst", "ipv6_nd_target", "tun_ipv6_src", "tun_ipv6_dst"))
_FLAGS: Final[dict[str, tuple[str, ...]]] = {
    "tcp_flags": ("fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr", "ns", "[200]", "[400]", "[800]"),
    "ct_state": ("new", "est", "rel", "rpl", "inv", "trk", "snat", "dnat"),
    "tun_flags": ("oam",),
}
"""The names of the bits, from the lowest up."""
_ALWAYS_MASKED: Final = frozenset(("ct_state", "tun_flags"))
_FRAGMENTS: Final[dict[tuple[int, int], str]] = {
    (0, 3): "no", (1, 3): "first", (3, 3): "later", (0, 1): "no", (1, 1): "yes", (0, 2): "not_later", (2, 2): "later",
}
"""(value, mask) of nw_frag."""
_LARGE: Final = 0x10000
"""From here on group ids are hexadecimal: nobody counts that far, so the digits mean something."""

_U32: Final = Struct("!4xI")
_OUTPUT: Final = Struct("!4xIH")
_U16: Final = Struct("!4xH")
_U8: Final = Struct("!4xB")


def message_type(kind: int) -> str:
    """A message type's name: flow_mod, packet_in."""
    return _MESSAGE_TYPES.get(kind, str(kind))


def group_type(kind: int) -> str:
    """A group type's name: all, select, indirect, ff."""
    return _GROUP_TYPES.get(kind, str(kind))


def band_texts(bands: Iterable[Band]) -> list[str]:
    """Each band of a meter: type=drop,rate=100,burst_size=20."""
    return [f"type={_BAND_TYPES.get(band.type, band.type)},rate={band.rate},burst_size={band.burst}"
            + (f",prec_level={band.rest[0]}" if band.type == of13.OFPMBT_DSCP_REMARK else "") for band in bands]


def port_text(port: int) -> str:
    """A port: its number, or the name of a reserved one."""
    return _PORT_NAMES.get(port, str(port))


def group_number(group_id: int) -> str:
    """A group id."""
    return f"{group_id:#x}" if group_id >= _LARGE else str(group_id)


def match_text(tlvs: bytes) -> str:
    """The TLVs of a match: in_port=1,dl_vlan=20; empty for the match of every packet."""
    return ",".join(_fields(tlvs))


def instructions_text(data: bytes) -> str:
    """Instructions as the actions of a flow: pop_vlan,group:0x50001002,goto_table:10; drop for none."""
    try:
        found = decode(data)
    except Refused:
        return f"unknown({data.hex()})"
    parts = [] if found.meter is None else [f"meter:{found.meter}"]
    parts += _actions(found.apply)
    if found.clear:
        parts.append("clear_actions")
    if found.write:
        parts.append(f"write_actions({actions_text(found.write)})")
    if found.metadata is not None:
        value, mask = found.metadata
        parts.append(f"write_metadata:{value:#x}" + ("" if mask == (1 << 64) - 1 else f"/{mask:#x}"))
    if found.goto is not None:
        parts.append(f"goto_table:{found.goto}")
    return ",".join(parts) or "drop"


def actions_text(data: bytes) -> str:
    """A list of actions: set_field:00:00:00:00:00:02->eth_dst,output:3; drop for none."""
    return ",".join(_actions(data)) or "drop"


def bucket_texts(data: bytes) -> list[str]:
    """Each bucket of a group: watch_port:3,actions=output:3."""
    texts = []
    for bucket in walk_buckets(data):
        parts = [f"weight:{bucket.weight}"] if bucket.weight else []
        if bucket.watch_port != of13.OFPP_ANY:
            parts.append(f"watch_port:{port_text(bucket.watch_port)}")
        if bucket.watch_group != of13.OFPG_ANY:
            parts.append(f"watch_group:{group_number(bucket.watch_group)}")
        texts.append(",".join([*parts, f"actions={actions_text(bucket.actions)}"]))
    return texts


# Matches

def _fields(tlvs: bytes) -> Iterator[str]:
    at = 0
    while at < len(tlvs):
        start, header = at, int.from_bytes(tlvs[at:at + 4], "big")
        payload, at = tlvs[at + 4:at + 4 + (header & 0xff)], at + 4 + (header & 0xff)
        exact, masked = HEADERS_EXACT.get(header), HEADERS_MASKED.get(header)
        if exact is not None:
            yield _field(exact, int.from_bytes(payload, "big"), None)
        elif masked is not None:
            value, mask = payload[:masked.size], payload[masked.size:]
            yield _field(masked, int.from_bytes(value, "big"), int.from_bytes(mask, "big"))
        else:
            try:
                parts, _ = read(tlvs, start)
            except Refused:
                yield f"unknown({header:#010x}:{payload.hex()})"
                continue
            for known, number, bits in parts:
                yield _field(known, number, None if bits == known.full else bits)


def _field(field: Field, value: int, mask: int | None) -> str:
    name = MATCH_NAMES.get(field.name, field.name)
    if field.name == "vlan_vid":
        if mask is None and value & VLAN_PRESENT:
            return f"dl_vlan={value & ~VLAN_PRESENT}"
        name = "vlan_tci"  # which can say "no tag" and "any tag" (OF 1.3.5 section 7.2.3.7, table 13)
        return f"{name}={value:#06x}/{field.full if mask is None else mask:#06x}"
    if name in _FLAGS:
        return f"{name}={_flags(name, value, field.full if mask is None and name in _ALWAYS_MASKED else mask)}"
    if name == "nw_frag":
        return f"{name}={_FRAGMENTS.get((value, field.full if mask is None else mask), value)}"
    if name == "packet_type":
        return f"{name}=({value >> 16},{value & 0xffff:#x})"
    if mask is None:
        return f"{name}={_value(field, value)}"
    if field.name in _IPV4 | _IPV6:
        bits = 8 * field.size
        ones = mask.bit_count()
        if mask == (1 << bits) - (1 << bits - ones):
            return f"{name}={_value(field, value)}/{ones}"
    if field.name in _IPV4 | _IPV6 | _ETHERNET:
        return f"{name}={_value(field, value)}/{_value(field, mask)}"
    return f"{name}={value:#x}/{mask:#x}"


def _flags(name: str, value: int, mask: int | None) -> str:
    """Flags by name: syn|ack, or with a mask +syn-ack."""
    named = list(enumerate(_FLAGS[name]))
    if mask is None:
        return "|".join(flag for bit, flag in named if value >> bit & 1) or "0"
    return "".join(("+" if value >> bit & 1 else "-") + flag for bit, flag in named if mask >> bit & 1)


def _value(field: Field, value: int) -> str:
    name = field.name
    if name in _ETHERNET:
        return value.to_bytes(6, "big").hex(":")
    if name in _IPV4:
        return str(IPv4Address(value))
    if name in _IPV6:
        return str(IPv6Address(value))
    if name == "in_port":
        return port_text(value)
    if name in _DECIMAL:
        return str(value)
    return f"{value:#0{6 if name == 'eth_type' else 0}x}"


# Actions

def _actions(data: bytes) -> list[str]:
    return [_ACTIONS.get(kind, _unknown)(action) for kind, action in walk(data)]


def _output(action: bytes) -> str:
    port, max_len = _OUTPUT.unpack_from(action)
    if port == of13.OFPP_CONTROLLER:
        return f"CONTROLLER:{max_len}"
    return _PORT_NAMES.get(port, f"output:{port}")


def _set_field(action: bytes) -> str:
    header = int.from_bytes(action[4:8], "big")
    field = HEADERS_EXACT.get(header)
    if field is None:
        return _unknown(action)
    value = int.from_bytes(action[8:8 + field.size], "big")
    # Open vSwitch takes a VLAN id here with the bit that says there is one, unlike in a match.
    shown = str(value) if field.name == "vlan_vid" else _value(field, value)
    return f"set_field:{shown}->{_SET_NAMES.get(field.name, field.name)}"


def _unknown(action: bytes) -> str:
    return f"unknown({action.hex()})"


def _experimenter(action: bytes) -> str:
    if nicira_ct.is_ct(action):
        nats = [nicira_ct.nat_text(each) for kind, each in walk(nicira_ct.within(action)) if is_nat(kind, each)]
        others = b"".join(each for kind, each in walk(nicira_ct.within(action)) if not is_nat(kind, each))
        return nicira_ct.text(action, ",".join(nats + ([f"exec({actions_text(others)})"] if others else [])))
    cloned = nicira.cloned(action)
    if cloned is not None:
        return f"clone({','.join(_actions(cloned))})"
    return nicira.text(action) or _unknown(action)


def _plain(text: str) -> Callable[[bytes], str]:
    return lambda action: text


def _with_number(struct: Struct, form: str) -> Callable[[bytes], str]:
    return lambda action: form.format(struct.unpack_from(action)[0])


_ACTIONS: Final[dict[int, Callable[[bytes], str]]] = {
    of13.OFPAT_OUTPUT: _output,
    of13.OFPAT_GROUP: lambda action: f"group:{group_number(_U32.unpack_from(action)[0])}",
    of13.OFPAT_SET_QUEUE: _with_number(_U32, "set_queue:{}"),
    of13.OFPAT_SET_FIELD: _set_field,
    of13.OFPAT_PUSH_VLAN: _with_number(_U16, "push_vlan:{:#06x}"),
    of13.OFPAT_POP_VLAN: _plain("pop_vlan"),
    of13.OFPAT_PUSH_MPLS: _with_number(_U16, "push_mpls:{:#06x}"),
    of13.OFPAT_POP_MPLS: _with_number(_U16, "pop_mpls:{:#06x}"),
    of13.OFPAT_SET_MPLS_TTL: _with_number(_U8, "set_mpls_ttl({})"),
    of13.OFPAT_DEC_MPLS_TTL: _plain("dec_mpls_ttl"),
    of13.OFPAT_SET_NW_TTL: _with_number(_U8, "mod_nw_ttl:{}"),
    of13.OFPAT_DEC_NW_TTL: _plain("dec_ttl"),
    of13.OFPAT_EXPERIMENTER: _experimenter,
}
