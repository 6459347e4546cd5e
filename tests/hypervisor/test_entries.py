from math import inf

from hvproxy.hypervisor.entries import Edit, EditKind, Entry
from hvproxy.openflow.constants import of13
from hvproxy.openflow.instructions import parse
from hvproxy.openflow.oxm import Match
from tests.hypervisor.flow_mod_messages import apply_actions, goto, group, in_port, output, write_actions


def entry(instructions: bytes = b"", match: bytes = b"", priority: int = 1, idle: int = 0, hard: int = 0,
          flags: int = 0) -> Entry:
    return Entry(1, 0, priority, Match.from_tlvs(match), parse(instructions), 7, idle, hard, flags, 100.0)


def test_outputs_and_groups_are_those_of_both_action_lists() -> None:
    one = entry(apply_actions(output(1), group(5), output(0xfffffffd)) + write_actions(output(2), group(6)))
    assert one.output_ports == {1, 2, 0xfffffffd}
    assert one.groups == {5, 6}


def test_new_instructions_replace_the_outputs() -> None:
    one = entry(apply_actions(output(1), group(5)))
    one.instructions = parse(goto(3))
    assert (one.output_ports, one.groups) == (frozenset(), frozenset())


def test_table_miss_is_priority_zero_with_an_empty_match() -> None:
    assert entry(priority=0).is_table_miss
    assert not entry(priority=1).is_table_miss
    assert not entry(priority=0, match=in_port(1)).is_table_miss


def test_no_timeout_no_deadline() -> None:
    assert entry().deadline == inf
    assert entry().expiry_reason(1e12) is None


def test_hard_timeout_counts_from_the_last_modification() -> None:
    one = entry(hard=10)
    one.modified = 103.0
    assert one.deadline == 113.0
    assert one.expiry_reason(112.9) is None
    assert one.expiry_reason(113.0) == of13.OFPRR_HARD_TIMEOUT


def test_idle_timeout_counts_from_the_last_packet() -> None:
    one = entry(idle=10, hard=50)
    one.used = 105.0
    assert one.deadline == 115.0
    assert one.expiry_reason(114.9) is None
    assert one.expiry_reason(115.0) == of13.OFPRR_IDLE_TIMEOUT


def test_hard_is_the_reason_when_both_have_passed() -> None:
    assert entry(idle=10, hard=20).expiry_reason(200.0) == of13.OFPRR_HARD_TIMEOUT


def test_entries_are_told_apart_by_identity() -> None:
    assert entry() != entry()


def test_an_edit_tells_the_number_under_which_reset_counters_were_kept() -> None:
    one = entry()
    before = one.snapshot()
    assert Edit(EditKind.MODIFIED, one, before, one.snapshot()).reset_number is None
    one.number = 9
    assert Edit(EditKind.MODIFIED, one, before, one.snapshot()).reset_number == 1
    assert Edit(EditKind.ADDED, one).reset_number is None
