"""What a whole physical port that has sub-ports too sends: no frame that would pass for one of theirs.

A tenant that has the whole port may put any tag on its frames, also that of a sub-port beside it, which may be another
tenant's. So its outputs to such a guarded lport pass table EGRESS, on the edge where they are decided: there the
tenant's own tag is still to be seen, and behind the label of the fabric it is not. A frame under a tag that a switch
does not see, since one was taken off in front of it, may be anybody's and is not sent.

The group of a guarded lport names it in the metadata, which nobody reads any more, and has the frame looked up; what
passes goes to a second group, which does what that of any other lport does. Pure; for Open vSwitch only: other switches
cannot look frames up on their way out, and send nothing there (hypervisor.sharing).
"""
from __future__ import annotations

from typing import Final

from hvproxy.compiler.lowering import Edge
from hvproxy.model.layout import GUARD, GroupKind, Table, cookie
from hvproxy.model.rules import Rule
from hvproxy.model.view import Lport
from hvproxy.openflow import actions, nicira
from hvproxy.openflow.constants import of13
from hvproxy.openflow.instructions import Instructions, build
from hvproxy.openflow.nicira_parts import NXM_IN_PORT
from hvproxy.openflow.oxm import metadata_tlv, tlv
from hvproxy.openflow.oxm_fields import VLAN_ETH_TYPES

_OTHERS_PRIORITY: Final = 20
_OWN_PRIORITY: Final = 10
_DROP: Final = build(Instructions())


def passed(edge: Edge, lport: Lport) -> int:
    """The group of what has passed the table."""
    return edge.group_id(GroupKind.LPORT, edge.layout.second(lport.index))


def look(edge: Edge, lport: Lport, *, back: bool = False) -> bytes:
    """The actions that have a frame looked up; `back`: also if it came in at the physical port it is to leave by."""
    forget = nicira.load(0, 16, NXM_IN_PORT, 0) if back else b""
    context = edge.layout.context(edge.logical_switch.ls_id, lport.index)
    return forget + actions.set_field(tlv(of13.OFPXMT_OFB_METADATA, context)) + actions.resubmit(Table.EGRESS)


def rules(edge: Edge, lport: Lport) -> list[Rule]:
    """What the table of an edge says of a guarded lport."""
    layout, ls_id = edge.layout, edge.logical_switch.ls_id
    for_it = metadata_tlv(layout.context(ls_id, lport.index), layout.logical_switch_mask | layout.lport_mask)
    others = [tlv(of13.OFPXMT_OFB_VLAN_VID, of13.OFPVID_PRESENT | vid) for vid in sorted(lport.claimed)]
    others += [tlv(of13.OFPXMT_OFB_ETH_TYPE, eth_type) + tlv(of13.OFPXMT_OFB_VLAN_VID, of13.OFPVID_NONE)
               for eth_type in sorted(VLAN_ETH_TYPES)]
    owner = cookie(ls_id, GUARD | lport.index)
    send = build(Instructions(apply=actions.group(passed(edge, lport))))
    return [*(Rule(Table.EGRESS, _OTHERS_PRIORITY, for_it + other, _DROP, owner) for other in others),
            Rule(Table.EGRESS, _OWN_PRIORITY, for_it, send, owner)]
