"""What one packet goes through in a switch: tables, actions, action set, groups, ports (OF 1.3.5 section 5).

A walk collects what leaves the switch and hands it over at its end, because a packet whose translation fails half
way (groups chained too deep, too many labels) leaves nowhere, as in Open vSwitch. Knows no OpenFlow messages.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from tools.emulator import edits, oxm
from tools.emulator.decode import (
    CLONE, CUT_OUTPUT, DEC_MPLS_TTL, DEC_NW_TTL, GROUP, LOAD, MOVE, OUTPUT, POP_MPLS, POP_VLAN, PORT_ALL, PORT_ANY,
    PORT_CONTROLLER, PORT_FLOOD, PORT_IN_PORT, PORT_NORMAL, PORT_TABLE, PUSH_MPLS, PUSH_VLAN, RESUBMIT, SET_FIELD,
    SET_MPLS_TTL, SET_NW_TTL, SET_QUEUE, Action)
from tools.emulator.frames import Packet
from tools.emulator.groups import ALL, FAST_FAILOVER, INDIRECT, Group, GroupTable
from tools.emulator.meters import MeterTable
from tools.emulator.ports import NO_FWD, Port
from tools.emulator.tables import Entry, FlowTables

NO_MATCH, ACTION, INVALID_TTL = 0, 1, 2
MAX_DEPTH = 64
NO_COOKIE = 0xffffffffffffffff
NO_BUFFER_LENGTH = 0xffff
NO_PORT = 0xffff
"""OFPP_NONE, as in_port is written."""
SET_ORDER = (POP_VLAN, POP_MPLS, PUSH_MPLS, PUSH_VLAN, DEC_NW_TTL, DEC_MPLS_TTL)
FINAL = (RESUBMIT, OUTPUT, GROUP)
"""What an action set ends with: only the last one of the last kind counts."""
SETTERS = (SET_FIELD, MOVE, LOAD, SET_NW_TTL, SET_MPLS_TTL, SET_QUEUE)
OUTER = (OUTPUT, GROUP, SET_QUEUE)
OUTER_FIELDS = (*oxm.PIPELINE, oxm.ETH_DST, oxm.ETH_SRC, oxm.VLAN_VID, oxm.VLAN_PCP, oxm.MPLS_LABEL, oxm.MPLS_TC)
"""Open vSwitch does these, and sets these fields, without a look at what a label that was taken off has covered."""
HASHED = (oxm.ETH_SRC, oxm.ETH_DST, oxm.ETH_TYPE, oxm.VLAN_VID, oxm.IPV4_SRC, oxm.IPV4_DST, oxm.IPV6_SRC, oxm.IPV6_DST,
          oxm.IP_PROTO, oxm.TCP_SRC, oxm.TCP_DST, oxm.UDP_SRC, oxm.UDP_DST)


TAGS = (0x8100, 0x88a8)
RESERVED = (
    (0x0180c2000000, 0xfffffffffff0), (0x01000cccccc0, 0xfffffffffff8), (0x01000ccccccc, 0xfffffffffffe),
    *((address, 0xffffffffffff)
      for address in (0x01000c000000, 0x01000ccdcdcd, 0x00e02b000000, 0x00e02b000004, 0x00e02b000006)))
"""(address, mask) of destinations that NORMAL drops, as Open vSwitch does."""


class PacketIn(NamedTuple):
    """A packet for the controllers."""

    reason: int
    table_id: int
    cookie: int
    in_port: int
    pipeline: dict[int, int]
    """What goes with it, by OXM field number."""
    data: bytes


class Overrun(Exception):
    """Groups or tables chained too deep: the packet is dropped."""


def in_order(actions: tuple[Action, ...]) -> tuple[Action, ...]:
    """An action set as the list that carries it out (OF 1.3.5 section 5.10); empty if it outputs nothing."""
    slots: dict[int, Action] = {}
    setters: list[Action] = []
    final: Action | None = None
    for action in actions:
        kind = action[0]
        if kind in SETTERS:
            setters.append(action)
        elif kind in FINAL:
            if final is None or FINAL.index(kind) >= FINAL.index(final[0]):
                final = action
        else:
            slots[kind] = action
    if final is None:
        return ()
    return (*(slots[kind] for kind in SET_ORDER if kind in slots), *setters, final)


class Pipeline:
    """The packet path of one switch."""

    def __init__(self, tables: FlowTables, groups: GroupTable, meters: MeterTable, ports: dict[int, Port]) -> None:
        self.tables = tables
        self.groups = groups
        self.meters = meters
        self.ports = ports
        self.drops_fragments = False
        self.learnt: dict[tuple[int, int], int] = {}
        """(VLAN, address) to port, for NORMAL."""

    def receive(self, data: bytes, in_port: int, taken: bool = True, key: int = 0) -> list[PacketIn]:
        """A frame from a port: sends what comes of it and returns what the controllers get.

        One that the port's configuration shuts out is only counted by the first entry, as in Open vSwitch. `key` is
        what it came out of a tunnel under.
        """
        walk = Walk(self, Packet(data, in_port))
        walk.packet.fields[oxm.TUNNEL_ID] = key
        if not taken:
            walk.hit(0, walk.packet)
            return []
        return walk.finish(lambda: walk.table(0, walk.packet)) or []

    def packet_out(self, packet: Packet, actions: tuple[Action, ...]) -> list[PacketIn] | None:
        """A controller's packet: carries out its actions and returns what the controllers get; None if it fails."""
        walk = Walk(self, packet)
        walk.in_packet_out = True
        return walk.finish(lambda: walk.execute(actions, packet))


class Walk:
    """One packet under way."""

    __slots__ = ("pipe", "packet", "size", "action_set", "out", "table_id", "entry", "depth",
                 "in_packet_out", "in_set", "in_group", "uncovered")

    def __init__(self, pipe: Pipeline, packet: Packet) -> None:
        self.pipe = pipe
        self.packet = packet
        self.size = len(packet.data)
        """What it counts as."""
        self.uncovered = False
        """Labels were taken off, and what is behind them has not been looked at."""
        self.action_set: tuple[Action, ...] = ()
        self.out: list[tuple[int, bytes, int] | PacketIn] = []
        self.table_id = 0
        self.entry: Entry | None = None
        self.depth = 0
        self.in_packet_out = self.in_set = self.in_group = False

    def finish(self, start: Callable[[], object]) -> list[PacketIn] | None:
        """Run the walk and deliver; None, and nothing delivered, if it fails."""
        try:
            start()
            if self.action_set:
                self.in_set = True
                self.execute(in_order(self.action_set), self.packet)
        except (Overrun, edits.TooManyLabels):
            return None
        told: list[PacketIn] = []
        ports = self.pipe.ports
        for item in self.out:
            if isinstance(item, PacketIn):
                told.append(item)
            else:
                ports[item[0]].transmit(*item[1:])
        return told

    def table(self, table_id: int, packet: Packet) -> None:
        """Match in this table and the ones it leads to.

        A packet-in from the action set names the first entry, since Open vSwitch carries the set out last of all.
        """
        before = (self.table_id, self.entry)
        first: tuple[int, Entry] | None = None
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise Overrun
        while True:
            entry = self.hit(table_id, packet)
            if entry is None:
                break
            self.table_id, self.entry = table_id, entry
            if first is None:
                first = (table_id, entry)
            doing = entry.instructions
            if doing.meter is not None and not self.pipe.meters.passes(doing.meter, packet):
                self.action_set = ()
                break
            if doing.apply and not self.execute(doing.apply, packet):
                break
            if doing.clear or doing.write or doing.metadata is not None or doing.goto is not None:
                self.look_again(packet)
            if doing.clear:
                self.action_set = ()
            if doing.write:
                self.action_set += doing.write
            if doing.metadata is not None:
                value, mask = doing.metadata
                packet.fields[oxm.METADATA] = packet.fields[oxm.METADATA] & ~mask | value
            if doing.goto is None:
                break
            table_id = doing.goto
        self.depth -= 1
        if before[1] is not None or self.in_packet_out:
            self.table_id, self.entry = before
        elif first is not None:
            self.table_id, self.entry = first

    def hit(self, table_id: int, packet: Packet) -> Entry | None:
        """The entry of a table that a packet meets, which counts it."""
        tables = self.pipe.tables
        table = tables[table_id]
        table.lookups += 1
        if self.pipe.drops_fragments and packet.fields.get(oxm.NW_FRAG):
            table.matched += 1  # by an entry that nobody sees
            return None
        entry = table.lookup(packet.fields)
        if entry is not None:
            table.matched += 1
            entry.packets += 1
            entry.bytes += self.size
            if entry.idle:
                entry.used = tables.clock()
        return entry

    def execute(self, actions: tuple[Action, ...], packet: Packet) -> bool:
        """Carry out a list; False when the rest of this table's instructions is void (TTL exhausted)."""
        for action in actions:
            kind = action[0]
            if kind not in OUTER and (kind != SET_FIELD or action[1] not in OUTER_FIELDS):
                self.look_again(packet)
            if kind == OUTPUT:
                self.output(action[1], packet)
            elif kind == GROUP:
                self.group(action[1], packet)
            elif kind == RESUBMIT:
                self.table(action[1], packet)
            elif kind == SET_FIELD:
                edits.set_field(packet, action[1], action[2])
            elif kind == MOVE:
                edits.move(packet, *action[1:])
            elif kind == LOAD:
                edits.load(packet, *action[1:])
            elif kind == CLONE:
                self.copy(action[1], packet)
            elif kind == CUT_OUTPUT:
                port = self.pipe.ports.get(packet.fields[oxm.IN_PORT])
                assert port is None, "nothing is cut here"
            elif kind == PUSH_VLAN:
                edits.push_vlan(packet, action[1])
            elif kind == POP_VLAN:
                edits.pop_vlan(packet)
            elif kind == DEC_NW_TTL:
                if edits.is_ip(packet):
                    ttl = edits.current_ttl(packet)
                    if ttl <= 1:
                        self.tell(packet, INVALID_TTL)
                        return False
                    edits.set_ttl(packet, ttl - 1)
            elif kind == SET_NW_TTL:
                edits.set_ttl(packet, action[1])
            elif kind == PUSH_MPLS:
                edits.push_mpls(packet, action[1])
            elif kind == POP_MPLS:
                self.uncovered = edits.pop_mpls(packet, action[1])
            elif kind == SET_MPLS_TTL:
                edits.set_mpls_ttl(packet, action[1])
            elif kind == DEC_MPLS_TTL:
                label_ttl = edits.mpls_ttl(packet)
                if label_ttl is None:
                    return False
                if label_ttl <= 1:
                    self.tell(packet, INVALID_TTL)
                    return False
                edits.set_mpls_ttl(packet, label_ttl - 1)
        return True

    def copy(self, actions: tuple[Action, ...], packet: Packet) -> None:
        """A copy of the packet goes through actions; what they write into a copy of the action set is carried out
        with it."""
        before = self.action_set, self.size, self.uncovered, self.in_set, self.in_group
        packet = packet.clone()
        self.in_set = self.in_group = False
        self.execute(actions, packet)
        if self.action_set:
            self.in_set = True
            self.execute(in_order(self.action_set), packet)
        self.action_set, self.size, self.uncovered, self.in_set, self.in_group = before

    def look_again(self, packet: Packet) -> None:
        """What comes now needs what is behind the labels: Open vSwitch begins anew, and counts what is left."""
        if self.uncovered:
            self.uncovered = False
            self.size = len(packet.data)

    def output(self, port_no: int, packet: Packet) -> None:
        """An output action."""
        if port_no < PORT_IN_PORT or port_no == 0xfffffffe:
            if port_no != packet.fields[oxm.IN_PORT]:
                self.send(port_no, packet)
        elif port_no == PORT_CONTROLLER:
            self.tell(packet, ACTION)
        elif port_no == PORT_IN_PORT:
            self.send(packet.fields[oxm.IN_PORT], packet)
        elif port_no in (PORT_FLOOD, PORT_ALL):
            self.flood(packet)
        elif port_no == PORT_TABLE:
            self.table(0, packet)
        elif port_no == PORT_NORMAL:
            self.normal(packet)

    def send(self, port_no: int, packet: Packet) -> None:
        """Out of one port, whichever it is."""
        port = self.pipe.ports.get(port_no)
        if port is not None and not port.config & NO_FWD:
            self.out.append((port_no, packet.data, packet.fields[oxm.TUNNEL_ID]))

    def flood(self, packet: Packet) -> None:
        """Out of every port but the one it came from."""
        for port_no in self.pipe.ports:
            if port_no != packet.fields[oxm.IN_PORT]:
                self.send(port_no, packet)

    def normal(self, packet: Packet) -> None:
        """A learning switch's decision."""
        fields, learnt = packet.fields, self.pipe.learnt
        vlan = fields[oxm.VLAN_VID] & 0xfff
        if not fields[oxm.VLAN_VID] and fields[oxm.ETH_TYPE] in TAGS:
            return  # behind a tag that was taken off another one, which a switch with vlan-limit=1 does not see
        if any(fields[oxm.ETH_DST] & mask == address for address, mask in RESERVED):
            return
        if not fields[oxm.ETH_SRC] >> 40 & 1 and packet.fields[oxm.IN_PORT] in self.pipe.ports:
            learnt[vlan, fields[oxm.ETH_SRC]] = packet.fields[oxm.IN_PORT]
        if fields[oxm.VLAN_VID] == oxm.VID_PRESENT and not fields[oxm.VLAN_PCP]:
            packet = packet.clone()  # a tag that says nothing does not leave
            edits.pop_vlan(packet)
        target = learnt.get((vlan, fields[oxm.ETH_DST]))
        if target is None or fields[oxm.ETH_DST] >> 40 & 1:
            self.flood(packet)
        elif target != packet.fields[oxm.IN_PORT]:
            self.send(target, packet)

    def tell(self, packet: Packet, reason: int) -> None:
        """A copy for the controllers."""
        entry = self.entry
        if (reason == ACTION and entry is not None and entry.is_miss and not self.in_packet_out
                and not self.in_group and not self.in_set):
            reason = NO_MATCH
        in_port = packet.fields[oxm.IN_PORT]
        self.out.append(PacketIn(reason, self.table_id, NO_COOKIE if entry is None else entry.cookie,
                                 PORT_ANY if in_port == NO_PORT else in_port, packet.pipeline, packet.data))

    def group(self, group_id: int, packet: Packet) -> None:
        """A group action: every bucket that is used works on a copy."""
        if self.depth >= MAX_DEPTH:
            raise Overrun
        table = self.pipe.groups
        group = table.groups.get(group_id)
        if group is None:
            return
        if not group.plans and group.buckets:
            group.plans = [in_order(bucket.actions) for bucket in group.buckets]
        if group.kind in (ALL, INDIRECT):
            for index in range(len(group.buckets)):
                self.bucket(group, index, packet)
            group.credit(self.size)
            return
        if group.kind == FAST_FAILOVER:
            chosen = table.first_live(group)
        else:
            chosen = table.hashed(group, repr([packet.fields.get(field) for field in HASHED]).encode())
        if chosen is not None:
            self.bucket(group, chosen, packet)
            group.credit(self.size, chosen)

    def bucket(self, group: Group, index: int, packet: Packet) -> None:
        """One bucket on its copy of the packet."""
        was_in_group, size, uncovered = self.in_group, self.size, self.uncovered
        self.in_group = True
        self.depth += 1
        try:
            self.execute(group.plans[index], packet.clone())
        except edits.TooManyLabels:
            pass  # this bucket's copy is lost, the others are not
        self.depth -= 1
        self.in_group, self.size, self.uncovered = was_in_group, size, uncovered
