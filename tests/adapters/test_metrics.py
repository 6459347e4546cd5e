"""The numbers Prometheus reads, as its own parser reads them."""
from __future__ import annotations

from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families

from hvproxy.adapters.metrics import Metrics
from hvproxy.hypervisor.links import NamedLink
from hvproxy.hypervisor.settings import Settings
from hvproxy.hypervisor.journal import Durability
from hvproxy.model.address import Address
from hvproxy.model.layout import ContextLayout
from hvproxy.openflow import actions, build
from hvproxy.openflow.constants import of13
from hvproxy.openflow.instructions import Instructions
from hvproxy.openflow.instructions import build as build_instructions
from tests.adapters.client import Loop
from tests.harness import Controller, World, spec
from tests.hypervisor.databases_end import EndDatabase
from tests.ovsdb.rows import Contents, Vif
from tests.hypervisor.worlds import meter_mod

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def samples(metrics: Metrics) -> Samples:
    return {(sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(metrics.text().decode()) for sample in family.samples}


def a_world() -> World:
    world = World(spec("red", {1: (1, 1), 2: (2, 1)}), settings=Settings(
        links=(NamedLink((1, 8), (2, 8)), NamedLink((1, 7), (3, 7))), first_vid=100, last_vid=149, grace=0.0))
    world.hv.tenants.update(("red", "none"))
    world.add_switches(1, 2)
    world.pass_time(1.0)
    return world


def test_the_mtu_of_a_port_is_told_where_it_is_known() -> None:
    world = World(spec("red", {1: (1, 1), 2: (2, 1)}), settings=Settings(databases=("unix:/a",)))
    world.add_switches(1, 2)
    EndDatabase(world, "unix:/a", Contents([Vif(None, 1, mtu=1400)])).connect()
    world.pass_time(2.0)
    found = {labels: value for (name, labels), value in samples(Metrics(Loop(world))).items()
             if name == "hvproxy_logical_port_mtu"}
    assert found == {(("logical_switch", "red"), ("port", "1")): 1400}


def test_what_exists_is_counted() -> None:
    world = a_world()
    controller = Controller(world, "red")
    controller.send(meter_mod(7, 100))
    controller.send(build.flow_mod(9, of13.OFPFC_ADD, table_id=0, priority=5, match_tlvs=b"", cookie=1,
                                   instructions=build_instructions(Instructions(apply=actions.output(2)))))
    world.run()
    found = samples(Metrics(Loop(world)))
    red = ("logical_switch", "red")
    dp = world.hv.switches.datapaths[1]
    expected: Samples = {
        ("hvproxy_switches", (("state", "ready"),)): 2,
        ("hvproxy_switches", (("state", "absent"),)): 1,
        ("hvproxy_switches", (("state", "reading"),)): 0,
        ("hvproxy_links", ()): 1,
        ("hvproxy_silent_links", ()): 0,
        ("hvproxy_tenants", ()): 2,
        ("hvproxy_logical_switches", ()): 1,
        ("hvproxy_entries", (red,)): 1,
        ("hvproxy_groups", (red,)): 0,
        ("hvproxy_meters", (red,)): 1,
        ("hvproxy_messages_total", (("direction", "from_controller"), red, ("type", "meter_mod"))): 1,
        ("hvproxy_rule_meters", (("dpid", "0000000000000001"),)): 1,
        ("hvproxy_logical_ports", (red, ("state", "up"))): 2,
        ("hvproxy_logical_ports", (red, ("state", "down"))): 0,
        ("hvproxy_labels", ()): 50,
        ("hvproxy_labels_used", ()): 4,
        ("hvproxy_rules", (("dpid", "0000000000000001"),)): len(dp.desired.rules),
        ("hvproxy_rule_groups", (("dpid", "0000000000000001"),)): len(dp.desired.groups),
        ("hvproxy_unattributed_packets_total", ()): 0,
        ("hvproxy_refused_discovery_frames_total", ()): 0,
    }
    assert {key: found.get(key) for key in expected} == expected


def test_messages_are_counted_by_direction_type_and_logical_switch() -> None:
    world = a_world()
    controller = Controller(world, "red")
    before = samples(Metrics(Loop(world)))
    controller.send(build.barrier_request(1) + build.barrier_request(2))
    controller.take("BARRIER_REPLY", "BARRIER_REPLY")
    after = samples(Metrics(Loop(world)))

    def grown(direction: str, kind: str, name: str) -> float:
        key = ("hvproxy_messages_total", (("direction", direction), ("logical_switch", name), ("type", kind)))
        return after[key] - before.get(key, 0)

    assert grown("from_controller", "barrier_request", "red") == grown("to_controller", "barrier_reply", "red") == 2
    assert grown("to_switch", "flow_mod", "") == 0 < after[
        "hvproxy_messages_total", (("direction", "to_switch"), ("logical_switch", ""), ("type", "flow_mod"))]


def test_packets_that_a_controller_does_not_take_are_counted_also_when_it_is_gone() -> None:
    world = a_world()
    controller = Controller(world, "red")
    world.hv.congested(controller.conn, True, world.now)
    world.switches[1].packet_in(b"lost", metadata=ContextLayout().context(1, 1))
    world.run()

    def dropped() -> float:
        return samples(Metrics(Loop(world)))["hvproxy_dropped_packets_total", (("logical_switch", "red"),)]

    assert dropped() == 1
    world.hv.connection_lost(controller.conn, world.now)
    assert dropped() == 1


def test_controllers_are_counted_by_state() -> None:
    controllers = (Address.parse("tcp:127.0.0.1:6653"), Address.parse("tcp:127.0.0.1:6654"))
    world = World(replace(spec("red", {1: (1, 1)}), controllers=controllers), settings=Settings(grace=5.0))

    def states() -> list[float]:
        found = samples(Metrics(Loop(world)))
        return [found["hvproxy_controllers", (("logical_switch", "red"), ("state", state))]
                for state in ("connected", "connecting", "waiting")]

    assert states() == [0, 0, 2]
    world.pass_time(6.0)
    assert states() == [0, 2, 0]
    Controller(world, "red")
    assert states() == [1, 1, 0]


def test_alarms_are_counted_by_kind() -> None:
    world = a_world()
    world.hv.switches.alarm("this should not be: \"really\"\n", dpid="1")
    world.hv.switches.alarm("this should not be: \"really\"\n", dpid="2")
    assert samples(Metrics(Loop(world)))["hvproxy_alarms_total", (("alarm", "this should not be: \"really\"\n"),)] == 2


def test_times_are_observed_in_histograms() -> None:
    metrics = Metrics(Loop(a_world()))
    metrics.observe_translation("from_controller", 0.0003)
    metrics.observe_translation("from_switch", 7.0)
    metrics.observe_barrier(0.02)
    found = samples(metrics)
    side = ("direction", "from_controller")
    assert found["hvproxy_translation_seconds_bucket", (side, ("le", "0.00025"))] == 0
    assert found["hvproxy_translation_seconds_bucket", (side, ("le", "0.0005"))] == 1
    assert found["hvproxy_translation_seconds_sum", (("direction", "from_switch"),)] == 7.0
    assert found["hvproxy_barrier_seconds_count", ()] == 1


def test_registries_are_apart() -> None:
    one, other = Metrics(Loop(a_world())), Metrics(Loop(World()))
    one.observe_barrier(1.0)
    assert samples(other)["hvproxy_barrier_seconds_count", ()] == 0
    assert samples(other)["hvproxy_logical_switches", ()] == 0 < samples(other)["process_start_time_seconds", ()]


def test_databases_and_what_they_tell_are_counted() -> None:
    world = World(spec("red", {1: (1, 1)}), settings=Settings(databases=("unix:/a", "unix:/b")))
    world.add_switches(1, 2)
    EndDatabase(world, "unix:/a", Contents([Vif("x"), Vif("y", 2)], fail_mode=None)).connect()
    found = samples(Metrics(Loop(world)))
    states = ("connected", "connecting", "lost")
    assert [found["hvproxy_databases", (("state", state),)] for state in states] == [1, 1, 0]
    assert [found["hvproxy_vifs", (("database", name),)] for name in ("unix:/a", "unix:/b")] == [2, 0]
    assert [found["hvproxy_wrong_settings", (("dpid", f"{dpid:016x}"),)] for dpid in (1, 2)] == [1, 0]


def test_the_store_is_counted() -> None:
    world = World(spec("red", {1: (1, 1)}), settings=Settings(durability=Durability.BARRIER))
    metrics = Metrics(Loop(world))
    world.hv.journal.put("key", b"1")
    world.run()
    revision = world.hv.journal.committed
    assert revision
    metrics.observe_commit(0.25, 3)
    metrics.observe_commit(0.25, 4)
    metrics.observe_failed_commit()
    for failed in (False, True, False):
        if failed:
            world.hv.store_failed("the disk is full", world.now)
        else:
            world.hv.store_recovered(world.now)
        found = samples(metrics)
        assert {name: found[name, ()] for name in (
            "hvproxy_store_failed", "hvproxy_store_revision", "hvproxy_store_commit_seconds_count",
            "hvproxy_store_commit_seconds_sum", "hvproxy_store_records_total", "hvproxy_store_failed_commits_total",
        )} == {
            "hvproxy_store_failed": failed, "hvproxy_store_revision": revision,
            "hvproxy_store_commit_seconds_count": 2, "hvproxy_store_commit_seconds_sum": 0.5,
            "hvproxy_store_records_total": 7, "hvproxy_store_failed_commits_total": 1,
        }
