"""A tenant's entry as the rules of one edge: a flow-mod costs its own entry only.

Pure. Metadata carries the context (logical switch, ingress lport, flags); see model.layout. A field of hvproxy's own
carries the number of the entry whose part of the action set can reach the controller: a packet-in from the action set
has the cookie of the first rule of all, as Open vSwitch carries the set out last, and that one classifies.

Where connections are tracked, one edge decides about all frames: its home. The others hold what they would hold without
it, but for what tracks, and no frame meets it there: so the way home can be taken at any time, in one step.

That field is a register of Open vSwitch's where all switches of the logical switch have them. Then the tunnel id is the
tenant's, as it is on a bridge: 64 bits that are 0 at first. The hypervisor needs it in no tenant's table: a tunnel's
key is set by the groups that send into the tunnel, behind everything of a tenant's, and what arrives through a tunnel
is classified first, which is where its key has to be cleared. Over other switches there is no register, and the
tunnel id has to do: no tenant may set it, and a match of it is resolved here.
"""
from __future__ import annotations

from dataclasses import replace
from typing import Final, Protocol

from hvproxy.compiler import connections
from hvproxy.compiler.lowering import Edge, depends_on_ingress, lower, uncovered
from hvproxy.compiler.members import ENDINGS, alive_in, write, written_behind
from hvproxy.model.layout import GROUP_FLAG, HOLDING_TABLES, SHARED_FLAG, Table, cookie
from hvproxy.model.rules import Rule
from hvproxy.model.view import Lport
from hvproxy.openflow import actions
from hvproxy.openflow.constants import of13
from hvproxy.openflow.instructions import Instructions, build
from hvproxy.openflow.memo import LONGEST
from hvproxy.openflow.oxm import Match, metadata_tlv, tlv, without
from hvproxy.openflow.oxm_fields import OWN_REGISTER


_TUNNEL_ID: Final[int] = of13.OFPXMT_OFB_TUNNEL_ID
REMEMBERED = 4096
"""Lowered instructions kept per edge, of those that are not long (openflow.memo)."""


class EntryLike(Protocol):
    """What the compiler reads of an entry."""

    @property
    def number(self) -> int: ...
    @property
    def table_id(self) -> int: ...
    @property
    def priority(self) -> int: ...
    @property
    def match(self) -> Match: ...
    @property
    def instructions(self) -> Instructions: ...


def rules_for(entry: EntryLike, edge: Edge) -> tuple[Rule, ...]:
    """The rules that carry out `entry` on `edge`; none where no packet it matches can enter.

    Their matches are disjoint, so the entry's counters are the sum of theirs.
    """
    if entry.table_id < 0 and edge.plain:
        return ()  # nothing leads to the hidden tables there
    body = _body(entry.match, edge)
    if edge.is_home:
        bodies = [] if body is None else connections.bodies(entry.match, body, edge.zones)
    elif entry.match.never or actions.tracks(entry.instructions.apply):
        return ()  # connections are tracked at home only
    else:
        bodies = [] if body is None else [body]
    layout, ls_id = edge.layout, edge.logical_switch.ls_id
    value, mask = layout.context(ls_id), layout.logical_switch_mask
    if entry.match.metadata is not None:
        value |= entry.match.metadata[0]
        mask |= entry.match.metadata[1]
    rules = []
    for ingress, more_value, more_mask in _ingresses(entry, edge) if bodies else ():
        for group_value, group_mask, instructions in _wire_cases(entry, edge, ingress):
            for body in bodies:
                rules.append(Rule(
                    Table.LOGICAL + entry.table_id,
                    entry.priority,
                    metadata_tlv(value | more_value | group_value, mask | more_mask | group_mask) + body,
                    instructions,
                    cookie(ls_id, entry.number),
                ))
    return tuple(rules)


def _body(match: Match, edge: Edge) -> bytes | None:
    """The TLVs of the match that are not the context's; None where the tunnel id is not the tenant's, and so 0 to it,
    and another is asked for."""
    tunnel = None if edge.logical_switch.extended else match.get(_TUNNEL_ID)
    if tunnel is None:
        return match.body
    return None if tunnel[0] else without(match.body, _TUNNEL_ID)


def _ingresses(entry: EntryLike, edge: Edge) -> list[tuple[Lport | None, int, int]]:
    """(ingress lport whose rule is its own, metadata value, metadata mask): disjoint cases of where packets enter."""
    layout, ls_id = edge.layout, edge.logical_switch.ls_id
    in_port = entry.match.in_port
    if in_port is not None:
        if in_port == of13.OFPP_CONTROLLER:
            return [(None, 0, layout.lport_mask)]
        lport = edge.lports.get(in_port)
        if lport is None or not edge.logical_switch.enters(lport, edge.dpid):
            return []
        return [(lport if lport.number in edge.apart else None, layout.context(ls_id, lport.index), layout.lport_mask)]
    cases: list[tuple[Lport | None, int, int]] = [(None, 0, SHARED_FLAG)]
    if edge.shared:
        instructions = entry.instructions
        if depends_on_ingress(instructions.apply) or depends_on_ingress(instructions.write):
            cases += [(s, layout.context(ls_id, s.index) | SHARED_FLAG, layout.lport_mask | SHARED_FLAG)
                      for s in edge.shared]
        else:
            cases.append((None, SHARED_FLAG, SHARED_FLAG))
    return cases


def _wire_cases(entry: EntryLike, edge: Edge, ingress: Lport | None) -> tuple[tuple[int, int, bytes], ...]:
    """`_action_set_cases` as wire bytes, remembered: tenants' entries differ in their matches, not in what they do."""
    table = entry.table_id if edge.logical_switch.resubmits else entry.table_id == 0
    apply = entry.instructions.apply
    key = (entry.instructions, table, ingress, _named_in_set(entry), entry.number if actions.learns(apply) else 0,
           alive_in(apply, edge.logical_switch) if actions.choices(apply) else ())
    known = edge.remembered.get(key)
    if known is None:
        known = tuple((value, mask, build(lowered))
                      for value, mask, lowered in _action_set_cases(entry, edge, ingress))
        if len(entry.instructions.apply) + len(entry.instructions.write) <= LONGEST:
            if len(edge.remembered) >= REMEMBERED:
                edge.remembered.clear()
            edge.remembered[key] = known
    return known


def _named_in_set(entry: EntryLike) -> int:
    """The number of an entry that may have its part of the action set send to the controller, 0 of any other."""
    action_set = entry.instructions.write
    if not action_set or entry.table_id < 0:
        return 0
    reaches = (bool(actions.groups(action_set)) or of13.OFPP_CONTROLLER in actions.outputs(action_set)
               or actions.decrements(action_set))  # which comes before what the set writes into fields
    return entry.number if reaches else 0


def _action_set_cases(entry: EntryLike, edge: Edge, ingress: Lport | None) -> list[tuple[int, int, Instructions]]:
    """(flag value, flag mask, instructions): two cases where an output is written and the set may hold a group.

    Written as a group, the output would displace a tenant's group written before, which must beat it (design 1.3).
    Where the entry itself resubmits, the flag is looked at behind that (compiler.members).
    """
    tenant = entry.instructions
    if tenant.goto is not None and tenant.goto >= HOLDING_TABLES:
        # In an empty table a packet ends, and Open vSwitch carries out its action set, as without a goto.
        tenant = replace(tenant, goto=None)
    writes_group = bool(actions.groups(tenant.write))
    value, mask = tenant.metadata or (0, 0)
    metadata = (value & mask, mask) if mask else None
    resubmits = edge.logical_switch.resubmits  # then the set may be written to in any table, and before any
    if (tenant.goto is not None or resubmits) and (writes_group or tenant.clear):
        value, mask = metadata or (0, 0)
        metadata = (value | GROUP_FLAG if writes_group else value, mask | GROUP_FLAG)
    number = _named_in_set(entry)
    place = OWN_REGISTER.number if edge.logical_switch.extended else _TUNNEL_ID
    name = actions.set_field(tlv(place, number)) if number else b""
    meter = None if tenant.meter is None else edge.tenant_meters[tenant.meter]
    applied = uncovered(lower(tenant.apply, edge, ingress, in_set=False, table=entry.table_id,
                              number=entry.number), edge)
    lowered = Instructions(
        goto=None if tenant.goto is None else Table.LOGICAL + tenant.goto,
        metadata=metadata,
        apply=(name if actions.decrements(tenant.write) else b"") + applied,
        write=name + lower(tenant.write, edge, ingress, in_set=True),
        clear=tenant.clear,
        meter=meter,
    )
    outputs = actions.outputs(tenant.write)
    if entry.table_id == 0 and not resubmits or writes_group or tenant.clear or not outputs:
        return [(0, 0, lowered)]
    without_output = lower(actions.rewrite(tenant.write, lambda port, max_len: b"", actions.group), edge, ingress,
                           in_set=True)
    held = Instructions(
        goto=lowered.goto, metadata=metadata, apply=lowered.apply, write=without_output, clear=False,
        meter=meter,
    )
    if written_behind(tenant):
        last = outputs[-1]
        looked_up = write(last if last in edge.lports or last in ENDINGS else 0)
        return [(0, 0, replace(held, apply=lowered.apply + looked_up, write=name + without_output))]
    return [(0, GROUP_FLAG, lowered), (GROUP_FLAG, GROUP_FLAG, held)]
