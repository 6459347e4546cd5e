"""The zones in which a logical switch tracks connections, as its controllers ask for them: they are had before what
names them is there, and flushed when a controller says so.

A zone that there is no room for is TABLE_FULL. Translations of addresses are for those whom the operator trusts: one
of an address into itself stops ovs-vswitchd 3.1, which tenants share (lib/conntrack.c, conn_update_state). Which zones
of the datapaths are whose is in hypervisor.tracking.
"""
from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from hvproxy.errors import Refused
from hvproxy.hypervisor.flow_mods import DELETE, DELETE_STRICT
from hvproxy.hypervisor.tracking import zones_named
from hvproxy.openflow import actions
from hvproxy.openflow.constants import NICIRA_ID, of13
from hvproxy.openflow.experimenters import NiciraError, decode_zone
from hvproxy.openflow.messages import FlowMod
from hvproxy.openflow.nicira_ct import CT
from hvproxy.openflow.oxm import Match
from hvproxy.openflow.oxm_fields import BY_NUMBER, CT_ZONE

if TYPE_CHECKING:
    from hvproxy.hypervisor.logical_switch import LogicalSwitch

_ACTION: Final = NICIRA_ID.to_bytes(4, "big") + CT.to_bytes(2, "big")
_FIELD: Final = BY_NUMBER[CT_ZONE].header.to_bytes(4, "big")
"""Bytes that a flow-mod has which names a zone."""


def may_name(mod: FlowMod) -> bool:
    """Whether a flow-mod adds what may name zones."""
    return (_ACTION in mod.instructions or _FIELD in mod.match) and mod.command not in (DELETE, DELETE_STRICT)


def wanted(ls: LogicalSwitch, mod: FlowMod, data: bytes) -> frozenset[int]:
    """The zones that a flow-mod with these actions names. Raises Refused where connections cannot be tracked in them.
    """
    zones = zones_named(Match.parse(mod.match), data)
    _check(ls, zones, data)
    return zones


def have(ls: LogicalSwitch, zones: Iterable[int], now: float) -> None:
    """Have zones of the datapaths for these, for which there is room."""
    new = ls.tracking.take(zones, ls.down.zones)
    if new:
        ls.ledger.state()
        _forget(ls, new, now)


def have_for(ls: LogicalSwitch, data: bytes, now: float) -> None:
    """The same for the actions of a packet-out. Raises Refused where there is no room."""
    zones = actions.zones(data)
    _check(ls, zones, data)
    have(ls, zones, now)


def flush(ls: LogicalSwitch, message: bytes, now: float) -> None:
    """A controller has the connections of a zone forgotten. Raises Refused."""
    padding, zone = decode_zone(message)
    if any(padding):
        raise Refused(of13.OFPET_EXPERIMENTER, NiciraError.MUST_BE_ZERO, "padding is not zero", NICIRA_ID)
    if zone in ls.tracking.zones:
        _forget(ls, [ls.tracking.zones[zone]], now)


def _check(ls: LogicalSwitch, zones: frozenset[int], data: bytes) -> None:
    if not ls.spec.nat and actions.translates(data):
        raise Refused(of13.OFPET_EXPERIMENTER, NiciraError.CT_DATAPATH_SUPPORT,
                      "the operator has not allowed translations of addresses (nat)", NICIRA_ID)
    ls.tracking.check(zones, ls.down.zones)
    if actions.tracks(data) and not ls.tracking.in_use and ls.extended and not ls.down.can_track(ls):
        raise Refused(of13.OFPET_FLOW_MOD_FAILED, of13.OFPFMFC_TABLE_FULL, "no labels left to track connections")


def _forget(ls: LogicalSwitch, below: Iterable[int], now: float) -> None:
    if ls.tracking.home is not None:
        ls.down.forget_connections(ls.tracking.home, below, now)
