import pytest
from hypothesis import given, strategies as st

from hvproxy.openflow.xids import Xids


def test_ids_are_fresh_and_start_above_zero():
    xids = Xids[str]()
    assert [xids.next() for _ in range(3)] == [1, 2, 3]


def test_ids_wrap_round_and_leave_out_zero():
    xids = Xids[str](0xfffffffe)
    assert [xids.next(), xids.next()] == [0xffffffff, 1]


def test_an_outstanding_id_is_not_handed_out_again():
    xids = Xids[str](0xfffffffe)
    for xid in (0xffffffff, 1, 3):
        xids.remember(xid, "old")
    assert [xids.next(), xids.next()] == [2, 4]


def test_an_id_can_be_remembered_once_only():
    xids = Xids[str]()
    xids.remember(5, "first")
    with pytest.raises(ValueError):
        xids.remember(5, "second")
    assert xids.take(5) == "first"
    xids.remember(5, "third")
    assert xids.peek(5) == "third"


def test_take_gives_the_value_once():
    xids = Xids[str]()
    xids.remember(5, "what")
    assert 5 in xids
    assert xids.take(5) == "what"
    assert xids.take(5) is None
    assert 5 not in xids


def test_peek_leaves_the_request_outstanding():
    xids = Xids[str]()
    xids.remember(5, "what")
    assert xids.peek(5) == "what"
    assert xids.peek(6) is None
    assert len(xids) == 1


def test_a_barrier_releases_itself_and_all_before_it_in_order_of_sending():
    xids = Xids[str]()
    for xid, value in ((9, "a"), (2, "b"), (7, "barrier"), (1, "c")):
        xids.remember(xid, value)
    assert xids.release(7) == [(9, "a"), (2, "b"), (7, "barrier")]
    assert xids.sent == [1]
    assert xids.take(9) is None


def test_what_was_taken_is_not_released():
    xids = Xids[str]()
    for xid in (1, 2, 3):
        xids.remember(xid, str(xid))
    xids.take(1)
    assert xids.release(3) == [(2, "2"), (3, "3")]


def test_an_unknown_barrier_releases_nothing():
    xids = Xids[str]()
    xids.remember(1, "a")
    assert xids.release(2) == []
    assert xids.sent == [1]


def test_the_first_of_a_hundred_thousand_is_still_known():
    xids = Xids[int]()
    for number in range(100_000):
        xids.remember(xids.next(), number)
    assert xids.take(1) == 0
    assert len(xids) == 99_999


@given(st.lists(st.one_of(st.just("send"), st.tuples(st.sampled_from(["take", "release"]), st.integers(1, 12)))))
def test_it_behaves_as_a_list_of_pairs_does(steps):
    xids, model = Xids[int](), []
    for number, step in enumerate(steps):
        if step == "send":
            xid = xids.next()
            assert xid not in [known for known, _ in model]
            xids.remember(xid, number)
            model.append((xid, number))
        elif step[0] == "take":
            assert xids.take(step[1]) == dict(model).get(step[1])
            model = [pair for pair in model if pair[0] != step[1]]
        else:
            known = [xid for xid, _ in model]
            cut = known.index(step[1]) + 1 if step[1] in known else 0
            assert xids.release(step[1]) == model[:cut]
            model = model[cut:]
        assert xids.sent == [xid for xid, _ in model]
