"""Where the ports of a logical switch are: each VIF the operator named, looked for in what the switches report."""
from __future__ import annotations

from collections.abc import Callable

from hvproxy.hypervisor.logical_switch import LogicalSwitch
from hvproxy.hypervisor.switches import Switches
from hvproxy.model.view import Vif


def resolve(ls: LogicalSwitch, switches: Switches, taken: Callable[[LogicalSwitch, int], bool]) -> list[int]:
    """Look where each port's VIF is now; the ports that were found elsewhere than before."""
    moved = []
    for number, port in ls.ports.items():
        vif = None
        attach = port.spec.attach
        if attach is not None:
            port_no = switches.port_number(attach.datapath, attach.port)
            if port_no is not None:
                vif = Vif(attach.datapath, port_no, attach.vlan)
                port.carrier = switches.datapaths[attach.datapath].ports[port_no]
            elif port.vif is not None and not switches.ready(attach.datapath):
                vif = port.vif  # the switch is away: where the port was is still where it is
        if vif == port.vif:
            continue
        before, port.vif = port.vif, vif
        if vif is not None and taken(ls, number):
            switches.alarm("two logical ports on one VIF: the later one stays down",
                           logical_switch=ls.spec.name, port=number)
            port.vif = None
        if port.vif != before:
            port.placed = False
            moved.append(number)
    return moved
