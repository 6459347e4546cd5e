"""The flow monitors of a logical switch's controllers: each is told what happens to the entries it watches.

Open vSwitch 3.1's behaviour over OpenFlow 1.3. Told is what the logical tables say, at once; where a datapath refuses
a change later and it is undone, that is told as well. A controller that does not take its updates gets no more
additions and modifications until it does, then those that still hold; removals are told all the same.
"""
from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from hvproxy.errors import Refused
from hvproxy.hypervisor.controller_session import ControllerSession
from hvproxy.hypervisor.entries import Edit, EditKind, Entry, Snapshot
from hvproxy.hypervisor.flow_mods import ALL_TABLES, ANY_PORT, check_out_port
from hvproxy.openflow import actions, flow_monitor
from hvproxy.openflow.constants import NICIRA_ID, of13
from hvproxy.openflow.experimenters import NiciraError
from hvproxy.openflow.flow_monitor import Event, Flag, MonitorRequest, Update
from hvproxy.openflow.instructions import Instructions, build
from hvproxy.openflow.messages import xid_of
from hvproxy.openflow.multipart import Multipart
from hvproxy.openflow.oxm import Match, ofp_match

if TYPE_CHECKING:
    from hvproxy.hypervisor.logical_table import LogicalTables

_CHANGES: Final = {Event.ADDED: Flag.ADD, Event.DELETED: Flag.DELETE, Event.MODIFIED: Flag.MODIFY}
_ALL_FLAGS: Final = int(Flag.INITIAL | Flag.ADD | Flag.DELETE | Flag.MODIFY | Flag.ACTIONS | Flag.OWN)


@dataclass(frozen=True, slots=True)
class Monitor:
    """One monitor of one connection."""

    flags: int
    out_port: int
    table_id: int
    match: Match

    def watches(self, entry: Entry, before: Snapshot | None) -> bool:
        """`before` is what a modification has changed: it is told where either of both outputs to the port."""
        return (self.table_id in (ALL_TABLES, entry.table_id)
                and (self.out_port == ANY_PORT or self.out_port in entry.output_ports
                     or before is not None and _outputs(before.instructions, self.out_port))
                and self.match.covers(entry.match))


class _Watcher:
    """A connection with monitors."""

    def __init__(self, session: ControllerSession) -> None:
        self.session = session
        self.monitors: dict[int, Monitor] = {}
        self.held: dict[Entry, tuple[Event, bool]] | None = None
        """While it is paused: what to tell of an entry then, and whether it was known before."""

    def wanted(self, entry: Entry, event: Event, before: Snapshot | None = None) -> int:
        """The flags of the monitors that want that event of the entry, together; 0 if none does."""
        flags = 0
        for monitor in self.monitors.values():
            if monitor.flags & _CHANGES[event] and monitor.watches(entry, before):
                flags |= monitor.flags
        return flags


class FlowMonitors:
    """All monitors of one logical switch."""

    def __init__(self) -> None:
        self._watchers: dict[int, _Watcher] = {}

    def request(self, tables: LogicalTables, session: ControllerSession, request: Multipart) -> None:
        """Begin the monitors asked for, all or none, and answer with what there is already. Raises Refused."""
        watcher = self._watchers.get(session.conn) or _Watcher(session)
        begun: dict[int, Monitor] = {}
        for asked in flow_monitor.decode_requests(request.body):
            if asked.monitor_id in watcher.monitors or asked.monitor_id in begun:
                raise _refused(NiciraError.MONITOR_EXISTS, f"monitor {asked.monitor_id} exists")
            begun[asked.monitor_id] = _monitor(asked)
        if begun:
            watcher.monitors.update(begun)
            self._watchers[session.conn] = watcher
        found: dict[Entry, int] = {}
        for monitor in begun.values():
            if monitor.flags & Flag.INITIAL and (
                    monitor.table_id == ALL_TABLES or monitor.table_id < tables.n_tables):
                for entry in tables.select(monitor.table_id, monitor.match, out_port=monitor.out_port):
                    found[entry] = found.get(entry, 0) | monitor.flags
        session.answer(flow_monitor.replies(request.xid, [
            _update(entry, Event.ADDED, flags).encode() for entry, flags in found.items()]))

    def cancel(self, session: ControllerSession, monitor_id: int) -> None:
        """End a monitor. Raises Refused where there is none."""
        watcher = self._watchers.get(session.conn)
        if watcher is None or watcher.monitors.pop(monitor_id, None) is None:
            raise _refused(NiciraError.UNKNOWN_MONITOR, f"no monitor {monitor_id}")
        if not watcher.monitors:
            del self._watchers[session.conn]

    def closed(self, session: ControllerSession) -> None:
        """Its connection is gone, and its monitors with it."""
        self._watchers.pop(session.conn, None)

    def report(self, edits: Iterable[Edit], session: ControllerSession | None = None, request: bytes = b"") -> None:
        """Tell every watcher what has happened; `session` is who asked for it, by `request`."""
        if not self._watchers:
            return
        events = [(edit, event) for edit in edits if (event := _event(edit)) is not None]
        for watcher in self._watchers.values():
            updates: dict[bytes, None] = {}
            for edit, event in events:
                flags = watcher.wanted(edit.entry, event, edit.before)
                if flags and not self._hold(watcher, edit, event):
                    own = watcher.session is session and not flags & Flag.OWN
                    updates[flow_monitor.abbreviated(xid_of(request)) if own else _update(
                        edit.entry, event, flags, edit.reason).encode()] = None
            if updates:
                self._send(watcher, updates)

    def resume(self, session: ControllerSession) -> None:
        """A connection takes what is sent to it again."""
        watcher = self._watchers.get(session.conn)
        if watcher is None or watcher.held is None:
            return
        held, watcher.held = watcher.held, None
        updates = [_update(entry, event, flags).encode() for entry, (event, _) in held.items()
                   if (flags := watcher.wanted(entry, event))]
        if updates:
            self._send(watcher, updates)
        session.send(flow_monitor.resumed())

    @staticmethod
    def _hold(watcher: _Watcher, edit: Edit, event: Event) -> bool:
        """Whether it is kept for later, or never told, because the watcher does not take its updates."""
        if watcher.held is None:
            if not watcher.session.congested:
                return False
            watcher.held = {}
            watcher.session.send(flow_monitor.paused())
        kept = watcher.held.pop(edit.entry, None)
        known = edit.kind is not EditKind.ADDED if kept is None else kept[1]
        if event is Event.DELETED:
            return not known
        watcher.held[edit.entry] = (Event.ADDED if kept is not None and kept[0] is Event.ADDED else event, known)
        return True

    @staticmethod
    def _send(watcher: _Watcher, updates: Iterable[bytes]) -> None:
        for message in flow_monitor.replies(0, updates):
            watcher.session.send(message)


def _monitor(asked: MonitorRequest) -> Monitor:
    if any(asked.must_be_zero):
        raise _refused(NiciraError.MUST_BE_ZERO, "padding is not zero")
    if asked.flags & ~_ALL_FLAGS or not asked.flags & (Flag.ADD | Flag.DELETE | Flag.MODIFY):
        raise _refused(NiciraError.BAD_MONITOR_FLAGS, f"monitor flags {asked.flags:#x}")
    check_out_port(asked.out_port)
    return Monitor(asked.flags, asked.out_port, asked.table_id, Match.parse(asked.match))


def _refused(code: NiciraError, why: str) -> Refused:
    return Refused(of13.OFPET_EXPERIMENTER, code, why, NICIRA_ID)


def _event(edit: Edit) -> Event | None:
    """What an edit is to a watcher; None where nothing has changed."""
    if edit.kind is EditKind.REMOVED:
        return Event.DELETED
    if edit.kind is EditKind.MODIFIED:
        changed = edit.before is None or edit.after is None or edit.before.instructions != edit.after.instructions
        return Event.MODIFIED if changed else None
    return Event.ADDED


def _update(entry: Entry, event: Event, flags: int, reason: int | None = None) -> Update:
    told = 0 if event is not Event.DELETED else of13.OFPRR_DELETE if reason is None else reason
    return Update(event, told, entry.priority, entry.idle_timeout, entry.hard_timeout, entry.table_id, entry.cookie,
                  ofp_match(entry.match.tlvs), 4 + len(entry.match.tlvs),
                  build(entry.instructions) if flags & Flag.ACTIONS else b"")


def _outputs(instructions: Instructions, port: int) -> bool:
    return any(port in actions.outputs(data) for data in (instructions.apply, instructions.write) if data)
