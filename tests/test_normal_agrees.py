"""The oracle on NORMAL: hosts learnt by a fabric under hvproxy are learnt as one switch learns them.

As tests/test_packets_agree.py, but the rules follow what the frames teach: after each frame hvproxy hears of sources
that were not known, and the fabric gets what it makes of that. One switch has learnt before the next frame too, and
even before it looks for the same frame's destination: hence no frame is sent to its own source.
"""
from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.packets import tagged
from tests.test_packets_agree import ARP, IPV4, RED, Both, Program, told
from tests.tools import controller as c
from tools.emulator import wire

NORMAL = 0xFFFFFFFA
HOSTS = (0x020000000001, 0x020000000002, 0x020000000003, 0)
ADDRESSES = (*HOSTS, 0xFFFFFFFFFFFF, 0x0180C2000003, 0x0180C2000020, 0x030000000001)
REWRITE = c.set_field(4, HOSTS[2])
WAYS: dict[str, tuple[list[bytes], bytes]] = {
    "apply": ([], c.apply(c.output(NORMAL))),
    "write": ([], c.write(c.output(NORMAL))),
    "goto": ([], c.apply(REWRITE) + c.write(c.output(NORMAL)) + c.goto(1)),
    "rewritten": ([], c.apply(REWRITE + c.output(NORMAL))),
    "bucket": ([c.group_mod(0, 0, 1, c.bucket(c.output(NORMAL)), c.bucket(c.output(1)))], c.apply(c.group(1))),
    "group beats it": ([c.group_mod(0, 2, 1, c.bucket(c.output(2)))], c.write(c.group(1) + c.output(NORMAL))),
    "last output wins": ([], c.write(c.output(2) + c.output(NORMAL))),
    "copies": ([], c.apply(c.output(NORMAL) + c.output(c.CONTROLLER) + c.output(5))),
}
BOTH = Both()
for datapath in BOTH.world.hv.switches.datapaths.values():
    datapath.offer.extended = True
for logical_switch in BOTH.world.hv.logical_switches.values():
    BOTH.world.hv.bind(logical_switch, BOTH.world.now)


def forget() -> None:
    """No host is known any more."""
    BOTH.one.switches[1].pipeline.learnt.clear()
    for ls in BOTH.world.hv.logical_switches.values():
        BOTH.world.hv.change(ls.hidden_changes((), ls.hosts.emptied()), BOTH.world.now)


@st.composite
def frames(draw: Any, number: int) -> bytes:
    source = draw(st.sampled_from(ADDRESSES))
    destination = draw(st.sampled_from([address for address in ADDRESSES if address not in (source, HOSTS[2])]))
    frame: bytes = destination.to_bytes(6, "big") + source.to_bytes(6, "big") + draw(st.sampled_from((IPV4, ARP)))
    if RED[number][2] is None and draw(st.booleans()):
        frame = tagged(frame, draw(st.sampled_from((0, 10, 20))), draw(st.integers(0, 7)))
    return frame


@given(st.sampled_from(tuple(WAYS)), st.data())
def test_a_fabric_learns_hosts_as_one_switch_does(way: str, data: Any) -> None:
    groups, instructions = WAYS[way]
    forget()
    BOTH.install(Program("nowhere", (), groups, [c.flow_mod(c.match(), instructions, priority=7, cookie=707)]))
    for _ in range(data.draw(st.integers(1, 8))):
        number = data.draw(st.sampled_from(tuple(RED)))
        BOTH.agree_on_frame(number, data.draw(frames(number)))
        BOTH.load()


@given(st.data())
def test_what_a_packet_out_teaches_is_learnt(data: Any) -> None:
    forget()
    BOTH.install(Program("nowhere", (), [], []))
    for _ in range(data.draw(st.integers(1, 5))):
        in_port = data.draw(st.sampled_from((*RED, c.CONTROLLER)))
        frame = data.draw(frames(3))
        body = wire.PACKET_OUT_BODY.pack(c.ANY, in_port, 16) + c.output(NORMAL) + frame
        BOTH.say(wire.PACKET_OUT, body)
        expected = Counter((place[1], left) for place, left in BOTH.one.take_out())
        BOTH.load()  # the hidden tables come with the first packet-out
        found: dict[str, Counter[tuple[int, bytes]]] = {}
        for dpid, switch in BOTH.world.switches.items():
            sent, switch.packet_outs = switch.packet_outs, []
            for message in sent:
                BOTH.fabric.take_out()
                BOTH.fabric.request(dpid, message)
                found[BOTH.whose(message)] = Counter(
                    (number, left) for (_, number, left), count in BOTH.at_ports(BOTH.fabric.take_out()).items()
                    for _ in range(count))
        assert found == {"red": expected, "blue": expected}
        assert not any(BOTH.told_by_fabric().values())
        assert [told(message) for _, message in BOTH.one.packet_ins()] == []
        BOTH.load()
