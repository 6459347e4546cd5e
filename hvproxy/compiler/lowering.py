"""A tenant's outputs and groups, lowered to what an edge can execute.

Every logical output becomes a group of the logical port, so that where a port is can change without touching the
entries that name it (design 1.3). Pure; knows one logical switch on one edge, and nothing of paths or labels.
"""
from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from struct import Struct
from typing import Final

from hvproxy.compiler import connections, learning, members
from hvproxy.model.layout import ContextLayout, GroupKind, Table
from hvproxy.model.view import Dpid, LogicalSwitchView, Lport
from hvproxy.openflow import actions, nicira, nicira_bundle, nicira_ct, nicira_learn
from hvproxy.openflow.constants import of13
from hvproxy.openflow.groups import action_lists, walk_buckets
from hvproxy.openflow.memo import remembered
from hvproxy.openflow.nicira_parts import METADATA
from hvproxy.openflow.oxm_fields import MPLS_ETH_TYPES, TENANT_BITS

_ACTION: Final = Struct("!HHI")
_LOOK_AGAIN: Final = actions.move(of13.OFPXMT_OFB_METADATA, 63, of13.OFPXMT_OFB_METADATA, 63, 1)
"""Changes nothing, and no more than what every rule matches is looked at for it."""


@dataclass(frozen=True)
class TenantGroup:
    """A group a tenant installed."""

    group_id: int
    type: int
    """OFPGT_*."""
    buckets: bytes
    """The tenant's own bytes."""
    indexes: Mapping[int, int]
    """Shared ingress lport's index (0: every other lport) -> the place of that variant in physical group ids:
    1 .. 2**lport_bits - 1, unique in the logical switch."""
    serial: int = 0
    """Grows whenever its tenant modifies it (model.rules.Group.serial)."""

    @cached_property
    def named(self) -> frozenset[int]:
        """The groups that its buckets send packets to."""
        return frozenset(group_id for data in action_lists(self.buckets) for group_id in actions.groups(data))

    @cached_property
    def watched_ports(self) -> frozenset[int]:
        """The ports whose liveness decides about a bucket of it."""
        return frozenset(each.watch_port for each in walk_buckets(self.buckets)) - {of13.OFPP_ANY}

    @cached_property
    def watched_groups(self) -> tuple[int, ...]:
        """The group each bucket watches, of those that watch one."""
        return tuple(each.watch_group for each in walk_buckets(self.buckets) if each.watch_group != of13.OFPG_ANY)

    @cached_property
    def watches_both(self) -> bool:
        """Whether one bucket of it watches both a port and a group."""
        return any(each.watch_port != of13.OFPP_ANY and each.watch_group != of13.OFPG_ANY
                   for each in walk_buckets(self.buckets))


@dataclass(frozen=True)
class Edge:
    """One logical switch on one edge: all that the compilation of an entry depends on, and nothing else."""

    layout: ContextLayout
    logical_switch: LogicalSwitchView
    dpid: Dpid
    tenant_groups: Mapping[int, TenantGroup]
    """By the tenant's group id."""
    tenant_meters: Mapping[int, int] = field(default_factory=dict)
    """The physical id of each meter, by the tenant's."""
    zones: Mapping[int, int] = field(default_factory=dict)
    """The zone of the datapath for each of the tenant's in which connections are tracked."""
    remembered: dict[Hashable, tuple[tuple[int, int, bytes], ...]] = field(
        default_factory=dict, compare=False, repr=False)
    """What compiler.entries has computed for this edge already."""

    @cached_property
    def lports(self) -> dict[int, Lport]:
        """By the tenant's port number."""
        return {lport.number: lport for lport in self.logical_switch.lports}

    @cached_property
    def shared(self) -> tuple[Lport, ...]:
        """The lports whose packets need rules of their own here. At the home those of other edges are among them: the
        physical port that their packets come in at tells nothing."""
        view = self.logical_switch
        away = set(view.away) if self.is_home else ()
        return tuple(lport for lport in view.lports
                     if view.enters(lport, self.dpid) and (lport.shared or lport in away))

    @cached_property
    def apart(self) -> frozenset[int]:
        """The numbers of those."""
        return frozenset(lport.number for lport in self.shared)

    @property
    def is_home(self) -> bool:
        """All frames of the logical switch are decided upon here."""
        return self.dpid == self.logical_switch.home

    @property
    def plain(self) -> bool:
        """The switch is known not to be Open vSwitch."""
        return self.dpid in self.logical_switch.plain

    def group_id(self, kind: GroupKind, index: int = 0) -> int:
        return self.layout.group_id(kind, self.logical_switch.ls_id, index)

    def tenant_group_id(self, group: TenantGroup, ingress: Lport | None) -> int:
        """The physical id of a tenant's group, of which each shared ingress lport has a variant of its own."""
        return self.group_id(GroupKind.TENANT, group.indexes[0 if ingress is None else ingress.index])


def lower(data: bytes, edge: Edge, ingress: Lport | None, *, in_set: bool, table: int = 0, number: int = 0) -> bytes:
    """The action list `data` as this edge executes it for packets of `ingress` (None: any lport not shared).

    Queues are the operator's: SET_QUEUE is taken from tenants and reaches no switch.

    In an action set (`in_set`: write-actions and buckets) every output becomes a group, for there the last one
    written must win, and a group beats an output (OF 1.3.5 section 5.10); an output beside a tenant's group goes.
    What an action set never executes, though a bucket may hold it, goes too. `table` is the tenant's table in which it
    stands, `number` that of its entry.
    """
    grouped = in_set and bool(actions.groups(data))

    def output(port: int, max_len: int) -> bytes:
        return b"" if grouped else _output(port, edge, ingress, in_set)

    def group(group_id: int) -> bytes:
        named = edge.tenant_groups.get(group_id)
        if named is None:
            # A bucket may name a group that is not there; it beats an output all the same.
            return actions.group(edge.group_id(GroupKind.NOWHERE))
        return actions.group(edge.tenant_group_id(named, ingress))

    learnt = count()

    def other(action: bytes) -> bytes:
        if nicira_learn.is_learn(action):
            return b"" if in_set else learning.ask(number, next(learnt), bool(edge.logical_switch.peers))
        if nicira_bundle.is_bundle(action):
            return b"" if in_set else choose(action, edge, ingress)
        return lower_other(action, edge, table)

    return actions.rewrite(data, output, group, other)


def choose(action: bytes, edge: Edge, ingress: Lport | None) -> bytes:
    """A bundle, as this edge executes it."""
    return members.lowered(nicira_bundle.read(action), edge.logical_switch,
                           lambda port: _output(port, edge, ingress, in_set=False))


def lower_other(action: bytes, edge: Edge, table: int) -> bytes:
    """An action that is neither an output nor a group, as the edge executes it in a tenant's table."""
    kind, _, argument = _ACTION.unpack_from(action)
    if kind == of13.OFPAT_EXPERIMENTER and edge.is_home:
        if nicira_ct.is_ct(action):
            return connections.track(action, edge.zones[nicira_ct.zone(action)])
        if nicira.kind_of(action) == nicira_ct.CT_CLEAR:
            return action
    return _lower_any(action, table)


@remembered(1 << 12)
def _lower_any(action: bytes, table: int) -> bytes:
    kind, _, header = _ACTION.unpack_from(action)
    if kind == of13.OFPAT_EXPERIMENTER:
        return nicira.lowered(action, Table.LOGICAL, Table.LOGICAL + table)
    if kind == of13.OFPAT_SET_QUEUE:
        return b""  # there are no queues, and below they would be the operator's
    if kind == of13.OFPAT_SET_FIELD and header == METADATA.header:
        return nicira.load(0, TENANT_BITS, METADATA.header, int.from_bytes(action[12:16], "big"))
    return action


def uncovered(data: bytes, edge: Edge) -> bytes:
    """A lowered action list or bucket, with an action behind each that takes off the last label which needs what that
    has uncovered.

    Open vSwitch takes a packet up anew as soon as an action does, together with what then is left of the list and with
    the action set, which it carries out at the end of either. Left to itself it does so where a hidden group pushes the
    label of the fabric: the tenant's action set would run with that label on. What takes labels off in an action set
    needs none: when that is carried out there is none left.
    """
    return data if edge.plain else _looked_at_again(data)


@remembered(1 << 12)
def _looked_at_again(data: bytes) -> bytes:
    return b"".join(action + _LOOK_AGAIN if _uncovers(action) else action for _, action in actions.walk(data))


def _uncovers(action: bytes) -> bool:
    kind, _, argument = _ACTION.unpack_from(action)
    return kind == of13.OFPAT_POP_MPLS and argument >> 16 not in MPLS_ETH_TYPES


def _output(port: int, edge: Edge, ingress: Lport | None, in_set: bool) -> bytes:
    if port == of13.OFPP_CONTROLLER:
        # The whole packet is asked for; max_len is honoured upward, where virtual buffers are (trap 12).
        return (actions.group(edge.group_id(GroupKind.CONTROLLER)) if in_set
                else actions.output(of13.OFPP_CONTROLLER, of13.OFPCML_NO_BUFFER))
    if port == of13.OFPP_IN_PORT:
        if ingress is not None:
            return actions.group(edge.group_id(GroupKind.HAIRPIN, ingress.index))
        return actions.group(edge.group_id(GroupKind.HAIRPIN)) if in_set else actions.output(of13.OFPP_IN_PORT)
    if port == of13.OFPP_NORMAL and not edge.plain:
        return actions.group(edge.group_id(GroupKind.NORMAL))
    if port in (of13.OFPP_FLOOD, of13.OFPP_ALL, of13.OFPP_NORMAL):
        # Without the tables for it NORMAL is the switch that has learnt nothing.
        if ingress is not None:
            return actions.group(edge.group_id(GroupKind.FLOOD_FROM, ingress.index))
        return actions.group(edge.group_id(GroupKind.FLOOD))
    lport = edge.lports.get(port)
    if lport is None or lport == ingress:
        # No such port, or back to the ingress port without IN_PORT (OF 1.3.5 section 7.2.5). In an action set it
        # displaces earlier outputs all the same.
        return actions.group(edge.group_id(GroupKind.NOWHERE)) if in_set else b""
    if ingress is not None and on_one_port(ingress, lport):
        return actions.group(edge.group_id(GroupKind.HAIRPIN, lport.index))
    return actions.group(edge.group_id(GroupKind.LPORT, lport.index))


def on_one_port(a: Lport, b: Lport) -> bool:
    """Whether both sit on the same physical port, where the switch itself would suppress output (dataplane 3.9)."""
    return a.vif is not None and b.vif is not None and (a.vif.dpid, a.vif.port_no) == (b.vif.dpid, b.vif.port_no)


def depends_on_ingress(data: bytes) -> bool:
    """Whether an action list lowers differently for different shared ingress lports."""
    return bool(actions.groups(data) or actions.choices(data)) or any(
        port != of13.OFPP_CONTROLLER for port in actions.outputs(data))
