"""Carrying out what the operator wants to exist: logical switches and ports, created, changed and deleted at run time.

Each function checks everything first and raises ModelError with nothing changed, or succeeds.
"""
from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

from hvproxy.errors import Conflict, Exhausted, ModelError, NotFound
from hvproxy.hypervisor import fabric
from hvproxy.hypervisor.hypervisor import Hypervisor
from hvproxy.hypervisor.links import NamedLink
from hvproxy.hypervisor.logical_port import LogicalPort
from hvproxy.hypervisor.logical_switch import LogicalSwitch
from hvproxy.hypervisor.operator_session import OperatorSession
from hvproxy.model.intent import NEEDS_DATABASE, AttachSpec, LogicalSwitchSpec, PortSpec, attach_text
from hvproxy.model.view import Dpid, PortNo
from hvproxy.openflow.constants import of13

Done = Callable[[float], None]
NOWHERE = 0
"""No datapath has this id."""


def logical_switch(hv: Hypervisor, name: str) -> LogicalSwitch:
    """The logical switch of that name. Raises NotFound."""
    found = hv.logical_switches.get(name)
    if found is None:
        raise NotFound("", f"there is no logical switch {name}")
    return found


def create_logical_switch(hv: Hypervisor, spec: LogicalSwitchSpec, now: float) -> None:
    """Make a logical switch; its controllers are dialled once its ports are placed."""
    if spec.name in hv.logical_switches:
        raise Conflict("name", f"logical switch {spec.name} exists already")
    for other in hv.logical_switches.values():
        if other.spec.datapath_id == spec.datapath_id:
            raise Conflict("datapath_id", f"{spec.datapath_id:016x} is that of logical switch {other.spec.name}")
        for address in spec.listen:
            if any(address.collides(theirs) for theirs in other.spec.listen):
                raise Conflict("listen", f"{address} is in use by logical switch {other.spec.name}")
    for index, port in enumerate(spec.ports):
        _check_attach(hv, port.attach, f"ports[{index}].attach", (spec.tenant, spec.name, port.number))
    check_labels(hv, [spec.ports], [spec.name], "ports")
    last = hv.settings.layout.last_logical_switch
    ls_id = next((i for i in range(1, last + 1) if i not in hv.by_id), None)
    if ls_id is None:
        raise Exhausted("", f"there are {last} logical switches already")
    if len(spec.ports) > hv.settings.layout.last_lport:
        raise Exhausted("ports", f"a logical switch has at most {hv.settings.layout.last_lport} ports")
    ls = LogicalSwitch(spec.tenant, spec, ls_id, hv.settings.layout, hv)
    ls.ledger.begin()
    hv.logical_switches[spec.name] = ls
    hv.by_id[ls_id] = ls
    for port in spec.ports:
        _add(hv, ls, port, now)
    hv.serving.wait(spec.name)
    hv.bind(ls, now)
    hv.tick(now)


def delete_logical_switch(hv: Hypervisor, name: str, done: Done, now: float) -> None:
    """Take a logical switch away; `done` once no datapath holds anything of it."""
    ls = logical_switch(hv, name)
    for session in [each for each in ls.sessions.values() if isinstance(each, OperatorSession)]:
        session.abandon("the logical switch is deleted", now)
    for address in ls.spec.controllers:
        hv.out.stop_dialing(f"{name} {address}")
    for address in ls.spec.listen:
        hv.out.stop_listening(f"{name} {address}")
    for conn in list(ls.sessions):
        hv.out.close(conn, "the logical switch was deleted")
        hv.connection_lost(conn, now)
    dpids = list(ls.edges)
    hv.change(ls.emptied(now), now)
    for number in list(ls.ports):
        ls.remove_port(number)
    hv.bind(ls, now)
    hv.serving.forget(name)
    del hv.logical_switches[name]
    ls.ledger.end()
    for key in hv.drains.keys:
        if key[1] == name:
            hv.drains.end(key)

    def purged(at: float) -> None:
        del hv.by_id[ls.ls_id]
        hv.zones.release(ls.tracking.zones.values())
        done(at)

    hv.rollout.when_settled(lambda at: hv.confirm(dpids, purged, at), now)


def put_port(hv: Hypervisor, name: str, spec: PortSpec, now: float) -> bool:
    """Create a logical port (True), or bind or rename an existing one."""
    ls = logical_switch(hv, name)
    _check_attach(hv, spec.attach, "attach", (ls.tenant, name, spec.number))
    for other in ls.ports.values():
        if other.spec.name == spec.name and other.number != spec.number:
            raise Conflict("name", f"port {other.number} is called {spec.name} already")
    port = ls.ports.get(spec.number)
    check_labels(hv, [[*(p.spec for p in ls.ports.values() if p is not port), spec]], [name], "attach")
    if port is None:
        _add(hv, ls, spec, now)
        hv.bind(ls, now)
        ls.tell_port(ls.ports[spec.number].desc(), of13.OFPPR_ADD)
        return True
    renamed = port.spec.name != spec.name
    port.spec = spec
    expect(hv, spec, now)
    hv.bind(ls, now)
    if renamed:
        ls.tell_port(port.desc(), of13.OFPPR_MODIFY)
    return False


def delete_port(hv: Hypervisor, name: str, number: int, done: Done, now: float) -> None:
    """Take a logical port away; `done` once no datapath holds anything of it."""
    ls = logical_switch(hv, name)
    port = ls.remove_port(number)
    if port is None:
        raise NotFound("", f"logical switch {name} has no port {number}")
    hv.bind(ls, now)
    ls.tell_port(port.desc(), of13.OFPPR_DELETE)
    dpids = set(hv.switches.datapaths)
    hv.rollout.when_settled(lambda at: hv.confirm(dpids, done, at), now)


def _add(hv: Hypervisor, ls: LogicalSwitch, spec: PortSpec, now: float) -> None:
    index = ls.free_index()
    if index is None:
        raise Exhausted("", f"a logical switch has at most {hv.settings.layout.last_lport} ports")
    ls.add_port(LogicalPort(ls.spec.name, spec, index, now))
    expect(hv, spec, now)


def expect(hv: Hypervisor, spec: PortSpec, now: float) -> None:
    """The datapath that a port names is known from now on; one that only a database names is not."""
    if spec.attach is not None and spec.attach.place is not None:
        hv.switches.expect(spec.attach.place[0], now)


def check_labels(hv: Hypervisor, wanted: Iterable[Iterable[PortSpec]], mine: Collection[str], path: str) -> None:
    """Raises Exhausted unless there are labels for logical switches with these ports, which take the place of `mine`,
    beside what all others need once their switches are there. Labels that rest after use count as there."""
    others = sum(_labels_needed(hv, (port.spec for port in ls.ports.values()))
                 for ls in hv.logical_switches.values() if ls.spec.name not in mine)
    size = hv.fabric.labels.size
    if others + sum(_labels_needed(hv, ports) for ports in wanted) > size:
        raise Exhausted(path, f"not enough VLAN labels: fabric.vlan_range has {size}, of which other logical switches "
                              f"need {others}")


def _labels_needed(hv: Hypervisor, ports: Iterable[PortSpec]) -> int:
    """How many labels the fabric needs for a logical switch with these ports when all are found; VIFs of which no
    database says yet where they are count as on one edge more, and so do logical switches it is wired to."""
    ports = tuple(ports)
    places = (hv.places.said(port.attach) for port in ports if port.attach is not None and port.attach.peer is None)
    edges = [NOWHERE if place is None else place[0] for place in places]
    beside = {NOWHERE} if any(port.attach is not None and port.attach.peer is not None for port in ports) else set()
    if hv.tunnels.possible and not hv.fabric.meets_vlan(edges):
        return 0  # as far as is known: tunnels have labels enough
    return fabric.labels_needed(edges, beside)


def check_peer(
    switches: Mapping[str, LogicalSwitch], attach: AttachSpec, path: str, mine: tuple[str, str, int]
) -> None:
    """Raises ModelError where the port `mine` (of tenant, logical switch, number) is to be wired to itself, or to one
    of these logical switches that is another tenant's. A port that is not there, or does not name this one, may come
    to do so: until then this one is down."""
    if attach.peer is None:
        return
    tenant, name, number = mine
    other = switches.get(attach.peer.partition("/")[0])
    if attach.peer == f"{name}/{number}":
        raise ModelError(f"{path}.peer", f"{attach.peer} is this port itself")
    if other is not None and other.tenant != tenant:
        raise ModelError(f"{path}.peer", f"logical switch {other.spec.name} is another tenant's")


def _check_attach(hv: Hypervisor, attach: AttachSpec | None, path: str, mine: tuple[str, str, int]) -> None:
    if attach is None:
        return
    check_peer(hv.logical_switches, attach, path, mine)
    if attach.iface_id is not None:
        check_iface_id(hv, path)
    key = vif_key(hv, attach)
    for ls in hv.attached.beside(attach):
        for port in ls.ports.values():
            theirs = port.spec.attach
            if theirs is not None and (ls.spec.name, port.number) != mine[1:] and vif_key(hv, theirs) == key:
                raise Conflict(
                    path, f"{what(attach)} is bound to port {port.number} of logical switch {ls.spec.name}")
    if key[0] in link_ends(hv):
        raise Conflict(path, "this port is the end of a configured link")


def what(attach: AttachSpec) -> str:
    """What a port is attached to, for people."""
    return "this VIF" if attach.peer is None else attach_text(attach)


def check_iface_id(hv: Hypervisor, path: str) -> None:
    """Raises ModelError where no database could ever say where an iface-id is: databases are named at the start."""
    if not hv.databases.all:
        raise ModelError(f"{path}.iface_id", f"{NEEDS_DATABASE}, which could say where it is: none is named")


def vif_key(hv: Hypervisor, attach: AttachSpec) -> tuple[object, int | None]:
    """What no two logical ports may share: a port or an iface-id, and the VLAN, or a peer. A port is named by its
    number as soon as that is known: named either way, it is the same."""
    if attach.peer is not None:
        return ("peer", attach.peer), None
    return (attach.iface_id if attach.place is None else _numbered(hv, *attach.place)), attach.vlan


def link_ends(hv: Hypervisor, links: Iterable[NamedLink] | None = None) -> set[object]:
    """The ports of these links, or else of those configured, as in `vif_key`."""
    named = hv.links.named if links is None else links
    return {_numbered(hv, *end) for link in named for end in (link.a, link.b)}


def _numbered(hv: Hypervisor, dpid: Dpid, port: PortNo | str) -> tuple[Dpid, PortNo | str]:
    known = hv.switches.port_number(dpid, port)
    return dpid, port if known is None else known
