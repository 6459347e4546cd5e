"""The physical switches: their connections, their datapaths, and what of them an operator must know.

Tells its owner what happens to them; knows neither the links between them nor logical switches.
"""
from __future__ import annotations

from collections.abc import Collection
from math import inf
from typing import Protocol

from hvproxy.hypervisor.commands import Outbox
from hvproxy.hypervisor.datapath import Datapath
from hvproxy.hypervisor.datapath_state import State
from hvproxy.model.rules import Item
from hvproxy.model.view import Dpid, PortNo
from hvproxy.openflow import actions, build
from hvproxy.openflow.channel import Channel
from hvproxy.openflow.constants import of13
from hvproxy.openflow.messages import ErrorMsg, decode_features_reply, type_of
from hvproxy.ovsdb.tunnels import is_tunnel_name


class SwitchesOwner(Protocol):
    """Who hears of what happens below."""

    def ports_changed(self, dp: Datapath, numbers: Collection[PortNo], now: float) -> None: ...
    def datapath_ready(self, dp: Datapath, now: float) -> None: ...
    def datapath_lost(self, dp: Datapath, now: float) -> None: ...
    def datapath_absent(self, dp: Datapath, now: float) -> None: ...
    def packet_arrived(self, dp: Datapath, message: bytes, now: float) -> None: ...
    def rule_removed(self, dp: Datapath, message: bytes, now: float) -> None: ...

    def rule_refused(
        self, dp: Datapath, origin: object | None, content: Item | None, error: ErrorMsg, now: float
    ) -> None: ...


class Session:
    """One connection from a switch, until and after its dpid is known."""

    def __init__(self, conn: int, peer: str, now: float) -> None:
        self.conn = conn
        self.peer = peer
        self.channel = Channel(frozenset({4}), now, from_switch=True)
        self.asked = False
        self.dp: Datapath | None = None


class Switches:
    """All physical switches. Is the owner of every Datapath (datapath.DatapathOwner)."""

    def __init__(self, owner: SwitchesOwner, out: Outbox, grace: float) -> None:
        self.datapaths: dict[Dpid, Datapath] = {}
        self.addresses: dict[Dpid, str] = {}
        """Where a datapath connected from last."""
        self.received = [0] * 256
        """Messages from switches by type, for the metrics."""
        self.sent = [0] * 256
        self.alarms: dict[str, int] = {}
        """What an operator should look at, and how often it was seen."""
        self._owner = owner
        self._out = out
        self._grace = grace
        self._sessions: dict[int, Session] = {}
        self._session_of: dict[Dpid, Session] = {}
        """Of each datapath that is connected."""

    # Datapaths

    def expect(self, dpid: Dpid, now: float) -> Datapath:
        """The datapath of that id, known from now on."""
        dp = self.datapaths.get(dpid)
        if dp is None:
            dp = self.datapaths[dpid] = Datapath(dpid, self, self._grace, now)
        return dp

    def listening(self, now: float) -> None:
        """Switches can connect from now on."""
        for dp in self.datapaths.values():
            dp.awaited(now)

    def ready(self, dpid: Dpid) -> bool:
        dp = self.datapaths.get(dpid)
        return dp is not None and dp.state is State.READY

    @property
    def all_known(self) -> bool:
        """Every datapath is reconciled, or given up as absent."""
        return all(dp.state in (State.READY, State.ABSENT) for dp in self.datapaths.values())

    def port_number(self, dpid: Dpid, port: PortNo | str) -> PortNo | None:
        """The number of a port named by number or by name; None while the datapath does not have it."""
        dp = self.datapaths.get(dpid)
        if dp is None:
            return None
        if isinstance(port, int):
            return port if port in dp.ports else None
        return next((number for number, desc in dp.ports.items() if desc.name == port), None)

    def untold(self, dpid: Dpid) -> bool:
        """A switch has not told its ports since a restart: what was known of its links counts."""
        return not self.datapaths[dpid].ports and self.datapaths[dpid].state is not State.ABSENT

    def is_tunnel_port(self, dpid: Dpid, port_no: PortNo) -> bool:
        """Whether a port is a tunnel's, as its name says: also one of an earlier hvproxy, and before its database
        tells. Nobody is attached there, and no discovery frame goes out or comes in: a tunnel is no VLAN link."""
        dp = self.datapaths.get(dpid)
        return dp is not None and port_no in dp.ports and is_tunnel_name(dp.ports[port_no].name)

    # Connections

    def connected(self, conn: int, peer: str, now: float) -> None:
        session = self._sessions[conn] = Session(conn, peer, now)
        self._flush(session)

    def received_data(self, conn: int, data: bytes, now: float) -> None:
        """Bytes from a switch."""
        session = self._sessions.get(conn)
        if session is None:
            return
        messages = session.channel.receive(data, now)
        if session.channel.open and not session.asked:
            session.asked = True
            session.channel.send.append(build.features_request(1))
        self._flush(session)
        for message in messages:
            self.received[message[1]] += 1
            if session.dp is not None:
                session.dp.receive(message, now)
            elif type_of(message) == of13.OFPT_FEATURES_REPLY:
                self._introduced(session, message, now)
            if conn not in self._sessions:
                return

    def _introduced(self, session: Session, message: bytes, now: float) -> None:
        features = decode_features_reply(message)
        dpid = features.datapath_id
        if dpid in self._session_of:
            self.alarm("duplicate datapath id", dpid=f"{dpid:016x}", peer=session.peer)
            self._drop(session, f"another switch with datapath id {dpid:016x} is connected")
            return
        if features.auxiliary_id:
            self._drop(session, "auxiliary connections are not used")
            return
        session.dp = self.expect(dpid, now)
        self._session_of[dpid] = session

        def send(data: bytes) -> None:
            at = 0
            while at < len(data):
                self.sent[data[at + 1]] += 1
                at += data[at + 2] << 8 | data[at + 3]
            self._out.send(session.conn, data)

        self.addresses[dpid] = session.peer
        session.dp.attached(send, features, now)

    def lost(self, conn: int, now: float) -> None:
        """A connection is gone."""
        session = self._sessions.pop(conn, None)
        if session is not None and session.dp is not None:
            del self._session_of[session.dp.dpid]
            session.dp.detached(now)

    def owns(self, conn: int) -> bool:
        return conn in self._sessions

    def _flush(self, session: Session) -> None:
        for data in session.channel.send:
            self._out.send(session.conn, data)
        session.channel.send.clear()
        if session.channel.closed is not None:
            self._out.log("warning", "switch session closed", peer=session.peer, reason=session.channel.closed)
            self._out.close(session.conn, session.channel.closed)

    def _drop(self, session: Session, reason: str) -> None:
        self._out.log("warning", "switch refused", peer=session.peer, reason=reason)
        self._out.close(session.conn, reason)

    @property
    def talking(self) -> list[Dpid]:
        """Those whose connections are open."""
        return [dpid for dpid, session in self._session_of.items() if session.channel.open]

    def heard(self, dpid: Dpid) -> float:
        """When one that is connected has said something last."""
        return self._session_of[dpid].channel.heard

    def ask(self, dpid: Dpid) -> None:
        """Have one that is connected say something."""
        self._session_of[dpid].channel.ask()
        self._flush(self._session_of[dpid])

    def send_frame(self, place: tuple[Dpid, PortNo], frame: bytes, now: float) -> None:
        """Have a frame of hvproxy's own leave a port."""
        dpid, port_no = place
        self.datapaths[dpid].send_packet_out(of13.OFPP_CONTROLLER, actions.output(port_no), frame, now, None)

    # What datapaths tell (datapath.DatapathOwner)

    def ports_changed(self, dp: Datapath, numbers: Collection[PortNo], now: float) -> None:
        self._owner.ports_changed(dp, numbers, now)

    def datapath_ready(self, dp: Datapath, now: float) -> None:
        self._out.log("info", "switch ready", dpid=f"{dp.dpid:016x}")
        self._owner.datapath_ready(dp, now)

    def datapath_lost(self, dp: Datapath, now: float) -> None:
        self._out.log("warning", "switch lost", dpid=f"{dp.dpid:016x}")
        self._owner.datapath_lost(dp, now)

    def datapath_absent(self, dp: Datapath, now: float) -> None:
        self._out.log("warning", "switch absent", dpid=f"{dp.dpid:016x}")
        self._owner.datapath_absent(dp, now)

    def packet_arrived(self, dp: Datapath, message: bytes, now: float) -> None:
        self._owner.packet_arrived(dp, message, now)

    def rule_removed(self, dp: Datapath, message: bytes, now: float) -> None:
        self._owner.rule_removed(dp, message, now)

    def rule_refused(
        self, dp: Datapath, origin: object | None, content: Item | None, error: ErrorMsg, now: float
    ) -> None:
        self._owner.rule_refused(dp, origin, content, error, now)

    def close_datapath(self, dp: Datapath, reason: str) -> None:
        for session in self._sessions.values():
            if session.dp is dp:
                self._drop(session, reason)

    def log(self, level: str, event: str, **fields: object) -> None:
        self._out.log(level, event, **fields)

    def alarm(self, what: str, **fields: object) -> None:
        """Count something the operator must know, and say it the first time and then ever more rarely."""
        seen = self.count_alarm(what)
        if seen & (seen - 1) == 0:
            self._out.log("error", what, seen=seen, **fields)

    def count_alarm(self, what: str) -> int:
        """Only count it: whoever does has said it. How often it was seen."""
        seen = self.alarms[what] = self.alarms.get(what, 0) + 1
        return seen

    # Time

    @property
    def deadline(self) -> float:
        """When `tick` must be called next."""
        times = [session.channel.deadline for session in self._sessions.values()]
        times += [dp.deadline for dp in self.datapaths.values()]
        return min(times, default=inf)

    def stood_still(self, seconds: float, now: float) -> None:
        """Nothing of what switches said was read for so long."""
        for session in self._sessions.values():
            session.channel.excuse(now)
        for dp in self.datapaths.values():
            dp.excuse(seconds)

    def tick(self, now: float) -> None:
        """Keep sessions alive, give up datapaths."""
        for session in list(self._sessions.values()):
            if now >= session.channel.deadline:
                session.channel.tick(now)
                self._flush(session)
        for dp in list(self.datapaths.values()):
            if now >= dp.deadline:
                dp.tick(now)
