"""What is left on a physical switch that is drained, and when that is over: when nothing has been there for as long as
Open vSwitch may go on by what it has cached.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hvproxy.hypervisor.drains import ALL, Key
from hvproxy.hypervisor.labels import DRAIN
from hvproxy.hypervisor.logical_port import LogicalPort
from hvproxy.hypervisor.logical_switch import LogicalSwitch
from hvproxy.model.schema import format_dpid
from hvproxy.model.view import Dpid

if TYPE_CHECKING:
    from hvproxy.hypervisor.hypervisor import Hypervisor


@dataclass(frozen=True, slots=True)
class Remains:
    """What is on a switch that is drained."""

    staying: list[tuple[LogicalSwitch, LogicalPort]]
    """Ports that have no other place."""
    moving: list[tuple[LogicalSwitch, LogicalPort]]
    down: list[tuple[LogicalSwitch, LogicalPort]]
    """Ports that have nowhere to go and are down by force."""
    paths: list[tuple[Dpid, Dpid]]
    """Pairs of other switches between which there is no other way."""

    @property
    def nothing(self) -> bool:
        return not (self.staying or self.moving or self.paths)


def look(hv: Hypervisor, now: float) -> None:
    """See which drains are over."""
    for key in hv.drains.keys:
        if not (hv.rollout.settled and remains(hv, key).nothing):
            hv.drains.changed(key)
        elif now - hv.drains.quiet_since.setdefault(key, now) >= DRAIN and key not in hv.drains.over:
            hv.drains.over.add(key)
            hv.out.log("info", "switch drained", dpid=format_dpid(key[0]), logical_switch=key[1] or None)


def remains(hv: Hypervisor, key: Key) -> Remains:
    """What is on the switch of one."""
    dpid, name = key
    found = Remains([], [], [], hv.fabric.crossing(dpid) if name == ALL else [])
    for ls in hv.logical_switches.values() if name == ALL else (hv.logical_switches[name],):
        for port in ls.ports.values():
            if dpid in port.dpids:
                place = hv.place(ls, port)
                found_in = found.staying if place is not None and place[0] == dpid else found.moving
                found_in.append((ls, port))
            elif port.spec.attach is not None and hv.drains.banned(ls.spec.name, dpid):
                said = hv.places.said(port.spec.attach)
                if port.vif is None and said is not None and said[0] == dpid:
                    found.down.append((ls, port))
    return found
