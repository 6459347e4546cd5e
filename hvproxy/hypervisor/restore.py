"""From stored records to a Hypervisor like the one that noted them, before any switch or controller is connected.

What is not stored is computed from it: every switch is desired to hold what it was left with, so that a switch that is
still as it was needs no message. Where ports and links were last counts until their switches have been heard, as it
does when a switch is away for a moment; nothing expires before.

Nothing is guessed: what is damaged, or contradicts another record, is a DamagedRecord that names the key.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final, TypeVar

from hvproxy.compiler.encapsulation import links_used
from hvproxy.errors import DamagedRecord
from hvproxy.hypervisor.fabric import LabelKey
from hvproxy.hypervisor.hypervisor import Hypervisor
from hvproxy.hypervisor.settings import Settings
from hvproxy.hypervisor.journal import Durability
from hvproxy.hypervisor.restored_switch import KINDS, RestoredSwitch, judged
from hvproxy.model import records
from hvproxy.model.records import Record
from hvproxy.model.view import Carriage, Dpid, Link

R = TypeVar("R", bound=Record)
_OF_NONE: Final = ("tenant", "file", "label", "key", "block", "rest", "datapath", "link", "drain")
"""The kinds of records that belong to no logical switch, besides the format."""
_UNKNOWN: Final = "is no record that this hvproxy knows"


def restored(settings: Settings, now: float, stored: Mapping[str, bytes]) -> Hypervisor:
    """The Hypervisor that had these records stored; a new one where there are none. Raises DamagedRecord."""
    if not stored:
        return Hypervisor(settings, now)
    address = _check_format(settings, stored)
    settings = replace(settings, discovery_address=None if settings.secret is None else address)
    # What is read is not noted again.
    hv = Hypervisor(replace(settings, durability=Durability.NONE), now)
    hv.settings = settings
    switches, others = _sorted(stored)
    _who(hv, stored, others)
    _drains(hv, stored, others["drain"])
    _labels(hv, stored, others)
    known = _datapaths(hv, stored, others)
    links = _links(stored, others["link"])
    found = []
    for name in sorted(switches):
        each = RestoredSwitch(hv, name, stored, switches[name], now)
        found.append(each)
        hv.logical_switches[name] = hv.by_id[each.ls.ls_id] = each.ls
    dpids = {dpid for each in found for dpid in each.dpids} | {
        dpid for link in links for dpid in (link.a_dpid, link.b_dpid)} | hv.switches.datapaths.keys()
    for dpid in sorted(dpids):
        hv.switches.expect(dpid, now).offer.extended = known.get(dpid, (None, None))[0]
    endpoints = {dpid: endpoint for dpid, (_, endpoint) in known.items() if endpoint is not None}
    hv.tunnels.restore(endpoints, (link for link in links if link.carriage is Carriage.TUNNEL))
    hv.fabric.endpoints = frozenset(hv.tunnels.endpoints)
    speeds = {link: speed for link, speed in links.items() if speed}
    hv.links.restore(links, speeds)
    hv.ledger.links(links, speeds)
    hv.journal.durability = settings.durability
    hv.serving.settling_in = True
    used = links_used(links, hv.fabric.endpoints, forced=hv.tunnels.forced)
    hv.rollout.aim({**hv.fabric.base(sorted(dpids)), **hv.fabric.set_links(used, now, speeds)[0]}, now)
    for each in found:
        hv.attached.see(each.ls)
    for each in found:
        each.ls.claimed = hv.sharing.claimed(each.ls)
    for each in found:
        each.compile()
        hv.serving.wait_again(each.ls.spec.name, each.dpids | each.ls.edges.keys())
    return hv


def _check_format(settings: Settings, stored: Mapping[str, bytes]) -> bytes | None:
    """Raises DamagedRecord unless the records are such as this hvproxy writes; where discovery frames go to."""
    if records.FORMAT not in stored:
        raise DamagedRecord(records.FORMAT, "is missing")
    found = records.decode(records.FORMAT, records.Format, stored[records.FORMAT])
    there = (found.logical_switch_bits, found.lport_bits)
    here = (settings.layout.logical_switch_bits, settings.layout.lport_bits)
    if there != here:
        raise DamagedRecord(records.FORMAT, "identifiers have {} and {} bits there, {} and {} here".format(
            *there, *here))
    return found.discovery_address


def _sorted(stored: Mapping[str, bytes]) -> tuple[dict[str, dict[str, list[tuple[int, str]]]], dict[str, list[str]]]:
    """(by logical switch and kind the numbers and keys of its records, by kind the keys of all others)."""
    switches: dict[str, dict[str, list[tuple[int, str]]]] = {}
    others: dict[str, list[str]] = {kind: [] for kind in _OF_NONE}
    for key in stored:
        kind, *rest = key.split("/")
        if kind in others and rest:
            others[kind].append(key)
        elif kind == "ls" and rest:
            parts = switches.setdefault(rest[0], {})
            if len(rest) > 1:
                number = rest[2] if len(rest) == 3 else "0" if rest[1:] == ["state"] else ""
                if rest[1] not in KINDS or not (number.isascii() and number.isdecimal()):
                    raise DamagedRecord(key, _UNKNOWN)
                parts.setdefault(rest[1], []).append((int(number), key))
        elif key != records.FORMAT:
            raise DamagedRecord(key, _UNKNOWN)
    for name in switches:
        for key in (f"ls/{name}", f"ls/{name}/state"):
            if key not in stored:
                raise DamagedRecord(key, "is missing, and other records of the logical switch are there")
    return switches, others


def _each(stored: Mapping[str, bytes], keys: list[str], kind: type[R], take: Callable[[str, R], None]) -> None:
    """Have every record taken, with its key without the first part; what goes wrong with one is its damage."""
    for key in keys:
        record = records.decode(key, kind, stored[key])
        with judged(key):
            take(key.partition("/")[2], record)


def _who(hv: Hypervisor, stored: Mapping[str, bytes], others: Mapping[str, list[str]]) -> None:
    """Tenants, and what the configuration file said."""
    def tenant(name: str, record: records.Tenant) -> None:
        hv.tenants.add(name)
        if record.named:
            hv.named_tenants.add(name)

    def named(name: str, record: records.Named) -> None:
        hv.named[name] = record.spec

    _each(stored, others["tenant"], records.Tenant, tenant)
    _each(stored, others["file"], records.Named, named)


def _labels(hv: Hypervisor, stored: Mapping[str, bytes], others: Mapping[str, list[str]]) -> None:
    labels: list[tuple[int, str, LabelKey | float]] = []

    def used(rest: str, record: records.LabelRecord) -> None:
        kind, ls_id, number = rest.split("/")
        labels.append((record.label, rest, (kind, int(ls_id), int(number))))

    def lent(rest: str, record: records.Block) -> None:
        for space in hv.fabric.label_spaces:
            space.restore_block(int(rest), record.owner)

    def resting(rest: str, record: records.Rest) -> None:
        labels.append((int(rest), rest, record.until - hv.wall))

    _each(stored, others["block"], records.Block, lent)
    _each(stored, others["label"] + others["key"], records.LabelRecord, used)
    _each(stored, others["rest"], records.Rest, resting)
    for label, rest, what in sorted(labels, key=lambda each: each[0]):
        for space in hv.fabric.label_spaces:
            with judged(f"label {rest}"):
                if isinstance(what, float):
                    space.restore_rest(label, what)
                else:
                    space.restore(what, label)


def _drains(hv: Hypervisor, stored: Mapping[str, bytes], keys: list[str]) -> None:
    def take(rest: str, record: records.DrainRecord) -> None:
        dpid, name = rest.split("/")
        hv.drains.begin((int(dpid), name), record.force)

    _each(stored, keys, records.DrainRecord, take)
    hv.fabric.shunned = hv.drains.shunned


def _links(stored: Mapping[str, bytes], keys: list[str]) -> dict[Link, int]:
    """With their speed, in Mb/s, or 0."""
    links: dict[Link, int] = {}

    def take(rest: str, record: records.LinkRecord) -> None:
        ends = record.a_dpid, record.a_port, record.b_dpid, record.b_port
        links[Link(*ends, Carriage(record.carriage))] = record.speed

    _each(stored, keys, records.LinkRecord, take)
    return links


def _datapaths(hv: Hypervisor, stored: Mapping[str, bytes],
               others: Mapping[str, list[str]]) -> dict[Dpid, tuple[bool | None, str | None]]:
    """What names the switches is as it was; which are Open vSwitch, and where their tunnels end."""
    found: dict[Dpid, tuple[bool | None, str | None]] = {}

    def take(rest: str, known: records.DatapathRecord) -> None:
        dpid = int(rest)
        if known.destination is not None:
            if known.destination in hv.fabric.destinations.values():
                raise ValueError(f"another switch has destination index {known.destination}")
            hv.fabric.destinations[dpid] = known.destination
        found[dpid] = known.extended, known.endpoint
        hv.ledger.datapath(dpid, known.destination, known.extended, known.endpoint)

    _each(stored, others["datapath"], records.DatapathRecord, take)
    return found
