"""Where the ports of a logical switch are: each VIF the operator named, looked for in what the switches and their
databases report."""
from __future__ import annotations

from typing import TYPE_CHECKING

from hvproxy.hypervisor.logical_port import LogicalPort
from hvproxy.hypervisor.logical_switch import LogicalSwitch
from hvproxy.hypervisor.places import Places
from hvproxy.model.view import Dpid, Vif

if TYPE_CHECKING:
    from hvproxy.hypervisor.hypervisor import Hypervisor


def leaves(port: LogicalPort, places: Places) -> bool:
    """Whether a port named by its iface-id is still bound where its VIF is no more: it has not been looked at yet."""
    attach, vif = port.spec.attach, port.vif
    return attach is not None and vif is not None and not places.has(attach, vif)


def resolve(hv: Hypervisor, ls: LogicalSwitch, now: float) -> list[int]:
    """Look where each port's VIF is now; the ports that were found elsewhere than before."""
    switches, places, moves, sharing = hv.switches, hv.places, hv.moves, hv.sharing
    moved = []
    turned: set[Dpid] = set()
    moves.look_anew(ls)
    sharing.refused.discard(ls.spec.name)
    for number, port in ls.ports.items():
        vif = None
        attach = port.spec.attach
        place = places.of(ls.spec.name, attach)
        if attach is not None and port.former is not None and not places.has(attach, port.former):
            moves.cut_short(port)
        if attach is not None and place is not None:
            dpid = place[0]
            port_no = switches.port_number(*place)
            if port_no is not None:
                vif = Vif(dpid, port_no, attach.vlan)
                port.carrier = switches.datapaths[dpid].ports[port_no]
            elif port.vif is not None and port.vif.dpid == dpid and not switches.ready(dpid):
                vif = port.vif  # the switch is away: where the port was is still where it is
            if vif is not None and switches.is_tunnel_port(dpid, vif.port_no):
                switches.alarm("a logical port is bound to a tunnel of hvproxy's own: it stays down",
                               logical_switch=ls.spec.name, port=number)
                vif = None
            elif vif is not None and attach.iface_id is not None and hv.links.is_fabric_port(dpid, vif.port_no):
                switches.alarm("a VIF is said to be at an end of a link: its logical port stays down",
                               logical_switch=ls.spec.name, port=number, iface_id=attach.iface_id)
                vif = None
            elif vif is not None and (why := sharing.why_not(ls, vif)):
                switches.alarm("a physical port cannot be shared: the later logical port stays down",
                               logical_switch=ls.spec.name, port=number, why=why)
                sharing.refused.add(ls.spec.name)
                vif = None
        port.attached_mac = places.mac(attach, vif)
        if vif == port.vif or moves.too_early(port):
            continue
        before = port.vif
        other = None if vif is None else _of_same(ls, port, vif) or hv.attached.holder(port, vif)
        if vif is not None and moves.waits(ls, port, vif, other, now):
            continue
        if vif is not None and other is None and moves.can_move(port, vif):
            moves.begin(port, vif)
            turned |= port.dpids if port.crosses else set()
            moved.append(number)
            continue
        port.vif, port.former = vif, None
        if other is not None:
            if not leaves(other, places) and other.former != vif:
                switches.alarm("two logical ports on one VIF: the later one stays down",
                               logical_switch=ls.spec.name, port=number)
            port.vif = None
        if port.vif != before:
            port.placed = False
            moved.append(number)
    if turned:
        ls.turned ^= turned
        ls.ledger.state()
    return moved


def _of_same(ls: LogicalSwitch, port: LogicalPort, vif: Vif) -> LogicalPort | None:
    """The other port of the same logical switch, some of whose ports may have moved just now, that has a VIF."""
    return next((each for each in ls.ports.values() if vif in (each.vif, each.former) and each is not port), None)
