"""A trace as plain objects with a sentence for every step: what the HTTP API answers and the command line prints.

Knows how things are called; what happens to a frame is found out by tracing.
"""
from __future__ import annotations

from collections.abc import Callable

from hvproxy.hypervisor.entries import Entry
from hvproxy.hypervisor.explain import Explanations, Why
from hvproxy.hypervisor.fabric_walk import Carried, Hop, Left, Sent, label_of
from hvproxy.hypervisor.hypervisor import Hypervisor
from hvproxy.hypervisor.logical_walk import Crossed, Upward
from hvproxy.hypervisor.report import Row
from hvproxy.hypervisor.tracing import Trace, TraceSpec, trace
from hvproxy.model.layout import LAST_KEY
from hvproxy.model.rules import Group, Rule
from hvproxy.model.schema import format_dpid
from hvproxy.openflow.instructions import build as build_instructions
from hvproxy.openflow.text import instructions_text, match_text, port_text
from hvproxy.trace.compare import changes, summary
from hvproxy.trace.switch import Flow, GroupLike
from hvproxy.trace.steps import Kind, Step, Walk


def report(hv: Hypervisor, name: str, spec: TraceSpec) -> Row:
    """What becomes of a frame at a port of a logical switch. Raises ModelError."""
    return rows(hv, trace(hv, name, spec))


def rows(hv: Hypervisor, found: Trace) -> Row:
    """A trace for people and programs."""
    ls, why = found.ls, Explanations(hv)
    return {
        "logical_switch": ls.spec.name,
        "port": found.port.number,
        "name": found.port.spec.name,
        "frame": found.data.hex(),
        "fields": summary(found.data),
        "logical": _logical(found, found.decided[0]),
        "beyond": [{"logical_switch": each.ls.spec.name, "port": each.port.number, "name": each.port.spec.name,
                    **_logical(found, each)} for each in found.decided[1:]],
        "physical": None if found.carried is None else _physical(hv, why, found, found.carried),
        "agree": found.agree,
        "differences": found.differences,
        "notes": found.notes,
    }


def _logical(found: Trace, crossed: Crossed) -> Row:
    name = crossed.ls.spec.name
    return {
        "steps": _steps(crossed.walk, _of_entry, lambda group: None),
        "out": [_out(name, port.number, port.spec.name, found.data, data) for port, data in crossed.sent],
        "packet_ins": [_packet_in(name, up) for up in crossed.upward],
    }


def _physical(hv: Hypervisor, why: Explanations, found: Trace, carried: Carried) -> Row:
    return {
        "hops": [_hop(hv, why, hop) for hop in carried.hops],
        "out": [_out(left.logical_switch, left.lport, _lport_name(hv, left), found.data, left.data)
                for left in carried.left if left.logical_switch is not None],
        "packet_ins": [_packet_in(name, up) for name, up in carried.upward],
    }


def _lport_name(hv: Hypervisor, left: Left) -> str:
    assert left.logical_switch is not None
    return hv.logical_switches[left.logical_switch].ports[left.lport].spec.name


def _out(name: str | None, port: int, port_name: str, before: bytes, after: bytes) -> Row:
    return {"logical_switch": name, "port": port, "name": port_name, "frame": after.hex(),
            "changes": changes(before, after)}


def _packet_in(name: str, up: Upward) -> Row:
    return {"logical_switch": name, "in_port": up.in_port, "table": up.table, "cookie": f"{up.cookie:#x}",
            "metadata": f"{up.metadata:#x}", "frame": up.data.hex()}


# Hops

def _hop(hv: Hypervisor, why: Explanations, hop: Hop) -> Row:
    return {
        "datapath": format_dpid(hop.dpid),
        "in_port": hop.in_port,
        "in_port_name": _port_name(hv, hop.dpid, hop.in_port),
        "label": _label(why, hop.data, hop.key) if hop.over_link else None,
        "frame": hop.data.hex(),
        "steps": _steps(hop.walk, lambda flow: _of_rule(why, flow), lambda group: _of_group(why, group)),
        "sent": [_sent(hv, why, hop.dpid, each) for each in hop.sent],
    }


def _sent(hv: Hypervisor, why: Explanations, dpid: int, sent: Sent) -> Row:
    port_no, wire, end = sent.port_no, sent.wire, sent.end
    by = f"out of port {port_no} ({_port_name(hv, dpid, port_no)})"
    row: Row = {"port": port_no, "name": _port_name(hv, dpid, port_no), "frame": wire.hex(), "label": None, "to": None,
                "delivers": None}
    if isinstance(end, Left):
        delivers = None if end.logical_switch is None else f"{end.logical_switch}/{end.lport}"
        text = f"delivered to {delivers} {by}" if delivers else f"{by}, where no logical port and no working link is"
        return {**row, "delivers": delivers, "text": text}
    label = _label(why, wire, sent.key)
    under = "" if label is None else f" under {label['means']}"
    return {**row, "label": label, "to": {"dpid": format_dpid(end[0]), "port": end[1]},
            "text": f"{by}{under} to datapath {format_dpid(end[0])}, port {end[1]} ({_port_name(hv, *end)})"}


def _label(why: Explanations, data: bytes, key: int | None) -> Row | None:
    if key is not None:
        return {"vlan": None, "key": key, "means": f"{why.label(key & LAST_KEY)}, as the key of a tunnel"}
    vid = label_of(data)
    return None if vid is None else {"vlan": vid, "key": None, "means": why.label(vid)}


def _port_name(hv: Hypervisor, dpid: int, port_no: int) -> str:
    desc = hv.switches.datapaths[dpid].ports.get(port_no)
    return port_text(port_no) if desc is None else desc.name


# Steps

def _of_entry(flow: Flow) -> tuple[str, Row]:
    entry = flow.origin
    assert isinstance(entry, Entry)
    return "", {"cookie": f"{entry.cookie:#x}", "entry": entry.number}


def _of_rule(why: Explanations, flow: Flow) -> tuple[str, Row]:
    rule = flow.origin
    assert isinstance(rule, Rule)
    reason = why.rule(rule)
    return reason.text, {"cookie": f"{rule.cookie:#x}", "entry": reason.entry,
                         "logical_switch": reason.logical_switch}


def _of_group(why: Explanations, group: GroupLike) -> Why | None:
    return why.group(group) if isinstance(group, Group) else None


def _steps(
    walked: Walk, of_flow: Callable[[Flow], tuple[str, Row]], of_group: Callable[[GroupLike], Why | None],
) -> list[Row]:
    return [_step(step, of_flow, of_group) for step in walked.steps]


def _step(
    step: Step, of_flow: Callable[[Flow], tuple[str, Row]], of_group: Callable[[GroupLike], Why | None],
) -> Row:
    row: Row = {
        "depth": step.depth, "kind": step.kind.value, "text": step.text, "table": step.table, "priority": None,
        "match": None, "instructions": None, "cookie": None, "entry": None, "group": None, "bucket": step.bucket,
        "port": step.port, "logical_switch": None, "why": None,
    }
    if step.kind is Kind.TABLE:
        row["text"] = f"table {step.table}: {step.text}"
    if step.flow is not None:
        flow = step.flow
        reason, more = of_flow(flow)
        row.update(more)
        row["priority"], row["match"] = flow.priority, match_text(flow.match.tlvs)
        row["instructions"] = instructions_text(build_instructions(flow.instructions))
        what = "the table-miss entry" if flow.is_table_miss and not reason else (
            f"priority {flow.priority}, {row['match'] or 'every frame'}")
        row["text"] = f"table {flow.table}: {what}, cookie {row['cookie']}: {row['instructions']}"
        row["why"] = reason or None
    if step.group is not None:
        row["group"] = step.group.group_id
        because = of_group(step.group)
        if because is not None and step.kind is Kind.GROUP:
            row["logical_switch"], row["why"] = because.logical_switch, because.text
    if row["why"]:
        row["text"] = f"{row['text']} -- {row['why']}"
    return row
