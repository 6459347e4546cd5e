"""A tenant's group on one edge: what its buckets do there, and which of them are alive.

A bucket watches a logical port, which may be anywhere. Each port that is watched has a group of its own on every edge
(GroupKind.ALIVE) that carries no packets and is alive while the port is: a switch takes a group for alive while one
of its buckets is, and a bucket while the port or the group that it watches is (Open vSwitch 3.1). Where the port is at
home that bucket watches the physical port, so that the switch fails over by itself; elsewhere it watches the uplink
group towards the port's edge, so that a fabric without a path counts too. While the port is down as its tenant is told
there is no bucket at all. So a change of liveness is a group-mod for each edge, and neither entries nor tenants'
groups, with their counters, are touched.

Pure; what chooses among live buckets is said in choice.
"""
from __future__ import annotations

from hvproxy.compiler.choice import NEVER, scores
from hvproxy.compiler.lowering import Edge, TenantGroup, lower, uncovered
from hvproxy.model.layout import GroupKind, destination_group_id
from hvproxy.model.rules import Group
from hvproxy.model.view import Lport
from hvproxy.openflow.constants import of13
from hvproxy.openflow.groups import Bucket, action_lists, bucket, walk_buckets

_ANY_PORT: int = of13.OFPP_ANY
_ANY_GROUP: int = of13.OFPG_ANY


def tenant_groups(group: TenantGroup, edge: Edge) -> list[Group]:
    """A tenant's group on one edge: itself, and a variant for each shared ingress lport there."""
    buckets = walk_buckets(group.buckets)
    weights = [each.weight for each in buckets]
    ending = b""
    if group.type == of13.OFPGT_SELECT and not edge.plain:
        weights = scores(weights)
        nowhere = edge.group_id(GroupKind.NOWHERE)
        ending = b"".join(bucket(b"", weight, watch_group=nowhere) for weight in NEVER)
    distinct = action_lists(group.buckets)
    found = []
    for ingress in (None, *edge.shared):
        lowered = {data: uncovered(lower(data, edge, ingress, in_set=True), edge) for data in distinct}
        found.append(Group(edge.tenant_group_id(group, ingress), group.type, b"".join([
            bucket(lowered[each.actions], weight, *_watched(group.type, each, edge, ingress))
            for each, weight in zip(buckets, weights, strict=True)]) + ending, group.serial))
    return found


def alive_group(lport: Lport, edge: Edge) -> Group:
    """The group of an edge that is alive while a logical port is."""
    view = edge.logical_switch
    buckets = b""
    if lport.peer is not None and lport.index in view.live:
        buckets = bucket(b"", watch_group=edge.group_id(GroupKind.CONTROLLER))  # which is always alive
    elif lport.vif is not None and lport.index in view.live:
        if lport.vif.dpid == edge.dpid:
            buckets = bucket(b"", watch_port=lport.vif.port_no)
        else:
            uplink = destination_group_id(GroupKind.UPLINK, view.destinations[lport.vif.dpid])
            buckets = bucket(b"", watch_group=uplink)
    return Group(edge.group_id(GroupKind.ALIVE, lport.index), of13.OFPGT_FF, buckets)


def _watched(kind: int, each: Bucket, edge: Edge, ingress: Lport | None) -> tuple[int, int]:
    """The physical watch_port and watch_group of a tenant's bucket."""
    weightless = kind == of13.OFPGT_SELECT and not each.weight and not edge.plain
    if not weightless and each.watch_port == _ANY_PORT and each.watch_group == _ANY_GROUP:
        return _ANY_PORT, _ANY_GROUP
    nowhere = edge.group_id(GroupKind.NOWHERE)
    if weightless:
        return _ANY_PORT, nowhere  # no packet goes there; a score of 0 could still be the highest
    lport = edge.lports.get(each.watch_port)
    # A bucket may send to a group of that number, which then stands for one that is not there: none is watched by it.
    watched = None if each.watch_group == _ANY_GROUP else edge.tenant_groups.get(each.watch_group)
    group_id = nowhere if watched is None else edge.tenant_group_id(watched, ingress)
    if lport is None or watched is not None and lport.index not in edge.logical_switch.live:
        return _ANY_PORT, group_id
    if watched is not None and lport.vif is not None and lport.vif.dpid == edge.dpid:
        return lport.vif.port_no, group_id
    # Where both are watched, one group has to do: that of the port while it is up, or else the other.
    return _ANY_PORT, edge.group_id(GroupKind.ALIVE, lport.index)
