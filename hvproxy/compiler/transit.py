"""The rules and groups that carry labelled frames from edge to edge.

Made from one paths.Tree and the index of its destination; knows nothing of what a label is for.

A frame carries its label in a tag or, as it comes out of a tunnel, in tun_id (model.view.Carriage). Each way has tables
and uplink groups of its own: 1 and 2 for tags, 5 and 6 for tunnels. So neither a tenant's tag nor a tenant's tun_id is
ever taken for a label, a datapath without tunnels is as if there were none, and while links of either kind come and go
no frame ever meets rules that were made for the other way. A frame with a tag loses it in the rule of a datapath that
may send it into a tunnel, and then is as if it had come out of one; what sends a frame of those over a VLAN link gives
it a tag. (Not so the other way about: a bucket is carried out as an action set, which pops tags before it moves them.)
Tunnels end at Open vSwitch only, so fields may be moved about.

Table 2 of a datapath, and table 6, for one destination, highest priority first; what does not apply is left out:

    arrived on the parent port     an ancestor detours the frame: pass it on downwards, or drop
    marked as detoured             up to the parent, and never a second detour
    arrived on the backup port     where that is a tree child: up, or turned round, which takes OFPP_IN_PORT
                                   (OF 1.3.5 section 4.5: a plain output to the arrival port does nothing)
    anything else                  up, or out of the backup port

Where a frame has a choice, a FAST_FAILOVER group makes it; where it has none, the rule outputs, and a dead port drops.
The mark is the PCP of the label's VLAN tag, or a bit of the tunnel's key (layout.DETOURED_KEY). An arrival port cannot
tell a frame's first detour from its tenth, so without a mark the loss of all links of a destination, as when its switch
stops, would leave frames circling between its neighbours until the rules are recomputed.
"""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache

from hvproxy.compiler.paths import Tree
from hvproxy.model.layout import (
    DETOURED_BIT, DETOURED_KEY, LAST_VID, GroupKind, RuleKind, Table, cookie, destination_group_id,
)
from hvproxy.model.rules import Group, Rule
from hvproxy.model.view import Carriage, Dpid, PortNo
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
_RUN_PRIORITY = 5
_WHOLE_METADATA = 0xFFFFFFFFFFFFFFFF
_WHOLE_KEY = 0xFFFFFFFFFFFFFFFF
_COOKIE = cookie(0, RuleKind.TRANSIT)
_LABEL_COOKIE = cookie(0, RuleKind.LABEL)

_VID_BITS = 12
_TABLES = {Carriage.VLAN: (Table.LABEL, Table.TRANSIT), Carriage.TUNNEL: (Table.TUNNEL, Table.TUNNEL_TRANSIT)}
"""Where labels are looked up, and then where a frame goes on."""
_MARK = {
    Carriage.VLAN: actions.set_field(oxm.tlv(of13.OFPXMT_OFB_VLAN_PCP, DETOURED_PCP)),
    Carriage.TUNNEL: actions.load_bit(of13.OFPXMT_OFB_TUNNEL_ID, DETOURED_BIT),
}
_IS_TAGGED = oxm.tlv(of13.OFPXMT_OFB_VLAN_VID, of13.OFPVID_PRESENT, of13.OFPVID_PRESENT)
_IS_MARKED = {
    Carriage.VLAN: _IS_TAGGED + oxm.tlv(of13.OFPXMT_OFB_VLAN_PCP, DETOURED_PCP),
    Carriage.TUNNEL: oxm.tlv(of13.OFPXMT_OFB_TUNNEL_ID, DETOURED_KEY, DETOURED_KEY),
}
_UNMARKED = actions.set_field(oxm.tlv(of13.OFPXMT_OFB_VLAN_PCP, 0))
_INTO_TUNNEL = (
    # What a tenant may have left in tun_id would name another label.
    actions.set_field(oxm.tlv(of13.OFPXMT_OFB_TUNNEL_ID, 0))
    + actions.move(of13.OFPXMT_OFB_VLAN_VID, 0, of13.OFPXMT_OFB_TUNNEL_ID, 0, _VID_BITS)
    + actions.move(of13.OFPXMT_OFB_VLAN_PCP, 0, of13.OFPXMT_OFB_TUNNEL_ID, DETOURED_BIT, 1)
    + actions.pop_vlan())
_OUT_OF_TUNNEL = (
    actions.push_vlan()
    + actions.move(of13.OFPXMT_OFB_TUNNEL_ID, 0, of13.OFPXMT_OFB_VLAN_VID, 0, _VID_BITS)
    + _UNMARKED
    + actions.move(of13.OFPXMT_OFB_TUNNEL_ID, DETOURED_BIT, of13.OFPXMT_OFB_VLAN_PCP, 0, 1))
_DROP = build(Instructions())


def ways(carriages: Mapping[Dpid, frozenset[Carriage]], dpid: Dpid) -> list[Carriage]:
    """How labelled frames come to a datapath with such links; under tags where it has none."""
    return sorted(carriages.get(dpid) or (Carriage.VLAN,))


def uplink_groups(tree: Tree, dpid: Dpid, destination_index: int) -> list[Group]:
    """The groups of `dpid` for that destination, ascending by id, none naming another: UPLINK, which edges use for
    frames they have just labelled too, and RETURN where frames are turned round. An UPLINK that leads nowhere is
    there nevertheless, without buckets, so that no group that names it dangles; at the destination there is none.
    The one for tags is there always, for others watch it."""
    if dpid == tree.destination:
        return []
    groups = []
    for carriage in sorted({Carriage.VLAN, *ways(tree.carriages, dpid)}):
        groups += _uplink_groups(tree, dpid, destination_index, carriage)
    return sorted(groups, key=lambda group: group.group_id)


def _uplink_groups(tree: Tree, dpid: Dpid, destination_index: int, carriage: Carriage) -> list[Group]:
    def failover(kind: GroupKind, buckets: bytes) -> Group:
        return Group(destination_group_id(kind, destination_index, carriage), of13.OFPGT_FF, buckets)

    parent = tree.parent.get(dpid)
    if parent is None:
        return [failover(GroupKind.UPLINK, b"")]
    over = _kind(tree, dpid, parent)
    first = bucket(_sent(parent, carriage, over), watch_port=parent)
    backup = tree.backup.get(dpid)
    if backup is None:
        return [failover(GroupKind.UPLINK, first)]
    over = _kind(tree, dpid, backup)
    detour = bucket(_sent(backup, carriage, over, detoured=True), watch_port=backup)
    groups = [failover(GroupKind.UPLINK, first + detour)]
    if dpid in tree.turn and _choosing(tree, dpid, over) is carriage:
        turned = bucket(_sent(of13.OFPP_IN_PORT, carriage, over, detoured=True), watch_port=backup)
        groups.append(failover(GroupKind.RETURN, first + turned))
    return groups


def transit_rules(tree: Tree, dpid: Dpid, destination_index: int) -> list[Rule]:
    """The rules of tables 2 and 6 of `dpid` for that destination, by rising priority in each; they need its
    `uplink_groups`. None at the destination, and none where it cannot be reached: a frame that no rule matches is
    dropped."""
    return [rule for carriage in ways(tree.carriages, dpid)
            for rule in _transit_rules(tree, dpid, destination_index, carriage)]


def _transit_rules(tree: Tree, dpid: Dpid, destination_index: int, carriage: Carriage) -> list[Rule]:
    parent = tree.parent.get(dpid)
    if parent is None:
        return []
    _, table = _TABLES[carriage]
    to_destination = oxm.metadata_tlv(destination_index, _WHOLE_METADATA)

    def rule(priority: int, match: bytes, instructions: bytes, tag: bytes = b"") -> Rule:
        # Above the one without the tag that it takes the place of, or that takes its place: both are there for a while.
        return Rule(table, priority + bool(tag), match + tag, instructions, _COOKIE)

    choosing = _choosing(tree, dpid, carriage)
    # Open vSwitch takes nothing off where there may be no tag (OF 1.3.5 section 7.2.5): the match says that there is.
    tag = b"" if choosing is carriage else _IS_TAGGED
    rules = [rule(_DEFAULT_PRIORITY, to_destination,
                  _to_group(GroupKind.UPLINK, destination_index, carriage, choosing), tag)]
    backup = tree.backup.get(dpid)
    if backup is not None:
        if dpid in tree.turn and _kind(tree, dpid, backup) is carriage:
            rules.append(rule(_BACKUP_PRIORITY, _arrived(backup) + to_destination,
                              _to_group(GroupKind.RETURN, destination_index, carriage, choosing), tag))
        rules.append(rule(_MARKED_PRIORITY, to_destination + _IS_MARKED[carriage],
                          _to_port(parent, carriage, _kind(tree, dpid, parent))))
    if _kind(tree, dpid, parent) is carriage:
        below = tree.descend.get(dpid)
        over = carriage if below is None else _kind(tree, dpid, below)
        rules.append(rule(_PARENT_PRIORITY, _arrived(parent) + to_destination,
                          _DROP if below is None else _to_port(below, carriage, over),
                          _IS_TAGGED if carriage < over else b""))
    return rules


def label_rule_on_the_way(label: int, destination_index: int, carriage: Carriage = Carriage.VLAN) -> Rule:
    """The rule of table 1 or 5 of a datapath that carries that label on towards the edge with that index."""
    return _on_the_way(_DEFAULT_PRIORITY, has_label(label, carriage), destination_index, carriage)


def label_rules(runs: Iterable[range], destination_index: int, carriages: Iterable[Carriage]) -> list[Rule]:
    """The rules that carry on all labels of some runs, of a power of two each and aligned. A label of a run may lead to
    another edge: the rule for it alone is above."""
    return [_on_the_way(_RUN_PRIORITY, has_label(run.start, carriage, len(run)), destination_index, carriage)
            for run in runs for carriage in carriages if fits(run.start, carriage)]


def _on_the_way(priority: int, match: bytes, destination_index: int, carriage: Carriage) -> Rule:
    table, onward = _TABLES[carriage]
    return Rule(table, priority, match,
                build(Instructions(goto=onward, metadata=(destination_index, _WHOLE_METADATA))), _LABEL_COOKIE)


def fits(label: int, carriage: Carriage) -> bool:
    """Whether frames can carry that label so."""
    return carriage is Carriage.TUNNEL or label <= LAST_VID


def has_label(label: int, carriage: Carriage, run: int = 1) -> bytes:
    """The match of frames under a label, or one of an aligned run of labels that starts with it, detoured or not."""
    if carriage is Carriage.VLAN:
        mask = None if run == 1 else of13.OFPVID_PRESENT | (1 << _VID_BITS) - run
        return oxm.tlv(of13.OFPXMT_OFB_VLAN_VID, label | of13.OFPVID_PRESENT, mask)
    return oxm.tlv(of13.OFPXMT_OFB_TUNNEL_ID, label, _WHOLE_KEY & ~DETOURED_KEY & -run)


def put_label(label: int, carriage: Carriage) -> bytes:
    """The actions that label a frame."""
    if carriage is Carriage.TUNNEL:
        return actions.set_field(oxm.tlv(of13.OFPXMT_OFB_TUNNEL_ID, label))
    # OpenFlow copies the priority of a tag that is there already (OF 1.3.5 section 5.13); ours marks detours.
    return actions.push_vlan() + actions.set_vlan_vid(label) + _UNMARKED


def _kind(tree: Tree, dpid: Dpid, port: PortNo) -> Carriage:
    """The kind of the link at a port."""
    return Carriage.TUNNEL if (dpid, port) in tree.tunnels else Carriage.VLAN


def _choosing(tree: Tree, dpid: Dpid, carriage: Carriage) -> Carriage:
    """How frames that come to a datapath so come to its groups: without a tag where one may go into a tunnel."""
    ports = (tree.parent.get(dpid), tree.backup.get(dpid))
    return Carriage.TUNNEL if any((dpid, port) in tree.tunnels for port in ports) else carriage


# The pieces below depend on a port alone, and a fabric has many more rules than ports.

@lru_cache(maxsize=4096)
def _sent(port: PortNo, carriage: Carriage, over: Carriage, detoured: bool = False) -> bytes:
    """The actions of a bucket that sends a frame over a link; none that would send one with a tag into a tunnel: what
    watches that group for tags only wants to know whether there is a way."""
    if carriage < over:
        return b""
    return (_OUT_OF_TUNNEL if carriage > over else b"") + (_MARK[over] if detoured else b"") + actions.output(port)


@lru_cache(maxsize=4096)
def _to_port(port: PortNo, carriage: Carriage, over: Carriage) -> bytes:
    turned = b"" if carriage is over else _INTO_TUNNEL if over is Carriage.TUNNEL else _OUT_OF_TUNNEL
    return build(Instructions(apply=turned + actions.output(port)))


@lru_cache(maxsize=4096)
def _arrived(port: PortNo) -> bytes:
    return oxm.tlv(of13.OFPXMT_OFB_IN_PORT, port)


@lru_cache(maxsize=4096)
def _to_group(kind: GroupKind, destination_index: int, carriage: Carriage, choosing: Carriage) -> bytes:
    return build(Instructions(apply=(b"" if carriage is choosing else _INTO_TUNNEL) + actions.group(
        destination_group_id(kind, destination_index, choosing))))
