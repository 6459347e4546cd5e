"""The view the compiler works from: frozen facts about logical switches, bindings, liveness and links.

Built by the hypervisor, read by the compiler; holds no decision and no wire bytes.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import TypeAlias

from hvproxy.model.hosts import HostAddress, Mac

Dpid: TypeAlias = int
PortNo: TypeAlias = int


class Carriage(IntEnum):
    """How a frame carries its label: over a link, and inside a datapath until it leaves."""

    VLAN = 0
    """The label is the VID of a tag."""
    TUNNEL = 1
    """The label is the key of a tunnel (tun_id); the frame itself is as its host sent it."""


@dataclass(frozen=True, slots=True, order=True)
class Vif:
    """Where a workload is attached: a physical port, or one VLAN of it."""

    dpid: Dpid
    port_no: PortNo
    vlan: int | None = None
    """None: every frame that no sibling VIF with a VLAN claims."""


@dataclass(frozen=True, slots=True)
class Peer:
    """The logical port at the other end of a wire."""

    ls_id: int
    index: int
    down: bool = False
    """Its tenant has set OFPPC_PORT_DOWN: nothing arrives."""
    irrevocable: bool = False
    """What its logical switch does to a packet, a datapath cannot take back: it has meters, or tracks connections."""


@dataclass(frozen=True, slots=True)
class Lport:
    """A logical port as the compiler sees it."""

    number: int
    """What the tenant calls it: 1 .. 0xff00 - 1."""
    index: int
    """Its place in the metadata and in group ids: 1 .. 2**lport_bits - 1, unique in the logical switch. 0 is "no lport"
    (frames from the controller)."""
    vif: Vif | None = None
    """None while unbound or while the named physical port is unknown."""
    shared: bool = False
    """Entries are compiled for it apart as the ingress lport (design 3): it shares its physical port with another VIF
    or has a VLAN of its own, or is wired to a peer, where the switch's own ingress suppression does not fit, or beside
    VIFs of other logical switches, where what the switch itself sends back would pass for theirs; or it takes frames in
    and sends none, where the switch's own IN_PORT does not; or it moves from edge to edge, and its frames must not come
    back to it at the other one."""
    down: bool = False
    """Its tenant has set OFPPC_PORT_DOWN: nothing enters and nothing leaves."""
    receives: bool = True
    """Not OFPPC_NO_RECV; spanning tree's frames enter all the same."""
    forwards: bool = True
    """Not OFPPC_NO_FWD: frames may leave, unless it is down."""
    former: Vif | None = None
    """Where it was, while it moves: frames enter there as well, and those on their way there are delivered."""
    turned: bool = False
    """Which of its two labels names it; the other one named it where it was (hypervisor.moves)."""
    claimed: frozenset[int] = frozenset()
    """The VLANs of its physical port that are other VIFs: frames under these tags are not its own, and it must not
    send any (compiler.egress)."""
    peer: Peer | None = None
    """What it is wired to, of the ports that are; they have no VIF, and frames enter there at every edge."""
    macs: frozenset[Mac] = frozenset()
    """Of its hosts, as far as they are known and floods are to go where they matter only (compiler.broadcast)."""
    addresses: frozenset[HostAddress] = frozenset()
    """The same of IP addresses."""

    @property
    def sends(self) -> bool:
        """Whether frames may leave."""
        return self.forwards and not self.down

    @property
    def vifs(self) -> tuple[Vif, ...]:
        """Where frames enter that are its own."""
        return tuple(vif for vif in (self.vif, self.former) if vif is not None)

    @property
    def crosses(self) -> bool:
        """It moves from one edge to another."""
        return self.vif is not None and self.former is not None and self.vif.dpid != self.former.dpid

    @property
    def shape(self) -> Lport:
        """All of it that the compilation of entries depends on; the rest is in groups and in classification."""
        return replace(self, down=False, receives=True, forwards=True, turned=False, claimed=frozenset(),
                       peer=None if self.peer is None else _SOME_PEER, macs=frozenset(), addresses=frozenset())


_SOME_PEER = Peer(0, 0)


@dataclass(frozen=True, slots=True)
class LogicalSwitchView:
    """A logical switch as the compiler sees it."""

    ls_id: int
    """1 .. 2**logical_switch_bits - 1."""
    lports: tuple[Lport, ...]
    """Sorted by number."""
    plain: frozenset[Dpid] = frozenset()
    """Those of its edges that are known not to be Open vSwitch."""
    live: frozenset[int] = frozenset()
    """The indexes of the lports that are up as their tenant is told."""
    destinations: Mapping[Dpid, int] = field(default_factory=dict, hash=False)
    """Its edges -> the destination index of each (Transport.destinations)."""
    resubmits: bool = False
    """Its entries may look up tables in any order, not only from lower to higher."""
    drops_fragments: bool = False
    """IP fragments are dropped before its table 0 (OFPC_FRAG_DROP)."""
    turned: frozenset[Dpid] = frozenset()
    """Edges whose floods come under the second of their two labels (hypervisor.moves)."""
    wired: frozenset[Dpid] = frozenset()
    """The datapaths that hold VIFs of the logical switches it is wired to, through others too: their packets may come
    to be its own there."""
    home: Dpid | None = None
    """The one of its edges that decides about all its frames, because its entries track connections, or those of one
    that it is wired to: one datapath alone knows these."""
    resumes: bool = False
    """Frames that enter elsewhere are sent to the home; before, it only is made ready for them."""
    bound: frozenset[Dpid] = field(init=False, compare=False, repr=False)
    """Datapaths that hold at least one of its VIFs, or have until the drain is over."""
    edges: tuple[Dpid, ...] = field(init=False, compare=False, repr=False)
    """Datapaths where its packets are decided about, sorted: where it is bound, or one that it is wired to."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "bound", frozenset(vif.dpid for p in self.lports for vif in p.vifs))
        object.__setattr__(self, "edges", tuple(sorted(self.bound | self.wired)))

    @property
    def shape(self) -> LogicalSwitchView:
        """All of it that the compilation of entries depends on."""
        return replace(self, lports=tuple(lport.shape for lport in self.lports), drops_fragments=False,
                       turned=frozenset(), resumes=False)

    @property
    def extended(self) -> bool:
        """None of its edges is known to lack Open vSwitch's extensions."""
        return not self.plain

    @property
    def reached(self) -> frozenset[Dpid]:
        """Datapaths that the others send frames to: where it is bound, and its home."""
        return self.bound if self.home is None else self.bound | {self.home}

    @property
    def peers(self) -> tuple[Lport, ...]:
        """The lports that are wired to others."""
        return tuple(p for p in self.lports if p.peer is not None)

    def enters(self, lport: Lport, dpid: Dpid) -> bool:
        """Whether frames of an lport enter at `dpid`, or come there to be decided upon."""
        return lport.peer is not None or any(dpid in (vif.dpid, self.home) for vif in lport.vifs)

    @property
    def away(self) -> tuple[Lport, ...]:
        """The lports whose frames enter elsewhere than at the home, or leave there."""
        if self.home is None:
            return ()
        return tuple(p for p in self.lports if any(vif.dpid != self.home for vif in p.vifs))

    @property
    def apart(self) -> tuple[Lport, ...]:
        """The lports that entries are compiled for apart on some edge."""
        away = set(self.away)
        return tuple(p for p in self.lports if p.shared or p in away)

    @property
    def in_motion(self) -> frozenset[Dpid]:
        """The edges that lports move from or to: they know floods under both of their labels."""
        return frozenset(vif.dpid for p in self.lports if p.crosses for vif in p.vifs)

    def at(self, dpid: Dpid) -> tuple[Lport, ...]:
        """The lports whose VIF is on `dpid`."""
        return tuple(p for p in self.lports if p.vif is not None and p.vif.dpid == dpid)

    def entering(self, dpid: Dpid) -> tuple[tuple[Lport, Vif], ...]:
        """The lports whose frames enter at `dpid` from outside, each with where."""
        return tuple((p, vif) for p in self.lports for vif in p.vifs if vif.dpid == dpid)


@dataclass(frozen=True, slots=True, order=True)
class Link:
    """A working link between two fabric ports; a_dpid, a_port < b_dpid, b_port."""

    a_dpid: Dpid
    a_port: PortNo
    b_dpid: Dpid
    b_port: PortNo
    carriage: Carriage = Carriage.VLAN

    @property
    def ends(self) -> tuple[tuple[Dpid, PortNo], tuple[Dpid, PortNo]]:
        return (self.a_dpid, self.a_port), (self.b_dpid, self.b_port)


@dataclass(frozen=True, slots=True)
class Transport:
    """What the fabric offers the logical switches: where an edge can be reached and under which labels."""

    destinations: Mapping[Dpid, int]
    """Edge -> its destination index, which names its uplink groups (layout.destination_group_id)."""
    reachable: Mapping[Dpid, frozenset[Dpid]]
    """Edge -> the edges a labelled frame from it can arrive at."""
    visited: Callable[[Dpid, Dpid], frozenset[Dpid]]
    """(source, destination) -> every datapath such a frame may cross, also when any one link fails."""
    deliver: Mapping[tuple[int, int], int]
    """(logical switch id, lport index) -> the label that names it as the egress."""
    flood: Mapping[tuple[int, Dpid], int]
    """(logical switch id, edge) -> the label under which that edge replicates to its local lports."""
    former_deliver: Mapping[tuple[int, int], int] = field(default_factory=dict)
    """The same for lports that move, where they were."""
    former_flood: Mapping[tuple[int, Dpid], int] = field(default_factory=dict)
    """The same for edges in motion, to what was there before."""
    carriages: Mapping[Dpid, frozenset[Carriage]] = field(default_factory=dict)
    """Datapath -> how frames come to it over its links; a datapath without links is left out."""
    led: Callable[[int, Dpid], bool] = lambda label, destination: False
    """Whether every datapath on the way carries a label on to that edge anyhow, with many others."""
    resume: Mapping[tuple[int, int], int] = field(default_factory=dict)
    """(logical switch id, lport index) -> the label under which frames that have entered there come to the home."""
