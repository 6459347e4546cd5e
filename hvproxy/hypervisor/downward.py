"""What a logical switch may ask of the rest of the hypervisor, and nothing more.

The protocol is the seam along which owners can later be processes of their own (design 1.7).
"""
from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Protocol

from hvproxy.hypervisor.counters import Count
from hvproxy.hypervisor.journal import Journal
from hvproxy.hypervisor.meter_ids import MeterIds
from hvproxy.hypervisor.soon import Soon
from hvproxy.hypervisor.tracking import Zones
from hvproxy.model.rules import Change
from hvproxy.model.view import Dpid
from hvproxy.openflow.abilities import SwitchTables
from hvproxy.openflow.meters import MeterFeatures, MeterStats
from hvproxy.openflow.multipart import GroupFeatures, GroupStats, PortStats

if TYPE_CHECKING:
    from hvproxy.hypervisor.logical_switch import LogicalSwitch


class Downward(Protocol):
    """The switches, as seen by the owner of a logical switch."""

    journal: Journal
    meter_ids: MeterIds
    zones: Zones
    soon: Soon
    wall: float
    """What must be added to the core's time for the day's."""

    def change(self, changes: Mapping[Dpid, Change], now: float, origin: object | None = None) -> None:
        """Install and remove; a refusal comes back with `origin`."""

    def confirm(self, dpids: Iterable[Dpid], done: Callable[[float], None], now: float) -> None:
        """Call `done` once all that was sent before to those datapaths is confirmed by barriers."""

    def configured(self, ls: LogicalSwitch, risen: Iterable[int], now: float) -> None:
        """The configuration of its ports has changed: carry that out, and tell. The ports `risen` are not down any
        more."""

    def when_settled(self, done: Callable[[float], None], now: float) -> None:
        """Call `done` once all that the fabric is to carry is confirmed."""

    def entry_counts(
        self, ls_id: int, dpids: Iterable[Dpid], heard: Callable[[Dpid, Mapping[int, Count], float], None],
        done: Callable[[float], None], now: float,
    ) -> None:
        """What the rules of a logical switch have counted, cookie number -> count: `heard` as each datapath answers,
        so before it says what a rule counted last, and `done` after the last. Numbers with layout.PLACE are the
        classify rules."""

    def port_counts(
        self, ports: Iterable[tuple[Dpid, int]], done: Callable[[Mapping[tuple[Dpid, int], PortStats], float], None],
        now: float,
    ) -> None:
        """Physical port statistics of those of the ports whose datapath answers."""

    def group_counts(
        self, groups: Iterable[tuple[Dpid, int]], done: Callable[[Mapping[tuple[Dpid, int], GroupStats], float], None],
        now: float,
    ) -> None:
        """(dpid, physical group id) -> its statistics, for those that answer."""

    def meter_counts(
        self, meters: Iterable[tuple[Dpid, int]], done: Callable[[Mapping[tuple[Dpid, int], MeterStats], float], None],
        now: float,
    ) -> None:
        """(dpid, physical meter id) -> its statistics, for those that answer."""

    def switch_tables(self, dpids: Iterable[Dpid]) -> Collection[SwitchTables]:
        """What the tables of these datapaths can do, of those that were asked; equal ones are told once."""

    def meter_features(self, dpids: Iterable[Dpid]) -> MeterFeatures:
        """What the meters of all these datapaths can do alike; what Open vSwitch can where none has told."""

    def packet_out(self, dpid: Dpid, in_port: int, actions: bytes, data: bytes, now: float, origin: object) -> None:
        """Send a frame into a datapath."""

    def group_features(self, dpids: Iterable[Dpid]) -> Collection[GroupFeatures]:
        """What the groups of these datapaths can do, of those that have said it; equal ones are told once."""

    def leaving(self, dpid: Dpid) -> set[int]:
        """The cookies of rules that a datapath was told to remove and whose last counts it has not told."""

    def ready(self, dpid: Dpid) -> bool:
        """Whether a datapath is connected and reconciled."""

    def can_track(self, ls: LogicalSwitch) -> bool:
        """Whether it can have a home, with all that its frames need to get there."""

    def forget_connections(self, dpid: Dpid, zones: Iterable[int], now: float) -> None:
        """Have a datapath forget what it knows of some zones."""

    def barrier_answered(self, seconds: float) -> None:
        """A tenant's barrier took so long."""

    def log(self, level: str, event: str, **fields: object) -> None:
        """Tell the operator."""
