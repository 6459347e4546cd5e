"""A Hypervisor with switches and controllers at the other end of its connections, all in memory and without a clock.

`World` carries bytes between the core and `EndSwitch`es, which answer what a switch answers and keep the rules and
groups they were given, and `Controller`s, which a test speaks through. The bytes are read with ryu's own parser.
"""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ryu.ofproto import ofproto_v1_3_parser as parser
from ryu.ofproto.ofproto_protocol import ProtocolDesc

from hvproxy.hypervisor import intent
from hvproxy.hypervisor.commands import Close, Commit, GoOn, Send
from hvproxy.hypervisor.hypervisor import Hypervisor
from hvproxy.hypervisor.settings import Settings
from hvproxy.hypervisor.restore import restored
from hvproxy.hypervisor.table_offer import ACTIONS, INSTRUCTIONS
from hvproxy.model.intent import LogicalSwitchSpec, parse
from hvproxy.model.layout import GroupKind
from hvproxy.openflow import build
from hvproxy.openflow.constants import of13
from hvproxy.openflow.framing import Framer
from hvproxy.openflow.groups import walk_buckets
from hvproxy.openflow.instructions import decode as decode_instructions
from hvproxy.openflow.messages import decode_group_mod
from hvproxy.openflow.meters import (
    MeterConfig, MeterFeatures, MeterStats, decode_meter_mod, walk_bands,
)
from hvproxy.openflow.multipart import (
    Desc, FlowStats, GroupDesc, GroupStats, Kind, PortStats, decode_flow_stats_request, decode_id_request,
    decode_multipart, multipart_replies,
)
from hvproxy.openflow.oxm import ofp_match, tlv
from hvproxy.openflow.oxm_fields import EXTENSIONS, FIELDS
from hvproxy.openflow.ports import PortDesc
from hvproxy.openflow.table_features import table_features

OF13 = ProtocolDesc(4)
HELLO = build.hello(0)
NO_COOKIE = 0xFFFFFFFFFFFFFFFF
PORT_LOST = ("PORT_STATUS", "PORT_STATUS")
"""What comes when a port goes down: that it is not LIVE, then that it is LINK_DOWN."""
TYPES = {value: name.removeprefix("OFPT_") for name, value in vars(of13).items()
         if name.startswith("OFPT_") and isinstance(value, int)}


def parsed(message: bytes) -> Any:
    """A message as ryu reads it."""
    return parser.msg_parser(OF13, message[0], message[1], len(message), int.from_bytes(message[4:8], "big"), message)


def described_tables(
    count: int = 40, *, without_actions: Iterable[int] = (), without_set: Iterable[int] = (),
    without_match: Iterable[int] = (), without_instructions: Iterable[int] = (), exact: Iterable[int] = (),
    metadata: int = 0xFFFFFFFFFFFFFFFF,
) -> list[bytes]:
    """The records of TABLE_FEATURES of a switch that can do all that hvproxy knows but this."""
    fields = [field for field in (*FIELDS, *EXTENSIONS) if field.number not in without_match]
    match = [(field.header & ~0xFF | 0x100 | 2 * field.size)
             if field.maskable and field.number not in exact else field.header for field in fields]
    actions = [kind for kind in ACTIONS if kind not in without_actions]
    written = [field.header for field in (*FIELDS, *EXTENSIONS) if field.number not in without_set]
    return [table_features(
        table, f"t{table}", instructions=[kind for kind in INSTRUCTIONS if kind not in without_instructions],
        next_tables=range(table + 1, count), write_actions=actions, apply_actions=actions, match=match,
        wildcards=[field.header for field in fields], write_setfield=written, apply_setfield=written,
        metadata_match=metadata, metadata_write=metadata, max_entries=1_000_000).encode() for table in range(count)]


TABLES = described_tables()


class EndSwitch:
    """The switch end of a connection."""

    def __init__(self, world: World, dpid: int, ports: int) -> None:
        self.world = world
        self.dpid = dpid
        self.ports = {n: PortDesc(n, n.to_bytes(6, "big"), f"s{dpid:x}-{n}") for n in range(1, ports + 1)}
        self.conn = 0
        self.rules: dict[tuple[int, int, bytes], Any] = {}
        self.counted: dict[tuple[int, int, bytes], tuple[int, int]] = {}
        """(packets, bytes) of each rule, as `count` has set them."""
        self.groups: dict[int, Any] = {}
        self.group_counts: dict[int, tuple[int, int]] = {}
        """(packets, bytes) of a group, and of each bucket of it."""
        self.meters: dict[int, tuple[int, bytes]] = {}
        """Flags and bands."""
        self.meter_features: MeterFeatures | None = MeterFeatures(1 << 18, 1 << of13.OFPMBT_DROP, 0xF, 8, 0)
        """None: it refuses everything about meters."""
        self.meter_counts: dict[int, tuple[int, int]] = {}
        """(packets, bytes) that came to a meter, and of which each band dropped half."""
        self.port_counts: dict[int, dict[str, int]] = {}
        """Fields of PortStats by port."""
        self.packet_outs: list[bytes] = []
        self.experimenters: list[bytes] = []
        self.hardware = "Open vSwitch"
        """What it says it is, and by that which extensions it has."""
        self.tables: list[bytes] | None = TABLES
        """What it tells of its tables; None: it refuses to."""
        self.silent = False
        """It does not answer requests for statistics, but keeps them."""
        self.hangs = False
        """It does nothing at all, but keeps what it is sent."""
        self.unanswered: list[bytes] = []
        self.received_types: list[str] = []
        self.hold_barriers = False
        self.hold_removals = False
        """It says late what removed rules have counted."""
        self.held: list[bytes] = []
        self.refuse: tuple[int, int] | None = None
        """(type, code) with which flow-mods for logical tables are refused."""
        self.refuse_deletes: tuple[int, int] | None = None
        """The same for their removal."""
        self.refuse_groups: tuple[int, int] | None = None
        """(type, code) with which group-mods for tenants' groups are refused."""
        self.refuse_meters: tuple[int, int] | None = None
        """(type, code) with which meter-mods but deletes are refused."""
        self.flow_mods = 0
        self.group_mods = 0
        self.meter_mods = 0
        self.framer = Framer()

    def connect(self) -> None:
        self.framer = Framer()
        self.conn = self.world.connect(self)
        self.world.hv.switch_connected(self.conn, f"tcp:127.0.0.1:{self.dpid}", self.world.now)
        self.world.to_core(self.conn, HELLO)

    def disconnect(self) -> None:
        self.world.disconnect(self.conn)

    def reboot(self) -> None:
        """Lose the session and everything that was installed, and come back."""
        self.disconnect()
        self.rules, self.groups, self.counted, self.group_counts, self.port_counts = {}, {}, {}, {}, {}
        self.meters, self.meter_counts = {}, {}
        self.connect()
        self.world.pass_time(1.0)

    def send(self, data: bytes) -> None:
        self.world.to_core(self.conn, data)

    def count(self, table: int, packets: int, octets: int = 0, where: bytes = b"") -> None:
        """Traffic meets the rules of a table whose match contains `where`."""
        hit = [key for key in self.rules if key[0] == table and where in key[2]]
        assert hit
        for key in hit:
            before = self.counted.get(key, (0, 0))
            self.counted[key] = (before[0] + packets, before[1] + octets)

    def packet_in(self, frame: bytes = b"", *, table: int = 10, cookie: int = NO_COOKIE, metadata: int = 0,
                  reason: int = of13.OFPR_ACTION, in_port: int = 1, others: bytes = b"") -> None:
        tlvs = tlv(of13.OFPXMT_OFB_IN_PORT, in_port)
        if metadata:
            tlvs += tlv(of13.OFPXMT_OFB_METADATA, metadata)
        self.send(build.packet_in(0, 0xFFFFFFFF, len(frame), reason, table, cookie, tlvs + others, frame))

    def cookies(self, table: int = 10) -> list[int]:
        """The cookies of the rules of a table."""
        return [cookie for (at, _, _), (cookie, _, _) in self.rules.items() if at == table]

    def answer(self) -> None:
        """Carry out and answer what was kept."""
        self.silent = self.hangs = False
        kept, self.unanswered = self.unanswered, []
        for message in kept:
            self.message(message)

    def release(self) -> None:
        self.hold_barriers = self.hold_removals = False
        held, self.held = self.held, []
        for message in held:
            self.send(message)

    def set_port(self, number: int, up: bool) -> None:
        port = self.ports[number]
        state = 0 if up else of13.OFPPS_LINK_DOWN
        self.ports[number] = PortDesc(port.number, port.hw_addr, port.name, state=state)
        self.send(build.port_status(of13.OFPPR_MODIFY, self.ports[number]))

    def add_port(self, number: int, name: str) -> None:
        """A port appears, LIVE."""
        self.ports[number] = PortDesc(number, number.to_bytes(6, "big"), name, state=of13.OFPPS_LIVE)
        self.send(build.port_status(of13.OFPPR_ADD, self.ports[number]))

    def remove_port(self, number: int) -> None:
        self.send(build.port_status(of13.OFPPR_DELETE, self.ports.pop(number)))

    def received(self, data: bytes) -> None:
        for message in self.framer.feed(data):
            self.message(message)

    def message(self, message: bytes) -> None:
        if self.hangs:
            self.unanswered.append(message)
            return
        kind, xid = message[1], int.from_bytes(message[4:8], "big")
        self.received_types.append(TYPES[kind])
        if kind == of13.OFPT_FEATURES_REQUEST:
            self.send(build.features_reply(xid, self.dpid, 0, 254, 0, 0x4F))
        elif kind == of13.OFPT_BARRIER_REQUEST:
            if self.hold_barriers:
                self.held.append(build.barrier_reply(xid))
            else:
                self.send(build.barrier_reply(xid))
        elif kind == of13.OFPT_ECHO_REQUEST:
            self.send(build.echo_reply(message))
        elif kind == of13.OFPT_MULTIPART_REQUEST:
            self.multipart(message)
        elif kind == of13.OFPT_FLOW_MOD:
            self.flow_mod(message)
        elif kind == of13.OFPT_GROUP_MOD:
            self.group_mods += 1
            mod = decode_group_mod(message)
            if self.refuse_groups is not None and mod.group_id >> 28 == GroupKind.TENANT:
                self.send(build.error(xid, *self.refuse_groups, message[:64]))
            elif mod.command == of13.OFPGC_DELETE:
                self.groups.pop(mod.group_id, None)
                self.group_counts.pop(mod.group_id, None)
            else:
                self.group_counts.pop(mod.group_id, None)
                self.groups[mod.group_id] = (mod.type, mod.buckets)
        elif kind == of13.OFPT_METER_MOD:
            self.meter_mod(message)
        elif kind == of13.OFPT_PACKET_OUT:
            self.packet_outs.append(message)
        elif kind == of13.OFPT_EXPERIMENTER:
            self.experimenters.append(message)

    def meter_mod(self, message: bytes) -> None:
        self.meter_mods += 1
        mod = decode_meter_mod(message)
        if mod.command == of13.OFPMC_DELETE:
            self.meters.pop(mod.meter_id, None)
            for key in [k for k, rule in self.rules.items() if decode_instructions(rule[1]).meter == mod.meter_id]:
                self.remove(key)
        elif self.refuse_meters is not None:
            self.send(build.error(mod.xid, *self.refuse_meters, message[:64]))
        else:
            assert (mod.meter_id in self.meters) == (mod.command == of13.OFPMC_MODIFY)
            self.meters[mod.meter_id] = (mod.flags, mod.bands)
            self.meter_counts.pop(mod.meter_id, None)

    def flow_mod(self, message: bytes) -> None:
        self.flow_mods += 1
        mod = parsed(message)
        if self.refuse is not None and mod.table_id >= 10 and mod.command == of13.OFPFC_ADD:
            self.send(build.error(mod.xid, *self.refuse, message[:64]))
            return
        if self.refuse_deletes is not None and mod.table_id >= 10 and mod.command == of13.OFPFC_DELETE_STRICT:
            self.send(build.error(mod.xid, *self.refuse_deletes, message[:64]))
            return
        length = int.from_bytes(message[50:52], "big")
        key = (mod.table_id, mod.priority, message[52:48 + length])
        if mod.command == of13.OFPFC_ADD:
            assert decode_instructions(message[48 + (length + 7) // 8 * 8:]).meter in (None, *self.meters)
            self.rules[key] = (mod.cookie, message[48 + (length + 7) // 8 * 8:], mod.flags)
            return
        assert mod.command == of13.OFPFC_DELETE_STRICT
        self.remove(key)

    def remove(self, key: tuple[int, int, bytes]) -> None:
        """A rule goes, and says what it has counted."""
        cookie, _, flags = self.rules.pop(key, (0, b"", 0))
        counted = self.counted.pop(key, (0, 0))
        if flags & of13.OFPFF_SEND_FLOW_REM:
            said = build.flow_removed(0, cookie, key[1], of13.OFPRR_DELETE, key[0], 1, 0, 0, 0, *counted, key[2])
            self.held.append(said) if self.hold_removals else self.send(said)

    def multipart(self, message: bytes) -> None:
        request = decode_multipart(message)
        if self.silent and request.kind in (Kind.FLOW, Kind.PORT_STATS, Kind.GROUP, Kind.METER):
            self.unanswered.append(message)
            return
        if request.kind == Kind.PORT_DESC:
            records = [port.encode() for port in self.ports.values()]
        elif request.kind == Kind.DESC:
            records = [Desc("emulated", self.hardware, "1", "none", "end").encode()]
        elif request.kind == Kind.PORT_STATS:
            number = decode_id_request(request.body)
            records = [PortStats(number, **self.port_counts.get(number, {})).encode()] if number in self.ports else []
        elif request.kind == Kind.GROUP:
            number = decode_id_request(request.body)
            records = [GroupStats(group_id, 1, *(counts := self.group_counts.get(group_id, (0, 0))), 1, 0,
                                  (counts,) * len(walk_buckets(buckets))).encode()
                       for group_id, (_, buckets) in self.groups.items() if number in (group_id, of13.OFPG_ALL)]
        elif request.kind == Kind.FLOW:
            asked = decode_flow_stats_request(request.body)
            records = [
                FlowStats(key[0], 1, 0, key[1], 0, 0, flags, cookie, *self.counted.get(key, (0, 0)),
                          ofp_match(key[2])[:4 + len(key[2])], instructions).encode()
                for key, (cookie, instructions, flags) in self.rules.items()
                if cookie & asked.cookie_mask == asked.cookie & asked.cookie_mask]
        elif request.kind == Kind.GROUP_DESC:
            records = [GroupDesc(kind, number, buckets).encode() for number, (kind, buckets) in self.groups.items()]
        elif request.kind == Kind.TABLE_FEATURES and self.tables is not None:
            records = self.tables
        elif request.kind == Kind.METER_FEATURES and self.meter_features is not None:
            records = [self.meter_features.encode()]
        elif request.kind == Kind.METER_CONFIG and self.meter_features is not None:
            records = [MeterConfig(flags, number, bands).encode() for number, (flags, bands) in self.meters.items()]
        elif request.kind == Kind.METER and self.meter_features is not None:
            records = [MeterStats(number, 0, *self.meter_counts.get(number, (0, 0)), 1, 0, tuple(
                (packets // 2, octets // 2) for packets, octets in
                [self.meter_counts.get(number, (0, 0))] * len(walk_bands(bands)))).encode()
                for number, (_, bands) in self.meters.items()]
        else:
            self.send(build.error(request.xid, of13.OFPET_BAD_REQUEST, of13.OFPBRC_BAD_MULTIPART, message[:64]))
            return
        for reply in multipart_replies(request.xid, request.kind, records):
            self.send(reply)


class Controller:
    """The controller end of a connection."""

    def __init__(self, world: World, logical_switch: str, passive: bool = False) -> None:
        self.world = world
        self.framer = Framer()
        self.messages: list[bytes] = []
        self.history = b""
        """Every byte that ever came."""
        self.closed: str | None = None
        self.conn = world.connect(self)
        world.hv.controller_connected(self.conn, logical_switch, "tcp:127.0.0.1:6653", passive, world.now)
        self.send(HELLO)
        self.take("HELLO")

    def send(self, data: bytes) -> None:
        self.world.to_core(self.conn, data)

    def received(self, data: bytes) -> None:
        self.history += data
        self.messages += self.framer.feed(data)

    def take(self, *types: str) -> list[Any]:
        """The messages that have come, whose types must be these; read by ryu."""
        self.world.run()
        messages, self.messages = self.messages, []
        assert tuple(TYPES[m[1]] for m in messages) == types, [parsed(m) for m in messages]
        return [parsed(message) for message in messages]

    def ask(self, message: bytes) -> Any:
        """Send a request whose one answer comes at once; read by ryu."""
        self.send(message)
        self.world.run()
        messages, self.messages = self.messages, []
        assert len(messages) == 1, [parsed(m) for m in messages]
        return parsed(messages[0])

    def refused(self, message: bytes) -> tuple[int, int]:
        """The type and code of the error that a request gets; it carries the request's xid and bytes."""
        error = self.ask(message)
        assert (error.msg_type, error.xid) == (of13.OFPT_ERROR, int.from_bytes(message[4:8], "big"))
        assert error.data == message[:len(error.data)] and len(error.data) >= min(64, len(message))
        return error.type, error.code

    def disconnect(self) -> None:
        self.world.disconnect(self.conn)


class World:
    """A core and the ends of its connections."""

    def __init__(self, *specs: LogicalSwitchSpec, settings: Settings | None = None) -> None:
        self.now = 100.0
        self.settings = settings or Settings()
        self.hv = Hypervisor(self.settings, self.now)
        self.records: dict[str, bytes] = {}
        """What the store holds."""
        self.hold_commits = False
        self.uncommitted: Commit | None = None
        """The batch that is held."""
        self.ends: dict[int, EndSwitch | Controller] = {}
        self.switches: dict[int, EndSwitch] = {}
        self.queue: list[tuple[int, bytes]] = []
        self.commands: list[object] = []
        self.running = False
        for spec in specs:
            intent.create_logical_switch(self.hv, spec, self.now)

    def connect(self, end: EndSwitch | Controller) -> int:
        conn = len(self.commands) + len(self.ends) + 1
        while conn in self.ends:
            conn += 1
        self.ends[conn] = end
        return conn

    def disconnect(self, conn: int) -> None:
        if self.ends.pop(conn, None) is not None:
            self.hv.connection_lost(conn, self.now)
            self.run()

    def add_switches(self, *dpids: int, ports: int = 8) -> None:
        for dpid in dpids:
            self.switches[dpid] = EndSwitch(self, dpid, ports)
            self.switches[dpid].connect()
        self.run()

    def to_core(self, conn: int, data: bytes) -> None:
        self.queue.append((conn, data))

    def pass_time(self, seconds: float) -> None:
        """Let time pass in the steps the core asks for."""
        end = self.now + seconds
        self.run()
        while True:
            due = max(self.now, self.hv.deadline)
            if due > end:
                break
            self.now = max(due, self.now + 0.001)
            self.hv.tick(self.now)
            self.run()
        self.now = end

    def run(self) -> None:
        """Carry bytes to and fro until all is quiet."""
        if self.running:
            return
        self.running = True
        try:
            self.deliver()
            while self.queue:
                conn, data = self.queue.pop(0)
                if conn in self.ends:
                    self.hv.received(conn, data, self.now)
                self.deliver()
        finally:
            self.running = False

    def deliver(self) -> None:
        while commands := self.hv.commands():
            for command in commands:
                self.commands.append(command)
                if isinstance(command, Send) and command.conn in self.ends:
                    self.ends[command.conn].received(command.data)
                elif isinstance(command, Commit):
                    assert self.uncommitted is None
                    self.uncommitted = command
                    if not self.hold_commits:
                        self.commit()
                elif isinstance(command, GoOn):
                    self.to_core(command.conn, b"")
                elif isinstance(command, Close) and command.conn in self.ends:
                    end = self.ends[command.conn]
                    if isinstance(end, Controller):
                        end.closed = command.reason
                    self.disconnect_later(command.conn)

    def commit(self) -> None:
        """Store the batch that is held, and say so."""
        assert self.uncommitted is not None
        batch, self.uncommitted = self.uncommitted, None
        self.records.update(batch.puts)
        for key in batch.deletes:
            self.records.pop(key, None)
        self.hv.committed(batch.revision, self.now)
        self.run()

    def restart(self, down: float = 0.0, starting: float = 0.0) -> None:
        """hvproxy is killed, is away for so long, and begins again with what the store holds, which takes it so long.
        The switches that were connected come back as they are; the controllers do not."""
        back = [switch for switch in self.switches.values() if switch.conn in self.ends]
        for end in self.ends.values():
            if isinstance(end, Controller):
                end.closed = "killed"
        self.ends.clear()
        self.queue.clear()
        self.uncommitted = None
        self.now += down
        self.hv = restored(self.settings, self.now, dict(self.records))
        self.now += starting
        self.hv.listening(self.now)
        self.hv.tick(self.now)
        for switch in back:
            switch.held.clear()
            switch.unanswered.clear()
            switch.connect()
        self.run()

    def disconnect_later(self, conn: int) -> None:
        self.ends.pop(conn)
        self.hv.connection_lost(conn, self.now)


def spec(name: str, ports: dict[int, tuple[int, int] | tuple[int, int, int]], dpid: int = 0) -> LogicalSwitchSpec:
    """A logical switch: port number -> (dpid, port[, vlan])."""
    return parse(LogicalSwitchSpec, {
        "name": name, "datapath_id": dpid or 0xA0 + len(name),
        "ports": [
            {"number": number, "name": f"{name}{number}",
             "attach": {"datapath": at[0], "port": at[1], **({"vlan": at[2]} if len(at) == 3 else {})}}
            for number, at in ports.items()],
    }, tenant=name)
