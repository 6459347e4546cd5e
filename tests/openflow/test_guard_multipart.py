"""The bodies of multipart messages: table features, and records that state their own length."""
import pytest

from tests.openflow.pieces import (
    BMC_LEN, BRC_LEN, TFFC_LEN, apply, bucket, experimenter_action, features, ofp_match, output, oxm, prop, record,
    reply, table, tl, verdict,
)
from tests.openflow.samples import multipart

WHOLE = b"".join(prop(kind, b"") for kind in range(0, 16, 2))
"""All that must be told of a table."""
CASES: list[tuple[str, bytes, tuple[int, int] | None]] = [
    ("flow request: match of length 0", multipart(1, bytes(32) + ofp_match(length=0), reply=False), BMC_LEN),
    ("aggregate request: match too long", multipart(2, bytes(32) + ofp_match(length=60), reply=False), BMC_LEN),
    ("flow request: bytes behind the match", multipart(1, bytes(32) + ofp_match() + bytes(8), reply=False), None),
    ("flow request: no multiple of 8", multipart(1, bytes(32) + ofp_match() + bytes(4), reply=False), BRC_LEN),

    ("table: length 0", features(table(length=0)), TFFC_LEN),
    ("table: length 63", features(table(length=63)), TFFC_LEN),
    ("table: length 68", features(table(bytes(8), length=68)), TFFC_LEN),
    ("table: longer than the message", features(table(length=72)), TFFC_LEN),
    ("table: half of a second", features(table(WHOLE) + bytes(8)), TFFC_LEN),
    ("table features: no multiple of 8", features(table() + bytes(4)), BRC_LEN),
    ("property: length 0", features(table(prop(0, tl(1, b""), 0))), TFFC_LEN),
    ("property: length 3", features(table(prop(2, b"\1", 3))), TFFC_LEN),
    ("property: longer than its table", features(table(prop(2, b"\1", 40))), TFFC_LEN),
    ("property: instruction id of length 0", features(table(prop(0, tl(1, b"", 0)))), TFFC_LEN),
    ("property: instruction id too long", features(table(prop(1, tl(1, b"", 12)))), TFFC_LEN),
    ("property: half an instruction id", features(table(prop(0, b"\0\1"))), TFFC_LEN),
    ("property: action id of length 0", features(table(prop(4, tl(0, b"", 0)))), TFFC_LEN),
    ("property: action id of 8", features(table(prop(7, tl(0, bytes(4))) + WHOLE)), None),
    ("property: half a field id", features(table(prop(8, b"\x80\0"))), BMC_LEN),
    ("property: half an experimenter field id", features(table(prop(10, b"\xff\xff\0\0"))), BMC_LEN),
]


@pytest.mark.parametrize("name, message, expected", CASES, ids=[case[0] for case in CASES])
def test_nested_lengths_of_a_controller(name, message, expected):
    assert verdict(message) == expected


SWITCH_CASES: list[tuple[str, bytes, bool]] = [
    ("flow: length 0", reply(1, record(48, ofp_match(), length=0)), False),
    ("flow: length 48", reply(1, record(48, ofp_match(), length=48)), False),
    ("flow: longer than the message", reply(1, record(48, ofp_match(), length=64)), False),
    ("flow: match beyond the record", reply(1, record(48, ofp_match(length=12)) + record(48, ofp_match())), False),
    ("flow: match of length 0", reply(1, record(48, ofp_match(length=0))), False),
    ("flow: instruction of length 0", reply(1, record(48, ofp_match() + tl(4, bytes(4), 0))), False),
    ("flow: instruction beyond the record",
     reply(1, record(48, ofp_match() + tl(4, bytes(4), 64)) + record(48, ofp_match())), False),
    ("flow: action of length 0", reply(1, record(48, ofp_match() + apply(output(0)))), False),
    ("flow: unknown action", reply(1, record(48, ofp_match() + apply(tl(99, bytes(4))))), True),
    ("flow: unknown action of length 0", reply(1, record(48, ofp_match() + apply(tl(99, bytes(4), 0)))), False),
    ("flow: nicira action", reply(1, record(48, ofp_match() + apply(experimenter_action(b"\0\0\x23\x20", bytes(8))))),
     True),
    ("flow: copy-ttl-out", reply(1, record(48, ofp_match() + apply(tl(11, bytes(4))))), True),
    ("flow: experimenter instruction", reply(1, record(48, ofp_match() + tl(0xffff, bytes(12)))), True),
    ("flow: experimenter instruction of length 0", reply(1, record(48, ofp_match() + tl(0xffff, bytes(12), 0))), False),
    ("flow: nicira register in the match",
     reply(1, record(48, ofp_match(oxm(1, bytes(8), mask=1, kind=1)))), True),
    ("group: length 0", reply(6, record(40, length=0)), False),
    ("group: half a counter", reply(6, record(40, bytes(8))), False),
    ("group: longer than the message", reply(6, record(40, length=56)), False),
    ("group desc: length 0", reply(7, record(8, length=0)), False),
    ("group desc: bucket of length 0", reply(7, record(8, bucket(length=0))), False),
    ("group desc: bucket beyond the record", reply(7, record(8, bucket(b"", length=24)) + record(8)), False),
    ("group desc: action of length 0", reply(7, record(8, bucket(output(0)))), False),
    ("meter: length 0", reply(9, record(40, at=4, length=0)), False),
    ("meter: half a counter", reply(9, record(40, bytes(8), at=4)), False),
    ("meter config: length 0", reply(10, record(8, length=0)), False),
    ("meter config: band of length 0", reply(10, record(8, tl(1, bytes(12), 0))), False),
    ("meter config: experimenter band of 24", reply(10, record(8, tl(0xffff, bytes(20)))), True),
    ("table features: length 0", reply(12, table(length=0)), False),
    ("table features: property of length 0", reply(12, table(prop(2, b"\1", 0))), False),
]


@pytest.mark.parametrize("name, message, passes", SWITCH_CASES, ids=[case[0] for case in SWITCH_CASES])
def test_nested_lengths_of_a_switch(name, message, passes):
    assert (verdict(message, from_switch=True) is None) is passes
