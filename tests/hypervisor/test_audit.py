"""A ready switch is compared with what it should hold: drift is found and put right, what changes meanwhile is not."""
from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hvproxy.hypervisor.audit import Drift
from hvproxy.model.rules import Rule
from hvproxy.openflow import actions, build
from hvproxy.openflow.constants import of13
from hvproxy.openflow.groups import bucket
from hvproxy.openflow.multipart import Kind
from tests.hypervisor.contents import brief, group, meter, put, rule
from tests.hypervisor.switch import Scene

FOREIGN = Rule(3, 1, b"", b"", 0x1234)


def in_use() -> Scene:
    """A ready switch with two of everything."""
    scene = Scene(1)
    scene.settle()
    scene.dp.change(put(*(make(n) for make in (rule, group, meter) for n in (1, 2))), scene.now)
    scene.dp.confirm(lambda now: None, scene.now)
    scene.pump()
    scene.switch.take_log()
    return scene


def begun(scene: Scene, remove_foreign: bool = False) -> list[Drift | None]:
    """An audit, whose answers wait in the switch; the outcome stands here once there is one."""
    found: list[Drift | None] = []
    scene.dp.audit(remove_foreign, lambda drift, now: found.append(drift), scene.now)
    return found


def audited(scene: Scene, remove_foreign: bool = False) -> Drift:
    found = begun(scene, remove_foreign)
    scene.pump()
    (drift,) = found
    assert drift is not None
    return drift


def is_right(scene: Scene) -> bool:
    return (scene.switch.rules() == scene.dp.desired.rules and scene.switch.group_values() == scene.dp.desired.groups
            and scene.switch.meter_values() == scene.dp.desired.meters)


def test_a_switch_that_is_as_it_should_be_gets_questions_only() -> None:
    scene = in_use()
    drift = audited(scene)
    assert (drift.repaired, drift.foreign_total) == (0, 0)
    assert brief(scene.switch.log) == ["GROUP_DESC", "METER_CONFIG", "FLOW"] and scene.dp.ready


def test_what_is_gone_is_put_back_and_what_is_changed_is_put_right() -> None:
    scene = in_use()
    wrong = rule(2, port=7)
    del scene.switch.flows[rule(1).key], scene.switch.groups[group(1).group_id], scene.switch.meters[1]
    scene.switch.receive(
        build.flow_mod_add(1, *wrong.key, wrong.instructions, wrong.cookie)
        + build.group_mod(2, of13.OFPGC_MODIFY, of13.OFPGT_ALL, group(2).group_id, bucket(actions.output(9)))
        + build.meter_mod(3, of13.OFPMC_MODIFY, 0, 2, meter(5).bands))
    drift = audited(scene)
    assert drift.missing == [rule(1), group(1), meter(1)] and drift.changed == [rule(2), group(2), meter(2)]
    scene.pump()
    assert is_right(scene)
    assert audited(scene).repaired == 0


def test_what_has_our_mark_and_no_use_is_taken_away() -> None:
    scene = in_use()
    scene.switch.receive(build.flow_mod_add(1, *rule(9).key, rule(9).instructions, rule(9).cookie)
                         + build.group_mod(2, of13.OFPGC_ADD, group(9).type, group(9).group_id, group(9).buckets))
    assert audited(scene).extra == [rule(9), group(9)]
    scene.pump()
    assert is_right(scene)


def test_what_is_not_ours_is_told_and_left_unless_it_is_to_go() -> None:
    scene = in_use()
    scene.switch.receive(build.flow_mod_add(1, *FOREIGN.key, FOREIGN.instructions, FOREIGN.cookie)
                         + build.group_mod(2, of13.OFPGC_ADD, of13.OFPGT_ALL, 77))
    drift = audited(scene)
    assert (len(drift.foreign), drift.foreign_total, drift.repaired) == (2, 2, 0) and not is_right(scene)
    drift = audited(scene, remove_foreign=True)
    assert (len(drift.foreign), drift.foreign_total, drift.repaired) == (2, 2, 0)
    scene.pump()
    assert is_right(scene)


@given(st.lists(st.tuples(st.sampled_from(("put", "drop")), st.sampled_from((1, 2, 3))), max_size=6), st.booleans())
def test_what_changes_while_the_switch_is_read_is_no_drift(changes: list[tuple[str, int]], answered: bool) -> None:
    scene = in_use()
    found = begun(scene)
    replies, scene.switch.replies = scene.switch.replies, []
    for what, number in changes:
        if what == "put":
            scene.dp.change(put(rule(number, port=number + len(changes)), group(number)), scene.now)
        else:
            change = put()
            change.drop_rules, change.drop_groups = [rule(number)], [group(number).group_id]
            scene.dp.change(change, scene.now)
    if answered:
        scene.dp.confirm(lambda now: None, scene.now)
        scene.pump()
    later, scene.switch.replies = scene.switch.replies, replies
    scene.pump()
    (drift,) = found
    assert drift is not None and drift.repaired == 0
    scene.switch.replies += later
    scene.pump()
    assert is_right(scene)


def test_what_was_put_right_is_told_when_the_switch_has_confirmed_it() -> None:
    scene = in_use()
    del scene.switch.flows[rule(1).key]
    found = begun(scene)
    while not scene.switch.flows.get(rule(1).key):
        scene.dp.receive(scene.switch.replies.pop(0), scene.now)
    assert found == []
    scene.pump()
    assert [None if drift is None else drift.repaired for drift in found] == [1]


def test_there_is_no_outcome_when_the_session_ends_or_a_question_is_refused() -> None:
    scene = in_use()
    found = begun(scene)
    scene.dp.detached(scene.now)
    assert found == [None]
    assert begun(scene) == [None]
    scene.settle()
    scene.switch.refused_kinds = {Kind.GROUP_DESC}
    found = begun(scene)
    scene.pump()
    assert found == [None] and scene.dp.ready


def test_a_switch_that_has_no_meters_is_compared_without() -> None:
    scene = Scene(1)
    scene.switch.refused_kinds = {Kind.METER_CONFIG}
    scene.settle()
    scene.dp.change(put(rule(1)), scene.now)
    scene.dp.confirm(lambda now: None, scene.now)
    scene.pump()
    assert audited(scene).repaired == 0
