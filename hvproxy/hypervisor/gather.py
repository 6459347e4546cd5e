"""Asking several datapaths one question and calling back once, when the last has answered or is lost."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from hvproxy.hypervisor.counters import Count
from hvproxy.hypervisor.switches import Switches
from hvproxy.model.layout import LOGICAL_SWITCH_MASK, OURS_MASK, Table, cookie
from hvproxy.model.view import Dpid
from hvproxy.openflow.constants import of13
from hvproxy.openflow.meters import MeterStats, decode_meter_stats
from hvproxy.openflow.multipart import (
    FlowStatsRequest, GroupStats, Kind, PortStats, decode_flow_stats, decode_group_stats, decode_port_stats,
    encode_id_request,
)


def all_of(count: int, done: Callable[[float], None], now: float) -> Callable[[float], None]:
    """A callback for each of `count` parts; `done` is called after the last, at once when there is none."""
    if not count:
        done(now)
        return done
    left = count

    def one(at: float) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            done(at)

    return one


class Gather:
    """The questions of downward.Downward, over `switches`."""

    switches: Switches

    def entry_counts(
        self, ls_id: int, dpids: Iterable[Dpid], heard: Callable[[Dpid, Mapping[int, Count], float], None],
        done: Callable[[float], None], now: float,
    ) -> None:
        body = FlowStatsRequest(cookie=cookie(ls_id, 0), cookie_mask=OURS_MASK | LOGICAL_SWITCH_MASK).encode()
        asked = self._connected(dpids)
        one = all_of(len(asked), done, now)

        def counted(dpid: Dpid, bodies: list[bytes] | None, at: float) -> None:
            if bodies is not None:
                counts: dict[int, Count] = {}
                for part in bodies:
                    for stats in decode_flow_stats(part):
                        number = stats.cookie & 0xFFFFFFFF
                        packets, octets = counts.get(number, (0, 0))
                        if stats.table_id not in (Table.LABEL, Table.TUNNEL):
                            counts[number] = (packets + stats.packets, octets + stats.bytes)
                heard(dpid, counts, at)
            one(at)

        for dpid in asked:
            self._ask(dpid, Kind.FLOW, body, counted, now)

    def port_counts(
        self, ports: Iterable[tuple[Dpid, int]], done: Callable[[Mapping[tuple[Dpid, int], PortStats], float], None],
        now: float,
    ) -> None:
        found: dict[tuple[Dpid, int], PortStats] = {}
        wanted = frozenset(ports)
        asked = [(dpid, port) for dpid, port in sorted(wanted) if self.switches.ready(dpid)]
        one = all_of(len(asked), lambda at: done(found, at), now)

        def counted(dpid: Dpid, bodies: list[bytes] | None, at: float) -> None:
            for part in bodies or ():
                for stats in decode_port_stats(part):
                    if (dpid, stats.port_no) in wanted:
                        found[dpid, stats.port_no] = stats
            one(at)

        for dpid, port in asked:
            self._ask(dpid, Kind.PORT_STATS, encode_id_request(port), counted, now)

    def group_counts(
        self, groups: Iterable[tuple[Dpid, int]],
        done: Callable[[Mapping[tuple[Dpid, int], GroupStats], float], None], now: float,
    ) -> None:
        found: dict[tuple[Dpid, int], GroupStats] = {}
        asked = [(dpid, group) for dpid, group in sorted(groups) if self.switches.ready(dpid)]
        one = all_of(len(asked), lambda at: done(found, at), now)

        def counted(dpid: Dpid, bodies: list[bytes] | None, at: float) -> None:
            for part in bodies or ():
                for stats in decode_group_stats(part):
                    found[dpid, stats.group_id] = stats
            one(at)

        for dpid, group in asked:
            self._ask(dpid, Kind.GROUP, encode_id_request(group), counted, now)

    def meter_counts(
        self, meters: Iterable[tuple[Dpid, int]],
        done: Callable[[Mapping[tuple[Dpid, int], MeterStats], float], None], now: float,
    ) -> None:
        found: dict[tuple[Dpid, int], MeterStats] = {}
        wanted: dict[Dpid, set[int]] = {}
        for dpid, meter_id in meters:
            wanted.setdefault(dpid, set()).add(meter_id)
        asked = self._connected(wanted)
        one = all_of(len(asked), lambda at: done(found, at), now)

        def counted(dpid: Dpid, bodies: list[bytes] | None, at: float) -> None:
            for part in bodies or ():
                for stats in decode_meter_stats(part):
                    if stats.meter_id in wanted[dpid]:
                        found[dpid, stats.meter_id] = stats
            one(at)

        for dpid in asked:
            # One question, whatever it is about: a switch refuses the id of a meter that is just gone.
            self._ask(dpid, Kind.METER, encode_id_request(of13.OFPM_ALL), counted, now)

    def _connected(self, dpids: Iterable[Dpid]) -> list[Dpid]:
        return [dpid for dpid in sorted(dpids) if self.switches.ready(dpid)]

    def _ask(
        self, dpid: Dpid, kind: Kind, body: bytes,
        answered: Callable[[Dpid, list[bytes] | None, float], None], now: float,
    ) -> None:
        self.switches.datapaths[dpid].request(kind, body, lambda bodies, at: answered(dpid, bodies, at), now)
