"""The bytes are those of Open vSwitch 3.1; tests/system/test_flow_monitors_against_ovs compares them."""
from __future__ import annotations

from hvproxy.openflow import flow_monitor
from hvproxy.openflow.flow_monitor import Event, MonitorRequest, Update
from hvproxy.openflow.oxm import ofp_match, tlv

PREFIX = bytes.fromhex("4f4e4600" "0000074e")


def test_requests_are_read_one_behind_the_other() -> None:
    matches = ofp_match(tlv(0, 1)), ofp_match(b"")
    body = PREFIX + b"".join(bytes.fromhex(fixed) + match for fixed, match in zip((
        "00000005" "003f" "000c" "ffffffff" "ff" "000000", "00000006" "0002" "0004" "00000002" "05" "000001"), matches,
        strict=True))
    assert flow_monitor.decode_requests(body) == [
        MonitorRequest(5, 0x3F, 0xFFFFFFFF, 255, bytes(3), matches[0][:12]),
        MonitorRequest(6, 2, 2, 5, b"\0\0\1", matches[1][:4])]
    assert flow_monitor.decode_requests(PREFIX) == []


def test_an_update() -> None:
    match = ofp_match(tlv(0, 1))
    assert Update(Event.DELETED, 2, 100, 1, 3, 5, 7, match, 12, b"instruct").encode() == bytes.fromhex(
        "0030" "0001" "0002" "0064" "0001" "0003" "000c" "05" "00" "0000000000000007") + match + b"instruct"


def test_replies_carry_the_experimenter_in_every_part() -> None:
    assert list(flow_monitor.replies(9, [])) == [bytes.fromhex("04130018" "00000009" "ffff0000" "00000000") + PREFIX]
    first, second = flow_monitor.replies(0, [bytes(40_000)] * 2)
    assert first[10:12] == b"\0\1" and second[10:12] == b"\0\0"
    assert first[16:24] == second[16:24] == PREFIX


def test_one_s_own_changes_in_short() -> None:
    assert flow_monitor.abbreviated(0x777) == bytes.fromhex("0008" "0003" "00000777")


def test_stopping_and_going_on() -> None:
    assert flow_monitor.paused() == bytes.fromhex("04040010" "00000000" "4f4e4600" "0000074f")
    assert flow_monitor.resumed() == bytes.fromhex("04040010" "00000000" "4f4e4600" "00000750")
