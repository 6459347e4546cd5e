"""What the configuration file names, and who wins where the store says otherwise.

The file describes what it names; the API may change that at run time, and the store keeps the change. It holds over
restarts for as long as the file says of that logical switch what it said before. When the file says something else, or
nothing any more, the file wins for the whole logical switch: it becomes what is written, or goes. What the file never
named, the API has made, and only the API changes it.
"""
from __future__ import annotations

from hvproxy.hypervisor import intent, replacing, tenants
from hvproxy.hypervisor.hypervisor import Hypervisor
from hvproxy.hypervisor.ledger import spec_json
from hvproxy.hypervisor.reconfigure import Wanted


def begin(hv: Hypervisor, wanted: Wanted, now: float) -> None:
    """The program starts with this file. Raises ModelError with nothing changed, where it contradicts what the API has
    made."""
    news = [(place, spec) for place, spec in wanted.logical_switches if hv.named.get(spec.name) != spec_json(spec)]
    silent = hv.named.keys() - {spec.name for _, spec in wanted.logical_switches}
    mine = ({spec.name for _, spec in news} | silent) & hv.logical_switches.keys()
    places = [place for place, _ in news]
    plan = replacing.plan(hv, [spec for _, spec in news], mine, prefix=places.__getitem__)
    hv.tenants.update(tenant.name for tenant in wanted.tenants)
    for name in plan.delete:
        intent.delete_logical_switch(hv, name, lambda at: None, now)
    replacing.adjust(hv, plan.adjust, now)
    tenants.create_all(hv, plan, now)
    used = {ls.spec.tenant for ls in hv.logical_switches.values()} | {tenant.name for tenant in wanted.tenants}
    hv.tenants.difference_update(hv.named_tenants - used)
    applied(hv, wanted)


def applied(hv: Hypervisor, wanted: Wanted) -> None:
    """What this file says is so now: a restart with the same file changes nothing."""
    said = {spec.name: spec_json(spec) for _, spec in wanted.logical_switches}
    for name in hv.named.keys() - said.keys():
        hv.ledger.named(name, None)
    for name, spec in said.items():
        if hv.named.get(name) != spec:
            hv.ledger.named(name, spec)
    hv.named = said
    names = {tenant.name for tenant in wanted.tenants}
    for name in sorted(hv.named_tenants | names):
        if name not in hv.tenants:
            hv.ledger.tenant_gone(name)
        elif (name in names) != (name in hv.named_tenants):
            hv.ledger.tenant(name, name in names)
    hv.named_tenants = names
