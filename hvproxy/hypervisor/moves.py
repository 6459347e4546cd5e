"""Logical ports that move from one place to another, both of which are there: without loss, and unseen by the tenant.

A move is one change of the binding. The port is bound to its new place at once and has its `former` one besides, until
the drain is over. Meanwhile

- its frames enter at both places, and at neither does what it sends come back to it;
- it and the edges concerned have both of their labels. Under the old ones frames are delivered as before, under the new
  ones as from now on. Each sender turns from old to new by changing one group, so each frame, of a flood too, is
  delivered at one place;
- what the switches hold is, as ever, a function of the bindings; Rollout puts what is new everywhere, then turns the
  groups that send, then removes what no frame can meet any more.

A place to which no way leads yet is waited for, as long as the grace: the tunnels that it takes are made meanwhile.

Two moves of a logical switch do not overlap, for there is no third label: a port that is to move waits for those that
do. Sub-ports, ports of a switch that is away, and those whose VIF is found by its iface-id and has left its former
place already, are taken down and up again instead: see `can_move`.

A frame that enters at a former place of the same switch is told to have come in at the new one. On another switch the
port is compiled apart as the ingress (view.Lport.shared) while it moves: entries that output cost a rule more there.
"""
from __future__ import annotations

from collections.abc import Collection, Mapping
from math import inf
from typing import TYPE_CHECKING

from hvproxy.hypervisor import port_counters
from hvproxy.hypervisor.labels import DRAIN
from hvproxy.hypervisor.logical_port import LogicalPort
from hvproxy.hypervisor.logical_switch import LogicalSwitch
from hvproxy.model.view import Dpid, PortNo, Vif

if TYPE_CHECKING:
    from hvproxy.hypervisor.hypervisor import Hypervisor


class Moves:
    """The moves under way, by logical switch."""

    def __init__(self, hv: Hypervisor) -> None:
        self._hv = hv
        self._ends: dict[LogicalSwitch, float] = {}
        """When the drain is over; not said while switches have not confirmed what comes before and after it."""
        self._awaited: dict[LogicalSwitch, dict[int, tuple[Dpid, float]]] = {}
        """Ports that move as soon as a way leads to that datapath, or then at the latest."""
        self._awaited_before: dict[int, tuple[Dpid, float]] = {}

    def look_anew(self, ls: LogicalSwitch) -> None:
        """The ports of a logical switch are bound anew now: who still waits says so again."""
        self._awaited_before = self._awaited.pop(ls, {})

    def too_early(self, port: LogicalPort) -> bool:
        """Whether a port that is to be elsewhere stays where it was before a restart: until all switches are known
        nobody can say whether it can move."""
        attach = port.spec.attach
        return self._hv.serving.settling_in and port.vif is not None and attach is not None and attach.place is not None

    def waits(self, ls: LogicalSwitch, port: LogicalPort, vif: Vif, other: LogicalPort | None, now: float) -> bool:
        """Whether a port stays where it is for now: its move follows those of its logical switch that are under way,
        and that of the port that leaves its place. `other` is the one that has that VIF."""
        leaving = other is not None and other.former == vif
        return self._both_there(port, vif) and (
            leaving or other is None and (ls in self._ends or self._waits_for_a_way(ls, port, vif.dpid, now)))

    def _waits_for_a_way(self, ls: LogicalSwitch, port: LogicalPort, dpid: Dpid, now: float) -> bool:
        assert port.vif is not None
        joined, before = self._hv.fabric.joined, port.vif.dpid
        edges = {each for other in ls.ports.values() if other is not port for each in other.dpids}
        if all(joined(ls.ls_id, edge, dpid) for edge in edges if joined(ls.ls_id, edge, before)):
            return False
        awaited, until = self._awaited_before.get(port.number, (None, 0.0))
        if awaited != dpid:
            until = now + self._hv.settings.grace
            self._hv.tunnels.look_soon(now)
        if now < until:
            self._awaited.setdefault(ls, {})[port.number] = dpid, until
        return now < until

    def edges_to_be(self, ls: LogicalSwitch) -> frozenset[Dpid]:
        """The datapaths that ports of a logical switch wait for a way to."""
        return frozenset(dpid for dpid, _ in self._awaited.get(ls, {}).values())

    def ways_changed(self, now: float) -> None:
        """There may be a way now for those that wait for one."""
        for ls in list(self._awaited):
            self._hv.bind(ls, now)

    def can_move(self, port: LogicalPort, vif: Vif) -> bool:
        """Whether a port can be at both places for a while: whole physical ports of its own, both up; on one switch,
        if that can be told that a frame has come in elsewhere."""
        old = port.vif
        if old is not None and old.dpid == vif.dpid and (
                self._hv.switches.datapaths[vif.dpid].offer.extended is False):
            return False
        users = [len(self._hv.attached.at((each.dpid, each.port_no))) for each in (port.vif, vif) if each is not None]
        return self._both_there(port, vif) and users == [1, 0]

    def _both_there(self, port: LogicalPort, vif: Vif) -> bool:
        attach = port.spec.attach
        return (attach is not None and port.vif is not None and self._hv.places.has(attach, port.vif)
                and port.up and port.placed and not self._hv.serving.settling_in
                and self._usable(port.vif) and self._usable(vif))

    def _usable(self, vif: Vif) -> bool:
        switches = self._hv.switches
        return (vif.vlan is None and switches.ready(vif.dpid) and switches.datapaths[vif.dpid].port_up(vif.port_no)
                and not self._hv.links.is_fabric_port(vif.dpid, vif.port_no))

    def begin(self, port: LogicalPort, vif: Vif) -> None:
        """Bind a port to its new place and leave it at its old one. What names the floods of both edges is turned by
        binding, once for all ports that begin to move together."""
        port.vif, port.former = vif, port.vif
        port.turned ^= port.crosses
        port.tally.move()

    @staticmethod
    def cut_short(port: LogicalPort) -> None:
        """A port leaves its former place at once: its VIF is no more there, and what enters may be another's."""
        port.former = None
        port.tally.arrived()

    def drain(self, ls: LogicalSwitch, now: float) -> None:
        """The ports that move are at both places as soon as the switches have confirmed; then the drain begins."""
        if ls in self._ends or not any(port.former is not None for port in ls.ports.values()):
            return

        def confirmed(at: float) -> None:
            if ls in self._ends:
                self._ends[ls] = at + DRAIN

        self._ends[ls] = inf
        self._hv.rollout.when_settled(confirmed, now)

    @property
    def deadline(self) -> float:
        if self._hv.serving.settling_in:
            return inf
        return min([*self._ends.values(), *(until for ports in self._awaited.values() for _, until in ports.values())],
                   default=inf)

    def tick(self, now: float) -> None:
        """Let go of the old places whose drain is over."""
        if now < self.deadline:
            return
        for ls in [ls for ls, ports in self._awaited.items() if any(until <= now for _, until in ports.values())]:
            self._hv.bind(ls, now)
        for ls in [ls for ls, end in self._ends.items() if end <= now]:
            self._ends[ls] = inf
            moved = [number for number, port in ls.ports.items() if port.former is not None]
            # What was counted there to the end.
            port_counters.port_stats(ls, moved, lambda stats, at, ls=ls: self._leave(ls, at), now)  # type: ignore[misc]

    def _leave(self, ls: LogicalSwitch, now: float) -> None:
        free: dict[Dpid, set[PortNo]] = {}
        for port in ls.ports.values():
            if port.former is not None:
                free.setdefault(port.former.dpid, set()).add(port.former.port_no)
                self.cut_short(port)
        if self._hv.logical_switches.get(ls.spec.name) is ls:
            self._hv.bind(ls, now)
        self._hv.rollout.when_settled(lambda at: self._over(ls, free, at), now)

    def _over(self, ls: LogicalSwitch, free: Mapping[Dpid, Collection[PortNo]], now: float) -> None:
        """Who has waited, for this or for a place that is free now, is bound."""
        del self._ends[ls]
        hv = self._hv
        waiting = [ls] if hv.logical_switches.get(ls.spec.name) is ls else []
        for dpid, numbers in free.items():
            waiting += hv.attached.concerned(hv.switches.datapaths[dpid], numbers)
        for each in dict.fromkeys(waiting):
            hv.bind(each, now)
