"""Statistics of groups: summed over edges and variants, and never less than before (trap 7)."""
from __future__ import annotations

from typing import Any

from hvproxy.hypervisor import intent
from hvproxy.model.layout import GroupKind
from hvproxy.openflow import actions, build
from hvproxy.openflow.constants import of13
from hvproxy.openflow.groups import bucket
from hvproxy.openflow.multipart import Kind, encode_id_request, multipart_request
from tests.harness import Controller
from tests.hypervisor.worlds import add, assert_equal_to_recompute, flow_mod, port_spec, red


def stats(controller: Controller, kind: Kind, body: bytes = b"") -> Any:
    return controller.ask(multipart_request(3, kind, body)).body


def test_group_statistics_are_summed_over_edges_and_variants_and_never_decrease() -> None:
    world, controller = red()
    add(controller, build.group_mod(1, of13.OFPGC_ADD, of13.OFPGT_ALL, 9,
                                    bucket(actions.output(5)) + bucket(actions.output(2))),
        flow_mod(apply=actions.group(9) + actions.group(9), write=actions.group(9)))
    for dpid in (1, 2):
        for group_id in world.switches[dpid].groups:
            if group_id >> 28 == GroupKind.TENANT:
                world.switches[dpid].group_counts[group_id] = (10, 100)
    variants = 3 + 1  # on switch 1 for ports 5, 6 and all others, on switch 2 one
    world.pass_time(4.0)
    (group,) = stats(controller, Kind.GROUP, encode_id_request(9))
    assert (group.group_id, group.ref_count, group.duration_sec) == (9, 3, 4)
    assert (group.packet_count, group.byte_count) == (10 * variants, 100 * variants)
    assert [(b.packet_count, b.byte_count) for b in group.bucket_stats] == [(10 * variants, 100 * variants)] * 2
    world.switches[1].reboot()
    (group,) = stats(controller, Kind.GROUP, encode_id_request(of13.OFPG_ALL))
    assert group.packet_count == 10 * variants
    assert stats(controller, Kind.GROUP, encode_id_request(8)) == []


def test_what_a_variant_has_counted_is_kept_when_its_port_is_compiled_apart_no_more() -> None:
    world, controller = red()
    port = world.hv.logical_switches["red"].ports[2]
    for count in (1, 2):
        controller.send(build.port_mod(1, 2, port.hw_addr, of13.OFPPC_NO_FWD, of13.OFPPC_NO_FWD))
        if count == 1:
            add(controller, build.group_mod(1, of13.OFPGC_ADD, of13.OFPGT_ALL, 9, bucket(actions.output(5))))
        world.run()
        switch = world.switches[2]
        apart = max(number for number in switch.groups if number >> 28 == GroupKind.TENANT)
        switch.group_counts[apart] = (10, 100)
        controller.send(build.port_mod(1, 2, port.hw_addr, 0, of13.OFPPC_NO_FWD))
        world.run()
        assert_equal_to_recompute(world)
        assert apart not in switch.groups
        switch.group_counts.clear()  # as a switch does
        (group,) = stats(controller, Kind.GROUP, encode_id_request(9))
        assert (group.packet_count, group.byte_count) == (10 * count, 100 * count)


def test_what_a_group_has_counted_is_kept_when_the_last_port_leaves_an_edge() -> None:
    world, controller = red()
    add(controller, build.group_mod(1, of13.OFPGC_ADD, of13.OFPGT_ALL, 9, bucket(actions.output(5))))
    switch = world.switches[2]
    switch.group_counts = {number: (10, 100) for number in switch.groups if number >> 28 == GroupKind.TENANT}
    intent.put_port(world.hv, "red", port_spec(2, "red2", 3, 2), world.now)
    world.pass_time(5.0)
    assert_equal_to_recompute(world)
    assert not any(number >> 28 == GroupKind.TENANT for number in switch.groups)
    switch.group_counts.clear()
    assert stats(controller, Kind.GROUP, encode_id_request(9))[0].packet_count == 10


def test_a_variant_that_is_back_before_it_is_read_counts_on() -> None:
    world, controller = red()
    port = world.hv.logical_switches["red"].ports[2]
    mods = [build.port_mod(1, 2, port.hw_addr, config, of13.OFPPC_NO_FWD) for config in (of13.OFPPC_NO_FWD, 0)]
    controller.send(mods[0])
    add(controller, build.group_mod(1, of13.OFPGC_ADD, of13.OFPGT_ALL, 9, bucket(actions.output(5))))
    switch = world.switches[2]
    apart = max(number for number in switch.groups if number >> 28 == GroupKind.TENANT)
    switch.group_counts[apart] = (10, 100)
    switch.hold_barriers = True
    controller.send(mods[1])
    controller.send(mods[0])
    world.run()
    switch.release()
    world.pass_time(1.0)
    assert_equal_to_recompute(world)
    assert apart in switch.groups
    assert stats(controller, Kind.GROUP, encode_id_request(9))[0].packet_count == 10


def test_a_group_made_again_counts_from_nothing() -> None:
    world, controller = red()
    make = build.group_mod(1, of13.OFPGC_ADD, of13.OFPGT_ALL, 9, bucket(actions.output(5)))
    add(controller, make)
    world.switches[1].group_counts = {number: (10, 100) for number in world.switches[1].groups}
    assert stats(controller, Kind.GROUP, encode_id_request(9))[0].packet_count > 0
    add(controller, build.group_mod(1, of13.OFPGC_DELETE, of13.OFPGT_ALL, 9), make)
    world.switches[1].group_counts = {}
    assert stats(controller, Kind.GROUP, encode_id_request(9))[0].packet_count == 0


def test_a_modified_group_counts_from_nothing_and_is_as_old_as_before() -> None:
    world, controller = red()
    make = bucket(actions.output(5))
    add(controller, build.group_mod(1, of13.OFPGC_ADD, of13.OFPGT_ALL, 9, make))
    world.switches[1].group_counts = {number: (10, 100) for number in world.switches[1].groups}
    assert stats(controller, Kind.GROUP, encode_id_request(9))[0].packet_count > 0
    world.pass_time(4.0)
    add(controller, build.group_mod(1, of13.OFPGC_MODIFY, of13.OFPGT_ALL, 9, make))
    world.switches[1].group_counts = {}  # as a switch does
    (group,) = stats(controller, Kind.GROUP, encode_id_request(9))
    assert (group.packet_count, group.duration_sec) == (0, 4)


def test_what_was_counted_before_a_modification_does_not_count_for_it() -> None:
    world, controller = red()
    make = bucket(actions.output(5))
    add(controller, build.group_mod(1, of13.OFPGC_ADD, of13.OFPGT_ALL, 9, make))
    switch = world.switches[1]
    switch.group_counts = {number: (10, 100) for number in switch.groups}
    switch.silent = True
    controller.send(multipart_request(5, Kind.GROUP, encode_id_request(9)))
    controller.send(build.group_mod(1, of13.OFPGC_MODIFY, of13.OFPGT_ALL, 9, make))
    world.run()
    switch.silent = False
    asked, switch.unanswered = switch.unanswered, []
    for message in asked:
        switch.message(message)
    (reply,) = controller.take("MULTIPART_REPLY")
    assert [group.packet_count for group in reply.body] == [0]
