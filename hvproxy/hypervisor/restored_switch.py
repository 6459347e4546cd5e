"""From the records of one logical switch to one like it: see restore.

`RestoredSwitch` reads them all first, then has the datapaths desired to hold what follows from them. What switches have
counted meanwhile is not known yet, so nothing expires.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from struct import error as StructError
from typing import Final, TypeVar

import msgspec

from hvproxy.compiler.lowering import TenantGroup
from hvproxy.compiler.members import written_behind
from hvproxy.errors import ConfigError, DamagedRecord, ModelError, Refused
from hvproxy.hypervisor import snapshots
from hvproxy.hypervisor.counters import Counters
from hvproxy.hypervisor.entries import Entry
from hvproxy.hypervisor.hypervisor import Hypervisor
from hvproxy.hypervisor.logical_port import LogicalPort
from hvproxy.hypervisor.logical_switch import LogicalSwitch
from hvproxy.hypervisor.mac_table import LOOK_EVERY
from hvproxy.hypervisor.port_counters import BY_PEER, BY_RULES, COUNTERS
from hvproxy.hypervisor.retiring import Retired
from hvproxy.hypervisor.tenant_meters import TenantMeter
from hvproxy.model import records, snapshot as snapshot_file
from hvproxy.model.intent import LogicalSwitchSpec, PortSpec, parse
from hvproxy.model.layout import FRAGMENT, PLACE, cookie
from hvproxy.model.records import Record
from hvproxy.model.rules import Change, Rule
from hvproxy.model.view import Vif
from hvproxy.openflow import actions, guard_parts, instructions
from hvproxy.openflow.meters import walk_bands
from hvproxy.openflow.oxm import Match, ofp_match

R = TypeVar("R", bound=Record)
S = TypeVar("S", bound=msgspec.Struct)
KINDS: Final = ("state", "port", "group", "entry", "retired", "count", "groupcount", "meter", "host", "rollback")
"""The kinds of records of a logical switch, in the order in which they are read."""


class RestoredSwitch:
    """A logical switch on its way back."""

    def __init__(self, hv: Hypervisor, name: str, stored: Mapping[str, bytes],
                 parts: Mapping[str, Iterable[tuple[int, str]]], now: float) -> None:
        """`parts`: by kind the numbers and keys of its records. Raises DamagedRecord."""
        self._hv = hv
        self._stored = stored
        self._now = now
        self._wall = hv.wall
        self._gone: dict[int, tuple[int, int]] = {}
        """Counts of entries that went just before the end -> the table and where it sent packets on."""
        self._metered: dict[int, records.MeterRecord] = {}
        self.dpids: set[int] = set()
        """The datapaths that its ports name, or were on."""
        key = f"ls/{name}"
        with judged(key):
            record = self._read(key, records.LogicalSwitchRecord)
            spec = _spec(LogicalSwitchSpec, record.spec)
            if spec.name != name or not 0 < record.ls_id <= hv.settings.layout.last_logical_switch:
                raise ValueError("it is another logical switch's")
            if record.ls_id in hv.by_id:
                raise ValueError(f"another logical switch has its id {record.ls_id}")
        self.ls = ls = LogicalSwitch(spec.tenant, spec, record.ls_id, hv.settings.layout, hv)
        readers: dict[str, Callable[[int, str], None]] = {
            "state": self._state, "port": self._port, "group": self._group, "entry": self._entry,
            "retired": self._retired,
            "count": self._count, "groupcount": self._group_count, "meter": self._meter, "host": self._host,
            "rollback": self._rollback}
        for kind in KINDS:
            for number, part in sorted(parts.get(kind, ())):
                with judged(part):
                    readers[kind](number, part)
        for done in {entry.instructions for entry in ls.tables.entries()}:
            if actions.learns(done.apply):
                ls.aside.learn()
            if actions.choices(done.apply):
                ls.aside.choose(ls.ports)
            if written_behind(done):
                ls.aside.write(ls.ports)
        if ls.tracking.in_use:
            ls.aside.track()
        ls.ledger.ports()
        ls.expiry_waits = True

    def compile(self) -> None:
        """Have the datapaths hold what follows."""
        hv, ls = self._hv, self.ls
        if not hv.fabric.room(ls.seen()):
            for port in ls.ports.values():
                port.vif = port.former = None  # there are fewer labels than there were: they are bound as new ones are
        hv.bind(ls, self._now, [p.number for p in ls.ports.values() if p.vif is not None and not p.placed])
        for number, record in self._metered.items():
            # Only now: to the meters of the datapaths nothing has happened.
            meter = ls.meters.meters[number]
            meter.counters, meter.turns = Counters(), dict(record.turns)
            _restore_sum(meter.counters, "in", record.whole)
            for band, each in record.bands_counted.items():
                _restore_sum(meter.counters, band, each)
        for retired in ls.retiring:
            hv.change({retired.dpid: Change(put_rules=[retired.rule])}, self._now)
        self._forget_gone()
        ls.ledger.state()

    # One kind of records each

    def _state(self, number: int, key: str) -> None:
        ls, state = self.ls, self._read(key, records.State)
        ls.tables.numbering.skip_blocks(state.block)
        ls.frag_flags, ls.resubmits = state.frag_flags, state.resubmits
        ls.roles.generation_id = state.generation_id
        ls.table_names = dict(state.table_names)
        ls.table_counters.restore(state.gone, state.entered_gone, state.told)
        ls.last_index = state.last_index
        ls.turned = frozenset(state.turned)
        tracking = ls.tracking
        tracking.restore(state.zones, self._hv.zones)
        tracking.in_use, tracking.home, tracking.resumes = state.tracks, state.home, state.resumes
        if state.normal:
            ls.hosts.begin()

    def _port(self, number: int, key: str) -> None:
        ls = self.ls
        record = self._read(key, records.Port)
        spec = _spec(PortSpec, record.spec)
        if spec.number != number or not 0 < record.index <= ls.layout.last_lport or record.index in ls.port_at:
            raise ValueError("it is another port's")
        port = LogicalPort(ls.spec.name, spec, record.index, record.created - self._wall)
        port.config, port.placed, port.up = record.config, record.placed, record.up
        port.vif = None if record.vif is None else Vif(*record.vif)
        port.tally.closed = record.closed
        port.tally.totals = dict(zip(COUNTERS, record.totals, strict=True))
        port.former = None if record.former is None else Vif(*record.former)
        port.turned = record.turned
        for shown, stored in ((port.tally.shown, record.shown), (port.tally.former, record.former_shown)):
            for name, (source, value) in stored.items():
                shown[name] = (
                    source if source is None else (BY_RULES if source else BY_PEER) if isinstance(source, bool)
                    else Vif(*source), value)
        last_index = ls.last_index
        ls.add_port(port)
        ls.last_index = last_index
        if port.vif is not None:
            self.dpids |= port.dpids
            if spec.attach is not None and spec.attach.iface_id is not None:
                former = () if port.former is None else ((port.former.dpid, port.former.port_no),)
                self._hv.databases.remember(spec.attach.iface_id, (port.vif.dpid, port.vif.port_no), *former)
        if spec.attach is not None and spec.attach.place is not None:
            self.dpids.add(spec.attach.place[0])

    def _group(self, number: int, key: str) -> None:
        record = self._read(key, records.GroupRecord)
        guard_parts.buckets(record.buckets, 0, len(record.buckets), True)
        group = TenantGroup(number, record.type, record.buckets, dict(record.indexes), record.serial)
        self.ls.groups.put_back(group, None if record.created is None else record.created - self._wall)

    def _entry(self, number: int, key: str) -> None:
        record = self._read(key, records.EntryRecord)
        if not 0 < number < PLACE or record.table_id >= self.ls.spec.tables:
            raise ValueError("no entry can be there")
        match = ofp_match(record.match)
        guard_parts.match(match, 0, len(match))
        if len(record.instructions) % 8:
            raise ValueError("instructions that end too early")
        guard_parts.instructions(record.instructions, 0, len(record.instructions), True)
        entry = Entry(number, record.table_id, record.priority, Match.parse(match),
                      instructions.decode(record.instructions), record.cookie, record.idle_timeout,
                      record.hard_timeout, record.flags, record.created - self._wall)
        entry.modified, entry.used = record.modified - self._wall, record.used - self._wall
        self.ls.tables.restore(entry)

    def _retired(self, number: int, key: str) -> None:
        record = self._read(key, records.RetiredRule)
        match = ofp_match(record.match)
        guard_parts.match(match, 0, len(match))
        entry = self.ls.tables.by_number(record.number)
        if entry is None:
            raise ValueError(f"there is no entry {record.number}")
        self.dpids.add(record.dpid)
        self.ls.retiring.restore(entry, Retired(record.dpid, Rule(
            record.table, record.priority, record.match, b"", cookie(self.ls.ls_id, record.number)), number))

    def _count(self, number: int, key: str) -> None:
        record = self._read(key, records.EntryCount)
        self.ls.counters.restore(number, record.base, record.last, record.carried)
        entry = self.ls.tables.by_number(number)
        if entry is not None:
            entry.used = max(entry.used, record.used - self._wall)
        elif number != FRAGMENT and (number < PLACE or number & ~FRAGMENT not in self.ls.port_at):
            self._gone[number] = (record.table_id, record.goto)

    def _group_count(self, number: int, key: str) -> None:
        record = self._read(key, records.GroupCount)
        counters = self.ls.groups.counters[number]
        _restore_sum(counters, "all", record.whole)
        for bucket, each in record.buckets.items():
            _restore_sum(counters, bucket, each)

    def _meter(self, number: int, key: str) -> None:
        record = self._read(key, records.MeterRecord)
        guard_parts.bands(record.bands, 0, len(record.bands), True)
        self._hv.meter_ids.take(record.place)
        self.ls.meters.meters[number] = TenantMeter(
            number, record.place, record.flags, walk_bands(record.bands), record.created - self._wall, record.revision,
            dict(record.demand))
        self._metered[number] = record

    def _host(self, number: int, key: str) -> None:
        record = self._read(key, records.HostRecord)
        if record.port in self.ls.ports:
            self.ls.hosts.restore(number, record.port, record.address, record.vlan, record.used - self._wall)
            self.ls.hosts.next_look = self._now + LOOK_EVERY

    def _rollback(self, number: int, key: str) -> None:
        record = self._read(key, records.RollbackRecord)
        self._hv.serving.interrupted.append(partial(
            snapshots.carry_on, self._hv, self.ls.spec.name, snapshot_file.decode(record.snapshot), record.counts))

    def _forget_gone(self) -> None:
        """What went just before the end is counted by the tables alone."""
        ls = self.ls
        carried = {other for number in ls.counters.numbers if number not in self._gone
                   for other in _carried(ls.counters, number)}
        for number, (table_id, goto) in self._gone.items():
            if number not in carried:
                if table_id < ls.spec.tables:
                    ls.table_counters.entry_gone(table_id, None if goto == records.NO_TABLE else goto,
                                                 ls.counters.total(number)[0])
                ls.counters.forget(number)

    def _read(self, key: str, kind: type[R]) -> R:
        return records.decode(key, kind, self._stored[key])


@contextmanager
def judged(key: str) -> Iterator[None]:
    """What cannot be made of a record is told as its damage."""
    try:
        yield
    except (ValueError, KeyError, IndexError, TypeError, StructError, Refused, ConfigError,
            ModelError, msgspec.MsgspecError) as error:
        raise DamagedRecord(key, f"cannot be: {error}") from error


def _carried(counters: Counters, number: int) -> Iterator[int]:
    for other in counters.state(number)[2]:
        assert isinstance(other, int)
        yield other
        yield from _carried(counters, other)


def _restore_sum(counters: Counters, number: object, record: records.SumRecord) -> None:
    counters.restore(number, record.base, dict(record.last), ())


def _spec(kind: type[S], data: bytes) -> S:
    return parse(kind, msgspec.json.decode(data))
