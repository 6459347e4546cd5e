from hypothesis import given
from hypothesis import strategies as st

from hvproxy.hypervisor.counters import LATEST, Counters, TableCounters


def counting(*numbers: int) -> Counters:
    counters = Counters()
    for number in numbers:
        counters.watch(number)
    return counters


def test_the_last_counts_of_a_rule_count_once_whenever_they_come() -> None:
    """An entry has two rules on an edge, one of which is removed after it has counted 5 packets."""
    for early in (False, True):
        counters = Counters()
        counters.watch(7)
        counters.reported(1, {7: (8, 800)})
        if not early:
            counters.reported(1, {7: (4, 400)}, leaving={7}, now=1.0)
            assert counters.total(7) == (8, 800)
        counters.rule_removed(1, 7, (5, 500))
        counters.reported(1, {7: (4, 400)})
        assert counters.total(7) == (9, 900)


def test_a_rule_that_never_tells_its_last_counts_does_not_stop_the_others() -> None:
    counters = Counters()
    counters.watch(7)
    for now, told in ((1.0, 0), (1.0 + LATEST / 2, 0), (1.0 + LATEST, 6)):
        counters.reported(1, {7: (6, 600)}, leaving={7}, now=now)
        assert counters.total(7)[0] == told
    counters.reported(1, {7: (7, 700)})
    counters.reported(1, {7: (8, 800)}, leaving={7}, now=5.0)
    assert counters.total(7)[0] == 7


def test_a_total_is_the_sum_over_edges() -> None:
    counters = counting(7)
    counters.reported(1, {7: (3, 300)})
    counters.reported(2, {7: (2, 200)})
    counters.reported(1, {7: (4, 400)})
    assert counters.total(7) == (6, 600)


def test_a_switch_that_started_anew_keeps_what_it_counted_before() -> None:
    counters = counting(7)
    counters.reported(1, {7: (5, 500)})
    assert counters.reported(1, {7: (2, 200)}) == {7}
    assert counters.total(7) == (7, 700)


def test_a_switch_that_does_not_report_an_entry_keeps_what_it_counted() -> None:
    counters = counting(7)
    counters.reported(1, {7: (5, 500)})
    counters.reported(1, {})
    assert counters.total(7) == (5, 500)


def test_what_a_removed_rule_counted_last_replaces_what_was_reported_of_it() -> None:
    counters = counting(7)
    counters.reported(1, {7: (5, 500)})
    counters.rule_removed(1, 7, (8, 800))
    assert counters.total(7) == (8, 800)


def test_of_several_rules_the_others_go_on() -> None:
    counters = counting(7)
    counters.reported(1, {7: (5, 500)})  # one rule 3, another 2
    counters.rule_removed(1, 7, (3, 300))
    assert counters.total(7) == (5, 500)
    counters.reported(1, {7: (6, 600)})  # the other has 6 now
    assert counters.total(7) == (9, 900)


def test_only_grown_packet_counts_are_told() -> None:
    counters = counting(7, 8)
    assert counters.reported(1, {7: (5, 500), 8: (0, 0)}) == {7}
    assert counters.reported(1, {7: (5, 500), 8: (1, 60)}) == {8}


def test_what_is_not_watched_is_not_counted_nor_kept() -> None:
    counters = counting()
    counters.reported(1, {7: (5, 500)})
    counters.rule_removed(1, 7, (5, 500))
    assert counters.total(7) == (0, 0)
    assert len(counters) == 0


def test_carried_numbers_count_for_the_new_one_and_late_counts_too() -> None:
    counters = counting(1, 2)
    counters.reported(1, {1: (5, 500), 2: (2, 200)})
    counters.carry(1, 3)
    counters.carry(2, 3)
    counters.watch(3)
    counters.reported(1, {3: (1, 100)})
    counters.rule_removed(1, 1, (6, 600))
    assert counters.total(3) == (9, 900)


def test_carried_numbers_are_forgotten_together() -> None:
    counters = counting(1, 2)
    counters.carry(1, 2)
    counters.carry(2, 3)
    counters.forget(3)
    assert len(counters) == 0


def test_carrying_a_number_to_itself_does_nothing() -> None:
    counters = counting(1)
    counters.reported(1, {1: (5, 500)})
    counters.carry(1, 1)
    assert counters.total(1) == (5, 500)


@given(st.lists(st.tuples(st.sampled_from(["report", "remove", "reboot"]), st.integers(1, 2), st.integers(0, 9))))
def test_totals_never_decrease(events: list[tuple[str, int, int]]) -> None:
    """One rule on each of two edges, which counts, reboots, goes and comes again."""
    counters = counting(7)
    shown = {1: 0, 2: 0}
    told = 0
    for what, edge, more in events:
        if what == "report":
            shown[edge] += more
            counters.reported(edge, {7: (shown[edge], 0)})
        elif what == "remove":
            shown[edge] += more
            counters.rule_removed(edge, 7, (shown[edge], 0))
            shown[edge] = 0
        else:
            shown[edge] = 0
        assert counters.total(7)[0] >= told
        told = counters.total(7)[0]


def test_a_table_is_looked_up_as_often_as_packets_enter_or_are_sent_there() -> None:
    tables = TableCounters(3)
    looked_up, matched = tables.totals([(0, 2, 5), (0, None, 1), (2, None, 4)], entered=9)
    assert (looked_up, matched) == ([9, 0, 5], [6, 0, 4])


def test_table_counts_keep_entries_and_ports_that_are_gone() -> None:
    tables = TableCounters(2)
    before = tables.totals([(0, 1, 5), (1, None, 4)], entered=9)
    tables.entry_gone(0, 1, 5)
    tables.entry_gone(1, None, 4)
    tables.port_gone(9)
    assert tables.totals([], entered=0) == before


def test_lookups_do_not_decrease_when_an_entry_is_redirected() -> None:
    tables = TableCounters(3)
    tables.totals([(0, 1, 5)], entered=5)
    assert tables.totals([(0, 2, 5)], entered=5)[0] == [5, 5, 5]


def test_what_an_edge_counted_is_kept_when_it_counts_anew_under_another_name() -> None:
    counters = Counters()
    counters.watch("in")
    counters.report((1, 0), "in", (5, 50))
    counters.settle((1, 0))
    counters.report((1, 1), "in", (7, 70))
    assert counters.total("in") == (12, 120)
    counters.settle((9, 9))
    assert counters.total("in") == (12, 120)


def test_what_has_counted_is_taken_once_with_what_it_carries() -> None:
    counters = counting(7, 8, 9)
    counters.carry(9, 7)
    counters.reported(1, {7: (1, 1), 8: (1, 1), 9: (1, 1)})
    assert counters.changed([7]) == [7, 9] and counters.changed([5]) == [] and counters.changed() == [7, 8, 9]
    assert counters.take(9) and not counters.take(9)
    assert counters.changed([7]) == [7] and counters.take_changed(10) == [7, 8] and counters.changed() == []


def test_whatever_changes_is_taken_as_a_whole_once() -> None:
    counters = counting(7)
    assert not counters.take_any()
    counters.report(1, 7, (1, 1))
    assert counters.take_any() and not counters.take_any()
    counters.settle(1)
    assert counters.take_any() and not counters.take_any()


def test_who_asks_is_given_what_is_forgotten_until_the_question_is_answered() -> None:
    counters = counting(7, 8)
    counters.report(1, 7, (3, 300))
    first, second = counters.ask(), counters.ask()
    counters.forget(7)
    counters.answered(first)
    counters.forget(8)
    assert first == {7: (3, 300)} and second == {7: (3, 300), 8: (0, 0)}
