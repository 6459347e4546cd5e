"""A tiny switch and an owner to talk to a Datapath with: bytes in, bytes out, nothing carried but control."""
from __future__ import annotations

from collections.abc import Callable, Collection

from hvproxy.hypervisor.datapath import Datapath
from hvproxy.hypervisor.datapath_state import State
from hvproxy.model.rules import Group, Item, Meter, Rule
from hvproxy.openflow import build, guard
from hvproxy.openflow.constants import of13
from hvproxy.openflow.framing import Framer
from hvproxy.openflow.groups import GroupMod
from hvproxy.openflow.messages import (
    AsyncConfig, ErrorMsg, FeaturesReply, FlowMod, PacketOut, decode_features_reply, decode_flow_mod,
    decode_group_mod, decode_packet_out, xid_of,
)
from hvproxy.openflow.meters import MeterConfig, MeterFeatures, MeterMod, decode_meter_mod
from hvproxy.openflow.multipart import Desc, FlowStats, GroupDesc, GroupFeatures, Kind, decode_multipart
from hvproxy.openflow.multipart import multipart_replies
from hvproxy.openflow.ports import PortDesc
from tests.harness import TABLES

LOCAL = PortDesc(of13.OFPP_LOCAL, b"\2\0\0\0\0\0", "br0")
SETTINGS = {of13.OFPT_SET_CONFIG: b"\0\0\xff\xff",
            of13.OFPT_SET_ASYNC: build.set_async(AsyncConfig(0, (7, 0), (7, 7), (15, 0)))[8:]}
"""What is set when a session begins: packets whole, and also those whose TTL is used up."""
FEATURES = decode_features_reply(build.features_reply(1, 0xD1, 0, 254, 0, 0x4F))
Key = tuple[int, int, bytes]
Refusable = FlowMod | GroupMod | MeterMod | PacketOut
Sent = Refusable | str
FEATURES_OF_METERS = MeterFeatures(9, 1 << of13.OFPMBT_DROP, 0xF, 8, 0)


class Switch:
    """Holds rules, groups and meters; may refuse, fall silent or lose things."""

    def __init__(self, *ports: int) -> None:
        self.flows: dict[Key, FlowMod] = {}
        self.groups: dict[int, GroupMod] = {}
        self.meters: dict[int, MeterMod] = {}
        self.ports = [PortDesc(number, bytes(6), f"p{number}") for number in ports]
        self.log: list[Sent] = []
        """What arrived: flow-mods, group-mods, meter-mods, packet-outs, "barrier", and names of reading requests."""
        self.replies: list[bytes] = []
        self.refuse: Callable[[Refusable], tuple[int, int] | None] = lambda message: None
        self.refused_kinds: set[Kind] = set()
        self.silent_kinds: set[Kind] = set()
        self.refuses_barriers = False
        self._framer = Framer()

    def receive(self, data: bytes) -> None:
        for message in self._framer.feed(data):
            guard.check(message, False)
            self._act(message)

    def take_log(self) -> list[Sent]:
        log, self.log = self.log, []
        return log

    def remove(self, key: Key, reason: int = of13.OFPRR_DELETE) -> None:
        gone = self.flows.pop(key)
        if gone.flags & of13.OFPFF_SEND_FLOW_REM:
            self.replies.append(build.flow_removed(0, gone.cookie, gone.priority, reason, gone.table_id, 1, 0, 0, 0,
                                                   5, 300, key[2]))

    def rules(self) -> dict[Key, Rule]:
        return {key: Rule(*key, mod.instructions, mod.cookie) for key, mod in self.flows.items()}

    def group_values(self) -> dict[int, Group]:
        return {number: Group(number, mod.type, mod.buckets) for number, mod in self.groups.items()}

    def meter_values(self) -> dict[int, Meter]:
        return {number: Meter(number, mod.flags, mod.bands) for number, mod in self.meters.items()}

    def _act(self, message: bytes) -> None:
        kind, xid = message[1], xid_of(message)
        if kind == of13.OFPT_BARRIER_REQUEST:
            self.log.append("barrier")
            self.replies.append(build.error(xid, 1, 1) if self.refuses_barriers else build.barrier_reply(xid))
        elif kind == of13.OFPT_MULTIPART_REQUEST:
            self._read(message)
        elif kind == of13.OFPT_FLOW_MOD:
            self._change(decode_flow_mod(message))
        elif kind == of13.OFPT_GROUP_MOD:
            self._change(decode_group_mod(message))
        elif kind == of13.OFPT_METER_MOD:
            self._change(decode_meter_mod(message))
        elif kind == of13.OFPT_PACKET_OUT:
            self._change(decode_packet_out(message))
        else:
            assert message[8:] == SETTINGS[kind]

    def _change(self, mod: Refusable) -> None:
        self.log.append(mod)
        refusal = self.refuse(mod)
        if refusal is not None:
            self.replies.append(build.error(mod.xid, *refusal))
        elif isinstance(mod, FlowMod):
            key = (mod.table_id, mod.priority, mod.match[4:])
            if mod.command == of13.OFPFC_ADD:
                self.flows[key] = mod
            else:
                assert mod.command == of13.OFPFC_DELETE_STRICT
                if key in self.flows:
                    self.remove(key)
        elif isinstance(mod, GroupMod):
            if mod.command == of13.OFPGC_DELETE:
                self.groups.pop(mod.group_id, None)
            else:
                assert (mod.command == of13.OFPGC_ADD) == (mod.group_id not in self.groups)
                self.groups[mod.group_id] = mod
        elif isinstance(mod, MeterMod):
            if mod.command == of13.OFPMC_DELETE:
                del self.meters[mod.meter_id]
            else:
                assert (mod.command == of13.OFPMC_ADD) == (mod.meter_id not in self.meters)
                self.meters[mod.meter_id] = mod

    def _read(self, message: bytes) -> None:
        request = decode_multipart(message)
        kind = Kind(request.kind)
        self.log.append(kind.name)
        if kind in self.refused_kinds:
            self.replies.append(build.error(request.xid, of13.OFPET_BAD_REQUEST, of13.OFPBRC_BAD_MULTIPART))
        elif kind not in self.silent_kinds:
            self.replies += multipart_replies(request.xid, kind, self._records(kind))

    def _records(self, kind: Kind) -> list[bytes]:
        if kind is Kind.PORT_DESC:
            return [port.encode() for port in [LOCAL, *self.ports]]
        if kind is Kind.DESC:
            return [Desc("m", "h", "s", "n", "d").encode()]
        if kind is Kind.GROUP_FEATURES:
            return [GroupFeatures(0xF, 0xF, (9, 9, 9, 9), (1, 1, 1, 1)).encode()]
        if kind is Kind.GROUP_DESC:
            return [GroupDesc(mod.type, number, mod.buckets).encode() for number, mod in self.groups.items()]
        if kind is Kind.FLOW:
            return [FlowStats(mod.table_id, 1, 0, mod.priority, mod.idle_timeout, mod.hard_timeout, mod.flags,
                              mod.cookie, 7, 700, mod.match, mod.instructions).encode()
                    for mod in self.flows.values()]
        if kind is Kind.TABLE_FEATURES:
            return TABLES
        if kind is Kind.METER_FEATURES:
            return [FEATURES_OF_METERS.encode()]
        if kind is Kind.METER_CONFIG:
            return [MeterConfig(mod.flags, number, mod.bands).encode() for number, mod in self.meters.items()]
        return [bytes(112)]


class Owner:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[object, ...]] = []
        self.logs: list[tuple[str, str, dict[str, object]]] = []
        self.on_refused: Callable[[Datapath, object, float], None] = lambda dp, origin, now: None
        self.on_ports: Callable[[Datapath, float], None] = lambda dp, now: None

    def take(self) -> list[tuple[object, ...]]:
        told, self.told = self.told, []
        return told

    def ports_changed(self, dp: Datapath, numbers: Collection[int], now: float) -> None:
        self.told.append(("ports", sorted(dp.ports)))
        self.on_ports(dp, now)

    def datapath_ready(self, dp: Datapath, now: float) -> None:
        assert dp.ready
        self.told.append(("ready",))

    def datapath_lost(self, dp: Datapath, now: float) -> None:
        self.told.append(("lost",))

    def datapath_absent(self, dp: Datapath, now: float) -> None:
        self.told.append(("absent",))

    def packet_arrived(self, dp: Datapath, message: bytes, now: float) -> None:
        self.told.append(("packet", message))

    def rule_removed(self, dp: Datapath, message: bytes, now: float) -> None:
        self.told.append(("removed", message))

    def rule_refused(
        self, dp: Datapath, origin: object | None, content: Item | None, error: ErrorMsg, now: float,
    ) -> None:
        self.told.append(("refused", origin, content, (error.type, error.code)))
        self.on_refused(dp, origin, now)

    def close_datapath(self, dp: Datapath, reason: str) -> None:
        self.told.append(("close", reason))

    def log(self, level: str, event: str, **fields: object) -> None:
        self.logs.append((level, event, fields))


class Scene:
    """A datapath, its owner and its switch, with a clock that only the test moves."""

    def __init__(self, *ports: int, grace: float = 10.0) -> None:
        self.now = 100.0
        self.owner = Owner()
        self.switch = Switch(*ports)
        self.dp = Datapath(0xD1, self.owner, grace, self.now)
        self.told: list[str] = []

    def connect(self) -> None:
        """A session up to the features; the replies to what it asks wait in the switch."""
        self.switch.replies.clear()
        features: FeaturesReply = FEATURES
        self.dp.attached(self.switch.receive, features, self.now)

    def state(self) -> State:
        """Asked anew each time."""
        return self.dp.state

    def pump(self) -> None:
        """Let the switch's replies arrive until it has nothing more to say."""
        while self.switch.replies:
            reply = self.switch.replies.pop(0)
            guard.check(reply, True)
            self.dp.receive(reply, self.now)

    def settle(self) -> None:
        """Connect and become ready, and forget how."""
        self.connect()
        self.pump()
        assert self.dp.ready
        self.switch.take_log()
        self.owner.take()

    def pass_time(self, seconds: float) -> None:
        """Let time go by, ticking exactly when asked to."""
        end = self.now + seconds
        while self.dp.deadline <= end:
            before = (self.now, self.dp.deadline)
            self.now = max(self.now, self.dp.deadline)
            self.dp.tick(self.now)
            assert (self.now, self.dp.deadline) != before, "a deadline that tick does not meet"
        self.now = end

    def confirm(self, name: str) -> None:
        self.dp.confirm(lambda now: self.told.append(name), self.now)
