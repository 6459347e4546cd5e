from hvproxy.hypervisor.gather import all_of
from hvproxy.openflow import actions, build
from hvproxy.openflow.constants import of13
from hvproxy.openflow.multipart import GroupStats, PortStats
from tests.harness import Controller, World
from tests.hypervisor.worlds import a_world, flow_mod

Told = list[tuple[object, float]]


def red() -> tuple[World, Told]:
    return a_world(), []


def ask_entries(world: World, told: Told, ls_id: int, dpids: list[int], now: float) -> None:
    """What each datapath has said goes to `told` once all have answered."""
    found: dict[int, object] = {}
    world.hv.entry_counts(ls_id, dpids, lambda dpid, counts, at: found.update({dpid: counts}),
                          lambda at: told.append((found, at)), now)


def test_all_of_calls_once_after_the_last_part() -> None:
    called: list[float] = []
    one = all_of(3, called.append, 1.0)
    one(2.0)
    one(3.0)
    assert called == []
    one(4.0)
    assert called == [4.0]


def test_all_of_nothing_is_done_at_once() -> None:
    called: list[float] = []
    all_of(0, called.append, 1.0)
    assert called == [1.0]


def test_the_rules_of_an_entry_are_summed_per_datapath_and_those_of_others_left_out() -> None:
    world, told = red()
    controller = Controller(world, "red")
    controller.send(flow_mod(apply=actions.output(2)) + build.barrier_request(1))
    controller.take("BARRIER_REPLY")
    rules = len(world.switches[1].cookies())
    number = world.switches[1].cookies()[0] & 0xFFFFFFFF
    assert rules == 3  # sub-ports have rules of their own
    world.switches[1].count(10, 2, 200)
    ask_entries(world, told, 1, [1, 3], world.now)
    world.run()
    ((found, _),) = told
    assert isinstance(found, dict) and found.keys() == {1, 3}
    assert found[1][number] == (6, 600) and found[3][number] == (0, 0)
    ask_entries(world, told, 9, [1], world.now)
    world.run()
    assert told[1][0] == {1: {}}


def test_the_rules_that_deliver_labels_are_not_counted_as_arrivals_from_hosts() -> None:
    world, told = red()
    world.switches[1].count(1, 50, 5000)
    ask_entries(world, told, 1, [1], world.now)
    world.run()
    assert all(count == (0, 0) for count in told[0][0][1].values())  # type: ignore[index]


def test_ports_are_asked_one_by_one_and_only_of_datapaths_that_are_there() -> None:
    world, told = red()
    world.switches[1].port_counts = {1: {"rx_packets": 4}, 2: {"rx_packets": 5}}
    world.switches[3].disconnect()
    world.hv.port_counts([(1, 1), (3, 1), (9, 1)], lambda found, at: told.append((found, at)), world.now)
    world.run()
    assert told[0][0] == {(1, 1): PortStats(1, rx_packets=4)}


def test_groups_are_found_by_their_place() -> None:
    world, told = red()
    group_id = min(world.switches[1].groups)
    world.switches[1].group_counts[group_id] = (3, 300)
    world.hv.group_counts([(1, group_id), (1, 0xA0000000)], lambda found, at: told.append((found, at)), world.now)
    world.run()
    (found,) = [found for found, _ in told]
    assert isinstance(found, dict) and found.keys() == {(1, group_id)}
    assert isinstance(found[1, group_id], GroupStats) and found[1, group_id].packets == 3


def test_nothing_to_ask_is_answered_at_once() -> None:
    world, told = red()
    for ask in (world.hv.port_counts, world.hv.group_counts):
        ask([], lambda found, at: told.append((found, at)), 5.0)
    ask_entries(world, told, 1, [], 5.0)
    assert told == [({}, 5.0)] * 3


def test_a_datapath_that_is_lost_while_asked_does_not_hold_up_the_others() -> None:
    world, told = red()
    world.switches[2].silent = True
    ask_entries(world, told, 1, [1, 2], world.now)
    world.run()
    assert told == []
    world.switches[2].disconnect()
    assert told[0][0].keys() == {1}  # type: ignore[attr-defined]


def test_statistics_of_the_wrong_kind_of_answer_are_not_mistaken() -> None:
    """An error is no report: what was counted before stays."""
    world, told = red()
    world.switches[2].silent = True
    ask_entries(world, told, 1, [2], world.now)
    world.run()
    (request,) = world.switches[2].unanswered
    xid = int.from_bytes(request[4:8], "big")
    world.switches[2].send(build.error(xid, of13.OFPET_BAD_REQUEST, of13.OFPBRC_BAD_MULTIPART))
    world.run()
    assert told[0][0] == {}
