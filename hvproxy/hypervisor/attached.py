"""Who is attached where: by what the operator named, and by where ports are bound. An index of what logical ports say.

A logical switch is looked at whenever it is bound; questions about one physical port, one switch or some VIFs then cost
what is there, and not all there is. Decides nothing.
"""
from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Final

from hvproxy.hypervisor.logical_port import LogicalPort
from hvproxy.hypervisor.logical_switch import LogicalSwitch
from hvproxy.model.intent import AttachSpec
from hvproxy.model.view import Dpid, PortNo, Vif

if TYPE_CHECKING:
    from hvproxy.hypervisor.datapath import Datapath
    from hvproxy.hypervisor.hypervisor import Hypervisor

Key = str | tuple[Dpid, PortNo | str]
"""What a port is attached to: an iface-id; a datapath and a port by number or name; or another logical port, which is
on no datapath."""
Place = tuple[Dpid, PortNo]
NOWHERE: Final = 0
"""No datapath has this id."""


class Attached:
    """All logical switches, as when each was looked at last."""

    def __init__(self, hv: Hypervisor) -> None:
        self._hv = hv
        self._keys: dict[str, frozenset[Key]] = {}
        self._vifs: dict[str, list[Vif]] = {}
        """Logical switch -> where its ports are bound, and where they were while they move."""
        self._attached: dict[Key | Dpid, set[str]] = {}
        """What is named, and datapaths of which something is -> the logical switches that have a port for it."""
        self._bound: dict[Place, list[tuple[Vif, str]]] = {}
        """Physical port -> the VIF and the logical switch of each port that is bound to it."""

    def see(self, ls: LogicalSwitch) -> set[Place]:
        """Look where the ports of a logical switch are attached and bound now; the physical ports of which that changes
        who has them."""
        name = ls.spec.name
        keys: frozenset[Key] = frozenset(
            key for port in ls.ports.values() if (attach := port.spec.attach) is not None
            and (key := _key(attach)) is not None)
        known = self._keys.get(name, frozenset())
        if keys != known:
            self._keys[name] = keys
            for gone in _with_datapaths(known) - _with_datapaths(keys):
                self._attached[gone].discard(name)
            for new in _with_datapaths(keys) - _with_datapaths(known):
                self._attached.setdefault(new, set()).add(name)
        vifs = [vif for port in ls.ports.values() for vif in (port.vif, port.former) if vif is not None]
        before = self._vifs.get(name, [])
        if vifs == before:
            return set()
        self._vifs[name] = vifs
        had, has = Counter(before), Counter(vifs)
        for vif in (had - has).elements():
            there = self._bound[vif.dpid, vif.port_no]
            there.remove((vif, name))
            if not there:
                del self._bound[vif.dpid, vif.port_no]
        for vif in (has - had).elements():
            self._bound.setdefault((vif.dpid, vif.port_no), []).append((vif, name))
        return {(vif.dpid, vif.port_no) for vif in had.keys() ^ has.keys()}

    def at(self, place: Place) -> Sequence[tuple[Vif, str]]:
        """The VIF and the logical switch of each port that is bound to a physical port, or not wholly gone from it."""
        return self._bound.get(place, ())

    def holder(self, port: LogicalPort, vif: Vif) -> LogicalPort | None:
        """The other port that a VIF belongs to already."""
        return next((each for ls in self._named({name for _, name in self.at((vif.dpid, vif.port_no))})
                     for each in ls.ports.values() if vif in (each.vif, each.former) and each is not port), None)

    def beside(self, attach: AttachSpec) -> list[LogicalSwitch]:
        """The logical switches that may have a port for the same VIF or peer: any on the same datapath, or one for the
        same iface-id or peer."""
        key = _key(attach)
        known_as = key if key is None or isinstance(key, str) or key[0] == NOWHERE else key[0]
        return [] if known_as is None else self._named(self._attached.get(known_as, ()))

    def waiting(self, iface_ids: Iterable[str]) -> list[LogicalSwitch]:
        """The logical switches that have a port for one of these VIFs."""
        return self._named({name for iface_id in iface_ids for name in self._attached.get(iface_id, ())})

    def on(self, dpid: Dpid) -> list[LogicalSwitch]:
        """The logical switches that have a port which belongs on a datapath, whether it is there or not."""
        there = {iface_id for iface_ids in self._hv.databases.there_on(dpid).values() for iface_id in iface_ids}
        names = {*self._attached.get(dpid, ()), *(name for iface_id in there
                                                  for name in self._attached.get(iface_id, ()))}
        return [ls for ls in self._named(names) if any(
            (place := self._hv.place(ls, port)) is not None and place[0] == dpid for port in ls.ports.values()
            if (attach := port.spec.attach) is not None
            and (attach.datapath == dpid if attach.iface_id is None else attach.iface_id in there))]

    def concerned(self, dp: Datapath, numbers: Collection[PortNo]) -> list[LogicalSwitch]:
        """The logical switches for which it may matter that these ports of a datapath are others now."""
        there = self._hv.databases.there_on(dp.dpid)
        names: set[str] = set()
        for number in numbers:
            names.update(name for _, name in self.at((dp.dpid, number)))
            names.update(self._attached.get((dp.dpid, number), ()))
            if number in dp.ports:
                names.update(self._attached.get((dp.dpid, dp.ports[number].name), ()))
            for iface_id in there.get(number, ()):
                names.update(self._attached.get(iface_id, ()))
        return self._named(names)

    def _named(self, names: Collection[str]) -> list[LogicalSwitch]:
        """In the order in which they were made."""
        if len(names) < 2:
            return [ls for name in names if (ls := self._hv.logical_switches.get(name)) is not None]
        wanted = frozenset(names)
        return [ls for name, ls in self._hv.logical_switches.items() if name in wanted]


def _key(attach: AttachSpec) -> Key | None:
    if attach.peer is not None:
        return NOWHERE, attach.peer
    return attach.place if attach.iface_id is None else attach.iface_id


def _with_datapaths(keys: Iterable[Key]) -> set[Key | Dpid]:
    return {each for key in keys for each in ((key,) if isinstance(key, str) else (key, key[0]))}
