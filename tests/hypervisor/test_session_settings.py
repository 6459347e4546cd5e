"""What a connection sets for itself; tests/system/test_sessions_against_ovs compares it with Open vSwitch."""
from __future__ import annotations

from typing import Any

import pytest

from hvproxy.model.layout import ContextLayout
from hvproxy.openflow import actions, build
from hvproxy.openflow.constants import NICIRA_ID, ONF_ID, of13
from hvproxy.openflow.experimenters import Nicira, nicira
from hvproxy.openflow.messages import AsyncConfig, decode_async
from tests.harness import PORT_LOST, Controller
from tests.hypervisor.worlds import a_world, add, flow_mod, red

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


@pytest.mark.parametrize(("request_", "error"), [
    (nicira(1, Nicira.SET_PACKET_IN_FORMAT, b"\0\0\0\3"), (1, of13.OFPBRC_EPERM)),
    (nicira(1, Nicira.SET_CONTROLLER_ID, b"\1" + bytes(7)), (EXPERIMENTER, 4, NICIRA_ID)),
    (nicira(1, Nicira.RESUME, b"\0\0\0\4\0\0\0\0"), (EXPERIMENTER, 35, NICIRA_ID)),
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
