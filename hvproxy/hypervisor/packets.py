"""Packets between a logical switch and its controllers: PACKET_IN and PACKET_OUT (traps 8 to 13).

Attribution is by what only hvproxy can write: the context in the metadata and the mark in the cookie.
"""
from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING

from hvproxy.compiler import learning, members
from hvproxy.compiler.lowering import Edge, lower, lower_other, uncovered
from hvproxy.compiler.pipeline import tag
from hvproxy.errors import Refused
from hvproxy.hypervisor import zones
from hvproxy.hypervisor.buffers import Buffers
from hvproxy.hypervisor.entries import Entry
from hvproxy.hypervisor.flow_mods import check_out_port
from hvproxy.hypervisor.logical_port import LogicalPort
from hvproxy.model.layout import PACKET_OUT_FLAG, PLACE, SHARED_FLAG, RuleKind, cookie, read_cookie
from hvproxy.model.view import Dpid, Lport
from hvproxy.openflow import actions, nicira, nicira_bundle, nicira_learn
from hvproxy.openflow.action_checks import check_order, inconsistent
from hvproxy.openflow.constants import FIRST_RESERVED_PORT, NO_BUFFER, of13
from hvproxy.openflow.groups import action_lists
from hvproxy.openflow.instructions import Instructions
from hvproxy.openflow.messages import PacketIn, PacketOut, decode_packet_out
from hvproxy.openflow.oxm import Match, each_tlv, headers_of, tlv
from hvproxy.openflow.oxm_fields import (
    BY_NUMBER, CT_LABEL, CT_MARK, CT_STATE, CT_ZONE, OWN_REGISTER, REGISTERS, Headers,
)
from hvproxy.openflow.packet_ins import NO_COOKIE, Format, PacketInParts
from hvproxy.trace.frame import SHORTEST, Frame

if TYPE_CHECKING:
    from hvproxy.hypervisor.logical_switch import LogicalSwitch
    from hvproxy.hypervisor.origin import Origin

SPANNING_TREE_ADDRESS, FIRST_ETHER_TYPE = bytes.fromhex("0180c2000000"), 0x600
FROM_A_PACKET_OUT = (of13.OFPP_CONTROLLER, of13.OFPP_ANY)
_TOLD = frozenset(BY_NUMBER[number].header >> 9 for number in (
    of13.OFPXMT_OFB_TUNNEL_ID, *(each.number for each in REGISTERS if each is not OWN_REGISTER)))
"""The first bits of headers of what a tenant is told of each packet that has it."""
_STATE, _ZONE, _ETH_TYPE = (BY_NUMBER[number].header >> 9 for number in (
    CT_STATE, CT_ZONE, of13.OFPXMT_OFB_ETH_TYPE))
_CONNECTION = frozenset((_STATE, *(BY_NUMBER[number].header >> 9 for number in (CT_MARK, CT_LABEL)),
                         *range(_STATE + 14, _STATE + 21), _ETH_TYPE))
"""The same of a packet whose connection is tracked: with its original direction, and what that is a direction of."""
CROSSING_COOKIE = cookie(0, RuleKind.CROSSING)
WHOLE: int = of13.OFPCML_NO_BUFFER
"""Instead of a length: the packet is not to be kept."""


@dataclass(slots=True)
class Attribution:
    """What packet-ins with one context and cookie are to the tenant: everything but the packet."""

    ls: LogicalSwitch
    index: int
    port: LogicalPort | None
    number: int
    entry: Entry | None
    instructions: Instructions | None
    cookie: int
    groups: int
    """The revision of the tenant's groups."""
    parts: PacketInParts
    controller_id: int = 0
    """Of the controllers that it is for."""
    max_len: int | None = WHOLE
    """How much of the packet was asked for; None: as much as each controller has said for itself."""

    def holds(self) -> bool:
        """Nothing it was made from has changed."""
        entry = self.entry
        return self.ls.port_at.get(self.index) is self.port and (entry is None or (
            self.ls.tables.by_number(self.number) is entry and entry.instructions is self.instructions
            and entry.cookie == self.cookie and (not entry.groups or self.groups == self.ls.groups.revision)))

    def send(self, data: bytes, total: int, now: float) -> None:
        """Pass a packet of that length on to the controllers that want it.

        Only what is kept for them is cut to what was asked for: the rest is sent whole, as by Open vSwitch (trap 12).
        """
        reason, buffers = self.parts.reason, self.ls.buffers
        asked = self.max_len if buffers.most else WHOLE
        number: int | None = None
        messages: dict[tuple[Format, int], bytes] = {}
        for session in self.ls.sessions.values():
            if not session.wants_packet(reason) or session.controller_id != self.controller_id:
                continue
            if session.congested:
                self.ls.dropped_packets += 1
                continue
            length = session.miss_send_len if asked is None else asked
            form = session.packet_in_format
            message = messages.get((form, length))
            if message is None:
                if length == WHOLE:
                    message = self.parts.message(form, data, total)
                else:
                    number = buffers.keep(self.parts.in_port, data, now) if number is None else number
                    message = self.parts.message(form, data[:length], total, number)
                messages[form, length] = message
            session.send(message)


def attribute(ls: LogicalSwitch, arrived: PacketIn) -> Attribution | bool:
    """Whose a packet is; False (count and drop) when its context contradicts itself, True when its entry is gone."""
    _, index, tenant_metadata = ls.layout.read(arrived.metadata)
    entry, number, from_set = None, 0, False
    fields = Match.from_tlvs(arrived.match_tlvs)
    owner = read_cookie(arrived.cookie)
    if owner is not None:
        crossed = arrived.cookie == CROSSING_COOKIE
        if owner[0] != ls.ls_id and not crossed:
            return False
        # The first rule is that which has classified a packet, or let it cross from another logical switch.
        from_set = crossed or bool(owner[1] & PLACE)
        number = _writer(fields) if from_set else owner[1]
        # What an entry sent before it was removed arrives before its rules' last counts do.
        entry = ls.tables.by_number(number) or ls.farewells.entry(number)
        if entry is None:
            return True  # its entry is gone meanwhile; a switch would not send it any more
    port = ls.port_at.get(index)
    if index and port is None:
        return False
    in_port = of13.OFPP_CONTROLLER if port is None else port.number
    reason, cookie, table_id, controller_id = arrived.reason, NO_COOKIE, 0, 0
    own = _value(fields, OWN_REGISTER.number)
    if owner is None and own & PLACE:
        controller_id = own & ~PLACE
    if entry is not None:
        if not from_set and (reason != of13.OFPR_INVALID_TTL or not _may_expire(entry)):
            # There is one at most beside outputs to the controller, whose id is 0, as that of TTLs used up.
            controller_id = next(iter(actions.controller_ids(entry.instructions.apply)), 0)
        cookie, table_id = entry.cookie, entry.table_id
        if (entry.is_table_miss and reason == of13.OFPR_ACTION and not from_set
                and not arrived.metadata & PACKET_OUT_FLAG
                and of13.OFPP_CONTROLLER in actions.outputs(entry.instructions.apply)):
            # Its rule matches the context, so the datapath calls it an action; what a group sends is one.
            reason = of13.OFPR_NO_MATCH
    # What an action set sent up without the register had its name in the tunnel id.
    ours = not ls.extended or from_set and not _value(fields, OWN_REGISTER.number)
    others = _others(ls, arrived.match_tlvs, ours=ours)
    return Attribution(ls, index, port, number, entry, None if entry is None else entry.instructions, cookie,
                       ls.groups.revision,
                       PacketInParts(reason, table_id, cookie, in_port, tenant_metadata, others),
                       controller_id, _asked_for(ls, entry, reason, from_set, controller_id))


def _may_expire(entry: Entry) -> bool:
    """Whether a TTL may be used up in what an entry carries out at once: else it is an action that says so."""
    now = entry.instructions.apply
    return bool(actions.groups(now)) or actions.decrements(now)


def _asked_for(ls: LogicalSwitch, entry: Entry | None, reason: int, from_set: bool, controller_id: int) -> int | None:
    """The max_len of a packet-in: the greatest of those of what may have sent it, for a packet-in below does not tell
    which action did. What a packet-out sends up is told whole: nobody knows any more what it asked for."""
    if not ls.buffers.most or entry is None:
        return WHOLE
    if reason == of13.OFPR_INVALID_TTL and not controller_id:
        return None
    data = entry.instructions.write if from_set else entry.instructions.apply
    lengths = {length for number, length in actions.controllers(data) if number == controller_id}
    waiting, seen = list(actions.groups(data)), set[int]()
    while waiting and not controller_id:
        group = ls.groups.groups.get(waiting.pop())
        if group is not None and group.group_id not in seen:
            seen.add(group.group_id)
            lengths.update(length for each in action_lists(group.buckets)
                           for number, length in actions.controllers(each) if not number)
            waiting += group.named
    return max(lengths, default=WHOLE)


def _writer(fields: Match) -> int:
    """The number of the entry that wrote what the action set sent to the controller (compiler.entries).

    It is looked for in both places: rules made when the logical switch was over other switches may still be there.
    """
    return _value(fields, OWN_REGISTER.number) or _value(fields, of13.OFPXMT_OFB_TUNNEL_ID)


def _others(ls: LogicalSwitch, tlvs: bytes, *, ours: bool) -> bytes:
    """What the tenant is told besides in_port and metadata, in the order of the switch and in the tenant's own zone;
    `ours`: registers and tunnel id are not his."""
    parts = [(int.from_bytes(one[:4], "big") >> 9, one) for one in each_tlv(tlvs)]
    tracked = any(field == _STATE for field, _ in parts)
    told = b""
    for field, one in parts:
        if tracked and field == _ZONE:
            zone = ls.tracking.of_tenant(int.from_bytes(one[4:], "big"))
            told += tlv(CT_ZONE, zone) if zone else b""
        elif tracked and field in _CONNECTION or not ours and field in _TOLD and any(one[4:]):
            told += one
    return told


def _value(fields: Match, number: int) -> int:
    found = fields.get(number)
    return 0 if found is None else found[0]


def check(out: PacketOut, buffers: Buffers) -> None:
    """Raises Refused for what is wrong with a PACKET_OUT whatever ports and groups there are."""
    check_out_port(out.in_port)
    actions.check(out.actions, match=None, packet_out=True)
    if out.in_port >= FIRST_RESERVED_PORT and out.in_port not in (of13.OFPP_LOCAL, *FROM_A_PACKET_OUT):
        raise Refused(of13.OFPET_BAD_REQUEST, of13.OFPBRC_BAD_PORT, "no packet comes from there")
    if out.buffer_id != NO_BUFFER:
        buffers.check(out.buffer_id)


def check_here(ls: LogicalSwitch, out: PacketOut) -> None:
    """Raises Refused for a PACKET_OUT to what does not exist, or with actions that the switches lack."""
    ls.need_local(out.actions)
    ls.below.check_packet_out(out.actions)
    for group_id in actions.groups(out.actions):
        if group_id not in ls.groups.groups:
            if check_order(out.actions, _headers(out.data))[1]:
                inconsistent()  # whether the packet allows the actions is otherwise for the switch to say
            raise Refused(of13.OFPET_BAD_ACTION, of13.OFPBAC_BAD_OUT_GROUP, "no such group")


def packet_out(ls: LogicalSwitch, origin: Origin, message: bytes, now: float) -> Dpid | None:
    """Carry out a PACKET_OUT on the edge of its in_port, else on any; the datapath it went to."""
    out = decode_packet_out(message)
    check(out, ls.buffers)
    check_here(ls, out)
    if out.buffer_id != NO_BUFFER:
        out = replace(out, data=ls.buffers.take(out.buffer_id).data)
    if actions.learns(out.actions) or actions.tracks(out.actions):
        # What carries them out does not say all that the packet must be; of others the switch judges that.
        if check_order(out.actions, _headers(out.data))[1]:
            inconsistent()
    if actions.tracks(out.actions):
        zones.have_for(ls, out.actions, now)
    return _carry_out(ls, origin, out, now)


def _headers(data: bytes) -> Headers:
    """What actions may refer to in a packet."""
    if len(data) < SHORTEST:
        return Headers()
    frame = Frame(data, of13.OFPP_CONTROLLER)
    headers = headers_of(frame.value)
    return headers._replace(ip_proto=0) if frame.later_fragment else headers


def release(ls: LogicalSwitch, origin: Origin, number: int, now: float) -> Dpid | None:
    """Have a packet that is kept go through the tables, from the port it came in at, on the edge of that port, else on
    any; the datapath it went to. Raises Refused (OF 1.3.5 section 7.3.4.1)."""
    packet = ls.buffers.take(number)
    through_tables = actions.output(of13.OFPP_TABLE)
    return _carry_out(ls, origin, PacketOut(0, NO_BUFFER, packet.in_port, through_tables, packet.data), now)


def _carry_out(ls: LogicalSwitch, origin: Origin, out: PacketOut, now: float) -> Dpid | None:
    if not out.data:
        return None
    port = ls.ports.get(out.in_port)
    shut_out = port is not None and port.config & of13.OFPPC_NO_RECV and not is_spanning_tree(out.data)
    if shut_out and not ls.extended:
        return None  # it counts as received there
    ls.prepare(out.actions, now)
    vif = None if port is None or port.vif is None or not ls.down.ready(port.vif.dpid) else port.vif
    edge = _edge(ls, None if vif is None else vif.dpid)
    if edge is None:
        return None
    lport = None if port is None else edge.lports.get(port.number)
    # A port that is down must not get back what an entry sends to IN_PORT.
    known = lport is not None and (vif is not None or lport.peer is not None) and (
        lport.number in edge.apart or not lport.down)
    physical, ingress = of13.OFPP_CONTROLLER, None
    if known and lport is not None:
        ingress = lport if lport.number in edge.apart else None
        # Where another edge decides, or a peer has sent it, the frame comes in at no port that the datapath knows.
        physical = vif.port_no if vif is not None and vif.dpid == edge.dpid else of13.OFPP_CONTROLLER
    context = ls.layout.context(ls.ls_id, 0 if lport is None else lport.index)
    context |= PACKET_OUT_FLAG | (SHARED_FLAG if ingress else 0)
    lowered = actions.set_field(tlv(of13.OFPXMT_OFB_METADATA, context))
    # Whether the packet allows the actions is for the switch to say even where none is carried out.
    lowered += nicira.leave() if shut_out else b""
    lowered += _lowered(ls, out.actions, edge, lport, ingress, known)
    ls.down.packet_out(edge.dpid, physical, lowered, out.data, now, origin)
    return edge.dpid


def is_spanning_tree(frame: bytes) -> bool:
    """Open vSwitch takes these in through every port: a length where others have an Ethernet type."""
    return frame[:6] == SPANNING_TREE_ADDRESS and int.from_bytes(frame[12:14], "big") < FIRST_ETHER_TYPE


def _edge(ls: LogicalSwitch, dpid: Dpid | None) -> Edge | None:
    if ls.view.home is not None:
        return ls.edges.get(ls.view.home) if ls.down.ready(ls.view.home) else None
    if dpid is not None:
        return ls.edges.get(dpid)
    return next((edge for edge in ls.edges.values() if ls.down.ready(edge.dpid)), None)


def _lowered(
    ls: LogicalSwitch, data: bytes, edge: Edge, lport: Lport | None, ingress: Lport | None, known: bool,
) -> bytes:
    """The tenant's actions with TABLE, IN_PORT and the suppression of the ingress lport decided here."""
    def output(port: int, max_len: int) -> bytes:
        if port == of13.OFPP_TABLE:
            # Table 0 classifies by the port, so a frame for a sub-port needs the sub-port's tag there.
            vif = None if ingress is None else ingress.vif
            pushed = b"" if vif is None or vif.dpid != edge.dpid else tag(vif)
            return pushed + actions.output(of13.OFPP_TABLE) + (actions.pop_vlan() if pushed else b"")
        if lport is not None and not known:
            # The switch does not know the ingress port: what it would suppress or send back is spelled out.
            if port == lport.number or port == of13.OFPP_IN_PORT:
                return b"" if port == lport.number else lower(actions.output(lport.number), edge, None, in_set=False)
            if port in (of13.OFPP_FLOOD, of13.OFPP_ALL, of13.OFPP_NORMAL):
                others = (other for other in edge.logical_switch.lports if other is not lport)
                return b"".join(lower(actions.output(other.number), edge, None, in_set=False) for other in others)
        return lower(actions.output(port, max_len), edge, ingress, in_set=False)

    def group(group_id: int) -> bytes:
        return lower(actions.group(group_id), edge, ingress, in_set=False)

    lessons = ls.pupil.send(data) if actions.learns(data) else 0
    learnt = count()

    def other(action: bytes) -> bytes:
        if nicira_learn.is_learn(action):
            return learning.ask(lessons, next(learnt))
        if nicira_bundle.is_bundle(action):
            return members.lowered(nicira_bundle.read(action), edge.logical_switch, lambda port: output(port, 0))
        lowered = lower_other(action, edge, 0)
        number = next(iter(actions.controller_ids(action)), 0)
        # No entry says for which controllers the packet is, so our own register does, with what no entry's number has.
        return _own(PLACE | number) + lowered + _own(0) if number else lowered

    return uncovered(actions.rewrite(data, output, group, other), edge)


def _own(value: int) -> bytes:
    """Write into the register that is hvproxy's own."""
    return actions.set_field(tlv(OWN_REGISTER.number, value))
