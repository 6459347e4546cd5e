"""Which switch is the home of a logical switch that tracks connections, and when it begins to be.

Entries, groups and labels are there first; when that is confirmed, frames that enter elsewhere are sent there. A home
whose switch is away for good, is cut off, or holds no port of the logical switch any more is followed by another one,
at once and without the connections: until the frames find it they are lost, and none is decided upon without them.
"""
from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hvproxy.hypervisor.datapath_state import State
from hvproxy.hypervisor.logical_switch import LogicalSwitch
from hvproxy.hypervisor.tracking import choose
from hvproxy.model.view import Dpid

if TYPE_CHECKING:
    from hvproxy.hypervisor.hypervisor import Hypervisor


def settle(hv: Hypervisor, ls: LogicalSwitch, now: float, *, links_changed: bool = False) -> None:
    """Give a logical switch the home that suits its ports as they are bound now. Only a change of links cuts one off:
    those of a switch that is back come a moment after it."""
    tracking = ls.tracking
    home = _choice(hv, ls) if tracking.in_use else None
    if home != tracking.home and not links_changed and tracking.home in _present(hv, ls):
        return
    if home == tracking.home:
        return
    before, tracking.home = tracking.home, home
    if home is not None and not hv.fabric.room(ls.seen()):
        hv.switches.alarm("not enough labels for frames to get to where connections are tracked: they are dropped",
                          logical_switch=ls.spec.name)
        tracking.home = before if before in ls.seen().edges else None
    ls.ledger.state()
    if tracking.home is None or tracking.home == before:
        return
    # Whatever it knew was another time's.
    hv.forget_connections(tracking.home, tracking.zones.values(), now)


def turn(hv: Hypervisor, ls: LogicalSwitch, now: float) -> None:
    """Have frames that enter elsewhere come to the home, as soon as all is ready for them."""
    def ready(at: float) -> None:
        if ls.tracking.is_changing and hv.by_id.get(ls.ls_id) is ls and ls.view.home == ls.tracking.home:
            ls.tracking.resumes = True
            ls.ledger.state()
            hv.bind(ls, at)

    if ls.tracking.is_changing:
        hv.rollout.when_settled(ready, now)


def has_room(hv: Hypervisor, ls: LogicalSwitch) -> bool:
    """Whether a logical switch can have a home now: there is a switch, and labels for the way."""
    home = _choice(hv, ls)
    view = replace(ls.seen(), home=home)
    return home is None or hv.fabric.room(view) and ls.groups.room(lport.index for lport in view.apart)


def _choice(hv: Hypervisor, ls: LogicalSwitch) -> Dpid | None:
    present = _present(hv, ls)
    joined = {dpid for dpid in present if dpid not in ls.view.edges or not hv.is_cut_off(ls, dpid)}
    return choose(ls.tracking.home, _bound(ls), joined or present)


def _bound(ls: LogicalSwitch) -> list[Dpid]:
    return [port.vif.dpid for port in ls.ports.values() if port.vif is not None]


def _present(hv: Hypervisor, ls: LogicalSwitch) -> set[Dpid]:
    """The edges that can be a home; those that are away for good only where all are."""
    able = {dpid for dpid in _bound(ls) if hv.switches.datapaths[dpid].offer.extended is not False}
    return {dpid for dpid in able if hv.switches.datapaths[dpid].state is not State.ABSENT} or able
