"""The rules and groups that carry labelled frames from edge to edge.

Made from one paths.Tree and the index of its destination; knows nothing of what a label is for.

Table 2 of a datapath, for one destination, highest priority first; what does not apply is left out:

    arrived on the parent port     an ancestor detours the frame: pass it on downwards, or drop
    marked as detoured             up to the parent, and never a second detour
    arrived on the backup port     where that is a tree child: up, or turned round, which takes OFPP_IN_PORT
                                   (OF 1.3.5 section 4.5: a plain output to the arrival port does nothing)
    anything else                  up, or out of the backup port

Where a frame has a choice, a FAST_FAILOVER group makes it; where it has none, the rule outputs, and a dead port drops.
The mark is the PCP of the label's VLAN tag. An arrival port cannot tell a frame's first detour from its tenth, so
without a mark the loss of all links of a destination, as when its switch stops, would leave frames circling between
its neighbours until the rules are recomputed.
"""
from __future__ import annotations

from functools import lru_cache

from hvproxy.compiler.paths import Tree
from hvproxy.model.layout import GroupKind, RuleKind, Table, cookie, destination_group_id
from hvproxy.model.rules import Group, Rule
from hvproxy.model.view import Dpid, PortNo
from hvproxy.openflow import actions, oxm
from hvproxy.openflow.constants import of13
from hvproxy.openflow.groups import bucket
from hvproxy.openflow.instructions import Instructions, build

DETOURED_PCP = 1
"""The PCP of a detoured frame; labels are pushed with PCP 0. Were a frame to start with it, it would merely not be
protected. 1 is the lowest of the classes of IEEE 802.1Q: a detour gives way to the traffic whose path it joins."""

_PARENT_PRIORITY = 40
_MARKED_PRIORITY = 30
_BACKUP_PRIORITY = 20
_DEFAULT_PRIORITY = 10
_WHOLE_METADATA = 0xFFFFFFFFFFFFFFFF
_COOKIE = cookie(0, RuleKind.TRANSIT)
_LABEL_COOKIE = cookie(0, RuleKind.LABEL)

_MARK = actions.set_field(oxm.tlv(of13.OFPXMT_OFB_VLAN_PCP, DETOURED_PCP))
_IS_MARKED = (oxm.tlv(of13.OFPXMT_OFB_VLAN_VID, of13.OFPVID_PRESENT, of13.OFPVID_PRESENT)
              + oxm.tlv(of13.OFPXMT_OFB_VLAN_PCP, DETOURED_PCP))
_DROP = build(Instructions())


def uplink_groups(tree: Tree, dpid: Dpid, destination_index: int) -> list[Group]:
    """The groups of `dpid` for that destination, ascending by id, none naming another: UPLINK, which edges use for
    frames they have just labelled too, and RETURN where frames are turned round. An UPLINK that leads nowhere is
    there nevertheless, without buckets, so that no group that names it dangles; at the destination there is none."""
    if dpid == tree.destination:
        return []
    parent = tree.parent.get(dpid)
    if parent is None:
        return [_failover(GroupKind.UPLINK, destination_index, b"")]
    first = _first_choice(parent)
    backup = tree.backup.get(dpid)
    if backup is None:
        return [_failover(GroupKind.UPLINK, destination_index, first)]
    groups = [_failover(GroupKind.UPLINK, destination_index, first + _detour(backup, backup))]
    if dpid in tree.turn:
        turned = _detour(backup, of13.OFPP_IN_PORT)
        groups.append(_failover(GroupKind.RETURN, destination_index, first + turned))
    return groups


def transit_rules(tree: Tree, dpid: Dpid, destination_index: int) -> list[Rule]:
    """The rules of table 2 of `dpid` for that destination, by rising priority; they need its `uplink_groups`.
    None at the destination, and none where it cannot be reached: a frame that no rule matches is dropped."""
    parent = tree.parent.get(dpid)
    if parent is None:
        return []
    to_destination = oxm.metadata_tlv(destination_index, _WHOLE_METADATA)
    rules = [_rule(_DEFAULT_PRIORITY, to_destination, _to_group(GroupKind.UPLINK, destination_index))]
    backup = tree.backup.get(dpid)
    if backup is not None:
        if dpid in tree.turn:
            rules.append(_rule(_BACKUP_PRIORITY, _arrived(backup) + to_destination,
                               _to_group(GroupKind.RETURN, destination_index)))
        rules.append(_rule(_MARKED_PRIORITY, to_destination + _IS_MARKED, _to_port(parent)))
    below = tree.descend.get(dpid)
    rules.append(_rule(_PARENT_PRIORITY, _arrived(parent) + to_destination,
                       _DROP if below is None else _to_port(below)))
    return rules


def label_rule_on_the_way(vid: int, destination_index: int) -> Rule:
    """The rule of table 1 of a datapath that carries label `vid` on towards the edge with that index."""
    return Rule(Table.LABEL, _DEFAULT_PRIORITY, oxm.tlv(of13.OFPXMT_OFB_VLAN_VID, vid | of13.OFPVID_PRESENT),
                build(Instructions(goto=Table.TRANSIT, metadata=(destination_index, _WHOLE_METADATA))), _LABEL_COOKIE)


def _rule(priority: int, match: bytes, instructions: bytes) -> Rule:
    return Rule(Table.TRANSIT, priority, match, instructions, _COOKIE)


def _failover(kind: GroupKind, destination_index: int, buckets: bytes) -> Group:
    return Group(destination_group_id(kind, destination_index), of13.OFPGT_FF, buckets)


# The pieces below depend on a port alone, and a fabric has many more rules than ports.

@lru_cache(maxsize=4096)
def _first_choice(port: PortNo) -> bytes:
    return bucket(actions.output(port), watch_port=port)


@lru_cache(maxsize=4096)
def _detour(watched: PortNo, port: PortNo) -> bytes:
    return bucket(_MARK + actions.output(port), watch_port=watched)


@lru_cache(maxsize=4096)
def _to_port(port: PortNo) -> bytes:
    return build(Instructions(apply=actions.output(port)))


@lru_cache(maxsize=4096)
def _arrived(port: PortNo) -> bytes:
    return oxm.tlv(of13.OFPXMT_OFB_IN_PORT, port)


@lru_cache(maxsize=4096)
def _to_group(kind: GroupKind, destination_index: int) -> bytes:
    return build(Instructions(apply=actions.group(destination_group_id(kind, destination_index))))
