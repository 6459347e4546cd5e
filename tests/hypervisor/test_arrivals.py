"""What switches send up by themselves goes to its owner; what has none is dropped and counted."""
from __future__ import annotations

from hvproxy.hypervisor.arrivals import DISCOVERY_COOKIE
from hvproxy.model.layout import ContextLayout, cookie
from hvproxy.openflow import build
from hvproxy.openflow.constants import of13
from hvproxy.openflow.messages import ErrorMsg
from tests.harness import Controller, spec
from tests.hypervisor.worlds import a_world, add, flow_mod, red

FRAME = bytes(60)


def test_a_packet_goes_to_the_logical_switch_of_its_context_only() -> None:
    world = a_world(spec("red", {1: (1, 1)}), spec("white", {1: (1, 2)}))
    controllers = {name: Controller(world, name) for name in ("red", "white")}
    for name in ("white", "red"):
        ls = world.hv.logical_switches[name]
        world.switches[1].packet_in(FRAME, metadata=ContextLayout().context(ls.ls_id, ls.ports[1].index))
        controllers[name].take("PACKET_IN")
    assert [each.take() for each in controllers.values()] == [[], []]
    assert world.hv.arrivals.unattributed == 0


def test_a_packet_of_no_context_is_counted_and_dropped_each_time() -> None:
    world, controller = red()
    for number in (1, 2, 3):
        world.switches[1].packet_in(FRAME, metadata=ContextLayout().context(77, 1))
        world.run()
        assert world.hv.arrivals.unattributed == number
    assert controller.take() == []


def test_a_discovery_frame_is_no_tenants_even_where_discovery_is_off() -> None:
    world, controller = red()
    world.switches[1].packet_in(FRAME, cookie=DISCOVERY_COOKIE, metadata=ContextLayout().context(1, 1))
    assert controller.take() == [] and world.hv.arrivals.unattributed == 0


def test_a_removal_of_no_known_owner_changes_nothing() -> None:
    world, controller = red()
    add(controller, flow_mod())
    before = len(world.hv.logical_switches["red"].tables)
    for number in (5, cookie(77, 1)):
        world.switches[1].send(build.flow_removed(0, number, 5, of13.OFPRR_DELETE, 10, 1, 0, 0, 0, 9, 900, b""))
    world.run()
    assert len(world.hv.logical_switches["red"].tables) == before and controller.take() == []


def test_a_refusal_of_what_no_tenant_wanted_is_an_alarm() -> None:
    world, _ = red()
    dp = world.hv.switches.datapaths[1]
    rule = next(iter(dp.desired.rules.values()))
    world.hv.arrivals.refusal(dp, None, rule, ErrorMsg(1, of13.OFPET_FLOW_MOD_FAILED, 1, b""), world.now)
    assert world.hv.switches.alarms["a switch refused a rule of the fabric"] == 1
