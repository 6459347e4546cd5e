"""Which place each logical port is to have: as the operator names it, or of those where databases say that its VIF is.

Of several the one that the databases put first counts, unless the operator names another, or drains its switch, and at
the other the port could be up. Whether a switch has that port, and who has it already, is for binding to see.
"""
from __future__ import annotations

from hvproxy.hypervisor.databases import Databases, Place
from hvproxy.hypervisor.drains import Drains
from hvproxy.hypervisor.links import Links
from hvproxy.hypervisor.switches import Switches
from hvproxy.model.hosts import Mac
from hvproxy.model.intent import AttachSpec
from hvproxy.model.view import Dpid, PortNo, Vif


class Places:
    """Where VIFs are."""

    def __init__(self, databases: Databases, switches: Switches, links: Links, drains: Drains) -> None:
        self._databases = databases
        self._switches = switches
        self._links = links
        self._drains = drains

    def of(self, logical_switch: str, attach: AttachSpec | None) -> tuple[Dpid, PortNo | str] | None:
        """The datapath and port where a VIF of that logical switch should be; None while nobody says so."""
        if attach is None:
            return None
        place = attach.place if attach.iface_id is None else self._chosen(logical_switch, attach)
        return None if place is None or self._drains.banned(logical_switch, place[0]) else place

    def said(self, attach: AttachSpec) -> tuple[Dpid, PortNo | str] | None:
        """The same, whatever is drained and preferred."""
        return attach.place if attach.iface_id is None else next(
            iter(self._databases.places.get(attach.iface_id, ())), None)

    def _chosen(self, logical_switch: str, attach: AttachSpec) -> Place | None:
        assert attach.iface_id is not None
        said = self._databases.places.get(attach.iface_id, ())

        def rank(place: Place) -> tuple[bool, bool, bool]:
            return (self._drains.banned(logical_switch, place[0]), self._drains.leaves(logical_switch, place[0]),
                    place[0] != attach.datapath)

        return min((place for place in said if place == said[0] or self._up(place)), key=rank, default=None)

    def _up(self, place: Place) -> bool:
        return (self._switches.ready(place[0]) and self._switches.datapaths[place[0]].port_up(place[1])
                and not self._links.is_fabric_port(*place))

    def mac(self, attach: AttachSpec | None, vif: Vif | None) -> Mac | None:
        """What the workload of a VIF is said to use there."""
        if attach is None or attach.iface_id is None or vif is None:
            return None
        return self._databases.macs.get((attach.iface_id, vif.dpid, vif.port_no))

    def has(self, attach: AttachSpec, vif: Vif) -> bool:
        """Whether what a logical port is attached to is still there: a VIF with an iface-id may have left."""
        return attach.iface_id is None or (vif.dpid, vif.port_no) in self._databases.there.get(attach.iface_id, ())
