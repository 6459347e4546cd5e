"""Flow-mods as a tenant would send them, for the tests of the logical tables."""
from __future__ import annotations

from struct import pack
from typing import Any

from hvproxy.hypervisor.flow_mods import ADD
from hvproxy.openflow.build import flow_mod
from hvproxy.openflow.messages import FlowMod, decode_flow_mod

ALL_TABLES = 255


def tlv(field: int, value: int, size: int, mask: int | None = None) -> bytes:
    """One OXM of the basic class, built here so that a fault in the code under test cannot hide."""
    body = value.to_bytes(size, "big") + (b"" if mask is None else mask.to_bytes(size, "big"))
    return pack("!HBB", 0x8000, field << 1 | (mask is not None), len(body)) + body


def in_port(number: int) -> bytes:
    return tlv(0, number, 4)


def metadata(value: int, mask: int) -> bytes:
    return tlv(2, value, 8, mask)


def output(port: int) -> bytes:
    return pack("!HHIH6x", 0, 16, port, 0)


def group(number: int) -> bytes:
    return pack("!HHI", 22, 8, number)


def apply_actions(*actions: bytes) -> bytes:
    data = b"".join(actions)
    return pack("!HH4x", 4, 8 + len(data)) + data


def write_actions(*actions: bytes) -> bytes:
    data = b"".join(actions)
    return pack("!HH4x", 3, 8 + len(data)) + data


def goto(table: int) -> bytes:
    return pack("!HHB3x", 1, 8, table)


def message(command: int = ADD, match: bytes = b"", instructions: bytes = b"", **fields: Any) -> FlowMod:
    """The decoded flow-mod; `match` and `instructions` are wire bytes, table 0 unless told."""
    fields.setdefault("table_id", 0)
    return decode_flow_mod(flow_mod(1, command, match_tlvs=match, instructions=instructions, **fields))
