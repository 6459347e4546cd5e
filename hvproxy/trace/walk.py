"""One frame through one switch: tables, actions, action set, groups, ports (OF 1.3.5 section 5), told step by step.

What leaves the switch counts only at the end of the walk: a frame whose translation fails half way (groups chained too
deep, too many labels) leaves nowhere, as in Open vSwitch. Must not know whose switch it is: a Flow's origin is handed
back as it came, and what a port or a group is for is its owner's to say.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from struct import Struct
from typing import Final, NamedTuple

from hvproxy.openflow import actions, nicira
from hvproxy.openflow.constants import of13
from hvproxy.openflow.groups import Bucket
from hvproxy.openflow.oxm import tlv
from hvproxy.openflow.oxm_aliases import WIDE_REGISTERS
from hvproxy.openflow.oxm_fields import HEADERS_EXACT
from hvproxy.openflow.text import actions_text, group_number, group_type, port_text
from hvproxy.trace import edits
from hvproxy.trace.frame import METADATA, TUNNEL_ID, Frame
from hvproxy.trace.switch import Flow, GroupLike, Switch

DEEPEST = 64
"""Groups within groups (Open vSwitch's MAX_DEPTH)."""
MOST_GROUPS = 4096
"""Groups entered in one walk: who asks waits for the answer, and groups that name each other twice grow fast."""
_ARGUMENT: Final = Struct("!4xI").unpack_from
_ETH_TYPE: Final = Struct("!4xH").unpack_from
_TTL: Final = Struct("!4xB").unpack_from
_OUTPUT: Final[int] = of13.OFPAT_OUTPUT
_GROUP: Final[int] = of13.OFPAT_GROUP
_SET_ORDER: Final = (of13.OFPAT_POP_VLAN, of13.OFPAT_POP_MPLS, of13.OFPAT_PUSH_MPLS, of13.OFPAT_PUSH_VLAN,
                     of13.OFPAT_DEC_NW_TTL, of13.OFPAT_DEC_MPLS_TTL)
"""Of an action set, before what sets fields (OF 1.3.5 section 5.10, as Open vSwitch has it)."""
_SETTERS: Final = frozenset((of13.OFPAT_SET_FIELD, of13.OFPAT_SET_NW_TTL, of13.OFPAT_SET_MPLS_TTL,
                             of13.OFPAT_SET_QUEUE))


class Kind(Enum):
    """What a step tells of."""

    TABLE = "table"
    """An entry was hit, or none."""
    METER = "meter"
    APPLY = "apply"
    """An action that changed the frame."""
    CLEAR = "clear"
    WRITE = "write"
    METADATA = "metadata"
    ACTION_SET = "action_set"
    """The action set is carried out."""
    GROUP = "group"
    BUCKET = "bucket"
    OUTPUT = "output"
    PACKET_IN = "packet_in"
    DROP = "drop"
    """Something goes nowhere."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happens to the frame."""

    depth: int
    kind: Kind
    text: str
    table: int | None = None
    flow: Flow | None = None
    group: GroupLike | None = None
    bucket: int | None = None
    port: int | None = None


class Sent(NamedTuple):
    """A frame that leaves by a port."""

    port: int
    data: bytes


class Told(NamedTuple):
    """A frame for the controllers."""

    reason: int
    """OFPR_*."""
    flow: Flow | None
    """The entry it names: with the action set the first that was hit, as Open vSwitch has it."""
    writer: Flow | None
    """The entry that wrote what sends it into the action set; None where no action set sends it."""
    metadata: int
    others: bytes
    """The TLVs of what else goes with it and is not 0: tunnel id, registers."""
    data: bytes


class Item(NamedTuple):
    """An action of an action set."""

    kind: int
    action: bytes
    writer: Flow | None


class Overrun(Exception):
    """More than a switch follows: the frame is dropped."""


@dataclass(slots=True)
class Walk:
    """What became of a frame."""

    steps: list[Step] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)
    keys: list[int] = field(default_factory=list)
    """The tunnel id that goes with each of them: its key, where the port is a tunnel's."""
    told: list[Told] = field(default_factory=list)
    failed: str = ""
    """Why the frame leaves nowhere although the steps say so."""


def walk(switch: Switch, data: bytes, in_port: int, metadata: int = 0, tunnel_id: int = 0) -> Walk:
    """What `switch` does with a frame that arrives at a port."""
    walker = _Walker(switch, Frame(data, in_port, metadata, tunnel_id), in_port)
    done = walker.done
    try:
        walker.tables()
        walker.action_set()
    except Overrun as overrun:
        done.failed = str(overrun)
    except edits.TooManyLabels:
        done.failed = "the frame has more MPLS labels than a switch follows"
    if done.failed:
        walker.step(Kind.DROP, f"the frame leaves nowhere: {done.failed}", depth=0)
        done.sent.clear()
        done.keys.clear()
        done.told.clear()
    elif not any(step.kind in (Kind.OUTPUT, Kind.PACKET_IN, Kind.DROP) for step in done.steps):
        walker.step(Kind.DROP, "nothing sends the frame anywhere: it is dropped", depth=0)
    return done


def in_order(items: Iterable[Item]) -> list[Item]:
    """An action set in the order in which it is carried out (OF 1.3.5 section 5.10)."""
    slots: dict[int, Item] = {}
    setters: list[Item] = []
    final: Item | None = None
    for item in items:
        if item.kind in _SETTERS or _copies(item):
            setters.append(item)
        elif item.kind == _GROUP or item.kind == _OUTPUT and (final is None or final.kind == _OUTPUT):
            final = item
        elif item.kind != _OUTPUT:
            slots[item.kind] = item
    return [*(slots[kind] for kind in _SET_ORDER if kind in slots), *setters, *(() if final is None else (final,))]


def _sends(items: Sequence[Item]) -> bool:
    """Whether an action set in order does anything: without an output it does nothing."""
    return bool(items) and items[-1].kind in (_OUTPUT, _GROUP)


class _Walker:
    """One frame under way."""

    def __init__(self, switch: Switch, frame: Frame, in_port: int) -> None:
        self.switch = switch
        self.frame = frame
        self.in_port = in_port
        self.done = Walk()
        self.items: tuple[Item, ...] = ()
        self.flow: Flow | None = None
        """The entry that packet-ins name."""
        self.writer: Flow | None = None
        """Who wrote the action of the set that is being carried out."""
        self.in_set = False
        self.in_groups = 0
        """How many groups deep."""
        self.groups_entered = 0
        self.depth = 0

    def step(self, kind: Kind, text: str, *, depth: int | None = None, table: int | None = None,
             flow: Flow | None = None, group: GroupLike | None = None, bucket: int | None = None,
             port: int | None = None) -> None:
        self.done.steps.append(Step(self.depth if depth is None else depth, kind, text, table, flow, group, bucket,
                                    port))

    def tables(self) -> None:
        """Match, table by table."""
        table: int | None = 0
        first: Flow | None = None
        while table is not None:
            flow = self.switch.lookup(table, self.frame)
            self.depth = 0
            if flow is None:
                self.step(Kind.TABLE, "no entry matches", table=table)
                break
            self.step(Kind.TABLE, "table-miss entry" if flow.is_table_miss else "hit", table=table, flow=flow)
            self.depth = 1
            self.flow, first = flow, first or flow
            if not self._instructions(flow):
                break
            table = flow.instructions.goto
        self.depth, self.flow = 0, first

    def _instructions(self, flow: Flow) -> bool:
        """Carry out an entry's instructions but its goto; False where the rest of the tables is void."""
        doing, frame = flow.instructions, self.frame
        if doing.meter is not None:
            self.step(Kind.METER, f"meter {doing.meter}: taken not to drop the frame")
        if doing.apply and not self._execute([Item(kind, action, None) for kind, action in actions.walk(doing.apply)],
                                             frame):
            return False
        if doing.clear:
            self.items = ()
            self.step(Kind.CLEAR, "the action set is cleared")
        if doing.write:
            self.items += tuple(Item(kind, action, flow) for kind, action in actions.walk(doing.write))
            shown = actions_text(b"".join(item.action for item in in_order(self.items)))
            self.step(Kind.WRITE, f"the action set is now {shown}")
        if doing.metadata is not None:
            value, mask = doing.metadata
            frame.fields[METADATA] = frame.fields[METADATA] & ~mask | value & mask
            self.step(Kind.METADATA, f"metadata is now {frame.fields[METADATA]:#x}")
        return True

    def action_set(self) -> None:
        """Carry out what the entries have written."""
        items = in_order(self.items)
        if not items:
            return
        if not _sends(items):
            self.step(Kind.DROP, "the action set has no output: it does nothing")
            return
        self.step(Kind.ACTION_SET, f"the action set is carried out: {actions_text(b''.join(i.action for i in items))}")
        self.depth, self.in_set = 1, True
        self._execute(items, self.frame)

    # Actions

    def _execute(self, items: Iterable[Item], frame: Frame) -> bool:
        """Carry out a list; False where a TTL ran out and the rest is void."""
        for item in items:
            if self.in_set and not self.in_groups:
                self.writer = item.writer
            if item.kind == _OUTPUT:
                self._output(_ARGUMENT(item.action)[0], frame)
            elif item.kind == _GROUP:
                self._group(_ARGUMENT(item.action)[0], frame)
            elif item.kind == of13.OFPAT_DEC_NW_TTL or item.kind == of13.OFPAT_DEC_MPLS_TTL:
                if not self._count_down(item, frame):
                    return False
            elif item.kind not in _EDITS and not _copies(item):
                self.step(Kind.DROP, f"{actions_text(item.action)}: what this action does is not known here")
            else:
                before = frame.data, frame.value
                _EDITS.get(item.kind, _copy)(frame, item.action)
                changed = before != (frame.data, frame.value)
                nothing = "" if changed else ": changes nothing"
                self.step(Kind.APPLY, actions_text(item.action) + nothing)
        return True

    def _count_down(self, item: Item, frame: Frame) -> bool:
        of_network = item.kind == of13.OFPAT_DEC_NW_TTL
        left = edits.ttl(frame) if of_network else edits.mpls_ttl(frame)
        text = actions_text(item.action)
        if left is None:
            self.step(Kind.APPLY, f"{text}: changes nothing")
            return bool(of_network)
        if left <= 1:
            self.step(Kind.APPLY, f"{text}: the TTL is used up, and the actions that follow are void")
            self._tell(frame, of13.OFPR_INVALID_TTL)
            return False
        (edits.set_ttl if of_network else edits.set_mpls_ttl)(frame, left - 1)
        self.step(Kind.APPLY, f"{text}: {left - 1} left")
        return True

    def _output(self, port: int, frame: Frame) -> None:
        if port == of13.OFPP_CONTROLLER:
            self._tell(frame, of13.OFPR_ACTION)
        elif port == of13.OFPP_IN_PORT:
            self._send(self.in_port, frame, "IN_PORT: ")
        elif port in (of13.OFPP_FLOOD, of13.OFPP_ALL):
            others = [number for number in sorted(self.switch.ports)
                      if number != self.in_port and number < of13.OFPP_MAX]
            if not others:
                self.step(Kind.DROP, f"{port_text(port)}: there is no other port")
            for number in others:
                self._send(number, frame, f"{port_text(port)}: ")
        elif port == self.in_port:
            self.step(Kind.DROP, f"port {port} is where the frame came from: nothing goes back without IN_PORT",
                      port=port)
        else:
            self._send(port, frame, "")

    def _send(self, number: int, frame: Frame, why: str) -> None:
        port = self.switch.ports.get(number)
        if port is None or port.closed:
            reason = "is not there" if port is None else port.closed
            self.step(Kind.DROP, f"{why}port {port_text(number)} {reason}: dropped", port=number)
            return
        self.done.sent.append(Sent(number, frame.data))
        self.done.keys.append(frame.fields[TUNNEL_ID])
        self.step(Kind.OUTPUT, f"{why}out of port {port_text(number)}", port=number)

    def _tell(self, frame: Frame, reason: int) -> None:
        direct = not self.in_groups and not self.in_set
        if reason == of13.OFPR_ACTION and direct and self.flow is not None and self.flow.is_table_miss:
            reason = of13.OFPR_NO_MATCH
        others = b"".join(tlv(number, value) for number, value in sorted(frame.pipeline.items())
                          if value and number != METADATA)
        self.done.told.append(Told(reason, self.flow, self.writer, frame.fields[METADATA], others, frame.data))
        asked = " (they get it only if they ask for it)" if reason == of13.OFPR_INVALID_TTL else ""
        self.step(Kind.PACKET_IN, f"to the controllers, reason {REASONS[reason]}{asked}")

    # Groups

    def _group(self, group_id: int, frame: Frame) -> None:
        group = self.switch.groups.get(group_id)
        if group is None:
            self.step(Kind.DROP, f"there is no group {group_number(group_id)}: dropped")
            return
        self.groups_entered += 1
        if self.in_groups >= DEEPEST or self.groups_entered > MOST_GROUPS:
            raise Overrun(f"it enters more than {DEEPEST} groups within each other" if self.in_groups >= DEEPEST
                          else f"it enters more than {MOST_GROUPS} groups")
        self.step(Kind.GROUP, f"group {group_number(group_id)}, {group_type(group.type)}", group=group)
        buckets = self.switch.buckets(group)
        self.depth += 1
        for index, why in self._taken(group, buckets, frame):
            self._bucket(group, index, buckets[index], why, frame)
        self.depth -= 1

    def _taken(self, group: GroupLike, buckets: Sequence[Bucket], frame: Frame) -> list[tuple[int, str]]:
        """(index of a bucket that is used, why it is)."""
        if group.type in (of13.OFPGT_ALL, of13.OFPGT_INDIRECT):
            if not buckets:
                self.step(Kind.DROP, "it has no bucket: dropped", group=group)
            return [(index, "") for index in range(len(buckets))]
        dead = {index: why for index, each in enumerate(buckets) if (why := self.switch.why_dead(group, each))}
        usable = [index for index in range(len(buckets)) if index not in dead]
        if not usable:
            self.step(Kind.DROP, f"no bucket is live: dropped{_listed(dead)}", group=group)
            return []
        if group.type == of13.OFPGT_FF:
            passed = {index: why for index, why in dead.items() if index < usable[0]}
            return [(usable[0], f", the first live one{_listed(passed)}")]
        if len(usable) == 1:
            return [(usable[0], f", the only one that can be taken{_listed(dead)}")]
        chosen = self.switch.choose(group, buckets, usable, frame)
        others = ", ".join(str(index) for index in usable if index != chosen)
        return [(chosen, f", taken for the one that the switch's hash selects; it may be {others} as well")]

    def _bucket(self, group: GroupLike, index: int, bucket: Bucket, why: str, frame: Frame) -> None:
        """Carry out a bucket on a copy of the frame: what it changes shows nowhere else."""
        items = in_order(Item(kind, action, None) for kind, action in actions.walk(bucket.actions))
        self.step(Kind.BUCKET, f"bucket {index}{why}", group=group, bucket=index)
        self.depth += 1
        self.in_groups += 1
        try:
            if _sends(items):
                self._execute(items, frame.copy())
            else:
                self.step(Kind.DROP, "the bucket has no output: dropped", group=group, bucket=index)
        except edits.TooManyLabels:
            self.step(Kind.DROP, "more MPLS labels than a switch follows: this copy is dropped")
        finally:
            self.in_groups -= 1
            self.depth -= 1


def _listed(reasons: Mapping[int, str]) -> str:
    return f" ({'; '.join(f'bucket {index}: {why}' for index, why in sorted(reasons.items()))})" if reasons else ""


def _set_field(frame: Frame, action: bytes) -> None:
    header, at = _ARGUMENT(action)[0], 8
    for known in WIDE_REGISTERS.get(header) or (HEADERS_EXACT[header],):
        edits.set_field(frame, known.number, int.from_bytes(action[at:at + known.size], "big"))
        at += known.size


def _copies(item: Item) -> bool:
    return item.kind == of13.OFPAT_EXPERIMENTER and nicira.copy_of(item.action) is not None


def _copy(frame: Frame, action: bytes) -> None:
    """A move or a load."""
    copy = nicira.copy_of(action)
    assert copy is not None
    value = copy.source if isinstance(copy.source, int) else frame.fields.get(copy.source.number, 0)
    mask = (1 << copy.bits) - 1
    kept = frame.fields.get(copy.target.number, 0) & ~(mask << copy.target_first)
    edits.set_field(frame, copy.target.number, kept | (value >> copy.first & mask) << copy.target_first)


_EDITS: Final[dict[int, Callable[[Frame, bytes], None]]] = {
    of13.OFPAT_SET_FIELD: _set_field,
    of13.OFPAT_PUSH_VLAN: lambda frame, action: edits.push_vlan(frame, _ETH_TYPE(action)[0]),
    of13.OFPAT_POP_VLAN: lambda frame, action: edits.pop_vlan(frame),
    of13.OFPAT_PUSH_MPLS: lambda frame, action: edits.push_mpls(frame, _ETH_TYPE(action)[0]),
    of13.OFPAT_POP_MPLS: lambda frame, action: edits.pop_mpls(frame, _ETH_TYPE(action)[0]),
    of13.OFPAT_SET_NW_TTL: lambda frame, action: edits.set_ttl(frame, _TTL(action)[0]),
    of13.OFPAT_SET_MPLS_TTL: lambda frame, action: edits.set_mpls_ttl(frame, _TTL(action)[0]),
    of13.OFPAT_SET_QUEUE: lambda frame, action: None,
}
REASONS: Final = {of13.OFPR_NO_MATCH: "no_match", of13.OFPR_ACTION: "action", of13.OFPR_INVALID_TTL: "invalid_ttl"}
"""OFPR_* in words."""
