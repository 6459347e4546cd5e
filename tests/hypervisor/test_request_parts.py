"""Requests in parts: put together by xid, refused as Open vSwitch refuses them, and given up after a second."""
from __future__ import annotations

from math import inf

import pytest

from hvproxy.errors import Refused
from hvproxy.hypervisor.request_parts import MOST, PATIENCE, TIMED_OUT, RequestParts
from hvproxy.openflow.constants import ONF_ID, of13
from hvproxy.openflow.multipart import Kind, Multipart, encode_id_request, multipart_request
from tests.hypervisor.worlds import red

MORE = of13.OFPMPF_REQ_MORE
ANY = encode_id_request(of13.OFPP_ANY)
BAD_MULTIPART = (of13.OFPET_BAD_REQUEST, of13.OFPBRC_BAD_MULTIPART)


def part(kind: int, body: bytes = b"", flags: int = 0, xid: int = 5) -> bytes:
    return multipart_request(xid, kind, body, flags)


def refused(parts: RequestParts, message: bytes) -> tuple[int, int]:
    with pytest.raises(Refused) as caught:
        parts.take(message, 0.0)
    return caught.value.error_type, caught.value.code


@pytest.mark.parametrize("first, second", [(ANY, b""), (b"", ANY)])
def test_one_part_says_something_and_the_others_nothing(first: bytes, second: bytes) -> None:
    parts = RequestParts()
    assert parts.take(part(Kind.PORT_STATS, first, MORE), 0.0) is None
    assert parts.take(part(Kind.DESC, xid=6), 0.0) == Multipart(6, Kind.DESC, 0, b"")
    assert parts.take(part(Kind.PORT_STATS, second), 0.5) == Multipart(5, Kind.PORT_STATS, 0, ANY)
    assert parts.deadline == inf


def test_table_features_are_joined_and_nothing_else_is() -> None:
    parts = RequestParts()
    parts.take(part(Kind.TABLE_FEATURES, b"12345678", MORE), 0.0)
    whole = parts.take(part(Kind.TABLE_FEATURES, b"abcdefgh"), 0.0)
    assert whole is not None and whole.body == b"12345678abcdefgh"
    parts.take(part(Kind.PORT_STATS, ANY, MORE), 0.0)
    assert refused(parts, part(Kind.PORT_STATS, ANY)) == BAD_MULTIPART


def test_parts_of_one_request_are_of_one_kind() -> None:
    parts = RequestParts()
    parts.take(part(Kind.DESC, b"", MORE), 0.0)
    assert refused(parts, part(Kind.TABLE)) == BAD_MULTIPART
    assert parts.take(part(Kind.TABLE), 0.0) is not None


def test_no_more_is_kept_than_can_be_needed() -> None:
    parts = RequestParts()
    body = bytes(65512)
    for number in range(MOST // (len(body) + 16)):
        parts.take(part(Kind.TABLE_FEATURES, body, MORE, xid=number), 0.0)
    assert refused(parts, part(Kind.TABLE_FEATURES, body, MORE, xid=1 << 20)) == (
        of13.OFPET_BAD_REQUEST, of13.OFPBRC_MULTIPART_BUFFER_OVERFLOW)


def test_a_request_whose_next_part_does_not_come_is_given_up_with_its_first() -> None:
    world, controller = red()
    first = part(Kind.DESC, b"", MORE)
    controller.send(first)
    world.pass_time(PATIENCE / 2)
    controller.send(first)
    world.pass_time(PATIENCE * 0.9)
    controller.take()
    world.pass_time(PATIENCE * 0.2)
    error, = controller.messages
    assert error[8:16] == b"\xff\xff" + TIMED_OUT.to_bytes(2, "big") + ONF_ID.to_bytes(4, "big")
    assert error[16:] == first
