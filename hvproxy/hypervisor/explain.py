"""Why a rule or group is in a datapath, in one sentence: what its cookie, labels and ids say, read back.

For people who look at a switch. Nothing is decided by it.
"""
from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

from hvproxy.compiler.members import port_of
from hvproxy.hypervisor.fabric import DELIVER, LAST_INDEX, RESUME
from hvproxy.hypervisor.logical_switch import LogicalSwitch
from hvproxy.model.layout import (
    ASIDE, BARE, FLOODED, FRAGMENT, GROUP_KIND_BIT, GUARD, HIDDEN, LAST_KEY, OUTLET, PLACE, GroupKind, RuleKind, Table,
    read_cookie,
)
from hvproxy.model.rules import Group, Rule
from hvproxy.model.schema import format_dpid
from hvproxy.openflow.constants import of13
from hvproxy.openflow.instructions import decode
from hvproxy.openflow.oxm import Match
from hvproxy.openflow.oxm_fields import OWN_REGISTER, VLAN_ID

if TYPE_CHECKING:
    from hvproxy.hypervisor.hypervisor import Hypervisor

_TOWARDS_EDGE = {
    GroupKind.UPLINK: "carries frames towards",
    GroupKind.RETURN: "turns round frames on their way to",
}


@dataclass(frozen=True, slots=True)
class Why:
    """What something in a datapath is for."""

    text: str
    logical_switch: str | None = None
    entry: int | None = None
    """The number of the tenant's entry it carries out."""
    tenant_cookie: int | None = None
    """The tenant's own cookie of that entry."""


class Explanations:
    """Explains as things are now; make a new one for every report."""

    def __init__(self, hv: Hypervisor) -> None:
        self._hv = hv
        self._lports: dict[tuple[int, int], str] = {}
        self._edges: dict[int, str] = {}
        """Destination index -> edge."""
        self._tenant_groups: dict[tuple[int, int], tuple[int, int]] = {}
        """(logical switch id, place) -> (the tenant's group, index of the ingress lport it is for or 0)."""
        for ls_id, ls in hv.by_id.items():
            for port in ls.ports.values():
                self._lports[ls_id, port.index] = f"{ls.spec.name}/{port.number}"
            for dpid in ls.view.edges:
                self._edges[hv.fabric.destination_index(dpid)] = format_dpid(dpid)
            for group in ls.groups.held.values():
                for ingress, place in group.indexes.items():
                    self._tenant_groups[ls_id, place] = (group.group_id, ingress)
        self._labels = {label: key for space in hv.fabric.label_spaces for key, label in space.used.items()}

    # Rules

    def rule(self, rule: Rule) -> Why:
        """Why a rule is there."""
        owner = read_cookie(rule.cookie)
        if owner is None:
            return Why("was installed with another format of cookies")
        ls_id, number = owner
        if ls_id == 0:
            return self._of_fabric(rule, number)
        ls = self._hv.by_id.get(ls_id)
        if ls is None:
            return Why("belonged to a logical switch that is deleted")
        if number & ASIDE == ASIDE:
            return Why(self._aside(rule, ls, number), ls.spec.name)
        if number & HIDDEN == HIDDEN:
            return Why(self._switching(rule, ls), ls.spec.name)
        if number & PLACE:
            return Why(self._placing(rule, ls, number & ~PLACE), ls.spec.name)
        entry = ls.tables.by_number(number)
        text = f"entry {number} of {ls.spec.name}" + ("" if entry is not None else ", which is removed")
        return Why(text, ls.spec.name, number, None if entry is None else entry.cookie)

    def _of_fabric(self, rule: Rule, kind: int) -> Why:
        match = Match.from_tlvs(rule.match)
        if kind == RuleKind.FOREIGN:
            return Why("drops frames under unknown labels" if rule.table in (Table.LABEL, Table.TUNNEL)
                       else "drops frames of ports that nothing is bound to")
        if kind == RuleKind.FABRIC_PORT:
            through = "tunnel" if decode(rule.instructions).goto == Table.TUNNEL else "fabric port"
            return Why(f"takes labelled frames from {through} {match.in_port}")
        if kind == RuleKind.DISCOVERY:
            return Why("hands discovery frames to hvproxy")
        if kind == RuleKind.REFLECTION:
            return Why("hands frames to hvproxy that another switch has sent back" if match.get(of13.OFPXMT_OFB_ETH_SRC)
                       is None else "sends a frame back by which hvproxy finds out whether the switch forwards")
        if kind == RuleKind.INJECT:
            return Why("takes packet-outs of hvproxy into the logical tables")
        if kind == RuleKind.LABEL:
            label, last = _label(match), _last_label(match)
            metadata = decode(rule.instructions).metadata
            what, name = self._label_means(label)
            towards = self._edge(0 if metadata is None else metadata[0])
            if last != label:
                return Why(f"carries labels {label} to {last} towards {towards}")
            return Why(f"carries label {label}{what} towards {towards}", name)
        if kind == RuleKind.CROSSING:
            return Why("lets packets cross to other logical switches" if rule.instructions
                       else "drops packets that have crossed to other logical switches too often")
        if kind == RuleKind.TRANSIT:
            return Why(self._transit(rule, match))
        return Why("is of a kind that this hvproxy does not know")

    def _transit(self, rule: Rule, match: Match) -> str:
        edge = self._edge(0 if match.metadata is None else match.metadata[0])
        from_port = "" if match.in_port is None else f" that arrive at port {match.in_port}"
        if match.get(of13.OFPXMT_OFB_VLAN_PCP) or match.get(of13.OFPXMT_OFB_TUNNEL_ID):
            return f"carries detoured frames towards {edge}"
        verb = "carries" if rule.instructions else "drops"
        return f"{verb} frames{from_port} {'towards' if rule.instructions else 'for'} {edge}"

    def _placing(self, rule: Rule, ls: LogicalSwitch, index: int) -> str:
        match = Match.from_tlvs(rule.match)
        if index == FLOODED & ~PLACE:
            return self._flooding(rule, ls, match)
        if rule.table == Table.EGRESS:
            lport = self._lport(ls.ls_id, index & ~GUARD)
            return (f"sends to {lport} what is its own" if rule.instructions else
                    f"drops what {lport} must not send: it would be another VIF's of its physical port")
        if index & ~PLACE & FRAGMENT:
            index &= ~FRAGMENT
            whose = f"packet-outs to {ls.spec.name}" if index == 0 else self._lport(ls.ls_id, index)
            return f"drops fragments of {whose} as it is configured"
        index &= ~GUARD
        if rule.table == Table.CLASSIFY:
            vlan = match.get(of13.OFPXMT_OFB_VLAN_VID)
            tagged = "" if vlan is None else f", VLAN {vlan[0] & VLAN_ID},"
            if not rule.instructions:
                return f"drops what enters port {match.in_port}{tagged} as {self._lport(ls.ls_id, index)} is configured"
            some = ("spanning tree of " if match.get(of13.OFPXMT_OFB_ETH_DST) is not None
                    else "packet-outs to " if match.metadata is not None else "")
            return f"classifies {some}port {match.in_port}{tagged} as {self._lport(ls.ls_id, index)}"
        if rule.table == Table.HOP:
            if not rule.instructions:
                return f"drops what comes to {self._lport(ls.ls_id, index)} from its peer as that is configured"
            some = "spanning tree" if match.get(of13.OFPXMT_OFB_ETH_DST) is not None else "packets"
            return f"takes {some} in at {self._lport(ls.ls_id, index)} from its peer"
        if decode(rule.instructions).goto == Table.LOGICAL:
            return f"takes label {_label(match)} in as frames of {self._lport(ls.ls_id, index)}"
        if index == 0:
            return f"floods label {_label(match)} to the ports of {ls.spec.name} here"
        return f"delivers label {_label(match)} to {self._lport(ls.ls_id, index)}"

    def _flooding(self, rule: Rule, ls: LogicalSwitch, match: Match) -> str:
        host = next((f"the host {shown(found[0])}" for number, shown in _HOSTS
                     if (found := match.get(number)) is not None and found[1] is None), None)
        if host is None:
            return f"floods frames of {ls.spec.name} everywhere"
        if match.get(of13.OFPXMT_OFB_ARP_SPA) is not None or match.get(of13.OFPXMT_OFB_IPV6_SRC) is not None:
            return f"has everybody on {ls.spec.name} told of {host}"
        index = self._hv.settings.layout.read((match.metadata or (0, 0))[0])[1]
        whose = f" that come from {self._lport(ls.ls_id, index)}" if index else ""
        return f"knows where floods of {ls.spec.name} for {host}{whose} matter"

    def _aside(self, rule: Rule, ls: LogicalSwitch, number: int) -> str:
        if number & OUTLET == OUTLET:
            port, written = port_of(number)
            return (f"has the action set send to port {port} of {ls.spec.name}, unless it holds a group" if written
                    else f"sends to port {port} of {ls.spec.name}, which a bundle has chosen")
        if number == ASIDE:
            return f"finds what packets teach {ls.spec.name}"
        teacher = Match.from_tlvs(rule.match).get(OWN_REGISTER.number)
        return f"knows what packets teach {ls.spec.name} by entry {0 if teacher is None else teacher[0]}"

    def _switching(self, rule: Rule, ls: LogicalSwitch) -> str:
        if rule.table == Table.HOP:
            return f"empties the action set before a connection of {ls.spec.name} is tracked"
        match = Match.from_tlvs(rule.match)
        source, destination = match.get(of13.OFPXMT_OFB_ETH_SRC), match.get(of13.OFPXMT_OFB_ETH_DST)
        if source is not None and source[1] is None:
            return f"knows where the host {_mac(source[0])} of {ls.spec.name} is"
        if destination is not None:
            verb = "drops frames" if not rule.instructions else "switches frames"
            return f"{verb} of {ls.spec.name} for {_mac(destination[0])}"
        if rule.table == Table.SWITCH:
            return f"floods frames of {ls.spec.name} for hosts that are not known"
        return (f"finds hosts of {ls.spec.name} that are not known yet" if decode(rule.instructions).apply
                else f"passes frames of {ls.spec.name} whose source is no host's")

    def _label_means(self, label: int) -> tuple[str, str | None]:
        key = self._labels.get(label)
        if key is None:
            return "", None
        kind, ls_id, number = key
        ls = self._hv.by_id.get(ls_id)
        if ls is None:
            return "", None
        if kind in DELIVER:
            return f", frames for {self._lport(ls_id, number)},", ls.spec.name
        if kind == RESUME:
            return f", frames of {self._lport(ls_id, number & LAST_INDEX)} to be decided upon,", ls.spec.name
        return f", floods of {ls.spec.name},", ls.spec.name

    def label(self, label: int) -> str:
        """What a label of the fabric stands for: label 3001, frames for red/2."""
        return f"label {label}{self._label_means(label)[0]}".rstrip(",")

    # Groups

    def group(self, group: Group) -> Why:
        """Why a group is there."""
        kind = group.group_id >> GROUP_KIND_BIT
        rest = group.group_id & (1 << GROUP_KIND_BIT) - 1
        if kind in _TOWARDS_EDGE:
            through = " with the label in the tunnel id" if rest & BARE else ""
            return Why(f"{_TOWARDS_EDGE[GroupKind(kind)]} {self._edge(rest & ~BARE)}{through}")
        index_bits = GROUP_KIND_BIT - self._hv.settings.layout.logical_switch_bits
        ls_id, index = rest >> index_bits, rest & (1 << index_bits) - 1
        ls = self._hv.by_id.get(ls_id)
        if ls is None:
            return Why("belonged to a logical switch that is deleted")
        return Why(self._of_logical_switch(kind, ls, index), ls.spec.name)

    def _of_logical_switch(self, kind: int, ls: LogicalSwitch, index: int) -> str:
        name, lport = ls.spec.name, self._lport(ls.ls_id, index)
        if kind == GroupKind.TENANT:
            number, ingress = self._tenant_groups.get((ls.ls_id, index), (None, 0))
            if number is None:
                return f"a removed group of {name}"
            return f"group {number} of {name}" + (f" for frames of {self._lport(ls.ls_id, ingress)}" if ingress else "")
        if index > (last := self._hv.settings.layout.last_lport):
            lport = self._lport(ls.ls_id, index & last)
            return {GroupKind.LPORT: f"sends to {lport} what may leave there",
                    GroupKind.FLOOD: f"floods {name} everywhere"}.get(
                        GroupKind(kind), f"floods {name} everywhere with frames of {lport}")
        if kind == GroupKind.HAIRPIN:
            return (f"sends to {lport} on the port of arrival" if index
                    else f"sends frames of {name} back where they came from")
        return {
            GroupKind.NORMAL: f"switches frames of {name} as a learning switch does",
            GroupKind.NOWHERE: f"stands for outputs to ports that {name} does not have",
            GroupKind.CONTROLLER: f"sends to the controllers of {name}",
            GroupKind.LPORT: f"sends to {lport}",
            GroupKind.FLOOD: f"floods {name}",
            GroupKind.FLOOD_ARRIVED: f"floods to the ports of {name} here",
            GroupKind.FLOOD_FROM: f"floods {name} with frames of {lport}",
            GroupKind.AGAIN: f"takes frames of {name} up anew when their label is off",
            GroupKind.ALIVE: f"is alive while {lport} is, for groups that watch it",
        }.get(GroupKind(kind), f"serves {name}")

    # Names

    def _edge(self, index: int) -> str:
        found = self._edges.get(index)
        return f"edge {found}" if found is not None else "an edge that is none any more"

    def _lport(self, ls_id: int, index: int) -> str:
        return self._lports.get((ls_id, index), "a port that is deleted")


def _mac(address: int) -> str:
    return address.to_bytes(6, "big").hex(":")


_HOSTS = ((of13.OFPXMT_OFB_ARP_TPA, lambda value: str(IPv4Address(value))),
          (of13.OFPXMT_OFB_IPV6_ND_TARGET, lambda value: str(IPv6Address(value))), (of13.OFPXMT_OFB_ETH_DST, _mac))
"""Fields that name the host whom a flood is for, and how it is written."""


def _label(match: Match) -> int:
    tag, key = match.get(of13.OFPXMT_OFB_VLAN_VID), match.get(of13.OFPXMT_OFB_TUNNEL_ID)
    return tag[0] & VLAN_ID if tag is not None else 0 if key is None else key[0] & LAST_KEY


def _last_label(match: Match) -> int:
    """The last of the labels that a match takes."""
    tag, key = match.get(of13.OFPXMT_OFB_VLAN_VID), match.get(of13.OFPXMT_OFB_TUNNEL_ID)
    found, space = (tag, VLAN_ID) if tag is not None else (key, LAST_KEY)
    mask = None if found is None else found[1]
    return _label(match) | (0 if mask is None else ~mask & space)
