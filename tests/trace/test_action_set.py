"""Action sets are carried out in Open vSwitch's order; tests/system/test_trace_against_ovs compares it."""
from __future__ import annotations

from hvproxy.openflow import actions
from hvproxy.openflow.constants import of13
from hvproxy.openflow.oxm import tlv
from hvproxy.trace.action_set import Item, in_order, sends

LOAD = bytes.fromhex("ffff0018000023200007 0007 00000206 0000000000000007")
EXIT = bytes.fromhex("ffff0010000023200011") + bytes(6)
BY_IDS = bytes.fromhex("ffff0018000023200015 0001") + bytes(12)
FIELD = actions.set_field(tlv(of13.OFPXMT_OFB_ETH_DST, 1))


def ordered(*wanted: bytes) -> list[bytes]:
    data = b"".join(wanted)
    return [item.action for item in in_order(Item(kind, action, None) for kind, action in actions.walk(data))]


def test_headers_first_then_fields_in_order_then_what_sends() -> None:
    last = actions.output(2)
    assert ordered(last, LOAD, FIELD, BY_IDS, actions.push_vlan(), actions.pop_vlan()) == [
        actions.pop_vlan(), actions.push_vlan(), BY_IDS, LOAD, FIELD, last]
    assert ordered(actions.dec_nw_ttl(), BY_IDS, last) == [BY_IDS, last], "the later of two that mean the same"


def test_a_group_beats_an_output_and_that_a_resubmit() -> None:
    group, output, again = actions.group(1), actions.output(2), actions.resubmit(3)
    assert ordered(again, group, output) == [group] == ordered(group, again)
    assert ordered(output, again) == [output] == ordered(again, output)
    assert ordered(again, actions.resubmit(4)) == [actions.resubmit(4)]


def test_what_an_action_set_cannot_hold_does_nothing() -> None:
    assert ordered(EXIT, actions.output(2)) == [actions.output(2)]


def test_a_set_that_sends_nowhere_does_nothing() -> None:
    for final, there in ((actions.output(1), True), (actions.resubmit(1), True), (b"", False)):
        items = in_order(Item(kind, action, None) for kind, action in actions.walk(LOAD + final))
        assert sends(items) is there
    assert not sends([])
