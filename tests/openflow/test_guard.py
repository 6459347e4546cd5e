"""Whole messages: what the guard passes, what it refuses, and that what it passes freezes no parser.

The codes are those that Open vSwitch 3.1 gives.
"""
import gc
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from ryu.ofproto import ofproto_v1_3_parser as ofp

from hvproxy.errors import MalformedMessage, Refused
from hvproxy.openflow.constants import of13
from hvproxy.openflow.guard import check
from tests.openflow.pieces import (
    BRC_EXPERIMENTER, BRC_LEN, BRC_MULTIPART, BRC_TYPE, BRC_VERSION, PROPERTY, QUEUE, ofp_match, tl, verdict,
)
from tests.openflow.samples import CONTROLLER, DATAPATH, MATCH, SWITCH, SYMMETRIC, header, table_features_body


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


@pytest.mark.parametrize("name", sorted(set(SWITCH) - set(SYMMETRIC) - {"experimenter", "experimenter reply"}))
def test_a_controller_may_not_send_what_is_a_switchs(name):
    assert verdict(SWITCH[name]) == BRC_TYPE


@pytest.mark.parametrize("from_switch", [False, True])
@pytest.mark.parametrize("kind", range(30, 256))
def test_types_of_other_versions_are_unknown(kind, from_switch):
    assert verdict(header(kind, bytes(32)), from_switch) == BRC_TYPE


@pytest.mark.parametrize("from_switch", [False, True])
@pytest.mark.parametrize("version", [0, 1, 3, 5, 6, 0x84])
def test_another_version_is_refused_but_in_a_hello_and_in_echoes(version, from_switch):
    assert verdict(header(20, b"", version=version), from_switch) == BRC_VERSION
    assert verdict(header(0, b"", version=version), from_switch) is None
    for echo in (2, 3):
        assert verdict(header(echo, b"x", version=version), from_switch) == (None if version else BRC_VERSION)


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
    **{f"{name} request": {16} for name in ("flow", "aggregate", "port stats", "queue", "group", "meter",
                                            "meter config")},
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


SWITCH_CASES: list[tuple[str, bytes, bool]] = [
    ("packet-in: match of length 0", header(10, bytes(16) + ofp_match(length=0) + bytes(2)), False),
    ("packet-in: match longer than it", header(10, bytes(16) + ofp_match(length=99) + bytes(2)), False),
    ("packet-in: half its padding", header(10, bytes(16) + ofp_match() + bytes(1)), False),
    ("flow-removed: match of length 0", header(11, bytes(40) + ofp_match(length=0)), False),
    ("flow-removed: match longer than it", header(11, bytes(40) + ofp_match(length=99)), False),
    ("queue: whole", header(23, bytes(8) + QUEUE + PROPERTY), True),
    ("queue: length 0", header(23, bytes(8) + bytes(16)), False),
    ("queue: longer than the message", header(23, bytes(8) + QUEUE), False),
    ("queue: half of one", header(23, bytes(8) + bytes(8)), False),
    ("queue property: half of one", header(23, bytes(16) + b"\0\x18" + bytes(6) + PROPERTY[:8]), False),
    ("queue property: length 0", header(23, bytes(8) + QUEUE + tl(1, bytes(12), 0)), False),
    ("queue property: length 8", header(23, bytes(8) + QUEUE + tl(1, bytes(12), 8)), False),
    ("queue property: longer than its queue", header(23, bytes(8) + QUEUE + tl(0xffff, bytes(12), 24)), False),
]


@pytest.mark.parametrize("name, message, passes", SWITCH_CASES, ids=[case[0] for case in SWITCH_CASES])
def test_nested_lengths_of_a_switch(name, message, passes):
    assert (verdict(message, from_switch=True) is None) is passes


# Against ryu: whatever passes, a parser that trusts nested lengths returns from

SAMPLES = [(message, False) for message in CONTROLLER.values()] + [(message, True) for message in SWITCH.values()]
NUMBERS = [0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 15, 16, 20, 24, 32, 40, 48, 56, 64, 0x7fff, 0x8000, 0xfff8, 0xffff]


class TooLong(BaseException):
    """Not an Exception, so that no handler in a parser takes it for one of its own."""


@contextmanager
def cpu_limit(seconds: float) -> Iterator[None]:
    def stop(signum: int, frame: object) -> None:
        raise TooLong
    before = signal.signal(signal.SIGVTALRM, stop)
    gc.disable()  # an alarm that falls into a callback of the collector would be lost
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        gc.enable()
        signal.signal(signal.SIGVTALRM, before)


def ryu_parses(message: bytes, seconds: float = 1.0) -> None:
    """Returns when ryu does, by whatever way; TooLong when it does not."""
    size = int.from_bytes(message[2:4], "big")
    with cpu_limit(seconds):
        try:
            ofp.msg_parser(DATAPATH, message[0], message[1], size, 7, message)
        except Exception:
            return


@st.composite
def damaged(draw: Callable) -> tuple[bytes, bool]:
    message, from_switch = draw(st.sampled_from(SAMPLES))
    body = bytearray(message[8:])
    for _ in range(draw(st.integers(1, 4))):
        if not body:
            break
        at = draw(st.integers(0, len(body) - 1))
        match draw(st.sampled_from(["byte", "length", "cut", "insert", "repeat"])):
            case "byte":
                body[at] = draw(st.integers(0, 255))
            case "length":
                at -= at % 2
                body[at:at + 2] = draw(st.sampled_from(NUMBERS)).to_bytes(2, "big")
            case "cut":
                del body[at:at + draw(st.sampled_from([1, 4, 8, 16, 24]))]
            case "insert":
                body[at:at] = bytes(draw(st.sampled_from([1, 4, 8, 16])))
            case "repeat":
                body[at:at] = body[at:at + 8]
    return header(message[1], bytes(body)), from_switch


@settings(max_examples=1500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(damaged())
def test_what_passes_the_guard_does_not_freeze_a_parser(case):
    message, from_switch = case
    try:
        check(message, from_switch)
    except Refused:
        return
    ryu_parses(message)


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_are_passed_or_refused(data, from_switch):
    with cpu_limit(0.5):
        try:
            check(data, from_switch)
        except (Refused, MalformedMessage):
            return


@given(st.integers(0, 29), st.binary(max_size=400), st.booleans())
def test_any_body_of_any_type_is_passed_or_refused(kind, body, from_switch):
    message = header(kind, body)
    try:
        check(message, from_switch)
    except Refused:
        return
    ryu_parses(message)


@pytest.mark.parametrize("message, from_switch", [
    (header(0, bytes.fromhex("0001000000000000")), True),
    (header(14, bytes(40) + bytes.fromhex("0001000400000000" "0004000000000000")), False),
    (header(19, bytes.fromhex("0001000000000000") + bytes(56)), True),
    (header(19, bytes.fromhex("0007000000000000") + bytes(24)), True),
], ids=["hello", "instruction", "flow stats", "group desc"])
def test_messages_known_to_freeze_ryu_are_refused(message, from_switch):
    with pytest.raises(TooLong):
        ryu_parses(message, 0.2)
    with pytest.raises(Refused):
        check(message, from_switch)
