"""The oracle on packets: a logical switch spread over a fabric does what one switch with the tenant's entries does.

The one switch is an emulated switch that gets the tenant's own messages and has the logical ports for ports. The
fabric is emulated switches that hold exactly what hvproxy wants them to hold. Every frame that leaves a port, and every
packet-in, must be the same. With a second tenant of the same entries and addresses nothing may leave at a port of his.

Not generated, because the datapaths differ there on purpose: a tenant's tag inside that of a sub-port (Open vSwitch
looks behind one tag only), a second tag of the tenant's (with the fabric's they are three), TTLs, and max_len, which
has tests of its own.
"""
from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from hvproxy.hypervisor.links import NamedLink
from hvproxy.hypervisor.settings import Settings
from hvproxy.openflow import actions
from hvproxy.openflow.instructions import decode
from hvproxy.openflow.constants import of13
from hvproxy.openflow.messages import decode_error, decode_flow_mod, decode_packet_out
from hvproxy.openflow.oxm import tlv
from tests.harness import Controller, World, spec
from tests.hypervisor.worlds import assert_equal_to_recompute
from tests.packets import Plane, tagged, tags
from tests.tools import controller as c
from tools.emulator import wire
from tools.emulator.host import arp, echo, ipv4
from tools.emulator.oxm import OFError
from tools.emulator.ports import CONFIGURABLE, NO_FWD, NO_RECV, PORT_DOWN

LINKS = (((1, 7), (0x11, 1)), ((2, 7), (0x11, 2)), ((3, 7), (0x11, 3)),
         ((1, 8), (0x12, 1)), ((2, 8), (0x12, 2)), ((3, 8), (0x12, 3)))
DATAPATHS = (1, 2, 3, 0x11, 0x12)
PORTS_EACH = 8
FIRST_LABEL, LAST_LABEL = 3000, 3999
Vif = tuple[int, int, int | None]
Vids = tuple[int, ...]
RED: dict[int, Vif] = {1: (1, 1, None), 2: (1, 2, None), 3: (1, 3, 10), 4: (1, 3, 20), 5: (2, 1, None), 6: (2, 2, 10),
                       7: (3, 1, None)}
BLUE: dict[int, Vif] = {1: (1, 4, None), 2: (1, 5, None), 3: (1, 3, 30), 4: (1, 3, 40), 5: (2, 4, None),
                        6: (2, 2, 40), 7: (3, 4, None)}
OWNER = {vif: (tenant, number) for tenant, ports in (("red", RED), ("blue", BLUE)) for number, vif in ports.items()}

MACS = (0x020000000001, 0x020000000002, 0x0200000000FF, 0xFFFFFFFFFFFF)
OWN_VIDS = (10, 20, 30, 100)
"""Tenants' VLANs; some are sub-ports' VLANs too."""
ANY_VIDS = (*OWN_VIDS, FIRST_LABEL, FIRST_LABEL + 1)
"""Some are labels of the fabric too (trap 26)."""
TABLES = 3
FIRST_COOKIE, TABLE_COOKIES = 700, 100
"""An entry's cookie tells its table."""
NO_COOKIE = 0xFFFFFFFFFFFFFFFF
"""Of what no entry sent."""
PUSH = c.simple(17, 0x8100)
POP = c.simple(18)
SELECT, INDIRECT, FAST_FAILOVER = 1, 2, 3
FLOOD_BLOCKS = (c.FLOOD, c.ALL, c.IN_PORT, c.CONTROLLER)


class Program(NamedTuple):
    """What a tenant installs, and which frames it is made for.

    `where` says what may push a tag: apply-actions, write-actions or buckets, with frames that have none; or nothing,
    with frames that may have one. Then no frame has two of the tenant's: a third tag, the fabric's, would cost the
    innermost on Open vSwitch.
    """

    where: str
    vids: Vids
    groups: list[bytes]
    entries: list[bytes]

    @property
    def cookies(self) -> set[int]:
        return {int.from_bytes(body[:8], "big") for body in self.entries}

    @property
    def tells_from_sets(self) -> bool:
        """Whether an entry writes actions that may send to the controller."""
        return any(actions.groups(written) or c.CONTROLLER in actions.outputs(written)
                   for written in map(written_by, self.entries))


def written_by(body: bytes) -> bytes:
    """The write-actions of a flow-mod."""
    return decode(decode_flow_mod(bytes(8) + body).instructions).write


class Told(NamedTuple):
    """A packet-in as its tenant reads it."""

    in_port: int
    table: int
    cookie: int
    reason: int
    metadata: int
    total: int
    others: bytes
    data: bytes


def told(message: bytes) -> Told:
    parts: dict[str, Any] = c.packet_in_parts(message)
    return Told(**parts)


class Both:
    """The one switch and the fabric, with the same entries and groups of the tenant in them."""

    def __init__(self) -> None:
        self.one = Plane()
        self.one.add_switch(1, RED)
        self.world = World(
            *(spec(name, {number: vif if vif[2] is not None else vif[:2] for number, vif in ports.items()}, dpid)
              for dpid, (name, ports) in enumerate((("red", RED), ("blue", BLUE)), 0xA0)),
            settings=Settings(links=tuple(NamedLink(a, b) for a, b in LINKS), first_vid=FIRST_LABEL,
                              last_vid=LAST_LABEL))
        self.world.add_switches(*DATAPATHS, ports=PORTS_EACH)
        self.world.pass_time(1.0)
        for dpid, extended in ((1, True), (2, None), (3, False)):
            self.world.hv.switches.datapaths[dpid].offer.extended = extended  # SELECT groups are not compiled alike
        for ls in self.world.hv.logical_switches.values():
            self.world.hv.bind(ls, self.world.now)
        self.tenants = {name: Controller(self.world, name) for name in ("red", "blue")}
        self.fabric = Plane()
        self.program = Program("nowhere", ANY_VIDS, [], [])

    def say(self, kind: int, body: bytes) -> None:
        """A message of the tenant, to the one switch and to each logical switch; all take it or refuse it alike."""
        message = wire.message(kind, 5, body)
        try:
            self.one.request(1, message)
            expected = None
        except OFError as refusal:
            expected = (refusal.error_type, refusal.code)
        for controller in self.tenants.values():
            controller.send(message)
            self.world.run()
            answers, controller.messages = controller.messages, []
            errors = [decode_error(answer) for answer in answers]
            assert [(error.type, error.code) for error in errors] == ([] if expected is None else [expected])

    def configure(self, number: int, config: int) -> None:
        """PORT_MOD: a port of all is configured so."""
        every = wire.PORT_MOD_BODY.pack
        self.one.request(1, wire.message(wire.PORT_MOD, 6, every(
            number, self.one.switches[1].ports[number].mac, config, CONFIGURABLE, 0)))
        for name, controller in self.tenants.items():
            mac = self.world.hv.logical_switches[name].ports[number].hw_addr
            controller.send(wire.message(wire.PORT_MOD, 6, every(number, mac, config, CONFIGURABLE, 0)))
        self.world.run()
        for controller in self.tenants.values():
            assert {message[1] for message in controller.messages} <= {wire.PORT_STATUS}
            controller.messages.clear()

    def load(self) -> None:
        """Put what hvproxy wants the datapaths to hold into fresh emulated switches."""
        self.fabric = Plane()
        for dpid in DATAPATHS:
            self.fabric.add_switch(dpid, range(1, PORTS_EACH + 1))
            datapath = self.world.hv.switches.datapaths[dpid]
            self.fabric.load(dpid, datapath.desired.rules.values(), datapath.desired.groups.values())
        for a, b in LINKS:
            self.fabric.add_link(a, b)

    def set_up(self, number: int, up: bool) -> None:
        """The logical port of that number gains or loses its carrier, that of either tenant."""
        self.one.switches[1].ports[number].carrier = up
        places = [ports[number][:2] for ports in (RED, BLUE)]
        for dpid, port in places:
            self.world.switches[dpid].set_port(port, up)
        self.world.run()
        self.load()
        for dpid, port in places:
            self.fabric.switches[dpid].ports[port].carrier = up
        for left_over in (self.one.control[1].take, self.fabric.packet_ins):
            left_over()
        for controller in self.tenants.values():
            controller.messages.clear()

    def at_ports(self, out: list[tuple[tuple[int, int], bytes]]) -> Counter[tuple[str, int, bytes]]:
        """(tenant, logical port, frame) of what came out of the fabric."""
        found: Counter[tuple[str, int, bytes]] = Counter()
        for (dpid, port), frame in out:
            owner = OWNER.get((dpid, port, None))
            if owner is None:
                assert frame[12:14] == b"\x81\x00" and frame[14] >> 5 == 0, frame.hex()
                owner = OWNER[dpid, port, tags(frame)[0]]
                frame = frame[:12] + frame[16:]
            found[owner[0], owner[1], frame] += 1
        return found

    def told_by_fabric(self) -> dict[str, Counter[Told]]:
        """What each tenant's controller got of the packet-ins that the fabric sends now."""
        for dpid, message in self.fabric.packet_ins():
            self.world.switches[dpid].send(message)
        self.world.run()
        result = {}
        for name, controller in self.tenants.items():
            result[name] = Counter(told(message) for message in controller.messages)
            assert all(message[1] == wire.PACKET_IN for message in controller.messages)
            controller.messages = []
        assert self.world.hv.arrivals.unattributed == 0
        return result

    def agree_on_frame(self, number: int, frame: bytes) -> None:
        """The frame enters at logical port `number` of red, of both, of blue."""
        expected_out = Counter((place[1], data) for place, data in self.one.send(1, number, frame))
        expected_in = Counter(told(message) for _, message in self.one.packet_ins())
        for name, ports in (("red", RED), ("blue", BLUE)):
            dpid, port, vid = ports[number]
            out = self.at_ports(self.fabric.send(dpid, port, tagged(frame, vid)))
            self.compare(name, out, expected_out, expected_in)

    def agree_on_packet_out(self, in_port: int, actions: bytes, frame: bytes) -> None:
        """A tenant's packet-out does the same in both."""
        body = wire.PACKET_OUT_BODY.pack(c.ANY, in_port, len(actions)) + actions + frame
        self.one.take_out()
        self.say(wire.PACKET_OUT, body)
        expected_out = Counter((place[1], data) for place, data in self.one.take_out())
        expected_in = Counter(told(message) for _, message in self.one.packet_ins())
        pending: dict[str, list[tuple[int, bytes]]] = {name: [] for name in self.tenants}
        for dpid, switch in self.world.switches.items():
            sent, switch.packet_outs = switch.packet_outs, []
            for message in sent:
                pending[self.whose(message)].append((dpid, message))
        for name, messages in pending.items():
            self.fabric.take_out()
            for dpid, message in messages:
                self.fabric.request(dpid, message)
            self.compare(name, self.at_ports(self.fabric.take_out()), expected_out, expected_in)

    def whose(self, message: bytes) -> str:
        """The logical switch whose context a packet-out to a datapath sets, with its first action."""
        kind, action = next(actions.walk(decode_packet_out(message).actions))
        assert kind == of13.OFPAT_SET_FIELD and action[4:8] == tlv(of13.OFPXMT_OFB_METADATA, 0)[:4]
        context = int.from_bytes(action[8:16], "big")
        return self.world.hv.by_id[self.world.hv.settings.layout.read(context)[0]].spec.name

    def hits(self) -> Counter[str]:
        """How often packets have matched the rules of each logical switch."""
        found: Counter[str] = Counter()
        for switch in self.fabric.switches.values():
            for table in switch.tables.tables.values():
                for entry in table:
                    ls = self.world.hv.by_id.get(entry.cookie >> 32 & 0xFFFF)
                    if ls is not None:
                        found[ls.spec.name] += entry.packets
        return found

    def told_alike(self, got: Counter[Told], expected: Counter[Told]) -> None:
        """Packet-ins from an action set name the entry that wrote it, where Open vSwitch names the first of all."""
        if self.program.tells_from_sets:
            for packet in got:
                table = 0 if packet.cookie == NO_COOKIE else (packet.cookie - FIRST_COOKIE) // TABLE_COOKIES
                assert packet.cookie in {*self.program.cookies, NO_COOKIE} and packet.table == table
            got, expected = (Counter(packet._replace(table=0, cookie=0) for packet in packets.elements())
                             for packets in (got, expected))
        assert got == expected

    def compare(self, name: str, out: Counter[tuple[str, int, bytes]], expected_out: Counter[tuple[int, bytes]],
                expected_in: Counter[Told]) -> None:
        assert {tenant for tenant, _, _ in out} <= {name}, "a frame left at another tenant's port"
        assert Counter({(number, data): count for (_, number, data), count in out.items()}) == expected_out
        packet_ins = self.told_by_fabric()
        self.told_alike(packet_ins.pop(name), expected_in)
        assert not any(packet_ins.values()), "a packet-in went to another tenant"

    def install(self, program: Program) -> None:
        """Nothing but this program, everywhere."""
        self.program = program
        for left_over in (self.one.take_out, self.one.packet_ins, self.world.run):
            left_over()
        for controller in self.tenants.values():
            controller.messages.clear()
        for switch in self.world.switches.values():
            switch.packet_outs.clear()
        self.say(wire.FLOW_MOD, c.flow_mod(command=3, table=0xFF))
        self.say(wire.GROUP_MOD, c.group_mod(2, 0, 0xFFFFFFFC))
        for body in program.groups:
            self.say(wire.GROUP_MOD, body)
        for body in program.entries:
            self.say(wire.FLOW_MOD, body)
        self.load()


# What is generated

ports = st.one_of(st.sampled_from(tuple(RED)), st.sampled_from((*FLOOD_BLOCKS, 99)))


@st.composite
def action_lists(draw: Any, groups: int, known: int | None, push: bool, vids: Vids) -> tuple[bytes, int | None]:
    """(a list of actions, how many tags the packet has after them: None if that is not known)."""
    parts: list[bytes] = []
    kinds = st.sampled_from(("output", "output", "output", "group", "set", "push", "pop", "vid"))
    for kind in draw(st.lists(kinds, max_size=4)):
        if kind == "output":
            parts.append(c.output(draw(ports)))
        elif kind == "group" and groups:
            parts.append(c.group(draw(st.integers(1, groups))))
        elif kind == "set":
            parts.append(c.set_field(draw(st.sampled_from((3, 4))), draw(st.sampled_from(MACS))))
        elif kind == "push" and push and known == 0:
            parts.append(PUSH)
            known = 1
        elif kind == "pop" and known:
            parts.append(POP)
            known = 0
        elif kind == "vid" and known:
            parts.append(c.set_field(6, 0x1000 | draw(st.sampled_from(vids))))
    return b"".join(parts), known


@st.composite
def group_mods(draw: Any, group_id: int, where: str, vids: Vids) -> bytes:
    """The body of a group-mod whose buckets name and watch only groups of smaller ids, but for one that is not there.

    Buckets that are chosen among weigh the same, for weights are not what a switch counts with."""
    kind = draw(st.integers(0, 3))
    push = where == "bucket" and group_id == 1
    buckets = []
    for _ in range(1 if kind == INDIRECT else draw(st.integers(0, 3))):
        watch: dict[str, int] = {}
        if kind in (SELECT, FAST_FAILOVER):
            watched = draw(st.sampled_from(("port", "group", "both", "none")[:3 if kind == FAST_FAILOVER else 4]))
            if watched in ("port", "both"):
                watch["watch_port"] = draw(st.sampled_from((*RED, 99)))
            if watched in ("group", "both"):
                watch["watch_group"] = draw(st.sampled_from((*range(1, group_id), 77)))
        weight = draw(st.sampled_from((0, 5, 5))) if kind == SELECT else 0
        actions, _ = draw(action_lists(group_id - 1, 0 if push else None, push, vids))
        buckets.append(c.bucket(actions, weight=weight, **watch))
    return c.group_mod(0, kind, group_id, *buckets)


@st.composite
def matches(draw: Any, table: int, vids: Vids) -> tuple[bytes, int | None]:
    """(struct ofp_match, how many tags it promises)."""
    fields: dict[str, Any] = {}
    if draw(st.integers(0, 2)) == 0:
        fields["IN_PORT"] = draw(st.sampled_from((*RED, c.CONTROLLER)))
    if draw(st.integers(0, 3)) == 0:
        fields["ETH_DST"] = draw(st.sampled_from(MACS))
    if draw(st.integers(0, 5)) == 0:
        fields["ETH_TYPE"] = draw(st.sampled_from((0x0800, 0x0806, 0x88B5)))
    if table and draw(st.integers(0, 2)) == 0:
        mask = draw(st.sampled_from((1, 3, 0x80000000)))
        fields["METADATA"] = (draw(st.sampled_from((0, mask))), mask)
    known = None
    if draw(st.booleans()):
        vid = draw(st.sampled_from(((0x1000, 0x1000), 0, 0, *(0x1000 | vid for vid in vids))))
        fields["VLAN_VID"] = vid
        known = int(vid != 0)
    return c.match(**fields), known


@st.composite
def flow_mods(draw: Any, table: int, priority: int, groups: int, where: str, vids: Vids) -> bytes:
    """The body of a flow-mod; priority 0 makes it the table-miss entry.

    That has no groups in its apply-actions: hvproxy cannot tell what they send to the controller, which is no miss,
    from what the entry itself does, which is one.
    """
    match, known = (c.match(), None) if priority == 0 else draw(matches(table, vids))
    apply, known = draw(action_lists(groups if priority else 0, known, where == "apply", vids))
    parts = [c.apply(apply)] if apply else []
    if draw(st.integers(0, 3)) == 0:
        parts.append(c.clear())
    if draw(st.booleans()):
        pushes = where == "write"
        parts.append(c.write(draw(action_lists(groups, 0 if pushes else known, pushes, vids))[0]))
    if draw(st.integers(0, 2)) == 0:
        mask = draw(st.sampled_from((1, 3, 0x80000003)))
        parts.append(c.metadata(draw(st.sampled_from((0, 1, 0x80000002))) & mask, mask))
    if table < TABLES - 1 and draw(st.integers(0, 2)):
        parts.append(c.goto(draw(st.integers(table + 1, TABLES - 1))))
    return c.flow_mod(match, b"".join(parts), table=table, priority=priority,
                      cookie=FIRST_COOKIE + table * TABLE_COOKIES + priority)


IPV4 = b"\x08\x00" + ipv4(b"\x0a\0\0\1", b"\x0a\0\0\2", 1, echo(8, 1, 1, bytes(20)))
ARP = b"\x08\x06" + arp(1, b"\x02\0\0\0\0\1", b"\x0a\0\0\1", bytes(6), b"\x0a\0\0\2")
OTHER = b"\x88\xb5" + bytes(46)
BPDU = bytes.fromhex("0180c2000000020000000001") + b"\0\x26\x42\x42\x03" + bytes(35)
macs = st.sampled_from([mac.to_bytes(6, "big") for mac in MACS])


@st.composite
def programs(draw: Any, vids: Vids = ANY_VIDS) -> Program:
    where = draw(st.sampled_from(("nowhere", "apply", "write", "bucket")))
    count = draw(st.integers(0, 3))
    groups = [draw(group_mods(number, where, vids)) for number in range(1, count + 1)]
    entries = []
    for table in range(TABLES):
        if draw(st.booleans()):
            entries.append(draw(flow_mods(table, 0, count, where, vids)))
        for index in range(draw(st.integers(1 if table == 0 else 0, 4))):
            entries.append(draw(flow_mods(table, 10 + index, count, where, vids)))
    return Program(where, vids, groups, entries)


@st.composite
def frames(draw: Any, program: Program, number: int) -> bytes:
    """A frame that enters at a logical port; one that enters at a sub-port has no tag of the tenant's."""
    frame = draw(macs) + draw(macs) + draw(st.sampled_from((IPV4, ARP, OTHER)))
    if program.where == "nowhere" and RED[number][2] is None and draw(st.booleans()):
        frame = tagged(frame, draw(st.sampled_from(program.vids)), draw(st.integers(0, 7)))
    return bytes(frame)


BOTH = Both()


@given(programs(), st.data())
def test_a_fabric_treats_frames_as_one_switch_with_the_tenants_entries_does(program: Program, data: Any) -> None:
    BOTH.install(program)
    for number in RED:
        for frame in data.draw(st.lists(frames(program, number), min_size=1, max_size=3)):
            BOTH.agree_on_frame(number, frame)


@given(programs(), st.data())
def test_a_packet_out_does_what_it_does_on_one_switch(program: Program, data: Any) -> None:
    BOTH.install(program)
    pushes = program.where == "apply"
    for _ in range(4):
        in_port = data.draw(st.sampled_from((*RED, c.CONTROLLER)))
        sent, _ = data.draw(action_lists(len(program.groups), 0 if pushes else None, pushes, ANY_VIDS))
        if not pushes and data.draw(st.booleans()):
            sent += c.output(c.TABLE)
        BOTH.agree_on_packet_out(in_port, sent, data.draw(frames(program, 3)))


@given(programs(), st.sampled_from(LINKS), st.data())
def test_they_agree_still_when_a_link_of_the_fabric_is_lost(program: Program, link: Any, data: Any) -> None:
    BOTH.install(program)
    BOTH.fabric.cut(link[0])
    for number in RED:
        BOTH.agree_on_frame(number, data.draw(frames(program, number)))


@given(programs(), st.sampled_from((1, 2, 5, 7)), st.data())
def test_they_agree_on_what_watches_a_port_that_is_down(program: Program, down: int, data: Any) -> None:
    BOTH.install(program)
    BOTH.set_up(down, False)
    try:
        for number in RED.keys() - {down}:
            BOTH.agree_on_frame(number, data.draw(frames(program, number)))
    finally:
        BOTH.set_up(down, True)


@given(programs(OWN_VIDS), st.data())
def test_no_label_is_seen_at_a_port_and_no_entry_of_one_tenant_sees_the_other_ones_frames(
    program: Program, data: Any,
) -> None:
    BOTH.install(program)
    for number in RED:
        frame = data.draw(frames(program, number))
        for tenant, ports in (("red", RED), ("blue", BLUE)):
            before = BOTH.hits()
            dpid, port, vid = ports[number]
            out = BOTH.fabric.send(dpid, port, tagged(frame, vid))
            assert all(seen < FIRST_LABEL for _, left in out for seen in tags(left))
            assert {owner for owner, _, _ in BOTH.at_ports(out)} <= {tenant}
            assert {owner for owner, hits in BOTH.hits().items() if hits != before[owner]} == {tenant}
    BOTH.fabric.packet_ins()


@given(programs(), st.dictionaries(st.sampled_from(tuple(RED)), st.sampled_from(
    (PORT_DOWN, NO_RECV, NO_FWD, NO_FWD, NO_RECV | NO_FWD, PORT_DOWN | NO_FWD)), min_size=1), st.data())
def test_ports_as_their_tenant_configures_them(program: Program, configured: dict[int, int], data: Any) -> None:
    pushes = program.where == "apply"
    for late in (False, True):
        if not late:
            BOTH.install(program)
        for number, config in configured.items():
            BOTH.configure(number, config)
        assert_equal_to_recompute(BOTH.world)
        if late:
            BOTH.install(program)
        BOTH.load()
        for number in RED:
            BOTH.agree_on_frame(number, data.draw(st.one_of(frames(program, number), st.just(BPDU))))
            sent, _ = data.draw(action_lists(len(program.groups), 0 if pushes else None, pushes, ANY_VIDS))
            sent += b"" if pushes or data.draw(st.booleans()) else c.output(c.TABLE)
            BOTH.agree_on_packet_out(number, sent, data.draw(frames(program, 3)))
        for number in configured:
            BOTH.configure(number, 0)
    assert_equal_to_recompute(BOTH.world)
