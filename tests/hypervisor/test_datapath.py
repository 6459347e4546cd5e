"""A datapath in dialogue with a switch: what it sends when, and what it makes of the answers."""
from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hvproxy.hypervisor.datapath import READ_AGAIN_AFTER, READ_WITHIN, Datapath
from hvproxy.hypervisor.datapath_session import CONFIRM_WITHIN
from hvproxy.hypervisor.datapath_state import State
from hvproxy.hypervisor.lacking import UNTOLD
from hvproxy.model.rules import Change, Group, Rule, RuleKey
from hvproxy.openflow import actions, build
from hvproxy.openflow.constants import of13
from hvproxy.openflow.groups import bucket
from hvproxy.openflow.messages import FlowMod, PacketOut, type_of
from hvproxy.openflow.meters import NO_METERS, MeterMod
from hvproxy.openflow.multipart import Kind
from hvproxy.openflow.ports import PortDesc
from tests.hypervisor.contents import brief, group, meter, put, rule
from tests.hypervisor.switch import FEATURES, FEATURES_OF_METERS, Scene

READS = ["DESC", "GROUP_FEATURES", "METER_FEATURES", "TABLE_FEATURES", "PORT_DESC", "GROUP_DESC", "METER_CONFIG",
         "FLOW"]
TABLE_FULL = (of13.OFPET_FLOW_MOD_FAILED, of13.OFPFMFC_TABLE_FULL)


def ready(*ports: int) -> Scene:
    scene = Scene(*ports)
    scene.settle()
    return scene


# Coming and going

def test_new_switch_is_read_then_ready_behind_a_single_barrier() -> None:
    scene = Scene(1, 2)
    assert not scene.dp.connected and scene.state() is State.LOST
    scene.connect()
    assert scene.state() is State.READING and brief(scene.switch.take_log()) == READS
    scene.pump()
    assert scene.switch.take_log() == ["barrier"]
    assert scene.owner.take() == [("ports", [1, 2]), ("ready",)]
    assert scene.dp.offer.features == FEATURES
    assert scene.dp.offer.desc is not None and scene.dp.offer.desc.software == "s"
    assert scene.dp.offer.group_features is not None and scene.dp.offer.group_features.types == 0xF


def test_desired_content_arrives_groups_ascending_rules_barrier_classify() -> None:
    scene = Scene(1)
    scene.dp.change(put(rule(1, table=0), group(9), rule(2), group(3)), scene.now)
    scene.connect()
    scene.pump()
    assert brief(scene.switch.take_log()) == READS + ["group 3", "group 9", "add 2", "barrier", "add 1", "barrier"]
    assert scene.switch.rules() == scene.dp.desired.rules
    assert scene.switch.group_values() == scene.dp.desired.groups


def test_equal_switch_that_returns_gets_nothing_but_a_barrier() -> None:
    scene = ready(1)
    scene.dp.change(put(*(rule(number) for number in range(10_000)), *(group(n) for n in range(100))), scene.now)
    scene.pump()
    scene.dp.detached(scene.now)
    scene.switch.take_log()
    scene.connect()
    scene.pump()
    assert scene.switch.take_log() == READS + ["barrier"]


def test_returned_switch_gets_the_difference_only() -> None:
    scene = ready(1)
    scene.dp.change(put(rule(1), rule(2), rule(3), group(1), group(2)), scene.now)
    scene.pump()
    scene.dp.detached(scene.now)
    del scene.switch.flows[rule(1).key]
    del scene.switch.groups[group(1).group_id]
    scene.dp.change(Change([group(2, 7)], [rule(2, 7)], [rule(3)]), scene.now)
    scene.switch.take_log()
    scene.connect()
    scene.pump()
    assert brief(scene.switch.take_log()) == READS + ["group 1", "modify 2", "add 1", "add 2", "delete", "barrier"]
    assert scene.switch.rules() == scene.dp.desired.rules
    assert scene.switch.group_values() == scene.dp.desired.groups


def test_change_while_reading_only_alters_what_is_desired() -> None:
    scene = Scene(1)
    scene.connect()
    scene.switch.take_log()
    scene.dp.change(put(rule(1)), scene.now)
    assert scene.switch.log == []
    scene.pump()
    assert brief(scene.switch.log) == ["add 1", "barrier"]


def test_change_while_settling_is_sent_at_once() -> None:
    scene = Scene(1)
    scene.connect()
    while scene.dp.state is State.READING:
        scene.dp.receive(scene.switch.replies.pop(0), scene.now)
    scene.switch.take_log()
    scene.dp.change(put(rule(1)), scene.now)
    assert brief(scene.switch.log) == ["add 1"]


def test_owner_may_change_when_it_hears_of_ports_and_all_is_in_the_difference() -> None:
    scene = Scene(1)
    scene.owner.on_ports = lambda dp, now: dp.change(put(rule(1)), now)
    scene.connect()
    scene.pump()
    assert brief(scene.switch.log[-2:]) == ["add 1", "barrier"] and scene.dp.ready


def test_lost_switch_is_absent_when_the_grace_is_over() -> None:
    scene = ready(1)
    scene.dp.detached(scene.now)
    scene.dp.detached(scene.now)
    assert scene.owner.take() == [("lost",)]
    scene.pass_time(9.9)
    assert scene.owner.take() == [] and sorted(scene.dp.ports) == [1]
    scene.pass_time(0.1)
    assert scene.owner.take() == [("absent",)] and scene.dp.state is State.ABSENT


def test_configured_switch_that_never_comes_is_absent_after_the_grace() -> None:
    scene = Scene()
    scene.pass_time(10)
    assert scene.owner.take() == [("absent",)]


def test_the_grace_of_a_switch_that_cannot_have_come_begins_when_it_can() -> None:
    scene = Scene()
    scene.now += 60
    scene.dp.awaited(scene.now)
    scene.pass_time(9.9)
    assert scene.owner.take() == []
    scene.pass_time(0.1)
    assert scene.owner.take() == [("absent",)]
    scene.dp.awaited(scene.now)
    scene.settle()
    scene.dp.awaited(scene.now)
    assert scene.dp.ready


def test_switch_that_comes_and_goes_before_it_is_ready_does_not_renew_its_grace() -> None:
    scene = ready(1)
    scene.dp.detached(scene.now)
    for _ in range(4):
        scene.pass_time(3)
        if scene.owner.take()[-1:] == [("absent",)]:
            break
        scene.connect()
        scene.dp.detached(scene.now)
    assert scene.now <= 112 and scene.dp.state is State.ABSENT


def test_switch_that_returns_from_absence_and_dies_while_read_is_absent_again_at_once() -> None:
    scene = Scene()
    scene.pass_time(10)
    scene.connect()
    scene.owner.take()
    scene.dp.detached(scene.now)
    assert scene.owner.take() == [("lost",), ("absent",)]


@pytest.mark.parametrize("kind", [Kind.DESC, Kind.GROUP_FEATURES])
def test_switch_may_lack_what_is_optional(kind: Kind) -> None:
    scene = Scene(1)
    scene.switch.refused_kinds = {kind}
    scene.connect()
    scene.pump()
    assert scene.dp.ready and (scene.dp.offer.desc if kind is Kind.DESC else scene.dp.offer.group_features) is None


def test_what_its_tables_can_do_is_known_when_a_switch_is_ready() -> None:
    scene = ready(1)
    tables = scene.dp.offer.tables
    assert tables is not None and of13.OFPAT_PUSH_MPLS in tables.of(39).apply_actions
    scene.dp.detached(scene.now)
    scene.connect()
    assert scene.dp.offer.tables is tables, "what it said last counts until it says something else"
    scene.switch.refused_kinds = {Kind.TABLE_FEATURES}
    scene.dp.detached(scene.now)
    scene.connect()
    scene.pump()
    assert scene.dp.ready and scene.dp.offer.tables is UNTOLD


def test_a_switch_that_is_silent_about_its_tables_is_not_waited_for() -> None:
    scene = Scene(1)
    scene.switch.silent_kinds = {Kind.TABLE_FEATURES}
    scene.connect()
    scene.pump()
    assert scene.dp.ready and scene.dp.offer.tables is None
    scene.pass_time(31.0)
    assert scene.dp.ready and scene.dp.offer.tables is UNTOLD


@pytest.mark.parametrize("kind", [Kind.PORT_DESC, Kind.FLOW, Kind.GROUP_DESC])
def test_switch_that_refuses_what_is_required_is_closed(kind: Kind) -> None:
    scene = Scene(1)
    scene.switch.refused_kinds = {kind}
    scene.connect()
    scene.pump()
    scene.pass_time(60)
    assert [told for told in scene.owner.told if told[0] != "ports"] == [
        ("close", f"it did not answer when asked for {kind.name}")]
    assert scene.dp.state is State.READING and brief(scene.switch.log) == READS
    scene.dp.detached(scene.now)
    assert scene.owner.told[-1] == ("absent",)


def test_switch_that_never_answers_is_closed() -> None:
    scene = Scene(1)
    scene.switch.silent_kinds = {Kind.FLOW}
    scene.connect()
    scene.pump()
    scene.pass_time(READ_WITHIN - 1)
    assert scene.dp.state is State.READING
    scene.owner.take()
    scene.pass_time(60)
    assert [told[0] for told in scene.owner.take()] == ["close"]


def test_switch_that_refuses_barriers_is_closed() -> None:
    scene = Scene(1)
    scene.switch.refuses_barriers = True
    scene.connect()
    scene.pump()
    assert scene.owner.told[1:] == [("close", "it refuses barriers")]


def test_session_given_up_is_not_listened_to_any_more() -> None:
    scene = Scene(1)
    scene.switch.refused_kinds = {Kind.FLOW}
    scene.connect()
    scene.pump()
    scene.owner.take()
    scene.dp.receive(build.packet_in(0, of13.OFP_NO_BUFFER, 5, 1, 10, 7, b"", b"frame"), scene.now)
    assert scene.owner.take() == []


def test_foreign_content_is_left_alone_and_reported() -> None:
    scene = Scene(1)
    foreign = Rule(3, 1, b"", b"", 0x1234)
    scene.switch.receive(build.flow_mod_add(1, *foreign.key, foreign.instructions, foreign.cookie)
                         + build.group_mod(2, of13.OFPGC_ADD, of13.OFPGT_ALL, 77))
    scene.settle()
    assert set(scene.switch.flows) == {foreign.key} and set(scene.switch.groups) == {77}
    level, _, fields = scene.owner.logs[0]
    assert (level, fields["number"]) == ("warning", 2)


# Changes of a ready switch

def test_identical_content_is_not_sent() -> None:
    scene = ready(1)
    scene.dp.change(put(rule(1), group(1)), scene.now)
    scene.switch.take_log()
    scene.dp.change(put(rule(1), group(1)), scene.now)
    scene.dp.change(Change(drop_rules=[rule(8)], drop_groups=[8]), scene.now)
    assert scene.switch.log == []


def test_rule_of_the_same_cookie_is_overwritten_and_keeps_its_counters() -> None:
    scene = ready(1)
    scene.dp.change(put(rule(1)), scene.now)
    scene.dp.change(put(rule(1, port=2)), scene.now)
    assert brief(scene.switch.log) == ["add 1", "add 1"]
    assert all(isinstance(m, FlowMod) and not m.flags & of13.OFPFF_RESET_COUNTS for m in scene.switch.log)


def test_rule_of_another_cookie_is_replaced_even_when_the_old_one_is_dropped_too() -> None:
    scene = ready(1)
    scene.dp.change(put(rule(1)), scene.now)
    scene.switch.take_log()
    scene.dp.change(Change(put_rules=[rule(2, place=1)], drop_rules=[rule(1)]), scene.now)
    assert brief(scene.switch.log) == ["delete", "add 2"]
    assert scene.dp.desired.rules == scene.switch.rules() == {rule(1).key: rule(2, place=1)}


def test_drop_does_not_touch_a_rule_that_took_over_the_key() -> None:
    scene = ready(1)
    scene.dp.change(put(rule(1)), scene.now)
    scene.dp.change(put(rule(2, place=1)), scene.now)
    scene.switch.take_log()
    scene.dp.change(Change(drop_rules=[rule(1)]), scene.now)
    assert scene.switch.log == [] and scene.dp.desired.rules == {rule(1).key: rule(2, place=1)}


def test_only_rules_of_logical_switches_report_their_removal() -> None:
    scene = ready(1)
    scene.dp.change(put(rule(1, ls_id=3), rule(2, ls_id=0)), scene.now)
    assert [m.flags for m in scene.switch.log if isinstance(m, FlowMod)] == [of13.OFPFF_SEND_FLOW_REM, 0]


# Refusals

def test_refusal_finds_its_origin_once_and_before_the_confirmation() -> None:
    scene = ready(1)
    scene.switch.refuse = lambda m: TABLE_FULL if isinstance(m, FlowMod) and m.cookie & 0xff == 2 else None
    for number in (1, 2, 3):
        scene.dp.change(put(rule(number)), scene.now, origin=f"origin {number}")
    scene.dp.confirm(lambda now: scene.owner.told.append(("confirmed",)), scene.now)
    scene.pump()
    assert scene.owner.take() == [("refused", "origin 2", rule(2), TABLE_FULL), ("confirmed",)]


def test_first_of_many_unconfirmed_flow_mods_still_finds_its_origin() -> None:
    scene = ready(1)
    scene.switch.refuse = lambda m: TABLE_FULL if isinstance(m, FlowMod) and not m.cookie & 0xffff else None
    for number in range(20_000):
        scene.dp.change(put(rule(number)), scene.now, origin=number)
    scene.pump()
    assert scene.owner.take() == [("refused", 0, rule(0), TABLE_FULL)]


def test_refused_replacement_leaves_the_old_rule_so_restoring_it_sends_nothing() -> None:
    scene = ready(1)
    scene.dp.change(put(rule(1)), scene.now)
    scene.switch.refuse = lambda m: TABLE_FULL
    scene.owner.on_refused = lambda dp, origin, now: dp.change(put(rule(1)), now)
    scene.dp.change(put(rule(1, port=2)), scene.now)
    scene.pump()
    scene.switch.take_log()
    assert scene.dp.desired.rules == scene.switch.rules() == {rule(1).key: rule(1)}
    scene.dp.change(put(rule(1)), scene.now)
    assert scene.switch.log == []


def test_refused_removal_is_reported_and_the_rule_counts_as_installed() -> None:
    scene = ready(1)
    scene.dp.change(put(rule(1)), scene.now)
    scene.switch.refuse = lambda m: (1, 6)
    scene.dp.change(Change(drop_rules=[rule(1)]), scene.now, origin="o")
    scene.pump()
    assert scene.owner.take() == [("refused", "o", rule(1), (1, 6))]
    scene.switch.take_log()
    scene.dp.change(put(rule(1)), scene.now)
    assert scene.switch.log == []


def test_refusal_after_the_connection_was_lost_still_finds_its_origin() -> None:
    scene = ready(1)
    scene.dp.change(put(rule(1)), scene.now, origin="sent and lost")
    scene.switch.flows.clear()
    scene.dp.detached(scene.now)
    scene.dp.change(put(rule(2)), scene.now, origin="never sent")
    scene.switch.refuse = lambda m: TABLE_FULL
    scene.owner.take()
    scene.connect()
    scene.pump()
    assert {told[1] for told in scene.owner.take() if told[0] == "refused"} == {"never sent", "sent and lost"}


def test_refused_packet_out_finds_its_origin() -> None:
    scene = ready(1)
    scene.switch.refuse = lambda m: (of13.OFPET_BAD_REQUEST, of13.OFPBRC_BUFFER_UNKNOWN)
    scene.dp.send_packet_out(of13.OFPP_CONTROLLER, actions.output(1), b"frame", scene.now, "o")
    assert isinstance(scene.switch.log[0], PacketOut) and scene.switch.log[0].data == b"frame"
    scene.pump()
    assert scene.owner.take() == [("refused", "o", None, (1, 8))]


def test_group_too_large_for_a_message_is_refused_before_the_confirmation() -> None:
    scene = ready(1)
    large = Group(group(1).group_id, of13.OFPGT_ALL, bucket(actions.output(1)) * 2_048)
    scene.dp.change(put(large), scene.now, origin="o")
    scene.dp.confirm(lambda now: scene.owner.told.append(("confirmed",)), scene.now)
    assert scene.switch.take_log() == ["barrier"]
    scene.pump()
    assert scene.owner.take() == [("refused", "o", large, (6, of13.OFPGMFC_OUT_OF_BUCKETS)), ("confirmed",)]


def test_error_about_nothing_we_sent_is_reported_to_the_operator_only() -> None:
    scene = ready(1)
    scene.dp.receive(build.error(0xdead, 1, 1), scene.now)
    assert scene.owner.take() == [] and scene.owner.logs[-1][0] == "warning"


# Confirmation

def test_confirm_is_at_once_when_nothing_is_outstanding() -> None:
    scene = ready(1)
    scene.confirm("a")
    assert scene.told == ["a"] and scene.switch.log == [] and not scene.dp.unconfirmed


def test_confirm_waits_for_a_barrier_and_later_ones_join_it() -> None:
    scene = ready(1)
    scene.dp.change(put(rule(1)), scene.now)
    scene.confirm("a")
    scene.confirm("b")
    assert brief(scene.switch.log) == ["add 1", "barrier"] and scene.told == [] and scene.dp.unconfirmed
    scene.dp.change(put(rule(2)), scene.now)
    scene.confirm("c")
    assert brief(scene.switch.log) == ["add 1", "barrier", "add 2", "barrier"]
    scene.dp.receive(scene.switch.replies.pop(0), scene.now)
    assert scene.told == ["a", "b"]
    scene.pump()
    assert scene.told == ["a", "b", "c"] and not scene.dp.unconfirmed


def test_barrier_follows_by_itself_once() -> None:
    scene = ready(1)
    scene.dp.change(put(rule(1)), scene.now)
    scene.pass_time(CONFIRM_WITHIN - 0.01)
    assert brief(scene.switch.log) == ["add 1"]
    scene.pass_time(5)
    assert brief(scene.switch.log) == ["add 1", "barrier"]
    scene.pump()
    assert not scene.dp.unconfirmed


def test_confirm_of_a_lost_switch_waits_for_its_reconciliation_in_order() -> None:
    scene = ready(1)
    scene.dp.change(put(rule(1)), scene.now)
    scene.confirm("sent before")
    scene.dp.detached(scene.now)
    scene.confirm("asked when lost")
    scene.connect()
    scene.confirm("asked when reading")
    assert scene.told == []
    scene.pump()
    assert scene.told == ["sent before", "asked when lost", "asked when reading"]


def test_confirm_of_an_absent_switch_is_at_once() -> None:
    scene = ready(1)
    scene.dp.detached(scene.now)
    scene.confirm("waits")
    scene.pass_time(10)
    assert scene.told == ["waits"]
    scene.confirm("asked when absent")
    assert scene.told == ["waits", "asked when absent"]


# Ports

def test_port_status_keeps_the_ports() -> None:
    scene = ready(1)
    for message in (
        build.port_status(of13.OFPPR_ADD, PortDesc(2, bytes(6), "p2")),
        build.port_status(of13.OFPPR_MODIFY, PortDesc(2, bytes(6), "p2")),
        build.port_status(of13.OFPPR_ADD, PortDesc(of13.OFPP_LOCAL, bytes(6), "br0")),
        build.port_status(of13.OFPPR_DELETE, PortDesc(1, bytes(6), "p1")),
        build.port_status(of13.OFPPR_DELETE, PortDesc(1, bytes(6), "p1")),
    ):
        scene.dp.receive(message, scene.now)
    assert scene.owner.take() == [("ports", [1, 2]), ("ports", [2])]


@pytest.mark.parametrize("config, state, up", [
    (0, 0, True), (of13.OFPPC_PORT_DOWN, 0, False), (0, of13.OFPPS_LINK_DOWN, False), (of13.OFPPC_NO_FWD, 4, True)])
def test_port_is_up_unless_administration_or_link_is_down(config: int, state: int, up: bool) -> None:
    scene = ready(1)
    scene.dp.receive(build.port_status(of13.OFPPR_MODIFY, PortDesc(1, bytes(6), "p1", config, state)), scene.now)
    assert scene.dp.port_up(1) is up and not scene.dp.port_up(2)


# What is passed on, and asked

def test_packets_are_passed_on_as_they_came() -> None:
    scene = Scene(1)
    scene.connect()
    message = build.packet_in(0, of13.OFP_NO_BUFFER, 5, 1, 10, 7, b"", b"frame")
    scene.dp.receive(message, scene.now)
    assert scene.owner.take() == [("packet", message)]


def test_request_gathers_all_parts() -> None:
    scene = ready(1)
    scene.dp.change(put(*(rule(number) for number in range(1_000))), scene.now)
    scene.pump()
    answers: list[list[bytes] | None] = []
    body = build.flow_stats_request(0)[16:]
    scene.dp.request(Kind.FLOW, body, lambda parts, now: answers.append(parts), scene.now)
    assert len(scene.switch.replies) > 1
    scene.pump()
    assert answers[0] is not None and len(b"".join(answers[0])) == 1_000 * 88


def test_request_that_cannot_be_answered_yields_none() -> None:
    scene = ready(1)
    answers: list[tuple[str, object]] = []

    def ask(name: str, kind: Kind) -> None:
        scene.dp.request(kind, b"", lambda parts, now: answers.append((name, parts)), scene.now)

    scene.switch.refused_kinds, scene.switch.silent_kinds = {Kind.TABLE}, {Kind.DESC}
    ask("refused", Kind.TABLE)
    scene.pump()
    ask("silent", Kind.DESC)
    scene.pass_time(60)
    ask("lost", Kind.DESC)
    scene.dp.detached(scene.now)
    ask("not connected", Kind.DESC)
    assert answers == [("refused", None), ("silent", None), ("lost", None), ("not connected", None)]


# Other hands

def test_rule_removed_by_another_hand_is_noticed_and_mended() -> None:
    scene = ready(1)
    scene.dp.change(put(rule(1), rule(2), rule(3, ls_id=0)), scene.now)
    scene.dp.confirm(lambda now: None, scene.now)
    scene.pump()
    for key in list(scene.switch.flows):
        scene.switch.remove(key)
    scene.pump()
    scene.switch.take_log()
    scene.pass_time(READ_AGAIN_AFTER)
    scene.confirm("mended")
    assert scene.dp.state is State.READING and scene.told == []
    scene.pump()
    assert brief(scene.switch.log) == [
        "PORT_DESC", "GROUP_DESC", "METER_CONFIG", "FLOW", "add 1", "add 2", "add 3", "barrier"]
    assert scene.dp.ready and scene.told == ["mended"]


def test_rules_we_removed_or_replaced_ourselves_are_not_missed() -> None:
    scene = ready(1)
    scene.dp.change(put(rule(1), rule(2), rule(3)), scene.now)
    scene.dp.change(Change(put_rules=[rule(4, place=2)], drop_rules=[rule(1), rule(3)]), scene.now)
    scene.dp.change(put(rule(3)), scene.now)
    scene.dp.confirm(lambda now: None, scene.now)
    scene.pump()
    assert [told[0] for told in scene.owner.take()] == ["removed"] * 3
    scene.switch.take_log()
    scene.pass_time(60)
    assert scene.switch.log == [] and scene.dp.ready


def test_a_removal_told_after_the_same_rule_came_back_does_not_hide_that_rule() -> None:
    """Open vSwitch may tell of it after the reply of a barrier that stands behind both."""
    scene = ready(1)
    scene.dp.change(put(rule(1)), scene.now)
    scene.dp.change(Change(drop_rules=[rule(1)]), scene.now)
    scene.dp.change(put(rule(1)), scene.now)
    scene.dp.confirm(lambda now: None, scene.now)
    scene.switch.replies.sort(key=lambda message: message[1] == of13.OFPT_FLOW_REMOVED)
    scene.pump()
    assert scene.switch.flows and [told[0] for told in scene.owner.take()] == ["removed"]
    scene.dp.change(Change(drop_rules=[rule(1)]), scene.now)
    assert not scene.switch.flows
    scene.switch.take_log()
    scene.pass_time(60)
    assert scene.switch.log == ["barrier"] and scene.dp.ready


def test_connection_lost_while_reading_again_gets_the_full_grace() -> None:
    scene = ready(1)
    scene.dp.change(put(rule(1)), scene.now)
    scene.dp.confirm(lambda now: None, scene.now)
    scene.pump()
    scene.pass_time(60)
    scene.switch.remove(rule(1).key)
    scene.pump()
    scene.pass_time(READ_AGAIN_AFTER)
    assert scene.state() is State.READING
    scene.dp.detached(scene.now)
    scene.pass_time(9)
    assert scene.state() is State.LOST


# Everything at once

CONTENT = st.one_of(
    st.builds(rule, st.integers(1, 3), st.integers(1, 2), st.sampled_from([0, 10]), st.integers(0, 1),
              st.integers(1, 3)),
    st.builds(group, st.integers(1, 3), st.integers(1, 2)),
)
STEPS = st.lists(st.one_of(
    st.tuples(st.just("put"), st.lists(CONTENT, max_size=3)),
    st.tuples(st.just("drop"), st.lists(CONTENT, max_size=3)),
    st.tuples(st.sampled_from(["pump", "confirm", "reconnect", "wait", "full"]), st.just([])),
), max_size=30)


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_whatever_happens_the_switch_ends_up_with_what_is_desired(steps: list[tuple[str, list[Rule | Group]]]) -> None:
    scene = Scene(1)
    wanted_rules: dict[RuleKey, Rule] = {}
    wanted_groups: dict[int, Group] = {}
    confirmations = 0

    def give_up(dp: Datapath, origin: object, now: float) -> None:
        """What its owner does about a refused rule: it is no longer wanted."""
        told = scene.owner.told[-1]
        assert isinstance(told[2], Rule)
        if dp.desired.rules.get(told[2].key) == told[2]:
            dp.change(Change(drop_rules=[told[2]]), now)

    scene.owner.on_refused = give_up
    scene.connect()
    for name, contents in steps:
        if name == "put":
            scene.dp.change(put(*contents), scene.now)
            wanted_groups.update((c.group_id, c) for c in contents if isinstance(c, Group))
            wanted_rules.update((c.key, c) for c in contents if isinstance(c, Rule))
        elif name == "drop":
            rules = [c for c in contents if isinstance(c, Rule)]
            groups = [c.group_id for c in contents if isinstance(c, Group)]
            scene.dp.change(Change(drop_rules=rules, drop_groups=groups), scene.now)
            for dropped in rules:
                if dropped.key in wanted_rules and wanted_rules[dropped.key].cookie == dropped.cookie:
                    del wanted_rules[dropped.key]
            for group_id in groups:
                wanted_groups.pop(group_id, None)
        elif name == "pump":
            scene.pump()
        elif name == "confirm":
            scene.confirm("confirmed")
            confirmations += 1
        elif name == "reconnect":
            scene.dp.detached(scene.now)
            scene.connect()
        elif name == "wait":
            scene.pass_time(1)
        else:
            scene.switch.refuse = lambda m: (
                TABLE_FULL if isinstance(m, FlowMod) and m.command == of13.OFPFC_ADD and len(scene.switch.flows) > 2
                and (m.table_id, m.priority, m.match[4:]) not in scene.switch.flows else None)
    scene.confirm("confirmed")
    scene.pump()
    assert scene.dp.ready and not scene.dp.unconfirmed
    assert scene.told == ["confirmed"] * (confirmations + 1)
    assert scene.switch.rules() == scene.dp.desired.rules
    assert scene.switch.group_values() == scene.dp.desired.groups == wanted_groups
    if not any(name == "full" for name, _ in steps):
        assert scene.dp.desired.rules == wanted_rules


def test_meters_are_read_adopted_and_mended_in_place() -> None:
    scene = Scene()
    scene.dp.change(put(meter(1), meter(2), meter(3)), scene.now)
    scene.settle()
    scene.dp.detached(scene.now)
    scene.switch.meters[2] = scene.switch.meters[1]
    scene.switch.meters[9] = scene.switch.meters[3]
    del scene.switch.meters[3]
    scene.connect()
    scene.pump()
    assert scene.dp.ready and scene.dp.offer.meter_features == FEATURES_OF_METERS
    assert brief(scene.switch.take_log()) == [*READS, "remeter 2", "meter 3", "unmeter 9", "barrier"]
    assert scene.switch.meter_values() == {number: meter(number) for number in (1, 2, 3)}


def test_a_switch_that_refuses_to_tell_of_meters_has_none() -> None:
    scene = Scene()
    scene.switch.refused_kinds = {Kind.METER_FEATURES, Kind.METER_CONFIG}
    scene.dp.change(put(rule(1)), scene.now)
    scene.settle()
    assert scene.dp.offer.meter_features == NO_METERS


def test_meter_waiting_for_its_switch_keeps_its_origin() -> None:
    scene = Scene()
    scene.switch.refuse = lambda mod: (12, 10) if isinstance(mod, MeterMod) else None
    scene.dp.change(put(meter(1)), scene.now, "origin")
    scene.connect()
    scene.pump()
    assert ("refused", "origin", meter(1), (12, 10)) in scene.owner.take()


def test_zones_are_forgotten_at_once_or_before_a_switch_is_used_again() -> None:
    scene = Scene(1)
    sent: list[bytes] = []

    def forgotten() -> list[bytes]:
        told = [message[-2:] for message in sent if type_of(message) == of13.OFPT_EXPERIMENTER]
        sent.clear()
        return told

    scene.dp.attached(sent.append, FEATURES, scene.now)
    scene.dp.forget_connections(5, scene.now)
    assert forgotten() == [b"\0\5"]
    scene.dp.detached(scene.now)
    for zone in (7, 6, 7):
        scene.dp.forget_connections(zone, scene.now)
    scene.dp.attached(sent.append, FEATURES, scene.now)
    assert forgotten() == [b"\0\6", b"\0\7"]
    scene.dp.detached(scene.now)
    scene.dp.attached(sent.append, FEATURES, scene.now)
    assert forgotten() == []
