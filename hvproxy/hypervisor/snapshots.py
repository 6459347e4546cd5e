"""Taking a snapshot of a logical switch, going back to one, and making another logical switch like one.

Going back is a difference like any other: what is as it was is left alone and keeps counting, what is not is changed by
the messages a controller would send, all or none, and tenants are told of it as of those. What comes back counts on
from what it had counted when the snapshot was taken; its times begin anew.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeAlias

import msgspec

from hvproxy.errors import Conflict, Refused
from hvproxy.hypervisor import group_counters, intent, metering, report, tenants
from hvproxy.hypervisor.entries import Entry
from hvproxy.hypervisor.hypervisor import Hypervisor
from hvproxy.hypervisor.ledger import spec_json
from hvproxy.hypervisor.logical_switch import LogicalSwitch
from hvproxy.hypervisor.operator_session import OperatorSession, Order
from hvproxy.hypervisor.port_config import CONFIGURABLE
from hvproxy.model import records, snapshot as snapshot_file
from hvproxy.model.intent import LogicalSwitchSpec, Name
from hvproxy.model.schema import DpidKey
from hvproxy.model.snapshot import EntryShot, GroupShot, MeterShot, Snapshot
from hvproxy.openflow import build
from hvproxy.openflow.constants import of13
from hvproxy.openflow.instructions import build as build_instructions
from hvproxy.openflow.meters import encode_bands

Done: TypeAlias = Callable[[dict[str, int]], None]
Failed: TypeAlias = Callable[[Conflict], None]
Key: TypeAlias = tuple[int, int, bytes]
"""(table, priority, match)."""
_ONCE = of13.OFPFF_CHECK_OVERLAP | of13.OFPFF_RESET_COUNTS
"""Flags that are an order for the moment an entry is added."""
_LAST_DPID = (1 << 64) - 1


class CloneSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Another logical switch like one that exists."""

    name: Name
    tenant: Name | None = None
    """None: the same."""
    datapath_id: DpidKey | None = None
    """None: the next that is free."""


# Taking

def take(hv: Hypervisor, name: str, done: Callable[[Snapshot], None], now: float) -> None:
    """`done` gets the logical switch as it is, with counters that are up to date. Raises NotFound."""
    ls = intent.logical_switch(hv, name)

    def metered(at: float) -> None:
        done(_snapshot(ls, at + hv.settings.wall))

    def grouped(at: float) -> None:
        metering.read(ls, ls.meters.meters.values(), metered, at)

    ls.read_counters(lambda at: group_counters.read(ls, ls.groups.groups, grouped, at), now)


def _snapshot(ls: LogicalSwitch, taken: float) -> Snapshot:
    entries = [EntryShot(*_key(entry), build_instructions(entry.instructions), entry.cookie, entry.idle_timeout,
                         entry.hard_timeout, entry.flags, ls.counters.total(entry.number))
               for entry in ls.tables.entries()]
    groups = []
    for group_id, group in sorted(ls.groups.groups.items()):
        counted = group_counters.record(ls, group_id, taken)
        groups.append(GroupShot(group_id, group.type, group.buckets, (counted.packets, counted.bytes),
                                list(counted.buckets)))
    meters = []
    for meter_id, meter in sorted(ls.meters.meters.items()):
        told = metering.record(ls, meter, taken)
        meters.append(MeterShot(meter_id, meter.flags, encode_bands(meter.bands), (told.packets, told.bytes),
                                list(told.bands)))
    spec = msgspec.structs.replace(report.spec_of(ls), tls=None)
    return Snapshot(ls.spec.name, taken, spec_json(spec), ls.frag_flags, dict(ls.table_names),
                    {port.number: port.config for port in ls.ports.values()},
                    sorted(entries, key=lambda each: (each.table_id, -each.priority, each.match)), groups, meters)


def _key(entry: Entry) -> Key:
    return entry.table_id, entry.priority, entry.match.tlvs


# Going back

def roll_back(hv: Hypervisor, name: str, snapshot: Snapshot, done: Done, failed: Failed, now: float, *,
              counts: bool = True) -> None:
    """Make a logical switch what the snapshot says, in portions, so that others are served meanwhile; `done` hears how
    much that changed when the switches have confirmed it and it is stored. `failed` hears why nothing has changed.
    Without `counts` what comes back counts from zero. A restart carries it on. Raises NotFound."""
    ls = intent.logical_switch(hv, name)
    if any(isinstance(each, OperatorSession) for each in ls.sessions.values()):
        failed(Conflict("", "the logical switch is being rolled back; ask again when that is over"))
        return
    changed = {"entries": 0, "groups": 0, "meters": 0, "ports": 0}
    session = OperatorSession(ls, now)
    ls.ledger.rolling_back(records.RollbackRecord(snapshot_file.encode(snapshot), counts))
    back: list[bytes] = []
    """What undoes the meters."""

    def end() -> None:
        session.end()
        ls.ledger.rolling_back(None)

    def fail(refused: Refused, at: float) -> None:
        _undo(ls, session, back, at)
        end()
        failed(_conflict(refused))

    meters = [each for each in snapshot.meters if not _meter_stands(ls, each)]
    try:
        for shot in meters:
            back.insert(0, _put_meter(ls, session, shot, now))
            if counts:
                _meter_back(ls, shot)
    except Refused as refused:
        fail(refused, now)
        return
    changed["meters"] = len(meters) + len(ls.meters.meters.keys() - _meters(snapshot))

    def committed(refused: Refused | None, at: float) -> None:
        if refused is not None:
            fail(refused, at)
            return
        for meter_id in sorted(ls.meters.meters.keys() - _meters(snapshot)):
            ls.carry_out(session, build.meter_mod(0, of13.OFPMC_DELETE, 0, meter_id), at)
        changed["ports"] = _settings(ls, session, snapshot, at)
        end()
        ls.down.journal.when_committed(ls.down.journal.revision, lambda _: done(changed), at, lambda _: done(changed))

    session.commit(_orders(ls, snapshot, counts, changed), committed, now)


def carry_on(hv: Hypervisor, name: str, snapshot: Snapshot, counts: bool, now: float) -> None:
    """Go on with what a restart has interrupted."""
    if name not in hv.logical_switches:
        return
    roll_back(
        hv, name, snapshot,
        lambda changed: hv.log("info", "the rollback that was interrupted is done", logical_switch=name, **changed),
        lambda why: hv.log("error", "the rollback that was interrupted cannot be finished", logical_switch=name,
                           reason=why.what), now, counts=counts)


def _conflict(refused: Refused) -> Conflict:
    return Conflict("", f"the logical switch cannot be so now, nothing has changed: {refused}")


def _groups(snapshot: Snapshot) -> set[int]:
    return {each.group_id for each in snapshot.groups}


def _meters(snapshot: Snapshot) -> set[int]:
    return {each.meter_id for each in snapshot.meters}


def _find(ls: LogicalSwitch, shot: EntryShot) -> Entry | None:
    return ls.tables.find(shot.table_id, shot.priority, shot.match)


def _entry_stands(ls: LogicalSwitch, shot: EntryShot) -> bool:
    entry = _find(ls, shot)
    return entry is not None and (
        entry.cookie, entry.idle_timeout, entry.hard_timeout, entry.flags, build_instructions(entry.instructions)) == (
        shot.cookie, shot.idle_timeout, shot.hard_timeout, shot.flags, shot.instructions)


def _group_stands(ls: LogicalSwitch, shot: GroupShot) -> bool:
    group = ls.groups.groups.get(shot.group_id)
    return group is not None and (group.type, group.buckets) == (shot.type, shot.buckets)


def _meter_stands(ls: LogicalSwitch, shot: MeterShot) -> bool:
    meter = ls.meters.meters.get(shot.meter_id)
    return meter is not None and (meter.flags, encode_bands(meter.bands)) == (shot.flags, shot.bands)


def _unwanted(ls: LogicalSwitch, snapshot: Snapshot) -> list[Entry]:
    wanted = {(each.table_id, each.priority, each.match) for each in snapshot.entries}
    return [entry for entry in ls.tables.entries() if _key(entry) not in wanted]


def _orders(ls: LogicalSwitch, snapshot: Snapshot, counts: bool, changed: dict[str, int]) -> Iterator[Order | None]:
    """What changes entries and groups, in an order in which each finds what it names; how many are `changed`."""
    there = set(ls.groups.groups)
    groups = [each for each in snapshot.groups if not _group_stands(ls, each)]
    unwanted = _unwanted(ls, snapshot)
    changed["entries"], changed["groups"] = len(unwanted), len(groups) + len(there - _groups(snapshot))
    for entry in unwanted:
        yield Order(build.flow_mod_delete_strict(0, *_key(entry)))
    # Emptied first: on the way from one set of groups to another they must not name each other in a circle.
    for group in groups:
        if group.group_id in there:
            yield Order(build.group_mod(0, of13.OFPGC_MODIFY, of13.OFPGT_ALL, group.group_id))
    for group in groups:
        yield Order(build.group_mod(
            0, of13.OFPGC_MODIFY if group.group_id in there else of13.OFPGC_ADD, group.type, group.group_id,
            group.buckets), partial(_group_back, ls, group) if counts else None)
    for shot in snapshot.entries:
        if _entry_stands(ls, shot):
            yield None
            continue
        changed["entries"] += 1
        yield Order(build.flow_mod(
            0, of13.OFPFC_ADD, table_id=shot.table_id, priority=shot.priority, match_tlvs=shot.match,
            instructions=shot.instructions, cookie=shot.cookie, flags=shot.flags & ~_ONCE,
            idle_timeout=shot.idle_timeout, hard_timeout=shot.hard_timeout), partial(_entry_back, ls, shot, counts))
    for group_id in sorted(there - _groups(snapshot)):
        yield Order(build.group_mod(0, of13.OFPGC_DELETE, of13.OFPGT_ALL, group_id))


def _put_meter(ls: LogicalSwitch, session: OperatorSession, shot: MeterShot, now: float) -> bytes:
    """Add or modify a meter; what undoes that. Raises Refused."""
    before = ls.meters.meters.get(shot.meter_id)
    if before is None:
        command, back = of13.OFPMC_ADD, build.meter_mod(0, of13.OFPMC_DELETE, 0, shot.meter_id)
    else:
        command = of13.OFPMC_MODIFY
        back = build.meter_mod(0, of13.OFPMC_MODIFY, before.flags, shot.meter_id, encode_bands(before.bands))
    ls.carry_out(session, build.meter_mod(0, command, shot.flags, shot.meter_id, shot.bands), now)
    return back


def _undo(ls: LogicalSwitch, session: OperatorSession, back: list[bytes], now: float) -> None:
    for message in back:
        ls.carry_out(session, message, now)


def _settings(ls: LogicalSwitch, session: OperatorSession, snapshot: Snapshot, now: float) -> int:
    """Ports' configuration, names of tables and what becomes of fragments; how many ports that changes."""
    ports = 0
    for number, config in snapshot.ports.items():
        port = ls.ports.get(number)
        if port is not None and port.config != config:
            ports += 1
            ls.carry_out(session, build.port_mod(0, number, port.hw_addr, config, CONFIGURABLE), now)
    ls.table_names = {table: text for table, text in snapshot.table_names.items() if table < ls.spec.tables}
    if ls.frag_flags != snapshot.frag_flags:
        ls.carry_out(session, build.set_config(0, snapshot.frag_flags, session.miss_send_len), now)
    ls.ledger.state()
    return ports


def _entry_back(ls: LogicalSwitch, shot: EntryShot, counts: bool) -> None:
    """An entry has come back: it is told with all its flags, and goes on from what it had counted."""
    entry = _find(ls, shot)
    if entry is None:
        return
    entry.flags = shot.flags  # those too that were an order
    if counts and ls.counters.total(entry.number) == (0, 0):
        ls.counters.add(entry.number, shot.counted)
        # The tables count it still, as of an entry that is gone.
        ls.table_counters.entry_back(shot.table_id, entry.instructions.goto, shot.counted[0])


def _group_back(ls: LogicalSwitch, group: GroupShot) -> None:
    """The same of a group."""
    counters = ls.groups.counters.get(group.group_id)
    if counters is not None and _group_stands(ls, group):
        for name, counted in (("all", group.counted), *enumerate(group.of_buckets)):
            counters.add(name, counted)
        ls.ledger.group_counted(group.group_id, counters)


def _meter_back(ls: LogicalSwitch, meter: MeterShot) -> None:
    """The same of a meter."""
    there = ls.meters.meters.get(meter.meter_id)
    if there is not None:
        for name, counted in (("in", meter.counted), *enumerate(meter.of_bands)):
            there.counters.add(name, counted)
        ls.ledger.meter(meter.meter_id)


# Cloning

def clone_spec(hv: Hypervisor, name: str, spec: CloneSpec) -> LogicalSwitchSpec:
    """The description of a logical switch like another: with its tables and ports, these attached to nothing, and
    without its controllers, who know the first. Raises NotFound."""
    ls = intent.logical_switch(hv, name)
    taken = {each.spec.datapath_id for each in hv.logical_switches.values()}
    free = next(number for number in range(ls.spec.datapath_id + 1, _LAST_DPID) if number not in taken)
    ports = tuple(msgspec.structs.replace(port, attach=None) for port in report.spec_of(ls).ports)
    return msgspec.structs.replace(
        ls.spec, name=spec.name, tenant=spec.tenant or ls.spec.tenant, datapath_id=spec.datapath_id or free,
        controllers=(), listen=(), tls=None, ports=ports)


def clone(hv: Hypervisor, spec: LogicalSwitchSpec, snapshot: Snapshot, done: Done, failed: Failed, now: float) -> None:
    """Make a logical switch and fill it as the snapshot says; its counters begin at zero. Raises ModelError with
    nothing changed."""
    tenants.create_logical_switch(hv, spec, now)
    roll_back(hv, spec.name, snapshot, done, failed, now, counts=False)
