"""What a connection sets for itself; tests/system/test_sessions_against_ovs compares it with Open vSwitch."""
from __future__ import annotations

from typing import Any

import pytest

from hvproxy.hypervisor import intent
from hvproxy.hypervisor.settings import Settings
from hvproxy.model.layout import ContextLayout
from hvproxy.openflow import actions, build
from hvproxy.openflow.constants import NICIRA_ID, ONF_ID, of13
from hvproxy.openflow.experimenters import Nicira, nicira
from hvproxy.openflow.messages import AsyncConfig, decode_async
from hvproxy.openflow.oxm import tlv
from hvproxy.openflow.oxm_fields import NW_FRAG
from tests.harness import PORT_LOST, Controller, World, spec
from tests.hypervisor.worlds import LINKS, a_world, add, assert_equal_to_recompute, flow_mod, port_spec, red

CONTEXT = ContextLayout().context(1, 1)
DEFAULT = AsyncConfig(5, (3, 0), (7, 7), (15, 0))
EXPERIMENTER = of13.OFPET_EXPERIMENTER


def masks(controller: Controller) -> AsyncConfig:
    controller.send(build.get_async_request(5))
    controller.world.run()
    (reply,) = controller.messages
    controller.messages.clear()
    assert reply[1] == of13.OFPT_GET_ASYNC_REPLY
    return decode_async(reply)


def properties(*masks: tuple[int, int]) -> bytes:
    return nicira(6, Nicira.SET_ASYNC_CONFIG2, b"".join(
        kind.to_bytes(2, "big") + b"\0\x08" + mask.to_bytes(4, "big") for kind, mask in masks))


@pytest.mark.parametrize("passive", [False, True])
def test_the_masks_are_open_vswitchs_at_first(passive: bool) -> None:
    assert masks(Controller(a_world(), "red", passive)) == DEFAULT


def test_masks_are_kept_per_connection_without_unknown_reasons() -> None:
    world, controller = red()
    other = Controller(world, "red")
    controller.send(build.set_async(AsyncConfig(1, (0xFF, 4), (0xFFFFFFFF, 0), (0xFF, 1))))
    assert masks(controller) == AsyncConfig(5, (7, 4), (7, 0), (0x3F, 1))
    assert masks(other) == DEFAULT


def test_niciras_masks_are_the_same() -> None:
    _, controller = red()
    controller.send(nicira(1, Nicira.SET_ASYNC_CONFIG, build.set_async(AsyncConfig(1, (1, 2), (3, 4), (5, 6)))[8:]))
    assert masks(controller) == AsyncConfig(5, (1, 2), (3, 4), (5, 6))


def test_masks_in_properties_set_only_those_they_name_slaves_first() -> None:
    _, controller = red()
    controller.send(properties((0, 4), (3, 1), (4, 0x3F), (9, 0x18)))
    assert masks(controller) == AsyncConfig(5, (3, 4), (1, 7), (15, 0x3F))


@pytest.mark.parametrize(("wrong", "code"), [((5, 0x7F), 2370), ((1, 8), 2370), ((9, 1), 2370), ((25, 1), 2371)])
def test_masks_in_properties_may_not_name_unknown_reasons(wrong: tuple[int, int], code: int) -> None:
    _, controller = red()
    error = controller.ask(properties((1, 7), wrong))
    assert (error.type, error.exp_type, error.experimenter) == (EXPERIMENTER, code, ONF_ID)
    assert masks(controller) == DEFAULT


@pytest.mark.parametrize("request_", [
    build.set_async(AsyncConfig(1, (3, 0), (7, 7), (15, 0))),
    nicira(1, Nicira.SET_ASYNC_CONFIG, bytes(24)),
    nicira(1, Nicira.SET_ASYNC_CONFIG2),
])
def test_a_passive_connection_that_sets_its_masks_asks_for_packets(request_: bytes) -> None:
    world = a_world()
    controller = Controller(world, "red", passive=True)
    controller.send(request_)
    assert controller.ask(build.get_config_request(2)).miss_send_len == 128


def test_who_has_set_miss_send_len_keeps_it() -> None:
    world = a_world()
    controller = Controller(world, "red", passive=True)
    controller.send(build.set_config(1, 0, 5) + build.set_async(AsyncConfig(1, (3, 0), (7, 7), (15, 0))))
    assert controller.ask(build.get_config_request(2)).miss_send_len == 5


@pytest.mark.parametrize("slave", [False, True])
def test_ports_and_ends_of_entries_are_told_by_mask_and_role(slave: bool) -> None:
    world, controller = red()
    entry = flow_mod(flags=of13.OFPFF_SEND_FLOW_REM, apply=actions.output(2))
    masks = [(0, 0), (0, 0), (0, 0)]
    for place, wanted in ((1, of13.OFPPR_MODIFY), (2, of13.OFPRR_DELETE)):
        masks[place] = (0, 1 << wanted) if slave else (1 << wanted, 0)
    one, none = Controller(world, "red"), Controller(world, "red")
    one.send(build.set_async(AsyncConfig(1, masks[0], masks[1], masks[2])))
    none.send(build.set_async(AsyncConfig(1, (7, 7), *((m[1], m[0]) for m in masks[1:]))))
    if slave:
        for each in (one, none):
            each.ask(build.role_request(1, of13.OFPCR_ROLE_SLAVE, 1))
    add(controller, entry)
    controller.send(flow_mod(command=of13.OFPFC_DELETE))
    world.run()
    world.switches[1].set_port(1, False)
    one.take("FLOW_REMOVED", *PORT_LOST)
    assert none.take() == []


def test_packets_reach_a_slave_that_asks_for_them() -> None:
    world, controller = red()
    controller.send(build.set_async(AsyncConfig(1, (0, 2), (0, 0), (0, 0))))
    world.switches[1].packet_in(b"data", metadata=CONTEXT)
    assert controller.take() == []
    controller.ask(build.role_request(1, of13.OFPCR_ROLE_SLAVE, 1))
    world.switches[1].packet_in(b"data", metadata=CONTEXT)
    controller.take("PACKET_IN")


def flags(*controllers: Controller) -> list[int]:
    return [each.ask(build.get_config_request(3)).flags for each in controllers]


def fragment_rules(world: World) -> dict[int, int]:
    """Datapath -> how many rules that drop fragments it is to hold."""
    fragment = tlv(NW_FRAG, 1, 1)
    return {dpid: sum(fragment in key[2] for key in dp.desired.rules)
            for dpid, dp in world.hv.switches.datapaths.items()}


def test_fragments_are_dropped_for_a_whole_logical_switch_and_for_no_other() -> None:
    world = a_world(spec("red", {1: (1, 1), 3: (2, 3, 20)}), spec("blue", {1: (1, 2), 2: (2, 2)}, dpid=2))
    one, two, blue = Controller(world, "red"), Controller(world, "red"), Controller(world, "blue")
    add(one, build.set_config(1, of13.OFPC_FRAG_DROP, 128))
    assert flags(one, two, blue) == [1, 1, 0]
    assert fragment_rules(world) == {1: 4, 2: 4, 3: 0, 0x11: 0, 0x12: 0}
    assert_equal_to_recompute(world)
    two.send(build.set_config(1, of13.OFPC_FRAG_REASM, 77))
    assert flags(one, two, blue) == [1, 1, 0]
    one.disconnect()
    assert flags(two) == [1]
    add(two, build.set_config(1, of13.OFPC_FRAG_NORMAL, 128))
    assert flags(two) == [0] and not any(fragment_rules(world).values())
    assert_equal_to_recompute(world)


def test_no_entry_is_compiled_again_for_fragments_and_a_barrier_waits_for_the_switches() -> None:
    world, controller = red()
    add(controller, flow_mod())
    compiled = world.hv.logical_switches["red"].entries_compiled
    world.switches[1].hold_barriers = True
    controller.send(build.set_config(1, of13.OFPC_FRAG_DROP, 128) + build.barrier_request(2))
    assert controller.take() == []
    world.switches[1].release()
    controller.take("BARRIER_REPLY")
    assert world.hv.logical_switches["red"].entries_compiled == compiled
    assert_equal_to_recompute(world)


def test_ports_that_move_go_down_or_change_take_the_setting_with_them() -> None:
    world, controller = red()
    add(controller, build.set_config(1, of13.OFPC_FRAG_DROP, 128))
    for config in (of13.OFPPC_PORT_DOWN, of13.OFPPC_NO_RECV, 0):
        for number in (1, 5):
            address = world.hv.logical_switches["red"].ports[number].hw_addr
            controller.send(build.port_mod(7, number, address, config, of13.OFPPC_PORT_DOWN | of13.OFPPC_NO_RECV))
            assert_equal_to_recompute(world)
    intent.put_port(world.hv, "red", port_spec(1, "p1", 3, 4), world.now)
    world.pass_time(1.0)
    assert_equal_to_recompute(world)
    assert fragment_rules(world)[3] == 6


def test_a_switch_that_cannot_match_fragments_drops_none() -> None:
    world = World(spec("red", {1: (1, 1), 2: (2, 1)}), settings=Settings(links=LINKS))
    world.add_switches(1, 2, 3, 0x11, 0x12)
    world.pass_time(1.0)
    controller = Controller(world, "red")
    add(controller, build.set_config(1, of13.OFPC_FRAG_DROP, 5))
    world.switches[2].hardware = "another switch"
    world.switches[2].reboot()
    world.pass_time(1.0)
    assert fragment_rules(world)[1] and not fragment_rules(world)[2]
    assert_equal_to_recompute(world)
    controller.messages.clear()
    controller.send(build.set_config(1, of13.OFPC_FRAG_NORMAL, 5))
    assert controller.refused(build.set_config(1, of13.OFPC_FRAG_DROP, 5)) == (of13.OFPET_SWITCH_CONFIG_FAILED, 0)


def test_a_slave_that_was_dialled_says_nothing_about_fragments() -> None:
    world = a_world()
    for passive, told in ((False, 0), (True, 1)):
        controller = Controller(world, "red", passive)
        controller.ask(build.role_request(1, of13.OFPCR_ROLE_SLAVE, 1))
        controller.send(build.set_config(1, of13.OFPC_FRAG_DROP, 5))
        assert flags(controller) == [told]


@pytest.mark.parametrize(("request_", "error"), [
    (nicira(1, Nicira.SET_PACKET_IN_FORMAT, b"\0\0\0\3"), (1, of13.OFPBRC_EPERM)),
    (nicira(1, Nicira.SET_CONTROLLER_ID, b"\1" + bytes(7)), (EXPERIMENTER, 4, NICIRA_ID)),
    (nicira(1, Nicira.RESUME, b"\0\0\0\6ab\0\0"), (EXPERIMENTER, 35, NICIRA_ID)),
])
def test_what_is_refused(request_: bytes, error: tuple[int, ...]) -> None:
    _, controller = red()
    told: Any = controller.ask(request_)
    code = (told.exp_type, told.experimenter) if told.type == EXPERIMENTER else (told.code,)
    assert (told.type, *code) == error


@pytest.mark.parametrize("request_", [
    nicira(1, Nicira.FLOW_AGE), nicira(1, Nicira.FLOW_MOD_TABLE_ID, b"\1" + bytes(7)),
    nicira(1, Nicira.FLOW_MOD_TABLE_ID, bytes(8)), nicira(1, Nicira.SET_PACKET_IN_FORMAT, bytes(4)),
])
def test_what_asks_for_what_is_so_anyway_is_accepted(request_: bytes) -> None:
    _, controller = red()
    controller.send(request_)
    assert controller.take() == []
