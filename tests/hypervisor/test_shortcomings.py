"""What switches lack, and when an operator is told."""
from __future__ import annotations

from hvproxy.hypervisor import intent, report
from hvproxy.hypervisor.shortcomings import LACKS
from hvproxy.openflow.constants import of13
from tests.harness import EndSwitch, World, described_tables, spec


def test_what_a_switch_lacks_is_told_and_raises_one_alarm() -> None:
    world = World(spec("red", {1: (1, 1)}))
    world.switches[1] = EndSwitch(world, 1, 8)
    world.switches[1].tables = described_tables(without_actions=(of13.OFPAT_POP_VLAN,))
    world.switches[1].connect()
    world.pass_time(2.0)
    assert [row["missing"] for row in report.datapaths(world.hv)] == [["action pop_vlan in tables 0 to 1"]]
    assert world.hv.switches.alarms == {LACKS: 1}
    world.switches[1].disconnect()
    world.switches[1].tables = described_tables(17)
    world.switches[1].connect()
    world.pass_time(2.0)
    assert world.hv.switches.alarms == {LACKS: 2}
    world.switches[1].disconnect()
    world.switches[1].tables = described_tables()
    world.switches[1].connect()
    world.pass_time(2.0)
    assert [row["missing"] for row in report.datapaths(world.hv)] == [[]]
    assert world.hv.switches.alarms == {LACKS: 2}


def test_what_no_logical_switch_needs_there_is_lacked_when_one_comes() -> None:
    world = World()
    world.switches[1] = EndSwitch(world, 1, 8)
    world.switches[1].tables = described_tables(17)
    world.switches[1].connect()
    world.pass_time(2.0)
    before = world.hv.shortcomings.of(world.hv.switches.datapaths[1])
    assert world.hv.shortcomings.of(world.hv.switches.expect(2, world.now)) == []
    alarms = dict(world.hv.switches.alarms)
    intent.create_logical_switch(world.hv, spec("red", {1: (1, 1)}), world.now)
    world.pass_time(2.0)
    assert world.hv.shortcomings.of(world.hv.switches.datapaths[1]) != before
    assert world.hv.switches.alarms[LACKS] == alarms.get(LACKS, 0) + 1
