"""The life of a bundle; tests/system/test_bundles_against_ovs compares it with Open vSwitch, what a commit does is in
test_commits."""
from __future__ import annotations

import pytest

from hvproxy.hypervisor.bundles import IDLE, MOST_BYTES
from hvproxy.openflow import actions, build, bundles
from hvproxy.openflow.bundles import BundleError, ControlType
from hvproxy.openflow.constants import NICIRA_ID, ONF_ID, of13
from hvproxy.openflow.experimenters import kind_of
from hvproxy.openflow.groups import bucket
from tests.harness import Controller
from tests.hypervisor.worlds import flow_mod, red

OPEN, _, CLOSE, _, COMMIT, _, DISCARD, _ = ControlType
FLOW = flow_mod(xid=6, apply=actions.output(2))
BUCKET = bucket(actions.output(2))


def group_mod(group_type: int, buckets: bytes, command: int = of13.OFPGC_ADD) -> bytes:
    return build.group_mod(6, command, group_type, 7, buckets)


def control(controller: Controller, kind: int, number: int = 1, flags: int = 1) -> int:
    """The type of the reply, or the code of the ONF's error."""
    controller.send(bundles.control(5, number, kind, flags))
    controller.world.run()
    (reply,) = controller.messages
    controller.messages.clear()
    assert reply[4:8] == b"\0\0\0\5"
    if reply[1] == of13.OFPT_ERROR:
        assert reply[8:10] + reply[12:16] == b"\xff\xffONF\0"
        return int.from_bytes(reply[10:12], "big")
    told = bundles.decode_control(reply)
    assert (kind_of(reply), told.bundle_id, told.flags) == ((ONF_ID, 2300), number, 0)
    return told.type


def added(controller: Controller, message: bytes, number: int = 1, flags: int = 1) -> tuple[int, ...] | None:
    """The error that adding a message gets."""
    controller.send(bundles.add(6, number, flags, message))
    controller.world.run()
    if not controller.messages:
        return None
    (error,) = controller.take("ERROR")
    assert error.xid == 6
    if error.type == of13.OFPET_EXPERIMENTER:
        return error.type, error.exp_type, error.experimenter
    return error.type, error.code


def onf(code: BundleError) -> tuple[int, ...]:
    return of13.OFPET_EXPERIMENTER, code, ONF_ID


def test_a_bundle_is_opened_closed_and_committed_once() -> None:
    _, controller = red()
    assert [control(controller, kind) for kind in (OPEN, CLOSE, COMMIT)] == [1, 3, 5]
    assert control(controller, COMMIT) == BundleError.BAD_ID


@pytest.mark.parametrize("kind", [CLOSE, COMMIT, DISCARD])
def test_what_is_not_open_has_a_bad_id(kind: int) -> None:
    _, controller = red()
    assert control(controller, kind) == BundleError.BAD_ID
    assert control(controller, OPEN) == 1
    assert control(Controller(controller.world, "red"), kind) == BundleError.BAD_ID


@pytest.mark.parametrize(("kinds", "flags", "error"), [
    ([OPEN], 1, BundleError.BAD_ID),
    ([CLOSE], 3, BundleError.BAD_FLAGS),
    ([COMMIT], 3, BundleError.BAD_FLAGS),
    ([CLOSE, CLOSE], 1, BundleError.BUNDLE_CLOSED),
])
def test_a_bundle_ends_with_an_error(kinds: list[int], flags: int, error: int) -> None:
    _, controller = red()
    control(controller, OPEN)
    for kind in kinds[:-1]:
        control(controller, kind)
    assert control(controller, kinds[-1], flags=flags) == error
    assert control(controller, DISCARD) == BundleError.BAD_ID


@pytest.mark.parametrize("kind", [1, 3, 5, 7])
def test_answers_are_no_requests(kind: int) -> None:
    _, controller = red()
    assert control(controller, kind) == BundleError.BAD_TYPE


def test_types_that_are_none_are_answered_as_open_vswitch_does() -> None:
    _, controller = red()
    assert [control(controller, kind) for kind in (8, 99)] == [0, 0]


def test_what_is_discarded_changes_nothing() -> None:
    world, controller = red()
    control(controller, OPEN)
    assert added(controller, FLOW) is None
    assert control(controller, DISCARD) == 7
    assert not len(world.hv.logical_switches["red"].tables)


def test_adding_opens_a_bundle() -> None:
    _, controller = red()
    assert added(controller, FLOW) is None
    assert control(controller, COMMIT) == 5


def test_nothing_is_added_to_a_closed_bundle_or_with_other_flags() -> None:
    _, controller = red()
    control(controller, OPEN)
    control(controller, CLOSE)
    assert added(controller, FLOW) == onf(BundleError.BUNDLE_CLOSED)
    assert added(controller, FLOW) is None
    assert added(controller, FLOW, flags=3) == onf(BundleError.BAD_FLAGS)
    assert control(controller, COMMIT) == BundleError.BAD_ID


@pytest.mark.parametrize(("message", "error"), [
    (FLOW[:-4], onf(BundleError.MSG_BAD_LEN)),
    (b"\4\x0e\0", onf(BundleError.MSG_BAD_LEN)),
    (b"", onf(BundleError.MSG_BAD_LEN)),
    (b"\4\x0e\0\4" + FLOW[4:], onf(BundleError.MSG_BAD_LEN)),
    (b"\1" + FLOW[1:], (of13.OFPET_EXPERIMENTER, 10, NICIRA_ID)),
    (flow_mod(xid=7), onf(BundleError.MSG_BAD_XID)),
    (build.barrier_request(6), onf(BundleError.MSG_UNSUP)),
    (build.role_request(6, 2, 0), onf(BundleError.MSG_UNSUP)),
    (b"\4\x0e\0\x0c\0\0\0\6" + bytes(4), onf(BundleError.MSG_UNSUP)),
    (b"\4\x10\0\x30\0\0\0\6" + bytes(40), onf(BundleError.MSG_UNSUP)),
    (flow_mod(xid=6, apply=actions.output(0xFF00)), (of13.OFPET_BAD_ACTION, of13.OFPBAC_BAD_OUT_PORT)),
    (build.port_mod(6, 0x10000, bytes(6), 0, 0, 0), (of13.OFPET_BAD_ACTION, of13.OFPBAC_BAD_OUT_PORT)),
    (flow_mod(xid=6, table=9), (of13.OFPET_BAD_REQUEST, of13.OFPBRC_BAD_TABLE_ID)),
    (flow_mod(xid=6, table=254), (of13.OFPET_BAD_REQUEST, of13.OFPBRC_EPERM)),
    (build.packet_out(6, of13.OFPP_CONTROLLER, actions.output(0xFF00), b"data"),
     (of13.OFPET_BAD_ACTION, of13.OFPBAC_BAD_OUT_PORT)),
    (group_mod(of13.OFPGT_INDIRECT, BUCKET + BUCKET), (of13.OFPET_GROUP_MOD_FAILED, of13.OFPGMFC_INVALID_GROUP)),
    (group_mod(of13.OFPGT_INDIRECT, b""), (of13.OFPET_GROUP_MOD_FAILED, of13.OFPGMFC_INVALID_GROUP)),
    (group_mod(9, BUCKET), (of13.OFPET_GROUP_MOD_FAILED, of13.OFPGMFC_BAD_TYPE)),
    (group_mod(of13.OFPGT_FF, BUCKET), (of13.OFPET_GROUP_MOD_FAILED, of13.OFPGMFC_INVALID_GROUP)),
    (group_mod(of13.OFPGT_ALL, BUCKET, 9), (of13.OFPET_GROUP_MOD_FAILED, of13.OFPGMFC_BAD_COMMAND)),
])
def test_what_is_wrong_by_itself_is_refused_and_the_bundle_stays(message: bytes, error: tuple[int, ...]) -> None:
    _, controller = red()
    control(controller, OPEN)
    assert added(controller, message) == error
    assert added(controller, FLOW + b"anything") is None
    assert control(controller, COMMIT) == 5


def test_a_bundle_that_nothing_is_added_to_is_forgotten_and_that_is_told() -> None:
    world, controller = red()
    control(controller, OPEN)
    world.pass_time(IDLE / 2)
    assert added(controller, FLOW) is None
    world.pass_time(IDLE - 1)
    assert controller.take() == []
    world.pass_time(2)
    (error,) = controller.take("ERROR")
    assert (error.type, error.exp_type, error.xid) == (of13.OFPET_EXPERIMENTER, BundleError.TIMEOUT, 5)
    assert control(controller, COMMIT) == BundleError.BAD_ID


def test_bundles_end_with_their_connection() -> None:
    world, controller = red()
    control(controller, OPEN)
    controller.disconnect()
    world.pass_time(IDLE + 1)
    assert world.hv.logical_switches["red"].bundles.deadline == float("inf")


def test_one_connection_cannot_fill_the_memory() -> None:
    _, controller = red()
    big = flow_mod(xid=6, apply=actions.output(2) * 4000)
    fit = MOST_BYTES // len(bundles.add(6, 1, 1, big))
    assert [added(controller, big, number=n % 3) for n in range(fit)] == [None] * fit
    assert added(controller, big) == onf(BundleError.MSG_TOO_MANY)


def test_one_connection_cannot_have_everybody_wait_for_a_long_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hvproxy.hypervisor.bundles.MOST_MESSAGES", 7)
    _, controller = red()
    assert [added(controller, FLOW, number=n % 2) for n in range(7)] == [None] * 7
    assert added(controller, FLOW, number=3) == onf(BundleError.MSG_TOO_MANY)
    assert control(controller, COMMIT, 0) == ControlType.COMMIT_REPLY
    assert added(controller, FLOW, number=3) is None


def test_one_connection_has_so_many_bundles_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hvproxy.hypervisor.bundles.MOST_BUNDLES", 2)
    world, controller = red()
    assert control(controller, OPEN, 1) == ControlType.OPEN_REPLY and added(controller, FLOW, number=2) is None
    assert control(controller, OPEN, 3) == BundleError.OUT_OF_BUNDLES
    assert added(controller, FLOW, number=3) == onf(BundleError.OUT_OF_BUNDLES)
    assert control(Controller(world, "red"), OPEN, 3) == ControlType.OPEN_REPLY
    assert control(controller, DISCARD, 1) == ControlType.DISCARD_REPLY
    assert control(controller, OPEN, 3) == ControlType.OPEN_REPLY


def test_a_slave_has_no_bundles() -> None:
    _, controller = red()
    controller.ask(build.role_request(1, of13.OFPCR_ROLE_SLAVE, 1))
    is_slave = (of13.OFPET_BAD_REQUEST, of13.OFPBRC_IS_SLAVE)
    assert controller.refused(bundles.control(5, 1, OPEN, 1)) == is_slave
    assert controller.refused(bundles.add(6, 1, 1, FLOW)) == is_slave
