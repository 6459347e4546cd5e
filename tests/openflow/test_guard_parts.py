"""Lengths of nested parts, and the error each wrong one gets."""
import time

import pytest

from hvproxy.openflow.constants import of13
from hvproxy.openflow.guard_parts import OXM_SIZES
from tests.openflow.pieces import (
    BAC_EXPERIMENTER, BAC_LEN, BAC_SET_LEN, BAC_SET_TYPE, BAC_TYPE, BIC_EXPERIMENTER, BIC_LEN, BIC_UNKNOWN,
    BMC_FIELD, BMC_LEN, BMC_TYPE, BRC_LEN, GMFC_BUCKET, OUTPUT, apply, bucket, experimenter_action, features,
    flow_mod, group_mod, meter_mod, ofp_match, output, oxm, prop, set_field, table, tl, verdict,
)
from tests.openflow.samples import header

CASES: list[tuple[str, bytes, tuple[int, int] | None]] = [
    ("match: length 0", flow_mod(match=ofp_match(length=0)), BMC_LEN),
    ("match: length 3", flow_mod(match=ofp_match(length=3)), BMC_LEN),
    ("match: length 5 is no field", flow_mod(match=ofp_match(length=5)), BMC_LEN),
    ("match: longer than the message", flow_mod(match=ofp_match(length=9)), BMC_LEN),
    ("match: its padding is missing", header(14, bytes(40) + tl(1, oxm(0, bytes(4)))[:8]), BMC_LEN),
    ("match: missing", header(14, bytes(40)), BMC_LEN),
    ("match: deprecated type", flow_mod(match=ofp_match(bytes(84), kind=0)), BMC_TYPE),
    ("match: deprecated type, short", flow_mod(match=ofp_match(kind=0)), BMC_LEN),
    ("match: unknown type", flow_mod(match=ofp_match(kind=2)), BMC_TYPE),
    ("field: in_port of 0 bytes", flow_mod(match=ofp_match(oxm(0, b""))), BMC_FIELD),
    ("field: in_port of 2 bytes", flow_mod(match=ofp_match(oxm(0, bytes(2)))), BMC_FIELD),
    ("field: in_port of 8 bytes", flow_mod(match=ofp_match(oxm(0, bytes(8)))), BMC_FIELD),
    ("field: longer than the match", flow_mod(match=ofp_match(oxm(0, bytes(4), length=200))), BMC_LEN),
    ("field: known, value missing", flow_mod(match=ofp_match(oxm(0, b"", length=4))), BMC_LEN),
    ("field: mask missing", flow_mod(match=ofp_match(oxm(3, bytes(6), mask=1))), BMC_FIELD),
    ("field: unknown, 0 bytes", flow_mod(match=ofp_match(oxm(77, b""))), BMC_FIELD),
    ("field: unknown, longer than the match", flow_mod(match=ofp_match(oxm(77, b"", length=200))), BMC_LEN),
    ("field: odd with a mask, value bits outside it", flow_mod(match=ofp_match(oxm(3, b"\xff\xff" + bytes(3), mask=1))),
     (4, 5)),
    ("field: unknown, odd with a mask", flow_mod(match=ofp_match(oxm(77, bytes(3), mask=1))), BMC_FIELD),
    ("field: unknown, whole", flow_mod(match=ofp_match(oxm(77, bytes(3)))), None),
    ("field: experimenter without id", flow_mod(match=ofp_match(oxm(0, bytes(2), kind=0xffff))), BMC_LEN),
    ("field: experimenter of 0 bytes", flow_mod(match=ofp_match(oxm(0, b"", kind=0xffff))), BMC_LEN),
    ("field: experimenter without value", flow_mod(match=ofp_match(oxm(0, bytes(4), kind=0xffff))), BMC_FIELD),
    ("field: experimenter", flow_mod(match=ofp_match(oxm(42, b"ONF\0\0\1", kind=0xffff))), None),
    ("field: half a header", flow_mod(match=ofp_match(b"\x80\0")), BMC_LEN),

    ("flow-mod: no multiple of 8", flow_mod(bytes(4)), BRC_LEN),
    ("instruction: length 0", flow_mod(tl(4, bytes(4) + OUTPUT, 0)), BIC_LEN),
    ("instruction: length 4", flow_mod(tl(4, bytes(4) + OUTPUT, 4)), BIC_LEN),
    ("instruction: length 12", flow_mod(tl(4, bytes(4) + OUTPUT, 12)), BIC_LEN),
    ("instruction: longer than the message", flow_mod(tl(4, bytes(4) + OUTPUT, 32)), BIC_LEN),
    ("instruction: goto of 16", flow_mod(tl(1, bytes(12))), BIC_LEN),
    ("instruction: write-metadata of 16", flow_mod(tl(2, bytes(12))), BIC_LEN),
    ("instruction: clear of 24", flow_mod(tl(5, bytes(4) + OUTPUT)), BIC_LEN),
    ("instruction: meter of 16", flow_mod(tl(6, bytes(12))), BIC_LEN),
    ("instruction: unknown", flow_mod(tl(9, bytes(4))), BIC_UNKNOWN),
    ("instruction: unknown, length 0", flow_mod(tl(9, bytes(4), 0)), BIC_LEN),
    ("instruction: experimenter", flow_mod(tl(0xffff, bytes(4))), BIC_EXPERIMENTER),
    ("instruction: experimenter, length 0", flow_mod(tl(0xffff, bytes(4), 0)), BIC_LEN),
    ("instruction: a bad one behind bad actions", flow_mod(apply(output(0)) + tl(9, bytes(4))), BIC_UNKNOWN),
    ("instruction: empty apply and write", flow_mod(apply(b"") + tl(3, bytes(4))), None),

    ("action: length 0", flow_mod(apply(output(0))), BAC_LEN),
    ("action: length 8", flow_mod(apply(output(8))), BAC_LEN),
    ("action: longer than its list", flow_mod(apply(output(24))), BAC_LEN),
    ("action: output of 24", flow_mod(apply(tl(0, bytes(20)))), BAC_LEN),
    ("action: length 0 in a write list", flow_mod(tl(3, bytes(4) + output(0))), BAC_LEN),
    ("action: half an output", flow_mod(apply(OUTPUT[:8])), BAC_LEN),
    ("action: group of 16", flow_mod(apply(tl(22, bytes(12)))), BAC_LEN),
    ("action: unknown", flow_mod(apply(tl(99, bytes(4)))), BAC_TYPE),
    ("action: unknown, length 0", flow_mod(apply(tl(99, bytes(4), 0))), BAC_TYPE),
    ("action: copy-ttl-out", flow_mod(apply(tl(11, bytes(4)))), BAC_TYPE),
    ("action: push-pbb", flow_mod(apply(tl(26, bytes(4)))), BAC_TYPE),
    ("action: experimenter", flow_mod(apply(experimenter_action(b"\0\0\0\x09"))), None),
    ("action: experimenter, length 0", flow_mod(apply(experimenter_action(b"\0\0\0\x09", length=0))), BAC_EXPERIMENTER),
    ("action: nicira", flow_mod(apply(experimenter_action(b"\0\0\x23\x20", bytes(8)))), None),
    ("action: nicira of 8", flow_mod(apply(experimenter_action(b"\0\0\x23\x20"))), BAC_LEN),
    ("action: nicira of 12", flow_mod(apply(experimenter_action(b"\0\0\x23\x20", bytes(8), 12))), BAC_LEN),
    ("action: nicira, length 0", flow_mod(apply(experimenter_action(b"\0\0\x23\x20", b"\0\1" + bytes(6), 0))), BAC_LEN),
    ("set-field", flow_mod(apply(set_field(oxm(3, bytes(6)), 2))), None),
    ("set-field: more padding than needed", flow_mod(apply(set_field(oxm(3, bytes(6)), 10))), None),
    ("set-field: unknown field", flow_mod(apply(set_field(oxm(77, bytes(4)), 4))), None),
    ("set-field: length 0", flow_mod(apply(tl(25, oxm(6, b""), 0))), BAC_LEN),
    ("set-field: longer than its list", flow_mod(apply(tl(25, oxm(3, bytes(6)) + bytes(2), 24))), BAC_LEN),
    ("set-field: value beyond the action", flow_mod(apply(set_field(oxm(3, bytes(6), length=60), 2))), BAC_SET_LEN),
    ("set-field: value of 7 for 6", flow_mod(apply(set_field(oxm(3, bytes(6), length=7), 2))), BAC_SET_LEN),
    ("set-field: value of 0", flow_mod(apply(set_field(oxm(3, b"")))), BAC_SET_TYPE),
    ("set-field: value missing", flow_mod(apply(set_field(oxm(6, b"", length=2)))), BMC_LEN),
    ("set-field: experimenter without id", flow_mod(apply(set_field(oxm(3, bytes(2), kind=0xffff), 6))), BMC_LEN),

    ("packet-out: actions longer than it", header(13, bytes(8) + b"\0\x18" + bytes(6) + OUTPUT), BRC_LEN),
    ("packet-out: actions no multiple of 8", header(13, bytes(8) + b"\0\x0c" + bytes(6) + OUTPUT), BRC_LEN),
    ("packet-out: half an action", header(13, bytes(8) + b"\0\x08" + bytes(6) + OUTPUT), BAC_LEN),
    ("packet-out: action of length 0", header(13, bytes(8) + b"\0\x10" + bytes(6) + output(0)), BAC_LEN),
    ("packet-out: nothing in it", header(13, bytes(16)), None),

    ("bucket: length 0", group_mod(bucket(length=0)), GMFC_BUCKET),
    ("bucket: length 15", group_mod(bucket(length=15)), GMFC_BUCKET),
    ("bucket: longer than the message", group_mod(bucket(length=40)), GMFC_BUCKET),
    ("bucket: ends within an action", group_mod(bucket(length=24)), BAC_LEN),
    ("bucket: no multiple of 8", group_mod(bucket(length=20)), BRC_LEN),
    ("bucket: half of one", group_mod(bucket() + bytes(8)), GMFC_BUCKET),
    ("bucket: action of length 0", group_mod(bucket(output(0))), BAC_LEN),
    ("bucket: without actions", group_mod(bucket(b"")), None),
    ("group-mod: no multiple of 8", group_mod(bucket() + bytes(4)), BRC_LEN),

    ("band: length 0", meter_mod(tl(1, bytes(12), 0)), BRC_LEN),
    ("band: length 8", meter_mod(tl(1, bytes(12), 8)), BRC_LEN),
    ("band: length 24", meter_mod(tl(1, bytes(20))), BRC_LEN),
    ("band: half of one", meter_mod(tl(1, bytes(12)) + bytes(8)), BRC_LEN),
    ("band: experimenter of 24", meter_mod(tl(0xffff, bytes(20))), BRC_LEN),

    ("hello element: length 0", header(0, tl(1, bytes(4), 0)), BRC_LEN),
    ("hello element: length 3", header(0, tl(1, bytes(4), 3)), BRC_LEN),
    ("hello element: longer than the message", header(0, tl(1, bytes(4), 9)), BRC_LEN),
    ("hello element: bitmap of 3 bytes", header(0, tl(1, bytes(4), 7)), BRC_LEN),
    ("hello element: bytes behind it", header(0, tl(1, bytes(4)) + b"\0"), BRC_LEN),
    ("hello element: without padding", header(0, tl(9, bytes(3))), None),
]


@pytest.mark.parametrize("name, message, expected", CASES, ids=[case[0] for case in CASES])
def test_nested_lengths_of_a_controller(name, message, expected):
    assert verdict(message) == expected


ALL_PROPERTIES = b"".join(prop(kind, b"") for kind in range(0, 16, 2))
LARGEST: dict[str, bytes] = {
    "actions": flow_mod(apply(tl(24, bytes(4)) * 8183)),
    "fields": flow_mod(match=ofp_match(oxm(8, b"\1") * 13090)),
    "unknown fields": flow_mod(match=ofp_match(oxm(90, b"\1") * 13090)),
    "buckets": group_mod(bucket(b"") * 4094),
    "bands": meter_mod(tl(1, bytes(12)) * 4094),
    "properties": features(table(ALL_PROPERTIES) * 511),
    "ids": features(table(ALL_PROPERTIES + prop(5, tl(0, b"") * 16310))),
    "hello elements": header(0, tl(2, bytes(4)) * 8180),
}


@pytest.mark.parametrize("name", LARGEST)
def test_the_largest_message_of_the_smallest_parts_costs_milliseconds(name):
    message = LARGEST[name]
    assert len(message) > 65_000
    start = time.process_time()
    assert verdict(message) is None
    assert time.process_time() - start < 0.1


def test_every_basic_field_has_the_width_that_ryu_knows():
    for field in of13.oxm_types:
        if field.oxm_type >> 7 == of13.OFPXMC_OPENFLOW_BASIC:
            width = field.type.size
            for mask in (0, 1):
                assert OXM_SIZES[field.oxm_type << 9 | mask << 8 | width << mask] == 4 + (width << mask)
    assert len(OXM_SIZES) == 80
