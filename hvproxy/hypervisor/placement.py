"""Where the ports of logical switches are: looked up, given room in the fabric, carried out there, and told upward.

Everything that moves a port ends in `bind`: configuration, VIFs that come and go, switches and links that do, drains.
It decides nothing about frames (compiler) and knows no message of a switch.
"""
from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from hvproxy.hypervisor import group_counters, homes, metering, port_counters
from hvproxy.hypervisor.binding import resolve
from hvproxy.hypervisor.compiled_switch import joined
from hvproxy.hypervisor.logical_switch import LogicalSwitch
from hvproxy.hypervisor.port_states import is_up, largest_part
from hvproxy.hypervisor.rollout import Part
from hvproxy.hypervisor.wiring import neighbours
from hvproxy.model.rules import Change, Content
from hvproxy.model.view import Dpid
from hvproxy.openflow.constants import of13

if TYPE_CHECKING:
    from hvproxy.hypervisor.hypervisor import Hypervisor


def bind(hv: Hypervisor, ls: LogicalSwitch, now: float, risen: Iterable[int] = ()) -> None:
    """Look where the ports of a logical switch are now, and have the datapaths carry that out. Ports in `risen` are
    carried again as those that have moved are."""
    for number in risen:
        ls.ports[number].placed = False
    moved = resolve(hv, ls, now)
    hv.without_identifiers.discard(ls.spec.name)
    others = hv.attached.see(ls)
    turned = hv.sharing.turn(ls, moved, now)
    moving = _at_both_places(hv, ls, moved)
    found = hv.wiring.look(ls)
    for each in found.members:
        _see_edges(hv, each)
    for each in found.members:
        homes.settle(hv, each, now)
    if moved and not _has_room(hv, ls, moved):
        found.members += [each for each in hv.wiring.look(ls).members if each not in found.members]
        others |= hv.attached.see(ls)
    if moving:
        # The new place counts from here.
        port_counters.port_stats(ls, sorted(moving), lambda stats, at: None, now)
    _carry_out(hv, found.members, now)
    for dpid in {vif.dpid for number in moved if (vif := ls.ports[number].vif) is not None}:
        if hv.ready(dpid):
            hv.shortcomings.bound(dpid, ls)
    for name in sorted(hv.sharing.concerned(others) | (hv.sharing.refused if moved else set())):
        if name != ls.spec.name and name in hv.logical_switches:
            # What they send must not pass for these ports' before these are up; or there is room for them now.
            bind(hv, hv.logical_switches[name], now)
    hv.sharing.count_anew(ls, turned, now)
    for each in found.members:
        homes.turn(hv, each, now)
    hv.moves.drain(ls, now)
    placing = [number for number in (*moved, *risen) if number not in moving]
    if placing:
        hv.rollout.when_settled(lambda at: _placed(hv, ls, placing, at), now)
    for each, numbers in found.rewired.items():
        hv.rollout.when_settled(
            lambda at, each=each, numbers=numbers: _placed(hv, each, numbers, at), now)  # type: ignore[misc]
    for each in found.members:
        tell_ports(hv, each, now)


def find_room(hv: Hypervisor, now: float) -> None:
    """There may be labels now for those that had found none."""
    for name in sorted((hv.without_identifiers | hv.wiring.cut.keys()) & hv.logical_switches.keys()):
        bind(hv, hv.logical_switches[name], now)


def tell_ports(hv: Hypervisor, ls: LogicalSwitch, now: float) -> None:
    """Tell the controllers of a logical switch what is new of its ports, and its groups which of them live."""
    part = largest_part(hv, ls)
    for port in ls.ports.values():
        for desc, configured_by in port.news(is_up(hv, ls, port, part)):
            ls.tell_port(desc, of13.OFPPR_MODIFY, configured_by)
    ls.ledger.ports()
    hv.change(ls.see_liveness(), now)


def _at_both_places(hv: Hypervisor, ls: LogicalSwitch, moved: Iterable[int]) -> set[int]:
    """Of the ports that have moved those that are still at the former place too; without room for that, none is."""
    moving = {number for number in moved if ls.ports[number].former is not None}
    if moving and not hv.fabric.room(*(each.seen() for each in hv.wiring.members(ls))):
        hv.switches.alarm("not enough labels for a port to be at both places: it is down while it moves",
                          logical_switch=ls.spec.name, ports=sorted(moving))
        for number in moving:
            ls.ports[number].former, ls.ports[number].placed = None, False
        moving = set()
    return moving


def _see_edges(hv: Hypervisor, ls: LogicalSwitch) -> None:
    """Take what is known of the edges of a logical switch."""
    ls.plain = frozenset(dp.dpid for dp in hv.switches.datapaths.values() if dp.offer.extended is False)
    edges = sorted({*ls.wired, *(dpid for port in ls.ports.values() for dpid in port.dpids)})
    ls.destinations = {dpid: hv.fabric.destination_index(dpid) for dpid in edges}
    for dpid in edges:
        hv.note_datapath(dpid)


def _has_room(hv: Hypervisor, ls: LogicalSwitch, moved: list[int]) -> bool:
    """Whether there are labels and groups for a logical switch as it is now; where not, what has moved is nowhere."""
    view = ls.seen()
    if hv.fabric.room(view) and ls.groups.room(port.index for port in view.apart):
        return True
    hv.switches.alarm("no identifiers left: logical ports stay down; widen fabric.vlan_range, or delete ports",
                      logical_switch=ls.spec.name, ports=moved)
    hv.without_identifiers.add(ls.spec.name)
    for number in moved:
        ls.ports[number].vif = ls.ports[number].former = None
    return False


def _carry_out(hv: Hypervisor, members: Iterable[LogicalSwitch], now: float) -> None:
    """Have the fabric and the edges do what has changed of these logical switches."""
    changed = [each for each in members if each.look_again()]
    if not changed:
        return
    parts: dict[Part, dict[Dpid, Content]] = {}
    entries: dict[LogicalSwitch, dict[Dpid, Change]] = {}
    for each in changed:
        parts.update(hv.fabric.place(each.view, now))
        if each.reshaped:
            entries[each] = metering.asking(each, each.meters.meters.values(), each.recompile_all, now)
    parting = {each: gone for each, change in entries.items() if (gone := group_counters.parting(each, change))}
    hv.rollout.aim(parts, now, joined(*entries.values()))
    for each, gone in parting.items():
        hv.rollout.when_settled(
            lambda at, each=each, gone=gone: group_counters.part(each, gone, at), now)  # type: ignore[misc]
    hv.tunnels.look_soon(now)


def _placed(hv: Hypervisor, ls: LogicalSwitch, numbers: Iterable[int], now: float) -> None:
    """The fabric carries these ports now; they are up once it is known from where their counters count."""
    ports = [(port, port.vif, port.wire) for number in numbers if (port := ls.ports.get(number)) is not None]

    def counted(at: float) -> None:
        for port, vif, wire in ports:
            port.placed = port.placed or (port.vif, port.wire) == (vif, wire) != (None, None)
        for each in (ls, *neighbours(ls)):
            tell_ports(hv, each, at)

    port_counters.begin(ls, [port.number for port, *_ in ports], counted, now)
