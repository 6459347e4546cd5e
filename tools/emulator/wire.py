"""Builders and constants of OpenFlow 1.3 messages, no more than an emulated switch needs."""
from __future__ import annotations

from struct import Struct

from tools.emulator import oxm

VERSION = 4
HEADER = Struct("!BBHI")
(HELLO, ERROR, ECHO_REQUEST, ECHO_REPLY, EXPERIMENTER, FEATURES_REQUEST, FEATURES_REPLY, GET_CONFIG_REQUEST,
 GET_CONFIG_REPLY, SET_CONFIG, PACKET_IN, FLOW_REMOVED, PORT_STATUS, PACKET_OUT, FLOW_MOD, GROUP_MOD, PORT_MOD,
 TABLE_MOD, MULTIPART_REQUEST, MULTIPART_REPLY, BARRIER_REQUEST, BARRIER_REPLY, QUEUE_REQUEST, QUEUE_REPLY,
 ROLE_REQUEST, ROLE_REPLY, GET_ASYNC_REQUEST, GET_ASYNC_REPLY, SET_ASYNC, METER_MOD) = range(30)

HELLO_FAILED, BAD_REQUEST = 0, 1
BRC_BAD_VERSION, BRC_BAD_TYPE, BRC_BAD_MULTIPART, BRC_BAD_EXPERIMENTER, BRC_BAD_LEN = 0, 1, 2, 3, 6
BRC_EPERM, BRC_BUFFER_UNKNOWN, BRC_BAD_TABLE_ID, BRC_IS_SLAVE, BRC_BAD_PORT = 5, 8, 9, 10, 11
NO_BUFFER = 0xffffffff

FLOW_MOD_BODY = Struct("!QQBBHHHIIIH2x")
PACKET_OUT_BODY = Struct("!IIH6x")
PACKET_IN_BODY = Struct("!IHBBQ")
FLOW_REMOVED_BODY = Struct("!QHBBIIHHQQ")
FLOW_STATS_BODY = Struct("!HBxIIHHHH4xQQQ")
FEATURES_BODY = Struct("!QIBB2xII")
PORT_MOD_BODY = Struct("!I4x6s2xIII4x")
ROLE_STATUS_BODY = Struct("!IIIB3xQ")
LARGEST = 65535


def message(kind: int, xid: int, body: bytes = b"") -> bytes:
    """One message."""
    return HEADER.pack(VERSION, kind, 8 + len(body), xid) + body


def hello(xid: int) -> bytes:
    """HELLO with the bitmap for OpenFlow 1.3 alone."""
    return message(HELLO, xid, b"\x00\x01\x00\x08" + (1 << VERSION).to_bytes(4, "big"))


def error(offending: bytes, error_type: int, code: int, experimenter: int | None = None) -> bytes:
    """The refusal of a message, with its xid and all of its bytes that fit, as Open vSwitch 3.1 sends it."""
    xid = int.from_bytes(offending[4:8], "big")
    head = error_type.to_bytes(2, "big") + code.to_bytes(2, "big")
    if experimenter is not None:
        head += experimenter.to_bytes(4, "big")
    return message(ERROR, xid, head + offending[:LARGEST - 8 - len(head)])


def role_status(role: int, generation: int) -> bytes:
    """Another controller became master: OpenFlow 1.4's message as the ONF's extension, as Open vSwitch sends it."""
    return message(EXPERIMENTER, 0, ROLE_STATUS_BODY.pack(0x4f4e4600, 1911, role, 0, generation))


def packet_in(xid: int, reason: int, table_id: int, cookie: int, tlvs: bytes, data: bytes) -> bytes:
    """A packet-in that carries the whole frame."""
    length = 4 + len(tlvs)
    match = b"\x00\x01" + length.to_bytes(2, "big") + tlvs + bytes(-length % 8)
    return message(PACKET_IN, xid, PACKET_IN_BODY.pack(NO_BUFFER, len(data), reason, table_id, cookie)
                   + match + b"\0\0" + data)


def packet_in_tlvs(in_port: int, pipeline: dict[int, int]) -> bytes:
    """The pipeline fields of a packet-in in Open vSwitch's order, those that are zero left out."""
    told = [oxm.tlv(number, pipeline[number]) for number in (oxm.TUNNEL_ID, *oxm.REGISTERS, oxm.METADATA)
            if pipeline.get(number)]
    return oxm.tlv(oxm.IN_PORT, in_port) + b"".join(told)


def multipart_replies(xid: int, kind: int, records: list[bytes]) -> list[bytes]:
    """Replies that hold all records, cut between records, every one but the last announcing more."""
    bodies: list[list[bytes]] = [[]]
    size = 0
    for record in records:
        if size + len(record) + 16 > LARGEST:
            bodies.append([])
            size = 0
        bodies[-1].append(record)
        size += len(record)
    last = len(bodies) - 1
    return [message(MULTIPART_REPLY, xid, kind.to_bytes(2, "big") + (0 if index == last else 1).to_bytes(2, "big")
                    + bytes(4) + b"".join(body)) for index, body in enumerate(bodies)]
