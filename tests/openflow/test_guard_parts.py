"""The guard against ryu: whatever passes, a parser that trusts nested lengths returns from.

Messages are valid ones with bytes and lengths changed at random, so that damage reaches every depth.
"""
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from ryu.ofproto import ofproto_v1_3_parser as ofp

from hvproxy.errors import MalformedMessage, Refused
from hvproxy.openflow.constants import of13
from hvproxy.openflow.guard import check
from hvproxy.openflow.guard_parts import OXM_SIZES
from tests.openflow.samples import CONTROLLER, DATAPATH, SWITCH, header

SAMPLES = [(message, False) for message in CONTROLLER.values()] + [(message, True) for message in SWITCH.values()]
NUMBERS = [0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 15, 16, 20, 24, 32, 40, 48, 56, 64, 0x7fff, 0x8000, 0xfff8, 0xffff]


class TooLong(BaseException):
    """Not an Exception, so that no handler in a parser takes it for one of its own."""


@contextmanager
def cpu_limit(seconds: float) -> Iterator[None]:
    def stop(signum: int, frame: object) -> None:
        raise TooLong
    before = signal.signal(signal.SIGVTALRM, stop)
    # Again and again: one that falls into a callback of the garbage collector is lost.
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds, 0.02)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
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
    (header(14, bytes(40) + bytes.fromhex("0001000400000000" "0004001000000000" "0000000000000000")), False),
])
def test_messages_known_to_freeze_ryu_are_refused(message, from_switch):
    with pytest.raises(TooLong):
        ryu_parses(message, 0.2)
    with pytest.raises(Refused):
        check(message, from_switch)


def test_every_basic_field_has_the_width_that_ryu_knows():
    for field in of13.oxm_types:
        if field.oxm_type >> 7 == of13.OFPXMC_OPENFLOW_BASIC:
            width = field.type.size
            for mask in (0, 1):
                assert OXM_SIZES[field.oxm_type << 9 | mask << 8 | width << mask] == 4 + (width << mask)
    assert len(OXM_SIZES) == 80
