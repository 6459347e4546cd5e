"""Whatever becomes of groups, ports and switches, every increment is what would be computed anew."""
from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from hvproxy.hypervisor import intent
from hvproxy.openflow import actions, build
from hvproxy.openflow.constants import of13
from hvproxy.openflow.groups import bucket
from tests.harness import Controller, World
from tests.hypervisor.worlds import assert_equal_to_recompute, flow_mod, port_spec, red

PLACES = {2: ((2, 1), (3, 2), (1, 4), (1, 2, 9)), 9: ((3, 3), (2, 4), ())}
"""Where ports move to; 9 is not there in the beginning, and the last of 2 makes two ports share a physical one."""
WATCHED = (1, 2, 3, 6, 9, of13.OFPP_ANY, of13.OFPP_ANY)
IDS = (1, 2, 3)
CONFIGS = (0, of13.OFPPC_PORT_DOWN, of13.OFPPC_NO_FWD, 0)


@st.composite
def buckets(draw: Any, kind: int) -> bytes:
    watch_port, watch_group = of13.OFPP_ANY, of13.OFPG_ANY
    if kind in (of13.OFPGT_SELECT, of13.OFPGT_FF):
        watch_port = draw(st.sampled_from(WATCHED))
        if watch_port == of13.OFPP_ANY or draw(st.booleans()):
            watch_group = draw(st.sampled_from((*IDS, of13.OFPG_ANY)))
    outputs = st.sampled_from((actions.output(2), actions.output(of13.OFPP_FLOOD), *map(actions.group, IDS)))
    weight = draw(st.integers(0, 3)) if kind == of13.OFPGT_SELECT else 0
    return bucket(draw(outputs), weight, watch_port, watch_group)


@st.composite
def group_mods(draw: Any) -> bytes:
    command, kind = draw(st.sampled_from((0, 0, 0, 1, 1, 2))), draw(st.integers(0, 3))
    count = 0 if command == 2 else 1 if kind == of13.OFPGT_INDIRECT else draw(st.integers(0, 3))
    body = b"".join(draw(buckets(kind)) for _ in range(count))
    return build.group_mod(1, command, kind, draw(st.sampled_from(IDS)), body)


steps = st.one_of(
    group_mods(), group_mods(),
    st.tuples(st.sampled_from(((1, 1), (2, 1), (3, 1))), st.booleans()),
    st.tuples(st.just("move"), st.sampled_from(tuple(PLACES)), st.integers(0, 3)),
    st.tuples(st.just("config"), st.sampled_from((1, 2, 3, 6)), st.integers(0, 3)),
    st.tuples(st.just("cut"), st.sampled_from((7, 8)), st.booleans()),
    st.sampled_from(("leave", "return", "forget")),
)


def take(world: World, controller: Controller, step: Any) -> None:
    if isinstance(step, bytes):
        controller.send(step)
    elif step == "leave":
        world.switches[2].disconnect()
        world.pass_time(11.0)
    elif step == "return":
        if world.switches[2].conn not in world.ends:
            world.switches[2].reboot()
    elif step == "forget":
        controller.send(flow_mod(command=of13.OFPFC_DELETE, table=of13.OFPTT_ALL) + flow_mod(apply=actions.group(1)))
    elif step[0] == "config":
        port = world.hv.logical_switches["red"].ports[step[1]]
        config = CONFIGS[step[2]]
        controller.send(build.port_mod(1, port.number, port.hw_addr, config, sum(set(CONFIGS))))
    elif step[0] == "move":
        at = PLACES[step[1]][step[2] % len(PLACES[step[1]])]
        intent.put_port(world.hv, "red", port_spec(step[1], f"red{step[1]}", *at), world.now)
    else:
        (dpid, port), up = (step[0], step[1]) if step[0] != "cut" else ((2, step[1]), step[2])
        if world.switches[dpid].conn in world.ends:
            world.switches[dpid].set_port(port, up)
    world.pass_time(1.0)
    controller.messages.clear()


@given(st.lists(steps, max_size=12))
def test_increments_equal_the_recompute(wanted: list[Any]) -> None:
    world, controller = red()
    controller.send(build.group_mod(1, 0, of13.OFPGT_FF, 1, bucket(actions.output(2), watch_port=2))
                    + flow_mod(apply=actions.group(1)))
    for step in wanted:
        take(world, controller, step)
        assert_equal_to_recompute(world)
