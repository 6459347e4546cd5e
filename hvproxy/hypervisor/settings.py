"""What the configuration says to the core: plain values, with the defaults of a core that is told nothing."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hvproxy.hypervisor.journal import Durability
from hvproxy.hypervisor.links import NamedLink
from hvproxy.model.layout import ContextLayout
from hvproxy.model.view import Dpid
from hvproxy.ovsdb.tunnels import BFD_INTERVAL


@dataclass(frozen=True, slots=True)
class Settings:
    """What the configuration says to the core."""

    grace: float = 10.0
    """Seconds a lost control connection changes nothing (design 6)."""
    first_vid: int = 2
    last_vid: int = 4094
    secret: bytes | None = None
    """Authenticates discovery frames; None: no discovery."""
    discovery_interval: float = 1.0
    links: tuple[NamedLink, ...] = ()
    layout: ContextLayout = ContextLayout()
    databases: tuple[str, ...] = ()
    """The addresses of the switches' databases."""
    configure_bridges: bool = False
    audit: float = 0.0
    """Seconds between two comparisons of what switches hold with what they should; 0: none but when asked."""
    remove_foreign: bool = False
    """What is on a switch and not ours is taken away."""
    encapsulation: str = "auto"
    """auto, vlan, gre, vxlan or geneve."""
    tunnel_endpoints: Mapping[Dpid, str] = field(default_factory=dict)
    """Where tunnels end, as the operator says."""
    bfd_interval: float = BFD_INTERVAL
    """Seconds between two frames by which the ends of a tunnel see that it lets frames through."""
    durability: Durability = Durability.NONE
    wall: float = 0.0
    """What must be added to the core's time for the day's (Unix time)."""
    discovery_address: bytes | None = None
    """Where discovery frames are addressed to; None: as the secret says."""
