"""Statistics of logical ports: what the hosts behind them sent and received, from physical ports, rules and groups.

A whole physical port is counted by the port itself. Of a sub-port, what came in is counted by its classify rule and
what went out by the groups that end there.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import TYPE_CHECKING

from hvproxy.hypervisor.counters import Count
from hvproxy.hypervisor.logical_port import LogicalPort
from hvproxy.model.layout import PLACE, GroupKind
from hvproxy.openflow.multipart import GroupStats, PortStats

if TYPE_CHECKING:
    from hvproxy.hypervisor.logical_switch import LogicalSwitch

_COUNTERS = tuple(f.name for f in fields(PortStats) if f.name not in ("port_no", "duration_sec", "duration_nsec"))


def port_stats(
    ls: LogicalSwitch, numbers: list[int], done: Callable[[list[PortStats], float], None], now: float
) -> None:
    """Statistics of these logical ports, in that order, once every datapath concerned has answered."""
    shared = {lport.number for lport in ls.view.lports if lport.shared}
    whole = {n: (port.vif.dpid, port.vif.port_no) for n in numbers
             if (port := ls.ports[n]).vif is not None and n not in shared}
    groups = {}
    for number in numbers:
        port = ls.ports[number]
        if number in shared and port.vif is not None:
            for kind in (GroupKind.LPORT, GroupKind.HAIRPIN):
                groups[port.vif.dpid, ls.layout.group_id(kind, ls.ls_id, port.index)] = number

    def with_ports(physical: Mapping[tuple[int, int], PortStats], at: float) -> None:
        if groups:
            ls.down.group_counts(groups, lambda sent, later: with_groups(physical, sent, later), at)
        else:
            with_groups(physical, {}, at)

    def with_groups(
        physical: Mapping[tuple[int, int], PortStats], sent: Mapping[tuple[int, int], GroupStats], at: float
    ) -> None:
        def with_rules(later: float) -> None:
            out: dict[int, Count] = {}
            for place, stats in sent.items():
                packets, octets = out.get(groups[place], (0, 0))
                out[groups[place]] = (packets + stats.packets, octets + stats.bytes)
            done([_of_shared(ls, ls.ports[n], out.get(n, (0, 0))) if n in shared
                  else _of_whole(ls.ports[n], physical.get(whole[n]) if n in whole else None)
                  for n in numbers if n in ls.ports], later)

        if groups:
            ls.read_counters(with_rules, at)
        else:
            with_rules(at)

    ls.down.port_counts(whole.values(), with_ports, now)


def _of_whole(port: LogicalPort, physical: PortStats | None) -> PortStats:
    if physical is None:
        return port.last_stats
    if port.counted_from is None:
        port.counted_from = physical
    start = port.counted_from
    port.last_stats = replace(
        physical, port_no=port.number,
        **{name: max(0, getattr(physical, name) - getattr(start, name)) for name in _COUNTERS})
    return port.last_stats


def _of_shared(ls: LogicalSwitch, port: LogicalPort, sent: Count) -> PortStats:
    received = ls.counters.total(PLACE | port.index)
    return PortStats(port.number, rx_packets=received[0], rx_bytes=received[1], tx_packets=sent[0], tx_bytes=sent[1])
