"""The entries of one logical switch by what their actions name, for whoever must find them without looking at all.

Kept by the tables, which put every entry in and take it out with the instructions that it had when it came in. Knows
no order and no table.
"""
from __future__ import annotations

from collections.abc import Iterable, Iterator

from hvproxy.hypervisor.entries import Entry
from hvproxy.openflow import actions
from hvproxy.openflow.nicira_learn import DELETE_LEARNED
from hvproxy.openflow.taught import learns


class EntryIndex:
    """By group, meter, and by the ports that bundles choose among; and who learns for others to forget."""

    def __init__(self) -> None:
        self._by_group: dict[int, dict[Entry, None]] = {}
        self._by_member: dict[int, dict[Entry, None]] = {}
        self._by_meter: dict[int, dict[int | None, dict[Entry, None]]] = {}
        """Meter id -> in_port of the match -> entries."""
        self._lessons: dict[tuple[int, int], int] = {}
        """(table, cookie) -> how many actions learn have it and want what they taught deleted when the last is gone."""
        self._unlearnt: set[tuple[int, int]] = set()
        """Those whose last one went."""

    def group(self, group_id: int) -> Iterable[Entry]:
        return self._by_group.get(group_id, ())

    def choosing(self, ports: Iterable[int]) -> Iterable[Entry]:
        """Those that choose among some of the ports."""
        return dict.fromkeys(entry for port in ports for entry in self._by_member.get(port, ()))

    def meter(self, meter_id: int) -> Iterator[Entry]:
        return (entry for each in self._by_meter.get(meter_id, {}).values() for entry in each)

    def ingresses_of_meter(self, meter_id: int) -> Iterable[int | None]:
        """The in_ports of what such entries match; None: some match any."""
        return self._by_meter.get(meter_id, {}).keys()

    def unlearnt(self) -> set[tuple[int, int]]:
        """(table, cookie) of what is to be deleted because nobody learns it any more, since the last time."""
        found, self._unlearnt = {place for place in self._unlearnt if place not in self._lessons}, set()
        return found

    def put(self, entry: Entry) -> None:
        for index, keys in self._places(entry):
            for key in keys:
                index.setdefault(key, {})[entry] = None
        meter = entry.instructions.meter
        if meter is not None:
            self._by_meter.setdefault(meter, {}).setdefault(entry.match.in_port, {})[entry] = None
        for place in _lessons(entry):
            self._lessons[place] = self._lessons.get(place, 0) + 1

    def take(self, entry: Entry) -> None:
        for index, keys in self._places(entry):
            for key in keys:
                index[key].pop(entry)
                if not index[key]:
                    del index[key]
        meter, in_port = entry.instructions.meter, entry.match.in_port
        if meter is not None:
            by_port = self._by_meter[meter]
            by_port[in_port].pop(entry)
            if not by_port[in_port]:
                del by_port[in_port]
            if not by_port:
                del self._by_meter[meter]
        for place in _lessons(entry):
            self._lessons[place] -= 1
            if not self._lessons[place]:
                del self._lessons[place]
                self._unlearnt.add(place)

    def _places(self, entry: Entry) -> Iterator[tuple[dict[int, dict[Entry, None]], frozenset[int]]]:
        yield self._by_group, entry.groups
        choices = actions.choices(entry.instructions.apply)
        if choices:
            yield self._by_member, frozenset(port for choice in choices for port in choice.ports)


def _lessons(entry: Entry) -> list[tuple[int, int]]:
    apply = entry.instructions.apply
    if not actions.learns(apply):
        return []
    return [(learn.table_id, learn.cookie) for learn in learns(apply) if learn.flags & DELETE_LEARNED]
