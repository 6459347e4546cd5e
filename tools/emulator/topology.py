"""Fabrics of well-known shape."""
from __future__ import annotations

from tools.emulator.fabric import Fabric

FIRST_SPINE, FIRST_UPLINK = 0x101, 1001
WITHOUT_HOSTS = 0


def leaf_spine(n_spines: int, n_leaves: int, hosts_per_leaf: int = WITHOUT_HOSTS) -> Fabric:
    """A fabric in which every leaf has a link to every spine.

    Leaves have the datapath ids 0x1, 0x2, ... and spines 0x101, 0x102, ...; with more than 256 leaves the spines
    begin behind the leaves. A leaf's hosts are on ports 1 to k, its link to spine j on port 1000 + j; a spine's
    link to leaf i is on port i. Host k of leaf i is named `h<i>-<k>` and has the address 10.<i // 256>.<i % 256>.<k>.
    """
    fabric = Fabric()
    first_spine = FIRST_SPINE if n_leaves < FIRST_SPINE else n_leaves + 1
    leaves = range(1, n_leaves + 1)
    for leaf in leaves:
        fabric.add_switch(leaf, f"leaf{leaf}")
        for host in range(1, hosts_per_leaf + 1):
            number = leaf.to_bytes(2, "big") + bytes((host,))
            fabric.add_host(f"h{leaf}-{host}", leaf, host, b"\x02\x00\x00" + number, b"\x0a" + number)
    for index in range(n_spines):
        spine = first_spine + index
        fabric.add_switch(spine, f"spine{index + 1}")
        for leaf in leaves:
            fabric.add_link(leaf, FIRST_UPLINK + index, spine, leaf)
    return fabric
