"""Of several places of a VIF: the first, unless the operator prefers another or drains its switch, if that is up."""
from __future__ import annotations

from hvproxy.hypervisor.drains import ALL
from hvproxy.model.hosts import Mac
from hvproxy.model.intent import AttachSpec
from hvproxy.model.view import Vif as Bound
from tests.harness import World
from tests.hypervisor.databases_end import EndDatabase, a_world
from tests.ovsdb.rows import Contents, Vif

A = AttachSpec(iface_id="a", vlan=3)


def one(*vifs: Vif) -> tuple[World, EndDatabase]:
    world = a_world()
    return world, EndDatabase(world, "unix:/db", Contents(list(vifs), {"br": 1, "br2": 2, "away": 99})).connect()


def test_a_place_is_what_the_operator_or_a_database_says() -> None:
    world, _ = one(Vif("a", 5))
    of = world.hv.places.of
    assert of("red", None) is None
    assert of("red", AttachSpec(datapath=1, port="s1-1")) == (1, "s1-1")
    assert of("red", A) == (1, 5) and of("red", AttachSpec(iface_id="x")) is None


def test_the_operator_may_prefer_one_of_several_that_is_up() -> None:
    world, _ = one(Vif("a", 5), Vif("a", 6, "br2"), Vif("a", 3, "away"))
    of = world.hv.places.of
    assert of("red", A) == (1, 5)
    assert of("red", AttachSpec(iface_id="a", datapath=2)) == (2, 6)
    assert of("red", AttachSpec(iface_id="a", datapath=99)) == (1, 5)
    assert of("red", AttachSpec(iface_id="a", datapath=3)) == (1, 5)
    world.switches[2].remove_port(6)
    world.run()
    assert of("red", AttachSpec(iface_id="a", datapath=2)) == (1, 5)


def test_a_drain_prefers_another_place_to_all_else() -> None:
    world, _ = one(Vif("a", 5), Vif("a", 6, "br2"), Vif("b", 4))
    places, drains = world.hv.places, world.hv.drains
    drains.begin((1, "red"), False)
    assert places.of("red", A) == (2, 6) and places.of("blue", A) == (1, 5)
    assert places.of("red", AttachSpec(iface_id="a", datapath=1)) == (2, 6)
    assert places.of("red", AttachSpec(iface_id="b")) == (1, 4) and places.said(A) == (1, 5)
    drains.begin((1, ALL), True)
    assert places.of("blue", A) == (2, 6)
    assert places.of("red", AttachSpec(iface_id="b")) is None
    assert places.of("red", AttachSpec(datapath=1, port=3)) is None


def test_what_is_attached_is_there_as_long_as_a_database_says_so() -> None:
    world, database = one(Vif("a", 5), Vif("a", 6, "br2", status="inactive"))
    has = world.hv.places.has
    assert has(A, Bound(1, 5)) and has(A, Bound(2, 6)) and not has(A, Bound(2, 7))
    assert has(AttachSpec(datapath=7, port=7), Bound(2, 7))
    database.vifs(Vif("a", 6, "br2"))
    assert not has(A, Bound(1, 5))


def test_what_the_workload_of_a_vif_uses_is_known_where_it_is_only() -> None:
    world, _ = one(Vif("a", 5, mac="02:00:00:00:00:0a"), Vif("a", 6, "br2"))
    mac = world.hv.places.mac
    assert mac(A, Bound(1, 5)) == Mac(0x02000000000A)
    assert mac(A, Bound(2, 6)) is None and mac(A, None) is None and mac(None, Bound(1, 5)) is None
    assert mac(AttachSpec(datapath=1, port=5), Bound(1, 5)) is None
