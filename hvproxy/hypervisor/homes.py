"""Which switch is the home of a logical switch that tracks connections, and when it begins to be.

Entries, groups and labels are there first; when that is confirmed, frames that enter elsewhere are sent there. A home
whose switch is away for good, is cut off, or holds no port of the logical switch any more is followed by another one,
at once and without the connections: until the frames find it they are lost, and none is decided upon without them.
Logical switches that are wired together have one home, where packets cross from one to another.
"""
from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hvproxy.hypervisor.datapath_state import State
from hvproxy.hypervisor.logical_switch import LogicalSwitch
from hvproxy.hypervisor.port_states import is_cut_off
from hvproxy.hypervisor.tracking import choose
from hvproxy.model.view import Dpid

if TYPE_CHECKING:
    from hvproxy.hypervisor.hypervisor import Hypervisor


def settle(hv: Hypervisor, ls: LogicalSwitch, now: float, *, links_changed: bool = False) -> None:
    """Give a logical switch, and those it is wired to, the home that suits their ports as they are bound now. Only a
    change of links cuts one off: those of a switch that is back come a moment after it."""
    together = hv.wiring.together(ls)
    before = {each: each.tracking.home for each in together}
    here = _now(together)
    tracks = any(each.tracking.in_use for each in together)
    home = _choice(hv, together) if tracks else None
    if tracks and not links_changed and here in _present(hv, together):
        home = here
    changed = [each for each in together if before[each] != home]
    if not changed:
        return
    for each in together:
        each.tracking.live_at(home)
    if home is not None and not hv.fabric.room(*(each.seen() for each in together)):
        hv.switches.alarm("not enough labels for frames to get to where connections are tracked: they are dropped",
                          logical_switch=ls.spec.name)
        for each in together:
            each.tracking.live_at(before[each] if before[each] in each.seen().edges else None)
    for each in changed:
        each.ledger.state()
        if each.tracking.home is not None and each.tracking.home != before[each]:
            # Whatever it knew was another time's.
            hv.forget_connections(each.tracking.home, each.tracking.zones.values(), now)


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
    """Whether a logical switch, with those it is wired to, can have a home now: there is a switch, and labels for the
    way."""
    together = hv.wiring.together(ls)
    return _fits(hv, together, _choice(hv, together))


def room_for_wired(hv: Hypervisor, together: list[LogicalSwitch]) -> bool:
    """Whether there are labels for logical switches as they would be wired together, for the way to their home too."""
    tracks = any(each.tracking.in_use for each in together)
    return _fits(hv, together, _choice(hv, together) if tracks else None)


def _fits(hv: Hypervisor, together: list[LogicalSwitch], home: Dpid | None) -> bool:
    views = [replace(each.seen(), home=home) for each in together]
    return hv.fabric.room(*views) and all(
        each.groups.room(lport.index for lport in view.apart) for each, view in zip(together, views, strict=True))


def _now(together: list[LogicalSwitch]) -> Dpid | None:
    """Where their home is: that of one which tracks connections, for with it go the connections."""
    homes = [each.tracking.home for each in sorted(together, key=lambda each: not each.tracking.in_use)]
    return next((home for home in homes if home is not None), None)


def _choice(hv: Hypervisor, together: list[LogicalSwitch]) -> Dpid | None:
    present = _present(hv, together)
    joined = {dpid for dpid in present
              if not any(dpid in each.view.edges and is_cut_off(hv, each, dpid) for each in together)}
    return choose(_now(together), _bound(together), joined or present)


def _bound(together: list[LogicalSwitch]) -> list[Dpid]:
    return [port.vif.dpid for each in together for port in each.ports.values() if port.vif is not None]


def _present(hv: Hypervisor, together: list[LogicalSwitch]) -> set[Dpid]:
    """The edges that can be a home; those that are away for good only where all are."""
    able = {dpid for dpid in _bound(together) if hv.switches.datapaths[dpid].offer.extended is not False}
    return {dpid for dpid in able if hv.switches.datapaths[dpid].state is not State.ABSENT} or able
