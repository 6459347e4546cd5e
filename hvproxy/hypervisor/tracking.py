"""Connection tracking of logical switches: in which zones of the datapaths, and where.

A tenant's zones are its own: each that is named has a zone of the datapaths for good, which no other logical switch
has. What a zone of a datapath knows is forgotten when it is given to somebody. Each datapath knows its own connections
only: so one of the edges, the *home*, decides about all frames of a logical switch as soon as one of its entries
tracks connections, and it stays so. The home stays where it is as long as it can, for with it go the connections.

Pure; what is sent there is the compiler's business.
"""
from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from hvproxy.errors import Refused
from hvproxy.model.view import Dpid
from hvproxy.openflow import actions
from hvproxy.openflow.constants import of13
from hvproxy.openflow.oxm import Match
from hvproxy.openflow.oxm_fields import CT_ZONE

LAST_ZONE: Final = 0xFFFF
"""Zone 0 is left to the machine that a datapath runs on."""
MOST_ZONES: Final = 1024
"""Of one logical switch."""


class Zones:
    """The zones of the datapaths: one allocation for all logical switches."""

    def __init__(self) -> None:
        self._used: set[int] = set()
        self._last = 0
        """The one that was handed out last: another one has rested longer."""

    @property
    def free(self) -> int:
        """How many can be had."""
        return LAST_ZONE - len(self._used)

    def allot(self) -> int:
        """A zone that is nobody's; there must be one."""
        after = (self._last % LAST_ZONE + step for step in range(1, LAST_ZONE + 1))
        self._last = next(zone for each in after if (zone := (each - 1) % LAST_ZONE + 1) not in self._used)
        self._used.add(self._last)
        return self._last

    def take(self, zone: int) -> None:
        """It is somebody's since before a restart. Raises ValueError where it is another's, or cannot be."""
        if not 0 < zone <= LAST_ZONE or zone in self._used:
            raise ValueError(f"zone {zone} is another's")
        self._used.add(zone)
        self._last = max(self._last, zone)

    def release(self, zones: Iterable[int]) -> None:
        """They are nobody's any more."""
        self._used.difference_update(zones)


class Tracking:
    """What a logical switch has of it."""

    def __init__(self) -> None:
        self.zones: dict[int, int] = {}
        """The tenant's zone -> that of the datapaths."""
        self._tenants: dict[int, int] = {}
        self.in_use = False
        """Some entry has tracked connections."""
        self.home: Dpid | None = None
        self.resumes = False
        """Frames that enter elsewhere go to the home; it was made ready for them before."""

    @property
    def is_changing(self) -> bool:
        """The home is being made ready: what was set before is not carried out yet."""
        return self.home is not None and not self.resumes

    def live_at(self, home: Dpid | None) -> None:
        """Have that home. Where nothing tracks connections, and there is none, frames stay where they enter."""
        self.home = home
        self.resumes &= home is not None or self.in_use

    def check(self, zones: Collection[int], allocation: Zones) -> None:
        """Raises Refused unless the tenant can have all these zones."""
        wanted = len(set(zones) - self.zones.keys())
        if wanted > min(allocation.free, MOST_ZONES - len(self.zones)):
            raise Refused(of13.OFPET_FLOW_MOD_FAILED, of13.OFPFMFC_TABLE_FULL, "no zones left to track connections in")

    def take(self, zones: Iterable[int], allocation: Zones) -> list[int]:
        """Have zones for these of the tenant's, which it can have; those of the datapaths that are new."""
        new = []
        for zone in sorted(set(zones) - self.zones.keys()):
            new.append(allocation.allot())
            self._add(zone, new[-1])
        return new

    def restore(self, zones: Mapping[int, int], allocation: Zones) -> None:
        """Those that it had before a restart. Raises ValueError where one is another's."""
        for zone, below in zones.items():
            allocation.take(below)
            self._add(zone, below)

    def of_tenant(self, zone: int) -> int:
        """The tenant's number of a zone of the datapaths; 0 of one that is not his, as without a connection."""
        return self._tenants.get(zone, 0)

    def _add(self, zone: int, below: int) -> None:
        self.zones[zone] = below
        self._tenants[below] = zone


def zones_named(match: Match, data: bytes) -> frozenset[int]:
    """The tenant's zones that an entry with that match and these actions names."""
    asked = match.get(CT_ZONE)
    return actions.zones(data) if asked is None else actions.zones(data) | {asked[0]}


def choose(now: Dpid | None, bound: Iterable[Dpid], usable: Collection[Dpid]) -> Dpid | None:
    """The home of a logical switch whose ports are bound there: where it is now, if that will do; else the usable
    datapath with most ports, of equal ones that with the smallest id."""
    ports = Counter(bound)
    able = [dpid for dpid in ports if dpid in usable]
    return now if now in able else min(able, key=lambda dpid: (-ports[dpid], dpid), default=None)
