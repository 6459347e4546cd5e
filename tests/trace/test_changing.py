"""What one action changes is told with it; tests/system/test_trace_against_ovs compares bytes with Open vSwitch."""
from __future__ import annotations

import pytest

from hvproxy.openflow import actions, nicira
from hvproxy.openflow.oxm import tlv
from hvproxy.openflow.oxm_fields import NX
from hvproxy.trace import frame as f
from hvproxy.trace.changing import carry_out
from hvproxy.trace.frame import Frame
from tests.packets import tagged
from tests.trace.frames import IPS, MACS
from tools.emulator.host import echo, ipv4

PING = MACS[1] + MACS[0] + b"\x08\0" + ipv4(IPS[0], IPS[1], 1, echo(8, 1, 1, bytes(20)))
XREG0, ETH_DST, TCI, TTL = 0x80010008, 0x00000206, 0x00000802, 0x00013a01


def nx(kind: int, body: bytes) -> bytes:
    data = b"\x00\x00\x23\x20" + kind.to_bytes(2, "big") + body
    return b"\xff\xff" + (4 + len(data)).to_bytes(2, "big") + data


def stacked(kind: int, header: int, first: int, bits: int) -> bytes:
    return nx(kind, first.to_bytes(2, "big") + header.to_bytes(4, "big") + bits.to_bytes(2, "big") + bytes(6))


def done(frame: Frame, *wanted: bytes) -> list[str]:
    stack: list[int] = []
    return [carry_out(frame, kind, action, stack) for each in wanted for kind, action in actions.walk(each)]


def test_an_action_of_openflow_says_whether_it_changed_anything() -> None:
    frame = Frame(PING, 1)
    assert done(frame, actions.pop_vlan(), actions.push_vlan()) == ["pop_vlan: changes nothing", "push_vlan:0x8100"]
    assert done(frame, actions.set_field(tlv(f.ARP_OP, 2))) == ["set_field:2->arp_op: changes nothing"]


def test_parts_of_fields_are_loaded_moved_pushed_and_popped() -> None:
    frame = Frame(PING, 1)
    said = done(frame, nicira.load(0, 64, XREG0, 0x1122334455667788), nicira.move(8, XREG0, 0, ETH_DST, 16),
                stacked(nicira.PUSH, ETH_DST, 0, 16), stacked(nicira.POP, XREG0, 48, 8))
    assert [text.rpartition(": ")[2] for text in said] == ["now 0x1122334455667788", "now 0x6677", "0x6677", "now 0x77"]
    assert (frame.fields[NX], frame.fields[NX + 1]) == (0x11773344, 0x55667788)
    assert frame.data[4:6] == b"\x66\x77"


def test_an_empty_stack_changes_nothing() -> None:
    frame = Frame(PING, 1)
    assert done(frame, stacked(nicira.POP, ETH_DST, 0, 16))[0].endswith("nothing was pushed, and nothing is changed")
    assert frame.data == PING


def test_a_whole_tag_and_ttls_can_be_loaded() -> None:
    frame = Frame(PING, 1)
    done(frame, nicira.load(0, 16, TCI, 0x7005))
    assert frame.data == PING[:12] + b"\x81\0\x60\x05" + PING[12:]
    assert done(frame, nicira.move(0, TCI, 0, XREG0, 16))[0].endswith("now 0x7005")
    done(frame, nicira.load(0, 16, TCI, 0), nicira.load(0, 8, TTL, 9))
    assert frame.data[22] == 9 and len(frame.data) == len(PING)
    label = Frame(MACS[1] + MACS[0] + b"\x88\x47\x00\x01\x01\x40" + bytes(40), 1)
    done(label, nicira.load(0, 8, 0x00013c01, 7))
    assert label.data[17] == 7


def test_what_only_the_switch_knows_is_said() -> None:
    frame = Frame(tagged(PING, 5), 1)
    to = nx(nicira.MULTIPATH, bytes(16) + bytes.fromhex("0003") + XREG0.to_bytes(4, "big"))
    done(frame, nicira.load(0, 64, XREG0, 0xFF))
    assert done(frame, to) == ["multipath: the switch's hash, taken to be 0, into xreg0[0..3]"]
    assert frame.fields[NX + 1] == 0xF0


@pytest.mark.parametrize("action, said", [
    (nx(nicira.NOTE, bytes(6)), "it only says something"), (nx(nicira.POP_QUEUE, bytes(6)), "there are no queues"),
    (nx(nicira.CT_CLEAR, bytes(6)), "no connection is tracked"), (bytes.fromhex("ffff000812345678"), "not known here"),
])
def test_what_does_nothing_says_why(action: bytes, said: str) -> None:
    frame = Frame(PING, 1)
    (text,) = done(frame, action)
    assert said in text and frame.data == PING
