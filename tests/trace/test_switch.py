"""What a walk looks up: the entry that a frame hits, the buckets that can be used."""
from __future__ import annotations

from hvproxy.model.rules import Group
from hvproxy.openflow import actions
from hvproxy.openflow.constants import of13
from hvproxy.openflow.groups import Bucket, bucket, walk_buckets
from hvproxy.openflow.instructions import Instructions
from hvproxy.openflow.oxm import Match, tlv
from hvproxy.openflow.oxm_fields import NX
from hvproxy.trace import edits
from hvproxy.trace import frame as f
from hvproxy.trace.frame import Frame
from hvproxy.trace.switch import Flow, Port, Switch, heaviest
from tests.packets import tagged
from tests.trace.test_frame import PING


def flow(priority: int, match: bytes = b"", table: int = 0) -> Flow:
    return Flow(table, priority, Match.from_tlvs(match), Instructions())


def test_the_highest_priority_that_matches_is_hit() -> None:
    flows = [flow(0), flow(7, tlv(f.ETH_TYPE, 0x0806)), flow(5, tlv(f.IPV4_DST, 0x0A000000, 0xFF000000)),
             flow(3, tlv(f.IN_PORT, 1)), flow(9, table=1)]
    switch = Switch(flows, {}, {})
    assert switch.lookup(0, Frame(PING, 1)) is flows[2]
    assert switch.lookup(0, Frame(PING[:12] + b"\x88\xb5" + bytes(46), 1)) is flows[3]
    assert switch.lookup(0, Frame(PING[:12] + b"\x88\xb5" + bytes(46), 2)) is flows[0]
    assert switch.lookup(2, Frame(PING, 1)) is None


def test_no_tag_and_any_tag_are_matched() -> None:
    untagged, any_tag = flow(5, tlv(f.VLAN_VID, 0)), flow(4, tlv(f.VLAN_VID, 0x1000, 0x1000))
    switch = Switch([untagged, any_tag], {}, {})
    assert switch.lookup(0, Frame(PING, 1)) is untagged
    assert switch.lookup(0, Frame(tagged(PING, 0), 1)) is any_tag


def test_a_table_miss_entry_has_priority_0_and_matches_all() -> None:
    assert flow(0).is_table_miss and not flow(1).is_table_miss and not flow(0, tlv(f.IN_PORT, 1)).is_table_miss


def test_a_bucket_lives_by_its_port_or_its_group() -> None:
    inner = Group(1, of13.OFPGT_FF, bucket(b"", watch_port=2))
    groups = {1: inner, 2: Group(2, of13.OFPGT_FF, b"")}
    switch = Switch([], groups, {1: Port(), 2: Port(), 3: Port("is down", live=False)})

    def why(kind: int = of13.OFPGT_FF, **watch: int) -> str:
        return switch.why_dead(Group(9, kind, b""), walk_buckets(bucket(b"", **watch))[0])

    assert why(watch_port=1) == why(watch_group=1) == why(watch_port=3, watch_group=1) == ""
    assert why(watch_port=3) == "port 3 is down" and why(watch_port=4) == "port 4 is not there"
    assert why(watch_port=3, watch_group=2) == "port 3 is down and group 2 has no live bucket"
    assert why(of13.OFPGT_SELECT) == "its weight is 0" and why(of13.OFPGT_SELECT, weight=1) == ""


def test_groups_that_watch_each_other_end() -> None:
    groups = {n: Group(n, of13.OFPGT_FF, bucket(b"", watch_group=3 - n)) for n in (1, 2)}
    assert Switch([], groups, {}).why_dead(groups[1], walk_buckets(groups[1].buckets)[0])


def test_of_equal_weights_the_first_is_followed() -> None:
    buckets = [Bucket(weight, of13.OFPP_ANY, of13.OFPG_ANY, actions.output(1)) for weight in (1, 4, 4)]
    assert heaviest(Group(1, of13.OFPGT_SELECT, b""), buckets, [0, 1, 2], Frame(PING, 1)) == 1
    assert heaviest(Group(1, of13.OFPGT_SELECT, b""), buckets, [0, 2], Frame(PING, 1)) == 2


def conjunction(number: int, clause: int, of: int) -> bytes:
    return bytes.fromhex("ffff0010000023200022") + bytes((clause, of)) + number.to_bytes(4, "big")


def test_an_entry_of_a_conjunctive_match_is_hit_where_all_its_clauses_are_met() -> None:
    source, other = tlv(f.ETH_SRC, 0, 1 << 40), tlv(f.ETH_DST, 0, 1 << 40)
    parts = [Flow(0, 5, Match.from_tlvs(match), Instructions(apply=conjunction(7, clause, 2)))
             for clause, match in enumerate((source, other))]
    named, below = flow(9, tlv(NX + 37, 7)), flow(1)
    assert Switch([*parts, named, below], {}, {}).lookup(0, Frame(PING, 1)) is named
    assert Switch([parts[0], named, below], {}, {}).lookup(0, Frame(PING, 1)) is below
    assert Switch([*parts, below], {}, {}).lookup(0, Frame(PING, 1)) is below
    plain = flow(5)
    assert Switch([*parts, plain, named], {}, {}).lookup(0, Frame(PING, 1)) is plain


def test_a_port_beside_sub_ports_sends_what_is_seen_to_be_its_own() -> None:
    port = Port(claimed=frozenset((7,)))
    assert not port.refusal(Frame(PING, 1)) and not port.refusal(Frame(tagged(PING, 8), 1))
    assert port.refusal(Frame(tagged(PING, 7), 1)) == "sends nothing under VLAN 7, which is a sub-port's beside it"
    hidden = Frame(tagged(tagged(PING, 8), 9), 1)
    assert not port.refusal(hidden)
    edits.pop_vlan(hidden)
    assert port.refusal(hidden) == "sends no tag that its switch does not see: it could be a sub-port's beside it"
    assert Port("is down", claimed=frozenset((7,))).refusal(Frame(PING, 1)) == "is down"


def test_a_bundle_may_choose_ports_that_are_live_and_numbers_that_stand_for_several() -> None:
    switch = Switch([], {}, {1: Port(), 2: Port("is down", live=False), of13.OFPP_LOCAL: Port()})
    assert [switch.may_choose(member) for member in (1, 2, 3, 0xfffe, 0xfff8, 0xfffb, 0xffff, 0)] == [
        True, False, False, True, True, True, True, False]
