"""How a switch that cannot be asked shows that it forwards: it sends certain frames back where they came from.

Such a frame has no tag and goes to an address beside that of discovery frames, from the one that stands for the switch
which is to send it back. That switch does so; any other hands it to hvproxy, as the one does that has sent it first.
Both only where it has come by a VLAN link: who is attached to a switch can neither send such a frame nor receive it.
Nothing in it is changed, which not every switch could do, and as no two switches are called alike it turns round once.
"""
from __future__ import annotations

from functools import lru_cache
from hashlib import blake2s

from hvproxy.model.hosts import GROUP_BIT
from hvproxy.model.layout import RuleKind, Table, cookie
from hvproxy.model.rules import Rule
from hvproxy.model.view import Dpid
from hvproxy.openflow import actions
from hvproxy.openflow.constants import of13
from hvproxy.openflow.instructions import Instructions, build
from hvproxy.openflow.oxm import tlv
from hvproxy.openflow.oxm_fields import ETH_TYPE_LLDP

BACK_PRIORITY = 70
UP_PRIORITY = 60
"""Labels are tags, and these frames have none: no rule of a label matches any of them."""
_LOCAL_BIT = GROUP_BIT << 1


def address(discovery_mac: int) -> int:
    """Where the frames go to."""
    return discovery_mac ^ 1


@lru_cache(maxsize=4096)
def name(discovery_mac: int, dpid: Dpid) -> int:
    """The source address of the frames that a datapath sends back: the same over restarts, as discovery's address is,
    and so long that chance gives no two datapaths the same."""
    digest = blake2s(discovery_mac.to_bytes(6, "big") + dpid.to_bytes(8, "big"), digest_size=6).digest()
    return int.from_bytes(digest, "big") & ~GROUP_BIT | _LOCAL_BIT


def rules(dpid: Dpid, discovery_mac: int) -> list[Rule]:
    """What a datapath with VLAN links holds for them."""
    towards = tlv(of13.OFPXMT_OFB_ETH_DST, address(discovery_mac))
    kind = tlv(of13.OFPXMT_OFB_ETH_TYPE, ETH_TYPE_LLDP) + tlv(of13.OFPXMT_OFB_VLAN_VID, 0)

    def rule(priority: int, source: bytes, apply: bytes) -> Rule:
        return Rule(Table.LABEL, priority, towards + source + kind, build(Instructions(apply=apply)),
                    cookie(0, RuleKind.REFLECTION))

    return [rule(BACK_PRIORITY, tlv(of13.OFPXMT_OFB_ETH_SRC, name(discovery_mac, dpid)),
                 actions.output(of13.OFPP_IN_PORT)),
            rule(UP_PRIORITY, b"", actions.output(of13.OFPP_CONTROLLER, of13.OFPCML_NO_BUFFER))]
