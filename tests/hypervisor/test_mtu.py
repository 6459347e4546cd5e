"""The MTU of logical ports, as far as databases tell, and what is said where an underlay is too small."""
from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hvproxy.hypervisor import report
from hvproxy.hypervisor.mtu import TOO_SMALL, UNKNOWN
from tests.harness import World
from tests.hypervisor.databases_end import EndDatabase, a_world, logged
from tests.hypervisor.tunnel_world import TunnelDatabase, TunnelWorld
from tests.ovsdb.rows import Contents, Vif

UPLINK, BELOW = "tap1", "tap2"
"""Interfaces of Contents: an access port, then the end of a link, or what a tunnel's packets leave by."""


def mtus(world: World) -> list[int | None]:
    return [world.hv.mtus.of("red", number).mtu for number in world.hv.logical_switches["red"].ports]


def alarms(world: World) -> list[tuple[Any, ...]]:
    keys = ("logical_switch", "ports", "dpid", "interface", "allow", "has", "needs", "carries")
    return [tuple(fields[key] for key in keys) for fields in logged(world, TOO_SMALL)]


def test_nothing_is_known_without_databases_nor_before_they_tell() -> None:
    assert UNKNOWN.mtu is UNKNOWN.advice is UNKNOWN.too_small is None
    assert mtus(a_world()) == [None, None]


def over_links(uplink: int | None, *access: int | None) -> World:
    """Two VIFs on datapaths 1 and 2; of the two uplinks of datapath 1 one has an MTU too."""
    world = a_world("unix:/a", "unix:/b")
    EndDatabase(world, "unix:/a", Contents([Vif("a", 3, mtu=access[0]), Vif(None, 7, mtu=uplink)], {"br": 1})).connect()
    EndDatabase(world, "unix:/b", Contents([Vif("b", 3, mtu=access[1])], {"br": 2})).connect()
    world.pass_time(3.0)
    return world


def test_over_vlan_links_as_much_passes_as_their_interfaces_allow() -> None:
    world = over_links(9000, 1500, None)
    assert mtus(world) == [1500, 9000]
    assert not alarms(world)


def test_what_is_not_told_narrows_nothing() -> None:
    assert mtus(over_links(None, 1500, 1400)) == [1500, 1400]


def test_an_uplink_that_is_narrower_than_an_access_port_is_an_alarm_that_says_what_to_do() -> None:
    world = over_links(1400, 1500, 1300)
    assert mtus(world) == [1400, 1300]
    assert alarms(world) == [("red", [1], "0000000000000001", UPLINK, 1500, 1400, 1500, 1400)]
    rows = report.ports(world.hv, "red")
    assert [(row["mtu"], row["mtu_advice"]) for row in rows] == [
        (1400, "tap1 of 0000000000000001 has an MTU of 1400: give it 1500, or the host 1400 instead of 1500"),
        (1300, None)]
    world.pass_time(5.0)
    assert len(alarms(world)) == 1, "it is said once"


@pytest.mark.parametrize("kind, more", [("gre", 42), ("vxlan", 50), ("geneve", 50)])
def test_a_tunnel_takes_its_headers_of_the_interface_that_its_packets_leave_by(kind: str, more: int) -> None:
    world = TunnelWorld(1, 2, encapsulation=kind).start()
    for database in world.databases.values():
        below(database, 1500)
    world.pass_time(2.0)
    assert mtus(world) == [1500 - more] * 2
    assert [(each[0], each[1], each[3:]) for each in alarms(world)] == [
        ("red", [1, 2], (BELOW, 1500, 1500, 1500 + more, 1500 - more))], "of both ends the first is told"
    for database in world.databases.values():
        below(database, 1500 + more)
    world.pass_time(2.0)
    assert mtus(world) == [1500, 1500]
    assert [row["mtu_advice"] for row in report.ports(world.hv, "red")] == [None, None]
    assert len(alarms(world)) == 1
    below(world.databases[2], 1400)
    world.pass_time(2.0)
    assert mtus(world) == [1400 - more] * 2
    assert len(alarms(world)) == 2


def below(database: TunnelDatabase, mtu: int) -> None:
    """Its access port allows 1500; tunnels' packets leave by an interface of another bridge."""
    database.become(replace(
        database.contents, dpids={**database.contents.dpids, "phys": None}, vifs=[
            Vif(None, 9, bridge="phys"), Vif(None, 1, mtu=1500), Vif(None, 1, bridge="phys", mtu=mtu)],
        tunnels=[replace(each, egress=BELOW) for each in database.contents.tunnels]))


def test_it_is_computed_only_when_something_has_changed() -> None:
    world = over_links(1400, 1500, 1300)
    before = world.hv.mtus.ports
    world.pass_time(5.0)
    assert world.hv.mtus.ports is before
    assert before == world.hv.mtus.compute(world.hv.logical_switches.values())
    world.hv.mtus.look({})
    assert not world.hv.mtus.ports
