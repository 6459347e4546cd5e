"""Less broadcast: floods of frames for hosts whose place is known go there, and nowhere else.

Of a logical switch whose operator wants it so, lports say which MAC and IP addresses their hosts have. What a tenant
floods is then looked up in table ASIDE first, on the edge where that is decided: a frame for a known MAC goes to the
lports that have it, and so does a request for the MAC of a known IP address (ARP, and IPv6's neighbour solicitation).
All else goes everywhere, also what tells an address rather than asks for it: a request that comes from the host which
has the address, or that names the address as its sender's.

The groups of floods (lowering) are what entries name, and stay so: that a flood is looked up, where hosts are, and
that it is not looked up any more, is a change of groups and of rules that belong to no entry. Pure; for Open vSwitch
only: other switches cannot look frames up on their way out, and flood everywhere.
"""
from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from hvproxy.compiler.lowering import Edge, lower
from hvproxy.model.hosts import GROUP_BIT, HostAddress, Mac
from hvproxy.model.layout import FLOODED, SHARED_FLAG, GroupKind, Table, cookie
from hvproxy.model.rules import Group, Rule
from hvproxy.model.view import LogicalSwitchView, Lport
from hvproxy.openflow import actions
from hvproxy.openflow.constants import of13
from hvproxy.openflow.groups import bucket
from hvproxy.openflow.instructions import Instructions, build
from hvproxy.openflow.oxm import metadata_tlv, tlv
from hvproxy.openflow.oxm_fields import ETH_TYPE_IPV6, OWN_REGISTER

ASKED: Final = 1 << 16
"""What OWN_REGISTER says in the table of a packet that is flooded; ports and entries that teach are numbered below, or
have a flag in the metadata."""
EVERYWHERE: Final = ASKED | 1 << 17
"""The same of one that goes everywhere for certain."""
_WHOLE_PRIORITY: Final = 210
_KNOWN_PRIORITY: Final = 220
_FROM_PRIORITY: Final = 230
"""Where packets come from matters."""
_TOLD_PRIORITY: Final = 240
_ARP, _ARP_REQUEST = 0x0806, 1
_ICMPV6, _SOLICITATION = 58, 135
_TO_SEVERAL: Final = tlv(of13.OFPXMT_OFB_ETH_DST, GROUP_BIT, GROUP_BIT)


@dataclass(frozen=True, slots=True)
class Known:
    """Frames that matter to some lports only."""

    match: bytes
    """Canonical TLVs."""
    lports: tuple[Lport, ...]
    told: bytes | None = None
    """Those of them that tell what the others ask for, and so matter everywhere. They do too where they come from one
    of the lports, unless this is None: then these come to the other ones."""


def known(view: LogicalSwitchView) -> list[Known]:
    """What is known of where frames matter: disjoint cases."""
    macs: dict[Mac, list[Lport]] = {}
    addresses: dict[HostAddress, list[Lport]] = {}
    for lport in view.lports:
        if _is_bound(lport):
            for mac in lport.macs:
                macs.setdefault(mac, []).append(lport)
            for address in lport.addresses:
                addresses.setdefault(address, []).append(lport)
    found = [Known(tlv(of13.OFPXMT_OFB_ETH_DST, mac.value), tuple(macs[mac])) for mac in sorted(macs)]
    for address in sorted(addresses):
        asked, told = _solicitation(address) if address.version == 6 else _arp(address)
        found.append(Known(asked, tuple(addresses[address]), told))
    return found


def _arp(address: HostAddress) -> tuple[bytes, bytes]:
    before = (_TO_SEVERAL + tlv(of13.OFPXMT_OFB_ETH_TYPE, _ARP) + tlv(of13.OFPXMT_OFB_ARP_OP, _ARP_REQUEST))
    sender, target = tlv(of13.OFPXMT_OFB_ARP_SPA, address.value), tlv(of13.OFPXMT_OFB_ARP_TPA, address.value)
    return before + target, before + sender + target


def _solicitation(address: HostAddress) -> tuple[bytes, bytes]:
    before = _TO_SEVERAL + tlv(of13.OFPXMT_OFB_ETH_TYPE, ETH_TYPE_IPV6) + tlv(of13.OFPXMT_OFB_IP_PROTO, _ICMPV6)
    sender = tlv(of13.OFPXMT_OFB_IPV6_SRC, address.value)
    asked = tlv(of13.OFPXMT_OFB_ICMPV6_TYPE, _SOLICITATION) + tlv(of13.OFPXMT_OFB_IPV6_ND_TARGET, address.value)
    return before + asked, before + sender + asked


def narrows(edge: Edge) -> bool:
    """Whether floods are looked up on an edge."""
    return not edge.plain and any(_is_bound(lport) and (lport.macs or lport.addresses)
                                  for lport in edge.logical_switch.lports)


def _is_bound(lport: Lport) -> bool:
    """Whether there may be hosts behind it."""
    return lport.vif is not None or lport.peer is not None


def groups(edge: Edge, ingress: Lport | None, everywhere: bytes) -> list[Group]:
    """What floods the packets of an ingress lport (None: any that is not shared); the buckets `everywhere` send a copy
    to every other lport."""
    kind, index = (GroupKind.FLOOD, 0) if ingress is None else (GroupKind.FLOOD_FROM, ingress.index)
    flood = edge.group_id(kind, index)
    if not narrows(edge):
        return [Group(flood, of13.OFPGT_ALL, everywhere)]
    return [Group(flood, of13.OFPGT_INDIRECT, bucket(_look(ASKED))),
            Group(_whole(edge, ingress), of13.OFPGT_ALL, everywhere)]


def _whole(edge: Edge, ingress: Lport | None) -> int:
    """The group that floods everywhere, where the one that entries name looks a packet up."""
    if ingress is None:
        return edge.group_id(GroupKind.FLOOD, edge.layout.second(0))
    return edge.group_id(GroupKind.FLOOD_FROM, edge.layout.second(ingress.index))


def _look(what: int) -> bytes:
    return _set(what) + actions.resubmit(Table.ASIDE)


def _set(what: int) -> bytes:
    return actions.set_field(tlv(OWN_REGISTER.number, what))


def rules(edge: Edge) -> list[Rule]:
    """What the table says on an edge."""
    if not narrows(edge):
        return []
    layout, ls_id = edge.layout, edge.logical_switch.ls_id
    anywhere = metadata_tlv(layout.context(ls_id), layout.logical_switch_mask)
    asked = tlv(OWN_REGISTER.number, ASKED)

    def rule(priority: int, context: bytes, match: bytes, do: bytes) -> Rule:
        return Rule(Table.ASIDE, priority, context + match, build(Instructions(apply=do)), cookie(ls_id, FLOODED))

    def entered(lport: Lport) -> bytes:
        return metadata_tlv(layout.context(ls_id, lport.index), layout.logical_switch_mask | layout.lport_mask)

    found = [rule(_WHOLE_PRIORITY, metadata_tlv(layout.context(ls_id), layout.logical_switch_mask | SHARED_FLAG),
                  tlv(OWN_REGISTER.number, ASKED, ASKED), _send(actions.group(_whole(edge, None))))]
    found += [rule(_WHOLE_PRIORITY, entered(lport), tlv(OWN_REGISTER.number, ASKED, ASKED),
                   _send(actions.group(_whole(edge, lport)))) for lport in edge.shared]
    for each in known(edge.logical_switch):
        usual = _to(each.lports, edge, None)
        found.append(rule(_KNOWN_PRIORITY, anywhere, each.match + asked, usual))
        if each.told is not None:
            found.append(rule(_TOLD_PRIORITY, anywhere, each.told + asked, _look(EVERYWHERE)))
            found += [rule(_FROM_PRIORITY, entered(lport), each.match + asked, _look(EVERYWHERE))
                      for lport in each.lports]
        for ingress in edge.shared:
            another = _to(each.lports, edge, ingress)
            if another != usual and (each.told is None or ingress not in each.lports):
                found.append(rule(_FROM_PRIORITY, entered(ingress), each.match + asked, another))
    return found


def _to(lports: Iterable[Lport], edge: Edge, ingress: Lport | None) -> bytes:
    return _send(b"".join(lower(actions.output(lport.number), edge, ingress, in_set=False) for lport in lports))


def _send(out: bytes) -> bytes:
    """Send with the register as it is outside the table."""
    return _set(0) + out
