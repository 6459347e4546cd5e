"""A fabric of three leaves and two spines in memory, and short forms of the messages tenants send into it."""
from __future__ import annotations

from typing import Any

from hvproxy.hypervisor.links import NamedLink
from hvproxy.hypervisor.settings import Settings
from hvproxy.hypervisor.journal import Durability
from hvproxy.hypervisor.recompute import recompute
from hvproxy.model.intent import PortSpec, parse
from hvproxy.openflow import actions, build
from hvproxy.openflow.constants import of13
from hvproxy.openflow.instructions import Instructions
from hvproxy.openflow.instructions import build as build_instructions
from hvproxy.openflow.meters import Band, encode_bands
from hvproxy.openflow.oxm import tlv
from tests.harness import Controller, World, parsed, spec

LINKS = tuple(NamedLink(a, b) for a, b in (
    ((1, 7), (0x11, 1)), ((2, 7), (0x11, 2)), ((3, 7), (0x11, 3)),
    ((1, 8), (0x12, 1)), ((2, 8), (0x12, 2)), ((3, 8), (0x12, 3))))


def a_world(*specs: Any, **settings: Any) -> World:
    """Two spines, three leaves, all ready. Without specs: red, whose ports 5 and 6 are sub-ports of one port."""
    ports = {1: (1, 1), 2: (2, 1), 3: (3, 1), 4: (1, 2), 5: (1, 3, 20), 6: (1, 3, 30)}
    world = World(*(specs or (spec("red", ports),)), settings=Settings(links=LINKS, grace=10.0, **settings))
    world.add_switches(1, 2, 3, 0x11, 0x12)
    world.pass_time(1.0)
    return world


def red() -> tuple[World, Controller]:
    """The world without specs, and a controller of its logical switch."""
    world = a_world()
    return world, Controller(world, "red")


def add(controller: Controller, *messages: bytes) -> None:
    """Send what is confirmed without an error."""
    controller.send(b"".join(messages) + build.barrier_request(1))
    controller.take("BARRIER_REPLY")


def flow_mod(xid: int = 9, command: int = of13.OFPFC_ADD, table: int = 0, priority: int = 5, match: bytes = b"",
             apply: bytes = b"", write: bytes = b"", goto: int | None = None, clear: bool = False,
             cookie: int = 77, metadata: tuple[int, int] | None = None, meter: int | None = None,
             **fields: int) -> bytes:
    instructions = build_instructions(Instructions(goto=goto, metadata=metadata, apply=apply, write=write, clear=clear,
                                                   meter=meter))
    return build.flow_mod(xid, command, table_id=table, priority=priority, match_tlvs=match,
                          instructions=instructions, cookie=cookie, **fields)


def meter_mod(meter_id: int = 1, *rates: int, command: int = of13.OFPMC_ADD, flags: int = of13.OFPMF_PKTPS,
              burst: int = 0, xid: int = 9) -> bytes:
    """A meter with a band that drops for each rate."""
    bands = (Band(of13.OFPMBT_DROP, rate, burst) for rate in rates)
    return build.meter_mod(xid, command, flags, meter_id, encode_bands(bands))


def in_port(number: int) -> bytes:
    return tlv(of13.OFPXMT_OFB_IN_PORT, number)


def port_spec(number: int, name: str, *at: int) -> PortSpec:
    """A logical port at (dpid, port[, vlan]), or at none."""
    attach = {"attach": {"datapath": at[0], "port": at[1], **({"vlan": at[2]} if len(at) == 3 else {})}} if at else {}
    return parse(PortSpec, {"number": number, "name": name, **attach})


def assert_equal_to_recompute(world: World) -> None:
    """Desired of every datapath == the full recompute, and connected switches hold just that."""
    world.run()
    wanted = recompute(world.hv)
    for dpid, dp in world.hv.switches.datapaths.items():
        assert dp.desired.rules == wanted[dpid].rules
        assert dp.desired.groups == wanted[dpid].groups
        assert dp.desired.meters == wanted[dpid].meters
        switch = world.switches.get(dpid)
        if switch is not None and dp.ready:
            held = {key: (rule.cookie, rule.instructions) for key, rule in dp.desired.rules.items()}
            assert {key: rule[:2] for key, rule in switch.rules.items()} == held
            assert set(switch.groups) == set(dp.desired.groups)
            assert switch.meters == {number: (m.flags, m.bands) for number, m in dp.desired.meters.items()}


def count_everywhere(world: World, packets: int) -> None:
    for dpid in (1, 2, 3):
        if world.switches[dpid].cookies():
            world.switches[dpid].count(10, packets, packets * 100)


def a_stored_world(*specs: Any, **settings: Any) -> tuple[World, Controller]:
    """As `a_world`, whose core can be killed and restarted, and a controller of red."""
    world = a_world(*specs, durability=Durability.BARRIER, **settings)
    return world, Controller(world, "red")


def changes(world: World) -> dict[int, tuple[int, int, int]]:
    """How many messages that change something each switch has been sent."""
    return {dpid: (s.flow_mods, s.group_mods, s.meter_mods) for dpid, s in world.switches.items()}


def packets(controller: Controller) -> int:
    """What all entries have counted together."""
    return sum(int(each.packet_count) for each in controller.ask(build.flow_stats_request(3)).body)


def with_entry(**fields: Any) -> tuple[World, Controller]:
    """An entry on all three edges that counted 5 packets on each, three of them after the last report."""
    world = a_world()
    controller = Controller(world, "red")
    controller.send(flow_mod(**{"apply": actions.output(of13.OFPP_CONTROLLER), "flags": of13.OFPFF_SEND_FLOW_REM,
                                "cookie": 5, **fields}))
    world.run()
    for dpid in (1, 2, 3):
        where = next(key for key in world.switches[dpid].rules if key[0] == 10)[2]
        world.switches[dpid].count(10, 5, 500, where)
    return world, controller


def removed(world: World, controller: Controller) -> list[Any]:
    """All FLOW_REMOVED that have come."""
    world.run()
    messages, controller.messages = controller.messages, []
    return [m for m in map(parsed, messages) if m.msg_type == of13.OFPT_FLOW_REMOVED]


def delete(controller: Controller) -> None:
    controller.send(flow_mod(command=of13.OFPFC_DELETE, table=of13.OFPTT_ALL))


def edges(world: World) -> int:
    return sum(len(switch.cookies()) for switch in world.switches.values())
