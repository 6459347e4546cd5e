"""Fabrics of VLAN links and tunnels, with the rules the core makes for them, and frames walked through."""
from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from hvproxy.hypervisor.fabric import Fabric
from hvproxy.model.layout import LAST_KEY, ContextLayout, GroupKind
from hvproxy.model.rules import Content, Rule
from hvproxy.model.view import Dpid, Link, LogicalSwitchView, Lport, PortNo, Vif
from hvproxy.openflow import actions
from hvproxy.openflow.constants import of13
from hvproxy.openflow.instructions import Instructions, build, decode
from hvproxy.openflow.oxm import Match, tlv
from hvproxy.trace.switch import Flow, Port, Switch
from hvproxy.trace.walk import walk
from tests.packets import tagged

HOST_PORT = 0xFE00
LS_ID = 1
FRAME = b"\x02\0\0\0\0\x02\x02\0\0\0\0\x01\x88\xb5" + bytes(46)
TENANTS_KEY = 0xDEADBEEFFFFFFFFF
"""What the tenant has written into tun_id before it outputs."""
End = tuple[Dpid, PortNo]


@dataclass(frozen=True)
class Crossing:
    """A frame on a link."""

    end: End
    """Where it left."""
    wire: bytes
    key: int | None
    """None on a VLAN link."""


def edge_of(dpid: Dpid) -> Lport:
    return Lport(dpid, dpid, Vif(dpid, HOST_PORT))


class Mixed:
    """A fabric with a lport on each of its datapaths that is an edge, which has the datapath's number."""

    def __init__(self, links: list[Link], edges: list[Dpid], endpoints: frozenset[Dpid] = frozenset()) -> None:
        self.fabric = Fabric(ContextLayout(), 16, 4079, None)  # all labels are in blocks
        self.fabric.endpoints = endpoints
        self.fabric.set_links(links)
        self.view = LogicalSwitchView(LS_ID, tuple(map(edge_of, edges)))
        parts = {**self.fabric.base(self.fabric.topology.dpids), **self.fabric.place(self.view, 0.0)}
        self.contents: dict[Dpid, Content] = {}
        for part in parts.values():
            for dpid, content in part.items():
                whole = self.contents.setdefault(dpid, Content())
                whole.rules.update(content.rules)
                whole.groups.update(content.groups)

    def label(self, dpid: Dpid) -> int:
        found = self.fabric.label(("deliver", LS_ID, dpid))
        assert found is not None
        return found

    def send(self, source: Dpid, destination: Dpid, frame: bytes = FRAME, dead: frozenset[End] = frozenset(),
             ) -> tuple[list[End], list[Crossing]]:
        """A tenant at one edge outputs to the port of another: where it came out, and how it got there."""
        topology = self.fabric.topology
        output = actions.set_field(tlv(of13.OFPXMT_OFB_TUNNEL_ID, TENANTS_KEY)) + actions.group(
            self.fabric.layout.group_id(GroupKind.LPORT, LS_ID, destination))
        enter = Rule(0, 999, tlv(of13.OFPXMT_OFB_IN_PORT, HOST_PORT), build(Instructions(apply=output)), 0)
        moving = deque([((source, HOST_PORT), frame, 0)])
        out: list[End] = []
        crossings: list[Crossing] = []
        while moving:
            (dpid, in_port), data, key = moving.popleft()
            content = self.contents[dpid]
            rules = [*content.rules.values(), *([enter] if (dpid, in_port) == (source, HOST_PORT) else [])]
            ports = [port for owner, port in topology.peers if owner == dpid] + [HOST_PORT]
            switch = Switch(
                (Flow(r.table, r.priority, Match.from_tlvs(r.match), decode(r.instructions)) for r in rules),
                content.groups, {p: Port("is down", live=False) if (dpid, p) in dead else Port() for p in ports})
            walked = walk(switch, data, in_port, tunnel_id=key)
            assert not walked.failed and not walked.told
            for (port, wire), tunnel_id in zip(walked.sent, walked.keys, strict=True):
                if port == HOST_PORT:
                    out.append((dpid, port))
                    assert wire == frame
                    continue
                into_tunnel = (dpid, port) in topology.tunnels
                crossings.append(Crossing((dpid, port), wire, tunnel_id if into_tunnel else None))
                assert len(crossings) < 40, "it goes round"
                moving.append((topology.peers[dpid, port], wire, tunnel_id if into_tunnel else 0))
        for each in crossings:
            self.check(each, destination, frame)
        return out, crossings

    def check(self, crossing: Crossing, destination: Dpid, frame: bytes) -> None:
        """It is under its label, once, and nothing else is on the link."""
        label = self.label(destination)
        if crossing.key is None:
            assert crossing.wire in (tagged(frame, label), tagged(frame, label, pcp=1))
        else:
            assert crossing.key & ~(LAST_KEY + 1) == label and crossing.wire == frame
