"""What becomes of logical ports named by iface-id when their VIFs come, go and move. Where these are, databases say."""
from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from hvproxy.hypervisor.logical_switch import LogicalSwitch
from hvproxy.model.intent import AttachSpec
from hvproxy.model.view import Vif

if TYPE_CHECKING:
    from hvproxy.hypervisor.hypervisor import Hypervisor


def moved(hv: Hypervisor, iface_ids: Collection[str], now: float) -> None:
    """Bind the ports of these VIFs where they are now. One may take the place that another leaves: first everybody
    leaves, and who found no room then finds it afterwards."""
    concerned = hv.attached.waiting(iface_ids)
    for ls in concerned:
        hv.bind(ls, now)
    for ls in concerned:
        if _finds_room(hv, ls):
            hv.bind(ls, now)


def take_what_is_free(hv: Hypervisor, now: float) -> None:
    """Bind ports whose VIF belonged to another port that has let go of it since."""
    for ls in hv.logical_switches.values():
        if ls.spec.name not in hv.without_identifiers and _finds_room(hv, ls):
            hv.bind(ls, now)


def _finds_room(hv: Hypervisor, ls: LogicalSwitch) -> bool:
    """Whether a port is bound nowhere though its VIF is there and nobody else has it."""
    return any(
        port.vif is None and (vif := _there(hv, ls, port.spec.attach)) is not None
        and ((holder := hv.attached.holder(port, vif)) is None or holder.vif != vif)
        for port in ls.ports.values() if port.spec.attach is not None and port.spec.attach.iface_id is not None)


def _there(hv: Hypervisor, ls: LogicalSwitch, attach: AttachSpec) -> Vif | None:
    place = hv.places.of(ls.spec.name, attach)
    port_no = None if place is None else hv.switches.port_number(*place)
    if place is None or port_no is None or hv.links.is_fabric_port(place[0], port_no):
        return None
    return Vif(place[0], port_no, attach.vlan)
