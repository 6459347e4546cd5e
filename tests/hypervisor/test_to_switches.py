"""What is handed down reaches the datapaths it names, and is confirmed by those that must confirm."""
from __future__ import annotations

from dataclasses import replace

from hvproxy.model.rules import Change, Rule
from tests.hypervisor.worlds import red


def test_confirmed_by_nobody_is_confirmed() -> None:
    world, _ = red()
    told: list[float] = []
    world.hv.confirm([], told.append, world.now)
    assert told == [world.now]


def test_all_must_confirm_but_who_is_away_only_where_it_counts() -> None:
    world, _ = red()
    world.switches[1].disconnect()
    for dpid in (1, 2):
        change = next(iter(world.hv.switches.datapaths[dpid].desired.rules.values()))
        world.hv.change({dpid: _again(change)}, world.now)
    told: list[str] = []
    world.hv.confirm([1, 2], lambda now: told.append("all"), world.now)
    world.hv.confirm_connected([1, 2], lambda now: told.append("connected"), world.now)
    world.run()
    assert told == ["connected"]
    world.switches[1].connect()
    world.pass_time(1.0)
    assert told == ["connected", "all"]


def test_what_a_datapath_should_hold_is_known() -> None:
    world, _ = red()
    rule = next(iter(world.hv.switches.datapaths[1].desired.rules.values()))
    assert world.hv.holds(1, rule) and not world.hv.holds(1, replace(rule, cookie=5))
    assert world.hv.ready(1) and not world.hv.ready(99)
    assert len(world.hv.switch_tables([1, 2])) == 1 and world.hv.meter_features([1]).max_meter
    assert world.hv.group_features([1]) == set(), "its switches do not tell of groups"


def _again(rule: Rule) -> Change:
    """The rule with other instructions."""
    return Change(put_rules=[replace(rule, instructions=b"")])
