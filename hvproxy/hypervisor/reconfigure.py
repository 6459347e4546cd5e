"""What a changed configuration means for what exists: which tenants, logical switches and links come, go and change.

The configuration says what is with all that it names, or named when it was applied last; what else there is, the API
has made, and it stays. Knows no file: `difference` compares two Wanted and changes nothing.
"""
from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from hvproxy.errors import Conflict
from hvproxy.hypervisor import intent, replacing, report
from hvproxy.hypervisor.hypervisor import Hypervisor
from hvproxy.hypervisor.links import NamedLink
from hvproxy.model.intent import LogicalSwitchSpec, TenantSpec
from hvproxy.model.schema import plain
from hvproxy.ovsdb import tunnels

LINKS = "fabric.links"
BFD_INTERVAL = "fabric.bfd_interval"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a configuration says that can change while hvproxy runs."""

    tenants: tuple[TenantSpec, ...] = ()
    links: tuple[NamedLink, ...] = ()
    bfd_interval: float = tunnels.BFD_INTERVAL

    @property
    def logical_switches(self) -> tuple[tuple[str, LogicalSwitchSpec], ...]:
        """Each with the path of its tenant's object and its own, "tenants[0].logical_switches[2]."."""
        return tuple((f"tenants[{i}].logical_switches[{j}].", spec) for i, tenant in enumerate(self.tenants)
                     for j, spec in enumerate(tenant.logical_switches))


@dataclass(frozen=True, slots=True)
class Difference:
    """What leads from what exists to what is wanted."""

    tenants_gone: tuple[str, ...]
    tenants_made: tuple[str, ...]
    switches: replacing.Plan
    links: tuple[NamedLink, ...] | None
    """All of them, where they change."""
    bfd_interval: float | None
    """Where it changes."""

    def __bool__(self) -> bool:
        plan = self.switches
        return bool(self.tenants_gone or self.tenants_made or plan.delete or plan.adjust or plan.create
                    or self.links is not None or self.bfd_interval is not None)


def difference(hv: Hypervisor, before: Wanted, wanted: Wanted) -> Difference:
    """What a configuration changes, if `before` was applied last. Raises ModelError with the path of what cannot be."""
    links = None if set(wanted.links) == set(before.links) else wanted.links
    ends = intent.link_ends(hv, links)
    named = {spec.name for each in (before, wanted) for _, spec in each.logical_switches}
    mine = named & hv.logical_switches.keys()
    places = [place for place, _ in wanted.logical_switches]
    plan = replacing.plan(hv, [spec for _, spec in wanted.logical_switches], mine, prefix=places.__getitem__,
                          link_ends=ends)
    changed = tuple(spec for spec in plan.adjust if report.spec_of(hv.logical_switches[spec.name]) != spec)
    plan = replacing.Plan(plan.delete, changed, plan.create)
    _check_links(hv, ends, named)
    kept = {ls.spec.tenant for name, ls in hv.logical_switches.items() if name not in plan.delete}
    names = {tenant.name for tenant in wanted.tenants}
    gone = {tenant.name for tenant in before.tenants} - names - kept
    interval = None if wanted.bfd_interval == before.bfd_interval else wanted.bfd_interval
    return Difference(tuple(sorted(gone & hv.tenants)), tuple(sorted(names - hv.tenants)), plan, links, interval)


def _check_links(hv: Hypervisor, ends: set[object], named: set[str]) -> None:
    """Raises Conflict where a port of what the configuration does not name is the end of a link."""
    for name, ls in hv.logical_switches.items():
        for port in ls.ports.values():
            attach = port.spec.attach
            if name not in named and attach is not None and intent.vif_key(hv, attach)[0] in ends:
                raise Conflict(LINKS, f"port {port.number} of logical switch {name} is bound to an end of a link")


def rows(hv: Hypervisor, changes: Difference) -> list[report.Row]:
    """A difference for people, in the order in which it is carried out; an object for each thing it touches."""
    found: list[report.Row] = []

    def say(kind: str, name: str, action: str, details: Iterable[str] = ()) -> None:
        found.append({"kind": kind, "name": name, "action": action, "changes": list(details)})

    plan = changes.switches
    made = {spec.name: spec for spec in plan.create}
    if changes.links is not None:
        old = {*hv.links.named}
        say("links", LINKS, "change", [*(f"- {_link(link)}" for link in sorted(old - {*changes.links}, key=_link)),
                                       *(f"+ {_link(link)}" for link in changes.links if link not in old)])
    if changes.bfd_interval is not None:
        say("setting", BFD_INTERVAL, "change", [f"{hv.tunnels.bfd_interval:g} -> {changes.bfd_interval:g}"])
    for name in changes.tenants_made:
        say("tenant", name, "create")
    for name in plan.delete:
        if name not in made:
            say("logical switch", name, "delete")
    for spec in plan.adjust:
        say("logical switch", spec.name, "change", _changes(hv, spec))
    for spec in plan.create:
        if spec.name in plan.delete:
            say("logical switch", spec.name, "rebuild", _changes(hv, spec))
        else:
            say("logical switch", spec.name, "create", [f"tenant {spec.tenant}", f"{len(spec.ports)} ports"])
    for name in changes.tenants_gone:
        say("tenant", name, "delete")
    return found


def _link(named: NamedLink) -> str:
    return " - ".join(f"0x{dpid:x}:{port}" for dpid, port in (named.a, named.b))


def _changes(hv: Hypervisor, spec: LogicalSwitchSpec) -> list[str]:
    return list(differences(plain(report.spec_of(hv.logical_switches[spec.name])), plain(spec)))


def differences(old: object, new: object, path: str = "") -> Iterator[str]:
    """Where two plain objects differ, a line each; things in lists that have a number are known by it."""
    if old == new:
        return
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in dict.fromkeys((*old, *new)):
            yield from differences(old.get(key), new.get(key), f"{path}.{key}" if path else str(key))
    elif isinstance(old, list) and isinstance(new, list):
        a, b = _keyed(old), _keyed(new)
        for key in dict.fromkeys((*a, *b)):
            yield from differences(a.get(key), b.get(key), f"{path}[{key}]")
    else:
        yield f"{path}: {_shown(old)} -> {_shown(new)}"


def _keyed(things: list[object]) -> dict[object, object]:
    return {thing.get("number", place) if isinstance(thing, Mapping) else thing: thing
            for place, thing in enumerate(things)}


def _shown(value: object) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_shown(part)}" for key, part in value.items()) + "}"
    return "nothing" if value is None else str(value)


def begin(hv: Hypervisor, changes: Difference, now: float) -> None:
    """What comes before the plan of logical switches: a port that ends no link any more may be bound by it."""
    if changes.links is not None:
        hv.links.configure(changes.links, now)
    if changes.bfd_interval is not None:
        hv.tunnels.set_bfd_interval(changes.bfd_interval, now)
    hv.tenants.update(changes.tenants_made)


def end(hv: Hypervisor, changes: Difference) -> None:
    """What comes after it: tenants that have no logical switch any more."""
    hv.tenants.difference_update(changes.tenants_gone)
