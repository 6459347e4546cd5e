"""Logical switches wired together: a packet that leaves one by a peer port goes on in the other, on the same datapath.

The group of a peer port writes the context of the other end and looks the packet up in HOP. There it is cloned as Open
vSwitch does it for its patch ports: registers, tunnel id and the tenant's metadata are 0 again, no connection is known,
the copy has an action set of its own, which is carried out with it, and no physical port counts as the one it came in
at, for that is another logical switch's. The copy, marked as what comes in by a shared port, is looked up there once
more: so it is classified by that end, and counted for both. Peer ports are compiled as shared ingress lports
(view.Lport.shared), so nothing goes back to them but what says IN_PORT.

Loops between logical switches are the tenants' own; a packet dies in them as in a network whose frames count hops. The
extensions of Open vSwitch are needed: where an edge lacks them, no port has a peer (hypervisor.wiring).

Pure; a port that is down is told by the view.
"""
from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from hvproxy.compiler.lowering import Edge
from hvproxy.model.layout import (
    CONTEXT_BIT, CONTEXT_BITS, CROSSES_FLAG, CROSSING_BITS, FIRST_CROSSING_BIT, FIRST_FLAG_BIT, FRAGMENT,
    IRREVOCABLE_FLAG, MOST_CROSSINGS, PLACE, SHARED_FLAG, ContextLayout, RuleKind, Table, cookie,
)
from hvproxy.model.rules import Content, Rule
from hvproxy.model.view import Lport
from hvproxy.openflow import actions, nicira, nicira_ct
from hvproxy.openflow.constants import of13
from hvproxy.openflow.instructions import Instructions, build
from hvproxy.openflow.nicira_parts import METADATA, NXM_IN_PORT
from hvproxy.openflow.oxm import metadata_tlv, tlv
from hvproxy.openflow.oxm_fields import IP_ETH_TYPES, NW_FRAG, REGISTERS, TENANT_BITS

PRIORITY: Final = 100
FRAGMENT_PRIORITY: Final = 102
SPANNING_TREE: Final = tlv(of13.OFPXMT_OFB_ETH_DST, 0x0180C2000000) + tlv(of13.OFPXMT_OFB_ETH_TYPE, 0x05FF)
"""What Open vSwitch takes in through a port that receives nothing else: a frame to this address without an Ethernet
type, which OpenFlow writes as type 0x05ff."""
_METADATA: Final = METADATA.header
_FLAG_BITS: Final = FIRST_CROSSING_BIT - FIRST_FLAG_BIT
_NO_PORT: Final = 0xFFFF
"""OFPP_NONE of OpenFlow 1.0."""
_LOOK: Final = nicira.resubmit(Table.HOP)
_CROSSINGS: Final = ((1 << CROSSING_BITS) - 1) << FIRST_CROSSING_BIT


def crossing(lport: Lport, layout: ContextLayout) -> bytes:
    """The actions that send a packet through a peer port to the other end."""
    peer = lport.peer
    assert peer is not None
    if peer.down:
        return b""
    context = layout.context(peer.ls_id, peer.index) | CROSSES_FLAG | (IRREVOCABLE_FLAG if peer.irrevocable else 0)
    return (nicira.load(CONTEXT_BIT, CONTEXT_BITS, _METADATA, context >> CONTEXT_BIT)
            + nicira.load(FIRST_FLAG_BIT, _FLAG_BITS, _METADATA, context >> FIRST_FLAG_BIT & (1 << _FLAG_BITS) - 1)
            + _LOOK)


def crossings() -> Content:
    """What every datapath needs on which packets cross: a packet that has crossed as often as it may is dropped."""
    content = Content()
    fresh = b"".join(actions.set_field(tlv(register.number, 0)) for register in REGISTERS)
    fresh += actions.set_field(tlv(of13.OFPXMT_OFB_TUNNEL_ID, 0))
    fresh += nicira_ct.clear() + nicira.load(0, TENANT_BITS, _METADATA, 0) + nicira.load(0, 16, NXM_IN_PORT, _NO_PORT)
    for done in range(MOST_CROSSINGS):
        entered = (CROSSES_FLAG | SHARED_FLAG | done + 1 << FIRST_CROSSING_BIT) >> FIRST_FLAG_BIT
        enter = fresh + nicira.load(FIRST_FLAG_BIT, _FLAG_BITS + CROSSING_BITS, _METADATA, entered) + _LOOK
        for irrevocable in (0, IRREVOCABLE_FLAG):
            # What a meter drops, or a connection translates, the datapath has not got any more, unless that is done to
            # a clone of the datapath's own. Open vSwitch makes one where it cannot take back what the actions do: cut
            # a packet, as this output, which leads to no port.
            apart = nicira.cut_output(nicira.SAME_PORT) if irrevocable else b""
            going = done << FIRST_CROSSING_BIT | CROSSES_FLAG | irrevocable
            content.add_rule(Rule(
                Table.HOP, PRIORITY,
                metadata_tlv(going, _CROSSINGS | CROSSES_FLAG | IRREVOCABLE_FLAG | SHARED_FLAG),
                build(Instructions(apply=nicira.clone(enter + apart))),
                cookie(0, RuleKind.CROSSING)))
    content.add_rule(Rule(Table.HOP, 1, metadata_tlv(CROSSES_FLAG, CROSSES_FLAG | SHARED_FLAG), b"",
                          cookie(0, RuleKind.CROSSING)))
    return content


def entering(edge: Edge) -> Iterator[Rule]:
    """What lets packets in by the peer ports of a logical switch."""
    layout, view = edge.layout, edge.logical_switch
    for lport in view.peers:
        context = layout.context(view.ls_id, lport.index) | SHARED_FLAG | CROSSES_FLAG
        mask = layout.logical_switch_mask | layout.lport_mask | SHARED_FLAG | CROSSES_FLAG
        here = metadata_tlv(context, mask)
        enter = build(Instructions(goto=Table.LOGICAL, clear=True, metadata=(0, CROSSES_FLAG)))
        owner = cookie(view.ls_id, PLACE | lport.index)
        taken = lport.receives and not lport.down
        yield Rule(Table.HOP, PRIORITY, here, enter if taken else b"", owner)
        if not taken and not lport.down:
            yield Rule(Table.HOP, PRIORITY + 1, here + SPANNING_TREE, enter, owner)
        if view.drops_fragments and not lport.down:
            for eth_type in sorted(IP_ETH_TYPES):
                yield Rule(Table.HOP, FRAGMENT_PRIORITY,
                           here + tlv(of13.OFPXMT_OFB_ETH_TYPE, eth_type) + tlv(NW_FRAG, 1, 1), b"",
                           cookie(view.ls_id, FRAGMENT | lport.index))
