"""What of a logical switch must be stored: notes its records in the journal as it changes, one for each object.

What is promised to tenants is noted at once. So is what was counted, when it is told, and it is told when that is
stored (`told`): whatever a kill cuts off then, and whatever becomes of the rules, groups and ports that count, no
counter is behind what it told. Of entries that nobody asks for, what they count is noted at checkpoints. Restoring is
restore's business.
"""
from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Final, cast

import msgspec

from hvproxy.hypervisor.counters import Counters
from hvproxy.hypervisor.entries import Entry
from hvproxy.hypervisor.journal import Durability, Journal
from hvproxy.hypervisor.logical_port import LogicalPort
from hvproxy.hypervisor.mac_table import Host
from hvproxy.hypervisor.port_counters import BY_PEER, BY_RULES, COUNTERS
from hvproxy.hypervisor.retiring import Retired, number_of
from hvproxy.hypervisor.tenant_meters import TenantMeter
from hvproxy.model import records
from hvproxy.model.layout import HIDDEN
from hvproxy.model.schema import plain
from hvproxy.model.view import Vif
from hvproxy.openflow.instructions import build
from hvproxy.openflow.meters import encode_bands

if TYPE_CHECKING:
    from hvproxy.hypervisor.logical_switch import LogicalSwitch

AT_A_TIME: Final = 5000
"""Counters noted at one checkpoint; the others follow with the next."""
PORTION: Final = 1000
"""Counters that are about to be told and are stored in one go: who waits for the store meanwhile waits for no more."""
LANES: Final = ("entry", "count", "group", "groupcount", "meter", "port", "host", "retired")
"""The kinds of objects that a logical switch has many of."""


class Ledger:
    """The records of one logical switch."""

    def __init__(self, ls: LogicalSwitch, journal: Journal, wall: float) -> None:
        """`wall` is what must be added to the core's time for the day's."""
        self._ls = ls
        self._journal = journal
        self._wall = wall
        self._prefix = f"ls/{ls.spec.name}"
        self._counted = 0
        """The newest revision that notes what was counted."""
        self._ports: dict[int, object] = {}
        """What of each port was noted."""
        ls.tables.noted = self.entry
        ls.tables.numbering.block_begun = self.state
        ls.counters.noted = self._count
        ls.table_counters.noted = self.gone
        ls.groups.noted = self._group
        ls.meters.noted = self.meter
        ls.hosts.noted = self._host
        ls.retiring.noted = self._retired
        ls.ledger = self

    # What is noted at once

    def begin(self) -> None:
        """The logical switch is new, or described otherwise."""
        self._put(self._prefix, lambda: records.LogicalSwitchRecord(self._ls.ls_id, spec_json(
            msgspec.structs.replace(self._ls.spec, ports=()))))
        self.state()

    def end(self) -> None:
        """It is deleted, and everything of it with it: nothing that comes late is noted."""
        ls = self._ls
        numbers: dict[str, list[int]] = {
            "entry": [entry.number for entry in ls.tables.entries()], "count": ls.counters.numbers,
            "group": list(ls.groups.held), "groupcount": list(ls.groups.counters), "meter": list(ls.meters.meters),
            "port": list(self._ports), "host": ls.hosts.numbers, "retired": [each.serial for each in ls.retiring]}
        for lane in LANES:
            for number in numbers[lane]:
                self._journal.delete(self._key(lane, number))
        self._journal.delete(self._prefix)
        self._journal.delete(f"{self._prefix}/state")
        self.rolling_back(None)
        self._journal = Journal()

    def entry(self, number: int, entry: Entry | None) -> None:
        """An entry is there with that number, as it is now, or none is."""
        if entry is None:
            self._journal.delete(self._key("entry", number))
            return
        there = entry
        self._put(self._key("entry", number), lambda: records.EntryRecord(
            there.table_id, there.priority, there.cookie, there.idle_timeout, there.hard_timeout, there.flags,
            there.created + self._wall, there.modified + self._wall, there.used + self._wall, there.match.tlvs,
            build(there.instructions)))

    def state(self) -> None:
        """Something of the logical switch as a whole has changed."""
        self._put(f"{self._prefix}/state", self._state)

    def rolling_back(self, record: records.RollbackRecord | None) -> None:
        """A rollback begins, or (None) is over."""
        key = self._key("rollback", 0)
        if record is None:
            self._journal.delete(key)
        else:
            self._put(key, lambda: record)

    def gone(self) -> None:
        """The tables count something that is gone."""
        self.state()
        self._counted = self._journal.revision

    def meter(self, meter_id: int) -> None:
        """A meter was made, changed, or went."""
        if meter_id in self._ls.meters.meters:
            self._note_meter(meter_id)
        else:
            self._journal.delete(self._key("meter", meter_id))

    def ports(self) -> None:
        """Ports may have changed."""
        ls = self._ls
        for number, port in ls.ports.items():
            now = (port.spec, port.index, port.vif, port.config, port.placed, port.up, port.former, port.turned)
            if self._ports.get(number) != now:
                self._ports[number] = now
                self.port(port)
        for number in self._ports.keys() - ls.ports.keys():
            del self._ports[number]
            self._journal.delete(self._key("port", number))

    def port(self, port: LogicalPort) -> None:
        """A port is as it is now."""
        port.tally.changed = False
        self._put(self._key("port", port.number), lambda: self._port(port))
        self._counted = self._journal.revision

    def tallied(self, port: LogicalPort) -> None:
        """The statistics of a port were read."""
        if port.tally.changed:
            self.port(port)

    def counted(self, numbers: Iterable[Hashable]) -> None:
        """What was counted under these numbers is part of something else that is noted."""
        for number in self._ls.counters.changed(numbers):
            self._note_changed(number)

    # Checkpoints

    def checkpoint(self) -> None:
        """Note what has counted on since the last one, as far as that is due."""
        for number in self._ls.counters.take_changed(AT_A_TIME):
            if isinstance(number, int) and number & HIDDEN != HIDDEN:
                self._note_count(number)

    def told(self, done: Callable[[float], None], now: float, numbers: Iterable[Hashable] | None = ()) -> None:
        """Call `done`, which tells what was counted, under these numbers (None: under all) or of what else, when that
        is stored; or when it cannot be: then counters may go back if hvproxy dies before it can again."""
        due = iter(self._ls.counters.changed(numbers))

        def portion(at: float) -> None:
            noted = list(islice(due, PORTION))
            for number in noted:
                self._note_changed(number)
            self._journal.when_committed(self._counted, portion if len(noted) == PORTION else done, at, done)

        if self._journal.durability is Durability.NONE:
            done(now)
        else:
            portion(now)

    def told_gone(self, done: Callable[[float], None], now: float) -> None:
        """The same for what tells that something is gone: it must not be there again after a restart."""
        self._journal.when_committed(self._journal.revision, done, now, done)

    def final(self, number: int) -> None:
        """What was counted under that number so far is all that some rule will have counted."""
        self._count(number, True)

    def once_stored(self, done: Callable[[float], None], now: float) -> None:
        """Call `done` when the store has all that was noted, however long that takes."""
        self._journal.when_committed(self._journal.revision, done, now)

    # Inside

    def _key(self, lane: str, number: int) -> str:
        return f"{self._prefix}/{lane}/{number}"

    def _put(self, key: str, record: Callable[[], records.Record]) -> None:
        self._journal.put(key, lambda: records.encode(key, record()))

    def _count(self, number: Hashable, there: bool) -> None:
        """The base of a count has changed, or the count has gone."""
        assert isinstance(number, int)
        if there:
            self._note_count(number)
        else:
            self._journal.delete(self._key("count", number))
            self._counted = self._journal.revision

    def _note_changed(self, number: Hashable) -> None:
        if self._ls.counters.take(number) and isinstance(number, int) and number & HIDDEN != HIDDEN:
            self._note_count(number)

    def _note_count(self, number: int) -> None:
        self._ls.counters.keep(number)
        self._put(self._key("count", number), lambda: self._entry_count(number))
        self._counted = self._journal.revision

    def _entry_count(self, number: int) -> records.EntryCount:
        ls = self._ls
        base, last, carried = ls.counters.state(number)
        reset = ls.resetting.get(number)
        entry = ls.tables.by_number(number) or ls.farewells.entry(number) if reset is None else reset.entry
        used = 0.0 if entry is None else entry.used + self._wall
        goto = None if entry is None else entry.instructions.goto
        return records.EntryCount(
            base, cast("dict[int, records.Count]", last), list(cast("tuple[int, ...]", carried)), used,
            records.NO_TABLE if entry is None else entry.table_id, records.NO_TABLE if goto is None else goto)

    def _group(self, group_id: int) -> None:
        held = self._ls.groups.held
        if group_id in held:
            self._put(self._key("group", group_id), lambda: self._group_record(group_id))
        else:
            self._journal.delete(self._key("group", group_id))
        counters = self._ls.groups.counters.get(group_id)
        if counters is None or not len(counters):
            self._journal.delete(self._key("groupcount", group_id))

    def _group_record(self, group_id: int) -> records.GroupRecord:
        groups = self._ls.groups
        group, created = groups.held[group_id], groups.created.get(group_id)
        return records.GroupRecord(group.type, group.buckets, dict(group.indexes), group.serial,
                                   None if created is None else created + self._wall)

    def group_counted(self, group_id: int, counters: Counters) -> None:
        """Counters of a group were read, or have been given others."""
        if self._ls.groups.counters.get(group_id) is counters and counters.take_any():
            self._note_group_count(group_id)

    def meter_counted(self, meter: TenantMeter) -> None:
        """The same of a meter."""
        if self._ls.meters.meters.get(meter.meter_id) is meter and meter.counters.take_any():
            self._note_meter(meter.meter_id)

    def _note_group_count(self, group_id: int) -> None:
        def record() -> records.GroupCount:
            counters = self._ls.groups.counters.get(group_id, Counters())
            return records.GroupCount(_sum(counters, "all"), {
                number: _sum(counters, number) for number in counters.numbers if number != "all"})

        self._put(self._key("groupcount", group_id), record)
        self._counted = self._journal.revision

    def _note_meter(self, meter_id: int) -> None:
        self._put(self._key("meter", meter_id), lambda: self._meter(meter_id))
        self._counted = self._journal.revision

    def _meter(self, meter_id: int) -> records.MeterRecord:
        meter = self._ls.meters.meters[meter_id]
        counters = meter.counters
        return records.MeterRecord(
            meter.place, meter.flags, encode_bands(meter.bands), meter.created + self._wall, meter.revision,
            meter.demand, meter.turns, _sum(counters, "in"),
            {number: _sum(counters, number) for number in range(len(meter.bands))})

    def _port(self, port: LogicalPort) -> records.Port:
        tally = port.tally
        return records.Port(
            spec_json(port.spec), port.index, port.config, port.created + self._wall, _vif(port.vif), port.placed,
            port.up, tally.closed, [tally.totals[name] for name in COUNTERS],
            _shown(tally.shown), _vif(port.former), port.turned, _shown(tally.former))

    def _host(self, number: int, host: Host | None) -> None:
        if host is None:
            self._journal.delete(self._key("host", number))
            return
        known = host
        self._put(self._key("host", number), lambda: records.HostRecord(
            known.address, known.vlan, known.port, known.used + self._wall))

    def _retired(self, serial: int, retired: Retired | None) -> None:
        if retired is None:
            self._journal.delete(self._key("retired", serial))
            return
        dpid, rule = retired.dpid, retired.rule
        self._put(self._key("retired", serial), lambda: records.RetiredRule(
            number_of(rule), dpid, rule.table, rule.priority, rule.match))

    def _state(self) -> records.State:
        ls = self._ls
        gone, entered, told = ls.table_counters.state()
        return records.State(
            ls.tables.numbering.block, ls.last_index, ls.frag_flags, ls.resubmits, ls.hosts.in_use,
            ls.roles.generation_id, ls.table_names, gone, entered, told, sorted(ls.turned), ls.tracking.in_use,
            ls.tracking.zones, ls.tracking.home, ls.tracking.resumes)


def spec_json(spec: msgspec.Struct) -> bytes:
    """What model.intent.parse reads as `spec`."""
    return msgspec.json.encode(plain(spec))


def _shown(
    shown: Mapping[str, tuple[Hashable, int]]
) -> dict[str, tuple[tuple[int, int, int | None] | bool | None, int]]:
    return {name: (source == BY_RULES if source in (BY_RULES, BY_PEER) else _vif(source), value)
            for name, (source, value) in shown.items()}


def _vif(vif: object) -> tuple[int, int, int | None] | None:
    return (vif.dpid, vif.port_no, vif.vlan) if isinstance(vif, Vif) else None


def _sum(counters: Counters, number: Hashable) -> records.SumRecord:
    base, last, _ = counters.state(number)
    return records.SumRecord(base, [(cast("records.Place", place), count) for place, count in last.items()])
