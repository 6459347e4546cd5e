"""Entries by what their actions name."""
from __future__ import annotations

from hvproxy.hypervisor.entries import Entry
from hvproxy.hypervisor.entry_index import EntryIndex
from hvproxy.openflow import actions
from hvproxy.openflow.instructions import Instructions
from hvproxy.openflow.oxm import Match
from tests.hypervisor.worlds import in_port
from tests.openflow.learn_cases import BACK, bundle, learn


def entry(apply: bytes = b"", meter: int | None = None, match: bytes = b"") -> Entry:
    return Entry(1, 0, 5, Match.from_tlvs(match), Instructions(apply=apply, meter=meter), 0, 0, 0, 0, 0.0)


def test_entries_are_found_by_what_they_name_until_they_are_taken_out() -> None:
    index = EntryIndex()
    first = entry(actions.output(3) + actions.group(7) + bundle(1, 0xfffe), meter=4, match=in_port(2))
    second = entry(actions.output(3), meter=4)
    for each in (first, second):
        index.put(each)
    assert list(index.group(7)) == [first]
    assert list(index.choosing([1, 0xfffffffe, 5])) == [first] and list(index.choosing([2])) == []
    assert list(index.meter(4)) == [first, second] and set(index.ingresses_of_meter(4)) == {2, None}
    for each in (first, second):
        index.take(each)
    assert not any((list(index.group(7)), list(index.choosing([1])), list(index.meter(4))))
    assert not index.unlearnt()


def test_what_nobody_learns_any_more_is_told_once() -> None:
    index = EntryIndex()
    twice, once = entry(learn(BACK, flags=2) + learn(BACK, flags=2, table=3)), entry(learn(BACK, flags=2))
    for each in (twice, once, entry(learn(BACK, table=9))):
        index.put(each)
    index.take(twice)
    assert index.unlearnt() == {(3, 5)} and index.unlearnt() == set()
    index.take(once)
    index.put(once)
    assert index.unlearnt() == set()
    index.take(once)
    assert index.unlearnt() == {(2, 5)}
