"""A logical switch that tracks connections is decided upon at one switch, which is ready before frames come there."""
from __future__ import annotations

from typing import Any

from hvproxy.hypervisor import intent
from hvproxy.hypervisor.fabric import RESUME
from hvproxy.hypervisor.tracking import LAST_ZONE
from hvproxy.model.layout import GroupKind, Table, is_kind
from hvproxy.openflow import actions, build, nicira_ct
from hvproxy.openflow.constants import NICIRA_ID, of13
from hvproxy.openflow.experimenters import BODY, Nicira, kind_of
from hvproxy.openflow.groups import bucket
from hvproxy.openflow.instructions import decode
from hvproxy.openflow.messages import decode_packet_out
from hvproxy.openflow.oxm import Match, tlv
from hvproxy.openflow.oxm_fields import CT_LABEL, CT_MARK, CT_STATE, CT_ZONE, NX
from tests.harness import Controller, EndSwitch, World, spec
from tests.hypervisor.worlds import (
    a_stored_world, a_world, add, assert_equal_to_recompute, changes, flow_mod, in_port, meter_mod, port_spec,
)
from tests.openflow.test_nicira_ct import IP, ct, own

TRACKED = tlv(CT_STATE, 0x22, 0x22)
FIREWALL = (flow_mod(match=IP, apply=ct(table=1)),
            flow_mod(table=1, match=in_port(2) + IP, apply=ct(1) + actions.output(3)),
            flow_mod(table=1, match=IP + TRACKED + tlv(CT_ZONE, 5), apply=actions.output(of13.OFPP_FLOOD)))


def tracking(*specs: Any) -> tuple[World, Controller]:
    world = a_world(*specs)
    controller = Controller(world, "red")
    add(controller, *FIREWALL)
    return world, controller


def applied(switch: EndSwitch, table: int) -> list[bytes]:
    """The lists of actions of a table's rules."""
    return [decode(rule[1]).apply for key, rule in switch.rules.items() if key[0] == table]


def tracks(switch: EndSwitch) -> bool:
    return any(actions.tracks(data) for table in (10, 11) for data in applied(switch, table))


def sends_home(switch: EndSwitch, port: int) -> bool:
    """Whether what enters a port goes on to another switch."""
    (rule,) = (decode(rule[1]) for key, rule in switch.rules.items() if key[0] == 0 and in_port(port) in key[2])
    return rule.goto is None and bool(actions.groups(rule.apply))


def forgotten(world: World, dpid: int) -> list[int]:
    """The zones that a switch was told to forget."""
    return [int.from_bytes(data[BODY + 6:BODY + 8], "big") for data in world.switches[dpid].experimenters
            if kind_of(data) == (NICIRA_ID, Nicira.CT_FLUSH_ZONE)]


def test_the_edge_with_most_ports_decides_and_the_others_send_it_their_frames() -> None:
    world, _ = tracking()
    assert world.hv.logical_switches["red"].view.home == 1
    assert [tracks(world.switches[dpid]) for dpid in (1, 2, 3)] == [True, False, False]
    assert [sends_home(world.switches[dpid], 1) for dpid in (1, 2, 3)] == [False, True, True]
    assert_equal_to_recompute(world)


def test_without_an_action_that_tracks_nobody_is_home() -> None:
    world = a_world()
    controller = Controller(world, "red")
    add(controller, flow_mod(match=IP + TRACKED, apply=actions.output(2)), flow_mod(apply=own(43) + actions.output(1)))
    assert world.hv.logical_switches["red"].view.home is None
    assert all(actions.tracks(data) is False for data in applied(world.switches[1], 10))
    assert_equal_to_recompute(world)


def test_all_is_ready_before_the_first_frame_comes() -> None:
    world = a_world()
    controller = Controller(world, "red")
    world.switches[1].hold_barriers = True
    controller.send(b"".join(FIREWALL) + build.barrier_request(7))
    world.run()
    assert tracks(world.switches[1]) and not sends_home(world.switches[2], 1)
    controller.take()
    world.switches[1].release()
    world.run()
    assert sends_home(world.switches[2], 1) and sends_home(world.switches[3], 1)
    controller.take("BARRIER_REPLY")


def test_the_barrier_waits_until_frames_come_there() -> None:
    world = a_world()
    controller = Controller(world, "red")
    world.switches[3].hold_barriers = True
    controller.send(FIREWALL[0] + build.barrier_request(7))
    world.run()
    assert world.hv.logical_switches["red"].tracking.is_changing
    controller.take()
    world.switches[3].release()
    controller.take("BARRIER_REPLY")
    assert sends_home(world.switches[3], 1)


def test_what_a_port_elsewhere_sends_is_taken_in_under_its_label() -> None:
    world, _ = tracking()
    ls = world.hv.logical_switches["red"]
    labels = {key[2] & 0xFFFFFF: label for key, label in world.hv.fabric.labels.used.items() if key[0] == RESUME}
    assert set(labels) == {ls.ports[2].index, ls.ports[3].index}
    for index, label in labels.items():
        (rule,) = (decode(rule[1]) for key, rule in world.switches[1].rules.items()
                   if key[0] == Table.LABEL and tlv(of13.OFPXMT_OFB_VLAN_VID, label | 0x1000) in key[2])
        assert rule.goto == Table.LOGICAL and rule.metadata is not None
        assert ls.layout.read(rule.metadata[0])[:2] == (ls.ls_id, index)
        (again,) = actions.groups(rule.apply)
        assert is_kind(again, GroupKind.AGAIN)


def test_nothing_tracks_while_an_action_set_waits() -> None:
    world, _ = tracking()
    for data in applied(world.switches[1], 10):
        kinds = [action for _, action in actions.walk(data)]
        for before, action in zip([b"", *kinds], kinds, strict=False):
            if nicira_ct.is_ct(action) and nicira_ct.table(action) is not None:
                assert before == actions.resubmit(Table.HOP)
    for dpid in (1, 2, 3):  # whichever is the home one day
        assert [decode(rule[1]).clear for key, rule in world.switches[dpid].rules.items() if key[0] == Table.HOP]


def test_what_empties_the_set_is_there_before_what_relies_on_it() -> None:
    world, _ = tracking()
    world.switches[1].disconnect()
    world.pass_time(15.0)
    tables = [key[0] for key in world.switches[2].rules]  # in the order in which they came
    tracked = [tables[at] for at, rule in enumerate(world.switches[2].rules.values())
               if actions.tracks(decode(rule[1]).apply)]
    assert tracked and tables.index(Table.HOP) < tables.index(tracked[0])


def test_nothing_changes_for_a_logical_switch_that_does_not_track() -> None:
    world = a_world(spec("red", {1: (1, 1), 2: (2, 1)}), spec("blue", {1: (1, 2), 2: (2, 2), 3: (3, 2)}))
    red, blue = Controller(world, "red"), Controller(world, "blue")
    add(blue, flow_mod(match=IP + tlv(CT_STATE, 0, 0x20), apply=own(43) + actions.output(of13.OFPP_FLOOD)),
        flow_mod(match=IP + TRACKED, apply=actions.output(2)),
        flow_mod(table=1, match=in_port(2), write=actions.output(1)))

    def of_others() -> dict[int, Any]:
        red_id = world.hv.logical_switches["red"].ls_id
        return {dpid: ({key: rule for key, rule in dp.desired.rules.items()
                        if (rule.cookie >> 32 & 0xFFFF) != red_id and key[0] not in (Table.LABEL, Table.TRANSIT)},
                       {number: group for number, group in dp.desired.groups.items()
                        if dp.desired.groups[number].group_id >> 16 & 0xFFF != red_id})
                for dpid, dp in world.hv.switches.datapaths.items()}

    before = of_others()
    add(red, *FIREWALL)
    assert world.hv.logical_switches["red"].view.home is not None
    assert of_others() == before
    assert world.hv.logical_switches["blue"].view.home is None
    assert not any(key[0] == Table.HOP for key in world.switches[3].rules)
    assert_equal_to_recompute(world)


def test_zones_are_of_one_logical_switch() -> None:
    ports = {1: (1, 1), 2: (2, 1)}
    world = a_world(spec("red", ports), spec("blue", {1: (1, 2), 2: (2, 2)}))
    red, blue = Controller(world, "red"), Controller(world, "blue")
    for controller in (red, blue):
        add(controller, flow_mod(match=IP, apply=ct(zone=5) + ct(zone=0)),
            flow_mod(priority=6, match=IP + tlv(CT_ZONE, 5)), flow_mod(priority=7, match=IP + tlv(CT_ZONE, 0)))
    below = {name: world.hv.logical_switches[name].tracking.zones for name in ("red", "blue")}
    assert below == {"red": {0: 1, 5: 2}, "blue": {0: 3, 5: 4}}
    used = [nicira_ct.zone(action) for data in applied(world.switches[1], 10) for _, action in actions.walk(data)
            if nicira_ct.is_ct(action)]
    assert set(used) == {1, 2, 3, 4}
    matched = {(key[1], Match.from_tlvs(key[2]).get(CT_ZONE)) for key in world.switches[1].rules if key[0] == 10}
    assert {each for each in matched if each[1] is not None} == {
        (6, (2, None)), (7, (0, None)), (7, (1, None)), (6, (4, None)), (7, (3, None))}
    assert_equal_to_recompute(world)


def test_a_zone_is_forgotten_before_it_is_anybodys() -> None:
    world, controller = tracking()
    assert forgotten(world, 1) == [1] and forgotten(world, 2) == []
    add(controller, flow_mod(priority=9, match=IP, apply=ct(zone=8)))
    assert forgotten(world, 1) == [1, 2]


def test_a_logical_switch_that_goes_gives_its_zones_back() -> None:
    world, _ = tracking()
    assert world.hv.zones.free == LAST_ZONE - 1
    intent.delete_logical_switch(world.hv, "red", lambda at: None, world.now)
    world.pass_time(5.0)
    assert world.hv.zones.free == LAST_ZONE
    assert not [key for key in world.hv.fabric.labels.used if key[0] == RESUME]


def test_a_home_that_is_away_for_good_is_followed_by_another() -> None:
    world, _ = tracking()
    world.switches[1].disconnect()
    world.pass_time(5.0)
    assert world.hv.logical_switches["red"].view.home == 1
    world.pass_time(10.0)
    assert world.hv.logical_switches["red"].view.home == 2
    assert tracks(world.switches[2]) and not sends_home(world.switches[2], 1) and sends_home(world.switches[3], 1)
    assert forgotten(world, 2) == [1]
    world.switches[1].connect()
    world.pass_time(2.0)
    assert world.hv.logical_switches["red"].view.home == 2, "connections are known there now"
    assert sends_home(world.switches[1], 1) and not tracks(world.switches[1])
    assert_equal_to_recompute(world)


def test_a_home_that_is_cut_off_is_followed_by_another() -> None:
    world = a_world(spec("red", {1: (1, 1), 2: (2, 1), 3: (3, 1), 4: (1, 2)}))
    add(Controller(world, "red"), *FIREWALL, flow_mod(table=1))
    for spine in (0x11, 0x12):
        world.switches[spine].set_port(1, False)
    world.pass_time(1.0)
    ls = world.hv.logical_switches["red"]
    up = {number for number, port in ls.ports.items() if port.up}
    assert ls.view.home in {vif.dpid for number in up if (vif := ls.ports[number].vif) is not None}
    assert_equal_to_recompute(world)


def test_the_last_port_there_takes_the_home_with_it() -> None:
    world, _ = tracking(spec("red", {1: (1, 1), 2: (2, 1), 3: (3, 1)}))
    intent.delete_port(world.hv, "red", 1, lambda at: None, world.now)
    world.pass_time(3.0)
    assert world.hv.logical_switches["red"].view.home == 2
    assert_equal_to_recompute(world)
    for number in (2, 3):
        intent.delete_port(world.hv, "red", number, lambda at: None, world.now)
    world.pass_time(3.0)
    assert world.hv.logical_switches["red"].view.home is None
    intent.put_port(world.hv, "red", port_spec(1, "red1", 3, 4), world.now)
    world.pass_time(3.0)
    assert world.hv.logical_switches["red"].view.home == 3
    assert_equal_to_recompute(world)


def test_more_ports_elsewhere_do_not_move_it() -> None:
    world, _ = tracking(spec("red", {1: (1, 1), 2: (2, 1)}))
    for number, port in ((5, 3), (6, 4)):
        intent.put_port(world.hv, "red", port_spec(number, f"red{number}", 2, port), world.now)
    world.pass_time(2.0)
    ls = world.hv.logical_switches["red"]
    assert ls.view.home == 1 and len(ls.view.at(2)) == 3 and ls.ports[6].up
    assert sends_home(world.switches[2], 4)
    assert_equal_to_recompute(world)


def test_a_port_that_moves_is_decided_upon_at_home_meanwhile() -> None:
    world, _ = tracking(spec("red", {1: (1, 1), 2: (2, 1), 4: (1, 2)}))
    for place in ((3, 1), (1, 5), (2, 5)):
        intent.put_port(world.hv, "red", port_spec(2, "red2", *place), world.now)
        world.pass_time(0.5)
        ls = world.hv.logical_switches["red"]
        assert ls.ports[2].former is not None and ls.view.home == 1
        assert_equal_to_recompute(world)
        world.pass_time(4.0)
        assert ls.ports[2].former is None
        assert_equal_to_recompute(world)


def test_a_restart_changes_nothing_and_forgets_no_connection() -> None:
    world, controller = a_stored_world()
    add(controller, *FIREWALL)
    before = changes(world)
    told = {dpid: forgotten(world, dpid) for dpid in (1, 2, 3)}
    world.restart()
    world.pass_time(3.0)
    assert changes(world) == before and {dpid: forgotten(world, dpid) for dpid in (1, 2, 3)} == told
    ls = world.hv.logical_switches["red"]
    assert (ls.view.home, ls.view.resumes, ls.tracking.zones) == (1, True, {5: 1})
    assert_equal_to_recompute(world)


def test_a_restart_on_the_way_goes_on() -> None:
    world, controller = a_stored_world()
    world.switches[1].hold_barriers = True
    controller.send(FIREWALL[0] + build.barrier_request(7))
    world.run()
    world.switches[1].hold_barriers = False
    world.restart()
    world.pass_time(3.0)
    ls = world.hv.logical_switches["red"]
    assert ls.view.resumes == ls.tracking.in_use
    assert_equal_to_recompute(world)


def test_without_labels_for_the_way_nothing_is_tracked() -> None:
    world = a_world(first_vid=1, last_vid=10)
    controller = Controller(world, "red")
    assert controller.refused(FIREWALL[0]) == (of13.OFPET_FLOW_MOD_FAILED, of13.OFPFMFC_TABLE_FULL)
    assert not world.hv.logical_switches["red"].tracking.in_use
    assert_equal_to_recompute(world)


def test_without_zones_nothing_is_tracked() -> None:
    world, controller = tracking()
    while world.hv.zones.free:
        world.hv.zones.allot()
    assert controller.refused(flow_mod(match=IP, apply=ct(zone=6))) == (
        of13.OFPET_FLOW_MOD_FAILED, of13.OFPFMFC_TABLE_FULL)
    add(controller, flow_mod(priority=8, match=IP, apply=ct(zone=5)))


def test_a_meter_is_whole_at_home() -> None:
    world, controller = tracking()
    add(controller, meter_mod(1, 900), flow_mod(priority=9, meter=1, apply=actions.output(2)))
    (held,) = {decode_rate(world.switches[1])}
    assert held == 900
    assert_equal_to_recompute(world)


def decode_rate(switch: EndSwitch) -> int:
    ((_, bands),) = switch.meters.values()
    return int.from_bytes(bands[4:8], "big")


def test_a_packet_out_is_carried_out_at_home_whatever_its_port() -> None:
    world, controller = tracking()
    for number in (2, 1, of13.OFPP_CONTROLLER):
        controller.send(build.packet_out(9, number, actions.output(of13.OFPP_FLOOD), bytes(60)))
        world.run()
    controller.take()
    (elsewhere, here, nowhere) = (decode_packet_out(message) for message in world.switches[1].packet_outs)
    assert (elsewhere.in_port, here.in_port, nowhere.in_port) == (of13.OFPP_CONTROLLER, 1, of13.OFPP_CONTROLLER)
    (flood,) = actions.groups(elsewhere.actions)
    assert is_kind(flood, GroupKind.FLOOD_FROM)
    assert not world.switches[2].packet_outs


def test_a_packet_out_may_track() -> None:
    world = a_world()
    controller = Controller(world, "red")
    frame = bytes(12) + b"\x08\x00" + bytes(46)
    assert controller.refused(build.packet_out(9, 2, ct(zone=3), bytes(60))) == (
        of13.OFPET_BAD_ACTION, of13.OFPBAC_MATCH_INCONSISTENT)
    controller.send(build.packet_out(9, 2, ct(1, zone=3) + actions.output(3), frame))
    world.run()
    controller.take()
    ls = world.hv.logical_switches["red"]
    assert ls.view.home == 1 and ls.tracking.zones == {3: 1}
    (out,) = world.switches[1].packet_outs
    assert ct(1, zone=1) in out
    assert_equal_to_recompute(world)


def test_controllers_are_told_of_the_connection_in_their_own_zone() -> None:
    world, controller = tracking()
    ls = world.hv.logical_switches["red"]
    entry = next(each for each in ls.tables.entries() if each.table_id == 1)
    cookie = next(cookie for cookie in world.switches[1].cookies(11) if cookie & 0xFFFFFFFF == entry.number)
    state, direction = tlv(CT_STATE, 0x2A, 0xFF), bytes.fromhex("0001ee0106" "0001f0040a000001" "0001f8020000")
    others = IP + tlv(NX, 3) + state + tlv(CT_ZONE, 1) + tlv(CT_MARK, 7) + tlv(CT_LABEL, 9) + direction
    world.switches[1].packet_in(bytes(60), table=11, cookie=cookie, metadata=ls.layout.context(ls.ls_id, 2),
                                others=others)
    world.run()
    (message,) = controller.messages
    controller.messages.clear()
    length = int.from_bytes(message[26:28], "big")
    assert message[28:24 + length] == in_port(2) + others.replace(tlv(CT_ZONE, 1), tlv(CT_ZONE, 5))
    for untracked in (IP + tlv(NX, 3), IP + tlv(CT_ZONE, 1) + tlv(NX, 3)):
        world.switches[1].packet_in(bytes(60), table=11, cookie=cookie, metadata=ls.layout.context(ls.ls_id, 2),
                                    others=untracked)
        world.run()
        (message,) = controller.messages
        controller.messages.clear()
        assert message[28:24 + int.from_bytes(message[26:28], "big")] == in_port(2) + tlv(NX, 3)


def test_no_bucket_tracks() -> None:
    _, controller = tracking()
    assert controller.refused(build.group_mod(3, of13.OFPGC_ADD, of13.OFPGT_ALL, 7, bucket(ct()))) == (
        of13.OFPET_BAD_ACTION, of13.OFPBAC_BAD_TYPE)


def test_switches_without_the_extensions_do_not_track() -> None:
    world = World(spec("red", {1: (1, 1), 2: (2, 1)}))
    world.add_switches(1)
    world.switches[2] = EndSwitch(world, 2, 8)
    world.switches[2].hardware = "another"
    world.switches[2].connect()
    world.pass_time(1.0)
    controller = Controller(world, "red")
    assert controller.refused(FIREWALL[0])[0] == of13.OFPET_BAD_ACTION
    assert world.hv.logical_switches["red"].view.home is None
