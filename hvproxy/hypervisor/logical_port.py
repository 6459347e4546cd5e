"""A logical port as its tenant sees it: number, name, MAC and state of its own (traps 33 to 36)."""
from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING

from hvproxy.hypervisor.port_counters import Tally
from hvproxy.model.hosts import HostAddress, Mac
from hvproxy.model.intent import LOCAL, PortSpec
from hvproxy.model.view import Dpid, Vif
from hvproxy.openflow.constants import of13
from hvproxy.openflow.ports import FULL_DUPLEX, PortDesc

if TYPE_CHECKING:
    from hvproxy.hypervisor.logical_switch import LogicalSwitch


@dataclass(frozen=True, slots=True)
class Wire:
    """What a logical port is wired to: another one, of the same logical switch or of another."""

    ls: LogicalSwitch
    port: LogicalPort


class LogicalPort:
    """One port of a logical switch: what it is to the tenant and where it is bound."""

    def __init__(self, logical_switch: str, spec: PortSpec, index: int, now: float) -> None:
        self.spec = spec
        self.index = index
        """Its place in the metadata (model.view.Lport.index)."""
        self.vif: Vif | None = None
        self.former: Vif | None = None
        """Where it was, while it moves (moves)."""
        self.turned = False
        """Which of its two labels names it (moves)."""
        self.wire: Wire | None = None
        """What it is wired to (wiring)."""
        self.carrier: PortDesc | None = None
        """The physical port it is bound to, while that is known."""
        self.placed = False
        """The fabric carries it where it is bound now, confirmed by barriers."""
        self.up = False
        """What the tenant was told last."""
        self._told: PortDesc | None = None
        """How the port was described when it was last looked for news."""
        self.config = 0
        """OFPPC_* as its tenant has set them: the logical port's own, wherever it is bound."""
        self.configured_by: set[int] = set()
        """The connections that have set `config` since the tenant was told last."""
        self.attached_mac: Mac | None = None
        """What a database says that the VIF's workload uses."""
        self.created = now
        self.tally = Tally()
        self.hw_addr = hardware_address(logical_switch, spec.number)

    @property
    def number(self) -> int:
        return self.spec.number

    @property
    def dpids(self) -> frozenset[Dpid]:
        """The datapaths where its frames enter."""
        return frozenset(vif.dpid for vif in (self.vif, self.former) if vif is not None)

    @property
    def macs(self) -> frozenset[Mac]:
        """Of its hosts, as far as they are known."""
        return frozenset(mac for mac in (*(self.spec.macs or ()), self.attached_mac) if mac is not None)

    @property
    def addresses(self) -> frozenset[HostAddress]:
        """The same of IP addresses."""
        return frozenset(self.spec.addresses or ())

    @property
    def crosses(self) -> bool:
        """It moves from one edge to another."""
        return len(self.dpids) > 1

    def desc(self) -> PortDesc:
        """The port as PORT_DESC and PORT_STATUS tell it (OF 1.3.5 section 7.2.1). A local port that is attached to
        nothing is what Open vSwitch's is before anybody sets its interface up."""
        desc = PortDesc(
            number=self.number,
            hw_addr=self.hw_addr,
            name=self.spec.name,
            config=self.config | (of13.OFPPC_PORT_DOWN if self.spec.attach is None and self.number == LOCAL else 0),
            state=of13.OFPPS_LIVE if self.up else of13.OFPPS_LINK_DOWN,
        )
        if self.spec.speed is not None:
            return declared(desc, self.spec.speed)
        if self.carrier is None or self.vif is None:
            return desc
        return replace(desc, curr=self.carrier.curr, advertised=self.carrier.advertised,
                       supported=self.carrier.supported, peer=self.carrier.peer,
                       curr_speed=self.carrier.curr_speed, max_speed=self.carrier.max_speed)

    def news(self, up: bool | None) -> list[tuple[PortDesc, set[int]]]:
        """What PORT_STATUS has to tell of a port that is `up` now (None: as it was), in the order of Open vSwitch:
        of a loss first that the port is no longer LIVE; a configuration before the port comes up by it; another speed
        where nothing else tells it. With each the connections whose own configuration it is."""
        lost = self.up and up is False
        by, self.configured_by = self.configured_by, set()
        found = [(self.desc(), by)] if by and not lost else []
        if up is not None and up != self.up:
            self.up = up
            if lost:
                found.append((replace(self.desc(), state=0), by))
            found.append((self.desc(), set()))
        if up is not None and (self.placed or self.vif is None):
            # Of what is coming up all is told when it is up.
            told, self._told = self._told, replace(self.desc(), name="", config=0, state=0)
            if told not in (None, self._told) and all(whose for _, whose in found):
                found.append((self.desc(), set()))
        return found


def declared(desc: PortDesc, speed: int) -> PortDesc:
    """A port with that speed in Mb/s, and with nothing that the physical one says of speeds."""
    bit = FULL_DUPLEX.get(speed, of13.OFPPF_OTHER)
    return replace(desc, curr=bit, supported=bit, curr_speed=speed * 1000, max_speed=speed * 1000)


def hardware_address(logical_switch: str, number: int) -> bytes:
    """A locally administered unicast MAC, the same after every restart and rebinding, unlike any other port's."""
    return b"\x02" + sha256(f"{logical_switch}\0{number}".encode()).digest()[:5]
