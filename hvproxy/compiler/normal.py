"""Output to NORMAL as entries of two hidden tables, which every edge of a logical switch holds (semantics, trap 8).

A packet that a tenant outputs to NORMAL is resubmitted to LEARN. There a source address that is not known at its port
goes to hvproxy in a copy; SWITCH then sends to the port of the destination address, or floods. The entries are
compiled as a tenant's are, so that ports, moves and sub-ports are handled in one place. What is known is told by
hypervisor.mac_table; what is done for it follows Open vSwitch 3.1 with all ports as trunks.
"""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from hvproxy.model.hosts import GROUP_BIT
from hvproxy.model.layout import HIDDEN, Table
from hvproxy.model.rules import Rule
from hvproxy.openflow import actions
from hvproxy.openflow.constants import of13
from hvproxy.openflow.instructions import Instructions
from hvproxy.openflow.nicira import SAME_TABLE
from hvproxy.openflow.oxm import Match, tlv
from hvproxy.openflow.oxm_fields import VLAN_ETH_TYPES, VLAN_ID

LEARN: Final = Table.LEARN - Table.LOGICAL
"""The tables as the compiler counts them, from the tenant's first."""
SWITCH: Final = Table.SWITCH - Table.LOGICAL
UNTAGGED_SOURCE: Final = HIDDEN | 1
"""The numbers of the entries that copy frames of unknown sources to hvproxy."""
TAGGED_SOURCE: Final = HIDDEN | 2
FIRST_HOST: Final = 16
"""From here on a host's number gives the numbers of its two entries."""
_LAST_HOST: Final = (1 << 28) - 1
_KNOWN_PRIORITY: Final = 100
_RESERVED_PRIORITY: Final = 200
_PARTIAL_PRIORITY: Final = 201
_RESERVED: Final[tuple[tuple[int, int], ...]] = (
    (0x0180C2000000, 0xFFFFFFFFFFF0),
    (0x00E02B000000, 0xFFFFFFFFFFFF), (0x00E02B000004, 0xFFFFFFFFFFFF), (0x00E02B000006, 0xFFFFFFFFFFFF),
    (0x01000C000000, 0xFFFFFFFFFFFF), (0x01000CCCCCCC, 0xFFFFFFFFFFFE), (0x01000CCDCDCD, 0xFFFFFFFFFFFF),
    (0x01000CCCCCC0, 0xFFFFFFFFFFF8),
)
"""(address, mask) of the protocols between switches, which Open vSwitch does not pass on."""


@dataclass(eq=False, slots=True)
class HiddenEntry:
    """An entry of a hidden table. Compared and hashed by identity, as a tenant's."""

    number: int
    table_id: int
    priority: int
    match: Match
    instructions: Instructions
    rules: dict[int, tuple[Rule, ...]] = field(default_factory=dict)
    """dpid -> the rules last compiled for it."""


def is_reserved(address: int) -> bool:
    """Whether what is sent to an address goes nowhere: it is for protocols between switches."""
    return any(not (address ^ reserved) & mask for reserved, mask in _RESERVED)


def next_host(number: int) -> int:
    """The host number after another."""
    return number + 1 if number < _LAST_HOST else FIRST_HOST


def fixed() -> list[HiddenEntry]:
    """The entries that do not depend on what is known."""
    to_switch = Instructions(goto=SWITCH)
    tell = Instructions(goto=SWITCH, apply=actions.output(of13.OFPP_CONTROLLER))
    from_controller = tlv(of13.OFPXMT_OFB_IN_PORT, of13.OFPP_CONTROLLER)
    from_several = tlv(of13.OFPXMT_OFB_ETH_SRC, GROUP_BIT, GROUP_BIT)
    entries = [
        HiddenEntry(UNTAGGED_SOURCE, LEARN, 2, Match.from_tlvs(_vlan(0)), tell),
        HiddenEntry(TAGGED_SOURCE, LEARN, 1, Match.EMPTY, tell),
        # What a controller sends without a port, and multicast sources, teach nothing.
        HiddenEntry(HIDDEN | 3, LEARN, 3, Match.from_tlvs(from_controller), to_switch),
        HiddenEntry(HIDDEN | 4, LEARN, 4, Match.from_tlvs(from_several), to_switch),
        HiddenEntry(HIDDEN | 5, SWITCH, 1, Match.EMPTY, Instructions(apply=actions.output(of13.OFPP_FLOOD))),
    ]
    for number, (address, mask) in enumerate(_RESERVED, start=HIDDEN | 6):
        entries.append(HiddenEntry(number, LEARN, _RESERVED_PRIORITY,
                                   Match.from_tlvs(tlv(of13.OFPXMT_OFB_ETH_DST, address, mask)), Instructions()))
    # What is left when the only tag that a switch can see is taken off: a tag that it cannot.
    for number, eth_type in enumerate(sorted(VLAN_ETH_TYPES), start=HIDDEN | 6 + len(_RESERVED)):
        hidden_tag = tlv(of13.OFPXMT_OFB_ETH_TYPE, eth_type) + tlv(of13.OFPXMT_OFB_VLAN_VID, of13.OFPVID_NONE)
        entries.append(HiddenEntry(number, LEARN, _PARTIAL_PRIORITY, Match.from_tlvs(hidden_tag), Instructions()))
    # A tag that tells neither a VLAN nor a priority does not leave; what is behind it is switched the same way.
    says_nothing = tlv(of13.OFPXMT_OFB_VLAN_VID, of13.OFPVID_PRESENT) + tlv(of13.OFPXMT_OFB_VLAN_PCP, 0)
    entries.append(HiddenEntry(HIDDEN | 6 + len(_RESERVED) + len(VLAN_ETH_TYPES), SWITCH, _RESERVED_PRIORITY,
                               Match.from_tlvs(says_nothing), Instructions(
                                   apply=actions.pop_vlan() + actions.resubmit(SAME_TABLE))))
    return entries


def source(host: int, port: int, address: int, vlan: int) -> HiddenEntry:
    """Frames of a known host are not copied; what it counts tells that the host is alive."""
    match = tlv(of13.OFPXMT_OFB_IN_PORT, port) + tlv(of13.OFPXMT_OFB_ETH_SRC, address) + _vlan(vlan)
    return HiddenEntry(HIDDEN | host << 1, LEARN, _KNOWN_PRIORITY, Match.from_tlvs(match), Instructions(goto=SWITCH))


def destination(host: int, port: int, address: int, vlan: int) -> HiddenEntry:
    """Frames for a known host go to its port, and nowhere if they come from there."""
    match = tlv(of13.OFPXMT_OFB_ETH_DST, address) + _vlan(vlan)
    return HiddenEntry(HIDDEN | host << 1 | 1, SWITCH, _KNOWN_PRIORITY, Match.from_tlvs(match),
                       Instructions(apply=actions.output(port)))


def _vlan(vlan: int) -> bytes:
    """A tag with VLAN 0 only carries a priority: it is as good as none."""
    return (tlv(of13.OFPXMT_OFB_VLAN_VID, of13.OFPVID_PRESENT | vlan) if vlan
            else tlv(of13.OFPXMT_OFB_VLAN_VID, 0, VLAN_ID))
