"""Open vSwitch's own fields and actions, and NORMAL: a logical switch over two bridges does as one plain bridge does.

Both get the same flows from ovs-ofctl, which must print the same of them, and the same frames, which must leave at the
same ports.
"""
from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from struct import pack

import pytest
import yaml

from tests.system.network import wait_until
from tests.system.ovs import PrivateOvs, received, require
from tests.system.private_ovs import Session
from tools.emulator.host import ipv4

SWITCH_PORT, API_PORT, LISTEN_PORT = 6633, 8080, 16653
PLACES = {1: ("left", 1), 2: ("left", 2), 3: ("right", 1), 4: ("right", 2)}
"""Logical port -> bridge and port."""
INDEX = 0xfff
"""Of a group's id, what tells the port to which it sends."""
A, B = b"\x02\0\0\0\0\x01", b"\x02\0\0\0\0\x02"


def frame(destination: bytes = B, source: bytes = A, ttl: int = 64, tag: bytes = b"") -> bytes:
    packet = bytearray(ipv4(b"\x0a\0\0\1", b"\x0a\0\0\2", 17, bytes((0, 5, 0, 6, 0, 12, 0, 0)) + bytes(4)))
    packet[8] = ttl
    return destination + source + tag + b"\x08\x00" + bytes(packet) + bytes(14)


class Pair:
    """The plain bridge and the logical switch."""

    def __init__(self, ovs: PrivateOvs) -> None:
        self.ovs = ovs
        config = {
            "switches": {"listen": [f"ptcp:{SWITCH_PORT}:127.0.0.1"]},
            "fabric": {"discovery": False, "links": ["0x1:9 - 0x2:9"]},
            "api": {"listen": f"ptcp:{API_PORT}:127.0.0.1"},
            "store": "memory:",
            "tenants": [{"name": "red", "logical_switches": [{
                "name": "red", "datapath_id": 0xA1, "listen": [f"ptcp:{LISTEN_PORT}:127.0.0.1"],
                "ports": [{"number": number, "name": f"p{number}",
                           "attach": {"datapath": 1 if bridge == "left" else 2, "port": port}}
                          for number, (bridge, port) in PLACES.items()]}]}],
        }
        path = ovs.directory / "hvproxy.yaml"
        path.write_text(yaml.safe_dump(config))
        ovs.serve(path)
        ovs.add_bridge("plain")
        ovs.add_bridge("left", 1)
        ovs.add_bridge("right", 2)
        ovs.add_link("left", 9, "right", 9)
        self.targets = {"plain": f"unix:{ovs.management('plain')}", "logical": f"tcp:127.0.0.1:{LISTEN_PORT}"}
        self.sockets: dict[str, dict[int, socket.socket]] = {
            "plain": {number: ovs.raw(ovs.add_port("plain", number)) for number in PLACES},
            "logical": {number: ovs.raw(ovs.add_port(*place)) for number, place in PLACES.items()},
        }
        for bridge in ("left", "right"):
            ovs.set_controllers(bridge, f"tcp:127.0.0.1:{SWITCH_PORT}")
        wait_until(lambda: self.ofctl("logical", "show").count("LIVE") + self.ofctl("logical", "show").count(
            "state:      0") >= len(PLACES), "the logical ports are up")

    def ofctl(self, which: str, command: str, *arguments: str) -> str:
        """What ovs-ofctl says, without what may differ."""
        done = self.ovs.run("ovs-ofctl", "-O", "OpenFlow13", command, self.targets[which], *arguments, check=False)
        text = re.sub(r" \(xid=0x[0-9a-f]+\)", "", done.stdout + done.stderr)
        return re.sub(r"duration=[0-9.]+s|n_packets=\d+|n_bytes=\d+", "", text)

    def both(self, command: str, *arguments: str) -> str:
        """The same command on both, which must say the same."""
        plain, logical = (self.ofctl(which, command, *arguments) for which in ("plain", "logical"))
        assert logical == plain
        return plain

    def flows(self, *flows: str) -> str:
        """These flows on both, and nothing else."""
        self.both("del-flows")
        for flow in flows:
            self.both("add-flow", flow)
        said = "\n".join(sorted(self.ofctl("plain", "dump-flows").splitlines()))
        assert "\n".join(sorted(self.ofctl("logical", "dump-flows").splitlines())) == said
        self.ovs.forget_flows()
        return said

    def delivered(self, cause: Callable[[str], object]) -> dict[int, list[bytes]]:
        """What leaves both, at which ports, when something is done to each; it must be the same."""
        for ports in self.sockets.values():
            for raw in ports.values():
                received(raw)
        for which in self.sockets:
            cause(which)
        self.ovs.carry_on()
        plain, logical = ({port: frames for port, raw in self.sockets[which].items() if (frames := received(raw))}
                          for which in ("plain", "logical"))
        assert logical == plain
        return plain

    def agree(self, number: int, data: bytes) -> dict[int, list[bytes]]:
        """A frame leaves both alike; where and how."""
        return self.delivered(lambda which: self.sockets[which][number].send(data))

    def agree_on_packet_out(self, in_port: int | str, actions: str) -> dict[int, list[bytes]]:
        """A packet-out makes the same frames leave both."""
        text = f"in_port={in_port} packet={frame().hex()} actions={actions}"
        return self.delivered(lambda which: self.ofctl(which, "packet-out", text))


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    require()
    with PrivateOvs() as ovs:
        yield Pair(ovs)


def test_matches_are_told_alike(pair: Pair) -> None:
    forms = ("reg0=5", "reg3=5/0xf", "xreg2=7", "xxreg1=9", "tun_id=5", "tun_id=0x5/0x7", "tun_src=1.1.1.1",
             "tun_dst=1.1.0.0/16", "tun_flags=+oam", "tun_gbp_id=3", "ct_state=-trk", "ct_state=+trk+new",
             "ct_zone=3", "ct_mark=3/3", "ct_label=3", "pkt_mark=1", "ip,ip_frag=first", "ip,ip_frag=not_later",
             "ip,ip_frag=no", "ip,nw_ttl=3", "mpls,mpls_ttl=3", "tcp,tcp_flags=+syn-ack", "tcp6,tcp_flags=0x12",
             "packet_type=(1,0x800)", "conj_id=7", "tun_ipv6_src=::1", "vlan_tci=0x1000/0x1000", "metadata=5/0xff")
    said = pair.flows(*(f"priority={number},{form},actions=2" for number, form in enumerate(forms, 1)))
    assert said.count("actions=") == len(forms)


def test_actions_are_told_alike(pair: Pair) -> None:
    lists = ("load:7->NXM_NX_REG0[],resubmit(,1)", "move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],output:2",
             "multipath(eth_src,50,modulo_n,1,0,NXM_NX_REG0[]),note:00.11.22", "push:NXM_NX_REG0[],pop:NXM_NX_REG1[]",
             "enqueue:2:1", "set_field:5->reg3,set_field:7->xreg1,set_field:9->xxreg1", "set_field:5->metadata",
             "controller(max_len=40,reason=no_match)", "exit", "ct_clear,2",
             "write_actions(resubmit(,3),load:5->NXM_NX_REG0[])",
             "set_field:5->tun_id,load:7->NXM_NX_TUN_ID[],load:1->NXM_NX_TUN_ID[3..60],push:NXM_NX_TUN_ID[]",
             "move:NXM_NX_TUN_ID[0..31]->NXM_NX_REG1[],multipath(eth_src,50,modulo_n,1,0,NXM_NX_TUN_ID[0..31])",
             "conjunction(7,1/2)", "load:3->OXM_OF_METADATA[0..31],goto_table:1", "normal")
    said = pair.flows(*(f"priority={number},actions={each}" for number, each in enumerate(lists, 1)))
    assert said.count("actions=") == len(lists)
    assert "actions=" in pair.both("dump-flows", "out_port=controller")


def test_resubmits_and_registers_carry_a_decision_through_tables(pair: Pair) -> None:
    pair.flows("in_port=1,actions=load:7->NXM_NX_REG0[],resubmit(,3),resubmit(,1),4",
               "table=1,priority=1,reg0=7,actions=move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],output:2",
               "table=3,priority=1,reg0=7,actions=set_field:0x55->metadata,output:3",
               "in_port=4,actions=set_field:1->reg5,resubmit(,2)",
               "table=2,priority=5,metadata=0x55,actions=2", "table=2,priority=4,reg5=1,actions=1,2")
    assert set(pair.agree(1, frame())) == {2, 3, 4}
    assert set(pair.agree(4, frame())) == {1, 2}


def test_what_resubmits_write_into_the_action_set_decides_about_outputs_behind_them(pair: Pair) -> None:
    pair.both("add-group", "group_id=1,type=all,bucket=output:2")
    pair.flows("in_port=1,actions=resubmit(,1),write_actions(output:3)", "table=1,actions=write_actions(group:1)",
               "in_port=2,actions=resubmit(,2),write_actions(output:3)", "table=2,actions=write_actions(output:4)",
               "in_port=3,actions=resubmit(,2),write_actions(all)",
               "in_port=4,actions=write_actions(group:1),goto_table:5", "table=6,actions=clear_actions",
               "table=5,actions=resubmit(,6),write_actions(set_field:02:00:00:00:00:aa->eth_src,output:3)")
    assert [set(pair.agree(port, frame())) for port in (1, 2, 3, 4)] == [{2}, {3}, {1, 2, 4}, {3}]
    pair.both("del-flows")
    pair.both("del-groups")


def test_the_tunnel_id_is_a_field_of_the_packet_that_is_zero_at_first(pair: Pair) -> None:
    pair.flows("in_port=1,tun_id=0,actions=set_field:0x8000000000000005->tun_id,goto_table:1",
               "in_port=2,actions=load:7->NXM_NX_TUN_ID[8..15],push:NXM_NX_TUN_ID[],load:0->NXM_NX_TUN_ID[],"
               "resubmit(,2)",
               "in_port=3,actions=move:NXM_OF_ETH_SRC[]->NXM_NX_TUN_ID[0..47],resubmit(,3)",
               "in_port=4,actions=write_actions(set_field:1->tun_id,output:2)",
               "table=1,priority=2,tun_id=0x8000000000000000/0xf000000000000000,actions=2",
               "table=1,priority=1,actions=4",
               "table=2,tun_id=0,actions=pop:NXM_NX_TUN_ID[],resubmit(,4)", "table=4,tun_id=0x700,actions=3",
               "table=3,tun_id=0x20000000001,actions=move:NXM_NX_TUN_ID[0..47]->NXM_OF_ETH_DST[],1,4")
    assert set(pair.agree(1, frame())) == {2}
    assert set(pair.agree(2, frame())) == {3}
    assert set(pair.agree(3, frame())) == {1, 4}
    assert set(pair.agree(4, frame())) == {2}
    assert set(pair.agree_on_packet_out(1, "set_field:0x700->tun_id,resubmit(,4),resubmit(,1)")) == {3, 4}
    pair.both("add-group", "group_id=1,type=all,bucket=set_field:3->tun_id,output:4,bucket=output:2")
    pair.flows("actions=set_field:0xffffffffffffffff->tun_id,group:1,3")
    assert set(pair.agree(1, frame())) == {2, 3, 4}
    pair.both("del-flows")
    pair.both("del-groups")


@pytest.mark.parametrize("match", ["reg15=1", "reg15=1/1", "xreg7=1", "xxreg3=1"])
def test_register_15_cannot_be_matched(pair: Pair, match: str) -> None:
    assert pair.ofctl("plain", "add-flow", f"{match},actions=2") == ""
    assert "OFPBMC_BAD_FIELD" in pair.ofctl("logical", "add-flow", f"{match},actions=2")
    pair.both("del-flows")


@pytest.mark.parametrize("actions", ["set_field:1->reg15", "set_field:1->xreg7", "set_field:1->xxreg3",
                                     "write_actions(set_field:1->reg15)"])
def test_register_15_cannot_be_set(pair: Pair, actions: str) -> None:
    assert pair.ofctl("plain", "add-flow", f"actions={actions}") == ""
    assert "OFPBAC_BAD_SET_TYPE" in pair.ofctl("logical", "add-flow", f"actions={actions}")
    pair.both("del-flows")


REGISTER_0, REGISTER_15, ABSENT = ((1 << 16 | number << 9 | 4).to_bytes(4, "big") for number in (0, 15, 127))
"""Headers; of the last, Open vSwitch has no field."""
USES = {
    "load": lambda header: bytes.fromhex("0007 00c1") + header + bytes.fromhex("0000000000000001"),
    "move from": lambda header: bytes.fromhex("0006 0008 0000 0000") + header + REGISTER_0,
    "move to": lambda header: bytes.fromhex("0006 0008 0000 0000") + REGISTER_0 + header,
    "push": lambda header: bytes.fromhex("001b 0000") + header + bytes.fromhex("0008 000000000000"),
    "pop": lambda header: bytes.fromhex("001c 0000") + header + bytes.fromhex("0008 000000000000"),
    "multipath": lambda header: bytes.fromhex("000a 0000 0032 0000 0000 0000 00000000 0000 0007") + header,
}
"""What follows the experimenter in an action that uses a field."""


@pytest.mark.parametrize("use", USES)
def test_register_15_cannot_be_used_any_more_than_a_field_that_is_not_there(pair: Pair, use: str) -> None:
    def answer(session: Session, header: bytes) -> tuple[int, int] | None:
        rest = USES[use](header)
        action = pack("!HHI", 0xffff, 8 + len(rest), 0x2320) + rest
        return session.refusal(14, bytes(24) + b"\xff" * 12 + bytes(4) + pack("!HH4x", 1, 4)
                               + pack("!HH4x", 4, 8 + len(action)) + action)

    plain, logical = Session(pair.ovs.management("plain")), Session(pair.ovs.connection(LISTEN_PORT))
    assert answer(plain, REGISTER_15) is None
    assert answer(plain, ABSENT) == answer(logical, ABSENT) == answer(logical, REGISTER_15) is not None
    pair.both("del-flows")
    plain.close()
    logical.close()


def test_lower_tables_are_looked_up_and_the_action_set_is_kept(pair: Pair) -> None:
    pair.both("add-group", "group_id=1,type=indirect,bucket=output:3")
    pair.flows("in_port=1,reg1=0,actions=resubmit(,2),set_field:1->reg1,resubmit(,0)",
               "reg1=1,actions=write_actions(output:4)",
               "table=2,actions=write_actions(group:1)")
    assert set(pair.agree(1, frame())) == {3}
    pair.flows("in_port=1,actions=set_field:1->reg1,resubmit(,5),goto_table:7",
               "table=5,actions=write_actions(output:2)",
               "table=7,actions=write_actions(output:4)")
    assert set(pair.agree(1, frame())) == {4}
    pair.both("del-groups")


def test_lookups_in_the_same_table_and_in_none(pair: Pair) -> None:
    pair.flows("priority=2,in_port=2,reg0=0,actions=load:1->NXM_NX_REG0[],resubmit(,0),"
               "resubmit(,200),resubmit(,250),1",
               "priority=2,in_port=2,reg0=1,actions=3,4")
    assert set(pair.agree(2, frame())) == {1, 3, 4}


def test_what_no_packet_has_does_not_match(pair: Pair) -> None:
    pair.flows("priority=9,tun_id=5,actions=2", "priority=8,ct_state=+trk,actions=2", "priority=7,pkt_mark=3,actions=2",
               "priority=6,tun_src=0.0.0.0,ct_state=-trk,tun_id=0,actions=3", "priority=1,actions=4")
    assert set(pair.agree(1, frame())) == {3}


def test_ttl_fragments_and_stack(pair: Pair) -> None:
    pair.flows("priority=9,ip,nw_ttl=9,actions=push:NXM_OF_ETH_SRC[],move:NXM_OF_ETH_DST[]->NXM_OF_ETH_SRC[],"
               "pop:NXM_OF_ETH_DST[],2", "priority=8,ip,ip_frag=no,actions=set_field:3->nw_ttl,3")
    assert pair.agree(1, frame(ttl=9))[2][0][:12] == A + B
    assert pair.agree(1, frame(ttl=8))[3][0][22] == 3


def test_conjunctive_matches(pair: Pair) -> None:
    pair.flows("priority=5,dl_src=02:00:00:00:00:01,actions=conjunction(7,1/2)",
               "priority=5,in_port=3,actions=conjunction(7,2/2)", "priority=5,in_port=4,actions=conjunction(7,2/2)",
               "priority=5,conj_id=7,actions=2", "priority=1,actions=1")
    assert set(pair.agree(3, frame())) == {2}
    assert set(pair.agree(2, frame())) == {1}
    assert set(pair.agree(4, frame(source=B, destination=A))) == {1}


@pytest.mark.parametrize("flow", ["actions=normal", "actions=write_actions(normal)", "actions=group:1",
                                  "actions=resubmit(,4)"])
def test_normal_learns_hosts(pair: Pair, flow: str) -> None:
    pair.ovs.control("fdb/flush", "plain")
    pair.both("del-groups")
    pair.both("add-group", "group_id=1,type=all,bucket=normal")
    # Hosts of their own for each case, for nothing makes hvproxy forget them at once.
    one, two = (b"\x02\0\0\0" + bytes((len(flow), last)) for last in (1, 2))
    pair.flows(flow, "table=4,actions=normal")
    assert set(pair.agree(1, frame(two, one))) == {2, 3, 4}
    learnt(pair, one, 1)
    assert set(pair.agree(4, frame(one, two))) == {1}
    learnt(pair, two, 4)
    assert set(pair.agree(1, frame(two, one))) == {4}
    assert set(pair.agree(4, frame(two, one))) == set()  # it has moved to where its peer is
    learnt(pair, one, 4)
    assert set(pair.agree(2, frame(one, b"\x03" + two[1:]))) == {4}
    assert set(pair.agree(3, frame(b"\x01\x80\xc2\0\0\x03", two))) == set()
    pair.both("del-flows")
    pair.both("del-groups")


def learnt(pair: Pair, address: bytes, port: int) -> None:
    """Wait until hvproxy has made all rules of it that it heard a host at a port."""
    host = address.hex(":")

    def known(bridge: str) -> bool:
        flows = pair.ovs.ofctl("dump-flows", bridge)
        outputs = [int(group) & INDEX for group in re.findall(f"dl_dst={host} actions=group:(\\d+)", flows)]
        return outputs == [port] and (f"dl_src={host} " in flows) == (bridge == PLACES[port][0])

    wait_until(lambda: known("left") and known("right"), "the host is learnt")
    pair.ovs.forget_flows()


def test_a_packet_out_looks_up_the_tenants_tables(pair: Pair) -> None:
    pair.flows("table=6,in_port=1,actions=2", "table=6,reg2=9,actions=3", "priority=9,in_port=4,actions=1")
    assert set(pair.agree_on_packet_out(1, "resubmit(,6)")) == {2}
    assert set(pair.agree_on_packet_out("controller", "load:9->NXM_NX_REG2[],resubmit(,6),4")) == {3, 4}
    assert set(pair.agree_on_packet_out(4, "resubmit(,0)")) == {1}


def test_nothing_hidden_is_told(pair: Pair) -> None:
    pair.flows("actions=normal")
    pair.agree(1, frame())
    assert pair.ofctl("logical", "dump-flows").count("actions=") == 1
    assert "flow_count=1" in pair.ofctl("logical", "dump-aggregate")


TAGGED = b"\x81\x00\x00\x05"
"""A tenant's own tag, of no VLAN that is the fabric's here."""


def labelled(ttl: int = 64, labels: int = 1, tag: bytes = b"") -> bytes:
    """The frame of above under MPLS labels."""
    stack = b"".join(b"\x00\x01\x10\x40" for _ in range(labels - 1)) + b"\x00\x01\x11\x40"
    return B + A + tag + b"\x88\x47" + stack + frame(ttl=ttl)[14:]


@pytest.mark.parametrize("packet", [labelled(), labelled(labels=2), labelled(tag=TAGGED)],
                         ids=["one label", "two labels", "under a tag"])
@pytest.mark.parametrize("actions", [
    "output:3", "output:2,output:3", "flood", "set_field:02:00:00:00:00:09->eth_dst,output:4", "output:3,output:4",
    "goto_table:2", "group:1", "group:2", "push_mpls:0x8847,output:3", "resubmit(,2)", "output:3,resubmit(,2)",
    "write_actions(output:3)", "output:4,write_actions(group:2)", "dec_ttl,output:3"])
def test_no_label_of_the_fabric_meets_the_action_set_once_labels_are_taken_off(
    pair: Pair, packet: bytes, actions: str,
) -> None:
    pair.both("add-group", "group_id=1,type=indirect,bucket=output:4")
    pair.both("add-group", "group_id=2,type=all,bucket=output:3,bucket=set_field:02:00:00:00:00:07->eth_src,output:2")
    pair.flows("mpls,actions=write_actions(output:2),goto_table:1", f"table=1,mpls,actions=pop_mpls:0x0800,{actions}",
               "table=2,actions=output:4")
    assert 2 in pair.agree(1, packet) or "write" in actions
    assert pair.agree(4, packet)
    pair.both("del-flows")
    pair.both("del-groups")


@pytest.mark.parametrize("packet", [labelled(), labelled(labels=2), labelled(tag=TAGGED)],
                         ids=["one label", "two labels", "under a tag"])
@pytest.mark.parametrize("bucket", ["output:3", "flood", "group:1", "set_field:02:00:00:00:00:09->eth_dst,output:4"])
def test_buckets_take_labels_off_as_on_a_bridge_where_no_action_set_waits(
    pair: Pair, packet: bytes, bucket: str,
) -> None:
    pair.both("add-group", "group_id=1,type=indirect,bucket=output:4")
    pair.both("add-group", f"group_id=2,type=all,bucket=pop_mpls:0x0800,{bucket},bucket=output:2")
    for flow in ("actions=group:2", "actions=output:4,group:2,output:3", "actions=write_actions(group:2),goto_table:1"):
        pair.flows(flow, "table=1,actions=output:2")
        assert pair.agree(1, packet)
    pair.both("del-flows")
    pair.both("del-groups")


@pytest.mark.parametrize("bucket", ["output:3", "flood", "group:1", "push_vlan:0x8100,output:4"])
def test_buckets_take_labels_off_where_an_action_set_waits_and_no_label_of_the_fabric_shows(
    pair: Pair, bucket: str,
) -> None:
    """The action set runs with the bucket then, as on a bridge whose bucket goes on behind the label."""
    pair.both("add-group", "group_id=1,type=indirect,bucket=output:4")
    pair.both("add-group", f"group_id=2,type=indirect,bucket=pop_mpls:0x0800,{bucket}")
    pair.flows("mpls,actions=write_actions(output:2),goto_table:1", "table=1,mpls,actions=group:2")
    for raw in pair.sockets["logical"].values():
        received(raw)
    pair.sockets["logical"][1].send(labelled())
    found: dict[int, list[bytes]] = {}

    def came() -> bool:
        for port, raw in pair.sockets["logical"].items():
            found.setdefault(port, []).extend(received(raw))
        return labelled() in found[2] and bool(found[3] or found[4])

    wait_until(came, "the frames have come")
    pushed = frame(tag=b"\x81\x00\x00\x00")
    assert all(data in (frame(), labelled(), pushed) for frames in found.values() for data in frames)
    assert (pushed in found[4]) is ("push" in bucket)
    pair.both("del-flows")
    pair.both("del-groups")


@pytest.mark.parametrize("actions", [
    "pop_mpls:0x0800,output:3", "pop_mpls:0x0800,table,output:3", "table,pop_mpls:0x0800,output:3",
    "table,pop_mpls:0x0800,flood", "table,group:2", "table,table"])
def test_packet_outs_take_labels_off_behind_the_tables(pair: Pair, actions: str) -> None:
    pair.both("add-group", "group_id=2,type=all,bucket=output:3,bucket=output:4")
    pair.flows("actions=write_actions(output:2),goto_table:1", "table=1,mpls,actions=pop_mpls:0x0800,output:4")
    text = f"in_port=1 packet={labelled().hex()} actions={actions}"
    assert pair.delivered(lambda which: pair.ofctl(which, "packet-out", text))
    pair.both("del-flows")
    pair.both("del-groups")
