"""One logical switch: its ports, tables, groups and controllers, and what each message does to them (design 1.1).

The owner of all that state. A tenant's request changes a logical table here; what that means for the datapaths is
computed by the compiler and handed to Downward. Answers to questions are in queries, packets in packets.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from math import inf

from hvproxy.compiler.entries import rules_for
from hvproxy.compiler.lowering import Edge, TenantGroup
from hvproxy.compiler.pipeline import tenant_groups
from hvproxy.errors import Refused
from hvproxy.hypervisor import packets, queries
from hvproxy.hypervisor.controller_session import ControllerSession
from hvproxy.hypervisor.counters import Count, Counters, TableCounters
from hvproxy.hypervisor.downward import Downward
from hvproxy.hypervisor.entries import Edit, EditKind, Entry
from hvproxy.hypervisor.farewells import Farewells
from hvproxy.hypervisor.logical_port import LogicalPort
from hvproxy.hypervisor.logical_table import LogicalTables
from hvproxy.hypervisor.roles import Roles
from hvproxy.hypervisor.table_offer import MOST_ENTRIES
from hvproxy.hypervisor.tenant_groups import TenantGroups
from hvproxy.model.intent import LogicalSwitchSpec
from hvproxy.model.layout import PLACE, ContextLayout
from hvproxy.model.rules import Change, Content, all_differences, merged, rule_difference
from hvproxy.model.view import Dpid, LogicalSwitchView, Lport
from hvproxy.openflow import build
from hvproxy.openflow.constants import of13
from hvproxy.openflow.groups import GroupMod
from hvproxy.openflow.messages import decode_flow_mod, decode_group_mod, type_of, xid_of

FOR_MASTERS = frozenset({of13.OFPT_FLOW_MOD, of13.OFPT_GROUP_MOD, of13.OFPT_PORT_MOD, of13.OFPT_TABLE_MOD,
                         of13.OFPT_METER_MOD, of13.OFPT_PACKET_OUT})
"""What a slave may not send (OF 1.3.5 section 6.3.4)."""


@dataclass(eq=False, slots=True)
class Origin:
    """A tenant's message that changed datapaths: where an error of any of them goes, once (trap 45)."""

    logical_switch: LogicalSwitch
    session: ControllerSession
    request: bytes
    edits: list[Edit] = field(default_factory=list)
    group: tuple[GroupMod, TenantGroup | None] | None = None
    refused: bool = False


class LogicalSwitch:
    """A logical switch and everything its tenant can see of it."""

    def __init__(self, tenant: str, spec: LogicalSwitchSpec, ls_id: int, layout: ContextLayout, down: Downward) -> None:
        self.tenant = tenant
        self.spec = spec
        self.ls_id = ls_id
        self.layout = layout
        self.down = down
        self.tables = LogicalTables(spec.tables, MOST_ENTRIES)
        self.groups = TenantGroups(layout.last_lport)
        self.counters = Counters()
        self.table_counters = TableCounters(spec.tables)
        self.farewells = Farewells()
        self.roles = Roles()
        self.ports: dict[int, LogicalPort] = {}
        self.port_at: dict[int, LogicalPort] = {}
        """The same by index in the metadata. Changed by add_port and remove_port only."""
        self._last_index = 0
        self.sessions: dict[int, ControllerSession] = {}
        self.received = [0] * 256
        """Messages from the controllers by type, for the metrics."""
        self.sent = [0] * 256
        self.entries_compiled = 0
        """How many times an entry was compiled for an edge: the cost that tests hold down."""
        self._asking_idle = False
        self._group_contents: dict[int, dict[Dpid, Content]] = {}
        self._edges: dict[Dpid, Edge] = {}
        self._view = LogicalSwitchView(ls_id, ())
        self._requests: dict[int, Callable[[ControllerSession, bytes, float], None]] = {
            of13.OFPT_FLOW_MOD: self._flow_mod,
            of13.OFPT_GROUP_MOD: self._group_mod,
            of13.OFPT_PACKET_OUT: self._packet_out,
            of13.OFPT_BARRIER_REQUEST: self._barrier,
            of13.OFPT_ROLE_REQUEST: self._role,
        }

    def add_port(self, port: LogicalPort) -> None:
        self.ports[port.number] = self.port_at[port.index] = port
        self.counters.watch(PLACE | port.index)
        self._last_index = port.index

    def free_index(self) -> int | None:
        """An index for one more port, as long unused as can be: switches may still speak of one that is gone."""
        last = self.layout.last_lport
        indexes = ((self._last_index + step) % last + 1 for step in range(last))
        return next((index for index in indexes if index not in self.port_at), None)

    def remove_port(self, number: int) -> LogicalPort | None:
        port = self.ports.pop(number, None)
        if port is not None:
            del self.port_at[port.index]
            self.table_counters.port_gone(self.counters.total(PLACE | port.index)[0])
            self.counters.forget(PLACE | port.index)
        return port

    # What it looks like to the compiler

    @property
    def view(self) -> LogicalSwitchView:
        return self._view

    @property
    def edges(self) -> dict[Dpid, Edge]:
        """The edges it is on now, with what the compilation of its entries depends on."""
        return self._edges

    def seen(self) -> LogicalSwitchView:
        """The view as ports and bindings are now."""
        users: dict[tuple[Dpid, int], int] = {}
        for port in self.ports.values():
            if port.vif is not None:
                place = (port.vif.dpid, port.vif.port_no)
                users[place] = users.get(place, 0) + 1
        return LogicalSwitchView(self.ls_id, tuple(
            Lport(p.number, p.index, p.vif,
                  p.vif is not None and (p.vif.vlan is not None or users[p.vif.dpid, p.vif.port_no] > 1))
            for p in sorted(self.ports.values(), key=lambda p: p.number)))

    def look_again(self) -> bool:
        """Take the view anew after ports or bindings have changed; whether the compilation may differ."""
        view = self.seen()
        if view == self._view:
            return False
        self._view = view
        self.groups.widen(lport.index for lport in view.lports if lport.shared)
        self.see_edges()
        return True

    def see_edges(self) -> None:
        groups = dict(self.groups.groups)
        self._edges = {dpid: Edge(self.layout, self._view, dpid, groups) for dpid in self._view.edges}

    def emptied(self, now: float) -> dict[Dpid, Change]:
        """What takes every entry and group of it off the datapaths, when it is deleted."""
        entries = self.edited(self.tables.remove(list(self.tables.entries()), of13.OFPRR_DELETE), now, farewell=False)
        self.groups.remove(list(self.groups.groups))
        groups = self.group_changes(list(self._group_contents))
        return {dpid: merged([c[dpid] for c in (entries, groups) if dpid in c]) for dpid in {*entries, *groups}}

    def recompile_all(self) -> dict[Dpid, Change]:
        """After the view has changed: what carries out every group and entry on the edges as they are now."""
        groups, entries = self.group_changes(list(self.groups.groups)), self.recompile(self.tables.entries())
        return {dpid: merged([c[dpid] for c in (groups, entries) if dpid in c]) for dpid in {*groups, *entries}}

    def recompile(self, entries: Iterable[Entry]) -> dict[Dpid, Change]:
        """What makes the datapaths carry out these entries as they and the view are now."""
        parts: dict[Dpid, list[Change]] = {}
        for entry in entries:
            for dpid, change in self._compiled(entry, present=True).items():
                parts.setdefault(dpid, []).append(change)
        return {dpid: merged(changes) for dpid, changes in parts.items()}

    def _compiled(self, entry: Entry, *, present: bool) -> dict[Dpid, Change]:
        concerned: Iterable[Dpid] = self._concerned(entry) if present else ()
        rules = {}
        if present:
            self.counters.watch(entry.number)
        for dpid in concerned:
            self.entries_compiled += 1
            rules[dpid] = rules_for(entry, self._edges[dpid])
        changes = {}
        for dpid in {*rules, *entry.rules}:
            change = rule_difference(entry.rules.get(dpid, ()), rules.get(dpid, ()))
            if change:
                changes[dpid] = change
        entry.rules = rules
        return changes

    def _concerned(self, entry: Entry) -> Iterable[Dpid]:
        in_port = entry.match.in_port
        if in_port is None or in_port == of13.OFPP_CONTROLLER:
            return self._edges
        port = self.ports.get(in_port)
        return () if port is None or port.vif is None else (port.vif.dpid,)

    # Controllers

    def receive(self, session: ControllerSession, data: bytes, now: float) -> None:
        """Bytes from a controller."""
        session.receive(data, now, lambda message, at: self._take(session, message, at))

    def relieved(self, session: ControllerSession, now: float) -> None:
        """A controller has taken all that was sent to it."""
        session.relieve(now, lambda message, at: self._take(session, message, at))

    def _take(self, session: ControllerSession, message: bytes, now: float) -> None:
        kind = type_of(message)
        self.received[kind] += 1
        try:
            if session.is_slave and kind in FOR_MASTERS:
                raise Refused(of13.OFPET_BAD_REQUEST, of13.OFPBRC_IS_SLAVE, "a slave may not change anything")
            request = self._requests.get(kind)
            if request is not None:
                request(session, message, now)
            else:
                queries.answer(self, session, kind, message, now)
        except Refused as refused:
            session.refuse(message, refused.error_type, refused.code)

    def _flow_mod(self, session: ControllerSession, message: bytes, now: float) -> None:
        mod = decode_flow_mod(message)
        edits = self.tables.flow_mod(mod, now, self.groups.groups)
        self._carry_out(Origin(self, session, message, edits), now)

    def _carry_out(self, origin: Origin, now: float) -> None:
        changes = self.edited(origin.edits, now)
        self._send(changes, now, origin)
        if any(edit.reset_number is not None for edit in origin.edits):
            # Until it is certain that no datapath refuses, the counters may have to be given back.
            self.down.confirm(changes, lambda at: self._reset_confirmed(origin), now)

    def _reset_confirmed(self, origin: Origin) -> None:
        for edit in origin.edits:
            if edit.reset_number is not None and not origin.refused:
                self.retire(edit.entry, edit.reset_number)

    def edited(self, edits: list[Edit], now: float, *, farewell: bool = True) -> dict[Dpid, Change]:
        if len(edits) == 1 and edits[0].kind is not EditKind.REMOVED:
            return self._compiled(edits[0].entry, present=True)
        parts: dict[Dpid, list[Change]] = {}
        for edit in edits:
            removed = edit.kind is EditKind.REMOVED
            if removed and farewell:
                self.farewells.expect(self, edit.entry, edit.reason, now)
            for dpid, change in self._compiled(edit.entry, present=not removed).items():
                parts.setdefault(dpid, []).append(change)
        return {dpid: merged(changes) for dpid, changes in parts.items()}

    def _group_mod(self, session: ControllerSession, message: bytes, now: float) -> None:
        mod = decode_group_mod(message)
        shared = [lport.index for lport in self._view.lports if lport.shared]
        before, deleted = self.groups.apply(mod, shared, now)
        origin = Origin(self, session, message, group=(mod, before))
        if deleted:
            self.delete_groups(deleted, now, origin)
            return
        self.see_edges()
        self.send_groups([mod.group_id], now, origin)

    def delete_groups(self, deleted: list[int], now: float, origin: Origin | None) -> None:
        """Deleting a group deletes the entries that name it, and buckets left naming it drop (OF 1.3.5 6.5)."""
        doomed = [entry for group_id in deleted for entry in self.tables.entries_with_group(group_id)]
        edits = self.tables.remove(list(dict.fromkeys(doomed)), of13.OFPRR_GROUP_DELETE)
        self._send(self.edited(edits, now), now, origin)
        naming = self.groups.remove(deleted)
        self.see_edges()
        self.send_groups([*deleted, *naming], now, origin)

    def group_changes(self, group_ids: Iterable[int]) -> dict[Dpid, Change]:
        """What makes the datapaths hold these groups as they and the view are now."""
        parts: dict[Dpid, list[Change]] = {}
        for group_id in group_ids:
            group = self.groups.groups.get(group_id)
            new: dict[Dpid, Content] = {}
            if group is not None:
                for dpid, edge in self._edges.items():
                    new[dpid] = Content(groups={g.group_id: g for g in tenant_groups(group, edge)})
            for dpid, change in all_differences(self._group_contents.pop(group_id, {}), new).items():
                parts.setdefault(dpid, []).append(change)
            if new:
                self._group_contents[group_id] = new
        return {dpid: merged(changes) for dpid, changes in parts.items()}

    def send_groups(self, group_ids: Iterable[int], now: float, origin: Origin | None) -> None:
        self._send(self.group_changes(group_ids), now, origin)

    def _send(self, changes: Mapping[Dpid, Change], now: float, origin: Origin | None) -> None:
        if origin is not None:
            origin.session.touched.update(changes)
        self.down.change(changes, now, origin)

    def _packet_out(self, session: ControllerSession, message: bytes, now: float) -> None:
        dpid = packets.packet_out(self, Origin(self, session, message), message, now)
        if dpid is not None:
            session.touched.add(dpid)

    def _barrier(self, session: ControllerSession, message: bytes, now: float) -> None:
        touched = set(session.touched)
        session.touched.clear()
        answered = False

        def confirmed(at: float) -> None:
            nonlocal answered
            if self.sessions.get(session.conn) is not session or answered or (
                    blocked and session.overdue is not message):
                return
            answered = True
            session.send(build.barrier_reply(xid_of(message)))
            self.down.barrier_answered(at - now)
            if blocked:
                session.unblock(at, lambda held, later: self._take(session, held, later))

        blocked = False
        self.down.confirm(touched, confirmed, now)
        if not answered:
            blocked = True
            session.block(message, now)

    def _role(self, session: ControllerSession, message: bytes, now: float) -> None:
        self.roles.request(session, self.sessions.values(), message)

    def closed(self, session: ControllerSession) -> None:
        """Its connection is gone."""
        self.sessions.pop(session.conn, None)

    # Counters, packets and ports

    def rule_removed(self, dpid: Dpid, number: int, count: Count) -> None:
        """A datapath removed a rule of ours, and this is what it had counted."""
        self.counters.rule_removed(dpid, number, count)
        self.farewells.counted(self, dpid, number)

    def retire(self, entry: Entry, number: int) -> None:
        """What `entry` counted under `number` is final and told: only the tables still count it."""
        self.table_counters.entry_gone(entry.table_id, entry.instructions.goto, self.counters.total(number)[0])
        self.counters.forget(number)

    def tell_port(self, port: LogicalPort, reason: int) -> None:
        """Send PORT_STATUS to every controller that takes it (slaves too: OF 1.3.5 section 6.3.4)."""
        message = build.port_status(reason, port.desc())
        for session in self.sessions.values():
            if session.wants_port_status:
                session.send(message)

    # Time

    @property
    def deadline(self) -> float:
        """When `tick` has something to do next."""
        expiry = None if self._asking_idle else self.tables.next_expiry()
        times = [self.farewells.deadline, inf if expiry is None else expiry]
        for session in self.sessions.values():
            times += (-inf if session.may_go_on else session.channel.deadline, session.barrier_deadline)
        return min(times)

    def tick(self, now: float) -> None:
        """Expire entries and barriers, send what keeps sessions alive."""
        for session in list(self.sessions.values()):
            session.channel.tick(now)
            session.flush()
            if session.may_go_on:
                self.relieved(session, now)
            if now >= session.barrier_deadline:
                overdue = session.overdue
                assert overdue is not None
                session.refuse(overdue, of13.OFPET_BAD_REQUEST, of13.OFPBRC_EPERM)
                session.unblock(now, lambda held, at, s=session: self._take(s, held, at))  # type: ignore[misc]
        self.farewells.tick(self, now)
        expired = self.tables.expired(now)
        self._expire([(entry, why) for entry, why in expired if why != of13.OFPRR_IDLE_TIMEOUT], now)
        idle = [entry for entry, why in expired if why == of13.OFPRR_IDLE_TIMEOUT]
        if idle and not self._asking_idle:
            # Nobody says they are idle but the last poll: ask once more before they go (trap 4).
            self._asking_idle = True
            self.read_counters(self._idle_counted, now, {dpid for entry in idle for dpid in entry.rules})

    def _idle_counted(self, now: float) -> None:
        self._asking_idle = False
        self._expire(self.tables.expired(now), now)

    def _expire(self, expired: list[tuple[Entry, int]], now: float) -> None:
        for reason in {why for _, why in expired}:
            edits = self.tables.remove([entry for entry, why in expired if why == reason], reason)
            self.down.change(self.edited(edits, now), now)

    def poll_idle(self, now: float) -> None:
        """Ask the edges what entries with an idle timeout have counted: traffic anywhere keeps them (trap 4)."""
        idle = list(self.tables.idle_entries())
        if idle:
            self.read_counters(lambda at: None, now, {dpid for entry in idle for dpid in entry.rules})

    def read_counters(self, done: Callable[[float], None], now: float, dpids: Iterable[Dpid] | None = None) -> None:
        """Bring every entry's counters up to date, then call `done`."""
        def counted(reports: Mapping[Dpid, Mapping[int, Count]], at: float) -> None:
            for dpid, counts in reports.items():
                for number in self.counters.reported(dpid, counts):
                    if number < PLACE:
                        entry = self.tables.by_number(number)
                        if entry is not None:
                            entry.used = at
            done(at)

        self.down.entry_counts(self.ls_id, self._edges if dpids is None else dpids, counted, now)
