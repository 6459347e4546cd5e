"""Random OpenFlow 1.3 scripts for comparing two switches: seeded, valid and invalid, from small pools of values.

Small pools make entries overlap, replace and cover each other, which is where switches differ. SELECT groups are
made but never referred to: which bucket a hash picks is every switch's own affair.
"""
from __future__ import annotations

from random import Random
from typing import NamedTuple

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
LOCAL, NORMAL, ANY = 0xfffffffe, 0xfffffffa, 0xffffffff


class Step(NamedTuple):
    """One operation: a message to the switch, or a frame into a port."""

    what: str
    kind: int
    body: bytes
    port: int = 0


def mac(value: int) -> bytes:
    """A MAC address on the wire."""
    return value.to_bytes(6, "big")


def transport(protocol: int, source: bytes, destination: bytes, rng: Random) -> bytes:
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


def frame(rng: Random) -> bytes:
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
        return head + b"\x88\xb5" + bytes(rng.choice((0, 10, 46)))
    protocol = rng.choice((1, 6, 17, 132, 200))
    packet = ipv4(source, destination, protocol, transport(protocol, source, destination, rng),
                  rng.choice((1, 2, 64)))
    if kind == "fragment":
        packet = packet[:6] + rng.choice((b"\x20\x00", b"\x00\x05")) + bytes(4) + packet[12:]
        packet = packet[:8] + b"\x40" + packet[9:10] + checksum(packet[:8] + b"\x40" + packet[9:20]).to_bytes(
            2, "big") + packet[12:]
    return head + b"\x08\x00" + packet


def some_match(rng: Random) -> dict[str, int | tuple[int, int]]:
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


def some_actions(rng: Random, fields: dict[str, int | tuple[int, int]], in_bucket: bool = False,
                 groups: tuple[int, ...] = GROUPS) -> list[bytes]:
    """Actions that mostly suit the match."""
    eth = fields.get("ETH_TYPE")
    choices: list[bytes] = [
        set_field(oxm.ETH_DST, rng.choice(MACS)), set_field(oxm.ETH_SRC, MACS[1]), simple(17, 0x8100),
        set_field(oxm.METADATA, 0x1011), b"\x00\x15\x00\x08" + (1).to_bytes(4, "big")]
    if "VLAN_VID" in fields and fields["VLAN_VID"] != 0:
        choices += [simple(18), set_field(oxm.VLAN_VID, 0x1000 | rng.choice(VIDS)), set_field(oxm.VLAN_PCP, 3)]
    if eth in (0x0800, 0x86dd):
        choices += [simple(24), simple(23, rng.choice((1, 9)) << 8), set_field(oxm.IP_DSCP, 12), simple(19, 0x8847)]
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


def some_instructions(rng: Random, fields: dict[str, int | tuple[int, int]], table: int) -> bytes:
    """Instructions that mostly suit the match and the table."""
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
    return b"".join(parts)


def some_flow_mod(rng: Random) -> Step:
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
    flags = rng.choice((0, 0, 0, 1, 1, 2, 4, 5))
    body = flow_mod(match(**fields), some_instructions(rng, fields, table), command=command, table=table,
                    priority=rng.choice((0, 10, 100, 100)), cookie=cookie, mask=mask, flags=flags, out_port=out_port,
                    out_group=out_group, hard=rng.choice((0, 0, 300)))
    return Step(f"flow-mod {command}", wire.FLOW_MOD, body)


def some_group_mod(rng: Random) -> Step:
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


def some_packet(rng: Random) -> Step:
    """A frame into a port, or a packet-out."""
    data = frame(rng)
    if rng.random() < 0.6:
        return Step("frame", 0, data, rng.choice(PORTS))
    actions = [output(TABLE)] if rng.random() < 0.6 else some_actions(rng, {})
    if rng.random() < 0.3:
        actions.insert(0, set_field(oxm.METADATA, 0x1011))
    return Step("packet-out", wire.PACKET_OUT,
                packet_out(data, *actions, in_port=rng.choice((*PORTS, CONTROLLER, CONTROLLER, ANY, LOCAL, 55))))


def some_query(rng: Random) -> Step:
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


def raw_match(*tlvs: bytes) -> bytes:
    """struct ofp_match around TLVs as they are."""
    length = 4 + sum(map(len, tlvs))
    return b"\x00\x01" + length.to_bytes(2, "big") + b"".join(tlvs) + bytes(-length % 8)


def tlv(field: int, size: int, data: bytes, mask: bool = False) -> bytes:
    """A TLV with any header."""
    return (0x80000000 | field << 9 | mask << 8 | size).to_bytes(4, "big") + data


def invalid(rng: Random) -> Step:
    """A message that is wrong in one way, drawn from a list of ways."""
    ways = invalid_messages()
    name, kind, body = ways[rng.randrange(len(ways))]
    return Step(name, kind, body)


def invalid_messages() -> list[tuple[str, int, bytes]]:
    """Ways to be wrong, each as (name, message type, body)."""
    act = apply(output(1))
    ip = tlv(5, 2, b"\x08\x00")
    matches = {
        "unknown field": raw_match(tlv(41, 1, b"\0")), "ipv6 exthdr": raw_match(tlv(5, 2, b"\x86\xdd"), tlv(
            39, 2, b"\0\0")), "pbb": raw_match(tlv(37, 3, bytes(3))), "in_phy_port": raw_match(tlv(1, 4, bytes(4))),
        "wrong size": raw_match(tlv(5, 4, bytes(4))), "cut": raw_match(tlv(5, 2, b"\x08")), "short": raw_match(b"\x80"),
        "no prerequisite": raw_match(tlv(11, 4, bytes(4))), "late prerequisite": raw_match(tlv(11, 4, bytes(4)), ip),
        "duplicate": raw_match(ip, ip), "bits outside mask": raw_match(ip, tlv(11, 8, b"\x0a\0\0\1\xff\0\0\0", True)),
        "mask on exact field": raw_match(tlv(5, 4, b"\x08\0\xff\0", True)), "full mask on exact field": raw_match(
            tlv(5, 4, b"\x08\0\xff\xff", True)), "zero mask": raw_match(ip, tlv(11, 8, bytes(8), True)),
        "vlan value": raw_match(tlv(6, 2, b"\x20\x05")), "vlan without present": raw_match(tlv(6, 2, b"\x00\x05")),
        "pcp value": raw_match(tlv(6, 2, b"\x10\x05"), tlv(7, 1, b"\x08")), "pcp alone": raw_match(tlv(7, 1, b"\1")),
        "dscp value": raw_match(ip, tlv(8, 1, b"\x40")), "port value": raw_match(tlv(0, 4, b"\0\1\0\0")),
        "arp op value": raw_match(tlv(5, 2, b"\x08\x06"), tlv(21, 2, b"\1\1")), "label value": raw_match(
            tlv(5, 2, b"\x88\x47"), tlv(34, 4, b"\x00\x10\x00\x00")), "tcp on udp": raw_match(
            ip, tlv(10, 1, b"\x11"), tlv(13, 2, b"\0\1")), "nd without type": raw_match(
            tlv(5, 2, b"\x86\xdd"), tlv(10, 1, b"\x3a"), tlv(31, 16, bytes(16))),
        "standard match": b"\x00\x00" + raw_match()[2:], "match type 7": b"\x00\x07" + raw_match()[2:],
        "match length 3": b"\x00\x01\x00\x03" + bytes(4), "match beyond": b"\x00\x01\x00\x50" + bytes(4),
        "flabel mask": raw_match(tlv(5, 2, b"\x86\xdd"), tlv(28, 8, b"\0\0\0\5\xff\xff\xff\xff", True)),
        "vlan wide mask": raw_match(tlv(6, 4, b"\x10\x05\xff\xff", True)),
    }
    actions = {
        "type 11": simple(11), "type 99": simple(99), "copy ttl out": simple(11), "pbb": simple(26, 0x88e7),
        "experimenter": b"\xff\xff\x00\x08\x00\x00\x00\x01", "length 0": b"\x00\x12\x00\x00" + bytes(4),
        "length 4": b"\x00\x12\x00\x04" + bytes(4), "length 24": b"\x00\x12\x00\x18" + bytes(4),
        "length 12": b"\x00\x12\x00\x0c" + bytes(8) + bytes(4), "short output": b"\x00\x00\x00\x08\x00\x00\x00\x01",
        "output 0": output(0), "output any": output(ANY), "output 0xff00": output(0xff00), "output normal": output(
            NORMAL), "output max": output(0xffffff00), "output 0xfeff": output(0xfeff), "output table": output(TABLE),
        "missing group": group(77), "group any": group(ANY), "push vlan type": simple(17, 0x0800),
        "push mpls type": simple(19, 0x8100), "pop vlan untagged": simple(18), "pop mpls": simple(20, 0x0800),
        "dec ttl": simple(24), "set ttl": simple(23, 9 << 8), "dec mpls ttl": simple(16), "set mpls ttl": simple(
            15, 9 << 8), "set in_port": set_field(oxm.IN_PORT, 1), "set eth_type": set_field(oxm.ETH_TYPE, 0x0800),
        "set ipv4 without ip": set_field(oxm.IPV4_DST, 1), "set vlan untagged": set_field(oxm.VLAN_VID, 0x1005),
        "set vlan without present": simple(17, 0x8100) + set_field(oxm.VLAN_VID, 5),
        "set vlan value": simple(17, 0x8100) + b"\x00\x19\x00\x10" + tlv(6, 2, b"\x20\x05") + bytes(6),
        "three tags": 3 * simple(17, 0x8100), "two tags": 2 * simple(17, 0x8100) + output(2),
        "set with mask": b"\x00\x19\x00\x18" + tlv(3, 12, bytes(12), True) + bytes(4),
        "set wrong size": b"\x00\x19\x00\x10" + tlv(3, 5, bytes(5)) + bytes(3),
        "set beyond": b"\x00\x19\x00\x10" + tlv(3, 20, bytes(8)), "set dirty padding": set_field(3, 1)[:-1] + b"\1",
        "set unknown": b"\x00\x19\x00\x10" + tlv(41, 1, b"\0") + bytes(7), "set pcp value": simple(
            17, 0x8100) + b"\x00\x19\x00\x10" + tlv(7, 1, b"\x09") + bytes(7), "set tunnel": set_field(38, 5),
        "set proto": set_field(oxm.IP_PROTO, 6), "set nothing": b"\x00\x19\x00\x08" + bytes(4),
        "set bos": set_field(oxm.MPLS_BOS, 1), "set queue": b"\x00\x15\x00\x08\xff\xff\xff\xff",
    }
    instructions = {
        "type 0": b"\x00\x00\x00\x08" + bytes(4), "type 9": b"\x00\x09\x00\x08" + bytes(4), "duplicate": act + act,
        "experimenter": b"\xff\xff\x00\x08" + bytes(4), "length 0": b"\x00\x04\x00\x00" + bytes(4),
        "length 4": b"\x00\x04\x00\x04" + bytes(4), "beyond": b"\x00\x04\x00\x28" + bytes(4),
        "goto backwards": goto(0), "goto 254": goto(254), "goto 255": goto(255), "clear long": b"\x00\x05\x00\x10"
        + bytes(12), "metadata short": b"\x00\x02\x00\x10" + bytes(12), "goto long": b"\x00\x01\x00\x10" + bytes(12),
        "write output 0": write(output(0)), "write inconsistent": write(simple(18), output(1)),
        "write set ip": write(set_field(oxm.IPV4_DST, 1)), "empty apply": apply(), "empty write": write(),
        "write queue": write(b"\x00\x15\x00\x08\x00\x00\x00\x01", output(1)), "goto duplicate": goto(5) + goto(6),
        "write only set": write(set_field(3, 1)), "meter": b"\x00\x06\x00\x08\x00\x00\x00\x01",
    }
    ways = [(f"match: {name}", wire.FLOW_MOD, flow_mod(body, act, priority=50)) for name, body in matches.items()]
    ways += [(f"match delete: {name}", wire.FLOW_MOD, flow_mod(body, command=3, table=9)) for name, body in
             matches.items()]
    ways += [(f"action: {name}", wire.FLOW_MOD, flow_mod(match(), apply(body), priority=50, table=3))
             for name, body in actions.items()]
    ways += [(f"write: {name}", wire.FLOW_MOD, flow_mod(match(), write(body), priority=50, table=3))
             for name, body in actions.items()]
    ways += [(f"bucket: {name}", wire.GROUP_MOD, group_mod(0, 0, 60 + index, bucket(body)))
             for index, (name, body) in enumerate(actions.items())]
    ways += [(f"packet-out: {name}", wire.PACKET_OUT, packet_out(bytes(12) + b"\x88\xb5" + bytes(46), body))
             for name, body in actions.items() if name not in ("output table", "output normal")]
    ways += [(f"instruction: {name}", wire.FLOW_MOD, flow_mod(match(), body, priority=50, table=1))
             for name, body in instructions.items()]
    flow_mods = {
        "table 254": {"table": 254}, "table 255": {"table": 255}, "command 9": {"command": 9}, "flags": {"flags": 0x20},
        "buffer": {"buffer_id": 5}, "buffer on delete": {"buffer_id": 5, "command": 3, "table": 9},
        "out port": {"out_port": 0xff00}, "out port 0": {"out_port": 0, "command": 3, "table": 9},
        "delete table 254": {"command": 3, "table": 254}, "modify table 255": {"command": 1, "table": 255},
        "modify table 254": {"command": 1, "table": 254}, "all flags": {"flags": 0x1f, "table": 7},
    }
    ways += [(f"flow-mod: {name}", wire.FLOW_MOD, flow_mod(match(), act, **values))
             for name, values in flow_mods.items()]
    good = bucket(output(1))
    groups = {
        "type 4": group_mod(0, 4, 50, good), "type 255": group_mod(0, 255, 50, good), "command 7": group_mod(
            7, 0, 50, good), "command 3": group_mod(3, 0, 50, good), "indirect empty": group_mod(0, 2, 50),
        "indirect two": group_mod(0, 2, 50, good, good), "weight": group_mod(0, 0, 50, bucket(output(1), weight=3)),
        "watch in all": group_mod(0, 0, 50, bucket(output(1), watch_port=1)), "no watch in failover": group_mod(
            0, 3, 50, good), "delete with bucket": group_mod(2, 0, 50, good), "id max": group_mod(
            0, 0, 0xffffff00, good), "id above": group_mod(0, 0, 0xffffff01, good), "id all": group_mod(
            0, 0, 0xfffffffc, good), "modify missing": group_mod(1, 0, 51, good), "delete missing": group_mod(2, 0, 51),
        "short bucket": group_mod(0, 0, 50, b"\x00\x08" + bytes(6)), "bucket beyond": group_mod(
            0, 0, 50, b"\x00\x40" + good[2:]), "bucket length 0": group_mod(0, 0, 50, b"\x00\x00" + good[2:]),
        "watch bad port": group_mod(0, 3, 50, bucket(output(1), watch_port=0xff05)), "bucket missing group": group_mod(
            0, 0, 52, bucket(group(53))), "own group": group_mod(0, 0, 54, bucket(group(54))),
        "delete type 9": group_mod(2, 9, 51), "empty select": group_mod(0, 1, 55), "watch missing group": group_mod(
            0, 3, 56, bucket(output(1), watch_group=99)), "empty all": group_mod(0, 0, 57),
    }
    ways += [(f"group: {name}", wire.GROUP_MOD, body) for name, body in groups.items()]
    requests = {
        "unknown type": (77, b""), "hello again": (wire.FEATURES_REPLY, bytes(24)), "packet-in": (
            wire.PACKET_IN, bytes(24)), "experimenter": (wire.EXPERIMENTER, bytes(8)), "experimenter short": (
            wire.EXPERIMENTER, b""), "long barrier": (wire.BARRIER_REQUEST, bytes(4)), "short flow-mod": (
            wire.FLOW_MOD, bytes(20)), "odd flow-mod": (wire.FLOW_MOD, flow_mod() + bytes(4)), "short group-mod": (
            wire.GROUP_MOD, bytes(4)), "odd group-mod": (wire.GROUP_MOD, group_mod(0, 0, 50) + bytes(3)),
        "short packet-out": (wire.PACKET_OUT, bytes(8)), "packet-out actions beyond": (
            wire.PACKET_OUT, wire.PACKET_OUT_BODY.pack(ANY, CONTROLLER, 64) + output(1)), "packet-out odd actions": (
            wire.PACKET_OUT, wire.PACKET_OUT_BODY.pack(ANY, CONTROLLER, 12) + output(1)), "packet-out buffer": (
            wire.PACKET_OUT, wire.PACKET_OUT_BODY.pack(7, CONTROLLER, 16) + output(1)), "packet-out port all": (
            wire.PACKET_OUT, packet_out(bytes(60), output(1), in_port=ALL)), "packet-out port bad": (
            wire.PACKET_OUT, packet_out(bytes(60), output(1), in_port=0xff10)), "short multipart": (
            wire.MULTIPART_REQUEST, bytes(4)), "multipart 99": (wire.MULTIPART_REQUEST, b"\0\x63" + bytes(6)),
        "multipart experimenter": (wire.MULTIPART_REQUEST, b"\xff\xff" + bytes(14)), "long desc": (
            wire.MULTIPART_REQUEST, bytes(16)), "short flow request": (wire.MULTIPART_REQUEST, b"\0\1" + bytes(14)),
        "flow request bad match": (wire.MULTIPART_REQUEST, b"\0\1" + bytes(6) + flow_request(
            raw_match(tlv(41, 1, b"\0")))), "flow request bad port": (wire.MULTIPART_REQUEST, b"\0\1" + bytes(
                6) + flow_request(out_port=0xff01)), "flow request table 254": (wire.MULTIPART_REQUEST, b"\0\1" + bytes(
                    6) + flow_request(table=254)), "short port request": (wire.MULTIPART_REQUEST, b"\0\4" + bytes(8)),
        "queue bad port": (wire.MULTIPART_REQUEST, b"\0\5" + bytes(6) + b"\0\0\0\x4d" + b"\xff" * 4), "queue all": (
            wire.MULTIPART_REQUEST, b"\0\5" + bytes(6) + b"\xff" * 8), "queue missing": (
            wire.MULTIPART_REQUEST, b"\0\5" + bytes(6) + b"\0\0\0\1\0\0\0\7"), "queue config": (
            wire.QUEUE_REQUEST, b"\0\0\0\1" + bytes(4)), "queue config bad": (wire.QUEUE_REQUEST, b"\0\0\0\x4d"
                                                                              + bytes(4)),
        "port-mod bad port": (wire.PORT_MOD, wire.PORT_MOD_BODY.pack(77, bytes(6), 0, 0, 0)), "port-mod bad address": (
            wire.PORT_MOD, wire.PORT_MOD_BODY.pack(1, bytes(6), 0, 0, 0)), "short role": (wire.ROLE_REQUEST, bytes(8)),
        "role 9": (wire.ROLE_REQUEST, b"\0\0\0\x09" + bytes(12)), "get config": (wire.GET_CONFIG_REQUEST, b""),
        "role query": (wire.ROLE_REQUEST, bytes(16)), "echo": (wire.ECHO_REQUEST, b"payload"), "get async": (
            wire.GET_ASYNC_REQUEST, b""), "set config": (wire.SET_CONFIG, b"\0\0\1\0"), "short set config": (
            wire.SET_CONFIG, b"\0\0"), "error": (wire.GET_CONFIG_REPLY, bytes(4)),
    }
    ways += [(f"request: {name}", kind, body) for name, (kind, body) in requests.items()]
    return ways


def random_script(seed: int, length: int) -> list[Step]:
    """A script that first fills tables and then goes on doing everything."""
    rng = Random(seed)
    steps = [some_group_mod(rng) for _ in range(12)] + [some_flow_mod(rng) for _ in range(30)]
    makers = (some_flow_mod, some_flow_mod, some_group_mod, some_packet, some_packet, some_packet, some_query, invalid)
    while len(steps) < length:
        steps.append(rng.choice(makers)(rng))
    return steps
