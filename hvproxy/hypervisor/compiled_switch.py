"""A logical switch as datapaths are to hold it: its ports, tables, groups and meters, compiled for its edges.

The half of a logical switch that faces downward, which logical_switch completes with what faces the tenant. What it
says is a function of the logical state and the view; nothing is sent from here, and no controller is known.
"""
from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from hvproxy.compiler.buckets import alive_group, tenant_groups
from hvproxy.compiler.entries import rules_for
from hvproxy.compiler.lowering import Edge
from hvproxy.compiler.meters import meter_on
from hvproxy.compiler.normal import HiddenEntry
from hvproxy.hypervisor.aside import Aside
from hvproxy.hypervisor.counters import Counters, TableCounters
from hvproxy.hypervisor.entries import Entry
from hvproxy.hypervisor.logical_port import LogicalPort
from hvproxy.hypervisor.logical_table import LogicalTables
from hvproxy.hypervisor.mac_table import MacTable
from hvproxy.hypervisor.retiring import Retiring, number_of
from hvproxy.hypervisor.tenant_groups import TenantGroups
from hvproxy.hypervisor.tenant_meters import TenantMeters
from hvproxy.hypervisor.tracking import Tracking
from hvproxy.model.intent import LogicalSwitchSpec
from hvproxy.model.layout import FRAGMENT, HOLDING_TABLES, PLACE, ContextLayout
from hvproxy.model.rules import Change, Content, all_differences, merged, rule_difference
from hvproxy.model.view import Dpid, LogicalSwitchView, Lport, Peer
from hvproxy.openflow.constants import of13


class CompiledSwitch:
    """The logical state of a logical switch, and what of it the datapaths have been told."""

    def __init__(self, spec: LogicalSwitchSpec, ls_id: int, layout: ContextLayout) -> None:
        self.spec = spec
        self.ls_id = ls_id
        self.layout = layout
        self.tables = LogicalTables(spec.tables, spec.most_entries, holding=HOLDING_TABLES)
        self.groups = TenantGroups(layout.last_lport)
        self.meters = TenantMeters()
        self.hosts = MacTable()
        """What output to NORMAL knows."""
        self.aside = Aside()
        """What bundles choose among, and what actions learn have taught."""
        self.tracking = Tracking()
        self.counters = Counters()
        self.counters.watch(FRAGMENT)
        self.table_counters = TableCounters(spec.tables)
        self.retiring = Retiring()
        self.frag_flags: int = of13.OFPC_FRAG_NORMAL
        self.resubmits = False
        """Some action of the tenant's has looked up a table on its way."""
        self.ports: dict[int, LogicalPort] = {}
        self.port_at: dict[int, LogicalPort] = {}
        """The same by index in the metadata. Changed by add_port and remove_port only."""
        self.entries_compiled = 0
        """How many times an entry was compiled for an edge: the cost that tests hold down."""
        self.reshaped = False
        """When the view changed last, entries and tenants' groups may have become others too."""
        self.plain: frozenset[Dpid] = frozenset()
        """Datapaths that are known not to be Open vSwitch."""
        self.destinations: Mapping[Dpid, int] = {}
        """What names the edges it is on in uplink groups."""
        self.less_broadcast = spec.less_broadcast
        self.turned: frozenset[Dpid] = frozenset()
        """Edges whose floods come under the second of their two labels (moves)."""
        self.claimed: Mapping[int, frozenset[int]] = {}
        """By number of ports that have a whole physical port: the VLANs of it that are other VIFs (sharing)."""
        self.wired: frozenset[Dpid] = frozenset()
        """The edges of the logical switches it is wired to (wiring)."""
        self.last_index = 0
        """The index of the port that was added last."""
        self._hidden_gone: list[HiddenEntry] = []
        """Hidden entries of ports that are no more, which the next recompilation takes off the datapaths."""
        self._group_contents: dict[int, dict[Dpid, Content]] = {}
        self._alive_contents: dict[int, dict[Dpid, Content]] = {}
        """The groups that tell whether a port is alive, by its number."""
        self._meter_contents: dict[int, dict[Dpid, Content]] = {}
        self._edges: dict[Dpid, Edge] = {}
        self._view = LogicalSwitchView(ls_id, ())

    def add_port(self, port: LogicalPort) -> None:
        self.ports[port.number] = self.port_at[port.index] = port
        self.counters.watch(PLACE | port.index)
        self.counters.watch(FRAGMENT | port.index)
        self.last_index = port.index

    def free_index(self) -> int | None:
        """An index for one more port, as long unused as can be: switches may still speak of one that is gone."""
        last = self.layout.last_lport
        indexes = ((self.last_index + step) % last + 1 for step in range(last))
        return next((index for index in indexes if index not in self.port_at), None)

    def remove_port(self, number: int) -> LogicalPort | None:
        port = self.ports.pop(number, None)
        if port is not None:
            del self.port_at[port.index]
            self._hidden_gone += self.hosts.port_gone(number)
            self.table_counters.port_gone(self.counters.total(PLACE | port.index)[0])
            self.table_counters.entry_gone(0, None, self.counters.total(FRAGMENT | port.index)[0])
            self.counters.forget(PLACE | port.index)
            self.counters.forget(FRAGMENT | port.index)
        return port

    @property
    def view(self) -> LogicalSwitchView:
        return self._view

    @property
    def edges(self) -> dict[Dpid, Edge]:
        """The edges it is on now, with what the compilation of its entries depends on."""
        return self._edges

    @property
    def tables_held(self) -> int:
        """How many of its tables hold entries: so many its edges must have."""
        return min(self.spec.tables, self.tables.holding)

    @property
    def sharing(self) -> frozenset[int]:
        """The numbers of the ports that are bound to a part of a physical port: to a VLAN of it, or beside another."""
        return frozenset(port.number for port in self.ports.values() if port.number in self.claimed
                         or port.vif is not None and port.vif.vlan is not None)

    def seen(self) -> LogicalSwitchView:
        """The view as ports, their configuration and bindings are now."""
        sharing = self.sharing
        lports = []
        for port in sorted(self.ports.values(), key=lambda p: p.number):
            vif, config = port.vif, port.config
            down, forwards = bool(config & of13.OFPPC_PORT_DOWN), not config & of13.OFPPC_NO_FWD
            shared = (port.number in sharing or vif is not None and not forwards and not down
                      or port.crosses or port.wire is not None)
            peer = None if port.wire is None else Peer(
                port.wire.ls.ls_id, port.wire.port.index, bool(port.wire.port.config & of13.OFPPC_PORT_DOWN),
                bool(port.wire.ls.meters.meters) or port.wire.ls.tracking.in_use)
            lports.append(Lport(port.number, port.index, vif, shared, down=down, forwards=forwards,
                                receives=not config & of13.OFPPC_NO_RECV, former=port.former, turned=port.turned,
                                claimed=self.claimed.get(port.number, frozenset()), peer=peer,
                                macs=port.macs if self.less_broadcast else frozenset(),
                                addresses=port.addresses if self.less_broadcast else frozenset()))
        plain = self.plain & {*self.wired, *(vif.dpid for lport in lports for vif in lport.vifs)}
        return LogicalSwitchView(self.ls_id, tuple(lports), plain, self._live, self.destinations,
                                 self.resubmits, self.frag_flags == of13.OFPC_FRAG_DROP, self.turned, self.wired,
                                 self.tracking.home, self.tracking.resumes)

    @property
    def _live(self) -> frozenset[int]:
        return frozenset(port.index for port in self.ports.values() if port.up)

    @property
    def extended(self) -> bool:
        """No switch it is on is known to lack Open vSwitch's extensions."""
        return self._view.extended

    def look_again(self) -> bool:
        """Take the view anew after ports or bindings have changed; whether the compilation may differ."""
        view = self.seen()
        if view == self._view:
            return False
        self.reshaped = view.shape != self._view.shape
        self._view = view
        self.groups.widen(lport.index for lport in view.apart)
        self.see_edges()
        return True

    def see_edges(self) -> None:
        groups, meters = self.groups.held, self.meters.places
        zones = self.tracking.zones
        self._edges = {dpid: Edge(self.layout, self._view, dpid, groups, meters, zones) for dpid in self._view.edges}

    def recompile_all(self) -> dict[Dpid, Change]:
        """After the view has changed: what carries out all meters, groups and entries on the edges as they are now."""
        gone, self._hidden_gone = self._hidden_gone, []
        gone += self.aside.follow(self.ports)
        # Before a tenant's entry looks in a hidden table what it finds must be there.
        return joined(self.meter_changes(list(self.meters.meters)),
                      self.alive_changes({*self._alive_contents, *self.groups.watched}),
                      self.group_changes(list(self.groups.held)),
                      self.hidden_changes((*self.hosts.entries(), *self.aside.entries()), gone),
                      self.recompile(self.tables.entries()))

    def see_liveness(self) -> dict[Dpid, Change]:
        """Take anew which ports are up; what makes the datapaths hold that. Entries that choose among ports depend on
        it, and no other."""
        live = self._live
        changed = live ^ self._view.live
        if not changed:
            return {}
        self._view = replace(self._view, live=live)
        self._edges = {dpid: replace(edge, logical_switch=self._view) for dpid, edge in self._edges.items()}
        numbers = [lport.number for lport in self._view.lports if lport.index in changed]
        watching = [group.group_id for group in self.groups.groups.values()
                    if group.watches_both and not group.watched_ports.isdisjoint(numbers)]
        choosing = self.tables.entries_choosing(numbers)
        return joined(self.alive_changes(numbers), self.group_changes(watching), self.recompile(choosing))

    def hidden_changes(self, put: Iterable[HiddenEntry], gone: Iterable[HiddenEntry]) -> dict[Dpid, Change]:
        """What makes the datapaths carry out some hidden entries, and others no more."""
        parts = []
        for entry in gone:
            self.counters.forget(entry.number)
            parts.append(self.compiled(entry, present=False))
        return joined(*parts, self.recompile(put))

    def recompile(self, entries: Iterable[Entry | HiddenEntry]) -> dict[Dpid, Change]:
        """What makes the datapaths carry out these entries as they and the view are now."""
        return joined(*(self.compiled(entry, present=True) for entry in entries))

    def compiled(self, entry: Entry | HiddenEntry, *, present: bool) -> dict[Dpid, Change]:
        """What makes the datapaths carry out an entry as it is now, or no more, and what was learnt with it."""
        outdated = self.aside.outdated(entry, present=present) if isinstance(entry, Entry) else ()
        changes = self._compiled(entry, present=present)
        return joined(changes, self.hidden_changes((), outdated)) if outdated else changes

    def _compiled(self, entry: Entry | HiddenEntry, *, present: bool) -> dict[Dpid, Change]:
        concerned: Iterable[Dpid] = self._concerned(entry) if present else ()
        rules = {}
        if present:
            self.counters.watch(entry.number)
        for dpid in concerned:
            self.entries_compiled += 1
            rules[dpid] = rules_for(entry, self._edges[dpid])
        changes = {}
        tenants = entry if isinstance(entry, Entry) else None
        if tenants is not None:
            self.take_back(tenants, rules if present else None)
        for dpid in {*rules, *entry.rules}:
            before, after = entry.rules.get(dpid, ()), rules.get(dpid, ())
            stays = tenants if present else None
            if stays is not None and before and dpid not in rules and number_of(before[0]) == entry.number:
                changes[dpid] = self.retiring.begin(stays, dpid, before)
                continue
            change = rule_difference(before, after)
            if change:
                changes[dpid] = change
            if stays is not None and change.drop_rules:
                # What it has counted since the switch told that last is lost if hvproxy is killed right now.
                self.counters.goes(number_of(change.drop_rules[0]))
        entry.rules = rules
        return changes

    def take_back(self, entry: Entry, dpids: Collection[Dpid] | None = None) -> None:
        """Have the rules of an entry that retire, on these datapaths (None: on all), be as its others: it has come
        back there, or goes, as it does under a number that it had."""
        for each in self.retiring.end(entry, lambda each: dpids is not None and each.dpid not in dpids
                                      and number_of(each.rule) == entry.number):
            entry.rules[each.dpid] = (*entry.rules.get(each.dpid, ()), each.rule)

    def _concerned(self, entry: Entry | HiddenEntry) -> Iterable[Dpid]:
        in_port = entry.match.in_port
        if in_port is None or in_port == of13.OFPP_CONTROLLER:
            return self._edges
        port = self.ports.get(in_port)
        return () if port is None else self._enters(port)

    def _enters(self, port: LogicalPort) -> Collection[Dpid]:
        """The edges where frames of a port may be decided upon: by a wire, wherever they were decided to take it."""
        if port.wire is not None:
            return self._edges
        home, dpids = self._view.home, set(port.dpids)
        return dpids | {home} if dpids and home is not None else dpids

    def entered(self, meter_id: int) -> list[Dpid]:
        """The edges where packets can enter that go through a meter."""
        if self._view.home is not None:
            return [self._view.home]
        edges: set[Dpid] = set()
        for in_port in self.tables.ingresses_of_meter(meter_id):
            if in_port is None or in_port == of13.OFPP_CONTROLLER:
                return sorted(self._edges)
            port = self.ports.get(in_port)
            if port is not None:
                edges.update(self._enters(port))
        return sorted(edges & self._edges.keys())

    def meter_changes(self, meter_ids: Iterable[int]) -> dict[Dpid, Change]:
        """What makes the datapaths hold these meters as they, their users and the view are now."""
        parts: dict[Dpid, list[Change]] = {}
        for meter_id in meter_ids:
            meter = self.meters.meters.get(meter_id)
            before = self._meter_contents.pop(meter_id, {})
            new: dict[Dpid, Content] = {}
            if meter is not None:
                entered = self.entered(meter_id)
                new = {dpid: Content(meters={meter.place: meter_on(meter, dpid, entered)}) for dpid in self._edges}
            for dpid, change in all_differences(before, new).items():
                parts.setdefault(dpid, []).append(change)
                if meter is not None:
                    meter.restarted(dpid)
                    self.meters.noted(meter_id)
            if new:
                self._meter_contents[meter_id] = new
        return {dpid: merged(changes) for dpid, changes in parts.items()}

    def group_changes(self, group_ids: Iterable[int]) -> dict[Dpid, Change]:
        """What makes the datapaths hold these groups as they and the view are now."""
        changes = []
        held = self.groups.held
        for group_id in dict.fromkeys([*group_ids, *self.groups.turned()]):
            group = held.get(group_id)
            new: dict[Dpid, Content] = {}
            if group is not None:
                for dpid, edge in self._edges.items():
                    new[dpid] = Content(groups={g.group_id: g for g in tenant_groups(group, edge)})
            changes.append(_turned(self._group_contents, group_id, new))
        return joined(*changes)

    def holds_group(self, dpid: Dpid, group_id: int) -> bool:
        """Whether a datapath is to hold this as a tenant's group, or as a variant of one."""
        return any(dpid in contents and group_id in contents[dpid].groups
                   for contents in self._group_contents.values())

    def watch_changes(self) -> dict[Dpid, Change]:
        """What makes the datapaths tell of the ports that are watched since a change of the groups, and of no other."""
        return self.alive_changes(self.groups.watched.keys() ^ self._alive_contents.keys())

    def alive_changes(self, numbers: Iterable[int]) -> dict[Dpid, Change]:
        """What makes the datapaths tell whether these ports are alive, of those that a tenant's group watches."""
        changes = []
        for number in numbers:
            new: dict[Dpid, Content] = {}
            if number in self.groups.watched:
                for dpid, edge in self._edges.items():
                    if number in edge.lports:
                        alive = alive_group(edge.lports[number], edge)
                        new[dpid] = Content(groups={alive.group_id: alive})
            changes.append(_turned(self._alive_contents, number, new))
        return joined(*changes)


def _turned(held: dict[int, dict[Dpid, Content]], key: int, new: dict[Dpid, Content]) -> dict[Dpid, Change]:
    """What turns the contents under that key into the new ones, which then stand there."""
    changes = all_differences(held.pop(key, {}), new)
    if new:
        held[key] = new
    return changes


def joined(*several: Mapping[Dpid, Change]) -> dict[Dpid, Change]:
    """One change for each datapath that does what all of them do."""
    parts: dict[Dpid, list[Change]] = {}
    for changes in several:
        for dpid, change in changes.items():
            parts.setdefault(dpid, []).append(change)
    return {dpid: merged(changes) for dpid, changes in parts.items()}
