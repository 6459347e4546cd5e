"""Meters of a logical switch: on every edge before the entries that use them, split where they are entered at several,
counted once, taken back when a switch refuses, kept over reconnects, gone without a trace."""
from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvproxy.compiler.meters import shares_of
from hvproxy.hypervisor import intent
from hvproxy.hypervisor.metering import SHORT, UNFAIR_WHEN_FULL, worth_changing
from hvproxy.hypervisor.recompute import recompute
from hvproxy.openflow import actions, build
from hvproxy.openflow.constants import of13
from hvproxy.openflow.instructions import decode
from hvproxy.openflow.messages import AsyncConfig
from hvproxy.openflow.meters import NO_METERS, MeterFeatures, walk_bands
from hvproxy.openflow.multipart import Kind, encode_id_request, multipart_request
from tests.harness import Controller, World, spec
from tests.hypervisor.worlds import (
    a_world, add, assert_equal_to_recompute, flow_mod, in_port, meter_mod, port_spec, red,
)

ADD, MODIFY, DELETE = of13.OFPMC_ADD, of13.OFPMC_MODIFY, of13.OFPMC_DELETE
INVALID, OUT_OF_METERS = (12, of13.OFPMMFC_INVALID_METER), (12, of13.OFPMMFC_OUT_OF_METERS)
OUT = actions.output(2)


def rates(world: World, place: int = 1) -> dict[int, list[int]]:
    """Leaf -> the rates of a physical meter there."""
    return {dpid: [band.rate for band in walk_bands(switch.meters[place][1])]
            for dpid, switch in sorted(world.switches.items()) if place in switch.meters}


def used(world: World, dpid: int) -> list[int]:
    """The physical meters that rules of a leaf use."""
    meters = (decode(rule[1]).meter for rule in world.switches[dpid].rules.values())
    return sorted({meter for meter in meters if meter is not None})


def stats(controller: Controller, meter_id: int = of13.OFPM_ALL, kind: Kind = Kind.METER) -> list[Any]:
    return controller.ask(multipart_request(3, kind, encode_id_request(meter_id))).body  # type: ignore[no-any-return]


def offer(world: World, seconds: int, **packets: int) -> None:
    """So many packets a second of 100 bytes come to meter 1 of leaves s1, s2 and s3."""
    for _ in range(seconds):
        for leaf, count in packets.items():
            counts = world.switches[int(leaf[1:])].meter_counts
            before = counts.get(1, (0, 0))
            counts[1] = (before[0] + count, before[1] + 100 * count)
        world.pass_time(1.0)


def test_a_meter_is_on_every_edge_and_the_entries_use_it() -> None:
    world, controller = red()
    add(controller, meter_mod(77, 100), meter_mod(5, 10), flow_mod(match=in_port(1), apply=OUT, meter=77))
    assert set(rates(world)) == set(rates(world, 2)) == {1, 2, 3}
    assert (used(world, 1), used(world, 2)) == ([1], [])
    assert_equal_to_recompute(world)


def test_where_all_that_is_metered_enters_at_one_edge_the_rate_is_whole() -> None:
    world, controller = red()
    add(controller, meter_mod(1, 100), flow_mod(match=in_port(1), meter=1), flow_mod(match=in_port(4), meter=1))
    assert rates(world)[1] == [100]
    assert_equal_to_recompute(world)
    add(controller, flow_mod(match=in_port(2), meter=1))
    assert rates(world) == {1: [50], 2: [50], 3: [100]}
    assert_equal_to_recompute(world)
    add(controller, flow_mod(meter=1, priority=1))
    assert rates(world) == {1: [34], 2: [33], 3: [33]}
    assert_equal_to_recompute(world)
    add(controller, flow_mod(command=of13.OFPFC_DELETE_STRICT, priority=1))
    add(controller, flow_mod(command=of13.OFPFC_MODIFY_STRICT, match=in_port(2), apply=OUT))
    assert rates(world)[1] == [100]
    assert_equal_to_recompute(world)


def test_shares_follow_ports_that_move() -> None:
    world, controller = red()
    add(controller, meter_mod(1, 100), flow_mod(match=in_port(1), meter=1), flow_mod(match=in_port(2), meter=1))
    intent.put_port(world.hv, "red", port_spec(2, "red2", 1, 6), world.now)
    world.pass_time(3.0)
    assert rates(world)[1] == [100]
    assert_equal_to_recompute(world)


def test_two_tenants_meters_have_ids_of_their_own() -> None:
    world = a_world(spec("red", {1: (1, 1)}), spec("blue", {1: (1, 2)}))
    one, other = Controller(world, "red"), Controller(world, "blue")
    add(one, meter_mod(1, 10), flow_mod(meter=1))
    add(other, meter_mod(1, 20), flow_mod(meter=1))
    assert (rates(world, 1), rates(world, 2), used(world, 1)) == ({1: [10]}, {1: [20]}, [1, 2])
    assert [m.meter_id for m in stats(other)] == [1]
    add(one, meter_mod(of13.OFPM_ALL, command=DELETE))
    assert (rates(world, 1), rates(world, 2), used(world, 1)) == ({}, {1: [20]}, [2])
    assert_equal_to_recompute(world)


def test_an_entry_may_name_no_other_meter() -> None:
    _, controller = red()
    assert controller.refused(flow_mod(meter=1)) == INVALID
    assert controller.refused(flow_mod(meter=1, apply=actions.group(9))) == INVALID
    add(controller, flow_mod(command=of13.OFPFC_MODIFY, meter=1), flow_mod())
    assert controller.refused(flow_mod(command=of13.OFPFC_MODIFY, meter=1)) == INVALID


def test_deleting_a_meter_deletes_the_entries_that_use_it_and_tells_who_asked_for_that() -> None:
    world, controller = red()
    uninformed = Controller(world, "red")
    controller.send(build.set_async(AsyncConfig(1, (3, 0), (7, 7), (0x1F, 0))))
    add(controller, meter_mod(1, 10), flow_mod(meter=1, flags=of13.OFPFF_SEND_FLOW_REM), flow_mod(priority=9))
    controller.send(meter_mod(1, command=DELETE) + build.barrier_request(4))
    told = controller.take("FLOW_REMOVED", "BARRIER_REPLY")[0]
    assert (told.reason, told.cookie) == (of13.OFPRR_DELETE, 77)
    uninformed.take()
    assert rates(world) == {} and len(list(world.hv.logical_switches["red"].tables.entries())) == 1
    assert_equal_to_recompute(world)
    add(controller, meter_mod(8, 10))
    assert rates(world) == {1: [10], 2: [10], 3: [10]}, "its physical id is free"


def test_configuration_is_the_tenants() -> None:
    _, controller = red()
    add(controller, meter_mod(9, 10, 20, burst=5), meter_mod(2, 30, flags=of13.OFPMF_KBPS), flow_mod(meter=9))
    two, nine = stats(controller, kind=Kind.METER_CONFIG)
    assert (two.meter_id, two.flags, [(b.rate, b.burst_size) for b in two.bands]) == (2, 1, [(30, 30)])
    assert (nine.meter_id, [(b.rate, b.burst_size) for b in nine.bands]) == (9, [(10, 5), (20, 5)])
    assert [each.meter_id for each in stats(controller, 9, Kind.METER_CONFIG)] == [9]
    for kind in (Kind.METER, Kind.METER_CONFIG):
        for number in (0, 3, of13.OFPM_CONTROLLER):
            assert controller.refused(multipart_request(3, kind, encode_id_request(number))) == (12, 3)


def test_statistics_are_summed_over_edges_and_start_anew_with_a_modification() -> None:
    world, controller = red()
    add(controller, meter_mod(7, 10_000), flow_mod(meter=7), flow_mod(priority=9, match=in_port(2), meter=7))
    for dpid, count in ((1, 10), (2, 4), (3, 2)):
        world.switches[dpid].meter_counts[1] = (count, 100 * count)
    found, = stats(controller, 7)
    assert (found.flow_count, found.packet_in_count, found.byte_in_count) == (2, 16, 1600)
    assert [(b.packet_band_count, b.byte_band_count) for b in found.band_stats] == [(8, 800)]
    assert found.duration_sec == 0
    world.pass_time(2.5)
    add(controller, meter_mod(7, 10_000, command=MODIFY))
    found, = stats(controller, 7)
    assert (found.packet_in_count, found.band_stats[0].packet_band_count) == (0, 0)
    assert found.duration_sec == 2


def test_shares_follow_demand_and_statistics_never_decrease() -> None:
    world, controller = red()
    add(controller, meter_mod(1, 200), flow_mod(match=in_port(1), meter=1), flow_mod(match=in_port(2), meter=1))
    told = []
    for leaves in ({"s1": 300, "s2": 100}, {"s1": 0, "s2": 400}, {"s1": 50, "s2": 50}):
        for _ in range(5):
            offer(world, 1, **leaves)
            told.append(stats(controller, 1)[0].packet_in_count)
        one, two = (found[0] for dpid, found in rates(world).items() if dpid < 3)
        assert one + two == 200
        assert min(one, leaves["s1"]) + min(two, leaves["s2"]) >= 0.95 * min(200, sum(leaves.values()))
        assert_equal_to_recompute(world)
    assert told == sorted(told) and told[-1] == 5 * 900


def test_what_was_counted_before_shares_changed_is_told_however_they_changed() -> None:
    """Entries come and go, and ports move, between two questions."""
    world, controller = red()
    add(controller, meter_mod(1, 100), flow_mod(match=in_port(1), meter=1))
    changes = (
        lambda: add(controller, flow_mod(meter=1, priority=1)), lambda: stats(controller),
        lambda: add(controller, flow_mod(meter=1, priority=1, command=of13.OFPFC_DELETE)),
        lambda: add(controller, flow_mod(match=in_port(1), meter=1), flow_mod(match=in_port(2), meter=1)),
        lambda: add(controller, flow_mod(match=in_port(3), meter=1), flow_mod(match=in_port(3), meter=1, command=4)),
        lambda: (intent.put_port(world.hv, "red", port_spec(2, "red2", 3, 2), world.now), world.pass_time(5.0)),
    )
    counts = dict.fromkeys((1, 2, 3), 0)
    for number, change in enumerate(changes, 1):
        for dpid, switch in world.switches.items():
            if 1 in switch.meters:
                before = switch.meter_counts.get(1, (0, 0))
                switch.meter_counts[1] = (before[0] + 10, before[1] + 1000)
                counts[dpid] += 10
        change()
        assert_equal_to_recompute(world)
        (told,) = stats(controller)
        assert (told.packet_in_count, told.byte_in_count) == (sum(counts.values()), 100 * sum(counts.values())), number


def test_a_steady_load_changes_shares_once() -> None:
    world, controller = red()
    add(controller, meter_mod(1, 200), flow_mod(match=in_port(1), meter=1), flow_mod(match=in_port(2), meter=1))
    offer(world, 5, s1=300, s2=100)
    before = world.switches[1].meter_mods
    for wobble in (3, -3, 0, 5, -4):
        offer(world, 2, s1=300 + wobble, s2=100 - wobble)
    assert world.switches[1].meter_mods == before


def test_kilobits_are_measured_in_bytes() -> None:
    world, controller = red()
    add(controller, meter_mod(1, 80, flags=of13.OFPMF_KBPS),
        flow_mod(match=in_port(1), meter=1), flow_mod(match=in_port(2), meter=1))
    offer(world, 5, s1=150, s2=50)  # 120 and 40 kbit/s
    assert [rates(world)[dpid][0] for dpid in (1, 2)] == [60, 20]


def test_only_meters_that_are_split_are_asked_about() -> None:
    world, controller = red()
    add(controller, meter_mod(1, 200), flow_mod(match=in_port(1), meter=1))
    before = {dpid: len(s.received_types) for dpid, s in world.switches.items()}
    world.pass_time(3.0)
    asked = [s.received_types[before[dpid]:].count("MULTIPART_REQUEST") for dpid, s in world.switches.items()]
    assert asked == [0] * 5


def test_a_silent_edge_is_asked_once_at_a_time_and_the_shares_wait() -> None:
    world, controller = red()
    add(controller, meter_mod(1, 200), flow_mod(meter=1))
    offer(world, 3, s1=100)
    world.switches[2].silent = True
    before = rates(world)
    offer(world, 5, s3=500)
    assert len(world.switches[2].unanswered) == 1 and rates(world) == before
    world.switches[2].answer()
    offer(world, 4, s3=500)
    assert rates(world)[3][0] > 180


@pytest.mark.parametrize("command", [ADD, MODIFY])
def test_a_refused_meter_mod_is_undone_everywhere_with_one_error(command: int) -> None:
    world, controller = red()
    add(controller, meter_mod(1, 10), flow_mod(meter=1))
    if command == ADD:
        add(controller, meter_mod(1, command=DELETE))
    before = rates(world)
    world.switches[2].refuse_meters = world.switches[3].refuse_meters = OUT_OF_METERS
    controller.send(meter_mod(1, 99, command=command, xid=8) + build.barrier_request(9))
    error, _ = controller.take("ERROR", "BARRIER_REPLY")
    assert (error.type, error.code, error.xid) == (*OUT_OF_METERS, 8)
    world.switches[2].refuse_meters = world.switches[3].refuse_meters = None
    assert rates(world) == before
    assert len(stats(controller, kind=Kind.METER_CONFIG)) == (command == MODIFY)
    assert_equal_to_recompute(world)


def test_what_a_refused_flow_mod_changed_of_the_shares_is_undone() -> None:
    world, controller = red()
    add(controller, meter_mod(1, 100), flow_mod(match=in_port(1), meter=1))
    world.switches[2].refuse = (of13.OFPET_FLOW_MOD_FAILED, of13.OFPFMFC_TABLE_FULL)
    controller.send(flow_mod(match=in_port(2), meter=1) + build.barrier_request(9))
    controller.take("ERROR", "BARRIER_REPLY")
    assert rates(world)[1] == [100]
    assert_equal_to_recompute(world)


def test_an_entry_that_comes_back_without_its_meter_is_gone() -> None:
    world, controller = red()
    add(controller, meter_mod(1, 100), flow_mod(meter=1))
    for dpid in (1, 2, 3):
        world.switches[dpid].refuse = (of13.OFPET_FLOW_MOD_FAILED, of13.OFPFMFC_TABLE_FULL)
        world.switches[dpid].hold_barriers = True
    world.running = True  # the errors are on their way
    controller.send(flow_mod(apply=OUT))
    controller.send(meter_mod(1, command=DELETE))
    world.running = False
    world.run()
    for dpid in (1, 2, 3):
        world.switches[dpid].refuse = None
        world.switches[dpid].release()
    world.pass_time(1.0)
    assert not list(world.hv.logical_switches["red"].tables.entries())
    assert {dpid: dp.desired.rules for dpid, dp in world.hv.switches.datapaths.items()} == {
        dpid: content.rules for dpid, content in recompute(world.hv).items()}


def test_a_switch_that_comes_back_is_sent_what_differs_only() -> None:
    world, controller = red()
    add(controller, meter_mod(1, 100), meter_mod(2, 50), flow_mod(meter=1))
    switch = world.switches[2]
    switch.disconnect()
    sent = switch.meter_mods
    switch.connect()
    world.pass_time(1.0)
    assert switch.meter_mods == sent
    switch.disconnect()
    flags, bands = switch.meters[1]
    switch.meters[1], switch.meters[40] = (flags, bands[:4] + b"\0\0\0\7" + bands[8:]), (flags, bands)
    del switch.meters[2]
    switch.connect()
    world.pass_time(1.0)
    assert switch.meter_mods == sent + 3
    assert_equal_to_recompute(world)
    switch.reboot()
    assert_equal_to_recompute(world)


def test_a_deleted_logical_switch_leaves_no_meter() -> None:
    world, controller = red()
    add(controller, meter_mod(1, 100), meter_mod(2, 50), flow_mod(meter=1), flow_mod(priority=9, meter=2))
    done: list[float] = []
    intent.delete_logical_switch(world.hv, "red", done.append, world.now)
    world.pass_time(3.0)
    assert done and rates(world, 1) == rates(world, 2) == {}
    assert world.hv.meter_ids.allot(9) == 1
    assert_equal_to_recompute(world)


def test_features_are_what_all_switches_below_can_do() -> None:
    world = World(spec("red", {1: (1, 1), 2: (2, 1)}))
    world.add_switches(1, 2)
    controller = Controller(world, "red")
    request = multipart_request(3, Kind.METER_FEATURES)
    one = controller.ask(request).body[0]
    assert (one.max_meter, one.band_types, one.capabilities, one.max_bands, one.max_color) == (1 << 18, 2, 15, 8, 0)
    for features, wanted in ((MeterFeatures(5, 6, 3, 2, 1), (5, 2, 3, 2, 0)), (NO_METERS, (0, 0, 0, 0, 0)),
                             (None, (0, 0, 0, 0, 0))):
        world.switches[2].meter_features = features
        world.switches[2].reboot()
        one = controller.ask(request).body[0]
        assert (one.max_meter, one.band_types, one.capabilities, one.max_bands, one.max_color) == wanted
    assert controller.refused(meter_mod(1, 10)) == OUT_OF_METERS
    assert rates(world) == {}


DEMANDS = st.lists(st.integers(0, 5000), min_size=2, max_size=6)


@given(st.integers(1, 5000), DEMANDS, st.data())
def test_shares_that_stay_let_through_what_can_be_let_through(rate: int, demands: list[int], data: Any) -> None:
    before = data.draw(st.lists(st.integers(0, 5000), min_size=len(demands), max_size=len(demands)))
    present, offered = dict(enumerate(before)), dict(enumerate(demands))
    shares = shares_of(rate, present, offered)
    wanted = shares_of(rate, offered, offered)
    if shares != wanted and not worth_changing(rate, present, offered):
        through = sum(min(shares[edge], offered[edge]) for edge in offered)
        assert through >= min(rate, sum(demands)) - rate / SHORT
        if sum(demands) > rate:
            assert all(abs(shares[edge] - wanted[edge]) * UNFAIR_WHEN_FULL <= rate for edge in offered)
    assert not worth_changing(rate, offered, offered)


@given(st.integers(100, 5000), DEMANDS)
def test_a_steady_demand_is_met_within_five_seconds(rate: int, demands: list[int]) -> None:
    """Poll by poll: whatever the shares were, what is let through is within a tenth of what one meter lets through."""
    offered = dict(enumerate(demands))
    present: dict[int, int] = {}
    for _ in range(5):
        if worth_changing(rate, present, offered):
            present = offered
    shares = shares_of(rate, present, offered)
    through = sum(min(shares[edge], offered[edge]) for edge in offered)
    assert 0.9 * min(rate, sum(demands)) <= through <= rate
