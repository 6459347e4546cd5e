"""One frame through one switch: tables, actions, action set, groups, ports (OF 1.3.5 section 5), told step by step.

What leaves the switch counts only at the end of the walk: a frame whose translation fails half way (groups chained too
deep, too many labels) leaves nowhere, as in Open vSwitch. Must not know whose switch it is: a Flow's origin is handed
back as it came, and what a port or a group is for is its owner's to say.
"""
from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from struct import Struct
from typing import Final

from hvproxy.openflow import actions, nicira, nicira_bundle, nicira_ct
from hvproxy.openflow.constants import of13
from hvproxy.openflow.groups import Bucket
from hvproxy.openflow.oxm import tlv
from hvproxy.openflow.oxm_aliases import long_port
from hvproxy.openflow.oxm_fields import VLAN_PRESENT
from hvproxy.openflow.text import actions_text, group_number, group_type, port_text
from hvproxy.trace import changing, edits
from hvproxy.trace.action_set import Item, in_order, sends
from hvproxy.trace.frame import IN_PORT, METADATA, TUNNEL_ID, VLAN_PCP, VLAN_VID, Frame
from hvproxy.trace.steps import Kind, Sent, Step, Told, Walk
from hvproxy.trace.switch import Flow, GroupLike, Switch

DEEPEST = 64
"""Groups within groups, and tables looked up within tables that are not later ones (Open vSwitch's MAX_DEPTH)."""
MOST_ENTERED = 4096
"""Groups entered and tables resubmitted to in one walk (Open vSwitch's MAX_RESUBMITS): who asks waits for the answer,
and groups that name each other twice grow fast."""
_ARGUMENT: Final = Struct("!4xI").unpack_from
_OUTPUT: Final[int] = of13.OFPAT_OUTPUT
_GROUP: Final[int] = of13.OFPAT_GROUP


class Overrun(Exception):
    """More than a switch follows: the frame is dropped."""


def walk(switch: Switch, data: bytes, in_port: int, metadata: int = 0, tunnel_id: int = 0) -> Walk:
    """What `switch` does with a frame that arrives at a port."""
    walker = _Walker(switch, Frame(data, in_port, metadata, tunnel_id))
    done = walker.done
    try:
        walker.tables()
        walker.action_set()
    except Overrun as overrun:
        done.fail(str(overrun))
    except edits.TooManyLabels:
        done.fail("the frame has more MPLS labels than a switch follows")
    if done.is_silent:
        walker.step(Kind.DROP, "nothing sends the frame anywhere: it is dropped", depth=0)
    return done


class _Walker:
    """One frame under way."""

    def __init__(self, switch: Switch, frame: Frame) -> None:
        self.switch = switch
        self.frame = frame
        self.done = Walk()
        self.items: tuple[Item, ...] = ()
        self.flow: Flow | None = None
        """The entry that packet-ins name."""
        self.writer: Flow | None = None
        """Who wrote the action of the set that is being carried out."""
        self.in_set = False
        self.in_groups = 0
        """How many groups deep."""
        self.levels = 0
        """How many groups, and resubmits that do not go on to a later table, deep."""
        self.entered = 0
        """Groups entered and tables resubmitted to."""
        self.table = 0
        self.exited = False
        """An action has ended the rest of all lists, up to the bucket it stands in."""
        self.stack: list[int] = []
        self.depth = 0

    def step(self, kind: Kind, text: str, *, depth: int | None = None, table: int | None = None,
             flow: Flow | None = None, group: GroupLike | None = None, bucket: int | None = None,
             port: int | None = None) -> None:
        self.done.steps.append(Step(self.depth if depth is None else depth, kind, text, table, flow, group, bucket,
                                    port))

    def tables(self) -> None:
        """Match, table by table."""
        self.flow = self._look_up(0, self.frame)
        self.depth = 0

    def _look_up(self, start: int, frame: Frame) -> Flow | None:
        """Carry out what matches in a table and in those that it leads to; the first entry."""
        table: int | None = start
        first: Flow | None = None
        depth, outer = self.depth, self.table
        while table is not None:
            flow = self.switch.lookup(table, frame)
            self.depth = depth
            if flow is None:
                self.step(Kind.TABLE, "no entry matches", table=table)
                break
            self.step(Kind.TABLE, "table-miss entry" if flow.is_table_miss else "hit", table=table, flow=flow)
            self.depth = depth + 1
            self.flow, self.table, first = flow, table, first or flow
            if not self._instructions(flow, frame):
                break
            table = flow.instructions.goto
        self.depth, self.table = depth, outer
        return first

    def _instructions(self, flow: Flow, frame: Frame) -> bool:
        """Carry out an entry's instructions but its goto; False where the rest of the tables is void."""
        doing = flow.instructions
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
        if not items or self.exited:
            return
        if not sends(items):
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
            elif item.kind == of13.OFPAT_EXPERIMENTER:
                if not self._extension(item.action, frame):
                    return False
            else:
                self.step(Kind.APPLY, changing.carry_out(frame, item.kind, item.action, self.stack))
        return True

    def _extension(self, action: bytes, frame: Frame) -> bool:
        """Carry out one of Open vSwitch's own actions; False where the rest of the list is void."""
        kind = nicira.kind_of(action)
        if kind in (nicira.RESUBMIT, nicira.RESUBMIT_TABLE):
            self._resubmit(action, frame)
        elif kind == nicira.CLONE:
            self._clone(action, frame)
        elif kind == nicira.CUT_OUTPUT:
            self.step(Kind.APPLY, f"{actions_text(action)}: leads to no port")
        elif kind == nicira.EXIT:
            self.step(Kind.APPLY, "exit: all that follows is void, the action set too")
            self.exited = True
        elif kind == nicira.CONTROLLER:
            self._tell(frame, of13.OFPR_ACTION, nicira.controller_id(action) or 0)
        elif kind in (nicira_bundle.BUNDLE, nicira_bundle.BUNDLE_LOAD):
            self._choose(action, frame)
        elif kind == nicira_ct.CT:
            self._track(action)
        elif kind == nicira.DEC_TTL_IDS:
            return self._count_down(Item(of13.OFPAT_DEC_NW_TTL, actions.dec_nw_ttl(), None), frame)
        else:
            self.step(Kind.APPLY, changing.carry_out(frame, of13.OFPAT_EXPERIMENTER, action, self.stack))
        return not self.exited

    def _choose(self, action: bytes, frame: Frame) -> None:
        """Take the first of several ports that is alive, which a hash might do as well as any other."""
        choice = nicira_bundle.read(action)
        chosen = next((member for member in choice.members if self.switch.may_choose(member)), nicira_bundle.NO_PORT)
        if choice.by_hash:
            self.step(Kind.APPLY, "the hash of a bundle, which only the switch knows, is taken for the first port's")
        if choice.into is not None:
            self.step(Kind.APPLY, changing.choose(frame, action, chosen))
        elif chosen != nicira_bundle.NO_PORT:
            self._output(long_port(chosen), frame)
        else:
            self.step(Kind.APPLY, "bundle: no port is alive")

    def _track(self, action: bytes) -> None:
        """The connection is known to the datapath alone."""
        table, said = nicira_ct.table(action), actions_text(action)
        if table is None:
            self.step(Kind.APPLY, f"{said}: the connection is tracked, and nothing is changed")
            return
        if self.items:
            self.items = ()
            self.step(Kind.CLEAR, "the action set is cleared: the packet is taken up anew without it")
        self.done.tracked.append(table)
        self.step(Kind.APPLY, f"{said}: a copy goes on in table {table} with what is known of its connection, and is "
                  "not followed")

    def _resubmit(self, action: bytes, frame: Frame) -> None:
        """Look up another table; what was under way goes on after that."""
        named = nicira.table_of(action)
        table = self.table if named is None else named
        deepens = table <= self.table
        self._enter(deepens)
        self.step(Kind.APPLY, f"resubmit to table {table}")
        before = self.flow, self.writer, self.in_set
        self.writer, self.in_set = None, False
        self.depth += 1
        self.levels += deepens
        self._look_up(table, frame)
        self.levels -= deepens
        self.depth -= 1
        self.flow, self.writer, self.in_set = before

    def _clone(self, action: bytes, frame: Frame) -> None:
        """A copy goes through actions, and what these write into its action set is carried out with it."""
        data = nicira.cloned(action)
        assert data is not None
        before = self.items, self.stack, self.flow, self.writer, self.in_set, self.in_groups, self.exited
        depth, copy = self.depth, frame.copy()
        self.stack = list(self.stack)
        self.step(Kind.APPLY, "a copy goes on by itself")
        self.depth += 1
        self._execute([Item(kind, each, None) for kind, each in actions.walk(data)], copy)
        items = in_order(self.items)
        if sends(items) and not self.exited:
            self.step(Kind.ACTION_SET,
                      f"the copy's action set is carried out: {actions_text(b''.join(i.action for i in items))}")
            self.flow, self.in_set, self.in_groups = before[2], True, 0
            self._execute(items, copy)
        self.items, self.stack, self.flow, self.writer, self.in_set, self.in_groups, self.exited = before
        self.depth = depth

    def _enter(self, deepens: bool) -> None:
        """A group or a table more. Raises Overrun."""
        self.entered += 1
        if self.levels >= DEEPEST and deepens:
            raise Overrun(f"it enters more than {DEEPEST} groups or tables within each other")
        if self.entered > MOST_ENTERED:
            raise Overrun(f"it enters more than {MOST_ENTERED} groups and tables")

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
            self._send(frame.fields[IN_PORT], frame, "IN_PORT: ")
        elif port == of13.OFPP_NORMAL and self.switch.normal is not None:
            self._normal(self.switch.normal(frame), frame)
        elif port in (of13.OFPP_FLOOD, of13.OFPP_ALL):
            others = [number for number in sorted(self.switch.ports)
                      if number != frame.fields[IN_PORT] and number < of13.OFPP_MAX]
            some = self.switch.matters(frame)
            if some is not None:
                self.step(Kind.APPLY, f"{port_text(port)}: its host is known, and floods go where they matter")
                others = [number for number in others if number in some]
            if not others:
                self.step(Kind.DROP, f"{port_text(port)}: there is no other port")
            for number in others:
                self._send(number, frame, f"{port_text(port)}: ")
        elif port == frame.fields[IN_PORT]:
            self.step(Kind.DROP, f"port {port} is where the frame came from: nothing goes back without IN_PORT",
                      port=port)
        else:
            self._send(port, frame, "")

    def _normal(self, port: int | None, frame: Frame) -> None:
        if port is None:
            self.step(Kind.DROP, "NORMAL: the address is reserved for what switches tell each other: dropped")
            return
        if frame.fields[VLAN_VID] == VLAN_PRESENT and not frame.fields[VLAN_PCP]:
            frame = frame.copy()
            edits.pop_vlan(frame)
            self.step(Kind.APPLY, "NORMAL: the tag says nothing and is taken off")
        if port == of13.OFPP_FLOOD:
            self.step(Kind.APPLY, "NORMAL: where the destination is has not been learnt")
            self._output(port, frame)
        else:
            self.step(Kind.APPLY, f"NORMAL: the destination has been learnt at port {port}")
            self._output(port, frame)

    def _send(self, number: int, frame: Frame, why: str) -> None:
        port = self.switch.ports.get(number)
        reason = "is not there" if port is None else port.refusal(frame)
        if reason:
            self.step(Kind.DROP, f"{why}port {port_text(number)} {reason}: dropped", port=number)
            return
        self.done.sent.append(Sent(number, frame.data))
        self.done.keys.append(frame.fields[TUNNEL_ID])
        self.step(Kind.OUTPUT, f"{why}out of port {port_text(number)}", port=number)

    def _tell(self, frame: Frame, reason: int, controller_id: int = 0) -> None:
        direct = not self.in_groups and not self.in_set
        if reason == of13.OFPR_ACTION and direct and self.flow is not None and self.flow.is_table_miss:
            reason = of13.OFPR_NO_MATCH
        others = b"".join(tlv(number, value) for number, value in sorted(frame.pipeline.items())
                          if value and number != METADATA)
        self.done.told.append(Told(reason, self.flow, self.writer, frame.fields[METADATA], others, frame.data))
        asked = " (they get it only if they ask for it)" if reason == of13.OFPR_INVALID_TTL else ""
        whose = f" of id {controller_id}" if controller_id else ""
        self.step(Kind.PACKET_IN, f"to the controllers{whose}, reason {REASONS[reason]}{asked}")

    # Groups

    def _group(self, group_id: int, frame: Frame) -> None:
        group = self.switch.groups.get(group_id)
        if group is None:
            self.step(Kind.DROP, f"there is no group {group_number(group_id)}: dropped")
            return
        self._enter(True)
        self.step(Kind.GROUP, f"group {group_number(group_id)}, {group_type(group.type)}", group=group)
        if self.switch.takes_up_anew(group):
            frame.read(frame.data)
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
        self.levels += 1
        try:
            if sends(items):
                self._execute(items, frame.copy())
            else:
                self.step(Kind.DROP, "the bucket has no output: dropped", group=group, bucket=index)
        except edits.TooManyLabels:
            self.step(Kind.DROP, "more MPLS labels than a switch follows: this copy is dropped")
        finally:
            self.exited = False
            self.in_groups -= 1
            self.levels -= 1
            self.depth -= 1


def _listed(reasons: Mapping[int, str]) -> str:
    return f" ({'; '.join(f'bucket {index}: {why}' for index, why in sorted(reasons.items()))})" if reasons else ""


REASONS: Final = {of13.OFPR_NO_MATCH: "no_match", of13.OFPR_ACTION: "action", of13.OFPR_INVALID_TTL: "invalid_ttl"}
"""OFPR_* in words."""
