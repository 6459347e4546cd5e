"""Entries end when they are idle everywhere or old, whether or not a controller is there (traps 4 to 6)."""
from __future__ import annotations

from typing import Any

from hvproxy.openflow import actions
from hvproxy.openflow.constants import of13
from hvproxy.openflow.multipart import FlowStatsRequest, Kind, multipart_request
from tests.harness import Controller
from tests.hypervisor.worlds import add, edges, flow_mod, red, removed, with_entry


def entries(controller: Controller) -> list[Any]:
    """What FLOW statistics tell."""
    return list(controller.ask(multipart_request(3, Kind.FLOW, FlowStatsRequest().encode())).body)


def test_traffic_at_one_edge_keeps_an_idle_entry_and_silence_everywhere_ends_it() -> None:
    world, controller = with_entry(idle_timeout=3)
    for _ in range(10):
        world.pass_time(1.0)
        world.switches[2].count(10, 1, 100, next(key for key in world.switches[2].rules if key[0] == 10)[2])
    assert removed(world, controller) == []
    assert edges(world) >= 3
    world.pass_time(5.1)  # one poll may be needed to see the last packet
    (told,) = removed(world, controller)
    assert (told.reason, told.packet_count) == (of13.OFPRR_IDLE_TIMEOUT, 25)
    assert edges(world) == 0


def test_packets_after_the_last_poll_keep_an_idle_entry() -> None:
    world, controller = with_entry(idle_timeout=3)
    world.pass_time(1.05)
    world.pass_time(2.9)
    world.switches[3].count(10, 1, 100)
    world.pass_time(0.5)
    assert removed(world, controller) == []


def test_without_controllers_entries_expire_and_nothing_is_told_later() -> None:
    world, controller = red()
    add(controller, flow_mod(hard_timeout=3, flags=of13.OFPFF_SEND_FLOW_REM, apply=actions.output(2)))
    controller.disconnect()
    world.pass_time(5.0)
    assert not world.switches[1].cookies()
    later = Controller(world, "red")
    assert later.take() == [] and entries(later) == []


def test_entries_outlive_their_controller() -> None:
    world, controller = red()
    add(controller, flow_mod(apply=actions.output(2)))
    controller.disconnect()
    assert len(entries(Controller(world, "red"))) == 1
