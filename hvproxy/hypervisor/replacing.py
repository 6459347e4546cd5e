"""Turning what exists into what the operator wants instead: whole logical switches, or all of a tenant's, at once.

What can change while it is in use changes in place: ports, bindings, controllers, listeners, description. A change of
what controllers take for the switch itself (REBUILT) needs another logical switch in its stead, which begins empty.
`plan` checks everything and changes nothing; the caller then deletes, calls `adjust`, and creates, in this order.
"""
from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Final

import msgspec

from hvproxy.errors import Conflict, Exhausted, ModelError
from hvproxy.hypervisor import intent
from hvproxy.hypervisor.hypervisor import Hypervisor
from hvproxy.hypervisor.logical_switch import LogicalSwitch
from hvproxy.model.address import Address
from hvproxy.model.intent import LogicalSwitchSpec
from hvproxy.openflow.constants import of13

REBUILT: Final = ("datapath_id", "protocols", "tables", "buffers", "tls")
"""Keys of a logical switch that cannot change while it exists."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What leads to the wanted logical switches, in the order of the fields."""

    delete: tuple[str, ...]
    adjust: tuple[LogicalSwitchSpec, ...]
    create: tuple[LogicalSwitchSpec, ...]


def plan(
    hv: Hypervisor, wanted: Iterable[LogicalSwitchSpec], mine: Collection[str] = (), *,
    prefix: Callable[[int], str] = lambda number: "", link_ends: Collection[object] | None = None,
) -> Plan:
    """How to make `wanted` take the place of the logical switches `mine`. Raises ModelError with nothing changed.

    `wanted` are without a contradiction among themselves (model.intent.parse has seen to it). `prefix` says where each
    stands in what the operator wrote: "logical_switches[2]." or nothing. `link_ends` are those of the links that there
    will be (intent.link_ends), where these change too.
    """
    ends = intent.link_ends(hv) if link_ends is None else link_ends
    specs = tuple(wanted)
    adjusted, created = [], []
    for number, spec in enumerate(specs):
        try:
            _check(hv, spec, mine, ends)
        except ModelError as error:
            raise type(error)(prefix(number) + error.path, error.what) from error
        old = hv.logical_switches.get(spec.name)
        if old is not None and all(getattr(old.spec, key) == getattr(spec, key) for key in REBUILT):
            adjusted.append(spec)
        else:
            created.append(spec)
    intent.check_labels(hv, [spec.ports for spec in specs], {*mine, *(spec.name for spec in specs)}, "")
    kept = {spec.name for spec in adjusted}
    deleted = tuple(sorted(name for name in mine if name in hv.logical_switches and name not in kept))
    return Plan(deleted, tuple(adjusted), tuple(created))


def adjust(hv: Hypervisor, specs: Iterable[LogicalSwitchSpec], now: float) -> None:
    """Change logical switches in place. Ports let go of their VIFs before others take them."""
    changing = [(hv.logical_switches[spec.name], spec) for spec in specs]
    wanted = {intent.vif_key(hv, port.attach) for _, spec in changing for port in spec.ports
              if port.attach is not None}
    for ls, spec in changing:
        ls.tenant = spec.tenant  # first of all: only one tenant's are wired together
    for ls, spec in changing:
        _detach(hv, ls, spec, wanted, now)
    for ls, spec in changing:
        ls.less_broadcast = spec.less_broadcast
        _attach(hv, ls, spec, now)
        _connect(hv, ls, spec, now)
        ls.spec = spec
        ls.tables.max_entries = spec.most_entries
        ls.ledger.begin()


def _detach(hv: Hypervisor, ls: LogicalSwitch, spec: LogicalSwitchSpec, taken: Collection[object], now: float) -> None:
    """Take off the ports that go, or are attached no more, or where others come: these VIFs are `taken`. The other
    ones move."""
    wanted = {port.number: port for port in spec.ports}
    for number in [number for number in ls.ports if number not in wanted]:
        intent.delete_port(hv, spec.name, number, lambda at: None, now)
    leaving = [port for port in ls.ports.values()
               if port.spec.attach is not None and port.spec.attach != (new := wanted[port.number].attach)
               and (new is None or intent.vif_key(hv, port.spec.attach) in taken)]
    for port in leaving:
        port.spec = msgspec.structs.replace(port.spec, attach=None)
    if leaving:
        hv.bind(ls, now)


def _attach(hv: Hypervisor, ls: LogicalSwitch, spec: LogicalSwitchSpec, now: float) -> None:
    renamed = []
    for wanted in spec.ports:
        port = ls.ports.get(wanted.number)
        if port is None or port.spec == wanted:
            continue
        if port.spec.name != wanted.name:
            renamed.append(port)
        port.spec = wanted
        intent.expect(hv, wanted, now)
    hv.bind(ls, now)
    for port in renamed:
        ls.tell_port(port.desc(), of13.OFPPR_MODIFY)
    for wanted in spec.ports:
        if wanted.number not in ls.ports:
            intent.put_port(hv, spec.name, wanted, now)


def _connect(hv: Hypervisor, ls: LogicalSwitch, spec: LogicalSwitchSpec, now: float) -> None:
    """Leave the controllers and listeners that are wanted no more, and go to the new ones."""
    for address in _only_in(ls.spec.controllers, spec.controllers):
        hv.out.stop_dialing(f"{spec.name} {address}")
        for conn in [c for c, session in ls.sessions.items() if not session.passive and session.peer == str(address)]:
            hv.out.close(conn, "the controller was taken off the logical switch")
            hv.connection_lost(conn, now)
    for address in _only_in(ls.spec.listen, spec.listen):
        hv.out.stop_listening(f"{spec.name} {address}")
    if spec.name in hv.serving.waiting:
        return  # all of them are dialled when the switches are known
    for address in _only_in(spec.controllers, ls.spec.controllers):
        hv.out.dial(f"{spec.name} {address}", str(address))
    for address in _only_in(spec.listen, ls.spec.listen):
        hv.out.listen(f"{spec.name} {address}", str(address))


def _only_in(these: Collection[Address], those: Collection[Address]) -> list[Address]:
    return [address for address in these if address not in those]


def _check(hv: Hypervisor, spec: LogicalSwitchSpec, mine: Collection[str], link_ends: Collection[object]) -> None:
    """Raises ModelError where `spec` contradicts what exists and is not `mine`."""
    if spec.name in hv.logical_switches and spec.name not in mine:
        raise Conflict("name", f"logical switch {spec.name} exists already")
    if len(spec.ports) > hv.settings.layout.last_lport:
        raise Exhausted("ports", f"a logical switch has at most {hv.settings.layout.last_lport} ports")
    others = {name: ls for name, ls in hv.logical_switches.items() if name not in mine}
    for name, other in others.items():
        if other.spec.datapath_id == spec.datapath_id:
            raise Conflict("datapath_id", f"{spec.datapath_id:016x} is that of logical switch {name}")
        for number, address in enumerate(spec.listen):
            if any(address.collides(theirs) for theirs in other.spec.listen):
                raise Conflict(f"listen[{number}]", f"{address} is in use by logical switch {name}")
    vifs = {intent.vif_key(hv, port.spec.attach): f"{name}/{number}"
            for name, other in others.items() for number, port in other.ports.items() if port.spec.attach is not None}
    for index, wanted in enumerate(spec.ports):
        if wanted.attach is None:
            continue
        if wanted.attach.iface_id is not None:
            intent.check_iface_id(hv, f"ports[{index}].attach")
        intent.check_peer(others, wanted.attach, f"ports[{index}].attach", (spec.tenant, spec.name, wanted.number))
        key = intent.vif_key(hv, wanted.attach)
        if key[0] in link_ends:
            raise Conflict(f"ports[{index}].attach", "this port is the end of a configured link")
        if key in vifs:
            raise Conflict(f"ports[{index}].attach", f"{intent.what(wanted.attach)} is bound to {vifs[key]}")
