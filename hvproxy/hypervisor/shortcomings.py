"""What each switch lacks of what hvproxy needs for the logical switches there, of which an operator is told.

That depends on how many logical tables it is to have. What is lacking and why is for `lacking` to say; nothing is
refused here.
"""
from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hvproxy.hypervisor.datapath import Datapath
from hvproxy.hypervisor.lacking import missing
from hvproxy.model.view import Dpid

if TYPE_CHECKING:
    from hvproxy.hypervisor.hypervisor import Hypervisor
    from hvproxy.hypervisor.logical_switch import LogicalSwitch

LACKS: Final = "a switch lacks what hvproxy needs"


class Shortcomings:
    """Of all switches."""

    def __init__(self, hv: Hypervisor) -> None:
        self._hv = hv
        self._told: dict[Dpid, list[str]] = {}
        """What each switch lacked when that was looked at last."""
        self._tables_seen: dict[Dpid, int] = {}
        """How many logical tables it was to have then."""

    def of(self, dp: Datapath) -> list[str]:
        """What a switch lacks now; nothing before it has told."""
        if dp.offer.features is None:
            return []
        return missing(dp.offer.features.n_tables, dp.offer.tables, dp.offer.group_features, self._tables_on(dp.dpid))

    def look(self, dp: Datapath) -> None:
        """Raise an alarm where a switch lacks what it did not lack, or was not needed, when that was looked at last."""
        lacks = self.of(dp)
        if lacks and lacks != self._told.get(dp.dpid):
            self._hv.switches.alarm(LACKS, dpid=f"{dp.dpid:016x}", missing=lacks)
        self._told[dp.dpid] = lacks
        self._tables_seen[dp.dpid] = self._tables_on(dp.dpid)

    def bound(self, dpid: Dpid, ls: LogicalSwitch) -> None:
        """Ports of a logical switch are bound on a switch that is ready: it may lack what it was not needed for."""
        if ls.tables_held > self._tables_seen.get(dpid, 0):
            self.look(self._hv.switches.datapaths[dpid])

    def _tables_on(self, dpid: Dpid) -> int:
        """How many logical tables a switch is to have for the logical switches there."""
        hv = self._hv
        decided = {*hv.attached.on(dpid), *(ls for ls in hv.logical_switches.values() if dpid in ls.edges)}
        return max((ls.tables_held for ls in decided), default=0)
