"""Handing down what logical switches ask for: the half of downward.Downward that is no question about counters."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import reduce

from hvproxy.hypervisor.gather import Gather, all_of
from hvproxy.hypervisor.links import Links
from hvproxy.hypervisor.tenant_meters import OFFERED
from hvproxy.model.rules import Change, Rule
from hvproxy.model.view import Dpid
from hvproxy.openflow.abilities import SwitchTables
from hvproxy.openflow.meters import MeterFeatures
from hvproxy.openflow.multipart import GroupFeatures


class ToSwitches(Gather):
    """Speaks to datapaths by their ids, over `switches`."""

    links: Links

    def send_change(self, dpid: Dpid, change: Change, now: float) -> None:
        self.switches.expect(dpid, now).change(change, now)

    def holds(self, dpid: Dpid, rule: object) -> bool:
        assert isinstance(rule, Rule)
        return self.switches.datapaths[dpid].desired.rules.get(rule.key) == rule

    def change(self, changes: Mapping[Dpid, Change], now: float, origin: object | None = None) -> None:
        for dpid, change in changes.items():
            self.switches.datapaths[dpid].change(change, now, origin)

    def confirm(self, dpids: Iterable[Dpid], done: Callable[[float], None], now: float) -> None:
        datapaths = [self.switches.datapaths[dpid] for dpid in sorted(dpids)]
        one_done = all_of(len(datapaths), done, now)
        for dp in datapaths:
            dp.confirm(one_done, now)

    def confirm_connected(self, dpids: Iterable[Dpid], done: Callable[[float], None], now: float) -> None:
        """As `confirm`, without those that are away or hang: a dead switch must not hold up the way around it, and gets
        everything at once when it is back."""
        self.confirm([dpid for dpid in dpids if self.links.answers(dpid)], done, now)

    def packet_out(self, dpid: Dpid, in_port: int, actions: bytes, data: bytes, now: float, origin: object) -> None:
        self.switches.datapaths[dpid].send_packet_out(in_port, actions, data, now, origin)

    def forget_connections(self, dpid: Dpid, zones: Iterable[int], now: float) -> None:
        for zone in zones:
            self.switches.datapaths[dpid].forget_connections(zone, now)

    def group_features(self, dpids: Iterable[Dpid]) -> set[GroupFeatures]:
        datapaths = self.switches.datapaths
        return {features for dpid in dpids if (features := datapaths[dpid].offer.group_features) is not None}

    def switch_tables(self, dpids: Iterable[Dpid]) -> set[SwitchTables]:
        datapaths = self.switches.datapaths
        return {tables for dpid in dpids if (tables := datapaths[dpid].offer.tables) is not None}

    def meter_features(self, dpids: Iterable[Dpid]) -> MeterFeatures:
        told = [dp.offer.meter_features for dpid, dp in self.switches.datapaths.items() if dpid in set(dpids)]
        return reduce(MeterFeatures.both, [each for each in told if each is not None] or [OFFERED])

    def leaving(self, dpid: Dpid) -> set[int]:
        return self.switches.datapaths[dpid].leaving

    def ready(self, dpid: Dpid) -> bool:
        return self.switches.ready(dpid)
