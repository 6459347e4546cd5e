"""Statistics of logical ports: what the hosts behind them sent and received, from physical ports, rules and groups.

A whole physical port is counted by the port itself. Of a sub-port, and of a whole port that has sub-ports beside it,
what came in is counted by its classify rule and what went out by the groups that end there. What is told never
decreases (trap 7): a tally adds up how much each source has grown, and begins anew where the source is another one or
has started again.
"""
from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Final, TypeAlias

from hvproxy.hypervisor.counters import Count
from hvproxy.hypervisor.gather import all_of
from hvproxy.model.layout import FRAGMENT, PLACE, GroupKind
from hvproxy.model.view import Vif
from hvproxy.openflow.constants import of13
from hvproxy.openflow.multipart import GroupStats, PortStats

if TYPE_CHECKING:
    from hvproxy.hypervisor.logical_port import LogicalPort
    from hvproxy.hypervisor.logical_switch import LogicalSwitch

COUNTERS: Final = tuple(f.name for f in fields(PortStats) if f.name not in ("port_no", "duration_sec", "duration_nsec"))
NOT_KEPT: Final = (1 << 64) - 1
"""Stands for a counter that a switch does not keep (OF 1.3.5 section 7.3.5.6)."""
Reading: TypeAlias = tuple[Hashable, Mapping[str, int]]
"""A source and what it shows."""
BY_RULES: Final = "rules"
"""The source of what a port's own rules count."""
BY_PEER: Final = "peer"
"""The source of what a port has sent to the one it is wired to, and that has received."""
_SENT: Final = (GroupKind.LPORT, GroupKind.HAIRPIN)
_ITS_OWN: Final = 0
"""No VLAN: of a whole port, what is not the sub-ports' beside it. As a source, a port in part is another than all of
it."""


class Tally:
    """What one logical port has counted, wherever it was."""

    def __init__(self) -> None:
        self.totals: dict[str, int] = dict.fromkeys(COUNTERS, 0)
        self.shown: dict[str, tuple[Hashable, int]] = {"rx_packets": (BY_RULES, 0), "rx_bytes": (BY_RULES, 0)}
        """Counter -> the source read last and what it showed. The port's own rules count from nothing."""
        self.former: dict[str, tuple[Hashable, int]] = {}
        """The same for the place that the port is moving from, which counts as well."""
        self.closed = False
        """Nothing is counted until `begin`: the tenant has the port down, and its frames are those of none."""
        self.changed = False
        """Something was counted, or it counts from elsewhere, since that was noted."""
        self._peer: Hashable = None
        """What it was wired to last."""

    def wired_to(self, peer: Hashable) -> None:
        """The port is wired to that one: what another one has received does not count on."""
        if self._peer not in (None, peer):
            for name in [name for name, (source, _) in self.shown.items() if source == BY_PEER]:
                del self.shown[name]
        self._peer = peer

    def begin(self, source: Hashable, values: Mapping[str, int]) -> None:
        """Count from here: what a source shows now is not this port's to tell."""
        self.shown.update({name: (source, value) for name, value in values.items()})
        self.changed = True

    def move(self) -> None:
        """The port begins to move: another source comes to that of now."""
        self.former, self.shown = self.shown, {}
        self.changed = True

    def arrived(self) -> None:
        """It has moved."""
        self.former = {}
        self.changed = True

    def add(self, source: Hashable, values: Mapping[str, int]) -> None:
        """Take a reading; the first one of another source only says from where it counts."""
        for name, value in values.items():
            shown = self.former if self.former.get(name, (None, 0))[0] == source else self.shown
            before, last = shown.get(name, (None, 0))
            if before == source and value != NOT_KEPT and not self.closed:
                self.totals[name] += value - last if value >= last else value
            self.changed |= before != source or value != last
            shown[name] = (source, value)


def begin(ls: LogicalSwitch, numbers: Iterable[int], done: Callable[[float], None], now: float) -> None:
    """These ports are carried where they are bound now: their statistics go on from here."""
    where = {number: ls.ports[number].vif for number in numbers}

    def read(readings: Mapping[int, list[Reading]], at: float) -> None:
        for number, several in readings.items():
            port = ls.ports.get(number)
            if port is not None and port.vif == where[number]:
                for source, values in several:
                    if source in (BY_RULES, BY_PEER):
                        port.tally.add(source, values)  # rules that are gone are in it too
                    else:
                        port.tally.begin(source, values)
                port.tally.closed = bool(port.config & of13.OFPPC_PORT_DOWN)
                ls.ledger.tallied(port)
        done(at)

    _read(ls, list(where), read, now)


def close(ls: LogicalSwitch, number: int, now: float) -> None:
    """The tenant has this port down: its statistics end with what its sources show now, until `begin`."""
    port = ls.ports[number]

    def read(stats: list[PortStats], at: float) -> None:
        port.tally.closed = bool(port.config & of13.OFPPC_PORT_DOWN)
        port.tally.changed = True
        ls.ledger.tallied(port)

    port_stats(ls, [number], read, now)


def port_stats(
    ls: LogicalSwitch, numbers: list[int], done: Callable[[list[PortStats], float], None], now: float
) -> None:
    """Statistics of these logical ports, in that order, once every datapath concerned has answered."""
    def read(readings: Mapping[int, list[Reading]], at: float) -> None:
        told = []
        for number in numbers:
            port = ls.ports.get(number)
            if port is not None:
                for source, values in readings.get(number, ()):
                    port.tally.add(source, values)
                ls.ledger.tallied(port)
                lived = max(0.0, at - port.created)
                told.append(PortStats(number, **port.tally.totals, duration_sec=int(lived),
                                      duration_nsec=int(lived % 1 * 1e9)))
        done(told, at)

    _read(ls, numbers, read, now)


def _read(
    ls: LogicalSwitch, numbers: list[int], done: Callable[[Mapping[int, list[Reading]], float], None], now: float
) -> None:
    """What the sources of these ports show, of those whose datapath answers."""
    shared = ls.sharing
    whole: dict[int, list[Vif]] = {}
    parts: dict[int, Vif] = {}
    wires = {number: wire for number in numbers if (wire := ls.ports[number].wire) is not None}
    for number in numbers:
        vif = ls.ports[number].vif
        if vif is not None and number in shared:
            parts[number] = vif
        elif vif is not None:
            former = ls.ports[number].former
            whole[number] = [vif] if former is None else [vif, former]
    groups = {number: [(vif.dpid, ls.layout.group_id(kind, ls.ls_id, index))
                       for kind, index in _groups(ls, ls.ports[number].index, vif)] for number, vif in parts.items()}
    readings: dict[int, list[Reading]] = {}

    def physical(found: Mapping[tuple[int, int], PortStats], at: float) -> None:
        for number, vifs in whole.items():
            for vif in vifs:
                stats = found.get((vif.dpid, vif.port_no))
                if stats is not None:
                    readings.setdefault(number, []).append((vif, {name: getattr(stats, name) for name in COUNTERS}))
        ls.down.group_counts([place for places in groups.values() for place in places], sent, at)

    def sent(found: Mapping[tuple[int, int], GroupStats], at: float) -> None:
        for number, places in groups.items():
            readings[number] = []
            if all(place in found for place in places):
                vif = parts[number]
                readings[number].append((replace(vif, vlan=_ITS_OWN) if vif.vlan is None else vif, {
                    "tx_packets": sum(found[place].packets for place in places),
                    "tx_bytes": sum(found[place].bytes for place in places)}))
        reading = {ls: {vif.dpid for vif in parts.values()}} if parts else {}
        for wire in wires.values():
            for each in (ls, wire.ls):
                reading.setdefault(each, set()).update(each.edges)
        one = all_of(len(reading), received, at)
        for each, dpids in reading.items():
            each.read_counters(one, at, dpids)

    def received(at: float) -> None:
        for number in (*parts, *wires):
            port = ls.ports.get(number)
            if port is not None:
                packets, octets = _entered(ls, port)
                readings.setdefault(number, []).append((BY_RULES, {"rx_packets": packets, "rx_bytes": octets}))
        for number, wire in wires.items():
            port = ls.ports.get(number)
            if port is not None and port.wire == wire:
                packets, octets = _entered(wire.ls, wire.port)
                readings[number].append((BY_PEER, {"tx_packets": packets, "tx_bytes": octets}))
        done(readings, at)

    ls.down.port_counts([(vif.dpid, vif.port_no) for vifs in whole.values() for vif in vifs], physical, now)


def _groups(ls: LogicalSwitch, index: int, vif: Vif) -> list[tuple[GroupKind, int]]:
    """Those that end at a part of a physical port; at a whole port beside others, what is looked at ends in one."""
    if vif.vlan is None:
        return [(GroupKind.LPORT, ls.layout.second(index))]
    return [(kind, index) for kind in _SENT]


def _entered(ls: LogicalSwitch, port: LogicalPort) -> Count:
    """What the rules have counted that let packets in by a port; it is noted when what follows from it is."""
    numbers = [kind | port.index for kind in (PLACE, FRAGMENT)]
    ls.ledger.counted(numbers)
    (packets, octets), (dropped, bytes_dropped) = (ls.counters.total(number) for number in numbers)
    return packets + dropped, octets + bytes_dropped
