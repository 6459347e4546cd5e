"""Where a change of datapaths came from, so that an error of any of them finds its way back (trap 45).

Knows what a message has changed of a logical switch, not how it is undone (refusals).
"""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hvproxy.compiler.lowering import TenantGroup
from hvproxy.hypervisor.controller_session import ControllerSession
from hvproxy.hypervisor.entries import Edit
from hvproxy.hypervisor.tenant_meters import Replaced
from hvproxy.openflow.groups import GroupMod
from hvproxy.openflow.meters import MeterMod

if TYPE_CHECKING:
    from hvproxy.hypervisor.commits import Commit
    from hvproxy.hypervisor.logical_switch import LogicalSwitch


@dataclass(eq=False, slots=True)
class Origin:
    """A tenant's message that changed datapaths: where an error of any of them goes, once (trap 45)."""

    logical_switch: LogicalSwitch
    session: ControllerSession
    request: bytes
    edits: list[Edit] = field(default_factory=list)
    group: tuple[GroupMod, TenantGroup | None] | None = None
    meter: tuple[MeterMod, Replaced | None, int] | None = None
    """With the revision of the meter that it made."""
    refused: bool = False
    commit: Commit | None = None
    """Where `request` is the commit of a bundle."""
