"""What Prometheus is told: most of it is read off the core when it asks, times are observed as they pass."""
from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from prometheus_client import (
    CollectorRegistry, Counter, Histogram, PlatformCollector, ProcessCollector, generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from hvproxy.hypervisor import report
from hvproxy.hypervisor.datapath_state import State
from hvproxy.hypervisor.hypervisor import Hypervisor
from hvproxy.model.schema import format_dpid
from hvproxy.model.view import Carriage
from hvproxy.openflow.text import message_type

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""Of what generate_latest makes."""
_TRANSLATION_BUCKETS = (1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, .1, .25, 1.0)
_COMMIT_BUCKETS = (2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, .1, .25, .5, 1.0, 2.5, 5.0, 10.0)
_BARRIER_BUCKETS = (1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, .1, .25, .5, 1.0, 2.5, 5.0, 10.0, 30.0)


class HasHypervisor(Protocol):
    """Who has the core that is measured."""

    @property
    def hv(self) -> Hypervisor: ...


class Metrics:
    """A registry of its own, with everything in it."""

    def __init__(self, runtime: HasHypervisor) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(CoreCollector(runtime))
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        self._translation = Histogram(
            "hvproxy_translation_seconds", "Time from bytes received to all they caused written.", ["direction"],
            buckets=_TRANSLATION_BUCKETS, registry=self._registry)
        self._barrier = Histogram(
            "hvproxy_barrier_seconds", "Time from a controller's barrier request to its reply.",
            buckets=_BARRIER_BUCKETS, registry=self._registry)
        self._commit = Histogram(
            "hvproxy_store_commit_seconds", "Time from records left to be stored to the store's answer that they are.",
            buckets=_COMMIT_BUCKETS, registry=self._registry)
        self._commits_failed = Counter(
            "hvproxy_store_failed_commits", "Tries to store records that have failed.", registry=self._registry)
        self._records = Counter(
            "hvproxy_store_records", "Records that commits have stored or deleted.", registry=self._registry)

    def observe_commit(self, seconds: float, records: int) -> None:
        """A commit of so many records took so long."""
        self._commit.observe(seconds)
        self._records.inc(records)

    def observe_failed_commit(self) -> None:
        """A commit has failed and is tried again."""
        self._commits_failed.inc()

    def observe_translation(self, direction: str, seconds: float) -> None:
        """What came from that side ("from_controller", "from_switch") took so long."""
        self._translation.labels(direction).observe(seconds)

    def observe_barrier(self, seconds: float) -> None:
        """A controller's barrier took so long to be answered."""
        self._barrier.observe(seconds)

    def text(self) -> bytes:
        """Everything in the text format of Prometheus."""
        return generate_latest(self._registry)


class CoreCollector(Collector):
    """Reads the core at the moment Prometheus asks."""

    def __init__(self, runtime: HasHypervisor) -> None:
        self._runtime = runtime

    def collect(self) -> Iterable[Metric]:
        hv = self._runtime.hv
        yield self._messages(hv)
        yield from self._of_switches(hv)
        yield from self._of_logical_switches(hv)
        yield _gauge("store_failed", "1 while the store cannot store, and barriers are not promised.", [],
                     [([], hv.journal.failure is not None)])
        yield _gauge("store_revision", "The last revision of this process that is stored.", [],
                     [([], hv.journal.committed)])
        yield _counter("alarms", "What an operator should look at, by kind.", ["alarm"],
                       [([alarm], seen) for alarm, seen in sorted(hv.switches.alarms.items())])
        yield _counter("unattributed_packets", "Packet-ins of no known context, which were dropped.", [],
                       [([], hv.arrivals.unattributed)])
        yield _counter("refused_discovery_frames", "Discovery frames that proved nothing.", [],
                       [([], hv.links.refused_frames)])

    def _messages(self, hv: Hypervisor) -> Metric:
        tallies = [("from_switch", "", hv.switches.received), ("to_switch", "", hv.switches.sent)]
        for name, ls in sorted(hv.logical_switches.items()):
            tallies += [("from_controller", name, ls.received), ("to_controller", name, ls.sent)]
        return _counter("messages", "OpenFlow messages.", ["direction", "type", "logical_switch"], [
            ([direction, message_type(kind), name], count)
            for direction, name, tally in tallies for kind, count in enumerate(tally) if count])

    def _of_switches(self, hv: Hypervisor) -> Iterator[Metric]:
        datapaths = sorted(hv.switches.datapaths.items())
        states = Tally(dp.state for _, dp in datapaths)
        yield _gauge("switches", "Physical switches.", ["state"], [([state.value], states[state]) for state in State])
        yield _gauge("rules", "Rules that a physical switch is to hold.", ["dpid"],
                     [([format_dpid(dpid)], len(dp.desired.rules)) for dpid, dp in datapaths])
        yield _gauge("rule_groups", "Groups that a physical switch is to hold.", ["dpid"],
                     [([format_dpid(dpid)], len(dp.desired.groups)) for dpid, dp in datapaths])
        yield _gauge("rule_meters", "Meters that a physical switch is to hold.", ["dpid"],
                     [([format_dpid(dpid)], len(dp.desired.meters)) for dpid, dp in datapaths])
        yield _gauge("databases", "Databases of switches.", ["state"], [
            ([state], sum(each.state == state for each in hv.databases.all.values()))
            for state in ("connected", "connecting", "lost")])
        yield _gauge("vifs", "VIFs that a database tells of.", ["database"], [
            ([each.address], len(each.seen.vifs)) for each in hv.databases.all.values()])
        yield _gauge("wrong_settings", "Settings of a physical switch that are not as hvproxy needs them.", ["dpid"], [
            ([format_dpid(dpid)], len(report.settings(hv, dpid))) for dpid, _ in datapaths])
        yield _counter("drift", "What a switch held otherwise than it should, and was put right.", ["dpid", "kind"], [
            ([format_dpid(dpid), kind], number) for (dpid, kind), number in sorted(hv.auditing.found.items())])
        yield _counter("audits", "Comparisons of what a switch holds with what it should.", ["dpid"], [
            ([format_dpid(dpid)], number) for dpid, number in sorted(hv.auditing.audits.items())])
        yield _gauge("foreign_rules", "Rules, groups and meters on a switch that are not hvproxy's, at the last audit.",
                     ["dpid"], [([format_dpid(dpid)], number) for dpid, number in sorted(hv.auditing.foreign.items())])
        yield _gauge("links", "Links between physical switches in use.", [], [([], len(hv.links.in_use))])
        yield _gauge("silent_links", "Of these, those that let nothing through.", [],
                     [([], len(hv.links.silent))])
        yield _gauge("tunnels", "Tunnels that are to be, and of these those whose both ports are there.", ["state"], [
            (["wanted"], len(hv.tunnels.wanted)), (["made"], len(hv.tunnels.links)),
            (["up"], sum(link.carriage is Carriage.TUNNEL for link in hv.links.in_use))])
        yield _gauge("tunnel_labels_used", "Labels in use that only tunnels can carry.", [],
                     [([], len(hv.fabric.keys.used))])
        yield _gauge("labels_used", "Labels in use.", [], [([], len(hv.fabric.labels.used))])
        yield _gauge("labels", "Labels there are.", [], [([], hv.settings.last_vid - hv.settings.first_vid + 1)])

    def _of_logical_switches(self, hv: Hypervisor) -> Iterator[Metric]:
        switches = sorted(hv.logical_switches.items())
        yield _gauge("tenants", "Tenants.", [], [([], len(hv.tenants))])
        yield _gauge("logical_switches", "Logical switches.", [], [([], len(switches))])
        yield _gauge("entries", "Entries in the logical tables.", ["logical_switch"],
                     [([name], len(ls.tables)) for name, ls in switches])
        yield _gauge("groups", "Groups that controllers installed.", ["logical_switch"],
                     [([name], len(ls.groups.groups)) for name, ls in switches])
        yield _gauge("meters", "Meters that controllers installed.", ["logical_switch"],
                     [([name], len(ls.meters.meters)) for name, ls in switches])
        ports = []
        controllers = []
        for name, ls in switches:
            up = sum(port.up for port in ls.ports.values())
            ports += [([name, "up"], up), ([name, "down"], len(ls.ports) - up)]
            states = Tally(str(row["state"]) for row in report.controllers(hv, name))
            controllers += [([name, state], states[state]) for state in ("connected", "connecting", "waiting")]
        yield _gauge("logical_ports", "Ports of logical switches.", ["logical_switch", "state"], ports)
        yield _gauge("logical_port_mtu", "How large packets may be to reach every other edge, where it is known.",
                     ["logical_switch", "port"],
                     [([name, str(number)], port.mtu) for (name, number), port in sorted(hv.mtus.ports.items())
                      if port.mtu is not None])
        yield _gauge("controllers", "Controllers of logical switches.", ["logical_switch", "state"], controllers)
        yield _counter("dropped_packets", "Packets not sent to a controller that does not take what is sent to it.",
                       ["logical_switch"], [([name], ls.dropped_packets) for name, ls in switches])


_Samples = Iterable[tuple[Sequence[str], float]]


def _gauge(name: str, what: str, labels: Sequence[str], samples: _Samples) -> Metric:
    family = GaugeMetricFamily(f"hvproxy_{name}", what, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def _counter(name: str, what: str, labels: Sequence[str], samples: _Samples) -> Metric:
    family = CounterMetricFamily(f"hvproxy_{name}", what, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family
