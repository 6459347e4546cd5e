"""A walk through what real Open vSwitch says it holds predicts the frames that it really sends: its own actions too."""
from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator

import pytest

from hvproxy.model.rules import Group
from hvproxy.openflow.instructions import decode
from hvproxy.openflow.multipart import Kind, decode_flow_stats, decode_group_desc
from hvproxy.openflow.oxm import Match
from hvproxy.trace.switch import Flow, Port, Switch
from hvproxy.trace.walk import walk
from tests.system.ovs import PrivateOvs, received, require
from tests.system.private_ovs import Session
from tests.trace.frames import IPS, MACS
from tools.emulator.host import ipv4

PORTS = (1, 2, 3, 4)
UDP = MACS[1] + MACS[0] + b"\x08\0" + ipv4(IPS[0], IPS[1], 17, bytes((0, 5, 0, 6, 0, 12, 0, 0)) + bytes(26))
TAGGED = UDP[:12] + b"\x81\0\x60\x05" + UDP[12:]
TCP = MACS[1] + MACS[0] + b"\x08\0" + ipv4(IPS[0], IPS[1], 6, bytes((0, 5, 0, 6)) + bytes(8) + b"\x50\x12" + bytes(6))
SENTINEL = b"\xff" * 6 + b"\2\0\0\0\0\xee\x88\xb5" + bytes(46)
IPV6 = b"\x86\xdd"
"""What the interfaces themselves send, now and then."""
PROGRAMS = {
    "resubmit and go on": (
        "table=0,actions=resubmit(,1),output:4", "table=1,actions=load:7->NXM_OF_ETH_DST[0..7],output:2,goto_table:2",
        "table=2,actions=load:9->NXM_OF_ETH_SRC[40..47],output:3"),
    "resubmit that finds nothing": ("table=0,actions=resubmit(,9),output:2",),
    "resubmitted entries write and clear the action set": (
        "table=0,actions=resubmit(,1),resubmit(,2),output:2", "table=1,actions=write_actions(output:3)",
        "table=2,actions=clear_actions,write_actions(output:4)"),
    "metadata of a resubmitted entry": (
        "table=0,actions=resubmit(,1),resubmit(,2)", "table=1,actions=write_metadata:5",
        "table=2,metadata=5,actions=output:2", "table=2,priority=1,actions=output:3"),
    "round for ever": ("table=0,actions=output:2,resubmit(,0)",),
    "too deep": ("table=0,actions=output:2,resubmit(,1)", "table=1,actions=resubmit(,0)"),
    "exit ends everything, the action set too": (
        "table=0,actions=write_actions(output:4),goto_table:1", "table=1,actions=resubmit(,2),output:3",
        "table=2,actions=output:2,exit,output:3"),
    "exit ends a bucket only": (
        "table=0,actions=group:1,output:4", "table=1,actions=output:2,exit"),
    "a resubmit stands last in a bucket": ("table=0,actions=group:2,output:4", "table=1,actions=output:2,exit"),
    "in an action set": (
        "table=0,actions=write_actions(resubmit(,1),load:7->NXM_OF_ETH_DST[0..3])", "table=1,actions=output:3"),
    "an output beats it there": (
        "table=0,actions=write_actions(resubmit(,1),output:2)", "table=1,actions=output:3"),
    "move": (
        "table=0,ip,actions=move:NXM_OF_ETH_SRC[]->NXM_NX_XXREG0[16..63],move:NXM_OF_ETH_DST[]->NXM_OF_ETH_SRC[],"
        "move:NXM_NX_XXREG0[16..63]->NXM_OF_ETH_DST[],move:NXM_OF_IP_DST[0..7]->NXM_OF_IP_SRC[8..15],output:2",),
    "push and pop": (
        "table=0,ip,actions=push:NXM_OF_ETH_DST[0..15],push:NXM_OF_IP_SRC[],pop:NXM_OF_IP_DST[],"
        "pop:NXM_OF_ETH_SRC[0..7],pop:NXM_OF_ETH_SRC[],output:2",),
    "registers": (
        "table=0,actions=load:0x123456789->OXM_OF_PKT_REG1[],resubmit(,1)",
        "table=1,reg2=1,reg3=0x23456789,actions=move:NXM_NX_REG3[0..7]->NXM_OF_ETH_DST[0..7],output:2"),
    "ttls": (
        "table=0,ip,actions=move:NXM_NX_IP_TTL[]->NXM_OF_ETH_DST[0..7],load:9->NXM_NX_IP_TTL[],output:2,resubmit(,1)",
        "table=1,ip,nw_ttl=9,actions=output:3", "table=1,priority=1,actions=output:4"),
    "flags": ("table=0,tcp,tcp_flags=+syn+ack,actions=output:2", "table=0,priority=1,actions=output:3"),
    "a whole tag": ("table=0,actions=load:0x1005->NXM_OF_VLAN_TCI[],output:2,load:0->NXM_OF_VLAN_TCI[],output:3",),
    "a tag's parts": (
        "table=0,vlan_tci=0x1000/0x1000,actions=load:7->OXM_OF_VLAN_VID[0..3],load:1->OXM_OF_VLAN_PCP[],output:2",
        "table=0,priority=1,actions=output:3"),
    "what does nothing": ("table=0,actions=note:01,ct_clear,pop:NXM_OF_ETH_SRC[],output:2",),
    "conjunctions": (
        "table=0,priority=9,conj_id=7,ip,actions=output:2", "table=0,priority=1,actions=output:4",
        "table=0,priority=5,dl_src=02:00:00:00:00:00/ff:00:00:00:00:00,actions=conjunction(7,1/2),conjunction(8,1/2)",
        "table=0,priority=5,udp,actions=conjunction(7,2/2)",
        "table=0,priority=5,tcp,tp_dst=99,actions=conjunction(8,2/2)"),
}


@pytest.fixture(scope="module")
def ovs() -> Iterator[PrivateOvs]:
    require()
    with PrivateOvs() as made:
        made.add_bridge("br")
        yield made


def test_a_walk_does_what_open_vswitch_does(ovs: PrivateOvs) -> None:
    target = f"unix:{ovs.management('br')}"
    ends = {number: ovs.raw(ovs.add_port("br", number)) for number in PORTS}
    session = Session(ovs.management("br"))

    def ofctl(*arguments: str) -> None:
        ovs.run("ovs-ofctl", "-O", "OpenFlow13", *arguments)

    for group in ("group_id=1,type=all,bucket=resubmit(,1),bucket=output:3",
                  "group_id=2,type=all,bucket=resubmit(,1),output:3"):
        ofctl("add-group", target, group)
    groups = {each.group_id: Group(each.group_id, each.type, each.buckets)
              for each in decode_group_desc(session.multipart(Kind.GROUP_DESC))}
    wrong = {}
    for name, texts in PROGRAMS.items():
        ofctl("del-flows", target)
        for text in texts:
            ofctl("add-flow", target, text)
        ofctl("add-flow", target, "table=0,priority=65535,dl_type=0x88b5,actions=2,3,4")
        flows = [Flow(each.table_id, each.priority, Match.parse(each.match), decode(each.instructions))
                 for each in decode_flow_stats(session.multipart(
                     Kind.FLOW, b"\xff\0\0\0" + b"\xff" * 8 + bytes(20) + b"\0\1\0\4" + bytes(4)))]
        switch = Switch(flows, groups, {number: Port() for number in PORTS})
        ovs.forget_flows()  # what it remembers of the program before may outlast that a little
        for frame in (UDP, TAGGED, TCP):
            ends[1].send(frame)
            ends[1].send(SENTINEL)  # behind it nothing of the frame comes any more
            came: Counter[tuple[int, bytes]] = Counter()
            waiting, deadline = {2, 3, 4}, time.monotonic() + 10
            while waiting and time.monotonic() < deadline:
                for number in sorted(waiting):
                    found = received(ends[number])
                    came.update((number, each) for each in found if each != SENTINEL and each[12:14] != IPV6)
                    waiting -= {number} if SENTINEL in found else set()
            assert not waiting
            said = Counter((sent.port, sent.data) for sent in walk(switch, frame, 1).sent)
            if said != came:
                wrong[name, frame[12:14].hex()] = f"said {dict(said - came)}, came {dict(came - said)}"
    session.close()
    assert not wrong, "\n".join(f"{key}: {value}" for key, value in wrong.items())
