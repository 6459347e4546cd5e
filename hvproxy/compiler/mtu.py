"""How large frames may be on their way: what a link or tunnel leaves of the MTU of the interface below it.

An MTU is the payload of an Ethernet frame without tags, as everywhere. A tag takes four bytes and an interface lets
one tag through beyond its MTU (measured on Linux and Open vSwitch), so a link under VLAN labels carries as much as its
interfaces, but not a tenant's own tag around as much. A tunnel takes its outer headers and the inner Ethernet header,
and 4 bytes more for a tenant's tag. Pure arithmetic; knows neither ports nor paths.
"""
from __future__ import annotations

from typing import Final

_TAG, _TAG_BEYOND_MTU = 4, 4
_IP, _IPV6_MORE, _ETHERNET = 20, 20, 14
_OVERHEAD: Final = {
    "vlan": _TAG - _TAG_BEYOND_MTU,
    "gre": _IP + 4 + 4 + _ETHERNET,
    "vxlan": _IP + 8 + 8 + _ETHERNET,
    "geneve": _IP + 8 + 8 + _ETHERNET,
}
"""What must be below beyond a frame's payload; GRE has a key."""


def overhead(kind: str, *, six: bool = False) -> int:
    """How much larger than the frames it carries the MTU below a link of a kind must be; `six`: over IPv6."""
    return _OVERHEAD[kind] + (_IPV6_MORE if six and kind != "vlan" else 0)
