"""What a tenant may ask a logical switch, answered from the logical state; counters are summed over edges (trap 7).

Whatever is not offered gets the exact OpenFlow error: no request stays without an answer.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING

from hvproxy.errors import Refused
from hvproxy.hypervisor import group_counters, metering
from hvproxy.hypervisor.controller_session import ControllerSession
from hvproxy.hypervisor.counters import Count
from hvproxy.hypervisor.entries import Entry
from hvproxy.hypervisor.flow_mods import HIDDEN_TABLE, check_out_port
from hvproxy.hypervisor.port_counters import port_stats
from hvproxy.hypervisor.table_offer import features_of, renamed, told_of
from hvproxy.hypervisor.tenant_meters import TenantMeter, refuse
from hvproxy.model.layout import FRAGMENT, PLACE
from hvproxy.openflow import actions, build
from hvproxy.openflow.constants import of13
from hvproxy.openflow.instructions import build as build_instructions
from hvproxy.openflow.messages import decode_queue_get_config_request, decode_table_mod, xid_of
from hvproxy.openflow.meters import MeterConfig, encode_bands
from hvproxy.openflow.multipart import (
    AggregateStats, Desc, FlowStats, GroupDesc, GroupFeatures, Kind, Multipart, TableStats,
    decode_flow_stats_request, decode_id_request, decode_multipart, decode_queue_stats_request, multipart_replies,
)
from hvproxy.openflow.oxm import Match, ofp_match
from hvproxy.openflow.table_features import decode_table_features

if TYPE_CHECKING:
    from hvproxy.hypervisor.logical_switch import LogicalSwitch

CAPABILITIES = (of13.OFPC_FLOW_STATS | of13.OFPC_TABLE_STATS | of13.OFPC_PORT_STATS | of13.OFPC_GROUP_STATS
                | of13.OFPC_QUEUE_STATS)
WITH_BODY = frozenset((Kind.FLOW, Kind.AGGREGATE, Kind.PORT_STATS, Kind.QUEUE, Kind.GROUP, Kind.METER,
                       Kind.METER_CONFIG))
"""Whose part may be empty, and whose whole may not."""
ALL_QUEUES = of13.OFPQ_ALL
GROUP_TYPES = 1 << of13.OFPGT_ALL | 1 << of13.OFPGT_INDIRECT | 1 << of13.OFPGT_FF
GROUP_CAPABILITIES = of13.OFPGFC_CHAINING | of13.OFPGFC_CHAINING_CHECKS
UP_HERE = 1 << of13.OFPAT_SET_QUEUE
"""Actions that reach no switch."""
GROUP_ACTIONS = sum(1 << action for action in (
    of13.OFPAT_OUTPUT, of13.OFPAT_PUSH_VLAN, of13.OFPAT_POP_VLAN, of13.OFPAT_PUSH_MPLS, of13.OFPAT_POP_MPLS,
    of13.OFPAT_SET_MPLS_TTL, of13.OFPAT_DEC_MPLS_TTL, of13.OFPAT_SET_NW_TTL, of13.OFPAT_DEC_NW_TTL,
    of13.OFPAT_SET_QUEUE, of13.OFPAT_GROUP, of13.OFPAT_SET_FIELD))


def answer(ls: LogicalSwitch, session: ControllerSession, kind: int, message: bytes, now: float) -> None:
    """Answer any message that changes nothing in the logical tables. Raises Refused for what is not offered."""
    xid = xid_of(message)
    if kind == of13.OFPT_FEATURES_REQUEST:
        session.send(build.features_reply(xid, ls.spec.datapath_id, ls.spec.buffers, ls.spec.tables, 0, CAPABILITIES))
    elif kind == of13.OFPT_QUEUE_GET_CONFIG_REQUEST:
        number = decode_queue_get_config_request(message)
        _need_queues_port(ls, of13.OFPP_MAX if number == of13.OFPP_LOCAL else number)  # Open vSwitch: ports by number
        session.send(build.queue_get_config_reply(xid, number))
    elif kind == of13.OFPT_TABLE_MOD:
        _table_mod(ls, message)
    elif kind == of13.OFPT_MULTIPART_REQUEST:
        reply = _KINDS.get(decode_multipart(message).kind)
        if reply is None:
            raise Refused(of13.OFPET_BAD_REQUEST, of13.OFPBRC_BAD_MULTIPART, "multipart kind not offered")
        request = session.parts.take(message, now)
        if request is not None:
            if not request.body and request.kind in WITH_BODY:
                raise Refused(of13.OFPET_BAD_REQUEST, of13.OFPBRC_BAD_LEN, "a question that asks nothing")
            session.question()
            try:
                reply(ls, session, request, now)
            except Refused:
                session.unquestioned()
                raise
    else:
        raise Refused(of13.OFPET_BAD_REQUEST, of13.OFPBRC_BAD_TYPE, "message type not offered")


def _table_mod(ls: LogicalSwitch, message: bytes) -> None:
    """Of OpenFlow 1.3 no bit of it means anything (OF 1.3.5 section 7.3.3), and Open vSwitch passes over all."""
    table_id = decode_table_mod(message).table_id
    if table_id != of13.OFPTT_ALL and table_id >= ls.spec.tables:
        code = of13.OFPTMFC_EPERM if table_id == HIDDEN_TABLE else of13.OFPTMFC_BAD_TABLE
        raise Refused(of13.OFPET_TABLE_MOD_FAILED, code, "no such table")


def _need_queues_port(ls: LogicalSwitch, number: int) -> None:
    """The port of a question about queues. Queues are the operator's: no logical port has any."""
    check_out_port(number)
    if number != of13.OFPP_ANY and number not in ls.ports:
        raise Refused(of13.OFPET_QUEUE_OP_FAILED, of13.OFPQOFC_BAD_PORT, "no such port")


def _queues(ls: LogicalSwitch, session: ControllerSession, request: Multipart, now: float) -> None:
    number, queue_id = decode_queue_stats_request(request.body)
    _need_queues_port(ls, number)
    if queue_id != ALL_QUEUES:
        raise Refused(of13.OFPET_QUEUE_OP_FAILED, of13.OFPQOFC_BAD_QUEUE, "no such queue")
    _send(session, request, [])


def _send(session: ControllerSession, request: Multipart, records: Iterable[bytes]) -> None:
    """Answer a request; of many records, each is taken when its message is made."""
    session.answer(multipart_replies(request.xid, request.kind, records))


def _send_counts(
    ls: LogicalSwitch, session: ControllerSession, request: Multipart, records: Iterable[bytes], now: float,
    numbers: Iterable[int] | None = (),
) -> None:
    """Answer with what was counted, under these numbers (None: all) or of what else, once that cannot be lost."""
    ls.ledger.told(lambda at: _send(session, request, records), now, numbers)


def _desc(ls: LogicalSwitch, session: ControllerSession, request: Multipart, now: float) -> None:
    told = ls.spec.description or ls.spec.name
    _send(session, request, [Desc("hvproxy", "logical switch", "hvproxy", "None", told).encode()])


def _port_desc(ls: LogicalSwitch, session: ControllerSession, request: Multipart, now: float) -> None:
    _send(session, request, [ls.ports[number].desc().encode() for number in sorted(ls.ports)])


def flow_record(entry: Entry, count: Count, now: float) -> FlowStats:
    """An entry as flow statistics tell it (OF 1.3.5 section 7.3.5.2)."""
    lived = max(0.0, now - entry.created)
    return FlowStats(entry.table_id, int(lived), int(lived % 1 * 1e9), entry.priority, entry.idle_timeout,
                     entry.hard_timeout, entry.flags, entry.cookie, count[0], count[1], ofp_match(entry.match.tlvs),
                     build_instructions(entry.instructions))


def _selected(ls: LogicalSwitch, request: Multipart) -> list[Entry]:
    asked = decode_flow_stats_request(request.body)
    return ls.tables.select(asked.table_id, Match.parse(asked.match), asked.cookie, asked.cookie_mask,
                            asked.out_port, asked.out_group)


def _flows(ls: LogicalSwitch, session: ControllerSession, request: Multipart, now: float) -> None:
    entries = _selected(ls, request)

    def counted(counts: Mapping[Entry, Count], at: float) -> None:
        _send_counts(ls, session, request, (flow_record(entry, count, at).encode() for entry, count in counts.items()),
                     at, [entry.number for entry in entries])

    _with_counters(ls, entries, counted, now)


def _aggregate(ls: LogicalSwitch, session: ControllerSession, request: Multipart, now: float) -> None:
    entries = _selected(ls, request)

    def counted(counts: Mapping[Entry, Count], at: float) -> None:
        packets, octets = (sum(count[each] for count in counts.values()) for each in (0, 1))
        _send_counts(ls, session, request, [AggregateStats(packets, octets, len(counts)).encode()], at,
                     [entry.number for entry in entries])

    _with_counters(ls, entries, counted, now)


def _with_counters(
    ls: LogicalSwitch, entries: list[Entry], done: Callable[[Mapping[Entry, Count], float], None], now: float,
) -> None:
    """`done` gets what each has counted; of an entry that goes meanwhile, what it had counted in the end."""
    if not entries:
        done({}, now)
        return
    final = ls.counters.ask()

    def read(at: float) -> None:
        ls.counters.answered(final)
        done({entry: final.get(entry.number) or ls.counters.total(entry.number) for entry in entries}, at)

    ls.read_counters(read, now)


def _tables(ls: LogicalSwitch, session: ControllerSession, request: Multipart, now: float) -> None:
    def counted(at: float) -> None:
        entered = sum(ls.counters.total(PLACE | index)[0] for index in ls.port_at)
        dropped = sum(ls.counters.total(FRAGMENT | index)[0] for index in (0, *ls.port_at))
        counting = chain(((e.number, e) for e in ls.tables.entries()),
                         ((number, reset.entry) for number, reset in ls.resetting.items()))
        matches = ((e.table_id, e.instructions.goto, ls.counters.total(number)[0]) for number, e in counting)
        # Open vSwitch counts a fragment that it drops as one that matched.
        looked_up, matched = ls.table_counters.totals(chain(matches, [(0, None, dropped)]), entered + dropped)
        _send_counts(ls, session, request, [
            TableStats(t, ls.tables.size(t), looked_up[t], matched[t]).encode() for t in range(ls.spec.tables)],
            at, None)

    # The entries that are gone count too, with what they counted last (trap 7).
    ls.farewells.settled(lambda at: ls.read_counters(counted, at), now)


def _ports(ls: LogicalSwitch, session: ControllerSession, request: Multipart, now: float) -> None:
    number = decode_id_request(request.body)
    check_out_port(number)
    # A port that is not there has no statistics, and asking for them is no error to Open vSwitch.
    wanted = [known for known in sorted(ls.ports) if number in (known, of13.OFPP_ANY)]
    port_stats(ls, wanted, lambda stats, at: _send_counts(ls, session, request, [s.encode() for s in stats], at), now)


def _table_features(ls: LogicalSwitch, session: ControllerSession, request: Multipart, now: float) -> None:
    wanted = told_of(decode_table_features(request.body))
    told = [features_of(ls.spec, table, ls.table_names.get(table, ""), ls.abilities(table), extended=ls.extended)
            for table in range(ls.spec.tables)]
    if wanted:
        ls.table_names.update(renamed(told, wanted))
        ls.ledger.state()
        told = [replace(each, name=ls.table_names[each.table_id]) for each in told]
    _send(session, request, [each.encode() for each in told])


def _groups(ls: LogicalSwitch, session: ControllerSession, request: Multipart, now: float) -> None:
    group_id = decode_id_request(request.body)
    wanted = [g for g in ls.groups.groups.values() if group_id in (g.group_id, of13.OFPG_ALL)]

    def counted(at: float) -> None:
        _send_counts(ls, session, request, [group_counters.record(ls, g.group_id, at).encode() for g in wanted
                                            if g.group_id in ls.groups.groups], at)

    group_counters.read(ls, [g.group_id for g in wanted], counted, now)


def _group_desc(ls: LogicalSwitch, session: ControllerSession, request: Multipart, now: float) -> None:
    _send(session, request, [
        GroupDesc(group.type, group_id, actions.canonical_buckets(group.buckets)).encode()
        for group_id, group in sorted(ls.groups.groups.items())])


def _group_features(ls: LogicalSwitch, session: ControllerSession, request: Multipart, now: float) -> None:
    types, capabilities = GROUP_TYPES, GROUP_CAPABILITIES
    below = ls.below
    if below.selects:
        types |= 1 << of13.OFPGT_SELECT
        capabilities |= of13.OFPGFC_SELECT_WEIGHT | of13.OFPGFC_SELECT_LIVENESS
    _send(session, request, [GroupFeatures(
        types, capabilities, _by_type(types, lambda kind: ls.layout.last_lport),
        _by_type(types, lambda kind: GROUP_ACTIONS & (below.bucket_actions(kind) | UP_HERE))).encode()])


def _by_type(types: int, value: Callable[[int], int]) -> tuple[int, int, int, int]:
    all_, select, indirect, failover = (value(kind) if types >> kind & 1 else 0 for kind in range(4))
    return all_, select, indirect, failover


def _flow_monitor(ls: LogicalSwitch, session: ControllerSession, request: Multipart, now: float) -> None:
    """Of other experimenters, and of other kinds, the guard lets nothing pass."""
    ls.monitors.request(ls.tables, session, request)


def _wanted_meters(ls: LogicalSwitch, request: Multipart) -> list[TenantMeter]:
    meter_id = decode_id_request(request.body)
    if meter_id == of13.OFPM_ALL:
        return [meter for _, meter in sorted(ls.meters.meters.items())]
    if meter_id not in ls.meters.meters:
        raise refuse(of13.OFPMMFC_UNKNOWN_METER, "no such meter")
    return [ls.meters.meters[meter_id]]


def _meters(ls: LogicalSwitch, session: ControllerSession, request: Multipart, now: float) -> None:
    wanted = _wanted_meters(ls, request)

    def counted(at: float) -> None:
        _send_counts(ls, session, request, [metering.record(ls, meter, at).encode() for meter in wanted
                                            if ls.meters.meters.get(meter.meter_id) is meter], at)

    if wanted:
        metering.read(ls, wanted, counted, now)
    else:
        counted(now)


def _meter_config(ls: LogicalSwitch, session: ControllerSession, request: Multipart, now: float) -> None:
    _send(session, request, [
        MeterConfig(meter.flags, meter.meter_id, encode_bands(meter.bands)).encode()
        for meter in _wanted_meters(ls, request)])


def _meter_features(ls: LogicalSwitch, session: ControllerSession, request: Multipart, now: float) -> None:
    _send(session, request, [ls.down.meter_features(ls.edges).encode()])


_KINDS: dict[int, Callable[[LogicalSwitch, ControllerSession, Multipart, float], None]] = {
    Kind.DESC: _desc,
    Kind.FLOW: _flows,
    Kind.AGGREGATE: _aggregate,
    Kind.TABLE: _tables,
    Kind.PORT_STATS: _ports,
    Kind.QUEUE: _queues,
    Kind.PORT_DESC: _port_desc,
    Kind.TABLE_FEATURES: _table_features,
    Kind.GROUP: _groups,
    Kind.GROUP_DESC: _group_desc,
    Kind.GROUP_FEATURES: _group_features,
    Kind.METER: _meters,
    Kind.METER_CONFIG: _meter_config,
    Kind.METER_FEATURES: _meter_features,
    Kind.EXPERIMENTER: _flow_monitor,
}
