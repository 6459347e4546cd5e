"""Random OpenFlow 1.3 scripts for comparing two switches: seeded, valid and invalid, from small pools of values.

Small pools make entries overlap, replace and cover each other, which is where switches differ. SELECT groups are
made but never referred to: which bucket a hash picks is every switch's own affair.
"""
from __future__ import annotations

from random import Random
from typing import NamedTuple
from zlib import crc32

from tests.system.refusals import invalid_messages
from tests.tools.controller import (
    ALL, CONTROLLER, FLOOD, IN_PORT, TABLE, apply, bucket, clear, flow_mod, flow_request, goto, group, group_mod, match,
    metadata, output, packet_out, set_field, simple, write)
from tools.emulator import oxm, wire
from tools.emulator.host import arp, checksum, ipv4

PORTS = (1, 2, 3, 4)
TABLES = (0, 1, 2, 10)
MACS = (0x020000000001, 0x020000000002, 0x020000000003, 0xffffffffffff)
ADDRESSES = (0x0a000001, 0x0a000002, 0x0a000102, 0xc0a80001)
SIX = (0xfd000000000000000000000000000001, 0xfd000000000000000000000000000102)
VIDS = (1, 5, 100)
GROUPS = tuple(range(1, 9))
SELECT_GROUPS = (100, 101)
LOCAL, ANY = 0xfffffffe, 0xffffffff


class Dice(Random):
    """The source of chance, and what the script is about."""

    tagging = False
    """Whether tags are pushed onto anything, but headers behind them left alone: Open vSwitch 3.1 changes wrong bytes
    of a packet that has got a tag on top of a tag."""


class Step(NamedTuple):
    """One operation: a message to the switch, or a frame into a port."""

    what: str
    kind: int
    body: bytes
    port: int = 0


def mac(value: int) -> bytes:
    """A MAC address on the wire."""
    return value.to_bytes(6, "big")


def transport(protocol: int, source: bytes, destination: bytes, rng: Dice) -> bytes:
    """An upper-layer packet with a right checksum."""
    ports = rng.choice((80, 53, 1000)).to_bytes(2, "big") + rng.choice((80, 53)).to_bytes(2, "big")
    payload = bytes(rng.randrange(256) for _ in range(rng.choice((0, 5, 20))))
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
    head = mac(rng.choice(MACS)) + mac(rng.choice(MACS[:3]))
    for _ in range(rng.choice((0, 0, 1, 1, 2))):
        tpid = rng.choice((b"\x81\x00", b"\x81\x00", b"\x88\xa8"))
        head += tpid + (rng.randrange(8) << 13 | rng.choice(VIDS)).to_bytes(2, "big")
    kind = rng.choice(("ipv4", "ipv4", "ipv4", "arp", "ipv6", "ipv6", "mpls", "other", "fragment"))
    source, destination = rng.choice(ADDRESSES).to_bytes(4, "big"), rng.choice(ADDRESSES).to_bytes(4, "big")
    if kind == "arp":
        return head + b"\x08\x06" + arp(rng.choice((1, 2)), mac(MACS[0]), source, mac(MACS[1]), destination)
    if kind == "ipv6":
        first, second = (rng.choice(SIX).to_bytes(16, "big") for _ in range(2))
        protocol = rng.choice((6, 17, 58))
        payload = transport(protocol, first, second, rng)
        if rng.random() < 0.3:
            payload, protocol = bytes((protocol, 0)) + b"\x01\x04" + bytes(4) + payload, 60
        flow = (6 << 28 | rng.choice((0, 0x20)) << 20 | rng.choice((0, 5))).to_bytes(4, "big")
        return (head + b"\x86\xdd" + flow + len(payload).to_bytes(2, "big") + bytes((protocol, rng.choice((1, 64))))
                + first + second + payload)
    if kind == "mpls":
        labels = rng.choice((1, 1, 2))
        stack = b"".join((rng.choice((16, 17)) << 12 | 3 << 9 | (index == labels - 1) << 8 | rng.choice((1, 64)))
                         .to_bytes(4, "big") for index in range(labels))
        inner = ipv4(source, destination, 17, transport(17, source, destination, rng))
        return head + b"\x88\x47" + stack + inner
    if kind == "other":
        return head + b"\x88\xb5" + bytes(rng.choice((10, 46)))
    protocol = rng.choice((1, 6, 17, 132, 200))
    packet = ipv4(source, destination, protocol, transport(protocol, source, destination, rng),
                  rng.choice((1, 2, 64)))
    if kind == "fragment":
        packet = packet[:6] + rng.choice((b"\x20\x00", b"\x00\x05")) + packet[8:10] + bytes(2) + packet[12:]
        packet = packet[:10] + checksum(packet[:20]).to_bytes(2, "big") + packet[12:]
    return head + b"\x08\x00" + packet


def some_match(rng: Dice) -> dict[str, int | tuple[int, int]]:
    """The fields of a valid match."""
    fields: dict[str, int | tuple[int, int]] = {}
    if rng.random() < 0.3:
        fields["IN_PORT"] = rng.choice(PORTS)
    if rng.random() < 0.3:
        fields["METADATA"] = rng.choice(((0x10, 0xf0), (0x1000, 0xff00), (0x11, 0xff), 0x1011))
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


def inner_actions(rng: Dice, fields: dict[str, int | tuple[int, int]], in_bucket: bool) -> list[bytes]:
    """Actions on what is behind the Ethernet header."""
    choices: list[bytes] = []
    eth = fields.get("ETH_TYPE")
    if eth in (0x0800, 0x86dd):
        choices += [simple(24), simple(23, rng.choice((1, 9)) << 8), set_field(oxm.IP_DSCP, 12)]
        if fields.get("VLAN_VID") == 0 and not in_bucket:
            choices.append(simple(19, 0x8847))
        choices += [set_field(oxm.IP_ECN, 1)]
    if eth == 0x0800:
        choices += [set_field(oxm.IPV4_SRC, rng.choice(ADDRESSES)), set_field(oxm.IPV4_DST, rng.choice(ADDRESSES))]
    if eth == 0x86dd:
        choices += [set_field(oxm.IPV6_DST, rng.choice(SIX)), set_field(oxm.IPV6_FLABEL, 77)]
    if eth == 0x0806:
        choices += [set_field(oxm.ARP_SPA, ADDRESSES[2]), set_field(oxm.ARP_OP, 2), set_field(oxm.ARP_THA, MACS[2])]
    if eth == 0x8847:
        choices += [simple(20, 0x0800), set_field(oxm.MPLS_LABEL, 99), simple(16), simple(15, 7 << 8)]
    for protocol, names in ((6, "TCP"), (17, "UDP"), (132, "SCTP")):
        if fields.get("IP_PROTO") == protocol:
            choices += [set_field(getattr(oxm, f"{names}_SRC"), 4321), set_field(getattr(oxm, f"{names}_DST"), 80)]
    if fields.get("IP_PROTO") == 1:
        choices += [set_field(oxm.ICMPV4_CODE, 3)]
    if "ND_TARGET" in fields:
        choices += [set_field(oxm.ND_SLL, MACS[2]), set_field(oxm.ND_TARGET, SIX[1])]
    return choices


def some_actions(rng: Dice, fields: dict[str, int | tuple[int, int]], in_bucket: bool = False,
                 groups: tuple[int, ...] = GROUPS) -> list[bytes]:
    """Actions that mostly suit the match."""
    choices: list[bytes] = [
        set_field(oxm.ETH_DST, rng.choice(MACS)), set_field(oxm.ETH_SRC, MACS[1]),
        set_field(oxm.METADATA, 0x1011), b"\x00\x15\x00\x08" + (1).to_bytes(4, "big")]
    if rng.tagging or (fields.get("VLAN_VID") == 0 and not in_bucket):
        choices.append(simple(17, rng.choice((0x8100, 0x88a8))))
    if "VLAN_VID" in fields and fields["VLAN_VID"] != 0:
        choices += [simple(18), set_field(oxm.VLAN_VID, 0x1000 | rng.choice(VIDS)), set_field(oxm.VLAN_PCP, 3)]
    if not rng.tagging:
        choices += inner_actions(rng, fields, in_bucket)
    outputs = [output(rng.choice(PORTS)), output(rng.choice(PORTS)),
               output(rng.choice((ALL, FLOOD, IN_PORT, LOCAL, 77))), output(CONTROLLER, rng.choice((0, 20, 0xffff)))]
    if groups:
        outputs += [group(rng.choice(groups)), group(rng.choice(groups))]
    actions = [rng.choice(choices) for _ in range(rng.choice((0, 0, 1, 1, 2, 3)))]
    if in_bucket:
        return [*actions, rng.choice(outputs)] if rng.random() < 0.95 else actions
    mixed: list[bytes] = []
    for action in actions:
        mixed.append(action)
        if rng.random() < 0.3:
            mixed.append(rng.choice(outputs))
    if rng.random() < 0.9:
        mixed.append(rng.choice(outputs))
    return mixed


def some_instructions(rng: Dice, fields: dict[str, int | tuple[int, int]], table: int) -> bytes:
    """Instructions that mostly suit the match and the table.

    They name no group twice: Open vSwitch 3.1 aborts when a group is deleted that an entry names twice.
    """
    parts: list[bytes] = []
    if rng.random() < 0.7:
        parts.append(apply(*some_actions(rng, fields)))
    if rng.random() < 0.1:
        parts.append(clear())
    if rng.random() < 0.25:
        parts.append(write(*some_actions(rng, fields)))
    if rng.random() < 0.3:
        parts.append(metadata(*rng.choice(((0x1000, 0xff00), (0x10, 0xff), (0x1011, (1 << 64) - 1), (0, 0xf0)))))
    later = [number for number in TABLES if number > table]
    if later and rng.random() < 0.6:
        parts.append(goto(rng.choice(later)))
    rng.shuffle(parts)
    whole = b"".join(parts)
    if any(whole.count(group(number)) > 1 for number in GROUPS):
        return some_instructions(rng, fields, table)
    return whole


def own_priority(fields: dict[str, int | tuple[int, int]]) -> int:
    """A priority that entries share only if they constrain the same bits.

    Which of two overlapping entries of one priority a packet hits is undefined, so there must be none; those with
    priority 100 are added with CHECK_OVERLAP.
    """
    if not fields:
        return 0
    masks = sorted((name, value[1] if isinstance(value, tuple) else -1) for name, value in fields.items())
    return 1000 + crc32(repr(masks).encode()) % 60000


def some_flow_mod(rng: Dice) -> Step:
    """A flow-mod, usually valid."""
    fields, table = some_match(rng), rng.choice(TABLES)
    command = rng.choice((0, 0, 0, 0, 0, 0, 1, 2, 3, 4))
    cookie, mask = rng.choice((0, 0x11, 0x12, 0x21)), 0
    if command and rng.random() < 0.3:
        mask = rng.choice((0xf0, 0xff, (1 << 64) - 1))
    out_port = rng.choice(PORTS) if command > 2 and rng.random() < 0.3 else ANY
    out_group = rng.choice(GROUPS) if command > 2 and rng.random() < 0.2 else ANY
    if command > 2 and rng.random() < 0.3:
        table = 0xff
    flags = rng.choice((0, 0, 0, 1, 1, 4, 5))
    priority = own_priority(fields)
    if rng.random() < 0.3:
        priority, flags = 100, flags | 2
    body = flow_mod(match(**fields), some_instructions(rng, fields, table), command=command, table=table,
                    priority=priority, cookie=cookie, mask=mask, flags=flags, out_port=out_port,
                    out_group=out_group, hard=rng.choice((0, 0, 300)))
    return Step(f"flow-mod {command}", wire.FLOW_MOD, body)


def some_group_mod(rng: Dice) -> Step:
    """A group-mod, usually valid; its buckets refer to groups of higher number only."""
    number = rng.choice(GROUPS)
    kind = rng.choice((0, 0, 2, 2, 3))
    command = rng.choice((0, 0, 0, 1, 1, 2))
    if rng.random() < 0.1:
        number, kind = rng.choice(SELECT_GROUPS), 1
    if command == 2:
        return Step("group delete", wire.GROUP_MOD, group_mod(2, kind, number if rng.random() < 0.95 else 0xfffffffc))
    fields = some_match(rng)
    higher = tuple(other for other in GROUPS if other > number)
    buckets = []
    for _ in range(1 if kind == 2 and rng.random() < 0.95 else rng.choice((0, 1, 2, 3))):
        actions = some_actions(rng, fields, True, higher if kind != 1 else ())
        watch = {"watch_port": rng.choice((*PORTS, 77))} if kind == 3 else {}
        if kind == 3 and rng.random() < 0.2:
            watch = {"watch_group": rng.choice(GROUPS)}
        if rng.random() < 0.03:
            watch = {"weight": 1}
        if kind == 1:
            watch = {"weight": rng.choice((0, 1, 5))}
        buckets.append(bucket(*actions, **watch))
    return Step(f"group-mod {command}", wire.GROUP_MOD, group_mod(command, kind, number, *buckets))


def some_packet(rng: Dice) -> Step:
    """A frame into a port, or a packet-out."""
    data = frame(rng)
    if rng.random() < 0.6:
        return Step("frame", 0, data, rng.choice(PORTS))
    actions = [output(TABLE)] if rng.random() < 0.6 else some_actions(rng, {})
    if rng.random() < 0.3:
        actions.insert(0, set_field(oxm.METADATA, 0x1011))
    return Step("packet-out", wire.PACKET_OUT,
                packet_out(data, *actions, in_port=rng.choice((*PORTS, CONTROLLER, CONTROLLER, ANY, LOCAL, 55))))


def some_query(rng: Dice) -> Step:
    """A request whose answer is compared."""
    kind = rng.choice((1, 1, 1, 2, 2, 3, 4, 6, 7, 7, 8, 13))
    body = b""
    if kind in (1, 2):
        body = flow_request(match(**some_match(rng)) if rng.random() < 0.5 else match(),
                            table=rng.choice((*TABLES, 0xff, 0xff, 0xff, 77)),
                            out_port=rng.choice((ANY, ANY, 1)), out_group=rng.choice((ANY, ANY, 2)),
                            cookie=0x11, mask=rng.choice((0, 0, 0xf0, 0xff)))
    elif kind == 4:
        body = rng.choice((ANY, 1, 2, 77)).to_bytes(4, "big") + bytes(4)
    elif kind == 6:
        body = rng.choice((0xfffffffc, 1, 2, 77)).to_bytes(4, "big") + bytes(4)
    return Step(f"multipart {kind}", wire.MULTIPART_REQUEST, kind.to_bytes(2, "big") + bytes(6) + body)


def random_script(seed: int, length: int) -> list[Step]:
    """A script that first fills tables and then goes on doing everything."""
    rng = Dice(seed)
    rng.tagging = seed % 2 == 0
    wrong = [Step(*way) for way in invalid_messages()]
    steps = [some_group_mod(rng) for _ in range(12)] + [some_flow_mod(rng) for _ in range(30)]

    def wrong_one(chooser: Dice) -> Step:
        return chooser.choice(wrong)

    makers = (some_flow_mod, some_flow_mod, some_group_mod, some_packet, some_packet, some_packet, some_query,
              wrong_one)
    while len(steps) < length:
        steps.append(rng.choice(makers)(rng))
    return steps
