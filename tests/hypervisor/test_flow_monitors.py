"""What flow monitors tell; tests/system/test_flow_monitors_against_ovs compares it with Open vSwitch."""
from __future__ import annotations

from struct import pack

import pytest

from hvproxy.openflow import actions, build, flow_monitor
from hvproxy.openflow.constants import NICIRA_ID, ONF_ID, of13
from hvproxy.openflow.experimenters import Onf, onf
from hvproxy.openflow.flow_monitor import Event, Flag
from hvproxy.openflow.groups import bucket
from hvproxy.openflow.multipart import Kind, multipart_request
from hvproxy.openflow.oxm import ofp_match
from tests.harness import Controller, World
from tests.hypervisor.worlds import add, flow_mod, in_port, red

ALL = int(Flag.INITIAL | Flag.ADD | Flag.DELETE | Flag.MODIFY | Flag.ACTIONS | Flag.OWN)
NOT_OWN = ALL & ~Flag.OWN
ADDED, DELETED, MODIFIED, ABBREVIATED = Event
MODIFY, DELETE = of13.OFPFC_MODIFY, of13.OFPFC_DELETE


def one(monitor_id: int, flags: int = ALL, match: bytes = b"", table: int = 255, out_port: int = of13.OFPP_ANY,
        zeros: bytes = bytes(3)) -> bytes:
    return pack("!IHHIB", monitor_id, flags, 4 + len(match), out_port, table) + zeros + ofp_match(match)


def request(*monitors: bytes) -> bytes:
    return multipart_request(5, Kind.EXPERIMENTER, pack("!II", ONF_ID, Onf.FLOW_MONITOR) + b"".join(monitors))


def updates(controller: Controller, xid: int = 0) -> list[tuple[int, int, int, int]]:
    """(event, reason or xid, cookie, length of the instructions) of every update that has come, messages forgotten."""
    controller.world.run()
    found = []
    for message in controller.messages:
        assert (message[1], message[4:8]) == (of13.OFPT_MULTIPART_REPLY, xid.to_bytes(4, "big")), message.hex()
        at = 24
        while at < len(message):
            length, event, reason = int.from_bytes(message[at:at + 2]), message[at + 3], message[at + 5]
            if event == ABBREVIATED:
                found.append((event, int.from_bytes(message[at + 4:at + 8]), 0, 0))
            else:
                match = int.from_bytes(message[at + 12:at + 14])
                found.append((event, reason, int.from_bytes(message[at + 16:at + 24]),
                              length - 24 - (match + 7 & ~7)))
            at += length
    controller.messages.clear()
    return found


def watched(flags: int = ALL, **fields: int) -> tuple[World, Controller, Controller]:
    """A world, who changes it, and who watches."""
    world, controller = red()
    watcher = Controller(world, "red")
    watcher.send(request(one(1, flags, **fields)))  # type: ignore[arg-type]
    assert updates(watcher, 5) == []
    return world, controller, watcher


def test_what_there_is_is_told_at_first() -> None:
    world, controller = red()
    add(controller, flow_mod(cookie=1, apply=actions.output(2)), flow_mod(cookie=2, table=3, write=actions.output(2)),
        flow_mod(cookie=3, match=in_port(1), apply=actions.output(3)))
    for monitors, wanted in (
        ([one(1)], [1, 3, 2]), ([one(2, table=3)], [2]), ([one(3, out_port=2)], [1, 2]),
        ([one(4, match=in_port(1))], [3]), ([one(5, ALL & ~Flag.INITIAL)], []),
        ([one(6, table=3), one(7, table=0)], [2, 1, 3]), ([one(8, table=200)], []), ([], []),
    ):
        controller.send(request(*monitors))
        assert [cookie for _, _, cookie, _ in updates(controller, 5)] == wanted


def test_instructions_are_told_where_asked_for() -> None:
    world, controller = red()
    add(controller, flow_mod(cookie=1, apply=actions.output(2)))
    controller.send(request(one(1)))
    assert updates(controller, 5) == [(ADDED, 0, 1, 24)]
    controller.send(request(one(2, ALL & ~Flag.ACTIONS)))
    assert updates(controller, 5) == [(ADDED, 0, 1, 0)]


def test_changes_are_told_as_they_happen() -> None:
    world, controller, watcher = watched()
    for message, wanted in (
        (flow_mod(cookie=1, apply=actions.output(2)), [(ADDED, 0, 1, 24)]),
        (flow_mod(cookie=2, apply=actions.output(2)), [(ADDED, 0, 2, 24)]),
        (flow_mod(command=MODIFY, apply=actions.output(3)), [(MODIFIED, 0, 2, 24)]),
        (flow_mod(command=MODIFY, apply=actions.output(3)), []),
        (flow_mod(command=DELETE), [(DELETED, of13.OFPRR_DELETE, 2, 24)]),
    ):
        controller.send(message)
        assert updates(watcher) == wanted


def test_only_what_is_watched_is_told() -> None:
    world, controller, watcher = watched(int(Flag.ADD | Flag.DELETE | Flag.OWN), out_port=2, table=1)
    for message, wanted in (
        (flow_mod(cookie=1, table=1, apply=actions.output(3)), []),
        (flow_mod(cookie=2, table=0, apply=actions.output(2)), []),
        (flow_mod(cookie=3, table=1, apply=actions.output(2)), [(ADDED, 0, 3, 0)]),
        (flow_mod(command=MODIFY, table=1, apply=actions.output(2) * 2), []),
        (flow_mod(command=DELETE, table=255), [(DELETED, of13.OFPRR_DELETE, 3, 0)]),
    ):
        controller.send(message)
        assert updates(watcher) == wanted


def test_a_modification_is_told_where_the_port_was_or_is() -> None:
    world, controller, watcher = watched(out_port=2)
    controller.send(flow_mod(cookie=1, apply=actions.output(2)))
    controller.send(flow_mod(command=MODIFY, apply=actions.output(3)))
    controller.send(flow_mod(command=MODIFY, apply=actions.output(4)))
    controller.send(flow_mod(command=MODIFY, apply=actions.output(2)))
    assert [event for event, *_ in updates(watcher)] == [ADDED, MODIFIED, MODIFIED]


def test_one_s_own_changes_are_told_in_short_unless_asked_for() -> None:
    world, controller = red()
    controller.send(request(one(1, NOT_OWN)))
    assert updates(controller, 5) == []
    controller.send(flow_mod(xid=0x77, apply=actions.output(2)) + flow_mod(xid=0x78, priority=8))
    controller.send(flow_mod(xid=0x79, command=DELETE))
    assert updates(controller) == [(ABBREVIATED, xid, 0, 0) for xid in (0x77, 0x78, 0x79)]


def test_timeouts_and_deleted_groups_are_told_with_their_reason() -> None:
    world, controller, watcher = watched()
    add(controller, build.group_mod(1, of13.OFPGC_ADD, of13.OFPGT_INDIRECT, 3, bucket(actions.output(2))),
        flow_mod(cookie=1, hard_timeout=1, apply=actions.output(2)),
        flow_mod(cookie=2, priority=9, apply=actions.group(3)))
    updates(watcher)
    world.pass_time(1.5)
    assert updates(watcher) == [(DELETED, of13.OFPRR_HARD_TIMEOUT, 1, 24)]
    add(controller, build.group_mod(1, of13.OFPGC_DELETE, of13.OFPGT_INDIRECT, 3))
    assert updates(watcher) == [(DELETED, of13.OFPRR_GROUP_DELETE, 2, 16)]


def test_what_a_datapath_refuses_is_told_as_undone() -> None:
    world, controller, watcher = watched()
    world.switches[2].refuse = (of13.OFPET_FLOW_MOD_FAILED, of13.OFPFMFC_TABLE_FULL)
    controller.send(flow_mod(cookie=1, apply=actions.output(2)))
    assert [(event, cookie) for event, _, cookie, _ in updates(watcher)] == [(ADDED, 1), (DELETED, 1)]


def refusal(controller: Controller, message: bytes) -> tuple[int, ...]:
    error = controller.ask(message)
    if error.type == of13.OFPET_EXPERIMENTER:
        assert error.experimenter == NICIRA_ID
        return error.type, error.exp_type
    return error.type, error.code


@pytest.mark.parametrize(("monitors", "error"), [
    ([one(1, 0)], (0xFFFF, 7)),
    ([one(1, int(Flag.INITIAL))], (0xFFFF, 7)),
    ([one(1, 0x42)], (0xFFFF, 7)),
    ([one(1, zeros=b"\0\0\1")], (0xFFFF, 4)),
    ([one(1), one(1)], (0xFFFF, 6)),
    ([one(1, out_port=0xFF00)], (of13.OFPET_BAD_ACTION, of13.OFPBAC_BAD_OUT_PORT)),
    ([one(1), one(2, 0)], (0xFFFF, 7)),
])
def test_bad_requests_are_refused_and_begin_nothing(monitors: list[bytes], error: tuple[int, int]) -> None:
    world, controller = red()
    assert refusal(controller, request(*monitors)) == error
    controller.send(flow_mod(apply=actions.output(2)))
    assert updates(controller) == []
    controller.send(request(one(1)))
    assert len(updates(controller, 5)) == 1


def test_ids_are_a_connections_own_and_end_with_it() -> None:
    world, controller, watcher = watched()
    controller.send(request(one(1)))
    assert updates(controller, 5) == []
    assert refusal(watcher, request(one(1))) == (0xFFFF, 6)
    watcher.send(onf(6, Onf.FLOW_MONITOR, (1).to_bytes(4, "big")))
    assert refusal(watcher, onf(7, Onf.FLOW_MONITOR, (1).to_bytes(4, "big"))) == (0xFFFF, 8)
    controller.disconnect()
    watcher.send(flow_mod(apply=actions.output(2)))
    assert updates(watcher) == []


def test_who_does_not_take_updates_is_told_later_what_still_holds() -> None:
    world, controller, watcher = watched()
    add(controller, flow_mod(cookie=1, priority=1), flow_mod(cookie=2, priority=2), flow_mod(cookie=3, priority=3))
    updates(watcher)
    world.hv.congested(watcher.conn, True, world.now)
    add(controller, flow_mod(cookie=4, priority=4))
    world.run()
    assert watcher.messages == [flow_monitor.paused()]
    watcher.messages.clear()
    add(controller, flow_mod(cookie=5, priority=5),
        flow_mod(command=of13.OFPFC_MODIFY_STRICT, priority=1, apply=actions.output(2)),
        flow_mod(command=of13.OFPFC_MODIFY_STRICT, priority=4, apply=actions.output(2)),
        flow_mod(cookie=33, priority=3), flow_mod(command=of13.OFPFC_DELETE_STRICT, priority=5))
    assert watcher.messages == []
    add(controller, flow_mod(command=of13.OFPFC_DELETE_STRICT, priority=2))
    assert updates(watcher) == [(DELETED, of13.OFPRR_DELETE, 2, 0)]
    world.hv.congested(watcher.conn, False, world.now)
    world.run()
    assert watcher.messages.pop() == flow_monitor.resumed()
    assert sorted(updates(watcher)) == [(ADDED, 0, 4, 24), (ADDED, 0, 33, 0), (MODIFIED, 0, 1, 24)]
    add(controller, flow_mod(command=DELETE))
    assert len(updates(watcher)) == 3
