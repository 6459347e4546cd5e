"""Random matches, and the priorities of entries that have them."""
from __future__ import annotations

from tests.oracle.frames import ADDRESSES, MACS, SIX, Dice


def some_match(rng: Dice) -> dict[str, int | tuple[int, int]]:
    """The fields of a valid match."""
    fields: dict[str, int | tuple[int, int]] = {}
    if rng.random() < 0.3:
        fields["IN_PORT"] = rng.choice(rng.ports)
    if rng.random() < 0.3:
        whole = 0x1011 if "metadata" in rng.features else (0x1011, 0xffffffff)
        fields["METADATA"] = rng.choice(((0x10, 0xf0), (0x1000, 0xff00), (0x11, 0xff), whole))
    if rng.random() < 0.2:
        fields["ETH_DST"] = rng.choice((MACS[0], MACS[1], (1 << 40, 1 << 40)))
    if rng.random() < 0.2:
        fields["VLAN_VID"] = rng.choice((0, (0x1000, 0x1000), 0x1005, 0x1001))
        if fields["VLAN_VID"] != 0 and rng.random() < 0.3:
            fields["VLAN_PCP"] = rng.randrange(8)
    kind = rng.choice(("", "", "ipv4", "ipv4", "tcp", "udp", "icmp", "arp", "ipv6", "nd", "mpls", "sctp", "tcp6"))
    if kind in ("ipv4", "tcp", "udp", "icmp", "sctp"):
        fields["ETH_TYPE"] = 0x0800
        if rng.random() < 0.5:
            fields["IPV4_DST"] = rng.choice((ADDRESSES[0], (0x0a000000, 0xffffff00), (0x0a000000, 0xff0000ff - 0xff)))
        if rng.random() < 0.1:
            fields["IP_DSCP"] = 0
    if kind in ("tcp", "udp", "sctp"):
        fields["IP_PROTO"] = {"tcp": 6, "udp": 17, "sctp": 132}[kind]
        fields[f"{kind.upper()}_DST"] = rng.choice((80, 53, (0x50, 0xfff0), 0))
    if kind == "icmp":
        fields["IP_PROTO"] = 1
        fields["ICMPV4_TYPE"] = rng.choice((0, 8))
    if kind == "arp":
        fields["ETH_TYPE"] = 0x0806
        fields["ARP_OP"] = rng.choice((1, 2))
    if kind in ("ipv6", "nd", "tcp6"):
        fields["ETH_TYPE"] = 0x86dd
        if rng.random() < 0.4:
            fields["IPV6_DST"] = rng.choice((SIX[0], (0xfd << 120, 0xff << 120)))
    if kind == "nd":
        fields["IP_PROTO"], fields["ICMPV6_TYPE"] = 58, 135
        fields["ICMPV6_CODE"] = 0
        fields["ND_TARGET"] = SIX[0]
    if kind == "tcp6":
        fields["IP_PROTO"], fields["TCP_DST"] = 6, 80
    if kind == "mpls":
        fields["ETH_TYPE"] = 0x8847
        if rng.random() < 0.5:
            fields["MPLS_LABEL"] = rng.choice((16, 17))
    return fields


def own_priority(rng: Dice, fields: dict[str, int | tuple[int, int]]) -> int:
    """A priority that entries share only if they constrain the same bits.

    Which of two overlapping entries of one priority a packet hits is undefined, so there must be none; those with
    priority 100 are added with CHECK_OVERLAP, and wrong messages have priorities of their own below 1000.
    """
    if not fields:
        return 0
    return rng.priority(repr(sorted((name, value[1] if isinstance(value, tuple) else -1)
                                    for name, value in fields.items())))
