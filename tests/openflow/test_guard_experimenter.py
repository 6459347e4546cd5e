"""The verdicts are those of Open vSwitch 3.1; tests/system/test_sessions_against_ovs holds both to the same."""
from __future__ import annotations

import pytest

from hvproxy.errors import Refused
from hvproxy.openflow import guard
from hvproxy.openflow.build import message
from hvproxy.openflow.constants import NICIRA_ID, ONF_ID, of13
from hvproxy.openflow.experimenters import Nicira, nicira, onf
from hvproxy.openflow.multipart import Kind, multipart_request

BAD_TYPE, BAD_EXPERIMENTER, BAD_EXP_TYPE, BAD_LEN = (1, 1), (1, 3), (1, 4), (1, 6)
PROPERTY_TYPE, PROPERTY_LEN = (13, 2), (13, 3)
MONITOR = ONF_ID.to_bytes(4, "big") + (1870).to_bytes(4, "big")


def verdict(data: bytes) -> tuple[int, ...] | None:
    try:
        guard.check(data, False)
    except Refused as refused:
        found = (refused.error_type, refused.code)
        return found if refused.experimenter is None else (*found, refused.experimenter)
    return None


@pytest.mark.parametrize(("exp_type", "size"), [
    (Nicira.ROLE_REQUEST, 4), (Nicira.FLOW_MOD_TABLE_ID, 8), (Nicira.SET_PACKET_IN_FORMAT, 4), (Nicira.FLOW_AGE, 0),
    (Nicira.SET_ASYNC_CONFIG, 24), (Nicira.SET_CONTROLLER_ID, 8), (Nicira.CT_FLUSH_ZONE, 8),
])
def test_messages_of_one_size(exp_type: int, size: int) -> None:
    assert [room for room in range(60) if verdict(nicira(1, exp_type, bytes(room))) is None] == [size]
    assert verdict(nicira(1, exp_type, bytes(size + 1))) == BAD_LEN


@pytest.mark.parametrize(("data", "error"), [
    (message(of13.OFPT_EXPERIMENTER, 1, bytes(7)), BAD_LEN),
    (message(of13.OFPT_EXPERIMENTER, 1, b"\0\x12\x34\x56" + bytes(4)), BAD_EXPERIMENTER),
    (nicira(1, 12, bytes(4)), BAD_EXP_TYPE),
    (nicira(1, 99), BAD_EXP_TYPE),
    (onf(1, 1), BAD_EXP_TYPE),
    (nicira(1, Nicira.ROLE_REPLY), BAD_LEN),
    (nicira(1, Nicira.ROLE_REPLY, bytes(4)), BAD_TYPE),
    (nicira(1, Nicira.ROLE_REPLY, bytes(8)), BAD_LEN),
    (nicira(1, Nicira.PACKET_IN), BAD_LEN),
    (nicira(1, Nicira.PACKET_IN, bytes(60)), BAD_TYPE),
    (nicira(1, Nicira.PACKET_IN2), BAD_TYPE),
    (nicira(1, Nicira.PACKET_IN2, bytes(4)), BAD_LEN),
    (nicira(1, Nicira.FLOW_REMOVED, bytes(48)), BAD_TYPE), (nicira(1, Nicira.FLOW_REMOVED, bytes(44)), BAD_LEN),
    (nicira(1, Nicira.TLV_TABLE_REPLY, bytes(24)), BAD_TYPE),
    (nicira(1, Nicira.TLV_TABLE_REPLY, bytes(20)), BAD_LEN),
    (onf(1, 1911, bytes(16)), BAD_TYPE),
    (onf(1, 1911, bytes(8)), BAD_LEN),
    (onf(1, 1870, bytes(8)), BAD_LEN),
    (onf(1, 1871), BAD_TYPE),
    (onf(1, 1872), BAD_TYPE),
])
def test_what_is_refused(data: bytes, error: tuple[int, int]) -> None:
    assert verdict(data) == error


@pytest.mark.parametrize(("body", "error"), [
    (b"", None),
    (b"\0\1\0\x08\0\0\0\7", None),
    (b"\0\1\0\x08\0\0\0\7" + b"\0\x19\0\x06ab\0\0", None),
    (b"\0\1\0\x08\0\0", BAD_LEN),
    (b"\0\1\0\x07\0\0\0\7", PROPERTY_LEN),
    (b"\0\1\0\0\0\0\0\7", PROPERTY_LEN),
    (b"\0\1\0\3\0\0\0\7", PROPERTY_LEN),
    (b"\0\1\0\x10\0\0\0\7", PROPERTY_LEN),
    (b"\0\1\0\x0c" + bytes(12), PROPERTY_LEN),
    (b"\xff\xfe\0\x08\0\0\0\7", PROPERTY_LEN),
    (b"\xff\xff\0\x0c" + bytes(12), (0xffff, 4445, ONF_ID)),
    (b"\xff\xff\0\x0c" + bytes(20), (0xffff, 4445, ONF_ID)),
    (b"\xff\xfe\0\x0c\0\0\x23\x20" + bytes(8), (0xffff, 4446, ONF_ID)),
])
def test_properties_of_async_masks(body: bytes, error: tuple[int, int] | None) -> None:
    assert verdict(nicira(1, Nicira.SET_ASYNC_CONFIG2, body)) == error


@pytest.mark.parametrize(("body", "error"), [
    (b"", BAD_LEN),
    (b"\0\0\0\x06ab\0\0", None),
    (b"\0\x63\0\x08\0\0\0\0", PROPERTY_TYPE),
    (b"\0\1\0\x08\0\0\0\0", BAD_LEN),
    (b"\0\1\0\x07\0\0\0\0", PROPERTY_LEN),
    (b"\0\3\0\4\0\0\0\0", PROPERTY_LEN),
    (b"\0\4\0\x08\0\0\0\0", PROPERTY_LEN),
    (b"\xff\xfe\0\x0c" + bytes(12), PROPERTY_TYPE),
    (b"\xff\xff\0\x0c" + bytes(12), (0xffff, 4445, ONF_ID)),
    (b"\xff\xff\0\x0c\0\0\x23\x20" + bytes(8), (0xffff, 4446, ONF_ID)),
    (b"\0\0\0\0\0\0\0\0", PROPERTY_LEN),
])
def test_properties_of_what_is_to_be_resumed(body: bytes, error: tuple[int, int] | None) -> None:
    assert verdict(nicira(1, Nicira.RESUME, body)) == error


@pytest.mark.parametrize(("body", "error"), [
    (bytes(7), BAD_LEN),
    (b"\0\x12\x34\x56" + bytes(4), BAD_EXPERIMENTER),
    (NICIRA_ID.to_bytes(4, "big") + b"\0\0\0\0", BAD_EXP_TYPE),
    (NICIRA_ID.to_bytes(4, "big") + b"\0\0\0\3", (0xffff, 36, NICIRA_ID)),
    (NICIRA_ID.to_bytes(4, "big") + b"\0\0\0\4", (0xffff, 36, NICIRA_ID)),
    (NICIRA_ID.to_bytes(4, "big") + b"\0\0\0\4" + bytes(8), BAD_LEN),
    (ONF_ID.to_bytes(4, "big") + b"\0\0\0\1", BAD_EXP_TYPE),
    (MONITOR, None),
    (MONITOR + bytes(16) + b"\0\1\0\4" + bytes(4), None),
    (MONITOR + (bytes(16) + b"\0\1\0\4" + bytes(4)) * 2, None),
    (MONITOR + bytes(16) + b"\0\1\0\4" + bytes(7), BAD_LEN),
    (MONITOR + bytes(16), BAD_LEN),
    (MONITOR + bytes(16) + b"\0\1\0\x0c" + bytes(4), (4, 1)),
    (MONITOR + bytes(16) + b"\0\1\0\0" + bytes(4), (4, 1)),
])
def test_multipart_requests(body: bytes, error: tuple[int, ...] | None) -> None:
    assert verdict(multipart_request(1, Kind.EXPERIMENTER, body)) == error


def test_the_largest_message_of_the_smallest_properties_passes() -> None:
    assert verdict(nicira(1, Nicira.SET_ASYNC_CONFIG2, b"\0\x19\0\4\0\0\0\0" * 8188)) is None
