"""Whole physical ports with VLAN sub-ports beside them: what of such a port is whose, and where it cannot be shared.

A frame under the tag of a sub-port is the sub-port's, whichever way it goes; all others are the whole port's. What the
whole port's tenant sends is looked at before it leaves (compiler.egress), which takes Open vSwitch on every edge of
that logical switch. Where one is known to be another switch, the later of the two stays down.
"""
from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Final

from hvproxy.hypervisor import port_counters
from hvproxy.hypervisor.attached import Place
from hvproxy.hypervisor.logical_switch import LogicalSwitch
from hvproxy.model.view import Vif

if TYPE_CHECKING:
    from hvproxy.hypervisor.hypervisor import Hypervisor

NOT_ALONE: Final = (
    "it would share its physical port with VIFs by VLAN, or with the VIF of the whole port, whose frames nobody could "
    "keep apart: not all switches of the whole port's logical switch are Open vSwitch; attach it elsewhere, or the "
    "whole port by a VLAN of its own")
NO_ROOM: Final = ("the logical switch that has the whole physical port has no identifiers left for variants of its "
                  "groups: attach it elsewhere, or have groups removed there")


class Sharing:
    """Asks where VIFs are (hypervisor.attached), and remembers who may not be there."""

    def __init__(self, hv: Hypervisor) -> None:
        self._hv = hv
        self.refused: set[str] = set()
        """Logical switches that have a port which stays down."""

    def claimed(self, ls: LogicalSwitch) -> dict[int, frozenset[int]]:
        """By number of ports that have a whole physical port: the VLANs of it that are sub-ports, if any."""
        found = {}
        for port in ls.ports.values():
            if port.vif is not None and port.vif.vlan is None:
                vids = {vif.vlan for own in (port.vif, port.former) if own is not None
                        for vif, _ in self._hv.attached.at((own.dpid, own.port_no)) if vif.vlan is not None}
                if vids:
                    found[port.number] = frozenset(vids)
        return found

    def turn(self, ls: LogicalSwitch, moved: Collection[int], now: float) -> set[int]:
        """Have a logical switch know what is claimed of its ports; the ports that are counted otherwise by that, of
        those that stay where they were. What they have counted so far is asked for."""
        claimed = self.claimed(ls)
        turned = {number for number in ls.claimed.keys() ^ claimed.keys() if number in ls.ports} - set(moved)
        if turned:
            port_counters.port_stats(ls, sorted(turned), lambda stats, at: None, now)
        ls.claimed = claimed
        return turned

    def count_anew(self, ls: LogicalSwitch, turned: Collection[int], now: float) -> None:
        """They count from what their new sources show as soon as these are there."""
        def settled(at: float) -> None:
            there = [number for number in sorted(turned) if number in ls.ports]
            port_counters.port_stats(ls, there, lambda stats, told: None, at)

        if turned:
            self._hv.rollout.when_settled(settled, now)

    def concerned(self, places: Iterable[Place]) -> set[str]:
        """The logical switches that have a whole one of these physical ports."""
        return {name for place in places for vif, name in self._hv.attached.at(place) if vif.vlan is None}

    def owner(self, place: Place, vlan: int) -> str | None:
        """The logical switch that has a VLAN of a physical port."""
        return next((name for vif, name in self._hv.attached.at(place) if vif.vlan == vlan), None)

    def why_not(self, ls: LogicalSwitch, vif: Vif) -> str:
        """Why a port cannot be there, beside who is there already; empty when it can."""
        beside = [(other, name) for other, name in self._hv.attached.at((vif.dpid, vif.port_no)) if other != vif]
        if vif.vlan is None:
            shared = any(other.vlan is not None for other, _ in beside)
            return NOT_ALONE if shared and self._beyond(ls.spec.name) else ""
        for whole, name in beside:
            if whole.vlan is None and self._beyond(name):
                return NOT_ALONE
            if whole.vlan is None and not self._room(name, whole):
                return NO_ROOM
        return ""

    def _room(self, name: str, whole: Vif) -> bool:
        """Whether the groups of a logical switch can have variants for the port that has this VIF."""
        ls = self._hv.logical_switches[name]
        shared = {lport.index for lport in ls.view.apart}
        return ls.groups.room(shared | {port.index for port in ls.ports.values() if port.vif == whole})

    def _beyond(self, name: str) -> bool:
        """Whether a logical switch is on switches that are known not to be Open vSwitch, or is to be."""
        hv = self._hv
        ls = hv.logical_switches.get(name)
        places = [] if ls is None else [hv.place(ls, port) for port in ls.ports.values()]
        datapaths = [hv.switches.datapaths.get(place[0]) for place in places if place is not None]
        return any(dp is not None and dp.offer.extended is False for dp in datapaths)
