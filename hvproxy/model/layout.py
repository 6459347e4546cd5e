"""Where hvproxy writes its own facts into fields of OpenFlow: metadata, cookie, group and meter ids.

The widths of the metadata are configuration; everything else is fixed by the epoch in the cookie: a change of
format changes EPOCH, and rules of another epoch are replaced when a switch is reconciled (design 1.5).
Knows nothing of rules; see openflow for bytes and compiler for meaning.
"""
from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from construct import BitsInteger, BitStruct, Const, Container

from hvproxy.model.view import Carriage

MARK = 0xA7
EPOCH = 1
COOKIE = BitStruct(
    "mark" / Const(MARK, BitsInteger(8)),
    "epoch" / BitsInteger(8),
    "logical_switch" / BitsInteger(16),
    "number" / BitsInteger(32),
)
"""The physical cookie: whose rule it is. logical_switch 0 is the fabric's own; number is then a RuleKind. In tables 1,
2, 5 and 6 the metadata is the index of the destination edge."""

COOKIE_PREFIX = (MARK << 8 | EPOCH) << 48
OURS_MASK = 0xFFFF << 48
LOGICAL_SWITCH_MASK = 0xFFFFFFFF << 32

FIRST_FLAG_BIT, CONTEXT_BIT, CONTEXT_BITS = 32, 40, 24
"""The metadata, from its lowest bit on: the tenant's, flags, the context."""
SHARED_FLAG = 1 << FIRST_FLAG_BIT
"""The ingress lport shares its physical port or has a VLAN of its own: rules for it are its own (design 3)."""
GROUP_FLAG = 1 << 33
"""The action set holds a tenant's group, which beats an output written later (OF 1.3.5 section 5.10)."""
PACKET_OUT_FLAG = 1 << 34
"""The packet came in a packet-out: classification leaves it, so that a packet-in can tell."""
LEARNS_FLAG = 1 << 35
"""In the table ASIDE: it is asked whether what the packet teaches is known, and not for a port."""
LEARN_SHIFT = 36
"""From here on 3 bits tell there which of the actions learn of an entry it is about."""
CROSSES_FLAG = 1 << 35
"""In the table HOP: the packet goes from one logical switch to another."""
IRREVOCABLE_FLAG = 1 << 33
"""And what that one does to it, a datapath cannot take back (model.view.Peer)."""
FIRST_CROSSING_BIT, CROSSING_BITS = 36, 4
MOST_CROSSINGS = 12
"""How many peer ports a packet may cross, which it counts in these bits. Open vSwitch looks up tables to a depth of
64, of which a crossing takes 2 to 4; beyond it would drop the packet with all its copies."""
TENANT_MASK = (1 << FIRST_FLAG_BIT) - 1
"""The metadata bits a tenant may match and write."""
PLACE = 1 << 31
"""Set in the cookie's number for the rules that place a logical switch: PLACE | lport index, 0 for its floods.
Entries are numbered below it."""
HIDDEN = PLACE | 1 << 30
"""Set in the cookie's number for the rules of the hidden tables, which belong to no entry and place nothing."""
ASIDE = HIDDEN | 1 << 29
"""Set in the cookie's number for those of the table ASIDE."""
OUTLET = ASIDE | 1 << 28
"""Set in the cookie's number for those of them that send out of a port: OUTLET | its number, of 16 bits."""
FRAGMENT = PLACE | 1 << 29
"""Set in the cookie's number for the rules that drop fragments: FRAGMENT | lport index, 0 for some packet-outs."""
GUARD = PLACE | 1 << 28
"""Set in the cookie's number for the rules that keep a whole port apart from sub-ports beside it: GUARD | lport
index."""
FLOODED = PLACE | 1 << 27
"""The cookie's number of the rules that say where floods matter."""


LAST_METER = 1 << 18
"""Physical meter ids from 1 to here are ours. They are handed out from 1 on: a switch may have few (Open vSwitch: so
many as this)."""


class Table(IntEnum):
    """The tables every datapath starts with; logical table t is LOGICAL + t."""

    CLASSIFY = 0
    LABEL = 1
    TRANSIT = 2
    LEARN = 3
    SWITCH = 4
    TUNNEL = 5
    """What LABEL is for frames with a tag, for those that come through a tunnel."""
    TUNNEL_TRANSIT = 6
    """The same of TRANSIT."""
    EGRESS = 7
    """Where frames are looked at that are about to leave by an lport whose physical port has sub-ports too."""
    ASIDE = 8
    """What a list of actions asks on its way, about what OWN_REGISTER says: to be sent out of the port of that number,
    or whether what an entry of that number teaches is known, or where a flood matters."""
    HOP = 9
    """What is looked up between two tables, or two logical switches. Without CROSSES_FLAG it empties the action set,
    and nothing else: what must not be done while an action set waits looks here first, and a packet that is only looked
    up here ends. With it, packets that leave a logical switch by a peer port go on as copies that the rest of their
    actions knows nothing of; and, with SHARED_FLAG, are classified where they come in, as others are in CLASSIFY."""
    LOGICAL = 10


TABLES = 254
"""Open vSwitch has tables 0 to 253 for its controllers, and so may a logical switch."""
HOLDING_TABLES = TABLES - Table.LOGICAL
"""Logical tables from this one on have no place in a datapath: they exist, and hold no entry."""


class RuleKind(IntEnum):
    """What a rule of the fabric's own (logical switch 0 in the cookie) is for."""

    FOREIGN = 0
    FABRIC_PORT = 1
    DISCOVERY = 2
    LABEL = 3
    TRANSIT = 4
    INJECT = 5
    CROSSING = 6
    REFLECTION = 7


GROUP_KIND_BIT = 28
"""Of a group id: from here on stands its kind."""


class GroupKind(IntEnum):
    """The top four bits of a group id. A group's buckets name only groups of smaller kinds, so installing in
    ascending order of id never refers to a group that is not there yet; but a tenant's groups name each other."""

    UPLINK = 1
    NOWHERE = 2
    RETURN = 3
    CONTROLLER = 4
    LPORT = 5
    HAIRPIN = 6
    FLOOD = 7
    FLOOD_ARRIVED = 8
    FLOOD_FROM = 9
    ALIVE = 10
    NORMAL = 11
    TENANT = 12
    AGAIN = 13
    """Has a packet taken up anew, so that what stood behind a label can be read. Names no other."""


def is_kind(group_id: int, kind: GroupKind) -> bool:
    """Whether a group is of that kind."""
    return group_id >> GROUP_KIND_BIT == kind


@dataclass(frozen=True, slots=True)
class ContextLayout:
    """The split of the CONTEXT_BITS of the metadata, used for group ids too."""

    logical_switch_bits: int = 12
    lport_bits: int = 12

    def __post_init__(self) -> None:
        bits = self.logical_switch_bits + self.lport_bits
        if self.logical_switch_bits < 1 or self.lport_bits < 1 or bits > CONTEXT_BITS:
            raise ValueError(f"logical_switch_bits and lport_bits: at least 1 each, at most {CONTEXT_BITS} together")

    @property
    def last_logical_switch(self) -> int:
        return (1 << self.logical_switch_bits) - 1

    @property
    def last_lport(self) -> int:
        return (1 << self.lport_bits) - 1

    def second(self, lport_index: int) -> int:
        """The index, beyond all lports', of a second group of one kind for an lport (0: for none): of the LPORT group
        that a guarded lport is sent to through in the end, and of floods that go everywhere."""
        return 1 << self.lport_bits | lport_index

    @property
    def logical_switch_mask(self) -> int:
        return self.last_logical_switch << (64 - self.logical_switch_bits)

    @property
    def lport_mask(self) -> int:
        return self.last_lport << (64 - self.logical_switch_bits - self.lport_bits)

    def context(self, ls_id: int, lport_index: int = 0) -> int:
        """The metadata of a packet that entered logical switch `ls_id` at `lport_index` (0: no lport)."""
        return (ls_id << (64 - self.logical_switch_bits)
                | lport_index << (64 - self.logical_switch_bits - self.lport_bits))

    def read(self, metadata: int) -> tuple[int, int, int]:
        """(logical switch id, ingress lport index, tenant metadata) of a packet's metadata."""
        return (
            metadata >> (64 - self.logical_switch_bits),
            (metadata & self.lport_mask) >> (64 - self.logical_switch_bits - self.lport_bits),
            metadata & TENANT_MASK,
        )

    def group_id(self, kind: GroupKind, ls_id: int, index: int = 0) -> int:
        """The group id of a logical switch's `index`-th group of that kind."""
        return kind << GROUP_KIND_BIT | ls_id << (GROUP_KIND_BIT - self.logical_switch_bits) | index


LAST_VID = 4094
"""The last label that a VLAN tag can carry."""
DETOURED_BIT = 23
DETOURED_KEY = 1 << DETOURED_BIT
"""Set in a tunnel's key while its frame is detoured. VXLAN and Geneve have keys of 24 bits: a label has 23."""
LAST_KEY = DETOURED_KEY - 1
"""The last label that a tunnel can carry."""
BARE = 1 << 27
"""Set in the id of an uplink group for frames whose label is in tun_id and not in a tag."""


def destination_group_id(kind: GroupKind, destination: int, carriage: Carriage = Carriage.VLAN) -> int:
    """The group id of an uplink towards the edge with that index (below 2**27), for frames with their label there."""
    return kind << GROUP_KIND_BIT | (BARE if carriage is Carriage.TUNNEL else 0) | destination


def cookie(ls_id: int, number: int) -> int:
    """The physical cookie of entry `number` of a logical switch, or of RuleKind `number` when `ls_id` is 0."""
    return COOKIE_PREFIX | ls_id << 32 | number


def read_cookie(value: int) -> tuple[int, int] | None:
    """(logical switch id, number) of a cookie of ours and of this epoch, else None."""
    if value & OURS_MASK != COOKIE_PREFIX:
        return None
    return value >> 32 & 0xFFFF, value & 0xFFFFFFFF


def describe_cookie(value: int) -> Container | None:
    """The cookie's parts by name, for people and logs; None when it is not ours."""
    if value >> 56 != MARK:
        return None
    parsed: Container = COOKIE.parse(value.to_bytes(8, "big"))
    return parsed
