"""What a switch says, as plain records without what may always differ: ids of its own, times, names, order."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.tools.controller import match_fields, packet_in_parts
from tools.emulator import wire

Item = dict[str, Any]
"""One thing said, `is` what; `age` is compared with a tolerance."""
EXPERIMENTER = 0xffff
FLOW_MONITOR = bytes.fromhex("4f4e46000000074e")
"""The ONF's number, and its of the extension."""


def number(data: bytes, start: int, size: int) -> int:
    return int.from_bytes(data[start:start + size], "big")


def fields_of(message: bytes, offset: int) -> tuple[str, int]:
    """A match in an order of its own, and the offset behind it."""
    fields, end = match_fields(message, offset)
    return " ".join(f"{header:08x}={fields[header].hex()}" for header in sorted(fields)), end


def news(message: bytes) -> list[Item]:
    """An asynchronous message: what it tells, which of a flow monitor may be several things."""
    if message[1] == wire.MULTIPART_REPLY:
        return experimenters_records(message)
    return [told(message)]


def told(message: bytes) -> Item:
    """An asynchronous message that tells one thing."""
    if message[1] == wire.PACKET_IN:
        parts = packet_in_parts(message)
        return {"is": "packet-in", **{name: value.hex() if isinstance(value, bytes) else value
                                      for name, value in parts.items()}}
    if message[1] == wire.FLOW_REMOVED:
        cookie, priority, reason, table, seconds, nanoseconds, idle, hard, packets, octets = (
            wire.FLOW_REMOVED_BODY.unpack_from(message, 8))
        return {"is": "flow-removed", "table": table, "priority": priority, "match": fields_of(message, 48)[0],
                "cookie": cookie, "reason": reason, "idle": idle, "hard": hard, "packets": packets, "bytes": octets,
                "age": seconds + nanoseconds / 1e9}
    if message[1] == wire.PORT_STATUS:
        return {"is": "port-status", "reason": message[8], **port_description(message[16:80])}
    return {"is": f"message {message[1]} of no request", "body": message[8:].hex()}


def answer(messages: list[bytes]) -> list[Item]:
    """The answers to one message; the parts of a multipart reply are one."""
    items: list[Item] = []
    if messages and all(message[1] == wire.MULTIPART_REPLY for message in messages):
        if number(messages[0], 8, 2) == EXPERIMENTER:
            return [item for message in messages for item in experimenters_records(message)]
        return records(number(messages[0], 8, 2), b"".join(message[16:] for message in messages))
    for message in messages:
        kind, body = message[1], message[8:]
        if kind == wire.ERROR:
            items.append({"is": "error", "type": number(body, 0, 2), "code": number(body, 2, 2),
                          "experimenter": body[4:8].hex() if body[:2] == b"\xff\xff" else "", "data": body[4:].hex()})
        elif kind == wire.FEATURES_REPLY:
            items.append({"is": "features", "datapath": number(body, 0, 8), "buffers": number(body, 8, 4),
                          "tables": body[12], "auxiliary": body[13], "capabilities": number(body, 16, 4)})
        else:
            items.append({"is": f"message {kind}", "body": body.hex()})
    return items


def experimenters_records(message: bytes) -> list[Item]:
    """What a multipart reply of an experimenter says: of the ONF's flow monitors every update, of others the bytes."""
    body = message[24:]
    found: list[Item] = [{"is": "multipart of an experimenter", "kind": message[16:24].hex()}]
    if message[16:24] != FLOW_MONITOR:
        return [*found, {"is": "experimenter's", "body": body.hex()}]
    while body:
        length = number(body, 0, 2)
        if length > 8:
            fields, offset = fields_of(body, 24)
            event, reason, priority, idle, hard = (number(body, at, 2) for at in range(2, 12, 2))
            found.append({"is": "update", "event": event, "reason": reason, "priority": priority, "idle": idle,
                          "hard": hard, "table": body[14], "cookie": number(body, 16, 8), "match": fields,
                          "instructions": body[offset:length].hex()})
        else:
            found.append({"is": "update", "event": number(body, 2, 2), "xid": number(body, 4, 4)})
        body = body[max(length, 8):]
    return found


def records(kind: int, body: bytes) -> list[Item]:
    """The records of a multipart reply."""
    record = RECORDS.get(kind)
    if record is None:
        return [{"is": f"multipart {kind}", "body": body.hex()}]
    found: list[Item] = [{"is": f"multipart {kind}"}]
    while body:
        item, size = record(body)
        found.append(item)
        body = body[max(size, 8):]
    return found


def flow(body: bytes) -> tuple[Item, int]:
    (length, table, seconds, nanoseconds, priority, idle, hard, flags, cookie, packets,
     octets) = wire.FLOW_STATS_BODY.unpack_from(body)
    fields, offset = fields_of(body, 48)
    return {"is": "flow", "table": table, "priority": priority, "match": fields, "idle": idle, "hard": hard,
            "flags": flags, "cookie": cookie, "packets": packets, "bytes": octets,
            "instructions": body[offset:length].hex(), "age": seconds + nanoseconds / 1e9}, length


def aggregate(body: bytes) -> tuple[Item, int]:
    return {"is": "aggregate", "packets": number(body, 0, 8), "bytes": number(body, 8, 8),
            "flows": number(body, 16, 4)}, 24


def table(body: bytes) -> tuple[Item, int]:
    return {"is": "table", "table": body[0], "active": number(body, 4, 4), "looked up": number(body, 8, 8),
            "matched": number(body, 16, 8)}, 24


def port(body: bytes) -> tuple[Item, int]:
    names = ("received", "sent", "received bytes", "sent bytes", "received and dropped", "not sent",
             "receive errors", "send errors", "frame errors", "overruns", "crc errors", "collisions")
    return {"is": "port", "port": number(body, 0, 4),
            **{name: number(body, 8 + 8 * place, 8) for place, name in enumerate(names)},
            "age": number(body, 104, 4)}, 112


def group(body: bytes) -> tuple[Item, int]:
    length = number(body, 0, 2)
    return {"is": "group", "group": number(body, 4, 4), "used": number(body, 8, 4), "packets": number(body, 16, 8),
            "bytes": number(body, 24, 8), "buckets": body[40:length].hex(),
            "age": number(body, 32, 4) + number(body, 36, 4) / 1e9}, length


def group_description(body: bytes) -> tuple[Item, int]:
    length = number(body, 0, 2)
    return {"is": "group description", "group": number(body, 4, 4), "type": body[2],
            "buckets": body[8:length].hex()}, length


def queue(body: bytes) -> tuple[Item, int]:
    return {"is": "queue", "port": number(body, 0, 4), "queue": number(body, 4, 4), "bytes": number(body, 8, 8),
            "packets": number(body, 16, 8), "errors": number(body, 24, 8), "age": number(body, 32, 4)}, 40


def meter(body: bytes) -> tuple[Item, int]:
    length = number(body, 4, 2)
    return {"is": "meter", "meter": number(body, 0, 4), "used": number(body, 12, 4), "packets": number(body, 16, 8),
            "bytes": number(body, 24, 8), "bands": body[40:length].hex(), "age": number(body, 32, 4)}, length


def meter_configuration(body: bytes) -> tuple[Item, int]:
    length = number(body, 0, 2)
    return {"is": "meter configuration", "meter": number(body, 4, 4), "flags": number(body, 2, 2),
            "bands": body[8:length].hex()}, length


def table_features(body: bytes) -> tuple[Item, int]:
    length = number(body, 0, 2)
    properties = {}
    place = 64
    while place < length:
        size = number(body, place + 2, 2)
        properties[f"property {number(body, place, 2)}"] = body[place + 4:place + size].hex()
        place += (size + 7) // 8 * 8
    return {"is": "table features", "table": body[2], "name": body[8:40].rstrip(b"\0").decode("latin1"),
            "metadata match": number(body, 40, 8), "metadata write": number(body, 48, 8),
            "config": number(body, 56, 4), "most": number(body, 60, 4), **properties}, length


def port_description(body: bytes) -> Item:
    return {"port": number(body, 0, 4), "address": body[8:14].hex(),
            "name": body[16:32].rstrip(b"\0").decode("latin1"), "config": number(body, 32, 4),
            "state": number(body, 36, 4), "features": body[40:56].hex(), "speeds": body[56:64].hex()}


def described_port(body: bytes) -> tuple[Item, int]:
    return {"is": "port description", **port_description(body)}, 64


RECORDS: dict[int, Callable[[bytes], tuple[Item, int]]] = {
    1: flow, 2: aggregate, 3: table, 4: port, 5: queue, 6: group, 7: group_description, 9: meter,
    10: meter_configuration, 12: table_features, 13: described_port,
}
"""How to read one record of each kind, and how long it is."""
