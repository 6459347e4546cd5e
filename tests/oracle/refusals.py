"""Messages that are wrong in one way each, for comparing how two switches refuse them."""
from __future__ import annotations

from tests.tools.controller import (
    ALL, CONTROLLER, TABLE, apply, bucket, flow_mod, flow_request, goto, group, group_mod, match, output, packet_out,
    set_field, simple, write)
from tools.emulator import oxm, wire

NORMAL, ANY = 0xfffffffa, 0xffffffff


def raw_match(*tlvs: bytes) -> bytes:
    """struct ofp_match around TLVs as they are."""
    length = 4 + sum(map(len, tlvs))
    return b"\x00\x01" + length.to_bytes(2, "big") + b"".join(tlvs) + bytes(-length % 8)


def tlv(field: int, size: int, data: bytes, mask: bool = False) -> bytes:
    """A TLV with any header."""
    return (0x80000000 | field << 9 | mask << 8 | size).to_bytes(4, "big") + data


def invalid_messages() -> list[tuple[str, int, bytes]]:
    """Ways to be wrong, each as (name, message type, body).

    Some matches are taken after all: each is of a priority of its own, since which of two that overlap counts a packet
    is undefined.
    """
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
    ways = [(f"match: {name}", wire.FLOW_MOD, flow_mod(body, act, priority=200 + index))
            for index, (name, body) in enumerate(matches.items())]
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
            7, 0, 50, good), "indirect empty": group_mod(0, 2, 50),
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
                6) + flow_request(out_port=0xff01)), "short port request": (wire.MULTIPART_REQUEST, b"\0\4" + bytes(8)),
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
