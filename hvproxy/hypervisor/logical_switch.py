"""One logical switch: its ports, tables, groups, meters and controllers, and what can be done to them (design 1.1).

The owner of all that state. What a tenant's message means is for tenant_requests to say, which has a logical table
changed here; what that means for the datapaths is computed by compiled_switch and handed to Downward.
"""
from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from functools import partial

from hvproxy.compiler.lowering import TenantGroup
from hvproxy.compiler.learning import UNKNOWN
from hvproxy.compiler.members import written_behind
from hvproxy.compiler.normal import TAGGED_SOURCE
from hvproxy.errors import Refused
from hvproxy.hypervisor import aging, learning, metering, packets, tenant_requests, zones
from hvproxy.hypervisor.buffers import Buffers
from hvproxy.hypervisor.bundles import Bundles
from hvproxy.hypervisor.compiled_switch import CompiledSwitch, joined
from hvproxy.hypervisor.controller_session import ControllerSession
from hvproxy.hypervisor.counters import Count
from hvproxy.hypervisor.downward import Downward
from hvproxy.hypervisor.entries import Edit, EditKind, Entry
from hvproxy.hypervisor.farewells import METER_DELETE, Farewells
from hvproxy.hypervisor.flow_monitors import FlowMonitors
from hvproxy.hypervisor.lacking import UNTOLD, Below
from hvproxy.hypervisor.ledger import Ledger
from hvproxy.hypervisor.origin import Origin
from hvproxy.hypervisor.resets import Reset
from hvproxy.hypervisor.roles import Roles
from hvproxy.hypervisor.tenant_meters import Replaced
from hvproxy.model.intent import LogicalSwitchSpec
from hvproxy.model.layout import ASIDE, HIDDEN, HOLDING_TABLES, PLACE, ContextLayout, Table, read_cookie
from hvproxy.model.rules import Change, merged
from hvproxy.model.view import Dpid
from hvproxy.openflow import actions, build, instructions
from hvproxy.openflow.abilities import Ability, SwitchTables
from hvproxy.openflow.constants import of13
from hvproxy.openflow.groups import GroupMod, action_lists
from hvproxy.openflow.messages import FlowMod, PacketIn, decode_flow_mod
from hvproxy.openflow.meters import MeterMod
from hvproxy.openflow.oxm_fields import VLAN_ID
from hvproxy.openflow.ports import PortDesc

_TAGGED_HEADER = 16
"""Bytes of a frame up to and with a VLAN tag."""

LOCAL_BYTES = of13.OFPP_LOCAL.to_bytes(4, "big")


class LogicalSwitch(CompiledSwitch):
    """A logical switch and everything its tenant can see of it."""

    def __init__(self, tenant: str, spec: LogicalSwitchSpec, ls_id: int, layout: ContextLayout, down: Downward) -> None:
        super().__init__(spec, ls_id, layout)
        self.tenant = tenant
        self.down = down
        self.farewells = Farewells()
        self.resetting: dict[int, Reset] = {}
        """By the numbers that stood for the counters. The tables count what was counted under these numbers too."""
        self.roles = Roles()
        self.monitors = FlowMonitors()
        self.pupil = learning.Pupil()
        self.buffers = Buffers(spec.buffers)
        self.bundles = Bundles(spec.tables, self.buffers)
        self.sessions: dict[int, ControllerSession] = {}
        self.received = [0] * 256
        """Messages from the controllers by type, for the metrics."""
        self.sent = [0] * 256
        self.dropped_packets = 0
        """Packets that were not sent to a controller because it did not take what was sent before."""
        self.table_names: dict[int, str] = {}
        """As tenants have named the tables, with TABLE_FEATURES."""
        self.asking_idle = False
        self.expiry_waits = False
        """Nothing expires: after a restart, what entries have counted meanwhile is not known yet."""
        self.measuring = False
        """The demand for its meters is being asked for."""
        self.ledger = Ledger(self, down.journal, down.wall)

    @property
    def below(self) -> Below:
        """What groups and packet-outs find on the switches it is on."""
        return Below(self.extended, self.down.group_features(self._edges), self._told_tables)

    @property
    def _told_tables(self) -> list[SwitchTables]:
        return [tables for tables in self.down.switch_tables(self._edges) if tables is not UNTOLD]

    def abilities(self, table_id: int, *, told: bool = False) -> set[Ability]:
        """What the tables below that carry a logical table can do; `told`: leaving out switches that do not say."""
        last = HOLDING_TABLES - 1
        switches = self._told_tables if told else self.down.switch_tables(self._edges)
        found = {tables.of(Table.LOGICAL + min(table_id, last)) for tables in switches}
        if table_id < last:
            return found
        # The tables behind hold nothing: nobody has to go there.
        return {replace(each, instructions=each.instructions | {of13.OFPIT_GOTO_TABLE}) for each in found}

    def emptied(self, now: float) -> dict[Dpid, Change]:
        """What takes every entry, group and meter of it off the datapaths, when it is deleted."""
        self._forget_meters(list(self.meters.meters))
        entries = self.edited(self.tables.remove(list(self.tables.entries()), of13.OFPRR_DELETE), now, farewell=False)
        self.groups.remove(list(self.groups.groups))
        groups = self.group_changes(list(self._group_contents))
        alive = self.alive_changes(list(self._alive_contents))
        meters = self.meter_changes(list(self._meter_contents))
        hidden = self.hidden_changes((), self.hosts.emptied() + self.aside.emptied())
        return joined(entries, groups, alive, meters, hidden)

    # Controllers

    def receive(self, session: ControllerSession, data: bytes, now: float) -> None:
        """Bytes from a controller."""
        session.receive(data, now, partial(tenant_requests.take, self, session))

    def relieved(self, session: ControllerSession, now: float) -> None:
        """A controller has taken all that was sent to it."""
        session.relieve(now, partial(tenant_requests.take, self, session))
        self.monitors.resume(session)

    def unblock(self, session: ControllerSession, now: float) -> None:
        """Its barrier is answered: what waited behind it goes on."""
        session.unblock(now, partial(tenant_requests.take, self, session))

    def carry_out(self, session: ControllerSession, message: bytes, now: float) -> None:
        """Any message that changes something, whoever brings it. Raises Refused."""
        tenant_requests.carry_out(self, session, message, now)

    def closed(self, session: ControllerSession) -> None:
        """Its connection is gone."""
        self.sessions.pop(session.conn, None)
        self.monitors.closed(session)
        self.bundles.closed(session)

    # Entries, groups and meters

    def change_entries(self, mod: FlowMod, now: float) -> list[Edit]:
        """What a flow-mod does to the logical tables, and nothing else. Raises Refused."""
        if not self.has_local and LOCAL_BYTES in mod.instructions:
            self.need_local(_actions_in(mod.instructions))
        named = zones.wanted(self, mod, _actions_in(mod.instructions)) if zones.may_name(mod) else ()
        edits = self.tables.flow_mod(mod, now, self.groups.groups, self.meters.meters, extended=self.extended,
                                     below=self.abilities(mod.table_id, told=True), buffers=self.buffers)
        zones.have(self, named, now)
        return edits

    def change_groups(self, mod: GroupMod, now: float) -> tuple[TenantGroup | None, list[int]]:
        """What a group-mod does to the logical groups, as TenantGroups.apply. Raises Refused."""
        if not self.has_local and LOCAL_BYTES in mod.buckets:
            self.need_local(b"".join(action_lists(mod.buckets)))
        shared = [lport.index for lport in self._view.apart]
        return self.groups.apply(mod, shared, now, self.below)

    def prepare_entries(self, edits: Iterable[Edit], now: float) -> None:
        """Have the datapaths ready for what entries do now."""
        for edit in edits:
            self.prepare(edit.entry.instructions.apply, now)
            self.prepare(edit.entry.instructions.write, now)
            if not self.aside.writing and written_behind(edit.entry.instructions):
                self.send(self.hidden_changes(*self.aside.write(self.ports)), now, None)

    def edited(self, edits: list[Edit], now: float, *, farewell: bool = True) -> dict[Dpid, Change]:
        if len(edits) == 1 and edits[0].kind is not EditKind.REMOVED and not edits[0].meters:
            return self.compiled(edits[0].entry, present=True)
        parts: dict[Dpid, list[Change]] = {}
        for edit in edits:
            removed = edit.kind is EditKind.REMOVED
            if removed and farewell:
                self.farewells.expect(self, edit.entry, edit.reason, now)
            for dpid, change in self.compiled(edit.entry, present=not removed).items():
                parts.setdefault(dpid, []).append(change)
        # Where packets that a meter counts can enter may have changed, and its shares with it.
        metered = self.shares_changed({meter for edit in edits for meter in edit.meters}, now)
        return joined({dpid: merged(changes) for dpid, changes in parts.items()}, metered)

    def shares_changed(self, meter_ids: Collection[int], now: float) -> dict[Dpid, Change]:
        """What the edges must hold of these meters now, which count anew where that is something else."""
        meters = [meter for meter_id in meter_ids if (meter := self.meters.meters.get(meter_id)) is not None]
        return metering.asking(self, meters, lambda: self.meter_changes(meter_ids), now)

    def delete_groups(self, deleted: list[int], now: float, origin: Origin | None) -> None:
        """Deleting a group deletes the entries that name it, and buckets left naming it drop (OF 1.3.5 6.5)."""
        doomed = [entry for group_id in deleted for entry in self.tables.entries_with_group(group_id)]
        edits = self.tables.remove(list(dict.fromkeys(doomed)), of13.OFPRR_GROUP_DELETE)
        self.monitors.report(edits)
        self.send(self.edited(edits, now), now, origin)
        naming = self.groups.remove(deleted)
        self.see_edges()
        self.send_groups([*deleted, *naming], now, origin)

    def send_groups(self, group_ids: Iterable[int], now: float, origin: Origin | None) -> None:
        self.send(joined(self.watch_changes(), self.group_changes(group_ids)), now, origin)

    def change_meters(self, mod: MeterMod, now: float) -> tuple[Replaced | None, list[int]]:
        """What a meter-mod does to the logical meters, as TenantMeters.apply. Raises Refused."""
        return self.meters.apply(mod, self.down.meter_features(self._edges), self.down.meter_ids.allot, now)

    def delete_meters(self, deleted: list[int], now: float, origin: Origin | None) -> None:
        """Deleting a meter deletes the entries that use it (OF 1.3.5 section 6.4)."""
        doomed = [entry for meter_id in deleted for entry in self.tables.entries_with_meter(meter_id)]
        edits = self.tables.remove(doomed, METER_DELETE)
        self.monitors.report(edits)
        self._forget_meters(deleted)
        self.send(joined(self.edited(edits, now), self.meter_changes(deleted)), now, origin)
        self.see_edges()

    def _forget_meters(self, meter_ids: list[int]) -> None:
        for place in self.meters.remove(meter_ids):
            self.down.meter_ids.release(place)

    def send_meters(self, meter_ids: Collection[int], now: float, origin: Origin | None) -> None:
        self.send(self.shares_changed(meter_ids, now), now, origin)
        if self.wired and len(self.meters.meters) == 1:
            self.down.configured(self, [], now)  # those that it is wired to must know of the first one

    def send(self, changes: Mapping[Dpid, Change], now: float, origin: Origin | None) -> None:
        if origin is not None:
            origin.session.touched.update(changes)
        self.down.change(changes, now, origin)

    @property
    def has_local(self) -> bool:
        """Whether the operator has given it a local port."""
        return of13.OFPP_LOCAL in self.ports

    def need_local(self, data: bytes) -> None:
        """Raises Refused when actions send to a local port that there is none."""
        if not self.has_local and of13.OFPP_LOCAL in actions.outputs(data):
            raise Refused(of13.OFPET_BAD_ACTION, of13.OFPBAC_BAD_OUT_PORT, "the logical switch has no local port")

    def release(self, session: ControllerSession, message: bytes, now: float) -> None:
        """Have a packet go through the tables that a flow-mod names, after what that does. Raises Refused."""
        dpid = packets.release(self, Origin(self, session, message), decode_flow_mod(message).buffer_id, now)
        if dpid is not None:
            session.touched.add(dpid)

    # What datapaths do besides

    def prepare(self, data: bytes, now: float) -> None:
        """Have the datapaths ready for a list of actions that is about to be there."""
        if of13.OFPP_NORMAL in actions.outputs(data) and not self.hosts.in_use:
            self.send(self.hidden_changes(self.hosts.begin(), ()), now, None)
            self.ledger.state()
        if actions.learns(data) and not self.aside.learning:
            self.send(self.hidden_changes(self.aside.learn(), ()), now, None)
        if actions.choices(data) and not self.aside.choosing:
            self.send(self.hidden_changes(*self.aside.choose(self.ports)), now, None)
        tracks = not self.tracking.in_use and actions.tracks(data)
        if tracks or not self.resubmits and actions.resubmits(data):
            self.tracking.in_use |= tracks
            self.resubmits |= actions.resubmits(data)
            self.ledger.state()
            if tracks:
                self.aside.track()
                self.down.configured(self, [], now)
            elif self.look_again():
                self.send(self.recompile_all(), now, None)

    def heard(self, arrived: PacketIn, number: int, now: float) -> None:
        """A datapath has switched a frame of a source it does not know, or one that an action learn may learn from."""
        if number == UNKNOWN:
            learning.heard(self, arrived, now)
            return
        port = self.port_at.get(self.layout.read(arrived.metadata)[1])
        if port is None or len(arrived.data) < _TAGGED_HEADER:
            return
        address = int.from_bytes(arrived.data[6:12], "big")
        vlan = int.from_bytes(arrived.data[14:16], "big") & VLAN_ID if number == TAGGED_SOURCE else 0
        put, gone = self.hosts.heard(port.number, address, vlan, now)
        self.send(self.hidden_changes(put, gone), now, None)

    # Counters, packets and ports

    def rule_removed(self, dpid: Dpid, number: int, count: Count, now: float) -> None:
        """A datapath removed a rule of ours, and this is what it had counted."""
        self.counters.rule_removed(dpid, number, count)
        reset = self.resetting.get(number)
        if reset is not None:
            reset.awaited -= 1
        self.farewells.counted(self, number, now)

    def retire(self, entry: Entry, number: int) -> None:
        """What `entry` counted under `number` is final and told: only the tables still count it."""
        self.table_counters.entry_gone(entry.table_id, entry.instructions.goto, self.counters.total(number)[0])
        self.counters.forget(number)

    def tell_port(self, desc: PortDesc, reason: int, configured_by: Collection[int] = ()) -> None:
        """Send PORT_STATUS to every controller that takes it (slaves too by default: OF 1.3.5 section 6.3.5), but not
        to the only one that has asked for what it tells, as Open vSwitch does over OpenFlow 1.3."""
        message = build.port_status(reason, desc)
        for session in self.sessions.values():
            if session.wants_port_status(reason) and configured_by != {session.conn}:
                session.send(message)

    # Time

    @property
    def deadline(self) -> float:
        """When `tick` has something to do next."""
        return aging.deadline(self)

    def tick(self, now: float) -> None:
        """Expire entries and barriers, send what keeps sessions alive."""
        aging.tick(self, now)

    def read_counters(self, done: Callable[[float], None], now: float, dpids: Iterable[Dpid] | None = None) -> None:
        """Bring every entry's counters up to date, then call `done`."""
        def heard(dpid: Dpid, counts: Mapping[int, Count], at: float) -> None:
            leaving = {owner[1] for each in self.down.leaving(dpid)
                       if (owner := read_cookie(each)) is not None and owner[0] == self.ls_id}
            for number in self.counters.reported(dpid, counts, leaving, at):
                if number & ASIDE == ASIDE:
                    self.tables.learnt_again(self.aside.learnt_again(number), at)
                elif number & HIDDEN == HIDDEN:
                    self.hosts.alive(number, at)
                elif number < PLACE:
                    entry = self.tables.by_number(number)
                    if entry is not None:
                        entry.used = at

        asked = {*self._edges, *(each.dpid for each in self.retiring)} if dpids is None else dpids
        self.down.entry_counts(self.ls_id, asked, heard, done, now)


def _actions_in(data: bytes) -> bytes:
    """All actions of instructions; none of what no entry could have, which is refused for that."""
    try:
        read = instructions.decode(data)
    except Refused:
        return b""
    return read.apply + read.write
