"""What a frame walks through: one switch's flow entries, groups and ports, and what is looked up in them.

Must not know what becomes of a frame; see walk.
"""
from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final, NamedTuple, Protocol, TypeAlias

from hvproxy.openflow import actions, nicira, nicira_bundle
from hvproxy.openflow.constants import of13
from hvproxy.openflow.groups import Bucket, walk_buckets
from hvproxy.openflow.instructions import Instructions
from hvproxy.openflow.oxm import Match
from hvproxy.openflow.oxm_aliases import long_port
from hvproxy.openflow.oxm_fields import BY_NUMBER, NX, VLAN_ETH_TYPES, VLAN_ID
from hvproxy.openflow.text import group_number, port_text
from hvproxy.trace.frame import ETH_TYPE, VLAN_VID, Frame

_CONJ_ID: Final = BY_NUMBER[NX + 37]
_ALWAYS: Final = frozenset((0xfff8, 0xfff9, 0xfffa, 0xfffb, 0xfffc, nicira_bundle.NO_PORT))
"""Numbers that stand for no one port, and are alive to a bundle."""
DEEPEST_WATCH = 64
"""Groups that watch groups, followed so far."""


class Flow(NamedTuple):
    """A flow entry."""

    table: int
    priority: int
    match: Match
    instructions: Instructions
    origin: object = None
    """Whatever its owner wants to find again in the steps."""

    @property
    def is_table_miss(self) -> bool:
        return not self.priority and not self.match.mask


class GroupLike(Protocol):
    """A group, as rules.Group and lowering.TenantGroup have it."""

    @property
    def group_id(self) -> int: ...
    @property
    def type(self) -> int: ...
    @property
    def buckets(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Port:
    """A port that a switch has."""

    closed: str = ""
    """Why nothing is sent out of it: "is down"; empty when something is."""
    live: bool = True
    """Groups that watch it may use it."""
    claimed: frozenset[int] = frozenset()
    """VLANs whose frames are not sent out of it, nor those whose tag is not to be seen: they are others'."""

    def refusal(self, frame: Frame) -> str:
        """Why a frame is not sent out of it; empty when it is."""
        if self.closed or not self.claimed:
            return self.closed
        if not frame.tags:
            hidden = frame.fields.get(ETH_TYPE) in VLAN_ETH_TYPES
            return "sends no tag that its switch does not see: it could be a sub-port's beside it" if hidden else ""
        vid = frame.fields[VLAN_VID] & VLAN_ID
        return f"sends nothing under VLAN {vid}, which is a sub-port's beside it" if vid in self.claimed else ""


Choice: TypeAlias = Callable[[GroupLike, Sequence[Bucket], Sequence[int], Frame], int]
"""(SELECT group, its buckets, indexes of those that can be taken, the frame) -> the index that is taken."""


Normal: TypeAlias = Callable[[Frame], int | None]
"""A frame that is output to NORMAL -> the port it goes to, FLOOD, or None where it goes nowhere."""


Matters: TypeAlias = Callable[[Frame], Collection[int] | None]
"""A frame that is flooded -> the only ports where it matters, or None where it matters everywhere."""


def heaviest(group: GroupLike, buckets: Sequence[Bucket], usable: Sequence[int], frame: Frame) -> int:
    """The first bucket of the greatest weight: what to follow where only the switch knows its hash."""
    return max(usable, key=lambda index: (buckets[index].weight, -index))


def _clauses(flow: Flow) -> list[tuple[int, int, int]]:
    """(id, clause, how many) of each conjunctive match that an entry is a part of: such an entry does nothing else."""
    return [nicira.conjunction_of(action) for kind, action in actions.walk(flow.instructions.apply)
            if kind == of13.OFPAT_EXPERIMENTER and nicira.kind_of(action) == nicira.CONJUNCTION]


def _complete(flows: Iterable[Flow]) -> list[int]:
    """The ids of the conjunctive matches of which all clauses are met."""
    met: dict[tuple[int, int], set[int]] = {}
    for flow in flows:
        for number, clause, count in _clauses(flow):
            met.setdefault((number, count), set()).add(clause)
    return sorted(number for (number, count), found in met.items() if len(found) == count)


class Switch:
    """What a walk goes through."""

    def __init__(
        self, flows: Iterable[Flow], groups: Mapping[int, GroupLike], ports: Mapping[int, Port],
        choose: Choice = heaviest, normal: Normal | None = None,
        takes_up_anew: Callable[[GroupLike], bool] = lambda group: False, matters: Matters = lambda frame: None,
    ) -> None:
        self.groups = groups
        self.ports = ports
        self.choose = choose
        self.normal = normal
        self.takes_up_anew = takes_up_anew
        """Whether a group has the packet read again, so that what a tag has hidden can be seen."""
        self.matters = matters
        self._tables: dict[int, list[Flow]] = {}
        self._buckets: dict[int, Sequence[Bucket]] = {}
        for flow in flows:
            self._tables.setdefault(flow.table, []).append(flow)
        for table in self._tables.values():
            table.sort(key=lambda flow: -flow.priority)

    def lookup(self, table: int, frame: Frame) -> Flow | None:
        """The entry of the highest priority that the frame matches (OF 1.3.5 section 5.3)."""
        value = frame.value
        found = [flow for flow in self._tables.get(table, ()) if not (value ^ flow.match.value) & flow.match.mask]
        for _, several in groupby(found, lambda flow: flow.priority):
            flows = list(several)
            plain = next((flow for flow in flows if not _clauses(flow)), None)
            if plain is not None:
                return plain
            for number in _complete(flows):
                meant = value | number << _CONJ_ID.shift
                named = next((flow for flow in self._tables[table] if not _clauses(flow)
                              and not (meant ^ flow.match.value) & flow.match.mask), None)
                if named is not None:
                    return named
        return None

    def buckets(self, group: GroupLike) -> Sequence[Bucket]:
        found = self._buckets.get(group.group_id)
        if found is None:
            found = self._buckets[group.group_id] = walk_buckets(group.buckets)
        return found

    def may_choose(self, member: int) -> bool:
        """Whether a bundle takes a port of that number, of 16 bits, for alive."""
        port = self.ports.get(long_port(member))
        return member in _ALWAYS or port is not None and port.live

    def why_dead(self, group: GroupLike, bucket: Bucket, depth: int = 0) -> str:
        """Why a bucket cannot be used; empty when it can (OF 1.3.5 section 5.6.1)."""
        if group.type == of13.OFPGT_SELECT and not bucket.weight:
            return "its weight is 0"
        reasons = []
        if bucket.watch_port != of13.OFPP_ANY:
            port = self.ports.get(bucket.watch_port)
            if port is not None and port.live:
                return ""
            reasons.append(f"port {port_text(bucket.watch_port)} is {'not there' if port is None else 'down'}")
        if bucket.watch_group != of13.OFPG_ANY:
            watched = self.groups.get(bucket.watch_group)
            if watched is not None and depth < DEEPEST_WATCH and any(
                    not self.why_dead(watched, each, depth + 1) for each in self.buckets(watched)):
                return ""
            reasons.append(f"group {group_number(bucket.watch_group)} has no live bucket")
        return " and ".join(reasons)
