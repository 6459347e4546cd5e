"""PORT_MOD on a logical port (OF 1.3.5 section 7.3.4.3): what of it Open vSwitch 3.1 takes, and what it refuses how.

The configuration is the logical port's alone: a physical port may carry others, and is never configured for a tenant.
Bits that mean nothing are passed over. So is `advertise`: no link is negotiated for a tenant, and Open vSwitch does not
tell either when an interface has none to advertise.
"""
from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn

from hvproxy.errors import Refused
from hvproxy.hypervisor.flow_mods import check_out_port
from hvproxy.openflow.constants import of13
from hvproxy.openflow.messages import PortMod

if TYPE_CHECKING:
    from hvproxy.hypervisor.logical_switch import LogicalSwitch

CONFIGURABLE: Final[int] = (
    of13.OFPPC_PORT_DOWN | of13.OFPPC_NO_RECV | of13.OFPPC_NO_FWD | of13.OFPPC_NO_PACKET_IN)
"""NO_PACKET_IN is kept and told, and means nothing else: in OpenFlow 1.3 an entry sends what misses to the controller,
and Open vSwitch carries an entry out whatever the port's configuration."""


def apply(ls: LogicalSwitch, conn: int, mod: PortMod) -> bool:
    """Set the port's configuration as a connection asks; whether it changed. Raises Refused with nothing changed."""
    check_out_port(mod.port_no)
    port = ls.ports.get(mod.port_no)
    if port is None:
        _refuse(of13.OFPPMFC_BAD_PORT, f"no port {mod.port_no}")
    if port.hw_addr != mod.hw_addr:
        _refuse(of13.OFPPMFC_BAD_HW_ADDR, "another port's hardware address")
    mask = mod.mask & CONFIGURABLE
    before, port.config = port.config, port.config & ~mask | mod.config & mask
    if port.config == before:
        return False
    if not ls.groups.room(lport.index for lport in ls.seen().apart):
        port.config = before
        _refuse(of13.OFPPMFC_BAD_CONFIG, "no identifiers left for variants of its groups")
    port.configured_by.add(conn)
    return True


def _refuse(code: int, why: str) -> NoReturn:
    raise Refused(of13.OFPET_PORT_MOD_FAILED, code, why)
