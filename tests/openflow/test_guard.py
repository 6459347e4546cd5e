"""What the guard passes and what it refuses, and with which error: the codes are those of Open vSwitch 3.1."""
import time

import pytest

from hvproxy.errors import MalformedMessage, Refused
from hvproxy.openflow.constants import of13
from hvproxy.openflow.guard import check
from tests.openflow.samples import CONTROLLER, MATCH, SWITCH, SYMMETRIC, header, multipart, table_features_body

BRC_LEN = (of13.OFPET_BAD_REQUEST, of13.OFPBRC_BAD_LEN)
BRC_TYPE = (of13.OFPET_BAD_REQUEST, of13.OFPBRC_BAD_TYPE)
BRC_VERSION = (of13.OFPET_BAD_REQUEST, of13.OFPBRC_BAD_VERSION)
BRC_MULTIPART = (of13.OFPET_BAD_REQUEST, of13.OFPBRC_BAD_MULTIPART)
BRC_EXPERIMENTER = (of13.OFPET_BAD_REQUEST, of13.OFPBRC_BAD_EXPERIMENTER)
BAC_LEN = (of13.OFPET_BAD_ACTION, of13.OFPBAC_BAD_LEN)
BAC_TYPE = (of13.OFPET_BAD_ACTION, of13.OFPBAC_BAD_TYPE)
BAC_EXPERIMENTER = (of13.OFPET_BAD_ACTION, of13.OFPBAC_BAD_EXPERIMENTER)
BAC_SET_LEN = (of13.OFPET_BAD_ACTION, of13.OFPBAC_BAD_SET_LEN)
BAC_SET_TYPE = (of13.OFPET_BAD_ACTION, of13.OFPBAC_BAD_SET_TYPE)
BIC_LEN = (of13.OFPET_BAD_INSTRUCTION, of13.OFPBIC_BAD_LEN)
BIC_UNKNOWN = (of13.OFPET_BAD_INSTRUCTION, of13.OFPBIC_UNKNOWN_INST)
BIC_EXPERIMENTER = (of13.OFPET_BAD_INSTRUCTION, of13.OFPBIC_BAD_EXPERIMENTER)
BMC_LEN = (of13.OFPET_BAD_MATCH, of13.OFPBMC_BAD_LEN)
BMC_TYPE = (of13.OFPET_BAD_MATCH, of13.OFPBMC_BAD_TYPE)
BMC_FIELD = (of13.OFPET_BAD_MATCH, of13.OFPBMC_BAD_FIELD)
GMFC_BUCKET = (of13.OFPET_GROUP_MOD_FAILED, of13.OFPGMFC_BAD_BUCKET)
TFFC_LEN = (of13.OFPET_TABLE_FEATURES_FAILED, of13.OFPTFFC_BAD_LEN)


def verdict(message: bytes, from_switch: bool = False) -> tuple[int, int] | None:
    try:
        check(message, from_switch)
    except Refused as refused:
        return refused.error_type, refused.code
    return None


def tl(kind: int, body: bytes, length: int | None = None) -> bytes:
    """Type and length, then the body: instruction, action, property, element."""
    return kind.to_bytes(2, "big") + (4 + len(body) if length is None else length).to_bytes(2, "big") + body


def oxm(field: int, payload: bytes, *, mask: int = 0, length: int | None = None, kind: int = 0x8000) -> bytes:
    return kind.to_bytes(2, "big") + bytes((field << 1 | mask, len(payload) if length is None else length)) + payload


def ofp_match(tlvs: bytes = b"", length: int | None = None, kind: int = 1) -> bytes:
    body = tl(kind, tlvs, length)
    return body + bytes(-len(body) % 8)


def flow_mod(instructions: bytes = b"", match: bytes = ofp_match()) -> bytes:
    return header(14, bytes(40) + match + instructions)


def apply(actions: bytes) -> bytes:
    return tl(of13.OFPIT_APPLY_ACTIONS, bytes(4) + actions)


OUTPUT = tl(of13.OFPAT_OUTPUT, bytes(12))


def output(length: int) -> bytes:
    return tl(of13.OFPAT_OUTPUT, bytes(12), length)


def set_field(tlv: bytes, pad: int = 0) -> bytes:
    return tl(of13.OFPAT_SET_FIELD, tlv + bytes(pad))


def experimenter_action(vendor: bytes, body: bytes = b"", length: int | None = None) -> bytes:
    return tl(of13.OFPAT_EXPERIMENTER, vendor + body, length)


def bucket(actions: bytes = OUTPUT, length: int | None = None) -> bytes:
    return (16 + len(actions) if length is None else length).to_bytes(2, "big") + bytes(14) + actions


def group_mod(buckets: bytes) -> bytes:
    return header(15, bytes(8) + buckets)


def meter_mod(bands: bytes) -> bytes:
    return header(29, bytes(8) + bands)


def table(properties: bytes = b"", length: int | None = None) -> bytes:
    return (64 + len(properties) if length is None else length).to_bytes(2, "big") + bytes(62) + properties


def prop(kind: int, body: bytes, length: int | None = None) -> bytes:
    data = tl(kind, body, length)
    return data + bytes(-len(data) % 8)


def features(body: bytes) -> bytes:
    return multipart(12, body, reply=False)


def reply(kind: int, body: bytes) -> bytes:
    return multipart(kind, body, reply=True)


# Whole messages

@pytest.mark.parametrize("name", CONTROLLER)
def test_every_message_of_a_controller_passes(name):
    assert verdict(CONTROLLER[name]) is None


@pytest.mark.parametrize("name", SWITCH)
def test_every_message_of_a_switch_passes(name):
    assert verdict(SWITCH[name], from_switch=True) is None


def test_the_samples_hold_every_type_and_every_multipart_kind():
    kinds = {value for name, value in vars(of13).items() if name.startswith("OFPMP_")}
    assert {message[1] for message in (*CONTROLLER.values(), *SWITCH.values())} == set(range(30))
    assert {int.from_bytes(message[8:10], "big") for message in SWITCH.values() if message[1] == 19} == kinds
    assert {int.from_bytes(message[8:10], "big") for message in CONTROLLER.values() if message[1] == 18} \
        == kinds - {of13.OFPMP_EXPERIMENTER}


@pytest.mark.parametrize("name", sorted(set(CONTROLLER) - set(SYMMETRIC)))
def test_a_switch_may_not_send_what_is_a_controllers(name):
    assert verdict(CONTROLLER[name], from_switch=True) == BRC_TYPE


@pytest.mark.parametrize("name", sorted(set(SWITCH) - set(SYMMETRIC) - {"experimenter"}))
def test_a_controller_may_not_send_what_is_a_switchs(name):
    assert verdict(SWITCH[name]) == BRC_TYPE


@pytest.mark.parametrize("from_switch", [False, True])
@pytest.mark.parametrize("kind", range(30, 256))
def test_types_of_other_versions_are_unknown(kind, from_switch):
    assert verdict(header(kind, bytes(32)), from_switch) == BRC_TYPE


@pytest.mark.parametrize("from_switch", [False, True])
@pytest.mark.parametrize("version", [0, 1, 3, 5, 6, 0x84])
def test_another_version_is_refused_but_in_a_hello(version, from_switch):
    assert verdict(header(2, b"", version=version), from_switch) == BRC_VERSION
    assert verdict(header(0, b"", version=version), from_switch) is None


@pytest.mark.parametrize("name, message, code", [
    ("unknown kind", header(18, b"\0\x0e" + bytes(6)), BRC_MULTIPART),
    ("unknown kind with a body", header(18, b"\x12\x34" + bytes(60)), BRC_MULTIPART),
    ("no multipart header", header(18, bytes(4)), BRC_LEN),
    ("experimenter kind", header(18, b"\xff\xff" + bytes(14)), BRC_EXPERIMENTER),
    ("experimenter kind cut short", header(18, b"\xff\xff" + bytes(10)), BRC_LEN),
    ("experimenter", header(4, bytes(8)), BRC_EXPERIMENTER),
    ("experimenter cut short", header(4, bytes(7)), BRC_LEN),
])
def test_kinds_and_experimenters_of_a_controller(name, message, code):
    assert verdict(message) == code


def test_an_unknown_multipart_kind_of_a_switch_is_refused():
    assert verdict(header(19, b"\0\x0e" + bytes(6)), True) == BRC_MULTIPART


@pytest.mark.parametrize("message", [
    b"", b"\4\2\0\x08\0\0\0", header(2, b"", length=9), header(2, b"abc", length=8), header(14, bytes(48), length=0),
])
def test_what_is_not_one_whole_message_is_malformed(message):
    with pytest.raises(MalformedMessage):
        check(message, False)


# Truncation: where a sample may be cut and still be a shorter valid message

_LISTS = 152  # bytes of samples.actions()
_INSTRUCTIONS = [0, 8, 8 + 8 + _LISTS, 8 + 8 + _LISTS + 8, 8 + 8 + _LISTS + 8 + 24, 8 + 8 + _LISTS + 8 + 24 + 24]
LEGAL_CUTS: dict[str, set[int]] = {
    "hello": {8},
    "error": set(range(12, 200)),
    "echo request": set(range(8, 200)),
    "echo reply": set(range(8, 200)),
    "packet out": set(range(24 + _LISTS, 24 + _LISTS + 20)),
    "flow mod": {48 + len(MATCH) + end for end in _INSTRUCTIONS},
    "group mod": {16, len(CONTROLLER["group mod"]) - 16},
    "meter mod": {16, 32},
    "table features set": {16},
    "experimenter": set(range(16, 200)),
    "packet in": set(range(24 + len(MATCH) + 2, 24 + len(MATCH) + 20)),
    "queue get config reply": {16},
    "flow reply": {16, 16 + (len(SWITCH["flow reply"]) - 16) // 2},
    "table reply": {16, 40},
    "port stats reply": {16, 128},
    "queue reply": {16, 56},
    "group reply": {16, 88},
    "group desc reply": {16, 16 + (len(SWITCH["group desc reply"]) - 16) // 2},
    "meter reply": {16, 88},
    "meter config reply": {16, 16 + (len(SWITCH["meter config reply"]) - 16) // 2},
    "table features reply": {16, 16 + len(table_features_body())},
    "port desc reply": {16, 80},
    "experimenter reply": set(range(24, 200)),
}


@pytest.mark.parametrize("from_switch, name", [*((False, name) for name in CONTROLLER),
                                               *((True, name) for name in SWITCH)])
def test_every_truncation_is_refused_unless_a_whole_message_is_left(from_switch, name):
    message = (SWITCH if from_switch else CONTROLLER)[name]
    passed = {
        size for size in range(8, len(message))
        if verdict(message[:2] + size.to_bytes(2, "big") + message[4:size], from_switch) is None
    }
    assert passed == {size for size in LEGAL_CUTS.get(name, set()) if size < len(message)}


# Nested lengths

CASES: list[tuple[str, bytes, tuple[int, int] | None]] = [
    ("match: length 0", flow_mod(match=ofp_match(length=0)), BMC_LEN),
    ("match: length 3", flow_mod(match=ofp_match(length=3)), BMC_LEN),
    ("match: length 5 is no field", flow_mod(match=ofp_match(length=5)), BMC_LEN),
    ("match: longer than the message", flow_mod(match=ofp_match(length=9)), BMC_LEN),
    ("match: its padding is missing", header(13 + 1, bytes(40) + tl(1, oxm(0, bytes(4)))[:8]), BMC_LEN),
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

    ("flow request: match of length 0", multipart(1, bytes(32) + ofp_match(length=0), reply=False), BMC_LEN),
    ("aggregate request: match too long", multipart(2, bytes(32) + ofp_match(length=60), reply=False), BMC_LEN),
    ("flow request: bytes behind the match", multipart(1, bytes(32) + ofp_match() + bytes(8), reply=False), None),
    ("flow request: no multiple of 8", multipart(1, bytes(32) + ofp_match() + bytes(4), reply=False), BRC_LEN),

    ("table: length 0", features(table(length=0)), TFFC_LEN),
    ("table: length 63", features(table(length=63)), TFFC_LEN),
    ("table: length 68", features(table(bytes(8), length=68)), TFFC_LEN),
    ("table: longer than the message", features(table(length=72)), TFFC_LEN),
    ("table: half of a second", features(table() + bytes(8)), TFFC_LEN),
    ("table features: no multiple of 8", features(table() + bytes(4)), BRC_LEN),
    ("property: length 0", features(table(prop(0, tl(1, b""), 0))), TFFC_LEN),
    ("property: length 3", features(table(prop(2, b"\1", 3))), TFFC_LEN),
    ("property: longer than its table", features(table(prop(2, b"\1", 40))), TFFC_LEN),
    ("property: experimenter cut short", features(table(prop(0xfffe, bytes(4)))), TFFC_LEN),
    ("property: experimenter", features(table(prop(0xffff, bytes(8)))), None),
    ("property: unknown", features(table(prop(99, b"x"))), None),
    ("property: instruction id of length 0", features(table(prop(0, tl(1, b"", 0)))), TFFC_LEN),
    ("property: instruction id too long", features(table(prop(1, tl(1, b"", 12)))), TFFC_LEN),
    ("property: half an instruction id", features(table(prop(0, b"\0\1"))), TFFC_LEN),
    ("property: experimenter instruction id of 4", features(table(prop(0, tl(0xffff, b"")))), TFFC_LEN),
    ("property: action id of length 0", features(table(prop(4, tl(0, b"", 0)))), TFFC_LEN),
    ("property: action id of 8", features(table(prop(7, tl(0, bytes(4))))), None),
    ("property: half a field id", features(table(prop(8, b"\x80\0"))), BMC_LEN),
    ("property: half an experimenter field id", features(table(prop(10, b"\xff\xff\0\0"))), BMC_LEN),
    ("property: experimenter field id", features(table(prop(15, b"\xff\xff\0\0ONF\0"))), None),
]


@pytest.mark.parametrize("name, message, expected", CASES, ids=[case[0] for case in CASES])
def test_nested_lengths_of_a_controller(name, message, expected):
    assert verdict(message) == expected


def record(size: int, tail: bytes = b"", *, at: int = 0, length: int | None = None) -> bytes:
    data = bytearray(size) + tail
    data[at:at + 2] = (len(data) if length is None else length).to_bytes(2, "big")
    return bytes(data)


QUEUE = bytes(8) + b"\0\x20" + bytes(6)
PROPERTY = tl(1, bytes(12))

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
    ("packet-in: match of length 0", header(10, bytes(16) + ofp_match(length=0) + bytes(2)), False),
    ("packet-in: match longer than it", header(10, bytes(16) + ofp_match(length=99) + bytes(2)), False),
    ("packet-in: half its padding", header(10, bytes(16) + ofp_match() + bytes(1)), False),
    ("flow-removed: match of length 0", header(11, bytes(40) + ofp_match(length=0)), False),
    ("flow-removed: match longer than it", header(11, bytes(40) + ofp_match(length=99)), False),
    ("queue: whole", header(23, bytes(8) + QUEUE + PROPERTY), True),
    ("queue: length 0", header(23, bytes(8) + bytes(16)), False),
    ("queue: longer than the message", header(23, bytes(8) + QUEUE), False),
    ("queue: half of one", header(23, bytes(8) + bytes(8)), False),
    ("queue property: length 0", header(23, bytes(8) + QUEUE + tl(1, bytes(12), 0)), False),
    ("queue property: length 8", header(23, bytes(8) + QUEUE + tl(1, bytes(12), 8)), False),
    ("queue property: longer than its queue", header(23, bytes(8) + QUEUE + tl(0xffff, bytes(12), 24)), False),
]


@pytest.mark.parametrize("name, message, passes", SWITCH_CASES, ids=[case[0] for case in SWITCH_CASES])
def test_nested_lengths_of_a_switch(name, message, passes):
    assert (verdict(message, from_switch=True) is None) is passes


# Cost

LARGEST: dict[str, bytes] = {
    "actions": flow_mod(apply(tl(24, bytes(4)) * 8183)),
    "instructions": flow_mod(apply(b"") * 8180),
    "fields": flow_mod(match=ofp_match(oxm(8, b"\1") * 13090)),
    "unknown fields": flow_mod(match=ofp_match(oxm(90, b"\1") * 13090)),
    "buckets": group_mod(bucket(b"") * 4094),
    "bands": meter_mod(tl(1, bytes(12)) * 4094),
    "properties": features(table(prop(2, b"") * 8170)),
    "ids": features(table(prop(4, tl(0, b"") * 16340))),
    "hello elements": header(0, tl(2, bytes(4)) * 8180),
}


@pytest.mark.parametrize("name", LARGEST)
def test_the_largest_message_of_the_smallest_parts_costs_milliseconds(name):
    message = LARGEST[name]
    assert len(message) > 65_000
    start = time.process_time()
    assert verdict(message) is None
    assert time.process_time() - start < 0.1
