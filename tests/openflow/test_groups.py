from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from ryu.ofproto import ofproto_v1_3 as of13  # type: ignore[import-untyped]
from ryu.ofproto import ofproto_v1_3_parser as ryu13

from hvproxy.openflow.groups import Bucket, action_lists, bucket, count_buckets, walk_buckets

U16 = st.integers(0, 2**16 - 1)
U32 = st.integers(0, 2**32 - 1)
ACTION = st.one_of(
    st.builds(ryu13.OFPActionOutput, U32, U16),
    st.builds(ryu13.OFPActionGroup, U32),
    st.builds(ryu13.OFPActionPopVlan),
    st.builds(lambda mac: ryu13.OFPActionSetField(eth_dst="%02x:00:00:00:00:01" % mac), st.integers(0, 255)),
)
BUCKET = st.builds(ryu13.OFPBucket, U16, U32, U32, st.lists(ACTION, max_size=4))


def wire_of(part: ryu13.OFPBucket | ryu13.OFPAction) -> bytes:
    buffer = bytearray()
    part.serialize(buffer, 0)
    return bytes(buffer)


def actions_of(part: ryu13.OFPBucket) -> bytes:
    return b"".join(map(wire_of, part.actions))


@given(BUCKET)
def test_a_bucket_is_built_as_ryu_builds_it(theirs: ryu13.OFPBucket) -> None:
    assert bucket(actions_of(theirs), theirs.weight, theirs.watch_port, theirs.watch_group) == wire_of(theirs)


@given(st.lists(BUCKET, max_size=5))
def test_buckets_of_ryu_are_walked_in_order(theirs: list[ryu13.OFPBucket]) -> None:
    wire = b"".join(map(wire_of, theirs))
    assert walk_buckets(wire) == tuple(
        Bucket(each.weight, each.watch_port, each.watch_group, actions_of(each)) for each in theirs)
    assert count_buckets(wire) == len(theirs)
    lists = action_lists(wire)
    assert set(lists) == {actions_of(each) for each in theirs} and len(set(lists)) == len(lists)


@given(st.lists(BUCKET, max_size=5))
def test_walking_and_encoding_are_inverse(theirs: list[ryu13.OFPBucket]) -> None:
    wire = b"".join(map(wire_of, theirs))
    assert b"".join(each.encode() for each in walk_buckets(wire)) == wire


def test_ryu_parses_our_bucket_that_watches_nothing_by_default() -> None:
    parsed = ryu13.OFPBucket.parser(bucket(wire_of(ryu13.OFPActionOutput(7))), 0)
    assert (parsed.weight, parsed.watch_port, parsed.watch_group) == (0, of13.OFPP_ANY, of13.OFPG_ANY)
    assert [action.port for action in parsed.actions] == [7]


def test_the_actions_of_buckets_keep_their_order() -> None:
    first, second = wire_of(ryu13.OFPActionOutput(7)), wire_of(ryu13.OFPActionGroup(1))
    assert action_lists(bucket(second) + bucket(first, 1) + bucket(second, 2)) == (second, first)


def test_only_what_was_asked_last_is_remembered() -> None:
    for weight in range(10):
        walk_buckets(bucket(b"", weight))
    assert walk_buckets.cache_info().currsize < 10
