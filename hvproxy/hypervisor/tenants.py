"""Tenants as a whole: created with their logical switches, deleted with them. A tenant may have none.

Each function checks everything first and raises ModelError with nothing changed, or succeeds.
"""
from __future__ import annotations

from collections.abc import Callable

from hvproxy.errors import Conflict, ModelError, NotFound
from hvproxy.hypervisor import intent
from hvproxy.hypervisor.gather import all_of
from hvproxy.hypervisor.hypervisor import Hypervisor
from hvproxy.hypervisor.replacing import Plan, plan
from hvproxy.model.intent import LogicalSwitchSpec, TenantSpec

IN_TENANT = "logical_switches[{}].".format
"""Where a logical switch stands in its tenant's object."""


def owned_by(hv: Hypervisor, tenant: str) -> list[str]:
    """The names of a tenant's logical switches. Raises NotFound."""
    if tenant not in hv.tenants:
        raise NotFound("", f"there is no tenant {tenant}")
    return sorted(name for name, ls in hv.logical_switches.items() if ls.spec.tenant == tenant)


def create_tenant(hv: Hypervisor, spec: TenantSpec, now: float) -> None:
    """Make a tenant and its logical switches."""
    if spec.name in hv.tenants:
        raise Conflict("name", f"tenant {spec.name} exists already")
    create_all(hv, plan(hv, spec.logical_switches, prefix=IN_TENANT), now)
    hv.tenants.add(spec.name)
    hv.ledger.tenant(spec.name, False)


def create_logical_switch(hv: Hypervisor, spec: LogicalSwitchSpec, now: float) -> None:
    """Make a logical switch of a tenant that exists."""
    check_tenant(hv, spec)
    intent.create_logical_switch(hv, spec, now)


def check_tenant(hv: Hypervisor, spec: LogicalSwitchSpec) -> None:
    """Raises ModelError unless the tenant of a logical switch exists."""
    if spec.tenant not in hv.tenants:
        raise ModelError("tenant", f"there is no tenant {spec.tenant}; create it first")


def plan_tenant(hv: Hypervisor, spec: TenantSpec) -> Plan:
    """How to make a tenant that exists have just these logical switches. Raises ModelError with nothing changed."""
    return plan(hv, spec.logical_switches, owned_by(hv, spec.name), prefix=IN_TENANT)


def create_all(hv: Hypervisor, planned: Plan, now: float) -> None:
    """Make the logical switches of a plan that are to be created; all or, when identifiers run out, none."""
    created: list[str] = []
    for spec in planned.create:
        try:
            intent.create_logical_switch(hv, spec, now)
        except ModelError:
            for name in created:
                intent.delete_logical_switch(hv, name, lambda at: None, now)
            raise
        created.append(spec.name)


def delete_tenant(hv: Hypervisor, name: str, done: Callable[[float], None], now: float) -> None:
    """Take a tenant away with all its logical switches; `done` once no datapath holds anything of them."""
    owned = owned_by(hv, name)
    hv.tenants.discard(name)
    hv.ledger.tenant_gone(name)
    one = all_of(len(owned), done, now)
    for logical_switch in owned:
        intent.delete_logical_switch(hv, logical_switch, one, now)
