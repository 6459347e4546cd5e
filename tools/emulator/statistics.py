"""Multipart requests and their replies (OF 1.3.5 section 7.3.5)."""
from __future__ import annotations

from collections.abc import Callable
from functools import cache
from struct import Struct
from typing import TYPE_CHECKING

from tools.emulator import oxm, wire
from tools.emulator.decode import GROUP_ALL, PORT_ANY, PORT_MAX, BAD_OUT_PORT, bad_action
from tools.emulator.lacks import Lacks, left
from tools.emulator.oxm import OFError
from tools.emulator.tables import Entry, Filter

if TYPE_CHECKING:
    from tools.emulator.session import Session
    from tools.emulator.switch import Switch

(DESC, FLOW, AGGREGATE, TABLE, PORT, QUEUE, GROUP, GROUP_DESC, GROUP_FEATURES, METER, METER_CONFIG, METER_FEATURES,
 TABLE_FEATURES, PORT_DESC) = range(14)
EXPERIMENTER = 0xffff
TABLES = 254
FILTER = Struct("!B3xII4xQQ")
LENGTHS = {DESC: 0, TABLE: 0, PORT: 8, QUEUE: 8, GROUP: 8, GROUP_DESC: 0, GROUP_FEATURES: 0, METER: 8,
           METER_CONFIG: 8, METER_FEATURES: 0, PORT_DESC: 0}
ACTIONS = (0, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25)
INSTRUCTIONS = (1, 2, 3, 4, 5, 6)


def fixed(text: str, size: int) -> bytes:
    """A string field."""
    return text.encode()[:size - 1].ljust(size, b"\0")


def wanted_entries(switch: Switch, body: bytes) -> list[Entry]:
    """The entries that a flow or aggregate request is about."""
    if len(body) < FILTER.size:
        raise OFError(wire.BAD_REQUEST, wire.BRC_BAD_LEN)
    table_id, out_port, out_group, cookie, mask = FILTER.unpack_from(body)
    match, _, _ = oxm.parse_match(body, FILTER.size)
    if 0xff00 <= out_port < PORT_MAX:
        raise bad_action(BAD_OUT_PORT)
    return switch.tables.loose(Filter(table_id, match, cookie, mask, out_port, out_group))


def flow_record(entry: Entry, now: float) -> bytes:
    """struct ofp_flow_stats."""
    rest = entry.match_raw + entry.instructions.raw
    age = max(0.0, now - entry.created)
    return wire.FLOW_STATS_BODY.pack(48 + len(rest), entry.table_id, int(age), int(age % 1 * 1e9), entry.priority,
                                     entry.idle, entry.hard, entry.flags, entry.cookie, entry.packets,
                                     entry.bytes) + rest


def desc(switch: Switch, body: bytes) -> list[bytes]:
    hardware = "Emulated switch with resubmits of Open vSwitch"
    return [fixed("hvproxy tools", 256) + fixed(hardware, 256) + fixed("1", 256) + fixed(switch.name, 32)
            + fixed(switch.name, 256)]


def flow(switch: Switch, body: bytes) -> list[bytes]:
    now = switch.tables.clock()
    return [flow_record(entry, now) for entry in wanted_entries(switch, body)]


def aggregate(switch: Switch, body: bytes) -> list[bytes]:
    entries = wanted_entries(switch, body)
    return [sum(entry.packets for entry in entries).to_bytes(8, "big")
            + sum(entry.bytes for entry in entries).to_bytes(8, "big") + len(entries).to_bytes(4, "big") + bytes(4)]


def table(switch: Switch, body: bytes) -> list[bytes]:
    records = []
    for number in range(TABLES):
        known = switch.tables.tables.get(number)
        counts = (known.count, known.lookups, known.matched) if known else (0, 0, 0)
        records.append(bytes((number, 0, 0, 0)) + counts[0].to_bytes(4, "big") + counts[1].to_bytes(8, "big")
                       + counts[2].to_bytes(8, "big"))
    return records


def port(switch: Switch, body: bytes) -> list[bytes]:
    number = int.from_bytes(body[0:4], "big")
    now = switch.tables.clock()
    return [item.statistics(now) for item in switch.ports.values() if number in (PORT_ANY, item.number)]


def port_desc(switch: Switch, body: bytes) -> list[bytes]:
    return [item.describe() for item in switch.ports.values()]


def queue(switch: Switch, body: bytes) -> list[bytes]:
    number, queue_id = int.from_bytes(body[0:4], "big"), int.from_bytes(body[4:8], "big")
    if 0xff00 <= number < PORT_MAX:
        raise bad_action(BAD_OUT_PORT)
    if number != PORT_ANY and number not in switch.ports:
        raise OFError(9, 0)
    if queue_id != 0xffffffff:
        raise OFError(9, 1)
    return []


def group(switch: Switch, body: bytes) -> list[bytes]:
    number = int.from_bytes(body[0:4], "big")
    users, now = switch.tables.group_users, switch.tables.clock()
    return [item.statistics(len(users.get(item.group_id, ())), now) for item in switch.groups.groups.values()
            if number in (GROUP_ALL, item.group_id)]


def group_desc(switch: Switch, body: bytes) -> list[bytes]:
    return [item.describe() for item in switch.groups.groups.values()]


def group_features(switch: Switch, body: bytes) -> list[bytes]:
    most = 0xffffff00
    offered = sum(1 << kind for kind in left(ACTIONS, switch.lacks.actions))
    return [(0xf).to_bytes(4, "big") + (7).to_bytes(4, "big") + 4 * most.to_bytes(4, "big")
            + 4 * offered.to_bytes(4, "big")]


def meter(switch: Switch, body: bytes) -> list[bytes]:
    now = switch.tables.clock()
    return [item.statistics(len(switch.tables.using_meter(item.meter_id)), now)
            for item in switch.meters.find(int.from_bytes(body[0:4], "big"))]


def meter_config(switch: Switch, body: bytes) -> list[bytes]:
    return [item.describe() for item in switch.meters.find(int.from_bytes(body[0:4], "big"))]


def meter_features(switch: Switch, body: bytes) -> list[bytes]:
    return [switch.meters.features()]


def prop(kind: int, body: bytes) -> bytes:
    """One table feature property with its padding."""
    length = 4 + len(body)
    return kind.to_bytes(2, "big") + length.to_bytes(2, "big") + body + bytes(-length % 8)


def header_ids(numbers: list[int], mask: bool) -> bytes:
    """OXM headers of fields."""
    ids = b""
    for number in numbers:
        field, header = oxm.FIELDS[number], oxm.field_header(number)
        ids += (header + field.size | 0x100 if mask and field.maskable else header).to_bytes(4, "big")
    return ids


@cache
def _common_properties(lacks: Lacks) -> tuple[bytes, bytes]:
    """The properties in front of and behind those that name the next tables."""
    instructions = b"".join(kind.to_bytes(2, "big") + b"\x00\x04" for kind in left(INSTRUCTIONS, lacks.instructions))
    actions = b"".join(kind.to_bytes(2, "big") + b"\x00\x04" for kind in left(ACTIONS, lacks.actions))
    matched = left(sorted(oxm.FIELDS), lacks.match_fields)
    writable = header_ids([number for number in left(sorted(oxm.FIELDS), lacks.set_fields)
                           if oxm.FIELDS[number].writable], False)
    behind = [(4, actions), (5, actions), (6, actions), (7, actions), (8, header_ids(matched, True)),
              (10, header_ids(sorted(oxm.FIELDS), False)), (12, writable), (13, writable), (14, writable),
              (15, writable)]
    return (prop(0, instructions) + prop(1, instructions), b"".join(prop(kind, body) for kind, body in behind))


def table_features(switch: Switch, body: bytes) -> list[bytes]:
    records = []
    front, behind = _common_properties(switch.lacks)
    for number in range(TABLES):
        following = bytes(range(number + 1, TABLES))
        properties = front + prop(2, following) + prop(3, following) + behind
        limit = switch.table_limit or 1_000_000
        records.append((64 + len(properties)).to_bytes(2, "big") + bytes((number, 0, 0, 0, 0, 0))
                       + fixed(f"table{number}", 32) + b"\xff" * 16 + bytes(4) + limit.to_bytes(4, "big") + properties)
    return records


ANSWERS: dict[int, Callable[[Switch, bytes], list[bytes]]] = {
    DESC: desc, FLOW: flow, AGGREGATE: aggregate, TABLE: table, PORT: port, QUEUE: queue, GROUP: group,
    GROUP_DESC: group_desc, GROUP_FEATURES: group_features, METER: meter, METER_CONFIG: meter_config,
    METER_FEATURES: meter_features, TABLE_FEATURES: table_features, PORT_DESC: port_desc,
}


def multipart(switch: Switch, session: Session, message: bytes) -> None:
    """Answer one multipart request."""
    kind = int.from_bytes(message[8:10], "big")
    body = message[16:]
    answer = ANSWERS.get(kind)
    if answer is None:
        if kind != EXPERIMENTER:
            raise OFError(wire.BAD_REQUEST, wire.BRC_BAD_MULTIPART)
        raise OFError(wire.BAD_REQUEST, wire.BRC_BAD_EXPERIMENTER if len(body) >= 8 else wire.BRC_BAD_LEN)
    if len(body) != LENGTHS.get(kind, len(body)):
        raise OFError(wire.BAD_REQUEST, wire.BRC_BAD_LEN)
    if kind == TABLE_FEATURES and body:
        raise OFError(13, 5)
    xid = int.from_bytes(message[4:8], "big")
    for answered in wire.multipart_replies(xid, kind, answer(switch, body)):
        session.send(answered)
