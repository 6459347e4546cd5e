"""The oracle of all increments: after any operation they equal the full recompute, on paper and in the switches."""
from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from hvproxy.hypervisor import intent
from hvproxy.model.intent import PortSpec, parse
from hvproxy.openflow import actions, build
from hvproxy.openflow.constants import of13
from hvproxy.openflow.groups import bucket
from hvproxy.openflow.oxm import tlv
from tests.harness import Controller, spec
from tests.hypervisor.worlds import a_world, assert_equal_to_recompute, flow_mod

MACS = st.integers(1, 4)
PORTS = st.sampled_from([1, 2, 3, 4, 5, 6, 9, of13.OFPP_FLOOD, of13.OFPP_ALL, of13.OFPP_IN_PORT,
                         of13.OFPP_CONTROLLER])


@st.composite
def operation(draw: st.DrawFn) -> tuple[str, Any]:
    kind = draw(st.sampled_from(["flow", "flow", "flow", "flow", "group", "link", "bounce", "port", "switch"]))
    if kind == "flow":
        match = b""
        if draw(st.booleans()):
            match += tlv(of13.OFPXMT_OFB_IN_PORT, draw(st.sampled_from([1, 2, 5, 9, of13.OFPP_CONTROLLER])))
        if draw(st.booleans()):
            match += tlv(of13.OFPXMT_OFB_METADATA, 1, 3)
        if draw(st.booleans()):
            match += tlv(of13.OFPXMT_OFB_ETH_DST, draw(MACS))

        def some() -> bytes:
            data = b"".join(actions.output(p) for p in draw(st.lists(PORTS, max_size=2)))
            return data + (actions.group(draw(st.sampled_from([1, 2]))) if draw(st.integers(0, 3)) == 0 else b"")
        table = draw(st.integers(0, 2))
        return kind, flow_mod(
            command=draw(st.sampled_from([of13.OFPFC_ADD, of13.OFPFC_ADD, of13.OFPFC_MODIFY, of13.OFPFC_DELETE])),
            table=table, priority=draw(st.integers(0, 2)), match=match, apply=some(), write=some(),
            goto=draw(st.sampled_from([None, table + 1])), clear=draw(st.booleans()))
    if kind == "group":
        command = draw(st.sampled_from([of13.OFPGC_ADD, of13.OFPGC_ADD, of13.OFPGC_MODIFY, of13.OFPGC_DELETE]))
        buckets = b"".join(bucket(actions.output(p)) for p in draw(st.lists(PORTS, max_size=3)))
        return kind, build.group_mod(3, command, of13.OFPGT_ALL, draw(st.sampled_from([1, 2])),
                                     b"" if command == of13.OFPGC_DELETE else buckets)
    if kind == "link":
        return kind, (draw(st.sampled_from([1, 2, 3])), draw(st.sampled_from([7, 8])), draw(st.booleans()))
    if kind == "bounce":
        return kind, (draw(st.sampled_from([1, 2, 3, 0x11])), draw(st.sampled_from([0.5, 12.0])))
    if kind == "port":
        return kind, (draw(st.integers(1, 7)), draw(st.sampled_from([1, 2, 3])), draw(st.integers(1, 4)),
                      draw(st.sampled_from([None, 20, 40])))
    return kind, draw(st.booleans())


@given(st.lists(operation(), min_size=1, max_size=12))
@settings(deadline=None)
def test_increments_equal_the_full_recompute(operations: list[tuple[str, Any]]) -> None:
    world = a_world()
    controller = Controller(world, "red")
    for kind, what in operations:
        if kind in ("flow", "group"):
            controller.send(what)
        elif kind == "link":
            world.switches[what[0]].set_port(what[1], what[2])
        elif kind == "bounce":
            switch = world.switches[what[0]]
            switch.disconnect()
            world.pass_time(what[1])
            switch.connect()
        elif kind == "port":
            number, dpid, port, vlan = what
            attach = {"datapath": dpid, "port": port, **({} if vlan is None else {"vlan": vlan})}
            try:
                intent.put_port(world.hv, "red", parse(PortSpec, {
                    "number": number, "name": f"red{number}", "attach": attach}), world.now)
            except intent.Conflict:
                continue
        elif "white" in world.hv.logical_switches:
            intent.delete_logical_switch(world.hv, "white", lambda at: None, world.now)
        else:
            intent.create_logical_switch(world.hv, spec("white", {1: (1, 5), 2: (2, 5), 3: (3, 5)}), world.now)
        world.pass_time(0.5)
        assert_equal_to_recompute(world)
