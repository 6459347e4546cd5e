"""A walk sends and tells what the emulated switch with the same rules does, and says in its steps why."""
from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvproxy.model.rules import Group
from hvproxy.openflow import actions, nicira
from hvproxy.openflow.constants import of13
from hvproxy.openflow.groups import bucket
from hvproxy.openflow.instructions import Instructions
from hvproxy.openflow.oxm import Match, tlv
from hvproxy.trace import frame as f
from hvproxy.trace.steps import Kind, Walk
from hvproxy.trace.switch import Flow, Port, Switch
from hvproxy.trace.walk import walk
from tests.packets import tagged
from tests.tools import controller as c
from tests.trace.frames import IPS, MACS, frames
from tests.trace.programs import PORTS, fields_of, flows, group_lists, loaded
from tools.emulator.host import echo, ipv4

PING = MACS[1] + MACS[0] + b"\x08\0" + ipv4(IPS[0], IPS[1], 1, echo(8, 1, 1, bytes(20)))


@given(st.data())
def test_a_walk_does_what_the_emulated_switch_does(data: Any) -> None:
    frame, at = data.draw(frames()), data.draw(st.sampled_from(PORTS[:3]))
    fields = fields_of(frame, at)
    groups = data.draw(group_lists(fields))
    plane, switch = loaded(data.draw(flows(len(groups), fields)), groups)
    for arriving, in_port in ((frame, at), (data.draw(frames()), 1)):
        out = Counter((place[1], left) for place, left in plane.send(1, in_port, arriving))
        told = Counter(
            (parts["reason"], parts["table"], parts["cookie"], parts["metadata"], parts["data"])
            for parts in (c.packet_in_parts(message) for _, message in plane.packet_ins()))
        done = walk(switch, arriving, in_port)
        assert Counter(done.sent) == out
        assert Counter((each.reason, each.flow.table, each.flow.origin, each.metadata, each.data)
                       for each in done.told if each.flow is not None) == told
        shown = Counter(step.kind for step in done.steps)
        if not done.failed:
            assert (shown[Kind.OUTPUT], shown[Kind.PACKET_IN]) == (len(done.sent), len(done.told))
        assert shown[Kind.OUTPUT] + shown[Kind.PACKET_IN] + shown[Kind.DROP], "nobody says what became of it"


def through(*wanted: Flow, groups: tuple[Group, ...] = (), frame: bytes = PING, down: tuple[int, ...] = ()) -> Walk:
    ports = {number: Port("is down", live=False) if number in down else Port() for number in PORTS}
    return walk(Switch(wanted, {group.group_id: group for group in groups}, ports), frame, 1)


def flow(table: int = 0, priority: int = 5, match: bytes = b"", **instructions: Any) -> Flow:
    return Flow(table, priority, Match.from_tlvs(match), Instructions(**instructions), (table, priority))


def texts(done: Walk) -> list[tuple[int, str, str]]:
    return [(step.depth, step.kind.value, step.text) for step in done.steps]


def test_the_steps_tell_the_way_through_the_tables() -> None:
    new = actions.set_field(tlv(f.ETH_DST, 3))
    done = through(flow(goto=1, metadata=(5, 7), write=actions.output(2)),
                   flow(1, 9, tlv(f.METADATA, 5, 7), apply=new + actions.output(3)),
                   flow(1, 0, apply=actions.output(4)))
    assert texts(done) == [
        (0, "table", "hit"), (1, "write", "the action set is now output:2"), (1, "metadata", "metadata is now 0x5"),
        (0, "table", "hit"), (1, "apply", "set_field:00:00:00:00:00:03->eth_dst"), (1, "output", "out of port 3"),
        (0, "action_set", "the action set is carried out: output:2"), (1, "output", "out of port 2")]
    assert [step.flow.origin for step in done.steps if step.flow is not None] == [(0, 5), (1, 9)]
    assert [step.table for step in done.steps if step.kind is Kind.TABLE] == [0, 1]
    assert [number for number, _ in done.sent] == [3, 2] and done.sent[0].data[:6] == bytes(5) + b"\x03"


def test_a_frame_that_nothing_matches_is_dropped_and_that_is_said() -> None:
    assert texts(through(flow(match=tlv(f.IN_PORT, 2)))) == [
        (0, "table", "no entry matches"), (0, "drop", "nothing sends the frame anywhere: it is dropped")]


def test_the_table_miss_entry_is_named_and_gives_its_reason() -> None:
    done = through(flow(priority=0, apply=actions.output(c.CONTROLLER)))
    assert texts(done) == [(0, "table", "table-miss entry"), (1, "packet_in", "to the controllers, reason no_match")]
    assert done.told[0].reason == of13.OFPR_NO_MATCH


def test_what_an_action_set_sends_up_names_the_first_entry_and_its_writer() -> None:
    done = through(flow(goto=1), flow(1, write=actions.output(c.CONTROLLER)))
    (told,) = done.told
    assert told.flow is not None and told.writer is not None
    assert (told.flow.origin, told.writer.origin) == ((0, 5), (1, 5))


def test_clearing_and_rewriting_the_action_set_is_told() -> None:
    done = through(flow(goto=1, write=actions.output(2) + actions.pop_vlan()), flow(1, goto=2, clear=True),
                   flow(2, write=actions.pop_vlan()))
    assert [text for _, kind, text in texts(done) if kind in ("write", "clear", "drop")] == [
        "the action set is now pop_vlan,output:2", "the action set is cleared", "the action set is now pop_vlan",
        "the action set has no output: it does nothing"]
    assert not done.sent


def test_a_meter_is_told_and_let_pass() -> None:
    done = through(flow(meter=3, apply=actions.output(2)))
    assert texts(done)[1] == (1, "meter", "meter 3: taken not to drop the frame") and done.sent


def test_the_bucket_of_a_failover_group_is_the_first_live_one() -> None:
    group = Group(7, of13.OFPGT_FF, bucket(actions.output(2), watch_port=2) + bucket(actions.output(3), watch_port=3)
                  + bucket(actions.output(4), watch_port=4))
    enter = flow(apply=actions.group(7))
    assert texts(through(enter, groups=(group,)))[1:] == [
        (1, "group", "group 7, ff"), (2, "bucket", "bucket 0, the first live one"), (3, "output", "out of port 2")]
    assert texts(through(enter, groups=(group,), down=(2,)))[2] == (
        2, "bucket", "bucket 1, the first live one (bucket 0: port 2 is down)")
    done = through(enter, groups=(group,), down=(2, 3, 4))
    assert done.steps[2].kind is Kind.DROP and "bucket 2: port 4 is down" in done.steps[2].text and not done.sent


def test_which_bucket_a_hash_selects_is_said_to_be_assumed() -> None:
    group = Group(7, of13.OFPGT_SELECT, b"".join(bucket(actions.output(port), weight=weight)
                                                 for port, weight in ((2, 1), (3, 5), (4, 0))))
    done = through(flow(apply=actions.group(7)), groups=(group,))
    assert done.steps[2].text == (
        "bucket 1, taken for the one that the switch's hash selects; it may be 0 as well")
    assert done.sent[0].port == 3
    alone = Group(7, of13.OFPGT_SELECT, bucket(actions.output(2), weight=1) + bucket(actions.output(3)))
    done = through(flow(apply=actions.group(7)), groups=(alone,))
    assert done.steps[2].text == "bucket 0, the only one that can be taken (bucket 1: its weight is 0)"


def test_what_goes_nowhere_is_told_with_its_reason() -> None:
    empty = Group(8, of13.OFPGT_ALL, b"")
    silent = Group(9, of13.OFPGT_INDIRECT, bucket(actions.pop_vlan()))
    done = through(flow(apply=b"".join((actions.output(1), actions.output(9), actions.output(3), actions.group(6),
                                        actions.group(8), actions.group(9)))), groups=(empty, silent), down=(3,))
    assert [text for _, kind, text in texts(done) if kind == "drop"] == [
        "port 1 is where the frame came from: nothing goes back without IN_PORT", "port 9 is not there: dropped",
        "port 3 is down: dropped", "there is no group 6: dropped", "it has no bucket: dropped",
        "the bucket has no output: dropped"]


def test_a_flood_leaves_by_every_other_port() -> None:
    done = through(flow(apply=actions.output(c.FLOOD) + actions.output(c.IN_PORT)), down=(3,))
    assert [number for number, _ in done.sent] == [2, 4, 1]
    assert (1, "drop", "FLOOD: port 3 is down: dropped") in texts(done)


def test_a_ttl_that_is_used_up_ends_the_tables_and_tells() -> None:
    dying = MACS[1] + MACS[0] + b"\x08\0" + ipv4(IPS[0], IPS[1], 1, echo(8, 1, 1, b""), ttl=1)
    done = through(flow(goto=1, apply=c.simple(of13.OFPAT_DEC_NW_TTL) + actions.output(2)),
                   flow(1, apply=actions.output(3)), frame=dying)
    assert not done.sent and done.told[0].reason == of13.OFPR_INVALID_TTL
    assert "the actions that follow are void" in done.steps[1].text


def test_an_action_that_finds_nothing_to_change_is_said_to() -> None:
    done = through(flow(apply=actions.pop_vlan() + actions.set_field(tlv(f.ARP_OP, 2)) + actions.output(2)))
    assert [text for _, kind, text in texts(done) if kind == "apply"] == [
        "pop_vlan: changes nothing", "set_field:2->arp_op: changes nothing"]


def test_an_action_that_is_not_known_is_said_to_be() -> None:
    done = through(flow(apply=b"\xff\xff\x00\x08\x00\x00\x23\x20" + actions.output(2)))
    assert done.steps[1].kind is Kind.APPLY
    assert done.steps[1].text.endswith("what this action does is not known here, and nothing is changed")
    assert done.sent


def test_groups_that_lead_too_far_leave_the_frame_nowhere() -> None:
    deep = tuple(Group(n, of13.OFPGT_INDIRECT, bucket(actions.group(n + 1))) for n in range(1, 70))
    done = through(flow(apply=actions.output(2) + actions.group(1)), groups=deep)
    assert not done.sent and done.failed == "it enters more than 64 groups or tables within each other"
    wide = tuple(Group(n, of13.OFPGT_ALL, 2 * bucket(actions.group(n + 1))) for n in range(1, 20))
    done = through(flow(apply=actions.output(2) + actions.group(1)), groups=wide)
    assert not done.sent and done.failed == "it enters more than 4096 groups and tables"
    assert done.steps[-1].text == "the frame leaves nowhere: it enters more than 4096 groups and tables"


@pytest.mark.parametrize("in_set", [False, True])
def test_too_many_labels_lose_the_frame(in_set: bool) -> None:
    pushes = 4 * c.simple(of13.OFPAT_PUSH_MPLS, 0x8847)
    labelled = MACS[1] + MACS[0] + b"\x88\x47" + bytes(8) + b"\0\0\x01\x40"
    wanted = flow(write=pushes + actions.output(2)) if in_set else flow(apply=actions.output(2) + pushes)
    done = through(wanted, frame=labelled)
    assert not done.sent and "MPLS labels" in done.failed


def test_a_bucket_changes_a_copy() -> None:
    group = Group(7, of13.OFPGT_ALL, bucket(actions.set_field(tlv(f.ETH_DST, 9)) + actions.output(2)))
    done = through(flow(apply=actions.group(7) + actions.output(3)), groups=(group,), frame=tagged(PING, 5))
    assert done.sent[0].data[:6] == bytes(5) + b"\x09" and done.sent[1].data == tagged(PING, 5)


def test_bits_are_copied_between_fields_and_the_tunnel_id_leaves_with_the_frame() -> None:
    into = actions.move(of13.OFPXMT_OFB_VLAN_VID, 0, of13.OFPXMT_OFB_TUNNEL_ID, 0, 12) + actions.load_bit(
        of13.OFPXMT_OFB_TUNNEL_ID, 23)
    done = through(flow(apply=into + actions.pop_vlan() + actions.output(2)), frame=tagged(PING, 5))
    assert (done.sent, done.keys) == ([(2, PING)], [1 << 23 | 5])
    # A bucket is an action set: its tags come off before anything is copied.
    group = Group(7, of13.OFPGT_INDIRECT, bucket(into + actions.pop_vlan() + actions.output(2)))
    done = through(flow(apply=actions.group(7)), groups=(group,), frame=tagged(PING, 5))
    assert (done.sent, done.keys) == ([(2, PING)], [1 << 23])
    back = actions.push_vlan() + actions.move(of13.OFPXMT_OFB_TUNNEL_ID, 0, of13.OFPXMT_OFB_VLAN_VID, 0, 12)
    keyed = flow(match=tlv(of13.OFPXMT_OFB_TUNNEL_ID, 6), apply=back + actions.output(2))
    done = walk(Switch([keyed], {}, {2: Port()}), PING, 1, tunnel_id=6)
    assert done.sent == [(2, tagged(PING, 6))]


# Open vSwitch's own actions; tests/system/test_trace_against_ovs compares them with it

EXIT = bytes.fromhex("ffff0010000023200011") + bytes(6)
TO_IDS = bytes.fromhex("ffff001000002320001400280007 0000")


def test_a_resubmit_is_told_as_a_way_that_comes_back() -> None:
    done = through(flow(apply=actions.resubmit(1) + actions.output(3)), flow(1, goto=2, apply=actions.output(2)))
    assert texts(done) == [
        (0, "table", "hit"), (1, "apply", "resubmit to table 1"), (2, "table", "hit"), (3, "output", "out of port 2"),
        (2, "table", "no entry matches"), (1, "output", "out of port 3")]


def test_a_packet_in_names_the_entry_that_was_resubmitted_to_and_then_the_one_before() -> None:
    up = actions.output(of13.OFPP_CONTROLLER)
    done = through(flow(apply=actions.resubmit(1) + up), flow(1, apply=TO_IDS))
    assert [each.flow.origin for each in done.told if each.flow is not None] == [(1, 5), (0, 5)]
    assert "to the controllers of id 7, reason action" in [step.text for step in done.steps]


def test_an_action_set_that_resubmits_is_not_the_writer_of_what_is_found() -> None:
    done = through(flow(write=actions.resubmit(1)), flow(1, apply=actions.output(of13.OFPP_CONTROLLER)))
    assert [(each.writer, each.flow and each.flow.origin) for each in done.told] == [(None, (1, 5))]


def test_an_exit_ends_all_lists_but_not_what_follows_a_bucket() -> None:
    done = through(flow(goto=3, apply=actions.resubmit(1) + actions.output(3), write=actions.output(4)),
                   flow(1, apply=actions.output(2) + EXIT + actions.output(4)), flow(3, apply=actions.output(3)))
    assert [sent.port for sent in done.sent] == [2]
    group = Group(7, of13.OFPGT_ALL, bucket(actions.resubmit(1)) + bucket(actions.output(4)))
    done = through(flow(apply=actions.group(7) + actions.output(3)), flow(1, apply=EXIT), groups=(group,))
    assert [sent.port for sent in done.sent] == [4, 3]


def test_a_ttl_that_is_used_up_ends_the_resubmitted_list_only() -> None:
    spent = PING[:22] + b"\1" + PING[23:]
    by_ids = bytes.fromhex("ffff0018000023200015 0001") + bytes(12)
    for count_down in (actions.dec_nw_ttl(), by_ids):
        done = through(flow(apply=actions.resubmit(1) + actions.output(3)),
                       flow(1, apply=count_down + actions.output(2)), frame=spent)
        assert [sent.port for sent in done.sent] == [3]
        assert [told.reason for told in done.told] == [of13.OFPR_INVALID_TTL]


def test_tables_that_lead_to_each_other_leave_the_frame_nowhere() -> None:
    done = through(flow(apply=actions.output(2) + actions.resubmit(0)))
    assert not done.sent and done.failed == "it enters more than 64 groups or tables within each other"
    wide = [flow(table, apply=2 * actions.resubmit(table + 1)) for table in range(20)]
    assert through(*wide, flow(20, apply=actions.output(2))).failed == "it enters more than 4096 groups and tables"


def test_normal_goes_where_its_owner_says() -> None:
    ports = {number: Port() for number in PORTS}
    for known, sent, said in ((3, [3], "learnt at port 3"), (1, [], "learnt at port 1"),
                              (of13.OFPP_FLOOD, [2, 3, 4], "has not been learnt"), (None, [], "reserved")):
        switch = Switch([flow(apply=actions.output(of13.OFPP_NORMAL))], {}, ports, normal=lambda frame, to=known: to)
        done = walk(switch, PING, 1)
        assert [each.port for each in done.sent] == sent
        assert any("NORMAL" in step.text and said in step.text for step in done.steps)


@pytest.mark.parametrize("pcp, left", [(0, PING), (3, tagged(PING, 0, 3))])
def test_normal_takes_off_a_tag_that_says_nothing(pcp: int, left: bytes) -> None:
    port, whole = actions.output(of13.OFPP_NORMAL), tagged(PING, 0, pcp)
    switch = Switch([flow(apply=port + actions.output(3))], {}, {2: Port(), 3: Port()}, normal=lambda frame: 2)
    done = walk(switch, whole, 1)
    assert [(each.port, each.data) for each in done.sent] == [(2, left), (3, whole)]


def tracking(table: int = 255) -> bytes:
    return bytes.fromhex("ffff0018000023200023000100000000") + b"\0\5" + bytes((table,)) + bytes(5)


def test_what_only_the_datapath_knows_of_a_connection_is_not_followed() -> None:
    done = through(flow(apply=tracking() + tracking(1) + actions.output(2)), flow(1, apply=actions.output(3)))
    assert [port for port, _ in done.sent] == [2] and done.tracked == [1]
    assert [text.split(":")[0] for _, kind, text in texts(done) if kind == "apply"] == [
        "ct(commit,zone=5)", "ct(commit,table=1,zone=5)"]
    dropped = through(flow(apply=tracking(1)))
    assert not dropped.sent and all(step.kind is not Kind.DROP for step in dropped.steps)


def test_a_copy_that_goes_on_leaves_no_action_set_behind() -> None:
    done = through(flow(write=actions.output(2), goto=1), flow(1, apply=tracking(2)))
    assert not done.sent and any(step.kind is Kind.CLEAR for step in done.steps)


def test_a_frame_is_read_anew_where_a_group_has_it_taken_up() -> None:
    again = Group(9, of13.OFPGT_SELECT, bucket(b"", 1))
    inner = flow(1, match=tlv(of13.OFPXMT_OFB_VLAN_VID, 0x1000 | 7), apply=actions.output(2))
    frame = tagged(tagged(PING, 7), 5)
    for takes, sent in ((True, [2]), (False, [])):
        switch = Switch((flow(apply=actions.pop_vlan() + actions.group(9), goto=1), inner), {9: again},
                        {number: Port() for number in PORTS}, takes_up_anew=lambda group, takes=takes: takes)
        assert [port for port, _ in walk(switch, frame, 1).sent] == sent


def test_a_frame_goes_back_where_its_port_of_arrival_is_forgotten() -> None:
    forget = nicira.load(0, 16, 2, 0)
    assert [port for port, _ in through(flow(apply=actions.output(1) + forget + actions.output(1))).sent] == [1]


@pytest.mark.parametrize("port", (of13.OFPP_FLOOD, of13.OFPP_ALL))
def test_a_flood_goes_where_it_matters(port: int) -> None:
    ports = {number: Port() for number in PORTS}
    for some, sent in (({3}, [3]), ({1, 4}, [4]), ({1}, []), (None, [2, 3, 4])):
        switch = Switch([flow(apply=actions.output(port))], {}, ports, matters=lambda frame, to=some: to)
        done = walk(switch, PING, 1)
        assert [each.port for each in done.sent] == sent
        assert any("its host is known" in step.text for step in done.steps) == (some is not None)
