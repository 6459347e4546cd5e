"""The rules and groups of a physical switch for operators: whose each is, why it is there, what it has counted.

Only reads; the switch is asked for its counters. Whatever cannot be known, as the counters of a switch that is away,
is None. What something is for is found out by explain.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator

from hvproxy.hypervisor.counters import Count
from hvproxy.hypervisor.datapath import Datapath
from hvproxy.hypervisor.explain import Explanations, Why
from hvproxy.hypervisor.hypervisor import Hypervisor
from hvproxy.hypervisor.reconcile import canonical_match
from hvproxy.hypervisor.report import Row, find_datapath
from hvproxy.model.layout import OURS_MASK, Table, cookie
from hvproxy.model.rules import Group, Rule, RuleKey
from hvproxy.model.view import Dpid
from hvproxy.openflow import actions
from hvproxy.openflow.constants import of13
from hvproxy.openflow.groups import walk_buckets
from hvproxy.openflow.instructions import decode
from hvproxy.openflow.multipart import (
    FlowStatsRequest, Kind, decode_flow_stats, decode_group_stats, encode_id_request,
)
from hvproxy.openflow.oxm import Match
from hvproxy.openflow.oxm_fields import VLAN_ID
from hvproxy.openflow.text import bucket_texts, group_number, group_type, instructions_text, match_text


def rules(hv: Hypervisor, dpid: Dpid, done: Callable[[list[Row]], None], now: float) -> None:
    """Every rule that a physical switch is to hold, in the order of the pipeline; `done` gets them. Raises NotFound."""
    dp = find_datapath(hv, dpid)

    def counted(bodies: list[bytes] | None, at: float) -> None:
        counts: dict[RuleKey, Count] = {}
        for part in bodies or ():
            for stats in decode_flow_stats(part):
                counts[stats.table_id, stats.priority, canonical_match(stats.match)] = (stats.packets, stats.bytes)
        why = Explanations(hv)
        ordered = sorted(dp.desired.rules.values(), key=lambda rule: (rule.table, -rule.priority, rule.match))
        done([_rule(hv, why, dp, rule, counts.get(rule.key)) for rule in ordered])

    dp.request(Kind.FLOW, FlowStatsRequest(cookie=cookie(0, 0), cookie_mask=OURS_MASK).encode(), counted, now)


def groups(hv: Hypervisor, dpid: Dpid, done: Callable[[list[Row]], None], now: float) -> None:
    """Every group that a physical switch is to hold; `done` gets them. Raises NotFound."""
    dp = find_datapath(hv, dpid)

    def counted(bodies: list[bytes] | None, at: float) -> None:
        counts = {stats.group_id: (stats.packets, stats.bytes)
                  for part in bodies or () for stats in decode_group_stats(part)}
        why = Explanations(hv)
        done([_group(hv, why, dp, group, counts.get(group_id))
              for group_id, group in sorted(dp.desired.groups.items())])

    dp.request(Kind.GROUP, encode_id_request(of13.OFPG_ALL), counted, now)


def _rule(hv: Hypervisor, why: Explanations, dp: Datapath, rule: Rule, count: Count | None) -> Row:
    reason = why.rule(rule)
    return {
        "table": rule.table,
        "priority": rule.priority,
        "cookie": f"{rule.cookie:#x}",
        "match": match_text(rule.match),
        "instructions": instructions_text(rule.instructions),
        **_owner(hv, reason),
        **_entry(hv, reason),
        **_counts(count),
        "names": list(dict.fromkeys(_names_in_rule(why, dp, rule))),
        "why": reason.text,
    }


def _group(hv: Hypervisor, why: Explanations, dp: Datapath, group: Group, count: Count | None) -> Row:
    reason = why.group(group)
    names = (name for bucket in walk_buckets(group.buckets) for name in _names_in_actions(why, dp, bucket.actions))
    return {
        "group_id": group_number(group.group_id),
        "type": group_type(group.type),
        "buckets": bucket_texts(group.buckets),
        **_owner(hv, reason),
        **_counts(count),
        "names": list(dict.fromkeys(names)),
        "why": reason.text,
    }


def _owner(hv: Hypervisor, reason: Why) -> Row:
    ls = None if reason.logical_switch is None else hv.logical_switches.get(reason.logical_switch)
    return {"tenant": None if ls is None else ls.spec.tenant, "logical_switch": reason.logical_switch}


def _entry(hv: Hypervisor, reason: Why) -> Row:
    """The tenant's entry that a rule carries out, as its tenant knows it; None where there is none."""
    ls = None if reason.logical_switch is None else hv.logical_switches.get(reason.logical_switch)
    entry = None if ls is None or reason.entry is None else ls.tables.by_number(reason.entry)
    return {
        "entry": reason.entry,
        "tenant_cookie": None if reason.tenant_cookie is None else f"{reason.tenant_cookie:#x}",
        "tenant_table": None if entry is None else entry.table_id,
        "tenant_priority": None if entry is None else entry.priority,
        "tenant_match": None if entry is None else match_text(entry.match.tlvs),
    }


def _counts(count: Count | None) -> Row:
    return {"packets": None, "bytes": None} if count is None else {"packets": count[0], "bytes": count[1]}


# Names

def _names_in_rule(why: Explanations, dp: Datapath, rule: Rule) -> Iterator[str]:
    """What the numbers in a rule are called."""
    match = Match.from_tlvs(rule.match)
    if match.in_port is not None:
        yield from _port(dp, match.in_port)
    vlan = match.get(of13.OFPXMT_OFB_VLAN_VID)
    if rule.table == Table.LABEL and vlan is not None:
        yield why.label(vlan[0] & VLAN_ID)
    found = decode(rule.instructions)
    for data in (found.apply, found.write):
        yield from _names_in_actions(why, dp, data)


def _names_in_actions(why: Explanations, dp: Datapath, data: bytes) -> Iterator[str]:
    for port_no in actions.outputs(data):
        yield from _port(dp, port_no)
    for group_id in actions.groups(data):
        group = dp.desired.groups.get(group_id)
        if group is not None:
            yield f"group {group_number(group_id)} {why.group(group).text}"


def _port(dp: Datapath, port_no: int) -> Iterator[str]:
    desc = dp.ports.get(port_no)
    if desc is not None:
        yield f"port {port_no} is {desc.name}"
